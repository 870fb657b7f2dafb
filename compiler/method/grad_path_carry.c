/* grad_path_carry.c: what the pathwise adjoint carries from wait to wait in f32, and what becomes of it.
 *
 * f32 has half of the work of f64, and a wait changes h by little. So h is carried as a sum of two f32, `high` and `low`: what
 * the first loses when a change is added is known exactly, and goes to the second (T. J. Dekker, Numerische Mathematik 18
 * (1971) 224-242, section 2; it is exact where the change is the smaller of both). That is some 48 bits; in ν_j · h, where large
 * numbers cancel, both parts are used. The gradient is summed up in f32 over PATH_SIZING steps, but for
 * constants, and beyond that in f64.
 *
 * What is lost is then the rounding of each change: 6e-8 of it, to one side or the other, so that errors average out as the
 * noise of trajectories does. A rounding that is the same in every step would not: so constants are taken as sums of two f32,
 * too (rxn__path_times_constant). docs/gradients.md has the errors that were seen.
 *
 * f32 ends at 1e±38: `scale`, a power of two, gives h a size near PATH_UNIT, below which there is room for series that fade
 * out (denormal numbers are slow).
 */
#include "compiler/method/grad_path.h"

/* h is for f32 where |h|² is between these; the exponent of PATH_UNIT. */
#define LEAST_SQUARE 1e-36
#define MOST_SQUARE  1e36
enum { UNIT_EXPONENT = 52 };

/* ---- the gradient ------------------------------------------------------------------------------ */

/* A product: of what is the same throughout the trajectory, f64, and of what is not, f32, in which counts have few digits to
 * lose; 0: nothing of it. */
typedef struct Product {
    KirValue constant, varying;
    bool constant_alone; /* the rest is not wanted */
} Product;

static void multiply(Path *path, Product *product, Expr expr);

/* factor * constant to the last digit: the constant's own rounding would be the same in every step, and errors add up that
 * are. */
KirValue
rxn__path_times_constant(Path *path, KirValue constant, KirValue factor)
{
    KirBuilder *b = path->tape->frame->builder;
    KirValue high = kir_cast(b, KIR_F32, constant);
    KirValue low = kir_cast(b, KIR_F32, kir_sub(b, constant, kir_cast(b, KIR_F64, high)));
    return kir_fma(b, high, factor, kir_mul(b, low, factor));
}

/* In f32. */
static KirValue
lower_single(Path *path, Expr expr)
{
    SsaFrame *frame = path->tape->frame;
    Product product = {0};
    if (!rxn__expr_uses(frame->network, expr).species)
        return kir_cast(frame->builder, KIR_F32, rxn__lower_as(&frame->lower, expr, KIR_F64));
    multiply(path, &product, expr);
    return product.constant ? rxn__path_times_constant(path, product.constant, product.varying)
                            : product.varying;
}

/* A factor that is no product, f32. */
static KirValue
lower_factor(Path *path, Expr expr)
{
    SsaFrame *frame = path->tape->frame;
    KirBuilder *b = frame->builder;
    const ExprNode node = *expr_node(frame->network, expr);
    if (node.op == EXPR_SPECIES)
        return rxn__tape_single_count(path->tape, expr);
    if (node.op == EXPR_ADD)
        return kir_add(b, lower_single(path, node.args[0]), lower_single(path, node.args[1]));
    if (node.op == EXPR_SUB)
        return kir_sub(b, lower_single(path, node.args[0]), lower_single(path, node.args[1]));
    if (node.op == EXPR_CHOOSE && node.number == 2) {
        KirValue x = lower_single(path, node.args[0]);
        return kir_mul(b, kir_mul(b, x, path_f32(path, 0.5)), kir_sub(b, x, path_f32(path, 1)));
    }
    return kir_cast(b, KIR_F32, rxn__lower_as(&frame->lower, expr, KIR_F64));
}

static KirValue
times(Path *path, KirValue product, KirValue factor)
{
    return product ? kir_mul(path->tape->frame->builder, product, factor) : factor;
}

static void
multiply(Path *path, Product *product, Expr expr)
{
    SsaFrame *frame = path->tape->frame;
    const ExprNode node = *expr_node(frame->network, expr);
    if (!rxn__expr_uses(frame->network, expr).species) {
        KirValue value = rxn__lower_as(&frame->lower, expr, KIR_F64);
        product->constant = times(path, product->constant, value);
    } else if (node.op == EXPR_NEG) {
        multiply(path, product, node.args[0]);
        product->constant = times(path, product->constant, path_f64(path, -1));
    } else if (node.op == EXPR_MUL) {
        multiply(path, product, node.args[0]);
        multiply(path, product, node.args[1]);
    } else if (node.op == EXPR_DIV && !rxn__expr_uses(frame->network, node.args[1]).species) {
        KirValue divisor = rxn__lower_as(&frame->lower, node.args[1], KIR_F64);
        multiply(path, product, node.args[0]);
        KirValue constant = product->constant ? product->constant : path_f64(path, 1);
        product->constant = kir_div(frame->builder, constant, divisor);
    } else if (!product->constant_alone) {
        product->varying = times(path, product->varying, lower_factor(path, expr));
    }
}

