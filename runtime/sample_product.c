/* sample_product.c: see sample_product.h.
 *
 * A strip of elements of all rows of the block stays in the nearest cache while the columns pass by; each column's sums are
 * loaded and stored once for four rows. The same source is compiled for the vectors that there are; the sums of an element
 * are made one after the other in any case, so that all processors give the same bits.
 */
#include "runtime/sample_product.h"

/* Eight doubles at any address. */
typedef double Eight __attribute__((vector_size(64), aligned(8), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE void
add_four(double *sum, const double *left, uint32_t width, const uint8_t *row, const double *value)
{
    const double *a = left + row[0] * SAMPLE_STRIP, *b = left + row[1] * SAMPLE_STRIP;
    const double *c = left + row[2] * SAMPLE_STRIP, *d = left + row[3] * SAMPLE_STRIP;
    double u = value[0], v = value[1], w = value[2], x = value[3];
    uint32_t e = 0;
    for (; e + 8 <= width; e += 8) {
        Eight total = *(const Eight *)(sum + e);
        total += u * *(const Eight *)(a + e);
        total += v * *(const Eight *)(b + e);
        total += w * *(const Eight *)(c + e);
        total += x * *(const Eight *)(d + e);
        *(Eight *)(sum + e) = total;
    }
    for (; e < width; e++) {
        double total = sum[e] + u * a[e];
        total += v * b[e];
        total += w * c[e];
        sum[e] = total + x * d[e];
    }
}

INLINE void
add_one(double *sum, const double *left, uint32_t width, double value)
{
    uint32_t e = 0;
    for (; e + 8 <= width; e += 8)
        *(Eight *)(sum + e) += value * *(const Eight *)(left + e);
    for (; e < width; e++)
        sum[e] += value * left[e];
}

INLINE void
multiply(double *sum, const double *left, uint32_t elements, const SampleTerms *terms)
{
    for (uint32_t first = 0; first < elements; first += SAMPLE_STRIP) {
        uint32_t width = elements - first < SAMPLE_STRIP ? elements - first : SAMPLE_STRIP;
        for (uint32_t b = 0; b < terms->terms; b++) {
            double *at = sum + (size_t)b * elements + first;
            const uint8_t *row = terms->row + (size_t)b * SAMPLE_BLOCK;
            const double *value = terms->value + (size_t)b * SAMPLE_BLOCK;
            uint32_t count = terms->count[b], k = 0;
            for (; k + 4 <= count; k += 4)
                add_four(at, left, width, row + k, value + k);
            for (; k < count; k++)
                add_one(at, left + row[k] * SAMPLE_STRIP, width, value[k]);
        }
        left += SAMPLE_STRIP * SAMPLE_BLOCK;
    }
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void
multiply_avx512(double *sum, const double *left, uint32_t elements, const SampleTerms *terms)
{
    multiply(sum, left, elements, terms);
}

__attribute__((target("avx"))) static void
multiply_avx(double *sum, const double *left, uint32_t elements, const SampleTerms *terms)
{
    multiply(sum, left, elements, terms);
}
#endif

void
rxn__sample_product(double *sum, const double *left, uint32_t elements, const SampleTerms *terms)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        multiply_avx512(sum, left, elements, terms);
        return;
    }
    if (__builtin_cpu_supports("avx")) {
        multiply_avx(sum, left, elements, terms);
        return;
    }
#endif
    multiply(sum, left, elements, terms);
}

void
rxn__sample_left(double *left, uint32_t row, uint32_t elements, const double *numbers,
                 const double *factors)
{
    for (uint32_t first = 0; first < elements; first += SAMPLE_STRIP) {
        uint32_t width = elements - first < SAMPLE_STRIP ? elements - first : SAMPLE_STRIP;
        double *at = left + (size_t)first * SAMPLE_BLOCK + (size_t)row * SAMPLE_STRIP;
        for (uint32_t e = 0; e < width; e++)
            at[e] = factors ? numbers[first + e] * factors[first + e] : numbers[first + e];
    }
}

void
rxn__sample_add(double *sum, const double *numbers, double weight, size_t count)
{
    size_t k = 0;
    for (; k + 8 <= count; k += 8)
        *(Eight *)(sum + k) += weight * *(const Eight *)(numbers + k);
    for (; k < count; k++)
        sum[k] += weight * numbers[k];
}

double
rxn__sample_square(double *sum, const double *numbers, size_t count)
{
    Eight squares = {0};
    double square = 0;
    size_t k = 0;
    for (; k + 8 <= count; k += 8) {
        Eight x = *(const Eight *)(numbers + k);
        squares += x * x;
        if (sum)
            *(Eight *)(sum + k) += x;
    }
    for (; k < count; k++) {
        square += numbers[k] * numbers[k];
        if (sum)
            sum[k] += numbers[k];
    }
    for (int e = 0; e < 8; e++)
        square += squares[e];
    return square;
}
