/* grad_tangent.c: the pathwise estimator in forward mode (path-forward): the tangents y_p of the state along the
 * exact path,
 *
 *   y_p' = J(x) y_p + Σ_j ν_j da_j/dp,   J = Σ_j ν_j (∇a_j)ᵀ,   y_p(0) = 0, continuous across jumps,
 *
 * so that dF/dp = ∇F · y_p. It is the transpose of the adjoint of grad_path.c and gives the same numbers; no tape,
 * no backward pass, all functionals at once, at the price of one vector per parameter.
 *
 * Between jumps J is constant: y_p(t + h) by the Taylor series of the exponential (see pathwise.h).
 *
 * Few tangents are locals, one by one, and their code is written out. Many would find no registers, and their code
 * would take seconds to compile: they are arrays over the parameters, and one loop body serves all of these. Its
 * iterations share nothing, so that a GPU gives each to a thread.
 */
#include "compiler/method/grad_record.h"
#include "compiler/method/gradient.h"
#include "compiler/method/pathwise.h"

#include <stdio.h>

enum { WRITTEN_OUT = 64 }; /* tangents of the state, all parameters together */

typedef struct TangentKernel {
    const GradientRequest *request;
    GradientRow row;
    const Objective *objective;
    Expr *partial; /* see rxn__gradient_explicit */
    Recorder recorder;
    Pathwise pathwise;
    bool loops;    /* over the parameters */
    u32 *state;    /* f64 locals: [leaves * species]; in loops [species], each an array [leaves] */
    u32 *integral; /* likewise, of the integrals */
    u32 *source;   /* in loops [species], arrays [leaves]: Σ_j ν_j da_j/dp of this step, */
    bool *sources; /* where there is such a thing */
    u32 *kept;     /* [width], f64[times * leaves]: tangents of what the recorder keeps */
    u32 left;      /* f64: what of the step's span the tangents have not gone yet */
} TangentKernel;

/* A parameter: its number, or, in a loop over them, the counter. */
typedef struct Leaf {
    u32 number;
    KirValue counter;
} Leaf;

typedef void LeafBody(SsaFrame *frame, TangentKernel *kernel, Leaf leaf, void *context);

static void
each_leaf(SsaFrame *frame, TangentKernel *kernel, LeafBody *body, void *context)
{
    KirBuilder *b = frame->builder;
    const u32 leaves = kernel->row.leaves;
    if (kernel->loops) {
        KirValue counter =
            rxn__kir_for(b, rxn__kir_const(b, KIR_I32, 0), rxn__kir_const(b, KIR_I32, leaves));
        body(frame, kernel, (Leaf){.counter = counter}, context);
        rxn__kir_close(b);
    }
    for (u32 p = 0; p < leaves && !kernel->loops; p++)
        body(frame, kernel, (Leaf){.number = p}, context);
}

/* Of one parameter the tangent of the k-th of `count` quantities. */
static KirValue
get_tangent(SsaFrame *frame, const u32 *locals, u32 count, u32 k, Leaf leaf)
{
    return leaf.counter ? rxn__kir_get(frame->builder, locals[k], leaf.counter)
                        : rxn__kir_get(frame->builder, locals[leaf.number * count + k], 0);
}

static void
set_tangent(SsaFrame *frame, const u32 *locals, u32 count, u32 k, Leaf leaf, KirValue value)
{
    if (leaf.counter)
        rxn__kir_set(frame->builder, locals[k], leaf.counter, value);
    else
        rxn__kir_set(frame->builder, locals[leaf.number * count + k], 0, value);
}

static KirValue
f64(SsaFrame *frame, double value)
{
    return rxn__kir_const(frame->builder, KIR_F64, value);
}

/* Of `count` quantities. */
static u32 *
declare_tangents(SsaFrame *frame, const TangentKernel *kernel, u32 count, const char *letter)
{
    const u32 leaves = kernel->row.leaves, length = kernel->loops ? leaves : 0;
    const u32 locals = kernel->loops ? count : leaves * count;
    u32 *declared = NEW_ARRAY(frame->arena, u32, locals + 1);
    char name[64];
    for (u32 k = 0; k < locals; k++) {
        if (kernel->loops)
            snprintf(name, sizeof name, "%s%u", letter, k);
        else
            snprintf(name, sizeof name, "%s%u_%u", letter, k / count, k % count);
        declared[k] = rxn__kir_local(frame->builder, name, KIR_F64, length);
    }
    return declared;
}

