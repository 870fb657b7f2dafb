/* Unit tests of what the losses of a fit block mean: outputs are evaluated on a small ensemble of known paths, and compared with numbers
 * that the test computes from the data by itself. */
#include "tests/unit/fit_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double xs[] = {2, 7, 8.5}, sds[] = {0.5, 0.25, 2};

static void
test_mse_of_means(void **state)
{
    (void)state;
    Case *c =
        case_begin("fit { data \"d.csv\"; loss mse(mean(X), data.X) }", (Wanted){0}, case_courses);
    double sum = 0;
    for (u32 i = 0; i < 3; i++)
        sum += pow(case_mean_x(case_times[i]) - xs[i], 2) / 3;
    assert_near(case_output(c, 0), sum);
    assert_int_equal(c->network->objective->outputs.count, 4);
    assert_int_equal(c->fit.points.count, 3);
    assert_string_equal(c->fit.series.items[0].model, "mean(X)");
    assert_string_equal(c->fit.series.items[0].data, "data.X");
    assert_string_equal(c->fit.series.items[0].axis, "time");
    assert_string_equal(c->fit.data_path, "d.csv");
    for (u32 i = 0; i < 3; i++) {
        assert_near(case_output(c, 1 + i), case_mean_x(case_times[i]));
        const FitPoint *point = &c->fit.points.items[i];
        assert_near(point->x, case_times[i]);
        assert_near(point->data, xs[i]);
        assert_true(isnan(point->sd));
        assert_near(point->rows, 1);
        assert_near(case_evaluate(c, point->curvature), 2. / 3);
    }
    assert_int_equal(c->network->objective->functionals.count, 3);
    case_end(c);
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
        const double difference = case_mean_x(time) - x;
        mse += difference * difference / 5;
        mae += fabs(difference) / 5;
        gaussian += difference * difference / (2 * own * own) + log(own);
        double variance = case_var_x(time);
        sampled += difference * difference / (2 * variance) + log(variance) / 2;
    }
    Case *c =
        case_begin("fit { data \"d.csv\"; loss mse(data.X, mean(X)) }", (Wanted){0}, repeated);
    assert_near(case_output(c, 0), mse);
    assert_int_equal(c->fit.points.count, 2);
    assert_near(c->fit.points.items[0].data, 5);
    assert_near(c->fit.points.items[0].rows, 3);
    assert_near(c->fit.points.items[0].sd, sqrt((9 + 1 + 16) / 2. / 3));
    assert_near(case_evaluate(c, c->fit.points.items[0].curvature), 2 * 3 / 5.);
    case_end(c);
    c = case_begin("fit { data \"d.csv\"; loss mae(mean(X), data.X) }", (Wanted){0}, repeated);
    assert_near(case_output(c, 0), mae);
    assert_int_equal(c->fit.points.items[0].curvature, 0);
    case_end(c);
    c = case_begin("fit { data \"d.csv\"; loss gaussian(mean(X), data.X) }", (Wanted){0}, repeated);
    assert_near(case_output(c, 0), gaussian);
    assert_near(case_evaluate(c, c->fit.points.items[1].curvature), 2 / 8.);
    case_end(c);
    c = case_begin("fit { data \"d.csv\"; loss gaussian(mean(X), data.X, sd = sd(X)) }",
                   (Wanted){0}, repeated);
    assert_near(case_output(c, 0), sampled);
    assert_int_equal(c->fit.points.count, 4);
    assert_int_equal(c->fit.series.count, 2);
    assert_string_equal(c->fit.series.items[1].model, "sd(X)");
    assert_near(case_evaluate(c, c->fit.points.items[0].curvature), 3 / case_var_x(1));
    assert_near(case_output(c, 1 + 2), sqrt(case_var_x(1)));
    assert_near(case_evaluate(c, c->fit.points.items[2].curvature), 6 / case_var_x(1));
    assert_near(c->fit.points.items[2].data, sqrt(13));
    case_end(c);
}

