/* test_samples.c: ensembles in which every trajectory has inputs of its own (compiler/engine/samples.h). The oracle is what
 * stands without them: the model with the same inputs for all trajectories, run once for each row; a trajectory with that
 * number is the same to the last bit, and so is its derivative but for the order of sums.
 *
 * With RXN_CUDA_DRIVER and RXN_NVRTC in the environment, also on the device that they pretend to be.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/engine/samples.h"
#include "compiler/engine/samples_private.h"
#include "compiler/network/objective.h"
#include "compiler/sema/sema.h"
#include "runtime/cuda.h"
#include "runtime/sample_product.h"

/* A small classifier: more terms and elements than are written out one by one. */
static const char classifier[] =
    "model classifier\n"
    "index pixel = 20, gene = 6, class = 2\n"
    "input x[pixel], label\n"
    "param W[gene, pixel] = 0.1\n"
    "param V[class, gene] = 0.1\n"
    "param b[gene] = 0, beta = 5, gamma = 1\n"
    "species H[gene] = 0, Y[class] = 0\n"
    "for g in gene {\n"
    "  on:  0 => H[g] @ beta * sigmoid(b[g] + sum(p in pixel: W[g,p] * x[p]))\n"
    "  off: H[g] -> 0 @ gamma\n"
    "}\n"
    "for k in class {\n"
    "  make: 0 => Y[k] @ 4 * sigmoid(sum(g in gene: V[k,g] * H[g]))\n"
    "  lose: Y[k] -> 0 @ gamma\n"
    "}\n";
static const char loss[] = "log(1 + exp(0.3 * (Y[0] - Y[1]) * (1 - 2 * label)))";
static const char accuracy[] = "if (Y[0] - Y[1]) * (1 - 2 * label) < 0 then 1 else 0";

/* Sums of other forms: with factors, of what is no product, of a shared kernel, of parameters alone. */
static const char forms[] =
    "model forms\n"
    "index pixel = 20, gene = 6, tap = 3\n"
    "input x[pixel], label\n"
    "param W[gene, pixel] = 0.1, U[gene, pixel] = 0.2, K[tap] = 0.3, s[pixel] = 1, d[gene] = 2\n"
    "param q[gene] = 0.1, r = 0.4\n"
    "species H[gene] = 0, A = 0\n"
    "for g in gene {\n"
    "  scaled: 0 => H[g] @ sigmoid(sum(p in pixel: -2 * W[g,p] * s[p] * x[p] / d[g]))\n"
    "  bent:   0 => H[g] @ 2 + sum(p in pixel: tanh(U[g,p] * x[p]))\n"
    "  shared: 0 => H[g] @ exp(0.1 * sum(k in tap: K[k] * x[g + 2 * k]))\n"
    "  square: 0 => H[g] @ 0.1 * sum(p in pixel: W[g,19-p] * x[p]^2)^2\n"
    "  off:    H[g] -> 0 @ exp(q[g])\n"
    "}\n"
    "0 => A @ sum(g in gene: H[g]) * log(1 + exp(r * label))\n"
    "A -> 0 @ 1\n";
static const char forms_loss[] = "(0.1 * A - label)^2 / (1 + label^2) + 0.01 * H[1]";

/* Members that do not begin at 0, and a sum that neither begins nor ends where the inputs do. */
static const char shifted[] = "model shifted\n"
                              "index pixel = 20, gene = 7\n"
                              "input x[pixel], label\n"
                              "param W[gene, pixel] = 0.1\n"
                              "species H[gene] = 0\n"
                              "for g in 1 .. 5 {\n"
                              "  on: 0 => H[g] @ sigmoid(sum(p in 2 .. 18: W[g+1,p-1] * x[p]))\n"
                              "}\n";
static const char shifted_loss[] = "exp(0.1 * label * (H[1] - H[5]) + 0.2 * H[3])";

typedef struct Fixture {
    Engine engine;
    Grad grad;
    bool sampled;
} Fixture;

static double
pattern(u32 k)
{
    return sin(1.0 + 2.7 * k) * 0.4;
}

