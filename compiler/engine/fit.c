/* fit.c: the way of a fit: from what is to be trained to what was found, and what is said of how it ended. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/engine/fit.h"
#include "runtime/checkpoint.h"

/* ---- checkpoints ------------------------------------------------------------------------------- */

static bool
checkpoint_error(FitRun *fit, const char *path, const char *why)
{
    rxn__engine_error(fit->engine, "the checkpoint '%s' cannot be used: %s", path, why);
    return false;
}

/* A checkpoint of this very fit that is not at its end is the work of hours: it is not begun anew over it. */
static bool
would_lose(FitRun *fit, const char *path)
{
    char error[512];
    size_t count;
    RxnCheckpoint *there =
        access(path, F_OK) == 0 ? rxn__checkpoint_read(path, error, sizeof error) : NULL;
    if (!there)
        return false;
    const uint64_t *counts = rxn__checkpoint_get_counts(there, "ended", &count);
    bool unfinished = counts && count == 1 && counts[0] == 0;
    rxn__checkpoint_free(there);
    if (!unfinished)
        return false;
    rxn__engine_error(fit->engine, "'%s' holds this fit, which was not at its end", path);
    rxn__engine_note(fit->engine, "--resume %s goes on with it; or remove it", path);
    return true;
}

static bool
open_checkpoint(FitRun *fit)
{
    const char *path = fit->loop_options.checkpoint, *key = fit->loop_options.key;
    char error[512];
    if (!path)
        return true;
    if (rxn__overwrites_input(fit->engine, fit->engine, path))
        return false;
    if (rxn__checkpoint_may_write(path, key, error, sizeof error))
        return fit->options.resume || !would_lose(fit, path);
    char ignored[512];
    RxnCheckpoint *other = rxn__checkpoint_read(path, ignored, sizeof ignored);
    if (other)
        snprintf(
            error, sizeof error, "it is of another fit: %.400s",
            rxn__fit_key_difference(&fit->engine->session.arena, rxn__checkpoint_key(other), key));
    rxn__checkpoint_free(other);
    return checkpoint_error(fit, path, error);
}

static bool
resume(FitRun *fit)
{
    const char *path = fit->options.resume;
    char error[512];
    if (!path)
        return true;
    RxnCheckpoint *checkpoint = rxn__checkpoint_read(path, error, sizeof error);
    if (!checkpoint)
        return checkpoint_error(fit, path, error);
    rxn__engine_reads(fit->engine, path);
    const char *key = rxn__checkpoint_key(checkpoint);
    bool same = strcmp(key, fit->loop_options.key) == 0;
    if (!same)
        snprintf(error, sizeof error, "it is of another fit: %.400s",
                 rxn__fit_key_difference(&fit->engine->session.arena, key, fit->loop_options.key));
    bool good = same && rxn__fit_restore(fit->loop, checkpoint, error, sizeof error);
    rxn__checkpoint_free(checkpoint);
    if (!good)
        return checkpoint_error(fit, path, error);
    rxn__fit_state(fit->loop, &fit->state);
    fit->resumed_at = fit->state.record_count;
    return true;
}

/* ---- how it ended ------------------------------------------------------------------------------ */

bool
rxn__fit_is_biased(const FitRun *fit)
{
    for (u32 k = 0; k < fit->trained_count; k++) {
        const FitPart *part = fit->parts[k];
        if (part->runner.bindings && !part->runner.kept.gradient.unbiased)
            return true;
        if (part->sample_run && !rxn__sample_run_is_unbiased(part->sample_run))
            return true;
    }
    return false;
}

bool
rxn__fit_is_complete(const RxnFitState *state)
{
    return state->ending < RXN_FIT_INTERRUPTED;
}

const char *
rxn__fit_ending_text(const FitRun *fit, Arena *arena)
{
    const RxnFitState *state = &fit->state;
    Text text;
    rxn__text_init(&text, arena);
    switch (state->ending) {
    case RXN_FIT_RUNNING:
    case RXN_FIT_STEPS: rxn__text_printf(&text, "all steps are done"); break;
    case RXN_FIT_CONVERGED: rxn__text_printf(&text, "%s", state->why); break;
    case RXN_FIT_TOLERANCE: rxn__text_printf(&text, "the loss no longer improves"); break;
    case RXN_FIT_PATIENCE:
        rxn__text_printf(&text, "no better %s for %" PRIu64 " %s",
                         fit->problem.validate ? "validation" : "loss", fit->loop_options.patience,
                         fit->problem.validate ? "validations" : "steps");
        break;
    case RXN_FIT_INTERRUPTED: rxn__text_printf(&text, "interrupted"); break;
    case RXN_FIT_NOT_FINITE: rxn__text_printf(&text, "%s", state->why); break;
    case RXN_FIT_FAULT: rxn__text_printf(&text, "a trajectory could not go on"); break;
    case RXN_FIT_NOT_SAVED: rxn__text_printf(&text, "%s", state->why); break;
    }
    return text.data;
}

