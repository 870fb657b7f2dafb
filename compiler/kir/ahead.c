/* ahead.c: what a step makes of nothing but its own number, for eight steps at once.
 *
 * Why: the random numbers of a step, and what is made of them before the state comes into it (a logarithm), depend on the number of
 * the step alone, and are a fifth to two thirds of its work. Where many trajectories run side by side that is vector code. A trajectory
 * that is alone computes them in scalars, one after another, although those of the next steps could be had with them. As a loop of eight
 * independent turns they are what a target can write in vectors again.
 *
 *   before                              after
 *     step {                              step {
 *       %1 = get.u32 n                      %1 = get.u32 n
 *       %2 = mulhi.u32 %1, %c               %2 = get.u32 row_first
 *       ...                                 %3 = sub.u32 %1, %2
 *       %40 = log of …                      if (not row_made or %3 >= 8) {
 *       ...                                   set row_first, %1
 *       set n, %1 + 1                         for %4 = 0 .. 8 { the same of %1 + %4;  set row0[%4], log of … }
 *     }                                     }
 *                                           %40 = get.f64 row0[n - row_first]
 *
 * When: `n` is a whole number that each step counts up by one. What depends on it, on constants, on the trajectory's number and on locals
 * that only `if`s change (the high word of the number) may be computed ahead: the row also keeps what those locals were, and
 * is made anew where they are no longer the same, so that each value is the one that its step would have computed, whatever else
 * the kernel does with n. No pass of the common sequence, for it is of use where a trajectory is alone, and harm elsewhere.
 */
#include "compiler/kir/internal.h"

enum { ROW = 8, MOST_RESULTS = 4, MOST_WATCHED = 4, LEAST_PRODUCTS = 8 };

/* What a value at the top of step depends on. */
typedef enum Kind { OTHER, FIXED, NUMBERED } Kind;

typedef struct Ahead {
    const KirKernel *kernel;
    const KirBlock *step;
    u32 counter;     /* the local that counts steps */
    KirValue number; /* its value at the beginning of a step */
    u8 *kind;        /* by value */
    bool *in_slice;  /* by value: it is computed ahead */
    VEC(KirValue) slice;
    VEC(KirValue) results;
    VEC(u32) watched; /* locals */

    /* of the new kernel */
    u32 first, made, rows[MOST_RESULTS], was[MOST_WATCHED];
    bool written;
} Ahead;

static const KirNode *
node_at(const Ahead *ahead, KirValue value)
{
    return &ahead->kernel->values.items[value];
}

/* ---- which values ------------------------------------------------------------------------------ */

/* How often a block sets a local. */
static u32
count_sets(const KirBlock *block, u32 local)
{
    u32 count = 0;
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        count += s->kind == KIR_SET && s->object == local;
        count += count_sets(&s->body, local) + count_sets(&s->otherwise, local);
    }
    return count;
}

static bool
is_one(const Ahead *ahead, KirValue value)
{
    const KirNode *node = node_at(ahead, value);
    return node->op == KIR_CONST && node->type == KIR_U32 && node->bits == 1;
}

static bool
gets(const Ahead *ahead, KirValue value, u32 local)
{
    const KirNode *node = node_at(ahead, value);
    return node->op == KIR_GET && node->object == local;
}

/* A scalar u32 that each step sets once, to one more. */
static bool
find_counter(Ahead *ahead)
{
    for (u32 i = 0; i < ahead->step->count; i++) {
        const KirStatement *s = &ahead->step->items[i];
        if (s->kind != KIR_SET)
            continue;
        const KirLocal *local = &ahead->kernel->locals.items[s->object];
        const KirNode *node = node_at(ahead, s->value);
        if (local->type != KIR_U32 || local->length || local->uniform || node->op != KIR_ADD)
            continue;
        bool counts = (gets(ahead, node->args[0], s->object) && is_one(ahead, node->args[1])) ||
                      (gets(ahead, node->args[1], s->object) && is_one(ahead, node->args[0]));
        if (counts && count_sets(ahead->step, s->object) == 1) {
            ahead->counter = s->object;
            return true;
        }
    }
    return false;
}

