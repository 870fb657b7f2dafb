/* ssa_draw.c: what a step draws (see ssa.h): the random numbers of its waiting time and of its choice, and the two made of
 * them. A block of random numbers is four words of 32 bits (philox.c), known from the trajectory's number and its own.
 *
 *   halves     f64: a block for each step, 52 bits for the wait and 53 for the choice. f32: two steps to a block, 32 and 24.
 *   thirds     f32, few reactions, and nothing but the end stops a wait: three steps to a block, 24 and 16 bits; and
 *              where these do not decide, once in some 65,536 steps for each reaction but one, a block of further bits.
 *
 * Thirds: of the words w[4] of their block the three steps have for their waits the upper 24 bits of w[0], w[1] and w[2], for their
 * choices the upper and the lower half of w[3] and the last bytes of w[0] and w[1]. With 16 bits i the threshold is somewhere from
 * i · total / 2^16 up to (i + 1) · total / 2^16. If no running sum lies in there, further bits change nothing. Where one
 * does, the threshold gets 8 more; and a wait whose bits are all 0, one of the longest, gets 32.
 *
 * They are drawn ahead: each of the three steps makes a part of the ten rounds of the next block, beside what does not wait for
 * it. Behind a branch that was guessed wrong a step then begins at its logarithm instead of a chain of 20 products.
 * A trajectory begins with three steps in which nothing happens, n = -3, -2, -1, while its first block is made; their
 * words are 0, so that the test for further bits finds them, and no other code has to look for them:
 *
 *     n          -3 -2 -1    0  1  2    3  4  5
 *     words of    none       block 0    block 3
 *     made        block 0    block 3    block 6
 */
#include "compiler/method/ssa_private.h"

#include <math.h>

/* u in (0, 1): 52 bits and a half, so that neither end is reached. */
static KirValue
open_uniform(SsaFrame *frame, KirValue high, KirValue low)
{
    KirBuilder *b = frame->builder;
    KirValue shift = rxn__kir_const(b, KIR_U32, 6);
    KirValue h = kir_cast(b, KIR_F64, kir_cast(b, KIR_I32, kir_shr(b, high, shift)));
    KirValue l = kir_cast(b, KIR_F64, kir_cast(b, KIR_I32, kir_shr(b, low, shift)));
    l = kir_fma(b, l, rxn__ssa_real(frame, 0x1p-52), rxn__ssa_real(frame, 0x1p-53));
    return kir_fma(b, h, rxn__ssa_real(frame, 0x1p-26), l);
}

/* v in [0, 1): 53 bits, so that v · total < total even after rounding. */
static KirValue
half_open_uniform(SsaFrame *frame, KirValue high, KirValue low)
{
    KirBuilder *b = frame->builder;
    KirValue h = kir_cast(b, KIR_I32, kir_shr(b, high, rxn__kir_const(b, KIR_U32, 5)));
    KirValue l = kir_cast(b, KIR_I32, kir_shr(b, low, rxn__kir_const(b, KIR_U32, 6)));
    l = kir_mul(b, kir_cast(b, KIR_F64, l), rxn__ssa_real(frame, 0x1p-53));
    return kir_fma(b, kir_cast(b, KIR_F64, h), rxn__ssa_real(frame, 0x1p-27), l);
}

/* The same in f32. u: 32 bits, rounded to 24 significant ones, which keeps the tail fine, and below 1. */
static KirValue
open_uniform_f32(SsaFrame *frame, KirValue word)
{
    KirBuilder *b = frame->builder;
    KirValue u = kir_fma(b, kir_cast(b, KIR_F32, word), rxn__ssa_real(frame, 0x1p-32),
                         rxn__ssa_real(frame, 0x1p-33));
    return kir_min(b, u, rxn__ssa_real(frame, 0x1.fffffep-1));
}

/* A whole number of up to 24 bits, in f32, times a unit. */
static KirValue
share_of(SsaFrame *frame, KirValue bits, double unit)
{
    KirBuilder *b = frame->builder;
    KirValue number = kir_cast(b, KIR_F32, kir_cast(b, KIR_I32, bits));
    return kir_mul(b, number, rxn__ssa_real(frame, unit));
}

