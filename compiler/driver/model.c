/* model.c: the library for commands: what it says is printed, and where the model is the program's own it comes from there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/driver.h"

static void
print_told(void *context, RxnSeverity severity, const char *text)
{
    (void)severity;
    rxn__driver_flush(context);
    fputs(text, stderr);
}

RxnStatus
rxn__driver_take(Driver *driver, RxnStatus status, RxnError *error)
{
    if (!error)
        return status;
    rxn__driver_flush(driver);
    /* The last word on these two is invoke.c's. */
    if (status == RXN_ERROR_INTERNAL)
        fprintf(stderr, "%s\n", rxn_error_message(error, 0).text);
    else if (status != RXN_ERROR_MEMORY)
        fprintf(stderr, "%s\n", rxn_error_text(error));
    else if (rxn_error_count(error) > 0 &&
             strcmp(rxn_error_message(error, 0).text, "out of memory") != 0) {
        fprintf(stderr, "%s\n", rxn_error_text(error));
        status = RXN_ERROR_INPUT;
    }
    rxn_error_free(error);
    return status;
}

RxnModelOptions
rxn__driver_model_options(Driver *driver)
{
    RxnModelOptions options = rxn_model_options();
    options.tell = print_told;
    options.tell_context = driver;
    return options;
}

RxnStatus
rxn__driver_model(Driver *driver, const char *path, bool tell_later, RxnModel **ret_model)
{
    RxnModelOptions options = rxn__driver_model_options(driver);
    RxnError *error;
    options.tell_later = tell_later;
    RxnStatus status =
        path ? rxn_model_open(path, &options, ret_model, &error)
             : rxn_model_of_program(driver->program->built, &options, ret_model, &error);
    driver->model = *ret_model;
    if (path && strcmp(path, "-") == 0)
        rxn__driver_reads(driver, path);
    return rxn__driver_take(driver, status, error);
}

void
rxn__driver_end(Driver *driver)
{
    rxn_model_free(driver->model);
    driver->model = NULL;
}

RxnStatus
rxn__driver_model_for(Driver *driver, const char *path, RxnStatus (*check)(void *context),
                      void *context, RxnModel **ret_model)
{
    RxnStatus status = path ? RXN_OK : rxn__driver_model(driver, NULL, true, ret_model);
    if (status == RXN_OK)
        status = check(context);
    if (status == RXN_OK && path)
        status = rxn__driver_model(driver, path, true, ret_model);
    return status;
}

/* ---- files that are read ----------------------------------------------------------------------- */

static void
keep_path(Driver *driver, TextList *list, const char *path)
{
    Arena *arena = rxn__driver_arena(driver);
    vec_push(arena, list, rxn__arena_copy_text(arena, path, strlen(path)));
}

void
rxn__driver_reads(Driver *driver, const char *path)
{
    if (path)
        keep_path(driver, &driver->read, strcmp(path, "-") == 0 ? "/dev/stdin" : path);
}

char *
rxn__driver_read(Driver *driver, const char *path, bool named, const char **ret_name,
                 size_t *ret_length)
{
    const bool is_file = strcmp(path, "-") != 0;
    char *name, *text;
    RxnError *error;
    if (is_file && !named && access(path, F_OK) != 0) {
        rxn__driver_error(driver, "'%s' cannot be read: %s", rxn__driver_shown(driver, path),
                          strerror(errno));
        return NULL;
    }
    RxnStatus status = rxn_read(path, &name, &text, ret_length, &error);
    if (rxn__driver_take(driver, status, error) == RXN_ERROR_MEMORY)
        rxn__driver_error(driver, "out of memory"); /* of this file, and others may follow */
    if (status != RXN_OK)
        return NULL;
    keep_path(driver, &driver->texts, name);
    *ret_name = driver->texts.items[driver->texts.count - 1];
    rxn_text_free(name);
    if (!is_file)
        rxn__driver_reads(driver, path);
    return text;
}

static bool
is_among(const TextList *list, const char *path)
{
    for (u32 k = 0; k < list->count; k++)
        if (rxn__is_same_file(path, list->items[k]))
            return true;
    return false;
}

static bool
is_of_model(const Driver *driver, const char *path)
{
    const char *file;
    for (size_t k = 0; driver->model && (file = rxn_model_file(driver->model, k)); k++)
        if (rxn__is_same_file(path, file))
            return true;
    return is_among(&driver->texts, path);
}

bool
rxn__driver_overwrites_input(Driver *driver, const char *path)
{
    if (is_of_model(driver, path)) {
        rxn__driver_error(driver, "'%s' is the model itself; it is not overwritten", path);
        return true;
    }
    if (!is_among(&driver->read, path))
        return false;
    rxn__driver_error(driver, "'%s' is one of the files that are read; it is not overwritten",
                      path);
    rxn__driver_note(driver, "give the result a file of its own");
    return true;
}

