/* control.h: the features of the martingale estimator, and the plan that its kernel, its pilot kernel and
 * whoever runs the pilot share.
 *
 * Features phi_f are the monomials of the counts up to a degree. With the generator
 * L phi = Σ_j a_j (phi(x + ν_j) - phi(x)),
 *
 *   W_f(t)  = phi_f(x(t)) - ∫ L phi_f dt       is a martingale (E. B. Dynkin),
 *   G_fp(t) = ∫ Σ_j ∂a_j/∂p (phi_f(x + ν_j) - phi_f(x)) dt   = the covariance of W_f with the score of p.
 *
 * With h_j(x, t) = V(x + ν_j, t) - V(x, t), V = Σ_f β_f phi_f in each time bin, the control variate
 * M = ∫ Σ_j h_j (dN_j - a_j dt) is Σ_bins Σ_f β_f ΔW_f, and E[M S_p] = E Σ_bins Σ_f β_f ΔG_fp. So a kernel
 * needs to know neither bins nor β while it runs: it keeps W and G at the ends of bins, and weighs them
 * when the trajectory is over. Waiting times are not cut at the bins: trajectories are the same as
 * without a control variate.
 *
 * Where events change the state between reactions, the change of phi_f by reactions is summed up one by
 * one instead of taken as phi_f(x(t)).
 */
#ifndef RXN_METHOD_CONTROL_H
#define RXN_METHOD_CONTROL_H

#include "compiler/method/gradient.h"
#include "runtime/control.h"

enum { RXN_MAX_DEGREE = RXN_MAX_GRADES };

/* Π species^power */
typedef struct Monomial {
    u32 count;
    struct {
        u32 species; /* flat */
        u32 power;
    } factors[RXN_MAX_DEGREE];
} Monomial;

/* d/dp of the feature's generator, where it is not zero. */
typedef struct ControlPair {
    u32 feature, leaf;
    Expr slope;
} ControlPair;

typedef struct ControlPlan {
    const GradientRequest *request;
    Arena *arena;
    VEC(u32) species; /* flat; what is changed by reactions, without what conservation laws give */
    VEC(Monomial) features; /* by degree */
    u32 degree, grade_end[RXN_MAX_GRADES];
    bool by_jumps;   /* events change counts: see above */
    Expr *generator; /* [features]: L phi_f */
    Expr *change;    /* [features][reactions]: phi_f(x + ν_j) - phi_f(x); 0: none */
    VEC(ControlPair) pairs;

    double
        *times; /* [time_count + 1]: those of the objective and the bins' edges; the last is +inf */
    u32 time_count, edge_count;
    i32 *edge;           /* rows at which bins begin */
    i32 *last;           /* per functional: the row of its last time */
    i32 *edges_before;   /* per functional: edges before that */
    Objective *recorded; /* the objective with these times, and the atoms of explicit derivatives */
    Expr *partial;       /* see rxn__gradient_explicit; NULL: none */
    u32 integrals;       /* atoms that are integrals */
    bool plain; /* every functional is an expression of the state at a time, as it stands, and
                          * partial is NULL: kernels treat them in a loop */
} ControlPlan;

/* What a pilot found; see rxn__control_fit for the order: [edge_count + 1][features] each. */
struct ControlWeights {
    const double *value; /* [functionals]…: of F_i */
    const double
        *direct; /* [functionals][leaves]…: of D_ip, which has a control variate of its own */
};

/* NULL: the request is beyond what is kept for a trajectory; ret_reason says why. */
const ControlPlan *rxn__control_plan(const GradientRequest *request, Arena *arena,
                                     Text *ret_reason);

/* Numbers of one weight: (edge_count + 1) * features. */
size_t rxn__control_size(const ControlPlan *plan);

/* A species by its flat number, as an expression. */
Expr rxn__control_species(const ControlPlan *plan, u32 flat);

/* The value of a feature. species: by flat number. */
double rxn__monomial_value(const Monomial *monomial, const double *species);

/* ---- The pilot's rows ---------------------------------------------------------------------------
 *
 * F of all functionals, the values of all atoms unless plan->plain, and, where there is plan->partial, its
 * values; then for each time the counts of plan->species, W of all features, G of all pairs, and the recorder's integrals of
 * the objective's atoms (one for each INTEGRAL atom, in order, from time 0 on). */
u32 rxn__pilot_columns(const ControlPlan *plan);
u32 rxn__pilot_row(const ControlPlan *plan, u32 time); /* where a time's part begins */
u32 rxn__pilot_atoms(const ControlPlan *plan);         /* how many */
u32 rxn__pilot_partials(const ControlPlan *plan);

/* Writes rows as above; an estimator only in that the pipeline can take it. */
extern const Estimator rxn__estimator_pilot;

#endif
