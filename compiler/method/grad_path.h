/* grad_path.h: inside of the pathwise adjoint. grad_path.c is the estimator, and says what is computed; grad_path_basis.c finds
 * coordinates and derivatives; grad_path_flow.c goes back over one wait, grad_path_parts.c over the few that are hard;
 * grad_path_carry.c has what is carried from wait to wait, and grad_path_vector.c the vectors that all of them compute with.
 */
#ifndef RXN_METHOD_GRAD_PATH_H
#define RXN_METHOD_GRAD_PATH_H

#include "compiler/method/grad_tape.h"

/* Adjoints are carried as this multiple of what they are, a power of two that changes no digit: |h|² is in f32, and there
 * h may then be from 1e-26 to 1e10. */
#define PATH_LIFT 0x1p26

/* The size near which h is carried in f32. */
#define PATH_UNIT 0x1p52

/* One reaction changes what the estimator sees of the state, and how. */
typedef struct PathReaction {
    Expr propensity;
    u32 count; /* coordinates that it changes */
    u32 *coordinate;
    i32 *delta;
    u32 worth; /* its worth ν_j · h is that of the distinct change vector `worth`, times `sign` */
    i32 sign;
} PathReaction;

/* A source of which a sum is kept in f32: a polynomial of counts, times a constant. */
typedef struct PathSum {
    u32 leaf;
    Expr source;
} PathSum;
#define NO_SUM UINT32_MAX

typedef struct Path {
    Tape *tape;
    const GradientRequest *request;
    GradientRow row;

    u32 coordinates;
    u32 *species;  /* of each coordinate */
    double *basis; /* [coordinate * species_count + species] */
    PathReaction *reactions;
    u32 worths;      /* change vectors that differ by more than their sign */
    u32 *worth_of;   /* of each: a reaction that has it */
    i32 *worth_sign; /* and its sign there */
    Expr *along;     /* v_c · ∇a_j: [reaction * coordinates + c]; 0: zero */
    Expr *slope;     /* M: [c * coordinates + d]; 0: zero */
    Expr *source;    /* da_j/dp: [reaction * leaves + leaf]; 0: zero */
    u32 *sum_of;     /* of each source: its sum, or NO_SUM */
    PathSum *sums;
    u32 sum_count;
    Expr *kept; /* v_c · ∇ of what the recorder keeps: [column * coordinates + c]; 0: zero */

    u32 adjoint;  /* f64[sets * coordinates] locals, one each: h, PATH_LIFT times */
    u32 force;    /* f64[sets * integrals]: weight of each integrand in force, PATH_LIFT times */
    u32 gradient; /* f64[sets * leaves], PATH_LIFT times */
    u32 recent; /* f32[sets * sum_count]: what has yet to join it, 1/constant times, in units of back * PATH_UNIT */
    u32 high,
        low; /* f32[sets * coordinates]: h as it is carried, their sum, `scale` times the adjoint */
    u32 largest;        /* f32: |h|², in steps that f32 holds, PATH_LIFT² times */
    u32 largest_double; /* f64: |h|, in others, PATH_LIFT times */
    u32 scale,
        back; /* f32[sets]: a power of two by which h has a size that suits f32, and 1/scale; or 0 */
    u32 at;   /* f64: where in the step the adjoint stands */
    u32 tail;    /* f32 per coordinate: φ₂(S) f */
    u32 settled; /* bool: the series has converged */
    u32 line[3]; /* f64, with one coordinate: e^S, φ₁(S), φ₂(S) */
    u32 cut_adjoint, cut_area, cut_term, cut_sum, cut_left; /* of a wait in parts */
} Path;

/* What the fast way over a wait needs of the state, whatever the set; 0: zero. */
typedef struct PathWait {
    KirValue length;         /* t: f64 */
    KirValue turn;           /* bool: what is carried is to be set anew behind it */
    KirValue length_single;  /* f32, as all up to phi */
    KirValue *matrix;        /* S = t M: [c * coordinates + d] */
    KirValue *shifted;       /* S_cc + σ */
    KirValue sigma, inverse; /* the node's; 1/σ */
    KirValue *flow;          /* S h is Σ flow · worths: [c * worths + worth]; 0: zero */
    KirValue *phi;           /* φ_n(-σ), from n = 3 on */
    KirValue line;           /* with one coordinate: S, f64; and nothing of the f32 */
    KirValue *force;         /* with one coordinate: f64: v_c · ∇ of each integrand */
} PathWait;

/* grad_path_basis.c: finds the coordinates; and all derivatives in them but those of what is observed. */
void rxn__path_coordinates(Path *path, Arena *arena, Network *network);
void rxn__path_differentiate(Path *path, Arena *arena, Network *network);

/* Whether all that the fast way over a wait wants of the counts is polynomials of them. */
bool rxn__path_is_polynomial(const Path *path, const Network *network);

