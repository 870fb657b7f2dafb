/* test_network_passes.c: the passes over the network, each by what it promises: values kept, bounds
 * never exceeded, laws that multiply out to zero, dependencies that brute force finds too. */
#include "network_fixture.h"

#include <time.h>

/* ---- Sharing and hoisting -------------------------------------------------------------------- */

/* index pixel = pixels, gene = genes
 * for g: on: 0 => H[g] @ beta * sigmoid(sum(p: W[g,p]*x[p]) + b[g]); off: H[g] -> 0 @ gamma */
static Network *
gene_layer(Fixture *f, u32 pixels, u32 genes)
{
    Network *n = new_network(f, "layer");
    u32 x = add_input(f, n, "x", shape_of(1, pixels, 0));
    u32 w = add_param(f, n, "W", shape_of(2, genes, pixels), 1, 0);
    u32 b = add_param(f, n, "b", shape_of(1, genes, 0), 1, 0);
    u32 beta = add_param(f, n, "beta", shape_of(0, 0, 0), 0.1, 1000);
    u32 gamma = add_param(f, n, "gamma", shape_of(0, 0, 0), 0.001, 10);
    u32 h = add_species(f, n, "H", shape_of(1, genes, 0), 0);
    u32 g = rxn__network_add_variable(n, name_of(f, "g"), 0, (i64)genes - 1);
    u32 p = rxn__network_add_variable(n, name_of(f, "p"), 0, (i64)pixels - 1);
    Expr sum = expr_binary(n, EXPR_MUL, ref2(n, EXPR_PARAM, w, var(n, g), var(n, p)),
                           ref1(n, EXPR_INPUT, x, var(n, p)));
    sum = rxn__expr_object(n, EXPR_SUM, p, 1, &sum);
    Expr drive = expr_unary(n, EXPR_SIGMOID,
                            expr_binary(n, EXPR_ADD, sum, ref1(n, EXPR_PARAM, b, var(n, g))));
    Reaction *on = add_law(f, n, "on", expr_binary(n, EXPR_MUL, ref0(n, EXPR_PARAM, beta), drive));
    over(on, g);
    product(n, on, 1, h, var(n, g));
    Expr rate = ref0(n, EXPR_PARAM, gamma);
    Reaction *off =
        add_law(f, n, "off", expr_binary(n, EXPR_MUL, rate, ref1(n, EXPR_SPECIES, h, var(n, g))));
    over(off, g);
    reactant(n, off, 1, h, var(n, g));
    off->mass_action = true;
    off->rate = rate;
    u32 k = rxn__network_add_variable(n, name_of(f, "k"), 0, (i64)genes - 1);
    Expr total = ref1(n, EXPR_SPECIES, h, var(n, k));
    observe(f, n, "total", rxn__expr_object(n, EXPR_SUM, k, 1, &total));
    assert_true(rxn__network_number(n));
    assert_sound(f, n);
    return n;
}

static bool
run_passes(Fixture *f, Network *n)
{
    const char *internal = NULL;
    bool ok = rxn__network_passes(n, &f->diagnostics, &f->arena, NULL, NULL, &internal);
    if (internal != NULL)
        fail_msg("%s", internal);
    return ok;
}

static void
sums_are_hoisted_into_arrays(void **state)
{
    Fixture *f = *state;
    Network *n = gene_layer(f, 6, 4);
    Network *plain = gene_layer(f, 6, 4);
    assert_true(run_passes(f, n));
    assert_int_equal(n->hoisted.count, 1);
    assert_int_equal(n->hoisted.items[0].shape.rank, 1);
    assert_int_equal(n->hoisted.items[0].shape.extent[0], 4);
    const Reaction *on = &n->reactions.items[0], *plain_on = &plain->reactions.items[0];
    assert_int_equal(expr_node(n, on->propensity)->op, EXPR_HOISTED);
    assert_false(rxn__network_hoist(n)); /* nothing is left to hoist */
    assert_false(rxn__network_share(n));
    double params[4 * 6 + 4 + 2], inputs[6], species[4] = {0};
    for (u32 k = 0; k < COUNT_OF(params); k++)
        params[k] = random_between(f, -1, 1);
    for (u32 k = 0; k < COUNT_OF(inputs); k++)
        inputs[k] = random_between(f, -1, 1);
    ExprValues values = {.species = species, .params = params, .inputs = inputs};
    for (u32 member = 0; member < 4; member++) {
        Expr a = rxn__reaction_member_propensity(n, on, member);
        Expr b = rxn__reaction_member_propensity(plain, plain_on, member);
        assert_true(rxn__expr_evaluate(n, a, &values) == rxn__expr_evaluate(plain, b, &values));
    }
}

