/* code.c: code that outlives the model that it was compiled for. A kernel is its text (target/kernel_key.h): two with equal
 * texts, lanes and processor have equal code, whatever models they are of.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/code.h"
#include "compiler/target/kernel_key.h"

struct Code {
    atomic_uint holders;
    Session memory; /* its memory and arena alone */
    u8 key[KERNEL_KEY_BYTES];
    u32 lanes; /* that were wished for */
    const Target *target;
    CompiledKernel compiled;
};

Code *
rxn__code_hold(Code *code)
{
    if (code)
        atomic_fetch_add(&code->holders, 1);
    return code;
}

void
rxn__code_release(Code *code)
{
    if (!code || atomic_fetch_sub(&code->holders, 1) > 1)
        return;
    rxn__arena_release(&code->memory.arena);
    free(code);
}

typedef struct Compilation {
    Code *code;
    const KirKernel *kernel;
    const TargetOptions *options;
    const char *error;
} Compilation;

static RxnStatus
compile(void *context)
{
    Compilation *c = context;
    return c->code->target->compile(c->kernel, c->options, &c->code->memory.arena,
                                    &c->code->compiled, &c->error);
}

static bool
is_the_same(const Code *code, const Target *target, const TargetOptions *options,
            const u8 key[KERNEL_KEY_BYTES])
{
    return code && code->target == target && code->lanes == options->lanes &&
           memcmp(code->key, key, KERNEL_KEY_BYTES) == 0;
}

static void
free_message(void *message)
{
    free(*(char **)message);
}

RxnStatus
rxn__code_compile(void *context, const Target *target, const KirKernel *kernel,
                  const TargetOptions *options, Arena *arena, CompiledKernel *ret_kernel,
                  const char **ret_error)
{
    CodeRequest *request = context;
    if (strcmp(target->name, "llvm") != 0) /* a GPU's is loaded, not compiled, by its device */
        return target->compile(kernel, options, arena, ret_kernel, ret_error);
    u8 key[KERNEL_KEY_BYTES];
    rxn__kernel_key(kernel, arena, key);
    if (is_the_same(request->like, target, options, key)) {
        request->code = rxn__code_hold(request->like);
        request->reused = true;
        *ret_kernel = request->code->compiled;
        return RXN_OK;
    }
    char **message =
        NEW(arena, char *); /* before anything is held that a jump would leave behind */
    rxn__arena_on_release(arena, free_message, message);
    Code *code = calloc(1, sizeof *code);
    if (!code)
        return RXN_ERROR_MEMORY;
    atomic_init(&code->holders, 1);
    code->memory.memory.limit = request->limit;
    rxn__arena_init(&code->memory.arena, &code->memory.memory);
    memcpy(code->key, key, sizeof key);
    code->lanes = options->lanes;
    code->target = target;
    Compilation compilation = {.code = code, .kernel = kernel, .options = options};
    RxnStatus status = rxn__session_guard(&code->memory, compile, &compilation);
    if (status != RXN_OK) {
        *message = compilation.error ? strdup(compilation.error) : NULL;
        *ret_error = *message;
        rxn__code_release(code);
        return status;
    }
    request->code = code;
    *ret_kernel = code->compiled;
    return RXN_OK;
}
