/* ssa_events.c: the deterministic part of a trajectory's calendar: events, breakpoints, windows.
 *
 * Each `at` and `every` keeps the time of its next firing in a local; `stop` is the least of these, of
 * the next breakpoint of the rates, of the window's end and of the end time. Times are computed as
 * from + turn * period, never accumulated, so that the thousandth firing is as exact as the first.
 *
 * A `when` keeps whether its condition held after the last change; it fires at a change from false to
 * true. Of several that turn true together the first in order of declaration fires; then all conditions
 * are looked at anew, until none is rising.
 */
#include "compiler/method/ssa_private.h"

#include <math.h>

/* Firings of `when` events at one instant before it is called endless. */
enum { CASCADE_LIMIT = 1000 };

static KirValue
f64(SsaFrame *frame, double value)
{
    return rxn__kir_const(frame->builder, KIR_F64, value);
}

static KirValue
event_detail(SsaFrame *frame, u32 event)
{
    return rxn__kir_const(frame->builder, KIR_U32, event);
}

/* Evaluates all values of an event, checks them, then stores them. */
static void
assign(SsaFrame *frame, u32 number)
{
    KirBuilder *b = frame->builder;
    const Event *event = &frame->network->events.items[number];
    u32 count = event->assignments.count;
    KirValue *values = NEW_ARRAY(frame->arena, KirValue, count + 1);
    rxn__lower_forget(&frame->lower);
    /* f64 in every precision: what f32 would round to a count must not pass for one. */
    for (u32 k = 0; k < count; k++)
        values[k] = rxn__lower_as(&frame->lower, event->assignments.items[k].value, KIR_F64);
    for (u32 k = 0; k < count; k++) {
        rxn__kir_if(b, rxn__ssa_not_a_count(frame, values[k]));
        rxn__kir_trap(b, RXN_FAULT_ASSIGNED_VALUE,
                      rxn__kir_const(b, KIR_U32, (double)(number << 16 | k)));
        rxn__kir_close(b);
    }
    if (frame->extension && frame->extension->assign)
        frame->extension->assign(frame, frame->extension->context, number);
    for (u32 k = 0; k < count; k++)
        rxn__ssa_set_species(frame, event->assignments.items[k].member,
                             kir_cast(b, frame->real, values[k]));
    /* The counts may be near their limit now: look at the limits again at the next step. */
    rxn__kir_set(b, frame->n_check, 0,
                 kir_add(b, rxn__kir_get(b, frame->n, 0), rxn__kir_const(b, KIR_U32, 1)));
    if (frame->tracks_jumps)
        rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 1));
    rxn__ssa_sums_assigned(frame);
    rxn__lower_forget(&frame->lower);
}

static void
trap_if(SsaFrame *frame, KirValue bad, RxnFaultCode code, KirValue detail)
{
    rxn__kir_if(frame->builder, bad);
    rxn__kir_trap(frame->builder, code, detail);
    rxn__kir_close(frame->builder);
}

/* ---- the start --------------------------------------------------------------------------------- */

static void
init_at(SsaFrame *frame, u32 e)
{
    KirBuilder *b = frame->builder;
    KirValue time = rxn__lower_as(&frame->lower, frame->network->events.items[e].time, KIR_F64);
    trap_if(frame, kir_ne(b, time, time), RXN_FAULT_EVENT_TIME, event_detail(frame, e));
    KirValue past = kir_lt(b, time, f64(frame, 0));
    rxn__kir_set(b, frame->event_next[e], 0, kir_select(b, past, f64(frame, INFINITY), time));
}

/* Times of an `every`: from, period, and the last one that counts. */
static KirValue
every_time(SsaFrame *frame, u32 e, KirValue turn)
{
    KirBuilder *b = frame->builder;
    const Event *event = &frame->network->events.items[e];
    KirValue period = rxn__lower_as(&frame->lower, event->period, KIR_F64);
    KirValue from = event->time ? rxn__lower_as(&frame->lower, event->time, KIR_F64) : period;
    KirValue time = kir_add(b, from, kir_mul(b, turn, period));
    if (event->until) {
        KirValue until = rxn__lower_as(&frame->lower, event->until, KIR_F64);
        time = kir_select(b, kir_le(b, time, until), time, f64(frame, INFINITY));
    }
    return time;
}

