/* alone.c: blocks that few lanes enter at a time, one lane after another, in scalar code.
 *
 * A block under a mask costs the same for one lane as for all of them, and each element of an array whose index differs between
 * lanes is a gather or a scatter, as long as a dozen scalar loads. Where the kernel says that an `if` is entered seldom, a step
 * of sixteen lanes finds one of them in it, or two:
 *
 *     if %moved seldom {                 bits = mask & %moved
 *         %1 = get.i32 node              for each lane that is on in bits:
 *         %2 = get.f64 tree[%1]              %1 = node of this lane
 *         …                                  %2 = tree[%1 * W + lane]                  a plain load
 *     }                                      …                                         ifs and loops are branches
 *
 * In there emission is that of a kernel with one lane, but for the places of arrays. What comes in from outside, values and
 * locals, is put on the stack in front of the loop over the lanes, where each finds its own; what they leave in locals goes back
 * the same way.
 */
#include "compiler/target/llvm/llvm.h"

/* A vector from outside on the stack, an element per lane. */
typedef struct Spread {
    KirType type;
    LLVMValueRef area;
} Spread;

typedef struct OuterValue {
    KirValue value;
    Spread spread;
    LLVMValueRef vector; /* what stands for it outside */
} OuterValue;

typedef struct OuterLocal {
    Spread spread;
    LLVMValueRef *slot, vector; /* where its slot is noted; the one outside */
    bool enters, leaves;        /* what it is outside may be read inside, and the other way round */
} OuterLocal;

/* What is different in there. */
typedef struct Alone {
    VEC(OuterValue) values;
    VEC(OuterLocal) locals;
    bool *inside; /* per value: it is defined there */

    u32 lanes;
    const Layout *layout;
    LLVMTypeRef vector[KIR_TYPE_COUNT], mask_type, row_type;
    LLVMValueRef lane_numbers;
    Standing standing;
} Alone;

/* ---- what can be done so ----------------------------------------------------------------------- */

static bool
is_plain_value(const Emit *e, const KirNode *node)
{
    if (node->op == KIR_TRAJECTORY)
        return false;
    if (node->op == KIR_LOAD)
        return e->kernel->buffers.items[node->object].scope == KIR_PER_LAUNCH;
    return node->op != KIR_GET || e->layout->locals[node->object].place != LOCAL_TAPE;
}

/* Neither stores nor traps nor ways out, nor what depends on the lane's row. */
static bool
is_plain(const Emit *e, const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (s->kind == KIR_STORE || s->kind == KIR_TRAP)
            return false;
        if (s->kind == KIR_DEFINE && !is_plain_value(e, &e->kernel->values.items[s->value]))
            return false;
        if (s->kind == KIR_SET && (e->layout->locals[s->object].place == LOCAL_TAPE ||
                                   e->layout->locals[s->object].uniform))
            return false;
        if (!is_plain(e, &s->body) || !is_plain(e, &s->otherwise))
            return false;
    }
    return true;
}

bool
rxn__llvm_can_be_alone(const Emit *e, const KirStatement *s)
{
    return s->seldom && e->lanes > 1 && s->otherwise.count == 0 && !rxn__kir_has_break(&s->body) &&
           is_plain(e, &s->body);
}

/* ---- what comes in ----------------------------------------------------------------------------- */

static Spread
spread(Emit *e, KirType type)
{
    Spread result = {type, rxn__llvm_stack_slot(e, rxn__llvm_memory_vector(e, type), "spread")};
    LLVMSetAlignment(result.area, 64);
    return result;
}

static void
spread_vector(Emit *e, const Spread *to, LLVMValueRef vector)
{
    rxn__llvm_store(e, rxn__llvm_to_memory(e, to->type, vector, false), to->area);
}

static LLVMValueRef
element_of_lane(Emit *e, const Spread *from)
{
    return rxn__llvm_element(e, from->type, from->area, e->alone);
}

static void
use_value(Emit *e, Alone *alone, KirValue value)
{
    if (value == 0 || alone->inside[value] || e->layout->uniform[value])
        return;
    for (u32 i = 0; i < alone->values.count; i++)
        if (alone->values.items[i].value == value)
            return;
    OuterValue outer = {.value = value, .vector = e->values[value]};
    outer.spread = spread(e, (KirType)e->kernel->values.items[value].type);
    spread_vector(e, &outer.spread, outer.vector);
    vec_push(e->arena, &alone->values, outer);
}

