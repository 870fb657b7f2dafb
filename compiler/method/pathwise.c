/* pathwise.c: see pathwise.h. */
#include "compiler/method/pathwise.h"

#include <math.h>
#include <string.h>

void
rxn__pathwise_declare(Pathwise *pathwise, SsaFrame *frame, const GradientRequest *request)
{
    Network *network = frame->network;
    Arena *arena = frame->arena;
    u32 reactions = network->reaction_count, species = network->species_count;
    u32 leaves = request->wrt_count;
    *pathwise = (Pathwise){
        .frame = frame,
        .request = request,
        .changes = NEW_ARRAY(arena, Change *, reactions + 1),
        .change_counts = NEW_ARRAY(arena, u32, reactions + 1),
        .gradient = NEW_ARRAY(arena, Expr, (size_t)reactions * species + 1),
        .source = NEW_ARRAY(arena, Expr, (size_t)reactions * leaves + 1),
        .slope = NEW_ARRAY(arena, KirValue, (size_t)reactions * species + 1),
        .drift = NEW_ARRAY(arena, KirValue, (size_t)leaves * species + 1),
    };
    for (u32 j = 0; j < reactions; j++) {
        u32 member;
        Reaction reaction = *rxn__reaction_of_flat(network, j, &member);
        u32 most = reaction.reactants.count + reaction.products.count;
        pathwise->changes[j] = NEW_ARRAY(arena, Change, most + 1);
        pathwise->change_counts[j] =
            rxn__reaction_changes(network, &reaction, member, most, pathwise->changes[j]);
        Expr propensity = rxn__reaction_member_propensity(network, &reaction, member);
        for (u32 s = 0; s < species; s++)
            pathwise->gradient[(size_t)j * species + s] =
                rxn__expr_derivative(network, propensity, EXPR_SPECIES, s);
        for (u32 p = 0; p < leaves; p++)
            pathwise->source[(size_t)j * leaves + p] =
                rxn__expr_derivative(network, propensity, EXPR_PARAM, request->wrt[p]);
    }
}

static KirValue
lower_or_zero(SsaFrame *frame, Expr expr)
{
    return rxn__expr_is_zero(frame->network, expr) ? 0
                                                   : rxn__lower_as(&frame->lower, expr, KIR_F64);
}

/* sum + factor * value, any of which may be 0 for zero. */
static KirValue
add_scaled(SsaFrame *frame, KirValue sum, double factor, KirValue value)
{
    KirBuilder *b = frame->builder;
    if (!value)
        return sum;
    if (factor == -1 && sum)
        return kir_sub(b, sum, value);
    if (factor != 1)
        value = kir_mul(b, value, rxn__kir_const(b, KIR_F64, factor));
    return sum ? kir_add(b, sum, value) : value;
}

static KirValue
add_product(SsaFrame *frame, KirValue sum, KirValue x, KirValue y)
{
    KirBuilder *b = frame->builder;
    if (!x || !y)
        return sum;
    return sum ? kir_fma(b, x, y, sum) : kir_mul(b, x, y);
}

static double
length_of(const Pathwise *pathwise, u32 reaction)
{
    double length = 0;
    for (u32 k = 0; k < pathwise->change_counts[reaction]; k++) {
        i32 delta = pathwise->changes[reaction][k].delta;
        length += delta < 0 ? -delta : delta;
    }
    return length;
}

/* The largest column of Σ_j |ν_j| |∇a_j|, a bound of the 1-norm; 0: there is nothing. */
static KirValue
norm_of_present(const Pathwise *pathwise)
{
    SsaFrame *frame = pathwise->frame;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count, species = frame->network->species_count;
    KirValue norm = 0;
    for (u32 s = 0; s < species; s++) {
        KirValue column = 0;
        for (u32 j = 0; j < reactions; j++) {
            KirValue slope = pathwise->slope[(size_t)j * species + s];
            if (slope)
                column = add_scaled(frame, column, length_of(pathwise, j), kir_abs(b, slope));
        }
        if (column)
            norm = norm ? kir_max(b, norm, column) : column;
    }
    return norm;
}

/* Then all that is made of them is computed once for the launch. Larger systems would fill it with code. */
static bool
has_constant_slopes(const Pathwise *pathwise)
{
    enum { MOST_SPECIES = 12 };
    const Network *network = pathwise->frame->network;
    size_t count = (size_t)network->reaction_count * network->species_count;
    for (size_t k = 0; k < count; k++) {
        ExprUses uses = rxn__expr_uses(network, pathwise->gradient[k]);
        if (uses.species || uses.time || uses.window)
            return false;
    }
    return network->species_count <= MOST_SPECIES;
}

