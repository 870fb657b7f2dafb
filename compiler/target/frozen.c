/* frozen.c: looks kernels up among those that a program was built with. */
#include "compiler/target/frozen.h"

#include <string.h>

#include "compiler/target/kernel_key.h"
#include "runtime/cuda.h"

extern const Target rxn__target_cuda;

/* ---- the processor ----------------------------------------------------------------------------- */

#if defined(__x86_64__)
/* What __builtin_cpu_supports takes is a literal, and it looks at the operating system too, which has to keep the
 * registers. Names that differ between LLVM and compilers: here LLVM's. */
#define FEATURES                                                                                   \
    FEATURE("ssse3", "ssse3")                                                                      \
    FEATURE("sse4.1", "sse4.1")                                                                    \
    FEATURE("sse4.2", "sse4.2")                                                                    \
    FEATURE("popcnt", "popcnt")                                                                    \
    FEATURE("avx", "avx")                                                                          \
    FEATURE("avx2", "avx2")                                                                        \
    FEATURE("fma", "fma")                                                                          \
    FEATURE("bmi", "bmi")                                                                          \
    FEATURE("bmi2", "bmi2")                                                                        \
    FEATURE("avx512f", "avx512f")                                                                  \
    FEATURE("avx512cd", "avx512cd")                                                                \
    FEATURE("avx512bw", "avx512bw")                                                                \
    FEATURE("avx512dq", "avx512dq")                                                                \
    FEATURE("avx512vl", "avx512vl")                                                                \
    FEATURE("avx512ifma", "avx512ifma")                                                            \
    FEATURE("avx512vbmi", "avx512vbmi")                                                            \
    FEATURE("avx512vbmi2", "avx512vbmi2")                                                          \
    FEATURE("avx512vnni", "avx512vnni")                                                            \
    FEATURE("avx512bitalg", "avx512bitalg")                                                        \
    FEATURE("avx512vpopcntdq", "avx512vpopcntdq")                                                  \
    FEATURE("gfni", "gfni")                                                                        \
    FEATURE("fma4", "fma4")                                                                        \
    FEATURE("xop", "xop")

bool
rxn__processor_has(const char *name, size_t length)
{
    __builtin_cpu_init();
#define FEATURE(llvm, compiler)                                                                    \
    if (length == sizeof llvm - 1 && memcmp(name, llvm, length) == 0)                              \
        return __builtin_cpu_supports(compiler) != 0;
    FEATURES
#undef FEATURE
    return true;
}
#else
bool
rxn__processor_has(const char *name, size_t length)
{
    (void)name;
    (void)length;
    return true;
}
#endif

/* The first feature of the list that is not there; NULL: all are. */
static const char *
missing_feature(const char *needs, size_t *ret_length)
{
    while (*needs) {
        size_t length = strcspn(needs, ",");
        *ret_length = length;
        if (!rxn__processor_has(needs, length))
            return needs;
        needs += length + (needs[length] == ',');
    }
    return NULL;
}

/* Of codes for the same processors, of which `first` is the first, the one with the fewest lanes that are enough. */
static const RxnProgramCode *
with_lanes(const RxnProgramKernel *kernel, const RxnProgramCode *first, u32 lanes)
{
    const RxnProgramCode *best = first, *end = kernel->codes + kernel->code_count;
    for (const RxnProgramCode *code = first; code < end; code++)
        if (lanes > 0 && strcmp(code->march, first->march) == 0 && code->lanes >= lanes &&
            (code->lanes < best->lanes || best->lanes < lanes))
            best = code;
    return best;
}

const RxnProgramCode *
rxn__program_code(const RxnProgramKernel *kernel, u32 lanes, const char **ret_missing)
{
    for (u32 k = 0; k < kernel->code_count; k++) {
        size_t length;
        const char *missing = missing_feature(kernel->codes[k].needs, &length);
        if (!missing)
            return with_lanes(kernel, &kernel->codes[k], lanes);
        if (ret_missing)
            *ret_missing = missing;
    }
    return NULL;
}

/* ---- the target -------------------------------------------------------------------------------- */

static const RxnProgramKernel *
find_kernel(const RxnProgram *program, const KirKernel *kernel, Arena *arena)
{
    u8 key[KERNEL_KEY_BYTES];
    Arena scratch;
    rxn__arena_init(&scratch, arena->memory);
    rxn__kernel_key(kernel, &scratch, key);
    rxn__arena_release(&scratch);
    for (u32 k = 0; k < program->kernel_count; k++)
        if (memcmp(program->kernels[k].key, key, sizeof key) == 0)
            return &program->kernels[k];
    return NULL;
}

