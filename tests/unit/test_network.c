/* test_network.c: expressions of the network: building, folding, affine forms, substitution,
 * evaluation; members and labels; the text form and the checker. */
#include "network_fixture.h"

/* ---- A playground: species X, Y, A[3]; params p in 0.1..2, q, V[3]; inputs u[3]; two variables  */

typedef struct Playground {
    Network *n;
    u32 x, y, a, p, q, v, u, i, j;
    double species[5], params[5], inputs[3];
    i64 variables[64];
} Playground;

static Playground
playground(Fixture *f)
{
    Playground g = {.n = new_network(f, "playground")};
    g.x = add_species(f, g.n, "X", shape_of(0, 0, 0), 10);
    g.y = add_species(f, g.n, "Y", shape_of(0, 0, 0), 3);
    g.a = add_species(f, g.n, "A", shape_of(1, 3, 0), 1);
    g.p = add_param(f, g.n, "p", shape_of(0, 0, 0), 0.1, 2);
    g.q = add_param(f, g.n, "q", shape_of(0, 0, 0), 1, 0);
    g.v = add_param(f, g.n, "V", shape_of(1, 3, 0), 1, 0);
    g.u = add_input(f, g.n, "u", shape_of(1, 3, 0));
    g.i = rxn__network_add_variable(g.n, name_of(f, "i"), 0, 2);
    g.j = rxn__network_add_variable(g.n, name_of(f, "j"), 0, 2);
    return g;
}

static ExprValues
random_point(Fixture *f, Playground *g)
{
    for (u32 k = 0; k < COUNT_OF(g->species); k++)
        g->species[k] = random_below(f, 12);
    for (u32 k = 0; k < COUNT_OF(g->params); k++)
        g->params[k] = k == 0 ? random_between(f, 0.1, 2) : random_between(f, -2, 2);
    for (u32 k = 0; k < COUNT_OF(g->inputs); k++)
        g->inputs[k] = random_between(f, -1, 1);
    for (u32 k = 0; k < COUNT_OF(g->variables); k++)
        g->variables[k] = random_below(f, 3);
    return (ExprValues){.species = g->species,
                        .params = g->params,
                        .inputs = g->inputs,
                        .variables = g->variables,
                        .time = random_between(f, 0, 10)};
}

/* An expression twice: built with folding, and taken as it stands. */
typedef struct Twin {
    Expr folded, raw;
} Twin;

static Twin
leaf_twin(Fixture *f, Playground *g)
{
    static const double numbers[] = {0, 1, -1, 2, 0.5, 3, 1e300};
    Expr e;
    switch (random_below(f, 8)) {
    case 0: e = ref0(g->n, EXPR_SPECIES, g->x); break;
    case 1: e = ref0(g->n, EXPR_SPECIES, g->y); break;
    case 2: e = ref1(g->n, EXPR_SPECIES, g->a, var(g->n, g->i)); break;
    case 3: e = ref0(g->n, EXPR_PARAM, g->q); break;
    case 4: e = ref1(g->n, EXPR_PARAM, g->v, num(g->n, 1)); break;
    case 5: e = time_now(g->n); break;
    default: e = num(g->n, numbers[random_below(f, COUNT_OF(numbers))]);
    }
    return (Twin){e, e};
}

static Twin
combine(Network *n, ExprOp op, const Twin *args)
{
    ExprNode key = {.op = (u8)op, .arg_count = (u16)rxn__expr_ops[op].arity};
    Expr folded[RXN_MAX_RANK] = {0};
    for (u32 k = 0; k < key.arg_count; k++) {
        folded[k] = args[k].folded;
        key.args[k] = args[k].raw;
    }
    return (Twin){rxn__expr(n, op, folded), rxn__expr_intern(n, &key)};
}

