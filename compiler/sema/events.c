/* events: `at`, `every`, `when`, and what they assign. Events are not families: inside a `for` there is
 * one for each member, and an assignment to a whole array is one to each of its members. Each
 * statement is checked once, with the loop variables as variables, and then written out with numbers.
 */
#include <math.h>
#include <stdlib.h>

#include "compiler/sema/private.h"

/* One assignment before it is written out. */
typedef struct Target {
    const AstNode *node;
    const Species *species;
    u32 number;
    bool whole; /* every member of an array */
    Affine index[RXN_MAX_RANK];
    Expr value;
} Target;

typedef VEC(Target) Targets;

static bool
find_target(Sema *sema, const Scope *scope, const AstNode *reference, Target *target)
{
    const char *name = rxn__sema_show(sema, reference->name);
    Symbol *symbol = NULL;
    const char *kind = NULL;
    for (const Local *local = scope->locals; local && !kind; local = local->outer)
        if (local->name == reference->name)
            kind = "a loop variable";
    if (!kind && reference->name == sema->time_name)
        kind = "the time";
    if (!kind) {
        symbol = rxn__sema_lookup(sema, scope->module, reference->name);
        if (!symbol) {
            rxn__sema_unknown_name(sema, scope, reference->name, reference->span, WANT_SPECIES);
            return false;
        }
        if (symbol->kind == SYMBOL_UNKNOWN)
            return false;
        if (symbol->kind != SYMBOL_SPECIES)
            kind = rxn__sema_kind_text(symbol->kind);
    }
    if (kind) {
        rxn__sema_error(sema, scope->module, reference->span,
                        "'%s' is %s, and events change species only", name, kind);
        if (symbol && symbol->kind == SYMBOL_PARAM)
            rxn__sema_note(sema, (Span){0},
                           "let the rate depend on the time, as in 'if t < 50 then a else b'");
        return false;
    }
    if (!rxn__sema_resolve(sema, symbol, reference->span))
        return false;
    target->number = symbol->object;
    target->species = &sema->network->species.items[symbol->object];
    const Shape *shape = &target->species->shape;
    target->whole = shape->rank > 0 && reference->kid_count == 0;
    if (target->whole)
        return true;
    Expr index[RXN_MAX_RANK];
    if (!rxn__sema_indices(sema, scope, reference, symbol, shape, index))
        return false;
    for (u32 i = 0; i < shape->rank; i++)
        rxn__expr_affine(sema->network, index[i], &target->index[i]);
    return true;
}

static bool
read_assignments(Sema *sema, const Scope *scope, const AstNode *node, u32 first, Targets *targets)
{
    bool good = true;
    for (u32 i = first; i < node->kid_count; i++) {
        const AstNode *assign = node->kids[i];
        if (!assign || assign->kind != AST_ASSIGN || assign->kid_count != 2 || !assign->kids[0] ||
            assign->kids[0]->kind != AST_REFERENCE) {
            good = false;
            continue;
        }
        Target target = {.node = assign};
        bool found = find_target(sema, scope, assign->kids[0], &target);
        Scope inner = *scope;
        inner.what = "the new value of a species";
        target.value = rxn__sema_number(sema, &inner, assign->kids[1]);
        good &= found && rxn__sema_check_count(sema, scope->module, target.value,
                                               assign->kids[1]->span, inner.what);
        if (found)
            vec_push(sema->arena, targets, target);
    }
    return good;
}

/* ---- Writing out -------------------------------------------------------------------------- */

static i64
affine_value(const Affine *affine, u32 count, const u32 *variables, const i64 *values)
{
    i64 value = affine->constant;
    for (u32 i = 0; i < affine->count; i++)
        for (u32 k = 0; k < count; k++)
            if (affine->variable[i] == variables[k])
                value += affine->coefficient[i] * values[k];
    return value;
}

static int
compare_assignments(const void *a, const void *b)
{
    u32 left = ((const Assignment *)a)->member, right = ((const Assignment *)b)->member;
    return left < right ? -1 : left > right;
}

/* Which of two values an event would assign is nothing to guess. */
static bool
assigns_once(Sema *sema, const Module *module, const Event *event)
{
    u32 count = event->assignments.count;
    Assignment *sorted = NEW_ARRAY(sema->arena, Assignment, count + 1);
    for (u32 i = 0; i < count; i++)
        sorted[i] = event->assignments.items[i];
    qsort(sorted, count, sizeof *sorted, compare_assignments);
    for (u32 i = 1; i < count; i++) {
        if (sorted[i].member != sorted[i - 1].member)
            continue;
        bool in_order = sorted[i - 1].span.begin < sorted[i].span.begin;
        rxn__sema_error(sema, module, sorted[in_order ? i : i - 1].span,
                        "this event assigns '%s' twice",
                        rxn__species_label(sema->network, sorted[i].member, sema->arena));
        rxn__sema_note(sema, sorted[in_order ? i - 1 : i].span, "the other value is given here");
        return false;
    }
    return true;
}

static void
write_assignments(Sema *sema, const Target *target, Expr value, u32 count, const u32 *variables,
                  const i64 *values, Event *event)
{
    Arena *arena = sema->network->arena;
    const Shape *shape = &target->species->shape;
    Assignment assignment = {.species = target->number,
                             .member = target->species->flat,
                             .value = value,
                             .span = target->node->span};
    if (!target->whole) {
        i64 indices[RXN_MAX_RANK] = {0};
        for (u32 i = 0; i < shape->rank; i++)
            indices[i] = affine_value(&target->index[i], count, variables, values);
        assignment.member = rxn__flat_member(shape, target->species->flat, indices);
        vec_push(arena, &event->assignments, assignment);
        return;
    }
    for (u32 member = rxn__shape_members(shape); member > 0; member--) {
        vec_push(arena, &event->assignments, assignment);
        assignment.member++;
    }
}