/* sum + expr * factor, or minus it, f32; 0: zero. */
KirValue
rxn__path_plus_times(Path *path, KirValue sum, Expr expr, KirValue factor, bool minus)
{
    KirBuilder *b = path->tape->frame->builder;
    Product product = {0};
    multiply(path, &product, expr);
    if (product.constant)
        factor = rxn__path_times_constant(path, product.constant, factor);
    if (minus)
        factor = kir_neg(b, factor);
    if (product.varying)
        return rxn__path_plus_product(path, sum, product.varying, factor);
    return sum ? kir_add(b, sum, factor) : factor;
}

void
rxn__path_add_gradient(Path *path, bool all, const KirValue *area, u32 set)
{
    SsaFrame *frame = path->tape->frame;
    u32 leaves = path->row.leaves, reactions = frame->network->reaction_count;
    for (u32 p = 0; p < leaves; p++) {
        KirValue before = path_get(path, path->gradient, set * leaves + p), total = before;
        for (u32 j = 0; j < reactions; j++) {
            const PathReaction *reaction = &path->reactions[j];
            Expr source = path->source[(size_t)j * leaves + p];
            bool own = !all && path->sum_of[(size_t)j * leaves + p] != NO_SUM;
            if (!source || own || !area[reaction->worth])
                continue;
            KirValue slope = rxn__lower_as(&frame->lower, source, KIR_F64);
            if (reaction->sign < 0)
                slope = kir_neg(frame->builder, slope);
            total = rxn__path_plus_product(path, total, slope, area[reaction->worth]);
        }
        if (total != before)
            path_set(path, path->gradient, set * leaves + p, total);
    }
}

/* What is recent gains by areas under ν_j · h. */
static void
add_recent(Path *path, const KirValue *area, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 leaves = path->row.leaves, reactions = path->tape->frame->network->reaction_count;
    for (size_t k = 0; k < (size_t)reactions * leaves; k++) {
        const PathReaction *reaction = &path->reactions[k / leaves];
        KirValue gain = area[reaction->worth];
        if (path->sum_of[k] == NO_SUM || !gain)
            continue;
        u32 place = set * path->sum_count + path->sum_of[k];
        KirValue recent = path_get(path, path->recent, place);
        Product product = {0};
        multiply(path, &product, path->source[k]);
        if (reaction->sign < 0)
            gain = kir_neg(b, gain);
        path_set(path, path->recent, place,
                 product.varying ? rxn__path_plus_product(path, recent, product.varying, gain)
                                 : kir_add(b, recent, gain));
    }
}

void
rxn__path_add_wait(Path *path, const PathWait *wait, const KirValue *mean, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    KirValue *area = NEW_ARRAY(path->tape->frame->arena, KirValue, path->worths + 1);
    KirValue length = kir_mul(b, wait->length_single, path_f32(path, 1 / PATH_UNIT));
    for (u32 w = 0; w < path->worths; w++)
        area[w] = mean[w] ? kir_mul(b, mean[w], length) : 0;
    add_recent(path, area, set);
    KirValue back = kir_mul(b, path_get(path, path->back, set), wait->length_single);
    for (u32 w = 0; w < path->worths; w++)
        area[w] = mean[w] ? kir_cast(b, KIR_F64, kir_mul(b, mean[w], back)) : 0;
    rxn__path_add_gradient(path, false, area, set);
}

/* The gradient takes in what is recent. */
static void
collect(Path *path, KirValue back, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    Lowering *lower = &path->tape->frame->lower;
    u32 mark = rxn__lower_mark(lower);
    KirValue unit = kir_mul(b, back, path_f64(path, PATH_UNIT));
    for (u32 k = 0; k < path->sum_count; k++) {
        u32 leaf = set * path->row.leaves + path->sums[k].leaf, place = set * path->sum_count + k;
        KirValue recent = kir_cast(b, KIR_F64, path_get(path, path->recent, place));
        Product product = {.constant_alone = true};
        multiply(path, &product, path->sums[k].source);
        recent = kir_mul(b, recent, unit);
        recent = product.constant ? kir_mul(b, recent, product.constant) : recent;
        path_set(path, path->gradient, leaf,
                 kir_add(b, path_get(path, path->gradient, leaf), recent));
        path_set(path, path->recent, place, path_f32(path, 0));
    }
    rxn__lower_forget_since(lower, mark);
}

/* ---- h at rest, and as it is carried ----------------------------------------------------------- */

/* Sets the scale, given |h|². A power of two near PATH_UNIT/|h|: half of the exponent's negative. (127 is the exponent of 1;
 * 23 bits are below it.) Returns whether h is for f32 at all. */
