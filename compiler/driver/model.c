/* model.c: the library for commands: what it says is printed, and where the model is the program's own it comes from there. */
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/driver.h"
#include "compiler/engine/api.h"

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
    return rxn__driver_take(driver, status, error);
}

void
rxn__driver_end(Driver *driver)
{
    rxn_model_free(driver->model);
    driver->model = NULL;
}

void
rxn__driver_reads(Driver *driver, const char *path)
{
    if (path)
        rxn__engine_reads(&driver->engine, path);
}

typedef struct FileReading {
    Session memory; /* its memory alone: that of one file does not wait for the next */
    const char *path, *reason, *resolved;
    bool named;
    char *text;
    size_t length;
} FileReading;

static RxnStatus
read_file(void *context)
{
    FileReading *reading = context;
    Arena *arena = &reading->memory.arena;
    const char *text = NULL, *resolved = reading->path;
    if (reading->named && strcmp(reading->path, "-") != 0)
        rxn__load_used(NULL, "", reading->path, arena, &resolved, &text, &reading->length,
                       &reading->reason);
    else
        text = rxn__read_file(reading->path, arena, &reading->length, &reading->reason);
    reading->resolved = strdup(resolved);
    if (text)
        reading->text = malloc(reading->length + 1);
    if (!reading->resolved || (text && !reading->text))
        return RXN_ERROR_MEMORY;
    if (text)
        memcpy(reading->text, text, reading->length + 1);
    return RXN_OK;
}

char *
rxn__driver_read(Driver *driver, const char *path, bool named, const char **ret_name,
                 size_t *ret_length)
{
    Session *session = &driver->engine.session;
    FileReading reading = {.path = path, .named = named};
    rxn__arena_init(&reading.memory.arena, &reading.memory.memory);
    RxnStatus status = rxn__session_guard(&reading.memory, read_file, &reading);
    rxn__arena_release(&reading.memory.arena);
    const char *name = strcmp(path, "-") == 0 ? "<stdin>" : reading.resolved;
    if (status == RXN_OK)
        name = rxn__arena_copy_text(&session->arena, name, strlen(name));
    free((char *)reading.resolved);
    if (status == RXN_OK && !reading.text)
        rxn__driver_error(driver, "'%s' cannot be read: %s", rxn__driver_shown(driver, name),
                          reading.reason);
    else if (status != RXN_OK)
        rxn__driver_error(driver, "out of memory");
    if (status != RXN_OK || !reading.text) {
        free(reading.text);
        return NULL;
    }
    if (strcmp(path, "-") == 0)
        rxn__driver_reads(driver, path);
    rxn__sources_add(&session->sources, name, "", 0);
    *ret_name = name;
    *ret_length = reading.length;
    return reading.text;
}

bool
rxn__driver_overwrites_input(Driver *driver, const char *path)
{
    Engine *engine = &driver->engine;
    return (driver->model && rxn__overwrites_input(&driver->model->engine, engine, path)) ||
           rxn__overwrites_input(engine, engine, path);
}

bool
rxn__driver_check_ensemble(Driver *driver, EnsembleOptions *options)
{
    return rxn__check_ensemble(&driver->engine, options);
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

RxnSimulatorOptions
rxn__driver_kernel(const EnsembleOptions *o, const char *method)
{
    RxnSimulatorOptions options = rxn_simulator_options();
    options.method = method;
    options.device = o->chose_device ? o->device_wish : NULL;
    options.precision = o->precision;
    options.lanes = (uint32_t)o->lanes;
    options.trajectories = o->trajectories;
    options.cache = o->cache;
    return options;
}

/* "name=value" */
static RxnStatus
set(Driver *driver, RxnValues *values, const char *text)
{
    Arena *arena = &driver->engine.session.arena;
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
rxn__driver_values(Driver *driver, RxnModel *model, const EnsembleOptions *o,
                   RxnValues **ret_values)
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
