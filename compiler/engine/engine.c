/* engine.c: an engine's beginning and end, its messages, who watches it. */
#include "compiler/engine/engine.h"

RxnStatus
rxn__engine_open(Engine *engine, size_t memory_limit)
{
    *engine = (Engine){0};
    RxnStatus status = rxn__session_open(&engine->session, memory_limit);
    rxn__files_init(engine);
    return status;
}

RxnStatus
rxn__engine_open_within(Engine *engine, Engine *outer)
{
    *engine = (Engine){0};
    RxnStatus status = rxn__session_open_within(&engine->session, &outer->session);
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
