/* test_accumulate.c: which sums of rate laws are recognised as accumulators, however they are phrased, and that
 * what is said of them is right: weight times species, added up, is the value of the sum in random states. */
#include "ensemble_fixture.h"

#include "compiler/network/accumulate.h"

#define DECLARATIONS                                                                               \
    "index gene = 6, class = 3\n"                                                                  \
    "input x[gene]\n"                                                                              \
    "param V[class, gene] = 0.3\nparam U[class, gene] = 0.2\nparam w[gene] = 0.7\n"                \
    "param c[class] = 0.1\nparam tau = 2, k0 = 0.4\n"                                              \
    "species H[gene] = 1, G[8] = 2, T[class, gene] = 1, Y[class] = 0\n"

/* What the accumulators of `0 => Y[k] @ law` must be: how many there are (several may share a sum), and how many
 * distinct sums. `local`: whether all of them are. */
static const struct {
    const char *law;
    u32 count, sums;
    bool local;
} cases[] = {
    /* phrasings of one sum */
    {"sigmoid(c[k] + 0.1 * sum(g in gene: V[k,g] * H[g]))", 1, 1, false},
    {"sigmoid(c[k] + sum(g in gene: 0.1 * V[k,g] * H[g]))", 1, 1, false},
    {"sigmoid(c[k] + sum(g in gene: H[g] * V[k,g] / (10 * tau)))", 1, 1, false},
    {"exp(sum(g in gene: -(V[k,g] - U[k,g]) * H[g]))", 1, 1, false},
    {"exp(sum(g in gene: -(H[g] * 0.25)))", 1, 1, false},
    {"sum(g in gene: H[g])", 1, 1, false},
    {"k0 * sum(g in gene: if tau > 1 then V[k,g] else U[k,g]) + sum(g in gene: w[g]^2 * H[g])", 1,
     1, false},
    {"sum(g in gene: x[g] * w[g] * H[g])", 1, 1, false},
    {"sum(g in gene: log(1 + w[g] * k0) * H[g])", 1, 1, false},
    /* several terms */
    {"sum(g in gene: V[k,g] * H[g] + U[k,g] * G[g])", 2, 1, false},
    {"sum(g in gene: V[k,g] * (H[g] - G[g+1]))", 2, 1, false},
    {"sum(g in gene: V[k,g] * H[g] + U[k,g] * H[g])", 1, 1, false},
    {"sum(g in gene: V[k,g] * H[g] + U[k,g] * G[g] - G[g+2])", 3, 1, false},
    {"sum(g in gene: V[k,g] * H[g]) + sum(g in gene: U[k,g] * H[g])", 2, 2, false},
    {"sum(g in gene: V[k,g] * H[g]) / (1 + sum(g in gene: H[g]))", 2, 2, false},
    /* affine indices */
    {"sum(g in gene: w[g] * G[g+2])", 1, 1, false},
    {"sum(s in 2 .. 7: w[s-2] * G[s])", 1, 1, false},
    /* nested sums */
    {"sum(j in class: sum(g in gene: V[j,g] * T[j,g]))", 1, 1, false},
    {"sum(j in class: c[j] * sum(g in gene: V[k,g] * T[j,g]))", 1, 1, false},
    {"sum(j in class: sum(g in gene: V[j,g] * H[g]))", 1, 1, false},
    {"sum(g in gene: w[g] * sum(j in class: V[j,g] * H[g]))", 1, 1, false},
    {"sum(j in class: exp(sum(g in gene: V[j,g] * H[g])))", 1, 1, false},
    {"exp(sum(g in gene: V[k,g]*H[g])) / sum(j in class: exp(sum(g in gene: V[j,g]*H[g])))", 2, 2,
     false},
    {"prod(j in class: 1 + sum(g in gene: V[j,g] * H[g]))", 1, 1, false},
    {"sum(g in gene: H[g] * w[g]) * sum(g in gene: exp(-w[g]) * H[g]^2)", 1, 1, false},
    /* members that are in few of the sums */
    {"sum(g in gene: V[k,g] * T[k,g])", 1, 1, true},
    {"sum(j in class: c[j] * T[j,2])", 1, 1, true},
    {"sum(j in class: c[j] * T[j,j+1])", 1, 1, true},
    /* none */
    {"sum(g in gene: H[g]^2)", 0, 0, false},
    {"sum(g in gene: V[k,g] * H[g] * H[g])", 0, 0, false},
    {"sum(g in gene: H[g] * G[g])", 0, 0, false},
    {"sum(g in gene: min(H[g], 3))", 0, 0, false},
    {"sum(g in gene: if H[g] > 2 then H[g] else 0)", 0, 0, false},
    {"sum(g in gene: exp(-t) * H[g]) bound 100", 0, 0, false},
    {"sum(g in gene: (if t < tau then V[k,g] else 0) * H[g])", 0, 0, false},
    {"sum(g in gene: V[k,g] * (H[g] + k0))", 0, 0, false},
    {"sum(g in 0 .. 3: G[2*g])", 0, 0, false},
    {"sum(g in gene: Y[k] * H[g])", 0, 0, false},
    {"sum(g in gene: w[g] / (1 + H[g]))", 0, 0, false},
    {"sum(g in gene: V[k,g]) * H[2]", 0, 0, false},
    {"prod(g in gene: 1 + H[g])", 0, 0, false},
};

