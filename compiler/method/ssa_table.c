/* ssa_table.c: the direct method over arrays, for families and mid-size networks. The code is as long
 * as the network has laws, not reactions: what a reaction reads and changes stands in tables.
 *
 * Locals: count[S], propensity[R], group_sum[G] (groups of B neighbours in order). One step:
 *
 *   update   for each reaction that depends on the last one (or all of them after an event, at the
 *            start, at a new window): evaluate its law, store propensity; then the sums of the groups
 *            concerned, each summed anew, so nothing drifts.
 *   total    group sums in order; draw; rare
 *   select   the group where the running sum passes the threshold, then the member in it
 *   refuse   a time-dependent law is evaluated at the proposed time; the part of the threshold that is
 *            left over is uniform below the bound, so it decides (Lewis & Shedler 1979)
 *   apply    the changes of the reaction, from the table
 *
 * Within a group the left-over threshold may, by rounding, reach the sum of the group: then the last
 * member of non-zero propensity is taken; a zero one never.
 *
 * Where a reaction makes a whole family stale (laws with a sum over what it changes), the family is evaluated from
 * its first member to its last, instead of by the list.
 *
 * Mass-action reactions share one law: rate[r] times the falling factorials of up to `order` species. Each
 * other reaction family is a law of its own, with its variables decoded from the reaction's number.
 */
#include "compiler/method/ssa_table_private.h"

#include <float.h>
#include <math.h>

typedef SsaTable Table;

static KirValue
i32v(Table *table, i64 value)
{
    return rxn__kir_const(table->frame->builder, KIR_I32, (double)value);
}

/* ---- update ------------------------------------------------------------------------------------ */

static KirValue
load1(Table *table, u32 buffer, KirValue index)
{
    return rxn__kir_load(table->frame->builder, buffer, &index);
}

KirValue
rxn__ssa_table_mass_action(Table *table, KirValue reaction)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue value = rxn__kir_get(b, table->rate, reaction);
    for (u32 k = 0; k < table->order; k++) {
        KirValue slot = kir_add(b, kir_mul(b, reaction, i32v(table, table->order)), i32v(table, k));
        KirValue species = load1(table, table->slot_species, slot);
        KirValue last = i32v(table, frame->network->species_count - 1);
        KirValue x = rxn__kir_get(b, frame->lower.species_array, kir_min(b, species, last));
        if (table->multiplicity < 2) {
            KirValue none = kir_gt(b, species, last);
            value = kir_mul(b, value, kir_select(b, none, rxn__ssa_real(frame, 1), x));
            continue;
        }
        KirValue count = load1(table, table->slot_count, slot);
        for (u32 m = 0; m < table->multiplicity; m++) {
            KirValue factor = kir_sub(b, x, rxn__ssa_real(frame, m));
            value = kir_mul(
                b, value,
                kir_select(b, kir_gt(b, count, i32v(table, m)), factor, rxn__ssa_real(frame, 1)));
        }
    }
    return value;
}

void
rxn__ssa_bind_reaction(SsaFrame *frame, const Reaction *reaction, KirValue flat)
{
    Table *table = frame->table;
    KirBuilder *b = frame->builder;
    KirValue rest = kir_sub(b, flat, i32v(table, reaction->flat));
    for (u32 k = reaction->variable_count; k-- > 0;) {
        Variable v = frame->network->variables.items[reaction->variables[k]];
        KirValue extent = i32v(table, v.high - v.low + 1);
        KirValue digit = k ? kir_rem(b, rest, extent) : rest;
        rxn__lower_bind(&frame->lower, reaction->variables[k],
                        kir_add(b, digit, i32v(table, v.low)));
        rest = k ? kir_div(b, rest, extent) : rest;
    }
}