static void
set_up(Fixture *fixture, const char *text, u32 of_count, const char *const *of)
{
    Engine *engine = &fixture->engine;
    Grad *grad = &fixture->grad;
    Arena *arena = &grad->pipeline.arena;
    Session *session = &engine->session;
    assert_int_equal(rxn__session_open(session, 0), RXN_OK);
    rxn__arena_init(arena, session->memory);
    grad->engine = engine;
    static const double times[] = {1.5};
    ObjectiveRequest objective = {of, of_count, times, 1};
    SemaInput input = {.arena = arena,
                       .names = &session->names,
                       .sources = &session->sources,
                       .diagnostics = &session->diagnostics,
                       .objective = &objective};
    AstNode *ast;
    u32 file = rxn__sources_add(&session->sources, "model.rxn", text, strlen(text));
    Network *network = rxn__elaborate(&input, file, &ast);
    Text messages;
    rxn__text_init(&messages, &session->arena);
    if (!network) {
        rxn__diagnostics_render(&session->diagnostics, &messages);
        fail_msg("%s", messages.data);
    }
    network->objective->sampled = fixture->sampled;
    const char *broken = NULL;
    Arena scratch;
    rxn__arena_init(&scratch, session->memory);
    if (!rxn__network_passes(network, &session->diagnostics, &scratch, NULL, NULL, &broken))
        fail_msg("%s", broken ? broken : "a pass failed");
    rxn__arena_release(&scratch);
    grad->pipeline.network = network;
    rxn__grad_defaults(&grad->options);
    EnsembleOptions *options = &grad->options.ensemble;
    options->quiet = true;
    options->threads = 2;
    options->trajectories = 100;
    grad->tape_memory = 64 << 20;
    grad->stages = (PipelineRequest){.goal = PIPELINE_COMPILED,
                                     .device = rxn__target_find("llvm") ? "cpu" : "interpreter",
                                     .method = "auto",
                                     .target = {.cache = getenv("RXN_CACHE")},
                                     .precision = KIR_F64};
    grad->values.params = NEW_ARRAY(arena, double, network->param_count + 1);
    grad->values.inputs = NEW_ARRAY(arena, double, network->input_count + 1);
    u32 *wrt = NEW_ARRAY(arena, u32, network->param_count + 1);
    for (u32 p = 0; p < network->param_count; p++) {
        wrt[p] = network->param_count - 1 - p; /* in another order */
        grad->values.params[p] = 0.6 + pattern(p);
    }
    grad->request = (GradientRequest){.network = network,
                                      .wrt = wrt,
                                      .wrt_count = network->param_count,
                                      .precision = KIR_F64,
                                      .tau = 1,
                                      .draws = 1,
                                      .difference = 0.01};
    u32 count = network->objective->times.count;
    double *all = NEW_ARRAY(arena, double, (size_t)count + 1);
    memcpy(all, network->objective->times.items, count * sizeof *all);
    all[count] = INFINITY;
    grad->times = (SampleTimes){all, count, network->objective->end, 0};
    rxn__grad_outputs(grad);
}

static void
tear_down(Fixture *fixture)
{
    rxn__pipeline_close(&fixture->grad.pipeline);
    rxn__session_close(&fixture->engine.session);
}

/* ---- data ------------------------------------------------------------------------------------------ */

enum { ROWS = 5, INPUTS = 21, PIXELS = 20 };

static void
fill_row(u32 row, double *ret_inputs)
{
    for (u32 p = 0; p < PIXELS; p++) /* some of it black */
        ret_inputs[p] = (p + row) % 3 ? pattern(7 * row + p) : 0;
    ret_inputs[PIXELS] = row % 2;
}

/* As rxn__samples_open makes it; in arrays of 4 x 5, and of one number. */
static Samples *
make_samples(void)
{
    Samples *samples = calloc(1, sizeof *samples + 2 * sizeof samples->arrays[0]);
    double *x = calloc(ROWS * PIXELS, sizeof *x), *label = calloc(ROWS, sizeof *label);
    for (u32 r = 0; r < ROWS; r++) {
        double inputs[INPUTS];
        fill_row(r, inputs);
        memcpy(x + r * PIXELS, inputs, PIXELS * sizeof *x);
        label[r] = inputs[PIXELS];
    }
    samples->rows = ROWS;
    samples->count = 2;
    samples->arrays[0].array = (RxnArray){.type = RXN_ARRAY_F64,
                                          .rank = 3,
                                          .extent = {ROWS, 4, 5},
                                          .row_elements = PIXELS,
                                          .data = x};
    samples->arrays[1].array = (RxnArray){
        .type = RXN_ARRAY_F64, .rank = 1, .extent = {ROWS}, .row_elements = 1, .data = label};
    samples->arrays[1].flat = PIXELS;
    return samples;
}

/* ---- the oracle ------------------------------------------------------------------------------------ */

typedef struct Kept {
    double *rows;
    u32 columns;
} Kept;

static bool
keep(void *context, uint64_t first, uint64_t count, const double *rows, const uint64_t *events)
{
    Kept *kept = context;
    (void)events;
    memcpy(kept->rows + first * kept->columns, rows, count * kept->columns * sizeof *rows);
    return true;
}

