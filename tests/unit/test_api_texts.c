/* test_api_texts.c: what the library makes of texts and gives as texts or bytes: layout, import, the stages of a model for any
 * processor, all stages in order, the names of methods.
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

static const char *device = "interpreter";

static const char network[] = "begin parameters\n"
                              "    1 k 0.5\n"
                              "end parameters\n"
                              "begin species\n"
                              "    1 A() 20\n"
                              "    2 B() 0\n"
                              "end species\n"
                              "begin reactions\n"
                              "    1 1,1 2 k\n"
                              "end reactions\n";

/* ---- layout, import ------------------------------------------------------------------------------ */

static void
test_format(void **state)
{
    (void)state;
    static const char text[] = "species   A=1;A->0@1 and more";
    RxnError *error;
    char *out;
    assert_int_equal(rxn_format(text, 20, "m.rxn", &out, NULL, &error), RXN_OK);
    assert_null(error);
    assert_string_equal(out, "species A = 1\nA -> 0  @ 1\n");
    rxn_text_free(out);
    assert_int_equal(rxn_format("", 0, NULL, &out, NULL, &error), RXN_OK);
    assert_string_equal(out, "");
    rxn_text_free(out);
    /* A NUL byte that is inside of a text does not end it. */
    RxnStatus status = rxn_format("species A\0", 10, "m.rxn", &out, NULL, &error);
    assert_null(out);
    check_error(status, RXN_ERROR_INPUT, error,
                "m.rxn:1:10: error: a NUL byte in the text\n"
                "species A?\n"
                "         ^");
    status = rxn_format(network, SIZE_MAX, "m.net", &out, NULL, &error);
    assert_null(out);
    check_error(status, RXN_ERROR_INPUT, error,
                "error: 'm.net' is a network of BioNetGen's, not a model\n"
                "note: 'rxn import' makes one of it");
    assert_int_equal(rxn_format("species", SIZE_MAX, NULL, &out, NULL, NULL), RXN_ERROR_INPUT);
    assert_int_equal(rxn_format(NULL, SIZE_MAX, NULL, &out, NULL, &error), RXN_OK);
    assert_string_equal(out, "");
    rxn_text_free(out);
    /* In a comment it stays, for who asks how long the text is. */
    static const char odd[] = "species A=1 # a\0b\nA->0@1\n",
                      laid[] = "species A = 1  # a\0b\nA -> 0  @ 1\n";
    size_t length;
    assert_int_equal(rxn_format(odd, sizeof odd - 1, "m.rxn", &out, &length, &error), RXN_OK);
    assert_int_equal(length, sizeof laid - 1);
    assert_memory_equal(out, laid, sizeof laid);
    rxn_text_free(out);
    status = rxn_format(odd, sizeof odd - 1, "m.rxn", &out, NULL, &error);
    assert_null(out);
    check_error(status, RXN_ERROR_INPUT, error,
                "error: a comment in 'm.rxn' has a NUL byte, at which a text ends");
}

static void
test_import(void **state)
{
    (void)state;
    RxnError *error;
    RxnModel *model;
    char *text;
    assert_int_equal(rxn_import(network, SIZE_MAX, "m.net", &text, NULL, &error), RXN_OK);
    assert_null(error);
    if (rxn_model_parse(text, NULL, &model, &error) != RXN_OK)
        fail_msg("%s\n%s", rxn_error_text(error), text);
    assert_int_equal(rxn_model_count(model, RXN_SPECIES), 2);
    assert_int_equal(rxn_model_count(model, RXN_REACTIONS), 1);
    assert_int_equal(rxn_model_count(model, RXN_PARAMETERS), 1);
    rxn_model_free(model);
    rxn_text_free(text);
    RxnStatus status = rxn_import("species A", SIZE_MAX, NULL, &text, NULL, &error);
    assert_null(text);
    check_error(status, RXN_ERROR_INPUT, error,
                "error: 'model' is not a network of BioNetGen's\n"
                "note: such a file begins with 'begin parameters'");
    status = rxn_import(network, sizeof network - 30, "m.net", &text, NULL, &error);
    assert_null(text);
    assert_int_equal(status, RXN_ERROR_INPUT);
    assert_string_equal(rxn_error_message(error, 0).file, "m.net");
    rxn_error_free(error);
}

