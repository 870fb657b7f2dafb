/* optimizer.c: Adam, AdamW and SGD with momentum; schedules, clipping, projection; saving (see optimizer.h).
 *
 * With gradient g (after clipping), rate r and t = 1, 2, …:
 *
 *   Adam   m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
 *          x -= r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)     Kingma and Ba, ICLR 2015, algorithm 1
 *   AdamW  the same, after x -= r weight_decay x             Loshchilov and Hutter, ICLR 2019, algorithm 2
 *   SGD    u = momentum u + g, x -= r u; Nesterov: x -= r (g + momentum u)
 *                                                            Sutskever et al., ICML 2013, in the form of their (7)
 *
 * L-BFGS is in optimizer_lbfgs.c.
 */
#include "runtime/optimizer_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Squares of what is below this are finite, and sums of some of them too. */
static const double largest_element = 1e140;

struct RxnOptimizer {
    RxnOptimizerOptions options;
    size_t count;
    uint64_t steps, evaluations;
    double rate, gradient_norm;
    bool clipped;
    double *point;      /* [count]; then the moments, in the same allocation */
    double *momentum;   /* [count] Adam's first moment; SGD's velocity */
    double *variance;   /* [count] Adam's second moment; NULL otherwise */
    double *low, *high; /* [count] each; NULL: nothing is projected */
    Lbfgs *lbfgs;       /* then there is no point and there are no moments */
};

/* ---- options ----------------------------------------------------------------------------------- */

void
rxn__optimizer_defaults(RxnOptimizerKind kind, RxnOptimizerOptions *ret_options)
{
    *ret_options = (RxnOptimizerOptions){
        .kind = kind,
        .rate = kind == RXN_LBFGS ? 1 : 0.01,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = kind == RXN_ADAMW ? 0.01 : 0,
        .momentum = kind == RXN_SGD ? 0.9 : 0,
        .memory = 10,
        .schedule = RXN_SCHEDULE_CONSTANT,
        .factor = 1,
    };
}

double
rxn__optimizer_rate(const RxnOptimizerOptions *options, uint64_t taken)
{
    if (taken < options->warmup)
        return options->rate * ((double)(taken + 1) / (double)options->warmup);
    uint64_t since = taken - options->warmup;
    double progress = 1;
    if (taken < options->steps)
        progress = (double)since / (double)(options->steps - options->warmup);
    switch (options->schedule) {
    case RXN_SCHEDULE_CONSTANT: break;
    case RXN_SCHEDULE_COSINE:
        return options->rate *
               (options->floor + (1 - options->floor) * ((1 + cos(M_PI * progress)) / 2));
    case RXN_SCHEDULE_EXPONENTIAL: return options->rate * pow(options->floor, progress);
    case RXN_SCHEDULE_STEP:
        return options->rate * pow(options->factor, (double)(since / options->every));
    }
    return options->rate;
}

static bool
is_within(double value, double low, double high)
{
    return value >= low && value <= high; /* false for NaN */
}

static const char *
schedule_refuses(const RxnOptimizerOptions *options)
{
    switch (options->schedule) {
    case RXN_SCHEDULE_CONSTANT: break;
    case RXN_SCHEDULE_COSINE:
    case RXN_SCHEDULE_EXPONENTIAL:
        if (options->steps <= options->warmup)
            return "the schedule has no steps beyond its warm-up";
        if (!is_within(options->floor, 0, 1))
            return "the schedule's floor has to lie between 0 and 1";
        if (options->schedule == RXN_SCHEDULE_EXPONENTIAL && options->floor == 0)
            return "an exponential schedule never comes to a floor of 0";
        break;
    case RXN_SCHEDULE_STEP:
        if (options->every == 0)
            return "a schedule in steps needs the number of steps between two changes";
        if (!(options->factor > 0 && options->factor <= 1))
            return "the schedule's factor has to be positive, and at most 1";
        break;
    default: return "there is no such schedule";
    }
    return NULL;
}

