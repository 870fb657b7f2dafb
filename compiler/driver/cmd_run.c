/* cmd_run.c: `rxn run`: simulate a model and show what came out. */
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compiler/driver/driver.h"
#include "runtime/report.h"

typedef struct RunOptions {
    u64 trajectories, seed, threads, lanes, step_limit;
    double until, every;
    NumberList at;
    TextList sets;
    const char *input, *method, *device, *precision;
    const char *csv, *json, *plot, *cache;
    bool each, quiet;
} RunOptions;

#define AT(field) offsetof(RunOptions, field)
static const Option options[] = {
    {"-n", "N", OPTION_COUNT, AT(trajectories), "trajectories (default 1000)"},
    {"--seed", "S", OPTION_COUNT, AT(seed), "which random numbers (default 1)"},
    {"--until", "T", OPTION_NUMBER, AT(until), "end time"},
    {"--every", "DT", OPTION_NUMBER, AT(every), "record at 0, DT, 2 DT, …"},
    {"--at", "T1,T2,...", OPTION_NUMBERS, AT(at), "record at these times"},
    {"--set", "NAME=VALUE", OPTION_TEXTS, AT(sets),
     "value of a param or input; also NAME[3]=VALUE"},
    {"--input", "FILE.csv", OPTION_TEXT, AT(input), "values of inputs and params"},
    {"--method", "NAME", OPTION_TEXT, AT(method),
     "how to simulate (default auto: what suits the model)"},
    {"--device", "NAME", OPTION_TEXT, AT(device), "auto (default), cpu, cuda"},
    {"--threads", "K", OPTION_COUNT, AT(threads), "threads (default: one per processor)"},
    {"--precision", "P", OPTION_TEXT, AT(precision), "f64 (default), f32"},
    {"--step-limit", "N", OPTION_COUNT, AT(step_limit),
     "most steps of a trajectory (default 2^47)"},
    {"--cache", "DIR", OPTION_TEXT, AT(cache),
     "keep compiled kernels there, to start at once next time"},
    {"-o", "FILE.csv", OPTION_TEXT, AT(csv), "write the results ('-': standard output)"},
    {"--each", NULL, OPTION_FLAG, AT(each), "every trajectory by itself instead of mean and sd"},
    {"--plot", "FILE", OPTION_TEXT, AT(plot), "draw the results (.svg or .png; needs gnuplot)"},
    {"--json", "FILE", OPTION_TEXT, AT(json), "write figures about the run ('-': standard output)"},
    {"--quiet", NULL, OPTION_FLAG, AT(quiet), "no table, no progress bar"},
    {"--lanes", "W", OPTION_COUNT, AT(lanes), NULL},
};
#undef AT

static const OptionTable table = {
    .command = "rxn run",
    .synopsis = "rxn run MODEL [OPTION…]",
    .summary =
        "Simulates the model exactly and shows mean and standard deviation of what it observes\n"
        "(with --each, and with -n 1: the trajectories themselves). MODEL is a file, '-' for\n"
        "standard input, or the name of a model that comes with rxn.",
    .remarks =
        "A model's 'simulate' statement says until when and how often; --until, --every and --at\n"
        "override it. An input file is CSV: 'name,value' lines, or a column for each input.\n"
        "Trajectory i of a seed is the same for every -n, number of threads and vector width.\n"
        "Exit status: 0 done, 1 the model or the run failed or was interrupted, 2 wrong options,\n"
        "3 a bug in rxn.",
    .options = options,
    .option_count = COUNT_OF(options),
    .operand = "MODEL",
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
    u64 step_limit;
    OutputFile csv, json;
    double *kept; /* see RxnReport */
    u64 kept_room;
} Run;

/* ---- options ----------------------------------------------------------------------------------- */

