/* link.c: files beside each other in a folder that is thrown away, and the system's C compiler to join them.
 *
 * The library librxn_model.a is all of rxn but LLVM and what needs it. It holds the libraries that it needs as well, so
 * that who builds programs has to have a C compiler and nothing else.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/ahead/paths.h"
#include "compiler/ahead/private.h"

extern char **environ;

/* ---- the folder of a build --------------------------------------------------------------------- */

static const char *
in_folder(Link *link, const char *name)
{
    Text path;
    rxn__text_init(&path, &link->engine->session.arena);
    rxn__text_printf(&path, "%s/%s", link->folder, name);
    return path.data;
}

const char *
rxn__link_place(Link *link, const char *name, const char *bytes, size_t size)
{
    const char *path = in_folder(link, name);
    vec_push(&link->engine->session.arena, &link->files, path);
    FILE *file = fopen(path, "we"); /* no child of another thread's holds it open */
    bool good = file && fwrite(bytes, 1, size, file) == size;
    if (file && fclose(file) != 0)
        good = false;
    if (!good)
        rxn__engine_error(link->engine, "'%s' cannot be written: %s", path, strerror(errno));
    return good ? path : NULL;
}

static bool
save(Link *link, const char *name, const char *bytes, size_t size)
{
    const char *path = rxn__link_place(link, name, bytes, size);
    if (path)
        vec_push(&link->engine->session.arena, &link->inputs, path);
    return path != NULL;
}

static bool
make_folder(Link *link)
{
    const char *base = getenv("TMPDIR");
    Text path;
    rxn__text_init(&path, &link->engine->session.arena);
    rxn__text_printf(&path, "%s/rxn-build-XXXXXX", base && base[0] == '/' ? base : "/tmp");
    if (!mkdtemp(path.data)) {
        rxn__engine_error(link->engine, "a temporary folder cannot be made, '%s': %s", path.data,
                          strerror(errno));
        return false;
    }
    link->folder = path.data;
    link->log = in_folder(link, "log");
    return true;
}

static bool
save_inputs(Link *link, const Ahead *ahead, const Text *source)
{
    bool good = save(link, "program.c", source->data, source->length);
    for (u32 k = 0; k < ahead->kernels.count && good; k++)
        for (u32 m = 0; m < ahead->kernels.items[k].code_count && good; m++) {
            const AheadCode *code = &ahead->kernels.items[k].codes[m];
            char name[64];
            snprintf(name, sizeof name, "kernel_%u_%u.o", k, m);
            good = save(link, name, code->object, code->size);
        }
    return good;
}

void
rxn__link_end(Link *link)
{
    if (!link->folder)
        return;
    for (u32 k = 0; k < link->files.count; k++)
        unlink(link->files.items[k]);
    if (link->log)
        unlink(link->log);
    rmdir(link->folder);
}

/* ---- linking ----------------------------------------------------------------------------------- */

static const char parts_name[] = "librxn_model.a";

/* The folder of a file, with what comes behind it. */
static const char *
in_folder_of(Arena *arena, const char *file, const char *behind)
{
    const char *slash = strrchr(file, '/');
    Text path;
    rxn__text_init(&path, arena);
    rxn__text_printf(&path, "%.*s%s", slash ? (int)(slash - file) : 0, file, behind);
    return path.data;
}

/* Beside the program, where a build directory has it; where it is installed with the program, with a shared library that this
 * is in, or was to be. */
static bool
find_parts(Link *link)
{
    Arena *arena = &link->engine->session.arena;
    char self[4096];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    Dl_info code = {0};
    const bool has_place =
        dladdr(parts_name, &code) && code.dli_fname && strchr(code.dli_fname, '/');
    const char *const folders[] = {
        in_folder_of(arena, self, ""),
        in_folder_of(arena, self, "/../" RXN_LIBRARY_FOLDER),
        RXN_INSTALLED_PARTS,
        has_place ? in_folder_of(arena, code.dli_fname, "/rxn") : RXN_INSTALLED_PARTS,
    };
    for (u32 k = 0; k < COUNT_OF(folders); k++) {
        Text path;
        rxn__text_init(&path, arena);
        rxn__text_printf(&path, "%s/%s", folders[k], parts_name);
        link->parts = path.data;
        if (access(path.data, R_OK) == 0)
            return true;
    }
    rxn__engine_error(link->engine,
                      "the library that programs are made of, %s, is not there: neither in "
                      "'%s' nor in '%s' nor in '%s'",
                      parts_name, folders[0], folders[1], folders[2]);
    return false;
}

