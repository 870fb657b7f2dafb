/* ssa_classes.c: composition and rejection (Slepoy, Thompson, Plimpton 2008, J. Chem. Phys. 128, 205101): a choice among many
 * in proportion to their values, in a time that does not depend on how many there are.
 *
 * Members of nearly the same value are a class, whose bound is the least of 2 or 3 times a power of two that is not below any
 * of them. All members of a class count as much as its bound: a class is chosen by bound times number, then a member by its
 * place; then whoever asked decides by the member's value whether it stands.
 *
 *   threshold:  0 ──────────┬─────┬─────┬─────┬──┬──┬──┬──┐ total
 *               the highest class, 2 members ...   lower classes
 *
 * A bound is a whole multiple of the first class's unit, so the total is a whole number: it is kept by adding and subtracting,
 * and does not drift. It is 64 bits wide, which makes room for a million members and 40 octaves. What is below them is in the
 * first class (where it is nearly always refused). Should something be above, or all be below, the classes are made anew around
 * what there is.
 *
 * All members stand in one array in the order of their classes; class 0 is of those whose value is zero. To change to the next
 * class, a member changes places with the last of its own, and the boundary moves by one:
 *
 *   a b x c | d e   ->   a b c | x d e
 *
 * The keys of classes are the upper bits of floating-point numbers, exponent and one bit, rounded up.
 */
#include "compiler/method/ssa_classes.h"

enum {
    PART_BITS = 1,
    PARTS = 1 << PART_BITS, /* classes of an octave */
    OCTAVES = 40,
    HEADROOM = 8, /* octaves above the largest value when classes are built */
    CLASSES = OCTAVES * PARTS + 1,
    CLASS_BITS = 8, /* of `where`; the others are the place's */
};

typedef SsaClasses Classes;

static KirValue
i32v(Classes *classes, i64 value)
{
    return rxn__kir_const(classes->frame->builder, KIR_I32, (double)value);
}

static KirValue
get(Classes *classes, u32 local)
{
    return rxn__kir_get(classes->frame->builder, local, 0);
}

static KirValue
next(Classes *classes, KirValue index)
{
    return kir_add(classes->frame->builder, index, i32v(classes, 1));
}

static KirValue
first_of(Classes *classes, KirValue class)
{
    return rxn__kir_get(classes->frame->builder, classes->first, class);
}

/* ---- keys -------------------------------------------------------------------------------------- */

/* i32: the least whose bound is not below the value, which is positive. */
static KirValue
key_of(Classes *classes, KirValue value)
{
    KirBuilder *b = classes->frame->builder;
    KirValue bits = kir_bits(b, classes->bits, value);
    KirValue up = rxn__kir_const_bits(b, classes->bits, ((u64)1 << classes->shift) - 1);
    KirValue shift = rxn__kir_const(b, classes->bits, classes->shift);
    return kir_cast(b, KIR_I32, kir_shr(b, kir_add(b, bits, up), shift));
}

static KirValue
bound_of_key(Classes *classes, KirValue key)
{
    KirBuilder *b = classes->frame->builder;
    KirValue shift = rxn__kir_const(b, classes->bits, classes->shift);
    return kir_bits(b, classes->frame->real, kir_shl(b, kir_cast(b, classes->bits, key), shift));
}

static KirValue
key_of_class(Classes *classes, KirValue class)
{
    KirBuilder *b = classes->frame->builder;
    return kir_sub(b, kir_add(b, class, get(classes, classes->base)), i32v(classes, 1));
}

/* May be CLASSES or more. */
static KirValue
class_of(Classes *classes, KirValue value)
{
    KirBuilder *b = classes->frame->builder;
    KirValue class = next(classes, kir_sub(b, key_of(classes, value), get(classes, classes->base)));
    class = kir_max(b, class, i32v(classes, 1));
    return kir_select(b, kir_gt(b, value, rxn__ssa_real(classes->frame, 0)), class,
                      i32v(classes, 0));
}

/* A class's bound in units: u64. The base is the first of its octave. */
static KirValue
weight_of(Classes *classes, KirValue class)
{
    KirBuilder *b = classes->frame->builder;
    KirValue above = kir_sub(b, class, i32v(classes, 1));
    KirValue octave = kir_shr(b, above, i32v(classes, PART_BITS));
    KirValue part = kir_or(b, kir_and(b, above, i32v(classes, PARTS - 1)), i32v(classes, PARTS));
    KirValue weight = kir_shl(b, kir_cast(b, KIR_U64, part), kir_cast(b, KIR_U64, octave));
    return kir_select(b, kir_gt(b, class, i32v(classes, 0)), weight, rxn__kir_const(b, KIR_U64, 0));
}

