/* cmd_fit.c: `rxn fit`: trains the parameters of a model on data, as its fit block says. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/fit.h"
#include "runtime/checkpoint.h"

#define AT(field) offsetof(FitOptions, field)
static const Option options[] = {
    {"--data", "FILE", OPTION_TEXT, AT(data), "a table instead of that of the block"},
    {"--steps", "N", OPTION_COUNT, AT(steps), "steps (evaluations); 0: only look at the start"},
    {"--estimator", "NAME", OPTION_TEXT, AT(estimator), "of derivatives: as for 'rxn grad'"},
    {"--optimizer", "NAME", OPTION_TEXT, AT(optimizer), "gauss_newton, adam, adamw, sgd or lbfgs"},
    {"--rate", "X", OPTION_NUMBER, AT(rate), "the optimizer's rate"},
    {"--schedule", "NAME", OPTION_TEXT, AT(schedule),
     "of the rate: constant, cosine, exponential or step"},
    {"--starts", "N", OPTION_COUNT, AT(starts),
     "from so many points between the bounds, the model's own first"},
    {"-o", "FILE.json", OPTION_TEXT, AT(ensemble.json),
     "write the result, for --params ('-': standard output)"},
    {"--json", "FILE", OPTION_TEXT, AT(ensemble.json), "the same"},
    {"--history", "FILE.csv", OPTION_TEXT, AT(ensemble.csv),
     "write loss and gradient of each step"},
    {"--plot", "FILE", OPTION_TEXT, AT(plot),
     "draw loss, and data against model (.svg or .png; needs gnuplot)"},
    {"--checkpoint", "FILE", OPTION_TEXT, AT(checkpoint),
     "keep the state there, once a minute and at the end, whatever ends it"},
    {"--every", "N", OPTION_COUNT, AT(checkpoint_steps), "the same, but every N steps"},
    {"--resume", "FILE", OPTION_TEXT, AT(resume), "go on from a checkpoint"},
    {"--tape-memory", "BYTES", OPTION_TEXT, AT(tape_memory),
     "for all tapes, as 500M or 2G (default: a quarter of what there is)"},
};
#undef AT

static const OptionTable table = {
    .command = "rxn fit",
    .synopsis = "rxn fit MODEL [OPTION…]",
    .summary = "Trains the params that are marked 'fit' by the fit block of the model: simulates, "
               "compares\n"
               "with the data, differentiates, steps. What is given here overrides the block.",
    .about_operand = RXN_ABOUT_MODEL,
    .remarks =
        "Examples\n"
        "  rxn fit model.rxn -o fitted.json --plot fit.svg\n"
        "  rxn run model.rxn --params fitted.json\n"
        "  rxn fit model.rxn --checkpoint fit.state        (Ctrl-C, or a power cut)\n"
        "  rxn fit model.rxn --resume fit.state -o fitted.json\n"
        "\n"
        "-n is the number of trajectories of a step and experiment (of a sample, where there are\n"
        "samples), --params the values to start from. The result does not depend on threads; a fit "
        "that\n"
        "was stopped and resumed has the result of one that was not.\n"
        "Exit status: 0 done, 1 the model, the data or the fit failed or it was interrupted, 2 "
        "wrong\n"
        "options, 3 a bug in rxn.",
    .options = options,
    .option_count = COUNT_OF(options),
    .operand = "MODEL",
    .shared = rxn__ensemble_options,
    .shared_count = ENSEMBLE_OPTION_COUNT,
    .shared_offset = offsetof(FitOptions, ensemble),
};

/* ---- what is to be written --------------------------------------------------------------------- */

static bool
can_plot(FitRun *fit)
{
    const char *path = fit->options.plot;
    if (!path)
        return true;
    if (rxn__is_a_source(fit->driver, path))
        return false;
    const char *slash = strrchr(path, '/');
    Text folder;
    rxn__text_init(&folder, &fit->driver->session.arena);
    rxn__text_append(&folder, slash ? path : ".", slash ? (size_t)(slash - path) + 1 : 1);
    if (access(folder.data, W_OK) == 0)
        return true;
    rxn__driver_error(fit->driver, "the plot '%s' cannot be written: %s", path, strerror(errno));
    return false;
}

