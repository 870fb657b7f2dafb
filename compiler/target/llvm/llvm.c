/* llvm.c: the LLVM target as the rest of the compiler sees it. */
#include "compiler/target/llvm/llvm.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/cache.h"

static bool
lanes_are_possible(u32 lanes)
{
    return lanes >= 1 && lanes <= 32 && (lanes & (lanes - 1)) == 0;
}

/* What both entry points need first. */
typedef struct Plan {
    LlvmHost host;
    const KirKernel *kernel; /* as it is rendered */
    Layout *layout;
} Plan;

static RxnStatus
make_plan(const KirKernel *kernel, const TargetOptions *options, Arena *arena, Plan *ret_plan,
          const char **ret_error)
{
    rxn__llvm_host(options, arena, &ret_plan->host);
    u32 lanes = rxn__llvm_lanes(kernel, options, &ret_plan->host);
    if (!lanes_are_possible(lanes)) {
        Text text;
        rxn__text_init(&text, arena);
        rxn__text_printf(&text, "%u lanes: the number must be 1, 2, 4, 8, 16 or 32", lanes);
        *ret_error = text.data;
        return RXN_ERROR_USAGE;
    }
    const KirKernel *ahead = lanes == 1 ? rxn__kir_ahead(kernel) : NULL;
    ret_plan->kernel = ahead ? ahead : kernel;
    ret_plan->layout = rxn__llvm_layout(ret_plan->kernel, lanes, arena);
    return RXN_OK;
}

static CompiledKernel
facts_of(const Plan *plan)
{
    return (CompiledKernel){.workspace_bytes = plan->layout->workspace_bytes,
                            .table_bytes = plan->layout->table_bytes,
                            .lanes = plan->layout->lanes,
                            .isa = plan->host.isa,
                            .features = plan->host.features};
}

static RxnStatus
describe(const KirKernel *kernel, const TargetOptions *options, Arena *arena,
         CompiledKernel *ret_kernel, const char **ret_error)
{
    Plan plan;
    RxnStatus status = make_plan(kernel, options, arena, &plan, ret_error);
    if (status == RXN_OK)
        *ret_kernel = facts_of(&plan);
    return status;
}

static RxnStatus
compile(const KirKernel *kernel, const TargetOptions *options, Arena *arena,
        CompiledKernel *ret_kernel, const char **ret_error)
{
    Plan plan;
    RxnStatus status = make_plan(kernel, options, arena, &plan, ret_error);
    if (status != RXN_OK)
        return status;
    const char *symbol = rxn__llvm_symbol(kernel, options, arena);
    *ret_kernel = facts_of(&plan);
    const char *key = NULL;
    size_t key_length = 0;
    if (options->cache != NULL) {
        void *object = NULL;
        size_t size = 0;
        key = rxn__llvm_cache_key(kernel, &plan.host, plan.layout->lanes, arena, &key_length);
        if (rxn__cache_find(options->cache, key, key_length, &object, &size)) {
            rxn__arena_on_release(arena, free, object);
            status = rxn__llvm_link(object, size, symbol, arena, &ret_kernel->run, ret_error);
            ret_kernel->from_cache = status == RXN_OK;
            if (status == RXN_OK)
                return RXN_OK;
        }
    }
    LlvmModule *module = NULL;
    status =
        rxn__llvm_render(plan.kernel, options, &plan.host, plan.layout, arena, &module, ret_error);
    if (status == RXN_OK)
        status = rxn__llvm_optimize(module, options, ret_error);
    if (status == RXN_OK)
        status = rxn__llvm_generate(module, LLVMObjectFile, ret_error);
    if (status != RXN_OK)
        return status;
    const void *object = LLVMGetBufferStart(module->output);
    size_t size = LLVMGetBufferSize(module->output);
    status = rxn__llvm_link(object, size, symbol, arena, &ret_kernel->run, ret_error);
    if (status == RXN_OK && options->cache != NULL)
        rxn__cache_store(options->cache, key, key_length, object, size);
    rxn__llvm_module_release(module);
    return status;
}

static RxnStatus
emit(const KirKernel *kernel, const TargetOptions *options, TargetForm form, Arena *arena,
     Text *out, const char **ret_error)
{
    Plan plan;
    LlvmModule *module = NULL;
    RxnStatus status = make_plan(kernel, options, arena, &plan, ret_error);
    if (status == RXN_OK)
        status = rxn__llvm_render(plan.kernel, options, &plan.host, plan.layout, arena, &module,
                                  ret_error);
    if (status == RXN_OK && form != TARGET_IR)
        status = rxn__llvm_optimize(module, options, ret_error);
    if (status != RXN_OK)
        return status;
    if (form == TARGET_IR || form == TARGET_IR_OPTIMIZED) {
        module->message = LLVMPrintModuleToString(module->module);
        rxn__text_append(out, module->message, strlen(module->message));
    } else {
        status = rxn__llvm_generate(
            module, form == TARGET_ASSEMBLY ? LLVMAssemblyFile : LLVMObjectFile, ret_error);
        if (status == RXN_OK)
            rxn__text_append(out, LLVMGetBufferStart(module->output),
                             LLVMGetBufferSize(module->output));
    }
    rxn__llvm_module_release(module);
    return status;
}

extern const Target rxn__target_llvm;
const Target rxn__target_llvm = {
    .name = "llvm", .compile = compile, .emit = emit, .describe = describe};
