/* api_run.c: simulators: a kernel that is compiled once, and ensembles of it at any values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/api.h"
#include "compiler/engine/code.h"
#include "compiler/engine/pilot.h"
#include "compiler/engine/run_cme.h"
#include "runtime/report.h"

enum { MANY = 1 << 20 }; /* trajectories, where it is not said how many there will be */

struct RxnSimulator {
    ApiPart part;
    EnsembleOptions ensemble;
    KirType precision;
    bool is_cme, is_controlled;
    u64 trajectories; /* that runs are about to have; 0: many */
    Pipeline pipeline;
    RxnKernel kernel;
    CodeShelf code;
    char isa[32]; /* with control variates: of the last run */
    double seconds_compile;
};

/* ---- options ----------------------------------------------------------------------------------- */

bool
rxn_method(size_t k, const char **ret_name, const char **ret_summary)
{
    size_t count = 0;
    while (rxn__methods[count])
        count++;
    if (k > count)
        return false;
    if (ret_name)
        *ret_name = k < count ? rxn__methods[k]->name : "cme";
    if (ret_summary)
        *ret_summary = k < count ? rxn__methods[k]->summary
                                 : "the master equation: no noise, for small models";
    return true;
}

RxnSimulatorOptions
rxn_simulator_options(void)
{
    return (RxnSimulatorOptions){.method = "auto", .device = "cpu", .precision = "f64"};
}

static const char *
copy(ApiPart *part, const char *text, const char *otherwise)
{
    text = text ? text : otherwise;
    return text ? rxn__arena_copy_text(&part->engine.session.arena, text, strlen(text)) : NULL;
}

/* What is asked for, by the two of them, as the engine has it; run: or NULL. */
typedef struct Wanted {
    const RxnSimulatorOptions *kernel;
    const RxnRunOptions *run;
} Wanted;

static RxnStatus
check_options(Engine *engine, const void *options)
{
    const Wanted *wanted = options;
    EnsembleOptions o = rxn__ensemble_defaults();
    o.device = wanted->kernel->device;
    o.precision = wanted->kernel->precision ? wanted->kernel->precision : o.precision;
    o.lanes = wanted->kernel->lanes;
    if (wanted->run) {
        o.trajectories = wanted->run->trajectories;
        o.threads = wanted->run->threads;
        o.step_limit = wanted->run->step_limit;
    }
    return rxn__check_ensemble(engine, &o) ? RXN_OK : RXN_ERROR_USAGE;
}

RxnStatus
rxn_simulator_check(const RxnSimulatorOptions *options, const RxnRunOptions *run,
                    RxnError **ret_error)
{
    const RxnSimulatorOptions usual = rxn_simulator_options();
    const Wanted wanted = {options ? options : &usual, run};
    return rxn__api_check(NULL, check_options, &wanted, ret_error);
}

RxnStatus
rxn__api_kernel_options(ApiPart *part, const RxnSimulatorOptions *options, EnsembleOptions *o)
{
    Engine *engine = &part->engine;
    *o = rxn__ensemble_defaults();
    o->device = copy(part, options->device, NULL);
    o->precision = copy(part, options->precision, "f64");
    o->cache = copy(part, options->cache, NULL);
    o->lanes = options->lanes;
    o->trajectories = options->trajectories ? options->trajectories : MANY;
    o->quiet = true;
    if (!rxn__check_ensemble(engine, o))
        return RXN_ERROR_USAGE;
    return rxn__device_open(engine, o);
}

RxnStatus
rxn__api_check_shown(Engine *engine, const RxnSimulatorOptions *options)
{
    if (options->control_variates)
        return rxn__api_refuse(engine,
                               "kernels with control variates are made for the times of a run: "
                               "there is none to show without one");
    if (options->editable)
        return rxn__api_refuse(
            engine, "a kernel that is shown has the numbers of the text in it: 'editable' "
                    "is for what is run");
    return RXN_OK;
}

RxnStatus
rxn__api_check_values(ApiPart *part, const RxnValues *values)
{
    if (!values)
        return rxn__api_refuse(&part->engine, "there are no values");
    if (values->model != part->model)
        return rxn__api_refuse(&part->engine, "these values are of another model");
    return RXN_OK;
}

