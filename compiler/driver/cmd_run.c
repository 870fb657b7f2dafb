/* cmd_run.c: `rxn run`: simulate a model and show what came out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/command.h"
#include "runtime/report.h"

typedef struct RunOptions {
    EnsembleFlags ensemble;
    uint64_t pilot;
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
    .option_count = sizeof options / sizeof options[0],
    .operand = "MODEL",
    .shared = rxn__ensemble_options,
    .shared_count = ENSEMBLE_OPTION_COUNT,
    .shared_offset = offsetof(RunOptions, ensemble),
};

typedef struct Run {
    Driver *driver;
    const char *path; /* of the model */
    RunOptions options;
    RxnModel *model;
    RxnValues *values;
    RxnSimulator *simulator;
    RxnRunOptions wanted;
    RxnRun plan, result;
    RxnReport report;
    RxnProgress progress;
    const char **labels; /* [report.columns] */
    OutputFile csv, json;
    double *kept; /* see RxnReport */
    uint64_t kept_room;
    bool cannot_write; /* a row */
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
    const char *device = o->ensemble.device;
    if (device && strcmp(device, "cpu") != 0 && strcmp(device, "auto") != 0)
        rxn__driver_error(driver, "--method cme runs on the processor only");
}

static RxnStatus
check_options(Driver *driver, RunOptions *o)
{
    uint32_t errors = rxn__driver_error_count(driver);
    const OutputName outputs[] = {
        {"-o", o->ensemble.csv}, {"--json", o->ensemble.json}, {"--plot", o->plot}};
    RxnStatus status = rxn__driver_check_ensemble(driver, &o->ensemble);
    rxn__outputs_are_apart(driver, outputs, sizeof outputs / sizeof outputs[0]);
    if (is_cme(o))
        check_cme(driver, o);
    if (o->plot && !rxn__plot_knows(o->plot)) {
        rxn__driver_error(driver, "--plot takes a name that ends in .svg or .png, not '%s'",
                          rxn__driver_shown(driver, o->plot));
    }
    if (o->control && (o->each || o->ensemble.trajectories == 1))
        rxn__driver_error(driver,
                          "--control-variates is for means, of which there are none with %s",
                          o->each ? "--each" : "-n 1");
    if (o->control && strcmp(o->method, "auto") != 0 && strcmp(o->method, "direct") != 0 &&
        strcmp(o->method, "direct-unrolled") != 0)
        rxn__driver_error(driver, "--control-variates needs the method direct-unrolled, not '%s'",
                          rxn__driver_shown(driver, o->method));
    if (o->pilot && !o->control)
        rxn__driver_error(driver, "--pilot goes with --control-variates");
    if (o->pilot == 1 || o->pilot > 1000000)
        rxn__driver_error(driver, "--pilot takes 2 .. 1000000");
    if (status != RXN_OK)
        return status;
    return rxn__driver_error_count(driver) == errors ? RXN_OK : RXN_ERROR_USAGE;
}

/* ---- the run ----------------------------------------------------------------------------------- */

static bool
take_rows(void *context, uint64_t first, uint64_t count, const double *samples,
          const uint64_t *events)
{
    Run *run = context;
    (void)events;
    size_t row = (size_t)run->report.sample_count * run->report.columns;
    for (uint64_t k = 0; k < count && first + k < run->kept_room; k++) {
        memcpy(run->kept + (first + k) * row, samples + k * row, row * sizeof(double));
        run->report.kept_count = first + k + 1;
    }
    if (!run->csv.file)
        return true;
    rxn__csv_each_rows(run->csv.file, &run->report, first, count, samples);
    run->cannot_write = ferror(run->csv.file) != 0;
    return !run->cannot_write;
}

static RxnStatus
take_labels(Run *run)
{
    size_t count = rxn_model_count(run->model, RXN_OBSERVABLES);
    run->labels = calloc(count + 1, sizeof *run->labels);
    for (size_t c = 0; run->labels && c < count; c++) {
        const char *label = rxn_model_label(run->model, RXN_OBSERVABLES, c);
        run->labels[c] = label ? strdup(label) : NULL;
        if (!run->labels[c])
            return RXN_ERROR_MEMORY;
    }
    return run->labels ? RXN_OK : RXN_ERROR_MEMORY;
}

static void
describe(Run *run)
{
    const RunOptions *o = &run->options;
    const RxnSimulatorInfo info = rxn_simulator_info(run->simulator);
    run->report.method = info.method;
    run->report.device = info.device;
    run->report.isa = info.isa;
    run->report.precision = info.precision;
    run->report.lanes = info.lanes;
    run->report.seconds_compile = info.seconds_compile;
    run->report.model = rxn_model_name(run->model);
    run->report.labels = run->labels;
    run->report.columns = (uint32_t)run->plan.columns;
    run->report.sample_count = (uint32_t)run->plan.time_count;
    run->report.times = run->plan.times;
    run->report.seed = o->ensemble.seed;
    run->report.run = &run->result;
    run->report.each = o->each || o->ensemble.trajectories == 1;
    run->report.written = o->ensemble.csv != NULL;
}

