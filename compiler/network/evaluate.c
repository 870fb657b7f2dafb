/* evaluate.c: the value of an expression on the host. For what is computed once (initial values,
 * default parameters, breakpoints in tests) and as the yardstick of the passes' tests; kernels
 * never come here.
 *
 * Each node is computed once for each setting of the variables that it depends on. Rounds make that
 * cheap: setting a variable (by a sum, a product, a hoisted array, or the caller) opens a new
 * round, and a stored value counts while its round is the latest among those of the node's free
 * variables. So a sum of n terms recomputes its body n times, but not what in the body does not
 * depend on the sum's variable.
 */
#include "compiler/network/internal.h"

#include <math.h>
#include <string.h>

typedef struct Evaluation {
    Network *network; /* only its tables are written */
    ExprTables *tables;
    const ExprValues *values;
    u64 base_round;
} Evaluation;

/* Recurses on the C stack for nested sums only; operations nest on the tables' own stack. */
static double evaluate(Evaluation *evaluation, Expr root);

static void
cover(Network *network)
{
    ExprTables *tables = network->tables;
    rxn__tables_cover(network);
    if (tables->value_capacity < network->exprs.count) {
        u32 capacity = network->exprs.capacity;
        GROW_ZEROED(network->arena, tables->values, tables->value_capacity, capacity);
        GROW_ZEROED(network->arena, tables->value_rounds, tables->value_capacity, capacity);
        tables->value_capacity = capacity;
    }
}

static u64
round_of(const Evaluation *evaluation, const ExprNode *node)
{
    u64 round = evaluation->base_round;
    const VariableSet *set = &evaluation->tables->sets.items[node->free_set];
    for (u32 i = 0; i < set->count; i++) {
        u64 bound_at = evaluation->tables->binding_rounds[set->items[i]];
        round = bound_at > round ? bound_at : round;
    }
    return round;
}

static bool
is_known(const Evaluation *evaluation, Expr expr)
{
    return evaluation->tables->value_rounds[expr] ==
           round_of(evaluation, expr_node(evaluation->network, expr));
}

static void
bind(Evaluation *evaluation, u32 variable, i64 value)
{
    evaluation->tables->bindings[variable] = value;
    evaluation->tables->binding_rounds[variable] = ++evaluation->tables->value_round;
}

static double
choose(double x, double how_many)
{
    double product = 1, factorial = 1;
    for (double i = 0; i < how_many; i++) {
        product *= x - i;
        factorial *= i + 1;
    }
    return product / factorial;
}

static double
apply(const ExprNode *node, const double *a)
{
    switch (node->op) {
    case EXPR_NUMBER:
    case EXPR_BOOLEAN: return node->number;
    case EXPR_NEG: return -a[0];
    case EXPR_ADD: return a[0] + a[1];
    case EXPR_SUB: return a[0] - a[1];
    case EXPR_MUL: return a[0] * a[1];
    case EXPR_DIV: return a[0] / a[1];
    case EXPR_POW: return pow(a[0], a[1]);
    case EXPR_MIN: return a[0] < a[1] ? a[0] : a[1];
    case EXPR_MAX: return a[0] > a[1] ? a[0] : a[1];
    case EXPR_ABS: return fabs(a[0]);
    case EXPR_FLOOR: return floor(a[0]);
    case EXPR_CEIL: return ceil(a[0]);
    case EXPR_SQRT: return sqrt(a[0]);
    case EXPR_EXP: return exp(a[0]);
    case EXPR_LOG: return log(a[0]);
    case EXPR_LOG1P: return log1p(a[0]);
    case EXPR_EXPM1: return expm1(a[0]);
    case EXPR_SIN: return sin(a[0]);
    case EXPR_COS: return cos(a[0]);
    case EXPR_TAN: return tan(a[0]);
    case EXPR_TANH: return tanh(a[0]);
    case EXPR_SIGMOID: return 1 / (1 + exp(-a[0]));
    case EXPR_SOFTPLUS: return (a[0] > 0 ? a[0] : 0) + log1p(exp(-fabs(a[0])));
    case EXPR_CHOOSE: return choose(a[0], node->number);
    case EXPR_LT: return a[0] < a[1];
    case EXPR_LE: return a[0] <= a[1];
    case EXPR_EQ: return a[0] == a[1];
    case EXPR_NE: return a[0] != a[1];
    case EXPR_NOT: return a[0] == 0;
    case EXPR_AND: return a[0] != 0 && a[1] != 0;
    case EXPR_OR: return a[0] != 0 || a[1] != 0;
    case EXPR_SELECT: return a[0] != 0 ? a[1] : a[2];
    default: return NAN; /* the references, which have their own function */
    }
}

/* Row-major place of the member that the indices name; false when one is out of range. */
static bool
member_of(const Shape *shape, const double *indices, u32 *ret_member)
{
    u32 member = 0;
    for (u32 i = 0; i < shape->rank; i++) {
        if (!(indices[i] >= 0 && indices[i] < shape->extent[i]))
            return false;
        member = member * shape->extent[i] + (u32)indices[i];
    }
    *ret_member = member;
    return true;
}

