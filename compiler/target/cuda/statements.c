/* statements.c: statements, and the barriers of a team of threads.
 *
 * A team executes the program with equal scalars. Its arrays are one for all, so one thread writes, and between
 * a write and a read by the others, in either order, there has to be a barrier. For each array and each buffer
 * that is read `touched` says what has been done with it since the last barrier; a barrier is written where the
 * next access would collide with that, and not before. Where ways join, what either has touched counts; at the
 * start of a loop, all that its body touches, and a barrier that only its first turn would need stands before it.
 */
#include "compiler/target/cuda/cuda.h"

#include <string.h>

static void write_block(CudaText *c, const KirBlock *block);

/* ---- touched ---- */

typedef struct Touched {
    u8 *locals, *buffers;
} Touched;

static Touched
copy_touched(CudaText *c)
{
    Touched copy = {NEW_ARRAY(c->arena, u8, c->kernel->locals.count + 1),
                    NEW_ARRAY(c->arena, u8, c->kernel->buffers.count + 1)};
    memcpy(copy.locals, c->touched_local, c->kernel->locals.count);
    memcpy(copy.buffers, c->touched_buffer, c->kernel->buffers.count);
    return copy;
}

static void
restore_touched(CudaText *c, Touched from)
{
    memcpy(c->touched_local, from.locals, c->kernel->locals.count);
    memcpy(c->touched_buffer, from.buffers, c->kernel->buffers.count);
}

static void
join_touched(CudaText *c, Touched with)
{
    for (u32 i = 0; i < c->kernel->locals.count; i++)
        c->touched_local[i] |= with.locals[i];
    for (u32 i = 0; i < c->kernel->buffers.count; i++)
        c->touched_buffer[i] |= with.buffers[i];
}

/* All that the block touches; `written` is what a write counts as. */
static void
touch_block(CudaText *c, const KirBlock *block, u8 written)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        const KirNode *node = &c->kernel->values.items[s->value];
        if (s->kind == KIR_DEFINE && node->op == KIR_GET && node->index_count &&
            !rxn__cuda_is_fixed(c, node->object))
            c->touched_local[node->object] |= TOUCHED_READ;
        if (s->kind == KIR_DEFINE && node->op == KIR_LOAD)
            c->touched_buffer[node->object] |= TOUCHED_READ;
        if (s->kind == KIR_SET && s->index_count)
            c->touched_local[s->object] |= written;
        if (s->kind == KIR_STORE)
            c->touched_buffer[s->object] |= written;
        bool shared = s->kind == KIR_FOR && c->plan->shared_out[s->value];
        touch_block(c, &s->body, shared ? TOUCHED_BY_ALL : written);
        touch_block(c, &s->otherwise, written);
    }
}

/* Whether the next write, by rank 0 or by all, needs a barrier before it. */
static bool
collides(u8 touched, u8 written)
{
    return (touched & (TOUCHED_READ | TOUCHED_BY_ALL)) ||
           (written == TOUCHED_BY_ALL && (touched & TOUCHED_BY_ONE));
}

static bool
any_collides(const u8 *before, const u8 *body, const bool *watched, u32 count)
{
    for (u32 i = 0; i < count; i++)
        if ((!watched || watched[i]) &&
            (((body[i] & TOUCHED_BY_ALL) && collides(before[i], TOUCHED_BY_ALL)) ||
             ((body[i] & TOUCHED_BY_ONE) && collides(before[i], TOUCHED_BY_ONE)) ||
             ((body[i] & TOUCHED_READ) && (before[i] & ~TOUCHED_READ))))
            return true;
    return false;
}

/* Before a loop: a barrier, if what has been done collides with something in the body, so that there need be
 * none for that in it. Then the body counts as touched, for its second turn. */
static void
before_loop(CudaText *c, const KirBlock *body, u8 written)
{
    Touched before = copy_touched(c);
    memset(c->touched_local, 0, c->kernel->locals.count);
    memset(c->touched_buffer, 0, c->kernel->buffers.count);
    touch_block(c, body, written);
    if (any_collides(before.locals, c->touched_local, NULL, c->kernel->locals.count) ||
        any_collides(before.buffers, c->touched_buffer, c->plan->buffer_read,
                     c->kernel->buffers.count)) {
        Touched of_body = copy_touched(c);
        rxn__cuda_barrier(c);
        restore_touched(c, of_body);
    } else {
        join_touched(c, before);
    }
}

/* Writes an assignment to memory: once, where a team executes it. */
static void
write_memory(CudaText *c, u8 *touched, bool watched, const char *place, const char *value)
{
    if (!c->team || c->order != NULL) {
        rxn__cuda_line(c, "%s = %s;", place, value);
        return;
    }
    if (watched && collides(*touched, TOUCHED_BY_ONE))
        rxn__cuda_barrier(c);
    rxn__cuda_line(c, "if (rank == 0)");
    c->indent++;
    rxn__cuda_line(c, "%s = %s;", place, value);
    c->indent--;
    *touched |= TOUCHED_BY_ONE;
}

/* ---- statements ---- */

