/* grad_path_vector.c: vectors by coordinate, and values by change vector, of the pathwise adjoint. An element that is 0 is zero, and
 * no code is made for it.
 */
#include "compiler/method/grad_path.h"

KirValue *
rxn__path_lower_all(Path *path, const Expr *exprs, size_t count)
{
    SsaFrame *frame = path->tape->frame;
    KirValue *values = NEW_ARRAY(frame->arena, KirValue, count + 1);
    for (size_t k = 0; k < count; k++)
        if (exprs[k])
            values[k] = rxn__lower_as(&frame->lower, exprs[k], KIR_F64);
    return values;
}

/* sum + x y. */
KirValue
rxn__path_plus_product(Path *path, KirValue sum, KirValue x, KirValue y)
{
    KirBuilder *b = path->tape->frame->builder;
    if (!x || !y)
        return sum;
    return sum ? kir_fma(b, x, y, sum) : kir_mul(b, x, y);
}

/* Elements of a row, the cheapest of the vector first: of a power's rows the long ones are known last, and no other has
 * to wait for them from its first element on. Returns their number. */
static u32
order_row(const Path *path, const KirValue *matrix, u32 row, u32 *ret_columns)
{
    u32 n = path->coordinates, count = 0;
    for (u32 length = 0; length <= n; length++)
        for (u32 d = 0; d < n; d++) {
            u32 elements = 0;
            for (u32 e = 0; e < n; e++)
                elements += matrix[d * n + e] != 0;
            if (elements == length && (matrix[row * n + d] || d == row))
                ret_columns[count++] = d;
        }
    return count;
}

/* ret = matrix · vector, with another diagonal where there is one. */
void
rxn__path_apply(Path *path, const KirValue *matrix, const KirValue *diagonal,
                const KirValue *vector, KirValue *ret)
{
    u32 n = path->coordinates;
    u32 *columns = NEW_ARRAY(path->tape->frame->arena, u32, n + 1);
    for (u32 c = 0; c < n; c++) {
        u32 count = order_row(path, matrix, c, columns);
        ret[c] = 0;
        for (u32 k = 0; k < count; k++) {
            u32 d = columns[k];
            KirValue entry = diagonal && c == d ? diagonal[c] : matrix[c * n + d];
            ret[c] = rxn__path_plus_product(path, ret[c], entry, vector[d]);
        }
    }
}

/* The greatest of some values, or the least, pair by pair; 0: there are none. */
KirValue
rxn__path_extreme_of(Path *path, KirOp op, KirValue *values, u32 count)
{
    for (; count > 1; count = (count + 1) / 2)
        for (u32 k = 0; 2 * k < count; k++)
            values[k] = 2 * k + 1 == count ? values[2 * k]
                                           : rxn__kir_op(path->tape->frame->builder, op,
                                                         values[2 * k], values[2 * k + 1], 0);
    return count ? values[0] : 0;
}

/* The greatest absolute value. */
KirValue
rxn__path_size_of(Path *path, const KirValue *vector)
{
    KirValue *sizes = path_vector(path);
    u32 count = 0;
    for (u32 c = 0; c < path->coordinates; c++)
        if (vector[c])
            sizes[count++] = kir_abs(path->tape->frame->builder, vector[c]);
    return rxn__path_extreme_of(path, KIR_MAX, sizes, count);
}

/* Σ value², and `sum` where there is one; 0: zero. */
KirValue
rxn__path_add_squares(Path *path, KirValue sum, const KirValue *vector)
{
    for (u32 c = 0; c < path->coordinates; c++)
        sum = rxn__path_plus_product(path, sum, vector[c], vector[c]);
    return sum;
}

/* sum + factor * value, for the whole numbers of change vectors. */
KirValue
rxn__path_plus_scaled(Path *path, KirType type, KirValue sum, i32 factor, KirValue value)
{
    KirBuilder *b = path->tape->frame->builder;
    if (!value)
        return sum;
    if (factor != 1 && factor != -1) {
        value = kir_mul(b, value, rxn__kir_const(b, type, factor));
        factor = 1;
    }
    if (!sum)
        return factor < 0 ? kir_neg(b, value) : value;
    return factor < 0 ? kir_sub(b, sum, value) : kir_add(b, sum, value);
}

/* start + ν · vector, of each distinct change vector. */
void
rxn__path_find_worths(Path *path, KirType type, const KirValue *start, const KirValue *vector,
                      KirValue *ret)
{
    for (u32 w = 0; w < path->worths; w++) {
        const PathReaction *reaction = &path->reactions[path->worth_of[w]];
        ret[w] = start ? start[w] : 0;
        for (u32 k = 0; k < reaction->count; k++)
            ret[w] =
                rxn__path_plus_scaled(path, type, ret[w], path->worth_sign[w] * reaction->delta[k],
                                      vector[reaction->coordinate[k]]);
    }
}

/* Σ weight v_c · ∇g over the integrands in force, of a set. */
void
rxn__path_find_forces(Path *path, const KirValue *slopes, u32 set, KirValue *ret)
{
    u32 n = path->coordinates, integrals = path->tape->recorder.integrals.count;
    for (u32 c = 0; c < n; c++) {
        ret[c] = 0;
        for (u32 k = 0; k < integrals; k++)
            if (slopes[k * n + c])
                ret[c] = rxn__path_plus_product(path, ret[c], slopes[k * n + c],
                                                path_get(path, path->force, set * integrals + k));
    }
}
