/* test_grad_pair.c: the estimators that run coupled pairs, coupled and gk, against closed forms and the
 * master equation's figures; and compiled against interpreted.
 *
 * Unbiased means within 4.5 standard errors at fixed seeds: by chance in 7e-6 of such comparisons.
 */
#include "ensemble_fixture.h"

#include "compiler/method/gradient.h"

extern const Estimator rxn__estimator_coupled, rxn__estimator_gk;

static const double limit = 4.5;

enum { MOST_TIMES = 4 };

typedef struct Case {
    Model model;
    Objective objective;
    GradientRequest request;
    double times[MOST_TIMES + 1];
    u32 wrt[8];
} Case;

static Expr
count_of(Case *c, u32 species)
{
    return rxn__expr_object(c->model.network, EXPR_SPECIES, species, 0, NULL);
}

static Expr
param_of(Case *c, u32 param)
{
    return rxn__expr_object(c->model.network, EXPR_PARAM, param, 0, NULL);
}

static Expr
atom_of(Case *c, AtomKind kind, Expr value, double from, double to)
{
    Arena *arena = &c->model.pipeline.arena;
    vec_push(arena, &c->objective.atoms,
             ((Atom){.kind = kind, .value = value, .from = from, .to = to}));
    const double reads[2] = {kind == ATOM_STATE ? to : from, to};
    for (u32 k = 0; k < 2; k++) {
        u32 place = 0;
        if (reads[k] <= 0)
            continue;
        while (place < c->objective.times.count && c->objective.times.items[place] < reads[k])
            place++;
        if (place < c->objective.times.count && c->objective.times.items[place] == reads[k])
            continue;
        vec_push(arena, &c->objective.times, reads[k]);
        for (u32 i = c->objective.times.count - 1; i > place; i--)
            c->objective.times.items[i] = c->objective.times.items[i - 1];
        c->objective.times.items[place] = reads[k];
    }
    c->objective.end = c->objective.times.items[c->objective.times.count - 1];
    return rxn__expr_object(c->model.network, EXPR_QUANTITY, c->objective.atoms.count - 1, 0, NULL);
}

static void
functional_of(Case *c, Expr value, double last)
{
    vec_push(&c->model.pipeline.arena, &c->objective.functionals,
             ((Functional){.value = value, .last = last}));
    c->model.network->objective = &c->objective;
}

static Case *
open_case(const char *text, u32 wrt_count)
{
    Case *c = calloc(1, sizeof *c);
    model_open(&c->model, text);
    for (u32 p = 0; p < wrt_count; p++)
        c->wrt[p] = p;
    c->request = (GradientRequest){.network = c->model.network,
                                   .wrt = c->wrt,
                                   .wrt_count = wrt_count,
                                   .precision = KIR_F64,
                                   .difference = 0.02};
    return c;
}

static void
close_case(Case *c)
{
    model_close(&c->model);
    free(c);
}

static GradientKernel
write_kernel(Case *c, const Estimator *estimator)
{
    GradientKernel kernel = {0};
    Text reason;
    rxn__text_init(&reason, &c->model.pipeline.arena);
    if (!estimator->applies(&c->request, &reason))
        fail_msg("%s: %s", estimator->name, reason.data);
    const char *error =
        estimator->write(&c->request, &c->model.pipeline.arena, &c->model.session.names, &kernel);
    if (error)
        fail_msg("%s: %s", estimator->name, error);
    return kernel;
}

static Experiment
experiment_of(Case *c, const GradientKernel *kernel, u64 trajectories)
{
    u32 count = c->objective.times.count;
    for (u32 k = 0; k < count; k++)
        c->times[k] = c->objective.times.items[k];
    c->times[count] = INFINITY;
    return (Experiment){.times = c->times,
                        .time_count = (i32)count,
                        .rows = 1,
                        .columns = rxn__row_columns(&kernel->row),
                        .end = c->objective.end,
                        .trajectories = trajectories,
                        .seed = 2024,
                        .threads = 2};
}

