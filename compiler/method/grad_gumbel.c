/* grad_gumbel.c: the straight-through estimators (gumbel, propensity): the exact path forward, a relaxed choice of the
 * reaction backward. J. M. G. Vilar, L. Saiz, arXiv 2602.19775 (2026); F. Mottes et al., arXiv 2601.14183 (2026).
 *
 * The step from x_n at t_n to x_{n+1} = x_n + ν_j at t_{n+1} = t_n + d, d = -log(u)/a0, is differentiated as if
 *
 *   x_{n+1} = x_n + Σ_j ν_j y_j,   y = softmax((log a_j + g_j)/τ),   g the Gumbel noise that made the choice.
 *
 * With λ the adjoint of the state, μ of the time, h_j = λ·ν_j, G_j = y_j (h_j - Σ y h)/τ:
 *
 *   a_j gets G_j/a_j - μ d/a0;   λ += Σ_j (that of a_j) ∇a_j;   dF/dp += Σ_j (that of a_j) da_j/dp.
 *
 * The choice was made by inversion, so g is drawn given it. exp(-(log a_k + g_k)) is an exponential time T_k of
 * rate a_k, and the chosen reaction's is the least: T_j = E_j/a0, T_k = T_j + E_k/a_k with independent standard
 * exponentials E. Then y_k ~ T_k^(-1/τ) needs no logarithm of a rate, and a reaction of rate zero has y_k = 0: it is
 * masked, without an epsilon. The noise comes from the number of the step, so nothing of it is kept.
 *
 * `propensity` (arXiv 2608.25631) is the same with y_j = a_j/a0 and no noise.
 *
 * An observable at time T is taken to lie on the line between the states around it, so that times have a
 * derivative: with s = (T - t_n)/d, x_n gets the share 1 - s of its weight w, x_{n+1} the share s, t_{n+1} gets
 * -s/d w·ν_j and t_n -(1-s)/d w·ν_j. Where a stop (the end, a breakpoint of the rates) cuts the wait, the event that
 * would have come is drawn again from its number for this.
 */
#include "compiler/method/grad_tape.h"
#include "compiler/method/pathwise.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A sum of propensities that is smaller is taken to be zero: its inverse and the wait for it may be infinite. */
#define LEAST_TOTAL 0x1p-1000

/* So many reactions have their numbers inverted by one division. */
enum { GROUP = 4 };

typedef struct Relaxed {
    Tape *tape;
    const GradientRequest *request;
    GradientRow row;
    bool noisy; /* gumbel; else propensity */
    Pathwise pathwise;
    Expr *propensity; /* per flat reaction */
    bool *observed;   /* [species]: observations or integrals give to it */

    /* f64 locals */
    u32 *adjoint;  /* [sets * species]: λ */
    u32 *time;     /* [sets]: μ */
    u32 *weight;   /* [sets * integrals]: of the integrands in force */
    u32 *gradient; /* [sets * leaves] */
    u32 *
        behind; /* [sets * species]: λ behind this step, of what is observed; else it is the adjoint */
    u32 *next_time;  /* [sets]: μ of its time */
    u32 *area;       /* [sets * integrals]: ∫ weight over the step */
    u32 *weight_end; /* [sets * integrals]: in force at the end of the step */
    u32 largest, saturated, steps;
    u32 wait; /* d of the step, also where a stop cut it */
    u32 code; /* u32: its reaction, likewise */
} Relaxed;

static KirValue
f64(Relaxed *relaxed, double value)
{
    return rxn__kir_const(relaxed->tape->frame->builder, KIR_F64, value);
}

static KirValue
get(Relaxed *relaxed, u32 local)
{
    return rxn__kir_get(relaxed->tape->frame->builder, local, 0);
}

static void
set(Relaxed *relaxed, u32 local, KirValue value)
{
    rxn__kir_set(relaxed->tape->frame->builder, local, 0, value);
}

static void
add_to(Relaxed *relaxed, u32 local, KirValue value)
{
    set(relaxed, local, kir_add(relaxed->tape->frame->builder, get(relaxed, local), value));
}

/* local += x y; where y is 0 (zero), nothing. */
static void
add_product_to(Relaxed *relaxed, u32 local, KirValue x, KirValue y)
{
    if (x && y)
        set(relaxed, local, kir_fma(relaxed->tape->frame->builder, x, y, get(relaxed, local)));
}

/* ---- declarations ------------------------------------------------------------------------------ */

