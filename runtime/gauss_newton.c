/* gauss_newton.c: see gauss_newton.h. */
#include "runtime/gauss_newton.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/dense.h"
#include "runtime/optimizer_private.h"

static const double least_damping = 1e-12, most_damping = 1e10;
static const double least_radius = 1e-6; /* of the radius that was asked for */

/* All that decides what comes next, but for the vectors. Doubles, to be saved as they are. */
typedef struct Progress {
    double damping, growth; /* growth: of the damping at the next step that does not count */
    double radius;
    double loss, loss_se, weight; /* at the base */
    double has_base;              /* the base has been evaluated */
    double gain_steps;            /* k, of the falling gain; 0: it is 1 as yet */
    double mean_weight,
        mean_squares; /* of the points in the mean, together: their weights w; w² / weight of the evaluation */
    double steps, evaluations, norm, clipped;
    double ended; /* number of the reason, 0: it has not */
} Progress;

enum { PROGRESS = sizeof(Progress) / sizeof(double) };

static const char *const reasons[] = {
    NULL,
    "the loss is at its minimum",
    "no step lowers the loss any more",
    "the gradient is zero",
};

struct RxnGaussNewton {
    RxnGaussNewtonOptions options;
    size_t count;
    Progress now;
    double *trial, *base, *gradient, *mean; /* [count]; base: the last point that counted */
    double *before;                         /* [count]: the gradient where the last step began */
    double *curvature;                      /* [count][count], at the base */
    double *low, *high;                     /* [count] */
    double *matrix, *step, *inverse;        /* scratch */
    double *storage;
};

void
rxn__gauss_newton_defaults(RxnGaussNewtonOptions *ret_options)
{
    *ret_options =
        (RxnGaussNewtonOptions){.radius = 1, .damping = 1e-3, .power = 0.6, .tolerance = 1e-9};
}

const char *
rxn__gauss_newton_refuses(const RxnGaussNewtonOptions *options, size_t count)
{
    if (count == 0)
        return "there is nothing to optimize";
    if (count > RXN_GAUSS_NEWTON_MOST)
        return "Gauss-Newton takes up to 256 parameters; adam takes any number";
    if (!(options->radius > 0 && options->radius <= 1e6))
        return "the radius has to be positive";
    if (!(options->damping > 0 && options->damping <= 1e6))
        return "the damping has to be positive";
    if (!(options->power > 0.5 && options->power <= 1))
        return "the power of the gain has to lie above 0.5, and at most be 1";
    if (!(options->tolerance >= 0 && options->tolerance < 1))
        return "the tolerance of steps has to lie between 0 and 1";
    return NULL;
}

RxnGaussNewton *
rxn__gauss_newton_new(const RxnGaussNewtonOptions *options, size_t count, const double *start,
                      const RxnScale *scales)
{
    if (rxn__gauss_newton_refuses(options, count))
        return NULL;
    RxnGaussNewton *newton = calloc(1, sizeof *newton);
    if (!newton)
        return NULL;
    size_t square = count * count;
    newton->storage = calloc(8 * count + 3 * square, sizeof(double));
    if (!newton->storage) {
        free(newton);
        return NULL;
    }
    double *at = newton->storage;
    double **vectors[] = {&newton->trial,  &newton->base, &newton->gradient, &newton->mean,
                          &newton->before, &newton->low,  &newton->high,     &newton->step};
    double **squares[] = {&newton->curvature, &newton->matrix, &newton->inverse};
    for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++, at += count)
        *vectors[k] = at;
    for (size_t k = 0; k < sizeof squares / sizeof *squares; k++, at += square)
        *squares[k] = at;
    newton->options = *options;
    newton->count = count;
    newton->now = (Progress){.damping = options->damping, .growth = 2, .radius = options->radius};
    for (size_t i = 0; i < count; i++) {
        newton->low[i] = -INFINITY;
        newton->high[i] = INFINITY;
        if (scales)
            rxn__scale_limits(&scales[i], &newton->low[i], &newton->high[i]);
        newton->trial[i] = fmin(fmax(start[i], newton->low[i]), newton->high[i]);
    }
    memcpy(newton->base, newton->trial, count * sizeof(double));
    return newton;
}

void
rxn__gauss_newton_free(RxnGaussNewton *newton)
{
    if (!newton)
        return;
    free(newton->storage);
    free(newton);
}