/* How much of what there is at a time is below an edge: of X, and of data. */
static double
x_below(double time, double edge)
{
    double sum = 0, species[5];
    for (u32 path = 0; path < CASE_PATHS; path++) {
        case_state(path, time, species);
        sum += species[0] < edge;
    }
    return sum / CASE_PATHS;
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
        Case *c = case_begin(blocks[i], (Wanted){0}, cells);
        assert_near(case_output(c, 0), sum);
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
            assert_near(case_output(c, 1 + p), x_below(time, edges[p % 3]));
            assert_near(case_evaluate(c, point->curvature), 2 * widths[p % 3] * point->rows / 7);
        }
        case_end(c);
    }
    /* It is what its definition is, written out. */
    Case *c =
        case_begin("fit { data \"d.csv\"; loss cramer(at(X, 1), data.X, 3) }", (Wanted){0}, cells);
    Case *same = case_begin("fit { data \"d.csv\"; loss (probability(at(X, 1) < 3) - 2/7)^2 }",
                            (Wanted){0}, case_courses);
    assert_near(case_output(c, 0), case_output(same, 0));
    assert_string_equal(c->fit.series.items[0].model, "P(at(X, 1) < x)");
    assert_int_equal(c->network->objective->functionals.count, 1);
    assert_int_equal(same->network->objective->functionals.count, 1);
    case_end(c);
    case_end(same);
    c = case_begin("fit { data \"d.csv\"; loss cramer(X, data.X, 2, 4, 8) }", (Wanted){0}, cells);
    assert_string_equal(c->fit.series.items[0].model, "P(X < x) at 2");
    assert_string_equal(c->fit.series.items[0].axis, "X");
    case_end(c);
}