/* Before hours are spent: everything that is to be written can be. */
static bool
open_outputs(FitRun *fit)
{
    const FitOptions *o = &fit->options;
    if (o->ensemble.json && !rxn__output_open(fit->driver, &fit->json, o->ensemble.json))
        return false;
    if (o->ensemble.csv && !rxn__output_open(fit->driver, &fit->history, o->ensemble.csv))
        return false;
    return can_plot(fit);
}

static bool
checkpoint_error(FitRun *fit, const char *path, const char *why)
{
    rxn__driver_error(fit->driver, "the checkpoint '%s' cannot be used: %s", path, why);
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
    rxn__driver_error(fit->driver, "'%s' holds this fit, which was not at its end", path);
    rxn__driver_note(fit->driver, "--resume %s goes on with it; or remove it", path);
    return true;
}

static bool
open_checkpoint(FitRun *fit)
{
    const char *path = fit->loop_options.checkpoint, *key = fit->loop_options.key;
    char error[512];
    if (!path)
        return true;
    if (rxn__is_a_source(fit->driver, path))
        return false;
    if (rxn__checkpoint_may_write(path, key, error, sizeof error))
        return fit->options.resume || !would_lose(fit, path);
    char ignored[512];
    RxnCheckpoint *other = rxn__checkpoint_read(path, ignored, sizeof ignored);
    if (other)
        snprintf(
            error, sizeof error, "it is of another fit: %.400s",
            rxn__fit_key_difference(&fit->driver->session.arena, rxn__checkpoint_key(other), key));
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
    const char *key = rxn__checkpoint_key(checkpoint);
    bool same = strcmp(key, fit->loop_options.key) == 0;
    if (!same)
        snprintf(error, sizeof error, "it is of another fit: %.400s",
                 rxn__fit_key_difference(&fit->driver->session.arena, key, fit->loop_options.key));
    bool good = same && rxn__fit_restore(fit->loop, checkpoint, error, sizeof error);
    rxn__checkpoint_free(checkpoint);
    if (!good)
        return checkpoint_error(fit, path, error);
    rxn__fit_state(fit->loop, &fit->state);
    fit->resumed_at = fit->state.record_count;
    return true;
}

/* ---- the way of a fit -------------------------------------------------------------------------- */

static const char *
point_text(FitRun *fit, const double *parameters)
{
    Text text;
    rxn__text_init(&text, &fit->driver->session.arena);
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
    Driver *driver = fit->driver;
    const RxnFitState *state = &fit->state;
    const char *kept = fit->loop_options.checkpoint;
    switch (state->ending) {
    case RXN_FIT_INTERRUPTED:
        rxn__driver_error(driver, "interrupted after %" PRIu64 " of %" PRIu64 " steps", state->step,
                          state->steps);
        break;
    case RXN_FIT_NOT_FINITE:
        rxn__driver_error(driver, "%s at step %" PRIu64, state->why, state->step + 1);
        for (u32 k = 0; k < fit->trained_count; k++)
            if (fit->parts[k]->not_finite != UINT64_MAX)
                rxn__driver_note(driver,
                                 "%s%strajectory %" PRIu64 " is the first with such a number",
                                 fit->parts[k]->name, fit->parts[k]->name[0] ? ": " : "",
                                 fit->parts[k]->not_finite);
        break;
    case RXN_FIT_FAULT:
        rxn__driver_note(driver, "that was at step %" PRIu64 " of the fit", state->step + 1);
        break;
    case RXN_FIT_NOT_SAVED: rxn__driver_error(driver, "%s", state->why); return;
    default: return;
    }
    if (state->failed_at && fit->count)
        rxn__driver_note(driver, "there %s", point_text(fit, state->failed_at));
    if (kept)
        rxn__driver_note(driver, "'%s' holds the state before; --resume %s goes on with it", kept,
                         kept);
    if (fit->options.ensemble.json)
        rxn__driver_note(driver, "the result is that of the last good step, and says so");
}

