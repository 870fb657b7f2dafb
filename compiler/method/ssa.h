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
 *                block is enough: step n takes its half (n mod 2) of the block of n - n mod 2.
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
 * are recorded before the state changes, those at the end time after its events.
 */
#ifndef RXN_METHOD_SSA_H
#define RXN_METHOD_SSA_H

#include "compiler/method/lower.h"
#include "compiler/method/method.h"

typedef struct SsaFrame {
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
    double largest_gain; /* most copies of one species that one reaction adds */

    /* How many steps of the method one iteration of the kernel's `step` makes, and which is being written.
     * Two in f32, unrolled: all lanes are then at the same half of a block, so that one block serves both
     * and nothing selects. A step after the end changes nothing. */
    u32 turns, turn;
    KirValue words[4]; /* of the block that the turns share */
} SsaFrame;

/* Where the counts are: a scalar local per species, or one array. */
void rxn__ssa_begin(SsaFrame *frame, Network *network, const MethodOptions *options, Arena *arena,
                    NameTable *names, bool unrolled, MethodKernel *output);

/* The launch and init regions. Leaves the builder in init. */
void rxn__ssa_init(SsaFrame *frame);

/* In step: binds t (and the window) for propensities that read time. Call before lowering them. */
void rxn__ssa_bind_window(SsaFrame *frame);

/* Draws the waiting time and the threshold from the total. */
void rxn__ssa_draw(SsaFrame *frame, KirValue total);

/* The rare block. `healthy` (a bool value, or 0): where false, `explain` writes the traps. */
void rxn__ssa_rare(SsaFrame *frame, KirValue total, KirValue healthy,
                   void (*explain)(SsaFrame *frame, void *context), void *context);

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

/* The two forms of the direct method. */
const char *rxn__ssa_write_unrolled(Network *network, const MethodOptions *options, Arena *arena,
                                    NameTable *names, MethodKernel *ret_kernel);
const char *rxn__ssa_write_table(Network *network, const MethodOptions *options, Arena *arena,
                                 NameTable *names, MethodKernel *ret_kernel);

#endif
