/* dataset_table.c: a text as a table of named columns; finding columns, and what may be asked of them. */
#include "runtime/dataset_private.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- reading */

/* Rows of cells to columns, in tiles that stay in the cache. */
static void
transpose(const double *cells, uint64_t rows, uint32_t columns, double *const *ret_columns)
{
    enum { TILE = 32 };
    for (uint64_t row = 0; row < rows; row += TILE) {
        const uint64_t row_end = row + TILE < rows ? row + TILE : rows;
        for (uint32_t column = 0; column < columns; column++)
            for (uint64_t r = row; r < row_end; r++)
                ret_columns[column][r] = cells[r * columns + column];
    }
}

static bool
fill_table(const char *path, DataCells *cells, RxnTable *ret_table, const DataError *error)
{
    const size_t count = (size_t)cells->rows * cells->columns;
    double *storage = malloc(count * sizeof *storage);
    double **values = malloc(cells->columns * sizeof *values);
    char *path_copy = strdup(path);
    if (!storage || !values || !path_copy) {
        free(storage);
        free(values);
        free(path_copy);
        return rxn__data_out_of_memory(error);
    }
    for (uint32_t k = 0; k < cells->columns; k++)
        values[k] = storage + k * cells->rows;
    transpose(cells->cells, cells->rows, cells->columns, values);
    *ret_table = (RxnTable){.path = path_copy,
                            .columns = cells->columns,
                            .rows = cells->rows,
                            .names = cells->names,
                            .has_header = cells->has_header,
                            .values = values,
                            .lines = cells->lines,
                            .storage = storage};
    free(cells->cells);
    *cells = (DataCells){0};
    return true;
}

static bool
table_of_bytes(const char *path, DataBytes *bytes, RxnTable *ret_table, const DataError *error)
{
    DataFormat format;
    DataCells cells = {0};
    bool done = rxn__data_format(bytes, &format, error);
    if (done && format != DATA_TEXT)
        done = rxn__data_fail(error, 0, 0,
                              "is an %s array; here a table with named columns is needed (CSV)",
                              format == DATA_NPY ? "NPY" : "IDX");
    done = done && rxn__data_csv(bytes, true, &cells, error);
    free(bytes->data);
    done = done && fill_table(path, &cells, ret_table, error);
    rxn__data_cells_release(&cells);
    return done;
}

bool
rxn__table_read(const char *path, RxnTable *ret_table, char *error, size_t error_size)
{
    const DataError where = {.path = path, .text = error, .size = error_size};
    DataBytes bytes;
    *ret_table = (RxnTable){0};
    return rxn__data_read(path, &rxn__data_table_limits, &bytes, &where) &&
           table_of_bytes(path, &bytes, ret_table, &where);
}

bool
rxn__table_parse(const char *path, const void *bytes, size_t size, RxnTable *ret_table, char *error,
                 size_t error_size)
{
    const DataError where = {.path = path, .text = error, .size = error_size};
    DataBytes copy;
    *ret_table = (RxnTable){0};
    return rxn__data_take(bytes, size, &rxn__data_table_limits, &copy, &where) &&
           table_of_bytes(path, &copy, ret_table, &where);
}

void
rxn__table_release(RxnTable *table)
{
    for (uint32_t k = 0; k < table->columns; k++)
        free(table->names[k]);
    free(table->names);
    free(table->path);
    free(table->values);
    free(table->lines);
    free(table->storage);
    *table = (RxnTable){0};
}

/* ---- names */

uint32_t
rxn__table_column(const RxnTable *table, const char *name)
{
    for (uint32_t k = 0; k < table->columns; k++)
        if (strcmp(table->names[k], name) == 0)
            return k;
    return UINT32_MAX;
}

/* Longer names are not compared, nor more columns: a suggestion is worth no more time. */
enum { LONGEST_COMPARED = 64, MOST_COMPARED = 4096 };

static char
folded(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* How many letters are to be inserted, left out, replaced or exchanged with their neighbour to make one name of
 * the other (optimal string alignment); upper and lower case do not differ. */
static size_t
distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][LONGEST_COMPARED + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b_length; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            const char x = folded(a[i - 1]), y = folded(b[j - 1]);
            size_t best = last[j - 1] + (x != y);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && x == folded(b[j - 2]) && y == folded(a[i - 2]) &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b_length];
}

