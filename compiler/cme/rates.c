/* rates.c: the values of propensities, and the generator made of them.
 *
 * A propensity reads few species, so most states share its value with many others: a rate is one
 * distinct value of one reaction, and a transition names its rate. Rates that depend on time are
 * evaluated anew wherever they are needed; all others once.
 */
#include "compiler/cme/private.h"

#include <math.h>
#include <string.h>

static u64
hash_reads(const Cme *cme, u32 reaction, u64 state)
{
    const CmeReaction *mine = &cme->reactions[reaction];
    const u32 *counts = cme_counts(cme, state);
    u64 hash = hash_mix(0, reaction);
    for (u32 k = 0; k < mine->read_count; k++)
        hash = hash_mix(hash, counts[mine->reads[k]]);
    return hash;
}

static bool
reads_agree(const Cme *cme, u32 reaction, u64 a, u64 b)
{
    const CmeReaction *mine = &cme->reactions[reaction];
    const u32 *x = cme_counts(cme, a), *y = cme_counts(cme, b);
    for (u32 k = 0; k < mine->read_count; k++)
        if (x[mine->reads[k]] != y[mine->reads[k]])
            return false;
    return true;
}

/* The rate and its derivatives at this time, to ret[width]. False, with cme->fault. */
static bool
evaluate(Cme *cme, u32 rate, double time, double *ret)
{
    u32 number = ((const u32 *)cme->rate_reaction.items)[rate];
    u64 state = ((const u32 *)cme->rate_state.items)[rate];
    const CmeReaction *reaction = &cme->reactions[number];
    const u32 *counts = cme_counts(cme, state);
    double *species = cme->to; /* free for use between transitions */
    for (u32 s = 0; s < cme->species_count; s++)
        species[s] = counts[s];
    ExprValues values = {.species = species,
                         .params = cme->params,
                         .inputs = cme->inputs,
                         .time = time,
                         .window = true,
                         .time_low = time,
                         .time_high = time,
                         .time_middle = cme->middle};
    ret[0] = rxn__expr_evaluate(cme->network, reaction->propensity, &values);
    bool good = ret[0] >= 0 && isfinite(ret[0]);
    u32 bad = 0;
    for (u32 i = 0; i < cme->wrt_count && good; i++) {
        ret[i + 1] = reaction->derivatives[i]
                         ? rxn__expr_evaluate(cme->network, reaction->derivatives[i], &values)
                         : 0;
        good = isfinite(ret[i + 1]);
        bad = i + 1;
    }
    if (good)
        return true;
    Text text;
    rxn__text_init(&text, cme->arena);
    rxn__text_printf(&text, "the propensity of '%s'",
                     rxn__reaction_label(cme->network, number, cme->arena));
    if (bad)
        rxn__text_printf(&text, " has no finite derivative with respect to '%s'",
                         rxn__param_label(cme->network, cme->wrt[bad - 1], cme->arena));
    else if (isnan(ret[0]))
        rxn__text_printf(&text, " is not a number");
    else
        rxn__text_printf(&text, " is %g", ret[0]);
    rxn__text_printf(&text, " at time %g in the state %s", time, rxn__cme_state_text(cme, state));
    cme->fault = text.data;
    return false;
}

static void
rehash(Cme *cme)
{
    u64 wanted = cme->rate_slot_count ? cme->rate_slot_count * 2 : 1024;
    u32 *slots = rxn__cme_reserve(cme, &cme->rate_slots, wanted, sizeof *slots);
    memset(slots, 0, wanted * sizeof *slots);
    cme->rate_slot_count = wanted;
    for (u64 rate = 0; rate < cme->rate_count; rate++) {
        u64 slot = hash_reads(cme, ((u32 *)cme->rate_reaction.items)[rate],
                              ((u32 *)cme->rate_state.items)[rate]) &
                   (wanted - 1);
        while (slots[slot])
            slot = (slot + 1) & (wanted - 1);
        slots[slot] = (u32)rate + 1;
    }
}