static void
declare_sources(SsaFrame *frame, TangentKernel *kernel)
{
    const Pathwise *pathwise = &kernel->pathwise;
    const u32 species = frame->network->species_count, leaves = kernel->row.leaves;
    kernel->source = NEW_ARRAY(frame->arena, u32, species + 1);
    kernel->sources = NEW_ARRAY(frame->arena, bool, species + 1);
    for (u32 j = 0; j < frame->network->reaction_count; j++)
        for (u32 p = 0; p < leaves; p++)
            for (u32 k = 0; k < pathwise->change_counts[j]; k++)
                if (!rxn__expr_is_zero(frame->network, pathwise->source[(size_t)j * leaves + p]))
                    kernel->sources[pathwise->changes[j][k].species] = true;
    char name[64];
    for (u32 s = 0; s < species; s++) {
        snprintf(name, sizeof name, "source%u", s);
        if (kernel->sources[s])
            kernel->source[s] = rxn__kir_local(frame->builder, name, KIR_F64, leaves);
    }
}

static void
declare(SsaFrame *frame, void *context)
{
    TangentKernel *kernel = context;
    const u32 species = frame->network->species_count, leaves = kernel->row.leaves;
    rxn__recorder_declare(&kernel->recorder, frame, kernel->objective, "");
    rxn__pathwise_declare(&kernel->pathwise, frame, kernel->request);
    kernel->loops = leaves * species > WRITTEN_OUT;
    kernel->state = declare_tangents(frame, kernel, species, "y");
    kernel->integral = declare_tangents(frame, kernel, kernel->recorder.integrals.count, "q");
    if (kernel->loops)
        declare_sources(frame, kernel);
    kernel->left = rxn__kir_local(frame->builder, "left", KIR_F64, 0);
    const u32 length = kernel->objective->times.count * leaves;
    kernel->kept = NEW_ARRAY(frame->arena, u32, kernel->recorder.width + 1);
    char name[64];
    for (u32 c = 0; c < kernel->recorder.width && length; c++) {
        snprintf(name, sizeof name, "kept_tangent%u", c);
        kernel->kept[c] = rxn__kir_local(frame->builder, name, KIR_F64, length);
    }
}

static void
start(SsaFrame *frame, void *context)
{
    TangentKernel *kernel = context;
    (void)frame;
    rxn__recorder_start(&kernel->recorder);
}

/* ---- between jumps ----------------------------------------------------------------------------- */

/* d expr/dx_s, [species]; 0 where it is zero. */
static KirValue *
slopes_of(SsaFrame *frame, Expr expr)
{
    Network *network = frame->network;
    KirValue *slopes = NEW_ARRAY(frame->arena, KirValue, network->species_count + 1);
    for (u32 s = 0; s < network->species_count; s++) {
        Expr slope = rxn__expr_derivative(network, expr, EXPR_SPECIES, s);
        if (!rxn__expr_is_zero(network, slope))
            slopes[s] = rxn__lower_as(&frame->lower, slope, KIR_F64);
    }
    return slopes;
}

/* Σ_s slopes_s v_s; the number 0 where it is zero whatever v. */
static KirValue
along(SsaFrame *frame, const KirValue *slopes, const KirValue *vector)
{
    KirBuilder *b = frame->builder;
    KirValue total = 0;
    for (u32 s = 0; s < frame->network->species_count; s++)
        if (slopes[s])
            total =
                total ? kir_fma(b, slopes[s], vector[s], total) : kir_mul(b, slopes[s], vector[s]);
    return total ? total : f64(frame, 0);
}

/* How far along the present state, within the reach of the series; and, for all parameters, the slopes of the integrals. */
typedef struct Move {
    KirValue span;
    KirValue **slopes; /* [integrals] */
} Move;

static Move
begin_move(SsaFrame *frame, TangentKernel *kernel, KirValue span)
{
    const u32 integrals = kernel->recorder.integrals.count;
    Move move = {span, NEW_ARRAY(frame->arena, KirValue *, integrals + 1)};
    for (u32 k = 0; k < integrals; k++)
        move.slopes[k] = slopes_of(frame, kernel->recorder.integrals.items[k].slope);
    return move;
}

static void
add_source(SsaFrame *frame, TangentKernel *kernel, Leaf leaf, KirValue *v)
{
    KirBuilder *b = frame->builder;
    if (!leaf.counter) {
        rxn__pathwise_add_source(&kernel->pathwise, leaf.number, v);
        return;
    }
    for (u32 s = 0; s < frame->network->species_count; s++)
        if (kernel->sources[s]) {
            KirValue source = rxn__kir_get(b, kernel->source[s], leaf.counter);
            v[s] = v[s] ? kir_add(b, v[s], source) : source;
        }
}

