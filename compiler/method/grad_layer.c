/* grad_layer.c: compressed arrays in the kernel: see grad_layer.h. */
#include "compiler/method/grad_layer.h"

#include <math.h>
#include <string.h>

/* Events between two additions of the sums: what undoing weights has rounded by then is some 1e-13 of the sum. */
enum { SUM_AGAIN = 4096 };

/* Loops of up to so many turns are written out. */
enum { UNROLL = 16 };

static KirBuilder *
builder(const Layer *layer)
{
    return layer->families->frame->builder;
}

static KirValue
f64(const Layer *layer, double value)
{
    return rxn__kir_const(builder(layer), KIR_F64, value);
}

static KirValue
i32v(const Layer *layer, double value)
{
    return rxn__kir_const(builder(layer), KIR_I32, value);
}

static KirValue
offset(const Layer *layer, KirValue base, KirValue place)
{
    return base ? kir_add(builder(layer), base, place) : place;
}

static void
add_to(const Layer *layer, u32 local, KirValue place, KirValue a, KirValue b)
{
    KirBuilder *k = builder(layer);
    rxn__kir_set(k, local, place, kir_fma(k, a, b, rxn__kir_get(k, local, place)));
}

/* ---- declarations ------------------------------------------------------------------------------ */

static u32
array_local(const Layer *layer, const char *name, u64 length)
{
    return length ? rxn__kir_local(builder(layer), name, KIR_F64, (u32)length) : 0;
}

static u32
add_table(const Layer *layer, const char *name, const i32 *data, u32 extent)
{
    SsaFrame *frame = layer->families->frame;
    MethodTable entry = {name, data, extent};
    vec_push(frame->arena, &frame->output->tables, entry);
    return rxn__kir_buffer(frame->builder, name, KIR_I32, KIR_PER_LAUNCH, false, 1, &extent);
}

/* The compressed array that has this flat species, if it has sums; else -1. */
static i32
array_of(const Layer *layer, u32 flat)
{
    const Network *network = layer->families->network;
    for (u32 s = 0; s < network->species.count; s++) {
        const Species *species = &network->species.items[s];
        if (flat - species->flat < rxn__shape_count(&species->shape))
            return layer->arrays[s].members ? (i32)s : -1;
    }
    return -1;
}

/* Rows of changes, the longest of which has `slots`; the one behind the last is that of no reaction. */
static void
build_tables(Layer *layer)
{
    SsaFrame *frame = layer->families->frame;
    Network *network = frame->network;
    u32 widest = 0;
    i32 *array = NULL, *member = NULL, *delta = NULL;
    for (u32 pass = 0; pass < 2; pass++) {
        u32 length = (network->reaction_count + 1) * widest + 1;
        if (pass == 1) {
            array = NEW_ARRAY(frame->arena, i32, length);
            member = NEW_ARRAY(frame->arena, i32, length);
            delta = NEW_ARRAY(frame->arena, i32, length);
            memset(member, -1, length * sizeof *member);
            memset(array, -1, length * sizeof *array);
        }
        for (u32 r = 0; r < network->reactions.count; r++) {
            const Reaction *reaction = &network->reactions.items[r];
            u32 most = reaction->reactants.count + reaction->products.count;
            Change *changes = NEW_ARRAY(frame->arena, Change, most + 1);
            for (u32 m = 0; m < reaction->count; m++) {
                u32 count = rxn__reaction_changes(network, reaction, m, most, changes), used = 0;
                for (u32 k = 0; k < count; k++) {
                    i32 owner = array_of(layer, changes[k].species);
                    if (owner < 0)
                        continue;
                    if (pass == 1) {
                        u32 place = (reaction->flat + m) * widest + used;
                        array[place] = owner;
                        member[place] =
                            (i32)(changes[k].species - network->species.items[owner].flat);
                        delta[place] = changes[k].delta;
                    }
                    used++;
                }
                layer->slots = used > layer->slots ? used : layer->slots;
            }
        }
        widest = layer->slots;
    }
    if (widest == 0)
        return;
    u32 extent = (network->reaction_count + 1) * widest;
    layer->change_array = add_table(layer, "layer_array", array, extent);
    layer->change_member = add_table(layer, "layer_member", member, extent);
    layer->change_delta = add_table(layer, "layer_delta", delta, extent);
}

