/* Unit tests of objectives: what `--of` means. A small ensemble of known paths stands for the
 * trajectories: atoms are read off them, functionals and outputs evaluated, and the result must be the
 * number that the expression has for that ensemble. What is said about wrong ones is tested by
 * tests/golden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/network/objective.h"
#include "compiler/sema/sema.h"

static const char model[] = "const N = 4, LATE = 6\n"
                            "index set = 3\n"
                            "species X = 1, Y = 2, H[set] = 0\n"
                            "param k = 0.5, b[set] = 2\n"
                            "let both = X + Y\n"
                            "fn square(x) = x^2\n"
                            "fn weighted(w) = sum(s in set: w*H[s])\n"
                            "0 -> X @ k\n"
                            "Y -> 0 @ k\n"
                            "for s in set { 0 -> H[s] @ b[s] }\n"
                            "observe sum2 = X + 2*Y, all = H, H[1], total = Y\n";

typedef struct Case {
    Memory memory;
    jmp_buf on_failure;
    Arena arena;
    NameTable names;
    SourceMap sources;
    Diagnostics diagnostics;
    Network *network;
} Case;

static void
elaborate(Case *c, const char *text, u32 count, const char *const *texts, u32 time_count,
          const double *times)
{
    rxn__names_init(&c->names, &c->arena);
    rxn__sources_init(&c->sources, &c->arena);
    rxn__diagnostics_init(&c->diagnostics, &c->arena, &c->sources);
    const ObjectiveRequest request = {texts, count, times, time_count};
    const SemaInput input = {.arena = &c->arena,
                             .names = &c->names,
                             .sources = &c->sources,
                             .diagnostics = &c->diagnostics,
                             .objective = &request};
    u32 file = rxn__sources_add(&c->sources, "test.rxn", text, strlen(text));
    c->network = rxn__elaborate(&input, file, NULL);
}

static Case *
begin(const char *text, u32 count, const char *const *texts, u32 time_count, const double *times)
{
    Case *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->memory.on_failure = &c->on_failure;
    rxn__arena_init(&c->arena, &c->memory);
    if (setjmp(c->on_failure) != 0)
        fail_msg("out of memory");
    elaborate(c, text, count, texts, time_count, times);
    if (!c->network || c->diagnostics.error_count > 0) {
        Text out;
        rxn__text_init(&out, &c->arena);
        rxn__diagnostics_render(&c->diagnostics, &out);
        fail_msg("%s\n%s", texts[0], out.data);
    }
    assert_null(rxn__network_check(c->network, &c->arena));
    return c;
}

static void
end(Case *c)
{
    rxn__arena_release(&c->arena);
    assert_int_equal(c->memory.used, 0);
    free(c);
}

/* ---- The ensemble: paths that jump at whole times ---------------------------------------------- */

enum { PATHS = 5, SPECIES = 5 };

static void
state_at(u32 path, double time, double *ret_species)
{
    double step = floor(time), p = path;
    ret_species[0] = 1 + p * step + (path == 2 ? step : 0);
    ret_species[1] = fmax(0, 2 + p - step);
    for (u32 s = 0; s < 3; s++)
        ret_species[2 + s] = s * step + p;
}

static const double params[] = {0.5, 2, 3, 5};

static double
evaluate(const Network *network, Expr expr, const double *species, double time,
         const double *quantities)
{
    const ExprValues values = {
        .species = species, .params = params, .time = time, .quantities = quantities};
    return rxn__expr_evaluate(network, expr, &values);
}

static double
read_atom(const Network *network, const Atom *atom, u32 path)
{
    double species[SPECIES], sum = 0;
    if (atom->kind == ATOM_STATE) {
        state_at(path, atom->to, species);
        return evaluate(network, atom->value, species, atom->to, NULL);
    }
    for (double time = atom->from; time < atom->to;) {
        double next = fmin(floor(time) + 1, atom->to);
        state_at(path, time, species);
        double value = evaluate(network, atom->value, species, NAN, NULL);
        if (atom->kind == ATOM_PASSAGE && value != 0)
            return time;
        sum += value * (next - time);
        time = next;
    }
    return atom->kind == ATOM_PASSAGE ? atom->to : sum;
}

