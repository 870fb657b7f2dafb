/* test_dataset.c: tables from text: what is read, the whole text of every message, files cut anywhere, gzip that
 * is damaged or unpacks to too much, and numbers against the C library.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/dataset_private.h"
#include "runtime/philox.h"
#include "tests/unit/dataset_fixture.h"

enum { MESSAGE = 400 };

/* ---- numbers ------------------------------------------------------------------------------------ */

static void
assert_same_bits(double a, double b, const char *text)
{
    if (memcmp(&a, &b, sizeof a) != 0)
        fail_msg("'%s' is %a, not %a", text, a, b);
}

static void
assert_number(const char *text, locale_t c_locale)
{
    const char *end;
    double value;
    assert_int_equal(rxn__data_number(text, c_locale, &value, &end), DATA_NUMBER);
    assert_ptr_equal(end, text + strlen(text));
    assert_same_bits(value, strtod(text, NULL), text);
}

/* Bits at random, in several formats; short decimals; ties between two f64. */
static void
test_numbers_round_correctly(void **state)
{
    (void)state;
    locale_t c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    static const char *const formats[] = {"%.17g", "%.15g", "%.6f", "%.3e", "%.25g", "%+.0f"};
    char text[400];
    for (uint64_t k = 0; k < 60000; k++) {
        double value;
        const double exponent = 40 * rxn__random_normal(1, 1, k);
        uint64_t bits = (uint64_t)(rxn__random_uniform(1, 2, k) * 0x1p53) << 11 | k;
        memcpy(&value, &bits, sizeof value);
        snprintf(text, sizeof text, formats[k % 6],
                 k % 2 ? value : rxn__random_normal(1, 3, k) * exp2(exponent));
        if (strpbrk(text, "in"))
            continue;
        assert_number(text, c_locale);
    }
    for (uint64_t k = 0; k < 60000;
         k++) { /* a tie: 53 bits, a half; decimals that end at it, or just beside */
        const uint64_t odd =
            ((uint64_t)(rxn__random_uniform(2, 1, k) * 0x1p53) | UINT64_C(1) << 52) * 2 + 1;
        snprintf(text, sizeof text, "%llu%s", (unsigned long long)odd,
                 (const char *[]){"", ".0", "e3", ".5", "0e-1", "e-5", "00"}[k % 7]);
        assert_number(text, c_locale);
    }
    static const char *const single[] = {"0",
                                         "-0",
                                         "+1",
                                         "1.",
                                         ".5",
                                         "00012",
                                         "1e22",
                                         "1e23",
                                         "1e-27",
                                         "1e-28",
                                         "1E+5",
                                         "5e-324",
                                         "2e-324",
                                         "1e-400",
                                         "0e999999",
                                         "9007199254740993",
                                         "18446744073709551615",
                                         "18446744073709551616",
                                         "9999999999999999999e27",
                                         "0.000000000000000000000000000000000000001",
                                         "123456789012345678901234567890",
                                         "1.7976931348623157e308",
                                         "2.2250738585072011e-308",
                                         "12345678901234567890000e-10",
                                         "9223372036854775807e-27",
                                         "1000000000000000000000000000000",
                                         "9007199254740993.0000000000000000001",
                                         "9007199254740993000000000000000001e-5"};
    for (size_t k = 0; k < sizeof single / sizeof single[0]; k++)
        assert_number(single[k], c_locale);
    freelocale(c_locale);
}

