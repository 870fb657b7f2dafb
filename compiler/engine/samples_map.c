/* samples_map.c: what derivatives by hoisted values that read a row's inputs say of parameters.
 *
 * Of h[g] = Σ_p W[g,p] x[p], the derivative by W[g,p] is x[p]: over all g and p an outer product, and summed over rows a
 * product of matrices. It is recognised from the derivatives' expression, which has to be a product of factors each of which
 * is of the element g alone, or of the sum's variables p alone, and reads inputs only in the latter case; the parameter's
 * indices have to be affine, as they always are, so that its place is one number of g plus one of p. What is of another form
 * (x[g+p], or tanh(W[g,p] x[p])) goes through all its terms for each row, by the host's evaluation of expressions.
 */
#include "compiler/engine/samples_private.h"

/* ---- variables and places ---------------------------------------------------------------------- */

static u64
bound_count(const Network *network, const LeafDerivative *entry)
{
    u64 count = 1;
    for (u32 k = 0; k < entry->bound_count; k++) {
        Variable range = network->variables.items[entry->bound[k]];
        count *= range.high < range.low ? 0 : (u64)(range.high - range.low + 1);
    }
    return count;
}

static void
set_element(SampleMap *map, u32 number, u64 element)
{
    const Network *network = map->grad->pipeline.network;
    const Hoisted *hoisted = &network->hoisted.items[number];
    for (u32 d = hoisted->shape.rank; d-- > 0;) {
        i64 low = network->variables.items[hoisted->variables[d]].low;
        map->variables[hoisted->variables[d]] = low + (i64)(element % hoisted->shape.extent[d]);
        element /= hoisted->shape.extent[d];
    }
}

static void
set_bound(SampleMap *map, const LeafDerivative *entry, u64 turn)
{
    const Network *network = map->grad->pipeline.network;
    for (u32 k = entry->bound_count; k-- > 0;) {
        Variable range = network->variables.items[entry->bound[k]];
        u64 values = (u64)(range.high - range.low + 1);
        map->variables[entry->bound[k]] = range.low + (i64)(turn % values);
        turn /= values;
    }
}

/* Flat number of a reference where the variables stand. */
static u32
place_of(const SampleMap *map, const Shape *shape, u32 first, const ExprNode *node)
{
    i64 place = 0;
    for (u32 d = 0; d < shape->rank; d++) {
        Affine index;
        rxn__expr_affine(map->grad->pipeline.network, node->args[d], &index);
        place = place * shape->extent[d] + rxn__affine_evaluate(&index, map->variables);
    }
    return first + (u32)place;
}

static u32
param_place(const SampleMap *map, const LeafDerivative *entry)
{
    const Network *network = map->grad->pipeline.network;
    const ExprNode *node = expr_node(network, entry->leaf);
    const Param *param = &network->params.items[node->object];
    return place_of(map, &param->shape, param->flat, node);
}

/* ---- recognition ------------------------------------------------------------------------------- */

static bool
is_among(u32 variable, u32 count, const u32 *list)
{
    for (u32 k = 0; k < count; k++)
        if (list[k] == variable)
            return true;
    return false;
}

static bool
is_over(const Network *network, Expr expr, u32 count, const u32 *list)
{
    u32 free_count;
    const u32 *free = rxn__expr_free_variables(network, expr, &free_count);
    for (u32 k = 0; k < free_count; k++)
        if (!is_among(free[k], count, list))
            return false;
    return true;
}

static bool
take_factor(SampleMap *map, SampleProduct *product, Expr expr, bool over)
{
    Grad *grad = map->grad;
    Network *network = grad->pipeline.network;
    Arena *arena = &grad->pipeline.arena;
    const ExprNode node = *expr_node(network, expr);
    const Hoisted *hoisted = &network->hoisted.items[product->hoisted];
    SampleFactor factor = {expr, over};
    switch ((ExprOp)node.op) {
    case EXPR_NUMBER: product->number *= over ? 1 / node.number : node.number; return true;
    case EXPR_NEG:
        product->number = -product->number;
        return take_factor(map, product, node.args[0], over);
    case EXPR_MUL:
        return take_factor(map, product, node.args[0], over) &&
               take_factor(map, product, node.args[1], over);
    case EXPR_DIV:
        return take_factor(map, product, node.args[0], over) &&
               take_factor(map, product, node.args[1], !over);
    default: break;
    }
    ExprUses uses = rxn__expr_uses(network, expr);
    bool of_terms = is_over(network, expr, product->entry.bound_count, product->entry.bound);
    if (uses.inputs && of_terms)
        vec_push(arena, &product->of_inputs, factor);
    else if (!uses.inputs && is_over(network, expr, hoisted->shape.rank, hoisted->variables))
        vec_push(arena, &product->by_element, factor);
    else if (!uses.inputs && of_terms)
        vec_push(arena, &product->by_term, factor);
    else
        return false;
    return true;
}

