/* test_optimizer.c: scales against their inverses and finite differences; optimizers against the steps of an
 * independent program and closed forms; a saved optimizer against one that was never stopped.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/optimizer.h"

enum { STEPS = 10 };

/* The first ten points of optax 0.2.8 (jax 0.10.2, f64) on bowl(), from bowl_start:
 *   adam      adam(0.05)
 *   adamw     adamw(cosine_decay_schedule(0.05, 8, 0.1), weight_decay=0.1)
 *   nesterov  chain(clip_by_global_norm(5), sgd(0.01, momentum=0.9, nesterov=True))
 *   momentum  chain(clip(3), sgd(0.01, momentum=0.9)) */
static const double adam_path[STEPS][3] = {
    {-1.1500000000195925, 1.0499999999431817, 0.6500000003644314},
    {-1.1015429784240671, 1.0980762211503965, 0.6005904702976556},
    {-1.0564159167375027, 1.1413006357559885, 0.552205835888968},
    {-1.0168581432943125, 1.1752812569866762, 0.5052743976820152},
    {-0.984926457183693, 1.1960064441980252, 0.4601855476774828},
    {-0.9616925952747638, 1.2025724550161885, 0.4172619973733611},
    {-0.9469958813600953, 1.1970197112729775, 0.3767423240600732},
    {-0.9398191437471274, 1.1822306896811365, 0.33877569637361676},
    {-0.9387734414935645, 1.1607282990504952, 0.3034271977553359},
    {-0.9423928243680465, 1.1344840518209485, 0.27069016370034477},
};
static const double adamw_path[STEPS][3] = {
    {-1.1440000000195925, 1.0449999999431818, 0.6465000003644314},
    {-1.0918431642978703, 1.0861823310191137, 0.595724324212741},
    {-1.048241151635675, 1.1185405358704485, 0.5512443774912597},
    {-1.0159519514719006, 1.1389542286027545, 0.5154179866423092},
    {-0.9949572053916563, 1.1482440656818993, 0.48908678071300216},
    {-0.9830488367413506, 1.150321085330618, 0.4716348228818283},
    {-0.9771648763565087, 1.1493060624581017, 0.46127889619108287},
    {-0.974480231935601, 1.1476402919725384, 0.45545591284700393},
    {-0.9729459745451204, 1.1457565104983245, 0.4512272406904544},
    {-0.9718149413784558, 1.1433542420357659, 0.44709015013688186},
};
static const double nesterov_path[STEPS][3] = {
    {-1.1103053403760335, 1.0309291929737816, 0.6951778576409058},
    {-0.9816577642463822, 1.071795930301795, 0.6839075212805784},
    {-0.9140792963395056, 1.0543691713934344, 0.6538178572264515},
    {-0.915174632912927, 0.990540822734711, 0.6209823067306235},
    {-0.91926216572565, 0.9069826219753249, 0.5814119964814061},
    {-0.8773490550760689, 0.8357824766097387, 0.5394822956972253},
    {-0.8263719782115436, 0.7577558678326296, 0.4968881439861045},
    {-0.7710425142837575, 0.6709705359687071, 0.454882097260959},
    {-0.7093564318563463, 0.5772831658423018, 0.4143397961958551},
    {-0.639483960505661, 0.4785713336109538, 0.37583406596910673},
};
static const double momentum_path[STEPS][3] = {
    {-1.17, 1.03, 0.68628},
    {-1.113, 1.087, 0.6610030272796339},
    {-1.0317, 1.1683, 0.6267014018687321},
    {-0.9607714339948, 1.220690978, 0.5859843434816933},
    {-0.92693572459012, 1.2378428581999998, 0.5412904338424124},
    {-0.926483586125908, 1.2232795503799998, 0.49472209231386793},
    {-0.9560766615081171, 1.1801725733419999, 0.4479672566711105},
    {-1.0127104293521054, 1.1113762940077998, 0.4022920774610425},
    {-1.0581803547620663, 1.032300866549165, 0.35858015562934503},
    {-1.0691032876310311, 0.9786219411674353, 0.3173951804255764},
};

static const double bowl_start[3] = {-1.2, 1, 0.7};

static double
bowl(const double *x, double *ret_gradient)
{
    double a = 1 - x[0], b = x[1] - x[0] * x[0];
    ret_gradient[0] = -2 * a - 40 * x[0] * b;
    ret_gradient[1] = 20 * b;
    ret_gradient[2] = 4 * x[2] * x[2] * x[2];
    return a * a + 10 * b * b + x[2] * x[2] * x[2] * x[2];
}

static RxnOptimizerOptions
defaults(RxnOptimizerKind kind)
{
    RxnOptimizerOptions options;
    rxn__optimizer_defaults(kind, &options);
    return options;
}

static bool
has_lbfgs(void)
{
    RxnOptimizerOptions options = defaults(RXN_LBFGS);
    const char *why = rxn__optimizer_refuses(&options, 1, NULL, NULL);
    return !why || !strstr(why, "liblbfgs");
}

