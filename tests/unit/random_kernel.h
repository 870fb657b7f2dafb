/* random_kernel.h: random well-formed kernels, and launches to run them with, for tests that compare
 * one way of running KIR with another (a target with the interpreter, one lane width with another).
 */
#ifndef RXN_RANDOM_KERNEL_H
#define RXN_RANDOM_KERNEL_H

#include "compiler/kir/kir.h"

/* SplitMix64 (Steele, Lea, Flood 2014). */
static inline u64
random_u64(u64 *state)
{
    u64 z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* How many a test is to try, where the environment does not say otherwise. */
u64 number_from_environment(const char *variable, u64 otherwise);

/* Numbers at which rules have their corners: zeros, ones, limits of every type, NaN, infinities. */
u64 random_special_bits(u64 *state, KirType type);

/* A kernel of about `size` statements, a function of the seed. It ends for every trajectory, keeps
 * its indices in range, and does not look at the sign or payload of a NaN. NULL, with the reason in
 * *ret_error, if the builder does not accept it (a bug of the generator or of the builder). */
KirKernel *random_kernel(Arena *arena, NameTable *names, u64 seed, u32 size,
                         const char **ret_error);

/* What a launch of any kernel needs: buffers filled from the seed, rows, fault. */
typedef struct RandomLaunch {
    RxnLaunch launch;
    RxnFault fault;
    double *witness;
    u32 witness_count;
    size_t *sizes; /* bytes, per buffer */
    int cancel;
} RandomLaunch;

/* Dynamic extents get `dynamic` elements. */
RandomLaunch *random_launch(Arena *arena, const KirKernel *kernel, u64 seed, u64 first, u64 count,
                            u32 dynamic);

/* NULL if both launches left the same behind, byte for byte (any NaN is like any other); else what
 * differs first. */
const char *launch_difference(Arena *arena, const KirKernel *kernel, const RandomLaunch *a,
                              const RandomLaunch *b);

#endif