static Twin
random_twin(Fixture *f, Playground *g, u32 depth, bool is_bool)
{
    static const ExprOp real_ops[] = {EXPR_NEG,  EXPR_ADD,  EXPR_SUB,    EXPR_MUL, EXPR_DIV,
                                      EXPR_POW,  EXPR_MIN,  EXPR_MAX,    EXPR_ABS, EXPR_FLOOR,
                                      EXPR_CEIL, EXPR_SQRT, EXPR_SELECT, EXPR_ADD, EXPR_MUL};
    static const ExprOp bool_ops[] = {EXPR_LT,  EXPR_LE,  EXPR_EQ, EXPR_NE,
                                      EXPR_NOT, EXPR_AND, EXPR_OR, EXPR_SELECT};
    if (depth == 0 && !is_bool)
        return leaf_twin(f, g);
    if (depth == 0) {
        Expr e = rxn__expr_boolean(g->n, random_below(f, 2));
        return (Twin){e, e};
    }
    ExprOp op = is_bool ? bool_ops[random_below(f, COUNT_OF(bool_ops))]
                        : real_ops[random_below(f, COUNT_OF(real_ops))];
    Twin args[RXN_MAX_RANK];
    for (u32 k = 0; k < (u32)rxn__expr_ops[op].arity; k++) {
        bool arg_bool = op == EXPR_SELECT ? k == 0 || is_bool : rxn__expr_ops[op].takes_bool;
        args[k] = random_twin(f, g, random_below(f, depth), arg_bool);
        if (k == 1 && random_below(f, 4) == 0 && op != EXPR_SELECT)
            args[1] = args[0]; /* equal arguments have rules of their own */
    }
    return combine(g->n, op, args);
}

static void
folding_keeps_values(void **state)
{
    Fixture *f = *state;
    Playground g = playground(f);
    u32 folded = 0;
    for (u32 round = 0; round < 20000; round++) {
        Twin twin = random_twin(f, &g, 4, round % 4 == 0);
        folded += twin.folded != twin.raw;
        for (u32 point = 0; point < 4; point++) {
            ExprValues values = random_point(f, &g);
            double a = rxn__expr_evaluate(g.n, twin.folded, &values);
            double b = rxn__expr_evaluate(g.n, twin.raw, &values);
            /* a square is rounded once, libm's pow almost once */
            if (!nearly(a, b, 1e-12) && !(fabs(a - b) < 1e-12))
                fail_msg("round %u: folded %.17g, as it stands %.17g", round, a, b);
        }
    }
    assert_true(folded > 5000); /* the rules were exercised */
}

static void
folding_rules(void **state)
{
    Fixture *f = *state;
    Playground g = playground(f);
    Network *n = g.n;
    Expr x = ref0(n, EXPR_SPECIES, g.x), y = ref0(n, EXPR_SPECIES, g.y);
    Expr zero = num(n, 0), one = num(n, 1), two = num(n, 2);
    Expr truth = rxn__expr_boolean(n, true), b = expr_binary(n, EXPR_LT, x, y);
    assert_int_equal(expr_binary(n, EXPR_MUL, x, one), x);
    assert_int_equal(expr_binary(n, EXPR_ADD, zero, x), x);
    assert_int_equal(expr_binary(n, EXPR_DIV, x, one), x);
    assert_int_equal(expr_binary(n, EXPR_POW, x, two), expr_binary(n, EXPR_MUL, x, x));
    assert_int_equal(expr_binary(n, EXPR_POW, two, num(n, 10)), num(n, 1024));
    assert_int_equal(expr_binary(n, EXPR_ADD, x, y), expr_binary(n, EXPR_ADD, y, x));
    assert_int_equal(expr_binary(n, EXPR_SUB, x, expr_unary(n, EXPR_NEG, y)),
                     expr_binary(n, EXPR_ADD, x, y));
    assert_int_equal(expr_binary(n, EXPR_AND, truth, b), b);
    assert_int_equal(select_of(n, truth, x, y), x);
    assert_int_equal(select_of(n, expr_unary(n, EXPR_NOT, b), x, y), select_of(n, b, y, x));
    assert_int_equal(rxn__expr_choose(n, x, 1), x);
    assert_int_equal(expr_binary(n, EXPR_ADD, num(n, 0.1), num(n, 0.2)), num(n, 0.1 + 0.2));
    /* what would hide an infinity or a NaN stays */
    assert_int_equal(expr_node(n, expr_binary(n, EXPR_MUL, x, zero))->op, EXPR_MUL);
    assert_int_equal(expr_node(n, expr_binary(n, EXPR_SUB, x, x))->op, EXPR_SUB);
    assert_int_equal(expr_node(n, expr_unary(n, EXPR_EXP, one))->op, EXPR_EXP);
    /* poison spreads */
    assert_int_equal(expr_binary(n, EXPR_ADD, x, 0), 0);
    assert_int_equal(rxn__expr_choose(n, 0, 2), 0);
    /* sums without a loop */
    u32 single = rxn__network_add_variable(n, name_of(f, "s"), 2, 2);
    u32 empty = rxn__network_add_variable(n, name_of(f, "e"), 1, 0);
    Expr body = ref1(n, EXPR_SPECIES, g.a, var(n, single));
    assert_int_equal(rxn__expr_object(n, EXPR_SUM, single, 1, &body),
                     ref1(n, EXPR_SPECIES, g.a, two));
    body = expr_binary(n, EXPR_ADD, var(n, empty), x);
    assert_int_equal(rxn__expr_object(n, EXPR_PROD, empty, 1, &body), one);
}