/* ---- stages --------------------------------------------------------------------------------------- */

static void
test_text(void **state)
{
    (void)state;
    RxnModel *model = parse("param k = 0.1\n"
                            "species A = 100, B = 0\n"
                            "fall: A -> B @ k\n");
    char *text;
    RxnError *error;
    static const struct {
        RxnForm form;
        const char *has;
    } forms[] = {
        {RXN_FORM_SOURCE, "param k"},  {RXN_FORM_SUMMARY, "A + B = 100"},
        {RXN_FORM_NETWORK, "species"}, {RXN_FORM_KERNEL, "kernel"},
        {RXN_FORM_CUDA, "__global__"},
    };
    for (size_t k = 0; k < sizeof forms / sizeof forms[0]; k++) {
        if (rxn_model_text(model, forms[k].form, NULL, &text, &error) != RXN_OK)
            fail_msg("form %d: %s", (int)forms[k].form, rxn_error_text(error));
        if (!strstr(text, forms[k].has))
            fail_msg("form %d: %s", (int)forms[k].form, text);
        rxn_text_free(text);
    }
    RxnSimulatorOptions options = rxn_simulator_options();
    options.method = "none";
    RxnStatus status = rxn_model_text(model, RXN_FORM_KERNEL, &options, &text, &error);
    assert_null(text);
    assert_int_equal(status, RXN_ERROR_USAGE);
    rxn_error_free(error);
    rxn_text_free(NULL);
    rxn_model_free(model);
}

static void
test_emit(void **state)
{
    (void)state;
    RxnModel *model = parse("species A = 100\nA -> 0 @ 0.1\n");
    const bool compiles = strcmp(device, "cpu") == 0;
    static const struct {
        RxnForm form;
        const char *has;
        bool needs_compiler;
    } forms[] = {
        {RXN_FORM_NETWORK, "species A", false}, {RXN_FORM_KERNEL, "kernel", false},
        {RXN_FORM_CUDA, "__global__", false},   {RXN_FORM_LLVM, "define", true},
        {RXN_FORM_ASSEMBLY, ".globl", true},    {RXN_FORM_OBJECT, "\177ELF", true},
        {RXN_FORM_HEADER, "_open(", false},
    };
    RxnError *error;
    char *bytes, *other;
    size_t size, other_size;
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
        if (forms[k].needs_compiler && !compiles)
            continue;
        if (rxn_model_emit(model, forms[k].form, NULL, &bytes, &size, &error) != RXN_OK)
            fail_msg("form %d: %s", (int)forms[k].form, rxn_error_text(error));
        assert_null(error);
        assert_int_equal(bytes[size], '\0');
        if (forms[k].form != RXN_FORM_OBJECT)
            assert_int_equal(strlen(bytes), size);
        if (!strstr(bytes, forms[k].has))
            fail_msg("form %d: %s", (int)forms[k].form, bytes);
        rxn_text_free(bytes);
    }
    /* Options reach the kernel, and the processor its code. */
    RxnEmitOptions options = rxn_emit_options();
    options.kernel.precision = "f32";
    assert_int_equal(rxn_model_emit(model, RXN_FORM_CUDA, NULL, &bytes, &size, &error), RXN_OK);
    assert_int_equal(rxn_model_emit(model, RXN_FORM_CUDA, &options, &other, &other_size, &error),
                     RXN_OK);
    assert_string_not_equal(bytes, other);
    rxn_text_free(bytes);
    rxn_text_free(other);
