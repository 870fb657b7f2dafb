/* cmd_fmt.c: `rxn fmt`: models laid out in the house style, in place.
 *
 * Each file has a session of its own, so that the memory of one does not wait for the others. A file gets its new
 * text by a rename: whoever reads it sees the old text or the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/driver/driver.h"
#include "compiler/format/format.h"
#include "compiler/import/bionetgen.h"

typedef struct FmtOptions {
    bool check, to_stdout;
    const char *output;
    TextList files;
} FmtOptions;

static const Option options[] = {
    {"--check", NULL, OPTION_FLAG, offsetof(FmtOptions, check),
     "change nothing; name the files that would change, exit status 1 if there is one"},
    {"--stdout", NULL, OPTION_FLAG, offsetof(FmtOptions, to_stdout),
     "print the text instead; the file stays as it is"},
    {"-o", "FILE", OPTION_TEXT, offsetof(FmtOptions, output),
     "write the text there instead ('-': standard output)"},
};

const OptionTable rxn__usage_fmt = {
    .command = "rxn fmt",
    .synopsis = "rxn fmt [FILE…] [OPTION…]",
    .summary =
        "Lays out models: blanks, columns, empty lines. Comments and line breaks stay, and so "
        "does\n"
        "what the model is. A file that is no model is left as it is. '-', or no FILE: standard\n"
        "input to standard output.",
    .options = options,
    .option_count = COUNT_OF(options),
    .operand = "FILE",
    .takes_many = true,
    .operands_offset = offsetof(FmtOptions, files),
};

/* ---- Writing ----------------------------------------------------------------------------------- */

static bool
cannot_write(Driver *driver, const char *path, const char *reason)
{
    rxn__driver_error(driver, "'%s' cannot be written: %s",
                      rxn__shown(&driver->engine.session.arena, path, strlen(path)), reason);
    return false;
}

static bool
write_all(int file, const char *data, size_t length)
{
    while (length > 0) {
        const ssize_t done = write(file, data, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        data += done;
        length -= (size_t)done;
    }
    return true;
}

/* A new file beside the old one, with its mode and, as far as that is allowed, its owner. */
static bool
write_beside(const char *beside, const struct stat *old, const Text *text)
{
    const int file = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file < 0)
        return false;
    /* (Before the mode, which a change of owner can take bits from.) */
    const bool given = fchown(file, old->st_uid, old->st_gid) == 0;
    const mode_t mode = old->st_mode & (given ? 07777 : 0777);
    const bool good =
        write_all(file, text->data, text->length) && fchmod(file, mode) == 0 && fsync(file) == 0;
    const int error = errno;
    if (close(file) == 0 && good)
        return true;
    if (!good)
        errno = error;
    const int reason = errno;
    unlink(beside);
    errno = reason;
    return false;
}

static bool
replace(Driver *driver, const char *path, const Text *text)
{
    struct stat old;
    char *real = realpath(path, NULL); /* a link stays one */
    if (!real || stat(real, &old) != 0 || access(real, W_OK) != 0) {
        const int error = errno;
        free(real);
        return cannot_write(driver, path, strerror(error));
    }
    char beside[4096];
    const int length = snprintf(beside, sizeof beside, "%s.part%ld", real, (long)getpid());
    errno = ENAMETOOLONG;
    bool good = length > 0 && (size_t)length < sizeof beside && write_beside(beside, &old, text);
    if (good && rename(beside, real) != 0) {
        const int error = errno;
        unlink(beside);
        errno = error;
        good = false;
    }
    const int error = errno;
    free(real);
    return good || cannot_write(driver, path, strerror(error));
}

static bool
write_elsewhere(Driver *driver, const char *path, const Text *text)
{
    OutputFile output;
    if (!rxn__output_open(driver, &output, path))
        return false;
    fwrite(text->data, 1, text->length, output.file);
    if (rxn__output_commit(driver, &output))
        return true;
    rxn__output_drop(&output);
    return false;
}

/* ---- One file ---------------------------------------------------------------------------------- */

typedef struct Work {
    Driver *driver; /* of this file alone */
    const FmtOptions *options;
    const char *path;
} Work;

