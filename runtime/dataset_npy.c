/* dataset_npy.c: the header of an NPY file, versions 1 to 3 (numpy.lib.format): a magic string, the version, the
 * length of the header, and the header, which is a dictionary as Python writes it:
 *
 *     {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }
 *
 * The keys may come in any order. Version 2 has a longer length, version 3 the same in UTF-8.
 */
#include "runtime/dataset_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAGIC = 6, VERSION = 2 }; /* bytes */

typedef struct Header {
    const char *cursor, *end;
    const DataError *error;
    DataLayout *layout;
    bool has_type, has_order, has_shape;
} Header;

/* ---- the dictionary */

static void
skip_blanks(Header *h)
{
    while (h->cursor < h->end && strchr(" \t\r\n", *h->cursor) && *h->cursor)
        h->cursor++;
}

static bool
take(Header *h, char c)
{
    skip_blanks(h);
    if (h->cursor == h->end || *h->cursor != c)
        return false;
    h->cursor++;
    return true;
}

static bool
take_word(Header *h, const char *word)
{
    const size_t length = strlen(word);
    skip_blanks(h);
    if ((size_t)(h->end - h->cursor) < length || memcmp(h->cursor, word, length) != 0)
        return false;
    h->cursor += length;
    return true;
}

/* The header is filled up with blanks, which are not shown. */
static bool
fail_expected(const Header *h, const char *what)
{
    char shown[DATA_SHOWN_ROOM];
    const char *end = h->end;
    while (end > h->cursor && strchr(" \n", end[-1]) && end[-1])
        end--;
    if (end == h->cursor)
        return rxn__data_fail(h->error, 0, 0,
                              "the NPY header is damaged: it ends where %s is expected", what);
    return rxn__data_fail(h->error, 0, 0, "the NPY header is damaged: %s is expected before '%s'",
                          what, rxn__data_shown(shown, h->cursor, (size_t)(end - h->cursor)));
}

/* Without escapes, which no type has; none of the keys holds a quotation mark. */
static bool
take_string(Header *h, const char **ret_text, size_t *ret_length)
{
    skip_blanks(h);
    if (h->cursor == h->end || (*h->cursor != '\'' && *h->cursor != '"'))
        return false;
    const char *close = memchr(h->cursor + 1, *h->cursor, (size_t)(h->end - h->cursor - 1));
    if (!close)
        return false;
    *ret_text = h->cursor + 1;
    *ret_length = (size_t)(close - *ret_text);
    h->cursor = close + 1;
    return true;
}

/* ---- the type */

static bool
find_type(const char *code, DataLayout *layout)
{
    static const struct {
        const char *code;
        RxnArrayType type;
    } types[] = {
        {"b1", RXN_ARRAY_U8},  {"u1", RXN_ARRAY_U8},  {"i1", RXN_ARRAY_I8},  {"u2", RXN_ARRAY_U16},
        {"i2", RXN_ARRAY_I16}, {"u4", RXN_ARRAY_U32}, {"i4", RXN_ARRAY_I32}, {"u8", RXN_ARRAY_U64},
        {"i8", RXN_ARRAY_I64}, {"f4", RXN_ARRAY_F32}, {"f8", RXN_ARRAY_F64},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].code, code) == 0) {
            layout->type = types[i].type;
            layout->is_bool = i == 0;
            return true;
        }
    }
    return false;
}

static bool
fail_type(const Header *h, const char *text, size_t length, char kind)
{
    static const struct {
        char kind;
        const char *why;
    } kinds[] = {
        {'f', "floating-point numbers of 4 and 8 bytes can be read: convert with .astype('f4')"},
        {'c', "complex numbers cannot be read: store real and imaginary parts"},
        {'O', "Python objects cannot be read: store an array of numbers"},
        {'U', "texts cannot be read: store an array of numbers"},
        {'S', "texts cannot be read: store an array of numbers"},
        {'a', "texts cannot be read: store an array of numbers"},
        {'V', "records cannot be read: store an array of numbers"},
        {'M', "dates cannot be read: store times as numbers"},
        {'m', "time spans cannot be read: store times as numbers"},
    };
    char shown[DATA_SHOWN_ROOM];
    const char *why = "no such type is known: store an array of numbers";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].kind == kind)
            why = kinds[i].why;
    return rxn__data_fail(h->error, 0, 0, "the NPY array has elements of type '%s'; %s",
                          rxn__data_shown(shown, text, length), why);
}

static bool
read_type(Header *h)
{
    const char *text;
    size_t length;
    skip_blanks(h);
    if (h->cursor < h->end && *h->cursor == '[')
        return rxn__data_fail(h->error, 0, 0,
                              "the NPY array has records with named fields; store each field as an "
                              "array of its own");
    if (!take_string(h, &text, &length))
        return fail_expected(h, "a type");
    const bool big = length > 0 && text[0] == '>', little = length > 0 && text[0] == '<';
    const size_t skip = big || little || (length > 0 && strchr("=|", text[0])) ? 1 : 0;
    char code[3] = "";
    if (length - skip == 2)
        memcpy(code, text + skip, 2);
    if (!find_type(code, h->layout))
        return fail_type(h, text, length, length > skip ? text[skip] : '\0');
    const bool big_machine = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    h->layout->swapped = big_machine ? little : big;
    h->has_type = true;
    return true;
}

