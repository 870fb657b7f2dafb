/* cuda.c: the CUDA target as the rest of the compiler sees it. */
#include "compiler/target/cuda/cuda.h"

static u32
witness_count(const KirKernel *kernel)
{
    u32 count = 0;
    for (u32 i = 0; i < kernel->witness.count; i++)
        count += rxn__cuda_length(&kernel->locals.items[kernel->witness.items[i]]);
    return count;
}

static RxnStatus
compile(const KirKernel *kernel, const TargetOptions *options, Arena *arena,
        CompiledKernel *ret_kernel, const char **ret_error)
{
    static const char *const shapes[] = {"thread", "warp", "block"};
    (void)ret_error;
    CudaPlan *plan = rxn__cuda_plan(kernel, options->shape, arena);
    Text text;
    rxn__text_init(&text, arena);
    rxn__cuda_render(kernel, plan, options, arena, &text);
    RxnCudaKernel *cuda = NEW(arena, RxnCudaKernel);
    *cuda = (RxnCudaKernel){.name = kernel->name->text,
                            .source = text.data,
                            .source_length = text.length,
                            .shape = plan->shape,
                            .block_threads = plan->block_threads,
                            .uniform_threads = plan->uniform_threads,
                            .shared_bytes =
                                rxn__cuda_shares_statically(plan, options) ? 0 : plan->shared_bytes,
                            .uniform_bytes = plan->uniform_bytes,
                            .constant_bytes = plan->constant_bytes,
                            .workspace_bytes = plan->workspace_bytes,
                            .buffer_count = kernel->buffers.count,
                            .witness_count = witness_count(kernel),
                            .fast_math = options->fast_math};
    *ret_kernel = (CompiledKernel){.cuda = cuda, .lanes = 1, .isa = shapes[plan->shape]};
    return RXN_OK;
}

static RxnStatus
emit(const KirKernel *kernel, const TargetOptions *options, TargetForm form, Arena *arena,
     Text *out, const char **ret_error)
{
    if (form != TARGET_IR) {
        *ret_error = "the cuda target writes CUDA C only; machine code is NVRTC's";
        return RXN_ERROR_USAGE;
    }
    rxn__cuda_render(kernel, rxn__cuda_plan(kernel, options->shape, arena), options, arena, out);
    return RXN_OK;
}

extern const Target rxn__target_cuda;
const Target rxn__target_cuda = {.name = "cuda", .compile = compile, .emit = emit};
