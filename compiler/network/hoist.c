/* hoist.c: what depends on parameters, inputs and the variables of a family alone is computed once
 * per launch.
 *
 * A reaction of a family is one expression with variables; what in it does not depend on the state
 * or on time has one value per member for a whole launch. Such a part becomes a Hoisted array over
 * its variables:
 *
 *     propensity of on over g.0:                     hoisted h0 [256] over g.3 = %18
 *     %12 = mul (param W [g,p]) (input x [p])          (the same nodes, over g.3)
 *     %13 = sum p.1 %12                        ⇒     propensity of on over g.0:
 *     %15 = add %13 (param b [g])                      %20 = hoisted h0 [g]
 *     %18 = mul (param beta) (sigmoid %15)
 *
 * For 256 genes that read 784 inputs each, 200,704 products are formed once per launch and not at
 * every event. An array is taken as large as it comes out, up to MAX_MEMBERS. The largest invariant
 * part is taken whole; equal ones are shared, also between families, because a hoisted array's
 * variables are chosen by range and place.
 *
 * Left alone: parts without a free variable that have no sum either (the kernel IR hoists scalars),
 * references by themselves and cheap arithmetic of variables (as fast as a load).
 *
 * Where every trajectory has inputs of its own (Objective.sampled), what reads them is not computed once per launch but
 * once per trajectory, and only its sums are hoisted: not the sigmoid around them, so that derivatives by the hoisted
 * elements go on to the parameters as plain products with inputs, the same for all states of all trajectories.
 */
#include "compiler/network/internal.h"
#include "compiler/network/objective.h"

enum { MAX_MEMBERS = 1 << 22 }; /* 32 MiB of doubles; larger parts are hoisted in smaller ones */

/* The variable of the k-th dimension of a hoisted array where it ranges over low … high. */
typedef struct HoistVariable {
    i64 low, high;
    u32 place, variable;
} HoistVariable;

typedef struct Hoist {
    Network *network;
    Arena *scratch;
    ExprRewrite rewrite;
    VEC(HoistVariable) variables;
    u32 *hoisted_of; /* by node: its Hoisted, plus 1 */
    u32 hoisted_of_capacity;
    bool sampled, changed;
} Hoist;

static bool
is_costly(ExprOp op)
{
    switch (op) {
    case EXPR_DIV:
    case EXPR_POW:
    case EXPR_SQRT:
    case EXPR_EXP:
    case EXPR_LOG:
    case EXPR_LOG1P:
    case EXPR_EXPM1:
    case EXPR_SIN:
    case EXPR_COS:
    case EXPR_TAN:
    case EXPR_TANH:
    case EXPR_SIGMOID:
    case EXPR_SOFTPLUS: return true;
    default: return false;
    }
}

static bool
has_costly_part(Hoist *hoist, Expr expr)
{
    ExprList list = {0};
    rxn__expr_collect_begin(hoist->network);
    rxn__expr_collect(hoist->network, expr, hoist->scratch, &list);
    for (u32 i = 0; i < list.count; i++)
        if (is_costly((ExprOp)expr_node(hoist->network, list.items[i])->op))
            return true;
    return false;
}

static bool
is_worthwhile(Hoist *hoist, Expr expr)
{
    const ExprNode *node = expr_node(hoist->network, expr);
    if (node->uses & USES_SUMS)
        return true;
    if (node->free_set == 0)
        return false;
    if (node->op == EXPR_NEG &&
        expr_is_reference((ExprOp)expr_node(hoist->network, node->args[0])->op))
        return false;
    if (node->uses & (USES_PARAMS | USES_INPUTS))
        return true;
    return has_costly_part(hoist, expr);
}

/* The array's shape and the variables that it is over; false when it would be too large. */
static bool
hoist_shape(const Hoist *hoist, Expr expr, Shape *ret_shape, u32 *ret_variables)
{
    u32 count;
    const u32 *variables = rxn__expr_free_variables(hoist->network, expr, &count);
    u64 members = 1;
    if (count > RXN_MAX_RANK)
        return false;
    *ret_shape = (Shape){.rank = count};
    for (u32 i = 0; i < count; i++) {
        const Variable *variable = &hoist->network->variables.items[variables[i]];
        if (variable->high < variable->low || variable->high - variable->low >= MAX_MEMBERS)
            return false;
        ret_variables[i] = variables[i];
        ret_shape->extent[i] = (u32)(variable->high - variable->low + 1);
        members *= ret_shape->extent[i];
        if (members > MAX_MEMBERS)
            return false;
    }
    return true;
}

static u32
hoist_variable(Hoist *hoist, u32 variable, u32 place)
{
    const Variable v = hoist->network->variables.items[variable];
    for (u32 i = 0; i < hoist->variables.count; i++) {
        const HoistVariable *known = &hoist->variables.items[i];
        if (known->low == v.low && known->high == v.high && known->place == place)
            return known->variable;
    }
    u32 fresh = rxn__network_add_variable(hoist->network, v.name, v.low, v.high);
    vec_push(hoist->scratch, &hoist->variables, ((HoistVariable){v.low, v.high, place, fresh}));
    return fresh;
}

