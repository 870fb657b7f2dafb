/* emit.c: stages of a model's compilation for any machine: what `rxn build --emit` writes. */
#include <string.h>

#include "compiler/ahead/private.h"

typedef struct Emitting {
    ApiPart part;
    RxnForm form;
    const RxnEmitOptions *options;
    Job job;
    Grad grad; /* with the pipeline; the rest is used for a gradient */
    Text text;
    char *bytes;
    size_t size;
} Emitting;

RxnEmitOptions
rxn_emit_options(void)
{
    return (RxnEmitOptions){.kernel = rxn_simulator_options()};
}

/* ---- forms ------------------------------------------------------------------------------------- */

typedef struct Form {
    RxnForm form;
    PipelineGoal goal;
    const char *target;
    TargetForm shape;
    bool by_nvrtc;
} Form;

static const Form forms[] = {
    {RXN_FORM_NETWORK, PIPELINE_NETWORK, NULL, TARGET_IR, false},
    {RXN_FORM_KERNEL, PIPELINE_OPTIMIZED, NULL, TARGET_IR, false},
    {RXN_FORM_LLVM, PIPELINE_OPTIMIZED, "llvm", TARGET_IR_OPTIMIZED, false},
    {RXN_FORM_ASSEMBLY, PIPELINE_OPTIMIZED, "llvm", TARGET_ASSEMBLY, false},
    {RXN_FORM_OBJECT, PIPELINE_OPTIMIZED, "llvm", TARGET_OBJECT, false},
    {RXN_FORM_CUDA, PIPELINE_OPTIMIZED, "cuda", TARGET_IR, false},
    {RXN_FORM_PTX, PIPELINE_OPTIMIZED, "cuda", TARGET_ASSEMBLY, true},
    {RXN_FORM_CUBIN, PIPELINE_OPTIMIZED, "cuda", TARGET_OBJECT, true},
    {RXN_FORM_HEADER, PIPELINE_NETWORK, NULL, TARGET_IR, false},
};

static const Form *
find_form(RxnForm form)
{
    for (u32 k = 0; k < COUNT_OF(forms); k++)
        if (forms[k].form == form)
            return &forms[k];
    return NULL;
}

/* ---- for GPUs ---------------------------------------------------------------------------------- */

/* PTX is text, so without the zero byte that ends it in memory. */
static RxnStatus
emit_for_gpu(Emitting *emitting, const Form *form, const TargetOptions *options, Arena *scratch,
             const char **ret_error)
{
    Ahead *ahead = &emitting->job.ahead;
    const bool is_ptx = form->shape == TARGET_ASSEMBLY;
    CompiledKernel rendered;
    AheadCudaCode code;
    RxnStatus status = rxn__target_find("cuda")->compile(emitting->grad.pipeline.kernel.kernel,
                                                         options, scratch, &rendered, ret_error);
    if (status == RXN_OK)
        status = rxn__ahead_cuda_code(ahead, rendered.cuda, ahead->architectures[0], is_ptx, &code,
                                      ret_error);
    if (status != RXN_OK)
        return status;
    while (is_ptx && code.size > 0 && ((const char *)code.bytes)[code.size - 1] == '\0')
        code.size--;
    rxn__text_append(&emitting->text, code.bytes, code.size);
    return RXN_OK;
}

/* ---- one stage --------------------------------------------------------------------------------- */

static RxnStatus
emit_code(Emitting *emitting, const Form *form)
{
    Engine *engine = &emitting->part.engine;
    const RxnEmitOptions *o = emitting->options;
    const Target *target = rxn__target_find(form->target);
    const March *march = emitting->job.ahead.marches[0];
    const char *error = NULL;
    Arena *arena = &emitting->grad.pipeline.arena;
    if (!target)
        return rxn__api_refuse(engine, "this build has no target '%s'", form->target);
    const TargetOptions options = {.lanes = o->kernel.lanes,
                                   .many = !o->gradient, /* as in the program */
                                   .differentiates = o->gradient != NULL,
                                   .cpu = march->cpu,
                                   .features = march->features};
    RxnStatus status = form->by_nvrtc
                           ? emit_for_gpu(emitting, form, &options, arena, &error)
                           : target->emit(emitting->grad.pipeline.kernel.kernel, &options,
                                          form->shape, arena, &emitting->text, &error);
    if (status == RXN_ERROR_INPUT || status == RXN_ERROR_USAGE)
        rxn__engine_error(engine, "%s", error ? error : "no message");
    else if (status == RXN_ERROR_INTERNAL && error)
        engine->internal_error = rxn__arena_copy_text(&engine->session.arena, error, strlen(error));
    return status;
}

static RxnStatus
emit_kernel(Emitting *emitting)
{
    const Form *form = find_form(emitting->form);
    if (form->target)
        return emit_code(emitting, form);
    rxn__kir_print(emitting->grad.pipeline.kernel.kernel, &emitting->text);
    return RXN_OK;
}