static void
nodes_know_what_they_use(void **state)
{
    Fixture *f = *state;
    Playground g = playground(f);
    Network *n = g.n;
    Expr product = expr_binary(n, EXPR_MUL, ref1(n, EXPR_PARAM, g.v, var(n, g.i)),
                               ref1(n, EXPR_INPUT, g.u, var(n, g.j)));
    u32 count;
    const u32 *free_variables = rxn__expr_free_variables(n, product, &count);
    assert_int_equal(count, 2);
    assert_int_equal(free_variables[0], g.i);
    assert_int_equal(free_variables[1], g.j);
    Expr sum = rxn__expr_object(n, EXPR_SUM, g.i, 1, &product);
    free_variables = rxn__expr_free_variables(n, sum, &count);
    assert_int_equal(count, 1);
    assert_int_equal(free_variables[0], g.j);
    ExprUses uses = rxn__expr_uses(n, sum);
    assert_true(uses.params && uses.inputs && uses.variables && uses.sums);
    assert_false(uses.species || uses.time || uses.window || uses.hoisted);
    uses = rxn__expr_uses(n, expr_binary(n, EXPR_ADD, time_now(n), ref0(n, EXPR_SPECIES, g.x)));
    assert_true(uses.time && uses.species);
}

static void
sums_and_products_evaluate(void **state)
{
    Fixture *f = *state;
    Playground g = playground(f);
    Network *n = g.n;
    ExprValues values = random_point(f, &g);
    Expr i = var(n, g.i), j = var(n, g.j);
    /* sum over i of V[i] * (sum over j of A[j] * (i + j)), and the same with one variable nested in
     * itself */
    Expr inner =
        expr_binary(n, EXPR_MUL, ref1(n, EXPR_SPECIES, g.a, j), expr_binary(n, EXPR_ADD, i, j));
    inner = rxn__expr_object(n, EXPR_SUM, g.j, 1, &inner);
    Expr outer = expr_binary(n, EXPR_MUL, ref1(n, EXPR_PARAM, g.v, i), inner);
    outer = rxn__expr_object(n, EXPR_SUM, g.i, 1, &outer);
    double expected = 0;
    for (int a = 0; a < 3; a++) {
        double part = 0;
        for (int b = 0; b < 3; b++)
            part += values.species[2 + b] * (a + b);
        expected += values.params[2 + a] * part;
    }
    assert_true(nearly(rxn__expr_evaluate(n, outer, &values), expected, 1e-14));

    Expr total = ref1(n, EXPR_SPECIES, g.a, i);
    total = rxn__expr_object(n, EXPR_SUM, g.i, 1, &total);
    Expr nested = expr_binary(n, EXPR_ADD, expr_binary(n, EXPR_MUL, i, total), i);
    nested = rxn__expr_object(n, EXPR_PROD, g.i, 1, &nested);
    double s = values.species[2] + values.species[3] + values.species[4];
    assert_true(rxn__expr_evaluate(n, nested, &values) == 0 * (s + 1) * (2 * s + 2));
    values.species = NULL;
    assert_true(isnan(rxn__expr_evaluate(n, nested, &values)));
}

static void
deep_expressions_do_not_recurse(void **state)
{
    Fixture *f = *state;
    Playground g = playground(f);
    Network *n = g.n;
    ExprValues values = random_point(f, &g);
    Expr x = ref0(n, EXPR_SPECIES, g.x), chain = x;
    /* as a tree this has 2^1000000 leaves */
    for (u32 k = 0; k < 1000000; k++)
        chain = expr_binary(n, k % 2 == 0 ? EXPR_MAX : EXPR_MIN, chain,
                            expr_binary(n, EXPR_ADD, chain, num(n, 1 + k % 7)));
    assert_true(isfinite(rxn__expr_evaluate(n, chain, &values)));
    Expr with_variable = expr_binary(n, EXPR_ADD, chain, var(n, g.i));
    Expr number = num(n, 2);
    Expr replaced = rxn__expr_substitute(n, with_variable, 1, &g.i, &number);
    assert_int_equal(replaced, expr_binary(n, EXPR_ADD, chain, number));
    Affine affine;
    assert_false(rxn__expr_affine(n, chain, &affine));
}

