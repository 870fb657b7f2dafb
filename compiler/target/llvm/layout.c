/* layout.c: which values are the same in all lanes, and where each local lives.
 *
 * A value that depends on launch alone (a rate constant, the counter of a loop with constant bounds)
 * needs one scalar register instead of W lanes, and a branch on it is a real branch without masks.
 * So the first thing to know of a value is whether it is uniform:
 *
 *     launch { %1 = load.f64 rates[0] }            uniform: all of launch is
 *     step {   %2 = const.f64 2
 *              %3 = mul.f64 %1, %2                 uniform: from uniform values only
 *              %4 = for %5 .. %6 {                 %4 is uniform if one of the bounds is
 *                %7 = get.f64 x[%4]                not: each lane has its x; but the index is, so
 *              }                                   this is a plain vector load, not a gather
 *            }
 *
 * The lanes of a `for` count in step wherever that takes no more turns than the longest of them needs:
 * from a common start to bounds of their own, or from starts of their own to a common bound (who starts
 * late, or has ended, is masked). Only where both bounds differ does each lane have its own counter.
 *
 * With one lane everything is uniform, and the whole of the mask machinery falls away by itself.
 *
 * Scalars live in stack slots that LLVM turns into registers. So do arrays that only constants
 * index. Other arrays lie in memory, lane by lane within each element (element i of lane k is at
 * i*W + k), on the stack if they are small and in the launch's workspace if not. Tapes are always in the
 * workspace, at its end, so that what is never written stays behind what is used.
 */
#include "compiler/target/llvm/llvm.h"

enum {
    STACK_BYTES = 4096,       /* all arrays in the stack frame together: stays in the L1 cache */
    SPLIT_MOST_ELEMENTS = 64, /* more slots than that only slow LLVM down */
};

typedef struct Analysis {
    const KirKernel *kernel;
    Layout *layout;
    bool in_launch;
    bool *dynamic_index; /* per local: indexed by something that is no constant */
} Analysis;

static bool
node_is_uniform(const Analysis *a, const KirNode *node)
{
    const bool *uniform = a->layout->uniform;
    if (a->layout->lanes == 1 || a->in_launch)
        return true;
    bool indices = true;
    for (u32 i = 0; i < node->index_count; i++)
        indices = indices && uniform[node->index[i]];
    switch ((KirOp)node->op) {
    case KIR_CONST: return true;
    case KIR_TRAJECTORY: return false;
    case KIR_COUNTER: return false; /* its `for` has decided already; see below */
    case KIR_GET: return a->kernel->locals.items[node->object].uniform && indices;
    case KIR_LOAD: {
        const KirBuffer *buffer = &a->kernel->buffers.items[node->object];
        return buffer->scope == KIR_PER_LAUNCH && indices; /* which nobody writes */
    }
    default: break;
    }
    for (u32 i = 0; i < rxn__kir_ops[node->op].arity; i++)
        if (!uniform[node->args[i]])
            return false;
    return true;
}

static void
note_index(Analysis *a, u32 local, u32 index_count, KirValue index)
{
    if (index_count > 0 && a->kernel->values.items[index].op != KIR_CONST)
        a->dynamic_index[local] = true;
}

static void
analyse_block(Analysis *a, const KirBlock *block)
{
    bool *uniform = a->layout->uniform;
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        switch ((KirStatementKind)s->kind) {
        case KIR_DEFINE: {
            const KirNode *node = &a->kernel->values.items[s->value];
            uniform[s->value] = node_is_uniform(a, node);
            if (node->op == KIR_GET)
                note_index(a, node->object, node->index_count, node->index[0]);
            break;
        }
        case KIR_SET: note_index(a, s->object, s->index_count, s->index[0]); break;
        case KIR_FOR:
            uniform[s->value] = uniform[s->index[0]] || uniform[s->index[1]];
            analyse_block(a, &s->body);
            break;
        case KIR_IF:
            analyse_block(a, &s->body);
            analyse_block(a, &s->otherwise);
            break;
        case KIR_LOOP: analyse_block(a, &s->body); break;
        case KIR_STORE:
        case KIR_BREAK:
        case KIR_TRAP: break;
        }
    }
}