static void
equal_sums_are_shared(void **state)
{
    Fixture *f = *state;
    Network *n = new_network(f, "shared");
    u32 x = add_species(f, n, "X", shape_of(1, 5, 0), 1);
    u32 w = add_param(f, n, "W", shape_of(1, 5, 0), 1, 0);
    Expr sums[3];
    for (u32 k = 0; k < 3; k++) {
        /* sum(i: X[i] * sum(j: W[j] * (i + j))), each time with variables of its own, once with one
         * name twice */
        u32 i = rxn__network_add_variable(n, name_of(f, "i"), 0, 4);
        u32 j = rxn__network_add_variable(n, name_of(f, "j"), 0, 4);
        Expr inner = expr_binary(n, EXPR_MUL, ref1(n, EXPR_PARAM, w, var(n, j)),
                                 expr_binary(n, EXPR_ADD, var(n, i), var(n, j)));
        inner = rxn__expr_object(n, EXPR_SUM, j, 1, &inner);
        Expr outer = expr_binary(n, EXPR_MUL, ref1(n, EXPR_SPECIES, x, var(n, i)), inner);
        sums[k] = rxn__expr_object(n, EXPR_SUM, i, 1, &outer);
        char label[8];
        snprintf(label, sizeof label, "r%u", k);
        Reaction *r = add_law(f, n, label, sums[k]);
        product(n, r, 1, x, num(n, k));
    }
    observe(f, n, "o", sums[0]);
    assert_true(sums[0] != sums[1]);
    double species[5], params[5];
    for (u32 k = 0; k < 5; k++) {
        species[k] = random_below(f, 10);
        params[k] = random_between(f, -1, 1);
    }
    ExprValues values = {.species = species, .params = params};
    double before = rxn__expr_evaluate(n, n->reactions.items[1].propensity, &values);
    assert_true(rxn__network_share(n));
    assert_sound(f, n);
    assert_reads_back(f, n);
    for (u32 k = 1; k < 3; k++)
        assert_int_equal(n->reactions.items[k].propensity, n->reactions.items[0].propensity);
    assert_true(rxn__expr_evaluate(n, n->reactions.items[1].propensity, &values) == before);
    assert_false(rxn__network_share(n));

    /* sum_i(A(i) * sum_i(A(i))): one variable at two heights; share must keep them apart */
    Network *same = new_network(f, "same");
    u32 a = add_species(f, same, "A", shape_of(1, 3, 0), 1);
    u32 i = rxn__network_add_variable(same, name_of(f, "i"), 0, 2);
    Expr e = ref1(same, EXPR_SPECIES, a, var(same, i));
    Expr total = rxn__expr_object(same, EXPR_SUM, i, 1, &e);
    e = expr_binary(same, EXPR_MUL, expr_binary(same, EXPR_ADD, e, var(same, i)), total);
    e = rxn__expr_object(same, EXPR_SUM, i, 1, &e);
    observe(f, same, "o", e);
    double counts[3] = {3, 4, 8};
    values = (ExprValues){.species = counts};
    assert_true(rxn__network_share(same));
    assert_sound(f, same);
    assert_true(rxn__expr_evaluate(same, same->observables.items[0].value, &values) == 18 * 15);
    assert_false(rxn__network_share(same));
}

static void
equal_hoists_of_families_are_shared(void **state)
{
    Fixture *f = *state;
    Network *n = new_network(f, "families");
    u32 k = add_param(f, n, "k", shape_of(1, 5, 0), 1, 0);
    u32 x = add_species(f, n, "X", shape_of(1, 5, 0), 1);
    for (u32 r = 0; r < 2; r++) {
        u32 g = rxn__network_add_variable(n, name_of(f, "g"), 1, 4);
        Expr here = var(n, g), before = expr_binary(n, EXPR_SUB, here, num(n, 1));
        Expr rate = expr_binary(n, EXPR_ADD,
                                expr_unary(n, EXPR_EXP, ref1(n, EXPR_PARAM, k, before)), num(n, 2));
        Reaction *reaction =
            add_law(f, n, r == 0 ? "a" : "b",
                    expr_binary(n, EXPR_MUL, rate, ref1(n, EXPR_SPECIES, x, here)));
        over(reaction, g);
        reaction->mass_action = true;
        reaction->rate = rate;
        reactant(n, reaction, 1, x, here);
    }
    observe(f, n, "X0", ref1(n, EXPR_SPECIES, x, num(n, 0)));
    assert_true(rxn__network_number(n));
    Network *plain = assert_reads_back(f, n);
    assert_true(run_passes(f, n));
    assert_int_equal(n->hoisted.count, 1);
    assert_int_equal(n->hoisted.items[0].shape.extent[0], 4);
    double params[5] = {0.1, 0.2, 0.3, 0.4, 0.5}, species[5] = {1, 2, 3, 4, 5};
    ExprValues values = {.species = species, .params = params};
    for (u32 member = 0; member < 4; member++) {
        Expr a = rxn__reaction_member_propensity(n, &n->reactions.items[1], member);
        Expr b = rxn__reaction_member_propensity(plain, &plain->reactions.items[1], member);
        assert_true(rxn__expr_evaluate(n, a, &values) == rxn__expr_evaluate(plain, b, &values));
    }
}

/* ---- Windows --------------------------------------------------------------------------------- */