static bool
load(Driver *driver, const char *path, u32 *ret_file)
{
    Session *session = &driver->engine.session;
    const char *reason = NULL, *shown_path = strcmp(path, "-") == 0 ? "<stdin>" : path;
    struct stat status;
    size_t length = 0;
    char *text = NULL;
    if (strcmp(path, "-") != 0 && stat(path, &status) == 0 && !S_ISREG(status.st_mode) &&
        !S_ISDIR(status.st_mode))
        reason = "it is no file; '-' is standard input";
    else
        text = rxn__read_file(path, &session->arena, &length, &reason);
    if (strcmp(path, "-") == 0)
        rxn__engine_reads(&driver->engine, path);
    if (!text) {
        rxn__driver_error(driver, "'%s' cannot be read: %s",
                          rxn__shown(&session->arena, shown_path, strlen(shown_path)), reason);
        return false;
    }
    if (rxn__is_bionetgen(text, length)) {
        rxn__driver_error(driver, "'%s' is a network of BioNetGen's, not a model",
                          rxn__shown(&session->arena, shown_path, strlen(shown_path)));
        rxn__driver_note(driver, "'rxn import' makes one of it");
        return false;
    }
    *ret_file = rxn__sources_add(&session->sources, shown_path, text, length);
    return *ret_file != UINT32_MAX;
}

static RxnStatus
format_file(void *context)
{
    const Work *work = context;
    const FmtOptions *wanted = work->options;
    Driver *driver = work->driver;
    Session *session = &driver->engine.session;
    u32 file;
    Text text;
    if (!load(driver, work->path, &file))
        return RXN_ERROR_INPUT;
    const RxnStatus status = rxn__format(&session->arena, &session->names, &session->diagnostics,
                                         file, &text, &driver->engine.internal_error);
    if (status != RXN_OK)
        return status;
    const SourceFile *source = &session->sources.files.items[file];
    const bool changed =
        text.length != source->length || memcmp(text.data, source->text, text.length) != 0;
    if (wanted->check) {
        if (changed)
            puts(source->path);
        return changed ? RXN_ERROR_INPUT : RXN_OK;
    }
    const bool piped = wanted->to_stdout || strcmp(work->path, "-") == 0;
    bool good = true;
    if (wanted->output)
        good = write_elsewhere(driver, wanted->output, &text);
    else if (piped)
        good = write_elsewhere(driver, "-", &text);
    else if (changed)
        good = replace(driver, work->path, &text);
    return good ? RXN_OK : RXN_ERROR_INPUT;
}

static RxnStatus
show_messages(void *context)
{
    rxn__driver_flush(context);
    return RXN_OK;
}

static RxnStatus
format_path(Driver *driver, const FmtOptions *wanted, const char *path)
{
    Driver own = {0};
    Work work = {&own, wanted, path};
    RxnStatus status = rxn__session_open(&own.engine.session, 0);
    if (status == RXN_OK)
        status = rxn__session_guard(&own.engine.session, format_file, &work);
    if (rxn__session_guard(&own.engine.session, show_messages, &own) != RXN_OK)
        status = RXN_ERROR_MEMORY;
    if (status == RXN_ERROR_INTERNAL)
        fprintf(stderr, "internal error: %s: %s; it is left as it is\n", path,
                own.engine.internal_error);
    if (status == RXN_ERROR_MEMORY)
        fprintf(stderr, "error: out of memory: %s is left as it is\n", path);
    rxn__session_close(&own.engine.session);
    driver->quiet_failure |= own.quiet_failure;
    return status;
}

/* ---- The command ------------------------------------------------------------------------------- */

static bool
check_options(Driver *driver, FmtOptions *wanted)
{
    if (wanted->files.count == 0) {
        if (isatty(STDIN_FILENO)) {
            rxn__driver_error(driver, "no FILE is given");
            rxn__driver_note(driver, "usage: %s ('-': standard input)", rxn__usage_fmt.synopsis);
            return false;
        }
        vec_push(&driver->engine.session.arena, &wanted->files, "-");
    }
    if (wanted->output && strcmp(wanted->output, "-") == 0) {
        wanted->to_stdout = true;
        wanted->output = NULL;
    }
    if (wanted->output && (wanted->files.count > 1 || wanted->to_stdout || wanted->check)) {
        rxn__driver_error(
            driver, "-o %s takes one FILE, and neither --stdout nor --check",
            rxn__shown(&driver->engine.session.arena, wanted->output, strlen(wanted->output)));
        return false;
    }
    if (wanted->check && wanted->to_stdout) {
        rxn__driver_error(driver, "--check prints no text: it goes without --stdout");
        return false;
    }
    return true;
}

RxnStatus
rxn__cmd_fmt(Driver *driver, int argc, char **argv)
{
    FmtOptions wanted = {0};
    const char *last;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_fmt, argc, argv, &wanted, &last, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_fmt, stdout);
        return RXN_OK;
    }
    if (!check_options(driver, &wanted))
        return RXN_ERROR_USAGE;
    RxnStatus worst = RXN_OK;
    for (u32 i = 0; i < wanted.files.count; i++) {
        const RxnStatus status = format_path(driver, &wanted, wanted.files.items[i]);
        /* A bug of ours is worse than a mistake in a file. */
        if (worst == RXN_OK || status == RXN_ERROR_INTERNAL)
            worst = status;
        if (driver->quiet_failure)
            break;
    }
    return worst;
}