static KirValue
norm(SsaFrame *frame, const KirValue *matrix, u32 n)
{
    KirBuilder *b = frame->builder;
    KirValue most = 0;
    for (u32 column = 0; column < n; column++) {
        KirValue sum = 0;
        for (u32 row = 0; row < n; row++)
            if (matrix[row * n + column])
                sum = add_scaled(frame, sum, 1, kir_abs(b, matrix[row * n + column]));
        if (sum)
            most = most ? kir_max(b, most, sum) : sum;
    }
    return most ? most : rxn__kir_const(b, KIR_F64, 0);
}

static KirValue
measure_of_constant(const Pathwise *pathwise)
{
    SsaFrame *frame = pathwise->frame;
    KirBuilder *b = frame->builder;
    u32 n = frame->network->species_count, reactions = frame->network->reaction_count;
    KirValue *power[3];
    for (u32 k = 0; k < 3; k++)
        power[k] = NEW_ARRAY(frame->arena, KirValue, n * n + 1);
    for (u32 j = 0; j < reactions; j++)
        for (u32 k = 0; k < pathwise->change_counts[j]; k++)
            for (u32 s = 0; s < n; s++) {
                Change change = pathwise->changes[j][k];
                KirValue *entry = &power[0][change.species * n + s];
                *entry =
                    add_scaled(frame, *entry, change.delta, pathwise->slope[(size_t)j * n + s]);
            }
    for (u32 k = 1; k < 3; k++)
        for (u32 row = 0; row < n; row++)
            for (u32 column = 0; column < n; column++)
                for (u32 m = 0; m < n; m++) {
                    KirValue *entry = &power[k][row * n + column];
                    *entry = add_product(frame, *entry, power[k - 1][row * n + m],
                                         power[0][m * n + column]);
                }
    KirValue second = kir_sqrt(b, norm(frame, power[1], n));
    KirValue third =
        rxn__kir_op(b, KIR_POW, norm(frame, power[2], n), rxn__kir_const(b, KIR_F64, 1.0 / 3), 0);
    return kir_max(b, second, third);
}

void
rxn__pathwise_rates(Pathwise *pathwise)
{
    SsaFrame *frame = pathwise->frame;
    const Network *network = frame->network;
    u32 reactions = network->reaction_count, species = network->species_count;
    u32 leaves = pathwise->request->wrt_count;
    for (size_t k = 0; k < (size_t)reactions * species; k++)
        pathwise->slope[k] = lower_or_zero(frame, pathwise->gradient[k]);
    memset(pathwise->drift, 0, (size_t)leaves * species * sizeof *pathwise->drift);
    for (u32 j = 0; j < reactions; j++)
        for (u32 p = 0; p < leaves; p++) {
            KirValue value = lower_or_zero(frame, pathwise->source[(size_t)j * leaves + p]);
            for (u32 k = 0; k < pathwise->change_counts[j]; k++) {
                Change change = pathwise->changes[j][k];
                KirValue *drift = &pathwise->drift[p * species + change.species];
                *drift = add_scaled(frame, *drift, change.delta, value);
            }
        }
    pathwise->size =
        has_constant_slopes(pathwise) ? measure_of_constant(pathwise) : norm_of_present(pathwise);
}

void
rxn__pathwise_apply(const Pathwise *pathwise, const KirValue *v, KirValue *ret)
{
    SsaFrame *frame = pathwise->frame;
    u32 reactions = frame->network->reaction_count, species = frame->network->species_count;
    memset(ret, 0, species * sizeof *ret);
    for (u32 j = 0; j < reactions; j++) {
        KirValue flow = 0;
        for (u32 s = 0; s < species; s++)
            flow = add_product(frame, flow, pathwise->slope[(size_t)j * species + s], v[s]);
        for (u32 k = 0; k < pathwise->change_counts[j]; k++) {
            Change change = pathwise->changes[j][k];
            ret[change.species] = add_scaled(frame, ret[change.species], change.delta, flow);
        }
    }
}

void
rxn__pathwise_apply_transposed(const Pathwise *pathwise, const KirValue *v, KirValue *ret)
{
    SsaFrame *frame = pathwise->frame;
    u32 reactions = frame->network->reaction_count, species = frame->network->species_count;
    memset(ret, 0, species * sizeof *ret);
    for (u32 j = 0; j < reactions; j++) {
        KirValue worth = 0; /* ν_j · v */
        for (u32 k = 0; k < pathwise->change_counts[j]; k++) {
            Change change = pathwise->changes[j][k];
            worth = add_scaled(frame, worth, change.delta, v[change.species]);
        }
        for (u32 s = 0; s < species; s++)
            ret[s] = add_product(frame, ret[s], pathwise->slope[(size_t)j * species + s], worth);
    }
}