static const char *
lbfgs_refuses(const RxnOptimizerOptions *options, size_t count, const RxnScale *scales)
{
    if (!rxn__lbfgs_available())
        return "this build has no L-BFGS: it was made without liblbfgs (Debian: liblbfgs-dev)";
    if (count > rxn__lbfgs_most())
        return "these are too many coordinates for L-BFGS";
    if (options->schedule != RXN_SCHEDULE_CONSTANT || options->warmup != 0)
        return "L-BFGS searches along a line for its steps: it takes no schedule";
    if (options->clip_norm != 0 || options->clip_value != 0)
        return "L-BFGS needs the gradient of its loss: it takes none that is clipped";
    if (options->memory < 1 || options->memory > 1000)
        return "L-BFGS keeps between 1 and 1000 pairs";
    if (!is_within(options->tolerance, 0, 1))
        return "the tolerance of the gradient has to lie between 0 and 1";
    for (size_t i = 0; scales && i < count; i++)
        if (scales[i].project)
            return "L-BFGS does not project on bounds: it needs scales that have them in the limit";
    return NULL;
}

static const char *
kind_refuses(const RxnOptimizerOptions *options, size_t count, const RxnScale *scales)
{
    switch (options->kind) {
    case RXN_ADAM:
    case RXN_ADAMW:
        if (!(options->beta1 >= 0 && options->beta1 < 1) ||
            !(options->beta2 >= 0 && options->beta2 < 1))
            return "Adam's betas have to lie between 0 and 1, below 1";
        if (!is_within(options->epsilon, 1e-300, 1e100))
            return "Adam's epsilon has to be positive";
        break;
    case RXN_SGD:
        if (!(options->momentum >= 0 && options->momentum < 1))
            return "the momentum has to lie between 0 and 1, below 1";
        if (options->nesterov && options->momentum == 0)
            return "Nesterov's steps need a momentum";
        break;
    case RXN_LBFGS: return lbfgs_refuses(options, count, scales);
    default: return "there is no such optimizer";
    }
    return NULL;
}

const char *
rxn__optimizer_refuses(const RxnOptimizerOptions *options, size_t count, const double *start,
                       const RxnScale *scales)
{
    if (count == 0)
        return "there is nothing to optimize";
    /* The upper end keeps what is made of it finite. */
    if (!(options->rate > 0 && options->rate <= 1e100))
        return "the rate has to be positive";
    if (!is_within(options->clip_norm, 0, INFINITY) || !is_within(options->clip_value, 0, INFINITY))
        return "a limit of the gradient has to be positive, or 0 for none";
    if (!is_within(options->weight_decay, 0, 1e100))
        return "the weight decay cannot be negative";
    if (options->weight_decay > 0 && options->kind != RXN_ADAMW)
        return "weight decay goes with AdamW; elsewhere it is a penalty of the loss";
    for (size_t i = 0; start && i < count; i++)
        if (!isfinite(start[i]))
            return "the point to start from is not finite";
    const char *why = schedule_refuses(options);
    return why ? why : kind_refuses(options, count, scales);
}

/* ---- making ------------------------------------------------------------------------------------ */

static void
project(RxnOptimizer *o, size_t i)
{
    if (o->point[i] < o->low[i])
        o->point[i] = o->low[i];
    if (o->point[i] > o->high[i])
        o->point[i] = o->high[i];
}

static bool
make_vectors(RxnOptimizer *o, const double *start, const RxnScale *scales)
{
    bool projects = false, second = o->options.kind != RXN_SGD;
    for (size_t i = 0; scales && i < o->count; i++)
        projects |= scales[i].project;
    if (o->count > SIZE_MAX / sizeof(double) / 5)
        return false;
    o->point = calloc(o->count * 5, sizeof(double));
    if (!o->point)
        return false;
    memcpy(o->point, start, o->count * sizeof(double));
    o->momentum = o->point + o->count;
    o->variance = second ? o->momentum + o->count : NULL;
    if (!projects)
        return true;
    o->low = o->point + 3 * o->count;
    o->high = o->low + o->count;
    for (size_t i = 0; i < o->count; i++) {
        rxn__scale_limits(&scales[i], &o->low[i], &o->high[i]);
        project(o, i);
    }
    return true;
}

RxnOptimizer *
rxn__optimizer_new(const RxnOptimizerOptions *options, size_t count, const double *start,
                   const RxnScale *scales)
{
    if (rxn__optimizer_refuses(options, count, start, scales))
        return NULL;
    RxnOptimizer *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->options = *options;
    o->count = count;
    bool made;
    if (options->kind == RXN_LBFGS) {
        o->lbfgs = rxn__lbfgs_new(options, count, start);
        made = o->lbfgs != NULL;
    } else {
        made = make_vectors(o, start, scales);
    }
    if (!made) {
        rxn__optimizer_free(o);
        return NULL;
    }
    return o;
}

