/* grad_figures.c: what follows from estimates and their errors: how good they are, and warnings where a number
 * is not to be trusted without a second look.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "compiler/engine/grad.h"
#include "compiler/method/grad_score.h"

/* From here on a warning is due. */
static const double large_relative_error = 0.1, wanted_relative_error = 0.01;
static const double hopeless_relative_error = 0.5, saturated = 0.5;
/* An adjoint is the change of an output by one count more: of the output's own size at most, if all is well. */
static const double exploded = 100;
/* To which the solution of the master equation is held to be right, beside the mass that is lost. */
static const double exact_enough = 1e-8;

/* ---- figures ----------------------------------------------------------------------------------- */

GradCell
rxn__grad_cell(const Grad *grad, const GradEstimate *estimate, u32 output, u32 parameter)
{
    size_t at = (size_t)output * grad->request.wrt_count + parameter;
    return (GradCell){.estimate = estimate,
                      .output = output,
                      .parameter = parameter,
                      .gradient = estimate->gradient[at],
                      .se = estimate->se[at],
                      .sd = estimate->sd[at]};
}

const GradEstimate *
rxn__grad_found(const Grad *grad, const char *name)
{
    for (u32 k = 0; k < grad->estimates.count; k++)
        if (strcmp(grad->estimates.items[k].estimator, name) == 0)
            return &grad->estimates.items[k];
    return NULL;
}

/* NaN where it says nothing: 0 ± 0, and what has no error. */
double
rxn__grad_relative_error(const GradCell *cell)
{
    return cell->estimate->exact || cell->se == 0 ? NAN : cell->se / fabs(cell->gradient);
}

double
rxn__grad_bias(const Grad *grad, const GradCell *cell)
{
    const GradEstimate *exact = rxn__grad_found(grad, "exact");
    if (!exact || cell->estimate->exact)
        return NAN;
    size_t at = (size_t)cell->output * grad->request.wrt_count + cell->parameter;
    double bias = cell->gradient - exact->gradient[at];
    /* What the master equation does not know either is no bias: some estimates have no noise at all. */
    double unknown = exact->gradient_error[at] + exact_enough * fabs(exact->gradient[at]);
    return fabs(bias) <= unknown ? 0 : bias / cell->se;
}

/* Variance times time, in units of what score needs: how much more work a given error costs. */
double
rxn__grad_work(const Grad *grad, const GradCell *cell)
{
    const GradEstimate *score = rxn__grad_found(grad, "score");
    if (!score || cell->estimate->exact)
        return NAN;
    GradCell other = rxn__grad_cell(grad, score, cell->output, cell->parameter);
    return cell->se * cell->se * cell->estimate->seconds / (other.se * other.se * score->seconds);
}

bool
rxn__grad_blind(const GradEstimate *estimate, u32 diagnostic)
{
    return strcmp(estimate->diagnostics[diagnostic].name, SCORE_BLIND) == 0 &&
           estimate->diagnostic_values[diagnostic] > 0;
}

/* ---- warnings ---------------------------------------------------------------------------------- */

typedef struct Warnings {
    const Grad *grad;
    Arena *arena;
    TextList list;
} Warnings;

static void warn(Warnings *warnings, const char *format, ...) RXN_PRINTF(2, 3);

static void
warn(Warnings *warnings, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = rxn__text_vformat(warnings->arena, format, args);
    va_end(args);
    vec_push(warnings->arena, &warnings->list, text);
}

/* "d P at 10 / d k1" */
static const char *
name_of(const Warnings *warnings, const GradCell *cell)
{
    const Grad *grad = warnings->grad;
    const Output *output = &grad->pipeline.network->objective->outputs.items[cell->output];
    Text text;
    rxn__text_init(&text, warnings->arena);
    rxn__text_printf(&text, "the derivative of %s", output->label);
    if (!isnan(output->time))
        rxn__text_printf(&text, " at %.10g", output->time);
    rxn__text_printf(&text, " by '%s'", grad->labels[cell->parameter]);
    return text.data;
}

