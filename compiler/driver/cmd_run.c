/* cmd_run.c: `rxn run`: simulate a model and show what came out. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/driver.h"
#include "compiler/engine/pilot.h"
#include "compiler/engine/run_cme.h"
#include "runtime/report.h"

typedef struct RunOptions {
    EnsembleOptions ensemble;
    u64 pilot;
    double until, every;
    NumberList at;
    const char *method, *plot;
    bool each, control;
} RunOptions;

#define AT(field) offsetof(RunOptions, field)
static const Option options[] = {
    {"--until", "T", OPTION_NUMBER, AT(until), "end time"},
    {"--every", "DT", OPTION_NUMBER, AT(every), "record at 0, DT, 2 DT, …"},
    {"--at", "T1,T2,...", OPTION_NUMBERS, AT(at), "record at these times"},
    {"--method", "NAME", OPTION_TEXT, AT(method),
     "how to simulate (default auto: what suits the model); cme: the master equation"},
    {"-o", "FILE.csv", OPTION_TEXT, AT(ensemble.csv), "write the results ('-': standard output)"},
    {"--each", NULL, OPTION_FLAG, AT(each), "every trajectory by itself instead of mean and sd"},
    {"--control-variates", NULL, OPTION_FLAG, AT(control),
     "means with less noise, and their standard errors"},
    {"--pilot", "N", OPTION_COUNT, AT(pilot),
     "trajectories that the control variates are fitted to (default: -n / 10, but 250 .. 1000)"},
    {"--plot", "FILE", OPTION_TEXT, AT(plot), "draw the results (.svg or .png; needs gnuplot)"},
    {"--json", "FILE", OPTION_TEXT, AT(ensemble.json),
     "write figures about the run ('-': standard output)"},
};
#undef AT

const OptionTable rxn__usage_run = {
    .command = "rxn run",
    .synopsis = "rxn run MODEL [OPTION…]",
    .summary =
        "Simulates the model exactly and shows mean and standard deviation of what it observes\n"
        "(with --each, and with -n 1: the trajectories themselves). --method cme simulates "
        "nothing:\n"
        "it solves the master equation, for models with up to some million states.",
    .about_operand = RXN_ABOUT_MODEL,
    .remarks =
        "A model's 'simulate' statement says until when and how often; --until, --every and --at\n"
        "override it. An input file is CSV: 'name,value' lines, or a column for each input.\n"
        "Trajectory i of a seed is the same for every -n, number of threads and vector width.\n"
        "Exit status: 0 done, 1 the model or the run failed or was interrupted, 2 wrong options,\n"
        "3 a bug in rxn.",
    .options = options,
    .option_count = COUNT_OF(options),
    .operand = "MODEL",
    .shared = rxn__ensemble_options,
    .shared_count = ENSEMBLE_OPTION_COUNT,
    .shared_offset = offsetof(RunOptions, ensemble),
};

typedef struct Run {
    Driver *driver;
    u32 file; /* the model's, in the session's sources */
    RunOptions options;
    Pipeline pipeline;
    ModelValues values;
    SampleTimes times;
    RxnKernel kernel;
    RxnReport report;
    RxnEnsembleResult result;
    KirType precision;
    OutputFile csv, json;
    ControlledRun controlled;
    RxnExactFigures exact;
    double *kept; /* see RxnReport */
    u64 kept_room;
} Run;

/* ---- options ----------------------------------------------------------------------------------- */

static bool
is_cme(const RunOptions *o)
{
    return strcmp(o->method, "cme") == 0;
}

/* What the master equation has no use for. */
static void
check_cme(Driver *driver, const RunOptions *o)
{
    if (o->ensemble.counted || o->each)
        rxn__driver_error(driver, "--method cme has no trajectories, so it takes no %s",
                          o->ensemble.counted ? "-n" : "--each");
    if (strcmp(o->ensemble.precision, "f32") == 0)
        rxn__driver_error(driver, "--method cme computes in f64 only");
    if (strcmp(o->ensemble.device, "cpu") != 0 && strcmp(o->ensemble.device, "auto") != 0)
        rxn__driver_error(driver, "--method cme runs on the processor only");
}

