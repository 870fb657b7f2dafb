/* accumulate.c: which sums in the rate laws can be kept instead of added up anew.
 *
 * Every SUM node of a law is looked at from the outside in. Its body is multiplied out, down to the references of
 * species:
 *
 *     body                                       terms (species, weight)
 *     V[k,g] * H[g]                              H[g]: V[k,g]
 *     0.1 * V[k,g] * H[g] / tau                  H[g]: 0.1 * V[k,g] / tau
 *     V[k,g] * (H[g] - G[g+1])                   H[g]: V[k,g];  G[g+1]: -V[k,g]
 *     V[k,g] * H[g] + U[k,g] * H[g]              H[g]: V[k,g] + U[k,g]
 *     a[i] * sum(j: B[i,j] * H[i,j])             H[i,j]: a[i] * B[i,j]
 *     sum(j: B[i,j] * H[i])                      H[i]: sum(j: B[i,j])
 *
 * If each term is a weight, free of state and time, times one reference whose indices tell which term of the sum a
 * member is (each index a variable plus a constant), the node is the sum of these accumulators. Otherwise (H[g]^2,
 * min(H[g], 3), exp(-t) * H[g], X[2*g], a part that is free of the state) it is none, and its arguments are looked
 * at: in sum(j: exp(sum(g: V[j,g] * H[g]))) the inner sums are.
 */
#include "compiler/network/accumulate.h"
#include "compiler/network/internal.h"

/* A body is written by hand: what is deeper, or has more terms when multiplied out, is left alone. */
enum { MAX_DEPTH = 64, MAX_TERMS = 16, MAX_VISITS = 4096 };

typedef struct ProductTerm {
    Expr species, weight;
    u32 bound_count; /* variables of sums around it, outermost first */
    u32 bound[RXN_MAX_RANK];
} ProductTerm;

typedef struct Expansion {
    Network *network;
    u32 visits;
    u32 bound_count;
    u32 bound[RXN_MAX_RANK];
    u32 count;
    ProductTerm terms[MAX_TERMS];
} Expansion;

static bool
is_weight(const Network *network, Expr expr)
{
    const u16 varies = USES_SPECIES | USES_TIME | USES_WINDOW | USES_QUANTITY;
    const ExprNode *node = expr_node(network, expr);
    return !(node->uses & varies) && !node->is_bool;
}

static bool
add_term(Expansion *expansion, Expr species, Expr weight)
{
    if (expansion->count == MAX_TERMS)
        return false;
    ProductTerm *term = &expansion->terms[expansion->count++];
    *term = (ProductTerm){species, weight, expansion->bound_count, {0}};
    for (u32 k = 0; k < expansion->bound_count; k++)
        term->bound[k] = expansion->bound[k];
    return true;
}

/* Adds the terms of factor · expr. False: it is not a sum of such. */
static bool
expand(Expansion *expansion, Expr expr, Expr factor, u32 depth)
{
    Network *network = expansion->network;
    const ExprNode node = *expr_node(network, expr);
    if (depth == MAX_DEPTH || ++expansion->visits > MAX_VISITS)
        return false;
    switch ((ExprOp)node.op) {
    case EXPR_NUMBER: return node.number == 0;
    case EXPR_SPECIES: return add_term(expansion, expr, factor);
    case EXPR_NEG:
        return expand(expansion, node.args[0], expr_unary(network, EXPR_NEG, factor), depth + 1);
    case EXPR_ADD:
        return expand(expansion, node.args[0], factor, depth + 1) &&
               expand(expansion, node.args[1], factor, depth + 1);
    case EXPR_SUB:
        return expand(expansion, node.args[0], factor, depth + 1) &&
               expand(expansion, node.args[1], expr_unary(network, EXPR_NEG, factor), depth + 1);
    case EXPR_MUL:
        for (u32 k = 0; k < 2; k++)
            if (is_weight(network, node.args[k]))
                return expand(expansion, node.args[1 - k],
                              expr_binary(network, EXPR_MUL, factor, node.args[k]), depth + 1);
        return false;
    case EXPR_DIV:
        return is_weight(network, node.args[1]) &&
               expand(expansion, node.args[0], expr_binary(network, EXPR_DIV, factor, node.args[1]),
                      depth + 1);
    case EXPR_SUM: {
        if (expansion->bound_count == RXN_MAX_RANK)
            return false;
        for (u32 k = 0; k < expansion->bound_count; k++)
            if (expansion->bound[k] == node.object)
                return false; /* a sum inside a sum over the same variable: the factor is of the outer one */
        if (!expr_is_free_of(network, factor, node.object))
            return false;
        expansion->bound[expansion->bound_count++] = node.object;
        bool is_sum = expand(expansion, node.args[0], factor, depth + 1);
        expansion->bound_count--;
        return is_sum;
    }
    default: return false;
    }
}

static u64
extent_of(const Network *network, u32 variable)
{
    const Variable *range = &network->variables.items[variable];
    return range->high < range->low ? 0 : (u64)(range->high - range->low) + 1;
}

