/* grad_score.h: the score of a trajectory, d/dp of the log of its likelihood:
 *
 *   S_p(t) = Σ over reactions fired until t of d log a_j / dp  -  ∫ d a0 / dp dt
 *
 * a martingale of mean zero. (P. W. Glynn, Commun. ACM 33(10), 1990; S. Plyasunov, A. P. Arkin, J. Comput.
 * Phys. 221, 724, 2007.) For the score estimator and the martingale one.
 *
 * It says all about the derivative only while a propensity that is zero stays so for other parameters. Where one is
 * zero and its derivative is not (a leak of rate 0), no trajectory shows what the reaction would do: the score is
 * blind, and what is made of it biased. Such states are looked for, and reported as a diagnostic.
 */
#ifndef RXN_METHOD_GRAD_SCORE_H
#define RXN_METHOD_GRAD_SCORE_H

#include "compiler/method/grad_record.h"
#include "compiler/method/gradient.h"

typedef struct Score {
    SsaFrame *frame;
    const GradientRequest *request;
    TimeIntegral *sums; /* [wrt_count]; slope: -d a0 / dp */
    Expr *
        derivatives; /* [reaction_count * wrt_count], of one member's propensity; the number 0 folded */
    Expr *logs; /* the same of its logarithm where that does not depend on the state; 0 elsewhere */
    Expr *constants; /* [reaction_count]: of mass action, where logs are of it; 0 elsewhere */
    u32 blind;       /* bool: a propensity was zero, and its derivative was not */
    KirValue *rates; /* of this step: the propensities, by the caller's array */
} Score;

void rxn__score_declare(Score *score, SsaFrame *frame, const GradientRequest *request);
void rxn__score_rates(Score *score, const KirValue *propensities, KirValue span);
KirValue rxn__score_at(Score *score, u32 leaf, KirValue time);
void rxn__score_elapse(Score *score, const KirValue *below);

/* In finish: 1 if the score was blind somewhere along the path, else 0; f64. */
KirValue rxn__score_blind(Score *score);

/* What is to be made of its mean over trajectories. */
#define SCORE_BLIND "blind fraction"

/* d a_j / d p for flat reaction j; an expression without free variables, 0 where it is zero. */
Expr rxn__score_derivative(const Score *score, u32 reaction, u32 leaf);

#endif
