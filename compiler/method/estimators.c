/* estimators.c: the list of estimators. To add one: a file grad_NAME.c here and a row below. */
#include <string.h>

#include "compiler/method/gradient.h"

extern const Estimator rxn__estimator_coupled, rxn__estimator_gk, rxn__estimator_martingale,
    rxn__estimator_path, rxn__estimator_path_adjoint, rxn__estimator_path_forward,
    rxn__estimator_score;
extern const Estimator rxn__estimator_gumbel, rxn__estimator_propensity;

const Estimator *const rxn__estimators[] = {
    &rxn__estimator_score,        &rxn__estimator_martingale,
    &rxn__estimator_path,         &rxn__estimator_path_adjoint,
    &rxn__estimator_path_forward, &rxn__estimator_gk,
    &rxn__estimator_coupled,      &rxn__estimator_gumbel,
    &rxn__estimator_propensity,   NULL,
};

const Estimator *
rxn__estimator_find(const char *name)
{
    for (const Estimator *const *e = rxn__estimators; *e; e++)
        if (strcmp((*e)->name, name) == 0)
            return *e;
    return NULL;
}
