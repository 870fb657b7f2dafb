/* test_derive.c: derivatives of expressions, against differences in long double, at the edges by hand,
 * and as texts; of families, by entries and by members; through a kernel. */
#include "derive_fixture.h"

#include "compiler/method/lower.h"

#include <dirent.h>
#include <time.h>

/* ---- Checks against differences ----------------------------------------------------------------- */

/* What the issue of 1e-6 means where the derivative is zero: rounding of the value. */
static bool
agree(double derivative, long double truth, long double value)
{
    return fabsl(derivative - truth) <= 1e-6L * fabsl(truth) + 1e-12L * (1 + fabsl(value));
}

static void
check_member(Fixture *f, Network *n, Expr law, ExprOp op, u32 flat, Point *p, long double *at)
{
    Expr derivative = rxn__expr_derivative(n, law, op, flat);
    ExprValues values = values_of(f, p);
    double ours = rxn__expr_evaluate(n, derivative, &values);
    long double truth = difference(p, law, at, NULL);
    if (!agree(ours, truth, reference(p, law)))
        fail_msg("d/d %s %u of %s = %s: %.17g, by differences %.17Lg", rxn__expr_ops[op].text, flat,
                 written(f, n, law), written(f, n, derivative), ours, truth);
}

/* Adds the values of all entries, at all values of their variables, to one sum per flat number. */
static void
add_entries(Fixture *f, Network *n, Expr law, Point *p, double *species, double *params)
{
    LeafDerivatives entries = {0};
    rxn__expr_derivatives(n, law, &f->arena, &entries);
    ExprValues values = values_of(f, p);
    for (u32 i = 0; i < entries.count; i++) {
        const LeafDerivative *entry = &entries.items[i];
        const ExprNode leaf = *expr_node(n, entry->leaf);
        u64 rounds = 1;
        for (u32 k = 0; k < entry->bound_count; k++) {
            const Variable *v = &n->variables.items[entry->bound[k]];
            rounds *= (u64)(v->high - v->low + 1);
        }
        for (u64 round = 0; round < rounds; round++) {
            u64 rest = round;
            for (u32 k = 0; k < entry->bound_count; k++) {
                const Variable *v = &n->variables.items[entry->bound[k]];
                u64 extent = (u64)(v->high - v->low + 1);
                p->variables[entry->bound[k]] = v->low + (i64)(rest % extent);
                rest /= extent;
            }
            double value = rxn__expr_evaluate(n, entry->derivative, &values);
            if (leaf.op == EXPR_SPECIES) {
                const Species *s = &n->species.items[leaf.object];
                species[reference_member(p, &leaf, &s->shape, s->flat)] += value;
            } else if (leaf.op == EXPR_PARAM) {
                const Param *q = &n->params.items[leaf.object];
                params[reference_member(p, &leaf, &q->shape, q->flat)] += value;
            }
        }
    }
}

static void
check_entries(Fixture *f, Network *n, Expr law, Point *p)
{
    double *species = NEW_ARRAY(&f->arena, double, n->species_count + 1);
    double *params = NEW_ARRAY(&f->arena, double, n->param_count + 1);
    add_entries(f, n, law, p, species, params);
    long double value = reference(p, law);
    for (u32 i = 0; i < n->species_count; i++)
        if (!agree(species[i], difference(p, law, &p->species[i], NULL), value))
            fail_msg("entries of %s, species %u: %.17g", written(f, n, law), i, species[i]);
    for (u32 i = 0; i < n->param_count; i++)
        if (!agree(params[i], difference(p, law, &p->params[i], NULL), value))
            fail_msg("entries of %s, param %u: %.17g", written(f, n, law), i, params[i]);
}

/* Counts that are no whole numbers (nor close to one), parameters around their initial values. */
static Point
point_of(Fixture *f, const Network *n)
{
    Point p = new_point(f, n);
    for (u32 i = 0; i < n->species_count; i++)
        p.species[i] = random_below(f, 7) + (long double)random_between(f, 0.2, 0.8);
    for (u32 i = 0; i < n->input_count; i++)
        p.inputs[i] = random_between(f, -1, 1);
    for (u32 i = 0; i < n->params.count; i++) {
        const Param *param = &n->params.items[i];
        for (u64 k = 0; k < rxn__shape_count(&param->shape); k++) {
            long double start = param->initial == 0 || expr_node(n, param->initial)->free_set != 0
                                    ? 1
                                    : reference(&p, param->initial);
            p.params[param->flat + k] = start * expl(random_between(f, -0.5, 0.5));
        }
    }
    return p;
}

static void
check_law(Fixture *f, Network *n, Expr law, bool entries)
{
    for (u32 round = 0; round < 3; round++) {
        Point p = point_of(f, n);
        for (u32 i = 0; i < n->species_count; i++)
            check_member(f, n, law, EXPR_SPECIES, i, &p, &p.species[i]);
        for (u32 i = 0; i < n->param_count; i++)
            check_member(f, n, law, EXPR_PARAM, i, &p, &p.params[i]);
        if (entries)
            check_entries(f, n, law, &p);
    }
}

/* Every member of every reaction, by every species and parameter; before the passes and after them, where
 * parts are hoisted. */
static u32
check_model(Fixture *f, const char *text)
{
    u32 laws = 0;
    for (u32 passes = 0; passes < 2; passes++) {
        Network *n = network_of(f, text);
        if (passes == 1)
            run_passes(f, n);
        for (u32 i = 0; i < n->reactions.count; i++)
            for (u32 k = 0; k < n->reactions.items[i].count; k++, laws++) {
                Expr law = rxn__reaction_member_propensity(n, &n->reactions.items[i], k);
                check_law(f, n, law, passes == 0);
            }
    }
    return laws;
}

/* ---- Every operation ---------------------------------------------------------------------------- */