static u32
find_or_add_hoisted(Hoist *hoist, Expr value, const Shape *shape, const u32 *variables)
{
    Network *network = hoist->network;
    if (value >= hoist->hoisted_of_capacity) {
        u32 capacity = network->exprs.capacity;
        GROW_ZEROED(hoist->scratch, hoist->hoisted_of, hoist->hoisted_of_capacity, capacity);
        hoist->hoisted_of_capacity = capacity;
    }
    if (hoist->hoisted_of[value] != 0)
        return hoist->hoisted_of[value] - 1;

    Text name;
    rxn__text_init(&name, hoist->scratch);
    rxn__text_printf(&name, "h%u", network->hoisted.count);
    Hoisted hoisted = {
        .name = rxn__name(network->names, name.data, name.length), .shape = *shape, .value = value};
    for (u32 i = 0; i < shape->rank; i++)
        hoisted.variables[i] = variables[i];
    vec_push(network->arena, &network->hoisted, hoisted);
    hoist->hoisted_of[value] = network->hoisted.count;
    return network->hoisted.count - 1;
}

static Expr
hoist_rule(void *context, Expr expr)
{
    Hoist *hoist = context;
    Network *network = hoist->network;
    const ExprNode *node = expr_node(network, expr);
    const u16 variant = USES_SPECIES | USES_TIME | USES_WINDOW | USES_QUANTITY;
    if (node->arg_count == 0 || expr_is_reference((ExprOp)node->op))
        return expr;
    if (node->uses & variant || node->is_bool)
        return 0;
    if (hoist->sampled && node->uses & USES_INPUTS && node->op != EXPR_SUM && node->op != EXPR_PROD)
        return 0;
    if (!(node->uses & USES_SUMS) && node->free_set == 0)
        return expr;

    Shape shape;
    u32 variables[RXN_MAX_RANK], own[RXN_MAX_RANK];
    if (!is_worthwhile(hoist, expr) || !hoist_shape(hoist, expr, &shape, variables))
        return 0;
    Expr replacements[RXN_MAX_RANK], indices[RXN_MAX_RANK];
    for (u32 i = 0; i < shape.rank; i++) {
        own[i] = hoist_variable(hoist, variables[i], i);
        replacements[i] = rxn__expr_object(network, EXPR_VARIABLE, own[i], 0, NULL);
        Affine index = {.constant = -network->variables.items[variables[i]].low,
                        .count = 1,
                        .variable = {variables[i]},
                        .coefficient = {1}};
        indices[i] = rxn__expr_of_affine(network, &index);
    }
    Expr value = rxn__expr_substitute(network, expr, shape.rank, variables, replacements);
    u32 hoisted = find_or_add_hoisted(hoist, value, &shape, own);
    hoist->changed = true;
    return rxn__expr_object(network, EXPR_HOISTED, hoisted, shape.rank, indices);
}

static void
rewrite_slot(void *context, Expr *slot)
{
    Hoist *hoist = context;
    *slot = rxn__expr_rewrite(&hoist->rewrite, *slot);
}

bool
rxn__network_hoist(Network *network)
{
    Hoist hoist = {.network = network, .scratch = &network->tables->scratch};
    hoist.sampled = network->objective && network->objective->sampled;
    hoist.rewrite = (ExprRewrite){
        .network = network, .scratch = hoist.scratch, .rule = hoist_rule, .context = &hoist};
    for (u32 i = 0; i < network->reactions.count; i++) {
        Reaction *reaction = &network->reactions.items[i];
        rewrite_slot(&hoist, &reaction->rate);
        rewrite_slot(&hoist, &reaction->propensity);
        rewrite_slot(&hoist, &reaction->bound);
    }
    for (u32 i = 0; i < network->events.count; i++) {
        Event *event = &network->events.items[i];
        rewrite_slot(&hoist, &event->condition);
        for (u32 k = 0; k < event->assignments.count; k++)
            rewrite_slot(&hoist, &event->assignments.items[k].value);
    }
    for (u32 i = 0; i < network->observables.count; i++)
        rewrite_slot(&hoist, &network->observables.items[i].value);
    for (u32 i = 0; network->objective != NULL && i < network->objective->atoms.count; i++)
        rewrite_slot(&hoist, &network->objective->atoms.items[i].value);
    rxn__arena_release(hoist.scratch);
    return hoist.changed;
}

/* ---- which of them read inputs --------------------------------------------------------------------- */

typedef struct InputSearch {
    const Network *network;
    Arena *arena;
    bool found;
} InputSearch;

static void
visit_input(void *context, Expr expr)
{
    InputSearch *search = context;
    const ExprNode *node = expr_node(search->network, expr);
    if (node->op == EXPR_INPUT)
        search->found = true;
    else if (node->op == EXPR_HOISTED && !search->found)
        search->found = rxn__hoisted_reads_inputs(search->network, node->object, search->arena);
}

bool
rxn__hoisted_reads_inputs(const Network *network, u32 hoisted, Arena *arena)
{
    InputSearch search = {network, arena, false};
    rxn__expr_walk(network, network->hoisted.items[hoisted].value, arena, visit_input, &search);
    return search.found;
}