void
rxn__layer_declare(Layer *layer, u32 sets)
{
    layer->sets = sets;
    if (layer->has_steady_leaves)
        layer->area = array_local(layer, "area", (u64)sets * layer->coordinates);
    if (layer->members == 0)
        return;
    build_tables(layer);
    layer->value = array_local(layer, "sum_value", layer->members);
    if (layer->has_weight_leaves)
        layer->influx = array_local(layer, "influx", (u64)sets * layer->members);
    if (layer->has_decay_leaves)
        layer->decayed =
            array_local(layer, "decayed", (u64)sets * layer->families->network->species.count);
    layer->worth = rxn__kir_local(builder(layer), "worth", KIR_F64, 0);
    layer->sum_again = rxn__kir_local(builder(layer), "sum_again", KIR_I32, 0);
}

/* ---- variables --------------------------------------------------------------------------------- */

/* What the variables of a sum were bound to: they may be in use where the sum is gone through. */
typedef struct Bindings {
    u32 count;
    u32 variable[2 * RXN_MAX_RANK];
    KirValue value[2 * RXN_MAX_RANK];
} Bindings;

static void
save(const Layer *layer, const LayerSum *sum, Bindings *ret)
{
    Lowering *lower = &layer->families->frame->lower;
    ret->count = 0;
    for (u32 k = 0; k < sum->variable_count + sum->inner_count; k++) {
        u32 variable =
            k < sum->variable_count ? sum->variables[k] : sum->inner[k - sum->variable_count];
        ret->variable[ret->count] = variable;
        ret->value[ret->count++] =
            variable < lower->variable_capacity ? lower->variable_value[variable] : 0;
    }
}

static void
restore(const Layer *layer, const Bindings *bindings)
{
    for (u32 k = 0; k < bindings->count; k++)
        rxn__lower_bind(&layer->families->frame->lower, bindings->variable[k], bindings->value[k]);
    rxn__lower_forget(&layer->families->frame->lower);
}

/* Number of the sum's member whose variables are bound: i32, from `first` on. */
static KirValue
member_place(const Layer *layer, const LayerSum *sum, u32 first)
{
    const Network *network = layer->families->network;
    KirBuilder *b = builder(layer);
    KirValue flat = i32v(layer, 0);
    for (u32 k = 0; k < sum->variable_count; k++) {
        Variable range = network->variables.items[sum->variables[k]];
        KirValue digit = kir_sub(b, layer->families->frame->lower.variable_value[sum->variables[k]],
                                 i32v(layer, (double)range.low));
        flat = kir_mul(b, flat, i32v(layer, (double)(range.high - range.low + 1)));
        flat = kir_add(b, flat, digit);
    }
    return kir_add(b, flat, i32v(layer, first));
}

static KirValue
quantity(void *context, u32 number)
{
    const Layer *layer = context;
    const LayerSum *sum = &layer->sums.items[number];
    return rxn__kir_get(builder(layer), layer->value, member_place(layer, sum, sum->first));
}

void
rxn__layer_bind(Layer *layer)
{
    if (layer->members == 0)
        return;
    Lowering *lower = &layer->families->frame->lower;
    rxn__lower_forget(lower);
    lower->quantity = quantity;
    lower->quantity_context = layer;
}

u32
rxn__layer_place(const Layer *layer, u32 flat)
{
    const Network *network = layer->families->network;
    u32 s = 0;
    while (s + 1 < network->species.count && network->species.items[s + 1].flat <= flat)
        s++;
    return layer->places[s] + (flat - network->species.items[s].flat);
}

KirValue
rxn__layer_coordinate(Layer *layer, const LeafDerivative *entry)
{
    const ExprNode *leaf = expr_node(layer->families->network, entry->leaf);
    const LayerSum *sum = &layer->sums.items[leaf->object];
    return member_place(layer, sum, layer->dense + sum->first);
}

/* ---- going through a sum ----------------------------------------------------------------------- */

/* What is done with a member of a sum: `place` is its number among all members (i32), its variables and those inside the
 * sum are bound. `within`: bool, whether the term is in the sum at all; or 0: it is. */
typedef struct SumVisit {
    void (*body)(Layer *layer, const LayerSum *sum, KirValue place, KirValue within, void *context);
    void *context;
    KirValue within;
} SumVisit;

