/* api_emit.c: stages of a model's compilation for any machine: what `rxn build --emit` writes. */
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/api.h"
#include "compiler/engine/grad.h"
#include "compiler/target/ahead.h"

/* Of one trajectory: not of this machine's memory, since the code may run on another. A GPU has some 100,000 trajectories in
 * flight. (As `rxn build` has it.) sm_80: all data-centre GPUs since 2020 can run it. */
enum { TAPE_BYTES = 16 << 20, CUDA_TAPE_BYTES = 64 << 10, USUAL_ARCHITECTURE = 80, MESSAGE = 512 };

typedef struct Emitting {
    ApiPart part;
    RxnForm form;
    const RxnEmitOptions *options;
    KirType precision;
    Ahead ahead; /* for GPUs */
    Grad grad;   /* with the pipeline; the rest is used for a gradient */
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
};

static const Form *
find_form(RxnForm form)
{
    for (u32 k = 0; k < COUNT_OF(forms); k++)
        if (forms[k].form == form)
            return &forms[k];
    return NULL;
}

/* ---- options ----------------------------------------------------------------------------------- */

static const char *
shown(Engine *engine, const char *text)
{
    return rxn__shown(&engine->session.arena, text, strlen(text));
}

static RxnStatus
check_kernel(Emitting *emitting)
{
    Engine *engine = &emitting->part.engine;
    const RxnEmitOptions *o = emitting->options;
    const char *precision = o->kernel.precision ? o->kernel.precision : "f64";
    if (!rxn__check_precision(engine, precision) || !rxn__check_lanes(engine, o->kernel.lanes) ||
        rxn__api_check_shown(&emitting->part, &o->kernel) != RXN_OK)
        return RXN_ERROR_USAGE;
    emitting->precision = strcmp(precision, "f32") == 0 ? KIR_F32 : KIR_F64;
    Grad *grad = &emitting->grad;
    grad->engine = engine;
    grad->file = emitting->part.file;
    engine->is_ahead = true;
    engine->tape_bytes = TAPE_BYTES;
    engine->cuda_tape_bytes = CUDA_TAPE_BYTES;
    if (!o->gradient)
        return RXN_OK;
    if (o->gradient->tape_memory)
        engine->tape_bytes = engine->cuda_tape_bytes = o->gradient->tape_memory;
    rxn__api_grad_options(&engine->session.arena, o->gradient, &grad->options);
    grad->options.tape_memory = NULL; /* it would be of all tapes */
    if (!rxn__grad_check_options(grad))
        return RXN_ERROR_USAGE;
    grad->options.ensemble.device = "cpu";
    grad->options.ensemble.precision = precision;
    grad->options.ensemble.lanes = o->kernel.lanes;
    return RXN_OK;
}

static RxnStatus
check_march(Emitting *emitting)
{
    Engine *engine = &emitting->part.engine;
    const char *name = emitting->options->march;
    if (!name || rxn__march_find(name))
        return RXN_OK;
    rxn__api_refuse(engine, "there is no processor '%s'", shown(engine, name));
    rxn__engine_note(engine, "processors: %s", rxn__march_names);
    return RXN_ERROR_USAGE;
}

/* ---- for GPUs ---------------------------------------------------------------------------------- */

static void
close_nvrtc(void *nvrtc)
{
    rxn__nvrtc_close(nvrtc);
}

/* "sm_90" as 90; 0: it is no such name. */
static u32
read_architecture(const char *name)
{
    const size_t length = strlen(name);
    const bool is_name = length >= 4 && length <= 7 && strncmp(name, "sm_", 3) == 0 &&
                         strspn(name + 3, "0123456789") == length - 3;
    return is_name ? (u32)strtoul(name + 3, NULL, 10) : 0;
}

static RxnStatus
refuse_architecture(Engine *engine, const RxnNvrtc *nvrtc, const char *name)
{
    Text text;
    const int *known;
    const u32 count = rxn__nvrtc_architectures(nvrtc, &known), version = rxn__nvrtc_version(nvrtc);
    rxn__text_init(&text, &engine->session.arena);
    for (u32 k = 0; k < count; k++)
        rxn__text_printf(&text, "%ssm_%d", k ? ", " : "", known[k]);
    rxn__api_refuse(engine, "--cuda takes no '%s'", shown(engine, name));
    rxn__engine_note(engine, "NVRTC %u.%u makes code for %s", version / 1000, version / 10 % 100,
                     text.data);
    return RXN_ERROR_USAGE;
}

