/* Unit tests of the fit block: what a loss means. A small ensemble of known paths stands for the trajectories;
 * outputs are evaluated on it and compared with numbers that the test computes from the data by itself. What is
 * said about wrong data, which needs a FitRequest, is compared as whole texts; what can be seen without data is
 * tested by tests/golden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compiler/network/objective.h"
#include "compiler/sema/sema.h"

enum { PATHS = 5, MOST_TABLES = 4 };

/* species 0: X, 1: Y, 2 … 4: H[set]; parameters 0: k, 1: w, 2 … 4: b[set]; inputs 0: u, 1: label. */
static const char model[] = "index set = 3\n"
                            "species X = 1, Y = 2, H[set] = 0\n"
                            "param k = 0.5 in 0.01 .. 10 fit, w = 3, b[set] = 2 in 0 .. 100 fit\n"
                            "input u, label\n"
                            "let both = X + Y\n"
                            "0 -> X @ k + u\n"
                            "Y -> 0 @ k * w\n"
                            "for s in set { 0 -> H[s] @ b[s] }\n"
                            "observe X, double = 2*X\n"
                            "simulate until 4\n";

static const double params[] = {0.5, 3, 2, 4, 8}, inputs[] = {7, 1};

typedef struct Tables {
    RxnTable items[MOST_TABLES];
    const char *paths[MOST_TABLES], *texts[MOST_TABLES];
    u32 count;
    char error[512];
} Tables;

typedef struct Case {
    Memory memory;
    jmp_buf on_failure;
    Arena arena;
    NameTable names;
    SourceMap sources;
    Diagnostics diagnostics;
    Network *network;
    Tables tables;
    Fit fit;
} Case;

static const RxnTable *
load_table(void *context, const char *from, const char *path, Arena *arena,
           const char **ret_resolved, const char **ret_reason)
{
    Tables *tables = context;
    (void)from;
    (void)arena;
    for (u32 i = 0; i < tables->count; i++) {
        if (strcmp(tables->paths[i], path) != 0)
            continue;
        if (tables->items[i].path == NULL &&
            !rxn__table_parse(path, tables->texts[i], strlen(tables->texts[i]), &tables->items[i],
                              tables->error, sizeof tables->error)) {
            *ret_reason = tables->error;
            return NULL;
        }
        *ret_resolved = path;
        return &tables->items[i];
    }
    *ret_reason = "there is no such file";
    return NULL;
}

typedef struct Wanted {
    u32 experiment;
    bool measures;
    const char *data; /* --data */
} Wanted;

static Case *
elaborate(const char *head, const char *block, Wanted wanted, u32 table_count,
          const char *const (*tables)[2])
{
    Case *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->memory.on_failure = &c->on_failure;
    rxn__arena_init(&c->arena, &c->memory);
    if (setjmp(c->on_failure) != 0)
        fail_msg("out of memory");
    rxn__names_init(&c->names, &c->arena);
    rxn__sources_init(&c->sources, &c->arena);
    rxn__diagnostics_init(&c->diagnostics, &c->arena, &c->sources);
    for (u32 i = 0; i < table_count; i++) {
        c->tables.paths[i] = tables[i][0];
        c->tables.texts[i] = tables[i][1];
    }
    c->tables.count = table_count;
    const FitTables loader = {&c->tables, load_table};
    const FitRequest request = {.experiment = wanted.experiment,
                                .measures = wanted.measures,
                                .data = wanted.data,
                                .tables = &loader,
                                .ret_fit = &c->fit};
    const SemaInput input = {.arena = &c->arena,
                             .names = &c->names,
                             .sources = &c->sources,
                             .diagnostics = &c->diagnostics,
                             .fit = &request};
    Text text;
    rxn__text_init(&text, &c->arena);
    rxn__text_printf(&text, "%s%s", head, block);
    u32 file = rxn__sources_add(&c->sources, "test.rxn", text.data, text.length);
    c->network = rxn__elaborate(&input, file, NULL);
    return c;
}

static void
end(Case *c)
{
    for (u32 i = 0; i < c->tables.count; i++)
        rxn__table_release(&c->tables.items[i]);
    rxn__arena_release(&c->arena);
    assert_int_equal(c->memory.used, 0);
    free(c);
}

static Case *
begin(const char *block, Wanted wanted, const char *table)
{
    const char *const tables[][2] = {{"d.csv", table}, {"e.csv", table}};
    Case *c = elaborate(model, block, wanted, table ? 2 : 0, tables);
    if (!c->network || c->diagnostics.error_count > 0) {
        Text out;
        rxn__text_init(&out, &c->arena);
        rxn__diagnostics_render(&c->diagnostics, &out);
        fail_msg("%s\n%s", block, out.data);
    }
    assert_null(rxn__network_check(c->network, &c->arena));
    return c;
}

/* ---- The ensemble: paths that jump at whole times ---------------------------------------------- */

static void
state_at(u32 path, double time, double *ret_species)
{
    double step = floor(time), p = path;
    ret_species[0] = 1 + p * step + (path == 2 ? step : 0);
    ret_species[1] = fmax(0, 2 + p - step);
    for (u32 s = 0; s < 3; s++)
        ret_species[2 + s] = fmod(3 * s + 2 * p + step * (s + 1), 7);
}

static double
read_atom(const Network *network, const Atom *atom, u32 path)
{
    double species[5];
    ExprValues at = {.species = species, .params = params, .inputs = inputs, .time = atom->to};
    state_at(path, atom->to, species);
    assert_int_equal(atom->kind, ATOM_STATE);
    return rxn__expr_evaluate(network, atom->value, &at);
}

static double
evaluate(Case *c, Expr expr)
{
    const Objective *objective = c->network->objective;
    double *atoms = calloc(objective->atoms.count + 1, sizeof *atoms);
    double *means = calloc(objective->functionals.count + 1, sizeof *means);
    assert_true(atoms && means);
    ExprValues values = {.params = params, .inputs = inputs, .quantities = atoms};
    for (u32 path = 0; path < PATHS; path++) {
        for (u32 i = 0; i < objective->atoms.count; i++)
            atoms[i] = read_atom(c->network, &objective->atoms.items[i], path);
        for (u32 i = 0; i < objective->functionals.count; i++)
            means[i] +=
                rxn__expr_evaluate(c->network, objective->functionals.items[i].value, &values) /
                PATHS;
    }
    values.quantities = means;
    double value = rxn__expr_evaluate(c->network, expr, &values);
    free(atoms);
    free(means);
    return value;
}

static double
output(Case *c, u32 number)
{
    assert_true(number < c->network->objective->outputs.count);
    return evaluate(c, c->network->objective->outputs.items[number].value);
}

static void
assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-12 * fmax(1, fabs(expected))))
        fail_msg("%.17g, and not %.17g", found, expected);
}

/* Mean and standard deviation (with n) of X at a time. */
static double
mean_x(double time)
{
    double sum = 0, species[5];
    for (u32 path = 0; path < PATHS; path++) {
        state_at(path, time, species);
        sum += species[0];
    }
    return sum / PATHS;
}

static double
var_x(double time)
{
    double sum = 0, species[5];
    for (u32 path = 0; path < PATHS; path++) {
        state_at(path, time, species);
        sum += species[0] * species[0];
    }
    return sum / PATHS - mean_x(time) * mean_x(time);
}

/* ---- Tests ------------------------------------------------------------------------------------- */

