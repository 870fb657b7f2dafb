/* ssa_direct.c: the direct method (Gillespie 1977, J. Phys. Chem. 81, 2340): draw the waiting time from
 * the sum of the propensities, then the reaction in proportion to its own. Two forms of one algorithm:
 * unrolled in registers for small networks, over tables for the others.
 */
#include "compiler/method/ssa.h"

/* Where the table form overtakes the unrolled one, in vector instructions of a step: measured by
 * tests/bench/forms, judged by tests/bench/choice; the table is in docs/benchmarks.md. Mass-action networks
 * cross at some 130 reactions, a cost of about 1,200; rings of Hill laws at 24, a cost of about 600. Straight code
 * also takes longer to compile. */
enum { UNROLL_COST = 900, UNROLL_SPECIES = 100 };

/* What a reaction costs beside its propensity: running sum, comparison, changes of counts. */
enum { REACTION_COST = 8 };

/* The table form's own limits: indices are i32, and the working set of a lane should stay sane. */
enum { TABLE_REACTIONS = 1000000, TABLE_SPECIES = 1000000 };

typedef struct Cost {
    const Network *network;
    u64 work;    /* of one evaluation, sums once */
    u64 longest; /* terms of the longest sum */
} Cost;

/* Throughput of the operation against that of an addition, on current x86 vector units; elementary functions
 * by their number of operations. */
static u32
op_cost(ExprOp op)
{
    switch (op) {
    case EXPR_DIV:
    case EXPR_SQRT: return 16;
    case EXPR_EXP:
    case EXPR_LOG:
    case EXPR_SIN:
    case EXPR_COS: return 30;
    case EXPR_LOG1P:
    case EXPR_EXPM1:
    case EXPR_TAN:
    case EXPR_TANH:
    case EXPR_SIGMOID:
    case EXPR_SOFTPLUS: return 60;
    case EXPR_POW: return 120;
    default: return rxn__expr_ops[op].arity > 0; /* leaves are registers */
    }
}

/* A 1 of the text that is left open (sema/open_numbers.c): as a number it would not be there, and the form is to be the same. */
static bool
is_open_one(const Network *network, Expr expr)
{
    const ExprNode *node = expr_node(network, expr);
    if (node->op != EXPR_PARAM || node->object < network_declared_params(network))
        return false;
    node = expr_node(network, network->params.items[node->object].initial);
    return node->op == EXPR_NUMBER && node->number == 1;
}

static void
visit_cost(void *context, Expr expr)
{
    Cost *cost = context;
    const ExprNode *node = expr_node(cost->network, expr);
    bool whole_power =
        node->op == EXPR_POW && expr_node(cost->network, node->args[1])->op == EXPR_NUMBER;
    bool nothing = node->op == EXPR_MUL && (is_open_one(cost->network, node->args[0]) ||
                                            is_open_one(cost->network, node->args[1]));
    cost->work += whole_power ? 4 : nothing ? 0 : op_cost((ExprOp)node->op);
    if (node->op != EXPR_SUM && node->op != EXPR_PROD)
        return;
    Variable v = cost->network->variables.items[node->object];
    u64 terms = v.high < v.low ? 0 : (u64)(v.high - v.low) + 1;
    if (terms > cost->longest)
        cost->longest = terms;
}

/* The operations of an unrolled step's reactions, by estimate; the terms of the longest sum, which it writes out. */
static u64
step_cost(const Network *network, u64 *ret_longest)
{
    Cost cost = {network, 0, 0};
    for (u32 k = 0; k < network->observables.count; k++)
        rxn__expr_walk(network, network->observables.items[k].value, network->arena, visit_cost,
                       &cost);
    u64 total = 0, longest = cost.longest;
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        cost.work = cost.longest = 0;
        rxn__expr_walk(network, reaction->propensity, network->arena, visit_cost, &cost);
        total += reaction->count * (REACTION_COST + cost.work * (cost.longest + !cost.longest));
        longest = cost.longest > longest ? cost.longest : longest;
    }
    *ret_longest = longest;
    return total;
}

/* Small enough for registers, sums over species included. */
bool
rxn__ssa_is_small(const Network *network)
{
    u64 longest;
    return network->species_count <= UNROLL_SPECIES && network->reaction_count <= UNROLL_COST &&
           step_cost(network, &longest) <= UNROLL_COST && longest <= UNROLL_SPECIES;
}

bool
rxn__ssa_table_applies(const Network *network, Text *ret_reason)
{
    if (network->reaction_count > TABLE_REACTIONS || network->species_count > TABLE_SPECIES) {
        rxn__text_printf(ret_reason,
                         "tables of propensities are for up to %u reactions and %u species; "
                         "this network has %u and %u",
                         TABLE_REACTIONS, TABLE_SPECIES, network->reaction_count,
                         network->species_count);
        return false;
    }
    if (network->traits.dependency_edges > RXN_MAX_TABLE_EDGES) {
        rxn__text_printf(ret_reason,
                         "its dependency graph has %llu edges, more than the %u that tables of "
                         "propensities are for",
                         (unsigned long long)network->traits.dependency_edges, RXN_MAX_TABLE_EDGES);
        return false;
    }
    return true;
}

static const char *
write_kernel(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
             MethodKernel *ret_kernel)
{
    bool small = rxn__ssa_is_small(network);
    const char *broken = small ? rxn__ssa_write_unrolled(network, options, arena, names, ret_kernel)
                               : rxn__ssa_write_table(network, options, arena, names, ret_kernel);
    if (broken != NULL)
        return broken;
    u64 longest, cost = step_cost(network, &longest);
    Text form;
    rxn__text_init(&form, arena);
    rxn__text_printf(&form, "%s; its reactions %s %llu operations a step, by estimate",
                     ret_kernel->form, small ? "take" : "would take", (unsigned long long)cost);
    if (!small)
        rxn__text_printf(&form, ", of at most %u", UNROLL_COST);
    ret_kernel->form = form.data;
    return NULL;
}

const Method rxn__method_ssa_direct = {
    .name = "direct",
    .summary = "exact, one event at a time (Gillespie's direct method)",
    .applies = rxn__ssa_table_applies,
    .write = write_kernel,
};

/* The two forms by name, whatever the size: to compare them. */
const Method rxn__method_ssa_unrolled = {
    .name = "direct-unrolled",
    .summary = "the direct method, every propensity at every step, in registers",
    .applies = rxn__ssa_unrolled_applies,
    .write = rxn__ssa_write_unrolled,
};

const Method rxn__method_ssa_table = {
    .name = "direct-table",
    .summary = "the direct method over tables, propensities refreshed where they changed",
    .applies = rxn__ssa_table_applies,
    .write = rxn__ssa_write_table,
};

static const char *
write_table_full(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
                 MethodKernel *ret_kernel)
{
    MethodOptions full = *options;
    full.full_sums = true;
    return rxn__ssa_write_table(network, &full, arena, names, ret_kernel);
}

const Method rxn__method_ssa_table_full = {
    .name = "direct-table-full",
    .summary = "the direct method over tables, every sum of a law added up whenever it is read",
    .applies = rxn__ssa_table_applies,
    .write = write_table_full,
};
