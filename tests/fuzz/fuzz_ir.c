/* fuzz_ir.c: any bytes to the readers of the IR texts.
 *
 * What reads must print, read and print the same again. A kernel goes on through the passes, each of
 * which must leave a kernel, and, where it is small enough to run, must not change what it computes.
 * Whatever is wrong ends in abort(), which libFuzzer reports with the input.
 */
#include "compiler/kir/kir.h"
#include "compiler/network/network.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 2,
    MAX_BUFFER_BYTES = 1 << 16, /* of a buffer's row, for a kernel to be run */
    MAX_LOCAL_ELEMENTS = 1 << 14,
    MAX_STEPS = 4,
    MEMORY_LIMIT = 1 << 30,
};

static void
expect(bool holds, const char *what, const char *why)
{
    if (holds)
        return;
    fprintf(stderr, "%s: %s\n", what, why ? why : "");
    abort();
}

/* ---- Texts */

static Text
print_kernel(const KirKernel *kernel, Arena *arena)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__kir_print(kernel, &text);
    return text;
}

static KirKernel *
read_again(const Text *text, NameTable *names, Arena *arena)
{
    KirKernel *kernel;
    const char *error = rxn__kir_read(arena, names, text->data, text->length, &kernel);
    expect(error == NULL, "a printed kernel does not read", error);
    return kernel;
}

static void
expect_same_text(const Text *a, const Text *b)
{
    expect(a->length == b->length && memcmp(a->data, b->data, a->length) == 0,
           "print, read, print differs", b->data);
}

/* ---- Running */

typedef struct Run {
    void *buffers[64];
    int64_t strides[64];
    size_t bytes[64];
    RxnFault fault;
    RxnStatus status;
} Run;

/* Elements of one row, or 0 if the kernel is not for running: too large, or an extent that nobody
 * would check. */
static size_t
row_elements(const KirBuffer *buffer)
{
    u64 elements = 1;
    for (u32 i = 0; i < buffer->rank; i++) {
        u64 extent = buffer->extent[i];
        if (extent == KIR_DYNAMIC && buffer->scope == KIR_PER_LAUNCH)
            return 0;
        elements *= extent == KIR_DYNAMIC ? 3 : extent;
        if (elements * rxn__kir_type_bytes[buffer->type] > MAX_BUFFER_BYTES)
            return 0;
    }
    return elements;
}

/* A NaN's sign and payload are no result, and what looks at them may differ. */
static bool
can_run(const KirKernel *kernel)
{
    u64 elements = 0;
    for (u32 i = 0; i < kernel->locals.count; i++)
        elements += kernel->locals.items[i].length + 1u;
    if (elements > MAX_LOCAL_ELEMENTS || kernel->buffers.count > COUNT_OF(((Run *)0)->buffers))
        return false;
    for (u32 i = 0; i < kernel->buffers.count; i++)
        if (row_elements(&kernel->buffers.items[i]) == 0)
            return false;
    for (u32 i = 1; i < kernel->values.count; i++)
        if (kernel->values.items[i].op == KIR_COPYSIGN || kernel->values.items[i].op == KIR_BITS)
            return false;
    return true;
}

static void
run_kernel(const KirKernel *kernel, Arena *arena, Run *run)
{
    static const u8 pattern[] = {0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 1, 0, 0, 0, 0, 0, 0x80, 0xBF};
    memset(run, 0, sizeof *run);
    run->fault.trajectory = UINT64_MAX;
    for (u32 i = 0; i < kernel->buffers.count; i++) {
        const KirBuffer *buffer = &kernel->buffers.items[i];
        const size_t elements = row_elements(buffer);
        run->strides[i] = (int64_t)elements;
        run->bytes[i] = ROWS * elements * rxn__kir_type_bytes[buffer->type];
        u8 *data = rxn__arena_alloc(arena, run->bytes[i]);
        for (size_t k = 0; k < run->bytes[i]; k++)
            data[k] = buffer->type == KIR_BOOL ? k & 1 : pattern[k % sizeof pattern];
        run->buffers[i] = data;
    }
    const int cancel = 0;
    RxnLaunch launch = {.first = 7,
                        .count = ROWS,
                        .buffers = run->buffers,
                        .strides = run->strides,
                        .fault = &run->fault,
                        .cancel = &cancel};
    const char *error;
    run->status = rxn__kir_interpret(kernel, &launch, MAX_STEPS, arena, &error);
}

