/* files.c: models, and other files that are read.
 *
 * Where `use "x.rxn"` is looked for: beside the file that uses it, in the folders of $RXN_PATH, in the
 * models installed with rxn (beside this program, or where it was to be installed), in those of the source tree that it was
 * built from.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/engine/engine.h"
#include "compiler/engine/paths.h"
#include "compiler/import/bionetgen.h"
#include "compiler/target/program_abi.h"
#include "runtime/whole_file.h"

enum { READ_STEP = 64 << 10 };

/* ---- reading ----------------------------------------------------------------------------------- */

static char *
read_all(int file, Arena *arena, size_t expected, size_t *ret_length, const char **ret_reason)
{
    size_t capacity = expected + 1, length = 0;
    char *text = rxn__arena_alloc(arena, capacity + 1);
    for (;;) {
        if (length == capacity) {
            text = rxn__arena_grow(arena, text, capacity + 1, 2 * capacity + READ_STEP + 1);
            capacity = 2 * capacity + READ_STEP;
        }
        ssize_t got = read(file, text + length, capacity - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            *ret_reason = strerror(errno);
            return NULL;
        }
        if (got == 0)
            break;
        length += (size_t)got;
        if (length > RXN_MAX_SOURCE_BYTES) {
            *ret_reason = "it is larger than 64 MiB";
            return NULL;
        }
    }
    text[length] = '\0';
    *ret_length = length;
    return text;
}

char *
rxn__read_file(const char *path, Arena *arena, size_t *ret_length, const char **ret_reason)
{
    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, arena, READ_STEP, ret_length, ret_reason);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        *ret_reason = strerror(errno);
        if (file >= 0)
            close(file);
        return NULL;
    }
    char *text = NULL;
    if (S_ISDIR(status.st_mode))
        *ret_reason = "it is a directory";
    else if (status.st_size > RXN_MAX_SOURCE_BYTES)
        *ret_reason = "it is larger than 64 MiB";
    else
        text = read_all(file, arena, (size_t)status.st_size, ret_length, ret_reason);
    close(file);
    return text;
}

/* ---- the models that can be named -------------------------------------------------------------- */

static bool
is_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && !S_ISDIR(status.st_mode);
}

/* folder/name, or folder/name.rxn, if there is such a file. */
static const char *
find_in(Arena *arena, const char *folder, size_t length, const char *name)
{
    for (int with_ending = 0; with_ending < 2; with_ending++) {
        Text path;
        rxn__text_init(&path, arena);
        rxn__text_append(&path, folder, length);
        rxn__text_printf(&path, "%s%s%s", length && folder[length - 1] != '/' ? "/" : "", name,
                         with_ending ? ".rxn" : "");
        if (is_file(path.data))
            return path.data;
    }
    return NULL;
}

/* The folder share/rxn/models beside the folder that this program is in. */
static const char *
installed_models(Arena *arena)
{
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0)
        return NULL;
    self[length] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(self, '/');
        if (!slash)
            return NULL;
        *slash = '\0';
    }
    Text path;
    rxn__text_init(&path, arena);
    rxn__text_printf(&path, "%s/share/rxn/models", self);
    return path.data;
}

static const char *
find_model(Arena *arena, const char *name)
{
    if (name[0] == '/')
        return NULL;
    const char *own = getenv("RXN_PATH");
    while (own && *own) {
        size_t length = strcspn(own, ":");
        const char *found = length ? find_in(arena, own, length, name) : NULL;
        if (found)
            return found;
        own += length + (own[length] == ':');
    }
    const char *installed = installed_models(arena);
    const char *found = installed ? find_in(arena, installed, strlen(installed), name) : NULL;
    if (!found)
        found = find_in(arena, RXN_INSTALLED_MODELS, strlen(RXN_INSTALLED_MODELS), name);
    return found ? found : find_in(arena, RXN_SOURCE_MODELS, strlen(RXN_SOURCE_MODELS), name);
}

