/* lower.c: expressions to kernel values (see lower.h).
 *
 * The kernel IR shares equal values by itself; the memo here only keeps the walk linear in the size of
 * the DAG. Entries made inside a `for` are dropped when it closes, since their values are not visible
 * behind it; the journal finds them.
 */
#include "compiler/method/lower.h"

#include <math.h>
#include <string.h>

void
rxn__lower_init(Lowering *lowering, KirBuilder *builder, Network *network, Arena *arena,
                KirType real)
{
    memset(lowering, 0, sizeof *lowering);
    lowering->builder = builder;
    lowering->network = network;
    lowering->arena = arena;
    lowering->real = real;
    lowering->session = 1;
}

void
rxn__lower_forget(Lowering *lowering)
{
    lowering->session++;
    lowering->journal.count = 0;
}

u32
rxn__lower_mark(const Lowering *lowering)
{
    return lowering->journal.count;
}

void
rxn__lower_forget_since(Lowering *lowering, u32 mark)
{
    while (lowering->journal.count > mark) {
        u32 entry = lowering->journal.items[--lowering->journal.count];
        lowering->memo[entry & 1][entry >> 1].session = 0;
    }
}

static LowerMemo *
memo_of(Lowering *lowering, Expr expr, bool wide)
{
    if (expr >= lowering->memo_capacity) {
        /* The network may grow while we lower (members are expanded on demand). */
        u32 capacity = 2 * (expr + 64);
        for (u32 k = 0; k < 2; k++) {
            LowerMemo *grown = NEW_ARRAY(lowering->arena, LowerMemo, capacity);
            if (lowering->memo[k])
                memcpy(grown, lowering->memo[k], lowering->memo_capacity * sizeof *grown);
            lowering->memo[k] = grown;
        }
        lowering->memo_capacity = capacity;
    }
    return &lowering->memo[wide][expr];
}

static void
reserve_variable(Lowering *lowering, u32 variable)
{
    if (variable < lowering->variable_capacity)
        return;
    u32 capacity = 2 * (variable + 16);
    KirValue *grown = NEW_ARRAY(lowering->arena, KirValue, capacity);
    if (lowering->variable_value)
        memcpy(grown, lowering->variable_value, lowering->variable_capacity * sizeof *grown);
    lowering->variable_value = grown;
    lowering->variable_capacity = capacity;
}

void
rxn__lower_bind(Lowering *lowering, u32 variable, KirValue value)
{
    reserve_variable(lowering, variable);
    if (lowering->variable_value[variable] != value) {
        lowering->variable_value[variable] = value;
        rxn__lower_forget(lowering);
    }
}

static KirValue
int_const(Lowering *lowering, i64 value)
{
    return rxn__kir_const(lowering->builder, KIR_I32, (double)value);
}

KirValue
rxn__lower_index(Lowering *lowering, Expr index)
{
    KirBuilder *b = lowering->builder;
    Affine affine;
    if (!rxn__expr_affine(lowering->network, index, &affine))
        return 0; /* sema has checked it: the checker of the kernel reports the hole */
    KirValue sum = 0;
    for (u32 k = 0; k < affine.count; k++) {
        KirValue variable = affine.variable[k] < lowering->variable_capacity
                                ? lowering->variable_value[affine.variable[k]]
                                : 0;
        KirValue term = variable;
        if (affine.coefficient[k] != 1)
            term = kir_mul(b, variable, int_const(lowering, affine.coefficient[k]));
        sum = sum ? kir_add(b, sum, term) : term;
    }
    if (!sum)
        return int_const(lowering, affine.constant);
    if (affine.constant)
        sum = kir_add(b, sum, int_const(lowering, affine.constant));
    return sum;
}

KirValue
rxn__lower_flat(Lowering *lowering, const Shape *shape, u32 first, const Expr *indices)
{
    KirBuilder *b = lowering->builder;
    KirValue flat = 0;
    for (u32 k = 0; k < shape->rank; k++) {
        if (flat)
            flat = kir_mul(b, flat, int_const(lowering, shape->extent[k]));
        KirValue index = rxn__lower_index(lowering, indices[k]);
        flat = flat ? kir_add(b, flat, index) : index;
    }
    if (!flat)
        return int_const(lowering, first);
    return first ? kir_add(b, flat, int_const(lowering, first)) : flat;
}

