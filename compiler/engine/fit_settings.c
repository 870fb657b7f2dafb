/* fit_settings.c: how a fit is done: what the block says, what the command line says instead, and what holds where both
 * are silent. And the key of its checkpoints, which says all that decides its numbers.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "compiler/engine/fit.h"

enum {
    DEFAULT_STEPS = 200,
    DEFAULT_TRAJECTORIES = 1000,
    DEFAULT_BATCH = 100,
    DEFAULT_REFRESH = 25,
    DEFAULT_WINDOW = 20,
    VALIDATIONS = 20, /* in all, of a fit without samples */
    CHECKPOINT_SECONDS = 60,
    FEW_PARAMETERS = 50, /* up to these, Gauss–Newton is taken by itself */
    MANY_PARAMETERS = 1000,
};

/* A pilot serves as long as no coordinate (a logarithm, mostly) has moved by more. */
static const double refresh_distance = 0.05;

static const char *const optimizers[] = {"adam", "adamw", "sgd", "lbfgs", "gauss_newton"};
static const char *const schedules[] = {"constant", "cosine", "exponential", "step"};

/* The name that an option gives has to be among them. */
static void
check_name(Engine *engine, const char *what, const char *name, const char *const *names, u32 count)
{
    Text all;
    rxn__text_init(&all, &engine->session.arena);
    for (u32 k = 0; k < count; k++) {
        if (!name || strcmp(name, names[k]) == 0)
            return;
        rxn__text_printf(&all, "%s%s", k ? ", " : "", names[k]);
    }
    rxn__engine_error(engine, "there is no %s '%s'", what,
                      rxn__shown(&engine->session.arena, name, strlen(name)));
    rxn__engine_note(engine, "%ss: %s", what, all.data);
}

FitOptions
rxn__fit_defaults(void)
{
    FitOptions options = {.ensemble = rxn__ensemble_defaults(),
                          .steps = FIT_NOT_GIVEN,
                          .starts = FIT_NOT_GIVEN,
                          .rate = NAN};
    options.ensemble.seed = FIT_NOT_GIVEN;
    return options;
}

bool
rxn__fit_check_options(Engine *engine, const FitOptions *options)
{
    u32 errors = engine->session.diagnostics.error_count;
    const char *estimator = options->estimator;
    check_name(engine, "optimizer", options->optimizer, optimizers, COUNT_OF(optimizers));
    check_name(engine, "schedule", options->schedule, schedules, COUNT_OF(schedules));
    if (options->starts == 0)
        rxn__engine_error(engine, "--starts takes 1 or more");
    if (estimator && (strchr(estimator, ',') || strcmp(estimator, "all") == 0))
        rxn__engine_error(engine, "a fit takes one estimator, not '%s'", estimator);
    else if (estimator)
        rxn__grad_check_estimators(engine, estimator);
    if (!isnan(options->rate) && !(options->rate > 0))
        rxn__engine_error(engine, "--rate is %g; it has to be positive", options->rate);
    if (options->checkpoint_steps && !options->checkpoint && !options->resume)
        rxn__engine_error(engine, "--every goes with --checkpoint FILE");
    return engine->session.diagnostics.error_count == errors;
}

/* ---- reading the block ------------------------------------------------------------------------- */

static bool
is_given(double number)
{
    return !isnan(number);
}

static u64
count_of(double number, u64 otherwise)
{
    return is_given(number) ? (u64)number : otherwise;
}

/* An option's value, and which were asked for, so that those that nobody knows are found. */
typedef struct Choice {
    const FitChoice *choice;
    u32 taken; /* bits */
} Choice;

static double
option(Choice *choice, const char *name, double otherwise)
{
    for (u32 k = 0; choice->choice && k < choice->choice->count; k++) {
        if (strcmp(choice->choice->options[k].name, name) != 0)
            continue;
        choice->taken |= 1u << k;
        return choice->choice->options[k].value;
    }
    return otherwise;
}

static bool
are_all_known(FitRun *fit, const Choice *choice, const char *what, const char *name)
{
    bool good = true;
    for (u32 k = 0; choice->choice && k < choice->choice->count; k++) {
        if (choice->taken >> k & 1)
            continue;
        rxn__error(&fit->engine->session.diagnostics, choice->choice->span,
                   "the %s '%s' has no setting '%s'", what, name, choice->choice->options[k].name);
        good = false;
    }
    return good;
}

/* ---- the estimator ----------------------------------------------------------------------------- */

