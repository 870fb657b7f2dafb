/* api_model.c: models: from a text or a file, and what is in them. */
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/api.h"
#include "compiler/target/program_abi.h"

/* ---- the files of a model ---------------------------------------------------------------------- */

static const ApiFile *
find_file(const RxnModel *model, const char *from, const char *path)
{
    for (const ApiFile *file = model->files; file; file = file->next)
        if (strcmp(file->from, from) == 0 && strcmp(file->path, path) == 0)
            return file;
    return NULL;
}

/* What the caller's function gave, which is freed with the arena. */
typedef struct CallersFile {
    char *resolved, *text;
} CallersFile;

static void
free_file(void *file)
{
    free(((CallersFile *)file)->resolved);
    free(((CallersFile *)file)->text);
}

static bool
load_of_caller(RxnModel *model, const char *from, const char *path, Arena *arena,
               const char **ret_resolved, const char **ret_text, size_t *ret_length,
               const char **ret_reason)
{
    CallersFile *file = NEW(arena, CallersFile);
    const char *reason = NULL;
    size_t length = 0;
    rxn__arena_on_release(arena, free_file, file); /* before there is anything to lose */
    bool good = model->options.load(model->options.load_context, from, path, &file->resolved,
                                    &file->text, &length, &reason);
    if (good && length > RXN_MAX_SOURCE_BYTES) {
        good = false;
        reason = "it is larger than 64 MiB";
    }
    *ret_resolved = file->resolved ? file->resolved : path;
    *ret_text = file->text ? file->text : "";
    *ret_length = file->text ? length : 0;
    if (good)
        return true;
    reason = reason ? reason : "no reason given";
    *ret_reason = rxn__arena_copy_text(arena, reason, strlen(reason));
    return false;
}

/* As SourceLoader; context: the model. */
static bool
load(void *context, const char *from, const char *path, Arena *arena, const char **ret_resolved,
     const char **ret_text, size_t *ret_length, const char **ret_reason)
{
    RxnModel *model = context;
    const ApiFile *known = find_file(model, from, path);
    if (!known && model->is_open) {
        *ret_reason = "it was not there when the model was read";
        return false;
    }
    if (!known) {
        Arena *kept = &model->engine.session.arena;
        ApiFile *file = NEW(kept, ApiFile);
        bool good = model->options.load ? load_of_caller(model, from, path, kept, &file->resolved,
                                                         &file->text, &file->length, ret_reason)
                                        : rxn__load_used(NULL, from, path, kept, &file->resolved,
                                                         &file->text, &file->length, ret_reason);
        if (!good)
            return false;
        file->from = rxn__arena_copy_text(kept, from, strlen(from));
        file->path = rxn__arena_copy_text(kept, path, strlen(path));
        ApiFile **end = &model->files;
        while (*end)
            end = &(*end)->next;
        known = *end = file;
    }
    (void)arena;
    *ret_resolved = known->resolved;
    *ret_text = known->text;
    *ret_length = known->length;
    return true;
}

/* ---- what is made of it ------------------------------------------------------------------------ */

static const volatile int *
begin_watch(void *context, bool counted, bool quiet)
{
    ApiPart *part = context;
    if (part->stage)
        part->stage(part->stage_context, quiet     ? RXN_STAGE_SILENT
                                         : counted ? RXN_STAGE_TRAJECTORIES
                                                   : RXN_STAGE_STEPS);
    return part->cancel;
}

static void
end_watch(void *context)
{
    ApiPart *part = context;
    if (part->stage)
        part->stage(part->stage_context, RXN_STAGE_END);
}

static void
show_progress(void *context, uint64_t done, uint64_t total)
{
    ApiPart *part = context;
    if (part->progress)
        part->progress(part->progress_context, done, total);
}

static bool
was_told(const RxnModel *model, const Diagnostic *diagnostic)
{
    for (u32 k = 0; diagnostic->kind == DIAGNOSTIC_WARNING && k < model->told.count; k++)
        if (strcmp(model->told.items[k], diagnostic->message) == 0)
            return true;
    return false;
}

/* Warnings that were told when the model was read, with their notes. */
static void
drop_told(ApiPart *part)
{
    Diagnostics *diagnostics = &part->engine.session.diagnostics;
    u32 kept = 0;
    bool drops = false;
    for (u32 k = 0; k < diagnostics->list.count; k++) {
        const Diagnostic *diagnostic = &diagnostics->list.items[k];
        if (diagnostic->kind != DIAGNOSTIC_NOTE)
            drops = was_told(part->model, diagnostic);
        if (!drops)
            diagnostics->list.items[kept++] = *diagnostic;
    }
    diagnostics->list.count = kept;
}

static void
tell(void *context)
{
    ApiPart *part = context;
    drop_told(part);
    rxn__api_tell(&part->engine, &part->model->options);
}

