/* grad_family_path.c: the pathwise adjoint over tables, for networks of families that are too large to be
 * unrolled. What is computed, and why, is in grad_path.c; here λ is an array of coordinates (a number for each species,
 * or fewer: see grad_layer.h), and J is never formed: Jᵀ v is a pass over the reactions, by loops over their families,
 *
 *     for every reaction j:  w = ν_j · v;  for every species s in a_j:  next[s] += da_j/ds · w
 *
 * and so is the gradient: for every leaf l in a_j, gradient[l] += da_j/dl · (ν_j · Λ). Reactions whose law is free of
 * the state have da_j/dl at the end, once: (ν_j · ∫Λ) is all that is wanted of the way.
 *
 * A piece of a step of length t: the mean of λ over it is Σ_k S^k (λ + S⁻¹ t g)/(k+1)!, S = t Jᵀ, taken until a term
 * adds less than TOLERANCE; then λ(start) = λ(end) + S mean + t g. If MOST_TERMS are not enough, the piece is cut
 * into parts in which a bound of ‖S‖ is at most CUT_REACH.
 */
#include "compiler/method/grad_family.h"
#include "compiler/method/grad_layer.h"
#include "compiler/method/grad_tape.h"
#include "compiler/method/pathwise.h"

#include <math.h>

#define TOLERANCE 1e-11
#define CUT_REACH 2.0
enum { LEAST_TERMS = 2, MOST_TERMS = 24, CUT_TERMS = 18 }; /* 2^18/19! = 2e-12 */

/* Derivatives that are computed once a step, and not once a pass: up to so many. */
enum { MOST_SLOPES = 4096 };
#define NO_SLOT UINT32_MAX

/* Which of a law's entries (by species, by sums, by leaves, one behind the other) are kept, and where. */
typedef struct LawSlopes {
    u32 first, width; /* width: of one member */
    u32 *slot;
} LawSlopes;