/* What is usual, or, where NVRTC is so new that it does not know it any more, the oldest. */
static u32
usual_architecture(const RxnNvrtc *nvrtc)
{
    const int *known;
    const u32 count = rxn__nvrtc_architectures(nvrtc, &known);
    u32 oldest = (u32)known[0];
    for (u32 k = 1; k < count; k++)
        oldest = (u32)known[k] < oldest ? (u32)known[k] : oldest;
    return rxn__nvrtc_knows(nvrtc, USUAL_ARCHITECTURE) ? USUAL_ARCHITECTURE : oldest;
}

static RxnStatus
open_nvrtc(Emitting *emitting)
{
    Engine *engine = &emitting->part.engine;
    Ahead *ahead = &emitting->ahead;
    const char *name = emitting->options->gpu;
    char message[MESSAGE];
    ahead->arena = &engine->session.arena;
    if (rxn__nvrtc_open(&ahead->nvrtc, message, sizeof message) != RXN_DONE) {
        rxn__engine_error(engine, "%s", message);
        rxn__engine_note(engine, "--emit cuda writes what NVRTC would compile");
        return RXN_ERROR_INPUT;
    }
    rxn__arena_on_release(&engine->session.arena, close_nvrtc, ahead->nvrtc);
    const u32 architecture = name ? read_architecture(name) : usual_architecture(ahead->nvrtc);
    if (!rxn__nvrtc_knows(ahead->nvrtc, architecture))
        return refuse_architecture(engine, ahead->nvrtc, name);
    ahead->architectures[0] = architecture;
    ahead->architecture_count = 1;
    return RXN_OK;
}

/* PTX is text, so without the zero byte that ends it in memory. */
static RxnStatus
emit_for_gpu(Emitting *emitting, const Form *form, const TargetOptions *options, Arena *scratch,
             const char **ret_error)
{
    Ahead *ahead = &emitting->ahead;
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
    const March *march = rxn__march_find(o->march ? o->march : "native");
    const char *error = NULL;
    Arena *arena = &emitting->grad.pipeline.arena;
    if (!target)
        return rxn__api_refuse(engine, "this build has no target '%s'", form->target);
    const TargetOptions options = {.lanes = o->kernel.lanes,
                                   .many = !o->gradient, /* as in the program */
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

static PipelineRequest
request_of(Emitting *emitting)
{
    const RxnSimulatorOptions *kernel = &emitting->options->kernel;
    return (PipelineRequest){.file = emitting->part.file,
                             .loader = &emitting->part.engine.loader,
                             .method = kernel->method ? kernel->method : "auto",
                             .precision = emitting->precision,
                             .target = {.lanes = kernel->lanes}};
}

static RxnStatus
make_text(Emitting *emitting, const Form *form)
{
    Engine *engine = &emitting->part.engine;
    Grad *grad = &emitting->grad;
    const bool differentiates = emitting->options->gradient != NULL;
    const bool on_gpu = form->target && strcmp(form->target, "cuda") == 0;
    RxnStatus status;
    grad->stages = request_of(emitting);
    /* Targets that compile nothing: no form needs one that this build may lack, but its own. */
    engine->session.host = &rxn__target_ahead;
    engine->session.gpu = &rxn__target_ahead_cuda;
    grad->stages.device = on_gpu ? "cuda" : "cpu";
    if (form->goal == PIPELINE_NETWORK && !differentiates) {
        rxn__network_print(emitting->part.model->pipeline.network, &emitting->text);
        return RXN_OK;
    }
    if (form->goal == PIPELINE_NETWORK) {
        status = rxn__grad_network(grad);
        if (status == RXN_OK)
            rxn__network_print(grad->pipeline.network, &emitting->text);
        return status;
    }
    if (differentiates)
        return rxn__grad_ahead(grad, form->goal,
                               &(GradAhead){.context = emitting, .each = emit_gradient});
    grad->stages.goal = form->goal;
    status = rxn__pipeline_run(&engine->session, &grad->stages, &grad->pipeline);
    engine->internal_error = grad->pipeline.internal_error;
    return status == RXN_OK ? emit_kernel(emitting) : status;
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
    RxnStatus status = check_kernel(emitting);
    if (status == RXN_OK)
        status = check_march(emitting);
    if (status == RXN_OK && form->by_nvrtc)
        status = open_nvrtc(emitting);
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
    RxnStatus status = rxn__part_open(&emitting.part, model);
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
