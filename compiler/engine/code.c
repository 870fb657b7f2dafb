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
    Memory memory;
    Arena arena;
    u8 key[KERNEL_KEY_BYTES];
    u32 lanes; /* that were wished for */
    const Target *target;
    CompiledKernel compiled;
};

static void
release(Code *code)
{
    if (atomic_fetch_sub(&code->holders, 1) > 1)
        return;
    rxn__arena_release(&code->arena);
    free(code);
}

/* ---- the shelf --------------------------------------------------------------------------------- */

static bool
make_room(CodeShelf *shelf, u32 count)
{
    if (shelf->count + count <= shelf->room)
        return true;
    const u32 room = 2 * shelf->room + count;
    CodeEntry *entries = realloc(shelf->entries, room * sizeof *entries);
    if (!entries)
        return false;
    shelf->entries = entries;
    shelf->room = room;
    return true;
}

/* What nobody uses is not handed on for ever; but who looks at one estimator after another comes back to the first. */
enum { MOST_UNUSED = 8 };

RxnStatus
rxn__code_shelf_open(CodeShelf *shelf, size_t limit, const CodeShelf *like)
{
    *shelf = (CodeShelf){.limit = limit};
    if (!like || like->count == 0)
        return RXN_OK;
    if (!make_room(shelf, like->count))
        return RXN_ERROR_MEMORY;
    for (u32 k = 0; k < like->count; k++) {
        const CodeEntry entry = {like->entries[k].code, like->entries[k].unused + 1};
        if (entry.unused > MOST_UNUSED)
            continue;
        atomic_fetch_add(&entry.code->holders, 1);
        shelf->entries[shelf->count++] = entry;
    }
    return RXN_OK;
}

void
rxn__code_shelf_close(CodeShelf *shelf)
{
    for (u32 k = 0; k < shelf->count; k++)
        release(shelf->entries[k].code);
    free(shelf->entries);
    *shelf = (CodeShelf){0};
}

bool
rxn__code_shelf_reuses(const CodeShelf *shelf)
{
    return shelf->reused > 0 && shelf->compiled == 0;
}

/* ---- one kernel -------------------------------------------------------------------------------- */

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
    return c->code->target->compile(c->kernel, c->options, &c->code->arena, &c->code->compiled,
                                    &c->error);
}

static CodeEntry *
find(const CodeShelf *shelf, const Target *target, const TargetOptions *options,
     const u8 key[KERNEL_KEY_BYTES])
{
    for (u32 k = 0; k < shelf->count; k++) {
        const Code *code = shelf->entries[k].code;
        if (code->target == target && code->lanes == options->lanes &&
            memcmp(code->key, key, KERNEL_KEY_BYTES) == 0)
            return &shelf->entries[k];
    }
    return NULL;
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
    CodeShelf *shelf = context;
    if (strcmp(target->name, "llvm") != 0) /* a GPU's is loaded, not compiled, by its device */
        return target->compile(kernel, options, arena, ret_kernel, ret_error);
    u8 key[KERNEL_KEY_BYTES];
    rxn__kernel_key(kernel, arena, key);
    CodeEntry *found = find(shelf, target, options, key);
    if (found) {
        found->unused = 0;
        shelf->reused++;
        *ret_kernel = found->code->compiled;
        return RXN_OK;
    }
    char **message =
        NEW(arena, char *); /* before anything is held that a jump would leave behind */
    rxn__arena_on_release(arena, free_message, message);
    if (!make_room(shelf, 1))
        return RXN_ERROR_MEMORY;
    Code *code = calloc(1, sizeof *code);
    if (!code)
        return RXN_ERROR_MEMORY;
    atomic_init(&code->holders, 1);
    code->memory.limit = shelf->limit;
    rxn__arena_init(&code->arena, &code->memory);
    memcpy(code->key, key, sizeof key);
    code->lanes = options->lanes;
    code->target = target;
    Compilation compilation = {.code = code, .kernel = kernel, .options = options};
    RxnStatus status = rxn__memory_guard(&code->memory, compile, &compilation);
    if (status != RXN_OK) {
        *message = compilation.error ? strdup(compilation.error) : NULL;
        *ret_error = *message;
        release(code);
        return status;
    }
    shelf->entries[shelf->count++] = (CodeEntry){.code = code};
    shelf->compiled++;
    *ret_kernel = code->compiled;
    return RXN_OK;
}