static bool
tell_bowl(RxnOptimizer *optimizer)
{
    double gradient[3], loss = bowl(rxn__optimizer_ask(optimizer), gradient);
    return rxn__optimizer_tell(optimizer, loss, gradient);
}

/* ---- scales ------------------------------------------------------------------------------------ */

static const RxnScale scales[] = {
    {RXN_SCALE_LINEAR, -INFINITY, INFINITY, false},
    {RXN_SCALE_LINEAR, -3, 1e3, true},
    {RXN_SCALE_LOG, 0, INFINITY, false},
    {RXN_SCALE_LOG, 1e-4, 0.3, true},
    {RXN_SCALE_LOG, 7, INFINITY, false},
    {RXN_SCALE_LOGIT, 0, 1, false},
    {RXN_SCALE_LOGIT, -2, 5e6, false},
    {RXN_SCALE_LOG_LOGIT, 1e-4, 0.1, false},
    {RXN_SCALE_LOG_LOGIT, 1e-300, 1e300, false},
    {RXN_SCALE_LOG_LOGIT, 1, 1 + 1e-9, false},
};

enum { SCALES = sizeof scales / sizeof *scales };

static void
test_scales_invert(void **state)
{
    (void)state;
    static const double parts[] = {1e-300, 1e-15, 1e-9, 1e-3, 0.1, 0.5, 0.7, 1};
    for (int s = 0; s < SCALES; s++) {
        const RxnScale *scale = &scales[s];
        double low = isfinite(scale->low) ? scale->low : -1e3;
        double high = isfinite(scale->high) ? scale->high : 1e6;
        for (size_t k = 0; k < sizeof parts / sizeof *parts * 2; k++) {
            /* at a distance from either bound */
            double distance = parts[k / 2] * (high - low);
            double p = k % 2 ? high - distance : low + distance;
            if (rxn__scale_refuses(scale, p))
                continue;
            double u = rxn__scale_coordinate(scale, p), back = rxn__scale_parameter(scale, u);
            /* The coordinate is a difference of logarithms, and rounded; the way back multiplies its error
             * by the slope, and rounds the distance from the nearer bound and the parameter. */
            double near = fmin(p - scale->low, scale->high - p);
            double range = 0;
            if (scale->kind == RXN_SCALE_LOGIT)
                range = fabs(log(high - low));
            if (scale->kind == RXN_SCALE_LOG_LOGIT)
                range = log(high) - log(low);
            double allowed = rxn__scale_slope(scale, u) * (fabs(u) + range + 4) +
                             4 * fmin(near, fabs(p)) + fabs(p) * (1 + range);
            assert_true(scale->kind == RXN_SCALE_LINEAR ? back == p
                                                        : fabs(back - p) <= DBL_EPSILON * allowed);
            assert_true(back >= scale->low && back <= scale->high);
        }
    }
}

/* A part of 1e-15 from a bound of zero keeps all its digits, and so does one at a large bound what it has. */
static void
test_scales_near_bounds(void **state)
{
    (void)state;
    RxnScale unit = rxn__scale_for(0, 1);
    for (double p = 1e-300; p < 0.4; p *= 1e3) {
        double back = rxn__scale_parameter(&unit, rxn__scale_coordinate(&unit, p));
        assert_true(fabs(back - p) <= 2e-13 * p);
    }
    double last = nextafter(1, 0);
    assert_true(rxn__scale_parameter(&unit, rxn__scale_coordinate(&unit, last)) == last);
    RxnScale rates = rxn__scale_for(1e-4, 0.1);
    assert_int_equal(rates.kind, RXN_SCALE_LOG_LOGIT);
    double first = nextafter(1e-4, 1);
    assert_true(rxn__scale_parameter(&rates, rxn__scale_coordinate(&rates, first)) == first);
    double middle = rxn__scale_coordinate(&rates, sqrt(1e-5));
    assert_true(fabs(middle) < 1e-14); /* the geometric mean */
}

static void
test_scales_at_bounds(void **state)
{
    (void)state;
    for (int s = 0; s < SCALES; s++) {
        const RxnScale *scale = &scales[s];
        for (int end = 0; end < 2; end++) {
            double bound = end ? scale->high : scale->low;
            if (!isfinite(bound))
                continue;
            double u = rxn__scale_coordinate(scale, bound);
            assert_true(rxn__scale_parameter(scale, u) == bound);
            assert_true(rxn__scale_parameter(scale, end ? INFINITY : -INFINITY) == bound);
            double low, high;
            rxn__scale_limits(scale, &low, &high);
            if (scale->project) {
                assert_null(rxn__scale_refuses(scale, bound));
                assert_true(u == (end ? high : low));
            } else {
                assert_non_null(rxn__scale_refuses(scale, bound));
                assert_true(u == (end ? INFINITY : -INFINITY) && u == (end ? high : low));
            }
            assert_non_null(
                rxn__scale_refuses(scale, nextafter(bound, end ? INFINITY : -INFINITY)));
        }
        assert_true(isnan(rxn__scale_parameter(scale, NAN)));
        assert_non_null(rxn__scale_refuses(scale, NAN));
    }
}

