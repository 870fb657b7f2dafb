/* ssa_rare.c: the rare block of a step (see ssa.h): everything that does not happen at most steps, so
 * that the common step pays one comparison for all of it.
 */
#include "compiler/method/ssa_private.h"
#include "compiler/method/ssa_shared.h"

#include <math.h>

static KirValue
f64(SsaFrame *frame, double value)
{
    return rxn__kir_const(frame->builder, KIR_F64, value);
}

static void
no_reaction(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    rxn__kir_set(b, frame->threshold, 0, rxn__ssa_real(frame, INFINITY));
    if (frame->waits)
        rxn__kir_set(b, frame->waits, 0, rxn__kir_const(b, KIR_BOOL, 0));
    rxn__kir_set(b, frame->missed, 0,
                 kir_add(b, rxn__kir_get(b, frame->missed, 0), rxn__kir_const(b, KIR_U64, 1)));
}

/* ---- limits ------------------------------------------------------------------------------------ */

/* How often a species can grow by its gain before its count leaves the exact whole numbers. */
static KirValue
room_of(SsaFrame *frame, KirValue count, KirValue gain)
{
    KirBuilder *b = frame->builder;
    KirValue left = kir_sub(b, rxn__ssa_real(frame, frame->count_limit), count);
    return kir_floor(b, kir_div(b, left, gain));
}

/* The least room, and whose it is, of scalar counts. */
static void
least_room_unrolled(SsaFrame *frame, KirValue *ret_room, KirValue *ret_species)
{
    KirBuilder *b = frame->builder;
    KirValue least = 0, which = 0;
    for (u32 s = 0; s < frame->network->species_count; s++) {
        if (frame->gains[s] == 0)
            continue;
        KirValue count = rxn__kir_get(b, frame->lower.species_local[s], 0);
        KirValue room = room_of(frame, count, rxn__ssa_real(frame, frame->gains[s]));
        KirValue species = rxn__kir_const(b, KIR_U32, s);
        KirValue less = least ? kir_lt(b, room, least) : 0;
        which = less ? kir_select(b, less, species, which) : species;
        least = less ? kir_select(b, less, room, least) : room;
    }
    *ret_room = least;
    *ret_species = which;
}

/* The one gain that all species have; 0: they differ. */
static i32
common_gain(const SsaFrame *frame)
{
    for (u32 s = 1; s < frame->network->species_count; s++)
        if (frame->gains[s] != frame->gains[0])
            return 0;
    return frame->gains[0];
}

/* The same of an array. Where gains differ they are a table; a species that nothing adds to has all the room. */
static void
least_room(SsaFrame *frame, KirValue *ret_room, KirValue *ret_species)
{
    KirBuilder *b = frame->builder;
    u32 species = frame->network->species_count;
    i32 common = common_gain(frame);
    u32 gains = common ? 0 : rxn__ssa_constants_i32(frame, "gain", frame->gains, species);
    u32 least = rxn__kir_local(b, "least_room", frame->real, 0);
    u32 which = rxn__kir_local(b, "which", KIR_U32, 0);
    KirValue endless = rxn__ssa_real(frame, INFINITY);
    rxn__kir_set(b, least, 0, endless);
    rxn__kir_set(b, which, 0, rxn__kir_const(b, KIR_U32, 0));
    KirValue s =
        rxn__kir_for(b, rxn__kir_const(b, KIR_I32, 0), rxn__kir_const(b, KIR_I32, species));
    KirValue gain = common ? rxn__ssa_real(frame, common)
                           : kir_cast(b, frame->real, rxn__kir_load(b, gains, &s));
    KirValue room = room_of(frame, rxn__kir_get(b, frame->lower.species_array, s), gain);
    if (!common)
        room = kir_select(b, kir_gt(b, gain, rxn__ssa_real(frame, 0)), room, endless);
    KirValue old = rxn__kir_get(b, least, 0), less = kir_lt(b, room, old);
    rxn__kir_set(b, least, 0, kir_select(b, less, room, old));
    rxn__kir_set(b, which, 0,
                 kir_select(b, less, kir_cast(b, KIR_U32, s), rxn__kir_get(b, which, 0)));
    rxn__kir_close(b);
    *ret_room = rxn__kir_get(b, least, 0);
    *ret_species = rxn__kir_get(b, which, 0);
}

