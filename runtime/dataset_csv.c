/* dataset_csv.c: text to rows of numbers.
 *
 * A row is read field by field. Nearly every field is a number with a separator behind it, which is one look at
 * each of its bytes; only where that fails is the field looked at as text, with its quotation marks, to say what
 * is wrong. The first line is read twice: as text, to see whether it is a header, and as numbers if it is not.
 *
 * A first line with both numbers and words ("0,-0.8x9") is neither header nor data: taking it for names would
 * lose a row without a word.
 */
#include "runtime/dataset_private.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Blanks as separators: any run of them is one, at the ends of a line they are none. */
enum { BLANKS = ' ' };

enum { MOST_COLUMNS = 1 << 20 };

typedef struct Csv {
    const DataError *error;
    const char *cursor, *end; /* *end is 0 */
    const char *line_start;
    uint64_t line; /* of the cursor, from 1 */
    char separator;
    bool allow_empty;
    uint64_t first_line; /* where the first row stands, and the header */
    locale_t c_locale;
    char *unquoted; /* room for a field without its quotation marks */
    size_t unquoted_capacity;
    uint64_t cell_count, cell_capacity, line_capacity;
    DataCells result;
} Csv;

typedef struct Field {
    const char *text; /* what follows text[length] is part of no number */
    size_t length;
    bool quoted;
    const char *start; /* in the file */
    const char *start_of_line;
    uint64_t line;
} Field;

/* ---- places */

/* Characters, not bytes, from 1; a byte that is no UTF-8 counts as one. */
static uint64_t
column_of(const char *line_start, const char *place)
{
    uint64_t column = 1;
    for (const char *c = line_start; c < place; column++) {
        const size_t length = rxn__data_utf8_length(c, (size_t)(place - c));
        c += length ? length : 1;
    }
    return column;
}

/* "column 2", or "column 'A'" where there are names. */
static const char *
column_name(const Csv *csv, uint64_t column, char ret_text[DATA_SHOWN_ROOM + 16])
{
    char shown[DATA_SHOWN_ROOM];
    if (csv->result.has_header && column < csv->result.columns)
        snprintf(
            ret_text, DATA_SHOWN_ROOM + 16, "column '%s'",
            rxn__data_shown(shown, csv->result.names[column], strlen(csv->result.names[column])));
    else
        snprintf(ret_text, DATA_SHOWN_ROOM + 16, "column %" PRIu64, column + 1);
    return ret_text;
}

/* What to write where there is no value. */
static const char *
missing_hint(const Csv *csv)
{
    if (!csv->allow_empty)
        return "a matrix has a number in every place";
    return csv->separator == BLANKS ? "where there is no value, write nan"
                                    : "where there is no value, leave the field empty";
}

/* ---- bytes of a line */

static bool
at_line_end(const Csv *csv, const char *c)
{
    return *c == '\n' || *c == '\r' || (*c == 0 && c == csv->end);
}

static bool
is_blank(const Csv *csv, char c)
{
    return c == ' ' || (c == '\t' && csv->separator != '\t');
}

static const char *
skip_blanks(const Csv *csv, const char *c)
{
    while (is_blank(csv, *c))
        c++;
    return c;
}

static bool
at_field_end(const Csv *csv, const char *c)
{
    return *c == csv->separator || at_line_end(csv, c) ||
           (csv->separator == BLANKS && is_blank(csv, *c));
}

/* "\n", "\r\n" or "\r"; at the end of the file nothing. */
static const char *
skip_line_end(const char *c)
{
    if (*c == '\r')
        return c + (c[1] == '\n' ? 2 : 1);
    return c + (*c == '\n');
}

static void
begin_line(Csv *csv, const char *start)
{
    csv->cursor = csv->line_start = start;
    csv->line++;
}

/* To the next line that holds a row. False: there is none. */
static bool
find_row(Csv *csv)
{
    while (csv->cursor < csv->end) {
        const char *c = skip_blanks(csv, csv->cursor);
        if (!at_line_end(csv, c) && *c != '#') {
            csv->cursor = c;
            return true;
        }
        while (!at_line_end(csv, c))
            c++;
        if (c == csv->end)
            return false;
        begin_line(csv, skip_line_end(c));
    }
    return false;
}

