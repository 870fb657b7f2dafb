/* jit.c: puts an object file into this process, through ORC's linker.
 *
 * The object comes from rxn__llvm_generate or from the cache; so compiling and linking are apart, and
 * ORC never compiles anything. A kernel needs no symbol but perhaps a few of libm's, where the
 * processor has no instruction for an op (fma before FMA, floor before SSE4.1), and memset/memcpy;
 * they are named one by one, so that nothing else of the process can be picked up by accident.
 */
#include "compiler/target/llvm/llvm.h"

#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/OrcEE.h>
#include <math.h>
#include <string.h>

typedef struct Jit {
    LLVMOrcLLJITRef jit;
} Jit;

static void
release_jit(void *object)
{
    Jit *jit = object;
    if (jit->jit != NULL)
        LLVMConsumeError(LLVMOrcDisposeLLJIT(jit->jit));
    jit->jit = NULL;
}

static RxnStatus
fail(Arena *arena, const char *what, LLVMErrorRef error, const char **ret_error)
{
    char *message = LLVMGetErrorMessage(error);
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "LLVM target: %s: %s", what, message);
    LLVMDisposeErrorMessage(message);
    *ret_error = text.data;
    return RXN_ERROR_INTERNAL;
}

typedef struct Import {
    const char *name;
    u64 address;
} Import;

static LLVMErrorRef
define_imports(LLVMOrcLLJITRef jit)
{
    const Import imports[] = {
        {"fma", (u64)(uintptr_t)fma},       {"fmaf", (u64)(uintptr_t)fmaf},
        {"floor", (u64)(uintptr_t)floor},   {"floorf", (u64)(uintptr_t)floorf},
        {"ceil", (u64)(uintptr_t)ceil},     {"ceilf", (u64)(uintptr_t)ceilf},
        {"rint", (u64)(uintptr_t)rint},     {"rintf", (u64)(uintptr_t)rintf},
        {"memset", (u64)(uintptr_t)memset}, {"memcpy", (u64)(uintptr_t)memcpy},
    };
    LLVMOrcCSymbolMapPair pairs[COUNT_OF(imports)];
    for (u32 i = 0; i < COUNT_OF(imports); i++) {
        pairs[i].Name = LLVMOrcLLJITMangleAndIntern(jit, imports[i].name);
        pairs[i].Sym.Address = imports[i].address;
        pairs[i].Sym.Flags.GenericFlags =
            LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable;
        pairs[i].Sym.Flags.TargetFlags = 0;
    }
    LLVMOrcMaterializationUnitRef unit = LLVMOrcAbsoluteSymbols(pairs, COUNT_OF(imports));
    LLVMErrorRef error = LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(jit), unit);
    if (error != NULL)
        LLVMOrcDisposeMaterializationUnit(unit);
    return error;
}

static LLVMOrcObjectLayerRef
make_object_layer(void *context, LLVMOrcExecutionSessionRef session, const char *triple)
{
    (void)context;
    (void)triple;
    return LLVMOrcCreateRTDyldObjectLinkingLayerWithSectionMemoryManager(session);
}

RxnStatus
rxn__llvm_link(const void *object, size_t size, const char *symbol, Arena *arena,
               RxnKernelFunction *ret_function, const char **ret_error)
{
    Jit *owner = NEW(arena, Jit);
    rxn__arena_on_release(arena, release_jit, owner);
    if (!rxn__llvm_initialize()) {
        *ret_error = "LLVM target: this LLVM has no code generator for this machine";
        return RXN_ERROR_INTERNAL;
    }
    LLVMOrcLLJITBuilderRef builder = LLVMOrcCreateLLJITBuilder();
    LLVMOrcLLJITBuilderSetObjectLinkingLayerCreator(builder, make_object_layer, NULL);
    LLVMErrorRef error = LLVMOrcCreateLLJIT(&owner->jit, builder);
    if (error != NULL) {
        owner->jit = NULL;
        return fail(arena, "cannot set up the linker", error, ret_error);
    }
    error = define_imports(owner->jit);
    if (error != NULL)
        return fail(arena, "cannot define the imports", error, ret_error);
    LLVMMemoryBufferRef buffer =
        LLVMCreateMemoryBufferWithMemoryRangeCopy(object, size, "kernel.o");
    error = LLVMOrcLLJITAddObjectFile(owner->jit, LLVMOrcLLJITGetMainJITDylib(owner->jit), buffer);
    if (error != NULL)
        return fail(arena, "cannot add the object", error, ret_error);
    LLVMOrcExecutorAddress address = 0;
    error = LLVMOrcLLJITLookup(owner->jit, &address, symbol);
    if (error != NULL)
        return fail(arena, "cannot link the object", error, ret_error);
    *ret_function = (RxnKernelFunction)(uintptr_t)address;
    return RXN_OK;
}
