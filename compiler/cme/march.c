/* march.c: from one instant to the next: steps of time, growth of the space, maps at events.
 *
 * A step is tried on the present space. What it brings to the frontier is lost; if that is more than the
 * step's share of the tolerance, the states there, and some layers around them, become active and the
 * step is made again from its start. So the space follows the probability, and every figure of the loss is
 * one of a step that counted.
 *
 * Rates that glide in time: the commutator-free exponential integrator of fourth order (S. Blanes, P. C.
 * Moan, Appl. Numer. Math. 56 (2006) 1519-1537; also A. Alvermann, H. Fehske, J. Comput. Phys. 230 (2011)
 * 5930-5956), which is symmetric in time, so that a step and its two halves give an error estimate and,
 * extrapolated, order six.
 */
#include "compiler/cme/private.h"

#include <math.h>
#include <string.h>

static const double first_stretch = 16, longest_stretch = 1000;
enum { MOST_LAYERS = 64 };
static const u32 NOWHERE = 0xFFFFFFFF;
/* The sensitivities' share of the frontier may exceed the probability's by this factor: they are
 * probability times a score, which is large where probability is small. */
static const double sensitivity_allowance = 100;
/* Error of a step of gliding rates, before extrapolation, relative to its share of the tolerance. */
static const double smooth_allowance = 100;
/* Of a sum over all states. */
static const double rounding = 1e-15;

CmeChain *
rxn__cme_add_chain(Cme *cme)
{
    CmeChain *chain = NEW(cme->arena, CmeChain);
    chain->live = true;
    vec_push(cme->arena, &cme->chains, chain);
    return chain;
}

static void
give_back(Cme *cme, CmeBuffer *buffer)
{
    if (!buffer->items)
        return;
    rxn__arena_release(&buffer->arena);
    cme->bytes -= buffer->bytes;
    for (u32 k = 0; k < cme->buffers.count; k++)
        if (cme->buffers.items[k] == buffer)
            cme->buffers.items[k] = cme->buffers.items[--cme->buffers.count];
    *buffer = (CmeBuffer){0};
}

void
rxn__cme_drop_chain(Cme *cme, CmeChain *chain)
{
    chain->live = false;
    for (u32 k = 0; k < SLOT_COUNT; k++)
        give_back(cme, &chain->slots[k]);
    for (u32 k = 0; k < INTEGRAL_COUNT; k++)
        give_back(cme, &chain->integrals[k]);
}

static u64
numbers_of(const Cme *cme)
{
    return cme->state_count * cme->width;
}

/* ---- what is lost, and growth ------------------------------------------------------------------ */

/* What may have been lost by `time`, probability and sensitivities. */
typedef struct Allowance {
    double probability;
    double *sensitivity; /* [wrt_count]; shares one scratch row */
} Allowance;

static Allowance
allowance_at(Cme *cme, double time)
{
    double all = cme->options.tolerance * fmin(1, time / cme->end);
    Allowance allowance = {fmax(all - cme->lost, all * 1e-6), cme->row};
    for (u32 i = 0; i < cme->wrt_count; i++) {
        double most = sensitivity_allowance * all / cme->scale[i];
        cme->row[i] = fmax(most - cme->lost_sensitivity[i], most * 1e-6);
    }
    return allowance;
}

/* How much of its allowance the state would use up. */
static double
excess_of(const Cme *cme, const Allowance *allowance, const double *values)
{
    double excess = fabs(values[0]) / allowance->probability;
    for (u32 i = 0; i < cme->wrt_count; i++)
        excess = fmax(excess, fabs(values[i + 1]) / allowance->sensitivity[i]);
    return excess;
}

static bool
leaks_too_much(Cme *cme, const Allowance *allowance, const double *vector, u64 *ret_fringe)
{
    double *sum = cme->sums;
    memset(sum, 0, cme->width * sizeof *sum);
    u64 fringe = 0;
    for (u64 state = 0; state < cme->state_count; state++) {
        if (cme_is_active(cme, state))
            continue;
        for (u32 i = 0; i <= cme->wrt_count; i++)
            sum[i] += fabs(vector[state * cme->width + i]);
        fringe++;
    }
    *ret_fringe = fringe;
    return excess_of(cme, allowance, sum) > 1;
}

