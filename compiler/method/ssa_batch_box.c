/* ssa_batch_box.c: the box of the batch method: which species are held, how many candidates, and the bounds of the propensities.
 *
 * What a batch costs hardly depends on how many reactions are in it. So a box of L candidates costs one for itself and one for
 * each unsure candidate. With gap(L) / H = kappa L these are kappa L² in number, and the cost of an event,
 *
 *     (box + (1 + kappa L²) batch) / L,      is least at      L = sqrt((1 + box / batch) / kappa).
 *
 * kappa is known to first order from the slopes of the propensities at the present state:
 *
 *     kappa = sum over species s of g(s),    g(s) = (d + d') sum over j of |da(j)/dx(s)| / a0.
 *
 * A held species adds nothing to kappa, but ends the box when it changes: with probability h(s) = (sum of a(j) that change
 * s) / a0 per candidate. It is held where that is the lesser evil. All this decides how fast it goes, never what happens.
 */
#include "compiler/method/ssa_batch.h"
#include "compiler/method/ssa_shared.h"

#include <float.h>
#include <math.h>

/* Candidates below which single events are faster, and above which nothing is gained. */
#define LEAST_LENGTH 150
#define MOST_LENGTH  0x1p24

/* For tests: boxes of at least and down to so many candidates, whatever they cost. */
#define SHORT_LENGTH 7
#define SHORTEST     2

/* Unsure candidates, expected, beyond which the slopes have misled and the box is made shorter. */
#define MOST_UNSURE 16

static KirValue
f64(Batch *batch, double value)
{
    return rxn__kir_const(batch->builder, KIR_F64, value);
}

static KirValue
i32v(Batch *batch, i64 value)
{
    return rxn__kir_const(batch->builder, KIR_I32, (double)value);
}

static KirValue
count_of(Batch *batch, u32 species)
{
    return rxn__kir_get(batch->builder, batch->frame->lower.species_array, i32v(batch, species));
}

double
rxn__batch_length(double kappa, double ends)
{
    return fmin(fmin(sqrt(BATCH_LENGTH_FACTOR / kappa), BATCH_HELD_CHANGES / ends), MOST_LENGTH);
}

bool
rxn__batch_is_held(double change, double unsure, double length)
{
    return change * length <= BATCH_RARELY || change * BATCH_BOX_COST <= unsure * length;
}

/* ---- the plan ---------------------------------------------------------------------------------- */

static void
plan_changes(Batch *batch, BatchReaction *planned)
{
    SsaFrame *frame = batch->frame;
    const Reaction *reaction = planned->reaction;
    u32 most = reaction->reactants.count + reaction->products.count;
    Change *changes = NEW_ARRAY(frame->arena, Change, most + 1);
    u32 count = rxn__reaction_changes(frame->network, reaction, planned->member, most, changes);
    planned->change_first = batch->changes.count;
    planned->guarded = true;
    for (u32 k = 0; k < count; k++) {
        BatchSpecies *species = &batch->species[changes[k].species];
        vec_push(frame->arena, &batch->changes, changes[k]);
        species->most_taken = fmax(species->most_taken, -changes[k].delta);
        species->most_added = fmax(species->most_added, changes[k].delta);
        if (changes[k].delta < 0)
            planned->guarded &= rxn__ssa_guarded(frame->network, reaction, changes[k].species,
                                                 planned->member, -changes[k].delta);
    }
    planned->change_end = batch->changes.count;
    for (u32 k = planned->change_first; k < planned->change_end; k++)
        vec_push(frame->arena, &batch->change_reaction, (u32)(planned - batch->reactions));
}