static void
trap_unless_sound(Table *table, KirValue value, KirValue reaction, bool is_bound)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue most = rxn__ssa_real(frame, frame->real == KIR_F32 ? (double)FLT_MAX : DBL_MAX);
    KirValue detail = kir_cast(b, KIR_U32, reaction), zero = rxn__ssa_real(frame, 0);
    KirValue sound = kir_and(b, kir_ge(b, value, zero), kir_le(b, value, most));
    /* After the end the propensities of the final state are nobody's business. */
    rxn__kir_if(b, kir_and(b, kir_not(b, sound), kir_not(b, rxn__kir_get(b, frame->ended, 0))));
    rxn__kir_if(b, kir_lt(b, value, zero));
    rxn__kir_trap(b, RXN_FAULT_NEGATIVE_PROPENSITY, detail);
    rxn__kir_close(b);
    if (!is_bound) {
        rxn__kir_if(b, kir_ne(b, value, value));
        rxn__kir_trap(b, RXN_FAULT_NAN_PROPENSITY, detail);
        rxn__kir_close(b);
        rxn__kir_trap(b, RXN_FAULT_INFINITE_PROPENSITY, detail);
    } else if (!frame->has_windows) {
        rxn__kir_trap(b, RXN_FAULT_BOUND_INFINITE, detail);
    } else {
        /* A shorter window may have a finite bound: the total says so, and the rare block retries. */
        KirValue least = kir_add(
            b, kir_mul(b, rxn__kir_get(b, frame->t, 0), rxn__kir_const(b, KIR_F64, 0x1p-39)),
            rxn__kir_const(b, KIR_F64, 1e-200));
        rxn__kir_if(b, kir_le(b, rxn__kir_get(b, frame->window_length, 0), least));
        rxn__kir_trap(b, RXN_FAULT_BOUND_INFINITE, detail);
        rxn__kir_close(b);
    }
    rxn__kir_close(b);
}

/* The value of the law of the member that the variables are bound to: its bound, if it depends on time and `bounds`. */
static KirValue
law_of_member(Table *table, const Reaction *family, KirValue reaction, bool bounds)
{
    SsaFrame *frame = table->frame;
    bool timed = rxn__expr_uses(frame->network, family->propensity).time;
    bool use_bound = bounds && timed && family->bound;
    rxn__ssa_sums_read(frame, true);
    KirValue value = rxn__lower(&frame->lower, use_bound ? family->bound : family->propensity);
    rxn__ssa_sums_read(frame, false);
    trap_unless_sound(table, value, reaction, use_bound);
    return value;
}

typedef enum LawSet {
    LAWS_LISTED, /* those that the list of what is stale may name: the bounds where they depend on time */
    LAWS_TIMED, /* those that depend on time: their values */
} LawSet;

/* law_value = the value of reaction's law. */
static void
evaluate_laws(Table *table, KirValue reaction, KirValue law, LawSet set)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    for (u32 l = 1; l < table->laws; l++) {
        Reaction family = frame->network->reactions.items[table->law_family[l]];
        bool timed = rxn__expr_uses(frame->network, family.propensity).time;
        if (set == LAWS_TIMED ? !timed : table->law_whole[l])
            continue;
        rxn__kir_if(b, kir_eq(b, law, i32v(table, l)));
        rxn__lower_forget(&frame->lower);
        rxn__ssa_bind_reaction(frame, &family, reaction);
        KirValue value = law_of_member(table, &family, reaction, set == LAWS_LISTED);
        rxn__kir_set(b, table->law_value, 0, value);
        rxn__kir_close(b);
        rxn__lower_forget(&frame->lower);
    }
}

KirValue
rxn__ssa_table_law(Table *table, KirValue reaction, KirValue mass_action)
{
    KirBuilder *b = table->frame->builder;
    if (!table->has_laws)
        return mass_action;
    KirValue law = load1(table, table->law, reaction);
    rxn__kir_set(b, table->law_value, 0, mass_action);
    evaluate_laws(table, reaction, law, LAWS_LISTED);
    return rxn__kir_get(b, table->law_value, 0);
}

/* What time-dependent laws are thinned from. */
static KirValue
bound_of(Table *table, KirValue reaction)
{
    return table->bounds ? table->bounds->of_law(table, reaction)
                         : rxn__kir_get(table->frame->builder, table->propensity, reaction);
}

/* Sums a group anew. */
static void
sum_group(Table *table, KirValue group)
{
    KirBuilder *b = table->frame->builder;
    KirValue first = kir_mul(b, group, i32v(table, table->group_size)), sum = 0;
    for (u32 k = 0; k < table->group_size; k++) {
        KirValue a = rxn__kir_get(b, table->propensity, kir_add(b, first, i32v(table, k)));
        sum = sum ? kir_add(b, sum, a) : a;
    }
    rxn__kir_set(b, table->group_sum, group, sum);
}