/* Edges that the data give. */
static void
test_edges_of_data(void **state)
{
    (void)state;
    /* Every count, and how far the model is beyond them. */
    static const double every[] = {1, 2, 3, 4, 5};
    Case *c = case_begin("fit { data \"d.csv\"; loss cramer(X, data.X) }", (Wanted){0},
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
    for (u32 path = 0; path < CASE_PATHS; path++) {
        case_state(path, 1, species);
        beyond += fmax(species[0] - 5, 0) / CASE_PATHS;
        assert_true(species[0] >= 1);
    }
    assert_near(case_output(c, 0), sum + beyond * beyond / 4);
    assert_true(c->fit.series.items[2].aside && !c->fit.series.items[0].aside);
    assert_string_equal(c->fit.series.items[2].model, "max(X - x, 0) at 1");
    assert_near(case_evaluate(c, c->fit.points.items[count + 1].curvature), 2 / 4.);
    case_end(c);
    /* From 0 on, nothing is below; from far off all of it is beyond. */
    c = case_begin("fit { data \"d.csv\"; loss cramer(at(X, 3), data.X) }", (Wanted){0},
                   "time,X\n1,0\n1,1\n");
    assert_int_equal(c->fit.points.count, 2 + 1);
    assert_near(c->fit.points.items[0].x, 1);
    beyond = case_mean_x(3) - 2 + (2 - 1) / 5.; /* the first path is at 1 */
    assert_near(case_output(c, 0), pow(0 - 0.5, 2) + pow(1 / 5. - 1, 2) + beyond * beyond);
    case_end(c);
    /* Quantiles where there are more counts than that; of numbers that are none, below 0 too. */
    char text[4096];
    size_t length = (size_t)sprintf(text, "time,X\n");
    for (u32 k = 0; k < 100; k++)
        length += (size_t)sprintf(text + length, "1,%u\n", 10 + 3 * ((k * 37) % 100));
    c = case_begin("fit { data \"d.csv\"; loss cramer(X, data.X, bins = 4) }", (Wanted){0}, text);
    static const double quantiles[] = {10, 86, 161, 236, 308};
    for (u32 k = 0; k < COUNT_OF(quantiles); k++)
        assert_near(c->fit.points.items[k].x, quantiles[k]);
    assert_int_equal(c->fit.points.count, COUNT_OF(quantiles) + 2);
    assert_near(c->fit.points.items[1].data, 0.26);
    case_end(c);
    c = case_begin("fit { data \"d.csv\"; loss cramer(X - 200, data.X - 200, bins = 4) }",
                   (Wanted){0}, text);
    assert_near(c->fit.points.items[0].x, -190);
    assert_int_equal(c->fit.points.count, COUNT_OF(quantiles) + 2);
    case_end(c);
    /* Bins with five data in each at least; a bin of one count that has many. */
    length = (size_t)sprintf(text, "time,X\n");
    for (u32 k = 0; k < 20; k++)
        length += (size_t)sprintf(text + length, "1,%u\n", k < 10 ? 4 : k < 14 ? 1 : 2);
    c = case_begin("fit { data \"d.csv\"; loss chi_square(X, data.X) }", (Wanted){0}, text);
    assert_int_equal(c->fit.points.count, 2);
    assert_near(c->fit.points.items[0].data, 0.5);
    assert_near(c->fit.points.items[1].x, 3);
    case_end(c);
}

static void
test_chi_square(void **state)
{
    (void)state;
    Case *c = case_begin("fit { data \"d.csv\"; loss chi_square(X, data.X, 2, 4) }", (Wanted){0},
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
            assert_near(case_output(c, 1 + 3 * t + b), p);
            assert_near(case_evaluate(c, point->curvature), 2 * n / q);
        }
    assert_near(case_output(c, 0), sum);
    assert_int_equal(c->network->objective->functionals.count, 6);
    case_end(c);
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
    Case *c =
        case_elaborate(named,
                       "fit { data \"d.csv\"; loss mse(mean(at(X, n/4)), data.X) + mse(mean(at(X, "
                       "late)), data.X) + "
                       "mse(mean(at(X, data.t*step)), data.X) }",
                       (Wanted){0}, 1, tables);
    assert_non_null(c->network);
    const double expected[] = {0.25, 0.75, 1.5, 3};
    assert_int_equal(c->network->objective->times.count, COUNT_OF(expected));
    for (u32 i = 0; i < COUNT_OF(expected); i++)
        assert_near(c->network->objective->times.items[i], expected[i]);
    case_end(c);
}

static void
test_gaussian_with_given_sd(void **state)
{
    (void)state;
    double of_column = 0, of_number = 0;
    for (u32 i = 0; i < 3; i++) {
        of_column +=
            pow(case_mean_x(case_times[i]) - xs[i], 2) / (2 * sds[i] * sds[i]) + log(sds[i]);
        of_number += pow(sqrt(case_var_x(case_times[i])) - 2 * sds[i], 2) / (2 * 0.09) + log(0.3);
    }
    Case *c =
        case_begin("fit { data \"d.csv\"; loss gaussian(mean(X), data.X, sd = data.s) + 0.5 * "
                   "gaussian(sd(X), 2*data.s, sd = 0.3) }",
                   (Wanted){0}, case_courses);
    assert_near(case_output(c, 0), of_column + 0.5 * of_number);
    assert_int_equal(c->fit.points.count, 6);
    assert_near(case_evaluate(c, c->fit.points.items[1].curvature), 16);
    assert_near(c->fit.points.items[1].sd, 0.25);
    assert_near(case_evaluate(c, c->fit.points.items[4].curvature), 0.5 / 0.09);
    case_end(c);
}

/* Without an expectation in it, a loss is one trajectory's. */
static void
test_losses_of_trajectories(void **state)
{
    (void)state;
    double mse = 0, mae = 0, both = 0, species[5];
    for (u32 path = 0; path < CASE_PATHS; path++)
        for (u32 i = 0; i < 3; i++) {
            case_state(path, case_times[i], species);
            mse += pow(species[0] - xs[i], 2) / 3 / CASE_PATHS;
            mae += fabs(species[0] - xs[i]) / 3 / CASE_PATHS;
            both += (pow(species[0] + species[1] - xs[i], 2) / (2 * 0.25) + log(0.5)) / CASE_PATHS;
        }
    Case *c = case_begin("fit { data \"d.csv\"; loss mse(X, data.X) }", (Wanted){0}, case_courses);
    assert_near(case_output(c, 0), mse);
    assert_near(case_output(c, 2), case_mean_x(2));
    assert_near(case_evaluate(c, c->fit.points.items[1].curvature), 2. / 3);
    case_end(c);
    c = case_begin("fit { data \"d.csv\"; loss k * mae(X, data.X) }", (Wanted){0}, case_courses);
    assert_near(case_output(c, 0), 0.5 * mae);
    case_end(c);
    c = case_begin("fit { data \"d.csv\"; loss gaussian(both, data.X, sd = 0.5) }", (Wanted){0},
                   case_courses);
    assert_near(case_output(c, 0), both);
    case_end(c);
}

/* The chain rule around loss functions; where it is not linear there is no curvature. */
static void
test_expression_around(void **state)
{
    (void)state;
    double mse = 0;
    for (u32 i = 0; i < 3; i++)
        mse += pow(case_mean_x(case_times[i]) - xs[i], 2) / 3;
    Case *c = case_begin("fit { data \"d.csv\"; loss (k + 1) * mse(mean(X), data.X) / 4 - 3 }",
                         (Wanted){0}, case_courses);
    assert_near(case_output(c, 0), 1.5 * mse / 4 - 3);
    assert_near(case_evaluate(c, c->fit.points.items[0].curvature), 2. / 3 * 1.5 / 4);
    case_end(c);
    c = case_begin("fit { data \"d.csv\"; loss sqrt(mse(mean(X), data.X)) }", (Wanted){0},
                   case_courses);
    assert_near(case_output(c, 0), sqrt(mse));
    assert_int_equal(c->fit.points.items[0].curvature, 0);
    case_end(c);
    c = case_begin("fit { loss (mean(at(X, 2)) - 3)^2 }", (Wanted){0}, NULL);
    assert_near(case_output(c, 0), pow(case_mean_x(2) - 3, 2));
    assert_int_equal(c->fit.points.count, 0);
    case_end(c);
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
        for (u32 path = 0; path < CASE_PATHS; path++) {
            case_state(path, 1, a);
            case_state(path, 1 + lags[i], b);
            product += a[0] * b[0] / CASE_PATHS;
        }
        sum += pow(product - case_mean_x(1) * case_mean_x(1 + lags[i]) - cs[i], 2) / 3;
    }
    const char *const blocks[] = {
        "fit { data \"d.csv\"; loss mse(cov(at(X, 1), at(X, 1 + data.lag)), data.c) }",
        "fit { data \"d.csv\"; loss mse(autocov(X, data.lag, 1), data.c) }"};
    for (u32 i = 0; i < 2; i++) {
        Case *c = case_begin(blocks[i], (Wanted){0}, table);
        assert_near(case_output(c, 0), sum);
        assert_string_equal(c->fit.series.items[0].axis, "lag");
        assert_near(c->fit.points.items[2].x, 2.5);
        case_end(c);
    }
    const char arrays[] = "time,H[0],H[1],H[2]\n1,1,2,3\n2,4,5,6\n";
    double squares = 0;
    for (u32 s = 0; s < 3; s++)
        for (u32 i = 0; i < 2; i++) {
            double mean = 0, species[5];
            for (u32 path = 0; path < CASE_PATHS; path++) {
                case_state(path, 1 + i, species);
                mean += species[2 + s] / CASE_PATHS;
            }
            squares += pow(mean - (1 + s + 3 * i), 2) / 2;
        }
    Case *c = case_begin("fit { data \"d.csv\"; loss sum(s in set: mse(mean(H[s]), data.H[s])) }",
                         (Wanted){0}, arrays);
    assert_near(case_output(c, 0), squares);
    assert_int_equal(c->fit.points.count, 6);
    case_end(c);
}