static u64
extent_of(const Network *network, u32 variable)
{
    const Variable *range = &network->variables.items[variable];
    return range->high < range->low ? 0 : (u64)(range->high - range->low) + 1;
}

static void
over_variables(Layer *layer, const LayerSum *sum, u32 count, const u32 *variables, u32 depth,
               bool unroll, void (*inside)(Layer *layer, const LayerSum *sum, void *context),
               void *context)
{
    Lowering *lower = &layer->families->frame->lower;
    KirBuilder *b = builder(layer);
    if (depth == count) {
        inside(layer, sum, context);
        return;
    }
    Variable range = layer->families->network->variables.items[variables[depth]];
    for (i64 k = range.low; unroll && k <= range.high; k++) {
        rxn__lower_bind(lower, variables[depth], i32v(layer, (double)k));
        over_variables(layer, sum, count, variables, depth + 1, unroll, inside, context);
    }
    if (unroll || range.low > range.high)
        return;
    KirValue counter =
        rxn__kir_for(b, i32v(layer, (double)range.low), i32v(layer, (double)range.high + 1));
    rxn__lower_bind(lower, variables[depth], counter);
    over_variables(layer, sum, count, variables, depth + 1, unroll, inside, context);
    rxn__kir_close(b);
    rxn__lower_bind(lower, variables[depth], 0);
    rxn__lower_forget(lower);
}

static bool
is_short(const Layer *layer, u32 count, const u32 *variables)
{
    u64 turns = 1;
    for (u32 k = 0; k < count; k++)
        turns *= extent_of(layer->families->network, variables[k]);
    return turns <= UNROLL;
}

static void
at_member(Layer *layer, const LayerSum *sum, void *context)
{
    const SumVisit *visit = context;
    visit->body(layer, sum, member_place(layer, sum, sum->first), visit->within, visit->context);
}

static void
each_member(Layer *layer, const LayerSum *sum, void *context)
{
    over_variables(layer, sum, sum->variable_count, sum->variables, 0,
                   is_short(layer, sum->variable_count, sum->variables), at_member, context);
}

/* All terms of all members of the sum; loops over its inner variables outside, so that a count is read once. */
static void
each_term(Layer *layer, const LayerSum *sum, SumVisit *visit)
{
    Bindings bindings;
    save(layer, sum, &bindings);
    over_variables(layer, sum, sum->inner_count, sum->inner, 0, false, each_member, visit);
    restore(layer, &bindings);
}

/* The terms of all members that have array[index]: index i32, one for each dimension. */
static void
each_term_of(Layer *layer, const LayerSum *sum, const KirValue *index, SumVisit *visit)
{
    const Network *network = layer->families->network;
    const Shape *shape = &network->species.items[sum->species].shape;
    Lowering *lower = &layer->families->frame->lower;
    KirBuilder *b = builder(layer);
    Bindings bindings;
    save(layer, sum, &bindings);
    visit->within = 0;
    for (u32 d = 0; d < shape->rank; d++) {
        const LayerIndex *form = &sum->index[d];
        KirValue within = 0, bound = 0;
        if (form->is_bound) {
            Variable range = network->variables.items[form->variable];
            KirValue low = i32v(layer, (double)range.low), high = i32v(layer, (double)range.high);
            bound = kir_sub(b, index[d], i32v(layer, form->constant));
            if (range.low + form->constant > 0 ||
                range.high + form->constant < (i64)shape->extent[d] - 1) {
                within = kir_and(b, kir_ge(b, bound, low), kir_le(b, bound, high));
                bound = kir_min(b, kir_max(b, bound, low), high);
            }
            rxn__lower_bind(lower, form->variable, bound);
        } else if (shape->extent[d] > 1) {
            within = kir_eq(b, index[d], i32v(layer, form->constant));
        }
        if (within)
            visit->within = visit->within ? kir_and(b, visit->within, within) : within;
    }
    each_member(layer, sum, visit);
    restore(layer, &bindings);
}

static KirValue
weight_of(Layer *layer, const LayerSum *sum, KirValue within)
{
    KirValue weight = rxn__lower_as(&layer->families->frame->lower, sum->weight, KIR_F64);
    return within ? kir_select(builder(layer), within, weight, f64(layer, 0)) : weight;
}

/* ---- the value of λ ---------------------------------------------------------------------------- */