void
rxn__link_argument(Link *link, const char *text)
{
    Arena *arena = &link->engine->session.arena;
    vec_push(arena, &link->arguments, rxn__arena_copy_text(arena, text, strlen(text)));
}

/* Words with spaces between, as in CC="ccache gcc". */
void
rxn__link_arguments(Link *link, const char *words)
{
    Arena *arena = &link->engine->session.arena;
    while (*(words += strspn(words, " \t"))) {
        size_t length = strcspn(words, " \t");
        vec_push(arena, &link->arguments, rxn__arena_copy_text(arena, words, length));
        words += length;
    }
}

void
rxn__link_command(Link *link, const char *words)
{
    link->arguments.count = 0;
    link->compiles = false;
    rxn__link_arguments(link, words);
}

void
rxn__link_compiler(Link *link)
{
    const char *own = getenv("CC");
    rxn__link_command(link, own && own[strspn(own, " \t")] ? own : RXN_LINK_COMPILER);
    rxn__link_arguments(link, "-w -O1 -fPIC");
    link->compiles = true;
}

void
rxn__link_everything(Link *link)
{
    for (u32 k = 0; k < link->inputs.count; k++)
        rxn__link_argument(link, link->inputs.items[k]);
    rxn__link_argument(link, link->parts);
}

void
rxn__link_libraries(Link *link)
{
    rxn__link_arguments(link, RXN_LINK_ARGUMENTS);
}

/* What the compiler said, as a note. */
static void
show_log(Link *link)
{
    enum { MOST = 2000 };
    const char *reason = NULL;
    size_t length = 0;
    char *text = rxn__read_file(link->log, &link->engine->session.arena, &length, &reason);
    while (text && length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    if (text && length > 0)
        rxn__engine_note(link->engine, "it said:\n%.*s%s", (int)(length > MOST ? MOST : length),
                         text, length > MOST ? "\n…" : "");
}

static bool
link_failed(Link *link, int status)
{
    Engine *engine = link->engine;
    const char *compiler = link->arguments.items[0];
    if (!link->compiles) {
        rxn__engine_error(engine,
                          status == ENOENT ? "there is no '%s' here, which is of GNU binutils"
                                           : "'%s' failed",
                          compiler);
        show_log(link);
    } else if (status == ENOENT) {
        rxn__engine_error(engine, "there is no C compiler '%s' here, which has to link the program",
                          compiler);
        rxn__engine_note(engine,
                         "Debian has one in the packages gcc and libc6-dev; $CC names another");
    } else {
        rxn__engine_error(engine, "the C compiler '%s' could not link the program", compiler);
        show_log(link);
    }
    return false;
}

bool
rxn__link_run(Link *link)
{
    vec_push(&link->engine->session.arena, &link->arguments, NULL);
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = 0;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return link_failed(link, ENOMEM);
    for (int stream = STDOUT_FILENO; stream <= STDERR_FILENO; stream++)
        posix_spawn_file_actions_addopen(&actions, stream, link->log, O_WRONLY | O_CREAT | O_APPEND,
                                         0600);
    int failure = posix_spawnp(&child, link->arguments.items[0], &actions, NULL,
                               link->arguments.items, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failure != 0)
        return link_failed(link, failure);
    pid_t ended;
    do
        ended = waitpid(child, &status, 0);
    while (ended < 0 && errno == EINTR);
    if (ended < 0) /* where the process ignores SIGCHLD nobody knows what came of it */
        return link_failed(link, 0);
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return link_failed(link, ENOENT);
    return good || link_failed(link, 0);
}

bool
rxn__link_begin(Link *link, const char *parts, const Ahead *ahead, const Text *source)
{
    link->parts = parts;
    return (parts || find_parts(link)) && make_folder(link) && save_inputs(link, ahead, source);
}
