/* dataset_array.c: arrays from files, in the types of their files; rows as f64; writing NPY.
 *
 * The elements stay in the buffer that the file was read into: they are moved to its front, their bytes are
 * turned round where they are, and only an array in Fortran's order is copied.
 */
#include "runtime/dataset_private.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/whole_file.h"

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [RXN_ARRAY_U8] = {"u8", 1},   [RXN_ARRAY_I8] = {"i8", 1},   [RXN_ARRAY_U16] = {"u16", 2},
    [RXN_ARRAY_I16] = {"i16", 2}, [RXN_ARRAY_U32] = {"u32", 4}, [RXN_ARRAY_I32] = {"i32", 4},
    [RXN_ARRAY_U64] = {"u64", 8}, [RXN_ARRAY_I64] = {"i64", 8}, [RXN_ARRAY_F32] = {"f32", 4},
    [RXN_ARRAY_F64] = {"f64", 8},
};

const char *
rxn__array_type_name(RxnArrayType type)
{
    return types[type].name;
}

/* ---- sizes */

enum { SHAPE_ROOM = 100 };

/* "60000 x 28 x 28 of u8" */
static const char *
shape_text(RxnArrayType type, uint32_t rank, const uint64_t *extent, char ret_text[SHAPE_ROOM])
{
    size_t used = 0;
    for (uint32_t k = 0; k < rank; k++)
        used += (size_t)snprintf(ret_text + used, SHAPE_ROOM - used, "%s%" PRIu64, k ? " x " : "",
                                 extent[k]);
    snprintf(ret_text + used, SHAPE_ROOM - used, " of %s", types[type].name);
    return ret_text;
}

/* The number of elements; false: more than 64 bits can count. */
static bool
multiply(uint32_t rank, const uint64_t *extent, uint64_t *ret_elements)
{
    *ret_elements = 1;
    for (uint32_t k = 0; k < rank; k++)
        if (__builtin_mul_overflow(*ret_elements, extent[k], ret_elements))
            return false;
    return true;
}

/* The elements that the header claims are those that are there, no more and no less. */
static bool
check_size(const DataLayout *layout, size_t available, uint64_t *ret_elements,
           const DataError *error)
{
    char shape[SHAPE_ROOM];
    uint64_t needed;
    shape_text(layout->type, layout->rank, layout->extent, shape);
    for (uint32_t k = 0; k < layout->rank; k++)
        if (layout->extent[k] == 0)
            return rxn__data_fail(error, 0, 0, "the array is empty (%s)", shape);
    if (!multiply(layout->rank, layout->extent, ret_elements) ||
        __builtin_mul_overflow(*ret_elements, types[layout->type].bytes, &needed))
        return rxn__data_fail(error, 0, 0,
                              "the header claims %s, more than there can be; %zu bytes follow it",
                              shape, available);
    if (needed > available)
        return rxn__data_fail(error, 0, 0,
                              "the file is cut short: %s need %" PRIu64
                              " bytes, and %zu are there; get or make it again",
                              shape, needed, available);
    if (needed < available)
        return rxn__data_fail(error, 0, 0,
                              "the file goes on behind the array (%s), by %" PRIu64
                              " byte%s; a file holds one array",
                              shape, available - needed, available - needed == 1 ? "" : "s");
    return true;
}

/* ---- the order of bytes and of elements */

static void
swap_bytes(void *data, uint64_t elements, size_t bytes)
{
    if (bytes == 2) {
        uint16_t *items = data;
        for (uint64_t k = 0; k < elements; k++)
            items[k] = __builtin_bswap16(items[k]);
    } else if (bytes == 4) {
        uint32_t *items = data;
        for (uint64_t k = 0; k < elements; k++)
            items[k] = __builtin_bswap32(items[k]);
    } else if (bytes == 8) {
        uint64_t *items = data;
        for (uint64_t k = 0; k < elements; k++)
            items[k] = __builtin_bswap64(items[k]);
    }
}

/* Copies from Fortran's order, in which the first index runs fastest, to that of C. */
static void
reorder(const DataLayout *layout, uint64_t elements, const unsigned char *from, unsigned char *to)
{
    const size_t bytes = types[layout->type].bytes;
    uint64_t stride[RXN_ARRAY_MAX_RANK], index[RXN_ARRAY_MAX_RANK] = {0};
    uint64_t product = 1, source = 0;
    for (uint32_t k = 0; k < layout->rank; k++) {
        stride[k] = product;
        product *= layout->extent[k];
    }
    for (uint64_t element = 0; element < elements; element++) {
        memcpy(to + element * bytes, from + source * bytes, bytes);
        for (uint32_t k = layout->rank; k-- > 0;) {
            source += stride[k];
            if (++index[k] < layout->extent[k])
                break;
            source -= stride[k] * layout->extent[k];
            index[k] = 0;
        }
    }
}