/* All members of a family, in order. */
static void
update_family(Table *table, const Reaction *family)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    for (u32 k = 0; k < family->variable_count; k++) {
        Variable v = frame->network->variables.items[family->variables[k]];
        KirValue value = rxn__kir_for(b, i32v(table, v.low), i32v(table, v.high + 1));
        rxn__lower_bind(&frame->lower, family->variables[k], value);
    }
    rxn__lower_forget(&frame->lower);
    KirValue reaction = rxn__ssa_reaction_flat(frame, family);
    KirValue value = law_of_member(table, family, reaction, true);
    rxn__kir_set(b, table->propensity, reaction, value);
    for (u32 k = 0; k < family->variable_count; k++) {
        rxn__kir_close(b);
        rxn__lower_bind(&frame->lower, family->variables[k], 0);
    }
    rxn__lower_forget(&frame->lower);
    u32 first = family->flat / table->group_size;
    u32 last = (family->flat + family->count - 1) / table->group_size;
    sum_group(table, rxn__kir_for(b, i32v(table, first), i32v(table, last + 1)));
    rxn__kir_close(b);
}

static void
write_update(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count;
    KirValue all = rxn__kir_get(b, frame->jumped, 0);
    KirValue last = rxn__kir_get(b, table->last, 0); /* `reactions`: none; its row is empty */
    KirValue next = kir_add(b, last, i32v(table, 1));

    KirValue from = load1(table, table->update_start, last);
    KirValue to = load1(table, table->update_start, next);
    KirValue e = rxn__kir_for(b, kir_select(b, all, i32v(table, 0), from),
                              kir_select(b, all, i32v(table, reactions), to));
    /* With `all`, e is the reaction itself; the table is then read in range, and not used. */
    KirValue entry = kir_select(b, all, i32v(table, 0), e);
    KirValue reaction = kir_select(b, all, e, load1(table, table->update_target, entry));
    KirValue value =
        rxn__ssa_table_law(table, reaction, rxn__ssa_table_mass_action(table, reaction));
    rxn__kir_set(b, table->propensity, reaction, value);
    rxn__kir_close(b);

    from = load1(table, table->group_start, last);
    to = load1(table, table->group_start, next);
    e = rxn__kir_for(b, kir_select(b, all, i32v(table, 0), from),
                     kir_select(b, all, i32v(table, table->group_count), to));
    entry = kir_select(b, all, i32v(table, 0), e);
    sum_group(table, kir_select(b, all, e, load1(table, table->group_target, entry)));
    rxn__kir_close(b);

    KirValue whole = table->wholes.count ? load1(table, table->whole, last) : 0;
    for (u32 k = 0; k < table->wholes.count; k++) {
        u32 family = table->law_family[table->wholes.items[k]];
        KirValue bit = kir_and(b, whole, i32v(table, (i64)1 << k));
        rxn__kir_if(b, kir_or(b, all, kir_ne(b, bit, i32v(table, 0))));
        rxn__lower_forget(&frame->lower);
        update_family(table, &frame->network->reactions.items[family]);
        rxn__kir_close(b);
        rxn__lower_forget(&frame->lower);
    }
    rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 0));
}

/* ---- select and apply -------------------------------------------------------------------------- */

static KirValue
write_total(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    u32 total = rxn__kir_local(b, "total", frame->real, 0);
    rxn__kir_set(b, total, 0, rxn__ssa_real(frame, 0));
    KirValue g = rxn__kir_for(b, i32v(table, 0), i32v(table, table->group_count));
    rxn__kir_set(b, total, 0,
                 kir_add(b, rxn__kir_get(b, total, 0), rxn__kir_get(b, table->group_sum, g)));
    rxn__kir_close(b);
    return rxn__kir_get(b, total, 0);
}

