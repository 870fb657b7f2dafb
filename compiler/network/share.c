/* share.c: one DAG without dead nodes, in canonical order, with equal sums made one.
 *
 * Hash-consing shares equal nodes as they are built, with two gaps that this pass closes.
 *
 * Sums. Each `sum` in the source has a variable of its own, so the same sum written in two
 * reactions is two nodes that differ only in that variable's number. Here every sum or product gets
 * the variable that belongs to its range and height (how many sums are nested in its body), one
 * variable for each such pair:
 *
 *     %3 = param W [%1,%2]      variables g.0, p.1        %3 = param W [%1,%2]
 *     %4 = sum p.1 %3                                      %4 = sum p.1 %3
 *     %6 = param W [%1,%5]      variables g.0, q.2   ⇒
 *     %7 = sum q.2 %6                                      (is %4)
 *
 * Two sums that share a variable are never nested in each other, for their heights are equal; a
 * fresh variable for each pair means that nothing else can be captured.
 *
 * Leftovers. Building, folding and rewriting leave nodes behind that nothing refers to. The DAG is
 * rebuilt from what the network refers to, numbered in the order of the text form, and so are the
 * variables; what is printed as %n is then node n.
 */
#include "compiler/network/internal.h"

#include <string.h>

typedef struct SumKind {
    i64 low, high;
    u32 height;
    u32 variable;
} SumKind;

typedef struct Share {
    Network *network;
    Arena *scratch;
    VEC(Expr *) slots;
    ExprList live;
    VEC(SumKind) kinds;
    Expr *map; /* by old number */
} Share;

static void
take_slot(void *context, Expr *slot)
{
    Share *share = context;
    if (*slot != 0)
        vec_push(share->scratch, &share->slots, slot);
}

static void
collect_live(Share *share)
{
    share->live.count = 0;
    rxn__expr_collect_begin(share->network);
    for (u32 i = 0; i < share->slots.count; i++)
        rxn__expr_collect(share->network, *share->slots.items[i], share->scratch, &share->live);
}

/* ---- Equal sums ------------------------------------------------------------------------------ */

static u32
find_kind(const Share *share, const Variable *variable, u32 height)
{
    for (u32 i = 0; i < share->kinds.count; i++) {
        const SumKind *kind = &share->kinds.items[i];
        if (kind->low == variable->low && kind->high == variable->high && kind->height == height)
            return i;
    }
    return UINT32_MAX;
}

/* How many sums nest in each live node; fills the kinds with the first variable of each. Returns
 * whether every kind has one variable, no variable two kinds, and none of them belongs to a
 * declaration. */
static bool
find_kinds(Share *share, u32 *heights, const bool *declared)
{
    Network *network = share->network;
    u32 *kind_of_variable = NEW_ARRAY(share->scratch, u32, network->variables.count + 1);
    bool canonical = true;
    for (u32 i = 0; i < share->live.count; i++) {
        Expr expr = share->live.items[i];
        const ExprNode *node = expr_node(network, expr);
        u32 height = 0;
        for (u32 k = 0; k < node->arg_count; k++)
            height = heights[node->args[k]] > height ? heights[node->args[k]] : height;
        if (expr_is_over((ExprOp)node->op)) {
            const Variable *variable = &network->variables.items[node->object];
            u32 kind = find_kind(share, variable, ++height);
            if (kind == UINT32_MAX) {
                kind = share->kinds.count;
                vec_push(share->scratch, &share->kinds,
                         ((SumKind){variable->low, variable->high, height, node->object}));
            }
            u32 *known = &kind_of_variable[node->object];
            canonical &= !declared[node->object] &&
                         share->kinds.items[kind].variable == node->object &&
                         (*known == 0 || *known == kind + 1);
            *known = kind + 1;
        }
        heights[expr] = height;
    }
    return canonical;
}

/* Gives every sum the fresh variable of its kind; returns the new node for each old one in
 * share->map. */
static void
rename_sums(Share *share, const u32 *heights)
{
    Network *network = share->network;
    for (u32 i = 0; i < share->kinds.count; i++) {
        SumKind *kind = &share->kinds.items[i];
        Name name = network->variables.items[kind->variable].name;
        kind->variable = rxn__network_add_variable(network, name, kind->low, kind->high);
    }
    for (u32 i = 0; i < share->live.count; i++) {
        Expr expr = share->live.items[i];
        const ExprNode node = *expr_node(network, expr);
        Expr args[RXN_MAX_RANK] = {0};
        for (u32 k = 0; k < node.arg_count; k++)
            args[k] = share->map[node.args[k]];
        if (expr_is_over((ExprOp)node.op)) {
            const Variable *old = &network->variables.items[node.object];
            u32 fresh = share->kinds.items[find_kind(share, old, heights[expr])].variable;
            Expr replacement = rxn__expr_object(network, EXPR_VARIABLE, fresh, 0, NULL);
            Expr body = rxn__expr_substitute(network, args[0], 1, &node.object, &replacement);
            share->map[expr] = rxn__expr_object(network, (ExprOp)node.op, fresh, 1, &body);
        } else {
            share->map[expr] = rxn__expr_like(network, &node, args);
        }
    }
    for (u32 i = 0; i < share->slots.count; i++)
        *share->slots.items[i] = share->map[*share->slots.items[i]];
}

/* ---- Variables and nodes in canonical order -------------------------------------------------- */

