/* fault_pair.c: faults of coupled pairs (compiler/network/couple.h), told as faults of the model.
 *
 * What could not go on is a network that the user never wrote: two species X and X' for one X, three reactions
 * "a & a'", "a" and "a'" for one a. The report is to be about the model's reaction in the state of that copy in
 * which it went wrong. Reactions and events of the pair come in the order of the model's, so that walking over
 * both finds which belong together.
 */
#include <math.h>
#include <string.h>

#include "compiler/engine/engine.h"
#include "compiler/network/couple.h"

/* ---- from the pair's numbers to the model's ---------------------------------------------------- */

/* A number in the pair, and what it is in the model. */
typedef struct Place {
    u32 detail;
    u32 copy; /* PAIR_COPIES: either */
} Place;

/* "a & a'": the first one of each group. */
static bool
is_of_both(const Reaction *reaction)
{
    return strstr(reaction->label->text, " & ") != NULL;
}

static bool
ends_with_prime(const Reaction *reaction)
{
    return reaction->label->text[reaction->label->length - 1] == '\'';
}

static Place
place_of_reaction(const Pair *pair, u32 flat)
{
    const Network *network = pair->network;
    u32 group = 0, r = 0;
    for (; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        group += is_of_both(reaction);
        if (flat - reaction->flat < reaction->count && flat >= reaction->flat)
            break;
    }
    const Reaction *found = &network->reactions.items[r];
    u32 copy = is_of_both(found) ? PAIR_COPIES : ends_with_prime(found) ? PAIR_SECOND : PAIR_FIRST;
    return (Place){pair->origin->reactions.items[group - 1].flat + flat - found->flat, copy};
}

static Place
place_of_species(const Pair *pair, u32 flat)
{
    u32 count = pair->origin->species_count;
    return flat < count ? (Place){flat, PAIR_FIRST} : (Place){flat - count, PAIR_SECOND};
}

/* An event is one in the pair, with the assignments of both copies, or two. */
static Place
place_of_event(const Pair *pair, u32 number, u32 assignment)
{
    u32 at = 0;
    for (u32 e = 0; e < pair->origin->events.count; e++) {
        u32 own = pair->origin->events.items[e].assignments.count;
        bool one = pair->network->events.items[at].assignments.count > own;
        if (at == number) {
            bool second = one && assignment >= own;
            u32 copy = one && assignment == UINT32_MAX ? PAIR_COPIES : second;
            return (Place){e << 16 | (second ? assignment - own : assignment & 0xFFFF), copy};
        }
        if (!one && at + 1 == number)
            return (Place){e << 16 | (assignment & 0xFFFF), PAIR_SECOND};
        at += one ? 1 : 2;
    }
    return (Place){0, PAIR_COPIES};
}

static Place
place_of(const Pair *pair, const RxnFault *fault, bool *ret_of_reaction)
{
    Place place;
    *ret_of_reaction = false;
    switch ((RxnFaultCode)fault->code) {
    case RXN_FAULT_NEGATIVE_PROPENSITY:
    case RXN_FAULT_NAN_PROPENSITY:
    case RXN_FAULT_INFINITE_PROPENSITY:
    case RXN_FAULT_BOUND_EXCEEDED:
    case RXN_FAULT_BOUND_INFINITE:
        *ret_of_reaction = true;
        return place_of_reaction(pair, fault->detail);
    case RXN_FAULT_NEGATIVE_COUNT:
    case RXN_FAULT_COUNT_OVERFLOW:
    case RXN_FAULT_INITIAL_VALUE: return place_of_species(pair, fault->detail);
    case RXN_FAULT_ASSIGNED_VALUE:
        return place_of_event(pair, fault->detail >> 16, fault->detail & 0xFFFF);
    case RXN_FAULT_EVENT_CASCADE:
    case RXN_FAULT_EVENT_TIME:
        place = place_of_event(pair, fault->detail, UINT32_MAX);
        return (Place){place.detail >> 16, place.copy};
    default: return (Place){fault->detail, PAIR_COPIES};
    }
}

/* ---- the copies -------------------------------------------------------------------------------- */