/* The tangents of one parameter at the end of the move: state[species], integral[integrals]. */
static void
move_leaf(SsaFrame *frame, TangentKernel *kernel, const Move *move, Leaf leaf, KirValue *state,
          KirValue *integral)
{
    KirBuilder *b = frame->builder;
    const u32 species = frame->network->species_count, integrals = kernel->recorder.integrals.count;
    KirValue *term = NEW_ARRAY(frame->arena, KirValue, species + 1);
    KirValue *next = NEW_ARRAY(frame->arena, KirValue, species + 1);
    KirValue *area = NEW_ARRAY(frame->arena, KirValue, species + 1); /* the integral of y */
    for (u32 s = 0; s < species; s++) {
        term[s] = state[s] = get_tangent(frame, kernel->state, species, s, leaf);
        area[s] = kir_mul(b, move->span, state[s]);
    }
    for (u32 k = 1; k <= PATHWISE_TERMS; k++) {
        rxn__pathwise_apply(&kernel->pathwise, term, next);
        if (k == 1)
            add_source(frame, kernel, leaf, next);
        KirValue factor = kir_mul(b, move->span, f64(frame, 1.0 / k));
        KirValue later = kir_mul(b, move->span, f64(frame, 1.0 / (k + 1)));
        for (u32 s = 0; s < species; s++) {
            term[s] = next[s] ? kir_mul(b, next[s], factor) : 0;
            if (!term[s])
                continue;
            state[s] = kir_add(b, state[s], term[s]);
            area[s] = kir_fma(b, term[s], later, area[s]);
        }
    }
    for (u32 k = 0; k < integrals; k++)
        integral[k] = kir_add(b, get_tangent(frame, kernel->integral, integrals, k, leaf),
                              along(frame, move->slopes[k], area));
}

static void
advance_leaf(SsaFrame *frame, TangentKernel *kernel, Leaf leaf, void *context)
{
    const u32 species = frame->network->species_count, integrals = kernel->recorder.integrals.count;
    KirValue *state = NEW_ARRAY(frame->arena, KirValue, species + 1);
    KirValue *integral = NEW_ARRAY(frame->arena, KirValue, integrals + 1);
    move_leaf(frame, kernel, context, leaf, state, integral);
    for (u32 k = 0; k < integrals; k++)
        set_tangent(frame, kernel->integral, integrals, k, leaf, integral[k]);
    for (u32 s = 0; s < species; s++)
        set_tangent(frame, kernel->state, species, s, leaf, state[s]);
}

/* Moves all tangents by what is left of the step. */
static void
advance(SsaFrame *frame, TangentKernel *kernel)
{
    Move move = begin_move(frame, kernel, rxn__kir_get(frame->builder, kernel->left, 0));
    each_leaf(frame, kernel, advance_leaf, &move);
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
    KirBuilder *b = frame->builder;
    const u32 species = frame->network->species_count, leaves = kernel->row.leaves;
    (void)propensities;
    rxn__recorder_rates(&kernel->recorder, span);
    rxn__kir_set(b, kernel->left, 0, span);
    for (u32 p = 0; p < leaves && kernel->loops; p++)
        for (u32 s = 0; s < species; s++)
            if (kernel->pathwise.drift[p * species + s])
                rxn__kir_set(b, kernel->source[s], rxn__kir_const(b, KIR_I32, p),
                             kernel->pathwise.drift[p * species + s]);
}

/* ---- samples ----------------------------------------------------------------------------------- */

static KirValue
place_of(SsaFrame *frame, const TangentKernel *kernel, KirValue row, Leaf leaf)
{
    KirBuilder *b = frame->builder;
    KirValue first = kir_mul(b, row, rxn__kir_const(b, KIR_I32, kernel->row.leaves));
    return kir_add(b, first, leaf.counter ? leaf.counter : rxn__kir_const(b, KIR_I32, leaf.number));
}

typedef struct Sample {
    Move move;
    KirValue row;
    KirValue **slopes; /* [columns] */
} Sample;