static const char declarations[] =
    "model laws\n"
    "const N = 4\n"
    "index pixel = 4, gene = 3\n"
    "input  u[pixel]\n"
    "species X = 3, Y = 5, H[gene] = 1, A[pixel] = 2\n"
    "param k = 1.5, n = 2.5, c = 0.75\n"
    "param K = 5 in 0.1 .. 1e3\n"
    "param W[gene, pixel] = 0.25, b[gene] = -1, T[pixel, pixel] = 1\n"
    "param m[pixel] = 1.5\n";

static const char *
with_law(Fixture *f, const char *law)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__text_printf(&text, "%slaw: 0 => X @ %s\n", declarations, law);
    return text.data;
}

/* A law for each operation (and for what is written in several ways). */
static const struct OpLaw {
    ExprOp op;
    const char *law;
} op_laws[] = {
    {EXPR_NUMBER, "3 * X"},
    {EXPR_BOOLEAN, "if true then X else Y"},
    {EXPR_TIME, "X * t"},
    {EXPR_VARIABLE, "sum(p in pixel: p * A[p] * k)"},
    {EXPR_SPECIES, "X"},
    {EXPR_PARAM, "k"},
    {EXPR_INPUT, "u[1] * X"},
    {EXPR_NEG, "-(X * k)"},
    {EXPR_ADD, "X + k*Y + 1"},
    {EXPR_SUB, "X - k*Y - Y"},
    {EXPR_MUL, "k * X * Y"},
    {EXPR_MUL, "X * X * X"},
    {EXPR_DIV, "X * k / (Y + c)"},
    {EXPR_DIV, "X / 3"},
    {EXPR_DIV, "3 / X"},
    {EXPR_DIV, "k * X / (K + X)"},
    {EXPR_DIV, "X * k / (X + K)"},
    {EXPR_DIV, "X * X / (K + X)"},
    {EXPR_DIV, "X / (X + X)"},
    {EXPR_DIV, "X / (X + 2)"},
    {EXPR_DIV, "(X + c) / (X + c + Y)"},
    {EXPR_POW, "X^3"},
    {EXPR_POW, "X^(-2)"},
    {EXPR_POW, "X^2.5"},
    {EXPR_POW, "X^0.5"},
    {EXPR_POW, "X^n"},
    {EXPR_POW, "2^X"},
    {EXPR_POW, "K^n"},
    {EXPR_POW, "X^X"},
    {EXPR_POW, "(X / K)^(n * c)"},
    {EXPR_MIN, "min(X * k, Y)"},
    {EXPR_MAX, "max(X * k, Y)"},
    {EXPR_ABS, "abs(X - Y) * k"},
    {EXPR_FLOOR, "floor(X) * Y"},
    {EXPR_CEIL, "ceil(X) * Y"},
    {EXPR_SQRT, "sqrt(X * k)"},
    {EXPR_EXP, "exp(-k * X)"},
    {EXPR_LOG, "log(1 + k * X)"},
    {EXPR_LOG1P, "log1p(k * X)"},
    {EXPR_EXPM1, "expm1(c * X)"},
    {EXPR_SIN, "sin(k * X)"},
    {EXPR_COS, "cos(k * X)"},
    {EXPR_TAN, "tan(0.1 * k * X)"},
    {EXPR_TANH, "tanh(c * X)"},
    {EXPR_SIGMOID, "sigmoid(k * X - Y)"},
    {EXPR_SOFTPLUS, "softplus(k * X - Y)"},
    {EXPR_SELECT, "if X < Y then k * X else c * Y"},
    {EXPR_LT, "if X * k < Y and not (X < 2) or Y > 3 then X^2 else Y"},
    {EXPR_LE, "if X <= Y then k else c"},
    {EXPR_EQ, "if X == Y then k else c"},
    {EXPR_NE, "if X != Y then k else c"},
    {EXPR_NOT, "if not (X < Y) then k * X else c"},
    {EXPR_AND, "if X < Y and Y < 4 then k * X else c"},
    {EXPR_OR, "if X < Y or Y < 4 then k * X else c"},
    {EXPR_SUM, "sum(p in pixel: T[p,1] * A[p])"},
    {EXPR_PROD, "prod(p in pixel: m[p] + A[p])"},
};

static void
mark_op(void *context, Expr expr)
{
    void **both = context;
    const Network *n = both[0];
    bool *seen = both[1];
    seen[expr_node(n, expr)->op] = true;
}

static void
every_operation_has_its_derivative(void **state)
{
    Fixture *f = *state;
    bool seen[EXPR_OP_COUNT] = {0};
    for (u32 i = 0; i < COUNT_OF(op_laws); i++) {
        const char *text = with_law(f, op_laws[i].law);
        Network *n = network_of(f, text);
        rxn__expr_walk(n, n->reactions.items[0].propensity, &f->arena, mark_op,
                       (void *[]){n, seen});
        check_model(f, text);
    }
    /* C(x, n): mass action */
    for (u32 copies = 2; copies < 8; copies++) {
        Text text;
        rxn__text_init(&text, &f->arena);
        rxn__text_printf(&text, "%slaw: %u X + Y -> 0 @ k\n", declarations, copies);
        check_model(f, text.data);
    }
    /* those that no law has: tested below, or without a derivative */
    seen[EXPR_CHOOSE] = seen[EXPR_HOISTED] = seen[EXPR_QUANTITY] = seen[EXPR_BOOLEAN] = true;
    seen[EXPR_TIME_LOW] = seen[EXPR_TIME_HIGH] = seen[EXPR_TIME_MIDDLE] = true;
    for (u32 op = 0; op < EXPR_OP_COUNT; op++)
        if (!seen[op])
            fail_msg("there is no law with %s", rxn__expr_ops[op].text);
}

/* Unfolded forms that only a text of the network can have. */
static void
powers_of_zero_and_one(void **state)
{
    Fixture *f = *state;
    Network *n = network_of(f, with_law(f, "X"));
    Expr x = n->reactions.items[0].propensity;
    for (u32 e = 0; e < 3; e++) {
        ExprNode key = {.op = EXPR_POW, .arg_count = 2, .args = {x, num(n, e)}};
        Expr power = rxn__expr_intern(n, &key);
        Expr derivative = rxn__expr_derivative(n, power, EXPR_SPECIES, 0);
        assert_string_equal(written(f, n, derivative), e == 0 ? "0" : e == 1 ? "1" : "2*X");
    }
}

