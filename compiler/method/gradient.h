/* gradient.h: estimators of derivatives: kernels whose trajectories give, beside the value of each
 * functional of the objective, what its derivatives are estimated from.
 *
 * A kernel writes one row of numbers per trajectory into `sample` (f64[1, columns]), which the runtime
 * treats as it does samples: rows come in order of trajectories, whatever the threads. The row:
 *
 *   F[i]        the value of functional i
 *   M[i]        a number of expectation zero, correlated with F[i]             if has_control
 *   S[i, p]     the score of leaf p, of the path up to what functional i reads if has_score
 *   D[i, p]     a direct contribution                                          if has_direct
 *   X[d]        diagnostics
 *
 * and the derivative of E[F_i] with respect to leaf p is estimated by the mean of
 *
 *   (F_i - M_i - b_i) S_ip + D_ip,      b_i the mean of F_i - M_i over the other trajectories.
 *
 * That is every estimator there is here: score has S; martingale M, S and D; path, gumbel, propensity,
 * coupled and gk have D alone. A kernel that serves one leaf per trajectory (one_leaf: coupled, gk) has
 * D[i] of leaf (trajectory mod leaves); F[i] is then for information only.
 *
 * A kernel whose one backward sweep serves a whole output (by_output: possible where every output is linear
 * in the expectations) has D[k, p] of output k instead, and the derivative of the output is its mean.
 *
 * A leaf is a parameter by its flat number, or, where parameters are many, an element of a hoisted value
 * through which parameters act; whoever reduces rows carries its derivative on to the parameters
 * (rxn__expr_derivatives of the hoisted expression), which is linear and the same for all trajectories.
 *
 * The derivative where F depends on the parameter itself (not through the path) is part of D.
 *
 * `sample_time` and `sample_count` are the objective's times, or those that the kernel says; end_time is
 * the objective's end.
 */
#ifndef RXN_METHOD_GRADIENT_H
#define RXN_METHOD_GRADIENT_H

#include "compiler/method/method.h"
#include "compiler/network/objective.h"

typedef struct ControlWeights ControlWeights; /* control.h */

/* Which form of the direct method is under a kernel. Auto: as for `rxn run`, by size, where the estimator has
 * both; the others are for tests. */
typedef enum GradientForm {
    GRADIENT_FORM_AUTO,
    GRADIENT_FORM_UNROLLED,
    GRADIENT_FORM_TABLE,
    GRADIENT_FORM_DENSE, /* table, and path with an adjoint for every species: nothing compressed (grad_layer.h) */
} GradientForm;

typedef struct GradientRequest {
    Network *network; /* with its objective */
    const u32 *wrt;   /* flat parameters, distinct */
    u32 wrt_count;
    KirType precision;
    GradientForm form;

    u64 tape_bytes;    /* most memory for the tape of one trajectory (adjoint estimators) */
    double tau;        /* gumbel: temperature of the softmax, > 0 */
    u32 draws;         /* gumbel: conditional draws of the noise to average over, >= 1 */
    double difference; /* coupled: relative step of the finite difference, > 0 */
    u32 bins, degree;  /* martingale: time bins, degree of the features; 0: its choice */
    const ControlWeights
        *control; /* martingale: what its pilot found; NULL: none was run, so that it
                                    * has no control variate */
} GradientRequest;

typedef struct GradientLeaf {
    ExprOp op;  /* EXPR_PARAM, EXPR_HOISTED */
    u32 object; /* HOISTED: its number */
    u32 flat;   /* PARAM: flat number; HOISTED: element */
} GradientLeaf;

/* How a diagnostic is summed up over trajectories. */
typedef enum SummaryKind { SUMMARY_MEAN, SUMMARY_MAX } SummaryKind;

typedef struct RowDiagnostic {
    const char *name; /* "largest |lambda|", "saturated fraction" */
    SummaryKind kind;
} RowDiagnostic;

enum { RXN_MAX_DIAGNOSTICS = 4 };

typedef struct GradientRow {
    u32 functionals, outputs, leaves;
    bool has_control, has_score, has_direct, one_leaf, by_output;
    u32 diagnostic_count;
    RowDiagnostic diagnostics[RXN_MAX_DIAGNOSTICS];
} GradientRow;

typedef struct GradientKernel {
    MethodKernel kernel;
    GradientRow row;
    GradientLeaf *leaves;
    bool unbiased;       /* proved: for this network and objective */
    const char *remarks; /* what was chosen and why, a sentence; NULL: nothing to say */
    const double
        *times; /* [time_count + 1]: the kernel wants these as sample times, the last is +inf; */
    u32 time_count; /* NULL: the objective's */
} GradientKernel;

typedef struct Estimator {
    const char *name;
    const char *summary; /* one line for help */

    /* Whether it can do this; if not, why, in words for the user, naming an estimator that can. */
    bool (*applies)(const GradientRequest *request, Text *ret_reason);

    /* Writes the kernel. NULL, or what went wrong inside (a bug of ours). */
    const char *(*write)(const GradientRequest *request, Arena *arena, NameTable *names,
                         GradientKernel *ret_kernel);

    /* Or NULL: the kernel that has to run before, on an ensemble of its own, and whose rows give
     * GradientRequest.control (rxn__pilot_run). */
    const struct Estimator *pilot;
} Estimator;

extern const Estimator *const rxn__estimators[]; /* NULL at the end (estimators.c) */

const Estimator *rxn__estimator_find(const char *name);

/* The values of the functionals alone, no derivatives (grad_value.c); not in the table, for it estimates none. */
extern const Estimator rxn__estimator_value;

/* ---- The row (grad_row.c) ---------------------------------------------------------------------- */

u32 rxn__row_columns(const GradientRow *row);

/* Where a part begins; the leaf of a one_leaf row is 0. */
u32 rxn__row_value(const GradientRow *row, u32 functional);
u32 rxn__row_control(const GradientRow *row, u32 functional);
u32 rxn__row_score(const GradientRow *row, u32 functional, u32 leaf);
u32 rxn__row_direct(const GradientRow *row, u32 functional_or_output, u32 leaf);
u32 rxn__row_diagnostic(const GradientRow *row, u32 number);

/* Where functionals depend on parameters themselves: the objective with the atoms that their partial
 * derivatives read beside its own (the same functionals), and those derivatives,
 * ret_partial[functional * leaves + leaf]. NULL where no functional does. */
const Objective *rxn__gradient_explicit(const GradientRequest *request, Arena *arena,
                                        Expr **ret_partial);

/* Whether a kernel can be written out for the request, reaction by reaction and parameter by parameter; if not, why,
 * and what takes large networks. */
bool rxn__gradient_unrolls(const GradientRequest *request, Text *ret_reason);

/* The leaves where they are the request's parameters, in its order. */
GradientLeaf *rxn__gradient_param_leaves(const GradientRequest *request, Arena *arena);

#endif