void
rxn__optimizer_free(RxnOptimizer *optimizer)
{
    if (!optimizer)
        return;
    rxn__lbfgs_free(optimizer->lbfgs);
    free(optimizer->point);
    free(optimizer);
}

/* ---- asking and telling ------------------------------------------------------------------------ */

const double *
rxn__optimizer_ask(const RxnOptimizer *optimizer)
{
    return optimizer->lbfgs ? rxn__lbfgs_ask(optimizer->lbfgs) : optimizer->point;
}

const double *
rxn__optimizer_point(const RxnOptimizer *optimizer)
{
    return optimizer->lbfgs ? rxn__lbfgs_point(optimizer->lbfgs) : optimizer->point;
}

double
rxn__norm(const double *vector, size_t count)
{
    double largest = 0, sum = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(vector[i]));
    /* Divided only where the squares would leave the range of numbers. */
    double unit = largest > largest_element || largest < 1e-100 ? largest : 1;
    if (unit == 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        double part = unit == 1 ? vector[i] : vector[i] / unit;
        sum += part * part;
    }
    return unit * sqrt(sum);
}

static double
clip_element(const RxnOptimizer *o, double g)
{
    double most = o->options.clip_value;
    if (most > 0 && fabs(g) > most)
        return copysign(most, g);
    return g;
}

/* By what to multiply the gradient after its elements are clipped, so that its norm is not too large. */
static double
clip_factor(RxnOptimizer *o, const double *gradient)
{
    double most = o->options.clip_norm, sum = 0;
    bool clipped = false;
    for (size_t i = 0; i < o->count; i++) {
        double g = clip_element(o, gradient[i]);
        clipped |= g != gradient[i];
        sum += g * g;
    }
    double factor = 1;
    if (most > 0 && sqrt(sum) > most)
        factor = most / sqrt(sum);
    o->clipped = clipped || factor != 1;
    return factor;
}

static void
step_adam(RxnOptimizer *o, const double *gradient, double factor)
{
    const RxnOptimizerOptions *options = &o->options;
    double t = (double)(o->steps + 1);
    double scale1 = 1 / (1 - pow(options->beta1, t)), scale2 = 1 / (1 - pow(options->beta2, t));
    double keep = options->kind == RXN_ADAMW ? 1 - o->rate * options->weight_decay : 1;
    for (size_t i = 0; i < o->count; i++) {
        double g = factor * clip_element(o, gradient[i]);
        o->momentum[i] = options->beta1 * o->momentum[i] + (1 - options->beta1) * g;
        o->variance[i] = options->beta2 * o->variance[i] + (1 - options->beta2) * (g * g);
        o->point[i] = o->point[i] * keep - o->rate * (o->momentum[i] * scale1) /
                                               (sqrt(o->variance[i] * scale2) + options->epsilon);
    }
}

static void
step_sgd(RxnOptimizer *o, const double *gradient, double factor)
{
    const RxnOptimizerOptions *options = &o->options;
    for (size_t i = 0; i < o->count; i++) {
        double g = factor * clip_element(o, gradient[i]);
        o->momentum[i] = options->momentum * o->momentum[i] + g;
        o->point[i] -=
            o->rate * (options->nesterov ? g + options->momentum * o->momentum[i] : o->momentum[i]);
    }
}

static bool
is_finite(const RxnOptimizer *o, double loss, const double *gradient)
{
    bool finite = isfinite(loss);
    for (size_t i = 0; i < o->count; i++)
        finite &= fabs(gradient[i]) <= largest_element; /* false for NaN */
    return finite;
}

bool
rxn__optimizer_tell(RxnOptimizer *optimizer, double loss, const double *gradient)
{
    RxnOptimizer *o = optimizer;
    bool finite = is_finite(o, loss, gradient);
    if (o->lbfgs) {
        if (!rxn__lbfgs_tell(o->lbfgs, finite, loss, gradient))
            return false;
    } else if (!finite) {
        return false;
    }
    o->gradient_norm = finite ? rxn__norm(gradient, o->count) : NAN;
    o->evaluations++;
    if (o->lbfgs) {
        o->steps = rxn__lbfgs_steps(o->lbfgs);
        return true;
    }
    double factor = clip_factor(o, gradient);
    o->rate = rxn__optimizer_rate(&o->options, o->steps);
    if (o->options.kind == RXN_SGD)
        step_sgd(o, gradient, factor);
    else
        step_adam(o, gradient, factor);
    for (size_t i = 0; o->low && i < o->count; i++)
        project(o, i);
    o->steps++;
    return true;
}