static bool
put_in_order(const DataLayout *layout, uint64_t elements, DataBytes *bytes, const DataError *error)
{
    const size_t size = (size_t)elements * types[layout->type].bytes;
    if (layout->column_major && layout->rank > 1) {
        unsigned char *ordered = malloc(size);
        if (!ordered)
            return rxn__data_out_of_memory(error);
        reorder(layout, elements, bytes->data + layout->offset, ordered);
        free(bytes->data);
        bytes->data = ordered;
    } else {
        memmove(bytes->data, bytes->data + layout->offset, size);
        unsigned char *smaller = realloc(bytes->data, size);
        bytes->data = smaller ? smaller : bytes->data;
    }
    bytes->size = size;
    if (layout->swapped)
        swap_bytes(bytes->data, elements, types[layout->type].bytes);
    if (layout->is_bool)
        for (size_t k = 0; k < size; k++)
            bytes->data[k] = bytes->data[k] != 0;
    return true;
}

/* ---- reading */

/* Takes data over. */
static bool
fill_array(const char *path, const DataLayout *layout, void *data, RxnArray *ret_array,
           const DataError *error)
{
    RxnArray array = {
        .path = strdup(path), .type = layout->type, .rank = layout->rank, .data = data};
    if (!array.path) {
        free(data);
        return rxn__data_out_of_memory(error);
    }
    memcpy(array.extent, layout->extent, sizeof array.extent);
    multiply(layout->rank - 1, layout->extent + 1, &array.row_elements);
    *ret_array = array;
    return true;
}

static bool
binary_array(const char *path, DataFormat format, DataBytes *bytes, RxnArray *ret_array,
             const DataError *error)
{
    DataLayout layout;
    uint64_t elements = 0;
    const bool header = format == DATA_NPY ? rxn__data_npy(bytes, &layout, error)
                                           : rxn__data_idx(bytes, &layout, error);
    if (!header || !check_size(&layout, bytes->size - layout.offset, &elements, error) ||
        !put_in_order(&layout, elements, bytes, error))
        return false;
    void *data = bytes->data;
    bytes->data = NULL;
    return fill_array(path, &layout, data, ret_array, error);
}

static bool
text_array(const char *path, const DataBytes *bytes, RxnArray *ret_array, const DataError *error)
{
    DataCells cells;
    if (!rxn__data_csv(bytes, false, &cells, error))
        return false;
    const DataLayout layout = {
        .type = RXN_ARRAY_F64, .rank = 2, .extent = {cells.rows, cells.columns}};
    double *data = cells.cells;
    cells.cells = NULL;
    rxn__data_cells_release(&cells);
    return fill_array(path, &layout, data, ret_array, error);
}

static bool
array_of_bytes(const char *path, DataBytes *bytes, RxnArray *ret_array, const DataError *error)
{
    DataFormat format;
    bool done = rxn__data_format(bytes, &format, error);
    if (done)
        done = format == DATA_TEXT ? text_array(path, bytes, ret_array, error)
                                   : binary_array(path, format, bytes, ret_array, error);
    free(bytes->data);
    return done;
}

bool
rxn__array_read(const char *path, RxnArray *ret_array, char *error, size_t error_size)
{
    const DataError where = {.path = path, .text = error, .size = error_size};
    DataBytes bytes;
    *ret_array = (RxnArray){0};
    return rxn__data_read(path, &rxn__data_array_limits, &bytes, &where) &&
           array_of_bytes(path, &bytes, ret_array, &where);
}

bool
rxn__array_parse(const char *path, const void *bytes, size_t size, RxnArray *ret_array, char *error,
                 size_t error_size)
{
    const DataError where = {.path = path, .text = error, .size = error_size};
    DataBytes copy;
    *ret_array = (RxnArray){0};
    return rxn__data_take(bytes, size, &rxn__data_array_limits, &copy, &where) &&
           array_of_bytes(path, &copy, ret_array, &where);
}

void
rxn__array_release(RxnArray *array)
{
    free(array->path);
    free(array->data);
    *array = (RxnArray){0};
}

/* ---- elements */

#define CONVERT(type)                                                                              \
    do {                                                                                           \
        const type *items = (const type *)array->data + first;                                     \
        for (uint64_t k = 0; k < count; k++)                                                       \
            ret_values[k] = (double)items[k];                                                      \
    } while (0)

