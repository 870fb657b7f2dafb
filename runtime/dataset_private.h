/* dataset_private.h: what the readers of measured data share: the bytes of a file, unpacked; what they look
 * like; numbers from text; messages.
 */
#ifndef RXN_RUNTIME_DATASET_PRIVATE_H
#define RXN_RUNTIME_DATASET_PRIVATE_H

#include <locale.h>
#include <stdlib.h>

#include "runtime/dataset.h"

/* Where a text is to go that says what is wrong with a file. */
typedef struct DataError {
    const char *path;
    char *text; /* [size] */
    size_t size;
} DataError;

/* "path: message", "path:line: message", "path:line:column: message" (a line or column of 0 is left out).
 * Always false. */
bool rxn__data_fail(const DataError *error, uint64_t line, uint64_t column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

bool rxn__data_out_of_memory(const DataError *error);

enum { DATA_SHOWN_ROOM = 60 };

/* Text fit for a message: control bytes and what is no UTF-8 as \xNN, cut with "..." where it is long. */
const char *rxn__data_shown(char ret_text[DATA_SHOWN_ROOM], const char *text, size_t length);

/* Bytes of the UTF-8 character that the text begins with; 0 if there is none. */
size_t rxn__data_utf8_length(const char *text, size_t available);

/* ---- bytes (dataset_file.c) ----------------------------------------------------------------------- */

typedef struct DataBytes {
    unsigned char *data; /* of malloc; data[size] is 0 */
    size_t size;
} DataBytes;

typedef struct DataLimits {
    uint64_t most_bytes; /* of the file, and of what it unpacks to */
    uint64_t gzip_free_bytes, gzip_most_ratio;
} DataLimits;

extern const DataLimits rxn__data_table_limits, rxn__data_array_limits;

/* The whole file, unpacked if it is gzip. On success the bytes are the caller's. */
bool rxn__data_read(const char *path, const DataLimits *limits, DataBytes *ret_bytes,
                    const DataError *error);

/* The same of a copy of what lies in memory. */
bool rxn__data_take(const void *bytes, size_t size, const DataLimits *limits, DataBytes *ret_bytes,
                    const DataError *error);

typedef enum DataFormat {
    DATA_TEXT,
    DATA_NPY,
    DATA_IDX,
} DataFormat;

/* By the first bytes. False: what they are is none of these, and the error names it where it is known. */
bool rxn__data_format(const DataBytes *bytes, DataFormat *ret_format, const DataError *error);

/* ---- numbers (dataset_number.c) --------------------------------------------------------------------- */

typedef enum DataNumber {
    DATA_NUMBER,
    DATA_NO_NUMBER,
    DATA_NUMBER_TOO_LARGE,
} DataNumber;

/* The decimal number at `text`, correctly rounded; *ret_end: behind it. The text ends in a byte that is part of
 * no number. c_locale: of newlocale, "C". */
DataNumber rxn__data_number(const char *text, locale_t c_locale, double *ret_value,
                            const char **ret_end);

/* ---- texts as tables (dataset_csv.c) ----------------------------------------------------------------- */

typedef struct DataCells {
    uint32_t columns;
    uint64_t rows;
    bool has_header;
    char **names;    /* [columns], each of malloc */
    double *cells;   /* [rows][columns] */
    uint64_t *lines; /* [rows] */
} DataCells;

/* allow_empty: an empty field is NaN, else an error. On failure there is nothing to release. */
bool rxn__data_csv(const DataBytes *bytes, bool allow_empty, DataCells *ret_cells,
                   const DataError *error);

void rxn__data_cells_release(DataCells *cells);

/* ---- arrays (dataset_npy.c, dataset_idx.c) ------------------------------------------------------------ */

/* What a header says of the elements that follow it. */
typedef struct DataLayout {
    RxnArrayType type;
    bool is_bool, swapped, column_major;
    uint32_t rank;
    uint64_t extent[RXN_ARRAY_MAX_RANK];
    size_t offset; /* of the first element */
} DataLayout;

bool rxn__data_npy(const DataBytes *bytes, DataLayout *ret_layout, const DataError *error);
bool rxn__data_idx(const DataBytes *bytes, DataLayout *ret_layout, const DataError *error);

#endif
