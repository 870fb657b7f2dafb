/* test_api_editable.c: models that someone is editing: where a number of the text is an input of the kernel nothing is compiled
 * for another one, and every trajectory is to the last bit what it is where the number is a part of the kernel.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api_fixture.h"

static const char *device = "interpreter";

static RxnSimulator *
compile(RxnModel *model, bool editable, const char *method, const char *precision,
        const RxnSimulator *like)
{
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnSimulator *simulator;
    RxnError *error;
    options.device = device;
    options.editable = editable;
    options.method = method;
    options.precision = precision;
    options.like = like;
    if (rxn_simulator_new(model, &options, &simulator, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    return simulator;
}

/* Every number that rows have, in a row. */
typedef struct Rows {
    double *samples;
    uint64_t *events;
    size_t cells, count, columns, times;
} Rows;

static bool
take_rows(void *context, uint64_t first, uint64_t count, const double *samples,
          const uint64_t *events)
{
    Rows *rows = context;
    (void)first;
    rows->samples = realloc(rows->samples,
                            (rows->cells + count * rows->columns * rows->times) * sizeof(double));
    rows->events = realloc(rows->events, (rows->count + count) * sizeof(uint64_t));
    assert_non_null(rows->samples);
    assert_non_null(rows->events);
    memcpy(rows->samples + rows->cells, samples,
           count * rows->columns * rows->times * sizeof(double));
    memcpy(rows->events + rows->count, events, count * sizeof(uint64_t));
    rows->cells += count * rows->columns * rows->times;
    rows->count += count;
    return true;
}

static Rows
run(RxnModel *model, RxnSimulator *simulator)
{
    RxnRunOptions options = rxn_run_options();
    RxnValues *values;
    RxnError *error;
    RxnRun result;
    Rows rows = {.columns = rxn_model_count(model, RXN_OBSERVABLES), .times = 5};
    assert_int_equal(rxn_values_new(model, 7, &values, NULL), RXN_OK);
    options.trajectories = 40;
    options.until = 2;
    options.every = 0.5;
    options.rows = take_rows;
    options.rows_context = &rows;
    if (rxn_run(simulator, values, &options, &result, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_int_equal(result.time_count, rows.times);
    rxn_run_release(&result);
    rxn_values_free(values);
    return rows;
}

static void
free_rows(Rows *rows)
{
    free(rows->samples);
    free(rows->events);
}

/* As rxn_simulator_new without `editable` has it. */
static void
check_same(RxnModel *model, RxnSimulator *editable, const char *method, const char *precision)
{
    RxnSimulator *plain = compile(model, false, method, precision, NULL);
    const RxnSimulatorInfo a = rxn_simulator_info(plain), b = rxn_simulator_info(editable);
    assert_string_equal(a.method, b.method);
    assert_int_equal(a.why != NULL, b.why != NULL);
    if (a.why)
        assert_string_equal(a.why, b.why);
    Rows wanted = run(model, plain), got = run(model, editable);
    assert_int_equal(wanted.count, 40);
    assert_int_equal(got.count, wanted.count);
    assert_int_equal(got.cells, wanted.cells);
    assert_memory_equal(got.events, wanted.events, wanted.count * sizeof(uint64_t));
    assert_memory_equal(got.samples, wanted.samples, wanted.cells * sizeof(double));
    free_rows(&wanted);
    free_rows(&got);
    rxn_simulator_free(plain);
}

/* %s and %d: a rate constant and an initial value, everywhere. */
static const struct {
    const char *text;
    const char *methods[7]; /* that there are for it */
} models[] = {
    {"species A = %2$d, B = 0, C\n"
     "param k = 0.5, K = 30\n"
     "0 -> A @ %1$s\n"
     "A -> B @ %1$s\n"
     "2 A <-> C @ %1$s, 0.25\n"
     "3 A + B -> C @ 0.001\n"
     "B -> 0 @ k\n"
     "C => A @ 2 * C^1.5 / (K + C)\n"
     "at 0.75: A = A + 3\n"
     "when B > 5: B = 2\n"
     "observe A, B, C, all = A + 0.1 * B + 3 * C\n",
     {"auto", "direct", "direct-unrolled", "direct-table", "rejection", NULL}},
    {"const N = 40\n"
     "species X[N] = %2$d, Y = 3\n"
     "for s in 0 .. N-2 { hop: X[s] <-> X[s+1] @ %1$s, 1 }\n"
     "for i in 0 .. 2 { for j in 0 .. 2 { X[i] + X[j] -> Y @ 0.01 } }\n"
     "Y -> 0 @ %1$s\n"
     "observe X[0], X[3], Y\n",
     {"auto", "direct-table", "direct-table-full", "rejection", "rejection-sparse", "composition",
      NULL}},
    /* Populations for which the method is chosen by these numbers. */
    {"species S = %2$d000000, P\nS -> P @ %1$s\nP -> S @ 0.1\n2 P -> S @ 1e-8\n",
     {"auto", "batch", "batch-short", NULL}},
};

static const char *
text_of(char *room, size_t size, size_t m, const char *rate, int count)
{
    snprintf(room, size, models[m].text, rate, count);
    return room;
}

static void
test_bits(void **state)
{
    (void)state;
    static const char *const rates[] = {"1", "0.30000000000000004", "2.5e-3"};
    char text[2000];
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t k = 0; k < 6 && models[m].methods[k]; k++)
            for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
                const char *method = models[m].methods[k];
                const char *precision = r == 2 && strcmp(method, "batch") != 0 ? "f32" : "f64";
                RxnModel *model = parse(text_of(text, sizeof text, m, rates[r], 4 + (int)r));
                RxnSimulator *simulator = compile(model, true, method, precision, NULL);
                check_same(model, simulator, method, precision);
                rxn_simulator_free(simulator);
                rxn_model_free(model);
            }
}

