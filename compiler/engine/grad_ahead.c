/* grad_ahead.c: the kernels of all estimators of a request, one after another, of which none is run: for programs that rxn
 * builds, and to look at.
 */
#include "compiler/engine/grad.h"

static void
announce(const GradAhead *ahead, const char *what)
{
    if (ahead->next)
        ahead->next(ahead->context, what);
}

/* The kernel of the pilot where there is one, then the main kernel, whose weights are data. */
static RxnStatus
compile_estimator(Grad *grad, const Estimator *estimator, const GradAhead *ahead)
{
    Text what;
    rxn__text_init(&what, &grad->engine->session.arena);
    rxn__text_printf(&what, "grad --estimator %s", estimator->name);
    PilotProgram program;
    PilotRequest pilot = {.stages = &grad->stages,
                          .pipeline = &grad->pipeline,
                          .estimator = estimator,
                          .request = &grad->request,
                          .values = &grad->values,
                          .trajectories = grad->options.ensemble.trajectories};
    if (estimator->pilot) {
        announce(ahead, "the pilot of the next");
        RxnStatus status = rxn__pilot_compile(grad->engine, &pilot, &program);
        if (status != RXN_OK)
            return status;
        grad->request.control = program.weights;
    }
    announce(ahead, what.data);
    RxnStatus status = rxn__grad_compile(grad, estimator);
    grad->request.control = NULL;
    return status;
}

static bool
applies(Grad *grad, const Estimator *estimator)
{
    Text reason;
    rxn__text_init(&reason, &grad->pipeline.arena);
    return estimator->applies(&grad->request, &reason);
}

RxnStatus
rxn__grad_ahead(Grad *grad, PipelineGoal goal, const GradAhead *ahead)
{
    RxnStatus status = rxn__grad_network(grad);
    if (status != RXN_OK)
        return status;
    if (ahead->read)
        ahead->read(ahead->context);
    rxn__bind_own(grad->engine, &grad->pipeline, &grad->values);
    rxn__grad_times(grad);
    status = rxn__grad_choose(grad);
    if (status != RXN_OK)
        return status;
    grad->stages.goal = goal;
    for (u32 k = 0; k < grad->estimators.count && status == RXN_OK; k++) {
        const Estimator *estimator = rxn__estimator_find(grad->estimators.items[k]);
        if (!estimator || (grad->all && !applies(grad, estimator)))
            continue; /* `exact` has no kernel */
        status = compile_estimator(grad, estimator, ahead);
        if (status == RXN_OK && ahead->each)
            status = ahead->each(ahead->context, grad);
    }
    return status;
}