static double
output_value(const Network *network, u32 output)
{
    const Objective *objective = network->objective;
    double *atoms = calloc(objective->atoms.count, sizeof *atoms);
    double *means = calloc(objective->functionals.count, sizeof *means);
    assert_true(atoms && means);
    for (u32 path = 0; path < PATHS; path++) {
        for (u32 i = 0; i < objective->atoms.count; i++)
            atoms[i] = read_atom(network, &objective->atoms.items[i], path);
        for (u32 i = 0; i < objective->functionals.count; i++)
            means[i] +=
                evaluate(network, objective->functionals.items[i].value, NULL, NAN, atoms) / PATHS;
    }
    double value = evaluate(network, objective->outputs.items[output].value, NULL, NAN, means);
    free(atoms);
    free(means);
    return value;
}

/* The mean of f over the paths. */
static double
mean_of(double (*f)(u32 path))
{
    double sum = 0;
    for (u32 path = 0; path < PATHS; path++)
        sum += f(path);
    return sum / PATHS;
}

static double
count_at(u32 path, u32 species, double time)
{
    double state[SPECIES];
    state_at(path, time, state);
    return state[species];
}

static double
x2(u32 p)
{
    return count_at(p, 0, 2);
}
static double
x4(u32 p)
{
    return count_at(p, 0, 4);
}
static double
y4(u32 p)
{
    return count_at(p, 1, 4);
}
static double
x44(u32 p)
{
    return x4(p) * x4(p);
}
static double
x24(u32 p)
{
    return x2(p) * x4(p);
}
static double
xy(u32 p)
{
    return x4(p) * y4(p);
}
static double
x_or_y(u32 p)
{
    return x4(p) > 6 ? x2(p) : y4(p);
}
static double
h4(u32 p)
{
    return count_at(p, 2, 4) + count_at(p, 3, 4) + count_at(p, 4, 4);
}
static double
h2_x4(u32 p)
{
    double sum = 0;
    for (u32 s = 0; s < 3; s++)
        sum += count_at(p, 2 + s, 2) * count_at(p, 2 + s, 2) * x4(p);
    return sum;
}
static double
h_last(u32 p)
{
    return count_at(p, 4, 4);
}
static double
h2_h4(u32 p)
{
    double sum = 0;
    for (u32 s = 0; s < 3; s++)
        sum += count_at(p, 2 + s, 2) * count_at(p, 2 + s, 4);
    return sum;
}
static double
weighted(u32 p)
{
    return count_at(p, 1, 0) * h4(p);
}
static double
h_product(u32 p)
{
    return (count_at(p, 2, 2) + 1) * (count_at(p, 3, 2) + 1) * (count_at(p, 4, 2) + 1);
}
static double
integral4(u32 p)
{
    return count_at(p, 0, 0) + count_at(p, 0, 1) + count_at(p, 0, 2) + count_at(p, 0, 3);
}
static double
part(u32 p)
{
    return count_at(p, 0, 1) / 2 + count_at(p, 0, 2);
}
static double
grid(u32 p)
{
    return count_at(p, 0, 0) + count_at(p, 0, 1.5) + count_at(p, 0, 3);
}
static double
first_time(u32 p)
{
    for (u32 step = 0; step < 4; step++)
        if (count_at(p, 0, step) > 4)
            return step;
    return 4;
}

static double
first_time_2(u32 p)
{
    return fmin(first_time(p), 2);
}

static void
expect(const char *text, double expected)
{
    Case *c = begin(model, 1, &text, 1, (double[]){4});
    assert_int_equal(c->network->objective->outputs.count, 1);
    assert_string_equal(c->network->objective->outputs.items[0].label, text);
    double value = output_value(c->network, 0);
    if (!(fabs(value - expected) <= 1e-12 * fabs(expected) + 1e-300))
        fail_msg("%s is %.17g, expected %.17g", text, value, expected);
    end(c);
}

