/* module.c: the whole text of a kernel: names, types, functions in their order. */
#include "compiler/target/cuda/cuda.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool
rxn__cuda_is_constant_local(const CudaText *c, u32 local)
{
    return c->kernel->locals.items[local].uniform && c->plan->locals[local].place <= CUDA_SPLIT;
}

/* ---- names ---- */

static void
name_all(CudaText *c)
{
    const KirKernel *kernel = c->kernel;
    for (u32 i = 0; i < kernel->buffers.count; i++)
        c->buffer[i] = rxn__cuda_identifier(&c->names, kernel->buffers.items[i].name->text);
    for (u32 i = 0; i < kernel->locals.count; i++) {
        const KirLocal *local = &kernel->locals.items[i];
        c->local[i] = rxn__cuda_identifier(&c->names, local->name->text);
        if (c->plan->locals[i].place != CUDA_SPLIT)
            continue;
        c->element[i] = NEW_ARRAY(c->arena, const char *, local->length);
        c->is_read[i] = NEW_ARRAY(c->arena, bool, local->length);
        for (u32 k = 0; k < local->length; k++)
            c->element[i][k] =
                rxn__cuda_identifier(&c->names, rxn__cuda_format(c, "%s_%u", c->local[i], k));
    }
    for (u32 w = 0; w < kernel->witness.count; w++) {
        u32 local = kernel->witness.items[w];
        for (u32 k = 0; c->is_read[local] && k < kernel->locals.items[local].length; k++)
            c->is_read[local][k] = true;
    }
    for (KirValue v = 1; v < kernel->values.count; v++) {
        const KirNode *node = &kernel->values.items[v];
        if (node->op == KIR_GET && c->is_read[node->object])
            c->is_read[node->object][rxn__cuda_split_element(c, node->object, node->index[0])] =
                true;
        if (!c->plan->is_constant[v])
            continue;
        bool load = node->op == KIR_LOAD;
        const char *base = load ? c->buffer[node->object] : "v";
        c->constant[v] =
            rxn__cuda_identifier(&c->names, rxn__cuda_format(c, load ? "%s_%u" : "%s%u", base, v));
    }
}

/* ---- what comes first ---- */

static const char head[] = "#ifdef __cplusplus\n"
                           "#define RXN_C extern \"C\"\n"
                           "#else\n"
                           "#define RXN_C\n"
                           "#ifndef bool\n"
                           "#define bool _Bool\n"
                           "#define true 1\n"
                           "#define false 0\n"
                           "#endif\n"
                           "#endif\n"
                           "\n"
                           "typedef unsigned char u8;\n"
                           "typedef unsigned short u16;\n"
                           "typedef int i32;\n"
                           "typedef unsigned int u32;\n"
                           "typedef long long i64;\n"
                           "typedef unsigned long long u64;\n"
                           "typedef float f32;\n"
                           "typedef double f64;\n"
                           "\n";

static void
write_head(CudaText *c, Text *out)
{
    static const char *const shapes[] = {"One thread a trajectory.", "32 threads a trajectory.",
                                         "A block of threads a trajectory."};
    const KirKernel *kernel = c->kernel;
    rxn__text_printf(out,
                     "/* The kernel %s. %s Made by rxn; to be compiled without contraction\n"
                     " * (nvcc -fmad=false). */\n",
                     kernel->name->text, shapes[c->plan->shape]);
    rxn__text_append(out, head, sizeof head - 1);
    rxn__text_printf(out,
                     "/* What the launcher hands over: addresses, and the distance of rows. */\n"
                     "typedef struct RxnLaunch {\n"
                     "    u64 first, count, uniform, workspace, workers, next, fault, cancel;\n");
    if (kernel->buffers.count)
        rxn__text_printf(out, "    u64 buffer[%u];\n    i64 stride[%u];\n", kernel->buffers.count,
                         kernel->buffers.count);
    rxn__text_printf(out, "} RxnLaunch;\n\n"
                          "typedef struct RxnFault {\n"
                          "    u64 trajectory;\n"
                          "    u32 code, detail, lock, unused;\n"
                          "} RxnFault;\n\n");
    if (c->plan->shape != RXN_CUDA_THREAD)
        rxn__text_printf(out, "/* What the threads of a trajectory tell each other. */\n"
                              "typedef struct RxnTeam {\n"
                              "    u64 row;\n"
                              "    u32 first, code, detail, stop;\n"
                              "    u64 unused;\n"
                              "} RxnTeam;\n\n");
    if (c->plan->shared_bytes && c->shared_static)
        rxn__text_printf(out, "__shared__ u64 rxn_shared[%u];\n", c->plan->shared_bytes / 8);
    else if (c->plan->shared_bytes)
        rxn__text_printf(out, "#ifndef rxn_shared\n"
                              "extern __shared__ u64 rxn_shared[];\n"
                              "#endif\n\n");
}