/* v: 24 bits. */
static KirValue
half_open_uniform_f32(SsaFrame *frame, KirValue word)
{
    KirBuilder *b = frame->builder;
    return share_of(frame, kir_shr(b, word, rxn__kir_const(b, KIR_U32, 8)), 0x1p-24);
}

static void
key_of(SsaFrame *frame, KirValue ret_key[2])
{
    KirBuilder *b = frame->builder;
    KirValue seed = rxn__kir_load(b, frame->seed, NULL), half = rxn__kir_const(b, KIR_U64, 32);
    ret_key[0] = kir_cast(b, KIR_U32, seed);
    ret_key[1] = kir_cast(b, KIR_U32, kir_shr(b, seed, half));
}

static void
counter_of(SsaFrame *frame, const SsaBlock *block, KirValue ret_words[4])
{
    KirBuilder *b = frame->builder;
    KirValue trajectory = kir_trajectory(b), half = rxn__kir_const(b, KIR_U64, 32);
    KirValue stream = rxn__kir_const(b, KIR_U32, (double)(block->stream << 16));
    ret_words[0] = block->low;
    ret_words[1] = kir_or(b, block->high, stream);
    ret_words[2] = kir_cast(b, KIR_U32, trajectory);
    ret_words[3] = kir_cast(b, KIR_U32, kir_shr(b, trajectory, half));
}

void
rxn__ssa_blocks(SsaFrame *frame, u32 count, const SsaBlock *blocks, KirValue (*ret_words)[4])
{
    KirValue key[2];
    key_of(frame, key);
    for (u32 k = 0; k < count; k++)
        counter_of(frame, &blocks[k], ret_words[k]);
    rxn__kir_philox_blocks(frame->builder, key, count, ret_words);
}

void
rxn__ssa_block(SsaFrame *frame, u32 stream, KirValue low, KirValue high, KirValue ret_words[4])
{
    const SsaBlock block = {stream, low, high};
    KirValue words[1][4];
    rxn__ssa_blocks(frame, 1, &block, words);
    for (u32 k = 0; k < 4; k++)
        ret_words[k] = words[0][k];
}

/* ---- halves ------------------------------------------------------------------------------------ */

/* In f64 a step has a block of its own. In f32 its half of the one that it shares with its neighbour. */
static void
uniforms_of(SsaFrame *frame, u32 count, const SsaBlock *steps, KirValue *ret_u, KirValue *ret_v)
{
    enum { MOST = 2 };
    KirBuilder *b = frame->builder;
    KirValue odd[MOST] = {0}, words[MOST][4];
    SsaBlock blocks[MOST];
    for (u32 k = 0; k < count; k++) {
        blocks[k] = steps[k];
        if (frame->real == KIR_F64)
            continue;
        KirValue one = rxn__kir_const(b, KIR_U32, 1), parity = kir_and(b, steps[k].low, one);
        blocks[k].low = kir_xor(b, steps[k].low, parity);
        odd[k] = kir_eq(b, parity, one);
    }
    rxn__ssa_blocks(frame, count, blocks, words);
    for (u32 k = 0; k < count; k++) {
        if (frame->real == KIR_F64) {
            ret_u[k] = open_uniform(frame, words[k][0], words[k][1]);
            ret_v[k] = half_open_uniform(frame, words[k][2], words[k][3]);
            continue;
        }
        ret_u[k] = open_uniform_f32(frame, kir_select(b, odd[k], words[k][1], words[k][0]));
        ret_v[k] = half_open_uniform_f32(frame, kir_select(b, odd[k], words[k][3], words[k][2]));
    }
}

void
rxn__ssa_uniforms(SsaFrame *frame, KirValue low, KirValue high, KirValue *ret_u, KirValue *ret_v)
{
    const SsaBlock step = {RXN_STREAM_EVENTS, low, high};
    uniforms_of(frame, 1, &step, ret_u, ret_v);
}