/* At the position that it has in the model's session, where the network that it was imported from may come before it: places are
 * the same, whichever way a part goes. */
static RxnStatus
add_text(void *context)
{
    ApiPart *part = context;
    const RxnModel *model = part->model;
    SourceMap *sources = &part->engine.session.sources;
    sources->next_base = model->engine.session.sources.files.items[model->file].base;
    part->file = rxn__sources_add(sources, model->path, model->text, model->length);
    return part->file == UINT32_MAX ? RXN_ERROR_MEMORY : RXN_OK;
}

static void
connect(ApiPart *part)
{
    RxnModel *model = part->model;
    part->engine.loader = (SourceLoader){.context = model, .load = load};
    part->engine.watch = (Watch){begin_watch, show_progress, end_watch, tell, part};
    if (model->engine.built)
        rxn__embedded_init(&part->engine, model->engine.built);
}

RxnStatus
rxn__part_open(ApiPart *part, RxnModel *model)
{
    *part = (ApiPart){.model = model};
    RxnStatus status = rxn__engine_open(&part->engine, model->options.memory_limit);
    connect(part);
    return status == RXN_OK ? rxn__api_guard(&part->engine, add_text, part) : status;
}

/* Kernels may depend on the order in which expressions were made, so whoever has the network has it as it was read. After its
 * passes expressions and variables are added by who needs them; nothing that there is of it is changed. */
static bool
is_as_read(const RxnModel *model)
{
    const Network *network = model->pipeline.network;
    return network->exprs.count == model->expr_count &&
           network->variables.count == model->variable_count;
}

RxnStatus
rxn__part_open_at_network(ApiPart *part, RxnModel *model)
{
    if (model->is_lent || model->has_untold || !is_as_read(model))
        return rxn__part_open(part, model);
    *part = (ApiPart){.model = model, .file = model->file};
    RxnStatus status = rxn__engine_open_within(&part->engine, &model->engine);
    connect(part);
    if (status == RXN_OK) {
        part->front = &model->pipeline;
        model->is_lent = true;
    }
    return status;
}

void
rxn__part_close(ApiPart *part)
{
    rxn__engine_close(&part->engine);
    if (part->front)
        part->model->is_lent = false;
}

RxnStatus
rxn__part_finish(ApiPart *part, RxnStatus status, RxnError **ret_error)
{
    drop_told(part);
    return rxn__api_finish(&part->engine, &part->model->options, status, ret_error);
}

void
rxn__part_hush(ApiPart *part, bool hushed)
{
    const RxnModelOptions nobody = {.tell = NULL};
    part->engine.watch.tell = hushed ? NULL : tell;
    if (!hushed)
        rxn__api_tell(&part->engine, &nobody);
}

void
rxn__part_watch(ApiPart *part, const RxnRunOptions *options)
{
    part->progress = options ? options->progress : NULL;
    part->progress_context = options ? options->progress_context : NULL;
    part->cancel = options ? options->cancel : NULL;
    part->stage = options ? options->stage : NULL;
    part->stage_context = options ? options->stage_context : NULL;
}

/* ---- opening ----------------------------------------------------------------------------------- */

RxnModelOptions
rxn_model_options(void)
{
    return (RxnModelOptions){.name = NULL};
}

typedef struct Opening {
    RxnModel *model;
    const char *text, *path; /* one of them */
} Opening;

static RxnStatus
read_model(void *context)
{
    Opening *opening = context;
    RxnModel *model = opening->model;
    Session *session = &model->engine.session;
    u32 file = UINT32_MAX;
    if (!opening->path && !opening->text && !model->engine.built)
        return rxn__api_refuse(&model->engine, "there is no model: neither a text nor a file");
    if (opening->path || !opening->text) { /* a file, or, without a name, the model of a program */
        if (!rxn__load_model(&model->engine, opening->path, &file))
            return RXN_ERROR_INPUT;
    } else {
        const char *name = model->options.name ? model->options.name : "model";
        size_t length = strlen(opening->text);
        if (length > RXN_MAX_SOURCE_BYTES) {
            rxn__engine_error(&model->engine, "'%s' cannot be read: it is larger than 64 MiB",
                              rxn__shown(&session->arena, name, strlen(name)));
            return RXN_ERROR_INPUT;
        }
        file = rxn__sources_add(&session->sources, name, opening->text, length);
    }
    if (file == UINT32_MAX)
        return RXN_ERROR_MEMORY;
    const SourceFile *source = &session->sources.files.items[file];
    model->file = file;
    model->path = source->path;
    model->text = source->text;
    model->length = source->length;
    PipelineRequest request = {
        .file = file, .loader = &model->engine.loader, .goal = PIPELINE_NETWORK};
    RxnStatus status = rxn__pipeline_run(session, &request, &model->pipeline);
    model->engine.internal_error = model->pipeline.internal_error;
    if (model->options.tell_later && status == RXN_OK) {
        model->has_untold = session->diagnostics.list.count > 0;
        session->diagnostics.list.count = session->diagnostics.warning_count = 0;
        session->diagnostics.dropped_warnings = 0;
    }
    for (u32 k = 0; k < session->diagnostics.list.count; k++)
        if (session->diagnostics.list.items[k].kind == DIAGNOSTIC_WARNING)
            vec_push(&session->arena, &model->told, session->diagnostics.list.items[k].message);
    if (status == RXN_OK) {
        model->expr_count = model->pipeline.network->exprs.count;
        model->variable_count = model->pipeline.network->variables.count;
    }
    model->is_open = true;
    return status;
}

