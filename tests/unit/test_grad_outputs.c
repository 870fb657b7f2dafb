/* test_grad_outputs.c: the chain rule around the estimators (compiler/engine/grad_outputs.c), against
 * finite differences: outputs by expectations and parameters, and hoisted values by the parameters in
 * them.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/engine/grad.h"

void
rxn__engine_error(Engine *engine, const char *format, ...)
{
    (void)engine;
    fail_msg("an error: %s", format);
}

static const char model_text[] = "model layer\n"
                                 "index g = 3, p = 4\n"
                                 "param W[g, p] = 0.1\n"
                                 "param b[g] = 0.3\n"
                                 "param k = 2\n"
                                 "param s = 0.5\n"
                                 "input x[p]\n"
                                 "species H[g] = 0, A = 10\n"
                                 "for i in g {\n"
                                 "  on: 0 => H[i] @ k * sigmoid(sum(j in p: W[i,j]*x[j]) + b[i])\n"
                                 "  off: H[i] -> 0 @ exp(s * k)\n"
                                 "}\n"
                                 "A -> 0 @ sum(i in g: W[i,0]^2) * s\n";

typedef struct Fixture {
    Session session;
    Engine engine;
    Grad grad;
    double params[32], inputs[8];
} Fixture;

static double
evaluate(Fixture *fixture, Expr expr, const double *quantities)
{
    ExprValues values = {
        .params = fixture->params, .inputs = fixture->inputs, .quantities = quantities};
    return rxn__expr_evaluate(fixture->grad.pipeline.network, expr, &values);
}

/* Richardson's extrapolation of centred differences: errors of the order h^4. */
static double
slope(Fixture *fixture, Expr expr, double *moved, const double *quantities)
{
    double at = *moved, h = 1e-3 * (1 + fabs(at)), centred[2];
    for (int k = 0; k < 2; k++) {
        double step = k == 0 ? h : h / 2;
        *moved = at + step;
        double above = evaluate(fixture, expr, quantities);
        *moved = at - step;
        centred[k] = (above - evaluate(fixture, expr, quantities)) / (2 * step);
    }
    *moved = at;
    return (4 * centred[1] - centred[0]) / 3;
}

static void
assert_close(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-7 * (1 + fabs(expected))))
        fail_msg("%.17g is not %.17g", got, expected);
}

static RxnStatus
open_model(void *context)
{
    Fixture *fixture = context;
    Grad *grad = &fixture->grad;
    static const char *const texts[] = {"A * H[0]", "k * var(A) / mean(H[1])",
                                        "sum(i in g: W[i,1]) * mean(A)"};
    static const double times[] = {1, 2};
    ObjectiveRequest objective = {texts, COUNT_OF(texts), times, COUNT_OF(times)};
    PipelineRequest request = {.goal = PIPELINE_NETWORK, .method = "auto", .objective = &objective};
    request.file =
        rxn__sources_add(&fixture->session.sources, "layer.rxn", model_text, sizeof model_text - 1);
    RxnStatus status = rxn__pipeline_run(&fixture->session, &request, &grad->pipeline);
    if (status != RXN_OK) {
        Text text;
        rxn__text_init(&text, &fixture->session.arena);
        rxn__diagnostics_render(&fixture->session.diagnostics, &text);
        fail_msg("%s", text.data);
    }
    u32 count = grad->pipeline.network->param_count;
    assert_true(count <= COUNT_OF(fixture->params));
    u32 *wrt = NEW_ARRAY(&grad->pipeline.arena, u32, count);
    for (u32 p = 0; p < count; p++) {
        wrt[p] = count - 1 - p; /* another order than that of the flat numbers */
        fixture->params[p] = 0.3 + 0.1 * p - 0.007 * p * p;
    }
    for (u32 k = 0; k < 8; k++)
        fixture->inputs[k] = 0.5 + 0.25 * k;
    grad->engine = &fixture->engine;
    grad->request = (GradientRequest){
        .network = grad->pipeline.network, .wrt = wrt, .wrt_count = count, .precision = KIR_F64};
    grad->values = (ModelValues){.params = fixture->params, .inputs = fixture->inputs};
    return RXN_OK;
}

