/* samples_run.c: ensembles over rows of data: the two kernels, one behind the other, piece by piece; and what their rows
 * come to.
 *
 * A piece is as many trajectories as suit the memory: their inputs as numbers, what is hoisted for each row, then the
 * trajectories themselves, whose numbers go on from piece to piece. Nothing depends on the threads.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/samples_private.h"
#include "compiler/method/hoisted.h"
#include "runtime/report.h"

enum {
    PIECE_BYTES = 8 << 20, /* of inputs and hoisted values */
    PIECE_LEAST = 64,
    PIECE_MOST = 8192, /* trajectories */
};

struct SampleRun {
    Grad *grad;
    const Samples *samples;
    bool differentiates;
    RxnKernel kernel, hoisted_kernel;
    u32 columns, hoisted; /* of a row of each */
    u32 lanes;
    u32 functionals, outputs; /* that the kernel has */
    GradientKernel gradient;
    Launch launch;
    SampleTimes own_times;
    RxnBinding *bindings;
    u32 binding_count;
    SampleMap map;
    OutputTerms terms; /* of output 0 */
    double *weights;   /* [functionals] */
    bool is_max[RXN_MAX_DIAGNOSTICS];
    RxnSampleGradient *reducer;

    /* Of the piece. */
    u64 piece_most;
    double *inputs;       /* [trajectories][inputs] */
    double *rows_hoisted; /* [rows][hoisted] */
    double *own_hoisted;  /* [trajectories][hoisted], where a row has several */

    double *value, *value_se, *gradient_values, *means;
    RxnOutputValues linear;
    bool *is_read; /* [outputs][functionals] */
};

/* One evaluation. */
typedef struct SampleWork {
    const u64 *rows;
    u64 trajectories, repeats; /* trajectory k has row k / repeats */
    u64 events;
    const volatile int *cancel;
} SampleWork;

/* ---- the kernels ------------------------------------------------------------------------------- */

typedef struct FunctionalSearch {
    const Network *network;
    bool *is_read; /* [functionals] */
} FunctionalSearch;

static void
visit_functional(void *context, Expr expr)
{
    FunctionalSearch *search = context;
    const ExprNode *node = expr_node(search->network, expr);
    if (node->op == EXPR_QUANTITY)
        search->is_read[node->object] = true;
}

static void
find_reads(SampleRun *run)
{
    const Network *network = run->grad->pipeline.network;
    const Objective *objective = network->objective;
    Arena *arena = &run->grad->pipeline.arena;
    u32 functionals = objective->functionals.count;
    run->outputs = objective->outputs.count;
    run->is_read = NEW_ARRAY(arena, bool, (size_t)run->outputs *functionals + 1);
    for (u32 o = 0; o < run->outputs; o++) {
        FunctionalSearch search = {network, run->is_read + (size_t)o * functionals};
        rxn__expr_walk(network, objective->outputs.items[o].value, arena, visit_functional,
                       &search);
    }
}

/* The kernel of the loss alone: measures need not be differentiable, and would cost as much. Output 0 comes first, so its
 * functionals do too. */
static Objective
loss_alone(const SampleRun *run)
{
    Objective loss = *run->grad->pipeline.network->objective;
    u32 count = 0;
    for (u32 i = 0; i < loss.functionals.count; i++)
        if (run->is_read[i])
            count = i + 1;
    loss.functionals.count = count;
    loss.outputs.count = 1;
    return loss;
}

static RxnStatus
broken(Grad *grad, const char *what)
{
    grad->engine->internal_error = what;
    return RXN_ERROR_INTERNAL;
}

static RxnStatus
compile(SampleRun *run, const Estimator *estimator, RxnKernel *ret_kernel)
{
    Grad *grad = run->grad;
    RxnStatus status = rxn__grad_compile(grad, estimator);
    return status == RXN_OK ? rxn__describe_kernel(grad->engine, &grad->pipeline, ret_kernel)
                            : status;
}

