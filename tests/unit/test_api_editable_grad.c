/* test_api_editable_grad.c: derivatives and fits of models that someone is editing: where a number of the text is an input of the
 * kernels nothing is compiled for another one, and all figures are to the last bit what they are where it is a part of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_fixture.h"
#include "sanitized.h"

static const char *device = "interpreter";

enum { TRAJECTORIES = 40 };

/* What is shared is compiled code: the interpreter has none. */
static bool
shares(void)
{
    return strcmp(device, "cpu") == 0;
}

/* ---- derivatives ------------------------------------------------------------------------------- */

static RxnDifferentiator *
differentiator(RxnModel *model, bool editable, const char *estimator, const RxnDifferentiator *like)
{
    RxnDifferentiatorOptions options = rxn_differentiator_options();
    RxnValues *values = own_values(model);
    RxnDifferentiator *made;
    RxnError *error;
    options.of = (const char *const[]){"A", "var(A)"};
    options.of_count = 2;
    options.at = (const double[]){0.75};
    options.at_count = 1;
    options.estimator = estimator;
    options.kernel.device = device;
    options.kernel.editable = editable;
    options.kernel.trajectories = TRAJECTORIES;
    options.like = like;
    if (rxn_differentiator_new(model, &options, values, &made, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    rxn_values_free(values);
    return made;
}

static RxnDerivatives
differentiate(RxnModel *model, RxnDifferentiator *made)
{
    RxnRunOptions options = rxn_run_options();
    RxnValues *values = own_values(model);
    RxnDerivatives found;
    RxnError *error;
    options.trajectories = TRAJECTORIES;
    if (rxn_differentiate(made, values, &options, &found, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    rxn_values_free(values);
    return found;
}

static void
check_text(const char *got, const char *wanted)
{
    assert_int_equal(got != NULL, wanted != NULL);
    if (wanted)
        assert_string_equal(got, wanted);
}

/* As one without `editable` finds it. */
static void
check_same(RxnModel *model, RxnDifferentiator *editable, const char *estimator)
{
    RxnDifferentiator *plain = differentiator(model, false, estimator, NULL);
    const RxnDerivatives wanted = differentiate(model, plain), got = differentiate(model, editable);
    const RxnDifferentiatorInfo a = rxn_differentiator_info(plain),
                                b = rxn_differentiator_info(editable);
    assert_string_equal(b.estimator, a.estimator);
    check_text(b.why, a.why);
    check_text(b.remarks, a.remarks);
    assert_int_equal(b.unbiased, a.unbiased);
    assert_int_equal(b.parameter_count, a.parameter_count);
    for (size_t p = 0; p < a.parameter_count; p++) {
        assert_string_equal(b.parameters[p], a.parameters[p]);
        assert_int_equal(b.members[p], a.members[p]);
    }
    assert_int_equal(got.estimate_count, wanted.estimate_count);
    for (size_t e = 0; e < wanted.estimate_count; e++) {
        const RxnEstimate *x = &wanted.estimates[e], *y = &got.estimates[e];
        const size_t outputs = wanted.output_count, cells = outputs * wanted.parameter_count;
        assert_int_equal(y->events, x->events);
        assert_memory_equal(y->value, x->value, outputs * sizeof(double));
        assert_memory_equal(y->value_se, x->value_se, outputs * sizeof(double));
        assert_memory_equal(y->gradient, x->gradient, cells * sizeof(double));
        assert_memory_equal(y->se, x->se, cells * sizeof(double));
    }
    rxn_differentiator_free(plain);
}

/* %s: a rate constant, three times; %d: an initial value. */
static const char *const models[] = {
    /* Affine: path is unbiased, and one rate may cancel another. */
    "species A = %4$d\nparam k = 0.5\nA -> 2 A @ %1$s\nA -> 0 @ %2$s\n0 -> A @ k\nA -> 0 @ %3$s\n",
    /* Orders up to four, whose derivatives have numbers of their own. */
    "species A = %4$d, B = 7, C\nparam k = 0.01, d = 0.2\n3 A + B -> C @ %1$s\n"
    "2 A + 2 B -> C @ 3e-4\nC -> 3 A + B @ %2$s\nC -> 0 @ d\n4 A -> 0 @ 7e-6\nA + B -> A @ k\n"
    "0 -> B @ %3$s\n",
    /* Laws, events, time. */
    "species A = %4$d, B = 3\nparam k = 0.3, h = 1.5\nA -> B @ %1$s\nB -> A @ %2$s\n"
    "B => A @ k * B^h / (3 + B)\n0 -> B @ if t < 0.4 then 2 else 3\n2 B -> A @ %3$s\n"
    "at 0.5: A = A + 2\nevery 0.25: B = B + 1\n",
    /* Families. */
    ("const N = 30\nspecies A = %4$d, X[N] = 2\nparam k = 0.4\n"
     "for s in 0 .. N-2 { hop: X[s] <-> X[s+1] @ %1$s, k }\nA -> X[0] @ %2$s\nX[N-1] -> A @ "
     "%3$s\n"),
};

static const char *const estimators[] = {"auto",    "score,martingale,path", "gk", "path-adjoint",
                                         "coupled", "gumbel,propensity"};

/* These two know no events, and no families that are too large to be written out. */
static bool
takes(size_t m, size_t e)
{
    return m < 2 || strstr(estimators[e], "gumbel") == NULL;
}

static RxnModel *
model_of(size_t m, const char *const rates[3], int count)
{
    char text[2000];
    snprintf(text, sizeof text, models[m], rates[0], rates[1], rates[2], count);
    return parse(text);
}

/* Rates that are 1 fall out of products; equal ones are one number for the compiler. */
static const char *const rates[][3] = {
    {"1", "1", "0.5"},
    {"0.3", "0.3", "0.1"},
    {"0.30000000000000004", "1e-3", "1"},
};

/* Each is compiled twice where that takes long, and interpreted slowly under a sanitizer. */
static size_t
rates_tried(void)
{
    return SANITIZED || shares() ? 1 : sizeof rates / sizeof *rates;
}

static void
test_bits(void **state)
{
    (void)state;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t e = 0; e < sizeof estimators / sizeof *estimators; e++)
            for (size_t r = 0; r < rates_tried() && takes(m, e); r++) {
                RxnModel *model = model_of(m, rates[r], 8 + (int)r);
                RxnDifferentiator *made = differentiator(model, true, estimators[e], NULL);
                check_same(model, made, estimators[e]);
                assert_false(rxn_differentiator_info(made).reused);
                rxn_differentiator_free(made);
                rxn_model_free(model);
            }
}

/* One compilation of each kernel serves them all, of several estimators too, which are compiled late: the code outlives who had it
 * compiled. */
static void
test_nothing_compiled(void **state)
{
    (void)state;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t e = 0; e < 2; e++) {
            RxnModel *before = NULL;
            RxnDifferentiator *like = NULL;
            for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
                RxnModel *model = model_of(m, rates[r], 8 + (int)r);
                RxnDifferentiator *made = differentiator(model, true, estimators[e], like);
                rxn_differentiator_free(like);
                rxn_model_free(before);
                if (r == 2)
                    check_same(model, made, estimators[e]);
                else
                    differentiate(model, made);
                assert_int_equal(rxn_differentiator_info(made).reused, shares() && r > 0);
                before = model;
                like = made;
            }
            rxn_differentiator_free(like);
            rxn_model_free(before);
        }
}

/* What was never evaluated hands on what it was given. */
static void
test_handed_on(void **state)
{
    (void)state;
    RxnModel *model = model_of(0, rates[0], 8);
    RxnDifferentiator *first = differentiator(model, true, estimators[1], NULL);
    differentiate(model, first);
    RxnDifferentiator *second = differentiator(model, true, estimators[1], first);
    rxn_differentiator_free(first);
    RxnDifferentiator *third = differentiator(model, true, estimators[1], second);
    rxn_differentiator_free(second);
    differentiate(model, third);
    assert_int_equal(rxn_differentiator_info(third).reused, shares());
    rxn_differentiator_free(third);
    rxn_model_free(model);
}

/* Another request has other kernels; other numbers inside of laws have, too; and so has what cannot be open. */
static void
test_compiled(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after, *estimator, *next;
    } pairs[] = {
        {"species A = 5\nparam k = 1\nA -> 0 @ k\n0 -> A @ 0.5\n",
         "species A = 5\nparam k = 1\nA -> 0 @ k\n0 -> A @ 0.5\n", "score", "gk"},
        {"species A = 5\nparam k = 1\nA -> 0 @ k\nA => 0 @ 0.5 * A\n",
         "species A = 5\nparam k = 1\nA -> 0 @ k\nA => 0 @ 0.7 * A\n", "score", "score"},
        {"species A = 5\nparam k = 1\nA -> 0 @ k\nA -> 0 @ 1\n",
         "species A = 5\nparam k = 1\nA -> 0 @ k\nA -> 0 @ 0\n", "score", "score"},
        {"species A = 5\nparam k = 1\nA -> 0 @ k\nA -> 0 @ 1\n",
         "species A = 5\nparam k = 1\nA -> 0 @ k\nA -> 0 @ 2\n", "exact", "exact"},
        {"species A = 5\nparam k = 1\nA -> 0 @ k\nA -> 0 @ 1\n",
         "species A = 5\nparam k = 1\nA -> 0 @ k\nA -> 0 @ 2\n", "score,exact", "score,exact"},
    };
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        RxnModel *before = parse(pairs[k].before), *after = parse(pairs[k].after);
        RxnDifferentiator *like = differentiator(before, true, pairs[k].estimator, NULL);
        differentiate(before, like);
        RxnDifferentiator *made = differentiator(after, true, pairs[k].next, like);
        check_same(after, made, pairs[k].next);
        assert_false(rxn_differentiator_info(made).reused);
        rxn_differentiator_free(made);
        rxn_differentiator_free(like);
        rxn_model_free(before);
        rxn_model_free(after);
    }
}