bool
rxn__load_used(void *context, const char *from, const char *path, Arena *arena,
               const char **ret_resolved, const char **ret_text, size_t *ret_length,
               const char **ret_reason)
{
    (void)context;
    const char *slash = strrchr(from, '/');
    size_t folder = slash && path[0] != '/' ? (size_t)(slash - from) + 1 : 0;
    Text beside;
    rxn__text_init(&beside, arena);
    rxn__text_append(&beside, from, folder);
    rxn__text_append(&beside, path, strlen(path));
    const char *resolved = beside.data;
    struct stat status;
    if (stat(resolved, &status) != 0) {
        const char *found = find_model(arena, path);
        resolved = found ? found : resolved;
    }
    *ret_resolved = resolved;
    *ret_text = rxn__read_file(resolved, arena, ret_length, ret_reason);
    return *ret_text != NULL;
}

void
rxn__files_init(Engine *engine)
{
    engine->loader = (SourceLoader){.context = engine, .load = rxn__load_used};
}

/* A network of BioNetGen's becomes a file of the language, which messages are about from then on. */
static bool
import_network(Engine *engine, u32 *file)
{
    Session *session = &engine->session;
    const SourceFile source = session->sources.files.items[*file];
    if (!rxn__is_bionetgen(source.text, source.length))
        return true;
    Text text, path;
    rxn__text_init(&text, &session->arena);
    rxn__text_init(&path, &session->arena);
    if (!rxn__import_bionetgen(&session->sources, &session->diagnostics, *file, &text))
        return false;
    rxn__text_printf(&path, "%s (imported)", source.path);
    *file = rxn__sources_add(&session->sources, path.data, text.data, text.length);
    return *file != UINT32_MAX;
}

bool
rxn__is_imported(const Engine *engine, u32 file)
{
    const SourceFile *files = engine->session.sources.files.items;
    return file > 0 && rxn__is_bionetgen(files[file - 1].text, files[file - 1].length);
}

bool
rxn__load_model(Engine *engine, const char *path, u32 *ret_file)
{
    Session *session = &engine->session;
    if (!path) {
        const RxnProgramFile *own = &engine->built->files[0];
        *ret_file =
            rxn__sources_add(&session->sources, own->resolved, own->text, (size_t)own->length);
        return *ret_file != UINT32_MAX && import_network(engine, ret_file);
    }
    const char *reason = NULL, *shown_path = strcmp(path, "-") == 0 ? "<stdin>" : path;
    struct stat status;
    if (strcmp(path, "-") != 0 && stat(path, &status) != 0 && errno == ENOENT) {
        const char *found = find_model(&session->arena, path);
        if (found)
            shown_path = path = found;
    }
    size_t length = 0;
    char *text = rxn__read_file(path, &session->arena, &length, &reason);
    if (strcmp(path, "-") == 0)
        rxn__engine_reads(engine, path);
    if (!text) {
        rxn__engine_error(engine, "'%s' cannot be read: %s",
                          rxn__shown(&session->arena, shown_path, strlen(shown_path)), reason);
        return false;
    }
    *ret_file = rxn__sources_add(&session->sources, shown_path, text, length);
    return *ret_file != UINT32_MAX && import_network(engine, ret_file);
}

/* ---- what is not to be written over ------------------------------------------------------------ */

void
rxn__engine_reads(Engine *engine, const char *path)
{
    Arena *arena = &engine->session.arena;
    const char *place = strcmp(path, "-") == 0 ? "/dev/stdin" : path;
    for (u32 k = 0; k < engine->read.count; k++)
        if (strcmp(engine->read.items[k], place) == 0)
            return;
    vec_push(arena, &engine->read, rxn__arena_copy_text(arena, place, strlen(place)));
}

bool
rxn__overwrites_input(const Engine *reader, Engine *told, const char *path)
{
    for (u32 k = 0; k < reader->session.sources.files.count; k++)
        if (rxn__is_same_file(path, reader->session.sources.files.items[k].path)) {
            rxn__engine_error(told, "'%s' is the model itself; it is not overwritten", path);
            return true;
        }
    for (u32 k = 0; k < reader->read.count; k++)
        if (rxn__is_same_file(path, reader->read.items[k])) {
            rxn__engine_error(told, "'%s' is one of the files that are read; it is not overwritten",
                              path);
            rxn__engine_note(told, "give the result a file of its own");
            return true;
        }
    return false;
}