typedef struct WorthVisit {
    u32 local;
    KirValue base;
    double factor;
    bool absolute;
} WorthVisit;

static void
add_worth(Layer *layer, const LayerSum *sum, KirValue place, KirValue within, void *context)
{
    const WorthVisit *visit = context;
    KirBuilder *b = builder(layer);
    KirValue weight = weight_of(layer, sum, within);
    if (visit->factor != 1)
        weight = kir_mul(b, weight, f64(layer, visit->factor));
    KirValue so_far = rxn__kir_get(b, layer->worth, 0);
    if (visit->absolute) {
        rxn__kir_set(b, layer->worth, 0, kir_add(b, so_far, kir_abs(b, weight)));
        return;
    }
    place = kir_add(b, place, i32v(layer, layer->dense));
    KirValue value = rxn__kir_get(b, visit->local, offset(layer, visit->base, place));
    rxn__kir_set(b, layer->worth, 0, kir_fma(b, weight, value, so_far));
}

/* worth += factor * λ of this member of a compressed array. */
static void
add_member_worth(Layer *layer, u32 array, const KirValue *index, WorthVisit *worth)
{
    for (u32 k = 0; k < layer->sums.count; k++) {
        SumVisit visit = {add_worth, worth, 0};
        if (layer->sums.items[k].species == array)
            each_term_of(layer, &layer->sums.items[k], index, &visit);
    }
}

KirValue
rxn__layer_worth(Layer *layer, const FamilyLaw *law, u32 local, KirValue base, bool absolute)
{
    Families *families = layer->families;
    KirBuilder *b = builder(layer);
    KirValue worth = 0;
    bool compressed = false;
    for (u32 k = 0; k < law->change_count; k++) {
        const FamilyChange *change = &law->changes[k];
        if (layer->arrays[change->term->species].compressed) {
            compressed |= layer->arrays[change->term->species].members > 0;
            continue;
        }
        double delta = absolute ? fabs((double)change->delta) : change->delta;
        if (absolute) {
            worth = worth ? kir_add(b, worth, f64(layer, delta)) : f64(layer, delta);
            continue;
        }
        KirValue place = rxn__family_change_place(families, change);
        KirValue value = rxn__kir_get(b, local, offset(layer, base, place));
        if (delta == -1 && worth) {
            worth = kir_sub(b, worth, value);
            continue;
        }
        if (delta != 1)
            value = kir_mul(b, value, f64(layer, delta));
        worth = worth ? kir_add(b, worth, value) : value;
    }
    worth = worth ? worth : f64(layer, 0);
    if (!compressed)
        return worth;
    rxn__kir_set(b, layer->worth, 0, worth);
    for (u32 k = 0; k < law->change_count; k++) {
        const FamilyChange *change = &law->changes[k];
        u32 array = change->term->species;
        if (!layer->arrays[array].compressed)
            continue;
        KirValue index[RXN_MAX_RANK];
        for (u32 d = 0; d < families->network->species.items[array].shape.rank; d++)
            index[d] = rxn__lower_index(&families->frame->lower, change->term->index[d]);
        WorthVisit visit = {local, base, change->delta, absolute};
        add_member_worth(layer, array, index, &visit);
    }
    return rxn__kir_get(b, layer->worth, 0);
}

/* ---- passes over the coordinates of sums --------------------------------------------------------- */

/* Calls `body` for each member of the sum, written out or in a loop; place: among all members. */
static void
each_place(Layer *layer, const LayerSum *sum,
           void (*body)(Layer *layer, const LayerSum *sum, KirValue place, void *context),
           void *context)
{
    KirBuilder *b = builder(layer);
    for (u32 k = 0; k < sum->members && sum->members <= UNROLL; k++)
        body(layer, sum, i32v(layer, sum->first + k), context);
    if (sum->members <= UNROLL)
        return;
    KirValue place =
        rxn__kir_for(b, i32v(layer, sum->first), i32v(layer, (double)sum->first + sum->members));
    body(layer, sum, place, context);
    rxn__kir_close(b);
}

typedef struct DecayVisit {
    u32 to, from;
    KirValue rate;
    bool absolute;
} DecayVisit;