static void
activate_or_fail(Cme *cme, u64 state)
{
    if (!rxn__cme_activate(cme, state))
        rxn__cme_fail(cme, "%s", cme->fault);
}

static bool
leads_anywhere(const Cme *cme, u64 edge)
{
    u32 rate = ((const u32 *)cme->edge_rate.items)[edge];
    if (cme->reactions[((const u32 *)cme->rate_reaction.items)[rate]].smooth)
        return true;
    const double *values = (const double *)cme->rate_values.items + (u64)rate * cme->width;
    for (u32 i = 0; i <= cme->wrt_count; i++)
        if (values[i] != 0)
            return true;
    return false;
}

/* Activates the targets of the states fringe[from … to-1]; returns the new end of the list. */
static u64
add_layer(Cme *cme, u64 from, u64 to)
{
    u64 end = to;
    for (u64 k = from; k < to; k++) {
        u64 state = ((u32 *)cme->fringe.items)[k];
        u64 first = ((u32 *)cme->edge_first.items)[state];
        u64 count = ((u32 *)cme->edge_count_of.items)[state];
        for (u64 e = first; e < first + count; e++) {
            u64 target = ((u32 *)cme->edge_target.items)[e];
            if (((u8 *)cme->active.items)[target] != STATE_FRONTIER || !leads_anywhere(cme, e) ||
                !rxn__cme_activate(cme, target))
                continue;
            u32 *list = rxn__cme_reserve(cme, &cme->fringe, end + 1, sizeof *list);
            list[end++] = (u32)target;
        }
        rxn__cme_look_at_cancel(cme);
    }
    return end;
}

/* Activates where the step leaks, and `layers` layers around it. */
static void
grow(Cme *cme, const Allowance *allowance, const double *vector, u64 fringe)
{
    u64 end = 0, states = cme->state_count;
    for (u64 state = 0; state < states; state++) {
        if (cme_is_active(cme, state) ||
            excess_of(cme, allowance, vector + state * cme->width) * 4 * (double)fringe < 1)
            continue;
        u32 *list = rxn__cme_reserve(cme, &cme->fringe, end + 1, sizeof *list);
        list[end++] = (u32)state;
    }
    for (u64 k = 0; k < end; k++)
        activate_or_fail(cme, ((u32 *)cme->fringe.items)[k]);
    u64 from = 0;
    for (u32 layer = 1; layer < cme->layers && from < end; layer++) {
        u64 next = add_layer(cme, from, end);
        from = end;
        end = next;
    }
}

/* Forgets what is on the frontier. */
static void
lose_frontier(Cme *cme)
{
    u32 width = cme->width;
    for (u32 c = 0; c < cme->chains.count; c++) {
        CmeChain *chain = cme->chains.items[c];
        if (!chain->live)
            continue;
        double *vector = rxn__cme_vector(cme, chain, SLOT_NOW);
        for (u64 state = 0; state < cme->state_count; state++) {
            if (cme_is_active(cme, state))
                continue;
            for (u32 i = 0; i < cme->wrt_count && c == 0; i++)
                cme->lost_sensitivity[i] += fabs(vector[state * width + i + 1]);
            memset(vector + state * width, 0, width * sizeof *vector);
        }
    }
    const double *probability = rxn__cme_vector(cme, cme->chains.items[0], SLOT_NOW);
    double kept = 0;
    for (u64 state = 0; state < cme->state_count; state++)
        kept += probability[state * width];
    cme->lost = fmax(0, 1 - kept);
}

/* ---- steps ------------------------------------------------------------------------------------- */

static void
clear_integrals(Cme *cme, u32 which)
{
    for (u32 c = 0; c < cme->chains.count; c++) {
        CmeChain *chain = cme->chains.items[c];
        if (chain->live && chain->integrates)
            memset(rxn__cme_integral(cme, chain, which), 0, numbers_of(cme) * sizeof(double));
    }
}

/* The largest part of the whole that is at most this long: no short step is left at the end. */
static double
even_part(double whole, double longest)
{
    return longest >= whole ? whole : whole / ceil(whole / longest);
}