typedef struct Oracle {
    u64 n;
    u32 functionals, params;
    double *values;     /* [n][functionals] */
    double *derivative; /* [n][params]: D or, uncentred, F S + D, of the loss; by place in wrt */
    double *score;      /* [n][params] */
} Oracle;

/* All n trajectories with the inputs of one row; those that have it are taken. */
static void
run_row(Fixture *plain, const RxnKernel *kernel, u32 row, const u64 *rows, u64 repeats, u64 seed,
        Oracle *oracle)
{
    Grad *grad = &plain->grad;
    fill_row(row, grad->values.inputs);
    GradientKernel *made = &grad->pipeline.gradient;
    bool is_max[RXN_MAX_DIAGNOSTICS];
    RxnGradientLayout layout = rxn__grad_layout(&made->row, is_max);
    SampleTimes own = {made->times, made->time_count, grad->times.end, 0};
    Launch launch = {.pipeline = &grad->pipeline,
                     .values = &grad->values,
                     .times = made->times ? &own : &grad->times,
                     .precision = KIR_F64,
                     .seed = seed,
                     .step_limit = 1000000};
    Kept kept = {calloc(oracle->n * layout.columns, sizeof(double)), layout.columns};
    RxnEnsemble ensemble = {.kernel = kernel,
                            .trajectories = oracle->n,
                            .sample_count = 1,
                            .columns = layout.columns,
                            .threads = 1,
                            .rows = keep,
                            .rows_context = &kept};
    u32 count;
    ensemble.bindings = rxn__launch_bindings(&launch, &count);
    ensemble.binding_count = count;
    RxnEnsembleResult result;
    assert_int_equal(rxn__ensemble_run(&ensemble, &result), RXN_DONE);
    rxn__ensemble_release(&result);
    RxnLeafMap map;
    bool differentiates = layout.has_direct || layout.has_score;
    if (differentiates)
        assert_true(rxn__grad_leaf_map(grad, &grad->pipeline.arena, &map));
    for (u64 k = 0; k < oracle->n; k++) {
        const double *from = kept.rows + k * layout.columns;
        if (rows[k / repeats] != row)
            continue;
        memcpy(oracle->values + k * oracle->functionals, from + layout.value,
               layout.functionals * sizeof(double));
        for (u32 p = 0; differentiates && p < oracle->params; p++) {
            u64 first = map.start ? map.start[p] : p, behind = map.start ? map.start[p + 1] : p + 1;
            for (u64 e = first; e < behind; e++) {
                u32 leaf = map.start ? map.leaf[e] : p;
                double weight = map.start ? map.weight[e] : 1;
                if (layout.has_direct)
                    oracle->derivative[k * oracle->params + p] +=
                        weight * from[layout.direct + leaf];
                if (layout.has_score)
                    oracle->score[k * oracle->params + p] += weight * from[layout.score + leaf];
            }
        }
    }
    free(kept.rows);
}

static void
make_oracle(Oracle *oracle, const char *text, const Estimator *estimator, GradientForm form, u64 n,
            const u64 *rows, u64 repeats, u64 seed, u32 of_count, const char *const *of)
{
    Fixture plain = {0};
    set_up(&plain, text, of_count, of);
    plain.grad.request.form = form;
    const Network *network = plain.grad.pipeline.network;
    *oracle = (Oracle){.n = n,
                       .functionals = network->objective->functionals.count,
                       .params = network->param_count};
    oracle->values = calloc(n * oracle->functionals, sizeof(double));
    oracle->derivative = calloc(n * oracle->params, sizeof(double));
    oracle->score = calloc(n * oracle->params, sizeof(double));
    RxnKernel kernel;
    assert_int_equal(rxn__grad_compile(&plain.grad, estimator), RXN_OK);
    assert_int_equal(rxn__describe_kernel(&plain.engine, &plain.grad.pipeline, &kernel), RXN_OK);
    for (u32 row = 0; row < ROWS; row++)
        run_row(&plain, &kernel, row, rows, repeats, seed, oracle);
    tear_down(&plain);
}

static void
free_oracle(Oracle *oracle)
{
    free(oracle->values);
    free(oracle->derivative);
    free(oracle->score);
}

static void
assert_within(const char *what, u32 number, double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance))
        fail_msg("%s %u: %.17g is not %.17g", what, number, got, expected);
}

static void
assert_near(const char *what, u32 number, double got, double expected)
{
    assert_within(what, number, got, expected, 1e-9 * fabs(expected));
}

/* ---- comparisons ----------------------------------------------------------------------------------- */