static void
test_scales_slope(void **state)
{
    (void)state;
    for (int s = 0; s < SCALES; s++) {
        if (scales[s].kind == RXN_SCALE_LOG_LOGIT && scales[s].high / scales[s].low < 1.1)
            continue; /* differences have no digits there */
        for (double u = -6; u <= 6; u += 0.37) {
            double v = scales[s].kind == RXN_SCALE_LOG && scales[s].project ? u / 2 - 5 : u;
            double h = 1e-5;
            double difference = (rxn__scale_parameter(&scales[s], v + h) -
                                 rxn__scale_parameter(&scales[s], v - h)) /
                                (2 * h);
            double slope = rxn__scale_slope(&scales[s], v);
            if (scales[s].project && (v < -8 || (scales[s].kind == RXN_SCALE_LOG && v > -1.3) ||
                                      (scales[s].kind == RXN_SCALE_LINEAR && v < -2.9)))
                continue; /* clipped */
            /* The last scale but one runs over 600 decades: its third derivative is large. */
            double allowed =
                scales[s].high > 1e100 && scales[s].kind == RXN_SCALE_LOG_LOGIT ? 1e-4 : 1e-6;
            assert_true(fabs(difference - slope) <= allowed * fabs(slope) + 1e-9);
        }
    }
}

static void
test_scale_for(void **state)
{
    (void)state;
    assert_int_equal(rxn__scale_for(-INFINITY, INFINITY).kind, RXN_SCALE_LINEAR);
    assert_false(rxn__scale_for(-INFINITY, INFINITY).project);
    assert_int_equal(rxn__scale_for(0, INFINITY).kind, RXN_SCALE_LOG);
    assert_false(rxn__scale_for(0, INFINITY).project);
    assert_int_equal(rxn__scale_for(0, 4).kind, RXN_SCALE_LOGIT);
    assert_int_equal(rxn__scale_for(2, 4).kind, RXN_SCALE_LOG_LOGIT);
    assert_true(rxn__scale_for(-INFINITY, 4).project);
    assert_true(rxn__scale_for(-DBL_MAX, DBL_MAX).project);
    RxnScale none = {RXN_SCALE_LINEAR, 2, 2, true};
    assert_non_null(rxn__scale_refuses(&none, 2));
}

/* ---- steps of the first order ------------------------------------------------------------------ */

static void
follow(const RxnOptimizerOptions *options, const double path[STEPS][3])
{
    RxnOptimizer *optimizer = rxn__optimizer_new(options, 3, bowl_start, NULL);
    assert_non_null(optimizer);
    assert_memory_equal(rxn__optimizer_ask(optimizer), bowl_start, sizeof bowl_start);
    for (int step = 0; step < STEPS; step++) {
        assert_true(tell_bowl(optimizer));
        for (int i = 0; i < 3; i++)
            assert_true(fabs(rxn__optimizer_point(optimizer)[i] - path[step][i]) < 1e-12);
    }
    RxnOptimizerState now = rxn__optimizer_state(optimizer);
    assert_int_equal(now.steps, STEPS);
    assert_int_equal(now.evaluations, STEPS);
    assert_false(now.ended);
    rxn__optimizer_free(optimizer);
}

static void
test_published_steps(void **state)
{
    (void)state;
    RxnOptimizerOptions adam = defaults(RXN_ADAM), adamw = defaults(RXN_ADAMW);
    adam.rate = 0.05;
    follow(&adam, adam_path);
    adamw.rate = 0.05;
    adamw.weight_decay = 0.1;
    adamw.schedule = RXN_SCHEDULE_COSINE;
    adamw.steps = 8;
    adamw.floor = 0.1;
    follow(&adamw, adamw_path);
    RxnOptimizerOptions sgd = defaults(RXN_SGD);
    sgd.rate = 0.01;
    sgd.nesterov = true;
    sgd.clip_norm = 5;
    follow(&sgd, nesterov_path);
    sgd.nesterov = false;
    sgd.clip_norm = 0;
    sgd.clip_value = 3;
    follow(&sgd, momentum_path);
}