static RxnStatus
compile_hoisted(SampleRun *run)
{
    Grad *grad = run->grad;
    SampledHoisted hoisted = rxn__hoisted_sampled(grad->pipeline.network, &grad->pipeline.arena);
    run->hoisted = hoisted.columns;
    return hoisted.columns ? compile(run, &rxn__estimator_hoisted, &run->hoisted_kernel) : RXN_OK;
}

static bool
can_differentiate(SampleRun *run, const Estimator *estimator)
{
    Grad *grad = run->grad;
    Network *network = grad->pipeline.network;
    Text reason;
    rxn__text_init(&reason, &grad->pipeline.arena);
    bool can = estimator->applies(&grad->request, &reason);
    if (can && estimator->pilot) {
        rxn__text_printf(&reason,
                         "what it learns from a pilot holds for one sample's inputs; score "
                         "and path take any");
        can = false;
    }
    if (!can) {
        rxn__engine_error(grad->engine, "the estimator '%s' cannot differentiate this: %s",
                          estimator->name, reason.data);
        return false;
    }
    if (rxn__output_terms(network, 0, &grad->pipeline.arena, &run->terms))
        return true;
    rxn__engine_error(grad->engine, "over samples a loss has to be an expectation of single "
                                    "trajectories' losses, or a sum of such; this one is no sum");
    return false;
}

static RxnStatus
compile_main(SampleRun *run, const Estimator *estimator)
{
    Grad *grad = run->grad;
    Network *network = grad->pipeline.network;
    Objective *whole = network->objective, loss = loss_alone(run);
    if (estimator)
        network->objective = &loss;
    RxnStatus status = RXN_ERROR_INPUT;
    if (!estimator || can_differentiate(run, estimator))
        status = compile(run, estimator ? estimator : &rxn__estimator_value, &run->kernel);
    network->objective = whole;
    if (status != RXN_OK)
        return status;
    run->gradient = grad->pipeline.gradient;
    run->functionals = run->gradient.row.functionals;
    run->columns = rxn__row_columns(&run->gradient.row);
    run->lanes = grad->pipeline.compiled.lanes;
    if (!run->gradient.row.one_leaf && !run->gradient.row.has_control)
        return RXN_OK;
    rxn__engine_error(grad->engine,
                      "the estimator '%s' does not take samples: 'path' and 'score' do",
                      estimator->name);
    return RXN_ERROR_INPUT;
}

/* ---- making one -------------------------------------------------------------------------------- */

static void
make_launch(SampleRun *run)
{
    Grad *grad = run->grad;
    const GradientKernel *wanted = &run->gradient;
    run->own_times = (SampleTimes){wanted->times, wanted->time_count, grad->times.end, 0};
    run->launch = (Launch){
        .pipeline = &grad->pipeline,
        .values = &grad->values,
        .times = wanted->times ? &run->own_times : &grad->times,
        .precision = grad->stages.precision,
        .step_limit = grad->options.ensemble.step_limit,
    };
    run->bindings = rxn__launch_bindings(&run->launch, &run->binding_count);
}

static RxnStatus
make_reducer(SampleRun *run)
{
    Grad *grad = run->grad;
    const Network *network = grad->pipeline.network;
    SampleMap *map = &run->map;
    if (run->differentiates) {
        const char *what = rxn__sample_map_make(map, grad, &run->gradient);
        if (what)
            return broken(grad, what);
    }
    RxnSampleSpec spec = {
        .layout = rxn__grad_layout(&run->gradient.row, run->is_max),
        .weights = run->weights,
        .inputs = network->input_count,
        .parameters = network->param_count,
        .wanted = grad->request.wrt,
        .wanted_count = grad->request.wrt_count,
        .leaf_parameter = map->leaf_parameter,
        .products = map->products.items,
        .product_count = map->products.count,
        .terms = rxn__sample_map_terms,
        .others = map->others.count ? rxn__sample_map_others : NULL,
        .context = map,
    };
    run->reducer = rxn__sample_gradient_new(&spec);
    if (run->reducer)
        return RXN_OK;
    rxn__engine_error(grad->engine, "out of memory for the sums of the gradient");
    return RXN_ERROR_INPUT;
}