/* ---- Affine ---------------------------------------------------------------------------------- */

static Expr
random_affine(Fixture *f, Playground *g, u32 depth, i64 *ret_constant, i64 *ret_i, i64 *ret_j)
{
    Network *n = g->n;
    i64 c[2], ci[2], cj[2];
    Expr a, b;
    if (depth == 0) {
        u32 kind = random_below(f, 3);
        *ret_constant = kind == 0 ? (i64)random_below(f, 9) - 4 : 0;
        *ret_i = kind == 1;
        *ret_j = kind == 2;
        return kind == 0 ? num(n, (double)*ret_constant) : kind == 1 ? var(n, g->i) : var(n, g->j);
    }
    a = random_affine(f, g, random_below(f, depth), &c[0], &ci[0], &cj[0]);
    if (random_below(f, 3) == 0) {
        i64 k = (i64)random_below(f, 7) - 3;
        *ret_constant = k * c[0];
        *ret_i = k * ci[0];
        *ret_j = k * cj[0];
        return expr_binary(n, EXPR_MUL, num(n, (double)k), a);
    }
    b = random_affine(f, g, random_below(f, depth), &c[1], &ci[1], &cj[1]);
    bool subtract = random_below(f, 2) != 0;
    i64 sign = subtract ? -1 : 1;
    *ret_constant = c[0] + sign * c[1];
    *ret_i = ci[0] + sign * ci[1];
    *ret_j = cj[0] + sign * cj[1];
    return expr_binary(n, subtract ? EXPR_SUB : EXPR_ADD, a, b);
}

static void
affine_forms(void **state)
{
    Fixture *f = *state;
    Playground g = playground(f);
    for (u32 round = 0; round < 5000; round++) {
        i64 constant, ci, cj;
        Expr e = random_affine(f, &g, 5, &constant, &ci, &cj);
        Affine affine;
        assert_true(rxn__expr_affine(g.n, e, &affine));
        i64 values[64] = {0};
        for (i64 i = 0; i < 3; i++)
            for (i64 j = 0; j < 3; j++) {
                values[g.i] = i;
                values[g.j] = j;
                assert_int_equal(rxn__affine_evaluate(&affine, values), constant + ci * i + cj * j);
            }
        i64 low, high, least = INT64_MAX, greatest = INT64_MIN;
        rxn__affine_range(g.n, &affine, &low, &high);
        for (i64 i = 0; i < 3; i += 2)
            for (i64 j = 0; j < 3; j += 2) {
                i64 value = constant + ci * i + cj * j;
                least = value < least ? value : least;
                greatest = value > greatest ? value : greatest;
            }
        assert_int_equal(low, least);
        assert_int_equal(high, greatest);
        Affine again;
        assert_true(rxn__expr_affine(g.n, rxn__expr_of_affine(g.n, &affine), &again));
        assert_memory_equal(&again, &affine, sizeof affine);
    }
    Affine affine;
    Network *n = g.n;
    Expr i = var(n, g.i);
    assert_false(rxn__expr_affine(n, num(n, 0.5), &affine));
    assert_false(rxn__expr_affine(n, num(n, 1e18), &affine));
    assert_false(rxn__expr_affine(n, expr_binary(n, EXPR_MUL, i, var(n, g.j)), &affine));
    assert_false(rxn__expr_affine(n, expr_binary(n, EXPR_DIV, i, num(n, 2)), &affine));
    assert_false(rxn__expr_affine(n, ref0(n, EXPR_SPECIES, g.x), &affine));
    /* overflow is no wrap */
    Expr large = expr_binary(n, EXPR_MUL, num(n, 9e15), expr_binary(n, EXPR_MUL, num(n, 9e15), i));
    assert_false(rxn__expr_affine(n, large, &affine));
    /* one node for one index */
    Expr same = expr_binary(n, EXPR_SUB, expr_binary(n, EXPR_ADD, i, num(n, 1)), num(n, 1));
    assert_int_equal(ref1(n, EXPR_SPECIES, g.a, same), ref1(n, EXPR_SPECIES, g.a, i));
}

