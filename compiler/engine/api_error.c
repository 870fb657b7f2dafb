/* api_error.c: messages as objects that outlive what they are about.
 *
 * An error is one block of memory: the messages, then all their texts. Where not even that can be had there is an object that
 * is always there.
 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/api.h"

struct RxnError {
    RxnStatus status;
    bool is_static;
    const char *text;
    size_t count;
    RxnMessage messages[]; /* then the texts */
};

static const RxnError no_memory = {RXN_ERROR_MEMORY, true, "error: out of memory", 1};

RxnStatus
rxn_error_status(const RxnError *error)
{
    return error ? error->status : RXN_OK;
}

const char *
rxn_error_text(const RxnError *error)
{
    return error ? error->text : "";
}

size_t
rxn_error_count(const RxnError *error)
{
    return error ? error->count : 0;
}

RxnMessage
rxn_error_message(const RxnError *error, size_t k)
{
    if (!error || k >= error->count)
        return (RxnMessage){.severity = RXN_NOTE, .text = ""};
    if (error->is_static)
        return (RxnMessage){.severity = RXN_ERROR, .text = "out of memory"};
    return error->messages[k];
}

void
rxn_error_free(RxnError *error)
{
    if (error && !error->is_static)
        free(error);
}

RxnStatus
rxn__api_no_memory(RxnError **ret_error)
{
    /* Nobody writes to it: its functions take it as const, and free leaves it. */
    if (ret_error)
        *ret_error = (RxnError *)(uintptr_t)&no_memory;
    return RXN_ERROR_MEMORY;
}

RxnStatus
rxn__api_refuse(Engine *engine, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = rxn__text_vformat(&engine->session.arena, format, args);
    va_end(args);
    rxn__engine_error(engine, "%s", text);
    return RXN_ERROR_USAGE;
}

RxnStatus
rxn__api_guard(Engine *engine, RxnStatus (*body)(void *context), void *context)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c)
        return RXN_ERROR_MEMORY;
    locale_t before = uselocale(c);
    RxnStatus status = rxn__session_guard(&engine->session, body, context);
    uselocale(before);
    freelocale(c);
    return status;
}

/* ---- from diagnostics -------------------------------------------------------------------------- */

/* An error or a warning with its notes. */
typedef struct Group {
    u32 first, count, position;
} Group;

typedef VEC(Group) Groups;

static int
compare_groups(const void *a, const void *b)
{
    const Group *left = a, *right = b;
    if (left->position != right->position)
        return left->position < right->position ? -1 : 1;
    return left->first < right->first ? -1 : left->first > right->first;
}

/* In the order in which the text has them: that of places. */
static Groups
group(const Diagnostics *diagnostics, Arena *arena)
{
    Groups groups = {0};
    for (u32 k = 0; k < diagnostics->list.count; k++) {
        const Diagnostic *d = &diagnostics->list.items[k];
        if (d->kind == DIAGNOSTIC_NOTE && groups.count)
            groups.items[groups.count - 1].count++;
        else
            vec_push(arena, &groups, ((Group){.first = k, .count = 1, .position = d->span.begin}));
    }
    if (groups.count)
        qsort(groups.items, groups.count, sizeof(Group), compare_groups);
    return groups;
}

static void
empty(Engine *engine)
{
    Diagnostics *diagnostics = &engine->session.diagnostics;
    diagnostics->list.count = diagnostics->error_count = diagnostics->warning_count = 0;
    diagnostics->dropped = diagnostics->dropped_warnings = 0;
    diagnostics->dropping = false;
    engine->internal_error = NULL;
    engine->is_out_of_memory = false;
}

typedef struct Making {
    Engine *engine;
    const RxnModelOptions *options;
    RxnStatus status;
    Arena *arena;
    RxnError *error;
} Making;

/* Texts that go into the block behind the messages, one after another. */
typedef struct Room {
    char *at;
} Room;

static const char *
put(Room *room, const char *text, size_t length)
{
    char *here = room->at;
    memcpy(here, text, length);
    here[length] = '\0';
    room->at += length + 1;
    return here;
}

static const RxnSeverity severities[] = {
    [DIAGNOSTIC_ERROR] = RXN_ERROR,
    [DIAGNOSTIC_WARNING] = RXN_WARNING,
    [DIAGNOSTIC_NOTE] = RXN_NOTE,
};

static RxnMessage
message_of(const Engine *engine, const Diagnostic *d)
{
    RxnMessage message = {.severity = severities[d->kind], .text = d->message};
    SourcePlace place = rxn__sources_locate(&engine->session.sources, d->span.begin);
    if (!place.file)
        return message;
    message.file = place.file->path;
    message.line = place.line;
    message.column = place.line_offset + 1;
    message.first = d->span.begin - place.file->base;
    message.length = d->span.end > d->span.begin ? d->span.end - d->span.begin : 0;
    return message;
}