/* Members by size, as plan.c has it. */
static void
write_constants(CudaText *c, Text *out)
{
    const KirKernel *kernel = c->kernel;
    static const u8 sizes[] = {8, 4, 1};
    if (c->plan->constants_size == 0)
        return;
    rxn__text_printf(out, "/* What the region `launch` makes of the parameters, once. */\n"
                          "typedef struct RxnConstants {\n");
    for (u32 k = 0; k < COUNT_OF(sizes); k++) {
        for (KirValue v = 1; v < kernel->values.count; v++) {
            KirType type = (KirType)kernel->values.items[v].type;
            if (c->plan->is_constant[v] && rxn__kir_type_bytes[type] == sizes[k])
                rxn__text_printf(out, "    %s %s;\n", rxn__cuda_type(type), c->constant[v]);
        }
        for (u32 i = 0; i < kernel->locals.count; i++) {
            const KirLocal *local = &kernel->locals.items[i];
            KirType type = (KirType)local->type;
            if (!rxn__cuda_is_constant_local(c, i) || rxn__kir_type_bytes[type] != sizes[k])
                continue;
            if (c->plan->locals[i].place == CUDA_SCALAR)
                rxn__text_printf(out, "    %s %s;\n", rxn__cuda_type(type), c->local[i]);
            for (u32 e = 0; c->plan->locals[i].place == CUDA_SPLIT && e < local->length; e++)
                rxn__text_printf(out, "    %s %s;\n", rxn__cuda_type(type), c->element[i][e]);
        }
    }
    rxn__text_printf(out,
                     "} RxnConstants;\n\n"
                     "typedef char rxn_constants_are_as_planned[sizeof(RxnConstants) == %" PRIu64
                     " ? 1 : -1];\n\n",
                     c->plan->constants_size);
    if (c->plan->constant_bytes)
        rxn__text_printf(out, "#ifdef __cplusplus\n"
                              "extern \"C\" {\n"
                              "#endif\n"
                              "__constant__ RxnConstants rxn_constants;\n"
                              "#ifdef __cplusplus\n"
                              "}\n"
                              "#endif\n\n");
}

static const char stopped[] =
    "/* The run is cancelled, or a trajectory before this one has failed. */\n"
    "static __device__ __forceinline__ bool\n"
    "rxn_is_stopped(const RxnLaunch launch, u64 trajectory)\n"
    "{\n"
    "    return *(const volatile i32 *)launch.cancel != 0 ||\n"
    "           *(const volatile u64 *)launch.fault < trajectory;\n"
    "}\n\n";

/* ---- where the code comes from ---- */

static void
write_directive(Text *out, u32 line, const char *file)
{
    rxn__text_printf(out, "#line %u \"", line);
    for (const char *c = file; *c; c++) {
        if (*c == '"' || *c == '\\')
            rxn__text_append(out, "\\", 1);
        rxn__text_append(out, (u8)*c < ' ' ? "?" : c, 1);
    }
    rxn__text_append(out, "\"\n", 2);
}

/* The marks of rxn__cuda_line become directives, so that what a compiler says of a rate law names the model's
 * line; behind them the text counts its own lines again. */
static void
write_with_places(const Text *marked, const KirKernel *kernel, const TargetOptions *options,
                  Arena *arena, Text *out)
{
    Text own;
    rxn__text_init(&own, arena);
    rxn__text_printf(&own, "%s.cu", kernel->name->text);
    u32 line = 2;
    bool elsewhere = false;
    write_directive(out, line, own.data);
    for (const char *at = marked->data; *at;) {
        const char *end = strchr(at, '\n');
        size_t length = end ? (size_t)(end - at) + 1 : strlen(at);
        if (*at == CUDA_MARK) {
            u32 place = 0, origin = (u32)strtoul(at + 1, NULL, 10);
            const char *file = origin && options->locate
                                   ? options->locate(options->locate_context, origin, &place)
                                   : NULL;
            if (file || elsewhere) {
                line++;
                write_directive(out, file ? place : line, file ? file : own.data);
            }
            elsewhere = file != NULL;
        } else {
            rxn__text_append(out, at, length);
            line++;
        }
        at += length;
    }
}

/* ---- the text ---- */

void
rxn__cuda_render(const KirKernel *kernel, const CudaPlan *plan, const TargetOptions *options,
                 Arena *arena, Text *out)
{
    CudaText c = {.arena = arena, .kernel = kernel, .plan = plan};
    c.differentiates = options->differentiates;
    c.shared_static = rxn__cuda_shares_statically(plan, options);
    c.uses = rxn__cuda_uses(kernel, arena);
    c.expression = NEW_ARRAY(arena, const char *, kernel->values.count + 1);
    c.compound = NEW_ARRAY(arena, bool, kernel->values.count + 1);
    c.stands_for = NEW_ARRAY(arena, u32, kernel->values.count + 1);
    c.constant = NEW_ARRAY(arena, const char *, kernel->values.count + 1);
    c.local = NEW_ARRAY(arena, const char *, kernel->locals.count + 1);
    c.element = NEW_ARRAY(arena, const char **, kernel->locals.count + 1);
    c.is_read = NEW_ARRAY(arena, bool *, kernel->locals.count + 1);
    c.buffer = NEW_ARRAY(arena, const char *, kernel->buffers.count + 1);
    c.touched_local = NEW_ARRAY(arena, u8, kernel->locals.count + 1);
    c.touched_buffer = NEW_ARRAY(arena, u8, kernel->buffers.count + 1);
    c.constants = plan->constant_bytes ? "rxn_constants." : "constants->";
    rxn__cuda_names_init(&c.names, arena);
    name_all(&c);

    Text functions;
    rxn__text_init(&functions, arena);
    write_constants(&c, &functions);
    if (plan->has_launch)
        rxn__cuda_write_uniform(&c, &functions);
    rxn__text_append(&functions, stopped, sizeof stopped - 1);
    rxn__cuda_write_kernel(&c, &functions);
    Text marked;
    rxn__text_init(&marked, arena);
    write_head(&c, &marked);
    rxn__cuda_prelude(&marked, functions.data, arena);
    rxn__text_append(&marked, functions.data, functions.length);
    rxn__cuda_reduce(&marked);
    write_with_places(&marked, kernel, options, arena, out);
}