const char *
rxn__api_bytes(Arena *arena, u64 bytes)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "%llu", (unsigned long long)bytes);
    return text.data;
}

RxnRunOptions
rxn_run_options(void)
{
    const EnsembleOptions usual = rxn__ensemble_defaults();
    return (RxnRunOptions){.trajectories = 1000,
                           .seed = usual.seed,
                           .step_limit = usual.step_limit,
                           .until = NAN,
                           .every = NAN,
                           .statistics = true};
}

RxnStatus
rxn__api_run_options(ApiPart *part, const RxnRunOptions *options, EnsembleOptions *ensemble)
{
    /* The device was settled when the kernel was compiled. */
    EnsembleOptions checked = *ensemble;
    checked.trajectories = options->trajectories;
    checked.seed = options->seed;
    checked.threads = options->threads;
    checked.step_limit = options->step_limit;
    checked.quiet = options->progress == NULL;
    if (!rxn__check_ensemble(&part->engine, &checked))
        return RXN_ERROR_USAGE;
    checked.device = ensemble->device;
    checked.device_wish = ensemble->device_wish;
    *ensemble = checked;
    return RXN_OK;
}

/* ---- the kernel -------------------------------------------------------------------------------- */

typedef struct Making {
    RxnSimulator *simulator;
    const RxnSimulatorOptions *options;
} Making;

static RxnStatus
check_cme(RxnSimulator *simulator)
{
    Engine *engine = &simulator->part.engine;
    const EnsembleOptions *o = &simulator->ensemble;
    if (strcmp(o->precision, "f32") == 0)
        return rxn__api_refuse(engine, "the method 'cme' computes in f64 only");
    if (strcmp(o->device, "cpu") != 0)
        return rxn__api_refuse(engine, "the method 'cme' runs on the processor only");
    return RXN_OK;
}

static PipelineRequest
request_of(RxnSimulator *simulator, const char *method)
{
    const EnsembleOptions *o = &simulator->ensemble;
    return (PipelineRequest){
        .file = simulator->part.file,
        .loader = &simulator->part.engine.loader,
        .goal =
            simulator->is_cme || simulator->is_controlled ? PIPELINE_NETWORK : PIPELINE_COMPILED,
        .method = method,
        .device = o->device,
        .precision = simulator->precision,
        .target = {.lanes = (u32)o->lanes, .cache = o->cache},
        .trajectories = simulator->trajectories,
    };
}

/* Control variates are martingales of single events, so `auto` has no choice; where it would have chosen a method that is faster
 * by far, that is worth knowing. */
static void
note_other_method(RxnSimulator *simulator)
{
    Text why;
    rxn__text_init(&why, &simulator->pipeline.arena);
    const Method *usual = rxn__method_choose(simulator->pipeline.network, &why);
    if (!usual || strncmp(usual->name, "direct", strlen("direct")) == 0)
        return;
    rxn__engine_note(&simulator->part.engine,
                     "control variates take the method direct-unrolled, which makes one event "
                     "after another; without them it would be '%s': %s",
                     usual->name, why.data);
}

/* The method of a model some of whose numbers are left open: it is chosen by what they are. */
typedef struct Choosing {
    Network *network;
    Arena *arena;
    Text why;
    const Method *method;
} Choosing;

static RxnStatus
choose_method(void *context)
{
    Choosing *choosing = context;
    rxn__text_init(&choosing->why, choosing->arena);
    choosing->method = rxn__method_choose(choosing->network, &choosing->why);
    return RXN_OK;
}

static RxnStatus
leave_numbers_open(ApiPart *part, PipelineRequest *request, const char **ret_why)
{
    RxnModel *model = part->model;
    Choosing choosing = {.network = model->pipeline.network, .arena = &model->pipeline.arena};
    request->open_numbers = true;
    if (strcmp(request->method, "auto") != 0)
        return RXN_OK;
    RxnStatus status = rxn__session_guard(&model->engine.session, choose_method, &choosing);
    if (status != RXN_OK || !choosing.method) /* the pipeline says why there is none */
        return status;
    request->method = choosing.method->name;
    *ret_why = copy(part, choosing.why.data, NULL);
    return RXN_OK;
}

