/* grad_martingale.c: the score estimator with a control variate that was learned from a pilot ensemble:
 *
 *   d/dp E[F] = E[ (F - M - b) S_p ] + E[ Σ_bins Σ_f β_f ΔG_fp ],
 *
 * unbiased for every β, and with little variance where Σ_f β_f phi_f is close to E[F | x] in each time bin.
 * The integrals W and G, and why this is so, are in control.h; β in runtime/control.h. The second term
 * has a control variate of its own, fitted in the same way.
 *
 * Two kernels: of the main ensemble, which keeps W and G and weighs them at the end; and of the pilot, which
 * gives them all away.
 */
#include "compiler/method/control.h"
#include "compiler/method/grad_score.h"

#include <stdio.h>

typedef struct MartingaleKernel {
    const ControlPlan *plan;
    GradientRow row;
    Recorder recorder;
    Score score;
    TimeIntegral *martingales; /* [features]: W, less phi_f(x) unless the plan is by jumps */
    TimeIntegral *covariances; /* [pairs]: G */
    Expr *values;              /* [features]: phi_f */
    u32 width;                 /* features + pairs + leaves */
    u32 kept;                  /* local f64[times * width]: W, G, S */
    u32 edge, last, edges_before, value_weight, direct_weight, place; /* buffers */
    u32 *sums; /* locals: M, then D of each leaf */
} MartingaleKernel;

static KirValue
i32_const(SsaFrame *frame, i64 value)
{
    return rxn__kir_const(frame->builder, KIR_I32, (double)value);
}

/* ---- along the trajectory, the same in both kernels -------------------------------------------- */

static Expr
value_of(Network *network, const ControlPlan *plan, const Monomial *monomial)
{
    Expr product = rxn__expr_number(network, 1);
    for (u32 k = 0; k < monomial->count; k++)
        for (u32 p = 0; p < monomial->factors[k].power; p++)
            product = expr_binary(network, EXPR_MUL, product,
                                  rxn__control_species(plan, monomial->factors[k].species));
    return product;
}

static void
declare_integrals(SsaFrame *frame, MartingaleKernel *kernel)
{
    const ControlPlan *plan = kernel->plan;
    u32 features = plan->features.count, pairs = plan->pairs.count;
    kernel->martingales = NEW_ARRAY(frame->arena, TimeIntegral, features + 1);
    kernel->covariances = NEW_ARRAY(frame->arena, TimeIntegral, pairs + 1);
    kernel->values = NEW_ARRAY(frame->arena, Expr, features + 1);
    char name[32];
    for (u32 f = 0; f < features; f++) {
        if (plan->generator[f])
            kernel->martingales[f].slope = expr_unary(frame->network, EXPR_NEG, plan->generator[f]);
        snprintf(name, sizeof name, "martingale%u", f);
        rxn__time_integral_declare(frame, &kernel->martingales[f], INTEGRAL_MARTINGALE, name);
        kernel->values[f] = value_of(frame->network, plan, &plan->features.items[f]);
    }
    for (u32 k = 0; k < pairs; k++) {
        kernel->covariances[k].slope = plan->pairs.items[k].slope;
        snprintf(name, sizeof name, "covariance%u", k);
        rxn__time_integral_declare(frame, &kernel->covariances[k], INTEGRAL_COVARIANCE, name);
    }
}

static void
start(SsaFrame *frame, void *context)
{
    MartingaleKernel *kernel = context;
    (void)frame;
    rxn__recorder_start(&kernel->recorder);
}

static void
integrate(SsaFrame *frame, MartingaleKernel *kernel, KirValue span)
{
    rxn__recorder_rates(&kernel->recorder, span);
    for (u32 f = 0; f < kernel->plan->features.count; f++)
        rxn__time_integral_rates(frame, &kernel->martingales[f], span);
    for (u32 k = 0; k < kernel->plan->pairs.count; k++)
        rxn__time_integral_rates(frame, &kernel->covariances[k], span);
}

/* What the reaction that fires adds to a feature; 0: nothing ever. */
static KirValue
jump_of(SsaFrame *frame, const ControlPlan *plan, u32 feature, const KirValue *below)
{
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count;
    KirValue jump = 0;
    for (u32 j = 0; j < reactions; j++) {
        Expr change = plan->change[(size_t)feature * reactions + j];
        if (!change)
            continue;
        KirValue value = rxn__lower_as(&frame->lower, change, KIR_F64);
        jump = kir_select(b, rxn__ssa_fires(frame, below, j), value,
                          jump ? jump : rxn__kir_const(b, KIR_F64, 0));
    }
    return jump;
}

