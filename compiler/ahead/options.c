/* options.c: how kernels are to be made, of a program or of a single stage: what is asked for, checked. */
#include <string.h>

#include "compiler/ahead/private.h"

/* Of one trajectory. Not of this machine's memory: it may run on another. A GPU has some 100,000 trajectories in flight,
 * whose tapes of 64 KiB are 6 GiB. That is 3,000 events or so in one go, and millions that are computed twice
 * (method/grad_tape.h). */
enum { TAPE_BYTES = 16 << 20, CUDA_TAPE_BYTES = 64 << 10 };

const char *
rxn_march(size_t k)
{
    const March *march = rxn__march_at((u32)k);
    return march ? march->name : NULL;
}

static void
refuse_march(Engine *engine, const char *name)
{
    Text names;
    rxn__text_init(&names, &engine->session.arena);
    for (size_t k = 0; rxn_march(k); k++)
        rxn__text_printf(&names, "%s%s", k ? ", " : "", rxn_march(k));
    rxn__engine_error(engine, "--march takes no '%s'",
                      rxn__shown(&engine->session.arena, name, strlen(name)));
    rxn__engine_note(engine, "it takes %s", names.data);
}

static void
take_marches(Job *job, const char *list)
{
    Engine *engine = job->engine;
    Ahead *ahead = &job->ahead;
    do {
        size_t length = strcspn(list, ",");
        const char *name = rxn__arena_copy_text(&engine->session.arena, list, length);
        const March *march = rxn__march_find(name);
        if (!march)
            refuse_march(engine, name);
        else if (ahead->march_count == MOST_MARCHES)
            rxn__engine_error(engine, "--march takes %d names at most", (int)MOST_MARCHES);
        else
            ahead->marches[ahead->march_count++] = march;
        list += length + (list[length] == ',');
    } while (*list);
}

static void
take_gradient(Job *job, const RxnDifferentiatorOptions *options, const char *precision)
{
    Grad grad = {.engine = job->engine};
    rxn__api_grad_options(&job->engine->session.arena, options, &grad.options);
    grad.options.tape_memory = NULL; /* it would be of all tapes */
    rxn__grad_check_options(&grad);
    grad.options.ensemble.device = "cpu";
    grad.options.ensemble.precision = precision;
    grad.options.ensemble.lanes = job->lanes;
    job->gradient = grad.options;
}

RxnStatus
rxn__job_options(Job *job, Engine *engine, const RxnSimulatorOptions *kernel,
                 const RxnDifferentiatorOptions *gradient, const char *march)
{
    const char *precision = kernel->precision ? kernel->precision : "f64";
    const u32 errors = engine->session.diagnostics.error_count;
    *job = (Job){.engine = engine,
                 .method = kernel->method ? kernel->method : "auto",
                 .precision = strcmp(precision, "f32") == 0 ? KIR_F32 : KIR_F64,
                 .lanes = kernel->lanes,
                 .ahead = {.arena = &engine->session.arena, .compiler = rxn__target_find("llvm")}};
    engine->is_ahead = true;
    rxn__check_precision(engine, precision);
    rxn__check_lanes(engine, kernel->lanes);
    rxn__api_check_shown(engine, kernel);
    take_marches(job, march);
    rxn__grad_defaults(&job->gradient);
    if (gradient)
        take_gradient(job, gradient, precision);
    return engine->session.diagnostics.error_count == errors ? RXN_OK : RXN_ERROR_USAGE;
}

void
rxn__job_tapes(Job *job, u64 bytes, u64 gpu_bytes)
{
    job->engine->tape_bytes = bytes ? bytes : TAPE_BYTES;
    job->engine->cuda_tape_bytes = gpu_bytes ? gpu_bytes : CUDA_TAPE_BYTES;
}

PipelineRequest
rxn__job_request(const Job *job, const char *device, KirType precision)
{
    return (PipelineRequest){.file = job->file,
                             .loader = &job->engine->loader,
                             .method = job->method,
                             .device = device,
                             .precision = precision,
                             .target = {.lanes = job->lanes}};
}

Grad
rxn__job_grad(const Job *job, const char *device, KirType precision)
{
    return (Grad){.engine = job->engine,
                  .options = job->gradient,
                  .file = job->file,
                  .stages = rxn__job_request(job, device, precision)};
}
