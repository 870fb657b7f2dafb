/* engine.c: grids as fibers on one core; see engine.h.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

enum {
    STACK_BYTES = 256 * 1024, /* of a thread: deep enough for the local arrays of any kernel */
    WARP = 32,
    GROUPS = 64, /* of lanes of one warp that wait together; more than lanes */
    SHARED_GUARD = 256,
    SHARED_FILL = 0xA5,
    SLICE = 64, /* switches between looks at the clock */
};
#define NEVER UINT32_MAX

typedef enum FiberState { FIBER_READY, FIBER_AT_BARRIER, FIBER_IN_GROUP, FIBER_EXITED } FiberState;

#if defined(__x86_64__)
typedef void *Context;
#else
typedef ucontext_t Context;
#endif

typedef struct Fiber {
    Context context;
    unsigned char *stack;
    FiberState state;
    uint32_t number; /* in its block */
    int line;        /* where it waits */
    uint32_t mask;
} Fiber;

typedef struct Group {
    uint32_t mask, arrived, left; /* left: lanes that have not gone on yet; 0: the slot is free */
    int kind;
    bool complete;
    unsigned long long values[WARP];
} Group;

typedef struct Warp {
    uint32_t present, exited;
    uint32_t syncs; /* of some of its lanes, so far */
    Group groups[GROUPS];
} Warp;

/* Who used four bytes of shared memory last. */
typedef struct Trace {
    uint32_t writer, writer_barriers, writer_syncs;
    uint32_t reader, reader_barriers, reader_syncs; /* the last one */
    uint32_t other_reader, other_syncs;             /* before it, since the same barrier */
} Trace;

typedef struct Block {
    ShimIndex index;
    uint32_t threads, live, at_barrier, barriers;
    int barrier_line;
    unsigned long long predicates, barrier_result;
    Fiber *fibers;
    uint32_t *ready, ready_count;
    Warp *warps;
    unsigned char *dynamic_memory; /* with a guard behind it */
    unsigned char *statics;        /* while another block runs */
    Trace *traces;
    bool running;
} Block;

struct Engine {
    EngineLaunch launch;
    void *parameters;
    Shim shim;
    uint64_t random;
    Block *blocks;
    uint32_t block_slots;
    uint64_t blocks_started, blocks_done, block_count;
    bool backwards, trapped;
    Block *block; /* whose thread runs, or ran last */
    Fiber *fiber;
    Context scheduler;
};

/* The engine whose threads run now: what they call gets no context. */
static Engine *running;

/* Stacks are kept: grids come and go all the time. */
static struct {
    unsigned char **items;
    size_t count, capacity;
} free_stacks;

uint64_t
rxn_engine_random(uint64_t *state)
{
    uint64_t x = *state ? *state : 0x9E3779B97F4A7C15u;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1Du;
}

static uint32_t
pick(Engine *engine, uint32_t count)
{
    return (uint32_t)((rxn_engine_random(&engine->random) >> 32) * count >> 32);
}

static void *
need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "fake GPU: out of memory of the host\n");
        abort();
    }
    return memory;
}

static _Noreturn void
mistake(const char *what)
{
    Engine *e = running;
    fprintf(stderr, "fake GPU: %s, block (%u, %u), thread %u: %s\n", e->launch.name,
            e->block->index.x, e->block->index.y, e->fiber->number, what);
    abort();
}

/* ---- contexts ---- */

static void fiber_main(void);

#if defined(__x86_64__)
/* Saves the registers that a call preserves on this stack, and goes on where the other one left off. */
void rxn_engine_switch(void **save, void *load);
__asm__(".text\n"
        ".globl rxn_engine_switch\n"
        ".hidden rxn_engine_switch\n"
        ".type rxn_engine_switch, @function\n"
        "rxn_engine_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size rxn_engine_switch, . - rxn_engine_switch\n");

static void
switch_context(Context *from, Context *to)
{
    rxn_engine_switch(from, *to);
}

static void
start_context(Fiber *fiber)
{
    void **top = (void **)(fiber->stack + STACK_BYTES) - 1; /* as after a call: 8 short of 16 */
    *top = NULL;
    *--top = (void *)(uintptr_t)fiber_main;
    top -= 6;
    memset(top, 0, 6 * sizeof *top);
    fiber->context = top;
}
#else
static void
switch_context(Context *from, Context *to)
{
    swapcontext(from, to);
}