static void
open_law(Model *model, const char *law)
{
    char text[2048];
    snprintf(text, sizeof text,
             "%sfor k in class { make: 0 => Y[k] @ %s }\nH[0] -> 0 @ 1\nsimulate until 1\n",
             DECLARATIONS, law);
    model_open(model, text);
}

static u32
distinct_sums(const Accumulators *list)
{
    u32 distinct = 0;
    for (u32 i = 0; i < list->count; i++)
        distinct += i == 0 || list->items[i].sum != list->items[i - 1].sum;
    return distinct;
}

static void
test_what_is_recognised(void **state)
{
    (void)state;
    for (u32 i = 0; i < COUNT_OF(cases); i++) {
        Model model;
        Accumulators list;
        open_law(&model, cases[i].law);
        rxn__network_accumulators(model.network, &model.pipeline.arena, 2, &list);
        if (list.count != cases[i].count || distinct_sums(&list) != cases[i].sums)
            fail_msg("%s: %u accumulators in %u sums", cases[i].law, list.count,
                     distinct_sums(&list));
        for (u32 k = 0; k < list.count; k++) {
            if (list.items[k].local != cases[i].local)
                fail_msg("%s: local %d", cases[i].law, list.items[k].local);
            ExprUses uses = rxn__expr_uses(model.network, list.items[k].weight);
            assert_false(uses.species || uses.time || uses.window || uses.quantities);
        }
        model_close(&model);
    }
}

/* ---- values ------------------------------------------------------------------------------------ */

static double
random_value(u64 *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 40) / (double)(1 << 24);
}

static double
term_value(const Network *network, const Accumulator *entry, ExprValues *values)
{
    const Species *species = &network->species.items[entry->species];
    i64 index[RXN_MAX_RANK] = {0};
    for (u32 d = 0; d < species->shape.rank; d++) {
        Affine affine;
        assert_true(rxn__expr_affine(network, entry->index[d], &affine));
        index[d] = rxn__affine_evaluate(&affine, values->variables);
    }
    u32 flat = rxn__flat_member(&species->shape, species->flat, index);
    return rxn__expr_evaluate(network, entry->weight, values) * values->species[flat];
}

/* Over all values of inner[depth …]. */
static double
inner_sum(const Network *network, const Accumulator *entry, u32 depth, ExprValues *values,
          i64 *variables)
{
    if (depth == RXN_MAX_RANK || depth == entry->inner_count)
        return term_value(network, entry, values);
    double sum = 0;
    const Variable range = network->variables.items[entry->inner[depth]];
    for (i64 v = range.low; v <= range.high; v++) {
        variables[entry->inner[depth]] = v;
        sum += inner_sum(network, entry, depth + 1, values, variables);
    }
    return sum;
}

static void
test_what_is_said_is_right(void **state)
{
    (void)state;
    u64 seed = 1;
    for (u32 i = 0; i < COUNT_OF(cases); i++) {
        Model model;
        Accumulators list;
        open_law(&model, cases[i].law);
        Network *network = model.network;
        Arena *arena = &model.pipeline.arena;
        rxn__network_accumulators(network, arena, 2, &list);
        double *counts = NEW_ARRAY(arena, double, network->species_count);
        i64 *variables = NEW_ARRAY(arena, i64, network->variables.count);
        for (u32 round = 0; round < 5; round++) {
            for (u32 s = 0; s < network->species_count; s++)
                counts[s] = floor(10 * random_value(&seed));
            for (u32 p = 0; p < network->param_count; p++)
                model.params[p] = 0.1 + random_value(&seed);
            for (u32 n = 0; n < network->input_count; n++)
                model.inputs[n] = random_value(&seed);
            ExprValues values = {.species = counts,
                                 .params = model.params,
                                 .inputs = model.inputs,
                                 .variables = variables};
            for (u32 first = 0, behind; first < list.count; first = behind) {
                const Accumulator *entry = &list.items[first];
                for (u32 k = 0; k < entry->shape.rank; k++) {
                    const Variable range = network->variables.items[entry->variables[k]];
                    assert_int_equal(range.high - range.low + 1, entry->shape.extent[k]);
                    variables[entry->variables[k]] =
                        range.low + (i64)(random_value(&seed) * entry->shape.extent[k]);
                }
                double sum = 0;
                for (behind = first; behind < list.count && list.items[behind].sum == entry->sum;
                     behind++)
                    sum += inner_sum(network, &list.items[behind], 0, &values, variables);
                double right = rxn__expr_evaluate(network, entry->sum, &values);
                if (!(fabs(sum - right) <= 1e-12 * (1 + fabs(right))))
                    fail_msg("%s: %.17g, not %.17g", cases[i].law, sum, right);
            }
        }
        model_close(&model);
    }
}

