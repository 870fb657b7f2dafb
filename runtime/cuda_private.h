/* cuda_private.h: what the files that make up the device "cuda" share (see cuda.h). */
#ifndef RXN_RUNTIME_CUDA_PRIVATE_H
#define RXN_RUNTIME_CUDA_PRIVATE_H

#include <pthread.h>

#include "runtime/cuda.h"
#include "runtime/cuda_driver.h"

typedef struct CudaGpu {
    RxnCudaDevice device;
    const CudaDriver *driver;
    CudaOrdinal ordinal;
    pthread_t opener; /* makes the context, while `opening` */
    bool opening;
    CudaResult result; /* of that */
    CudaContext *context;
    uint32_t shared_most; /* bytes of shared memory that a block can have */
} CudaGpu;

struct RxnCuda {
    CudaDriver driver;
    CudaGpu *gpus;
    uint32_t count;
};

/* A kernel on one GPU. */
typedef struct CudaLoaded {
    CudaModule *module;
    CudaFunction *uniform, *run, *reduce; /* uniform may be NULL */
    CudaAddress constants;                /* rxn_constants, with constant_bytes > 0 */
    uint32_t blocks;                      /* of `run`, that just fill the GPU */
    uint32_t reduce_threads;              /* of a block of `reduce`, at most */
} CudaLoaded;

struct RxnCudaProgram {
    RxnCuda *cuda;
    const RxnCudaKernel *kernel;
    CudaLoaded *loaded; /* [cuda->count] */
    RxnCudaProgramInfo info;
};

/* Trajectories that a block of rxn_kernel has in flight. */
static inline uint32_t
rxn__cuda_block_workers(const RxnCudaKernel *kernel)
{
    return kernel->shape == RXN_CUDA_THREAD ? kernel->block_threads
           : kernel->shape == RXN_CUDA_WARP ? kernel->block_threads / 32
                                            : 1;
}

/* Waits until the contexts of all GPUs are made. */
RxnOutcome rxn__cuda_ready(RxnCuda *cuda, char *error, size_t error_size);

/* The outcome and the words for a failed call of the driver; doing: "copying the results". */
RxnOutcome rxn__cuda_failure(const RxnCuda *cuda, const CudaGpu *gpu, CudaResult result,
                             const char *doing, char *error, size_t error_size);

/* "640 KiB", "1.4 GiB" */
void rxn__cuda_bytes(uint64_t bytes, char *text, size_t size);

#endif