const double *
rxn__gauss_newton_ask(const RxnGaussNewton *newton)
{
    return newton->now.ended != 0 ? NULL : newton->trial;
}

const double *
rxn__gauss_newton_point(const RxnGaussNewton *newton, uint64_t *ret_averaged)
{
    const Progress *now = &newton->now;
    double averaged = now->mean_weight > 0
                          ? now->mean_weight * now->mean_weight / now->mean_squares / now->weight
                          : 0;
    *ret_averaged = (uint64_t)(averaged + 0.5);
    return now->mean_weight > 0 ? newton->mean : newton->base;
}

/* ---- a step ------------------------------------------------------------------------------------ */

/* A coordinate that nothing depends on, or that lies at a bound and is drawn beyond it, stays where it is. */
static bool
is_held(const RxnGaussNewton *newton, size_t i)
{
    double g = newton->gradient[i], x = newton->base[i];
    if (newton->curvature[i * newton->count + i] <= 0 && g == 0)
        return true;
    return (x <= newton->low[i] && g > 0) || (x >= newton->high[i] && g < 0);
}

/* Factor of curvature + damping diag(curvature), into matrix; rows of what is held are those of 1. */
static bool
factor(RxnGaussNewton *newton, double damping)
{
    const double *curvature = newton->curvature;
    size_t n = newton->count;
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, curvature[i * n + i]);
    if (!(largest > 0))
        return false;
    for (size_t i = 0; i < n; i++) {
        bool held = is_held(newton, i);
        for (size_t j = 0; j < n; j++) {
            bool apart = held || is_held(newton, j);
            newton->matrix[i * n + j] = apart ? 0 : curvature[i * n + j];
        }
        /* A direction that the matrix does not know gets a share of the largest one. */
        double own = fmax(curvature[i * n + i], 1e-10 * largest);
        newton->matrix[i * n + i] = held ? 1 : curvature[i * n + i] + damping * own;
    }
    return rxn__cholesky(n, newton->matrix);
}

/* step := -gain (curvature + damping diag)⁻¹ gradient, with as much more damping as it takes; false: the gradient is
 * zero. */
static bool
solve(RxnGaussNewton *newton, double gain)
{
    size_t n = newton->count;
    bool any = false;
    for (double damping = newton->now.damping; !factor(newton, damping); damping *= 10)
        if (damping > most_damping)
            return false;
    for (size_t i = 0; i < n; i++) {
        bool held = is_held(newton, i);
        newton->step[i] = held ? 0 : -gain * newton->gradient[i];
        any |= newton->step[i] != 0;
    }
    rxn__cholesky_solve(n, newton->matrix, newton->step);
    return any;
}

static double
longest(const RxnGaussNewton *newton)
{
    double most = 0;
    for (size_t i = 0; i < newton->count; i++)
        most = fmax(most, fabs(newton->step[i]));
    return most;
}

static void
set_trial(RxnGaussNewton *newton)
{
    double most = longest(newton), part = 1;
    if (most > newton->now.radius)
        part = newton->now.radius / most;
    newton->now.clipped = part < 1;
    for (size_t i = 0; i < newton->count; i++) {
        double to = newton->base[i] + part * newton->step[i];
        newton->trial[i] = fmin(fmax(to, newton->low[i]), newton->high[i]);
    }
}

/* Decrease of the loss that the quadratic model promises for the way from base to trial. */
static double
promised(const RxnGaussNewton *newton)
{
    size_t n = newton->count;
    double decrease = 0;
    for (size_t i = 0; i < n; i++) {
        double d = newton->trial[i] - newton->base[i], product = 0;
        for (size_t j = 0; j < n; j++)
            product += newton->curvature[i * n + j] * (newton->trial[j] - newton->base[j]);
        decrease -= d * (newton->gradient[i] + product / 2);
    }
    return decrease;
}

/* ---- being told -------------------------------------------------------------------------------- */

static bool
is_finite(const RxnGaussNewton *newton, const RxnGaussNewtonFacts *facts)
{
    size_t n = newton->count;
    bool finite = isfinite(facts->loss);
    for (size_t i = 0; i < n; i++)
        finite &= fabs(facts->gradient[i]) < 1e140;
    for (size_t k = 0; k < n * n; k++)
        finite &= fabs(facts->curvature[k]) < 1e280;
    return finite;
}

