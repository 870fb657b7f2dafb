/* grad_outputs.c: the chain rule around the estimators: from expectations of functionals to outputs, and
 * from leaves to parameters.
 */
#include "compiler/engine/grad.h"

#include <math.h>

/* ---- outputs ----------------------------------------------------------------------------------- */

typedef VEC(Expr) Exprs;
typedef VEC(u32) Numbers;
typedef VEC(RxnPair) Pairs;

/* Derivatives of `expr` by every functional's expectation that it reads, without those that are 0. */
static void
differentiate(Network *network, Arena *arena, Expr expr, Numbers *which, Exprs *derivatives)
{
    QuantityDerivatives all = {0};
    rxn__expr_by_quantities(network, expr, arena, &all);
    for (u32 k = 0; k < all.count; k++) {
        if (rxn__expr_is_zero(network, all.items[k].derivative))
            continue;
        vec_push(arena, which, all.items[k].quantity);
        vec_push(arena, derivatives, all.items[k].derivative);
    }
}

static void
differentiate_twice(Network *network, Arena *arena, u32 number, Expr derivative, Pairs *pairs,
                    Exprs *derivatives)
{
    Numbers which = {0};
    differentiate(network, arena, derivative, &which, derivatives);
    for (u32 k = 0; k < which.count; k++) {
        RxnPair pair = {number, which.items[k]};
        vec_push(arena, pairs, pair);
    }
}

static void
prepare_output(Grad *grad, Expr value, RxnOutput *ret_output, OutputDerivatives *ret_derivatives)
{
    Network *network = grad->pipeline.network;
    Arena *arena = &grad->pipeline.arena;
    Numbers first = {0}, direct = {0};
    Pairs second = {0}, mixed = {0};
    Exprs by_first = {0}, by_second = {0}, by_direct = {0}, by_mixed = {0};
    differentiate(network, arena, value, &first, &by_first);
    for (u32 k = 0; k < first.count; k++)
        differentiate_twice(network, arena, first.items[k], by_first.items[k], &second, &by_second);
    for (u32 p = 0; rxn__expr_uses(network, value).params && p < grad->request.wrt_count; p++) {
        Expr derivative = rxn__expr_derivative(network, value, EXPR_PARAM, grad->request.wrt[p]);
        if (rxn__expr_is_zero(network, derivative))
            continue;
        vec_push(arena, &direct, p);
        vec_push(arena, &by_direct, derivative);
        differentiate_twice(network, arena, p, derivative, &mixed, &by_mixed);
    }
    *ret_output = (RxnOutput){.first_count = first.count,
                              .second_count = second.count,
                              .direct_count = direct.count,
                              .mixed_count = mixed.count,
                              .first = first.items,
                              .second = second.items,
                              .direct = direct.items,
                              .mixed = mixed.items};
    *ret_derivatives = (OutputDerivatives){value, by_first.items, by_second.items, by_direct.items,
                                           by_mixed.items};
}

void
rxn__grad_outputs(Grad *grad)
{
    const Objective *objective = grad->pipeline.network->objective;
    Arena *arena = &grad->pipeline.arena;
    grad->output_count = objective->outputs.count;
    grad->outputs = NEW_ARRAY(arena, RxnOutput, grad->output_count + 1);
    grad->derivatives = NEW_ARRAY(arena, OutputDerivatives, grad->output_count + 1);
    for (u32 k = 0; k < grad->output_count; k++)
        prepare_output(grad, objective->outputs.items[k].value, &grad->outputs[k],
                       &grad->derivatives[k]);
}

static void
evaluate(const Grad *grad, const ExprValues *at, u32 count, const Expr *exprs, double *ret_values)
{
    for (u32 k = 0; k < count; k++)
        ret_values[k] = rxn__expr_evaluate(grad->pipeline.network, exprs[k], at);
}

