/* build_link.c: files beside each other in a folder that is thrown away, and the system's C compiler to join them.
 *
 * The library librxn_model.a is all of rxn but LLVM and what needs it. It holds the libraries that it needs as well, so
 * that who builds programs has to have a C compiler and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/driver/build.h"
#include "compiler/driver/paths.h"

extern char **environ;

/* ---- the folder of a build --------------------------------------------------------------------- */

static const char *
in_folder(Link *link, const char *name)
{
    Text path;
    rxn__text_init(&path, &link->build->driver->engine.session.arena);
    rxn__text_printf(&path, "%s/%s", link->folder, name);
    return path.data;
}

const char *
rxn__link_place(Link *link, const char *name, const char *bytes, size_t size)
{
    const char *path = in_folder(link, name);
    vec_push(&link->build->driver->engine.session.arena, &link->files, path);
    FILE *file = fopen(path, "w");
    bool good = file && fwrite(bytes, 1, size, file) == size;
    if (file && fclose(file) != 0)
        good = false;
    if (!good)
        rxn__driver_error(link->build->driver, "'%s' cannot be written: %s", path, strerror(errno));
    return good ? path : NULL;
}

static bool
save(Link *link, const char *name, const char *bytes, size_t size)
{
    const char *path = rxn__link_place(link, name, bytes, size);
    if (path)
        vec_push(&link->build->driver->engine.session.arena, &link->inputs, path);
    return path != NULL;
}

static bool
make_folder(Link *link)
{
    Driver *driver = link->build->driver;
    const char *base = getenv("TMPDIR");
    Text path;
    rxn__text_init(&path, &driver->engine.session.arena);
    rxn__text_printf(&path, "%s/rxn-build-XXXXXX", base && base[0] == '/' ? base : "/tmp");
    if (!mkdtemp(path.data)) {
        rxn__driver_error(driver, "a temporary folder cannot be made, '%s': %s", path.data,
                          strerror(errno));
        return false;
    }
    link->folder = path.data;
    link->log = in_folder(link, "log");
    return true;
}

static bool
save_inputs(Link *link, const Text *source)
{
    Build *build = link->build;
    bool good = save(link, "program.c", source->data, source->length);
    for (u32 k = 0; k < build->ahead.kernels.count && good; k++)
        for (u32 m = 0; m < build->ahead.kernels.items[k].code_count && good; m++) {
            const AheadCode *code = &build->ahead.kernels.items[k].codes[m];
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
    unlink(link->log);
    rmdir(link->folder);
}

/* ---- linking ----------------------------------------------------------------------------------- */

/* Beside the program, where a build directory has it; else where it is installed. */
static bool
find_library(Link *link)
{
    static const char name[] = "librxn_model.a";
    Driver *driver = link->build->driver;
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    static const char *const folders[] = {"", "../" RXN_LIBRARY_FOLDER};
    for (u32 k = 0; k < COUNT_OF(folders); k++) {
        Text path;
        rxn__text_init(&path, &driver->engine.session.arena);
        rxn__text_printf(&path, "%s/%s%s%s", self, folders[k], folders[k][0] ? "/" : "", name);
        if (access(path.data, R_OK) == 0) {
            link->library = path.data;
            return true;
        }
    }
    rxn__driver_error(driver,
                      "the library that programs are made of, %s, is not there: neither in "
                      "'%s' nor in '%s/../%s'",
                      name, self, self, RXN_LIBRARY_FOLDER);
    return false;
}

void
rxn__link_argument(Link *link, const char *text)
{
    Arena *arena = &link->build->driver->engine.session.arena;
    vec_push(arena, &link->arguments, rxn__arena_copy_text(arena, text, strlen(text)));
}

/* Words with spaces between, as in CC="ccache gcc". */
void
rxn__link_arguments(Link *link, const char *words)
{
    Arena *arena = &link->build->driver->engine.session.arena;
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
    rxn__link_argument(link, link->library);
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
    Driver *driver = link->build->driver;
    const char *reason = NULL;
    size_t length = 0;
    char *text = rxn__read_file(link->log, &driver->engine.session.arena, &length, &reason);
    while (text && length > 0 && text[length - 1] == '\n')
        text[--length] = '\0';
    if (text && length > 0)
        rxn__driver_note(driver, "it said:\n%.*s%s", (int)(length > MOST ? MOST : length), text,
                         length > MOST ? "\n…" : "");
}

static bool
link_failed(Link *link, int status)
{
    Driver *driver = link->build->driver;
    const char *compiler = link->arguments.items[0];
    if (!link->compiles) {
        rxn__driver_error(driver,
                          status == ENOENT ? "there is no '%s' here, which is of GNU binutils"
                                           : "'%s' failed",
                          compiler);
        show_log(link);
    } else if (status == ENOENT) {
        rxn__driver_error(driver, "there is no C compiler '%s' here, which has to link the program",
                          compiler);
        rxn__driver_note(driver,
                         "Debian has one in the packages gcc and libc6-dev; $CC names another");
    } else {
        rxn__driver_error(driver, "the C compiler '%s' could not link the program", compiler);
        show_log(link);
    }
    return false;
}

bool
rxn__link_run(Link *link)
{
    vec_push(&link->build->driver->engine.session.arena, &link->arguments, NULL);
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
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return link_failed(link, ENOENT);
    return good || link_failed(link, 0);
}

bool
rxn__link_begin(Link *link, const Text *source)
{
    return find_library(link) && make_folder(link) && save_inputs(link, source);
}
