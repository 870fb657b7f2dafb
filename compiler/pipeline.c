/* pipeline.c: the whole way of a model, in two functions: make_network and run_stages.
 *
 *     text ─ parse, elaborate ─▶ network ─ passes ─▶ network ─ method ─▶ KIR ─ passes ─▶ KIR ─ target ─▶ code
 *
 * Each stage checks what it made; an error of the user's is in the diagnostics, an error of ours is a
 * text in pipeline->internal_error that names the stage.
 */
#include "compiler/pipeline.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

/* ---- session ----------------------------------------------------------------------------------- */

RxnStatus
rxn__session_guard(Session *session, RxnStatus (*body)(void *context), void *context)
{
    return rxn__memory_guard(session->memory, body, context);
}

static RxnStatus
open_session(void *context)
{
    Session *session = context;
    rxn__names_init(&session->names, &session->arena);
    if (!session->sources.arena) /* they are not another's */
        rxn__sources_init(&session->sources, &session->arena);
    rxn__diagnostics_init(&session->diagnostics, &session->arena, &session->sources);
    return RXN_OK;
}

RxnStatus
rxn__session_open(Session *session, size_t limit)
{
    *session = (Session){.memory = &session->own_memory, .own_memory = {.limit = limit}};
    rxn__arena_init(&session->arena, session->memory);
    return rxn__session_guard(session, open_session, session);
}

RxnStatus
rxn__session_open_within(Session *session, Session *outer)
{
    *session = (Session){.memory = outer->memory, .sources = outer->sources};
    rxn__arena_init(&session->arena, session->memory);
    return rxn__session_guard(session, open_session, session);
}

void
rxn__session_close(Session *session)
{
    rxn__arena_release(&session->arena);
}

const Target *
rxn__session_host(const Session *session)
{
    return session->host ? session->host : rxn__target_find("llvm");
}

const Target *
rxn__session_gpu(const Session *session)
{
    return session->gpu ? session->gpu : rxn__target_find("cuda");
}

/* ---- trace ------------------------------------------------------------------------------------- */

typedef struct Stages {
    Session *session;
    const PipelineRequest *request;
    Pipeline *pipeline;
    Arena scratch;
    Text before; /* the text of the stage before, to see whether a pass changed something */
} Stages;

static bool
is_traced(const Stages *stages)
{
    return stages->request->trace != NULL;
}

static void
trace(Stages *stages, const char *stage, const char *pass, PipelineForm form, const Text *text)
{
    if (text->length == stages->before.length && text->length > 0 &&
        memcmp(text->data, stages->before.data, text->length) == 0)
        return;
    static const char *const suffixes[] = {"txt", "txt", "kir", "ll"};
    char name[80];
    snprintf(name, sizeof name, "%s%s%s", stage, pass ? "-" : "", pass ? pass : "");
    stages->request->trace(stages->request->trace_context, name, suffixes[form], form, text->data,
                           text->length);
    stages->before = *text;
}

static void
trace_ast(Stages *stages)
{
    Text text;
    rxn__text_init(&text, &stages->scratch);
    rxn__ast_print(stages->pipeline->ast, &stages->session->sources, &text);
    trace(stages, "ast", NULL, FORM_AST, &text);
}

static void
trace_network(void *context, const char *pass, const Network *network)
{
    Stages *stages = context;
    Text text;
    rxn__text_init(&text, &stages->scratch);
    rxn__network_print(network, &text);
    trace(stages, "network", pass, FORM_NETWORK, &text);
}

static void
trace_kernel(void *context, const char *pass, const KirKernel *kernel)
{
    Stages *stages = context;
    Text text;
    rxn__text_init(&text, &stages->scratch);
    rxn__kir_print(kernel, &text);
    trace(stages, "kernel", pass, FORM_KIR, &text);
}

static RxnStatus
internal_error(Stages *stages, const char *stage, const char *what)
{
    Text text;
    rxn__text_init(&text, &stages->pipeline->arena);
    rxn__text_printf(&text, "%s: %s", stage, what);
    stages->pipeline->internal_error = text.data;
    return RXN_ERROR_INTERNAL;
}

/* As TargetOptions.locate; context: the session. */
static const char *
locate(void *context, u32 origin, u32 *ret_line)
{
    Session *session = context;
    SourcePlace place = rxn__sources_locate(&session->sources, origin);
    if (!place.file)
        return NULL;
    *ret_line = place.line;
    const char *folder = strrchr(place.file->path, '/');
    return folder ? folder + 1 : place.file->path;
}