static void
substitution_is_evaluation(void **state)
{
    Fixture *f = *state;
    Playground g = playground(f);
    u32 variables[2] = {g.i, g.j};
    for (u32 round = 0; round < 3000; round++) {
        Twin twin = random_twin(f, &g, 4, false);
        Expr e = expr_binary(g.n, EXPR_MUL, twin.folded, var(g.n, g.j));
        ExprValues values = random_point(f, &g);
        Expr numbers[2] = {num(g.n, (double)values.variables[g.i]),
                           num(g.n, (double)values.variables[g.j])};
        Expr replaced = rxn__expr_substitute(g.n, e, 2, variables, numbers);
        assert_false(rxn__expr_uses(g.n, replaced).variables);
        double a = rxn__expr_evaluate(g.n, e, &values);
        double b = rxn__expr_evaluate(g.n, replaced, &values);
        if (!nearly(a, b, 1e-12) && !(fabs(a - b) < 1e-12))
            fail_msg("round %u: %.17g, with numbers in place %.17g", round, a, b);
    }
}

/* ---- Members --------------------------------------------------------------------------------- */

/* for s in 0..2: hop: X[s] -> X[s+1] @ d * X[s]; and a scalar one with repeated species */
static Network *
hopping(Fixture *f)
{
    Network *n = new_network(f, "hopping");
    u32 d = add_param(f, n, "d", shape_of(0, 0, 0), 0.1, 1);
    u32 x = add_species(f, n, "X", shape_of(1, 4, 0), 5);
    u32 y = add_species(f, n, "Y", shape_of(0, 0, 0), 0);
    u32 s = rxn__network_add_variable(n, name_of(f, "s"), 0, 2);
    Expr here = var(n, s), next = expr_binary(n, EXPR_ADD, here, num(n, 1));
    Expr rate = ref0(n, EXPR_PARAM, d);
    Reaction *hop =
        add_law(f, n, "hop", expr_binary(n, EXPR_MUL, rate, ref1(n, EXPR_SPECIES, x, here)));
    over(hop, s);
    reactant(n, hop, 1, x, here);
    product(n, hop, 1, x, next);
    hop->mass_action = true;
    hop->rate = rate;
    Reaction *grow = add_law(f, n, "grow", rate);
    reactant(n, grow, 2, y, 0);
    product(n, grow, 1, y, 0);
    product(n, grow, 1, y, 0);
    product(n, grow, 3, x, num(n, 2));
    observe(f, n, "Y", ref0(n, EXPR_SPECIES, y));
    assert_true(rxn__network_number(n));
    assert_sound(f, n);
    return n;
}

static void
members_and_labels(void **state)
{
    Fixture *f = *state;
    Network *n = hopping(f);
    assert_int_equal(n->reaction_count, 4);
    Change changes[4];
    const Reaction *hop = &n->reactions.items[0], *grow = &n->reactions.items[1];
    assert_int_equal(rxn__reaction_changes(n, hop, 1, 4, changes), 2);
    assert_int_equal(changes[0].species, 1);
    assert_int_equal(changes[0].delta, -1);
    assert_int_equal(changes[1].species, 2);
    assert_int_equal(changes[1].delta, 1);
    assert_int_equal(rxn__reaction_changes(n, grow, 0, 4, changes), 1); /* Y comes and goes */
    assert_int_equal(changes[0].species, 2);
    assert_int_equal(changes[0].delta, 3);
    Expr member = rxn__reaction_member_propensity(n, hop, 2);
    assert_int_equal(member, expr_binary(n, EXPR_MUL, ref0(n, EXPR_PARAM, 0),
                                         ref1(n, EXPR_SPECIES, 0, num(n, 2))));
    u32 index;
    assert_ptr_equal(rxn__reaction_of_flat(n, 3, &index), grow);
    assert_ptr_equal(rxn__reaction_of_flat(n, 2, &index), hop);
    assert_int_equal(index, 2);
    assert_string_equal(rxn__species_label(n, 3, &f->arena), "X[3]");
    assert_string_equal(rxn__species_label(n, 4, &f->arena), "Y");
    assert_string_equal(rxn__reaction_label(n, 1, &f->arena), "hop[1]");
    assert_string_equal(rxn__reaction_label(n, 3, &f->arena), "grow");
    assert_string_equal(rxn__param_label(n, 0, &f->arena), "d");
    assert_string_equal(rxn__column_label(n, 0, &f->arena), "Y");
    u32 w = add_param(f, n, "W", shape_of(2, 3, 5), 1, 0);
    assert_string_equal(rxn__param_label(n, n->params.items[w].flat + 8, &f->arena), "W[1,3]");
    i64 indices[2] = {1, 3};
    assert_int_equal(rxn__flat_member(&n->params.items[w].shape, n->params.items[w].flat, indices),
                     n->params.items[w].flat + 8);
}

