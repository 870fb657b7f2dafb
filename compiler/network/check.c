/* check.c: the invariants of a network, checked when sema hands it over, after every pass, and
 * after reading. What it finds is a bug of ours (or a text form that was tampered with), never a
 * mistake in a model.
 *
 * Only what the network refers to is looked at: dead nodes may be anything.
 */
#include "compiler/network/internal.h"
#include "compiler/network/objective.h"

#include <math.h>
#include <stdlib.h>

typedef struct Checker {
    Network *network; /* only its tables are written */
    Arena *arena;
    Text message; /* empty: nothing is broken so far */
    const char *kind;
    Name name; /* of the declaration that is being checked */
    ExprList live;
} Checker;

static bool
broken(Checker *checker, const char *what)
{
    if (checker->message.length > 0)
        return false;
    if (checker->kind != NULL)
        rxn__text_printf(&checker->message, "%s '%s': ", checker->kind,
                         checker->name == NULL ? ""
                                               : rxn__shown(checker->arena, checker->name->text,
                                                            checker->name->length));
    rxn__text_printf(&checker->message, "%s", what);
    return false;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static const Shape *
shape_of(const Network *network, const ExprNode *node)
{
    u32 object = node->object;
    switch (node->op) {
    case EXPR_SPECIES:
        return object < network->species.count ? &network->species.items[object].shape : NULL;
    case EXPR_PARAM:
        return object < network->params.count ? &network->params.items[object].shape : NULL;
    case EXPR_INPUT:
        return object < network->inputs.count ? &network->inputs.items[object].shape : NULL;
    default: return object < network->hoisted.count ? &network->hoisted.items[object].shape : NULL;
    }
}

static bool
check_index(Checker *checker, Expr index, u32 extent)
{
    const Network *network = checker->network;
    Affine affine;
    if (!rxn__expr_affine(network, index, &affine))
        return broken(checker, "an index is not affine");
    i64 low, high;
    for (u32 i = 0; i < affine.count; i++) {
        const Variable *variable = &network->variables.items[affine.variable[i]];
        if (variable->high < variable->low)
            return true; /* never evaluated */
    }
    rxn__affine_range(network, &affine, &low, &high);
    if (low < 0 || high >= extent)
        return broken(checker, "an index leaves its range");
    return true;
}

static bool
check_node(Checker *checker, Expr expr)
{
    const Network *network = checker->network;
    const ExprNode *node = expr_node(network, expr);
    if (node->op >= EXPR_OP_COUNT)
        return broken(checker, "an unknown operation");
    const ExprOpInfo *op = &rxn__expr_ops[node->op];
    for (u32 i = 0; i < node->arg_count; i++)
        if (node->args[i] == 0 || node->args[i] >= expr)
            return broken(checker, "an argument does not come before its node");

    switch (node->op) {
    case EXPR_VARIABLE:
    case EXPR_SUM:
    case EXPR_PROD:
        if (node->object >= network->variables.count)
            return broken(checker, "an unknown variable");
        break;
    case EXPR_BOOLEAN:
        if (node->number != 0 && node->number != 1)
            return broken(checker, "a boolean is neither 0 nor 1");
        break;
    case EXPR_CHOOSE:
        if (!(node->number >= 2) || node->number != floor(node->number))
            return broken(checker, "choose of fewer than two");
        break;
    case EXPR_SELECT:
        if (!expr_node(network, node->args[0])->is_bool)
            return broken(checker, "the condition of a select is not boolean");
        if (expr_node(network, node->args[1])->is_bool !=
            expr_node(network, node->args[2])->is_bool)
            return broken(checker, "the branches of a select differ in type");
        return node->arg_count == 3;
    default: break;
    }
    if (expr_is_reference((ExprOp)node->op)) {
        const Shape *shape = shape_of(network, node);
        if (shape == NULL || shape->rank != node->arg_count)
            return broken(checker, "a reference does not fit its object");
        for (u32 i = 0; i < shape->rank; i++)
            if (!check_index(checker, node->args[i], shape->extent[i]))
                return false;
        return true;
    }
    if (op->arity != node->arg_count)
        return broken(checker, "a wrong number of arguments");
    for (u32 i = 0; i < node->arg_count; i++)
        if (expr_node(network, node->args[i])->is_bool != op->takes_bool)
            return broken(checker, "an argument has the wrong type");
    return true;
}

/* ---- Places of expressions ------------------------------------------------------------------- */

typedef struct Place {
    const char *what; /* "the propensity" */
    bool is_bool, optional;
    u16 forbidden; /* USES_… */
    u32 variable_count;
    const u32 *variables; /* that may be free in it */
    u32 quantity_count;   /* QUANTITY is below it; of most places there are none */
} Place;

static bool
broken_place(Checker *checker, const Place *place, const char *what)
{
    Text text;
    rxn__text_init(&text, checker->arena);
    rxn__text_printf(&text, "%s %s", place->what, what);
    return broken(checker, text.data);
}

/* Numbers mean something else in each place, so they are looked for where `live` skips what it knows. */
static bool
check_quantities(Checker *checker, Expr expr, const Place *place)
{
    if (!(expr_node(checker->network, expr)->uses & USES_QUANTITY))
        return true;
    ExprList list = {0};
    rxn__expr_collect_begin(checker->network);
    rxn__expr_collect(checker->network, expr, checker->arena, &list);
    for (u32 i = 0; i < list.count; i++) {
        const ExprNode *node = expr_node(checker->network, list.items[i]);
        if (node->op == EXPR_QUANTITY && node->object >= place->quantity_count)
            return broken_place(checker, place, "depends on a quantity that there is not");
    }
    return true;
}

static bool
check_place(Checker *checker, Expr expr, Place place)
{
    Network *network = checker->network;
    if (expr == 0)
        return place.optional || broken_place(checker, &place, "is missing");
    if (expr >= network->exprs.count)
        return broken_place(checker, &place, "is no node");
    u32 first = checker->live.count;
    rxn__expr_collect(network, expr, checker->arena, &checker->live);
    for (u32 i = first; i < checker->live.count; i++)
        if (!check_node(checker, checker->live.items[i]))
            return false;
    if (!check_quantities(checker, expr, &place))
        return false;

    const ExprNode *node = expr_node(network, expr);
    if (node->is_bool != place.is_bool)
        return broken_place(checker, &place, "has the wrong type");
    if (node->uses & place.forbidden)
        return broken_place(checker, &place, "depends on what it must not");
    u32 count;
    const u32 *free_variables = rxn__expr_free_variables(network, expr, &count);
    for (u32 i = 0; i < count; i++) {
        bool bound = false;
        for (u32 k = 0; k < place.variable_count; k++)
            bound |= place.variables[k] == free_variables[i];
        if (!bound)
            return broken_place(checker, &place, "has a free variable");
    }
    return true;
}

/* An array's shape and the variables that stand for its dimensions. */
static bool
check_shape(Checker *checker, const Shape *shape, const u32 *variables)
{
    const Network *network = checker->network;
    if (shape->rank > RXN_MAX_RANK)
        return broken(checker, "too many dimensions");
    if (rxn__shape_count(shape) > RXN_MAX_FLAT)
        return broken(checker, "too many members");
    for (u32 i = 0; i < shape->rank; i++) {
        if (shape->extent[i] == 0)
            return broken(checker, "a dimension has no members");
        if (variables == NULL)
            continue;
        if (variables[i] >= network->variables.count)
            return broken(checker, "an unknown variable");
        const Variable *variable = &network->variables.items[variables[i]];
        i64 extent;
        if (__builtin_sub_overflow(variable->high, variable->low, &extent) ||
            extent != (i64)shape->extent[i] - 1)
            return broken(checker, "the variable of a dimension has another range");
        for (u32 k = 0; k < i; k++)
            if (variables[k] == variables[i])
                return broken(checker, "two dimensions have one variable");
    }
    return true;
}

/* ---- Declarations ---------------------------------------------------------------------------- */

enum {
    ONLY_PARAMS = USES_SPECIES | USES_TIME | USES_WINDOW | USES_HOISTED,
    FIXED = USES_SPECIES | USES_TIME | USES_WINDOW,
};

/* Parameters may start from earlier ones only. */
static bool
check_earlier(Checker *checker, Expr expr, u32 param)
{
    ExprList list = {0};
    if (expr == 0 || !(expr_node(checker->network, expr)->uses & USES_PARAMS))
        return true;
    rxn__expr_collect_begin(checker->network);
    rxn__expr_collect(checker->network, expr, checker->arena, &list);
    for (u32 i = 0; i < list.count; i++) {
        const ExprNode *node = expr_node(checker->network, list.items[i]);
        if (node->op == EXPR_PARAM && node->object >= param)
            return broken(checker, "it starts from a later parameter");
    }
    return true;
}

static bool
check_params(Checker *checker)
{
    const Network *network = checker->network;
    checker->kind = "param";
    for (u32 i = 0; i < network->params.count; i++) {
        const Param *param = &network->params.items[i];
        checker->name = param->name;
        bool drawn = param->distribution != DISTRIBUTION_NONE;
        Place place = {.what = "the initial value",
                       .optional = true,
                       .forbidden = ONLY_PARAMS,
                       .variable_count = param->shape.rank,
                       .variables = param->variables};
        if (!check_shape(checker, &param->shape, param->variables) ||
            !check_place(checker, param->initial, place))
            return false;
        place.what = "the distribution's argument";
        place.optional = !drawn;
        if (!check_place(checker, param->distribution_args[0], place) ||
            !check_place(checker, param->distribution_args[1], place))
            return false;
        if (param->has_bounds && !(param->low <= param->high))
            return broken(checker, "its bounds are no range");
    }
    for (u32 i = 0; i < network->params.count; i++) {
        const Param *param = &network->params.items[i];
        checker->name = param->name;
        if (!check_earlier(checker, param->initial, i) ||
            !check_earlier(checker, param->distribution_args[0], i) ||
            !check_earlier(checker, param->distribution_args[1], i))
            return false;
    }
    return true;
}

static bool
check_hoisted(Checker *checker)
{
    const Network *network = checker->network;
    checker->kind = "hoisted";
    for (u32 i = 0; i < network->hoisted.count; i++) {
        const Hoisted *hoisted = &network->hoisted.items[i];
        checker->name = hoisted->name;
        u32 first = checker->live.count;
        if (!check_shape(checker, &hoisted->shape, hoisted->variables) ||
            !check_place(checker, hoisted->value,
                         (Place){.what = "the value",
                                 .forbidden = FIXED,
                                 .variable_count = hoisted->shape.rank,
                                 .variables = hoisted->variables}))
            return false;
        for (u32 k = first; k < checker->live.count; k++) {
            const ExprNode *node = expr_node(network, checker->live.items[k]);
            if (node->op == EXPR_HOISTED && node->object >= i)
                return broken(checker, "it is computed from a later one");
        }
    }
    return true;
}

static bool
check_term(Checker *checker, const Reaction *reaction, const Term *term)
{
    const Network *network = checker->network;
    if (term->species >= network->species.count)
        return broken(checker, "an unknown species");
    if (term->coefficient == 0 || term->coefficient > INT32_MAX)
        return broken(checker, "a coefficient is not positive");
    const Shape *shape = &network->species.items[term->species].shape;
    for (u32 i = 0; i < shape->rank; i++) {
        if (!check_place(checker, term->index[i],
                         (Place){.what = "an index",
                                 .forbidden = 0xFFFF,
                                 .variable_count = reaction->variable_count,
                                 .variables = reaction->variables}) ||
            !check_index(checker, term->index[i], shape->extent[i]))
            return false;
    }
    for (u32 i = shape->rank; i < RXN_MAX_RANK; i++)
        if (term->index[i] != 0)
            return broken(checker, "more indices than dimensions");
    return true;
}

static bool
check_reactions(Checker *checker)
{
    const Network *network = checker->network;
    checker->kind = "reaction";
    for (u32 i = 0; i < network->reactions.count; i++) {
        const Reaction *reaction = &network->reactions.items[i];
        checker->name = reaction->label;
        if (reaction->variable_count > RXN_MAX_RANK)
            return broken(checker, "too many variables");
        for (u32 k = 0; k < reaction->variable_count; k++)
            if (reaction->variables[k] >= network->variables.count)
                return broken(checker, "an unknown variable");
        for (u32 k = 0; k < reaction->reactants.count; k++)
            if (!check_term(checker, reaction, &reaction->reactants.items[k]))
                return false;
        for (u32 k = 0; k < reaction->products.count; k++)
            if (!check_term(checker, reaction, &reaction->products.items[k]))
                return false;
        Place place = {.what = "the propensity",
                       .forbidden = USES_TIME_LOW_HIGH,
                       .variable_count = reaction->variable_count,
                       .variables = reaction->variables};
        if (!check_place(checker, reaction->propensity, place))
            return false;
        place.what = "the bound";
        place.optional = true;
        place.forbidden = USES_TIME;
        if (!check_place(checker, reaction->bound, place))
            return false;
        place.what = "the rate constant";
        place.optional = !reaction->mass_action;
        place.forbidden =
            (u16)(reaction->mass_action ? USES_TIME_LOW_HIGH | USES_SPECIES : USES_TIME_LOW_HIGH);
        if (!check_place(checker, reaction->rate, place))
            return false;
    }
    return true;
}

static bool
check_events(Checker *checker)
{
    const Network *network = checker->network;
    for (u32 i = 0; i < network->events.count; i++) {
        const Event *event = &network->events.items[i];
        checker->kind = "event";
        checker->name = NULL;
        bool when = event->kind == EVENT_WHEN, every = event->kind == EVENT_EVERY;
        if (!check_place(
                checker, event->time,
                (Place){.what = "the time", .optional = when || every, .forbidden = FIXED}) ||
            !check_place(checker, event->period,
                         (Place){.what = "the period", .optional = !every, .forbidden = FIXED}) ||
            !check_place(checker, event->until,
                         (Place){.what = "the last time", .optional = true, .forbidden = FIXED}) ||
            !check_place(checker, event->condition,
                         (Place){.what = "the condition",
                                 .is_bool = true,
                                 .optional = !when,
                                 .forbidden = USES_TIME_LOW_HIGH}))
            return false;
        for (u32 k = 0; k < event->assignments.count; k++) {
            const Assignment *assignment = &event->assignments.items[k];
            if (assignment->species >= network->species.count)
                return broken(checker, "an unknown species");
            const Species *species = &network->species.items[assignment->species];
            if (assignment->member < species->flat ||
                assignment->member - species->flat >= rxn__shape_count(&species->shape))
                return broken(checker, "an assignment to no member of its species");
            if (!check_place(checker, assignment->value,
                             (Place){.what = "the value", .forbidden = USES_WINDOW}))
                return false;
        }
    }
    return true;
}

static bool
check_rest(Checker *checker)
{
    const Network *network = checker->network;
    for (u32 i = 0; i < network->observables.count; i++) {
        const Observable *observable = &network->observables.items[i];
        checker->kind = "observable";
        checker->name = observable->name;
        if (!check_shape(checker, &observable->shape, observable->variables) ||
            !check_place(checker, observable->value,
                         (Place){.what = "the value",
                                 .forbidden = USES_WINDOW,
                                 .variable_count = observable->shape.rank,
                                 .variables = observable->variables}))
            return false;
    }
    checker->kind = NULL;
    for (u32 i = 0; i < network->breakpoints.count; i++)
        if (!check_place(checker, network->breakpoints.items[i],
                         (Place){.what = "a breakpoint", .forbidden = FIXED}))
            return false;
    for (u32 i = 0; i < network->laws.count; i++)
        for (u32 k = 0; k < network->laws.items[i].terms.count; k++) {
            const struct LawTerm *term = &network->laws.items[i].terms.items[k];
            if (term->member >= network->species_count || term->coefficient == 0)
                return broken(checker, "a conservation law has an empty term");
        }
    return true;
}

static bool
check_species(Checker *checker)
{
    const Network *network = checker->network;
    checker->kind = "species";
    for (u32 i = 0; i < network->species.count; i++) {
        const Species *species = &network->species.items[i];
        checker->name = species->name;
        if (!check_shape(checker, &species->shape, species->variables) ||
            !check_place(checker, species->initial,
                         (Place){.what = "the initial count",
                                 .optional = true,
                                 .forbidden = FIXED,
                                 .variable_count = species->shape.rank,
                                 .variables = species->variables}))
            return false;
    }
    checker->kind = "input";
    for (u32 i = 0; i < network->inputs.count; i++) {
        checker->name = network->inputs.items[i].name;
        if (!check_shape(checker, &network->inputs.items[i].shape, NULL))
            return false;
    }
    return true;
}

/* ---- What is differentiated ------------------------------------------------------------------ */

static bool
check_atom(Checker *checker, const Atom *atom)
{
    const bool state = atom->kind == ATOM_STATE, passage = atom->kind == ATOM_PASSAGE;
    if (!isfinite(atom->from) || !isfinite(atom->to) || atom->from < 0 ||
        (state ? atom->from != atom->to : !(atom->from < atom->to)) || (passage && atom->from != 0))
        return broken(checker, "an atom's span is none");
    const u16 no_time = USES_WINDOW | USES_QUANTITY;
    return check_place(checker, atom->value,
                       (Place){.what = "an atom",
                               .is_bool = passage,
                               .forbidden = (u16)(state ? no_time : no_time | USES_TIME)});
}

/* A functional or an output: of so many atoms or functionals, and at least one of them. */
static bool
check_objective_value(Checker *checker, Expr expr, u32 count)
{
    Network *network = checker->network;
    if (!check_place(checker, expr,
                     (Place){.what = "the value",
                             .forbidden = USES_SPECIES | USES_TIME | USES_WINDOW,
                             .quantity_count = count}))
        return false;
    return expr_node(network, expr)->uses & USES_QUANTITY || broken(checker, "it reads nothing");
}

static bool
check_objective(Checker *checker)
{
    const Objective *objective = checker->network->objective;
    if (objective == NULL)
        return true;
    checker->kind = "objective";
    checker->name = NULL;
    for (u32 i = 0; i < objective->atoms.count; i++)
        if (!check_atom(checker, &objective->atoms.items[i]))
            return false;
    for (u32 i = 0; i < objective->functionals.count; i++)
        if (!check_objective_value(checker, objective->functionals.items[i].value,
                                   objective->atoms.count))
            return false;
    for (u32 i = 0; i < objective->outputs.count; i++)
        if (!check_objective_value(checker, objective->outputs.items[i].value,
                                   objective->functionals.count))
            return false;
    return objective->outputs.count > 0 || broken(checker, "it has no output");
}

/* ---- Numbering and names --------------------------------------------------------------------- */

/* The flat numbers and totals are what the shapes say. */
static bool
check_numbering(Checker *checker)
{
    const Network *network = checker->network;
    u64 species = 0, params = 0, inputs = 0, reactions = 0, columns = 0;
    bool ok = true;
    for (u32 i = 0; i < network->species.count; i++) {
        ok &= network->species.items[i].flat == species;
        species += rxn__shape_count(&network->species.items[i].shape);
    }
    for (u32 i = 0; i < network->params.count; i++) {
        ok &= network->params.items[i].flat == params;
        params += rxn__shape_count(&network->params.items[i].shape);
    }
    for (u32 i = 0; i < network->inputs.count; i++) {
        ok &= network->inputs.items[i].flat == inputs;
        inputs += rxn__shape_count(&network->inputs.items[i].shape);
    }
    for (u32 i = 0; i < network->reactions.count; i++) {
        const Reaction *reaction = &network->reactions.items[i];
        u64 count = 1;
        for (u32 k = 0; k < reaction->variable_count; k++) {
            const Variable *variable = &network->variables.items[reaction->variables[k]];
            count *= variable->high < variable->low ? 0 : (u64)(variable->high - variable->low + 1);
        }
        ok &= reaction->flat == reactions && reaction->count == count;
        reactions += reaction->count;
    }
    for (u32 i = 0; i < network->observables.count; i++) {
        ok &= network->observables.items[i].flat == columns;
        columns += rxn__shape_count(&network->observables.items[i].shape);
    }
    ok &= network->species_count == species && network->param_count == params &&
          network->input_count == inputs && network->reaction_count == reactions &&
          network->column_count == columns;
    return ok || broken(checker, "the flat numbers do not follow from the shapes");
}

static int
compare_names(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)*(const Name *)a, y = (uintptr_t)*(const Name *)b;
    return (x > y) - (x < y);
}