/* ---- Random laws -------------------------------------------------------------------------------- */

/* One random number after the other, never two in the arguments of a call: the laws are the same with every compiler. */
static Expr
random_law(Fixture *f, Network *n, u32 depth, bool is_bool)
{
    static const ExprOp reals[] = {
        EXPR_NEG, EXPR_ADD,  EXPR_ADD,   EXPR_SUB,    EXPR_MUL,    EXPR_MUL,     EXPR_DIV,
        EXPR_POW, EXPR_MIN,  EXPR_MAX,   EXPR_ABS,    EXPR_SQRT,   EXPR_EXP,     EXPR_LOG,
        EXPR_SIN, EXPR_COS,  EXPR_LOG1P, EXPR_EXPM1,  EXPR_TANH,   EXPR_SIGMOID, EXPR_SOFTPLUS,
        EXPR_TAN, EXPR_CEIL, EXPR_FLOOR, EXPR_CHOOSE, EXPR_SELECT, EXPR_SELECT,  EXPR_SUM};
    static const ExprOp bools[] = {EXPR_LT, EXPR_LE, EXPR_NOT, EXPR_AND, EXPR_OR};
    if (depth == 0 || (random_below(f, 8) == 0 && !is_bool)) {
        if (is_bool) {
            Expr right = random_law(f, n, 0, false), left = random_law(f, n, 0, false);
            return expr_binary(n, EXPR_LT, left, right);
        }
        switch (random_below(f, 6)) {
        case 0: return num(n, random_below(f, 4));
        case 1: return ref0(n, EXPR_PARAM, random_below(f, 3));
        case 2: return ref0(n, EXPR_QUANTITY, random_below(f, MAX_QUANTITIES));
        default: return ref0(n, EXPR_SPECIES, random_below(f, 2));
        }
    }
    ExprOp op =
        is_bool ? bools[random_below(f, COUNT_OF(bools))] : reals[random_below(f, COUNT_OF(reals))];
    Expr args[3];
    if (op == EXPR_CHOOSE) {
        u32 count = 2 + random_below(f, 4);
        return rxn__expr_choose(n, random_law(f, n, depth - 1, false), count);
    }
    if (op == EXPR_SUM) {
        u32 p = rxn__network_add_variable(n, name_of(f, "p"), 0, 3);
        Expr own = ref1(n, EXPR_SPECIES, 3, var(n, p));
        own = expr_binary(n, EXPR_MUL, own, random_law(f, n, depth - 1, false));
        if (random_below(f, 2) == 0)
            own = select_of(n, expr_binary(n, EXPR_LT, own, num(n, 3)), own,
                            expr_unary(n, EXPR_SIN, own));
        return rxn__expr_object(n, random_below(f, 2) == 0 ? EXPR_SUM : EXPR_PROD, p, 1, &own);
    }
    for (u32 k = 0; k < (u32)rxn__expr_ops[op].arity; k++) {
        bool arg_bool = op == EXPR_SELECT ? k == 0 : rxn__expr_ops[op].takes_bool;
        args[k] = random_law(f, n, depth - 1, arg_bool);
        if (k == 1 && !arg_bool && op != EXPR_SELECT && random_below(f, 6) == 0)
            args[1] = args[0];
    }
    if (op == EXPR_FLOOR || op == EXPR_CEIL) { /* of few steps: they hide from differences */
        args[0] = expr_unary(n, EXPR_SIGMOID, args[0]);
        args[0] = expr_binary(n, EXPR_MUL, num(n, 3), args[0]);
    }
    return rxn__expr(n, op, args);
}

/* Whether all values on the way to this one are finite. Others have their place among the edges. */
static bool
is_tame(Fixture *f, Point *p, Expr law)
{
    ExprList list = {0};
    rxn__expr_collect_begin((Network *)(uintptr_t)p->n);
    rxn__expr_collect((Network *)(uintptr_t)p->n, law, &f->arena, &list);
    for (u32 i = 0; i < list.count; i++)
        if (!(fabsl(reference(p, list.items[i])) < 1e100L))
            return false;
    return true;
}

/* Here the derivatives too are evaluated in long double: what is checked is the rule, not the rounding of
 * a law that nobody would write. */
static void
random_laws_have_their_derivatives(void **state)
{
    Fixture *f = *state;
    u32 checked = 0, not_zero = 0;
    for (u32 round = 0; round < 4000; round++) {
        if (round % 100 == 0) {
            tear_down(state);
            set_up(state);
            f = *state;
            f->random += round;
        }
        Network *n = network_of(f, with_law(f, "X"));
        Expr law = random_law(f, n, 4, false);
        Point p = point_of(f, n);
        for (u32 i = 0; i < MAX_QUANTITIES; i++)
            p.quantities[i] = random_between(f, 0.3, 3);
        long double value = reference(&p, law);
        if (!(fabsl(value) < 1e6L) || !is_tame(f, &p, law))
            continue;
        const struct {
            ExprOp op;
            u32 flat;
            long double *at;
        } members[] = {{EXPR_SPECIES, 0, &p.species[0]},     {EXPR_SPECIES, 1, &p.species[1]},
                       {EXPR_SPECIES, 6, &p.species[6]},     {EXPR_PARAM, 0, &p.params[0]},
                       {EXPR_PARAM, 1, &p.params[1]},        {EXPR_PARAM, 2, &p.params[2]},
                       {EXPR_QUANTITY, 1, &p.quantities[1]}, {EXPR_QUANTITY, 3, &p.quantities[3]}};
        for (u32 i = 0; i < COUNT_OF(members); i++) {
            long double doubt, truth = difference(&p, law, members[i].at, &doubt);
            if (!isfinite(truth) || !(doubt < 1e-9L * (fabsl(truth) + fabsl(value))))
                continue; /* a corner or a pole is near */
            Expr derivative = rxn__expr_derivative(n, law, members[i].op, members[i].flat);
            long double ours = reference(&p, derivative);
            checked++;
            not_zero += fabsl(truth) > 1e-9L;
            if (!(fabsl(ours - truth) <= 1e-7L * (fabsl(truth) + fabsl(value))))
                fail_msg("round %u, %u: %s: %s: %.17Lg, by differences %.17Lg", round, i,
                         written(f, n, law), written(f, n, derivative), ours, truth);
        }
    }
    assert_true(checked > 10000 && not_zero > 3000);
}

