/* reduce.c: means and variances (see reduce.h).
 *
 * Within a chunk each cell is summed relative to its value in the first row: d = x - x0, Σd and Σd².
 * For counts both sums are exact whole numbers, so nothing is lost to cancellation that was not lost
 * at the one division at the end; and the loops are plain sums over neighbouring cells, which the
 * compiler turns into vector code, of registers as wide as the processor has. Between chunks, where numbers of trajectories differ, the update
 * of Chan, Golub and LeVeque is used.
 *
 * Relative to a value that is infinite nothing can be summed: such a cell is summed as it is. Its mean comes out as that of
 * plain sums does: infinite, or NaN where both signs are there, or a NaN; and its variance is NaN.
 */
#include "runtime/reduce.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef double Eight __attribute__((vector_size(64), aligned(8), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* Adds `count` rows, at most FEW_ROWS, one after the other. */
enum { FEW_ROWS = 4 };

INLINE void
add_rows(double *restrict sum, double *restrict squares, size_t cells, uint32_t count,
         const double *restrict origin, const double *restrict rows)
{
    size_t k = 0;
    for (; k + 8 <= cells; k += 8) {
        Eight from = *(const Eight *)(origin + k);
        Eight s = *(Eight *)(sum + k), q = *(Eight *)(squares + k);
        for (uint32_t r = 0; r < count; r++) {
            Eight d = *(const Eight *)(rows + r * cells + k) - from;
            s += d;
            q += d * d;
        }
        *(Eight *)(sum + k) = s;
        *(Eight *)(squares + k) = q;
    }
    for (; k < cells; k++) {
        for (uint32_t r = 0; r < count; r++) {
            double d = rows[r * cells + k] - origin[k];
            sum[k] += d;
            squares[k] += d * d;
        }
    }
}

INLINE void
add_all_rows(const Moments *moments, size_t cells, uint64_t count, const double *samples)
{
    uint64_t row = 1;
    for (; row + FEW_ROWS <= count; row += FEW_ROWS)
        add_rows(moments->mean, moments->m2, cells, FEW_ROWS, samples, samples + row * cells);
    for (; row < count; row++)
        add_rows(moments->mean, moments->m2, cells, 1, samples, samples + row * cells);
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void
add_all_rows_avx512(const Moments *moments, size_t cells, uint64_t count, const double *samples)
{
    add_all_rows(moments, cells, count, samples);
}

__attribute__((target("avx"))) static void
add_all_rows_avx(const Moments *moments, size_t cells, uint64_t count, const double *samples)
{
    add_all_rows(moments, cells, count, samples);
}
#endif

static void
add_samples(const Moments *moments, size_t cells, uint64_t count, const double *samples)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        add_all_rows_avx512(moments, cells, count, samples);
        return;
    }
    if (__builtin_cpu_supports("avx")) {
        add_all_rows_avx(moments, cells, count, samples);
        return;
    }
#endif
    add_all_rows(moments, cells, count, samples);
}

static bool
all_finite(size_t count, const double *values)
{
    Eight sums = {0}; /* of zeros, unless one of them is not finite */
    size_t k = 0;
    for (; k + 8 <= count; k += 8) {
        const Eight x = *(const Eight *)(values + k);
        sums += x - x;
    }
    double sum = 0;
    for (; k < count; k++)
        sum += values[k] - values[k];
    for (int lane = 0; lane < 8; lane++)
        sum += sums[lane];
    return sum == 0;
}

/* Of a cell whose first value is not finite. */
static void
add_cell(const Moments *moments, size_t cells, size_t k, uint64_t rows, const double *samples)
{
    double sum = 0, squares = 0;
    for (uint64_t r = 0; r < rows; r++) {
        sum += samples[r * cells + k];
        squares += samples[r * cells + k] * samples[r * cells + k];
    }
    moments->mean[k] = sum / (double)rows;
    moments->m2[k] = squares - sum * (sum / (double)rows);
}

void
rxn__moments_of_rows(Moments *moments, size_t cells, uint64_t rows, const double *samples)
{
    double *restrict sum = moments->mean, *restrict squares = moments->m2;
    const double *restrict origin = samples;
    memset(sum, 0, cells * sizeof *sum);
    memset(squares, 0, cells * sizeof *squares);
    add_samples(moments, cells, rows, samples);
    double n = (double)rows;
    for (size_t k = 0; k < cells; k++) {
        double m2 = squares[k] - sum[k] * (sum[k] / n);
        squares[k] = m2 > 0 || m2 != m2 ? m2 : 0;
        sum[k] = origin[k] + sum[k] / n;
    }
    const bool some = !all_finite(cells, origin);
    for (size_t k = 0; some && k < cells; k++)
        if (!isfinite(origin[k]))
            add_cell(moments, cells, k, rows, samples);
    moments->count = rows;
}

void
rxn__moments_merge(Moments *moments, size_t cells, const Moments *other)
{
    if (moments->count == 0) {
        memcpy(moments->mean, other->mean, cells * sizeof *other->mean);
        memcpy(moments->m2, other->m2, cells * sizeof *other->m2);
        moments->count = other->count;
        return;
    }
    double a = (double)moments->count, b = (double)other->count, n = a + b;
    for (size_t k = 0; k < cells; k++) {
        double delta = other->mean[k] - moments->mean[k];
        double moved = moments->mean[k] + delta * (b / n);
        double weighed = moments->mean[k] * (a / n) + other->mean[k] * (b / n);
        moments->mean[k] = delta - delta == 0 ? moved : weighed; /* of infinite ones the second */
        moments->m2[k] += other->m2[k] + delta * delta * (a * (b / n));
    }
    moments->count += other->count;
}
