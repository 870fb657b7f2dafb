/* cmd_grad.c: `rxn grad`: derivatives of expectations by parameters, from one estimator or several.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/grad.h"
#include "compiler/method/control.h"
#include "compiler/target/program_abi.h"
#include "runtime/control.h"

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

static const OptionTable table = {
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

static void
print_help(const Driver *driver)
{
    rxn__options_help(driver, &table, stdout);
    fputs("\nEstimators\n", stdout);
    for (const Estimator *const *e = rxn__estimators; *e; e++)
        printf("  %-22s %s\n", (*e)->name, (*e)->summary);
    printf("  %-22s %s\n", "exact", "the master equation: no noise, for small models");
}

/* ---- options ----------------------------------------------------------------------------------- */

bool
rxn__grad_parse_bytes(const char *text, u64 *ret_bytes)
{
    static const char suffixes[] = "KMGT";
    char number[40];
    size_t length = strlen(text);
    double scale = 1, value;
    const char *suffix = length ? strchr(suffixes, toupper((unsigned char)text[length - 1])) : NULL;
    if (suffix && *suffix) {
        scale = ldexp(1, 10 * (int)(suffix - suffixes + 1));
        length--;
    }
    if (length == 0 || length >= sizeof number)
        return false;
    memcpy(number, text, length);
    number[length] = '\0';
    if (!rxn__parse_number(number, &value) || !(value * scale >= 1 && value * scale < 0x1p63))
        return false;
    *ret_bytes = (u64)(value * scale);
    return true;
}

static u64
memory_of_machine(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (u64)pages * (u64)size : UINT64_C(1) << 30;
}

bool
rxn__grad_tape_memory(Grad *grad)
{
    const GradOptions *o = &grad->options;
    if (o->tape_memory && grad->driver->program->built) {
        rxn__driver_error(grad->driver,
                          "the tapes of this program were given their size when it was "
                          "built: 'rxn build --tape BYTES'%s",
                          grad->driver->cuda_tape_bytes ? ", on GPUs '--cuda-tape BYTES'" : "");
        return false;
    }
    grad->tape_memory = memory_of_machine() / 4;
    if (o->tape_memory && !rxn__grad_parse_bytes(o->tape_memory, &grad->tape_memory)) {
        rxn__driver_error(
            grad->driver, "--tape-memory takes a number of bytes as 500M or 2G, not '%s'",
            rxn__shown(&grad->driver->session.arena, o->tape_memory, strlen(o->tape_memory)));
        return false;
    }
    return true;
}

void
rxn__grad_defaults(GradOptions *options)
{
    *options = (GradOptions){.ensemble = rxn__ensemble_defaults(),
                             .draws = 1,
                             .tau = 1,
                             .difference = 0.01,
                             .estimators = "auto"};
}

bool
rxn__grad_check_objective(Driver *driver, const GradOptions *options)
{
    u32 errors = driver->session.diagnostics.error_count;
    if (options->of.count == 0) {
        rxn__driver_error(driver, "nothing says what to differentiate");
        rxn__driver_note(driver, "give --of EXPR, an expression of what the model has, and --at T");
    }
    for (u32 k = 0; k < options->at.count; k++)
        if (!(options->at.items[k] >= 0))
            rxn__driver_error(driver, "--at %g is before the start, which is 0",
                              options->at.items[k]);
    rxn__grad_check_estimators(driver, options->estimators);
    return driver->session.diagnostics.error_count == errors;
}

/* A program that was built for an objective differentiates that if nothing else is said. */
static void
take_objective_of_program(Grad *grad)
{
    const RxnProgram *built = grad->driver->program->built;
    GradOptions *o = &grad->options, usual;
    Arena *arena = &grad->driver->session.arena;
    if (!built || built->of_count == 0 || o->of.count > 0)
        return;
    rxn__grad_defaults(&usual);
    for (u32 k = 0; k < built->of_count; k++)
        vec_push(arena, &o->of, built->of[k]);
    bool own_times = o->at.count > 0, own_params = o->wrt.count > 0;
    for (u32 k = 0; !own_times && k < built->at_count; k++)
        vec_push(arena, &o->at, built->at[k]);
    for (u32 k = 0; !own_params && k < built->wrt_count; k++)
        vec_push(arena, &o->wrt, built->wrt[k]);
    if (strcmp(o->estimators, usual.estimators) == 0)
        o->estimators = built->estimators;
    if (!o->form)
        o->form = built->form;
    o->draws = o->draws == usual.draws ? built->draws : o->draws;
    o->bins = o->bins == usual.bins ? built->bins : o->bins;
    o->degree = o->degree == usual.degree ? built->degree : o->degree;
    o->tau = o->tau == usual.tau ? built->tau : o->tau;
    o->difference = o->difference == usual.difference ? built->difference : o->difference;
}

