/* grad_layer_plan.c: which arrays are compressed: see grad_layer.h.
 *
 * An array A may be if
 *
 *   - laws depend on it through sums alone: with a quantity for each accumulator over A (accumulate.h), no law has a
 *     derivative by A; but for
 *   - decays: laws c·A[i] over all members of A that change A[i] alone, c the same for all members, states and times;
 *   - what is recorded for the functionals has derivatives by A that are weights, too: the same in all states and times;
 *   - events neither assign it nor assign what depends on it;
 *
 * and if that makes fewer numbers. Each array is looked at by itself, for none of this depends on what becomes of others.
 */
#include "compiler/method/grad_layer.h"
#include "compiler/network/accumulate.h"

typedef struct Planning {
    Layer *layer;
    Families *families;
    Network *network;
    Arena *arena;
    Accumulators all;
    LeafDerivatives *kept;
    u32 kept_count;
} Planning;

/* ---- indices ----------------------------------------------------------------------------------- */

static bool
is_steady_expr(const Network *network, Expr expr)
{
    ExprUses uses = rxn__expr_uses(network, expr);
    return !uses.species && !uses.quantities && !uses.time && !uses.window;
}

/* Each index is a constant, or one of `inner` plus a constant, and each of those stands in exactly one. */
static bool
read_indices(const Network *network, u32 rank, const Expr *indices, u32 inner_count,
             const u32 *inner, LayerIndex *ret_index)
{
    u32 found = 0;
    for (u32 d = 0; d < rank; d++) {
        Affine affine;
        if (!rxn__expr_affine(network, indices[d], &affine) || affine.count > 1)
            return false;
        ret_index[d] = (LayerIndex){.constant = (i32)affine.constant};
        if (affine.count == 0)
            continue;
        ret_index[d].is_bound = true;
        ret_index[d].variable = affine.variable[0];
        u32 k = 0;
        while (k < inner_count && inner[k] != affine.variable[0])
            k++;
        if (k == inner_count || affine.coefficient[0] != 1)
            return false;
        for (u32 e = 0; e < d; e++)
            if (ret_index[e].is_bound && ret_index[e].variable == affine.variable[0])
                return false;
        found++;
    }
    return found == inner_count;
}

/* ---- sums -------------------------------------------------------------------------------------- */

static bool
is_variable_of(const Reaction *reaction, u32 variable)
{
    for (u32 k = 0; k < reaction->variable_count; k++)
        if (reaction->variables[k] == variable)
            return true;
    return false;
}

/* An accumulator as a sum over a compressed array; false where it is none. */
static bool
sum_of_accumulator(const Planning *planning, const Accumulator *accumulator, LayerSum *ret)
{
    const Network *network = planning->network;
    const Reaction *reaction = &network->reactions.items[accumulator->reaction];
    *ret = (LayerSum){.species = accumulator->species,
                      .variable_count = accumulator->shape.rank,
                      .inner_count = accumulator->inner_count,
                      .weight = accumulator->weight,
                      .column = LAYER_NO_COLUMN,
                      .members = (u32)rxn__shape_count(&accumulator->shape),
                      .is_read = true};
    for (u32 k = 0; k < ret->variable_count; k++) {
        ret->variables[k] = accumulator->variables[k];
        if (!is_variable_of(reaction, accumulator->variables[k]))
            return false; /* of a sum around it */
    }
    for (u32 k = 0; k < ret->inner_count; k++)
        ret->inner[k] = accumulator->inner[k];
    u32 rank = network->species.items[ret->species].shape.rank;
    return !accumulator->local && is_steady_expr(network, accumulator->weight) &&
           read_indices(network, rank, accumulator->index, ret->inner_count, ret->inner,
                        ret->index);
}

