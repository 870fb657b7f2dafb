/* replace.c: a file of the user's own gets new content: `rxn fmt`, `:save`. Whoever reads it sees the old text or the new one, which
 * is on the disk by then; a link stays a link, and the file keeps its mode and, as far as that is allowed, its owner.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/driver/command.h"

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

/* The mode comes after the owner, a change of which can take bits from it. */
static bool
take_over(int file, const struct stat *old)
{
    const bool given = fchown(file, old->st_uid, old->st_gid) == 0;
    return fchmod(file, old->st_mode & (given ? 07777 : 0777)) == 0;
}

/* old: what is to be replaced; NULL: there is nothing yet. False with errno. */
static bool
write_beside(const char *beside, const struct stat *old, const char *bytes, size_t length)
{
    const int file = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, old ? 0600 : 0666);
    if (file < 0)
        return false;
    const bool good =
        write_all(file, bytes, length) && (!old || take_over(file, old)) && fsync(file) == 0;
    const int reason = errno;
    if (close(file) == 0 && good)
        return true;
    unlink(beside);
    errno = good ? EIO : reason;
    return false;
}

static bool
replace(const char *target, const char *bytes, size_t length)
{
    enum { ROOM = sizeof ".part" + 20 }; /* with the number of a process */
    struct stat old;
    const bool exists = stat(target, &old) == 0;
    /* A device, a pipe: it would be gone. */
    if (exists && !S_ISREG(old.st_mode)) {
        errno = S_ISDIR(old.st_mode) ? EISDIR : 0;
        return false;
    }
    if (exists && access(target, W_OK) != 0)
        return false;
    const size_t size = strlen(target) + ROOM;
    char *beside = malloc(size);
    if (!beside)
        return false;
    snprintf(beside, size, "%s.part%ld", target, (long)getpid());
    bool good = write_beside(beside, exists ? &old : NULL, bytes, length);
    if (good && rename(beside, target) != 0) {
        const int reason = errno;
        unlink(beside);
        errno = reason;
        good = false;
    }
    free(beside);
    return good;
}

const char *
rxn__replace_text(const char *path, const char *bytes, size_t length)
{
    char *real = realpath(path, NULL);
    const bool good = replace(real ? real : path, bytes, length);
    const int reason = errno;
    free(real);
    return good ? NULL : reason ? strerror(reason) : "it is no plain file";
}
