/* fold.c: constants and identities, and the control flow that they decide.
 *
 * Why: a method writes its algorithm for any model; a model then has a rate constant 1, one reaction,
 * an event that is absent. The values fold in the builder (build.c, simplify.c) while the kernel is
 * copied through it; what this pass adds is the statements: an `if` whose condition is known is the
 * branch that is taken, a `for` that turns never is nothing and one that turns once is its body.
 *
 *   before                              after
 *     %1 = const.f64 0x1p+0               %1 = get.f64 x
 *     %2 = get.f64 x                      set y, %1
 *     %3 = mul.f64 %2, %1
 *     %4 = lt.f64 %1, %1
 *     if %4 {
 *       set y, %1
 *     } else {
 *       set y, %3
 *     }
 *
 * (Constants that are left without a use, and what stands behind a `break` that is now sure to be
 * taken, go with the dce pass.)
 */
#include "compiler/kir/internal.h"

static bool
known(const KirRewriter *rewriter, KirValue value, i64 *ret_number)
{
    const KirNode *node = &rewriter->to->kernel->values.items[rewriter->map[value]];
    *ret_number = (i64)node->bits;
    return node->op == KIR_CONST;
}

static bool
fold_statement(KirRewriter *rewriter, const KirStatement *statement)
{
    i64 lo, hi;
    if (statement->kind == KIR_IF && known(rewriter, statement->value, &lo)) {
        rxn__kir_rewrite_block(rewriter, lo ? &statement->body : &statement->otherwise);
        return true;
    }
    if (statement->kind == KIR_IF && !statement->body.count && !statement->otherwise.count)
        return true;
    if (statement->kind != KIR_FOR)
        return false;
    if (statement->body.count == 0)
        return true;
    if (!known(rewriter, statement->index[0], &lo) || !known(rewriter, statement->index[1], &hi))
        return false;
    if (lo >= hi)
        return true;
    if (hi - lo > 1 || rxn__kir_has_break(&statement->body))
        return false;
    rewriter->map[statement->value] = rewriter->map[statement->index[0]];
    rxn__kir_rewrite_block(rewriter, &statement->body);
    return true;
}

bool
rxn__kir_fold(KirKernel *kernel)
{
    KirRewriter rewriter;
    rxn__kir_rewriter_init(&rewriter, kernel, false);
    rewriter.statement = fold_statement;
    return rxn__kir_replace(kernel, rxn__kir_rewrite_all(&rewriter));
}