/* Tries a step of at most `most` from NOW to NEXT; returns its length. */
static double
try_plain(Cme *cme, double most)
{
    double rate = rxn__cme_generator(cme, 1, &cme->time, &(double){1}, 1e-3 / most);
    double length = even_part(most, cme->stretch / rate);
    clear_integrals(cme, INTEGRAL_STEP);
    rxn__cme_exponential(cme,
                         &(CmeExponential){rate, length, 1, SLOT_NOW, SLOT_NEXT, INTEGRAL_STEP});
    return length;
}

static void
glide(Cme *cme, double start, double length, u32 from, u32 to, u32 integral)
{
    const double shift = sqrt(3) / 6;
    const double nodes[2] = {start + (0.5 - shift) * length, start + (0.5 + shift) * length};
    const double early[2] = {0.25 + shift, 0.25 - shift}, late[2] = {0.25 - shift, 0.25 + shift};
    double rate = rxn__cme_generator(cme, 2, nodes, early, 1e-3 / length);
    rxn__cme_exponential(cme, &(CmeExponential){rate, length, 0.5, from, SLOT_MIDDLE, integral});
    rate = rxn__cme_generator(cme, 2, nodes, late, 1e-3 / length);
    rxn__cme_exponential(cme, &(CmeExponential){rate, length, 0.5, SLOT_MIDDLE, to, integral});
}

/* fine += (fine - coarse) / 15; returns the greatest sum of the differences / 15 over the columns, each in
 * units of its allowance. */
static double
extrapolate(const Cme *cme, const Allowance *allowance, double *fine, const double *coarse)
{
    double worst = 0;
    for (u32 i = 0; i < cme->width; i++) {
        double sum = 0;
        for (u64 state = 0; state < cme->state_count; state++) {
            u64 at = state * cme->width + i;
            double difference = (fine[at] - coarse[at]) / 15;
            fine[at] += difference;
            sum += fabs(difference);
        }
        if (i <= cme->wrt_count)
            worst = fmax(worst,
                         sum / (i == 0 ? allowance->probability : allowance->sensitivity[i - 1]));
    }
    return worst;
}

/* As try_plain. *ret_good: the error is small enough; the length of the next try is set in any case. */
static double
try_smooth(Cme *cme, double most, bool *ret_good)
{
    double wanted = cme->smooth_step, length = even_part(most, wanted);
    double jump = cme->time + length;
    if (cme->switches)
        jump = rxn__cme_next_switch(cme, cme->time, jump);
    bool cut = jump < cme->time + length;
    if (cut)
        length = jump - cme->time;
    clear_integrals(cme, INTEGRAL_STEP);
    clear_integrals(cme, INTEGRAL_COARSE);
    double t = cme->time;
    glide(cme, t, length, SLOT_NOW, SLOT_COARSE, INTEGRAL_COARSE);
    glide(cme, t, length / 2, SLOT_NOW, SLOT_NEXT, INTEGRAL_STEP);
    glide(cme, t + length / 2, length / 2, SLOT_NEXT, SLOT_NEXT, INTEGRAL_STEP);
    /* The step's share, not what others have left: an error is no loss that is measured. */
    Allowance share = {fmax(cme->options.tolerance * length / cme->end, rounding), cme->row};
    for (u32 i = 0; i < cme->wrt_count; i++)
        cme->row[i] = sensitivity_allowance * share.probability / cme->scale[i];
    double worst = 0;
    for (u32 c = 0; c < cme->chains.count; c++) {
        CmeChain *chain = cme->chains.items[c];
        if (!chain->live)
            continue;
        double error = extrapolate(cme, &share, rxn__cme_vector(cme, chain, SLOT_NEXT),
                                   rxn__cme_vector(cme, chain, SLOT_COARSE));
        worst = c == 0 ? error : worst;
        if (chain->integrates)
            extrapolate(cme, &share, rxn__cme_integral(cme, chain, INTEGRAL_STEP),
                        rxn__cme_integral(cme, chain, INTEGRAL_COARSE));
    }
    worst /= smooth_allowance;
    double factor = worst > 0 ? 0.9 * pow(worst, -0.2) : 4;
    cme->smooth_step = length * fmin(4, fmax(0.1, factor));
    *ret_good = worst <= 1;
    if (*ret_good && cut)
        cme->smooth_step = fmax(cme->smooth_step, wanted);
    if (!*ret_good && cme->smooth_step < 1e-13 * cme->end)
        rxn__cme_fail(cme, "the rates change too abruptly in time near %g", t);
    return length;
}

