/* build.c: programs and libraries: what `rxn build` writes. Here is the way of the call, and the program itself; the libraries
 * are library.c's.
 */
#include <string.h>
#include <sys/stat.h>

#include "compiler/ahead/private.h"

RxnBuildOptions
rxn_build_options(void)
{
    return (RxnBuildOptions){.kernel = rxn_simulator_options(), .march = rxn__march_default};
}

/* ---- options ----------------------------------------------------------------------------------- */

/* All that can be said without the model. NVRTC comes last: what it lacks is no mistake of who asked. */
static RxnStatus
take_options(Job *job, Engine *engine, const RxnBuildOptions *o)
{
    const char *march = o->march ? o->march : rxn__march_default;
    RxnStatus status = rxn__job_options(job, engine, &o->kernel, o->gradient, march);
    rxn__job_tapes(job, o->tape_memory, o->gpu_tape_memory);
    if (o->kind != RXN_BUILD_PROGRAM && o->kind != RXN_BUILD_LIBRARY)
        status = rxn__api_refuse(engine, "there is nothing of this kind to build");
    if (o->gpus && o->kind == RXN_BUILD_LIBRARY)
        status = rxn__api_refuse(engine, "libraries of a model have no code for GPUs");
    if (o->gpus && o->link_statically)
        status = rxn__api_refuse(engine, "a program that is linked without shared libraries cannot "
                                         "open the driver of GPUs");
    if (status == RXN_OK && !job->ahead.compiler)
        status =
            rxn__api_refuse(engine, "this rxn was built without LLVM, so it cannot compile ahead");
    if (status != RXN_OK || !o->gpus)
        return status;
    status = rxn__job_open_nvrtc(job, "a program that is built without --cuda has its kernels "
                                      "compiled where it runs, by the NVRTC there");
    return status == RXN_OK ? rxn__job_architectures(job, o->gpus) : status;
}

static RxnStatus
check(Engine *engine, const void *options)
{
    const RxnBuildOptions usual = rxn_build_options();
    Job job;
    return take_options(&job, engine, options ? options : &usual);
}

RxnStatus
rxn_build_check(const RxnBuildOptions *options, RxnError **ret_error)
{
    return rxn__api_check(NULL, check, options, ret_error);
}

/* ---- files ------------------------------------------------------------------------------------- */

static bool
cannot_write(Build *build, const char *path, const char *reason)
{
    rxn__engine_error(build->job.engine, "'%s' cannot be written: %s", path, reason);
    return false;
}

bool
rxn__build_open(Build *build, RxnWholeFile *output, const char *path)
{
    Engine *engine = build->job.engine;
    const char *reason;
    if (rxn__overwrites_input(&build->part.model->engine, engine, path) ||
        rxn__overwrites_input(engine, engine, path))
        return false;
    if (!rxn__whole_file_open(output, path, &reason))
        return cannot_write(build, path, reason);
    return output->beside || cannot_write(build, path, "it is no plain file");
}

bool
rxn__build_commit(Build *build, RxnWholeFile *output)
{
    struct stat status;
    const char *reason, *path = rxn__arena_copy_text(&build->job.engine->session.arena,
                                                     output->path, strlen(output->path));
    if (!rxn__whole_file_commit(output, &reason))
        return cannot_write(build, path, reason);
    if (stat(path, &status) == 0)
        build->built.bytes += (u64)status.st_size;
    return true;
}

/* ---- a program --------------------------------------------------------------------------------- */

static RxnStatus
build_program(Build *build)
{
    Link *link = &build->link;
    Text source;
    if (!rxn__build_open(build, &build->outputs[0], build->path))
        return RXN_ERROR_INPUT;
    rxn__text_init(&source, &build->job.engine->session.arena);
    rxn__build_source(build, &source);
    if (!rxn__link_begin(link, build->options->parts, &build->job.ahead, &source))
        return RXN_ERROR_INPUT;
    rxn__link_compiler(link);
    rxn__link_arguments(link, "-o");
    rxn__link_argument(link, build->outputs[0].beside);
    rxn__link_everything(link);
    rxn__link_libraries(link);
    if (build->options->link_statically)
        rxn__link_arguments(link, "-static");
    const bool good = rxn__link_run(link) && rxn__build_commit(build, &build->outputs[0]);
    return good ? RXN_OK : RXN_ERROR_INPUT;
}

/* ---- the call ---------------------------------------------------------------------------------- */

static RxnStatus
make(void *context)
{
    Build *build = context;
    Engine *engine = &build->part.engine;
    RxnStatus status = take_options(&build->job, engine, build->options);
    if (status == RXN_OK && !build->path)
        status = rxn__api_refuse(engine, "there is no file to write to");
    if (status != RXN_OK)
        return status;
    build->job.file = build->part.file;
    engine->session.host = &rxn__target_ahead;
    engine->session.gpu = &rxn__target_ahead_cuda;
    engine->session.target_context = &build->job.ahead;
    status = rxn__build_kernels(build);
    if (status != RXN_OK)
        return status;
    build->built.kernels = build->job.ahead.kernels.count;
    build->built.gpu_kernels = build->job.ahead.cuda_kernels.count;
    return build->options->kind == RXN_BUILD_LIBRARY ? rxn__build_library(build)
                                                     : build_program(build);
}

/* Once all has been told, which may name things of it. */
static void
put_away(Build *build)
{
    for (u32 k = 0; k < COUNT_OF(build->outputs); k++)
        rxn__whole_file_drop(&build->outputs[k]);
    rxn__link_end(&build->link);
    rxn__fit_put_away(&build->fit);
    if (build->grad.pipeline.arena.memory)
        rxn__pipeline_close(&build->grad.pipeline);
    if (build->pipeline.arena.memory)
        rxn__pipeline_close(&build->pipeline);
    rxn__part_close(&build->part);
}

RxnStatus
rxn_model_build(RxnModel *model, const RxnBuildOptions *options, const char *path,
                RxnBuilt *ret_built, RxnError **ret_error)
{
    const RxnBuildOptions usual = rxn_build_options();
    Build build = {.options = options ? options : &usual, .path = path};
    RxnStatus status = rxn__part_open(&build.part, model);
    build.link.engine = &build.part.engine;
    if (status == RXN_OK)
        status = rxn__api_guard(&build.part.engine, make, &build);
    status = rxn__part_finish(&build.part, status, ret_error);
    if (ret_built)
        *ret_built = status == RXN_OK ? build.built : (RxnBuilt){0};
    put_away(&build);
    return status;
}
