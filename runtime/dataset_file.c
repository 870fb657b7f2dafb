/* dataset_file.c: the bytes of a data file, unpacked where they are gzip, and what they look like. Also the
 * form of the messages that all readers of data give.
 *
 * A buffer grows with what has arrived, so that neither the size that a file system claims nor the length at
 * the end of a gzip file, both of which can be anything, decides how much memory is asked for.
 */
#include "runtime/dataset_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

const DataLimits rxn__data_table_limits = {.most_bytes = RXN_TABLE_MOST_BYTES,
                                           .gzip_free_bytes = RXN_GZIP_FREE_BYTES,
                                           .gzip_most_ratio = RXN_GZIP_MOST_RATIO};
const DataLimits rxn__data_array_limits = {.most_bytes = RXN_ARRAY_MOST_BYTES,
                                           .gzip_free_bytes = RXN_GZIP_FREE_BYTES,
                                           .gzip_most_ratio = RXN_GZIP_MOST_RATIO};

/* ---- messages */

bool
rxn__data_fail(const DataError *error, uint64_t line, uint64_t column, const char *format, ...)
{
    char place[48] = "";
    if (line && column)
        snprintf(place, sizeof place, ":%" PRIu64 ":%" PRIu64, line, column);
    else if (line)
        snprintf(place, sizeof place, ":%" PRIu64, line);
    if (error->size == 0)
        return false;
    const int length = snprintf(error->text, error->size, "%s%s: ", error->path, place);
    if (length >= 0 && (size_t)length < error->size) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->text + length, error->size - (size_t)length, format, args);
        va_end(args);
    }
    return false;
}

bool
rxn__data_out_of_memory(const DataError *error)
{
    return rxn__data_fail(error, 0, 0, "out of memory");
}

