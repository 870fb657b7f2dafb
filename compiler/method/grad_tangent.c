/* grad_tangent.c: the pathwise estimator in forward mode (path-forward): the tangents y_p of the state along the
 * exact path,
 *
 *   y_p' = J(x) y_p + Σ_j ν_j da_j/dp,   J = Σ_j ν_j (∇a_j)ᵀ,   y_p(0) = 0, continuous across jumps,
 *
 * so that dF/dp = ∇F · y_p. It is the transpose of the adjoint of grad_path.c and gives the same numbers; no tape,
 * no backward pass, all functionals at once, at the price of one vector per parameter.
 *
 * Between jumps J is constant: y_p(t + h) by the Taylor series of the exponential (see pathwise.h).
 */
#include "compiler/method/grad_record.h"
#include "compiler/method/gradient.h"
#include "compiler/method/pathwise.h"

#include <stdio.h>

/* Tangents and the tangents of the integrals: one set for the path, one for looking ahead at a sample. */
typedef struct TangentSet {
    u32 *state;    /* [leaves * species], f64 locals */
    u32 *integral; /* [leaves * integrals] */
} TangentSet;

typedef struct TangentKernel {
    const GradientRequest *request;
    GradientRow row;
    const Objective *objective;
    Expr *partial; /* see rxn__gradient_explicit */
    Recorder recorder;
    Pathwise pathwise;
    TangentSet path, ahead;
    u32 left; /* f64: what of the step's span the tangents have not gone yet */
    u32 kept; /* f64[times * width * leaves]: tangents of what the recorder keeps */
} TangentKernel;

static KirValue
f64(SsaFrame *frame, double value)
{
    return rxn__kir_const(frame->builder, KIR_F64, value);
}

static void
declare_set(SsaFrame *frame, TangentKernel *kernel, TangentSet *set, const char *prefix)
{
    u32 leaves = kernel->row.leaves, species = frame->network->species_count;
    u32 integrals = kernel->recorder.integrals.count;
    char name[64];
    set->state = NEW_ARRAY(frame->arena, u32, leaves * species + 1);
    set->integral = NEW_ARRAY(frame->arena, u32, leaves * integrals + 1);
    for (u32 k = 0; k < leaves * species; k++) {
        snprintf(name, sizeof name, "%sy%u_%u", prefix, k / species, k % species);
        set->state[k] = rxn__kir_local(frame->builder, name, KIR_F64, 0);
    }
    for (u32 k = 0; k < leaves * integrals; k++) {
        snprintf(name, sizeof name, "%sq%u_%u", prefix, k / integrals, k % integrals);
        set->integral[k] = rxn__kir_local(frame->builder, name, KIR_F64, 0);
    }
}

static void
declare(SsaFrame *frame, void *context)
{
    TangentKernel *kernel = context;
    rxn__recorder_declare(&kernel->recorder, frame, kernel->objective, "");
    declare_set(frame, kernel, &kernel->path, "");
    declare_set(frame, kernel, &kernel->ahead, "ahead_");
    kernel->left = rxn__kir_local(frame->builder, "left", KIR_F64, 0);
    u32 length = kernel->objective->times.count * kernel->recorder.width * kernel->row.leaves;
    if (length)
        kernel->kept = rxn__kir_local(frame->builder, "kept_tangent", KIR_F64, length);
    rxn__pathwise_declare(&kernel->pathwise, frame, kernel->request);
}

static void
start(SsaFrame *frame, void *context)
{
    TangentKernel *kernel = context;
    (void)frame;
    rxn__recorder_start(&kernel->recorder);
}

/* ---- between jumps ----------------------------------------------------------------------------- */

/* Σ_s d expr/dx_s v_s; 0 where it is zero whatever v. */
static KirValue
along(SsaFrame *frame, Expr expr, const KirValue *vector)
{
    KirBuilder *b = frame->builder;
    Network *network = frame->network;
    KirValue total = 0;
    for (u32 s = 0; s < network->species_count; s++) {
        Expr slope = rxn__expr_derivative(network, expr, EXPR_SPECIES, s);
        if (rxn__expr_is_zero(network, slope))
            continue;
        KirValue value = rxn__lower_as(&frame->lower, slope, KIR_F64);
        total = total ? kir_fma(b, value, vector[s], total) : kir_mul(b, value, vector[s]);
    }
    return total;
}

