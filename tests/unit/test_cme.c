/* test_cme.c: the exact oracle against closed forms, finite differences of itself, and published figures;
 * what it refuses. Against a master equation that shares no code with it: tests/exact/cme.py. */
#include "cme_fixture.h"
#include "sanitized.h"

#include "compiler/cme/private.h"

static const char birth_death[] = "model birth_death\n"
                                  "species X = 0\n"
                                  "param k = 20\n"
                                  "param gamma = 1\n"
                                  "0 -> X @ k\n"
                                  "X -> 0 @ gamma\n";
static const char dimerisation[] = "model dimerisation\n"
                                   "species M = 100, D = 0\n"
                                   "param k1 = 0.001\n"
                                   "param k2 = 0.1\n"
                                   "2 M <-> D @ k1, k2\n";
static const char schlogl[] = "model schlogl\n"
                              "species X = 250\n"
                              "param k1 = 3e-2\n"
                              "param k2 = 1e-4\n"
                              "param k3 = 200\n"
                              "param k4 = 3.5\n"
                              "2 X -> 3 X @ k1\n"
                              "3 X -> 2 X @ k2\n"
                              "0 -> X @ k3\n"
                              "X -> 0 @ k4\n";
static const char telegraph[] = "model telegraph\n"
                                "species Goff = 1, Gon = 0, mRNA = 0\n"
                                "param kon = 0.5\n"
                                "param koff = 1.5\n"
                                "param ksyn = 5\n"
                                "param kdeg = 1\n"
                                "Goff <-> Gon @ kon, koff\n"
                                "Gon -> Gon + mRNA @ ksyn\n"
                                "mRNA -> 0 @ kdeg\n";
static const char toggle[] = "model toggle\n"
                             "species U = 3, V = 0\n"
                             "param s = 5\n"
                             "param K = 3\n"
                             "param n = 2\n"
                             "param d = 1\n"
                             "0 => U @ s / (1 + (V/K)^n)\n"
                             "0 => V @ s / (1 + (U/K)^n)\n"
                             "U -> 0 @ d\n"
                             "V -> 0 @ d\n";
/* Everything that happens at instants: jumps of a rate, events at times, cascades; all of it moves with a
 * param. */
static const char instants[] = "model instants\n"
                               "species X = 3, Y = 0\n"
                               "param k = 4\n"
                               "param g = 0.7\n"
                               "param t0 = 1.3\n"
                               "param t1 = 2.1\n"
                               "param p = 0.45\n"
                               "param w = 1.7\n"
                               "0 -> X @ if t < t0 then k else 0.3*k\n"
                               "X -> Y @ g\n"
                               "Y => 0 @ w*Y/(2+Y)\n"
                               "at t1: X = floor(X/2), Y = Y + 1\n"
                               "every p from 0.5: Y = max(0, Y - 1)\n"
                               "when X + Y > 12: X = 2\n"
                               "when Y > 7: Y = 0, X = X + 9\n";
static const char gliding[] = "model gliding\n"
                              "species X = 3, Y = 0\n"
                              "param k = 4\n"
                              "param g = 0.7\n"
                              "param omega = 2\n"
                              "param t0 = 1.3\n"
                              "0 => X @ k*(1+0.9*sin(omega*t))*(if t < t0 then 1 else 2)\n"
                              "X -> Y @ g\n"
                              "Y => 0 @ g*Y*exp(-0.2*t)\n"
                              "when X + Y > 14: X = 2\n";

/* ---- Poisson weights --------------------------------------------------------------------------- */

static void
test_poisson_weights(void **state)
{
    (void)state;
    static const double means[] = {1e-6, 0.3, 1, 7.5, 64, 500.25, 1500};
    Memory memory = {0};
    jmp_buf failed;
    memory.on_failure = &failed;
    Arena arena;
    rxn__arena_init(&arena, &memory);
    Cme cme = {.arena = &arena, .options = {.memory_limit = 1 << 30}};
    for (u32 k = 0; k < COUNT_OF(means); k++) {
        u64 first, last;
        rxn__cme_poisson(&cme, means[k], &first, &last);
        const double *weights = cme.weights.items, *tails = cme.tails.items;
        double sum = 0, mean = 0;
        for (u64 n = last + 1; n-- > first;) {
            double exact = exp(-means[k] + (double)n * log(means[k]) - lgamma((double)n + 1));
            assert_near(weights[n], exact, 1e-11 * exact, "weight");
            assert_near(tails[n], sum, 1e-15, "tail");
            sum += weights[n];
            mean += weights[n] * (double)n;
        }
        assert_near(sum, 1, 1e-14, "sum");
        assert_near(mean, means[k], 1e-13 * (1 + means[k]), "mean");
    }
    rxn__arena_release(&cme.weights.arena);
    rxn__arena_release(&cme.tails.arena);
    rxn__arena_release(&arena);
    assert_int_equal(memory.used, 0);
}