static void
start_context(Fiber *fiber)
{
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, fiber_main, 0);
}
#endif

static unsigned char *
take_stack(void)
{
    if (free_stacks.count > 0)
        return free_stacks.items[--free_stacks.count];
    /* The lowest page stays closed, so that an overflow is no silent one. */
    unsigned char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, 4096, PROT_NONE) != 0)
        need(NULL);
    return stack;
}

static void
give_stack(unsigned char *stack)
{
    if (free_stacks.count == free_stacks.capacity) {
        free_stacks.capacity = free_stacks.capacity ? 2 * free_stacks.capacity : 256;
        free_stacks.items =
            need(realloc(free_stacks.items, free_stacks.capacity * sizeof *free_stacks.items));
    }
    free_stacks.items[free_stacks.count++] = stack;
}

/* ---- one thread ---- */

static void
wake(Block *block, uint32_t number)
{
    block->fibers[number].state = FIBER_READY;
    block->ready[block->ready_count++] = number;
}

/* Lets others run until this thread is chosen again. */
static void
leave(FiberState state, int line)
{
    Engine *e = running;
    Fiber *self = e->fiber;
    self->line = line;
    if (state == FIBER_READY)
        wake(e->block, self->number);
    else
        self->state = state;
    switch_context(&self->context, &e->scheduler);
}

static void
release_barrier(Block *block)
{
    block->barrier_result = block->predicates;
    block->predicates = 0;
    block->at_barrier = 0;
    block->barriers++;
    for (uint32_t i = 0; i < block->threads; i++)
        if (block->fibers[i].state == FIBER_AT_BARRIER)
            wake(block, i);
}

static void
try_group(Block *block, uint32_t warp_number, Group *group)
{
    Warp *warp = &block->warps[warp_number];
    if (group->complete || group->left == 0 ||
        group->arrived != (group->mask & ~warp->exited & warp->present))
        return;
    group->complete = true;
    group->left = group->arrived;
    if (group->kind == SHIM_SYNC)
        warp->syncs++;
    for (uint32_t lane = 0; lane < WARP; lane++)
        if (group->arrived >> lane & 1 &&
            block->fibers[warp_number * WARP + lane].state == FIBER_IN_GROUP)
            wake(block, warp_number * WARP + lane);
}

static void
fiber_main(void)
{
    Engine *e = running;
    e->launch.kernel->call(e->parameters);
    e = running;
    Block *block = e->block;
    Fiber *self = e->fiber;
    Warp *warp = &block->warps[self->number / WARP];
    self->state = FIBER_EXITED;
    block->live--;
    warp->exited |= 1u << self->number % WARP;
    for (uint32_t g = 0; g < GROUPS; g++)
        try_group(block, self->number / WARP, &warp->groups[g]);
    if (block->live > 0 && block->at_barrier == block->live)
        release_barrier(block);
    switch_context(&self->context, &e->scheduler);
    abort();
}

static unsigned long long
shim_barrier(int line, int predicate)
{
    Block *block = running->block;
    if (block->at_barrier > 0 && block->barrier_line != line) {
        char text[128];
        snprintf(text, sizeof text, "at the barrier of line %d, others at that of line %d", line,
                 block->barrier_line);
        mistake(text);
    }
    block->barrier_line = line;
    block->predicates += predicate != 0;
    block->at_barrier++;
    if (block->at_barrier < block->live) {
        leave(FIBER_AT_BARRIER, line);
    } else {
        release_barrier(block);
        leave(FIBER_READY, line);
    }
    return block->barrier_result;
}

static const unsigned long long *
shim_gather(int line, int kind, unsigned mask, unsigned long long value)
{
    Block *block = running->block;
    Fiber *self = running->fiber;
    uint32_t lane = self->number % WARP, warp_number = self->number / WARP;
    Warp *warp = &block->warps[warp_number];
    if (!(mask >> lane & 1))
        mistake("it is not in the mask of what its warp does together");
    Group *group = NULL;
    for (uint32_t g = 0; g < GROUPS && !group; g++)
        if (warp->groups[g].left != 0 && !warp->groups[g].complete && warp->groups[g].mask == mask)
            group = &warp->groups[g];
    for (uint32_t g = 0; g < GROUPS && !group; g++)
        if (warp->groups[g].left == 0) {
            group = &warp->groups[g];
            *group = (Group){.mask = mask, .left = mask, .kind = kind};
            /* What a lane that is not there gives to a shuffle is nothing to rely on. */
            for (int i = 0; i < WARP && kind == SHIM_SHUFFLE; i++)
                group->values[i] = 0xA5A5A5A5A5A5A5A5u;
        }
    if (!group)
        mistake("too many groups of threads wait in its warp");
    if (group->kind != kind)
        mistake("threads of its warp meet at different operations");
    group->values[lane] = value;
    group->arrived |= 1u << lane;
    self->mask = mask;
    try_group(block, warp_number, group);
    if (group->complete)
        leave(FIBER_READY, line);
    else
        leave(FIBER_IN_GROUP, line);
    group->left &= ~(1u << lane);
    return group->values;
}