/* What a column has by this species, as a sum. */
static bool
sum_of_entry(const Planning *planning, u32 column, const LeafDerivative *entry, LayerSum *ret)
{
    const Network *network = planning->network;
    const ExprNode leaf = *expr_node(network, entry->leaf);
    *ret = (LayerSum){.species = leaf.object,
                      .inner_count = entry->bound_count,
                      .weight = entry->derivative,
                      .column = column,
                      .members = 1};
    if (entry->bound_count > RXN_MAX_RANK || !is_steady_expr(network, entry->derivative))
        return false;
    for (u32 k = 0; k < ret->inner_count; k++)
        ret->inner[k] = entry->bound[k];
    return read_indices(network, leaf.arg_count, leaf.args, ret->inner_count, ret->inner,
                        ret->index);
}

/* The law with a quantity for each accumulator over arrays that `takes` names, numbered from `first` on in order of the
 * list. Of a node that is made of several, others are sums as before. */
static Expr
law_with_quantities(const Planning *planning, Expr law, const bool *takes)
{
    Network *network = planning->network;
    const Accumulators *all = &planning->all;
    Accumulators list = {.items = NEW_ARRAY(planning->arena, Accumulator, all->count + 1)};
    Expr *parts = NEW_ARRAY(planning->arena, Expr, all->count + 1);
    u32 number = 0;
    for (u32 k = 0; k < all->count; k++) {
        const Accumulator *item = &all->items[k];
        LayerSum sum;
        bool wanted = false;
        for (u32 other = 0; other < all->count; other++)
            wanted |= all->items[other].sum == item->sum && takes[all->items[other].species] &&
                      sum_of_accumulator(planning, &all->items[other], &sum);
        if (!wanted)
            continue;
        u32 place = list.count++;
        list.items[place] = *item;
        if (takes[item->species] && sum_of_accumulator(planning, item, &sum)) {
            parts[place] = rxn__expr_object(network, EXPR_QUANTITY, number++, 0, NULL);
            continue;
        }
        u32 rank = network->species.items[item->species].shape.rank;
        Expr part = rxn__expr_object(network, EXPR_SPECIES, item->species, rank, item->index);
        part = expr_binary(network, EXPR_MUL, item->weight, part);
        for (u32 v = item->inner_count; v-- > 0;)
            part = rxn__expr_object(network, EXPR_SUM, item->inner[v], 1, &part);
        parts[place] = part;
    }
    if (list.count == 0)
        return law;
    return rxn__accumulators_replace(network, &list, law, parts, planning->arena);
}

/* ---- the conditions ---------------------------------------------------------------------------- */

/* Whether the reaction is a decay (or growth) of all members of the array at one rate: c·A[i], changing A[i] alone. */
static bool
is_decay(const Planning *planning, const FamilyLaw *law, u32 array, Expr *ret_rate)
{
    Network *network = planning->network;
    const Reaction *reaction = &law->reaction;
    const Shape *shape = &network->species.items[array].shape;
    if (law->change_count != 1 || law->changes[0].term->species != array ||
        reaction->variable_count != shape->rank)
        return false;
    LayerIndex index[RXN_MAX_RANK];
    const Expr *indices = law->changes[0].term->index;
    if (!read_indices(network, shape->rank, indices, reaction->variable_count, reaction->variables,
                      index))
        return false;
    for (u32 d = 0; d < shape->rank; d++) {
        Variable range = network->variables.items[index[d].variable];
        if (range.low + index[d].constant != 0 ||
            range.high + index[d].constant != (i64)shape->extent[d] - 1)
            return false;
    }
    Expr member = rxn__expr_object(network, EXPR_SPECIES, array, shape->rank, indices);
    if (law->species.count != 1 || law->species.items[0].leaf != member)
        return false;
    *ret_rate = law->species.items[0].derivative;
    bool is_product = reaction->propensity == expr_binary(network, EXPR_MUL, *ret_rate, member) ||
                      reaction->propensity == expr_binary(network, EXPR_MUL, member, *ret_rate);
    return is_product && is_steady_expr(network, *ret_rate) &&
           !rxn__expr_uses(network, *ret_rate).variables;
}

static bool
has_entry_by(const Network *network, const LeafDerivatives *list, u32 array)
{
    for (u32 k = 0; k < list->count; k++)
        if (expr_node(network, list->items[k].leaf)->object == array)
            return true;
    return false;
}

