/* grad_record.c: see grad_record.h. */
#include "compiler/method/grad_record.h"

#include <math.h>
#include <stdio.h>

static KirValue
f64(SsaFrame *frame, double value)
{
    return rxn__kir_const(frame->builder, KIR_F64, value);
}

static u32
named_local(SsaFrame *frame, const char *prefix, const char *kind, u32 number, u32 length)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%u", prefix, kind, number);
    return rxn__kir_local(frame->builder, name, KIR_F64, length);
}

/* ---- accumulators ------------------------------------------------------------------------------ */

void
rxn__time_integral_declare(SsaFrame *frame, TimeIntegral *accumulator, IntegralKind kind,
                           const char *name)
{
    accumulator->kind = kind;
    accumulator->local = rxn__kir_local(frame->builder, name, KIR_F64, 0);
}

/* A. H. Stroud, D. Secrest, "Gaussian Quadrature Formulas", 1966; nodes and weights on 0…1. */
static const struct {
    double node, weight;
} gauss[] = {
    {0.046910077030668004, 0.11846344252809454},
    {0.23076534494715845, 0.23931433524968324},
    {0.5, 0.28444444444444444},
    {0.76923465505284155, 0.23931433524968324},
    {0.953089922969332, 0.11846344252809454},
};

static bool
reads_time(SsaFrame *frame, Expr expr)
{
    return rxn__expr_uses(frame->network, expr).time;
}

/* Between breakpoints, and stops are at each of them, TIME_MIDDLE is a constant. */
static void
bind_middle(SsaFrame *frame)
{
    if (frame->has_breakpoints)
        frame->lower.time_middle = rxn__kir_get(frame->builder, frame->middle, 0);
}

static KirValue
value_at(SsaFrame *frame, Expr expr, KirValue time)
{
    rxn__lower_forget(&frame->lower);
    frame->lower.time = time;
    return rxn__lower_as(&frame->lower, expr, KIR_F64);
}

/* A number in (0, 1) of this step, for nothing but integrals. */
static KirValue
random_place(SsaFrame *frame, IntegralKind kind)
{
    KirBuilder *b = frame->builder;
    KirValue n = rxn__kir_get(b, frame->n, 0), high = rxn__kir_get(b, frame->n_high, 0), words[4];
    rxn__ssa_block(frame, RXN_STREAM_QUADRATURE, n, high, words);
    return kir_fma(b, kir_cast(b, KIR_F64, words[kind]), f64(frame, 0x1p-32), f64(frame, 0x1p-33));
}

/* The polynomial of degree 4 that is 1 at node k and 0 at the others. */
static KirValue
lagrange(SsaFrame *frame, u32 k, KirValue place)
{
    KirBuilder *b = frame->builder;
    KirValue product = 0;
    double scale = 1;
    for (u32 i = 0; i < COUNT_OF(gauss); i++) {
        if (i == k)
            continue;
        KirValue factor = kir_sub(b, place, f64(frame, gauss[i].node));
        product = product ? kir_mul(b, product, factor) : factor;
        scale /= gauss[k].node - gauss[i].node;
    }
    return kir_mul(b, product, f64(frame, scale));
}

/* The integral of f over [from, from + span], without bias whatever f does in between: that of the polynomial through five nodes of Gauss
 * and Legendre, and at a random place what f differs from that by. Where f is smooth that is next to nothing; where it has a kink, a jump
 * or many periods, which no fixed nodes see, it is noise of mean zero. */
static KirValue
quadrature(SsaFrame *frame, const TimeIntegral *accumulator, KirValue from, KirValue span)
{
    KirBuilder *b = frame->builder;
    KirValue total = f64(frame, 0), before = frame->lower.time,
             place = random_place(frame, accumulator->kind);
    Expr expr = accumulator->slope;
    KirValue rest = value_at(frame, expr, kir_fma(b, span, place, from));
    for (u32 k = 0; k < COUNT_OF(gauss); k++) {
        KirValue value = value_at(frame, expr, kir_fma(b, span, f64(frame, gauss[k].node), from));
        total = kir_fma(b, value, f64(frame, gauss[k].weight), total);
        rest = kir_sub(b, rest, kir_mul(b, value, lagrange(frame, k, place)));
    }
    rxn__lower_forget(&frame->lower);
    frame->lower.time = before;
    return kir_mul(b, kir_add(b, total, rest), span);
}

void
rxn__time_integral_rates(SsaFrame *frame, TimeIntegral *accumulator, KirValue span)
{
    KirBuilder *b = frame->builder;
    accumulator->rate = accumulator->increase = 0;
    if (!accumulator->slope)
        return;
    bind_middle(frame);
    if (reads_time(frame, accumulator->slope)) {
        accumulator->increase = quadrature(frame, accumulator, rxn__kir_get(b, frame->t, 0), span);
        return;
    }
    accumulator->rate = rxn__lower_as(&frame->lower, accumulator->slope, KIR_F64);
    accumulator->increase = kir_mul(b, accumulator->rate, span);
}

