/* ensemble.h: runs a compiled kernel over an ensemble of trajectories.
 *
 * The runtime knows nothing of the language or the compiler: a kernel is a function, the list of its buffers, and no more.
 * What rxn is for other programs is in rxn.h.
 *
 * Nothing here prints or exits. A result is a function of the request without `threads`: it is
 * bit-identical for every number of threads, and trajectory i does not depend on how many others run.
 */
#ifndef RXN_RUNTIME_ENSEMBLE_H
#define RXN_RUNTIME_ENSEMBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/kernel_abi.h"
#include "runtime/rxn.h"

/* How a run ended. */
typedef enum RxnOutcome {
    RXN_DONE = 0,
    RXN_FAULTED,   /* a trajectory cannot go on: see RxnEnsembleResult.fault */
    RXN_STOPPED,   /* cancelled: the first `trajectories` of the result are whole */
    RXN_REFUSED,   /* the request cannot be met (too large, a buffer is missing): see `error` */
    RXN_NO_MEMORY, /* memory or threads could not be had: see `error` */
    RXN_REJECTED,  /* the caller's `rows` function asked to stop (a full disk, say) */
    RXN_BROKEN,    /* the kernel itself is at fault, a bug of ours: see `error` */
} RxnOutcome;

/* One buffer of a kernel. extent[0] may be 0: given by the launch. */
typedef struct RxnBuffer {
    const char *name;
    uint32_t element_bytes;
    uint32_t rank; /* 0: a scalar */
    uint32_t extent[3];
    bool per_trajectory; /* a row for each trajectory, else one for the launch */
    bool is_input; /* per trajectory and only read: its rows have to be bound (RxnRowBinding) */
} RxnBuffer;

/* A kernel: compiled for the host (run), interpreted (call) or loaded on GPUs (cuda); exactly one of the
 * three is set. */
typedef struct RxnKernel {
    RxnKernelFunction run;
    struct RxnCudaProgram *cuda; /* see cuda.h */
    /* RXN_DONE, also where a trajectory faulted; RXN_BROKEN, if the kernel itself is at fault, or RXN_NO_MEMORY, with a
     * message in error[0 … size-1]. Called by several threads at once. */
    RxnOutcome (*call)(void *context, const RxnLaunch *launch, char *error, size_t size);
    void *context;
    size_t workspace_bytes; /* scratch that a launch needs */
    size_t table_bytes; /* of it, at its beginning, read here and there all the time; what is behind
                             * is tapes, written and read from one end to the other */
    const RxnBuffer *buffers;
    uint32_t buffer_count;
    uint32_t witness_count; /* numbers that a fault records: time, then the state */
} RxnKernel;

/* The data of a per-launch buffer, by the buffer's name. One that the kernel lacks is ignored. */
typedef struct RxnBinding {
    const char *name;
    const void *data;
    uint64_t elements; /* of a buffer whose first extent the launch gives; else not looked at */
} RxnBinding;

/* The data of a buffer that has a row for each trajectory and is only read: row k is that of the k-th trajectory of the
 * run. One that the kernel lacks is ignored. */
typedef struct RxnRowBinding {
    const char *name;
    const void *data;
    uint64_t rows; /* at least as many as trajectories */
} RxnRowBinding;

typedef struct RxnEnsemble {
    const RxnKernel *kernel;
    const RxnBinding *bindings;
    uint32_t binding_count;
    const RxnRowBinding *row_bindings;
    uint32_t row_binding_count;
    uint64_t first;        /* number of the first trajectory: a run may be made in pieces */
    uint64_t trajectories; /* at least 1 */
    uint32_t sample_count; /* sample times, at least 1 */
    uint32_t columns;      /* observables, at least 1 */
    uint32_t threads;      /* 0: one per processor */
    uint64_t
        workspace_limit; /* bytes that the workspaces of one GPU may take, unless a single block of it needs more; 0: none */
    bool statistics; /* mean and variance are wanted */
    uint64_t
        chunk_rows; /* most trajectories that a thread takes at a time; 0: chosen. Without statistics no
                            * result depends on it */
    RxnRows rows; /* or NULL; a row has sample_count * columns doubles */
    void *rows_context;
    const volatile int *cancel; /* or NULL; once it is not 0 the run ends soon */
    RxnProgressCall progress;   /* or NULL */
    void *progress_context;
} RxnEnsemble;

typedef struct RxnEnsembleResult {
    uint64_t
        trajectories; /* that are in the figures below: all of them if the outcome is RXN_DONE */
    uint64_t events;  /* reactions that fired in them */
    uint32_t threads; /* that ran */
    double *mean;     /* [sample_count * columns]; NULL without `statistics` */
    double *m2;       /* [sample_count * columns]: sum of squared differences from the mean */
    double seconds;   /* wall time */
    RxnFault fault;   /* of RXN_FAULTED: the trajectory with the lowest number; with witness */
    char error[256];
} RxnEnsembleResult;

/* Runs the ensemble and fills the result, which rxn__ensemble_release frees whatever the outcome. */
RxnOutcome rxn__ensemble_run(const RxnEnsemble *ensemble, RxnEnsembleResult *ret_result);

void rxn__ensemble_release(RxnEnsembleResult *result);

/* Standard deviation with n - 1; 0 for n = 1. */
double rxn__ensemble_sd(const RxnEnsembleResult *result, size_t cell);

#endif