void
rxn__pathwise_add_source(const Pathwise *pathwise, u32 leaf, KirValue *v)
{
    u32 species = pathwise->frame->network->species_count;
    for (u32 s = 0; s < species; s++)
        v[s] = add_scaled(pathwise->frame, v[s], 1, pathwise->drift[leaf * species + s]);
}

KirValue
rxn__pathwise_limit(const Pathwise *pathwise)
{
    KirBuilder *b = pathwise->frame->builder;
    if (!pathwise->size)
        return rxn__kir_const(b, KIR_F64, INFINITY);
    return kir_div(b, rxn__kir_const(b, KIR_F64, PATHWISE_REACH), pathwise->size);
}

/* ---- a wait in parts --------------------------------------------------------------------------- */

KirValue
rxn__pathwise_parts(SsaFrame *frame, KirValue size, double reach, u32 at)
{
    const double most_parts = 1e6;
    KirBuilder *b = frame->builder;
    KirValue wanted = kir_ceil(b, kir_mul(b, size, rxn__kir_const(b, KIR_F64, 1 / reach)));
    KirValue parts = kir_max(b, rxn__kir_const(b, KIR_F64, 1), wanted);
    KirValue possible =
        kir_and(b, kir_eq(b, size, size), kir_lt(b, parts, rxn__kir_const(b, KIR_F64, most_parts)));
    rxn__kir_if(b, kir_not(b, possible));
    rxn__kir_set(b, frame->t, 0, rxn__kir_get(b, at, 0));
    rxn__kir_trap(b, RXN_FAULT_STIFF, rxn__kir_const(b, KIR_U32, 0));
    rxn__kir_close(b);
    return parts;
}

void
rxn__pathwise_each_part(SsaFrame *frame, KirValue parts, u32 left)
{
    rxn__kir_set(frame->builder, left, 0, parts);
    rxn__kir_loop(frame->builder);
}

void
rxn__pathwise_close_part(SsaFrame *frame, u32 left)
{
    KirBuilder *b = frame->builder;
    KirValue less = kir_sub(b, rxn__kir_get(b, left, 0), rxn__kir_const(b, KIR_F64, 1));
    rxn__kir_set(b, left, 0, less);
    rxn__kir_if(b, kir_not(b, kir_gt(b, less, rxn__kir_const(b, KIR_F64, 0.5))));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

/* ---- what it can do ---------------------------------------------------------------------------- */

bool
rxn__pathwise_applies(const GradientRequest *request, Text *ret_reason)
{
    return rxn__pathwise_takes(request, ret_reason) && rxn__gradient_unrolls(request, ret_reason);
}

bool
rxn__pathwise_takes(const GradientRequest *request, Text *ret_reason)
{
    const Network *network = request->network;
    for (u32 e = 0; e < network->events.count; e++)
        if (network->events.items[e].kind == EVENT_WHEN) {
            rxn__text_printf(ret_reason, "it does not differentiate through 'when' events; score, "
                                         "gk and martingale do");
            return false;
        }
    for (u32 r = 0; r < network->reactions.count; r++)
        if (rxn__expr_uses(network, network->reactions.items[r].propensity).time) {
            rxn__text_printf(ret_reason, "it takes rates that are constant between given times; "
                                         "score, gk and martingale take any");
            return false;
        }
    for (u32 k = 0; k < network->objective->functionals.count; k++) {
        FunctionalFacts facts;
        rxn__functional_facts(network, k, network->arena, &facts);
        if (!facts.differentiable) {
            rxn__text_printf(ret_reason, "%s; score, gk and martingale need no derivative of it",
                             facts.has_passage ? "a first-passage time jumps with the path"
                                               : "what is observed jumps with the counts");
            return false;
        }
    }
    return true;
}

bool
rxn__pathwise_is_unbiased(const GradientRequest *request, const char **ret_remarks)
{
    Network *network = request->network;
    bool laws = network->traits.affine, observed = true, assigned = true;
    for (u32 k = 0; k < network->objective->functionals.count; k++) {
        FunctionalFacts facts;
        rxn__functional_facts(network, k, network->arena, &facts);
        observed &= facts.affine;
    }
    for (u32 e = 0; e < network->events.count; e++) {
        const Event *event = &network->events.items[e];
        for (u32 k = 0; k < event->assignments.count; k++)
            assigned &=
                rxn__expr_is_affine(network, event->assignments.items[k].value, network->arena);
    }
    *ret_remarks = !laws       ? "biased: not all rate laws are affine in the counts"
                   : !observed ? "biased: what is observed is not affine in the counts"
                   : !assigned ? "biased: an event assigns what is not affine in the counts"
                               : "unbiased: all rate laws, and what is observed, are affine in the "
                                 "counts";
    return laws && observed && assigned;
}
