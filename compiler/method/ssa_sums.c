/* ssa_sums.c: the weighted sums of the laws, kept from step to step (see network/accumulate.h).
 *
 * Locals: sum0[…], sum1[…], … in f64 in every precision, one array for each distinct SUM node of the laws. A law
 * reads its sum from there. A reaction that changes H[g] by d adds d·V[k,g] to sum0[k] for each k. At the start, after
 * an event that assigns, and every `interval` steps all of them are added up anew, and all propensities follow: what
 * a propensity is depends on the counts and the sums alone, and when the sums are added up on the step number of
 * the trajectory alone. (So the tape restores the sums with the counts, and gets the same bits.)
 *
 * Rounding. With u = 2^-53, a sum of n terms that are not exact is off by at most (n + 2)·u·Σ|weight|·count when it
 * has been added up, and by u·|sum| more with each change (and by some u·|change| more where the weight is the
 * result of operations that the law does in another order). What this may do is known from the laws
 * (network/accumulate_use.c):
 *
 *   exact      weights are multiples of 2^-q, known now, and the sum stays below 2^(53 - q): there is no error.
 *              Should Σ|weight|·count ever pass 2^(51 - q), the sums are added up at every step.
 *   smooth     the law's relative error is some multiple of the sum's absolute one: interval·u of the largest value.
 *   guarded    anything else that is continuous. error0[…] keeps the bound above. Where a sum has become smaller than
 *              2^30 of it, it is added up anew, there and then. So a law reads either what the full sum gives, to the
 *              bit, or a number that differs from the exact sum by less than 2^-30 of itself and so has its sign: a
 *              propensity that is to be zero is zero, and none turns negative.
 *   none       it is compared with something, or rounded, or subtracted from what may be equal to it, and not
 *              exact: added up whenever it is read.
 */
#include "compiler/method/ssa_private.h"

#include "compiler/network/accumulate.h"

#include <math.h>
#include <stdio.h>

/* Shorter sums are straight code in the law. */
enum { LEAST_TERMS = RXN_UNROLL_SUM + 1 };

/* Of one trajectory, all sums together. */
enum { MOST_SUMS = 1 << 20 };

/* Steps from one full summation to the next: at least the first, and as many as make it cheap, up to the second. */
enum { SHORTEST_INTERVAL = 1 << 12, LONGEST_INTERVAL = 1 << 16 };

/* Of weights that may be exact: multiples of 2^-20, up to 2^20. */
enum { MOST_BITS = 20 };

typedef struct KeptSum {
    u32 first, count; /* its accumulators */
    Expr sum;
    Expr magnitude; /* Σ |weight| · count, of the same free variables */
    u32 local, error;
    bool guarded;
    double limit; /* exact: of the magnitude at a full summation */
    u64 terms, members;
    u32 roundings; /* of a weight, at most: written in another order, each may fall differently */
} KeptSum;

struct SsaSums {
    Accumulators accumulators;
    VEC(KeptSum) kept;
    u32 interval;
    u32 stale;   /* bool: the counts have been assigned */
    u32 due;     /* u32: the step of the next full summation */
    u32 doubted; /* bool: some guarded sum has lost too many digits */
};

static KirValue
i32v(SsaFrame *frame, i64 value)
{
    return rxn__kir_const(frame->builder, KIR_I32, (double)value);
}

static KirValue
f64v(SsaFrame *frame, double value)
{
    return rxn__kir_const(frame->builder, KIR_F64, value);
}

/* ---- which are kept ---------------------------------------------------------------------------- */

/* Fractional bits of a number, -1: more than MOST_BITS, or it is too large. */
static int
fractional_bits(double value)
{
    if (!(fabs(value) <= ldexp(1, MOST_BITS)))
        return -1;
    for (int bits = 0; bits <= MOST_BITS; bits++)
        if (ldexp(value, bits) == floor(ldexp(value, bits)))
            return bits;
    return -1;
}

/* The most that one reaction can change a sum with weights up to 1. */
static double
largest_change(const Network *network)
{
    double largest = 0;
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        double change = 0;
        for (u32 k = 0; k < reaction->reactants.count; k++)
            change += reaction->reactants.items[k].coefficient;
        for (u32 k = 0; k < reaction->products.count; k++)
            change += reaction->products.items[k].coefficient;
        largest = fmax(largest, change);
    }
    return largest;
}

/* Whether all arithmetic of this sum is exact, as long as its magnitude was within `limit` at the last full
 * summation. */