static void
values_are_those_of_the_ensemble(void **state)
{
    (void)state;
    const double ex = mean_of(x4), ey = mean_of(y4), exx = mean_of(x44);
    expect("X", ex);
    expect("both", ex + ey);
    expect("sum2", ex + 2 * ey);
    expect("all[2]", mean_of(h_last));
    expect("H[1]", mean_of(h4) / 3);
    expect("sum(s in set: H[s])", mean_of(h4));
    expect("3*X - Y/2 + k", 3 * ex - ey / 2 + 0.5);
    expect("X*t + t", 4 * ex + 4);
    expect("square(X)", exx);
    expect("at(X, 2)", mean_of(x2));
    expect("at(X, N/2)*X", mean_of(x24));
    expect("at(X, 2) - X", mean_of(x2) - ex);
    expect("at(X*t, 2)", 2 * mean_of(x2));
    expect("if X > 6 then at(X, 2) else Y", mean_of(x_or_y));
    expect("integral(X)", mean_of(integral4));
    expect("average(X)", mean_of(integral4) / 4);
    expect("integral(X, 1.5, 3)", mean_of(part));
    expect("average(X, 1.5, 3)", mean_of(part) / 1.5);
    expect("total(X, 0, 3, 1.5)", mean_of(grid));
    expect("total(X, 0, 4.4, 1.5)", mean_of(grid));
    expect("total + total(X, 0, 3, 1.5)", ey + mean_of(grid));
    expect("sum(i in 0 .. 3: at(X, i))", mean_of(integral4));
    expect("sum(i in 0 .. 1: sum(j in 2*i .. 2*i + 1: at(X, j)))", mean_of(integral4));
    expect("mean(sum(i in 0 .. 3: at(X, i)))*t", 4 * mean_of(integral4));
    expect("sum(s in set: mean(at(H[s], 4)))", mean_of(h4));
    expect("passage(X > 4)", mean_of(first_time));
    expect("passage(X > 4, 2)", mean_of(first_time_2));
    expect("mean(X)", ex);
    expect("mean(X)^2", ex * ex);
    expect("var(X)", exx - ex * ex);
    expect("sd(X)", sqrt(exx - ex * ex));
    expect("cov(X, Y)", mean_of(xy) - ex * ey);
    expect("cov(at(X, 2), X)", mean_of(x24) - mean_of(x2) * ex);
    expect("var(X)/mean(X) + k*t", (exx - ex * ex) / ex + 2);
    expect("mean(passage(X > 4))*mean(Y)", mean_of(first_time) * ey);
    expect("sum(s in set: at(H[s], 2)^2 * X)", mean_of(h2_x4));
    expect("sum(s in set: at(H[s], 2)*H[s])", mean_of(h2_h4));
    expect("prod(s in set: at(H[s], 2) + 1)", mean_of(h_product));
    expect("weighted(at(Y, 0))", mean_of(weighted));
}

/* ---- The normal form --------------------------------------------------------------------------- */

static const Objective *
form(Case **ret_case, const char *text, u32 atoms, u32 functionals)
{
    *ret_case = begin(model, 1, &text, 2, (double[]){2, 4});
    const Objective *objective = (*ret_case)->network->objective;
    if (objective->atoms.count != atoms || objective->functionals.count != functionals)
        fail_msg("%s has %u atoms and %u functionals", text, objective->atoms.count,
                 objective->functionals.count);
    return objective;
}