bool
rxn__fit_estimator(FitRun *fit, GradOptions *options, const Fit *spec)
{
    const char *own = fit->options.estimator;
    const char *name = own ? own : spec->estimator.name ? spec->estimator.name : "auto";
    bool same = spec->estimator.name && strcmp(name, spec->estimator.name) == 0;
    Choice choice = {same ? &spec->estimator : NULL, 0};
    options->estimators = name;
    options->tau = option(&choice, "tau", options->tau);
    options->draws = (u64)option(&choice, "draws", (double)options->draws);
    options->difference = option(&choice, "difference", options->difference);
    options->bins = (u64)option(&choice, "bins", (double)options->bins);
    options->degree = (u64)option(&choice, "degree", (double)options->degree);
    options->pilot = (u64)option(&choice, "pilot", (double)options->pilot);
    fit->loop_options.refresh = (u64)option(&choice, "refresh", DEFAULT_REFRESH);
    bool good = are_all_known(fit, &choice, "estimator", name);
    u32 errors = fit->engine->session.diagnostics.error_count;
    Span span = spec->estimator.span;
    Diagnostics *diagnostics = &fit->engine->session.diagnostics;
    if (!(options->tau > 0))
        rxn__error(diagnostics, span, "tau has to be positive");
    if (options->draws < 1 || options->draws > 1000)
        rxn__error(diagnostics, span, "draws takes 1 .. 1000");
    if (!(options->difference > 0 && options->difference < 1))
        rxn__error(diagnostics, span, "difference has to be between 0 and 1");
    if (options->bins > 10000)
        rxn__error(diagnostics, span, "bins takes 1 .. 10000");
    if (options->degree > RXN_MAX_GRADES)
        rxn__error(diagnostics, span, "degree takes 1 .. %d", (int)RXN_MAX_GRADES);
    if (options->pilot == 1 || options->pilot > 1000000)
        rxn__error(diagnostics, span, "pilot takes 2 .. 1000000");
    if (fit->loop_options.refresh == 0)
        rxn__error(diagnostics, span, "refresh has to be at least 1");
    if (!rxn__grad_check_estimators(fit->engine, name))
        return false;
    if (strcmp(name, "all") == 0)
        rxn__error(diagnostics, span, "a fit takes one estimator, not all");
    return good && diagnostics->error_count == errors;
}

/* ---- the optimizer ----------------------------------------------------------------------------- */

/* Why not by Gauss–Newton; NULL: it can be. */
static const char *
newton_obstacle(const FitRun *fit)
{
    if (fit->has_samples)
        return "the loss is one of samples";
    for (u32 k = 0; k < fit->trained_count; k++) {
        const Fit *spec = &fit->parts[k]->spec;
        if (spec->points.count == 0)
            return "no function of the loss compares the model's moments with data";
        for (u32 p = 0; p < spec->points.count; p++)
            if (spec->points.items[p].curvature == 0)
                return "a function of the loss has no second derivative by what it compares";
    }
    return fit->count > RXN_GAUSS_NEWTON_MOST ? "there are too many parameters" : NULL;
}

static const char *
choose_optimizer(FitRun *fit)
{
    const FitChoice *choice = &fit->parts[0]->spec.optimizer;
    if (fit->options.optimizer)
        return fit->options.optimizer;
    if (choice->name)
        return choice->name;
    const char *obstacle = newton_obstacle(fit);
    Text why;
    rxn__text_init(&why, &fit->engine->session.arena);
    if (!obstacle && fit->count > FEW_PARAMETERS)
        obstacle = "there are many parameters";
    if (obstacle)
        rxn__text_printf(&why, "gauss_newton is not for it: %s", obstacle);
    else
        rxn__text_printf(&why, "few parameters, and a loss that compares moments with data");
    fit->why_optimizer = why.data;
    return obstacle ? "adam" : "gauss_newton";
}

/* Far out between two bounds a logit hardly moves its parameter, and a step that a quadratic model finds there goes
 * anywhere: to Gauss–Newton, which can hold a coordinate where it is, such bounds are walls. */
static void
wall_bounds(FitRun *fit)
{
    for (u32 k = 0; k < fit->count; k++)
        if (fit->scales[k].kind == RXN_SCALE_LOG_LOGIT) {
            fit->scales[k].kind = RXN_SCALE_LOG;
            fit->scales[k].project = true;
        }
}