static RxnStatus
compile(void *context)
{
    Making *making = context;
    RxnSimulator *simulator = making->simulator;
    ApiPart *part = &simulator->part;
    Engine *engine = &part->engine;
    const RxnSimulatorOptions *options = making->options;
    const char *method = options->method ? options->method : "auto";
    simulator->is_cme = strcmp(method, "cme") == 0;
    simulator->is_controlled = options->control_variates;
    simulator->trajectories = options->trajectories;
    RxnStatus status = rxn__api_kernel_options(part, options, &simulator->ensemble);
    if (status == RXN_OK && simulator->is_cme)
        status = check_cme(simulator);
    if (status != RXN_OK)
        return status;
    if (simulator->is_controlled && strcmp(method, "auto") != 0 && strcmp(method, "direct") != 0 &&
        strcmp(method, "direct-unrolled") != 0)
        return rxn__api_refuse(engine, "control variates need the method direct-unrolled, not '%s'",
                               rxn__shown(&engine->session.arena, method, strlen(method)));
    simulator->precision = strcmp(simulator->ensemble.precision, "f32") == 0 ? KIR_F32 : KIR_F64;
    PipelineRequest request = request_of(simulator, method);
    request.front = part->front;
    status = rxn__code_shelf_open(&simulator->code, part->model->options.memory_limit,
                                  options->like ? &options->like->code : NULL);
    if (status != RXN_OK)
        return status;
    request.compile = rxn__code_compile;
    request.compile_context = &simulator->code;
    double start = rxn__seconds();
    const char *why = NULL;
    const bool opens = options->editable && request.goal == PIPELINE_COMPILED && !engine->built;
    if (opens && (status = leave_numbers_open(part, &request, &why)) != RXN_OK)
        return status;
    status = rxn__pipeline_run(&engine->session, &request, &simulator->pipeline);
    engine->internal_error = simulator->pipeline.internal_error;
    if (status != RXN_OK)
        return status;
    if (simulator->is_controlled && strcmp(method, "auto") == 0)
        note_other_method(simulator);
    if (why)
        simulator->pipeline.method_why = why;
    if (simulator->pipeline.kernel.kernel) /* a method may need f64 whatever is asked for */
        simulator->precision = simulator->pipeline.kernel.kernel->precision;
    Text wish;
    rxn__text_init(&wish, &engine->session.arena);
    if (strcmp(method, "auto") != 0)
        rxn__text_printf(&wish, "--method %s", method);
    rxn__warn_interpreted(engine, &simulator->pipeline, wish.data ? wish.data : "");
    if (request.goal == PIPELINE_COMPILED)
        status = rxn__describe_kernel(engine, &simulator->pipeline, &simulator->kernel);
    simulator->seconds_compile = rxn__seconds() - start;
    return status;
}

/* With numbers left open the network is another. That of the master equation is added to by its runs, while others may look at
 * the model's. */
static bool
takes_network(const RxnSimulatorOptions *options)
{
    return !options->editable && !(options->method && strcmp(options->method, "cme") == 0);
}

RxnStatus
rxn_simulator_new(RxnModel *model, const RxnSimulatorOptions *options, RxnSimulator **ret_simulator,
                  RxnError **ret_error)
{
    *ret_simulator = NULL;
    RxnSimulator *simulator = calloc(1, sizeof *simulator);
    if (!simulator)
        return rxn__api_no_memory(ret_error);
    const RxnSimulatorOptions usual = rxn_simulator_options();
    Making making = {simulator, options ? options : &usual};
    RxnStatus status = takes_network(making.options)
                           ? rxn__part_open_at_network(&simulator->part, model)
                           : rxn__part_open(&simulator->part, model);
    if (status == RXN_OK)
        status = rxn__api_guard(&simulator->part.engine, compile, &making);
    status = rxn__part_finish(&simulator->part, status, ret_error);
    if (status == RXN_OK)
        *ret_simulator = simulator;
    else
        rxn_simulator_free(simulator);
    return status;
}