/* Where each term's input is, if it is one by itself. */
static u32 *
input_places(SampleMap *map, const SampleProduct *product, u32 terms)
{
    const Network *network = map->grad->pipeline.network;
    if (product->of_inputs.count != 1 || product->of_inputs.items[0].over)
        return NULL;
    const ExprNode *node = expr_node(network, product->of_inputs.items[0].value);
    if (node->op != EXPR_INPUT)
        return NULL;
    const Input *input = &network->inputs.items[node->object];
    u32 *places = NEW_ARRAY(&map->grad->pipeline.arena, u32, (size_t)terms + 1);
    for (u32 b = 0; b < terms; b++) {
        set_bound(map, &product->entry, b);
        places[b] = place_of(map, &input->shape, input->flat, node);
    }
    return places;
}

static void
add_product(SampleMap *map, SampleProduct *product, u32 first)
{
    Arena *arena = &map->grad->pipeline.arena;
    const Network *network = map->grad->pipeline.network;
    u32 elements = (u32)rxn__shape_count(&network->hoisted.items[product->hoisted].shape);
    u32 terms = (u32)bound_count(network, &product->entry);
    u32 *element_place = NEW_ARRAY(arena, u32, (size_t)elements + 1);
    u32 *term_place = NEW_ARRAY(arena, u32, (size_t)terms + 1);
    /* The place is affine: that of element e and term 0, plus what term b differs from term 0 by. */
    for (u32 e = 0; e < elements; e++) {
        set_element(map, product->hoisted, e);
        set_bound(map, &product->entry, 0);
        element_place[e] = param_place(map, &product->entry);
    }
    set_element(map, product->hoisted, 0);
    for (u32 b = 0; b < terms; b++) {
        set_bound(map, &product->entry, b);
        term_place[b] = param_place(map, &product->entry) - element_place[0];
    }
    if (product->by_element.count || product->number != 1)
        product->element_factor = NEW_ARRAY(arena, double, (size_t)elements + 1);
    if (product->by_term.count)
        product->term_factor = NEW_ARRAY(arena, double, (size_t)terms + 1);
    RxnSampleProduct made = {
        .first = first,
        .elements = elements,
        .element_factor = product->element_factor,
        .terms = terms,
        .input = input_places(map, product, terms),
        .term_factor = product->term_factor,
        .element_place = element_place,
        .term_place = term_place,
    };
    vec_push(arena, &map->products, made);
    vec_push(arena, &map->origins, *product);
}

static bool
reaches_wanted(const Grad *grad, const ExprNode *leaf, const bool *wanted)
{
    const Param *param = &grad->pipeline.network->params.items[leaf->object];
    u64 count = rxn__shape_count(&param->shape);
    for (u64 k = 0; k < count; k++)
        if (wanted[param->flat + k])
            return true;
    return false;
}

/* The leaves first … of a hoisted value, all its elements. */
static const char *
take_hoisted(SampleMap *map, u32 hoisted, u32 first, const bool *wanted)
{
    enum { MOST_TERMS = 1 << 28 }; /* of a product: 2 GiB of sums */
    Grad *grad = map->grad;
    Network *network = grad->pipeline.network;
    Arena *arena = &grad->pipeline.arena;
    LeafDerivatives list = {0};
    rxn__expr_derivatives(network, network->hoisted.items[hoisted].value, arena, &list);
    map->variables = NEW_ARRAY(arena, i64, (size_t)network->variables.count + 1);
    u64 elements = rxn__shape_count(&network->hoisted.items[hoisted].shape);
    bool sampled = rxn__hoisted_reads_inputs(network, hoisted, arena);
    for (u32 k = 0; k < list.count; k++) {
        const ExprNode *leaf = expr_node(network, list.items[k].leaf);
        if (leaf->op == EXPR_HOISTED)
            return "a hoisted value is made of others";
        u64 terms = bound_count(network, &list.items[k]);
        if (leaf->op != EXPR_PARAM || terms == 0 || !reaches_wanted(grad, leaf, wanted))
            continue;
        SampleProduct product = {.hoisted = hoisted, .entry = list.items[k], .number = 1};
        bool fits = sampled && terms * elements <= MOST_TERMS;
        if (fits && take_factor(map, &product, list.items[k].derivative, false)) {
            add_product(map, &product, first);
            continue;
        }
        SampleOther other = {.hoisted = hoisted, .first = first, .entry = list.items[k]};
        other.per_row = rxn__expr_uses(network, other.entry.derivative).inputs;
        vec_push(arena, &map->others, other);
    }
    return NULL;
}