/* The kernel for the CPU, where this build has LLVM, and for GPUs, which needs nothing. */
static RxnStatus
trace_targets(Stages *stages)
{
    TargetOptions options = stages->request->target;
    options.locate = locate;
    options.locate_context = stages->session;
    options.differentiates = stages->request->objective != NULL;
    static const struct {
        const char *target, *stage, *suffix;
        TargetForm form;
    } forms[] = {
        {"llvm", "kernel", "ll", TARGET_IR},
        {"llvm", "kernel-optimized", "ll", TARGET_IR_OPTIMIZED},
        {"llvm", "kernel", "s", TARGET_ASSEMBLY},
        {"cuda", "kernel", "cu", TARGET_IR},
    };
    for (u32 k = 0; k < COUNT_OF(forms); k++) {
        const Target *target = rxn__target_find(forms[k].target);
        if (!target)
            continue;
        Text text;
        const char *error = NULL;
        rxn__text_init(&text, &stages->scratch);
        RxnStatus status = target->emit(stages->pipeline->kernel.kernel, &options, forms[k].form,
                                        &stages->scratch, &text, &error);
        if (status != RXN_OK)
            return internal_error(stages, target->name, error ? error : "no message");
        stages->request->trace(stages->request->trace_context, forms[k].stage, forms[k].suffix,
                               FORM_TARGET, text.data, text.length);
    }
    return RXN_OK;
}

/* ---- choices ----------------------------------------------------------------------------------- */

static RxnStatus
choose_method(Stages *stages)
{
    Diagnostics *diagnostics = &stages->session->diagnostics;
    Pipeline *pipeline = stages->pipeline;
    const char *name = stages->request->method;
    Text why;
    rxn__text_init(&why, &pipeline->arena);
    const char *own = stages->session->auto_method;
    if (strcmp(name, "auto") == 0 && own && strcmp(own, "auto") != 0) {
        name = own;
        pipeline->method_why = "the program was built with it";
    }
    if (strcmp(name, "auto") == 0) {
        pipeline->method = rxn__method_choose(pipeline->network, &why);
        pipeline->method_why = why.data;
        if (pipeline->method)
            return RXN_OK;
        rxn__error(diagnostics, (Span){0, 0}, "no method can simulate this model: %s", why.data);
        return RXN_ERROR_INPUT;
    }
    pipeline->method = rxn__method_find(name);
    if (strcmp(name, "cme") == 0) { /* who may run it does not come here */
        rxn__error(
            diagnostics, (Span){0, 0},
            "the method 'cme' solves equations: it has no kernel that could be built or shown");
        return RXN_ERROR_USAGE;
    }
    if (!pipeline->method) {
        Text list;
        rxn__text_init(&list, &pipeline->arena);
        for (const Method *const *m = rxn__methods; *m; m++)
            rxn__text_printf(&list, ", %s", (*m)->name);
        rxn__error(diagnostics, (Span){0, 0}, "there is no method '%s'",
                   rxn__shown(&pipeline->arena, name, strlen(name)));
        rxn__note(diagnostics, (Span){0, 0}, "methods: auto, cme%s", list.data);
        return RXN_ERROR_USAGE;
    }
    if (pipeline->method->applies(pipeline->network, &why))
        return RXN_OK;
    rxn__error(diagnostics, (Span){0, 0}, "the method '%s' cannot simulate this model: %s", name,
               why.data);
    Text unused;
    rxn__text_init(&unused, &pipeline->arena);
    if (rxn__method_choose(pipeline->network, &unused))
        rxn__note(diagnostics, (Span){0, 0}, "--method auto takes one that can");
    return RXN_ERROR_INPUT;
}