size_t
rxn__data_utf8_length(const char *text, size_t available)
{
    static const struct {
        unsigned char mask, lead;
        unsigned least;
    } forms[] = {{0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
    for (size_t extra = 0; extra < 4 && extra < available; extra++) {
        const unsigned char first = (unsigned char)text[0];
        if ((first & forms[extra].mask) != forms[extra].lead)
            continue;
        unsigned code = first & (unsigned char)~forms[extra].mask;
        for (size_t k = 1; k <= extra; k++) {
            const unsigned char next = (unsigned char)text[k];
            if ((next & 0xC0) != 0x80)
                return 0;
            code = code << 6 | (next & 0x3Fu);
        }
        const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
        return code >= forms[extra].least && code <= 0x10FFFF && !surrogate ? extra + 1 : 0;
    }
    return 0;
}

const char *
rxn__data_shown(char ret_text[DATA_SHOWN_ROOM], const char *text, size_t length)
{
    enum { LONGEST_PIECE = 4, DOTS = 3 };
    size_t used = 0;
    for (size_t k = 0; k < length;) {
        size_t bytes = rxn__data_utf8_length(text + k, length - k);
        if (used + LONGEST_PIECE + DOTS >= DATA_SHOWN_ROOM) {
            memcpy(ret_text + used, "...", DOTS);
            used += DOTS;
            break;
        }
        const unsigned char c = (unsigned char)text[k];
        if (bytes == 0 || c < 0x20 || c == 0x7F) {
            used += (size_t)snprintf(ret_text + used, DATA_SHOWN_ROOM - used, "\\x%02X", c);
            bytes = 1;
        } else {
            memcpy(ret_text + used, text + k, bytes);
            used += bytes;
        }
        k += bytes;
    }
    ret_text[used] = '\0';
    return ret_text;
}

/* ---- growing buffers */

typedef struct Buffer {
    unsigned char *data;
    size_t used, capacity; /* one more byte is there, for the zero at the end */
} Buffer;

static bool
buffer_set_capacity(Buffer *buffer, uint64_t capacity)
{
    if (capacity >= SIZE_MAX)
        return false;
    unsigned char *data = realloc(buffer->data, (size_t)capacity + 1);
    if (!data)
        return false;
    buffer->data = data;
    buffer->capacity = (size_t)capacity;
    return true;
}

/* Room for more: twice as much as before, but no more than one byte past the limit, which is how it is known
 * that something goes past it. */
static bool
buffer_grow(Buffer *buffer, uint64_t limit)
{
    if (buffer->used < buffer->capacity)
        return true;
    const uint64_t twice = (uint64_t)buffer->capacity * 2 + (UINT64_C(1) << 16);
    return buffer_set_capacity(buffer, twice < limit + 1 ? twice : limit + 1);
}

static void
buffer_finish(Buffer *buffer, DataBytes *ret_bytes)
{
    buffer_set_capacity(buffer, buffer->used); /* where it cannot shrink it stays as it is */
    buffer->data[buffer->used] = 0;
    *ret_bytes = (DataBytes){.data = buffer->data, .size = buffer->used};
}

static bool
too_large(const DataError *error, const char *what, uint64_t limit)
{
    return rxn__data_fail(error, 0, 0,
                          "%s more than %" PRIu64
                          " MiB, which is the limit: leave out what is not needed, or split it",
                          what, limit >> 20);
}

/* ---- gzip (RFC 1952) */

static bool
is_gzip(const unsigned char *data, size_t size)
{
    return size >= 2 && data[0] == 0x1F && data[1] == 0x8B;
}

typedef struct Unpacking {
    z_stream stream;
    const unsigned char *packed;
    size_t size, taken; /* of packed: the bytes that the stream has been given */
    const DataLimits *limits;
    const DataError *error;
    Buffer out;
} Unpacking;

/* The most bytes that may come out of this file, and why it is not more. */
static uint64_t
unpacked_limit(const Unpacking *u, bool *ret_by_ratio)
{
    uint64_t limit = u->limits->most_bytes;
    const uint64_t by_ratio = u->size < UINT64_MAX / u->limits->gzip_most_ratio
                                  ? u->size * u->limits->gzip_most_ratio
                                  : UINT64_MAX;
    const uint64_t free_bytes = u->limits->gzip_free_bytes;
    const uint64_t allowed = by_ratio > free_bytes ? by_ratio : free_bytes;
    *ret_by_ratio = allowed < limit;
    return *ret_by_ratio ? allowed : limit;
}

static bool
unpacks_to_too_much(const Unpacking *u, uint64_t limit, bool by_ratio)
{
    if (!by_ratio)
        return too_large(u->error, "the gzip file unpacks to", limit);
    return rxn__data_fail(u->error, 0, 0,
                          "the gzip file unpacks to more than %" PRIu64
                          " times its size; if that is what it holds, unpack it with gunzip first",
                          u->limits->gzip_most_ratio);
}

/* zlib counts in 32 bits; what it is given and where it writes is set before each call. */
static int
inflate_some(Unpacking *u)
{
    z_stream *stream = &u->stream;
    const size_t left = u->size - u->taken, room = u->out.capacity - u->out.used;
    stream->next_in = (Bytef *)(uintptr_t)(u->packed + u->taken);
    stream->avail_in = left < UINT_MAX ? (uInt)left : UINT_MAX;
    stream->next_out = u->out.data + u->out.used;
    stream->avail_out = room < UINT_MAX ? (uInt)room : UINT_MAX;
    const int status = inflate(stream, Z_NO_FLUSH);
    u->taken = (size_t)(stream->next_in - u->packed);
    u->out.used = (size_t)(stream->next_out - u->out.data);
    return status;
}

/* One member of the file, which may hold several. */
static bool
unpack_member(Unpacking *u)
{
    bool by_ratio;
    const uint64_t limit = unpacked_limit(u, &by_ratio);
    for (;;) {
        if (!buffer_grow(&u->out, limit))
            return rxn__data_out_of_memory(u->error);
        const int status = inflate_some(u);
        if (u->out.used > limit)
            return unpacks_to_too_much(u, limit, by_ratio);
        if (status == Z_STREAM_END)
            return true;
        if (status == Z_MEM_ERROR)
            return rxn__data_out_of_memory(u->error);
        if (status != Z_OK && status != Z_BUF_ERROR)
            return rxn__data_fail(u->error, 0, 0,
                                  "the gzip file is damaged (%s): get or make it again",
                                  u->stream.msg ? u->stream.msg : "no valid stream");
        if (u->taken == u->size && u->out.used < u->out.capacity)
            return rxn__data_fail(u->error, 0, 0,
                                  "the gzip file is cut short: get or make it again");
    }
}

/* Behind the last member there may be zeros, with which tapes and blocks are filled up. */
static bool
only_zeros(const unsigned char *data, size_t size)
{
    for (size_t k = 0; k < size; k++)
        if (data[k] != 0)
            return false;
    return true;
}

static bool
unpack_all(Unpacking *u)
{
    for (;;) {
        if (!unpack_member(u))
            return false;
        const size_t left = u->size - u->taken;
        if (only_zeros(u->packed + u->taken, left))
            return true;
        if (!is_gzip(u->packed + u->taken, left))
            return rxn__data_fail(
                u->error, 0, 0,
                "%zu byte%s behind the end of what was compressed: get or make the gzip file again",
                left, left == 1 ? "" : "s");
        inflateReset(&u->stream);
    }
}

static bool
unpack(DataBytes *bytes, const DataLimits *limits, const DataError *error)
{
    Unpacking u = {.packed = bytes->data, .size = bytes->size, .limits = limits, .error = error};
    enum { GZIP_ONLY = 16 }; /* of inflateInit2: a gzip header and its checksum */
    if (inflateInit2(&u.stream, MAX_WBITS + GZIP_ONLY) != Z_OK)
        return rxn__data_out_of_memory(error);
    const bool done = unpack_all(&u);
    inflateEnd(&u.stream);
    if (!done) {
        free(u.out.data);
        return false;
    }
    free(bytes->data);
    buffer_finish(&u.out, bytes);
    return true;
}

/* Takes the bytes over, whatever comes of it. */
static bool
unpack_if_packed(DataBytes *bytes, const DataLimits *limits, const DataError *error)
{
    if (!is_gzip(bytes->data, bytes->size) || unpack(bytes, limits, error))
        return true;
    free(bytes->data);
    *bytes = (DataBytes){0};
    return false;
}

/* ---- files */

static bool
read_all(int file, uint64_t expected, const DataLimits *limits, DataBytes *ret_bytes,
         const DataError *error)
{
    enum { TRUSTED_BYTES = 64 << 20 };
    Buffer buffer = {0};
    if (!buffer_set_capacity(&buffer, expected < TRUSTED_BYTES ? expected + 1 : TRUSTED_BYTES))
        return rxn__data_out_of_memory(error);
    for (;;) {
        if (!buffer_grow(&buffer, limits->most_bytes)) {
            free(buffer.data);
            return rxn__data_out_of_memory(error);
        }
        const ssize_t count = read(file, buffer.data + buffer.used, buffer.capacity - buffer.used);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 || buffer.used + (size_t)count > limits->most_bytes) {
            free(buffer.data);
            return count < 0 ? rxn__data_fail(error, 0, 0, "cannot be read: %s", strerror(errno))
                             : too_large(error, "the file holds", limits->most_bytes);
        }
        if (count == 0)
            break;
        buffer.used += (size_t)count;
    }
    buffer_finish(&buffer, ret_bytes);
    return true;
}

static bool
read_open_file(int file, const DataLimits *limits, DataBytes *ret_bytes, const DataError *error)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return rxn__data_fail(error, 0, 0, "cannot be read: %s", strerror(errno));
    if (S_ISDIR(status.st_mode))
        return rxn__data_fail(error, 0, 0, "is a folder: name a file in it");
    if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode))
        return rxn__data_fail(error, 0, 0, "is a device or a socket: name a file");
    const uint64_t size = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
    if (size > limits->most_bytes)
        return too_large(error, "the file holds", limits->most_bytes);
    return read_all(file, size, limits, ret_bytes, error);
}

