/* ssa_composition.c: an exact method for very large networks in which an event changes few propensities: lattices, many copies of
 * a small network. What an event costs does not depend on how many reactions there are.
 *
 * Each reaction stands in a class of reactions of nearly the same bound (ssa_classes.c: composition and rejection, Slepoy,
 * Thompson, Plimpton 2008). Bounds are of intervals of counts, as in the rejection method (ssa_rejection.c; with classes:
 * RSSA-CR of Thanh, Zunino, Priami 2017, IEEE/ACM Trans. Comput. Biol. Bioinform. 14, 657). One step:
 *
 *   choose   a class, a member of it
 *   refuse   unless what is left of the threshold is below its propensity, which is computed now: thinning, time goes by
 *   apply    the changes; where a count leaves its interval, the bounds of all reactions that it is a reactant of
 *
 * There are no factors as in the rejection method, whose selection among the reactions of one species takes a tree: here a
 * species with thousands of reactions is expensive.
 *
 * Networks of this size do not fit in caches, so what costs is how many places of memory an event touches: one lane runs at a
 * time, whose state is a sixteenth of that of sixteen.
 */
#include "compiler/method/ssa_classes.h"
#include "compiler/method/ssa_table_private.h"

#include <float.h>
#include <math.h>

/* Half the interval, of the count; small counts have none. */
#define INTERVAL 0.15

typedef struct Composition {
    SsaFrame *frame;
    KirBuilder *builder;
    SsaTable *table;
    TableBounds bounds;
    SsaClasses classes; /* of reactions */

    u32 reader_start, reader; /* constant buffers: species -> reactions that it is a reactant of */
    u32 interval;             /* local: [species][2]; of none: 1, 1 */
    u32 law_bound;            /* local: of reactions, where there are laws */
} Composition;

static KirValue
i32v(Composition *composition, i64 value)
{
    return rxn__kir_const(composition->builder, KIR_I32, (double)value);
}

static KirValue
load(Composition *composition, u32 buffer, KirValue index)
{
    return rxn__kir_load(composition->builder, buffer, &index);
}

static KirValue
next(Composition *composition, KirValue index)
{
    return kir_add(composition->builder, index, i32v(composition, 1));
}

/* ---- bounds ------------------------------------------------------------------------------------ */

static KirValue
lower_end(Composition *composition, KirValue species)
{
    return kir_mul(composition->builder, species, i32v(composition, 2));
}

static KirValue
upper_end(Composition *composition, KirValue species)
{
    return next(composition, lower_end(composition, species));
}

static void
set_interval(Composition *composition, KirValue species, KirValue x)
{
    KirBuilder *b = composition->builder;
    KirValue width = kir_floor(b, kir_mul(b, x, rxn__ssa_real(composition->frame, INTERVAL)));
    rxn__kir_set(b, composition->interval, lower_end(composition, species), kir_sub(b, x, width));
    rxn__kir_set(b, composition->interval, upper_end(composition, species), kir_add(b, x, width));
}

/* Mass action by the upper ends of the intervals. */
static KirValue
mass_action_bound(Composition *composition, KirValue reaction)
{
    KirBuilder *b = composition->builder;
    SsaFrame *frame = composition->frame;
    const SsaTable *table = composition->table;
    KirValue value = rxn__kir_get(b, table->rate, reaction), one = rxn__ssa_real(frame, 1);
    for (u32 k = 0; k < table->order; k++) {
        KirValue slot =
            kir_add(b, kir_mul(b, reaction, i32v(composition, table->order)), i32v(composition, k));
        KirValue species = load(composition, table->slot_species, slot);
        KirValue x = rxn__kir_get(b, composition->interval, upper_end(composition, species));
        if (table->multiplicity < 2) { /* where there is no reactant, x is 1 */
            value = kir_mul(b, value, x);
            continue;
        }
        KirValue count = load(composition, table->slot_count, slot);
        for (u32 m = 0; m < table->multiplicity; m++) {
            KirValue factor =
                kir_max(b, kir_sub(b, x, rxn__ssa_real(frame, m)), rxn__ssa_real(frame, 0));
            value = kir_mul(b, value,
                            kir_select(b, kir_gt(b, count, i32v(composition, m)), factor, one));
        }
    }
    return value;
}