/* *ret_target: NULL for the interpreter. */
static RxnStatus
choose_target(Stages *stages, const Target **ret_target)
{
    Diagnostics *diagnostics = &stages->session->diagnostics;
    const char *device = stages->request->device;
    *ret_target = NULL;
    if (strcmp(device, "interpreter") == 0)
        return RXN_OK;
    if (strcmp(device, "cpu") == 0) {
        *ret_target = rxn__session_host(stages->session);
        if (*ret_target)
            return RXN_OK;
        rxn__error(diagnostics, (Span){0, 0}, "this build has no target for the device 'cpu'");
        rxn__note(diagnostics, (Span){0, 0},
                  "it was built without LLVM; configure it with -Dllvm=enabled");
        return RXN_ERROR_USAGE;
    }
    if (strcmp(device, "cuda") == 0) {
        *ret_target = rxn__session_gpu(stages->session);
        if (*ret_target)
            return RXN_OK;
        rxn__error(diagnostics, (Span){0, 0}, "this build has no target for the device 'cuda'");
        rxn__note(diagnostics, (Span){0, 0}, "--device cpu runs the model on the processor");
        return RXN_ERROR_USAGE;
    }
    rxn__error(diagnostics, (Span){0, 0}, "there is no device '%s'",
               rxn__shown(stages->session->diagnostics.arena, device, strlen(device)));
    rxn__note(diagnostics, (Span){0, 0}, "devices: auto, cpu, cuda, cuda:0,1");
    return RXN_ERROR_USAGE;
}

/* From here on a few dozen milliseconds more for the compiler come back, if a trajectory takes one. */
enum { MANY_TRAJECTORIES = 128 };

/* Lanes that no trajectory will ever fill only make each step dearer. Results do not depend on it. */
static TargetOptions
target_options(const Stages *stages)
{
    TargetOptions options = stages->request->target;
    options.locate = locate;
    options.locate_context = stages->session;
    options.context = stages->session->target_context;
    u64 trajectories = stages->request->trajectories;
    bool few = trajectories > 0 && trajectories <= 4;
    u32 most = stages->pipeline->kernel.kernel->lanes;
    if (few && options.lanes == 0 && (most == 0 || trajectories < most))
        options.lanes = trajectories == 3 ? 4 : (u32)trajectories;
    options.differentiates = stages->request->objective != NULL;
    options.many = trajectories >= MANY_TRAJECTORIES && !options.differentiates;
    return options;
}

/* ---- the way ----------------------------------------------------------------------------------- */

/* From a kernel as its method wrote it to one that runs, as far as the goal says. */
static RxnStatus
finish_kernel(Stages *stages, const Target *target)
{
    Session *session = stages->session;
    const PipelineRequest *request = stages->request;
    Pipeline *pipeline = stages->pipeline;
    const char *broken;
    if (is_traced(stages))
        trace_kernel(stages, NULL, pipeline->kernel.kernel);
    if (request->goal == PIPELINE_KERNEL)
        return RXN_OK;

    /* KIR to KIR: fold, cse, dce, hoist, expand the mathematical functions. */
    broken = rxn__kir_optimize(pipeline->kernel.kernel, &stages->scratch,
                               is_traced(stages) ? trace_kernel : NULL, stages);
    if (broken)
        return internal_error(stages, "kernel passes", broken);
    if (is_traced(stages)) {
        RxnStatus status = trace_targets(stages);
        if (status != RXN_OK)
            return status;
    }
    if (request->goal == PIPELINE_OPTIMIZED)
        return RXN_OK;

    /* KIR to machine code. */
    if (!target) {
        pipeline->interpreted = pipeline->kernel.kernel;
        return RXN_OK;
    }
    TargetOptions target_wishes = target_options(stages);
    broken = NULL;
    const KirKernel *kernel = pipeline->kernel.kernel;
    RxnStatus status = request->compile ? request->compile(request->compile_context, target, kernel,
                                                           &target_wishes, &pipeline->arena,
                                                           &pipeline->compiled, &broken)
                                        : target->compile(kernel, &target_wishes, &pipeline->arena,
                                                          &pipeline->compiled, &broken);
    if (status == RXN_ERROR_INPUT || status == RXN_ERROR_USAGE)
        rxn__error(&session->diagnostics, (Span){0, 0}, "%s", broken ? broken : "no message");
    else if (status != RXN_OK && status != RXN_ERROR_MEMORY)
        return internal_error(stages, target->name, broken ? broken : "no message");
    bool has_code = pipeline->compiled.run || pipeline->compiled.cuda;
    pipeline->interpreted = has_code ? NULL : pipeline->kernel.kernel;
    pipeline->why_interpreted = has_code ? NULL : broken;
    return status;
}

