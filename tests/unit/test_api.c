/* test_api.c: the library (runtime/rxn.h) does all that its header says, once, on small models with known answers; what it refuses
 * and how; and that repeated use keeps nothing.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_fixture.h"

static const char decay[] = "model decay\n"
                            "param k = 0.1 in 1e-3 .. 10 fit\n"
                            "param twice = 2 * k\n"
                            "species A = 100, B = 0\n"
                            "fall: A -> B @ k\n"
                            "simulate until 10 every 5\n";

static const char arrays[] =
    "model arrays\n"
    "param W[2, 3] = 1, n ~ normal(3, 1)\n"
    "input x[3]\n"
    "species S[2] = 0\n"
    "for i in 0 .. 1 { make: 0 => S[i] @ sum(j in 0 .. 2: W[i,j] * x[j]) }\n"
    "observe S\n";

/* The device that every build has; that of users where there is LLVM. */
static const char *device = "interpreter";

static RxnSimulator *
compile(RxnModel *model)
{
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnSimulator *simulator;
    RxnError *error;
    options.device = device;
    if (rxn_simulator_new(model, &options, &simulator, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    return simulator;
}

/* ---- models ------------------------------------------------------------------------------------ */

static void
test_model(void **state)
{
    (void)state;
    RxnModel *model = parse(arrays);
    size_t first, count;
    assert_string_equal(rxn_model_name(model), "arrays");
    assert_int_equal(rxn_model_count(model, RXN_PARAMETERS), 7);
    assert_int_equal(rxn_model_count(model, RXN_INPUTS), 3);
    assert_int_equal(rxn_model_count(model, RXN_SPECIES), 2);
    assert_int_equal(rxn_model_count(model, RXN_OBSERVABLES), 2);
    assert_int_equal(rxn_model_count(model, RXN_REACTIONS), 2);
    assert_string_equal(rxn_model_label(model, RXN_PARAMETERS, 4), "W[1,1]");
    assert_string_equal(rxn_model_label(model, RXN_PARAMETERS, 6), "n");
    assert_string_equal(rxn_model_label(model, RXN_INPUTS, 2), "x[2]");
    assert_string_equal(rxn_model_label(model, RXN_SPECIES, 1), "S[1]");
    assert_string_equal(rxn_model_label(model, RXN_OBSERVABLES, 0), "S[0]");
    assert_string_equal(rxn_model_label(model, RXN_REACTIONS, 1), "make[1]");
    assert_null(rxn_model_label(model, RXN_SPECIES, 2));
    for (int kind = RXN_PARAMETERS; kind <= RXN_REACTIONS; kind++)
        for (size_t k = 0; k < rxn_model_count(model, (RxnKind)kind); k++) {
            const char *label = rxn_model_label(model, (RxnKind)kind, k);
            assert_true(rxn_model_find(model, (RxnKind)kind, label, &first, &count));
            assert_int_equal(first, k);
            assert_int_equal(count, 1);
        }
    assert_true(rxn_model_find(model, RXN_PARAMETERS, "W", &first, &count));
    assert_int_equal(first, 0);
    assert_int_equal(count, 6);
    assert_false(rxn_model_find(model, RXN_PARAMETERS, "W[2,0]", &first, &count));
    assert_false(rxn_model_find(model, RXN_PARAMETERS, "W[0]", &first, &count));
    assert_false(rxn_model_find(model, RXN_PARAMETERS, "S", &first, &count));
    assert_false(rxn_model_has_fit(model));
    rxn_model_free(model);
    rxn_model_free(NULL);
}

static void
test_open(void **state)
{
    (void)state;
    RxnModel *model;
    RxnError *error;
    assert_int_equal(rxn_model_open("dimerisation", NULL, &model, &error), RXN_OK);
    assert_string_equal(rxn_model_name(model), "dimerisation");
    rxn_model_free(model);
    RxnStatus status = rxn_model_open("/nowhere/x.rxn", NULL, &model, &error);
    assert_null(model);
    expect_error(status, RXN_ERROR_INPUT, error,
                 "error: '/nowhere/x.rxn' cannot be read: No such file or directory");
}

static void
test_wrong_text(void **state)
{
    (void)state;
    RxnModelOptions options = rxn_model_options();
    RxnModel *model;
    RxnError *error;
    options.name = "typed";
    RxnStatus status = rxn_model_parse("species A = 1\nparam koff = 1\nA -> 0 @ kof\nB -> 0 @ 1\n",
                                       &options, &model, &error);
    assert_null(model);
    assert_int_equal(rxn_error_count(error), 4);
    RxnMessage message = rxn_error_message(error, 0);
    assert_int_equal(message.severity, RXN_ERROR);
    assert_string_equal(message.file, "typed");
    assert_int_equal(message.line, 3);
    assert_int_equal(message.column, 10);
    assert_int_equal(message.first, 38);
    assert_int_equal(message.length, 3);
    message = rxn_error_message(error, 1);
    assert_int_equal(message.severity, RXN_NOTE);
    assert_string_equal(message.text, "did you mean 'koff'?");
    assert_null(message.file);
    assert_int_equal(rxn_error_message(error, 2).line, 4);
    assert_string_equal(rxn_error_message(error, 4).text, ""); /* there is none */
    expect_error(status, RXN_ERROR_INPUT, error,
                 "typed:3:10: error: unknown name 'kof'\n"
                 "A -> 0 @ kof\n"
                 "         ^~~\n"
                 "note: did you mean 'koff'?\n"
                 "typed:4:1: error: unknown species 'B'\n"
                 "B -> 0 @ 1\n"
                 "^\n"
                 "note: declare it, as in 'species B = 0'");
    assert_int_equal(rxn_model_parse("species", NULL, &model, NULL), RXN_ERROR_INPUT);
    assert_null(model);
    rxn_error_free(NULL);
    assert_int_equal(rxn_error_count(NULL), 0);
    assert_string_equal(rxn_error_text(NULL), "");
}

typedef struct Heard {
    unsigned count;
    RxnSeverity severity;
    char text[400];
} Heard;

static void
hear(void *context, RxnSeverity severity, const char *text)
{
    Heard *heard = context;
    heard->count++;
    heard->severity = severity;
    snprintf(heard->text, sizeof heard->text, "%s", text);
}

static bool
load(void *context, const char *from, const char *path, char **ret_path, char **ret_text,
     size_t *ret_length, const char **ret_reason)
{
    unsigned *calls = context;
    (*calls)++;
    assert_string_equal(from, "whole");
    if (strcmp(path, "part.rxn") != 0) {
        *ret_reason = "only one is here";
        return false;
    }
    *ret_path = strdup("memory:part");
    *ret_text = strdup("species P = 3\nP -> 0 @ 1\n");
    *ret_length = strlen(*ret_text);
    return true;
}

/* Files come from the caller, each once; a simulator needs no more of them. */
static void
test_load(void **state)
{
    (void)state;
    unsigned calls = 0;
    RxnModelOptions options = rxn_model_options();
    RxnModel *model;
    RxnError *error;
    options.name = "whole";
    options.load = load;
    options.load_context = &calls;
    assert_int_equal(
        rxn_model_parse("use \"part.rxn\" as a\nuse \"part.rxn\" as b\n", &options, &model, &error),
        RXN_OK);
    assert_int_equal(calls, 1);
    assert_string_equal(rxn_model_label(model, RXN_SPECIES, 1), "b.P");
    rxn_simulator_free(compile(model));
    assert_int_equal(calls, 1);
    rxn_model_free(model);
    RxnStatus status = rxn_model_parse("use \"other.rxn\" as a\n", &options, &model, &error);
    expect_error(
        status, RXN_ERROR_INPUT, error,
        "whole:1:1: error: cannot read 'other.rxn': only one is here\n"
        "use \"other.rxn\" as a\n"
        "^~~~~~~~~~~~~~~~~~~~\n"
        "note: a path starts at the folder of the file that names it; the models that come "
        "with rxn need only their name");
}

/* Said once, when the model is read. */
static void
test_warning(void **state)
{
    (void)state;
    Heard heard = {0};
    RxnModelOptions options = rxn_model_options();
    RxnModel *model;
    options.tell = hear;
    options.tell_context = &heard;
    assert_int_equal(rxn_model_parse("species A = 1\nparam k = 1, idle = 2\nA -> 0 @ k * (A < 0)\n"
                                     "simulate until 1 every 1\n",
                                     &options, &model, NULL),
                     RXN_ERROR_INPUT); /* a number is not a condition */
    assert_int_equal(rxn_model_parse("species A = 1\nparam k = 1\nA -> A @ k\n"
                                     "simulate until 1 every 1\n",
                                     &options, &model, NULL),
                     RXN_OK);
    unsigned told = heard.count;
    rxn_simulator_free(compile(model));
    assert_int_equal(heard.count, told);
    rxn_model_free(model);
}

static void
test_memory_limit(void **state)
{
    (void)state;
    RxnModelOptions options = rxn_model_options();
    RxnModel *model = NULL;
    RxnError *error;
    bool too_little = false, enough = false;
    for (size_t limit = 1; limit < 64 << 20 && !enough; limit *= 2) {
        options.memory_limit = limit;
        RxnStatus status = rxn_model_parse(decay, &options, &model, &error);
        if (status == RXN_OK) {
            enough = true;
            rxn_model_free(model);
            continue;
        }
        too_little = true;
        assert_null(model);
        assert_int_equal(rxn_error_count(error), 1);
        assert_string_equal(rxn_error_message(error, 0).text, "out of memory");
        expect_error(status, RXN_ERROR_MEMORY, error, "error: out of memory");
    }
    assert_true(too_little && enough);
}

/* ---- values ------------------------------------------------------------------------------------ */

static void
test_values(void **state)
{
    (void)state;
    RxnModel *model = parse(decay);
    RxnValues *values = own_values(model), *other;
    RxnError *error;
    assert_true(rxn_values_get(values, RXN_PARAMETERS)[0] == 0.1);
    assert_true(rxn_values_get(values, RXN_PARAMETERS)[1] == 0.2);
    assert_int_equal(rxn_values_set(values, "k", 0.5, &error), RXN_OK);
    assert_true(rxn_values_get(values, RXN_PARAMETERS)[1] == 1); /* it follows */
    assert_int_equal(rxn_values_copy(values, &other, &error), RXN_OK);
    assert_int_equal(rxn_values_set(other, "twice", 7, &error), RXN_OK);
    assert_int_equal(rxn_values_set(other, "k", 2, &error), RXN_OK);
    assert_true(rxn_values_get(other, RXN_PARAMETERS)[1] == 7); /* not any more */
    assert_true(rxn_values_get(values, RXN_PARAMETERS)[0] == 0.5);
    rxn_values_free(other);
    expect_error(rxn_values_set(values, "kk", 1, &error), RXN_ERROR_INPUT, error,
                 "error: the model has no param or input 'kk'\nnote: did you mean 'k'?");
    expect_error(rxn_values_set(values, "k", 20, &error), RXN_ERROR_INPUT, error,
                 "error: k = 20 is outside of its bounds 0.001 .. 10");
    expect_error(rxn_values_set(values, "k", NAN, &error), RXN_ERROR_INPUT, error,
                 "error: the value of 'k' is not a finite number");
    double numbers[] = {3, 4};
    assert_int_equal(rxn_values_put(values, RXN_PARAMETERS, 0, 2, numbers, &error), RXN_OK);
    assert_true(rxn_values_get(values, RXN_PARAMETERS)[1] == 4);
    expect_error(rxn_values_put(values, RXN_PARAMETERS, 1, 2, numbers, &error), RXN_ERROR_USAGE,
                 error, "error: there are 2 parameters, not 2 from number 1 on");
    expect_error(rxn_values_put(values, RXN_SPECIES, 0, 1, numbers, &error), RXN_ERROR_USAGE, error,
                 "error: only parameters and inputs can be set");
    numbers[0] = 11;
    expect_error(rxn_values_put(values, RXN_PARAMETERS, 0, 1, numbers, &error), RXN_ERROR_INPUT,
                 error, "error: k = 11 is outside of its bounds 0.001 .. 10");
    expect_error(rxn_values_load(values, "/nowhere.json", &error), RXN_ERROR_INPUT, error,
                 "error: '/nowhere.json' cannot be read: No such file or directory");
    assert_null(rxn_values_get(values, RXN_SPECIES));
    rxn_values_free(values);
    rxn_model_free(model);
}

static void
test_arrays(void **state)
{
    (void)state;
    RxnModel *model = parse(arrays);
    RxnSimulator *simulator = compile(model);
    RxnValues *values = own_values(model), *drawn;
    RxnRunOptions options = rxn_run_options();
    RxnRun run;
    RxnError *error;
    assert_true(isnan(rxn_values_get(values, RXN_INPUTS)[0]));
    assert_int_equal(rxn_values_new(model, 2, &drawn, &error), RXN_OK);
    assert_true(rxn_values_get(values, RXN_PARAMETERS)[6] !=
                rxn_values_get(drawn, RXN_PARAMETERS)[6]);
    rxn_values_free(drawn);
    options.until = 1;
    options.every = 1;
    RxnStatus status = rxn_run(simulator, values, &options, &run, &error);
    assert_null(run.own);
    expect_error(status, RXN_ERROR_INPUT, error,
                 "error: an input is not given: 'x'\n"
                 "note: give them with --input FILE.csv or --set x=…");
    assert_int_equal(rxn_values_set(values, "x", 1, &error), RXN_OK);
    assert_int_equal(rxn_values_set(values, "W[1,2]", 10, &error), RXN_OK);
    options.at = (const double[]){0.5};
    options.at_count = 1;
    options.every = NAN;
    options.trajectories = 2000;
    assert_int_equal(rxn_run(simulator, values, &options, &run, &error), RXN_OK);
    assert_int_equal(run.columns, 2);
    assert_int_equal(run.time_count, 1);
    assert_true(run.times[0] == 0.5);
    /* Poisson of 1.5 and 6: means within five standard errors. */
    assert_true(fabs(run.mean[0] - 1.5) < 5 * sqrt(1.5 / 2000));
    assert_true(fabs(run.mean[1] - 6) < 5 * sqrt(6.0 / 2000));
    assert_true(fabs(run.sd[1] / sqrt(6) - 1) < 0.1);
    rxn_run_release(&run);
    rxn_run_release(&run);
    rxn_values_free(values);
    rxn_simulator_free(simulator);
    rxn_model_free(model);
}

/* ---- runs -------------------------------------------------------------------------------------- */

typedef struct Kept {
    uint64_t count, most, events;
    double last[64][3][2];
} Kept;

static bool
keep(void *context, uint64_t first, uint64_t count, const double *samples, const uint64_t *events)
{
    Kept *kept = context;
    assert_int_equal(first, kept->count);
    memcpy(kept->last[first], samples, count * sizeof kept->last[0]);
    for (uint64_t k = 0; k < count; k++)
        kept->events += events[k];
    kept->count += count;
    return kept->count < kept->most;
}

static void
test_run(void **state)
{
    (void)state;
    RxnModel *model = parse(decay);
    RxnSimulator *simulator = compile(model);
    RxnValues *values = own_values(model);
    RxnRunOptions options = rxn_run_options();
    RxnRun run, again;
    RxnError *error;
    Kept kept = {.most = UINT64_MAX}, part = {.most = UINT64_MAX};
    options.trajectories = 64;
    options.rows = keep;
    options.rows_context = &kept;
    assert_int_equal(rxn_run(simulator, values, &options, &run, &error), RXN_OK);
    assert_int_equal(run.trajectories, 64);
    assert_int_equal(run.time_count, 3);
    assert_true(run.times[2] == 10);
    assert_int_equal(kept.count, 64);
    assert_int_equal(kept.events, run.events);
    double sum = 0;
    for (int k = 0; k < 64; k++) {
        sum += kept.last[k][2][0];
        assert_true(kept.last[k][2][0] + kept.last[k][2][1] == 100);
    }
    assert_true(fabs(run.mean[4] - sum / 64) < 1e-12);
    /* The same again, with another number of threads; then the second half alone. */
    options.rows = NULL;
    options.threads = 3;
    assert_int_equal(rxn_run(simulator, values, &options, &again, &error), RXN_OK);
    assert_memory_equal(run.mean, again.mean, 6 * sizeof(double));
    assert_memory_equal(run.sd, again.sd, 6 * sizeof(double));
    rxn_run_release(&again);
    options.first = 32;
    options.trajectories = 32;
    options.rows = keep;
    options.rows_context = &part;
    part.count = 32;
    assert_int_equal(rxn_run(simulator, values, &options, &again, &error), RXN_OK);
    assert_memory_equal(part.last + 32, kept.last + 32, 32 * sizeof part.last[0]);
    rxn_run_release(&again);
    options.first = 0;
    options.statistics = false;
    part = (Kept){.most = UINT64_MAX};
    assert_int_equal(rxn_run(simulator, values, &options, &again, &error), RXN_OK);
    assert_null(again.mean);
    assert_null(again.sd);
    rxn_run_release(&again);
    rxn_run_release(&run);
    rxn_values_free(values);
    RxnSimulatorInfo info = rxn_simulator_info(simulator);
    assert_non_null(info.why);
    assert_string_equal(info.device, device);
    assert_string_equal(info.precision, "f64");
    rxn_simulator_free(simulator);
    rxn_model_free(model);
}

/* What a run would be: its times, and all that is wrong with it. */
static void
test_plan(void **state)
{
    (void)state;
    RxnModel *model = parse(arrays);
    RxnSimulator *simulator = compile(model);
    RxnValues *values = own_values(model);
    RxnRunOptions options = rxn_run_options();
    RxnRun run;
    RxnError *error;
    options.plan = true;
    expect_error(rxn_run(simulator, values, &options, &run, &error), RXN_ERROR_INPUT, error,
                 "error: an input is not given: 'x'\n"
                 "note: give them with --input FILE.csv or --set x=…\n"
                 "error: nothing says how long to simulate\n"
                 "note: give --until T, or write 'simulate until T every DT' in the model");
    options.until = 2;
    options.every = 1;
    assert_int_equal(rxn_run(simulator, NULL, &options, &run, &error), RXN_OK);
    assert_int_equal(run.time_count, 3);
    assert_true(run.times[2] == 2);
    assert_int_equal(run.trajectories, 0);
    assert_null(run.mean);
    rxn_run_release(&run);
    options.plan = false;
    expect_error(rxn_run(simulator, NULL, &options, &run, &error), RXN_ERROR_USAGE, error,
                 "error: there are no values");
    rxn_values_free(values);
    rxn_simulator_free(simulator);
    rxn_model_free(model);
}

static void
test_ended(void **state)
{
    (void)state;
    RxnModel *model = parse(decay);
    RxnSimulator *simulator = compile(model);
    RxnValues *values = own_values(model);
    RxnRunOptions options = rxn_run_options();
    RxnRun run;
    RxnError *error;
    volatile int cancel = 1;
    options.cancel = &cancel;
    options.threads = 1;
    options.trajectories = 1000000;
    RxnStatus status = rxn_run(simulator, values, &options, &run, &error);
    assert_int_equal(status, RXN_CANCELLED);
    assert_non_null(strstr(rxn_error_text(error), "error: interrupted after "));
    rxn_error_free(error);
    assert_true(run.trajectories < 1000000);
    assert_non_null(run.mean);
    rxn_run_release(&run);
    Kept kept = {.most = 1};
    options.cancel = NULL;
    options.rows = keep;
    options.rows_context = &kept;
    options.trajectories = 64;
    status = rxn_run(simulator, values, &options, &run, &error);
    assert_int_equal(status, RXN_CANCELLED);
    assert_int_equal(run.trajectories, kept.count);
    rxn_error_free(error);
    rxn_run_release(&run);
    rxn_values_free(values);
    rxn_simulator_free(simulator);
    rxn_model_free(model);
}

static void
test_refused(void **state)
{
    (void)state;
    RxnModel *model = parse(decay), *second = parse(decay);
    RxnSimulator *simulator;
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnRunOptions run_options = rxn_run_options();
    RxnValues *values = own_values(second);
    RxnRun run;
    RxnError *error;
    options.device = "tpu";
    expect_error(rxn_simulator_new(model, &options, &simulator, &error), RXN_ERROR_USAGE, error,
                 "error: there is no device 'tpu'\nnote: devices: auto, cpu, cuda, cuda:0,1");
    assert_null(simulator);
    expect_error(rxn_simulator_check(&options, NULL, &error), RXN_ERROR_USAGE, error,
                 "error: there is no device 'tpu'\nnote: devices: auto, cpu, cuda, cuda:0,1");
    options.lanes = 3;
    options.device = device;
    run_options.threads = 5000;
    run_options.trajectories = 0;
    expect_error(rxn_simulator_check(&options, &run_options, &error), RXN_ERROR_USAGE, error,
                 "error: -n is 0; at least one trajectory is needed\n"
                 "error: --threads 5000 is more than 4096\n"
                 "error: --lanes takes 1, 2, 4, 8, 16 or 32");
    assert_int_equal(rxn_simulator_check(NULL, NULL, &error), RXN_OK);
    options.lanes = run_options.threads = 0;
    options.precision = "f16";
    expect_error(rxn_simulator_new(model, &options, &simulator, &error), RXN_ERROR_USAGE, error,
                 "error: there is no precision 'f16'\nnote: precisions: f64, f32");
    options.precision = "f64";
    options.method = "cme";
    options.device = "interpreter";
    expect_error(rxn_simulator_new(model, &options, &simulator, &error), RXN_ERROR_USAGE, error,
                 "error: the method 'cme' runs on the processor only");
    simulator = compile(model);
    expect_error(rxn_run(simulator, values, NULL, &run, &error), RXN_ERROR_USAGE, error,
                 "error: these values are of another model");
    rxn_values_free(values);
    values = own_values(model);
    run_options.trajectories = 0;
    expect_error(rxn_run(simulator, values, &run_options, &run, &error), RXN_ERROR_USAGE, error,
                 "error: -n is 0; at least one trajectory is needed");
    run_options.trajectories = 1;
    run_options.until = -1;
    expect_error(rxn_run(simulator, values, &run_options, &run, &error), RXN_ERROR_INPUT, error,
                 "error: --until is -1; it has to be a positive time");
    rxn_values_free(values);
    rxn_simulator_free(simulator);
    rxn_model_free(second);
    rxn_model_free(model);
    model = parse("species A = 0\nA -> 0 @ 1\n0 => A @ 5 - A\nsimulate until 50 every 50\n"
                  "at 1: A = 10\n");
    simulator = compile(model);
    values = own_values(model);
    RxnStatus status = rxn_run(simulator, values, NULL, &run, &error);
    assert_int_equal(status, RXN_ERROR_INPUT);
    assert_int_equal(rxn_error_message(error, 0).line, 3);
    assert_non_null(strstr(rxn_error_text(error), "in trajectory 0 at time 1"));
    rxn_error_free(error);
    rxn_values_free(values);
    rxn_simulator_free(simulator);
    rxn_model_free(model);
}

/* The error begins with this. */
static void
check_refusal(RxnStatus status, RxnError *error, const char *text)
{
    assert_int_equal(status, RXN_ERROR_INPUT);
    const char *got = rxn_error_message(error, 0).text;
    if (strncmp(got, text, strlen(text)) != 0)
        fail_msg("%s", got);
    rxn_error_free(error);
}

static void
test_master_equation(void **state)
{
    (void)state;
    RxnModel *model = parse(decay);
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnSimulator *simulator;
    RxnValues *values = own_values(model);
    RxnRun run;
    RxnError *error;
    options.method = "cme";
    assert_int_equal(rxn_simulator_new(model, &options, &simulator, &error), RXN_OK);
    assert_int_equal(rxn_run(simulator, values, NULL, &run, &error), RXN_OK);
    assert_true(run.exact);
    assert_true(run.states > 50 && run.states <= 101);
    assert_true(fabs(run.mean[4] - 100 * exp(-1)) < 1e-6);
    assert_true(fabs(run.sd[4] - sqrt(100 * exp(-1) * (1 - exp(-1)))) < 1e-6);
    rxn_run_release(&run);
    RxnRunOptions limited = rxn_run_options();
    limited.state_limit = 50;
    RxnStatus status = rxn_run(simulator, values, &limited, &run, &error);
    check_refusal(status, error,
                  "the method 'cme' cannot solve this model: more than 50 states hold probability");
    limited.state_limit = 0;
    limited.work_limit = 100;
    status = rxn_run(simulator, values, &limited, &run, &error);
    check_refusal(status, error,
                  "the method 'cme' cannot solve this model: it would take more than 1e+02 mult");
    rxn_values_free(values);
    rxn_simulator_free(simulator);
    rxn_model_free(model);
}

static void
test_control_variates(void **state)
{
    (void)state;
    RxnModel *model = parse(decay);
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnRunOptions run_options = rxn_run_options();
    RxnSimulator *simulator;
    RxnValues *values = own_values(model);
    RxnRun run;
    RxnError *error;
    options.device = device;
    options.control_variates = true;
    run_options.trajectories = 500;
    assert_int_equal(rxn_simulator_new(model, &options, &simulator, &error), RXN_OK);
    for (int round = 0; round < 2; round++) {
        if (rxn_run(simulator, values, &run_options, &run, &error) != RXN_OK)
            fail_msg("%s", rxn_error_text(error));
        assert_int_equal(run.pilot, 250);
        assert_true(fabs(run.mean[4] - 100 * exp(-1)) < 5 * run.se[4] + 1e-9);
        assert_true(run.most_gain > 10);
        rxn_run_release(&run);
    }
    run_options.trajectories = 1;
    expect_error(
        rxn_run(simulator, values, &run_options, &run, &error), RXN_ERROR_USAGE, error,
        "error: control variates are for the means of a whole ensemble: there are none with "
        "one trajectory");
    rxn_values_free(values);
    rxn_simulator_free(simulator);
    rxn_model_free(model);
}

/* Code goes from one model to the next where kernels are the same, and lives as long as either has it. */
static void
test_like(void **state)
{
    (void)state;
    const bool shares = strcmp(device, "cpu") == 0; /* the interpreter has no code to share */
    RxnModel *model = parse(decay),
             *second = parse("species A = 100, B = 0\n"
                             "param k = 0.1 in 1e-3 .. 10 fit, twice = 3\n"
                             "fall: A -> B @ k # the same\n"),
             *third = parse("species A = 50, B = 0\nparam k = 0.1, l = 1\nA -> B @ k * l\n");
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnSimulator *first = compile(model), *like, *unlike;
    RxnRunOptions run_options = rxn_run_options();
    RxnError *error;
    RxnRun run, again;
    options.device = device;
    options.like = first;
    assert_int_equal(rxn_simulator_new(second, &options, &like, &error), RXN_OK);
    assert_int_equal(rxn_simulator_info(like).reused, shares);
    assert_int_equal(rxn_simulator_new(third, &options, &unlike, &error), RXN_OK);
    assert_false(rxn_simulator_info(unlike).reused);
    rxn_simulator_free(first);
    rxn_model_free(model);
    first = compile(second);
    RxnValues *values = own_values(second);
    run_options.until = 1;
    assert_int_equal(rxn_run(like, values, &run_options, &run, &error), RXN_OK);
    assert_int_equal(rxn_run(first, values, &run_options, &again, &error), RXN_OK);
    assert_int_equal(run.time_count, again.time_count);
    assert_memory_equal(run.mean, again.mean, run.time_count * 2 * sizeof(double));
    rxn_run_release(&run);
    rxn_run_release(&again);
    rxn_values_free(values);
    rxn_simulator_free(like);
    rxn_simulator_free(unlike);
    rxn_simulator_free(first);
    rxn_model_free(second);
    rxn_model_free(third);
}

/* ---- derivatives ------------------------------------------------------------------------------- */

static void
test_derivatives(void **state)
{
    (void)state;
    RxnModel *model = parse(decay);
    RxnValues *values = own_values(model);
    RxnDifferentiatorOptions options = rxn_differentiator_options();
    RxnDifferentiator *d;
    RxnRunOptions run_options = rxn_run_options();
    RxnDerivatives found;
    RxnError *error;
    static const char *const estimators[] = {"score", "path-adjoint", "martingale", "exact"};
    options.kernel.device = device;
    options.of = (const char *const[]){"A", "var(A)"};
    options.of_count = 2;
    options.at = (const double[]){5};
    options.at_count = 1;
    run_options.trajectories = 4000;
    for (size_t e = 0; e < sizeof estimators / sizeof estimators[0]; e++) {
        options.estimator = estimators[e];
        options.kernel.device = strcmp(estimators[e], "exact") == 0 ? "cpu" : device;
        if (rxn_differentiator_new(model, &options, values, &d, &error) != RXN_OK)
            fail_msg("%s: %s", estimators[e], rxn_error_text(error));
        RxnDifferentiatorInfo info = rxn_differentiator_info(d);
        assert_string_equal(info.estimator, estimators[e]);
        assert_int_equal(info.output_count, 2);
        assert_int_equal(info.parameter_count, 1);
        assert_string_equal(info.outputs[1], "var(A) at 5");
        assert_string_equal(info.parameters[0], "k");
        assert_true(info.unbiased || e == 1); /* of a variance, path is not */
        assert_int_equal(info.exact, e == 3);
        for (double k = 0.1; k < 0.3; k += 0.1) { /* once compiled, anywhere */
            double p = exp(-5 * k);
            assert_int_equal(rxn_values_set(values, "k", k, &error), RXN_OK);
            if (rxn_differentiate(d, values, &run_options, &found, &error) != RXN_OK)
                fail_msg("%s: %s", estimators[e], rxn_error_text(error));
            assert_true(fabs(found.value[0] - 100 * p) <= 5 * found.value_se[0] + 1e-6);
            assert_true(fabs(found.gradient[0] + 500 * p) <= 5 * found.se[0] + 1e-4);
            assert_true(!info.unbiased ||
                        fabs(found.gradient[1] - 500 * p * (2 * p - 1)) <= 5 * found.se[1] + 1e-4);
            assert_true(e == 3 || found.se[0] > 0);
        }
        rxn_differentiator_free(d);
    }
    options.estimator = "auto";
    options.of = (const char *const[]){"Q"};
    options.of_count = 1;
    assert_int_equal(rxn_differentiator_new(model, &options, values, &d, &error), RXN_ERROR_USAGE);
    assert_null(d);
    assert_string_equal(rxn_error_message(error, 0).file, "--of");
    rxn_error_free(error);
    rxn_values_free(values);
    rxn_model_free(model);
}

/* ---- fits -------------------------------------------------------------------------------------- */

static const char fitted[] = "model fitted\n"
                             "param k = 0.3 in 1e-3 .. 10 fit, c = 2\n"
                             "species A = 1000\n"
                             "A -> 0 @ k\n"
                             "fit {\n"
                             "  data \"%s\"\n"
                             "  loss mse(mean(A), data.A)\n"
                             "  trajectories 100\n"
                             "  steps 15\n"
                             "}\n";

typedef struct Steps {
    unsigned count;
    volatile int cancel;
    unsigned most;
    double loss;
} Steps;

static void
take_step(void *context, const RxnFitStep *step)
{
    Steps *steps = context;
    assert_int_equal(step->step, steps->count);
    steps->loss = step->loss;
    if (++steps->count == steps->most)
        steps->cancel = 1;
}

static char *
write_file(const char *text)
{
    char *path = strdup("/tmp/rxn-test-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    close(file);
    return path;
}

static void
test_fit(void **state)
{
    (void)state;
    char text[400];
    char *table = write_file("time,A\n2,607\n4,368\n6,223\n"), *kept = write_file(""),
         *result = write_file("");
    unlink(kept);
    snprintf(text, sizeof text, fitted, table);
    RxnModel *model = parse(text);
    RxnValues *values = own_values(model), *found, *loaded = own_values(model);
    RxnFitOptions options = rxn_fit_options();
    Steps steps = {0};
    RxnFit *fit;
    RxnFitted whole, half;
    RxnError *error;
    assert_true(rxn_model_has_fit(model));
    assert_int_equal(rxn_values_set(values, "c", 5, &error), RXN_OK);
    options.kernel.device = device;
    options.step = take_step;
    options.step_context = &steps;
    options.cancel = &steps.cancel;
    if (rxn_fit_new(model, &options, values, &fit, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    expect_error(rxn_fit_values(fit, &found, &error), RXN_ERROR_USAGE, error,
                 "error: this fit has not been trained");
    if (rxn_fit_train(fit, &whole, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_int_equal(whole.parameter_count, 1);
    assert_string_equal(whole.labels[0], "k");
    assert_string_equal(whole.ending, "all steps are done");
    assert_int_equal(steps.count, 15);
    assert_true(fabs(whole.value[0] - 0.25) < 0.005);
    assert_true(whole.se[0] > 0 && whole.se[0] < 0.05);
    double value = whole.value[0];
    assert_int_equal(rxn_fit_values(fit, &found, &error), RXN_OK);
    assert_true(rxn_values_get(found, RXN_PARAMETERS)[0] == value);
    assert_true(rxn_values_get(found, RXN_PARAMETERS)[1] == 5);
    assert_int_equal(rxn_fit_save(fit, result, &error), RXN_OK);
    assert_int_equal(rxn_values_load(loaded, result, &error), RXN_OK);
    assert_true(rxn_values_get(loaded, RXN_PARAMETERS)[0] == value);
    const RxnFitInfo info = rxn_fit_info(fit);
    assert_int_equal(info.file_count, 1);
    assert_string_equal(info.files[0], table);
    char wanted[200];
    snprintf(wanted, sizeof wanted,
             "error: '%s' is one of the files that are read; it is not overwritten\n"
             "note: give the result a file of its own",
             table);
    expect_error(rxn_fit_save(fit, table, &error), RXN_ERROR_INPUT, error, wanted);
    expect_error(rxn_fit_save(fit, NULL, &error), RXN_ERROR_USAGE, error,
                 "error: there is no file to save to");
    expect_error(rxn_fit_save(fit, "/nowhere/at/all", &error), RXN_ERROR_INPUT, error,
                 "error: '/nowhere/at/all' cannot be written: No such file or directory");
    assert_int_equal(rxn_fit_train(fit, &half, &error), RXN_ERROR_USAGE);
    assert_string_equal(rxn_error_text(error), "error: this fit was trained before; make another");
    rxn_error_free(error);
    rxn_values_free(found);
    rxn_values_free(loaded);
    rxn_fit_free(fit);
    /* Stopped, then resumed: the same to the last bit. */
    steps = (Steps){.most = 5};
    options.checkpoint = kept;
    assert_int_equal(rxn_fit_new(model, &options, values, &fit, &error), RXN_OK);
    assert_int_equal(rxn_fit_train(fit, &half, &error), RXN_CANCELLED);
    rxn_error_free(error);
    assert_int_equal(half.steps, 5);
    assert_string_equal(half.ending, "interrupted");
    rxn_fit_free(fit);
    assert_int_equal(rxn_fit_new(model, &options, values, &fit, &error), RXN_ERROR_INPUT);
    assert_null(fit);
    assert_non_null(strstr(rxn_error_text(error), "holds this fit, which was not at its end"));
    rxn_error_free(error);
    steps = (Steps){.count = 5};
    options.resume = kept;
    if (rxn_fit_new(model, &options, values, &fit, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    if (rxn_fit_train(fit, &half, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_true(half.value[0] == value);
    snprintf(wanted, sizeof wanted,
             "error: '%s' is one of the files that are read; it is not overwritten\n"
             "note: give the result a file of its own",
             kept);
    expect_error(rxn_fit_save(fit, kept, &error), RXN_ERROR_INPUT, error, wanted);
    rxn_fit_free(fit);
    options.optimizer = "newton";
    assert_int_equal(rxn_fit_new(model, &options, values, &fit, &error), RXN_ERROR_USAGE);
    rxn_error_free(error);
    rxn_values_free(values);
    rxn_model_free(model);
    unlink(table);
    unlink(kept);
    unlink(result);
    free(table);
    free(kept);
    free(result);
}

/* What is not given is an error or what is usual, and no crash. */
static void
test_nothing_given(void **state)
{
    (void)state;
    static const char *const of[] = {"A"};
    static const double at[] = {1};
    char text[400];
    char *table = write_file("time,A\n2,607\n4,368\n6,223\n");
    snprintf(text, sizeof text, fitted, table);
    RxnModel *model = parse(text);
    RxnValues *values = own_values(model);
    RxnDifferentiatorOptions options = rxn_differentiator_options();
    RxnDifferentiator *d;
    RxnDerivatives found;
    RxnFit *fit;
    RxnError *error;
    static const char none[] = "error: there are no values";
    options.of = of;
    options.of_count = 1;
    options.at = at;
    options.at_count = 1;
    options.kernel.device = device;
    expect_error(rxn_differentiator_check(NULL, NULL, &error), RXN_ERROR_USAGE, error,
                 "error: nothing says what to differentiate\n"
                 "note: give --of EXPR, an expression of what the model has, and --at T");
    expect_error(rxn_differentiator_new(model, NULL, values, &d, &error), RXN_ERROR_USAGE, error,
                 "error: nothing says what to differentiate\n"
                 "note: give --of EXPR, an expression of what the model has, and --at T");
    expect_error(rxn_differentiator_new(model, &options, NULL, &d, &error), RXN_ERROR_USAGE, error,
                 none);
    assert_null(d);
    if (rxn_differentiator_new(model, &options, values, &d, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    expect_error(rxn_differentiate(d, NULL, NULL, &found, &error), RXN_ERROR_USAGE, error, none);
    assert_int_equal(found.estimate_count, 0);
    rxn_differentiator_free(d);
    assert_int_equal(rxn_fit_check(NULL, NULL, &error), RXN_OK);
    assert_null(error);
    expect_error(rxn_fit_new(model, NULL, NULL, &fit, &error), RXN_ERROR_USAGE, error, none);
    assert_null(fit);
    assert_int_equal(rxn_fit_new(model, NULL, NULL, &fit, NULL), RXN_ERROR_USAGE);
    RxnModel *nothing;
    expect_error(rxn_model_open(NULL, NULL, &nothing, &error), RXN_ERROR_USAGE, error,
                 "error: there is no model: neither a text nor a file");
    expect_error(rxn_model_parse(NULL, NULL, &nothing, &error), RXN_ERROR_USAGE, error,
                 "error: there is no model: neither a text nor a file");
    assert_null(nothing);
    rxn_values_free(values);
    rxn_model_free(model);
    unlink(table);
    free(table);
}

/* ---- again and again --------------------------------------------------------------------------- */

/* Under a sanitizer or valgrind this finds what is not freed; here, what grows. */
static void
test_rounds(void **state)
{
    (void)state;
    unsigned rounds = getenv("RXN_TEST_ROUNDS") ? (unsigned)atoi(getenv("RXN_TEST_ROUNDS")) : 20;
    RxnRunOptions options = rxn_run_options();
    RxnRun run;
    RxnError *error;
    options.trajectories = 8;
    for (unsigned k = 0; k < rounds; k++) {
        RxnModel *model = parse(decay);
        RxnSimulator *simulator = compile(model);
        RxnValues *values = own_values(model);
        assert_int_equal(rxn_run(simulator, values, &options, &run, &error), RXN_OK);
        rxn_run_release(&run);
        rxn_values_free(values);
        rxn_simulator_free(simulator);
        rxn_model_free(model);
    }
}

/* An argument names the tests to run. */
int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_wrong_text),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_warning),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_master_equation),
        cmocka_unit_test(test_control_variates),
        cmocka_unit_test(test_like),
        cmocka_unit_test(test_derivatives),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_nothing_given),
        cmocka_unit_test(test_rounds),
    };
    if (getenv("RXN_TEST_DEVICE"))
        device = getenv("RXN_TEST_DEVICE");
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