static bool
read_optimizer(FitRun *fit, Choice *choice)
{
    RxnFitLoopOptions *loop = &fit->loop_options;
    const char *name = fit->optimizer;
    double rate = fit->count >= MANY_PARAMETERS ? 0.004 : 0.05;
    if (strcmp(name, "gauss_newton") == 0) {
        const char *obstacle = newton_obstacle(fit);
        if (obstacle) {
            rxn__engine_error(fit->engine, "gauss_newton cannot fit this: %s", obstacle);
            rxn__engine_note(fit->engine, "adam can: --optimizer adam");
            return false;
        }
        loop->newton = true;
        rxn__gauss_newton_defaults(&loop->gauss_newton);
        loop->gauss_newton.radius = option(choice, "radius", loop->gauss_newton.radius);
        loop->gauss_newton.damping = option(choice, "damping", loop->gauss_newton.damping);
        loop->gauss_newton.power = option(choice, "power", loop->gauss_newton.power);
        loop->gauss_newton.tolerance = option(choice, "tolerance", loop->gauss_newton.tolerance);
        wall_bounds(fit);
        return true;
    }
    RxnOptimizerKind kind = strcmp(name, "adam") == 0    ? RXN_ADAM
                            : strcmp(name, "adamw") == 0 ? RXN_ADAMW
                            : strcmp(name, "sgd") == 0   ? RXN_SGD
                                                         : RXN_LBFGS;
    RxnOptimizerOptions *o = &loop->optimizer;
    rxn__optimizer_defaults(kind, o);
    if (kind == RXN_ADAM || kind == RXN_ADAMW) {
        o->rate = rate;
        o->beta1 = option(choice, "beta1", o->beta1);
        o->beta2 = option(choice, "beta2", o->beta2);
        o->epsilon = option(choice, "epsilon", o->epsilon);
    }
    if (kind == RXN_ADAMW) {
        o->weight_decay = option(choice, "decay", o->weight_decay);
        o->weight_decay = option(choice, "weight_decay", o->weight_decay);
    }
    if (kind == RXN_SGD) {
        o->momentum = option(choice, "momentum", o->momentum);
        o->nesterov = option(choice, "nesterov", 0) != 0;
    }
    if (kind == RXN_LBFGS) {
        o->memory = (u32)option(choice, "memory", o->memory);
        o->tolerance = option(choice, "tolerance", o->tolerance);
    }
    o->rate = option(choice, "rate", o->rate);
    return true;
}

static bool
read_schedule(FitRun *fit, const Fit *spec)
{
    RxnOptimizerOptions *o = &fit->loop_options.optimizer;
    const char *own = fit->options.schedule;
    fit->schedule = own ? own : spec->schedule.name ? spec->schedule.name : "constant";
    bool same = spec->schedule.name && strcmp(fit->schedule, spec->schedule.name) == 0;
    Choice choice = {same ? &spec->schedule : NULL, 0};
    bool other = fit->loop_options.newton || o->kind == RXN_LBFGS;
    if (other && strcmp(fit->schedule, "constant") != 0) {
        if (own) {
            rxn__engine_error(fit->engine,
                              "the optimizer '%s' finds its steps by itself and takes no schedule",
                              fit->optimizer);
            return false;
        }
        if (!fit->options.optimizer) {
            rxn__error(&fit->engine->session.diagnostics, spec->schedule.span,
                       "the optimizer '%s' finds its steps by itself and takes no schedule",
                       fit->optimizer);
            return false;
        }
        fit->schedule =
            "constant"; /* the command line has replaced the optimizer that it was for */
    }
    o->schedule = strcmp(fit->schedule, "cosine") == 0        ? RXN_SCHEDULE_COSINE
                  : strcmp(fit->schedule, "exponential") == 0 ? RXN_SCHEDULE_EXPONENTIAL
                  : strcmp(fit->schedule, "step") == 0        ? RXN_SCHEDULE_STEP
                                                              : RXN_SCHEDULE_CONSTANT;
    double floor = option(&choice, "floor", o->schedule == RXN_SCHEDULE_EXPONENTIAL ? 0.01 : 0);
    double warmup = option(&choice, "warmup", 0), every = option(&choice, "every", 0);
    double factor = option(&choice, "factor", 0.5);
    if (!other) {
        o->floor = floor;
        o->factor = factor;
        o->warmup = (u64)warmup;
        o->every = (u64)every;
    }
    return are_all_known(fit, &choice, "schedule", fit->schedule);
}

