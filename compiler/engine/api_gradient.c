/* api_gradient.c: differentiators: the kernels of one estimator or several, compiled once, and evaluated at any values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/api.h"
#include "compiler/engine/code.h"
#include "compiler/engine/grad.h"
#include "compiler/method/grad_score.h"
#include "runtime/report.h"

struct RxnDifferentiator {
    ApiPart part;
    Grad grad;
    CodeShelf code;
    const char **outputs, **expressions; /* [outputs] */
    double *times;                       /* [outputs] */
    size_t *members;                     /* [parameters] */
    Pipeline scratch; /* that of the differentiator, with an arena of one evaluation's own */
};

bool
rxn_estimator(size_t k, const char **ret_name, const char **ret_summary)
{
    size_t count = 0;
    while (rxn__estimators[count])
        count++;
    if (k > count)
        return false;
    *ret_name = k < count ? rxn__estimators[k]->name : "exact";
    *ret_summary =
        k < count ? rxn__estimators[k]->summary : "the master equation: no noise, for small models";
    return true;
}

RxnDifferentiatorOptions
rxn_differentiator_options(void)
{
    GradOptions usual;
    rxn__grad_defaults(&usual);
    return (RxnDifferentiatorOptions){.estimator = usual.estimators,
                                      .draws = usual.draws,
                                      .tau = usual.tau,
                                      .difference = usual.difference,
                                      .kernel = rxn_simulator_options()};
}

/* ---- making ------------------------------------------------------------------------------------ */

typedef struct Making {
    RxnDifferentiator *differentiator;
    const RxnDifferentiatorOptions *options;
    const RxnValues *values;
} Making;

static const char *
copy(Arena *arena, const char *text)
{
    return text ? rxn__arena_copy_text(arena, text, strlen(text)) : NULL;
}

static void
take_texts(Arena *arena, const char *const *texts, size_t count, TextList *list)
{
    for (size_t k = 0; k < count; k++)
        vec_push(arena, list, copy(arena, texts[k]));
}

void
rxn__api_grad_options(Arena *arena, const RxnDifferentiatorOptions *from, GradOptions *o)
{
    rxn__grad_defaults(o);
    take_texts(arena, from->of, from->of_count, &o->of);
    take_texts(arena, from->wrt, from->wrt_count, &o->wrt);
    for (size_t k = 0; k < from->at_count; k++)
        vec_push(arena, &o->at, from->at[k]);
    if (from->estimator)
        o->estimators = copy(arena, from->estimator);
    o->form = copy(arena, from->form);
    o->draws = from->draws;
    o->bins = from->bins;
    o->degree = from->degree;
    o->pilot = from->pilot;
    o->tau = from->tau;
    o->difference = from->difference;
    if (from->tape_memory)
        o->tape_memory = rxn__api_bytes(arena, from->tape_memory);
}

static RxnStatus
check_options(Engine *engine, const void *options)
{
    const RxnDifferentiatorOptions usual = rxn_differentiator_options();
    Grad grad = {.engine = engine};
    rxn__api_grad_options(&engine->session.arena, options ? options : &usual, &grad.options);
    return rxn__grad_check_options(&grad) ? RXN_OK : RXN_ERROR_USAGE;
}

RxnStatus
rxn_differentiator_check(const RxnModel *model, const RxnDifferentiatorOptions *options,
                         RxnError **ret_error)
{
    return rxn__api_check(model, check_options, options, ret_error);
}

static RxnStatus
take_options(Making *making)
{
    RxnDifferentiator *d = making->differentiator;
    const RxnDifferentiatorOptions *from = making->options;
    Engine *engine = &d->part.engine;
    GradOptions *o = &d->grad.options;
    EnsembleOptions kernel;
    RxnStatus status = rxn__api_check_values(&d->part, making->values);
    if (status == RXN_OK)
        status = rxn__api_kernel_options(&d->part, &from->kernel, &kernel);
    if (status != RXN_OK)
        return status;
    rxn__api_grad_options(&engine->session.arena, from, o);
    if (!rxn__grad_check_options(&d->grad))
        return RXN_ERROR_USAGE;
    o->ensemble = kernel;
    o->ensemble.seed = making->values->seed;
    o->ensemble.given = &making->values->given;
    return RXN_OK;
}

/* "var(A) at 10"; one that has its times in itself is not at one. */
static const char *
output_label(const Output *output, Arena *arena)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "%s", output->label);
    if (!isnan(output->time))
        rxn__text_printf(&text, " at %.10g", output->time);
    return text.data;
}