static void
test_number_forms(void **state)
{
    (void)state;
    locale_t c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    static const struct {
        const char *text;
        DataNumber kind;
        size_t length;
    } cases[] = {{"nan", DATA_NUMBER, 3},
                 {"-NaN,", DATA_NUMBER, 4},
                 {"inf", DATA_NUMBER, 3},
                 {"-Infinity", DATA_NUMBER, 9},
                 {"1e", DATA_NUMBER, 1},
                 {"1e+", DATA_NUMBER, 1},
                 {"0x1p3", DATA_NUMBER, 1},
                 {"1.5.2", DATA_NUMBER, 3},
                 {"1e400", DATA_NUMBER_TOO_LARGE, 5},
                 {"-1e99999999999999999999", DATA_NUMBER_TOO_LARGE, 23},
                 {"", DATA_NO_NUMBER, 0},
                 {"-", DATA_NO_NUMBER, 0},
                 {".", DATA_NO_NUMBER, 0},
                 {"e5", DATA_NO_NUMBER, 0},
                 {"--1", DATA_NO_NUMBER, 0},
                 {"in", DATA_NO_NUMBER, 0},
                 {"\x0E"
                  "an",
                  DATA_NO_NUMBER, 0}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        double value;
        const char *end = NULL;
        assert_int_equal(rxn__data_number(cases[k].text, c_locale, &value, &end), cases[k].kind);
        if (cases[k].kind != DATA_NO_NUMBER)
            assert_ptr_equal(end, cases[k].text + cases[k].length);
    }
    freelocale(c_locale);
}

/* Behind a point 200,000 zeros, and an exponent that takes them back: an exponent that is cut at some length
 * would give another number. */
static void
test_long_numbers(void **state)
{
    (void)state;
    enum { ZEROS = 200000 };
    char *text = malloc(ZEROS + 100), error[MESSAGE];
    memcpy(text, "0.", 2);
    memset(text + 2, '0', ZEROS);
    snprintf(text + 2 + ZEROS, 90, "15e%d\n", ZEROS);
    RxnTable table;
    assert_true(rxn__table_parse("t.csv", text, strlen(text), &table, error, sizeof error));
    assert_true(table.values[0][0] == 0.15);
    rxn__table_release(&table);
    snprintf(text + 2 + ZEROS, 90, "15e2000000\n");
    assert_false(rxn__table_parse("t.csv", text, strlen(text), &table, error, sizeof error));
    assert_non_null(strstr(error, "is too large for a 64-bit number"));
    free(text);
}

static bool
set_comma_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "es_ES.UTF-8", "pl_PL.UTF-8"};
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
        if (setlocale(LC_ALL, names[k]))
            return true;
    return false;
}

/* Where decimals are written with a comma. */
static void
test_locale(void **state)
{
    (void)state;
    RxnTable table;
    char error[MESSAGE];
    const char *text = "1.5,123456789012345678901234567890.5\n-2.25,1.5e-300\n";
    assert_true(set_comma_locale());
    const bool done = rxn__table_parse("d.csv", text, strlen(text), &table, error, sizeof error);
    setlocale(LC_ALL, "C");
    assert_true(done);
    assert_true(table.values[0][0] == 1.5 && table.values[0][1] == -2.25);
    assert_true(table.values[1][0] == 123456789012345678901234567890.5);
    assert_true(table.values[1][1] == 1.5e-300);
    rxn__table_release(&table);
}

/* ---- what is read --------------------------------------------------------------------------------- */

/* The whole table as text: its names, then a row a line with the line of the file before it. */
static char *
table_text(const RxnTable *table)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    for (uint32_t c = 0; c < table->columns; c++)
        fprintf(file, "%s%s", c ? "|" : table->has_header ? "= " : "- ", table->names[c]);
    fputc('\n', file);
    for (uint64_t r = 0; r < table->rows; r++) {
        fprintf(file, "%d:", (int)table->lines[r]);
        for (uint32_t c = 0; c < table->columns; c++)
            if (isnan(table->values[c][r]))
                fputs(" nan", file);
            else
                fprintf(file, " %g", table->values[c][r]);
        fputc('\n', file);
    }
    fclose(file);
    return text;
}

static bool
parse(const char *text, size_t size, RxnTable *ret_table, char error[MESSAGE])
{
    Bytes bytes = bytes_of(text, size);
    const bool done = rxn__table_parse("d.csv", bytes.data, size, ret_table, error, MESSAGE);
    free(bytes.data);
    return done;
}

