/* rewrite.c: copying a kernel through a builder, which is how most passes work.
 *
 * A pass that rewrites values does not edit: it makes the kernel anew, in order, and changes what it
 * wants on the way. Values come out numbered in order, nothing unused is left in between, and with a
 * folding builder each replaced value is folded and shared with what follows at once.
 *
 * Because a copy is always made, "did it change anything" is answered by comparing the two kernels,
 * up to the numbers of their values. That is one linear walk, and the answer is exact.
 */
#include "compiler/kir/internal.h"

void
rxn__kir_rewriter_init(KirRewriter *rewriter, const KirKernel *from, bool raw)
{
    *rewriter = (KirRewriter){.from = from, .to = rxn__kir_begin_like(from, raw)};
    rewriter->map = NEW_ARRAY(from->arena, KirValue, from->values.count);
}

static void
rewrite_value(KirRewriter *rewriter, KirValue value)
{
    KirNode node = rewriter->from->values.items[value];
    rewriter->to->origin = node.origin;
    for (u32 i = 0; i < rxn__kir_ops[node.op].arity; i++)
        node.args[i] = rewriter->map[node.args[i]];
    for (u32 i = 0; i < node.index_count; i++)
        node.index[i] = rewriter->map[node.index[i]];
    KirValue mapped = rewriter->value ? rewriter->value(rewriter, &node) : 0;
    rewriter->map[value] = mapped ? mapped : rxn__kir_node(rewriter->to, node);
}

static void
rewrite_if(KirRewriter *rewriter, const KirStatement *statement)
{
    (statement->seldom ? rxn__kir_if_seldom : rxn__kir_if)(rewriter->to,
                                                           rewriter->map[statement->value]);
    rxn__kir_rewrite_block(rewriter, &statement->body);
    if (statement->otherwise.count) {
        rxn__kir_else(rewriter->to);
        rxn__kir_rewrite_block(rewriter, &statement->otherwise);
    }
    rxn__kir_close(rewriter->to);
}

void
rxn__kir_rewrite_statement(KirRewriter *rewriter, const KirStatement *statement)
{
    KirBuilder *to = rewriter->to;
    const KirValue *map = rewriter->map;
    KirValue index[KIR_MAX_RANK] = {0};
    for (u32 i = 0; i < statement->index_count; i++)
        index[i] = map[statement->index[i]];
    switch ((KirStatementKind)statement->kind) {
    case KIR_DEFINE: rewrite_value(rewriter, statement->value); return;
    case KIR_SET: rxn__kir_set(to, statement->object, index[0], map[statement->value]); return;
    case KIR_STORE: rxn__kir_store(to, statement->object, index, map[statement->value]); return;
    case KIR_IF: rewrite_if(rewriter, statement); return;
    case KIR_FOR:
        rewriter->map[statement->value] = statement->down
                                              ? rxn__kir_for_down(to, index[0], index[1])
                                              : rxn__kir_for(to, index[0], index[1]);
        rxn__kir_rewrite_block(rewriter, &statement->body);
        rxn__kir_close(to);
        return;
    case KIR_LOOP:
        rxn__kir_loop(to);
        rxn__kir_rewrite_block(rewriter, &statement->body);
        rxn__kir_close(to);
        return;
    case KIR_BREAK: rxn__kir_break(to); return;
    case KIR_TRAP: rxn__kir_trap(to, (RxnFaultCode)statement->code, map[statement->value]); return;
    }
}

void
rxn__kir_rewrite_block(KirRewriter *rewriter, const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++)
        if (!rewriter->statement || !rewriter->statement(rewriter, &block->items[i]))
            rxn__kir_rewrite_statement(rewriter, &block->items[i]);
}

KirKernel *
rxn__kir_rewrite_all(KirRewriter *rewriter)
{
    for (u32 region = 0; region < KIR_REGION_COUNT; region++) {
        rxn__kir_region(rewriter->to, (KirRegion)region);
        rxn__kir_rewrite_block(rewriter, &rewriter->from->regions[region]);
    }
    return rewriter->to->kernel;
}

typedef struct PublicRewrite {
    KirRewriteValue value;
    void *context;
} PublicRewrite;

static KirValue
call_public_rewrite(KirRewriter *rewriter, const KirNode *mapped)
{
    const PublicRewrite *rewrite = rewriter->context;
    return rewrite->value(rewrite->context, rewriter->to, mapped, mapped->args);
}