void
rxn__batch_plan(Batch *batch)
{
    SsaFrame *frame = batch->frame;
    Network *network = frame->network;
    Arena *arena = frame->arena;
    batch->reactions = NEW_ARRAY(arena, BatchReaction, batch->reaction_count + 1);
    batch->species = NEW_ARRAY(arena, BatchSpecies, network->species_count + 1);
    i32 *starts = NEW_ARRAY(arena, i32, batch->reaction_count + 1);
    u32 j = 0;
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        for (u32 member = 0; member < reaction->count; member++, j++) {
            BatchReaction *planned = &batch->reactions[j];
            planned->reaction = reaction;
            planned->member = member;
            planned->propensity = rxn__reaction_member_propensity(network, reaction, member);
            planned->checked = !rxn__ssa_sound_by_constants(frame, reaction);
            plan_changes(batch, planned);
            starts[j + 1] = (i32)batch->changes.count;
        }
    }
    i32 *species = NEW_ARRAY(arena, i32, batch->changes.count + 1);
    i32 *delta = NEW_ARRAY(arena, i32, batch->changes.count + 1);
    for (u32 k = 0; k < batch->changes.count; k++) {
        species[k] = (i32)batch->changes.items[k].species;
        delta[k] = batch->changes.items[k].delta;
    }
    batch->change_start =
        rxn__ssa_constants_i32(frame, "change_start", starts, batch->reaction_count + 1);
    batch->change_species =
        rxn__ssa_constants_i32(frame, "change_species", species, batch->changes.count);
    batch->change_delta =
        rxn__ssa_constants_i32(frame, "change_delta", delta, batch->changes.count);
}

static bool
is_changed(const Batch *batch, u32 species)
{
    return batch->species[species].most_taken > 0 || batch->species[species].most_added > 0;
}

static bool
changes_species(const Batch *batch, const BatchReaction *planned, u32 species)
{
    for (u32 k = planned->change_first; k < planned->change_end; k++)
        if (batch->changes.items[k].species == species)
            return true;
    return false;
}

/* ---- propensities ------------------------------------------------------------------------------ */

static void
trap_if(Batch *batch, KirValue bad, RxnFaultCode code, u32 j)
{
    KirBuilder *b = batch->builder;
    rxn__kir_if(b, bad);
    rxn__kir_trap(b, code, rxn__kir_const(b, KIR_U32, j));
    rxn__kir_close(b);
}

static void
explain(Batch *batch, u32 j, KirValue value)
{
    KirBuilder *b = batch->builder;
    trap_if(batch, kir_ne(b, value, value), RXN_FAULT_NAN_PROPENSITY, j);
    trap_if(batch, kir_lt(b, value, f64(batch, 0)), RXN_FAULT_NEGATIVE_PROPENSITY, j);
    trap_if(batch, kir_gt(b, value, f64(batch, DBL_MAX)), RXN_FAULT_INFINITE_PROPENSITY, j);
}

static KirValue
propensity(Batch *batch, const BatchReaction *planned)
{
    SsaFrame *frame = batch->frame;
    const Reaction *reaction = planned->reaction;
    i64 values[RXN_MAX_RANK];
    rxn__reaction_variables(frame->network, reaction, planned->member, values);
    for (u32 k = 0; k < reaction->variable_count; k++)
        rxn__lower_bind(&frame->lower, reaction->variables[k], i32v(batch, values[k]));
    return rxn__lower_propensity(&frame->lower, reaction, reaction->propensity, reaction->rate);
}

/* Evaluates all; faults where one is no propensity, or their sum. */
static KirValue
evaluate(Batch *batch, KirValue *ret_values)
{
    KirBuilder *b = batch->builder;
    SsaFrame *frame = batch->frame;
    rxn__lower_forget(&frame->lower);
    KirValue total = f64(batch, 0), sound = 0;
    for (u32 j = 0; j < batch->reaction_count; j++) {
        ret_values[j] = propensity(batch, &batch->reactions[j]);
        total = kir_add(b, total, ret_values[j]);
        if (!batch->reactions[j].checked)
            continue;
        KirValue good = kir_ge(b, ret_values[j], f64(batch, 0));
        sound = sound ? kir_and(b, sound, good) : good;
    }
    if (sound) {
        sound = kir_and(b, sound, kir_le(b, total, f64(batch, DBL_MAX)));
        rxn__kir_if(b, kir_not(b, sound));
        for (u32 j = 0; j < batch->reaction_count; j++)
            if (batch->reactions[j].checked)
                explain(batch, j, ret_values[j]);
        /* Each is finite, their sum is not. */
        rxn__kir_trap(b, RXN_FAULT_INFINITE_PROPENSITY, rxn__kir_const(b, KIR_U32, 0));
        rxn__kir_close(b);
    }
    rxn__lower_forget(&frame->lower);
    return total;
}

