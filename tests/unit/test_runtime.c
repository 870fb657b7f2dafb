/* test_runtime.c: the runtime without the compiler: kernels here are C functions that follow the ABI.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/ensemble.h"
#include "runtime/philox.h"
#include "runtime/reduce.h"
#include "runtime/report.h"

/* ---- random numbers ---------------------------------------------------------------------------- */

/* Known answers of the Random123 distribution (kat_vectors, philox4x32 10). */
static void
test_philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], words[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        uint32_t words[4];
        rxn__philox(known[k].key, known[k].counter, words);
        assert_memory_equal(words, known[k].words, sizeof words);
    }
}

static void
test_uniform_is_inside(void **state)
{
    (void)state;
    double sum = 0, squares = 0;
    enum { N = 100000 };
    for (uint64_t k = 0; k < N; k++) {
        double u = rxn__random_uniform(7, 1, k);
        assert_true(u > 0 && u < 1);
        sum += u;
        squares += u * u;
    }
    /* Within 6 standard errors: 6 sqrt(1/12/N) and 6 sqrt(4/45/N). */
    assert_true(fabs(sum / N - 0.5) < 6 * sqrt(1.0 / 12 / N));
    assert_true(fabs(squares / N - 1.0 / 3) < 6 * sqrt(4.0 / 45 / N));
    assert_true(rxn__random_uniform(7, 1, 3) != rxn__random_uniform(7, 2, 3));
    assert_true(rxn__random_uniform(7, 1, 3) != rxn__random_uniform(8, 1, 3));
}

/* Against the distribution function itself, erfc of libm: quantile and probability are inverse. */
static void
test_normal_quantile(void **state)
{
    (void)state;
    assert_true(rxn__normal_quantile(0.5) == 0);
    for (int k = -300; k <= 300; k++) {
        double p = k == 0 ? 0.5 : k < 0 ? exp(k / 10.0) / 2 : 1 - exp(-k / 10.0) / 2;
        if (p >= 1)
            continue;
        double x = rxn__normal_quantile(p);
        double back = erfc(-x / sqrt(2)) / 2;
        /* d log(p)/dx is about |x| in the tail, so an error of x of 1e-15 grows to x² 1e-15 in p. */
        assert_true(fabs(back - p) <= p * 1e-14 * (1 + x * x));
        /* 1 - p is exact from a half on. */
        if (p >= 0.5)
            assert_true(rxn__normal_quantile(1 - p) == -x);
    }
    /* Of the double nearest to 0.975, to 20 digits: 1.9599639845400538556. */
    assert_true(fabs(rxn__normal_quantile(0.975) - 1.9599639845400539) < 5e-16);
}

/* ---- reduction --------------------------------------------------------------------------------- */

static void
test_moments_of_counts(void **state)
{
    (void)state;
    enum { ROWS = 1000, CELLS = 7, PART = 317 };
    static double samples[ROWS * CELLS];
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < CELLS; c++)
            samples[r * CELLS + c] =
                c == 6 ? 0.1 : floor(1e6 * rxn__random_uniform(3, 1, (uint64_t)(r * CELLS + c)));
    double mean[2][CELLS], m2[2][CELLS], all_mean[CELLS], all_m2[CELLS];
    Moments first = {0, mean[0], m2[0]}, second = {0, mean[1], m2[1]}, all = {0, all_mean, all_m2};
    rxn__moments_of_rows(&first, CELLS, PART, samples);
    rxn__moments_of_rows(&second, CELLS, ROWS - PART, samples + PART * CELLS);
    rxn__moments_merge(&all, CELLS, &first);
    rxn__moments_merge(&all, CELLS, &second);
    assert_int_equal(all.count, ROWS);
    for (int c = 0; c < CELLS; c++) {
        long double sum = 0, squares = 0;
        for (int r = 0; r < ROWS; r++)
            sum += samples[r * CELLS + c];
        for (int r = 0; r < ROWS; r++)
            squares +=
                (samples[r * CELLS + c] - sum / ROWS) * (samples[r * CELLS + c] - sum / ROWS);
        assert_true(fabsl(all_mean[c] - sum / ROWS) <= 1e-14L * sum / ROWS);
        assert_true(fabsl(all_m2[c] - squares) <= 1e-13L * squares + 1e-25L);
    }
    /* What never changes has no variance at all, not merely a small one. */
    assert_true(all_m2[6] == 0 && all_mean[6] == 0.1);
}