/* With several estimators the first counts. */
static RxnStatus
emit_gradient(void *context, Grad *grad)
{
    Emitting *emitting = context;
    (void)grad;
    return emitting->text.length ? RXN_OK : emit_kernel(emitting);
}

static RxnStatus
emit_header(Emitting *emitting)
{
    Header header;
    RxnStatus status =
        rxn__header_write(&emitting->job, emitting->part.model, &emitting->grad, &header);
    if (status == RXN_OK)
        emitting->text = header.text;
    return status;
}

static RxnStatus
make_text(Emitting *emitting, const Form *form)
{
    Engine *engine = &emitting->part.engine;
    Grad *grad = &emitting->grad;
    const bool differentiates = emitting->options->gradient != NULL;
    const bool on_gpu = form->target && strcmp(form->target, "cuda") == 0;
    RxnStatus status;
    *grad = rxn__job_grad(&emitting->job, on_gpu ? "cuda" : "cpu", emitting->job.precision);
    /* Targets that compile nothing: no form needs one that this build may lack, but its own. */
    engine->session.host = &rxn__target_ahead;
    engine->session.gpu = &rxn__target_ahead_cuda;
    if (form->form == RXN_FORM_HEADER)
        return emit_header(emitting);
    if (differentiates && form->goal != PIPELINE_NETWORK)
        return rxn__grad_ahead(grad, form->goal,
                               &(GradAhead){.context = emitting, .each = emit_gradient});
    if (differentiates) {
        status = rxn__grad_network(grad);
    } else {
        grad->stages.goal = form->goal;
        grad->stages.front = emitting->part.front;
        status = rxn__pipeline_run(&engine->session, &grad->stages, &grad->pipeline);
        engine->internal_error = grad->pipeline.internal_error;
    }
    if (status != RXN_OK || form->goal != PIPELINE_NETWORK)
        return status == RXN_OK ? emit_kernel(emitting) : status;
    rxn__network_print(grad->pipeline.network, &emitting->text);
    return RXN_OK;
}

static RxnStatus
take_options(Emitting *emitting)
{
    const RxnEmitOptions *o = emitting->options;
    const u64 tape = o->gradient ? o->gradient->tape_memory : 0;
    RxnStatus status = rxn__job_options(&emitting->job, &emitting->part.engine, &o->kernel,
                                        o->gradient, o->march ? o->march : "native");
    emitting->job.file = emitting->part.file;
    rxn__job_tapes(&emitting->job, tape, tape);
    return status;
}

static RxnStatus
emit(void *context)
{
    Emitting *emitting = context;
    Engine *engine = &emitting->part.engine;
    const Form *form = find_form(emitting->form);
    rxn__text_init(&emitting->text, &engine->session.arena);
    if (!form)
        return rxn__api_refuse(engine,
                               "this form of a model is not emitted; rxn_model_text has it");
    RxnStatus status = take_options(emitting);
    if (status == RXN_OK && form->by_nvrtc)
        status = rxn__job_open_nvrtc(&emitting->job, "--emit cuda writes what NVRTC would compile");
    if (status == RXN_OK && form->by_nvrtc)
        status = rxn__job_architectures(&emitting->job, emitting->options->gpu);
    if (status == RXN_OK)
        status = make_text(emitting, form);
    if (status != RXN_OK)
        return status;
    emitting->bytes = rxn__api_text(emitting->text.data, emitting->text.length);
    emitting->size = emitting->text.length;
    return emitting->bytes ? RXN_OK : RXN_ERROR_MEMORY;
}

/* ---- the call ---------------------------------------------------------------------------------- */

RxnStatus
rxn_model_emit(RxnModel *model, RxnForm form, const RxnEmitOptions *options, char **ret_bytes,
               size_t *ret_size, RxnError **ret_error)
{
    if (ret_bytes)
        *ret_bytes = NULL;
    if (!ret_bytes || !ret_size)
        return rxn__api_nowhere(ret_bytes ? "ret_size" : "ret_bytes", ret_error);
    const RxnEmitOptions usual = rxn_emit_options();
    Emitting emitting = {.form = form, .options = options ? options : &usual};
    RxnStatus status = emitting.options->gradient
                           ? rxn__part_open(&emitting.part, model)
                           : rxn__part_open_at_network(&emitting.part, model);
    if (status == RXN_OK)
        status = rxn__api_guard(&emitting.part.engine, emit, &emitting);
    status = rxn__part_finish(&emitting.part, status, ret_error);
    if (emitting.grad.pipeline.arena.memory)
        rxn__pipeline_close(&emitting.grad.pipeline);
    rxn__part_close(&emitting.part);
    *ret_bytes = emitting.bytes;
    *ret_size = emitting.size;
    return status;
}
