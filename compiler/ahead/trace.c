/* trace.c: every stage of a model's compilation, one after another: what `rxn trace` writes.
 *
 * It is the one function that takes a file in the place of a model: a model with mistakes has the stages before them too, and is
 * none for the others.
 */
#include <string.h>

#include "compiler/ahead/private.h"

typedef struct Tracing {
    RxnModel model; /* its session, with the files that it uses; it is never opened */
    const char *path;
    const RxnTraceOptions *options;
    Job job;
    Grad grad;   /* with the pipeline; the rest is used for a gradient */
    Arena again; /* what is read back from one stage */
    u32 count;
    bool ended;   /* the caller wants no more of it */
    bool differs; /* a text did not read back */
    char *name;
} Tracing;

RxnTraceOptions
rxn_trace_options(void)
{
    return (RxnTraceOptions){.kernel = rxn_simulator_options()};
}

/* ---- reading back ------------------------------------------------------------------------------ */

/* Reads the text with the stage's reader and prints what it read. Returns what stands in the way. */
static const char *
read_back(NameTable *names, Arena *arena, PipelineForm form, const char *text, size_t length,
          Text *again)
{
    Network *network;
    KirKernel *kernel;
    const char *error = form == FORM_NETWORK
                            ? rxn__network_read(arena, names, text, length, &network)
                            : rxn__kir_read(arena, names, text, length, &kernel);
    rxn__text_init(again, arena);
    if (!error && form == FORM_NETWORK)
        rxn__network_print(network, again);
    else if (!error)
        rxn__kir_print(kernel, again);
    return error;
}

static void
verify(Tracing *tracing, const char *name, PipelineForm form, const char *text, size_t length)
{
    Engine *engine = &tracing->model.engine;
    Text again;
    const char *error =
        read_back(&engine->session.names, &tracing->again, form, text, length, &again);
    tracing->differs = true;
    if (error)
        rxn__engine_error(engine, "%s does not read back: %s", name, error);
    else if (again.length != length || memcmp(again.data, text, length) != 0)
        rxn__engine_error(engine, "%s reads back as another text", name);
    else
        tracing->differs = false;
    rxn__arena_release(&tracing->again);
}

/* As PipelineRequest.trace. */
static void
take_stage(void *context, const char *stage, const char *suffix, PipelineForm form,
           const char *text, size_t length)
{
    Tracing *tracing = context;
    const RxnTraceOptions *o = tracing->options;
    if (tracing->ended || tracing->differs)
        return;
    Text name;
    rxn__text_init(&name, &tracing->model.engine.session.arena);
    rxn__text_printf(&name, "%02u-%s.%s", tracing->count++, stage, suffix);
    tracing->ended = o->stage && !o->stage(o->stage_context, name.data, text, length);
    if (o->verify && !tracing->ended && (form == FORM_NETWORK || form == FORM_KIR))
        verify(tracing, name.data, form, text, length);
}

/* ---- the way of a model ------------------------------------------------------------------------ */

/* From the network on: the kernel of the one estimator. */
static RxnStatus
trace_gradient(Tracing *tracing)
{
    Grad *grad = &tracing->grad;
    RxnStatus status = rxn__grad_network(grad);
    if (status == RXN_OK)
        status = rxn__grad_choose(grad);
    if (status != RXN_OK)
        return status;
    grad->stages.goal = PIPELINE_OPTIMIZED;
    return rxn__pipeline_gradient(&grad->engine->session, &grad->stages,
                                  rxn__estimator_find(grad->estimators.items[0]), &grad->request,
                                  &grad->pipeline);
}

/* What is asked for, with all that is wrong with it. */
static RxnStatus
take_options(Tracing *tracing)
{
    const RxnTraceOptions *o = tracing->options;
    Engine *engine = &tracing->model.engine;
    Job *job = &tracing->job;
    RxnStatus status = rxn__job_options(job, engine, &o->kernel, o->gradient, "native");
    const char *estimator = job->gradient.estimators;
    rxn__job_tapes(job, o->gradient ? o->gradient->tape_memory : 0, 0);
    if (status != RXN_OK || strcmp(estimator, "auto") == 0 || rxn__estimator_find(estimator))
        return status;
    return rxn__api_refuse(engine, "--estimator '%s' is not one that has a kernel",
                           rxn__shown(&engine->session.arena, estimator, strlen(estimator)));
}

static RxnStatus
trace(void *context)
{
    Tracing *tracing = context;
    Engine *engine = &tracing->model.engine;
    Job *job = &tracing->job;
    Grad *grad = &tracing->grad;
    RxnStatus status = take_options(tracing);
    if (status != RXN_OK)
        return status;
    if (!rxn__load_model(engine, tracing->path, &job->file))
        return RXN_ERROR_INPUT;
    /* Without a target the trace ends with the kernel. */
    *grad = rxn__job_grad(job, rxn__target_find("llvm") ? "cpu" : "interpreter", job->precision);
    grad->stages.goal = PIPELINE_OPTIMIZED;
    grad->stages.trace = take_stage;
    grad->stages.trace_context = tracing;
    status = tracing->options->gradient
                 ? trace_gradient(tracing)
                 : rxn__pipeline_run(&engine->session, &grad->stages, &grad->pipeline);
    engine->internal_error = grad->pipeline.internal_error;
    if (status != RXN_OK)
        return status;
    if (tracing->differs)
        return RXN_ERROR_INPUT;
    if (tracing->ended) {
        rxn__engine_error(engine, "the trace was ended at its stage %u", tracing->count);
        return RXN_CANCELLED;
    }
    Name name = grad->pipeline.network->name;
    tracing->name = name ? rxn__api_text(name->text, name->length) : NULL;
    return tracing->name || !name ? RXN_OK : RXN_ERROR_MEMORY;
}

/* ---- the call ---------------------------------------------------------------------------------- */

RxnStatus
rxn_trace(const char *path, const RxnModelOptions *model_options, const RxnTraceOptions *options,
          char **ret_name, RxnError **ret_error)
{
    const RxnTraceOptions usual = rxn_trace_options();
    Tracing tracing = {.path = path, .options = options ? options : &usual};
    Engine *engine = &tracing.model.engine;
    RxnStatus status = rxn__model_begin(&tracing.model, model_options);
    rxn__arena_init(&tracing.again, engine->session.memory);
    if (status == RXN_OK)
        status = rxn__api_guard(engine, trace, &tracing);
    status = rxn__api_finish(engine, &tracing.model.options, status, ret_error);
    if (tracing.grad.pipeline.arena.memory)
        rxn__pipeline_close(&tracing.grad.pipeline);
    rxn__arena_release(&tracing.again);
    rxn__engine_close(engine);
    if (ret_name)
        *ret_name = tracing.name;
    else
        rxn_text_free(tracing.name);
    return status;
}