static void
move_base(RxnGaussNewton *newton, const RxnGaussNewtonFacts *facts)
{
    size_t n = newton->count;
    memcpy(newton->base, newton->trial, n * sizeof(double));
    memcpy(newton->before, newton->gradient, n * sizeof(double));
    memcpy(newton->gradient, facts->gradient, n * sizeof(double));
    memcpy(newton->curvature, facts->curvature, n * n * sizeof(double));
    newton->now.loss = facts->loss;
    newton->now.loss_se = facts->loss_se;
    newton->now.weight = facts->weight;
    newton->now.steps += newton->now.has_base;
    newton->now.has_base = 1;
}

/* Whether the loss fell by more than its noise explains. More trajectories lower it by themselves: no comparison. */
static bool
falls(const RxnGaussNewton *newton, const RxnGaussNewtonFacts *facts)
{
    const Progress *now = &newton->now;
    return now->has_base && facts->weight == now->weight &&
           now->loss - facts->loss > 4 * hypot(facts->loss_se, now->loss_se);
}

/* Whether the step from the base was one down, as far as noise lets that be seen; adjusts the damping. */
static bool
is_step_down(RxnGaussNewton *newton, const RxnGaussNewtonFacts *facts, bool finite)
{
    Progress *now = &newton->now;
    double decrease = now->loss - facts->loss, ratio = decrease / promised(newton);
    bool noisy = newton->options.noisy && facts->gradient_se;
    double noise = noisy ? 3 * hypot(facts->loss_se, now->loss_se) : 0;
    bool down = finite && (noisy ? decrease >= -noise : decrease > 0 && ratio > 1e-4);
    if (down) {
        /* Where noise covers the decrease, the ratio says nothing. */
        double factor = 1 - pow(2 * ratio - 1, 3);
        now->damping *= noisy && fabs(decrease) < noise ? 1.0 / 3 : fmin(fmax(1.0 / 3, factor), 2);
        now->growth = 2;
        now->radius = fmin(2 * now->radius, newton->options.radius);
    } else {
        now->damping *= now->growth;
        now->growth *= 2;
        if (!finite || noisy)
            now->radius = fmax(now->radius / 2, least_radius * newton->options.radius);
    }
    now->damping = fmax(now->damping, least_damping);
    return down;
}

/* gᵀH⁻¹g against Σ H⁻¹_ii se_i², which is what noise alone makes of it, or more: its correlations, that are left out,
 * are mostly like those of H. And, for a first look, whether the step before went too far: gᵀH⁻¹g' < 0, g' being the
 * gradient where it began (H. Kesten, Ann. Math. Stat. 29 (1958) 41). */
static bool
is_down_to_noise(RxnGaussNewton *newton, const RxnGaussNewtonFacts *facts, double times, bool first)
{
    size_t n = newton->count;
    if (!facts->gradient_se || !factor(newton, least_damping))
        return false;
    rxn__cholesky_inverse(n, newton->matrix, newton->inverse);
    double decrement = 0, noise = 0, product = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_held(newton, i))
            continue;
        for (size_t j = 0; j < n; j++) {
            if (is_held(newton, j))
                continue;
            double part = facts->gradient[i] * newton->inverse[i * n + j];
            decrement += part * facts->gradient[j];
            product += part * newton->before[j];
        }
        noise += newton->inverse[i * n + i] * facts->gradient_se[i] * facts->gradient_se[i];
    }
    return decrement <= times * noise && (!first || product < 0);
}

/* How many times its expectation the decrement may be and count as noise: seldom exceeded by noise alone; and so
 * seldom that the end was not reached after all. */
static const double noise_alone = 4, too_much_for_noise = 30;

/* One more point for the mean; then the next step with the falling gain. The point where this begins is not of the mean:
 * the first step, which is a whole one, takes off what it was away. Later points weigh more, in proportion to how many there were
 * before: what the first ones are still away is soon forgotten, for a variance 4/3 times the least (O. Shamir, T. Zhang, ICML 2013, section 4). The matrix is that of the same trajectories as the gradient, not a
 * mean of matrices: where a derivative is far off, both are, and the step, a projection on what that derivative says, is not. */
static void
step_averaged(RxnGaussNewton *newton, double weight)
{
    Progress *now = &newton->now;
    size_t n = newton->count;
    double k = ++now->gain_steps;
    double own = (k - 1) * weight;
    now->mean_weight += own;
    now->mean_squares += own * own / weight;
    for (size_t i = 0; i < n && k > 1; i++)
        newton->mean[i] += (newton->base[i] - newton->mean[i]) * (own / now->mean_weight);
    now->damping = least_damping;
    if (solve(newton, pow(k, -newton->options.power)))
        set_trial(newton);
}

