/* ssa_unrolled.c: the direct method (Gillespie 1977) with everything in registers, for small networks.
 *
 * Every propensity is computed at every step from the counts, which are scalar locals. That is less
 * work than it looks: the values are shared, lanes are wide, and nothing is loaded or branched on.
 *
 *   a[j] = propensities;  c[j] = a[0] + … + a[j];  total = c[last]
 *   draw; rare
 *   below[j] = threshold < c[j]                 increasing in j: reaction j fired if below[j] and not below[j-1]
 *   above[j] = threshold >= c[j]                that `not`, as a comparison: it becomes part of a masked addition
 *   x[s] = select(below[hi] and above[lo-1], x[s] + change, x[s])       for each run lo…hi of reactions
 *                                                                      with the same change of s
 *
 * Where the number of the reaction is wanted, counts are made from `above` alone: see apply_in_steps.
 *
 * A reaction of zero propensity has c[j] = c[j-1], so it cannot fire, at the end of the sum neither:
 * threshold = v · total < total for v < 1, also after rounding.
 *
 * Rates that depend on time are thinned (Lewis & Shedler 1979): the waiting time is drawn from the sum
 * of the bounds, and the running sums are those of the true propensities at the proposed time; a
 * threshold at or above the last of them is a refusal.
 */
#include "compiler/method/ssa.h"

#include <float.h>
#include <math.h>

struct SsaUnrolled {
    u32 count;
    KirValue
        *proposed; /* bounds where a rate depends on time, else propensities: per flat reaction */
    KirValue
        *actual;   /* propensities at the proposed time; the same values where time plays no part */
    bool *checked; /* may be negative or not finite: tested at every step */
    KirValue total;
};

static bool
depends_on_time(const Network *network, const Reaction *reaction)
{
    return rxn__expr_uses(network, reaction->propensity).time;
}

static void
bind_member(SsaFrame *frame, const Reaction *reaction, u32 member)
{
    i64 values[RXN_MAX_RANK];
    rxn__reaction_variables(frame->network, reaction, member, values);
    for (u32 k = 0; k < reaction->variable_count; k++)
        rxn__lower_bind(&frame->lower, reaction->variables[k],
                        rxn__kir_const(frame->builder, KIR_I32, (double)values[k]));
}

static void
write_propensities(SsaFrame *frame, SsaUnrolled *unrolled, bool actual)
{
    Network *network = frame->network;
    u32 j = 0;
    for (u32 r = 0; r < network->reactions.count; r++) {
        Reaction reaction = network->reactions.items[r];
        bool timed = reaction.bound && depends_on_time(network, &reaction);
        for (u32 member = 0; member < reaction.count; member++, j++) {
            if (actual && !timed) {
                unrolled->actual[j] = unrolled->proposed[j];
                continue;
            }
            bind_member(frame, &reaction, member);
            KirValue value = timed && !actual
                                 ? rxn__lower(&frame->lower, reaction.bound)
                                 : rxn__lower_propensity(&frame->lower, &reaction,
                                                         reaction.propensity, reaction.rate);
            (actual ? unrolled->actual : unrolled->proposed)[j] = value;
            unrolled->checked[j] = !rxn__ssa_sound_by_constants(frame, &reaction);
        }
    }
}

static KirValue
running_sums(SsaFrame *frame, const KirValue *terms, u32 count, KirValue *ret_sums)
{
    KirValue sum = 0;
    for (u32 j = 0; j < count; j++) {
        sum = sum ? kir_add(frame->builder, sum, terms[j]) : terms[j];
        ret_sums[j] = sum;
    }
    return sum ? sum : rxn__ssa_real(frame, 0);
}

/* ---- faults ------------------------------------------------------------------------------------ */

static double
largest_finite(const SsaFrame *frame)
{
    return frame->real == KIR_F32 ? (double)FLT_MAX : DBL_MAX;
}