static RxnStatus
look_up(const KirKernel *kernel, const TargetOptions *options, Arena *arena,
        CompiledKernel *ret_kernel, const char **ret_error)
{
    const RxnProgram *program = options->context;
    const RxnProgramKernel *found = find_kernel(program, kernel, arena);
    *ret_kernel = (CompiledKernel){.isa = "interpreter", .lanes = 1};
    *ret_error = "this was not compiled when the program was built, so it is interpreted, which is "
                 "many times slower";
    if (!found)
        return RXN_OK;
    const char *missing = NULL;
    const RxnProgramCode *code = rxn__program_code(found, options->lanes, &missing);
    if (code) {
        *ret_error = NULL;
        *ret_kernel = (CompiledKernel){.run = code->run,
                                       .workspace_bytes = (size_t)code->workspace_bytes,
                                       .table_bytes = (size_t)code->table_bytes,
                                       .lanes = code->lanes,
                                       .isa = code->isa};
    } else {
        Text text;
        rxn__text_init(&text, arena);
        rxn__text_printf(
            &text,
            "the program was built for processors with %.*s, which this one has not, so "
            "it is interpreted, which is many times slower",
            (int)strcspn(missing, ","), missing);
        *ret_error = text.data;
    }
    return RXN_OK;
}

static RxnStatus
emit(const KirKernel *kernel, const TargetOptions *options, TargetForm form, Arena *arena,
     Text *out, const char **ret_error)
{
    (void)kernel, (void)options, (void)form, (void)arena, (void)out;
    *ret_error = "a standalone program has no compiler, so it shows no code";
    return RXN_ERROR_USAGE;
}

/* ---- for GPUs ---------------------------------------------------------------------------------- */

bool
rxn__program_has_gpu(const RxnProgram *program, u32 architecture)
{
    const RxnProgramCudaKernel *any = program->cuda_kernels;
    for (u32 k = 0; program->cuda_kernel_count > 0 && k < any->code_count; k++)
        if (rxn__cuda_runs(any->codes[k].architecture, any->codes[k].is_ptx, architecture))
            return true;
    return false;
}

static const RxnProgramCudaKernel *
find_cuda_kernel(const RxnProgram *program, const RxnCudaKernel *kernel, Arena *arena)
{
    u8 key[KERNEL_KEY_BYTES];
    Arena scratch;
    if (program->cuda_kernel_count == 0)
        return NULL;
    rxn__arena_init(&scratch, arena->memory);
    rxn__cuda_kernel_key(kernel, &scratch, key);
    rxn__arena_release(&scratch);
    for (u32 k = 0; k < program->cuda_kernel_count; k++)
        if (memcmp(program->cuda_kernels[k].key, key, sizeof key) == 0)
            return &program->cuda_kernels[k];
    return NULL;
}

/* The text as rxn would compile it, with the code that was made of it. */
static RxnStatus
look_up_cuda(const KirKernel *kernel, const TargetOptions *options, Arena *arena,
             CompiledKernel *ret_kernel, const char **ret_error)
{
    const RxnProgram *program = options->context;
    RxnStatus status = rxn__target_cuda.compile(kernel, options, arena, ret_kernel, ret_error);
    if (status != RXN_OK)
        return status;
    const RxnProgramCudaKernel *found = find_cuda_kernel(program, ret_kernel->cuda, arena);
    if (!found)
        return RXN_OK;
    RxnCudaBinary *binaries = NEW_ARRAY(arena, RxnCudaBinary, found->code_count);
    for (u32 k = 0; k < found->code_count; k++)
        binaries[k] = (RxnCudaBinary){.architecture = found->codes[k].architecture,
                                      .code = found->codes[k].bytes,
                                      .size = found->codes[k].size,
                                      .is_ptx = found->codes[k].is_ptx};
    RxnCudaKernel *cuda = NEW(arena, RxnCudaKernel);
    *cuda = *ret_kernel->cuda;
    cuda->binaries = binaries;
    cuda->binary_count = found->code_count;
    cuda->binary_nvrtc = program->nvrtc;
    ret_kernel->cuda = cuda;
    return RXN_OK;
}

const Target rxn__target_frozen_cuda = {
    .name = "frozen-cuda", .compile = look_up_cuda, .emit = emit};
const Target rxn__target_frozen = {.name = "frozen", .compile = look_up, .emit = emit};
