/* grad_family_score.c: the score (likelihood ratio) estimator over tables, for networks of families that are too
 * large to be unrolled. What is estimated, and why, is in grad_score.h.
 *
 * S_l = Σ over firings of d log a_j / dl - Σ_j ∫ d a_j / dl dt. An event changes few propensities, so the integral of
 * reaction j is brought up to date only when a_j is about to change: since[j] is until when it has been. At a
 * sample time the rest is added for all reactions, to what is kept alone. Nothing is summed that would be
 * taken away again, so nothing drifts.
 *
 * Every state that lasts is met there, so that is where the score is found to be blind: a propensity was zero for
 * some time, and a derivative of it was not.
 */
#include "compiler/method/grad_family.h"
#include "compiler/method/grad_record.h"
#include "compiler/method/grad_score.h"

#include <math.h>

typedef struct FamilyScore {
    Families families;
    GradientRow row;
    const Objective *objective; /* with what explicit derivatives read */
    Expr *partial; /* [functional * explicit + k]: see rxn__gradient_explicit; or NULL */
    Recorder recorder;
    u32 score;    /* f64[leaves] */
    u32 since;    /* f64[reactions] */
    u32 kept;     /* f64[times * leaves]: the score at sample times */
    u32 snapshot; /* f64[passages * leaves]: the score when a condition held first */
    u32 unseen;   /* f64[leaves]: not 0 where a zero propensity has had a derivative */
} FamilyScore;

static KirValue
i32v(SsaFrame *frame, double value)
{
    return rxn__kir_const(frame->builder, KIR_I32, value);
}

static void
declare(SsaFrame *frame, void *context)
{
    FamilyScore *score = context;
    KirBuilder *b = frame->builder;
    u32 leaves = score->families.leaves;
    score->families.frame = frame;
    rxn__recorder_declare(&score->recorder, frame, score->objective, "");
    u32 passages = score->recorder.passages.count;
    score->score = rxn__kir_local(b, "score", KIR_F64, leaves + !leaves);
    score->since = rxn__kir_local(b, "since", KIR_F64, frame->network->reaction_count + 1);
    score->kept =
        rxn__kir_local(b, "kept_score", KIR_F64, score->objective->times.count * leaves + 1);
    score->unseen = rxn__kir_local(b, "unseen", KIR_F64, leaves + !leaves);
    if (passages)
        score->snapshot = rxn__kir_local(b, "snapshot", KIR_F64, passages * leaves + 1);
}

static void
start(SsaFrame *frame, void *context)
{
    FamilyScore *score = context;
    (void)frame;
    rxn__recorder_start(&score->recorder);
}

/* ---- the integrals ----------------------------------------------------------------------------- */

/* to[base + leaf] -= ∫ over since … time of d a0 / d leaf, for one family or one member of it. */
typedef struct Flush {
    FamilyScore *score;
    const FamilyLaw *law;
    u32 to;
    KirValue base; /* or 0 */
    KirValue time;
    bool moves; /* since = time */
} Flush;

/* For the member that is bound: sums up what no trajectory shows (see grad_score.h). The propensity in the table is
 * that of the law and the state only while it lasts: behind a `when` it may be the one before. */
static void
look_for_blindness(const Flush *flush, KirValue flat, KirValue since)
{
    const Families *families = &flush->score->families;
    SsaFrame *frame = families->frame;
    KirBuilder *b = frame->builder;
    KirValue propensity = rxn__ssa_table_propensity(frame, flat);
    KirValue zero = kir_eq(b, propensity, rxn__ssa_real(frame, 0));
    u32 mark = rxn__lower_mark(&frame->lower);
    rxn__kir_if(b, kir_and(b, zero, kir_lt(b, since, flush->time)));
    FamilySum sum = {flush->score->unseen, 0, rxn__kir_const(b, KIR_F64, 1), true};
    rxn__family_add_all(families, &flush->law->leaves, &sum);
    rxn__kir_close(b);
    rxn__lower_forget_since(&frame->lower, mark);
}