static bool
check_options(Driver *driver, RunOptions *o)
{
    u32 errors = driver->engine.session.diagnostics.error_count;
    rxn__check_ensemble(&driver->engine, &o->ensemble);
    if (is_cme(o))
        check_cme(driver, o);
    if (o->plot && !rxn__plot_knows(o->plot)) {
        rxn__driver_error(driver, "--plot takes a name that ends in .svg or .png, not '%s'",
                          rxn__shown(&driver->engine.session.arena, o->plot, strlen(o->plot)));
    }
    if (o->control && (o->each || o->ensemble.trajectories == 1))
        rxn__driver_error(driver,
                          "--control-variates is for means, of which there are none with %s",
                          o->each ? "--each" : "-n 1");
    if (o->control && strcmp(o->method, "auto") != 0 && strcmp(o->method, "direct") != 0 &&
        strcmp(o->method, "direct-unrolled") != 0)
        rxn__driver_error(driver, "--control-variates needs the method direct-unrolled, not '%s'",
                          rxn__shown(&driver->engine.session.arena, o->method, strlen(o->method)));
    if (o->pilot && !o->control)
        rxn__driver_error(driver, "--pilot goes with --control-variates");
    if (o->pilot == 1 || o->pilot > 1000000)
        rxn__driver_error(driver, "--pilot takes 2 .. 1000000");
    return driver->engine.session.diagnostics.error_count == errors;
}

/* ---- the run ----------------------------------------------------------------------------------- */

static bool
take_rows(void *context, uint64_t first, uint64_t count, const double *samples,
          const uint64_t *events)
{
    Run *run = context;
    (void)events;
    size_t row = (size_t)run->times.count * run->report.columns;
    for (u64 k = 0; k < count && first + k < run->kept_room; k++) {
        memcpy(run->kept + (first + k) * row, samples + k * row, row * sizeof(double));
        run->report.kept_count = first + k + 1;
    }
    if (!run->csv.file)
        return true;
    rxn__csv_each_rows(run->csv.file, &run->report, first, count, samples);
    return !ferror(run->csv.file);
}

static void
describe(Run *run)
{
    const Network *network = run->pipeline.network;
    Arena *arena = &run->pipeline.arena;
    const char **labels = NEW_ARRAY(arena, const char *, network->column_count);
    for (u32 c = 0; c < network->column_count; c++)
        labels[c] = rxn__column_label(network, c, arena);
    const CompiledKernel *compiled = &run->pipeline.compiled;
    run->report = (RxnReport){
        .model = network->name ? network->name->text : "model",
        .labels = labels,
        .columns = network->column_count,
        .sample_count = run->times.count,
        .times = run->times.times,
        .method = run->pipeline.method ? run->pipeline.method->name : run->options.method,
        .device = run->options.ensemble.device,
        .isa = compiled->isa ? compiled->isa : "none",
        .precision = run->options.ensemble.precision,
        .lanes = compiled->lanes,
        .seed = run->options.ensemble.seed,
        .result = &run->result,
        .each = run->options.each || run->options.ensemble.trajectories == 1,
        .written = run->options.ensemble.csv != NULL,
    };
}

/* What the table and the plot show of single trajectories. */
static void
make_room(Run *run)
{
    enum { ROWS_IN_TABLE = 20, MOST_VALUES = 8 << 20 };
    if (!run->report.each || (run->options.ensemble.quiet && !run->options.plot))
        return;
    u64 row = (u64)run->times.count * run->report.columns,
        wanted = run->options.ensemble.trajectories;
    if (wanted > ROWS_IN_TABLE)
        wanted = ROWS_IN_TABLE;
    if (wanted > MOST_VALUES / row)
        wanted = row > MOST_VALUES ? 1 : MOST_VALUES / row;
    run->kept_room = wanted;
    run->kept = NEW_ARRAY(&run->pipeline.arena, double, wanted *row);
    run->report.kept = run->kept;
}

