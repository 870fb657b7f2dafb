/* least_squares.c: linear regression where columns may depend on each other (see control.h).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/control.h"

/* What is left of a column of norm 1 after those before it: less is rounding. Powers of counts about
 * 1e6 with a spread of 1e3 still have 1e-4 of each other left. */
static const double tolerance = 1e-9;

/* A spread below this part of the values is rounding too. */
static const double constant = 1e-13;

static double
dot(const double *a, const double *b, uint32_t first, uint32_t end)
{
    double sum = 0;
    for (uint32_t i = first; i < end; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Centres a column and scales it to the norm 1; returns that norm, 0 for a constant. */
static double
standardise(const double *column, uint32_t rows, double *ret_column)
{
    double mean = 0, largest = 0;
    for (uint32_t i = 0; i < rows; i++) {
        mean += column[i];
        largest = fmax(largest, fabs(column[i]));
    }
    mean /= rows;
    double squares = 0;
    for (uint32_t i = 0; i < rows; i++) {
        ret_column[i] = column[i] - mean;
        squares += ret_column[i] * ret_column[i];
    }
    double norm = sqrt(squares);
    if (!(norm > constant * largest * sqrt(rows)))
        return 0;
    for (uint32_t i = 0; i < rows; i++)
        ret_column[i] /= norm;
    return norm;
}

/* I - v v' takes a (from row `first` on) to a multiple of the unit vector; v gets the norm sqrt(2). */
static double
reflector(const double *a, uint32_t first, uint32_t rows, double *ret_v)
{
    double norm = sqrt(dot(a, a, first, rows));
    double alpha = a[first] > 0 ? -norm : norm;
    memset(ret_v, 0, first * sizeof *ret_v);
    memcpy(ret_v + first, a + first, (rows - first) * sizeof *ret_v);
    ret_v[first] -= alpha;
    double scale = sqrt(2 / dot(ret_v, ret_v, first, rows));
    for (uint32_t i = first; i < rows; i++)
        ret_v[i] *= scale;
    return alpha;
}

static void
reflect(const double *v, uint32_t first, uint32_t rows, double *column)
{
    double factor = dot(v, column, first, rows);
    for (uint32_t i = first; i < rows; i++)
        column[i] -= factor * v[i];
}

/* Eliminates column after column, the one with most left first. left: the columns, standardised. */
static void
eliminate(RxnFactor *factor, double *left)
{
    uint32_t rows = factor->rows, most = factor->columns < rows ? factor->columns : rows - 1;
    for (uint32_t k = 0; k < most; k++) {
        uint32_t best = k;
        double norm = -1;
        for (uint32_t j = k; j < factor->columns; j++) {
            const double *column = left + (size_t)factor->pivot[j] * rows;
            double here = factor->scale[factor->pivot[j]] > 0 ? dot(column, column, k, rows) : 0;
            if (here > norm) {
                norm = here;
                best = j;
            }
        }
        if (!(norm > tolerance * tolerance))
            return;
        uint32_t pivot = factor->pivot[best];
        factor->pivot[best] = factor->pivot[k];
        factor->pivot[k] = pivot;
        double *v = factor->vectors + (size_t)k * rows;
        double *column = left + (size_t)pivot * rows;
        double alpha = reflector(column, k, rows, v);
        memset(column + k, 0, (rows - k) * sizeof *column);
        column[k] = alpha;
        for (uint32_t j = k + 1; j < factor->columns; j++)
            reflect(v, k, rows, left + (size_t)factor->pivot[j] * rows);
        factor->rank = k + 1;
    }
}

bool
rxn__factor(const double *matrix, size_t stride, uint32_t rows, uint32_t columns,
            RxnFactor *ret_factor)
{
    size_t most = columns < rows ? columns : rows;
    RxnFactor factor = {.rows = rows, .columns = columns};
    double *left = calloc((size_t)rows * columns + 1, sizeof *left);
    factor.vectors = calloc(most * rows + 1, sizeof *factor.vectors);
    factor.triangle = calloc(most * most + 1, sizeof *factor.triangle);
    factor.scale = calloc((size_t)columns + 1, sizeof *factor.scale);
    factor.pivot = calloc((size_t)columns + 1, sizeof *factor.pivot);
    bool good = left && factor.vectors && factor.triangle && factor.scale && factor.pivot;
    if (good && rows > 1) {
        for (uint32_t j = 0; j < columns; j++) {
            factor.pivot[j] = j;
            factor.scale[j] = standardise(matrix + j * stride, rows, left + (size_t)j * rows);
        }
        eliminate(&factor, left);
        for (uint32_t i = 0; i < factor.rank; i++)
            for (uint32_t j = i; j < factor.rank; j++)
                factor.triangle[(size_t)i * factor.rank + j] =
                    left[(size_t)factor.pivot[j] * rows + i];
    }
    free(left);
    if (!good)
        rxn__factor_free(&factor);
    *ret_factor = factor;
    return good;
}

void
rxn__factor_solve(const RxnFactor *factor, const double *y, double *scratch, double *ret_slopes)
{
    uint32_t rows = factor->rows, rank = factor->rank;
    double mean = 0;
    memset(ret_slopes, 0, factor->columns * sizeof *ret_slopes);
    for (uint32_t i = 0; i < rows; i++)
        mean += y[i];
    mean /= rows;
    for (uint32_t i = 0; i < rows; i++)
        scratch[i] = y[i] - mean;
    for (uint32_t k = 0; k < rank; k++)
        reflect(factor->vectors + (size_t)k * rows, k, rows, scratch);
    for (uint32_t i = rank; i-- > 0;) {
        double sum = scratch[i];
        for (uint32_t j = i + 1; j < rank; j++)
            sum -= factor->triangle[(size_t)i * rank + j] * scratch[j];
        scratch[i] = sum / factor->triangle[(size_t)i * rank + i];
        ret_slopes[factor->pivot[i]] = scratch[i] / factor->scale[factor->pivot[i]];
    }
}

void
rxn__factor_free(RxnFactor *factor)
{
    free(factor->vectors);
    free(factor->triangle);
    free(factor->scale);
    free(factor->pivot);
    *factor = (RxnFactor){0};
}
