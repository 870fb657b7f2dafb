/* tapes.c: arrays that a forward run writes and a backward one reads.
 *
 *     [length * W x S], element i of lane k at i*W + k; S is the storage: i8, i16, or the type's own
 *
 * Lanes that count in step write element i of all of them with one store: the codes of 16 lanes are 16
 * bytes that follow each other, their times two whole cache lines. Where the index differs between
 * lanes, each goes to its own place.
 *
 * Nothing here is cleared, and the launcher's memory need not be there before it is written.
 */
#include "compiler/target/llvm/llvm.h"

static LLVMTypeRef
storage_type(Emit *e, const KirLocal *tape)
{
    const KirType type = (KirType)tape->type;
    return tape->storage == rxn__kir_type_bytes[type]
               ? rxn__llvm_memory_type(e, type)
               : LLVMIntTypeInContext(e->context, 8u * tape->storage);
}

static LLVMTypeRef
storage_vector(Emit *e, const KirLocal *tape)
{
    LLVMTypeRef element = storage_type(e, tape);
    return e->lanes == 1 ? element : LLVMVectorType(element, e->lanes);
}

static bool
is_cut(const KirLocal *tape)
{
    return tape->storage < rxn__kir_type_bytes[tape->type];
}

/* Where element i of lane 0 is; for indices that differ, where each lane's own element is. */
static LLVMValueRef
tape_address(Emit *e, u32 local, KirValue index)
{
    LLVMBuilderRef b = e->builder;
    const KirLocal *tape = &e->kernel->locals.items[local];
    LLVMValueRef at = e->values[index], width = LLVMConstInt(e->i64, e->lanes, false);
    if (e->layout->uniform[index]) {
        at = LLVMBuildMul(b, LLVMBuildSExt(b, at, e->i64, ""), width, "");
    } else {
        /* 64 bits, because a tape may be longer than 2^31 elements of all lanes together. */
        at = LLVMBuildSExt(b, at, e->row_type, "");
        at = LLVMBuildMul(b, at, rxn__llvm_splat(e, width), "");
        at = LLVMBuildAdd(b, at, LLVMBuildSExt(b, e->lane_numbers, e->row_type, ""), "");
    }
    return LLVMBuildGEP2(b, storage_type(e, tape), e->locals[local].slots[0], &at, 1, "");
}

/* A tape begins at a cache line, and the vector of an element lies at a multiple of its size. */
static u32
vector_alignment(const Emit *e, const KirLocal *tape)
{
    const u32 bytes = tape->storage * e->lanes;
    return bytes < 64 ? bytes : 64;
}

LLVMValueRef
rxn__llvm_tape_get(Emit *e, const KirNode *node)
{
    const KirLocal *tape = &e->kernel->locals.items[node->object];
    const KirType type = (KirType)tape->type;
    LLVMValueRef address = tape_address(e, node->object, node->index[0]), value;
    if (e->layout->uniform[node->index[0]]) {
        value = rxn__llvm_load(e, storage_vector(e, tape), address);
        LLVMSetAlignment(value, vector_alignment(e, tape));
    } else {
        value = rxn__llvm_gather_raw(e, storage_vector(e, tape), address, tape->storage);
    }
    if (is_cut(tape))
        return LLVMBuildZExt(e->builder, value, e->vector[type], "");
    return rxn__llvm_from_memory(e, type, value);
}

void
rxn__llvm_tape_set(Emit *e, const KirStatement *s)
{
    const KirLocal *tape = &e->kernel->locals.items[s->object];
    LLVMValueRef address = tape_address(e, s->object, s->index[0]);
    LLVMValueRef value = rxn__llvm_lanes_of(e, s->value);
    if (is_cut(tape))
        value = LLVMBuildTrunc(e->builder, value, storage_vector(e, tape), "");
    else
        value = rxn__llvm_to_memory(e, (KirType)tape->type, value, false);
    if (!e->layout->uniform[s->index[0]])
        rxn__llvm_scatter_raw(e, value, address, tape->storage);
    else if (rxn__llvm_must_blend(e, s->object))
        rxn__llvm_masked_store(e, value, address, vector_alignment(e, tape));
    else
        LLVMSetAlignment(LLVMBuildStore(e->builder, value, address), vector_alignment(e, tape));
}