static void
read_clipping(FitRun *fit, const double *numbers)
{
    RxnOptimizerOptions *o = &fit->loop_options.optimizer;
    bool other = fit->loop_options.newton || o->kind == RXN_LBFGS;
    if (other && fit->options.optimizer)
        return;
    o->clip_norm = is_given(numbers[FIT_CLIP_NORM]) ? numbers[FIT_CLIP_NORM] : 0;
    o->clip_value = is_given(numbers[FIT_CLIP_VALUE]) ? numbers[FIT_CLIP_VALUE] : 0;
}

/* ---- lengths and numbers ----------------------------------------------------------------------- */

static bool
read_length(FitRun *fit, const double *numbers)
{
    RxnFitLoopOptions *loop = &fit->loop_options;
    u64 rows = 0;
    for (u32 k = 0; k < fit->trained_count; k++) {
        FitPart *part = fit->parts[k];
        if (!part->sampled)
            continue;
        u64 own = rxn__samples_rows(part->samples);
        part->batch = count_of(numbers[FIT_BATCH], DEFAULT_BATCH);
        if (part->batch > own)
            part->batch = own;
        if (rows == 0)
            rows = own;
    }
    u64 batch = count_of(numbers[FIT_BATCH], DEFAULT_BATCH);
    if (batch > rows && rows)
        batch = rows;
    loop->steps = count_of(numbers[FIT_STEPS], DEFAULT_STEPS);
    if (is_given(numbers[FIT_EPOCHS])) {
        if (rows == 0) {
            rxn__engine_error(fit->engine, "'epochs' is for samples; this fit has steps");
            return false;
        }
        loop->steps = (u64)ceil(numbers[FIT_EPOCHS] * (double)rows / (double)batch);
    }
    if (fit->options.steps != FIT_NOT_GIVEN)
        loop->steps = fit->options.steps;
    loop->validate = rows ? (rows + batch - 1) / batch : loop->steps / VALIDATIONS;
    loop->validate = loop->validate ? loop->validate : 1;
    return true;
}

static void
read_numbers(FitRun *fit, const double *numbers)
{
    RxnFitLoopOptions *loop = &fit->loop_options;
    const EnsembleOptions *ensemble = &fit->options.ensemble;
    loop->seed = ensemble->seed;
    loop->trajectories =
        count_of(numbers[FIT_TRAJECTORIES], fit->has_samples ? 1 : DEFAULT_TRAJECTORIES);
    loop->most_trajectories = count_of(numbers[FIT_MOST_TRAJECTORIES], loop->trajectories);
    if (ensemble->counted)
        loop->trajectories = loop->most_trajectories = ensemble->trajectories;
    if (loop->most_trajectories < loop->trajectories)
        loop->most_trajectories = loop->trajectories;
    bool validates = fit->part_count > fit->trained_count;
    u64 patience = count_of(numbers[FIT_PATIENCE], 0);
    loop->tolerance = is_given(numbers[FIT_TOLERANCE]) ? numbers[FIT_TOLERANCE] : 0;
    loop->window = patience ? patience : DEFAULT_WINDOW;
    loop->patience = loop->tolerance > 0 && !validates ? 0 : patience;
    /* To look at the start is not to look for others. */
    u64 starts = fit->options.starts != FIT_NOT_GIVEN ? fit->options.starts
                                                      : count_of(numbers[FIT_STARTS], 1);
    loop->starts = loop->steps > 0 ? starts : 1;
    loop->average = count_of(numbers[FIT_AVERAGE], 0);
    loop->refresh_distance = refresh_distance;
}

static void
read_noise(FitRun *fit, const Fit *spec)
{
    RxnFitLoopOptions *loop = &fit->loop_options;
    bool lbfgs = !loop->newton && loop->optimizer.kind == RXN_LBFGS;
    fit->noiseless = true;
    for (u32 k = 0; k < fit->trained_count; k++)
        fit->noiseless = fit->noiseless && fit->parts[k]->exact;
    loop->common_noise = spec->common_noise || lbfgs || fit->noiseless;
    loop->gauss_newton.noisy = !loop->common_noise;
    fit->noise = fit->noiseless ? "none" : loop->common_noise ? "common" : "fresh";
    if (lbfgs && !spec->common_noise && !fit->noiseless && !fit->options.ensemble.quiet)
        rxn__engine_note(fit->engine,
                         "lbfgs needs a smooth loss: all steps get the same random numbers");
}