typedef struct Case {
    const char *text, *loss, *estimator;
    u64 units, repeats;
    u32 parts;                     /* 0: units */
    bool other_form, other_oracle; /* unrolled */
} Case;

static const u64 all_rows[] = {
    4, 2, 2, 4, 0, 3, 1, 0, 1, 0, 2, 3, 1, 3, 4, 0, 4, 1, 0, 1, 3, 2, 1, 3, 1, 0, 1, 4, 4, 3,
    1, 1, 0, 0, 1, 1, 1, 1, 2, 2, 1, 4, 1, 1, 1, 3, 2, 0, 2, 3, 1, 1, 2, 0, 2, 2, 4, 4, 0, 4,
    2, 0, 2, 2, 2, 3, 2, 1, 3, 3, 1, 0, 2, 0, 2, 3, 0, 4, 3, 2, 3, 4, 0, 3, 0, 1, 4, 1, 0, 1,
    3, 2, 4, 2, 4, 2, 3, 0, 4, 2, 2, 0, 3, 0, 1, 2, 4, 4, 2, 1, 2, 2, 4, 0, 2, 2, 2, 1, 0, 1,
    2, 3, 1, 0, 0, 4, 4, 3, 0, 1, 4, 2, 2, 3, 3, 1, 0, 0, 3, 2, 1, 1, 4, 1, 3, 0, 1, 3, 2, 1,
};

/* Of one unit: the mean over its trajectories. */
static double
of_unit(const double *numbers, u64 unit, u64 repeats, u32 stride, u32 place)
{
    double sum = 0;
    for (u64 k = unit * repeats; k < (unit + 1) * repeats; k++)
        sum += numbers[k * stride + place];
    return sum / (double)repeats;
}

static double
noise_of(const double *units, u64 n, u32 params, u64 parts)
{
    double spread = 0;
    for (u32 p = 0; p < params; p++) {
        double mean = 0;
        for (u64 u = 0; u < n; u++)
            mean += units[u * params + p] / (double)n;
        for (u64 s = 0; s < parts; s++) {
            u64 first = n * s / parts, behind = n * (s + 1) / parts;
            double sum = 0, share = (double)(behind - first);
            for (u64 u = first; u < behind; u++)
                sum += units[u * params + p] - mean;
            spread += sum * sum / share;
        }
    }
    return spread / (double)(parts - 1) / (double)n;
}

static SampleResult
evaluate(Fixture *fixture, const Estimator *estimator, const Samples *samples, u64 seed,
         const u64 *rows, u64 units, u64 repeats, SampleRun **ret_run)
{
    SampleResult result = {0};
    RxnStatus status = rxn__sample_run_new(&fixture->grad, estimator, samples, ret_run);
    if (status == RXN_OK)
        status = rxn__sample_run_evaluate(*ret_run, seed, rows, units, repeats, &result);
    if (status != RXN_OK) {
        Text text;
        rxn__text_init(&text, &fixture->engine.session.arena);
        rxn__diagnostics_render(&fixture->engine.session.diagnostics, &text);
        fail_msg("%d: %s\n%s", (int)status,
                 fixture->engine.internal_error ? fixture->engine.internal_error : "",
                 text.data ? text.data : "");
    }
    return result;
}

/* Gradients of groups of rows: fewer than there are rows, and more. */
static void
compare_groups(const Case *test, SampleRun *run, const double *units, u32 params, u64 seed,
               double tolerance)
{
    const u64 wanted[] = {5, test->units + 7};
    for (u32 k = 0; k < COUNT_OF(wanted); k++) {
        SampleResult result;
        rxn__sample_run_group(run, wanted[k]);
        assert_int_equal(
            rxn__sample_run_evaluate(run, seed, all_rows, test->units, test->repeats, &result),
            RXN_OK);
        u64 groups = wanted[k] < test->units ? wanted[k] : test->units, unit = 0;
        assert_int_equal(result.groups, groups);
        for (u64 g = 0; g < groups; g++) {
            u64 first = unit, end = test->units * (g + 1) / groups;
            for (u32 p = 0; p < params; p++) {
                double sum = 0;
                for (unit = first; unit < end; unit++)
                    sum += units[unit * params + p];
                assert_within("group", (u32)g, result.group_sums[g * params + p], sum,
                              tolerance * (double)test->units);
            }
        }
        assert_int_equal(unit, test->units);
    }
}

