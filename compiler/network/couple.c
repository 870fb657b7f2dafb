/* couple.c: two coupled trajectories as one network (see couple.h).
 *
 * The split coupling: where a reaction has propensity a in the first copy and a' in the second, it
 * fires in both together at rate min(a, a'), and in one alone at what is left. Each copy then has its
 * own law, a and a', and two copies that are near each other seldom move apart:
 *
 *     reaction bind: 2 M -> D @ a          "bind & bind'"   2 M + 2 M' -> D + D'   min(a, a')
 *                                      ⇒   bind             2 M  -> D              max(a - a', 0)
 *                                          bind'            2 M' -> D'             max(a' - a, 0)
 *
 * The difference of equal numbers is exactly zero, so copies with equal parameters that have met do
 * not part by rounding. Where a and a' are one expression the first of the three is all there is.
 *
 * Families stay families: the three have the variables of the one. Events that assign at a time do so
 * to both copies; where their times differ (a chosen parameter is in them) there are two events. A
 * `when` watches one copy, so there are two of each. Comparisons of time in rates are settled between
 * the breakpoints of both.
 *
 * Where the origin's rates depend on time, upper bounds are derived anew: that of max(a - a', 0) is
 * nearly zero while the copies are together, where one made of the origin's would propose three
 * reactions for each that fires.
 */
#include "compiler/network/couple.h"
#include "compiler/network/internal.h"

#include <string.h>

/* ---- Which expressions read a parameter -------------------------------------------------------- */

/* Indices that vary may reach every member of the array. */
static bool
is_reference_to(const Network *network, const ExprNode *node, u32 flat)
{
    const Param *param = &network->params.items[node->object];
    if (flat < param->flat || flat - param->flat >= rxn__shape_count(&param->shape))
        return false;
    i64 indices[RXN_MAX_RANK];
    for (u32 i = 0; i < param->shape.rank; i++) {
        double index;
        if (!rxn__expr_is_number(network, node->args[i], &index))
            return true;
        indices[i] = (i64)index;
    }
    return rxn__flat_member(&param->shape, param->flat, indices) == flat;
}

static bool
reads_any(Network *network, Expr expr, u32 count, const u32 *flats)
{
    if (expr == 0 || !(expr_node(network, expr)->uses & USES_PARAMS))
        return false;
    ExprList list = {0};
    rxn__expr_collect_begin(network);
    rxn__expr_collect(network, expr, network->arena, &list);
    for (u32 i = 0; i < list.count; i++) {
        const ExprNode *node = expr_node(network, list.items[i]);
        for (u32 k = 0; node->op == EXPR_PARAM && k < count; k++)
            if (is_reference_to(network, node, flats[k]))
                return true;
    }
    /* A hoisted value reads only earlier ones. */
    for (u32 i = 0; i < list.count; i++) {
        const ExprNode *node = expr_node(network, list.items[i]);
        if (node->op == EXPR_HOISTED &&
            reads_any(network, network->hoisted.items[node->object].value, count, flats))
            return true;
    }
    return false;
}

bool
rxn__expr_reads_param(Network *network, Expr expr, u32 flat)
{
    return reads_any(network, expr, 1, &flat);
}

/* ---- Expressions ------------------------------------------------------------------------------- */

/* The origin's variables have the same numbers in the pair. */
static void
take_variables(Pair *pair)
{
    const Network *origin = pair->origin;
    for (u32 i = pair->network->variables.count; i < origin->variables.count; i++) {
        Variable v = origin->variables.items[i];
        rxn__network_add_variable(pair->network, v.name, v.low, v.high);
    }
}

