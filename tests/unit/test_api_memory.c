/* test_api_memory.c: the library where memory runs out: with the N-th allocation of ours failing, for every N until none does (of many: for some), every call
 * says so by its status and its error, nothing crashes, and all of it is given back.
 *
 * malloc and its kin are wrapped by the linker (meson.build) in all of rxn's own objects. LLVM's allocations are its own: it ends
 * the process when one fails.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/rxn.h"
#include "sanitized.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *memory);

/* ---- allocations ------------------------------------------------------------------------------- */

enum { MOST = 1 << 16 };

/* Every allocation has its turn while they are few; of more, about so many: a try compiles kernels, which takes up to a fifth of a
 * second, and twice that under a sanitizer. RXN_TEST_TRIES in the environment is for more patience. */
enum { MOST_TRIES = SANITIZED ? 80 : 200 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long made, fails_at; /* 0: none does */
static size_t asked_for;             /* bytes */
static void *held[MOST];             /* a hash table of what was not freed */
static size_t held_count;

static size_t
slot_of(const void *memory)
{
    size_t at = ((uintptr_t)memory >> 4) * 0x9E3779B97F4A7C15u >> 20 & (MOST - 1);
    while (held[at] && held[at] != memory)
        at = (at + 1) & (MOST - 1);
    return at;
}

static void
hold(void *memory)
{
    if (!memory)
        return;
    if (held_count > MOST / 2)
        abort();
    held[slot_of(memory)] = memory;
    held_count++;
}

/* What others allocated may be freed by us: it is not here. */
static void
let_go(const void *memory)
{
    size_t at = slot_of(memory);
    if (!memory || !held[at])
        return;
    held[at] = NULL;
    held_count--;
    for (size_t next = (at + 1) & (MOST - 1); held[next]; next = (next + 1) & (MOST - 1)) {
        void *moved = held[next];
        held[next] = NULL;
        held[slot_of(moved)] = moved;
    }
}

static bool
is_the_one(size_t size)
{
    asked_for += size;
    return ++made == fails_at;
}

void *
__wrap_malloc(size_t size)
{
    pthread_mutex_lock(&lock);
    void *memory = is_the_one(size) ? NULL : __real_malloc(size);
    hold(memory);
    pthread_mutex_unlock(&lock);
    return memory;
}

void *
__wrap_calloc(size_t count, size_t size)
{
    pthread_mutex_lock(&lock);
    void *memory = is_the_one(count * size) ? NULL : __real_calloc(count, size);
    hold(memory);
    pthread_mutex_unlock(&lock);
    return memory;
}

void *
__wrap_realloc(void *old, size_t size)
{
    pthread_mutex_lock(&lock);
    void *memory = NULL;
    if (!is_the_one(size)) {
        let_go(old);
        memory = __real_realloc(old, size);
        hold(memory ? memory : old);
    }
    pthread_mutex_unlock(&lock);
    return memory;
}

void
__wrap_free(void *memory)
{
    pthread_mutex_lock(&lock);
    let_go(memory);
    __real_free(memory);
    pthread_mutex_unlock(&lock);
}

/* ---- what is tried ----------------------------------------------------------------------------- */

static const char *device = "interpreter";

static const char text[] = "param k = 0.3 in 1e-3 .. 10 fit\n"
                           "param W[20000] = 0.1\n" /* too many for the room that is left */
                           "species A = 20, B[3] = 1\n"
                           "A -> 0 @ k * (1 + W[7])\n"
                           "for i in 0 .. 2 { B[i] => 0 @ k * B[i] / (1 + A) }\n"
                           "at 1: A = 5\n"
                           "observe A\n"
                           "simulate until 2 every 1\n"
                           "fit {\n"
                           "  data \"%s\"\n"
                           "  loss mse(mean(A), data.A)\n"
                           "  estimator score\n"
                           "  optimizer adam\n"
                           "  trajectories 4\n"
                           "  steps 2\n"
                           "}\n";
static char model_text[1000], program[100];
static char small_path[] = "/tmp/rxn-test-XXXXXX";

static const char network[] = "begin parameters\n1 k 2\nend parameters\n"
                              "begin species\n1 A() 5\nend species\n"
                              "begin reactions\n1 1 0 k\nend reactions\n";

/* A failed call has an error of the status that it returned; then nothing more is tried. */
static bool
is_good(RxnStatus status, RxnError *error, const void *made_object)
{
    if (status == RXN_OK)
        return true;
    if (status != RXN_ERROR_MEMORY && status != RXN_ERROR_INPUT)
        fail_msg("status %d: %s", (int)status, rxn_error_text(error));
    /* What the runtime could not have memory for is an error of the run, which says so. */
    if (!strstr(rxn_error_text(error), "memory"))
        fail_msg("allocation %lu: %s", fails_at, rxn_error_text(error));
    assert_int_equal(rxn_error_status(error), status);
    assert_null(made_object);
    rxn_error_free(error);
    return false;
}

/* What the call has made is looked at behind it. */
#define good(call, error, made_object) (last = (call), is_good(last, error, made_object))
static RxnStatus last;

/* Each of them is done whole only if no allocation failed. */
static bool
simulate(RxnModel *model, RxnValues *values)
{
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnRunOptions run_options = rxn_run_options();
    RxnSimulator *simulator;
    RxnError *error;
    RxnRun run;
    options.device = device;
    options.editable = true;
    run_options.trajectories = 8;
    run_options.threads = 2;
    bool done = good(rxn_simulator_new(model, &options, &simulator, &error), error, simulator) &&
                good(rxn_run(simulator, values, &run_options, &run, &error), error, run.own);
    if (done)
        rxn_run_release(&run);
    rxn_simulator_free(simulator);
    return done;
}

/* By the interpreter, whatever the device is: of interest is the way to the kernel. */
static RxnStatus
new_interpreted(RxnModel *model, const char *method, RxnSimulator **ret_simulator,
                RxnError **ret_error)
{
    RxnSimulatorOptions options = rxn_simulator_options();
    options.device = "interpreter";
    options.method = method;
    return rxn_simulator_new(model, &options, ret_simulator, ret_error);
}

static double
final_mean(RxnSimulator *simulator, RxnValues *values)
{
    RxnRunOptions options = rxn_run_options();
    RxnRun run;
    options.trajectories = 8;
    assert_int_equal(rxn_run(simulator, values, &options, &run, NULL), RXN_OK);
    const double mean = run.mean[(run.time_count - 1) * run.columns];
    rxn_run_release(&run);
    return mean;
}

/* A simulator that goes on from the model's network and fails there takes nothing from the model, nor from the next one. */
static bool
simulate_again(RxnModel *model, RxnValues *values)
{
    static double usual = -1; /* of the first try, in which nothing fails */
    RxnSimulator *first, *second;
    RxnError *error;
    const bool done = good(new_interpreted(model, "batch", &first, &error), error, first);
    if (!done) {
        fails_at = 0;
        assert_string_equal(rxn_model_label(model, RXN_SPECIES, 2), "B[1]");
        assert_int_equal(rxn_values_set(values, "k", 0.4, NULL), RXN_OK);
    }
    if (!good(new_interpreted(model, "batch", &second, &error), error, second)) {
        rxn_simulator_free(first);
        return false;
    }
    fails_at = 0;
    const double mean = final_mean(second, values);
    usual = usual < 0 ? mean : usual;
    assert_true(mean == usual);
    assert_true(!first || final_mean(first, values) == usual);
    rxn_simulator_free(second);
    rxn_simulator_free(first);
    return done;
}

static bool
differentiate(RxnModel *model, RxnValues *values)
{
    RxnDifferentiatorOptions options = rxn_differentiator_options();
    RxnRunOptions run_options = rxn_run_options();
    RxnDifferentiator *d;
    RxnDerivatives found;
    RxnError *error;
    options.kernel.device = device;
    options.kernel.editable = true;
    options.of = (const char *const[]){"A"};
    options.of_count = 1;
    options.at = (const double[]){1.5};
    options.at_count = 1;
    options.estimator = "score";
    run_options.trajectories = 8;
    run_options.threads = 1;
    bool done =
        good(rxn_differentiator_new(model, &options, values, &d, &error), error, d) &&
        good(rxn_differentiate(d, values, &run_options, &found, &error), error, found.value);
    rxn_differentiator_free(d);
    return done;
}

/* Of several estimators one that has no memory fails alone. */
static bool
compare(RxnModel *model, RxnValues *values)
{
    RxnDifferentiatorOptions options = rxn_differentiator_options();
    RxnRunOptions run_options = rxn_run_options();
    RxnDifferentiator *d;
    RxnDerivatives found;
    RxnError *error;
    options.kernel.device = device;
    options.of = (const char *const[]){"A"};
    options.of_count = 1;
    options.at = (const double[]){1.5};
    options.at_count = 1;
    options.estimator = "score,martingale,exact";
    run_options.trajectories = 8;
    run_options.threads = 1;
    bool done = good(rxn_differentiator_check(model, &options, &error), error, NULL) &&
                good(rxn_differentiator_new(model, &options, values, &d, &error), error, d);
    if (!done)
        return false;
    done = good(rxn_differentiate(d, values, &run_options, &found, &error), error, found.value);
    done = done && found.failure_count == 0;
    rxn_differentiator_free(d);
    return done;
}

static bool
train(RxnModel *model, RxnValues *values)
{
    RxnFitOptions options = rxn_fit_options();
    RxnFit *fit;
    RxnFitted fitted;
    RxnValues *found = NULL;
    RxnError *error;
    char *json = NULL, *history = NULL;
    options.kernel.device = device;
    options.kernel.editable = true;
    options.threads = 1;
    options.later = true;
    bool done = good(rxn_fit_check(model, &options, &error), error, NULL) &&
                good(rxn_fit_new(model, &options, values, &fit, &error), error, fit);
    if (!done)
        return false;
    done = good(rxn_fit_compile(fit, &error), error, NULL) &&
           good(rxn_fit_train(fit, &fitted, &error), error, NULL) &&
           good(rxn_fit_values(fit, &found, &error), error, found) &&
           good(rxn_fit_json(fit, &json, &error), error, json) &&
           good(rxn_fit_history(fit, &history, &error), error, history);
    rxn_text_free(json);
    rxn_text_free(history);
    rxn_values_free(found);
    rxn_fit_free(fit);
    return done;
}

static bool
look(RxnModel *model, RxnValues *values)
{
    RxnError *error;
    char *summary;
    (void)values;
    if (!good(rxn_model_text(model, RXN_FORM_SUMMARY, NULL, &summary, &error), error, summary))
        return false;
    rxn_text_free(summary);
    return rxn_model_label(model, RXN_SPECIES, 2) != NULL;
}

/* What needs no model, and what a model is emitted as. */
static bool
write_texts(RxnModel *model, RxnValues *values)
{
    RxnDifferentiatorOptions gradient = rxn_differentiator_options();
    RxnEmitOptions options = rxn_emit_options();
    RxnError *error;
    char *laid_out = NULL, *imported = NULL, *emitted = NULL, *path = NULL, *read = NULL;
    size_t size;
    (void)values;
    gradient.of = (const char *const[]){"A"};
    gradient.of_count = 1;
    gradient.at = (const double[]){1.5};
    gradient.at_count = 1;
    gradient.estimator = "martingale"; /* with a pilot */
    options.gradient = &gradient;
    bool done =
        good(rxn_simulator_check(NULL, NULL, &error), error, NULL) &&
        good(rxn_read(small_path, &path, &read, &size, &error), error, read) &&
        good(rxn_format("species  A=1", SIZE_MAX, NULL, &laid_out, NULL, &error), error,
             laid_out) &&
        good(rxn_import(network, SIZE_MAX, "a.net", &imported, NULL, &error), error, imported) &&
        good(rxn_model_emit(model, RXN_FORM_CUDA, &options, &emitted, &size, &error), error,
             emitted);
    rxn_text_free(path);
    rxn_text_free(read);
    rxn_text_free(laid_out);
    rxn_text_free(imported);
    rxn_text_free(emitted);
    return done;
}

/* A program of it, but for the C compiler's work, which is of another process: here that of /bin/true. */
static bool
build(RxnModel *model, RxnValues *values)
{
    RxnBuildOptions options = rxn_build_options();
    RxnError *error;
    (void)values;
    options.march = "native";
    options.kernel.lanes = 1; /* one code a kernel, quickly made */
    options.parts = getenv("RXN_TEST_PARTS");
    RxnStatus status = rxn_model_build(model, &options, program, NULL, &error);
    return good(status, error, NULL);
}

/* A file instead of a model. */
static bool
trace(RxnModel *model, RxnValues *values)
{
    RxnTraceOptions options = rxn_trace_options();
    RxnError *error;
    char *name;
    (void)model;
    (void)values;
    options.verify = true;
    if (!good(rxn_trace(small_path, NULL, &options, &name, &error), error, name))
        return false;
    rxn_text_free(name);
    return true;
}

/* A mistake of the caller's where memory may be out too: the one error or the other. */
static bool
mistake(RxnModel *model, RxnValues *values)
{
    RxnError *error;
    (void)model;
    RxnStatus status = rxn_values_set(values, "nope", 1, &error);
    assert_true(status == RXN_ERROR_INPUT || status == RXN_ERROR_MEMORY);
    assert_int_equal(rxn_error_status(error), status);
    assert_true(rxn_error_count(error) >= 1);
    rxn_error_free(error);
    return status == RXN_ERROR_INPUT;
}

static bool
try(bool (*part)(RxnModel *model, RxnValues *values))
{
    RxnModel *model;
    RxnValues *values = NULL;
    RxnError *error;
    bool done = good(rxn_model_parse(model_text, NULL, &model, &error), error, model) &&
                good(rxn_values_new(model, 1, &values, &error), error, values) &&
                good(rxn_values_set(values, "k", 0.4, &error), error, NULL) && part(model, values);
    rxn_values_free(values);
    rxn_model_free(model);
    return done;
}

static void
fail_each(bool (*part)(RxnModel *model, RxnValues *values))
{
    fails_at = 0;
    assert_true(try(part)); /* what is kept once, is kept now */
    size_t before = held_count;
    made = 0;
    assert_true(try(part));
    assert_int_equal(held_count, before);
    const char *patience = getenv("RXN_TEST_TRIES");
    const unsigned long most = patience ? strtoul(patience, NULL, 10) : MOST_TRIES;
    const unsigned long all = made, stride = all / (most ? most : 1) + 1;
    unsigned long failed = 0, tries = 0;
    for (unsigned long n = 1; n <= all; n += stride) {
        made = 0;
        fails_at = n;
        failed += !try(part);
        tries++;
        if (held_count != before)
            fail_msg("allocation %lu of %lu: %zu blocks are not given back", n, all,
                     held_count - before);
    }
    fails_at = 0;
    /* Nearly all of them are needed: few things can go on without. */
    if (failed < tries / 2)
        fail_msg("only %lu of %lu failures were seen", failed, tries);
    print_message("# %lu allocations, %lu tried, %lu ended it\n", all, tries, failed);
}

static void
test_look(void **state)
{
    (void)state;
    fail_each(look);
}

static void
test_mistake(void **state)
{
    (void)state;
    fail_each(mistake);
}

static void
test_write_texts(void **state)
{
    (void)state;
    fail_each(write_texts);
}

static void
test_build(void **state)
{
    (void)state;
    assert_int_equal(setenv("CC", "true", 1), 0);
    fail_each(build);
    unlink(program);
}

static void
test_trace(void **state)
{
    (void)state;
    fail_each(trace);
}

static void
test_simulate(void **state)
{
    (void)state;
    fail_each(simulate);
}

static void
test_simulate_again(void **state)
{
    (void)state;
    fail_each(simulate_again);
}

static size_t
bytes_of_simulator(RxnModel *model, const char *method, RxnSimulator **ret_simulator)
{
    asked_for = 0;
    assert_int_equal(new_interpreted(model, method, ret_simulator, NULL), RXN_OK);
    return asked_for;
}

/* The first simulator of a model does without what the model was read to, which the second has to make again. When the
 * first is gone the next has it, unless expressions were left behind, as by the batch method. */
static void
test_read_once(void **state)
{
    (void)state;
    RxnModel *model;
    RxnSimulator *first, *second;
    fails_at = 0;
    asked_for = 0;
    assert_int_equal(rxn_model_parse(model_text, NULL, &model, NULL), RXN_OK);
    const size_t to_read = asked_for, from_network = bytes_of_simulator(model, "auto", &first),
                 from_text = bytes_of_simulator(model, "auto", &second);
    print_message("# %zu bytes to read it; simulators: %zu bytes, %zu bytes\n", to_read,
                  from_network, from_text);
    assert_true(from_network + to_read / 2 < from_text);
    rxn_simulator_free(second);
    rxn_simulator_free(first);
    assert_true(bytes_of_simulator(model, "auto", &first) < from_text);
    rxn_simulator_free(first);
    bytes_of_simulator(model, "batch", &first);
    rxn_simulator_free(first);
    assert_int_equal(bytes_of_simulator(model, "auto", &first), from_text);
    rxn_simulator_free(first);
    rxn_model_free(model);
}

static void
test_differentiate(void **state)
{
    (void)state;
    fail_each(differentiate);
}

static void
test_compare(void **state)
{
    (void)state;
    fail_each(compare);
}

static void
test_train(void **state)
{
    (void)state;
    fail_each(train);
}

static bool
write_file(char *path, const char *content)
{
    const int file = mkstemp(path);
    const size_t length = strlen(content);
    const bool good = file >= 0 && write(file, content, length) == (ssize_t)length;
    if (file >= 0)
        close(file);
    return good;
}

/* An argument names the tests to run. */
int
main(int argc, char **argv)
{
#define EVERYWHERE                                                                                 \
    cmocka_unit_test(test_look), cmocka_unit_test(test_mistake), cmocka_unit_test(test_simulate),  \
        cmocka_unit_test(test_simulate_again), cmocka_unit_test(test_read_once),                   \
        cmocka_unit_test(test_differentiate), cmocka_unit_test(test_compare),                      \
        cmocka_unit_test(test_train), cmocka_unit_test(test_write_texts),                          \
        cmocka_unit_test(test_trace)
    const struct CMUnitTest interpreted[] = {EVERYWHERE};
    const struct CMUnitTest compiled[] = {EVERYWHERE, cmocka_unit_test(test_build)};
#undef EVERYWHERE
    char path[] = "/tmp/rxn-test-XXXXXX";
    static const char table[] = "time,A\n1,15\n2,4\n";
    static const char small[] = "model small\nspecies A = 5\nA -> 0 @ 1\n";
    if (!write_file(path, table) || !write_file(small_path, small))
        return 1;
    snprintf(model_text, sizeof model_text, text, path);
    snprintf(program, sizeof program, "%s.program", path);
    if (getenv("RXN_TEST_DEVICE"))
        device = getenv("RXN_TEST_DEVICE");
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = strcmp(device, "cpu") == 0 ? cmocka_run_group_tests(compiled, NULL, NULL)
                                            : cmocka_run_group_tests(interpreted, NULL, NULL);
    unlink(path);
    unlink(small_path);
    return failed;
}