static void
label_outputs(RxnDifferentiator *d)
{
    const Grad *grad = &d->grad;
    Arena *arena = &d->part.engine.session.arena;
    size_t count = grad->output_count, parameters = grad->request.wrt_count;
    d->outputs = NEW_ARRAY(arena, const char *, count + 1);
    d->expressions = NEW_ARRAY(arena, const char *, count + 1);
    d->times = NEW_ARRAY(arena, double, count + 1);
    for (size_t k = 0; k < count; k++) {
        const Output *output = &grad->pipeline.network->objective->outputs.items[k];
        d->outputs[k] = output_label(output, arena);
        d->expressions[k] = output->label;
        d->times[k] = output->time;
    }
    d->members = NEW_ARRAY(arena, size_t, parameters + 1);
    for (size_t k = 0; k < parameters; k++)
        d->members[k] = grad->request.wrt[k];
}

static RxnStatus
prepare(void *context)
{
    Making *making = context;
    RxnDifferentiator *d = making->differentiator;
    Grad *grad = &d->grad;
    RxnStatus status = take_options(making);
    if (status == RXN_OK)
        status = rxn__code_shelf_open(&d->code, d->part.model->options.memory_limit,
                                      making->options->like ? &making->options->like->code : NULL);
    if (status != RXN_OK)
        return status;
    grad->file = d->part.file;
    status = rxn__grad_prepare(grad);
    grad->options.ensemble.given = NULL;
    if (status != RXN_OK)
        return status;
    grad->stages.compile = rxn__code_compile;
    grad->stages.compile_context = &d->code;
    grad->found = &d->scratch.arena;
    label_outputs(d);
    return RXN_OK;
}

static RxnStatus
compile(void *context)
{
    Making *making = context;
    Grad *grad = &making->differentiator->grad;
    const Estimator *estimator = rxn__estimator_find(grad->estimators.items[0]);
    if (grad->estimators.count > 1 || !estimator || making->options->later)
        return RXN_OK;
    RxnStatus status =
        rxn__grad_runner_open(grad, estimator, making->values->seed, &grad->runners[0]);
    if (status == RXN_OK)
        rxn__grad_warn_interpreted(grad, estimator);
    return status;
}

/* decided: the same without open numbers; NULL: this one decides. */
static RxnStatus
begin(Making *making, RxnModel *model, const RxnDifferentiator *decided)
{
    RxnDifferentiator *d = making->differentiator = calloc(1, sizeof *d);
    if (!d)
        return RXN_ERROR_MEMORY;
    RxnStatus status = rxn__part_open(&d->part, model);
    rxn__arena_init(&d->scratch.arena, d->part.engine.session.memory);
    d->grad.engine = &d->part.engine;
    d->grad.decided = decided ? &decided->grad : NULL;
    if (decided)
        rxn__part_hush(&d->part, true);
    if (status == RXN_OK)
        status = rxn__api_guard(&d->part.engine, prepare, making);
    if (decided)
        rxn__part_hush(&d->part, false);
    return status;
}

/* In the place of the differentiator, which has decided how it is done, one whose kernels read the text's numbers. It stays where
 * there are none to be read. */
static RxnStatus
leave_numbers_open(Making *making, RxnModel *model)
{
    RxnDifferentiator *decided = making->differentiator;
    if (!making->options->kernel.editable || !rxn__grad_may_open(&decided->grad))
        return RXN_OK;
    RxnStatus status = begin(making, model, decided);
    RxnDifferentiator *open = making->differentiator;
    if (status == RXN_OK && open->grad.pipeline.network->open_count > 0) {
        open->grad.decided = NULL;
        rxn__engine_tell(&decided->part.engine);
        rxn_differentiator_free(decided);
        return RXN_OK;
    }
    rxn_differentiator_free(open);
    making->differentiator = decided;
    return status == RXN_ERROR_MEMORY ? status : RXN_OK;
}

RxnStatus
rxn_differentiator_new(RxnModel *model, const RxnDifferentiatorOptions *options,
                       const RxnValues *values, RxnDifferentiator **ret_differentiator,
                       RxnError **ret_error)
{
    *ret_differentiator = NULL;
    const RxnDifferentiatorOptions usual = rxn_differentiator_options();
    Making making = {NULL, options ? options : &usual, values};
    RxnStatus status = begin(&making, model, NULL);
    if (!making.differentiator)
        return rxn__api_no_memory(ret_error);
    if (status == RXN_OK)
        status = leave_numbers_open(&making, model);
    RxnDifferentiator *d = making.differentiator;
    if (status == RXN_OK)
        status = rxn__api_guard(&d->part.engine, compile, &making);
    status = rxn__part_finish(&d->part, status, ret_error);
    if (status == RXN_OK)
        *ret_differentiator = d;
    else
        rxn_differentiator_free(d);
    return status;
}