static void
use_node(Emit *e, Alone *alone, const KirNode *node)
{
    for (u32 k = 0; k < rxn__kir_ops[node->op].arity; k++)
        use_value(e, alone, node->args[k]);
    for (u32 k = 0; k < node->index_count; k++)
        use_value(e, alone, node->index[k]);
}

static void
use_values(Emit *e, Alone *alone, const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        bool defines = s->kind == KIR_DEFINE || s->kind == KIR_FOR;
        if (s->kind == KIR_DEFINE)
            use_node(e, alone, &e->kernel->values.items[s->value]);
        else if (!defines)
            use_value(e, alone, s->value);
        for (u32 k = 0; k < s->index_count; k++)
            use_value(e, alone, s->index[k]);
        if (defines)
            alone->inside[s->value] = true;
        use_values(e, alone, &s->body);
        use_values(e, alone, &s->otherwise);
    }
}

/* Scalars that the block reads before it sets them, or sets and somebody reads behind it. Those that it only needs for itself
 * have a slot in there, too. */
static void
use_locals(Emit *e, Alone *alone, const LiveAround *around)
{
    for (u32 i = 0; i < e->unit_count; i++) {
        bool begins = rxn__llvm_has_unit(around->begin, i),
             sets = rxn__llvm_has_unit(around->sets, i);
        if (!begins && !sets)
            continue;
        LiveUnit what = rxn__llvm_unit_at(e->liveness, i);
        KirType type = (KirType)e->kernel->locals.items[what.local].type;
        LLVMValueRef *slot = &e->locals[what.local].slots[what.element];
        OuterLocal outer = {.spread = {.type = type}, .slot = slot, .vector = *slot};
        outer.leaves = sets && (rxn__llvm_has_unit(around->after, i) || e->parked == NULL ||
                                rxn__llvm_has_unit(e->parked, i));
        outer.enters = begins || outer.leaves;
        if (outer.enters) {
            outer.spread = spread(e, type);
            spread_vector(e, &outer.spread, rxn__llvm_load(e, e->vector[type], outer.vector));
        }
        vec_push(e->arena, &alone->locals, outer);
    }
}

/* ---- in there ---------------------------------------------------------------------------------- */

static const Layout *
layout_of_one(Emit *e)
{
    if (e->layout_of_one == NULL) {
        Layout *layout = NEW(e->arena, Layout);
        *layout = *e->layout;
        layout->uniform = NEW_ARRAY(e->arena, bool, e->kernel->values.count + 1);
        for (u32 i = 0; i < e->kernel->values.count; i++)
            layout->uniform[i] = true;
        e->layout_of_one = layout;
    }
    return e->layout_of_one;
}

static void
begin_alone(Emit *e, Alone *alone, LLVMValueRef lane)
{
    alone->lanes = e->lanes;
    alone->layout = e->layout;
    alone->mask_type = e->mask_type;
    alone->row_type = e->row_type;
    alone->lane_numbers = e->lane_numbers;
    alone->standing = rxn__llvm_standing(e);
    e->lanes = 1;
    e->layout = layout_of_one(e);
    e->mask_type = e->i1;
    e->row_type = e->i64;
    e->lane_numbers = LLVMConstInt(e->i32, 0, false);
    e->alone = lane;
    rxn__llvm_stand(e, (Standing){0});
    for (u32 i = 0; i < KIR_TYPE_COUNT; i++) {
        alone->vector[i] = e->vector[i];
        e->vector[i] = e->scalar[i];
    }
    for (u32 i = 0; i < alone->values.count; i++) {
        const OuterValue *outer = &alone->values.items[i];
        LLVMTypeRef memory = rxn__llvm_memory_type(e, outer->spread.type);
        LLVMValueRef own = rxn__llvm_load(e, memory, element_of_lane(e, &outer->spread));
        e->values[outer->value] = rxn__llvm_from_memory(e, outer->spread.type, own);
    }
    for (u32 i = 0; i < alone->locals.count; i++) {
        const OuterLocal *outer = &alone->locals.items[i];
        const KirType type = outer->spread.type;
        *outer->slot = rxn__llvm_stack_slot(e, e->scalar[type], "own");
        if (!outer->enters)
            continue;
        LLVMTypeRef memory = rxn__llvm_memory_type(e, type);
        LLVMValueRef own = rxn__llvm_load(e, memory, element_of_lane(e, &outer->spread));
        rxn__llvm_store(e, rxn__llvm_from_memory(e, type, own), *outer->slot);
    }
}

