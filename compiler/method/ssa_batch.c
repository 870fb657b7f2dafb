/* ssa_batch.c: an exact method for very large populations, whose cost per event falls with the square root of the population.
 *
 * It is thinning by intervals (Lewis & Shedler 1979; RSSA of Thanh, Priami, Zunino 2014, J. Chem. Phys. 141, 134116) in which
 * all that stands whatever the state is drawn together, as in the ER-leap of E. Mjolsness, D. Orendorff, P. Chatelain,
 * P. Koumoutsakos 2009, J. Chem. Phys. 130, 144110.
 *
 * A box: each count is in an interval [x - L d, x + L d'] with d, d' the most that one reaction takes or adds. No L reactions
 * lead out of it, so that nobody needs to look. In it propensity j is in [low, low + gap]. Candidates come as a Poisson
 * process of rate H = sum of low + gap; one is *sure* with probability sum(low) / H and then is a reaction, whatever the
 * state, else it is *unsure*. Until L candidates are spent:
 *
 *   1. n = the candidates up to the first unsure one, by a geometric number, or all that are left
 *   2. their time: gamma(n) / H. If that goes past the next stop or sample, a binomial number of the n - 1 (all sure) come
 *      before it; the rest is thrown away, and so is the box
 *   3. of the sure ones, how many are of each reaction: a multinomial, by conditional binomials
 *   4. the unsure one: reaction j with probability gap / sum(gap); it fires if low + u gap is below its propensity at the
 *      state that steps 3 have made
 *
 * A candidate is unsure with a probability that grows with L / x; so a box of L = const sqrt(x) candidates has a few unsure
 * ones, however large x is. L is chosen for each box (ssa_batch_box.c), from the state alone.
 *
 * Species of few copies would forbid any L. They are *held*: their interval is a point, what changes them is unsure with its
 * whole propensity, and when it fires the box ends. Where neither gives an L that is worth it, a run of single events by the
 * direct method comes instead.
 *
 * Why that is exact. Candidates with their marks (which reaction, u) are a Poisson process; what is decided in a box, its end
 * included, depends on the marks of the past alone: on a stopping time of it. At a stop or sample the process behind it is
 * replaced by an independent one, which has the same law. Every candidate of the box is compared with a propensity below
 * its bound: sure ones are those whose comparison is known.
 */
#include "compiler/method/ssa_batch.h"

#include <float.h>
#include <math.h>

/* So many single events before looking for a box again. */
enum { DIRECT_RUN = 64 };

static KirValue
f64(Batch *batch, double value)
{
    return rxn__kir_const(batch->builder, KIR_F64, value);
}

static KirValue
boolean(Batch *batch, bool value)
{
    return rxn__kir_const(batch->builder, KIR_BOOL, value);
}

static KirValue
get(Batch *batch, u32 local)
{
    return rxn__kir_get(batch->builder, local, 0);
}

static void
set(Batch *batch, u32 local, KirValue value)
{
    rxn__kir_set(batch->builder, local, 0, value);
}

static KirValue
i32v(Batch *batch, i64 value)
{
    return rxn__kir_const(batch->builder, KIR_I32, (double)value);
}

static KirValue
reactions(Batch *batch)
{
    return i32v(batch, batch->reaction_count);
}

/* ---- firing ------------------------------------------------------------------------------------ */

static void
count_events(Batch *batch, KirValue number)
{
    KirBuilder *b = batch->builder;
    KirValue more = kir_cast(b, KIR_U64, kir_cast(b, KIR_I64, number));
    set(batch, batch->fired, kir_add(b, get(batch, batch->fired), more));
}

void
rxn__batch_check_count(Batch *batch, KirValue species, KirValue count, KirValue adds)
{
    KirBuilder *b = batch->builder;
    rxn__kir_if(b, kir_lt(b, count, f64(batch, 0)));
    rxn__kir_trap(b, RXN_FAULT_NEGATIVE_COUNT, species);
    rxn__kir_close(b);
    rxn__kir_if(b, kir_and(b, adds, kir_ge(b, count, f64(batch, batch->frame->count_limit))));
    rxn__kir_trap(b, RXN_FAULT_COUNT_OVERFLOW, species);
    rxn__kir_close(b);
}

