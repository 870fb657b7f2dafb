/* grad_family_path.c: the pathwise adjoint over tables, for networks of families that are too large to be
 * unrolled. What is computed, and why, is in grad_path.c; here λ is an array over the species, and J is never
 * formed: Jᵀ v is a pass over the reactions, by loops over their families,
 *
 *     for every reaction j:  w = ν_j · v;  for every species s in a_j:  next[s] += da_j/ds · w
 *
 * and so is the gradient: for every leaf l in a_j, gradient[l] += da_j/dl · (ν_j · Λ).
 *
 * A piece of a step of length t: the mean of λ over it is Σ_k S^k (λ + S⁻¹ t g)/(k+1)!, S = t Jᵀ, taken until a term
 * adds less than TOLERANCE; then λ(start) = λ(end) + S mean + t g. If MOST_TERMS are not enough, the piece is cut
 * into parts in which a bound of ‖S‖ is at most CUT_REACH.
 */
#include "compiler/method/grad_family.h"
#include "compiler/method/grad_tape.h"
#include "compiler/method/pathwise.h"

#include <math.h>

#define TOLERANCE 1e-11
#define CUT_REACH 2.0
enum { LEAST_TERMS = 2, MOST_TERMS = 24, CUT_TERMS = 18 }; /* 2^18/19! = 2e-12 */

typedef struct FamilyPath {
    Families families;
    Tape *tape;
    GradientRow row;
    LeafDerivatives *kept; /* of what the recorder keeps, by species: per column */

    u32 adjoint;          /* f64[sets * species] */
    u32 gradient;         /* f64[sets * leaves] */
    u32 force;            /* f64[sets * integrals]: weight of each integrand that is in force */
    u32 drive;            /* f64[species]: Σ weight ∇g */
    u32 term, mean, next; /* f64[species]: of the series */
    u32 cut_adjoint, cut_area;    /* f64[species]: of a piece that is cut */
    u32 at, largest, size, parts; /* f64 */
    u32 settled;                  /* bool */
} FamilyPath;

static KirValue
f64(FamilyPath *path, double value)
{
    return rxn__kir_const(path->families.frame->builder, KIR_F64, value);
}

static KirValue
i32v(FamilyPath *path, double value)
{
    return rxn__kir_const(path->families.frame->builder, KIR_I32, value);
}

static u32
species_count(const FamilyPath *path)
{
    return path->families.network->species_count;
}

static u32
array_local(FamilyPath *path, const char *name, u32 length)
{
    return rxn__kir_local(path->tape->frame->builder, name, KIR_F64, length + !length);
}

static u32
number_local(FamilyPath *path, const char *name)
{
    return rxn__kir_local(path->tape->frame->builder, name, KIR_F64, 0);
}

static void
declare(Tape *tape, void *context)
{
    FamilyPath *path = context;
    Families *families = &path->families;
    const Network *network = families->network;
    Recorder *recorder = &tape->recorder;
    path->tape = tape;
    families->frame = tape->frame;
    path->kept = NEW_ARRAY(families->arena, LeafDerivatives, recorder->width + 1);
    for (u32 k = 0; k < recorder->width; k++) {
        u32 columns = recorder->columns.count;
        rxn__family_derive(families,
                           k < columns ? recorder->columns.items[k]
                                       : recorder->integrals.items[k - columns].slope,
                           &path->kept[k], NULL);
    }
    u32 species = network->species_count;
    path->adjoint = array_local(path, "adjoint", tape->sets * species);
    path->gradient = array_local(path, "gradient", tape->sets * families->leaves);
    path->force = array_local(path, "force", tape->sets * recorder->integrals.count);
    path->drive = array_local(path, "drive", species);
    path->term = array_local(path, "term", species);
    path->mean = array_local(path, "mean", species);
    path->next = array_local(path, "next", species);
    path->cut_adjoint = array_local(path, "cut_adjoint", species);
    path->cut_area = array_local(path, "cut_area", species);
    path->at = number_local(path, "at");
    path->largest = number_local(path, "largest");
    path->size = number_local(path, "size");
    path->parts = number_local(path, "parts");
    path->settled = rxn__kir_local(tape->frame->builder, "settled", KIR_BOOL, 0);
}