KirValue
rxn__lower_species(Lowering *lowering, KirValue flat)
{
    KirBuilder *b = lowering->builder;
    if (!lowering->species_local)
        return rxn__kir_get(b, lowering->species_array, flat);
    const KirNode *node = &rxn__kir_kernel(b)->values.items[flat];
    /* Unrolled kernels have constant indices only: the method has expanded every member. */
    if (node->op != KIR_CONST)
        return 0;
    return rxn__kir_get(b, lowering->species_local[(u32)node->bits], 0);
}

static KirValue
lower_reference(Lowering *lowering, const ExprNode *node, KirType type)
{
    KirBuilder *b = lowering->builder;
    const Network *network = lowering->network;
    KirValue value, flat;
    switch ((ExprOp)node->op) {
    case EXPR_SPECIES: {
        const Species *species = &network->species.items[node->object];
        flat = rxn__lower_flat(lowering, &species->shape, species->flat, node->args);
        value = rxn__lower_species(lowering, flat);
        break;
    }
    case EXPR_PARAM: {
        const Param *param = &network->params.items[node->object];
        flat = rxn__lower_flat(lowering, &param->shape, param->flat, node->args);
        value = rxn__kir_load(b, lowering->parameter_buffer, &flat);
        break;
    }
    case EXPR_INPUT: {
        const Input *input = &network->inputs.items[node->object];
        bool own = lowering->input_local != NULL;
        flat = rxn__lower_flat(lowering, &input->shape, own ? 0 : input->flat, node->args);
        value =
            own ? rxn__kir_get(b, lowering->input_local[node->object], input->shape.rank ? flat : 0)
                : rxn__kir_load(b, lowering->input_buffer, &flat);
        break;
    }
    default: { /* EXPR_HOISTED */
        const Hoisted *hoisted = &network->hoisted.items[node->object];
        flat = rxn__lower_flat(lowering, &hoisted->shape, 0, node->args);
        value =
            rxn__kir_get(b, lowering->hoisted_local[node->object], hoisted->shape.rank ? flat : 0);
        break;
    }
    }
    return kir_cast(b, type, value);
}

KirValue
rxn__lower_term(Lowering *lowering, KirValue total, Expr term, KirType type)
{
    KirBuilder *b = lowering->builder;
    const ExprNode node = *expr_node(lowering->network, term);
    if (!lowering->fuses || node.op != EXPR_MUL)
        return kir_add(b, total, rxn__lower_as(lowering, term, type));
    KirValue factor = rxn__lower_as(lowering, node.args[0], type);
    return kir_fma(b, factor, rxn__lower_as(lowering, node.args[1], type), total);
}

static KirValue
lower_sum(Lowering *lowering, const ExprNode *node, KirType type)
{
    KirBuilder *b = lowering->builder;
    u32 variable = node->object;
    Variable range = lowering->network->variables.items[variable];
    Expr body = node->args[0];
    KirOp op = node->op == EXPR_SUM ? KIR_ADD : KIR_MUL;
    KirValue start = rxn__kir_const(b, type, node->op == EXPR_SUM ? 0 : 1);
    if (range.high < range.low)
        return start;
    reserve_variable(lowering, variable);
    u32 mark = lowering->journal.count;
    KirValue outer = lowering->variable_value[variable];
    KirValue result;
    if (lowering->species_local || range.high - range.low < RXN_UNROLL_SUM) {
        result = 0;
        for (i64 k = range.low; k <= range.high; k++) {
            rxn__lower_forget_since(lowering, mark);
            lowering->variable_value[variable] = int_const(lowering, k);
            KirValue term = rxn__lower_as(lowering, body, type);
            result = result ? rxn__kir_op(b, op, result, term, 0) : term;
        }
    } else {
        u32 total = lowering->launching ? rxn__kir_uniform_local(b, "total", type, 0)
                                        : rxn__kir_local(b, "total", type, 0);
        rxn__kir_set(b, total, 0, start);
        KirValue counter =
            rxn__kir_for(b, int_const(lowering, range.low), int_const(lowering, range.high + 1));
        lowering->variable_value[variable] = counter;
        KirValue so_far = rxn__kir_get(b, total, 0);
        KirValue next = op == KIR_ADD ? rxn__lower_term(lowering, so_far, body, type)
                                      : kir_mul(b, so_far, rxn__lower_as(lowering, body, type));
        rxn__kir_set(b, total, 0, next);
        rxn__kir_close(b);
        result = rxn__kir_get(b, total, 0);
    }
    lowering->variable_value[variable] = outer;
    rxn__lower_forget_since(lowering, mark);
    return result;
}

