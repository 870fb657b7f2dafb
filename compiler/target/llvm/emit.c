/* emit.c: LLVM types, constants and small things that all of the emission uses. */
#include "compiler/target/llvm/llvm.h"

#include <llvm/Config/llvm-config.h>
#include <string.h>

void
rxn__llvm_emit_types(Emit *e)
{
    LLVMContextRef c = e->context;
    e->i1 = LLVMInt1TypeInContext(c);
    e->i8 = LLVMInt8TypeInContext(c);
    e->i32 = LLVMInt32TypeInContext(c);
    e->i64 = LLVMInt64TypeInContext(c);
    e->f32 = LLVMFloatTypeInContext(c);
    e->f64 = LLVMDoubleTypeInContext(c);
    e->pointer = LLVMPointerTypeInContext(c, 0);
    const LLVMTypeRef scalar[KIR_TYPE_COUNT] = {
        [KIR_BOOL] = e->i1, [KIR_I32] = e->i32, [KIR_U32] = e->i32, [KIR_I64] = e->i64,
        [KIR_U64] = e->i64, [KIR_F32] = e->f32, [KIR_F64] = e->f64,
    };
    for (u32 i = 0; i < KIR_TYPE_COUNT; i++) {
        e->scalar[i] = scalar[i];
        e->vector[i] = e->lanes == 1 ? scalar[i] : LLVMVectorType(scalar[i], e->lanes);
    }
    e->mask_type = e->vector[KIR_BOOL];
    e->row_type = e->vector[KIR_U64];
    e->invariant_load = LLVMGetMDKindIDInContext(c, "invariant.load", 14);
    e->branch_weights = LLVMGetMDKindIDInContext(c, "prof", 4);

    LLVMValueRef numbers[64];
    for (u32 i = 0; i < e->lanes; i++)
        numbers[i] = LLVMConstInt(e->i32, i, false);
    e->lane_numbers = e->lanes == 1 ? numbers[0] : LLVMConstVector(numbers, e->lanes);
}

/* LLVM 17 widened the count to 64 bits, under a new name. */
LLVMTypeRef
rxn__llvm_array_type(LLVMTypeRef element, u64 count)
{
#if LLVM_VERSION_MAJOR >= 17
    return LLVMArrayType2(element, count);
#else
    return LLVMArrayType(element, (unsigned)count);
#endif
}

LLVMValueRef
rxn__llvm_constant(Emit *e, KirType type, u64 bits)
{
    switch (type) {
    case KIR_BOOL: return LLVMConstInt(e->i1, bits & 1, false);
    case KIR_I32:
    case KIR_U32: return LLVMConstInt(e->i32, bits & 0xffffffffu, false);
    case KIR_F32: /* through the bits: a NaN keeps its payload */
        return LLVMConstBitCast(LLVMConstInt(e->i32, bits & 0xffffffffu, false), e->f32);
    case KIR_F64: return LLVMConstBitCast(LLVMConstInt(e->i64, bits, false), e->f64);
    case KIR_I64:
    case KIR_U64: break;
    }
    return LLVMConstInt(e->i64, bits, false);
}

LLVMValueRef
rxn__llvm_splat(Emit *e, LLVMValueRef scalar)
{
    if (e->lanes == 1)
        return scalar;
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef items[64];
        for (u32 i = 0; i < e->lanes; i++)
            items[i] = scalar;
        return LLVMConstVector(items, e->lanes);
    }
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), e->lanes);
    LLVMValueRef one = LLVMBuildInsertElement(e->builder, LLVMGetPoison(type), scalar,
                                              LLVMConstInt(e->i32, 0, false), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(e->i32, e->lanes));
    return LLVMBuildShuffleVector(e->builder, one, LLVMGetPoison(type), zeros, "");
}

bool
rxn__llvm_scope_is_open(const Emit *e, u32 scope)
{
    for (u32 i = e->open_scopes.count; i-- > 0;)
        if (e->open_scopes.items[i] <= scope)
            return e->open_scopes.items[i] == scope;
    return false;
}

LLVMValueRef
rxn__llvm_lanes_of(Emit *e, KirValue value)
{
    if (!e->layout->uniform[value] || e->lanes == 1)
        return e->values[value];
    if (e->splats[value] == NULL || !rxn__llvm_scope_is_open(e, e->splat_scope[value])) {
        e->splats[value] = rxn__llvm_splat(e, e->values[value]);
        e->splat_scope[value] = e->open_scopes.items[e->open_scopes.count - 1];
    }
    return e->splats[value];
}

LLVMValueRef
rxn__llvm_value(Emit *e, KirValue value, bool uniform)
{
    return uniform ? e->values[value] : rxn__llvm_lanes_of(e, value);
}

/* All slots stand in the entry block, where LLVM's promotion to registers looks for them. */
LLVMValueRef
rxn__llvm_stack_slot(Emit *e, LLVMTypeRef type, const char *name)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->builder);
    LLVMPositionBuilderAtEnd(e->builder, e->entry);
    LLVMValueRef slot = LLVMBuildAlloca(e->builder, type, name);
    LLVMPositionBuilderAtEnd(e->builder, here);
    return slot;
}

LLVMBasicBlockRef
rxn__llvm_block(Emit *e, const char *name)
{
    return LLVMAppendBasicBlockInContext(e->context, e->function, name);
}

LLVMValueRef
rxn__llvm_intrinsic(Emit *e, const char *name, LLVMTypeRef *overloads, u32 overload_count,
                    LLVMValueRef *arguments, u32 argument_count)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(e->module, id, overloads, overload_count);
    LLVMTypeRef type = LLVMGlobalGetValueType(function);
    return LLVMBuildCall2(e->builder, type, function, arguments, argument_count, "");
}

LLVMValueRef
rxn__llvm_load(Emit *e, LLVMTypeRef type, LLVMValueRef address)
{
    return LLVMBuildLoad2(e->builder, type, address, "");
}

void
rxn__llvm_store(Emit *e, LLVMValueRef value, LLVMValueRef address)
{
    LLVMBuildStore(e->builder, value, address);
}

LLVMValueRef
rxn__llvm_any(Emit *e, LLVMValueRef mask)
{
    if (e->lanes == 1)
        return mask;
    return rxn__llvm_intrinsic(e, "llvm.vector.reduce.or", &e->mask_type, 1, &mask, 1);
}

void
rxn__llvm_branch(Emit *e, LLVMValueRef condition, LLVMBasicBlockRef then,
                 LLVMBasicBlockRef otherwise, u32 odds)
{
    LLVMValueRef branch = LLVMBuildCondBr(e->builder, condition, then, otherwise);
    if (odds <= 1)
        return;
    LLVMMetadataRef parts[3] = {
        LLVMMDStringInContext2(e->context, "branch_weights", 14),
        LLVMValueAsMetadata(LLVMConstInt(e->i32, 1, false)),
        LLVMValueAsMetadata(LLVMConstInt(e->i32, odds - 1, false)),
    };
    LLVMMetadataRef node = LLVMMDNodeInContext2(e->context, parts, 3);
    LLVMSetMetadata(branch, e->branch_weights, LLVMMetadataAsValue(e->context, node));
}
