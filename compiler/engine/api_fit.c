/* api_fit.c: fits: the model's fit block, with what the caller says instead, trained to its end. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/engine/api.h"
#include "compiler/engine/fit.h"

struct RxnFit {
    ApiPart part;
    FitRun run;
    RxnValues *start;
    void (*step)(void *context, const RxnFitStep *step);
    void *step_context;
    bool is_trained; /* whatever came of it */
    double *se;
    const char *ending;
};

RxnFitOptions
rxn_fit_options(void)
{
    return (RxnFitOptions){
        .rate = NAN, .steps = UINT64_MAX, .seed = UINT64_MAX, .kernel = rxn_simulator_options()};
}

/* ---- making ------------------------------------------------------------------------------------ */

typedef struct Making {
    RxnFit *fit;
    const RxnFitOptions *options;
} Making;

static const char *
copy(Arena *arena, const char *text)
{
    return text ? rxn__arena_copy_text(arena, text, strlen(text)) : NULL;
}

static RxnStatus
take_options(Making *making)
{
    RxnFit *fit = making->fit;
    const RxnFitOptions *from = making->options;
    Engine *engine = &fit->part.engine;
    Arena *arena = &engine->session.arena;
    FitOptions *o = &fit->run.options;
    RxnStatus status = rxn__api_kernel_options(&fit->part, &from->kernel, &o->ensemble);
    if (status != RXN_OK)
        return status;
    o->ensemble.counted = from->trajectories > 0;
    o->ensemble.trajectories = from->trajectories ? from->trajectories : 1000;
    o->ensemble.seed = from->seed;
    o->ensemble.threads = from->threads;
    o->ensemble.given = &fit->start->given;
    if (from->threads > 4096)
        return rxn__api_refuse(engine, "%u threads are more than 4096", from->threads);
    o->steps = from->steps;
    o->rate = from->rate;
    o->data = copy(arena, from->data);
    o->estimator = copy(arena, from->estimator);
    o->optimizer = copy(arena, from->optimizer);
    o->schedule = copy(arena, from->schedule);
    o->starts = from->starts ? from->starts : FIT_NOT_GIVEN;
    o->checkpoint = copy(arena, from->checkpoint);
    o->resume = copy(arena, from->resume);
    if (from->tape_memory) {
        Text bytes;
        rxn__text_init(&bytes, arena);
        rxn__text_printf(&bytes, "%llu", (unsigned long long)from->tape_memory);
        o->tape_memory = bytes.data;
    }
    return rxn__fit_check_options(engine, o) ? RXN_OK : RXN_ERROR_USAGE;
}

/* As RxnFitLoopOptions.report. */
static void
report_step(void *context, const RxnFitRecord *record)
{
    RxnFit *fit = context;
    if (!fit->step)
        return;
    RxnFitStep step = {
        .step = (u64)record->step,
        .steps = fit->run.loop_options.steps,
        .loss = record->loss,
        .loss_se = record->loss_se,
        .gradient_norm = record->norm,
        .gradient_noise = record->noise,
        .seconds = record->seconds,
        .trajectories = (u64)record->trajectories,
    };
    fit->step(fit->step_context, &step);
}

static RxnStatus
compile(void *context)
{
    Making *making = context;
    RxnFit *fit = making->fit;
    RxnStatus status = take_options(making);
    if (status != RXN_OK)
        return status;
    fit->run.file = fit->part.file;
    status = rxn__fit_prepare(&fit->run);
    if (status == RXN_OK)
        status = rxn__fit_open(&fit->run);
    if (status != RXN_OK)
        return status;
    fit->run.loop_options.report = report_step;
    fit->run.loop_options.report_context = fit;
    fit->se = NEW_ARRAY(&fit->part.engine.session.arena, double, (size_t)fit->run.count + 1);
    return RXN_OK;
}

static RxnStatus
refuse_values(void *context)
{
    RxnFit *fit = context;
    return rxn__api_refuse(&fit->part.engine, "these values are of another model");
}

RxnStatus
rxn_fit_new(RxnModel *model, const RxnFitOptions *options, const RxnValues *values,
            RxnFit **ret_fit, RxnError **ret_error)
{
    *ret_fit = NULL;
    RxnFit *fit = calloc(1, sizeof *fit);
    if (!fit)
        return rxn__api_no_memory(ret_error);
    const RxnFitOptions usual = rxn_fit_options();
    Making making = {fit, options ? options : &usual};
    RxnStatus status = rxn__part_open(&fit->part, model);
    fit->run.engine = &fit->part.engine;
    fit->step = making.options->step;
    fit->step_context = making.options->step_context;
    fit->part.cancel = making.options->cancel;
    if (status == RXN_OK)
        status = rxn_values_copy(values, &fit->start, NULL);
    if (status == RXN_OK && values->model != model)
        status = rxn__api_guard(&fit->part.engine, refuse_values, fit);
    if (status == RXN_OK)
        status = rxn__api_guard(&fit->part.engine, compile, &making);
    status = rxn__part_finish(&fit->part, status, ret_error);
    if (status == RXN_OK)
        *ret_fit = fit;
    else
        rxn_fit_free(fit);
    return status;
}