/* Behind a field: to the next one, or over the end of the line. */
static bool
next_field(Csv *csv)
{
    if (csv->separator == BLANKS)
        csv->cursor = skip_blanks(csv, csv->cursor);
    if (at_line_end(csv, csv->cursor)) {
        if (csv->cursor < csv->end)
            begin_line(csv, skip_line_end(csv->cursor));
        return false;
    }
    csv->cursor += csv->separator != BLANKS;
    return true;
}

/* ---- fields as text */

static bool
put_unquoted(Csv *csv, size_t at, char c)
{
    if (at >= csv->unquoted_capacity) {
        const size_t capacity = csv->unquoted_capacity ? 2 * csv->unquoted_capacity : 256;
        char *larger = realloc(csv->unquoted, capacity);
        if (!larger)
            return rxn__data_out_of_memory(csv->error);
        csv->unquoted = larger;
        csv->unquoted_capacity = capacity;
    }
    csv->unquoted[at] = c;
    return true;
}

static bool
read_quoted(Csv *csv, Field *field)
{
    const char *c = csv->cursor + 1;
    size_t length = 0;
    for (;; c++) {
        if (c == csv->end)
            return rxn__data_fail(csv->error, field->line,
                                  column_of(field->start_of_line, field->start),
                                  "this quotation mark is never closed");
        if (*c == '"' && *++c != '"')
            break;
        if (!put_unquoted(csv, length++, *c))
            return false;
        if (*c == '\n' || (*c == '\r' && c[1] != '\n')) {
            csv->line++;
            csv->line_start = c + 1;
        }
    }
    if (!put_unquoted(csv, length, '\0'))
        return false;
    if (csv->separator != BLANKS)
        c = skip_blanks(csv, c);
    if (!at_field_end(csv, c)) {
        char shown[DATA_SHOWN_ROOM];
        const size_t bytes = rxn__data_utf8_length(c, (size_t)(csv->end - c));
        return rxn__data_fail(csv->error, csv->line, column_of(csv->line_start, c),
                              "'%s' behind a closing quotation mark; inside quotation marks write "
                              "one as two",
                              rxn__data_shown(shown, c, bytes ? bytes : 1));
    }
    csv->cursor = c;
    field->text = csv->unquoted;
    field->length = length;
    field->quoted = true;
    return true;
}

/* The field at the cursor, which is then at its end; without blanks at its ends. */
static bool
read_field(Csv *csv, Field *ret_field)
{
    csv->cursor = skip_blanks(csv, csv->cursor);
    *ret_field = (Field){.start = csv->cursor, .start_of_line = csv->line_start, .line = csv->line};
    if (*csv->cursor == '"')
        return read_quoted(csv, ret_field);
    const char *c = csv->cursor;
    while (!at_field_end(csv, c))
        c++;
    csv->cursor = c;
    while (c > ret_field->start && is_blank(csv, c[-1]))
        c--;
    ret_field->text = ret_field->start;
    ret_field->length = (size_t)(c - ret_field->start);
    return true;
}

static DataNumber
field_number(const Csv *csv, const Field *field, double *ret_value)
{
    const char *end;
    const DataNumber kind = rxn__data_number(field->text, csv->c_locale, ret_value, &end);
    if (kind != DATA_NO_NUMBER && end != field->text + field->length)
        return DATA_NO_NUMBER;
    return kind;
}

/* ---- fields as numbers */

static bool
is_decimal_comma(const Field *field)
{
    const char *comma = memchr(field->text, ',', field->length);
    if (!comma || strspn(field->text, "0123456789,eE+-") < field->length)
        return false;
    return memchr(comma + 1, ',', field->length - (size_t)(comma + 1 - field->text)) == NULL;
}