static void
assert_table(const char *text, const char *expected)
{
    RxnTable table;
    char error[MESSAGE] = "";
    if (!parse(text, strlen(text), &table, error))
        fail_msg("%s", error);
    char *found = table_text(&table);
    assert_string_equal(found, expected);
    assert_string_equal(table.path, "d.csv");
    free(found);
    rxn__table_release(&table);
}

static void
test_tables(void **state)
{
    (void)state;
    assert_table("time,A,B\n0,1,2\n0.5,3,4\n", "= time|A|B\n2: 0 1 2\n3: 0.5 3 4\n");
    assert_table("0,1\n2,3", "- 1|2\n1: 0 1\n2: 2 3\n");
    assert_table("t;x\n1;-2e1\n", "= t|x\n2: 1 -20\n");
    assert_table("t\tx\n1\t\n\t2\n", "= t|x\n2: 1 nan\n3: nan 2\n");
    assert_table("  t   x \n 1\t2\n  3 4  \n", "= t|x\n2: 1 2\n3: 3 4\n");
    assert_table("x\n1\n\n2\n", "= x\n2: 1\n4: 2\n");
    assert_table("7\n8\n", "- 1\n1: 7\n2: 8\n");
    assert_table("\xEF\xBB\xBFt,x\r\n1,2\r\n3,4\r\n", "= t|x\n2: 1 2\n3: 3 4\n");
    assert_table("t,x\r1,2\r3,4", "= t|x\n2: 1 2\n3: 3 4\n");
    assert_table("# from the lab, 2024\n\n  # twice\nt,x\n1,2\n#3,4\n5,6\n#",
                 "= t|x\n5: 1 2\n7: 5 6\n");
    assert_table("t , x\n 1 , 2 \n\t3,\t4\n", "= t|x\n2: 1 2\n3: 3 4\n");
    assert_table("t,,y\n1,,3\n,5,\n", "= t|2|y\n2: 1 nan 3\n3: nan 5 nan\n");
    assert_table("1,,3\n", "- 1|2|3\n1: 1 nan 3\n");
    assert_table(",,\n1,2,3\n", "- 1|2|3\n1: nan nan nan\n2: 1 2 3\n");
    assert_table("a,b\nnan,INF\n-inf,NaN\n", "= a|b\n2: nan inf\n3: -inf nan\n");
    assert_table("\"H[1,2]\",\"say \"\"x\"\"\"\n\"1.5\" , 2\n", "= H[1,2]|say \"x\"\n2: 1.5 2\n");
    assert_table("\"two\nlines\",b\n1,2\n", "= two\nlines|b\n3: 1 2\n");
    assert_table("time,\"0\",\"1\"\n1,2,3\n", "= time|0|1\n2: 1 2 3\n");
    assert_table("\"1\",\"2\"\n3,4\n", "- 1|2\n1: 1 2\n2: 3 4\n");
    assert_table("a,b\n\"\",2\n", "= a|b\n2: nan 2\n");
    assert_table("\"a b\" \"c\"\n1 2\n", "= a b|c\n2: 1 2\n");
    assert_table("Dichte µ,β\n1,2\n", "= Dichte µ|β\n2: 1 2\n");
}

/* What rxn writes it reads. */
static void
test_own_numbers(void **state)
{
    (void)state;
    assert_table("time,A.mean,A.sd\n0,0.10000000000000001,nan\n1e-05,100,0\n",
                 "= time|A.mean|A.sd\n2: 0 0.1 nan\n3: 1e-05 100 0\n");
}

static void
test_many_columns_and_rows(void **state)
{
    (void)state;
    enum { ROWS = 333, COLUMNS = 70 };
    char *text = NULL, error[MESSAGE];
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            fprintf(file, "%d%c", 1000 * r + c, c + 1 < COLUMNS ? ',' : '\n');
    fclose(file);
    RxnTable table;
    assert_true(parse(text, size, &table, error));
    assert_int_equal(table.rows, ROWS);
    assert_int_equal(table.columns, COLUMNS);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            assert_true(table.values[c][r] == 1000 * r + c);
    rxn__table_release(&table);
    free(text);
}

