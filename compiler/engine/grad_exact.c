/* grad_exact.c: the estimator `exact`, which estimates nothing: derivatives of the master equation.
 */
#include <math.h>

#include "compiler/cme/cme.h"
#include "compiler/engine/grad.h"
#include "runtime/report.h"

/* With `all` the master equation is a companion that must not take much longer than the rest: some
 * seconds. By name it may take its time. */
static const double work_of_a_companion = 2e10;

static const char *
describe(Arena *arena, const CmeGradient *gradient)
{
    char states[32];
    Text text;
    rxn__text_init(&text, arena);
    rxn__format_grouped(states, sizeof states, gradient->cost.states);
    rxn__text_printf(&text, "%s states, at most %.2g of the probability beyond them", states,
                     fmax(gradient->lost, 0));
    return text.data;
}

/* One that is cancelled from the start gets as far as its plan. */
const char *
rxn__grad_exact_obstacle(Grad *grad)
{
    static const volatile int cancelled = 1;
    CmeOptions options = {.cancel = &cancelled};
    CmeModel model = {grad->pipeline.network, grad->values.params, grad->values.inputs};
    CmeGradient ignored;
    const char *reason = NULL;
    RxnStatus status = rxn__cme_gradient(&model, grad->pipeline.network->objective,
                                         grad->request.wrt, grad->request.wrt_count, &options,
                                         &grad->pipeline.arena, &ignored, &reason);
    return status == RXN_ERROR_INPUT ? reason : NULL;
}

RxnStatus
rxn__grad_exact(Grad *grad, GradRefuse refuse)
{
    Arena *arena = grad->found;
    Network *network = grad->pipeline.network;
    size_t cells = (size_t)grad->output_count * grad->request.wrt_count;
    Watched watched = rxn__watch_begin(grad->engine, false, grad->options.ensemble.quiet);
    CmeOptions options = {
        .state_limit = grad->state_limit,
        .work_limit = grad->work_limit > 0 ? grad->work_limit
                      : grad->all          ? work_of_a_companion
                                           : 0,
        .cancel = watched.cancel,
        .progress = watched.progress,
        .progress_context = watched.progress_context,
    };
    CmeModel model = {network, grad->values.params, grad->values.inputs};
    CmeGradient gradient = {0};
    const char *reason = NULL;
    double start = rxn__seconds();
    RxnStatus status =
        rxn__cme_gradient(&model, network->objective, grad->request.wrt, grad->request.wrt_count,
                          &options, arena, &gradient, &reason);
    rxn__watch_end(grad->engine);
    if (status == RXN_ERROR_INPUT)
        return refuse(grad, "exact", reason ? reason : "no reason given");
    if (status == RXN_CANCELLED)
        rxn__engine_error(grad->engine, "interrupted in the master equation; nothing was written");
    if (status == RXN_ERROR_INTERNAL)
        grad->engine->internal_error = reason;
    if (status != RXN_OK)
        return status;
    GradEstimate estimate = {
        .estimator = "exact",
        .unbiased = true,
        .exact = true,
        .remarks = describe(arena, &gradient),
        .seconds = rxn__seconds() - start,
        .value = gradient.value,
        .value_se = NEW_ARRAY(arena, double, (size_t)grad->output_count + 1),
        .value_error = gradient.value_error,
        .gradient = gradient.gradient,
        .se = NEW_ARRAY(arena, double, cells + 1),
        .sd = NEW_ARRAY(arena, double, cells + 1),
        .gradient_error = gradient.gradient_error,
    };
    vec_push(arena, &grad->estimates, estimate);
    return RXN_OK;
}
