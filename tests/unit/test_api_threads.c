/* test_api_threads.c: several threads, each with models of its own, parse, compile, run and differentiate at once, and get what one
 * gets alone. Under the thread sanitizer this finds what they share.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/rxn.h"

enum { THREADS = 2, ROUNDS = 3, CELLS = 11 * 2 };

static const char text[] = "param kon = 0.002 in 1e-4 .. 1, koff = 0.1\n"
                           "species M = 100, D = 0\n"
                           "2 M <-> D @ kon, koff\n"
                           "simulate until 10 every 1\n";

static const char *device = "interpreter";

typedef struct Worker {
    pthread_t thread;
    unsigned number;
    bool failed;
    char message[400];
    double mean[ROUNDS][CELLS], gradient[ROUNDS];
} Worker;

/* The error's text, for the thread that may fail a test. */
static bool
check(Worker *worker, RxnStatus status, RxnError **error_at)
{
    RxnError *error = *error_at;
    if (status == RXN_OK)
        return true;
    worker->failed = true;
    snprintf(worker->message, sizeof worker->message, "%s", rxn_error_text(error));
    rxn_error_free(error);
    return false;
}

static void
one_round(Worker *worker, unsigned round)
{
    RxnModel *model;
    RxnValues *values = NULL;
    RxnSimulator *simulator = NULL;
    RxnDifferentiator *d = NULL;
    RxnError *error;
    RxnRun run;
    RxnDerivatives found;
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnDifferentiatorOptions to_differentiate = rxn_differentiator_options();
    RxnRunOptions run_options = rxn_run_options();
    options.device = to_differentiate.kernel.device = device;
    to_differentiate.of = (const char *const[]){"D"};
    to_differentiate.of_count = 1;
    to_differentiate.at = (const double[]){5};
    to_differentiate.at_count = 1;
    to_differentiate.estimator = "score";
    run_options.trajectories = 64;
    run_options.seed = round + 1;
    run_options.threads = 2;
    if (check(worker, rxn_model_parse(text, NULL, &model, &error), &error) &&
        check(worker, rxn_values_new(model, 1, &values, &error), &error) &&
        check(worker, rxn_simulator_new(model, &options, &simulator, &error), &error) &&
        check(worker, rxn_run(simulator, values, &run_options, &run, &error), &error)) {
        memcpy(worker->mean[round], run.mean, sizeof worker->mean[round]);
        rxn_run_release(&run);
        if (check(worker, rxn_differentiator_new(model, &to_differentiate, values, &d, &error),
                  &error) &&
            check(worker, rxn_differentiate(d, values, &run_options, &found, &error), &error))
            worker->gradient[round] = found.gradient[0];
    }
    rxn_differentiator_free(d);
    rxn_simulator_free(simulator);
    rxn_values_free(values);
    rxn_model_free(model);
}

static void *
work(void *context)
{
    Worker *worker = context;
    for (unsigned round = 0; round < ROUNDS && !worker->failed; round++)
        one_round(worker, round);
    return NULL;
}

static void
test_at_once(void **state)
{
    (void)state;
    static Worker workers[THREADS], alone;
    for (unsigned k = 0; k < THREADS; k++)
        assert_int_equal(pthread_create(&workers[k].thread, NULL, work, &workers[k]), 0);
    for (unsigned k = 0; k < THREADS; k++)
        assert_int_equal(pthread_join(workers[k].thread, NULL), 0);
    work(&alone);
    if (alone.failed)
        fail_msg("%s", alone.message);
    for (unsigned k = 0; k < THREADS; k++) {
        if (workers[k].failed)
            fail_msg("%s", workers[k].message);
        assert_memory_equal(workers[k].mean, alone.mean, sizeof alone.mean);
        assert_memory_equal(workers[k].gradient, alone.gradient, sizeof alone.gradient);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_at_once)};
    if (getenv("RXN_TEST_DEVICE"))
        device = getenv("RXN_TEST_DEVICE");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
