/* derive.h: what the files of the derivatives share: a sweep over an expression from its root to its
 * leaves, and products in the making.
 */
#ifndef RXN_NETWORK_DERIVE_H
#define RXN_NETWORK_DERIVE_H

#include "compiler/network/internal.h"

/* number · fixed / fixed_over · moving / over[0] / over[1]. What is the same for every state, time and
 * variable is kept apart (`fixed`), so that a kernel computes it once; and what divides is kept as a
 * division, so that terms with one denominator can be added before they are divided. An Expr that is 0
 * stands for 1; over[1] is 0 where over[0] is. */
typedef struct Product {
    double number; /* 0: the product is nothing */
    Expr fixed, fixed_over;
    Expr moving, over[2];
} Product;

/* What reaches a node from one that uses it: the derivative of the root by this use. It counts where
 * `guard` holds only (0: everywhere): behind an `if` that takes its other side, a factor that comes
 * later may be infinite, and 0 * infinity is not 0. */
typedef struct Flow {
    Product product;
    Expr guard;
    u32 free_set; /* of the node that it comes from: over which variables it is to be summed */
    struct Flow *next;
} Flow;

typedef struct Flows {
    Flow *first, *last;
} Flows;

/* One sweep. */
typedef struct Derivation {
    Network *network;
    Arena *arena; /* for what the sweep needs itself */
    u16 wanted;   /* USES_… of the leaves that are looked for */
    ExprList live;
    /* by place in `live`: */
    Flows *flows;
    bool *steep; /* its value or its slope may be infinite at a state where the root is finite */
    u32 root_free_set;

    /* of the node whose rule is being applied: */
    Expr self;
    Product product;
    Expr guard;
} Derivation;

/* Appends the entries of all leaves that use what is `wanted` to `out`, which is kept in `arena`. */
void rxn__derive_sweep(Network *network, Expr expr, u16 wanted, Arena *scratch, Arena *arena,
                       LeafDerivatives *out);

/* a and b; 0 stands for true. */
Expr rxn__expr_both(Network *network, Expr a, Expr b);

/* Greater than zero in every state (derive_sign.c); false where that is not known. */
bool rxn__expr_is_positive(const Network *network, Expr expr);

/* ---- Products (derive_product.c) ------------------------------------------------------------- */

static inline Product
product_one(void)
{
    return (Product){.number = 1};
}

Product rxn__product_times(Network *network, Product product, Expr factor);

Product rxn__product_over(Network *network, Product product, Expr divisor);

Product rxn__product_add(Network *network, Product a, Product b);

Expr rxn__product_expr(Network *network, Product product);

/* The product where the guard holds, 0 elsewhere. */
Product rxn__product_mask(Network *network, Product product, Expr guard);

/* The sum over all values of a variable; factors without it come out of the sum. */
Product rxn__product_sum(Network *network, Product product, u32 variable, Arena *scratch);

/* ---- Binders ---------------------------------------------------------------------------------
 *
 * An expression in the making may have a sum inside a sum over the same variable, or stand below a loop
 * over it. Its inner sums then get another variable: kernels keep one value per variable. */

/* `expr` with other variables for those of its sums that are among `taken` or nest in each other. */
Expr rxn__expr_apart(Network *network, Expr expr, u32 taken_count, const u32 *taken,
                     Arena *scratch);

/* A variable of this range, of the tables' own ones, that the list does not have. */
u32 rxn__spare_variable(Network *network, u32 like, u32 taken_count, const u32 *taken);

/* ---- Rules (derive_rules.c) ------------------------------------------------------------------ */

/* Passes derivation->product on to the arguments of derivation->self. */
void rxn__derive_node(Derivation *derivation);

bool rxn__expr_is_leaf(ExprOp op);

/* Whether the node itself is steep; its arguments may make it so, too. */
bool rxn__derive_is_steep(const Derivation *derivation, const ExprNode *node);

/* The place in `live`; false where the node is not there. */
bool rxn__derive_place(const Derivation *derivation, Expr expr, u32 *ret_place);

/* Adds to what reaches an argument of `self`. `free_set`: see Flow; `guard`: beside that of `self`. */
void rxn__derive_flow(Derivation *derivation, Expr to, Product product, Expr guard, u32 free_set);

#endif