static double
classes(u32 path, u32 label, bool hit)
{
    double species[5], sum = 0, top = -INFINITY;
    u32 best = 0;
    case_state(path, 4, species);
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
    for (u32 path = 0; path < CASE_PATHS; path++) {
        entropy += classes(path, 1, false) / CASE_PATHS;
        hits += classes(path, 1, true) / CASE_PATHS;
    }
    const char block[] = "fit { data u = \"u.npy\", label = \"dir/l.npy\"\n"
                         "loss 2 * cross_entropy(c in set: 0.5 * H[c], label)\n"
                         "measure right = accuracy(c in set: H[c], label)\n }";
    Case *c = case_begin(block, (Wanted){.measures = true}, NULL);
    assert_near(case_output(c, 0), 2 * entropy);
    assert_near(case_output(c, 1), hits);
    assert_true(c->network->objective->sampled);
    assert_int_equal(c->fit.samples.count, 2);
    assert_int_equal(c->fit.samples.items[0].classes, 0);
    assert_int_equal(c->fit.samples.items[1].classes, 3);
    assert_string_equal(c->fit.samples.items[1].path, "dir/l.npy");
    assert_string_equal(c->fit.measures.items[0].name, "right");
    for (u32 i = 0; i < 2; i++)
        assert_false(
            rxn__expr_uses(c->network, c->network->objective->outputs.items[i].value).inputs);
    case_end(c);
    c = case_begin("fit { data u = \"u.npy\"; loss mse(u * both, 3) + mse(u, X) }", (Wanted){0},
                   NULL);
    double sum = 0, species[5];
    for (u32 path = 0; path < CASE_PATHS; path++) {
        case_state(path, 4, species);
        sum += pow(7 * (species[0] + species[1]) - 3, 2) / CASE_PATHS;
        sum += pow(7 - species[0], 2) / CASE_PATHS;
    }
    assert_near(case_output(c, 0), sum);
    assert_false(rxn__expr_uses(c->network, c->network->objective->outputs.items[0].value).inputs);
    assert_int_equal(c->network->objective->outputs.count, 1);
    case_end(c);
    /* A label that is none is no number. */
    c = case_begin("fit { data u = \"u.npy\"; loss cross_entropy(c in set: H[c], u) }", (Wanted){0},
                   NULL);
    assert_true(isnan(case_output(c, 0)));
    case_end(c);
}

