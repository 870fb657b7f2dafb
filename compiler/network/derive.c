/* derive.c: derivatives of expressions, as expressions of the same DAG.
 *
 * One sweep from the root to the leaves gives the derivatives by all leaves (reverse mode): every node
 * passes what has reached it on to its arguments, by the rule of its operation (derive_rules.c), and each
 * node is looked at once, whatever shares it. So the result is of the size of the expression.
 *
 *     beta * sigmoid(sum(p: W[g,p]*x[p]) + b[g])          s the value of the sigmoid
 *
 *       beta     s
 *       b[g]     beta*s*(1-s)
 *       W[g,p]   beta*s*(1-s) * x[p]     for every p
 *
 * Sums. What goes into a sum's body is one number per value of the variable. A node that does not have
 * the variable gets the sum of them: in sum(p: k*x[p]) it is sum(p: x[p]) that reaches k. So what has
 * reached a node is always one expression, of the variables that the node itself has; a leaf's entry
 * is bound to just these, and W above is one entry, not 200,704.
 *
 * Guards. Behind `if x > 0 then x*log(x) else 0` the slope of the logarithm at 0 is infinite, and 0 times
 * it is NaN. What goes into a branch therefore carries the condition with it, and is masked only at the
 * leaf, when all factors are there: if x > 0 then 1 + log(x) else 0. Where two uses meet, so do their
 * conditions: under both branches of one `if` it is gone again, else it is "or".
 */
#include "compiler/network/derive.h"

#include <math.h>

/* ---- What reaches a node --------------------------------------------------------------------- */

/* The place of a node in the list of the sweep. The table is never cleared: it is believed only where the
 * list agrees. */
bool
rxn__derive_place(const Derivation *d, Expr expr, u32 *ret_place)
{
    const ExprTables *tables = d->network->tables;
    if (expr >= tables->place_capacity)
        return false;
    *ret_place = tables->places[expr];
    return *ret_place < d->live.count && d->live.items[*ret_place] == expr;
}

Expr
rxn__expr_both(Network *network, Expr a, Expr b)
{
    if (a == 0 || b == 0)
        return a == 0 ? b : a;
    return expr_binary(network, EXPR_AND, a, b);
}

void
rxn__derive_flow(Derivation *d, Expr to, Product product, Expr guard, u32 free_set)
{
    u32 place = 0;
    const ExprNode *node = expr_node(d->network, to);
    if (product.number == 0 || !(node->uses & d->wanted) || !rxn__derive_place(d, to, &place))
        return;
    guard = rxn__expr_both(d->network, d->guard, guard);
    if (guard != 0 && expr_node(d->network, guard)->op == EXPR_BOOLEAN) {
        if (expr_node(d->network, guard)->number == 0)
            return;
        guard = 0;
    }
    Flow *flow = NEW(d->arena, Flow);
    *flow = (Flow){.product = product, .guard = guard, .free_set = free_set};
    Flows *flows = &d->flows[place];
    if (flows->last != NULL)
        flows->last->next = flow;
    else
        flows->first = flow;
    flows->last = flow;
}

static bool
is_not(const Network *network, Expr a, Expr b)
{
    const ExprNode *x = expr_node(network, a), *y = expr_node(network, b);
    return (x->op == EXPR_NOT && x->args[0] == b) || (y->op == EXPR_NOT && y->args[0] == a);
}

/* The guards are c and "not c", or "h and c" and "h and not c": gives c and h (0: there is none). */
static bool
are_branches(const Network *network, Expr a, Expr b, Expr *ret_c, Expr *ret_common)
{
    *ret_c = a;
    *ret_common = 0;
    if (a == 0 || b == 0 || is_not(network, a, b))
        return a != 0 && b != 0;
    const ExprNode *x = expr_node(network, a), *y = expr_node(network, b);
    for (u32 i = 0; i < 4 && x->op == EXPR_AND && y->op == EXPR_AND; i++) {
        *ret_c = x->args[i & 1];
        *ret_common = x->args[1 - (i & 1)];
        if (*ret_common == y->args[1 - (i >> 1)] && is_not(network, *ret_c, y->args[i >> 1]))
            return true;
    }
    return false;
}

/* Adds b to a; both of the same variables. */
static void
join(Derivation *d, Flow *a, const Flow *b)
{
    Network *network = d->network;
    Expr condition, common;
    if (a->guard == b->guard) {
        a->product = rxn__product_add(network, a->product, b->product);
    } else if (are_branches(network, a->guard, b->guard, &condition, &common)) {
        Expr select[] = {condition, rxn__product_expr(network, a->product),
                         rxn__product_expr(network, b->product)};
        a->product =
            rxn__product_times(network, product_one(), rxn__expr(network, EXPR_SELECT, select));
        a->guard = common;
    } else {
        a->product = rxn__product_add(network, rxn__product_mask(network, a->product, a->guard),
                                      rxn__product_mask(network, b->product, b->guard));
        a->guard =
            a->guard == 0 || b->guard == 0 ? 0 : expr_binary(network, EXPR_OR, a->guard, b->guard);
    }
}

static bool
set_has(const VariableSet *set, u32 variable)
{
    for (u32 i = 0; i < set->count; i++)
        if (set->items[i] == variable)
            return true;
    return false;
}

/* Sums over the variables that the node does not have. The sum of what is guarded by a condition on
 * such a variable needs no guard but its own: where it is 0, nothing flows. */
