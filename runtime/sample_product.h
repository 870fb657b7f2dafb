/* sample_product.h: the product of matrices in sample_gradient.h: Σ over rows of c_e u_b. */
#ifndef RXN_RUNTIME_SAMPLE_PRODUCT_H
#define RXN_RUNTIME_SAMPLE_PRODUCT_H

#include <stddef.h>
#include <stdint.h>

enum { SAMPLE_BLOCK = 64 }; /* rows that are multiplied together */

/* The factors u of a block's rows, by column: those that are not 0. */
typedef struct SampleTerms {
    uint32_t terms;
    uint8_t *count, *row; /* [terms]; [terms][SAMPLE_BLOCK] */
    double *value;        /* [terms][SAMPLE_BLOCK] */
} SampleTerms;

enum { SAMPLE_STRIP = 64 };

/* Doubles that the elements of a block's rows take: strips of SAMPLE_STRIP elements, of all rows each, so that a strip is
 * 32 KiB in one piece and stays in the nearest cache. */
static inline size_t
rxn__sample_left_room(uint32_t elements)
{
    size_t strips = ((size_t)elements + SAMPLE_STRIP - 1) / SAMPLE_STRIP;
    return strips * SAMPLE_STRIP * SAMPLE_BLOCK;
}

/* Puts a row's elements there, times their factors (NULL: 1). */
void rxn__sample_left(double *left, uint32_t row, uint32_t elements, const double *numbers,
                      const double *factors);

/* sum[b * elements + e] += Σ over rows r of the block, in their order, of left[r][e] * u[r][b]. */
void rxn__sample_product(double *sum, const double *left, uint32_t elements,
                         const SampleTerms *terms);

/* sum[k] += weight * numbers[k]. */
void rxn__sample_add(double *sum, const double *numbers, double weight, size_t count);

/* Σ numbers[k]², in an order of its own; and the numbers are added to sum, unless it is NULL. */
double rxn__sample_square(double *sum, const double *numbers, size_t count);

#endif