static void
init_every(SsaFrame *frame, u32 e)
{
    KirBuilder *b = frame->builder;
    const Event *event = &frame->network->events.items[e];
    KirValue period = rxn__lower_as(&frame->lower, event->period, KIR_F64);
    KirValue from = event->time ? rxn__lower_as(&frame->lower, event->time, KIR_F64) : period;
    KirValue good = kir_and(b, kir_gt(b, period, f64(frame, 0)), kir_eq(b, from, from));
    trap_if(frame, kir_not(b, good), RXN_FAULT_EVENT_TIME, event_detail(frame, e));
    /* The first turn that is not before time zero. */
    KirValue turn = kir_max(b, f64(frame, 0), kir_ceil(b, kir_neg(b, kir_div(b, from, period))));
    rxn__kir_set(b, frame->event_turn[e], 0, turn);
    rxn__kir_set(b, frame->event_next[e], 0, every_time(frame, e, turn));
}

/* The least breakpoint after `now`; +inf if there is none. */
static KirValue
next_breakpoint(SsaFrame *frame, KirValue now)
{
    KirBuilder *b = frame->builder;
    KirValue least = f64(frame, INFINITY);
    for (u32 k = 0; k < frame->network->breakpoints.count; k++) {
        KirValue time = rxn__lower_as(&frame->lower, frame->network->breakpoints.items[k], KIR_F64);
        KirValue later = kir_select(b, kir_gt(b, time, now), time, f64(frame, INFINITY));
        least = kir_min(b, least, later);
    }
    return least;
}

/* Comparisons of time are decided at a point inside the interval that begins now. */
KirValue
rxn__ssa_middle(SsaFrame *frame, KirValue now)
{
    KirBuilder *b = frame->builder;
    KirValue next = next_breakpoint(frame, now);
    KirValue inside = kir_mul(b, f64(frame, 0.5), kir_add(b, now, next));
    KirValue beyond = kir_add(b, f64(frame, 1), kir_mul(b, f64(frame, 2), now));
    KirValue last = kir_eq(b, next, f64(frame, INFINITY));
    return kir_select(b, last, beyond, inside);
}

static void
set_middle(SsaFrame *frame, KirValue now)
{
    rxn__kir_set(frame->builder, frame->middle, 0, rxn__ssa_middle(frame, now));
}

static void
bind_conditions(SsaFrame *frame)
{
    rxn__lower_forget(&frame->lower);
    if (frame->has_breakpoints)
        frame->lower.time_middle = rxn__kir_get(frame->builder, frame->middle, 0);
}

void
rxn__ssa_init_events(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    for (u32 e = 0; e < network->events.count; e++) {
        if (network->events.items[e].kind == EVENT_AT)
            init_at(frame, e);
        else if (network->events.items[e].kind == EVENT_EVERY)
            init_every(frame, e);
    }
    if (frame->has_breakpoints)
        set_middle(frame, f64(frame, 0));
    if (frame->has_windows) {
        /* Any start will do: the length doubles and halves until it suits the rates. */
        rxn__kir_set(b, frame->window_length, 0, f64(frame, 1));
        rxn__kir_set(b, frame->window_end, 0, f64(frame, 1));
        rxn__kir_set(b, frame->fresh, 0, rxn__kir_const(b, KIR_BOOL, 1));
    }
    bind_conditions(frame);
    for (u32 e = 0; e < network->events.count; e++)
        if (network->events.items[e].kind == EVENT_WHEN)
            rxn__kir_set(b, frame->event_was[e], 0,
                         rxn__lower(&frame->lower, network->events.items[e].condition));
    if (frame->tracks_jumps)
        rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 1));
    KirValue first = rxn__kir_const(b, KIR_I32, 0);
    if (frame->only_ends) {
        rxn__ssa_next_sample(frame, first);
        KirValue next = rxn__kir_get(b, frame->next_time, 0);
        rxn__kir_set(b, frame->next_time, 0, /* there may be no sample */
                     kir_min(b, next, rxn__ssa_stop(frame)));
        return;
    }
    rxn__ssa_next_sample(frame, first);
    rxn__ssa_next_stop(frame, f64(frame, 0));
}

