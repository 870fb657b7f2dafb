/* fuzz_dataset.c: any bytes as a data file, read as a table and as an array.
 *
 * Whatever the bytes, the answer is data or an error of one line, in bounded memory; what is read has its rows,
 * its columns with different names, its elements; and each number of a text is the one that the C library reads
 * there. What is wrong ends in abort(), which libFuzzer reports with the input.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/dataset_private.h"

enum { MESSAGE = 400 };

static void
expect(bool holds, const char *what, const char *why)
{
    if (holds)
        return;
    fprintf(stderr, "%s: %s\n", what, why ? why : "");
    abort();
}

static void
expect_message(const char *error)
{
    expect(strncmp(error, "file:", 5) == 0, "an error without its place", error);
    for (const char *c = error; *c; c++)
        expect((unsigned char)*c >= 0x20 && *c != 0x7F, "a control byte in an error", error);
}

static void
try_table(const uint8_t *data, size_t size)
{
    char error[MESSAGE] = "";
    RxnTable table;
    if (!rxn__table_parse("file", data, size, &table, error, sizeof error)) {
        expect_message(error);
        expect(!table.path && !table.names && table.columns == 0, "not empty after", error);
        return;
    }
    expect(error[0] == '\0', "a table and an error", error);
    expect(table.rows > 0 && table.columns > 0, "an empty table", NULL);
    double sum = 0;
    for (uint32_t c = 0; c < table.columns; c++) {
        const uint32_t found = rxn__table_column(&table, table.names[c]);
        expect(found == c, "a column is not found by its name", table.names[c]);
        for (uint64_t r = 0; r < table.rows; r++)
            sum += table.values[c][r];
        rxn__table_check(&table, c, RXN_DATA_COUNTS | RXN_DATA_RISING, error, sizeof error);
    }
    volatile double seen = sum; /* every value is there to be read */
    (void)seen;
    for (uint64_t r = 1; r < table.rows; r++)
        expect(table.lines[r] > table.lines[r - 1], "lines out of order", NULL);
    uint32_t column;
    if (!rxn__table_find(&table, "time", &column, error, sizeof error))
        expect_message(error);
    rxn__table_release(&table);
}

static void
try_array(const uint8_t *data, size_t size)
{
    char error[MESSAGE] = "";
    RxnArray array;
    if (!rxn__array_parse("file", data, size, &array, error, sizeof error)) {
        expect_message(error);
        expect(!array.path && !array.data && array.rank == 0, "not empty after", error);
        return;
    }
    expect(array.rank >= 1 && array.rank <= RXN_ARRAY_MAX_RANK, "a wrong rank", NULL);
    double *row = malloc(array.row_elements * sizeof *row);
    for (uint64_t r = 0; r < array.extent[0]; r++)
        rxn__array_row(&array, r, row);
    free(row);
    if (!rxn__array_check(&array, RXN_DATA_COUNTS, error, sizeof error))
        expect_message(error);
    rxn__array_release(&array);
}

/* At every byte of a text where a number may begin. */
static void
try_numbers(const uint8_t *data, size_t size)
{
    enum { MOST_BYTES = 1000 };
    if (size > MOST_BYTES)
        return;
    char text[MOST_BYTES + 1];
    memcpy(text, data, size);
    text[size] = '\0';
    locale_t c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    for (size_t k = 0; k < size; k++) {
        double value;
        const char *end;
        const DataNumber kind = rxn__data_number(text + k, c_locale, &value, &end);
        if (kind == DATA_NO_NUMBER)
            continue;
        expect(end > text + k && end <= text + size, "a number ends outside", text + k);
        char *number = strndup(text + k, (size_t)(end - text) - k), *behind;
        const double expected = strtod(number, &behind);
        expect(*behind == '\0', "no number for the C library", number);
        expect(memcmp(&value, &expected, sizeof value) == 0 || (isnan(value) && isnan(expected)),
               "another number", number);
        expect(kind == DATA_NUMBER || isinf(expected), "not too large", number);
        free(number);
    }
    freelocale(c_locale);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_table(data, size);
    try_array(data, size);
    try_numbers(data, size);
    return 0;
}
