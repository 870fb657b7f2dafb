/* derive_fixture.h: what the tests of derivatives share: models from texts, points, values and
 * differences in long double, and expressions as one writes them. */
#ifndef RXN_DERIVE_FIXTURE_H
#define RXN_DERIVE_FIXTURE_H

#include "network_fixture.h"

#include "compiler/sema/sema.h"

/* ---- Models ---------------------------------------------------------------------------------- */

static inline const char *
file_text(Arena *arena, const char *path)
{
    Text text;
    rxn__text_init(&text, arena);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    char buffer[4096];
    size_t length;
    while ((length = fread(buffer, 1, sizeof buffer, file)) > 0)
        rxn__text_append(&text, buffer, length);
    fclose(file);
    return text.data;
}

static inline const char *
model_text(Arena *arena, const char *name)
{
    Text path;
    rxn__text_init(&path, arena);
    rxn__text_printf(&path, "%s/stdlib_models/%s", RXN_SOURCE_ROOT, name);
    return file_text(arena, path.data);
}

static inline bool
load_model(void *context, const char *from, const char *path, Arena *arena,
           const char **ret_resolved, const char **ret_text, size_t *ret_length,
           const char **ret_reason)
{
    (void)context, (void)from;
    *ret_resolved = path;
    *ret_reason = "there is no such model";
    *ret_text = model_text(arena, path);
    *ret_length = *ret_text == NULL ? 0 : strlen(*ret_text);
    return *ret_text != NULL;
}

static inline Network *
network_of(Fixture *f, const char *text)
{
    SourceLoader loader = {.load = load_model};
    SemaInput input = {.arena = &f->arena,
                       .names = &f->names,
                       .sources = &f->sources,
                       .diagnostics = &f->diagnostics,
                       .loader = &loader};
    u32 file = rxn__sources_add(&f->sources, "test.rxn", text, strlen(text));
    Network *network = rxn__elaborate(&input, file, NULL);
    if (network == NULL) {
        Text out;
        rxn__text_init(&out, &f->arena);
        rxn__diagnostics_render(&f->diagnostics, &out);
        fail_msg("%s", out.data);
    }
    return network;
}

static inline void
run_passes(Fixture *f, Network *n)
{
    const char *internal = NULL;
    if (!rxn__network_passes(n, &f->diagnostics, &f->arena, NULL, NULL, &internal))
        fail_msg("%s", internal != NULL ? internal : "a pass has a complaint");
}

/* ---- Points, and values at them in long double ------------------------------------------------ */

enum { MAX_QUANTITIES = 4 };

typedef struct Point {
    const Network *n;
    long double *species, *params, *inputs, quantities[MAX_QUANTITIES], time;
    i64 *variables;
} Point;

static inline Point
new_point(Fixture *f, const Network *n)
{
    Point p = {.n = n, .time = 1.25L};
    p.species = calloc(n->species_count + 1, sizeof *p.species);
    p.params = calloc(n->param_count + 1, sizeof *p.params);
    p.inputs = calloc(n->input_count + 1, sizeof *p.inputs);
    p.variables = calloc(n->variables.count + 64, sizeof *p.variables);
    rxn__arena_on_release(&f->arena, free, p.species);
    rxn__arena_on_release(&f->arena, free, p.params);
    rxn__arena_on_release(&f->arena, free, p.inputs);
    rxn__arena_on_release(&f->arena, free, p.variables);
    return p;
}

static inline long double reference(Point *p, Expr expr);

static inline u32
reference_member(Point *p, const ExprNode *node, const Shape *shape, u32 flat)
{
    i64 index[RXN_MAX_RANK];
    for (u32 i = 0; i < shape->rank; i++)
        index[i] = (i64)reference(p, node->args[i]);
    return rxn__flat_member(shape, flat, index);
}

static inline long double
reference_choose(long double x, double n)
{
    long double product = 1;
    for (int k = 0; k < (int)n; k++)
        product = product * (x - k) / (k + 1);
    return product;
}

static inline long double
reference_over(Point *p, const ExprNode *node)
{
    const Variable v = p->n->variables.items[node->object];
    i64 outer = p->variables[node->object];
    long double total = node->op == EXPR_PROD;
    for (i64 k = v.low; k <= v.high; k++) {
        p->variables[node->object] = k;
        long double term = reference(p, node->args[0]);
        total = node->op == EXPR_SUM ? total + term : total * term;
    }
    p->variables[node->object] = outer;
    return total;
}

static inline long double
reference_hoisted(Point *p, const ExprNode *node)
{
    const Hoisted *h = &p->n->hoisted.items[node->object];
    i64 outer[RXN_MAX_RANK], index[RXN_MAX_RANK];
    for (u32 i = 0; i < h->shape.rank; i++)
        index[i] = (i64)reference(p, node->args[i]);
    for (u32 i = 0; i < h->shape.rank; i++) {
        outer[i] = p->variables[h->variables[i]];
        p->variables[h->variables[i]] = p->n->variables.items[h->variables[i]].low + index[i];
    }
    long double value = reference(p, h->value);
    for (u32 i = 0; i < h->shape.rank; i++)
        p->variables[h->variables[i]] = outer[i];
    return value;
}

