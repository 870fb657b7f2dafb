/* grad_path.c: the pathwise adjoint (path-adjoint), and the choice between it and its forward mode (path).
 *
 * Along the exact path, with x constant between jumps, backward from the end:
 *
 *   λ' = -J(x)ᵀ λ - Σ ∇g  (g: the integrands in force),  J = Σ_j ν_j ∇a_jᵀ,  λ += ∇F at each observation,
 *   dE[F]/dp = Σ over steps of Σ_j da_j/dp (ν_j · Λ),  Λ = ∫ λ dt over the step.
 *
 * λ only ever meets the changes ν_j. So it is carried in the coordinates of a basis of the space that they
 * span, h_c = v_c · λ: one number for dimerisation, seven for the oscillator of Vilar and others with nine
 * species. The basis is in reduced echelon form: v_c is 1 at its own species, which is 0 in the other vectors, so
 * that ν_j = Σ_c ν_j[species of c] v_c, and
 *
 *   h' = -M h - g,   M_cd = v_c · ∇f_d,   f_d = Σ_j ν_j[species of d] a_j:  the drift of that species.
 *
 * (Where an event assigns, λ itself is wanted: the basis is then that of the species.)
 *
 * The flow over a wait, exp of a matrix, is in grad_path_flow.c; the coordinates are in grad_path_basis.c.
 *
 * Nothing is masked where a propensity is zero: at a count of 0 the gradient of k x is still k, and an affine
 * network is differentiated without bias only so.
 */
#include "compiler/method/grad_path.h"
#include "compiler/method/grad_family.h"
#include "compiler/method/pathwise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

extern const Estimator rxn__estimator_path_forward;

/* Numbers that a gradient kernel keeps per trajectory. */
enum { MOST_SUMS = 1 << 20 };

/* ---- declarations ------------------------------------------------------------------------------ */

static u32
array_local(Path *path, const char *name, u32 length)
{
    return rxn__kir_local(path->tape->frame->builder, name, KIR_F64, length ? length : 1);
}

static void
declare(Tape *tape, void *context)
{
    Path *path = context;
    SsaFrame *frame = tape->frame;
    Network *network = frame->network;
    Recorder *recorder = &tape->recorder;
    path->tape = tape;
    rxn__path_coordinates(path, frame->arena, network);
    rxn__path_differentiate(path, frame->arena, network);
    u32 n = path->coordinates, columns = recorder->columns.count;
    path->kept = NEW_ARRAY(frame->arena, Expr, (size_t)recorder->width * n + 1);
    for (u32 k = 0; k < recorder->width; k++)
        rxn__path_along_basis(path, network,
                              k < columns ? recorder->columns.items[k]
                                          : recorder->integrals.items[k - columns].slope,
                              &path->kept[(size_t)k * n]);
    if (rxn__path_is_polynomial(path, network))
        rxn__tape_count_in_singles(tape);
    path->adjoint = array_local(path, "adjoint", tape->sets * n);
    path->force = array_local(path, "force", tape->sets * recorder->integrals.count);
    path->gradient = array_local(path, "gradient", tape->sets * tape->row.leaves);
    path->largest = rxn__kir_local(frame->builder, "largest", KIR_F32, 0);
    path->largest_double = rxn__kir_local(frame->builder, "largest_double", KIR_F64, 0);
    path->at = rxn__kir_local(frame->builder, "at", KIR_F64, 0);
    rxn__path_declare_flow(path);
}

static KirValue
lifted(Path *path, KirValue value)
{
    return kir_mul(path->tape->frame->builder, value, path_f64(path, PATH_LIFT));
}

static KirValue
lowered(Path *path, KirValue value)
{
    return kir_mul(path->tape->frame->builder, value, path_f64(path, 1 / PATH_LIFT));
}

static void
seed(Tape *tape, void *context)
{
    Path *path = context;
    for (u32 k = 0; k < tape->sets; k++)
        for (u32 p = 0; p < tape->row.leaves; p++) {
            KirValue direct = rxn__tape_explicit(tape, k, p);
            if (direct)
                path_set(path, path->gradient, k * tape->row.leaves + p, lifted(path, direct));
        }
}

/* ---- a step ------------------------------------------------------------------------------------ */

/* What is observed at the latest observation joins the adjoints; integrals that end or begin there come into
 * force or leave it. */
