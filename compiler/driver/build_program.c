/* build_program.c: the program itself: what it was built of as a C file (target/program_abi.h), the kernels as object
 * files, and the system's compiler to link them with the library of everything else.
 *
 * The library librxn_model.a is all of rxn but LLVM and what needs it. It holds the libraries that it needs as well, so
 * that who builds programs has to have a C compiler and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/driver/build.h"
#include "compiler/driver/paths.h"
#include "runtime/report.h"

/* The declarations, as text. */
#define RXN_PROGRAM_ABI(...) static const char abi_text[] = #__VA_ARGS__;
#include "compiler/target/program_abi.h"

extern char **environ;

/* ---- C ----------------------------------------------------------------------------------------- */

/* A literal; a line of the text is a line of the file. */
static void
write_text(Text *out, const char *text, size_t length)
{
    rxn__text_append(out, "\"", 1);
    for (size_t k = 0; k < length; k++) {
        unsigned char c = (unsigned char)text[k];
        bool plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\' && c != '?';
        if (plain)
            rxn__text_append(out, text + k, 1);
        else
            rxn__text_printf(out, "\\%03o",
                             c); /* three digits, so that what follows is not one more */
        if (c == '\n' && k + 1 < length)
            rxn__text_append(out, "\"\n\"", 3);
    }
    rxn__text_append(out, "\"", 1);
}

static void
write_name(Text *out, const char *text)
{
    write_text(out, text, strlen(text));
}

static void
write_number(Text *out, double value)
{
    Text number;
    rxn__text_init(&number, out->arena);
    rxn__text_f64_hex(&number, value);
    rxn__text_append(out, number.data, number.length);
}

static void
write_file(Text *out, const char *from, const char *path, const char *resolved, const char *text,
           size_t length)
{
    rxn__text_append(out, "    {", 5);
    write_name(out, from);
    rxn__text_append(out, ", ", 2);
    write_name(out, path);
    rxn__text_append(out, ", ", 2);
    write_name(out, resolved);
    rxn__text_append(out, ",\n", 2);
    write_text(out, text, length);
    rxn__text_printf(out, ", %zuu},\n", length);
}

static void
write_files(const Build *build, Text *out)
{
    const SourceFile *files = build->driver->session.sources.files.items;
    /* An imported network is the one before it, which the program imports again. */
    u32 number = rxn__is_imported(build->driver, build->file) ? build->file - 1 : build->file;
    const SourceFile *model = &files[number];
    rxn__text_printf(out, "static const RxnProgramFile files[] = {\n");
    write_file(out, "", model->path, model->path, model->text, model->length);
    for (u32 k = 0; k < build->used.count; k++) {
        const UsedFile *file = &build->used.items[k];
        write_file(out, file->from, file->path, file->resolved, file->text, file->length);
    }
    rxn__text_printf(out, "};\n");
}

static void
write_kernels(const Build *build, Text *out)
{
    const Ahead *ahead = &build->ahead;
    for (u32 k = 0; k < ahead->kernels.count; k++)
        for (u32 m = 0; m < ahead->march_count; m++)
            rxn__text_printf(out, "void %s(const struct RxnLaunch *launch);\n",
                             ahead->kernels.items[k].codes[m].symbol);
    for (u32 k = 0; k < ahead->kernels.count; k++) {
        rxn__text_printf(out, "static const RxnProgramCode codes_%u[] = {\n", k);
        for (u32 m = 0; m < ahead->march_count; m++) {
            const AheadCode *code = &ahead->kernels.items[k].codes[m];
            rxn__text_printf(out, "    {%s, \"%s\", \"%s\", \"%s\", %u, %zuu},\n", code->symbol,
                             code->march->name, code->needs, code->facts.isa, code->facts.lanes,
                             code->facts.workspace_bytes);
        }
        rxn__text_printf(out, "};\n");
    }
    rxn__text_printf(out, "static const RxnProgramKernel kernels[] = {\n");
    for (u32 k = 0; k < ahead->kernels.count; k++) {
        rxn__text_printf(out, "    {{");
        for (u32 b = 0; b < KERNEL_KEY_BYTES; b++)
            rxn__text_printf(out, "%u,", ahead->kernels.items[k].key[b]);
        rxn__text_printf(out, "}, \"%s\", codes_%u, %u},\n", ahead->kernels.items[k].what, k,
                         ahead->march_count);
    }
    rxn__text_printf(out, "};\n");
}

