/* grad_score.c: the score (likelihood ratio) estimator: (F - b) S. Unbiased for every functional, also one
 * that jumps; its variance grows with the number of events.
 */
#include "compiler/method/grad_score.h"
#include "compiler/method/grad_family.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the score --------------------------------------------------------------------------------- */

Expr
rxn__score_derivative(const Score *score, u32 reaction, u32 leaf)
{
    return score->derivatives[(size_t)reaction * score->request->wrt_count + leaf];
}

/* The constant of mass action, if it is one: free of time; 0: it is not. */
static Expr
constant_of(Network *network, const Reaction *reaction, u32 member)
{
    if (!reaction->mass_action)
        return 0;
    u32 count = reaction->variable_count;
    i64 values[RXN_MAX_RANK];
    Expr numbers[RXN_MAX_RANK];
    rxn__reaction_variables(network, reaction, member, values);
    for (u32 k = 0; k < count; k++)
        numbers[k] = rxn__expr_number(network, (double)values[k]);
    Expr rate = rxn__expr_substitute(network, reaction->rate, count, reaction->variables, numbers);
    ExprUses uses = rxn__expr_uses(network, rate);
    return uses.time || uses.window ? 0 : rate;
}

/* d log a / dp of mass action is that of its constant: no division in the step. */
static Expr
derivative_of_log(Network *network, Expr rate, u32 param)
{
    if (!rate)
        return 0;
    Expr derivative = rxn__expr_derivative(network, rate, EXPR_PARAM, param);
    return rxn__expr_is_zero(network, derivative)
               ? derivative
               : expr_binary(network, EXPR_DIV, derivative, rate);
}

void
rxn__score_declare(Score *score, SsaFrame *frame, const GradientRequest *request)
{
    Network *network = frame->network;
    u32 leaves = request->wrt_count;
    size_t pairs = (size_t)network->reaction_count * leaves;
    *score = (Score){.frame = frame,
                     .request = request,
                     .sums = NEW_ARRAY(frame->arena, TimeIntegral, leaves + 1),
                     .derivatives = NEW_ARRAY(frame->arena, Expr, pairs + 1),
                     .logs = NEW_ARRAY(frame->arena, Expr, pairs + 1),
                     .constants = NEW_ARRAY(frame->arena, Expr, network->reaction_count + 1),
                     .blind = rxn__kir_local(frame->builder, "blind", KIR_BOOL, 0)};
    for (u32 j = 0; j < network->reaction_count; j++) {
        u32 member;
        Reaction reaction = *rxn__reaction_of_flat(network, j, &member);
        score->constants[j] = constant_of(network, &reaction, member);
    }
    for (u32 p = 0; p < leaves; p++) {
        Expr total = 0;
        for (u32 j = 0; j < network->reaction_count; j++) {
            u32 member;
            Reaction reaction = *rxn__reaction_of_flat(network, j, &member);
            Expr propensity = rxn__reaction_member_propensity(network, &reaction, member);
            Expr derivative =
                rxn__expr_derivative(network, propensity, EXPR_PARAM, request->wrt[p]);
            size_t place = (size_t)j * leaves + p;
            score->derivatives[place] = derivative;
            if (rxn__expr_is_zero(network, derivative))
                continue;
            score->logs[place] = derivative_of_log(network, score->constants[j], request->wrt[p]);
            total = total ? expr_binary(network, EXPR_ADD, total, derivative) : derivative;
        }
        char name[32];
        snprintf(name, sizeof name, "score%u", p);
        score->sums[p].slope = total ? expr_unary(network, EXPR_NEG, total) : 0;
        rxn__time_integral_declare(frame, &score->sums[p], INTEGRAL_SCORE, name);
    }
}

/* value = 0, and one of the derivatives of reaction j that are not by way of a logarithm (or, with_logs, that are) is
 * not. Returns 0 where there is none. */