/* Whether it can be kept beside a row: a whole number that nothing but `if`s sets, and none in front of statement `end`. */
static bool
can_be_watched(const Ahead *ahead, u32 object, u32 end)
{
    const KirLocal *local = &ahead->kernel->locals.items[object];
    if (local->type != KIR_U32 || local->length || local->uniform)
        return false;
    for (u32 i = 0; i < ahead->step->count; i++) {
        const KirStatement *s = &ahead->step->items[i];
        if (s->kind == KIR_SET && s->object == object)
            return false;
        if (i < end && count_sets(&s->body, object) + count_sets(&s->otherwise, object))
            return false;
        if ((s->kind == KIR_FOR || s->kind == KIR_LOOP) && count_sets(&s->body, object))
            return false;
    }
    return true;
}

static bool
is_watched(const Ahead *ahead, u32 local)
{
    for (u32 i = 0; i < ahead->watched.count; i++)
        if (ahead->watched.items[i] == local)
            return true;
    return false;
}

static Kind
kind_of_get(Ahead *ahead, const KirNode *node, u32 at)
{
    if (node->object == ahead->counter)
        return NUMBERED;
    if (!can_be_watched(ahead, node->object, at))
        return OTHER;
    if (is_watched(ahead, node->object))
        return FIXED;
    if (ahead->watched.count == MOST_WATCHED)
        return OTHER;
    vec_push(ahead->kernel->arena, &ahead->watched, node->object);
    return FIXED;
}

static Kind
kind_of(Ahead *ahead, const KirNode *node, u32 at)
{
    switch (node->op) {
    case KIR_CONST:
    case KIR_TRAJECTORY: return FIXED;
    case KIR_GET: return kind_of_get(ahead, node, at);
    case KIR_COUNTER: return OTHER;
    case KIR_LOAD: {
        const KirBuffer *buffer = &ahead->kernel->buffers.items[node->object];
        if (buffer->scope != KIR_PER_LAUNCH || buffer->writable)
            return OTHER;
        break;
    }
    }
    Kind kind = FIXED;
    for (u32 i = 0; i < rxn__kir_ops[node->op].arity; i++) {
        Kind of = (Kind)ahead->kind[node->args[i]];
        if (of == OTHER)
            return OTHER;
        kind = of > kind ? of : kind;
    }
    for (u32 i = 0; i < node->index_count; i++) {
        Kind of = (Kind)ahead->kind[node->index[i]];
        if (of == OTHER)
            return OTHER;
        kind = of > kind ? of : kind;
    }
    return kind;
}

/* The values of launch, and those at the top of step that stand before the counter is set. */
static void
find_kinds(Ahead *ahead)
{
    const KirBlock *launch = &ahead->kernel->regions[KIR_LAUNCH];
    for (u32 i = 0; i < launch->count; i++)
        if (launch->items[i].kind == KIR_DEFINE)
            ahead->kind[launch->items[i].value] = FIXED;
    for (u32 i = 0; i < ahead->step->count; i++) {
        const KirStatement *s = &ahead->step->items[i];
        if (s->kind == KIR_SET && s->object == ahead->counter)
            return;
        if (s->kind != KIR_DEFINE)
            continue;
        const KirNode *node = node_at(ahead, s->value);
        ahead->kind[s->value] = (u8)kind_of(ahead, node, i);
        if (node->op == KIR_GET && node->object == ahead->counter && !ahead->number)
            ahead->number = s->value;
    }
}

typedef void Visit(Ahead *ahead, KirValue value, KirValue user);

/* Calls `visit` for each value that a statement reads; user: the value that it defines, or 0. */
static void
visit_uses(Ahead *ahead, const KirBlock *block, Visit *visit)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        for (u32 k = 0; k < s->index_count; k++)
            visit(ahead, s->index[k], 0);
        if (s->kind == KIR_FOR) {
            visit(ahead, s->index[0], 0);
            visit(ahead, s->index[1], 0);
        } else if (s->kind == KIR_DEFINE) {
            const KirNode *node = node_at(ahead, s->value);
            for (u32 k = 0; k < rxn__kir_ops[node->op].arity; k++)
                visit(ahead, node->args[k], s->value);
            for (u32 k = 0; k < node->index_count; k++)
                visit(ahead, node->index[k], s->value);
        } else if (s->value) {
            visit(ahead, s->value, 0);
        }
        visit_uses(ahead, &s->body, visit);
        visit_uses(ahead, &s->otherwise, visit);
    }
}

