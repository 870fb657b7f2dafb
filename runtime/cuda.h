/* cuda.h: NVIDIA GPUs as a device: the driver and NVRTC, found at run time; kernels compiled, cached and
 * loaded; ensembles run on one GPU or several.
 *
 * Nothing of CUDA is needed to build this: both libraries are opened with dlopen, by the names that their
 * packages give them, or from the files that RXN_CUDA_DRIVER and RXN_NVRTC name.
 *
 * All functions that can fail leave a message for the user, which says what to do, in error[0 … size-1].
 */
#ifndef RXN_RUNTIME_CUDA_H
#define RXN_RUNTIME_CUDA_H

#include "runtime/cuda_abi.h"
#include "runtime/device.h"

/* The GPUs of a run, opened. */
typedef struct RxnCuda RxnCuda;

typedef struct RxnCudaDevice {
    uint32_t number;       /* the driver's */
    char name[128];        /* "NVIDIA H200" */
    uint32_t architecture; /* 90: sm_90 */
    uint64_t memory, free; /* bytes; free: when the first kernel was loaded, 0 before */
    uint32_t multiprocessors;
    uint32_t driver_version; /* 12040: CUDA 12.4 */
} RxnCudaDevice;

/* devices: numbers with commas between, "0,1", or "all", or NULL for device 0. RXN_REFUSED: there is no
 * driver, one too old, no GPU, no such GPU; RXN_NO_MEMORY. The GPUs go on opening behind: that one cannot be
 * had (another program has it for itself, say) is what the first rxn__cuda_load reports. */
RxnOutcome rxn__cuda_open(const char *devices, RxnCuda **ret_cuda, char *error, size_t error_size);

/* May be NULL. To be called before the process ends: GPUs may still be opening. */
void rxn__cuda_close(RxnCuda *cuda);

uint32_t rxn__cuda_device_count(const RxnCuda *cuda);

const RxnCudaDevice *rxn__cuda_device(const RxnCuda *cuda, uint32_t index);

/* Whether a GPU of the second architecture can run code, or PTX, that was made for the first. */
bool rxn__cuda_runs(uint32_t made_for, bool is_ptx, uint32_t architecture);

/* A kernel loaded on all devices of a RxnCuda. */
typedef struct RxnCudaProgram RxnCudaProgram;

/* What became of a kernel on the first device. */
typedef struct RxnCudaProgramInfo {
    uint32_t registers;     /* per thread, of rxn_kernel */
    uint32_t local_bytes;   /* per thread: spills and arrays */
    uint32_t shared_bytes;  /* per block, static and dynamic */
    uint32_t blocks;        /* resident on one multiprocessor */
    uint64_t workers;       /* trajectories in flight on the device */
    double seconds_compile; /* NVRTC's; 0 where a binary or the cache had it */
    bool from_cache, from_ptx;
    char note[200]; /* what the user should know of it, such as why it is PTX; or "" */
} RxnCudaProgramInfo;

/* Takes for each device the kernel's binary for it, else machine code for an older GPU of the same major number,
 * else PTX for an older one; only where there is nothing of that, or the driver takes none of it, the source: its cache
 * entry, or compiled, where NVRTC makes no machine code for the device (it is older) to PTX. cache: a directory,
 * or NULL. The kernel and the RxnCuda have to outlive the program. RXN_REFUSED: no NVRTC, one too old, not enough
 * shared memory or registers on the device; RXN_BROKEN: the text does not compile, and error begins with NVRTC's
 * log. */
RxnOutcome rxn__cuda_load(RxnCuda *cuda, const RxnCudaKernel *kernel, const char *cache,
                          RxnCudaProgram **ret_program, char *error, size_t error_size);

void rxn__cuda_unload(RxnCudaProgram *program); /* may be NULL */

const RxnCudaProgramInfo *rxn__cuda_program_info(const RxnCudaProgram *program);

/* Runs all chunks of the job, whose kernel has a program, on all its devices; see device_host.h for the rest.
 * A program runs one job at a time (its constants are the job's).
 * `consume` is called from threads of its own, one at a time. RXN_NO_MEMORY: not even the smallest piece of
 * the job fits a device. RXN_BROKEN: the kernel crashed; the RxnCuda is then of no more use. */
RxnOutcome rxn__cuda_run(const DeviceJob *job, DeviceConsume consume, void *context,
                         RxnFault *ret_fault, char *error, size_t error_size);

#endif