static void
decay_place(Layer *layer, const LayerSum *sum, KirValue place, void *context)
{
    const DecayVisit *visit = context;
    KirBuilder *b = builder(layer);
    (void)sum;
    place = kir_add(b, place, i32v(layer, layer->dense));
    KirValue amount = visit->absolute ? f64(layer, 1) : rxn__kir_get(b, visit->from, place);
    add_to(layer, visit->to, place, visit->rate, amount);
}

void
rxn__layer_decay(Layer *layer, u32 to, u32 from, bool absolute)
{
    for (u32 k = 0; k < layer->sums.count; k++) {
        const LayerSum *sum = &layer->sums.items[k];
        Expr decay = layer->arrays[sum->species].decay;
        if (!decay)
            continue;
        KirValue rate = rxn__lower_as(&layer->families->frame->lower, decay, KIR_F64);
        if (absolute)
            rate = kir_abs(builder(layer), rate);
        DecayVisit visit = {to, from, rate, absolute};
        each_place(layer, sum, decay_place, &visit);
        rxn__lower_forget(&layer->families->frame->lower);
    }
}

void
rxn__layer_observe(Layer *layer, u32 column, u32 to, KirValue first, KirValue weight)
{
    for (u32 k = 0; k < layer->sums.count; k++) {
        const LayerSum *sum = &layer->sums.items[k];
        if (sum->column != column)
            continue;
        KirValue place = i32v(layer, layer->dense + sum->first);
        add_to(layer, to, offset(layer, first, place), weight, f64(layer, 1));
    }
}

typedef struct WaitVisit {
    KirValue set, length;
    u32 mean;
} WaitVisit;

/* decayed += length * S Λ */
static void
decayed_place(Layer *layer, const LayerSum *sum, KirValue place, void *context)
{
    const WaitVisit *visit = context;
    KirBuilder *b = builder(layer);
    u32 arrays = layer->families->network->species.count;
    KirValue mean = rxn__kir_get(b, visit->mean, kir_add(b, place, i32v(layer, layer->dense)));
    KirValue to =
        kir_add(b, kir_mul(b, visit->set, i32v(layer, arrays)), i32v(layer, sum->species));
    add_to(layer, layer->decayed, to, kir_mul(b, mean, visit->length),
           rxn__kir_get(b, layer->value, place));
}

void
rxn__layer_wait(Layer *layer, KirValue set, u32 mean, KirValue length)
{
    KirBuilder *b = builder(layer);
    if (layer->has_steady_leaves) {
        KirValue s = rxn__kir_for(b, i32v(layer, 0), i32v(layer, layer->coordinates));
        KirValue first = kir_mul(b, set, i32v(layer, layer->coordinates));
        add_to(layer, layer->area, kir_add(b, first, s), length, rxn__kir_get(b, mean, s));
        rxn__kir_close(b);
    }
    for (u32 k = 0; k < layer->sums.count && layer->has_decay_leaves; k++) {
        WaitVisit visit = {set, length, mean};
        if (layer->arrays[layer->sums.items[k].species].decay_leaves.count)
            each_place(layer, &layer->sums.items[k], decayed_place, &visit);
    }
    rxn__lower_forget(&layer->families->frame->lower);
}

void
rxn__layer_influx(Layer *layer, const LeafDerivative *entry, KirValue set, KirValue amount)
{
    KirBuilder *b = builder(layer);
    const ExprNode *leaf = expr_node(layer->families->network, entry->leaf);
    const LayerSum *sum = &layer->sums.items[leaf->object];
    if (sum->leaves.count == 0)
        return;
    KirValue place = kir_add(b, kir_mul(b, set, i32v(layer, layer->members)),
                             member_place(layer, sum, sum->first));
    add_to(layer, layer->influx, place, amount, f64(layer, 1));
}

/* ---- sums and events ----------------------------------------------------------------------------- */

/* The count that the sum's term is of, for the variables that are bound. */
static KirValue
count_of(Layer *layer, const LayerSum *sum)
{
    const Species *species = &layer->families->network->species.items[sum->species];
    SsaFrame *frame = layer->families->frame;
    KirBuilder *b = builder(layer);
    KirValue flat = i32v(layer, 0);
    for (u32 d = 0; d < species->shape.rank; d++) {
        const LayerIndex *form = &sum->index[d];
        KirValue index = i32v(layer, form->constant);
        if (form->is_bound)
            index = kir_add(b, frame->lower.variable_value[form->variable], index);
        flat = kir_add(b, kir_mul(b, flat, i32v(layer, species->shape.extent[d])), index);
    }
    flat = kir_add(b, flat, i32v(layer, species->flat));
    return kir_cast(b, KIR_F64, rxn__lower_species(&frame->lower, flat));
}

