/* cmd_fmt.c: `rxn fmt`: models laid out in the house style, in place. A file gets its new text by a rename: whoever reads it
 * sees the old text or the new one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/driver/command.h"

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
    .option_count = sizeof options / sizeof *options,
    .operand = "FILE",
    .takes_many = true,
    .operands_offset = offsetof(FmtOptions, files),
};

/* ---- Writing ----------------------------------------------------------------------------------- */

static bool
cannot_write(Driver *driver, const char *path, const char *reason)
{
    rxn__driver_error(driver, "'%s' cannot be written: %s", rxn__driver_shown(driver, path),
                      reason);
    return false;
}

/* Comments may have NUL bytes in them. */
typedef struct LaidOut {
    char *bytes;
    size_t length;
} LaidOut;

static bool
write_elsewhere(Driver *driver, const char *path, const LaidOut *text)
{
    OutputFile output;
    if (!rxn__output_open(driver, &output, path))
        return false;
    fwrite(text->bytes, 1, text->length, output.file);
    if (rxn__output_commit(driver, &output))
        return true;
    rxn__output_drop(&output);
    return false;
}

/* ---- One file ---------------------------------------------------------------------------------- */

static char *
load(Driver *driver, const char *path, const char **ret_name, size_t *ret_length)
{
    struct stat status;
    if (strcmp(path, "-") != 0 && stat(path, &status) == 0 && !S_ISREG(status.st_mode) &&
        !S_ISDIR(status.st_mode)) {
        rxn__driver_error(driver, "'%s' cannot be read: it is no file; '-' is standard input",
                          rxn__driver_shown(driver, path));
        return NULL;
    }
    return rxn__driver_read(driver, path, false, ret_name, ret_length);
}

static bool
put(Driver *driver, const FmtOptions *wanted, const char *path, const LaidOut *text, bool changed)
{
    if (wanted->output)
        return write_elsewhere(driver, wanted->output, text);
    if (wanted->to_stdout || strcmp(path, "-") == 0)
        return write_elsewhere(driver, "-", text);
    const char *reason = changed ? rxn__replace_text(path, text->bytes, text->length) : NULL;
    return !reason || cannot_write(driver, path, reason);
}

/* What the library says of a file: two kinds of it name the file. */
static RxnStatus
say(Driver *driver, const char *path, RxnStatus status, RxnError *error)
{
    static const char prefix[] = "internal error: ";
    if (status == RXN_ERROR_INTERNAL) {
        const char *text = rxn_error_message(error, 0).text;
        if (strncmp(text, prefix, sizeof prefix - 1) == 0)
            text += sizeof prefix - 1;
        fprintf(stderr, "%s%s: %s; it is left as it is\n", prefix, path, text);
    } else if (status == RXN_ERROR_MEMORY) {
        fprintf(stderr, "error: out of memory: %s is left as it is\n", path);
    } else {
        return rxn__driver_take(driver, status, error);
    }
    rxn_error_free(error);
    return status;
}

static RxnStatus
format_path(Driver *driver, const FmtOptions *wanted, const char *path)
{
    const char *name;
    size_t length;
    RxnError *error;
    LaidOut laid_out = {0};
    char *text = load(driver, path, &name, &length);
    RxnStatus status = RXN_ERROR_INPUT;
    if (text)
        status = rxn_format(text, length, name, &laid_out.bytes, &laid_out.length, &error);
    if (text && status == RXN_OK) {
        const bool changed = laid_out.length != length || memcmp(laid_out.bytes, text, length) != 0;
        if (wanted->check && changed)
            puts(name);
        const bool good = wanted->check ? !changed : put(driver, wanted, path, &laid_out, changed);
        status = good ? RXN_OK : RXN_ERROR_INPUT;
    } else if (text) {
        status = say(driver, path, status, error);
    }
    rxn_text_free(laid_out.bytes);
    free(text);
    rxn__driver_flush_file(driver);
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
        static const char *standard_input[] = {"-"};
        wanted->files.items = standard_input;
        wanted->files.count = 1;
    }
    if (wanted->output && strcmp(wanted->output, "-") == 0) {
        wanted->to_stdout = true;
        wanted->output = NULL;
    }
    if (wanted->output && (wanted->files.count > 1 || wanted->to_stdout || wanted->check)) {
        rxn__driver_error(driver, "-o %s takes one FILE, and neither --stdout nor --check",
                          rxn__driver_shown(driver, wanted->output));
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
    for (uint32_t i = 0; i < wanted.files.count; i++) {
        const RxnStatus status = format_path(driver, &wanted, wanted.files.items[i]);
        /* A bug of ours is worse than a mistake in a file. */
        if (worst == RXN_OK || status == RXN_ERROR_INTERNAL)
            worst = status;
        if (rxn__driver_is_unread(driver))
            break;
    }
    return worst;
}
