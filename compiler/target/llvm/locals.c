/* locals.c: the mutable locals.
 *
 *     scalar local            one slot <W x T>; a uniform one: one slot T
 *     array local             [length * W x T], element i of lane k at i*W + k
 *     uniform array           [length x T]
 *
 * The layout has decided where each of them is. Slots of scalars become registers. (Tapes: tapes.c.)
 */
#include "compiler/target/llvm/llvm.h"

static LLVMTypeRef
local_slot_type(Emit *e, u32 local)
{
    KirType type = (KirType)e->kernel->locals.items[local].type;
    return e->layout->locals[local].uniform ? e->scalar[type] : e->vector[type];
}

/* A uniform array starts as zero once; those of the lanes are cleared when a lane is filled. */
static void
clear_uniform_array(Emit *e, u32 local)
{
    const KirLocal *declared = &e->kernel->locals.items[local];
    u64 bytes = (u64)declared->length * rxn__kir_type_bytes[declared->type];
    LLVMBuildMemSet(e->builder, e->locals[local].slots[0], LLVMConstInt(e->i8, 0, false),
                    LLVMConstInt(e->i64, bytes, false), 64);
}

void
rxn__llvm_emit_locals(Emit *e)
{
    const KirKernel *kernel = e->kernel;
    e->locals = NEW_ARRAY(e->arena, LocalSlots, kernel->locals.count + 1);
    for (u32 i = 0; i < kernel->locals.count; i++) {
        const KirLocal *local = &kernel->locals.items[i];
        const LocalLayout *place = &e->layout->locals[i];
        u32 slots = place->place == LOCAL_SPLIT ? local->length : 1;
        e->locals[i].slots = NEW_ARRAY(e->arena, LLVMValueRef, slots);
        if (place->place >= LOCAL_WORKSPACE) {
            LLVMValueRef offset = LLVMConstInt(e->i64, place->offset, false);
            e->locals[i].slots[0] =
                LLVMBuildGEP2(e->builder, e->i8, e->workspace, &offset, 1, local->name->text);
        } else if (place->place == LOCAL_STACK) {
            u32 count = local->length * (place->uniform ? 1 : e->lanes);
            LLVMTypeRef type =
                rxn__llvm_array_type(rxn__llvm_memory_type(e, (KirType)local->type), count);
            e->locals[i].slots[0] = rxn__llvm_stack_slot(e, type, local->name->text);
            LLVMSetAlignment(e->locals[i].slots[0], 64);
        } else {
            for (u32 k = 0; k < slots; k++) {
                LLVMTypeRef type = local_slot_type(e, i);
                e->locals[i].slots[k] = rxn__llvm_stack_slot(e, type, local->name->text);
                rxn__llvm_store(e, LLVMConstNull(type), e->locals[i].slots[k]);
            }
        }
        if (local->uniform && place->place > LOCAL_SPLIT)
            clear_uniform_array(e, i);
    }
}

LLVMValueRef
rxn__llvm_lane_element(Emit *e, u32 local, LLVMValueRef index, LLVMValueRef lane)
{
    KirType type = (KirType)e->kernel->locals.items[local].type;
    if (!e->layout->locals[local].uniform) {
        LLVMValueRef lanes = LLVMConstInt(e->i64, e->layout->lanes, false);
        index = LLVMBuildAdd(e->builder, LLVMBuildMul(e->builder, index, lanes, ""), lane, "");
    }
    return rxn__llvm_element(e, type, e->locals[local].slots[0], index);
}

/* The address of an element: of the first lane's, behind which the others' are, or of that of the lane that is alone. No index
 * is negative, and to extend it by zeros takes no instruction. */
static LLVMValueRef
element_address(Emit *e, u32 local, LLVMValueRef index)
{
    LLVMValueRef lane = e->alone != NULL ? e->alone : LLVMConstInt(e->i64, 0, false);
    index = LLVMBuildZExt(e->builder, index, e->i64, "");
    return rxn__llvm_lane_element(e, local, index, lane);
}