static RxnStatus
make_error(void *context)
{
    Making *making = context;
    Engine *engine = making->engine;
    Diagnostics *diagnostics = &engine->session.diagnostics;
    if (engine->internal_error) {
        rxn__engine_error(engine, "internal error: %s", engine->internal_error);
        rxn__engine_note(
            engine, "this is a bug in rxn %s, not in the model; please report it with the model",
            rxn_version());
    }
    Text text;
    rxn__text_init(&text, making->arena);
    rxn__diagnostics_render(diagnostics, &text);
    while (text.length > 0 && text.data[text.length - 1] == '\n')
        text.length--;
    Groups groups = group(diagnostics, making->arena);
    size_t count = diagnostics->list.count, bytes = text.length + 1, at = 0;
    RxnMessage *messages = NEW_ARRAY(making->arena, RxnMessage, count + 1);
    for (u32 g = 0; g < groups.count; g++)
        for (u32 k = 0; k < groups.items[g].count; k++) {
            messages[at] = message_of(engine, &diagnostics->list.items[groups.items[g].first + k]);
            bytes += strlen(messages[at].text) + 1;
            bytes += messages[at].file ? strlen(messages[at].file) + 1 : 0;
            at++;
        }
    RxnError *error = malloc(sizeof *error + count * sizeof *messages + bytes);
    if (!error)
        return RXN_ERROR_MEMORY;
    *error = (RxnError){.status = making->status, .count = count};
    Room room = {(char *)&error->messages[count]};
    error->text = put(&room, text.data ? text.data : "", text.length);
    for (size_t k = 0; k < count; k++) {
        error->messages[k] = messages[k];
        error->messages[k].text = put(&room, messages[k].text, strlen(messages[k].text));
        if (messages[k].file)
            error->messages[k].file = put(&room, messages[k].file, strlen(messages[k].file));
    }
    making->error = error;
    return RXN_OK;
}

static RxnStatus
tell_each(void *context)
{
    Making *making = context;
    Diagnostics *all = &making->engine->session.diagnostics;
    Groups groups = group(all, making->arena);
    for (u32 g = 0; g < groups.count; g++) {
        const Group *one = &groups.items[g];
        Diagnostics some = *all;
        Text text;
        some.list.items = all->list.items + one->first;
        some.list.count = one->count;
        some.dropped = some.dropped_warnings = 0;
        rxn__text_init(&text, making->arena);
        rxn__diagnostics_render(&some, &text);
        making->options->tell(making->options->tell_context, severities[some.list.items[0].kind],
                              text.data);
    }
    return RXN_OK;
}

void
rxn__api_tell(Engine *engine, const RxnModelOptions *options)
{
    Arena arena;
    rxn__arena_init(&arena, engine->session.memory);
    Making making = {.engine = engine, .options = options, .arena = &arena};
    if (options->tell) /* a warning that memory is too short for is lost; the work is not */
        rxn__session_guard(&engine->session, tell_each, &making);
    rxn__arena_release(&arena);
    empty(engine);
}

RxnStatus
rxn__api_finish(Engine *engine, const RxnModelOptions *options, RxnStatus status,
                RxnError **ret_error)
{
    if (ret_error)
        *ret_error = NULL;
    if (status == RXN_OK) {
        rxn__api_tell(engine, options);
        return RXN_OK;
    }
    if (status == RXN_ERROR_MEMORY || !ret_error) {
        bool is_memory = status == RXN_ERROR_MEMORY || engine->is_out_of_memory;
        empty(engine);
        return is_memory ? rxn__api_no_memory(ret_error) : status;
    }
    if (status == RXN_ERROR_INPUT && engine->is_out_of_memory)
        status = RXN_ERROR_MEMORY; /* with more to say than that alone */
    Arena arena;
    rxn__arena_init(&arena, engine->session.memory);
    Making making = {.engine = engine, .options = options, .status = status, .arena = &arena};
    if (rxn__session_guard(&engine->session, make_error, &making) == RXN_OK)
        *ret_error = making.error;
    else
        status = rxn__api_no_memory(ret_error);
    rxn__arena_release(&arena);
    empty(engine);
    return status;
}

static RxnStatus
refuse_nowhere(Engine *engine, const void *argument)
{
    return rxn__api_refuse(engine, "%s is NULL: the result has nowhere to go",
                           (const char *)argument);
}

RxnStatus
rxn__api_nowhere(const char *argument, RxnError **ret_error)
{
    return rxn__api_check(NULL, refuse_nowhere, argument, ret_error);
}

typedef struct Checking {
    Engine *engine;
    RxnStatus (*body)(Engine *engine, const void *options);
    const void *options;
} Checking;

static RxnStatus
check(void *context)
{
    Checking *checking = context;
    return checking->body(checking->engine, checking->options);
}

RxnStatus
rxn__api_check(const RxnModel *model, RxnStatus (*body)(Engine *engine, const void *options),
               const void *options, RxnError **ret_error)
{
    const RxnModelOptions usual = rxn_model_options();
    Engine engine;
    Checking checking = {&engine, body, options};
    RxnStatus status = rxn__engine_open(&engine, 0);
    if (model && model->engine.built)
        rxn__embedded_init(&engine, model->engine.built);
    if (status == RXN_OK)
        status = rxn__api_guard(&engine, check, &checking);
    status = rxn__api_finish(&engine, model ? &model->options : &usual, status, ret_error);
    rxn__engine_close(&engine);
    return status;
}
