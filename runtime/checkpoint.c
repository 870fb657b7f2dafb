/* checkpoint.c: the file of a checkpoint (see checkpoint.h).
 *
 *   magic, mark, version, size of the file, checksum, length of the key       6 words of 8 bytes
 *   the key
 *   items: kind, length of the name, count of elements; the name; the elements
 *
 * Texts end with a zero byte and are filled with more of them to whole words, so that arrays are aligned where
 * they lie. A checkpoint in memory is the file, header included; what is found in it is not copied.
 *
 * Nothing is taken from a file before its checksum agrees; lengths are then checked all the same. Sizes never lead
 * to an allocation other than of the file's own length.
 */
#include "runtime/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = {'r', 'x', 'n', '-', 'f', 'i', 't', '\n'};
static const uint64_t version = 1;

typedef struct Header {
    char magic[8];
    uint64_t mark; /* see machine_mark */
    uint64_t version, size, checksum, key_length;
} Header;

typedef enum ItemKind { ITEM_NUMBERS = 1, ITEM_COUNTS, ITEM_TEXT } ItemKind;

typedef struct Item {
    uint64_t kind, name_length, count; /* of a text: its bytes, without the zero */
} Item;

struct RxnCheckpoint {
    char *bytes; /* [size], of capacity */
    size_t size, capacity;
};

static void
say(char *error, size_t error_size, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    if (error_size > 0)
        vsnprintf(error, error_size, format, values);
    va_end(values);
}

/* ---- the image --------------------------------------------------------------------------------- */

/* A word that another order of bytes, or another form of f64, makes another word. */
static uint64_t
machine_mark(void)
{
    const double number = -0x1.23456789abcdep+77;
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits + 0x0001020304050607;
}

/* Words of a text of this length, with at least one zero byte. */
static size_t
text_size(size_t length)
{
    return length / 8 * 8 + 8;
}

/* Four lanes, since each multiplication waits for the one before it. Any one word that changes changes
 * its lane, and so the sum; constants as in MurmurHash3's finaliser. */
static uint64_t
mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0xff51afd7ed558ccdu;
    return h ^ (h >> 33);
}

static uint64_t
checksum_of(Header header, const char *bytes, size_t size)
{
    header.checksum = 0;
    uint64_t lanes[4] = {1, 2, 3, 4}, words[4];
    for (size_t at = 0; at < sizeof header; at += 8) {
        memcpy(words, (const char *)&header + at, 8);
        lanes[at / 8 % 4] = mix(lanes[at / 8 % 4], words[0]);
    }
    size_t at = sizeof header;
    for (; at + sizeof words <= size; at += sizeof words) {
        memcpy(words, bytes + at, sizeof words);
        for (int lane = 0; lane < 4; lane++)
            lanes[lane] = mix(lanes[lane], words[lane]);
    }
    for (int lane = 0; at < size; at += 8, lane++) {
        memcpy(words, bytes + at, 8);
        lanes[lane] = mix(lanes[lane], words[0]);
    }
    uint64_t sum = size;
    for (int lane = 0; lane < 4; lane++)
        sum = mix(sum, lanes[lane]);
    return sum;
}

/* `size` zero bytes at the end, a whole number of words; NULL without memory. */
static char *
append(RxnCheckpoint *checkpoint, size_t size)
{
    if (size > SIZE_MAX / 2 - checkpoint->size)
        return NULL;
    size_t total = checkpoint->size + size;
    if (total > checkpoint->capacity) {
        size_t capacity = total + checkpoint->size / 2;
        char *bytes = realloc(checkpoint->bytes, capacity);
        if (!bytes)
            return NULL;
        checkpoint->bytes = bytes;
        checkpoint->capacity = capacity;
    }
    char *at = checkpoint->bytes + checkpoint->size;
    memset(at, 0, size);
    checkpoint->size = total;
    return at;
}

RxnCheckpoint *
rxn__checkpoint_new(const char *key)
{
    RxnCheckpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (!checkpoint)
        return NULL;
    size_t length = strlen(key);
    char *at = append(checkpoint, sizeof(Header) + text_size(length));
    if (!at) {
        rxn__checkpoint_free(checkpoint);
        return NULL;
    }
    Header header = {.mark = machine_mark(), .version = version, .key_length = length};
    memcpy(header.magic, magic, sizeof magic);
    memcpy(at, &header, sizeof header);
    memcpy(at + sizeof header, key, length);
    return checkpoint;
}

void
rxn__checkpoint_free(RxnCheckpoint *checkpoint)
{
    if (!checkpoint)
        return;
    free(checkpoint->bytes);
    free(checkpoint);
}