void
rxn__ssa_draw_two(SsaFrame *frame, SsaDrawn ret_drawn[2])
{
    KirBuilder *b = frame->builder;
    KirValue one = rxn__kir_const(b, KIR_U32, 1), zero = rxn__kir_const(b, KIR_U32, 0);
    KirValue n = rxn__kir_get(b, frame->n, 0), high = rxn__kir_get(b, frame->n_high, 0);
    KirValue next = kir_add(b, n, one), carry = kir_select(b, kir_eq(b, next, zero), one, zero);
    const SsaBlock steps[2] = {{RXN_STREAM_EVENTS, n, high},
                               {RXN_STREAM_EVENTS, next, kir_add(b, high, carry)}};
    KirValue u[2], v[2];
    uniforms_of(frame, 2, steps, u, v);
    for (u32 k = 0; k < 2; k++)
        ret_drawn[k] = (SsaDrawn){kir_log_unit(b, u[k]), v[k]};
}

/* ---- thirds ------------------------------------------------------------------------------------ */

enum {
    THIRDS = 3,
    MOST_REACTIONS = 6, /* each costs comparisons in every step */
    CHOICE_BITS = 16,
    FIRST_STEP = -THIRDS, /* of a trajectory, in which nothing happens */
};

/* The rounds of the next block that a turn makes: 4, 3 and 3 of ten. */
static const u32 rounds_until[THIRDS + 1] = {0, 4, 7, KIR_PHILOX_ROUNDS};

/* Where numbers are half of the work, and where there are registers for those of the next steps. */
static bool
thirds_pay(const SsaFrame *frame)
{
    const Network *network = frame->network;
    bool pay = frame->only_ends && network->reaction_count > 0 &&
               network->reaction_count <= MOST_REACTIONS;
    for (u32 r = 0; r < network->reactions.count; r++)
        pay &= network->reactions.items[r].mass_action;
    return pay && !network->traits.time_dependent;
}

void
rxn__ssa_draw_declare(SsaFrame *frame, bool unrolled)
{
    static const char *const names[4] = {"word0", "word1", "word2", "word3"};
    frame->turns = 1;
    if (!unrolled || frame->real == KIR_F64)
        return;
    if (frame->extension && frame->extension->limit)
        return; /* a wait that goes on takes no number: turns would lose their parity */
    frame->in_thirds = thirds_pay(frame);
    frame->turns = 2;
    if (!frame->in_thirds)
        return;
    frame->turns = THIRDS;
    for (u32 k = 0; k < 4; k++)
        frame->kept_word[k] = rxn__kir_local(frame->builder, names[k], KIR_U32, 0);
}

void
rxn__ssa_draw_start(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    if (frame->in_thirds)
        rxn__kir_set(b, frame->n, 0, rxn__kir_const_bits(b, KIR_U32, (u32)FIRST_STEP));
}

/* Makes a part of the next block; in the last turn it is kept. */
static void
draw_ahead(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    KirValue key[2], *words = frame->next_words;
    key_of(frame, key);
    if (frame->turn == 0) {
        KirValue n = rxn__kir_get(b, frame->n, 0), high = rxn__kir_get(b, frame->n_high, 0);
        KirValue next = kir_add(b, n, rxn__kir_const(b, KIR_U32, THIRDS));
        /* Where `next` wraps the high word is late by one block. Its number is new all the same, since 2^32 is no multiple
         * of three. */
        counter_of(frame, &(SsaBlock){RXN_STREAM_EVENTS, next, high}, words);
    }
    rxn__kir_philox_rounds(b, key, rounds_until[frame->turn], rounds_until[frame->turn + 1], 1,
                           &frame->next_words);
    for (u32 k = 0; frame->turn + 1 == THIRDS && k < 4; k++)
        rxn__kir_set(b, frame->kept_word[k], 0, words[k]);
}

