/* optimizer.h: steps down a loss whose gradient is noisy (Adam, AdamW, SGD with momentum) or, with common
 * random numbers, smooth (L-BFGS).
 *
 * An optimizer works on a vector of unbounded coordinates. RxnScale turns a parameter into such a one and back:
 * positive ones by the logarithm, bounded ones by the logit of their place between the bounds (of the logarithm,
 * for bounds that are both positive), others as they are; with `project`, coordinates are clipped at the bounds
 * instead.
 *
 * An optimizer asks and is told ("ask and tell"), so that the caller keeps the loop: its progress, its
 * checkpoints, its Ctrl-C. Its whole state can be written out and read back: a fit that was killed goes on to
 * the same bits (on the same machine and build: the state holds numbers that the C library has rounded).
 */
#ifndef RXN_RUNTIME_OPTIMIZER_H
#define RXN_RUNTIME_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- parameters and coordinates ---------------------------------------------------------------- */

typedef enum RxnScaleKind {
    RXN_SCALE_LINEAR, /* the parameter itself */
    RXN_SCALE_LOG, /* log(parameter); with a lower bound other than 0 and no `project`, of what is above it */
    RXN_SCALE_LOGIT,    /* log((parameter - low) / (high - parameter)) */
    RXN_SCALE_LOG_LOGIT /* the same of the logarithms */
} RxnScaleKind;

typedef struct RxnScale {
    RxnScaleKind kind;
    double low, high; /* bounds; -inf, +inf: none */
    bool project;     /* LINEAR and LOG: clip the coordinate at its bounds after each step */
} RxnScale;

/* The usual scale for bounds: LINEAR for none; LOG for a finite lower one alone; LOG_LOGIT for both positive, LOGIT
 * for both finite; LINEAR with `project` for an upper one alone, and for bounds further apart than the
 * largest number. */
RxnScale rxn__scale_for(double low, double high);

/* Why a parameter cannot start there, in words: it is out of its bounds, or at a bound that this scale
 * reaches only in the limit (coordinate +-inf). NULL: it can. */
const char *rxn__scale_refuses(const RxnScale *scale, double parameter);

/* What one makes, the other takes back: to some units in the last place of the distance from the nearer bound
 * (of the parameter, with LOG and LINEAR), and exactly at the bounds, whose coordinates are -inf and
 * +inf where the scale has them in the limit only. The parameter never lies outside its bounds. */
double rxn__scale_coordinate(const RxnScale *scale, double parameter);
double rxn__scale_parameter(const RxnScale *scale, double coordinate);
double rxn__scale_slope(const RxnScale *scale, double coordinate); /* d parameter / d coordinate */

/* The bounds of a coordinate that is projected; -inf and +inf without `project`. */
void rxn__scale_limits(const RxnScale *scale, double *ret_low, double *ret_high);

/* ---- optimizers -------------------------------------------------------------------------------- */

typedef enum RxnOptimizerKind { RXN_ADAM, RXN_ADAMW, RXN_SGD, RXN_LBFGS } RxnOptimizerKind;

/* With t steps taken, w of `warmup`, p = (t - w) / (steps - w), never above 1: */
typedef enum RxnScheduleKind {
    RXN_SCHEDULE_CONSTANT,
    RXN_SCHEDULE_COSINE,      /* rate (floor + (1 - floor) (1 + cos(pi p)) / 2) */
    RXN_SCHEDULE_EXPONENTIAL, /* rate floor^p */
    RXN_SCHEDULE_STEP,        /* rate factor^floor((t - w) / every) */
} RxnScheduleKind;

typedef struct RxnOptimizerOptions {
    RxnOptimizerKind kind;
    double rate;                  /* L-BFGS: the length of its first step, in coordinates */
    double beta1, beta2, epsilon; /* Adam: 0.9, 0.999, 1e-8 (Kingma and Ba 2015) */
    double weight_decay;          /* AdamW: decoupled (Loshchilov and Hutter 2019) */
    double momentum;              /* SGD: velocity' = momentum velocity + gradient, undamped */
    bool nesterov;                /* steps by gradient + momentum velocity' */
    uint32_t memory;              /* L-BFGS: pairs kept */
    double clip_value;            /* of each element, first; 0: none */
    double clip_norm;             /* of the whole gradient, then; 0: none */
    RxnScheduleKind schedule;
    uint64_t steps, every; /* of the schedule */
    uint64_t warmup;       /* steps over which the rate rises: rate (t + 1) / warmup */
    double floor, factor;
    double
        tolerance; /* L-BFGS: ends where |gradient| <= tolerance max(1, |x|); 0: its default, 1e-5 */
} RxnOptimizerOptions;

void rxn__optimizer_defaults(RxnOptimizerKind kind, RxnOptimizerOptions *ret_options);

/* The rate of the step that follows on `taken` ones. */
double rxn__optimizer_rate(const RxnOptimizerOptions *options, uint64_t taken);

typedef struct RxnOptimizer RxnOptimizer;

/* Why there is no such optimizer, in words; NULL: there is. Not only numbers out of range: L-BFGS has a line
 * search of its own and takes no schedule, no clipping and no `project`; without liblbfgs at build time there is
 * none. start, scales: NULL or as below. */
const char *rxn__optimizer_refuses(const RxnOptimizerOptions *options, size_t count,
                                   const double *start, const RxnScale *scales);

/* start: [count] coordinates, copied (and projected). scales: NULL or [count], for `project`. NULL: out of
 * memory, or refused. */
RxnOptimizer *rxn__optimizer_new(const RxnOptimizerOptions *options, size_t count,
                                 const double *start, const RxnScale *scales);

void rxn__optimizer_free(RxnOptimizer *optimizer); /* may be NULL */

/* The point at which loss and gradient are wanted next; NULL: it has ended (see its state). Until the next
 * tell. */
const double *rxn__optimizer_ask(const RxnOptimizer *optimizer);

/* The best point so far: for L-BFGS that of the lowest loss, otherwise the present one. Until the next tell. */
const double *rxn__optimizer_point(const RxnOptimizer *optimizer);

/* Loss and gradient at the point asked for. False: the loss or the gradient is not finite (or an element
 * is above 1e140, whose square may not be); nothing has changed, and the point stands. L-BFGS says so of its
 * first point only: from another it goes back, for a step that leads there was too long. */
bool rxn__optimizer_tell(RxnOptimizer *optimizer, double loss, const double *gradient);

typedef struct RxnOptimizerState {
    uint64_t steps; /* taken */
    uint64_t evaluations;
    double rate;          /* of the last step; L-BFGS: 0 */
    double gradient_norm; /* of the last evaluation, before clipping */
    bool clipped, ended;  /* only L-BFGS ends */
    const char *why;      /* it has ended, in words; else NULL */
} RxnOptimizerState;

RxnOptimizerState rxn__optimizer_state(const RxnOptimizer *optimizer);

/* All that decides what comes next, as numbers; their size changes with each tell of L-BFGS (see
 * optimizer_lbfgs.c; at most 128 MiB, or 64 gradients). restore: into one made with the same options; false,
 * with nothing changed, if the numbers do not fit this optimizer, or without memory. */
size_t rxn__optimizer_saved_size(const RxnOptimizer *optimizer);
void rxn__optimizer_save(const RxnOptimizer *optimizer, double *ret_numbers);
bool rxn__optimizer_restore(RxnOptimizer *optimizer, const double *numbers, size_t count);

#endif
