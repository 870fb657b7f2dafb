/* ssa.h: what the exact methods share: the frame around the choice of the next reaction.
 *
 * Between events of its own, a trajectory is a Markov chain; the frame does all the rest: random
 * numbers, the waiting time, sample times, deterministic events, windows of time-dependent rates,
 * faults. A method gives the propensities, selects and applies.
 *
 * One iteration of `step`:
 *
 *   the method:  propensities, their sum a0 (of the bounds where rates depend on time)
 *   frame_draw:  u, v from one Philox block; arrival = t - log(u)/a0; threshold = v·a0. In f32 half a
 *                block is enough: step n takes its half (n mod 2) of the block of n - n mod 2. For few reactions a third
 *                is: see ssa_draw.c.
 *   frame_rare:  only if arrival reaches `next_time`, or something is wrong: records samples, runs
 *                events, moves windows, traps. When no reaction may fire, threshold = +inf.
 *   the method:  the reaction with c[j-1] <= threshold < c[j]; applies it. None if +inf.
 *   frame_close: t = arrival; `when` events.
 *
 * `next_time` = min(next sample, stop), and stop = min(next event, breakpoint, window end, end time):
 * one comparison in the common case. Crossing `stop` discards the waiting time and draws anew, which
 * is exact for exponential times.
 *
 * A sample at time s is the state after everything that happens at s: samples s < min(arrival, stop)
 * are recorded before the state changes, those at the end time after its events, in one more iteration. Where nothing but
 * the end can stop a wait (`only_ends`) there are neither `stop` nor `next_sample`: `next_time` is the next sample, after the
 * last one the end, and a wait that goes past either (arrival > next_time) records what it passes; the end is then the
 * trajectory's last step.
 */
#ifndef RXN_METHOD_SSA_H
#define RXN_METHOD_SSA_H

#include "compiler/method/hoisted.h"
#include "compiler/method/lower.h"
#include "compiler/method/method.h"

typedef struct SsaFrame SsaFrame;

/* What a gradient kernel adds to the frame and to the form of the method. All functions but `record` and
 * `finish` may be NULL. In the table form there is no `limit`, and `propensities` and `below` are NULL: see
 * rxn__ssa_table_propensity and rxn__ssa_table_fired. */
typedef struct SsaExtension {
    void *context;
    u32 columns; /* of a row of `sample`: there is one row, and the extension stores it */

    void (*declare)(SsaFrame *frame, void *context); /* behind the frame's own locals and buffers */
    void (*start)(SsaFrame *frame, void *context);   /* at the end of init */

    /* In step, with the state: the most time (f64, > 0) that one step may let pass. A longer wait is made in
     * several steps without a reaction, which take no new random number: the trajectory stays the same. Not
     * with rates that are thinned. */
    KirValue (*limit)(SsaFrame *frame, void *context);

    /* In step, before anything happens: the state, its propensities (those of the time that is proposed,
     * where rates depend on time) and the time that passes in this step (f64; 0 after the end). Values
     * made here can be used until the end of the step, in record and elapse too. */
    void (*rates)(SsaFrame *frame, void *context, const KirValue *propensities, KirValue span);

    /* At a sample time, instead of the observables: row (i32) is its number. The state is that of `rates`.
     * Stands in a loop inside an if. */
    void (*record)(SsaFrame *frame, void *context, KirValue row, KirValue time);

    /* The reaction is chosen, the counts not yet changed; but an event may have, where none fires.
     * Reaction j fires if below[j] and not below[j-1]. */
    void (*elapse)(SsaFrame *frame, void *context, const KirValue *below);

    /* The same moment, for who wants the number of the reaction: u32, flat; reaction_count: none. Unrolled, the step
     * is then written so that this number costs least. Not both of elapse and fires. */
    void (*fires)(SsaFrame *frame, void *context, KirValue code);

    /* An event has its new values and is about to assign them. */
    void (*assign)(SsaFrame *frame, void *context, u32 event);

    /* In the finish region: stores the row. */
    void (*finish)(SsaFrame *frame, void *context);

    /* A stop of its own: the time of the next one (f64; +inf: none), known from the end of `declare` on; and
     * what happens there, before the events of that time. at_stop may change counts; it stands in an if. */
    KirValue (*next_stop)(SsaFrame *frame, void *context);
    void (*at_stop)(SsaFrame *frame, void *context, KirValue time);
} SsaExtension;

struct SsaFrame {
    KirBuilder *builder;
    Network *network;
    Arena *arena;
    KirType real;
    double count_limit; /* counts are whole numbers in `real`: exact up to this */
    Lowering lower;
    MethodKernel *output;

    /* buffers */
    u32 seed, parameter, input, sample_time, sample_count, sample_step, end_time, step_limit;
    u32 sample, events;
    u32 hoisted;            /* where `sampled` has columns */
    SampledHoisted sampled; /* hoisted values that come with the trajectories */