static void
elapse_integrals(SsaFrame *frame, MartingaleKernel *kernel, const KirValue *below)
{
    const ControlPlan *plan = kernel->plan;
    rxn__recorder_elapse(&kernel->recorder);
    for (u32 f = 0; f < plan->features.count; f++)
        rxn__time_integral_elapse(frame, &kernel->martingales[f],
                                  plan->by_jumps ? jump_of(frame, plan, f, below) : 0);
    for (u32 k = 0; k < plan->pairs.count; k++)
        rxn__time_integral_elapse(frame, &kernel->covariances[k], 0);
}

static KirValue
martingale_at(SsaFrame *frame, MartingaleKernel *kernel, u32 feature, KirValue time)
{
    KirValue value = rxn__time_integral_at(frame, &kernel->martingales[feature], time);
    if (kernel->plan->by_jumps)
        return value;
    return kir_add(frame->builder, value,
                   rxn__lower_as(&frame->lower, kernel->values[feature], KIR_F64));
}

/* ---- the main kernel --------------------------------------------------------------------------- */

static u32
table(SsaFrame *frame, const char *name, KirType type, const void *data, size_t count)
{
    u32 extent = KIR_DYNAMIC;
    MethodTable table = {name, data, count};
    vec_push(frame->arena, &frame->output->tables, table);
    return rxn__kir_buffer(frame->builder, name, type, KIR_PER_LAUNCH, false, 1, &extent);
}

/* Where the recorder keeps each functional, of a plan that is plain. */
static u32
table_of_places(SsaFrame *frame, MartingaleKernel *kernel)
{
    const ControlPlan *plan = kernel->plan;
    const Objective *objective = frame->network->objective;
    u32 count = objective->functionals.count;
    i32 *places = NEW_ARRAY(frame->arena, i32, count + 1);
    for (u32 i = 0; i < count; i++) {
        u32 atom = expr_node(frame->network, objective->functionals.items[i].value)->object;
        u32 column = rxn__recorder_column(&kernel->recorder, &objective->atoms.items[atom]);
        places[i] = plan->last[i] * (i32)kernel->recorder.width + (i32)column;
    }
    return table(frame, "place", KIR_I32, places, count);
}

static void
declare(SsaFrame *frame, void *context)
{
    MartingaleKernel *kernel = context;
    const ControlPlan *plan = kernel->plan;
    const GradientRequest *request = plan->request;
    u32 functionals = kernel->row.functionals, leaves = kernel->row.leaves;
    rxn__recorder_declare(&kernel->recorder, frame, plan->recorded, "");
    rxn__score_declare(&kernel->score, frame, request);
    declare_integrals(frame, kernel);
    kernel->width = plan->features.count + plan->pairs.count + leaves;
    if (kernel->width)
        kernel->kept = rxn__kir_local(frame->builder, "kept_control", KIR_F64,
                                      plan->time_count * kernel->width);
    kernel->sums = NEW_ARRAY(frame->arena, u32, leaves + 1);
    for (u32 p = 0; p <= leaves; p++) {
        char name[32];
        snprintf(name, sizeof name, "weighed%u", p);
        kernel->sums[p] = rxn__kir_local(frame->builder, name, KIR_F64, 0);
    }
    size_t size = rxn__control_size(plan);
    const ControlWeights *weights = request->control;
    const double *none =
        weights ? NULL : NEW_ARRAY(frame->arena, double, functionals *(leaves + 1) * size + 1);
    kernel->edge = table(frame, "bin_edge", KIR_I32, plan->edge, plan->edge_count);
    kernel->last = table(frame, "last_row", KIR_I32, plan->last, functionals);
    kernel->edges_before = table(frame, "edges_before", KIR_I32, plan->edges_before, functionals);
    kernel->value_weight =
        table(frame, "value_weight", KIR_F64, weights ? weights->value : none, functionals * size);
    if (leaves)
        kernel->direct_weight =
            table(frame, "direct_weight", KIR_F64, weights ? weights->direct : none,
                  functionals * leaves * size);
    if (plan->plain)
        kernel->place = table_of_places(frame, kernel);
}

static void
rates(SsaFrame *frame, void *context, const KirValue *propensities, KirValue span)
{
    MartingaleKernel *kernel = context;
    integrate(frame, kernel, span);
    rxn__score_rates(&kernel->score, propensities, span);
}

static void
elapse(SsaFrame *frame, void *context, const KirValue *below)
{
    MartingaleKernel *kernel = context;
    elapse_integrals(frame, kernel, below);
    rxn__score_elapse(&kernel->score, below);
}