static KirValue
is_blind(Score *score, u32 j, KirValue value, bool with_logs)
{
    SsaFrame *frame = score->frame;
    KirBuilder *b = frame->builder;
    Network *network = frame->network;
    KirValue zero = rxn__kir_const(b, KIR_F64, 0), any = 0;
    for (u32 p = 0; p < score->request->wrt_count; p++) {
        size_t place = (size_t)j * score->request->wrt_count + p;
        Expr derivative = score->derivatives[place];
        if (rxn__expr_is_zero(network, derivative) || with_logs != (score->logs[place] != 0))
            continue;
        if (with_logs)
            derivative = rxn__expr_derivative(network, score->constants[j], EXPR_PARAM,
                                              score->request->wrt[p]);
        /* No number is no slope: at the end of a trajectory time is -inf. */
        KirValue size = kir_abs(b, rxn__lower_as(&frame->lower, derivative, KIR_F64));
        KirValue slope = kir_gt(b, size, zero);
        any = any ? kir_or(b, any, slope) : slope;
    }
    return any ? kir_and(b, any, kir_eq(b, kir_cast(b, KIR_F64, value), zero)) : 0;
}

/* Constants of mass action are looked at once, in the end; other laws in every state. */
static void
look_for_blindness(Score *score)
{
    SsaFrame *frame = score->frame;
    KirBuilder *b = frame->builder;
    if (frame->has_breakpoints)
        frame->lower.time_middle = rxn__kir_get(b, frame->middle, 0);
    bool timed = frame->network->traits.time_dependent;
    if (timed) {
        rxn__lower_forget(&frame->lower);
        /* as the propensities are */
        frame->lower.time = kir_min(b, rxn__kir_get(b, frame->arrival, 0), rxn__ssa_stop(frame));
    }
    KirValue blind = rxn__kir_get(b, score->blind, 0), before = blind;
    for (u32 j = 0; j < frame->network->reaction_count; j++) {
        KirValue here = is_blind(score, j, score->rates[j], false);
        blind = here ? kir_or(b, blind, here) : blind;
    }
    if (blind != before)
        rxn__kir_set(b, score->blind, 0, blind);
    if (timed) {
        rxn__lower_forget(&frame->lower);
        frame->lower.time = 0;
    }
}

KirValue
rxn__score_blind(Score *score)
{
    SsaFrame *frame = score->frame;
    KirBuilder *b = frame->builder;
    KirValue blind = rxn__kir_get(b, score->blind, 0);
    for (u32 j = 0; j < frame->network->reaction_count; j++) {
        if (!score->constants[j])
            continue;
        KirValue constant = rxn__lower_as(&frame->lower, score->constants[j], KIR_F64);
        KirValue here = is_blind(score, j, constant, true);
        blind = here ? kir_or(b, blind, here) : blind;
    }
    return kir_select(b, blind, rxn__kir_const(b, KIR_F64, 1), rxn__kir_const(b, KIR_F64, 0));
}

void
rxn__score_rates(Score *score, const KirValue *propensities, KirValue span)
{
    u32 count = score->frame->network->reaction_count;
    score->rates = NEW_ARRAY(score->frame->arena, KirValue, count + 1);
    memcpy(score->rates, propensities, count * sizeof *propensities);
    look_for_blindness(score);
    for (u32 p = 0; p < score->request->wrt_count; p++)
        rxn__time_integral_rates(score->frame, &score->sums[p], span);
}

KirValue
rxn__score_at(Score *score, u32 leaf, KirValue time)
{
    return rxn__time_integral_at(score->frame, &score->sums[leaf], time);
}

/* What a firing of each reaction adds for one leaf; 0: nothing ever. */
static KirValue
jump_of(Score *score, u32 leaf, const KirValue *below, KirValue inverse)
{
    SsaFrame *frame = score->frame;
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    KirValue zero = rxn__kir_const(b, KIR_F64, 0);
    KirValue by_log = 0, by_rate = 0;
    for (u32 j = 0; j < network->reaction_count; j++) {
        size_t place = (size_t)j * score->request->wrt_count + leaf;
        if (rxn__expr_is_zero(network, score->derivatives[place]))
            continue;
        KirValue fires = rxn__ssa_fires(frame, below, j);
        Expr chosen = score->logs[place] ? score->logs[place] : score->derivatives[place];
        KirValue value = rxn__lower_as(&frame->lower, chosen, KIR_F64);
        KirValue *sum = score->logs[place] ? &by_log : &by_rate;
        *sum = kir_select(b, fires, value, *sum ? *sum : zero);
    }
    if (by_rate)
        by_rate = kir_mul(b, by_rate, inverse);
    if (by_rate && by_log)
        return kir_add(b, by_rate, by_log);
    return by_rate ? by_rate : by_log;
}