/* Pairs each `mul.u32` with the `mulhi.u32` of the same operands: one widening product gives both. */
static void
pair_products(const KirKernel *kernel, Layout *layout, Arena *arena)
{
    u32 capacity = 64;
    while (capacity < 2 * kernel->values.count)
        capacity *= 2;
    KirValue *slots = NEW_ARRAY(arena, KirValue, capacity);
    for (u32 pass = 0; pass < 2; pass++) {
        for (KirValue v = 1; v < kernel->values.count; v++) {
            const KirNode *node = &kernel->values.items[v];
            if (node->type != KIR_U32 || node->op != (pass == 0 ? KIR_MULHI : KIR_MUL))
                continue;
            KirValue lo = node->args[0] < node->args[1] ? node->args[0] : node->args[1];
            KirValue hi = node->args[0] < node->args[1] ? node->args[1] : node->args[0];
            u32 slot = (u32)hash_mix(hash_mix(0, lo), hi) & (capacity - 1);
            while (slots[slot] != 0) {
                const KirNode *other = &kernel->values.items[slots[slot]];
                if ((other->args[0] == lo && other->args[1] == hi) ||
                    (other->args[0] == hi && other->args[1] == lo))
                    break;
                slot = (slot + 1) & (capacity - 1);
            }
            if (pass == 0) {
                slots[slot] = v;
            } else if (slots[slot] != 0) {
                layout->product_twin[v] = slots[slot];
                layout->product_twin[slots[slot]] = v;
            }
        }
    }
}

static size_t
align_to_line(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

Layout *
rxn__llvm_layout(const KirKernel *kernel, u32 lanes, Arena *arena)
{
    Layout *layout = NEW(arena, Layout);
    layout->lanes = lanes;
    layout->uniform = NEW_ARRAY(arena, bool, kernel->values.count + 1);
    layout->product_twin = NEW_ARRAY(arena, KirValue, kernel->values.count + 1);
    layout->locals = NEW_ARRAY(arena, LocalLayout, kernel->locals.count + 1);
    Analysis a = {kernel, layout, false, NEW_ARRAY(arena, bool, kernel->locals.count + 1)};
    for (u32 region = 0; region < KIR_REGION_COUNT; region++) {
        a.in_launch = region == KIR_LAUNCH;
        analyse_block(&a, &kernel->regions[region]);
    }
    pair_products(kernel, layout, arena);

    size_t stack = 0, workspace = 0;
    for (u32 i = 0; i < kernel->locals.count; i++) {
        const KirLocal *local = &kernel->locals.items[i];
        LocalLayout *place = &layout->locals[i];
        place->uniform = local->uniform || lanes == 1;
        place->place = local->storage ? LOCAL_TAPE : LOCAL_SCALAR;
        if (local->length == 0 || local->storage)
            continue;
        if (!a.dynamic_index[i] && local->length <= SPLIT_MOST_ELEMENTS) {
            place->place = LOCAL_SPLIT;
            continue;
        }
        size_t bytes = align_to_line((size_t)rxn__kir_type_bytes[local->type] * local->length *
                                     (place->uniform ? 1 : lanes));
        if (stack + bytes <= STACK_BYTES) {
            place->place = LOCAL_STACK;
            stack += bytes;
        } else {
            place->place = LOCAL_WORKSPACE;
            place->offset = workspace;
            workspace += bytes;
        }
    }

    for (u32 i = 0; i < kernel->witness.count; i++) {
        u32 length = kernel->locals.items[kernel->witness.items[i]].length;
        if (layout->locals[kernel->witness.items[i]].place <= LOCAL_SPLIT)
            layout->witness_scalars += length ? length : 1;
    }
    size_t bytes = align_to_line((size_t)layout->witness_scalars * lanes * sizeof(double));
    layout->witness_on_stack = bytes <= STACK_BYTES;
    if (!layout->witness_on_stack) {
        layout->witness_offset = workspace;
        workspace += bytes;
    }
    layout->table_bytes = workspace;
    for (u32 i = 0; i < kernel->locals.count; i++) {
        const KirLocal *local = &kernel->locals.items[i];
        if (!local->storage)
            continue;
        layout->locals[i].offset = workspace;
        workspace += align_to_line((size_t)local->storage * local->length * lanes);
    }
    layout->workspace_bytes = workspace;
    return layout;
}