static void
seed(Tape *tape, void *context)
{
    FamilyPath *path = context;
    const Families *families = &path->families;
    KirBuilder *b = tape->frame->builder;
    for (u32 k = 0; k < tape->sets; k++)
        for (u32 p = 0; p < families->explicit_request.wrt_count; p++) {
            KirValue direct = rxn__tape_explicit(tape, k, p);
            u32 place = k * families->leaves + families->explicit_first + p;
            if (direct)
                rxn__kir_set(b, path->gradient, i32v(path, place), direct);
        }
}

/* ---- passes over species and reactions ----------------------------------------------------------- */

/* Opens a loop over the species. */
static KirValue
each_species(FamilyPath *path)
{
    return rxn__kir_for(path->families.frame->builder, i32v(path, 0),
                        i32v(path, species_count(path)));
}

static void
close(FamilyPath *path)
{
    rxn__family_close(&path->families);
}

static void
copy(FamilyPath *path, u32 to, u32 from, KirValue first)
{
    KirBuilder *b = path->families.frame->builder;
    KirValue s = each_species(path);
    rxn__kir_set(b, to, s, rxn__kir_get(b, from, first ? kir_add(b, first, s) : s));
    close(path);
}

static void
clear(FamilyPath *path, u32 local)
{
    KirValue s = each_species(path);
    rxn__kir_set(path->families.frame->builder, local, s, f64(path, 0));
    close(path);
}

/* What a pass does with each reaction. */
typedef struct Pass {
    FamilyPath *path;
    const FamilyLaw *law;
    u32 from;          /* v: f64[species] */
    bool bounds;       /* Σ |ν| |da/ds| instead of Jᵀ v */
    KirValue leaves;   /* or 0; else i32: where the gradient of this set begins */
    KirValue duration; /* for the gradient */
} Pass;

static double
length_of(const FamilyLaw *law)
{
    double length = 0;
    for (u32 k = 0; k < law->change_count; k++)
        length += fabs((double)law->changes[k].delta);
    return length;
}

static void
pass_member(SsaFrame *frame, void *context)
{
    const Pass *pass = context;
    FamilyPath *path = pass->path;
    const Families *families = &path->families;
    KirValue worth = pass->bounds ? f64(path, length_of(pass->law))
                                  : rxn__family_worth(families, pass->law, pass->from, 0);
    FamilySum flow = {path->next, 0, worth, pass->bounds};
    rxn__family_add_all(families, &pass->law->species, &flow);
    if (!pass->leaves)
        return;
    FamilySum gain = {path->gradient, pass->leaves, kir_mul(frame->builder, worth, pass->duration),
                      false};
    rxn__family_add_all(families, &pass->law->leaves, &gain);
}

/* next += what the pass says, over all reactions. */
static void
run_pass(Pass *pass)
{
    const Families *families = &pass->path->families;
    for (u32 k = 0; k < families->law_count; k++) {
        pass->law = &families->laws[k];
        bool acts = pass->law->species.count || (pass->leaves && pass->law->leaves.count);
        MemberVisit visit = {pass_member, pass};
        if (acts && pass->law->change_count)
            rxn__family_each(families, pass->law, &visit);
    }
}

/* next = Jᵀ from */
static void
apply(FamilyPath *path, u32 from)
{
    Pass pass = {.path = path, .from = from};
    clear(path, path->next);
    run_pass(&pass);
}

static bool
is_driven(const FamilyPath *path)
{
    return path->tape->recorder.integrals.count > 0;
}

/* ---- a piece of a step ------------------------------------------------------------------------- */

/* Adds terms 1 … most of the series of a piece of this length to `mean`; the 0-th one is there, and in `term`. Leaves
 * when they are small against `size`, where it is told to (ends). */