static bool
is_result(const Ahead *ahead, KirValue value)
{
    for (u32 i = 0; i < ahead->results.count; i++)
        if (ahead->results.items[i] == value)
            return true;
    return false;
}

/* Results are floating-point: what else depends on the number is counting. */
static void
note_result(Ahead *ahead, KirValue value, KirValue user)
{
    bool outside = user == 0 || ahead->kind[user] != NUMBERED;
    if (outside && ahead->kind[value] == NUMBERED &&
        kir_is_float((KirType)node_at(ahead, value)->type) && !is_result(ahead, value))
        vec_push(ahead->kernel->arena, &ahead->results, value);
}

static void
take(Ahead *ahead, KirValue value)
{
    if (ahead->kind[value] != NUMBERED || ahead->in_slice[value] || value == ahead->number ||
        gets(ahead, value, ahead->counter))
        return;
    const KirNode *node = node_at(ahead, value);
    ahead->in_slice[value] = true;
    for (u32 i = 0; i < rxn__kir_ops[node->op].arity; i++)
        take(ahead, node->args[i]);
    for (u32 i = 0; i < node->index_count; i++)
        take(ahead, node->index[i]);
    vec_push(ahead->kernel->arena, &ahead->slice, value); /* behind all that it reads */
}

/* A value of the slice that somebody else reads would have to be computed twice. */
static void
note_reader(Ahead *ahead, KirValue value, KirValue user)
{
    if (ahead->in_slice[value] && !(user && ahead->in_slice[user]) && !is_result(ahead, value))
        ahead->slice.count = 0;
}

static bool
is_worth_it(Ahead *ahead)
{
    u32 products = 0;
    if (ahead->results.count == 0 || ahead->results.count > MOST_RESULTS)
        return false;
    for (u32 i = 0; i < ahead->results.count; i++)
        take(ahead, ahead->results.items[i]);
    for (u32 i = 0; i < ahead->slice.count; i++)
        products += node_at(ahead, ahead->slice.items[i])->op == KIR_MULHI;
    visit_uses(ahead, ahead->step, note_reader);
    return ahead->slice.count && products >= LEAST_PRODUCTS;
}

/* ---- the new kernel ---------------------------------------------------------------------------- */

static KirValue
u32_value(KirRewriter *rewriter, u32 number)
{
    return rxn__kir_const(rewriter->to, KIR_U32, number);
}

static KirValue copy_of(KirRewriter *rewriter, KirValue value);

static KirNode
mapped_node(KirRewriter *rewriter, KirValue value)
{
    KirNode node = rewriter->from->values.items[value];
    rewriter->to->origin = node.origin;
    for (u32 i = 0; i < rxn__kir_ops[node.op].arity; i++)
        node.args[i] = copy_of(rewriter, node.args[i]);
    for (u32 i = 0; i < node.index_count; i++)
        node.index[i] = copy_of(rewriter, node.index[i]);
    return node;
}

/* What a value is in the new kernel. A fixed one that stands further on in the old one is written here. */
static KirValue
copy_of(KirRewriter *rewriter, KirValue value)
{
    if (rewriter->map[value] == 0)
        rewriter->map[value] = rxn__kir_node(rewriter->to, mapped_node(rewriter, value));
    return rewriter->map[value];
}

static KirValue
is_stale(KirRewriter *rewriter, KirValue number)
{
    const Ahead *ahead = rewriter->context;
    KirBuilder *b = rewriter->to;
    KirValue place = kir_sub(b, number, rxn__kir_get(b, ahead->first, 0));
    KirValue stale = kir_not(b, rxn__kir_get(b, ahead->made, 0));
    KirValue past = kir_ge(b, place, u32_value(rewriter, ROW));
    stale = kir_or(b, stale, past);
    for (u32 i = 0; i < ahead->watched.count; i++) {
        KirValue now = rxn__kir_get(b, ahead->watched.items[i], 0);
        KirValue changed = kir_ne(b, now, rxn__kir_get(b, ahead->was[i], 0));
        stale = kir_or(b, stale, changed);
    }
    return stale;
}