static void
write_set(CudaText *c, const KirStatement *s)
{
    const KirLocal *local = &c->kernel->locals.items[s->object];
    u8 place = c->plan->locals[s->object].place;
    const char *value = rxn__cuda_operand(c, s->value);
    if (place == CUDA_SCALAR) {
        rxn__cuda_line(c, "%s = %s;", c->local[s->object],
                       c->compound[s->value] ? c->expression[s->value] : value);
        return;
    }
    if (place == CUDA_SPLIT) {
        u32 element = rxn__cuda_split_element(c, s->object, s->index[0]);
        rxn__cuda_line(c, "%s = %s;", c->element[s->object][element], value);
        return;
    }
    u32 bytes = local->storage ? local->storage : rxn__kir_type_bytes[local->type];
    if (bytes != rxn__kir_type_bytes[local->type] || local->type == KIR_BOOL)
        value = rxn__cuda_format(c, "(%s)%s", rxn__cuda_memory_type((KirType)local->type, bytes),
                                 value);
    const char *index = s->index_count ? rxn__cuda_operand(c, s->index[0]) : "0";
    write_memory(c, &c->touched_local[s->object], true, rxn__cuda_element(c, s->object, index),
                 value);
}

static void
write_store(CudaText *c, const KirStatement *s)
{
    const KirBuffer *buffer = &c->kernel->buffers.items[s->object];
    const char *value = rxn__cuda_operand(c, s->value);
    if (buffer->type == KIR_BOOL)
        value = rxn__cuda_format(c, "(u8)%s", value);
    write_memory(c, &c->touched_buffer[s->object], c->plan->buffer_read[s->object],
                 rxn__cuda_buffer_element(c, s->object, s->index), value);
}

static void
write_body(CudaText *c, const KirBlock *block)
{
    c->indent++;
    write_block(c, block);
    c->indent--;
}

static void
write_if(CudaText *c, const KirStatement *s)
{
    rxn__cuda_line(c, "if (%s) {",
                   c->compound[s->value] ? c->expression[s->value]
                                         : rxn__cuda_operand(c, s->value));
    Touched before = {NULL, NULL};
    if (c->team)
        before = copy_touched(c);
    write_body(c, &s->body);
    if (c->team) {
        Touched then = copy_touched(c);
        restore_touched(c, before);
        before = then;
    }
    if (s->otherwise.count) {
        rxn__cuda_line(c, "} else {");
        write_body(c, &s->otherwise);
    }
    if (c->team)
        join_touched(c, before);
    rxn__cuda_line(c, "}");
}

/* An expression that may be read at every turn. */
static const char *
bound(CudaText *c, KirValue value, const char *what)
{
    const char *text = rxn__cuda_operand(c, value);
    if (c->kernel->values.items[value].op == KIR_CONST)
        return text;
    const char *name = rxn__cuda_identifier(&c->names, what);
    rxn__cuda_line(c, "const i32 %s = %s;", name, text);
    return name;
}

static void
write_trap(CudaText *c, const KirStatement *s)
{
    rxn__cuda_line(c, "trap_code = %uu;", s->code);
    rxn__cuda_line(c, "trap_detail = %s;", rxn__cuda_operand(c, s->value));
    if (c->order != NULL) {
        c->needs_order = true;
        rxn__cuda_line(c, "order = %s;", c->order);
        rxn__cuda_line(c, "goto trapped_in_%u;", c->label);
    } else {
        rxn__cuda_line(c, "goto trapped;");
    }
}

bool
rxn__cuda_has_trap(const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++)
        if (block->items[i].kind == KIR_TRAP || rxn__cuda_has_trap(&block->items[i].body) ||
            rxn__cuda_has_trap(&block->items[i].otherwise))
            return true;
    return false;
}

/* Threads take iterations in turn, each in the order of the program. Of those that trap the first in the order of the program counts. */
static void
write_shared_out(CudaText *c, const KirStatement *s)
{
    before_loop(c, &s->body, TOUCHED_BY_ALL);
    u32 threads = c->region == KIR_LAUNCH ? c->plan->uniform_threads : c->plan->team_threads;
    c->label = s->value;
    const char *counter = rxn__cuda_identifier(&c->names, rxn__cuda_format(c, "i%u", s->value));
    const char *lo = bound(c, s->index[0], rxn__cuda_format(c, "from_%u", s->value));
    const char *hi = bound(c, s->index[1], rxn__cuda_format(c, "to_%u", s->value));
    c->expression[s->value] = counter;
    c->order = s->down ? rxn__cuda_format(c, "(u32)(%s - %s)", hi, counter)
                       : rxn__cuda_format(c, "(u32)(%s - %s)", counter, lo);
    rxn__cuda_line(c, "/* shared out */");
    if (s->down)
        rxn__cuda_line(c, "for (i32 %s = %s - 1 - (i32)rank; %s >= %s; %s -= %u) {", counter, hi,
                       counter, lo, counter, threads);
    else
        rxn__cuda_line(c, "for (i32 %s = %s + (i32)rank; %s < %s; %s += %u) {", counter, lo,
                       counter, hi, counter, threads);
    c->loops++;
    write_body(c, &s->body);
    c->loops--;
    rxn__cuda_line(c, "}");
    c->order = NULL;
    if (!rxn__cuda_has_trap(&s->body))
        return;
    c->indent--;
    rxn__cuda_line(c, "trapped_in_%u:", s->value);
    c->indent++;
    rxn__cuda_line(c, "if (trap_code)");
    rxn__cuda_line(c, "    atomicMin(&team->first, order);");
    rxn__cuda_barrier(c);
    rxn__cuda_line(c, "if (team->first != 0xffffffffu) {");
    c->indent++;
    rxn__cuda_line(c, "if (trap_code && order == team->first) {");
    rxn__cuda_line(c, "    team->code = trap_code;");
    rxn__cuda_line(c, "    team->detail = trap_detail;");
    rxn__cuda_line(c, "}");
    rxn__cuda_line(c, "%s;", c->barrier);
    rxn__cuda_line(c, "trap_code = team->code;");
    rxn__cuda_line(c, "trap_detail = team->detail;");
    rxn__cuda_line(c, "goto trapped;");
    c->indent--;
    rxn__cuda_line(c, "}");
}