static const char courses[] = "time,X,Y,s\n1,2,3,0.5\n2,7,1,0.25\n3.5,8.5,0,2\n";
static const double times[] = {1, 2, 3.5}, xs[] = {2, 7, 8.5}, sds[] = {0.5, 0.25, 2};

static void
test_mse_of_means(void **state)
{
    (void)state;
    Case *c = begin("fit { data \"d.csv\"; loss mse(mean(X), data.X) }", (Wanted){0}, courses);
    double sum = 0;
    for (u32 i = 0; i < 3; i++)
        sum += pow(mean_x(times[i]) - xs[i], 2) / 3;
    assert_near(output(c, 0), sum);
    assert_int_equal(c->network->objective->outputs.count, 4);
    assert_int_equal(c->fit.points.count, 3);
    assert_string_equal(c->fit.series.items[0].model, "mean(X)");
    assert_string_equal(c->fit.series.items[0].data, "data.X");
    assert_string_equal(c->fit.series.items[0].axis, "time");
    assert_string_equal(c->fit.data_path, "d.csv");
    for (u32 i = 0; i < 3; i++) {
        assert_near(output(c, 1 + i), mean_x(times[i]));
        const FitPoint *point = &c->fit.points.items[i];
        assert_near(point->x, times[i]);
        assert_near(point->data, xs[i]);
        assert_true(isnan(point->sd));
        assert_near(point->rows, 1);
        assert_near(evaluate(c, point->curvature), 2. / 3);
    }
    assert_int_equal(c->network->objective->functionals.count, 3);
    end(c);
}

/* One row of the long form, whatever its trajectory: five measurements of two times. */
static const char repeated[] = "trajectory,time,X\n1,1,2\n1,2,9\n2,1,4\n2,2,5\n3,1,9\n";

static void
test_rows_of_one_time(void **state)
{
    (void)state;
    const double first[] = {2, 4, 9}, second[] = {9, 5};
    double mse = 0, mae = 0, gaussian = 0, sampled = 0;
    for (u32 i = 0; i < 5; i++) {
        const double time = i < 3 ? 1 : 2, x = i < 3 ? first[i] : second[i - 3];
        const double own = i < 3 ? sqrt((9 + 1 + 16) / 2.) : sqrt(8);
        const double difference = mean_x(time) - x;
        mse += difference * difference / 5;
        mae += fabs(difference) / 5;
        gaussian += difference * difference / (2 * own * own) + log(own);
        double variance = var_x(time);
        sampled += difference * difference / (2 * variance) + log(variance) / 2;
    }
    Case *c = begin("fit { data \"d.csv\"; loss mse(data.X, mean(X)) }", (Wanted){0}, repeated);
    assert_near(output(c, 0), mse);
    assert_int_equal(c->fit.points.count, 2);
    assert_near(c->fit.points.items[0].data, 5);
    assert_near(c->fit.points.items[0].rows, 3);
    assert_near(c->fit.points.items[0].sd, sqrt((9 + 1 + 16) / 2. / 3));
    assert_near(evaluate(c, c->fit.points.items[0].curvature), 2 * 3 / 5.);
    end(c);
    c = begin("fit { data \"d.csv\"; loss mae(mean(X), data.X) }", (Wanted){0}, repeated);
    assert_near(output(c, 0), mae);
    assert_int_equal(c->fit.points.items[0].curvature, 0);
    end(c);
    c = begin("fit { data \"d.csv\"; loss gaussian(mean(X), data.X) }", (Wanted){0}, repeated);
    assert_near(output(c, 0), gaussian);
    assert_near(evaluate(c, c->fit.points.items[1].curvature), 2 / 8.);
    end(c);
    c = begin("fit { data \"d.csv\"; loss gaussian(mean(X), data.X, sd = sd(X)) }", (Wanted){0},
              repeated);
    assert_near(output(c, 0), sampled);
    assert_int_equal(c->fit.points.count, 4);
    assert_int_equal(c->fit.series.count, 2);
    assert_string_equal(c->fit.series.items[1].model, "sd(X)");
    assert_near(evaluate(c, c->fit.points.items[0].curvature), 3 / var_x(1));
    assert_near(output(c, 1 + 2), sqrt(var_x(1)));
    assert_near(evaluate(c, c->fit.points.items[2].curvature), 6 / var_x(1));
    assert_near(c->fit.points.items[2].data, sqrt(13));
    end(c);
}

/* How much of what there is at a time is below an edge: of X, and of data. */
static double
x_below(double time, double edge)
{
    double sum = 0, species[5];
    for (u32 path = 0; path < PATHS; path++) {
        state_at(path, time, species);
        sum += species[0] < edge;
    }
    return sum / PATHS;
}

static double
data_below(const double *data, u32 count, double edge)
{
    double sum = 0;
    for (u32 k = 0; k < count; k++)
        sum += data[k] < edge;
    return sum / count;
}

/* Single cells, in no order: four at time 1, three at 2, in any order. */
static const char cells[] = "time,t,X\n2,2,3\n1,1,2\n1,1,4\n2,2,9\n1,1,4\n2,2,3\n1,1,1\n";
static const double cells_1[] = {2, 4, 4, 1}, cells_2[] = {3, 9, 3};

/* Edges that are given: half the distance between the neighbours, or all of it at the ends. */
static void
test_cramer(void **state)
{
    (void)state;
    const double edges[] = {2, 4, 8}, widths[] = {2, 3, 4};
    double sum = 0;
    for (u32 k = 0; k < 3; k++) {
        sum += widths[k] * 4 / 7 * pow(x_below(1, edges[k]) - data_below(cells_1, 4, edges[k]), 2);
        sum += widths[k] * 3 / 7 * pow(x_below(2, edges[k]) - data_below(cells_2, 3, edges[k]), 2);
    }
    assert_true(sum > 0.1);
    const char *const blocks[] = {
        "fit { data \"d.csv\"; loss cramer(X, data.X, 2, 4, 2^3) }",
        "fit { data \"d.csv\"; loss cramer(at(X, data.t), data.X, 2, 4, 8) }",
        "fit { data \"d.csv\"; loss cramer(0.5*X, 0.5*data.X, 1, 2, 4) * 2 }",
    };
    for (u32 i = 0; i < COUNT_OF(blocks); i++) {
        Case *c = begin(blocks[i], (Wanted){0}, cells);
        assert_near(output(c, 0), sum);
        /* A probability for each edge and time, and nothing else. */
        assert_int_equal(c->network->objective->functionals.count, 6);
        assert_int_equal(c->network->objective->atoms.count, i == 1 ? 2 : 6);
        assert_int_equal(c->fit.points.count, 6);
        assert_int_equal(c->fit.series.count, 2);
        for (u32 p = 0; p < 6; p++) { /* time 2 is met first */
            const FitPoint *point = &c->fit.points.items[p];
            double scale = i == 2 ? 0.5 : 1, time = p < 3 ? 2 : 1;
            double f =
                p < 3 ? data_below(cells_2, 3, edges[p]) : data_below(cells_1, 4, edges[p - 3]);
            assert_near(point->x, edges[p % 3] * scale);
            assert_near(point->data, f);
            assert_near(point->rows, p < 3 ? 3 : 4);
            assert_near(point->sd, sqrt(f * (1 - f) / point->rows));
            assert_true(point->cumulative);
            assert_near(output(c, 1 + p), x_below(time, edges[p % 3]));
            assert_near(evaluate(c, point->curvature), 2 * widths[p % 3] * point->rows / 7);
        }
        end(c);
    }
    /* It is what its definition is, written out. */
    Case *c = begin("fit { data \"d.csv\"; loss cramer(at(X, 1), data.X, 3) }", (Wanted){0}, cells);
    Case *same = begin("fit { data \"d.csv\"; loss (probability(at(X, 1) < 3) - 2/7)^2 }",
                       (Wanted){0}, courses);
    assert_near(output(c, 0), output(same, 0));
    assert_string_equal(c->fit.series.items[0].model, "P(at(X, 1) < x)");
    assert_int_equal(c->network->objective->functionals.count, 1);
    assert_int_equal(same->network->objective->functionals.count, 1);
    end(c);
    end(same);
    c = begin("fit { data \"d.csv\"; loss cramer(X, data.X, 2, 4, 8) }", (Wanted){0}, cells);
    assert_string_equal(c->fit.series.items[0].model, "P(X < x) at 2");
    assert_string_equal(c->fit.series.items[0].axis, "X");
    end(c);
}

