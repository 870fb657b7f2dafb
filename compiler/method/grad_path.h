/* grad_path.h: inside of the pathwise adjoint: what grad_path.c (the estimator), grad_path_basis.c (coordinates and
 * derivatives) and grad_path_flow.c (one wait) share. grad_path.c says what is computed.
 */
#ifndef RXN_METHOD_GRAD_PATH_H
#define RXN_METHOD_GRAD_PATH_H

#include "compiler/method/grad_tape.h"

/* Adjoints are carried as this multiple of what they are, a power of two that changes no digit: |h|² is in f32, and there
 * h may then be from 1e-26 to 1e10. */
#define PATH_LIFT 0x1p26

/* One reaction changes what the estimator sees of the state, and how. */
typedef struct PathReaction {
    Expr propensity;
    u32 count; /* coordinates that it changes */
    u32 *coordinate;
    i32 *delta;
    u32 worth; /* its worth ν_j · h is that of the distinct change vector `worth`, times `sign` */
    i32 sign;
} PathReaction;

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
    Expr *kept;      /* v_c · ∇ of what the recorder keeps: [column * coordinates + c]; 0: zero */

    u32 adjoint;  /* f64[sets * coordinates] locals, one each: h, PATH_LIFT times */
    u32 force;    /* f64[sets * integrals]: weight of each integrand in force, PATH_LIFT times */
    u32 gradient; /* f64[sets * leaves], PATH_LIFT times */
    u32 largest;  /* f32: |h|², in steps that f32 holds, PATH_LIFT² times */
    u32 largest_double; /* f64: |h|, in others, PATH_LIFT times */
    u32 scale,
        back; /* f32[sets]: a power of two by which h has a size that suits f32; what leads back, or 0 */
    u32 at;      /* f64: where in the step the adjoint stands */
    u32 tail;    /* f32 per coordinate: φ₂(S) f */
    u32 settled; /* bool: the series has converged */
    u32 line[3]; /* f64, with one coordinate: e^S, φ₁(S), φ₂(S) */
    u32 cut_adjoint, cut_area, cut_term, cut_sum, cut_left; /* of a wait in parts */
} Path;

/* What the fast way over a wait needs of the state, whatever the set; 0: zero. */
typedef struct PathWait {
    KirValue length;         /* t: f64 */
    KirValue length_single;  /* f32, as all up to phi */
    KirValue *matrix;        /* S = t M: [c * coordinates + d] */
    KirValue *shifted;       /* S_cc + σ */
    KirValue sigma, inverse; /* the node's; 1/σ */
    KirValue *phi;           /* φ_n(-σ), from n = 3 on */
    KirValue line;           /* with one coordinate: S, f64; and nothing of the f32 */
    KirValue *flow;          /* f64: -M h is Σ flow · worths: [c * worths + worth]; 0: zero */
    KirValue *force;         /* f64: v_c · ∇ of integrand k: [integral * coordinates + c] */
} PathWait;

/* grad_path_basis.c: finds the coordinates; and all derivatives in them but those of what is observed. */
void rxn__path_coordinates(Path *path, Arena *arena, Network *network);
void rxn__path_differentiate(Path *path, Arena *arena, Network *network);

/* v_c · ∇ of an expression of the state, for all coordinates; 0: zero. */
void rxn__path_along_basis(Path *path, Network *network, Expr value, Expr *ret_slopes);

/* The derivative, 0 where it is zero. */
Expr rxn__path_derivative(Network *network, Expr value, ExprOp op, u32 flat);

/* grad_path_flow.c. The locals that it works with. */
void rxn__path_declare_flow(Path *path);

/* The values of many expressions in the present state, f64; 0 where there is none. */
KirValue *rxn__path_lower_all(Path *path, const Expr *exprs, size_t count);

/* What a wait of `length` in the present state needs, whatever the set. */
void rxn__path_wait(Path *path, KirValue length, PathWait *ret_wait);

/* Goes back over the wait with one set: its adjoints, and the share of the wait in its gradient. */
void rxn__path_cross(Path *path, const PathWait *wait, u32 set);

/* The same by a way that takes every length and size, and is slow: in f64, in parts. Called in a block that few steps
 * enter. */
void rxn__path_cross_in_parts(Path *path, KirValue length, u32 set);

/* Takes the size of a set's adjoints, for the scale of f32: where something other than the flow has changed them, and every
 * PATH_SIZING steps of the trajectory (the flow does not change them by orders of magnitude within so few). */
enum { PATH_SIZING = 16 };
void rxn__path_size(Path *path, u32 set);

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