void
rxn__grad_linearize(void *context, u32 output, const double *means, RxnOutputValues *values)
{
    const Grad *grad = context;
    const RxnOutput *shape = &grad->outputs[output];
    const OutputDerivatives *derivatives = &grad->derivatives[output];
    ExprValues at = {
        .params = grad->values.params, .inputs = grad->values.inputs, .quantities = means};
    evaluate(grad, &at, 1, &derivatives->value, &values->value);
    evaluate(grad, &at, shape->first_count, derivatives->first, values->first);
    evaluate(grad, &at, shape->second_count, derivatives->second, values->second);
    evaluate(grad, &at, shape->direct_count, derivatives->direct, values->direct);
    evaluate(grad, &at, shape->mixed_count, derivatives->mixed, values->mixed);
}

/* ---- leaves ------------------------------------------------------------------------------------ */

enum { MOST_ENTRIES = 1 << 28 }; /* of the map: 12 bytes each */

/* An entry of a hoisted value's derivatives. What is the same for all values of its bound variables (a sigmoid of a
 * sum of hundreds, in front of x[p]) is computed once for an element: `varying` is the derivative with these parts as
 * quantities. */
typedef struct MapEntry {
    LeafDerivative derivative;
    Expr varying;
    Exprs constant;
} MapEntry;

typedef VEC(MapEntry) MapEntries;

/* Goes through every (parameter, leaf, weight), first to count, then to store. */
typedef struct Mapping {
    Grad *grad;
    Network *network;
    u32 *place_of;          /* [param_count]: place in wrt; UINT32_MAX: not differentiated */
    MapEntries *entries_of; /* per hoisted value */
    u32 most_constant;      /* of an entry */
    double *constants;      /* [depth][most_constant]: their values */
    u32 depth;              /* hoisted values inside of hoisted values */
    i64 *variables;
    u64 *start, *fill; /* [parameters + 1] */
    u32 *leaf;         /* NULL: only count */
    double *weight;
    u64 entries;
} Mapping;

static bool
varies(const Network *network, Expr expr, const LeafDerivative *entry)
{
    u32 count;
    const u32 *variables = rxn__expr_free_variables(network, expr, &count);
    for (u32 k = 0; k < count; k++)
        for (u32 v = 0; v < entry->bound_count; v++)
            if (variables[k] == entry->bound[v])
                return true;
    return false;
}

/* done: per expression, what stands for it; 0: not known. */
static Expr
split(Network *network, Arena *arena, MapEntry *entry, Expr *done, Expr expr)
{
    const ExprNode node = *expr_node(network, expr);
    bool is_leaf = node.op == EXPR_NUMBER || node.op == EXPR_BOOLEAN;
    if (is_leaf || done[expr])
        return is_leaf ? expr : done[expr];
    Expr args[RXN_MAX_RANK], result = expr;
    int arity = rxn__expr_ops[node.op].arity;
    if (!node.is_bool && !varies(network, expr, &entry->derivative)) {
        result = rxn__expr_object(network, EXPR_QUANTITY, entry->constant.count, 0, NULL);
        vec_push(arena, &entry->constant, expr);
    } else if (node.op == EXPR_ADD || node.op == EXPR_SUB || node.op == EXPR_MUL ||
               node.op == EXPR_DIV || node.op == EXPR_NEG) {
        for (int k = 0; k < arity; k++)
            args[k] = split(network, arena, entry, done, node.args[k]);
        result = rxn__expr(network, (ExprOp)node.op, args);
    }
    return done[expr] = result;
}

static void
split_entries(Mapping *mapping, u32 hoisted, Arena *arena)
{
    Network *network = mapping->network;
    LeafDerivatives list = {0};
    rxn__expr_derivatives(network, network->hoisted.items[hoisted].value, arena, &list);
    for (u32 k = 0; k < list.count; k++) {
        MapEntry entry = {.derivative = list.items[k]};
        Expr *done = NEW_ARRAY(arena, Expr, network->exprs.count + 1);
        entry.varying = split(network, arena, &entry, done, entry.derivative.derivative);
        vec_push(arena, &mapping->entries_of[hoisted], entry);
        if (entry.constant.count > mapping->most_constant)
            mapping->most_constant = entry.constant.count;
    }
}