/* Edges that the data give. */
static void
test_edges_of_data(void **state)
{
    (void)state;
    /* Every count, and how far the model is beyond them. */
    static const double every[] = {1, 2, 3, 4, 5};
    Case *c = begin("fit { data \"d.csv\"; loss cramer(X, data.X) }", (Wanted){0},
                    "time,X\n1,1\n1,4\n1,2\n1,4\n");
    const double data[] = {1, 4, 2, 4};
    double sum = 0, beyond = 0, species[5];
    const u32 count = COUNT_OF(every);
    assert_int_equal(c->fit.points.count, count + 2);
    for (u32 k = 0; k < count; k++) {
        double width = k == 0           ? every[1] - every[0]
                       : k == count - 1 ? every[k] - every[k - 1]
                                        : (every[k + 1] - every[k - 1]) / 2;
        assert_near(c->fit.points.items[k].x, every[k]);
        sum += width * pow(x_below(1, every[k]) - data_below(data, 4, every[k]), 2);
    }
    for (u32 path = 0; path < PATHS; path++) {
        state_at(path, 1, species);
        beyond += fmax(species[0] - 5, 0) / PATHS;
        assert_true(species[0] >= 1);
    }
    assert_near(output(c, 0), sum + beyond * beyond / 4);
    assert_true(c->fit.series.items[2].aside && !c->fit.series.items[0].aside);
    assert_string_equal(c->fit.series.items[2].model, "max(X - x, 0) at 1");
    assert_near(evaluate(c, c->fit.points.items[count + 1].curvature), 2 / 4.);
    end(c);
    /* From 0 on, nothing is below; from far off all of it is beyond. */
    c = begin("fit { data \"d.csv\"; loss cramer(at(X, 3), data.X) }", (Wanted){0},
              "time,X\n1,0\n1,1\n");
    assert_int_equal(c->fit.points.count, 2 + 1);
    assert_near(c->fit.points.items[0].x, 1);
    beyond = mean_x(3) - 2 + (2 - 1) / 5.; /* the first path is at 1 */
    assert_near(output(c, 0), pow(0 - 0.5, 2) + pow(1 / 5. - 1, 2) + beyond * beyond);
    end(c);
    /* Quantiles where there are more counts than that; of numbers that are none, below 0 too. */
    char text[4096];
    size_t length = (size_t)sprintf(text, "time,X\n");
    for (u32 k = 0; k < 100; k++)
        length += (size_t)sprintf(text + length, "1,%u\n", 10 + 3 * ((k * 37) % 100));
    c = begin("fit { data \"d.csv\"; loss cramer(X, data.X, bins = 4) }", (Wanted){0}, text);
    static const double quantiles[] = {10, 86, 161, 236, 308};
    for (u32 k = 0; k < COUNT_OF(quantiles); k++)
        assert_near(c->fit.points.items[k].x, quantiles[k]);
    assert_int_equal(c->fit.points.count, COUNT_OF(quantiles) + 2);
    assert_near(c->fit.points.items[1].data, 0.26);
    end(c);
    c = begin("fit { data \"d.csv\"; loss cramer(X - 200, data.X - 200, bins = 4) }", (Wanted){0},
              text);
    assert_near(c->fit.points.items[0].x, -190);
    assert_int_equal(c->fit.points.count, COUNT_OF(quantiles) + 2);
    end(c);
    /* Bins with five data in each at least; a bin of one count that has many. */
    length = (size_t)sprintf(text, "time,X\n");
    for (u32 k = 0; k < 20; k++)
        length += (size_t)sprintf(text + length, "1,%u\n", k < 10 ? 4 : k < 14 ? 1 : 2);
    c = begin("fit { data \"d.csv\"; loss chi_square(X, data.X) }", (Wanted){0}, text);
    assert_int_equal(c->fit.points.count, 2);
    assert_near(c->fit.points.items[0].data, 0.5);
    assert_near(c->fit.points.items[1].x, 3);
    end(c);
}

static void
test_chi_square(void **state)
{
    (void)state;
    Case *c = begin("fit { data \"d.csv\"; loss chi_square(X, data.X, 2, 4) }", (Wanted){0},
                    "time,X\n1,1\n1,4\n1,2\n1,4\n2,1\n2,3\n2,5\n");
    const double data[2][4] = {{1, 4, 2, 4}, {1, 3, 5}}, edges[] = {-INFINITY, 2, 4, INFINITY};
    double sum = 0;
    for (u32 t = 0; t < 2; t++)
        for (u32 b = 0; b < 3; b++) {
            const u32 n = 4 - t;
            double q = data_below(data[t], n, edges[b + 1]) - data_below(data[t], n, edges[b]);
            double p = x_below(1 + t, edges[b + 1]) - x_below(1 + t, edges[b]);
            sum += n * (p - q) * (p - q) / q;
            const FitPoint *point = &c->fit.points.items[3 * t + b];
            assert_near(point->data, q);
            assert_near(point->sd, sqrt(q / n));
            assert_false(point->cumulative);
            assert_near(output(c, 1 + 3 * t + b), p);
            assert_near(evaluate(c, point->curvature), 2 * n / q);
        }
    assert_near(output(c, 0), sum);
    assert_int_equal(c->network->objective->functionals.count, 6);
    end(c);
}

/* Times that are made of numbers, consts and lets: fractions too. */
static void
test_times_by_name(void **state)
{
    (void)state;
    static const char named[] =
        "let step = 0.25\nconst n = 6\nfn twice(x) = 2*x\nlet late = twice(step)*n\n"
        "species X = 1, Y = 2, H[3] = 0\n"
        "param k = 0.5 fit\n0 -> X @ k\n";
    const char *const tables[][2] = {{"d.csv", "t,X\n1,2\n3,5\n"}};
    Case *c = elaborate(named,
                        "fit { data \"d.csv\"; loss mse(mean(at(X, n/4)), data.X) + mse(mean(at(X, "
                        "late)), data.X) + "
                        "mse(mean(at(X, data.t*step)), data.X) }",
                        (Wanted){0}, 1, tables);
    assert_non_null(c->network);
    const double expected[] = {0.25, 0.75, 1.5, 3};
    assert_int_equal(c->network->objective->times.count, COUNT_OF(expected));
    for (u32 i = 0; i < COUNT_OF(expected); i++)
        assert_near(c->network->objective->times.items[i], expected[i]);
    end(c);
}

