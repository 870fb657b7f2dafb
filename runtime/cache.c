/* cache.c: entries of the compile cache (see cache.h): a header, the key, the content. */
#include "runtime/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char magic[8] = "rxncode";

static const size_t entry_most = (size_t)1 << 30; /* no code is as large: a file that is, is none */

typedef struct Header {
    char magic[8];
    uint64_t key_length, content_size, checksum; /* the checksum is of key and content */
} Header;

/* As the compiler's hash_mix: the multiplier of the rrmxmx mixer family. */
static uint64_t
mix(uint64_t h, uint64_t value)
{
    h ^= value + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}

static uint64_t
hash_bytes(uint64_t h, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (; size >= 8; size -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        h = mix(h, word);
    }
    uint64_t rest = size;
    for (; size > 0; size--)
        rest = rest << 8 | *bytes++;
    return mix(h, rest);
}

/* To be freed; NULL without memory. */
static char *
entry_path(const char *directory, const char *key, size_t key_length, const char *suffix)
{
    size_t size = strlen(directory) + strlen(suffix) + 34;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%016llx%016llx%s", directory,
                 (unsigned long long)hash_bytes(1, key, key_length),
                 (unsigned long long)hash_bytes(2, key, key_length), suffix);
    return path;
}

static bool
read_all(int file, void *data, size_t size)
{
    char *at = data;
    while (size > 0) {
        ssize_t n = read(file, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static bool
write_all(int file, const void *data, size_t size)
{
    const char *at = data;
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

/* The file's bytes, to be freed, if it may be an entry of such a key. */
static char *
read_entry(const char *path, size_t key_length, size_t *ret_size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return NULL;
    struct stat status;
    char *bytes = NULL;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
        (uint64_t)status.st_size >= sizeof(Header) + key_length &&
        (uint64_t)status.st_size <= entry_most) {
        *ret_size = (size_t)status.st_size;
        bytes = malloc(*ret_size + 1);
        if (bytes && !read_all(file, bytes, *ret_size)) {
            free(bytes);
            bytes = NULL;
        }
        futimens(file, NULL); /* used just now; a directory that may only be read keeps its order */
    }
    close(file);
    return bytes;
}

static bool
is_sound(const char *bytes, size_t size, const char *key, size_t key_length)
{
    Header header;
    memcpy(&header, bytes, sizeof header);
    return memcmp(header.magic, magic, sizeof magic) == 0 && header.key_length == key_length &&
           header.content_size == size - sizeof header - key_length &&
           memcmp(bytes + sizeof header, key, key_length) == 0 &&
           header.checksum == hash_bytes(3, bytes + sizeof header, size - sizeof header);
}

bool
rxn__cache_find(const char *directory, const char *key, size_t key_length, void **ret_content,
                size_t *ret_size)
{
    char *path = entry_path(directory, key, key_length, ".code");
    if (!path)
        return false;
    size_t size = 0;
    char *bytes = read_entry(path, key_length, &size);
    free(path);
    if (!bytes)
        return false;
    if (!is_sound(bytes, size, key, key_length)) {
        free(bytes);
        return false;
    }
    /* Moved to the front, where malloc's alignment is. */
    size_t before = sizeof(Header) + key_length;
    memmove(bytes, bytes + before, size - before);
    bytes[size - before] = 0;
    *ret_content = bytes;
    *ret_size = size - before;
    return true;
}

static void
write_entry(const char *path, const char *draft, const char *bytes, size_t size)
{
    int file = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return;
    bool whole = write_all(file, bytes, size);
    whole = close(file) == 0 && whole;
    if (!whole || rename(draft, path) != 0)
        unlink(draft);
}

void
rxn__cache_store(const char *directory, const char *key, size_t key_length, const void *content,
                 size_t size)
{
    char suffix[32];
    snprintf(suffix, sizeof suffix, ".%ld.new", (long)getpid());
    size_t total = sizeof(Header) + key_length + size;
    char *path = entry_path(directory, key, key_length, ".code");
    char *draft = entry_path(directory, key, key_length, suffix);
    char *bytes = total <= entry_most ? malloc(total) : NULL;
    if (path && draft && bytes) {
        memcpy(bytes + sizeof(Header), key, key_length);
        memcpy(bytes + sizeof(Header) + key_length, content, size);
        Header header = {.key_length = key_length, .content_size = size};
        memcpy(header.magic, magic, sizeof magic);
        header.checksum = hash_bytes(3, bytes + sizeof header, key_length + size);
        memcpy(bytes, &header, sizeof header);
        mkdir(directory, 0700);
        write_entry(path, draft, bytes, total);
        rxn__cache_trim(directory, CACHE_MOST_BYTES);
    }
    free(bytes);
    free(draft);
    free(path);
}

/* ---- how much is kept -------------------------------------------------------------------------- */

enum { HASH_DIGITS = 32, NAME_MOST = 64 };

typedef struct Entry {
    char name[NAME_MOST];
    uint64_t size;
    struct timespec used;
} Entry;

/* What follows the hash in the name of an entry or of a draft; NULL: it is neither. */
static const char *
suffix_of(const char *name)
{
    if (strlen(name) >= NAME_MOST || strspn(name, "0123456789abcdef") != HASH_DIGITS)
        return NULL;
    return name + HASH_DIGITS;
}

/* ".1234.new" */
static bool
is_draft(const char *suffix)
{
    size_t digits = suffix[0] == '.' ? strspn(suffix + 1, "0123456789") : 0;
    return digits > 0 && strcmp(suffix + 1 + digits, ".new") == 0;
}

/* The last used first. */
static int
compare_use(const void *a, const void *b)
{
    const struct timespec *x = &((const Entry *)a)->used, *y = &((const Entry *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec > y->tv_sec ? -1 : 1;
    return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

/* The entries, to be freed; drafts that nobody can be writing any more are removed. */
static Entry *
list_entries(DIR *directory, size_t *ret_count)
{
    const time_t day = 24 * 60 * 60, now = time(NULL);
    Entry *entries = NULL;
    size_t count = 0, room = 0;
    for (struct dirent *found; (found = readdir(directory)) != NULL;) {
        struct stat status;
        const char *suffix = suffix_of(found->d_name);
        if (!suffix ||
            fstatat(dirfd(directory), found->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(status.st_mode))
            continue;
        if (is_draft(suffix) && now - status.st_mtime > day)
            unlinkat(dirfd(directory), found->d_name, 0);
        if (strcmp(suffix, ".code") != 0)
            continue;
        if (count == room) {
            room = 2 * room + 64;
            Entry *more = realloc(entries, room * sizeof *entries);
            if (!more)
                break;
            entries = more;
        }
        entries[count] = (Entry){.size = (uint64_t)status.st_size, .used = status.st_mtim};
        snprintf(entries[count++].name, NAME_MOST, "%s", found->d_name);
    }
    *ret_count = count;
    return entries;
}

void
rxn__cache_trim(const char *path, uint64_t most_bytes)
{
    DIR *directory = opendir(path);
    if (!directory)
        return;
    size_t count = 0;
    Entry *entries = list_entries(directory, &count);
    if (entries)
        qsort(entries, count, sizeof *entries, compare_use);
    uint64_t total = 0;
    for (size_t k = 0; k < count; k++) {
        total += entries[k].size;
        if (k > 0 && total > most_bytes)
            unlinkat(dirfd(directory), entries[k].name, 0);
    }
    free(entries);
    closedir(directory);
}