/* ---- The models that come along ------------------------------------------------------------------ */

static void
all_models_have_their_derivatives(void **state)
{
    static const char folder[] = RXN_SOURCE_ROOT "/stdlib_models";
    Fixture *f = *state;
    u32 models = 0, laws = 0;
    DIR *files = opendir(folder);
    assert_non_null(files);
    for (struct dirent *file; (file = readdir(files)) != NULL;) {
        size_t length = strlen(file->d_name);
        if (length < 4 || strcmp(file->d_name + length - 4, ".rxn") != 0)
            continue;
        models++;
        laws += check_model(f, model_text(&f->arena, file->d_name));
        tear_down(state);
        set_up(state);
        f = *state;
    }
    closedir(files);
    assert_true(models >= 15 && laws >= 150);
}

/* ---- Families ------------------------------------------------------------------------------------ */

static const char *const family_laws[] = {
    "for g in gene { on: 0 => H[g] @ k * sigmoid(sum(p in pixel: W[g,p] * u[p]) + b[g]) }",
    "for g in gene { on: 0 => H[g] @ k * sigmoid(sum(p in pixel: W[g,p] * A[p]) + b[g]) * H[g] }",
    "for g in gene { on: 0 => H[g] @ sum(p in pixel: W[g,p] * sum(q in pixel: T[p,q])) + k }",
    "for g in gene { on: 0 => H[g] @ sum(p in pixel: tanh(sum(q in pixel: T[p,q] * A[q]))) }",
    "for g in gene { on: 0 => H[g] @ sum(h in gene: if h == g then H[h] else k * b[h] * H[h]) }",
    "for s in 0 .. 2 { hop: A[s] -> A[s+1] @ m[s] * m[s+1] }",
    "for s in 0 .. 2 { hop: 0 => A[s+1] @ m[s] * A[s] * A[s+1] / (K + A[s]) }",
    "for i in pixel { for j in pixel { meet: A[i] + A[j] -> 0 @ T[i,j] } }",
    "law: 0 => X @ sum(p in pixel: sum(q in pixel: T[p,q] * A[p] * A[q]))",
    "law: 0 => X @ sum(p in pixel: T[p,p] * A[p])",
    "law: 0 => X @ sum(p in pixel: A[p] * A[3-p] * m[p])",
    "law: 0 => X @ sum(p in 0 .. 2: A[p] * A[p+1])",
    "law: 0 => X @ sum(i in 0 .. 1: sum(j in 0 .. 2: m[i+j] * A[i] * (A[j] + k)))",
    "law: 0 => X @ sum(i in 0 .. 1: sum(j in 0 .. 1: T[i+j,i+2*j] * A[i]))",
    "law: 0 => X @ prod(p in pixel: 1 + m[p] * A[p])",
    "law: 0 => X @ prod(p in pixel: 1 + sum(q in pixel: T[p,q] * A[q]))",
    "law: 0 => X @ sum(p in pixel: prod(q in pixel: c * T[p,q] + X) * A[p])",
    "law: 0 => X @ prod(p in pixel: prod(q in pixel: c + T[p,q] * A[p]))",
    "law: 0 => X @ sum(p in pixel: A[p])^2",
    "law: 0 => X @ sin(sum(p in pixel: A[p] * X)) * sum(p in pixel: m[p] * A[p])",
    "law: 0 => X @ sum(p in pixel: exp(c) * A[p] * X) + sum(p in pixel: exp(c) * m[p])",
    "law: 0 => X @ sum(p in pixel: if A[p] > X then log(A[p] * c) * k else c * k)",
    "law: 0 => X @ sum(p in pixel: min(A[p], X) * m[p])",
    "law: 0 => X @ sum(p in pixel: A[p] / (sum(q in pixel: A[q] * m[q]) + K))",
    "law: 0 => X @ sum(p in pixel: m[p]) * sum(q in pixel: m[q] * X) * k",
    "law: 0 => X @ sum(p in pixel: X * k) + prod(p in pixel: X * k)",
    "law: 0 => X @ sum(p in pixel: (X + p)^n / (K + u[p]))",
};

/* The law of a family as it stands, by entries, at every value of its variables. */
static void
check_family(Fixture *f, Network *n, const Reaction *family)
{
    Point p = point_of(f, n);
    for (u32 k = 0; k < family->count; k++) {
        i64 values[RXN_MAX_RANK];
        rxn__reaction_variables(n, family, k, values);
        for (u32 i = 0; i < family->variable_count; i++)
            p.variables[family->variables[i]] = values[i];
        check_entries(f, n, family->propensity, &p);
    }
}

static void
families_are_derived_as_loops(void **state)
{
    Fixture *f = *state;
    for (u32 i = 0; i < COUNT_OF(family_laws); i++) {
        Text text;
        rxn__text_init(&text, &f->arena);
        rxn__text_printf(&text, "%s%s\n", declarations, family_laws[i]);
        Network *n = network_of(f, text.data);
        for (u32 k = 0; k < n->reactions.count; k++)
            check_family(f, n, &n->reactions.items[k]);
        check_model(f, text.data);
    }
}

