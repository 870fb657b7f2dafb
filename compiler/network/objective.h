/* objective.h: what is differentiated: numbers made of expectations of functions of one trajectory.
 *
 *   atom         a number that one trajectory gives: an expression of the state at one time, the
 *                integral of one over a span of time, or the first time at which a condition holds
 *   functional   F(atoms): one number of a trajectory; also of parameters and inputs
 *   output       G(E[F_0], E[F_1], …): one number of the ensemble; also of parameters and inputs
 *
 * `--of X --at 2,4` has the outputs E[F_0] and E[F_1], F_0 = X at 2, F_1 = X at 4. `--of "var(X)" --at 2`
 * has the output E[F_0] - E[F_1]^2 with F_0 = X^2 at 2, F_1 = X at 2. A sum of terms that end at different
 * times is one functional per time (up to RXN_MAX_SPLIT): an estimator can then stop each where it ends.
 *
 * In a functional's expression EXPR_QUANTITY n is atom n; in an output's it is the expectation of
 * functional n.
 *
 * What the normal form promises (check.c holds it to that):
 *   - equal atoms are one atom, equal functionals one functional; every functional has an atom, every
 *     output a functional;
 *   - what is read at one time is one atom, however composite (X*Y + 1 at 2), unless a condition or a
 *     product ties it to a reading at another time;
 *   - neither functionals nor outputs have species or time in them, and integrals and passage
 *     conditions have no time: both are constant between jumps;
 *   - factors and terms that are free of the state stand in the output: `2*mean(X) + k` is
 *     2 * E[F_0] + k; `integral(X)/10` has F_0 = the integral.
 */
#ifndef RXN_NETWORK_OBJECTIVE_H
#define RXN_NETWORK_OBJECTIVE_H

#include "compiler/network/network.h"

typedef enum AtomKind { ATOM_STATE, ATOM_INTEGRAL, ATOM_PASSAGE } AtomKind;

typedef struct Atom {
    AtomKind kind;
    Expr value; /* of species, parameters, inputs; STATE: and time; PASSAGE: a condition (bool) */
    double from,
        to; /* STATE: both the time. INTEGRAL: the span, from < to. PASSAGE: 0, and the time that
                      * it is at most (where the condition does not hold before, that is the value) */
} Atom;

typedef struct Functional {
    Expr value;  /* of QUANTITY leaves (atoms), parameters, inputs */
    double last; /* the last time that its atoms read */
} Functional;

typedef struct Output {
    const char *label; /* "X", "var(X)": as the user wrote it */
    double time;       /* the --at time that it belongs to; NaN: none */
    Expr value;        /* of QUANTITY leaves (expectations of functionals), parameters, inputs */
} Output;

typedef struct Objective {
    VEC(Atom) atoms;
    VEC(Functional) functionals;
    VEC(Output) outputs;
    VEC(double) times; /* all that atoms read (ends of spans too), increasing, distinct */
    double end;        /* the last of them */
    /* Every trajectory has inputs of its own (a sample of data): then inputs stand inside of functionals only. */
    bool sampled;
    /* Expressions of the same network that are kept elsewhere (fit.h): where passes change its numbers, these
     * follow. They are no part of the objective, nor of the text form. */
    VEC(Expr *) followers;
} Objective;

enum {
    RXN_MAX_SPLIT =
        16, /* functionals that one expectation becomes; with more times it is one, whole */
    RXN_MAX_ATOMS = 1000000,
    RXN_MAX_OUTPUTS = 100000,
};

/* ---- Facts (objective.c): what estimators ask ------------------------------------------------- */

/* Of functional i, as a function of the path. */
typedef struct FunctionalFacts {
    u32 atom_count;
    u32 *atoms; /* that its value has, increasing */
    /* Affine in the path: the value is affine in its atoms, each of which is the state at a time, or an
     * integral, of an expression that is affine in the species. The factors may be of parameters. */
    bool affine;
    /* The state is at one time: all its atoms are STATE, at the same time (which is `last`). */
    bool one_time;
    /* Its derivative with respect to the state, the counts taken as real numbers, says how it changes:
     * no atom is in `rough`, and its value has no condition, floor or ceil of atoms. Corners (abs, min,
     * max) count as differentiable. */
    bool differentiable;
    u32 rough_count;
    u32 *
        rough; /* those atoms that are not: conditions on the state, floor, ceil, passage; increasing */
    bool has_integral, has_passage;
    bool
        explicit_params; /* a parameter stands in its value or in an atom: F depends on it directly */
} FunctionalFacts;

void rxn__functional_facts(const Network *network, u32 functional, Arena *arena,
                           FunctionalFacts *ret_facts);