static void check_access(const volatile void *address, size_t size, int is_write, bool is_atomic);

static void
shim_atomic(const volatile void *address, size_t size)
{
    check_access(address, size, 1, true);
    if (pick(running, 2) == 0)
        leave(FIBER_READY, 0);
}

static void
shim_pause(void)
{
    leave(FIBER_READY, 0);
}

static void
shim_access(const volatile void *address, size_t size, int is_write)
{
    check_access(address, size, is_write, false);
}

static void
shim_trap(int line)
{
    running->trapped = true;
    for (;;)
        leave(FIBER_IN_GROUP, line);
}

/* ---- memory ---- */

/* A thread used it earlier; may `self` use it now? */
static bool
ordered(const Block *block, uint32_t earlier, uint32_t barriers, uint32_t syncs, uint32_t self)
{
    return earlier == NEVER || earlier == self || block->barriers != barriers ||
           (earlier / WARP == self / WARP && block->warps[self / WARP].syncs != syncs);
}

static void
race(size_t offset, uint32_t other, const char *what)
{
    char text[160];
    snprintf(text, sizeof text,
             "shared memory at byte %zu: %s thread %u, without a barrier between", offset, what,
             other);
    mistake(text);
}

static void
trace_shared(Block *block, uint32_t self, size_t offset, size_t size, int is_write)
{
    for (size_t at = offset / 4; at <= (offset + size - 1) / 4; at++) {
        Trace *t = &block->traces[at];
        if (!ordered(block, t->writer, t->writer_barriers, t->writer_syncs, self))
            race(at * 4, t->writer, is_write ? "written here and by" : "read here, written by");
        if (is_write) {
            if (!ordered(block, t->reader, t->reader_barriers, t->reader_syncs, self))
                race(at * 4, t->reader, "written here, read by");
            if (!ordered(block, t->other_reader, t->reader_barriers, t->other_syncs, self))
                race(at * 4, t->other_reader, "written here, read by");
            *t = (Trace){self, block->barriers, block->warps[self / WARP].syncs, NEVER, 0, 0, NEVER,
                         0};
        } else {
            bool same = t->reader_barriers == block->barriers;
            if (t->reader != self) {
                t->other_reader = same ? t->reader : NEVER;
                t->other_syncs = t->reader_syncs;
            }
            t->reader = self;
            t->reader_barriers = block->barriers;
            t->reader_syncs = block->warps[self / WARP].syncs;
        }
    }
}

static void
check_access(const volatile void *address, size_t size, int is_write, bool is_atomic)
{
    Engine *e = running;
    const EngineLaunch *launch = &e->launch;
    uintptr_t at = (uintptr_t)address;
    size_t offset = at - (uintptr_t)e->shim.dynamic;
    size_t in_statics = at - (uintptr_t)launch->statics;
    if (at - e->shim.stack < e->shim.stack_size)
        return;
    if (offset < launch->dynamic_bytes && offset + size <= launch->dynamic_bytes) {
        if (!is_atomic)
            trace_shared(e->block, e->fiber->number, offset, size, is_write);
        return;
    }
    if (in_statics < launch->static_bytes && in_statics + size <= launch->static_bytes) {
        if (!is_atomic)
            trace_shared(e->block, e->fiber->number, launch->dynamic_bytes / 4 * 4 + 4 + in_statics,
                         size, is_write);
        return;
    }
    uintptr_t start;
    size_t bytes;
    if (launch->allowed(launch->context, at, size, &start, &bytes)) {
        e->shim.range = start;
        e->shim.range_size = bytes;
        return;
    }
    if (at - launch->module < launch->module_size && (!is_write || is_atomic))
        return;
    char text[320], what[200];
    if (offset - launch->dynamic_bytes < SHARED_GUARD)
        snprintf(what, sizeof what, "beyond the %zu bytes of dynamic shared memory",
                 launch->dynamic_bytes);
    else
        launch->explain(launch->context, at, what, sizeof what);
    snprintf(text, sizeof text, "%s %zu bytes at %p: %s", is_write ? "writes" : "reads", size,
             (const void *)at, what);
    mistake(text);
}