/* What the table and the plot show of single trajectories. */
static RxnStatus
make_room(Run *run)
{
    enum { ROWS_IN_TABLE = 20, MOST_VALUES = 8 << 20 };
    if (!run->report.each || (run->options.ensemble.quiet && !run->options.plot))
        return RXN_OK;
    uint64_t row = (uint64_t)run->report.sample_count * run->report.columns,
             wanted = run->options.ensemble.trajectories;
    if (wanted > ROWS_IN_TABLE)
        wanted = ROWS_IN_TABLE;
    if (wanted > MOST_VALUES / row)
        wanted = row > MOST_VALUES ? 1 : MOST_VALUES / row;
    run->kept_room = wanted;
    run->kept = calloc(wanted * row + 1, sizeof(double));
    run->report.kept = run->kept;
    return run->kept ? RXN_OK : RXN_ERROR_MEMORY;
}

static RxnStatus
simulate(Run *run)
{
    const RunOptions *o = &run->options;
    RxnError *error;
    if (run->csv.file && run->report.each)
        rxn__csv_each_header(run->csv.file, &run->report);
    rxn__progress_begin(&run->progress, o->ensemble.quiet ? NULL : stderr);
    if (is_cme(o))
        run->progress.counted = NULL;
    run->wanted.statistics = !run->report.each;
    run->wanted.rows = run->report.each ? take_rows : NULL;
    run->wanted.rows_context = run;
    run->wanted.progress = run->progress.file ? rxn__progress_show : NULL;
    run->wanted.progress_context = &run->progress;
    run->wanted.cancel = rxn__interrupt_begin();
    RxnStatus status = rxn_run(run->simulator, run->values, &run->wanted, &run->result, &error);
    rxn__interrupt_end();
    rxn__progress_end(&run->progress);
    if (!run->cannot_write) {
        describe(run); /* with control variates it is known now what was compiled */
        return rxn__driver_take(run->driver, status, error);
    }
    rxn_error_free(error);
    uint32_t errors = rxn__driver_error_count(run->driver);
    rxn__output_commit(run->driver, &run->csv);
    if (rxn__driver_error_count(run->driver) == errors)
        rxn__driver_error(run->driver, "'%s' cannot be written", o->ensemble.csv);
    return RXN_ERROR_INPUT;
}

/* ---- what is shown ----------------------------------------------------------------------------- */

static RxnStatus
draw(Run *run)
{
    char message[512];
    if (rxn__driver_overwrites_input(run->driver, run->options.plot))
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

/* ---- the way of a request ---------------------------------------------------------------------- */

/* All that is wrong with values and times, before anything is written. */
static RxnStatus
plan(Run *run)
{
    const RunOptions *o = &run->options;
    RxnError *error;
    RxnStatus status = rxn__driver_values(run->driver, run->model, &o->ensemble, &run->values);
    if (!run->values)
        return status;
    run->wanted = rxn__driver_run(&o->ensemble);
    run->wanted.until = o->until;
    run->wanted.every = o->every;
    run->wanted.at = o->at.items;
    run->wanted.at_count = o->at.count;
    run->wanted.pilot = o->pilot;
    run->wanted.plan = true;
    const RxnValues *values =
        status == RXN_OK ? run->values : NULL; /* what is wrong with them has been said */
    RxnStatus planned = rxn_run(run->simulator, values, &run->wanted, &run->plan, &error);
    run->wanted.plan = false;
    planned = rxn__driver_take(run->driver, planned, error);
    return status == RXN_OK ? planned : status;
}

static RxnStatus
run_model(void *context)
{
    Run *run = context;
    Driver *driver = run->driver;
    const RunOptions *o = &run->options;
    RxnError *error;
    RxnStatus status = rxn__driver_model(driver, run->path, false, &run->model);
    if (status != RXN_OK)
        return status;
    RxnSimulatorOptions kernel = rxn__driver_kernel(&o->ensemble, o->method);
    kernel.control_variates = o->control;
    if (is_cme(o))
        kernel.device = "cpu";
    status = rxn_simulator_new(run->model, &kernel, &run->simulator, &error);
    status = rxn__driver_take(driver, status, error);
    if (status == RXN_OK)
        status = plan(run);
    if (status == RXN_OK)
        status = take_labels(run);
    if (status != RXN_OK)
        return status;
    describe(run);
    if (o->ensemble.csv && !rxn__output_open(driver, &run->csv, o->ensemble.csv))
        return RXN_ERROR_INPUT;
    if (o->ensemble.json && !rxn__output_open(driver, &run->json, o->ensemble.json))
        return RXN_ERROR_INPUT;
    if (o->plot && rxn__driver_overwrites_input(driver, o->plot))
        return RXN_ERROR_INPUT;
    status = make_room(run);
    if (status == RXN_OK)
        status = simulate(run);
    return status == RXN_OK ? show(run) : status;
}

RxnStatus
rxn__cmd_run(Driver *driver, int argc, char **argv)
{
    Run run = {
        .driver = driver,
        .options = {.ensemble = rxn__ensemble_flags(),
                    .until = NAN,
                    .every = NAN,
                    .method = "auto"},
    };
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_run, argc, argv, &run.options, &run.path, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_run, stdout);
        return RXN_OK;
    }
    RxnStatus status = check_options(driver, &run.options);
    if (status != RXN_OK)
        return status;
    /* Inside, memory may run out; what was begun is put away here in any case. */
    status = rxn__driver_guard(driver, run_model, &run);
    rxn__output_drop(&run.csv);
    rxn__output_drop(&run.json);
    for (size_t c = 0; run.labels && run.labels[c]; c++)
        free((char *)(uintptr_t)run.labels[c]);
    rxn_run_release(&run.plan);
    rxn_run_release(&run.result);
    rxn_simulator_free(run.simulator);
    rxn_values_free(run.values);
    free(run.labels);
    free(run.kept);
    rxn__driver_end(driver);
    return status;
}