/* The derivative of what is itself made of derivatives: sums over one variable nest in each other. */
static void
second_derivatives(void **state)
{
    static const char *const laws[] = {
        "sum(p in pixel: A[p])^3 * k",
        "sum(p in pixel: sin(A[p] * X))^2",
        "prod(p in pixel: 1 + m[p] * A[p] * X)",
        "sum(p in pixel: prod(q in pixel: T[p,q] + A[q] * A[p]))",
        "k * hill(X, K, n) + c * X^3",
    };
    Fixture *f = *state;
    for (u32 i = 0; i < COUNT_OF(laws); i++) {
        Network *n = network_of(f, with_law(f, laws[i]));
        Expr law = n->reactions.items[0].propensity;
        for (u32 k = 0; k < n->species_count; k++)
            check_law(f, n, rxn__expr_derivative(n, law, EXPR_SPECIES, k), true);
        LeafDerivatives entries = {0};
        rxn__expr_derivatives(n, law, &f->arena, &entries);
        for (u32 k = 0; k < entries.count; k++) {
            Point p = point_of(f, n);
            for (u32 v = 0; v < entries.items[k].bound_count; v++)
                p.variables[entries.items[k].bound[v]] = 2;
            check_entries(f, n, entries.items[k].derivative, &p);
        }
    }
}

static double
milliseconds_since(clock_t start)
{
    return 1e3 * (double)(clock() - start) / CLOCKS_PER_SEC;
}

static void
large_families_take_no_time(void **state)
{
    Fixture *f = *state;
    Network *n =
        network_of(f, "model readout\n"
                      "index pixel = 784, gene = 256\n"
                      "input  x[pixel]\n"
                      "species H[gene] = 0\n"
                      "param W[gene, pixel] ~ normal(0, 0.05) fit\n"
                      "param b[gene] = 0 fit\n"
                      "param beta = 20\n"
                      "for g in gene {\n"
                      "  on: 0 => H[g] @ beta * sigmoid(sum(p in pixel: W[g,p]*x[p]) + b[g])\n"
                      "}\n");
    const Reaction *on = &n->reactions.items[0];
    u32 before = n->exprs.count;
    clock_t start = clock();
    LeafDerivatives entries = {0};
    rxn__expr_derivatives(n, on->propensity, &f->arena, &entries);
    assert_int_equal(entries.count, 3);
    assert_true(n->exprs.count - before < 20);
    const char *s = "sigmoid(sum(p: W[g,p]*x[p]) + b[g])";
    for (u32 i = 0; i < entries.count; i++) {
        const LeafDerivative *entry = &entries.items[i];
        Text expected;
        rxn__text_init(&expected, &f->arena);
        const char *leaf = written(f, n, entry->leaf);
        if (strcmp(leaf, "beta") == 0)
            rxn__text_printf(&expected, "%s", s);
        else if (strcmp(leaf, "b[g]") == 0)
            rxn__text_printf(&expected, "beta*(%s*(1 - %s))", s, s);
        else
            rxn__text_printf(&expected, "beta*(%s*(1 - %s)*x[p])", s, s);
        assert_int_equal(entry->bound_count, strcmp(leaf, "W[g,p]") == 0);
        assert_string_equal(written(f, n, entry->derivative), expected.data);
    }
    Expr member = rxn__reaction_member_propensity(n, on, 5);
    const Param *w = &n->params.items[0];
    Expr one = rxn__expr_derivative(n, member, EXPR_PARAM, w->flat + 5 * 784 + 17);
    assert_non_null(strstr(written(f, n, one), "*x[17]"));
    assert_true(
        rxn__expr_is_zero(n, rxn__expr_derivative(n, member, EXPR_PARAM, w->flat + 6 * 784 + 17)));
    assert_true(milliseconds_since(start) < 100); /* well below 1 where nothing else runs */
}

/* 2^depth paths lead from the root to X. */
static void
sharing_and_depth(void **state)
{
    enum { DEPTH = 20000 };
    Fixture *f = *state;
    Network *n = network_of(f, with_law(f, "X"));
    Expr law = n->reactions.items[0].propensity;
    double x = 0.1, slope = 1;
    for (u32 i = 0; i < DEPTH; i++) {
        Expr t = expr_unary(n, EXPR_TANH, law);
        law = i % 2 == 0 ? expr_binary(n, EXPR_ADD, law, t)
                         : select_of(n, expr_binary(n, EXPR_LT, t, num(n, 2)), law, t);
        slope *= i % 2 == 0 ? 2 - tanh(x) * tanh(x) : 1;
        x += i % 2 == 0 ? tanh(x) : 0;
    }
    u32 before = n->exprs.count;
    Expr derivative = rxn__expr_derivative(n, law, EXPR_SPECIES, 0);
    assert_true(n->exprs.count - before < 30 * DEPTH);
    Point p = new_point(f, n);
    p.species[0] = 0.1L;
    ExprValues values = values_of(f, &p);
    assert_true(nearly(rxn__expr_evaluate(n, derivative, &values), slope, 1e-9));
}

/* ---- Through a kernel ------------------------------------------------------------------------------ */

static KirValue
quantity(void *context, u32 number)
{
    return rxn__kir_const(context, KIR_F64, 0.5 + number);
}