/* ---- places ------------------------------------------------------------------------------------ */

static void
put(Classes *classes, KirValue place, KirValue class, KirValue member)
{
    KirBuilder *b = classes->frame->builder;
    rxn__kir_set(b, classes->member, place, member);
    rxn__kir_set(b, classes->where, member,
                 kir_or(b, kir_shl(b, place, i32v(classes, CLASS_BITS)), class));
}

/* The member that `place` was freed of is to leave `class` at one of its ends: the member there fills the gap. */
static void
fill_gap(Classes *classes, KirValue gap, KirValue class, KirValue end)
{
    KirBuilder *b = classes->frame->builder;
    rxn__kir_if(b, kir_ne(b, end, gap));
    put(classes, gap, class, rxn__kir_get(b, classes->member, end));
    rxn__kir_close(b);
    rxn__kir_set(b, classes->place, 0, end);
}

static void
change_class(Classes *classes, KirValue member, KirValue place, KirValue from, KirValue to)
{
    KirBuilder *b = classes->frame->builder;
    rxn__kir_set(b, classes->place, 0, place);
    rxn__kir_set(b, classes->class, 0, from);
    rxn__kir_loop(b);
    KirValue class = get(classes, classes->class);
    rxn__kir_if(b, kir_ge(b, class, to));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue above = next(classes, class);
    KirValue last = kir_sub(b, first_of(classes, above), i32v(classes, 1));
    fill_gap(classes, get(classes, classes->place), class, last);
    rxn__kir_set(b, classes->first, above, last);
    rxn__kir_set(b, classes->class, 0, above);
    rxn__kir_close(b);

    rxn__kir_loop(b);
    class = get(classes, classes->class);
    rxn__kir_if(b, kir_le(b, class, to));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue first = first_of(classes, class);
    fill_gap(classes, get(classes, classes->place), class, first);
    rxn__kir_set(b, classes->first, class, next(classes, first));
    rxn__kir_set(b, classes->class, 0, kir_sub(b, class, i32v(classes, 1)));
    rxn__kir_close(b);

    put(classes, get(classes, classes->place), to, member);
    rxn__kir_set(b, classes->highest, 0, kir_max(b, get(classes, classes->highest), to));
    KirValue change = kir_sub(b, weight_of(classes, to), weight_of(classes, from));
    rxn__kir_set(b, classes->mass, 0, kir_add(b, get(classes, classes->mass), change));
}

void
rxn__ssa_classes_set(Classes *classes, KirValue member, KirValue value)
{
    KirBuilder *b = classes->frame->builder;
    KirValue to = class_of(classes, value);
    rxn__kir_if(b, kir_ge(b, to, i32v(classes, CLASSES)));
    rxn__kir_set(b, classes->frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 1));
    rxn__kir_else(b);
    KirValue where = rxn__kir_get(b, classes->where, member);
    KirValue from = kir_and(b, where, i32v(classes, (1 << CLASS_BITS) - 1));
    rxn__kir_if(b, kir_ne(b, to, from));
    change_class(classes, member, kir_shr(b, where, i32v(classes, CLASS_BITS)), from, to);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

/* ---- all anew ---------------------------------------------------------------------------------- */

/* Where classes begin: at the least value that there is or is expected; or higher, if the largest were too near to the last
 * class. */
static void
choose_base(Classes *classes)
{
    KirBuilder *b = classes->frame->builder;
    KirValue zero = rxn__ssa_real(classes->frame, 0);
    rxn__kir_set(b, classes->most, 0, zero);
    rxn__kir_set(b, classes->fewest, 0, get(classes, classes->expected));
    KirValue member = rxn__kir_for(b, i32v(classes, 0), i32v(classes, classes->members));
    KirValue value = classes->value_of(classes->context, member),
             few = get(classes, classes->fewest);
    KirValue less = kir_and(b, kir_gt(b, value, zero), kir_lt(b, value, few));
    rxn__kir_set(b, classes->fewest, 0, kir_select(b, less, value, few));
    rxn__kir_set(b, classes->most, 0, kir_max(b, get(classes, classes->most), value));
    rxn__kir_close(b);
    KirValue largest = key_of(classes, get(classes, classes->most));
    KirValue base = kir_sub(b, largest, i32v(classes, (OCTAVES - HEADROOM) * PARTS));
    base = kir_max(b, base, key_of(classes, get(classes, classes->fewest)));
    base = kir_max(b, base, get(classes, classes->least));
    rxn__kir_set(b, classes->base, 0, kir_and(b, base, i32v(classes, -PARTS)));
}