void
rxn__score_elapse(Score *score, const KirValue *below)
{
    SsaFrame *frame = score->frame;
    KirBuilder *b = frame->builder;
    u32 count = frame->network->reaction_count;
    KirValue fired = rxn__ssa_real(frame, 1);
    for (u32 j = 0; j < count; j++)
        fired = kir_select(b, rxn__ssa_fires(frame, below, j), score->rates[j], fired);
    KirValue inverse = kir_div(b, rxn__kir_const(b, KIR_F64, 1), kir_cast(b, KIR_F64, fired));
    /* Rates that read time do so at the firing. */
    if (frame->has_breakpoints)
        frame->lower.time_middle = rxn__kir_get(b, frame->middle, 0);
    frame->lower.time = rxn__kir_get(b, frame->arrival, 0);
    for (u32 p = 0; p < score->request->wrt_count; p++)
        rxn__time_integral_elapse(frame, &score->sums[p], jump_of(score, p, below, inverse));
    rxn__lower_forget(&frame->lower);
    frame->lower.time = 0;
}

/* ---- the estimator ----------------------------------------------------------------------------- */

typedef struct ScoreKernel {
    const GradientRequest *request;
    GradientRow row;
    const Objective *objective; /* with what explicit derivatives read */
    Expr *partial;              /* see rxn__gradient_explicit */
    Recorder recorder;
    Score score;
    u32 kept;      /* local f64[times * leaves] */
    u32 *snapshot; /* per passage * leaves: the score at that time */
} ScoreKernel;

static void
declare(SsaFrame *frame, void *context)
{
    ScoreKernel *kernel = context;
    const Objective *objective = kernel->objective;
    u32 leaves = kernel->request->wrt_count;
    rxn__recorder_declare(&kernel->recorder, frame, objective, "");
    rxn__score_declare(&kernel->score, frame, kernel->request);
    if (objective->times.count > 0 && leaves > 0)
        kernel->kept =
            rxn__kir_local(frame->builder, "kept_score", KIR_F64, objective->times.count * leaves);
    u32 passages = kernel->recorder.passages.count;
    kernel->snapshot = NEW_ARRAY(frame->arena, u32, passages * leaves + 1);
    for (u32 k = 0; k < passages * leaves; k++) {
        char name[32];
        snprintf(name, sizeof name, "snapshot%u", k);
        kernel->snapshot[k] = rxn__kir_local(frame->builder, name, KIR_F64, 0);
    }
}

static void
start(SsaFrame *frame, void *context)
{
    ScoreKernel *kernel = context;
    (void)frame;
    rxn__recorder_start(&kernel->recorder);
}

/* Until the condition holds, the snapshot follows the score. */
static void
take_snapshots(SsaFrame *frame, ScoreKernel *kernel)
{
    KirBuilder *b = frame->builder;
    u32 leaves = kernel->request->wrt_count;
    for (u32 k = 0; k < kernel->recorder.passages.count; k++) {
        KirValue when = rxn__kir_get(b, kernel->recorder.passages.items[k].local, 0);
        KirValue waits = kir_eq(b, when, rxn__kir_const(b, KIR_F64, INFINITY));
        for (u32 p = 0; p < leaves; p++) {
            u32 local = kernel->snapshot[k * leaves + p];
            KirValue score = rxn__kir_get(b, kernel->score.sums[p].local, 0);
            rxn__kir_set(b, local, 0, kir_select(b, waits, score, rxn__kir_get(b, local, 0)));
        }
    }
}

static void
rates(SsaFrame *frame, void *context, const KirValue *propensities, KirValue span)
{
    ScoreKernel *kernel = context;
    take_snapshots(frame, kernel);
    rxn__recorder_rates(&kernel->recorder, span);
    rxn__score_rates(&kernel->score, propensities, span);
}

static void
record(SsaFrame *frame, void *context, KirValue row, KirValue time)
{
    ScoreKernel *kernel = context;
    KirBuilder *b = frame->builder;
    u32 leaves = kernel->request->wrt_count;
    rxn__recorder_record(&kernel->recorder, row, time);
    KirValue first = kir_mul(b, row, rxn__kir_const(b, KIR_I32, leaves));
    for (u32 p = 0; p < leaves; p++)
        rxn__kir_set(b, kernel->kept, kir_add(b, first, rxn__kir_const(b, KIR_I32, p)),
                     rxn__score_at(&kernel->score, p, time));
}