/* ---- closed forms ------------------------------------------------------------------------------ */

/* X(t) is Poisson with mean m(t) = k/γ (1 - e^{-γt}), and the covariance of X(s), X(t) is m(s) e^{-γ(t-s)}. */
static void
test_birth_death(void **state)
{
    (void)state;
    const double k = 20, T = 2, e = exp(-T), m = k * (1 - e), m1 = k * (1 - exp(-1));
    const double dk = 1 - e, dg = -k * (1 - e) + k * T * e; /* dm/dk, dm/dγ at γ = 1 */
    const double area = k * (T - 1 + e);                    /* ∫ m */
    /* E[X(T) ∫X] = ∫ m(s) e^{-(T-s)} ds + m(T) ∫ m */
    const double joint = k * (1 - e - T * e) + m * area;
    Answer a = ask_well(&(Question){.model = birth_death,
                                    .of = {"X", "X^2", "at(X, 1)*X", "integral(X)", "X*integral(X)",
                                           "exp(-X)", "k*X + gamma", "var(X)/mean(X)"},
                                    .at = T,
                                    .by = {"k", "gamma"},
                                    .tolerance = 1e-13});
    const double wanted[][3] = {
        {m, dk, dg},
        {m + m * m, dk * (1 + 2 * m), dg * (1 + 2 * m)},
        {m1 * exp(-1) + m1 * m, NAN, NAN},
        {area, area / k, NAN},
        {joint, NAN, NAN},
        {exp(-m * (1 - exp(-1))), -dk * (1 - exp(-1)) * exp(-m * (1 - exp(-1))),
         -dg * (1 - exp(-1)) * exp(-m * (1 - exp(-1)))},
        {k * m + 1, m + k * dk, k * dg + 1},
        {1, 0, 0},
    };
    assert_int_equal(a.outputs, COUNT_OF(wanted));
    for (u32 o = 0; o < a.outputs; o++) {
        assert_near(a.value[o], wanted[o][0], 1e-10 * (1 + fabs(wanted[o][0])), "value");
        for (u32 i = 0; i < 2; i++)
            if (!isnan(wanted[o][i + 1]))
                assert_near(a.gradient[o][i], wanted[o][i + 1], 1e-9 * (1 + fabs(wanted[o][i + 1])),
                            "gradient");
    }
    assert_true(a.lost <= 1e-13);
    /* As published to four decimals. */
    assert_near(a.gradient[0][0] * k, 17.2933, 5e-5, "dE[X]/dlog k");
    assert_near(a.gradient[0][1], -11.8799, 5e-5, "dE[X]/dlog gamma");
    assert_near(a.gradient[1][0] * k, 615.4, 0.05, "dE[X^2]/dlog k");
    assert_near(a.gradient[1][1], -422.8, 0.05, "dE[X^2]/dlog gamma");
}

/* The n-th arrival comes after an Erlang time: P(τ > t) = P(N(kt) < n). */
static void
test_passage(void **state)
{
    (void)state;
    Answer a =
        ask_well(&(Question){.model = "model arrivals\nspecies X = 0\nparam k = 3\n0 -> X @ k\n",
                             .of = {"passage(X >= 4)", "passage(X >= 0)", "passage(X < 0)"},
                             .at = 2,
                             .by = {"k"}});
    const double mean = 3 * 2;
    /* ∫ P(N < 4) dt = Σ_{j<4} P(N(kT) > j) / k; its derivative by k: -that/k + T P(N(kT) = 3 or less …) */
    double wanted = 0, term = exp(-mean), below = 0, slope = 0;
    for (u32 j = 0; j < 4; j++) {
        below += term;
        wanted += (1 - below) / 3;
        slope += 2 * term / 3;
        term *= mean / (j + 1);
    }
    assert_near(a.value[0], wanted, 1e-9, "passage");
    assert_near(a.gradient[0][0], slope - wanted / 3, 1e-9, "its derivative");
    assert_near(a.value[1], 0, 0, "a condition that holds at the start");
    assert_near(a.value[2], 2, 1e-9, "a condition that never holds");
}

