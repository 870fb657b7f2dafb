/* dataset.h: measured data from files: tables with named columns (CSV) and arrays (NPY, IDX), plain or
 * compressed with gzip, told apart by their content.
 *
 * A table is for time courses: few columns, read whole, numbers as f64. An array is for samples by the ten
 * thousand (images, weights): it stays in the type of its file, and rows are converted as they are asked for.
 *
 * Errors name file, line and column where there are any ("data.csv:3:5: 'abc' is no number"), say what is
 * wrong and what to do about it; nothing is guessed: a number that does not parse, a short row, bytes that
 * are missing or left over are errors. Memory stays in proportion to what a file holds, never to what its
 * header claims. Nothing depends on the locale.
 */
#ifndef RXN_RUNTIME_DATASET_H
#define RXN_RUNTIME_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- limits -------------------------------------------------------------------------------------- */

/* Bytes of a file, or of what it unpacks to: of an array, and of a table's text, whose numbers take several
 * times that much memory. */
#define RXN_ARRAY_MOST_BYTES (UINT64_C(4) << 30)
#define RXN_TABLE_MOST_BYTES (UINT64_C(1) << 30)

/* A gzip file of a few megabytes can unpack to gigabytes of zeros. Past the first number of bytes, what
 * unpacks to more than the second number of times its size is refused: one may unpack it by hand. */
#define RXN_GZIP_FREE_BYTES (UINT64_C(256) << 20)
#define RXN_GZIP_MOST_RATIO 200

/* ---- tables -------------------------------------------------------------------------------------- */

typedef struct RxnTable {
    char *path;
    uint32_t columns;
    uint64_t rows; /* at least 1 */
    char **names;  /* [columns]; "1", "2", … where the file has no header or its field is empty */
    bool has_header;
    double **values; /* [columns][rows]; an empty field is NaN */
    uint64_t *lines; /* [rows]: where each row stands in the file, for messages */
    void *storage;   /* the reader's own */
} RxnTable;

/* Comma, semicolon, tab or blanks between fields (by the first line); quotes as in RFC 4180; '#' lines are
 * comments; decimal points, exponents, "nan", "inf". A first line in which a field is no number is the header;
 * names of columns differ from each other.
 * False: error[0 … size-1] says why; the table is then empty. */
bool rxn__table_read(const char *path, RxnTable *ret_table, char *error, size_t error_size);

/* The same of bytes in memory, which are copied; the path is for messages. */
bool rxn__table_parse(const char *path, const void *bytes, size_t size, RxnTable *ret_table,
                      char *error, size_t error_size);

void rxn__table_release(RxnTable *table);

/* The column of a name; UINT32_MAX: there is none. The nearest name for "did you mean", or NULL. */
uint32_t rxn__table_column(const RxnTable *table, const char *name);
const char *rxn__table_nearest(const RxnTable *table, const char *name);

/* As rxn__table_column; if there is none, the error says so, with the nearest name or all of them. */
bool rxn__table_find(const RxnTable *table, const char *name, uint32_t *ret_column, char *error,
                     size_t error_size);

/* What may be asked of numbers. */
enum {
    RXN_DATA_FINITE = 1 << 0, /* neither missing nor infinite */
    RXN_DATA_RISING = 1 << 1, /* each larger than the one before, as times are; implies FINITE */
    RXN_DATA_COUNTS = 1 << 2, /* whole numbers from 0 to 2^53; implies FINITE */
};

/* False: error names the first row that does not comply, by its line and its value. */
bool rxn__table_check(const RxnTable *table, uint32_t column, unsigned what, char *error,
                      size_t error_size);

/* ---- arrays -------------------------------------------------------------------------------------- */

typedef enum RxnArrayType {
    RXN_ARRAY_U8,
    RXN_ARRAY_I8,
    RXN_ARRAY_U16,
    RXN_ARRAY_I16,
    RXN_ARRAY_U32,
    RXN_ARRAY_I32,
    RXN_ARRAY_U64,
    RXN_ARRAY_I64,
    RXN_ARRAY_F32,
    RXN_ARRAY_F64,
} RxnArrayType;

enum { RXN_ARRAY_MAX_RANK = 4 };

typedef struct RxnArray {
    char *path;
    RxnArrayType type;                   /* booleans are U8, 0 or 1 */
    uint32_t rank;                       /* at least 1: a single number has the extent 1 */
    uint64_t extent[RXN_ARRAY_MAX_RANK]; /* in C order, whatever the file's; at least 1 each */
    uint64_t row_elements;               /* of one index of the first extent */
    void *data;                          /* in the machine's byte order; aligned as of malloc */
} RxnArray;

/* NPY versions 1 to 3 (numpy.lib.format), IDX (as MNIST's files), or a CSV of numbers as a matrix, its header
 * left out and none of its fields empty. */
bool rxn__array_read(const char *path, RxnArray *ret_array, char *error, size_t error_size);

/* The same of bytes in memory, which are copied; the path is for messages. */
bool rxn__array_parse(const char *path, const void *bytes, size_t size, RxnArray *ret_array,
                      char *error, size_t error_size);

void rxn__array_release(RxnArray *array);

/* "u8", …, "f64" */
const char *rxn__array_type_name(RxnArrayType type);

/* Row `row` (all elements of one index of the first extent) as f64; 64-bit integers past 2^53 as the nearest. */
void rxn__array_row(const RxnArray *array, uint64_t row, double *ret_values);

/* As rxn__table_check, of all elements in C order: RXN_DATA_FINITE, RXN_DATA_COUNTS. */
bool rxn__array_check(const RxnArray *array, unsigned what, char *error, size_t error_size);

/* Writes an f64 array as NPY 1.0; beside its place, then renamed into it. */
bool rxn__array_write(const char *path, const double *values, uint32_t rank, const uint64_t *extent,
                      char *error, size_t error_size);

#endif
