/* cmd_selftest.c: `./model selftest`: whether a program that `rxn build` made computes on this machine what it should.
 *
 *     code        a few trajectories by machine code and by the interpreter, which is the definition of what a kernel does:
 *                 the same bits; in f64 and in f32; and by the code of one lane, which single trajectories take
 *     threads     one thread and several: the same bits
 *     means       of an ensemble against the master equation, where that is small enough
 *     gradients   those of the objective that the program was built for, against exact ones; biased estimators are shown,
 *                 and not judged
 *
 * Random numbers have a fixed seed, so a check that fails fails always. Differences are judged in standard errors: the
 * largest of m may be sqrt(2 log(m / 1e-6)), which m standard normal numbers exceed with a probability below 1e-6
 * (P(|Z| > z) <= exp(-z²/2)).
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/command.h"

const OptionTable rxn__usage_selftest = {
    .command = "rxn selftest",
    .synopsis = "rxn selftest [OPTION…]",
    .summary =
        "Checks what this program computes on this machine: machine code against the kernel's "
        "definition,\n"
        "means and derivatives against the master equation where the model is small enough for it.",
    .remarks =
        "Exit status: 0 all is well, 1 a check failed or could not be made, 2 wrong options.",
    .operand = "MODEL",
    .shared = rxn__ensemble_options,
    .shared_count = ENSEMBLE_OPTION_COUNT,
};

typedef struct Selftest {
    Driver *driver;
    EnsembleFlags options;
    RxnModel *model;
    RxnValues *values;
    const volatile int *cancel;
    uint32_t checks, failures;
} Selftest;

/* One ensemble; samples: [kept][row] of the first trajectories, where a row is [times][columns]. */
typedef struct Sampling {
    const char *device, *precision;
    uint64_t trajectories, kept;
    uint32_t threads;
    bool for_one; /* by the code that a single trajectory takes */
    /* What comes of it: */
    RxnSimulator *simulator;
    RxnSimulatorInfo info;
    RxnRun run;
    double *samples;
    size_t row;
} Sampling;

static void tell(Selftest *test, const char *what, const char *verdict, const char *format, ...)
    RXN_PRINTF(4, 5);

