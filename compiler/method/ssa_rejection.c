/* ssa_rejection.c: an exact method for large networks, whose cost per event hardly grows with the network. Two ideas in
 * one:
 *
 *   intervals  Propensities are bounded, not kept: by counts from an interval around each count, so that
 *              nothing is to be updated as long as a count stays in its interval. A reaction is proposed
 *              by its bound and then stands or is refused by its true propensity (Thanh, Priami, Zunino
 *              2014, J. Chem. Phys. 141, 134116: RSSA). That is thinning (Lewis & Shedler 1979): time goes
 *              by with each proposal.
 *   factors    Reactions are grouped by one of their reactants, the `outer` one, and a group holds their
 *              propensities without its factor (Ramaswamy, González-Segredo, Sbalzarini 2009, J. Chem.
 *              Phys. 130, 244104: partial propensities). When the outer count changes, one number changes
 *              however many reactions there are. Outer is the reactant with more reactions.
 *
 * Of the networks of rules that this is for, a species at a membrane reacts with hundreds of others; the first
 * idea alone updates hundreds of bounds where it is there in a few copies, the second alone where it is the other
 * factor.
 *
 * Sums are binary trees (ssa_rejection_trees.c).
 *
 * Laws that are no mass action, and reactions of nothing, stand in one more group, whose factor is 1. Laws are not bounded
 * by intervals: they are evaluated when what they read changes, as in the table form. Time-dependent ones have the
 * bounds of their windows.
 *
 * Within a tree a threshold may, by rounding, reach the sum that it was drawn below. It then ends at a leaf, beyond its bound, or
 * where no leaf is, and is refused like any that is not below the true propensity: what is impossible never fires.
 */
#include "compiler/method/ssa_rejection.h"

#include <float.h>
#include <math.h>

/* Half the interval, of the count. Measured: see docs/benchmarks.md. */
#define INTERVAL 0.15

typedef SsaRejection Rejection;

static KirValue
load(Rejection *rejection, u32 buffer, KirValue index)
{
    return rxn__kir_load(rejection->builder, buffer, &index);
}

/* One number of a row of so many. */
static KirValue
row_word(Rejection *rejection, u32 buffer, KirValue row, u32 words, u32 word)
{
    KirBuilder *b = rejection->builder;
    KirValue at = kir_mul(b, row, i32v(rejection, words));
    return load(rejection, buffer, kir_add(b, at, i32v(rejection, word)));
}

static KirValue
species_word(Rejection *rejection, KirValue species, u32 word)
{
    return row_word(rejection, rejection->of_species, species, SPECIES_WORDS, word);
}

static KirValue
entry_word(Rejection *rejection, KirValue entry, u32 word)
{
    return row_word(rejection, rejection->inner, entry, INNER_WORDS, word);
}

KirValue
rxn__ssa_group_word(Rejection *rejection, KirValue group, u32 word)
{
    return row_word(rejection, rejection->of_group, group, GROUP_WORDS, word);
}

/* ---- bounds ------------------------------------------------------------------------------------ */

/* The interval around a count: [x - w, x + w] with w = max(INTERVAL x, slack of the species). */
static void
set_interval(Rejection *rejection, KirValue species, KirValue x)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    KirValue slack = kir_cast(b, frame->real, species_word(rejection, species, SPECIES_SLACK));
    KirValue part = kir_floor(b, kir_mul(b, x, rxn__ssa_real(frame, INTERVAL)));
    KirValue width = kir_max(b, part, slack);
    /* What is not there is bounded by nothing: most of what may be there never is. */
    width = kir_select(b, kir_gt(b, x, rxn__ssa_real(frame, 0)), width, rxn__ssa_real(frame, 0));
    rxn__kir_set(b, rejection->high, species, kir_add(b, x, width));
    KirValue lower = kir_add(b, species, i32v(rejection, frame->network->species_count + 1));
    rxn__kir_set(b, rejection->high, lower, kir_sub(b, width, x));
}