/* ---- messages -------------------------------------------------------------------------------------- */

static void
assert_error_of(const char *text, size_t size, const char *expected)
{
    RxnTable table;
    char error[MESSAGE] = "";
    if (parse(text, size, &table, error))
        fail_msg("no error for %s", text);
    assert_string_equal(error, expected);
    assert_true(table.columns == 0 && table.rows == 0 && !table.path);
}

static void
assert_error(const char *text, const char *expected)
{
    assert_error_of(text, strlen(text), expected);
}

static void
test_messages(void **state)
{
    (void)state;
    assert_error("", "d.csv: the file is empty");
    assert_error("\n# nothing\n  \n", "d.csv: the file has no row, only blank lines and comments");
    assert_error("time,A\n", "d.csv: the file has a header and no row");
    assert_error("time,A\n1,abc\n", "d.csv:2:3: 'abc' is no number (column 'A'); where there is no "
                                    "value, leave the field empty");
    assert_error("1,2\n3,4x\n", "d.csv:2:3: '4x' is no number (column 2); where there is no value, "
                                "leave the field empty");
    assert_error("µ A\n1 NA\n", "d.csv:2:3: 'NA' is no number (column 'A'); where there is no "
                                "value, write nan");
    assert_error("\"µ\",\"b\"\n\"µ\",2\n", "d.csv:2:1: 'µ' is no number (column 'µ'); where "
                                           "there is no value, leave the field empty");
    assert_error("µ,b\n1,\"µµ\",\"x\n", "d.csv:2:3: 'µµ' is no number (column 'b'); where there "
                                        "is no value, leave the field empty");
    assert_error("t;x\n0;1,5\n",
                 "d.csv:2:3: '1,5' is no number (column 'x'); write decimals with a point");
    assert_error("t;x\n0;1,500,000\n", "d.csv:2:3: '1,500,000' is no number (column 'x'); where "
                                       "there is no value, leave the field empty");
    assert_error("t,x\n0,1e999\n", "d.csv:2:3: '1e999' is too large for a 64-bit number (column "
                                   "'x'); write inf if it is meant");
    assert_error("t,x\n1,2\n3\n",
                 "d.csv:3: 1 field, but line 1 has 2; where there is no value, leave the field "
                 "empty");
    assert_error("t x\n1 2\n3\n",
                 "d.csv:3: 1 field, but line 1 has 2; where there is no value, write nan");
    assert_error("# a\nt,x\n1,2,3,4\n",
                 "d.csv:3: 4 fields, but line 2 has 2; quote a name that holds a separator, and "
                 "write decimals with a point");
    assert_error("0,-0.8x9\n1,2\n",
                 "d.csv:1:3: '-0.8x9' is no number (column 2), but '0' is (column 1), so this is "
                 "neither data nor a header; in a header, put names that are numbers in quotation "
                 "marks");
    assert_error("time,0,1,0x2\n1,2,3,4\n",
                 "d.csv:1:10: '0x2' is no number (column 4), but '0' is (column 2), so this is "
                 "neither data nor a header; in a header, put names that are numbers in quotation "
                 "marks");
    assert_error("A,B,A\n1,2,3\n", "d.csv:1: the columns 1 and 3 are both named 'A'; give each a "
                                   "name of its own");
    assert_error("\"2\",,b\n1,2,3\n", "d.csv:1: the columns 1 and 2 are both named '2'; give each "
                                      "a name of its own");
    assert_error("a,\"b\n1,2\n", "d.csv:1:3: this quotation mark is never closed");
    assert_error("a,b\n1,\"2\n3\n\n", "d.csv:2:3: this quotation mark is never closed");
    assert_error("a,\"b\"c\n1,2\n", "d.csv:1:6: 'c' behind a closing quotation mark; inside "
                                    "quotation marks write one as two");
    assert_error("\"two\nlines\"µ,b\n1,2\n", "d.csv:2:7: 'µ' behind a closing quotation mark; "
                                             "inside quotation marks write one as two");
    assert_error("a,b\n1,\x01\xFF\x1B[31m\n",
                 "d.csv:2:3: '\\x01\\xFF\\x1B[31m' is no number (column 'b'); where there is no "
                 "value, leave the field empty");
    assert_error("a\n123456789012345678901234567890123456789012345678901234567890z\n",
                 "d.csv:2:1: '12345678901234567890123456789012345678901234567890123...' is no "
                 "number (column 'a'); where there is no value, leave the field empty");
}