static RxnStatus
simulate(Run *run)
{
    Launch launch = {
        .pipeline = &run->pipeline,
        .values = &run->values,
        .times = &run->times,
        .precision = run->precision,
        .seed = run->options.ensemble.seed,
        .step_limit = run->options.ensemble.step_limit,
    };
    u32 count;
    RxnBinding *bindings = rxn__launch_bindings(&launch, &count);
    if (run->csv.file && run->report.each)
        rxn__csv_each_header(run->csv.file, &run->report);
    Watched watched = rxn__watch_begin(&run->driver->engine, true, run->options.ensemble.quiet);
    RxnEnsemble ensemble = {
        .kernel = &run->kernel,
        .bindings = bindings,
        .binding_count = count,
        .trajectories = run->options.ensemble.trajectories,
        .sample_count = run->times.count,
        .columns = run->report.columns,
        .threads = (u32)run->options.ensemble.threads,
        .statistics = !run->report.each,
        .rows = run->report.each ? take_rows : NULL,
        .rows_context = run,
        .cancel = watched.cancel,
        .progress = watched.progress,
        .progress_context = watched.progress_context,
    };
    RxnOutcome outcome = rxn__ensemble_run(&ensemble, &run->result);
    rxn__watch_end(&run->driver->engine);
    if (outcome == RXN_REJECTED) {
        rxn__output_commit(run->driver, &run->csv);
        if (run->driver->engine.session.diagnostics.error_count == 0)
            rxn__driver_error(run->driver, "'%s' cannot be written", run->options.ensemble.csv);
    }
    return rxn__launch_outcome(&run->driver->engine, &launch, outcome, &run->result,
                               run->options.ensemble.trajectories);
}

/* ---- what is shown ----------------------------------------------------------------------------- */

static RxnStatus
draw(Run *run)
{
    char message[512];
    if (rxn__is_a_source(&run->driver->engine, run->options.plot))
        return RXN_ERROR_INPUT;
    if (!rxn__plot_run(&run->report, run->options.plot, message, sizeof message)) {
        rxn__driver_error(run->driver, "the plot '%s' could not be made: %s", run->options.plot,
                          message);
        rxn__driver_note(run->driver, "the %s itself is good; -o FILE.csv keeps its results",
                         is_cme(&run->options) ? "solution" : "simulation");
        return RXN_ERROR_INPUT;
    }
    if (message[0] && !run->options.ensemble.quiet)
        rxn__driver_note(run->driver, "the plot shows %s", message);
    return RXN_OK;
}

static RxnStatus
show(Run *run)
{
    const RunOptions *o = &run->options;
    if (run->csv.file) {
        if (!run->report.each)
            rxn__csv_statistics(run->csv.file, &run->report);
        if (!rxn__output_commit(run->driver, &run->csv))
            return RXN_ERROR_INPUT;
    }
    if (run->json.file) {
        rxn__json_run(run->json.file, &run->report);
        if (!rxn__output_commit(run->driver, &run->json))
            return RXN_ERROR_INPUT;
    }
    if (!o->ensemble.quiet && !rxn__takes_stdout(&o->ensemble))
        rxn__table_run(stdout, &run->report);
    return o->plot ? draw(run) : RXN_OK;
}

/* ---- control variates -------------------------------------------------------------------------- */

static RxnStatus
prepare_control(Run *run, PipelineRequest *request, double *seconds_compile)
{
    const RunOptions *o = &run->options;
    double start = rxn__seconds();
    request->goal = PIPELINE_COMPILED;
    run->pipeline.method = rxn__method_find("direct-unrolled");
    run->controlled = (ControlledRun){
        .pilot = {.stages = request,
                  .pipeline = &run->pipeline,
                  .values = &run->values,
                  .trajectories = o->ensemble.trajectories,
                  .pilot = o->pilot,
                  .seed = o->ensemble.seed,
                  .threads = o->ensemble.threads,
                  .step_limit = o->ensemble.step_limit},
        .times = &run->times,
        .quiet = o->ensemble.quiet,
    };
    RxnStatus status = rxn__control_prepare(&run->driver->engine, &run->controlled);
    *seconds_compile += rxn__seconds() - start - run->controlled.found.seconds;
    return status;
}

static RxnStatus
simulate_controlled(Run *run)
{
    ControlledRun *controlled = &run->controlled;
    RxnStatus status = rxn__control_simulate(&run->driver->engine, controlled, &run->result);
    run->report.se = controlled->se;
    run->report.pilot = controlled->found.trajectories;
    run->report.least_gain = controlled->least_gain;
    run->report.most_gain = controlled->most_gain;
    return status;
}

/* ---- the master equation ----------------------------------------------------------------------- */

static RxnStatus
solve_cme(Run *run)
{
    CmeRun cme = {.pipeline = &run->pipeline,
                  .values = &run->values,
                  .times = &run->times,
                  .quiet = run->options.ensemble.quiet};
    run->report.exact = &run->exact;
    return rxn__run_cme(&run->driver->engine, &cme, &run->result, &run->exact);
}