/* Open numbers are nobody's parameters, and what is said is said once, of the model as it stands. */
typedef struct Told {
    int count;
    char text[1000];
} Told;

static void
tell(void *context, RxnSeverity severity, const char *text)
{
    Told *told = context;
    (void)severity;
    told->count++;
    strncat(told->text, text, sizeof told->text - strlen(told->text) - 1);
}

static void
test_messages(void **state)
{
    (void)state;
    Told told[2] = {{0}, {0}};
    for (int editable = 0; editable < 2; editable++) {
        RxnModelOptions options = rxn_model_options();
        RxnModel *model;
        options.tell = tell;
        options.tell_context = &told[editable];
        assert_int_equal(rxn_model_parse("species A = 9, B\nparam k = 1, m = 4, T = 0.5\n"
                                         "A -> B @ k\nB -> A @ 0.5\nA -> 0 @ 0.25\nat T: B = m\n",
                                         &options, &model, NULL),
                         RXN_OK);
        rxn_differentiator_free(differentiator(model, editable, "auto", NULL));
        rxn_model_free(model);
    }
    assert_true(told[0].count > 0);
    assert_int_equal(told[1].count, told[0].count);
    assert_string_equal(told[1].text, told[0].text);

    RxnModel *model = parse("species A = 9\nA -> 0 @ 0.25\n");
    RxnDifferentiatorOptions options = rxn_differentiator_options();
    RxnValues *values = own_values(model);
    RxnDifferentiator *made;
    RxnError *error;
    options.of = (const char *const[]){"A"};
    options.of_count = 1;
    options.at = (const double[]){1};
    options.at_count = 1;
    options.kernel.device = device;
    options.kernel.editable = true;
    expect_error(rxn_differentiator_new(model, &options, values, &made, &error), RXN_ERROR_INPUT,
                 error, "error: the model has no param to differentiate by");
    options.wrt = (const char *const[]){"number.1"};
    options.wrt_count = 1;
    assert_int_equal(rxn_differentiator_new(model, &options, values, &made, &error),
                     RXN_ERROR_USAGE);
    rxn_error_free(error);
    rxn_values_free(values);
    rxn_model_free(model);
}