/* In front of the first value of the slice. */
static void
write_row(KirRewriter *rewriter)
{
    Ahead *ahead = rewriter->context;
    KirBuilder *b = rewriter->to;
    KirValue *map = rewriter->map;
    KirValue number = copy_of(rewriter, ahead->number);
    for (u32 i = 0; i < ahead->slice.count; i++) {
        const KirNode *node = node_at(ahead, ahead->slice.items[i]);
        for (u32 k = 0; k < rxn__kir_ops[node->op].arity; k++)
            if (ahead->kind[node->args[k]] == FIXED)
                copy_of(rewriter, node->args[k]);
        for (u32 k = 0; k < node->index_count; k++)
            if (ahead->kind[node->index[k]] == FIXED)
                copy_of(rewriter, node->index[k]);
    }
    rxn__kir_if(b, is_stale(rewriter, number));
    rxn__kir_set(b, ahead->first, 0, number);
    rxn__kir_set(b, ahead->made, 0, rxn__kir_const(b, KIR_BOOL, 1));
    for (u32 i = 0; i < ahead->watched.count; i++)
        rxn__kir_set(b, ahead->was[i], 0, rxn__kir_get(b, ahead->watched.items[i], 0));
    KirValue turn = rxn__kir_for(b, rxn__kir_const(b, KIR_I32, 0), rxn__kir_const(b, KIR_I32, ROW));
    /* In here the number is that of the turn. */
    KirValue later = kir_add(b, number, kir_cast(b, KIR_U32, turn));
    for (KirValue v = 1; v < ahead->kernel->values.count; v++)
        if (ahead->kind[v] == NUMBERED && gets(ahead, v, ahead->counter))
            map[v] = later;
    for (u32 i = 0; i < ahead->slice.count; i++)
        copy_of(rewriter, ahead->slice.items[i]);
    for (u32 i = 0; i < ahead->results.count; i++)
        rxn__kir_set(b, ahead->rows[i], turn, map[ahead->results.items[i]]);
    rxn__kir_close(b);
    rxn__kir_close(b);
    for (KirValue v = 1; v < ahead->kernel->values.count; v++)
        if (ahead->kind[v] == NUMBERED && gets(ahead, v, ahead->counter))
            map[v] = number;
    KirValue place = kir_sub(b, number, rxn__kir_get(b, ahead->first, 0));
    place = kir_cast(b, KIR_I32, place);
    for (u32 i = 0; i < ahead->results.count; i++)
        map[ahead->results.items[i]] = rxn__kir_get(b, ahead->rows[i], place);
    ahead->written = true;
}

static bool
rewrite_statement(KirRewriter *rewriter, const KirStatement *statement)
{
    Ahead *ahead = rewriter->context;
    if (statement->kind != KIR_DEFINE || !ahead->in_slice[statement->value])
        return false;
    if (!ahead->written)
        write_row(rewriter);
    return true;
}

static void
declare(Ahead *ahead, KirBuilder *b)
{
    static const char *const row_names[MOST_RESULTS] = {"row0", "row1", "row2", "row3"};
    static const char *const was_names[MOST_WATCHED] = {"row_was0", "row_was1", "row_was2",
                                                        "row_was3"};
    ahead->first = rxn__kir_local(b, "row_first", KIR_U32, 0);
    ahead->made = rxn__kir_local(b, "row_made", KIR_BOOL, 0);
    for (u32 i = 0; i < ahead->results.count; i++) {
        KirType type = (KirType)node_at(ahead, ahead->results.items[i])->type;
        ahead->rows[i] = rxn__kir_local(b, row_names[i], type, ROW);
    }
    for (u32 i = 0; i < ahead->watched.count; i++)
        ahead->was[i] = rxn__kir_local(b, was_names[i], KIR_U32, 0);
}

KirKernel *
rxn__kir_ahead(const KirKernel *kernel)
{
    Ahead ahead = {.kernel = kernel, .step = &kernel->regions[KIR_STEP]};
    ahead.kind = NEW_ARRAY(kernel->arena, u8, kernel->values.count);
    ahead.in_slice = NEW_ARRAY(kernel->arena, bool, kernel->values.count);
    if (!find_counter(&ahead))
        return NULL;
    find_kinds(&ahead);
    visit_uses(&ahead, ahead.step, note_result);
    if (!is_worth_it(&ahead))
        return NULL;
    KirRewriter rewriter;
    rxn__kir_rewriter_init(&rewriter, kernel, false);
    rewriter.statement = rewrite_statement;
    rewriter.context = &ahead;
    declare(&ahead, rewriter.to);
    return rxn__kir_rewrite_all(&rewriter);
}
