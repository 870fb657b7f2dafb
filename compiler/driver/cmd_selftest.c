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
#include <stdlib.h>
#include <string.h>

#include "compiler/cme/cme.h"
#include "compiler/driver/driver.h"
#include "compiler/engine/grad.h"
#include "compiler/target/program_abi.h"

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
    EnsembleOptions options;
    u32 file, checks, failures;
    Grad grad;
} Selftest;

/* One ensemble; samples: [kept][times][columns] of the first trajectories. */
typedef struct Sampling {
    const char *device;
    KirType precision;
    u64 trajectories, threads, kept;
    bool for_one; /* by the code that a single trajectory takes */
    /* What comes of it: */
    Pipeline pipeline;
    ModelValues values;
    SampleTimes times;
    RxnEnsembleResult result;
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

/* ---- ensembles --------------------------------------------------------------------------------- */

static bool
keep_rows(void *context, uint64_t first, uint64_t count, const double *rows, const uint64_t *events)
{
    Sampling *s = context;
    (void)events;
    for (u64 k = 0; k < count && first + k < s->kept; k++)
        memcpy(s->samples + (first + k) * s->row, rows + k * s->row, s->row * sizeof *rows);
    return true;
}

static RxnStatus
sample(Selftest *test, Sampling *s)
{
    Driver *driver = test->driver;
    const EnsembleOptions *o = &test->options;
    PipelineRequest request = {.file = test->file,
                               .loader = &driver->engine.loader,
                               .goal = PIPELINE_COMPILED,
                               .method = "auto",
                               .device = s->device,
                               .precision = s->precision,
                               .trajectories = s->for_one};
    RxnStatus status = rxn__pipeline_run(&driver->engine.session, &request, &s->pipeline);
    driver->engine.internal_error = s->pipeline.internal_error;
    driver->engine.session.diagnostics.list.count *=
        driver->engine.session.diagnostics.error_count > 0;
    if (status != RXN_OK)
        return status;
    const NumberList none = {0};
    BindRequest bind = {.sets = &o->sets, .input = o->input, .seed = o->seed, .params = o->params};
    TimesRequest times = {NAN, NAN, &none};
    if (!rxn__bind(&driver->engine, &s->pipeline, &bind, &s->values) ||
        !rxn__sample_times(&driver->engine, &s->pipeline, &times, &s->times))
        return RXN_ERROR_INPUT;
    RxnKernel kernel;
    status = rxn__describe_kernel(&driver->engine, &s->pipeline, &kernel);
    if (status != RXN_OK)
        return status;
    Launch launch = {.pipeline = &s->pipeline,
                     .values = &s->values,
                     .times = &s->times,
                     .precision = s->precision,
                     .seed = o->seed,
                     .step_limit = o->step_limit};
    u32 count;
    RxnBinding *bindings = rxn__launch_bindings(&launch, &count);
    s->row = (size_t)s->times.count * s->pipeline.network->column_count;
    s->samples = NEW_ARRAY(&s->pipeline.arena, double, s->kept * s->row + 1);
    RxnEnsemble ensemble = {.kernel = &kernel,
                            .bindings = bindings,
                            .binding_count = count,
                            .trajectories = s->trajectories,
                            .sample_count = s->times.count,
                            .columns = s->pipeline.network->column_count,
                            .threads = (u32)s->threads,
                            .statistics = true,
                            .rows = keep_rows,
                            .rows_context = s,
                            .cancel = rxn__interrupt_begin()};
    RxnOutcome outcome = rxn__ensemble_run(&ensemble, &s->result);
    rxn__interrupt_end();
    return rxn__launch_outcome(&driver->engine, &launch, outcome, &s->result, s->trajectories);
}

static void
put_away(Sampling *s)
{
    rxn__ensemble_release(&s->result);
    rxn__pipeline_close(&s->pipeline);
}

/* ---- code, threads ----------------------------------------------------------------------------- */

/* How many trajectories the interpreter takes a second for, about. */
static u64
few_of(const Sampling *s)
{
    const u64 most_events = 300000, most = 64;
    u64 each = s->result.events / s->trajectories + 1;
    return each * most < most_events ? most : each < most_events ? most_events / each : 1;
}

static void
judge_code(Selftest *test, const char *what, const Sampling *compiled, const Sampling *slow)
{
    const u32 lanes = compiled->pipeline.compiled.lanes;
    bool same = memcmp(slow->samples, compiled->samples,
                       slow->kept * slow->row * sizeof *slow->samples) == 0;
    tell(test, what, verdict(same), "%llu trajectories, %llu events, by %u lane%s (%s)",
         (unsigned long long)slow->kept, (unsigned long long)slow->result.events, lanes,
         lanes == 1 ? "" : "s", compiled->pipeline.compiled.isa);
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
    if (status == RXN_OK && one.pipeline.compiled.lanes != compiled->pipeline.compiled.lanes)
        judge_code(test, what, &one, slow);
    put_away(&one);
    return status;
}

static RxnStatus
check_code(Selftest *test, const char *what, const char *what_of_one, const Sampling *compiled)
{
    if (compiled->pipeline.interpreted) {
        tell(test, what, "left out", "there is no code for this processor");
        return RXN_OK;
    }
    u64 few = few_of(compiled);
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
    Sampling several = *one;
    several.threads = SEVERAL;
    several.result = (RxnEnsembleResult){0};
    RxnStatus status = sample(test, &several);
    if (status == RXN_OK) {
        size_t bytes = one->row * sizeof(double);
        bool same = memcmp(one->result.mean, several.result.mean, bytes) == 0 &&
                    memcmp(one->result.m2, several.result.m2, bytes) == 0;
        tell(test, "threads", verdict(same), "%u of them, %llu trajectories",
             several.result.threads, (unsigned long long)one->trajectories);
    }
    put_away(&several);
    return status;
}

/* ---- means ------------------------------------------------------------------------------------- */

static RxnStatus
check_means(Selftest *test, const Sampling *s)
{
    CmeOptions options = {.state_limit = 200000, .work_limit = 3e9}; /* some seconds */
    CmeModel model = {s->pipeline.network, s->values.params, s->values.inputs};
    CmeMoments exact;
    const char *reason = NULL;
    options.cancel = rxn__interrupt_begin();
    RxnStatus status = rxn__cme_moments(&model, s->times.times, s->times.count, &options,
                                        &test->driver->engine.session.arena, &exact, &reason);
    rxn__interrupt_end();
    if (status == RXN_ERROR_INPUT) {
        tell(test, "means", "left out", "no exact ones: %s", reason ? reason : "no reason given");
        return RXN_OK;
    }
    if (status == RXN_ERROR_INTERNAL)
        test->driver->engine.internal_error = reason;
    if (status != RXN_OK)
        return status;
    double worst = 0;
    for (size_t k = 0; k < s->row; k++) {
        /* Where nothing varies rounding and the mass that was lost are all there is. */
        double slack = 1e-9 * (1 + fabs(exact.mean[k])) + exact.lost * (1 + fabs(exact.mean[k]));
        double se = sqrt(exact.variance[k] / (double)s->trajectories) + slack;
        worst = fmax(worst, fabs(s->result.mean[k] - exact.mean[k]) / se);
    }
    tell(test, "means", verdict(worst <= limit_of(s->row)),
         "%zu of them, off by up to %.1f standard errors; %llu states", s->row, worst,
         (unsigned long long)exact.cost.states);
    return RXN_OK;
}

/* ---- gradients --------------------------------------------------------------------------------- */

static RxnStatus
note_refusal(Grad *grad, const char *name, const char *reason)
{
    (void)name;
    Text text;
    rxn__text_init(&text, &grad->engine->session.arena);
    rxn__text_printf(&text, "%s", reason);
    grad->choice = text.data;
    return RXN_OK;
}

static void
judge(Selftest *test, const GradEstimate *estimate)
{
    Grad *grad = &test->grad;
    size_t cells = (size_t)grad->output_count * grad->request.wrt_count;
    double worst = 0;
    Text what;
    rxn__text_init(&what, &grad->pipeline.arena);
    rxn__text_printf(&what, "gradients by %s", estimate->estimator);
    for (u32 o = 0; o < grad->output_count; o++)
        for (u32 p = 0; p < grad->request.wrt_count; p++) {
            GradCell cell = rxn__grad_cell(grad, estimate, o, p);
            double bias = rxn__grad_bias(grad, &cell);
            worst = isnan(bias) ? worst : fmax(worst, fabs(bias));
        }
    tell(test, what.data, estimate->unbiased ? verdict(worst <= limit_of(cells)) : "biased",
         "%zu of them, off by up to %.1f standard errors", cells, worst);
}

static RxnStatus
prepare_gradients(Selftest *test)
{
    Grad *grad = &test->grad;
    Driver *driver = test->driver;
    const EnsembleOptions *o = &test->options;
    *grad = (Grad){.engine = &driver->engine, .file = test->file};
    rxn__grad_defaults(&grad->options);
    if (!rxn__grad_check_options(grad))
        return RXN_ERROR_USAGE;
    grad->options.ensemble = *o;
    grad->options.ensemble.quiet = true;
    grad->stages = (PipelineRequest){.file = test->file,
                                     .loader = &driver->engine.loader,
                                     .device = "cpu",
                                     .precision = KIR_F64,
                                     .trajectories = o->trajectories};
    RxnStatus status = rxn__grad_network(grad);
    driver->engine.session.diagnostics.list.count *=
        driver->engine.session.diagnostics.error_count > 0;
    if (status != RXN_OK)
        return status;
    grad->stages.goal = PIPELINE_COMPILED;
    BindRequest bind = {.sets = &o->sets, .input = o->input, .seed = o->seed, .params = o->params};
    if (!rxn__bind(&driver->engine, &grad->pipeline, &bind, &grad->values))
        return RXN_ERROR_INPUT;
    rxn__grad_times(grad);
    status = rxn__grad_choose(grad);
    if (status != RXN_OK)
        return status;
    rxn__grad_outputs(grad);
    grad->runners = NEW_ARRAY(&grad->pipeline.arena, GradRunner, grad->estimators.count);
    grad->found = &grad->pipeline.arena;
    grad->trajectories = o->trajectories;
    return RXN_OK;
}

static RxnStatus
check_gradients(Selftest *test)
{
    Grad *grad = &test->grad;
    if (test->driver->program->built->of_count == 0) {
        tell(test, "gradients", "left out", "the program was built without --of");
        return RXN_OK;
    }
    RxnStatus status = prepare_gradients(test);
    grad->all = true; /* so that the master equation takes no more than some seconds */
    grad->choice = NULL;
    if (status == RXN_OK)
        status = rxn__grad_exact(grad, note_refusal);
    if (status != RXN_OK)
        return status;
    if (grad->estimates.count == 0) {
        tell(test, "gradients", "left out", "no exact ones: %s", grad->choice);
        return RXN_OK;
    }
    for (u32 k = 0; k < grad->estimators.count && status == RXN_OK; k++) {
        const Estimator *estimator = rxn__estimator_find(grad->estimators.items[k]);
        Text reason;
        rxn__text_init(&reason, &grad->pipeline.arena);
        if (!estimator || !estimator->applies(&grad->request, &reason))
            continue;
        status = rxn__grad_run(grad, estimator, &grad->runners[k]);
        if (status == RXN_OK)
            judge(test, &grad->estimates.items[grad->estimates.count - 1]);
    }
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static RxnStatus
check_precision(Selftest *test, KirType precision)
{
    enum { KEPT = 64 };
    u64 n = test->options.trajectories;
    bool whole = precision == KIR_F64;
    Sampling s = {.device = "cpu",
                  .precision = precision,
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
check_all(void *context)
{
    Selftest *test = context;
    printf("%s, %llu trajectories, seed %llu\n\n", test->driver->program->built->model,
           (unsigned long long)test->options.trajectories, (unsigned long long)test->options.seed);
    RxnStatus status = check_precision(test, KIR_F64);
    if (status == RXN_OK)
        status = check_precision(test, KIR_F32);
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
    Selftest test = {.driver = driver, .options = rxn__ensemble_defaults()};
    const char *model;
    bool help;
    test.options.trajectories = USUAL_TRAJECTORIES;
    if (!rxn__options_parse(driver, &rxn__usage_selftest, argc, argv, &test.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_selftest, stdout);
        return RXN_OK;
    }
    if (!rxn__check_ensemble(&driver->engine, &test.options))
        return RXN_ERROR_USAGE;
    test.options.device = "cpu";
    if (!rxn__load_model(&driver->engine, NULL, &test.file))
        return RXN_ERROR_INPUT;
    RxnStatus status = rxn__session_guard(&driver->engine.session, check_all, &test);
    rxn__grad_close(&test.grad);
    rxn__driver_close(driver, &test.grad.pipeline);
    return status;
}