/* The parameters of a copy: the one of this pair at p + h or p - h, as coupled has it (grad_pair.c). */
static ModelValues
values_of_copy(const FaultContext *context, u32 copy, Arena *arena)
{
    const Network *network = context->pipeline->network;
    const PairRun *run = context->pair;
    ModelValues values = *context->values;
    if (run->chosen_count == 0)
        return values;
    u32 flat = run->chosen[context->fault->trajectory % run->chosen_count], object = 0;
    while (object + 1 < network->params.count && network->params.items[object + 1].flat <= flat)
        object++;
    const Param *param = &network->params.items[object];
    double p = values.params[flat], step = (p == 0 ? 1 : fabs(p)) * run->difference;
    double own = copy == PAIR_FIRST ? p + step : p - step;
    if (param->has_bounds && param->low < param->high)
        own = copy == PAIR_FIRST ? fmax(p, fmin(own, param->high)) : fmin(p, fmax(own, param->low));
    values.params = NEW_ARRAY(arena, double, network->param_count + 1);
    memcpy(values.params, context->values->params, network->param_count * sizeof(double));
    values.params[flat] = context->precision == KIR_F32 ? (float)own : own;
    return values;
}

/* Whether the propensity is wrong in this copy, in the way that the fault says. */
static bool
is_wrong(const FaultContext *context, u32 flat, u32 copy, Arena *arena)
{
    Network *network = context->pipeline->network;
    const RxnFault *fault = context->fault;
    u32 member;
    i64 at[RXN_MAX_RANK];
    const Reaction reaction = *rxn__reaction_of_flat(network, flat, &member);
    i64 *variables = NEW_ARRAY(arena, i64, network->variables.count + 1);
    rxn__reaction_variables(network, &reaction, member, at);
    for (u32 k = 0; k < reaction.variable_count; k++)
        variables[reaction.variables[k]] = at[k];
    ModelValues own = values_of_copy(context, copy, arena);
    ExprValues values = {.species = fault->witness + 1 + copy * network->species_count,
                         .params = own.params,
                         .inputs = own.inputs,
                         .variables = variables,
                         .time = fault->witness[0]};
    double value = rxn__expr_evaluate(network, reaction.propensity, &values);
    double bound = reaction.bound ? rxn__expr_evaluate(network, reaction.bound, &values) : 0;
    switch ((RxnFaultCode)fault->code) {
    case RXN_FAULT_NEGATIVE_PROPENSITY: return value < 0;
    case RXN_FAULT_NAN_PROPENSITY: return isnan(value);
    case RXN_FAULT_BOUND_EXCEEDED: return value > bound;
    case RXN_FAULT_BOUND_INFINITE: return !isfinite(bound);
    case RXN_FAULT_INFINITE_PROPENSITY: return isinf(value);
    default: return false;
    }
}

static void
write_note(const FaultContext *context, u32 copy, Text *note)
{
    const PairRun *run = context->pair;
    const char *which = copy == PAIR_COPIES  ? "one"
                        : copy == PAIR_FIRST ? "the first"
                                             : "the second";
    rxn__text_printf(note, "that was in %s of two coupled trajectories", which);
    if (run->chosen_count == 0 || copy == PAIR_COPIES)
        return;
    u32 flat = run->chosen[context->fault->trajectory % run->chosen_count];
    ModelValues values = values_of_copy(context, copy, note->arena);
    rxn__text_printf(note, ", which runs with %s = ",
                     rxn__param_label(context->pipeline->network, flat, note->arena));
    rxn__text_f64(note, values.params[flat]);
    const Param *param = rxn__param_of_flat(context->pipeline->network, flat);
    if (!param->has_bounds && values.params[flat] < 0)
        rxn__text_printf(
            note, "; where %s has bounds (in 0 .. 10, behind its value) both stay within them",
            param->name->text);
}

bool
rxn__fault_of_pair(const FaultContext *context, Arena *arena, NameTable *names,
                   PairFault *ret_fault)
{
    Network *network = context->pipeline->network;
    const PairRun *run = context->pair;
    const RxnFault *fault = context->fault;
    Pair pair;
    /* As the estimator has made it. */
    if (rxn__network_pair(network, run->chosen, run->chosen_count, arena, names, &pair))
        return false;
    bool of_both = false;
    Place place = place_of(&pair, fault, &of_both);
    for (u32 copy = PAIR_FIRST; of_both && copy <= PAIR_SECOND && place.copy == PAIR_COPIES; copy++)
        if (is_wrong(context, place.detail, copy, arena))
            place.copy = copy;
    u32 count = network->species_count,
        shown = place.copy == PAIR_SECOND ? PAIR_SECOND : PAIR_FIRST;
    double *witness = NEW_ARRAY(arena, double, count + 1);
    witness[0] = fault->witness[0];
    memcpy(witness + 1, fault->witness + 1 + shown * count, count * sizeof *witness);
    ret_fault->fault = *fault;
    ret_fault->fault.detail = place.detail;
    ret_fault->fault.witness = witness;
    ret_fault->values = values_of_copy(context, shown, arena);
    Text note;
    rxn__text_init(&note, arena);
    write_note(context, place.copy, &note);
    ret_fault->note = note.data;
    return true;
}