static bool
is_exact(const Network *network, const Accumulators *list, KeptSum *kept)
{
    int most_bits = 0;
    double weights = 0;
    for (u32 k = 0; k < kept->count; k++) {
        const ExprNode *weight = expr_node(network, list->items[kept->first + k].weight);
        int bits = weight->op == EXPR_NUMBER ? fractional_bits(weight->number) : -1;
        if (bits < 0)
            return false;
        most_bits = bits > most_bits ? bits : most_bits;
        weights += fabs(weight->number);
    }
    kept->limit = ldexp(1, 51 - most_bits);
    return weights * largest_change(network) * LONGEST_INTERVAL < kept->limit;
}

static Expr
magnitude_of(Network *network, const Accumulators *list, const KeptSum *kept)
{
    Expr total = 0;
    for (u32 k = 0; k < kept->count; k++) {
        const Accumulator *entry = &list->items[kept->first + k];
        u32 rank = network->species.items[entry->species].shape.rank;
        Expr count = rxn__expr_object(network, EXPR_SPECIES, entry->species, rank, entry->index);
        Expr sum =
            expr_binary(network, EXPR_MUL, expr_unary(network, EXPR_ABS, entry->weight), count);
        for (u32 v = entry->inner_count; v-- > 0;)
            sum = rxn__expr_object(network, EXPR_SUM, entry->inner[v], 1, &sum);
        total = total ? expr_binary(network, EXPR_ADD, total, sum) : sum;
    }
    return total;
}

static u64
terms_of(const Network *network, const Accumulators *list, const KeptSum *kept)
{
    u64 terms = 0;
    for (u32 k = 0; k < kept->count; k++) {
        const Accumulator *entry = &list->items[kept->first + k];
        u64 members = 1;
        for (u32 v = 0; v < entry->inner_count; v++) {
            Variable range = network->variables.items[entry->inner[v]];
            members *= (u64)(range.high - range.low + 1);
        }
        terms += members;
    }
    return terms;
}

typedef struct RoundingSearch {
    const Network *network;
    u32 count;
} RoundingSearch;

static void
count_rounding(void *context, Expr expr)
{
    RoundingSearch *search = context;
    switch ((ExprOp)expr_node(search->network, expr)->op) {
    case EXPR_SPECIES:
    case EXPR_PARAM:
    case EXPR_INPUT:
    case EXPR_HOISTED:
    case EXPR_NEG: break;
    default: search->count += rxn__expr_ops[expr_node(search->network, expr)->op].arity != 0;
    }
}

/* Operations in the weights: an upper bound, since indices are counted, too. */
static u32
roundings_of(SsaFrame *frame, const Accumulators *list, const KeptSum *kept)
{
    u32 most = 0;
    for (u32 k = 0; k < kept->count; k++) {
        RoundingSearch search = {frame->network, 0};
        rxn__expr_walk(frame->network, list->items[kept->first + k].weight, frame->arena,
                       count_rounding, &search);
        most = search.count > most ? search.count : most;
    }
    return 2 * most;
}