/* The parameter, or where it is a chosen one the copy's own value of it. */
static Expr
parameter(Pair *pair, u32 view, const ExprNode *node, const Expr *args)
{
    Network *to = pair->network;
    const Param *param = &pair->origin->params.items[node->object];
    u64 members = rxn__shape_count(&param->shape);
    Expr result = rxn__expr_object(to, EXPR_PARAM, node->object, node->arg_count, args);
    for (u32 k = 0; k < pair->chosen_count && !(view & PAIR_HELD); k++) {
        u32 flat = pair->chosen[k];
        if (flat < param->flat || flat - param->flat >= members)
            continue;
        u32 member = flat - param->flat;
        Expr own = rxn__expr_object(to, EXPR_QUANTITY, PAIR_CHOSEN + 2 * k + view, 0, NULL);
        Expr is_it = rxn__expr_boolean(to, true);
        for (u32 i = param->shape.rank; i-- > 0;) {
            Expr index = rxn__expr_number(to, member % param->shape.extent[i]);
            is_it = expr_binary(to, EXPR_AND, is_it, expr_binary(to, EXPR_EQ, args[i], index));
            member /= param->shape.extent[i];
        }
        result = rxn__expr(to, EXPR_SELECT, (Expr[]){is_it, own, result});
    }
    return result;
}

/* A value that differs between trajectories cannot be computed once per launch: it is written out. */
static Expr
written_out(Pair *pair, u32 view, const ExprNode *node, const Expr *args)
{
    Network *to = pair->network;
    const Hoisted hoisted = pair->origin->hoisted.items[node->object];
    Expr value = rxn__pair_expr(pair, view, hoisted.value);
    Expr replacements[RXN_MAX_RANK];
    for (u32 i = 0; i < hoisted.shape.rank; i++) {
        i64 low = to->variables.items[hoisted.variables[i]].low;
        replacements[i] = expr_binary(to, EXPR_ADD, args[i], rxn__expr_number(to, (double)low));
    }
    return rxn__expr_substitute(to, value, hoisted.shape.rank, hoisted.variables, replacements);
}

/* What jumps where a parameter moves it past a count: a difference would see the jump or miss it, by the
 * step alone. A comparison of time with a time is no such thing. */
static bool
acts_in_steps(const ExprNode *node)
{
    if (node->op == EXPR_FLOOR || node->op == EXPR_CEIL)
        return true;
    return expr_is_comparison((ExprOp)node->op) &&
           (node->uses & USES_SPECIES || !(node->uses & (USES_TIME | USES_WINDOW)));
}

static Expr
translated(Pair *pair, u32 view, Expr expr)
{
    const ExprNode node = *expr_node(pair->origin, expr);
    if (!(view & PAIR_HELD) && acts_in_steps(&node))
        return rxn__pair_expr(pair, view | PAIR_HELD, expr);
    Expr args[RXN_MAX_RANK] = {0};
    for (u32 i = 0; i < node.arg_count; i++)
        args[i] = pair->maps[view].items[node.args[i]];
    switch (node.op) {
    case EXPR_SPECIES: {
        u32 species = node.object + (view & PAIR_SECOND ? pair->origin->species.count : 0);
        return rxn__expr_object(pair->network, EXPR_SPECIES, species, node.arg_count, args);
    }
    case EXPR_PARAM: return parameter(pair, view, &node, args);
    case EXPR_HOISTED:
        if (!(view & PAIR_HELD) && pair->hoisted_varies[node.object])
            return written_out(pair, view, &node, args);
        break;
    default: break;
    }
    return rxn__expr_like(pair->network, &node, args);
}

Expr
rxn__pair_expr(Pair *pair, u32 view, Expr expr)
{
    Network *origin = pair->origin;
    if (expr == 0)
        return 0;
    take_variables(pair);
    if (pair->maps[view].capacity < origin->exprs.count) {
        u32 capacity = origin->exprs.capacity;
        GROW_ZEROED(pair->arena, pair->maps[view].items, pair->maps[view].capacity, capacity);
        pair->maps[view].capacity = capacity;
    }
    ExprList list = {0};
    rxn__expr_collect_begin(origin);
    rxn__expr_collect(origin, expr, pair->arena, &list);
    for (u32 i = 0; i < list.count; i++) {
        Expr item = list.items[i];
        if (pair->maps[view].items[item] == 0)
            pair->maps[view].items[item] = translated(pair, view, item);
    }
    return pair->maps[view].items[expr];
}

