/* uses.c: how often each value is used, and which values may be written where they are used.
 *
 * A text with a line for every value is hard to read:  v7 = x0; v8 = v7 - 1.0; v9 = v7 * v8. A pure value that
 * is used once can stand in its user instead, and a get can be the local itself:  v9 = x0 * (x0 - 1.0), as
 * long as the local is not set between the get and the place where the text reads it. That place may be later
 * than the get's user, which may itself have moved; and if it is in a loop that the get is not in, the local is
 * read until the loop ends.
 *
 * Statements are numbered in order, and so is the end of each block's loop. Going backwards, `reach` of a value
 * is the number up to which it may be evaluated.
 */
#include "compiler/target/cuda/cuda.h"

typedef struct Loop {
    u32 parent, end; /* number behind its last statement */
} Loop;

typedef struct Set {
    u32 at, next; /* next: of the same local, earlier; 0: none */
} Set;

typedef struct Walk {
    const KirKernel *kernel;
    Arena *arena;
    CudaUses *uses;
    u32 number, loop;     /* of the statement; of the loop that it is in */
    VEC(Loop) loops;      /* [0] is unused; a region's top block counts as one */
    VEC(u32) loop_of;     /* per number */
    u32 *defined, *reach; /* per value: numbers */
    u32 *last_set;        /* per local: into sets */
    VEC(Set) sets;
} Walk;

static u32
next_number(Walk *w)
{
    vec_push(w->arena, &w->loop_of, w->loop);
    return w->number++;
}

/* ---- forwards: numbers, counts, sets ---- */

static void
count_uses(Walk *w, const KirNode *node)
{
    for (u32 i = 0; i < rxn__kir_ops[node->op].arity; i++)
        w->uses->count[node->args[i]]++;
    for (u32 i = 0; i < node->index_count; i++)
        w->uses->count[node->index[i]]++;
}

static void
number_block(Walk *w, const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        u32 at = next_number(w);
        if (s->kind == KIR_DEFINE) {
            w->defined[s->value] = at;
            count_uses(w, &w->kernel->values.items[s->value]);
            continue;
        }
        if (s->kind == KIR_SET || s->kind == KIR_STORE || s->kind == KIR_IF || s->kind == KIR_TRAP)
            w->uses->count[s->value]++;
        for (u32 k = 0; k < s->index_count; k++)
            w->uses->count[s->index[k]]++;
        if (s->kind == KIR_SET) {
            vec_push(w->arena, &w->sets, ((Set){at, w->last_set[s->object]}));
            w->last_set[s->object] = w->sets.count - 1;
        }
        if (s->kind == KIR_FOR || s->kind == KIR_LOOP) {
            if (s->kind == KIR_FOR) { /* bounds may be read at every turn */
                w->uses->count[s->index[0]] += 2;
                w->uses->count[s->index[1]] += 2;
            }
            u32 loop = w->loops.count;
            vec_push(w->arena, &w->loops, ((Loop){w->loop, 0}));
            w->loop = loop;
            if (s->kind == KIR_FOR)
                w->defined[s->value] = at;
            number_block(w, &s->body);
            w->loops.items[loop].end = next_number(w);
            w->loop = w->loops.items[loop].parent;
        } else {
            number_block(w, &s->body);
            number_block(w, &s->otherwise);
        }
    }
}

/* ---- backwards: how far values reach ---- */

/* The number until which the value, evaluated at `at`, is read: `at`, or the end of the outermost loop around
 * it that is not around the definition. */
static u32
read_until(const Walk *w, KirValue value, u32 at)
{
    u32 home = w->loop_of.items[w->defined[value]], until = at;
    for (u32 loop = w->loop_of.items[at]; loop && loop != home; loop = w->loops.items[loop].parent)
        if (w->loops.items[loop].end > until)
            until = w->loops.items[loop].end;
    return until;
}

static void
use_value(Walk *w, KirValue value, u32 at)
{
    u32 until = read_until(w, value, at);
    if (until > w->reach[value])
        w->reach[value] = until;
    if (w->loop_of.items[at] != w->loop_of.items[w->defined[value]])
        w->uses->movable[value] = false;
}

static bool
is_pure(const Walk *w, const KirNode *node)
{
    switch ((KirOp)node->op) {
    case KIR_COUNTER: return false;
    case KIR_GET: return false;
    case KIR_LOAD: return !w->kernel->buffers.items[node->object].writable;
    default: return true;
    }
}

