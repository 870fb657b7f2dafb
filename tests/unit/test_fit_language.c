/* Unit tests of the rest of the fit block: experiments, numbers and parameters; and what is said about wrong data, which needs a
 * FitRequest, as whole texts (what can be seen without data is tested by tests/golden). */
#include "tests/unit/fit_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    Case *c = case_begin(experiments, (Wanted){.experiment = 0}, case_courses);
    assert_int_equal(c->fit.experiment_count, 3);
    assert_null(c->fit.experiments[0].name);
    assert_string_equal(c->fit.experiments[1].name->text, "fed");
    assert_false(c->fit.experiments[1].validation);
    assert_string_equal(c->fit.experiments[2].name->text, "late");
    assert_true(c->fit.experiments[2].validation);
    assert_int_equal(c->network->events.count, 0);
    assert_int_equal(c->fit.settings.count, 0);
    case_end(c);

    c = case_begin(experiments, (Wanted){.experiment = 1}, case_courses);
    double sum = 0, species[5];
    for (u32 i = 0; i < 3; i++) {
        double mean = 0;
        for (u32 path = 0; path < CASE_PATHS; path++) {
            case_state(path, case_times[i], species);
            mean += species[1] / CASE_PATHS;
        }
        sum += pow(mean - (i == 0 ? 3 : i == 1 ? 1 : 0), 2) / 3;
    }
    assert_near(case_output(c, 0), sum);
    assert_int_equal(c->network->events.count, 3);
    assert_int_equal(c->network->events.items[0].kind, EVENT_AT);
    assert_int_equal(c->network->events.items[2].kind, EVENT_WHEN);
    assert_int_equal(c->fit.settings.count, 3);
    assert_false(c->fit.settings.items[0].is_input);
    assert_int_equal(c->fit.settings.items[0].first, 1);
    assert_near(c->fit.settings.items[0].value, 5);
    assert_true(c->fit.settings.items[2].is_input);
    assert_int_equal(c->fit.settings.items[2].first, 1);
    const ExprValues values = {.params = case_params, .inputs = case_inputs};
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
    case_end(c);

    c = case_begin(experiments, (Wanted){.experiment = 2}, case_courses);
    assert_near(rxn__expr_evaluate(c->network, c->network->species.items[0].initial, &values), 3);
    assert_string_equal(c->fit.data_path, "e.csv");
    case_end(c);
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
    Case *c = case_begin(experiments, (Wanted){0}, case_courses);
    const Fit *fit = &c->fit;
    assert_near(case_evaluate(c, fit->penalty), expected_penalty());
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
    case_end(c);
}

/* --data replaces the block's own table. */
static void
test_data_of_the_command_line(void **state)
{
    (void)state;
    const char *const tables[][2] = {{"mine.csv", "time,X\n2,4\n"}};
    Case *c = case_elaborate(case_model, "fit { data \"d.csv\"; loss mse(mean(X), data.X) }\n",
                             (Wanted){.data = "mine.csv"}, 1, tables);
    assert_non_null(c->network);
    assert_near(case_output(c, 0), pow(case_mean_x(2) - 4, 2));
    assert_string_equal(c->fit.data_path, "mine.csv");
    case_end(c);
}

/* Passes renumber the expressions of the network, and those of the fit with them. */
static void
test_passes(void **state)
{
    (void)state;
    Case *c = case_begin(experiments, (Wanted){0}, case_courses);
    const double loss = case_output(c, 0);
    const char *internal = NULL;
    assert_true(rxn__network_passes(c->network, &c->diagnostics, &c->arena, NULL, NULL, &internal));
    assert_null(internal);
    assert_near(case_output(c, 0), loss);
    assert_near(case_evaluate(c, c->fit.penalty), expected_penalty());
    assert_near(case_evaluate(c, c->fit.points.items[2].curvature), 2. / 3);
    case_end(c);
}

/* What the network's text keeps of the block reads back to the same. */
static void
test_round_trip(void **state)
{
    (void)state;
    Case *c = case_begin(experiments, (Wanted){.experiment = 1}, case_courses);
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
    case_end(c);
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
        rxn__text_printf(&text, "%s%s", case_model, i == 0 ? "" : experiments);
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
    case_end(cases[0]);
    case_end(cases[1]);
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
        Case *c = case_begin(blocks[i], (Wanted){0}, text);
        const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        print_message("%u rows, %s: %.2f s, %.0f MB\n", ROWS, blocks[i], seconds,
                      (double)c->memory.used / 1e6);
        assert_true(isfinite(case_output(c, 0)));
        assert_true(c->memory.used < 400u << 20);
        case_end(c);
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
    Case *c = case_elaborate(head, wrong->block, (Wanted){0}, wrong->table != NULL, tables);
    Text out;
    rxn__text_init(&out, &c->arena);
    rxn__diagnostics_render(&c->diagnostics, &out);
    if (c->network || strcmp(out.data, wrong->expected) != 0)
        fail_msg("%s\nexpected:\n%s\nfound:\n%s", wrong->block, wrong->expected, out.data);
    case_end(c);
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
        expect_wrong(case_model, &cases[i]);
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
        expect_wrong(case_model, &cases[i]);
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