/* ---- Declarations ------------------------------------------------------------------------------ */

/* X of the first copy, X' of the second, X & X' of both. No name of a model has these characters. */
static Name
name_in(const Pair *pair, Name name, bool first, bool second)
{
    Text text;
    rxn__text_init(&text, pair->arena);
    if (first)
        rxn__text_append(&text, name->text, name->length);
    if (second)
        rxn__text_printf(&text, "%s%s'", first ? " & " : "", name->text);
    return rxn__name(pair->network->names, text.data, text.length);
}

static void
declare(Pair *pair)
{
    const Network *from = pair->origin;
    Network *to = pair->network;
    Arena *arena = to->arena;
    to->name = from->name;
    to->simulate_until = from->simulate_until;
    to->simulate_every = from->simulate_every;
    for (u32 i = 0; i < from->simulate_at.count; i++)
        vec_push(arena, &to->simulate_at, from->simulate_at.items[i]);
    for (u32 i = 0; i < from->index_sets.count; i++)
        vec_push(arena, &to->index_sets, from->index_sets.items[i]);
    for (u32 i = 0; i < from->inputs.count; i++)
        vec_push(arena, &to->inputs, from->inputs.items[i]);
    for (u32 i = 0; i < from->params.count; i++) {
        Param param = from->params.items[i];
        param.initial = rxn__pair_expr(pair, PAIR_HELD, param.initial);
        for (u32 k = 0; k < 2; k++)
            param.distribution_args[k] =
                rxn__pair_expr(pair, PAIR_HELD, param.distribution_args[k]);
        vec_push(arena, &to->params, param);
    }
    for (u32 copy = PAIR_FIRST; copy <= PAIR_SECOND; copy++) {
        for (u32 i = 0; i < from->species.count; i++) {
            Species species = from->species.items[i];
            species.initial = rxn__pair_expr(pair, PAIR_HELD, species.initial);
            species.name = name_in(pair, species.name, copy == PAIR_FIRST, copy == PAIR_SECOND);
            vec_push(arena, &to->species, species);
        }
    }
    for (u32 i = 0; i < from->hoisted.count; i++) {
        Hoisted hoisted = from->hoisted.items[i];
        hoisted.value = rxn__pair_expr(pair, PAIR_HELD, hoisted.value);
        vec_push(arena, &to->hoisted, hoisted);
    }
}

static void
add_observables(Pair *pair)
{
    const Network *from = pair->origin;
    for (u32 copy = PAIR_FIRST; copy <= PAIR_SECOND; copy++) {
        for (u32 i = 0; i < from->observables.count; i++) {
            Observable observable = from->observables.items[i];
            observable.value = rxn__pair_expr(pair, copy, observable.value);
            observable.name =
                name_in(pair, observable.name, copy == PAIR_FIRST, copy == PAIR_SECOND);
            vec_push(pair->network->arena, &pair->network->observables, observable);
        }
    }
}

static void
add_breakpoints(Pair *pair)
{
    Network *to = pair->network;
    for (u32 i = 0; i < pair->origin->breakpoints.count; i++) {
        for (u32 copy = PAIR_FIRST; copy <= PAIR_SECOND; copy++) {
            Expr time = rxn__pair_expr(pair, copy, pair->origin->breakpoints.items[i]);
            bool known = false;
            for (u32 k = 0; k < to->breakpoints.count; k++)
                known |= to->breakpoints.items[k] == time;
            if (!known)
                vec_push(to->arena, &to->breakpoints, time);
        }
    }
}

/* ---- Reactions --------------------------------------------------------------------------------- */

