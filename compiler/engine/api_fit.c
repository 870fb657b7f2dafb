/* api_fit.c: fits: the model's fit block, with what the caller says instead, trained to its end. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/api.h"
#include "compiler/engine/code.h"
#include "compiler/engine/fit.h"
#include "runtime/whole_file.h"

struct RxnFit {
    ApiPart part;
    FitRun run;
    CodeShelf code;
    RxnValues *start;
    void (*step)(void *context, const RxnFitStep *step);
    void *step_context;
    bool is_begun, is_compiled; /* begun: whatever came of it */
    bool is_trained;            /* likewise */
    size_t *members;            /* [count] */
    RxnFitted fitted;           /* once training has a result */
};

RxnFitOptions
rxn_fit_options(void)
{
    return (RxnFitOptions){.rate = NAN,
                           .steps = UINT64_MAX,
                           .seed = UINT64_MAX,
                           .kernel = rxn_simulator_options(),
                           .step_limit = rxn__ensemble_defaults().step_limit};
}

/* ---- making ------------------------------------------------------------------------------------ */

typedef struct Making {
    RxnFit *fit;
    const RxnFitOptions *options;
    const RxnValues *values;
} Making;

static const char *
copy(Arena *arena, const char *text)
{
    return text ? rxn__arena_copy_text(arena, text, strlen(text)) : NULL;
}

/* All but the kernel's and the ensemble's. */
static void
fill(Arena *arena, const RxnFitOptions *from, FitOptions *o)
{
    o->steps = from->steps;
    o->rate = from->rate;
    o->data = copy(arena, from->data);
    o->estimator = copy(arena, from->estimator);
    o->optimizer = copy(arena, from->optimizer);
    o->schedule = copy(arena, from->schedule);
    o->starts = from->starts ? from->starts : FIT_NOT_GIVEN;
    o->checkpoint = copy(arena, from->checkpoint);
    o->checkpoint_steps = from->checkpoint_steps;
    o->resume = copy(arena, from->resume);
    if (from->tape_memory)
        o->tape_memory = rxn__api_bytes(arena, from->tape_memory);
}

static RxnStatus
check_options(Engine *engine, const void *options)
{
    const RxnFitOptions usual = rxn_fit_options();
    FitOptions o = rxn__fit_defaults();
    fill(&engine->session.arena, options ? options : &usual, &o);
    return rxn__fit_check_options(engine, &o) ? RXN_OK : RXN_ERROR_USAGE;
}

RxnStatus
rxn_fit_check(const RxnModel *model, const RxnFitOptions *options, RxnError **ret_error)
{
    return rxn__api_check(model, check_options, options, ret_error);
}

static RxnStatus
take_options(Making *making)
{
    RxnFit *fit = making->fit;
    const RxnFitOptions *from = making->options;
    Engine *engine = &fit->part.engine;
    FitOptions *o = &fit->run.options;
    RxnStatus status = rxn__api_kernel_options(&fit->part, &from->kernel, &o->ensemble);
    if (status != RXN_OK)
        return status;
    fill(&engine->session.arena, from, o);
    o->ensemble.quiet = from->no_advice;
    o->ensemble.counted = from->trajectories > 0;
    o->ensemble.trajectories = from->trajectories ? from->trajectories : 1000;
    o->ensemble.seed = from->seed;
    o->ensemble.threads = from->threads;
    o->ensemble.step_limit = from->step_limit;
    o->ensemble.given = &fit->start->given;
    if (from->threads > 4096)
        return rxn__api_refuse(engine, "%u threads are more than 4096", from->threads);
    return rxn__fit_check_options(engine, o) ? RXN_OK : RXN_ERROR_USAGE;
}

static RxnFitStep
step_of(const RxnFitLoopOptions *loop, const RxnFitRecord *record)
{
    return (RxnFitStep){
        .step = (u64)record->step,
        .steps = loop->steps,
        .loss = record->loss,
        .loss_se = record->loss_se,
        .gradient_norm = record->norm,
        .gradient_noise = record->noise,
        .seconds = record->seconds,
        .trajectories = (u64)record->trajectories,
        .start = (u64)record->start,
        .starts = loop->starts,
        .main = record->main != 0,
        .rate = record->rate,
        .validation = record->validation,
        .events = (u64)record->events,
    };
}

/* As RxnFitLoopOptions.report. */
static void
report_step(void *context, const RxnFitRecord *record)
{
    RxnFit *fit = context;
    if (!fit->step)
        return;
    const RxnFitStep step = step_of(&fit->run.loop_options, record);
    fit->step(fit->step_context, &step);
}