/* Output k as constant + Σ coefficient · E[functional]; coefficients are free of expectations. */
typedef struct OutputTerm {
    u32 functional;
    Expr coefficient;
} OutputTerm;

typedef struct OutputTerms {
    VEC(OutputTerm) terms; /* in order of functionals, each once */
    Expr constant;         /* the number 0 where there is none */
    bool numbers;          /* every coefficient is a number: none of parameters or inputs */
} OutputTerms;

/* False where the output is not linear in the expectations (var(X)/mean(X)). */
bool rxn__output_terms(Network *network, u32 output, Arena *arena, OutputTerms *ret_terms);

/* Sets Functional.last, times and end from the atoms and the values. */
void rxn__objective_finish(Network *network);

/* ---- Making one (expectation.c), for sema ------------------------------------------------------
 *
 * What the user wrote is an expression in which species and time are read at the --at time, and
 * QUANTITY n stands for reading n. rxn__objective_add brings it to the normal form, once for each time. */
typedef enum ReadingKind {
    READING_AT,
    READING_INTEGRAL,
    READING_AVERAGE,
    READING_TOTAL,
    READING_PASSAGE,
    /* and of the ensemble: */
    READING_MEAN,
    READING_VAR,
    READING_SD,
    READING_COV,
    READING_GIVEN, /* value[0] is in the normal form already: rxn__objective_given makes them */
} ReadingKind;

typedef struct Reading {
    ReadingKind kind;
    bool has_span; /* from and to are given; else the span is 0 to the --at time */
    Expr value[2]; /* COV: two; else [0]. Of the ensemble: may have readings of a trajectory */
    double from,
        to;      /* AT: both the time. TOTAL: the first time of the grid, and what none is after */
    double step; /* TOTAL: > 0 */
} Reading;

typedef struct ObjectiveBuilder ObjectiveBuilder;

ObjectiveBuilder *rxn__objective_begin(Network *network);

/* The QUANTITY that stands for it. */
Expr rxn__objective_reading(ObjectiveBuilder *builder, const Reading *reading);

/* Whether the expression reads anything at the --at time, or over a span that ends there. */
bool rxn__objective_needs_time(ObjectiveBuilder *builder, Expr value);

/* Whether it has a reading of the ensemble in it. */
bool rxn__objective_is_mixed(ObjectiveBuilder *builder, Expr value);

typedef enum ObjectiveProblem {
    OBJECTIVE_GOOD,
    OBJECTIVE_EMPTY_SPAN, /* an integral, average or passage that ends where it begins: the --at time is 0 */
    OBJECTIVE_NO_STATE, /* it does not depend on the trajectory */
    OBJECTIVE_TOO_MANY, /* more than RXN_MAX_ATOMS */
    OBJECTIVE_LONG_SUM, /* a sum or product that joins readings has too many terms */
} ObjectiveProblem;

enum { RXN_MAX_UNROLLED = 10000 }; /* terms of such sums, in all */

/* time: NaN only where it is not needed. */
ObjectiveProblem rxn__objective_add(ObjectiveBuilder *builder, const char *label, Expr value,
                                    double time);

/* The parts of it, for who composes an output of many values (sema's losses).
 *
 * The value as an output has it, which may be free of expectations. Costs no more than the value is large. */
ObjectiveProblem rxn__objective_value(ObjectiveBuilder *builder, Expr value, double time,
                                      Expr *ret_value);

/* A value without readings of the ensemble as one trajectory has it: an expression of atoms. */
ObjectiveProblem rxn__objective_of_trajectory(ObjectiveBuilder *builder, Expr value, double time,
                                              Expr *ret_atoms);

/* The expectation of an expression of atoms, as an output has it. */
Expr rxn__objective_expected(ObjectiveBuilder *builder, Expr atoms);

/* A QUANTITY that stands for this value (of expectations, or of atoms where it is put into the value of a
 * trajectory) in what the user wrote; another one each time. */
Expr rxn__objective_given(ObjectiveBuilder *builder, Expr value);

/* Adds an output of a value that rxn__objective_value gave; it must depend on the state. */
void rxn__objective_output(ObjectiveBuilder *builder, const char *label, double time, Expr value);

/* From now on: every trajectory has inputs of its own (Objective.sampled). */
void rxn__objective_samples(ObjectiveBuilder *builder);

/* terms[0] + … + terms[count - 1], in pairs, so that it is no deep expression; the array is used up. */
Expr rxn__objective_sum(Network *network, Expr *terms, u32 count);

/* Sets network->objective. */
void rxn__objective_end(ObjectiveBuilder *builder);

/* Points of the grid from, from + step, …; a last one that misses `to` by rounding alone counts. */
double rxn__grid_points(double from, double to, double step);

#endif