static void
make_room(SampleRun *run)
{
    Grad *grad = run->grad;
    Arena *arena = &grad->pipeline.arena;
    u32 first = 0, second = 0, direct = 0, mixed = 0;
    for (u32 o = 0; o < run->outputs; o++) {
        const RxnOutput *output = &grad->outputs[o];
        first = output->first_count > first ? output->first_count : first;
        second = output->second_count > second ? output->second_count : second;
        direct = output->direct_count > direct ? output->direct_count : direct;
        mixed = output->mixed_count > mixed ? output->mixed_count : mixed;
    }
    run->linear = (RxnOutputValues){.first = NEW_ARRAY(arena, double, first + 1),
                                    .second = NEW_ARRAY(arena, double, second + 1),
                                    .direct = NEW_ARRAY(arena, double, direct + 1),
                                    .mixed = NEW_ARRAY(arena, double, mixed + 1)};
    u32 functionals = grad->pipeline.network->objective->functionals.count;
    run->means = NEW_ARRAY(arena, double, functionals + 1);
    run->value = NEW_ARRAY(arena, double, run->outputs + 1);
    run->value_se = NEW_ARRAY(arena, double, run->outputs + 1);
    run->gradient_values = NEW_ARRAY(arena, double, (size_t)grad->request.wrt_count + 1);
}

/* Evaluates everything once here, where memory may run out: the ensemble's threads find the room that it needs. */
static void
rehearse(SampleRun *run)
{
    Grad *grad = run->grad;
    const Network *network = grad->pipeline.network;
    for (u32 o = 0; o < run->outputs; o++)
        rxn__grad_linearize(grad, o, run->means, &run->linear);
    if (!run->differentiates)
        return;
    double *inputs = NEW_ARRAY(&grad->pipeline.arena, double, (size_t)network->input_count + 1);
    double *leaves = NEW_ARRAY(&grad->pipeline.arena, double, (size_t)run->gradient.row.leaves + 1);
    double *gradient = NEW_ARRAY(&grad->pipeline.arena, double, (size_t)network->param_count + 1);
    ExprValues at = {
        .params = grad->values.params, .inputs = inputs, .variables = run->map.variables};
    rxn__sample_map_update(&run->map);
    for (u32 k = 0; k < run->map.products.count; k++)
        for (u32 f = 0; f < run->map.origins.items[k].of_inputs.count; f++)
            rxn__expr_evaluate(network, run->map.origins.items[k].of_inputs.items[f].value, &at);
    for (u32 k = 0; k < run->map.others.count; k++)
        rxn__expr_evaluate(network, run->map.others.items[k].entry.derivative, &at);
    rxn__sample_map_others(&run->map, inputs, leaves, gradient);
}

RxnStatus
rxn__sample_run_new(Grad *grad, const Estimator *estimator, const Samples *samples,
                    SampleRun **ret_run)
{
    Arena *arena = &grad->pipeline.arena;
    SampleRun *run = calloc(1, sizeof *run);
    *ret_run = NULL;
    if (!run)
        return RXN_ERROR_MEMORY;
    *ret_run = run;
    run->grad = grad;
    run->samples = samples;
    run->differentiates = estimator != NULL;
    find_reads(run);
    RxnStatus status = compile_hoisted(run);
    if (status == RXN_OK)
        status = compile_main(run, estimator);
    if (status == RXN_OK) {
        run->weights = NEW_ARRAY(arena, double, run->functionals + 1);
        make_launch(run);
        status = make_reducer(run);
    }
    if (status != RXN_OK) {
        rxn__sample_run_free(run);
        *ret_run = NULL;
        return status;
    }
    make_room(run);
    rehearse(run);
    return RXN_OK;
}

void
rxn__sample_run_free(SampleRun *run)
{
    if (!run)
        return;
    rxn__sample_gradient_free(run->reducer);
    free(run->inputs);
    free(run->rows_hoisted);
    free(run->own_hoisted);
    free(run);
}

/* ---- a piece ----------------------------------------------------------------------------------- */

static bool
on_gpus(const SampleRun *run)
{
    return run->kernel.cuda != NULL;
}