void
rxn_differentiator_free(RxnDifferentiator *d)
{
    if (!d)
        return;
    rxn__grad_close(&d->grad);
    rxn__arena_release(&d->scratch.arena);
    if (d->grad.pipeline.arena.memory)
        rxn__pipeline_close(&d->grad.pipeline);
    rxn__code_shelf_close(&d->code);
    rxn__part_close(&d->part);
    free(d);
}

RxnDifferentiatorInfo
rxn_differentiator_info(const RxnDifferentiator *d)
{
    const Grad *grad = &d->grad;
    const GradRunner *runner = &grad->runners[0];
    const GradientKernel *kernel = &runner->kept.gradient;
    const char *name = grad->estimators.items[0];
    const bool exact = !rxn__estimator_find(name);
    return (RxnDifferentiatorInfo){
        .estimator = name,
        .why = grad->choice,
        .remarks = runner->pilot.remark ? runner->pilot.remark : kernel->remarks,
        .unbiased = exact || kernel->unbiased,
        .exact = exact,
        .output_count = grad->output_count,
        .parameter_count = grad->request.wrt_count,
        .outputs = d->outputs,
        .parameters = grad->labels,
        .seconds_compile = runner->seconds_compile,
        .expressions = d->expressions,
        .times = d->times,
        .members = d->members,
        .device = grad->options.ensemble.device,
        .precision = grad->options.ensemble.precision,
        .reused = rxn__code_shelf_reuses(&d->code),
    };
}

/* ---- evaluation -------------------------------------------------------------------------------- */

typedef struct Evaluating {
    RxnDifferentiator *differentiator;
    const RxnValues *values;
    const RxnRunOptions *options;
    RxnDerivatives *derivatives;
} Evaluating;

/* The values' numbers in the place of those of the call before. */
static RxnStatus
take_values(Evaluating *evaluating)
{
    RxnDifferentiator *d = evaluating->differentiator;
    const RxnValues *values = evaluating->values;
    Engine *engine = &d->part.engine;
    const Network *network = d->grad.pipeline.network;
    RxnStatus status = rxn__api_check_values(&d->part, values);
    if (status != RXN_OK)
        return status;
    rxn__arena_release(&d->scratch.arena);
    const Arena arena = d->scratch.arena;
    d->scratch = d->grad.pipeline;
    d->scratch.arena = arena;
    ModelValues numbers;
    BindRequest bind = {.seed = values->seed, .given = &values->given};
    bool good = rxn__bind(engine, &d->scratch, &bind, &numbers);
    if (good) {
        memcpy(d->grad.values.params, numbers.params, network->param_count * sizeof(double));
        memcpy(d->grad.values.inputs, numbers.inputs, network->input_count * sizeof(double));
    }
    return good ? RXN_OK : RXN_ERROR_INPUT;
}

typedef double (*CellFigure)(const Grad *grad, const GradCell *cell);

/* By all cells, where the estimator that they are compared with is among those that ran. */
static const double *
figures_of(const Grad *grad, const GradEstimate *estimate, const char *compared_with,
           CellFigure figure)
{
    size_t parameters = grad->request.wrt_count, cells = grad->output_count * parameters;
    if (estimate->exact || !rxn__grad_found(grad, compared_with))
        return NULL;
    double *figures = NEW_ARRAY(grad->found, double, cells + 1);
    for (size_t c = 0; c < cells; c++) {
        GradCell cell =
            rxn__grad_cell(grad, estimate, (u32)(c / parameters), (u32)(c % parameters));
        figures[c] = figure(grad, &cell);
    }
    return figures;
}