static KirValue
law_bound(SsaTable *table, KirValue reaction)
{
    Composition *composition = table->bounds->method;
    return rxn__kir_get(composition->builder, composition->law_bound, reaction);
}

static KirValue
is_law(Composition *composition, KirValue reaction)
{
    return kir_ne(composition->builder, load(composition, composition->table->law, reaction),
                  i32v(composition, LAW_MASS_ACTION));
}

/* The bound of any reaction, by what was computed last. */
static KirValue
bound_of(void *context, KirValue reaction)
{
    Composition *composition = context;
    KirValue value = mass_action_bound(composition, reaction);
    if (!composition->table->has_laws)
        return value;
    return kir_select(composition->builder, is_law(composition, reaction),
                      law_bound(composition->table, reaction), value);
}

/* ---- update ------------------------------------------------------------------------------------ */

/* Evaluates the law of a reaction that has one. */
static KirValue
update_law(Composition *composition, KirValue reaction)
{
    KirValue value =
        rxn__ssa_table_law(composition->table, reaction, rxn__ssa_real(composition->frame, 0));
    rxn__kir_set(composition->builder, composition->law_bound, reaction, value);
    return value;
}

/* Everything anew: at the start, where an event has changed counts, where the classes do not fit any more. */
static void
rebuild(Composition *composition)
{
    KirBuilder *b = composition->builder;
    SsaFrame *frame = composition->frame;
    u32 species_count = frame->network->species_count;
    KirValue species = rxn__kir_for(b, i32v(composition, 0), i32v(composition, species_count));
    set_interval(composition, species, rxn__kir_get(b, frame->lower.species_array, species));
    rxn__kir_close(b);
    KirValue none = i32v(composition, species_count);
    rxn__kir_set(b, composition->interval, upper_end(composition, none), rxn__ssa_real(frame, 1));
    if (composition->table->has_laws) {
        KirValue reaction = rxn__kir_for(b, i32v(composition, 0),
                                         i32v(composition, frame->network->reaction_count));
        update_law(composition, reaction);
        rxn__kir_close(b);
    }
    rxn__ssa_classes_build(&composition->classes);
}

/* Laws that the last reaction made stale. */
static void
update_laws(Composition *composition)
{
    KirBuilder *b = composition->builder;
    SsaTable *table = composition->table;
    KirValue last = rxn__kir_get(b, table->last, 0);
    KirValue e = rxn__kir_for(b, load(composition, table->update_start, last),
                              load(composition, table->update_start, next(composition, last)));
    KirValue reaction = load(composition, table->update_target, e);
    rxn__ssa_classes_set(&composition->classes, reaction, update_law(composition, reaction));
    rxn__kir_close(b);
}

static void
write_update(Composition *composition)
{
    KirBuilder *b = composition->builder;
    SsaFrame *frame = composition->frame;
    if (composition->table->has_laws) { /* first: they may not fit in the classes */
        rxn__kir_if(b, kir_not(b, rxn__kir_get(b, frame->jumped, 0)));
        update_laws(composition);
        rxn__kir_close(b);
    }
    rxn__kir_if(b, rxn__kir_get(b, frame->jumped, 0));
    rebuild(composition);
    rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 0));
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