static void
compare(const Case *test)
{
    const char *of[] = {test->loss};
    u64 n = test->units * test->repeats, seed = 17;
    const Estimator *estimator = rxn__estimator_find(test->estimator);
    Oracle oracle;
    make_oracle(&oracle, test->text, estimator,
                test->other_oracle ? GRADIENT_FORM_UNROLLED : GRADIENT_FORM_AUTO, n, all_rows,
                test->repeats, seed, 1, of);
    /* What the score is centred by: the others' mean, all being one batch. */
    double mean = 0;
    for (u64 k = 0; k < n; k++)
        mean += oracle.values[k * oracle.functionals] / (double)n;
    for (u64 k = 0; k < n; k++) {
        double y = (double)n / (double)(n - 1) * (oracle.values[k * oracle.functionals] - mean);
        for (u32 p = 0; p < oracle.params; p++)
            oracle.derivative[k * oracle.params + p] += y * oracle.score[k * oracle.params + p];
    }
    double *units = calloc(test->units * oracle.params, sizeof *units);
    for (u64 u = 0; u < test->units; u++)
        for (u32 p = 0; p < oracle.params; p++)
            units[u * oracle.params + p] =
                of_unit(oracle.derivative, u, test->repeats, oracle.params, p);

    Fixture fixture = {.sampled = true};
    set_up(&fixture, test->text, 1, of);
    fixture.grad.request.form = test->other_form ? GRADIENT_FORM_UNROLLED : GRADIENT_FORM_TABLE;
    Samples *samples = make_samples();
    SampleRun *run;
    SampleResult result =
        evaluate(&fixture, estimator, samples, seed, all_rows, test->units, test->repeats, &run);
    assert_int_equal(result.trajectories, n);
    double value = 0, squares = 0, largest = 0;
    for (u64 u = 0; u < test->units; u++)
        value += of_unit(oracle.values, u, test->repeats, oracle.functionals, 0);
    value /= (double)test->units;
    for (u64 u = 0; u < test->units; u++) {
        double f = of_unit(oracle.values, u, test->repeats, oracle.functionals, 0) - value;
        squares += f * f;
    }
    if (oracle.functionals == 1) {
        assert_near("value", 0, result.value[0], value);
        assert_near("value_se", 0, result.value_se[0],
                    sqrt(squares / (double)(test->units - 1) / (double)test->units));
    }
    double *expected = calloc(oracle.params, sizeof *expected);
    for (u32 p = 0; p < oracle.params; p++) {
        for (u64 u = 0; u < test->units; u++)
            expected[p] += units[u * oracle.params + p] / (double)test->units;
        largest = fmax(largest, fabs(expected[p]));
    }
    assert_true(largest > 1e-3);
    /* The unrolled adjoint leaves out what is below 1e-9 of it, in single precision. */
    double tolerance = test->other_oracle ? 1e-6 : 1e-9;
    for (u32 p = 0; p < oracle.params; p++)
        assert_within("gradient", p, result.gradient[p], expected[p], tolerance * largest);
    u64 parts = test->parts ? test->parts : test->units;
    double noise = noise_of(units, test->units, oracle.params, parts);
    assert_within("noise", 0, result.gradient_norm2_noise, noise, tolerance * noise);
    assert_int_equal(result.groups, 0);
    compare_groups(test, run, units, oracle.params, seed, tolerance * largest);
    rxn__sample_run_free(run);
    rxn__samples_close(samples);
    tear_down(&fixture);
    free(expected);
    free(units);
    free_oracle(&oracle);
}

static void
test_path(void **state)
{
    (void)state;
    compare(&(Case){classifier, loss, "path", 150, 1, 0, false, false}); /* more than two blocks */
}

static void
test_repeats(void **state)
{
    (void)state;
    compare(&(Case){classifier, loss, "path", 13, 3, 0, false, false});
}

static void
test_score(void **state)
{
    (void)state;
    compare(&(Case){classifier, loss, "score", 44, 1, 0, false, false});
    compare(&(Case){classifier, loss, "score", 20, 2, 0, false, false});
}

/* Where leaves are parameters, inputs stand in the derivatives of rate laws. */
static void
test_unrolled(void **state)
{
    (void)state;
    compare(&(Case){classifier, loss, "score", 21, 1, 0, true, false});
    compare(&(Case){classifier, loss, "gumbel", 21, 1, 0, true, false});
}

static void
test_forms(void **state)
{
    (void)state;
    compare(&(Case){forms, forms_loss, "path", 75, 1, RXN_SAMPLE_PARTS, false, false});
    compare(&(Case){forms, forms_loss, "score", 11, 2, RXN_SAMPLE_PARTS, false, false});
}

/* What is unrolled has its parameters as leaves, so that no chain rule is in the way. */
static void
test_shifted(void **state)
{
    (void)state;
    compare(&(Case){shifted, shifted_loss, "path", 33, 1, 0, false, true});
    compare(&(Case){classifier, loss, "path", 33, 1, 0, false, true});
}