static bool
fail_number(const Csv *csv, const Field *field, uint64_t column, DataNumber kind)
{
    char shown[DATA_SHOWN_ROOM], name[DATA_SHOWN_ROOM + 16];
    const uint64_t place = column_of(field->start_of_line, field->start);
    rxn__data_shown(shown, field->text, field->length);
    column_name(csv, column, name);
    if (field->length == 0)
        return rxn__data_fail(csv->error, field->line, place, "a number is missing (%s); %s", name,
                              missing_hint(csv));
    if (kind == DATA_NUMBER_TOO_LARGE)
        return rxn__data_fail(csv->error, field->line, place,
                              "'%s' is too large for a 64-bit number (%s); write inf if it is "
                              "meant",
                              shown, name);
    return rxn__data_fail(csv->error, field->line, place, "'%s' is no number (%s); %s", shown, name,
                          is_decimal_comma(field) ? "write decimals with a point"
                                                  : missing_hint(csv));
}

/* The long way: quotation marks, empty fields, mistakes. */
static bool
read_odd_number(Csv *csv, uint64_t column, double *ret_value)
{
    Field field;
    if (!read_field(csv, &field))
        return false;
    if (field.length == 0 && csv->allow_empty) {
        *ret_value = NAN;
        return true;
    }
    const DataNumber kind =
        field.length == 0 ? DATA_NO_NUMBER : field_number(csv, &field, ret_value);
    return kind == DATA_NUMBER || fail_number(csv, &field, column, kind);
}

static bool
read_number(Csv *csv, uint64_t column, double *ret_value)
{
    const char *behind;
    const char *c = skip_blanks(csv, csv->cursor);
    if (rxn__data_number(c, csv->c_locale, ret_value, &behind) == DATA_NUMBER) {
        if (csv->separator != BLANKS)
            behind = skip_blanks(csv, behind);
        if (at_field_end(csv, behind)) {
            csv->cursor = behind;
            return true;
        }
    }
    return read_odd_number(csv, column, ret_value);
}

/* ---- rows */

/* How many fields the row at the cursor has, and which line it begins in, for a message. */
static bool
fail_field_count(Csv *csv, const char *row_start, uint64_t row_line)
{
    Field field;
    uint64_t count = 0;
    csv->cursor = csv->line_start = row_start;
    csv->line = row_line;
    do {
        if (!read_field(csv, &field))
            return false;
        count++;
    } while (next_field(csv));
    const uint32_t columns = csv->result.columns;
    return rxn__data_fail(csv->error, row_line, 0,
                          "%" PRIu64 " field%s, but line %" PRIu64 " has %" PRIu32 "; %s", count,
                          count == 1 ? "" : "s", csv->first_line, columns,
                          count < columns ? missing_hint(csv)
                                          : "quote a name that holds a separator, and write "
                                            "decimals with a point");
}

/* The items with room for one more; NULL: out of memory, and they stay where they are. */
static void *
with_room(const Csv *csv, void *items, uint64_t count, uint64_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return items;
    const uint64_t larger = count + count / 2 + 64;
    void *moved = larger < SIZE_MAX / item_size ? realloc(items, (size_t)larger * item_size) : NULL;
    if (moved)
        *capacity = larger;
    else
        rxn__data_out_of_memory(csv->error);
    return moved;
}

static bool
add_cell(Csv *csv, double value)
{
    double *cells =
        with_room(csv, csv->result.cells, csv->cell_count, &csv->cell_capacity, sizeof *cells);
    if (!cells)
        return false;
    cells[csv->cell_count++] = value;
    csv->result.cells = cells;
    return true;
}

static bool
end_row(Csv *csv, uint64_t line)
{
    uint64_t *lines =
        with_room(csv, csv->result.lines, csv->result.rows, &csv->line_capacity, sizeof *lines);
    if (!lines)
        return false;
    lines[csv->result.rows++] = line;
    csv->result.lines = lines;
    return true;
}

/* Room is made cell by cell: a first line of a million fields promises nothing of the second. */
static bool
read_row(Csv *csv)
{
    const char *start = csv->line_start;
    const uint64_t line = csv->line;
    uint32_t column = 0;
    do {
        double value;
        if (column == csv->result.columns)
            return fail_field_count(csv, start, line);
        if (!read_number(csv, column, &value) || !add_cell(csv, value))
            return false;
        column++;
    } while (next_field(csv));
    if (column < csv->result.columns)
        return fail_field_count(csv, start, line);
    return end_row(csv, line);
}