/* One kernel serves them all; the code outlives the model that it was compiled for. */
static void
test_nothing_compiled(void **state)
{
    (void)state;
    static const char *const rates[] = {"1", "0.3", "7e-2", "1e-3", "0.3"};
    const bool shares = strcmp(device, "cpu") == 0; /* the interpreter has no code to share */
    char text[2000];
    for (size_t m = 0; m < 2; m++) {
        RxnModel *before = NULL;
        RxnSimulator *like = NULL;
        for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
            RxnModel *model = parse(text_of(text, sizeof text, m, rates[r], 5 + (int)r));
            RxnSimulator *simulator = compile(model, true, "auto", "f64", like);
            assert_int_equal(rxn_simulator_info(simulator).reused, shares && like);
            rxn_simulator_free(like);
            rxn_model_free(before);
            check_same(model, simulator, "auto", "f64");
            assert_int_equal(rxn_model_count(model, RXN_PARAMETERS), m == 0 ? 2 : 0);
            before = model;
            like = simulator;
        }
        rxn_simulator_free(like);
        rxn_model_free(before);
    }
}

/* By what stands elsewhere the compiler decides: an exponent, a constant of a law, a number that is one of several. So it does by
 * 0, and by what could overflow. */
static void
test_compiled(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"species A = 5\nA => 0 @ A^2 / 100\n", "species A = 5\nA => 0 @ A^3 / 100\n"},
        {"species A = 5\nA => 0 @ 0.5 * A\n", "species A = 5\nA => 0 @ 0.7 * A\n"},
        {"species A = 5\nA -> 0 @ 0.5 * 3\n", "species A = 5\nA -> 0 @ 0.7 * 3\n"},
        {"species A = 5\nA -> 0 @ 1\n", "species A = 5\nA -> 0 @ 0\n"},
        {"species A = 5\n3 A -> 0 @ 1\n", "species A = 5\n3 A -> 0 @ 2e12\n"},
    };
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        RxnModel *before = parse(pairs[k][0]), *after = parse(pairs[k][1]);
        RxnSimulator *like = compile(before, true, "auto", "f64", NULL),
                     *simulator = compile(after, true, "auto", "f64", like);
        assert_false(rxn_simulator_info(simulator).reused);
        check_same(after, simulator, "auto", "f64");
        rxn_simulator_free(simulator);
        rxn_simulator_free(like);
        rxn_model_free(before);
        rxn_model_free(after);
    }
}

/* 256 numbers are left open, those of species first; the others stay numbers. */
static RxnModel *
parse_long(const char *first, const char *last)
{
    enum { REACTIONS = 300 };
    char *text = malloc(REACTIONS * 40 + 100), *at = text;
    at += sprintf(at, "species A = 20, B\n0 -> A @ %s\n", first);
    for (int k = 2; k < REACTIONS; k++)
        at += sprintf(at, "A -> B @ %g\n", k / 512.0);
    sprintf(at, "B -> A @ %s\n", last);
    RxnModel *model = parse(text);
    free(text);
    return model;
}

static void
test_many(void **state)
{
    (void)state;
    const bool shares = strcmp(device, "cpu") == 0;
    RxnModel *model = parse_long("0.5", "0.5"), *first = parse_long("0.7", "0.5"),
             *last = parse_long("0.5", "0.7");
    RxnSimulator *like = compile(model, true, "direct-table", "f64", NULL),
                 *same = compile(first, true, "direct-table", "f64", like),
                 *other = compile(last, true, "direct-table", "f64", like);
    assert_int_equal(rxn_simulator_info(same).reused, shares);
    check_same(first, same, "direct-table", "f64");
    check_same(last, other, "direct-table", "f64");
    rxn_simulator_free(like);
    rxn_simulator_free(same);
    rxn_simulator_free(other);
    rxn_model_free(model);
    rxn_model_free(first);
    rxn_model_free(last);
}

/* What is wrong with such a number is said as it is without. */
static void
test_faults(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "species A = 1\nA -> 2 A @ 9e11\n",
        "species A = 20000000\nA -> 0 @ 1\n", /* more than f32 counts */
    };
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        char *said[2];
        for (int editable = 0; editable < 2; editable++) {
            RxnModel *model = parse(texts[k]);
            RxnSimulator *simulator = compile(model, editable, "direct", "f32", NULL);
            RxnRunOptions options = rxn_run_options();
            RxnValues *values;
            RxnError *error;
            RxnRun result;
            assert_int_equal(rxn_values_new(model, 7, &values, NULL), RXN_OK);
            options.trajectories = 1;
            options.until = 1;
            options.step_limit = 1000;
            assert_int_equal(rxn_run(simulator, values, &options, &result, &error),
                             RXN_ERROR_INPUT);
            said[editable] = strdup(rxn_error_text(error));
            rxn_error_free(error);
            rxn_values_free(values);
            rxn_simulator_free(simulator);
            rxn_model_free(model);
        }
        assert_string_equal(said[0], said[1]);
        free(said[0]);
        free(said[1]);
    }
}

int
main(void)
{
    const char *wanted = getenv("RXN_TEST_DEVICE");
    if (wanted)
        device = wanted;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),     cmocka_unit_test(test_nothing_compiled),
        cmocka_unit_test(test_compiled), cmocka_unit_test(test_many),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
