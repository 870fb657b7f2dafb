/* output.c: files of results: whole or not there at all. */
#include <errno.h>
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

bool
rxn__output_open(Driver *driver, OutputFile *output, const char *path)
{
    *output = (OutputFile){.path = path};
    if (strcmp(path, "-") == 0) {
        /* Kept aside until the run is known to be good: a fault must leave no result behind. */
        output->file = open_aside();
        return output->file ? true : open_failed(driver, "the temporary file", strerror(errno));
    }
    struct stat status;
    if (rxn__driver_is_a_source(driver, path))
        return false;
    bool there = stat(path, &status) == 0;
    if (there && S_ISDIR(status.st_mode))
        return open_failed(driver, path, "it is a directory");
    if (there && !S_ISREG(status.st_mode)) {
        output->file = fopen(path, "w"); /* a device or a pipe has no name to be replaced */
    } else {
        Text beside;
        rxn__text_init(&beside, &driver->engine.session.arena);
        rxn__text_printf(&beside, "%s.part%ld", path, (long)getpid());
        output->file = fopen(beside.data, "w");
        output->beside = beside.data;
    }
    if (output->file)
        return true;
    output->beside = NULL;
    return open_failed(driver, path, strerror(errno));
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

bool
rxn__output_commit(Driver *driver, OutputFile *output)
{
    errno = 0;
    bool good = fflush(output->file) == 0 && !ferror(output->file);
    if (strcmp(output->path, "-") == 0) {
        good = good && copy_to_standard_output(output->file);
        driver->quiet_failure = !good && errno == EPIPE;
    }
    const char *reason = strerror(errno ? errno : EIO);
    if (fclose(output->file) != 0 && good) {
        good = false;
        reason = strerror(errno);
    }
    output->file = NULL;
    if (good && output->beside && rename(output->beside, output->path) != 0) {
        good = false;
        reason = strerror(errno);
    }
    if (!good && output->beside)
        unlink(output->beside);
    output->beside = NULL;
    if (!good && !driver->quiet_failure)
        open_failed(driver, strcmp(output->path, "-") == 0 ? "standard output" : output->path,
                    reason);
    return good;
}

void
rxn__output_drop(OutputFile *output)
{
    if (output->file)
        fclose(output->file);
    if (output->beside)
        unlink(output->beside);
    output->file = NULL;
    output->beside = NULL;
}
