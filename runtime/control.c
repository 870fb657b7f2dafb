/* control.c: the backward fit (see control.h).
 */
#include "runtime/control.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Features of one number of grades, on one part of the pilot: their factors, made as they are needed. */
typedef struct Design {
    uint32_t features, trajectories;
    RxnFactor *factors; /* [rows] */
    bool *made;         /* [rows] */
} Design;

struct RxnControl {
    RxnPilot pilot;
    Design whole[RXN_MAX_GRADES], half[RXN_MAX_GRADES];
    double *rest;                 /* [trajectory]: R */
    double *response, *scratch;   /* [trajectory] */
    double *left, *right, *slope; /* [feature] */
};

/* A grade more has to pay for itself, by more than what is chance in half of a pilot. */
static const double worth_a_grade = 0.9;

static bool
open_design(Design *design, const RxnPilot *pilot, uint32_t grade, uint32_t trajectories)
{
    design->features = pilot->grade_end[grade];
    design->trajectories = trajectories;
    design->factors = calloc((size_t)pilot->rows + 1, sizeof *design->factors);
    design->made = calloc((size_t)pilot->rows + 1, sizeof *design->made);
    return design->factors && design->made;
}

static void
close_design(Design *design, uint32_t rows)
{
    for (uint32_t r = 0; design->made && design->factors && r < rows; r++)
        if (design->made[r])
            rxn__factor_free(&design->factors[r]);
    free(design->factors);
    free(design->made);
}

RxnControl *
rxn__control_new(const RxnPilot *pilot)
{
    RxnControl *control = calloc(1, sizeof *control);
    if (!control)
        return NULL;
    control->pilot = *pilot;
    size_t n = (size_t)pilot->trajectories + 1, features = (size_t)pilot->features + 1;
    bool good = true;
    for (uint32_t g = 0; g < pilot->grades; g++) {
        good &= open_design(&control->whole[g], pilot, g, pilot->trajectories);
        good &= open_design(&control->half[g], pilot, g, pilot->trajectories / 2);
    }
    control->rest = calloc(n, sizeof(double));
    control->response = calloc(n, sizeof(double));
    control->scratch = calloc(n, sizeof(double));
    control->left = calloc(features, sizeof(double));
    control->right = calloc(features, sizeof(double));
    control->slope = calloc(features, sizeof(double));
    if (!good || !control->rest || !control->response || !control->scratch || !control->left ||
        !control->right || !control->slope) {
        rxn__control_free(control);
        return NULL;
    }
    return control;
}

void
rxn__control_free(RxnControl *control)
{
    if (!control)
        return;
    for (uint32_t g = 0; g < control->pilot.grades; g++) {
        close_design(&control->whole[g], control->pilot.rows);
        close_design(&control->half[g], control->pilot.rows);
    }
    free(control->rest);
    free(control->response);
    free(control->scratch);
    free(control->left);
    free(control->right);
    free(control->slope);
    free(control);
}

static const double *
cell(const RxnPilot *pilot, const double *array, uint32_t row, uint32_t feature)
{
    return array + ((size_t)row * pilot->features + feature) * pilot->trajectories;
}

/* Slopes of what is still open at this row, on the features there. known: as in RxnTarget, or NULL.
 * NULL: out of memory. */
static const RxnFactor *
regress(RxnControl *control, Design *design, const double *known, uint32_t row, double *ret_slopes)
{
    const RxnPilot *pilot = &control->pilot;
    RxnFactor *factor = &design->factors[row];
    if (!design->made[row]) {
        if (!rxn__factor(cell(pilot, pilot->feature, row, 0), pilot->trajectories,
                         design->trajectories, design->features, factor))
            return NULL;
        design->made[row] = true;
    }
    const double *here = known ? known + (size_t)row * pilot->trajectories : NULL;
    for (uint32_t i = 0; i < design->trajectories; i++)
        control->response[i] = control->rest[i] - (here ? here[i] : 0);
    rxn__factor_solve(factor, control->response, control->scratch, ret_slopes);
    return factor;
}