/* Mass action with the upper ends of the intervals, without one factor of the outer reactant, which stands first. */
static KirValue
partial_bound(Rejection *rejection, KirValue reaction)
{
    KirBuilder *b = rejection->builder;
    SsaTable *table = rejection->table;
    SsaFrame *frame = rejection->frame;
    KirValue value = rxn__kir_get(b, table->rate, reaction), one = rxn__ssa_real(frame, 1);
    for (u32 k = 0; k < table->order; k++) {
        if (k == 0 && table->multiplicity < 2)
            continue;
        KirValue slot =
            kir_add(b, kir_mul(b, reaction, i32v(rejection, table->order)), i32v(rejection, k));
        KirValue x = rxn__kir_get(b, rejection->high, load(rejection, table->slot_species, slot));
        if (table->multiplicity < 2) { /* where there is no reactant, x is 1 */
            value = kir_mul(b, value, x);
            continue;
        }
        KirValue count = load(rejection, table->slot_count, slot);
        for (u32 m = k == 0; m < table->multiplicity; m++) {
            KirValue factor =
                kir_max(b, kir_sub(b, x, rxn__ssa_real(frame, m)), rxn__ssa_real(frame, 0));
            value =
                kir_mul(b, value, kir_select(b, kir_gt(b, count, i32v(rejection, m)), factor, one));
        }
    }
    return value;
}

/* The bounds in groups that read a species' interval. */
static void
move_inner(Rejection *rejection, KirValue species, SsaSlot known)
{
    KirBuilder *b = rejection->builder;
    KirValue first = species_word(rejection, species, SPECIES_INNER);
    KirValue end = species_word(rejection, species, SPECIES_INNER_END);
    KirValue e = rxn__kir_for(b, first, end), group = entry_word(rejection, e, INNER_GROUP);
    KirValue base = entry_word(rejection, e, INNER_BASE);
    KirValue node = entry_word(rejection, e, INNER_NODE);
    KirValue reaction = entry_word(rejection, e, INNER_REACTION), value;
    const SsaBound bound = {group, base, node, reaction};
    if (rejection->sparse) {
        rxn__kir_if(b, rxn__ssa_trees_asked(rejection, &bound));
        rxn__kir_if(b, rxn__ssa_trees_wants(rejection, &bound));
    }
    if (rejection->simple) {
        value = rxn__kir_get(b, rejection->table->rate, reaction);
        value = kir_mul(b, value, rxn__kir_get(b, rejection->high, species));
    } else {
        value = partial_bound(rejection, reaction);
    }
    rxn__ssa_trees_set(rejection, &bound, known, value);
    if (rejection->sparse) {
        rxn__kir_else(b);
        rxn__ssa_trees_put_off(rejection, &bound);
        rxn__kir_close(b);
        rxn__kir_close(b);
    }
    rxn__kir_close(b);
}

/* What a species' new interval changes. Its own group comes first: a bound of that may read the interval, too, and is renewed only when
 * the group is. */
static void
move_bounds(Rejection *rejection, KirValue species, SsaSlot known)
{
    KirBuilder *b = rejection->builder;
    KirValue group = species_word(rejection, species, SPECIES_GROUP);
    rxn__kir_if(b, kir_ge(b, group, i32v(rejection, 0)));
    KirValue outer = rxn__kir_get(b, rejection->high, species);
    rxn__ssa_trees_outer(rejection, group, known, outer, partial_bound);
    rxn__kir_close(b);
    if (rejection->has_inner)
        move_inner(rejection, species, known);
}