static void
end_alone(Emit *e, Alone *alone)
{
    for (u32 i = 0; i < alone->locals.count; i++) {
        const OuterLocal *outer = &alone->locals.items[i];
        const KirType type = outer->spread.type;
        if (outer->leaves) {
            LLVMValueRef own = rxn__llvm_load(e, e->scalar[type], *outer->slot);
            rxn__llvm_store(e, rxn__llvm_to_memory(e, type, own, true),
                            element_of_lane(e, &outer->spread));
        }
        *outer->slot = outer->vector;
    }
    for (u32 i = 0; i < alone->values.count; i++)
        e->values[alone->values.items[i].value] = alone->values.items[i].vector;
    for (u32 i = 0; i < KIR_TYPE_COUNT; i++)
        e->vector[i] = alone->vector[i];
    e->alone = NULL;
    e->lanes = alone->lanes;
    e->layout = alone->layout;
    e->mask_type = alone->mask_type;
    e->row_type = alone->row_type;
    e->lane_numbers = alone->lane_numbers;
    rxn__llvm_stand(e, alone->standing);
}

static void
fetch_locals(Emit *e, const Alone *alone)
{
    for (u32 i = 0; i < alone->locals.count; i++) {
        const OuterLocal *outer = &alone->locals.items[i];
        if (!outer->leaves)
            continue;
        LLVMTypeRef memory = rxn__llvm_memory_vector(e, outer->spread.type);
        LLVMValueRef all = rxn__llvm_load(e, memory, outer->spread.area);
        rxn__llvm_store(e, rxn__llvm_from_memory(e, outer->spread.type, all), outer->vector);
    }
}

void
rxn__llvm_emit_alone(Emit *e, const KirStatement *s)
{
    LLVMBuilderRef b = e->builder;
    LLVMBasicBlockRef some = rxn__llvm_block(e, "seldom"), each = rxn__llvm_block(e, "each_lane");
    LLVMBasicBlockRef body = rxn__llvm_block(e, "alone"), next = rxn__llvm_block(e, "next_lane");
    LLVMBasicBlockRef over = rxn__llvm_block(e, "over"), after = rxn__llvm_block(e, "after");
    LLVMValueRef then = LLVMBuildAnd(b, e->mask, e->values[s->value], "");
    LLVMTypeRef word = LLVMIntTypeInContext(e->context, e->lanes);
    LLVMValueRef bits = LLVMBuildZExt(b, LLVMBuildBitCast(b, then, word, ""), e->i64, "");
    LLVMValueRef zero = LLVMConstInt(e->i64, 0, false), one = LLVMConstInt(e->i64, 1, false);
    rxn__llvm_branch(e, LLVMBuildICmp(b, LLVMIntNE, bits, zero, ""), some, after, 4);

    LLVMPositionBuilderAtEnd(b, some);
    Alone alone = {.inside = NEW_ARRAY(e->arena, bool, e->kernel->values.count + 1)};
    use_values(e, &alone, &s->body);
    use_locals(e, &alone, rxn__llvm_live_around(e->liveness, s));
    LLVMBuildBr(b, each);

    LLVMPositionBuilderAtEnd(b, each);
    LLVMValueRef left = LLVMBuildPhi(b, e->i64, "");
    LLVMAddIncoming(left, &bits, &some, 1);
    LLVMValueRef arguments[2] = {left, LLVMConstInt(e->i1, 1, false)};
    LLVMValueRef lane = rxn__llvm_intrinsic(e, "llvm.cttz", &e->i64, 1, arguments, 2);
    begin_alone(e, &alone, lane);
    LLVMBuildBr(b, body);
    rxn__llvm_emit_body(e, &s->body, body, next, next);

    LLVMPositionBuilderAtEnd(b, next);
    end_alone(e, &alone);
    LLVMValueRef rest = LLVMBuildAnd(b, left, LLVMBuildSub(b, left, one, ""), "");
    LLVMAddIncoming(left, &rest, &next, 1);
    rxn__llvm_branch(e, LLVMBuildICmp(b, LLVMIntNE, rest, zero, ""), each, over, 4);

    LLVMPositionBuilderAtEnd(b, over);
    fetch_locals(e, &alone);
    LLVMBuildBr(b, after);
    LLVMPositionBuilderAtEnd(b, after);
}