static void
test_schedules(void **state)
{
    (void)state;
    RxnOptimizerOptions o = defaults(RXN_ADAM);
    o.rate = 2;
    o.warmup = 4;
    o.steps = 104;
    o.floor = 0.01;
    const double rising[] = {0.5, 1, 1.5, 2, 2};
    for (uint64_t t = 0; t < 5; t++)
        assert_true(rxn__optimizer_rate(&o, t) == rising[t]);
    assert_true(rxn__optimizer_rate(&o, UINT64_MAX) == 2);
    o.schedule = RXN_SCHEDULE_COSINE;
    assert_true(rxn__optimizer_rate(&o, 4) == 2);
    assert_true(fabs(rxn__optimizer_rate(&o, 54) - 1.01) < 1e-12);
    assert_true(fabs(rxn__optimizer_rate(&o, 29) - (0.02 + 0.99 * (1 + sqrt(0.5)))) < 1e-12);
    assert_true(fabs(rxn__optimizer_rate(&o, 104) - 0.02) < 1e-15);
    assert_true(fabs(rxn__optimizer_rate(&o, 1000) - 0.02) < 1e-15);
    o.schedule = RXN_SCHEDULE_EXPONENTIAL;
    assert_true(rxn__optimizer_rate(&o, 3) == 2 && rxn__optimizer_rate(&o, 4) == 2);
    assert_true(fabs(rxn__optimizer_rate(&o, 54) - 0.2) < 1e-14);
    assert_true(fabs(rxn__optimizer_rate(&o, 5000) - 0.02) < 1e-15);
    o.schedule = RXN_SCHEDULE_STEP;
    o.every = 10;
    o.factor = 0.5;
    assert_true(rxn__optimizer_rate(&o, 13) == 2 && rxn__optimizer_rate(&o, 14) == 1);
    assert_true(rxn__optimizer_rate(&o, 34) == 0.25);
}

static void
test_clipping(void **state)
{
    (void)state;
    RxnOptimizerOptions o = defaults(RXN_SGD);
    o.rate = 1;
    o.momentum = 0;
    o.clip_norm = 5;
    const double start[2] = {0, 0}, gradient[2] = {30e120, -40e120}, small[2] = {3, -4};
    RxnOptimizer *optimizer = rxn__optimizer_new(&o, 2, start, NULL);
    assert_true(rxn__optimizer_tell(optimizer, 1, gradient));
    const double *x = rxn__optimizer_point(optimizer);
    assert_true(fabs(x[0] + 3) < 1e-14 && fabs(x[1] - 4) < 1e-14);
    assert_true(rxn__optimizer_state(optimizer).clipped);
    assert_true(fabs(rxn__optimizer_state(optimizer).gradient_norm / 50e120 - 1) < 1e-15);
    assert_true(rxn__optimizer_tell(optimizer, 1, small));
    assert_false(rxn__optimizer_state(optimizer).clipped);
    rxn__optimizer_free(optimizer);
    o.clip_value = 10; /* first: (10, -10), then of norm 5 */
    optimizer = rxn__optimizer_new(&o, 2, start, NULL);
    assert_true(rxn__optimizer_tell(optimizer, 1, gradient));
    x = rxn__optimizer_point(optimizer);
    assert_true(fabs(x[0] + sqrt(12.5)) < 1e-14 && fabs(x[1] - sqrt(12.5)) < 1e-14);
    rxn__optimizer_free(optimizer);
}

static void
save_to(const RxnOptimizer *optimizer, double **ret_numbers, size_t *ret_count)
{
    *ret_count = rxn__optimizer_saved_size(optimizer);
    *ret_numbers = malloc(*ret_count * sizeof(double));
    assert_non_null(*ret_numbers);
    rxn__optimizer_save(optimizer, *ret_numbers);
}

static bool
is_saved_as(const RxnOptimizer *optimizer, const double *numbers, size_t count)
{
    double *now;
    size_t size;
    save_to(optimizer, &now, &size);
    bool same = size == count && memcmp(now, numbers, size * sizeof *now) == 0;
    free(now);
    return same;
}

static void
test_not_finite_changes_nothing(void **state)
{
    (void)state;
    for (int kind = RXN_ADAM; kind <= RXN_SGD; kind++) {
        RxnOptimizerOptions o = defaults((RxnOptimizerKind)kind);
        RxnOptimizer *optimizer = rxn__optimizer_new(&o, 3, bowl_start, NULL);
        assert_true(tell_bowl(optimizer));
        double *before;
        size_t count;
        save_to(optimizer, &before, &count);
        static const double bad[] = {NAN, INFINITY, -INFINITY, 1e200};
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            const double gradient[3] = {1, 1, bad[k]}, good[3] = {1, 1, 1};
            assert_false(rxn__optimizer_tell(optimizer, 1, gradient));
            if (!isfinite(bad[k]))
                assert_false(rxn__optimizer_tell(optimizer, bad[k], good));
            assert_true(is_saved_as(optimizer, before, count));
        }
        free(before);
        rxn__optimizer_free(optimizer);
    }
}