/* Sets `last` to the reaction chosen (reactions: none) and returns what is left of the threshold. */
static KirValue
write_selection(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue threshold = rxn__kir_get(b, frame->threshold, 0);
    KirValue zero = rxn__ssa_real(frame, 0);
    u32 sum = rxn__kir_local(b, "sum", frame->real, 0);
    u32 found = rxn__kir_local(b, "found", KIR_BOOL, 0);
    u32 group = rxn__kir_local(b, "group", KIR_I32, 0);
    u32 left = rxn__kir_local(b, "left", frame->real, 0);
    rxn__kir_set(b, sum, 0, zero);
    rxn__kir_set(b, found, 0, rxn__kir_const(b, KIR_BOOL, 0));
    rxn__kir_set(b, group, 0, i32v(table, 0));
    rxn__kir_set(b, left, 0, zero);
    KirValue g = rxn__kir_for(b, i32v(table, 0), i32v(table, table->group_count));
    KirValue before = rxn__kir_get(b, sum, 0);
    KirValue after = kir_add(b, before, rxn__kir_get(b, table->group_sum, g));
    KirValue already = rxn__kir_get(b, found, 0);
    KirValue here = kir_and(b, kir_lt(b, threshold, after), kir_not(b, already));
    rxn__kir_set(b, group, 0, kir_select(b, here, g, rxn__kir_get(b, group, 0)));
    rxn__kir_set(b, left, 0,
                 kir_select(b, here, kir_sub(b, threshold, before), rxn__kir_get(b, left, 0)));
    rxn__kir_set(b, found, 0, kir_or(b, already, here));
    rxn__kir_set(b, sum, 0, after);
    rxn__kir_close(b);

    /* In the group: the member where the running sum passes what is left, or the last possible one. */
    KirValue first = kir_mul(b, rxn__kir_get(b, group, 0), i32v(table, table->group_size));
    KirValue remaining = rxn__kir_get(b, left, 0), running = zero;
    KirValue chosen = first, rest = remaining, passed = rxn__kir_const(b, KIR_BOOL, 0);
    for (u32 k = 0; k < table->group_size; k++) {
        KirValue member = kir_add(b, first, i32v(table, k));
        KirValue a = rxn__kir_get(b, table->propensity, member);
        KirValue possible = kir_and(b, kir_gt(b, a, zero), kir_not(b, passed));
        chosen = kir_select(b, possible, member, chosen);
        rest = kir_select(b, possible, kir_sub(b, remaining, running), rest);
        running = kir_add(b, running, a);
        passed = kir_or(b, passed, kir_and(b, possible, kir_lt(b, remaining, running)));
    }
    rxn__kir_set(b, table->last, 0,
                 kir_select(b, rxn__kir_get(b, found, 0), chosen,
                            i32v(table, frame->network->reaction_count)));
    return rest;
}

void
rxn__ssa_table_refuse(Table *table, KirValue total, KirValue rest)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue none = i32v(table, frame->network->reaction_count);
    KirValue reaction = rxn__kir_get(b, table->last, 0);
    KirValue infinite = rxn__ssa_real(frame, INFINITY);
    rxn__kir_if(b, kir_lt(b, reaction, none));
    if (frame->has_windows)
        rxn__kir_set(b, frame->fresh, 0, rxn__kir_const(b, KIR_BOOL, 0));
    rxn__kir_set(b, table->law_value, 0, infinite);
    frame->lower.time = rxn__kir_get(b, frame->arrival, 0);
    evaluate_laws(table, reaction, load1(table, table->law, reaction), LAWS_TIMED);
    frame->lower.time = 0;
    KirValue value = rxn__kir_get(b, table->law_value, 0);
    KirValue bound = bound_of(table, reaction);
    rxn__kir_if(b, kir_and(b, kir_lt(b, value, infinite), rxn__ssa_exceeds(frame, value, bound)));
    rxn__kir_set(b, frame->t, 0,
                 rxn__kir_get(b, frame->arrival, 0)); /* the fault is at that time */
    rxn__kir_trap(b, RXN_FAULT_BOUND_EXCEEDED, kir_cast(b, KIR_U32, reaction));
    rxn__kir_close(b);
    rxn__kir_if(b, kir_not(b, kir_lt(b, rest, value)));
    rxn__kir_set(b, table->last, 0, none);
    rxn__ssa_refused(frame, total);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

/* A bound that the user gave may be wrong, and one that is too low hides its own fault: the reaction is
 * proposed too rarely, or never. So these rates are compared with their bounds at every arrival. */
