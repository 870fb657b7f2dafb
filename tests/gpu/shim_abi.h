/* shim_abi.h: what a module (shim.h before a kernel's text) and the engine that runs it agree on.
 */
#ifndef RXN_SHIM_ABI_H
#define RXN_SHIM_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef struct ShimIndex {
    unsigned x, y, z;
} ShimIndex;

/* What all threads of a mask do together. */
enum { SHIM_SYNC, SHIM_SHUFFLE, SHIM_VOTE, SHIM_REDUCE };

/* What the running thread sees of the device; the engine fills it in before it lets a thread run. */
typedef struct Shim {
    ShimIndex thread, block, block_size, grid_size;
    unsigned lane;          /* in its warp */
    unsigned char *dynamic; /* the block's dynamic shared memory */
    /* Accesses that need no look by the engine; of the module's own memory reads only. */
    uintptr_t stack, stack_size, range, range_size, module, module_size;
    /* How many threads of the block had a predicate. */
    unsigned long long (*barrier)(int line, int predicate);
    /* Waits for all threads of the mask; the values of the lanes. */
    const unsigned long long *(*gather)(int line, int kind, unsigned mask,
                                        unsigned long long value);
    void (*atomic)(const volatile void *address,
                   size_t size); /* before one: others may come first */
    void (*pause)(void);
    void (*access)(const volatile void *address, size_t size, int is_write);
    void (*trap)(int line);
} Shim;

/* A __global__ function of the module; the symbol is rxn_shim_kernel_NAME. */
typedef struct ShimKernel {
    size_t parameter_bytes;
    void (*call)(const void *parameters);
} ShimKernel;

#endif