RxnOptimizerState
rxn__optimizer_state(const RxnOptimizer *optimizer)
{
    const char *why = optimizer->lbfgs ? rxn__lbfgs_why(optimizer->lbfgs) : NULL;
    return (RxnOptimizerState){
        .steps = optimizer->steps,
        .evaluations = optimizer->evaluations,
        .rate = optimizer->rate,
        .gradient_norm = optimizer->gradient_norm,
        .clipped = optimizer->clipped,
        .ended = why != NULL,
        .why = why,
    };
}

/* ---- saving ------------------------------------------------------------------------------------ */

enum {
    SAVED_FORMAT, /* the version of what follows */
    SAVED_KIND,
    SAVED_COUNT,
    SAVED_STEPS,
    SAVED_EVALUATIONS,
    SAVED_RATE,
    SAVED_NORM,
    SAVED_CLIPPED,
    SAVED_HEADER /* then the vectors, or what L-BFGS keeps */
};

static const double saved_format = 1;

/* Point, moment and, of Adam, second moment, which lie one after the other. */
static size_t
saved_vectors(const RxnOptimizer *o)
{
    return (o->variance ? 3 : 2) * o->count;
}

size_t
rxn__optimizer_saved_size(const RxnOptimizer *optimizer)
{
    return SAVED_HEADER +
           (optimizer->lbfgs ? rxn__lbfgs_saved_size(optimizer->lbfgs) : saved_vectors(optimizer));
}

void
rxn__optimizer_save(const RxnOptimizer *optimizer, double *ret_numbers)
{
    const RxnOptimizer *o = optimizer;
    ret_numbers[SAVED_FORMAT] = saved_format;
    ret_numbers[SAVED_KIND] = o->options.kind;
    ret_numbers[SAVED_COUNT] = (double)o->count;
    ret_numbers[SAVED_STEPS] = (double)o->steps;
    ret_numbers[SAVED_EVALUATIONS] = (double)o->evaluations;
    ret_numbers[SAVED_RATE] = o->rate;
    ret_numbers[SAVED_NORM] = o->gradient_norm;
    ret_numbers[SAVED_CLIPPED] = o->clipped;
    if (o->lbfgs)
        rxn__lbfgs_save(o->lbfgs, ret_numbers + SAVED_HEADER);
    else
        memcpy(ret_numbers + SAVED_HEADER, o->point, saved_vectors(o) * sizeof(double));
}

bool
rxn__saved_integer(double number, uint64_t *ret_integer)
{
    if (!(number >= 0 && number <= 0x1p53) || number != floor(number))
        return false;
    *ret_integer = (uint64_t)number;
    return true;
}

static bool
restore_vectors(RxnOptimizer *o, const double *numbers, size_t count)
{
    if (count != saved_vectors(o))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(numbers[i]))
            return false;
    for (size_t i = 2 * o->count; i < count; i++)
        if (numbers[i] < 0) /* a second moment */
            return false;
    memcpy(o->point, numbers, count * sizeof(double));
    return true;
}

bool
rxn__optimizer_restore(RxnOptimizer *optimizer, const double *numbers, size_t count)
{
    RxnOptimizer *o = optimizer;
    uint64_t kind, coordinates, steps, evaluations, clipped;
    if (count < SAVED_HEADER || numbers[SAVED_FORMAT] != saved_format ||
        !rxn__saved_integer(numbers[SAVED_KIND], &kind) || kind != o->options.kind ||
        !rxn__saved_integer(numbers[SAVED_COUNT], &coordinates) || coordinates != o->count ||
        !rxn__saved_integer(numbers[SAVED_STEPS], &steps) ||
        !rxn__saved_integer(numbers[SAVED_EVALUATIONS], &evaluations) ||
        !rxn__saved_integer(numbers[SAVED_CLIPPED], &clipped) || clipped > 1)
        return false;
    const double *rest = numbers + SAVED_HEADER;
    count -= SAVED_HEADER;
    if (o->lbfgs) {
        if (!rxn__lbfgs_restore(o->lbfgs, rest, count))
            return false;
    } else if (!restore_vectors(o, rest, count)) {
        return false;
    }
    o->steps = steps;
    o->evaluations = evaluations;
    o->rate = numbers[SAVED_RATE];
    o->gradient_norm = numbers[SAVED_NORM];
    o->clipped = clipped;
    return true;
}