RxnStatus
rxn__model_begin(RxnModel *model, const RxnModelOptions *options)
{
    model->options = options ? *options : rxn_model_options();
    RxnStatus status = rxn__engine_open(&model->engine, model->options.memory_limit);
    model->engine.loader = (SourceLoader){.context = model, .load = load};
    return status;
}

static RxnStatus
open_model(const Opening *wanted, const struct RxnProgram *built, const RxnModelOptions *options,
           RxnModel **ret_model, RxnError **ret_error)
{
    *ret_model = NULL;
    RxnModel *model = calloc(1, sizeof *model);
    if (!model)
        return rxn__api_no_memory(ret_error);
    RxnStatus status = rxn__model_begin(model, options);
    rxn__arena_init(&model->label, model->engine.session.memory);
    if (built)
        rxn__embedded_init(&model->engine, built);
    Opening opening = {model, wanted->text, wanted->path};
    if (status == RXN_OK)
        status = rxn__api_guard(&model->engine, read_model, &opening);
    model->options.name = NULL; /* it is the caller's, and has been copied */
    status = rxn__api_finish(&model->engine, &model->options, status, ret_error);
    if (status == RXN_OK)
        *ret_model = model;
    else
        rxn_model_free(model);
    return status;
}

RxnStatus
rxn_model_parse(const char *text, const RxnModelOptions *options, RxnModel **ret_model,
                RxnError **ret_error)
{
    return open_model(&(Opening){.text = text}, NULL, options, ret_model, ret_error);
}

RxnStatus
rxn_model_open(const char *path, const RxnModelOptions *options, RxnModel **ret_model,
               RxnError **ret_error)
{
    return open_model(&(Opening){.path = path}, NULL, options, ret_model, ret_error);
}

RxnStatus
rxn_model_of_program(const struct RxnProgram *built, const RxnModelOptions *options,
                     RxnModel **ret_model, RxnError **ret_error)
{
    return open_model(&(Opening){.model = NULL}, built, options, ret_model, ret_error);
}

const char *
rxn_program_model(const struct RxnProgram *program)
{
    return program->model;
}

void
rxn_model_free(RxnModel *model)
{
    if (!model)
        return;
    rxn__arena_release(&model->label);
    if (model->pipeline.arena.memory)
        rxn__pipeline_close(&model->pipeline);
    rxn__engine_close(&model->engine);
    free(model);
}

/* ---- what is in it ----------------------------------------------------------------------------- */

const char *
rxn_model_name(const RxnModel *model)
{
    Name name = model->pipeline.network->name;
    return name ? name->text : "model";
}

size_t
rxn_model_count(const RxnModel *model, RxnKind kind)
{
    const Network *network = model->pipeline.network;
    switch (kind) {
    case RXN_PARAMETERS: return network->param_count;
    case RXN_INPUTS: return network->input_count;
    case RXN_SPECIES: return network->species_count;
    case RXN_OBSERVABLES: return network->column_count;
    case RXN_REACTIONS: return network->reaction_count;
    }
    return 0;
}

typedef struct Labelling {
    RxnModel *model;
    RxnKind kind;
    u32 member;
    const char *label;
} Labelling;

static const char *
input_label(const Network *network, u32 flat, Arena *arena)
{
    for (u32 k = 0; k < network->inputs.count; k++) {
        const Input *input = &network->inputs.items[k];
        u64 count = rxn__shape_count(&input->shape);
        if (flat < input->flat || flat >= input->flat + count)
            continue;
        Text text;
        u32 indices[RXN_MAX_RANK], rest = flat - input->flat;
        for (u32 d = input->shape.rank; d-- > 0;) {
            indices[d] = rest % input->shape.extent[d];
            rest /= input->shape.extent[d];
        }
        rxn__text_init(&text, arena);
        rxn__text_printf(&text, "%s", input->name->text);
        for (u32 d = 0; d < input->shape.rank; d++)
            rxn__text_printf(&text, "%s%u", d ? "," : "[", indices[d]);
        rxn__text_printf(&text, "%s", input->shape.rank ? "]" : "");
        return text.data;
    }
    return NULL;
}

