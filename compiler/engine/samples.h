/* samples.h: ensembles in which every trajectory has inputs of its own: a row of the data. For networks with
 * FitSamples (an image and its label, say), whose loss is an expectation over trajectories and rows.
 *
 * An evaluation takes some rows, runs `repeats` trajectories of each (number k runs row k / repeats), and gives the mean
 * loss and its gradient over all of them. What is hoisted and reads inputs is computed first, once a row, by a kernel of
 * its own, in which all lanes go in step: a matrix product over the batch. Behind the main kernel, derivatives by
 * elements of such sums become those by the parameters in them by an outer product with the inputs.
 */
#ifndef RXN_ENGINE_SAMPLES_H
#define RXN_ENGINE_SAMPLES_H

#include "compiler/engine/grad.h"
#include "compiler/network/fit.h"

typedef struct Samples Samples;

/* Reads the arrays, which must fit the inputs' shapes (rows of 28x28 numbers an input x[784]), be finite, and have equally
 * many rows. All inputs of the network have to be among them or to be set otherwise (values). False after errors. */
bool rxn__samples_open(Engine *engine, Pipeline *pipeline, const Fit *fit, Samples **ret_samples);
u64 rxn__samples_rows(const Samples *samples);
void rxn__samples_close(Samples *samples); /* may be NULL */

typedef struct SampleResult {
    u64 trajectories, events;
    double seconds;
    /* [outputs]: means over trajectories, and their errors by the spread of samples. With an estimator the kernel has
     * what output 0 reads: others are NaN where they read anything else. */
    const double *value, *value_se;
    const double *gradient;      /* of output 0, [wrt_count]; NULL without an estimator */
    double gradient_norm2_noise; /* estimate of E|gradient - its expectation|²: summed variances
                                  * (runtime/sample_gradient.h); NaN for a single trajectory */
    u64 groups;                  /* 0: none were asked for */
    const double *
        group_sums; /* [groups][wrt_count]: gradients of single rows, added up over a group of neighbours (less
                               * what the loss has of parameters themselves, the same for all) */
    u64 not_finite; /* the first trajectory with a value or a derivative that is not finite; UINT64_MAX: none */
    u32 diagnostic_count;
    const RowDiagnostic *diagnostics;
    const double *diagnostic_values;
} SampleResult;

typedef struct SampleRun SampleRun;

/* Compiles what is needed to evaluate the network of `grad` (values and request set up, outputs prepared). estimator NULL:
 * values alone. Errors where it cannot differentiate output 0, which has to be a sum of multiples of expectations. */
RxnStatus rxn__sample_run_new(Grad *grad, const Estimator *estimator, const Samples *samples,
                              SampleRun **ret_run);
void rxn__sample_run_free(SampleRun *run); /* may be NULL */

/* Whether its derivatives are proved to have no bias. */
bool rxn__sample_run_is_unbiased(const SampleRun *run);

/* The evaluations after this also give the gradients of so many groups of neighbouring rows; 0: not. */
void rxn__sample_run_group(SampleRun *run, u64 groups);

/* grad->values.params are the parameters; its inputs those that the data do not give. The result lives until the next
 * evaluation. The gradient's bits do not depend on threads. RXN_CANCELLED, without a message, after Ctrl-C; where a
 * trajectory cannot go on, its inputs stay in grad->values. */
RxnStatus rxn__sample_run_evaluate(SampleRun *run, u64 seed, const u64 *rows, u64 count,
                                   u64 repeats, SampleResult *ret_result);

#endif