static bool
check_options(Driver *driver, RunOptions *o)
{
    u32 errors = driver->session.diagnostics.error_count;
    if (o->trajectories == 0)
        rxn__driver_error(driver, "-n is 0; at least one trajectory is needed");
    if (o->threads > 4096)
        rxn__driver_error(driver, "--threads %llu is more than 4096",
                          (unsigned long long)o->threads);
    rxn__check_precision(driver, o->precision);
    if (strcmp(o->device, "auto") == 0)
        o->device = "cpu";
    rxn__check_lanes(driver, o->lanes);
    if (o->step_limit == 0)
        rxn__driver_error(driver, "--step-limit is 0");
    if (o->step_limit > UINT64_C(1) << 47)
        rxn__driver_error(driver, "--step-limit is more than 2^47");
    if (o->plot && !rxn__plot_knows(o->plot)) {
        rxn__driver_error(driver, "--plot takes a name that ends in .svg or .png, not '%s'",
                          rxn__shown(&driver->session.arena, o->plot, strlen(o->plot)));
    }
    if (o->csv && o->json && strcmp(o->csv, "-") == 0 && strcmp(o->json, "-") == 0)
        rxn__driver_error(driver, "-o and --json cannot both go to standard output");
    return driver->session.diagnostics.error_count == errors;
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
bind_kernel(Run *run, RxnBinding *bindings, u32 *ret_count, i32 *sample_count)
{
    *sample_count = (i32)run->times.count;
    const RxnBinding fixed[] = {
        {"seed", &run->options.seed},     {"parameter", run->values.params},
        {"input", run->values.inputs},    {"sample_time", run->times.times},
        {"sample_count", sample_count},   {"end_time", &run->times.end},
        {"step_limit", &run->step_limit}, {"sample_step", &run->times.step},
    };
    u32 count = 0;
    for (u32 k = 0; k < COUNT_OF(fixed); k++)
        bindings[count++] = fixed[k];
    for (u32 k = 0; k < run->pipeline.kernel.tables.count; k++) {
        const MethodTable *constant = &run->pipeline.kernel.tables.items[k];
        bindings[count++] = (RxnBinding){constant->buffer, constant->data};
    }
    *ret_count = count;
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
        .method = run->pipeline.method->name,
        .device = run->options.device,
        .isa = compiled->isa ? compiled->isa : "none",
        .precision = run->options.precision,
        .lanes = compiled->lanes,
        .seed = run->options.seed,
        .result = &run->result,
        .each = run->options.each || run->options.trajectories == 1,
        .written = run->options.csv != NULL,
    };
}

/* What the table and the plot show of single trajectories. */
static void
make_room(Run *run)
{
    enum { ROWS_IN_TABLE = 20, MOST_VALUES = 8 << 20 };
    if (!run->report.each || (run->options.quiet && !run->options.plot))
        return;
    u64 row = (u64)run->times.count * run->report.columns, wanted = run->options.trajectories;
    if (wanted > ROWS_IN_TABLE)
        wanted = ROWS_IN_TABLE;
    if (wanted > MOST_VALUES / row)
        wanted = row > MOST_VALUES ? 1 : MOST_VALUES / row;
    run->kept_room = wanted;
    run->kept = NEW_ARRAY(&run->pipeline.arena, double, wanted *row);
    run->report.kept = run->kept;
}

static RxnStatus
report_outcome(Run *run, RxnOutcome outcome)
{
    Driver *driver = run->driver;
    switch (outcome) {
    case RXN_DONE: return RXN_OK;
    case RXN_FAULTED:
        rxn__report_fault(driver,
                          &(FaultContext){&run->pipeline, &run->values, &run->result.fault,
                                          run->precision, run->options.seed, run->step_limit});
        return RXN_ERROR_INPUT;
    case RXN_STOPPED:
        rxn__driver_error(driver,
                          "interrupted after %llu of %llu trajectories; nothing was written",
                          (unsigned long long)run->result.trajectories,
                          (unsigned long long)run->options.trajectories);
        return RXN_CANCELLED;
    case RXN_REFUSED: rxn__driver_error(driver, "%s", run->result.error); return RXN_ERROR_INPUT;
    case RXN_NO_MEMORY: rxn__driver_error(driver, "%s", run->result.error); return RXN_ERROR_INPUT;
    case RXN_REJECTED: return RXN_ERROR_INPUT; /* the commit below says why */
    case RXN_BROKEN:
        driver->internal_error = rxn__arena_copy_text(&driver->session.arena, run->result.error,
                                                      strlen(run->result.error));
        return RXN_ERROR_INTERNAL;
    }
    return RXN_ERROR_INTERNAL;
}

static RxnStatus
simulate(Run *run)
{
    u32 count;
    i32 sample_count;
    RxnBinding *bindings =
        NEW_ARRAY(&run->pipeline.arena, RxnBinding, run->pipeline.kernel.tables.count + 16);
    bind_kernel(run, bindings, &count, &sample_count);
    if (run->csv.file && run->report.each)
        rxn__csv_each_header(run->csv.file, &run->report);
    RxnProgress progress;
    rxn__progress_begin(&progress, run->options.quiet ? NULL : stderr);
    RxnEnsemble ensemble = {
        .kernel = &run->kernel,
        .bindings = bindings,
        .binding_count = count,
        .trajectories = run->options.trajectories,
        .sample_count = run->times.count,
        .columns = run->report.columns,
        .threads = (u32)run->options.threads,
        .statistics = !run->report.each,
        .rows = run->report.each ? take_rows : NULL,
        .rows_context = run,
        .cancel = rxn__interrupt_begin(),
        .progress = progress.file ? rxn__progress_show : NULL,
        .progress_context = &progress,
    };
    RxnOutcome outcome = rxn_ensemble_run(&ensemble, &run->result);
    rxn__interrupt_end();
    rxn__progress_end(&progress);
    if (outcome == RXN_REJECTED) {
        rxn__output_commit(run->driver, &run->csv);
        if (run->driver->session.diagnostics.error_count == 0)
            rxn__driver_error(run->driver, "'%s' cannot be written", run->options.csv);
    }
    return report_outcome(run, outcome);
}

