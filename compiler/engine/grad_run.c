/* grad_run.c: one estimator for `rxn grad`: what it found, kept. */
#include <math.h>
#include <string.h>

#include "compiler/engine/grad.h"
#include "runtime/report.h"

static const double *
copy(Arena *arena, const double *values, size_t count)
{
    double *copied = NEW_ARRAY(arena, double, count + 1);
    if (count)
        memcpy(copied, values, count * sizeof *values);
    return copied;
}

static void
keep(Grad *grad, GradEstimate *estimate, const RxnGradientResult *result)
{
    Arena *arena = grad->found;
    const GradientKernel *kernel = &grad->pipeline.gradient;
    u32 outputs = grad->output_count;
    size_t cells = (size_t)outputs * grad->request.wrt_count;
    double *se = NEW_ARRAY(arena, double, cells + 1);
    for (size_t c = 0; c < cells; c++)
        se[c] = result->sd[c] / sqrt((double)estimate->trajectories);
    /* With the control variate, which is nearly always a help: to take whichever error is smaller would make
     * it too small. */
    estimate->value = copy(arena, result->value, outputs);
    estimate->value_se = copy(arena, result->value_se, outputs);
    if (kernel->row.has_control) {
        estimate->plain_value = copy(arena, result->plain_value, outputs);
        estimate->plain_value_se = copy(arena, result->plain_value_se, outputs);
    }
    estimate->gradient = copy(arena, result->gradient, cells);
    estimate->sd = copy(arena, result->sd, cells);
    estimate->se = se;
    estimate->diagnostic_count = kernel->row.diagnostic_count;
    RowDiagnostic *diagnostics = NEW_ARRAY(arena, RowDiagnostic, RXN_MAX_DIAGNOSTICS);
    memcpy(diagnostics, kernel->row.diagnostics, sizeof kernel->row.diagnostics);
    estimate->diagnostics = diagnostics;
    estimate->diagnostic_values = copy(arena, result->diagnostics, estimate->diagnostic_count);
    for (u32 d = 0; d < estimate->diagnostic_count; d++)
        estimate->unbiased &= !rxn__grad_blind(estimate, d);
}

void
rxn__grad_warn_interpreted(Grad *grad, const Estimator *estimator)
{
    const GradOptions *o = &grad->options;
    Text wish;
    if (!grad->pipeline.why_interpreted)
        return;
    rxn__text_init(&wish, &grad->pipeline.arena);
    for (u32 k = 0; k < o->of.count; k++)
        rxn__text_printf(&wish, "%s--of '%s'", k ? " " : "", o->of.items[k]);
    for (u32 k = 0; k < o->at.count; k++) {
        rxn__text_printf(&wish, "%s", k ? "," : " --at ");
        rxn__text_f64(&wish, o->at.items[k]);
    }
    for (u32 k = 0; k < o->wrt.count; k++)
        rxn__text_printf(&wish, " --wrt %s", o->wrt.items[k]);
    rxn__text_printf(&wish, " --estimator %s", estimator->name);
    if (strcmp(o->ensemble.precision, "f64") != 0)
        rxn__text_printf(&wish, " --precision %s", o->ensemble.precision);
    rxn__warn_interpreted(grad->engine, &grad->pipeline, wish.data);
    rxn__engine_tell(grad->engine); /* before the work that takes long */
}

/* What the runner learns from the present values, and what the present options are. */
static RxnStatus
refresh(Grad *grad, GradRunner *runner)
{
    const GradOptions *o = &grad->options;
    runner->launch.step_limit = o->ensemble.step_limit;
    if (!runner->has_pilot)
        return RXN_OK;
    runner->pilot_request.threads = o->ensemble.threads;
    runner->pilot_request.step_limit = o->ensemble.step_limit;
    runner->pilot_program.trajectories =
        o->pilot ? (u32)o->pilot
                 : (u32)rxn__pilot_size(runner->pilot_program.plan, grad->trajectories);
    return rxn__grad_runner_refresh(runner, o->ensemble.seed);
}

/* The first time it is compiled, and has its pilot from that if it is for as many trajectories. */
static RxnStatus
make_ready(Grad *grad, const Estimator *estimator, GradRunner *runner)
{
    const GradOptions *o = &grad->options;
    if (runner->is_open)
        return refresh(grad, runner);
    rxn__grad_runner_close(runner); /* it was begun before, and memory was out */
    RxnStatus status = rxn__grad_runner_open(grad, estimator, o->ensemble.seed, runner);
    if (status != RXN_OK)
        return status;
    rxn__grad_warn_interpreted(grad, estimator);
    return grad->trajectories == o->ensemble.trajectories ? RXN_OK : refresh(grad, runner);
}

RxnStatus
rxn__grad_run(Grad *grad, const Estimator *estimator, GradRunner *runner)
{
    const GradOptions *o = &grad->options;
    const bool was_open = runner->is_open;
    double start = rxn__seconds();
    RxnStatus status = make_ready(grad, estimator, runner);
    if (status != RXN_OK)
        return status;
    const Pilot *pilot = &runner->pilot;
    const GradientKernel *kernel = &runner->kept.gradient;
    GradEstimate estimate = {
        .estimator = estimator->name,
        .unbiased = kernel->unbiased,
        .remarks = pilot->remark ? pilot->remark : kernel->remarks,
        .pilot = pilot->trajectories,
        .trajectories = grad->trajectories,
        .one_leaf = kernel->row.one_leaf,
        .seconds_compile = runner->seconds_compile,
    };
    GradEvaluation evaluation = {.seed = o->ensemble.seed,
                                 .trajectories = grad->trajectories,
                                 .name = estimator->name,
                                 .progress = !o->ensemble.quiet};
    status = rxn__grad_runner_evaluate(runner, &evaluation);
    if (evaluation.cancelled && grad->estimators.count > 1)
        rxn__engine_note(grad->engine, "that was the estimator '%s', number %u of %u",
                         estimate.estimator, grad->running + 1, grad->estimators.count);
    estimate.seconds = rxn__seconds() - start - (was_open ? 0 : runner->seconds_compile);
    estimate.rows = evaluation.rows;
    estimate.events = evaluation.events + pilot->events;
    if (status == RXN_OK) {
        keep(grad, &estimate, evaluation.result);
        vec_push(grad->found, &grad->estimates, estimate);
    }
    rxn__grad_runner_rest(runner);
    return status;
}
