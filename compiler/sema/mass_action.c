/* mass_action: in how many ways the reactants of a mass-action reaction can be chosen.
 *
 * For distinct species that is the product of choose(x, n). In a family two reactants may be the same
 * member for some values of the loop variables: in `for i in s { for j in s { A[i] + A[j] -> … } }` the
 * members with i = j take two of one species, so the number is choose(A[i], 2) there and
 * A[i] * A[j] elsewhere. The expression decides by comparing the indices:
 *
 *     if i == j then choose(A[i], 2) else A[i] * A[j]
 *
 * With more than two such reactants each pair is decided in turn, which is exponential in their number;
 * that is limited to SEMA_MAX_COINCIDING.
 */
#include "compiler/sema/mass_action.h"

typedef struct Reactant {
    u32 species;
    u32 coefficient;
    const Expr *index;
} Reactant;

/* a - b, where both are affine. */
static bool
affine_difference(const Network *network, Expr a, Expr b, Affine *ret_difference)
{
    Affine other;
    if (!rxn__expr_affine(network, a, ret_difference) || !rxn__expr_affine(network, b, &other))
        return false;
    ret_difference->constant -= other.constant;
    for (u32 i = 0; i < other.count; i++) {
        u32 k = 0;
        while (k < ret_difference->count && ret_difference->variable[k] != other.variable[i])
            k++;
        if (k == ret_difference->count) {
            if (k == RXN_MAX_AFFINE)
                return false;
            ret_difference->variable[k] = other.variable[i];
            ret_difference->coefficient[k] = 0;
            ret_difference->count++;
        }
        ret_difference->coefficient[k] -= other.coefficient[i];
    }
    return true;
}

static u64
common_divisor(u64 a, u64 b)
{
    while (b) {
        u64 rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

typedef enum Coincidence { NEVER_EQUAL, MAYBE_EQUAL, ALWAYS_EQUAL } Coincidence;

static Coincidence
compare_indices(const Network *network, Expr a, Expr b)
{
    Affine difference;
    if (a == b)
        return ALWAYS_EQUAL;
    if (!affine_difference(network, a, b, &difference))
        return MAYBE_EQUAL;
    u64 divisor = 0;
    for (u32 i = 0; i < difference.count; i++) {
        i64 coefficient = difference.coefficient[i];
        divisor = common_divisor(divisor, (u64)(coefficient < 0 ? -coefficient : coefficient));
    }
    i64 constant = difference.constant;
    if (divisor == 0)
        return constant == 0 ? ALWAYS_EQUAL : NEVER_EQUAL;
    if ((u64)(constant < 0 ? -constant : constant) % divisor != 0)
        return NEVER_EQUAL;
    i64 low, high;
    rxn__affine_range(network, &difference, &low, &high);
    return low > 0 || high < 0 ? NEVER_EQUAL : MAYBE_EQUAL;
}

bool
rxn__same_index(const Network *network, Expr a, Expr b)
{
    return compare_indices(network, a, b) == ALWAYS_EQUAL;
}

static Coincidence
compare_members(const Network *network, const Reactant *a, const Reactant *b)
{
    if (a->species != b->species)
        return NEVER_EQUAL;
    Coincidence all = ALWAYS_EQUAL;
    for (u32 i = 0; i < network->species.items[a->species].shape.rank; i++) {
        Coincidence one = compare_indices(network, a->index[i], b->index[i]);
        if (one < all)
            all = one;
    }
    return all;
}

/* The condition that two reactants are the same member. */
static Expr
coincide(Network *network, const Reactant *a, const Reactant *b)
{
    Expr all = 0;
    for (u32 i = 0; i < network->species.items[a->species].shape.rank; i++) {
        if (compare_indices(network, a->index[i], b->index[i]) == ALWAYS_EQUAL)
            continue;
        Expr one = expr_binary(network, EXPR_EQ, a->index[i], b->index[i]);
        all = all ? expr_binary(network, EXPR_AND, all, one) : one;
    }
    return all;
}

static Expr
plain_ways(Network *network, const Reactant *reactants, u32 count)
{
    Expr ways = rxn__expr_number(network, 1);
    for (u32 i = 0; i < count; i++) {
        u32 rank = network->species.items[reactants[i].species].shape.rank;
        Expr member =
            rxn__expr_object(network, EXPR_SPECIES, reactants[i].species, rank, reactants[i].index);
        Expr choose = rxn__expr_choose(network, member, reactants[i].coefficient);
        ways = expr_binary(network, EXPR_MUL, ways, choose);
    }
    return ways;
}

/* Pairs before (first, second) are decided: they differ. */
static Expr
decide(Network *network, const Reactant *reactants, u32 count, u32 first, u32 second,
       bool *ret_may_coincide)
{
    for (; first < count; first++, second = first + 1) {
        for (; second < count; second++) {
            if (compare_members(network, &reactants[first], &reactants[second]) == NEVER_EQUAL)
                continue;
            *ret_may_coincide = true;
            Reactant merged[SEMA_MAX_COINCIDING * 2];
            for (u32 i = 0, k = 0; i < count; i++)
                if (i != second)
                    merged[k++] = reactants[i];
            merged[first].coefficient += reactants[second].coefficient;
            Expr same = decide(network, merged, count - 1, first, second, ret_may_coincide);
            Expr differ = decide(network, reactants, count, first, second + 1, ret_may_coincide);
            Expr condition = coincide(network, &reactants[first], &reactants[second]);
            return rxn__expr(network, EXPR_SELECT, (Expr[]){condition, same, differ});
        }
    }
    return plain_ways(network, reactants, count);
}

Expr
rxn__mass_action_ways(Sema *sema, const Module *module, const Term *terms, u32 count,
                      bool *ret_may_coincide)
{
    Network *network = sema->network;
    *ret_may_coincide = false;
    Expr ways = rxn__expr_number(network, 1);
    bool *done = NEW_ARRAY(sema->arena, bool, count + 1);
    for (u32 i = 0; i < count; i++) {
        if (done[i])
            continue;
        Reactant group[SEMA_MAX_COINCIDING * 2];
        u32 group_count = 0;
        u64 copies = 0;
        for (u32 k = i; k < count; k++) {
            if (terms[k].species != terms[i].species)
                continue;
            done[k] = true;
            copies += terms[k].coefficient;
            if (group_count < COUNT_OF(group))
                group[group_count] = (Reactant){.species = terms[k].species,
                                                .coefficient = terms[k].coefficient,
                                                .index = terms[k].index};
            group_count++;
        }
        if (copies > SEMA_MAX_REACTANTS) {
            rxn__sema_error(sema, module, terms[i].span,
                            "mass action of more than %d of one species at a time",
                            SEMA_MAX_REACTANTS);
            rxn__sema_note(sema, (Span){0}, "write the whole propensity, with '=>'");
            return 0;
        }
        if (group_count > SEMA_MAX_COINCIDING) {
            rxn__sema_error(sema, module, terms[i].span,
                            "mass action of more than %d members of one array",
                            SEMA_MAX_COINCIDING);
            rxn__sema_note(sema, (Span){0}, "write the whole propensity, with '=>'");
            return 0;
        }
        Expr group_ways = decide(network, group, group_count, 0, 1, ret_may_coincide);
        ways = expr_binary(network, EXPR_MUL, ways, group_ways);
    }
    return ways;
}