/* As numpy has it, whichever of the rows has what is not finite, in the wide part of the sums and behind it. */
static void
test_moments_not_finite(void **state)
{
    (void)state;
    enum { ROWS = 21, CELLS = 19 };
    static const double what[] = {INFINITY, -INFINITY, NAN};
    for (int place = 0; place < ROWS * ROWS; place++)
        for (size_t w = 0; w < 9; w++) {
            double samples[ROWS][CELLS];
            double mean[2][CELLS], m2[2][CELLS], all_mean[CELLS], all_m2[CELLS];
            Moments one = {0, mean[0], m2[0]}, other = {0, mean[1], m2[1]},
                    all = {0, all_mean, all_m2};
            const int a = place / ROWS, b = place % ROWS, part = 1 + place % (ROWS - 1);
            for (int r = 0; r < ROWS; r++)
                for (int c = 0; c < CELLS; c++)
                    samples[r][c] = 3 * r + c;
            for (int c = 1; c < CELLS; c += 4) { /* the cells beside it are as they were */
                samples[a][c] = what[w / 3];
                samples[b][c] = what[w % 3];
            }
            rxn__moments_of_rows(&one, CELLS, (uint64_t)part, samples[0]);
            rxn__moments_of_rows(&other, CELLS, (uint64_t)(ROWS - part), samples[part]);
            rxn__moments_merge(&all, CELLS, &one);
            rxn__moments_merge(&all, CELLS, &other);
            for (int c = 0; c < CELLS; c++) {
                double sum = 0;
                for (int r = 0; r < ROWS; r++)
                    sum += samples[r][c];
                if (c % 4 != 1) {
                    assert_true(fabs(all_mean[c] - sum / ROWS) < 1e-12);
                    assert_true(isfinite(all_m2[c]));
                    continue;
                }
                assert_int_equal(isnan(all_mean[c]), isnan(sum));
                assert_true(isnan(sum) || all_mean[c] == sum);
                assert_true(isnan(all_m2[c]));
            }
        }
}

/* ---- ensembles --------------------------------------------------------------------------------- */

enum { SAMPLES = 3, COLUMNS = 2, ROW = SAMPLES * COLUMNS };

typedef struct Scenario {
    uint64_t fault_every; /* trajectories whose number is a multiple (not 0) fault; 0: none */
    volatile int *cancel_at_call;
    bool broken;
} Scenario;

/* A stand-in for a kernel: the samples are a function of the trajectory's number and the seed. */
static RxnOutcome
fake_kernel(void *context, const RxnLaunch *launch, char *error, size_t size)
{
    Scenario *scenario = context;
    uint64_t seed = *(const uint64_t *)launch->buffers[0];
    double *samples = launch->buffers[1];
    uint64_t *events = launch->buffers[2];
    if (scenario->broken) {
        snprintf(error, size, "broken on purpose");
        return RXN_BROKEN;
    }
    for (uint64_t k = 0; k < launch->count; k++) {
        uint64_t trajectory = launch->first + k;
        if (*launch->cancel)
            return RXN_DONE;
        if (scenario->fault_every && trajectory > 0 && trajectory % scenario->fault_every == 0 &&
            trajectory < launch->fault->trajectory) {
            launch->fault->trajectory = trajectory;
            launch->fault->code = RXN_FAULT_NAN_PROPENSITY;
            launch->fault->detail = (uint32_t)trajectory;
            launch->fault->witness[0] = (double)trajectory / 2;
        }
        for (int c = 0; c < ROW; c++)
            samples[k * (uint64_t)launch->strides[1] + (uint64_t)c] =
                floor(1000 * rxn__random_uniform(seed, 5, trajectory * ROW + (uint64_t)c));
        events[k] = trajectory % 10;
        /* Uneven work, so that threads overtake each other. */
        for (volatile uint64_t spin = 0; spin < (trajectory * 7919) % 200; spin++)
            ;
    }
    if (scenario->cancel_at_call)
        *scenario->cancel_at_call = 1;
    return RXN_DONE;
}