/* Moments of the telegraph gene: linear equations, integrated here by Runge and Kutta's method. */
static void
moment_slopes(const double *y, double *ret)
{
    const double kon = 0.5, koff = 1.5, ksyn = 5, kdeg = 1;
    double g = y[0], m = y[1], gm = y[2], mm = y[3];
    ret[0] = kon * (1 - g) - koff * g;
    ret[1] = ksyn * g - kdeg * m;
    ret[2] = kon * (m - gm) - koff * gm + ksyn * g - kdeg * gm;
    ret[3] = ksyn * (g + 2 * gm) + kdeg * (m - 2 * mm);
}

static void
test_telegraph(void **state)
{
    (void)state;
    double y[4] = {0};
    const u32 steps = 4000;
    const double h = 4.0 / steps;
    for (u32 n = 0; n < steps; n++) {
        double k[4][4], at[4];
        for (u32 stage = 0; stage < 4; stage++) {
            double part = stage == 0 ? 0 : stage == 3 ? h : h / 2;
            for (u32 i = 0; i < 4; i++)
                at[i] = y[i] + (stage ? part * k[stage - 1][i] : 0);
            moment_slopes(at, k[stage]);
        }
        for (u32 i = 0; i < 4; i++)
            y[i] += h / 6 * (k[0][i] + 2 * k[1][i] + 2 * k[2][i] + k[3][i]);
    }
    Answer a = ask_well(&(Question){
        .model = telegraph, .of = {"Gon", "mRNA", "Gon*mRNA", "mRNA^2", "var(mRNA)"}, .at = 4});
    for (u32 o = 0; o < 4; o++)
        assert_near(a.value[o], y[o], 1e-8, "moment");
    assert_near(a.value[4], y[3] - y[1] * y[1], 1e-8, "variance");
}

/* Two conditions that turn true in one jump: the first fires, then the second, then what it sets off; none
 * fires again while it holds. */
static void
test_cascade(void **state)
{
    (void)state;
    Answer a = ask_well(&(Question){.model = "model cascade\nspecies X = 0, Y = 0, Z = 0, W = 0\n"
                                             "0 -> X @ 1\n"
                                             "when Z > 0: W = W + Y + 1, X = 0\n"
                                             "when X > 2: Y = Y + 1\n"
                                             "when X > 2: Z = Z + Y\n",
                                    .of = {"Y", "Z", "W", "X"},
                                    .at = 1});
    /* Three arrivals bring X back to 0, Y and Z to 1 and W to 2; after three more Y is 2 and Z is 3. */
    double term = exp(-1), three = 1, six = 1;
    for (u32 n = 0; n < 6; n++) {
        three -= n < 3 ? term : 0;
        six -= term;
        term /= n + 1;
    }
    assert_near(a.value[0], three + six, 1e-9, "Y");
    assert_near(a.value[1], three + 2 * six, 1e-9, "Z");
    assert_near(a.value[2], 2 * three, 1e-9, "W");
}

/* Sums of a sine's Poisson process: E[X(t)] solves one linear equation. */
static void
test_gliding_mean(void **state)
{
    (void)state;
    Answer a = ask_well(&(Question){.model = "model gliding\nspecies X = 0\nparam k = 9\n"
                                             "0 => X @ k*(1 + 0.8*sin(t))\nX -> 0 @ 1\n",
                                    .of = {"X", "X^2", "integral(X)"},
                                    .at = 3,
                                    .by = {"k"}});
    const double T = 3, e = exp(-T);
    /* m' = 9 (1 + 0.8 sin t) - m */
    const double m = 9 * (1 - e + 0.4 * (sin(T) - cos(T) + e));
    const double area = 9 * (T + 0.8 * (1 - cos(T))) - m;
    assert_near(a.value[0], m, 1e-8, "mean");
    assert_near(a.value[1], m + m * m, 1e-7, "second moment");
    assert_near(a.value[2], area, 1e-7, "integral");
    assert_near(a.gradient[0][0], m / 9, 1e-8, "derivative");
}

/* ---- published figures ------------------------------------------------------------------------- */