/* result[functional * leaves + leaf]: of n trajectories for each leaf. */
static void
estimate(Case *c, const Estimator *estimator, u64 n, Moments *result)
{
    GradientKernel kernel = write_kernel(c, estimator);
    u32 leaves = kernel.row.leaves;
    assert_true(kernel.row.one_leaf && kernel.row.has_direct && leaves == c->request.wrt_count);
    Experiment experiment = experiment_of(c, &kernel, n * leaves);
    double *rows = experiment_run(&experiment, &c->model, &kernel.kernel, true);
    for (u32 i = 0; i < kernel.row.functionals; i++)
        for (u32 p = 0; p < leaves; p++)
            result[i * leaves + p] =
                moments_of(rows, p * experiment.columns + rxn__row_direct(&kernel.row, i, 0),
                           (size_t)leaves * experiment.columns, n);
    free(rows);
}

/* bias: that is allowed on top, as a part of the exact value. */
static void
assert_near(const char *what, Moments found, double exact, double bias)
{
    double off = fabs(found.mean - exact);
    if (!(off <= limit * found.se + bias * fabs(exact)))
        fail_msg("%s: %g, exact %g: off by %g standard errors (sd %g)", what, found.mean, exact,
                 off / found.se, found.sd);
}

/* By a relative step of 0.02 the bias of coupled is some 0.02^2 of the third derivative over the first,
 * thus below 0.001 where a power of a parameter up to the third is what the mean is made of. */
static const double bias = 0.001;

static void
check(const char *name, Case *c, u64 n_coupled, u64 n_gk, const double *exact)
{
    char what[80];
    Moments found[16];
    u32 count = c->objective.functionals.count * c->request.wrt_count;
    assert_true(count <= 16);
    for (u32 k = 0; k < 2; k++) {
        const Estimator *estimator = k ? &rxn__estimator_gk : &rxn__estimator_coupled;
        u64 n = k ? n_gk : n_coupled;
        if (n == 0)
            continue;
        estimate(c, estimator, n, found);
        for (u32 i = 0; i < count; i++) {
            snprintf(what, sizeof what, "%s, %s, number %u", name, estimator->name, i);
            print_message("# %s: %g (exact %g, se %g, sd %g)\n", what, found[i].mean, exact[i],
                          found[i].se, found[i].sd);
            assert_near(what, found[i], exact[i], k ? 0 : bias);
        }
    }
}

static const char birth_death[] = "species X = 0\nparam k = 20, g = 1\n0 -> X @ k\nX -> 0 @ g\n"
                                  "simulate until 2\n";

/* Mean, second moment, average, a time before the last; k X and its integral, where the parameter is in F. */
static void
test_birth_death(void **state)
{
    (void)state;
    Case *c = open_case(birth_death, 2);
    Network *network = c->model.network;
    Expr X = count_of(c, 0), k = param_of(c, 0);
    Expr kX = expr_binary(network, EXPR_MUL, k, X);
    Expr at_2 = atom_of(c, ATOM_STATE, X, 2, 2), at_1 = atom_of(c, ATOM_STATE, X, 1, 1);
    functional_of(c, at_2, 2);
    functional_of(c, expr_binary(network, EXPR_MUL, at_2, at_2), 2);
    functional_of(c, at_1, 1);
    functional_of(c, atom_of(c, ATOM_INTEGRAL, X, 0, 2), 2);
    functional_of(c, expr_binary(network, EXPR_MUL, k, at_2), 2);
    functional_of(c, atom_of(c, ATOM_INTEGRAL, kX, 1, 2), 2);
    /* m = k (1 - e)/g, e = exp(-g t): dm/dk = (1 - e)/g, dm/dg = k (t e/g - (1 - e)/g^2); E X^2 = m + m^2;
     * the integral of m from 0 is k (t/g - (1 - e)/g^2). With g = 1. */
    double e2 = exp(-2), e1 = exp(-1), m = 20 * (1 - e2);
    double dk = 1 - e2, dg = 20 * (2 * e2 - (1 - e2));
    double ik = 2 - (1 - e2), ig = 20 * (-2 - 2 * e2 + 2 * (1 - e2));
    double i1k = 1 - (1 - e1), i1g = 20 * (-1 - e1 + 2 * (1 - e1));
    double integral = 20 * (ik - i1k);
    const double exact[] = {
        dk,
        dg,
        (1 + 2 * m) * dk,
        (1 + 2 * m) * dg,
        1 - e1,
        20 * (e1 - (1 - e1)),
        ik,
        ig,
        m + 20 * dk,
        20 * dg,
        integral + 20 * (ik - i1k),
        20 * (ig - i1g),
    };
    assert_true(fabs(20 * dk - 17.2933) < 1e-4 && fabs(dg + 11.8799) < 1e-4);
    check("birth and death", c, 20000, 100000, exact);
    close_case(c);
}

