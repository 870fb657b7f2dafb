/* memory.c: one element per lane, at addresses that differ between lanes.
 *
 * A bool is one bit in a register and one byte in memory.
 *
 * Lanes that are off may hold any number, an index out of range too. So whatever uses memory through
 * a vector of addresses has the mask; plain loads and stores need none, because no code runs with an
 * empty mask (see control.c), and a uniform index is right for all lanes if it is for one.
 */
#include "compiler/target/llvm/llvm.h"

#include <llvm/Config/llvm-config.h>

/* How a type lies in memory: a bool as a byte. */
LLVMTypeRef
rxn__llvm_memory_type(Emit *e, KirType type)
{
    return type == KIR_BOOL ? e->i8 : e->scalar[type];
}

LLVMTypeRef
rxn__llvm_memory_vector(Emit *e, KirType type)
{
    return type == KIR_BOOL && e->lanes > 1 ? LLVMVectorType(e->i8, e->lanes)
           : type == KIR_BOOL               ? e->i8
                                            : e->vector[type];
}

LLVMValueRef
rxn__llvm_from_memory(Emit *e, KirType type, LLVMValueRef value)
{
    if (type != KIR_BOOL)
        return value;
    return LLVMBuildICmp(e->builder, LLVMIntNE, value, LLVMConstNull(LLVMTypeOf(value)), "");
}

LLVMValueRef
rxn__llvm_to_memory(Emit *e, KirType type, LLVMValueRef value, bool uniform)
{
    if (type != KIR_BOOL)
        return value;
    LLVMTypeRef wide = uniform ? e->i8 : rxn__llvm_memory_vector(e, type);
    return LLVMBuildZExt(e->builder, value, wide, "");
}

/* LLVM 22 moved the alignment of the masked intrinsics from an argument to an attribute. */
static LLVMValueRef
masked_call(Emit *e, const char *name, LLVMTypeRef *overloads, LLVMValueRef *arguments, u32 count,
            u32 address_at, u32 alignment)
{
#if LLVM_VERSION_MAJOR >= 22
    LLVMValueRef call = rxn__llvm_intrinsic(e, name, overloads, 2, arguments, count);
    LLVMSetInstrParamAlignment(call, address_at + 1, alignment);
    return call;
#else
    LLVMValueRef with[5];
    u32 n = 0;
    for (u32 i = 0; i < count; i++) {
        with[n++] = arguments[i];
        if (i == address_at)
            with[n++] = LLVMConstInt(e->i32, alignment, false);
    }
    return rxn__llvm_intrinsic(e, name, overloads, 2, with, n);
#endif
}

/* Lanes that are off read zero, not poison: their garbage may reach a mask and must stay a value. */
LLVMValueRef
rxn__llvm_gather_raw(Emit *e, LLVMTypeRef vector, LLVMValueRef addresses, u32 bytes)
{
    LLVMTypeRef overloads[2] = {vector, LLVMTypeOf(addresses)};
    LLVMValueRef arguments[3] = {addresses, e->mask, LLVMConstNull(vector)};
    return masked_call(e, "llvm.masked.gather", overloads, arguments, 3, 0, bytes);
}

void
rxn__llvm_scatter_raw(Emit *e, LLVMValueRef value, LLVMValueRef addresses, u32 bytes)
{
    LLVMTypeRef overloads[2] = {LLVMTypeOf(value), LLVMTypeOf(addresses)};
    LLVMValueRef arguments[3] = {value, addresses, e->mask};
    masked_call(e, "llvm.masked.scatter", overloads, arguments, 3, 1, bytes);
}

LLVMValueRef
rxn__llvm_gather(Emit *e, KirType type, LLVMValueRef addresses)
{
    LLVMTypeRef vector = rxn__llvm_memory_vector(e, type);
    u32 bytes = rxn__kir_type_bytes[type];
    return rxn__llvm_from_memory(e, type, rxn__llvm_gather_raw(e, vector, addresses, bytes));
}

void
rxn__llvm_scatter(Emit *e, KirType type, LLVMValueRef value, LLVMValueRef addresses)
{
    value = rxn__llvm_to_memory(e, type, value, false);
    rxn__llvm_scatter_raw(e, value, addresses, rxn__kir_type_bytes[type]);
}

LLVMValueRef
rxn__llvm_element(Emit *e, KirType type, LLVMValueRef base, LLVMValueRef index)
{
    return LLVMBuildGEP2(e->builder, rxn__llvm_memory_type(e, type), base, &index, 1, "");
}

void
rxn__llvm_masked_store(Emit *e, LLVMValueRef value, LLVMValueRef address, u32 alignment)
{
    if (e->host->has_scatter) {
        LLVMTypeRef overloads[2] = {LLVMTypeOf(value), e->pointer};
        LLVMValueRef arguments[3] = {value, address, e->mask};
        masked_call(e, "llvm.masked.store", overloads, arguments, 3, 1, alignment);
        return;
    }
    LLVMValueRef old = rxn__llvm_load(e, LLVMTypeOf(value), address);
    LLVMSetAlignment(old, alignment);
    value = LLVMBuildSelect(e->builder, e->mask, value, old, "");
    LLVMSetAlignment(LLVMBuildStore(e->builder, value, address), alignment);
}