static void
reach_of_define(Walk *w, KirValue value)
{
    const KirNode *node = &w->kernel->values.items[value];
    CudaUses *uses = w->uses;
    u32 at = w->defined[value];
    uses->movable[value] = uses->movable[value] && uses->count[value] == 1;
    bool moves = uses->movable[value] && (is_pure(w, node) || node->op == KIR_GET);
    u32 evaluated = moves && w->reach[value] > at ? w->reach[value] : at;
    for (u32 i = 0; i < rxn__kir_ops[node->op].arity; i++)
        use_value(w, node->args[i], evaluated);
    for (u32 i = 0; i < node->index_count; i++)
        use_value(w, node->index[i], evaluated);
    if (node->op != KIR_GET)
        return;
    uses->steady[value] = true;
    for (u32 set = w->last_set[node->object]; set != 0; set = w->sets.items[set].next) {
        u32 when = w->sets.items[set].at;
        if (when > at && when < w->reach[value])
            uses->steady[value] = false;
    }
}

/* Goes through the numbers as number_block did, backwards. */
static void
reach_block(Walk *w, const KirBlock *block)
{
    for (u32 i = block->count; i-- > 0;) {
        const KirStatement *s = &block->items[i];
        if (s->kind == KIR_FOR || s->kind == KIR_LOOP) {
            w->number--;
            u32 end = w->number;
            reach_block(w, &s->body);
            w->number--;
            if (s->kind == KIR_FOR) {
                use_value(w, s->index[0], end);
                use_value(w, s->index[1], end);
            }
            continue;
        }
        reach_block(w, &s->otherwise);
        reach_block(w, &s->body);
        u32 at = --w->number;
        if (s->kind == KIR_DEFINE) {
            reach_of_define(w, s->value);
            continue;
        }
        if (s->kind == KIR_SET || s->kind == KIR_STORE || s->kind == KIR_IF || s->kind == KIR_TRAP)
            use_value(w, s->value, at);
        for (u32 k = 0; k < s->index_count; k++)
            use_value(w, s->index[k], at);
    }
}

/* ---- twins ---- */

static bool
same_operands(const KirNode *a, const KirNode *b)
{
    return (a->args[0] == b->args[0] && a->args[1] == b->args[1]) ||
           (a->args[0] == b->args[1] && a->args[1] == b->args[0]);
}

/* A mul and a mulhi of the same operands follow closely on each other, if there are both. */
static void
pair_block(Walk *w, const KirBlock *block)
{
    enum { NEAR = 6 };
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        pair_block(w, &s->body);
        pair_block(w, &s->otherwise);
        if (s->kind != KIR_DEFINE)
            continue;
        const KirNode *a = &w->kernel->values.items[s->value];
        if (a->type != KIR_U32 || (a->op != KIR_MUL && a->op != KIR_MULHI))
            continue;
        for (u32 k = i + 1; k < block->count && k < i + NEAR; k++) {
            KirValue other = block->items[k].value;
            if (block->items[k].kind != KIR_DEFINE)
                continue;
            const KirNode *b = &w->kernel->values.items[other];
            if (b->type == KIR_U32 && (b->op == KIR_MUL || b->op == KIR_MULHI) && b->op != a->op &&
                same_operands(a, b)) {
                w->uses->twin[s->value] = other;
                w->uses->twin[other] = s->value;
            }
        }
    }
}

CudaUses *
rxn__cuda_uses(const KirKernel *kernel, Arena *arena)
{
    CudaUses *uses = NEW(arena, CudaUses);
    u32 values = kernel->values.count + 1;
    uses->count = NEW_ARRAY(arena, u32, values);
    uses->movable = NEW_ARRAY(arena, bool, values);
    uses->steady = NEW_ARRAY(arena, bool, values);
    uses->twin = NEW_ARRAY(arena, KirValue, values);
    for (u32 i = 0; i < values; i++)
        uses->movable[i] = true;
    Walk w = {.kernel = kernel, .arena = arena, .uses = uses, .number = 1};
    w.defined = NEW_ARRAY(arena, u32, values);
    w.reach = NEW_ARRAY(arena, u32, values);
    w.last_set = NEW_ARRAY(arena, u32, kernel->locals.count + 1);
    vec_push(arena, &w.loop_of, 0);
    vec_push(arena, &w.loops, ((Loop){0, 0}));
    vec_push(arena, &w.sets, ((Set){0, 0}));
    for (u32 region = 0; region < KIR_REGION_COUNT; region++) {
        w.loop = w.loops.count;
        vec_push(arena, &w.loops, ((Loop){0, 0}));
        number_block(&w, &kernel->regions[region]);
        w.loops.items[w.loop].end = next_number(&w);
        pair_block(&w, &kernel->regions[region]);
    }
    for (u32 region = KIR_REGION_COUNT; region-- > 0;) {
        w.number--;
        reach_block(&w, &kernel->regions[region]);
    }
    return uses;
}