static void
test_gaussian_with_given_sd(void **state)
{
    (void)state;
    double of_column = 0, of_number = 0;
    for (u32 i = 0; i < 3; i++) {
        of_column += pow(mean_x(times[i]) - xs[i], 2) / (2 * sds[i] * sds[i]) + log(sds[i]);
        of_number += pow(sqrt(var_x(times[i])) - 2 * sds[i], 2) / (2 * 0.09) + log(0.3);
    }
    Case *c = begin("fit { data \"d.csv\"; loss gaussian(mean(X), data.X, sd = data.s) + 0.5 * "
                    "gaussian(sd(X), 2*data.s, sd = 0.3) }",
                    (Wanted){0}, courses);
    assert_near(output(c, 0), of_column + 0.5 * of_number);
    assert_int_equal(c->fit.points.count, 6);
    assert_near(evaluate(c, c->fit.points.items[1].curvature), 16);
    assert_near(c->fit.points.items[1].sd, 0.25);
    assert_near(evaluate(c, c->fit.points.items[4].curvature), 0.5 / 0.09);
    end(c);
}

/* Without an expectation in it, a loss is one trajectory's. */
static void
test_losses_of_trajectories(void **state)
{
    (void)state;
    double mse = 0, mae = 0, both = 0, species[5];
    for (u32 path = 0; path < PATHS; path++)
        for (u32 i = 0; i < 3; i++) {
            state_at(path, times[i], species);
            mse += pow(species[0] - xs[i], 2) / 3 / PATHS;
            mae += fabs(species[0] - xs[i]) / 3 / PATHS;
            both += (pow(species[0] + species[1] - xs[i], 2) / (2 * 0.25) + log(0.5)) / PATHS;
        }
    Case *c = begin("fit { data \"d.csv\"; loss mse(X, data.X) }", (Wanted){0}, courses);
    assert_near(output(c, 0), mse);
    assert_near(output(c, 2), mean_x(2));
    assert_near(evaluate(c, c->fit.points.items[1].curvature), 2. / 3);
    end(c);
    c = begin("fit { data \"d.csv\"; loss k * mae(X, data.X) }", (Wanted){0}, courses);
    assert_near(output(c, 0), 0.5 * mae);
    end(c);
    c = begin("fit { data \"d.csv\"; loss gaussian(both, data.X, sd = 0.5) }", (Wanted){0},
              courses);
    assert_near(output(c, 0), both);
    end(c);
}

/* The chain rule around loss functions; where it is not linear there is no curvature. */
static void
test_expression_around(void **state)
{
    (void)state;
    double mse = 0;
    for (u32 i = 0; i < 3; i++)
        mse += pow(mean_x(times[i]) - xs[i], 2) / 3;
    Case *c = begin("fit { data \"d.csv\"; loss (k + 1) * mse(mean(X), data.X) / 4 - 3 }",
                    (Wanted){0}, courses);
    assert_near(output(c, 0), 1.5 * mse / 4 - 3);
    assert_near(evaluate(c, c->fit.points.items[0].curvature), 2. / 3 * 1.5 / 4);
    end(c);
    c = begin("fit { data \"d.csv\"; loss sqrt(mse(mean(X), data.X)) }", (Wanted){0}, courses);
    assert_near(output(c, 0), sqrt(mse));
    assert_int_equal(c->fit.points.items[0].curvature, 0);
    end(c);
    c = begin("fit { loss (mean(at(X, 2)) - 3)^2 }", (Wanted){0}, NULL);
    assert_near(output(c, 0), pow(mean_x(2) - 3, 2));
    assert_int_equal(c->fit.points.count, 0);
    end(c);
}

/* Data that says its times itself, and columns of arrays. */
static void
test_columns_in_times(void **state)
{
    (void)state;
    const char table[] = "lag,c\n0,1.5\n1,2\n2.5,-3\n";
    const double lags[] = {0, 1, 2.5}, cs[] = {1.5, 2, -3};
    double sum = 0;
    for (u32 i = 0; i < 3; i++) {
        double product = 0, a[5], b[5];
        for (u32 path = 0; path < PATHS; path++) {
            state_at(path, 1, a);
            state_at(path, 1 + lags[i], b);
            product += a[0] * b[0] / PATHS;
        }
        sum += pow(product - mean_x(1) * mean_x(1 + lags[i]) - cs[i], 2) / 3;
    }
    const char *const blocks[] = {
        "fit { data \"d.csv\"; loss mse(cov(at(X, 1), at(X, 1 + data.lag)), data.c) }",
        "fit { data \"d.csv\"; loss mse(autocov(X, data.lag, 1), data.c) }"};
    for (u32 i = 0; i < 2; i++) {
        Case *c = begin(blocks[i], (Wanted){0}, table);
        assert_near(output(c, 0), sum);
        assert_string_equal(c->fit.series.items[0].axis, "lag");
        assert_near(c->fit.points.items[2].x, 2.5);
        end(c);
    }
    const char arrays[] = "time,H[0],H[1],H[2]\n1,1,2,3\n2,4,5,6\n";
    double squares = 0;
    for (u32 s = 0; s < 3; s++)
        for (u32 i = 0; i < 2; i++) {
            double mean = 0, species[5];
            for (u32 path = 0; path < PATHS; path++) {
                state_at(path, 1 + i, species);
                mean += species[2 + s] / PATHS;
            }
            squares += pow(mean - (1 + s + 3 * i), 2) / 2;
        }
    Case *c = begin("fit { data \"d.csv\"; loss sum(s in set: mse(mean(H[s]), data.H[s])) }",
                    (Wanted){0}, arrays);
    assert_near(output(c, 0), squares);
    assert_int_equal(c->fit.points.count, 6);
    end(c);
}

static double
classes(u32 path, u32 label, bool hit)
{
    double species[5], sum = 0, top = -INFINITY;
    u32 best = 0;
    state_at(path, 4, species);
    for (u32 s = 0; s < 3; s++) {
        sum += exp(0.5 * species[2 + s]);
        if (species[2 + s] > top) {
            top = species[2 + s];
            best = s;
        }
    }
    return hit ? best == label : log(sum) - 0.5 * species[2 + label];
}

/* With samples the inputs are of each trajectory: they stay inside of the expectation. */
static void
test_samples(void **state)
{
    (void)state;
    double entropy = 0, hits = 0;
    for (u32 path = 0; path < PATHS; path++) {
        entropy += classes(path, 1, false) / PATHS;
        hits += classes(path, 1, true) / PATHS;
    }
    const char block[] = "fit { data u = \"u.npy\", label = \"dir/l.npy\"\n"
                         "loss 2 * cross_entropy(c in set: 0.5 * H[c], label)\n"
                         "measure right = accuracy(c in set: H[c], label)\n }";
    Case *c = begin(block, (Wanted){.measures = true}, NULL);
    assert_near(output(c, 0), 2 * entropy);
    assert_near(output(c, 1), hits);
    assert_true(c->network->objective->sampled);
    assert_int_equal(c->fit.samples.count, 2);
    assert_int_equal(c->fit.samples.items[0].classes, 0);
    assert_int_equal(c->fit.samples.items[1].classes, 3);
    assert_string_equal(c->fit.samples.items[1].path, "dir/l.npy");
    assert_string_equal(c->fit.measures.items[0].name, "right");
    for (u32 i = 0; i < 2; i++)
        assert_false(
            rxn__expr_uses(c->network, c->network->objective->outputs.items[i].value).inputs);
    end(c);
    c = begin("fit { data u = \"u.npy\"; loss mse(u * both, 3) + mse(u, X) }", (Wanted){0}, NULL);
    double sum = 0, species[5];
    for (u32 path = 0; path < PATHS; path++) {
        state_at(path, 4, species);
        sum += pow(7 * (species[0] + species[1]) - 3, 2) / PATHS;
        sum += pow(7 - species[0], 2) / PATHS;
    }
    assert_near(output(c, 0), sum);
    assert_false(rxn__expr_uses(c->network, c->network->objective->outputs.items[0].value).inputs);
    assert_int_equal(c->network->objective->outputs.count, 1);
    end(c);
    /* A label that is none is no number. */
    c = begin("fit { data u = \"u.npy\"; loss cross_entropy(c in set: H[c], u) }", (Wanted){0},
              NULL);
    assert_true(isnan(output(c, 0)));
    end(c);
}