static void
write_texts(Text *out, const char *name, const TextList *texts)
{
    rxn__text_printf(out, "static const char *const %s[] = {\n", name);
    for (u32 k = 0; k < texts->count; k++) {
        write_name(out, texts->items[k]);
        rxn__text_append(out, ",\n", 2);
    }
    rxn__text_printf(out, "0};\n");
}

static void
write_program(const Build *build, Text *out)
{
    const GradOptions *grad = &build->options.grad;
    rxn__text_printf(out, "/* Written by rxn %s. */\n%s\n", rxn_version(), abi_text);
    write_files(build, out);
    write_kernels(build, out);
    write_texts(out, "of", &grad->of);
    write_texts(out, "wrt", &grad->wrt);
    rxn__text_printf(out, "static const double at[] = {");
    for (u32 k = 0; k < grad->at.count; k++) {
        write_number(out, grad->at.items[k]);
        rxn__text_append(out, ",", 1);
    }
    rxn__text_printf(out, "0};\nconst RxnProgram rxn_program = {\n");
    rxn__text_printf(out, ".version = \"%s\", .model = ", rxn_version());
    write_name(out, build->name);
    rxn__text_printf(out, ", .files = files, .file_count = %u,\n", build->used.count + 1);
    rxn__text_printf(out, ".kernels = kernels, .kernel_count = %u, .tape_bytes = %lluu,\n",
                     build->ahead.kernels.count, (unsigned long long)build->driver->tape_bytes);
    rxn__text_printf(out,
                     ".of = of, .of_count = %u, .wrt = wrt, .wrt_count = %u, .at = at, "
                     ".at_count = %u,\n.estimators = ",
                     grad->of.count, grad->wrt.count, grad->at.count);
    write_name(out, grad->estimators);
    if (grad->form) {
        rxn__text_printf(out, ", .form = ");
        write_name(out, grad->form);
    }
    rxn__text_printf(out, ", .draws = %lluu, .bins = %lluu, .degree = %lluu,\n.tau = ",
                     (unsigned long long)grad->draws, (unsigned long long)grad->bins,
                     (unsigned long long)grad->degree);
    write_number(out, grad->tau);
    rxn__text_printf(out, ", .difference = ");
    write_number(out, grad->difference);
    rxn__text_printf(out, "};\n");
}

/* ---- the folder of a build --------------------------------------------------------------------- */

typedef struct Link {
    Build *build;
    const char *folder, *library, *beside, *log;
    VEC(const char *) inputs; /* files in the folder */
    VEC(char *) arguments;    /* of the C compiler */
} Link;

static const char *
in_folder(Link *link, const char *name)
{
    Text path;
    rxn__text_init(&path, &link->build->driver->session.arena);
    rxn__text_printf(&path, "%s/%s", link->folder, name);
    return path.data;
}

static bool
save(Link *link, const char *name, const char *bytes, size_t size)
{
    const char *path = in_folder(link, name);
    vec_push(&link->build->driver->session.arena, &link->inputs, path);
    FILE *file = fopen(path, "w");
    bool good = file && fwrite(bytes, 1, size, file) == size;
    if (file && fclose(file) != 0)
        good = false;
    if (!good)
        rxn__driver_error(link->build->driver, "'%s' cannot be written: %s", path, strerror(errno));
    return good;
}