/* ---- fits -------------------------------------------------------------------------------------- */

static RxnModel *
fit_model(const char *rate, int count, const char *estimator)
{
    char text[2000];
    snprintf(text, sizeof text,
             "param k = 0.3 in 1e-3 .. 10 fit\n"
             "species A = %d, B\n"
             "A -> B @ k\n"
             "B -> 0 @ %s\n"
             "2 B -> A @ 0.01\n"
             "fit {\n"
             "  estimator %s\n"
             "  steps 4\n"
             "  trajectories 64\n"
             "  measure late = mean(at(B, 2))\n"
             "  experiment one { loss (mean(at(A, 1)) - 20)^2 + (mean(at(B, 1)) - 5)^2 }\n"
             "  experiment two {\n"
             "    A = 50\n"
             "    loss (mean(at(A, 1)) - 30)^2\n"
             "  }\n"
             "  validation { loss (mean(at(A, 2)) - 30)^2 }\n"
             "}\n",
             count, rate, estimator);
    return parse(text);
}

static RxnFit *
fit_of(RxnModel *model, bool editable, const RxnFit *like, char **ret_json, char **ret_history)
{
    RxnFitOptions options = rxn_fit_options();
    RxnValues *values = own_values(model);
    RxnFit *fit;
    RxnFitted fitted;
    RxnError *error;
    options.kernel.device = device;
    options.kernel.editable = editable;
    options.like = like;
    if (rxn_fit_new(model, &options, values, &fit, &error) != RXN_OK ||
        rxn_fit_train(fit, &fitted, &error) != RXN_OK ||
        rxn_fit_json(fit, ret_json, &error) != RXN_OK ||
        rxn_fit_history(fit, ret_history, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    rxn_values_free(values);
    return fit;
}

/* Lines that have no seconds in them. */
static void
drop_seconds(char *text)
{
    for (char *at = text; (at = strstr(at, "econds")) != NULL; at++) {
        char *end = strchr(at, '\n');
        size_t rest = end ? strlen(end) : 0;
        memmove(at, end ? end : "", rest + 1);
    }
}

/* Of the history the columns before the seconds of each step. */
static void
check_history(const char *got, const char *wanted)
{
    const char *header = strstr(wanted, "seconds");
    size_t columns = 0;
    for (const char *at = wanted; header && at < header; at++)
        columns += *at == ',';
    while (*got && *wanted) {
        size_t column = 0;
        while (*wanted && *wanted != '\n') {
            if (column != columns)
                assert_int_equal(*got, *wanted);
            column += *wanted == ',';
            wanted++;
            while (column == columns && *wanted && *wanted != ',' && *wanted != '\n')
                wanted++;
            got++;
            while (column == columns && *got && *got != ',' && *got != '\n')
                got++;
        }
        assert_int_equal(*got, *wanted);
        got += *got == '\n';
        wanted += *wanted == '\n';
    }
    assert_string_equal(got, wanted);
}

static void
test_fits(void **state)
{
    (void)state;
    static const char *const by[] = {"auto", "score", "path", "exact"};
    for (size_t e = 0; e < sizeof by / sizeof *by; e++) {
        RxnModel *before = NULL;
        RxnFit *like = NULL;
        for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
            char *json, *history, *plain_json, *plain_history;
            RxnModel *model = fit_model(rates[r][0], 30 + (int)r, by[e]);
            RxnFit *fit = fit_of(model, true, like, &json, &history),
                   *plain = fit_of(model, false, NULL, &plain_json, &plain_history);
            const bool is_exact = strcmp(by[e], "exact") == 0;
            assert_int_equal(rxn_fit_info(fit).reused, shares() && like && !is_exact);
            check_text(rxn_fit_info(fit).why_estimator, rxn_fit_info(plain).why_estimator);
            drop_seconds(json);
            drop_seconds(plain_json);
            assert_string_equal(json, plain_json);
            check_history(history, plain_history);
            rxn_text_free(json);
            rxn_text_free(history);
            rxn_text_free(plain_json);
            rxn_text_free(plain_history);
            rxn_fit_free(plain);
            rxn_fit_free(like);
            rxn_model_free(before);
            before = model;
            like = fit;
        }
        rxn_fit_free(like);
        rxn_model_free(before);
    }
}

/* It is the same fit: what the one has begun, the other goes on with. */
static void
test_checkpoint(void **state)
{
    (void)state;
    char path[] = "/tmp/rxn-test-XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    unlink(path);
    RxnModel *model = fit_model("0.3", 30, "score");
    RxnValues *values = own_values(model);
    RxnFitOptions options = rxn_fit_options();
    RxnFitted fitted[2];
    RxnFit *fits[2];
    RxnError *error;
    options.kernel.device = device;
    options.kernel.editable = true;
    options.checkpoint = path;
    for (int k = 0; k < 2; k++) {
        if (rxn_fit_new(model, &options, values, &fits[k], &error) != RXN_OK ||
            rxn_fit_train(fits[k], &fitted[k], &error) != RXN_OK)
            fail_msg("%s", rxn_error_text(error));
        options.kernel.editable = false;
        options.resume = path;
    }
    assert_int_equal(rxn_fit_info(fits[1]).resumed, 4);
    assert_memory_equal(fitted[1].value, fitted[0].value, sizeof(double));
    unlink(path);
    rxn_fit_free(fits[0]);
    rxn_fit_free(fits[1]);
    rxn_values_free(values);
    rxn_model_free(model);
}

int
main(void)
{
    const char *wanted = getenv("RXN_TEST_DEVICE");
    if (wanted)
        device = wanted;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),       cmocka_unit_test(test_nothing_compiled),
        cmocka_unit_test(test_handed_on),  cmocka_unit_test(test_compiled),
        cmocka_unit_test(test_messages),   cmocka_unit_test(test_fits),
        cmocka_unit_test(test_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