static RxnStatus
check_outputs(void *context)
{
    Fixture *fixture = context;
    Grad *grad = &fixture->grad;
    const Objective *objective = grad->pipeline.network->objective;
    rxn__grad_outputs(grad);
    assert_int_equal(grad->output_count, 6);
    double means[16], room[4][64];
    assert_true(objective->functionals.count <= COUNT_OF(means));
    for (u32 i = 0; i < objective->functionals.count; i++)
        means[i] = 1.5 + 0.75 * i;
    u32 mixed = 0, second = 0;
    for (u32 o = 0; o < grad->output_count; o++) {
        const RxnOutput *shape = &grad->outputs[o];
        const OutputDerivatives *exprs = &grad->derivatives[o];
        RxnOutputValues values = {0, room[0], room[1], room[2], room[3]};
        assert_true(shape->first_count <= 64 && shape->second_count <= 64);
        assert_true(shape->direct_count <= 64 && shape->mixed_count <= 64);
        rxn__grad_linearize(grad, o, means, &values);
        double gradient[16] = {0}, by_param[32] = {0};
        for (u32 e = 0; e < shape->first_count; e++)
            gradient[shape->first[e]] += values.first[e];
        for (u32 e = 0; e < shape->direct_count; e++)
            by_param[shape->direct[e]] += values.direct[e];
        for (u32 i = 0; i < objective->functionals.count; i++)
            assert_close(gradient[i], slope(fixture, exprs->value, &means[i], means));
        for (u32 p = 0; p < grad->request.wrt_count; p++)
            assert_close(by_param[p], slope(fixture, exprs->value,
                                            &fixture->params[grad->request.wrt[p]], means));
        /* Second derivatives: the slopes of the first ones, none left out. */
        for (u32 e = 0; e < shape->first_count; e++)
            for (u32 j = 0; j < objective->functionals.count; j++) {
                double found = 0;
                for (u32 s = 0; s < shape->second_count; s++)
                    if (shape->second[s].a == shape->first[e] && shape->second[s].b == j)
                        found += values.second[s];
                assert_close(found, slope(fixture, exprs->first[e], &means[j], means));
            }
        for (u32 e = 0; e < shape->direct_count; e++)
            for (u32 j = 0; j < objective->functionals.count; j++) {
                double found = 0;
                for (u32 s = 0; s < shape->mixed_count; s++)
                    if (shape->mixed[s].a == shape->direct[e] && shape->mixed[s].b == j)
                        found += values.mixed[s];
                assert_close(found, slope(fixture, exprs->direct[e], &means[j], means));
            }
        mixed += shape->mixed_count;
        second += shape->second_count;
    }
    assert_true(mixed > 0 && second > 0);
    return RXN_OK;
}

/* A kernel whose leaves are all elements of all hoisted values, and one parameter that acts directly too. */
static RxnStatus
check_leaves(void *context)
{
    Fixture *fixture = context;
    Grad *grad = &fixture->grad;
    Network *network = grad->pipeline.network;
    Arena *arena = &grad->pipeline.arena;
    VEC(GradientLeaf) leaves = {0};
    VEC(Expr) exprs = {0};
    assert_true(network->hoisted.count > 0);
    for (u32 h = 0; h < network->hoisted.count; h++) {
        Shape shape = network->hoisted.items[h].shape;
        for (u32 element = 0; element < rxn__shape_count(&shape); element++) {
            Expr index[RXN_MAX_RANK];
            u32 rest = element;
            for (u32 d = shape.rank; d-- > 0;) {
                index[d] = rxn__expr_number(network, rest % shape.extent[d]);
                rest /= shape.extent[d];
            }
            GradientLeaf leaf = {.op = EXPR_HOISTED, .object = h, .flat = element};
            vec_push(arena, &leaves, leaf);
            vec_push(arena, &exprs, rxn__expr_object(network, EXPR_HOISTED, h, shape.rank, index));
        }
    }
    GradientLeaf own = {.op = EXPR_PARAM, .flat = 3};
    vec_push(arena, &leaves, own);
    grad->pipeline.gradient =
        (GradientKernel){.row = {.leaves = leaves.count}, .leaves = leaves.items};
    RxnLeafMap map;
    assert_true(rxn__grad_leaf_map(grad, &grad->pipeline.arena, &map));
    assert_int_equal(map.parameters, grad->request.wrt_count);
    assert_non_null(map.start);
    u32 found = 0;
    for (u32 p = 0; p < map.parameters; p++)
        for (u32 l = 0; l < leaves.count; l++) {
            double weight = 0, *moved = &fixture->params[grad->request.wrt[p]];
            for (u64 e = map.start[p]; e < map.start[p + 1]; e++)
                if (map.leaf[e] == l)
                    weight += map.weight[e];
            double expected = l + 1 == leaves.count ? grad->request.wrt[p] == own.flat
                                                    : slope(fixture, exprs.items[l], moved, NULL);
            assert_close(weight, expected);
            found += weight != 0;
        }
    /* W in the layer's three sums, b in them or beside them, W[.,0] in the last one. */
    assert_true(found >= 3 * 4 + 3 + 1);

    /* Where leaves are the parameters, in their order, there is no map. */
    grad->pipeline.gradient.row.leaves = grad->request.wrt_count;
    grad->pipeline.gradient.leaves = rxn__gradient_param_leaves(&grad->request, arena);
    assert_true(rxn__grad_leaf_map(grad, &grad->pipeline.arena, &map));
    assert_null(map.start);
    return RXN_OK;
}

static void
with_model(RxnStatus (*check)(void *context))
{
    Fixture fixture = {0};
    assert_int_equal(rxn__session_open(&fixture.session, 0), RXN_OK);
    assert_int_equal(rxn__session_guard(&fixture.session, open_model, &fixture), RXN_OK);
    assert_int_equal(rxn__session_guard(&fixture.session, check, &fixture), RXN_OK);
    rxn__pipeline_close(&fixture.grad.pipeline);
    rxn__session_close(&fixture.session);
}

static void
test_outputs(void **state)
{
    (void)state;
    with_model(check_outputs);
}

static void
test_leaves(void **state)
{
    (void)state;
    with_model(check_leaves);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