static void
flush_member(SsaFrame *frame, void *context)
{
    const Flush *flush = context;
    KirBuilder *b = frame->builder;
    KirValue flat = rxn__ssa_reaction_flat(frame, &flush->law->reaction);
    KirValue since = rxn__kir_get(b, flush->score->since, flat);
    look_for_blindness(flush, flat, since);
    FamilySum sum = {flush->to, flush->base, kir_sub(b, since, flush->time), false};
    rxn__family_add_all(&flush->score->families, &flush->law->leaves, &sum);
    if (flush->moves)
        rxn__kir_set(b, flush->score->since, flat, flush->time);
}

static void
flush_all(Flush *flush)
{
    const Families *families = &flush->score->families;
    SsaFrame *frame = families->frame;
    if (frame->has_breakpoints)
        frame->lower.time_middle = rxn__kir_get(frame->builder, frame->middle, 0);
    for (u32 k = 0; k < families->law_count; k++) {
        flush->law = &families->laws[k];
        MemberVisit visit = {flush_member, flush};
        if (flush->law->leaves.count)
            rxn__family_each(families, flush->law, &visit);
    }
}

/* The score at a time of this step goes to `local` from `first` on. */
static void
copy_score(FamilyScore *score, u32 local, KirValue first, KirValue time)
{
    SsaFrame *frame = score->families.frame;
    KirBuilder *b = frame->builder;
    KirValue l = rxn__kir_for(b, i32v(frame, 0), i32v(frame, score->families.leaves));
    rxn__kir_set(b, local, kir_add(b, first, l), rxn__kir_get(b, score->score, l));
    rxn__kir_close(b);
    Flush flush = {.score = score, .to = local, .base = first, .time = time};
    flush_all(&flush);
}

static void
take_snapshots(FamilyScore *score, const KirValue *waited)
{
    SsaFrame *frame = score->families.frame;
    KirBuilder *b = frame->builder;
    for (u32 k = 0; k < score->recorder.passages.count; k++) {
        KirValue when = rxn__kir_get(b, score->recorder.passages.items[k].local, 0);
        KirValue holds = kir_lt(b, when, rxn__kir_const(b, KIR_F64, INFINITY));
        rxn__kir_if(b, kir_and(b, waited[k], holds));
        rxn__lower_forget(&frame->lower);
        copy_score(score, score->snapshot, i32v(frame, (double)k * score->families.leaves), when);
        rxn__family_close(&score->families);
    }
}

/* ---- callbacks --------------------------------------------------------------------------------- */

static void
rates(SsaFrame *frame, void *context, const KirValue *propensities, KirValue span)
{
    FamilyScore *score = context;
    KirBuilder *b = frame->builder;
    u32 passages = score->recorder.passages.count;
    KirValue *waited = NEW_ARRAY(frame->arena, KirValue, passages + 1);
    (void)propensities;
    for (u32 k = 0; k < passages; k++)
        waited[k] = kir_eq(b, rxn__kir_get(b, score->recorder.passages.items[k].local, 0),
                           rxn__kir_const(b, KIR_F64, INFINITY));
    rxn__recorder_rates(&score->recorder, span);
    take_snapshots(score, waited);
    /* Behind a stop, events and switches of rates may have changed anything. */
    KirValue stop = rxn__kir_get(b, frame->stop, 0);
    KirValue crosses = kir_and(b, kir_ge(b, rxn__kir_get(b, frame->arrival, 0), stop),
                               kir_not(b, rxn__kir_get(b, frame->ended, 0)));
    rxn__kir_if(b, crosses);
    rxn__lower_forget(&frame->lower);
    Flush flush = {.score = score, .to = score->score, .time = stop, .moves = true};
    flush_all(&flush);
    rxn__family_close(&score->families);
}

/* The state is that of `rates`, for which the integrals may be too far already: then the rest is negative. */
static void
record(SsaFrame *frame, void *context, KirValue row, KirValue time)
{
    FamilyScore *score = context;
    KirBuilder *b = frame->builder;
    rxn__recorder_record(&score->recorder, row, time);
    rxn__lower_forget(&frame->lower);
    copy_score(score, score->kept, kir_mul(b, row, i32v(frame, score->families.leaves)), time);
}