bool
rxn__data_read(const char *path, const DataLimits *limits, DataBytes *ret_bytes,
               const DataError *error)
{
    *ret_bytes = (DataBytes){0};
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return rxn__data_fail(error, 0, 0, "cannot be opened: %s", strerror(errno));
    const bool done = read_open_file(file, limits, ret_bytes, error);
    close(file);
    return done && unpack_if_packed(ret_bytes, limits, error);
}

bool
rxn__data_take(const void *bytes, size_t size, const DataLimits *limits, DataBytes *ret_bytes,
               const DataError *error)
{
    *ret_bytes = (DataBytes){0};
    if (size > limits->most_bytes)
        return too_large(error, "the data hold", limits->most_bytes);
    Buffer buffer = {0};
    if (!buffer_set_capacity(&buffer, size))
        return rxn__data_out_of_memory(error);
    if (size)
        memcpy(buffer.data, bytes, size);
    buffer.used = size;
    buffer_finish(&buffer, ret_bytes);
    return unpack_if_packed(ret_bytes, limits, error);
}

/* ---- formats */

bool
rxn__data_format(const DataBytes *bytes, DataFormat *ret_format, const DataError *error)
{
    static const struct {
        const char *magic;
        size_t length;
        const char *what;
    } others[] = {
        {"\x1F\x8B", 2, "is compressed with gzip twice: unpack it once with gunzip"},
        {"PK\x03\x04", 4,
         "is a ZIP archive (.npz and .xlsx are too): unpack it, or store the one array as .npy and "
         "the one table as .csv"},
        {"BZh", 3, "is compressed with bzip2: unpack it, or use gzip"},
        {"\xFD"
         "7zXZ",
         5, "is compressed with xz: unpack it, or use gzip"},
        {"\x28\xB5\x2F\xFD", 4, "is compressed with zstd: unpack it, or use gzip"},
        {"\x89HDF", 4, "is an HDF5 file: store the array as .npy, or the table as .csv"},
        {"PAR1", 4, "is a Parquet file: store the table as .csv"},
        {"\xFF\xFE", 2, "is UTF-16 text: store it as UTF-8"},
        {"\xFE\xFF", 2, "is UTF-16 text: store it as UTF-8"},
    };
    if (bytes->size == 0)
        return rxn__data_fail(error, 0, 0, "the file is empty");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (bytes->size >= others[i].length &&
            memcmp(bytes->data, others[i].magic, others[i].length) == 0)
            return rxn__data_fail(error, 0, 0, "%s", others[i].what);
    static const char npy[] = "\x93NUMPY";
    const size_t length = bytes->size < sizeof npy - 1 ? bytes->size : sizeof npy - 1;
    if (memcmp(bytes->data, npy, length) == 0)
        *ret_format = DATA_NPY;
    else if (bytes->data[0] == 0)
        *ret_format = DATA_IDX;
    else if (memchr(bytes->data, 0, bytes->size))
        return rxn__data_fail(error, 0, 0,
                              "holds zero bytes, so it is no text, and it begins neither as an NPY "
                              "nor as an IDX file");
    else
        *ret_format = DATA_TEXT;
    return true;
}