static void
test_other_formats(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *expected;
    } cases[] = {
        {"PK\3\4....", 8,
         "d.csv: is a ZIP archive (.npz and .xlsx are too): unpack it, or store "
         "the one array as .npy and the one table as .csv"},
        {"BZh91AY", 7, "d.csv: is compressed with bzip2: unpack it, or use gzip"},
        {"\xFD"
         "7zXZ\0",
         6, "d.csv: is compressed with xz: unpack it, or use gzip"},
        {"\x28\xB5\x2F\xFD.", 5, "d.csv: is compressed with zstd: unpack it, or use gzip"},
        {"\x89HDF\r\n", 6, "d.csv: is an HDF5 file: store the array as .npy, or the table as .csv"},
        {"PAR1..", 6, "d.csv: is a Parquet file: store the table as .csv"},
        {"\xFF\xFE"
         "1\0",
         4, "d.csv: is UTF-16 text: store it as UTF-8"},
        {"\xFE\xFF\0"
         "1",
         4, "d.csv: is UTF-16 text: store it as UTF-8"},
        {"1,2\n3,\0\n", 8,
         "d.csv: holds zero bytes, so it is no text, and it begins neither as "
         "an NPY nor as an IDX file"},
        {"\x93NUMPY", 6, "d.csv: is an NPY array; here a table with named columns is needed (CSV)"},
        {"\0\0\x08\x01", 4,
         "d.csv: is an IDX array; here a table with named columns is needed (CSV)"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        assert_error_of(cases[k].bytes, cases[k].size, cases[k].expected);
}

/* A message that does not fit is cut, and ends in a zero. */
static void
test_short_room(void **state)
{
    (void)state;
    RxnTable table;
    for (size_t size = 0; size < 40; size++) {
        char *error = malloc(size + 1);
        error[size] = 'x';
        assert_false(rxn__table_parse("d.csv", "a\nb\n", 4, &table, error, size));
        assert_true(error[size] == 'x');
        assert_true(size == 0 || strlen(error) < size);
        free(error);
    }
}

/* ---- columns ------------------------------------------------------------------------------------------ */

static void
assert_not_found(const RxnTable *table, const char *name, const char *expected)
{
    uint32_t column;
    char error[MESSAGE] = "";
    assert_false(rxn__table_find(table, name, &column, error, sizeof error));
    assert_string_equal(error, expected);
}

static void
test_find(void **state)
{
    (void)state;
    RxnTable table;
    char error[MESSAGE];
    uint32_t column;
    const char *text = "time,Dimer,A,B\n1,2,3,4\n";
    assert_true(parse(text, strlen(text), &table, error));
    assert_true(rxn__table_find(&table, "B", &column, error, sizeof error));
    assert_int_equal(column, 3);
    assert_int_equal(rxn__table_column(&table, "C"), UINT32_MAX);
    assert_not_found(&table, "tmie", "d.csv: there is no column 'tmie'; did you mean 'time'?");
    assert_not_found(&table, "dimers", "d.csv: there is no column 'dimers'; did you mean 'Dimer'?");
    assert_not_found(&table, "a", "d.csv: there is no column 'a'; did you mean 'A'?");
    assert_not_found(&table, "C",
                     "d.csv: there is no column 'C'; the columns are time, Dimer, A, "
                     "B");
    assert_not_found(&table, "", "d.csv: there is no column ''; the columns are time, Dimer, A, B");
    assert_null(rxn__table_nearest(&table, "monomer"));
    rxn__table_release(&table);

    text = "1,2\n";
    assert_true(parse(text, strlen(text), &table, error));
    assert_not_found(&table, "time",
                     "d.csv: there is no column 'time': the file has no header, so its columns are "
                     "1 to 2; name them in a first line");
    rxn__table_release(&table);

    char *wide = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&wide, &size);
    for (int row = 0; row < 2; row++)
        for (int k = 0; k < 60; k++)
            fprintf(file, row ? "%d%c" : "name%d%c", k, k < 59 ? ',' : '\n');
    fclose(file);
    assert_true(parse(wide, size, &table, error));
    assert_not_found(&table, "x",
                     "d.csv: there is no column 'x'; the columns are name0, name1, name2, name3, "
                     "name4, name5, name6, name7, name8, name9, name10, name11, name12, name13, "
                     "name14, name15, name16, name17, name18, name19, name20, name21, name22, "
                     "name23, name24, …");
    rxn__table_release(&table);
    free(wide);
}

