/* fake_cuda_kernel.h: one trajectory of the kernel that the tests of the CUDA runtime run, on the host and on
 * the fake GPU. Its samples have many digits, so that sums depend on the order of their terms. */
#ifndef FAKE_CUDA_KERNEL_H
#define FAKE_CUDA_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* The kernel's buffers, in order. */
enum {
    FAKE_CELLS,  /* per launch, u64: doubles of a row of samples */
    FAKE_SCALE,  /* per launch, f64[4] */
    FAKE_SAMPLE, /* per trajectory, f64[cells] */
    FAKE_EVENTS, /* per trajectory, u64 */
    FAKE_NOTE,   /* per trajectory, i32[3] */
    FAKE_BUFFERS
};

enum { FAKE_WITNESS = 3, FAKE_FAULT_CODE = 5, FAKE_FAULT_DETAIL = 17 };

static inline double
fake_uniform(const double *scale)
{
    return scale[0] + scale[1] + scale[2] + scale[3];
}

static inline void
fake_witness(uint64_t trajectory, double *witness)
{
    witness[0] = 1.5;
    witness[1] = (double)trajectory;
    witness[2] = -0.0;
}

static inline void
fake_trajectory(uint64_t trajectory, double uniform, uint64_t cells, double *sample,
                uint64_t *events, int32_t *note)
{
    uint64_t h = trajectory * 0x9e3779b97f4a7c15u + 1;
    for (uint64_t k = 0; k < cells; k++) {
        h ^= h >> 29;
        h *= 0xbf58476d1ce4e5b9u;
        sample[k] = uniform * (double)(h >> 11) * 0x1p-53 + 1e3;
    }
    *events = h % 1000;
    for (int k = 0; k < 3; k++)
        note[k] = (int32_t)(trajectory + (uint64_t)k);
}

#endif