/* One warning for each estimator, about the worst of its derivatives. */
static void
warn_of_errors(Warnings *warnings, const GradEstimate *estimate)
{
    const Grad *grad = warnings->grad;
    GradCell worst = {0};
    double most = 0;
    u64 large = 0, broken = 0;
    for (u32 k = 0; k < grad->output_count; k++)
        for (u32 p = 0; p < grad->request.wrt_count; p++) {
            GradCell cell = rxn__grad_cell(grad, estimate, k, p);
            double error = rxn__grad_relative_error(&cell);
            bool finite = isfinite(cell.gradient);
            if (!finite && broken++ == 0)
                worst = cell;
            if (finite && error > large_relative_error)
                large++;
            if (!broken && error > large_relative_error && error > most) {
                most = error;
                worst = cell;
            }
        }
    if (broken) {
        warn(warnings, "%s: %s is not a finite number%s", estimate->estimator,
             name_of(warnings, &worst), broken > 1 ? ", nor are others" : "");
        return;
    }
    if (large == 0)
        return;
    Text others;
    rxn__text_init(&others, warnings->arena);
    rxn__text_printf(&others, "%s", "");
    if (large > 1)
        rxn__text_printf(&others, " (and %" PRIu64 " more above %g %%)", large - 1,
                         100 * large_relative_error);
    if (most > hopeless_relative_error) {
        warn(warnings, "%s: %s cannot be told from 0: %.3g ± %.2g%s", estimate->estimator,
             name_of(warnings, &worst), worst.gradient, worst.se, others.data);
        return;
    }
    double ratio = most / wanted_relative_error;
    warn(warnings,
         "%s: the standard error of %s is %.0f %%%s; some %.2g trajectories would make it %g %%",
         estimate->estimator, name_of(warnings, &worst), 100 * most, others.data,
         (double)estimate->trajectories * ratio * ratio, 100 * wanted_relative_error);
}

static void
warn_of_diagnostics(Warnings *warnings, const GradEstimate *estimate)
{
    const Grad *grad = warnings->grad;
    double largest = 1;
    for (u32 k = 0; k < grad->output_count; k++)
        largest = fmax(largest, fabs(estimate->value[k]));
    for (u32 d = 0; d < estimate->diagnostic_count; d++) {
        const char *name = estimate->diagnostics[d].name;
        double value = estimate->diagnostic_values[d];
        if (rxn__grad_blind(estimate, d))
            warn(warnings,
                 "%s: where a propensity is zero and another value of a parameter would make it "
                 "positive, no trajectory shows what it does: derivatives by such parameters are "
                 "wrong; path and gk are not blind to it",
                 estimate->estimator);
        if (strstr(name, "lambda") && !(value < exploded * largest))
            warn(warnings,
                 "%s: the adjoint grew to %.2g: its derivatives are dominated by few trajectories",
                 estimate->estimator, value);
        if (strstr(name, "saturated") && value > saturated)
            warn(warnings,
                 "%s: the softmax was saturated in %.0f %% of the steps: --tau %g is too small for "
                 "these propensities",
                 estimate->estimator, 100 * value, grad->options.tau);
    }
}

TextList
rxn__grad_warnings(const Grad *grad, Arena *arena)
{
    Warnings warnings = {.grad = grad, .arena = arena};
    Text biased;
    u32 count = 0;
    rxn__text_init(&biased, arena);
    for (u32 e = 0; e < grad->estimates.count; e++) {
        const GradEstimate *estimate = &grad->estimates.items[e];
        if (estimate->exact)
            continue;
        warn_of_errors(&warnings, estimate);
        warn_of_diagnostics(&warnings, estimate);
        if (!estimate->unbiased)
            rxn__text_printf(&biased, "%s%s", count++ ? ", " : "", estimate->estimator);
    }
    if (count)
        warn(&warnings, "biased here: %s; standard errors say nothing of that", biased.data);
    return warnings.list;
}