/* Reaction j (i32) fires so many times; checked: a count may leave its limits. */
static void
fire(Batch *batch, KirValue j, KirValue times, bool checked)
{
    KirBuilder *b = batch->builder;
    SsaFrame *frame = batch->frame;
    KirValue after = kir_add(b, j, i32v(batch, 1));
    KirValue e = rxn__kir_for(b, rxn__kir_load(b, batch->change_start, &j),
                              rxn__kir_load(b, batch->change_start, &after));
    KirValue species = rxn__kir_load(b, batch->change_species, &e);
    KirValue delta = kir_cast(b, KIR_F64, rxn__kir_load(b, batch->change_delta, &e));
    KirValue x = rxn__kir_get(b, frame->lower.species_array, species);
    x = kir_add(b, x, kir_mul(b, delta, times));
    rxn__kir_set(b, frame->lower.species_array, species, x);
    if (checked)
        rxn__batch_check_count(batch, kir_cast(b, KIR_U32, species), x,
                               kir_gt(b, delta, f64(batch, 0)));
    rxn__kir_close(b);
}

/* `sure` reactions, each of kind j with probability low[j] / sum of low. Before that, where the batch is cut short, so many of
 * them as come before the end: turn -1 of the loop, so that the code of a binomial number is there once. */
static void
fire_sure(Batch *batch)
{
    KirBuilder *b = batch->builder;
    KirValue zero = f64(batch, 0);
    KirValue turn = rxn__kir_for(b, i32v(batch, -1), reactions(batch));
    KirValue is_reaction = kir_ge(b, turn, i32v(batch, 0));
    KirValue j = kir_max(b, turn, i32v(batch, 0));
    KirValue rest = get(batch, batch->sure);
    KirValue share =
        kir_select(b, is_reaction, rxn__kir_get(b, batch->share, j), get(batch, batch->part));
    KirValue cuts = kir_and(b, kir_not(b, is_reaction), get(batch, batch->cut));
    rxn__kir_if(b, kir_or(b, cuts,
                          kir_and(b, is_reaction,
                                  kir_and(b, kir_gt(b, rest, zero), kir_gt(b, share, zero)))));
    set(batch, batch->times, rest);
    rxn__kir_if(b, kir_lt(b, share, f64(batch, 1))); /* of the last one it is 1 */
    set(batch, batch->times, rxn__batch_binomial(&batch->draws, rest, share));
    rxn__kir_close(b);
    KirValue times = get(batch, batch->times);
    rxn__kir_if(b, is_reaction);
    set(batch, batch->sure, kir_sub(b, rest, times));
    fire(batch, j, times, false);
    count_events(batch, times);
    rxn__kir_else(b);
    set(batch, batch->sure, times);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

/* Sets `chosen` to j with probability weight[j] / total: never one of weight 0, whatever rounding does. */
static void
choose(Batch *batch, u32 weights, KirValue threshold)
{
    KirBuilder *b = batch->builder;
    set(batch, batch->sum, f64(batch, 0));
    set(batch, batch->chosen, i32v(batch, 0));
    KirValue j = rxn__kir_for(b, i32v(batch, 0), reactions(batch));
    KirValue weight = rxn__kir_get(b, weights, j);
    KirValue sum = kir_add(b, get(batch, batch->sum), weight);
    set(batch, batch->sum, sum);
    KirValue possible = kir_gt(b, weight, f64(batch, 0));
    set(batch, batch->chosen, kir_select(b, possible, j, get(batch, batch->chosen)));
    rxn__kir_if(b, kir_and(b, possible, kir_lt(b, threshold, sum)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

/* ---- one iteration ----------------------------------------------------------------------------- */

/* Candidates up to the first unsure one, and the time they take. */
static void
draw_batch(Batch *batch)
{
    KirBuilder *b = batch->builder;
    KirValue left = get(batch, batch->left), rate = get(batch, batch->rate);
    KirValue waited =
        rxn__batch_geometric(&batch->draws, kir_div(b, get(batch, batch->gaps), rate));
    KirValue ends_unsure = kir_lt(b, waited, left);
    KirValue n = kir_min(b, kir_add(b, waited, f64(batch, 1)), left);
    set(batch, batch->unsure, ends_unsure);
    set(batch, batch->candidates, n);
    set(batch, batch->sure, kir_select(b, ends_unsure, waited, left));
    set(batch, batch->span, kir_div(b, rxn__batch_gamma(&batch->draws, n), rate));
}

/* Of the candidates that were to come, those before the stop or sample; then the box is given up. */
static void
cut_short(Batch *batch)
{
    KirBuilder *b = batch->builder;
    SsaFrame *frame = batch->frame;
    KirValue gone = kir_sub(b, get(batch, batch->reached), get(batch, frame->t));
    KirValue part = kir_div(b, gone, get(batch, batch->span));
    set(batch, batch->part, kir_min(b, kir_max(b, part, f64(batch, 0)), f64(batch, 1)));
    set(batch, batch->sure, kir_sub(b, get(batch, batch->candidates), f64(batch, 1)));
    set(batch, batch->left, f64(batch, 0));
}

/* The least time after `time`, which is not negative. */
static KirValue
just_after(Batch *batch, KirValue time)
{
    KirBuilder *b = batch->builder;
    KirValue bits = kir_bits(b, KIR_U64, time);
    return kir_bits(b, KIR_F64, kir_add(b, bits, rxn__kir_const(b, KIR_U64, 1)));
}

/* What is drawn next reaches to `arrival`, or is cut short by a stop or sample. */
static void
arrive(Batch *batch, KirValue arrival)
{
    KirBuilder *b = batch->builder;
    KirValue next = get(batch, batch->frame->next_time);
    KirValue cut = kir_not(b, kir_lt(b, arrival, next));
    set(batch, batch->cut, cut);
    set(batch, batch->reached, kir_select(b, cut, next, arrival));
}

static void
run_batch(Batch *batch)
{
    KirBuilder *b = batch->builder;
    draw_batch(batch);
    arrive(batch, kir_add(b, get(batch, batch->frame->t), get(batch, batch->span)));
    rxn__kir_if(b, get(batch, batch->cut));
    cut_short(batch);
    rxn__kir_else(b);
    set(batch, batch->left, kir_sub(b, get(batch, batch->left), get(batch, batch->candidates)));
    rxn__kir_close(b);
    fire_sure(batch);
}

/* Single events, up to a stop or sample. */
static void
run_direct(Batch *batch)
{
    KirBuilder *b = batch->builder;
    SsaFrame *frame = batch->frame;
    set(batch, batch->unsure, boolean(batch, false));
    rxn__kir_for(b, i32v(batch, 0), i32v(batch, DIRECT_RUN));
    KirValue *sums = NEW_ARRAY(frame->arena, KirValue, batch->reaction_count + 1);
    KirValue total = rxn__batch_running_sums(batch, sums), u, v;
    rxn__batch_uniforms(&batch->draws, &u, &v);
    KirValue span = kir_abs(b, kir_div(b, kir_log_unit(b, u), total));
    arrive(batch, kir_add(b, get(batch, frame->t), span));
    rxn__kir_if(b, get(batch, batch->cut));
    rxn__kir_break(b);
    rxn__kir_close(b);
    set(batch, frame->t, get(batch, batch->reached));
    rxn__batch_fire_single(batch, sums, kir_mul(b, v, total));
    count_events(batch, f64(batch, 1));
    rxn__kir_close(b);
}

static void
advance(Batch *batch)
{
    KirBuilder *b = batch->builder;
    SsaFrame *frame = batch->frame;
    rxn__kir_if(b, kir_le(b, get(batch, batch->left), f64(batch, 0)));
    rxn__batch_make_box(batch);
    rxn__kir_close(b);
    rxn__kir_if(b, kir_gt(b, get(batch, batch->left), f64(batch, 0)));
    run_batch(batch);
    rxn__kir_else(b);
    run_direct(batch);
    rxn__kir_close(b);
    /* A sample is the state after all that happens at its time: what is before `just after`. */
    KirValue reached = get(batch, batch->reached);
    set(batch, frame->arrival,
        kir_select(b, get(batch, batch->cut), just_after(batch, reached), reached));
}

/* The unsure candidate at the end of a batch. */
static void
decide_unsure(Batch *batch)
{
    KirBuilder *b = batch->builder;
    KirValue u, v;
    rxn__batch_uniforms(&batch->draws, &u, &v);
    choose(batch, batch->gap, kir_mul(b, v, get(batch, batch->gaps)));
    rxn__batch_propensities(batch);
    KirValue j = get(batch, batch->chosen);
    KirValue mark = kir_fma(b, u, rxn__kir_get(b, batch->gap, j), rxn__kir_get(b, batch->low, j));
    rxn__kir_if(b, kir_lt(b, mark, rxn__kir_get(b, batch->propensity, j)));
    fire(batch, j, f64(batch, 1), true);
    count_events(batch, f64(batch, 1));
    rxn__kir_if(b, kir_ne(b, rxn__kir_get(b, batch->ends, j), i32v(batch, 0)));
    set(batch, batch->left, f64(batch, 0));
    rxn__kir_close(b);
    rxn__kir_close(b);
}

static void
write_step(Batch *batch)
{
    KirBuilder *b = batch->builder;
    SsaFrame *frame = batch->frame;
    rxn__ssa_bind_window(frame);
    KirValue ended = get(batch, frame->ended);
    rxn__kir_if(b, kir_not(b, ended));
    advance(batch);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
    rxn__ssa_rare(frame, f64(batch, 0), 0, NULL, NULL);
    rxn__ssa_bind_window(frame);
    rxn__kir_if(b, kir_not(b, ended));
    KirValue arrival = kir_min(b, get(batch, frame->arrival), get(batch, batch->reached));
    set(batch, frame->arrival, arrival);
    set(batch, frame->t, arrival); /* where a fault would be */
    rxn__kir_if(b, kir_and(b, get(batch, batch->unsure), kir_not(b, get(batch, batch->cut))));
    decide_unsure(batch);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__ssa_close(frame);
    /* The frame counts an event a step, but for those that it calls missed. */
    KirValue steps = kir_or(
        b,
        kir_shl(b, kir_cast(b, KIR_U64, get(batch, frame->n_high)), rxn__kir_const(b, KIR_U64, 32)),
        kir_cast(b, KIR_U64, get(batch, frame->n)));
    set(batch, frame->missed, kir_sub(b, steps, get(batch, batch->fired)));
}

/* ---- the whole --------------------------------------------------------------------------------- */

static void
declare(Batch *batch)
{
    KirBuilder *b = batch->builder;
    u32 count = batch->reaction_count + !batch->reaction_count;
    Arena *arena = batch->frame->arena;
    u32 species = batch->frame->network->species_count;
    rxn__batch_draws_begin(&batch->draws, batch->frame);
    batch->box = (BatchBox){.frame = batch->frame,
                            .low = NEW_ARRAY(arena, KirValue, species + 1),
                            .high = NEW_ARRAY(arena, KirValue, species + 1)};
    batch->propensity = rxn__kir_local(b, "propensity", KIR_F64, count);
    batch->low = rxn__kir_local(b, "low", KIR_F64, count);
    batch->gap = rxn__kir_local(b, "gap", KIR_F64, count);
    batch->share = rxn__kir_local(b, "share", KIR_F64, count);
    batch->ends = rxn__kir_local(b, "ends", KIR_I32, count);
    batch->length = rxn__kir_local(b, "length", KIR_F64, 0);
    batch->left = rxn__kir_local(b, "left", KIR_F64, 0);
    batch->rate = rxn__kir_local(b, "rate", KIR_F64, 0);
    batch->gaps = rxn__kir_local(b, "gaps", KIR_F64, 0);
    batch->candidates = rxn__kir_local(b, "candidates", KIR_F64, 0);
    batch->sure = rxn__kir_local(b, "sure", KIR_F64, 0);
    batch->times = rxn__kir_local(b, "times", KIR_F64, 0);
    batch->part = rxn__kir_local(b, "part", KIR_F64, 0);
    batch->span = rxn__kir_local(b, "span", KIR_F64, 0);
    batch->reached = rxn__kir_local(b, "reached", KIR_F64, 0);
    batch->sum = rxn__kir_local(b, "sum", KIR_F64, 0);
    batch->chosen = rxn__kir_local(b, "chosen", KIR_I32, 0);
    batch->fired = rxn__kir_local(b, "fired", KIR_U64, 0);
    batch->unsure = rxn__kir_local(b, "unsure", KIR_BOOL, 0);
    batch->cut = rxn__kir_local(b, "cut", KIR_BOOL, 0);
}

static const char *
write_form(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
           bool is_short, MethodKernel *ret_kernel)
{
    /* Counts past 2^24 are what it is for: f64 in every precision. */
    MethodOptions wide = *options;
    wide.precision = KIR_F64;
    wide.full_sums = true;
    SsaFrame frame = {.in_batches = true};
    rxn__ssa_begin(&frame, network, &wide, arena, names, false, ret_kernel);
    frame.gains = NULL; /* a step may add more: boxes and single events look for themselves */
    Batch batch = {.frame = &frame,
                   .builder = frame.builder,
                   .is_short = is_short,
                   .reaction_count = network->reaction_count};
    declare(&batch);
    rxn__batch_plan(&batch);
    rxn__ssa_init(&frame);
    rxn__kir_region(frame.builder, KIR_STEP);
    write_step(&batch);
    ret_kernel->form = "batches of events, counts in f64";
    return rxn__ssa_end(&frame);
}

static const char *
write_kernel(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
             MethodKernel *ret_kernel)
{
    return write_form(network, options, arena, names, false, ret_kernel);
}

static const char *
write_short(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
            MethodKernel *ret_kernel)
{
    return write_form(network, options, arena, names, true, ret_kernel);
}

/* Straight code for bounds and slopes of every reaction. */
enum { BATCH_MOST = 200 };

static bool
applies(const Network *network, Text *ret_reason)
{
    if (network->reaction_count > BATCH_MOST || network->species_count > BATCH_MOST) {
        rxn__text_printf(ret_reason,
                         "it takes up to %d reactions and species; this network has %u and %u",
                         BATCH_MOST, network->reaction_count, network->species_count);
        return false;
    }
    for (u32 e = 0; e < network->events.count; e++)
        if (network->events.items[e].kind == EVENT_WHEN) {
            rxn__text_printf(ret_reason,
                             "it draws many reactions together, and a 'when' looks at each");
            return false;
        }
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        if (rxn__expr_uses(network, reaction->propensity).time) {
            rxn__text_printf(ret_reason, "the rate of '%s' changes with time",
                             reaction->label->text);
            return false;
        }
        if (!rxn__batch_has_bounds(network, reaction->propensity, network->arena, ret_reason))
            return false;
    }
    return true;
}

const Method rxn__method_ssa_batch = {
    .name = "batch",
    .summary = "exact, many events at a time, for very large populations",
    .applies = applies,
    .write = write_kernel,
};

/* By name: all that the method does, on networks small enough for the master equation. */
const Method rxn__method_ssa_batch_short = {
    .name = "batch-short",
    .summary = "the batch method, a few events at a time whatever that costs",
    .applies = applies,
    .write = write_short,
};
