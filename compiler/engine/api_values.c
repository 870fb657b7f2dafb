/* api_values.c: numbers for a model's parameters and inputs, in memory of their own. */
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/api.h"

typedef struct Edit {
    RxnValues *values;
    Arena *scratch;
    const char *name, *path; /* of the one that is set; of a file */
    double value;
    RxnKind kind; /* of those that are put */
    size_t first, count;
    const double *numbers;
} Edit;

static RxnStatus
allocate(void *context)
{
    RxnValues *values = context;
    values->given = rxn__given_new(values->model->pipeline.network, &values->arena);
    return RXN_OK;
}

static RxnStatus
complete(void *context)
{
    Edit *edit = context;
    RxnValues *values = edit->values;
    rxn__given_complete(values->model->pipeline.network, edit->scratch, &values->given,
                        &values->seed);
    return RXN_OK;
}

/* Does it where memory may run out, and completes what follows from it. */
static RxnStatus
apply(Edit *edit, RxnStatus (*body)(void *context), RxnError **ret_error)
{
    RxnModel *model = edit->values->model;
    Arena scratch;
    rxn__arena_init(&scratch, model->engine.session.memory);
    edit->scratch = &scratch;
    RxnStatus status = rxn__api_guard(&model->engine, body, edit);
    if (status == RXN_OK)
        status = rxn__api_guard(&model->engine, complete, edit);
    rxn__arena_release(&scratch);
    return rxn__api_finish(&model->engine, &model->options, status, ret_error);
}

/* Without numbers. */
static RxnStatus
make(RxnModel *model, uint64_t seed, RxnValues **ret_values)
{
    *ret_values = NULL;
    RxnValues *values = calloc(1, sizeof *values);
    if (!values)
        return RXN_ERROR_MEMORY;
    values->model = model;
    values->seed = seed;
    rxn__arena_init(&values->arena, &values->memory);
    if (rxn__memory_guard(&values->memory, allocate, values) != RXN_OK) {
        rxn_values_free(values);
        return RXN_ERROR_MEMORY;
    }
    *ret_values = values;
    return RXN_OK;
}

static RxnStatus
nothing(void *context)
{
    (void)context;
    return RXN_OK;
}

RxnStatus
rxn_values_new(RxnModel *model, uint64_t seed, RxnValues **ret_values, RxnError **ret_error)
{
    if (make(model, seed, ret_values) != RXN_OK)
        return rxn__api_no_memory(ret_error);
    Edit edit = {.values = *ret_values};
    RxnStatus status = apply(&edit, nothing, ret_error);
    if (status != RXN_OK) {
        rxn_values_free(*ret_values);
        *ret_values = NULL;
    }
    return status;
}

RxnStatus
rxn_values_copy(const RxnValues *values, RxnValues **ret_values, RxnError **ret_error)
{
    if (make(values->model, values->seed, ret_values) != RXN_OK)
        return rxn__api_no_memory(ret_error);
    rxn__given_copy(values->model->pipeline.network, &values->given, &(*ret_values)->given);
    if (ret_error)
        *ret_error = NULL;
    return RXN_OK;
}

void
rxn_values_free(RxnValues *values)
{
    if (!values)
        return;
    rxn__arena_release(&values->arena);
    free(values);
}

/* ---- changes ----------------------------------------------------------------------------------- */

static RxnStatus
set(void *context)
{
    Edit *edit = context;
    RxnModel *model = edit->values->model;
    bool good = rxn__given_set(&model->engine, model->pipeline.network, edit->scratch,
                               &edit->values->given, edit->name, edit->value);
    return good ? RXN_OK : RXN_ERROR_INPUT;
}

RxnStatus
rxn_values_set(RxnValues *values, const char *name, double value, RxnError **ret_error)
{
    Edit edit = {.values = values, .name = name, .value = value};
    return apply(&edit, set, ret_error);
}

static RxnStatus
put(void *context)
{
    Edit *edit = context;
    RxnModel *model = edit->values->model;
    const Network *network = model->pipeline.network;
    size_t all = edit->kind == RXN_INPUTS ? network->input_count : network->param_count;
    if (edit->kind != RXN_INPUTS && edit->kind != RXN_PARAMETERS)
        return rxn__api_refuse(&model->engine, "only parameters and inputs can be set");
    if (edit->first > all || edit->count > all - edit->first)
        return rxn__api_refuse(&model->engine, "there are %zu %s, not %zu from number %zu on", all,
                               edit->kind == RXN_INPUTS ? "inputs" : "parameters", edit->count,
                               edit->first);
    bool good =
        rxn__given_put(&model->engine, model->pipeline.network, edit->scratch, &edit->values->given,
                       edit->kind == RXN_INPUTS, (u32)edit->first, (u32)edit->count, edit->numbers);
    return good ? RXN_OK : RXN_ERROR_INPUT;
}

RxnStatus
rxn_values_put(RxnValues *values, RxnKind kind, size_t first, size_t count, const double *numbers,
               RxnError **ret_error)
{
    Edit edit = {
        .values = values, .kind = kind, .first = first, .count = count, .numbers = numbers};
    return apply(&edit, put, ret_error);
}

static RxnStatus
read_params(void *context)
{
    Edit *edit = context;
    RxnModel *model = edit->values->model;
    bool good = rxn__given_params(&model->engine, model->pipeline.network, edit->scratch,
                                  &edit->values->given, edit->path);
    return good ? RXN_OK : RXN_ERROR_INPUT;
}

static RxnStatus
read_inputs(void *context)
{
    Edit *edit = context;
    RxnModel *model = edit->values->model;
    bool good = rxn__given_inputs(&model->engine, model->pipeline.network, edit->scratch,
                                  &edit->values->given, edit->path);
    return good ? RXN_OK : RXN_ERROR_INPUT;
}

RxnStatus
rxn_values_load(RxnValues *values, const char *path, RxnError **ret_error)
{
    Edit edit = {.values = values, .path = path};
    return apply(&edit, read_params, ret_error);
}

RxnStatus
rxn_values_load_inputs(RxnValues *values, const char *path, RxnError **ret_error)
{
    Edit edit = {.values = values, .path = path};
    return apply(&edit, read_inputs, ret_error);
}

const double *
rxn_values_get(const RxnValues *values, RxnKind kind)
{
    switch (kind) {
    case RXN_PARAMETERS: return values->given.params;
    case RXN_INPUTS: return values->given.inputs;
    case RXN_SPECIES:
    case RXN_OBSERVABLES:
    case RXN_REACTIONS: break;
    }
    return NULL;
}