    /* locals */
    u32 t, arrival, threshold, next_time, stop;
    u32 sample_index,
        next_sample;        /* the next sample to record: its row and its time (+inf: none) */
    u32 n, n_high, n_check; /* step number, and when to look at limits again */
    u32 missed;             /* u64: iterations without a reaction */
    u32 ended, done;
    u32 middle; /* f64: where comparisons of time are decided */
    u32 window_end, window_length,
        fresh;  /* f64, f64, bool: no reaction or refusal in this window yet */
    u32 jumped; /* bool: an event has changed the state (table form) */
    u32 *event_next, *event_turn, *event_was; /* per event; unused ones 0 */
    bool has_when, has_breakpoints, has_windows, tracks_jumps;
    bool only_ends; /* nothing stops a wait but the end, and nothing happens there */
    bool
        in_batches; /* a method whose steps are of many reactions: no arrival of one goes past the end */
    i32 *
        gains; /* [species_count]: the most that one reaction adds to it; NULL: the method looks at counts itself */

    /* How many steps of the method one iteration of the kernel's `step` makes, and which is being written.
     * Two or three in f32, unrolled: all lanes are then at the same part of a block, so that one block serves
     * the turns and nothing selects. A step after the end changes nothing. */
    u32 turns, turn;
    KirValue words[4]; /* of the block that the turns share */

    /* Three steps to a block (ssa_draw.c): locals, the words of this iteration; those of the next one, as far as they are
     * made; and of this step what its wait was made of, the choice's share and the logarithm. */
    bool in_thirds;
    u32 kept_word[4];
    KirValue next_words[4], wait_bits, share, log;

    /* What the step draws (ln u and v, in `real`), where it was made before it; 0: the step makes it. */
    KirValue drawn_log, drawn_share;

    const SsaExtension *extension; /* or NULL */
    struct SsaTable *table;        /* of the table form, from rxn__ssa_table_begin on */
    const bool
        *rates_shared; /* reaction families whose constants are checked by the table; or NULL */
    struct SsaShared *
        starts; /* of the species of one member, in the array form, where there are many; or NULL */
    u32 start_target;     /* buffer: their flat numbers */
    struct SsaSums *sums; /* of the table form: sums that are kept from step to step, or NULL */
    VEC(u32) kept_arrays; /* array locals that outlive a step, besides the counts */
    /* With a limit: whether a wait goes on, and what was drawn for it. */
    u32 waits, drawn_arrival, drawn_threshold;
};

/* Changes of one reaction, for frame->gains. */
void rxn__ssa_note_gains(SsaFrame *frame, u32 count, const Change *changes);

/* Where the counts are: a scalar local per species, or one array. */
void rxn__ssa_begin(SsaFrame *frame, Network *network, const MethodOptions *options, Arena *arena,
                    NameTable *names, bool unrolled, MethodKernel *output);

/* The launch and init regions. Leaves the builder in init. */
void rxn__ssa_init(SsaFrame *frame);

/* In step: binds t (and the window) for propensities that read time. Call before lowering them. */
void rxn__ssa_bind_window(SsaFrame *frame);

/* A block of random numbers: words of 32 bits. low, high: u32, the number of the step; stream: below 65536. */
void rxn__ssa_block(SsaFrame *frame, u32 stream, KirValue low, KirValue high,
                    KirValue ret_words[4]);

/* Several of them side by side, which takes less time than one behind the other. */
typedef struct SsaBlock {
    u32 stream;
    KirValue low, high;
} SsaBlock;
void rxn__ssa_blocks(SsaFrame *frame, u32 count, const SsaBlock *blocks, KirValue (*ret_words)[4]);

/* The numbers that step (high, low) draws: u in (0, 1) for the waiting time -log(u)/a0, v in [0, 1) for the choice. */
void rxn__ssa_uniforms(SsaFrame *frame, KirValue low, KirValue high, KirValue *ret_u,
                       KirValue *ret_v);

/* What the present step draws, ln u and v in `real`, and the next one: side by side. To be written in every second step,
 * whose numbers (or those that were kept) are handed to it by drawn_log and drawn_share. */
typedef struct SsaDrawn {
    KirValue log, share;
} SsaDrawn;
void rxn__ssa_draw_two(SsaFrame *frame, SsaDrawn ret_drawn[2]);

/* Draws the waiting time and the threshold from the total. limit: of the extension, or 0. */
void rxn__ssa_draw(SsaFrame *frame, KirValue total, KirValue limit);

/* Behind it, in thirds: draws further bits where those of the step do not decide. sums: the running sums, `count` of them. */
void rxn__ssa_decide(SsaFrame *frame, u32 count, const KirValue *sums);

/* The rare block. `healthy` (a bool value, or 0): where false, `explain` writes the traps. */
void rxn__ssa_rare(SsaFrame *frame, KirValue total, KirValue healthy,
                   void (*explain)(SsaFrame *frame, void *context), void *context);

/* When a wait ends at the latest. f64. */
KirValue rxn__ssa_stop(SsaFrame *frame);

/* A proposal was refused (thinning): counts it, and shortens the window where that helps. To be
 * written inside an `if` of the method. */
void rxn__ssa_refused(SsaFrame *frame, KirValue total);

void rxn__ssa_close(SsaFrame *frame);

/* finish region, done local, witness; checks the kernel. */
const char *rxn__ssa_end(SsaFrame *frame);