/* ---- Text and checker ------------------------------------------------------------------------ */

/* Everything that a network can have. */
static Network *
everything(Fixture *f)
{
    Network *n = hopping(f);
    Arena *arena = n->arena;
    n->name = name_of(f, "a name with \"blanks\"");
    n->simulate_until = 100;
    n->simulate_every = 0.1;
    vec_push(arena, &n->simulate_at, 2.5);
    vec_push(arena, &n->simulate_at, 1e-300);
    vec_push(arena, &n->index_sets, ((IndexSet){name_of(f, "gene"), 256}));
    u32 w = add_param(f, n, "W", shape_of(2, 3, 5), 1, 0);
    Param *weights = &n->params.items[w];
    weights->initial = 0;
    weights->distribution = DISTRIBUTION_NORMAL;
    weights->distribution_args[0] = ref0(n, EXPR_PARAM, 0);
    weights->distribution_args[1] = var(n, weights->variables[1]);
    weights->fit = true;
    weights->span = (Span){7, 9};
    u32 in = add_input(f, n, "in.put", shape_of(1, 5, 0));
    Species *x = &n->species.items[0];
    x->initial = expr_binary(n, EXPR_ADD, var(n, x->variables[0]), ref0(n, EXPR_PARAM, 0));
    x->initial_span = (Span){3, 5};
    u32 c0 = rxn__network_add_variable(n, name_of(f, "g"), 0, 2);
    Expr body = expr_binary(n, EXPR_MUL, ref2(n, EXPR_PARAM, w, var(n, c0), num(n, 1)),
                            ref1(n, EXPR_INPUT, in, num(n, 4)));
    Hoisted hoisted = {.name = name_of(f, "h0"), .shape = shape_of(1, 3, 0), .value = body};
    hoisted.variables[0] = c0;
    vec_push(arena, &n->hoisted, hoisted);
    Expr h = ref1(n, EXPR_HOISTED, 0, num(n, 2));
    Reaction *r = add_law(f, n, "many", h);
    r->span = (Span){40, 60};
    r->bound_span = (Span){70, 80};
    product(n, r, 1, 1, 0);
    Expr middle = rxn__expr(n, EXPR_TIME_MIDDLE, NULL);
    Expr early = expr_binary(n, EXPR_LT, middle, num(n, 25));
    r->propensity = select_of(n, expr_unary(n, EXPR_NOT, expr_binary(n, EXPR_AND, early, early)), h,
                              expr_unary(n, EXPR_SIN, time_now(n)));
    r->bound = expr_binary(n, EXPR_MAX, h, rxn__expr(n, EXPR_TIME_HIGH, NULL));
    r->mass_action = false;
    r->rate = rxn__expr_choose(n, h, 2);

    Event at = {.kind = EVENT_AT, .span = {1, 2}, .time = num(n, 25)};
    vec_push(arena, &at.assignments,
             ((Assignment){.species = 0, .member = 3, .value = num(n, 7), .span = {5, 6}}));
    vec_push(arena, &n->events, at);
    Event every = {
        .kind = EVENT_EVERY, .time = num(n, 5), .period = num(n, 10), .until = num(n, 50)};
    vec_push(arena, &every.assignments,
             ((Assignment){.species = 1, .member = 4, .value = ref0(n, EXPR_SPECIES, 1)}));
    vec_push(arena, &n->events, every);
    Event when = {.kind = EVENT_WHEN,
                  .condition =
                      expr_binary(n, EXPR_OR, early,
                                  expr_binary(n, EXPR_NE, ref0(n, EXPR_SPECIES, 1), num(n, 3)))};
    vec_push(arena, &n->events, when);

    u32 k = rxn__network_add_variable(n, name_of(f, "k"), 0, 3);
    Observable family = {.name = name_of(f, "X"), .shape = shape_of(1, 4, 0), .span = {90, 91}};
    family.variables[0] = k;
    family.value = ref1(n, EXPR_SPECIES, 0, var(n, k));
    vec_push(arena, &n->observables, family);
    Expr product = ref1(n, EXPR_SPECIES, 0, var(n, k));
    observe(f, n, "product", rxn__expr_object(n, EXPR_PROD, k, 1, &product));
    observe(f, n, "odd", num(n, NAN));
    observe(f, n, "infinite", num(n, -INFINITY));
    vec_push(arena, &n->fit, ((FitEntry){name_of(f, "data"), "\"a\\b\".csv\n\x01", {8, 9}}));
    vec_push(arena, &n->breakpoints, num(n, 25));
    n->traits =
        (NetworkTraits){.all_mass_action = true, .dependency_edges = 12, .widest_change = 2};
    ConservationLaw law = {0};
    vec_push(arena, &law.terms, ((struct LawTerm){0, -2}));
    vec_push(arena, &law.terms, ((struct LawTerm){4, 3}));
    vec_push(arena, &n->laws, law);
    n->laws_skipped = true;
    assert_true(rxn__network_number(n));
    return n;
}