static void
test_classes_of_rows(void **state)
{
    (void)state;
    double entropy = 0, hits = 0;
    const u32 labels[] = {2, 0, 2};
    for (u32 path = 0; path < PATHS; path++)
        for (u32 i = 0; i < 3; i++) {
            entropy += classes(path, labels[i], false) / PATHS / 3;
            hits += classes(path, labels[i], true) / PATHS / 3;
        }
    Case *c = begin("fit { data \"d.csv\"; loss cross_entropy(c in set: 0.5*at(H[c], 4), data.l)\n"
                    "measure right = accuracy(c in set: at(H[c], 4), data.l) }",
                    (Wanted){.measures = true}, "l\n2\n0\n2\n");
    assert_near(output(c, 0), entropy);
    assert_near(output(c, 1), hits);
    end(c);
}

static void
test_probability(void **state)
{
    (void)state;
    double count = 0, species[5];
    for (u32 path = 0; path < PATHS; path++) {
        state_at(path, 2, species);
        count += species[0] > 3;
    }
    Case *c = begin("fit { loss probability(at(X, 2) > 3) }", (Wanted){0}, NULL);
    assert_near(output(c, 0), count / PATHS);
    end(c);
}

/* ---- Experiments, numbers, parameters ---------------------------------------------------------- */

static const char experiments[] =
    "fit {\n data \"d.csv\"; loss mse(mean(X), data.X)\n"
    " penalty w^2; penalty 0.5 * sum(s in set: b[s])\n"
    " prior k ~ lognormal(-1, 0.5)\n linear k; log b\n"
    " estimator gumbel(tau = 0.5); optimizer adam(rate = 0.05, beta1 = 0.8)\n"
    " schedule step(every = 30, factor = 0.1); clip norm = 10, value = 2\n"
    " trajectories 256 .. 4096; steps 200; noise common; seed 7; tolerance 1e-4\n"
    " validation late { data \"e.csv\"; X = 3 }\n"
    " experiment fed { X = 10, H[1] = 4; w = 5; u = 1; label = 2\n"
    "   at 25: X = X + 100\n   every 10 from 5: H[2] = 0\n   when X > 5: Y = 0\n"
    "   loss mse(mean(Y), data.Y) }\n}\n";

static void
test_experiments(void **state)
{
    (void)state;
    Case *c = begin(experiments, (Wanted){.experiment = 0}, courses);
    assert_int_equal(c->fit.experiment_count, 3);
    assert_null(c->fit.experiments[0].name);
    assert_string_equal(c->fit.experiments[1].name->text, "fed");
    assert_false(c->fit.experiments[1].validation);
    assert_string_equal(c->fit.experiments[2].name->text, "late");
    assert_true(c->fit.experiments[2].validation);
    assert_int_equal(c->network->events.count, 0);
    assert_int_equal(c->fit.settings.count, 0);
    end(c);

    c = begin(experiments, (Wanted){.experiment = 1}, courses);
    double sum = 0, species[5];
    for (u32 i = 0; i < 3; i++) {
        double mean = 0;
        for (u32 path = 0; path < PATHS; path++) {
            state_at(path, times[i], species);
            mean += species[1] / PATHS;
        }
        sum += pow(mean - (i == 0 ? 3 : i == 1 ? 1 : 0), 2) / 3;
    }
    assert_near(output(c, 0), sum);
    assert_int_equal(c->network->events.count, 3);
    assert_int_equal(c->network->events.items[0].kind, EVENT_AT);
    assert_int_equal(c->network->events.items[2].kind, EVENT_WHEN);
    assert_int_equal(c->fit.settings.count, 3);
    assert_false(c->fit.settings.items[0].is_input);
    assert_int_equal(c->fit.settings.items[0].first, 1);
    assert_near(c->fit.settings.items[0].value, 5);
    assert_true(c->fit.settings.items[2].is_input);
    assert_int_equal(c->fit.settings.items[2].first, 1);
    const ExprValues values = {.params = params, .inputs = inputs};
    const Species *x = &c->network->species.items[0], *h = &c->network->species.items[2];
    assert_near(rxn__expr_evaluate(c->network, x->initial, &values), 10);
    for (i64 s = 0; s < 3; s++) {
        i64 variables[64] = {0};
        assert_true(h->variables[0] < 64);
        variables[h->variables[0]] = s;
        ExprValues at = values;
        at.variables = variables;
        assert_near(rxn__expr_evaluate(c->network, h->initial, &at), s == 1 ? 4 : 0);
    }
    end(c);

    c = begin(experiments, (Wanted){.experiment = 2}, courses);
    assert_near(rxn__expr_evaluate(c->network, c->network->species.items[0].initial, &values), 3);
    assert_string_equal(c->fit.data_path, "e.csv");
    end(c);
}

static double
expected_penalty(void)
{
    return 9 + 0.5 * (2 + 4 + 8) + log(0.5) + pow(log(0.5) + 1, 2) / (2 * 0.25);
}

static void
test_settings(void **state)
{
    (void)state;
    Case *c = begin(experiments, (Wanted){0}, courses);
    const Fit *fit = &c->fit;
    assert_near(evaluate(c, fit->penalty), expected_penalty());
    assert_int_equal(fit->scales[0], FIT_SCALE_LINEAR);
    assert_int_equal(fit->scales[1], FIT_SCALE_AUTO);
    assert_int_equal(fit->scales[4], FIT_SCALE_LOG);
    assert_string_equal(fit->estimator.name, "gumbel");
    assert_string_equal(fit->estimator.options[0].name, "tau");
    assert_string_equal(fit->optimizer.name, "adam");
    assert_int_equal(fit->optimizer.count, 2);
    assert_near(fit->optimizer.options[1].value, 0.8);
    assert_string_equal(fit->schedule.name, "step");
    assert_near(fit->numbers[FIT_TRAJECTORIES], 256);
    assert_near(fit->numbers[FIT_MOST_TRAJECTORIES], 4096);
    assert_near(fit->numbers[FIT_STEPS], 200);
    assert_near(fit->numbers[FIT_CLIP_NORM], 10);
    assert_near(fit->numbers[FIT_CLIP_VALUE], 2);
    assert_near(fit->numbers[FIT_SEED], 7);
    assert_near(fit->numbers[FIT_TOLERANCE], 1e-4);
    assert_true(isnan(fit->numbers[FIT_EPOCHS]));
    assert_true(fit->common_noise);
    end(c);
}

/* --data replaces the block's own table. */
static void
test_data_of_the_command_line(void **state)
{
    (void)state;
    const char *const tables[][2] = {{"mine.csv", "time,X\n2,4\n"}};
    Case *c = elaborate(model, "fit { data \"d.csv\"; loss mse(mean(X), data.X) }\n",
                        (Wanted){.data = "mine.csv"}, 1, tables);
    assert_non_null(c->network);
    assert_near(output(c, 0), pow(mean_x(2) - 4, 2));
    assert_string_equal(c->fit.data_path, "mine.csv");
    end(c);
}

