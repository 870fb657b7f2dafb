/* derive_member.c: derivatives by a single member of a family.
 *
 * The entries of the sweep (derive.c) say what every leaf contributes, for all values of the variables of
 * its sums. Here those values are found for which a leaf is the member that is asked for:
 *
 *     sum(p: W[5,p]*x[p])  by W[5,17]      leaf W[5,p], bound p, derivative x[p];  p = 17:  x[17]
 *
 * An index with one unknown is solved; where several are left (m[i+j]) the sum stays, with the comparison
 * of the index in it. What is hoisted is derived like the rest: its value stands where its leaf stood.
 */
#include <stdlib.h>

#include "compiler/network/derive.h"

/* ---- By one member --------------------------------------------------------------------------- */

/* factor * expr, summed over the bound variables: a part of the derivative that is still to be done. */
typedef struct Part {
    Expr expr, factor;
    VEC(u32) bound;
} Part;

typedef struct Member {
    Network *network;
    Arena *scratch;
    ExprOp op;
    u32 object;
    Shape shape;
    i64 index[RXN_MAX_RANK];
    VEC(Part) parts;
    Product total;
} Member;

/* The object and the indices of a flat number. */
static bool
find_member(Member *member, u32 flat)
{
    const Network *network = member->network;
    u32 count = member->op == EXPR_SPECIES ? network->species.count : network->params.count;
    for (u32 i = 0; i < count; i++) {
        bool species = member->op == EXPR_SPECIES;
        const Shape *shape =
            species ? &network->species.items[i].shape : &network->params.items[i].shape;
        u32 first = species ? network->species.items[i].flat : network->params.items[i].flat;
        if (flat < first || flat - first >= rxn__shape_count(shape))
            continue;
        member->object = i;
        member->shape = *shape;
        flat -= first;
        for (u32 k = shape->rank; k-- > 0;) {
            member->index[k] = flat % shape->extent[k];
            flat /= shape->extent[k];
        }
        return true;
    }
    return false;
}

static u32
find_u32(u32 count, const u32 *items, u32 item)
{
    for (u32 i = 0; i < count; i++)
        if (items[i] == item)
            return i;
    return count;
}

/* Values of the bound variables for which the leaf is the member, as far as an index by itself settles
 * them: settled[k] says that bound[k] is value[k]. False when there are none. */
static bool
solve(const Member *member, const ExprNode *leaf, u32 count, const u32 *bound, bool *settled,
      i64 *value)
{
    const Network *network = member->network;
    bool again = true;
    while (again) {
        again = false;
        for (u32 i = 0; i < leaf->arg_count; i++) {
            Affine affine;
            if (!rxn__expr_affine(network, leaf->args[i], &affine))
                continue;
            i64 rest = member->index[i] - affine.constant, coefficient = 0;
            u32 unknown = 0, at = 0;
            for (u32 k = 0; k < affine.count; k++) {
                u32 place = find_u32(count, bound, affine.variable[k]);
                if (place < count && settled[place]) {
                    rest -= affine.coefficient[k] * value[place];
                    continue;
                }
                unknown += place < count ? 1 : 2; /* of one that is not bound nothing is known */
                at = place;
                coefficient = affine.coefficient[k];
            }
            if (unknown == 0 && rest != 0)
                return false;
            if (unknown != 1)
                continue;
            const Variable *variable = &network->variables.items[bound[at]];
            if (rest % coefficient != 0 || rest / coefficient < variable->low ||
                rest / coefficient > variable->high)
                return false;
            settled[at] = again = true;
            value[at] = rest / coefficient;
        }
    }
    return true;
}

/* Adds derivative, summed over the values of the bound variables for which the leaf is the member. */
static void
add_matches(Member *member, Expr leaf, Expr derivative, u32 count, const u32 *bound)
{
    Network *network = member->network;
    const ExprNode node = *expr_node(network, leaf);
    bool *settled = NEW_ARRAY(member->scratch, bool, count + 1);
    i64 *value = NEW_ARRAY(member->scratch, i64, count + 1);
    Expr *numbers = NEW_ARRAY(member->scratch, Expr, count + 1);
    u32 *variables = NEW_ARRAY(member->scratch, u32, count + 1), settled_count = 0;
    if (node.object != member->object || !solve(member, &node, count, bound, settled, value))
        return;
    for (u32 k = 0; k < count; k++) {
        if (!settled[k])
            continue;
        variables[settled_count] = bound[k];
        numbers[settled_count++] = rxn__expr_number(network, (double)value[k]);
    }
    derivative = rxn__expr_substitute(network, derivative, settled_count, variables, numbers);
    Expr here = 0;
    for (u32 i = 0; i < node.arg_count; i++) {
        Expr index = rxn__expr_substitute(network, node.args[i], settled_count, variables, numbers);
        Affine affine;
        if (rxn__expr_affine(network, index, &affine) && affine.count == 0)
            continue;
        here = rxn__expr_both(network, here,
                              expr_binary(network, EXPR_EQ, index,
                                          rxn__expr_number(network, (double)member->index[i])));
    }
    Product product = rxn__product_times(network, product_one(), derivative);
    product = rxn__product_mask(network, product, here);
    for (u32 k = count; k-- > 0;)
        if (!settled[k])
            product = rxn__product_sum(network, product, bound[k], member->scratch);
    member->total = rxn__product_add(network, member->total, product);
}