static void
write_series(FamilyPath *path, KirValue length, u32 most, bool ends)
{
    KirBuilder *b = path->families.frame->builder;
    u32 last = number_local(path, "last_term");
    KirValue order = rxn__kir_for(b, i32v(path, 1), i32v(path, (double)most + 1));
    KirValue k = kir_cast(b, KIR_F64, order);
    KirValue factor = kir_div(b, length, k);
    KirValue share = kir_div(b, f64(path, 1), kir_add(b, k, f64(path, 1)));
    KirValue first = kir_eq(b, order, i32v(path, 1));
    apply(path, path->term);
    rxn__kir_set(b, last, 0, f64(path, 0));
    KirValue s = each_species(path);
    KirValue next = rxn__kir_get(b, path->next, s);
    if (is_driven(path))
        next =
            kir_add(b, next, kir_select(b, first, rxn__kir_get(b, path->drive, s), f64(path, 0)));
    KirValue term = kir_mul(b, next, factor);
    rxn__kir_set(b, path->term, s, term);
    rxn__kir_set(b, path->mean, s, kir_fma(b, term, share, rxn__kir_get(b, path->mean, s)));
    /* Not max, which would lose a NaN. */
    KirValue most_so_far = rxn__kir_get(b, last, 0), magnitude = kir_abs(b, term);
    KirValue below = kir_le(b, magnitude, most_so_far);
    rxn__kir_set(b, last, 0, kir_select(b, below, most_so_far, magnitude));
    close(path);
    if (ends) {
        KirValue enough = kir_mul(b, rxn__kir_get(b, path->size, 0), f64(path, TOLERANCE));
        KirValue small = kir_le(b, kir_mul(b, rxn__kir_get(b, last, 0), share), enough);
        small = kir_and(b, small, kir_ge(b, order, i32v(path, LEAST_TERMS)));
        rxn__kir_set(b, path->settled, 0, small);
        rxn__kir_if(b, small);
        rxn__kir_break(b);
        rxn__kir_close(b);
    }
    close(path);
}

/* next += drive */
static void
add_drive(FamilyPath *path)
{
    KirBuilder *b = path->families.frame->builder;
    if (!is_driven(path))
        return;
    KirValue s = each_species(path);
    KirValue drive = rxn__kir_get(b, path->drive, s);
    rxn__kir_set(b, path->next, s, kir_add(b, rxn__kir_get(b, path->next, s), drive));
    close(path);
}

/* local[first + …] += length * next */
static void
advance(FamilyPath *path, u32 local, KirValue first, KirValue length)
{
    KirBuilder *b = path->families.frame->builder;
    KirValue s = each_species(path);
    KirValue place = first ? kir_add(b, first, s) : s;
    rxn__kir_set(b, local, place,
                 kir_fma(b, length, rxn__kir_get(b, path->next, s), rxn__kir_get(b, local, place)));
    close(path);
}

/* The greatest row of |S|. */
static KirValue
bound_of(FamilyPath *path, KirValue length)
{
    KirBuilder *b = path->families.frame->builder;
    Pass pass = {.path = path, .bounds = true};
    u32 bound = number_local(path, "bound");
    clear(path, path->next);
    run_pass(&pass);
    rxn__kir_set(b, bound, 0, f64(path, 0));
    KirValue s = each_species(path);
    KirValue most = rxn__kir_get(b, bound, 0), row = rxn__kir_get(b, path->next, s);
    rxn__kir_set(b, bound, 0, kir_select(b, kir_le(b, row, most), most, row));
    close(path);
    return kir_mul(b, rxn__kir_get(b, bound, 0), length);
}

/* A piece in which rates of change are large against its length: its mean, in equal parts. */
static void
cross_in_parts(FamilyPath *path, KirValue first, KirValue length)
{
    const double most_parts = 1e6; /* beyond that, and for what is no number, it is a fault */
    KirBuilder *b = path->families.frame->builder;
    KirValue bound = bound_of(path, length);
    KirValue parts =
        kir_max(b, f64(path, 1), kir_ceil(b, kir_mul(b, bound, f64(path, 1 / CUT_REACH))));
    KirValue possible =
        kir_and(b, kir_eq(b, bound, bound), kir_lt(b, parts, f64(path, most_parts)));
    rxn__kir_if(b, kir_not(b, possible));
    rxn__kir_set(b, path->families.frame->t, 0, rxn__kir_get(b, path->at, 0));
    rxn__kir_trap(b, RXN_FAULT_STIFF, rxn__kir_const(b, KIR_U32, 0));
    rxn__kir_close(b);
    KirValue share = kir_div(b, f64(path, 1), parts), part = kir_mul(b, length, share);
    copy(path, path->cut_adjoint, path->adjoint, first);
    KirValue s = each_species(path);
    rxn__kir_set(b, path->cut_area, s, f64(path, 0));
    close(path);
    rxn__kir_set(b, path->parts, 0, parts);
    rxn__kir_loop(b);
    copy(path, path->term, path->cut_adjoint, 0);
    copy(path, path->mean, path->cut_adjoint, 0);
    write_series(path, part, CUT_TERMS, false);
    apply(path, path->mean);
    add_drive(path);
    advance(path, path->cut_adjoint, 0, part);
    s = each_species(path);
    rxn__kir_set(
        b, path->cut_area, s,
        kir_fma(b, share, rxn__kir_get(b, path->mean, s), rxn__kir_get(b, path->cut_area, s)));
    close(path);
    KirValue left = kir_sub(b, rxn__kir_get(b, path->parts, 0), f64(path, 1));
    rxn__kir_set(b, path->parts, 0, left);
    rxn__kir_if(b, kir_not(b, kir_gt(b, left, f64(path, 0.5))));
    rxn__kir_break(b);
    rxn__kir_close(b);
    close(path);
    copy(path, path->mean, path->cut_area, 0);
}