static void
test_dimerisation(void **state)
{
    (void)state;
    Case *c = open_case("species M = 100, D = 0\nparam k1 = 0.001, k2 = 0.1\n2 M <-> D @ k1, k2\n"
                        "simulate until 10\n",
                        2);
    functional_of(c, atom_of(c, ATOM_STATE, count_of(c, 0), 10, 10), 10);
    const double exact[] = {-19.2052 / 0.001, 11.1291 / 0.1}; /* GRADIENTS: the master equation */
    check("dimerisation", c, 20000, 100000, exact);
    close_case(c);
}

static void
test_schlogl(void **state)
{
    (void)state;
    Case *c = open_case("species X = 250\nparam k1 = 0.03, k2 = 0.0001, k3 = 200, k4 = 3.5\n"
                        "2 X -> 3 X @ k1\n3 X -> 2 X @ k2\n0 -> X @ k3\nX -> 0 @ k4\n"
                        "simulate until 1\n",
                        4);
    c->wrt[1] = 3;
    c->request.wrt_count = 2;
    functional_of(c, atom_of(c, ATOM_STATE, count_of(c, 0), 1, 1), 1);
    /* The master equation's derivatives by the logarithms of the first and the last rate. */
    const double log_slopes[] = {1500.8, -1345.5}, values[] = {0.03, 3.5};
    const double spread[] = {4440, 3790}; /* of gk per trajectory, as measured elsewhere */
    double exact[2];
    for (u32 p = 0; p < 2; p++)
        exact[p] = log_slopes[p] / values[p];
    Moments found[2];
    estimate(c, &rxn__estimator_gk, 10000, found);
    for (u32 p = 0; p < 2; p++) {
        assert_near("schlogl, gk", found[p], exact[p], 0);
        assert_true(fabs(found[p].sd * values[p] / spread[p] - 1) < 0.2);
    }
    /* A bistable mean bends: a smaller step. */
    c->request.difference = 0.005;
    estimate(c, &rxn__estimator_coupled, 10000, found);
    for (u32 p = 0; p < 2; p++)
        assert_near("schlogl, coupled", found[p], exact[p], 0.01);
    close_case(c);
}

/* One parameter slows the one reaction and speeds up the other: derivatives of both signs. */
static void
test_signs(void **state)
{
    (void)state;
    Case *c = open_case("species X = 0\nparam q = 1.5\n0 => X @ 20 / q\nX -> 0 @ q\n"
                        "simulate until 2\n",
                        1);
    functional_of(c, atom_of(c, ATOM_STATE, count_of(c, 0), 2, 2), 2);
    /* E X = 20 (1 - e^(-qt)) / q^2 */
    double e = exp(-3), exact = 20 * (2 * e / 2.25 - 2 * (1 - e) / 3.375);
    check("signs", c, 40000, 100000, &exact);
    close_case(c);
}

/* Events of a known time, a rate that follows the time, and the copies' own values in what is assigned. */
static void
test_times_and_events(void **state)
{
    (void)state;
    Case *c = open_case("species X = 0\nparam k = 20, g = 1\n0 => X @ k * (1 + 0.5 * sin(3 * t))\n"
                        "X -> 0 @ g\nat 1: X = 2 * X\nsimulate until 2\n",
                        1);
    functional_of(c, atom_of(c, ATOM_STATE, count_of(c, 0), 2, 2), 2);
    /* The mean of rate 1 without the event: 1 - e^-t + 0.5 (sin 3t - 3 cos 3t + 3 e^-t) / 10. */
    double m1 = 1 - exp(-1) + 0.05 * (sin(3) - 3 * cos(3) + 3 * exp(-1));
    double m2 = 1 - exp(-2) + 0.05 * (sin(6) - 3 * cos(6) + 3 * exp(-2));
    const double exact[] = {m2 + m1 * exp(-1)};
    check("a rate of time and an event", c, 20000, 40000, exact);
    close_case(c);

    /* Of what 'when' does the two estimators have to say the same. A parameter that stands in conditions and
     * in assigned counts as well is held there. */
    c = open_case("species X = 0\nparam k = 20, g = 1\n"
                  "0 => X @ if X < k then k else 2 * k + floor(k)\nX -> 0 @ g\n"
                  "when X > 1.1 * k: X = k / 5\nsimulate until 1\n",
                  2);
    functional_of(c, atom_of(c, ATOM_STATE, count_of(c, 0), 1, 1), 1);
    Moments coupled[2], gk[2];
    estimate(c, &rxn__estimator_coupled, 200000, coupled);
    estimate(c, &rxn__estimator_gk, 200000, gk);
    for (u32 p = 0; p < 2; p++) {
        double se = hypot(coupled[p].se, gk[p].se);
        print_message("# when: coupled %g (%g), gk %g (%g)\n", coupled[p].mean, coupled[p].se,
                      gk[p].mean, gk[p].se);
        assert_true(fabs(gk[p].mean) > 10 * se);
        assert_true(fabs(coupled[p].mean - gk[p].mean) < limit * se + 0.005 * fabs(gk[p].mean));
    }
    close_case(c);
}