/* Passes renumber the expressions of the network, and those of the fit with them. */
static void
test_passes(void **state)
{
    (void)state;
    Case *c = begin(experiments, (Wanted){0}, courses);
    const double loss = output(c, 0);
    const char *internal = NULL;
    assert_true(rxn__network_passes(c->network, &c->diagnostics, &c->arena, NULL, NULL, &internal));
    assert_null(internal);
    assert_near(output(c, 0), loss);
    assert_near(evaluate(c, c->fit.penalty), expected_penalty());
    assert_near(evaluate(c, c->fit.points.items[2].curvature), 2. / 3);
    end(c);
}

/* What the network's text keeps of the block reads back to the same. */
static void
test_round_trip(void **state)
{
    (void)state;
    Case *c = begin(experiments, (Wanted){.experiment = 1}, courses);
    Text first, second;
    rxn__text_init(&first, &c->arena);
    rxn__text_init(&second, &c->arena);
    rxn__network_print(c->network, &first);
    Network *read = NULL;
    const char *error = rxn__network_read(&c->arena, &c->names, first.data, first.length, &read);
    if (error)
        fail_msg("%s\n%s", error, first.data);
    rxn__network_print(read, &second);
    assert_string_equal(first.data, second.data);
    assert_non_null(strstr(first.data, "fed { X = 10; H[1] = 4; w = 5; u = 1; label = 2; "
                                       "at 25: X = X + 100; every 10 from 5: H[2] = 0; "
                                       "when X > 5: Y = 0; loss mse(mean(Y), data.Y) }"));
    end(c);
}

/* A block has no effect on a network that is not elaborated for a fit. */
static void
test_no_effect(void **state)
{
    (void)state;
    Text texts[2];
    Case *cases[2];
    for (volatile u32 i = 0; i < 2; i++) {
        Case *c = cases[i] = calloc(1, sizeof **cases);
        assert_non_null(c);
        c->memory.on_failure = &c->on_failure;
        rxn__arena_init(&c->arena, &c->memory);
        if (setjmp(cases[0]->on_failure) != 0)
            fail_msg("out of memory");
        rxn__names_init(&c->names, &c->arena);
        rxn__sources_init(&c->sources, &c->arena);
        rxn__diagnostics_init(&c->diagnostics, &c->arena, &c->sources);
        Text text;
        rxn__text_init(&text, &c->arena);
        rxn__text_printf(&text, "%s%s", model, i == 0 ? "" : experiments);
        const SemaInput input = {.arena = &c->arena,
                                 .names = &c->names,
                                 .sources = &c->sources,
                                 .diagnostics = &c->diagnostics};
        u32 file = rxn__sources_add(&c->sources, "test.rxn", text.data, text.length);
        c->network = rxn__elaborate(&input, file, NULL);
        assert_non_null(c->network);
        assert_int_equal(c->diagnostics.error_count, 0);
        c->network->fit.count = 0;
        rxn__network_share(c->network);
        rxn__text_init(&texts[i], &c->arena);
        rxn__network_print(c->network, &texts[i]);
    }
    assert_string_equal(texts[0].data, texts[1].data);
    end(cases[0]);
    end(cases[1]);
}

/* Tens of thousands of rows: in a moment, and in no more memory than they need. */
static void
test_many_rows(void **state)
{
    (void)state;
    enum { ROWS = 40000 };
    char *text = malloc(ROWS * 40 + 100);
    assert_non_null(text);
    size_t length = (size_t)sprintf(text, "time,X,s\n");
    for (u32 i = 0; i < ROWS; i++)
        length += (size_t)sprintf(text + length, "%g,%u,%u\n", i * 0.0625, i % 97, 1 + i % 3);
    const char *const blocks[] = {
        "fit { data \"d.csv\"; loss mse(mean(X), data.X) }",
        "fit { data \"d.csv\"; loss mse(X + t, data.X) + mae(X, data.X) }",
        "fit { data \"d.csv\"; loss gaussian(2*mean(X) - mean(Y), data.X, sd = data.s) }",
        "fit { data \"d.csv\"; loss gaussian(var(X), 3*data.X, sd = 1 + sd(X)) }",
        "fit { data \"d.csv\"; loss mse(autocov(X, data.time, 1), data.X) }",
    };
    for (u32 i = 0; i < COUNT_OF(blocks); i++) {
        const clock_t start = clock();
        Case *c = begin(blocks[i], (Wanted){0}, text);
        const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        print_message("%u rows, %s: %.2f s, %.0f MB\n", ROWS, blocks[i], seconds,
                      (double)c->memory.used / 1e6);
        assert_true(isfinite(output(c, 0)));
        assert_true(c->memory.used < 400u << 20);
        end(c);
    }
    free(text);
}

/* ---- What is wrong with data, in words --------------------------------------------------------- */

typedef struct Wrong {
    const char *block, *table, *expected;
} Wrong;

static void
expect_wrong(const char *head, const Wrong *wrong)
{
    const char *const tables[][2] = {{"d.csv", wrong->table ? wrong->table : ""}};
    Case *c = elaborate(head, wrong->block, (Wanted){0}, wrong->table != NULL, tables);
    Text out;
    rxn__text_init(&out, &c->arena);
    rxn__diagnostics_render(&c->diagnostics, &out);
    if (c->network || strcmp(out.data, wrong->expected) != 0)
        fail_msg("%s\nexpected:\n%s\nfound:\n%s", wrong->block, wrong->expected, out.data);
    end(c);
}