static void
lift(Derivation *d, Flow *flow, u32 free_set)
{
    Network *network = d->network;
    if (flow->free_set == free_set)
        return;
    const VariableSet from = network->tables->sets.items[flow->free_set];
    const VariableSet to = network->tables->sets.items[free_set];
    const VariableSet root = network->tables->sets.items[d->root_free_set];
    bool guarded = false;
    for (u32 i = 0; i < from.count; i++)
        guarded |= flow->guard != 0 && !set_has(&to, from.items[i]) &&
                   !set_has(&root, from.items[i]) &&
                   !expr_is_free_of(network, flow->guard, from.items[i]);
    if (guarded)
        flow->product = rxn__product_mask(network, flow->product, flow->guard);
    for (u32 i = from.count; i-- > 0;)
        if (!set_has(&to, from.items[i]) && !set_has(&root, from.items[i]))
            flow->product = rxn__product_sum(network, flow->product, from.items[i], d->arena);
    if (guarded)
        flow->guard = expr_binary(network, EXPR_NE, rxn__product_expr(network, flow->product),
                                  rxn__expr_number(network, 0));
    flow->free_set = free_set;
}

/* All that has reached the node, as one; false where nothing has. */
static bool
gather(Derivation *d, u32 place, Flow *ret)
{
    const u32 free_set = expr_node(d->network, d->live.items[place])->free_set;
    VEC(Flow) groups = {0}; /* by the variables that they come with */
    for (const Flow *flow = d->flows[place].first; flow != NULL; flow = flow->next) {
        u32 at = 0;
        while (at < groups.count && groups.items[at].free_set != flow->free_set)
            at++;
        if (at == groups.count)
            vec_push(d->arena, &groups, *flow);
        else
            join(d, &groups.items[at], flow);
    }
    for (u32 i = 0; i < groups.count; i++) {
        lift(d, &groups.items[i], free_set);
        if (i > 0)
            join(d, &groups.items[0], &groups.items[i]);
    }
    if (groups.count == 0 || groups.items[0].product.number == 0)
        return false;
    *ret = groups.items[0];
    return true;
}

/* ---- The sweep ------------------------------------------------------------------------------- */

static void
emit(const Derivation *d, Expr leaf, const Flow *flow, Arena *arena, LeafDerivatives *out)
{
    Network *network = d->network;
    const VariableSet root = network->tables->sets.items[d->root_free_set];
    const VariableSet own = network->tables->sets.items[expr_node(network, leaf)->free_set];
    LeafDerivative entry = {.leaf = leaf};
    VEC(u32) taken = {0};
    for (u32 i = 0; i < own.count; i++)
        if (!set_has(&root, own.items[i]))
            entry.bound[entry.bound_count++] = own.items[i];
    for (u32 i = 0; i < own.count; i++)
        vec_push(d->arena, &taken, own.items[i]);
    for (u32 i = 0; i < root.count; i++)
        vec_push(d->arena, &taken, root.items[i]);
    Product product = rxn__product_mask(network, flow->product, flow->guard);
    entry.derivative = rxn__expr_apart(network, rxn__product_expr(network, product), taken.count,
                                       taken.items, d->arena);
    if (!rxn__expr_is_zero(network, entry.derivative))
        vec_push(arena, out, entry);
}

static bool
find_steep(const Derivation *d, Expr expr)
{
    const ExprNode *node = expr_node(d->network, expr);
    bool steep = rxn__derive_is_steep(d, node);
    for (u32 i = 0; i < node->arg_count && !steep && !node->is_bool; i++) {
        u32 place = 0;
        steep = rxn__derive_place(d, node->args[i], &place) && d->steep[place];
    }
    return steep;
}

void
rxn__derive_sweep(Network *network, Expr expr, u16 wanted, Arena *scratch, Arena *arena,
                  LeafDerivatives *out)
{
    const ExprNode root = *expr_node(network, expr);
    if (root.is_bool || !(root.uses & wanted))
        return;
    Derivation d = {
        .network = network, .arena = scratch, .wanted = wanted, .root_free_set = root.free_set};
    const VariableSet free = network->tables->sets.items[root.free_set];
    expr = rxn__expr_apart(network, expr, free.count, free.items, scratch);
    rxn__expr_collect_begin(network);
    rxn__expr_collect(network, expr, scratch, &d.live);

    ExprTables *tables = network->tables;
    if (tables->place_capacity < network->exprs.count) {
        u32 capacity = network->exprs.capacity;
        GROW_ZEROED(network->arena, tables->places, tables->place_capacity, capacity);
        tables->place_capacity = capacity;
    }
    for (u32 i = 0; i < d.live.count; i++)
        tables->places[d.live.items[i]] = i;
    d.flows = NEW_ARRAY(scratch, Flows, d.live.count);
    d.steep = NEW_ARRAY(scratch, bool, d.live.count);
    for (u32 i = 0; i < d.live.count; i++)
        d.steep[i] = find_steep(&d, d.live.items[i]);

    rxn__derive_flow(&d, expr, product_one(), 0, root.free_set);
    for (u32 i = d.live.count; i-- > 0;) {
        Flow flow;
        if (!gather(&d, i, &flow))
            continue;
        d.self = d.live.items[i];
        d.product = flow.product;
        d.guard = flow.guard;
        if (rxn__expr_is_leaf((ExprOp)expr_node(network, d.self)->op))
            emit(&d, d.self, &flow, arena, out);
        else
            rxn__derive_node(&d);
    }
}

void
rxn__expr_derivatives(Network *network, Expr expr, Arena *arena, LeafDerivatives *out)
{
    if (expr == 0)
        return;
    rxn__derive_sweep(network, expr, USES_SPECIES | USES_PARAMS | USES_HOISTED | USES_QUANTITY,
                      &network->tables->derive, arena, out);
    rxn__arena_release(&network->tables->derive);
}