static RxnStatus
make_label(void *context)
{
    Labelling *wanted = context;
    const Network *network = wanted->model->pipeline.network;
    Arena *arena = &wanted->model->label;
    switch (wanted->kind) {
    case RXN_PARAMETERS: wanted->label = rxn__param_label(network, wanted->member, arena); break;
    case RXN_INPUTS: wanted->label = input_label(network, wanted->member, arena); break;
    case RXN_SPECIES: wanted->label = rxn__species_label(network, wanted->member, arena); break;
    case RXN_OBSERVABLES: wanted->label = rxn__column_label(network, wanted->member, arena); break;
    case RXN_REACTIONS: wanted->label = rxn__reaction_label(network, wanted->member, arena); break;
    }
    return RXN_OK;
}

const char *
rxn_model_label(RxnModel *model, RxnKind kind, size_t member)
{
    Labelling wanted = {.model = model, .kind = kind, .member = (u32)member};
    rxn__arena_release(&model->label);
    if (member >= rxn_model_count(model, kind) ||
        rxn__api_guard(&model->engine, make_label, &wanted) != RXN_OK)
        return NULL;
    return wanted.label;
}

/* An array of what is counted, by its name. */
typedef struct Array {
    Name name;
    Shape shape;
    i64 low[RXN_MAX_RANK]; /* of each index */
    u32 flat, members;
} Array;

static bool
array_at(const Network *network, RxnKind kind, u32 k, Array *ret_array)
{
    *ret_array = (Array){0};
#define TAKE(list)                                                                                 \
    do {                                                                                           \
        if (k >= network->list.count)                                                              \
            return false;                                                                          \
        ret_array->name = network->list.items[k].name;                                             \
        ret_array->shape = network->list.items[k].shape;                                           \
        ret_array->flat = network->list.items[k].flat;                                             \
        ret_array->members = (u32)rxn__shape_count(&ret_array->shape);                             \
        return true;                                                                               \
    } while (0)
    switch (kind) {
    case RXN_PARAMETERS: TAKE(params);
    case RXN_INPUTS: TAKE(inputs);
    case RXN_SPECIES: TAKE(species);
    case RXN_OBSERVABLES: TAKE(observables);
    case RXN_REACTIONS: {
        if (k >= network->reactions.count)
            return false;
        const Reaction *reaction = &network->reactions.items[k];
        *ret_array = (Array){.name = reaction->label,
                             .flat = reaction->flat,
                             .members = reaction->count,
                             .shape = {.rank = reaction->variable_count}};
        for (u32 d = 0; d < reaction->variable_count; d++) {
            const Variable *variable = &network->variables.items[reaction->variables[d]];
            ret_array->low[d] = variable->low;
            ret_array->shape.extent[d] = (u32)(variable->high - variable->low + 1);
        }
        return true;
    }
    }
#undef TAKE
    return false;
}

/* "[3,1]" as the number of a member; false: it is none. */
static bool
parse_indices(const char *text, const Array *array, u32 *ret_member)
{
    const Shape *shape = &array->shape;
    u64 member = 0;
    for (u32 d = 0; d < shape->rank; d++) {
        text += strspn(text, " ");
        if (*text != (d ? ',' : '['))
            return false;
        text += 1 + strspn(text + 1, " ");
        char *end;
        if ((*text < '0' || *text > '9') && *text != '-')
            return false;
        long long index = strtoll(text, &end, 10);
        if (end == text || index < array->low[d] || index - array->low[d] >= shape->extent[d])
            return false;
        member = member * shape->extent[d] + (u64)(index - array->low[d]);
        text = end;
    }
    text += strspn(text, " ");
    *ret_member = (u32)member;
    return shape->rank > 0 && strcmp(text, "]") == 0;
}

bool
rxn_model_find(RxnModel *model, RxnKind kind, const char *label, size_t *ret_first,
               size_t *ret_count)
{
    const Network *network = model->pipeline.network;
    size_t length = strcspn(label, "[");
    Array array;
    for (u32 k = 0; array_at(network, kind, k, &array); k++) {
        u32 member = 0;
        if (array.name->length != length || memcmp(array.name->text, label, length) != 0)
            continue;
        if (label[length] && !parse_indices(label + length, &array, &member))
            return false;
        if (ret_first)
            *ret_first = array.flat + member;
        if (ret_count)
            *ret_count = label[length] ? 1 : array.members;
        return true;
    }
    return false;
}

bool
rxn_model_has_fit(const RxnModel *model)
{
    const Network *network = model->pipeline.network;
    for (u32 k = 0; k < network->fit.count; k++)
        if (strcmp(network->fit.items[k].key->text, "loss") == 0 ||
            strcmp(network->fit.items[k].key->text, "experiment") == 0)
            return true;
    return false;
}