static bool
make_folder(Link *link)
{
    Driver *driver = link->build->driver;
    const char *base = getenv("TMPDIR");
    Text path;
    rxn__text_init(&path, &driver->session.arena);
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
save_inputs(Link *link)
{
    Build *build = link->build;
    Text program;
    rxn__text_init(&program, &build->driver->session.arena);
    write_program(build, &program);
    bool good = save(link, "program.c", program.data, program.length);
    for (u32 k = 0; k < build->ahead.kernels.count && good; k++)
        for (u32 m = 0; m < build->ahead.march_count && good; m++) {
            const AheadCode *code = &build->ahead.kernels.items[k].codes[m];
            char name[64];
            snprintf(name, sizeof name, "kernel_%u_%u.o", k, m);
            good = save(link, name, code->object, code->size);
        }
    return good;
}

static void
remove_folder(Link *link)
{
    if (!link->folder)
        return;
    for (u32 k = 0; k < link->inputs.count; k++)
        unlink(link->inputs.items[k]);
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
        rxn__text_init(&path, &driver->session.arena);
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

static void
argument(Link *link, const char *text)
{
    Arena *arena = &link->build->driver->session.arena;
    vec_push(arena, &link->arguments, rxn__arena_copy_text(arena, text, strlen(text)));
}

/* Words with spaces between, as in CC="ccache gcc". */
static void
arguments(Link *link, const char *words)
{
    Arena *arena = &link->build->driver->session.arena;
    while (*(words += strspn(words, " \t"))) {
        size_t length = strcspn(words, " \t");
        vec_push(arena, &link->arguments, rxn__arena_copy_text(arena, words, length));
        words += length;
    }
}

static void
make_arguments(Link *link)
{
    const char *own = getenv("CC");
    arguments(link, own && own[strspn(own, " \t")] ? own : RXN_LINK_COMPILER);
    arguments(link, "-w -O1 -o");
    argument(link, link->beside);
    for (u32 k = 0; k < link->inputs.count; k++)
        argument(link, link->inputs.items[k]);
    argument(link, link->library);
    arguments(link, RXN_LINK_ARGUMENTS);
    if (link->build->options.link_statically)
        arguments(link, "-static");
    vec_push(&link->build->driver->session.arena, &link->arguments, NULL);
}

/* What the compiler said, as a note. */
static void
show_log(Link *link)
{
    enum { MOST = 2000 };
    Driver *driver = link->build->driver;
    const char *reason = NULL;
    size_t length = 0;
    char *text = rxn__read_file(link->log, &driver->session.arena, &length, &reason);
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
    if (status == ENOENT) {
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

static bool
run_compiler(Link *link)
{
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

/* The file gets its name when it is whole, so that a failure leaves what was there. */
static bool
link_program(Link *link)
{
    Build *build = link->build;
    Driver *driver = build->driver;
    const char *path = build->options.grad.ensemble.csv;
    OutputFile output;
    if (!find_library(link) || !rxn__output_open(driver, &output, path))
        return false;
    if (!output.beside) {
        rxn__output_drop(&output);
        rxn__driver_error(driver, "'%s' cannot be written: it is no plain file", path);
        return false;
    }
    link->beside = output.beside;
    bool good = make_folder(link) && save_inputs(link);
    make_arguments(link);
    good = good && run_compiler(link);
    if (good)
        good = rxn__output_commit(driver, &output);
    rxn__output_drop(&output);
    remove_folder(link);
    return good;
}

RxnStatus
rxn__build_program(Build *build)
{
    Link link = {.build = build};
    const char *path = build->options.grad.ensemble.csv;
    if (!link_program(&link))
        return RXN_ERROR_INPUT;
    struct stat status;
    if (!build->options.quiet && stat(path, &status) == 0) {
        char bytes[32];
        rxn__format_grouped(bytes, sizeof bytes, (u64)status.st_size);
        printf("%s: %s, %u kernels for %s; %s bytes\n", path, build->name,
               build->ahead.kernels.count, build->options.march, bytes);
    }
    return RXN_OK;
}