static bool
same_element(KirType type, const u8 *a, const u8 *b)
{
    double x = 0, y = 0;
    float s, t;
    if (memcmp(a, b, rxn__kir_type_bytes[type]) == 0)
        return true;
    if (type == KIR_F64) {
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
    } else if (type == KIR_F32) {
        memcpy(&s, a, sizeof s);
        memcpy(&t, b, sizeof t);
        x = s;
        y = t;
    }
    return isnan(x) && isnan(y);
}

static void
expect_same_run(const KirKernel *kernel, const Run *a, const Run *b, const char *pass)
{
    expect(b->status == RXN_OK, pass, "the kernel does not run any more");
    expect(a->fault.trajectory == b->fault.trajectory && a->fault.code == b->fault.code &&
               a->fault.detail == b->fault.detail,
           pass, "another fault");
    for (u32 i = 0; i < kernel->buffers.count; i++) {
        const KirType type = (KirType)kernel->buffers.items[i].type;
        const size_t step = rxn__kir_type_bytes[type];
        for (size_t k = 0; k < a->bytes[i]; k += step)
            expect(same_element(type, (u8 *)a->buffers[i] + k, (u8 *)b->buffers[i] + k), pass,
                   kernel->buffers.items[i].name->text);
    }
}

/* ---- What is tried */

static void
try_kernel(const char *data, size_t size, NameTable *names, Arena *arena)
{
    KirKernel *kernel;
    if (rxn__kir_read(arena, names, data, size, &kernel) != NULL)
        return;
    const Text text = print_kernel(kernel, arena);
    const Text again = print_kernel(read_again(&text, names, arena), arena);
    expect_same_text(&text, &again);

    static const struct {
        const char *name;
        bool (*run)(KirKernel *kernel);
    } passes[] = {{"fold", rxn__kir_fold},
                  {"cse", rxn__kir_cse},
                  {"hoist", rxn__kir_hoist},
                  {"dce", rxn__kir_dce}};
    Run before, after;
    bool runs = can_run(kernel);
    if (runs) {
        run_kernel(kernel, arena, &before);
        runs = before.status == RXN_OK; /* else an index or an end is missing: a wrong kernel */
    }
    for (u32 i = 0; i < COUNT_OF(passes); i++) {
        KirKernel *copy = read_again(&text, names, arena);
        const bool changed = passes[i].run(copy);
        const char *error = rxn__kir_check(copy, false, arena);
        expect(error == NULL, passes[i].name, error);
        const Text result = print_kernel(copy, arena);
        expect(changed == (strcmp(result.data, text.data) != 0), passes[i].name,
               "it does not say whether it changed something");
        if (runs) {
            run_kernel(copy, arena, &after);
            expect_same_run(kernel, &before, &after, passes[i].name);
        }
    }
    const char *error = rxn__kir_optimize(kernel, arena, NULL, NULL);
    expect(error == NULL, "optimize", error);
}

static void
try_network(const char *data, size_t size, NameTable *names, Arena *arena)
{
    Network *network, *again;
    if (rxn__network_read(arena, names, data, size, &network) != NULL)
        return;
    Text text, second;
    rxn__text_init(&text, arena);
    rxn__text_init(&second, arena);
    rxn__network_print(network, &text);
    const char *error = rxn__network_read(arena, names, text.data, text.length, &again);
    expect(error == NULL, "a printed network does not read", error);
    rxn__network_print(again, &second);
    expect_same_text(&text, &second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Memory memory = {.limit = MEMORY_LIMIT};
    jmp_buf failed;
    Arena arena;
    NameTable names;
    memory.on_failure = &failed;
    rxn__arena_init(&arena, &memory);
    if (setjmp(failed) == 0) {
        rxn__names_init(&names, &arena);
        if (size >= 6 && memcmp(data, "kernel", 6) == 0)
            try_kernel((const char *)data, size, &names, &arena);
        else
            try_network((const char *)data, size, &names, &arena);
    }
    rxn__arena_release(&arena);
    return 0;
}
