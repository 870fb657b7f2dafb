/* test_couple.c: the pair of coupled trajectories as a network: that it is a sound one, that each copy
 * has the law of the origin, and that copies which are equal stay so.
 *
 * The statistics have fixed seeds; a Z beyond 4.5 has a probability of 7e-6.
 */
#include "ensemble_fixture.h"

#include "compiler/network/couple.h"

static const double limit = 4.5;
static const double no_more = INFINITY;

/* Everything that a network can have: families, sums that are hoisted, laws, events of each kind, rates
 * that change with time smoothly and at once, a bound of the user's. */
static const struct {
    const char *name, *text;
    double end;
    u32 start; /* of the second copy's first species, where the copies start apart */
} models[] = {
    {"birth and death",
     "species X = 0\nparam k = 20, g = 1\n0 -> X @ k\nX -> 0 @ g\nsimulate until 2\n", 2, 40},
    {"dimerisation",
     "species M = 100, D = 0\nparam c = 0.001, d = 0.1\n2 M <-> D @ c, d\nsimulate until 10\n", 10,
     60},
    {"a law with a threshold",
     "species A = 5, B = 0\nparam v = 3\nA => B @ if A > 0 then v else 0\nB -> A @ 0.5\n"
     "simulate until 3\n",
     3, 9},
    {"families",
     "const N = 3\nspecies X[N] = 4, Y = 2\nparam w[N] = 0.7, d = 0.5\n"
     "for s in 0 .. N-2 { hop: X[s] <-> X[s+1] @ d * w[s], d }\n"
     "for s in 0 .. N-1 { make: 0 => Y @ w[s] * sum(i in 0 .. N-1: w[i] * w[i]) * X[s] }\n"
     "Y -> 0 @ 0.5 * d\nsimulate until 2\n",
     2, 11},
    {"times",
     "species X = 3, Y = 0\nparam k = 5, g = 0.5, tau = 1.2\n"
     "0 => X @ k * (1 + 0.5 * sin(3 * t))\nX -> 0 @ if t < tau then g else 3 * g\n"
     "X => X + Y @ X * (2 + cos(t)) bound 3 * X\nY -> 0 @ 1\n"
     "at 0.7: X = X + 5, Y = 0\nevery 0.5 from 0.25: Y = Y + 1\nwhen Y > 9: Y = 1\n"
     "simulate until 2\n",
     2, 12},
};

static Experiment
experiment_of(const double *times, double end, u32 columns, u64 trajectories)
{
    return (Experiment){.times = times,
                        .time_count = 1,
                        .rows = 1,
                        .columns = columns,
                        .end = end,
                        .trajectories = trajectories,
                        .seed = 7,
                        .threads = 2};
}

static double *
simulate(Model *model, Network *network, const Experiment *experiment, const char *method)
{
    MethodKernel kernel = {0};
    MethodOptions options = {.precision = KIR_F64};
    const char *error = rxn__method_find(method)->write(network, &options, &model->pipeline.arena,
                                                        &model->session.names, &kernel);
    if (error)
        fail_msg("%s", error);
    return experiment_run(experiment, model, &kernel, true);
}

static Pair
pair_of(Model *model)
{
    Pair pair;
    const char *error = rxn__network_pair(model->network, NULL, 0, &model->pipeline.arena,
                                          &model->session.names, &pair);
    if (error)
        fail_msg("%s", error);
    return pair;
}

static void
test_the_text_reads_back(void **state)
{
    (void)state;
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        Model model;
        model_open(&model, models[m].text);
        Pair pair = pair_of(&model);
        Arena *arena = &model.pipeline.arena;
        assert_null(rxn__network_check(pair.network, arena));
        Text text, second;
        rxn__text_init(&text, arena);
        rxn__network_print(pair.network, &text);
        Network *again;
        const char *error =
            rxn__network_read(arena, &model.session.names, text.data, text.length, &again);
        if (error)
            fail_msg("%s: %s\n%s", models[m].name, error, text.data);
        rxn__text_init(&second, arena);
        rxn__network_print(again, &second);
        assert_string_equal(text.data, second.data);
        assert_int_equal(pair.network->species_count, 2 * model.network->species_count);
        assert_int_equal(pair.network->column_count, 2 * model.network->column_count);
        model_close(&model);
    }
}