static void
emit(Mapping *mapping, u32 param, u32 leaf, double weight)
{
    u32 place = mapping->place_of[param];
    if (place == UINT32_MAX)
        return;
    mapping->entries++;
    if (!mapping->leaf) {
        mapping->start[place + 1]++;
        return;
    }
    u64 at = mapping->fill[place]++;
    mapping->leaf[at] = leaf;
    mapping->weight[at] = weight;
}

/* The values of a shape's variables, each from its low bound on, at one element. */
static void
set_element(Mapping *mapping, const Shape *shape, const u32 *variables, u64 element)
{
    for (u32 d = shape->rank; d-- > 0;) {
        const Variable *variable = &mapping->network->variables.items[variables[d]];
        mapping->variables[variables[d]] = variable->low + (i64)(element % shape->extent[d]);
        element /= shape->extent[d];
    }
}

static u32
element_of(Mapping *mapping, const ExprNode *leaf, const Shape *shape)
{
    u64 element = 0;
    for (u32 d = 0; d < leaf->arg_count; d++) {
        Affine index;
        rxn__expr_affine(mapping->network, leaf->args[d], &index);
        element =
            element * shape->extent[d] + (u64)rxn__affine_evaluate(&index, mapping->variables);
    }
    return (u32)element;
}

static void map_element(Mapping *mapping, u32 hoisted, u64 element, u32 leaf, double factor);

/* The leaf where the variables stand: a parameter, or a hoisted value that this one is made of. */
static void
map_occurrence(Mapping *mapping, const MapEntry *entry, const ExprValues *at, u32 leaf,
               double factor)
{
    Network *network = mapping->network;
    const ExprNode *node = expr_node(network, entry->derivative.leaf);
    /* To count, no weight is needed. */
    double weight = mapping->leaf ? factor * rxn__expr_evaluate(network, entry->varying, at) : 0;
    if (node->op == EXPR_PARAM) {
        const Param *param = &network->params.items[node->object];
        emit(mapping, param->flat + element_of(mapping, node, &param->shape), leaf, weight);
    } else if (node->op == EXPR_HOISTED) {
        const Hoisted *inner = &network->hoisted.items[node->object];
        map_element(mapping, node->object, element_of(mapping, node, &inner->shape), leaf, weight);
    }
}

static void
map_element(Mapping *mapping, u32 number, u64 element, u32 leaf, double factor)
{
    Network *network = mapping->network;
    const Hoisted *hoisted = &network->hoisted.items[number];
    const MapEntries *list = &mapping->entries_of[number];
    /* A hoisted value inside this one has constants of its own while these are in use, and may have the same
     * variables. */
    double *constants = mapping->constants + (size_t)mapping->depth++ * mapping->most_constant;
    for (u32 k = 0; k < list->count; k++) {
        const LeafDerivative *entry = &list->items[k].derivative;
        ExprValues at = {.params = mapping->grad->values.params,
                         .inputs = mapping->grad->values.inputs,
                         .variables = mapping->variables};
        set_element(mapping, &hoisted->shape, hoisted->variables, element);
        for (u32 c = 0; mapping->leaf && c < list->items[k].constant.count; c++)
            constants[c] =
                rxn__expr_evaluate(mapping->network, list->items[k].constant.items[c], &at);
        at.quantities = constants;
        u64 turns = 1;
        for (u32 v = 0; v < entry->bound_count; v++) {
            const Variable *variable = &network->variables.items[entry->bound[v]];
            turns *= (u64)(variable->high - variable->low + 1);
        }
        for (u64 turn = 0; turn < turns; turn++) {
            u64 rest = turn;
            set_element(mapping, &hoisted->shape, hoisted->variables, element);
            for (u32 v = entry->bound_count; v-- > 0;) {
                const Variable *variable = &network->variables.items[entry->bound[v]];
                u64 values = (u64)(variable->high - variable->low + 1);
                mapping->variables[entry->bound[v]] = variable->low + (i64)(rest % values);
                rest /= values;
            }
            map_occurrence(mapping, &list->items[k], &at, leaf, factor);
        }
        if (mapping->entries > MOST_ENTRIES)
            break;
    }
    mapping->depth--;
}