/* x(x-1)…(x-n+1): exactly zero for x = 0 … n-1. */
static KirValue
falling_factorial(KirBuilder *b, KirType type, KirValue x, u32 n)
{
    KirValue product = x;
    for (u32 k = 1; k < n; k++)
        product = kir_mul(b, product, kir_sub(b, x, rxn__kir_const(b, type, k)));
    return product;
}

double
rxn__factorial(u32 n)
{
    double product = 1;
    for (u32 k = 2; k <= n; k++)
        product *= k;
    return product;
}

static KirValue
lower_pow(Lowering *lowering, const ExprNode *node, KirType type)
{
    KirBuilder *b = lowering->builder;
    KirValue base = rxn__lower_as(lowering, node->args[0], type);
    const ExprNode *exponent = expr_node(lowering->network, node->args[1]);
    if (exponent->op == EXPR_NUMBER) {
        /* Whole exponents up to 4 by multiplication: at most 2 roundings, and much cheaper. */
        double n = exponent->number;
        if (n == 1)
            return base;
        if (n == 2)
            return kir_mul(b, base, base);
        if (n == 3)
            return kir_mul(b, kir_mul(b, base, base), base);
        if (n == 4) {
            KirValue square = kir_mul(b, base, base);
            return kir_mul(b, square, square);
        }
        if (n == 0.5)
            return kir_sqrt(b, base);
        if (n == -1)
            return kir_div(b, rxn__kir_const(b, type, 1), base);
    }
    return rxn__kir_op(b, KIR_POW, base, rxn__lower_as(lowering, node->args[1], type), 0);
}

static bool
reads_time(const Network *network, Expr expr)
{
    ExprUses uses = rxn__expr_uses(network, expr);
    return uses.time || uses.window;
}

/* Time is f64 in every precision, and what is made of time alone has to be: sin(w t) or t - 1e6 lose
 * their meaning in single precision long before the end of a run. */
static bool
is_made_of_time(const Network *network, Expr expr)
{
    ExprUses uses = rxn__expr_uses(network, expr);
    return (uses.time || uses.window) && !uses.species && !expr_node(network, expr)->is_bool;
}

/* Ops that are one kernel op of the same arity. */
static int
direct_op(ExprOp op)
{
    switch (op) {
    case EXPR_NEG: return KIR_NEG;
    case EXPR_ADD: return KIR_ADD;
    case EXPR_SUB: return KIR_SUB;
    case EXPR_MUL: return KIR_MUL;
    case EXPR_DIV: return KIR_DIV;
    case EXPR_MIN: return KIR_MIN;
    case EXPR_MAX: return KIR_MAX;
    case EXPR_ABS: return KIR_ABS;
    case EXPR_FLOOR: return KIR_FLOOR;
    case EXPR_CEIL: return KIR_CEIL;
    case EXPR_SQRT: return KIR_SQRT;
    case EXPR_EXP: return KIR_EXP;
    case EXPR_LOG: return KIR_LOG;
    case EXPR_LOG1P: return KIR_LOG1P;
    case EXPR_EXPM1: return KIR_EXPM1;
    case EXPR_SIN: return KIR_SIN;
    case EXPR_COS: return KIR_COS;
    case EXPR_TAN: return KIR_TAN;
    case EXPR_TANH: return KIR_TANH;
    case EXPR_SIGMOID: return KIR_SIGMOID;
    case EXPR_SOFTPLUS: return KIR_SOFTPLUS;
    case EXPR_LT: return KIR_LT;
    case EXPR_LE: return KIR_LE;
    case EXPR_EQ: return KIR_EQ;
    case EXPR_NE: return KIR_NE;
    case EXPR_NOT: return KIR_NOT;
    case EXPR_AND: return KIR_AND;
    case EXPR_OR: return KIR_OR;
    case EXPR_SELECT: return KIR_SELECT;
    default: return -1;
    }
}

