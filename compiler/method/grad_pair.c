/* grad_pair.c: estimators from two coupled trajectories. One parameter per trajectory: that of number
 * (trajectory mod parameters). The pair is a network of its own (compiler/network/couple.h), so it is
 * simulated like any other: with events, time-dependent rates, in both precisions.
 *
 * coupled: a centred difference. The copies run with the parameter at p + h and p - h,
 *
 *     D = (F(x) - F(x')) / 2h,
 *
 * and the coupling keeps them together, so that the difference does not drown in noise: its variance is
 * of the order of 1/h, where independent copies have 1/h^2. The bias is of the order of h^2. F is
 * evaluated with each copy's own parameter. Source: D. F. Anderson, SIAM J. Numer. Anal. 50 (2012) 2237.
 *
 * gk: no step. From the identity
 *
 *     d/dp E F = E ∫ Σ_j ∂_p a_j(x(t)) [V(x(t) + ν_j, t) - V(x(t), t)] dt
 *
 * one term is drawn: a time t uniform in [0, T), then a reaction j in proportion to |∂_p a_j(x(t))|. The
 * copies are one until then; there the second takes ν_j, and from there on both run with the same
 * parameters, so that the difference of their F is one of the bracket:
 *
 *     D = T Σ_i |∂_p a_i| sign(∂_p a_j) (F(x') - F(x)),     0 where all derivatives are 0
 *
 * and the derivative of F with respect to p itself is added. What F reads before t is the same in both
 * and gives nothing, as it should. Unbiased for every F. Source: A. Gupta, M. Khammash, J. Chem. Phys. 140
 * (2014) 114102, who draw several terms of the same integral on each path.
 */
#include "compiler/method/grad_record.h"
#include "compiler/method/gradient.h"
#include "compiler/network/couple.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct PairKernel {
    const GradientRequest *request;
    Arena *arena;
    Pair pair;
    GradientRow row;
    const Objective *objectives[PAIR_COPIES];
    Recorder recorders[PAIR_COPIES];
    SsaFrame *frame;
    u32 leaf; /* local i32 */

    /* coupled */
    u32 *values[PAIR_COPIES]; /* f64 locals: each copy's value of each parameter */
    u32 width;                /* f64 local: how far the two values of the leaf are apart */
    const Recorder *reading;  /* whose atoms QUANTITY means */

    /* gk */
    u32 when, pick,
        weight; /* f64 locals: the time of the jump (+inf: it is over), what chooses it, its weight */
    Expr *derivatives; /* [reaction * leaves + leaf], of the first copy's propensities */
    Expr *partial;     /* or NULL: see rxn__gradient_explicit; of the first copy */
} PairKernel;

static KirValue
f64(SsaFrame *frame, double value)
{
    return rxn__kir_const(frame->builder, KIR_F64, value);
}

static KirValue
is_leaf(SsaFrame *frame, const PairKernel *kernel, u32 number)
{
    KirBuilder *b = frame->builder;
    return kir_eq(b, rxn__kir_get(b, kernel->leaf, 0), rxn__kir_const(b, KIR_I32, number));
}

/* ---- what both do ------------------------------------------------------------------------------ */

static void
declare_leaf(SsaFrame *frame, PairKernel *kernel)
{
    KirBuilder *b = frame->builder;
    kernel->frame = frame;
    rxn__recorder_declare(&kernel->recorders[PAIR_FIRST], frame, kernel->objectives[PAIR_FIRST],
                          "first_");
    rxn__recorder_declare(&kernel->recorders[PAIR_SECOND], frame, kernel->objectives[PAIR_SECOND],
                          "second_");
    kernel->leaf = rxn__kir_local(b, "leaf", KIR_I32, 0);
    rxn__kir_region(b, KIR_INIT);
    KirValue leaves = rxn__kir_const(b, KIR_U64, kernel->row.leaves);
    KirValue leaf = rxn__kir_op(b, KIR_REM, kir_trajectory(b), leaves, 0);
    rxn__kir_set(b, kernel->leaf, 0, kir_cast(b, KIR_I32, leaf));
}