/* A count has left its interval. */
static void
move_interval(Rejection *rejection, KirValue species, KirValue x)
{
    KirBuilder *b = rejection->builder;
    KirValue before = rxn__kir_get(b, rejection->high, species);
    set_interval(rejection, species, x);
    if (!rejection->sparse) {
        move_bounds(rejection, species, SLOT_ANY);
        return;
    }
    KirValue nothing = rxn__ssa_real(rejection->frame, 0);
    KirValue after = rxn__kir_get(b, rejection->high, species);
    rxn__kir_if(b, kir_le(b, before, nothing));
    move_bounds(rejection, species, SLOT_TAKE);
    rxn__kir_else(b);
    rxn__kir_if(b, kir_le(b, after, nothing));
    move_bounds(rejection, species, SLOT_GIVE);
    rxn__kir_else(b);
    move_bounds(rejection, species, SLOT_KEEP);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

KirValue
rxn__ssa_rejection_bound(SsaTable *table, KirValue reaction)
{
    return rxn__ssa_trees_get(table->bounds->method, reaction);
}

/* ---- update ------------------------------------------------------------------------------------ */

/* The same of any reaction. */
static KirValue
bound_value(Rejection *rejection, KirValue reaction)
{
    return rxn__ssa_table_law(rejection->table, reaction, partial_bound(rejection, reaction));
}

/* Everything anew: at the start, and where an event has changed counts. */
static void
rebuild(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    u32 species_count = frame->network->species_count;
    KirValue species = rxn__kir_for(b, i32v(rejection, 0), i32v(rejection, species_count));
    set_interval(rejection, species, rxn__kir_get(b, frame->lower.species_array, species));
    rxn__kir_close(b);
    rxn__kir_set(b, rejection->high, i32v(rejection, species_count), rxn__ssa_real(frame, 1));
    rxn__ssa_trees_rebuild(rejection, bound_value);
}

/* Laws that the last reaction made stale. */
static void
update_laws(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    SsaTable *table = rejection->table;
    KirValue last = rxn__kir_get(b, table->last, 0);
    KirValue e =
        rxn__kir_for(b, load(rejection, table->update_start, last),
                     load(rejection, table->update_start, kir_add(b, last, i32v(rejection, 1))));
    KirValue reaction = load(rejection, table->update_target, e);
    SsaBound bound = rxn__ssa_trees_bound(rejection, reaction);
    KirValue law = rxn__ssa_table_law(table, reaction, rxn__ssa_real(rejection->frame, 0));
    rxn__ssa_trees_set(rejection, &bound, SLOT_ANY, law);
    rxn__kir_close(b);
}

static void
write_update(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    rxn__kir_if(b, rxn__kir_get(b, frame->jumped, 0));
    rebuild(rejection);
    rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 0));
    if (rejection->table->has_laws) {
        rxn__kir_else(b);
        update_laws(rejection);
    }
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

/* ---- select, refuse, apply --------------------------------------------------------------------- */

/* Sets `last` to the reaction proposed (reactions: none); returns what is left of the threshold in its bound. */
static KirValue
write_selection(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    SsaTable *table = rejection->table;
    KirValue threshold = rxn__kir_get(b, frame->threshold, 0);
    KirValue found = kir_lt(b, threshold, rxn__ssa_real(frame, INFINITY));
    KirValue rest, reaction = rxn__ssa_trees_find(rejection, threshold, &rest);
    KirValue none = i32v(rejection, frame->network->reaction_count);
    rxn__kir_set(b, table->last, 0, kir_select(b, found, reaction, none));
    return rest;
}

/* Mass action stands if what is left of the threshold is below the true propensity. A law that is not
 * time-dependent is its own bound. */
static void
write_refusal(Rejection *rejection, KirValue total, KirValue rest)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    SsaTable *table = rejection->table;
    KirValue none = i32v(rejection, frame->network->reaction_count);
    KirValue reaction = rxn__kir_get(b, table->last, 0);
    rxn__kir_if(b, kir_lt(b, reaction, none));
    KirValue value = rxn__ssa_table_mass_action(table, reaction);
    if (table->has_laws) {
        KirValue law =
            kir_ne(b, load(rejection, table->law, reaction), i32v(rejection, LAW_MASS_ACTION));
        value = kir_select(b, law, rxn__ssa_rejection_bound(table, reaction), value);
    }
    KirValue stands = kir_lt(b, rest, value);
    rxn__kir_if(b, kir_not(b, stands));
    rxn__kir_set(b, table->last, 0, none);
    rxn__kir_set(b, frame->missed, 0,
                 kir_add(b, rxn__kir_get(b, frame->missed, 0), rxn__kir_const(b, KIR_U64, 1)));
    rxn__kir_close(b);
    rxn__kir_close(b);
    if (table->timed)
        rxn__ssa_table_refuse(table, total, rest);
}

/* What rises can leave its interval at the upper end alone, what falls at the lower. */
static void
count_changed(SsaTable *table, KirValue species, KirValue delta, KirValue x)
{
    Rejection *rejection = table->bounds->method;
    KirBuilder *b = rejection->builder;
    KirValue falls = kir_lt(b, delta, rxn__ssa_real(rejection->frame, 0));
    KirValue other = i32v(rejection, rejection->frame->network->species_count + 1);
    KirValue place = kir_add(b, species, kir_select(b, falls, other, i32v(rejection, 0)));
    KirValue end = rxn__kir_get(b, rejection->high, place);
    rxn__kir_if_seldom(b, kir_gt(b, kir_select(b, falls, kir_neg(b, x), x), end));
    move_interval(rejection, species, x);
    rxn__kir_close(b);
}

/* ---- the choice -------------------------------------------------------------------------------- */

/* Measured by tests/bench/large, the tables are in docs/benchmarks.md: the table form of the direct method pays for each
 * propensity that an event makes stale, and for each group of propensities that it sums and searches. */
