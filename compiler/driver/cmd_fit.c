/* cmd_fit.c: `rxn fit`: trains the parameters of a model on data, as its fit block says. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/fit_report.h"

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

const OptionTable rxn__usage_fit = {
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
can_plot(FitCommand *command)
{
    Driver *driver = command->driver;
    const char *path = command->fit.options.plot;
    if (!path)
        return true;
    if (rxn__is_a_source(&driver->engine, path))
        return false;
    const char *slash = strrchr(path, '/');
    Text folder;
    rxn__text_init(&folder, &driver->engine.session.arena);
    rxn__text_append(&folder, slash ? path : ".", slash ? (size_t)(slash - path) + 1 : 1);
    if (access(folder.data, W_OK) == 0)
        return true;
    rxn__driver_error(driver, "the plot '%s' cannot be written: %s", path, strerror(errno));
    return false;
}

/* Before hours are spent: everything that is to be written can be. */
static bool
open_outputs(FitCommand *command)
{
    Driver *driver = command->driver;
    const FitOptions *o = &command->fit.options;
    if (o->ensemble.json && !rxn__output_open(driver, &command->json, o->ensemble.json))
        return false;
    if (o->ensemble.csv && !rxn__output_open(driver, &command->history, o->ensemble.csv))
        return false;
    return can_plot(command);
}

static RxnStatus
show(FitCommand *command)
{
    FitRun *fit = &command->fit;
    const FitOptions *o = &fit->options;
    if (command->history.file) {
        rxn__fit_history(command->history.file, fit);
        if (!rxn__output_commit(command->driver, &command->history))
            return RXN_ERROR_INPUT;
    }
    if (command->json.file) {
        rxn__fit_json(command->json.file, fit);
        if (!rxn__output_commit(command->driver, &command->json))
            return RXN_ERROR_INPUT;
    }
    if (!o->ensemble.quiet && !rxn__takes_stdout(&o->ensemble))
        rxn__fit_table(stdout, fit);
    return o->plot ? rxn__fit_draw(fit) : RXN_OK;
}

/* ---- the way of a fit -------------------------------------------------------------------------- */

static RxnStatus
fit_model(void *context)
{
    FitCommand *command = context;
    FitRun *fit = &command->fit;
    RxnStatus status = rxn__fit_prepare(fit);
    if (status != RXN_OK)
        return status;
    if (!open_outputs(command))
        return RXN_ERROR_INPUT;
    status = rxn__fit_open(fit);
    if (status != RXN_OK)
        return status;
    fit->loop_options.report = rxn__fit_show_step;
    fit->loop_options.report_context = command;
    status = rxn__fit_train(fit);
    if (command->has_line)
        fputc('\n', stderr);
    RxnStatus shown = fit->has_result ? show(command) : RXN_OK;
    return shown == RXN_OK ? status : shown;
}

RxnStatus
rxn__cmd_fit(Driver *driver, int argc, char **argv)
{
    Engine *engine = &driver->engine;
    FitCommand command = {
        .driver = driver,
        .fit = {.engine = engine, .options = rxn__fit_defaults()},
    };
    FitOptions *o = &command.fit.options;
    const char *model;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_fit, argc, argv, o, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_fit, stdout);
        return RXN_OK;
    }
    bool good = rxn__check_ensemble(engine, &o->ensemble);
    if (!rxn__fit_check_options(engine, o) || !good)
        return RXN_ERROR_USAGE;
    RxnStatus status = rxn__device_open(engine, &o->ensemble);
    if (status != RXN_OK)
        return status;
    if (!rxn__load_model(engine, model, &command.fit.file))
        return RXN_ERROR_INPUT;
    /* Inside, memory may run out; what was begun is put away here in any case. */
    status = rxn__session_guard(&engine->session, fit_model, &command);
    rxn__output_drop(&command.json);
    rxn__output_drop(&command.history);
    rxn__driver_say(driver);
    rxn__fit_put_away(&command.fit);
    return status;
}