/* The parameter is the time at which a rate changes: its breakpoint differs between the copies. That it
 * has no derivative along a path, gk says. */
static void
test_a_time_as_parameter(void **state)
{
    (void)state;
    Case *c = open_case("species X = 0\nparam tau = 1.2\n0 => X @ if t < tau then 20 else 50\n"
                        "X -> 0 @ 1\nat 0.5 * tau: X = 0\nsimulate until 2\n",
                        1);
    functional_of(c, atom_of(c, ATOM_STATE, count_of(c, 0), 2, 2), 2);
    /* 20 e^-2 (e^tau - e^(tau/2)) + 50 (1 - e^(tau - 2)) */
    double exact = 20 * exp(-2) * (exp(1.2) - 0.5 * exp(0.6)) - 50 * exp(1.2 - 2);
    check("a time as parameter", c, 40000, 0, &exact);
    Text reason;
    rxn__text_init(&reason, &c->model.pipeline.arena);
    assert_false(rxn__estimator_gk.applies(&c->request, &reason));
    assert_string_equal(reason.data, "'tau' acts through the time of an event, which has no "
                                     "derivative along a path; 'coupled' can");
    close_case(c);
}

/* E min(first birth, 2) = (1 - exp(-2k))/k. */
static void
test_first_passage(void **state)
{
    (void)state;
    Case *c = open_case("species X = 0\nparam k = 0.8\n0 -> X @ k\nsimulate until 2\n", 1);
    Network *network = c->model.network;
    Expr positive = expr_binary(network, EXPR_LT, rxn__expr_number(network, 0), count_of(c, 0));
    functional_of(c, atom_of(c, ATOM_PASSAGE, positive, 0, 2), 2);
    double exact = (2 * 0.8 * exp(-1.6) - (1 - exp(-1.6))) / (0.8 * 0.8);
    check("first passage", c, 100000, 40000, &exact);
    close_case(c);
}

/* A parameter of a family, also where it acts through a value that is computed once per launch. */
static void
test_families(void **state)
{
    (void)state;
    Case *c = open_case("const N = 3\nspecies X[N] = 0\nparam w[N] = 2, g = 1\n"
                        "for s in 1 .. N-1 { 0 => X[s] @ w[s] * sum(i in 0 .. N-1: w[i]) }\n"
                        "for s in 0 .. N-1 { X[s] -> 0 @ g }\nsimulate until 2\n",
                        4);
    Network *network = c->model.network;
    Expr index = rxn__expr_number(network, 2);
    Expr X2 = rxn__expr_object(network, EXPR_SPECIES, 0, 1, &index);
    functional_of(c, atom_of(c, ATOM_STATE, X2, 2, 2), 2);
    /* E X[2] = w2 (w0 + w1 + w2) (1 - e^-2) */
    double e = exp(-2);
    const double exact[] = {2 * (1 - e), 2 * (1 - e), 8 * (1 - e), 12 * (2 * e - (1 - e))};
    check("families", c, 40000, 40000, exact);
    close_case(c);
}

