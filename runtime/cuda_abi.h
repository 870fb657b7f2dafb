/* cuda_abi.h: what a kernel in CUDA C and whoever launches it agree on; the counterpart of kernel_abi.h.
 *
 * A kernel is one text, which is CUDA C++ and plain C at once (so that a host compiler can run it in tests). It
 * defines these __global__ functions, all with C linkage:
 *
 *   rxn_uniform(RxnCudaLaunch)   one block: the region `launch`, once per run and device; writes
 *                                launch.uniform. Only where uniform_bytes > 0. Of the launch block, only
 *                                uniform, buffer and stride are set, and of buffer only per-launch ones.
 *   rxn_kernel(RxnCudaLaunch)    the trajectories. Workers (threads, warps or blocks, as the shape says) take
 *                                rows from *next until none is left: any grid does, so one that just fills
 *                                the device is taken.
 *   rxn_reduce(RxnCudaReduce)    what rxn__moments_of_rows does, to the bit, for many chunks at once; and the
 *                                events of each chunk. Thread (x, y) of the grid has cell x of chunk y;
 *                                blocks are 1 thread high, and of any width.
 *
 * All addresses are the device's. Launch blocks are passed by value; behind RxnCudaLaunch follow, in the same
 * parameter, uint64_t buffer[n] and int64_t stride[n] for the n buffers in order of declaration.
 */
#ifndef RXN_CUDA_ABI_H
#define RXN_CUDA_ABI_H

#include <stdint.h>

typedef struct RxnCudaLaunch {
    uint64_t first;     /* number in the ensemble of row 0 */
    uint64_t count;     /* rows */
    uint64_t uniform;   /* [uniform_bytes]: written by rxn_uniform, read by rxn_kernel */
    uint64_t workspace; /* [workspace_bytes * workers], laid out by the kernel */
    uint64_t workers;   /* trajectories in flight: of all blocks of the grid */
    uint64_t next;      /* uint64_t: rows taken so far; 0 before the launch */
    uint64_t fault;     /* RxnCudaFault, double[witness_count] behind it */
    uint64_t
        cancel; /* int, in the host's memory: workers take no new row, and leave their trajectory
                           soon, once it is not 0 */
    /* uint64_t buffer[n]; int64_t stride[n]; */
} RxnCudaLaunch;

/* Keeps the trajectory with the lowest number. Trajectories behind it may stop. */
typedef struct RxnCudaFault {
    uint64_t trajectory; /* UINT64_MAX: none; set so before the launch */
    uint32_t code, detail;
    uint32_t lock; /* 0 before the launch; held while the rest is written */
    uint32_t unused;
} RxnCudaFault;

/* Chunks of equal size `rows`, save the last. */
typedef struct RxnCudaReduce {
    uint64_t samples;    /* double[count][cells] */
    uint64_t row_events; /* uint64_t[count], or 0: the kernel counts none */
    uint64_t mean, m2;   /* double[chunks][cells] each, or 0: no statistics */
    uint64_t events;     /* uint64_t[chunks] */
    uint64_t count;      /* rows in all */
    uint64_t rows;       /* of a chunk */
    uint64_t cells;
} RxnCudaReduce;

typedef enum RxnCudaShape {
    RXN_CUDA_THREAD, /* one thread a trajectory: its state in registers */
    RXN_CUDA_WARP,   /* 32 threads a trajectory: arrays in shared memory, loops shared out */
    RXN_CUDA_BLOCK,  /* a whole block a trajectory */
} RxnCudaShape;

/* Machine code of a kernel for one architecture. */
typedef struct RxnCudaBinary {
    uint32_t architecture; /* 90 for sm_90 */
    const void *code;      /* a cubin; or PTX text, ended by a zero byte */
    uint64_t size;
    int is_ptx;
} RxnCudaBinary;

/* A kernel, as the compiler or an executable has it. */
typedef struct RxnCudaKernel {
    const char *name;   /* for messages */
    const char *source; /* CUDA C, ended by a zero byte; NULL: binaries only */
    uint64_t source_length;
    const RxnCudaBinary
        *binaries; /* made ahead of time, by the NVRTC of this version (12090: 12.9) */
    uint32_t binary_count, binary_nvrtc;
    RxnCudaShape shape;
    uint32_t block_threads;   /* threads of a block of rxn_kernel */
    uint32_t uniform_threads; /* of the one block of rxn_uniform */
    uint32_t shared_bytes;    /* dynamic shared memory of a block of rxn_kernel */
    uint64_t uniform_bytes;
    /* The first constant_bytes of the uniform_bytes are, after rxn_uniform and before rxn_kernel, to be copied
     * on the device into the text's variable rxn_constants (__constant__ memory, found by cuModuleGetGlobal):
     * operands from there cost neither registers nor loads. 0: the text has no such variable. */
    uint64_t constant_bytes;
    uint64_t workspace_bytes; /* per trajectory in flight */
    uint32_t buffer_count, witness_count;
    int fast_math;
} RxnCudaKernel;

#endif
