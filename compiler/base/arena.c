/* arena: storage that is given back all at once.
 *
 * An arena is a list of zeroed blocks and a cursor into the newest one. Blocks double in size up to
 * BLOCK_MAX, so a small model costs one page and a large one few calls; what does not fit gets a block
 * of its own. All arenas of a session share a Memory, which counts their bytes and turns a failed
 * allocation into a jump (see base.h).
 */
#include "compiler/base/base.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_MIN = 4096,
    BLOCK_MAX = 1 << 20,
    ALIGN_SMALL = 16, /* any scalar */
    ALIGN_WIDE = 64,  /* a cache line, and the widest vector */
};

struct ArenaBlock {
    ArenaBlock *next;
    size_t size; /* with this header */
};

struct ArenaCleanup {
    ArenaCleanup *next;
    void (*release)(void *object);
    void *object;
};

_Noreturn static void
memory_fail(Memory *memory)
{
    assert(memory->on_failure && "an arena is used outside of a recovery point");
    longjmp(*memory->on_failure, 1);
}

RxnStatus
rxn__memory_guard(Memory *memory, RxnStatus (*body)(void *context), void *context)
{
    jmp_buf *outer = memory->on_failure;
    jmp_buf here;
    memory->on_failure = &here;
    RxnStatus status = setjmp(here) == 0 ? body(context) : RXN_ERROR_MEMORY;
    memory->on_failure = outer;
    return status;
}

void
rxn__arena_init(Arena *arena, Memory *memory)
{
    *arena = (Arena){.memory = memory};
}

void
rxn__arena_release(Arena *arena)
{
    while (arena->cleanups) {
        ArenaCleanup *cleanup = arena->cleanups;
        arena->cleanups = cleanup->next; /* first: a cleanup that registers another stays sound */
        cleanup->release(cleanup->object);
    }
    ArenaBlock *block = arena->blocks;
    while (block) {
        ArenaBlock *next = block->next;
        arena->memory->used -= block->size;
        free(block);
        block = next;
    }
    rxn__arena_init(arena, arena->memory);
}

static u8 *
align_up(u8 *pointer, size_t alignment)
{
    return pointer + (-(uintptr_t)pointer & (alignment - 1));
}

/* A new block that holds `size` bytes at any alignment becomes the current one. */
static void
add_block(Arena *arena, size_t size)
{
    Memory *memory = arena->memory;
    const size_t overhead = sizeof(ArenaBlock) + ALIGN_WIDE;
    if (size > SIZE_MAX - overhead)
        memory_fail(memory);
    size_t wanted = arena->blocks ? arena->blocks->size * 2 : BLOCK_MIN;
    if (wanted > BLOCK_MAX)
        wanted = BLOCK_MAX;
    if (wanted < size + overhead)
        wanted = size + overhead;

    memory->allocations++;
    if (memory->fail_at && memory->allocations == memory->fail_at)
        memory_fail(memory);
    if (memory->limit && (memory->used > memory->limit || wanted > memory->limit - memory->used))
        memory_fail(memory);
    ArenaBlock *block = calloc(1, wanted);
    if (!block)
        memory_fail(memory);
    memory->used += wanted;
    *block = (ArenaBlock){.next = arena->blocks, .size = wanted};
    arena->blocks = block;
    arena->cursor = (u8 *)(block + 1);
    arena->end = (u8 *)block + wanted;
}

void *
rxn__arena_alloc(Arena *arena, size_t size)
{
    const size_t alignment = size >= ALIGN_WIDE ? ALIGN_WIDE : ALIGN_SMALL;
    if (size == 0)
        size = 1; /* distinct objects have distinct addresses */
    if (arena->cursor) {
        u8 *start = align_up(arena->cursor, alignment);
        if (start <= arena->end && size <= (size_t)(arena->end - start)) {
            arena->cursor = start + size;
            return start;
        }
    }
    add_block(arena, size);
    u8 *start = align_up(arena->cursor, alignment);
    arena->cursor = start + size;
    return start;
}

void *
rxn__arena_alloc_array(Arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        memory_fail(arena->memory);
    return rxn__arena_alloc(arena, count * size);
}

char *
rxn__arena_copy_text(Arena *arena, const char *text, size_t length)
{
    if (length == SIZE_MAX)
        memory_fail(arena->memory);
    char *copy = rxn__arena_alloc(arena, length + 1);
    if (length)
        memcpy(copy, text, length);
    return copy;
}

void
rxn__arena_on_release(Arena *arena, void (*release)(void *object), void *object)
{
    ArenaCleanup *cleanup = NEW(arena, ArenaCleanup);
    *cleanup = (ArenaCleanup){.next = arena->cleanups, .release = release, .object = object};
    arena->cleanups = cleanup;
}

void *
rxn__arena_grow(Arena *arena, void *old, size_t old_size, size_t new_size)
{
    u8 *bytes = old;
    /* The newest object of the arena grows where it stands, which makes lists built in one go cheap;
     * it has to have been given the wide alignment already. */
    if (bytes && bytes + old_size == arena->cursor && ((uintptr_t)bytes & (ALIGN_WIDE - 1)) == 0 &&
        new_size - old_size <= (size_t)(arena->end - arena->cursor)) {
        arena->cursor += new_size - old_size;
        return old;
    }
    void *copy = rxn__arena_alloc(arena, new_size);
    if (old_size)
        memcpy(copy, old, old_size);
    return copy;
}

void *
rxn__vec_grow(Arena *arena, void *items, u32 *capacity, size_t item_size)
{
    enum { FIRST_CAPACITY = 8 };
    if (*capacity > UINT32_MAX / 2)
        memory_fail(arena->memory);
    const u32 wanted = *capacity ? *capacity * 2 : FIRST_CAPACITY;
    if (item_size && wanted > SIZE_MAX / item_size)
        memory_fail(arena->memory);
    void *grown = rxn__arena_grow(arena, items, *capacity * item_size, wanted * item_size);
    *capacity = wanted;
    return grown;
}