static void
elapse(SsaFrame *frame, void *context, const KirValue *below)
{
    ScoreKernel *kernel = context;
    (void)frame;
    rxn__recorder_elapse(&kernel->recorder);
    rxn__score_elapse(&kernel->score, below);
}

/* The score up to what the functional reads: at its last time, or, if all that it reads is a first-passage
 * time, there. */
static KirValue
score_of(SsaFrame *frame, ScoreKernel *kernel, const Functional *functional, u32 leaf)
{
    KirBuilder *b = frame->builder;
    const Objective *objective = kernel->objective;
    u32 leaves = kernel->request->wrt_count;
    u32 place = rxn__objective_row(objective, functional->last) * leaves + leaf;
    KirValue score = rxn__kir_get(b, kernel->kept, rxn__kir_const(b, KIR_I32, place));
    const ExprNode *node = expr_node(frame->network, functional->value);
    if (node->op != EXPR_QUANTITY || objective->atoms.items[node->object].kind != ATOM_PASSAGE)
        return score;
    const Atom *atom = &objective->atoms.items[node->object];
    u32 passage = 0;
    while (kernel->recorder.passages.items[passage].condition != atom->value)
        passage++;
    KirValue when = rxn__kir_get(b, kernel->recorder.passages.items[passage].local, 0);
    KirValue passed = kir_le(b, when, rxn__kir_const(b, KIR_F64, atom->to));
    KirValue then = rxn__kir_get(b, kernel->snapshot[passage * leaves + leaf], 0);
    return kir_select(b, passed, then, score);
}

static void
finish(SsaFrame *frame, void *context)
{
    ScoreKernel *kernel = context;
    const Objective *objective = frame->network->objective;
    const GradientRow *row = &kernel->row;
    rxn__recorder_finish(&kernel->recorder);
    rxn__row_store(frame, rxn__row_diagnostic(row, 0), rxn__score_blind(&kernel->score));
    for (u32 i = 0; i < objective->functionals.count; i++) {
        const Functional *functional = &objective->functionals.items[i];
        rxn__row_store(frame, rxn__row_value(row, i),
                       rxn__recorder_functional(&kernel->recorder, i));
        for (u32 p = 0; p < row->leaves; p++) {
            rxn__row_store(frame, rxn__row_score(row, i, p),
                           score_of(frame, kernel, functional, p));
            if (!row->has_direct)
                continue;
            rxn__row_store(
                frame, rxn__row_direct(row, i, p),
                rxn__recorder_value(&kernel->recorder, kernel->partial[i * row->leaves + p]));
        }
    }
}

static bool
applies(const GradientRequest *request, Text *ret_reason)
{
    return rxn__family_form(request, ret_reason) != GRADIENT_FORM_AUTO;
}

static const char *
write_kernel(const GradientRequest *request, Arena *arena, NameTable *names,
             GradientKernel *ret_kernel)
{
    Network *network = request->network;
    Text ignored;
    rxn__text_init(&ignored, arena);
    if (rxn__family_form(request, &ignored) == GRADIENT_FORM_TABLE)
        return rxn__family_score_write(request, arena, names, ret_kernel);
    ScoreKernel kernel = {.request = request, .objective = network->objective};
    const Objective *extended = rxn__gradient_explicit(request, arena, &kernel.partial);
    if (extended)
        kernel.objective = extended;
    kernel.row = (GradientRow){
        .functionals = network->objective->functionals.count,
        .outputs = network->objective->outputs.count,
        .leaves = request->wrt_count,
        .has_score = true,
        .has_direct = extended != NULL,
        .diagnostic_count = 1,
        .diagnostics = {{SCORE_BLIND, SUMMARY_MEAN}},
    };
    SsaExtension extension = {.context = &kernel,
                              .declare = declare,
                              .start = start,
                              .rates = rates,
                              .record = record,
                              .elapse = elapse,
                              .finish = finish};
    ret_kernel->unbiased = true;
    return rxn__gradient_write(request, &kernel.row, &extension, arena, names, ret_kernel);
}

const Estimator rxn__estimator_score = {
    .name = "score",
    .summary = "likelihood ratio: unbiased for every functional, large variance",
    .applies = applies,
    .write = write_kernel,
};
