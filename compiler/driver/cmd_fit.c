/* cmd_fit.c: `rxn fit`: trains the parameters of a model on data, as its fit block says. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/fit_report.h"

#define AT(field) offsetof(FitFlags, field)
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
    .option_count = sizeof options / sizeof options[0],
    .operand = "MODEL",
    .shared = rxn__ensemble_options,
    .shared_count = ENSEMBLE_OPTION_COUNT,
    .shared_offset = offsetof(FitFlags, ensemble),
};

/* ---- options ----------------------------------------------------------------------------------- */

#define NOT_GIVEN UINT64_MAX

/* What can be said before the model is read. */
static RxnStatus
check_options(void *context)
{
    FitCommand *command = context;
    Driver *driver = command->driver;
    FitFlags *flags = &command->flags;
    RxnFitOptions *wanted = &command->wanted;
    RxnError *error;
    const OutputName outputs[] = {{"-o", flags->ensemble.json},
                                  {"--history", flags->ensemble.csv},
                                  {"--plot", flags->plot},
                                  {"--checkpoint", flags->checkpoint}};
    RxnStatus checked = rxn__driver_check_ensemble(driver, &flags->ensemble);
    bool good = rxn__outputs_are_apart(driver, outputs, sizeof outputs / sizeof outputs[0]);
    if (flags->starts == 0) {
        rxn__driver_error(driver, "--starts takes 1 or more");
        good = false;
    }
    if (flags->plot && !rxn__plot_knows(flags->plot)) {
        rxn__driver_error(driver, "--plot takes a file that ends with .svg or .png, not '%s'",
                          flags->plot);
        good = false;
    }
    *wanted = rxn_fit_options();
    wanted->data = flags->data;
    wanted->estimator = flags->estimator;
    wanted->optimizer = flags->optimizer;
    wanted->schedule = flags->schedule;
    wanted->rate = flags->rate;
    wanted->starts = flags->starts == NOT_GIVEN ? 0 : flags->starts;
    wanted->steps = flags->steps;
    wanted->seed = flags->ensemble.seed;
    wanted->trajectories = flags->ensemble.counted ? flags->ensemble.trajectories : 0;
    wanted->threads = (uint32_t)flags->ensemble.threads;
    wanted->step_limit = flags->ensemble.step_limit;
    wanted->checkpoint = flags->checkpoint;
    wanted->checkpoint_steps = flags->checkpoint_steps;
    wanted->resume = flags->resume;
    wanted->no_advice = flags->ensemble.quiet;
    wanted->later = true; /* so that nothing is lost because a file cannot be written */
    wanted->step = rxn__fit_show_step;
    wanted->step_context = command;
    wanted->cancel = rxn__interrupt_flag();
    wanted->stage = rxn__driver_stage;
    wanted->stage_context = driver;
    good = rxn__driver_bytes(driver, "--tape-memory", flags->tape_memory, &wanted->tape_memory) &&
           good;
    RxnStatus status = rxn_fit_check(command->model, wanted, &error);
    status = rxn__driver_take(driver, status, error);
    wanted->kernel = rxn__driver_kernel(&flags->ensemble, NULL);
    status = checked == RXN_OK ? status : checked;
    return status == RXN_OK && !good ? RXN_ERROR_USAGE : status;
}

/* ---- what is to be written --------------------------------------------------------------------- */

static bool
can_plot(FitCommand *command)
{
    Driver *driver = command->driver;
    const char *path = command->flags.plot;
    if (!path)
        return true;
    if (rxn__driver_overwrites_input(driver, path))
        return false;
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    const bool good = folder && access(folder, W_OK) == 0;
    if (!good)
        rxn__driver_error(driver, "the plot '%s' cannot be written: %s", path, strerror(errno));
    free(folder);
    return good;
}

/* Before hours are spent: everything that is to be written can be. */
static bool
open_outputs(FitCommand *command)
{
    Driver *driver = command->driver;
    const EnsembleFlags *o = &command->flags.ensemble;
    const RxnFitInfo info = rxn_fit_info(command->fit);
    for (size_t k = 0; k < info.file_count; k++)
        rxn__driver_reads(driver, info.files[k]);
    rxn__driver_reads(driver, command->flags.resume);
    if (o->json && !rxn__output_open(driver, &command->json, o->json))
        return false;
    if (o->csv && !rxn__output_open(driver, &command->history, o->csv))
        return false;
    return can_plot(command);
}

