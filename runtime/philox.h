/* philox.h: random numbers on the host, for parameters that are drawn from distributions.
 *
 * The same generator and counters as the kernels use (Philox4x32-10), on a stream of its own, so that
 * a drawn parameter depends on the seed and its own number alone.
 */
#ifndef RXN_RUNTIME_PHILOX_H
#define RXN_RUNTIME_PHILOX_H

#include <stdint.h>

/* J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC'11 (2011). */
void rxn__philox(const uint32_t key[2], const uint32_t counter[4], uint32_t ret_words[4]);

/* Number `element` of a stream, uniform in the open interval (0, 1): 53 bits, at the middle of each of
 * 2^53 equal cells (so at least 2^-54). */
double rxn__random_uniform(uint64_t seed, uint32_t stream, uint64_t element);

/* The same number as a standard normal one, by the inverse of the distribution function. */
double rxn__random_normal(uint64_t seed, uint32_t stream, uint64_t element);

/* Inverse of the standard normal distribution function, relative error about 1e-16; p in (0, 1).
 * M. J. Wichura, "Algorithm AS 241", Applied Statistics 37 (1988) 477-484, routine PPND16. */
double rxn__normal_quantile(double p);

#endif