/* The minimum lies beyond two of the bounds: there the parameter comes to the bound, exactly. */
static void
test_projection(void **state)
{
    (void)state;
    const RxnScale bounded[3] = {{RXN_SCALE_LINEAR, -2, 0.3, true},
                                 {RXN_SCALE_LOG, 0.7, 0.9, true},
                                 {RXN_SCALE_LINEAR, -INFINITY, INFINITY, false}};
    for (int kind = RXN_ADAM; kind <= RXN_SGD; kind++) {
        RxnOptimizerOptions o = defaults((RxnOptimizerKind)kind);
        const double start[3] = {-5, 40, 1}; /* out of bounds: brought in */
        RxnOptimizer *optimizer = rxn__optimizer_new(&o, 3, start, bounded);
        assert_true(rxn__optimizer_ask(optimizer)[0] == -2);
        for (int step = 0; step < 3000; step++) {
            const double *u = rxn__optimizer_ask(optimizer);
            double p = rxn__scale_parameter(&bounded[1], u[1]);
            assert_true(u[0] >= -2 && u[0] <= 0.3 && p >= 0.7 && p <= 0.9);
            double gradient[3] = {2 * (u[0] - 1),
                                  2 * (p - 0.1) * rxn__scale_slope(&bounded[1], u[1]),
                                  2 * (u[2] + 1)};
            assert_true(rxn__optimizer_tell(optimizer, 0, gradient));
        }
        const double *u = rxn__optimizer_point(optimizer);
        assert_true(u[0] == 0.3 && rxn__scale_parameter(&bounded[1], u[1]) == 0.7);
        /* weight decay pulls the free one towards zero by some percent */
        assert_true(fabs(u[2] + 1) < (kind == RXN_ADAMW ? 0.05 : 1e-3));
        rxn__optimizer_free(optimizer);
    }
}

/* ---- L-BFGS ------------------------------------------------------------------------------------ */

/* Rosenbrock's function in chains of two; n coordinates. */
static double
valley(size_t n, const double *x, double *ret_gradient)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        ret_gradient[i] = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        double a = 1 - x[i], b = x[i + 1] - x[i] * x[i];
        sum += a * a + 100 * b * b;
        ret_gradient[i] += -2 * a - 400 * x[i] * b;
        ret_gradient[i + 1] += 200 * b;
    }
    return sum;
}

enum { LONGEST = 200 };

static void
test_lbfgs_finds_the_minimum(void **state)
{
    (void)state;
    RxnOptimizerOptions o = defaults(RXN_LBFGS);
    o.tolerance = 1e-9;
    o.rate = 0.25;
    double start[2] = {-1.2, 1}, gradient[2];
    RxnOptimizer *optimizer = rxn__optimizer_new(&o, 2, start, NULL);
    double best = INFINITY;
    int evaluations = 0;
    for (const double *x; (x = rxn__optimizer_ask(optimizer)); evaluations++) {
        assert_true(evaluations < 100);
        double loss = valley(2, x, gradient);
        if (evaluations == 1) /* the first step */
            assert_true(fabs(hypot(x[0] - start[0], x[1] - start[1]) - 0.25) < 1e-14);
        best = fmin(best, loss);
        assert_true(rxn__optimizer_tell(optimizer, loss, gradient));
        assert_true(valley(2, rxn__optimizer_point(optimizer), gradient) == best);
    }
    RxnOptimizerState now = rxn__optimizer_state(optimizer);
    assert_true(now.ended && strstr(now.why, "tolerance"));
    assert_int_equal(now.evaluations, evaluations);
    assert_true(now.steps > 10 && now.steps < now.evaluations);
    const double *x = rxn__optimizer_point(optimizer);
    assert_true(fabs(x[0] - 1) < 1e-8 && fabs(x[1] - 1) < 1e-8);
    assert_false(rxn__optimizer_tell(optimizer, 0, gradient)); /* it asked for nothing */
    rxn__optimizer_free(optimizer);
}

/* A journal that is full leads to a new beginning, and still to the minimum. */
static void
test_lbfgs_journal_is_bounded(void **state)
{
    (void)state;
    RxnOptimizerOptions o = defaults(RXN_LBFGS);
    o.memory = 1;
    o.tolerance = 1e-10;
    double start[LONGEST], gradient[LONGEST];
    for (size_t i = 0; i < LONGEST; i++)
        start[i] = i % 2 ? 1 : -1.2;
    RxnOptimizer *optimizer = rxn__optimizer_new(&o, LONGEST, start, NULL);
    size_t largest = 0, evaluations = 0;
    uint64_t steps = 0;
    bool restored = false;
    for (const double *x; (x = rxn__optimizer_ask(optimizer)) && evaluations < 20000;
         evaluations++) {
        assert_true(rxn__optimizer_tell(optimizer, valley(LONGEST, x, gradient), gradient));
        size_t size = rxn__optimizer_saved_size(optimizer);
        largest = size > largest ? size : largest;
        assert_true(rxn__optimizer_state(optimizer).steps >= steps);
        steps = rxn__optimizer_state(optimizer).steps;
        if (evaluations == 1050) { /* goes on as another, after the new beginning */
            double *numbers;
            size_t count;
            save_to(optimizer, &numbers, &count);
            RxnOptimizer *other = rxn__optimizer_new(&o, LONGEST, start, NULL);
            restored =
                rxn__optimizer_restore(other, numbers, count) && is_saved_as(other, numbers, count);
            free(numbers);
            rxn__optimizer_free(optimizer);
            optimizer = other;
        }
    }
    assert_true(restored);
    assert_true(evaluations > 1100); /* or the test would not be one */
    assert_true(largest > 900 * LONGEST && largest < 1010 * (LONGEST + 1));
    assert_true(rxn__optimizer_state(optimizer).ended);
    const double *x = rxn__optimizer_point(optimizer);
    for (size_t i = 0; i < LONGEST; i++)
        assert_true(fabs(x[i] - 1) < 1e-6);
    rxn__optimizer_free(optimizer);
}