/* ---- at a stop --------------------------------------------------------------------------------- */

/* Sets `stop` to the next entry of the calendar, and `next_time`. now: for breakpoints. */
void
rxn__ssa_next_stop(SsaFrame *frame, KirValue now)
{
    KirBuilder *b = frame->builder;
    KirValue stop = rxn__kir_load(b, frame->end_time, NULL);
    for (u32 e = 0; e < frame->network->events.count; e++)
        if (frame->event_next[e])
            stop = kir_min(b, stop, rxn__kir_get(b, frame->event_next[e], 0));
    if (frame->has_breakpoints)
        stop = kir_min(b, stop, next_breakpoint(frame, now));
    if (frame->has_windows)
        stop = kir_min(b, stop, rxn__kir_get(b, frame->window_end, 0));
    if (frame->extension && frame->extension->next_stop)
        stop = kir_min(b, stop, frame->extension->next_stop(frame, frame->extension->context));
    rxn__kir_set(b, frame->stop, 0, stop);
    rxn__kir_set(b, frame->next_time, 0, kir_min(b, stop, rxn__kir_get(b, frame->next_sample, 0)));
}

/* A stop of the extension. */
static void
extension_stop(SsaFrame *frame, KirValue stop)
{
    KirBuilder *b = frame->builder;
    const SsaExtension *extension = frame->extension;
    rxn__kir_if(b, kir_eq(b, extension->next_stop(frame, extension->context), stop));
    bind_conditions(frame);
    frame->lower.time = stop;
    extension->at_stop(frame, extension->context, stop);
    rxn__ssa_sums_assigned(frame);
    frame->lower.time = 0;
    rxn__kir_set(b, frame->n_check, 0,
                 kir_add(b, rxn__kir_get(b, frame->n, 0), rxn__kir_const(b, KIR_U32, 1)));
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

/* Fires what is due at `stop`, in order of declaration; moves the middle and the window. */
void
rxn__ssa_timed_events(SsaFrame *frame, KirValue stop)
{
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    if (frame->extension && frame->extension->next_stop)
        extension_stop(frame, stop);
    for (u32 e = 0; e < network->events.count; e++) {
        if (!frame->event_next[e])
            continue;
        rxn__kir_if(b, kir_eq(b, rxn__kir_get(b, frame->event_next[e], 0), stop));
        rxn__lower_forget(&frame->lower);
        frame->lower.time = stop;
        assign(frame, e);
        if (network->events.items[e].kind == EVENT_AT) {
            rxn__kir_set(b, frame->event_next[e], 0, f64(frame, INFINITY));
        } else {
            KirValue turn = kir_add(b, rxn__kir_get(b, frame->event_turn[e], 0), f64(frame, 1));
            KirValue next = every_time(frame, e, turn);
            trap_if(frame, kir_not(b, kir_gt(b, next, stop)), RXN_FAULT_EVENT_TIME,
                    event_detail(frame, e));
            rxn__kir_set(b, frame->event_turn[e], 0, turn);
            rxn__kir_set(b, frame->event_next[e], 0, next);
        }
        rxn__kir_close(b);
        rxn__lower_forget(&frame->lower);
    }
    frame->lower.time = 0;
    if (frame->has_breakpoints) {
        /* Between breakpoints `middle` would move without crossing one: harmless, so always set. */
        set_middle(frame, stop);
        if (frame->tracks_jumps)
            rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 1));
    }
    if (frame->has_windows) {
        rxn__kir_if(b, kir_eq(b, rxn__kir_get(b, frame->window_end, 0), stop));
        KirValue length = rxn__kir_get(b, frame->window_length, 0);
        KirValue doubled = kir_min(b, kir_add(b, length, length), f64(frame, 1e300));
        length = kir_select(b, rxn__kir_get(b, frame->fresh, 0), doubled, length);
        /* Never so short that the end is not after the start. */
        length = kir_max(b, length, kir_mul(b, stop, f64(frame, 0x1p-40)));
        rxn__kir_set(b, frame->window_length, 0, length);
        rxn__kir_set(b, frame->window_end, 0, kir_add(b, stop, length));
        rxn__kir_set(b, frame->fresh, 0, rxn__kir_const(b, KIR_BOOL, 1));
        if (frame->tracks_jumps)
            rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 1));
        rxn__kir_close(b);
    }
    rxn__lower_forget(&frame->lower);
}