#if defined(__x86_64__)
    if (compiles) {
        options = rxn_emit_options();
        options.march = "x86-64";
        assert_int_equal(rxn_model_emit(model, RXN_FORM_ASSEMBLY, &options, &bytes, &size, &error),
                         RXN_OK);
        options.march = "x86-64-v4";
        assert_int_equal(
            rxn_model_emit(model, RXN_FORM_ASSEMBLY, &options, &other, &other_size, &error),
            RXN_OK);
        assert_null(strstr(bytes, "zmm"));
        assert_non_null(strstr(other, "zmm"));
        rxn_text_free(bytes);
        rxn_text_free(other);
    }
#endif
    rxn_model_free(model);
}

/* The kernel of an estimator, and the network with its objective. */
static void
test_emit_gradient(void **state)
{
    (void)state;
    RxnModel *model = parse("species A = 100\nparam k = 0.1 fit\nA -> 0 @ k\n");
    RxnDifferentiatorOptions gradient = rxn_differentiator_options();
    RxnEmitOptions options = rxn_emit_options();
    static const char *const estimators[] = {"score", "martingale", "path"};
    RxnError *error;
    char *plain, *bytes[3];
    size_t size;
    gradient.of = (const char *const[]){"A"};
    gradient.of_count = 1;
    gradient.at = (const double[]){1.5};
    gradient.at_count = 1;
    assert_int_equal(rxn_model_emit(model, RXN_FORM_KERNEL, NULL, &plain, &size, &error), RXN_OK);
    options.gradient = &gradient;
    for (size_t k = 0; k < 3; k++) {
        gradient.estimator = estimators[k];
        if (rxn_model_emit(model, RXN_FORM_KERNEL, &options, &bytes[k], &size, &error) != RXN_OK)
            fail_msg("%s: %s", estimators[k], rxn_error_text(error));
        assert_string_not_equal(bytes[k], plain);
        for (size_t l = 0; l < k; l++)
            assert_string_not_equal(bytes[k], bytes[l]);
    }
    for (size_t k = 0; k < 3; k++)
        rxn_text_free(bytes[k]);
    rxn_text_free(plain);
    assert_int_equal(rxn_model_emit(model, RXN_FORM_NETWORK, &options, &plain, &size, &error),
                     RXN_OK);
    assert_non_null(strstr(plain, "\nobjective"));
    rxn_text_free(plain);
    gradient.of_count = 0;
    RxnStatus status = rxn_model_emit(model, RXN_FORM_KERNEL, &options, &plain, &size, &error);
    assert_null(plain);
    check_error(status, RXN_ERROR_USAGE, error,
                "error: nothing says what to differentiate\n"
                "note: give --of EXPR, an expression of what the model has, and --at T");
    rxn_model_free(model);
}

static void
test_emit_refused(void **state)
{
    (void)state;
    RxnModel *model = parse("species A = 100\nA -> 0 @ 0.1\n");
    RxnEmitOptions options = rxn_emit_options();
    RxnError *error;
    char *bytes;
    size_t size;
    RxnStatus status = rxn_model_emit(model, RXN_FORM_SUMMARY, NULL, &bytes, &size, &error);
    assert_null(bytes);
    check_error(status, RXN_ERROR_USAGE, error,
                "error: this form of a model is not emitted; rxn_model_text has it");
    status = rxn_model_text(model, RXN_FORM_PROGRAM, NULL, &bytes, &error);
    assert_null(bytes);
    check_error(status, RXN_ERROR_USAGE, error,
                "error: this model is in no program that rxn built");
    status = rxn_model_text(model, RXN_FORM_OBJECT, NULL, &bytes, &error);
    assert_null(bytes);
    check_error(status, RXN_ERROR_USAGE, error,
                "error: this form of a model is had by rxn_model_emit");
#if defined(__x86_64__)
    options.march = "z80";
    status = rxn_model_emit(model, RXN_FORM_KERNEL, &options, &bytes, &size, &error);
    options.march = NULL;
    assert_null(bytes);
    check_error(status, RXN_ERROR_USAGE, error,
                "error: --march takes no 'z80'\n"
                "note: it takes x86-64, x86-64-v2, x86-64-v3, x86-64-v4, native");
#endif
    options.kernel.lanes = 3;
    status = rxn_model_emit(model, RXN_FORM_KERNEL, &options, &bytes, &size, &error);
    check_error(status, RXN_ERROR_USAGE, error, "error: --lanes takes 1, 2, 4, 8, 16 or 32");
    rxn_model_free(model);
}