static const char *
point_text(FitRun *fit, const double *parameters)
{
    Text text;
    rxn__text_init(&text, &fit->engine->session.arena);
    for (u32 k = 0; k < fit->count && k < 8; k++) {
        rxn__text_printf(&text, "%s%s = ", k ? ", " : "", fit->labels[k]);
        rxn__text_f64(&text, parameters[k]);
    }
    if (fit->count > 8)
        rxn__text_printf(&text, ", …");
    return text.data;
}

/* What went wrong, and what is left. */
static void
tell_of_ending(FitRun *fit)
{
    Engine *engine = fit->engine;
    const RxnFitState *state = &fit->state;
    const char *kept = fit->loop_options.checkpoint;
    switch (state->ending) {
    case RXN_FIT_INTERRUPTED:
        rxn__engine_error(engine, "interrupted after %" PRIu64 " of %" PRIu64 " steps", state->step,
                          state->steps);
        break;
    case RXN_FIT_NOT_FINITE:
        rxn__engine_error(engine, "%s at step %" PRIu64, state->why, state->step + 1);
        for (u32 k = 0; k < fit->trained_count; k++)
            if (fit->parts[k]->not_finite != UINT64_MAX)
                rxn__engine_note(engine,
                                 "%s%strajectory %" PRIu64 " is the first with such a number",
                                 fit->parts[k]->name, fit->parts[k]->name[0] ? ": " : "",
                                 fit->parts[k]->not_finite);
        break;
    case RXN_FIT_FAULT:
        rxn__engine_note(engine, "that was at step %" PRIu64 " of the fit", state->step + 1);
        break;
    case RXN_FIT_NOT_SAVED: rxn__engine_error(engine, "%s", state->why); return;
    default: return;
    }
    if (state->failed_at && fit->count)
        rxn__engine_note(engine, "there %s", point_text(fit, state->failed_at));
    if (kept)
        rxn__engine_note(engine, "'%s' holds the state before; --resume %s goes on with it", kept,
                         kept);
}

/* ---- the way of a fit -------------------------------------------------------------------------- */

RxnStatus
rxn__fit_prepare(FitRun *fit)
{
    RxnStatus status = rxn__fit_setup(fit);
    if (status == RXN_OK)
        status = rxn__fit_choose(fit);
    if (status != RXN_OK)
        return status;
    if (!rxn__fit_settings(fit))
        return RXN_ERROR_INPUT;
    fit->loop_options.key = rxn__fit_key(fit);
    return RXN_OK;
}

bool
rxn__fit_may_open(const FitRun *fit)
{
    bool may = !fit->has_samples;
    for (u32 k = 0; k < fit->part_count; k++)
        may = may && (fit->parts[k]->validation || rxn__grad_may_open(&fit->parts[k]->grad));
    return may;
}

RxnStatus
rxn__fit_open(FitRun *fit)
{
    if (!open_checkpoint(fit))
        return RXN_ERROR_INPUT;
    rxn__engine_tell(fit->engine);
    RxnStatus status = rxn__fit_compile(fit);
    rxn__engine_tell(fit->engine);
    return status;
}

RxnStatus
rxn__fit_train(FitRun *fit)
{
    RxnFitLoopOptions *loop = &fit->loop_options;
    loop->cancel = rxn__watch_begin(fit->engine, false, true).cancel;
    fit->is_watched = true;
    fit->loop = rxn__fit_new(&fit->problem, loop);
    if (!fit->loop)
        return RXN_ERROR_MEMORY;
    if (!resume(fit))
        return RXN_ERROR_INPUT;
    fit->begun = rxn__seconds();
    RxnFitEnding ending = rxn__fit_run(fit->loop);
    rxn__fit_state(fit->loop, &fit->state);
    bool bad = ending == RXN_FIT_FAULT && fit->status != RXN_ERROR_INPUT;
    if (bad) /* out of memory, or a bug of ours: nothing is a result */
        return fit->status;
    RxnStatus status = rxn__fit_examine(fit);
    if (status == RXN_CANCELLED)
        rxn__warning(&fit->engine->session.diagnostics, (Span){0, 0},
                     "interrupted while the result was looked at: standard errors are missing");
    else if (status != RXN_OK)
        return status;
    tell_of_ending(fit);
    fit->has_result = true;
    bool failed = ending == RXN_FIT_INTERRUPTED || ending == RXN_FIT_NOT_FINITE ||
                  ending == RXN_FIT_FAULT || ending == RXN_FIT_NOT_SAVED;
    if (!failed)
        return RXN_OK;
    return ending == RXN_FIT_INTERRUPTED ? RXN_CANCELLED : RXN_ERROR_INPUT;
}
