/* grad_family.h: derivatives of networks of families, as loops: what the estimators share that stand on the
 * table form of the direct method (ssa_table.c).
 *
 * A family is one rate law for all its members, so it has one list of derivatives for all of them: an entry for each
 * leaf that stands in the law (a species, a parameter, a hoisted value, with its indices), and where that leaf
 * stands inside a sum, the variables of the sum that its indices have. A kernel goes through an entry by nested
 * loops over those variables, and through a family by loops over its own:
 *
 *     on over g: beta * sigmoid(sum(q: J[g,q] * H[q]) + h[g])
 *
 *       species H[q]   over q: … J[g,q]          parameter J[g,q]   over q: … H[q]
 *       hoisted h[g]         : …                 parameter beta           : sigmoid(…)
 *
 * The leaves of the gradient are, for each parameter array or hoisted array through which a parameter of the request
 * acts, all its elements, one block of numbers for each. 200,704 weights that stand in a hoisted sum over
 * pixels are thus 256 leaves, and whoever reduces rows makes the outer product of them.
 *
 * Parameters that a functional reads itself (not through the path) are leaves, too, behind the blocks.
 */
#ifndef RXN_METHOD_GRAD_FAMILY_H
#define RXN_METHOD_GRAD_FAMILY_H

#include "compiler/method/gradient.h"
#include "compiler/method/ssa_private.h"

/* All elements of a parameter or a hoisted value: leaves first … first + count - 1. */
typedef struct FamilyBlock {
    ExprOp op;
    u32 object;
    u32 first, count;
} FamilyBlock;

/* A net change of a family's reactions: so many copies of a species, at these indices. */
typedef struct FamilyChange {
    const Term *term;
    i32 delta;
} FamilyChange;

typedef struct FamilyLaw {
    Reaction reaction;
    LeafDerivatives species; /* the entries by species */
    LeafDerivatives leaves;  /* those by leaves of the gradient */
    LeafDerivatives sums;    /* those by sums that are carried as one number each (grad_layer.h) */
    u32 change_count;
    FamilyChange *changes;
    bool decays; /* of a compressed array, and dealt with there */
} FamilyLaw;

typedef struct Families {
    Network *network;
    Arena *arena;
    const GradientRequest *request;
    SsaFrame *frame; /* to be set before a kernel is written */
    VEC(FamilyBlock) blocks;
    u32 leaves; /* in all */
    u32 law_count;
    FamilyLaw *laws;
    const u32 *
        places; /* per species array: where its members begin in arrays over species; NULL: at their flat number */

    /* What functionals depend on themselves: a request by those parameters; leaf explicit_first + k is its k-th. */
    GradientRequest explicit_request;
    u32 explicit_first;
} Families;

/* Which form the kernel of an estimator has that has both; AUTO: none can be, and ret_reason says why. */
GradientForm rxn__family_form(const GradientRequest *request, Text *ret_reason);

/* Whether the estimators over tables take the request; if not, why. */
bool rxn__family_applies(const GradientRequest *request, Text *ret_reason);

/* Derives the laws and finds the leaves. assigned: also those in the values that events assign. */
void rxn__family_begin(Families *families, const GradientRequest *request, Arena *arena,
                       bool assigned);

/* The leaves, for the reducer. */
GradientLeaf *rxn__family_leaves(const Families *families);

/* The entries of an expression, by species, by leaves and by quantities; any may be NULL. */
void rxn__family_derive(const Families *families, Expr expr, LeafDerivatives *species,
                        LeafDerivatives *leaves, LeafDerivatives *sums);

/* ---- In the kernel --------------------------------------------------------------------------------- */

/* Writes loops over all members of a family with its variables bound. */
void rxn__family_each(const Families *families, const FamilyLaw *law, const MemberVisit *visit);

/* local[base + number] += factor * derivative (its absolute value), for all that the entry stands for; number: that
 * of the leaf, or the flat one of the species. base: i32, or 0: none. local: f64. */
typedef struct FamilySum {
    u32 local;
    KirValue base, factor;
    bool absolute;
} FamilySum;

void rxn__family_add(const Families *families, const LeafDerivative *entry, const FamilySum *sum);
/* The same where the caller has the derivative's value (f64); for entries without variables of their own. */
void rxn__family_add_value(const Families *families, const LeafDerivative *entry,
                           const FamilySum *sum, KirValue slope);
void rxn__family_add_all(const Families *families, const LeafDerivatives *entries,
                         const FamilySum *sum);

/* Where the flat number (i32) is a member of the family: opens an `if` with its variables bound; to be closed by
 * rxn__family_close. */
void rxn__family_if_member(const Families *families, const FamilyLaw *law, KirValue flat);
void rxn__family_close(const Families *families);

/* Where the member that the change is of stands in arrays over species: i32, for the variables that are bound. */
KirValue rxn__family_change_place(const Families *families, const FamilyChange *change);

/* Stores local[from …] in `count` columns of the row, from `column` on. */
void rxn__family_store(const Families *families, u32 column, u32 count, u32 local, KirValue from);

/* ---- The estimators over tables (grad_family_score.c, grad_family_path.c) ------------------------------- */

const char *rxn__family_score_write(const GradientRequest *request, Arena *arena, NameTable *names,
                                    GradientKernel *ret_kernel);
const char *rxn__family_path_write(const GradientRequest *request, Arena *arena, NameTable *names,
                                   GradientKernel *ret_kernel);

#endif