static void
start(SsaFrame *frame, void *context)
{
    PairKernel *kernel = context;
    (void)frame;
    for (u32 copy = 0; copy < PAIR_COPIES; copy++)
        rxn__recorder_start(&kernel->recorders[copy]);
}

static void
rates(SsaFrame *frame, void *context, const KirValue *propensities, KirValue span)
{
    PairKernel *kernel = context;
    (void)frame, (void)propensities;
    for (u32 copy = 0; copy < PAIR_COPIES; copy++)
        rxn__recorder_rates(&kernel->recorders[copy], span);
}

static void
record(SsaFrame *frame, void *context, KirValue row, KirValue time)
{
    PairKernel *kernel = context;
    (void)frame;
    for (u32 copy = 0; copy < PAIR_COPIES; copy++)
        rxn__recorder_record(&kernel->recorders[copy], row, time);
}

static void
elapse(SsaFrame *frame, void *context, const KirValue *below)
{
    PairKernel *kernel = context;
    (void)frame, (void)below;
    for (u32 copy = 0; copy < PAIR_COPIES; copy++)
        rxn__recorder_elapse(&kernel->recorders[copy]);
}

/* The unrolled form takes so many; a pair has three reactions for one, and two species. */
static bool
is_small_enough(const GradientRequest *request, const char *name, Text *ret_reason)
{
    Network pair = {.reaction_count = 3 * request->network->reaction_count,
                    .species_count = 2 * request->network->species_count};
    if (request->network->reaction_count > RXN_MAX_FLAT / 3 ||
        !rxn__ssa_unrolled_applies(&pair, ret_reason)) {
        rxn__text_printf(ret_reason,
                         " ('%s' simulates it in pairs: three reactions for each, and "
                         "two species); 'path' takes large networks",
                         name);
        return false;
    }
    enum { MOST_LEAVES = 1000 };
    if (request->wrt_count <= MOST_LEAVES)
        return true;
    rxn__text_printf(ret_reason,
                     "'%s' gives each trajectory one parameter, and takes up to %d; these are %u. "
                     "'path' takes any number",
                     name, MOST_LEAVES, request->wrt_count);
    return false;
}

static const char *
write_pair(PairKernel *kernel, SsaExtension *extension, NameTable *names,
           GradientKernel *ret_kernel)
{
    const GradientRequest *request = kernel->request;
    MethodOptions options = {.precision = request->precision};
    extension->context = kernel;
    extension->columns = rxn__row_columns(&kernel->row);
    extension->start = start;
    extension->rates = rates;
    extension->record = record;
    extension->elapse = elapse;
    ret_kernel->row = kernel->row;
    ret_kernel->leaves = rxn__gradient_param_leaves(request, kernel->arena);
    return rxn__ssa_write_extended(kernel->pair.network, &options, kernel->arena, names, extension,
                                   &ret_kernel->kernel);
}

static GradientRow
row_of(const GradientRequest *request)
{
    return (GradientRow){
        .functionals = request->network->objective->functionals.count,
        .outputs = request->network->objective->outputs.count,
        .leaves = request->wrt_count,
        .has_direct = true,
        .one_leaf = true,
    };
}

/* ---- coupled ----------------------------------------------------------------------------------- */

static KirValue
quantity(void *context, u32 number)
{
    const PairKernel *kernel = context;
    if (number < PAIR_CHOSEN)
        return kernel->reading->atoms[number];
    number -= PAIR_CHOSEN;
    return rxn__kir_get(kernel->frame->builder, kernel->values[number % 2][number / 2], 0);
}

/* As it will be used: the step is then exactly what it is divided by. */
static KirValue
rounded(SsaFrame *frame, KirValue value)
{
    KirBuilder *b = frame->builder;
    return kir_cast(b, KIR_F64, kir_cast(b, frame->real, value));
}