void
rxn__ssa_sums_declare(SsaFrame *frame)
{
    Network *network = frame->network;
    KirBuilder *b = frame->builder;
    SsaSums *sums = NEW_ARRAY(frame->arena, SsaSums, 1);
    Accumulators *list = &sums->accumulators;
    rxn__network_accumulators(network, frame->arena, LEAST_TERMS, list);
    AccumulatorUse *uses = NEW_ARRAY(frame->arena, AccumulatorUse, list->count + 1);
    rxn__accumulator_uses(network, list, frame->arena, uses);
    u64 members = 0, terms = 0;
    for (u32 first = 0, behind; first < list->count; first = behind) {
        KeptSum kept = {.first = first, .sum = list->items[first].sum};
        for (behind = first; behind < list->count && list->items[behind].sum == kept.sum; behind++)
            kept.count++;
        bool exact = is_exact(network, list, &kept);
        if (!exact && uses[first] == ACCUMULATOR_DECIDES)
            continue;
        kept.members = rxn__shape_count(&list->items[first].shape);
        if (kept.members > MOST_SUMS - members)
            continue;
        kept.guarded = !exact && uses[first] == ACCUMULATOR_RELATIVE;
        kept.terms = terms_of(network, list, &kept);
        kept.roundings = roundings_of(frame, list, &kept);
        if (!exact)
            kept.limit = INFINITY;
        if (exact || kept.guarded)
            kept.magnitude = magnitude_of(network, list, &kept);
        members += kept.members;
        terms += kept.members * kept.terms;
        char name[32];
        u32 length = list->items[first].shape.rank ? (u32)kept.members : 0;
        snprintf(name, sizeof name, "sum%u", sums->kept.count);
        kept.local = rxn__kir_local(b, name, KIR_F64, length);
        if (length)
            vec_push(frame->arena, &frame->kept_arrays, kept.local);
        if (kept.guarded) {
            snprintf(name, sizeof name, "error%u", sums->kept.count);
            kept.error = rxn__kir_local(b, name, KIR_F64, length);
            if (length)
                vec_push(frame->arena, &frame->kept_arrays, kept.error);
        }
        vec_push(frame->arena, &sums->kept, kept);
    }
    if (!sums->kept.count)
        return;
    sums->interval = SHORTEST_INTERVAL;
    while (sums->interval < LONGEST_INTERVAL && terms > 64 * (u64)sums->interval)
        sums->interval *= 2;
    sums->stale = rxn__kir_local(b, "stale", KIR_BOOL, 0);
    sums->due = rxn__kir_local(b, "due", KIR_U32, 0);
    sums->doubted = rxn__kir_local(b, "doubted", KIR_BOOL, 0);
    frame->sums = sums;
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* The place of the sum whose variables are bound: row-major, each from its least value; 0 for a scalar. */
static KirValue
place_of(SsaFrame *frame, const Accumulator *entry)
{
    KirBuilder *b = frame->builder;
    KirValue place = 0;
    for (u32 k = 0; k < entry->shape.rank; k++) {
        u32 variable = entry->variables[k];
        i64 low = frame->network->variables.items[variable].low;
        KirValue index = frame->lower.variable_value[variable];
        if (low)
            index = kir_sub(b, index, i32v(frame, low));
        if (place)
            place = kir_mul(b, place, i32v(frame, entry->shape.extent[k]));
        place = place ? kir_add(b, place, index) : index;
    }
    return place;
}

static KirValue
read_sum(void *context, Expr sum)
{
    SsaFrame *frame = context;
    const SsaSums *sums = frame->sums;
    for (u32 k = 0; k < sums->kept.count; k++) {
        const KeptSum *kept = &sums->kept.items[k];
        if (kept->sum == sum)
            return rxn__kir_get(frame->builder, kept->local,
                                place_of(frame, &sums->accumulators.items[kept->first]));
    }
    return 0;
}

void
rxn__ssa_sums_read(SsaFrame *frame, bool kept)
{
    if (!frame->sums)
        return;
    frame->lower.kept_sum = kept ? read_sum : NULL;
    frame->lower.kept_context = frame;
    rxn__lower_forget(&frame->lower);
}

/* ---- full summation ---------------------------------------------------------------------------- */

static void
visit_members(SsaFrame *frame, u32 count, const u32 *variables,
              void (*body)(SsaFrame *frame, void *context), void *context)
{
    i64 low[RXN_MAX_RANK], high[RXN_MAX_RANK];
    for (u32 k = 0; k < count; k++) {
        low[k] = frame->network->variables.items[variables[k]].low;
        high[k] = frame->network->variables.items[variables[k]].high;
    }
    MemberVisit visit = {body, context};
    rxn__ssa_each_member(frame, count, variables, low, high, &visit);
}

static void
add_up(SsaFrame *frame, void *context)
{
    const KeptSum *kept = context;
    SsaSums *sums = frame->sums;
    KirBuilder *b = frame->builder;
    KirValue place = place_of(frame, &sums->accumulators.items[kept->first]);
    KirValue sum = rxn__lower_as(&frame->lower, kept->sum, KIR_F64);
    rxn__kir_set(b, kept->local, place, sum);
    if (!kept->magnitude)
        return;
    KirValue magnitude = rxn__lower_as(&frame->lower, kept->magnitude, KIR_F64);
    if (kept->guarded) {
        KirValue error = kir_mul(
            b, magnitude, f64v(frame, ((double)kept->terms + 2 + kept->roundings) * 0x1p-53));
        rxn__kir_set(b, kept->error, place, error);
    } else {
        KirValue fits = kir_le(b, magnitude, f64v(frame, kept->limit));
        rxn__kir_set(b, sums->stale, 0,
                     kir_or(b, rxn__kir_get(b, sums->stale, 0), kir_not(b, fits)));
    }
}

void
rxn__ssa_sums_start(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    if (!frame->sums)
        return;
    rxn__kir_set(b, frame->sums->stale, 0, rxn__kir_const(b, KIR_BOOL, 1));
    rxn__kir_set(b, frame->sums->doubted, 0, rxn__kir_const(b, KIR_BOOL, 0));
    rxn__kir_set(b, frame->sums->due, 0, rxn__kir_const(b, KIR_U32, 0));
}

void
rxn__ssa_sums_assigned(SsaFrame *frame)
{
    if (frame->sums)
        rxn__kir_set(frame->builder, frame->sums->stale, 0,
                     rxn__kir_const(frame->builder, KIR_BOOL, 1));
}

void
rxn__ssa_sums_refresh(SsaFrame *frame)
{
    SsaSums *sums = frame->sums;
    KirBuilder *b = frame->builder;
    if (!sums)
        return;
    KirValue n = rxn__kir_get(b, frame->n, 0);
    KirValue stale = rxn__kir_get(b, sums->stale, 0);
    rxn__kir_if(b, kir_or(b, stale, kir_eq(b, n, rxn__kir_get(b, sums->due, 0))));
    rxn__kir_set(b, sums->stale, 0, rxn__kir_const(b, KIR_BOOL, 0));
    rxn__kir_set(b, sums->due, 0, kir_add(b, n, rxn__kir_const(b, KIR_U32, sums->interval)));
    rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 1));
    for (u32 k = 0; k < sums->kept.count; k++) {
        KeptSum *kept = &sums->kept.items[k];
        const Accumulator *entry = &sums->accumulators.items[kept->first];
        rxn__lower_forget(&frame->lower);
        visit_members(frame, entry->shape.rank, entry->variables, add_up, kept);
    }
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