/* drive = Σ weight ∇g of this set. */
static void
set_drive(FamilyPath *path, KirValue set)
{
    KirBuilder *b = path->families.frame->builder;
    u32 columns = path->tape->recorder.columns.count;
    u32 integrals = path->tape->recorder.integrals.count;
    clear(path, path->drive);
    KirValue first = kir_mul(b, set, i32v(path, integrals));
    for (u32 k = 0; k < integrals; k++) {
        KirValue weight = rxn__kir_get(b, path->force, kir_add(b, first, i32v(path, k)));
        FamilySum sum = {path->drive, 0, weight, false};
        rxn__family_add_all(&path->families, &path->kept[columns + k], &sum);
        rxn__lower_forget(&path->families.frame->lower);
    }
}

/* Goes back over one piece of the step with one set (i32). */
static void
cross_piece(FamilyPath *path, KirValue set, KirValue length)
{
    KirBuilder *b = path->families.frame->builder;
    KirValue first = kir_mul(b, set, i32v(path, species_count(path)));
    if (is_driven(path))
        set_drive(path, set);
    rxn__kir_set(b, path->size, 0, f64(path, 0));
    KirValue s = each_species(path);
    KirValue value = rxn__kir_get(b, path->adjoint, kir_add(b, first, s));
    rxn__kir_set(b, path->term, s, value);
    rxn__kir_set(b, path->mean, s, value);
    KirValue size = kir_abs(b, value);
    rxn__kir_set(b, path->largest, 0, kir_max(b, rxn__kir_get(b, path->largest, 0), size));
    if (is_driven(path))
        size = kir_fma(b, kir_abs(b, rxn__kir_get(b, path->drive, s)), length, size);
    rxn__kir_set(b, path->size, 0, kir_max(b, rxn__kir_get(b, path->size, 0), size));
    close(path);
    write_series(path, length, MOST_TERMS, true);
    rxn__kir_if(b, kir_not(b, rxn__kir_get(b, path->settled, 0)));
    rxn__lower_forget(&path->families.frame->lower);
    cross_in_parts(path, first, length);
    close(path);
    Pass pass = {.path = path,
                 .from = path->mean,
                 .leaves = kir_mul(b, set, i32v(path, path->families.leaves)),
                 .duration = length};
    clear(path, path->next);
    run_pass(&pass);
    add_drive(path);
    advance(path, path->adjoint, first, length);
}

/* ---- the way back ------------------------------------------------------------------------------ */

/* As observe in grad_path.c. */
static void
observe(FamilyPath *path)
{
    Tape *tape = path->tape;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    u32 columns = tape->recorder.columns.count, integrals = tape->recorder.integrals.count;
    rxn__lower_forget(&frame->lower);
    frame->lower.time = rxn__kir_get(b, tape->observation_time, 0);
    for (u32 set = 0; set < tape->sets; set++) {
        for (u32 k = 0; k < columns; k++) {
            FamilySum sum = {path->adjoint, i32v(path, (double)set * species_count(path)),
                             rxn__tape_weight(tape, set, k), false};
            rxn__family_add_all(&path->families, &path->kept[k], &sum);
        }
        for (u32 k = 0; k < integrals; k++) {
            KirValue place = i32v(path, set * integrals + k);
            KirValue weight = rxn__tape_weight(tape, set, columns + k);
            rxn__kir_set(b, path->force, place,
                         kir_add(b, rxn__kir_get(b, path->force, place), weight));
        }
    }
    rxn__tape_observed(tape);
    frame->lower.time = 0;
    rxn__lower_forget(&frame->lower);
}