static void
test_equal_copies_never_part(void **state)
{
    (void)state;
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        static const char *const methods[] = {"direct-unrolled", "direct-table"};
        for (u32 k = 0; k < 2; k++) {
            Model model;
            model_open(&model, models[m].text);
            Pair pair = pair_of(&model);
            u32 columns = pair.network->column_count;
            double times[] = {models[m].end, no_more};
            Experiment experiment = experiment_of(times, models[m].end, columns, 500);
            double *rows = simulate(&model, pair.network, &experiment, methods[k]);
            double moved = 0;
            for (u64 n = 0; n < experiment.trajectories; n++) {
                for (u32 c = 0; c < columns / 2; c++) {
                    assert_true(rows[n * columns + c] == rows[n * columns + columns / 2 + c]);
                    moved += fabs(rows[n * columns + c] - rows[c]);
                }
            }
            assert_true(moved > 0);
            free(rows);
            model_close(&model);
        }
    }
}

static void
assert_same_law(const char *name, const char *copy, Moments a, Moments b, double n)
{
    double z = (a.mean - b.mean) / hypot(a.se, b.se);
    if (!(fabs(z) < limit) && !(a.sd == 0 && b.sd == 0 && a.mean == b.mean))
        fail_msg("%s, %s: means %g and %g, Z = %g", name, copy, a.mean, b.mean, z);
    /* sd of a standard deviation, for a kurtosis of up to 4.5; a wrong coupling is off by far more */
    double relative = (a.sd - b.sd) / (a.sd + b.sd + 1e-300) * 2;
    if (!(fabs(relative) < limit * sqrt(2 * 3.5 / (4 * n)) * 1.5))
        fail_msg("%s, %s: standard deviations %g and %g", name, copy, a.sd, b.sd);
}

/* The first copy starts as the model says, the second apart from it: each against a run of the model
 * from there. */
static void
test_each_copy_has_its_law(void **state)
{
    (void)state;
    enum { N = 20000 };
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        Model model;
        model_open(&model, models[m].text);
        Pair pair = pair_of(&model);
        Network *network = pair.network;
        u32 own = model.network->column_count;
        double times[] = {models[m].end, no_more};
        Experiment single = experiment_of(times, models[m].end, own, N);
        Experiment both = experiment_of(times, models[m].end, 2 * own, N);
        single.seed = 8;
        double *from_here = simulate(&model, model.network, &single, "direct");
        model.network->species.items[0].initial = rxn__expr_number(model.network, models[m].start);
        single.seed = 9;
        double *from_there = simulate(&model, model.network, &single, "direct");
        network->species.items[model.network->species.count].initial =
            rxn__expr_number(network, models[m].start);
        double *rows = simulate(&model, network, &both, "direct");
        u64 apart = 0;
        for (u32 c = 0; c < own; c++) {
            assert_same_law(models[m].name, "first copy", moments_of(rows, c, 2 * own, N),
                            moments_of(from_here, c, own, N), N);
            assert_same_law(models[m].name, "second copy", moments_of(rows, own + c, 2 * own, N),
                            moments_of(from_there, c, own, N), N);
            for (u64 n = 0; n < N; n++)
                apart += rows[n * 2 * own + c] != rows[n * 2 * own + own + c];
        }
        assert_true(apart > 0);
        free(rows);
        free(from_here);
        free(from_there);
        model_close(&model);
    }
}

static void
test_a_law_without_state_has_one_reaction(void **state)
{
    (void)state;
    Model model;
    model_open(&model, models[0].text);
    Pair pair = pair_of(&model);
    /* the birth once; the death in both, in the first, in the second */
    assert_int_equal(pair.network->reaction_count, 4);
    assert_string_equal(rxn__reaction_label(pair.network, 0, &model.pipeline.arena), "r1 & r1'");
    /* Of a chosen parameter each copy has its own value. */
    u32 k = 0;
    Pair other;
    assert_null(rxn__network_pair(model.network, &k, 1, &model.pipeline.arena, &model.session.names,
                                  &other));
    assert_int_equal(other.network->reaction_count, 6);
    model_close(&model);
}

static void
test_which_parameters_are_read(void **state)
{
    (void)state;
    Model model;
    model_open(&model, "const N = 3\nspecies X[N] = 4\nparam a = 1, w[N] = 1, b = 2\n"
                       "X[1] => 0 @ a * X[1] * w[2]\n"
                       "for s in 0 .. N-1 { X[s] -> 0 @ b * sum(i in 0 .. N-1: w[i]) }\n"
                       "simulate until 1\n");
    Network *network = model.network;
    const bool reads[2][5] = {{true, false, false, true, false}, {false, true, true, true, true}};
    for (u32 r = 0; r < 2; r++)
        for (u32 flat = 0; flat < 5; flat++)
            assert_int_equal(
                rxn__expr_reads_param(network, network->reactions.items[r].propensity, flat),
                reads[r][flat]);
    model_close(&model);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_text_reads_back),
        cmocka_unit_test(test_equal_copies_never_part),
        cmocka_unit_test(test_each_copy_has_its_law),
        cmocka_unit_test(test_a_law_without_state_has_one_reaction),
        cmocka_unit_test(test_which_parameters_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
