/* library.c: what the library that `rxn build --emit lib` makes of a model does: opens it, runs ensembles, differentiates (and
 * fits: library_fit.c). The generated functions (compiler/ahead/library.c) call these, which are in librxn_model.a as programs'
 * commands are.
 *
 * A library prints nothing, catches no signal and keeps nothing but what it is handed back; several may be open at once,
 * each used by one thread at a time.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/grad.h"
#include "compiler/engine/library.h"

struct RxnLibrary {
    Engine engine;
    Pipeline pipeline;
    RxnKernel kernel;
    ModelValues values;
    double *defaults; /* [param_count] */
    KirType precision;
    bool has_gradient; /* the runner is open */
    Grad grad;
    GradRunner runner;
    const volatile int *cancel; /* of the call that runs, or NULL */
    char *error;
};

static const char no_memory[] = "out of memory";

const RxnProgram *
rxn__library_program(const struct RxnLibrary *library)
{
    return library->engine.built;
}

/* ---- errors ------------------------------------------------------------------------------------ */

int
rxn__library_end(struct RxnLibrary *library, RxnStatus status, char *message)
{
    size_t length = message ? strlen(message) : 0;
    while (length > 0 && message[length - 1] == '\n')
        message[--length] = '\0';
    free(library->error);
    library->error = message;
    return (int)status;
}

static RxnStatus
render(void *context)
{
    struct RxnLibrary *library = context;
    Diagnostics *diagnostics = &library->engine.session.diagnostics;
    Text text;
    rxn__text_init(&text, &library->engine.session.arena);
    rxn__diagnostics_render(diagnostics, &text);
    if (library->engine.internal_error)
        rxn__text_printf(&text, "internal error: %s\n", library->engine.internal_error);
    rxn__library_end(library, RXN_OK, strdup(text.data));
    diagnostics->list.count = diagnostics->error_count = diagnostics->warning_count = 0;
    diagnostics->dropped = diagnostics->dropped_warnings = 0;
    return RXN_OK;
}

/* The numbers of RxnStatus; the messages become the library's error. */
static int
finish(struct RxnLibrary *library, RxnStatus status)
{
    if (rxn__session_guard(&library->engine.session, render, library) != RXN_OK ||
        status == RXN_ERROR_MEMORY)
        return rxn__library_end(library, RXN_ERROR_MEMORY, NULL);
    return (int)status;
}

const char *
rxn__library_error(const struct RxnLibrary *library)
{
    return library->error ? library->error : no_memory;
}