static void
clear_place(Layer *layer, const LayerSum *sum, KirValue place, void *context)
{
    (void)sum;
    (void)context;
    rxn__kir_set(builder(layer), layer->value, place, f64(layer, 0));
}

static void
sum_term(Layer *layer, const LayerSum *sum, KirValue place, KirValue within, void *context)
{
    (void)context;
    add_to(layer, layer->value, place, weight_of(layer, sum, within), count_of(layer, sum));
}

static void
write_sums(Layer *layer)
{
    for (u32 k = 0; k < layer->sums.count; k++) {
        const LayerSum *sum = &layer->sums.items[k];
        SumVisit visit = {sum_term, NULL, 0};
        if (!sum->is_read)
            continue;
        each_place(layer, sum, clear_place, NULL);
        each_term(layer, sum, &visit);
    }
    rxn__kir_set(builder(layer), layer->sum_again, 0, i32v(layer, SUM_AGAIN));
    rxn__lower_forget(&layer->families->frame->lower);
}

/* gradient += amount of ∂weight, for each leaf of the weight. */
static void
add_to_weights(Layer *layer, const LayerSum *sum, KirValue set, KirValue amount)
{
    KirBuilder *b = builder(layer);
    FamilySum gain = {layer->gradient, kir_mul(b, set, i32v(layer, layer->families->leaves)),
                      amount, false};
    rxn__family_add_all(layer->families, &sum->leaves, &gain);
}

static KirValue
influx_of(Layer *layer, KirValue set, KirValue place)
{
    KirBuilder *b = builder(layer);
    KirValue first = kir_mul(b, set, i32v(layer, layer->members));
    return rxn__kir_get(b, layer->influx, kir_add(b, first, place));
}

typedef struct UndoVisit {
    KirValue delta;
} UndoVisit;

static void
undo_term(Layer *layer, const LayerSum *sum, KirValue place, KirValue within, void *context)
{
    const UndoVisit *undo = context;
    KirBuilder *b = builder(layer);
    if (sum->is_read)
        add_to(layer, layer->value, place, kir_neg(b, weight_of(layer, sum, within)), undo->delta);
    for (u32 set = 0; set < layer->sets && sum->leaves.count; set++) {
        KirValue amount = kir_mul(b, undo->delta, influx_of(layer, i32v(layer, set), place));
        if (within)
            amount = kir_select(b, within, amount, f64(layer, 0));
        add_to_weights(layer, sum, i32v(layer, set), amount);
    }
}

/* The largest |λ| among the members that change. */
static void
note_largest(Layer *layer, u32 array, const KirValue *index)
{
    KirBuilder *b = builder(layer);
    for (u32 set = 0; set < layer->sets; set++) {
        WorthVisit worth = {layer->adjoint, i32v(layer, (double)set * layer->coordinates), 1,
                            false};
        rxn__kir_set(b, layer->worth, 0, f64(layer, 0));
        add_member_worth(layer, array, index, &worth);
        KirValue size = kir_abs(b, rxn__kir_get(b, layer->worth, 0));
        rxn__kir_set(b, layer->largest, 0, kir_max(b, rxn__kir_get(b, layer->largest, 0), size));
    }
}

static void
undo_member(Layer *layer, u32 array, KirValue member, KirValue delta)
{
    const Shape *shape = &layer->families->network->species.items[array].shape;
    KirBuilder *b = builder(layer);
    KirValue index[RXN_MAX_RANK], rest = member;
    for (u32 d = shape->rank; d-- > 0;) {
        KirValue extent = i32v(layer, shape->extent[d]);
        index[d] = d ? kir_rem(b, rest, extent) : rest;
        rest = d ? kir_div(b, rest, extent) : rest;
    }
    note_largest(layer, array, index);
    for (u32 k = 0; k < layer->sums.count; k++) {
        const LayerSum *sum = &layer->sums.items[k];
        UndoVisit undo = {delta};
        SumVisit visit = {undo_term, &undo, 0};
        if (sum->species == array && (sum->is_read || sum->leaves.count))
            each_term_of(layer, sum, index, &visit);
    }
}

