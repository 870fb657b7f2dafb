/* space.c: the truncated state space: states, and the transitions between them.
 *
 * A state is found by its counts in a hash table. To activate a state is to find its transitions, whose
 * targets join the frontier. Whether the condition of a `when` held before a jump is known from the state
 * before it, so no state has to remember it: the transition leads to where the cascade of events ends.
 */
#include "compiler/cme/private.h"

#include <math.h>
#include <string.h>

/* As in the frame of the exact methods. */
enum { CASCADE_LIMIT = 1000 };

/* ---- the network's members --------------------------------------------------------------------- */

static void
take_reaction(Cme *cme, const Reaction *reaction, u32 member)
{
    enum { FEW = 16 };
    Network *network = cme->network;
    CmeReaction *mine = &cme->reactions[reaction->flat + member];
    Change few[FEW];
    mine->change_count = rxn__reaction_changes(network, reaction, member, FEW, few);
    mine->changes = NEW_ARRAY(cme->arena, Change, mine->change_count + 1);
    rxn__reaction_changes(network, reaction, member, mine->change_count, mine->changes);
    mine->read_count = rxn__reaction_reads(network, reaction, member, cme->arena, &mine->reads);
    mine->propensity = rxn__reaction_member_propensity(network, reaction, member);
    ExprUses uses = rxn__expr_uses(network, mine->propensity);
    mine->smooth = uses.time;
    mine->windowed = uses.window;
    cme->smooth |= uses.time;
    cme->windowed |= uses.window;
    if (mine->smooth)
        rxn__cme_find_switches(cme, mine);
    mine->derivatives = NEW_ARRAY(cme->arena, Expr, cme->wrt_count + 1);
    for (u32 i = 0; i < cme->wrt_count && uses.params; i++) {
        Expr derivative = rxn__expr_derivative(network, mine->propensity, EXPR_PARAM, cme->wrt[i]);
        if (!rxn__expr_is_zero(network, derivative))
            mine->derivatives[i] = derivative;
    }
}

/* Counts are whole numbers: what sets them has no derivative, unless it goes in steps. */
static void
check_assigned(Cme *cme, const Assignment *assignment)
{
    Network *network = cme->network;
    if (!rxn__expr_uses(network, assignment->value).params)
        return;
    for (u32 i = 0; i < cme->wrt_count; i++)
        if (!rxn__expr_is_zero(
                network, rxn__expr_derivative(network, assignment->value, EXPR_PARAM, cme->wrt[i])))
            rxn__cme_fail(
                cme,
                "an event sets '%s' to a value that depends on '%s'; whole numbers have no "
                "derivative",
                rxn__species_label(network, assignment->member, cme->arena),
                rxn__param_label(network, cme->wrt[i], cme->arena));
}

/* Events whose effect would depend on the very instant of a jump have no finite state space. */
static void
look_at_events(Cme *cme)
{
    Network *network = cme->network;
    for (u32 e = 0; e < network->events.count; e++) {
        const Event event = network->events.items[e];
        for (u32 k = 0; k < event.assignments.count; k++)
            check_assigned(cme, &event.assignments.items[k]);
        if (event.kind != EVENT_WHEN)
            continue;
        cme->when_count++;
        ExprUses uses = rxn__expr_uses(network, event.condition);
        cme->conditions_windowed |= uses.window;
        if (uses.time)
            rxn__cme_fail(cme, "a 'when' event whose condition glides in time");
        for (u32 k = 0; k < event.assignments.count; k++)
            if (rxn__expr_uses(network, event.assignments.items[k].value).time)
                rxn__cme_fail(
                    cme, "a 'when' event that sets '%s' to a value that depends on time",
                    rxn__species_label(network, event.assignments.items[k].member, cme->arena));
    }
}

static void
take_initial(Cme *cme, const Species *species, u32 member)
{
    Network *network = cme->network;
    i64 *variables = NEW_ARRAY(cme->arena, i64, network->variables.count + 1);
    Expr numbers[RXN_MAX_RANK];
    u32 rest = member;
    for (u32 d = species->shape.rank; d-- > 0;) {
        variables[species->variables[d]] = rest % species->shape.extent[d];
        numbers[d] = rxn__expr_number(network, (double)(rest % species->shape.extent[d]));
        rest /= species->shape.extent[d];
    }
    ExprValues values = {.params = cme->params, .inputs = cme->inputs, .variables = variables};
    double value = rxn__expr_evaluate(network, species->initial, &values);
    const char *label = rxn__species_label(network, species->flat + member, cme->arena);
    if (!(value >= 0 && value <= CME_LARGEST_COUNT && value == floor(value)))
        rxn__cme_fail(cme, "the initial value of '%s' is %g, not a whole number from 0 to 2^31",
                      label, value);
    cme->initial[species->flat + member] = value;
    if (cme->wrt_count == 0 || !rxn__expr_uses(network, species->initial).params)
        return;
    Expr initial = rxn__expr_substitute(network, species->initial, species->shape.rank,
                                        species->variables, numbers);
    for (u32 i = 0; i < cme->wrt_count; i++) {
        Expr derivative = rxn__expr_derivative(network, initial, EXPR_PARAM, cme->wrt[i]);
        if (rxn__expr_evaluate(network, derivative, &values) != 0)
            rxn__cme_fail(
                cme, "the initial value of '%s' depends on '%s'; whole numbers have no derivative",
                label, rxn__param_label(network, cme->wrt[i], cme->arena));
    }
}