static KirValue
lower_node(Lowering *lowering, const ExprNode *node, KirType type)
{
    KirBuilder *b = lowering->builder;
    switch ((ExprOp)node->op) {
    case EXPR_NUMBER: return rxn__kir_const(b, type, node->number);
    case EXPR_BOOLEAN: return rxn__kir_const(b, KIR_BOOL, node->number);
    case EXPR_TIME: return kir_cast(b, type, lowering->time);
    case EXPR_TIME_LOW: return kir_cast(b, type, lowering->time_low);
    case EXPR_TIME_HIGH: return kir_cast(b, type, lowering->time_high);
    case EXPR_TIME_MIDDLE: return kir_cast(b, type, lowering->time_middle);
    case EXPR_VARIABLE: return kir_cast(b, type, lowering->variable_value[node->object]);
    case EXPR_SPECIES:
    case EXPR_PARAM:
    case EXPR_INPUT:
    case EXPR_HOISTED: return lower_reference(lowering, node, type);
    case EXPR_QUANTITY:
        return kir_cast(b, type, lowering->quantity(lowering->quantity_context, node->object));
    case EXPR_CHOOSE: {
        KirValue x = rxn__lower_as(lowering, node->args[0], type);
        u32 n = (u32)node->number;
        return kir_mul(b, falling_factorial(b, type, x, n),
                       rxn__kir_const(b, type, 1 / rxn__factorial(n)));
    }
    case EXPR_POW: return lower_pow(lowering, node, type);
    case EXPR_SUM:
    case EXPR_PROD: return lower_sum(lowering, node, type);
    default: break;
    }
    KirValue args[3] = {0, 0, 0};
    bool compares = rxn__expr_ops[node->op].gives_bool && !rxn__expr_ops[node->op].takes_bool;
    KirType arg_type = type;
    if (compares) {
        /* Times are f64 in every precision, and so is what they are compared with. */
        arg_type = lowering->real;
        for (u32 k = 0; k < node->arg_count; k++)
            if (reads_time(lowering->network, node->args[k]))
                arg_type = KIR_F64;
    }
    for (u32 k = 0; k < node->arg_count; k++)
        args[k] = rxn__lower_as(lowering, node->args[k], arg_type);
    return rxn__kir_op(b, (KirOp)direct_op((ExprOp)node->op), args[0], args[1], args[2]);
}

KirValue
rxn__lower_as(Lowering *lowering, Expr expr, KirType type)
{
    bool wide = type == KIR_F64 && lowering->real != KIR_F64;
    LowerMemo *memo = memo_of(lowering, expr, wide);
    if (memo->session == lowering->session)
        return memo->value;
    ExprNode node = *expr_node(lowering->network, expr);
    bool widens = type != KIR_F64 && is_made_of_time(lowering->network, expr);
    KirValue kept = node.op == EXPR_SUM && lowering->kept_sum
                        ? lowering->kept_sum(lowering->kept_context, expr)
                        : 0;
    KirValue value = kept ? kir_cast(lowering->builder, type, kept)
                     : widens
                         ? kir_cast(lowering->builder, type, rxn__lower_as(lowering, expr, KIR_F64))
                         : lower_node(lowering, &node, type);
    memo = memo_of(lowering, expr, wide);
    memo->session = lowering->session;
    memo->value = value;
    vec_push(lowering->arena, &lowering->journal, expr << 1 | wide);
    return value;
}

KirValue
rxn__lower(Lowering *lowering, Expr expr)
{
    return rxn__lower_as(lowering, expr, lowering->real);
}

static KirValue
lower_propensity(Lowering *lowering, const Reaction *reaction, Expr propensity, Expr rate)
{
    KirBuilder *b = lowering->builder;
    if (!reaction->mass_action)
        return rxn__lower(lowering, propensity);
    /* Different references of a family may meet in one member (A[i] + A[j] at i = j): sema has then
     * written the propensity out, and only that form is right. */
    for (u32 i = 0; i < reaction->reactants.count; i++)
        for (u32 j = i + 1; j < reaction->reactants.count; j++)
            if (reaction->reactants.items[i].species == reaction->reactants.items[j].species)
                return rxn__lower(lowering, propensity);
    double divisor = 1;
    for (u32 k = 0; k < reaction->reactants.count; k++)
        divisor *= rxn__factorial(reaction->reactants.items[k].coefficient);
    KirValue value = rxn__lower(lowering, rate);
    if (divisor != 1)
        value = kir_mul(b, value, rxn__kir_const(b, lowering->real, 1 / divisor));
    for (u32 k = 0; k < reaction->reactants.count; k++) {
        const Term *term = &reaction->reactants.items[k];
        const Species *species = &lowering->network->species.items[term->species];
        KirValue flat = rxn__lower_flat(lowering, &species->shape, species->flat, term->index);
        KirValue x = rxn__lower_species(lowering, flat);
        value = kir_mul(b, value, falling_factorial(b, lowering->real, x, term->coefficient));
    }
    return value;
}

KirValue
rxn__lower_propensity(Lowering *lowering, const Reaction *reaction, Expr propensity, Expr rate)
{
    u32 before = rxn__kir_origin(lowering->builder, reaction->span.begin);
    KirValue value = lower_propensity(lowering, reaction, propensity, rate);
    rxn__kir_origin(lowering->builder, before);
    return value;
}