static void
add_terms(Pair *pair, u32 copy, const Term *terms, u32 count, Reaction *reaction, bool products)
{
    for (u32 i = 0; i < count; i++) {
        Term term = terms[i];
        if (copy == PAIR_SECOND)
            term.species += pair->origin->species.count;
        for (u32 k = 0; k < RXN_MAX_RANK; k++)
            term.index[k] = rxn__pair_expr(pair, PAIR_HELD, term.index[k]);
        if (products)
            vec_push(pair->network->arena, &reaction->products, term);
        else
            vec_push(pair->network->arena, &reaction->reactants, term);
    }
}

static void
add_reaction(Pair *pair, const Reaction *origin, Expr propensity, Expr bound, bool first,
             bool second)
{
    Reaction reaction = {.label = name_in(pair, origin->label, first, second),
                         .span = origin->span,
                         .rate_span = origin->rate_span,
                         .variable_count = origin->variable_count,
                         .propensity = propensity,
                         .bound = bound,
                         .bound_span = origin->bound_span};
    memcpy(reaction.variables, origin->variables, sizeof reaction.variables);
    for (u32 copy = PAIR_FIRST; copy <= PAIR_SECOND; copy++) {
        if (!(copy == PAIR_FIRST ? first : second))
            continue;
        add_terms(pair, copy, origin->reactants.items, origin->reactants.count, &reaction, false);
        add_terms(pair, copy, origin->products.items, origin->products.count, &reaction, true);
    }
    vec_push(pair->network->arena, &pair->network->reactions, reaction);
}

static Expr
excess(Network *network, Expr a, Expr b)
{
    return expr_binary(network, EXPR_MAX, expr_binary(network, EXPR_SUB, a, b),
                       rxn__expr_number(network, 0));
}

/* keeps_bound: per reaction, the origin's bound serves. */
static void
add_reactions(Pair *pair, const bool *keeps_bound)
{
    Network *to = pair->network;
    to->reactions.count = 0;
    for (u32 r = 0; r < pair->origin->reactions.count; r++) {
        const Reaction *origin = &pair->origin->reactions.items[r];
        Expr a[PAIR_COPIES], bound[PAIR_COPIES] = {0, 0}, both = 0;
        for (u32 copy = PAIR_FIRST; copy <= PAIR_SECOND; copy++) {
            a[copy] = rxn__pair_expr(pair, copy, origin->propensity);
            if (keeps_bound[r])
                bound[copy] = rxn__pair_expr(pair, copy, origin->bound);
        }
        if (a[0] == a[1]) {
            add_reaction(pair, origin, a[0], bound[0], true, true);
            continue;
        }
        if (keeps_bound[r])
            both = expr_binary(to, EXPR_MIN, bound[0], bound[1]);
        add_reaction(pair, origin, expr_binary(to, EXPR_MIN, a[0], a[1]), both, true, true);
        add_reaction(pair, origin, excess(to, a[0], a[1]), bound[0], true, false);
        add_reaction(pair, origin, excess(to, a[1], a[0]), bound[1], false, true);
    }
}

/* Bounds are derived; where that fails (a rate whose least value has no bound) the origin's serve, for no
 * copy fires more often alone than it does in all. */
static const char *
add_bounded_reactions(Pair *pair)
{
    const Network *from = pair->origin;
    Network *to = pair->network;
    bool *keeps_bound = NEW_ARRAY(pair->arena, bool, from->reactions.count + 1);
    for (u32 r = 0; r < from->reactions.count; r++)
        keeps_bound[r] =
            from->reactions.items[r].bound_span.end > 0 && from->reactions.items[r].bound;
    for (u32 attempt = 0; attempt < 2; attempt++) {
        Diagnostics diagnostics;
        rxn__diagnostics_init(&diagnostics, pair->arena, NULL);
        add_reactions(pair, keeps_bound);
        if (!rxn__network_number(to))
            return "the pair has too many members";
        rxn__network_bounds(to, &diagnostics);
        if (diagnostics.error_count == 0)
            return NULL;
        for (u32 r = 0; r < from->reactions.count; r++)
            keeps_bound[r] = from->reactions.items[r].bound != 0;
    }
    return "a rate of the pair has no bound";
}