static void
test_small_sums_are_left_alone(void **state)
{
    (void)state;
    Model model;
    Accumulators list;
    open_law(&model, "exp(sum(g in gene: V[k,g] * H[g])) + sum(g in gene: H[g] + G[g])");
    rxn__network_accumulators(model.network, &model.pipeline.arena, 6, &list);
    assert_int_equal(list.count, 3);
    rxn__network_accumulators(model.network, &model.pipeline.arena, 7, &list);
    assert_int_equal(list.count, 2); /* six terms, twice, are twelve */
    rxn__network_accumulators(model.network, &model.pipeline.arena, 12, &list);
    assert_int_equal(list.count, 2);
    rxn__network_accumulators(model.network, &model.pipeline.arena, 13, &list);
    assert_int_equal(list.count, 0);
    rxn__network_accumulators(model.network, &model.pipeline.arena, UINT32_MAX, &list);
    assert_int_equal(list.count, 0);
    model_close(&model);
}

static void
test_a_sum_in_two_laws_is_one(void **state)
{
    (void)state;
    Model model;
    Accumulators list;
    model_open(
        &model, DECLARATIONS
        "let total = sum(g in gene: w[g] * H[g])\n"
        "up: 0 => Y[0] @ 1 / (1 + total)\nfor k in class { down: Y[k] => 0 @ total * Y[k] }\n"
        "simulate until 1\n");
    rxn__network_accumulators(model.network, &model.pipeline.arena, 2, &list);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].reaction, 0);
    assert_int_equal(list.items[0].shape.rank, 0);
    model_close(&model);
}

static void
test_replacing(void **state)
{
    (void)state;
    Model model;
    Accumulators list;
    open_law(&model,
             "exp(c[k] + 0.1 * sum(g in gene: V[k,g] * H[g])) + sum(g in gene: H[g] - G[g+1])");
    Network *network = model.network;
    Arena *arena = &model.pipeline.arena;
    rxn__network_accumulators(network, arena, 2, &list);
    assert_int_equal(list.count, 3);
    Expr replacements[3];
    for (u32 i = 0; i < 3; i++)
        replacements[i] = rxn__expr_object(network, EXPR_QUANTITY, i, 0, NULL);
    Expr law = rxn__accumulators_replace(network, &list, network->reactions.items[0].propensity,
                                         replacements, arena);
    assert_false(rxn__expr_uses(network, law).species);
    assert_false(rxn__expr_uses(network, law).sums);
    i64 *variables = NEW_ARRAY(arena, i64, network->variables.count);
    double quantities[3] = {3, 5, 0.5};
    for (u32 k = 0; k < network->reactions.items[0].variable_count; k++)
        variables[network->reactions.items[0].variables[k]] = 1;
    ExprValues values = {.params = model.params,
                         .inputs = model.inputs,
                         .quantities = quantities,
                         .variables = variables};
    double exponent = list.items[0].inner_count && list.items[1].sum == list.items[2].sum ? 0.3 : 0;
    double rest = 5.5;
    assert_float_equal(rxn__expr_evaluate(network, law, &values), exp(0.1 + exponent) + rest,
                       1e-12);
    model_close(&model);
}

/* ---- errors ------------------------------------------------------------------------------------ */