static void
observe(Path *path)
{
    Tape *tape = path->tape;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    u32 n = path->coordinates, columns = tape->recorder.columns.count;
    u32 integrals = tape->recorder.integrals.count;
    rxn__lower_forget(&frame->lower);
    frame->lower.time = rxn__kir_get(b, tape->observation_time, 0);
    KirValue *kept = rxn__path_lower_all(path, path->kept, (size_t)columns * n);
    for (u32 s = 0; s < tape->sets; s++) {
        for (u32 k = 0; k < columns; k++) {
            KirValue weight = lifted(path, rxn__tape_weight(tape, s, k));
            for (u32 c = 0; c < n; c++)
                if (kept[k * n + c])
                    path_set(path, path->adjoint, s * n + c,
                             kir_fma(b, weight, kept[k * n + c],
                                     path_get(path, path->adjoint, s * n + c)));
        }
        for (u32 k = 0; k < integrals; k++) {
            KirValue weight = lifted(path, rxn__tape_weight(tape, s, columns + k));
            KirValue before = path_get(path, path->force, s * integrals + k);
            path_set(path, path->force, s * integrals + k, kir_add(b, before, weight));
        }
    }
    rxn__tape_observed(tape);
    frame->lower.time = 0;
    rxn__lower_forget(&frame->lower);
}

/* The part of the step behind its observations: in pieces, from one to the next. Few steps have any. */
static void
cross_observations(Path *path, const TapeStep *step)
{
    Tape *tape = path->tape;
    KirBuilder *b = tape->frame->builder;
    rxn__kir_if(b, kir_ge(b, rxn__kir_get(b, tape->observation_time, 0), step->start));
    rxn__tape_settle(tape);
    for (u32 s = 0; s < tape->sets; s++)
        rxn__path_rest(path, s);
    rxn__kir_loop(b);
    KirValue observation = rxn__kir_get(b, tape->observation_time, 0);
    rxn__kir_if(b, kir_lt(b, observation, step->start));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue length = kir_sub(b, rxn__kir_get(b, path->at, 0), observation);
    rxn__tape_bind(tape, step);
    for (u32 s = 0; path->coordinates && s < tape->sets; s++)
        rxn__path_cross_in_parts(path, length, s);
    observe(path);
    rxn__kir_set(b, path->at, 0, observation);
    rxn__kir_close(b);
    for (u32 s = 0; s < tape->sets; s++)
        rxn__path_carry(path, s);
    rxn__kir_close(b);
}

static void
backward(Tape *tape, void *context, const TapeStep *step)
{
    Path *path = context;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    rxn__kir_set(b, path->at, 0, step->end);
    cross_observations(path, step);
    if (!path->coordinates)
        return;
    rxn__tape_bind(tape, step);
    PathWait wait;
    rxn__path_wait(path, step, &wait);
    for (u32 s = 0; s < tape->sets; s++)
        rxn__path_cross(path, &wait, s);
    rxn__lower_forget(&frame->lower);
}

/* λ before = (∂ of what it assigns)ᵀ λ after; what is assigned was worth nothing before. Parameters in it are held:
 * counts are whole numbers. */
static void
assigned(Tape *tape, void *context, u32 number, KirValue time)
{
    Path *path = context;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    Network *network = frame->network;
    Event event = network->events.items[number];
    u32 n = path->coordinates, count = event.assignments.count;
    KirValue *after = NEW_ARRAY(frame->arena, KirValue, count + 1);
    frame->lower.time = time;
    for (u32 set_number = 0; set_number < tape->sets; set_number++) {
        u32 first = set_number * n;
        rxn__path_rest(path, set_number);
        for (u32 k = 0; k < count; k++)
            after[k] = path_get(path, path->adjoint, first + event.assignments.items[k].member);
        for (u32 k = 0; k < count; k++)
            path_set(path, path->adjoint, first + event.assignments.items[k].member,
                     path_f64(path, 0));
        for (u32 k = 0; k < count; k++) {
            Expr value = event.assignments.items[k].value;
            for (u32 s = 0; s < network->species_count; s++) {
                Expr slope = rxn__path_derivative(network, value, EXPR_SPECIES, s);
                if (slope)
                    path_set(path, path->adjoint, first + s,
                             kir_fma(b, rxn__lower_as(&frame->lower, slope, KIR_F64), after[k],
                                     path_get(path, path->adjoint, first + s)));
            }
        }
        rxn__path_carry(path, set_number);
    }
    frame->lower.time = 0;
}

static void
finish(Tape *tape, void *context)
{
    Path *path = context;
    SsaFrame *frame = tape->frame;
    u32 leaves = path->row.leaves;
    for (u32 s = 0; s < tape->sets; s++) {
        rxn__path_rest(path, s);
        for (u32 p = 0; p < leaves; p++)
            rxn__row_store(frame, rxn__row_direct(&tape->row, s, p),
                           lowered(path, path_get(path, path->gradient, s * leaves + p)));
    }
    KirBuilder *b = frame->builder;
    KirValue largest = kir_sqrt(b, kir_cast(b, KIR_F64, rxn__kir_get(b, path->largest, 0)));
    rxn__row_store(frame, rxn__row_diagnostic(&tape->row, 0),
                   lowered(path, kir_max(b, largest, rxn__kir_get(b, path->largest_double, 0))));
}