static KirValue
healthy_propensities(SsaFrame *frame, const SsaUnrolled *unrolled)
{
    KirBuilder *b = frame->builder;
    KirValue least = 0, healthy = 0;
    for (u32 j = 0; j < unrolled->count; j++) {
        if (!unrolled->checked[j])
            continue;
        KirValue value = unrolled->actual[j];
        least = least ? kir_min(b, least, value) : value;
        if (value != unrolled->proposed[j]) {
            KirValue below = kir_not(b, rxn__ssa_exceeds(frame, value, unrolled->proposed[j]));
            healthy = healthy ? kir_and(b, healthy, below) : below;
        }
    }
    if (!least)
        return 0;
    KirValue sound =
        kir_and(b, kir_ge(b, least, rxn__ssa_real(frame, 0)),
                kir_le(b, unrolled->total, rxn__ssa_real(frame, largest_finite(frame))));
    return healthy ? kir_and(b, sound, healthy) : sound;
}

typedef KirValue (*FaultTest)(SsaFrame *frame, KirValue actual, KirValue proposed);

static KirValue
is_nan(SsaFrame *frame, KirValue actual, KirValue proposed)
{
    (void)proposed;
    return kir_ne(frame->builder, actual, actual);
}

static KirValue
is_negative(SsaFrame *frame, KirValue actual, KirValue proposed)
{
    (void)proposed;
    return kir_lt(frame->builder, actual, rxn__ssa_real(frame, 0));
}

static KirValue
is_infinite(SsaFrame *frame, KirValue actual, KirValue proposed)
{
    (void)proposed;
    return kir_gt(frame->builder, actual, rxn__ssa_real(frame, largest_finite(frame)));
}

static KirValue
has_no_bound(SsaFrame *frame, KirValue actual, KirValue proposed)
{
    KirBuilder *b = frame->builder;
    (void)actual;
    return kir_not(b, kir_le(b, proposed, rxn__ssa_real(frame, largest_finite(frame))));
}

static KirValue
exceeds_bound(SsaFrame *frame, KirValue actual, KirValue proposed)
{
    return rxn__ssa_exceeds(frame, actual, proposed);
}

/* Traps with the first checked reaction that the test finds. */
static void
trap_where(SsaFrame *frame, const SsaUnrolled *unrolled, RxnFaultCode code, FaultTest test,
           bool only_timed)
{
    KirBuilder *b = frame->builder;
    KirValue found = rxn__kir_const(b, KIR_BOOL, 0), which = rxn__kir_const(b, KIR_U32, 0);
    bool any = false;
    for (u32 j = unrolled->count; j-- > 0;) {
        if (!unrolled->checked[j] || (only_timed && unrolled->actual[j] == unrolled->proposed[j]))
            continue;
        KirValue bad = test(frame, unrolled->actual[j], unrolled->proposed[j]);
        found = kir_or(b, found, bad);
        which = kir_select(b, bad, rxn__kir_const(b, KIR_U32, j), which);
        any = true;
    }
    if (!any)
        return;
    rxn__kir_if(b, found);
    if (code == RXN_FAULT_BOUND_EXCEEDED) /* the rate of the proposed time is the fault */
        rxn__kir_set(b, frame->t, 0,
                     kir_min(b, rxn__kir_get(b, frame->arrival, 0), rxn__ssa_stop(frame)));
    rxn__kir_trap(b, code, which);
    rxn__kir_close(b);
}

static void
explain(SsaFrame *frame, void *context)
{
    const SsaUnrolled *unrolled = context;
    KirBuilder *b = frame->builder;
    trap_where(frame, unrolled, RXN_FAULT_NAN_PROPENSITY, is_nan, false);
    trap_where(frame, unrolled, RXN_FAULT_NEGATIVE_PROPENSITY, is_negative, false);
    trap_where(frame, unrolled, RXN_FAULT_INFINITE_PROPENSITY, is_infinite, false);
    trap_where(frame, unrolled, RXN_FAULT_BOUND_INFINITE, has_no_bound, true);
    trap_where(frame, unrolled, RXN_FAULT_BOUND_EXCEEDED, exceeds_bound, true);
    /* Each propensity is finite, their sum is not: no one reaction's fault, so name the first. */
    rxn__kir_trap(b, RXN_FAULT_INFINITE_PROPENSITY, rxn__kir_const(b, KIR_U32, 0));
}