static void
record(SsaFrame *frame, void *context, KirValue row, KirValue time)
{
    MartingaleKernel *kernel = context;
    KirBuilder *b = frame->builder;
    const ControlPlan *plan = kernel->plan;
    u32 features = plan->features.count, pairs = plan->pairs.count;
    rxn__recorder_record(&kernel->recorder, row, time);
    KirValue first = kir_mul(b, row, i32_const(frame, kernel->width));
    for (u32 k = 0; k < kernel->width; k++) {
        KirValue value =
            k < features ? martingale_at(frame, kernel, k, time)
            : k < features + pairs
                ? rxn__time_integral_at(frame, &kernel->covariances[k - features], time)
                : rxn__score_at(&kernel->score, k - features - pairs, time);
        rxn__kir_set(b, kernel->kept, kir_add(b, first, i32_const(frame, k)), value);
    }
}

static KirValue
kept_at(SsaFrame *frame, MartingaleKernel *kernel, KirValue first, u32 number)
{
    return rxn__kir_get(frame->builder, kernel->kept,
                        kir_add(frame->builder, first, i32_const(frame, number)));
}

static KirValue
weight(SsaFrame *frame, u32 buffer, KirValue first, u32 feature)
{
    KirValue index = kir_add(frame->builder, first, i32_const(frame, feature));
    return rxn__kir_load(frame->builder, buffer, &index);
}

/* Adds what a functional takes from row `row`, where its weights are those of node `node`. */
static void
weigh(SsaFrame *frame, MartingaleKernel *kernel, KirValue functional, KirValue node, KirValue row)
{
    KirBuilder *b = frame->builder;
    const ControlPlan *plan = kernel->plan;
    u32 features = plan->features.count, leaves = kernel->row.leaves;
    KirValue size = i32_const(frame, (i64)rxn__control_size(plan));
    KirValue first = kir_mul(b, row, i32_const(frame, kernel->width));
    KirValue inside = kir_mul(b, node, i32_const(frame, features));
    KirValue values = kir_add(b, kir_mul(b, functional, size), inside);
    KirValue *sums = NEW_ARRAY(frame->arena, KirValue, leaves + 1);
    for (u32 p = 0; p <= leaves; p++)
        sums[p] = rxn__kir_get(b, kernel->sums[p], 0);
    for (u32 f = 0; f < features; f++) {
        KirValue martingale = kept_at(frame, kernel, first, f);
        sums[0] = kir_fma(b, weight(frame, kernel->value_weight, values, f), martingale, sums[0]);
        for (u32 p = 0; p < leaves; p++) {
            KirValue pair =
                kir_add(b, kir_mul(b, functional, i32_const(frame, leaves)), i32_const(frame, p));
            KirValue direct = kir_add(b, kir_mul(b, pair, size), inside);
            sums[p + 1] = kir_fma(b, kir_neg(b, weight(frame, kernel->direct_weight, direct, f)),
                                  martingale, sums[p + 1]);
        }
    }
    for (u32 k = 0; k < plan->pairs.count; k++) {
        const ControlPair *pair = &plan->pairs.items[k];
        KirValue *sum = &sums[pair->leaf + 1];
        *sum = kir_fma(b, weight(frame, kernel->value_weight, values, pair->feature),
                       kept_at(frame, kernel, first, features + k), *sum);
    }
    for (u32 p = 0; p <= leaves; p++)
        rxn__kir_set(b, kernel->sums[p], 0, sums[p]);
}

static void
store(SsaFrame *frame, KirValue column, KirValue value)
{
    KirValue index[2] = {i32_const(frame, 0), column};
    rxn__kir_store(frame->builder, frame->sample, index, value);
}

