/* cuda_driver.h: the part of NVIDIA's driver interface that is used here, found at run time.
 *
 * Names, numbers and arguments are those of the manual "CUDA Driver API"; they are written down here, since
 * CUDA's headers are not needed to build. A function whose name ends in _v2 in the library is the one that
 * the manual describes without that ending.
 */
#ifndef RXN_RUNTIME_CUDA_DRIVER_H
#define RXN_RUNTIME_CUDA_DRIVER_H

#include "runtime/ensemble.h"

typedef int CudaResult;       /* CUresult */
typedef int CudaOrdinal;      /* CUdevice */
typedef uint64_t CudaAddress; /* CUdeviceptr */
/* CUcontext, CUmodule, CUfunction, CUstream and CUevent are pointers to these. */
typedef struct CudaContext CudaContext;
typedef struct CudaModule CudaModule;
typedef struct CudaFunction CudaFunction;
typedef struct CudaStream CudaStream;
typedef struct CudaEvent CudaEvent;

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_STUB_LIBRARY = 34,
    CUDA_ERROR_DEVICE_UNAVAILABLE = 46,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_ASSERT = 710,
    CUDA_ERROR_ILLEGAL_ADDRESS = 700,
    CUDA_ERROR_LAUNCH_TIMEOUT = 702,
    CUDA_ERROR_HARDWARE_STACK_ERROR = 714,
    CUDA_ERROR_ILLEGAL_INSTRUCTION = 715,
    CUDA_ERROR_MISALIGNED_ADDRESS = 716,
    CUDA_ERROR_INVALID_ADDRESS_SPACE = 717,
    CUDA_ERROR_INVALID_PC = 718,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
};

enum { /* CUdevice_attribute */
       CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
       CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
       CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
       CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
};

enum { /* CUfunction_attribute */
       CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 0,
       CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1,
       CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3,
       CU_FUNC_ATTRIBUTE_NUM_REGS = 4,
       CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
};

enum { /* CUjit_option */
       CU_JIT_ERROR_LOG_BUFFER = 5,
       CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
};

enum { /* flags */
       CU_MEMHOSTALLOC_PORTABLE = 1,
       CU_MEMHOSTALLOC_DEVICEMAP = 2,
       CU_STREAM_NON_BLOCKING = 1,
       CU_EVENT_BLOCKING_SYNC = 1,
       CU_EVENT_DISABLE_TIMING = 2,
};

/* X(member, name in the library, arguments) */
#define RXN_CUDA_FUNCTIONS(X)                                                                      \
    X(init, "cuInit", (unsigned flags))                                                            \
    X(get_version, "cuDriverGetVersion", (int *version))                                           \
    X(get_error_name, "cuGetErrorName", (CudaResult result, const char **name))                    \
    X(get_error_string, "cuGetErrorString", (CudaResult result, const char **text))                \
    X(device_count, "cuDeviceGetCount", (int *count))                                              \
    X(device_get, "cuDeviceGet", (CudaOrdinal * device, int ordinal))                              \
    X(device_name, "cuDeviceGetName", (char *name, int length, CudaOrdinal device))                \
    X(device_memory, "cuDeviceTotalMem_v2", (size_t *bytes, CudaOrdinal device))                   \
    X(device_attribute, "cuDeviceGetAttribute", (int *value, int attribute, CudaOrdinal device))   \
    X(context_retain, "cuDevicePrimaryCtxRetain", (CudaContext * *context, CudaOrdinal device))    \
    X(context_release, "cuDevicePrimaryCtxRelease_v2", (CudaOrdinal device))                       \
    X(context_set, "cuCtxSetCurrent", (CudaContext * context))                                     \
    X(memory_info, "cuMemGetInfo_v2", (size_t *free, size_t *total))                               \
    X(memory_alloc, "cuMemAlloc_v2", (CudaAddress * address, size_t bytes))                        \
    X(memory_free, "cuMemFree_v2", (CudaAddress address))                                          \
    X(host_alloc, "cuMemHostAlloc", (void **memory, size_t bytes, unsigned flags))                 \
    X(host_free, "cuMemFreeHost", (void *memory))                                                  \
    X(host_address, "cuMemHostGetDevicePointer_v2",                                                \
      (CudaAddress * address, void *memory, unsigned flags))                                       \
    X(copy_in_async, "cuMemcpyHtoDAsync_v2",                                                       \
      (CudaAddress to, const void *from, size_t bytes, CudaStream *stream))                        \
    X(copy_out_async, "cuMemcpyDtoHAsync_v2",                                                      \
      (void *to, CudaAddress from, size_t bytes, CudaStream *stream))                              \
    X(copy_async, "cuMemcpyDtoDAsync_v2",                                                          \
      (CudaAddress to, CudaAddress from, size_t bytes, CudaStream *stream))                        \
    X(module_load, "cuModuleLoadDataEx",                                                           \
      (CudaModule * *module, const void *image, unsigned count, int *options, void **values))      \
    X(module_unload, "cuModuleUnload", (CudaModule * module))                                      \
    X(module_function, "cuModuleGetFunction",                                                      \
      (CudaFunction * *function, CudaModule * module, const char *name))                           \
    X(module_global, "cuModuleGetGlobal_v2",                                                       \
      (CudaAddress * address, size_t *bytes, CudaModule *module, const char *name))                \
    X(function_get, "cuFuncGetAttribute", (int *value, int attribute, CudaFunction *function))     \
    X(function_set, "cuFuncSetAttribute", (CudaFunction * function, int attribute, int value))     \
    X(occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor",                                    \
      (int *blocks, CudaFunction *function, int threads, size_t shared_bytes))                     \
    X(launch, "cuLaunchKernel",                                                                    \
      (CudaFunction * function, unsigned grid_x, unsigned grid_y, unsigned grid_z,                 \
       unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,                \
       CudaStream *stream, void **arguments, void **extra))                                        \
    X(stream_create, "cuStreamCreate", (CudaStream * *stream, unsigned flags))                     \
    X(stream_destroy, "cuStreamDestroy_v2", (CudaStream * stream))                                 \
    X(stream_synchronize, "cuStreamSynchronize", (CudaStream * stream))                            \
    X(stream_wait, "cuStreamWaitEvent", (CudaStream * stream, CudaEvent * event, unsigned flags))  \
    X(event_create, "cuEventCreate", (CudaEvent * *event, unsigned flags))                         \
    X(event_record, "cuEventRecord", (CudaEvent * event, CudaStream * stream))                     \
    X(event_synchronize, "cuEventSynchronize", (CudaEvent * event))                                \
    X(event_destroy, "cuEventDestroy_v2", (CudaEvent * event))

typedef struct CudaDriver {
#define DECLARE(member, name, arguments) CudaResult(*member) arguments;
    RXN_CUDA_FUNCTIONS(DECLARE)
#undef DECLARE
    uint32_t version; /* 12040: CUDA 12.4 */
    uint32_t gpus;    /* at least 1 */
} CudaDriver;

/* Opens libcuda.so.1, or the file that RXN_CUDA_DRIVER names, and starts it. RXN_REFUSED, with a message:
 * there is none, it is too old, it sees no GPU. */
RxnOutcome rxn__cuda_driver_open(CudaDriver *driver, char *error, size_t error_size);

/* "CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered)" */
void rxn__cuda_driver_explain(const CudaDriver *driver, CudaResult result, char *text, size_t size);

#endif