static KirValue
set_scale(Path *path, u32 set, KirValue square)
{
    KirBuilder *b = path->tape->frame->builder;
    square = kir_select(b, kir_eq(b, square, path_f32(path, 0)), path_f32(path, 1), square);
    KirValue held = kir_and(b, kir_ge(b, square, path_f32(path, LEAST_SQUARE)),
                            kir_le(b, square, path_f32(path, MOST_SQUARE)));
    const u32 one = 127u << 23;
    KirValue half = kir_shr(b, kir_bits(b, KIR_U32, square), rxn__kir_const(b, KIR_U32, 1));
    KirValue exponent =
        kir_sub(b, rxn__kir_const(b, KIR_U32, one + one / 2 + (UNIT_EXPONENT << 23)), half);
    exponent = kir_and(b, exponent, rxn__kir_const(b, KIR_U32, 255u << 23));
    KirValue back = kir_sub(b, rxn__kir_const(b, KIR_U32, 2 * one), exponent);
    back = kir_select(b, held, kir_bits(b, KIR_F32, back), path_f32(path, 0));
    path_set(path, path->scale, set,
             kir_select(b, held, kir_bits(b, KIR_F32, exponent), path_f32(path, 0)));
    path_set(path, path->back, set, back);
    return held;
}

/* |h|², in f32; the largest is kept. */
static KirValue
find_square(Path *path, const KirValue *adjoint)
{
    KirBuilder *b = path->tape->frame->builder;
    KirValue square = kir_cast(b, KIR_F32, rxn__path_add_squares(path, 0, adjoint));
    KirValue largest = rxn__kir_get(b, path->largest, 0);
    KirValue held = kir_le(b, square, path_f32(path, MOST_SQUARE));
    rxn__kir_set(b, path->largest, 0, kir_select(b, held, kir_max(b, square, largest), largest));
    return square;
}

void
rxn__path_carry(Path *path, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    if (n < 2)
        return;
    KirValue *adjoint = path_vector(path);
    for (u32 c = 0; c < n; c++)
        adjoint[c] = path_get(path, path->adjoint, set * n + c);
    KirValue held = set_scale(path, set, find_square(path, adjoint));
    KirValue scale = kir_cast(b, KIR_F64, path_get(path, path->scale, set));
    for (u32 c = 0; c < n; c++) {
        adjoint[c] = kir_select(b, held, kir_mul(b, adjoint[c], scale), path_f64(path, 0));
        KirValue high = kir_cast(b, KIR_F32, adjoint[c]);
        KirValue low = kir_sub(b, adjoint[c], kir_cast(b, KIR_F64, high));
        path_set(path, path->high, set * n + c, high);
        path_set(path, path->low, set * n + c, kir_cast(b, KIR_F32, low));
    }
}

void
rxn__path_rest(Path *path, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    if (n < 2)
        return;
    KirValue back = kir_cast(b, KIR_F64, path_get(path, path->back, set));
    KirValue held = kir_gt(b, back, path_f64(path, 0));
    for (u32 c = 0; c < n; c++) {
        KirValue high = kir_cast(b, KIR_F64, path_get(path, path->high, set * n + c));
        KirValue low = kir_cast(b, KIR_F64, path_get(path, path->low, set * n + c));
        KirValue value = kir_mul(b, kir_add(b, high, low), back);
        KirValue before = path_get(path, path->adjoint, set * n + c);
        path_set(path, path->adjoint, set * n + c, kir_select(b, held, value, before));
    }
    collect(path, back, set);
}

/* h as it is carried changes. What the sum of the first loses to rounding goes to the second. */
void
rxn__path_move(Path *path, const KirValue *change, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    for (u32 c = 0; c < n; c++) {
        if (!change[c])
            continue;
        KirValue before = path_get(path, path->high, set * n + c);
        KirValue after = kir_add(b, before, change[c]);
        KirValue lost = kir_sub(b, change[c], kir_sub(b, after, before));
        path_set(path, path->high, set * n + c, after);
        path_set(path, path->low, set * n + c,
                 kir_add(b, path_get(path, path->low, set * n + c), lost));
    }
}

/* ν_j · h as it is carried, in which large numbers cancel. */
void
rxn__path_find_carried(Path *path, u32 set, KirValue *ret)
{
    SsaFrame *frame = path->tape->frame;
    u32 n = path->coordinates;
    KirValue *high = path_vector(path), *low = path_vector(path);
    KirValue *rest = NEW_ARRAY(frame->arena, KirValue, path->worths + 1);
    for (u32 c = 0; c < n; c++) {
        high[c] = path_get(path, path->high, set * n + c);
        low[c] = path_get(path, path->low, set * n + c);
    }
    rxn__path_find_worths(path, KIR_F32, NULL, high, ret);
    rxn__path_find_worths(path, KIR_F32, NULL, low, rest);
    for (u32 w = 0; w < path->worths; w++)
        if (path->reactions[path->worth_of[w]].count > 1)
            ret[w] = kir_add(frame->builder, ret[w], rest[w]);
}