/* Everything of one functional; its number may be a counter. */
static void
finish_functional(SsaFrame *frame, MartingaleKernel *kernel, KirValue functional, KirValue value,
                  const Expr *partial)
{
    KirBuilder *b = frame->builder;
    const ControlPlan *plan = kernel->plan;
    const GradientRow *row = &kernel->row;
    u32 leaves = row->leaves;
    KirValue last = rxn__kir_load(b, kernel->last, &functional);
    KirValue count = rxn__kir_load(b, kernel->edges_before, &functional);
    for (u32 p = 0; p <= leaves; p++)
        rxn__kir_set(b, kernel->sums[p], 0, rxn__kir_const(b, KIR_F64, 0));
    if (plan->features.count) {
        KirValue edge = rxn__kir_for(b, i32_const(frame, 0), count);
        weigh(frame, kernel, functional, edge, rxn__kir_load(b, kernel->edge, &edge));
        rxn__kir_close(b);
        weigh(frame, kernel, functional, i32_const(frame, plan->edge_count), last);
    }
    store(frame, kir_add(b, functional, i32_const(frame, rxn__row_value(row, 0))), value);
    store(frame, kir_add(b, functional, i32_const(frame, rxn__row_control(row, 0))),
          rxn__kir_get(b, kernel->sums[0], 0));
    KirValue first = kir_mul(b, functional, i32_const(frame, leaves));
    KirValue kept = kir_mul(b, last, i32_const(frame, kernel->width));
    for (u32 p = 0; p < leaves; p++) {
        u32 score = plan->features.count + plan->pairs.count + p;
        KirValue direct = rxn__kir_get(b, kernel->sums[p + 1], 0);
        if (partial)
            direct = kir_add(b, direct, rxn__recorder_value(&kernel->recorder, partial[p]));
        store(frame, kir_add(b, first, i32_const(frame, rxn__row_score(row, 0, p))),
              kept_at(frame, kernel, kept, score));
        store(frame, kir_add(b, first, i32_const(frame, rxn__row_direct(row, 0, p))), direct);
    }
}

static void
finish(SsaFrame *frame, void *context)
{
    MartingaleKernel *kernel = context;
    KirBuilder *b = frame->builder;
    const ControlPlan *plan = kernel->plan;
    u32 functionals = kernel->row.functionals;
    if (kernel->row.diagnostic_count)
        rxn__row_store(frame, rxn__row_diagnostic(&kernel->row, 0),
                       rxn__score_blind(&kernel->score));
    if (plan->plain) {
        KirValue i = rxn__kir_for(b, i32_const(frame, 0), i32_const(frame, functionals));
        KirValue place = rxn__kir_load(b, kernel->place, &i);
        finish_functional(frame, kernel, i, rxn__kir_get(b, kernel->recorder.kept, place), NULL);
        rxn__kir_close(b);
        return;
    }
    rxn__recorder_finish(&kernel->recorder);
    for (u32 i = 0; i < functionals; i++)
        finish_functional(frame, kernel, i32_const(frame, i),
                          rxn__recorder_functional(&kernel->recorder, i),
                          plan->partial ? plan->partial + (size_t)i * kernel->row.leaves : NULL);
}

static bool
applies(const GradientRequest *request, Text *ret_reason)
{
    const Objective *objective = request->network->objective;
    for (u32 k = 0; k < objective->atoms.count; k++)
        if (objective->atoms.items[k].kind == ATOM_PASSAGE) {
            rxn__text_printf(ret_reason, "it has no control variate for the time at which a "
                                         "condition first holds; 'score' differentiates that");
            return false;
        }
    return rxn__gradient_unrolls(request, ret_reason) &&
           rxn__control_plan(request, request->network->arena, ret_reason);
}

static const char *
write_kernel(const GradientRequest *request, Arena *arena, NameTable *names,
             GradientKernel *ret_kernel)
{
    Text reason;
    rxn__text_init(&reason, arena);
    MartingaleKernel kernel = {.plan = rxn__control_plan(request, arena, &reason)};
    if (!kernel.plan)
        return reason.data;
    const Objective *objective = request->network->objective;
    kernel.row = (GradientRow){
        .functionals = objective->functionals.count,
        .outputs = objective->outputs.count,
        .leaves = request->wrt_count,
        .has_control = true,
        .has_score = request->wrt_count > 0,
        .has_direct = request->wrt_count > 0,
        .diagnostic_count = request->wrt_count > 0,
        .diagnostics = {{SCORE_BLIND, SUMMARY_MEAN}},
    };
    SsaExtension extension = {.context = &kernel,
                              .declare = declare,
                              .start = start,
                              .rates = rates,
                              .record = record,
                              .elapse = elapse,
                              .finish = finish};
    ret_kernel->unbiased = true;
    ret_kernel->times = kernel.plan->times;
    ret_kernel->time_count = kernel.plan->time_count;
    return rxn__gradient_write(request, &kernel.row, &extension, arena, names, ret_kernel);
}

/* ---- the pilot's kernel ------------------------------------------------------------------------ */

static void
declare_pilot(SsaFrame *frame, void *context)
{
    MartingaleKernel *kernel = context;
    rxn__recorder_declare(&kernel->recorder, frame, kernel->plan->recorded, "");
    declare_integrals(frame, kernel);
    if (kernel->plan->plain)
        kernel->place = table_of_places(frame, kernel);
}