bool
rxn__cme_rate(Cme *cme, u32 reaction, u64 state, u32 *ret_rate)
{
    if (cme->rate_count * 2 >= cme->rate_slot_count)
        rehash(cme);
    u32 *slots = cme->rate_slots.items;
    const u32 *reactions = cme->rate_reaction.items, *states = cme->rate_state.items;
    u64 slot = hash_reads(cme, reaction, state) & (cme->rate_slot_count - 1);
    for (; slots[slot]; slot = (slot + 1) & (cme->rate_slot_count - 1)) {
        u32 rate = slots[slot] - 1;
        if (reactions[rate] != reaction || !reads_agree(cme, reaction, states[rate], state))
            continue;
        *ret_rate = rate;
        return true;
    }
    u64 room = cme->rate_count + 1;
    ((u32 *)rxn__cme_reserve(cme, &cme->rate_reaction, room, sizeof(u32)))[cme->rate_count] =
        reaction;
    ((u32 *)rxn__cme_reserve(cme, &cme->rate_state, room, sizeof(u32)))[cme->rate_count] =
        (u32)state;
    double *values = rxn__cme_reserve(cme, &cme->rate_values, room * cme->width, sizeof *values);
    if (!evaluate(cme, (u32)cme->rate_count, cme->time, values + cme->rate_count * cme->width))
        return false;
    *ret_rate = (u32)cme->rate_count;
    slots[slot] = (u32)++cme->rate_count;
    return true;
}

static void
check_forbidden(Cme *cme, const double *values)
{
    const u32 *pairs = cme->forbidden.items;
    for (u64 k = 0; k < cme->forbidden_count; k++) {
        u32 rate = pairs[2 * k];
        if (values[(u64)rate * cme->width] != 0)
            rxn__cme_fail(cme, "'%s' takes more than there is in the state %s",
                          rxn__reaction_label(cme->network,
                                              ((const u32 *)cme->rate_reaction.items)[rate],
                                              cme->arena),
                          rxn__cme_state_text(cme, pairs[2 * k + 1]));
    }
}

void
rxn__cme_rates_of_piece(Cme *cme)
{
    double *values = cme->rate_values.items;
    const u32 *reactions = cme->rate_reaction.items;
    for (u64 rate = 0; rate < cme->rate_count; rate++)
        if (cme->reactions[reactions[rate]].windowed &&
            !evaluate(cme, (u32)rate, cme->time, values + rate * cme->width))
            rxn__cme_fail(cme, "%s", cme->fault);
    if (values)
        check_forbidden(cme, values);
}

/* ---- the generator ----------------------------------------------------------------------------- */

static void
combine(Cme *cme, u32 count, const double *times, const double *weights, double *factors)
{
    const double *values = cme->rate_values.items;
    const u32 *reactions = cme->rate_reaction.items;
    u32 width = cme->width;
    double all = 0, *there = cme->row;
    for (u32 k = 0; k < count; k++)
        all += weights[k];
    for (u64 rate = 0; rate < cme->rate_count; rate++) {
        double *mine = factors + rate * width;
        if (!cme->reactions[reactions[rate]].smooth) {
            for (u32 i = 0; i < width; i++)
                mine[i] = all * values[rate * width + i];
            continue;
        }
        memset(mine, 0, width * sizeof *mine);
        for (u32 k = 0; k < count; k++) {
            if (!evaluate(cme, (u32)rate, times[k], there))
                rxn__cme_fail(cme, "%s", cme->fault);
            for (u32 i = 0; i < width; i++)
                mine[i] += weights[k] * there[i];
        }
    }
    check_forbidden(cme, factors);
}

double
rxn__cme_generator(Cme *cme, u32 count, const double *times, const double *weights, double least)
{
    rxn__cme_rows(cme);
    u32 width = cme->width;
    double *factors =
        rxn__cme_reserve(cme, &cme->factors, cme->rate_count * width + width, sizeof *factors);
    double *diagonal =
        rxn__cme_reserve(cme, &cme->diagonal, cme->state_count * width, sizeof *diagonal);
    combine(cme, count, times, weights, factors);
    memset(diagonal, 0, cme->state_count * width * sizeof *diagonal);
    const u32 *sources = cme->edge_source.items, *rates = cme->edge_rate.items;
    for (u64 e = 0; e < cme->edge_count; e++) {
        double *mine = diagonal + (u64)sources[e] * width;
        const double *factor = factors + (u64)rates[e] * width;
        for (u32 i = 0; i < width; i++)
            mine[i] += factor[i];
    }
    double most = least;
    for (u64 state = 0; state < cme->state_count; state++)
        most = fmax(most, fabs(diagonal[state * width]));
    for (u64 k = 0; k < cme->rate_count * width; k++)
        factors[k] /= most;
    for (u64 state = 0; state < cme->state_count; state++) {
        double *mine = diagonal + state * width;
        mine[0] = 1 - mine[0] / most;
        for (u32 i = 1; i < width; i++)
            mine[i] = -mine[i] / most;
    }
    return most;
}