/* The copies of coupled are at p + h and p - h, inside the bounds of p. */
static void
test_where_the_copies_are(void **state)
{
    (void)state;
    const struct {
        const char *bounds;
        double above, below;
    } cases[] = {{"", 30, 10}, {" in 1 .. 26", 26, 10}, {" in 15 .. 26", 26, 15}};
    enum { N = 20000 };
    for (u32 k = 0; k < 3; k++) {
        char text[200];
        snprintf(text, sizeof text,
                 "species X = 0\nparam k = 20%s, g = 1\n0 -> X @ k\nX -> 0 @ g\nsimulate until 2\n",
                 cases[k].bounds);
        Case *c = open_case(text, 1);
        c->request.difference = 0.5;
        functional_of(c, atom_of(c, ATOM_STATE, count_of(c, 0), 2, 2), 2);
        GradientKernel kernel = write_kernel(c, &rxn__estimator_coupled);
        Experiment experiment = experiment_of(c, &kernel, N);
        double *rows = experiment_run(&experiment, &c->model, &kernel.kernel, true);
        double width = cases[k].above - cases[k].below;
        for (u32 n = 0; n < N; n++) {
            double middle = rows[2 * n], half = rows[2 * n + 1] * width / 2;
            rows[2 * n] = middle + half;
            rows[2 * n + 1] = middle - half;
            assert_true(fabs(rows[2 * n] - rint(rows[2 * n])) < 1e-9);
        }
        assert_near("above", moments_of(rows, 0, 2, N), cases[k].above * (1 - exp(-2)), 0);
        assert_near("below", moments_of(rows, 1, 2, N), cases[k].below * (1 - exp(-2)), 0);
        free(rows);
        close_case(c);
    }
}

/* Compiled on several lanes and threads, and interpreted: the same bits. */
static void
test_compiled_is_interpreted(void **state)
{
    (void)state;
    static const char *const texts[] = {
        birth_death,
        "species X = 10\nparam k = 20, g = 1\n0 => X @ k * (1 + 0.5 * sin(3 * t))\n"
        "X -> 0 @ if t < 1 then g else 2 * g\nat 1: X = 2 * X\nwhen X > 30: X = 5\n"
        "simulate until 2\n",
    };
    const Estimator *const estimators[] = {&rxn__estimator_coupled, &rxn__estimator_gk};
    const KirType precisions[] = {KIR_F64, KIR_F32};
    enum { N = 203 };
    for (u32 which = 0; which < 8; which++) {
        Case *c = open_case(texts[which & 1], 2);
        c->request.precision = precisions[which >> 1 & 1];
        Expr X = count_of(c, 0);
        functional_of(c, atom_of(c, ATOM_STATE, X, 2, 2), 2);
        functional_of(c, atom_of(c, ATOM_INTEGRAL, X, 0.5, 1), 1);
        GradientKernel kernel = write_kernel(c, estimators[which >> 2]);
        Experiment experiment = experiment_of(c, &kernel, N);
        double *compiled = experiment_run(&experiment, &c->model, &kernel.kernel, true);
        experiment.threads = 1;
        experiment.lanes = 2;
        double *narrow = experiment_run(&experiment, &c->model, &kernel.kernel, false);
        experiment.interpreted = true;
        double *interpreted = experiment_run(&experiment, &c->model, &kernel.kernel, false);
        size_t size = N * experiment.columns * sizeof *compiled;
        double sum = 0;
        for (size_t k = 0; k < N; k++)
            sum += fabs(compiled[k * experiment.columns + rxn__row_direct(&kernel.row, 0, 0)]);
        assert_true(sum > 0);
        assert_memory_equal(compiled, interpreted, size);
        assert_memory_equal(compiled, narrow, size);
        free(compiled);
        free(narrow);
        free(interpreted);
        close_case(c);
    }
}

static void
test_what_is_refused(void **state)
{
    (void)state;
    Case *c = open_case("species X[400] = 0\nparam k = 1\nfor s in 0 .. 399 { 0 -> X[s] @ k }\n"
                        "simulate until 2\n",
                        1);
    Text reason;
    rxn__text_init(&reason, &c->model.pipeline.arena);
    assert_false(rxn__estimator_coupled.applies(&c->request, &reason));
    assert_non_null(strstr(reason.data, "'path' takes large networks"));
    assert_false(rxn__estimator_gk.applies(&c->request, &reason));
    close_case(c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_birth_death),
        cmocka_unit_test(test_dimerisation),
        cmocka_unit_test(test_schlogl),
        cmocka_unit_test(test_signs),
        cmocka_unit_test(test_times_and_events),
        cmocka_unit_test(test_a_time_as_parameter),
        cmocka_unit_test(test_first_passage),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_where_the_copies_are),
        cmocka_unit_test(test_compiled_is_interpreted),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