void
rxn__ssa_table_check_bounds(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    if (!table->guarded_count)
        return;
    KirValue time = kir_min(b, rxn__kir_get(b, frame->arrival, 0), rxn__ssa_stop(frame));
    KirValue e = rxn__kir_for(b, i32v(table, 0), i32v(table, table->guarded_count));
    KirValue reaction = load1(table, table->guarded, e);
    rxn__lower_forget(&frame->lower);
    frame->lower.time = time;
    evaluate_laws(table, reaction, load1(table, table->law, reaction), LAWS_TIMED);
    frame->lower.time = 0;
    KirValue bound = bound_of(table, reaction);
    KirValue exceeds = rxn__ssa_exceeds(frame, rxn__kir_get(b, table->law_value, 0), bound);
    rxn__kir_if(b, kir_and(b, exceeds, kir_not(b, rxn__kir_get(b, frame->ended, 0))));
    rxn__kir_set(b, frame->t, 0, time);
    rxn__kir_trap(b, RXN_FAULT_BOUND_EXCEEDED, kir_cast(b, KIR_U32, reaction));
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

/* The numbers of a reaction's changes: from the first to the end. `None` has an empty row as well. */
static KirValue
changes_of(Table *table, KirValue reaction, KirValue *ret_end)
{
    KirBuilder *b = table->frame->builder;
    *ret_end = load1(table, table->change_start, kir_add(b, reaction, i32v(table, 1)));
    return load1(table, table->change_start, reaction);
}

/* Returns the species. */
static KirValue
change_of(Table *table, KirValue change, KirValue *ret_delta)
{
    KirBuilder *b = table->frame->builder;
    KirValue row = kir_mul(b, change, i32v(table, CHANGE_WORDS));
    KirValue delta = load1(table, table->change, kir_add(b, row, i32v(table, CHANGE_DELTA)));
    *ret_delta = kir_cast(b, table->frame->real, delta);
    return load1(table, table->change, row);
}

static void
apply_changes(Table *table, KirValue first, KirValue end, SsaCountChanged *changed)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue e = rxn__kir_for(b, first, end), delta, species = change_of(table, e, &delta);
    KirValue x = kir_add(b, rxn__kir_get(b, frame->lower.species_array, species), delta);
    rxn__kir_set(b, frame->lower.species_array, species, x);
    rxn__ssa_sums_change(frame, species, delta);
    if (table->may_drop) {
        rxn__kir_if(b, kir_lt(b, x, rxn__ssa_real(frame, 0)));
        rxn__kir_trap(b, RXN_FAULT_NEGATIVE_COUNT, kir_cast(b, KIR_U32, species));
        rxn__kir_close(b);
    }
    if (changed)
        changed(table, species, delta, x);
    rxn__kir_close(b);
}

void
rxn__ssa_table_apply(Table *table, bool lane_by_lane, SsaCountChanged *changed)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue end, first = changes_of(table, rxn__kir_get(b, table->last, 0), &end);
    if (lane_by_lane)
        rxn__kir_if_seldom(b, kir_lt(b, first, end));
    apply_changes(table, first, end, changed);
    if (lane_by_lane)
        rxn__kir_close(b);
    rxn__ssa_sums_settle(frame);
    rxn__lower_forget(&frame->lower);
}

/* ---- the whole --------------------------------------------------------------------------------- */

void
rxn__ssa_table_explain(SsaFrame *frame, void *context)
{
    /* Laws are tested where they are evaluated; what is left is a sum that overflows. */
    (void)context;
    rxn__kir_trap(frame->builder, RXN_FAULT_INFINITE_PROPENSITY,
                  rxn__kir_const(frame->builder, KIR_U32, 0));
}

const char *
rxn__ssa_table_prepare(SsaFrame *frame, const TableBounds *bounds)
{
    Network *network = frame->network;
    Table *table = NEW_ARRAY(frame->arena, Table, 1);
    u32 reactions = network->reaction_count;
    *table = (Table){.frame = frame, .bounds = bounds};
    /* Mass action is bounded, not kept. */
    DependencyFilter filter = bounds ? rxn__ssa_table_is_law : NULL;
    if (!rxn__network_dependencies(network, frame->arena, RXN_MAX_TABLE_EDGES, filter,
                                   &table->graph))
        return "the dependency graph is larger than the method's test allows";
    table->group_size = reactions <= 1024 ? 16 : 32;
    table->group_count = (reactions + table->group_size - 1) / table->group_size;
    table->group_count += !table->group_count;
    frame->table = table;

    KirBuilder *b = frame->builder;
    table->last = rxn__kir_local(b, "last", KIR_I32, 0);
    table->law_value = rxn__kir_local(b, "law_value", frame->real, 0);
    table->rate = rxn__kir_uniform_local(b, "rate", frame->real, reactions + !reactions);
    rxn__ssa_table_build(table);
    return NULL;
}

const char *
rxn__ssa_table_begin(SsaFrame *frame)
{
    const char *broken = rxn__ssa_table_prepare(frame, NULL);
    if (broken)
        return broken;
    Table *table = frame->table;
    KirBuilder *b = frame->builder;
    table->propensity =
        rxn__kir_local(b, "propensity", frame->real, table->group_count * table->group_size);
    table->group_sum = rxn__kir_local(b, "group_sum", frame->real, table->group_count);
    return NULL;
}

