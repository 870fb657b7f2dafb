/* engine.c: an engine's beginning and end, its messages, who watches it; and what several files read texts with. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/engine.h"

RxnStatus
rxn__engine_open(Engine *engine, size_t memory_limit)
{
    *engine = (Engine){0};
    RxnStatus status = rxn__session_open(&engine->session, memory_limit);
    rxn__files_init(engine);
    return status;
}

void
rxn__engine_close(Engine *engine)
{
    rxn__cuda_close(engine->cuda);
    rxn__session_close(&engine->session);
}

/* ---- messages ---------------------------------------------------------------------------------- */

void
rxn__engine_error(Engine *engine, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = rxn__text_vformat(&engine->session.arena, format, args);
    va_end(args);
    rxn__error(&engine->session.diagnostics, (Span){0, 0}, "%s", text);
}

void
rxn__engine_note(Engine *engine, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = rxn__text_vformat(&engine->session.arena, format, args);
    va_end(args);
    rxn__note(&engine->session.diagnostics, (Span){0, 0}, "%s", text);
}

void
rxn__engine_tell(Engine *engine)
{
    if (engine->watch.tell)
        engine->watch.tell(engine->watch.context);
}

/* ---- who watches ------------------------------------------------------------------------------- */

Watched
rxn__watch_begin(Engine *engine, bool counted, bool quiet)
{
    const Watch *watch = &engine->watch;
    return (Watched){
        .cancel = watch->begin ? watch->begin(watch->context, counted, quiet) : NULL,
        .progress = quiet ? NULL : watch->progress,
        .progress_context = watch->context,
    };
}

void
rxn__watch_end(Engine *engine)
{
    if (engine->watch.end)
        engine->watch.end(engine->watch.context);
}

/* ---- texts ------------------------------------------------------------------------------------- */

const char *
rxn__nearest(const char *word, u32 count, const char *const *candidates)
{
    const char *nearest = NULL;
    u32 limit = strlen(word) < 4 ? 1 : 2, best = limit + 1;
    for (u32 k = 0; k < count; k++) {
        u32 distance =
            rxn__name_distance(word, strlen(word), candidates[k], strlen(candidates[k]), limit);
        if (distance < best) {
            best = distance;
            nearest = candidates[k];
        }
    }
    return nearest;
}

bool
rxn__parse_number(const char *text, double *ret_value)
{
    char *end;
    if (!*text || strspn(text, " \t\n\v\f\r") > 0)
        return false;
    *ret_value = strtod(text, &end);
    return *end == '\0' && isfinite(*ret_value);
}

bool
rxn__parse_bytes(const char *text, u64 *ret_bytes)
{
    static const char suffixes[] = "KMGT";
    char number[40];
    size_t length = strlen(text);
    double scale = 1, value;
    const char *suffix = length ? strchr(suffixes, toupper((unsigned char)text[length - 1])) : NULL;
    if (suffix && *suffix) {
        scale = ldexp(1, 10 * (int)(suffix - suffixes + 1));
        length--;
    }
    if (length == 0 || length >= sizeof number)
        return false;
    memcpy(number, text, length);
    number[length] = '\0';
    if (!rxn__parse_number(number, &value) || !(value * scale >= 1 && value * scale < 0x1p63))
        return false;
    *ret_bytes = (u64)(value * scale);
    return true;
}