static void
count_changed(SsaTable *table, KirValue species, KirValue delta, KirValue x)
{
    Composition *composition = table->bounds->method;
    KirBuilder *b = composition->builder;
    (void)delta; /* both ends stand side by side */
    KirValue low = rxn__kir_get(b, composition->interval, lower_end(composition, species));
    KirValue high = rxn__kir_get(b, composition->interval, upper_end(composition, species));
    rxn__kir_if(b, kir_or(b, kir_lt(b, x, low), kir_gt(b, x, high)));
    set_interval(composition, species, x);
    KirValue e =
        rxn__kir_for(b, load(composition, composition->reader_start, species),
                     load(composition, composition->reader_start, next(composition, species)));
    KirValue reaction = load(composition, composition->reader, e);
    rxn__ssa_classes_set(&composition->classes, reaction, mass_action_bound(composition, reaction));
    rxn__kir_close(b);
    rxn__kir_close(b);
}

/* ---- choose and refuse ------------------------------------------------------------------------- */

/* Sets `last` to the reaction that fires (reactions: none). */
static void
write_choice(Composition *composition, KirValue total)
{
    KirBuilder *b = composition->builder;
    SsaFrame *frame = composition->frame;
    SsaTable *table = composition->table;
    KirValue none = i32v(composition, frame->network->reaction_count);
    KirValue threshold = rxn__kir_get(b, frame->threshold, 0), rest;
    rxn__kir_set(b, table->last, 0, none);
    KirValue reaction = rxn__ssa_classes_choose(&composition->classes, threshold, &rest);
    rxn__kir_if(b, kir_lt(b, threshold, rxn__ssa_real(frame, INFINITY)));
    KirValue there = kir_lt(b, reaction, none);
    reaction = kir_select(b, there, reaction, i32v(composition, 0));
    KirValue value = rxn__ssa_table_mass_action(table, reaction);
    if (table->has_laws) /* a law that is not time-dependent is its own bound */
        value = kir_select(b, is_law(composition, reaction), law_bound(table, reaction), value);
    rxn__kir_if(b, kir_and(b, there, kir_lt(b, rest, value)));
    rxn__kir_set(b, table->last, 0, reaction);
    rxn__kir_else(b);
    rxn__kir_set(b, frame->missed, 0,
                 kir_add(b, rxn__kir_get(b, frame->missed, 0), rxn__kir_const(b, KIR_U64, 1)));
    rxn__kir_close(b);
    rxn__kir_close(b);
    if (table->timed)
        rxn__ssa_table_refuse(table, total, rest);
}

/* ---- tables ------------------------------------------------------------------------------------ */