/* A wall: the loss is not a number for x >= 1 or x <= 0, and the first step leads far beyond. */
static void
test_lbfgs_goes_back_from_nan(void **state)
{
    (void)state;
    RxnOptimizerOptions o = defaults(RXN_LBFGS);
    o.rate = 1000;
    const double start = 0.1, none = 0;
    RxnOptimizer *optimizer = rxn__optimizer_new(&o, 1, &start, NULL);
    assert_false(rxn__optimizer_tell(optimizer, NAN, &none));
    assert_int_equal(rxn__optimizer_state(optimizer).evaluations, 0);
    int beyond = 0, evaluations = 0;
    for (const double *x; (x = rxn__optimizer_ask(optimizer)) && evaluations < 100; evaluations++) {
        bool inside = *x > 0 && *x < 1;
        double gradient = 1 / (1 - *x) - 3 / *x;
        beyond += !inside;
        assert_true(
            rxn__optimizer_tell(optimizer, inside ? -log(1 - *x) - 3 * log(*x) : NAN, &gradient));
        assert_true(*rxn__optimizer_point(optimizer) > 0 && *rxn__optimizer_point(optimizer) < 1);
    }
    assert_true(beyond >= 3);
    assert_true(strstr(rxn__optimizer_state(optimizer).why, "tolerance") != NULL);
    assert_true(fabs(*rxn__optimizer_point(optimizer) - 0.75) < 1e-5);
    rxn__optimizer_free(optimizer);
}

/* On kinks no line search holds; it ends in words, close to the lowest of them, and does not go on for ever. */
static void
test_lbfgs_on_kinks(void **state)
{
    (void)state;
    RxnOptimizerOptions o = defaults(RXN_LBFGS);
    const double start[2] = {3, -2};
    RxnOptimizer *optimizer = rxn__optimizer_new(&o, 2, start, NULL);
    int evaluations = 0;
    for (const double *x; (x = rxn__optimizer_ask(optimizer)); evaluations++) {
        assert_true(evaluations < 2000);
        double gradient[2] = {copysign(1, x[0]), copysign(5, x[1] - x[0])};
        gradient[0] -= gradient[1];
        assert_true(rxn__optimizer_tell(optimizer, fabs(x[0]) + 5 * fabs(x[1] - x[0]), gradient));
    }
    assert_true(strstr(rxn__optimizer_state(optimizer).why, "no step") != NULL);
    const double *x = rxn__optimizer_point(optimizer);
    assert_true(fabs(x[0]) + 5 * fabs(x[1] - x[0]) < 3);
    rxn__optimizer_free(optimizer);
}

/* With a gradient that is wrong by up to 60 % in each element, line searches fail again and again: what was
 * learned of the curvature is wrong, too. New beginnings lead down all the same. */
static void
test_lbfgs_with_wrong_gradients(void **state)
{
    (void)state;
    RxnOptimizerOptions o = defaults(RXN_LBFGS);
    double start[10], gradient[10], loss = 0;
    for (int i = 0; i < 10; i++)
        start[i] = i % 2 ? 1 : -1.2;
    RxnOptimizer *optimizer = rxn__optimizer_new(&o, 10, start, NULL);
    int evaluations = 0;
    for (const double *x; (x = rxn__optimizer_ask(optimizer)); evaluations++) {
        assert_true(evaluations < 3000);
        loss = 0;
        for (int i = 0; i < 10; i++) {
            double curvature = pow(3, i);
            loss += curvature * x[i] * x[i];
            gradient[i] = 2 * curvature * x[i] * (1 + 0.6 * sin(1e3 * x[i] + i));
        }
        assert_true(rxn__optimizer_tell(optimizer, loss, gradient));
    }
    const double *x = rxn__optimizer_point(optimizer);
    for (int i = 0; i < 10; i++)
        assert_true(fabs(x[i]) < 1e-4);
    rxn__optimizer_free(optimizer);
}

/* ---- saving ------------------------------------------------------------------------------------ */

enum { LONG_RUN = 60 };

static double
trial(const RxnOptimizerOptions *options, const double *x, double *ret_gradient)
{
    double loss = valley(3, x, ret_gradient);
    /* L-BFGS also with losses that are not finite. */
    return options->kind == RXN_LBFGS && x[1] > 1.02 ? NAN : loss;
}