static void
equal_things_are_shared(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        u32 atoms, functionals;
    } rows[] = {
        {"X", 2, 2},
        {"2*mean(X) - mean(X)^2", 2, 2},
        {"var(X)", 4, 4},
        {"sd(X)/mean(X)", 4, 4},
        {"X*Y + H[0]*k", 2, 2},        /* one expression at one time is one atom */
        {"at(X, 1) + at(X, 3)", 2, 2}, /* two times, two functionals */
        {"at(X, 1) * at(X, 3)", 2, 1}, /* but a product is one */
        {"at(X, 1) + at(X, 1)", 1, 1},
        {"integral(X)/t + average(X)", 2, 2},
        {"total(X, 0, 10, 1)", 11, 11},
        {"total(X, 0, 100, 1)", 101, 1}, /* too many to split */
        {"total(X, 0, 10, 1)^2", 11, 1},
        {"mean(at(X, 1)) + mean(at(X, 1)*Y)", 3, 3},
    };
    for (u32 i = 0; i < COUNT_OF(rows); i++) {
        Case *c;
        form(&c, rows[i].text, rows[i].atoms, rows[i].functionals);
        end(c);
    }
}

static void
times_and_ends(void **state)
{
    (void)state;
    Case *c;
    const Objective *objective = form(&c, "at(X, 1)*Y + integral(X, 3, 7) + X", 6, 3);
    static const double times[] = {1, 2, 3, 4, 7};
    assert_int_equal(objective->times.count, COUNT_OF(times));
    for (u32 i = 0; i < COUNT_OF(times); i++)
        assert_true(objective->times.items[i] == times[i]);
    assert_true(objective->end == 7);
    assert_true(objective->functionals.items[0].last == 2);
    assert_true(objective->functionals.items[1].last == 7);
    assert_true(objective->functionals.items[2].last == 4);
    assert_int_equal(objective->outputs.count, 2);
    assert_true(objective->outputs.items[1].time == 4);
    end(c);
}

static void
outputs_in_order_of_texts_and_times(void **state)
{
    (void)state;
    static const char *const texts[] = {" X ", "at(Y, 3)", "Y"};
    Case *c = begin(model, 3, texts, 2, (double[]){4, 2});
    const Objective *objective = c->network->objective;
    assert_int_equal(objective->outputs.count, 5);
    assert_string_equal(objective->outputs.items[0].label, "X");
    assert_true(objective->outputs.items[0].time == 4);
    assert_true(objective->outputs.items[1].time == 2);
    assert_true(isnan(objective->outputs.items[2].time));
    assert_string_equal(objective->outputs.items[4].label, "Y");
    end(c);
    static const char *const own_times[] = {"at(X, 1)", "passage(X > 3, 5)"};
    c = begin(model, 2, own_times, 0, NULL);
    assert_int_equal(c->network->objective->outputs.count, 2);
    end(c);
}

static void
linear_outputs_are_taken_apart(void **state)
{
    (void)state;
    static const char *const texts[] = {"3*mean(X) - mean(at(Y, 1))/2 + k", "k*mean(X)", "var(X)"};
    Case *c = begin(model, 3, texts, 1, (double[]){2});
    OutputTerms terms;
    assert_true(rxn__output_terms(c->network, 0, &c->arena, &terms));
    assert_int_equal(terms.terms.count, 2);
    assert_true(terms.numbers);
    assert_true(evaluate(c->network, terms.terms.items[0].coefficient, NULL, 0, NULL) == 3);
    assert_true(evaluate(c->network, terms.terms.items[1].coefficient, NULL, 0, NULL) == -0.5);
    assert_true(evaluate(c->network, terms.constant, NULL, 0, NULL) == 0.5);
    assert_true(rxn__output_terms(c->network, 1, &c->arena, &terms));
    assert_false(terms.numbers);
    assert_false(rxn__output_terms(c->network, 2, &c->arena, &terms));
    end(c);
}