static void
text_reads_back(void **state)
{
    Fixture *f = *state;
    assert_reads_back(f, hopping(f));
    Network *n = everything(f), *again = assert_reads_back(f, n);
    assert_int_equal(again->species_count, n->species_count);
    assert_int_equal(again->reaction_count, n->reaction_count);
    assert_int_equal(again->column_count, n->column_count);
    assert_int_equal(again->params.items[1].distribution, DISTRIBUTION_NORMAL);
    assert_true(again->params.items[1].fit && !again->params.items[1].has_bounds);
    assert_true(again->reactions.items[0].mass_action && !again->reactions.items[2].mass_action);
    assert_int_equal(again->reactions.items[2].bound_span.end, 80);
    assert_int_equal(again->events.items[0].assignments.items[0].member, 3);
    assert_true(again->simulate_every == 0.1 && again->simulate_at.items[1] == 1e-300);
    assert_string_equal(again->fit.items[0].text, "\"a\\b\".csv\n\x01");
    assert_true(again->laws.items[0].terms.items[0].coefficient == -2 && again->laws_skipped);
    assert_string_equal(again->name->text, "a name with \"blanks\"");
}

static void
text_of_random_networks_reads_back(void **state)
{
    Fixture *f = *state;
    for (u32 round = 0; round < 200; round++) {
        Playground g = playground(f);
        for (u32 k = 0; k < 3; k++) {
            char label[8];
            snprintf(label, sizeof label, "r%u", k);
            Expr e = random_twin(f, &g, 6, false).folded;
            e = rxn__expr_object(g.n, EXPR_SUM, g.i, 1, &e);
            Reaction *r = add_law(f, g.n, label, e);
            reactant(g.n, r, 1 + k, g.x, 0);
            product(g.n, r, 1, g.a, num(g.n, k));
        }
        observe(f, g.n, "X", ref0(g.n, EXPR_SPECIES, g.x));
        assert_true(rxn__network_number(g.n));
        assert_sound(f, g.n);
        Network *again = assert_reads_back(f, g.n);
        for (u32 k = 0; k < 3; k++) {
            ExprValues values = random_point(f, &g);
            double a = rxn__expr_evaluate(g.n, g.n->reactions.items[k].propensity, &values);
            double b = rxn__expr_evaluate(again, again->reactions.items[k].propensity, &values);
            assert_true(nearly(a, b, 0));
        }
    }
}

static void
assert_refused(Fixture *f, const char *text, const char *expected)
{
    Network *network = NULL;
    const char *error = rxn__network_read(&f->arena, &f->names, text, strlen(text), &network);
    assert_non_null(error);
    if (strstr(error, expected) == NULL)
        fail_msg("expected '%s', got '%s'", expected, error);
}