KirValue rxn__ssa_real(SsaFrame *frame, double value);

/* Stores a count by constant flat number; by value in the array form. */
void rxn__ssa_set_species(SsaFrame *frame, u32 flat, KirValue value);

/* Whether the constants alone, checked once in init, make the propensities of this reaction sound: mass
 * action of an order that cannot overflow with any counts. Others are tested as they are computed. */
bool rxn__ssa_sound_by_constants(const SsaFrame *frame, const Reaction *reaction);

/* A rate at or above its bound: by more than rounding, which a least bound such as 2 k of k (1 + sin t)
 * does not allow for. A bool value. */
KirValue rxn__ssa_exceeds(SsaFrame *frame, KirValue actual, KirValue bound);

/* True if the propensity is zero whenever the reaction would take more than there is: it has the count
 * as a factor. Then no test for negative counts is needed. */
bool rxn__ssa_guarded(const Network *network, const Reaction *reaction, u32 species_flat,
                      u32 member, i32 taken);

/* Edges of the dependency graph that the table form takes: 4 bytes each, twice. */
#define RXN_MAX_TABLE_EDGES 100000000u

/* Whether reaction j fires: a bool value. */
KirValue rxn__ssa_fires(SsaFrame *frame, const KirValue *below, u32 j);

/* Whether the unrolled form takes the network; if not, why. */
bool rxn__ssa_unrolled_applies(const Network *network, Text *ret_reason);

/* For kernels that put the steps of the unrolled form into loops of their own (grad_tape.c): between
 * rxn__ssa_begin and rxn__ssa_init; then writes one step (frame->turn of frame->turns) where the builder
 * stands. */
typedef struct SsaUnrolled SsaUnrolled;
SsaUnrolled *rxn__ssa_unrolled_begin(SsaFrame *frame);
void rxn__ssa_unrolled_step(SsaFrame *frame, SsaUnrolled *unrolled);

/* The same of the table form: between rxn__ssa_begin and rxn__ssa_table_init;
 * one step. What a step needs of the one before (the reaction that fired, the propensities) can be forgotten by
 * setting `jumped`: the next step then computes all propensities anew, to the same bits. */
typedef struct SsaTable SsaTable;
const char *rxn__ssa_table_begin(SsaFrame *frame); /* NULL, or what is broken */
void rxn__ssa_table_init(SsaFrame *frame);
void rxn__ssa_table_step(SsaFrame *frame);

/* In the table form, for extensions. The reaction chosen (i32, flat; reaction_count: none), in elapse; the propensity
 * of this step by flat number (i32), in rates and elapse. */
KirValue rxn__ssa_table_fired(SsaFrame *frame);
KirValue rxn__ssa_table_propensity(SsaFrame *frame, KirValue reaction);

/* Opens a loop over the reactions whose propensities change when this one fires; to be closed by the caller. Returns
 * the flat number. Reaction reaction_count (none) changes nothing. */
KirValue rxn__ssa_table_dependents(SsaFrame *frame, KirValue reaction);

/* The counts before this reaction fired. */
void rxn__ssa_table_undo(SsaFrame *frame, KirValue reaction);

/* The flat number of the member that the bound variables are (i32); and the variables bound to those of a member. */
KirValue rxn__ssa_reaction_flat(SsaFrame *frame, const Reaction *reaction);
void rxn__ssa_bind_reaction(SsaFrame *frame, const Reaction *reaction, KirValue flat);

/* A time in the interval between breakpoints that begins at or before `now` and ends after it: where comparisons
 * of time are decided. f64. */
KirValue rxn__ssa_middle(SsaFrame *frame, KirValue now);

/* Whether the network is small enough for registers: the unrolled form is then the faster one. */
bool rxn__ssa_is_small(const Network *network);

/* Whether the rejection method is likely the fastest for a network that is not small, and why; and composition. */
bool rxn__ssa_rejection_suits(const Network *network, Text *ret_why);
bool rxn__ssa_composition_suits(const Network *network, Text *ret_why);

/* Whether batches are likely faster than single events, from the state and the values at the start, and why; of large
 * populations also why not. */
bool rxn__ssa_batch_suits(const Network *network, Text *ret_why);

/* Whether the table form takes the network; if not, why. */
bool rxn__ssa_table_applies(const Network *network, Text *ret_reason);

/* The two forms of the direct method, and each with an extension. */
const char *rxn__ssa_write_unrolled(Network *network, const MethodOptions *options, Arena *arena,
                                    NameTable *names, MethodKernel *ret_kernel);
const char *rxn__ssa_write_extended(Network *network, const MethodOptions *options, Arena *arena,
                                    NameTable *names, const SsaExtension *extension,
                                    MethodKernel *ret_kernel);
const char *rxn__ssa_write_table(Network *network, const MethodOptions *options, Arena *arena,
                                 NameTable *names, MethodKernel *ret_kernel);
const char *rxn__ssa_write_table_extended(Network *network, const MethodOptions *options,
                                          Arena *arena, NameTable *names,
                                          const SsaExtension *extension, MethodKernel *ret_kernel);

#endif