static RxnStatus
show(FitRun *fit)
{
    const FitOptions *o = &fit->options;
    if (fit->history.file) {
        rxn__fit_history(fit->history.file, fit);
        if (!rxn__output_commit(fit->driver, &fit->history))
            return RXN_ERROR_INPUT;
    }
    if (fit->json.file) {
        rxn__fit_json(fit->json.file, fit);
        if (!rxn__output_commit(fit->driver, &fit->json))
            return RXN_ERROR_INPUT;
    }
    if (!o->ensemble.quiet && !rxn__takes_stdout(&o->ensemble))
        rxn__fit_table(stdout, fit);
    return o->plot ? rxn__fit_draw(fit) : RXN_OK;
}

static RxnStatus
train(FitRun *fit)
{
    RxnFitOptions *loop = &fit->loop_options;
    loop->cancel = rxn__interrupt_begin();
    fit->interruptible = true;
    loop->report = rxn__fit_show_step;
    loop->report_context = fit;
    fit->loop = rxn__fit_new(&fit->problem, loop);
    if (!fit->loop)
        return RXN_ERROR_MEMORY;
    if (!resume(fit))
        return RXN_ERROR_INPUT;
    fit->begun = rxn__seconds();
    RxnFitEnding ending = rxn__fit_run(fit->loop);
    if (fit->progress.shown)
        fputc('\n', stderr);
    rxn__fit_state(fit->loop, &fit->state);
    bool bad = ending == RXN_FIT_FAULT && fit->status != RXN_ERROR_INPUT;
    if (bad) /* out of memory, or a bug of ours: nothing is a result */
        return fit->status;
    RxnStatus status = rxn__fit_examine(fit);
    if (status == RXN_CANCELLED)
        rxn__warning(&fit->driver->session.diagnostics, (Span){0, 0},
                     "interrupted while the result was looked at: standard errors are missing");
    else if (status != RXN_OK)
        return status;
    tell_of_ending(fit);
    status = show(fit);
    bool failed = ending == RXN_FIT_INTERRUPTED || ending == RXN_FIT_NOT_FINITE ||
                  ending == RXN_FIT_FAULT || ending == RXN_FIT_NOT_SAVED;
    if (status == RXN_OK && failed)
        status = ending == RXN_FIT_INTERRUPTED ? RXN_CANCELLED : RXN_ERROR_INPUT;
    return status;
}

static RxnStatus
fit_model(void *context)
{
    FitRun *fit = context;
    RxnStatus status = rxn__fit_setup(fit);
    if (status == RXN_OK)
        status = rxn__fit_choose(fit);
    if (status != RXN_OK)
        return status;
    if (!rxn__fit_settings(fit))
        return RXN_ERROR_INPUT;
    fit->loop_options.key = rxn__fit_key(fit);
    if (!open_outputs(fit) || !open_checkpoint(fit))
        return RXN_ERROR_INPUT;
    rxn__driver_flush(fit->driver);
    status = rxn__fit_compile(fit);
    rxn__driver_flush(fit->driver);
    return status == RXN_OK ? train(fit) : status;
}

RxnStatus
rxn__cmd_fit(Driver *driver, int argc, char **argv)
{
    FitRun fit = {
        .driver = driver,
        .options = rxn__fit_defaults(),
    };
    const char *model;
    bool help;
    if (!rxn__options_parse(driver, &table, argc, argv, &fit.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &table, stdout);
        return RXN_OK;
    }
    bool good = rxn__check_ensemble(driver, &fit.options.ensemble);
    if (!rxn__fit_check_options(driver, &fit.options) || !good)
        return RXN_ERROR_USAGE;
    RxnStatus status = rxn__device_open(driver, &fit.options.ensemble);
    if (status != RXN_OK)
        return status;
    if (!rxn__load_model(driver, model, &fit.file))
        return RXN_ERROR_INPUT;
    /* Inside, memory may run out; what was begun is put away here in any case. */
    status = rxn__session_guard(&driver->session, fit_model, &fit);
    if (fit.interruptible)
        rxn__interrupt_end();
    rxn__output_drop(&fit.json);
    rxn__output_drop(&fit.history);
    rxn__fit_put_away(&fit);
    return status;
}