static KirValue
third_of_choice(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    const KirValue *w = frame->words;
    KirValue half = rxn__kir_const(b, KIR_U32, 16), byte = rxn__kir_const(b, KIR_U32, 8);
    if (frame->turn == 0)
        return kir_shr(b, w[3], half);
    if (frame->turn == 1)
        return kir_and(b, w[3], rxn__kir_const(b, KIR_U32, 0xffff));
    KirValue last = rxn__kir_const(b, KIR_U32, 0xff);
    return kir_or(b, kir_shl(b, kir_and(b, w[0], last), byte), kir_and(b, w[1], last));
}

static void
draw_third(SsaFrame *frame, KirValue *ret_log, KirValue *ret_v)
{
    KirBuilder *b = frame->builder;
    if (frame->turn == 0)
        for (u32 k = 0; k < 4; k++)
            frame->words[k] = rxn__kir_get(b, frame->kept_word[k], 0);
    draw_ahead(frame);
    frame->wait_bits = kir_shr(b, frame->words[frame->turn], rxn__kir_const(b, KIR_U32, 8));
    KirValue middle =
        kir_add(b, share_of(frame, frame->wait_bits, 0x1p-24), rxn__ssa_real(frame, 0x1p-25));
    KirValue u = kir_min(b, middle, rxn__ssa_real(frame, 0x1.fffffep-1));
    frame->log = kir_log_unit(b, u);
    frame->share = share_of(frame, third_of_choice(frame), 1.0 / (1 << CHOICE_BITS));
    *ret_log = frame->log;
    *ret_v = frame->share;
}

/* ---- the step ---------------------------------------------------------------------------------- */

static void
draw_numbers(SsaFrame *frame, KirValue *ret_log, KirValue *ret_v)
{
    KirBuilder *b = frame->builder;
    KirValue n = rxn__kir_get(b, frame->n, 0), high = rxn__kir_get(b, frame->n_high, 0), u;
    if (frame->drawn_log) {
        *ret_log = frame->drawn_log;
        *ret_v = frame->drawn_share;
        return;
    }
    if (frame->in_thirds) {
        draw_third(frame, ret_log, ret_v);
        return;
    }
    if (frame->turns < 2) {
        rxn__ssa_uniforms(frame, n, high, &u, ret_v);
    } else {
        if (frame->turn == 0) /* then n is even */
            rxn__ssa_block(frame, RXN_STREAM_EVENTS, n, high, frame->words);
        u = open_uniform_f32(frame, frame->words[frame->turn]);
        *ret_v = half_open_uniform_f32(frame, frame->words[2 + frame->turn]);
    }
    *ret_log = kir_log_unit(b, u);
}

/* A total of zero gives +inf: the state holds until the next stop. So does one of -0.0, which
 * x(x - 1) is at x = 0; hence the absolute value, not the negative of the logarithm. */
static KirValue
arrival_of(SsaFrame *frame, KirValue log_u, KirValue total)
{
    KirBuilder *b = frame->builder;
    KirValue waiting = kir_abs(b, kir_div(b, log_u, total));
    return kir_add(b, rxn__kir_get(b, frame->t, 0), kir_cast(b, KIR_F64, waiting));
}

/* A wait of more pieces than anyone would want to sit through. */
static void
refuse_stiffness(SsaFrame *frame, KirValue t, KirValue arrival, KirValue limit)
{
    const double most_pieces = 1e6;
    KirBuilder *b = frame->builder;
    KirValue end = kir_min(b, arrival, rxn__kir_load(b, frame->end_time, NULL));
    KirValue most = kir_mul(b, limit, rxn__kir_const(b, KIR_F64, most_pieces));
    rxn__kir_if(b, kir_gt(b, kir_sub(b, end, t), most));
    rxn__kir_trap(b, RXN_FAULT_STIFF, rxn__kir_const(b, KIR_U32, 0));
    rxn__kir_close(b);
}