void
rxn_simulator_free(RxnSimulator *simulator)
{
    if (!simulator)
        return;
    if (simulator->pipeline.arena.memory)
        rxn__pipeline_close(&simulator->pipeline);
    rxn__code_shelf_close(&simulator->code);
    rxn__part_close(&simulator->part);
    free(simulator);
}

RxnSimulatorInfo
rxn_simulator_info(const RxnSimulator *simulator)
{
    const Pipeline *pipeline = &simulator->pipeline;
    const CompiledKernel *compiled = &pipeline->compiled;
    return (RxnSimulatorInfo){
        .method = simulator->is_cme          ? "cme"
                  : simulator->is_controlled ? "direct-unrolled"
                                             : pipeline->method->name,
        .why = pipeline->method_why,
        .device = simulator->ensemble.device,
        .isa = compiled->isa ? compiled->isa : "none",
        .precision = simulator->precision == KIR_F32 ? "f32" : "f64",
        .lanes = compiled->lanes,
        .seconds_compile = simulator->seconds_compile,
        .reused = rxn__code_shelf_reuses(&simulator->code),
    };
}

/* ---- a run ------------------------------------------------------------------------------------- */

/* What a RxnRun points to. */
typedef struct RunRoom {
    RxnEnsembleResult result;
    double *times, *sd, *se;
} RunRoom;

typedef struct Running {
    RxnSimulator *simulator;
    ApiPart *part;    /* its own, or, with control variates, that of the run */
    Pipeline scratch; /* that of the simulator, with an arena of this call's own */
    const RxnValues *values;
    const RxnRunOptions *options;
    EnsembleOptions ensemble;
    ModelValues numbers;
    SampleTimes times;
    RunRoom *room;
    RxnRun *run;
    bool is_partial;
} Running;

/* Everything that is wrong with the request, in one go. */
static RxnStatus
prepare(Running *running)
{
    Engine *engine = &running->part->engine;
    const RxnRunOptions *o = running->options;
    Arena *arena = &running->scratch.arena;
    running->ensemble = running->simulator->ensemble;
    RxnStatus status = rxn__api_run_options(running->part, o, &running->ensemble);
    const RxnValues *values = running->values;
    if (values || !o->plan) {
        RxnStatus fits = rxn__api_check_values(running->part, values);
        status = status == RXN_OK ? fits : status;
    }
    if (o->at_count > UINT32_MAX)
        status = rxn__api_refuse(engine, "there are too many sample times");
    if (status != RXN_OK)
        return status;
    NumberList at = {0};
    for (size_t k = 0; k < o->at_count; k++)
        vec_push(arena, &at, o->at[k]);
    bool good = true;
    if (values) {
        BindRequest bind = {.seed = values->seed, .given = &values->given};
        good = rxn__bind(engine, &running->scratch, &bind, &running->numbers);
    }
    TimesRequest times = {o->until, o->every, &at};
    good = rxn__sample_times(engine, &running->scratch, &times, &running->times) && good;
    return good ? RXN_OK : RXN_ERROR_INPUT;
}

static RxnStatus
simulate(Running *running)
{
    RxnSimulator *simulator = running->simulator;
    Engine *engine = &running->part->engine;
    const RxnRunOptions *o = running->options;
    Launch launch = {
        .pipeline = &running->scratch,
        .values = &running->numbers,
        .times = &running->times,
        .precision = simulator->precision,
        .seed = o->seed,
        .step_limit = o->step_limit,
    };
    u32 count;
    RxnBinding *bindings = rxn__launch_bindings(&launch, &count);
    RxnEnsembleResult *result = &running->room->result;
    Watched watched = rxn__watch_begin(engine, true, o->progress == NULL);
    RxnEnsemble ensemble = {
        .kernel = &simulator->kernel,
        .bindings = bindings,
        .binding_count = count,
        .first = o->first,
        .trajectories = o->trajectories,
        .sample_count = running->times.count,
        .columns = simulator->pipeline.network->column_count,
        .threads = o->threads,
        .statistics = o->statistics,
        .rows = o->rows,
        .rows_context = o->rows_context,
        .cancel = watched.cancel,
        .progress = watched.progress,
        .progress_context = watched.progress_context,
    };
    RxnOutcome outcome = rxn__ensemble_run(&ensemble, result);
    rxn__watch_end(engine);
    running->is_partial = outcome == RXN_STOPPED || outcome == RXN_REJECTED;
    if (outcome == RXN_REJECTED) {
        rxn__engine_error(engine, "the run was ended after %llu of %llu trajectories",
                          (unsigned long long)result->trajectories,
                          (unsigned long long)o->trajectories);
        return RXN_CANCELLED;
    }
    return rxn__launch_outcome(engine, &launch, outcome, result, o->trajectories);
}

