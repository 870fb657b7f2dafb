/* ahead.c: kernels as object files, each once, for all the processors that are wanted. */
#include "compiler/target/ahead.h"

#include <string.h>

#if defined(__x86_64__)
#define V2 "+cx16,+sahf,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2"
#define V3 V2 ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe"
#define V4 V3 ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
static const March marches[] = {
    {"x86-64", "x86-64", "+sse2"},  {"x86-64-v2", "x86-64-v2", V2}, {"x86-64-v3", "x86-64-v3", V3},
    {"x86-64-v4", "x86-64-v4", V4}, {"native", NULL, NULL},
};
const char rxn__march_default[] = "x86-64-v3,x86-64-v2";
#elif defined(__aarch64__)
static const March marches[] = {{"armv8-a", "generic", ""}, {"native", NULL, NULL}};
const char rxn__march_default[] = "armv8-a";
#else
static const March marches[] = {{"native", NULL, NULL}};
const char rxn__march_default[] = "native";
#endif

const March *
rxn__march_at(u32 k)
{
    return k < COUNT_OF(marches) ? &marches[k] : NULL;
}

const March *
rxn__march_find(const char *name)
{
    for (u32 k = 0; k < COUNT_OF(marches); k++)
        if (strcmp(marches[k].name, name) == 0)
            return &marches[k];
    return NULL;
}

/* Of "+avx2,-xop,+fma" what has a plus: "avx2,fma". */
static const char *
needs_of(const char *features, Arena *arena)
{
    Text text;
    rxn__text_init(&text, arena);
    for (const char *at = features; *at;) {
        size_t length = strcspn(at, ",");
        if (*at == '+')
            rxn__text_printf(&text, "%s%.*s", text.length ? "," : "", (int)length - 1, at + 1);
        at += length + (at[length] == ',');
    }
    return text.data ? text.data : "";
}

/* One code more of the kernel that is being made. */
static RxnStatus
compile_for(const March *march, const KirKernel *kernel, const TargetOptions *wishes, Ahead *ahead,
            Arena *scratch, AheadKernel *made, const char **ret_error)
{
    TargetOptions options = *wishes;
    AheadCode *ret_code = &made->codes[made->code_count];
    Text symbol, object;
    rxn__text_init(&symbol, ahead->arena);
    rxn__text_init(&object, scratch);
    rxn__text_printf(&symbol, "rxn_kernel_%u_%u", ahead->kernels.count, made->code_count);
    options.cpu = march->cpu;
    options.features = march->features;
    options.symbol = symbol.data;
    *ret_code = (AheadCode){.march = march, .symbol = symbol.data};
    RxnStatus status =
        ahead->compiler->describe(kernel, &options, scratch, &ret_code->facts, ret_error);
    if (status == RXN_OK)
        status =
            ahead->compiler->emit(kernel, &options, TARGET_OBJECT, scratch, &object, ret_error);
    if (status != RXN_OK)
        return status;
    ret_code->needs = needs_of(ret_code->facts.features, ahead->arena);
    ret_code->facts.isa =
        rxn__arena_copy_text(ahead->arena, ret_code->facts.isa, strlen(ret_code->facts.isa));
    ret_code->facts.features = NULL;
    ret_code->object = rxn__arena_copy_text(ahead->arena, object.data, object.length);
    ret_code->size = object.length;
    made->code_count++;
    return RXN_OK;
}

/* Nothing is run, so there is no function. */
static RxnStatus
compile(const KirKernel *kernel, const TargetOptions *options, Arena *arena,
        CompiledKernel *ret_kernel, const char **ret_error)
{
    Ahead *ahead = options->context;
    AheadKernel made = {.what = ahead->what};
    RxnStatus status = RXN_OK;
    *ret_kernel = (CompiledKernel){.isa = "none"};
    *ret_error = NULL;
    rxn__kernel_key(kernel, arena, made.key);
    for (u32 k = 0; k < ahead->kernels.count; k++)
        if (memcmp(ahead->kernels.items[k].key, made.key, sizeof made.key) == 0)
            return RXN_OK;
    TargetOptions narrow = *options;
    narrow.lanes = NARROW_LANES;
    for (u32 k = 0; k < ahead->march_count && status == RXN_OK; k++) {
        const March *march = ahead->marches[k];
        status = compile_for(march, kernel, options, ahead, arena, &made, ret_error);
        bool is_wide =
            status == RXN_OK && made.codes[made.code_count - 1].facts.lanes > NARROW_LANES;
        if (is_wide && ahead->for_one && options->lanes == 0)
            status = compile_for(march, kernel, &narrow, ahead, arena, &made, ret_error);
    }
    if (status == RXN_OK)
        vec_push(ahead->arena, &ahead->kernels, made);
    return status;
}

static RxnStatus
emit(const KirKernel *kernel, const TargetOptions *options, TargetForm form, Arena *arena,
     Text *out, const char **ret_error)
{
    const Ahead *ahead = options->context;
    return ahead->compiler->emit(kernel, options, form, arena, out, ret_error);
}

const Target rxn__target_ahead = {.name = "ahead", .compile = compile, .emit = emit};
