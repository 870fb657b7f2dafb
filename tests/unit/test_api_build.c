/* test_api_build.c: programs and libraries by the library: what is built runs and says what the library says; what cannot be built
 * is told, leaves what was there and nothing beside it.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_fixture.h"
#include "sanitized.h"

static const char decay[] = "model decay\n"
                            "param k = 0.3 in 1e-3 .. 10 fit # per second\n"
                            "species A = 20\n"
                            "A -> 0 @ k\n"
                            "simulate until 2 every 1\n";

/* ---- a folder of each test's own --------------------------------------------------------------- */

typedef struct Place {
    char folder[64], temporary[80], out[80];
} Place;

static int
enter(void **state)
{
    static Place place;
    snprintf(place.folder, sizeof place.folder, "/tmp/rxn-test-XXXXXX");
    if (!mkdtemp(place.folder))
        return -1;
    snprintf(place.temporary, sizeof place.temporary, "%s/temporary", place.folder);
    snprintf(place.out, sizeof place.out, "%s/out", place.folder);
    *state = &place;
    unsetenv("CC");
    return mkdir(place.temporary, 0700) != 0 || setenv("TMPDIR", place.temporary, 1) != 0;
}

static size_t
count_entries(const char *folder)
{
    DIR *listing = opendir(folder);
    size_t count = 0;
    assert_non_null(listing);
    for (const struct dirent *entry; (entry = readdir(listing));)
        count += entry->d_name[0] != '.';
    closedir(listing);
    return count;
}