static void
comparisons_of_time_become_breakpoints(void **state)
{
    Fixture *f = *state;
    Network *n = new_network(f, "windows");
    u32 x = add_species(f, n, "X", shape_of(0, 0, 0), 1);
    u32 a = add_param(f, n, "a", shape_of(0, 0, 0), 1, 0);
    u32 on = add_param(f, n, "on", shape_of(1, 3, 0), 1, 0);
    u32 g = rxn__network_add_variable(n, name_of(f, "g"), 0, 2);
    Expr t = time_now(n), pa = ref0(n, EXPR_PARAM, a), one = num(n, 1), two = num(n, 2);
    /* t < 5; 2 t + 1 >= a as a <= 2 t + 1; (t - a)/2 < -t; -(t + a) < -16; family: t < on[g] */
    Expr simple = expr_binary(n, EXPR_LT, t, num(n, 5));
    Expr line = expr_binary(n, EXPR_ADD, expr_binary(n, EXPR_MUL, two, t), one);
    Expr affine = expr_binary(n, EXPR_LE, pa, line);
    Expr both =
        expr_binary(n, EXPR_LT, expr_binary(n, EXPR_DIV, expr_binary(n, EXPR_SUB, t, pa), two),
                    expr_unary(n, EXPR_NEG, t));
    Expr turned = expr_binary(n, EXPR_LT, expr_unary(n, EXPR_NEG, expr_binary(n, EXPR_ADD, t, pa)),
                              num(n, -16));
    Expr conditions[4] = {simple, affine, both, turned};
    for (u32 k = 0; k < 4; k++) {
        char label[8];
        snprintf(label, sizeof label, "r%u", k);
        Reaction *r = add_law(f, n, label, select_of(n, conditions[k], one, two));
        product(n, r, 1, x, 0);
    }
    Expr member = expr_binary(n, EXPR_LT, t, ref1(n, EXPR_PARAM, on, var(n, g)));
    Reaction *family = add_law(f, n, "family", select_of(n, member, one, two));
    over(family, g);
    product(n, family, 1, x, 0);
    Expr sx = ref0(n, EXPR_SPECIES, x);
    Reaction *with_state =
        add_law(f, n, "state", select_of(n, expr_binary(n, EXPR_LT, t, sx), one, two));
    product(n, with_state, 1, x, 0);
    Event when = {.kind = EVENT_WHEN,
                  .condition = expr_binary(n, EXPR_AND, expr_binary(n, EXPR_LE, num(n, 25), t),
                                           expr_binary(n, EXPR_LT, sx, two))};
    vec_push(n->arena, &when.assignments, ((Assignment){.species = x, .value = t}));
    vec_push(n->arena, &n->events, when);
    observe(f, n, "o", select_of(n, simple, one, two));
    assert_true(rxn__network_number(n));

    Network *plain = assert_reads_back(f, n);
    assert_true(rxn__network_windows(n));
    assert_sound(f, n);
    assert_false(rxn__network_windows(n));
    assert_int_equal(n->breakpoints.count, 8);
    ExprValues values = {.params = (double[]){7, 2, 4, 8}, .species = (double[]){3}};
    const double expected[8] = {5, 3, 7.0 / 3, 9, 2, 4, 8, 25};
    for (u32 k = 0; k < 8; k++)
        assert_true(
            nearly(rxn__expr_evaluate(n, n->breakpoints.items[k], &values), expected[k], 1e-15));
    for (u32 k = 0; k < 5; k++) {
        ExprUses uses = rxn__expr_uses(n, n->reactions.items[k].propensity);
        assert_true(uses.window && !uses.time);
    }
    assert_true(rxn__expr_uses(n, n->reactions.items[5].propensity).time);
    assert_false(rxn__expr_uses(n, n->events.items[0].condition).time);
    assert_true(rxn__expr_uses(n, n->events.items[0].assignments.items[0].value).time);
    assert_true(rxn__expr_uses(n, n->observables.items[0].value).time);

    /* between two breakpoints, the middle decides as every time there does */
    const double cuts[] = {0, 2, 7.0 / 3, 3, 4, 5, 8, 9, 25, 40};
    for (u32 c = 0; c + 1 < COUNT_OF(cuts); c++)
        for (u32 k = 0; k < 5; k++)
            for (u32 m = 0; m < n->reactions.items[k].count; m++) {
                Expr e = rxn__reaction_member_propensity(n, &n->reactions.items[k], m);
                Expr p = rxn__reaction_member_propensity(plain, &plain->reactions.items[k], m);
                values.window = true;
                values.time_middle = (cuts[c] + cuts[c + 1]) / 2;
                values.time = random_between(f, cuts[c] + 1e-9, cuts[c + 1] - 1e-9);
                assert_true(rxn__expr_evaluate(n, e, &values) ==
                            rxn__expr_evaluate(plain, p, &values));
            }

    assert_true(rxn__network_bounds(n, &f->diagnostics));
    assert_int_equal(f->diagnostics.error_count, 0);
    assert_int_equal(n->reactions.items[0].bound, n->reactions.items[0].propensity);
    assert_true(n->reactions.items[5].bound != 0);
    assert_sound(f, n);
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

typedef struct Rates {
    Network *n;
    u32 x, y, positive, bounded, any, v, i;
} Rates;

static Rates
rates(Fixture *f)
{
    Rates r = {.n = new_network(f, "rates")};
    r.x = add_species(f, r.n, "X", shape_of(0, 0, 0), 1);
    r.y = add_species(f, r.n, "Y", shape_of(0, 0, 0), 1);
    r.positive = add_param(f, r.n, "positive", shape_of(0, 0, 0), 0.5, 3);
    r.bounded = add_param(f, r.n, "bounded", shape_of(0, 0, 0), -0.9, 0.9);
    r.any = add_param(f, r.n, "any", shape_of(0, 0, 0), 1, 0);
    r.v = add_param(f, r.n, "V", shape_of(1, 3, 0), 1, 0);
    r.i = rxn__network_add_variable(r.n, name_of(f, "i"), 0, 2);
    return r;
}

static Expr
random_rate(Fixture *f, Rates *r, u32 depth, bool in_sum)
{
    static const ExprOp unary[] = {EXPR_NEG,   EXPR_ABS,   EXPR_SQRT,  EXPR_EXP,     EXPR_LOG,
                                   EXPR_SIN,   EXPR_COS,   EXPR_TANH,  EXPR_SIGMOID, EXPR_SOFTPLUS,
                                   EXPR_FLOOR, EXPR_LOG1P, EXPR_EXPM1, EXPR_CEIL,    EXPR_SIN};
    static const ExprOp binary[] = {EXPR_ADD, EXPR_SUB, EXPR_MUL, EXPR_DIV,
                                    EXPR_MIN, EXPR_MAX, EXPR_MUL, EXPR_ADD};
    static const double numbers[] = {0.5, 1, 2, 3, -1, -2.5};
    Network *n = r->n;
    if (depth == 0) {
        switch (random_below(f, 9)) {
        case 0: return ref0(n, EXPR_SPECIES, r->x);
        case 1: return ref0(n, EXPR_SPECIES, r->y);
        case 2: return ref0(n, EXPR_PARAM, r->positive);
        case 3: return ref0(n, EXPR_PARAM, r->bounded);
        case 4: return ref0(n, EXPR_PARAM, r->any);
        case 5: return in_sum ? ref1(n, EXPR_PARAM, r->v, var(n, r->i)) : num(n, 1.5);
        case 6: return num(n, numbers[random_below(f, COUNT_OF(numbers))]);
        default: return time_now(n);
        }
    }
    Expr a = random_rate(f, r, random_below(f, depth), in_sum), b;
    switch (random_below(f, 10)) {
    case 0:
    case 1:
    case 2: return expr_unary(n, unary[random_below(f, COUNT_OF(unary))], a);
    case 3:
        b = rxn__expr(n, EXPR_LT, (Expr[]){a, random_rate(f, r, random_below(f, depth), in_sum)});
        return select_of(n, b, a, random_rate(f, r, random_below(f, depth), in_sum));
    case 4:
        b = num(n, (double[]){3, 4, -1, -2, 0.5, -1.5, 1.7}[random_below(f, 7)]);
        return expr_binary(n, EXPR_POW, a, b);
    case 5:
        if (in_sum)
            return expr_binary(n, EXPR_POW, a, random_rate(f, r, random_below(f, depth), true));
        b = random_rate(f, r, random_below(f, depth), true);
        return rxn__expr_object(n, random_below(f, 2) ? EXPR_SUM : EXPR_PROD, r->i, 1, &b);
    default:
        b = random_rate(f, r, random_below(f, depth), in_sum);
        return expr_binary(n, binary[random_below(f, COUNT_OF(binary))], a, b);
    }
}

static void
bounds_are_never_exceeded(void **state)
{
    Fixture *f = *state;
    u32 bounded = 0, refused = 0, finite = 0, compared = 0;
    for (u32 round = 0; round < 4000; round++) {
        Rates r = rates(f);
        Network *n = r.n;
        Expr rate = random_rate(f, &r, 5, false);
        if (!rxn__expr_uses(n, rate).time)
            continue;
        Reaction *reaction = add_law(f, n, "r", rate);
        product(n, reaction, 1, r.x, 0);
        observe(f, n, "o", num(n, 1));
        assert_true(rxn__network_number(n));
        Diagnostics diagnostics;
        rxn__diagnostics_init(&diagnostics, &f->arena, &f->sources);
        rxn__network_bounds(n, &diagnostics);
        Expr bound = n->reactions.items[0].bound;
        if (diagnostics.error_count > 0) {
            assert_int_equal(bound, 0);
            refused++;
            continue;
        }
        assert_true(bound != 0 && !rxn__expr_uses(n, bound).time);
        bounded++;
        assert_sound(f, n);
        for (u32 window = 0; window < 8; window++) {
            double low = random_below(f, 2) ? 0 : random_between(f, 0, 6);
            double high = low + random_between(f, 0.01, window % 2 ? 0.3 : 6);
            double params[6] = {random_between(f, 0.5, 3), random_between(f, -0.9, 0.9),
                                random_between(f, -3, 3),  random_between(f, -2, 2),
                                random_between(f, -2, 2),  random_between(f, -2, 2)};
            double species[2] = {random_below(f, 8), random_below(f, 8)};
            ExprValues values = {.species = species,
                                 .params = params,
                                 .window = true,
                                 .time_low = low,
                                 .time_high = high,
                                 .time_middle = (low + high) / 2};
            double limit = rxn__expr_evaluate(n, bound, &values);
            finite += isfinite(limit);
            for (u32 point = 0; point < 20; point++) {
                values.time = point == 0 ? low : point == 1 ? high : random_between(f, low, high);
                double value = rxn__expr_evaluate(n, rate, &values);
                if (!isfinite(value) || !isfinite(limit))
                    continue; /* either is a fault in a run */
                compared++;
                /* The limit is widened in proportion to itself; rates below zero are faults anyway.
                 * */
                if (value > 0 && value > limit)
                    fail_msg("round %u: rate %.17g above the bound %.17g\n%s", round, value, limit,
                             printed(f, n));
            }
        }
    }
    assert_true(bounded > 1500 && finite > 8000 && compared > 100000);
    assert_true(refused < bounded / 4);
}

static Expr
bound_of(Fixture *f, Network *n, Expr rate)
{
    n->reactions.count = 0;
    Reaction *reaction = add_law(f, n, "r", rate);
    (void)reaction;
    rxn__diagnostics_init(&f->diagnostics, &f->arena, &f->sources);
    rxn__network_bounds(n, &f->diagnostics);
    return n->reactions.items[0].bound;
}

static void
bounds_are_tight_where_it_is_easy(void **state)
{
    Fixture *f = *state;
    Rates r = rates(f);
    Network *n = r.n;
    Expr t = time_now(n), k = ref0(n, EXPR_PARAM, r.positive), a = ref0(n, EXPR_PARAM, r.any);
    Expr one = num(n, 1), x = ref0(n, EXPR_SPECIES, r.x);
    double params[6] = {2, 0.5, -0.8, 0, 0, 0}, species[2] = {4, 0};
    ExprValues values = {.params = params,
                         .species = species,
                         .window = true,
                         .time_low = 2,
                         .time_high = 3,
                         .time_middle = 2.5};
    const double wide = 1 + 0x1p-20;
    /* k X (1 + a sin(t)) */
    Expr swing =
        expr_binary(n, EXPR_ADD, one, expr_binary(n, EXPR_MUL, a, expr_unary(n, EXPR_SIN, t)));
    Expr rate = expr_binary(n, EXPR_MUL, expr_binary(n, EXPR_MUL, k, x), swing);
    assert_true(
        nearly(rxn__expr_evaluate(n, bound_of(f, n, rate), &values), 8 * 1.8 * wide, 1e-15));
    /* k exp(-t/5): the start of the window */
    Expr decay =
        expr_unary(n, EXPR_EXP, expr_binary(n, EXPR_DIV, expr_unary(n, EXPR_NEG, t), num(n, 5)));
    rate = expr_binary(n, EXPR_MUL, k, decay);
    assert_true(
        nearly(rxn__expr_evaluate(n, bound_of(f, n, rate), &values), 2 * exp(-0.4) * wide, 1e-15));
    /* X / (1 + t) */
    rate = expr_binary(n, EXPR_DIV, x, expr_binary(n, EXPR_ADD, one, t));
    assert_true(
        nearly(rxn__expr_evaluate(n, bound_of(f, n, rate), &values), 4.0 / 3 * wide, 1e-15));
    /* t^3 / (k^3 + t^3): more than its supremum 1, but bounded in the window */
    Expr cube = expr_binary(n, EXPR_POW, t, num(n, 3));
    rate = expr_binary(n, EXPR_DIV, cube,
                       expr_binary(n, EXPR_ADD, expr_binary(n, EXPR_POW, k, num(n, 3)), cube));
    assert_true(
        nearly(rxn__expr_evaluate(n, bound_of(f, n, rate), &values), 27.0 / 16 * wide, 1e-14));
    /* a singularity inside the window makes the bound infinite, outside it does not */
    rate = expr_binary(n, EXPR_DIV, one, expr_binary(n, EXPR_SUB, t, a));
    assert_true(isfinite(rxn__expr_evaluate(n, bound_of(f, n, rate), &values)));
    params[2] = 2.5;
    assert_true(isinf(rxn__expr_evaluate(n, bound_of(f, n, rate), &values)));
    assert_int_equal(f->diagnostics.error_count, 0);
}

static void
assert_no_bound(Fixture *f, Network *n, Expr rate, const char *why)
{
    assert_int_equal(bound_of(f, n, rate), 0);
    assert_int_equal(f->diagnostics.error_count, 1);
    assert_int_equal(f->diagnostics.list.count, 3);
    assert_string_equal(f->diagnostics.list.items[0].message,
                        "cannot derive an upper bound of this time-dependent rate");
    assert_int_equal(f->diagnostics.list.items[0].span.begin, 10);
    assert_string_equal(f->diagnostics.list.items[1].message, why);
    assert_string_equal(f->diagnostics.list.items[2].message,
                        "give one: '@ rate bound B', with B at least the rate at every time");
}

static void
rates_without_bound_are_errors(void **state)
{
    Fixture *f = *state;
    Rates r = rates(f);
    Network *n = r.n;
    Expr t = time_now(n), one = num(n, 1), x = ref0(n, EXPR_SPECIES, r.x);
    assert_no_bound(f, n, expr_binary(n, EXPR_MUL, x, expr_unary(n, EXPR_TAN, t)),
                    "the tangent of an expression of time has no bound");
    assert_no_bound(f, n, expr_binary(n, EXPR_DIV, x, expr_unary(n, EXPR_SIN, t)),
                    "it divides by an expression of time that passes through zero");
    assert_no_bound(f, n, expr_binary(n, EXPR_POW, expr_unary(n, EXPR_COS, t), num(n, 0.5)),
                    "it takes a power of what may be negative");
    /* but the sine of a tangent is bounded, and so is what the user bounds */
    assert_true(bound_of(f, n, expr_unary(n, EXPR_SIN, expr_unary(n, EXPR_TAN, t))) != 0);
    assert_int_equal(f->diagnostics.error_count, 0);
    n->reactions.items[0].propensity = expr_unary(n, EXPR_TAN, t);
    n->reactions.items[0].bound = x;
    rxn__network_bounds(n, &f->diagnostics);
    assert_int_equal(f->diagnostics.error_count, 0);
    assert_int_equal(n->reactions.items[0].bound, x);
    n->reactions.items[0].bound = t;
    rxn__network_bounds(n, &f->diagnostics);
    assert_int_equal(f->diagnostics.error_count, 1);
    /* a bound that is not needed is dropped */
    rxn__diagnostics_init(&f->diagnostics, &f->arena, &f->sources);
    n->reactions.items[0].propensity = x;
    n->reactions.items[0].bound = one;
    assert_true(rxn__network_bounds(n, &f->diagnostics));
    assert_int_equal(n->reactions.items[0].bound, 0);
    /* conditions */
    n->reactions.count = 0;
    Event when = {.kind = EVENT_WHEN, .span = {30, 40}, .condition = expr_binary(n, EXPR_LT, x, t)};
    vec_push(n->arena, &n->events, when);
    n->events.items[0].condition = expr_binary(n, EXPR_EQ, t, num(n, 25));
    vec_push(n->arena, &n->events, when);
    assert_false(run_passes(f, n));
    assert_int_equal(f->diagnostics.error_count, 2 - 1); /* same error at the same span: once */
    assert_string_equal(f->diagnostics.list.items[0].message,
                        "cannot tell when this condition turns true");
}

/* ---- Conservation ---------------------------------------------------------------------------- */

static void
assert_laws_hold(const Network *n)
{
    Change changes[64];
    for (u32 i = 0; i < n->reactions.count; i++)
        for (u32 m = 0; m < n->reactions.items[i].count; m++) {
            u32 count = rxn__reaction_changes(n, &n->reactions.items[i], m, 64, changes);
            for (u32 l = 0; l < n->laws.count; l++) {
                i64 sum = 0;
                for (u32 t = 0; t < n->laws.items[l].terms.count; t++)
                    for (u32 c = 0; c < count; c++)
                        if (changes[c].species == n->laws.items[l].terms.items[t].member)
                            sum += n->laws.items[l].terms.items[t].coefficient * changes[c].delta;
                assert_int_equal(sum, 0);
            }
        }
}

/* Rank of the change matrix modulo a large prime: with overwhelming probability that over the
 * rationals. */
static u32
rank_modulo(Fixture *f, const Network *n)
{
    const u64 prime = 2147483647;
    u32 rows = n->reaction_count, columns = n->species_count, rank = 0;
    u64 *m = NEW_ARRAY(&f->arena, u64, (size_t)rows * columns);
    Change changes[64];
    for (u32 flat = 0; flat < rows; flat++) {
        u32 member;
        const Reaction *reaction = rxn__reaction_of_flat(n, flat, &member);
        u32 count = rxn__reaction_changes(n, reaction, member, 64, changes);
        for (u32 c = 0; c < count; c++)
            m[(size_t)flat * columns + changes[c].species] =
                (u64)(changes[c].delta + (i64)prime) % prime;
    }
    for (u32 c = 0; c < columns && rank < rows; c++) {
        u32 pivot = rank;
        while (pivot < rows && m[(size_t)pivot * columns + c] == 0)
            pivot++;
        if (pivot == rows)
            continue;
        for (u32 k = 0; k < columns; k++) {
            u64 swap = m[(size_t)pivot * columns + k];
            m[(size_t)pivot * columns + k] = m[(size_t)rank * columns + k];
            m[(size_t)rank * columns + k] = swap;
        }
        u64 p = m[(size_t)rank * columns + c];
        for (u32 r = rank + 1; r < rows; r++) {
            u64 q = m[(size_t)r * columns + c];
            for (u32 k = 0; k < columns && q != 0; k++)
                m[(size_t)r * columns + k] =
                    (m[(size_t)r * columns + k] * p % prime + prime * prime -
                     m[(size_t)rank * columns + k] * q % prime * 1) %
                    prime;
        }
        rank++;
    }
    return rank;
}

static void
laws_of_random_networks_hold(void **state)
{
    Fixture *f = *state;
    u32 laws = 0;
    for (u32 round = 0; round < 300; round++) {
        Network *n = new_network(f, "random");
        u32 species = 2 + random_below(f, 12), reactions = 1 + random_below(f, species + 3);
        for (u32 s = 0; s < species; s++) {
            char name[8];
            snprintf(name, sizeof name, "S%u", s);
            add_species(f, n, name, shape_of(0, 0, 0), 1);
        }
        for (u32 r = 0; r < reactions; r++) {
            char label[8];
            snprintf(label, sizeof label, "r%u", r);
            Reaction *reaction = add_law(f, n, label, num(n, 1));
            for (u32 k = 0; k <= random_below(f, 3); k++)
                reactant(n, reaction, 1 + random_below(f, 3), random_below(f, species), 0);
            for (u32 k = 0; k <= random_below(f, 3); k++)
                product(n, reaction, 1 + random_below(f, 3), random_below(f, species), 0);
        }
        observe(f, n, "o", num(n, 1));
        assert_true(rxn__network_number(n));
        rxn__network_conserve(n);
        assert_false(n->laws_skipped);
        assert_laws_hold(n);
        assert_int_equal(n->laws.count, n->species_count - rank_modulo(f, n));
        assert_false(rxn__network_conserve(n));
        assert_sound(f, n);
        assert_reads_back(f, n);
        laws += n->laws.count;
    }
    assert_true(laws > 200);
}

static void
assert_law(const Network *n, u32 law, u32 count, const struct LawTerm *terms)
{
    assert_int_equal(n->laws.items[law].terms.count, count);
    for (u32 i = 0; i < count; i++) {
        assert_int_equal(n->laws.items[law].terms.items[i].member, terms[i].member);
        assert_int_equal(n->laws.items[law].terms.items[i].coefficient, terms[i].coefficient);
    }
}

static void
laws_are_the_ones_a_chemist_writes(void **state)
{
    Fixture *f = *state;
    Network *n = new_network(f, "dimer");
    u32 m = add_species(f, n, "M", shape_of(0, 0, 0), 100),
        d = add_species(f, n, "D", shape_of(0, 0, 0), 0);
    Reaction *r = add_law(f, n, "bind", num(n, 1));
    reactant(n, r, 2, m, 0);
    product(n, r, 1, d, 0);
    r = add_law(f, n, "unbind", num(n, 1));
    reactant(n, r, 1, d, 0);
    product(n, r, 2, m, 0);
    rxn__network_number(n);
    assert_true(rxn__network_conserve(n));
    assert_int_equal(n->laws.count, 1);
    assert_law(n, 0, 2, (struct LawTerm[]){{m, 1}, {d, 2}});

    n = new_network(f, "enzyme");
    u32 s = add_species(f, n, "S", shape_of(0, 0, 0), 100),
        e = add_species(f, n, "E", shape_of(0, 0, 0), 10);
    u32 es = add_species(f, n, "ES", shape_of(0, 0, 0), 0),
        p = add_species(f, n, "P", shape_of(0, 0, 0), 0);
    r = add_law(f, n, "bind", num(n, 1));
    reactant(n, r, 1, s, 0);
    reactant(n, r, 1, e, 0);
    product(n, r, 1, es, 0);
    r = add_law(f, n, "turn", num(n, 1));
    reactant(n, r, 1, es, 0);
    product(n, r, 1, e, 0);
    product(n, r, 1, p, 0);
    rxn__network_number(n);
    assert_true(rxn__network_conserve(n));
    assert_int_equal(n->laws.count, 2);
    assert_law(n, 0, 3, (struct LawTerm[]){{s, 1}, {es, 1}, {p, 1}});
    assert_law(n, 1, 2, (struct LawTerm[]){{e, 1}, {es, 1}});

    /* a line of 500 sites with hopping both ways: too long for Farkas, still one law of ones */
    n = new_network(f, "line");
    u32 x = add_species(f, n, "X", shape_of(1, 500, 0), 1);
    u32 site = rxn__network_add_variable(n, name_of(f, "s"), 0, 498);
    Expr next = expr_binary(n, EXPR_ADD, var(n, site), num(n, 1));
    r = add_law(f, n, "hop", ref1(n, EXPR_SPECIES, x, var(n, site)));
    over(r, site);
    reactant(n, r, 1, x, var(n, site));
    product(n, r, 1, x, next);
    rxn__network_number(n);
    assert_true(rxn__network_conserve(n));
    assert_int_equal(n->laws.count, 1);
    assert_int_equal(n->laws.items[0].terms.count, 500);
    for (u32 k = 0; k < 500; k++)
        assert_int_equal(n->laws.items[0].terms.items[k].coefficient, 1);
}

/* ---- Traits and dependencies ----------------------------------------------------------------- */

/* A random network of families over X[4], Y, with sums, selects and neighbours. */
static Network *
random_families(Fixture *f)
{
    Network *n = new_network(f, "families");
    u32 x = add_species(f, n, "X", shape_of(1, 4, 0), 1),
        y = add_species(f, n, "Y", shape_of(0, 0, 0), 1);
    u32 z = add_species(f, n, "Z", shape_of(2, 2, 3), 1);
    for (u32 k = 0; k < 5; k++) {
        u32 s = rxn__network_add_variable(n, name_of(f, "s"), 0, 2);
        u32 q = rxn__network_add_variable(n, name_of(f, "q"), 0, 1);
        Expr here = var(n, s), next = expr_binary(n, EXPR_ADD, here, num(n, 1));
        Expr pool[6];
        pool[0] = ref1(n, EXPR_SPECIES, x, here);
        pool[1] = ref1(n, EXPR_SPECIES, x, next);
        pool[2] = ref0(n, EXPR_SPECIES, y);
        pool[3] = ref2(n, EXPR_SPECIES, z, var(n, q), here);
        pool[3] = rxn__expr_object(n, EXPR_SUM, q, 1, &pool[3]);
        pool[4] = select_of(n, expr_binary(n, EXPR_EQ, here, num(n, 1)), pool[2], pool[0]);
        pool[5] = num(n, 2);
        Expr law = pool[random_below(f, 6)];
        for (u32 m = 0; m < random_below(f, 3); m++)
            law = expr_binary(n, random_below(f, 2) ? EXPR_ADD : EXPR_MUL, law,
                              pool[random_below(f, 6)]);
        char label[8];
        snprintf(label, sizeof label, "r%u", k);
        Reaction *r = add_law(f, n, label, law);
        over(r, s);
        reactant(n, r, 1, x, random_below(f, 2) ? here : next);
        if (random_below(f, 2))
            product(n, r, 1 + random_below(f, 2), x, here);
        else
            product(n, r, 1, y, 0);
    }
    observe(f, n, "Y", ref0(n, EXPR_SPECIES, y));
    assert_true(rxn__network_number(n));
    assert_sound(f, n);
    return n;
}

/* Does the member's propensity change when this species does? By trying. */
static bool
reads_by_trying(Fixture *f, Network *n, Expr propensity, u32 species)
{
    double state[16];
    for (u32 round = 0; round < 12; round++) {
        for (u32 s = 0; s < n->species_count; s++)
            state[s] = 1 + random_below(f, 50);
        ExprValues values = {.species = state};
        double before = rxn__expr_evaluate(n, propensity, &values);
        state[species] += 1 + random_below(f, 7);
        if (rxn__expr_evaluate(n, propensity, &values) != before)
            return true;
    }
    return false;
}

static void
dependencies_are_those_of_brute_force(void **state)
{
    Fixture *f = *state;
    u32 edges = 0;
    for (u32 round = 0; round < 100; round++) {
        Network *n = random_families(f);
        DependencyGraph graph;
        assert_true(rxn__network_dependencies(n, &f->arena, 1000000, NULL, &graph));
        assert_int_equal(graph.reaction_count, n->reaction_count);
        u32 count = graph.start[graph.reaction_count];
        for (u32 j = 0; j < n->reaction_count; j++) {
            u32 member;
            const Reaction *from = rxn__reaction_of_flat(n, j, &member);
            Change changes[8];
            u32 changed = rxn__reaction_changes(n, from, member, 8, changes);
            u32 at = graph.start[j];
            for (u32 k = 0; k < n->reaction_count; k++) {
                u32 to_member;
                const Reaction *to = rxn__reaction_of_flat(n, k, &to_member);
                Expr propensity = rxn__reaction_member_propensity(n, to, to_member);
                bool depends = false;
                for (u32 c = 0; c < changed; c++)
                    depends |= reads_by_trying(f, n, propensity, changes[c].species);
                bool listed = at < graph.start[j + 1] && graph.target[at] == k;
                if (depends != listed)
                    fail_msg("round %u: %u -> %u is %sthere\n%s", round, j, k, listed ? "" : "not ",
                             printed(f, n));
                at += listed;
            }
            assert_int_equal(at, graph.start[j + 1]);
        }
        if (count > 0)
            assert_false(rxn__network_dependencies(n, &f->arena, count - 1, NULL, &graph));
        assert_true(rxn__network_dependencies(n, &f->arena, count, NULL, &graph));
        edges += count;
        u32 *reads;
        u32 read_count = rxn__reaction_reads(n, &n->reactions.items[0], 1, &f->arena, &reads);
        for (u32 k = 1; k < read_count; k++)
            assert_true(reads[k - 1] < reads[k]);
        rxn__network_classify(n);
        assert_int_equal(n->traits.dependency_edges, count);
    }
    assert_true(edges > 1000);
}

static void
traits(void **state)
{
    Fixture *f = *state;
    Network *n = gene_layer(f, 3, 2);
    assert_true(run_passes(f, n));
    assert_true(n->traits.affine && n->traits.has_families);
    assert_false(n->traits.all_mass_action || n->traits.monomolecular || n->traits.time_dependent);
    assert_int_equal(n->traits.dependency_edges, 4); /* on[g] and off[g] both refresh off[g] */
    assert_int_equal(n->traits.widest_change, 1);

    n = new_network(f, "dimer");
    u32 m = add_species(f, n, "M", shape_of(0, 0, 0), 100);
    Expr sm = ref0(n, EXPR_SPECIES, m);
    Reaction *r = add_law(f, n, "decay", sm);
    r->mass_action = true;
    r->rate = num(n, 1);
    reactant(n, r, 1, m, 0);
    observe(f, n, "M", sm);
    rxn__network_number(n);
    assert_true(run_passes(f, n));
    assert_true(n->traits.all_mass_action && n->traits.monomolecular && n->traits.affine);
    assert_false(n->traits.has_families);
    r = &n->reactions.items[0];
    r->reactants.items[0].coefficient = 2;
    sm = ref0(n, EXPR_SPECIES, m);
    r->propensity = rxn__expr_choose(n, sm, 2);
    assert_true(rxn__network_classify(n));
    assert_true(n->traits.all_mass_action);
    assert_false(n->traits.monomolecular || n->traits.affine);
    assert_false(rxn__network_classify(n));
    r->propensity = select_of(n, expr_binary(n, EXPR_LT, time_now(n), num(n, 3)),
                              expr_binary(n, EXPR_DIV, sm, num(n, 3)), sm);
    rxn__network_classify(n);
    assert_true(n->traits.affine && n->traits.time_dependent);
    r->propensity = expr_binary(n, EXPR_DIV, num(n, 3), sm);
    rxn__network_classify(n);
    assert_false(n->traits.affine || n->traits.time_dependent);
}

/* ---- All together ---------------------------------------------------------------------------- */

static void
passes_keep_the_values_of_random_networks(void **state)
{
    Fixture *f = *state;
    for (u32 round = 0; round < 300; round++) {
        Rates r = rates(f);
        Network *n = r.n;
        Expr here = var(n, r.i);
        u32 a = add_species(f, n, "A", shape_of(1, 3, 0), 1);
        for (u32 k = 0; k < 3; k++) {
            char label[8];
            snprintf(label, sizeof label, "r%u", k);
            Expr rate = random_rate(f, &r, 5, true);
            Reaction *reaction = add_law(f, n, label, rate);
            over(reaction, r.i);
            product(n, reaction, 1, a, here);
            reaction->bound = num(n, 1e6);
        }
        observe(f, n, "o", random_rate(f, &r, 4, false));
        assert_true(rxn__network_number(n));
        assert_sound(f, n);
        Network *plain = assert_reads_back(f, n);
        assert_true(run_passes(f, n));
        assert_reads_back(f, n);
        rxn__network_share(n); /* classifying has expanded members */
        assert_false(rxn__network_share(n));
        for (u32 point = 0; point < 5; point++) {
            double params[6], species[5];
            for (u32 k = 0; k < 6; k++)
                params[k] = random_between(f, 0.1, 3);
            for (u32 k = 0; k < 5; k++)
                species[k] = random_below(f, 9);
            ExprValues values = {.params = params, .species = species};
            values.time = random_between(f, 0, 9);
            for (u32 k = 0; k < 3; k++)
                for (u32 m = 0; m < 3; m++) {
                    Expr x = rxn__reaction_member_propensity(n, &n->reactions.items[k], m);
                    Expr y = rxn__reaction_member_propensity(plain, &plain->reactions.items[k], m);
                    double before = rxn__expr_evaluate(plain, y, &values);
                    double after = rxn__expr_evaluate(n, x, &values);
                    assert_true(nearly(before, after, 1e-13));
                }
            assert_true(nearly(
                rxn__expr_evaluate(n, n->observables.items[0].value, &values),
                rxn__expr_evaluate(plain, plain->observables.items[0].value, &values), 1e-13));
        }
    }
}

static void
note_pass(void *context, const char *pass, const Network *network)
{
    Text *text = context;
    assert_non_null(network);
    rxn__text_printf(text, "%s ", pass);
}

static void
passes_report_their_names_and_ours(void **state)
{
    Fixture *f = *state;
    Network *n = gene_layer(f, 3, 2);
    Text seen;
    const char *internal;
    rxn__text_init(&seen, &f->arena);
    assert_true(rxn__network_passes(n, &f->diagnostics, &f->arena, note_pass, &seen, &internal));
    assert_string_equal(seen.data, "share windows bounds hoist share-again conserve classify ");
    n = gene_layer(f, 3, 2);
    n->reaction_count++; /* a broken network is noticed after the first pass */
    assert_false(rxn__network_passes(n, &f->diagnostics, &f->arena, NULL, NULL, &internal));
    assert_string_equal(internal,
                        "network pass 'share': the flat numbers do not follow from the shapes");
}

static double
milliseconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)(now.tv_sec - start->tv_sec) * 1e3 +
           (double)(now.tv_nsec - start->tv_nsec) * 1e-6;
}

