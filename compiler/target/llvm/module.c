/* module.c: a whole LLVM module: rendering a kernel into it, LLVM's own passes, object code.
 *
 * LLVM has strong opinions about what it owns. Every handle here is kept in one struct whose release
 * is registered with the arena before the first handle exists; so a failed allocation anywhere in
 * between (which leaves by longjmp) leaks nothing.
 */
#include "compiler/target/llvm/llvm.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <llvm/Config/llvm-config.h>
#include <string.h>

/* KIR arrives folded, shared and hoisted, so little is left for LLVM to find: registers instead of
 * stack slots, redundant splats and addresses, what is constant around the step loop. Each pass here
 * was kept because leaving it out made kernels slower. */
#if LLVM_VERSION_MAJOR >=                                                                          \
    18 /* which took to checking that one round is enough, unless told not to */
#define INSTCOMBINE "instcombine<no-verify-fixpoint>"
#else
#define INSTCOMBINE "instcombine"
#endif
#define COMMON "sroa,early-cse<memssa>," INSTCOMBINE ",simplifycfg,loop-mssa(licm)"
static const char passes[] = "function(" COMMON ",early-cse)";
/* Vectors are made of the loops alone that ask for it. */
static const char passes_with_vectors[] =
    "function(" COMMON ",loop(loop-rotate,indvars),"
    "loop-vectorize<interleave-forced-only;vectorize-forced-only>," INSTCOMBINE
    ",simplifycfg,early-cse)";

void
rxn__llvm_module_release(void *object)
{
    LlvmModule *m = object;
    if (m->message != NULL)
        LLVMDisposeMessage(m->message);
    if (m->output != NULL)
        LLVMDisposeMemoryBuffer(m->output);
    if (m->builder != NULL)
        LLVMDisposeBuilder(m->builder);
    if (m->module != NULL)
        LLVMDisposeModule(m->module);
    if (m->machine != NULL)
        LLVMDisposeTargetMachine(m->machine);
    if (m->context != NULL)
        LLVMContextDispose(m->context);
    *m = (LlvmModule){.arena = m->arena};
}

/* Called by LLVM from within: only notes, for it must not leave by longjmp through C++ frames. */
static void
note_diagnostic(LLVMDiagnosticInfoRef info, void *context)
{
    LlvmModule *m = context;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError || m->message != NULL)
        return;
    m->message = LLVMGetDiagInfoDescription(info);
}

static RxnStatus
fail(LlvmModule *m, const char *what, const char *why, const char **ret_error)
{
    Text text;
    rxn__text_init(&text, m->arena);
    rxn__text_printf(&text, "LLVM target: %s", what);
    if (why != NULL)
        rxn__text_printf(&text, ": %s", why);
    *ret_error = text.data;
    return RXN_ERROR_INTERNAL;
}

const char *
rxn__llvm_symbol(const KirKernel *kernel, const TargetOptions *options, Arena *arena)
{
    if (options->symbol)
        return options->symbol;
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_append(&text, "rxn_kernel_", 11);
    for (u32 i = 0; i < kernel->name->length; i++) {
        char c = kernel->name->text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        rxn__text_append(&text, plain ? &c : "_", 1);
    }
    return text.data;
}

static RxnStatus
make_machine(LlvmModule *m, const LlvmHost *host, const char **ret_error)
{
    LLVMTargetRef target = NULL;
    if (!rxn__llvm_initialize())
        return fail(m, "this LLVM has no code generator for this machine", NULL, ret_error);
    if (LLVMGetTargetFromTriple(host->triple, &target, &m->message))
        return fail(m, "no such machine", m->message, ret_error);
    m->machine = LLVMCreateTargetMachine(target, host->triple, host->cpu, host->features,
                                         LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelSmall);
    if (m->machine == NULL)
        return fail(m, "cannot make a target machine", host->cpu, ret_error);
    return RXN_OK;
}

static void
add_attribute(LLVMContextRef context, LLVMValueRef function, const char *name, const char *value)
{
    LLVMAttributeRef attribute = LLVMCreateStringAttribute(context, name, (unsigned)strlen(name),
                                                           value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, attribute);
}

/* A function of one instruction that nobody calls. Callers built with clang's -fsanitize=function look
 * for a signature in the bytes before the function they call; these must be mapped, so the kernel must
 * not be the first thing in its section. */
static void
emit_guard(LlvmModule *m)
{
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(m->context), NULL, 0, false);
    LLVMValueRef function = LLVMAddFunction(m->module, "guard", type);
    LLVMSetLinkage(function, LLVMInternalLinkage);
    LLVMPositionBuilderAtEnd(m->builder,
                             LLVMAppendBasicBlockInContext(m->context, function, "entry"));
    LLVMBuildRetVoid(m->builder);
}

/* LLVM orders the instructions of a processor that reorders them itself so that few registers are needed, and of one that does
 * not so that none has to wait. A backward step is longer than the window in which the former reorders: the order of the
 * latter takes path 7 % less time, gumbel 2 %, on Zen 5. The simulation's steps are shorter, and it takes from -5 to +7 % there:
 * see docs/benchmarks.md. */
