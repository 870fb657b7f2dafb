/* api_files.c: files that are read for who calls, and which a model was read from. */
#include <string.h>

#include "compiler/engine/api.h"

typedef struct TextReading {
    Engine engine;
    const char *path;
    char *resolved, *text;
    size_t length;
} TextReading;

static RxnStatus
read_text(void *context)
{
    TextReading *reading = context;
    Engine *engine = &reading->engine;
    Arena *arena = &engine->session.arena;
    const char *path = reading->path, *text = NULL, *reason = "there is no name of a file";
    if (path && strcmp(path, "-") != 0) {
        rxn__load_used(NULL, "", path, arena, &path, &text, &reading->length, &reason);
    } else if (path) {
        path = "<stdin>";
        text = rxn__read_file("-", arena, &reading->length, &reason);
    }
    if (!text) {
        path = path ? path : "";
        rxn__engine_error(engine, "'%s' cannot be read: %s", rxn__shown(arena, path, strlen(path)),
                          reason);
        return RXN_ERROR_INPUT;
    }
    reading->resolved = rxn__api_text(path, strlen(path));
    reading->text = reading->resolved ? rxn__api_text(text, reading->length) : NULL;
    return reading->text ? RXN_OK : RXN_ERROR_MEMORY;
}

RxnStatus
rxn_read(const char *path, char **ret_path, char **ret_text, size_t *ret_length,
         RxnError **ret_error)
{
    const RxnModelOptions usual = rxn_model_options();
    TextReading reading = {.path = path};
    if (!ret_path || !ret_text || !ret_length)
        return rxn__api_nowhere(!ret_path   ? "ret_path"
                                : !ret_text ? "ret_text"
                                            : "ret_length",
                                ret_error);
    RxnStatus status = rxn__engine_open(&reading.engine, 0);
    if (status == RXN_OK)
        status = rxn__api_guard(&reading.engine, read_text, &reading);
    status = rxn__api_finish(&reading.engine, &usual, status, ret_error);
    rxn__engine_close(&reading.engine);
    if (status != RXN_OK) {
        rxn_text_free(reading.resolved);
        reading.resolved = NULL;
    }
    *ret_path = reading.resolved;
    *ret_text = reading.text;
    *ret_length = reading.length;
    return status;
}

const char *
rxn_model_file(const RxnModel *model, size_t k)
{
    const SourceMap *sources = &model->engine.session.sources;
    return k < sources->files.count ? sources->files.items[k].path : NULL;
}