static bool
laws_permit(const Planning *planning, u32 array)
{
    Network *network = planning->network;
    bool *takes = NEW_ARRAY(planning->arena, bool, network->species.count + 1);
    takes[array] = true;
    for (u32 k = 0; k < planning->families->law_count; k++) {
        const FamilyLaw *law = &planning->families->laws[k];
        Expr rate;
        if (!has_entry_by(network, &law->species, array) || is_decay(planning, law, array, &rate))
            continue;
        LeafDerivatives species = {0};
        Expr value = law_with_quantities(planning, law->reaction.propensity, takes);
        rxn__family_derive(planning->families, value, &species, NULL, NULL);
        if (has_entry_by(network, &species, array))
            return false;
    }
    return true;
}

static bool
events_permit(const Planning *planning, u32 array)
{
    Network *network = planning->network;
    for (u32 e = 0; e < network->events.count; e++)
        for (u32 k = 0; k < network->events.items[e].assignments.count; k++) {
            const Assignment *assignment = &network->events.items[e].assignments.items[k];
            LeafDerivatives species = {0};
            rxn__family_derive(planning->families, assignment->value, &species, NULL, NULL);
            assignment = &network->events.items[e].assignments.items[k];
            if (assignment->species == array || has_entry_by(network, &species, array))
                return false;
        }
    return true;
}

/* How many numbers stand for the array; false where the columns do not permit it. */
static bool
count_members(const Planning *planning, u32 array, u64 *ret_members)
{
    const Network *network = planning->network;
    LayerSum sum;
    *ret_members = 0;
    for (u32 k = 0; k < planning->all.count; k++)
        if (planning->all.items[k].species == array &&
            sum_of_accumulator(planning, &planning->all.items[k], &sum))
            *ret_members += sum.members;
    for (u32 column = 0; column < planning->kept_count; column++)
        for (u32 k = 0; k < planning->kept[column].count; k++) {
            const LeafDerivative *entry = &planning->kept[column].items[k];
            if (expr_node(network, entry->leaf)->object != array)
                continue;
            if (!sum_of_entry(planning, column, entry, &sum))
                return false;
            *ret_members += sum.members;
        }
    return true;
}

static bool
is_compressible(const Planning *planning, u32 array)
{
    u64 count = rxn__shape_count(&planning->network->species.items[array].shape), members;
    return count > 1 && count_members(planning, array, &members) && members <= count &&
           laws_permit(planning, array) && events_permit(planning, array);
}

/* ---- the new coordinates ----------------------------------------------------------------------- */

static void
add_sum(Planning *planning, LayerSum sum)
{
    Layer *layer = planning->layer;
    Families *families = planning->families;
    if (sum.column == LAYER_NO_COLUMN)
        rxn__family_derive(families, sum.weight, NULL, &sum.leaves, NULL);
    layer->has_weight_leaves |= sum.leaves.count > 0;
    sum.first = layer->members;
    layer->members += sum.members;
    layer->arrays[sum.species].members += sum.members;
    vec_push(planning->arena, &layer->sums, sum);
}

static void
collect_sums(Planning *planning, const bool *takes)
{
    LayerSum sum;
    for (u32 k = 0; k < planning->all.count; k++)
        if (takes[planning->all.items[k].species] &&
            sum_of_accumulator(planning, &planning->all.items[k], &sum))
            add_sum(planning, sum);
    for (u32 column = 0; column < planning->kept_count; column++) {
        LeafDerivatives *list = &planning->kept[column];
        u32 left = 0;
        for (u32 k = 0; k < list->count; k++) {
            LeafDerivative entry = list->items[k];
            if (!takes[expr_node(planning->network, entry.leaf)->object])
                list->items[left++] = entry;
            else if (sum_of_entry(planning, column, &entry, &sum))
                add_sum(planning, sum);
        }
        list->count = left;
    }
}