/* In a program that was built without this kernel: how to build one with it. */
static void
warn_interpreted(Run *run)
{
    Text wish;
    rxn__text_init(&wish, &run->driver->engine.session.arena);
    if (strcmp(run->options.method, "auto") != 0)
        rxn__text_printf(&wish, "--method %s", run->options.method);
    rxn__warn_interpreted(&run->driver->engine, &run->pipeline, wish.data);
}

static RxnStatus
run_model(void *context)
{
    Run *run = context;
    Driver *driver = run->driver;
    const RunOptions *o = &run->options;
    PipelineRequest request = {
        .file = run->file,
        .loader = &driver->engine.loader,
        .goal = o->control || is_cme(o) ? PIPELINE_NETWORK : PIPELINE_COMPILED,
        .method = o->method,
        .device = o->ensemble.device,
        .precision = run->precision,
        .target = {.lanes = (u32)o->ensemble.lanes, .cache = o->ensemble.cache},
        .trajectories = o->ensemble.trajectories,
    };
    double start = rxn__seconds();
    RxnStatus status = rxn__pipeline_run(&driver->engine.session, &request, &run->pipeline);
    double seconds_compile = rxn__seconds() - start;
    driver->engine.internal_error = run->pipeline.internal_error;
    if (status != RXN_OK)
        return status;
    warn_interpreted(run);
    rxn__driver_flush(driver); /* warnings come before the work that may take long */
    BindRequest bind = {.sets = &run->options.ensemble.sets,
                        .input = o->ensemble.input,
                        .seed = o->ensemble.seed,
                        .params = o->ensemble.params};
    TimesRequest times = {o->until, o->every, &run->options.at};
    bool good = rxn__bind(&driver->engine, &run->pipeline, &bind, &run->values);
    good = rxn__sample_times(&driver->engine, &run->pipeline, &times, &run->times) && good;
    if (!good)
        return RXN_ERROR_INPUT;
    if (o->control) {
        status = prepare_control(run, &request, &seconds_compile);
        if (status != RXN_OK)
            return status;
        rxn__warn_interpreted(&driver->engine, &run->pipeline, NULL);
        rxn__driver_flush(driver);
    }
    if (!is_cme(o) && !o->control) {
        start = rxn__seconds();
        status = rxn__describe_kernel(&driver->engine, &run->pipeline, &run->kernel);
        seconds_compile += rxn__seconds() - start;
        if (status != RXN_OK)
            return status;
    }
    describe(run);
    run->report.seconds_compile = seconds_compile;
    if (o->ensemble.csv && !rxn__output_open(driver, &run->csv, o->ensemble.csv))
        return RXN_ERROR_INPUT;
    if (o->ensemble.json && !rxn__output_open(driver, &run->json, o->ensemble.json))
        return RXN_ERROR_INPUT;
    if (o->plot && rxn__is_a_source(&driver->engine, o->plot))
        return RXN_ERROR_INPUT;
    make_room(run);
    status = is_cme(o) ? solve_cme(run) : o->control ? simulate_controlled(run) : simulate(run);
    return status == RXN_OK ? show(run) : status;
}

RxnStatus
rxn__cmd_run(Driver *driver, int argc, char **argv)
{
    Run run = {
        .driver = driver,
        .options = {.ensemble = rxn__ensemble_defaults(),
                    .until = NAN,
                    .every = NAN,
                    .method = "auto"},
    };
    const char *model;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_run, argc, argv, &run.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_run, stdout);
        return RXN_OK;
    }
    if (!check_options(driver, &run.options))
        return RXN_ERROR_USAGE;
    run.precision = strcmp(run.options.ensemble.precision, "f32") == 0 ? KIR_F32 : KIR_F64;
    if (is_cme(&run.options))
        run.options.ensemble.device = "cpu";
    RxnStatus status =
        is_cme(&run.options) ? RXN_OK : rxn__device_open(&driver->engine, &run.options.ensemble);
    if (status != RXN_OK)
        return status;
    if (!rxn__load_model(&driver->engine, model, &run.file))
        return RXN_ERROR_INPUT;
    /* Inside, memory may run out; what was begun is put away here in any case. */
    status = rxn__session_guard(&driver->engine.session, run_model, &run);
    rxn__output_drop(&run.csv);
    rxn__output_drop(&run.json);
    rxn__ensemble_release(&run.result);
    rxn__driver_close(driver, &run.pipeline);
    return status;
}