void
rxn__layer_undo(Layer *layer, KirValue code)
{
    KirBuilder *b = builder(layer);
    if (layer->slots == 0)
        return;
    KirValue row = kir_mul(b, kir_cast(b, KIR_I32, code), i32v(layer, layer->slots));
    for (u32 slot = 0; slot < layer->slots; slot++) {
        KirValue at = kir_add(b, row, i32v(layer, slot));
        KirValue array = rxn__kir_load(b, layer->change_array, &at);
        KirValue member = rxn__kir_load(b, layer->change_member, &at);
        KirValue delta = kir_cast(b, KIR_F64, rxn__kir_load(b, layer->change_delta, &at));
        for (u32 s = 0; s < layer->families->network->species.count; s++) {
            if (layer->arrays[s].members == 0)
                continue;
            rxn__kir_if(b, kir_eq(b, array, i32v(layer, s)));
            undo_member(layer, s, member, delta);
            rxn__kir_close(b);
            rxn__lower_forget(&layer->families->frame->lower);
        }
    }
    KirValue left = kir_sub(b, rxn__kir_get(b, layer->sum_again, 0), i32v(layer, 1));
    rxn__kir_set(b, layer->sum_again, 0, left);
    rxn__kir_if(b, kir_le(b, left, i32v(layer, 0)));
    write_sums(layer);
    rxn__kir_close(b);
    rxn__lower_forget(&layer->families->frame->lower);
}

/* ---- at the start of the trajectory -------------------------------------------------------------- */

/* What the weights have from the counts at the start. */
static void
start_term(Layer *layer, const LayerSum *sum, KirValue place, KirValue within, void *context)
{
    KirBuilder *b = builder(layer);
    KirValue set = *(KirValue *)context;
    (void)within;
    KirValue amount = kir_mul(b, count_of(layer, sum), influx_of(layer, set, place));
    add_to_weights(layer, sum, set, amount);
}

typedef struct SteadyVisit {
    Layer *layer;
    const FamilyLaw *law;
    KirValue set;
} SteadyVisit;

static void
steady_member(SsaFrame *frame, void *context)
{
    const SteadyVisit *visit = context;
    Layer *layer = visit->layer;
    KirBuilder *b = frame->builder;
    KirValue first = kir_mul(b, visit->set, i32v(layer, layer->coordinates));
    KirValue worth = rxn__layer_worth(layer, visit->law, layer->area, first, false);
    FamilySum gain = {layer->gradient, kir_mul(b, visit->set, i32v(layer, layer->families->leaves)),
                      worth, false};
    rxn__family_add_all(layer->families, &visit->law->leaves, &gain);
}

void
rxn__layer_finish(Layer *layer)
{
    Families *families = layer->families;
    KirBuilder *b = builder(layer);
    rxn__layer_bind(layer);
    KirValue set = rxn__kir_for(b, i32v(layer, 0), i32v(layer, layer->sets));
    for (u32 k = 0; k < layer->sums.count; k++) {
        const LayerSum *sum = &layer->sums.items[k];
        SumVisit visit = {start_term, &set, 0};
        if (sum->leaves.count && !layer->arrays[sum->species].starts_empty)
            each_term(layer, sum, &visit);
    }
    for (u32 k = 0; k < families->law_count; k++) {
        const FamilyLaw *law = &families->laws[k];
        SteadyVisit steady = {layer, law, set};
        MemberVisit visit = {steady_member, &steady};
        if (law->leaves.count && law->change_count && rxn__layer_is_steady(layer, law))
            rxn__family_each(families, law, &visit);
    }
    for (u32 s = 0; s < families->network->species.count && layer->has_decay_leaves; s++) {
        KirValue place = kir_add(b, kir_mul(b, set, i32v(layer, families->network->species.count)),
                                 i32v(layer, s));
        FamilySum gain = {layer->gradient, kir_mul(b, set, i32v(layer, families->leaves)),
                          rxn__kir_get(b, layer->decayed, place), false};
        if (layer->arrays[s].members)
            rxn__family_add_all(families, &layer->arrays[s].decay_leaves, &gain);
        rxn__lower_forget(&families->frame->lower);
    }
    rxn__kir_close(b);
    rxn__lower_forget(&families->frame->lower);
}