/* ---- states ------------------------------------------------------------------------------------ */

static void
say_state(Text *text, const Cme *cme, const double *counts)
{
    enum { MOST = 12 };
    u32 shown = 0;
    for (u32 s = 0; s < cme->species_count && shown < MOST; s++) {
        if (counts[s] == 0 && cme->species_count > MOST)
            continue;
        rxn__text_printf(text, "%s%s = %.0f", shown++ ? ", " : "",
                         rxn__species_label(cme->network, s, cme->arena), counts[s]);
    }
}

const char *
rxn__cme_state_text(Cme *cme, u64 state)
{
    Text text;
    rxn__text_init(&text, cme->arena);
    double *counts = NEW_ARRAY(cme->arena, double, cme->species_count + 1);
    for (u32 s = 0; s < cme->species_count; s++)
        counts[s] = cme_counts(cme, state)[s];
    say_state(&text, cme, counts);
    return text.data;
}

static u64
hash_counts(const u32 *counts, u32 count)
{
    u64 hash = 0;
    for (u32 s = 0; s < count; s++)
        hash = hash_mix(hash, counts[s]);
    return hash;
}

static void
rehash(Cme *cme)
{
    u64 wanted = cme->slot_count ? cme->slot_count * 2 : 1024;
    u32 *slots = rxn__cme_reserve(cme, &cme->slots, wanted, sizeof *slots);
    memset(slots, 0, wanted * sizeof *slots);
    cme->slot_count = wanted;
    for (u64 state = 0; state < cme->state_count; state++) {
        u64 slot = hash_counts(cme_counts(cme, state), cme->species_count) & (wanted - 1);
        while (slots[slot])
            slot = (slot + 1) & (wanted - 1);
        slots[slot] = (u32)state + 1;
    }
}

u64
rxn__cme_state(Cme *cme, const double *counts)
{
    if (cme->state_count * 2 >= cme->slot_count)
        rehash(cme);
    /* Written where a new state would stand; it is one only if it is not found. */
    u64 room = cme->state_count + 1;
    u32 *all = rxn__cme_reserve(cme, &cme->counts,
                                room * (cme->species_count + !cme->species_count), sizeof *all);
    u32 *mine = all + cme->state_count * cme->species_count;
    for (u32 s = 0; s < cme->species_count; s++)
        mine[s] = (u32)counts[s];
    u32 *slots = cme->slots.items;
    u64 slot = hash_counts(mine, cme->species_count) & (cme->slot_count - 1);
    for (; slots[slot]; slot = (slot + 1) & (cme->slot_count - 1))
        if (memcmp(cme_counts(cme, slots[slot] - 1), mine, cme->species_count * sizeof *mine) == 0)
            return slots[slot] - 1;
    rxn__cme_reserve(cme, &cme->active, room, 1);
    rxn__cme_reserve(cme, &cme->edge_first, room, sizeof(u32));
    rxn__cme_reserve(cme, &cme->edge_count_of, room, sizeof(u32));
    slots[slot] = (u32)cme->state_count + 1;
    cme->rows_stale = true;
    return cme->state_count++;
}

/* ---- events ------------------------------------------------------------------------------------ */

static bool
set_fault(Cme *cme, const char *what, const double *counts)
{
    Text text;
    rxn__text_init(&text, cme->arena);
    rxn__text_printf(&text, "%s in the state ", what);
    say_state(&text, cme, counts);
    cme->fault = text.data;
    return false;
}

bool
rxn__cme_assign(Cme *cme, const Event *event, double time)
{
    ExprValues values = {.species = cme->to,
                         .params = cme->params,
                         .inputs = cme->inputs,
                         .time = time,
                         .window = true,
                         .time_low = time,
                         .time_high = time,
                         .time_middle = cme->middle};
    double *new_counts = cme->event_values;
    for (u32 k = 0; k < event->assignments.count; k++) {
        const Assignment *assignment = &event->assignments.items[k];
        double value = rxn__expr_evaluate(cme->network, assignment->value, &values);
        new_counts[k] = value;
        if (value >= 0 && value <= CME_LARGEST_COUNT && value == floor(value))
            continue;
        Text text;
        rxn__text_init(&text, cme->arena);
        rxn__text_printf(&text, "an event sets '%s' to %g, not a whole number from 0 to 2^31,",
                         rxn__species_label(cme->network, assignment->member, cme->arena), value);
        return set_fault(cme, text.data, cme->to);
    }
    for (u32 k = 0; k < event->assignments.count; k++)
        cme->to[event->assignments.items[k].member] = new_counts[k];
    return true;
}