static void
tell(Selftest *test, const char *what, const char *verdict, const char *format, ...)
{
    va_list args;
    test->checks += strcmp(verdict, "ok") == 0 || strcmp(verdict, "FAILED") == 0;
    test->failures += strcmp(verdict, "FAILED") == 0;
    printf("  %-28s %-8s  ", what, verdict);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

static const char *
verdict(bool good)
{
    return good ? "ok" : "FAILED";
}

/* The largest difference that chance explains, of so many. */
static double
limit_of(size_t count)
{
    const double false_alarm = 1e-6;
    return sqrt(2 * log((double)(count ? count : 1) / false_alarm));
}

/* What is no number at all is worse than any. */
static double
worse(double worst, double difference)
{
    return isnan(difference) ? INFINITY : fmax(worst, difference);
}

/* ---- ensembles --------------------------------------------------------------------------------- */

static bool
keep_rows(void *context, uint64_t first, uint64_t count, const double *rows, const uint64_t *events)
{
    Sampling *s = context;
    (void)events;
    for (uint64_t k = 0; k < count && first + k < s->kept; k++)
        memcpy(s->samples + (first + k) * s->row, rows + k * s->row, s->row * sizeof *rows);
    return true;
}

/* How all of it is run: until the model's own end, and ended by Ctrl-C. */
static RxnRunOptions
run_options(const Selftest *test)
{
    RxnRunOptions options = rxn__driver_run(&test->options);
    options.cancel = test->cancel;
    return options;
}

static RxnStatus
take(const Selftest *test, RxnStatus status, RxnError *error)
{
    return rxn__driver_take(test->driver, status, error);
}

/* Room for samples, by the times that the run will have. */
static RxnStatus
plan(const Selftest *test, Sampling *s)
{
    RxnRunOptions options = run_options(test);
    RxnError *error;
    RxnRun planned;
    options.plan = true;
    RxnStatus status = rxn_run(s->simulator, test->values, &options, &planned, &error);
    if (status != RXN_OK)
        return take(test, status, error);
    s->row = planned.time_count * planned.columns;
    rxn_run_release(&planned);
    s->samples = calloc(s->kept * s->row + 1, sizeof *s->samples);
    return s->samples ? RXN_OK : RXN_ERROR_MEMORY;
}

static RxnStatus
sample(const Selftest *test, Sampling *s)
{
    RxnSimulatorOptions kernel = rxn_simulator_options();
    RxnError *error;
    kernel.device = s->device;
    kernel.precision = s->precision;
    kernel.trajectories = s->for_one;
    RxnStatus status = rxn_simulator_new(test->model, &kernel, &s->simulator, &error);
    if (status != RXN_OK)
        return take(test, status, error);
    s->info = rxn_simulator_info(s->simulator);
    status = plan(test, s);
    if (status != RXN_OK)
        return status;
    RxnRunOptions options = run_options(test);
    options.trajectories = s->trajectories;
    options.threads = s->threads;
    options.rows = keep_rows;
    options.rows_context = s;
    return take(test, rxn_run(s->simulator, test->values, &options, &s->run, &error), error);
}

static void
put_away(Sampling *s)
{
    rxn_run_release(&s->run);
    rxn_simulator_free(s->simulator);
    free(s->samples);
}

/* ---- code, threads ----------------------------------------------------------------------------- */

/* How many trajectories the interpreter takes a second for, about. */
static uint64_t
few_of(const Sampling *s)
{
    const uint64_t most_events = 300000, most = 64;
    uint64_t each = s->run.events / s->trajectories + 1;
    return each * most < most_events ? most : each < most_events ? most_events / each : 1;
}

static void
judge_code(Selftest *test, const char *what, const Sampling *compiled, const Sampling *slow)
{
    const uint32_t lanes = compiled->info.lanes;
    bool same = memcmp(slow->samples, compiled->samples,
                       slow->kept * slow->row * sizeof *slow->samples) == 0;
    tell(test, what, verdict(same), "%llu trajectories, %llu events, by %u lane%s (%s)",
         (unsigned long long)slow->kept, (unsigned long long)slow->run.events, lanes,
         lanes == 1 ? "" : "s", compiled->info.isa);
}

/* Where a single trajectory has another code than many. */
static RxnStatus
check_code_of_one(Selftest *test, const char *what, const Sampling *compiled, const Sampling *slow)
{
    Sampling one = {.device = compiled->device,
                    .precision = compiled->precision,
                    .trajectories = slow->kept,
                    .threads = 1,
                    .kept = slow->kept,
                    .for_one = true};
    RxnStatus status = sample(test, &one);
    if (status == RXN_OK && one.info.lanes != compiled->info.lanes)
        judge_code(test, what, &one, slow);
    put_away(&one);
    return status;
}

static RxnStatus
check_code(Selftest *test, const char *what, const char *what_of_one, const Sampling *compiled)
{
    if (compiled->info.lanes == 0) {
        tell(test, what, "left out", "there is no code for this processor");
        return RXN_OK;
    }
    uint64_t few = few_of(compiled);
    few = few < compiled->kept ? few : compiled->kept;
    Sampling slow = {.device = "interpreter",
                     .precision = compiled->precision,
                     .trajectories = few,
                     .kept = few};
    RxnStatus status = sample(test, &slow);
    if (status == RXN_OK) {
        judge_code(test, what, compiled, &slow);
        status = check_code_of_one(test, what_of_one, compiled, &slow);
    }
    put_away(&slow);
    return status;
}

static RxnStatus
check_threads(Selftest *test, const Sampling *one)
{
    enum { SEVERAL = 4 };
    Sampling several = {.device = one->device,
                        .precision = one->precision,
                        .trajectories = one->trajectories,
                        .threads = SEVERAL};
    RxnStatus status = sample(test, &several);
    if (status == RXN_OK) {
        size_t bytes = one->row * sizeof(double);
        bool same = memcmp(one->run.mean, several.run.mean, bytes) == 0 &&
                    memcmp(one->run.sd, several.run.sd, bytes) == 0;
        tell(test, "threads", verdict(same), "%u of them, %llu trajectories", several.run.threads,
             (unsigned long long)one->trajectories);
    }
    put_away(&several);
    return status;
}

/* ---- means ------------------------------------------------------------------------------------- */

/* What stands in the way of exact results is no error here. True: the status is as it was. */
static bool
leave_out(Selftest *test, const char *what, RxnStatus status, RxnError *error)
{
    if (status != RXN_ERROR_INPUT)
        return false;
    tell(test, what, "left out", "no exact ones: %s", rxn_error_message(error, 0).text);
    rxn_error_free(error);
    return true;
}

static void
judge_means(Selftest *test, const Sampling *s, const RxnRun *exact)
{
    double worst = 0;
    for (size_t k = 0; k < s->row; k++) {
        /* Where nothing varies rounding and the mass that was lost are all there is. */
        double slack = (1e-9 + exact->lost) * (1 + fabs(exact->mean[k]));
        double se = exact->sd[k] / sqrt((double)s->trajectories) + slack;
        worst = worse(worst, fabs(s->run.mean[k] - exact->mean[k]) / se);
    }
    tell(test, "means", verdict(worst <= limit_of(s->row)),
         "%zu of them, off by up to %.1f standard errors; %llu states", s->row, worst,
         (unsigned long long)exact->states);
}

static RxnStatus
check_means(Selftest *test, const Sampling *s)
{
    RxnSimulatorOptions kernel = rxn_simulator_options();
    RxnRunOptions options = run_options(test);
    RxnSimulator *equation;
    RxnRun exact = {0};
    RxnError *error;
    kernel.method = "cme";
    options.state_limit = 200000;
    options.work_limit = 3e9; /* some seconds */
    RxnStatus status = rxn_simulator_new(test->model, &kernel, &equation, &error);
    if (status == RXN_OK)
        status = rxn_run(equation, test->values, &options, &exact, &error);
    if (status == RXN_OK)
        judge_means(test, s, &exact);
    else
        status = leave_out(test, "means", status, error) ? RXN_OK : take(test, status, error);
    rxn_run_release(&exact);
    rxn_simulator_free(equation);
    return status;
}

/* ---- gradients --------------------------------------------------------------------------------- */

/* Of the objective that the program was built for. estimator: NULL: those that it was built with. */
static RxnStatus
differentiate(const Selftest *test, const char *estimator, RxnDifferentiator **ret_differentiator,
              RxnDerivatives *ret_found, RxnError **ret_error)
{
    RxnDifferentiatorOptions options = rxn_differentiator_options();
    RxnRunOptions run = run_options(test);
    options.estimator = estimator ? estimator : options.estimator;
    options.kernel.trajectories = run.trajectories;
    run.work_limit = 2e10; /* some seconds */
    RxnStatus status =
        rxn_differentiator_new(test->model, &options, test->values, ret_differentiator, ret_error);
    if (status == RXN_OK)
        status = rxn_differentiate(*ret_differentiator, test->values, &run, ret_found, ret_error);
    return status;
}

/* How far a derivative is from the exact one, in standard errors. */
static double
bias_of(const RxnEstimate *estimate, const RxnEstimate *exact, size_t cell)
{
    double bias = fabs(estimate->gradient[cell] - exact->gradient[cell]);
    /* What the master equation does not know either is no bias: some estimates have no noise at all. */
    double unknown = exact->gradient_error[cell] + 1e-8 * fabs(exact->gradient[cell]);
    return bias <= unknown ? 0 : bias / estimate->se[cell];
}

static void
judge(Selftest *test, const RxnEstimate *estimate, const RxnEstimate *exact, size_t cells)
{
    char what[64];
    double worst = 0;
    snprintf(what, sizeof what, "gradients by %s", estimate->estimator);
    for (size_t cell = 0; cell < cells; cell++)
        worst = worse(worst, bias_of(estimate, exact, cell));
    tell(test, what, estimate->unbiased ? verdict(worst <= limit_of(cells)) : "biased",
         "%zu of them, off by up to %.1f standard errors", cells, worst);
}

static RxnStatus
judge_all(Selftest *test, const RxnDerivatives *found, const RxnEstimate *exact)
{
    for (size_t k = 0; k < found->estimate_count; k++)
        if (!found->estimates[k].exact)
            judge(test, &found->estimates[k], exact, found->output_count * found->parameter_count);
    const RxnEstimate *failed = &found->estimates[found->estimate_count];
    for (size_t k = 0; k < found->failure_count; k++)
        rxn__driver_error(test->driver, "the estimator '%s' did not end: %s", failed[k].estimator,
                          failed[k].failure);
    return found->failure_count ? RXN_ERROR_INPUT : RXN_OK;
}

static RxnStatus
check_gradients(Selftest *test)
{
    RxnDifferentiator *equation = NULL, *estimators = NULL;
    RxnDerivatives exact, found;
    RxnError *error;
    /* Only what it was built for makes options good that say nothing. */
    if (rxn_differentiator_check(test->model, NULL, NULL) == RXN_ERROR_USAGE) {
        tell(test, "gradients", "left out", "the program was built without --of");
        return RXN_OK;
    }
    RxnStatus status = differentiate(test, "exact", &equation, &exact, &error);
    if (leave_out(test, "gradients", status, error)) {
        rxn_differentiator_free(equation);
        return RXN_OK;
    }
    if (status == RXN_OK)
        status = differentiate(test, NULL, &estimators, &found, &error);
    if (status == RXN_OK)
        status = judge_all(test, &found, &exact.estimates[0]);
    else
        status = take(test, status, error);
    rxn_differentiator_free(estimators);
    rxn_differentiator_free(equation);
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static RxnStatus
check_precision(Selftest *test, bool whole)
{
    enum { KEPT = 64 };
    uint64_t n = test->options.trajectories;
    Sampling s = {.device = "cpu",
                  .precision = whole ? "f64" : "f32",
                  .trajectories = whole || n < KEPT ? n : KEPT,
                  .threads = 1,
                  .kept = n < KEPT ? n : KEPT};
    RxnStatus status = sample(test, &s);
    if (status == RXN_OK)
        status = check_code(test, whole ? "code, f64" : "code, f32",
                            whole ? "code of one lane, f64" : "code of one lane, f32", &s);
    if (status == RXN_OK && whole)
        status = check_threads(test, &s);
    if (status == RXN_OK && whole)
        status = check_means(test, &s);
    put_away(&s);
    return status;
}

static RxnStatus
check_all(Selftest *test)
{
    printf("%s, %llu trajectories, seed %llu\n\n", rxn__driver_program(test->driver)->headline,
           (unsigned long long)test->options.trajectories, (unsigned long long)test->options.seed);
    RxnStatus status = rxn__driver_values(test->driver, test->model, &test->options, &test->values);
    if (status == RXN_OK)
        status = check_precision(test, true);
    if (status == RXN_OK)
        status = check_precision(test, false);
    if (status == RXN_OK)
        status = check_gradients(test);
    if (status != RXN_OK)
        return status;
    if (test->failures == 0) {
        printf("\nall %u checks are good\n", test->checks);
        return RXN_OK;
    }
    printf("\n%u of %u checks failed\n", test->failures, test->checks);
    rxn__driver_error(test->driver, "this program does not compute here what it should");
    rxn__driver_note(test->driver, "please report it with the model and what 'info' says");
    return RXN_ERROR_INPUT;
}

RxnStatus
rxn__cmd_selftest(Driver *driver, int argc, char **argv)
{
    enum { USUAL_TRAJECTORIES = 10000 };
    Selftest test = {.driver = driver, .options = rxn__ensemble_flags()};
    const char *model;
    RxnError *error;
    bool help;
    test.options.trajectories = USUAL_TRAJECTORIES;
    if (!rxn__options_parse(driver, &rxn__usage_selftest, argc, argv, &test.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_selftest, stdout);
        return RXN_OK;
    }
    RxnStatus status = rxn__driver_check_ensemble(driver, &test.options);
    if (status != RXN_OK)
        return status;
    /* Warnings are of no interest here: nothing is told. */
    status = rxn_model_of_program(rxn__driver_program(driver)->built, NULL, &test.model, &error);
    if (status != RXN_OK)
        return take(&test, status, error);
    test.cancel = rxn__interrupt_begin();
    status = check_all(&test);
    rxn__interrupt_end();
    rxn_values_free(test.values);
    rxn_model_free(test.model);
    return status;
}
