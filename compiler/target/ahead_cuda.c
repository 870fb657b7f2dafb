/* ahead_cuda.c: kernels as code for GPUs, each once, for all the architectures that are wanted. */
#include "compiler/target/ahead.h"

#include <stdlib.h>
#include <string.h>

extern const Target rxn__target_cuda;

RxnStatus
rxn__ahead_cuda_code(Ahead *ahead, const RxnCudaKernel *kernel, u32 architecture, bool is_ptx,
                     AheadCudaCode *ret_code, const char **ret_error)
{
    RxnNvrtcOutput output;
    char why[300];
    RxnOutcome outcome =
        rxn__nvrtc_compile(ahead->nvrtc, kernel->source, kernel->name, architecture, is_ptx,
                           kernel->fast_math, false, &output, why, sizeof why);
    if (outcome == RXN_DONE) {
        rxn__arena_on_release(ahead->arena, free, output.code);
        *ret_code = (AheadCudaCode){architecture, is_ptx, output.code, output.size};
    } else {
        Text text;
        rxn__text_init(&text, ahead->arena);
        rxn__text_printf(&text, "%s%s", output.log ? output.log : "", why);
        *ret_error = text.data;
    }
    free(output.log);
    return outcome == RXN_DONE        ? RXN_OK
           : outcome == RXN_REFUSED   ? RXN_ERROR_INPUT
           : outcome == RXN_NO_MEMORY ? RXN_ERROR_MEMORY
                                      : RXN_ERROR_INTERNAL;
}

static u32
oldest(const Ahead *ahead)
{
    u32 found = ahead->architectures[0];
    for (u32 k = 1; k < ahead->architecture_count; k++)
        if (ahead->architectures[k] < found)
            found = ahead->architectures[k];
    return found;
}

/* Nothing is run, so nothing is handed back. */
static RxnStatus
compile(const KirKernel *kernel, const TargetOptions *options, Arena *arena,
        CompiledKernel *ret_kernel, const char **ret_error)
{
    Ahead *ahead = options->context;
    AheadCudaKernel made = {.what = ahead->what};
    CompiledKernel rendered;
    *ret_error = NULL;
    RxnStatus status = rxn__target_cuda.compile(kernel, options, arena, &rendered, ret_error);
    *ret_kernel = (CompiledKernel){.isa = "none"};
    if (status != RXN_OK)
        return status;
    rxn__cuda_kernel_key(rendered.cuda, arena, made.key);
    for (u32 k = 0; k < ahead->cuda_kernels.count; k++)
        if (memcmp(ahead->cuda_kernels.items[k].key, made.key, sizeof made.key) == 0)
            return RXN_OK;
    u32 count = ahead->architecture_count;
    made.codes = NEW_ARRAY(ahead->arena, AheadCudaCode, (size_t)count + 1);
    for (u32 k = 0; k <= count && status == RXN_OK; k++)
        status = rxn__ahead_cuda_code(ahead, rendered.cuda,
                                      k < count ? ahead->architectures[k] : oldest(ahead),
                                      k == count, &made.codes[k], ret_error);
    if (status == RXN_OK)
        vec_push(ahead->arena, &ahead->cuda_kernels, made);
    return status;
}

static RxnStatus
emit(const KirKernel *kernel, const TargetOptions *options, TargetForm form, Arena *arena,
     Text *out, const char **ret_error)
{
    return rxn__target_cuda.emit(kernel, options, form, arena, out, ret_error);
}

const Target rxn__target_ahead_cuda = {.name = "ahead-cuda", .compile = compile, .emit = emit};