/* Whole vectors of trajectories, and work for all threads until the end. */
static u64
chunk_rows(const SampleRun *run, u64 trajectories)
{
    enum { TURNS = 4, CHUNK_MOST = 256 };
    u64 threads = run->grad->options.ensemble.threads;
    u64 lanes = run->lanes ? run->lanes : 1;
    if (on_gpus(run))
        return 0;
    if (threads == 0)
        threads = rxn_processors();
    u64 rows = trajectories / (threads * TURNS);
    rows = rows > CHUNK_MOST ? CHUNK_MOST : rows;
    return (rows + lanes - 1) / lanes * lanes + (rows == 0 ? lanes : 0);
}

static bool
make_piece(SampleRun *run, const SampleWork *work)
{
    u64 inputs = run->grad->pipeline.network->input_count;
    u64 bytes = (inputs + 2 * (u64)run->hoisted + 1) * sizeof(double);
    u64 most = PIECE_BYTES / bytes;
    most = most < PIECE_LEAST ? PIECE_LEAST : most > PIECE_MOST ? PIECE_MOST : most;
    most = most < work->trajectories ? most : work->trajectories;
    bool repeats = work->repeats > 1 && run->hoisted > 0;
    if (most <= run->piece_most && (run->own_hoisted || !repeats))
        return true;
    free(run->inputs);
    free(run->rows_hoisted);
    free(run->own_hoisted);
    run->piece_most = 0;
    run->inputs = calloc(most * inputs + 1, sizeof(double));
    run->rows_hoisted = calloc(most * run->hoisted + 1, sizeof(double));
    run->own_hoisted = repeats ? calloc(most * run->hoisted + 1, sizeof(double)) : NULL;
    if (!run->inputs || !run->rows_hoisted || (repeats && !run->own_hoisted))
        return false;
    run->piece_most = most;
    return true;
}

/* The inputs of a row of the data. */
static void
fill_inputs(const SampleRun *run, u64 row, double *ret_inputs)
{
    memcpy(ret_inputs, run->grad->values.inputs,
           run->grad->pipeline.network->input_count * sizeof *ret_inputs);
    for (u32 k = 0; k < run->samples->count; k++)
        rxn__array_row(&run->samples->arrays[k].array, row,
                       ret_inputs + run->samples->arrays[k].flat);
}

typedef struct HoistedRows {
    double *rows;
    u32 columns;
} HoistedRows;

static bool
keep_hoisted(void *context, uint64_t first, uint64_t count, const double *rows,
             const uint64_t *events)
{
    HoistedRows *kept = context;
    (void)events;
    memcpy(kept->rows + first * kept->columns, rows, count * kept->columns * sizeof *rows);
    return true;
}

/* The rows first … first + count - 1 of the evaluation. */
static RxnStatus
compute_hoisted(SampleRun *run, const SampleWork *work, u64 count)
{
    Grad *grad = run->grad;
    RxnBinding bindings[] = {{"parameter", grad->values.params, 0}};
    RxnRowBinding rows[] = {{"input", run->inputs, count}};
    HoistedRows kept = {run->rows_hoisted, run->hoisted};
    RxnEnsemble ensemble = {
        .kernel = &run->hoisted_kernel,
        .bindings = bindings,
        .binding_count = COUNT_OF(bindings),
        .row_bindings = rows,
        .row_binding_count = COUNT_OF(rows),
        .trajectories = count,
        .sample_count = 1,
        .columns = run->hoisted,
        .threads = (u32)grad->options.ensemble.threads,
        .chunk_rows = chunk_rows(run, count),
        .rows = keep_hoisted,
        .rows_context = &kept,
        .cancel = work->cancel,
    };
    RxnEnsembleResult result;
    RxnOutcome outcome = rxn__ensemble_run(&ensemble, &result);
    RxnStatus status = outcome == RXN_STOPPED ? RXN_CANCELLED
                                              : rxn__launch_outcome(grad->engine, &run->launch,
                                                                    outcome, &result, count);
    rxn__ensemble_release(&result);
    return status;
}