static void
swap(CmeBuffer *a, CmeBuffer *b)
{
    CmeBuffer keep = *a;
    *a = *b;
    *b = keep;
}

static void
accept(Cme *cme, double end)
{
    for (u32 c = 0; c < cme->chains.count; c++) {
        CmeChain *chain = cme->chains.items[c];
        if (!chain->live)
            continue;
        swap(&chain->slots[SLOT_NOW], &chain->slots[SLOT_NEXT]);
        if (!chain->integrates)
            continue;
        double *total = rxn__cme_integral(cme, chain, INTEGRAL_TOTAL);
        const double *step = rxn__cme_integral(cme, chain, INTEGRAL_STEP);
        for (u64 k = 0; k < numbers_of(cme); k++)
            total[k] += step[k];
    }
    lose_frontier(cme);
    cme->time = end;
    if (cme->options.progress) {
        enum { PARTS = 1000 };
        u64 done = (u64)(PARTS * (end / cme->end));
        cme->options.progress(cme->options.progress_context, done, PARTS);
    }
}

static void
update_feeds(Cme *cme)
{
    for (u32 c = 0; c < cme->chains.count; c++) {
        CmeChain *chain = cme->chains.items[c];
        if (chain->live && chain->source)
            rxn__cme_function_update(cme, chain->feed);
        if (chain->live && chain->absorb)
            rxn__cme_function_update(cme, chain->absorb);
    }
}

/* ---- at rest ----------------------------------------------------------------------------------- */

/* By how much the last step changed column i of the distribution, as a share of what may be lost. NOW and NEXT have been swapped. */
static double
change_of(Cme *cme, u32 i)
{
    CmeChain *distribution = cme->chains.items[0];
    const double *now = rxn__cme_vector(cme, distribution, SLOT_NOW);
    const double *before = rxn__cme_vector(cme, distribution, SLOT_NEXT);
    double change = 0, all = cme->options.tolerance;
    for (u64 state = 0; state < cme->state_count; state++)
        change += fabs(now[state * cme->width + i] - before[state * cme->width + i]);
    return i == 0 ? change / all : change / (sensitivity_allowance * all / cme->scale[i - 1]);
}

/* Whether as many steps like the last one would change nothing that counts, up to the next stop: rates are constant until then, and
 * by a step of a Markov chain a difference of distributions does not grow, nor does one of sensitivities but by that. Chains that add
 * up something never rest. */
static bool
is_at_rest(Cme *cme, double steps)
{
    static const double little = 1e-2;
    for (u32 c = 1; c < cme->chains.count; c++)
        if (cme->chains.items[c]->live)
            return false;
    if (cme->smooth || cme->chains.items[0]->integrates || steps < 2)
        return false;
    for (u32 i = 0; i <= cme->wrt_count; i++)
        if (change_of(cme, i) * steps > little)
            return false;
    return true;
}

static void
advance(Cme *cme, double end)
{
    clear_integrals(cme, INTEGRAL_TOTAL);
    while (cme->time < end) {
        update_feeds(cme);
        double most = end - cme->time;
        bool good = true;
        double length = cme->smooth ? try_smooth(cme, most, &good) : try_plain(cme, most);
        double then = length == most ? end : cme->time + length;
        const double *vector = rxn__cme_vector(cme, cme->chains.items[0], SLOT_NEXT);
        Allowance allowance = allowance_at(cme, then);
        u64 fringe;
        if (leaks_too_much(cme, &allowance, vector, &fringe)) {
            grow(cme, &allowance, vector, fringe);
            cme->layers = cme->layers < MOST_LAYERS ? cme->layers * 2 : MOST_LAYERS;
            cme->stretch = fmax(first_stretch, cme->stretch / 2);
            continue;
        }
        if (!good)
            continue;
        accept(cme, then);
        if (is_at_rest(cme, (end - then) / length))
            cme->time = end;
        cme->layers = cme->layers > 2 ? cme->layers / 2 : 2;
        cme->stretch = fmin(longest_stretch, cme->stretch * 2);
    }
}

