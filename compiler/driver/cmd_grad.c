/* cmd_grad.c: `rxn grad`: derivatives of expectations by parameters, from one estimator or several.
 */
#include "compiler/driver/grad_report.h"

typedef struct GradFlags {
    EnsembleFlags ensemble;
    uint64_t draws, bins, degree, pilot;
    double tau, difference;
    NumberList at;
    TextList of, wrt;
    const char *estimators, *tape_memory, *form;
} GradFlags;

#define AT(field) offsetof(GradFlags, field)
static const Option options[] = {
    {"--of", "EXPR", OPTION_TEXTS, AT(of), "what to differentiate; may be given again"},
    {"--at", "T1,T2,...", OPTION_NUMBERS, AT(at), "when"},
    {"--estimator", "NAMES", OPTION_TEXT, AT(estimators),
     "with commas between; auto (default), all, or the names below"},
    {"--wrt", "NAMES", OPTION_TEXTS, AT(wrt),
     "by which params (default: those marked 'fit', else all)"},
    {"--tau", "X", OPTION_NUMBER, AT(tau), "gumbel: temperature of the softmax (default 1)"},
    {"--draws", "K", OPTION_COUNT, AT(draws),
     "gumbel: draws of the noise to average over (default 1)"},
    {"--difference", "H", OPTION_NUMBER, AT(difference),
     "coupled: relative step of the difference (default 0.01)"},
    {"--bins", "B", OPTION_COUNT, AT(bins), "martingale: time bins (default: chosen)"},
    {"--degree", "D", OPTION_COUNT, AT(degree),
     "martingale: highest degree of the features, 1 to 5 (default: chosen)"},
    {"--pilot", "N", OPTION_COUNT, AT(pilot),
     "martingale: trajectories of the pilot (default: -n / 10, but 250 .. 1000)"},
    {"--tape-memory", "BYTES", OPTION_TEXT, AT(tape_memory),
     "for all tapes, as 500M or 2G (default: a quarter of what there is)"},
    {"-o", "FILE.csv", OPTION_TEXT, AT(ensemble.csv),
     "write the derivatives ('-': standard output)"},
    {"--json", "FILE", OPTION_TEXT, AT(ensemble.json),
     "write everything that is known ('-': standard output)"},
    {"--form", "NAME", OPTION_TEXT, AT(form), NULL},
};
#undef AT

static void
list_estimators(FILE *file)
{
    fputs("Estimators\n", file);
    const char *name, *summary;
    for (size_t k = 0; rxn_estimator(k, &name, &summary); k++)
        fprintf(file, "  %-22s %s\n", name, summary);
}

const OptionTable rxn__usage_grad = {
    .more = list_estimators,
    .command = "rxn grad",
    .synopsis = "rxn grad MODEL --of EXPR --at T1,T2,... [OPTION…]",
    .summary =
        "Differentiates the expectation of EXPR at each of the times by the model's parameters.\n"
        "The trajectories are exact; what differs between estimators is the derivative's "
        "variance,\n"
        "bias and cost, which are shown.",
    .about_operand = RXN_ABOUT_MODEL,
    .remarks =
        "Derivatives are those by the parameter itself, others held. Parameters that act through\n"
        "initial counts or the times of events alone have none that can be sampled. A number does\n"
        "not depend on threads and vector width.\n"
        "Exit status: 0 done, 1 the model or the run failed or was interrupted, 2 wrong options,\n"
        "3 a bug in rxn.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .operand = "MODEL",
    .shared = rxn__ensemble_options,
    .shared_count = ENSEMBLE_OPTION_COUNT,
    .shared_offset = offsetof(GradFlags, ensemble),
};

typedef struct GradCommand {
    Driver *driver;
    const char *path; /* of the model */
    GradFlags flags;
    RxnDifferentiatorOptions wanted;
    RxnModel *model;
    RxnValues *values;
    RxnDifferentiator *differentiator;
    RxnDerivatives found;
    OutputFile csv, json;
} GradCommand;

