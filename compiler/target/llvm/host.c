/* host.c: which processor the code is for, and how many lanes suit it. */
#include "compiler/target/llvm/llvm.h"

#include <pthread.h>
#include <string.h>

/* LLVM's list of targets is a global of its own, to which two threads must not add at once: so this one has to be kept too. */
static pthread_once_t initialized = PTHREAD_ONCE_INIT;
static bool has_generator; /* written once, before anybody reads it */

static void
initialize(void)
{
    has_generator = !LLVMInitializeNativeTarget() && !LLVMInitializeNativeAsmPrinter();
}

bool
rxn__llvm_initialize(void)
{
    return pthread_once(&initialized, initialize) == 0 && has_generator;
}

static void
dispose(void *kept)
{
    LLVMDisposeMessage(*(char **)kept);
}

/* A text that LLVM gives, until the arena's end, which is told of it before there is anything to lose. */
static const char *
keep(Arena *arena, char *(*get)(void))
{
    char **kept = NEW(arena, char *);
    rxn__arena_on_release(arena, dispose, kept);
    *kept = get();
    return *kept;
}

/* Whether "+name" stands in a feature string and no later "-name" takes it back. */
static bool
has_feature(const char *features, const char *name)
{
    bool has = false;
    size_t length = strlen(name);
    for (const char *at = features; *at != '\0';) {
        const char *end = strchr(at, ',');
        size_t size = end ? (size_t)(end - at) : strlen(at);
        if (size == length + 1 && memcmp(at + 1, name, length) == 0)
            has = *at == '+';
        at += size + (end != NULL);
    }
    return has;
}

void
rxn__llvm_host(const TargetOptions *options, Arena *arena, LlvmHost *ret_host)
{
    ret_host->triple = keep(arena, LLVMGetDefaultTargetTriple);
    ret_host->cpu = options->cpu ? options->cpu : keep(arena, LLVMGetHostCPUName);
    /* A processor that was named brings its own features. */
    ret_host->features = options->features ? options->features
                         : options->cpu    ? ""
                                           : keep(arena, LLVMGetHostCPUFeatures);
    const char *features = ret_host->features;
    ret_host->has_scatter = false;
    if (strncmp(ret_host->triple, "x86_64", 6) == 0) {
        ret_host->isa = "sse2";
        ret_host->vector_bits = 128;
        if (has_feature(features, "avx2") && has_feature(features, "fma")) {
            ret_host->isa = "avx2";
            ret_host->vector_bits = 256;
        }
        if (has_feature(features, "avx512f") && has_feature(features, "avx512dq") &&
            has_feature(features, "avx512bw") && has_feature(features, "avx512vl")) {
            ret_host->isa = "avx512";
            ret_host->vector_bits = 512;
            ret_host->has_scatter = true;
        }
    } else if (strncmp(ret_host->triple, "aarch64", 7) == 0) {
        ret_host->isa = "neon";
        ret_host->vector_bits = 128;
    } else {
        ret_host->isa = "scalar";
        ret_host->vector_bits = 64;
    }
}

static u32
count_values(const KirBlock *block)
{
    u32 count = 0;
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (s->seldom)
            continue; /* it is scalar code, however many lanes there are */
        count += s->kind == KIR_DEFINE;
        count += count_values(&s->body) + count_values(&s->otherwise);
    }
    return count;
}

/* As many lanes as 32-bit integers fill a register: then the random numbers, a third of the work, use
 * it whole, and two registers of f64 side by side hide some of the latency of arithmetic.
 *
 * With the 32 registers of AVX-512 twice as many pay: a step is a chain of dependent operations, and with four registers
 * of each number there are others to do meanwhile. Measured (ns an event, 16 and 32 lanes): Vilar f32 3.9 and 3.1,
 * dimerisation f64 6.7 and 5.3, Vilar f64 6.2 and 5.2. Code twice as long takes longer to compile, another 40 ms
 * for Vilar: it has to be short, or many trajectories have to follow. On AVX2 twice as many win little or lose. */
u32
rxn__llvm_lanes(const KirKernel *kernel, const TargetOptions *options, const LlvmHost *host)
{
    enum { SHORT_STEP = 300, LONG_STEP = 1000 };
    if (options->lanes != 0)
        return options->lanes;
    /* A kernel without a step does its work in finish. */
    const KirBlock *work = &kernel->regions[KIR_STEP];
    if (work->count == 0)
        work = &kernel->regions[KIR_FINISH];
    u32 most = options->many ? LONG_STEP : SHORT_STEP;
    bool twice = kernel->precision == KIR_F32 || count_values(work) < most;
    u32 lanes = host->vector_bits / 32;
    lanes = host->vector_bits == 512 && twice ? 2 * lanes : lanes;
    return kernel->lanes != 0 && kernel->lanes < lanes ? kernel->lanes : lanes;
}