/* ---- what is shown ----------------------------------------------------------------------------- */

static RxnStatus
draw(Run *run)
{
    char message[512];
    if (rxn__is_a_source(run->driver, run->options.plot))
        return RXN_ERROR_INPUT;
    if (!rxn__plot_run(&run->report, run->options.plot, message, sizeof message)) {
        rxn__driver_error(run->driver, "the plot '%s' could not be made: %s", run->options.plot,
                          message);
        rxn__driver_note(run->driver,
                         "the simulation itself is good; -o FILE.csv keeps its results");
        return RXN_ERROR_INPUT;
    }
    if (message[0] && !run->options.quiet)
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
    bool stdout_taken =
        (o->csv && strcmp(o->csv, "-") == 0) || (o->json && strcmp(o->json, "-") == 0);
    if (!o->quiet && !stdout_taken)
        rxn__table_run(stdout, &run->report);
    return o->plot ? draw(run) : RXN_OK;
}

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static RxnStatus
run_model(void *context)
{
    Run *run = context;
    Driver *driver = run->driver;
    const RunOptions *o = &run->options;
    PipelineRequest request = {
        .file = run->file,
        .loader = &driver->loader,
        .goal = PIPELINE_COMPILED,
        .method = o->method,
        .device = o->device,
        .precision = run->precision,
        .target = {.lanes = (u32)o->lanes, .cache = o->cache},
        .trajectories = o->trajectories,
    };
    double start = now();
    RxnStatus status = rxn__pipeline_run(&driver->session, &request, &run->pipeline);
    double seconds_compile = now() - start;
    driver->internal_error = run->pipeline.internal_error;
    if (status != RXN_OK)
        return status;
    rxn__driver_flush(driver); /* warnings come before the work that may take long */
    BindRequest bind = {&run->options.sets, o->input, o->seed};
    TimesRequest times = {o->until, o->every, &run->options.at};
    bool good = rxn__bind(driver, &run->pipeline, &bind, &run->values);
    good = rxn__sample_times(driver, &run->pipeline, &times, &run->times) && good;
    if (!good)
        return RXN_ERROR_INPUT;
    describe(run);
    run->report.seconds_compile = seconds_compile;
    rxn__describe_kernel(&run->pipeline, &run->kernel);
    if (o->csv && !rxn__output_open(driver, &run->csv, o->csv))
        return RXN_ERROR_INPUT;
    if (o->json && !rxn__output_open(driver, &run->json, o->json))
        return RXN_ERROR_INPUT;
    if (o->plot && rxn__is_a_source(driver, o->plot))
        return RXN_ERROR_INPUT;
    make_room(run);
    status = simulate(run);
    return status == RXN_OK ? show(run) : status;
}

RxnStatus
rxn__cmd_run(Driver *driver, int argc, char **argv)
{
    Run run = {
        .driver = driver,
        .options = {.trajectories = 1000,
                    .seed = 1,
                    .until = NAN,
                    .every = NAN,
                    .method = "auto",
                    .device = "auto",
                    .precision = "f64",
                    .step_limit = UINT64_C(1) << 47},
    };
    const char *model;
    bool help;
    if (!rxn__options_parse(driver, &table, argc, argv, &run.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(&table, stdout);
        return RXN_OK;
    }
    if (!check_options(driver, &run.options))
        return RXN_ERROR_USAGE;
    run.precision = strcmp(run.options.precision, "f32") == 0 ? KIR_F32 : KIR_F64;
    run.step_limit = run.options.step_limit;
    if (!rxn__load_model(driver, model, &run.file))
        return RXN_ERROR_INPUT;
    /* Inside, memory may run out; what was begun is put away here in any case. */
    RxnStatus status = rxn__session_guard(&driver->session, run_model, &run);
    rxn__output_drop(&run.csv);
    rxn__output_drop(&run.json);
    rxn_ensemble_release(&run.result);
    rxn__driver_close(driver, &run.pipeline);
    return status;
}