static void
convert(const RxnArray *array, uint64_t first, uint64_t count, double *ret_values)
{
    switch (array->type) {
    case RXN_ARRAY_U8: CONVERT(uint8_t); break;
    case RXN_ARRAY_I8: CONVERT(int8_t); break;
    case RXN_ARRAY_U16: CONVERT(uint16_t); break;
    case RXN_ARRAY_I16: CONVERT(int16_t); break;
    case RXN_ARRAY_U32: CONVERT(uint32_t); break;
    case RXN_ARRAY_I32: CONVERT(int32_t); break;
    case RXN_ARRAY_U64: CONVERT(uint64_t); break;
    case RXN_ARRAY_I64: CONVERT(int64_t); break;
    case RXN_ARRAY_F32: CONVERT(float); break;
    case RXN_ARRAY_F64: CONVERT(double); break;
    }
}

void
rxn__array_row(const RxnArray *array, uint64_t row, double *ret_values)
{
    convert(array, row * array->row_elements, array->row_elements, ret_values);
}

/* "row 12, element 3", both from 0 as they are indexed. */
static bool
fail_element(const RxnArray *array, uint64_t element, double value, const DataError *error)
{
    const uint64_t row = element / array->row_elements, column = element % array->row_elements;
    char place[80];
    if (array->row_elements == 1)
        snprintf(place, sizeof place, "element %" PRIu64, row);
    else
        snprintf(place, sizeof place, "element %" PRIu64 " of row %" PRIu64, column, row);
    if (!isfinite(value))
        return rxn__data_fail(error, 0, 0, "%s (from 0) is %s", place,
                              isnan(value) ? "no number (NaN)" : "infinite");
    return rxn__data_fail(
        error, 0, 0, "%s (from 0) is %.17g; counts are whole numbers from 0 to 2^53", place, value);
}

bool
rxn__array_check(const RxnArray *array, unsigned what, char *error, size_t error_size)
{
    enum { PIECE = 256 };
    const DataError where = {.path = array->path, .text = error, .size = error_size};
    const uint64_t elements = array->extent[0] * array->row_elements;
    double values[PIECE];
    for (uint64_t first = 0; what && first < elements; first += PIECE) {
        const uint64_t count = elements - first < PIECE ? elements - first : PIECE;
        convert(array, first, count, values);
        for (uint64_t k = 0; k < count; k++) {
            const double value = values[k];
            const bool is_count = value >= 0 && value <= 0x1p53 && value == floor(value);
            if (!isfinite(value) || ((what & RXN_DATA_COUNTS) && !is_count))
                return fail_element(array, first + k, value, &where);
        }
    }
    return true;
}

/* ---- writing */

/* NPY 1.0; the header is filled up so that the elements begin at a multiple of 64. */
static bool
write_npy(FILE *file, const double *values, uint32_t rank, const uint64_t *extent,
          uint64_t elements)
{
    enum { ALIGNMENT = 64, BEFORE = 10, LENGTH_BYTE = 8 };
    char text[4 * ALIGNMENT] = "\x93NUMPY\x01";
    size_t used = BEFORE;
    used += (size_t)snprintf(text + used, sizeof text - used,
                             "{'descr': '%cf8', 'fortran_order': False, 'shape': (",
                             __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>');
    for (uint32_t k = 0; k < rank; k++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRIu64 "%s", k ? " " : "",
                                 extent[k], k + 1 < rank || rank == 1 ? "," : "");
    used += (size_t)snprintf(text + used, sizeof text - used, "), }");
    while ((used + 1) % ALIGNMENT != 0)
        text[used++] = ' ';
    text[used++] = '\n';
    text[LENGTH_BYTE] = (char)((used - BEFORE) & 0xFF);
    text[LENGTH_BYTE + 1] = (char)((used - BEFORE) >> 8);
    return fwrite(text, 1, used, file) == used &&
           fwrite(values, sizeof *values, (size_t)elements, file) == elements;
}

bool
rxn__array_write(const char *path, const double *values, uint32_t rank, const uint64_t *extent,
                 char *error, size_t error_size)
{
    const DataError where = {.path = path, .text = error, .size = error_size};
    uint64_t elements;
    if (rank > RXN_ARRAY_MAX_RANK || !multiply(rank, extent, &elements) ||
        elements > SIZE_MAX / sizeof *values)
        return rxn__data_fail(&where, 0, 0, "cannot be written: the array is too large");
    RxnWholeFile file;
    const char *reason;
    bool good = rxn__whole_file_open(&file, path, &reason);
    if (good && !write_npy(file.file, values, rank, extent, elements)) {
        reason = strerror(errno);
        good = false;
    } else if (good) {
        good = rxn__whole_file_commit(&file, &reason);
    }
    rxn__whole_file_drop(&file);
    return good || rxn__data_fail(&where, 0, 0, "cannot be written: %s", reason);
}