static RxnEstimate
estimate_of(const Grad *grad, const GradEstimate *from)
{
    RxnFigure *figures = NEW_ARRAY(grad->found, RxnFigure, (size_t)from->diagnostic_count + 1);
    for (u32 d = 0; d < from->diagnostic_count; d++)
        figures[d] = (RxnFigure){from->diagnostics[d].name, from->diagnostic_values[d],
                                 strcmp(from->diagnostics[d].name, SCORE_BLIND) == 0};
    return (RxnEstimate){
        .estimator = from->estimator,
        .remarks = from->remarks,
        .unbiased = from->unbiased,
        .exact = from->exact,
        .trajectories = from->trajectories,
        .by_parameter = from->one_leaf,
        .pilot = from->pilot,
        .trajectories_run = from->rows,
        .events = from->events,
        .seconds = from->seconds,
        .seconds_compile = from->seconds_compile,
        .value = from->value,
        .value_se = from->value_se,
        .plain_value = from->plain_value,
        .plain_value_se = from->plain_value_se,
        .gradient = from->gradient,
        .se = from->se,
        .sd = from->sd,
        .value_error = from->value_error,
        .gradient_error = from->gradient_error,
        .bias = figures_of(grad, from, "exact", rxn__grad_bias),
        .work = figures_of(grad, from, "score", rxn__grad_work),
        .figure_count = from->diagnostic_count,
        .figures = figures,
    };
}

/* What the engine found, as the caller sees it. */
static void
hand_over(const Grad *grad, RxnDerivatives *derivatives)
{
    u32 ended = grad->estimates.count, failed = grad->failures.count;
    RxnEstimate *all = NEW_ARRAY(grad->found, RxnEstimate, (size_t)ended + failed + 1);
    for (u32 k = 0; k < ended; k++)
        all[k] = estimate_of(grad, &grad->estimates.items[k]);
    for (u32 k = 0; k < failed; k++)
        all[ended + k] = (RxnEstimate){.estimator = grad->failures.items[k].estimator,
                                       .failure = grad->failures.items[k].error};
    TextList warnings = rxn__grad_warnings(grad, grad->found);
    *derivatives = (RxnDerivatives){
        .output_count = grad->output_count,
        .parameter_count = grad->request.wrt_count,
        .estimate_count = ended,
        .failure_count = failed,
        .estimates = all,
        .warning_count = warnings.count,
        .warnings = warnings.items,
    };
    if (ended == 0)
        return;
    derivatives->trajectories = all[0].trajectories;
    derivatives->events = all[0].events;
    derivatives->value = all[0].value;
    derivatives->value_se = all[0].value_se;
    derivatives->gradient = all[0].gradient;
    derivatives->se = all[0].se;
}

static RxnStatus
evaluate(void *context)
{
    Evaluating *evaluating = context;
    RxnDifferentiator *d = evaluating->differentiator;
    Grad *grad = &d->grad;
    double start = rxn__seconds();
    EnsembleOptions checked = grad->options.ensemble;
    RxnStatus status = rxn__api_run_options(&d->part, evaluating->options, &checked);
    if (status != RXN_OK)
        return status;
    grad->trajectories = checked.trajectories;
    grad->state_limit = evaluating->options->state_limit;
    grad->work_limit = evaluating->options->work_limit;
    checked.trajectories =
        grad->options.ensemble.trajectories; /* tapes were given their size by them */
    grad->options.ensemble = checked;
    status = take_values(evaluating);
    if (status != RXN_OK)
        return status;
    status = rxn__grad_estimate(grad);
    if (status != RXN_OK && grad->failures.count == 0)
        return status;
    hand_over(grad, evaluating->derivatives);
    evaluating->derivatives->seconds = rxn__seconds() - start;
    if (status == RXN_ERROR_INPUT) {
        rxn__engine_tell(grad->engine); /* what was left out; the failures have been told */
        rxn__engine_error(grad->engine, "no estimator could end; '%s' did not: %s",
                          grad->failures.items[0].estimator, grad->failures.items[0].error);
    }
    return status;
}

RxnStatus
rxn_differentiate(RxnDifferentiator *d, const RxnValues *values, const RxnRunOptions *options,
                  RxnDerivatives *ret_derivatives, RxnError **ret_error)
{
    const RxnRunOptions usual = rxn_run_options();
    Evaluating evaluating = {d, values, options ? options : &usual, ret_derivatives};
    *ret_derivatives = (RxnDerivatives){0};
    rxn__part_watch(&d->part, evaluating.options);
    RxnStatus status = rxn__api_guard(&d->part.engine, evaluate, &evaluating);
    rxn__part_watch(&d->part, NULL);
    status = rxn__part_finish(&d->part, status, ret_error);
    if (status != RXN_OK && status != RXN_ERROR_INPUT)
        *ret_derivatives = (RxnDerivatives){0};
    return status;
}