static void
assert_check(const char *text, unsigned what, const char *expected)
{
    RxnTable table;
    char error[MESSAGE] = "";
    assert_true(parse(text, strlen(text), &table, error));
    const bool holds = rxn__table_check(&table, 0, what, error, sizeof error);
    assert_string_equal(error, expected);
    assert_int_equal(holds, expected[0] == '\0');
    rxn__table_release(&table);
}

static void
test_checks(void **state)
{
    (void)state;
    assert_check("x,y\n1,\n-2,\n", RXN_DATA_FINITE, "");
    assert_check("x,y\n1,\n,3\n", 0, "");
    assert_check("x,y\n1,\n,3\n", RXN_DATA_FINITE, "d.csv:3: there is no number in column 'x'");
    assert_check("x\n1\n\nnan\n", RXN_DATA_RISING, "d.csv:4: there is no number in column 'x'");
    assert_check("x\n-inf\n", RXN_DATA_COUNTS, "d.csv:2: column 'x' is infinite");
    assert_check("t\n0\n0.1\n3\n", RXN_DATA_RISING, "");
    assert_check("t\n0\n#\n2\n\n2\n", RXN_DATA_RISING,
                 "d.csv:6: column 't' is 2, after 2 on line 4; it must rise from row to row");
    assert_check("0\n9007199254740992\n", RXN_DATA_COUNTS, "");
    assert_check("n\n1\n1.5\n", RXN_DATA_COUNTS,
                 "d.csv:3: column 'n' is 1.5; counts are whole numbers from 0 to 2^53");
    assert_check("1\n-1\n", RXN_DATA_COUNTS,
                 "d.csv:2: column '1' is -1; counts are whole numbers from 0 to 2^53");
}

/* ---- files that are cut, damaged, or unpack to too much ------------------------------------------------ */

/* A text that is cut is shorter, which nobody can see if it is cut between two rows or inside a number; but
 * every row except the last must be as it was. */
static void
test_cut_text(void **state)
{
    (void)state;
    const char *text = "# x\n\"ti\"\"me\",A\n1,22\n3.25,\"44\"\n,66e1\n";
    RxnTable whole, table;
    char error[MESSAGE];
    assert_true(parse(text, strlen(text), &whole, error));
    uint64_t read = 0;
    for (size_t size = 0; size < strlen(text); size++) {
        if (!parse(text, size, &table, error)) {
            assert_memory_equal(error, "d.csv:", 6);
            continue;
        }
        read++;
        assert_true(table.rows <= whole.rows && table.columns == 2);
        for (uint64_t r = 0; r + 1 < table.rows; r++)
            for (uint32_t c = 0; c < 2; c++)
                assert_true(table.values[c][r] == whole.values[c][r] || isnan(whole.values[c][r]));
        rxn__table_release(&table);
    }
    assert_true(read > 5);
    rxn__table_release(&whole);
}