static void
backward(Tape *tape, void *context, const TapeStep *step)
{
    FamilyPath *path = context;
    KirBuilder *b = tape->frame->builder;
    rxn__tape_bind(tape, step);
    rxn__kir_set(b, path->at, 0, step->end);

    /* From one observation to the next: in most steps there is none, and one turn. */
    rxn__kir_loop(b);
    KirValue observation = rxn__kir_get(b, tape->observation_time, 0);
    KirValue to = kir_max(b, observation, step->start);
    KirValue length = kir_sub(b, rxn__kir_get(b, path->at, 0), to);
    KirValue set = rxn__kir_for(b, i32v(path, 0), i32v(path, tape->sets));
    cross_piece(path, set, length);
    close(path);
    rxn__kir_if(b, kir_lt(b, observation, step->start));
    rxn__kir_break(b);
    rxn__kir_close(b);
    observe(path);
    rxn__kir_set(b, path->at, 0, to);
    close(path);
}

/* λ before = (∂ of what it assigns)ᵀ λ after; what is assigned was worth nothing before. Parameters in it are held:
 * counts are whole numbers. */
static void
assigned(Tape *tape, void *context, u32 number, KirValue time)
{
    FamilyPath *path = context;
    const Families *families = &path->families;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    Event event = families->network->events.items[number];
    u32 count = event.assignments.count;
    KirValue *after = NEW_ARRAY(frame->arena, KirValue, count + 1);
    frame->lower.time = time;
    for (u32 set = 0; set < tape->sets; set++) {
        u32 first = set * species_count(path);
        for (u32 k = 0; k < count; k++) {
            KirValue place = i32v(path, first + event.assignments.items[k].member);
            after[k] = rxn__kir_get(b, path->adjoint, place);
        }
        for (u32 k = 0; k < count; k++)
            rxn__kir_set(b, path->adjoint, i32v(path, first + event.assignments.items[k].member),
                         f64(path, 0));
        for (u32 k = 0; k < count; k++) {
            LeafDerivatives species = {0}, leaves = {0};
            rxn__family_derive(families, event.assignments.items[k].value, &species, &leaves);
            FamilySum flow = {path->adjoint, i32v(path, first), after[k], false};
            rxn__family_add_all(families, &species, &flow);
            rxn__lower_forget(&frame->lower);
        }
    }
    frame->lower.time = 0;
}

static void
finish(Tape *tape, void *context)
{
    FamilyPath *path = context;
    SsaFrame *frame = tape->frame;
    for (u32 set = 0; set < tape->sets; set++)
        rxn__family_store(&path->families, rxn__row_direct(&tape->row, set, 0),
                          path->families.leaves, path->gradient,
                          i32v(path, (double)set * path->families.leaves));
    rxn__row_store(frame, rxn__row_diagnostic(&tape->row, 0),
                   rxn__kir_get(frame->builder, path->largest, 0));
}

const char *
rxn__family_path_write(const GradientRequest *request, Arena *arena, NameTable *names,
                       GradientKernel *ret_kernel)
{
    const Objective *objective = request->network->objective;
    FamilyPath path = {0};
    rxn__family_begin(&path.families, request, arena, true);
    path.row = (GradientRow){.functionals = objective->functionals.count,
                             .outputs = objective->outputs.count,
                             .leaves = path.families.leaves,
                             .has_direct = true,
                             .by_output = rxn__tape_by_output(request, arena),
                             .diagnostic_count = 1,
                             .diagnostics = {{"largest |lambda|", SUMMARY_MAX}}};
    TapeMethod method = {.context = &path,
                         .tables = true,
                         .direct = &path.families.explicit_request,
                         .declare = declare,
                         .seed = seed,
                         .backward = backward,
                         .assigned = assigned,
                         .finish = finish};
    ret_kernel->leaves = rxn__family_leaves(&path.families);
    ret_kernel->unbiased = rxn__pathwise_is_unbiased(request, &ret_kernel->remarks);
    const char *broken =
        rxn__tape_write(request, &method, &path.row, arena, names, &ret_kernel->kernel);
    ret_kernel->row = path.row;
    return broken;
}