void
rxn__batch_propensities(Batch *batch)
{
    KirValue *values = NEW_ARRAY(batch->frame->arena, KirValue, batch->reaction_count + 1);
    evaluate(batch, values);
    for (u32 j = 0; j < batch->reaction_count; j++)
        rxn__kir_set(batch->builder, batch->propensity, i32v(batch, j), values[j]);
}

KirValue
rxn__batch_running_sums(Batch *batch, KirValue *ret_sums)
{
    KirValue total = evaluate(batch, ret_sums), sum = f64(batch, 0);
    for (u32 j = 0; j < batch->reaction_count; j++)
        ret_sums[j] = sum = kir_add(batch->builder, sum, ret_sums[j]);
    return total;
}

/* A reaction of zero propensity has the running sum of the one before; and v < 1, so that v · total < total. */
void
rxn__batch_fire_single(Batch *batch, const KirValue *sums, KirValue threshold)
{
    KirBuilder *b = batch->builder;
    SsaFrame *frame = batch->frame;
    for (u32 s = 0; s < frame->network->species_count; s++) {
        if (!is_changed(batch, s))
            continue;
        KirValue x = count_of(batch, s), changed = x, adds = rxn__kir_const(b, KIR_BOOL, 0);
        for (u32 k = 0; k < batch->changes.count; k++) {
            if (batch->changes.items[k].species != s)
                continue;
            u32 j = batch->change_reaction.items[k];
            KirValue fires = kir_lt(b, threshold, sums[j]);
            if (j > 0)
                fires = kir_and(b, fires, kir_not(b, kir_lt(b, threshold, sums[j - 1])));
            KirValue moved = kir_add(b, x, f64(batch, batch->changes.items[k].delta));
            changed = kir_select(b, fires, moved, changed);
            if (batch->changes.items[k].delta > 0)
                adds = kir_or(b, adds, fires);
        }
        rxn__kir_set(b, frame->lower.species_array, i32v(batch, s), changed);
        rxn__batch_check_count(batch, rxn__kir_const(b, KIR_U32, s), changed, adds);
    }
}

/* ---- the length -------------------------------------------------------------------------------- */

/* What is known of a box before its bounds are; values. */
typedef struct BoxPlan {
    KirValue *change; /* by species: the share of the propensities that change it; 0: none does */
    KirValue *unsure; /* by species: g */
    KirValue *held;   /* by species: bool; 0: nothing changes it */
    KirValue *ends;   /* by reaction: bool, changes a held species */
    const KirValue *propensity;
    KirValue length;
} BoxPlan;

static void
examine_species(Batch *batch, BoxPlan *plan, u32 s, KirValue inverse)
{
    KirBuilder *b = batch->builder;
    SsaFrame *frame = batch->frame;
    Network *network = frame->network;
    KirValue change = f64(batch, 0), slope = f64(batch, 0);
    for (u32 j = 0; j < batch->reaction_count; j++) {
        const BatchReaction *planned = &batch->reactions[j];
        if (changes_species(batch, planned, s))
            change = kir_add(b, change, plan->propensity[j]);
        Expr derivative = rxn__expr_derivative(network, planned->propensity, EXPR_SPECIES, s);
        const ExprNode *node = expr_node(network, derivative);
        if (node->op == EXPR_NUMBER && node->number == 0)
            continue;
        slope = kir_add(b, slope, kir_abs(b, rxn__lower(&frame->lower, derivative)));
    }
    double width = batch->species[s].most_taken + batch->species[s].most_added;
    plan->change[s] = kir_mul(b, change, inverse);
    plan->unsure[s] = kir_mul(b, kir_mul(b, slope, f64(batch, width)), inverse);
}

