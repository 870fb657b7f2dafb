/* test_api_results.c: all that the library says of derivatives and fits: estimators side by side, those that fail, warnings; options that
 * are checked before a model is read; what a fit knows of its steps, its result, data and model, and how it ended.
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

static const char *device = "interpreter";

/* What is told, one after another. */
typedef struct Told {
    char text[2000];
    unsigned errors, warnings, notes;
} Told;

static void
take_told(void *context, RxnSeverity severity, const char *text)
{
    Told *told = context;
    told->errors += severity == RXN_ERROR;
    told->warnings += severity == RXN_WARNING;
    told->notes += severity == RXN_NOTE;
    strncat(told->text, text, sizeof told->text - strlen(told->text) - 1);
}

static RxnModel *
parse_told(const char *text, Told *told)
{
    RxnModelOptions options = rxn_model_options();
    RxnModel *model;
    RxnError *error;
    options.tell = told ? take_told : NULL;
    options.tell_context = told;
    if (rxn_model_parse(text, &options, &model, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    return model;
}

/* Stages that have begun and not ended; and all. */
typedef struct Stages {
    int open;
    unsigned trajectories, steps, silent;
    volatile int cancel;
} Stages;

static void
take_stage(void *context, RxnStage stage)
{
    Stages *stages = context;
    stages->open += stage == RXN_STAGE_END ? -1 : 1;
    stages->trajectories += stage == RXN_STAGE_TRAJECTORIES;
    stages->steps += stage == RXN_STAGE_STEPS;
    stages->silent += stage == RXN_STAGE_SILENT;
    assert_true(stages->open >= 0);
}

static void
ignore_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    assert_true(total == 0 || done <= total);
}

/* ---- derivatives ------------------------------------------------------------------------------- */

static const char pairs[] = "model pairs\n"
                            "param k = 0.02 fit, W[2] = 0.1\n"
                            "species A = 20, B = 0\n"
                            "2 A -> B @ k\n"
                            "for i in 0 .. 1 { 0 -> A @ W[i] }\n";

static RxnDifferentiatorOptions
options_for(const char *estimator)
{
    static const char *const of[] = {"A", "var(B)"};
    static const double at[] = {2};
    RxnDifferentiatorOptions options = rxn_differentiator_options();
    options.of = of;
    options.of_count = 2;
    options.at = at;
    options.at_count = 1;
    options.estimator = estimator;
    options.kernel.device = device;
    return options;
}

static const RxnEstimate *
found_by(const RxnDerivatives *found, const char *estimator)
{
    for (size_t k = 0; k < found->estimate_count + found->failure_count; k++)
        if (strcmp(found->estimates[k].estimator, estimator) == 0)
            return &found->estimates[k];
    return NULL;
}

/* Every estimator agrees with the master equation, by its own figures. */
static void
test_compare(void **state)
{
    (void)state;
    Told told = {.text = ""};
    Stages stages = {0};
    RxnModel *model = parse_told(pairs, &told);
    RxnValues *values = own_values(model);
    RxnDifferentiatorOptions options = options_for("score,martingale,exact");
    static const char *const wrt[] = {"W", "k"};
    RxnRunOptions run = rxn_run_options();
    RxnDifferentiator *d;
    RxnDerivatives found;
    RxnError *error;
    options.wrt = wrt;
    options.wrt_count = 2;
    options.kernel.trajectories = run.trajectories = 1000;
    run.progress = ignore_progress;
    run.stage = take_stage;
    run.stage_context = &stages;
    if (rxn_differentiator_new(model, &options, values, &d, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    const RxnDifferentiatorInfo info = rxn_differentiator_info(d);
    assert_string_equal(info.estimator, "score");
    assert_null(info.why);
    assert_int_equal(info.parameter_count, 3);
    assert_string_equal(info.expressions[1], "var(B)");
    assert_true(info.times[1] == 2);
    for (size_t p = 0; p < 3; p++)
        assert_string_equal(rxn_model_label(model, RXN_PARAMETERS, info.members[p]),
                            info.parameters[p]);
    assert_string_equal(info.precision, "f64");
    for (unsigned round = 0; round < 2; round++) { /* compiled in the first */
        if (rxn_differentiate(d, values, &run, &found, &error) != RXN_OK)
            fail_msg("%s", rxn_error_text(error));
        assert_int_equal(found.estimate_count, 3);
        assert_int_equal(found.failure_count, 0);
        const RxnEstimate *score = found_by(&found, "score"), *exact = found_by(&found, "exact"),
                          *martingale = found_by(&found, "martingale");
        assert_ptr_equal(found.value, score->value);
        assert_true(exact->exact && !exact->bias && !exact->work && exact->gradient_error);
        assert_true(martingale->pilot > 0 && martingale->plain_value && martingale->events > 0);
        assert_true(!score->pilot && !score->plain_value && !score->gradient_error);
        for (size_t c = 0; c < 6; c++) {
            double se = score->sd[c] / sqrt(1000);
            assert_true(fabs(score->se[c] - se) <= 1e-12 * se);
            assert_true(score->work[c] == 1);
            assert_true(fabs(score->bias[c]) < 6 && fabs(martingale->bias[c]) < 6);
            double bias = (score->gradient[c] - exact->gradient[c]) / score->se[c];
            assert_true(fabs(score->bias[c] - bias) <= 1e-9 * fabs(bias));
        }
        assert_true(found.warning_count >= 1); /* of the score's large errors */
        assert_non_null(strstr(found.warnings[0], "score: the "));
        assert_int_equal(stages.open, 0);
        assert_int_equal(stages.trajectories, 2 * (round + 1));
        assert_int_equal(stages.steps, round + 1);
        assert_int_equal(stages.silent, round + 1); /* the pilot */
        assert_int_equal(rxn_values_set(values, "k", 0.01, &error), RXN_OK);
    }
    assert_string_equal(told.text, "");
    run.work_limit = 10; /* too little for the master equation, which fails alone */
    assert_int_equal(rxn_differentiate(d, values, &run, &found, &error), RXN_OK);
    assert_int_equal(found.estimate_count, 2);
    assert_int_equal(found.failure_count, 1);
    assert_non_null(strstr(found.estimates[2].failure, "would take more than 10 mult"));
    rxn_differentiator_free(d);
    /* Ended before it began. */
    stages.cancel = 1;
    run.cancel = &stages.cancel;
    assert_int_equal(rxn_differentiator_new(model, &options, values, &d, &error), RXN_OK);
    assert_int_equal(rxn_differentiate(d, values, &run, &found, &error), RXN_CANCELLED);
    assert_non_null(strstr(rxn_error_text(error), "error: interrupted "));
    rxn_error_free(error);
    assert_null(found.value);
    assert_int_equal(stages.open, 0);
    rxn_differentiator_free(d);
    rxn_values_free(values);
    rxn_model_free(model);
}

/* What an estimator that is compiled at once says is what it says among others, to the last bit. */
static void
test_alone_or_not(void **state)
{
    (void)state;
    RxnModel *model = parse_told(pairs, NULL);
    RxnValues *values = own_values(model);
    RxnRunOptions run = rxn_run_options();
    static const char *const ways[] = {"martingale", "martingale", "score,martingale"};
    double gradient[3] = {0};
    run.trajectories = 200;
    run.seed = 3;
    for (unsigned k = 0; k < 3; k++) {
        RxnDifferentiatorOptions options = options_for(ways[k]);
        RxnDifferentiator *d;
        RxnDerivatives found;
        RxnError *error;
        options.later = k == 1;
        options.kernel.trajectories = k == 2 ? 200 : 0;
        if (rxn_differentiator_new(model, &options, values, &d, &error) != RXN_OK)
            fail_msg("%s", rxn_error_text(error));
        assert_int_equal(rxn_differentiator_info(d).seconds_compile > 0, k == 0);
        if (rxn_differentiate(d, values, &run, &found, &error) != RXN_OK)
            fail_msg("%s", rxn_error_text(error));
        gradient[k] = found_by(&found, "martingale")->gradient[0];
        rxn_differentiator_free(d);
    }
    assert_true(gradient[0] == gradient[1] && gradient[0] == gradient[2]);
    rxn_values_free(values);
    rxn_model_free(model);
}

/* Where trajectories cannot go on, estimators fail one by one; the others go on. */
static void
test_failures(void **state)
{
    (void)state;
    Told told = {.text = ""};
    RxnModel *model =
        parse_told("param k = 1 fit\nspecies A = 3, B = 0\nA => B @ k*(A - 1.5)\n", &told);
    RxnValues *values = own_values(model);
    RxnRunOptions run = rxn_run_options();
    RxnDifferentiatorOptions options = options_for("score,path");
    RxnDifferentiator *d;
    RxnDerivatives found;
    RxnError *error;
    static const double late[] = {100};
    options.at = late;
    run.trajectories = 50;
    run.threads = 1;
    assert_int_equal(rxn_differentiator_new(model, &options, values, &d, &error), RXN_OK);
    RxnStatus status = rxn_differentiate(d, values, &run, &found, &error);
    assert_int_equal(status, RXN_ERROR_INPUT);
    assert_non_null(strstr(rxn_error_text(error),
                           "error: no estimator could end; 'score' did not: in trajectory 0 at "));
    rxn_error_free(error);
    assert_int_equal(found.estimate_count, 0);
    assert_int_equal(found.failure_count, 2);
    assert_string_equal(found.estimates[1].estimator, "path");
    assert_non_null(strstr(found.estimates[0].failure, "propensity"));
    assert_int_equal(told.errors, 2);
    assert_non_null(strstr(told.text, "note: that was the estimator 'score', number 1 of 2\n"
                                      "error: the estimator 'path' failed as 'score' did"));
    rxn_differentiator_free(d);
    rxn_values_free(values);
    rxn_model_free(model);
}

/* What is used by an expression alone is used; a model that was read cannot know. */
static void
test_tell_later(void **state)
{
    (void)state;
    static const char text[] = "param k = 1, z = 2, y = 3\nspecies A = 3\nA -> 0 @ k\n";
    static const char *const of[] = {"z * A"};
    for (unsigned later = 0; later < 2; later++) {
        Told told = {.text = ""};
        RxnModelOptions model_options = rxn_model_options();
        RxnDifferentiatorOptions options = options_for("score");
        RxnModel *model;
        RxnDifferentiator *d;
        model_options.tell = take_told;
        model_options.tell_context = &told;
        model_options.tell_later = later;
        assert_int_equal(rxn_model_parse(text, &model_options, &model, NULL), RXN_OK);
        assert_int_equal(told.warnings, later ? 0 : 2);
        RxnValues *values = own_values(model);
        options.of = of;
        options.of_count = 1;
        assert_int_equal(rxn_differentiator_new(model, &options, values, &d, NULL), RXN_OK);
        assert_int_equal(told.warnings, later ? 1 : 2);
        assert_non_null(strstr(told.text, "the parameter 'y' is never used"));
        rxn_differentiator_free(d);
        rxn_values_free(values);
        rxn_model_free(model);
    }
}

/* Threads of this process. */
static unsigned
thread_count(void)
{
    unsigned count = 0;
    char line[200];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "Threads: %u", &count);
    if (file)
        fclose(file);
    return count;
}

typedef struct Crowd {
    unsigned seen, most; /* calls, threads */
    volatile int cancel;
} Crowd;

static void
count_threads(void *context, uint64_t done, uint64_t total)
{
    Crowd *crowd = context;
    (void)done;
    (void)total;
    const unsigned now = thread_count();
    crowd->most = now > crowd->most ? now : crowd->most;
    crowd->cancel = ++crowd->seen >= 3;
}

/* Tapes are made for the trajectories that were announced; more of them may run, and be asked for on more threads, but not in
 * more memory. Without a tape there is nothing to share. */
static void
test_tape_memory(void **state)
{
    (void)state;
    enum {
        ASKED = 6,
        FIRST = 0
    }; /* FIRST: as many as the tapes were made for, which are the processors */
    static const struct {
        const char *estimator;
        uint64_t announced;
        unsigned threads; /* beside those that there were */
    } cases[] = {{"path-adjoint", 1, 1}, {"path-adjoint", 1000, FIRST}, {"score", 1, ASKED}};
    const unsigned processors = rxn_processors(), first = processors < ASKED ? processors : ASKED;
    RxnModel *model = parse_told(pairs, NULL);
    RxnValues *values = own_values(model);
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        RxnDifferentiatorOptions options = options_for(cases[k].estimator);
        RxnRunOptions run = rxn_run_options();
        RxnDerivatives found;
        RxnDifferentiator *d;
        RxnError *error;
        Crowd crowd = {0};
        options.kernel.trajectories = cases[k].announced;
        options.tape_memory = 1 << 20;
        run.trajectories = 1000000000; /* it is ended before */
        run.threads = ASKED;
        run.progress = count_threads;
        run.progress_context = &crowd;
        run.cancel = &crowd.cancel;
        if (rxn_differentiator_new(model, &options, values, &d, &error) != RXN_OK)
            fail_msg("%s", rxn_error_text(error));
        const unsigned before = thread_count();
        assert_int_equal(rxn_differentiate(d, values, &run, &found, NULL), RXN_CANCELLED);
        const unsigned wanted = cases[k].threads == FIRST ? first : cases[k].threads;
        assert_int_equal(crowd.most - before, wanted);
        rxn_differentiator_free(d);
    }
    rxn_values_free(values);
    rxn_model_free(model);
}

static void
test_check(void **state)
{
    (void)state;
    RxnDifferentiatorOptions options = options_for("score");
    RxnFitOptions of_fit = rxn_fit_options();
    RxnError *error;
    const char *name, *summary;
    size_t count = 0;
    while (rxn_estimator(count, &name, &summary)) {
        assert_true(summary[0] != '\0');
        options.estimator = name;
        assert_int_equal(rxn_differentiator_check(NULL, &options, &error), RXN_OK);
        count++;
    }
    assert_true(count > 5);
    assert_string_equal(name, "exact");
    options.estimator = "score,exacd";
    options.tau = 0;
    options.draws = 0;
    options.form = "square";
    expect_error(
        rxn_differentiator_check(NULL, &options, &error), RXN_ERROR_USAGE, error,
        "error: there is no estimator 'exacd'\n"
        "note: did you mean 'exact'?\n"
        "note: estimators: auto, all, score, martingale, path, path-adjoint, path-forward, "
        "gk, coupled, gumbel, propensity, exact\n"
        "error: --tau is 0; it has to be positive\n"
        "error: --draws takes 1 .. 1000\n"
        "error: --form takes unrolled, table and dense");
    assert_int_equal(rxn_fit_check(NULL, &of_fit, &error), RXN_OK);
    of_fit.estimator = "score,path";
    of_fit.rate = -1;
    of_fit.checkpoint_steps = 3;
    expect_error(rxn_fit_check(NULL, &of_fit, &error), RXN_ERROR_USAGE, error,
                 "error: a fit takes one estimator, not 'score,path'\n"
                 "error: --rate is -1; it has to be positive\n"
                 "error: --every goes with --checkpoint FILE");
}

/* ---- fits -------------------------------------------------------------------------------------- */

static const char fitted[] = "model fitted\n"
                             "param k = 0.3 in 1e-3 .. 10 fit, idle = 1 in 0.1 .. 2 fit\n"
                             "species A = 1000\n"
                             "A -> 0 @ k\n"
                             "fit {\n"
                             "  data \"%s\"\n"
                             "  loss mse(mean(A), data.A) + 0 * idle\n"
                             "  measure left = mean(at(A, 6))\n"
                             "  trajectories 50\n"
                             "  steps 12\n"
                             "  starts 2\n"
                             "}\n";

static char *
write_file(const char *text)
{
    char *path = strdup("/tmp/rxn-test-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    close(file);
    return path;
}

typedef struct Watched {
    RxnFitStep last;
    unsigned count, short_fits;
    unsigned most; /* then the training is cancelled; 0: never */
    volatile int cancel;
} Watched;

static void
take_step(void *context, const RxnFitStep *step)
{
    Watched *watched = context;
    watched->last = *step;
    watched->short_fits += !step->main;
    if (++watched->count == watched->most)
        watched->cancel = 1;
}

static void
test_fitted(void **state)
{
    (void)state;
    char text[600];
    char *table = write_file("time,A\n2,607\n4,368\n6,223\n"), *json, *history;
    snprintf(text, sizeof text, fitted, table);
    Told told = {.text = ""};
    RxnModel *model = parse_told(text, &told);
    RxnValues *values = own_values(model);
    RxnFitOptions options = rxn_fit_options();
    Watched watched = {.count = 0};
    Stages stages = {0};
    RxnFit *fit;
    RxnFitted found;
    RxnError *error;
    options.kernel.device = device;
    options.later = true;
    options.step = take_step;
    options.step_context = &watched;
    options.stage = take_stage;
    options.stage_context = &stages;
    options.cancel = &watched.cancel;
    if (rxn_fit_new(model, &options, values, &fit, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_int_equal(stages.silent, 0); /* nothing has run, nor was compiled */
    expect_error(rxn_fit_json(fit, &json, &error), RXN_ERROR_USAGE, error,
                 "error: this fit has not been trained");
    assert_null(json);
    expect_error(rxn_fit_history(fit, NULL, &error), RXN_ERROR_USAGE, error,
                 "error: ret_text is NULL: the result has nowhere to go");
    if (rxn_fit_compile(fit, &error) != RXN_OK || rxn_fit_compile(fit, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    const RxnFitInfo info = rxn_fit_info(fit);
    assert_int_equal(info.parameter_count, 2);
    assert_string_equal(info.labels[1], "idle");
    assert_int_equal(info.members[1], 1);
    assert_true(info.start[0] == 0.3 && info.start[1] == 1);
    assert_string_equal(info.estimator, "path");
    assert_true(info.unbiased && !info.noiseless && !info.has_samples);
    assert_string_equal(info.optimizer, "gauss_newton");
    assert_int_equal(info.steps, 12);
    assert_int_equal(info.starts, 2);
    assert_int_equal(info.seed, 1);
    if (rxn_fit_train(fit, &found, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_int_equal(stages.open, 1); /* that of training, which ends with the fit */
    assert_int_equal(found.ended, RXN_FIT_STEPS);
    assert_true(found.complete && found.examined);
    assert_string_equal(found.ending, "all steps are done");
    /* The history is what was reported, short fits first. */
    assert_int_equal(found.step_count, watched.count);
    assert_int_equal(watched.short_fits, 20);
    assert_false(found.history[0].main);
    assert_int_equal(found.history[10].start, 1);
    assert_int_equal(found.history[10].step, 0);
    const RxnFitStep *last = &found.history[found.step_count - 1];
    assert_true(last->main && last->step == 11 && last->loss == watched.last.loss);
    assert_true(last->events > 0 && last->trajectories == 50 && isnan(last->validation));
    assert_true(isnan(found.validation));
    assert_true(found.events == last->events && found.trajectories >= 32 * 50);
    /* Data, and the model at the result. */
    assert_int_equal(found.series_count, 1);
    const RxnFitSeries *series = &found.series[0];
    assert_string_equal(series->experiment, "");
    assert_string_equal(series->model, "mean(A)");
    assert_string_equal(series->data, "data.A");
    assert_int_equal(series->count, 3);
    assert_true(series->x[1] == 4 && series->measured[1] == 368);
    for (size_t k = 0; k < 3; k++)
        assert_true(fabs(series->modelled[k] - 1000 * exp(-found.value[0] * series->x[k])) <=
                    6 * series->modelled_se[k]);
    assert_true(series->r2 > 0.99);
    assert_int_equal(found.measure_count, 1);
    assert_string_equal(found.measures[0].name, "left");
    assert_true(fabs(found.measures[0].value - series->modelled[2]) <=
                8 * (found.measures[0].se + series->modelled_se[2]));
    /* Standard errors, and what has none. */
    assert_true(found.identifiable[0] && !found.identifiable[1]);
    assert_true(found.se_simulation[0] > 0 && isnan(found.se_simulation[1]));
    assert_true(fabs(found.value[0] - 0.25) < 0.01);
    assert_int_equal(told.warnings, 1);
    assert_non_null(strstr(told.text, "'idle' is not identifiable from these data"));
    /* As texts. */
    assert_int_equal(rxn_fit_json(fit, &json, &error), RXN_OK);
    assert_non_null(strstr(json, "{\n  \"rxn\": \""));
    assert_non_null(strstr(json, "\"complete\": true"));
    assert_int_equal(rxn_fit_history(fit, &history, &error), RXN_OK);
    unsigned lines = 0;
    for (const char *at = history; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, found.step_count + 1);
    assert_non_null(strstr(history, "start,step,loss,"));
    rxn_text_free(json);
    rxn_text_free(history);
    rxn_fit_free(fit);
    assert_int_equal(stages.open, 0);
    rxn_values_free(values);
    rxn_model_free(model);
    unlink(table);
    free(table);
}

/* How it ended, where that was not the end. */
static void
test_endings(void **state)
{
    (void)state;
    char text[600];
    char *table = write_file("time,A\n2,607\n4,368\n6,223\n");
    snprintf(text, sizeof text, fitted, table);
    RxnModel *model = parse_told(text, NULL);
    RxnValues *values = own_values(model);
    RxnFitOptions options = rxn_fit_options();
    Watched watched = {.most = 3};
    RxnFit *fit;
    RxnFitted found;
    RxnError *error;
    options.kernel.device = device;
    options.step = take_step;
    options.step_context = &watched;
    options.cancel = &watched.cancel;
    options.starts = 1;
    assert_int_equal(rxn_fit_new(model, &options, values, &fit, &error), RXN_OK);
    assert_int_equal(rxn_fit_train(fit, &found, &error), RXN_CANCELLED);
    rxn_error_free(error);
    assert_int_equal(found.ended, RXN_FIT_INTERRUPTED);
    assert_true(!found.complete && !found.examined && found.step_count == 3);
    assert_true(isnan(found.se_data[0]) && isnan(found.gradient[0]) && isnan(found.to_minimum[0]));
    assert_true(found.loss == found.history[2].loss);
    rxn_fit_free(fit);
    /* A trajectory that takes too long is a fault; there is no step before it. */
    options = rxn_fit_options();
    options.kernel.device = device;
    options.step_limit = 10;
    options.starts = 1;
    options.threads = 1;
    assert_int_equal(rxn_fit_new(model, &options, values, &fit, &error), RXN_OK);
    assert_int_equal(rxn_fit_train(fit, &found, &error), RXN_ERROR_INPUT);
    assert_non_null(strstr(rxn_error_text(error), "10 steps were not enough"));
    rxn_error_free(error);
    assert_int_equal(found.ended, RXN_FIT_FAULT);
    assert_true(found.step_count == 0 && isnan(found.loss));
    rxn_fit_free(fit);
    /* A checkpoint that cannot be written is seen before anything is compiled; there is no second try. */
    options.checkpoint = "/nowhere/at/all";
    options.later = true;
    assert_int_equal(rxn_fit_new(model, &options, values, &fit, &error), RXN_OK);
    assert_int_equal(rxn_fit_compile(fit, &error), RXN_ERROR_INPUT);
    assert_non_null(strstr(rxn_error_text(error), "/nowhere/at/all"));
    rxn_error_free(error);
    expect_error(rxn_fit_train(fit, &found, &error), RXN_ERROR_USAGE, error,
                 "error: this fit could not be compiled; make another");
    assert_null(found.labels);
    rxn_fit_free(fit);
    rxn_values_free(values);
    rxn_model_free(model);
    unlink(table);
    free(table);
}

/* An argument names the tests to run. */
int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare),    cmocka_unit_test(test_alone_or_not),
        cmocka_unit_test(test_failures),   cmocka_unit_test(test_check),
        cmocka_unit_test(test_tell_later), cmocka_unit_test(test_fitted),
        cmocka_unit_test(test_endings),    cmocka_unit_test(test_tape_memory),
    };
    if (getenv("RXN_TEST_DEVICE"))
        device = getenv("RXN_TEST_DEVICE");
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