static void
facts_of_functionals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool affine, one_time, differentiable, explicit_params;
    } rows[] = {
        {"X", true, true, true, false},
        {"k*X + 3*Y", true, true, true, true},
        {"k*X", true, true, true, true},
        {"sum(s in set: b[s]*H[s])", true, true, true, true},
        {"X*Y", false, true, true, false},
        {"at(X, 1)*X", false, false, true, false},
        {"integral(3*X)", true, false, true, false},
        {"integral(X^2)", false, false, true, false},
        {"total(X, 0, 20, 1)", true, false, true, false},
        {"if X > 3 then 1 else 0", false, true, false, false},
        {"floor(X/2)", false, true, false, false},
        {"abs(X - 3)", false, true, true, false},
        {"passage(X > 3)", false, false, false, false},
        {"if at(X, 1) > 2 then X else 0", false, false, false, false},
        {"if k > 2 then X else Y", true, true, true, true},
        {"exp(X)", false, true, true, false},
    };
    for (u32 i = 0; i < COUNT_OF(rows); i++) {
        Case *c = begin(model, 1, &rows[i].text, 1, (double[]){2});
        FunctionalFacts facts;
        rxn__functional_facts(c->network, 0, &c->arena, &facts);
        if (facts.affine != rows[i].affine || facts.one_time != rows[i].one_time ||
            facts.differentiable != rows[i].differentiable ||
            facts.explicit_params != rows[i].explicit_params)
            fail_msg("%s: affine %d, one time %d, differentiable %d, explicit %d", rows[i].text,
                     facts.affine, facts.one_time, facts.differentiable, facts.explicit_params);
        end(c);
    }
}

/* ---- In the network ---------------------------------------------------------------------------- */

static void
passes_and_text_form(void **state)
{
    (void)state;
    static const char *const texts[] = {"sum(s in set: H[s]*exp(b[s]))", "var(X)",
                                        "passage(X > 3) * integral(Y)", "total(X, 0, 10, 2)"};
    Case *c = begin(model, 4, texts, 2, (double[]){2, 4});
    Arena scratch;
    const char *broken = NULL;
    double before[8];
    for (u32 i = 0; i < c->network->objective->outputs.count; i++)
        before[i] = output_value(c->network, i);
    rxn__arena_init(&scratch, &c->memory);
    assert_true(rxn__network_passes(c->network, &c->diagnostics, &scratch, NULL, NULL, &broken));
    assert_null(broken);
    Text first, second;
    rxn__text_init(&first, &scratch);
    rxn__text_init(&second, &scratch);
    rxn__network_print(c->network, &first);
    Network *again = NULL;
    const char *error = rxn__network_read(&scratch, &c->names, first.data, first.length, &again);
    assert_null(error);
    rxn__network_print(again, &second);
    assert_string_equal(first.data, second.data);
    assert_non_null(again->objective);
    assert_int_equal(again->objective->outputs.count, 7);
    assert_true(again->objective->end == 10);
    assert_true(c->network->hoisted.count > 0);
    for (u32 i = 0; i < again->objective->outputs.count; i++) {
        assert_true(output_value(c->network, i) == before[i]);
        assert_true(output_value(again, i) == before[i]);
        assert_true(again->objective->functionals.items[i].last ==
                    c->network->objective->functionals.items[i].last);
    }
    rxn__arena_release(&scratch);
    end(c);
}

static void
absurd_requests_end(void **state)
{
    (void)state;
    const char *text = "total(X, 0, 99999, 1) + total(Y, 0, 1, 2e-5)*k";
    Case *c = begin(model, 1, &text, 0, NULL);
    assert_int_equal(c->network->objective->functionals.count, 1);
    assert_int_equal(c->network->objective->atoms.count, 100000 + 50001);
    end(c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_ensemble),
        cmocka_unit_test(equal_things_are_shared),
        cmocka_unit_test(times_and_ends),
        cmocka_unit_test(outputs_in_order_of_texts_and_times),
        cmocka_unit_test(linear_outputs_are_taken_apart),
        cmocka_unit_test(facts_of_functionals),
        cmocka_unit_test(passes_and_text_form),
        cmocka_unit_test(absurd_requests_end),
    };
    return cmocka_run_group_tests_name("objective", tests, NULL, NULL);
}