/* Addresses of an element whose number differs between the lanes. */
static LLVMValueRef
element_addresses(Emit *e, u32 local, LLVMValueRef indices)
{
    KirType type = (KirType)e->kernel->locals.items[local].type;
    if (!e->layout->locals[local].uniform) {
        LLVMValueRef lanes = rxn__llvm_splat(e, LLVMConstInt(e->i32, e->lanes, false));
        indices = LLVMBuildMul(e->builder, indices, lanes, "");
        indices = LLVMBuildAdd(e->builder, indices, e->lane_numbers, "");
    }
    return rxn__llvm_element(e, type, e->locals[local].slots[0], indices);
}

/* A vector of an array lies at a multiple of its size: W is a power of two, arrays at 64 bytes. */
static u32
element_alignment(const Emit *e, u32 local)
{
    u32 bytes = rxn__kir_type_bytes[e->kernel->locals.items[local].type];
    if (!e->layout->locals[local].uniform)
        bytes *= e->lanes;
    return bytes < 64 ? bytes : 64;
}

static LLVMValueRef
scalar_slot(const Emit *e, u32 local, u32 index_count, KirValue index)
{
    u32 element = index_count > 0 ? (u32)e->kernel->values.items[index].bits : 0;
    const LocalLayout *place = &e->layout->locals[local];
    if (place->place == LOCAL_SPLIT && element >= e->kernel->locals.items[local].length)
        element = 0; /* out of range: a bug of the method, which the interpreter reports */
    return e->locals[local].slots[place->place == LOCAL_SPLIT ? element : 0];
}

LLVMValueRef
rxn__llvm_emit_get(Emit *e, const KirNode *node)
{
    const LocalLayout *place = &e->layout->locals[node->object];
    KirType type = (KirType)node->type;
    if (place->place == LOCAL_TAPE)
        return rxn__llvm_tape_get(e, node);
    if (place->place <= LOCAL_SPLIT) {
        LLVMValueRef slot = scalar_slot(e, node->object, node->index_count, node->index[0]);
        return rxn__llvm_load(e, local_slot_type(e, node->object), slot);
    }
    if (!e->layout->uniform[node->index[0]]) {
        LLVMValueRef indices = e->values[node->index[0]];
        return rxn__llvm_gather(e, type, element_addresses(e, node->object, indices));
    }
    LLVMTypeRef loaded =
        place->uniform ? rxn__llvm_memory_type(e, type) : rxn__llvm_memory_vector(e, type);
    LLVMValueRef address = element_address(e, node->object, e->values[node->index[0]]);
    LLVMValueRef value = rxn__llvm_load(e, loaded, address);
    LLVMSetAlignment(value, element_alignment(e, node->object));
    return rxn__llvm_from_memory(e, type, value);
}

bool
rxn__llvm_must_blend(const Emit *e, u32 local)
{
    if (e->lanes == 1 || e->layout->locals[local].uniform)
        return false;
    if (e->blend || !(e->after_trap & LANES_TRAPPED))
        return e->blend;
    /* A lane that has trapped runs on as garbage, but what its fault will show must stay. */
    for (u32 i = 0; i < e->kernel->witness.count; i++)
        if (e->kernel->witness.items[i] == local)
            return true;
    return false;
}

/* The same for a scalar or a constant element. */
static bool
must_blend_unit(const Emit *e, const KirStatement *s)
{
    if (e->lanes == 1 || e->parked == NULL || e->layout->locals[s->object].uniform)
        return false;
    u32 unit = rxn__llvm_unit(e->liveness, s->object, s->index_count, s->index[0]);
    u64 keeps = e->parked[unit / 64];
    if (e->after_trap & WITNESS_OPEN)
        keeps |= e->witness_units[unit / 64];
    return keeps >> unit % 64 & 1;
}