void
rxn_fit_free(RxnFit *fit)
{
    if (!fit)
        return;
    rxn__fit_put_away(&fit->run);
    rxn_values_free(fit->start);
    rxn__part_close(&fit->part);
    free(fit);
}

/* ---- training ---------------------------------------------------------------------------------- */

static RxnStatus
train(void *context)
{
    RxnFit *fit = context;
    if (fit->is_trained)
        return rxn__api_refuse(&fit->part.engine, "this fit was trained before; make another");
    fit->is_trained = true;
    RxnStatus status = rxn__fit_train(&fit->run);
    if (fit->run.has_result)
        fit->ending = rxn__fit_ending_text(&fit->run, &fit->part.engine.session.arena);
    return status;
}

static void
hand_over(RxnFit *fit, RxnFitted *ret_fitted)
{
    const FitRun *run = &fit->run;
    const RxnFitState *state = &run->state;
    const FitErrors *e = &run->errors;
    /* From data, and from simulation, which have nothing to do with each other. */
    for (u32 k = 0; k < run->count; k++) {
        double data = e->data ? e->data[k] : NAN,
               simulation = e->simulation ? e->simulation[k] : NAN;
        fit->se[k] = isfinite(data) && isfinite(simulation) ? hypot(data, simulation)
                     : isfinite(data)                       ? data
                                                            : simulation;
    }
    const RxnFitRecord *last =
        state->record_count ? &state->records[state->record_count - 1] : NULL;
    *ret_fitted = (RxnFitted){
        .parameter_count = run->count,
        .labels = run->labels,
        .value = state->parameters,
        .se = fit->se,
        .loss = e->known ? e->loss
                : last   ? last->loss
                         : NAN,
        .loss_se = e->known ? e->loss_se
                   : last   ? last->loss_se
                            : NAN,
        .steps = state->step,
        .ending = fit->ending,
    };
}

RxnStatus
rxn_fit_train(RxnFit *fit, RxnFitted *ret_fitted, RxnError **ret_error)
{
    *ret_fitted = (RxnFitted){0};
    RxnStatus status = rxn__api_guard(&fit->part.engine, train, fit);
    if (fit->run.has_result)
        hand_over(fit, ret_fitted);
    return rxn__part_finish(&fit->part, status, ret_error);
}

/* ---- what it found ----------------------------------------------------------------------------- */

static RxnStatus
need_result(void *context)
{
    RxnFit *fit = context;
    if (fit->run.has_result)
        return RXN_OK;
    return rxn__api_refuse(&fit->part.engine, "this fit has not been trained");
}

RxnStatus
rxn_fit_values(const RxnFit *fit, RxnValues **ret_values, RxnError **ret_error)
{
    *ret_values = NULL;
    RxnFit *own = (RxnFit *)(uintptr_t)fit; /* for its messages alone */
    RxnStatus status = rxn__api_guard(&own->part.engine, need_result, own);
    if (status != RXN_OK)
        return rxn__part_finish(&own->part, status, ret_error);
    status = rxn_values_copy(fit->start, ret_values, ret_error);
    for (u32 k = 0; k < fit->run.count && status == RXN_OK; k++)
        status = rxn_values_put(*ret_values, RXN_PARAMETERS, fit->run.flat[k], 1,
                                &fit->run.state.parameters[k], ret_error);
    if (status != RXN_OK) {
        rxn_values_free(*ret_values);
        *ret_values = NULL;
    }
    return status;
}

typedef struct Saving {
    RxnFit *fit;
    const char *path;
    FILE *file;
    char *beside;
} Saving;

static RxnStatus
cannot_write(Saving *saving, const char *reason)
{
    rxn__engine_error(&saving->fit->part.engine, "'%s' cannot be written: %s", saving->path,
                      reason);
    return RXN_ERROR_INPUT;
}

/* It gets its name when it is whole. */
static RxnStatus
save(void *context)
{
    Saving *saving = context;
    RxnFit *fit = saving->fit;
    Text beside;
    RxnStatus status = need_result(fit);
    if (status != RXN_OK)
        return status;
    if (rxn__is_a_source(&fit->part.engine, saving->path))
        return RXN_ERROR_INPUT;
    rxn__text_init(&beside, &fit->part.engine.session.arena);
    rxn__text_printf(&beside, "%s.part%ld", saving->path, (long)getpid());
    saving->file = fopen(beside.data, "w");
    if (!saving->file)
        return cannot_write(saving, strerror(errno));
    saving->beside = beside.data;
    rxn__fit_json(saving->file, &fit->run);
    errno = 0;
    bool good = fflush(saving->file) == 0 && !ferror(saving->file);
    int reason = errno;
    good = fclose(saving->file) == 0 && good;
    saving->file = NULL;
    if (!good || rename(saving->beside, saving->path) != 0)
        return cannot_write(saving, strerror(reason ? reason : errno ? errno : EIO));
    saving->beside = NULL;
    return RXN_OK;
}

RxnStatus
rxn_fit_save(RxnFit *fit, const char *path, RxnError **ret_error)
{
    Saving saving = {.fit = fit, .path = path};
    RxnStatus status = rxn__api_guard(&fit->part.engine, save, &saving);
    if (saving.file)
        fclose(saving.file);
    if (saving.beside)
        unlink(saving.beside);
    return rxn__part_finish(&fit->part, status, ret_error);
}