static RxnStatus
make_network(Stages *stages)
{
    Session *session = stages->session;
    const PipelineRequest *request = stages->request;
    Pipeline *pipeline = stages->pipeline;

    /* Text to AST to network: names, shapes, types, bounds. */
    bool objective_is_wrong = false;
    SemaInput input = {.arena = &pipeline->arena,
                       .names = &session->names,
                       .sources = &session->sources,
                       .diagnostics = &session->diagnostics,
                       .loader = request->loader,
                       .objective = request->objective,
                       .fit = request->fit,
                       .open_numbers = request->open_numbers,
                       .objective_is_wrong = &objective_is_wrong};
    pipeline->network = rxn__elaborate(&input, request->file, &pipeline->ast);
    if (is_traced(stages) && pipeline->ast)
        trace_ast(stages);
    if (objective_is_wrong)
        return RXN_ERROR_USAGE;
    if (!pipeline->network)
        return session->diagnostics.error_count
                   ? RXN_ERROR_INPUT
                   : internal_error(stages, "sema", "no network and no error");
    if (is_traced(stages))
        trace_network(stages, NULL, pipeline->network);

    /* Network to network: share, hoist, windows, bounds, conserve, classify. */
    const char *broken = NULL;
    if (!rxn__network_passes(pipeline->network, &session->diagnostics, &stages->scratch,
                             is_traced(stages) ? trace_network : NULL, stages, &broken))
        return broken ? internal_error(stages, "network passes", broken) : RXN_ERROR_INPUT;
    return RXN_OK;
}

static RxnStatus
run_stages(void *context)
{
    Stages *stages = context;
    const PipelineRequest *request = stages->request;
    Pipeline *pipeline = stages->pipeline;
    RxnStatus status = RXN_OK;
    if (request->front) {
        pipeline->ast = request->front->ast;
        pipeline->network = request->front->network;
    } else {
        status = make_network(stages);
    }
    if (status != RXN_OK || request->goal == PIPELINE_NETWORK)
        return status;

    /* Network to KIR: the method writes the program of one trajectory. */
    status = choose_method(stages);
    if (status != RXN_OK)
        return status;
    const Target *target = NULL;
    status = request->goal == PIPELINE_KERNEL ? RXN_OK : choose_target(stages, &target);
    if (status != RXN_OK)
        return status;
    MethodOptions options = {.precision = request->precision};
    const char *broken = pipeline->method->write(pipeline->network, &options, &pipeline->arena,
                                                 &stages->session->names, &pipeline->kernel);
    if (broken)
        return internal_error(stages, pipeline->method->name, broken);
    return finish_kernel(stages, target);
}

RxnStatus
rxn__pipeline_run(Session *session, const PipelineRequest *request, Pipeline *ret_pipeline)
{
    *ret_pipeline = (Pipeline){0};
    rxn__arena_init(&ret_pipeline->arena, session->memory);
    Stages stages = {.session = session, .request = request, .pipeline = ret_pipeline};
    rxn__arena_init(&stages.scratch, session->memory);
    RxnStatus status = rxn__session_guard(session, run_stages, &stages);
    rxn__arena_release(&stages.scratch);
    return status;
}

/* ---- gradients --------------------------------------------------------------------------------- */

typedef struct GradientStages {
    Stages stages;
    const Estimator *estimator;
    const GradientRequest *gradient;
} GradientStages;

static RxnStatus
run_gradient_stages(void *context)
{
    GradientStages *gradient = context;
    Stages *stages = &gradient->stages;
    Pipeline *pipeline = stages->pipeline;
    const Target *target = NULL;
    if (stages->request->goal != PIPELINE_KERNEL) {
        RxnStatus status = choose_target(stages, &target);
        if (status != RXN_OK)
            return status;
    }
    pipeline->gradient = (GradientKernel){0};
    pipeline->compiled = (CompiledKernel){0};
    pipeline->interpreted = NULL;
    const char *broken = gradient->estimator->write(gradient->gradient, &pipeline->arena,
                                                    &stages->session->names, &pipeline->gradient);
    if (broken)
        return internal_error(stages, gradient->estimator->name, broken);
    pipeline->kernel = pipeline->gradient.kernel;
    return finish_kernel(stages, target);
}

RxnStatus
rxn__pipeline_gradient(Session *session, const PipelineRequest *request, const Estimator *estimator,
                       const GradientRequest *gradient, Pipeline *pipeline)
{
    GradientStages stages = {.stages = {session, request, pipeline, {0}, {0}},
                             .estimator = estimator,
                             .gradient = gradient};
    rxn__arena_init(&stages.stages.scratch, session->memory);
    RxnStatus status = rxn__session_guard(session, run_gradient_stages, &stages);
    rxn__arena_release(&stages.stages.scratch);
    return status;
}

void
rxn__pipeline_close(Pipeline *pipeline)
{
    rxn__arena_release(&pipeline->arena);
}
