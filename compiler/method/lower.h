/* lower.h: from expressions of the network to values of the kernel; shared by all methods.
 *
 * A Lowering knows where the kernel keeps what an expression reads: the counts (one scalar local per
 * species, or one array), the parameters, the inputs, the time. Each expression node is lowered once
 * per session; a session ends (lower_forget) when the state changes.
 */
#ifndef RXN_METHOD_LOWER_H
#define RXN_METHOD_LOWER_H

#include "compiler/base/base.h"
#include "compiler/kir/kir.h"
#include "compiler/network/network.h"

typedef struct LowerMemo {
    u32 session;
    KirValue value;
} LowerMemo;

typedef struct Lowering {
    KirBuilder *builder;
    Network *network;
    Arena *arena;
    KirType real;

    u32 parameter_buffer, input_buffer;
    u32 *
        input_local; /* where every trajectory has its own: f64 locals, per Input; NULL: input_buffer */
    u32 *species_local; /* one scalar local per flat species; NULL: they are in species_array */
    u32 species_array;  /* array local of `real` */
    u32 *hoisted_local; /* array local per Hoisted: uniform, or of the trajectory's own inputs */
    KirValue time, time_low, time_high,
        time_middle; /* f64; 0 where an expression must not use it */

    KirValue *variable_value; /* i32, per variable number; 0: not bound */
    u32 variable_capacity;

    KirValue (*kept_sum)(
        void *context, Expr sum); /* the value of a SUM that the method keeps; 0: it is added up */
    void *kept_context;

    KirValue (*quantity)(void *context, u32 number); /* the f64 value of a QUANTITY */
    void *quantity_context;

    LowerMemo *memo[2]; /* [0] in `real`, [1] in f64 */
    u32 memo_capacity;
    u32 session;
    VEC(u32) journal; /* memo entries in order of making, expr << 1 | which */
    bool launching;   /* in the launch region: accumulators are uniform locals */
    bool
        fuses; /* long sums of products are made by fma: those that are hoisted, wherever that is done */
} Lowering;

/* Sums and products over up to this many terms become straight code; longer ones a `for`. */
enum { RXN_UNROLL_SUM = 16 };

void rxn__lower_init(Lowering *lowering, KirBuilder *builder, Network *network, Arena *arena,
                     KirType real);

/* Forgets all values: the state or the time changed, or the block that they stand in was closed. */
void rxn__lower_forget(Lowering *lowering);

/* Around a block, whose values are not visible behind it: forgets those that were made since the mark. */
u32 rxn__lower_mark(const Lowering *lowering);
void rxn__lower_forget_since(Lowering *lowering, u32 mark);

/* The value of an expression, in `real` (or bool). */
KirValue rxn__lower(Lowering *lowering, Expr expr);

/* In a type of choice: f64 for times and for what is computed once. */
KirValue rxn__lower_as(Lowering *lowering, Expr expr, KirType type);

/* total + term; what a sum does for each of its terms. */
KirValue rxn__lower_term(Lowering *lowering, KirValue total, Expr term, KirType type);

/* Binds a variable to an i32 value; 0 unbinds. */
void rxn__lower_bind(Lowering *lowering, u32 variable, KirValue value);

/* The i32 value of an affine index expression. */
KirValue rxn__lower_index(Lowering *lowering, Expr index);

/* The i32 flat number of a reference: first + Σ index * stride. */
KirValue rxn__lower_flat(Lowering *lowering, const Shape *shape, u32 first, const Expr *indices);

/* Mass action: rate · Π falling(x, n) / n!, with the constants gathered so that they hoist. */
KirValue rxn__lower_propensity(Lowering *lowering, const Reaction *reaction, Expr propensity,
                               Expr rate);

/* count of a species by flat number, as an i32 value. */
KirValue rxn__lower_species(Lowering *lowering, KirValue flat);

double rxn__factorial(u32 n);

#endif