/* ---- the first line */

/* A semicolon before a comma, which may be a decimal one; a comma before a tab, which may be a blank. */
static char
find_separator(const Csv *csv)
{
    bool quoted = false, semicolon = false, comma = false, tab = false, blank = false;
    for (const char *c = csv->cursor; c < csv->end && (quoted || !at_line_end(csv, c)); c++) {
        quoted ^= *c == '"';
        if (quoted)
            continue;
        semicolon |= *c == ';';
        comma |= *c == ',';
        tab |= *c == '\t';
        blank |= *c == ' ' && c[1] != ' ' && !at_line_end(csv, c + 1);
    }
    if (semicolon)
        return ';';
    if (comma)
        return ',';
    if (tab)
        return '\t';
    return (char)(blank ? BLANKS : ',');
}

static bool
begins_as_number(const Field *field)
{
    return strchr("0123456789.+-", field->text[0]) != NULL;
}

/* An empty name is the number of its column. */
static char *
copy_name(const char *text, size_t length, uint32_t column)
{
    char number[16];
    if (length)
        return strndup(text, length);
    snprintf(number, sizeof number, "%" PRIu32, column + 1);
    return strdup(number);
}

static bool
add_name(Csv *csv, const Field *field, uint64_t *capacity)
{
    DataCells *result = &csv->result;
    if (result->columns == MOST_COLUMNS)
        return rxn__data_fail(csv->error, csv->line, 0,
                              "more than %d fields; store a matrix as .npy", MOST_COLUMNS);
    char **names = with_room(csv, result->names, result->columns, capacity, sizeof *names);
    if (!names)
        return false;
    result->names = names;
    names[result->columns] = copy_name(field->text, field->length, result->columns);
    if (!names[result->columns])
        return rxn__data_out_of_memory(csv->error);
    result->columns++;
    return true;
}

/* What there is on the first line: a column of each kind, UINT32_MAX for none. */
typedef struct FirstLine {
    uint32_t word;   /* no number; if possible one that begins as a number does */
    uint32_t number; /* without quotation marks */
    uint64_t word_place;
    bool damaged; /* the word begins as a number does */
} FirstLine;

static void
look_at(const Csv *csv, const Field *field, uint32_t column, FirstLine *line)
{
    double value;
    if (field->length == 0)
        return;
    if (field_number(csv, field, &value) != DATA_NO_NUMBER) {
        if (line->number == UINT32_MAX && !field->quoted)
            line->number = column;
        return;
    }
    const bool damaged = !field->quoted && begins_as_number(field);
    if (line->word == UINT32_MAX || (damaged && !line->damaged)) {
        line->word = column;
        line->word_place = column_of(field->start_of_line, field->start);
        line->damaged = damaged;
    }
}

static bool
fail_header_or_data(const Csv *csv, const FirstLine *line)
{
    char word[DATA_SHOWN_ROOM], number[DATA_SHOWN_ROOM];
    const char *word_name = csv->result.names[line->word];
    const char *number_name = csv->result.names[line->number];
    return rxn__data_fail(csv->error, csv->first_line, line->word_place,
                          "'%s' is no number (column %" PRIu32 "), but '%s' is (column %" PRIu32
                          "), so this is neither data nor a header; in a header, put names that "
                          "are numbers in quotation marks",
                          rxn__data_shown(word, word_name, strlen(word_name)), line->word + 1,
                          rxn__data_shown(number, number_name, strlen(number_name)),
                          line->number + 1);
}

/* Reads the first line as text: how many fields there are and, if it is a header, their names. The cursor is
 * then at the first row that may be data. */