/* v_c · ∇ of an expression of the state, for all coordinates; 0: zero. */
void rxn__path_along_basis(Path *path, Network *network, Expr value, Expr *ret_slopes);

/* The derivative, 0 where it is zero. */
Expr rxn__path_derivative(Network *network, Expr value, ExprOp op, u32 flat);

/* ---- grad_path_flow.c -------------------------------------------------------------------------- */

/* The locals that a wait works with. */
void rxn__path_declare_flow(Path *path);

/* What the wait of a step needs, from path->at on, whatever the set. */
void rxn__path_wait(Path *path, const TapeStep *step, PathWait *ret_wait);

/* Goes back over the wait with one set: its adjoints, and the share of the wait in its gradient. */
void rxn__path_cross(Path *path, const PathWait *wait, u32 set);

/* ---- grad_path_parts.c ------------------------------------------------------------------------- */

/* Goes back over a wait with one set, at rest, whatever its length and size, slowly. Called in a block that few steps enter. */
void rxn__path_cross_in_parts(Path *path, KirValue length, u32 set);

/* ---- grad_path_carry.c ------------------------------------------------------------------------- */

/* Between waits h is carried in f32 (high, low, recent): rxn__path_carry sets that from the adjoints, at rest, and
 * chooses the scale; rxn__path_rest sets the adjoints, and the gradient, from that. Whatever changes adjoints stands between
 * the two; and both are done every PATH_SIZING steps of the trajectory (the flow does not change h by orders of magnitude within
 * so few). What has never been carried is at rest. With one coordinate they do nothing: h is then always at rest. */
enum { PATH_SIZING = 16 };
void rxn__path_carry(Path *path, u32 set);
void rxn__path_rest(Path *path, u32 set);

/* h as it is carried changes. And ν_j · h as it is carried, of each distinct change vector. */
void rxn__path_move(Path *path, const KirValue *change, u32 set);
void rxn__path_find_carried(Path *path, u32 set, KirValue *ret);

/* A set's gradient gains by the areas under ν_j · h, at rest: by sources that have no sum of their own, or by all; and by those
 * over a wait, given the means as they are carried. */
void rxn__path_add_gradient(Path *path, bool all, const KirValue *area, u32 set);
void rxn__path_add_wait(Path *path, const PathWait *wait, const KirValue *mean, u32 set);

/* sum + expr * factor, or minus it, f32; sum 0: zero. And factor * constant, which is f64 and the same throughout. */
KirValue rxn__path_plus_times(Path *path, KirValue sum, Expr expr, KirValue factor, bool minus);
KirValue rxn__path_times_constant(Path *path, KirValue constant, KirValue factor);

/* ---- grad_path_vector.c: an element that is 0 is zero, and so is a sum --------------------------- */

/* The values of expressions in the present state, f64. */
KirValue *rxn__path_lower_all(Path *path, const Expr *exprs, size_t count);

KirValue rxn__path_plus_product(Path *path, KirValue sum, KirValue x, KirValue y);
KirValue rxn__path_plus_scaled(Path *path, KirType type, KirValue sum, i32 factor, KirValue value);
KirValue rxn__path_add_squares(Path *path, KirValue sum, const KirValue *vector);
KirValue rxn__path_size_of(Path *path, const KirValue *vector); /* the greatest absolute value */
KirValue rxn__path_extreme_of(Path *path, KirOp op, KirValue *values, u32 count);

/* ret = matrix · vector, with another diagonal where there is one. */
void rxn__path_apply(Path *path, const KirValue *matrix, const KirValue *diagonal,
                     const KirValue *vector, KirValue *ret);

/* start + ν · vector, of each distinct change vector. */
void rxn__path_find_worths(Path *path, KirType type, const KirValue *start, const KirValue *vector,
                           KirValue *ret);

/* Σ weight v_c · ∇g over the integrands in force, of a set. */
void rxn__path_find_forces(Path *path, const KirValue *slopes, u32 set, KirValue *ret);

static inline KirValue
path_f64(Path *path, double value)
{
    return rxn__kir_const(path->tape->frame->builder, KIR_F64, value);
}

static inline KirValue
path_f32(Path *path, double value)
{
    return rxn__kir_const(path->tape->frame->builder, KIR_F32, value);
}

static inline KirValue *
path_vector(Path *path)
{
    return NEW_ARRAY(path->tape->frame->arena, KirValue, path->coordinates + 1);
}

/* Locals of the path. */
static inline KirValue
path_element(Path *path, u32 number)
{
    return rxn__kir_const(path->tape->frame->builder, KIR_I32, number);
}

static inline KirValue
path_get(Path *path, u32 local, u32 number)
{
    return rxn__kir_get(path->tape->frame->builder, local, path_element(path, number));
}

static inline void
path_set(Path *path, u32 local, u32 number, KirValue value)
{
    rxn__kir_set(path->tape->frame->builder, local, path_element(path, number), value);
}

#endif