/* ---- the state after the reaction -------------------------------------------------------------- */

typedef struct SpeciesChange {
    u32 reaction;
    i32 delta;
} SpeciesChange;

typedef VEC(SpeciesChange) ChangeList;

/* For each species, the reactions that change it, in order; and whether it may drop below zero. */
static void
collect_changes(SsaFrame *frame, ChangeList *lists, bool *ret_may_drop)
{
    Network *network = frame->network;
    u32 j = 0;
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        u32 most = reaction->reactants.count + reaction->products.count;
        Change *changes = NEW_ARRAY(frame->arena, Change, most + 1);
        for (u32 member = 0; member < reaction->count; member++, j++) {
            u32 count = rxn__reaction_changes(network, reaction, member, most, changes);
            for (u32 k = 0; k < count; k++) {
                SpeciesChange change = {j, changes[k].delta};
                vec_push(frame->arena, &lists[changes[k].species], change);
                if (changes[k].delta < 0 && !rxn__ssa_guarded(network, reaction, changes[k].species,
                                                              member, -changes[k].delta))
                    ret_may_drop[changes[k].species] = true;
            }
        }
    }
}

/* Sets a count that a reaction has changed. */
static void
set_changed(SsaFrame *frame, u32 species, KirValue changed, bool may_drop)
{
    KirBuilder *b = frame->builder;
    rxn__kir_set(b, frame->lower.species_local[species], 0, changed);
    if (!may_drop)
        return;
    rxn__kir_if(b, kir_lt(b, changed, rxn__ssa_real(frame, 0)));
    rxn__kir_trap(b, RXN_FAULT_NEGATIVE_COUNT, rxn__kir_const(b, KIR_U32, species));
    rxn__kir_close(b);
}

/* The counts after the reaction, where its number is wanted too: that is how often `above` holds, so that each above[j] has
 * to be at hand anyway. Then from one reaction to the next:
 *
 *   change of s by reaction 0;  for j = 0, 1, …:  select(above[j], that by reaction j + 1, what it was so far)
 *
 * Behind the last reaction is none, which changes nothing. Counts that few reactions change are added to on the way, by
 * what the one changes more than the other; where many do, additions would have to wait for each other. */
static void
apply_in_steps(SsaFrame *frame, u32 reactions, const KirValue *above)
{
    enum { FEW = 4 };
    KirBuilder *b = frame->builder;
    u32 species = frame->network->species_count;
    ChangeList *lists = NEW_ARRAY(frame->arena, ChangeList, species + 1);
    bool *may_drop = NEW_ARRAY(frame->arena, bool, species + 1);
    KirValue *counts = NEW_ARRAY(frame->arena, KirValue, species + 1);
    KirValue *changes = NEW_ARRAY(frame->arena, KirValue, species + 1);
    i32 *now = NEW_ARRAY(frame->arena, i32, species + 1);
    u32 *passed = NEW_ARRAY(frame->arena, u32, species + 1);
    collect_changes(frame, lists, may_drop);
    for (u32 s = 0; s < species; s++) {
        counts[s] = rxn__kir_get(b, frame->lower.species_local[s], 0);
        changes[s] = rxn__ssa_real(frame, 0);
    }
    for (u32 j = 0; j <= reactions; j++)
        for (u32 s = 0; s < species; s++) {
            const ChangeList *list = &lists[s];
            bool changed = passed[s] < list->count && list->items[passed[s]].reaction == j;
            i32 next = changed ? list->items[passed[s]++].delta : 0;
            if (next == now[s])
                continue;
            KirValue *at = list->count > FEW ? &changes[s] : &counts[s];
            KirValue moved = list->count > FEW
                                 ? rxn__ssa_real(frame, next)
                                 : kir_add(b, *at, rxn__ssa_real(frame, (double)next - now[s]));
            *at = j ? kir_select(b, above[j - 1], moved, *at) : moved;
            now[s] = next;
        }
    for (u32 s = 0; s < species; s++) {
        if (lists[s].count > FEW)
            counts[s] = kir_add(b, counts[s], changes[s]);
        if (lists[s].count)
            set_changed(frame, s, counts[s], may_drop[s]);
    }
}