/* For every k: after k evaluations saved, restored into a new one, which goes on to the same bits. */
static void
continue_from_anywhere(const RxnOptimizerOptions *options)
{
    const RxnScale free_scales[3] = {{RXN_SCALE_LINEAR, -5, 5, options->kind != RXN_LBFGS},
                                     {RXN_SCALE_LINEAR, -5, 5, false},
                                     {RXN_SCALE_LINEAR, -5, 5, false}};
    double points[LONG_RUN + 1][3], gradient[3];
    double *saved[LONG_RUN + 1];
    size_t sizes[LONG_RUN + 1];
    int count = 0, in_line_search = 0;
    RxnOptimizer *whole = rxn__optimizer_new(options, 3, bowl_start, free_scales);
    uint64_t steps = 0;
    for (;; count++) {
        save_to(whole, &saved[count], &sizes[count]);
        const double *x = rxn__optimizer_ask(whole);
        if (!x || count == LONG_RUN)
            break;
        memcpy(points[count], x, sizeof points[count]);
        double loss = trial(options, x, gradient);
        assert_true(rxn__optimizer_tell(whole, loss, gradient));
        in_line_search += count > 0 && rxn__optimizer_state(whole).steps == steps;
        steps = rxn__optimizer_state(whole).steps;
    }
    if (options->kind == RXN_LBFGS)
        assert_true(in_line_search >= 3);
    for (int k = 0; k <= count; k++) {
        RxnOptimizer *other = rxn__optimizer_new(options, 3, points[0], free_scales);
        assert_true(rxn__optimizer_restore(other, saved[k], sizes[k]));
        assert_true(is_saved_as(other, saved[k], sizes[k]));
        for (int at = k; at < count; at++) {
            const double *x = rxn__optimizer_ask(other);
            assert_memory_equal(x, points[at], sizeof points[at]);
            double loss = trial(options, x, gradient);
            assert_true(rxn__optimizer_tell(other, loss, gradient));
        }
        assert_true(is_saved_as(other, saved[count], sizes[count]));
        assert_memory_equal(rxn__optimizer_point(other), rxn__optimizer_point(whole),
                            sizeof points[0]);
        assert_int_equal(rxn__optimizer_state(other).ended, rxn__optimizer_state(whole).ended);
        rxn__optimizer_free(other);
    }
    for (int k = 0; k <= count; k++)
        free(saved[k]);
    rxn__optimizer_free(whole);
}

static void
test_restored_goes_on_to_the_same_bits(void **state)
{
    (void)state;
    for (int kind = RXN_ADAM; kind <= RXN_SGD; kind++) {
        RxnOptimizerOptions o = defaults((RxnOptimizerKind)kind);
        o.rate = kind == RXN_SGD ? 1e-3 : 0.05;
        o.schedule = RXN_SCHEDULE_COSINE;
        o.warmup = 5;
        o.steps = 40;
        o.clip_norm = 20;
        continue_from_anywhere(&o);
    }
}

static void
test_restored_lbfgs_goes_on_to_the_same_bits(void **state)
{
    (void)state;
    RxnOptimizerOptions o = defaults(RXN_LBFGS);
    continue_from_anywhere(&o);
    o.rate = 4; /* another line search */
    o.memory = 3;
    continue_from_anywhere(&o);
}

static void
refuses_damage(const RxnOptimizerOptions *options, const RxnOptimizerOptions *other_options)
{
    RxnOptimizer *source = rxn__optimizer_new(options, 3, bowl_start, NULL);
    for (int step = 0; step < 7; step++)
        assert_true(tell_bowl(source));
    double *numbers;
    size_t count;
    save_to(source, &numbers, &count);
    RxnOptimizer *target = rxn__optimizer_new(options, 3, bowl_start, NULL);
    double *before;
    size_t before_count;
    save_to(target, &before, &before_count);
    for (size_t size = 0; size < count; size++)
        assert_false(rxn__optimizer_restore(target, numbers, size));
    for (size_t i = 8; i < count; i++) {
        double kept = numbers[i];
        numbers[i] = NAN;
        assert_false(rxn__optimizer_restore(target, numbers, count));
        numbers[i] = kept;
    }
    static const double absurd[] = {-1, 0.5, 1e300, NAN};
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < sizeof absurd / sizeof *absurd; k++) {
            double kept = numbers[i];
            numbers[i] = absurd[k];
            assert_false(rxn__optimizer_restore(target, numbers, count));
            numbers[i] = kept;
        }
    assert_true(is_saved_as(target, before, before_count));
    RxnOptimizer *other = rxn__optimizer_new(other_options, 3, bowl_start, NULL);
    assert_false(rxn__optimizer_restore(other, numbers, count));
    rxn__optimizer_free(other);
    RxnOptimizer *shorter = rxn__optimizer_new(options, 2, bowl_start, NULL);
    assert_false(rxn__optimizer_restore(shorter, numbers, count));
    rxn__optimizer_free(shorter);
    if (options->kind == RXN_LBFGS) { /* a gradient that was another would have led elsewhere */
        numbers[count - 1] += 0.5;
        assert_false(rxn__optimizer_restore(target, numbers, count));
        numbers[count - 1] -= 0.5;
    }
    assert_true(rxn__optimizer_restore(target, numbers, count));
    free(before);
    free(numbers);
    rxn__optimizer_free(target);
    rxn__optimizer_free(source);
}