/* Written apart from evaluate.c, and without its memory: for small expressions. */
static inline long double
reference(Point *p, Expr expr)
{
    const ExprNode node = *expr_node(p->n, expr);
    long double a = 0, b = 0;
    switch ((ExprOp)node.op) {
    case EXPR_NUMBER:
    case EXPR_BOOLEAN: return node.number;
    case EXPR_TIME:
    case EXPR_TIME_LOW:
    case EXPR_TIME_HIGH:
    case EXPR_TIME_MIDDLE: return p->time;
    case EXPR_VARIABLE: return p->variables[node.object];
    case EXPR_SPECIES: {
        const Species *s = &p->n->species.items[node.object];
        return p->species[reference_member(p, &node, &s->shape, s->flat)];
    }
    case EXPR_PARAM: {
        const Param *q = &p->n->params.items[node.object];
        return p->params[reference_member(p, &node, &q->shape, q->flat)];
    }
    case EXPR_INPUT: {
        const Input *i = &p->n->inputs.items[node.object];
        return p->inputs[reference_member(p, &node, &i->shape, i->flat)];
    }
    case EXPR_HOISTED: return reference_hoisted(p, &node);
    case EXPR_QUANTITY: return p->quantities[node.object];
    case EXPR_SUM:
    case EXPR_PROD: return reference_over(p, &node);
    case EXPR_SELECT:
        return reference(p, reference(p, node.args[0]) != 0 ? node.args[1] : node.args[2]);
    default: break;
    }
    a = reference(p, node.args[0]);
    if (node.arg_count > 1)
        b = reference(p, node.args[1]);
    switch ((ExprOp)node.op) {
    case EXPR_NEG: return -a;
    case EXPR_ADD: return a + b;
    case EXPR_SUB: return a - b;
    case EXPR_MUL: return a * b;
    case EXPR_DIV: return a / b;
    case EXPR_POW: return powl(a, b);
    case EXPR_MIN: return a < b ? a : b;
    case EXPR_MAX: return a > b ? a : b;
    case EXPR_ABS: return fabsl(a);
    case EXPR_FLOOR: return floorl(a);
    case EXPR_CEIL: return ceill(a);
    case EXPR_SQRT: return sqrtl(a);
    case EXPR_EXP: return expl(a);
    case EXPR_LOG: return logl(a);
    case EXPR_LOG1P: return log1pl(a);
    case EXPR_EXPM1: return expm1l(a);
    case EXPR_SIN: return sinl(a);
    case EXPR_COS: return cosl(a);
    case EXPR_TAN: return tanl(a);
    case EXPR_TANH: return tanhl(a);
    case EXPR_SIGMOID: return 1 / (1 + expl(-a));
    case EXPR_SOFTPLUS: return (a > 0 ? a : 0) + log1pl(expl(-fabsl(a)));
    case EXPR_CHOOSE: return reference_choose(a, node.number);
    case EXPR_LT: return a < b;
    case EXPR_LE: return a <= b;
    case EXPR_EQ: return a == b;
    case EXPR_NE: return a != b;
    case EXPR_NOT: return a == 0;
    case EXPR_AND: return a != 0 && b != 0;
    case EXPR_OR: return a != 0 || b != 0;
    default: fail_msg("no reference for %s", rxn__expr_ops[node.op].text);
    }
    return NAN;
}

static inline long double
central(Point *p, Expr expr, long double *at, long double h)
{
    long double x = *at;
    *at = x + h;
    long double right = reference(p, expr);
    *at = x - h;
    long double left = reference(p, expr);
    *at = x;
    return (right - left) / (2 * h);
}

/* Central differences at h, h/2, h/4, extrapolated twice (Richardson): the error is of order h^6, far
 * below 1e-6 for f64. *ret_doubt: how far the last two steps are apart. */
static inline long double
difference(Point *p, Expr expr, long double *at, long double *ret_doubt)
{
    long double h = *at == 0 ? 1e-3L : 1e-3L * fabsl(*at);
    long double d1 = central(p, expr, at, h), d2 = central(p, expr, at, h / 2),
                d3 = central(p, expr, at, h / 4);
    long double r1 = (4 * d2 - d1) / 3, r2 = (4 * d3 - d2) / 3;
    if (ret_doubt != NULL)
        *ret_doubt = fabsl(r2 - r1);
    return (16 * r2 - r1) / 15;
}

/* The same point for rxn__expr_evaluate, in f64. */
typedef struct Doubles {
    ExprValues values;
    double *numbers;
} Doubles;

static inline const double *
as_doubles(Fixture *f, const long double *items, u32 count)
{
    double *copy = NEW_ARRAY(&f->arena, double, count + 1);
    for (u32 i = 0; i < count; i++)
        copy[i] = (double)items[i];
    return copy;
}