/* Values: each is that of the trajectory with the same number and the row's inputs, to the last bit; whatever the threads,
 * the lanes, the form; also in pieces. */
static void
test_values(void **state)
{
    (void)state;
    enum { N = 9001 }; /* more than a piece */
    const char *of[] = {loss, accuracy};
    u64 *rows = calloc(N, sizeof *rows);
    for (u64 k = 0; k < N; k++)
        rows[k] = all_rows[k % COUNT_OF(all_rows)];
    Oracle oracle;
    make_oracle(&oracle, classifier, &rxn__estimator_value, GRADIENT_FORM_AUTO, N, rows, 1, 5, 2,
                of);
    assert_int_equal(oracle.functionals, 2);
    double expected[2] = {0};
    for (u64 k = 0; k < N; k++)
        for (u32 i = 0; i < 2; i++)
            expected[i] += oracle.values[k * 2 + i];
    Samples *samples = make_samples();
    for (u32 variant = 0; variant < 3; variant++) {
        Fixture fixture = {.sampled = true};
        set_up(&fixture, classifier, 2, of);
        fixture.grad.options.ensemble.threads = variant + 1;
        fixture.grad.options.ensemble.lanes = fixture.grad.stages.target.lanes = 2 << variant;
        if (variant == 1)
            fixture.grad.request.form = GRADIENT_FORM_UNROLLED;
        SampleRun *run;
        SampleResult result = evaluate(&fixture, NULL, samples, 5, rows, N, 1, &run);
        assert_null(result.gradient);
        for (u32 i = 0; i < 2; i++)
            if (result.value[i] != expected[i] / N)
                fail_msg("value %u: %.17g is not %.17g", i, result.value[i], expected[i] / N);
        rxn__sample_run_free(run);
        tear_down(&fixture);
    }
    rxn__samples_close(samples);
    free_oracle(&oracle);
    free(rows);
}

/* The interpreter, and a GPU where one is pretended, give the bits of the compiled kernel. */
static void
test_devices(void **state)
{
    (void)state;
    const char *of[] = {loss, accuracy};
    const char *devices[] = {"cpu", "interpreter", "cuda"};
    Samples *samples = make_samples();
    double first[512], value = 0;
    u32 ran = 0;
    for (u32 d = 0; d < COUNT_OF(devices); d++) {
        bool on_gpu = strcmp(devices[d], "cuda") == 0;
        if ((on_gpu && !getenv("RXN_CUDA_DRIVER")) || (d == 0 && !rxn__target_find("llvm")))
            continue;
        Fixture fixture = {.sampled = true};
        set_up(&fixture, classifier, 2, of);
        EnsembleOptions *options = &fixture.grad.options.ensemble;
        if (on_gpu) {
            options->device = options->device_wish = "cuda";
            options->chose_device = true;
            options->cache = "none";
            assert_int_equal(rxn__device_open(&fixture.engine, options), RXN_OK);
        }
        fixture.grad.stages.device = devices[d];
        SampleRun *run;
        SampleResult result = evaluate(&fixture, rxn__estimator_find("path"), samples, 3, all_rows,
                                       COUNT_OF(all_rows), 1, &run);
        u32 params = fixture.grad.request.wrt_count;
        assert_true(params <= COUNT_OF(first));
        assert_true(isnan(result.value[1])); /* a measure: not in the kernel of the loss */
        if (ran++ == 0) {
            value = result.value[0];
            memcpy(first, result.gradient, params * sizeof *first);
        }
        assert_true(value == result.value[0]);
        assert_memory_equal(first, result.gradient, params * sizeof *first);
        rxn__sample_run_free(run);
        RxnCuda *cuda = fixture.engine.cuda;
        tear_down(&fixture);
        rxn__cuda_close(cuda); /* may be NULL */
    }
    rxn__samples_close(samples);
    assert_true(ran >= 1);
}