KirKernel *
rxn__kir_rewrite(const KirKernel *kernel, KirRewriteValue value, void *context)
{
    KirRewriter rewriter;
    PublicRewrite rewrite = {.value = value, .context = context};
    rxn__kir_rewriter_init(&rewriter, kernel, false);
    if (value)
        rewriter.value = call_public_rewrite;
    rewriter.context = &rewrite;
    return rxn__kir_rewrite_all(&rewriter);
}

/* ---- Comparison */

typedef struct Comparison {
    const KirKernel *a, *b;
    KirValue *partner; /* value of a -> value of b */
} Comparison;

static bool
same_nodes(Comparison *c, KirValue a, KirValue b)
{
    const KirNode *x = &c->a->values.items[a], *y = &c->b->values.items[b];
    if (x->op != y->op || x->type != y->type || x->bits != y->bits || x->object != y->object ||
        x->index_count != y->index_count)
        return false;
    for (u32 i = 0; i < 3; i++)
        if (c->partner[x->args[i]] != y->args[i])
            return false;
    for (u32 i = 0; i < x->index_count; i++)
        if (c->partner[x->index[i]] != y->index[i])
            return false;
    c->partner[a] = b;
    return true;
}

static bool
same_blocks(Comparison *c, const KirBlock *a, const KirBlock *b)
{
    if (a->count != b->count)
        return false;
    for (u32 i = 0; i < a->count; i++) {
        const KirStatement *x = &a->items[i], *y = &b->items[i];
        if (x->kind != y->kind || x->down != y->down || x->seldom != y->seldom ||
            x->code != y->code || x->object != y->object || x->index_count != y->index_count)
            return false;
        for (u32 k = 0; k < x->index_count; k++)
            if (c->partner[x->index[k]] != y->index[k])
                return false;
        const bool defines = x->kind == KIR_DEFINE || x->kind == KIR_FOR;
        if (defines ? !same_nodes(c, x->value, y->value) : c->partner[x->value] != y->value)
            return false;
        if (!same_blocks(c, &x->body, &y->body) || !same_blocks(c, &x->otherwise, &y->otherwise))
            return false;
    }
    return true;
}

static bool
same_declarations(const KirKernel *a, const KirKernel *b)
{
    if (a->buffers.count != b->buffers.count || a->locals.count != b->locals.count ||
        a->witness.count != b->witness.count || a->done != b->done || a->lanes != b->lanes ||
        a->precision != b->precision || a->name != b->name)
        return false;
    for (u32 i = 0; i < a->buffers.count; i++) {
        const KirBuffer *x = &a->buffers.items[i], *y = &b->buffers.items[i];
        if (x->name != y->name || x->type != y->type || x->scope != y->scope ||
            x->rank != y->rank || x->writable != y->writable ||
            memcmp(x->extent, y->extent, sizeof x->extent) != 0)
            return false;
    }
    for (u32 i = 0; i < a->locals.count; i++) {
        const KirLocal *x = &a->locals.items[i], *y = &b->locals.items[i];
        if (x->name != y->name || x->type != y->type || x->uniform != y->uniform ||
            x->storage != y->storage || x->length != y->length)
            return false;
    }
    return a->witness.count == 0 || memcmp(a->witness.items, b->witness.items,
                                           a->witness.count * sizeof *a->witness.items) == 0;
}

bool
rxn__kir_same(const KirKernel *a, const KirKernel *b)
{
    if (!same_declarations(a, b))
        return false;
    Comparison comparison = {.a = a, .b = b};
    comparison.partner = NEW_ARRAY(b->arena, KirValue, a->values.count);
    for (u32 region = 0; region < KIR_REGION_COUNT; region++)
        if (!same_blocks(&comparison, &a->regions[region], &b->regions[region]))
            return false;
    return true;
}

bool
rxn__kir_replace(KirKernel *kernel, const KirKernel *with)
{
    if (rxn__kir_same(kernel, with))
        return false;
    *kernel = *with;
    return true;
}

bool
rxn__kir_ends_block(const KirStatement *statement)
{
    if (statement->kind == KIR_BREAK || statement->kind == KIR_TRAP)
        return true;
    return statement->kind == KIR_IF && statement->body.count && statement->otherwise.count &&
           rxn__kir_ends_block(&statement->body.items[statement->body.count - 1]) &&
           rxn__kir_ends_block(&statement->otherwise.items[statement->otherwise.count - 1]);
}

bool
rxn__kir_has_break(const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *statement = &block->items[i];
        if (statement->kind == KIR_BREAK)
            return true;
        if (statement->kind == KIR_IF &&
            (rxn__kir_has_break(&statement->body) || rxn__kir_has_break(&statement->otherwise)))
            return true;
    }
    return false;
}
