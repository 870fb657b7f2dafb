/* ssa_batch_choice.c: whether the batch method is likely the fastest: the length of a box at the initial state, with the
 * values that the model gives its parameters. The reasoning is that of ssa_batch_box.c, on the host and in plain numbers.
 */
#include "compiler/method/ssa_batch.h"
#include "compiler/network/start.h"

#include <math.h>
#include <stdlib.h>

/* Where batches are clearly faster than single events, at the start and after the counts have moved: measured by
 * `tests/bench/batch --choice`, the table is in docs/benchmarks.md. */
#define CHOICE_LENGTH 150.0

/* Below so many events the time to compile decides, which is the longer one. */
#define CHOICE_EVENTS 3e6

/* What nobody would call a very large population, whatever its rates. */
#define CHOICE_COUNT 3e4

typedef NetworkStart Start;

/* At time 0, or just behind it where rates change in steps. */
static double
propensity(Start *start, u32 flat)
{
    u32 member;
    const Reaction *reaction = rxn__reaction_of_flat(start->network, flat, &member);
    i64 own[RXN_MAX_RANK];
    rxn__reaction_variables(start->network, reaction, member, own);
    for (u32 k = 0; k < reaction->variable_count; k++)
        start->variables[reaction->variables[k]] = own[k];
    const ExprValues values = {
        .species = start->counts, .params = start->params, .variables = start->variables};
    return rxn__expr_evaluate(start->network, reaction->propensity, &values);
}

/* What the length is made of; by species: how often a reaction changes it, and what it makes unsure. */
typedef struct Shares {
    double total, *change, *unsure;
    Change **changes; /* by reaction */
    u32 *change_count;
    double *propensity; /* by reaction */
} Shares;

static void
examine_changes(Start *start, Shares *shares, double *width)
{
    for (u32 j = 0; j < start->network->reaction_count; j++) {
        u32 member;
        const Reaction *reaction = rxn__reaction_of_flat(start->network, j, &member);
        u32 most = reaction->reactants.count + reaction->products.count;
        shares->changes[j] = NEW_ARRAY(start->arena, Change, most + 1);
        shares->change_count[j] =
            rxn__reaction_changes(start->network, reaction, member, most, shares->changes[j]);
        shares->propensity[j] = propensity(start, j);
        shares->total += shares->propensity[j];
        for (u32 k = 0; k < shares->change_count[j]; k++) {
            const Change change = shares->changes[j][k];
            double *ends = &width[2 * change.species];
            ends[change.delta > 0] = fmax(ends[change.delta > 0], abs(change.delta));
            shares->change[change.species] += shares->propensity[j];
        }
    }
}

/* Slopes by one molecule more. */
static void
examine_slopes(Start *start, Shares *shares, const double *width)
{
    for (u32 s = 0; s < start->network->species_count; s++) {
        if (shares->change[s] == 0)
            continue;
        double slope = 0;
        start->counts[s] += 1;
        for (u32 j = 0; j < start->network->reaction_count; j++)
            slope += fabs(propensity(start, j) - shares->propensity[j]);
        start->counts[s] -= 1;
        shares->change[s] /= shares->total;
        shares->unsure[s] = slope * (width[2 * s] + width[2 * s + 1]) / shares->total;
    }
}

static double
best_length(const Network *network, const Shares *shares, bool *held)
{
    double length = 0;
    for (u32 turn = 0; turn < 3; turn++) {
        double kappa = 0, ends = 0;
        for (u32 s = 0; s < network->species_count; s++) {
            held[s] = turn > 0 && rxn__batch_is_held(shares->change[s], shares->unsure[s], length);
            kappa += held[s] ? 0 : shares->unsure[s];
        }
        for (u32 j = 0; j < network->reaction_count; j++) {
            bool any = false;
            for (u32 k = 0; k < shares->change_count[j]; k++)
                any |= held[shares->changes[j][k].species];
            ends += any ? shares->propensity[j] / shares->total : 0;
        }
        length = rxn__batch_length(kappa, ends);
    }
    return length;
}

bool
rxn__ssa_batch_suits(const Network *network, Text *ret_why)
{
    Arena *arena = network->arena;
    const u32 species = network->species_count, reactions = network->reaction_count;
    Start start;
    Shares shares = {.change = NEW_ARRAY(arena, double, species + 1),
                     .unsure = NEW_ARRAY(arena, double, species + 1),
                     .changes = NEW_ARRAY(arena, Change *, reactions + 1),
                     .change_count = NEW_ARRAY(arena, u32, reactions + 1),
                     .propensity = NEW_ARRAY(arena, double, reactions + 1)};
    double *width = NEW_ARRAY(arena, double, 2 * (size_t)species + 2);
    if (reactions == 0 || !rxn__network_start(network, arena, &start))
        return false;
    examine_changes(&start, &shares, width);
    if (!(shares.total > 0))
        return false;
    if (shares.total * network->simulate_until < CHOICE_EVENTS)
        return false;
    double largest = 0;
    for (u32 s = 0; s < species; s++)
        largest = fmax(largest, shares.change[s] > 0 ? start.counts[s] : 0);
    if (largest < CHOICE_COUNT)
        return false;
    examine_slopes(&start, &shares, width);
    double length = best_length(network, &shares, NEW_ARRAY(arena, bool, species + 1));
    bool long_enough = length >= CHOICE_LENGTH; /* no number: no */
    rxn__text_printf(ret_why,
                     long_enough ? "at the start some %.2g reactions can be drawn together"
                                 : "at the start only some %.2g reactions could be drawn together",
                     length);
    return long_enough;
}
