/* host.c: which processor the code is for, and how many lanes suit it. */
#include "compiler/target/llvm/llvm.h"

#include <string.h>

static const char *
copy_message(Arena *arena, char *message)
{
    const char *copy = rxn__arena_copy_text(arena, message, strlen(message));
    LLVMDisposeMessage(message);
    return copy;
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
    ret_host->triple = copy_message(arena, LLVMGetDefaultTargetTriple());
    ret_host->cpu = options->cpu ? options->cpu : copy_message(arena, LLVMGetHostCPUName());
    /* A processor that was named brings its own features. */
    ret_host->features = options->features ? options->features
                         : options->cpu    ? ""
                                           : copy_message(arena, LLVMGetHostCPUFeatures());
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

u32
rxn__llvm_lanes(const KirKernel *kernel, const TargetOptions *options, const LlvmHost *host)
{
    if (options->lanes != 0)
        return options->lanes;
    if (kernel->lanes != 0)
        return kernel->lanes;
    /* As many lanes as 32-bit integers fill a register: then the random numbers, which are a third
     * of the work, use it whole, and two f64 registers side by side hide the latency of arithmetic. */
    return host->vector_bits / 32;
}