static void
pilot_rates(SsaFrame *frame, void *context, const KirValue *propensities, KirValue span)
{
    (void)propensities;
    integrate(frame, context, span);
}

static void
record_pilot(SsaFrame *frame, void *context, KirValue row, KirValue time)
{
    MartingaleKernel *kernel = context;
    KirBuilder *b = frame->builder;
    const ControlPlan *plan = kernel->plan;
    const Objective *objective = frame->network->objective;
    rxn__recorder_record(&kernel->recorder, row, time);
    u32 begin = rxn__pilot_row(plan, 0), width = rxn__pilot_row(plan, 1) - begin, column = 0;
    KirValue first = kir_add(b, kir_mul(b, row, i32_const(frame, width)), i32_const(frame, begin));
    for (u32 s = 0; s < plan->species.count; s++) {
        Expr count = rxn__control_species(plan, plan->species.items[s]);
        store(frame, kir_add(b, first, i32_const(frame, column++)),
              rxn__lower_as(&frame->lower, count, KIR_F64));
    }
    for (u32 f = 0; f < plan->features.count; f++)
        store(frame, kir_add(b, first, i32_const(frame, column++)),
              martingale_at(frame, kernel, f, time));
    for (u32 k = 0; k < plan->pairs.count; k++)
        store(frame, kir_add(b, first, i32_const(frame, column++)),
              rxn__time_integral_at(frame, &kernel->covariances[k], time));
    for (u32 k = 0; k < objective->atoms.count; k++) {
        if (objective->atoms.items[k].kind != ATOM_INTEGRAL)
            continue;
        u32 integral = rxn__recorder_column(&kernel->recorder, &objective->atoms.items[k]) -
                       kernel->recorder.columns.count;
        store(frame, kir_add(b, first, i32_const(frame, column++)),
              rxn__time_integral_at(frame, &kernel->recorder.integrals.items[integral], time));
    }
}

static void
finish_pilot(SsaFrame *frame, void *context)
{
    MartingaleKernel *kernel = context;
    const Objective *objective = frame->network->objective;
    u32 functionals = objective->functionals.count;
    if (kernel->plan->plain) {
        KirBuilder *b = frame->builder;
        KirValue i = rxn__kir_for(b, i32_const(frame, 0), i32_const(frame, functionals));
        KirValue place = rxn__kir_load(b, kernel->place, &i);
        store(frame, i, rxn__kir_get(b, kernel->recorder.kept, place));
        rxn__kir_close(b);
        return;
    }
    rxn__recorder_finish(&kernel->recorder);
    for (u32 i = 0; i < functionals; i++)
        rxn__row_store(frame, i, rxn__recorder_functional(&kernel->recorder, i));
    for (u32 k = 0; k < objective->atoms.count; k++)
        rxn__row_store(frame, functionals + k, kernel->recorder.atoms[k]);
    u32 partials = rxn__pilot_partials(kernel->plan);
    for (u32 k = 0; k < partials; k++)
        rxn__row_store(frame, functionals + objective->atoms.count + k,
                       rxn__recorder_value(&kernel->recorder, kernel->plan->partial[k]));
}

static void
elapse_pilot(SsaFrame *frame, void *context, const KirValue *below)
{
    elapse_integrals(frame, context, below);
}

static const char *
write_pilot(const GradientRequest *request, Arena *arena, NameTable *names,
            GradientKernel *ret_kernel)
{
    Text reason;
    rxn__text_init(&reason, arena);
    MartingaleKernel kernel = {.plan = rxn__control_plan(request, arena, &reason)};
    if (!kernel.plan)
        return reason.data;
    SsaExtension extension = {.context = &kernel,
                              .columns = rxn__pilot_columns(kernel.plan),
                              .declare = declare_pilot,
                              .start = start,
                              .rates = pilot_rates,
                              .record = record_pilot,
                              .elapse = elapse_pilot,
                              .finish = finish_pilot};
    MethodOptions options = {.precision = request->precision};
    ret_kernel->times = kernel.plan->times;
    ret_kernel->time_count = kernel.plan->time_count;
    return rxn__ssa_write_extended(request->network, &options, arena, names, &extension,
                                   &ret_kernel->kernel);
}

const Estimator rxn__estimator_pilot = {
    .name = "martingale (pilot)",
    .summary = "what the control variate of 'martingale' is fitted to",
    .applies = applies,
    .write = write_pilot,
};

const Estimator rxn__estimator_martingale = {
    .name = "martingale",
    .summary = "score with a learned control variate: unbiased for every functional",
    .applies = applies,
    .write = write_kernel,
    .pilot = &rxn__estimator_pilot,
};