/* p + h and p - h, h relative to p; inside the parameter's bounds, where p itself is. */
static void
choose_values(SsaFrame *frame, PairKernel *kernel, u32 k)
{
    KirBuilder *b = frame->builder;
    const Network *origin = kernel->pair.origin;
    u32 flat = kernel->request->wrt[k];
    KirValue place = rxn__kir_const(b, KIR_I32, flat);
    KirValue p = rxn__kir_load(b, frame->parameter, &place);
    KirValue size = kir_select(b, kir_eq(b, p, f64(frame, 0)), f64(frame, 1), kir_abs(b, p));
    KirValue step = kir_mul(b, size, f64(frame, kernel->request->difference));
    KirValue above = kir_add(b, p, step), below = kir_sub(b, p, step);
    u32 object = 0;
    while (object + 1 < origin->params.count && origin->params.items[object + 1].flat <= flat)
        object++;
    const Param *param = &origin->params.items[object];
    if (param->has_bounds && param->low < param->high) {
        above = kir_max(b, p, kir_min(b, above, f64(frame, param->high)));
        below = kir_min(b, p, kir_max(b, below, f64(frame, param->low)));
    }
    above = rounded(frame, above);
    below = rounded(frame, below);
    KirValue here = is_leaf(frame, kernel, k);
    rxn__kir_set(b, kernel->values[PAIR_FIRST][k], 0, kir_select(b, here, above, p));
    rxn__kir_set(b, kernel->values[PAIR_SECOND][k], 0, kir_select(b, here, below, p));
    rxn__kir_set(b, kernel->width, 0,
                 kir_select(b, here, kir_sub(b, above, below), rxn__kir_get(b, kernel->width, 0)));
}

static void
declare_coupled(SsaFrame *frame, void *context)
{
    PairKernel *kernel = context;
    KirBuilder *b = frame->builder;
    u32 leaves = kernel->row.leaves;
    declare_leaf(frame, kernel);
    kernel->width = rxn__kir_local(b, "width", KIR_F64, 0);
    for (u32 copy = 0; copy < PAIR_COPIES; copy++) {
        kernel->values[copy] = NEW_ARRAY(frame->arena, u32, leaves + 1);
        for (u32 k = 0; k < leaves; k++) {
            char name[32];
            snprintf(name, sizeof name, "%s%u", copy == PAIR_FIRST ? "above" : "below", k);
            kernel->values[copy][k] = rxn__kir_local(b, name, KIR_F64, 0);
        }
    }
    for (u32 k = 0; k < leaves; k++)
        choose_values(frame, kernel, k);
    frame->lower.quantity = quantity;
    frame->lower.quantity_context = kernel;
}

static void
finish_coupled(SsaFrame *frame, void *context)
{
    PairKernel *kernel = context;
    KirBuilder *b = frame->builder;
    KirValue width = rxn__kir_get(b, kernel->width, 0);
    for (u32 copy = 0; copy < PAIR_COPIES; copy++)
        rxn__recorder_finish(&kernel->recorders[copy]);
    for (u32 i = 0; i < kernel->row.functionals; i++) {
        KirValue value[PAIR_COPIES];
        for (u32 copy = 0; copy < PAIR_COPIES; copy++) {
            kernel->reading = &kernel->recorders[copy];
            rxn__lower_forget(&frame->lower);
            value[copy] = rxn__lower_as(
                &frame->lower, kernel->objectives[copy]->functionals.items[i].value, KIR_F64);
        }
        rxn__lower_forget(&frame->lower);
        KirValue middle =
            kir_mul(b, f64(frame, 0.5), kir_add(b, value[PAIR_FIRST], value[PAIR_SECOND]));
        KirValue slope = kir_div(b, kir_sub(b, value[PAIR_FIRST], value[PAIR_SECOND]), width);
        rxn__row_store(frame, rxn__row_value(&kernel->row, i), middle);
        rxn__row_store(frame, rxn__row_direct(&kernel->row, i, 0), slope);
    }
}

static bool
coupled_applies(const GradientRequest *request, Text *ret_reason)
{
    return is_small_enough(request, "coupled", ret_reason);
}