/* Which species are held with boxes of this length. */
static void
hold(Batch *batch, BoxPlan *plan)
{
    KirBuilder *b = batch->builder;
    for (u32 s = 0; s < batch->frame->network->species_count; s++) {
        if (!is_changed(batch, s))
            continue;
        KirValue rarely =
            kir_le(b, kir_mul(b, plan->change[s], plan->length), f64(batch, BATCH_RARELY));
        KirValue lesser = kir_le(b, kir_mul(b, plan->change[s], f64(batch, BATCH_BOX_COST)),
                                 kir_mul(b, plan->unsure[s], plan->length));
        plan->held[s] = kir_or(b, rarely, lesser);
    }
    for (u32 j = 0; j < batch->reaction_count; j++) {
        KirValue ends = rxn__kir_const(b, KIR_BOOL, 0);
        const BatchReaction *planned = &batch->reactions[j];
        for (u32 k = planned->change_first; k < planned->change_end; k++)
            ends = kir_or(b, ends, plan->held[batch->changes.items[k].species]);
        plan->ends[j] = ends;
    }
}

/* The best length with those that are held (all_free: as if none were). */
static void
set_length(Batch *batch, BoxPlan *plan, bool all_free, KirValue inverse)
{
    KirBuilder *b = batch->builder;
    KirValue zero = f64(batch, 0), kappa = zero, changes = zero;
    for (u32 s = 0; s < batch->frame->network->species_count; s++)
        if (is_changed(batch, s))
            kappa = kir_add(b, kappa,
                            all_free ? plan->unsure[s]
                                     : kir_select(b, plan->held[s], zero, plan->unsure[s]));
    KirValue length = kir_sqrt(b, kir_div(b, f64(batch, BATCH_LENGTH_FACTOR), kappa));
    if (!all_free) {
        for (u32 j = 0; j < batch->reaction_count; j++)
            if (batch->reactions[j].change_end > batch->reactions[j].change_first)
                changes =
                    kir_add(b, changes, kir_select(b, plan->ends[j], plan->propensity[j], zero));
        changes = kir_mul(b, changes, inverse);
        length = kir_min(b, kir_div(b, f64(batch, BATCH_HELD_CHANGES), changes), length);
    }
    plan->length = kir_min(b, f64(batch, MOST_LENGTH), length); /* what is no number stays it */
}

/* No count may grow to 2^53: up to there f64 has all whole numbers. (Only what reactions add to is looked at.) */
static void
limit_length(Batch *batch, BoxPlan *plan)
{
    KirBuilder *b = batch->builder;
    for (u32 s = 0; s < batch->frame->network->species_count; s++) {
        if (batch->species[s].most_added == 0)
            continue;
        KirValue room = kir_sub(b, f64(batch, batch->frame->count_limit - 1), count_of(batch, s));
        plan->length =
            kir_min(b, kir_div(b, room, f64(batch, batch->species[s].most_added)), plan->length);
    }
}

/* ---- the bounds -------------------------------------------------------------------------------- */

static void
set_intervals(Batch *batch, const BoxPlan *plan, KirValue length)
{
    KirBuilder *b = batch->builder;
    for (u32 s = 0; s < batch->frame->network->species_count; s++) {
        KirValue x = count_of(batch, s), low = x, high = x;
        if (is_changed(batch, s)) {
            const BatchSpecies *species = &batch->species[s];
            low = kir_sub(b, x, kir_mul(b, length, f64(batch, species->most_taken)));
            low = kir_max(b, low, f64(batch, 0));
            high = kir_add(b, x, kir_mul(b, length, f64(batch, species->most_added)));
            low = kir_select(b, plan->held[s], x, low);
            high = kir_select(b, plan->held[s], x, high);
        }
        batch->box.low[s] = low;
        batch->box.high[s] = high;
    }
}

/* Where a reaction may take what is not there, it is never sure to fire. */
static KirValue
may_take_too_much(Batch *batch, const BatchReaction *planned)
{
    KirBuilder *b = batch->builder;
    KirValue may = rxn__kir_const(b, KIR_BOOL, 0);
    if (planned->guarded)
        return may;
    for (u32 k = planned->change_first; k < planned->change_end; k++)
        if (batch->changes.items[k].delta < 0) {
            KirValue low = batch->box.low[batch->changes.items[k].species];
            may = kir_or(b, may, kir_le(b, low, f64(batch, 0)));
        }
    return may;
}