/* ---- changes ----------------------------------------------------------------------------------- */

static bool
changes(const Network *network, u32 species)
{
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        for (u32 k = 0; k < reaction->reactants.count; k++)
            if (reaction->reactants.items[k].species == species)
                return true;
        for (u32 k = 0; k < reaction->products.count; k++)
            if (reaction->products.items[k].species == species)
                return true;
    }
    return false;
}

typedef struct ChangeContext {
    const KeptSum *kept;
    const Accumulator *entry;
    KirValue delta; /* f64 */
} ChangeContext;

static KirValue
is_lost(SsaFrame *frame, KirValue sum, KirValue error)
{
    KirBuilder *b = frame->builder;
    KirValue size = kir_abs(b, sum), zero = f64v(frame, 0);
    KirValue good = kir_gt(b, size, kir_mul(b, error, f64v(frame, 0x1p30)));
    KirValue nothing = kir_and(b, kir_eq(b, size, zero), kir_eq(b, error, zero));
    return kir_not(b, kir_or(b, good, nothing));
}

static void
change_sum(SsaFrame *frame, void *context)
{
    const ChangeContext *change = context;
    const KeptSum *kept = change->kept;
    SsaSums *sums = frame->sums;
    KirBuilder *b = frame->builder;
    KirValue place = place_of(frame, change->entry);
    KirValue weight = rxn__lower_as(&frame->lower, change->entry->weight, KIR_F64);
    KirValue sum = kir_fma(b, change->delta, weight, rxn__kir_get(b, kept->local, place));
    rxn__kir_set(b, kept->local, place, sum);
    if (!kept->guarded)
        return;
    KirValue error =
        kir_fma(b, kir_abs(b, sum), f64v(frame, 0x1p-53), rxn__kir_get(b, kept->error, place));
    if (kept->roundings) {
        KirValue change_size = kir_abs(b, kir_mul(b, change->delta, weight));
        error = kir_fma(b, change_size, f64v(frame, kept->roundings * 0x1p-53), error);
    }
    rxn__kir_set(b, kept->error, place, error);
    KirValue doubted = rxn__kir_get(b, sums->doubted, 0);
    rxn__kir_set(b, sums->doubted, 0, kir_or(b, doubted, is_lost(frame, sum, error)));
}

/* Adds `condition` to those so far (0: none). */
static KirValue
also(KirBuilder *b, KirValue conditions, KirValue condition)
{
    return conditions ? kir_and(b, conditions, condition) : condition;
}

