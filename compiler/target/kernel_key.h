/* kernel_key.h: a name for a kernel, by which code that was compiled ahead of time is found again.
 *
 * Two kernels with the same text are the same kernel, and their code is the same. A program that carries code has not the
 * text but its SHA-256: nobody has found two texts with one, so equal keys are taken for equal texts.
 */
#ifndef RXN_KERNEL_KEY_H
#define RXN_KERNEL_KEY_H

#include "compiler/kir/kir.h"
#include "runtime/cuda_abi.h"

enum { KERNEL_KEY_BYTES = 32 };

/* Of the kernel's text. The scratch arena holds the text. */
void rxn__kernel_key(const KirKernel *kernel, Arena *scratch, u8 ret_key[KERNEL_KEY_BYTES]);

/* Likewise for GPUs: of the CUDA C that was compiled, and of how. The text is the kernel's and the plan's (which shape, how
 * much memory is where), so whatever may come to decide about the code is in the key. */
void rxn__cuda_kernel_key(const RxnCudaKernel *kernel, Arena *scratch,
                          u8 ret_key[KERNEL_KEY_BYTES]);

/* SHA-256 (NIST FIPS 180-4). */
void rxn__sha256(const void *data, size_t size, u8 ret_digest[KERNEL_KEY_BYTES]);

#endif