/* Goes to the next values of the loop variables, the last fastest. False at the end. */
static bool
next_values(const Network *network, u32 count, const u32 *variables, i64 *values)
{
    for (u32 i = count; i-- > 0;) {
        const Variable *variable = &network->variables.items[variables[i]];
        if (values[i] < variable->high) {
            values[i]++;
            return true;
        }
        values[i] = variable->low;
    }
    return false;
}

static void
write_event(Sema *sema, const Module *module, const Event *event, const Targets *targets)
{
    Network *network = sema->network;
    u32 count = sema->loop_variables.count;
    const u32 *variables = sema->loop_variables.items;
    i64 values[RXN_MAX_RANK];
    for (u32 i = 0; i < count; i++)
        values[i] = network->variables.items[variables[i]].low;
    do {
        Expr numbers[RXN_MAX_RANK];
        for (u32 i = 0; i < count; i++)
            numbers[i] = rxn__expr_number(network, (double)values[i]);
        Event member = *event;
        Expr *parts[] = {&member.time, &member.period, &member.until, &member.condition};
        for (u32 i = 0; i < COUNT_OF(parts) && count > 0; i++)
            if (*parts[i])
                *parts[i] = rxn__expr_substitute(network, *parts[i], count, variables, numbers);
        for (u32 i = 0; i < targets->count; i++) {
            const Target *target = &targets->items[i];
            Expr value = count == 0 ? target->value
                                    : rxn__expr_substitute(network, target->value, count, variables,
                                                           numbers);
            write_assignments(sema, target, value, count, variables, values, &member);
        }
        if (!assigns_once(sema, module, &member))
            return;
        vec_push(network->arena, &network->events, member);
    } while (next_values(network, count, variables, values));
}

/* ---- The statements ----------------------------------------------------------------------- */

typedef enum Sign { NOT_NEGATIVE, POSITIVE } Sign;

static Expr
read_time(Sema *sema, const Scope *scope, const AstNode *node, const char *what, Sign sign)
{
    Scope inner = *scope;
    inner.allowed = ALLOW_PARAMS | ALLOW_INPUTS | ALLOW_VARIABLES;
    inner.what = what;
    Expr time = rxn__sema_number(sema, &inner, node);
    double number;
    if (!rxn__sema_folded(sema, time, &number) ||
        (isfinite(number) && (sign == POSITIVE ? number > 0 : number >= 0)))
        return time;
    rxn__sema_error(sema, scope->module, node->span, "%s %s", what,
                    sign == POSITIVE ? "must be positive" : "cannot be negative");
    return 0;
}

static bool
read_moment(Sema *sema, const Scope *scope, const AstNode *node, Event *event)
{
    switch (node->kind) {
    case AST_AT:
        event->kind = EVENT_AT;
        event->time = read_time(sema, scope, node->kids[0], "the time of an event", NOT_NEGATIVE);
        return event->time != 0;
    case AST_EVERY: {
        event->kind = EVENT_EVERY;
        event->period = read_time(sema, scope, node->kids[0], "the period of an event", POSITIVE);
        event->time = event->period;
        bool good = event->period != 0;
        if (node->kids[1]) {
            event->time =
                read_time(sema, scope, node->kids[1], "the first time of an event", NOT_NEGATIVE);
            good &= event->time != 0;
        }
        if (node->kids[2]) {
            event->until =
                read_time(sema, scope, node->kids[2], "the last time of an event", NOT_NEGATIVE);
            good &= event->until != 0;
        }
        double from, until;
        if (rxn__sema_folded(sema, event->time, &from) &&
            rxn__sema_folded(sema, event->until, &until) && until < from)
            rxn__warning(sema->diagnostics, node->kids[2]->span,
                         "this event never happens: its last time comes before its first");
        return good;
    }
    default: break;
    }
    event->kind = EVENT_WHEN;
    Scope inner = *scope;
    inner.what = "what follows 'when'";
    event->condition = rxn__sema_condition(sema, &inner, node->kids[0]);
    if (event->condition && expr_node(sema->network, event->condition)->op == EXPR_BOOLEAN)
        rxn__warning(sema->diagnostics, node->kids[0]->span,
                     "this event never happens: its condition never turns true");
    return event->condition != 0;
}

void
rxn__sema_event(Sema *sema, const Scope *scope, const AstNode *node)
{
    Event event = {.span = node->span};
    Targets targets = {0};
    u32 first = node->kind == AST_EVERY ? 3 : 1;
    bool good = read_moment(sema, scope, node, &event);
    good &= read_assignments(sema, scope, node, first, &targets);
    u64 assignments = 0;
    for (u32 i = 0; i < targets.count; i++)
        assignments +=
            targets.items[i].whole ? rxn__shape_members(&targets.items[i].species->shape) : 1;
    for (u32 i = 0; i < sema->loop_variables.count && assignments <= SEMA_MAX_ASSIGNMENTS; i++) {
        const Variable *variable = &sema->network->variables.items[sema->loop_variables.items[i]];
        assignments *= (u64)(variable->high - variable->low + 1);
    }
    if (assignments > SEMA_MAX_ASSIGNMENTS) {
        rxn__sema_error(sema, scope->module, node->span,
                        "this event is written out into more than %d assignments",
                        SEMA_MAX_ASSIGNMENTS);
        rxn__sema_note(sema, (Span){0}, "a reaction in a 'for' has no such limit");
        return;
    }
    if (good)
        write_event(sema, scope->module, &event, &targets);
}