static const RxnBuffer fake_buffers[] = {
    {.name = "seed", .element_bytes = 8},
    {.name = "sample",
     .element_bytes = 8,
     .rank = 2,
     .extent = {0, COLUMNS},
     .per_trajectory = true},
    {.name = "events", .element_bytes = 8, .per_trajectory = true},
};

static RxnOutcome
run(Scenario *scenario, uint64_t n, uint32_t threads, RxnRows rows, void *rows_context,
    const volatile int *cancel, RxnEnsembleResult *result)
{
    static const uint64_t seed = 11;
    RxnKernel kernel = {.call = fake_kernel,
                        .context = scenario,
                        .buffers = fake_buffers,
                        .buffer_count = 3,
                        .witness_count = 1};
    RxnBinding bindings[] = {{"seed", &seed, 0}};
    RxnEnsemble ensemble = {.kernel = &kernel,
                            .bindings = bindings,
                            .binding_count = 1,
                            .trajectories = n,
                            .sample_count = SAMPLES,
                            .columns = COLUMNS,
                            .threads = threads,
                            .statistics = true,
                            .rows = rows,
                            .rows_context = rows_context,
                            .cancel = cancel};
    return rxn__ensemble_run(&ensemble, result);
}

static void
test_threads_change_nothing(void **state)
{
    (void)state;
    Scenario scenario = {0};
    RxnEnsembleResult one, many;
    assert_int_equal(run(&scenario, 20011, 1, NULL, NULL, NULL, &one), RXN_DONE);
    assert_int_equal(one.trajectories, 20011);
    for (uint32_t threads = 2; threads <= 7; threads++) {
        assert_int_equal(run(&scenario, 20011, threads, NULL, NULL, NULL, &many), RXN_DONE);
        assert_int_equal(many.threads, threads);
        assert_int_equal(many.events, one.events);
        assert_memory_equal(many.mean, one.mean, ROW * sizeof(double));
        assert_memory_equal(many.m2, one.m2, ROW * sizeof(double));
        rxn__ensemble_release(&many);
    }
    rxn__ensemble_release(&one);
}

typedef struct Order {
    uint64_t next, refuse_from;
    bool good;
} Order;

static bool
see_rows(void *context, uint64_t first, uint64_t count, const double *samples,
         const uint64_t *events)
{
    Order *order = context;
    order->good = order->good && first == order->next;
    for (uint64_t k = 0; k < count; k++) {
        order->good = order->good && events[k] == (first + k) % 10;
        for (uint64_t c = 0; c < ROW; c++)
            order->good =
                order->good && samples[k * ROW + c] ==
                                   floor(1000 * rxn__random_uniform(11, 5, (first + k) * ROW + c));
    }
    order->next = first + count;
    return order->next <= order->refuse_from;
}

static void
test_rows_come_in_order(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 5; threads++) {
        Scenario scenario = {0};
        Order order = {.good = true, .refuse_from = UINT64_MAX};
        RxnEnsembleResult result;
        assert_int_equal(run(&scenario, 5003, threads, see_rows, &order, NULL, &result), RXN_DONE);
        assert_true(order.good);
        assert_int_equal(order.next, 5003);
        rxn__ensemble_release(&result);
    }
}

static void
test_refused_rows_stop(void **state)
{
    (void)state;
    Scenario scenario = {0};
    Order order = {.good = true, .refuse_from = 1000};
    RxnEnsembleResult result;
    assert_int_equal(run(&scenario, 100000, 3, see_rows, &order, NULL, &result), RXN_REJECTED);
    assert_true(order.good);
    assert_true(order.next < 100000);
    rxn__ensemble_release(&result);
}

static void
test_lowest_fault_wins(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 6; threads++) {
        for (uint64_t every = 1; every < 5000; every = every * 3 + 1) {
            Scenario scenario = {.fault_every = every};
            RxnEnsembleResult result;
            assert_int_equal(run(&scenario, 20011, threads, NULL, NULL, NULL, &result),
                             RXN_FAULTED);
            assert_int_equal(result.fault.trajectory, every);
            assert_int_equal(result.fault.detail, every);
            assert_int_equal(result.fault.code, RXN_FAULT_NAN_PROPENSITY);
            assert_true(result.fault.witness[0] == (double)every / 2);
            rxn__ensemble_release(&result);
        }
    }
}

