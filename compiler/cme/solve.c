/* solve.c: what frames a computation: its buffers, its limits, the ways out of it.
 *
 * A reason to stop may turn up anywhere (a propensity that is no number, memory, Ctrl-C), and nothing is
 * worth keeping then. So all of them leave through rxn__cme_fail, to rxn__cme_solve.
 */
#include "compiler/cme/private.h"

#include <math.h>
#include <string.h>

static const double default_tolerance = 1e-10;
static const u64 default_states = 2000000;
static const u64 default_memory = UINT64_C(2) << 30;
static const double default_work = 1e13;

_Noreturn void
rxn__cme_fail(Cme *cme, const char *format, ...)
{
    Text text;
    rxn__text_init(&text, cme->arena);
    va_list args;
    va_start(args, format);
    rxn__text_vprintf(&text, format, args);
    va_end(args);
    cme->reason = text.data;
    cme->status = RXN_ERROR_INPUT;
    longjmp(cme->exit, 1);
}

void
rxn__cme_look_at_cancel(Cme *cme)
{
    if (!cme->options.cancel || !*cme->options.cancel)
        return;
    cme->reason = "interrupted";
    cme->status = RXN_CANCELLED;
    longjmp(cme->exit, 1);
}

/* A buffer that moves has both its places for a moment: hence the copy counts, too. */
void *
rxn__cme_reserve(Cme *cme, CmeBuffer *buffer, u64 count, size_t size)
{
    if (count <= buffer->capacity)
        return buffer->items;
    u64 capacity = buffer->capacity + buffer->capacity / 2;
    capacity = capacity < count ? count : capacity;
    capacity = capacity < 64 ? 64 : capacity;
    u64 bytes = capacity * size;
    if (cme->bytes + bytes > cme->options.memory_limit)
        rxn__cme_fail(cme,
                      "%llu states so far take more than %llu MiB of memory; a shorter time "
                      "or fewer molecules need fewer",
                      (unsigned long long)cme->state_count,
                      (unsigned long long)(cme->options.memory_limit >> 20));
    if (!buffer->items)
        vec_push(cme->arena, &cme->buffers, buffer);
    Arena fresh;
    rxn__arena_init(&fresh, cme->arena->memory);
    void *items = rxn__arena_alloc(&fresh, bytes);
    if (buffer->items) {
        memcpy(items, buffer->items, buffer->bytes);
        rxn__arena_release(&buffer->arena);
    }
    cme->bytes += bytes - buffer->bytes;
    *buffer = (CmeBuffer){fresh, items, capacity, bytes};
    return items;
}

static void
release(void *object)
{
    Cme *cme = object;
    for (u32 k = 0; k < cme->buffers.count; k++) {
        CmeBuffer *buffer = cme->buffers.items[k];
        if (buffer->items)
            rxn__arena_release(&buffer->arena);
        *buffer = (CmeBuffer){0};
    }
    cme->buffers.count = 0;
}

static void
fill_options(CmeOptions *options)
{
    options->tolerance = options->tolerance > 0 ? options->tolerance : default_tolerance;
    options->state_limit = options->state_limit > 0 ? options->state_limit : default_states;
    options->memory_limit = options->memory_limit > 0 ? options->memory_limit : default_memory;
    options->work_limit = options->work_limit > 0 ? options->work_limit : default_work;
}

/* Odd widths are padded, so that a row is whole pairs of numbers. */
static u32
width_of(u32 wrt_count)
{
    return wrt_count == 0 ? 1 : (wrt_count + 2) / 2 * 2;
}

RxnStatus
rxn__cme_solve(const CmeModel *model, const CmeOptions *options, const u32 *wrt, u32 wrt_count,
               Arena *arena, void (*body)(void *context, Cme *cme), void *context,
               const char **ret_reason)
{
    Cme *cme = NEW(arena, Cme);
    cme->network = model->network;
    cme->params = model->params;
    cme->inputs = model->inputs;
    cme->arena = arena;
    cme->options = *options;
    fill_options(&cme->options);
    cme->wrt = wrt;
    cme->wrt_count = wrt_count;
    cme->width = width_of(wrt_count);
    cme->lost_sensitivity = NEW_ARRAY(arena, double, wrt_count + 1);
    cme->scale = NEW_ARRAY(arena, double, wrt_count + 1);
    for (u32 i = 0; i < wrt_count; i++) {
        double size = fabs(model->params[wrt[i]]);
        cme->scale[i] = size > 0 ? size : 1;
    }
    rxn__arena_on_release(arena, release, cme);
    if (setjmp(cme->exit) == 0) {
        rxn__cme_space_begin(cme);
        body(context, cme);
    }
    release(cme);
    *ret_reason = cme->reason;
    return cme->status;
}
