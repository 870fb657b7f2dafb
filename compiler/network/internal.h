/* internal.h: what the files of this room share with each other and with nobody else. */
#ifndef RXN_NETWORK_INTERNAL_H
#define RXN_NETWORK_INTERNAL_H

#include "compiler/network/network.h"

/* Bits of ExprNode.uses. */
enum {
    USES_SPECIES = 1,
    USES_PARAMS = 2,
    USES_INPUTS = 4,
    USES_HOISTED = 8,
    USES_TIME = 16,
    USES_TIME_LOW_HIGH = 32,
    USES_TIME_MIDDLE = 64,
    USES_SUMS = 128,
    USES_QUANTITY = 256,
};
enum { USES_WINDOW = USES_TIME_LOW_HIGH | USES_TIME_MIDDLE };

/* An interned sorted set of variable numbers; set 0 is the empty one. Networks have few different
 * ones, so every node can afford to know its free variables, and no pass has to look for them. */
typedef struct VariableSet {
    u32 count, hash;
    const u32 *items;
} VariableSet;

struct ExprTables {
    VEC(VariableSet) sets;
    u32 *set_slots;
    u32 set_slot_count;
    u32 *set_buffer;
    u32 set_buffer_capacity;

    /* A pass's temporaries: released when the pass ends, and with the network at the latest. */
    Arena scratch;

    /* Likewise, of one call for derivatives; and its variables of sums that it had to rename, and the
     * places of nodes in its list. */
    Arena derive;
    VEC(u32) spares;
    u32 *places, place_capacity;

    /* Marks of a walk: marks[e] == mark_round says that e was seen in this round. */
    u32 *marks, mark_capacity, mark_round;

    /* The stack of walks, substitutions and evaluations; a nested one works above its caller's
     * part. */
    u32 *stack, stack_count, stack_capacity;

    /* Results of substitution, valid where map_round agrees; and of evaluation likewise. */
    Expr *map;
    u32 *map_rounds, map_capacity, map_round;
    double *values;
    u64 *value_rounds, value_round;
    u32 value_capacity;
    u64 *binding_rounds; /* per variable: when its value was last set */
    i64 *bindings;
    u32 binding_capacity;
};

/* The node for this key, made if there is none. Reads op, object, number and args of the key only.
 * */
Expr rxn__expr_intern(Network *network, const ExprNode *key);

/* The exact simplification of op(args), or 0 where there is none (fold.c). */
Expr rxn__expr_fold(Network *network, ExprOp op, const Expr *args);

bool rxn__expr_is_number(const Network *network, Expr expr, double *ret_value);

static inline bool
expr_is_free_of(const Network *network, Expr expr, u32 variable)
{
    u32 count = 0;
    const u32 *items = rxn__expr_free_variables(network, expr, &count);
    for (u32 i = 0; i < count; i++)
        if (items[i] == variable)
            return false;
    return true;
}

static inline bool
expr_is_reference(ExprOp op)
{
    return op == EXPR_SPECIES || op == EXPR_PARAM || op == EXPR_INPUT || op == EXPR_HOISTED;
}

static inline bool
expr_is_comparison(ExprOp op)
{
    return op == EXPR_LT || op == EXPR_LE || op == EXPR_EQ || op == EXPR_NE;
}

static inline bool
expr_is_over(ExprOp op)
{
    return op == EXPR_SUM || op == EXPR_PROD;
}

/* As rxn__expr, for a node of any op: object and number are taken from `like`. */
Expr rxn__expr_like(Network *network, const ExprNode *like, const Expr *args);

/* The distinct nodes below and including the roots that were not seen since
 * rxn__expr_collect_begin, arguments first; appended to the list. */
typedef VEC(Expr) ExprList;

void rxn__expr_collect_begin(Network *network);

void rxn__expr_collect(Network *network, Expr root, Arena *arena, ExprList *list);

/* Rebuilds an expression bottom-up. `rule` sees each distinct node before its arguments are looked
 * at: what it returns replaces the node; 0 means: rebuild from the rewritten arguments. One
 * ExprRewrite can serve many roots and does shared work once. */
typedef struct ExprRewrite {
    Network *network;
    Arena *scratch;
    Expr (*rule)(void *context, Expr expr);
    void *context;
    Expr *map; /* by old number; 0: not yet */
    u32 capacity;
    VEC(Expr) stack;
} ExprRewrite;

Expr rxn__expr_rewrite(ExprRewrite *rewrite, Expr root);

/* Every place of the network that holds an expression, in the order of the text form. */
typedef void ExprVisitSlot(void *context, Expr *slot);

void rxn__network_each_expr(Network *network, ExprVisitSlot *visit, void *context);

/* The places of one reaction. */
void rxn__reaction_each_expr(Reaction *reaction, ExprVisitSlot *visit, void *context);

/* What is known of a value for every state, every parameter value within its bounds, and time >= 0:
 * it lies in low … high (range.c). Conservative: rounding is not part of it, NaN neither. */
typedef struct Range {
    double low, high;
} Range;

typedef struct RangeTable {
    Network *network;
    Arena *scratch;
    Range *ranges;
    bool *known;
    u32 capacity;
} RangeTable;

Range rxn__expr_range(RangeTable *table, Expr expr);

/* The degree in the leaves whose bit of `uses` is `in` (species, quantities): 0 free of them, 1 affine,
 * 2 anything else; by structure, from the degrees of the arguments (classify.c). */
u8 rxn__node_degree(const Network *network, const u8 *degrees, Expr expr, u16 in);

/* root = constant + Σ coefficient · node, as far as it is made of sums and of multiples by what is free
 * of QUANTITY leaves (objective.c). Terms are not taken apart further where `stops` says so. The terms
 * come from the last to the first; each node once. */
typedef struct LinearTerm {
    Expr node, coefficient;
} LinearTerm;

typedef struct LinearForm {
    VEC(LinearTerm) terms;
    Expr constant;
} LinearForm;

void rxn__expr_linear_form(Network *network, Expr root, bool (*stops)(void *context, Expr expr),
                           void *context, Arena *arena, LinearForm *ret_form);

/* An array of old_capacity items grown to new_capacity, with zeros. */
#define GROW_ZEROED(arena, items, old_capacity, new_capacity)                                      \
    ((items) = rxn__arena_grow((arena), (items), (size_t)(old_capacity) * sizeof *(items),         \
                               (size_t)(new_capacity) * sizeof *(items)))

/* Pushes on tables->stack. */
void rxn__tables_push(Network *network, u32 item);

/* Tables are this room's own memory: also where the network itself is promised to stay as it is. */
static inline Network *
network_for_tables(const Network *network)
{
    return (Network *)(uintptr_t)network;
}

/* Makes the evaluation and mark memory cover all nodes and variables that there are now. */
void rxn__tables_cover(Network *network);

#endif