/* ---- when -------------------------------------------------------------------------------------- */

/* Evaluates all conditions on the present state: which hold, and which have just turned true. Returns
 * whether any has. */
static KirValue
rising_conditions(SsaFrame *frame, KirValue *ret_holds, KirValue *ret_rising)
{
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    KirValue any = rxn__kir_const(b, KIR_BOOL, 0);
    bind_conditions(frame);
    for (u32 e = 0; e < network->events.count; e++) {
        if (network->events.items[e].kind != EVENT_WHEN)
            continue;
        ret_holds[e] = rxn__lower(&frame->lower, network->events.items[e].condition);
        KirValue was = rxn__kir_get(b, frame->event_was[e], 0);
        ret_rising[e] = kir_and(b, ret_holds[e], kir_not(b, was));
        any = kir_or(b, any, ret_rising[e]);
    }
    return any;
}

/* Fires the first of the events that are rising. The others that are rising stay "not held", so that they
 * fire next if they still hold then. */
static void
fire_first(SsaFrame *frame, const KirValue *holds, const KirValue *rising, KirValue round)
{
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    KirValue *fires = NEW_ARRAY(frame->arena, KirValue, network->events.count);
    KirValue earlier = rxn__kir_const(b, KIR_BOOL, 0);
    for (u32 e = 0; e < network->events.count; e++) {
        if (network->events.items[e].kind != EVENT_WHEN)
            continue;
        fires[e] = kir_and(b, rising[e], kir_not(b, earlier));
        earlier = kir_or(b, earlier, rising[e]);
        KirValue settled = kir_or(b, fires[e], kir_not(b, rising[e]));
        rxn__kir_set(b, frame->event_was[e], 0, kir_and(b, holds[e], settled));
    }
    for (u32 e = 0; e < network->events.count; e++) {
        if (network->events.items[e].kind != EVENT_WHEN)
            continue;
        rxn__kir_if(b, fires[e]);
        trap_if(frame, kir_gt(b, round, rxn__kir_const(b, KIR_I32, CASCADE_LIMIT)),
                RXN_FAULT_EVENT_CASCADE, event_detail(frame, e));
        frame->lower.time = rxn__kir_get(b, frame->t, 0);
        assign(frame, e);
        frame->lower.time = 0;
        rxn__kir_close(b);
        rxn__lower_forget(&frame->lower);
    }
}

void
rxn__ssa_when_events(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    KirValue *holds = NEW_ARRAY(frame->arena, KirValue, network->events.count);
    KirValue *rising = NEW_ARRAY(frame->arena, KirValue, network->events.count);
    rxn__kir_if(b, rising_conditions(frame, holds, rising));
    u32 rounds = rxn__kir_local(b, "rounds", KIR_I32, 0);
    rxn__kir_set(b, rounds, 0, rxn__kir_const(b, KIR_I32, 0));
    rxn__kir_loop(b);
    KirValue any = rising_conditions(frame, holds, rising);
    rxn__kir_if(b, kir_not(b, any));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue round = rxn__kir_get(b, rounds, 0);
    fire_first(frame, holds, rising, round);
    rxn__kir_set(b, rounds, 0, kir_add(b, round, rxn__kir_const(b, KIR_I32, 1)));
    rxn__kir_close(b);
    rxn__kir_close(b);
    rising_conditions(frame, holds, rising); /* none is rising now: what holds is what held */
    for (u32 e = 0; e < network->events.count; e++)
        if (network->events.items[e].kind == EVENT_WHEN)
            rxn__kir_set(b, frame->event_was[e], 0, holds[e]);
    rxn__lower_forget(&frame->lower);
}