static void
test_known_gradients(void **state)
{
    (void)state;
    Answer a =
        ask_well(&(Question){.model = dimerisation, .of = {"M"}, .at = 10, .by = {"k1", "k2"}});
    assert_near(a.gradient[0][0] * a.by[0], -19.2052, 5e-5, "dE[M]/dlog k1");
    assert_near(a.gradient[0][1] * a.by[1], 11.1291, 5e-5, "dE[M]/dlog k2");
    print_message("# dimerisation: %g lost\n", a.lost);
    if (SANITIZED)
        return; /* a third of a minute */
    a = ask_well(
        &(Question){.model = schlogl, .of = {"at(X, 1)", "at(X, 4)"}, .at = 4, .by = {"k1", "k4"}});
    assert_near(a.gradient[0][0] * a.by[0], 1500.8, 0.05, "T = 1, k1");
    assert_near(a.gradient[0][1] * a.by[1], -1345.5, 0.06, "T = 1, k4");
    assert_near(a.gradient[1][0] * a.by[0], 6399, 1, "T = 4, k1");
    assert_near(a.gradient[1][1] * a.by[1], -5504, 1, "T = 4, k4");
    assert_near(a.value[1], 309.88473051807318, 1e-7, "E[X(4)]");
    assert_true(a.lost <= 1e-10);
    print_message("# Schlögl: %g lost\n", a.lost);
}

/* ---- finite differences ------------------------------------------------------------------------ */

/* Differences of fourth order of the values; parameters that move instants do not cross any. (Each takes four solutions,
 * which are slow under a sanitizer: there only those by the first parameter.) */
static void
check_differences(Question question, double allowed)
{
    question.tolerance = 1e-12;
    Answer a = ask_well(&question);
    for (u32 i = 0; i < (SANITIZED ? 1 : a.count); i++) {
        Answer at[4];
        double step = 1e-3 * fabs(a.by[i]);
        for (u32 k = 0; k < 4; k++) {
            static const double places[] = {-2, -1, 1, 2};
            Question moved = question;
            memset(moved.by, 0, sizeof moved.by);
            moved.set = question.by[i];
            moved.set_to = a.by[i] + places[k] * step;
            at[k] = ask_well(&moved);
        }
        for (u32 o = 0; o < a.outputs; o++) {
            double slope =
                (8 * (at[2].value[o] - at[1].value[o]) - (at[3].value[o] - at[0].value[o])) /
                (12 * step);
            char what[128];
            snprintf(what, sizeof what, "d %s / d %s", question.of[o], question.by[i]);
            double size = fabs(slope) + 1e-4 * fabs(a.value[o] / a.by[i]);
            assert_near(a.gradient[o][i], slope, allowed * size + 1e-9, what);
        }
    }
}

static void
test_differences_of_readings(void **state)
{
    (void)state;
    check_differences(
        (Question){.model = telegraph,
                   .of = {"var(mRNA)", "average(mRNA)", "cov(at(mRNA, 2), mRNA)",
                          "integral(mRNA, 1, 3)*mRNA*at(mRNA, 2)*at(Gon, 0.5)", "passage(mRNA > 5)",
                          "kon*mRNA^2/(1 + at(mRNA, 1)*ksyn)",
                          "if at(Gon, 1) > 0 then mRNA else at(mRNA, 3)", "exp(-ksyn/10*mRNA)",
                          "(mRNA - at(mRNA, 1))^2", "total(mRNA*kdeg, 0, 4, 1)",
                          "integral(Gon*ksyn, 0, 2)*mRNA", "passage(mRNA > 3)*kon - 2*Gon"},
                   .at = 4,
                   .by = {"kon", "koff", "ksyn", "kdeg"}},
        1e-8);
}

static void
test_differences_of_laws(void **state)
{
    (void)state;
    check_differences((Question){.model = toggle,
                                 .of = {"U", "U*V", "integral(U)"},
                                 .at = 3,
                                 .by = {"s", "K", "n", "d"}},
                      1e-8);
}

static void
test_differences_of_instants(void **state)
{
    (void)state;
    check_differences(
        (Question){.model = instants,
                   .of = {"X", "X*Y", "integral(X)", "at(X, 1.5)*X", "at(X, 1.6)*integral(X)",
                          "passage(Y > 5)", "passage(X < 2)", "integral(Y, 1, 2.5)*X"},
                   .at = 3,
                   .by = {"k", "g", "t0", "t1", "p", "w"}},
        1e-7);
}