static RxnStatus
write_text(FitCommand *command, OutputFile *output,
           RxnStatus (*as_text)(RxnFit *fit, char **ret_text, RxnError **ret_error))
{
    char *text;
    RxnError *error;
    if (!output->file)
        return RXN_OK;
    RxnStatus status = as_text(command->fit, &text, &error);
    if (status != RXN_OK)
        return rxn__driver_take(command->driver, status, error);
    fputs(text, output->file);
    rxn_text_free(text);
    return rxn__output_commit(command->driver, output) ? RXN_OK : RXN_ERROR_INPUT;
}

static RxnStatus
show(FitCommand *command)
{
    const EnsembleFlags *o = &command->flags.ensemble;
    RxnStatus status = write_text(command, &command->history, rxn_fit_history);
    if (status == RXN_OK)
        status = write_text(command, &command->json, rxn_fit_json);
    if (status != RXN_OK)
        return status;
    if (!o->quiet && !rxn__takes_stdout(o))
        rxn__fit_table(stdout, command);
    return command->flags.plot ? rxn__fit_draw(command) : RXN_OK;
}

/* ---- the way of a fit -------------------------------------------------------------------------- */

/* With what the library cannot know of the files. */
static RxnStatus
take_training(FitCommand *command, RxnStatus status, RxnError *error)
{
    const RxnFitted *fitted = &command->fitted;
    status = rxn__driver_take(command->driver, status, error);
    if (!fitted->complete && fitted->ended != RXN_FIT_NOT_SAVED && command->flags.ensemble.json &&
        fitted->labels)
        rxn__driver_note(command->driver, "the result is that of the last good step, and says so");
    return status;
}

static RxnStatus
prepare(FitCommand *command)
{
    Driver *driver = command->driver;
    RxnError *error;
    RxnStatus status =
        rxn__driver_model_for(driver, command->path, check_options, command, &command->model);
    if (status != RXN_OK)
        return status;
    EnsembleFlags given = command->flags.ensemble;
    given.seed = given.seed == NOT_GIVEN ? 1 : given.seed; /* the block's, which draws again */
    status = rxn__driver_values(driver, command->model, &given, &command->values);
    if (status != RXN_OK)
        return status;
    status = rxn_fit_new(command->model, &command->wanted, command->values, &command->fit, &error);
    return rxn__driver_take(driver, status, error);
}

static RxnStatus
fit_model(void *context)
{
    FitCommand *command = context;
    Driver *driver = command->driver;
    RxnError *error;
    RxnStatus status = prepare(command);
    if (status != RXN_OK)
        return status;
    if (!open_outputs(command))
        return RXN_ERROR_INPUT;
    status = rxn_fit_compile(command->fit, &error);
    status = rxn__driver_take(driver, status, error);
    if (status != RXN_OK)
        return status;
    command->begun = rxn__seconds();
    status = rxn_fit_train(command->fit, &command->fitted, &error);
    if (command->has_line)
        fputc('\n', stderr);
    status = take_training(command, status, error);
    RxnStatus shown = command->fitted.labels ? show(command) : RXN_OK;
    return shown == RXN_OK ? status : shown;
}

RxnStatus
rxn__cmd_fit(Driver *driver, int argc, char **argv)
{
    FitCommand command = {.driver = driver,
                          .flags = {.ensemble = rxn__ensemble_flags(),
                                    .steps = NOT_GIVEN,
                                    .starts = NOT_GIVEN,
                                    .rate = NAN}};
    bool help;
    command.flags.ensemble.seed = NOT_GIVEN;
    if (!rxn__options_parse(driver, &rxn__usage_fit, argc, argv, &command.flags, &command.path,
                            &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_fit, stdout);
        return RXN_OK;
    }
    /* Inside, memory may run out; what was begun is put away here in any case. */
    RxnStatus status = rxn__driver_guard(driver, fit_model, &command);
    rxn__output_drop(&command.json);
    rxn__output_drop(&command.history);
    rxn_fit_free(command.fit);
    rxn_values_free(command.values);
    rxn__driver_end(driver);
    return status;
}