static u32 *
declare_many(Relaxed *relaxed, const char *name, u32 count)
{
    SsaFrame *frame = relaxed->tape->frame;
    u32 *locals = NEW_ARRAY(frame->arena, u32, count + 1);
    for (u32 k = 0; k < count; k++) {
        char text[48];
        snprintf(text, sizeof text, "%s%u", name, k);
        locals[k] = rxn__kir_local(frame->builder, text, KIR_F64, 0);
    }
    return locals;
}

/* The derivative by a species of what the recorder keeps: its columns, then its integrands. */
static Expr
kept_slope(const Tape *tape, u32 number, u32 species)
{
    const Recorder *recorder = &tape->recorder;
    u32 columns = recorder->columns.count;
    Expr kept = number < columns ? recorder->columns.items[number]
                                 : recorder->integrals.items[number - columns].slope;
    return rxn__expr_derivative(tape->frame->network, kept, EXPR_SPECIES, species);
}

static void
declare(Tape *tape, void *context)
{
    Relaxed *relaxed = context;
    SsaFrame *frame = tape->frame;
    Network *network = frame->network;
    u32 species = network->species_count, sets = tape->sets;
    u32 integrals = tape->recorder.integrals.count;
    relaxed->tape = tape;
    relaxed->adjoint = declare_many(relaxed, "adjoint", sets * species);
    relaxed->time = declare_many(relaxed, "time_adjoint", sets);
    relaxed->weight = declare_many(relaxed, "integrand", sets * integrals);
    relaxed->gradient = declare_many(relaxed, "gradient", sets * relaxed->row.leaves);
    relaxed->behind = declare_many(relaxed, "adjoint_behind", sets * species);
    relaxed->next_time = declare_many(relaxed, "next_time_adjoint", sets);
    relaxed->area = declare_many(relaxed, "integrand_area", sets * integrals);
    relaxed->weight_end = declare_many(relaxed, "integrand_end", sets * integrals);
    relaxed->largest = rxn__kir_local(frame->builder, "largest_adjoint", KIR_F64, 0);
    relaxed->saturated = rxn__kir_local(frame->builder, "saturated", KIR_F64, 0);
    relaxed->steps = rxn__kir_local(frame->builder, "relaxed_steps", KIR_F64, 0);
    relaxed->wait = rxn__kir_local(frame->builder, "relaxed_wait", KIR_F64, 0);
    relaxed->code = rxn__kir_local(frame->builder, "relaxed_code", KIR_U32, 0);
    relaxed->propensity = NEW_ARRAY(frame->arena, Expr, network->reaction_count + 1);
    for (u32 j = 0; j < network->reaction_count; j++) {
        u32 member;
        Reaction reaction = *rxn__reaction_of_flat(network, j, &member);
        relaxed->propensity[j] = rxn__reaction_member_propensity(network, &reaction, member);
    }
    rxn__pathwise_declare(&relaxed->pathwise, frame, relaxed->request);
    relaxed->observed = NEW_ARRAY(frame->arena, bool, species + 1);
    for (u32 k = 0; k < tape->recorder.columns.count + integrals; k++)
        for (u32 s = 0; s < species; s++)
            relaxed->observed[s] |= !rxn__expr_is_zero(network, kept_slope(tape, k, s));
}

static void
seed(Tape *tape, void *context)
{
    Relaxed *relaxed = context;
    for (u32 m = 0; m < tape->sets; m++)
        for (u32 p = 0; p < relaxed->row.leaves; p++) {
            KirValue direct = rxn__tape_explicit(tape, m, p);
            if (direct)
                set(relaxed, relaxed->gradient[m * relaxed->row.leaves + p], direct);
        }
}

/* ---- the relaxed choice ------------------------------------------------------------------------ */

typedef struct Choice {
    KirValue *rate;   /* a_j */
    KirValue *chosen; /* bool */
    KirValue total;   /* a0 */
    KirValue some;    /* bool: a0 is not zero */
    KirValue unit;    /* 1/a0; 0 where that is zero */
    KirValue wait;    /* d: also of a wait that a stop has cut */
} Choice;

static KirValue
low_word(Relaxed *relaxed, KirValue number)
{
    return kir_cast(relaxed->tape->frame->builder, KIR_U32, number);
}

static KirValue
high_word(Relaxed *relaxed, KirValue number)
{
    KirBuilder *b = relaxed->tape->frame->builder;
    return kir_cast(b, KIR_U32, kir_shr(b, number, rxn__kir_const(b, KIR_U64, 32)));
}