static void
record_leaf(SsaFrame *frame, TangentKernel *kernel, Leaf leaf, void *context)
{
    const Sample *sample = context;
    KirBuilder *b = frame->builder;
    const u32 columns = kernel->recorder.columns.count;
    const u32 integrals = kernel->recorder.integrals.count;
    KirValue *state = NEW_ARRAY(frame->arena, KirValue, frame->network->species_count + 1);
    KirValue *integral = NEW_ARRAY(frame->arena, KirValue, integrals + 1);
    move_leaf(frame, kernel, &sample->move, leaf, state, integral);
    KirValue place = place_of(frame, kernel, sample->row, leaf);
    for (u32 c = 0; c < columns; c++)
        rxn__kir_set(b, kernel->kept[c], place, along(frame, sample->slopes[c], state));
    for (u32 k = 0; k < integrals; k++)
        rxn__kir_set(b, kernel->kept[columns + k], place, integral[k]);
}

/* Looks ahead: the tangents stay where they are. */
static void
record(SsaFrame *frame, void *context, KirValue row, KirValue time)
{
    TangentKernel *kernel = context;
    Recorder *recorder = &kernel->recorder;
    rxn__recorder_record(recorder, row, time);
    if (!recorder->width)
        return;
    KirValue span = kir_sub(frame->builder, time, rxn__kir_get(frame->builder, frame->t, 0));
    Sample sample = {begin_move(frame, kernel, span), row,
                     NEW_ARRAY(frame->arena, KirValue *, recorder->columns.count + 1)};
    rxn__lower_forget(&frame->lower);
    frame->lower.time = time;
    for (u32 c = 0; c < recorder->columns.count; c++)
        sample.slopes[c] = slopes_of(frame, recorder->columns.items[c]);
    each_leaf(frame, kernel, record_leaf, &sample);
}

static void
elapse(SsaFrame *frame, void *context, const KirValue *below)
{
    TangentKernel *kernel = context;
    (void)below;
    rxn__recorder_elapse(&kernel->recorder);
    advance(frame, kernel);
}

typedef struct Assigning {
    const Event *event;
    KirValue **slopes; /* [assignments] */
} Assigning;

static void
assign_leaf(SsaFrame *frame, TangentKernel *kernel, Leaf leaf, void *context)
{
    const Assigning *assigning = context;
    const u32 species = frame->network->species_count;
    const u32 count = assigning->event->assignments.count;
    KirValue *state = NEW_ARRAY(frame->arena, KirValue, species + 1);
    KirValue *assigned = NEW_ARRAY(frame->arena, KirValue, count + 1);
    for (u32 s = 0; s < species; s++)
        state[s] = get_tangent(frame, kernel->state, species, s, leaf);
    for (u32 k = 0; k < count; k++)
        assigned[k] = along(frame, assigning->slopes[k], state);
    for (u32 k = 0; k < count; k++)
        set_tangent(frame, kernel->state, species, assigning->event->assignments.items[k].member,
                    leaf, assigned[k]);
}

/* An `at` or `every` assigns: the tangents of what it assigns follow; the others stay. Parameters in it are held:
 * counts are whole numbers. */
static void
assign(SsaFrame *frame, void *context, u32 event)
{
    TangentKernel *kernel = context;
    const Event *assigned = &frame->network->events.items[event];
    const u32 count = assigned->assignments.count;
    advance(frame, kernel);
    rxn__kir_set(frame->builder, kernel->left, 0, f64(frame, 0));
    Assigning assigning = {assigned, NEW_ARRAY(frame->arena, KirValue *, count + 1)};
    for (u32 k = 0; k < count; k++)
        assigning.slopes[k] = slopes_of(frame, assigned->assignments.items[k].value);
    each_leaf(frame, kernel, assign_leaf, &assigning);
}

/* ---- the row ----------------------------------------------------------------------------------- */

static KirValue
tangent_of_atom(SsaFrame *frame, TangentKernel *kernel, const Atom *atom, u32 leaf)
{
    KirBuilder *b = frame->builder;
    const Leaf of = {.number = leaf};
    u32 kept = kernel->kept[rxn__recorder_column(&kernel->recorder, atom)];
    u32 row = rxn__objective_row(kernel->objective, atom->to);
    KirValue last = rxn__kir_const(b, KIR_I32, row);
    KirValue value = rxn__kir_get(b, kept, place_of(frame, kernel, last, of));
    if (atom->kind != ATOM_INTEGRAL || !(atom->from > 0))
        return value;
    KirValue first = rxn__kir_const(b, KIR_I32, rxn__objective_row(kernel->objective, atom->from));
    return kir_sub(b, value, rxn__kir_get(b, kept, place_of(frame, kernel, first, of)));
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