/* Moves the tangent of one leaf by h along the present state; h is within the reach of the series. */
static void
advance_leaf(SsaFrame *frame, TangentKernel *kernel, const TangentSet *set, u32 p, KirValue h)
{
    KirBuilder *b = frame->builder;
    u32 species = frame->network->species_count, integrals = kernel->recorder.integrals.count;
    KirValue *y = NEW_ARRAY(frame->arena, KirValue, species);
    KirValue *term = NEW_ARRAY(frame->arena, KirValue, species);
    KirValue *next = NEW_ARRAY(frame->arena, KirValue, species);
    KirValue *area = NEW_ARRAY(frame->arena, KirValue, species); /* the integral of y */
    for (u32 s = 0; s < species; s++) {
        y[s] = rxn__kir_get(b, set->state[p * species + s], 0);
        area[s] = kir_mul(b, h, y[s]);
        term[s] = y[s];
    }
    for (u32 k = 1; k <= PATHWISE_TERMS; k++) {
        rxn__pathwise_apply(&kernel->pathwise, term, next);
        if (k == 1)
            rxn__pathwise_add_source(&kernel->pathwise, p, next);
        KirValue factor = kir_mul(b, h, f64(frame, 1.0 / k));
        KirValue later = kir_mul(b, h, f64(frame, 1.0 / (k + 1)));
        for (u32 s = 0; s < species; s++) {
            term[s] = next[s] ? kir_mul(b, next[s], factor) : 0;
            if (!term[s])
                continue;
            y[s] = kir_add(b, y[s], term[s]);
            area[s] = kir_fma(b, term[s], later, area[s]);
        }
    }
    for (u32 k = 0; k < integrals; k++) {
        KirValue growth = along(frame, kernel->recorder.integrals.items[k].slope, area);
        u32 local = set->integral[p * integrals + k];
        if (growth)
            rxn__kir_set(b, local, 0, kir_add(b, rxn__kir_get(b, local, 0), growth));
    }
    for (u32 s = 0; s < species; s++)
        rxn__kir_set(b, set->state[p * species + s], 0, y[s]);
}

static void
advance(SsaFrame *frame, TangentKernel *kernel, const TangentSet *set, KirValue span)
{
    for (u32 p = 0; p < kernel->row.leaves; p++)
        advance_leaf(frame, kernel, set, p, span);
}

static KirValue
limit(SsaFrame *frame, void *context)
{
    TangentKernel *kernel = context;
    rxn__lower_forget(&frame->lower);
    if (frame->has_breakpoints)
        frame->lower.time_middle = rxn__kir_get(frame->builder, frame->middle, 0);
    rxn__pathwise_rates(&kernel->pathwise);
    return rxn__pathwise_limit(&kernel->pathwise);
}

static void
rates(SsaFrame *frame, void *context, const KirValue *propensities, KirValue span)
{
    TangentKernel *kernel = context;
    (void)propensities;
    rxn__recorder_rates(&kernel->recorder, span);
    rxn__kir_set(frame->builder, kernel->left, 0, span);
}

/* ---- samples ----------------------------------------------------------------------------------- */

static void
copy_set(SsaFrame *frame, TangentKernel *kernel)
{
    KirBuilder *b = frame->builder;
    u32 states = kernel->row.leaves * frame->network->species_count;
    u32 integrals = kernel->row.leaves * kernel->recorder.integrals.count;
    for (u32 k = 0; k < states; k++)
        rxn__kir_set(b, kernel->ahead.state[k], 0, rxn__kir_get(b, kernel->path.state[k], 0));
    for (u32 k = 0; k < integrals; k++)
        rxn__kir_set(b, kernel->ahead.integral[k], 0, rxn__kir_get(b, kernel->path.integral[k], 0));
}

static KirValue
place_of(SsaFrame *frame, TangentKernel *kernel, KirValue row, u32 column, u32 leaf)
{
    KirBuilder *b = frame->builder;
    u32 width = kernel->recorder.width, leaves = kernel->row.leaves;
    return kir_add(b, kir_mul(b, row, rxn__kir_const(b, KIR_I32, width * leaves)),
                   rxn__kir_const(b, KIR_I32, column * leaves + leaf));
}

static void
record(SsaFrame *frame, void *context, KirValue row, KirValue time)
{
    TangentKernel *kernel = context;
    KirBuilder *b = frame->builder;
    u32 species = frame->network->species_count;
    Recorder *recorder = &kernel->recorder;
    rxn__recorder_record(recorder, row, time);
    if (!recorder->width)
        return;
    copy_set(frame, kernel);
    advance(frame, kernel, &kernel->ahead, kir_sub(b, time, rxn__kir_get(b, frame->t, 0)));
    rxn__lower_forget(&frame->lower);
    frame->lower.time = time;
    KirValue *y = NEW_ARRAY(frame->arena, KirValue, species);
    for (u32 p = 0; p < kernel->row.leaves; p++) {
        for (u32 s = 0; s < species; s++)
            y[s] = rxn__kir_get(b, kernel->ahead.state[p * species + s], 0);
        for (u32 c = 0; c < recorder->columns.count; c++) {
            KirValue value = along(frame, recorder->columns.items[c], y);
            rxn__kir_set(b, kernel->kept, place_of(frame, kernel, row, c, p),
                         value ? value : f64(frame, 0));
        }
        for (u32 k = 0; k < recorder->integrals.count; k++) {
            u32 local = kernel->ahead.integral[p * recorder->integrals.count + k];
            rxn__kir_set(b, kernel->kept,
                         place_of(frame, kernel, row, recorder->columns.count + k, p),
                         rxn__kir_get(b, local, 0));
        }
    }
}

static void
elapse(SsaFrame *frame, void *context, const KirValue *below)
{
    TangentKernel *kernel = context;
    (void)below;
    rxn__recorder_elapse(&kernel->recorder);
    advance(frame, kernel, &kernel->path, rxn__kir_get(frame->builder, kernel->left, 0));
}