/* How many reactions are not the one that fires and before it: its number. Counted in `real`, whose masks serve as they
 * are, and from where on numbers are whole ones, so that it is in the last bits. */
static KirValue
count_above(SsaFrame *frame, u32 reactions, const KirValue *above)
{
    KirBuilder *b = frame->builder;
    bool wide = frame->real == KIR_F64;
    KirValue code = rxn__ssa_real(frame, wide ? 0x1p52 : 0x1p23);
    for (u32 j = 0; j < reactions; j++)
        code = kir_select(b, above[j], kir_add(b, code, rxn__ssa_real(frame, 1)), code);
    if (wide)
        return kir_cast(b, KIR_U32, kir_bits(b, KIR_U64, code));
    KirValue digits = rxn__kir_const(b, KIR_U32, (1u << 23) - 1);
    return kir_and(b, kir_bits(b, KIR_U32, code), digits);
}

static void
apply_reaction(SsaFrame *frame, const KirValue *below, const KirValue *above)
{
    KirBuilder *b = frame->builder;
    u32 species = frame->network->species_count;
    ChangeList *lists = NEW_ARRAY(frame->arena, ChangeList, species + 1);
    bool *may_drop = NEW_ARRAY(frame->arena, bool, species + 1);
    collect_changes(frame, lists, may_drop);
    for (u32 s = 0; s < species; s++) {
        if (!lists[s].count)
            continue;
        KirValue x = rxn__kir_get(b, frame->lower.species_local[s], 0), changed = x;
        for (u32 k = 0; k < lists[s].count;) {
            u32 first = k;
            while (k + 1 < lists[s].count &&
                   lists[s].items[k + 1].reaction == lists[s].items[k].reaction + 1 &&
                   lists[s].items[k + 1].delta == lists[s].items[first].delta)
                k++;
            u32 low = lists[s].items[first].reaction, high = lists[s].items[k].reaction;
            KirValue fired = low ? kir_and(b, below[high], above[low - 1]) : below[high];
            KirValue moved = kir_add(b, changed, rxn__ssa_real(frame, lists[s].items[first].delta));
            changed = kir_select(b, fired, moved, changed);
            k++;
        }
        set_changed(frame, s, changed, may_drop[s]);
    }
}

KirValue
rxn__ssa_fires(SsaFrame *frame, const KirValue *below, u32 j)
{
    KirBuilder *b = frame->builder;
    return j ? kir_and(b, below[j], kir_not(b, below[j - 1])) : below[j];
}

/* ---- the step ---------------------------------------------------------------------------------- */

