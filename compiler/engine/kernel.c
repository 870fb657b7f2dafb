/* kernel.c: from what the compiler made to what the runtime runs; and the interpreter as a device.
 */
#include <string.h>

#include "compiler/engine/engine.h"

typedef struct Interpretation {
    const KirKernel *kernel;
    const RxnLaunch *launch;
    Arena *arena;
    const char *message;
} Interpretation;

static RxnStatus
interpret(void *context)
{
    Interpretation *run = context;
    RxnLaunch launch = *run->launch;
    return rxn__kir_interpret(run->kernel, &launch, 0, run->arena, &run->message);
}

/* Each call has memory of its own, for several threads may be here at once. */
static RxnOutcome
call_interpreter(void *context, const RxnLaunch *launch, char *error, size_t size)
{
    Memory memory = {0};
    Arena arena;
    rxn__arena_init(&arena, &memory);
    Interpretation run = {.kernel = context, .launch = launch, .arena = &arena};
    RxnStatus status = rxn__memory_guard(&memory, interpret, &run);
    if (status == RXN_ERROR_MEMORY)
        snprintf(error, size, "the interpreter ran out of memory");
    else if (status != RXN_OK && status != RXN_CANCELLED)
        snprintf(error, size, "interpreter: %s", run.message ? run.message : "no message");
    rxn__arena_release(&arena);
    return status == RXN_ERROR_MEMORY                    ? RXN_NO_MEMORY
           : status == RXN_OK || status == RXN_CANCELLED ? RXN_DONE
                                                         : RXN_BROKEN;
}

RxnStatus
rxn__describe_kernel(Engine *engine, Pipeline *pipeline, RxnKernel *ret_kernel)
{
    const KirKernel *kernel = pipeline->kernel.kernel;
    RxnBuffer *buffers = NEW_ARRAY(&pipeline->arena, RxnBuffer, kernel->buffers.count + 1);
    for (u32 b = 0; b < kernel->buffers.count; b++) {
        const KirBuffer *buffer = &kernel->buffers.items[b];
        buffers[b] = (RxnBuffer){
            .name = buffer->name->text,
            .element_bytes = rxn__kir_type_bytes[buffer->type],
            .rank = buffer->rank,
            .per_trajectory = buffer->scope == KIR_PER_TRAJECTORY,
            .is_input = buffer->scope == KIR_PER_TRAJECTORY && !buffer->writable,
        };
        for (u32 k = 0; k < buffer->rank; k++)
            buffers[b].extent[k] = buffer->extent[k];
    }
    *ret_kernel = (RxnKernel){.buffers = buffers, .buffer_count = kernel->buffers.count};
    for (u32 w = 0; w < kernel->witness.count; w++) {
        u32 length = kernel->locals.items[kernel->witness.items[w]].length;
        ret_kernel->witness_count += length ? length : 1;
    }
    if (pipeline->interpreted) {
        ret_kernel->call = call_interpreter;
        ret_kernel->context = (void *)(uintptr_t)pipeline->interpreted; /* it is only read */
        return RXN_OK;
    }
    if (pipeline->compiled.cuda)
        return rxn__load_on_gpus(engine, pipeline, &ret_kernel->cuda);
    ret_kernel->run = pipeline->compiled.run;
    ret_kernel->workspace_bytes = pipeline->compiled.workspace_bytes;
    ret_kernel->table_bytes = pipeline->compiled.table_bytes;
    return RXN_OK;
}