/* The event that would have come where a stop cut the wait: the same numbers, the same sums. */
static void
draw_again(Relaxed *relaxed, const TapeStep *step, const Choice *choice)
{
    SsaFrame *frame = relaxed->tape->frame;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count;
    KirValue u, v, sum = 0;
    rxn__ssa_uniforms(frame, low_word(relaxed, step->number), high_word(relaxed, step->number), &u,
                      &v);
    KirValue wait = kir_abs(b, kir_div(b, kir_cast(b, KIR_F64, kir_log_unit(b, u)), choice->total));
    KirValue threshold = kir_mul(b, kir_cast(b, KIR_F64, v), choice->total);
    KirValue code = rxn__kir_const(b, KIR_U32, 0), one = rxn__kir_const(b, KIR_U32, 1);
    KirValue none = rxn__kir_const(b, KIR_U32, 0);
    for (u32 j = 0; j < reactions; j++) {
        sum = sum ? kir_add(b, sum, choice->rate[j]) : choice->rate[j];
        code = kir_add(b, code, kir_select(b, kir_lt(b, threshold, sum), none, one));
    }
    rxn__kir_set(b, relaxed->wait, 0, wait);
    rxn__kir_set(b, relaxed->code, 0, code);
}

static void
find_rates(Relaxed *relaxed, Choice *choice)
{
    SsaFrame *frame = relaxed->tape->frame;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count;
    choice->rate = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    choice->chosen = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    choice->total = reactions ? 0 : f64(relaxed, 0);
    for (u32 j = 0; j < reactions; j++) {
        KirValue rate = rxn__lower_as(&frame->lower, relaxed->propensity[j], KIR_F64);
        choice->rate[j] = rate;
        choice->total = choice->total ? kir_add(b, choice->total, rate) : rate;
    }
    choice->some = kir_gt(b, choice->total, f64(relaxed, LEAST_TOTAL));
    choice->unit = kir_div(b, f64(relaxed, 1), choice->total);
    choice->unit = kir_select(b, choice->some, choice->unit, f64(relaxed, 0));
}

/* Which reaction it is, after how long. */
static void
read_event(Relaxed *relaxed, Choice *choice)
{
    KirBuilder *b = relaxed->tape->frame->builder;
    choice->wait = get(relaxed, relaxed->wait);
    KirValue code = rxn__kir_get(b, relaxed->code, 0);
    for (u32 j = 0; j < relaxed->tape->frame->network->reaction_count; j++)
        choice->chosen[j] = kir_eq(b, code, rxn__kir_const(b, KIR_U32, j));
}

static KirValue
f32(Relaxed *relaxed, double value)
{
    return rxn__kir_const(relaxed->tape->frame->builder, KIR_F32, value);
}

/* Standard exponentials, one per reaction, f32, as logarithms: -E. Of 16 bits each, eight to a block. Their distribution
 * is off by 2^-17 at most, which is far below what the relaxation does. */
static void
draw_noise(Relaxed *relaxed, const TapeStep *step, u32 draw, KirValue *ret_logarithm)
{
    enum { PER_BLOCK = 8 };
    SsaFrame *frame = relaxed->tape->frame;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count;
    u32 blocks = (reactions + PER_BLOCK - 1) / PER_BLOCK;
    KirValue low = low_word(relaxed, step->number), high = high_word(relaxed, step->number);
    SsaBlock *asked = NEW_ARRAY(frame->arena, SsaBlock, blocks + 1);
    KirValue(*words)[4] = (KirValue(*)[4])NEW_ARRAY(frame->arena, KirValue, 4 * blocks + 4);
    for (u32 k = 0; k < blocks; k++)
        asked[k] = (SsaBlock){RXN_STREAM_NOISE + draw * blocks + k, low, high};
    rxn__ssa_blocks(frame, blocks, asked, words);
    for (u32 j = 0; j < reactions; j++) {
        u32 half = j % PER_BLOCK;
        KirValue word = words[j / PER_BLOCK][half / 2];
        KirValue bits = half % 2 ? kir_shr(b, word, rxn__kir_const(b, KIR_U32, 16))
                                 : kir_and(b, word, rxn__kir_const(b, KIR_U32, 0xffff));
        KirValue number = kir_cast(b, KIR_F32, kir_cast(b, KIR_I32, bits));
        KirValue u = kir_fma(b, number, f32(relaxed, 0x1p-16), f32(relaxed, 0x1p-17));
        ret_logarithm[j] = kir_log_unit(b, u);
    }
}

/* One more step, and one more that is saturated: nearly all of the share is the chosen reaction's, though others
 * were possible. */