static void
transform_laws(Planning *planning, const bool *takes)
{
    Network *network = planning->network;
    Layer *layer = planning->layer;
    for (u32 k = 0; k < planning->families->law_count; k++) {
        FamilyLaw *law = &planning->families->laws[k];
        u32 array = law->change_count ? law->changes[0].term->species : 0;
        Expr rate;
        if (law->change_count && takes[array] && is_decay(planning, law, array, &rate)) {
            LayerArray *compressed = &layer->arrays[array];
            Expr change = rxn__expr_number(network, law->changes[0].delta);
            Expr part = expr_binary(network, EXPR_MUL, change, rate);
            compressed->decay =
                compressed->decay ? expr_binary(network, EXPR_ADD, compressed->decay, part) : part;
            law->decays = true;
            continue;
        }
        Expr value = law_with_quantities(planning, law->reaction.propensity, takes);
        if (value != law->reaction.propensity) {
            law->reaction.propensity = value;
            law->species = law->leaves = law->sums = (LeafDerivatives){0};
            rxn__family_derive(planning->families, value, &law->species, &law->leaves, &law->sums);
        }
        layer->has_steady_leaves |= rxn__layer_is_steady(layer, law) && law->leaves.count > 0;
    }
}

void
rxn__layer_plan(Layer *layer, Families *families, LeafDerivatives *kept, u32 kept_count, bool whole)
{
    Network *network = families->network;
    Arena *arena = families->arena;
    u32 count = network->species.count;
    *layer = (Layer){.families = families,
                     .arrays = NEW_ARRAY(arena, LayerArray, count + 1),
                     .places = NEW_ARRAY(arena, u32, count + 1)};
    Planning planning = {.layer = layer,
                         .families = families,
                         .network = network,
                         .arena = arena,
                         .kept = kept,
                         .kept_count = kept_count};
    bool *takes = NEW_ARRAY(arena, bool, count + 1);
    if (!whole)
        rxn__network_accumulators(network, arena, 1, &planning.all);
    for (u32 s = 0; s < count; s++) {
        const Species *species = &network->species.items[s];
        takes[s] = !whole && is_compressible(&planning, s);
        layer->places[s] = layer->dense;
        if (!takes[s])
            layer->dense += (u32)rxn__shape_count(&network->species.items[s].shape);
        species = &network->species.items[s];
        layer->arrays[s].compressed = takes[s];
        layer->arrays[s].starts_empty = rxn__expr_is_zero(network, species->initial);
    }
    collect_sums(&planning, takes);
    transform_laws(&planning, takes);
    layer->coordinates = layer->dense + layer->members;
    for (u32 s = 0; s < count; s++) {
        LayerArray *array = &layer->arrays[s];
        if (array->decay)
            rxn__family_derive(families, array->decay, NULL, &array->decay_leaves, NULL);
        layer->has_decay_leaves |= array->decay_leaves.count > 0 && array->members > 0;
        for (u32 k = 0; k < layer->sums.count && array->decay_leaves.count; k++)
            layer->sums.items[k].is_read |= layer->sums.items[k].species == s;
    }
    families->places = layer->places;
}

bool
rxn__layer_is_steady(const Layer *layer, const FamilyLaw *law)
{
    return !law->decays && is_steady_expr(layer->families->network, law->reaction.propensity);
}

const char *
rxn__layer_remark(const Layer *layer, const char *remark)
{
    const Network *network = layer->families->network;
    const char *lead = remark ? "; " : "";
    Text text;
    rxn__text_init(&text, layer->families->arena);
    rxn__text_printf(&text, "%s", remark ? remark : "");
    for (u32 s = 0; s < network->species.count; s++) {
        const Species *species = &network->species.items[s];
        const LayerArray *array = &layer->arrays[s];
        if (!array->compressed)
            continue;
        rxn__text_printf(&text, "%sthe adjoint of %s goes back as %u number%s, not %llu", lead,
                         species->name->text, array->members, array->members == 1 ? "" : "s",
                         (unsigned long long)rxn__shape_count(&species->shape));
        lead = "; ";
    }
    return text.length ? text.data : NULL;
}