static inline ExprValues
values_of(Fixture *f, const Point *p)
{
    return (ExprValues){.species = as_doubles(f, p->species, p->n->species_count),
                        .params = as_doubles(f, p->params, p->n->param_count),
                        .inputs = as_doubles(f, p->inputs, p->n->input_count),
                        .quantities = as_doubles(f, p->quantities, MAX_QUANTITIES),
                        .variables = p->variables,
                        .time = (double)p->time};
}

/* ---- Expressions as one writes them ----------------------------------------------------------- */

static inline void write_expr(Text *out, const Network *n, Expr expr, int outer);

static inline void
write_reference(Text *out, const Network *n, const ExprNode *node, Name name)
{
    rxn__text_printf(out, "%s", name->text);
    for (u32 i = 0; i < node->arg_count; i++) {
        rxn__text_printf(out, i == 0 ? "[" : ",");
        write_expr(out, n, node->args[i], 0);
    }
    if (node->arg_count > 0)
        rxn__text_printf(out, "]");
}

static inline void
write_infix(Text *out, const Network *n, const ExprNode *node, const char *sign, int level,
            int outer)
{
    rxn__text_printf(out, level < outer ? "(" : "");
    write_expr(out, n, node->args[0], level);
    rxn__text_printf(out, "%s", sign);
    write_expr(out, n, node->args[1], level + 1);
    rxn__text_printf(out, level < outer ? ")" : "");
}

static inline void
write_call(Text *out, const Network *n, const ExprNode *node)
{
    rxn__text_printf(out, "%s(", rxn__expr_ops[node->op].text);
    for (u32 i = 0; i < node->arg_count; i++) {
        rxn__text_printf(out, i == 0 ? "" : ", ");
        write_expr(out, n, node->args[i], 0);
    }
    if (node->op == EXPR_CHOOSE)
        rxn__text_printf(out, ", %.0f", node->number);
    rxn__text_printf(out, ")");
}

static inline void
write_expr(Text *out, const Network *n, Expr expr, int outer)
{
    const ExprNode *node = expr_node(n, expr);
    const char *variable;
    switch ((ExprOp)node->op) {
    case EXPR_NUMBER: rxn__text_printf(out, "%.6g", node->number); break;
    case EXPR_BOOLEAN: rxn__text_printf(out, node->number != 0 ? "true" : "false"); break;
    case EXPR_TIME:
    case EXPR_TIME_MIDDLE: rxn__text_printf(out, "t"); break;
    case EXPR_VARIABLE:
        rxn__text_printf(out, "%s", n->variables.items[node->object].name->text);
        break;
    case EXPR_SPECIES: write_reference(out, n, node, n->species.items[node->object].name); break;
    case EXPR_PARAM: write_reference(out, n, node, n->params.items[node->object].name); break;
    case EXPR_INPUT: write_reference(out, n, node, n->inputs.items[node->object].name); break;
    case EXPR_HOISTED: write_reference(out, n, node, n->hoisted.items[node->object].name); break;
    case EXPR_QUANTITY: rxn__text_printf(out, "<%u>", node->object); break;
    case EXPR_LT: write_infix(out, n, node, " < ", 1, outer); break;
    case EXPR_LE: write_infix(out, n, node, " <= ", 1, outer); break;
    case EXPR_EQ: write_infix(out, n, node, " == ", 1, outer); break;
    case EXPR_NE: write_infix(out, n, node, " != ", 1, outer); break;
    case EXPR_ADD: write_infix(out, n, node, " + ", 2, outer); break;
    case EXPR_SUB: write_infix(out, n, node, " - ", 2, outer); break;
    case EXPR_MUL: write_infix(out, n, node, "*", 3, outer); break;
    case EXPR_DIV: write_infix(out, n, node, "/", 3, outer); break;
    case EXPR_POW: write_infix(out, n, node, "^", 5, outer); break;
    case EXPR_NEG:
        rxn__text_printf(out, outer > 2 ? "(-" : "-");
        write_expr(out, n, node->args[0], 3);
        rxn__text_printf(out, outer > 2 ? ")" : "");
        break;
    case EXPR_SELECT:
        rxn__text_printf(out, outer > 0 ? "(if " : "if ");
        write_expr(out, n, node->args[0], 0);
        rxn__text_printf(out, " then ");
        write_expr(out, n, node->args[1], 0);
        rxn__text_printf(out, " else ");
        write_expr(out, n, node->args[2], 0);
        rxn__text_printf(out, outer > 0 ? ")" : "");
        break;
    case EXPR_SUM:
    case EXPR_PROD:
        variable = n->variables.items[node->object].name->text;
        rxn__text_printf(out, "%s(%s: ", rxn__expr_ops[node->op].text, variable);
        write_expr(out, n, node->args[0], 0);
        rxn__text_printf(out, ")");
        break;
    default: write_call(out, n, node);
    }
}

static inline const char *
written(Fixture *f, const Network *n, Expr expr)
{
    Text out;
    rxn__text_init(&out, &f->arena);
    write_expr(&out, n, expr, 0);
    return out.data;
}

#endif