static void
count_saturation(Relaxed *relaxed, KirValue sum)
{
    KirBuilder *b = relaxed->tape->frame->builder;
    KirValue sure =
        kir_and(b, kir_gt(b, sum, f32(relaxed, 1)), kir_lt(b, sum, f32(relaxed, 1.001)));
    add_to(relaxed, relaxed->saturated, kir_select(b, sure, f64(relaxed, 1), f64(relaxed, 0)));
    add_to(relaxed, relaxed->steps, f64(relaxed, 1));
}

/* The inverses of numbers that are neither tiny nor large, with one division for four of them. (Exponentials of 16 bits
 * are at least 7e-6, and what was chosen has a share of the rates that is no less than its uniform's 2^-53.) */
static void
invert(Relaxed *relaxed, u32 count, const KirValue *values, KirValue *ret_inverses)
{
    KirBuilder *b = relaxed->tape->frame->builder;
    for (u32 first = 0; first < count; first += GROUP) {
        u32 n = count - first < GROUP ? count - first : GROUP;
        KirValue products[GROUP];
        products[0] = values[first];
        for (u32 k = 1; k < n; k++)
            products[k] = kir_mul(b, products[k - 1], values[first + k]);
        KirValue inverse = kir_div(b, f32(relaxed, 1), products[n - 1]);
        for (u32 k = n; k-- > 1;) {
            ret_inverses[first + k] = kir_mul(b, inverse, products[k - 1]);
            inverse = kir_mul(b, inverse, values[first + k]);
        }
        ret_inverses[first] = inverse;
    }
}

/* 1/τ over the number of draws, as f32 has it. */
static double
share_of_draw(const Relaxed *relaxed, u32 draws)
{
    return (float)(1 / relaxed->request->tau / draws);
}

/* One draw. The shares y_j are computed in f32: they are between 0 and 1, and their errors of 1e-7 are noise on noise. */
typedef struct Shares {
    KirValue *
        ratio; /* f32: y_j a0/a_j, over τ and the number of draws: finite where a_j is tiny, and zero where it is zero */
    KirValue *share;  /* f32: y_j times their sum */
    KirValue inverse; /* f64: 1 over that sum */
} Shares;

static void
relax(Relaxed *relaxed, const TapeStep *step, const Choice *choice, u32 draw, u32 draws,
      Shares *ret)
{
    SsaFrame *frame = relaxed->tape->frame;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count;
    KirValue zero = f32(relaxed, 0), one = f32(relaxed, 1);
    ret->ratio = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    ret->share = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    KirValue *wait = NEW_ARRAY(frame->arena, KirValue, reactions + 1); /* -E_k */
    draw_noise(relaxed, step, draw, wait);
    KirValue least = f32(relaxed, -1); /* -E_j of the one chosen */
    for (u32 j = 0; j < reactions; j++)
        least = kir_select(b, choice->chosen[j], wait[j], least);
    /* In units of a0, so that f32 holds rates of every size. */
    double tau = relaxed->request->tau;
    KirValue *rates = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    KirValue *below = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    KirValue *inverses = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    KirValue sum = 0;
    for (u32 first = 0; first < reactions; first += GROUP) {
        u32 end = first + GROUP < reactions ? first + GROUP : reactions;
        for (u32 k = first; k < end; k++) {
            rates[k] = kir_cast(b, KIR_F32, kir_mul(b, choice->rate[k], choice->unit));
            KirValue later = /* than the one chosen */
                kir_select(b, choice->chosen[k], zero, wait[k]);
            below[k] = kir_fma(b, least, rates[k], later);
        }
        invert(relaxed, end - first, below + first, inverses + first);
        for (u32 k = first; k < end; k++) {
            /* T_j/T_k = E_j a_k / (E_j a_k + E_k a0), and without E_k, 1, for the one chosen. With τ = 1 all over -E_j. */
            KirValue rate = rates[k], share, ratio = inverses[k];
            KirValue possible = kir_ge(b, rate, f32(relaxed, 0x1p-126)); /* a normal number */
            if (tau == 1) {
                ratio = kir_select(b, possible, ratio, zero);
                share = kir_mul(b, ratio, rate);
            } else {
                ratio = kir_mul(b, kir_mul(b, least, ratio), rate);
                share = rxn__kir_op(b, KIR_POW, ratio, f32(relaxed, 1 / tau), 0);
                ratio = kir_select(b, possible, kir_div(b, share, rate), zero);
            }
            ret->ratio[k] = ratio;
            ret->share[k] = share;
            sum = sum ? kir_add(b, sum, share) : share;
        }
    }
    if (!sum)
        return;
    if (draw == 0)
        count_saturation(relaxed, tau == 1 ? kir_mul(b, least, sum) : sum);
    KirValue inverse = kir_select(b, kir_ne(b, sum, zero), kir_div(b, one, sum), zero);
    ret->inverse = kir_cast(b, KIR_F64, inverse);
    inverse = kir_mul(b, inverse, f32(relaxed, share_of_draw(relaxed, draws)));
    for (u32 k = 0; k < reactions; k++)
        ret->ratio[k] = kir_mul(b, ret->ratio[k], inverse);
}