static void
store_element(Emit *e, u32 local, LLVMValueRef index, LLVMValueRef value)
{
    KirType type = (KirType)e->kernel->locals.items[local].type;
    bool uniform = e->layout->locals[local].uniform;
    LLVMValueRef address = element_address(e, local, index);
    value = rxn__llvm_to_memory(e, type, value, uniform);
    if (rxn__llvm_must_blend(e, local)) {
        rxn__llvm_masked_store(e, value, address, element_alignment(e, local));
    } else {
        LLVMValueRef store = LLVMBuildStore(e->builder, value, address);
        LLVMSetAlignment(store, element_alignment(e, local));
    }
}

void
rxn__llvm_emit_set(Emit *e, const KirStatement *s)
{
    const LocalLayout *place = &e->layout->locals[s->object];
    KirType type = (KirType)e->kernel->locals.items[s->object].type;
    if (place->place == LOCAL_TAPE) {
        rxn__llvm_tape_set(e, s);
        return;
    }
    LLVMValueRef value = rxn__llvm_value(e, s->value, place->uniform);
    if (place->place <= LOCAL_SPLIT) {
        LLVMValueRef slot = scalar_slot(e, s->object, s->index_count, s->index[0]);
        if (must_blend_unit(e, s)) {
            LLVMValueRef old = rxn__llvm_load(e, e->vector[type], slot);
            value = LLVMBuildSelect(e->builder, e->mask, value, old, "");
        }
        rxn__llvm_store(e, value, slot);
    } else if (e->layout->uniform[s->index[0]]) {
        store_element(e, s->object, e->values[s->index[0]], value);
    } else {
        rxn__llvm_scatter(e, type, value, element_addresses(e, s->object, e->values[s->index[0]]));
    }
}

/* An array in memory is cleared by a loop over its elements. */
static void
zero_array(Emit *e, u32 local)
{
    KirType type = (KirType)e->kernel->locals.items[local].type;
    LLVMValueRef length = LLVMConstInt(e->i32, e->kernel->locals.items[local].length, false);
    LLVMValueRef one = LLVMConstInt(e->i32, 1, false), zero = LLVMConstInt(e->i32, 0, false);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
    LLVMBasicBlockRef body = rxn__llvm_block(e, "zero"), after = rxn__llvm_block(e, "zeroed");
    LLVMBuildBr(e->builder, body);
    LLVMPositionBuilderAtEnd(e->builder, body);
    LLVMValueRef i = LLVMBuildPhi(e->builder, e->i32, "");
    store_element(e, local, i, LLVMConstNull(e->vector[type]));
    LLVMValueRef next = LLVMBuildAdd(e->builder, i, one, "");
    LLVMAddIncoming(i, &zero, &before, 1);
    LLVMAddIncoming(i, &next, &body, 1);
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntULT, next, length, ""), body,
                    after);
    LLVMPositionBuilderAtEnd(e->builder, after);
}

void
rxn__llvm_zero_locals(Emit *e, LLVMValueRef mask)
{
    e->mask = mask;
    e->blend = true;
    for (u32 i = 0; i < e->kernel->locals.count; i++) {
        const KirLocal *local = &e->kernel->locals.items[i];
        const LocalLayout *place = &e->layout->locals[i];
        if (local->uniform || place->place == LOCAL_TAPE)
            continue;
        if (place->place > LOCAL_SPLIT) {
            zero_array(e, i);
            continue;
        }
        LLVMValueRef zero = LLVMConstNull(e->vector[local->type]);
        for (u32 k = 0; k < (local->length ? local->length : 1); k++) {
            LLVMValueRef slot = e->locals[i].slots[k], value = zero;
            if (e->lanes > 1) {
                LLVMValueRef old = rxn__llvm_load(e, e->vector[local->type], slot);
                value = LLVMBuildSelect(e->builder, mask, zero, old, "");
            }
            rxn__llvm_store(e, value, slot);
        }
    }
}