static void
test_restore_refuses_what_does_not_fit(void **state)
{
    (void)state;
    RxnOptimizerOptions adam = defaults(RXN_ADAM), adamw = defaults(RXN_ADAMW);
    RxnOptimizerOptions sgd = defaults(RXN_SGD);
    sgd.rate = 1e-3;
    refuses_damage(&adam, &adamw);
    refuses_damage(&sgd, &adam);
    RxnOptimizerOptions lbfgs = defaults(RXN_LBFGS), other = lbfgs;
    other.memory = 3;
    refuses_damage(&lbfgs, &other);
}

/* ---- options ----------------------------------------------------------------------------------- */

static void
refused(RxnOptimizerOptions options, size_t count, const char *word)
{
    const char *why = rxn__optimizer_refuses(&options, count, bowl_start, NULL);
    assert_non_null(why);
    assert_non_null(strstr(why, word));
    assert_null(rxn__optimizer_new(&options, count, bowl_start, NULL));
}

#define REFUSED(base, field, value, word)                                                          \
    do {                                                                                           \
        RxnOptimizerOptions with = (base);                                                         \
        with.field = (value);                                                                      \
        refused(with, 3, word);                                                                    \
    } while (0)

static void
test_refusals(void **state)
{
    (void)state;
    RxnOptimizerOptions adam = defaults(RXN_ADAM), sgd = defaults(RXN_SGD);
    assert_null(rxn__optimizer_refuses(&adam, 3, bowl_start, NULL));
    refused(adam, 0, "nothing");
    REFUSED(adam, rate, 0, "rate");
    REFUSED(adam, rate, NAN, "rate");
    REFUSED(adam, rate, INFINITY, "rate");
    REFUSED(adam, beta1, 1, "betas");
    REFUSED(adam, beta2, NAN, "betas");
    REFUSED(adam, epsilon, 0, "epsilon");
    REFUSED(adam, clip_norm, -1, "limit");
    REFUSED(adam, clip_value, NAN, "limit");
    REFUSED(adam, weight_decay, 0.1, "AdamW");
    REFUSED(adam, schedule, RXN_SCHEDULE_COSINE, "warm-up");
    REFUSED(adam, schedule, RXN_SCHEDULE_STEP, "between two changes");
    REFUSED(sgd, momentum, 1, "momentum");
    sgd.momentum = 0;
    REFUSED(sgd, nesterov, true, "Nesterov");
    double infinite = INFINITY;
    assert_non_null(rxn__optimizer_refuses(&adam, 1, &infinite, NULL));
    RxnOptimizerOptions lbfgs = defaults(RXN_LBFGS);
    REFUSED(lbfgs, clip_norm, 1, "clipped");
    REFUSED(lbfgs, warmup, 1, "schedule");
    REFUSED(lbfgs, memory, 0, "pairs");
    REFUSED(lbfgs, tolerance, -1, "tolerance");
    RxnScale scale = {RXN_SCALE_LINEAR, 0, 1, true};
    assert_non_null(rxn__optimizer_refuses(&lbfgs, 1, bowl_start, &scale));
    scale.project = false;
    assert_null(rxn__optimizer_refuses(&lbfgs, 1, bowl_start, &scale));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scales_invert),
        cmocka_unit_test(test_scales_near_bounds),
        cmocka_unit_test(test_scales_at_bounds),
        cmocka_unit_test(test_scales_slope),
        cmocka_unit_test(test_scale_for),
        cmocka_unit_test(test_published_steps),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_clipping),
        cmocka_unit_test(test_not_finite_changes_nothing),
        cmocka_unit_test(test_projection),
        cmocka_unit_test(test_restored_goes_on_to_the_same_bits),
        cmocka_unit_test(test_lbfgs_finds_the_minimum), /* from here on with L-BFGS */
        cmocka_unit_test(test_lbfgs_journal_is_bounded),
        cmocka_unit_test(test_lbfgs_goes_back_from_nan),
        cmocka_unit_test(test_lbfgs_on_kinks),
        cmocka_unit_test(test_lbfgs_with_wrong_gradients),
        cmocka_unit_test(test_restored_lbfgs_goes_on_to_the_same_bits),
        cmocka_unit_test(test_restore_refuses_what_does_not_fit),
        cmocka_unit_test(test_refusals),
    };
    enum { WITH_LBFGS = 8 };
    size_t count = sizeof tests / sizeof tests[0];
    if (!has_lbfgs()) {
        print_message("# %d tests of L-BFGS are not run: this build is without liblbfgs\n",
                      WITH_LBFGS);
        count -= WITH_LBFGS;
    }
    return _cmocka_run_group_tests("optimizer", tests, count, NULL, NULL);
}