static void
wrong_texts_are_refused(void **state)
{
    Fixture *f = *state;
    assert_refused(f, "", "expected");
    assert_refused(f, "network a\nspecies X\nspecies X\n", "'X' is declared twice");
    assert_refused(f, "network a\n%1 = species X\n", "there is no species");
    assert_refused(f, "network a\n%2 = time\n", "expected line %1");
    assert_refused(f, "network a\n%1 = add %1 %1\n", "there is no line %1 above");
    assert_refused(f, "network a\n%1 = frobnicate\n", "expected an operation");
    assert_refused(f, "network a\nspecies X [0] over i.0\n", "no members");
    assert_refused(f, "network a\nvariable i.1 0 3\n", "variable number 0");
    assert_refused(f, "network a\nvariable i.0 0 3\nspecies X [5] over i.0\n", "another range");
    assert_refused(f, "network a\nvariable i.0 0 3\nspecies X [4] over j.0\n", "no such variable");
    assert_refused(f, "network a\n%1 = time\nspecies X initial %1\n",
                   "depends on what it must not");
    assert_refused(f, "network a\n%1 = boolean 1\nreaction r\n propensity %1\n", "wrong type");
    assert_refused(f, "network a\n%1 = time\nreaction r\n propensity %1\n bound %1\n", "the bound");
    assert_refused(f,
                   "network a\nvariable i.0 0 3\nspecies X [4] over i.0\n%1 = variable i.0\n"
                   "%2 = number 1\n%3 = add %1 %2\n%4 = species X [%3]\n"
                   "reaction r over i.0\n propensity %4\n",
                   "an index leaves its range");
    assert_refused(f, "network a\nvariable i.0 0 3\n%1 = variable i.0\nobservable o = %1\n",
                   "free variable");
    assert_refused(f,
                   "network a\nvariable i.0 0 99999999\nspecies X [100000000] over i.0\n"
                   "species Y [100000000] over i.0\n",
                   "too many");
    assert_refused(f, "network a\n%1 = number 1\nparam p initial %1 bounds 2 1\n", "no range");
    assert_refused(
        f, "network a\n%1 = number 1\nreaction r\n propensity %1\nreaction r\n propensity %1\n",
        "two of this name");
}

/* Damaged texts: an error or a network that is sound, never a crash. */
static void
damaged_texts_do_no_harm(void **state)
{
    Fixture *f = *state;
    const char *text = printed(f, everything(f));
    size_t length = strlen(text);
    char *damaged = rxn__arena_copy_text(&f->arena, text, length);
    for (u32 round = 0; round < 3000; round++) {
        Arena arena;
        rxn__arena_init(&arena, &f->memory);
        memcpy(damaged, text, length);
        for (u32 k = 0; k <= random_below(f, 3); k++) {
            u32 at = random_below(f, (u32)length), from = random_below(f, (u32)length);
            u32 bytes = 1 + random_below(f, 12);
            for (u32 b = 0; b < bytes && at + b < length && from + b < length; b++)
                damaged[at + b] = text[from + b];
        }
        NameTable names;
        rxn__names_init(&names, &arena);
        Network *network;
        if (rxn__network_read(&arena, &names, damaged, length, &network) == NULL) {
            Text once, twice;
            Network *again;
            rxn__text_init(&once, &arena);
            rxn__text_init(&twice, &arena);
            rxn__network_print(network, &once);
            assert_null(rxn__network_read(&arena, &names, once.data, once.length, &again));
            rxn__network_print(again, &twice);
            assert_string_equal(once.data, twice.data);
        }
        rxn__arena_release(&arena);
    }
}

static void
out_of_memory_is_survived(void **state)
{
    Fixture *f = *state;
    const char *text = printed(f, everything(f));
    bool done = false;
    u32 failures = 0;
    for (volatile u64 nth = 1; !done; nth++) {
        Memory memory = {.fail_at = nth};
        jmp_buf failed;
        Arena arena;
        memory.on_failure = &failed;
        rxn__arena_init(&arena, &memory);
        if (setjmp(failed) == 0) {
            NameTable names;
            rxn__names_init(&names, &arena);
            Network *network;
            assert_null(rxn__network_read(&arena, &names, text, strlen(text), &network));
            rxn__network_share(network);
            rxn__network_conserve(network);
            done = true;
        } else {
            failures++;
        }
        rxn__arena_release(&arena);
        assert_int_equal(memory.used, 0);
    }
    assert_true(failures > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folding_keeps_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folding_rules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nodes_know_what_they_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sums_and_products_evaluate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deep_expressions_do_not_recurse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(affine_forms, set_up, tear_down),
        cmocka_unit_test_setup_teardown(substitution_is_evaluation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(members_and_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_reads_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_of_random_networks_reads_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_texts_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_texts_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(out_of_memory_is_survived, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