typedef struct FamilyPath {
    Families families;
    Layer layer;
    Tape *tape;
    GradientRow row;
    LeafDerivatives *kept; /* of what the recorder keeps, by species: per column */
    LawSlopes *slopes;     /* per law */

    u32 adjoint;          /* f64[sets * coordinates] */
    u32 gradient;         /* f64[sets * leaves] */
    u32 force;            /* f64[sets * integrals]: weight of each integrand that is in force */
    u32 drive;            /* f64[coordinates]: Σ weight ∇g */
    u32 term, mean, next; /* f64[coordinates]: of the series */
    u32 slope;            /* f64: derivatives of laws in this step */
    u32 cut_adjoint, cut_area;    /* f64[coordinates]: of a piece that is cut */
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
coordinates(const FamilyPath *path)
{
    return path->layer.coordinates;
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

/* ---- derivatives of a step --------------------------------------------------------------------- */

static u32
entry_count(const FamilyLaw *law)
{
    return law->species.count + law->sums.count + law->leaves.count;
}

static const LeafDerivative *
entry_of(const FamilyLaw *law, u32 number)
{
    if (number < law->species.count)
        return &law->species.items[number];
    number -= law->species.count;
    return number < law->sums.count ? &law->sums.items[number]
                                    : &law->leaves.items[number - law->sums.count];
}

/* Whether a law has to be looked at in every step. */
static bool
is_active(const FamilyPath *path, const FamilyLaw *law)
{
    return law->change_count && !law->decays && !rxn__layer_is_steady(&path->layer, law);
}

/* A number for each derivative that depends on the state, and has no loop of its own, of each member. */
static void
declare_slopes(FamilyPath *path)
{
    const Families *families = &path->families;
    u32 total = 0;
    path->slopes = NEW_ARRAY(families->arena, LawSlopes, families->law_count + 1);
    for (u32 k = 0; k < families->law_count; k++) {
        const FamilyLaw *law = &families->laws[k];
        LawSlopes *slopes = &path->slopes[k];
        u32 entries = entry_count(law);
        slopes->slot = NEW_ARRAY(families->arena, u32, entries + 1);
        slopes->first = total;
        bool fits =
            is_active(path, law) && (u64)law->reaction.count * entries <= MOST_SLOPES - total;
        for (u32 e = 0; e < entries; e++) {
            const LeafDerivative *entry = entry_of(law, e);
            ExprUses uses = rxn__expr_uses(families->network, entry->derivative);
            bool varies = uses.species || uses.quantities;
            slopes->slot[e] = fits && varies && entry->bound_count == 0 ? slopes->width++ : NO_SLOT;
        }
        total += slopes->width * law->reaction.count;
    }
    path->slope = array_local(path, "slope", total);
}

static KirValue
slope_place(FamilyPath *path, const FamilyLaw *law, u32 slot)
{
    KirBuilder *b = path->families.frame->builder;
    const LawSlopes *slopes = &path->slopes[law - path->families.laws];
    KirValue member = rxn__ssa_reaction_flat(path->families.frame, &law->reaction);
    member = kir_sub(b, member, i32v(path, law->reaction.flat));
    return kir_add(b, kir_mul(b, member, i32v(path, slopes->width)),
                   i32v(path, (double)slopes->first + slot));
}

typedef struct SlopeVisit {
    FamilyPath *path;
    const FamilyLaw *law;
} SlopeVisit;

static void
slopes_of_member(SsaFrame *frame, void *context)
{
    const SlopeVisit *visit = context;
    FamilyPath *path = visit->path;
    const LawSlopes *slopes = &path->slopes[visit->law - path->families.laws];
    for (u32 e = 0; e < entry_count(visit->law); e++) {
        if (slopes->slot[e] == NO_SLOT)
            continue;
        KirValue value = rxn__lower_as(&frame->lower, entry_of(visit->law, e)->derivative, KIR_F64);
        rxn__kir_set(frame->builder, path->slope, slope_place(path, visit->law, slopes->slot[e]),
                     value);
    }
}

/* The derivatives of all laws in the state of this step. */
static void
write_slopes(FamilyPath *path)
{
    for (u32 k = 0; k < path->families.law_count; k++) {
        SlopeVisit slopes = {path, &path->families.laws[k]};
        MemberVisit visit = {slopes_of_member, &slopes};
        if (path->slopes[k].width)
            rxn__family_each(&path->families, slopes.law, &visit);
    }
}

/* Its value for the member that is bound; for entries without loops of their own. */
static KirValue
slope_of(FamilyPath *path, const FamilyLaw *law, u32 number)
{
    SsaFrame *frame = path->families.frame;
    u32 slot = path->slopes[law - path->families.laws].slot[number];
    if (slot == NO_SLOT)
        return rxn__lower_as(&frame->lower, entry_of(law, number)->derivative, KIR_F64);
    return rxn__kir_get(frame->builder, path->slope, slope_place(path, law, slot));
}

/* ---- the start of the way back ------------------------------------------------------------------- */

/* Columns that are there for the derivatives of functionals alone have no weight, and no entries. */
static void
derive_kept(FamilyPath *path)
{
    const Families *families = &path->families;
    Recorder *recorder = &path->tape->recorder;
    const Objective *objective = families->network->objective;
    for (u32 k = 0; k < objective->atoms.count; k++) {
        Atom atom = objective->atoms.items[k];
        if (atom.kind == ATOM_PASSAGE)
            continue;
        LeafDerivatives *kept = &path->kept[rxn__recorder_column(recorder, &atom)];
        *kept = (LeafDerivatives){0};
        rxn__family_derive(families, atom.value, kept, NULL, NULL);
    }
}

static void
declare(Tape *tape, void *context)
{
    FamilyPath *path = context;
    Families *families = &path->families;
    Recorder *recorder = &tape->recorder;
    path->tape = tape;
    families->frame = tape->frame;
    path->kept = NEW_ARRAY(families->arena, LeafDerivatives, recorder->width + 1);
    derive_kept(path);
    rxn__layer_plan(&path->layer, families, path->kept, recorder->width,
                    families->request->form == GRADIENT_FORM_DENSE);
    u32 count = coordinates(path);
    path->adjoint = array_local(path, "adjoint", tape->sets * count);
    path->gradient = array_local(path, "gradient", tape->sets * families->leaves);
    path->force = array_local(path, "force", tape->sets * recorder->integrals.count);
    path->drive = array_local(path, "drive", count);
    path->term = array_local(path, "term", count);
    path->mean = array_local(path, "mean", count);
    path->next = array_local(path, "next", count);
    path->cut_adjoint = array_local(path, "cut_adjoint", count);
    path->cut_area = array_local(path, "cut_area", count);
    path->at = number_local(path, "at");
    path->largest = number_local(path, "largest");
    path->size = number_local(path, "size");
    path->parts = number_local(path, "parts");
    path->settled = rxn__kir_local(tape->frame->builder, "settled", KIR_BOOL, 0);
    path->layer.adjoint = path->adjoint;
    path->layer.gradient = path->gradient;
    path->layer.largest = path->largest;
    rxn__layer_declare(&path->layer, tape->sets);
    declare_slopes(path);
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

/* Opens a loop over the coordinates. */
static KirValue
each_coordinate(FamilyPath *path)
{
    return rxn__kir_for(path->families.frame->builder, i32v(path, 0),
                        i32v(path, coordinates(path)));
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
    KirValue s = each_coordinate(path);
    rxn__kir_set(b, to, s, rxn__kir_get(b, from, first ? kir_add(b, first, s) : s));
    close(path);
}

static void
clear(FamilyPath *path, u32 local)
{
    KirValue s = each_coordinate(path);
    rxn__kir_set(path->families.frame->builder, local, s, f64(path, 0));
    close(path);
}

/* What a pass does with each reaction. */
typedef struct Pass {
    FamilyPath *path;
    const FamilyLaw *law;
    u32 from;          /* v: f64[coordinates] */
    bool bounds;       /* Σ |ν| |da/ds| instead of Jᵀ v */
    KirValue set;      /* or 0; else i32: the set whose gradient gets its share */
    KirValue duration; /* for the gradient */
} Pass;

static void
add_entry(const Pass *pass, u32 number, const FamilySum *sum)
{
    FamilyPath *path = pass->path;
    const LeafDerivative *entry = entry_of(pass->law, number);
    if (entry->bound_count) {
        rxn__family_add(&path->families, entry, sum);
        return;
    }
    KirValue slope = slope_of(path, pass->law, number);
    if (sum->absolute)
        slope = kir_abs(path->families.frame->builder, slope);
    rxn__family_add_value(&path->families, entry, sum, slope);
}

/* What the member's law has by a sum. */
static void
add_to_sum(const Pass *pass, u32 number, KirValue worth)
{
    FamilyPath *path = pass->path;
    KirBuilder *b = path->families.frame->builder;
    const LeafDerivative *entry = entry_of(pass->law, number);
    KirValue slope = slope_of(path, pass->law, number);
    KirValue place = rxn__layer_coordinate(&path->layer, entry);
    KirValue so_far = rxn__kir_get(b, path->next, place);
    if (pass->bounds)
        slope = kir_abs(b, slope);
    rxn__kir_set(b, path->next, place, kir_fma(b, slope, worth, so_far));
    if (pass->set)
        rxn__layer_influx(&path->layer, entry, pass->set,
                          kir_mul(b, slope, kir_mul(b, worth, pass->duration)));
}

static void
pass_member(SsaFrame *frame, void *context)
{
    const Pass *pass = context;
    FamilyPath *path = pass->path;
    const FamilyLaw *law = pass->law;
    KirBuilder *b = frame->builder;
    KirValue worth = rxn__layer_worth(&path->layer, law, pass->from, 0, pass->bounds);
    FamilySum flow = {path->next, 0, worth, pass->bounds};
    u32 number = 0;
    for (; number < law->species.count; number++)
        add_entry(pass, number, &flow);
    for (; number < law->species.count + law->sums.count; number++)
        add_to_sum(pass, number, worth);
    if (!pass->set)
        return;
    FamilySum gain = {path->gradient, kir_mul(b, pass->set, i32v(path, path->families.leaves)),
                      kir_mul(b, worth, pass->duration), false};
    for (; number < entry_count(law); number++)
        add_entry(pass, number, &gain);
}

/* next += what the pass says, over all reactions. */
static void
run_pass(Pass *pass)
{
    FamilyPath *path = pass->path;
    const Families *families = &path->families;
    for (u32 k = 0; k < families->law_count; k++) {
        pass->law = &families->laws[k];
        bool acts = pass->law->species.count || pass->law->sums.count ||
                    (pass->set && pass->law->leaves.count);
        MemberVisit visit = {pass_member, pass};
        if (acts && is_active(path, pass->law))
            rxn__family_each(families, pass->law, &visit);
    }
    rxn__layer_decay(&path->layer, path->next, pass->from, pass->bounds);
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
    KirValue s = each_coordinate(path);
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
    KirValue s = each_coordinate(path);
    KirValue drive = rxn__kir_get(b, path->drive, s);
    rxn__kir_set(b, path->next, s, kir_add(b, rxn__kir_get(b, path->next, s), drive));
    close(path);
}

/* local[first + …] += length * next */
static void
advance(FamilyPath *path, u32 local, KirValue first, KirValue length)
{
    KirBuilder *b = path->families.frame->builder;
    KirValue s = each_coordinate(path);
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
    KirValue s = each_coordinate(path);
    KirValue most = rxn__kir_get(b, bound, 0), row = rxn__kir_get(b, path->next, s);
    rxn__kir_set(b, bound, 0, kir_select(b, kir_le(b, row, most), most, row));
    close(path);
    return kir_mul(b, rxn__kir_get(b, bound, 0), length);
}

/* A piece in which rates of change are large against its length: its mean, in equal parts. */
static void
cross_in_parts(FamilyPath *path, KirValue first, KirValue length)
{
    SsaFrame *frame = path->families.frame;
    KirBuilder *b = frame->builder;
    KirValue parts = rxn__pathwise_parts(frame, bound_of(path, length), CUT_REACH, path->at);
    KirValue share = kir_div(b, f64(path, 1), parts), part = kir_mul(b, length, share);
    copy(path, path->cut_adjoint, path->adjoint, first);
    KirValue s = each_coordinate(path);
    rxn__kir_set(b, path->cut_area, s, f64(path, 0));
    close(path);
    rxn__pathwise_each_part(frame, parts, path->parts);
    copy(path, path->term, path->cut_adjoint, 0);
    copy(path, path->mean, path->cut_adjoint, 0);
    write_series(path, part, CUT_TERMS, false);
    apply(path, path->mean);
    add_drive(path);
    advance(path, path->cut_adjoint, 0, part);
    s = each_coordinate(path);
    rxn__kir_set(
        b, path->cut_area, s,
        kir_fma(b, share, rxn__kir_get(b, path->mean, s), rxn__kir_get(b, path->cut_area, s)));
    close(path);
    rxn__pathwise_close_part(frame, path->parts);
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
        rxn__layer_observe(&path->layer, columns + k, path->drive, 0, weight);
        rxn__lower_forget(&path->families.frame->lower);
    }
}

/* Goes back over one piece of the step with one set (i32). */
static void
cross_piece(FamilyPath *path, KirValue set, KirValue length)
{
    KirBuilder *b = path->families.frame->builder;
    KirValue first = kir_mul(b, set, i32v(path, coordinates(path)));
    if (is_driven(path))
        set_drive(path, set);
    rxn__kir_set(b, path->size, 0, f64(path, 0));
    KirValue s = each_coordinate(path);
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
    Pass pass = {.path = path, .from = path->mean, .set = set, .duration = length};
    clear(path, path->next);
    run_pass(&pass);
    rxn__layer_wait(&path->layer, set, path->mean, length);
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
            KirValue first = i32v(path, (double)set * coordinates(path));
            FamilySum sum = {path->adjoint, first, rxn__tape_weight(tape, set, k), false};
            rxn__family_add_all(&path->families, &path->kept[k], &sum);
            rxn__layer_observe(&path->layer, k, path->adjoint, first, sum.factor);
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
    rxn__layer_undo(&path->layer, step->code);
    rxn__tape_bind(tape, step);
    rxn__layer_bind(&path->layer);
    write_slopes(path);
    rxn__kir_set(b, path->at, 0, step->end);

    /* From one observation to the next: in most steps there is none, and one turn. */
    rxn__kir_loop(b);
    KirValue observation = rxn__kir_get(b, tape->observation_time, 0);
    KirValue to = kir_max(b, observation, step->start);
    KirValue length = kir_sub(b, rxn__kir_get(b, path->at, 0), to);
    bool several = tape->sets > 1;
    KirValue set = several ? rxn__kir_for(b, i32v(path, 0), i32v(path, tape->sets)) : i32v(path, 0);
    cross_piece(path, set, length);
    if (several)
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
        u32 first = set * coordinates(path);
        for (u32 k = 0; k < count; k++) {
            u32 place = rxn__layer_place(&path->layer, event.assignments.items[k].member);
            after[k] = rxn__kir_get(b, path->adjoint, i32v(path, (double)first + place));
        }
        for (u32 k = 0; k < count; k++) {
            u32 place = rxn__layer_place(&path->layer, event.assignments.items[k].member);
            rxn__kir_set(b, path->adjoint, i32v(path, (double)first + place), f64(path, 0));
        }
        for (u32 k = 0; k < count; k++) {
            LeafDerivatives species = {0}, leaves = {0};
            rxn__family_derive(families, event.assignments.items[k].value, &species, &leaves, NULL);
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
    rxn__layer_finish(&path->layer);
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
    ret_kernel->remarks = rxn__layer_remark(&path.layer, ret_kernel->remarks);
    return broken;
}