/* ---- observations ------------------------------------------------------------------------------ */

/* Σ over columns of weight · ∇column: what an observation gives to the state; 0 where zero. */
static void
observed_slopes(Relaxed *relaxed, u32 m, KirValue *ret_slope)
{
    Tape *tape = relaxed->tape;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    Network *network = frame->network;
    u32 species = network->species_count;
    memset(ret_slope, 0, species * sizeof *ret_slope);
    for (u32 c = 0; c < tape->recorder.columns.count; c++) {
        KirValue weight = rxn__tape_weight(tape, m, c);
        for (u32 s = 0; s < species; s++) {
            Expr slope = kept_slope(tape, c, s);
            if (rxn__expr_is_zero(network, slope))
                continue;
            KirValue value = rxn__lower_as(&frame->lower, slope, KIR_F64);
            ret_slope[s] =
                ret_slope[s] ? kir_fma(b, weight, value, ret_slope[s]) : kir_mul(b, weight, value);
        }
    }
}

/* w · ν_j of the reaction chosen. */
static KirValue
gap_along(Relaxed *relaxed, const Choice *choice, const KirValue *slope)
{
    SsaFrame *frame = relaxed->tape->frame;
    KirBuilder *b = frame->builder;
    KirValue gap = f64(relaxed, 0);
    for (u32 j = 0; j < frame->network->reaction_count; j++) {
        KirValue along = 0;
        for (u32 k = 0; k < relaxed->pathwise.change_counts[j]; k++) {
            Change change = relaxed->pathwise.changes[j][k];
            KirValue w = slope[change.species];
            if (!w)
                continue;
            KirValue term = kir_mul(b, w, f64(relaxed, change.delta));
            along = along ? kir_add(b, along, term) : term;
        }
        if (along)
            gap = kir_select(b, choice->chosen[j], along, gap);
    }
    return gap;
}