const char *
rxn__sample_map_make(SampleMap *map, Grad *grad, const GradientKernel *kernel)
{
    Network *network = grad->pipeline.network;
    Arena *arena = &grad->pipeline.arena;
    u32 leaves = kernel->row.leaves;
    *map = (SampleMap){.grad = grad};
    map->leaf_parameter = NEW_ARRAY(arena, u32, (size_t)leaves + 1);
    bool *wanted = NEW_ARRAY(arena, bool, (size_t)network->param_count + 1);
    for (u32 p = 0; p < grad->request.wrt_count; p++)
        wanted[grad->request.wrt[p]] = true;
    for (u32 l = 0; l < leaves;) {
        const GradientLeaf *leaf = &kernel->leaves[l];
        map->leaf_parameter[l] = UINT32_MAX;
        if (leaf->op == EXPR_PARAM) {
            map->leaf_parameter[l++] = leaf->flat;
            continue;
        }
        u64 count = rxn__shape_count(&network->hoisted.items[leaf->object].shape);
        for (u64 e = 0; e < count; e++) {
            const GradientLeaf *element = l + e < leaves ? &kernel->leaves[l + e] : NULL;
            if (!element || element->op != EXPR_HOISTED || element->object != leaf->object ||
                element->flat != e)
                return "the leaves of a hoisted value are not all its elements";
            map->leaf_parameter[l + e] = UINT32_MAX;
        }
        const char *broken = take_hoisted(map, leaf->object, l, wanted);
        if (broken)
            return broken;
        l += (u32)count;
    }
    map->variables = NEW_ARRAY(arena, i64, (size_t)network->variables.count + 1);
    return NULL;
}

/* ---- values ------------------------------------------------------------------------------------ */

static ExprValues
values_at(const SampleMap *map, const double *inputs)
{
    const Grad *grad = map->grad;
    return (ExprValues){.params = grad->values.params,
                        .inputs = inputs ? inputs : grad->values.inputs,
                        .variables = map->variables};
}

static double
product_of(const SampleMap *map, const SampleFactors *factors, const ExprValues *at)
{
    double product = 1;
    for (u32 k = 0; k < factors->count; k++) {
        double value = rxn__expr_evaluate(map->grad->pipeline.network, factors->items[k].value, at);
        product = factors->items[k].over ? product / value : product * value;
    }
    return product;
}

void
rxn__sample_map_update(SampleMap *map)
{
    ExprValues at = values_at(map, NULL);
    for (u32 k = 0; k < map->products.count; k++) {
        const SampleProduct *origin = &map->origins.items[k];
        for (u32 e = 0; origin->element_factor && e < map->products.items[k].elements; e++) {
            set_element(map, origin->hoisted, e);
            origin->element_factor[e] = origin->number * product_of(map, &origin->by_element, &at);
        }
        for (u32 b = 0; origin->term_factor && b < map->products.items[k].terms; b++) {
            set_bound(map, &origin->entry, b);
            origin->term_factor[b] = product_of(map, &origin->by_term, &at);
        }
    }
}

void
rxn__sample_map_terms(void *context, u32 product, const double *inputs, double *ret_terms)
{
    SampleMap *map = context;
    const SampleProduct *origin = &map->origins.items[product];
    ExprValues at = values_at(map, inputs);
    for (u32 b = 0; b < map->products.items[product].terms; b++) {
        set_bound(map, &origin->entry, b);
        ret_terms[b] = product_of(map, &origin->of_inputs, &at);
    }
}

void
rxn__sample_map_others(void *context, const double *inputs, const double *leaves, double *gradient)
{
    SampleMap *map = context;
    const Network *network = map->grad->pipeline.network;
    ExprValues at = values_at(map, inputs);
    for (u32 k = 0; k < map->others.count; k++) {
        const SampleOther *other = &map->others.items[k];
        if (other->per_row != (inputs != NULL))
            continue;
        u64 terms = bound_count(network, &other->entry);
        u64 elements = rxn__shape_count(&network->hoisted.items[other->hoisted].shape);
        for (u64 e = 0; e < elements; e++) {
            double leaf = leaves[other->first + e];
            set_element(map, other->hoisted, e);
            for (u64 b = 0; leaf != 0 && b < terms; b++) {
                set_bound(map, &other->entry, b);
                gradient[param_place(map, &other->entry)] +=
                    leaf * rxn__expr_evaluate(network, other->entry.derivative, &at);
            }
        }
    }
}