/* ---- the estimators ---------------------------------------------------------------------------- */

static bool
applies(const GradientRequest *request, Text *ret_reason)
{
    if (!rxn__pathwise_takes(request, ret_reason) || !rxn__tape_weights_fit(request, ret_reason))
        return false;
    GradientForm form = rxn__family_form(request, ret_reason);
    if (form != GRADIENT_FORM_UNROLLED)
        return form == GRADIENT_FORM_TABLE;
    u64 sums = (u64)request->network->objective->functionals.count * request->wrt_count;
    if (sums <= MOST_SUMS)
        return true;
    rxn__text_printf(ret_reason,
                     "%u functionals of %u parameters are too many sums for one trajectory",
                     request->network->objective->functionals.count, request->wrt_count);
    return false;
}

static bool
takes_tables(const GradientRequest *request, Arena *arena)
{
    Text ignored;
    rxn__text_init(&ignored, arena);
    return rxn__family_form(request, &ignored) == GRADIENT_FORM_TABLE;
}

static const char *
write_adjoint(const GradientRequest *request, Arena *arena, NameTable *names,
              GradientKernel *ret_kernel)
{
    const Objective *objective = request->network->objective;
    if (takes_tables(request, arena))
        return rxn__family_path_write(request, arena, names, ret_kernel);
    Path path = {.request = request,
                 .row = {.functionals = objective->functionals.count,
                         .outputs = objective->outputs.count,
                         .leaves = request->wrt_count,
                         .has_direct = true,
                         .by_output = rxn__tape_by_output(request, arena),
                         .diagnostic_count = 1,
                         .diagnostics = {{"largest |lambda|", SUMMARY_MAX}}}};
    TapeMethod method = {.context = &path,
                         .declare = declare,
                         .seed = seed,
                         .backward = backward,
                         .assigned = assigned,
                         .finish = finish};
    ret_kernel->leaves = rxn__gradient_param_leaves(request, arena);
    ret_kernel->unbiased = rxn__pathwise_is_unbiased(request, &ret_kernel->remarks);
    const char *broken =
        rxn__tape_write(request, &method, &path.row, arena, names, &ret_kernel->kernel);
    ret_kernel->row = path.row;
    return broken;
}

const Estimator rxn__estimator_path_adjoint = {
    .name = "path-adjoint",
    .summary = "pathwise derivative along the exact path, backward",
    .applies = applies,
    .write = write_adjoint,
};

/* Forward mode carries one vector per parameter, the adjoint one per output and a tape. */
static bool
goes_backward(const GradientRequest *request, Arena *arena)
{
    const Objective *objective = request->network->objective;
    u32 sets = rxn__tape_by_output(request, arena) ? objective->outputs.count
                                                   : objective->functionals.count;
    Text reason;
    rxn__text_init(&reason, arena);
    if (takes_tables(request, arena))
        return true;
    return request->wrt_count > sets && applies(request, &reason);
}

static bool
path_applies(const GradientRequest *request, Text *ret_reason)
{
    if (takes_tables(request, request->network->arena))
        return applies(request, ret_reason);
    return rxn__pathwise_applies(request, ret_reason);
}

static const char *
write_path(const GradientRequest *request, Arena *arena, NameTable *names,
           GradientKernel *ret_kernel)
{
    bool adjoint = goes_backward(request, arena);
    const Estimator *chosen = adjoint ? &rxn__estimator_path_adjoint : &rxn__estimator_path_forward;
    const char *broken = chosen->write(request, arena, names, ret_kernel);
    if (broken)
        return broken;
    Text text;
    if (takes_tables(request, arena))
        return NULL; /* backward is then the only way */
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "%s; %s, since there %s %u parameter%s and %u functional%s",
                     ret_kernel->remarks, adjoint ? "backward" : "forward",
                     request->wrt_count == 1 ? "is" : "are", request->wrt_count,
                     request->wrt_count == 1 ? "" : "s", ret_kernel->row.functionals,
                     ret_kernel->row.functionals == 1 ? "" : "s");
    ret_kernel->remarks = text.data;
    return NULL;
}

const Estimator rxn__estimator_path = {
    .name = "path",
    .summary =
        "pathwise derivative along the exact path: forward or backward, whichever is less work",
    .applies = path_applies,
    .write = write_path,
};