static const char small_text[] = "time,A\n0,1\n1,2.5\n2,7\n";

static void
test_gzip(void **state)
{
    (void)state;
    RxnTable table;
    char error[MESSAGE];
    Bytes packed = gzip_of(small_text, sizeof small_text - 1);
    Bytes more = gzip_of("3,9\n", 4);
    const unsigned char zeros[5] = {0};
    Bytes both = bytes_join(packed.data, packed.size, more.data, more.size);
    Bytes filled = bytes_join(both.data, both.size, zeros, sizeof zeros);
    const Bytes *readable[] = {&packed, &both, &filled};
    for (size_t k = 0; k < 3; k++) {
        assert_true(rxn__table_parse("d", readable[k]->data, readable[k]->size, &table, error,
                                     sizeof error));
        assert_int_equal(table.rows, k == 0 ? 3 : 4);
        assert_true(table.values[1][1] == 2.5);
        rxn__table_release(&table);
    }
    Bytes tail = bytes_join(packed.data, packed.size, "abc", 3);
    assert_false(rxn__table_parse("d.gz", tail.data, tail.size, &table, error, sizeof error));
    assert_string_equal(error, "d.gz: 3 bytes behind the end of what was compressed: get or make "
                               "the gzip file again");
    Bytes twice = gzip_of(packed.data, packed.size);
    assert_false(rxn__table_parse("d.gz", twice.data, twice.size, &table, error, sizeof error));
    assert_string_equal(error, "d.gz: is compressed with gzip twice: unpack it once with gunzip");
    Bytes nothing = gzip_of("", 0);
    assert_false(rxn__table_parse("d.gz", nothing.data, nothing.size, &table, error, sizeof error));
    assert_string_equal(error, "d.gz: the file is empty");
    Bytes *all[] = {&packed, &more, &both, &filled, &tail, &twice, &nothing};
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
        free(all[k]->data);
}