static double
array_value(const double *array, const Shape *shape, u32 flat, const double *indices)
{
    u32 member;
    if (array == NULL || !member_of(shape, indices, &member))
        return NAN;
    return array[flat + member];
}

/* What a variable was before `bind`: given back exactly, so that stored values of then count again.
 * */
typedef struct Binding {
    i64 value;
    u64 round;
} Binding;

static Binding
binding_of(const Evaluation *evaluation, u32 variable)
{
    return (Binding){evaluation->tables->bindings[variable],
                     evaluation->tables->binding_rounds[variable]};
}

static void
rebind(Evaluation *evaluation, u32 variable, Binding binding)
{
    evaluation->tables->bindings[variable] = binding.value;
    evaluation->tables->binding_rounds[variable] = binding.round;
}

static double
hoisted_value(Evaluation *evaluation, const ExprNode *node, const double *indices)
{
    const Network *network = evaluation->network;
    const Hoisted *hoisted = &network->hoisted.items[node->object];
    Binding outer[RXN_MAX_RANK];
    u32 member;
    if (!member_of(&hoisted->shape, indices, &member))
        return NAN;
    for (u32 i = 0; i < hoisted->shape.rank; i++) {
        u32 variable = hoisted->variables[i];
        outer[i] = binding_of(evaluation, variable);
        bind(evaluation, variable, network->variables.items[variable].low + (i64)indices[i]);
    }
    double value = evaluate(evaluation, hoisted->value);
    for (u32 i = hoisted->shape.rank; i-- > 0;)
        rebind(evaluation, hoisted->variables[i], outer[i]);
    return value;
}

static double
over_value(Evaluation *evaluation, const ExprNode *node)
{
    const Variable variable = evaluation->network->variables.items[node->object];
    const Binding outer = binding_of(evaluation, node->object);
    double total = node->op == EXPR_SUM ? 0 : 1;
    for (i64 value = variable.low; value <= variable.high; value++) {
        bind(evaluation, node->object, value);
        double term = evaluate(evaluation, node->args[0]);
        total = node->op == EXPR_SUM ? total + term : total * term;
    }
    rebind(evaluation, node->object, outer);
    return total;
}

static double
leaf_value(Evaluation *evaluation, const ExprNode *node, const double *a)
{
    const Network *network = evaluation->network;
    const ExprValues *values = evaluation->values;
    switch (node->op) {
    case EXPR_TIME: return values->time;
    case EXPR_TIME_LOW: return values->window ? values->time_low : values->time;
    case EXPR_TIME_HIGH: return values->window ? values->time_high : values->time;
    case EXPR_TIME_MIDDLE: return values->window ? values->time_middle : values->time;
    case EXPR_VARIABLE:
        if (evaluation->tables->binding_rounds[node->object] > evaluation->base_round)
            return (double)evaluation->tables->bindings[node->object];
        return values->variables == NULL ? NAN : (double)values->variables[node->object];
    case EXPR_SPECIES: {
        const Species *species = &network->species.items[node->object];
        return array_value(values->species, &species->shape, species->flat, a);
    }
    case EXPR_PARAM: {
        const Param *param = &network->params.items[node->object];
        return array_value(values->params, &param->shape, param->flat, a);
    }
    case EXPR_INPUT: {
        const Input *input = &network->inputs.items[node->object];
        return array_value(values->inputs, &input->shape, input->flat, a);
    }
    case EXPR_HOISTED: return hoisted_value(evaluation, node, a);
    case EXPR_QUANTITY: return values->quantities == NULL ? NAN : values->quantities[node->object];
    default: return apply(node, a);
    }
}

static double
evaluate(Evaluation *evaluation, Expr root)
{
    ExprTables *tables = evaluation->tables;
    Network *network = evaluation->network;
    const u32 bottom = tables->stack_count;
    rxn__tables_push(network, root);
    while (tables->stack_count > bottom) {
        Expr top = tables->stack[tables->stack_count - 1];
        const ExprNode *node = expr_node(network, top);
        if (is_known(evaluation, top)) {
            tables->stack_count--;
            continue;
        }
        double args[RXN_MAX_RANK] = {0}, value;
        if (expr_is_over((ExprOp)node->op)) {
            value = over_value(evaluation, node);
        } else {
            bool ready = true;
            for (u32 i = node->arg_count; i-- > 0;) {
                args[i] = tables->values[node->args[i]];
                if (is_known(evaluation, node->args[i]))
                    continue;
                ready = false;
                rxn__tables_push(network, node->args[i]);
            }
            if (!ready)
                continue;
            value = leaf_value(evaluation, node, args);
        }
        tables->values[top] = value;
        tables->value_rounds[top] = round_of(evaluation, node);
        tables->stack_count--;
    }
    return tables->values[root];
}

double
rxn__expr_evaluate(const Network *network, Expr expr, const ExprValues *values)
{
    if (expr == 0)
        return NAN;
    Network *own = network_for_tables(network);
    cover(own);
    Evaluation evaluation = {.network = own,
                             .tables = own->tables,
                             .values = values,
                             .base_round = ++own->tables->value_round};
    return evaluate(&evaluation, expr);
}