const char *
rxn__table_nearest(const RxnTable *table, const char *name)
{
    const size_t length = strlen(name);
    const char *nearest = NULL;
    /* Of a name of up to 3 letters one may be wrong, else a third of them. */
    size_t least = (length < 3 ? 1 : length / 3) + 1;
    if (length > LONGEST_COMPARED)
        return NULL;
    for (uint32_t k = 0; k < table->columns && k < MOST_COMPARED; k++) {
        const char *other = table->names[k];
        const size_t other_length = strnlen(other, LONGEST_COMPARED + 1);
        if (other_length > LONGEST_COMPARED)
            continue;
        const size_t d = distance(name, length, other, other_length);
        /* of "A", "B" is not a misspelling but another name */
        if (d < least && (d < length || d == 0)) {
            least = d;
            nearest = other;
        }
    }
    return nearest;
}

/* "time, A, B, …" */
static void
list_names(const RxnTable *table, char *ret_text, size_t size)
{
    char shown[DATA_SHOWN_ROOM];
    size_t used = 0;
    for (uint32_t k = 0; k < table->columns; k++) {
        rxn__data_shown(shown, table->names[k], strlen(table->names[k]));
        if (used + strlen(shown) + sizeof ", …" > size) {
            snprintf(ret_text + used, size - used, "…");
            return;
        }
        used += (size_t)snprintf(ret_text + used, size - used, "%s%s", shown,
                                 k + 1 < table->columns ? ", " : "");
    }
}

bool
rxn__table_find(const RxnTable *table, const char *name, uint32_t *ret_column, char *error,
                size_t error_size)
{
    const DataError where = {.path = table->path, .text = error, .size = error_size};
    char shown[DATA_SHOWN_ROOM], other[DATA_SHOWN_ROOM], names[200];
    *ret_column = rxn__table_column(table, name);
    if (*ret_column != UINT32_MAX)
        return true;
    rxn__data_shown(shown, name, strlen(name));
    const char *nearest = rxn__table_nearest(table, name);
    if (nearest)
        return rxn__data_fail(&where, 0, 0, "there is no column '%s'; did you mean '%s'?", shown,
                              rxn__data_shown(other, nearest, strlen(nearest)));
    if (!table->has_header)
        return rxn__data_fail(&where, 0, 0,
                              "there is no column '%s': the file has no header, so its columns are "
                              "1 to %" PRIu32 "; name them in a first line",
                              shown, table->columns);
    list_names(table, names, sizeof names);
    return rxn__data_fail(&where, 0, 0, "there is no column '%s'; the columns are %s", shown,
                          names);
}

/* ---- what may be asked of numbers */

bool
rxn__table_check(const RxnTable *table, uint32_t column, unsigned what, char *error,
                 size_t error_size)
{
    const DataError where = {.path = table->path, .text = error, .size = error_size};
    const double *values = table->values[column];
    char name[DATA_SHOWN_ROOM];
    rxn__data_shown(name, table->names[column], strlen(table->names[column]));
    for (uint64_t row = 0; row < table->rows; row++) {
        const double value = values[row];
        const uint64_t line = table->lines[row];
        if (isnan(value) && what)
            return rxn__data_fail(&where, line, 0, "there is no number in column '%s'", name);
        if (isinf(value) && what)
            return rxn__data_fail(&where, line, 0, "column '%s' is infinite", name);
        if ((what & RXN_DATA_COUNTS) && !(value >= 0 && value <= 0x1p53 && value == floor(value)))
            return rxn__data_fail(&where, line, 0,
                                  "column '%s' is %.17g; counts are whole numbers from 0 to 2^53",
                                  name, value);
        if ((what & RXN_DATA_RISING) && row > 0 && !(value > values[row - 1]))
            return rxn__data_fail(&where, line, 0,
                                  "column '%s' is %.17g, after %.17g on line %" PRIu64
                                  "; it must rise from row to row",
                                  name, value, values[row - 1], table->lines[row - 1]);
    }
    return true;
}
