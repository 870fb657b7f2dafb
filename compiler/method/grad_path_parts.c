/* grad_path_parts.c: the slow way of the pathwise adjoint over a wait, which takes every length and size: in f64, in parts, each by
 * a Taylor series. Few waits need it: see grad_path_flow.c.
 */
#include "compiler/method/grad_path.h"
#include "compiler/method/pathwise.h"

/* Parts: the reach of one; its Taylor series, 4^36/37! = 3e-22 at the end of it. Longer parts need fewer terms for the same wait;
 * what cancels in one of 4 costs e^8 of 1e-16, which is less than the tolerance. */
#define CUT_REACH     4.0
#define CUT_TOLERANCE 1e-10
enum { CUT_TERMS = 36 };

/* The largest sum of a row of |S|. */
static KirValue
size_of_matrix(Path *path, const KirValue *matrix)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue size = path_f64(path, 0);
    for (u32 c = 0; c < n; c++) {
        KirValue row = path_f64(path, 0);
        for (u32 d = 0; d < n; d++)
            if (matrix[c * n + d])
                row = kir_add(b, row, kir_abs(b, matrix[c * n + d]));
        size = kir_max(b, size, row);
    }
    return size;
}

/* One part, of `part` of the length: a Taylor series. */
static void
cross_part(Path *path, const KirValue *matrix, const KirValue *force, KirValue part)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue *now = path_vector(path), *next = path_vector(path);
    for (u32 c = 0; c < n; c++) {
        now[c] = path_get(path, path->cut_adjoint, c);
        path_set(path, path->cut_term, c, now[c]);
        path_set(path, path->cut_sum, c, now[c]);
    }
    KirValue size = rxn__path_size_of(path, now), forced = rxn__path_size_of(path, force);
    size = forced ? kir_add(b, size, forced) : size;
    KirValue enough = kir_mul(b, size, path_f64(path, CUT_TOLERANCE));
    KirValue order = rxn__kir_for(b, path_element(path, 1), path_element(path, CUT_TERMS + 1));
    KirValue k = kir_cast(b, KIR_F64, order);
    KirValue factor = kir_mul(b, part, kir_div(b, path_f64(path, 1), k));
    KirValue share = kir_div(b, path_f64(path, 1), kir_add(b, k, path_f64(path, 1)));
    KirValue first = kir_eq(b, order, path_element(path, 1));
    for (u32 c = 0; c < n; c++)
        now[c] = path_get(path, path->cut_term, c);
    rxn__path_apply(path, matrix, NULL, now, next);
    for (u32 c = 0; c < n; c++) {
        if (force[c]) {
            KirValue forced_now = kir_select(b, first, force[c], path_f64(path, 0));
            next[c] = next[c] ? kir_add(b, next[c], forced_now) : forced_now;
        }
        next[c] = next[c] ? kir_mul(b, next[c], factor) : path_f64(path, 0);
        path_set(path, path->cut_term, c, next[c]);
        path_set(path, path->cut_sum, c,
                 kir_fma(b, next[c], share, path_get(path, path->cut_sum, c)));
    }
    rxn__kir_if(b, kir_le(b, rxn__path_size_of(path, next), enough));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
    for (u32 c = 0; c < n; c++)
        now[c] = kir_mul(b, part, path_get(path, path->cut_sum, c));
    rxn__path_apply(path, matrix, NULL, now, next);
    for (u32 c = 0; c < n; c++) {
        KirValue value = path_get(path, path->cut_adjoint, c);
        value = next[c] ? kir_add(b, value, next[c]) : value;
        path_set(path, path->cut_adjoint, c, rxn__path_plus_product(path, value, part, force[c]));
        path_set(path, path->cut_area, c, kir_add(b, path_get(path, path->cut_area, c), now[c]));
    }
}

static void
cross_parts(Path *path, const KirValue *matrix, const KirValue *force)
{
    SsaFrame *frame = path->tape->frame;
    KirValue size = size_of_matrix(path, matrix);
    KirValue parts = rxn__pathwise_parts(frame, size, CUT_REACH, path->at);
    KirValue part = kir_div(frame->builder, path_f64(path, 1), parts);
    rxn__pathwise_each_part(frame, parts, path->cut_left);
    cross_part(path, matrix, force, part);
    rxn__pathwise_close_part(frame, path->cut_left);
}

void
rxn__path_cross_in_parts(Path *path, KirValue length, u32 set)
{
    SsaFrame *frame = path->tape->frame;
    KirBuilder *b = frame->builder;
    u32 n = path->coordinates;
    u32 integrals = path->tape->recorder.integrals.count;
    size_t squares = (size_t)n * n;
    u32 mark = rxn__lower_mark(&frame->lower);
    KirValue *matrix = rxn__path_lower_all(path, path->slope, squares);
    KirValue *slopes = rxn__path_lower_all(
        path, &path->kept[(size_t)path->tape->recorder.columns.count * n], (size_t)integrals * n);
    KirValue *adjoint = path_vector(path), *force = path_vector(path), *area = path_vector(path);
    KirValue *worth = NEW_ARRAY(frame->arena, KirValue, path->worths + 1);
    for (size_t k = 0; k < squares; k++)
        matrix[k] = matrix[k] ? kir_mul(b, matrix[k], length) : 0;
    rxn__path_find_forces(path, slopes, set, force);
    for (u32 c = 0; c < n; c++) {
        adjoint[c] = path_get(path, path->adjoint, set * n + c);
        force[c] = force[c] ? kir_mul(b, force[c], length) : 0;
        path_set(path, path->cut_adjoint, c, adjoint[c]);
        path_set(path, path->cut_area, c, path_f64(path, 0));
    }
    KirValue largest = rxn__kir_get(b, path->largest_double, 0);
    KirValue size = kir_sqrt(b, rxn__path_add_squares(path, 0, adjoint));
    rxn__kir_set(b, path->largest_double, 0, kir_max(b, size, largest));
    cross_parts(path, matrix, force);
    for (u32 c = 0; c < n; c++) {
        path_set(path, path->adjoint, set * n + c, path_get(path, path->cut_adjoint, c));
        area[c] = kir_mul(b, length, path_get(path, path->cut_area, c));
    }
    rxn__path_find_worths(path, KIR_F64, NULL, area, worth);
    rxn__path_add_gradient(path, true, worth, set);
    rxn__lower_forget_since(&frame->lower, mark);
}