/* Bounds in the present intervals. Returns whether they are of use. */
static KirValue
set_bounds(Batch *batch, const BoxPlan *plan, KirValue length)
{
    KirBuilder *b = batch->builder;
    SsaFrame *frame = batch->frame;
    KirValue zero = f64(batch, 0), sure = zero, gaps = zero;
    KirValue usable = rxn__kir_const(b, KIR_BOOL, 1);
    rxn__lower_forget(&frame->lower);
    batch->box.sound = 0;
    for (u32 j = batch->reaction_count; j-- > 0;) { /* backward, for the shares */
        const BatchReaction *planned = &batch->reactions[j];
        batch->box.constant = planned->reaction->mass_action ? planned->reaction->rate : 0;
        BatchInterval bound = rxn__batch_bound(&batch->box, planned->propensity);
        usable = kir_and(b, usable, kir_ge(b, bound.low, zero));
        KirValue never = kir_or(b, plan->ends[j], may_take_too_much(batch, planned));
        KirValue low = kir_select(b, never, zero, bound.low);
        KirValue gap = kir_sub(b, bound.high, low);
        sure = kir_add(b, sure, low);
        gaps = kir_add(b, gaps, gap);
        KirValue share = kir_select(b, kir_gt(b, low, zero), kir_div(b, low, sure), zero);
        KirValue place = i32v(batch, j);
        rxn__kir_set(b, batch->low, place, low);
        rxn__kir_set(b, batch->gap, place, gap);
        rxn__kir_set(b, batch->share, place, share);
        rxn__kir_set(b, batch->ends, place, kir_cast(b, KIR_I32, plan->ends[j]));
    }
    if (batch->box.sound)
        usable = kir_and(b, usable, batch->box.sound);
    KirValue rate = kir_add(b, sure, gaps);
    usable = kir_and(b, usable, kir_le(b, rate, f64(batch, DBL_MAX)));
    usable = kir_and(b, usable, kir_gt(b, rate, zero));
    if (!batch->is_short)
        usable =
            kir_and(b, usable,
                    kir_le(b, kir_mul(b, gaps, length), kir_mul(b, rate, f64(batch, MOST_UNSURE))));
    rxn__kir_set(b, batch->gaps, 0, gaps);
    rxn__lower_forget(&frame->lower);
    rxn__kir_if(b, usable);
    rxn__kir_set(b, batch->rate, 0, rate);
    rxn__kir_set(b, batch->left, 0, length);
    rxn__kir_close(b);
    return usable;
}

void
rxn__batch_make_box(Batch *batch)
{
    KirBuilder *b = batch->builder;
    SsaFrame *frame = batch->frame;
    u32 species = frame->network->species_count;
    BoxPlan plan = {.change = NEW_ARRAY(frame->arena, KirValue, species + 1),
                    .unsure = NEW_ARRAY(frame->arena, KirValue, species + 1),
                    .held = NEW_ARRAY(frame->arena, KirValue, species + 1),
                    .ends = NEW_ARRAY(frame->arena, KirValue, batch->reaction_count + 1)};
    KirValue *propensities = NEW_ARRAY(frame->arena, KirValue, batch->reaction_count + 1);
    KirValue inverse = kir_div(b, f64(batch, 1), evaluate(batch, propensities));
    plan.propensity = propensities;
    for (u32 s = 0; s < species; s++)
        if (is_changed(batch, s))
            examine_species(batch, &plan, s, inverse);
    set_length(batch, &plan, true, inverse);
    for (u32 turn = 0; turn < 2; turn++) {
        hold(batch, &plan);
        set_length(batch, &plan, false, inverse);
    }
    if (batch->is_short)
        plan.length = kir_max(b, plan.length, f64(batch, SHORT_LENGTH));
    limit_length(batch, &plan);
    rxn__kir_set(b, batch->length, 0, kir_floor(b, plan.length));
    KirValue least = f64(batch, batch->is_short ? SHORTEST : LEAST_LENGTH);
    rxn__kir_loop(b);
    KirValue length = rxn__kir_get(b, batch->length, 0);
    rxn__kir_if(b, kir_not(b, kir_ge(b, length, least)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    set_intervals(batch, &plan, length);
    KirValue usable = set_bounds(batch, &plan, length);
    rxn__kir_if(b, usable);
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_set(b, batch->length, 0, kir_floor(b, kir_mul(b, length, f64(batch, 0.25))));
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}