bool
rxn__fit_settings(FitRun *fit)
{
    const Fit *spec = &fit->parts[0]->spec;
    RxnFitLoopOptions *loop = &fit->loop_options;
    fit->optimizer = choose_optimizer(fit);
    bool same = spec->optimizer.name && strcmp(fit->optimizer, spec->optimizer.name) == 0;
    Choice choice = {same ? &spec->optimizer : NULL, 0};
    if (!read_optimizer(fit, &choice) ||
        !are_all_known(fit, &choice, "optimizer", fit->optimizer) || !read_schedule(fit, spec) ||
        !read_length(fit, spec->numbers))
        return false;
    if (!isnan(fit->options.rate))
        loop->optimizer.rate = fit->options.rate;
    read_clipping(fit, spec->numbers);
    read_numbers(fit, spec->numbers);
    read_noise(fit, spec);
    loop->checkpoint = fit->options.checkpoint ? fit->options.checkpoint : fit->options.resume;
    loop->checkpoint_steps = fit->options.checkpoint_steps;
    loop->checkpoint_seconds = fit->options.checkpoint_steps ? INFINITY : CHECKPOINT_SECONDS;
    fit->problem.count = fit->count;
    fit->problem.start = fit->start;
    fit->problem.scales = fit->scales;
    const char *why = rxn__fit_refuses(&fit->problem, loop);
    if (why)
        rxn__engine_error(fit->engine, "this fit cannot be done with '%s': %s", fit->optimizer,
                          why);
    if (why && loop->optimizer.schedule == RXN_SCHEDULE_STEP && loop->optimizer.every == 0)
        rxn__engine_note(fit->engine, "in the block, as in 'schedule step(every = 50)'");
    return why == NULL;
}

/* ---- the key ----------------------------------------------------------------------------------- */

static u64
hash_bytes(u64 h, const void *bytes, size_t count)
{
    const u8 *at = bytes;
    for (; count >= 8; count -= 8, at += 8) {
        u64 word;
        memcpy(&word, at, 8);
        h = hash_mix(h, word);
    }
    for (size_t k = 0; k < count; k++)
        h = hash_mix(h, at[k]);
    return h;
}

/* Of a file's bytes as they are on disk. */
static u64
hash_file(u64 h, const char *path)
{
    u8 buffer[64 << 10];
    size_t got;
    FILE *file = fopen(path, "rb");
    while (file && (got = fread(buffer, 1, sizeof buffer, file)) > 0)
        h = hash_bytes(h, buffer, got);
    if (file)
        fclose(file);
    return h;
}

static u64
hash_of_model(const FitRun *fit)
{
    const SourceMap *sources = &fit->engine->session.sources;
    u64 h = 1;
    for (u32 k = 0; k < sources->files.count; k++) {
        /* A file that is used several times is loaded once for each experiment. */
        bool seen = false;
        for (u32 other = 0; other < k; other++)
            seen =
                seen || strcmp(sources->files.items[other].path, sources->files.items[k].path) == 0;
        if (!seen)
            h = hash_bytes(h, sources->files.items[k].text, sources->files.items[k].length);
    }
    return h;
}

static u64
hash_of_data(const FitRun *fit)
{
    u64 h = 1;
    for (u32 k = 0; k < fit->part_count; k++) {
        const Fit *spec = &fit->parts[k]->spec;
        if (spec->data_path)
            h = hash_file(h, spec->data_path);
        for (u32 s = 0; s < spec->samples.count; s++)
            h = hash_file(h, spec->samples.items[s].path);
    }
    return h;
}

static u64
hash_of_values(const FitRun *fit)
{
    u64 h = 1;
    for (u32 k = 0; k < fit->part_count; k++) {
        const Grad *grad = &fit->parts[k]->grad;
        const Network *network = grad->pipeline.network;
        const u32 params = network->param_count - network->open_count; /* those are of the text */
        h = hash_bytes(h, grad->values.params, params * sizeof(double));
        h = hash_bytes(h, grad->values.inputs, network->input_count * sizeof(double));
    }
    return h;
}

static void
put_number(Text *key, const char *what, double value)
{
    rxn__text_printf(key, "%s: ", what);
    rxn__text_f64(key, value);
    rxn__text_printf(key, "\n");
}