static void
map_leaves(Mapping *mapping, const GradientKernel *kernel)
{
    mapping->entries = 0;
    for (u32 l = 0; l < kernel->row.leaves && mapping->entries <= MOST_ENTRIES; l++) {
        const GradientLeaf *leaf = &kernel->leaves[l];
        if (leaf->op == EXPR_PARAM)
            emit(mapping, leaf->flat, l, 1);
        else
            map_element(mapping, leaf->object, leaf->flat, l, 1);
    }
}

/* Whether leaf p is parameter p, for all. */
static bool
is_identity(const Grad *grad, const GradientKernel *kernel)
{
    if (kernel->row.leaves != grad->request.wrt_count)
        return false;
    for (u32 l = 0; l < kernel->row.leaves; l++)
        if (kernel->leaves &&
            (kernel->leaves[l].op != EXPR_PARAM || kernel->leaves[l].flat != grad->request.wrt[l]))
            return false;
    return true;
}

bool
rxn__grad_leaf_map(Grad *grad, Arena *arena, RxnLeafMap *ret_map)
{
    Network *network = grad->pipeline.network;
    const GradientKernel *kernel = &grad->pipeline.gradient;
    u32 parameters = grad->request.wrt_count;
    *ret_map = (RxnLeafMap){.parameters = parameters};
    if (is_identity(grad, kernel))
        return true;
    Mapping mapping = {
        .grad = grad,
        .network = network,
        .place_of = NEW_ARRAY(arena, u32, network->param_count + 1),
        .entries_of = NEW_ARRAY(arena, MapEntries, network->hoisted.count + 1),
        .start = NEW_ARRAY(arena, u64, (size_t)parameters + 2),
        .fill = NEW_ARRAY(arena, u64, (size_t)parameters + 2),
    };
    for (u32 k = 0; k < network->hoisted.count; k++)
        split_entries(&mapping, k, arena);
    mapping.constants = NEW_ARRAY(
        arena, double, ((size_t)network->hoisted.count + 1) * ((size_t)mapping.most_constant + 1));
    /* Behind the derivatives, which may have added variables. */
    mapping.variables = NEW_ARRAY(arena, i64, network->variables.count + 1);
    for (u32 k = 0; k < network->param_count; k++)
        mapping.place_of[k] = UINT32_MAX;
    for (u32 p = 0; p < parameters; p++)
        mapping.place_of[grad->request.wrt[p]] = p;
    map_leaves(&mapping, kernel);
    if (mapping.entries > MOST_ENTRIES) {
        rxn__engine_error(grad->engine,
                          "parameters act in more than %d ways on what '%s' differentiates by",
                          (int)MOST_ENTRIES, network->name ? network->name->text : "the model");
        return false;
    }
    for (u32 p = 0; p < parameters; p++) {
        mapping.start[p + 1] += mapping.start[p];
        mapping.fill[p] = mapping.start[p];
    }
    mapping.leaf = NEW_ARRAY(arena, u32, mapping.entries + 1);
    mapping.weight = NEW_ARRAY(arena, double, mapping.entries + 1);
    map_leaves(&mapping, kernel);
    ret_map->start = mapping.start;
    ret_map->leaf = mapping.leaf;
    ret_map->weight = mapping.weight;
    return true;
}
