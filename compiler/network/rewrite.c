/* rewrite.c: going over expressions. Walking, collecting, substituting variables, and rebuilding
 * with a rule.
 *
 * All of it is iterative, with explicit stacks: a chain of a million `let`s is a deep expression,
 * and it must not be able to overflow the C stack. All of it visits a shared node once.
 */
#include "compiler/network/internal.h"

#include <string.h>

void
rxn__expr_collect_begin(Network *network)
{
    network->tables->mark_round++;
}

void
rxn__expr_collect(Network *network, Expr root, Arena *arena, ExprList *list)
{
    ExprTables *tables = network->tables;
    rxn__tables_cover(network);
    const u32 round = tables->mark_round;
    const u32 bottom = tables->stack_count;
    if (root == 0 || tables->marks[root] == round)
        return;
    rxn__tables_push(network, root);
    while (tables->stack_count > bottom) {
        Expr top = tables->stack[tables->stack_count - 1];
        if (tables->marks[top] == round) {
            tables->stack_count--;
            continue;
        }
        const ExprNode *node = expr_node(network, top);
        bool ready = true;
        for (u32 i = node->arg_count; i-- > 0;) {
            if (tables->marks[node->args[i]] == round)
                continue;
            ready = false;
            rxn__tables_push(network, node->args[i]);
        }
        if (ready) {
            tables->stack_count--;
            tables->marks[top] = round;
            vec_push(arena, list, top);
        }
    }
}

void
rxn__expr_walk(const Network *network, Expr expr, Arena *scratch,
               void (*visit)(void *context, Expr expr), void *context)
{
    Network *marked = network_for_tables(network);
    ExprList list = {0};
    rxn__expr_collect_begin(marked);
    rxn__expr_collect(marked, expr, scratch, &list);
    for (u32 i = 0; i < list.count; i++)
        visit(context, list.items[i]);
}

/* ---- Substitution ---------------------------------------------------------------------------- */

static void
map_cover(Network *network)
{
    ExprTables *tables = network->tables;
    if (tables->map_capacity >= network->exprs.count)
        return;
    u32 capacity = network->exprs.capacity;
    GROW_ZEROED(network->arena, tables->map, tables->map_capacity, capacity);
    GROW_ZEROED(network->arena, tables->map_rounds, tables->map_capacity, capacity);
    tables->map_capacity = capacity;
}

static bool
uses_any(const Network *network, Expr expr, u32 count, const u32 *variables)
{
    for (u32 i = 0; i < count; i++)
        if (!expr_is_free_of(network, expr, variables[i]))
            return true;
    return false;
}

Expr
rxn__expr_substitute(Network *network, Expr expr, u32 count, const u32 *variables,
                     const Expr *replacements)
{
    if (expr == 0 || !uses_any(network, expr, count, variables))
        return expr;
    ExprTables *tables = network->tables;
    map_cover(network);
    const u32 round = ++tables->map_round;
    const u32 bottom = tables->stack_count;
    rxn__tables_push(network, expr);
    while (tables->stack_count > bottom) {
        Expr top = tables->stack[tables->stack_count - 1];
        if (tables->map_rounds[top] == round) {
            tables->stack_count--;
            continue;
        }
        const ExprNode node = *expr_node(network, top);
        Expr result = 0;
        if (!uses_any(network, top, count, variables)) {
            result = top;
        } else if (node.op == EXPR_VARIABLE) {
            for (u32 i = 0; i < count; i++)
                if (variables[i] == node.object)
                    result = replacements[i];
        } else {
            Expr args[RXN_MAX_RANK];
            bool ready = true;
            for (u32 i = node.arg_count; i-- > 0;) {
                Expr arg = node.args[i];
                if (tables->map_rounds[arg] == round) {
                    args[i] = tables->map[arg];
                } else {
                    ready = false;
                    rxn__tables_push(network, arg);
                }
            }
            if (!ready)
                continue;
            result = rxn__expr_like(network, &node, args);
        }
        tables->map[top] = result;
        tables->map_rounds[top] = round;
        tables->stack_count--;
    }
    return tables->map[expr];
}

/* ---- Rebuilding with a rule ------------------------------------------------------------------ */

Expr
rxn__expr_rewrite(ExprRewrite *rewrite, Expr root)
{
    Network *network = rewrite->network;
    if (root == 0)
        return 0;
    if (root >= rewrite->capacity) {
        /* Arguments come before the node that has them, so no more is needed for this root. */
        const u64 twice = 2 * (u64)rewrite->capacity;
        u32 capacity = twice < network->exprs.count ? (u32)twice : network->exprs.count;
        if (rewrite->capacity == 0 || capacity <= root)
            capacity = root + 1;
        GROW_ZEROED(rewrite->scratch, rewrite->map, rewrite->capacity, capacity);
        rewrite->capacity = capacity;
    }
    rewrite->stack.count = 0;
    vec_push(rewrite->scratch, &rewrite->stack, root);
    while (rewrite->stack.count > 0) {
        Expr top = rewrite->stack.items[rewrite->stack.count - 1];
        if (rewrite->map[top] != 0) {
            rewrite->stack.count--;
            continue;
        }
        Expr result = rewrite->rule(rewrite->context, top);
        if (result == 0) {
            const ExprNode node = *expr_node(network, top);
            Expr args[RXN_MAX_RANK] = {0};
            bool ready = true, same = true;
            for (u32 i = node.arg_count; i-- > 0;) {
                args[i] = rewrite->map[node.args[i]];
                same &= args[i] == node.args[i];
                if (args[i] == 0) {
                    ready = false;
                    vec_push(rewrite->scratch, &rewrite->stack, node.args[i]);
                }
            }
            if (!ready)
                continue;
            result = same ? top : rxn__expr_like(network, &node, args);
        }
        rewrite->map[top] = result;
        rewrite->stack.count--;
    }
    return rewrite->map[root];
}