/* Where it cannot go on, the message is of the inputs that it had. */
static RxnStatus
report(SampleRun *run, const SampleWork *work, RxnOutcome outcome, const RxnEnsembleResult *result)
{
    Grad *grad = run->grad;
    if (outcome == RXN_STOPPED)
        return RXN_CANCELLED;
    u64 trajectory = result->fault.trajectory;
    if (outcome == RXN_FAULTED && trajectory < work->trajectories)
        fill_inputs(run, work->rows[trajectory / work->repeats], grad->values.inputs);
    RxnStatus status =
        rxn__launch_outcome(grad->engine, &run->launch, outcome, result, work->trajectories);
    if (outcome == RXN_FAULTED && trajectory < work->trajectories)
        rxn__engine_note(grad->engine, "its inputs are row %llu of the data",
                         (unsigned long long)work->rows[trajectory / work->repeats] + 1);
    return status;
}

/* Trajectories first … first + count - 1. */
static RxnStatus
run_piece(SampleRun *run, SampleWork *work, u64 first, u64 count)
{
    Grad *grad = run->grad;
    u32 inputs = grad->pipeline.network->input_count;
    u64 first_row = first / work->repeats;
    u64 rows = (first + count - 1) / work->repeats - first_row + 1;
    for (u64 k = 0; k < rows; k++)
        fill_inputs(run, work->rows[first_row + k], run->inputs + k * inputs);
    RxnStatus status = run->hoisted ? compute_hoisted(run, work, rows) : RXN_OK;
    if (status != RXN_OK)
        return status;
    bool spreads = work->repeats > 1;
    double *hoisted = spreads ? run->own_hoisted : run->rows_hoisted;
    for (u64 k = count;
         spreads && k-- > 0;) { /* from the end: a row stands at or before its places */
        u64 row = (first + k) / work->repeats - first_row;
        if (row != k)
            memcpy(run->inputs + k * inputs, run->inputs + row * inputs, inputs * sizeof(double));
        if (run->hoisted)
            memcpy(hoisted + k * run->hoisted, run->rows_hoisted + row * run->hoisted,
                   run->hoisted * sizeof(double));
    }
    rxn__sample_gradient_inputs(run->reducer, first, count, run->inputs);
    RxnRowBinding row_bindings[] = {{"input", run->inputs, count}, {"hoisted", hoisted, count}};
    RxnEnsemble ensemble = {
        .kernel = &run->kernel,
        .bindings = run->bindings,
        .binding_count = run->binding_count,
        .row_bindings = row_bindings,
        .row_binding_count = COUNT_OF(row_bindings),
        .first = first,
        .trajectories = count,
        .sample_count = 1,
        .columns = run->columns,
        .threads = (u32)grad->options.ensemble.threads,
        .chunk_rows = chunk_rows(run, count),
        .rows = rxn__sample_gradient_take,
        .rows_context = run->reducer,
        .cancel = work->cancel,
    };
    RxnEnsembleResult result;
    RxnOutcome outcome = rxn__ensemble_run(&ensemble, &result);
    work->events += result.events;
    if (outcome == RXN_REJECTED) {
        rxn__engine_error(grad->engine, "out of memory for the rows of a batch");
        status = RXN_ERROR_INPUT;
    } else {
        status = report(run, work, outcome, &result);
    }
    rxn__ensemble_release(&result);
    return status;
}

/* ---- what comes of it -------------------------------------------------------------------------- */

static bool
is_known(const SampleRun *run, u32 output)
{
    u32 functionals = run->grad->pipeline.network->objective->functionals.count;
    for (u32 i = run->functionals; i < functionals; i++)
        if (run->is_read[(size_t)output * functionals + i])
            return false;
    return true;
}

/* The value of an output, and its error by the spread of its units (delta method); leaves run->linear at it. */
static void
measure(SampleRun *run, u32 output, const RxnSampleGradientResult *result)
{
    const RxnOutput *shape = &run->grad->outputs[output];
    double n = (double)result->units, squares = 0;
    rxn__grad_linearize(run->grad, output, run->means, &run->linear);
    run->value[output] = run->linear.value;
    for (u64 u = 0; u < result->units; u++) {
        double influence = 0;
        for (u32 k = 0; k < shape->first_count; k++) {
            u32 i = shape->first[k];
            influence +=
                run->linear.first[k] * (result->values[u * run->functionals + i] - run->means[i]);
        }
        squares += influence * influence;
    }
    run->value_se[output] = n > 1 ? sqrt(squares / (n - 1) / n) : NAN;
}