const char *
rxn__fit_key(FitRun *fit)
{
    const RxnFitLoopOptions *loop = &fit->loop_options;
    const RxnOptimizerOptions *o = &loop->optimizer;
    const RxnGaussNewtonOptions *n = &loop->gauss_newton;
    Text key;
    rxn__text_init(&key, &fit->engine->session.arena);
    rxn__text_printf(&key, "version: %s\nmodel: %s\n", rxn_version(), fit->model);
    rxn__text_printf(&key, "model's text: %016" PRIx64 "\n", hash_of_model(fit));
    rxn__text_printf(&key, "data: %016" PRIx64 "\n", hash_of_data(fit));
    rxn__text_printf(&key, "values to begin with: %016" PRIx64 "\n", hash_of_values(fit));
    rxn__text_printf(&key, "parameters: %u\nexperiments: %u\n", fit->count, fit->part_count);
    for (u32 k = 0; k < fit->trained_count; k++) {
        const GradOptions *g = &fit->parts[k]->grad.options;
        rxn__text_printf(&key,
                         "estimator: %s tau=%.17g draws=%" PRIu64 " difference=%.17g bins=%" PRIu64
                         " degree=%" PRIu64 " pilot=%" PRIu64 "\n",
                         fit->parts[k]->estimator_name, g->tau, g->draws, g->difference, g->bins,
                         g->degree, g->pilot);
        rxn__text_printf(&key, "batch: %" PRIu64 "\n", fit->parts[k]->batch);
    }
    rxn__text_printf(&key, "optimizer: %s\n", fit->optimizer);
    if (loop->newton)
        rxn__text_printf(&key, "settings of the optimizer: %.17g %.17g %.17g %.17g\n", n->radius,
                         n->damping, n->power, n->tolerance);
    else
        rxn__text_printf(&key,
                         "settings of the optimizer: %.17g %.17g %.17g %.17g %.17g %d %u %.17g\n",
                         o->beta1, o->beta2, o->epsilon, o->weight_decay, o->momentum, o->nesterov,
                         o->memory, o->tolerance);
    put_number(&key, "rate", o->rate);
    rxn__text_printf(&key, "schedule: %s %.17g %.17g %" PRIu64 " %" PRIu64 "\n", fit->schedule,
                     o->floor, o->factor, o->warmup, o->every);
    put_number(&key, "clip norm", o->clip_norm);
    put_number(&key, "clip value", o->clip_value);
    put_number(&key, "steps", (double)loop->steps);
    put_number(&key, "trajectories", (double)loop->trajectories);
    put_number(&key, "most trajectories", (double)loop->most_trajectories);
    rxn__text_printf(&key, "seed: %" PRIu64 "\nnoise: %s\nprecision: %s\n", loop->seed, fit->noise,
                     fit->options.ensemble.precision);
    put_number(&key, "refresh", (double)loop->refresh);
    put_number(&key, "tolerance", loop->tolerance);
    put_number(&key, "patience", (double)loop->patience);
    put_number(&key, "window", (double)loop->window);
    put_number(&key, "starts", (double)loop->starts);
    put_number(&key, "average", (double)loop->average);
    return key.data;
}

const char *
rxn__fit_key_difference(Arena *arena, const char *saved, const char *own)
{
    Text text;
    rxn__text_init(&text, arena);
    while (*saved && *own) {
        size_t a = strcspn(saved, "\n"), b = strcspn(own, "\n");
        if (a != b || memcmp(saved, own, a) != 0) {
            size_t name = strcspn(own, ":"), other = strcspn(saved, ":");
            bool same_name = name == other && memcmp(saved, own, name) == 0;
            bool is_hash = same_name && (strncmp(own, "data:", 5) == 0 ||
                                         strncmp(own, "model's text:", 13) == 0 ||
                                         strncmp(own, "values to", 9) == 0);
            if (is_hash)
                rxn__text_printf(&text, "its %.*s differ%s from those of this fit", (int)name, own,
                                 strncmp(own, "model's", 7) == 0 ? "s" : "");
            else if (same_name && name + 2 <= a && name + 2 <= b)
                rxn__text_printf(&text, "its %.*s is '%.*s', here it is '%.*s'", (int)name, own,
                                 (int)(a - name - 2), saved + name + 2, (int)(b - name - 2),
                                 own + name + 2);
            else
                rxn__text_printf(&text, "it has '%.*s' where this fit has '%.*s'", (int)a, saved,
                                 (int)b, own);
            return text.data;
        }
        saved += a + (saved[a] == '\n');
        own += b + (own[b] == '\n');
    }
    return "it was made by another version of rxn";
}