static void
test_wrong_data(void **state)
{
    (void)state;
    static const Wrong cases[] = {
        {"fit { data \"d.csv\"; loss mse(mean(X), data.x2) }", "time,x1\n1,2\n",
         "test.rxn:11:39: error: d.csv: there is no column 'x2'; did you mean 'x1'?\n"
         "fit { data \"d.csv\"; loss mse(mean(X), data.x2) }\n"
         "                                      ^~~~~~~\n"},
        {"fit { data \"d.csv\"; loss mse(mean(X), data.zebra) }", "time,x1\n1,2\n",
         "test.rxn:11:39: error: d.csv: there is no column 'zebra'; the columns are time, x1\n"
         "fit { data \"d.csv\"; loss mse(mean(X), data.zebra) }\n"
         "                                      ^~~~~~~~~~\n"},
        {"fit { data \"e.csv\"; loss mse(mean(X), data.zebra) }", "time,x1\n1,2\n",
         "test.rxn:11:12: error: cannot read 'e.csv': there is no such file\n"
         "fit { data \"e.csv\"; loss mse(mean(X), data.zebra) }\n"
         "           ^~~~~~~\n"},
        {"fit { data \"d.csv\"; loss mse(mean(X), data.X) }", "time,X\n1,2\n1,3\n",
         "test.rxn:11:12: error: d.csv:3: column 'time' is 1, after 1 on line 2; it must rise from "
         "row to row\n"
         "fit { data \"d.csv\"; loss mse(mean(X), data.X) }\n"
         "           ^~~~~~~\n"
         "note: times may repeat or fall where a column 'trajectory' tells the measurements "
         "apart, or cramer or chi_square compares distributions\n"},
        {"fit { data \"d.csv\"; loss cramer(X, data.X) }", "time,X\n1,2\n1,2.5\n",
         "test.rxn:11:36: error: d.csv:3: this is 2.5, and 'X' is a count: a whole number, 0 or "
         "more\n"
         "fit { data \"d.csv\"; loss cramer(X, data.X) }\n"
         "                                   ^~~~~~\n"
         "note: where data were scaled, scale the count as well, as in 'cramer(0.1 * X, "
         "data.X)'\n"},
        {"fit { data \"d.csv\"; loss chi_square(X, data.X, 3) }", "time,X\n1,2\n1,-1\n",
         "test.rxn:11:40: error: d.csv:3: this is -1, and 'X' is a count: a whole number, 0 or "
         "more\n"
         "fit { data \"d.csv\"; loss chi_square(X, data.X, 3) }\n"
         "                                       ^~~~~~\n"
         "note: where data were scaled, scale the count as well, as in 'chi_square(0.1 * X, "
         "data.X)'\n"},
        {"fit { data \"d.csv\"; loss cramer(X, data.X) }", "time,X\n1,2\n1,\n",
         "test.rxn:11:36: error: d.csv:3: there is no number in column 'X'\n"
         "fit { data \"d.csv\"; loss cramer(X, data.X) }\n"
         "                                   ^~~~~~\n"},
        {"fit { data \"d.csv\"; loss cramer(X, data.X) }", "time,X\n",
         "test.rxn:11:12: error: cannot read 'd.csv': d.csv: the file has a header and no row\n"
         "fit { data \"d.csv\"; loss cramer(X, data.X) }\n"
         "           ^~~~~~~\n"},
        {"fit { data \"d.csv\"; loss cramer(2*X, log(data.X)) }", "time,X\n1,2\n1,0\n",
         "test.rxn:11:38: error: d.csv:3: this is infinite here\n"
         "fit { data \"d.csv\"; loss cramer(2*X, log(data.X)) }\n"
         "                                     ^~~~~~~~~~~\n"},
        {"fit { data \"d.csv\"; loss cramer(X, k) }", "time,X\n1,2\n",
         "test.rxn:11:36: error: the second argument of 'cramer' is what was measured, and this is "
         "of the model\n"
         "fit { data \"d.csv\"; loss cramer(X, k) }\n"
         "                                   ^\n"
         "note: as in 'cramer(X, data.X)'\n"},
        {"fit { data \"d.csv\"; loss chi_square(X, data.X, 3, 5, 9) }",
         "time,X\n1,2\n1,3\n1,9\n1,5\n2,1\n2,4\n2,10\n",
         "test.rxn:11:26: error: at time 2 no datum is from 5 to below 9\n"
         "fit { data \"d.csv\"; loss chi_square(X, data.X, 3, 5, 9) }\n"
         "                         ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
         "note: 'chi_square' divides by how many there are: leave out an edge, or take 'cramer'\n"},
        {"fit { data \"d.csv\"; loss chi_square(X, data.X) }", "time,X\n1,2\n1,3\n1,9\n1,5\n",
         "test.rxn:11:26: error: at time 1 the data do not fill two bins, with 5 in each at least\n"
         "fit { data \"d.csv\"; loss chi_square(X, data.X) }\n"
         "                         ^~~~~~~~~~~~~~~~~~~~~\n"
         "note: take 'cramer', or give edges, as in 'chi_square(X, data.X, 10)'\n"},
        {"fit { data \"d.csv\"; loss cramer(X, data.X) }", "t,X\n1,2\n1,3\n",
         "test.rxn:11:33: error: the rows of 'd.csv' have no column 'time' that says when this is "
         "read\n"
         "fit { data \"d.csv\"; loss cramer(X, data.X) }\n"
         "                                ^\n"
         "note: say it here, as in 'at(X, data.t)' or 'at(X, 10)'\n"},
        {"fit { data \"d.csv\"; loss mse(mean(X), data.X) }", "time,X\n-1,2\n1,3\n",
         "test.rxn:11:12: error: d.csv:2: the time is -1, and a run begins at 0\n"
         "fit { data \"d.csv\"; loss mse(mean(X), data.X) }\n"
         "           ^~~~~~~\n"},
        {"fit { data \"d.csv\"; loss mse(mean(X), data.X) }", "time,X\n1,2\n2,\n3,nan\n",
         "test.rxn:11:39: error: d.csv:3: there is no number in column 'X'\n"
         "fit { data \"d.csv\"; loss mse(mean(X), data.X) }\n"
         "                                      ^~~~~~\n"},
        {"fit { data \"d.csv\"; loss mse(mean(X), data.X) }", "time,X\n1,2\n2\n",
         "test.rxn:11:12: error: cannot read 'd.csv': d.csv:3: 1 field, but line 1 has 2; where "
         "there is no value, leave the field empty\n"
         "fit { data \"d.csv\"; loss mse(mean(X), data.X) }\n"
         "           ^~~~~~~\n"},
        {"fit { data \"d.csv\"; loss mse(mean(X), data.X) }", "time,X\n1,2\n2,-1\n",
         "test.rxn:11:39: error: d.csv:3: column 'X' is -1, and 'mean(X)' is never negative\n"
         "fit { data \"d.csv\"; loss mse(mean(X), data.X) }\n"
         "                                      ^~~~~~\n"
         "note: where a background was subtracted, add it to the model's side, as in 'mean(X) - "
         "background'\n"},
        {"fit { data \"d.csv\"; loss mse(mean(X), data.X) }", "t,X\n1,2\n2,1\n",
         "test.rxn:11:30: error: the rows of 'd.csv' have no column 'time' that says when this is "
         "read\n"
         "fit { data \"d.csv\"; loss mse(mean(X), data.X) }\n"
         "                             ^~~~~~~\n"
         "note: say it here, as in 'at(X, data.t)' or 'at(X, 10)'\n"},
        {"fit { data \"d.csv\"; loss mse(at(X, data.t - 1), 1) }", "t,X\n1,2\n0,1\n",
         "test.rxn:11:36: error: a time of 'at' cannot be negative\n"
         "fit { data \"d.csv\"; loss mse(at(X, data.t - 1), 1) }\n"
         "                                   ^~~~~~~~~~\n"
         "note: with the numbers of d.csv:3\n"},
        {"fit { data \"d.csv\"; loss mse(integral(X), 1) }", "time,X\n0,2\n1,1\n",
         "test.rxn:11:30: error: at time 0 there is a span of no length in this (d.csv:2)\n"
         "fit { data \"d.csv\"; loss mse(integral(X), 1) }\n"
         "                             ^~~~~~~~~~~\n"
         "note: leave that row out, or give the span, as in 'integral(X, 0, 10)'\n"},
        {"fit { data \"d.csv\"; loss mse(mean(X), 1 / (data.X - 1)) }", "time,X\n0,2\n1,1\n",
         "test.rxn:11:44: error: division by zero\n"
         "fit { data \"d.csv\"; loss mse(mean(X), 1 / (data.X - 1)) }\n"
         "                                           ^~~~~~~~~~\n"
         "note: with the numbers of d.csv:3\n"},
        {"fit { data \"d.csv\"; loss gaussian(mean(X), data.X) }", "time,X\n0,2\n1,1\n",
         "test.rxn:11:26: error: d.csv:2: one measurement has no standard deviation\n"
         "fit { data \"d.csv\"; loss gaussian(mean(X), data.X) }\n"
         "                         ^~~~~~~~~~~~~~~~~~~~~~~~~\n"
         "note: give it, as in 'sd = 0.3' or 'sd = data.sd', or measure a time more than once\n"},
        {"fit { data \"d.csv\"; loss gaussian(mean(X), data.X) }",
         "trajectory,time,X\n1,0,2\n2,0,2\n",
         "test.rxn:11:26: error: d.csv:2: the measurements of this time are all the same, so their "
         "standard deviation is 0\n"
         "fit { data \"d.csv\"; loss gaussian(mean(X), data.X) }\n"
         "                         ^~~~~~~~~~~~~~~~~~~~~~~~~\n"
         "note: give it, as in 'sd = 0.3'\n"},
        {"fit { data \"d.csv\"; loss gaussian(mean(X), 1, sd = data.X) }", "time,X\n0,2\n1,0\n",
         "test.rxn:11:52: error: d.csv:3: a standard deviation must be positive, and this is 0\n"
         "fit { data \"d.csv\"; loss gaussian(mean(X), 1, sd = data.X) }\n"
         "                                                   ^~~~~~\n"},
        {"fit { data \"d.csv\"; loss mse(2, data.X) }", "time,X\n0,2\n1,0\n",
         "test.rxn:11:26: error: neither side of this 'mse' depends on the model\n"
         "fit { data \"d.csv\"; loss mse(2, data.X) }\n"
         "                         ^~~~~~~~~~~~~~\n"
         "note: compare the model with the data, as in 'mse(mean(X), data.X)'\n"},
        {"fit { data \"d.csv\"; loss cross_entropy(s in set: H[s], data.X) }", "time,X\n0,2\n1,3\n",
         "test.rxn:11:56: error: d.csv:3: the label is 3, and the classes are 0 .. 2\n"
         "fit { data \"d.csv\"; loss cross_entropy(s in set: H[s], data.X) }\n"
         "                                                       ^~~~~~\n"},
        {"fit { data \"d.csv\"; loss mse(k, data.X) }", "time,X\n0,2\n1,3\n",
         "test.rxn:11:26: error: this does not depend on the state\n"
         "fit { data \"d.csv\"; loss mse(k, data.X) }\n"
         "                         ^~~~~~~~~~~~~~\n"
         "note: its value follows from the parameters without a run\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_wrong(model, &cases[i]);
}

static void
test_wrong_requests(void **state)
{
    (void)state;
    static const Wrong cases[] = {
        {"", NULL,
         "test.rxn:1:1: error: this model has no 'fit' block\n"
         "index set = 3\n"
         "^\n"
         "note: it says what to fit, as in 'fit { data \"measured.csv\"; loss mse(mean(X), data.X) "
         "}'\n"},
        {"fit { data \"d.csv\" }", "time,X\n1,2\n",
         "test.rxn:11:1: error: there is no loss in this fit\n"
         "fit { data \"d.csv\" }\n"
         "^~~~~~~~~~~~~~~~~~~~\n"
         "note: as in 'loss mse(mean(X), data.X)'\n"},
        {"fit { loss mse(mean(X), data.X) }", NULL,
         "test.rxn:11:25: error: the loss reads 'data.X', and there is no data\n"
         "fit { loss mse(mean(X), data.X) }\n"
         "                        ^~~~~~\n"
         "note: name a table in 'fit', as in 'data \"measured.csv\"', or give --data FILE\n"},
        {"fit { data u = \"u.npy\"; loss mse(X, data.X) }", NULL,
         "test.rxn:11:37: error: the loss reads 'data.X', and there is no data\n"
         "fit { data u = \"u.npy\"; loss mse(X, data.X) }\n"
         "                                    ^~~~~~\n"
         "note: samples are read as inputs, by the names that 'data' gives them\n"},
        {"fit { data u = \"u.npy\"; loss mse(mean(X), 3) }", NULL,
         "test.rxn:11:30: error: with samples a loss is of single trajectories, and this compares "
         "expectations\n"
         "fit { data u = \"u.npy\"; loss mse(mean(X), 3) }\n"
         "                             ^~~~~~~~~~~~~~~\n"
         "note: every sample has a few trajectories of its own; leave out mean, var, sd and cov\n"},
        {"fit { data u = \"u.npy\"; loss mse(X, 3)^2 }", NULL,
         "test.rxn:11:30: error: with samples a loss is an expectation over single trajectories, "
         "and this is a function of several\n"
         "fit { data u = \"u.npy\"; loss mse(X, 3)^2 }\n"
         "                             ^~~~~~~~~~~\n"
         "note: add loss functions, or multiply them by numbers and parameters\n"},
        {"fit { data u = \"u.npy\"; loss mse(X, 3) + mean(at(X, 2)) }", NULL,
         "test.rxn:11:30: error: with samples a loss is of single trajectories, and this is of an "
         "ensemble\n"
         "fit { data u = \"u.npy\"; loss mse(X, 3) + mean(at(X, 2)) }\n"
         "                             ^~~~~~~~~~~~~~~~~~~~~~~~~~\n"},
        {"fit { data u = \"u.npy\"; loss u * mse(X, 3) }", NULL,
         "test.rxn:11:30: error: a loss cannot depend on the input 'u'\n"
         "fit { data u = \"u.npy\"; loss u * mse(X, 3) }\n"
         "                             ^\n"
         "note: it may use numbers, parameters and loop variables\n"},
        {"fit { loss mean(X) }", NULL,
         "test.rxn:11:12: error: nothing says when this is read\n"
         "fit { loss mean(X) }\n"
         "           ^~~~~~~\n"
         "note: compare it with the data, as in 'mse(mean(X), data.X)', or write the time, as in "
         "'mean(at(X, 10))'\n"},
        {"fit { loss k }", NULL,
         "test.rxn:11:12: error: this does not depend on the state\n"
         "fit { loss k }\n"
         "           ^\n"
         "note: its value follows from the parameters without a run\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_wrong(model, &cases[i]);
    static const Wrong no_parameter = {
        "fit { loss mse(X, 1) }", NULL,
        "test.rxn:4:1: error: no parameter is marked 'fit'\n"
        "fit { loss mse(X, 1) }\n"
        "^~~~~~~~~~~~~~~~~~~~~~\n"
        "note: mark those to be trained, as in 'param k = 1 in 0.01 .. 100 fit'\n"};
    expect_wrong("species X = 1\nX -> 0 @ 2\nsimulate until 1\n", &no_parameter);
    static const Wrong no_time = {
        "fit { loss mse(X, 1) }", NULL,
        "test.rxn:4:16: error: nothing says when this is read\n"
        "fit { loss mse(X, 1) }\n"
        "               ^\n"
        "note: write 'simulate until T' in the model, or the time here, as in 'at(X, 10)'\n"};
    expect_wrong("species X = 1\nparam k = 1 fit\nX -> 0 @ k\n", &no_time);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mse_of_means),
        cmocka_unit_test(test_rows_of_one_time),
        cmocka_unit_test(test_cramer),
        cmocka_unit_test(test_edges_of_data),
        cmocka_unit_test(test_chi_square),
        cmocka_unit_test(test_times_by_name),
        cmocka_unit_test(test_gaussian_with_given_sd),
        cmocka_unit_test(test_losses_of_trajectories),
        cmocka_unit_test(test_expression_around),
        cmocka_unit_test(test_columns_in_times),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_classes_of_rows),
        cmocka_unit_test(test_probability),
        cmocka_unit_test(test_experiments),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_data_of_the_command_line),
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_no_effect),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_wrong_data),
        cmocka_unit_test(test_wrong_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