static bool
read_first_line(Csv *csv)
{
    const char *start = csv->cursor;
    uint64_t capacity = 0;
    FirstLine line = {.word = UINT32_MAX, .number = UINT32_MAX};
    Field field;
    csv->first_line = csv->line;
    do {
        if (!read_field(csv, &field))
            return false;
        look_at(csv, &field, csv->result.columns, &line);
        if (!add_name(csv, &field, &capacity))
            return false;
    } while (next_field(csv));
    if (line.word != UINT32_MAX && line.number != UINT32_MAX)
        return fail_header_or_data(csv, &line);
    csv->result.has_header = line.word != UINT32_MAX;
    if (!csv->result.has_header) {
        csv->cursor = csv->line_start = start;
        csv->line = csv->first_line;
    }
    return true;
}

/* Where there is no header the fields of the first line were kept as names. */
static bool
number_names(Csv *csv)
{
    for (uint32_t k = 0; k < csv->result.columns; k++) {
        free(csv->result.names[k]);
        csv->result.names[k] = copy_name("", 0, k);
        if (!csv->result.names[k])
            return rxn__data_out_of_memory(csv->error);
    }
    return true;
}

static int
compare_names(const void *a, const void *b)
{
    const char *const *x = *(const char *const *const *)a, *const *y =
                                                               *(const char *const *const *)b;
    const int order = strcmp(*x, *y);
    return order ? order : (x > y) - (x < y);
}

static bool
check_names(const Csv *csv)
{
    const DataCells *result = &csv->result;
    char ***sorted = malloc(result->columns * sizeof *sorted);
    if (!sorted)
        return rxn__data_out_of_memory(csv->error);
    for (uint32_t k = 0; k < result->columns; k++)
        sorted[k] = &result->names[k];
    qsort(sorted, result->columns, sizeof *sorted, compare_names);
    uint32_t k = 1;
    while (k < result->columns && strcmp(*sorted[k - 1], *sorted[k]) != 0)
        k++;
    bool done = k >= result->columns;
    if (!done) {
        char shown[DATA_SHOWN_ROOM];
        const char *name = *sorted[k];
        rxn__data_fail(csv->error, csv->first_line, 0,
                       "the columns %td and %td are both named '%s'; give each a name of its own",
                       sorted[k - 1] - result->names + 1, sorted[k] - result->names + 1,
                       rxn__data_shown(shown, name, strlen(name)));
    }
    free(sorted);
    return done;
}

/* ---- the whole text */

static bool
read_text(Csv *csv)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    if (strncmp(csv->cursor, byte_order_mark, sizeof byte_order_mark - 1) == 0)
        csv->cursor = csv->line_start = csv->cursor + sizeof byte_order_mark - 1;
    if (!find_row(csv))
        return rxn__data_fail(csv->error, 0, 0,
                              "the file has no row, only blank lines and comments");
    csv->separator = find_separator(csv);
    csv->cursor = csv->line_start; /* a line may begin with a tab that separates */
    if (!read_first_line(csv) || (csv->result.has_header ? !check_names(csv) : !number_names(csv)))
        return false;
    while (find_row(csv))
        if (!read_row(csv))
            return false;
    if (csv->result.rows == 0)
        return rxn__data_fail(csv->error, 0, 0, "the file has a header and no row");
    return true;
}

bool
rxn__data_csv(const DataBytes *bytes, bool allow_empty, DataCells *ret_cells,
              const DataError *error)
{
    Csv csv = {.error = error, .allow_empty = allow_empty, .line = 1};
    csv.cursor = csv.line_start = (const char *)bytes->data;
    csv.end = csv.cursor + bytes->size;
    csv.c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    const bool done =
        csv.c_locale == (locale_t)0 ? rxn__data_out_of_memory(error) : read_text(&csv);
    if (csv.c_locale != (locale_t)0)
        freelocale(csv.c_locale);
    free(csv.unquoted);
    if (!done)
        rxn__data_cells_release(&csv.result);
    *ret_cells = csv.result;
    return done;
}

void
rxn__data_cells_release(DataCells *cells)
{
    for (uint32_t k = 0; k < cells->columns; k++)
        free(cells->names[k]);
    free(cells->names);
    free(cells->cells);
    free(cells->lines);
    *cells = (DataCells){0};
}