/* ---- files ------------------------------------------------------------------------------------------ */

/* A file with this text, until it is unlinked. */
static void
write_model(char *path, const char *text)
{
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
}

static void
test_read(void **state)
{
    (void)state;
    static const char content[] = "species A = 1\nA -> 0 @ 1\n";
    char path[] = "/tmp/rxn-test-XXXXXX", *name, *text;
    RxnError *error;
    RxnModel *model;
    size_t length;
    write_model(path, content);
    assert_int_equal(rxn_read(path, &name, &text, &length, &error), RXN_OK);
    assert_null(error);
    assert_string_equal(name, path);
    assert_string_equal(text, content);
    assert_int_equal(length, strlen(content));
    rxn_text_free(name);
    rxn_text_free(text);
    assert_int_equal(rxn_model_open(path, NULL, &model, &error), RXN_OK);
    assert_string_equal(rxn_model_file(model, 0), path);
    assert_null(rxn_model_file(model, 1));
    rxn_model_free(model);
    unlink(path);
    RxnStatus status = rxn_read("/tmp/there/is/no.rxn", &name, &text, &length, &error);
    assert_null(name);
    assert_null(text);
    check_error(status, RXN_ERROR_INPUT, error,
                "error: '/tmp/there/is/no.rxn' cannot be read: No such file or directory");
    expect_error(rxn_read("/tmp", &name, &text, &length, &error), RXN_ERROR_INPUT, error,
                 "error: '/tmp' cannot be read: it is a directory");
    expect_error(rxn_read(NULL, &name, &text, &length, &error), RXN_ERROR_INPUT, error,
                 "error: '' cannot be read: there is no name of a file");
}

/* ---- all stages ------------------------------------------------------------------------------------ */

typedef struct Seen {
    char names[4000];
    size_t count, most, bytes;
    bool is_text;
} Seen;

static bool
see(void *context, const char *name, const char *text, size_t length)
{
    Seen *seen = context;
    const size_t used = strlen(seen->names);
    snprintf(seen->names + used, sizeof seen->names - used, "%s ", name);
    seen->is_text = length > 0 && strlen(text) == length;
    seen->bytes += length;
    return ++seen->count < seen->most;
}

