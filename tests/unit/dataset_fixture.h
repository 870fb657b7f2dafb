/* dataset_fixture.h: for the tests of data files: bytes put together by hand, gzip made with zlib. */
#ifndef RXN_TESTS_DATASET_FIXTURE_H
#define RXN_TESTS_DATASET_FIXTURE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct Bytes {
    unsigned char *data; /* of malloc, exactly `size` long, so that sanitizers see what reads on */
    size_t size;
} Bytes;

static inline Bytes
bytes_of(const void *data, size_t size)
{
    Bytes bytes = {.data = calloc(size ? size : 1, 1), .size = size};
    if (size)
        memcpy(bytes.data, data, size);
    return bytes;
}

static inline Bytes
bytes_join(const void *first, size_t first_size, const void *second, size_t second_size)
{
    Bytes bytes = {.data = malloc(first_size + second_size + 1), .size = first_size + second_size};
    if (first_size)
        memcpy(bytes.data, first, first_size);
    if (second_size)
        memcpy(bytes.data + first_size, second, second_size);
    return bytes;
}

/* One member of gzip. */
static inline Bytes
gzip_of(const void *data, size_t size)
{
    z_stream stream = {0};
    deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
    const size_t bound = deflateBound(&stream, size) + 64;
    Bytes packed = {.data = malloc(bound)};
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)size;
    stream.next_out = packed.data;
    stream.avail_out = (uInt)bound;
    deflate(&stream, Z_FINISH);
    packed.size = stream.total_out;
    deflateEnd(&stream);
    packed.data = realloc(packed.data, packed.size);
    return packed;
}

/* NPY of a version: the header as given, filled up as numpy does, then the elements. */
static inline Bytes
npy_of(int version, const char *header, const void *data, size_t size)
{
    unsigned char text[512] = "\x93NUMPY";
    const size_t length_bytes = version == 1 ? 2 : 4, begin = 8 + length_bytes;
    size_t used = begin + strlen(header);
    text[6] = (unsigned char)version;
    memcpy(text + begin, header, strlen(header));
    while ((used + 1) % 64 != 0)
        text[used++] = ' ';
    text[used++] = '\n';
    for (size_t k = 0; k < length_bytes; k++)
        text[8 + k] = (unsigned char)((used - begin) >> (8 * k));
    return bytes_join(text, used, data, size);
}

/* IDX: its header, then the elements, big-endian as they are. */
static inline Bytes
idx_of(unsigned char type, uint32_t rank, const uint32_t *extent, const void *data, size_t size)
{
    unsigned char head[4 + 4 * 8] = {0, 0, type, (unsigned char)rank};
    for (uint32_t k = 0; k < rank; k++)
        for (uint32_t b = 0; b < 4; b++)
            head[4 + 4 * k + b] = (unsigned char)(extent[k] >> (24 - 8 * b));
    return bytes_join(head, 4 + 4 * rank, data, size);
}

#endif
