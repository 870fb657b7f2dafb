/* reduce.c: means and variances (see reduce.h).
 *
 * Within a chunk each cell is summed relative to its value in the first row: d = x - x0, Σd and Σd².
 * For counts both sums are exact whole numbers, so nothing is lost to cancellation that was not lost
 * at the one division at the end; and the loops are plain sums over neighbouring cells, which the
 * compiler turns into vector code. Between chunks, where numbers of trajectories differ, the update
 * of Chan, Golub and LeVeque is used.
 */
#include "runtime/reduce.h"

#include <string.h>

void
rxn__moments_of_rows(Moments *moments, size_t cells, uint64_t rows, const double *samples)
{
    double *restrict sum = moments->mean, *restrict squares = moments->m2;
    const double *restrict origin = samples;
    memset(sum, 0, cells * sizeof *sum);
    memset(squares, 0, cells * sizeof *squares);
    for (uint64_t row = 1; row < rows; row++) {
        const double *restrict x = samples + row * cells;
        for (size_t k = 0; k < cells; k++) {
            double d = x[k] - origin[k];
            sum[k] += d;
            squares[k] += d * d;
        }
    }
    double n = (double)rows;
    for (size_t k = 0; k < cells; k++) {
        double m2 = squares[k] - sum[k] * (sum[k] / n);
        squares[k] = m2 > 0 || m2 != m2 ? m2 : 0;
        sum[k] = origin[k] + sum[k] / n;
    }
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
        moments->mean[k] += delta * (b / n);
        moments->m2[k] += other->m2[k] + delta * delta * (a * (b / n));
    }
    moments->count += other->count;
}