/* Room for the elements of an item, of `size` bytes. */
static void *
add(RxnCheckpoint *checkpoint, ItemKind kind, const char *name, size_t count, size_t size)
{
    Item item = {.kind = kind, .name_length = strlen(name), .count = count};
    size_t before = sizeof item + text_size(item.name_length);
    if (size > SIZE_MAX / 2 - before)
        return NULL;
    char *at = append(checkpoint, before + size);
    if (!at)
        return NULL;
    memcpy(at, &item, sizeof item);
    memcpy(at + sizeof item, name, item.name_length);
    return at + before;
}

static void *
add_array(RxnCheckpoint *checkpoint, ItemKind kind, const char *name, size_t count)
{
    return count > SIZE_MAX / 16 ? NULL : add(checkpoint, kind, name, count, count * 8);
}

double *
rxn__checkpoint_place_numbers(RxnCheckpoint *checkpoint, const char *name, size_t count)
{
    return add_array(checkpoint, ITEM_NUMBERS, name, count);
}

bool
rxn__checkpoint_numbers(RxnCheckpoint *checkpoint, const char *name, const double *values,
                        size_t count)
{
    double *place = rxn__checkpoint_place_numbers(checkpoint, name, count);
    if (place && count > 0)
        memcpy(place, values, count * sizeof *values);
    return place != NULL;
}

bool
rxn__checkpoint_counts(RxnCheckpoint *checkpoint, const char *name, const uint64_t *values,
                       size_t count)
{
    uint64_t *place = add_array(checkpoint, ITEM_COUNTS, name, count);
    if (place && count > 0)
        memcpy(place, values, count * sizeof *values);
    return place != NULL;
}

bool
rxn__checkpoint_text(RxnCheckpoint *checkpoint, const char *name, const char *text)
{
    size_t length = strlen(text);
    char *place = add(checkpoint, ITEM_TEXT, name, length, text_size(length));
    if (place)
        memcpy(place, text, length);
    return place != NULL;
}

/* ---- looking into it --------------------------------------------------------------------------- */

static size_t
key_end(const RxnCheckpoint *checkpoint)
{
    Header header;
    memcpy(&header, checkpoint->bytes, sizeof header);
    return sizeof header + text_size(header.key_length);
}

/* A text of this length, a zero behind it, none within, lies in these bytes. */
static bool
is_text(const char *bytes, size_t most, uint64_t length)
{
    return length < most && text_size(length) <= most && strnlen(bytes, length + 1) == length;
}

/* The item at `*at`, which moves behind it; false at the end, and where what is there is no item: of a checkpoint
 * that was read, that has been ruled out. */
static bool
next_item(const RxnCheckpoint *checkpoint, size_t *at, Item *ret_item, const char **ret_name,
          const char **ret_data)
{
    size_t left = checkpoint->size - *at;
    if (left < sizeof *ret_item)
        return false;
    const char *bytes = checkpoint->bytes + *at;
    memcpy(ret_item, bytes, sizeof *ret_item);
    bytes += sizeof *ret_item;
    left -= sizeof *ret_item;
    if (!is_text(bytes, left, ret_item->name_length))
        return false;
    *ret_name = bytes;
    bytes += text_size(ret_item->name_length);
    left -= text_size(ret_item->name_length);
    *ret_data = bytes;
    switch (ret_item->kind) {
    case ITEM_NUMBERS:
    case ITEM_COUNTS:
        if (ret_item->count > left / 8)
            return false;
        bytes += ret_item->count * 8;
        break;
    case ITEM_TEXT:
        if (!is_text(bytes, left, ret_item->count))
            return false;
        bytes += text_size(ret_item->count);
        break;
    default: return false;
    }
    *at = (size_t)(bytes - checkpoint->bytes);
    return true;
}

static const void *
find(const RxnCheckpoint *checkpoint, ItemKind kind, const char *name, size_t *ret_count)
{
    size_t at = key_end(checkpoint);
    Item item;
    const char *its_name, *data;
    while (next_item(checkpoint, &at, &item, &its_name, &data)) {
        if (item.kind == kind && strcmp(its_name, name) == 0) {
            *ret_count = item.count;
            return data;
        }
    }
    return NULL;
}

const char *
rxn__checkpoint_key(const RxnCheckpoint *checkpoint)
{
    return checkpoint->bytes + sizeof(Header);
}

const double *
rxn__checkpoint_get_numbers(const RxnCheckpoint *checkpoint, const char *name, size_t *ret_count)
{
    return find(checkpoint, ITEM_NUMBERS, name, ret_count);
}

const uint64_t *
rxn__checkpoint_get_counts(const RxnCheckpoint *checkpoint, const char *name, size_t *ret_count)
{
    return find(checkpoint, ITEM_COUNTS, name, ret_count);
}