/* ---- what ensembles are told ------------------------------------------------------------------- */

/* A number that is too large for its place is so for those who check it. */
static uint32_t
narrow(u64 number)
{
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

const char *
rxn__driver_cache(const char *given)
{
    const char *always = getenv("RXN_CACHE");
    return given == NULL && always != NULL && always[0] != 0 ? always : given;
}

RxnSimulatorOptions
rxn__driver_kernel(const EnsembleFlags *flags, const char *method)
{
    RxnSimulatorOptions options = rxn_simulator_options();
    options.method = method;
    options.device = flags->device;
    options.precision = flags->precision;
    options.lanes = narrow(flags->lanes);
    options.trajectories = flags->trajectories;
    options.cache = rxn__driver_cache(flags->cache);
    return options;
}

RxnDifferentiatorOptions
rxn__driver_gradient(const TextList *of, const NumberList *at, const TextList *wrt,
                     const char *estimator)
{
    RxnDifferentiatorOptions options = rxn_differentiator_options();
    options.of = of->items;
    options.of_count = of->count;
    options.at = at->items;
    options.at_count = at->count;
    options.wrt = wrt->items;
    options.wrt_count = wrt->count;
    options.estimator = estimator;
    return options;
}

RxnRunOptions
rxn__driver_run(const EnsembleFlags *flags)
{
    RxnRunOptions options = rxn_run_options();
    options.trajectories = flags->trajectories;
    options.seed = flags->seed;
    options.threads = narrow(flags->threads);
    options.step_limit = flags->step_limit;
    return options;
}

RxnStatus
rxn__driver_check_ensemble(Driver *driver, EnsembleFlags *flags)
{
    RxnError *error;
    flags->counted = flags->trajectories != UINT64_MAX;
    if (!flags->counted)
        flags->trajectories = rxn_run_options().trajectories;
    const RxnSimulatorOptions kernel = rxn__driver_kernel(flags, NULL);
    const RxnRunOptions run = rxn__driver_run(flags);
    RxnStatus status = rxn_simulator_check(&kernel, &run, &error);
    return rxn__driver_take(driver, status, error);
}

bool
rxn__driver_bytes(Driver *driver, const char *option, const char *text, uint64_t *ret_bytes)
{
    if (!text || rxn__parse_bytes(text, ret_bytes))
        return true;
    rxn__driver_error(driver, "%s takes a number of bytes as 500M or 2G, not '%s'", option,
                      rxn__driver_shown(driver, text));
    return false;
}

/* "name=value" */
static RxnStatus
set(Driver *driver, RxnValues *values, const char *text)
{
    Arena *arena = rxn__driver_arena(driver);
    const char *equals = strchr(text, '=');
    double value;
    RxnError *error;
    if (!equals || equals == text) {
        rxn__driver_error(driver, "--set takes name=value, not '%s'",
                          rxn__shown(arena, text, strlen(text)));
        return RXN_ERROR_INPUT;
    }
    const char *number = equals + 1 + strspn(equals + 1, " ");
    if (!rxn__parse_number(number, &value)) {
        rxn__driver_error(driver, "--set %s: '%s' is not a number",
                          rxn__shown(arena, text, (size_t)(equals - text)),
                          rxn__shown(arena, number, strlen(number)));
        return RXN_ERROR_INPUT;
    }
    const char *name = rxn__arena_copy_text(arena, text, (size_t)(equals - text));
    RxnStatus status = rxn_values_set(values, name, value, &error);
    return rxn__driver_take(driver, status, error);
}

RxnStatus
rxn__driver_values(Driver *driver, RxnModel *model, const EnsembleFlags *o, RxnValues **ret_values)
{
    RxnError *error;
    rxn__driver_reads(driver, o->params);
    rxn__driver_reads(driver, o->input);
    RxnStatus first = rxn_values_new(model, o->seed, ret_values, &error), status;
    if (first != RXN_OK)
        return rxn__driver_take(driver, first, error);
    if (o->params) {
        status = rxn_values_load(*ret_values, o->params, &error);
        first = rxn__driver_take(driver, status, error);
    }
    if (o->input) {
        status = rxn_values_load_inputs(*ret_values, o->input, &error);
        status = rxn__driver_take(driver, status, error);
        first = first == RXN_OK ? status : first;
    }
    for (uint32_t k = 0; k < o->sets.count; k++) {
        status = set(driver, *ret_values, o->sets.items[k]);
        first = first == RXN_OK ? status : first;
    }
    return first;
}