bool
rxn__grad_check_options(Grad *grad)
{
    Driver *driver = grad->driver;
    GradOptions *o = &grad->options;
    u32 errors = driver->session.diagnostics.error_count;
    take_objective_of_program(grad);
    rxn__check_ensemble(driver, &o->ensemble);
    rxn__grad_check_objective(driver, o);
    if (!(o->tau > 0))
        rxn__driver_error(driver, "--tau is %g; it has to be positive", o->tau);
    if (o->draws == 0 || o->draws > 1000)
        rxn__driver_error(driver, "--draws takes 1 .. 1000");
    if (!(o->difference > 0 && o->difference < 1))
        rxn__driver_error(driver, "--difference is %g; it has to be between 0 and 1",
                          o->difference);
    if (o->bins > 10000)
        rxn__driver_error(driver, "--bins takes 1 .. 10000");
    if (o->degree > RXN_MAX_GRADES)
        rxn__driver_error(driver, "--degree takes 1 .. %d", (int)RXN_MAX_GRADES);
    if (o->pilot == 1 || o->pilot > 1000000)
        rxn__driver_error(driver, "--pilot takes 2 .. 1000000");
    if (o->form && strcmp(o->form, "unrolled") != 0 && strcmp(o->form, "table") != 0 &&
        strcmp(o->form, "dense") != 0)
        rxn__driver_error(driver, "--form takes unrolled, table and dense");
    rxn__grad_tape_memory(grad);
    return driver->session.diagnostics.error_count == errors;
}

/* ---- the way of a request ---------------------------------------------------------------------- */

void
rxn__grad_times(Grad *grad)
{
    const Objective *objective = grad->pipeline.network->objective;
    u32 count = objective->times.count;
    double *times = NEW_ARRAY(&grad->pipeline.arena, double, (size_t)count + 1);
    for (u32 k = 0; k < count; k++)
        times[k] = objective->times.items[k];
    times[count] = INFINITY;
    grad->times = (SampleTimes){times, count, objective->end, 0};
}

RxnStatus
rxn__grad_network(Grad *grad)
{
    const GradOptions *o = &grad->options;
    grad->objective = (ObjectiveRequest){o->of.items, o->of.count, o->at.items, o->at.count};
    grad->stages.objective = grad->stages.fit ? NULL : &grad->objective;
    grad->stages.goal = PIPELINE_NETWORK;
    RxnStatus status = rxn__pipeline_run(&grad->driver->session, &grad->stages, &grad->pipeline);
    grad->driver->internal_error = grad->pipeline.internal_error;
    grad->request = (GradientRequest){
        .network = grad->pipeline.network,
        .precision = grad->stages.precision,
        .form = !o->form                        ? GRADIENT_FORM_AUTO
                : strcmp(o->form, "table") == 0 ? GRADIENT_FORM_TABLE
                : strcmp(o->form, "dense") == 0 ? GRADIENT_FORM_DENSE
                                                : GRADIENT_FORM_UNROLLED,
        .tape_bytes =
            rxn__grad_tape_bytes(grad, o->ensemble.lanes ? (u32)o->ensemble.lanes : MOST_LANES),
        .tau = o->tau,
        .draws = (u32)o->draws,
        .difference = o->difference,
        .bins = (u32)o->bins,
        .degree = (u32)o->degree,
    };
    return status;
}

/* With `all`, an estimator that cannot do it is passed over. One that was named has been asked before (but for what
 * shows only while the master equation is solved). */
static RxnStatus
refuse(Grad *grad, const char *name, const char *reason)
{
    if (grad->all) {
        rxn__driver_note(grad->driver, "%s is left out: %s", name, reason);
        return RXN_OK;
    }
    rxn__driver_error(grad->driver, "the estimator '%s' cannot differentiate this: %s", name,
                      reason);
    return RXN_ERROR_INPUT;
}

static RxnStatus
estimate(Grad *grad, const char *name)
{
    const Estimator *estimator = rxn__estimator_find(name);
    if (!estimator)
        return rxn__grad_exact(grad, refuse);
    Text reason;
    rxn__text_init(&reason, &grad->pipeline.arena);
    if (grad->all && !estimator->applies(&grad->request, &reason))
        return refuse(grad, name, reason.data);
    return rxn__grad_run(grad, estimator);
}

/* An estimator of several that could not end is kept with what was reported, at once, for the others may take long.
 * Trajectories are the same for many of them: the same fault is told once. */