const char *
rxn__checkpoint_get_text(const RxnCheckpoint *checkpoint, const char *name)
{
    size_t length;
    return find(checkpoint, ITEM_TEXT, name, &length);
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* errno, where false comes of it; a file that has become shorter sets it to 0. */
static bool
read_all(int file, char *at, size_t size)
{
    while (size > 0) {
        ssize_t n = read(file, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? 0 : errno;
            return false;
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* What is wrong with the header of a file of this size; NULL: nothing. `header` holds the first bytes of
 * it, zeros beyond its end. */
static const char *
header_fault(const Header *header, uint64_t size)
{
    if (size < sizeof magic || memcmp(header->magic, magic, sizeof magic) != 0)
        return "is not a checkpoint";
    if (size < sizeof *header)
        return "is cut short";
    if (header->mark != machine_mark())
        return "was written on another kind of machine, or is damaged";
    if (header->version != version)
        return "is a checkpoint of another version of rxn, or is damaged";
    if (header->size > size)
        return "is cut short";
    if (header->size < size || size % 8 != 0)
        return "is damaged: it is longer than it was written";
    return NULL;
}

/* What is wrong with the bytes of which the header is sound. */
static const char *
content_fault(const RxnCheckpoint *checkpoint)
{
    static const char *damaged = "is damaged: its checksum does not agree";
    Header header;
    memcpy(&header, checkpoint->bytes, sizeof header);
    if (checksum_of(header, checkpoint->bytes, checkpoint->size) != header.checksum ||
        !is_text(checkpoint->bytes + sizeof header, checkpoint->size - sizeof header,
                 header.key_length))
        return damaged;
    size_t at = key_end(checkpoint);
    Item item;
    const char *name, *data;
    while (next_item(checkpoint, &at, &item, &name, &data))
        continue;
    return at == checkpoint->size ? NULL : damaged;
}

/* The file, at its beginning, and its header; -1: error says why. */
static int
open_checkpoint(const char *path, Header *ret_header, struct stat *ret_status, char *error,
                size_t error_size)
{
    /* Without O_NONBLOCK, opening a pipe would wait for a writer. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        say(error, error_size, "cannot read '%s': %s", path, strerror(errno));
        return -1;
    }
    memset(ret_header, 0, sizeof *ret_header);
    const char *fault = NULL;
    if (fstat(file, ret_status) != 0) {
        say(error, error_size, "cannot read '%s': %s", path, strerror(errno));
    } else if (!S_ISREG(ret_status->st_mode)) {
        fault = "is not a checkpoint";
    } else {
        uint64_t size = (uint64_t)ret_status->st_size;
        size_t first = size < sizeof *ret_header ? (size_t)size : sizeof *ret_header;
        if (read_all(file, (char *)ret_header, first))
            return file;
        say(error, error_size, "cannot read '%s': %s", path,
            errno ? strerror(errno) : "it was changed meanwhile");
    }
    if (fault)
        say(error, error_size, "'%s' %s", path, fault);
    close(file);
    return -1;
}

RxnCheckpoint *
rxn__checkpoint_read(const char *path, char *error, size_t error_size)
{
    Header header;
    struct stat status;
    int file = open_checkpoint(path, &header, &status, error, error_size);
    if (file < 0)
        return NULL;
    RxnCheckpoint *checkpoint = NULL;
    const char *fault = header_fault(&header, (uint64_t)status.st_size);
    if (!fault && (uint64_t)status.st_size > SIZE_MAX / 2)
        fault = "is larger than the memory";
    if (!fault) {
        size_t size = (size_t)status.st_size;
        checkpoint = calloc(1, sizeof *checkpoint);
        if (checkpoint)
            checkpoint->bytes = malloc(size);
        if (!checkpoint || !checkpoint->bytes) {
            fault = "does not fit into the memory";
        } else {
            checkpoint->size = checkpoint->capacity = size;
            memcpy(checkpoint->bytes, &header, sizeof header);
            if (!read_all(file, checkpoint->bytes + sizeof header, size - sizeof header))
                fault = errno ? strerror(errno) : "was changed while it was read";
            else
                fault = content_fault(checkpoint);
        }
    }
    close(file);
    if (!fault)
        return checkpoint;
    say(error, error_size, "'%s' %s", path, fault);
    rxn__checkpoint_free(checkpoint);
    return NULL;
}

/* ---- writing ----------------------------------------------------------------------------------- */

/* Whether the file behind the header belongs to the key. */
static bool
has_key(int file, const Header *header, uint64_t size, const char *key)
{
    size_t length = strlen(key);
    if (header->key_length != length || size < sizeof *header + text_size(length))
        return false;
    char *found = malloc(length + 1);
    bool same = found && read_all(file, found, length + 1) && memcmp(found, key, length + 1) == 0;
    free(found);
    return same;
}

/* Whether what is at `path` may be replaced. ret_status: of a file that is there; st_nlink 0: none is. */
static bool
may_replace(const char *path, const char *key, struct stat *ret_status, char *error,
            size_t error_size)
{
    memset(ret_status, 0, sizeof *ret_status);
    struct stat status;
    if (stat(path, &status) != 0) {
        if (errno == ENOENT)
            return true;
        say(error, error_size, "cannot write '%s': %s", path, strerror(errno));
        return false;
    }
    Header header;
    int file = open_checkpoint(path, &header, &status, error, error_size);
    if (file < 0)
        return false;
    const char *fault = NULL;
    uint64_t size = (uint64_t)status.st_size;
    if (size > 0) {
        if (size < sizeof magic || memcmp(header.magic, magic, sizeof magic) != 0)
            fault = "is not a checkpoint";
        else if (!has_key(file, &header, size, key))
            fault = "is the checkpoint of another fit, or is damaged";
    }
    close(file);
    *ret_status = status;
    if (fault)
        say(error, error_size, "'%s' %s: it is left as it is", path, fault);
    return !fault;
}

/* The place itself, where `path` leads to by symbolic links; to be freed. NULL without memory. */
static char *
place_of(const char *path)
{
    char *place = realpath(path, NULL);
    return place ? place : strdup(path);
}

/* The folder of a path; to be freed. */
static char *
folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

bool
rxn__checkpoint_may_write(const char *path, const char *key, char *error, size_t error_size)
{
    struct stat status;
    if (!may_replace(path, key, &status, error, error_size))
        return false;
    char *place = place_of(path), *folder = place ? folder_of(place) : NULL;
    bool may = folder && access(folder, W_OK | X_OK) == 0;
    if (!may)
        say(error, error_size, "cannot write '%s': %s", path,
            folder ? strerror(errno) : "out of memory");
    free(folder);
    free(place);
    return may;
}

static bool
write_all(int file, const char *at, size_t size)
{
    while (size > 0) {
        ssize_t n = write(file, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* A rename is on the disk once its folder is. Some file systems cannot flush one, and need not. */
static bool
flush_folder(const char *place)
{
    char *folder = folder_of(place);
    int file = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    if (file < 0)
        return errno == EACCES; /* a folder that may be written but not listed */
    bool flushed = fsync(file) == 0 || errno == EINVAL || errno == ENOTSUP;
    int kept = errno;
    close(file);
    errno = kept;
    return flushed;
}

/* A new file beside the place; its name in draft, which has room for the place and 40 bytes. -1: see errno. */
static int
open_draft(const char *place, char *draft, mode_t mode)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        sprintf(draft, "%s.%ld.%d.new", place, (long)getpid(), attempt);
        int file = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (file >= 0 || errno != EEXIST)
            return file;
    }
    return -1;
}

/* All but the rename. status: of the file that is replaced, if there is one. */
static bool
write_draft(const RxnCheckpoint *checkpoint, int file, const struct stat *status)
{
    if (status->st_nlink > 0) {
        /* Only root can give a file away; another's new one is then the writer's. */
        if (status->st_uid != geteuid() || status->st_gid != getegid())
            (void)!fchown(file, status->st_uid, status->st_gid);
        if (fchmod(file, status->st_mode & 0777) != 0)
            return false;
    }
    Header header;
    memcpy(&header, checkpoint->bytes, sizeof header);
    header.size = checkpoint->size;
    header.checksum = checksum_of(header, checkpoint->bytes, checkpoint->size);
    return write_all(file, (const char *)&header, sizeof header) &&
           write_all(file, checkpoint->bytes + sizeof header, checkpoint->size - sizeof header) &&
           fsync(file) == 0;
}

static bool
write_place(const RxnCheckpoint *checkpoint, const char *place, char *draft,
            const struct stat *status)
{
    int file = open_draft(place, draft, status->st_nlink > 0 ? 0600 : 0666);
    if (file < 0)
        return false;
    bool written = write_draft(checkpoint, file, status);
    int kept = errno;
    if (close(file) != 0 && written) {
        written = false;
        kept = errno;
    }
    if (written && rename(draft, place) == 0)
        return flush_folder(place);
    kept = written ? errno : kept;
    unlink(draft);
    errno = kept;
    return false;
}

bool
rxn__checkpoint_write(const RxnCheckpoint *checkpoint, const char *path, char *error,
                      size_t error_size)
{
    struct stat status;
    if (!may_replace(path, rxn__checkpoint_key(checkpoint), &status, error, error_size))
        return false;
    char *place = place_of(path);
    char *draft = place ? malloc(strlen(place) + 40) : NULL;
    bool written = draft && write_place(checkpoint, place, draft, &status);
    if (!written)
        say(error, error_size, "cannot write '%s': %s", path,
            draft ? strerror(errno) : "out of memory");
    free(draft);
    free(place);
    return written;
}