static RxnStatus
solve(Running *running)
{
    CmeRun cme = {.pipeline = &running->scratch,
                  .values = &running->numbers,
                  .times = &running->times,
                  .state_limit = running->options->state_limit,
                  .work_limit = running->options->work_limit,
                  .quiet = running->options->progress == NULL};
    CmeFigures figures = {0};
    RxnStatus status = rxn__run_cme(&running->part->engine, &cme, &running->room->result, &figures);
    RxnRun *run = running->run;
    run->exact = true;
    run->lost = figures.lost;
    run->states = figures.states;
    run->transitions = figures.transitions;
    run->products = figures.products;
    return status;
}

static RxnStatus
simulate_controlled(Running *running)
{
    RxnSimulator *simulator = running->simulator;
    Engine *engine = &running->part->engine;
    const RxnRunOptions *o = running->options;
    if (o->trajectories == 1 || o->rows || o->first)
        return rxn__api_refuse(
            engine,
            "control variates are for the means of a whole ensemble: there are none with %s",
            o->rows    ? "rows"
            : o->first ? "a first trajectory"
                       : "one trajectory");
    PipelineRequest request = request_of(simulator, "auto");
    request.goal = PIPELINE_COMPILED;
    request.file = running->part->file;
    request.loader = &engine->loader;
    ControlledRun controlled = {
        .pilot = {.stages = &request,
                  .pipeline = &running->scratch,
                  .values = &running->numbers,
                  .trajectories = o->trajectories,
                  .pilot = o->pilot,
                  .seed = o->seed,
                  .threads = o->threads,
                  .step_limit = o->step_limit},
        .times = &running->times,
        .quiet = o->progress == NULL,
    };
    double start = rxn__seconds();
    running->scratch.method = rxn__method_find("direct-unrolled");
    RxnStatus status = rxn__control_prepare(engine, &controlled);
    simulator->seconds_compile = rxn__seconds() - start - controlled.found.seconds;
    if (status != RXN_OK)
        return status;
    rxn__warn_interpreted(engine, &running->scratch, NULL);
    rxn__engine_tell(engine);
    status = rxn__control_simulate(engine, &controlled, &running->room->result);
    if (status != RXN_OK)
        return status;
    const CompiledKernel *compiled = &running->scratch.compiled;
    snprintf(simulator->isa, sizeof simulator->isa, "%s", compiled->isa ? compiled->isa : "none");
    simulator->pipeline.compiled.isa = simulator->isa;
    simulator->pipeline.compiled.lanes = compiled->lanes;
    RxnRun *run = running->run;
    size_t cells = (size_t)running->times.count * running->scratch.network->column_count;
    running->room->se = malloc((cells + 1) * sizeof(double));
    if (!running->room->se)
        return RXN_ERROR_MEMORY;
    memcpy(running->room->se, controlled.se, cells * sizeof(double));
    run->se = running->room->se;
    run->pilot = controlled.found.trajectories;
    run->least_gain = controlled.least_gain;
    run->most_gain = controlled.most_gain;
    return RXN_OK;
}

/* When, which rows may want to know. */
static RxnStatus
plan_run(Running *running)
{
    RxnRun *run = running->run;
    size_t count = running->times.count;
    running->room->times = malloc((count + 1) * sizeof(double));
    if (!running->room->times)
        return RXN_ERROR_MEMORY;
    memcpy(running->room->times, running->times.times, count * sizeof(double));
    run->times = running->room->times;
    run->time_count = count;
    run->columns = running->scratch.network->column_count;
    return RXN_OK;
}