/* Without events the loss is a function of parameters that can be differenced: here by the outer product alone. */
static void
test_differences(void **state)
{
    (void)state;
    static const char text[] = "model flat\n"
                               "index pixel = 20, gene = 6\n"
                               "input x[pixel], label\n"
                               "param W[gene, pixel] = 0.1\n"
                               "species A = 3\n"
                               "A -> 0 @ 0 * sum(p in pixel: W[0,p] * x[p])\n";
    const char *of[] = {
        "log(1 + exp(A * label * sum(g in gene: sum(p in pixel: W[g,p] * x[p])^2)))"};
    Fixture fixture = {.sampled = true};
    set_up(&fixture, text, 1, of);
    Samples *samples = make_samples();
    SampleRun *run;
    SampleResult result = evaluate(&fixture, rxn__estimator_find("path"), samples, 3, all_rows,
                                   COUNT_OF(all_rows), 1, &run);
    u32 count = fixture.grad.request.wrt_count;
    double *gradient = calloc(count, sizeof *gradient);
    memcpy(gradient, result.gradient, count * sizeof *gradient);
    for (u32 p = 0; p < count; p += 7) {
        double *moved = &fixture.grad.values.params[fixture.grad.request.wrt[p]], at = *moved;
        double h = 1e-4, value[2];
        for (u32 side = 0; side < 2; side++) {
            *moved = at + (side ? -h : h);
            assert_int_equal(
                rxn__sample_run_evaluate(run, 3, all_rows, COUNT_OF(all_rows), 1, &result), RXN_OK);
            value[side] = result.value[0];
        }
        *moved = at;
        double slope = (value[0] - value[1]) / (2 * h);
        if (!(fabs(slope - gradient[p]) <= 1e-6 * (1 + fabs(slope))))
            fail_msg("%u: %.12g is not %.12g", p, gradient[p], slope);
    }
    free(gradient);
    rxn__sample_run_free(run);
    rxn__samples_close(samples);
    tear_down(&fixture);
}

/* The product of matrices alone, against one made number by number in the same order: the same bits. */
static void
test_product(void **state)
{
    (void)state;
    enum { TERMS = 9, MOST = 150 };
    static const u32 sizes[] = {1, 7, 8, 9, 63, 64, 65, 72, MOST};
    double *left = calloc(rxn__sample_left_room(MOST), sizeof *left);
    double *got = calloc(TERMS * MOST, sizeof *got), *expected = calloc(TERMS * MOST, sizeof *got);
    u8 count[TERMS], row[TERMS * SAMPLE_BLOCK];
    double value[TERMS * SAMPLE_BLOCK], numbers[MOST], factors[MOST];
    SampleTerms terms = {TERMS, count, row, value};
    for (u32 k = 0; k < COUNT_OF(sizes); k++) {
        u32 elements = sizes[k];
        memset(count, 0, sizeof count);
        for (u32 e = 0; e < TERMS * elements; e++)
            got[e] = expected[e] = pattern(e);
        for (u32 r = 0; r < SAMPLE_BLOCK; r++) {
            for (u32 e = 0; e < elements; e++) {
                numbers[e] = pattern(3 * r + 7 * e);
                factors[e] = k % 2 ? 1 + pattern(e) : 1;
            }
            rxn__sample_left(left, r, elements, numbers, k % 2 ? factors : NULL);
            for (u32 b = 0; b < TERMS; b++) {
                if ((r * b) % 7 > 3 || b == 4)
                    continue;
                row[b * SAMPLE_BLOCK + count[b]] = (u8)r;
                value[b * SAMPLE_BLOCK + count[b]++] = pattern(r + b);
                for (u32 e = 0; e < elements; e++)
                    expected[b * elements + e] += pattern(r + b) * (numbers[e] * factors[e]);
            }
        }
        rxn__sample_product(got, left, elements, &terms);
        assert_memory_equal(got, expected, TERMS * elements * sizeof *got);
        double sum[MOST] = {0}, square = 0;
        for (u32 e = 0; e < elements; e++)
            square += numbers[e] * numbers[e];
        assert_near("square", k, rxn__sample_square(sum, numbers, elements), square);
        assert_memory_equal(sum, numbers, elements * sizeof *sum);
        rxn__sample_add(sum, numbers, 2, elements);
        for (u32 e = 0; e < elements; e++)
            assert_true(sum[e] == numbers[e] + 2 * numbers[e]);
    }
    free(left);
    free(got);
    free(expected);
}

/* An input that is no number shows as such, and says where. */
static void
test_not_finite(void **state)
{
    (void)state;
    const char *of[] = {loss};
    static const u64 rows[] = {0, 1, 1, 3, 4, 3};
    Fixture fixture = {.sampled = true};
    set_up(&fixture, classifier, 1, of);
    Samples *samples = make_samples();
    SampleRun *run;
    SampleResult result =
        evaluate(&fixture, rxn__estimator_find("path"), samples, 3, rows, 6, 2, &run);
    assert_true(result.not_finite == UINT64_MAX);
    ((double *)samples->arrays[1].array.data)[3] = INFINITY; /* the label: read at the end */
    assert_int_equal(rxn__sample_run_evaluate(run, 3, rows, 6, 2, &result), RXN_OK);
    assert_int_equal(result.not_finite, 6);
    assert_false(isfinite(result.value[0]));
    rxn__sample_run_free(run);
    rxn__samples_close(samples);
    tear_down(&fixture);
}

