/* grad_record.h: reads the atoms of an objective off a trajectory while it runs, and makes the functionals
 * of them when it is over. Shared by all estimators.
 *
 * Each distinct expression that an atom reads at a time is a column, each integral a running sum that is
 * a column too; at each of the objective's times all columns are kept in a local array record[time,
 * column]. An integral over from…to is then the difference of two kept numbers.
 *
 * A method calls, from the callbacks of its SsaExtension: declare; rates; record; elapse; and in finish
 * begins with `finish`, after which functionals and atoms can be had as values.
 */
#ifndef RXN_METHOD_GRAD_RECORD_H
#define RXN_METHOD_GRAD_RECORD_H

#include "compiler/method/gradient.h"
#include "compiler/method/ssa.h"
#include "compiler/network/objective.h"

/* Integrals are looked at in random places. Those that are multiplied with each other have places that are independent, so that the
 * product has no bias either. */
typedef enum IntegralKind {
    INTEGRAL_OBSERVED,
    INTEGRAL_SCORE,
    INTEGRAL_MARTINGALE,
    INTEGRAL_COVARIANCE
} IntegralKind;

/* A number that grows along a trajectory as the integral of `slope`, an expression of state and time; and by
 * jumps that the method adds. */
typedef struct TimeIntegral {
    Expr slope; /* 0: nothing */
    IntegralKind kind;
    u32 local;         /* f64 */
    KirValue rate;     /* in this step: the slope's value, where it does not read time */
    KirValue increase; /* in this step: the integral over its span */
} TimeIntegral;

/* prefix: of the names of its locals, so that two can live in one kernel. */
typedef struct Recorder {
    SsaFrame *frame;
    const Objective *objective;
    Arena *arena;
    const char *prefix;
    VEC(Expr) columns;           /* distinct expressions read at times */
    VEC(TimeIntegral) integrals; /* distinct */
    VEC(struct Passage {
        Expr condition;
        u32 local;
    })
    passages;        /* distinct; local f64: +inf until it holds */
    u32 width;       /* columns + integrals */
    u32 kept;        /* local array f64[times * width] */
    KirValue *atoms; /* in finish: values of the atoms, f64 */
} Recorder;

void rxn__recorder_declare(Recorder *recorder, SsaFrame *frame, const Objective *objective,
                           const char *prefix);
void rxn__recorder_start(Recorder *recorder);
void rxn__recorder_rates(Recorder *recorder, KirValue span);
void rxn__recorder_record(Recorder *recorder, KirValue row, KirValue time);
void rxn__recorder_elapse(Recorder *recorder);

/* In finish (or wherever the trajectory is over): makes the atoms' values, and binds QUANTITY of the
 * frame's lowering to them. */
void rxn__recorder_finish(Recorder *recorder);

/* After finish: value of a functional, f64; and of any expression of atoms, parameters and inputs. */
KirValue rxn__recorder_functional(Recorder *recorder, u32 functional);
KirValue rxn__recorder_value(Recorder *recorder, Expr expr);

/* The column of an atom that is a state or an integral. */
u32 rxn__recorder_column(Recorder *recorder, const Atom *atom);

/* Number of a time in the objective's times; the times are there. */
u32 rxn__objective_row(const Objective *objective, double time);

/* Writes the unrolled kernel of an estimator whose leaves are the request's parameters; sets its row and leaves, and
 * the extension's columns. */
const char *rxn__gradient_write(const GradientRequest *request, const GradientRow *row,
                                SsaExtension *extension, Arena *arena, NameTable *names,
                                GradientKernel *ret_kernel);

/* Stores a number of the gradient kernel's row (f64). */
void rxn__row_store(SsaFrame *frame, u32 column, KirValue value);

/* ---- Accumulators, also of a method's own -------------------------------------------------------- */

void rxn__time_integral_declare(SsaFrame *frame, TimeIntegral *accumulator, IntegralKind kind,
                                const char *name);

/* In `rates`: computes slope and increase. Where the slope reads time, by Gauss-Legendre quadrature with
 * five nodes over the step, and a random sixth that takes its bias away. */
void rxn__time_integral_rates(SsaFrame *frame, TimeIntegral *accumulator, KirValue span);

/* In `record`: its value at that time of the step. */
KirValue rxn__time_integral_at(SsaFrame *frame, const TimeIntegral *accumulator, KirValue time);

/* In `elapse`: adds the step's integral, and `jump` (f64, or 0: none). */
void rxn__time_integral_elapse(SsaFrame *frame, TimeIntegral *accumulator, KirValue jump);

#endif
