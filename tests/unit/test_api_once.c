/* test_api_once.c: what goes on from the network that its model was read to is the same, to the last letter and the last bit, as
 * what goes the way from the text again; and it takes nothing from who comes after it. (That it takes less memory than the other:
 * test_api_memory.c.)
 *
 * A model lends its network to one at a time, so while there is a simulator everything else comes from the text.
 */
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

static const char *device = "interpreter";

/* They come with rxn. */
static const char *const models[] = {
    "antisense",         "autoregulation",
    "batch_immigration", "birth_death",
    "cell_division",     "day_night",
    "dimerisation",      "dosing",
    "gene_readout",      "hopping_line",
    "immigration_death", "ion_channel_2state",
    "lotka_volterra",    "ion_channel_3state",
    "michaelis_menten",  "repressilator",
    "schlogl",           "sir",
    "telegraph",         "toggle_switch",
    "vilar_oscillator",
};
enum { MODELS = sizeof models / sizeof *models };

static RxnModel *
open_model(const char *name, const RxnModelOptions *options)
{
    RxnModel *model;
    RxnError *error;
    if (rxn_model_open(name, options, &model, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    return model;
}

static RxnSimulator *
compile(RxnModel *model, const char *on, const char *method)
{
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnSimulator *simulator;
    RxnError *error;
    options.device = on;
    options.method = method;
    if (rxn_simulator_new(model, &options, &simulator, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    return simulator;
}

/* ---- texts ------------------------------------------------------------------------------------- */

/* What is wrong instead, if something is. */
static char *
text_of(RxnModel *model, RxnForm form, const char *method, const char *precision)
{
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnError *error;
    char *text;
    options.method = method;
    options.precision = precision;
    if (rxn_model_text(model, form, &options, &text, &error) != RXN_OK) {
        text = strdup(rxn_error_text(error));
        rxn_error_free(error);
    }
    assert_non_null(text);
    return text;
}

typedef struct Wanted {
    RxnForm form;
    const char *method, *precision;
} Wanted;

static char *
text(RxnModel *model, const Wanted *wanted)
{
    return text_of(model, wanted->form, wanted->method, wanted->precision);
}

enum { MOST = 8 };

static void
check_same(RxnModel *model, const Wanted *wanted, size_t count, char *const *texts)
{
    for (size_t k = 0; k < count; k++) {
        char *got = text(model, &wanted[k]);
        assert_string_equal(got, texts[k]);
        rxn_text_free(got);
    }
}

/* Only the last may add to the network. */
static void
check_texts(const char *name, const Wanted *wanted, size_t count)
{
    RxnModel *alone = open_model(name, NULL), *shared = open_model(name, NULL);
    RxnSimulator *holder = compile(shared, "interpreter", "direct-table");
    char *from_network[MOST];
    for (size_t k = 0; k < count; k++)
        from_network[k] = text(alone, &wanted[k]);
    check_same(shared, wanted, count, from_network);
    rxn_simulator_free(holder);
    check_same(shared, wanted, count, from_network); /* the network is back */
    check_same(shared, wanted, 1, from_network);     /* now it was added to */
    for (size_t k = 0; k < count; k++)
        rxn_text_free(from_network[k]);
    rxn_model_free(alone);
    rxn_model_free(shared);
}

/* A kernel is its text: whose is the same has the same code. */
static void
test_kernels(void **state)
{
    (void)state;
    static const Wanted kernels[] = {
        {RXN_FORM_KERNEL, "auto", "f64"},         {RXN_FORM_KERNEL, "direct-unrolled", "f32"},
        {RXN_FORM_KERNEL, "direct-table", "f64"}, {RXN_FORM_KERNEL, "rejection", "f32"},
        {RXN_FORM_KERNEL, "composition", "f64"},  {RXN_FORM_KERNEL, "batch", "f64"},
    };
    for (size_t m = 0; m < MODELS; m++)
        check_texts(models[m], kernels, sizeof kernels / sizeof *kernels);
}

/* Of other programs: what it is imported as has another text before it. */
static char imported[] = "/tmp/rxn-test-XXXXXX.net";
static const char bionetgen[] = "begin parameters\n    1 k 0.5\nend parameters\n"
                                "begin species\n    1 A() 20\n    2 B() 0\nend species\n"
                                "begin reactions\n    1 1,1 2 k\nend reactions\n";

static void
test_texts(void **state)
{
    (void)state;
    static const Wanted texts[] = {
        {RXN_FORM_NETWORK, "auto", "f64"}, {RXN_FORM_RATES, "auto", "f64"},
        {RXN_FORM_LAWS, "auto", "f64"},    {RXN_FORM_SUMMARY, "auto", "f64"},
        {RXN_FORM_CUDA, "batch", "f64"},
    };
    enum { TEXTS = sizeof texts / sizeof *texts };
    for (size_t m = 0; m < MODELS; m++)
        check_texts(models[m], texts, TEXTS);
    const int file = mkstemps(imported, 4);
    assert_true(file >= 0);
    assert_int_equal(write(file, bionetgen, sizeof bionetgen - 1), sizeof bionetgen - 1);
    close(file);
    check_texts(imported, texts, TEXTS);
    unlink(imported);
}

/* ---- trajectories ------------------------------------------------------------------------------ */

enum { MOST_CELLS = 1 << 16 };

typedef struct Rows {
    double cells[MOST_CELLS];
    size_t count, row;
} Rows;

static bool
take_rows(void *context, uint64_t first, uint64_t count, const double *samples,
          const uint64_t *events)
{
    Rows *rows = context;
    (void)events;
    assert_true((first + count) * rows->row <= MOST_CELLS);
    memcpy(rows->cells + first * rows->row, samples, count * rows->row * sizeof *samples);
    rows->count += count * rows->row;
    return true;
}

static void
run(RxnModel *model, RxnSimulator *simulator, double until, Rows *rows)
{
    RxnRunOptions options = rxn_run_options();
    RxnValues *values = own_values(model);
    RxnError *error;
    RxnRun result;
    enum { TIMES = 5 };
    *rows = (Rows){.row = TIMES * rxn_model_count(model, RXN_OBSERVABLES)};
    options.trajectories = 8;
    options.until = until;
    options.every = until / (TIMES - 1);
    options.rows = take_rows;
    options.rows_context = rows;
    if (rxn_run(simulator, values, &options, &result, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_int_equal(result.time_count, TIMES);
    assert_int_equal(rows->count, options.trajectories * rows->row);
    rxn_run_release(&result);
    rxn_values_free(values);
}

static void
test_trajectories(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double until;
    } cases[] = {{"dosing", 2},        {"cell_division", 2}, {"dimerisation", 2}, {"day_night", 2},
                 {"toggle_switch", 2}, {"hopping_line", 2},  {"antisense", 1},    {"sir", 1}};
    static const char *const methods[] = {"auto", "direct-table"};
    static Rows first, second, third;
    for (size_t m = 0; m < sizeof cases / sizeof *cases; m++)
        for (size_t k = 0; k < 2; k++) {
            RxnModel *model = open_model(cases[m].name, NULL);
            RxnSimulator *a = compile(model, device, methods[k]);
            RxnSimulator *b = compile(model, device, methods[k]);
            const RxnSimulatorInfo of_a = rxn_simulator_info(a), of_b = rxn_simulator_info(b);
            assert_string_equal(of_a.method, of_b.method);
            assert_int_equal(of_a.why != NULL, of_b.why != NULL);
            if (of_a.why)
                assert_string_equal(of_a.why, of_b.why);
            run(model, a, cases[m].until, &first);
            run(model, b, cases[m].until, &second);
            rxn_simulator_free(a);
            run(model, b, cases[m].until, &third);
            assert_memory_equal(&first, &second, sizeof first);
            assert_memory_equal(&first, &third, sizeof first);
            rxn_simulator_free(b);
            rxn_model_free(model);
        }
}

/* ---- messages, limits -------------------------------------------------------------------------- */

static void
count(void *context, RxnSeverity severity, const char *text)
{
    (void)severity;
    (void)text;
    ++*(unsigned *)context;
}

/* Warnings that were not told with the model are not lost. */
static void
test_tell_later(void **state)
{
    (void)state;
    unsigned told = 0;
    RxnModelOptions options = rxn_model_options();
    RxnModel *model;
    options.tell = count;
    options.tell_context = &told;
    options.tell_later = true;
    assert_int_equal(rxn_model_parse("species A = 1\nparam k = 1, idle = 2\nA -> 0 @ k\n"
                                     "simulate until 1 every 1\n",
                                     &options, &model, NULL),
                     RXN_OK);
    assert_int_equal(told, 0);
    RxnSimulator *first = compile(model, device, "auto");
    assert_int_equal(told, 1);
    RxnSimulator *second = compile(model, device, "auto");
    assert_int_equal(told, 2);
    rxn_simulator_free(first);
    rxn_simulator_free(second);
    rxn_model_free(model);
}

/* Places of the text are known to who goes on from the network. */
static void
test_place(void **state)
{
    (void)state;
    RxnModel *model = parse("species A = 1\n"
                            "A => 0 @ 2 - 1 / A\n"
                            "simulate until 10 every 1\n");
    for (int again = 0; again < 2; again++) {
        RxnSimulator *simulator = compile(model, device, "auto");
        RxnValues *values = own_values(model);
        RxnError *error;
        RxnRun result;
        assert_int_equal(rxn_run(simulator, values, NULL, &result, &error), RXN_ERROR_INPUT);
        assert_int_equal(rxn_error_message(error, 0).line, 2);
        assert_string_equal(rxn_error_message(error, 0).file, "model");
        rxn_error_free(error);
        rxn_values_free(values);
        rxn_simulator_free(simulator);
    }
    rxn_model_free(model);
}

/* One limit for both: where the simulator has too little, the model is as it was, and the next has what there is. */
static void
test_memory_limit(void **state)
{
    (void)state;
    RxnModelOptions options = rxn_model_options();
    RxnModel *model;
    unsigned failed = 0, made = 0;
    options.memory_limit = 16384;
    while (rxn_model_open("toggle_switch", &options, &model, NULL) != RXN_OK)
        options.memory_limit += 16384;
    rxn_model_free(model);
    for (; made < 2; options.memory_limit += 32768) {
        RxnSimulatorOptions kernel = rxn_simulator_options();
        RxnSimulator *first, *second;
        RxnError *error;
        model = open_model("toggle_switch", &options);
        kernel.device = "interpreter";
        RxnStatus status = rxn_simulator_new(model, &kernel, &first, &error);
        if (status != RXN_OK) {
            failed++;
            expect_error(status, RXN_ERROR_MEMORY, error, "error: out of memory");
            assert_null(first);
        }
        made += status == RXN_OK;
        assert_non_null(rxn_model_label(model, RXN_SPECIES, 0));
        rxn_values_free(own_values(model));
        kernel.editable = true;
        status = rxn_simulator_new(model, &kernel, &second, NULL);
        assert_true(status == RXN_OK || status == RXN_ERROR_MEMORY);
        rxn_simulator_free(second);
        rxn_simulator_free(first);
        rxn_model_free(model);
    }
    assert_true(failed > 0);
}

/* An argument names the tests to run. */
int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels),      cmocka_unit_test(test_texts),
        cmocka_unit_test(test_trajectories), cmocka_unit_test(test_tell_later),
        cmocka_unit_test(test_place),        cmocka_unit_test(test_memory_limit),
    };
    if (getenv("RXN_TEST_DEVICE"))
        device = getenv("RXN_TEST_DEVICE");
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