void
rxn__ssa_classes_build(Classes *classes)
{
    KirBuilder *b = classes->frame->builder;
    choose_base(classes);
    KirValue class = rxn__kir_for(b, i32v(classes, 0), i32v(classes, CLASSES + 1));
    rxn__kir_set(b, classes->first, class, i32v(classes, 0));
    rxn__kir_close(b);

    /* How many members each class has stands in the boundary behind it. */
    KirValue member = rxn__kir_for(b, i32v(classes, 0), i32v(classes, classes->members));
    class = class_of(classes, classes->value_of(classes->context, member));
    class = kir_min(b, class, i32v(classes, CLASSES - 1)); /* infinite: the total will say so */
    rxn__kir_set(b, classes->where, member, class);
    KirValue above = next(classes, class);
    rxn__kir_set(b, classes->first, above, next(classes, first_of(classes, above)));
    rxn__kir_close(b);

    /* Then where its first member goes, and, as they are put there, its next. */
    rxn__kir_set(b, classes->mass, 0, rxn__kir_const(b, KIR_U64, 0));
    rxn__kir_set(b, classes->highest, 0, i32v(classes, 1));
    rxn__kir_set(b, classes->place, 0, i32v(classes, 0));
    class = rxn__kir_for(b, i32v(classes, 0), i32v(classes, CLASSES));
    above = next(classes, class);
    KirValue count = first_of(classes, above), first = get(classes, classes->place);
    KirValue mass = kir_mul(b, weight_of(classes, class), kir_cast(b, KIR_U64, count));
    rxn__kir_set(b, classes->mass, 0, kir_add(b, get(classes, classes->mass), mass));
    KirValue higher =
        kir_and(b, kir_gt(b, count, i32v(classes, 0)), kir_gt(b, class, i32v(classes, 1)));
    rxn__kir_set(b, classes->highest, 0,
                 kir_select(b, higher, class, get(classes, classes->highest)));
    rxn__kir_set(b, classes->first, above, first);
    rxn__kir_set(b, classes->place, 0, kir_add(b, first, count));
    rxn__kir_close(b);

    member = rxn__kir_for(b, i32v(classes, 0), i32v(classes, classes->members));
    class = rxn__kir_get(b, classes->where, member);
    above = next(classes, class);
    KirValue place = first_of(classes, above);
    put(classes, place, class, member);
    rxn__kir_set(b, classes->first, above, next(classes, place));
    rxn__kir_close(b);
}

/* ---- the choice -------------------------------------------------------------------------------- */

KirValue
rxn__ssa_classes_total(Classes *classes)
{
    KirBuilder *b = classes->frame->builder;
    /* One class at a time: it is seldom that the highest is empty. */
    KirValue highest = get(classes, classes->highest);
    KirValue empty =
        kir_and(b, kir_gt(b, highest, i32v(classes, 1)),
                kir_ge(b, first_of(classes, highest), i32v(classes, classes->members)));
    rxn__kir_set(b, classes->highest, 0,
                 kir_select(b, empty, kir_sub(b, highest, i32v(classes, 1)), highest));
    KirValue octave = bound_of_key(classes, get(classes, classes->base));
    KirValue unit = kir_mul(b, octave, rxn__ssa_real(classes->frame, 1.0 / PARTS));
    return kir_mul(b, kir_cast(b, classes->frame->real, get(classes, classes->mass)), unit);
}