enum { STALE_LIMIT = 3, REACTIONS_FOR_ONE = 1000 };

bool
rxn__ssa_rejection_suits(const Network *network, Text *ret_why)
{
    u64 reactions = network->reaction_count, edges = network->traits.dependency_edges;
    if (!rxn__ssa_table_mostly_mass_action(network))
        return false;
    /* Edges that nobody counted are too many. */
    u64 stale = edges ? edges / reactions : STALE_LIMIT;
    if (stale + reactions / REACTIONS_FOR_ONE < STALE_LIMIT)
        return false;
    if (edges)
        rxn__text_printf(ret_why, "of %llu propensities an event changes %llu, about",
                         (unsigned long long)reactions, (unsigned long long)stale);
    else
        rxn__text_printf(ret_why, "an event changes very many of %llu propensities",
                         (unsigned long long)reactions);
    return true;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static void
declare(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    u32 species = frame->network->species_count;
    rejection->high = rxn__kir_local(b, "high", frame->real, 2 * (species + 1));
    rxn__ssa_trees_declare(rejection);
}

/* What more than 16 trajectories of a network so large touch does not stay in the second cache. Of the networks that were
 * measured those with up to 0.9 MB each are a fifth faster with 32 lanes, one with 2.2 is 7 to 10 % faster with 16: see
 * docs/benchmarks.md. */
static void
limit_lanes(Rejection *rejection)
{
    enum { LARGE_STATE = 1 << 20, LANES_OF_LARGE = 16 };
    KirKernel *kernel = rxn__kir_kernel(rejection->builder);
    u64 bytes = 0;
    for (u32 k = 0; k < kernel->locals.count; k++) {
        const KirLocal *local = &kernel->locals.items[k];
        if (!local->uniform)
            bytes += (u64)local->length * rxn__kir_type_bytes[local->type];
    }
    if (bytes > LARGE_STATE)
        kernel->lanes = LANES_OF_LARGE;
}

static const char *
write_with(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
           bool sparse, MethodKernel *ret_kernel)
{
    SsaFrame frame = {0};
    Rejection rejection = {.frame = &frame, .sparse = sparse};
    rxn__ssa_begin(&frame, network, options, arena, names, false, ret_kernel);
    rejection.builder = frame.builder;
    const char *broken = rxn__ssa_rejection_begin(&rejection);
    if (broken)
        return broken;
    rejection.simple = rejection.table->order == 2 && rejection.table->multiplicity < 2;
    declare(&rejection);
    limit_lanes(&rejection);
    KirBuilder *b = frame.builder;
    rxn__ssa_table_init(&frame);
    rxn__kir_region(b, KIR_STEP);
    rxn__ssa_sums_refresh(&frame);
    rxn__ssa_bind_window(&frame);
    write_update(&rejection);
    KirValue total = rxn__ssa_trees_total(&rejection);
    rxn__ssa_draw(&frame, total, 0);
    rxn__ssa_table_check_bounds(rejection.table);
    KirValue most = rxn__ssa_real(&frame, frame.real == KIR_F32 ? (double)FLT_MAX : DBL_MAX);
    rxn__ssa_rare(&frame, total, kir_le(b, total, most), rxn__ssa_table_explain, NULL);
    KirValue rest = write_selection(&rejection);
    write_refusal(&rejection, total, rest);
    rxn__ssa_table_apply(rejection.table, rejection.sparse, count_changed);
    rxn__ssa_close(&frame);
    ret_kernel->form = "bounds of propensities in trees";
    return rxn__ssa_end(&frame);
}

static const char *
write_kernel(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
             MethodKernel *ret_kernel)
{
    return write_with(network, options, arena, names, false, ret_kernel);
}

static const char *
write_sparse(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
             MethodKernel *ret_kernel)
{
    return write_with(network, options, arena, names, true, ret_kernel);
}

const Method rxn__method_ssa_rejection = {
    .name = "rejection",
    .summary =
        "exact, one event at a time, for large networks (rejection from intervals of counts)",
    .applies = rxn__ssa_table_applies,
    .write = write_kernel,
};

/* The trees of networks of many groups, for any: for tests. */
const Method rxn__method_ssa_rejection_sparse = {
    .name = "rejection-sparse",
    .summary = "the rejection method, with sparse trees however few groups there are",
    .applies = rxn__ssa_table_applies,
    .write = write_sparse,
};
