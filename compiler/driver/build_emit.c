/* build_emit.c: `rxn build --emit FORM`: one stage of a model's compilation, as a file. */
#include <string.h>

#include "compiler/driver/build.h"

typedef enum EmitStage { EMIT_NETWORK, EMIT_KERNEL, EMIT_TARGET, EMIT_NVRTC } EmitStage;

static const struct {
    const char *name, *target;
    EmitStage stage;
    TargetForm form;
} forms[] = {
    {"network", NULL, EMIT_NETWORK, TARGET_IR},
    {"kir", NULL, EMIT_KERNEL, TARGET_IR},
    {"llvm", "llvm", EMIT_TARGET, TARGET_IR_OPTIMIZED},
    {"asm", "llvm", EMIT_TARGET, TARGET_ASSEMBLY},
    {"obj", "llvm", EMIT_TARGET, TARGET_OBJECT},
    {"cuda", "cuda", EMIT_TARGET, TARGET_IR},
    {"ptx", "cuda", EMIT_NVRTC, TARGET_ASSEMBLY},
    {"cubin", "cuda", EMIT_NVRTC, TARGET_OBJECT},
};

const char rxn__build_forms[] = "network, kir, llvm, asm, obj, cuda, ptx, cubin";

static int
find_form(const char *name)
{
    for (u32 k = 0; k < COUNT_OF(forms); k++)
        if (strcmp(forms[k].name, name) == 0)
            return (int)k;
    return -1;
}

bool
rxn__build_emits(const char *form)
{
    return find_form(form) >= 0;
}

bool
rxn__build_emits_for_gpus(const char *form)
{
    int k = find_form(form);
    return k >= 0 && forms[k].stage == EMIT_NVRTC;
}

typedef struct Emission {
    Build *build;
    int form;
    Text text;
} Emission;

/* PTX is text, so without the zero byte that ends it in memory. */
static RxnStatus
compile_for_gpu(Emission *emission, const KirKernel *kernel, const TargetOptions *options,
                Arena *scratch, const char **ret_error)
{
    Ahead *ahead = &emission->build->ahead;
    bool is_ptx = forms[emission->form].form == TARGET_ASSEMBLY;
    CompiledKernel rendered;
    AheadCudaCode code;
    RxnStatus status =
        rxn__target_find("cuda")->compile(kernel, options, scratch, &rendered, ret_error);
    if (status == RXN_OK)
        status = rxn__ahead_cuda_code(ahead, rendered.cuda, ahead->architectures[0], is_ptx, &code,
                                      ret_error);
    if (status != RXN_OK)
        return status;
    while (is_ptx && code.size > 0 && ((const char *)code.bytes)[code.size - 1] == '\0')
        code.size--;
    rxn__text_append(&emission->text, code.bytes, code.size);
    return RXN_OK;
}

static RxnStatus
emit_kernel(Emission *emission, const Pipeline *pipeline)
{
    Build *build = emission->build;
    Driver *driver = build->driver;
    int form = emission->form;
    if (forms[form].stage == EMIT_KERNEL) {
        rxn__kir_print(pipeline->kernel.kernel, &emission->text);
        return RXN_OK;
    }
    TargetOptions options = {.lanes = (u32)build->options.grad.ensemble.lanes,
                             .many = build->options.grad.of.count == 0, /* as in the program */
                             .cpu = build->ahead.marches[0]->cpu,
                             .features = build->ahead.marches[0]->features};
    const Target *target = rxn__target_find(forms[form].target);
    const char *error = NULL;
    Arena scratch;
    rxn__arena_init(&scratch, &driver->engine.session.memory);
    const KirKernel *kernel = pipeline->kernel.kernel;
    RxnStatus status =
        forms[form].stage == EMIT_NVRTC
            ? compile_for_gpu(emission, kernel, &options, &scratch, &error)
            : target->emit(kernel, &options, forms[form].form, &scratch, &emission->text, &error);
    if (status == RXN_ERROR_INPUT || status == RXN_ERROR_USAGE)
        rxn__driver_error(driver, "%s", error ? error : "no message");
    else if (status == RXN_ERROR_INTERNAL)
        driver->engine.internal_error =
            error ? rxn__arena_copy_text(&driver->engine.session.arena, error, strlen(error))
                  : NULL;
    rxn__arena_release(&scratch);
    return status;
}

/* With several estimators the first counts. */
static RxnStatus
emit_gradient(void *context, Grad *grad)
{
    Emission *emission = context;
    return emission->text.length ? RXN_OK : emit_kernel(emission, &grad->pipeline);
}

static RxnStatus
make_text(Emission *emission)
{
    Build *build = emission->build;
    Driver *driver = build->driver;
    const BuildOptions *o = &build->options;
    bool whole = forms[emission->form].stage != EMIT_NETWORK;
    KirType precision = strcmp(o->precision, "f32") == 0 ? KIR_F32 : KIR_F64;
    Grad grad = {.engine = &driver->engine, .options = o->grad, .file = build->file};
    const char *target = forms[emission->form].target;
    build->device = target && strcmp(target, "cuda") == 0 ? "cuda" : "cpu";
    grad.stages = rxn__build_stages(build, precision);
    RxnStatus status;
    if (o->grad.of.count > 0 && whole) {
        status = rxn__build_gradients(build, &grad, PIPELINE_OPTIMIZED, emit_gradient, emission);
    } else {
        grad.stages.goal = whole ? PIPELINE_OPTIMIZED : PIPELINE_NETWORK;
        status = o->grad.of.count > 0
                     ? rxn__grad_network(&grad)
                     : rxn__pipeline_run(&driver->engine.session, &grad.stages, &grad.pipeline);
        driver->engine.internal_error = grad.pipeline.internal_error;
        if (status == RXN_OK && whole)
            status = emit_kernel(emission, &grad.pipeline);
        else if (status == RXN_OK)
            rxn__network_print(grad.pipeline.network, &emission->text);
    }
    rxn__driver_close(driver, &grad.pipeline);
    return status;
}

RxnStatus
rxn__build_emit(Build *build)
{
    Driver *driver = build->driver;
    const char *path = build->options.grad.ensemble.csv;
    Emission emission = {.build = build, .form = find_form(build->options.emit)};
    OutputFile output;
    rxn__text_init(&emission.text, &driver->engine.session.arena);
    RxnStatus status = make_text(&emission);
    if (status != RXN_OK)
        return status;
    if (!rxn__output_open(driver, &output, path ? path : "-"))
        return RXN_ERROR_INPUT;
    fwrite(emission.text.data, 1, emission.text.length, output.file);
    return rxn__output_commit(driver, &output) ? RXN_OK : RXN_ERROR_INPUT;
}