void
rxn__ssa_table_init(SsaFrame *frame)
{
    Table *table = frame->table;
    rxn__ssa_init(frame);
    rxn__kir_set(frame->builder, table->last, 0, i32v(table, frame->network->reaction_count));
    rxn__ssa_table_check_rates(table);
    rxn__ssa_table_rates(table);
}

void
rxn__ssa_table_step(SsaFrame *frame)
{
    Table *table = frame->table;
    KirBuilder *b = frame->builder;
    const SsaExtension *extension = frame->extension;
    rxn__ssa_sums_refresh(frame);
    rxn__ssa_bind_window(frame);
    write_update(table);
    KirValue total = write_total(table);
    rxn__ssa_draw(frame, total, 0);
    rxn__ssa_table_check_bounds(table);
    if (extension && extension->rates) {
        /* Both ends are at -inf once it has ended. */
        KirValue end = kir_min(b, rxn__kir_get(b, frame->arrival, 0), rxn__ssa_stop(frame));
        KirValue span = kir_max(b, kir_sub(b, end, rxn__kir_get(b, frame->t, 0)),
                                rxn__kir_const(b, KIR_F64, 0));
        rxn__lower_forget(&frame->lower);
        extension->rates(frame, extension->context, NULL, span);
        rxn__lower_forget(&frame->lower);
    }
    KirValue most = rxn__ssa_real(frame, frame->real == KIR_F32 ? (double)FLT_MAX : DBL_MAX);
    rxn__ssa_rare(frame, total, kir_le(b, total, most), rxn__ssa_table_explain, NULL);
    KirValue rest = write_selection(table);
    if (table->timed)
        rxn__ssa_table_refuse(table, total, rest);
    if (extension && extension->elapse) {
        rxn__lower_forget(&frame->lower);
        extension->elapse(frame, extension->context, NULL);
        rxn__lower_forget(&frame->lower);
    }
    if (extension && extension->fires) {
        rxn__lower_forget(&frame->lower);
        extension->fires(frame, extension->context,
                         kir_cast(b, KIR_U32, rxn__ssa_table_fired(frame)));
        rxn__lower_forget(&frame->lower);
    }
    rxn__ssa_table_apply(table, false, NULL);
    rxn__ssa_close(frame);
}

const char *
rxn__ssa_write_table_extended(Network *network, const MethodOptions *options, Arena *arena,
                              NameTable *names, const SsaExtension *extension,
                              MethodKernel *ret_kernel)
{
    SsaFrame frame = {.extension = extension};
    rxn__ssa_begin(&frame, network, options, arena, names, false, ret_kernel);
    const char *broken = rxn__ssa_table_begin(&frame);
    if (broken)
        return broken;
    rxn__ssa_table_init(&frame);
    rxn__kir_region(frame.builder, KIR_STEP);
    rxn__ssa_table_step(&frame);
    ret_kernel->form = frame.sums ? "table of propensities; weighted sums are kept between events"
                                  : "table of propensities";
    return rxn__ssa_end(&frame);
}

const char *
rxn__ssa_write_table(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
                     MethodKernel *ret_kernel)
{
    return rxn__ssa_write_table_extended(network, options, arena, names, NULL, ret_kernel);
}

/* ---- for extensions ---------------------------------------------------------------------------- */

KirValue
rxn__ssa_table_fired(SsaFrame *frame)
{
    return rxn__kir_get(frame->builder, frame->table->last, 0);
}

KirValue
rxn__ssa_table_propensity(SsaFrame *frame, KirValue reaction)
{
    return rxn__kir_get(frame->builder, frame->table->propensity, reaction);
}

KirValue
rxn__ssa_table_dependents(SsaFrame *frame, KirValue reaction)
{
    Table *table = frame->table;
    KirBuilder *b = frame->builder;
    rxn__ssa_table_list_dependents(table);
    KirValue e =
        rxn__kir_for(b, load1(table, table->dependent_start, reaction),
                     load1(table, table->dependent_start, kir_add(b, reaction, i32v(table, 1))));
    return load1(table, table->dependent_target, e);
}

void
rxn__ssa_table_undo(SsaFrame *frame, KirValue reaction)
{
    Table *table = frame->table;
    KirBuilder *b = frame->builder;
    KirValue end, first = changes_of(table, reaction, &end);
    KirValue e = rxn__kir_for(b, first, end), delta, species = change_of(table, e, &delta);
    KirValue x = kir_sub(b, rxn__kir_get(b, frame->lower.species_array, species), delta);
    rxn__kir_set(b, frame->lower.species_array, species, x);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}