static int
leave(void **state)
{
    const Place *place = *state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", place->folder);
    return system(command);
}

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void
check_file(const char *path, const char *text)
{
    char found[2000] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    found[fread(found, 1, sizeof found - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(found, text);
}

static RxnBuildOptions
usual(void)
{
    RxnBuildOptions options = rxn_build_options();
    options.parts = getenv("RXN_TEST_PARTS");
    options.march = "native";
    return options;
}

/* ---- what is built ----------------------------------------------------------------------------- */

/* Means at the model's times, as the program's CSV has them. */
static void
run_program(const char *path, double mean[3])
{
    char command[200], line[200];
    snprintf(command, sizeof command, "%s run -n 40 --seed 7 -o -", path);
    FILE *program = popen(command, "r");
    assert_non_null(program);
    assert_non_null(fgets(line, sizeof line, program));
    assert_string_equal(line, "time,A.mean,A.sd\n");
    for (int k = 0; k < 3; k++) {
        assert_non_null(fgets(line, sizeof line, program));
        mean[k] = strtod(strchr(line, ',') + 1, NULL);
    }
    assert_int_equal(pclose(program), 0);
}

static void
run_model(RxnModel *model, double mean[3])
{
    RxnRunOptions options = rxn_run_options();
    RxnValues *values = own_values(model);
    RxnSimulator *simulator;
    RxnRun run;
    options.trajectories = 40;
    options.seed = 7;
    assert_int_equal(rxn_simulator_new(model, NULL, &simulator, NULL), RXN_OK);
    assert_int_equal(rxn_run(simulator, values, &options, &run, NULL), RXN_OK);
    assert_int_equal(run.time_count, 3);
    memcpy(mean, run.mean, 3 * sizeof *mean);
    rxn_run_release(&run);
    rxn_simulator_free(simulator);
    rxn_values_free(values);
}

static void
test_program(void **state)
{
    const Place *place = *state;
    RxnModel *model = parse(decay);
    RxnBuildOptions options = usual();
    RxnBuilt built;
    RxnError *error;
    struct stat status;
    double expected[3], found[3];
    write_file(place->out, "what is replaced\n");
    if (rxn_model_build(model, &options, place->out, &built, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_null(error);
    assert_int_equal(built.kernels, 2);
    assert_int_equal(built.gpu_kernels, 0);
    assert_int_equal(stat(place->out, &status), 0);
    assert_int_equal(built.bytes, status.st_size);
    run_model(model, expected);
    run_program(place->out, found);
    assert_memory_equal(found, expected, sizeof found);
    assert_int_equal(count_entries(place->temporary), 0);
    assert_int_equal(count_entries(place->folder), 2);
    /* Once more, of the same model, with derivatives, into what is a link. */
    char link_path[100];
    RxnDifferentiatorOptions gradient = rxn_differentiator_options();
    gradient.of = (const char *const[]){"A"};
    gradient.of_count = 1;
    gradient.at = (const double[]){1};
    gradient.at_count = 1;
    gradient.estimator = "score";
    options.gradient = &gradient;
    snprintf(link_path, sizeof link_path, "%s/link", place->folder);
    assert_int_equal(symlink("out", link_path), 0);
    if (rxn_model_build(model, &options, link_path, &built, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_int_equal(built.kernels, 3);
    run_program(place->out, found);
    assert_memory_equal(found, expected, sizeof found);
    assert_int_equal(lstat(link_path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    rxn_model_free(model);
}

static void
test_library(void **state)
{
    const Place *place = *state;
    RxnModel *model = parse(decay);
    RxnBuildOptions options = usual();
    RxnEmitOptions emit = rxn_emit_options();
    RxnDifferentiatorOptions gradient = rxn_differentiator_options();
    RxnError *error;
    char path[100], *header;
    size_t size;
    gradient.of = (const char *const[]){"A"};
    gradient.of_count = 1;
    gradient.at = (const double[]){1};
    gradient.at_count = 1;
    gradient.estimator = "score";
    options.kind = RXN_BUILD_LIBRARY;
    options.gradient = emit.gradient = &gradient;
    if (rxn_model_build(model, &options, place->out, NULL, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_int_equal(count_entries(place->temporary), 0);
    assert_int_equal(count_entries(place->folder), 4); /* the temporary one too */
    if (rxn_model_emit(model, RXN_FORM_HEADER, &emit, &header, &size, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_int_equal(strlen(header), size);
    assert_non_null(strstr(header, "decay_param_k = 0, /* per second */\n"));
    assert_non_null(strstr(header, "int decay_gradient("));
    FILE *file;
    snprintf(path, sizeof path, "%s/out.h", place->folder);
    file = fopen(path, "r");
    assert_non_null(file);
    char *found = calloc(1, size + 2);
    assert_int_equal(fread(found, 1, size + 1, file), size);
    assert_string_equal(found, header);
    fclose(file);
    free(found);
    rxn_text_free(header);
    snprintf(path, sizeof path, "%s/libout.a", place->folder);
    assert_int_equal(access(path, R_OK), 0);
#if !SANITIZED /* which would find all its globals a second time */
    snprintf(path, sizeof path, "%s/libout.so", place->folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    assert_non_null(dlsym(library, "decay_gradient"));
    dlclose(library);
#endif
    rxn_model_free(model);
}

typedef struct Worker {
    pthread_t thread;
    char path[100];
    RxnStatus status;
} Worker;

static void *
build_one(void *context)
{
    Worker *worker = context;
    RxnBuildOptions options = usual();
    RxnModel *model;
    worker->status = rxn_model_parse(decay, NULL, &model, NULL);
    if (worker->status == RXN_OK)
        worker->status = rxn_model_build(model, &options, worker->path, NULL, NULL);
    rxn_model_free(model);
    return NULL;
}

static void
test_threads(void **state)
{
    const Place *place = *state;
    Worker workers[2];
    double found[2][3];
    for (int k = 0; k < 2; k++) {
        snprintf(workers[k].path, sizeof workers[k].path, "%s/out%d", place->folder, k);
        assert_int_equal(pthread_create(&workers[k].thread, NULL, build_one, &workers[k]), 0);
    }
    for (int k = 0; k < 2; k++)
        pthread_join(workers[k].thread, NULL);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(workers[k].status, RXN_OK);
        run_program(workers[k].path, found[k]);
    }
    assert_memory_equal(found[0], found[1], sizeof found[0]);
    assert_int_equal(count_entries(place->temporary), 0);
    assert_int_equal(count_entries(place->folder), 3);
}

static void
count_told(void *context, RxnSeverity severity, const char *text)
{
    (void)text;
    assert_int_equal(severity, RXN_WARNING);
    ++*(int *)context;
}

/* The model's warnings are told when it is read, and no more; what its fit lacks is told when it is built. */
static void
test_warnings(void **state)
{
    const Place *place = *state;
    static const char text[] =
        "param k = 1 fit, unused = 2\nspecies A = 3\nA -> 0 @ k\n"
        "fit {\n  data \"/nowhere/data.csv\"\n  loss mse(mean(A), data.A)\n}\n";
    RxnModelOptions model_options = rxn_model_options();
    RxnBuildOptions options = usual();
    RxnModel *model;
    RxnError *error;
    int told = 0;
    model_options.tell = count_told;
    model_options.tell_context = &told;
    assert_int_equal(rxn_model_parse(text, &model_options, &model, &error), RXN_OK);
    assert_int_equal(told, 1);
    if (rxn_model_build(model, &options, place->out, NULL, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    assert_int_equal(told, 2);
    rxn_model_free(model);
}

/* ---- what is not ------------------------------------------------------------------------------- */

/* That it was not built, and why. */
static void
refused(const Place *place, RxnModel *model, const RxnBuildOptions *options, const char *path,
        RxnStatus wanted, const char *text)
{
    RxnError *error;
    RxnBuilt built;
    RxnStatus status = rxn_model_build(model, options, path, &built, &error);
    assert_int_equal(built.kernels, 0);
    check_error(status, wanted, error, text);
    check_file(place->out, "precious\n");
    assert_int_equal(count_entries(place->folder), 3);
    assert_int_equal(count_entries(place->temporary), 0);
}

static void
test_options_refused(void **state)
{
    const Place *place = *state;
    const RxnDifferentiatorOptions empty = rxn_differentiator_options();
    RxnModel *model = parse(decay);
    RxnBuildOptions options = usual();
    RxnError *error;
    char other[100];
    write_file(place->out, "precious\n");
    snprintf(other, sizeof other, "%s/other", place->folder);
    write_file(other, "");
    assert_int_equal(rxn_build_check(&options, &error), RXN_OK);
    assert_int_equal(rxn_build_check(NULL, &error), RXN_OK);
#if defined(__x86_64__)
    options.march = "x86-64-v2,z80";
    refused(place, model, &options, place->out, RXN_ERROR_USAGE,
            "error: --march takes no 'z80'\n"
            "note: it takes x86-64, x86-64-v2, x86-64-v3, x86-64-v4, native");
    expect_error(rxn_build_check(&options, &error), RXN_ERROR_USAGE, error,
                 "error: --march takes no 'z80'\n"
                 "note: it takes x86-64, x86-64-v2, x86-64-v3, x86-64-v4, native");
#endif
    options = usual();
    options.kernel.lanes = 3;
    options.gradient = &empty;
    refused(place, model, &options, place->out, RXN_ERROR_USAGE,
            "error: --lanes takes 1, 2, 4, 8, 16 or 32\n"
            "error: nothing says what to differentiate\n"
            "note: give --of EXPR, an expression of what the model has, and --at T");
    options = usual();
    options.gpus = "sm_90";
    options.kind = RXN_BUILD_LIBRARY;
    refused(place, model, &options, place->out, RXN_ERROR_USAGE,
            "error: libraries of a model have no code for GPUs");
    options.kind = RXN_BUILD_PROGRAM;
    options.link_statically = true;
    refused(place, model, &options, place->out, RXN_ERROR_USAGE,
            "error: a program that is linked without shared libraries cannot open the driver of "
            "GPUs");
    options = usual();
    options.kind = (RxnBuildKind)7;
    refused(place, model, &options, place->out, RXN_ERROR_USAGE,
            "error: there is nothing of this kind to build");
    options = usual();
    options.kernel.method = "guess";
    RxnStatus status = rxn_model_build(model, &options, place->out, NULL, &error);
    assert_int_equal(status, RXN_ERROR_USAGE);
    assert_string_equal(rxn_error_message(error, 0).text, "there is no method 'guess'");
    rxn_error_free(error);
    check_file(place->out, "precious\n");
    rxn_model_free(model);
}

static void
test_paths_refused(void **state)
{
    const Place *place = *state;
    RxnBuildOptions options = usual();
    RxnModel *model;
    RxnError *error;
    char own[100], text[300];
    write_file(place->out, "precious\n");
    snprintf(own, sizeof own, "%s/decay.rxn", place->folder);
    write_file(own, decay);
    if (rxn_model_open(own, NULL, &model, &error) != RXN_OK)
        fail_msg("%s", rxn_error_text(error));
    refused(place, model, &options, NULL, RXN_ERROR_USAGE, "error: there is no file to write to");
    snprintf(text, sizeof text, "error: '%s' is the model itself; it is not overwritten", own);
    refused(place, model, &options, own, RXN_ERROR_INPUT, text);
    check_file(own, decay);
    snprintf(text, sizeof text, "error: '%s' cannot be written: it is a directory", place->folder);
    refused(place, model, &options, place->folder, RXN_ERROR_INPUT, text);
    refused(place, model, &options, "/nowhere/at/all", RXN_ERROR_INPUT,
            "error: '/nowhere/at/all' cannot be written: No such file or directory");
    refused(place, model, &options, "/dev/null", RXN_ERROR_INPUT,
            "error: '/dev/null' cannot be written: it is no plain file");
    options.kind = RXN_BUILD_LIBRARY;
    refused(place, model, &options, "/nowhere/at/all", RXN_ERROR_INPUT,
            "error: '/nowhere/at/all.h' cannot be written: No such file or directory");
    setenv("TMPDIR", "/nowhere", 1);
    assert_int_equal(rxn_model_build(model, &options, place->out, NULL, &error), RXN_ERROR_INPUT);
    assert_non_null(strstr(rxn_error_text(error),
                           "error: a temporary folder cannot be made, '/nowhere/rxn-build-"));
    rxn_error_free(error);
    check_file(place->out, "precious\n");
    assert_int_equal(count_entries(place->folder), 3);
    rxn_model_free(model);
}

static void
test_compiler_fails(void **state)
{
    const Place *place = *state;
    RxnBuildOptions options = usual();
    RxnModel *model = parse(decay);
    char other[100];
    write_file(place->out, "precious\n");
    snprintf(other, sizeof other, "%s/cc", place->folder);
    write_file(other, "#!/bin/sh\necho 'it is late'\nexit 3\n");
    assert_int_equal(chmod(other, 0700), 0);
    for (int kind = RXN_BUILD_PROGRAM; kind <= RXN_BUILD_LIBRARY; kind++) {
        options.kind = (RxnBuildKind)kind;
        setenv("CC", "/nowhere/cc -O2", 1);
        refused(place, model, &options, place->out, RXN_ERROR_INPUT,
                "error: there is no C compiler '/nowhere/cc' here, which has to link the program\n"
                "note: Debian has one in the packages gcc and libc6-dev; $CC names another");
        char text[300];
        setenv("CC", other, 1);
        snprintf(text, sizeof text,
                 "error: the C compiler '%s' could not link the program\n"
                 "note: it said:\n"
                 "it is late",
                 other);
        refused(place, model, &options, place->out, RXN_ERROR_INPUT, text);
    }
    /* All is well but librxn_model.a. */
    unsetenv("CC");
    options.kind = RXN_BUILD_PROGRAM;
    options.parts = "/nowhere/librxn_model.a";
    RxnError *error;
    assert_int_equal(rxn_model_build(model, &options, place->out, NULL, &error), RXN_ERROR_INPUT);
    assert_non_null(strstr(rxn_error_text(error), "/nowhere/librxn_model.a"));
    rxn_error_free(error);
    check_file(place->out, "precious\n");
    assert_int_equal(count_entries(place->temporary), 0);
    rxn_model_free(model);
}

/* Every processor that is listed can be asked for, and none is there twice. */
static void
test_march(void **state)
{
    (void)state;
    RxnBuildOptions options = usual();
    size_t count = 0;
    for (; (options.march = rxn_march(count)); count++) {
        assert_int_equal(rxn_build_check(&options, NULL), RXN_OK);
        for (size_t k = 0; k < count; k++)
            assert_string_not_equal(rxn_march(k), options.march);
    }
    assert_true(count > 0);
    assert_null(rxn_march(SIZE_MAX));
}

/* Without LLVM nothing can be built, which is said. */
static void
test_without_llvm(void **state)
{
    (void)state;
    RxnModel *model = parse(decay);
    RxnError *error;
    expect_error(rxn_build_check(NULL, &error), RXN_ERROR_USAGE, error,
                 "error: this rxn was built without LLVM, so it cannot compile ahead");
    expect_error(rxn_model_build(model, NULL, "/nowhere/x", NULL, &error), RXN_ERROR_USAGE, error,
                 "error: this rxn was built without LLVM, so it cannot compile ahead");
    rxn_model_free(model);
}

int
main(void)
{
    const char *device = getenv("RXN_TEST_DEVICE");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_program, enter, leave),
        cmocka_unit_test_setup_teardown(test_library, enter, leave),
        cmocka_unit_test_setup_teardown(test_threads, enter, leave),
        cmocka_unit_test_setup_teardown(test_warnings, enter, leave),
        cmocka_unit_test_setup_teardown(test_options_refused, enter, leave),
        cmocka_unit_test_setup_teardown(test_paths_refused, enter, leave),
        cmocka_unit_test_setup_teardown(test_compiler_fails, enter, leave),
        cmocka_unit_test(test_march),
    };
    const struct CMUnitTest without[] = {cmocka_unit_test(test_without_llvm)};
    if (device && strcmp(device, "cpu") != 0)
        return cmocka_run_group_tests(without, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