static bool
holds(Cme *cme, const Event *event, const double *counts, double middle)
{
    ExprValues values = {.species = counts,
                         .params = cme->params,
                         .inputs = cme->inputs,
                         .time = cme->time,
                         .window = true,
                         .time_low = cme->time,
                         .time_high = cme->time,
                         .time_middle = middle};
    return rxn__expr_evaluate(cme->network, event->condition, &values) != 0;
}

/* The same rounds as in compiler/method/ssa_events.c: the first of what has turned true fires, the others
 * that have stay "not held", and all are looked at anew. */
bool
rxn__cme_settle(Cme *cme, double middle_before)
{
    Network *network = cme->network;
    if (cme->when_count == 0)
        return true;
    for (u32 e = 0; e < network->events.count; e++)
        if (network->events.items[e].kind == EVENT_WHEN)
            cme->was[e] = holds(cme, &network->events.items[e], cme->from, middle_before);
    for (u32 round = 0; round <= CASCADE_LIMIT; round++) {
        u32 first = network->events.count;
        for (u32 e = network->events.count; e-- > 0;) {
            if (network->events.items[e].kind != EVENT_WHEN)
                continue;
            cme->holds[e] = holds(cme, &network->events.items[e], cme->to, cme->middle);
            if (cme->holds[e] && !cme->was[e])
                first = e;
        }
        if (first == network->events.count)
            return true;
        for (u32 e = 0; e < network->events.count; e++)
            cme->was[e] = cme->holds[e] && (e == first || cme->was[e]);
        if (!rxn__cme_assign(cme, &network->events.items[first], cme->time))
            return false;
    }
    return set_fault(cme, "'when' events trigger each other without end", cme->to);
}

/* ---- transitions ------------------------------------------------------------------------------- */

static bool
rate_is_zero(const Cme *cme, u32 rate)
{
    const double *values = (const double *)cme->rate_values.items + (u64)rate * cme->width;
    for (u32 i = 0; i <= cme->wrt_count; i++)
        if (values[i] != 0)
            return false;
    return true;
}

/* Where the reaction leads, in cme->to. False where some count would be negative. */
static bool
target_of(Cme *cme, const CmeReaction *reaction)
{
    memcpy(cme->to, cme->from, cme->species_count * sizeof *cme->to);
    for (u32 k = 0; k < reaction->change_count; k++) {
        double count = cme->to[reaction->changes[k].species] += reaction->changes[k].delta;
        if (count < 0)
            return false;
        if (count > CME_LARGEST_COUNT)
            rxn__cme_fail(
                cme, "the count of '%s' grows past 2^31",
                rxn__species_label(cme->network, reaction->changes[k].species, cme->arena));
    }
    return true;
}

static void
add_edge(Cme *cme, u64 source, u64 target, u32 rate)
{
    u64 room = cme->edge_count + 1;
    if (room >= UINT32_MAX)
        rxn__cme_fail(cme, "more than 2^32 transitions");
    u32 *sources = rxn__cme_reserve(cme, &cme->edge_source, room, sizeof *sources);
    u32 *targets = rxn__cme_reserve(cme, &cme->edge_target, room, sizeof *targets);
    u32 *rates = rxn__cme_reserve(cme, &cme->edge_rate, room, sizeof *rates);
    sources[cme->edge_count] = (u32)source;
    targets[cme->edge_count] = (u32)target;
    rates[cme->edge_count] = rate;
    cme->edge_count++;
}

/* A rate that must stay zero as time goes on. */
static void
forbid(Cme *cme, u32 rate, u64 state)
{
    u32 *pairs =
        rxn__cme_reserve(cme, &cme->forbidden, 2 * (cme->forbidden_count + 1), sizeof *pairs);
    pairs[2 * cme->forbidden_count] = rate;
    pairs[2 * cme->forbidden_count + 1] = (u32)state;
    cme->forbidden_count++;
}

static bool
add_transition(Cme *cme, u64 state, u32 number)
{
    const CmeReaction *reaction = &cme->reactions[number];
    u32 rate;
    if (!rxn__cme_rate(cme, number, state, &rate))
        return false;
    bool varies = reaction->smooth || reaction->windowed;
    bool zero = rate_is_zero(cme, rate);
    if (zero && !varies)
        return true;
    if (!target_of(cme, reaction)) {
        if (!zero) {
            Text text;
            rxn__text_init(&text, cme->arena);
            rxn__text_printf(&text, "'%s' takes more than there is",
                             rxn__reaction_label(cme->network, number, cme->arena));
            return set_fault(cme, text.data, cme->from);
        }
        forbid(cme, rate, state);
        return true;
    }
    if (!rxn__cme_settle(cme, cme->middle))
        return false;
    u64 target = rxn__cme_state(cme, cme->to);
    if (target != state)
        add_edge(cme, state, target, rate);
    return true;
}

