/* output.c: files of results: whole or not there at all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/driver/driver.h"

enum { READ_STEP = 64 << 10 };

static bool
open_failed(Driver *driver, const char *path, const char *reason)
{
    rxn__driver_error(driver, "'%s' cannot be written: %s", path, reason);
    return false;
}

/* A file without a name; in memory where there is no folder for it, as in a bare container. */
static FILE *
open_aside(void)
{
    FILE *file = tmpfile();
    if (file)
        return file;
    int memory = memfd_create("rxn", MFD_CLOEXEC);
    file = memory >= 0 ? fdopen(memory, "w+") : NULL;
    if (!file && memory >= 0)
        close(memory);
    return file;
}

/* ---- two outputs of one name ------------------------------------------------------------------- */

/* The folder that a file is in, or will be. */
static bool
stat_folder(const char *path, struct stat *ret_status)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    const bool good = folder && stat(folder, ret_status) == 0;
    free(folder);
    return good;
}

static const char *
last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Whether what is written to both would be one file, of which the second replaces the first. Terminals, pipes and
 * /dev/null take any number of results. */
static bool
is_one_file(const char *path, const char *other)
{
    struct stat status, others;
    if (strcmp(path, "-") == 0 || strcmp(other, "-") == 0)
        return strcmp(path, other) == 0;
    const bool there = stat(path, &status) == 0, other_there = stat(other, &others) == 0;
    if (there && !S_ISREG(status.st_mode))
        return false;
    if (!there && !other_there) {
        if (strcmp(last_name(path), last_name(other)) != 0)
            return false;
        if (!stat_folder(path, &status) || !stat_folder(other, &others))
            return strcmp(path, other) == 0;
    } else if (there != other_there) {
        return false;
    }
    return status.st_dev == others.st_dev && status.st_ino == others.st_ino;
}

static void
tell_not_apart(Driver *driver, const OutputName *first, const OutputName *second)
{
    if (strcmp(first->path, "-") == 0) {
        rxn__driver_error(driver, "%s and %s cannot both go to standard output", first->option,
                          second->option);
        return;
    }
    rxn__driver_error(driver, "%s and %s cannot both be written to '%s'", first->option,
                      second->option, rxn__driver_shown(driver, second->path));
    rxn__driver_note(driver, "give each a file of its own");
}

bool
rxn__outputs_are_apart(Driver *driver, const OutputName *names, size_t count)
{
    bool apart = true;
    for (size_t k = 0; k < count; k++)
        for (size_t l = k + 1; l < count && names[k].path; l++)
            if (names[l].path && is_one_file(names[k].path, names[l].path)) {
                tell_not_apart(driver, &names[k], &names[l]);
                apart = false;
            }
    return apart;
}

/* ---- one output -------------------------------------------------------------------------------- */

bool
rxn__output_open(Driver *driver, OutputFile *output, const char *path)
{
    *output = (OutputFile){.path = path};
    if (strcmp(path, "-") == 0) {
        /* Kept aside until the run is known to be good: a fault must leave no result behind. */
        output->file = open_aside();
        return output->file ? true : open_failed(driver, "the temporary file", strerror(errno));
    }
    const char *reason;
    if (rxn__driver_overwrites_input(driver, path))
        return false;
    if (!rxn__whole_file_open(&output->whole, path, &reason))
        return open_failed(driver, path, reason);
    output->file = output->whole.file;
    return true;
}

static bool
copy_to_standard_output(FILE *from)
{
    char buffer[READ_STEP];
    rewind(from);
    size_t got;
    while ((got = fread(buffer, 1, sizeof buffer, from)) > 0)
        if (fwrite(buffer, 1, got, stdout) != got)
            return false;
    return fflush(stdout) == 0;
}

/* What was kept aside. */
static bool
commit_aside(Driver *driver, FILE *file, const char **ret_reason)
{
    errno = 0;
    const bool good = fflush(file) == 0 && !ferror(file) && copy_to_standard_output(file);
    driver->quiet_failure = !good && errno == EPIPE;
    *ret_reason = strerror(errno ? errno : EIO);
    fclose(file);
    return good;
}

bool
rxn__output_commit(Driver *driver, OutputFile *output)
{
    const bool aside = strcmp(output->path, "-") == 0;
    const char *reason;
    const bool good = aside ? commit_aside(driver, output->file, &reason)
                            : rxn__whole_file_commit(&output->whole, &reason);
    output->file = NULL;
    if (!good && !driver->quiet_failure)
        open_failed(driver, aside ? "standard output" : output->path, reason);
    return good;
}

void
rxn__output_drop(OutputFile *output)
{
    if (output->whole.file)
        rxn__whole_file_drop(&output->whole);
    else if (output->file)
        fclose(output->file);
    output->file = NULL;
}
