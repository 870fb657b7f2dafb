/* params.c: see params.h. The reading of JSON itself is that of the library jansson.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "compiler/engine/params.h"

static const char *reason_of(Arena *arena, const char *format, ...) RXN_PRINTF(2, 3);

static const char *
reason_of(Arena *arena, const char *format, ...)
{
    Text text;
    va_list args;
    rxn__text_init(&text, arena);
    va_start(args, format);
    rxn__text_vprintf(&text, format, args);
    va_end(args);
    return text.data;
}

/* A number, or an array of numbers; false if it is neither. */
static bool
take_value(const json_t *value, Arena *arena, ParamsEntry *entry)
{
    entry->is_array = json_is_array(value);
    entry->count = entry->is_array ? json_array_size(value) : 1;
    double *values = NEW_ARRAY(arena, double, entry->count + 1);
    for (u64 k = 0; k < entry->count; k++) {
        const json_t *item = entry->is_array ? json_array_get(value, k) : value;
        if (!json_is_number(item))
            return false;
        values[k] = json_number_value(item);
    }
    entry->values = values;
    return true;
}

static const char *
take_list(const json_t *root, const char *member, Arena *arena, ParamsFile *file)
{
    const json_t *list = json_object_get(root, member);
    if (list && !json_is_array(list))
        return reason_of(arena, "'%s' in it is not an array", member);
    for (size_t k = 0; k < json_array_size(list); k++) {
        const json_t *item = json_array_get(list, k);
        const char *name = json_string_value(json_object_get(item, "name"));
        const json_t *value = json_object_get(item, "value");
        if (!name || !value)
            return reason_of(arena, "element %zu of '%s' in it has no name, or no value", k,
                             member);
        ParamsEntry entry = {.name = rxn__arena_copy_text(arena, name, strlen(name))};
        if (!take_value(value, arena, &entry))
            return reason_of(arena,
                             "the value of '%s' in it is neither a number nor an array of numbers",
                             rxn__shown(arena, name, strlen(name)));
        vec_push(arena, &file->entries, entry);
    }
    return NULL;
}

static const char *
take(const json_t *root, Arena *arena, ParamsFile *file)
{
    if (!json_is_array(json_object_get(root, "parameters")))
        return "it is not the result of a fit: it has no array 'parameters'";
    const char *reason = take_list(root, "parameters", arena, file);
    return reason ? reason : take_list(root, "fixed", arena, file);
}

static void
release(void *root)
{
    json_decref(root);
}

bool
rxn__params_read(const char *path, Arena *arena, ParamsFile *ret_file, const char **ret_reason)
{
    size_t length;
    *ret_file = (ParamsFile){0};
    const char *text = rxn__read_file(path, arena, &length, ret_reason);
    if (!text)
        return false;
    json_error_t error;
    json_t *root =
        json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
    if (!root) {
        *ret_reason =
            reason_of(arena, "line %d, column %d: %s", error.line, error.column, error.text);
        return false;
    }
    rxn__arena_on_release(arena, release, root);
    *ret_reason = take(root, arena, ret_file);
    return *ret_reason == NULL;
}