typedef void VisitVariable(void *context, u32 *variable);

static void
each_declared_variable(Network *network, VisitVariable *visit, void *context)
{
    for (u32 i = 0; i < network->params.count; i++)
        for (u32 k = 0; k < network->params.items[i].shape.rank; k++)
            visit(context, &network->params.items[i].variables[k]);
    for (u32 i = 0; i < network->species.count; i++)
        for (u32 k = 0; k < network->species.items[i].shape.rank; k++)
            visit(context, &network->species.items[i].variables[k]);
    for (u32 i = 0; i < network->hoisted.count; i++)
        for (u32 k = 0; k < network->hoisted.items[i].shape.rank; k++)
            visit(context, &network->hoisted.items[i].variables[k]);
    for (u32 i = 0; i < network->reactions.count; i++)
        for (u32 k = 0; k < network->reactions.items[i].variable_count; k++)
            visit(context, &network->reactions.items[i].variables[k]);
    for (u32 i = 0; i < network->observables.count; i++)
        for (u32 k = 0; k < network->observables.items[i].shape.rank; k++)
            visit(context, &network->observables.items[i].variables[k]);
}

static void
mark_declared(void *context, u32 *variable)
{
    bool *declared = context;
    declared[*variable] = true;
}

typedef struct Numbering {
    u32 *new_number; /* by old number, plus 1; 0: not used so far */
    u32 *old_number; /* by new number */
    u32 count;
} Numbering;

static void
number_variable(void *context, u32 *variable)
{
    Numbering *numbering = context;
    if (numbering->new_number[*variable] != 0)
        return;
    numbering->old_number[numbering->count] = *variable;
    numbering->new_number[*variable] = ++numbering->count;
}

static void
renumber_variable(void *context, u32 *variable)
{
    const Numbering *numbering = context;
    *variable = numbering->new_number[*variable] - 1;
}

static Numbering
number_variables(Share *share)
{
    Network *network = share->network;
    Numbering numbering = {.count = 0};
    numbering.new_number = NEW_ARRAY(share->scratch, u32, network->variables.count + 1);
    numbering.old_number = NEW_ARRAY(share->scratch, u32, network->variables.count + 1);
    each_declared_variable(network, number_variable, &numbering);
    for (u32 i = 0; i < share->live.count; i++) {
        const ExprNode *node = expr_node(network, share->live.items[i]);
        u32 variable = node->object;
        if (node->op == EXPR_VARIABLE || expr_is_over((ExprOp)node->op))
            number_variable(&numbering, &variable);
    }
    return numbering;
}

static bool
is_canonical(const Share *share, const Numbering *numbering)
{
    const Network *network = share->network;
    if (share->live.count + 1 != network->exprs.count ||
        numbering->count != network->variables.count)
        return false;
    for (u32 i = 0; i < share->live.count; i++)
        if (share->live.items[i] != i + 1)
            return false;
    for (u32 i = 0; i < numbering->count; i++)
        if (numbering->old_number[i] != i)
            return false;
    return true;
}

static void
rebuild(Share *share, const Numbering *numbering)
{
    Network *network = share->network;
    Variable *variables = NEW_ARRAY(network->arena, Variable, numbering->count + 1);
    for (u32 i = 0; i < numbering->count; i++)
        variables[i] = network->variables.items[numbering->old_number[i]];
    network->variables.items = variables;
    network->variables.count = numbering->count;
    network->variables.capacity = numbering->count + 1;
    network->tables->spares.count = 0;
    each_declared_variable(network, renumber_variable, (void *)(uintptr_t)numbering);

    const ExprNode *old = network->exprs.items;
    memset(&network->exprs, 0, sizeof network->exprs);
    network->expr_slots = NULL;
    network->expr_slot_count = 0;
    vec_push(network->arena, &network->exprs, ((ExprNode){0}));
    for (u32 i = 0; i < share->live.count; i++) {
        Expr expr = share->live.items[i];
        ExprNode node = old[expr];
        if (node.op == EXPR_VARIABLE || expr_is_over((ExprOp)node.op))
            node.object = numbering->new_number[node.object] - 1;
        for (u32 k = 0; k < node.arg_count; k++)
            node.args[k] = share->map[node.args[k]];
        share->map[expr] = rxn__expr_intern(network, &node);
    }
    for (u32 i = 0; i < share->slots.count; i++)
        *share->slots.items[i] = share->map[*share->slots.items[i]];
}

bool
rxn__network_share(Network *network)
{
    Share share = {.network = network, .scratch = &network->tables->scratch};
    rxn__network_each_expr(network, take_slot, &share);
    collect_live(&share);

    u32 *heights = NEW_ARRAY(share.scratch, u32, network->exprs.count);
    bool *declared = NEW_ARRAY(share.scratch, bool, network->variables.count + 1);
    each_declared_variable(network, mark_declared, declared);
    bool changed = false;
    if (!find_kinds(&share, heights, declared)) {
        share.map = NEW_ARRAY(share.scratch, Expr, network->exprs.count);
        rename_sums(&share, heights);
        collect_live(&share);
        changed = true;
    }

    Numbering numbering = number_variables(&share);
    if (!is_canonical(&share, &numbering)) {
        share.map = NEW_ARRAY(share.scratch, Expr, network->exprs.count);
        rebuild(&share, &numbering);
        changed = true;
    }
    rxn__arena_release(share.scratch);
    return changed;
}