/* An event that leads to states that nothing has led to before. */
static void
test_differences_of_a_leap(void **state)
{
    (void)state;
    check_differences(
        (Question){.model = "model leap\nspecies X = 10, Y = 0\nparam g = 0.7\nparam s = 2.2\n"
                            "X -> Y @ g\nY => X @ Y/(1 + Y)\n"
                            "at s: X = floor(X/2), Y = Y + 20\nwhen Y > 28: Y = 3\n",
                   .of = {"X", "X*Y", "integral(X, 1, 3)"},
                   .at = 3,
                   .by = {"g", "s"}},
        1e-8);
}

static void
test_differences_of_gliding_rates(void **state)
{
    (void)state;
    check_differences(
        (Question){.model = gliding,
                   .of = {"X", "X*Y", "integral(X)", "at(X, 1)*integral(X)", "passage(Y > 5)"},
                   .at = 3,
                   .by = {"k", "g", "omega", "t0"}},
        1e-7);
}

/* A rate constant of 0: the states that it would open hold no probability, but a sensitivity. */
static void
test_rate_of_zero(void **state)
{
    (void)state;
    Answer a = ask_well(&(Question){.model = "model z\nspecies Y = 0\nparam a = 0\nparam b = 1\n"
                                             "0 -> Y @ a\nY -> 0 @ b\n",
                                    .of = {"Y", "Y^2"},
                                    .at = 2,
                                    .by = {"a", "b"}});
    for (u32 o = 0; o < 2; o++) {
        assert_near(a.value[o], 0, 0, "value");
        assert_near(a.gradient[o][0], 1 - exp(-2), 1e-10, "by the rate that is 0");
        assert_near(a.gradient[o][1], 0, 1e-10, "by the other");
    }
}

/* ---- what is lost ------------------------------------------------------------------------------ */

/* The loss that is reported is below what was allowed, and the error of a value below what it implies. */
static void
test_loss(void **state)
{
    (void)state;
    const double T = 2, m = 20 * (1 - exp(-T));
    for (double tolerance = 1e-2; tolerance > 1e-12; tolerance /= 100) {
        Answer a = ask_well(&(Question){.model = birth_death,
                                        .of = {"X", "X^2"},
                                        .at = T,
                                        .by = {"k"},
                                        .tolerance = tolerance});
        assert_true(a.lost > 0 && a.lost <= tolerance);
        double error = fabs(a.value[0] - m);
        assert_true(error >= 1e-2 * a.lost);                /* it is no overstatement */
        assert_true(error <= 2 * a.value_error[0] + 1e-13); /* nor an understatement */
        assert_near(a.value[1], m + m * m, 2 * a.value_error[1] + 1e-11, "E[X^2]");
        assert_near(a.gradient[0][0], m / 20, 2 * a.gradient_error[0][0] + 1e-12, "dE[X]/dk");
    }
}

/* ---- refusals ---------------------------------------------------------------------------------- */

static void
assert_refused(Question question, const char *reason)
{
    Answer a = ask(&question);
    assert_int_equal(a.status, RXN_ERROR_INPUT);
    if (!strstr(a.reason, reason))
        fail_msg("'%s' does not say '%s'", a.reason, reason);
}