/* The value of a hoisted member, with its indices in place of the array's variables. */
static Expr
hoisted_value(Member *member, Expr leaf, u32 taken_count, const u32 *taken)
{
    Network *network = member->network;
    const ExprNode node = *expr_node(network, leaf);
    const Hoisted hoisted = network->hoisted.items[node.object];
    Expr indices[RXN_MAX_RANK];
    for (u32 i = 0; i < hoisted.shape.rank; i++) {
        i64 low = network->variables.items[hoisted.variables[i]].low;
        indices[i] =
            expr_binary(network, EXPR_ADD, node.args[i], rxn__expr_number(network, (double)low));
    }
    Expr value = rxn__expr_apart(network, hoisted.value, taken_count, taken, member->scratch);
    return rxn__expr_substitute(network, value, hoisted.shape.rank, hoisted.variables, indices);
}

static void
derive_part(Member *member, const Part *part, u16 wanted)
{
    Network *network = member->network;
    LeafDerivatives entries = {0};
    rxn__derive_sweep(network, part->expr, wanted, member->scratch, member->scratch, &entries);
    for (u32 i = 0; i < entries.count; i++) {
        const LeafDerivative *entry = &entries.items[i];
        const ExprOp op = (ExprOp)expr_node(network, entry->leaf)->op;
        Part next = {0};
        for (u32 k = 0; k < part->bound.count; k++)
            vec_push(member->scratch, &next.bound, part->bound.items[k]);
        for (u32 k = 0; k < entry->bound_count; k++)
            if (find_u32(next.bound.count, next.bound.items, entry->bound[k]) == next.bound.count)
                vec_push(member->scratch, &next.bound, entry->bound[k]);
        Product product = rxn__product_times(network, product_one(), part->factor);
        product = rxn__product_times(network, product, entry->derivative);
        next.factor = rxn__expr_apart(network, rxn__product_expr(network, product),
                                      next.bound.count, next.bound.items, member->scratch);
        if (op == EXPR_HOISTED) {
            u32 count = 0;
            const u32 *own = rxn__expr_free_variables(network, entry->leaf, &count);
            VEC(u32) taken = {0};
            for (u32 k = 0; k < count; k++)
                vec_push(member->scratch, &taken, own[k]);
            for (u32 k = 0; k < next.bound.count; k++)
                vec_push(member->scratch, &taken, next.bound.items[k]);
            next.expr = hoisted_value(member, entry->leaf, taken.count, taken.items);
            vec_push(member->scratch, &member->parts, next);
        } else if (op == member->op) {
            add_matches(member, entry->leaf, next.factor, next.bound.count, next.bound.items);
        }
    }
}

Expr
rxn__expr_derivative(Network *network, Expr expr, ExprOp op, u32 flat)
{
    Member member = {
        .network = network, .scratch = &network->tables->derive, .op = op, .object = flat};
    u16 wanted = op == EXPR_SPECIES    ? USES_SPECIES
                 : op == EXPR_QUANTITY ? USES_QUANTITY
                                       : USES_PARAMS;
    if (expr == 0 || (op != EXPR_QUANTITY && !find_member(&member, flat)))
        return 0;
    vec_push(member.scratch, &member.parts,
             ((Part){.expr = expr, .factor = rxn__expr_number(network, 1)}));
    for (u32 i = 0; i < member.parts.count; i++) {
        const Part part = member.parts.items[i];
        derive_part(&member, &part, wanted);
    }
    Expr total = rxn__product_expr(network, member.total);
    rxn__arena_release(member.scratch);
    return total;
}

static int
compare_leaves(const void *a, const void *b)
{
    Expr x = ((const QuantityDerivative *)a)->quantity,
         y = ((const QuantityDerivative *)b)->quantity;
    return (x > y) - (x < y);
}

void
rxn__expr_by_quantities(Network *network, Expr expr, Arena *arena, QuantityDerivatives *out)
{
    Arena *scratch = &network->tables->derive;
    LeafDerivatives entries = {0};
    if (expr == 0)
        return;
    rxn__derive_sweep(network, expr, USES_QUANTITY, scratch, scratch, &entries);
    const u32 count = entries.count, before = out->count;
    bool has_bound = false;
    for (u32 i = 0; i < count; i++) {
        const LeafDerivative *entry = &entries.items[i];
        Product product = rxn__product_times(network, product_one(), entry->derivative);
        Expr value =
            rxn__expr_apart(network, rxn__product_expr(network, product), 0, NULL, scratch);
        has_bound = has_bound || entry->bound_count > 0;
        vec_push(arena, out,
                 ((QuantityDerivative){expr_node(network, entry->leaf)->object, value}));
    }
    rxn__arena_release(scratch);
    for (u32 i = before; has_bound && i < out->count; i++)
        out->items[i].derivative =
            rxn__expr_derivative(network, expr, EXPR_QUANTITY, out->items[i].quantity);
    if (count > 0)
        qsort(out->items + before, count, sizeof *out->items, compare_leaves);
}