void
rxn__ssa_unrolled_step(SsaFrame *frame, SsaUnrolled *unrolled)
{
    KirBuilder *b = frame->builder;
    u32 count = unrolled->count;
    KirValue *sums = NEW_ARRAY(frame->arena, KirValue, count + 1);
    KirValue *below = NEW_ARRAY(frame->arena, KirValue, count + 1);
    KirValue *above = NEW_ARRAY(frame->arena, KirValue, count + 1);

    rxn__ssa_bind_window(frame);
    write_propensities(frame, unrolled, false);
    unrolled->total = running_sums(frame, unrolled->proposed, count, sums);
    const SsaExtension *extension = frame->extension;
    KirValue limit = 0;
    if (extension && extension->limit) {
        limit = extension->limit(frame, extension->context);
        rxn__lower_forget(&frame->lower);
    }
    rxn__ssa_draw(frame, unrolled->total, limit);
    if (frame->in_thirds)
        rxn__ssa_decide(frame, count, sums);

    bool timed = frame->network->traits.time_dependent;
    if (timed) {
        rxn__lower_forget(&frame->lower);
        frame->lower.time = kir_min(b, rxn__kir_get(b, frame->arrival, 0), rxn__ssa_stop(frame));
    }
    write_propensities(frame, unrolled, true);
    if (timed)
        running_sums(frame, unrolled->actual, count, sums);
    frame->lower.time = 0;
    if (extension && extension->rates) {
        /* Both ends are at -inf once it has ended. */
        KirValue end = kir_min(b, rxn__kir_get(b, frame->arrival, 0), rxn__ssa_stop(frame));
        KirValue span = kir_max(b, kir_sub(b, end, rxn__kir_get(b, frame->t, 0)),
                                rxn__kir_const(b, KIR_F64, 0));
        extension->rates(frame, extension->context, unrolled->actual, span);
        rxn__lower_forget(&frame->lower);
    }
    rxn__ssa_rare(frame, unrolled->total, healthy_propensities(frame, unrolled), explain, unrolled);

    KirValue threshold = rxn__kir_get(b, frame->threshold, 0);
    for (u32 j = 0; j < count; j++)
        below[j] = kir_lt(b, threshold, sums[j]);
    for (u32 j = 0; j < count; j++)
        above[j] = kir_ge(b, threshold, sums[j]); /* what nobody reads goes */
    if (timed && count) {
        KirValue proposed = kir_lt(b, threshold, rxn__ssa_real(frame, INFINITY));
        KirValue refused = kir_and(b, proposed, kir_not(b, below[count - 1]));
        rxn__kir_if(b, refused);
        rxn__ssa_refused(frame, unrolled->total);
        rxn__kir_close(b);
        if (frame->has_windows)
            rxn__kir_set(b, frame->fresh, 0,
                         kir_and(b, rxn__kir_get(b, frame->fresh, 0), kir_not(b, proposed)));
    }
    if (extension && extension->elapse) {
        rxn__lower_forget(&frame->lower);
        extension->elapse(frame, extension->context, below);
        rxn__lower_forget(&frame->lower);
    }
    if (extension && extension->fires) {
        rxn__lower_forget(&frame->lower);
        extension->fires(frame, extension->context, count_above(frame, count, above));
        rxn__lower_forget(&frame->lower);
        apply_in_steps(frame, count, above);
    } else {
        apply_reaction(frame, below, above);
    }
    rxn__ssa_close(frame);
}

SsaUnrolled *
rxn__ssa_unrolled_begin(SsaFrame *frame)
{
    u32 count = frame->network->reaction_count;
    SsaUnrolled *unrolled = NEW_ARRAY(frame->arena, SsaUnrolled, 1);
    unrolled->count = count;
    unrolled->proposed = NEW_ARRAY(frame->arena, KirValue, count + 1);
    unrolled->actual = NEW_ARRAY(frame->arena, KirValue, count + 1);
    unrolled->checked = NEW_ARRAY(frame->arena, bool, count + 1);
    return unrolled;
}

/* Straight code for more would take minutes to compile. */
enum { UNROLL_MOST = 1000 };

bool
rxn__ssa_unrolled_applies(const Network *network, Text *ret_reason)
{
    if (network->reaction_count <= UNROLL_MOST && network->species_count <= UNROLL_MOST)
        return true;
    rxn__text_printf(ret_reason,
                     "the unrolled form takes up to %u reactions and species; this network has %u "
                     "and %u",
                     UNROLL_MOST, network->reaction_count, network->species_count);
    return false;
}

const char *
rxn__ssa_write_extended(Network *network, const MethodOptions *options, Arena *arena,
                        NameTable *names, const SsaExtension *extension, MethodKernel *ret_kernel)
{
    SsaFrame frame = {.extension = extension};
    rxn__ssa_begin(&frame, network, options, arena, names, true, ret_kernel);
    SsaUnrolled *unrolled = rxn__ssa_unrolled_begin(&frame);
    rxn__ssa_init(&frame);
    rxn__kir_region(frame.builder, KIR_STEP);
    for (frame.turn = 0; frame.turn < frame.turns; frame.turn++)
        rxn__ssa_unrolled_step(&frame, unrolled);
    ret_kernel->form = "unrolled in registers";
    return rxn__ssa_end(&frame);
}

const char *
rxn__ssa_write_unrolled(Network *network, const MethodOptions *options, Arena *arena,
                        NameTable *names, MethodKernel *ret_kernel)
{
    return rxn__ssa_write_extended(network, options, arena, names, NULL, ret_kernel);
}