/* ---- Events ------------------------------------------------------------------------------------ */

static void
assign(Pair *pair, u32 copy, const Event *from, Event *event)
{
    bool second = copy == PAIR_SECOND;
    for (u32 i = 0; i < from->assignments.count; i++) {
        Assignment assignment = from->assignments.items[i];
        assignment.value = rxn__pair_expr(pair, copy | PAIR_HELD, assignment.value);
        assignment.species += second ? pair->origin->species.count : 0;
        assignment.member += second ? pair->origin->species_count : 0;
        vec_push(pair->network->arena, &event->assignments, assignment);
    }
}

static Event
timed_as(Pair *pair, u32 copy, const Event *from)
{
    return (Event){
        .kind = from->kind,
        .span = from->span,
        .time = rxn__pair_expr(pair, copy, from->time),
        .period = rxn__pair_expr(pair, copy, from->period),
        .until = rxn__pair_expr(pair, copy, from->until),
        .condition = rxn__pair_expr(pair, copy, from->condition),
    };
}

static void
add_events(Pair *pair)
{
    Network *to = pair->network;
    for (u32 i = 0; i < pair->origin->events.count; i++) {
        const Event *from = &pair->origin->events.items[i];
        Event first = timed_as(pair, PAIR_FIRST, from), second = timed_as(pair, PAIR_SECOND, from);
        bool one = from->kind != EVENT_WHEN && first.time == second.time &&
                   first.period == second.period && first.until == second.until;
        assign(pair, PAIR_FIRST, from, &first);
        assign(pair, PAIR_SECOND, from, one ? &first : &second);
        vec_push(to->arena, &to->events, first);
        if (!one)
            vec_push(to->arena, &to->events, second);
    }
}

/* ---- The pair ---------------------------------------------------------------------------------- */

const char *
rxn__network_pair(Network *origin, const u32 *chosen, u32 chosen_count, Arena *arena,
                  NameTable *names, Pair *ret_pair)
{
    Pair *pair = ret_pair;
    *pair = (Pair){.origin = origin,
                   .network = rxn__network_new(arena, names),
                   .arena = arena,
                   .chosen = chosen,
                   .chosen_count = chosen_count,
                   .hoisted_varies = NEW_ARRAY(arena, bool, origin->hoisted.count + 1)};
    for (u32 i = 0; i < origin->hoisted.count; i++)
        pair->hoisted_varies[i] =
            reads_any(origin, origin->hoisted.items[i].value, chosen_count, chosen);
    declare(pair);
    add_observables(pair);
    add_breakpoints(pair);
    const char *error = add_bounded_reactions(pair);
    if (error)
        return error;
    add_events(pair);
    rxn__network_classify(pair->network);
    /* The checker knows quantities in objectives only. */
    return chosen_count ? NULL : rxn__network_check(pair->network, arena);
}

Objective *
rxn__pair_objective(Pair *pair, u32 copy, const Objective *objective)
{
    Objective *own = NEW(pair->arena, Objective);
    *own = *objective;
    memset(&own->atoms, 0, sizeof own->atoms);
    memset(&own->functionals, 0, sizeof own->functionals);
    memset(&own->outputs, 0, sizeof own->outputs);
    for (u32 k = 0; k < objective->atoms.count; k++) {
        Atom atom = objective->atoms.items[k];
        atom.value = rxn__pair_expr(pair, copy, atom.value);
        vec_push(pair->arena, &own->atoms, atom);
    }
    for (u32 k = 0; k < objective->functionals.count; k++) {
        Functional functional = objective->functionals.items[k];
        functional.value = rxn__pair_expr(pair, copy, functional.value);
        vec_push(pair->arena, &own->functionals, functional);
    }
    return own;
}