/* Slopes of one bin. Where the state is still the same in all trajectories, or has not yet spread in all
 * directions, its start knows less than its end. */
static bool
fit_bin(RxnControl *control, Design *design, const RxnTarget *target, uint32_t start, uint32_t end)
{
    const RxnFactor *right = regress(control, design, target->known_before, end, control->right);
    const RxnFactor *left = regress(control, design, target->known, start, control->left);
    if (!left || !right)
        return false;
    double weight = left->rank == right->rank ? 0.5 : left->rank > right->rank ? 1 : 0;
    for (uint32_t f = 0; f < design->features; f++)
        control->slope[f] = weight * control->left[f] + (1 - weight) * control->right[f];
    return true;
}

/* Takes the bin's part of M from what is left of all trajectories, those outside the design, too. */
static void
collect(RxnControl *control, uint32_t features, uint32_t start, uint32_t end)
{
    const RxnPilot *pilot = &control->pilot;
    for (uint32_t f = 0; f < features; f++) {
        const double *before = cell(pilot, pilot->martingale, start, f);
        const double *after = cell(pilot, pilot->martingale, end, f);
        for (uint32_t i = 0; i < pilot->trajectories; i++)
            control->rest[i] -= control->slope[f] * (after[i] - before[i]);
    }
}

/* Fits all bins, leaves F - M in `rest`; ret_weight may be NULL. */
static bool
fit(RxnControl *control, Design *design, const RxnTarget *target, double *ret_weight)
{
    const RxnPilot *pilot = &control->pilot;
    size_t width = pilot->features;
    memcpy(control->rest, target->value, pilot->trajectories * sizeof(double));
    uint32_t bins = 0;
    while (bins < pilot->edges && pilot->edge[bins] < target->last)
        bins++;
    for (uint32_t b = bins; b-- > 0;) {
        bool is_last = b + 1 == bins;
        uint32_t start = pilot->edge[b], end = is_last ? target->last : pilot->edge[b + 1];
        if (!fit_bin(control, design, target, start, end))
            return false;
        collect(control, design->features, start, end);
        double *before = ret_weight ? ret_weight + b * width : NULL;
        double *after = ret_weight ? ret_weight + (is_last ? pilot->edges : b + 1) * width : NULL;
        for (uint32_t f = 0; ret_weight && f < design->features; f++) {
            before[f] -= control->slope[f];
            after[f] += control->slope[f];
        }
    }
    return true;
}

static double
variance(const double *values, uint32_t first, uint32_t end)
{
    double mean = 0, squares = 0, n = (double)end - first;
    for (uint32_t i = first; i < end; i++)
        mean += values[i] / n;
    for (uint32_t i = first; i < end; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return n > 1 ? squares / (n - 1) : 0;
}

bool
rxn__control_fit(RxnControl *control, const RxnTarget *target, double *ret_weight,
                 RxnControlFit *ret_fit)
{
    const RxnPilot *pilot = &control->pilot;
    uint32_t n = pilot->trajectories, half = n / 2;
    double plain = variance(target->value, half, n), least = plain;
    memset(ret_weight, 0, ((size_t)pilot->edges + 1) * pilot->features * sizeof *ret_weight);
    *ret_fit = (RxnControlFit){0, 1};
    if (!(plain > 0))
        return true;
    for (uint32_t g = 0; g < pilot->grades; g++) {
        if (!fit(control, &control->half[g], target, NULL))
            return false;
        double here = variance(control->rest, half, n);
        if (here < worth_a_grade * least) {
            least = here;
            ret_fit->grade = g + 1;
        }
    }
    ret_fit->gain = least > 0 ? plain / least : INFINITY;
    return ret_fit->grade == 0 ||
           fit(control, &control->whole[ret_fit->grade - 1], target, ret_weight);
}
