/* whole_file.c: files of results: whole or not there at all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/whole_file.h"

/* What was opened by another name before, and may be in the middle of a file: it is written on. */
static bool
is_descriptor(const char *path)
{
    return strcmp(path, "/dev/stdout") == 0 || strcmp(path, "/dev/stderr") == 0 ||
           strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/proc/self/fd/", 14) == 0;
}

static char *
behind_links(const char *path)
{
    struct stat status;
    char *real = lstat(path, &status) == 0 && S_ISLNK(status.st_mode) ? realpath(path, NULL) : NULL;
    return real ? real : strdup(path);
}

/* The names, and the file by the second of them. */
static FILE *
open_beside(RxnWholeFile *file, const char *path)
{
    enum { ROOM = sizeof ".part" + 20 }; /* with the number of a process */
    file->path = behind_links(path);
    size_t size = file->path ? strlen(file->path) + ROOM : 0;
    file->beside = size ? malloc(size) : NULL;
    if (!file->beside) {
        errno = ENOMEM;
        return NULL;
    }
    snprintf(file->beside, size, "%s.part%ld", file->path, (long)getpid());
    return fopen(file->beside, "we");
}

/* The names alone. */
static void
forget(RxnWholeFile *file)
{
    free(file->path);
    free(file->beside);
    *file = (RxnWholeFile){0};
}

bool
rxn__whole_file_open(RxnWholeFile *file, const char *path, const char **ret_reason)
{
    struct stat status;
    const bool there = stat(path, &status) == 0;
    *file = (RxnWholeFile){0};
    if (there && S_ISDIR(status.st_mode)) {
        *ret_reason = "it is a directory";
        return false;
    }
    if (is_descriptor(path))
        file->file = fopen(path, "ae");
    else if (there && !S_ISREG(status.st_mode))
        file->file = fopen(path, "we"); /* it has no name to be replaced */
    else
        file->file = open_beside(file, path);
    if (file->file)
        return true;
    *ret_reason = strerror(errno);
    forget(file);
    return false;
}

bool
rxn__whole_file_commit(RxnWholeFile *file, const char **ret_reason)
{
    errno = 0;
    bool good = fflush(file->file) == 0 && !ferror(file->file);
    int reason = errno;
    if (fclose(file->file) != 0 && good) {
        good = false;
        reason = errno;
    }
    file->file = NULL;
    if (good && file->beside && rename(file->beside, file->path) != 0) {
        good = false;
        reason = errno;
    }
    if (good) {
        forget(file);
        return true;
    }
    rxn__whole_file_drop(file);
    *ret_reason = strerror(reason ? reason : EIO);
    return false;
}

void
rxn__whole_file_drop(RxnWholeFile *file)
{
    if (file->file)
        fclose(file->file);
    if (file->beside)
        unlink(file->beside);
    forget(file);
}

bool
rxn__is_same_file(const char *path, const char *other)
{
    struct stat status, others;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && stat(other, &others) == 0 &&
           status.st_dev == others.st_dev && status.st_ino == others.st_ino;
}