/* What there is, for who called. */
static RxnStatus
hand_over(Running *running)
{
    RxnRun *run = running->run;
    RunRoom *room = running->room;
    const RxnEnsembleResult *result = &room->result;
    size_t columns = running->scratch.network->column_count, count = running->times.count;
    room->sd = result->mean ? malloc((count * columns + 1) * sizeof(double)) : NULL;
    if (result->mean && !room->sd)
        return RXN_ERROR_MEMORY;
    for (size_t cell = 0; cell < count * columns && room->sd; cell++)
        room->sd[cell] = run->exact ? sqrt(result->m2[cell]) : rxn__ensemble_sd(result, cell);
    run->trajectories = result->trajectories;
    run->events = result->events;
    run->threads = result->threads;
    run->mean = result->mean;
    run->sd = room->sd;
    run->seconds = result->seconds;
    return RXN_OK;
}

static RxnStatus
run_ensemble(void *context)
{
    Running *running = context;
    RxnSimulator *simulator = running->simulator;
    RxnStatus status = RXN_OK;
    if (simulator->is_controlled) { /* its objective is made for the times of this run */
        PipelineRequest request = request_of(simulator, "auto");
        request.file = running->part->file;
        request.loader = &running->part->engine.loader;
        status = rxn__pipeline_run(&running->part->engine.session, &request, &running->scratch);
        running->part->engine.internal_error = running->scratch.internal_error;
    }
    if (status == RXN_OK)
        status = prepare(running);
    if (status != RXN_OK)
        return status;
    if (plan_run(running) != RXN_OK)
        return RXN_ERROR_MEMORY;
    if (running->options->plan)
        return RXN_OK;
    status = simulator->is_cme          ? solve(running)
             : simulator->is_controlled ? simulate_controlled(running)
                                        : simulate(running);
    if (status != RXN_OK && !running->is_partial)
        return status;
    RxnStatus handed = hand_over(running);
    return handed == RXN_OK ? status : handed;
}

RxnStatus
rxn_run(RxnSimulator *simulator, const RxnValues *values, const RxnRunOptions *options,
        RxnRun *ret_run, RxnError **ret_error)
{
    const RxnRunOptions usual = rxn_run_options();
    RxnModel *model = simulator->part.model;
    Running running = {.simulator = simulator,
                       .part = &simulator->part,
                       .scratch = simulator->pipeline,
                       .values = values,
                       .options = options ? options : &usual,
                       .run = ret_run};
    *ret_run = (RxnRun){0};
    running.room = ret_run->own = calloc(1, sizeof *running.room);
    if (!running.room)
        return rxn__api_no_memory(ret_error);
    ApiPart own;
    RxnStatus status = RXN_OK;
    if (simulator->is_controlled) {
        running.part = &own;
        running.scratch = (Pipeline){0};
        status = rxn__part_open(&own, model);
        own.engine.cuda = simulator->part.engine.cuda;
        own.engine.cuda_cache = simulator->part.engine.cuda_cache;
    }
    Engine *engine = &running.part->engine;
    rxn__arena_init(&running.scratch.arena, engine->session.memory);
    rxn__part_watch(running.part, running.options);
    if (status == RXN_OK)
        status = rxn__api_guard(engine, run_ensemble, &running);
    rxn__part_watch(running.part, NULL);
    status = rxn__part_finish(running.part, status, ret_error);
    rxn__arena_release(&running.scratch.arena);
    if (simulator->is_controlled) {
        own.engine.cuda = NULL; /* the simulator's */
        rxn__part_close(&own);
    }
    bool kept = status == RXN_OK || (status == RXN_CANCELLED && ret_run->times);
    if (!kept)
        rxn_run_release(ret_run);
    return status;
}

void
rxn_run_release(RxnRun *run)
{
    if (!run)
        return;
    RunRoom *room = run->own;
    if (room) {
        rxn__ensemble_release(&room->result);
        free(room->times);
        free(room->sd);
        free(room->se);
        free(room);
    }
    *run = (RxnRun){0};
}