static const char *
write_coupled(const GradientRequest *request, Arena *arena, NameTable *names,
              GradientKernel *ret_kernel)
{
    PairKernel kernel = {.request = request, .arena = arena, .row = row_of(request)};
    const char *error = rxn__network_pair(request->network, request->wrt, request->wrt_count, arena,
                                          names, &kernel.pair);
    if (error)
        return error;
    for (u32 copy = 0; copy < PAIR_COPIES; copy++)
        kernel.objectives[copy] =
            rxn__pair_objective(&kernel.pair, copy, request->network->objective);
    Text remarks;
    rxn__text_init(&remarks, arena);
    rxn__text_printf(&remarks,
                     "centred differences with a relative step of %g: their bias is of second "
                     "order in it",
                     request->difference);
    ret_kernel->remarks = remarks.data;
    ret_kernel->unbiased = false;
    SsaExtension extension = {.declare = declare_coupled, .finish = finish_coupled};
    return write_pair(&kernel, &extension, names, ret_kernel);
}

const Estimator rxn__estimator_coupled = {
    .name = "coupled",
    .summary = "centred finite difference of coupled pairs: small bias, one parameter a trajectory",
    .applies = coupled_applies,
    .write = write_coupled,
};

/* ---- gk ---------------------------------------------------------------------------------------- */

/* In [0, 1): 53 bits, so that the product with a total is below it after rounding too. */
static KirValue
uniform(SsaFrame *frame, KirValue high, KirValue low)
{
    KirBuilder *b = frame->builder;
    KirValue h = kir_cast(b, KIR_I32, kir_shr(b, high, rxn__kir_const(b, KIR_U32, 5)));
    KirValue l = kir_cast(b, KIR_I32, kir_shr(b, low, rxn__kir_const(b, KIR_U32, 6)));
    return kir_fma(b, kir_cast(b, KIR_F64, h), f64(frame, 0x1p-27),
                   kir_mul(b, kir_cast(b, KIR_F64, l), f64(frame, 0x1p-53)));
}

static void
draw_jump(SsaFrame *frame, PairKernel *kernel)
{
    KirBuilder *b = frame->builder;
    KirValue seed = rxn__kir_load(b, frame->seed, NULL);
    KirValue trajectory = kir_trajectory(b);
    KirValue half = rxn__kir_const(b, KIR_U64, 32);
    KirValue key[2] = {kir_cast(b, KIR_U32, seed), kir_cast(b, KIR_U32, kir_shr(b, seed, half))};
    KirValue counter[4] = {rxn__kir_const(b, KIR_U32, 0),
                           rxn__kir_const(b, KIR_U32, (double)(RXN_STREAM_GRADIENT << 16)),
                           kir_cast(b, KIR_U32, trajectory),
                           kir_cast(b, KIR_U32, kir_shr(b, trajectory, half))};
    KirValue words[4];
    rxn__kir_philox(b, key, counter, words);
    KirValue end = rxn__kir_load(b, frame->end_time, NULL);
    rxn__kir_set(b, kernel->when, 0, kir_mul(b, end, uniform(frame, words[0], words[1])));
    rxn__kir_set(b, kernel->pick, 0, uniform(frame, words[2], words[3]));
}

static void
declare_gk(SsaFrame *frame, void *context)
{
    PairKernel *kernel = context;
    KirBuilder *b = frame->builder;
    kernel->when = rxn__kir_local(b, "when", KIR_F64, 0);
    kernel->pick = rxn__kir_local(b, "pick", KIR_F64, 0);
    kernel->weight = rxn__kir_local(b, "weight", KIR_F64, 0);
    declare_leaf(frame, kernel);
    draw_jump(frame, kernel);
}

static KirValue
next_stop(SsaFrame *frame, void *context)
{
    const PairKernel *kernel = context;
    return rxn__kir_get(frame->builder, kernel->when, 0);
}

/* The second copy's counts, changed by what a reaction of the origin changes. */
static void
change(SsaFrame *frame, const PairKernel *kernel, u32 number, KirValue taken, KirValue *counts)
{
    KirBuilder *b = frame->builder;
    Network *origin = kernel->pair.origin;
    u32 member;
    const Reaction *reaction = rxn__reaction_of_flat(origin, number, &member);
    u32 most = reaction->reactants.count + reaction->products.count;
    Change *changes = NEW_ARRAY(frame->arena, Change, most + 1);
    u32 count = rxn__reaction_changes(origin, reaction, member, most, changes);
    for (u32 k = 0; k < count; k++) {
        u32 s = changes[k].species;
        u32 local = frame->lower.species_local[origin->species_count + s];
        KirValue before = rxn__kir_get(b, local, 0);
        KirValue after = kir_add(b, before, rxn__ssa_real(frame, changes[k].delta));
        counts[s] = kir_select(b, taken, after, counts[s] ? counts[s] : before);
    }
}