void
rxn__ssa_draw(SsaFrame *frame, KirValue total, KirValue limit)
{
    KirBuilder *b = frame->builder;
    KirValue log_u, v;
    draw_numbers(frame, &log_u, &v);
    KirValue t = rxn__kir_get(b, frame->t, 0);
    KirValue arrival = arrival_of(frame, log_u, total);
    KirValue threshold = kir_mul(b, v, total);
    if (limit) {
        /* A wait that goes on has its numbers already. A crossing of a stop ends it: see no_reaction. */
        KirValue waits = rxn__kir_get(b, frame->waits, 0);
        arrival = kir_select(b, waits, rxn__kir_get(b, frame->drawn_arrival, 0), arrival);
        threshold = kir_select(b, waits, rxn__kir_get(b, frame->drawn_threshold, 0), threshold);
        rxn__kir_set(b, frame->drawn_arrival, 0, arrival);
        rxn__kir_set(b, frame->drawn_threshold, 0, threshold);
        KirValue reach = kir_add(b, t, limit);
        refuse_stiffness(frame, t, arrival, limit);
        /* Not where the limit is too short to move the time. */
        KirValue cut = kir_and(b, kir_lt(b, reach, arrival), kir_gt(b, reach, t));
        arrival = kir_select(b, cut, reach, arrival);
        threshold = kir_select(b, cut, rxn__ssa_real(frame, INFINITY), threshold);
        rxn__kir_set(b, frame->waits, 0, cut);
    }
    rxn__kir_set(b, frame->arrival, 0, arrival);
    rxn__kir_set(b, frame->threshold, 0, threshold);
}

/* Further bits: 32 for a wait whose own are all 0, 8 for the choice. */
static void
draw_further(SsaFrame *frame, KirValue is_tail, KirValue total)
{
    KirBuilder *b = frame->builder;
    KirValue n = rxn__kir_get(b, frame->n, 0), high = rxn__kir_get(b, frame->n_high, 0), words[4];
    rxn__ssa_block(frame, RXN_STREAM_FURTHER, n, high, words);
    KirValue u = kir_fma(b, kir_cast(b, KIR_F32, words[0]), rxn__ssa_real(frame, 0x1p-56),
                         rxn__ssa_real(frame, 0x1p-57));
    KirValue log_u = kir_select(b, is_tail, kir_log_unit(b, u), frame->log);
    KirValue bits = kir_shr(b, words[1], rxn__kir_const(b, KIR_U32, 24));
    KirValue v = kir_add(b, frame->share, share_of(frame, bits, 0x1p-24));
    rxn__kir_set(b, frame->arrival, 0, arrival_of(frame, log_u, total));
    rxn__kir_set(b, frame->threshold, 0, kir_mul(b, v, total));
}

void
rxn__ssa_decide(SsaFrame *frame, u32 count, const KirValue *sums)
{
    KirBuilder *b = frame->builder;
    KirValue total = sums[count - 1], threshold = rxn__kir_get(b, frame->threshold, 0);
    KirValue cell = kir_mul(b, total, rxn__ssa_real(frame, 1.0 / (1 << CHOICE_BITS)));
    KirValue end = kir_add(b, threshold, cell);
    KirValue is_tail = kir_eq(b, frame->wait_bits, rxn__kir_const(b, KIR_U32, 0));
    KirValue undecided = is_tail;
    for (u32 j = 0; j + 1 < count; j++) { /* none is behind the last */
        KirValue inside = kir_and(b, kir_lt(b, threshold, sums[j]), kir_lt(b, sums[j], end));
        undecided = kir_or(b, undecided, inside);
    }
    rxn__kir_if(b, undecided);
    /* Until the first step looks at the limits there is nothing in n_check. */
    KirValue zero = rxn__kir_const(b, KIR_U32, 0);
    KirValue waits = kir_and(b, kir_eq(b, rxn__kir_get(b, frame->n_check, 0), zero),
                             kir_ne(b, rxn__kir_get(b, frame->n, 0), zero));
    rxn__kir_if(b, waits);
    rxn__kir_set(b, frame->arrival, 0, rxn__kir_get(b, frame->t, 0));
    rxn__kir_set(b, frame->threshold, 0, rxn__ssa_real(frame, INFINITY));
    rxn__kir_else(b);
    draw_further(frame, is_tail, total);
    rxn__kir_close(b);
    rxn__kir_close(b);
}