static void
finish(SampleRun *run, SampleResult *ret)
{
    Grad *grad = run->grad;
    const RxnSampleGradientResult *result = rxn__sample_gradient_finish(run->reducer);
    for (u32 i = 0; i < run->functionals; i++) {
        double sum = 0;
        for (u64 u = 0; u < result->units; u++)
            sum += result->values[u * run->functionals + i];
        run->means[i] = sum / (double)result->units;
    }
    for (u32 o = run->outputs; o-- > 0;) {
        run->value[o] = run->value_se[o] = NAN;
        if (is_known(run, o))
            measure(run, o, result);
    }
    ret->value = run->value;
    ret->value_se = run->value_se;
    ret->trajectories = result->trajectories;
    ret->not_finite = result->not_finite;
    ret->diagnostic_count = run->gradient.row.diagnostic_count;
    ret->diagnostics = run->gradient.row.diagnostics;
    ret->diagnostic_values = result->diagnostics;
    ret->gradient_norm2_noise = NAN;
    if (!run->differentiates)
        return;
    /* Output 0 came last: run->linear is its. */
    u32 count = grad->request.wrt_count;
    memcpy(run->gradient_values, result->gradient, count * sizeof(double));
    for (u32 k = 0; k < grad->outputs[0].direct_count; k++)
        run->gradient_values[grad->outputs[0].direct[k]] += run->linear.direct[k];
    ret->gradient = run->gradient_values;
    ret->gradient_norm2_noise = result->norm2_noise;
    ret->groups = result->groups;
    ret->group_sums = result->group_sums;
}

static void
set_weights(SampleRun *run)
{
    const Grad *grad = run->grad;
    ExprValues at = {.params = grad->values.params, .inputs = grad->values.inputs};
    for (u32 i = 0; i < run->functionals; i++)
        run->weights[i] = 0;
    for (u32 k = 0; k < run->terms.terms.count; k++)
        run->weights[run->terms.terms.items[k].functional] =
            rxn__expr_evaluate(grad->pipeline.network, run->terms.terms.items[k].coefficient, &at);
}

bool
rxn__sample_run_is_unbiased(const SampleRun *run)
{
    return run->gradient.unbiased;
}

void
rxn__sample_run_group(SampleRun *run, u64 groups)
{
    rxn__sample_gradient_group(run->reducer, groups);
}

RxnStatus
rxn__sample_run_evaluate(SampleRun *run, u64 seed, const u64 *rows, u64 count, u64 repeats,
                         SampleResult *ret_result)
{
    Grad *grad = run->grad;
    double start = rxn__seconds();
    *ret_result = (SampleResult){0};
    SampleWork work = {.rows = rows, .trajectories = count * repeats, .repeats = repeats};
    run->launch.seed = seed;
    if (run->differentiates) {
        set_weights(run);
        rxn__sample_map_update(&run->map);
    }
    /* The trajectories of a single row are units by themselves. */
    bool single = count == 1;
    if (!make_piece(run, &work) ||
        !rxn__sample_gradient_begin(run->reducer, single ? repeats : count, single ? 1 : repeats)) {
        rxn__engine_error(grad->engine, "out of memory for %llu samples",
                          (unsigned long long)count);
        return RXN_ERROR_INPUT;
    }
    RxnStatus status = RXN_OK;
    work.cancel = rxn__watch_begin(grad->engine, true, true).cancel;
    for (u64 first = 0; status == RXN_OK && first < work.trajectories;) {
        u64 left = work.trajectories - first;
        u64 piece = left < run->piece_most ? left : run->piece_most;
        status = run_piece(run, &work, first, piece);
        first += piece;
    }
    rxn__watch_end(grad->engine);
    if (status != RXN_OK)
        return status;
    finish(run, ret_result);
    ret_result->events = work.events;
    ret_result->seconds = rxn__seconds() - start;
    return RXN_OK;
}