/* ---- blocks ---- */

static void
start_block(Engine *e, Block *block)
{
    const EngineLaunch *launch = &e->launch;
    uint64_t number = e->backwards ? e->block_count - 1 - e->blocks_started : e->blocks_started;
    e->blocks_started++;
    block->index.x = (unsigned)(number % launch->grid.x);
    block->index.y = (unsigned)(number / launch->grid.x % launch->grid.y);
    block->index.z = (unsigned)(number / launch->grid.x / launch->grid.y);
    block->live = block->threads;
    block->at_barrier = block->ready_count = 0;
    block->barriers = 0;
    block->predicates = 0;
    block->running = true;
    memset(block->dynamic_memory, SHARED_FILL, launch->dynamic_bytes + SHARED_GUARD);
    memset(block->statics, SHARED_FILL, launch->static_bytes);
    size_t traces = (launch->dynamic_bytes + launch->static_bytes) / 4 + 3;
    for (size_t i = 0; i < traces && launch->dynamic_bytes + launch->static_bytes > 0; i++)
        block->traces[i] = (Trace){NEVER, 0, 0, NEVER, 0, 0, NEVER, 0};
    for (uint32_t w = 0; w * WARP < block->threads; w++) {
        uint32_t lanes = block->threads - w * WARP < WARP ? block->threads - w * WARP : WARP;
        block->warps[w] = (Warp){.present = lanes == WARP ? UINT32_MAX : (1u << lanes) - 1};
    }
    for (uint32_t i = 0; i < block->threads; i++) {
        block->fibers[i].number = i;
        start_context(&block->fibers[i]);
        wake(block, i);
    }
}

static void
end_block(Engine *e, Block *block)
{
    for (size_t i = 0; i < SHARED_GUARD; i++)
        if (block->dynamic_memory[e->launch.dynamic_bytes + i] != SHARED_FILL) {
            fprintf(stderr, "fake GPU: %s wrote behind its dynamic shared memory\n",
                    e->launch.name);
            abort();
        }
    block->running = false;
    e->blocks_done++;
    if (e->blocks_started < e->block_count)
        start_block(e, block);
}

/* Static shared memory has one place in the module: the running block's is there, the others' are put away. */
static void
put_away_statics(Engine *e)
{
    if (e->block && e->launch.static_bytes > 0)
        memcpy(e->block->statics, e->launch.statics, e->launch.static_bytes);
}

static void
enter_block(Engine *e, Block *block)
{
    e->block = block;
    if (e->launch.static_bytes > 0)
        memcpy(e->launch.statics, block->statics, e->launch.static_bytes);
    e->shim.block = block->index;
    e->shim.dynamic = block->dynamic_memory;
}

static _Noreturn void
report_deadlock(const Engine *e)
{
    fprintf(stderr, "fake GPU: %s: its threads wait for each other for ever:\n", e->launch.name);
    int lines = 0;
    for (uint32_t b = 0; b < e->block_slots; b++) {
        const Block *block = &e->blocks[b];
        for (uint32_t i = 0; block->running && i < block->threads && lines < 40; i++) {
            const Fiber *f = &block->fibers[i];
            if (f->state == FIBER_AT_BARRIER)
                fprintf(stderr, "  block %u, thread %u: at the barrier of line %d\n",
                        block->index.x, i, f->line);
            else if (f->state == FIBER_IN_GROUP)
                fprintf(stderr, "  block %u, thread %u: in line %d, for the threads of %08x\n",
                        block->index.x, i, f->line, f->mask);
            lines += f->state != FIBER_EXITED;
        }
    }
    abort();
}

/* ---- the engine ---- */