static void
test_cut_and_damaged_gzip(void **state)
{
    (void)state;
    enum { HEADER = 10 }; /* whose time and system mean nothing for the content */
    RxnTable table;
    char error[MESSAGE];
    Bytes packed = gzip_of(small_text, sizeof small_text - 1);
    for (size_t size = 0; size < packed.size; size++) {
        Bytes cut = bytes_of(packed.data, size);
        assert_false(rxn__table_parse("d.gz", cut.data, size, &table, error, sizeof error));
        free(cut.data);
        if (size >= 2)
            assert_string_equal(error, "d.gz: the gzip file is cut short: get or make it again");
    }
    uint64_t unseen = 0; /* bits that fill up the last byte before the checksum */
    for (size_t bit = 8 * HEADER; bit < 8 * packed.size; bit++) {
        packed.data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (rxn__table_parse("d.gz", packed.data, packed.size, &table, error, sizeof error)) {
            assert_true(table.rows == 3 && table.values[1][1] == 2.5);
            rxn__table_release(&table);
            unseen++;
        }
        packed.data[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_true(unseen < 8);
    packed.data[packed.size - 8] ^= 1;
    assert_false(rxn__table_parse("d.gz", packed.data, packed.size, &table, error, sizeof error));
    assert_string_equal(
        error, "d.gz: the gzip file is damaged (incorrect data check): get or make it again");
    free(packed.data);
}

/* With limits of kilobytes instead of gigabytes: both limits, hit exactly and passed by one byte. */
static void
test_limits(void **state)
{
    (void)state;
    enum { MIB = 1 << 20 };
    char *zeros = calloc(1, 3 * MIB), error[MESSAGE];
    const DataError where = {.path = "d", .text = error, .size = sizeof error};
    DataLimits limits = {.most_bytes = MIB, .gzip_free_bytes = 3 * MIB, .gzip_most_ratio = 200};
    DataBytes bytes;
    assert_true(rxn__data_take(zeros, MIB, &limits, &bytes, &where));
    assert_int_equal(bytes.size, MIB);
    free(bytes.data);
    assert_false(rxn__data_take(zeros, MIB + 1, &limits, &bytes, &where));
    assert_string_equal(error, "d: the data hold more than 1 MiB, which is the limit: leave out "
                               "what is not needed, or split it");
    for (size_t extra = 0; extra < 2; extra++) {
        Bytes packed = gzip_of(zeros, MIB + extra);
        assert_true(rxn__data_take(packed.data, packed.size, &limits, &bytes, &where) == !extra);
        assert_true(extra || bytes.size == MIB);
        free(bytes.data);
        free(packed.data);
    }
    assert_string_equal(error, "d: the gzip file unpacks to more than 1 MiB, which is the limit: "
                               "leave out what is not needed, or split it");
    limits = (DataLimits){.most_bytes = 3 * MIB, .gzip_free_bytes = MIB, .gzip_most_ratio = 200};
    for (size_t extra = 0; extra < 2; extra++) {
        Bytes packed = gzip_of(zeros, MIB + extra);
        assert_true(200 * packed.size < MIB);
        assert_true(rxn__data_take(packed.data, packed.size, &limits, &bytes, &where) == !extra);
        free(bytes.data);
        free(packed.data);
    }
    assert_string_equal(error, "d: the gzip file unpacks to more than 200 times its size; if that "
                               "is what it holds, unpack it with gunzip first");
    free(zeros);
}

/* ---- files ----------------------------------------------------------------------------------------------- */

static void
write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void
test_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/rxn-dataset-XXXXXX", path[100], expected[300], error[MESSAGE];
    RxnTable table;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/small.csv", folder);
    assert_false(rxn__table_read(path, &table, error, sizeof error));
    snprintf(expected, sizeof expected, "%s: cannot be opened: No such file or directory", path);
    assert_string_equal(error, expected);
    assert_false(rxn__table_read(folder, &table, error, sizeof error));
    snprintf(expected, sizeof expected, "%s: is a folder: name a file in it", folder);
    assert_string_equal(error, expected);
    assert_false(rxn__table_read("/dev/null", &table, error, sizeof error));
    assert_string_equal(error, "/dev/null: is a device or a socket: name a file");

    write_file(path, small_text, sizeof small_text - 1);
    assert_true(rxn__table_read(path, &table, error, sizeof error));
    assert_string_equal(table.path, path);
    assert_int_equal(table.rows, 3);
    rxn__table_release(&table);

    Bytes packed =
        gzip_of(small_text, sizeof small_text - 1); /* under a name that does not say so */
    write_file(path, packed.data, packed.size);
    free(packed.data);
    assert_true(rxn__table_read(path, &table, error, sizeof error));
    assert_int_equal(table.rows, 3);
    rxn__table_release(&table);

    assert_int_equal(truncate(path, (off_t)RXN_TABLE_MOST_BYTES + 1), 0); /* a hole, no bytes */
    assert_false(rxn__table_read(path, &table, error, sizeof error));
    snprintf(expected, sizeof expected,
             "%s: the file holds more than 1024 MiB, which is the limit: leave out what is not "
             "needed, or split it",
             path);
    assert_string_equal(error, expected);
    unlink(path);
    rmdir(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_round_correctly),
        cmocka_unit_test(test_number_forms),
        cmocka_unit_test(test_long_numbers),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_own_numbers),
        cmocka_unit_test(test_many_columns_and_rows),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_other_formats),
        cmocka_unit_test(test_short_room),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_cut_text),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_cut_and_damaged_gzip),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_locale), /* last: it may be left out */
    };
    size_t count = sizeof tests / sizeof tests[0];
    if (!set_comma_locale()) {
        puts("# test_locale is left out: no locale with decimal commas is installed");
        count--;
    }
    setlocale(LC_ALL, "C");
    return _cmocka_run_group_tests("dataset", tests, count, NULL, NULL);
}
