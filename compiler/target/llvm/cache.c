/* cache.c: object code on disk, so that a model that has run before starts at once.
 *
 * An entry is one file, named by a hash of its key. The key is all that the object code depends on,
 * as text: rxn's and LLVM's versions, processor, lanes, and the kernel itself. It is stored in the
 * entry and compared before the code is used, so neither a collision of hashes nor a changed compiler
 * can run wrong code; a checksum finds entries that a crash or a full disk has cut. An entry is
 * written beside its place and renamed into it, so that readers see all of it or nothing.
 */
#include "compiler/target/llvm/llvm.h"

#include <fcntl.h>
#include <llvm/Config/llvm-config.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Raised whenever the code that this target renders changes for the same KIR. */
enum { RENDERING_VERSION = 2 };

static const char magic[8] = "rxnkobj";

typedef struct Header {
    char magic[8];
    u64 key_length, object_size, checksum; /* the checksum is of key and object */
} Header;

const char *
rxn__llvm_cache_key(const KirKernel *kernel, const LlvmHost *host, u32 lanes, Arena *arena,
                    size_t *ret_length)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "rxn rendering %d\nllvm %s\n%s %s %s\nlanes %u\n", RENDERING_VERSION,
                     LLVM_VERSION_STRING, host->triple, host->cpu, host->features, lanes);
    rxn__kir_print(kernel, &text);
    *ret_length = text.length;
    return text.data;
}

static u64
hash_bytes(u64 h, const void *data, size_t size)
{
    const u8 *bytes = data;
    for (; size >= 8; size -= 8, bytes += 8) {
        u64 word;
        memcpy(&word, bytes, 8);
        h = hash_mix(h, word);
    }
    u64 rest = size;
    for (; size > 0; size--)
        rest = rest << 8 | *bytes++;
    return hash_mix(h, rest);
}

static const char *
entry_path(const char *directory, const char *key, size_t key_length, const char *suffix,
           Arena *arena)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "%s/%016llx%016llx%s", directory,
                     (unsigned long long)hash_bytes(1, key, key_length),
                     (unsigned long long)hash_bytes(2, key, key_length), suffix);
    return text.data;
}

static bool
read_all(int file, void *data, size_t size)
{
    u8 *at = data;
    while (size > 0) {
        ssize_t n = read(file, at, size);
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
    const u8 *at = data;
    while (size > 0) {
        ssize_t n = write(file, at, size);
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

bool
rxn__llvm_cache_find(const char *directory, const char *key, size_t key_length, Arena *arena,
                     void **ret_object, size_t *ret_size)
{
    const char *path = entry_path(directory, key, key_length, ".o", arena);
    struct stat status;
    if (stat(path, &status) != 0 || (u64)status.st_size < sizeof(Header) + key_length ||
        status.st_size > (off_t)1 << 30)
        return false;
    size_t size = (size_t)status.st_size;
    u8 *bytes = rxn__arena_alloc(arena, size + 1);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool whole = read_all(file, bytes, size);
    close(file);
    Header header;
    memcpy(&header, bytes, sizeof header);
    if (!whole || memcmp(header.magic, magic, sizeof magic) != 0 ||
        header.key_length != key_length ||
        header.object_size != size - sizeof header - key_length ||
        memcmp(bytes + sizeof header, key, key_length) != 0 ||
        header.checksum != hash_bytes(3, bytes + sizeof header, size - sizeof header))
        return false;
    *ret_object = bytes + sizeof header + key_length;
    *ret_size = header.object_size;
    return true;
}

void
rxn__llvm_cache_store(const char *directory, const char *key, size_t key_length, const void *object,
                      size_t size, Arena *arena)
{
    char suffix[32];
    snprintf(suffix, sizeof suffix, ".%ld.new", (long)getpid());
    const char *path = entry_path(directory, key, key_length, ".o", arena);
    const char *draft = entry_path(directory, key, key_length, suffix, arena);
    u8 *bytes = rxn__arena_alloc(arena, sizeof(Header) + key_length + size);
    memcpy(bytes + sizeof(Header), key, key_length);
    memcpy(bytes + sizeof(Header) + key_length, object, size);
    Header header = {.key_length = key_length, .object_size = size};
    memcpy(header.magic, magic, sizeof magic);
    header.checksum = hash_bytes(3, bytes + sizeof(Header), key_length + size);
    memcpy(bytes, &header, sizeof header);

    mkdir(directory, 0700);
    int file = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return;
    bool whole = write_all(file, bytes, sizeof(Header) + key_length + size);
    whole = close(file) == 0 && whole;
    if (!whole || rename(draft, path) != 0)
        unlink(draft);
}