static void
elapse(SsaFrame *frame, void *context, const KirValue *below)
{
    FamilyScore *score = context;
    const Families *families = &score->families;
    KirBuilder *b = frame->builder;
    (void)below;
    rxn__recorder_elapse(&score->recorder);
    KirValue fired = rxn__ssa_table_fired(frame);
    KirValue time = rxn__kir_get(b, frame->arrival, 0);
    if (frame->has_breakpoints)
        frame->lower.time_middle = rxn__kir_get(b, frame->middle, 0);
    rxn__kir_if(b, kir_lt(b, fired, i32v(frame, frame->network->reaction_count)));
    KirValue propensity = kir_cast(b, KIR_F64, rxn__ssa_table_propensity(frame, fired));
    FamilySum jump = {score->score, 0, kir_div(b, rxn__kir_const(b, KIR_F64, 1), propensity),
                      false};
    for (u32 k = 0; k < families->law_count; k++) {
        const FamilyLaw *law = &families->laws[k];
        if (!law->leaves.count)
            continue;
        rxn__family_if_member(families, law, fired);
        rxn__family_add_all(families, &law->leaves, &jump);
        rxn__family_close(families);
    }
    KirValue stale = rxn__ssa_table_dependents(frame, fired);
    for (u32 k = 0; k < families->law_count; k++) {
        const FamilyLaw *law = &families->laws[k];
        if (!law->leaves.count)
            continue;
        Flush flush = {.score = score, .law = law, .to = score->score, .time = time, .moves = true};
        rxn__family_if_member(families, law, stale);
        flush_member(frame, &flush);
        rxn__family_close(families);
    }
    rxn__kir_close(b);
    rxn__family_close(families);
}

/* Timed events come at stops, up to which everything has been brought already. */
static void
assign(SsaFrame *frame, void *context, u32 event)
{
    FamilyScore *score = context;
    if (frame->network->events.items[event].kind != EVENT_WHEN)
        return;
    rxn__lower_forget(&frame->lower);
    Flush flush = {.score = score,
                   .to = score->score,
                   .time = rxn__kir_get(frame->builder, frame->t, 0),
                   .moves = true};
    flush_all(&flush);
}

/* ---- the end ----------------------------------------------------------------------------------- */

/* See score_of in grad_score.c. */
static void
store_score(FamilyScore *score, u32 number)
{
    SsaFrame *frame = score->families.frame;
    KirBuilder *b = frame->builder;
    const Objective *objective = score->objective;
    const Functional *functional = &frame->network->objective->functionals.items[number];
    u32 leaves = score->families.leaves, column = rxn__row_score(&score->row, number, 0);
    KirValue from = i32v(frame, (double)rxn__objective_row(objective, functional->last) * leaves);
    rxn__family_store(&score->families, column, leaves, score->kept, from);
    const ExprNode *node = expr_node(frame->network, functional->value);
    if (node->op != EXPR_QUANTITY || objective->atoms.items[node->object].kind != ATOM_PASSAGE)
        return;
    const Atom *atom = &objective->atoms.items[node->object];
    u32 passage = 0;
    while (score->recorder.passages.items[passage].condition != atom->value)
        passage++;
    KirValue when = rxn__kir_get(b, score->recorder.passages.items[passage].local, 0);
    rxn__kir_if(b, kir_le(b, when, rxn__kir_const(b, KIR_F64, atom->to)));
    rxn__family_store(&score->families, column, leaves, score->snapshot,
                      i32v(frame, (double)passage * leaves));
    rxn__kir_close(b);
}

static void
store_direct(FamilyScore *score, u32 number)
{
    const Families *families = &score->families;
    SsaFrame *frame = families->frame;
    KirBuilder *b = frame->builder;
    u32 count = families->explicit_request.wrt_count;
    u32 column = rxn__row_direct(&score->row, number, 0);
    KirValue l = rxn__kir_for(b, i32v(frame, 0), i32v(frame, families->leaves));
    KirValue index[2] = {i32v(frame, 0), kir_add(b, l, i32v(frame, column))};
    rxn__kir_store(b, frame->sample, index, rxn__kir_const(b, KIR_F64, 0));
    rxn__kir_close(b);
    for (u32 k = 0; k < count; k++)
        rxn__row_store(
            frame, column + families->explicit_first + k,
            rxn__recorder_value(&score->recorder, score->partial[(size_t)number * count + k]));
}