/* All that can happen is far below the classes there are: those for it are made before the next choice. */
static void
look_below(Classes *classes, KirValue member)
{
    KirBuilder *b = classes->frame->builder;
    const double far = 16;
    KirValue alone =
        kir_ge(b, first_of(classes, i32v(classes, 2)), i32v(classes, classes->members));
    KirValue lower = kir_gt(b, get(classes, classes->base), get(classes, classes->least));
    rxn__kir_if(b, kir_and(b, alone, lower));
    KirValue bound = bound_of_key(classes, get(classes, classes->base));
    KirValue value =
        kir_mul(b, classes->value_of(classes->context, member), rxn__ssa_real(classes->frame, far));
    rxn__kir_if(b, kir_lt(b, value, bound));
    rxn__kir_set(b, classes->frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 1));
    rxn__kir_close(b);
    rxn__kir_close(b);
}

KirValue
rxn__ssa_classes_choose(Classes *classes, KirValue threshold, KirValue *ret_left)
{
    KirBuilder *b = classes->frame->builder;
    KirType real = classes->frame->real;
    rxn__kir_set(b, classes->left, 0, threshold);
    rxn__kir_set(b, classes->class, 0, get(classes, classes->highest));
    rxn__kir_loop(b);
    KirValue class = get(classes, classes->class), left = get(classes, classes->left);
    KirValue count = kir_sub(b, first_of(classes, next(classes, class)), first_of(classes, class));
    KirValue mass =
        kir_mul(b, kir_cast(b, real, count), bound_of_key(classes, key_of_class(classes, class)));
    rxn__kir_if(b, kir_or(b, kir_lt(b, left, mass), kir_le(b, class, i32v(classes, 1))));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_set(b, classes->left, 0, kir_sub(b, left, mass));
    rxn__kir_set(b, classes->class, 0, kir_sub(b, class, i32v(classes, 1)));
    rxn__kir_close(b);

    class = get(classes, classes->class);
    left = get(classes, classes->left);
    KirValue first = first_of(classes, class);
    KirValue bound = bound_of_key(classes, key_of_class(classes, class));
    count = kir_sub(b, first_of(classes, next(classes, class)), first);
    KirValue which = kir_cast(b, KIR_I32, kir_div(b, left, bound));
    KirValue there = kir_lt(b, which, count);
    KirValue place = kir_select(b, there, kir_add(b, first, which), i32v(classes, 0));
    KirValue member = rxn__kir_get(b, classes->member, place);
    look_below(classes, member);
    *ret_left = kir_sub(b, left, kir_mul(b, kir_cast(b, real, which), bound));
    return kir_select(b, there, member, i32v(classes, classes->members));
}

/* ---- declarations ------------------------------------------------------------------------------ */

void
rxn__ssa_classes_declare(Classes *classes)
{
    KirBuilder *b = classes->frame->builder;
    KirType real = classes->frame->real;
    enum { F32_MANTISSA = 23, F64_MANTISSA = 52 };
    classes->bits = real == KIR_F32 ? KIR_U32 : KIR_U64;
    classes->shift = (real == KIR_F32 ? F32_MANTISSA : F64_MANTISSA) - PART_BITS;
    classes->least = rxn__kir_uniform_local(b, "class_least", KIR_I32, 0);
    classes->expected = rxn__kir_uniform_local(b, "class_expected", real, 0);
    classes->base = rxn__kir_local(b, "class_base", KIR_I32, 0);
    classes->highest = rxn__kir_local(b, "class_highest", KIR_I32, 0);
    classes->mass = rxn__kir_local(b, "class_mass", KIR_U64, 0);
    classes->first = rxn__kir_local(b, "class_first", KIR_I32, CLASSES + 1);
    classes->member = rxn__kir_local(b, "class_member", KIR_I32, classes->members + 1);
    classes->where = rxn__kir_local(b, "class_where", KIR_I32, classes->members + 1);
    classes->place = rxn__kir_local(b, "class_place", KIR_I32, 0);
    classes->class = rxn__kir_local(b, "class", KIR_I32, 0);
    classes->left = rxn__kir_local(b, "class_left", real, 0);
    classes->most = rxn__kir_local(b, "class_most", real, 0);
    classes->fewest = rxn__kir_local(b, "class_fewest", real, 0);
}

void
rxn__ssa_classes_expect(Classes *classes, KirValue value, bool sure)
{
    KirBuilder *b = classes->frame->builder;
    KirValue least = i32v(classes, 4 * PARTS); /* units are normal numbers */
    if (sure)
        least = kir_max(b, least, kir_and(b, key_of(classes, value), i32v(classes, -PARTS)));
    rxn__kir_set(b, classes->least, 0, least);
    rxn__kir_set(b, classes->expected, 0, value);
}