static bool
add_transitions(Cme *cme, u64 state)
{
    for (u32 s = 0; s < cme->species_count; s++)
        cme->from[s] = cme_counts(cme, state)[s];
    u64 first = cme->edge_count;
    for (u32 number = 0; number < cme->reaction_count; number++)
        if (!add_transition(cme, state, number)) {
            cme->edge_count = first;
            return false;
        }
    ((u32 *)cme->edge_first.items)[state] = (u32)first;
    ((u32 *)cme->edge_count_of.items)[state] = (u32)(cme->edge_count - first);
    return true;
}

bool
rxn__cme_activate(Cme *cme, u64 state)
{
    if (cme_is_active(cme, state))
        return true;
    if (cme->active_count >= cme->options.state_limit)
        rxn__cme_fail(cme,
                      "more than %llu states hold probability; a shorter time or fewer molecules "
                      "need fewer",
                      (unsigned long long)cme->options.state_limit);
    if (!add_transitions(cme, state)) {
        ((u8 *)cme->active.items)[state] = STATE_BLOCKED;
        return false;
    }
    ((u8 *)cme->active.items)[state] = STATE_ACTIVE;
    cme->active_count++;
    cme->rows_stale = true;
    return true;
}

void
rxn__cme_rebuild(Cme *cme)
{
    cme->edge_count = 0;
    cme->forbidden_count = 0;
    u64 states = cme->state_count;
    for (u64 state = 0; state < states; state++)
        if (cme_is_active(cme, state) && !add_transitions(cme, state))
            rxn__cme_fail(cme, "%s", cme->fault);
    cme->rows_stale = true;
}

/* A counting sort of the edges by target. */
void
rxn__cme_rows(Cme *cme)
{
    if (!cme->rows_stale)
        return;
    u32 *first = rxn__cme_reserve(cme, &cme->row_first, cme->state_count + 2, sizeof *first);
    u32 *rows = rxn__cme_reserve(cme, &cme->rows, 2 * cme->edge_count + 2, sizeof *rows);
    const u32 *sources = cme->edge_source.items, *targets = cme->edge_target.items,
              *rates = cme->edge_rate.items;
    memset(first, 0, (cme->state_count + 2) * sizeof *first);
    for (u64 e = 0; e < cme->edge_count; e++)
        first[targets[e] + 2]++;
    for (u64 state = 1; state <= cme->state_count + 1; state++)
        first[state] += first[state - 1];
    for (u64 e = 0; e < cme->edge_count; e++) {
        u32 place = first[targets[e] + 1]++;
        rows[2 * (u64)place] = sources[e];
        rows[2 * (u64)place + 1] = rates[e];
    }
    cme->rows_stale = false;
}

/* ---- the start --------------------------------------------------------------------------------- */

void
rxn__cme_space_begin(Cme *cme)
{
    Network *network = cme->network;
    cme->species_count = network->species_count;
    cme->reaction_count = network->reaction_count;
    cme->reactions = NEW_ARRAY(cme->arena, CmeReaction, cme->reaction_count + 1);
    cme->from = NEW_ARRAY(cme->arena, double, cme->species_count + 1);
    cme->to = NEW_ARRAY(cme->arena, double, cme->species_count + 1);
    cme->initial = NEW_ARRAY(cme->arena, double, cme->species_count + 1);
    cme->row = NEW_ARRAY(cme->arena, double, cme->width);
    cme->sums = NEW_ARRAY(cme->arena, double, cme->width);
    cme->was = NEW_ARRAY(cme->arena, bool, network->events.count + 1);
    cme->holds = NEW_ARRAY(cme->arena, bool, network->events.count + 1);
    u32 most = 0;
    for (u32 e = 0; e < network->events.count; e++)
        if (network->events.items[e].assignments.count > most)
            most = network->events.items[e].assignments.count;
    cme->event_values = NEW_ARRAY(cme->arena, double, most + 1);
    look_at_events(cme);
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction reaction = network->reactions.items[r];
        for (u32 member = 0; member < reaction.count; member++)
            take_reaction(cme, &reaction, member);
    }
    for (u32 s = 0; s < network->species.count; s++) {
        const Species species = network->species.items[s];
        u64 members = rxn__shape_count(&species.shape);
        for (u32 member = 0; member < members; member++)
            take_initial(cme, &species, member);
    }
}