static RxnStatus
compile(void *context)
{
    RxnFit *fit = context;
    if (fit->is_compiled)
        return RXN_OK;
    if (fit->is_begun)
        return rxn__api_refuse(&fit->part.engine, "this fit could not be compiled; make another");
    fit->is_begun = true;
    RxnStatus status = rxn__fit_open(&fit->run);
    fit->is_compiled = status == RXN_OK;
    return status;
}

static RxnStatus
prepare(void *context)
{
    Making *making = context;
    RxnFit *fit = making->fit;
    RxnStatus status = take_options(making);
    if (status == RXN_OK)
        status = rxn__code_shelf_open(&fit->code, fit->part.model->options.memory_limit,
                                      making->options->like ? &making->options->like->code : NULL);
    if (status != RXN_OK)
        return status;
    fit->run.file = fit->part.file;
    fit->run.compile = rxn__code_compile;
    fit->run.compile_context = &fit->code;
    status = rxn__fit_prepare(&fit->run);
    if (status != RXN_OK)
        return status;
    fit->run.loop_options.report = report_step;
    fit->run.loop_options.report_context = fit;
    fit->members = NEW_ARRAY(&fit->part.engine.session.arena, size_t, (size_t)fit->run.count + 1);
    for (u32 k = 0; k < fit->run.count; k++)
        fit->members[k] = fit->run.flat[k];
    return RXN_OK;
}

static RxnStatus
take_values(void *context)
{
    Making *making = context;
    RxnStatus status = rxn__api_check_values(&making->fit->part, making->values);
    return status == RXN_OK ? rxn_values_copy(making->values, &making->fit->start, NULL) : status;
}

/* decided: the same without open numbers; NULL: this one decides. */
static RxnStatus
begin(Making *making, RxnModel *model, const RxnFit *decided)
{
    RxnFit *fit = making->fit = calloc(1, sizeof *fit);
    if (!fit)
        return RXN_ERROR_MEMORY;
    RxnStatus status = rxn__part_open(&fit->part, model);
    fit->run.engine = &fit->part.engine;
    fit->run.decided = decided ? &decided->run : NULL;
    fit->step = making->options->step;
    fit->step_context = making->options->step_context;
    fit->part.cancel = making->options->cancel;
    fit->part.stage = making->options->stage;
    fit->part.stage_context = making->options->stage_context;
    if (decided)
        rxn__part_hush(&fit->part, true);
    if (status == RXN_OK)
        status = rxn__api_guard(&fit->part.engine, take_values, making);
    if (status == RXN_OK)
        status = rxn__api_guard(&fit->part.engine, prepare, making);
    if (decided)
        rxn__part_hush(&fit->part, false);
    return status;
}

/* As that of differentiators. */
static RxnStatus
leave_numbers_open(Making *making, RxnModel *model)
{
    RxnFit *decided = making->fit;
    if (!making->options->kernel.editable || !rxn__fit_may_open(&decided->run))
        return RXN_OK;
    RxnStatus status = begin(making, model, decided);
    RxnFit *open = making->fit;
    if (status == RXN_OK && open->run.network->open_count > 0) {
        open->run.decided = NULL;
        rxn__engine_tell(&decided->part.engine);
        rxn_fit_free(decided);
        return RXN_OK;
    }
    rxn_fit_free(open);
    making->fit = decided;
    return status == RXN_ERROR_MEMORY ? status : RXN_OK;
}

RxnStatus
rxn_fit_new(RxnModel *model, const RxnFitOptions *options, const RxnValues *values,
            RxnFit **ret_fit, RxnError **ret_error)
{
    *ret_fit = NULL;
    const RxnFitOptions usual = rxn_fit_options();
    Making making = {NULL, options ? options : &usual, values};
    RxnStatus status = begin(&making, model, NULL);
    if (!making.fit)
        return rxn__api_no_memory(ret_error);
    if (status == RXN_OK)
        status = leave_numbers_open(&making, model);
    RxnFit *fit = making.fit;
    if (status == RXN_OK && !making.options->later)
        status = rxn__api_guard(&fit->part.engine, compile, fit);
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
    rxn__code_shelf_close(&fit->code);
    rxn__part_close(&fit->part);
    free(fit);
}

RxnStatus
rxn_fit_compile(RxnFit *fit, RxnError **ret_error)
{
    RxnStatus status = rxn__api_guard(&fit->part.engine, compile, fit);
    return rxn__part_finish(&fit->part, status, ret_error);
}