/* What can be said before the model is read. */
static RxnStatus
check_options(void *context)
{
    GradCommand *command = context;
    Driver *driver = command->driver;
    GradFlags *flags = &command->flags;
    RxnError *error;
    const OutputName outputs[] = {{"-o", flags->ensemble.csv}, {"--json", flags->ensemble.json}};
    RxnStatus checked = rxn__driver_check_ensemble(driver, &flags->ensemble);
    bool good = rxn__outputs_are_apart(driver, outputs, sizeof outputs / sizeof outputs[0]);
    command->wanted = rxn__driver_gradient(&flags->of, &flags->at, &flags->wrt, flags->estimators);
    RxnDifferentiatorOptions *wanted = &command->wanted;
    wanted->draws = flags->draws;
    wanted->bins = flags->bins;
    wanted->degree = flags->degree;
    wanted->pilot = flags->pilot;
    wanted->tau = flags->tau;
    wanted->difference = flags->difference;
    wanted->form = flags->form;
    wanted->later = true; /* so that hours are not spent before the files can be written */
    good = rxn__driver_bytes(driver, "--tape-memory", flags->tape_memory, &wanted->tape_memory) &&
           good;
    RxnStatus status = rxn_differentiator_check(command->model, wanted, &error);
    status = rxn__driver_take(driver, status, error);
    wanted->kernel = rxn__driver_kernel(&flags->ensemble, NULL);
    status = checked == RXN_OK ? status : checked;
    return status == RXN_OK && !good ? RXN_ERROR_USAGE : status;
}

static RxnStatus
show(GradCommand *command)
{
    const EnsembleFlags *o = &command->flags.ensemble;
    const GradReport report = {
        .model = command->model,
        .info = rxn_differentiator_info(command->differentiator),
        .found = &command->found,
        .seed = o->seed,
    };
    if (command->csv.file) {
        rxn__grad_csv(command->csv.file, &report);
        if (!rxn__output_commit(command->driver, &command->csv))
            return RXN_ERROR_INPUT;
    }
    if (command->json.file) {
        rxn__grad_json(command->json.file, &report);
        if (!rxn__output_commit(command->driver, &command->json))
            return RXN_ERROR_INPUT;
    }
    if (!o->quiet && !rxn__takes_stdout(o) && !rxn__grad_table(stdout, &report))
        return RXN_ERROR_MEMORY;
    for (size_t k = 0; k < command->found.warning_count; k++)
        rxn__driver_warning(command->driver, "%s", command->found.warnings[k]);
    return command->found.failure_count ? RXN_ERROR_INPUT : RXN_OK;
}

static RxnStatus
estimate(GradCommand *command)
{
    const EnsembleFlags *o = &command->flags.ensemble;
    RxnRunOptions run = rxn__driver_run(o);
    RxnError *error;
    run.progress = o->quiet ? NULL : rxn__driver_progress;
    run.progress_context = command->driver;
    run.stage = rxn__driver_stage;
    run.stage_context = command->driver;
    run.cancel = rxn__interrupt_flag();
    RxnStatus status =
        rxn_differentiate(command->differentiator, command->values, &run, &command->found, &error);
    if (status == RXN_ERROR_INPUT && command->found.failure_count > 0) {
        rxn_error_free(error); /* each has been told */
        return status;
    }
    return rxn__driver_take(command->driver, status, error);
}

static RxnStatus
differentiate(void *context)
{
    GradCommand *command = context;
    Driver *driver = command->driver;
    const EnsembleFlags *o = &command->flags.ensemble;
    RxnError *error;
    RxnStatus status =
        rxn__driver_model_for(driver, command->path, check_options, command, &command->model);
    if (status == RXN_OK)
        status = rxn__driver_values(driver, command->model, o, &command->values);
    if (status != RXN_OK)
        return status;
    status = rxn_differentiator_new(command->model, &command->wanted, command->values,
                                    &command->differentiator, &error);
    status = rxn__driver_take(driver, status, error);
    if (status != RXN_OK)
        return status;
    if (o->csv && !rxn__output_open(driver, &command->csv, o->csv))
        return RXN_ERROR_INPUT;
    if (o->json && !rxn__output_open(driver, &command->json, o->json))
        return RXN_ERROR_INPUT;
    status = estimate(command);
    return status == RXN_OK ? show(command) : status;
}

RxnStatus
rxn__cmd_grad(Driver *driver, int argc, char **argv)
{
    const RxnDifferentiatorOptions usual = rxn_differentiator_options();
    GradCommand command = {.driver = driver,
                           .flags = {.ensemble = rxn__ensemble_flags(),
                                     .draws = usual.draws,
                                     .tau = usual.tau,
                                     .difference = usual.difference,
                                     .estimators = usual.estimator}};
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_grad, argc, argv, &command.flags, &command.path,
                            &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_grad, stdout);
        return RXN_OK;
    }
    /* Inside, memory may run out; what was begun is put away here in any case. */
    RxnStatus status = rxn__driver_guard(driver, differentiate, &command);
    rxn__output_drop(&command.csv);
    rxn__output_drop(&command.json);
    rxn_differentiator_free(command.differentiator);
    rxn_values_free(command.values);
    rxn__driver_end(driver);
    return status;
}