static void
test_classes_of_rows(void **state)
{
    (void)state;
    double entropy = 0, hits = 0;
    const u32 labels[] = {2, 0, 2};
    for (u32 path = 0; path < CASE_PATHS; path++)
        for (u32 i = 0; i < 3; i++) {
            entropy += classes(path, labels[i], false) / CASE_PATHS / 3;
            hits += classes(path, labels[i], true) / CASE_PATHS / 3;
        }
    Case *c =
        case_begin("fit { data \"d.csv\"; loss cross_entropy(c in set: 0.5*at(H[c], 4), data.l)\n"
                   "measure right = accuracy(c in set: at(H[c], 4), data.l) }",
                   (Wanted){.measures = true}, "l\n2\n0\n2\n");
    assert_near(case_output(c, 0), entropy);
    assert_near(case_output(c, 1), hits);
    case_end(c);
}

static void
test_probability(void **state)
{
    (void)state;
    double count = 0, species[5];
    for (u32 path = 0; path < CASE_PATHS; path++) {
        case_state(path, 2, species);
        count += species[0] > 3;
    }
    Case *c = case_begin("fit { loss probability(at(X, 2) > 3) }", (Wanted){0}, NULL);
    assert_near(case_output(c, 0), count / CASE_PATHS);
    case_end(c);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