RxnFitInfo
rxn_fit_info(const RxnFit *fit)
{
    const FitRun *run = &fit->run;
    const FitPart *part = run->parts[0];
    return (RxnFitInfo){
        .parameter_count = run->count,
        .labels = run->labels,
        .members = fit->members,
        .start = run->start,
        .estimator = part->estimator_name,
        .why_estimator = part->grad.choice,
        .unbiased = !rxn__fit_is_biased(run),
        .optimizer = run->optimizer,
        .why_optimizer = run->why_optimizer,
        .schedule = run->schedule,
        .noise = run->noise,
        .noiseless = run->noiseless,
        .has_samples = run->has_samples,
        .steps = run->loop_options.steps,
        .starts = run->loop_options.starts,
        .seed = run->loop_options.seed,
        .resumed = run->resumed_at,
        .files = fit->part.engine.read.items,
        .file_count = fit->part.engine.read.count,
        .reused = rxn__code_shelf_reuses(&fit->code),
    };
}

/* ---- training ---------------------------------------------------------------------------------- */

static void
take_history(RxnFit *fit, RxnFitted *fitted)
{
    const FitRun *run = &fit->run;
    const RxnFitState *state = &run->state;
    RxnFitStep *history =
        NEW_ARRAY(&fit->part.engine.session.arena, RxnFitStep, (size_t)state->record_count + 1);
    fitted->validation = NAN;
    for (u64 k = 0; k < state->record_count; k++) {
        history[k] = step_of(&run->loop_options, &state->records[k]);
        if (run->problem.validate && !isnan(history[k].validation))
            fitted->validation = history[k].validation;
    }
    fitted->step_count = state->record_count;
    fitted->history = history;
}

static void
take_series(RxnFit *fit, RxnFitted *fitted)
{
    const FitRun *run = &fit->run;
    Arena *arena = &fit->part.engine.session.arena;
    RxnFitSeries *series = NEW_ARRAY(arena, RxnFitSeries, (size_t)run->series.count + 1);
    RxnFitMeasure *measures = NEW_ARRAY(arena, RxnFitMeasure, (size_t)run->measured.count + 1);
    for (u32 k = 0; k < run->series.count; k++) {
        const FitSeriesFigures *figures = &run->series.items[k];
        const FitSeries *from = &figures->part->spec.series.items[figures->series];
        series[k] = (RxnFitSeries){
            .experiment = figures->part->name,
            .model = from->model,
            .data = from->data,
            .axis = from->axis,
            .x = figures->x,
            .measured = figures->data,
            .measured_sd = figures->sd,
            .modelled = figures->model,
            .modelled_se = figures->model_se,
            .count = figures->count,
            .r2 = figures->r2,
            .aside = from->aside,
        };
    }
    for (u32 k = 0; k < run->measured.count; k++) {
        const FitMeasured *from = &run->measured.items[k];
        measures[k] = (RxnFitMeasure){from->part->name, from->name, from->value, from->se};
    }
    fitted->series_count = run->series.count;
    fitted->series = series;
    fitted->measure_count = run->measured.count;
    fitted->measures = measures;
}

/* NaN throughout where nothing is known. */
static const double *
known(Arena *arena, const double *values, u32 count)
{
    if (values)
        return values;
    double *none = NEW_ARRAY(arena, double, (size_t)count + 1);
    for (u32 k = 0; k < count; k++)
        none[k] = NAN;
    return none;
}

static void
take_errors(RxnFit *fit, RxnFitted *fitted)
{
    const FitRun *run = &fit->run;
    const FitErrors *e = &run->errors;
    Arena *arena = &fit->part.engine.session.arena;
    const u32 count = run->count;
    double *se = NEW_ARRAY(arena, double, (size_t)count + 1);
    bool *identifiable = NEW_ARRAY(arena, bool, (size_t)count + 1);
    fitted->se_data = known(arena, e->data, count);
    fitted->se_data_error = known(arena, e->data_error, count);
    fitted->se_simulation = known(arena, e->simulation, count);
    fitted->gradient = known(arena, e->known ? e->gradient : NULL, count);
    fitted->gradient_se = known(arena, e->known ? e->gradient_se : NULL, count);
    fitted->to_minimum = known(arena, e->away, count);
    fitted->to_minimum_se = known(arena, e->away_se, count);
    /* From data, and from simulation, which have nothing to do with each other. */
    for (u32 k = 0; k < count; k++) {
        double data = fitted->se_data[k], simulation = fitted->se_simulation[k];
        se[k] = isfinite(data) && isfinite(simulation) ? hypot(data, simulation)
                : isfinite(data)                       ? data
                                                       : simulation;
        identifiable[k] = run->acts[k] && !(e->no_influence && e->no_influence[k]);
    }
    fitted->se = se;
    fitted->identifiable = identifiable;
}