static void
test_refusals(void **state)
{
    (void)state;
    const Question plain = {.model = birth_death, .of = {"X"}, .at = 2, .by = {"k"}};
    Question q = plain;
    q.state_limit = 10;
    assert_refused(q, "more than 10 states hold probability");
    q = plain;
    q.memory_limit = 20000;
    assert_refused(q, "MiB of memory");
    q = plain;
    q.work_limit = 1000;
    assert_refused(q, "it would take more than 1e+03 multiplications");
    q = plain;
    q.of[0] = "integral(X)^2";
    assert_refused(q, "not products or powers of such");
    q.of[0] = "passage(X > 3)*X";
    assert_refused(q, "a passage time as it is");
    q.of[0] = "exp(X*at(X, 1))";
    assert_refused(q, "not 'exp' of it");
    q.of[0] = "X/at(X, 1)";
    assert_refused(q, "is not a finite number");
    q.of[0] = "X/(1 + X*at(X, 1))";
    assert_refused(q, "divides by what reads one time only");
    assert_refused((Question){.model = "model m\nparam n = 3\nspecies X = n\nX -> 0 @ n\n",
                              .of = {"X"},
                              .at = 1,
                              .by = {"n"}},
                   "the initial value of 'X' depends on 'n'");
    assert_refused((Question){.model = "model m\nparam n = 3.5\nspecies X = n\nX -> 0 @ n\n",
                              .of = {"X"},
                              .at = 1},
                   "the initial value of 'X' is 3.5");
    assert_refused(
        (Question){.model = "model m\nparam s = 1\nspecies X = 5\nX -> 0 @ 1\nat s: X = 3\n",
                   .of = {"at(X, 1) + X"},
                   .at = 2,
                   .by = {"s"}},
        "two things coincide that 's' moves apart");
    assert_refused(
        (Question){.model = "model m\nspecies X = 2\nX => 0 @ 1\n", .of = {"X"}, .at = 1},
        "takes more than there is in the state X = 0");
    assert_refused(
        (Question){.model = "model m\nspecies X = 2\n0 => X @ 3 - X^2\n", .of = {"X"}, .at = 1},
        "the propensity of 'r1' is -1");
    assert_refused((Question){.model = "model m\nspecies X = 2\nX -> 0 @ 1\nat 1: X = X - 1\n",
                              .of = {"X"},
                              .at = 2},
                   "an event sets 'X' to -1");
    assert_refused(
        (Question){.model = "model m\nspecies X = 2\nX -> 0 @ 1\nwhen X < 2: X = floor(9*t)\n",
                   .of = {"X"},
                   .at = 2},
        "that depends on time");
}

/* A law that would be negative beyond a state that is never left: nothing is asked of it there. */
static void
test_edge_of_a_law(void **state)
{
    (void)state;
    Answer a =
        ask_well(&(Question){.model = "model m\nspecies X = 5\nparam k = 0.5\nX => 0 @ k*(X - 3)\n",
                             .of = {"X"},
                             .at = 2,
                             .by = {"k"}});
    assert_near(a.value[0], 3 + 2 * exp(-1), 1e-12, "mean");
    assert_near(a.gradient[0][0], -4 * exp(-1), 1e-11, "derivative");
    assert_int_equal(a.cost.states, 3);
}

static void
test_cancelled(void **state)
{
    (void)state;
    volatile int flag = 1;
    Answer a = ask(&(Question){.model = schlogl, .of = {"X"}, .at = 4, .cancel = &flag});
    assert_int_equal(a.status, RXN_CANCELLED);
}

/* ---- memory ------------------------------------------------------------------------------------ */

static RxnStatus
solve_with_failure(u64 fail_at, u64 *ret_allocations)
{
    Fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->memory.on_failure = &f->failed;
    open_model(f, birth_death, NULL);
    u64 before = f->memory.allocations;
    f->memory.fail_at = fail_at ? before + fail_at : 0;
    volatile RxnStatus status = RXN_ERROR_MEMORY;
    if (setjmp(f->failed) == 0) {
        CmeModel model = {f->network, f->params, f->inputs};
        CmeMoments moments;
        CmeOptions options = {.tolerance = 1e-6};
        const char *reason;
        status = rxn__cme_moments(&model, &(double){2}, 1, &options, &f->arena, &moments, &reason);
        *ret_allocations = f->memory.allocations - before;
    }
    close_model(f);
    free(f);
    return status;
}

/* Wherever memory runs out, nothing stays behind. */
static void
test_every_allocation_fails(void **state)
{
    (void)state;
    u64 allocations = 0, other;
    assert_int_equal(solve_with_failure(0, &allocations), RXN_OK);
    assert_true(allocations > 20);
    for (u64 k = 1; k <= allocations; k++)
        assert_int_equal(solve_with_failure(k, &other), RXN_ERROR_MEMORY);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_poisson_weights),
        cmocka_unit_test(test_birth_death),
        cmocka_unit_test(test_passage),
        cmocka_unit_test(test_telegraph),
        cmocka_unit_test(test_cascade),
        cmocka_unit_test(test_gliding_mean),
        cmocka_unit_test(test_known_gradients),
        cmocka_unit_test(test_differences_of_readings),
        cmocka_unit_test(test_differences_of_laws),
        cmocka_unit_test(test_differences_of_instants),
        cmocka_unit_test(test_differences_of_a_leap),
        cmocka_unit_test(test_differences_of_gliding_rates),
        cmocka_unit_test(test_rate_of_zero),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_edge_of_a_law),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