static RxnStatus
refuse(struct RxnLibrary *library, const char *what)
{
    rxn__engine_error(&library->engine, "%s", what);
    return RXN_ERROR_USAGE;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static RxnStatus
load(void *context)
{
    struct RxnLibrary *library = context;
    Engine *engine = &library->engine;
    PipelineRequest request = {.loader = &engine->loader,
                               .goal = PIPELINE_COMPILED,
                               .method = "auto",
                               .device = "cpu",
                               .precision = library->precision};
    if (!rxn__load_model(engine, NULL, &request.file))
        return RXN_ERROR_INPUT;
    library->grad.file = request.file;
    RxnStatus status = rxn__pipeline_run(&engine->session, &request, &library->pipeline);
    engine->internal_error = library->pipeline.internal_error;
    if (status != RXN_OK)
        return status;
    rxn__bind_own(engine, &library->pipeline, &library->values);
    u32 count = library->pipeline.network->param_count;
    library->defaults = NEW_ARRAY(&library->pipeline.arena, double, (size_t)count + 1);
    memcpy(library->defaults, library->values.params, count * sizeof(double));
    return rxn__describe_kernel(engine, &library->pipeline, &library->kernel);
}

/* Nobody looks on; the caller may end it. */
static const volatile int *
begin_watch(void *context, bool counted, bool quiet)
{
    (void)counted;
    (void)quiet;
    return ((struct RxnLibrary *)context)->cancel;
}

struct RxnLibrary *
rxn__library_open(const RxnProgram *program, int single_precision, char *error,
                  unsigned long long size)
{
    struct RxnLibrary *library = calloc(1, sizeof *library);
    RxnStatus status = RXN_ERROR_MEMORY;
    if (library) {
        library->precision = single_precision ? KIR_F32 : KIR_F64;
        status = rxn__engine_open(&library->engine, 0);
        library->engine.watch = (Watch){.begin = begin_watch, .context = library};
        library->engine.is_library = true;
    }
    if (status == RXN_OK) {
        rxn__embedded_init(&library->engine, program);
        status = rxn__session_guard(&library->engine.session, load, library);
        status = (RxnStatus)finish(library, status);
    }
    if (status == RXN_OK)
        return library;
    if (size > 0)
        snprintf(error, size, "%s", library ? rxn__library_error(library) : no_memory);
    rxn__library_close(library);
    return NULL;
}

void
rxn__library_close(struct RxnLibrary *library)
{
    if (!library)
        return;
    rxn__grad_runner_close(&library->runner);
    if (library->grad.pipeline.arena.memory)
        rxn__pipeline_close(&library->grad.pipeline);
    if (library->pipeline.arena.memory)
        rxn__pipeline_close(&library->pipeline);
    rxn__engine_close(&library->engine);
    free(library->error);
    free(library);
}

void
rxn__library_parameters(const struct RxnLibrary *library, double *parameters)
{
    memcpy(parameters, library->defaults,
           library->pipeline.network->param_count * sizeof *parameters);
}

/* ---- a request --------------------------------------------------------------------------------- */

static RxnStatus
check_bounds(struct RxnLibrary *library, const ModelValues *values)
{
    const Network *network = library->pipeline.network;
    Arena *arena = &library->engine.session.arena;
    for (u32 p = 0; p < network->params.count; p++) {
        const Param *param = &network->params.items[p];
        u32 count = (u32)rxn__shape_count(&param->shape);
        for (u32 k = param->flat; param->has_bounds && k < param->flat + count; k++) {
            double value = values->params[k];
            if (value >= param->low && value <= param->high)
                continue;
            Text text;
            rxn__text_init(&text, arena);
            rxn__bounds_text(&text, rxn__param_label(network, k, arena), value, param->low,
                             param->high);
            return refuse(library, text.data);
        }
    }
    return RXN_OK;
}

/* What the request says, into the values that kernels read. */
static RxnStatus
take_values(struct RxnLibrary *library, const RxnLibraryRequest *request, ModelValues *values)
{
    const Network *network = library->pipeline.network;
    const double *given = request->parameters ? request->parameters : library->defaults;
    Text text;
    if (request->trajectories == 0)
        return refuse(library, "no trajectories are wanted");
    rxn__text_init(&text, &library->engine.session.arena);
    for (u32 k = 0; k < network->param_count; k++) {
        values->params[k] = given[k];
        if (isfinite(given[k]))
            continue;
        rxn__text_printf(&text, "the parameter '%s' has no value",
                         rxn__param_label(network, k, &library->engine.session.arena));
        return refuse(library, text.data);
    }
    if (network->input_count > 0 && !request->inputs)
        return refuse(library, "the model's inputs have no values");
    for (u32 k = 0; k < network->input_count; k++)
        values->inputs[k] = request->inputs[k];
    return check_bounds(library, values);
}

typedef struct Call {
    struct RxnLibrary *library;
    const RxnLibraryRequest *request;
    double *mean, *sd, *samples;
    double *value, *value_se, *gradient, *se;
    Pipeline scratch; /* that of the library, with an arena of this call's own */
    size_t row;
} Call;

static bool
take_rows(void *context, uint64_t first, uint64_t count, const double *rows, const uint64_t *events)
{
    Call *call = context;
    (void)events;
    memcpy(call->samples + (first - call->request->first) * call->row, rows,
           count * call->row * sizeof *rows);
    return true;
}

static RxnStatus
take_times(Call *call, SampleTimes *ret_times)
{
    const RxnLibraryRequest *request = call->request;
    double *times = NEW_ARRAY(&call->scratch.arena, double, (size_t)request->time_count + 1);
    if (request->time_count == 0 || !request->times)
        return refuse(call->library, "no times are given");
    for (u32 k = 0; k < request->time_count; k++) {
        times[k] = request->times[k];
        if (!(times[k] >= (k ? times[k - 1] : 0)) || !isfinite(times[k]))
            return refuse(call->library, "times have to be finite, at least 0, and to ascend");
    }
    times[request->time_count] = INFINITY;
    *ret_times = (SampleTimes){times, request->time_count, times[request->time_count - 1], 0};
    return RXN_OK;
}

static RxnStatus
run(void *context)
{
    Call *call = context;
    struct RxnLibrary *library = call->library;
    const RxnLibraryRequest *request = call->request;
    SampleTimes times;
    RxnStatus status = take_values(library, request, &library->values);
    if (status == RXN_OK)
        status = take_times(call, &times);
    if (status != RXN_OK)
        return status;
    Launch launch = {.pipeline = &call->scratch,
                     .values = &library->values,
                     .times = &times,
                     .precision = library->precision,
                     .seed = request->seed,
                     .step_limit = UINT64_C(1) << 47};
    u32 count, columns = library->pipeline.network->column_count;
    RxnBinding *bindings = rxn__launch_bindings(&launch, &count);
    call->row = (size_t)times.count * columns;
    RxnEnsemble ensemble = {.kernel = &library->kernel,
                            .bindings = bindings,
                            .binding_count = count,
                            .first = request->first,
                            .trajectories = request->trajectories,
                            .sample_count = times.count,
                            .columns = columns,
                            .threads = request->threads,
                            .statistics = call->mean || call->sd,
                            .rows = call->samples ? take_rows : NULL,
                            .rows_context = call,
                            .cancel = request->cancel};
    RxnEnsembleResult result;
    RxnOutcome outcome = rxn__ensemble_run(&ensemble, &result);
    status =
        rxn__launch_outcome(&library->engine, &launch, outcome, &result, request->trajectories);
    for (size_t k = 0; k < call->row && status == RXN_OK; k++) {
        if (call->mean)
            call->mean[k] = result.mean[k];
        if (call->sd)
            call->sd[k] = rxn__ensemble_sd(&result, k);
    }
    rxn__ensemble_release(&result);
    return status;
}

int
rxn__library_run(struct RxnLibrary *library, const RxnLibraryRequest *request, double *mean,
                 double *sd, double *samples)
{
    Call call = {library, request, mean, sd, samples, .scratch = library->pipeline};
    rxn__arena_init(&call.scratch.arena, library->engine.session.memory);
    RxnStatus status = rxn__session_guard(&library->engine.session, run, &call);
    int code = finish(library, status);
    rxn__arena_release(&call.scratch.arena);
    return code;
}

/* ---- derivatives ------------------------------------------------------------------------------- */

/* As `rxn grad` does it, with what the library was built for. */
static RxnStatus
open_gradient(Call *call)
{
    struct RxnLibrary *library = call->library;
    const RxnProgram *built = library->engine.built;
    Grad *grad = &library->grad;
    u32 file = grad->file;
    if (built->of_count == 0)
        return refuse(library, "this library was not built for derivatives: rxn build --of EXPR");
    *grad = (Grad){.engine = &library->engine, .file = file};
    rxn__grad_defaults(&grad->options);
    if (!rxn__grad_check_options(grad))
        return RXN_ERROR_USAGE;
    grad->options.ensemble.device = "cpu";
    grad->options.ensemble.quiet = true;
    grad->options.ensemble.trajectories = call->request->trajectories;
    grad->stages = (PipelineRequest){.file = file,
                                     .loader = &library->engine.loader,
                                     .device = "cpu",
                                     .precision = library->precision};
    RxnStatus status = rxn__grad_network(grad);
    if (status != RXN_OK)
        return status;
    grad->stages.goal = PIPELINE_COMPILED;
    rxn__bind_own(&library->engine, &grad->pipeline, &grad->values);
    status = take_values(library, call->request, &grad->values);
    if (status != RXN_OK)
        return status;
    rxn__grad_times(grad);
    status = rxn__grad_choose(grad);
    if (status != RXN_OK)
        return status;
    rxn__grad_outputs(grad);
    const Estimator *estimator = NULL;
    for (u32 k = 0; k < grad->estimators.count && !estimator; k++)
        estimator = rxn__estimator_find(grad->estimators.items[k]);
    if (!estimator)
        return refuse(library, "a library takes no derivatives from the master equation");
    return rxn__grad_runner_open(grad, estimator, call->request->seed, &library->runner);
}

static RxnStatus
differentiate(void *context)
{
    Call *call = context;
    struct RxnLibrary *library = call->library;
    Grad *grad = &library->grad;
    GradRunner *runner = &library->runner;
    u64 trajectories = call->request->trajectories;
    RxnStatus status;
    if (!library->has_gradient) {
        if (grad->pipeline.arena.memory) { /* of a call before, which failed */
            rxn__grad_runner_close(runner);
            rxn__pipeline_close(&grad->pipeline);
            grad->pipeline = (Pipeline){0};
        }
        status = open_gradient(call);
        library->has_gradient = status == RXN_OK;
    } else {
        status = take_values(library, call->request, &grad->values);
        if (status == RXN_OK && runner->has_pilot) {
            runner->pilot_program.trajectories =
                (u32)rxn__pilot_size(runner->pilot_program.plan, trajectories);
            status = rxn__grad_runner_refresh(runner, call->request->seed);
        }
    }
    if (status != RXN_OK)
        return status;
    grad->options.ensemble.threads = call->request->threads;
    GradEvaluation evaluation = {
        .seed = call->request->seed, .trajectories = trajectories, .name = ""};
    status = rxn__grad_runner_evaluate(runner, &evaluation);
    if (status != RXN_OK)
        return status;
    const RxnGradientResult *result = evaluation.result;
    size_t cells = (size_t)grad->output_count * grad->request.wrt_count;
    for (u32 o = 0; o < grad->output_count; o++) {
        if (call->value)
            call->value[o] = result->value[o];
        if (call->value_se)
            call->value_se[o] = result->value_se[o];
    }
    for (size_t c = 0; c < cells; c++) {
        if (call->gradient)
            call->gradient[c] = result->gradient[c];
        if (call->se)
            call->se[c] = result->sd[c] / sqrt((double)trajectories);
    }
    return RXN_OK;
}

int
rxn__library_gradient(struct RxnLibrary *library, const RxnLibraryRequest *request, double *value,
                      double *value_se, double *gradient, double *se)
{
    Call call = {library, request, .value = value, .value_se = value_se, .gradient = gradient,
                 .se = se};
    library->cancel = request->cancel;
    RxnStatus status = rxn__session_guard(&library->engine.session, differentiate, &call);
    library->cancel = NULL;
    return finish(library, status);
}