/* ---- stops ------------------------------------------------------------------------------------- */

static bool
is_empty(Cme *cme, u64 state, bool moving)
{
    for (u32 c = 0; c < cme->chains.count; c++) {
        CmeChain *chain = cme->chains.items[c];
        if (!chain->live)
            continue;
        const double *now = (const double *)chain->slots[SLOT_NOW].items + state * cme->width;
        const double *slope = (const double *)chain->slots[SLOT_COARSE].items + state * cme->width;
        for (u32 i = 0; i < cme->width; i++)
            if (now[i] != 0 || (moving && slope[i] != 0))
                return false;
    }
    return true;
}

/* Where the events of the stop lead from a state; NOWHERE for one that does not matter. */
static u32
map_state(Cme *cme, const CmeStop *stop, u64 state, double middle_before)
{
    for (u32 s = 0; s < cme->species_count; s++)
        cme->from[s] = cme->to[s] = cme_counts(cme, state)[s];
    bool good = true;
    for (u32 k = 0; k < stop->event_count && good; k++) {
        const Event event = cme->network->events.items[cme->due[stop->events + k]];
        good = rxn__cme_assign(cme, &event, stop->time);
    }
    if (good && rxn__cme_settle(cme, middle_before))
        return (u32)rxn__cme_state(cme, cme->to);
    const double *now = cme->chains.items[0]->slots[SLOT_NOW].items;
    if (now[state * cme->width] > 1e-3 * cme->options.tolerance)
        rxn__cme_fail(cme, "at time %g %s", stop->time, cme->fault);
    return NOWHERE;
}

static void
move_vector(Cme *cme, CmeChain *chain, u32 slot, u64 states)
{
    u32 width = cme->width;
    const u32 *map = cme->map.items;
    double *to = rxn__cme_vector(cme, chain, SLOT_OTHER);
    const double *from = rxn__cme_vector(cme, chain, slot);
    memset(to, 0, numbers_of(cme) * sizeof *to);
    for (u64 state = 0; state < states; state++) {
        if (map[state] == NOWHERE)
            continue;
        for (u32 i = 0; i < width; i++)
            to[(u64)map[state] * width + i] += from[state * width + i];
    }
    swap(&chain->slots[slot], &chain->slots[SLOT_OTHER]);
}

/* Applies the events of the stop to all vectors. */
static void
map_vectors(Cme *cme, const CmeStop *stop, double middle_before)
{
    u64 states = cme->state_count;
    for (u32 c = 0; c < cme->chains.count; c++) {
        if (!cme->chains.items[c]->live)
            continue;
        rxn__cme_vector(cme, cme->chains.items[c], SLOT_NOW);
        rxn__cme_vector(cme, cme->chains.items[c], SLOT_COARSE);
    }
    u32 *map = rxn__cme_reserve(cme, &cme->map, states, sizeof *map);
    for (u64 state = 0; state < states; state++)
        map[state] = is_empty(cme, state, stop->movement != NULL)
                         ? NOWHERE
                         : map_state(cme, stop, state, middle_before);
    for (u32 c = 0; c < cme->chains.count; c++) {
        if (!cme->chains.items[c]->live)
            continue;
        move_vector(cme, cme->chains.items[c], SLOT_NOW, states);
        if (stop->movement)
            move_vector(cme, cme->chains.items[c], SLOT_COARSE, states);
    }
}

/* Activates the states where the distribution's vector in this slot is more than next to nothing. */
static void
activate_filled(Cme *cme, u32 slot)
{
    double least = 1e-2 * cme->options.tolerance / (double)(cme->state_count + 1);
    u64 states = cme->state_count;
    for (u64 state = 0; state < states; state++) {
        const double *vector = rxn__cme_vector(cme, cme->chains.items[0], slot);
        bool filled = fabs(vector[state * cme->width]) > least;
        for (u32 i = 0; i < cme->wrt_count; i++)
            filled |= fabs(vector[state * cme->width + i + 1]) * cme->scale[i] > least;
        if (filled)
            activate_or_fail(cme, state);
    }
}