static bool
names_differ(Checker *checker, Name *names, u32 count)
{
    qsort(names, count, sizeof *names, compare_names);
    for (u32 i = 0; i < count; i++) {
        if (names[i] == NULL)
            return broken(checker, "a declaration has no name");
        if (i > 0 && names[i] == names[i - 1]) {
            checker->name = names[i];
            return broken(checker, "two of this name");
        }
    }
    return true;
}

#define CHECK_NAMES(checker, list, field, label, ret_ok)                                           \
    do {                                                                                           \
        Name *names_ = NEW_ARRAY((checker)->arena, Name, (list).count);                            \
        for (u32 i_ = 0; i_ < (list).count; i_++)                                                  \
            names_[i_] = (list).items[i_].field;                                                   \
        (checker)->kind = label;                                                                   \
        (checker)->name = NULL;                                                                    \
        (ret_ok) = (ret_ok) && names_differ((checker), names_, (list).count);                      \
    } while (0)

static bool
check_names(Checker *checker)
{
    const Network *network = checker->network;
    bool ok = true;
    CHECK_NAMES(checker, network->species, name, "species", ok);
    CHECK_NAMES(checker, network->params, name, "param", ok);
    CHECK_NAMES(checker, network->inputs, name, "input", ok);
    CHECK_NAMES(checker, network->hoisted, name, "hoisted", ok);
    CHECK_NAMES(checker, network->reactions, label, "reaction", ok);
    CHECK_NAMES(checker, network->observables, name, "observable", ok);
    checker->kind = NULL;
    return ok;
}

const char *
rxn__network_check(const Network *network, Arena *arena)
{
    Checker checker = {.network = network_for_tables(network), .arena = arena};
    rxn__text_init(&checker.message, arena);
    rxn__expr_collect_begin(checker.network);
    /* check_earlier opens rounds of its own: what was seen before it is then looked at again, no
     * more. */
    bool ok = check_params(&checker);
    rxn__expr_collect_begin(checker.network);
    ok = ok && check_species(&checker) && check_hoisted(&checker) && check_reactions(&checker) &&
         check_events(&checker) && check_rest(&checker) && check_objective(&checker) &&
         check_numbering(&checker) && check_names(&checker);
    if (ok)
        return NULL;
    return checker.message.length > 0 ? checker.message.data : "a node is malformed";
}