/* ---- files ----------------------------------------------------------------------------------------- */

static char *
write_array(const char *name, u32 rank, const u64 *extent, double at)
{
    static char paths[8][64];
    static u32 next;
    char *path = paths[next++ % 8], error[256];
    u64 count = 1;
    for (u32 d = 0; d < rank; d++)
        count *= extent[d];
    double *values = calloc(count, sizeof *values);
    values[count / 2] = at;
    snprintf(path, sizeof paths[0], "/tmp/rxn-samples-%ld-%s.npy", (long)getpid(), name);
    if (!rxn__array_write(path, values, rank, extent, error, sizeof error))
        fail_msg("%s", error);
    free(values);
    return path;
}

static void
assert_refused(Fixture *fixture, const char *x, const char *label, const char *why)
{
    Session *session = &fixture->engine.session;
    Fit fit = {0};
    FitSample given[] = {{.input = 0, .path = x}, {.input = 1, .path = label}};
    Samples *samples;
    fit.samples.items = given;
    fit.samples.count = 2;
    bool good = rxn__samples_open(&fixture->engine, &fixture->grad.pipeline, &fit, &samples);
    if (!why) {
        assert_true(good);
        assert_int_equal(rxn__samples_rows(samples), 4);
        rxn__samples_close(samples);
        return;
    }
    assert_false(good);
    assert_null(samples);
    Text text;
    rxn__text_init(&text, &session->arena);
    rxn__diagnostics_render(&session->diagnostics, &text);
    if (!strstr(text.data, why))
        fail_msg("not '%s':\n%s", why, text.data);
    session->diagnostics.list.count = 0;
}

static void
test_files(void **state)
{
    (void)state;
    const char *of[] = {loss};
    Fixture fixture = {.sampled = true};
    set_up(&fixture, classifier, 1, of);
    const char *flat = write_array("flat", 2, (u64[]){4, 20}, 1);
    const char *square = write_array("square", 3, (u64[]){4, 4, 5}, 1);
    const char *label = write_array("label", 1, (u64[]){4}, 1);
    const char *narrow = write_array("narrow", 3, (u64[]){4, 4, 4}, 1);
    const char *few = write_array("few", 1, (u64[]){3}, 1);
    const char *hole = write_array("hole", 1, (u64[]){4}, NAN);
    assert_refused(&fixture, flat, label, NULL);
    assert_refused(&fixture, square, label, NULL);
    assert_refused(&fixture, narrow, label,
                   "narrow.npy has 4 rows of 4x4 numbers, and the input 'x[20]' takes 20 a row");
    assert_refused(&fixture, square, few, "few.npy has 3 rows, and ");
    assert_refused(&fixture, square, hole, "hole.npy");
    assert_refused(&fixture, square, "/nowhere/label.npy", "/nowhere/label.npy");
    const char *paths[] = {flat, square, label, narrow, few, hole};
    for (u32 k = 0; k < COUNT_OF(paths); k++)
        unlink(paths[k]);
    tear_down(&fixture);
}

static void
test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *of, *estimator, *why;
    } cases[] = {
        {loss, "coupled", "coupled"},
        {loss, "martingale", "pilot"},
        {accuracy, "path", "path"},
        {"var(Y[0]) / mean(Y[1])", "path", "no sum"},
    };
    for (u32 k = 0; k < COUNT_OF(cases); k++) {
        Fixture fixture = {.sampled = true};
        set_up(&fixture, classifier, 1, &cases[k].of);
        Samples *samples = make_samples();
        SampleRun *run;
        RxnStatus status = rxn__sample_run_new(
            &fixture.grad, rxn__estimator_find(cases[k].estimator), samples, &run);
        assert_int_equal(status, RXN_ERROR_INPUT);
        assert_null(run);
        Text text;
        rxn__text_init(&text, &fixture.engine.session.arena);
        rxn__diagnostics_render(&fixture.engine.session.diagnostics, &text);
        if (!strstr(text.data, cases[k].why))
            fail_msg("not '%s':\n%s", cases[k].why, text.data);
        rxn__samples_close(samples);
        tear_down(&fixture);
    }
}

#undef main /* the program's own has another name here */

int
main(int argc, char **argv)
{
    if (argc > 1) /* one test */
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path),       cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_score),      cmocka_unit_test(test_unrolled),
        cmocka_unit_test(test_forms),      cmocka_unit_test(test_values),
        cmocka_unit_test(test_devices),    cmocka_unit_test(test_differences),
        cmocka_unit_test(test_product),    cmocka_unit_test(test_shifted),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_files),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
