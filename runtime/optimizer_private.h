/* optimizer_private.h: what optimizer.c asks of L-BFGS. */
#ifndef RXN_RUNTIME_OPTIMIZER_PRIVATE_H
#define RXN_RUNTIME_OPTIMIZER_PRIVATE_H

#include "runtime/optimizer.h"

#define RXN_LBFGS_TOLERANCE 1e-5 /* that of liblbfgs */

typedef struct Lbfgs Lbfgs;

/* False: this build has no liblbfgs; the functions below are then not called. */
bool rxn__lbfgs_available(void);

/* The largest number of coordinates that liblbfgs can count. */
size_t rxn__lbfgs_most(void);

Lbfgs *rxn__lbfgs_new(const RxnOptimizerOptions *options, size_t count, const double *start);
void rxn__lbfgs_free(Lbfgs *lbfgs); /* may be NULL */

const double *rxn__lbfgs_ask(const Lbfgs *lbfgs);
const double *rxn__lbfgs_point(const Lbfgs *lbfgs);
const char *rxn__lbfgs_why(const Lbfgs *lbfgs); /* it has ended; or NULL */
uint64_t rxn__lbfgs_steps(const Lbfgs *lbfgs);

/* As rxn__optimizer_tell. finite: whether loss and gradient are. */
bool rxn__lbfgs_tell(Lbfgs *lbfgs, bool finite, double loss, const double *gradient);

size_t rxn__lbfgs_saved_size(const Lbfgs *lbfgs);
void rxn__lbfgs_save(const Lbfgs *lbfgs, double *ret_numbers);
bool rxn__lbfgs_restore(Lbfgs *lbfgs, const double *numbers, size_t count);

/* A whole number that was saved as a double. */
bool rxn__saved_integer(double number, uint64_t *ret_integer);

/* The Euclidean norm, whatever the size of the elements. */
double rxn__norm(const double *vector, size_t count);

#endif