/* The jump, for trajectories of one leaf. */
static void
jump(SsaFrame *frame, PairKernel *kernel, u32 leaf)
{
    KirBuilder *b = frame->builder;
    const Network *origin = kernel->pair.origin;
    u32 reactions = origin->reaction_count, leaves = kernel->row.leaves;
    KirValue *sums = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    KirValue *slopes = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    KirValue *counts = NEW_ARRAY(frame->arena, KirValue, origin->species_count + 1);
    KirValue total = f64(frame, 0), sign = f64(frame, 0);
    for (u32 j = 0; j < reactions; j++) {
        Expr derivative = kernel->derivatives[(size_t)j * leaves + leaf];
        if (rxn__expr_is_zero(kernel->pair.network, derivative))
            continue;
        slopes[j] = rxn__lower_as(&frame->lower, derivative, KIR_F64);
        total = kir_add(b, total, kir_abs(b, slopes[j]));
        sums[j] = total;
    }
    KirValue threshold = kir_mul(b, rxn__kir_get(b, kernel->pick, 0), total);
    KirValue below = rxn__kir_const(b, KIR_BOOL, 0);
    for (u32 j = 0; j < reactions; j++) {
        if (!slopes[j])
            continue;
        KirValue reached = kir_lt(b, threshold, sums[j]);
        KirValue taken = kir_and(b, reached, kir_not(b, below));
        below = reached;
        sign = kir_select(b, taken, kir_copysign(b, f64(frame, 1), slopes[j]), sign);
        change(frame, kernel, j, taken, counts);
    }
    KirValue end = rxn__kir_load(b, frame->end_time, NULL);
    rxn__kir_set(b, kernel->weight, 0, kir_mul(b, kir_mul(b, end, total), sign));
    for (u32 s = 0; s < origin->species_count; s++) {
        if (!counts[s])
            continue;
        /* A law that does not vanish where its reactants run out. */
        rxn__kir_if(b, kir_lt(b, counts[s], rxn__ssa_real(frame, 0)));
        rxn__kir_trap(b, RXN_FAULT_NEGATIVE_COUNT,
                      rxn__kir_const(b, KIR_U32, origin->species_count + s));
        rxn__kir_close(b);
        rxn__ssa_set_species(frame, origin->species_count + s, counts[s]);
    }
}

static void
at_stop(SsaFrame *frame, void *context, KirValue time)
{
    PairKernel *kernel = context;
    KirBuilder *b = frame->builder;
    Lowering *lower = &frame->lower;
    (void)time;
    rxn__kir_set(b, kernel->when, 0, f64(frame, INFINITY));
    for (u32 leaf = 0; leaf < kernel->row.leaves; leaf++) {
        rxn__kir_if(b, is_leaf(frame, kernel, leaf));
        jump(frame, kernel, leaf);
        rxn__kir_close(b);
        rxn__lower_forget(lower);
    }
}

static void
finish_gk(SsaFrame *frame, void *context)
{
    PairKernel *kernel = context;
    KirBuilder *b = frame->builder;
    const GradientRow *row = &kernel->row;
    KirValue weight = rxn__kir_get(b, kernel->weight, 0);
    for (u32 copy = 0; copy < PAIR_COPIES; copy++)
        rxn__recorder_finish(&kernel->recorders[copy]);
    for (u32 i = 0; i < row->functionals; i++) {
        KirValue first = rxn__recorder_functional(&kernel->recorders[PAIR_FIRST], i);
        KirValue second = rxn__recorder_functional(&kernel->recorders[PAIR_SECOND], i);
        KirValue direct = kir_mul(b, weight, kir_sub(b, second, first));
        KirValue own = f64(frame, 0);
        for (u32 p = 0; kernel->partial && p < row->leaves; p++)
            own = kir_select(b, is_leaf(frame, kernel, p),
                             rxn__recorder_value(&kernel->recorders[PAIR_FIRST],
                                                 kernel->partial[i * row->leaves + p]),
                             own);
        rxn__row_store(frame, rxn__row_value(row, i), first);
        rxn__row_store(frame, rxn__row_direct(row, i, 0), kir_add(b, direct, own));
    }
}