/* All that is known of the result, in the fit's own memory. */
static void
take_result(RxnFit *fit)
{
    const FitRun *run = &fit->run;
    const RxnFitState *state = &run->state;
    const FitErrors *e = &run->errors;
    const RxnFitRecord *last =
        state->record_count ? &state->records[state->record_count - 1] : NULL;
    RxnFitted fitted = {
        .parameter_count = run->count,
        .labels = run->labels,
        .value = state->parameters,
        .loss = e->known ? e->loss
                : last   ? last->loss
                         : NAN,
        .loss_se = e->known ? e->loss_se
                   : last   ? last->loss_se
                            : NAN,
        .steps = state->step,
        .ending = rxn__fit_ending_text(run, &fit->part.engine.session.arena),
        .ended = state->ending,
        .complete = rxn__fit_is_complete(state),
        .examined = e->known,
        .averaged = state->averaged,
        .by_validation = state->by_validation,
        .best_start = state->best_start,
        .trajectories = (u64)state->total_trajectories,
        .events = (u64)state->total_events,
        .seconds = state->seconds,
    };
    take_history(fit, &fitted);
    take_series(fit, &fitted);
    take_errors(fit, &fitted);
    fit->fitted = fitted;
}

static RxnStatus
train(void *context)
{
    RxnFit *fit = context;
    if (fit->is_trained)
        return rxn__api_refuse(&fit->part.engine, "this fit was trained before; make another");
    RxnStatus status = compile(fit);
    if (status != RXN_OK)
        return status;
    fit->is_trained = true;
    status = rxn__fit_train(&fit->run);
    if (fit->run.has_result)
        take_result(fit);
    return status;
}

RxnStatus
rxn_fit_train(RxnFit *fit, RxnFitted *ret_fitted, RxnError **ret_error)
{
    RxnStatus status = rxn__api_guard(&fit->part.engine, train, fit);
    *ret_fitted = fit->fitted;
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

/* How a result is written. */
typedef void (*Writer)(FILE *file, FitRun *run);

typedef struct Saving {
    RxnFit *fit;
    Writer write;
    const char *path;
    RxnWholeFile whole;
    /* Or into memory: */
    char *text;
    size_t length;
    FILE *file;
} Saving;

static RxnStatus
cannot_write(Saving *saving, const char *reason)
{
    rxn__engine_error(&saving->fit->part.engine, "'%s' cannot be written: %s", saving->path,
                      reason);
    return RXN_ERROR_INPUT;
}

static RxnStatus
save(void *context)
{
    Saving *saving = context;
    RxnFit *fit = saving->fit;
    const char *reason;
    RxnStatus status = need_result(fit);
    if (status != RXN_OK)
        return status;
    if (!saving->path)
        return rxn__api_refuse(&fit->part.engine, "there is no file to save to");
    if (rxn__overwrites_input(&fit->part.engine, &fit->part.engine, saving->path))
        return RXN_ERROR_INPUT;
    if (!rxn__whole_file_open(&saving->whole, saving->path, &reason))
        return cannot_write(saving, reason);
    saving->write(saving->whole.file, &fit->run);
    return rxn__whole_file_commit(&saving->whole, &reason) ? RXN_OK : cannot_write(saving, reason);
}

RxnStatus
rxn_fit_save(RxnFit *fit, const char *path, RxnError **ret_error)
{
    Saving saving = {.fit = fit, .write = rxn__fit_json, .path = path};
    RxnStatus status = rxn__api_guard(&fit->part.engine, save, &saving);
    rxn__whole_file_drop(&saving.whole);
    return rxn__part_finish(&fit->part, status, ret_error);
}

static RxnStatus
write_text(void *context)
{
    Saving *saving = context;
    RxnStatus status = need_result(saving->fit);
    if (status != RXN_OK)
        return status;
    saving->file = open_memstream(&saving->text, &saving->length);
    if (!saving->file)
        return RXN_ERROR_MEMORY;
    saving->write(saving->file, &saving->fit->run);
    bool good = !ferror(saving->file);
    good = fclose(saving->file) == 0 && good;
    saving->file = NULL;
    return good ? RXN_OK : RXN_ERROR_MEMORY;
}

static RxnStatus
as_text(RxnFit *fit, Writer write, char **ret_text, RxnError **ret_error)
{
    if (!ret_text)
        return rxn__api_nowhere("ret_text", ret_error);
    Saving saving = {.fit = fit, .write = write};
    RxnStatus status = rxn__api_guard(&fit->part.engine, write_text, &saving);
    if (saving.file)
        fclose(saving.file);
    if (status != RXN_OK) {
        free(saving.text);
        saving.text = NULL;
    }
    *ret_text = saving.text;
    return rxn__part_finish(&fit->part, status, ret_error);
}

RxnStatus
rxn_fit_json(RxnFit *fit, char **ret_text, RxnError **ret_error)
{
    return as_text(fit, rxn__fit_json, ret_text, ret_error);
}

RxnStatus
rxn_fit_history(RxnFit *fit, char **ret_text, RxnError **ret_error)
{
    return as_text(fit, rxn__fit_history, ret_text, ret_error);
}