static bool
has_gains(const SsaFrame *frame)
{
    for (u32 s = 0; frame->gains && s < frame->network->species_count; s++)
        if (frame->gains[s])
            return true;
    return false;
}

/* How many steps are safe without looking again: before the step limit, before n wraps, and before any
 * count, growing by the most that a reaction adds to it, could leave the exact whole numbers of `real`. (One that nothing adds to
 * may be at their end.) */
static void
look_at_limits(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    KirValue n = rxn__kir_get(b, frame->n, 0);
    KirValue zero = rxn__kir_const(b, KIR_U32, 0), one = rxn__kir_const(b, KIR_U32, 1);
    KirValue last = rxn__kir_const_bits(b, KIR_U32, 0xffffffffu);
    KirValue due = kir_eq(b, n, rxn__kir_get(b, frame->n_check, 0));
    if (frame->turns > 1) /* the turns after the end are no steps */
        due = kir_and(b, due, kir_not(b, rxn__kir_get(b, frame->done, 0)));
    rxn__kir_if(b, due);
    KirValue high = rxn__kir_get(b, frame->n_high, 0);
    KirValue steps =
        kir_or(b, kir_shl(b, kir_cast(b, KIR_U64, high), rxn__kir_const(b, KIR_U64, 32)),
               kir_cast(b, KIR_U64, n));
    KirValue limit = rxn__kir_load(b, frame->step_limit, NULL);
    rxn__kir_if(b, kir_ge(b, steps, limit));
    rxn__kir_trap(b, RXN_FAULT_STEP_LIMIT, zero);
    rxn__kir_close(b);
    /* The number of this step is drawn already: from the next one on the high word is one more. */
    KirValue wraps = kir_eq(b, n, last);
    rxn__kir_set(b, frame->n_high, 0, kir_add(b, high, kir_select(b, wraps, one, zero)));
    KirValue before_last = kir_select(b, wraps, one, kir_sub(b, last, n));
    KirValue room = kir_min(b, kir_sub(b, limit, steps), kir_cast(b, KIR_U64, before_last));
    if (has_gains(frame)) {
        KirValue safe, which;
        if (frame->lower.species_local)
            least_room_unrolled(frame, &safe, &which);
        else
            least_room(frame, &safe, &which);
        rxn__kir_if(b, kir_lt(b, safe, rxn__ssa_real(frame, 1)));
        rxn__kir_trap(b, RXN_FAULT_COUNT_OVERFLOW, which);
        rxn__kir_close(b);
        safe = kir_min(b, kir_cast(b, KIR_F64, safe), f64(frame, 0x1p31));
        room = kir_min(b, room, kir_cast(b, KIR_U64, kir_cast(b, KIR_I64, safe)));
    }
    rxn__kir_set(b, frame->n_check, 0, kir_add(b, n, kir_cast(b, KIR_U32, room)));
    rxn__kir_close(b);
}

/* ---- samples ----------------------------------------------------------------------------------- */

typedef struct StoreContext {
    u32 observable;
    KirValue row;
} StoreContext;

static void
store_element(SsaFrame *frame, void *context)
{
    StoreContext *store = context;
    Observable observable = frame->network->observables.items[store->observable];
    /* f64 in every precision: a sum of counts may be past what f32 holds. */
    KirValue value = rxn__lower_as(&frame->lower, observable.value, KIR_F64);
    KirValue index[2] = {store->row, rxn__ssa_element(frame, &observable.shape,
                                                      observable.variables, observable.flat)};
    rxn__kir_store(frame->builder, frame->sample, index, value);
}

