/* timeline.c: the instants at which something happens: events, jumps of rates, times that are read.
 *
 * Their times are computed as the frame of the exact methods does, to the last bit, so that what
 * coincides there coincides here. An instant may move with a param; where things that move differently
 * coincide, the result has no derivative, which is refused.
 */
#include "compiler/cme/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STOPS = 1000000 };

/* Something at a time, before what coincides is joined. */
typedef struct Entry {
    double time;
    u32 event; /* number + 1; 0: none */
    bool reads, breakpoint;
    double *movement;
} Entry;

typedef struct Timeline {
    Cme *cme;
    VEC(Entry) entries;
} Timeline;

static double
value_of(Cme *cme, Expr expr)
{
    ExprValues values = {.params = cme->params, .inputs = cme->inputs};
    return rxn__expr_evaluate(cme->network, expr, &values);
}

/* out += factor * d expr / d params; out is made where there is something to add. */
static void
add_movement(Cme *cme, Expr expr, double factor, double **out)
{
    ExprUses uses = rxn__expr_uses(cme->network, expr);
    for (u32 i = 0; i < cme->wrt_count && (uses.params || uses.hoisted); i++) {
        double moves =
            value_of(cme, rxn__expr_derivative(cme->network, expr, EXPR_PARAM, cme->wrt[i]));
        if (moves == 0)
            continue;
        if (!*out)
            *out = NEW_ARRAY(cme->arena, double, cme->wrt_count);
        (*out)[i] += factor * moves;
    }
}

static void
add_entry(Timeline *timeline, Entry entry)
{
    Cme *cme = timeline->cme;
    if (!(entry.time <= cme->end))
        return;
    if (timeline->entries.count == MOST_STOPS)
        rxn__cme_fail(cme, "more than %d events, jumps of rates and times to read", MOST_STOPS);
    vec_push(cme->arena, &timeline->entries, entry);
}

static void
add_every(Timeline *timeline, u32 number, const Event *event)
{
    Cme *cme = timeline->cme;
    double period = value_of(cme, event->period);
    double from = event->time ? value_of(cme, event->time) : period;
    double until = event->until ? value_of(cme, event->until) : INFINITY;
    if (!(period > 0) || isnan(from))
        rxn__cme_fail(cme, "the time or period of an 'every' event is %g",
                      isnan(from) ? from : period);
    double turn = fmax(0, ceil(-(from / period))), before = -1;
    for (;; turn++) {
        double time = from + turn * period;
        if (!(time <= until) || !(time <= cme->end))
            return;
        if (!(time > before))
            rxn__cme_fail(cme,
                          "the period of an 'every' event is too small for the time to move on");
        before = time;
        Entry entry = {.time = time, .event = number + 1};
        if (event->time)
            add_movement(cme, event->time, 1, &entry.movement);
        add_movement(cme, event->period, event->time ? turn : turn + 1, &entry.movement);
        add_entry(timeline, entry);
    }
}

static void
add_events(Timeline *timeline)
{
    Cme *cme = timeline->cme;
    for (u32 e = 0; e < cme->network->events.count; e++) {
        const Event event = cme->network->events.items[e];
        if (event.kind == EVENT_EVERY)
            add_every(timeline, e, &event);
        if (event.kind != EVENT_AT)
            continue;
        Entry entry = {.time = value_of(cme, event.time), .event = e + 1};
        if (isnan(entry.time))
            rxn__cme_fail(cme, "the time of an 'at' event is not a number");
        if (entry.time < 0)
            continue;
        add_movement(cme, event.time, 1, &entry.movement);
        add_entry(timeline, entry);
    }
}

static void
add_breakpoints(Timeline *timeline)
{
    Cme *cme = timeline->cme;
    for (u32 k = 0; k < cme->network->breakpoints.count; k++) {
        Expr expr = cme->network->breakpoints.items[k];
        Entry entry = {.time = value_of(cme, expr), .breakpoint = true};
        vec_push(cme->arena, &cme->breakpoints, entry.time);
        if (!(entry.time > 0))
            continue;
        add_movement(cme, expr, 1, &entry.movement);
        add_entry(timeline, entry);
    }
}

double
rxn__cme_middle(const Cme *cme, double time)
{
    double next = INFINITY;
    for (u32 k = 0; k < cme->breakpoints.count; k++)
        if (cme->breakpoints.items[k] > time)
            next = fmin(next, cme->breakpoints.items[k]);
    return next == INFINITY ? 1 + 2 * time : 0.5 * (time + next);
}

static int
compare_entries(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->event < y->event ? -1 : x->event > y->event;
}

static double
movement_of(const double *movement, u32 i)
{
    return movement ? movement[i] : 0;
}

static void
check_movements(Cme *cme, const CmeStop *stop, const Entry *entry)
{
    for (u32 i = 0; i < cme->wrt_count; i++)
        if (movement_of(stop->movement, i) != movement_of(entry->movement, i))
            rxn__cme_fail(
                cme,
                "at time %g two things coincide that '%s' moves apart (an event, a jump of a "
                "rate, a time that is read): there is no derivative there",
                stop->time, rxn__param_label(cme->network, cme->wrt[i], cme->arena));
}

void
rxn__cme_timeline(Cme *cme, const double *reads, u32 read_count)
{
    Timeline timeline = {.cme = cme};
    cme->end = read_count ? reads[read_count - 1] : 0;
    add_entry(&timeline, (Entry){.time = 0});
    for (u32 k = 0; k < read_count; k++)
        add_entry(&timeline, (Entry){.time = reads[k], .reads = true});
    add_events(&timeline);
    add_breakpoints(&timeline);
    Entry *entries = timeline.entries.items;
    u32 count = timeline.entries.count;
    qsort(entries, count, sizeof *entries, compare_entries);
    cme->stops = NEW_ARRAY(cme->arena, CmeStop, count);
    cme->due = NEW_ARRAY(cme->arena, u32, count);
    u32 due = 0;
    for (u32 k = 0; k < count; k++) {
        CmeStop *stop = cme->stop_count ? &cme->stops[cme->stop_count - 1] : NULL;
        if (!stop || stop->time != entries[k].time) {
            stop = &cme->stops[cme->stop_count++];
            *stop =
                (CmeStop){.time = entries[k].time, .events = due, .movement = entries[k].movement};
        } else {
            check_movements(cme, stop, &entries[k]);
        }
        stop->reads |= entries[k].reads;
        stop->breakpoint |= entries[k].breakpoint;
        if (entries[k].event) {
            cme->due[due++] = entries[k].event - 1;
            stop->event_count++;
        }
    }
}