/* The accumulator of one term; false if its indices do not tell the term. */
static bool
describe(Network *network, Expr sum, u32 reaction, const ProductTerm *term, Accumulator *ret)
{
    const ExprNode species = *expr_node(network, term->species);
    *ret = (Accumulator){.sum = sum, .reaction = reaction, .species = species.object};
    u32 count;
    const u32 *variables = rxn__expr_free_variables(network, sum, &count);
    if (count > RXN_MAX_RANK)
        return false;
    ret->shape.rank = count;
    for (u32 k = 0; k < count; k++) {
        u64 extent = extent_of(network, variables[k]);
        if (extent == 0 || extent > RXN_MAX_FLAT)
            return false;
        ret->variables[k] = variables[k];
        ret->shape.extent[k] = (u32)extent;
    }
    if (rxn__shape_count(&ret->shape) > RXN_MAX_FLAT)
        return false;

    u32 places[RXN_MAX_RANK] = {0}; /* how often each bound variable stands in an index */
    for (u32 d = 0; d < species.arg_count; d++) {
        Affine index;
        if (!rxn__expr_affine(network, species.args[d], &index) || index.count > 1 ||
            (index.count == 1 && index.coefficient[0] != 1))
            return false;
        ret->index[d] = species.args[d];
        bool is_inner = false;
        for (u32 k = 0; k < term->bound_count; k++)
            if (index.count == 1 && index.variable[0] == term->bound[k]) {
                is_inner = true;
                ret->local |= places[k]++ > 0;
            }
        ret->local |= !is_inner;
    }
    ret->weight = term->weight;
    for (u32 k = term->bound_count; k-- > 0;)
        if (places[k] == 0) /* the same for all its values */
            ret->weight =
                rxn__expr_object(network, EXPR_SUM, term->bound[k], 1, (Expr[]){ret->weight});
    for (u32 k = 0; k < term->bound_count; k++)
        if (places[k] > 0)
            ret->inner[ret->inner_count++] = term->bound[k];
    return ret->inner_count > 0;
}

typedef VEC(Accumulator) AccumulatorList;

static bool
same_terms(const Accumulator *a, const Accumulator *b)
{
    if (a->species != b->species || a->inner_count != b->inner_count)
        return false;
    for (u32 k = 0; k < RXN_MAX_RANK; k++)
        if (a->index[k] != b->index[k] || a->inner[k] != b->inner[k])
            return false;
    return true;
}

/* Appends the accumulators of a SUM node; false, and nothing appended, if it is none. */
static bool
take_sum(Network *network, Arena *arena, Expr sum, u32 reaction, u32 least, AccumulatorList *list)
{
    Expansion expansion = {.network = network};
    u32 first = list->count;
    u64 terms = 0;
    bool is_sum = expand(&expansion, sum, rxn__expr_number(network, 1), 0);
    for (u32 i = 0; i < expansion.count && is_sum; i++) {
        Accumulator entry;
        is_sum = describe(network, sum, reaction, &expansion.terms[i], &entry);
        if (!is_sum)
            break;
        u32 same = first;
        while (same < list->count && !same_terms(&list->items[same], &entry))
            same++;
        if (same < list->count) {
            Expr *weight = &list->items[same].weight;
            *weight = expr_binary(network, EXPR_ADD, *weight, entry.weight);
            continue;
        }
        u64 members = 1;
        for (u32 k = 0; k < entry.inner_count; k++)
            members *= extent_of(network, entry.inner[k]);
        terms += members;
        vec_push(arena, list, entry);
    }
    is_sum = is_sum && list->count > first && terms >= least;
    if (!is_sum)
        list->count = first;
    return is_sum;
}

/* The outermost sums below a law, in the order in which they are read. */
static void
search(Network *network, Arena *arena, Expr root, u32 reaction, u32 least, bool *seen,
       AccumulatorList *list)
{
    VEC(Expr) stack = {0};
    if (root != 0)
        vec_push(arena, &stack, root);
    while (stack.count > 0) {
        Expr top = stack.items[--stack.count];
        const ExprNode node = *expr_node(network, top);
        if (seen[top] || !(node.uses & USES_SUMS))
            continue;
        seen[top] = true;
        if (node.op == EXPR_SUM && node.uses & USES_SPECIES &&
            take_sum(network, arena, top, reaction, least, list))
            continue;
        for (u32 i = node.arg_count; i-- > 0;)
            vec_push(arena, &stack, node.args[i]);
    }
}

void
rxn__network_accumulators(Network *network, Arena *arena, u32 least, Accumulators *ret_list)
{
    AccumulatorList list = {0};
    bool *seen = NEW_ARRAY(arena, bool, network->exprs.count); /* new nodes are weights alone */
    for (u32 r = 0; r < network->reactions.count; r++)
        search(network, arena, network->reactions.items[r].propensity, r, least, seen, &list);
    *ret_list = (Accumulators){list.count, list.items};
}

typedef struct Replacing {
    Network *network;
    const Accumulators *list;
    const Expr *replacements;
} Replacing;

static Expr
replace_rule(void *context, Expr expr)
{
    const Replacing *replacing = context;
    Network *network = replacing->network;
    const ExprNode *node = expr_node(network, expr);
    if (!(node->uses & USES_SUMS) || expr_is_reference((ExprOp)node->op))
        return expr;
    Expr value = 0;
    for (u32 i = 0; i < replacing->list->count && node->op == EXPR_SUM; i++) {
        if (replacing->list->items[i].sum != expr)
            continue;
        Expr part = replacing->replacements[i];
        value = value ? expr_binary(network, EXPR_ADD, value, part) : part;
    }
    return value;
}

Expr
rxn__accumulators_replace(Network *network, const Accumulators *list, Expr expr,
                          const Expr *replacements, Arena *arena)
{
    Replacing replacing = {network, list, replacements};
    ExprRewrite rewrite = {
        .network = network, .scratch = arena, .rule = replace_rule, .context = &replacing};
    return rxn__expr_rewrite(&rewrite, expr);
}