/* Observables that are long sums of counts, from a table; is_linear[k]: it is one of them. */
static void
store_linear(SsaFrame *frame, KirValue row, bool *is_linear)
{
    const Network *network = frame->network;
    KirBuilder *b = frame->builder;
    SsaSpeciesList species = {0};
    SsaWeightList weights = {0};
    VEC(i32) starts = {0}, columns = {0};
    for (u32 k = 0; k < network->observables.count; k++) {
        const Observable *observable = &network->observables.items[k];
        u32 first = species.count;
        is_linear[k] = observable->shape.rank == 0 &&
                       rxn__ssa_linear(frame, observable->value, &species, &weights);
        if (!is_linear[k])
            continue;
        vec_push(frame->arena, &starts, (i32)first);
        vec_push(frame->arena, &columns, (i32)observable->flat);
    }
    if (columns.count == 0)
        return;
    vec_push(frame->arena, &starts, (i32)species.count);
    u32 start = rxn__ssa_constants_i32(frame, "observed_start", starts.items, starts.count);
    u32 column = rxn__ssa_constants_i32(frame, "observed_column", columns.items, columns.count);
    u32 which = rxn__ssa_constants_i32(frame, "observed_species", species.items, species.count);
    u32 weight = rxn__ssa_constants_f64(frame, "observed_weight", weights.items, weights.count);
    u32 sum = rxn__kir_local(b, "observed", KIR_F64, 0);
    KirValue k =
        rxn__kir_for(b, rxn__kir_const(b, KIR_I32, 0), rxn__kir_const(b, KIR_I32, columns.count));
    KirValue after = kir_add(b, k, rxn__kir_const(b, KIR_I32, 1));
    rxn__kir_set(b, sum, 0, f64(frame, 0));
    KirValue e = rxn__kir_for(b, rxn__kir_load(b, start, &k), rxn__kir_load(b, start, &after));
    KirValue x = rxn__kir_get(b, frame->lower.species_array, rxn__kir_load(b, which, &e));
    KirValue term = kir_mul(b, rxn__kir_load(b, weight, &e), kir_cast(b, KIR_F64, x));
    rxn__kir_set(b, sum, 0, kir_add(b, rxn__kir_get(b, sum, 0), term));
    rxn__kir_close(b);
    KirValue index[2] = {row, rxn__kir_load(b, column, &k)};
    rxn__kir_store(b, frame->sample, index, rxn__kir_get(b, sum, 0));
    rxn__kir_close(b);
}

static void
store_observables(SsaFrame *frame, KirValue row)
{
    const Network *network = frame->network;
    bool *is_linear = NEW_ARRAY(frame->arena, bool, network->observables.count + 1);
    if (!frame->lower.species_local)
        store_linear(frame, row, is_linear);
    for (u32 k = 0; k < network->observables.count; k++) {
        if (is_linear[k])
            continue;
        Observable observable = network->observables.items[k];
        StoreContext store = {k, row};
        MemberVisit visit = {store_element, &store};
        rxn__ssa_each_element(frame, &observable.shape, observable.variables, &visit);
    }
}

/* The time of the row, where the grid is even (`even`) or listed. By multiplication on an even one: every lane asks for
 * another row, and gathers are slow. */
static void
set_next_sample(SsaFrame *frame, KirValue row, KirValue time, bool even)
{
    KirBuilder *b = frame->builder;
    if (even && !frame->only_ends) {
        KirValue there = kir_lt(b, row, rxn__kir_load(b, frame->sample_count, NULL));
        time = kir_select(b, there, time, f64(frame, INFINITY));
    }
    rxn__kir_set(b, frame->only_ends ? frame->next_time : frame->next_sample, 0, time);
}

void
rxn__ssa_next_sample(SsaFrame *frame, KirValue row)
{
    KirBuilder *b = frame->builder;
    KirValue step = rxn__kir_load(b, frame->sample_step, NULL);
    rxn__kir_if(b, kir_gt(b, step, f64(frame, 0)));
    set_next_sample(frame, row, kir_mul(b, kir_cast(b, KIR_F64, row), step), true);
    rxn__kir_else(b);
    set_next_sample(frame, row, rxn__kir_load(b, frame->sample_time, &row), false);
    rxn__kir_close(b);
}

/* One sample of the present state; then the next one is looked for. */
static void
record_sample(SsaFrame *frame, KirValue row, KirValue time)
{
    KirBuilder *b = frame->builder;
    rxn__lower_forget(&frame->lower);
    frame->lower.time = time;
    if (frame->extension)
        frame->extension->record(frame, frame->extension->context, row, time);
    else
        store_observables(frame, row);
    frame->lower.time = 0;
    rxn__lower_forget(&frame->lower);
    KirValue next = kir_add(b, row, rxn__kir_const(b, KIR_I32, 1));
    rxn__kir_set(b, frame->sample_index, 0, next);
    rxn__ssa_next_sample(frame, next);
}

KirValue
rxn__ssa_stop(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    return frame->only_ends ? rxn__kir_load(b, frame->end_time, NULL)
                            : rxn__kir_get(b, frame->stop, 0);
}