/* An `at` or `every` assigns: the tangents of what it assigns follow; the others stay. Parameters in it are held:
 * counts are whole numbers. */
static void
assign(SsaFrame *frame, void *context, u32 event)
{
    TangentKernel *kernel = context;
    KirBuilder *b = frame->builder;
    Network *network = frame->network;
    u32 species = network->species_count;
    const Event *assigning = &network->events.items[event];
    u32 count = assigning->assignments.count;
    advance(frame, kernel, &kernel->path, rxn__kir_get(b, kernel->left, 0));
    rxn__kir_set(b, kernel->left, 0, f64(frame, 0));
    KirValue *y = NEW_ARRAY(frame->arena, KirValue, species);
    KirValue *assigned = NEW_ARRAY(frame->arena, KirValue, count + 1);
    for (u32 p = 0; p < kernel->row.leaves; p++) {
        for (u32 s = 0; s < species; s++)
            y[s] = rxn__kir_get(b, kernel->path.state[p * species + s], 0);
        for (u32 k = 0; k < count; k++) {
            Expr value = assigning->assignments.items[k].value;
            KirValue flow = along(frame, value, y);
            assigned[k] = flow ? flow : f64(frame, 0);
        }
        for (u32 k = 0; k < count; k++)
            rxn__kir_set(b,
                         kernel->path.state[p * species + assigning->assignments.items[k].member],
                         0, assigned[k]);
    }
}

/* ---- the row ----------------------------------------------------------------------------------- */

static KirValue
tangent_of_atom(SsaFrame *frame, TangentKernel *kernel, const Atom *atom, u32 leaf)
{
    KirBuilder *b = frame->builder;
    u32 column = rxn__recorder_column(&kernel->recorder, atom);
    u32 row = rxn__objective_row(kernel->objective, atom->to);
    KirValue last = rxn__kir_const(b, KIR_I32, row);
    KirValue value = rxn__kir_get(b, kernel->kept, place_of(frame, kernel, last, column, leaf));
    if (atom->kind != ATOM_INTEGRAL || !(atom->from > 0))
        return value;
    KirValue first = rxn__kir_const(b, KIR_I32, rxn__objective_row(kernel->objective, atom->from));
    return kir_sub(b, value,
                   rxn__kir_get(b, kernel->kept, place_of(frame, kernel, first, column, leaf)));
}

static void
finish(SsaFrame *frame, void *context)
{
    TangentKernel *kernel = context;
    KirBuilder *b = frame->builder;
    Network *network = frame->network;
    const Objective *objective = network->objective;
    const GradientRow *row = &kernel->row;
    rxn__recorder_finish(&kernel->recorder);
    for (u32 i = 0; i < row->functionals; i++) {
        Expr value = objective->functionals.items[i].value;
        rxn__row_store(frame, rxn__row_value(row, i),
                       rxn__recorder_functional(&kernel->recorder, i));
        for (u32 p = 0; p < row->leaves; p++) {
            KirValue total = f64(frame, 0);
            if (kernel->partial)
                total =
                    rxn__recorder_value(&kernel->recorder, kernel->partial[i * row->leaves + p]);
            for (u32 a = 0; a < objective->atoms.count; a++) {
                Expr slope = rxn__expr_derivative(network, value, EXPR_QUANTITY, a);
                if (rxn__expr_is_zero(network, slope))
                    continue;
                KirValue weight = rxn__recorder_value(&kernel->recorder, slope);
                total =
                    kir_fma(b, weight,
                            tangent_of_atom(frame, kernel, &objective->atoms.items[a], p), total);
            }
            rxn__row_store(frame, rxn__row_direct(row, i, p), total);
        }
    }
}

/* ---- the estimator ----------------------------------------------------------------------------- */

static const char *
write_kernel(const GradientRequest *request, Arena *arena, NameTable *names,
             GradientKernel *ret_kernel)
{
    Network *network = request->network;
    TangentKernel kernel = {.request = request, .objective = network->objective};
    const Objective *extended = rxn__gradient_explicit(request, arena, &kernel.partial);
    if (extended)
        kernel.objective = extended;
    kernel.row = (GradientRow){
        .functionals = network->objective->functionals.count,
        .outputs = network->objective->outputs.count,
        .leaves = request->wrt_count,
        .has_direct = true,
    };
    SsaExtension extension = {.context = &kernel,
                              .declare = declare,
                              .start = start,
                              .limit = limit,
                              .rates = rates,
                              .record = record,
                              .elapse = elapse,
                              .assign = assign,
                              .finish = finish};
    ret_kernel->unbiased = rxn__pathwise_is_unbiased(request, &ret_kernel->remarks);
    return rxn__gradient_write(request, &kernel.row, &extension, arena, names, ret_kernel);
}

const Estimator rxn__estimator_path_forward = {
    .name = "path-forward",
    .summary = "pathwise derivative along the exact path, in forward mode",
    .applies = rxn__pathwise_applies,
    .write = write_kernel,
};