KirValue
rxn__time_integral_at(SsaFrame *frame, const TimeIntegral *accumulator, KirValue time)
{
    KirBuilder *b = frame->builder;
    KirValue so_far = rxn__kir_get(b, accumulator->local, 0);
    if (!accumulator->slope)
        return so_far;
    KirValue from = rxn__kir_get(b, frame->t, 0);
    KirValue span = kir_sub(b, time, from);
    if (accumulator->rate)
        return kir_fma(b, accumulator->rate, span, so_far);
    return kir_add(b, so_far, quadrature(frame, accumulator, from, span));
}

void
rxn__time_integral_elapse(SsaFrame *frame, TimeIntegral *accumulator, KirValue jump)
{
    KirBuilder *b = frame->builder;
    KirValue value = rxn__kir_get(b, accumulator->local, 0);
    if (accumulator->increase)
        value = kir_add(b, value, accumulator->increase);
    if (jump)
        value = kir_add(b, value, jump);
    rxn__kir_set(b, accumulator->local, 0, value);
}

/* ---- what is kept ------------------------------------------------------------------------------ */

static u32
column_of(Recorder *recorder, Expr expr)
{
    for (u32 k = 0; k < recorder->columns.count; k++)
        if (recorder->columns.items[k] == expr)
            return k;
    vec_push(recorder->arena, &recorder->columns, expr);
    return recorder->columns.count - 1;
}

static u32
integral_of(Recorder *recorder, Expr expr)
{
    for (u32 k = 0; k < recorder->integrals.count; k++)
        if (recorder->integrals.items[k].slope == expr)
            return k;
    TimeIntegral integral = {.slope = expr};
    vec_push(recorder->arena, &recorder->integrals, integral);
    return recorder->integrals.count - 1;
}

static u32
passage_of(Recorder *recorder, Expr condition)
{
    for (u32 k = 0; k < recorder->passages.count; k++)
        if (recorder->passages.items[k].condition == condition)
            return k;
    struct Passage passage = {.condition = condition};
    vec_push(recorder->arena, &recorder->passages, passage);
    return recorder->passages.count - 1;
}

void
rxn__recorder_declare(Recorder *recorder, SsaFrame *frame, const Objective *objective,
                      const char *prefix)
{
    *recorder =
        (Recorder){.frame = frame, .objective = objective, .arena = frame->arena, .prefix = prefix};
    for (u32 k = 0; k < objective->atoms.count; k++) {
        const Atom *atom = &objective->atoms.items[k];
        switch (atom->kind) {
        case ATOM_STATE: column_of(recorder, atom->value); break;
        case ATOM_INTEGRAL: integral_of(recorder, atom->value); break;
        case ATOM_PASSAGE: passage_of(recorder, atom->value); break;
        }
    }
    for (u32 k = 0; k < recorder->integrals.count; k++)
        recorder->integrals.items[k].local = named_local(frame, prefix, "integral", k, 0);
    for (u32 k = 0; k < recorder->passages.count; k++)
        recorder->passages.items[k].local = named_local(frame, prefix, "passage", k, 0);
    recorder->width = recorder->columns.count + recorder->integrals.count;
    u32 length = objective->times.count * recorder->width;
    if (length)
        recorder->kept = named_local(frame, prefix, "kept", 0, length);
}

void
rxn__recorder_start(Recorder *recorder)
{
    for (u32 k = 0; k < recorder->passages.count; k++)
        rxn__kir_set(recorder->frame->builder, recorder->passages.items[k].local, 0,
                     f64(recorder->frame, INFINITY));
}

void
rxn__recorder_rates(Recorder *recorder, KirValue span)
{
    SsaFrame *frame = recorder->frame;
    KirBuilder *b = frame->builder;
    for (u32 k = 0; k < recorder->integrals.count; k++)
        rxn__time_integral_rates(frame, &recorder->integrals.items[k], span);
    for (u32 k = 0; k < recorder->passages.count; k++) {
        bind_middle(frame);
        KirValue holds = rxn__lower(&frame->lower, recorder->passages.items[k].condition);
        KirValue before = rxn__kir_get(b, recorder->passages.items[k].local, 0);
        KirValue t = rxn__kir_get(b, frame->t, 0);
        rxn__kir_set(b, recorder->passages.items[k].local, 0,
                     kir_select(b, holds, kir_min(b, before, t), before));
    }
}