/* Sizes that would show anything quadratic at once; the limits are generous for sanitizers and
 * debug checks. */
static void
large_networks_take_linear_time(void **state)
{
    Fixture *f = *state;
    struct timespec start;
    Network *n = gene_layer(f, 784, 256);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    assert_true(run_passes(f, n));
    double layer = milliseconds_since(&start);
    assert_int_equal(n->traits.dependency_edges, 512);
    assert_true(n->exprs.count < 60);

    const u32 species = 1100, reactions = 24000;
    n = new_network(f, "unrolled");
    for (u32 s = 0; s < species; s++) {
        char name[8];
        snprintf(name, sizeof name, "S%u", s);
        add_species(f, n, name, shape_of(0, 0, 0), 1);
    }
    for (u32 r = 0; r < reactions; r++) {
        char label[8];
        snprintf(label, sizeof label, "r%u", r);
        u32 a = random_below(f, species), b = random_below(f, species),
            c = random_below(f, species);
        Expr rate = num(n, random_between(f, 0, 1));
        Expr law = expr_binary(n, EXPR_MUL, rate, ref0(n, EXPR_SPECIES, a));
        Reaction *reaction =
            add_law(f, n, label, expr_binary(n, EXPR_MUL, law, ref0(n, EXPR_SPECIES, b)));
        reactant(n, reaction, 1, a, 0);
        reactant(n, reaction, 1, b, 0);
        product(n, reaction, 1, c, 0);
        product(n, reaction, 1, b, 0);
    }
    observe(f, n, "S0", ref0(n, EXPR_SPECIES, 0));
    assert_true(rxn__network_number(n));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    assert_true(run_passes(f, n));
    double unrolled = milliseconds_since(&start);
    assert_int_equal(n->laws.count,
                     1); /* every reaction turns one into one: all together are conserved */
    print_message("# passes: 200,704 weights %.1f ms, 24,000 reactions %.1f ms\n", layer, unrolled);
    assert_true(layer < 1000 && unrolled < 20000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sums_are_hoisted_into_arrays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_sums_are_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_hoists_of_families_are_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(comparisons_of_time_become_breakpoints, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_are_never_exceeded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_are_tight_where_it_is_easy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rates_without_bound_are_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(laws_of_random_networks_hold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(laws_are_the_ones_a_chemist_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dependencies_are_those_of_brute_force, set_up, tear_down),
        cmocka_unit_test_setup_teardown(traits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(passes_keep_the_values_of_random_networks, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(passes_report_their_names_and_ours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_networks_take_linear_time, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("network passes", tests, NULL, NULL);
}