static void
test_cancel_leaves_whole_chunks(void **state)
{
    (void)state;
    volatile int cancel = 0;
    Scenario scenario = {.cancel_at_call = &cancel};
    Order order = {.good = true, .refuse_from = UINT64_MAX};
    RxnEnsembleResult result;
    RxnOutcome outcome = run(&scenario, UINT64_C(1) << 33, 2, see_rows, &order, &cancel, &result);
    assert_int_equal(outcome, RXN_STOPPED);
    assert_true(order.good);
    assert_int_equal(result.trajectories, order.next);
    assert_true(result.trajectories < UINT64_C(1) << 33);
    rxn__ensemble_release(&result);
}

static void
test_broken_kernels_say_so(void **state)
{
    (void)state;
    Scenario scenario = {.broken = true};
    RxnEnsembleResult result;
    assert_int_equal(run(&scenario, 1000, 2, NULL, NULL, NULL, &result), RXN_BROKEN);
    assert_string_equal(result.error, "broken on purpose");
    rxn__ensemble_release(&result);
}

static void
test_absurd_sizes_are_refused(void **state)
{
    (void)state;
    Scenario scenario = {0};
    RxnKernel kernel = {.call = fake_kernel,
                        .context = &scenario,
                        .buffers = fake_buffers,
                        .buffer_count = 3,
                        .witness_count = 1};
    RxnEnsemble ensemble = {
        .kernel = &kernel, .trajectories = 1, .sample_count = 1000000, .columns = 1000};
    RxnEnsembleResult result;
    assert_int_equal(rxn__ensemble_run(&ensemble, &result), RXN_REFUSED);
    assert_string_equal(result.error, "1000000 sample times of 1000 observables are too many: at "
                                      "most 8388608 values a trajectory");
    rxn__ensemble_release(&result);
    ensemble.sample_count = 1;
    ensemble.columns = 1;
    ensemble.trajectories = UINT64_MAX;
    assert_int_equal(rxn__ensemble_run(&ensemble, &result), RXN_REFUSED);
    rxn__ensemble_release(&result);
    ensemble.trajectories = 10; /* and a kernel whose seed nobody gives */
    ensemble.sample_count = SAMPLES;
    ensemble.columns = COLUMNS;
    assert_int_equal(rxn__ensemble_run(&ensemble, &result), RXN_BROKEN);
    assert_string_equal(result.error, "no data for the kernel's buffer 'seed'");
    rxn__ensemble_release(&result);
}

/* ---- output ------------------------------------------------------------------------------------ */

static void
test_numbers_are_as_printf_has_them(void **state)
{
    (void)state;
    const double values[] = {0,        -0.0,
                             1,        -1,
                             0.1,      100,
                             1e15,     0x1p53,
                             1e17,     1e300,
                             5e-324,   1.5,
                             123456.7, 9007199254740991.0,
                             INFINITY, -INFINITY,
                             1.0 / 3,  99999999999999980.0};
    for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
        char text[RXN_NUMBER_ROOM], expected[64];
        size_t length = rxn__format_number(text, values[k]);
        snprintf(expected, sizeof expected, "%.17g", values[k]);
        assert_string_equal(text, expected);
        assert_int_equal(length, strlen(expected));
    }
    char text[RXN_NUMBER_ROOM];
    rxn__format_number(text, -NAN);
    assert_string_equal(text, "nan");
}

/* What a writer of ours puts into a file. */
static char *
written(void (*write)(FILE *file, const void *argument), const void *argument)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    write(file, argument);
    fclose(file);
    return text;
}

static void
write_statistics(FILE *file, const void *report)
{
    rxn__csv_statistics(file, report);
}

static void
write_each(FILE *file, const void *report)
{
    const double samples[] = {1, 2, 3, 4, 5.5, 6, 7, 8};
    rxn__csv_each_header(file, report);
    rxn__csv_each_rows(file, report, 41, 2, samples);
}