static bool
refuse(Text *reason, const GradientRequest *request, u32 flat, const char *where)
{
    rxn__text_printf(reason,
                     "'%s' acts through %s, which has no derivative along a path; 'coupled' can",
                     rxn__param_label(request->network, flat, reason->arena), where);
    return false;
}

/* What happens earlier or later with the parameter: no propensity tells of it. */
static bool
moves_no_time(const GradientRequest *request, u32 flat, Text *ret_reason)
{
    Network *network = request->network;
    for (u32 e = 0; e < network->events.count; e++) {
        const Event *event = &network->events.items[e];
        if (rxn__expr_reads_param(network, event->time, flat) ||
            rxn__expr_reads_param(network, event->period, flat) ||
            rxn__expr_reads_param(network, event->until, flat))
            return refuse(ret_reason, request, flat, "the time of an event");
    }
    for (u32 k = 0; k < network->breakpoints.count; k++)
        if (rxn__expr_reads_param(network, network->breakpoints.items[k], flat))
            return refuse(ret_reason, request, flat, "the time at which a rate changes");
    return true;
}

static bool
gk_applies(const GradientRequest *request, Text *ret_reason)
{
    if (!is_small_enough(request, "gk", ret_reason))
        return false;
    for (u32 p = 0; p < request->wrt_count; p++)
        if (!moves_no_time(request, request->wrt[p], ret_reason))
            return false;
    return true;
}

static void
find_derivatives(PairKernel *kernel)
{
    Network *origin = kernel->pair.origin;
    u32 leaves = kernel->row.leaves;
    size_t pairs = (size_t)origin->reaction_count * leaves;
    kernel->derivatives = NEW_ARRAY(kernel->arena, Expr, pairs + 1);
    for (u32 j = 0; j < origin->reaction_count; j++) {
        u32 member;
        const Reaction reaction = *rxn__reaction_of_flat(origin, j, &member);
        Expr propensity = rxn__reaction_member_propensity(origin, &reaction, member);
        for (u32 p = 0; p < leaves; p++) {
            Expr derivative =
                rxn__expr_derivative(origin, propensity, EXPR_PARAM, kernel->request->wrt[p]);
            kernel->derivatives[(size_t)j * leaves + p] =
                rxn__pair_expr(&kernel->pair, PAIR_FIRST, derivative);
        }
    }
}

static const char *
write_gk(const GradientRequest *request, Arena *arena, NameTable *names, GradientKernel *ret_kernel)
{
    PairKernel kernel = {.request = request, .arena = arena, .row = row_of(request)};
    const Objective *objective = request->network->objective;
    const Objective *extended = rxn__gradient_explicit(request, arena, &kernel.partial);
    const char *error = rxn__network_pair(request->network, NULL, 0, arena, names, &kernel.pair);
    if (error)
        return error;
    kernel.objectives[PAIR_FIRST] =
        rxn__pair_objective(&kernel.pair, PAIR_FIRST, extended ? extended : objective);
    kernel.objectives[PAIR_SECOND] = rxn__pair_objective(&kernel.pair, PAIR_SECOND, objective);
    for (u32 k = 0; kernel.partial && k < kernel.row.functionals * kernel.row.leaves; k++)
        kernel.partial[k] = rxn__pair_expr(&kernel.pair, PAIR_FIRST, kernel.partial[k]);
    find_derivatives(&kernel);
    ret_kernel->remarks = NULL;
    ret_kernel->unbiased = true;
    SsaExtension extension = {
        .declare = declare_gk, .finish = finish_gk, .next_stop = next_stop, .at_stop = at_stop};
    return write_pair(&kernel, &extension, names, ret_kernel);
}

const Estimator rxn__estimator_gk = {
    .name = "gk",
    .summary = "one jump at a random time, seen in a coupled pair: unbiased for every functional",
    .applies = gk_applies,
    .write = write_gk,
};
