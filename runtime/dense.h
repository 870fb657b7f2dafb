/* dense.h: small symmetric systems, as fits of some parameters have them. Matrices are [n][n], row-major. */
#ifndef RXN_RUNTIME_DENSE_H
#define RXN_RUNTIME_DENSE_H

#include <stdbool.h>
#include <stddef.h>

/* Cholesky's factor L of a symmetric matrix L Lᵀ takes its place (below and on the diagonal; what is above is as it
 * was). False: the matrix is not positive definite, or close to it, and is spoilt. */
bool rxn__cholesky(size_t n, double *matrix);

/* vector := (L Lᵀ)⁻¹ vector */
void rxn__cholesky_solve(size_t n, const double *factor, double *vector);

/* The whole inverse of L Lᵀ. */
void rxn__cholesky_inverse(size_t n, const double *factor, double *ret_inverse);

#endif
