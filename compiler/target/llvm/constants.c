/* constants.c: the constants of a step from memory, not from registers.
 *
 * LLVM takes constants out of the loop, into registers. A step that has more values than there are registers then puts
 * counts and sums into the stack frame to make room for numbers that never change, and a store of 64 bytes takes some
 * processors two cycles. Here an instruction reads its constants where it stands, which costs next to nothing beside
 * arithmetic:
 *
 *     fma(x, <8 x double> splat 0.5, y)   ->   fma(x, splat(load @constant), y)
 *
 * LLVM must not find out that what is loaded never changes. So the variables are not declared constant, and this comes
 * behind its passes; its code generator takes no load out of a loop that stores.
 *
 * Where there are more constants than registers LLVM keeps few of them, and nothing is to be won; and not for kernels with a
 * tape, which became 3 % slower.
 */
#include "compiler/target/llvm/llvm.h"

/* Of AVX-512. A step draws its numbers with some 20 constants; one with exp or pow in its laws has 60. */
enum { MOST_CONSTANTS = 32 };

/* A number, and the variable of the module that has it. */
typedef struct Constant {
    LLVMValueRef value, variable;
} Constant;

typedef struct Constants {
    LlvmModule *module;
    VEC(Constant) found;
} Constants;

static bool
is_arithmetic(LLVMValueRef instruction)
{
    switch (LLVMGetInstructionOpcode(instruction)) {
    case LLVMFAdd:
    case LLVMFSub:
    case LLVMFMul:
    case LLVMFDiv:
    case LLVMFCmp:
    case LLVMSelect:
    case LLVMCall: /* fma, min, max */ return true;
    default: return false;
    }
}

/* The number that all elements of an operand are; NULL: it is no such vector, or 0, which needs no memory. */
static LLVMValueRef
splat_of(LLVMValueRef operand)
{
    if (!LLVMIsAConstantDataVector(operand))
        return NULL;
    LLVMValueRef first = LLVMGetAggregateElement(operand, 0);
    if (!LLVMIsAConstantFP(first))
        return NULL;
    for (u32 k = 1; k < LLVMGetVectorSize(LLVMTypeOf(operand)); k++)
        if (LLVMGetAggregateElement(operand, k) != first)
            return NULL;
    return first;
}

/* Visits each constant operand of arithmetic behind the first block, which runs once. */
static void
each_constant(Constants *constants, void (*visit)(Constants *constants, LLVMValueRef instruction,
                                                  u32 operand, LLVMValueRef value))
{
    LLVMBasicBlockRef block = LLVMGetEntryBasicBlock(constants->module->function);
    while ((block = LLVMGetNextBasicBlock(block)) != NULL) {
        LLVMValueRef instruction = LLVMGetFirstInstruction(block);
        for (; instruction != NULL; instruction = LLVMGetNextInstruction(instruction)) {
            if (!is_arithmetic(instruction))
                continue;
            for (u32 k = 0; k < (u32)LLVMGetNumOperands(instruction); k++) {
                LLVMValueRef value = splat_of(LLVMGetOperand(instruction, k));
                if (value != NULL)
                    visit(constants, instruction, k, value);
            }
        }
    }
}

static void
note(Constants *constants, LLVMValueRef instruction, u32 operand, LLVMValueRef value)
{
    (void)instruction, (void)operand;
    for (u32 c = 0; c < constants->found.count; c++)
        if (constants->found.items[c].value == value)
            return;
    Constant constant = {value, NULL};
    vec_push(constants->module->arena, &constants->found, constant);
}

static LLVMValueRef
variable_of(Constants *constants, LLVMValueRef value)
{
    Constant *constant = constants->found.items;
    while (constant->value != value)
        constant++;
    if (constant->variable == NULL) {
        constant->variable =
            LLVMAddGlobal(constants->module->module, LLVMTypeOf(value), "constant");
        LLVMSetInitializer(constant->variable, value);
        LLVMSetLinkage(constant->variable, LLVMInternalLinkage);
    }
    return constant->variable;
}

static void
read_from_memory(Constants *constants, LLVMValueRef instruction, u32 operand, LLVMValueRef value)
{
    LlvmModule *m = constants->module;
    LLVMTypeRef type = LLVMTypeOf(LLVMGetOperand(instruction, operand));
    LLVMTypeRef i32 = LLVMInt32TypeInContext(m->context);
    LLVMPositionBuilderBefore(m->builder, instruction);
    LLVMValueRef read =
        LLVMBuildLoad2(m->builder, LLVMTypeOf(value), variable_of(constants, value), "");
    LLVMValueRef first = LLVMBuildInsertElement(m->builder, LLVMGetPoison(type), read,
                                                LLVMConstInt(i32, 0, false), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(i32, LLVMGetVectorSize(type)));
    LLVMSetOperand(instruction, operand,
                   LLVMBuildShuffleVector(m->builder, first, LLVMGetPoison(type), zeros, ""));
}

void
rxn__llvm_read_constants(LlvmModule *m)
{
    Constants constants = {.module = m};
    each_constant(&constants, note);
    if (constants.found.count <= MOST_CONSTANTS)
        each_constant(&constants, read_from_memory);
}
