/* cmd_grad.c: `rxn grad`: derivatives of expectations by parameters, from one estimator or several.
 */
#include "compiler/driver/driver.h"
#include "compiler/driver/grad_report.h"

#define AT(field) offsetof(GradOptions, field)
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
    for (const Estimator *const *e = rxn__estimators; *e; e++)
        fprintf(file, "  %-22s %s\n", (*e)->name, (*e)->summary);
    fprintf(file, "  %-22s %s\n", "exact", "the master equation: no noise, for small models");
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
    .option_count = COUNT_OF(options),
    .operand = "MODEL",
    .shared = rxn__ensemble_options,
    .shared_count = ENSEMBLE_OPTION_COUNT,
    .shared_offset = offsetof(GradOptions, ensemble),
};

typedef struct GradCommand {
    Driver *driver;
    Grad grad;
    OutputFile csv, json;
} GradCommand;

static RxnStatus
show(GradCommand *command)
{
    Grad *grad = &command->grad;
    const GradOptions *o = &grad->options;
    if (command->csv.file) {
        rxn__grad_csv(command->csv.file, grad);
        if (!rxn__output_commit(command->driver, &command->csv))
            return RXN_ERROR_INPUT;
    }
    if (command->json.file) {
        rxn__grad_json(command->json.file, grad);
        if (!rxn__output_commit(command->driver, &command->json))
            return RXN_ERROR_INPUT;
    }
    if (!o->ensemble.quiet && !rxn__takes_stdout(&o->ensemble))
        rxn__grad_table(stdout, grad);
    rxn__grad_warnings(grad);
    return grad->failures.count ? RXN_ERROR_INPUT : RXN_OK;
}

static RxnStatus
differentiate(void *context)
{
    GradCommand *command = context;
    Driver *driver = command->driver;
    const GradOptions *o = &command->grad.options;
    RxnStatus status = rxn__grad_prepare(&command->grad);
    if (status != RXN_OK)
        return status;
    if (o->ensemble.csv && !rxn__output_open(driver, &command->csv, o->ensemble.csv))
        return RXN_ERROR_INPUT;
    if (o->ensemble.json && !rxn__output_open(driver, &command->json, o->ensemble.json))
        return RXN_ERROR_INPUT;
    status = rxn__grad_estimate(&command->grad);
    return status == RXN_OK ? show(command) : status;
}

RxnStatus
rxn__cmd_grad(Driver *driver, int argc, char **argv)
{
    Engine *engine = &driver->engine;
    GradCommand command = {.driver = driver, .grad = {.engine = engine}};
    Grad *grad = &command.grad;
    const char *model;
    bool help;
    rxn__grad_defaults(&grad->options);
    if (!rxn__options_parse(driver, &rxn__usage_grad, argc, argv, &grad->options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_grad, stdout);
        return RXN_OK;
    }
    if (!rxn__grad_check_options(grad))
        return RXN_ERROR_USAGE;
    RxnStatus status = rxn__device_open(engine, &grad->options.ensemble);
    if (status != RXN_OK)
        return status;
    if (!rxn__load_model(engine, model, &grad->file))
        return RXN_ERROR_INPUT;
    /* Inside, memory may run out; what was begun is put away here in any case. */
    status = rxn__session_guard(&engine->session, differentiate, &command);
    rxn__output_drop(&command.csv);
    rxn__output_drop(&command.json);
    rxn__grad_runner_close(grad->runner);
    rxn__driver_close(driver, &grad->pipeline);
    return status;
}
