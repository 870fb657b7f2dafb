/* dense.c: Cholesky's factorisation (G. H. Golub, C. F. Van Loan, "Matrix Computations", 4th ed., section 4.2).
 */
#include "runtime/dense.h"

#include <float.h>
#include <math.h>
#include <string.h>

bool
rxn__cholesky(size_t n, double *matrix)
{
    for (size_t i = 0; i < n; i++) {
        double *row = matrix + i * n, diagonal = row[i];
        for (size_t j = 0; j <= i; j++) {
            const double *other = matrix + j * n;
            double sum = row[j];
            for (size_t k = 0; k < j; k++)
                sum -= row[k] * other[k];
            if (j < i)
                row[j] = sum / other[j];
            else if (sum > 4 * DBL_EPSILON * diagonal) /* else nothing but rounding is left */
                row[i] = sqrt(sum);
            else
                return false;
        }
        if (!isfinite(row[i]))
            return false;
    }
    return true;
}

void
rxn__cholesky_solve(size_t n, const double *factor, double *vector)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            vector[i] -= factor[i * n + k] * vector[k];
        vector[i] /= factor[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            vector[i] -= factor[k * n + i] * vector[k];
        vector[i] /= factor[i * n + i];
    }
}

void
rxn__cholesky_inverse(size_t n, const double *factor, double *ret_inverse)
{
    /* Row k of the result is the solution for unit vector k: the inverse is symmetric. */
    memset(ret_inverse, 0, n * n * sizeof *ret_inverse);
    for (size_t k = 0; k < n; k++) {
        ret_inverse[k * n + k] = 1;
        rxn__cholesky_solve(n, factor, ret_inverse + k * n);
    }
}