/* Leaves are whole arrays; of parameters those alone count that are asked for. */
static bool *
find_wanted(const Families *families)
{
    bool *wanted = NEW_ARRAY(families->arena, bool, families->leaves + 1);
    const GradientRequest *request = families->request;
    for (u32 k = 0; k < families->blocks.count; k++) {
        const FamilyBlock *block = &families->blocks.items[k];
        bool is_param = block->op == EXPR_PARAM;
        u32 flat = is_param ? families->network->params.items[block->object].flat : 0;
        for (u32 p = 0; is_param && p < request->wrt_count; p++)
            if (request->wrt[p] >= flat && request->wrt[p] - flat < block->count)
                wanted[block->first + request->wrt[p] - flat] = true;
        for (u32 l = 0; !is_param && l < block->count; l++)
            wanted[block->first + l] = true;
    }
    return wanted;
}

/* 1 if a derivative was not seen, else 0. What is wanted comes in runs; where these are many, their code would be
 * too long, and the runs become one. */
static void
store_blindness(FamilyScore *score)
{
    enum { MOST_RUNS = 64 };
    SsaFrame *frame = score->families.frame;
    KirBuilder *b = frame->builder;
    const bool *wanted = find_wanted(&score->families);
    u32 leaves = score->families.explicit_first, runs = 0;
    KirValue index[2] = {i32v(frame, 0), i32v(frame, rxn__row_diagnostic(&score->row, 0))};
    rxn__kir_store(b, frame->sample, index, rxn__kir_const(b, KIR_F64, 0));
    for (u32 l = 0; l < leaves; l++)
        runs += wanted[l] && (l == 0 || !wanted[l - 1]);
    for (u32 first = 0, behind; first < leaves; first = behind) {
        for (behind = first; behind < leaves && (wanted[behind] || runs > MOST_RUNS);)
            behind++;
        if (behind == first) {
            behind++;
            continue;
        }
        KirValue l = rxn__kir_for(b, i32v(frame, first), i32v(frame, behind));
        rxn__kir_if(b, kir_ne(b, rxn__kir_get(b, score->unseen, l), rxn__kir_const(b, KIR_F64, 0)));
        rxn__kir_store(b, frame->sample, index, rxn__kir_const(b, KIR_F64, 1));
        rxn__kir_close(b);
        rxn__kir_close(b);
    }
}

static void
finish(SsaFrame *frame, void *context)
{
    FamilyScore *score = context;
    rxn__recorder_finish(&score->recorder);
    store_blindness(score);
    for (u32 i = 0; i < score->row.functionals; i++) {
        rxn__row_store(frame, rxn__row_value(&score->row, i),
                       rxn__recorder_functional(&score->recorder, i));
        store_score(score, i);
        if (score->row.has_direct)
            store_direct(score, i);
    }
}

const char *
rxn__family_score_write(const GradientRequest *request, Arena *arena, NameTable *names,
                        GradientKernel *ret_kernel)
{
    Network *network = request->network;
    FamilyScore score = {.objective = network->objective};
    rxn__family_begin(&score.families, request, arena, false);
    if (score.families.explicit_request.wrt_count) {
        const Objective *extended =
            rxn__gradient_explicit(&score.families.explicit_request, arena, &score.partial);
        if (extended)
            score.objective = extended;
    }
    score.row = (GradientRow){
        .functionals = network->objective->functionals.count,
        .outputs = network->objective->outputs.count,
        .leaves = score.families.leaves,
        .has_score = true,
        .has_direct = score.partial != NULL,
        .diagnostic_count = 1,
        .diagnostics = {{SCORE_BLIND, SUMMARY_MEAN}},
    };
    SsaExtension extension = {.context = &score,
                              .columns = rxn__row_columns(&score.row),
                              .declare = declare,
                              .start = start,
                              .rates = rates,
                              .record = record,
                              .elapse = elapse,
                              .assign = assign,
                              .finish = finish};
    MethodOptions options = {.precision = request->precision};
    ret_kernel->row = score.row;
    ret_kernel->leaves = rxn__family_leaves(&score.families);
    ret_kernel->unbiased = true;
    return rxn__ssa_write_table_extended(network, &options, arena, names, &extension,
                                         &ret_kernel->kernel);
}