static void
write_for(CudaText *c, const KirStatement *s)
{
    if (c->team && c->order == NULL && c->plan->shared_out[s->value]) {
        write_shared_out(c, s);
        return;
    }
    bool together = c->team && c->order == NULL;
    Touched all = {NULL, NULL};
    if (together) {
        before_loop(c, &s->body, TOUCHED_BY_ONE);
        all = copy_touched(c);
    }
    const char *counter = rxn__cuda_identifier(&c->names, rxn__cuda_format(c, "i%u", s->value));
    const char *edge = bound(c, s->index[s->down ? 0 : 1],
                             rxn__cuda_format(c, s->down ? "from_%u" : "to_%u", s->value));
    c->expression[s->value] = counter;
    if (s->down)
        rxn__cuda_line(c, "for (i32 %s = %s; %s-- > %s;) {", counter,
                       rxn__cuda_operand(c, s->index[1]), counter, edge);
    else
        rxn__cuda_line(c, "for (i32 %s = %s; %s < %s; %s++) {", counter,
                       rxn__cuda_operand(c, s->index[0]), counter, edge, counter);
    c->loops++;
    write_body(c, &s->body);
    c->loops--;
    rxn__cuda_line(c, "}");
    if (together)
        join_touched(c, all);
}

static bool
has_loop(const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (s->kind == KIR_FOR || s->kind == KIR_LOOP || has_loop(&s->body) ||
            has_loop(&s->otherwise))
            return true;
    }
    return false;
}

/* A loop with loops in it may take long, so it looks at *cancel: in init and finish, where it may be what a
 * trajectory consists of, at every turn. */
static void
write_loop(CudaText *c, const KirStatement *s)
{
    bool together = c->team && c->order == NULL;
    Touched all = {NULL, NULL};
    if (together) {
        before_loop(c, &s->body, TOUCHED_BY_ONE);
        all = copy_touched(c);
    }
    rxn__cuda_line(c, "for (;;) {");
    c->indent++;
    if (c->loops == 0 && c->region != KIR_LAUNCH && has_loop(&s->body)) {
        if (c->region == KIR_STEP)
            rxn__cuda_line(c, "if ((++looks & 63u) == 0) {");
        else
            rxn__cuda_line(c, "{");
        c->indent++;
        if (together) {
            rxn__cuda_line(c, "%s;", c->barrier);
            rxn__cuda_line(c, "if (rank == 0)");
            rxn__cuda_line(c, "    team->stop = rxn_is_stopped(launch, trajectory);");
            rxn__cuda_line(c, "%s;", c->barrier);
            rxn__cuda_line(c, "if (team->stop)");
        } else {
            rxn__cuda_line(c, "if (rxn_is_stopped(launch, trajectory))");
        }
        rxn__cuda_line(c, "    return;");
        c->indent--;
        rxn__cuda_line(c, "}");
    }
    c->loops++;
    write_block(c, &s->body);
    c->loops--;
    c->indent--;
    rxn__cuda_line(c, "}");
    if (together)
        join_touched(c, all);
}

static void
write_block(CudaText *c, const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        switch ((KirStatementKind)s->kind) {
        case KIR_DEFINE: rxn__cuda_define(c, s->value); break;
        case KIR_SET: write_set(c, s); break;
        case KIR_STORE: write_store(c, s); break;
        case KIR_IF: write_if(c, s); break;
        case KIR_FOR: write_for(c, s); break;
        case KIR_LOOP: write_loop(c, s); break;
        case KIR_BREAK: rxn__cuda_line(c, "break;"); break;
        case KIR_TRAP: write_trap(c, s); break;
        }
    }
}

void
rxn__cuda_region(CudaText *c, KirRegion region)
{
    c->region = region;
    /* What came before may be in flight still. */
    memset(c->touched_local, 0xff, c->kernel->locals.count);
    memset(c->touched_buffer, 0xff, c->kernel->buffers.count);
    write_block(c, &c->kernel->regions[region]);
}