/* ---- the shape */

static bool
read_extent(Header *h, uint64_t *ret_extent)
{
    uint64_t value = 0;
    skip_blanks(h);
    if (h->cursor == h->end || *h->cursor < '0' || *h->cursor > '9')
        return fail_expected(h, "an extent");
    for (; h->cursor < h->end && *h->cursor >= '0' && *h->cursor <= '9'; h->cursor++) {
        const uint64_t digit = (uint64_t)(*h->cursor - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return rxn__data_fail(h->error, 0, 0,
                                  "the NPY header claims an extent of more than 2^64");
        value = 10 * value + digit;
    }
    take(h, 'L'); /* of Python 2 */
    *ret_extent = value;
    return true;
}

static bool
read_shape(Header *h)
{
    DataLayout *layout = h->layout;
    if (!take(h, '('))
        return fail_expected(h, "a shape");
    while (!take(h, ')')) {
        if (layout->rank == RXN_ARRAY_MAX_RANK)
            return rxn__data_fail(h->error, 0, 0,
                                  "the NPY array has more than %d extents; store it in another "
                                  "shape",
                                  RXN_ARRAY_MAX_RANK);
        if (!read_extent(h, &layout->extent[layout->rank]))
            return false;
        layout->rank++;
        if (!take(h, ',')) {
            if (take(h, ')'))
                break;
            return fail_expected(h, "a comma or ')'");
        }
    }
    if (layout->rank == 0) {
        layout->rank = 1;
        layout->extent[0] = 1;
    }
    h->has_shape = true;
    return true;
}

static bool
read_order(Header *h)
{
    h->layout->column_major = take_word(h, "True");
    if (!h->layout->column_major && !take_word(h, "False"))
        return fail_expected(h, "True or False");
    h->has_order = true;
    return true;
}

static bool
read_entry(Header *h)
{
    static const struct {
        const char *key;
        size_t seen; /* of Header */
        bool (*read)(Header *h);
    } entries[] = {{"descr", offsetof(Header, has_type), read_type},
                   {"fortran_order", offsetof(Header, has_order), read_order},
                   {"shape", offsetof(Header, has_shape), read_shape}};
    const char *key;
    size_t length;
    if (!take_string(h, &key, &length))
        return fail_expected(h, "a key");
    if (!take(h, ':'))
        return fail_expected(h, "a colon");
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        if (strlen(entries[i].key) == length && memcmp(entries[i].key, key, length) == 0 &&
            !*((const bool *)h + entries[i].seen))
            return entries[i].read(h);
    char shown[DATA_SHOWN_ROOM];
    return rxn__data_fail(h->error, 0, 0,
                          "the NPY header is damaged: its key '%s' is unknown or there twice",
                          rxn__data_shown(shown, key, length));
}

static bool
read_dictionary(Header *h)
{
    if (!take(h, '{'))
        return fail_expected(h, "'{'");
    while (!take(h, '}')) {
        if (!read_entry(h))
            return false;
        if (!take(h, ',')) {
            if (take(h, '}'))
                break;
            return fail_expected(h, "a comma or '}'");
        }
    }
    skip_blanks(h);
    if (h->cursor < h->end)
        return fail_expected(h, "its end");
    if (!h->has_type || !h->has_order || !h->has_shape)
        return rxn__data_fail(h->error, 0, 0, "the NPY header is damaged: it has no '%s'",
                              !h->has_type    ? "descr"
                              : !h->has_order ? "fortran_order"
                                              : "shape");
    return true;
}

/* ---- what stands before it */

bool
rxn__data_npy(const DataBytes *bytes, DataLayout *ret_layout, const DataError *error)
{
    const unsigned char *data = bytes->data;
    *ret_layout = (DataLayout){0};
    if (bytes->size > MAGIC && (data[MAGIC] < 1 || data[MAGIC] > 3))
        return rxn__data_fail(
            error, 0, 0, "is an NPY file of version %d; versions 1 to 3 can be read", data[MAGIC]);
    const bool is_short = bytes->size > MAGIC && data[MAGIC] == 1;
    const size_t length_bytes = is_short ? 2 : 4, begin = MAGIC + VERSION + length_bytes;
    uint64_t length = 0;
    if (bytes->size >= begin)
        for (size_t k = length_bytes; k > 0; k--)
            length = length << 8 | data[MAGIC + VERSION + k - 1];
    if (bytes->size < begin || bytes->size - begin < length)
        return rxn__data_fail(error, 0, 0,
                              "the NPY file is cut short in its header: get or make it again");
    Header header = {.cursor = (const char *)data + begin,
                     .end = (const char *)data + begin + length,
                     .error = error,
                     .layout = ret_layout};
    ret_layout->offset = begin + (size_t)length;
    return read_dictionary(&header);
}