static bool
is_ordered_by_latency(const KirKernel *kernel, const LlvmHost *host)
{
    bool has_tape = false;
    for (u32 i = 0; i < kernel->locals.count; i++)
        has_tape |= kernel->locals.items[i].storage != 0;
    return has_tape && host->vector_bits == 512;
}

static LLVMValueRef
declare_function(LlvmModule *m, const KirKernel *kernel, const TargetOptions *options,
                 const LlvmHost *host)
{
    LLVMTypeRef pointer = LLVMPointerTypeInContext(m->context, 0);
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(m->context), &pointer, 1, false);
    LLVMValueRef function =
        LLVMAddFunction(m->module, rxn__llvm_symbol(kernel, options, m->arena), type);
    LLVMSetUnnamedAddress(function, LLVMGlobalUnnamedAddr);
    /* Without these LLVM keeps to 256 bits on processors whose clock once fell with 512. */
    const char *width = host->vector_bits == 512 ? "512" : host->vector_bits == 256 ? "256" : "128";
    add_attribute(m->context, function, "prefer-vector-width", width);
    add_attribute(m->context, function, "min-legal-vector-width", width);
    if (is_ordered_by_latency(kernel, host))
        add_attribute(m->context, function, "tune-cpu", "atom");
    unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(m->context, nounwind, 0));
    return function;
}

RxnStatus
rxn__llvm_render(const KirKernel *kernel, const TargetOptions *options, const LlvmHost *host,
                 const Layout *layout, Arena *arena, LlvmModule **ret_module,
                 const char **ret_error)
{
    LlvmModule *m = NEW(arena, LlvmModule);
    m->arena = arena;
    rxn__arena_on_release(arena, rxn__llvm_module_release, m);
    RxnStatus status = make_machine(m, host, ret_error);
    if (status != RXN_OK)
        return status;
    m->context = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(m->context, note_diagnostic, m);
    m->module = LLVMModuleCreateWithNameInContext("rxn", m->context);
    LLVMSetTarget(m->module, host->triple);
    LLVMTargetDataRef data = LLVMCreateTargetDataLayout(m->machine);
    LLVMSetModuleDataLayout(m->module, data);
    LLVMDisposeTargetData(data);
    m->builder = LLVMCreateBuilderInContext(m->context);

    emit_guard(m);

    Emit *e = NEW(arena, Emit);
    e->arena = arena;
    e->kernel = kernel;
    e->layout = layout;
    e->host = host;
    e->lanes = layout->lanes;
    e->context = m->context;
    e->module = m->module;
    e->builder = m->builder;
    e->function = declare_function(m, kernel, options, host);
    u32 count = kernel->values.count + 1;
    e->values = NEW_ARRAY(arena, LLVMValueRef, count);
    e->splats = NEW_ARRAY(arena, LLVMValueRef, count);
    e->halves = NEW_ARRAY(arena, Halves, count);
    e->products = NEW_ARRAY(arena, Halves, count);
    e->product_scope = NEW_ARRAY(arena, u32, count);
    e->splat_scope = NEW_ARRAY(arena, u32, count);
    rxn__llvm_emit_types(e);
    rxn__llvm_emit_function(e);
    m->function = e->function;
    m->has_vector_loops = e->has_vector_loops;
    m->reads_constants = layout->lanes > 1 && layout->table_bytes == layout->workspace_bytes;
    if (e->error != NULL)
        return fail(m, e->error, NULL, ret_error);
    if (options->debug_checks && LLVMVerifyModule(m->module, LLVMReturnStatusAction, &m->message))
        return fail(m, "the module is not well-formed", m->message, ret_error);
    if (m->message != NULL) { /* the verifier leaves an empty one */
        LLVMDisposeMessage(m->message);
        m->message = NULL;
    }
    *ret_module = m;
    return RXN_OK;
}

RxnStatus
rxn__llvm_optimize(LlvmModule *m, const TargetOptions *options, const char **ret_error)
{
    LLVMPassBuilderOptionsRef settings = LLVMCreatePassBuilderOptions();
    LLVMPassBuilderOptionsSetVerifyEach(settings, options->debug_checks);
    LLVMErrorRef error = LLVMRunPasses(
        m->module, m->has_vector_loops ? passes_with_vectors : passes, m->machine, settings);
    LLVMDisposePassBuilderOptions(settings);
    if (error == NULL) {
        if (m->reads_constants)
            rxn__llvm_read_constants(m);
        return RXN_OK;
    }
    char *message = LLVMGetErrorMessage(error);
    RxnStatus status = fail(m, "LLVM's passes failed", message, ret_error);
    LLVMDisposeErrorMessage(message);
    return status;
}

RxnStatus
rxn__llvm_generate(LlvmModule *m, LLVMCodeGenFileType kind, const char **ret_error)
{
    char *message = NULL;
    bool failed =
        LLVMTargetMachineEmitToMemoryBuffer(m->machine, m->module, kind, &message, &m->output);
    if (!failed && m->message == NULL)
        return RXN_OK;
    if (m->message == NULL)
        m->message = message;
    else if (message != NULL)
        LLVMDisposeMessage(message);
    return fail(m, "LLVM cannot generate code", m->message, ret_error);
}