static const struct {
    const char *law;
    AccumulatorUse use;
} uses[] = {
    {"k0 * sigmoid(c[k] + 0.1 * sum(g in gene: V[k,g] * H[g]))", ACCUMULATOR_SMOOTH},
    {"exp(-sum(g in gene: V[k,g] * H[g])) * Y[k]", ACCUMULATOR_SMOOTH},
    {"softplus(sum(g in gene: V[k,g] * H[g]) / tau - Y[k]) / (1 + Y[k])", ACCUMULATOR_SMOOTH},
    {"1 / (1 + exp(-sum(g in gene: V[k,g] * H[g])))", ACCUMULATOR_SMOOTH},
    {"0.2 + sigmoid(tanh(sum(g in gene: V[k,g] * H[g])) + sin(t)) bound 2", ACCUMULATOR_SMOOTH},
    {"exp(sum(g in gene: V[k,g] * H[g])) / sum(j in class: exp(sum(g in gene: V[j,g] * H[g])))",
     ACCUMULATOR_SMOOTH},
    {"prod(j in class: sigmoid(sum(g in gene: V[j,g] * H[g])))", ACCUMULATOR_SMOOTH},
    {"min(3, exp(sum(g in gene: V[k,g] * H[g])))", ACCUMULATOR_SMOOTH},
    {"if Y[k] > 3 then exp(sum(g in gene: V[k,g] * H[g])) else 1", ACCUMULATOR_SMOOTH},
    {"sigmoid(sigmoid(sum(g in gene: V[k,g] * H[g])) - 0.5)^k0", ACCUMULATOR_SMOOTH},
    {"exp(sum(g in gene: w[g] * H[g]) - sum(g in gene: w[g] * G[g]))", ACCUMULATOR_SMOOTH},
    /* it may be zero, or cancel */
    {"sum(g in gene: V[k,g] * H[g])", ACCUMULATOR_RELATIVE},
    {"max(0, sum(g in gene: V[k,g] * H[g]))", ACCUMULATOR_RELATIVE},
    {"sum(g in gene: w[g] * H[g])^2 / (1 + sum(g in gene: w[g] * H[g])^2)", ACCUMULATOR_RELATIVE},
    {"1 - exp(-sum(g in gene: w[g] * H[g]))", ACCUMULATOR_RELATIVE},
    {"k0 + sigmoid(sum(g in gene: V[k,g] * H[g]))", ACCUMULATOR_RELATIVE}, /* k0 < 0? */
    {"exp(Y[k] * sum(g in gene: V[k,g] * H[g]))", ACCUMULATOR_RELATIVE},   /* Y[k] is no constant */
    {"exp(exp(sum(g in gene: V[k,g] * H[g])))", ACCUMULATOR_RELATIVE},
    {"1 / (1 + sum(g in gene: w[g] * H[g]))", ACCUMULATOR_RELATIVE},
    /* an error decides */
    {"if sum(g in gene: V[k,g] * H[g]) > 1 then 2 else 1", ACCUMULATOR_DECIDES},
    {"floor(exp(sum(g in gene: V[k,g] * H[g])))", ACCUMULATOR_DECIDES},
    {"if exp(sum(g in gene: V[k,g] * H[g])) + Y[k] < 3 then 2 else sigmoid(k0)",
     ACCUMULATOR_DECIDES},
    {"max(0, sum(g in gene: w[g] * H[g]) - sum(g in gene: w[g] * G[g]))", ACCUMULATOR_DECIDES},
    {"exp(sum(g in gene: w[g] * H[g])) - min(exp(sum(g in gene: w[g] * H[g])), exp(Y[k]))",
     ACCUMULATOR_DECIDES},
    {"abs(Y[k] - sum(g in gene: w[g] * H[g]))^2", ACCUMULATOR_DECIDES},
};

static void
test_what_an_error_does(void **state)
{
    (void)state;
    for (u32 i = 0; i < COUNT_OF(uses); i++) {
        Model model;
        Accumulators list;
        AccumulatorUse use[4];
        open_law(&model, uses[i].law);
        rxn__network_accumulators(model.network, &model.pipeline.arena, 2, &list);
        assert_in_range(list.count, 1, COUNT_OF(use));
        rxn__accumulator_uses(model.network, &list, &model.pipeline.arena, use);
        for (u32 k = 0; k < list.count; k++)
            if (use[k] != uses[i].use)
                fail_msg("%s: %d", uses[i].law, (int)use[k]);
        model_close(&model);
    }
}

static void
test_the_worst_use_counts(void **state)
{
    (void)state;
    Model model;
    Accumulators list;
    AccumulatorUse use[2];
    model_open(&model, DECLARATIONS
               "let z = sum(g in gene: w[g] * H[g])\nlet y = sum(g in gene: w[g] * G[g])\n"
               "a: 0 => Y[0] @ sigmoid(z) * exp(y)\nb: 0 => Y[1] @ z\nH[0] -> 0 @ 1\n"
               "simulate until 1\n");
    rxn__network_accumulators(model.network, &model.pipeline.arena, 2, &list);
    assert_int_equal(list.count, 2);
    rxn__accumulator_uses(model.network, &list, &model.pipeline.arena, use);
    for (u32 k = 0; k < 2; k++) {
        bool is_h = list.items[k].species == 0;
        assert_int_equal(use[k], is_h ? ACCUMULATOR_RELATIVE : ACCUMULATOR_SMOOTH);
    }
    model_close(&model);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_recognised),
        cmocka_unit_test(test_what_is_said_is_right),
        cmocka_unit_test(test_small_sums_are_left_alone),
        cmocka_unit_test(test_a_sum_in_two_laws_is_one),
        cmocka_unit_test(test_replacing),
        cmocka_unit_test(test_what_an_error_does),
        cmocka_unit_test(test_the_worst_use_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