Engine *
rxn_engine_start(const EngineLaunch *launch, const void *parameters, uint64_t seed)
{
    Engine *e = need(calloc(1, sizeof *e));
    e->launch = *launch;
    e->parameters = need(malloc(launch->kernel->parameter_bytes + 1));
    memcpy(e->parameters, parameters, launch->kernel->parameter_bytes);
    e->random = seed * 2 + 1;
    for (int i = 0; i < 4; i++)
        rxn_engine_random(&e->random);
    e->backwards = pick(e, 2) == 1;
    e->block_count = (uint64_t)launch->grid.x * launch->grid.y * launch->grid.z;
    e->block_slots =
        e->block_count < launch->resident ? (uint32_t)e->block_count : launch->resident;
    e->shim.block_size = launch->block;
    e->shim.grid_size = launch->grid;
    e->shim.stack_size = STACK_BYTES;
    /* Of the module the static shared memory is what others write. */
    e->shim.module = launch->module;
    e->shim.module_size = launch->static_bytes > 0 ? 0 : launch->module_size;
    e->shim.barrier = shim_barrier;
    e->shim.gather = shim_gather;
    e->shim.atomic = shim_atomic;
    e->shim.pause = shim_pause;
    e->shim.access = shim_access;
    e->shim.trap = shim_trap;
    e->blocks = need(calloc(e->block_slots, sizeof *e->blocks));
    uint32_t threads = launch->block.x * launch->block.y * launch->block.z;
    for (uint32_t b = 0; b < e->block_slots; b++) {
        Block *block = &e->blocks[b];
        block->threads = threads;
        block->fibers = need(calloc(threads, sizeof *block->fibers));
        block->ready = need(calloc(threads, sizeof *block->ready));
        block->warps = need(calloc(threads / WARP + 1, sizeof *block->warps));
        block->dynamic_memory =
            need(aligned_alloc(256, (launch->dynamic_bytes + SHARED_GUARD + 255) / 256 * 256));
        block->statics = need(malloc(launch->static_bytes + 1));
        block->traces = need(
            calloc((launch->dynamic_bytes + launch->static_bytes) / 4 + 3, sizeof *block->traces));
        for (uint32_t i = 0; i < threads; i++)
            block->fibers[i].stack = take_stack();
        start_block(e, block);
    }
    return e;
}

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A block with a thread that can go on: mostly the one of last time. */
static Block *
choose_block(Engine *e)
{
    if (e->block && e->block->running && e->block->ready_count > 0 && pick(e, 8) > 0)
        return e->block;
    uint32_t first = pick(e, e->block_slots);
    for (uint32_t i = 0; i < e->block_slots; i++) {
        Block *block = &e->blocks[(first + i) % e->block_slots];
        if (block->running && block->ready_count > 0)
            return block;
    }
    return NULL;
}

EngineState
rxn_engine_run(Engine *e, double seconds)
{
    double end = now() + seconds;
    running = e;
    *e->launch.module_shim = &e->shim;
    e->shim.range_size = 0;
    if (e->block)
        enter_block(e, e->block);
    for (uint32_t switches = 1; e->blocks_done < e->block_count && !e->trapped; switches++) {
        Block *block = choose_block(e);
        if (!block)
            report_deadlock(e);
        if (block != e->block) {
            put_away_statics(e);
            enter_block(e, block);
        }
        uint32_t k = pick(e, block->ready_count);
        Fiber *fiber = &block->fibers[block->ready[k]];
        block->ready[k] = block->ready[--block->ready_count];
        e->fiber = fiber;
        e->shim.thread.x = fiber->number % e->launch.block.x;
        e->shim.thread.y = fiber->number / e->launch.block.x % e->launch.block.y;
        e->shim.thread.z = fiber->number / e->launch.block.x / e->launch.block.y;
        e->shim.lane = fiber->number % WARP;
        e->shim.stack = (uintptr_t)fiber->stack;
        switch_context(&e->scheduler, &fiber->context);
        if (fiber->state == FIBER_EXITED && block->live == 0) {
            end_block(e, block);
            if (block->running) /* the next block in its place: its statics are fresh */
                enter_block(e, block);
        }
        if (switches % SLICE == 0 && now() > end)
            break;
    }
    put_away_statics(e);
    running = NULL;
    return e->trapped                         ? ENGINE_TRAPPED
           : e->blocks_done == e->block_count ? ENGINE_DONE
                                              : ENGINE_RUNNING;
}

void
rxn_engine_free(Engine *e)
{
    for (uint32_t b = 0; b < e->block_slots; b++) {
        Block *block = &e->blocks[b];
        for (uint32_t i = 0; i < block->threads; i++)
            give_stack(block->fibers[i].stack);
        free(block->fibers);
        free(block->ready);
        free(block->warps);
        free(block->dynamic_memory);
        free(block->statics);
        free(block->traces);
    }
    free(e->blocks);
    free(e->parameters);
    free(e);
}
