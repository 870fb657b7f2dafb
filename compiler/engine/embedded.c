/* embedded.c: a program that was built of a model: its files come from itself, its kernels too. */
#include <string.h>

#include "compiler/engine/engine.h"
#include "compiler/target/frozen.h"

static bool
load_embedded(void *context, const char *from, const char *path, Arena *arena,
              const char **ret_resolved, const char **ret_text, size_t *ret_length,
              const char **ret_reason)
{
    const RxnProgram *built = ((Engine *)context)->built;
    (void)arena;
    for (u32 k = 1; k < built->file_count; k++) {
        const RxnProgramFile *file = &built->files[k];
        if (strcmp(file->from, from) != 0 || strcmp(file->path, path) != 0)
            continue;
        *ret_resolved = file->resolved;
        *ret_text = file->text;
        *ret_length = (size_t)file->length;
        return true;
    }
    *ret_reason = "it is not in this program";
    return false;
}

void
rxn__embedded_init(Engine *engine, const RxnProgram *built)
{
    engine->built = built;
    engine->loader = (SourceLoader){.context = engine, .load = load_embedded};
    engine->session.host = &rxn__target_frozen;
    engine->session.gpu = &rxn__target_frozen_cuda;
    engine->session.target_context = (void *)(uintptr_t)built; /* it is only read */
    engine->session.auto_method = built->method;
    engine->tape_bytes = built->tape_bytes;
    engine->cuda_tape_bytes = built->cuda_tape_bytes;
}

void
rxn__warn_interpreted(Engine *engine, const Pipeline *pipeline, const char *wish)
{
    if (!pipeline->why_interpreted)
        return;
    rxn__warning(&engine->session.diagnostics, (Span){0, 0}, "%s", pipeline->why_interpreted);
    if (wish)
        rxn__engine_note(engine, "a program that has it: rxn build MODEL -o FILE%s%s",
                         wish[0] ? " " : "", wish);
}