/* The reactions of each species, by counting. */
static void
build_readers(Composition *composition)
{
    SsaTable *table = composition->table;
    Arena *arena = composition->frame->arena;
    u32 species = composition->frame->network->species_count;
    u64 slots = (u64)composition->frame->network->reaction_count * table->order;
    u32 *start = NEW_ARRAY(arena, u32, species + 2);
    IntList starts = {0}, readers = {0};
    for (u64 k = 0; k < slots; k++)
        if (table->slots[k].count > 0)
            start[table->slots[k].species + 1]++;
    for (u32 s = 0; s < species; s++)
        start[s + 1] += start[s];
    for (u32 s = 0; s <= species; s++)
        vec_push(arena, &starts, (i32)start[s]);
    for (u32 e = 0; e < start[species]; e++)
        vec_push(arena, &readers, 0);
    for (u64 k = 0; k < slots; k++)
        if (table->slots[k].count > 0)
            readers.items[start[table->slots[k].species]++] = (i32)(k / table->order);
    composition->reader_start = rxn__ssa_table_add(table, "reader_start", &starts);
    composition->reader = rxn__ssa_table_add(table, "reader", &readers);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static void
declare(Composition *composition)
{
    KirBuilder *b = composition->builder;
    SsaFrame *frame = composition->frame;
    u32 species = frame->network->species_count, reactions = frame->network->reaction_count;
    composition->interval = rxn__kir_local(b, "interval", frame->real, 2 * species + 2);
    if (composition->table->has_laws)
        composition->law_bound =
            rxn__kir_local(b, "law_bound", frame->real, reactions + !reactions);
    composition->classes = (SsaClasses){
        .frame = frame, .members = reactions, .context = composition, .value_of = bound_of};
    rxn__ssa_classes_declare(&composition->classes);
}

/* In launch: no bound of mass action that is not zero is below the least constant. Laws may have any value. */
static void
expect_least(Composition *composition)
{
    KirBuilder *b = composition->builder;
    SsaFrame *frame = composition->frame;
    u32 least = rxn__kir_uniform_local(b, "least_rate", frame->real, 0);
    const double larger_than_any = 0x1p100;
    rxn__kir_region(b, KIR_LAUNCH);
    rxn__kir_set(b, least, 0, rxn__ssa_real(frame, larger_than_any));
    KirValue r =
        rxn__kir_for(b, i32v(composition, 0), i32v(composition, frame->network->reaction_count));
    KirValue rate = rxn__kir_get(b, composition->table->rate, r), old = rxn__kir_get(b, least, 0);
    KirValue less = kir_and(b, kir_gt(b, rate, rxn__ssa_real(frame, 0)), kir_lt(b, rate, old));
    rxn__kir_set(b, least, 0, kir_select(b, less, rate, old));
    rxn__kir_close(b);
    rxn__ssa_classes_expect(&composition->classes, rxn__kir_get(b, least, 0),
                            !composition->table->has_laws);
}

/* Measured by tests/bench/large --lattices, the table is in docs/benchmarks.md. With fewer reactions, trees in 16 lanes are as
 * fast; where an event changes more, changes of class cost more than trees save. */
enum { LEAST_REACTIONS = 8000, STALE_LIMIT = 20 };

bool
rxn__ssa_composition_suits(const Network *network, Text *ret_why)
{
    u64 reactions = network->reaction_count, edges = network->traits.dependency_edges;
    /* Edges that nobody counted are too many. */
    if (reactions < LEAST_REACTIONS || edges == 0 || edges > STALE_LIMIT * reactions ||
        !rxn__ssa_table_mostly_mass_action(network))
        return false;
    rxn__text_printf(ret_why, "of %llu propensities an event changes %llu, about",
                     (unsigned long long)reactions, (unsigned long long)(edges / reactions));
    return true;
}

static const char *
write_kernel(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
             MethodKernel *ret_kernel)
{
    SsaFrame frame = {0};
    Composition composition = {.frame = &frame};
    rxn__ssa_begin(&frame, network, options, arena, names, false, ret_kernel);
    KirBuilder *b = composition.builder = frame.builder;
    composition.bounds = (TableBounds){&composition, NULL, law_bound};
    const char *broken = rxn__ssa_table_prepare(&frame, &composition.bounds);
    if (broken)
        return broken;
    composition.table = frame.table;
    build_readers(&composition);
    declare(&composition);
    rxn__ssa_table_init(&frame);
    expect_least(&composition);
    rxn__kir_region(b, KIR_STEP);
    rxn__ssa_sums_refresh(&frame);
    rxn__ssa_bind_window(&frame);
    write_update(&composition);
    KirValue total = rxn__ssa_classes_total(&composition.classes);
    rxn__ssa_draw(&frame, total, 0);
    rxn__ssa_table_check_bounds(composition.table);
    KirValue most = rxn__ssa_real(&frame, frame.real == KIR_F32 ? (double)FLT_MAX : DBL_MAX);
    rxn__ssa_rare(&frame, total, kir_le(b, total, most), rxn__ssa_table_explain, NULL);
    write_choice(&composition, total);
    rxn__ssa_table_apply(composition.table, false, count_changed);
    rxn__ssa_close(&frame);
    rxn__kir_kernel(b)->lanes = 1;
    ret_kernel->form = "bounds of propensities in classes";
    return rxn__ssa_end(&frame);
}

const Method rxn__method_ssa_composition = {
    .name = "composition",
    .summary = "exact, one event at a time, for very large networks whose events change little "
               "(composition and rejection)",
    .applies = rxn__ssa_table_applies,
    .write = write_kernel,
};
