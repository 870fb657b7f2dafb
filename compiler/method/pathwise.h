/* pathwise.h: what the pathwise estimators share, forward (grad_tangent.c) and adjoint (grad_path.c): the
 * linear flow between jumps, y' = J y + b or λ' = -Jᵀ λ, with J = Σ_j ν_j (∇a_j)ᵀ and b_p = Σ_j ν_j da_j/dp; how
 * short substeps have to be; and what they can be applied to.
 *
 * Counts are taken as real numbers in the derivatives, and nothing is masked where a propensity is zero: only so
 * is a network of affine laws differentiated without bias.
 */
#ifndef RXN_METHOD_PATHWISE_H
#define RXN_METHOD_PATHWISE_H

#include "compiler/method/gradient.h"
#include "compiler/method/ssa.h"

/* Terms of the Taylor series of exp(J h) v, and the most that the measure of J h may be: the remainder is below
 * 0.5^9/9! = 5e-9 of what it is added to. The measure is the 1-norm; where J does not depend on the state,
 * max(‖J²‖^(1/2), ‖J³‖^(1/3)), which bounds the terms as well and is far smaller for cascades (A. H. Al-Mohy,
 * N. J. Higham, SIAM J. Matrix Anal. Appl. 31, 970, 2009, lemma 4.1). Longer waits are made in several steps
 * (SsaExtension.limit), so that no lane of a target waits for another's substeps. */
enum { PATHWISE_TERMS = 8 };
#define PATHWISE_REACH 0.5

typedef struct Pathwise {
    SsaFrame *frame;
    const GradientRequest *request;
    Change **changes; /* per flat reaction */
    u32 *change_counts;
    Expr *gradient;  /* [reaction * species]: da_j/dx_s */
    Expr *source;    /* [reaction * leaves]: da_j/dp */
    KirValue *slope; /* of this step; 0: zero */
    KirValue *drift; /* [leaf * species]: b_p of this step; 0: zero */
    KirValue size;   /* of this step: the measure of J */
} Pathwise;

/* Derives; declares nothing in the kernel. */
void rxn__pathwise_declare(Pathwise *pathwise, SsaFrame *frame, const GradientRequest *request);

/* In a step: computes slopes, drifts and size from the present state; the caller has bound the time. */
void rxn__pathwise_rates(Pathwise *pathwise);

/* ret = J v and ret = Jᵀ v; 0 where an element is zero whatever v. An element of v may be 0: zero. */
void rxn__pathwise_apply(const Pathwise *pathwise, const KirValue *v, KirValue *ret);
void rxn__pathwise_apply_transposed(const Pathwise *pathwise, const KirValue *v, KirValue *ret);

/* v += b_p. */
void rxn__pathwise_add_source(const Pathwise *pathwise, u32 leaf, KirValue *v);

/* The longest time for which the series is good at the present state: f64, +inf where J is zero. */
KirValue rxn__pathwise_limit(const Pathwise *pathwise);

/* The adjoints' slow way over a wait, which takes every length: in equal parts, whose number this gives, for a series that
 * is good up to `reach`; size: a norm of S = the wait's length times J. More than a million of them, or a size that is no
 * number, are a fault at the time in the local `at`. */
KirValue rxn__pathwise_parts(SsaFrame *frame, KirValue size, double reach, u32 at);

/* A loop over the parts; left: an f64 local to count with. */
void rxn__pathwise_each_part(SsaFrame *frame, KirValue parts, u32 left);
void rxn__pathwise_close_part(SsaFrame *frame, u32 left);

/* Whether the pathwise estimators take the request; and whether they do, whatever the size of the network. */
bool rxn__pathwise_applies(const GradientRequest *request, Text *ret_reason);
bool rxn__pathwise_takes(const GradientRequest *request, Text *ret_reason);

/* Whether it is unbiased there: all propensities and functionals affine, by proof; the reason as a sentence. */
bool rxn__pathwise_is_unbiased(const GradientRequest *request, const char **ret_remarks);

#endif
