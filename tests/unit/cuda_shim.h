/* cuda_shim.h: runs the text of a CUDA kernel on the host, a block at a time, each thread as a fiber.
 *
 * The text is compiled by the C compiler behind a few macros (cuda_shim.c has them). Fibers change at barriers
 * and atomics, and go on in an order that a seed gives: a barrier that is missing shows as a wrong result.
 */
#ifndef RXN_CUDA_SHIM_H
#define RXN_CUDA_SHIM_H

#include "compiler/base/base.h"
#include "runtime/cuda_abi.h"

typedef struct CudaModule CudaModule;

/* NULL, with the compiler's message on stderr, if it does not compile. */
CudaModule *cuda_module_open(const RxnCudaKernel *kernel);

void cuda_module_close(CudaModule *module);

/* Runs a function of the module, "rxn_uniform", "rxn_kernel" or "rxn_reduce", with the first `threads` threads of
 * each of the blocks, one block after another. parameters: as in cuda_abi.h. False if threads wait at a barrier for
 * others that never come. */
bool cuda_module_run(CudaModule *module, const char *function, const void *parameters, u32 blocks_x,
                     u32 blocks_y, u32 block_threads, u32 threads, u32 shared_bytes, u64 seed);

/* The variable rxn_constants. */
void *cuda_module_constants(CudaModule *module);

#endif