/* The values of these expressions, written as a kernel and interpreted. */
static void
run_kernel(Fixture *f, Network *n, Point *p, u32 count, const Expr *exprs, double *ret_values)
{
    KirBuilder *b = rxn__kir_begin(&f->arena, &f->names, "values", KIR_F64);
    const u32 none = KIR_DYNAMIC;
    Lowering lower;
    rxn__lower_init(&lower, b, n, &f->arena, KIR_F64);
    lower.parameter_buffer = rxn__kir_buffer(b, "params", KIR_F64, KIR_PER_LAUNCH, false, 1, &none);
    lower.input_buffer = rxn__kir_buffer(b, "inputs", KIR_F64, KIR_PER_LAUNCH, false, 1, &none);
    u32 state = rxn__kir_buffer(b, "state", KIR_F64, KIR_PER_LAUNCH, false, 1, &none);
    u32 out = rxn__kir_buffer(b, "out", KIR_F64, KIR_PER_TRAJECTORY, true, 1, &count);
    lower.species_array = rxn__kir_local(b, "x", KIR_F64, n->species_count);
    lower.quantity = quantity;
    lower.quantity_context = b;
    u32 done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    rxn__kir_kernel(b)->done = done;
    rxn__kir_region(b, KIR_INIT);
    for (u32 i = 0; i < n->species_count; i++) {
        KirValue at = rxn__kir_const(b, KIR_I32, i);
        rxn__kir_set(b, lower.species_array, at, rxn__kir_load(b, state, &at));
    }
    lower.time = rxn__kir_const(b, KIR_F64, (double)p->time);
    for (u32 i = 0; i < count; i++) {
        KirValue at = rxn__kir_const(b, KIR_I32, i);
        rxn__kir_store(b, out, &at, rxn__lower(&lower, exprs[i]));
    }
    rxn__kir_set(b, done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    KirKernel *kernel = NULL;
    const char *error = rxn__kir_end(b, &kernel);
    if (error != NULL)
        fail_msg("%s", error);

    void *buffers[] = {(void *)(uintptr_t)as_doubles(f, p->params, n->param_count),
                       (void *)(uintptr_t)as_doubles(f, p->inputs, n->input_count),
                       (void *)(uintptr_t)as_doubles(f, p->species, n->species_count), ret_values};
    const i64 strides[] = {(i64)n->param_count, (i64)n->input_count, (i64)n->species_count,
                           (i64)count};
    const int cancel = 0;
    RxnFault fault = {.trajectory = UINT64_MAX};
    RxnLaunch launch = {
        .count = 1, .buffers = buffers, .strides = strides, .fault = &fault, .cancel = &cancel};
    if (rxn__kir_interpret(kernel, &launch, 0, &f->arena, &error) != RXN_OK)
        fail_msg("%s", error);
}

static void
kernels_give_the_same(void **state)
{
    static const char *const laws[] = {
        "k * hill(X, K, n) + min(X, c) * log1p(Y)",
        "prod(p in pixel: 1 + m[p] * A[p] * X)",
        "sum(p in pixel: prod(q in 0 .. 30: c + 0.01 * q * A[p]))",
        "k / (1 + (K / X)^n) + abs(X - Y) * sqrt(X)",
        "sin(sum(p in pixel: A[p] * X)) * sum(p in 0 .. 2: m[p] * A[p] * A[p+1])",
        "if X < Y then exp(-k * X) else tanh(Y) * sigmoid(X - Y)",
    };
    Fixture *f = *state;
    for (u32 i = 0; i < COUNT_OF(laws); i++) {
        Network *n = network_of(f, with_law(f, laws[i]));
        Expr law = expr_binary(n, EXPR_MUL, n->reactions.items[0].propensity,
                               rxn__expr_object(n, EXPR_QUANTITY, 2, 0, NULL));
        VEC(Expr) exprs = {0};
        for (u32 k = 0; k < n->species_count; k++)
            vec_push(&f->arena, &exprs, rxn__expr_derivative(n, law, EXPR_SPECIES, k));
        for (u32 k = 0; k < n->param_count; k++)
            vec_push(&f->arena, &exprs, rxn__expr_derivative(n, law, EXPR_PARAM, k));
        vec_push(&f->arena, &exprs, rxn__expr_derivative(n, law, EXPR_QUANTITY, 2));
        double *ours = NEW_ARRAY(&f->arena, double, exprs.count);
        for (u32 round = 0; round < 2; round++) {
            Point p = point_of(f, n);
            p.species[0] = round == 0 ? 0 : p.species[0];
            for (u32 k = 0; k < MAX_QUANTITIES; k++)
                p.quantities[k] = 0.5L + k;
            ExprValues values = values_of(f, &p);
            run_kernel(f, n, &p, exprs.count, exprs.items, ours);
            for (u32 k = 0; k < exprs.count; k++) {
                double host = rxn__expr_evaluate(n, exprs.items[k], &values);
                if (!isfinite(host) || !nearly(ours[k], host, 1e-11))
                    fail_msg("%s: %s: kernel %.17g, host %.17g", laws[i],
                             written(f, n, exprs.items[k]), ours[k], host);
            }
        }
    }
}

/* ---- Quantities ------------------------------------------------------------------------------------ */

static void
quantities_belong_to_objectives(void **state)
{
    Fixture *f = *state;
    Network *n = network_of(f, with_law(f, "X"));
    Expr q = rxn__expr_object(n, EXPR_QUANTITY, 3, 0, NULL);
    assert_int_equal(q, rxn__expr_object(n, EXPR_QUANTITY, 3, 0, NULL));
    assert_int_not_equal(q, rxn__expr_object(n, EXPR_QUANTITY, 2, 0, NULL));
    assert_true(rxn__expr_uses(n, q).quantities);
    double quantities[] = {1, 2, 3, 4};
    ExprValues values = {.quantities = quantities};
    assert_true(rxn__expr_evaluate(n, q, &values) == 4);
    values.quantities = NULL;
    assert_true(isnan(rxn__expr_evaluate(n, q, &values)));
    assert_sound(f, n);
    observe(f, n, "Q", q);
    assert_string_equal(rxn__network_check(n, &f->arena),
                        "observable 'Q': the value depends on a quantity that there is not");
    assert_non_null(strstr(printed(f, n), " = quantity 3\n"));
}

/* ---- Edges ---------------------------------------------------------------------------------------- */

static const struct Edge {
    const char *law, *by;
    double x, n, expected;
} edges[] = {
    /* x^h at 0: h > 1, h = 1, 0 < h < 1 (masked), h = 0 */
    {"X^n", "X", 0, 2.5, 0},
    {"X^n", "X", 0, 2, 0},
    {"X^n", "X", 0, 1, 1},
    {"X^n", "X", 0, 0.5, 0},
    {"X^n", "X", 0, 0, 0},
    {"X^n", "X", 3, 0, 0},
    {"X^n", "n", 0, 2, 0},
    {"X^n", "n", 0, 0.5, 0},
    {"X^n", "n", 0, 0, 0},
    {"X^n", "n", 1, 3, 0},
    {"X^3", "X", 0, 0, 0},
    {"X^2", "X", 0, 0, 0},
    {"X^1", "X", 0, 0, 1},
    {"X^0", "X", 0, 0, 0},
    {"X^1.5", "X", 0, 0, 0},
    {"X^0.5", "X", 0, 0, 0},
    {"sqrt(X)", "X", 0, 0, 0},
    {"sqrt(X)", "X", 4, 0, 0.25},
    /* hill at 0, and where it saturates */
    {"hill(X, K, n)", "X", 0, 1, 0.2},
    {"hill(X, K, n)", "X", 0, 2, 0},
    {"hill(X, K, n)", "X", 0, 0.5, 0},
    {"hill(X, K, n)", "K", 0, 1, 0},
    {"hill(X, K, n)", "K", 0, 2, 0},
    {"hill(X, K, n)", "n", 0, 1, 0},
    {"hill(X, K, n)", "n", 0, 2, 0},
    {"hill(X, K, n)", "X", 1e9, 2, 5e-26},
    {"hill(X, K, n)", "K", 1e9, 2, -1e-17},
    {"hill(X, K, n)", "X", 1e12, 4, 2.5e-57},
    {"hill(X, K, n)", "n", 1e9, 2, 4.77845615e-16},
    {"1 / (1 + (X / K)^n)", "X", 0, 1, -0.2},
    {"1 / (1 + (X / K)^n)", "X", 0, 2, 0},
    {"1 / (1 + (X / K)^n)", "X", 1e9, 2, -5e-26},
    {"X / (K + X)", "X", 1e9, 0, 4.99999995e-18},
    /* counts: x(x-1)/2 and so on at 0, 1, 2 */
    {"X * (X - 1) / 2", "X", 0, 0, -0.5},
    /* saturated */
    {"sigmoid(X * 1000)", "X", 5, 0, 0},
    {"sigmoid(-X * 1000)", "X", 5, 0, 0},
    {"softplus(X * 1000)", "X", 5, 0, 1000},
    {"softplus(-X * 1000)", "X", 5, 0, 0},
    {"tanh(X * 1000)", "X", 5, 0, 0},
    {"expm1(-X * 1000)", "X", 5, 0, 0},
    {"exp(-X * 1000)", "X", 5, 0, 0},
    /* sides of corners */
    {"abs(X - 2)", "X", 2, 0, 1},
    {"abs(X - 2)", "X", 1, 0, -1},
    {"min(X, 2)", "X", 2, 0, 0},
    {"max(X, 2)", "X", 2, 0, 0},
    {"min(X, 2)", "X", 1, 0, 1},
    {"if X < 2 then X else 3 * X", "X", 2, 0, 3},
    {"floor(X) + ceil(X)", "X", 2, 0, 0},
    /* the side that is not taken is infinite */
    {"if X > 0 then X * log(X) else 0", "X", 0, 0, 0},
    {"if X > 0 then X * log(X) else 0", "X", 1, 0, 1},
    {"if X > 0 then k / X else k", "X", 0, 0, 0},
    {"if X > 0 then k / X else k", "k", 0, 0, 1},
    {"if X > 0 then (if X > 1 then log(X - 1) else 0) else sqrt(X - 1)", "X", 1, 0, 0},
    {"(if X > 0 then log(X) else 0) + (if X < 1 then X else 0)", "X", 0, 0, 1},
    {"(if X > 1 then sqrt(log(X)) else X) * (if X < 1 then X else 1)", "X", 0.5, 0, 1},
    {"sum(p in 0 .. 3: if X > p then log(X) * p else 0)", "X", 0, 0, 0},
    {"sum(p in 0 .. 3: if X > p then log(X) * p else 0)", "X", 2, 0, 0.5},
    {"min(X, 1 / X)", "X", 0, 0, 1},
    /* an infinity that a function has made harmless */
    {"exp(-K / X)", "X", 0, 0, 0},
    {"k / (1 + (K / X)^n)", "X", 0, 2, 0},
    {"1 / (1 + exp(1000 - X))", "X", 0, 0, 0},
    {"k / (1 + exp(1000 - X))", "k", 0, 0, 0},
    {"sigmoid(log(X))", "X", 0, 0, 0},
    {"tanh(1 / X)", "X", 0, 0, 0},
    {"tanh(1 / X)", "X", 1, 0, -0.419974342},
    /* products with zeros among their factors */
    {"prod(p in 0 .. 3: X - p)", "X", 0, 0, -6},
    {"prod(p in 0 .. 3: X - p)", "X", 2, 0, -2},
    {"prod(p in 0 .. 3: X)", "X", 2, 0, 32},
    {"prod(p in 0 .. 3: X * (X - p))", "X", 0, 0, 0},
    /* a factor that is the number 0 hides nothing that could flow */
    {"0 * X + k", "X", 3, 0, 0},
};

static void
edges_are_finite_and_right(void **state)
{
    Fixture *f = *state;
    for (u32 i = 0; i < COUNT_OF(edges); i++) {
        const struct Edge *edge = &edges[i];
        Network *n = network_of(f, with_law(f, edge->law));
        Expr law = n->reactions.items[0].propensity;
        Point p = new_point(f, n);
        p.species[0] = edge->x;
        p.params[0] = 2;       /* k */
        p.params[1] = edge->n; /* n */
        p.params[3] = 5;       /* K */
        ExprOp op = strcmp(edge->by, "X") == 0 ? EXPR_SPECIES : EXPR_PARAM;
        u32 flat = strcmp(edge->by, "n") == 0 ? 1 : strcmp(edge->by, "K") == 0 ? 3 : 0;
        Expr derivative = rxn__expr_derivative(n, law, op, flat);
        ExprValues values = values_of(f, &p);
        double ours = rxn__expr_evaluate(n, derivative, &values);
        if (!(fabs(ours - edge->expected) <= 1e-6 * fabs(edge->expected)))
            fail_msg("%s by %s at %g, n = %g: %.17g, not %.17g: %s", edge->law, edge->by, edge->x,
                     edge->n, ours, edge->expected, written(f, n, derivative));
    }
}

/* Whole numbers, exactly: the polynomial n! C(x, n) has whole coefficients. */
static void
combinations_at_small_counts(void **state)
{
    static const double truth[][5] = {
        /* x = 0, 1, 2, 3, 4, times n! */
        {-1, 1, 3, 5, 7},    /* n = 2 */
        {2, -1, 2, 11, 26},  /* 3 */
        {-6, 2, -2, 6, 50},  /* 4 */
        {24, -6, 4, -6, 24}, /* 5 */
    };
    static const double factorial[] = {2, 6, 24, 120};
    Fixture *f = *state;
    for (u32 k = 0; k < COUNT_OF(truth); k++) {
        Network *n = network_of(f, with_law(f, "X"));
        Expr law = rxn__expr_choose(n, n->reactions.items[0].propensity, k + 2);
        Expr derivative = rxn__expr_derivative(n, law, EXPR_SPECIES, 0);
        for (u32 x = 0; x < 5; x++) {
            Point p = new_point(f, n);
            p.species[0] = x;
            ExprValues values = values_of(f, &p);
            double ours = rxn__expr_evaluate(n, derivative, &values) * factorial[k];
            if (!nearly(ours, truth[k][x], 1e-15))
                fail_msg("C(x, %u) at %u: %.17g", k + 2, x, ours);
        }
    }
}

/* ---- As one writes them ---------------------------------------------------------------------------- */

static const struct Written {
    const char *law, *by, *derivative;
} texts[] = {
    {"k * X * Y", "X", "k*Y"},
    {"k * X * Y", "k", "Y*X"},
    {"k * X * (X - 1) / 2", "X", "0.5*k*(X + (X - 1))"},
    {"k * X^2", "X", "2*k*X"},
    {"k * X^3", "X", "3*k*(X*X)"},
    {"k * X / (K + X)", "X", "K*k/(K + X)/(K + X)"},
    {"k * X / (K + X)", "K", "-k*X/(K + X)/(K + X)"},
    {"k * hill(X, K, n)", "X",
     "k*K^n*n*(if X == 0 then if n == 1 then 1 else 0 else X^n/X)/(K^n + X^n)/(K^n + X^n)"},
    {"k * hill(X, K, n)", "K", "-k*n*(K^n/K)*(X^n/(K^n + X^n))/(K^n + X^n)"},
    {"k * hill(X, K, n)", "n",
     "(k*K^n*(if 0 < X then X^n*log(X) else 0)/(K^n + X^n) - k*K^n*log(K)*(X^n/(K^n + X^n)))/(K^n "
     "+ X^n)"},
    {"k / (1 + (X / K)^n)", "X",
     "-n/K*(k/(1 + (X/K)^n)*(if X/K == 0 then if n == 1 then 1 else 0 else (X/K)^n/(X/K)))/(1 + "
     "(X/K)^n)"},
    {"c + k / (1 + (X / K)^n)", "K",
     "n/K*(k/(1 + (X/K)^n)*(if X/K == 0 then if n == 1 then 1 else 0 else (X/K)^n/(X/K))*(X/K))/(1 "
     "+ (X/K)^n)"},
    {"k * sigmoid(X - Y)", "X", "k*(sigmoid(X - Y)*(1 - sigmoid(X - Y)))"},
    {"if t < 5 then k * X else c * X", "X", "if t < 5 then k else c"},
    {"min(k * X, c)", "X", "if k*X < c then k else 0"},
    {"abs(X - Y)", "Y", "-(if X - Y < 0 then -1 else 1)"},
    {"k * sum(p in pixel: m[p] * A[p])", "k", "sum(p: m[p]*A[p])"},
    {"k * sum(p in pixel: m[p] * A[p] * X)", "X", "k*sum(p: m[p]*A[p])"},
    {"sum(p in pixel: X)", "X", "4"},
    {"log(1 + X^2)", "X", "2*X/(1 + X*X)"},
    {"X * exp(-X / K)", "X", "exp((-X)/K) - 1/K*(X*exp((-X)/K))"},
    {"k * X - k * X", "X", "0"},
};

static void
derivatives_read_well(void **state)
{
    Fixture *f = *state;
    for (u32 i = 0; i < COUNT_OF(texts); i++) {
        Network *n = network_of(f, with_law(f, texts[i].law));
        Expr law = n->reactions.items[0].propensity;
        const char *by = texts[i].by;
        Expr derivative = 0;
        for (u32 k = 0; k < n->species.count; k++)
            if (strcmp(n->species.items[k].name->text, by) == 0)
                derivative = rxn__expr_derivative(n, law, EXPR_SPECIES, n->species.items[k].flat);
        for (u32 k = 0; k < n->params.count; k++)
            if (strcmp(n->params.items[k].name->text, by) == 0)
                derivative = rxn__expr_derivative(n, law, EXPR_PARAM, n->params.items[k].flat);
        assert_string_equal(written(f, n, derivative), texts[i].derivative);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_operation_has_its_derivative, set_up, tear_down),
        cmocka_unit_test_setup_teardown(powers_of_zero_and_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_laws_have_their_derivatives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_models_have_their_derivatives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(families_are_derived_as_loops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(second_derivatives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_families_take_no_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sharing_and_depth, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kernels_give_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quantities_belong_to_objectives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(edges_are_finite_and_right, set_up, tear_down),
        cmocka_unit_test_setup_teardown(combinations_at_small_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(derivatives_read_well, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("derive", tests, NULL, NULL);
}