static void
test_trace(void **state)
{
    (void)state;
    char path[] = "/tmp/rxn-test-XXXXXX", *name;
    Seen plain = {.most = 1000}, differentiated = {.most = 1000}, ended = {.most = 2};
    RxnTraceOptions options = rxn_trace_options();
    RxnDifferentiatorOptions gradient = rxn_differentiator_options();
    RxnError *error;
    write_model(path, "model fall\nparam k = 1\nspecies A = 100\nA -> 0 @ k\n");
    options.verify = true;
    options.stage = see;
    options.stage_context = &plain;
    if (rxn_trace(path, NULL, &options, &name, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_string_equal(name, "fall");
    rxn_text_free(name);
    assert_ptr_equal(strstr(plain.names, "00-ast.txt 01-network.txt "), plain.names);
    assert_non_null(strstr(plain.names, "-kernel.kir "));
    assert_non_null(strstr(plain.names, "-kernel.cu "));
    assert_true(plain.is_text);
    /* Of an estimator's kernel; and only as far as who listens wants. */
    gradient.of = (const char *const[]){"A"};
    gradient.of_count = 1;
    gradient.at = (const double[]){1};
    gradient.at_count = 1;
    options.gradient = &gradient;
    options.stage_context = &differentiated;
    assert_int_equal(rxn_trace(path, NULL, &options, NULL, &error), RXN_OK);
    assert_true(differentiated.bytes > plain.bytes);
    options.stage_context = &ended;
    expect_error(rxn_trace(path, NULL, &options, &name, &error), RXN_CANCELLED, error,
                 "error: the trace was ended at its stage 2");
    assert_null(name);
    assert_int_equal(ended.count, 2);
    gradient.estimator = "exact";
    expect_error(rxn_trace(path, NULL, &options, &name, &error), RXN_ERROR_USAGE, error,
                 "error: --estimator 'exact' is not one that has a kernel");
    unlink(path);
    expect_error(rxn_trace("/tmp/there/is/no.rxn", NULL, NULL, &name, &error), RXN_ERROR_INPUT,
                 error, "error: '/tmp/there/is/no.rxn' cannot be read: No such file or directory");
}

/* A model with a mistake has the stages before it. */
static void
test_trace_of_a_mistake(void **state)
{
    (void)state;
    char path[] = "/tmp/rxn-test-XXXXXX", *name;
    Seen seen = {.most = 1000};
    RxnTraceOptions options = rxn_trace_options();
    RxnError *error;
    write_model(path, "species A = 100\nA -> B @ 1\n");
    options.stage = see;
    options.stage_context = &seen;
    assert_int_equal(rxn_trace(path, NULL, &options, &name, &error), RXN_ERROR_INPUT);
    assert_string_equal(rxn_error_message(error, 0).text, "unknown species 'B'");
    assert_string_equal(seen.names, "00-ast.txt ");
    rxn_error_free(error);
    unlink(path);
}

/* A result that has nowhere to go is an error, also where nobody wants to know of it. */
static void
test_nowhere(void **state)
{
    (void)state;
    static const char no_text[] = "error: ret_text is NULL: the result has nowhere to go";
    static const RxnForm forms[] = {RXN_FORM_SOURCE, RXN_FORM_SUMMARY, RXN_FORM_LAWS,
                                    RXN_FORM_KERNEL};
    RxnModel *model = parse("species A = 100\nA -> 0 @ 0.1\n");
    RxnStatements *statements;
    RxnError *error;
    char *bytes = (char *)model;
    size_t size;
    bool incomplete;
    for (size_t k = 0; k < sizeof forms / sizeof forms[0]; k++) {
        expect_error(rxn_model_text(model, forms[k], NULL, NULL, &error), RXN_ERROR_USAGE, error,
                     no_text);
        assert_int_equal(rxn_model_text(model, forms[k], NULL, NULL, NULL), RXN_ERROR_USAGE);
    }
    expect_error(rxn_model_summary(model, NULL, NULL, &error), RXN_ERROR_USAGE, error, no_text);
    expect_error(rxn_format("species A\n", SIZE_MAX, NULL, NULL, &size, &error), RXN_ERROR_USAGE,
                 error, no_text);
    expect_error(rxn_import("", 0, NULL, NULL, NULL, &error), RXN_ERROR_USAGE, error, no_text);
    expect_error(rxn_model_emit(model, RXN_FORM_KERNEL, NULL, NULL, &size, &error), RXN_ERROR_USAGE,
                 error, "error: ret_bytes is NULL: the result has nowhere to go");
    expect_error(rxn_model_emit(model, RXN_FORM_KERNEL, NULL, &bytes, NULL, &error),
                 RXN_ERROR_USAGE, error, "error: ret_size is NULL: the result has nowhere to go");
    assert_null(bytes);
    expect_error(rxn_statements_parse("", NULL, NULL, &incomplete, &error), RXN_ERROR_USAGE, error,
                 "error: ret_statements is NULL: the result has nowhere to go");
    statements = (RxnStatements *)model;
    expect_error(rxn_statements_parse("", NULL, &statements, NULL, &error), RXN_ERROR_USAGE, error,
                 "error: ret_incomplete is NULL: the result has nowhere to go");
    assert_null(statements);
    assert_int_equal(rxn_statements_parse(NULL, NULL, &statements, &incomplete, NULL), RXN_OK);
    assert_int_equal(rxn_statements_count(statements), 0);
    rxn_statements_free(statements);
    rxn_model_free(model);
}

/* What would be another kernel than the one that is shown. */
static void
test_options_refused(void **state)
{
    (void)state;
    static const RxnForm forms[] = {RXN_FORM_KERNEL, RXN_FORM_LLVM, RXN_FORM_ASSEMBLY,
                                    RXN_FORM_CUDA};
    RxnModel *model = parse("species A = 100\nA -> 0 @ 0.1\n");
    RxnEmitOptions editable = rxn_emit_options(), controlled = editable;
    RxnError *error;
    char *bytes;
    size_t size;
    editable.kernel.editable = true;
    controlled.kernel.control_variates = true;
    static const char is_editable[] =
        "error: a kernel that is shown has the numbers of the text in "
        "it: 'editable' is for what is run",
                      is_controlled[] = "error: kernels with control variates are made for the "
                                        "times of a run: there is none to show without one";
    for (size_t k = 0; k < sizeof forms / sizeof forms[0]; k++) {
        expect_error(rxn_model_emit(model, forms[k], &editable, &bytes, &size, &error),
                     RXN_ERROR_USAGE, error, is_editable);
        expect_error(rxn_model_text(model, forms[k], &editable.kernel, &bytes, &error),
                     RXN_ERROR_USAGE, error, is_editable);
        expect_error(rxn_model_emit(model, forms[k], &controlled, &bytes, &size, &error),
                     RXN_ERROR_USAGE, error, is_controlled);
        expect_error(rxn_model_text(model, forms[k], &controlled.kernel, &bytes, &error),
                     RXN_ERROR_USAGE, error, is_controlled);
        assert_null(bytes);
    }
    rxn_model_free(model);
}

/* ---- methods ---------------------------------------------------------------------------------------- */

/* Every one that is listed can be asked for, and none is there twice. */
static void
test_methods(void **state)
{
    (void)state;
    RxnModel *model = parse("species A = 100\nA -> 0 @ 0.1\n");
    RxnSimulatorOptions options = rxn_simulator_options();
    const char *names[32], *summary;
    size_t count = 0;
    bool has_direct = false, has_cme = false;
    options.device = strcmp(device, "cpu") == 0 ? "cpu" : "interpreter";
    while (rxn_method(count, &names[count], &summary)) {
        RxnSimulator *simulator;
        RxnError *error;
        assert_true(strlen(summary) > 10);
        for (size_t k = 0; k < count; k++)
            assert_string_not_equal(names[k], names[count]);
        options.method = names[count];
        if (strcmp(names[count], "cme") == 0)
            options.device = "cpu";
        if (rxn_simulator_new(model, &options, &simulator, &error) != RXN_OK) {
            if (strncmp(rxn_error_text(error), "error: the method '", 19) != 0)
                fail_msg("%s", rxn_error_text(error));
            rxn_error_free(error);
        }
        rxn_simulator_free(simulator);
        has_direct |= strcmp(names[count], "direct") == 0;
        has_cme |= strcmp(names[count], "cme") == 0;
        assert_true(++count < 32);
    }
    assert_true(has_direct && has_cme);
    assert_false(rxn_method(count + 1, &names[count], &summary));
    rxn_model_free(model);
}

int
main(void)
{
    const char *wanted = getenv("RXN_TEST_DEVICE");
    if (wanted)
        device = wanted;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_import),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_emit),
        cmocka_unit_test(test_emit_refused),
        cmocka_unit_test(test_emit_gradient),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_trace_of_a_mistake),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_options_refused),
        cmocka_unit_test(test_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