static void
test_csv(void **state)
{
    (void)state;
    const char *labels[] = {"W[3,1]", "a\"b"};
    double times[] = {0, 0.1}, mean[] = {1, 2, 3, 0.5}, sd[] = {0, 2, 1, 0};
    RxnRun run = {.trajectories = 3, .mean = mean, .sd = sd};
    RxnReport report = {
        .labels = labels, .columns = 2, .sample_count = 2, .times = times, .run = &run};
    char *text = written(write_statistics, &report);
    assert_string_equal(text, "time,\"W[3,1].mean\",\"W[3,1].sd\",\"a\"\"b.mean\",\"a\"\"b.sd\"\n"
                              "0,1,0,2,2\n"
                              "0.10000000000000001,3,1,0.5,0\n");
    free(text);
    text = written(write_each, &report);
    assert_string_equal(text, "trajectory,time,\"W[3,1]\",\"a\"\"b\"\n"
                              "41,0,1,2\n41,0.10000000000000001,3,4\n"
                              "42,0,5.5,6\n42,0.10000000000000001,7,8\n");
    free(text);
}

static void
write_string(FILE *file, const void *text)
{
    rxn__json_string(file, text);
}

static void
test_json_strings(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "\"plain\""},
        {"a\"b\\c\n\x01", "\"a\\\"b\\\\c\\u000a\\u0001\""},
        {"\xC3\xA4\xE2\x88\x85", "\"\xC3\xA4\xE2\x88\x85\""},
        {"\xFF\xC3", "\"\\ufffd\\ufffd\""},            /* no UTF-8 */
        {"\xED\xA0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
        {"\xC0\x80", "\"\\ufffd\\ufffd\""},            /* an overlong NUL */
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        char *text = written(write_string, cases[k][0]);
        assert_string_equal(text, cases[k][1]);
        free(text);
    }
}

static void
test_durations(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0.0123, "12.3 ms"},
                 {0.84, "0.8 s"},
                 {59.4, "59 s"},
                 {125, "2 min 05 s"},
                 {12000, "3 h 20 min"}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        char text[40];
        rxn__format_duration(text, sizeof text, cases[k].seconds);
        assert_string_equal(text, cases[k].text);
    }
    char text[32];
    rxn__format_grouped(text, sizeof text, 1234567);
    assert_string_equal(text, "1,234,567");
    rxn__format_grouped(text, sizeof text, 999);
    assert_string_equal(text, "999");
}

static void
write_plot(FILE *file, const void *report)
{
    rxn__plot_script(file, report, "it's.svg");
}

/* Names come from the user: none may end a string of the script and become a command. */
static void
test_plot_escapes(void **state)
{
    (void)state;
    const char *labels[] = {"x' ; system('date') #"};
    double times[] = {0, 1}, mean[] = {1, 2}, sd[] = {0, 1};
    RxnRun run = {.trajectories = 2, .mean = mean, .sd = sd};
    RxnReport report = {.model = "m'n\n!date",
                        .labels = labels,
                        .columns = 1,
                        .sample_count = 2,
                        .times = times,
                        .run = &run};
    char *text = written(write_plot, &report);
    assert_non_null(strstr(text, "set output 'it''s.svg'\n"));
    assert_non_null(strstr(text, " title 'x'' ; system(''date'') #'\n"));
    assert_non_null(strstr(text, "set title 'm''n !date: mean"));
    assert_null(strstr(text, "\n!"));
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_uniform_is_inside),
        cmocka_unit_test(test_normal_quantile),
        cmocka_unit_test(test_moments_of_counts),
        cmocka_unit_test(test_moments_not_finite),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_rows_come_in_order),
        cmocka_unit_test(test_refused_rows_stop),
        cmocka_unit_test(test_lowest_fault_wins),
        cmocka_unit_test(test_cancel_leaves_whole_chunks),
        cmocka_unit_test(test_broken_kernels_say_so),
        cmocka_unit_test(test_absurd_sizes_are_refused),
        cmocka_unit_test(test_numbers_are_as_printf_has_them),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_plot_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