/* Records the present state for all sample times before `limit`. */
static void
record_samples(SsaFrame *frame, KirValue limit)
{
    KirBuilder *b = frame->builder;
    rxn__kir_if(b, kir_lt(b, rxn__kir_get(b, frame->next_sample, 0), limit));
    rxn__kir_loop(b);
    KirValue time = rxn__kir_get(b, frame->next_sample, 0);
    record_sample(frame, rxn__kir_get(b, frame->sample_index, 0), time);
    rxn__kir_if(b, kir_not(b, kir_lt(b, rxn__kir_get(b, frame->next_sample, 0), limit)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

/* ---- windows ----------------------------------------------------------------------------------- */

static void
shrink_window(SsaFrame *frame, KirValue now, double factor)
{
    KirBuilder *b = frame->builder;
    KirValue length = kir_mul(b, rxn__kir_get(b, frame->window_length, 0), f64(frame, factor));
    length = kir_max(b, length, kir_mul(b, now, f64(frame, 0x1p-40)));
    rxn__kir_set(b, frame->window_length, 0, length);
    KirValue end = kir_min(b, rxn__kir_get(b, frame->window_end, 0), kir_add(b, now, length));
    rxn__kir_set(b, frame->window_end, 0, end);
    rxn__kir_set(b, frame->stop, 0, kir_min(b, end, rxn__kir_get(b, frame->stop, 0)));
    rxn__kir_set(b, frame->next_time, 0, kir_min(b, end, rxn__kir_get(b, frame->next_time, 0)));
    rxn__kir_set(b, frame->fresh, 0, rxn__kir_const(b, KIR_BOOL, 0));
    if (frame->tracks_jumps)
        rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 1));
}

void
rxn__ssa_refused(SsaFrame *frame, KirValue total)
{
    KirBuilder *b = frame->builder;
    rxn__kir_set(b, frame->missed, 0,
                 kir_add(b, rxn__kir_get(b, frame->missed, 0), rxn__kir_const(b, KIR_U64, 1)));
    if (!frame->has_windows)
        return;
    /* A shorter window has a tighter bound; but one of fewer than some eight proposals would cost more
     * crossings than it saves refusals, and where the bound is loose for another reason it never helps. */
    KirValue proposals =
        kir_mul(b, rxn__kir_get(b, frame->window_length, 0), kir_cast(b, KIR_F64, total));
    rxn__kir_if(b, kir_gt(b, proposals, f64(frame, 8)));
    shrink_window(frame, rxn__kir_get(b, frame->arrival, 0), 0.5);
    rxn__kir_close(b);
}

/* An infinite bound may only mean a window that is too long (exp(t) over a thousand units). Returns
 * whether this step is given to a shorter one. */
static KirValue
retry_infinite_bound(SsaFrame *frame, KirValue total)
{
    KirBuilder *b = frame->builder;
    KirValue t = rxn__kir_get(b, frame->t, 0);
    KirValue length = rxn__kir_get(b, frame->window_length, 0);
    KirValue finite = kir_lt(b, total, rxn__ssa_real(frame, INFINITY));
    KirValue least = kir_add(b, kir_mul(b, t, f64(frame, 0x1p-39)), f64(frame, 1e-200));
    KirValue retries = kir_and(b, kir_not(b, finite), kir_gt(b, length, least));
    rxn__kir_if(b, retries);
    shrink_window(frame, t, 0x1p-6);
    rxn__kir_set(b, frame->arrival, 0, t);
    no_reaction(frame);
    rxn__kir_close(b);
    return retries;
}

/* ---- the block --------------------------------------------------------------------------------- */

static void
cross_stop(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    no_reaction(frame);
    rxn__kir_if(b, rxn__kir_get(b, frame->ended, 0));
    rxn__kir_set(b, frame->done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    rxn__kir_set(b, frame->arrival, 0, rxn__kir_get(b, frame->t, 0));
    rxn__kir_else(b);
    KirValue stop = rxn__kir_get(b, frame->stop, 0);
    rxn__kir_set(b, frame->arrival, 0, stop);
    rxn__kir_set(b, frame->t, 0, stop); /* a fault of an event happens at the event's time */
    rxn__ssa_timed_events(frame, stop);
    rxn__kir_if(b, kir_ge(b, stop, rxn__kir_load(b, frame->end_time, NULL)));
    /* One more iteration: `when` events at the end time come first, then the last samples. */
    rxn__kir_set(b, frame->ended, 0, rxn__kir_const(b, KIR_BOOL, 1));
    rxn__kir_set(b, frame->stop, 0, f64(frame, -INFINITY));
    rxn__kir_else(b);
    rxn__ssa_next_stop(frame, stop);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

static void
record_and_cross(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    KirValue arrival = rxn__kir_get(b, frame->arrival, 0);
    KirValue stop = rxn__kir_get(b, frame->stop, 0);
    KirValue ended = rxn__kir_get(b, frame->ended, 0), reacts = kir_lt(b, arrival, stop);
    record_samples(frame, kir_select(b, ended, f64(frame, INFINITY), kir_min(b, arrival, stop)));
    rxn__kir_if(b, kir_not(b, reacts));
    cross_stop(frame);
    rxn__kir_close(b);
    rxn__kir_set(
        b, frame->next_time, 0,
        kir_min(b, rxn__kir_get(b, frame->stop, 0), rxn__kir_get(b, frame->next_sample, 0)));
}

/* Whether nothing is due before the reaction. */
static KirValue
is_on_time(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    KirValue arrival = rxn__kir_get(b, frame->arrival, 0);
    KirValue next = rxn__kir_get(b, frame->next_time, 0);
    return frame->only_ends ? kir_le(b, arrival, next) : kir_lt(b, arrival, next);
}

static KirValue
has_all_samples(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    KirValue row = rxn__kir_get(b, frame->sample_index, 0);
    return kir_ge(b, row, rxn__kir_load(b, frame->sample_count, NULL));
}

static KirValue
needs_no_sample(SsaFrame *frame)
{
    KirValue on_time = is_on_time(frame), has_all = has_all_samples(frame);
    return kir_or(frame->builder, on_time, has_all);
}

/* All samples are recorded: the end comes next, or has come. */
static void
end_if_past(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    rxn__kir_set(b, frame->next_time, 0, rxn__ssa_stop(frame));
    rxn__kir_if(b, kir_not(b, is_on_time(frame)));
    no_reaction(frame);
    rxn__kir_set(b, frame->done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    rxn__kir_set(b, frame->arrival, 0, rxn__ssa_stop(frame));
    rxn__kir_close(b);
}

/* Where only the end stops a wait. With samples at every few steps much of the time goes here, so that a sample takes one
 * comparison of times, and few locals change in the loop. */
static void
record_or_end(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    rxn__kir_if(b, kir_not(b, needs_no_sample(frame)));
    rxn__kir_loop(b);
    KirValue row = rxn__kir_get(b, frame->sample_index, 0);
    record_sample(frame, row, rxn__kir_load(b, frame->sample_time, &row));
    rxn__kir_if(b, needs_no_sample(frame));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__kir_if(b, has_all_samples(frame));
    end_if_past(frame);
    rxn__kir_close(b);
}

void
rxn__ssa_rare(SsaFrame *frame, KirValue total, KirValue healthy,
              void (*explain)(SsaFrame *frame, void *context), void *context)
{
    KirBuilder *b = frame->builder;
    KirValue on_time = is_on_time(frame), n = rxn__kir_get(b, frame->n, 0);
    KirValue quiet = kir_and(b, on_time, kir_ne(b, n, rxn__kir_get(b, frame->n_check, 0)));
    if (healthy)
        quiet = kir_and(b, quiet, healthy);
    rxn__kir_if(b, kir_not(b, quiet));
    look_at_limits(frame);
    KirValue retries = 0;
    if (frame->has_windows)
        retries = retry_infinite_bound(frame, total);
    if (healthy) {
        /* After the end the propensities of the final state are nobody's business. */
        KirValue matters = kir_not(b, rxn__kir_get(b, frame->ended, 0));
        /* Not the threshold: of an infinite total it is infinite, too. */
        if (retries)
            matters = kir_and(b, matters, kir_not(b, retries));
        rxn__kir_if(b, kir_and(b, kir_not(b, healthy), matters));
        explain(frame, context);
        rxn__kir_close(b);
    }
    if (frame->only_ends)
        record_or_end(frame);
    else
        record_and_cross(frame);
    rxn__kir_close(b);
}