/* All observations inside the step, the latest first. */
static void
observe(Relaxed *relaxed, const TapeStep *step, const Choice *choice)
{
    Tape *tape = relaxed->tape;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    u32 species = frame->network->species_count, integrals = tape->recorder.integrals.count;
    KirValue *slope = NEW_ARRAY(frame->arena, KirValue, species + 1);
    rxn__kir_loop(b);
    KirValue time = get(relaxed, tape->observation_time);
    rxn__kir_if(b, kir_not(b, kir_gt(b, time, step->start)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__tape_bind(tape, step);
    frame->lower.time = time;
    KirValue passed = kir_sub(b, time, step->start);
    KirValue share = kir_div(b, passed, choice->wait);
    KirValue rest = kir_sub(b, f64(relaxed, 1), share);
    for (u32 m = 0; m < tape->sets; m++) {
        observed_slopes(relaxed, m, slope);
        for (u32 s = 0; s < species; s++) {
            if (slope[s]) /* the state behind is the one before plus the change */
                add_to(relaxed, relaxed->adjoint[m * species + s], slope[s]);
            add_product_to(relaxed, relaxed->behind[m * species + s], share, slope[s]);
        }
        KirValue speed = kir_neg(b, kir_div(b, gap_along(relaxed, choice, slope), choice->wait));
        add_to(relaxed, relaxed->time[m], kir_mul(b, rest, speed));
        add_to(relaxed, relaxed->next_time[m], kir_mul(b, share, speed));
        for (u32 k = 0; k < integrals; k++) {
            KirValue weight = rxn__tape_weight(tape, m, tape->recorder.columns.count + k);
            add_to(relaxed, relaxed->weight[m * integrals + k], weight);
            add_to(relaxed, relaxed->area[m * integrals + k], kir_mul(b, weight, passed));
        }
    }
    rxn__lower_forget(&frame->lower);
    frame->lower.time = 0;
    rxn__tape_observed(tape);
    rxn__kir_close(b);
}

/* ---- a step ------------------------------------------------------------------------------------ */

/* Before the observations: what is in force behind the step. Where a stop cut the wait the state goes on unchanged and the time
 * is a given one. */
static void
begin_step(Relaxed *relaxed, const TapeStep *step, KirValue cut)
{
    Tape *tape = relaxed->tape;
    KirBuilder *b = tape->frame->builder;
    u32 species = tape->frame->network->species_count;
    u32 integrals = tape->recorder.integrals.count;
    KirValue zero = f64(relaxed, 0), span = kir_sub(b, step->end, step->start);
    rxn__kir_set(b, relaxed->wait, 0, span);
    rxn__kir_set(b, relaxed->code, 0, step->code);
    for (u32 m = 0; m < tape->sets; m++) {
        for (u32 s = 0; s < species; s++)
            if (relaxed->observed[s])
                set(relaxed, relaxed->behind[m * species + s],
                    kir_select(b, cut, zero, get(relaxed, relaxed->adjoint[m * species + s])));
        set(relaxed, relaxed->next_time[m],
            kir_select(b, cut, zero, get(relaxed, relaxed->time[m])));
        set(relaxed, relaxed->time[m], zero);
        for (u32 k = 0; k < integrals; k++) {
            KirValue weight = get(relaxed, relaxed->weight[m * integrals + k]);
            set(relaxed, relaxed->weight_end[m * integrals + k], kir_select(b, cut, zero, weight));
            set(relaxed, relaxed->area[m * integrals + k], kir_mul(b, weight, span));
        }
    }
}

/* What few steps need: the event that a stop cut off, and observations. It stands in front of the rest of a step, which then has
 * nothing to keep across it. */
static void
begin_rare(Relaxed *relaxed, const TapeStep *step, KirValue cut)
{
    SsaFrame *frame = relaxed->tape->frame;
    KirBuilder *b = frame->builder;
    KirValue time = get(relaxed, relaxed->tape->observation_time);
    Choice choice;
    rxn__kir_if(b, kir_or(b, cut, kir_gt(b, time, step->start)));
    rxn__kir_if(b, cut);
    rxn__tape_bind(relaxed->tape, step);
    find_rates(relaxed, &choice);
    draw_again(relaxed, step, &choice);
    rxn__kir_close(b);
    read_event(relaxed, &choice);
    observe(relaxed, step, &choice);
    rxn__kir_close(b);
}

/* The integrals' share: ∇g over the step, g at the times of its ends. */
static void
integrate(Relaxed *relaxed, u32 m)
{
    Tape *tape = relaxed->tape;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    Network *network = frame->network;
    u32 species = network->species_count, integrals = tape->recorder.integrals.count;
    for (u32 k = 0; k < integrals; k++) {
        Expr integrand = tape->recorder.integrals.items[k].slope;
        KirValue value = rxn__lower_as(&frame->lower, integrand, KIR_F64);
        KirValue area = get(relaxed, relaxed->area[m * integrals + k]);
        for (u32 s = 0; s < species; s++) {
            Expr slope = kept_slope(tape, tape->recorder.columns.count + k, s);
            if (!rxn__expr_is_zero(network, slope))
                add_product_to(relaxed, relaxed->adjoint[m * species + s], area,
                               rxn__lower_as(&frame->lower, slope, KIR_F64));
        }
        add_product_to(relaxed, relaxed->next_time[m],
                       get(relaxed, relaxed->weight_end[m * integrals + k]), value);
        add_product_to(relaxed, relaxed->time[m],
                       kir_neg(b, get(relaxed, relaxed->weight[m * integrals + k])), value);
    }
}

/* h_j = λ · ν_j of the state behind; 0 where zero. */
static KirValue
worth(Relaxed *relaxed, const KirValue *lambda, u32 j)
{
    KirBuilder *b = relaxed->tape->frame->builder;
    KirValue h = 0;
    for (u32 k = 0; k < relaxed->pathwise.change_counts[j]; k++) {
        Change change = relaxed->pathwise.changes[j][k];
        KirValue term = lambda[change.species];
        i32 delta = change.delta;
        if (delta != 1 && delta != -1) {
            term = kir_mul(b, term, f64(relaxed, delta));
            delta = 1;
        }
        h = !h          ? (delta < 0 ? kir_neg(b, term) : term)
            : delta < 0 ? kir_sub(b, h, term)
                        : kir_add(b, h, term);
    }
    return h;
}

/* late + G_j/a_j, Σ over the draws, of one set: what a_j gets. h: λ · ν_j over a0. In f64: so it is linear in the adjoint to the
 * last digits. */
static void
weigh_shares(Relaxed *relaxed, const KirValue *h, const Shares *shares, u32 draws, KirValue late,
             KirValue *ret)
{
    SsaFrame *frame = relaxed->tape->frame;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count;
    for (u32 draw = 0; draw < draws; draw++) {
        KirValue mean = f64(relaxed, 0);
        for (u32 j = 0; j < reactions; j++)
            if (h[j])
                mean = kir_fma(b, kir_cast(b, KIR_F64, shares[draw].share[j]), h[j], mean);
        mean = kir_mul(b, mean, shares[draw].inverse);
        for (u32 j = 0; j < reactions; j++) {
            KirValue above = h[j] ? kir_sub(b, h[j], mean) : kir_neg(b, mean);
            KirValue ratio = kir_cast(b, KIR_F64, shares[draw].ratio[j]);
            ret[j] = kir_fma(b, above, ratio, draw ? ret[j] : late);
        }
    }
}

/* The same of shares a_j/a0, without noise. */
static void
weigh_propensities(Relaxed *relaxed, const KirValue *h, const Choice *choice, KirValue late,
                   KirValue *ret)
{
    SsaFrame *frame = relaxed->tape->frame;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count;
    KirValue zero = f64(relaxed, 0), mean = zero;
    for (u32 j = 0; j < reactions; j++)
        if (h[j])
            mean = kir_fma(b, kir_mul(b, choice->rate[j], choice->unit), h[j], mean);
    for (u32 j = 0; j < reactions; j++) {
        KirValue above = h[j] ? kir_sub(b, h[j], mean) : kir_neg(b, mean);
        above = kir_select(b, kir_gt(b, choice->rate[j], zero), above, zero);
        ret[j] = kir_add(b, above, late);
    }
}

/* The adjoints of the propensities of one set, and what becomes of them. shares: per draw. */
static void
pull_back(Relaxed *relaxed, u32 m, KirValue cut, const Choice *choice, const Shares *shares,
          u32 draws)
{
    Tape *tape = relaxed->tape;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    u32 species = network->species_count, reactions = network->reaction_count;
    u32 leaves = relaxed->row.leaves;
    KirValue *lambda = NEW_ARRAY(frame->arena, KirValue, species + 1);
    KirValue *h = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    KirValue *weighed = NEW_ARRAY(frame->arena, KirValue, reactions + 1);
    KirValue unit = kir_select(b, cut, f64(relaxed, 0), choice->unit);
    for (u32 s = 0; s < species; s++) /* no shares where a0 is zero */
        lambda[s] = relaxed->observed[s]
                        ? kir_mul(b, get(relaxed, relaxed->behind[m * species + s]), choice->unit)
                        : kir_mul(b, get(relaxed, relaxed->adjoint[m * species + s]), unit);
    for (u32 j = 0; j < reactions; j++)
        h[j] = worth(relaxed, lambda, j);
    KirValue late =
        kir_mul(b, kir_mul(b, get(relaxed, relaxed->next_time[m]), choice->wait), choice->unit);
    late = kir_neg(b, kir_select(b, choice->some, late, f64(relaxed, 0)));
    if (relaxed->noisy)
        weigh_shares(relaxed, h, shares, draws, late, weighed);
    else
        weigh_propensities(relaxed, h, choice, late, weighed);
    for (u32 j = 0; j < reactions; j++) {
        KirValue adjoint = weighed[j]; /* zero where a0 is */
        for (u32 s = 0; s < species; s++)
            add_product_to(relaxed, relaxed->adjoint[m * species + s], adjoint,
                           relaxed->pathwise.slope[(size_t)j * species + s]);
        for (u32 p = 0; p < leaves; p++) {
            Expr source = relaxed->pathwise.source[(size_t)j * leaves + p];
            if (!rxn__expr_is_zero(network, source))
                add_product_to(relaxed, relaxed->gradient[m * leaves + p], adjoint,
                               rxn__lower_as(&frame->lower, source, KIR_F64));
        }
    }
    /* t_{n+1} = t_n + d. */
    add_to(relaxed, relaxed->time[m], get(relaxed, relaxed->next_time[m]));
}

/* The largest |λ|, of one step in so many: what it is for, to see that it explodes, asks for no more. */
static void
look_at_size(Relaxed *relaxed, const TapeStep *step)
{
    enum { SIZING = 16 };
    Tape *tape = relaxed->tape;
    KirBuilder *b = tape->frame->builder;
    KirValue turn =
        kir_and(b, low_word(relaxed, step->number), rxn__kir_const(b, KIR_U32, SIZING - 1));
    rxn__kir_if(b, kir_eq(b, turn, rxn__kir_const(b, KIR_U32, 0)));
    KirValue largest = get(relaxed, relaxed->largest);
    for (u32 k = 0; k < tape->sets * tape->frame->network->species_count; k++)
        largest = kir_max(b, largest, kir_abs(b, get(relaxed, relaxed->adjoint[k])));
    set(relaxed, relaxed->largest, largest);
    rxn__kir_close(b);
}

static void
backward(Tape *tape, void *context, const TapeStep *step)
{
    Relaxed *relaxed = context;
    SsaFrame *frame = tape->frame;
    u32 reactions = frame->network->reaction_count;
    u32 draws = relaxed->noisy ? relaxed->request->draws : 1;
    KirValue cut = rxn__tape_fired(tape, step, reactions, reactions);
    begin_step(relaxed, step, cut);
    begin_rare(relaxed, step, cut);
    rxn__tape_bind(tape, step);
    rxn__pathwise_rates(&relaxed->pathwise);
    Choice choice;
    find_rates(relaxed, &choice);
    read_event(relaxed, &choice);
    for (u32 m = 0; m < tape->sets; m++)
        integrate(relaxed, m);
    Shares *shares = NEW_ARRAY(frame->arena, Shares, draws);
    for (u32 draw = 0; relaxed->noisy && draw < draws; draw++)
        relax(relaxed, step, &choice, draw, draws, &shares[draw]);
    for (u32 m = 0; m < tape->sets && reactions; m++)
        pull_back(relaxed, m, cut, &choice, shares, draws);
    look_at_size(relaxed, step);
    rxn__lower_forget(&frame->lower);
}

static void
finish(Tape *tape, void *context)
{
    Relaxed *relaxed = context;
    KirBuilder *b = tape->frame->builder;
    u32 leaves = relaxed->row.leaves;
    for (u32 m = 0; m < tape->sets; m++)
        for (u32 p = 0; p < leaves; p++)
            rxn__row_store(tape->frame, rxn__row_direct(&tape->row, m, p),
                           get(relaxed, relaxed->gradient[m * leaves + p]));
    rxn__row_store(tape->frame, rxn__row_diagnostic(&tape->row, 0), get(relaxed, relaxed->largest));
    if (!relaxed->noisy)
        return;
    KirValue steps = kir_max(b, get(relaxed, relaxed->steps), f64(relaxed, 1));
    rxn__row_store(tape->frame, rxn__row_diagnostic(&tape->row, 1),
                   kir_div(b, get(relaxed, relaxed->saturated), steps));
}

/* ---- the estimators ---------------------------------------------------------------------------- */

static bool
applies(const GradientRequest *request, Text *ret_reason)
{
    if (request->network->events.count) {
        rxn__text_printf(ret_reason,
                         "it does not differentiate through events; path does through 'at' "
                         "and 'every', score, gk and martingale through all");
        return false;
    }
    return rxn__pathwise_applies(request, ret_reason) && rxn__tape_applies(request, ret_reason);
}

static const char *
write_relaxed(const GradientRequest *request, bool noisy, Arena *arena, NameTable *names,
              GradientKernel *ret_kernel)
{
    const Objective *objective = request->network->objective;
    Relaxed relaxed = {.request = request, .noisy = noisy};
    relaxed.row = (GradientRow){
        .functionals = objective->functionals.count,
        .outputs = objective->outputs.count,
        .leaves = request->wrt_count,
        .has_direct = true,
        .by_output = rxn__tape_by_output(request, arena),
        .diagnostic_count = noisy ? 2 : 1,
        .diagnostics = {{"largest |lambda|", SUMMARY_MAX}, {"saturated fraction", SUMMARY_MEAN}},
    };
    TapeMethod method = {.context = &relaxed,
                         .declare = declare,
                         .seed = seed,
                         .backward = backward,
                         .finish = finish};
    ret_kernel->row = relaxed.row;
    ret_kernel->leaves = rxn__gradient_param_leaves(request, arena);
    ret_kernel->unbiased = false;
    ret_kernel->remarks = "biased: the choice of the reaction is relaxed";
    return rxn__tape_write(request, &method, &ret_kernel->row, arena, names, &ret_kernel->kernel);
}

static const char *
write_gumbel(const GradientRequest *request, Arena *arena, NameTable *names,
             GradientKernel *ret_kernel)
{
    return write_relaxed(request, true, arena, names, ret_kernel);
}

static const char *
write_propensity(const GradientRequest *request, Arena *arena, NameTable *names,
                 GradientKernel *ret_kernel)
{
    return write_relaxed(request, false, arena, names, ret_kernel);
}

const Estimator rxn__estimator_gumbel = {
    .name = "gumbel",
    .summary = "straight-through Gumbel-softmax: biased, options --tau and --draws",
    .applies = applies,
    .write = write_gumbel,
};

const Estimator rxn__estimator_propensity = {
    .name = "propensity",
    .summary = "straight-through with the propensities' shares, without noise: biased",
    .applies = applies,
    .write = write_propensity,
};
