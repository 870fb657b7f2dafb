/* ssa_shared.c: many scalars of few kinds (see ssa_shared.h). */
#include "compiler/method/ssa_shared.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static u32
constants(SsaFrame *frame, const char *name, KirType type, const void *items, size_t size,
          u32 count)
{
    u32 extent = count + !count; /* no buffer of zero elements */
    u8 *data = NEW_ARRAY(frame->arena, u8, extent * size);
    if (count)
        memcpy(data, items, count * size);
    Name kept = rxn__name_z(rxn__kir_kernel(frame->builder)->names, name);
    MethodTable entry = {kept->text, data, extent};
    vec_push(frame->arena, &frame->output->tables, entry);
    return rxn__kir_buffer(frame->builder, name, type, KIR_PER_LAUNCH, false, 1, &extent);
}

u32
rxn__ssa_constants_i32(SsaFrame *frame, const char *name, const i32 *items, u32 count)
{
    return constants(frame, name, KIR_I32, items, sizeof *items, count);
}

u32
rxn__ssa_constants_f64(SsaFrame *frame, const char *name, const double *items, u32 count)
{
    return constants(frame, name, KIR_F64, items, sizeof *items, count);
}

/* ---- values ------------------------------------------------------------------------------------ */

static bool
is_number(const Network *network, Expr expr)
{
    return expr_node(network, expr)->op == EXPR_NUMBER;
}

/* Numbers first, each kind in order of appearance. */
static void
classify(SsaFrame *frame, const Expr *exprs, SsaShared *shared)
{
    const Network *network = frame->network;
    u32 *class_of = NEW_ARRAY(frame->arena, u32, shared->count + 1);
    u32 *seen = NEW_ARRAY(frame->arena, u32, network->exprs.count + 1);
    Expr *classes = NEW_ARRAY(frame->arena, Expr, shared->count + 1);
    for (int pass = 0; pass < 2; pass++) {
        for (u32 k = 0; k < shared->count; k++) {
            if (is_number(network, exprs[k]) != (pass == 0) || seen[exprs[k]])
                continue;
            classes[shared->class_count++] = exprs[k];
            seen[exprs[k]] = shared->class_count;
        }
        if (pass == 0)
            shared->number_count = shared->class_count;
    }
    for (u32 k = 0; k < shared->count; k++)
        class_of[k] = seen[exprs[k]] - 1;
    shared->class_of = class_of;
    shared->classes = classes;
}

void
rxn__ssa_shared_begin(SsaFrame *frame, const char *name, const Expr *exprs, u32 count, KirType type,
                      bool uniform, SsaShared *ret_shared)
{
    SsaShared *shared = ret_shared;
    *shared = (SsaShared){.count = count, .type = type};
    classify(frame, exprs, shared);
    char text[64];
    i32 *of = NEW_ARRAY(frame->arena, i32, count + 1);
    double *numbers = NEW_ARRAY(frame->arena, double, shared->number_count + 1);
    for (u32 k = 0; k < count; k++)
        of[k] = (i32)shared->class_of[k];
    for (u32 k = 0; k < shared->number_count; k++)
        numbers[k] = expr_node(frame->network, shared->classes[k])->number;
    snprintf(text, sizeof text, "%s_class", name);
    shared->of = rxn__ssa_constants_i32(frame, text, of, count);
    snprintf(text, sizeof text, "%s_number", name);
    if (shared->number_count)
        shared->number = rxn__ssa_constants_f64(frame, text, numbers, shared->number_count);
    snprintf(text, sizeof text, "%s_value", name);
    shared->value = uniform
                        ? rxn__kir_uniform_local(frame->builder, text, type, shared->class_count)
                        : rxn__kir_local(frame->builder, text, type, shared->class_count);
}

void
rxn__ssa_shared_evaluate(SsaFrame *frame, const SsaShared *shared)
{
    KirBuilder *b = frame->builder;
    if (shared->number_count) {
        KirValue k = rxn__kir_for(b, rxn__kir_const(b, KIR_I32, 0),
                                  rxn__kir_const(b, KIR_I32, shared->number_count));
        rxn__kir_set(b, shared->value, k,
                     kir_cast(b, shared->type, rxn__kir_load(b, shared->number, &k)));
        rxn__kir_close(b);
    }
    for (u32 k = shared->number_count; k < shared->class_count; k++) {
        KirValue value = rxn__lower_as(&frame->lower, shared->classes[k], shared->type);
        rxn__kir_set(b, shared->value, rxn__kir_const(b, KIR_I32, k), value);
    }
}

KirValue
rxn__ssa_shared_get(SsaFrame *frame, const SsaShared *shared, KirValue item)
{
    KirBuilder *b = frame->builder;
    return rxn__kir_get(b, shared->value, rxn__kir_load(b, shared->of, &item));
}

/* ---- sums of counts ---------------------------------------------------------------------------- */

/* A count, or one with a whole number before or behind it: sums of such are exact in any order. */
static bool
linear_term(const SsaFrame *frame, Expr expr, i32 *ret_species, double *ret_weight)
{
    const Network *network = frame->network;
    const ExprNode *node = expr_node(network, expr);
    *ret_weight = 1;
    if (node->op == EXPR_MUL) {
        bool first = is_number(network, node->args[0]);
        const ExprNode *number = expr_node(network, node->args[first ? 0 : 1]);
        if (number->op != EXPR_NUMBER || number->number != floor(number->number))
            return false;
        *ret_weight = number->number;
        node = expr_node(network, node->args[first ? 1 : 0]);
    }
    if (node->op != EXPR_SPECIES || node->arg_count > 0)
        return false;
    *ret_species = (i32)network->species.items[node->object].flat;
    return true;
}

bool
rxn__ssa_linear(const SsaFrame *frame, Expr expr, SsaSpeciesList *species, SsaWeightList *weights)
{
    const Network *network = frame->network;
    u32 first = species->count;
    VEC(Expr) pending = {0};
    bool good = true;
    vec_push(frame->arena, &pending, expr);
    while (pending.count > 0 && good) {
        Expr at = pending.items[--pending.count];
        const ExprNode *node = expr_node(network, at);
        i32 which;
        double weight;
        if (node->op == EXPR_ADD) {
            vec_push(frame->arena, &pending, node->args[1]);
            vec_push(frame->arena, &pending, node->args[0]);
        } else if ((good = linear_term(frame, at, &which, &weight))) {
            vec_push(frame->arena, species, which);
            vec_push(frame->arena, weights, weight);
        }
    }
    if (good && species->count - first >= SSA_SHARED_LEAST)
        return true;
    species->count = weights->count = first;
    return false;
}