static void
keep(Recorder *recorder, KirValue first, u32 column, KirValue value)
{
    KirBuilder *b = recorder->frame->builder;
    KirValue place = kir_add(b, first, rxn__kir_const(b, KIR_I32, column));
    rxn__kir_set(b, recorder->kept, place, value);
}

void
rxn__recorder_record(Recorder *recorder, KirValue row, KirValue time)
{
    SsaFrame *frame = recorder->frame;
    KirBuilder *b = frame->builder;
    if (!recorder->width)
        return;
    KirValue first = kir_mul(b, row, rxn__kir_const(b, KIR_I32, recorder->width));
    bind_middle(frame);
    frame->lower.time = time;
    for (u32 k = 0; k < recorder->columns.count; k++)
        keep(recorder, first, k, rxn__lower_as(&frame->lower, recorder->columns.items[k], KIR_F64));
    for (u32 k = 0; k < recorder->integrals.count; k++)
        keep(recorder, first, recorder->columns.count + k,
             rxn__time_integral_at(frame, &recorder->integrals.items[k], time));
}

void
rxn__recorder_elapse(Recorder *recorder)
{
    for (u32 k = 0; k < recorder->integrals.count; k++)
        rxn__time_integral_elapse(recorder->frame, &recorder->integrals.items[k], 0);
}

/* ---- when the trajectory is over --------------------------------------------------------------- */

u32
rxn__objective_row(const Objective *objective, double time)
{
    u32 row = 0;
    while (row + 1 < objective->times.count && objective->times.items[row] != time)
        row++;
    return row;
}

static KirValue
kept_value(Recorder *recorder, double time, u32 column)
{
    u32 place = rxn__objective_row(recorder->objective, time) * recorder->width + column;
    KirBuilder *b = recorder->frame->builder;
    return rxn__kir_get(b, recorder->kept, rxn__kir_const(b, KIR_I32, place));
}

u32
rxn__recorder_column(Recorder *recorder, const Atom *atom)
{
    return atom->kind == ATOM_STATE ? column_of(recorder, atom->value)
                                    : recorder->columns.count + integral_of(recorder, atom->value);
}

static KirValue
atom_value(Recorder *recorder, const Atom *atom)
{
    KirBuilder *b = recorder->frame->builder;
    switch (atom->kind) {
    case ATOM_STATE: return kept_value(recorder, atom->to, rxn__recorder_column(recorder, atom));
    case ATOM_INTEGRAL: {
        u32 column = rxn__recorder_column(recorder, atom);
        KirValue to = kept_value(recorder, atom->to, column);
        return atom->from > 0 ? kir_sub(b, to, kept_value(recorder, atom->from, column)) : to;
    }
    case ATOM_PASSAGE: break;
    }
    u32 local = recorder->passages.items[passage_of(recorder, atom->value)].local;
    return kir_min(b, rxn__kir_get(b, local, 0), f64(recorder->frame, atom->to));
}

static KirValue
quantity(void *context, u32 number)
{
    const Recorder *recorder = context;
    return recorder->atoms[number];
}

void
rxn__recorder_finish(Recorder *recorder)
{
    const Objective *objective = recorder->objective;
    recorder->atoms = NEW_ARRAY(recorder->arena, KirValue, objective->atoms.count + 1);
    for (u32 k = 0; k < objective->atoms.count; k++)
        recorder->atoms[k] = atom_value(recorder, &objective->atoms.items[k]);
}

KirValue
rxn__recorder_value(Recorder *recorder, Expr expr)
{
    Lowering *lower = &recorder->frame->lower;
    /* Two recorders in a kernel number their atoms alike. */
    rxn__lower_forget(lower);
    lower->quantity = quantity;
    lower->quantity_context = recorder;
    KirValue value = rxn__lower_as(lower, expr, KIR_F64);
    rxn__lower_forget(lower);
    return value;
}

KirValue
rxn__recorder_functional(Recorder *recorder, u32 functional)
{
    return rxn__recorder_value(recorder, recorder->objective->functionals.items[functional].value);
}

void
rxn__row_store(SsaFrame *frame, u32 column, KirValue value)
{
    KirBuilder *b = frame->builder;
    KirValue index[2] = {rxn__kir_const(b, KIR_I32, 0), rxn__kir_const(b, KIR_I32, column)};
    rxn__kir_store(b, frame->sample, index, value);
}

const char *
rxn__gradient_write(const GradientRequest *request, const GradientRow *row, SsaExtension *extension,
                    Arena *arena, NameTable *names, GradientKernel *ret_kernel)
{
    MethodOptions options = {.precision = request->precision};
    extension->columns = rxn__row_columns(row);
    ret_kernel->row = *row;
    ret_kernel->leaves = rxn__gradient_param_leaves(request, arena);
    return rxn__ssa_write_extended(request->network, &options, arena, names, extension,
                                   &ret_kernel->kernel);
}