/* The derivative of exp(A' (T - s)) M exp(A s) with respect to the instant s that moves. */
static void
move_instant(Cme *cme, const CmeStop *stop)
{
    rxn__cme_slope(cme, SLOT_NOW, SLOT_MIDDLE);
    activate_filled(cme, SLOT_MIDDLE);
    for (u32 c = 0; c < cme->chains.count; c++) {
        CmeChain *chain = cme->chains.items[c];
        if (!chain->live)
            continue;
        double *now = rxn__cme_vector(cme, chain, SLOT_NOW);
        const double *before = rxn__cme_vector(cme, chain, SLOT_COARSE);
        const double *after = rxn__cme_vector(cme, chain, SLOT_MIDDLE);
        for (u64 state = 0; state < cme->state_count; state++)
            for (u32 i = 0; i < cme->wrt_count; i++)
                now[state * cme->width + i + 1] +=
                    stop->movement[i] * (before[state * cme->width] - after[state * cme->width]);
    }
}

static void
absorb(Cme *cme, bool moving)
{
    for (u32 c = 0; c < cme->chains.count; c++) {
        CmeChain *chain = cme->chains.items[c];
        if (!chain->live || !chain->absorb)
            continue;
        double *now = rxn__cme_vector(cme, chain, SLOT_NOW);
        double *slope = rxn__cme_vector(cme, chain, SLOT_COARSE);
        const double *condition = chain->absorb->values.items;
        for (u64 state = 0; state < cme->state_count; state++) {
            if (condition[state * cme->width] == 0)
                continue;
            memset(now + state * cme->width, 0, cme->width * sizeof *now);
            if (moving)
                memset(slope + state * cme->width, 0, cme->width * sizeof *slope);
        }
    }
}

static void
make_stop(Cme *cme, const CmeStop *stop)
{
    CmeListener *listener = &cme->listener;
    double middle_before = cme->middle;
    bool moves = stop->movement != NULL;
    bool conditions_change = stop->breakpoint && cme->conditions_windowed;
    bool maps = stop->event_count > 0 || conditions_change;
    if (moves) {
        update_feeds(cme);
        if (listener->moving)
            listener->moving(listener->context, cme, stop, true);
        rxn__cme_slope(cme, SLOT_NOW, SLOT_COARSE);
    }
    if (stop->breakpoint)
        cme->middle = rxn__cme_middle(cme, stop->time);
    if (maps)
        map_vectors(cme, stop, middle_before);
    if (stop->breakpoint && cme->windowed)
        rxn__cme_rates_of_piece(cme);
    if (conditions_change)
        rxn__cme_rebuild(cme);
    if (maps || moves)
        activate_filled(cme, SLOT_NOW);
    if (moves)
        activate_filled(cme, SLOT_COARSE);
    if (maps)
        lose_frontier(cme);
    if (!maps && !moves)
        return;
    update_feeds(cme);
    absorb(cme, moves);
    if (!moves)
        return;
    move_instant(cme, stop);
    lose_frontier(cme);
    if (listener->moving)
        listener->moving(listener->context, cme, stop, false);
}

void
rxn__cme_march(Cme *cme)
{
    cme->stretch = first_stretch;
    cme->layers = 2;
    cme->smooth_step = cme->end / 1000;
    cme->middle = rxn__cme_middle(cme, 0);
    u64 start = rxn__cme_state(cme, cme->initial);
    activate_or_fail(cme, start);
    CmeChain *distribution = rxn__cme_add_chain(cme);
    rxn__cme_vector(cme, distribution, SLOT_NOW)[start * cme->width] = 1;
    CmeListener *listener = &cme->listener;
    for (u32 k = 0; k < cme->stop_count; k++) {
        const CmeStop *stop = &cme->stops[k];
        if (k > 0) {
            advance(cme, stop->time);
            if (listener->piece)
                listener->piece(listener->context, cme, stop);
        }
        cme->time = stop->time;
        make_stop(cme, stop);
        if (stop->reads)
            listener->read(listener->context, cme, stop);
    }
}