static void
step_on(RxnGaussNewton *newton)
{
    Progress *now = &newton->now;
    if (!solve(newton, 1)) {
        now->ended = 3;
        return;
    }
    bool smooth = !newton->options.noisy;
    if (smooth && longest(newton) <= newton->options.tolerance)
        now->ended = now->damping < 1 ? 1 : 2;
    else if (smooth && now->damping > most_damping)
        now->ended = 2;
    set_trial(newton);
}

bool
rxn__gauss_newton_tell(RxnGaussNewton *newton, const RxnGaussNewtonFacts *facts)
{
    Progress *now = &newton->now;
    bool finite = is_finite(newton, facts);
    if (!finite && !now->has_base)
        return false;
    now->evaluations++;
    now->norm = finite ? rxn__norm(facts->gradient, newton->count) : NAN;
    bool is_far = falls(newton, facts);
    if (now->gain_steps > 0) {
        if (finite)
            move_base(newton, facts);
        if (!is_far && is_down_to_noise(newton, facts, too_much_for_noise, false)) {
            step_averaged(newton, facts->weight);
        } else {
            now->gain_steps = now->mean_weight = now->mean_squares = 0;
            step_on(newton);
        }
        return true;
    }
    bool good = !now->has_base || is_step_down(newton, facts, finite);
    if (good)
        move_base(newton, facts);
    if (good && !is_far && newton->options.noisy &&
        is_down_to_noise(newton, facts, noise_alone, true))
        step_averaged(newton, facts->weight);
    else
        step_on(newton);
    return true;
}

RxnOptimizerState
rxn__gauss_newton_state(const RxnGaussNewton *newton)
{
    const Progress *now = &newton->now;
    return (RxnOptimizerState){
        .steps = (uint64_t)now->steps,
        .evaluations = (uint64_t)now->evaluations,
        .rate = now->gain_steps > 0 ? pow(now->gain_steps, -newton->options.power) : 1,
        .gradient_norm = now->norm,
        .clipped = now->clipped != 0,
        .ended = now->ended != 0,
        .why = reasons[(int)now->ended],
    };
}

/* ---- saving ------------------------------------------------------------------------------------ */

/* Format, count, progress, then trial, base, gradient, mean, before, and the matrix. */
enum { HEADER = 2 + PROGRESS };
static const double saved_format = 3;

size_t
rxn__gauss_newton_saved_size(const RxnGaussNewton *newton)
{
    return HEADER + 5 * newton->count + newton->count * newton->count;
}

void
rxn__gauss_newton_save(const RxnGaussNewton *newton, double *ret_numbers)
{
    size_t n = newton->count;
    const double *vectors[] = {newton->trial, newton->base, newton->gradient, newton->mean,
                               newton->before};
    ret_numbers[0] = saved_format;
    ret_numbers[1] = (double)n;
    memcpy(ret_numbers + 2, &newton->now, sizeof newton->now);
    double *at = ret_numbers + HEADER;
    for (size_t k = 0; k < 5; k++, at += n)
        memcpy(at, vectors[k], n * sizeof(double));
    memcpy(at, newton->curvature, n * n * sizeof(double));
}

bool
rxn__gauss_newton_restore(RxnGaussNewton *newton, const double *numbers, size_t count)
{
    size_t n = newton->count;
    Progress now;
    uint64_t ended;
    if (count != rxn__gauss_newton_saved_size(newton) || numbers[0] != saved_format ||
        numbers[1] != (double)n)
        return false;
    memcpy(&now, numbers + 2, sizeof now);
    if (!rxn__saved_integer(now.ended, &ended) || ended >= sizeof reasons / sizeof *reasons ||
        !(now.damping > 0) || !(now.radius > 0) || !(now.gain_steps >= 0) ||
        !(now.mean_weight >= 0) ||
        (now.mean_weight > 0 && !(now.mean_squares > 0 && now.weight > 0)))
        return false;
    double *vectors[] = {newton->trial, newton->base, newton->gradient, newton->mean,
                         newton->before};
    const double *at = numbers + HEADER;
    newton->now = now;
    for (size_t k = 0; k < 5; k++, at += n)
        memcpy(vectors[k], at, n * sizeof(double));
    memcpy(newton->curvature, at, n * n * sizeof(double));
    return true;
}