/* The change of a member of the array, for the sums that it stands in: its indices say which term of them it is. */
static void
change_term(SsaFrame *frame, const ChangeContext *change, KirValue member)
{
    const Accumulator *entry = change->entry;
    const Network *network = frame->network;
    const Shape shape = network->species.items[entry->species].shape;
    KirBuilder *b = frame->builder;
    KirValue digits[RXN_MAX_RANK], inside = 0;
    for (u32 d = shape.rank; d-- > 0;) {
        KirValue extent = i32v(frame, shape.extent[d]);
        digits[d] = d ? kir_rem(b, member, extent) : member;
        member = d ? kir_div(b, member, extent) : member;
    }
    u32 bound[RXN_MAX_RANK], bound_count = 0;
    KirValue values[RXN_MAX_RANK];
    for (u32 d = 0; d < shape.rank; d++) {
        Affine index;
        rxn__expr_affine(network, entry->index[d], &index);
        if (index.count == 0) {
            inside = also(b, inside, kir_eq(b, digits[d], i32v(frame, index.constant)));
            continue;
        }
        KirValue value =
            index.constant ? kir_sub(b, digits[d], i32v(frame, index.constant)) : digits[d];
        u32 before = 0;
        while (before < bound_count && bound[before] != index.variable[0])
            before++;
        if (before < bound_count) {
            inside = also(b, inside, kir_eq(b, value, values[before]));
            continue;
        }
        Variable range = network->variables.items[index.variable[0]];
        if (range.low + index.constant > 0)
            inside = also(b, inside, kir_ge(b, value, i32v(frame, range.low)));
        if (range.high + index.constant < (i64)shape.extent[d] - 1)
            inside = also(b, inside, kir_le(b, value, i32v(frame, range.high)));
        bound[bound_count] = index.variable[0];
        values[bound_count++] = value;
    }
    if (inside)
        rxn__kir_if(b, inside);
    for (u32 k = 0; k < bound_count; k++)
        rxn__lower_bind(&frame->lower, bound[k], values[k]);
    u32 others[RXN_MAX_RANK], count = 0;
    for (u32 k = 0; k < entry->shape.rank; k++) {
        u32 place = 0;
        while (place < bound_count && bound[place] != entry->variables[k])
            place++;
        if (place == bound_count)
            others[count++] = entry->variables[k];
    }
    rxn__lower_forget(&frame->lower);
    visit_members(frame, count, others, change_sum, (void *)(uintptr_t)change);
    for (u32 k = 0; k < bound_count; k++)
        rxn__lower_bind(&frame->lower, bound[k], 0);
    if (inside)
        rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

void
rxn__ssa_sums_change(SsaFrame *frame, KirValue species, KirValue delta)
{
    SsaSums *sums = frame->sums;
    KirBuilder *b = frame->builder;
    for (u32 k = 0; sums && k < sums->kept.count; k++) {
        const KeptSum *kept = &sums->kept.items[k];
        for (u32 i = 0; i < kept->count; i++) {
            const Accumulator *entry = &sums->accumulators.items[kept->first + i];
            const Species *array = &frame->network->species.items[entry->species];
            if (!changes(frame->network, entry->species))
                continue;
            KirValue member = kir_sub(b, species, i32v(frame, array->flat));
            KirValue members = rxn__kir_const(b, KIR_U32, (double)rxn__shape_count(&array->shape));
            rxn__kir_if(b, kir_lt(b, kir_cast(b, KIR_U32, member), members));
            ChangeContext change = {kept, entry, kir_cast(b, KIR_F64, delta)};
            change_term(frame, &change, member);
            rxn__kir_close(b);
            rxn__lower_forget(&frame->lower);
        }
    }
}

static void
add_up_if_lost(SsaFrame *frame, void *context)
{
    const KeptSum *kept = context;
    KirBuilder *b = frame->builder;
    KirValue place = place_of(frame, &frame->sums->accumulators.items[kept->first]);
    KirValue sum = rxn__kir_get(b, kept->local, place);
    rxn__kir_if(b, is_lost(frame, sum, rxn__kir_get(b, kept->error, place)));
    rxn__lower_forget(&frame->lower);
    add_up(frame, context);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

void
rxn__ssa_sums_settle(SsaFrame *frame)
{
    SsaSums *sums = frame->sums;
    KirBuilder *b = frame->builder;
    bool any = false;
    for (u32 k = 0; sums && k < sums->kept.count; k++)
        any |= sums->kept.items[k].guarded;
    if (!any)
        return;
    rxn__kir_if(b, rxn__kir_get(b, sums->doubted, 0));
    rxn__kir_set(b, sums->doubted, 0, rxn__kir_const(b, KIR_BOOL, 0));
    for (u32 k = 0; k < sums->kept.count; k++) {
        KeptSum *kept = &sums->kept.items[k];
        const Accumulator *entry = &sums->accumulators.items[kept->first];
        if (!kept->guarded)
            continue;
        rxn__lower_forget(&frame->lower);
        visit_members(frame, entry->shape.rank, entry->variables, add_up_if_lost, kept);
    }
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}
