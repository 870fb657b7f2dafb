/* gradient.h: from the rows of a gradient kernel to derivatives with their standard errors.
 *
 * A row holds, for one trajectory, the value F of each functional, and what derivatives of E[F] are
 * estimated from: a number M of expectation zero, scores S, direct contributions D, each only if the
 * layout says so. The derivative of E[F_i] by leaf l is the mean over trajectories of
 *
 *   c_il = (F_i - M_i - b_i) S_il + D_il,      b_i the mean of F_i - M_i over the other trajectories,
 *
 * that by a parameter the sum of its leaves times their weights, and that of an output G(E[F_0], …)
 * follows by the chain rule. Standard errors are those of the influence of one trajectory (delta method):
 *
 *   sum_i G_i (c_i - mean c_i) + sum_ij G_ij mean(c_i) (F_j - mean F_j) + sum_j G_pj (F_j - mean F_j),
 *
 * the last for an output that depends on the parameter itself. Rows may have D of whole outputs instead (by_output,
 * for outputs that are sums of multiples of expectations): the derivative is then its mean.
 *
 * Where they are `attenuated`, every mean(c) above counts by as much of it as is known above its noise,
 *
 *   mean(c) k,   k = 1 - 16 / t⁴, or 0 for t² < 4,   t = mean(c) / se,   influence of c on it: (4 - 3 k) (c - mean c), se taken as given:
 *
 * nothing below two standard errors (a single trajectory that outweighs all others makes one, two make 1.4), 0.8 at three, 0.97
 * at five. For steps of Gauss–Newton, whose matrix and gradient would be lost to a few derivatives with heavy tails.
 *
 * Memory is bounded: rows are kept in batches, each centred by itself (which leaves the estimate
 * unbiased). A batch is a function of the row's size and n alone, and rows come in order, so that the
 * result is the same to the last bit for every number of threads.
 */
#ifndef RXN_RUNTIME_GRADIENT_H
#define RXN_RUNTIME_GRADIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct RxnGradientLayout {
    uint32_t functionals, leaves;
    bool has_control, has_score, has_direct;
    bool one_leaf;  /* row t serves leaf t mod leaves alone: one column for all; has no score */
    bool by_output; /* D is [outputs][leaves]; has no score */
    uint32_t columns;
    /* Where the parts begin; S and D are [functionals][leaves]. */
    uint32_t value, control, score, direct, diagnostic;
    uint32_t diagnostics;
    const bool *is_max; /* [diagnostics]: the largest is wanted, not the mean */
} RxnGradientLayout;

/* The leaves of each parameter, in compressed rows. start NULL: parameter p is leaf p. */
typedef struct RxnLeafMap {
    uint32_t parameters;
    const uint64_t *start; /* [parameters + 1] */
    const uint32_t *leaf;
    const double *weight; /* derivative of the leaf by the parameter */
} RxnLeafMap;

typedef struct RxnPair {
    uint32_t a, b;
} RxnPair;

/* Which derivatives of an output G may be other than zero. */
typedef struct RxnOutput {
    uint32_t first_count, second_count, direct_count, mixed_count;
    const uint32_t *first;  /* functionals */
    const RxnPair *second;  /* functional, functional; (a, b) and (b, a) both */
    const uint32_t *direct; /* parameters that G itself depends on */
    const RxnPair *mixed;   /* parameter, functional */
} RxnOutput;

/* Their values at some means of the functionals, in the order of RxnOutput's lists. */
typedef struct RxnOutputValues {
    double value;
    double *first, *second, *direct, *mixed;
} RxnOutputValues;

typedef struct RxnGradientSpec {
    RxnGradientLayout layout;
    RxnLeafMap map;
    uint32_t output_count;
    const RxnOutput *outputs;
    void (*linearize)(void *context, uint32_t output, const double *means, RxnOutputValues *values);
    void *linearize_context;
    uint64_t trajectories; /* n; a one_leaf kernel runs n for each leaf */
    bool attenuated;       /* see above; not with by_output */
    size_t batch_bytes;    /* most that the rows of a batch take; 0: 256 MiB */
} RxnGradientSpec;

typedef struct RxnGradientResult {
    /* Per output; of F - M where there is a control, and of F alone. NaN for an error of n = 1. */
    double *value, *value_se, *plain_value, *plain_value_se;
    double *gradient, *sd; /* [outputs][parameters]; the standard error is sd / sqrt(n) */
    double *diagnostics;
} RxnGradientResult;

typedef struct RxnGradient RxnGradient;

/* Rows that the kernel has to run: n, or n times the leaves. */
uint64_t rxn__gradient_rows_wanted(const RxnGradientSpec *spec);

/* What the spec points at has to outlive it. NULL: out of memory. */
RxnGradient *rxn__gradient_new(const RxnGradientSpec *spec);

/* As RxnEnsemble.rows, of an ensemble with one sample time and layout.columns columns. */
bool rxn__gradient_take(void *gradient, uint64_t first, uint64_t count, const double *rows,
                        const uint64_t *events);

/* After all rows. The result lives as long as the gradient. */
const RxnGradientResult *rxn__gradient_finish(RxnGradient *gradient);

void rxn__gradient_free(RxnGradient *gradient);

#endif