static void
keep_failure(Grad *grad, const char *name)
{
    Driver *driver = grad->driver;
    Diagnostics *diagnostics = &driver->session.diagnostics;
    GradFailure failure = {.estimator = name, .error = "too many errors before"};
    const char *same = NULL;
    for (u32 k = diagnostics->list.count; k-- > 0;)
        if (diagnostics->list.items[k].kind == DIAGNOSTIC_ERROR)
            failure.error = diagnostics->list.items[k].message;
    for (u32 k = 0; k < grad->failures.count && !same; k++)
        if (strcmp(grad->failures.items[k].error, failure.error) == 0)
            same = grad->failures.items[k].estimator;
    if (same) {
        diagnostics->list.count = 0;
        rxn__driver_error(driver, "the estimator '%s' failed as '%s' did", name, same);
    } else {
        rxn__driver_note(driver, "that was the estimator '%s', number %u of %u", name,
                         grad->running + 1, grad->estimators.count);
    }
    vec_push(&grad->pipeline.arena, &grad->failures, failure);
    rxn__driver_flush(driver);
}

static RxnStatus
estimate_all(Grad *grad)
{
    u32 count = grad->estimators.count;
    for (grad->running = 0; grad->running < count; grad->running++) {
        const char *name = grad->estimators.items[grad->running];
        RxnStatus status = estimate(grad, name);
        if (status == RXN_ERROR_INPUT && count > 1)
            keep_failure(grad, name);
        else if (status != RXN_OK)
            return status;
    }
    if (grad->estimates.count > 0)
        return RXN_OK;
    if (grad->failures.count == 0)
        rxn__driver_error(grad->driver, "no estimator can differentiate this");
    return RXN_ERROR_INPUT;
}

static RxnStatus
show(Grad *grad)
{
    const GradOptions *o = &grad->options;
    if (grad->csv.file) {
        rxn__grad_csv(grad->csv.file, grad);
        if (!rxn__output_commit(grad->driver, &grad->csv))
            return RXN_ERROR_INPUT;
    }
    if (grad->json.file) {
        rxn__grad_json(grad->json.file, grad);
        if (!rxn__output_commit(grad->driver, &grad->json))
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
    Grad *grad = context;
    Driver *driver = grad->driver;
    const GradOptions *o = &grad->options;
    grad->stages = (PipelineRequest){
        .file = grad->file,
        .loader = &driver->loader,
        .device = o->ensemble.device,
        .precision = strcmp(o->ensemble.precision, "f32") == 0 ? KIR_F32 : KIR_F64,
        .target = {.lanes = (u32)o->ensemble.lanes, .cache = o->ensemble.cache},
        .trajectories = o->ensemble.trajectories,
    };
    RxnStatus status = rxn__grad_network(grad);
    if (status != RXN_OK)
        return status;
    rxn__driver_flush(driver);
    grad->stages.goal = PIPELINE_COMPILED;
    BindRequest bind = {.sets = &o->ensemble.sets,
                        .input = o->ensemble.input,
                        .seed = o->ensemble.seed,
                        .params = o->ensemble.params};
    if (!rxn__bind(driver, &grad->pipeline, &bind, &grad->values))
        return RXN_ERROR_INPUT;
    rxn__grad_times(grad);
    if (!rxn__grad_parameters(grad) || !rxn__grad_estimators(grad))
        return RXN_ERROR_INPUT;
    rxn__grad_outputs(grad);
    if (o->ensemble.csv && !rxn__output_open(driver, &grad->csv, o->ensemble.csv))
        return RXN_ERROR_INPUT;
    if (o->ensemble.json && !rxn__output_open(driver, &grad->json, o->ensemble.json))
        return RXN_ERROR_INPUT;
    status = estimate_all(grad);
    return status == RXN_OK ? show(grad) : status;
}

RxnStatus
rxn__cmd_grad(Driver *driver, int argc, char **argv)
{
    Grad grad = {
        .driver = driver,
    };
    const char *model;
    bool help;
    rxn__grad_defaults(&grad.options);
    if (!rxn__options_parse(driver, &table, argc, argv, &grad.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        print_help(driver);
        return RXN_OK;
    }
    if (!rxn__grad_check_options(&grad))
        return RXN_ERROR_USAGE;
    RxnStatus status = rxn__device_open(driver, &grad.options.ensemble);
    if (status != RXN_OK)
        return status;
    if (!rxn__load_model(driver, model, &grad.file))
        return RXN_ERROR_INPUT;
    /* Inside, memory may run out; what was begun is put away here in any case. */
    status = rxn__session_guard(&driver->session, differentiate, &grad);
    rxn__output_drop(&grad.csv);
    rxn__output_drop(&grad.json);
    rxn__grad_runner_close(grad.runner);
    rxn__driver_close(driver, &grad.pipeline);
    return status;
}
