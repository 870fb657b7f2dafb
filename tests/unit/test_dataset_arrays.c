/* test_dataset_arrays.c: NPY and IDX, put together byte by byte: every type and byte order, Fortran's order, each
 * message, files cut anywhere; writing.
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

#include "runtime/dataset.h"
#include "tests/unit/dataset_fixture.h"

enum { MESSAGE = 400 };

static bool
parse(Bytes bytes, RxnArray *ret_array, char error[MESSAGE])
{
    const bool done = rxn__array_parse("a.npy", bytes.data, bytes.size, ret_array, error, MESSAGE);
    free(bytes.data);
    return done;
}

static RxnArray
parsed(Bytes bytes)
{
    RxnArray array;
    char error[MESSAGE] = "";
    if (!parse(bytes, &array, error))
        fail_msg("%s", error);
    return array;
}

static void
assert_error(Bytes bytes, const char *expected)
{
    RxnArray array;
    char error[MESSAGE] = "";
    assert_false(parse(bytes, &array, error));
    assert_string_equal(error, expected);
    assert_true(!array.data && !array.path && array.rank == 0);
}

/* ---- types and byte orders ------------------------------------------------------------------------- */

typedef struct TypeCase {
    const char *descr;
    RxnArrayType type;
    const char *name;
    size_t bytes;
    unsigned char big_endian[2][8]; /* two elements */
    double values[2];
} TypeCase;

static const TypeCase type_cases[] = {
    {"u1", RXN_ARRAY_U8, "u8", 1, {{0xFF}, {7}}, {255, 7}},
    {"i1", RXN_ARRAY_I8, "i8", 1, {{0xFF}, {0x80}}, {-1, -128}},
    {"u2", RXN_ARRAY_U16, "u16", 2, {{0xFF, 0xFE}, {1, 2}}, {65534, 258}},
    {"i2", RXN_ARRAY_I16, "i16", 2, {{0xFF, 0xFE}, {1, 2}}, {-2, 258}},
    {"u4", RXN_ARRAY_U32, "u32", 4, {{0xFF, 0xFF, 0xFF, 0xFE}, {0, 1, 0, 0}}, {4294967294, 65536}},
    {"i4", RXN_ARRAY_I32, "i32", 4, {{0xFF, 0xFF, 0xFF, 0xFE}, {0, 1, 0, 0}}, {-2, 65536}},
    {"u8",
     RXN_ARRAY_U64,
     "u64",
     8,
     {{0x80}, {0, 0, 0, 1, 0, 0, 0, 2}},
     {9223372036854775808.0, 4294967298.0}},
    {"i8",
     RXN_ARRAY_I64,
     "i64",
     8,
     {{0x80}, {0, 0, 0, 1, 0, 0, 0, 2}},
     {-9223372036854775808.0, 4294967298.0}},
    {"f4",
     RXN_ARRAY_F32,
     "f32",
     4,
     {{0x3F, 0xC0}, {0xC0, 0x49, 0x0F, 0xDB}},
     {1.5, -3.14159274101257324}},
    {"f8",
     RXN_ARRAY_F64,
     "f64",
     8,
     {{0x3F, 0xF8}, {0x3F, 0xB9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9A}},
     {1.5, 0.1}},
};

enum { TYPE_CASES = sizeof type_cases / sizeof type_cases[0] };

static size_t
elements_of(const TypeCase *c, bool big_endian, unsigned char ret_data[16])
{
    for (size_t e = 0; e < 2; e++)
        for (size_t k = 0; k < c->bytes; k++)
            ret_data[e * c->bytes + k] = c->big_endian[e][big_endian ? k : c->bytes - 1 - k];
    return 2 * c->bytes;
}

static void
assert_case(const TypeCase *c, RxnArray array)
{
    double values[2];
    assert_int_equal(array.type, c->type);
    assert_string_equal(rxn__array_type_name(array.type), c->name);
    assert_int_equal(array.rank, 1);
    assert_int_equal(array.extent[0], 2);
    assert_int_equal(array.row_elements, 1);
    rxn__array_row(&array, 0, &values[0]);
    rxn__array_row(&array, 1, &values[1]);
    assert_true(values[0] == c->values[0] && values[1] == c->values[1]);
    rxn__array_release(&array);
}

static void
test_types_of_npy(void **state)
{
    (void)state;
    for (size_t k = 0; k < TYPE_CASES; k++) {
        for (int version = 1; version <= 3; version++) {
            for (int order = 0; order < 3; order++) {
                const TypeCase *c = &type_cases[k];
                unsigned char data[16];
                char header[100];
                if (order == 2 && c->bytes > 1)
                    continue;
                const size_t size = elements_of(c, order == 1, data);
                snprintf(header, sizeof header,
                         "{'descr': '%c%s', 'fortran_order': False, 'shape': (2,), }", "<>|"[order],
                         c -> descr);
                assert_case(c, parsed(npy_of(version, header, data, size)));
            }
        }
    }
}

static void
test_types_of_idx(void **state)
{
    (void)state;
    static const unsigned char codes[][2] = {{0x08, RXN_ARRAY_U8},  {0x09, RXN_ARRAY_I8},
                                             {0x0B, RXN_ARRAY_I16}, {0x0C, RXN_ARRAY_I32},
                                             {0x0D, RXN_ARRAY_F32}, {0x0E, RXN_ARRAY_F64}};
    for (size_t k = 0; k < sizeof codes / sizeof codes[0]; k++) {
        const TypeCase *c = &type_cases[codes[k][1]];
        unsigned char data[16];
        const size_t size = elements_of(c, true, data);
        const uint32_t extent = 2;
        assert_int_equal(c->type, codes[k][1]);
        assert_case(c, parsed(idx_of(codes[k][0], 1, &extent, data, size)));
    }
}

static void
test_booleans(void **state)
{
    (void)state;
    RxnArray array =
        parsed(npy_of(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", "\0\1\2", 3));
    assert_int_equal(array.type, RXN_ARRAY_U8);
    assert_memory_equal(array.data, "\0\1\1", 3);
    rxn__array_release(&array);
}

/* ---- shapes ------------------------------------------------------------------------------------------ */

static void
assert_rows(RxnArray array, uint32_t rank, const uint64_t *extent)
{
    double row[24], next = 0;
    assert_int_equal(array.rank, rank);
    assert_memory_equal(array.extent, extent, rank * sizeof extent[0]);
    for (uint64_t r = 0; r < array.extent[0]; r++) {
        rxn__array_row(&array, r, row);
        for (uint64_t k = 0; k < array.row_elements; k++, next++)
            assert_true(row[k] == next);
    }
    assert_true(next == 24);
    rxn__array_release(&array);
}

static void
test_orders(void **state)
{
    (void)state;
    unsigned char c_order[24 * 2], fortran[24 * 2];
    const uint64_t extent[] = {2, 3, 4}, flat[] = {24}, most[] = {2, 3, 2, 2};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 4; k++) {
                const int value = (i * 3 + j) * 4 + k, at = i + 2 * (j + 3 * k);
                memcpy(fortran + 2 * at, (unsigned char[]){0, (unsigned char)value}, 2);
                memcpy(c_order + 2 * value, (unsigned char[]){0, (unsigned char)value}, 2);
            }
    assert_rows(parsed(npy_of(1, "{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3, 4), }",
                              c_order, sizeof c_order)),
                3, extent);
    assert_rows(parsed(npy_of(2, "{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3, 4), }",
                              fortran, sizeof fortran)),
                3, extent);
    assert_rows(parsed(npy_of(1, "{'descr': '>i2', 'fortran_order': True, 'shape': (24,), }",
                              c_order, sizeof c_order)),
                1, flat);
    assert_rows(parsed(npy_of(1, "{'descr':'>i2','fortran_order':False,'shape':(2,3,2,2)}", c_order,
                              sizeof c_order)),
                4, most);
    /* as Python 2 wrote it, keys in another order */
    assert_rows(parsed(npy_of(1,
                              " { \"shape\" : (2L, 3L ,4L) , 'fortran_order':False, "
                              "'descr': \">i2\"} ",
                              c_order, sizeof c_order)),
                3, extent);
    const uint32_t idx_extent[] = {2, 3, 4};
    assert_rows(parsed(idx_of(0x0B, 3, idx_extent, c_order, sizeof c_order)), 3, extent);
}

static void
test_single_number(void **state)
{
    (void)state;
    RxnArray array =
        parsed(npy_of(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (), }", "\x2A", 1));
    double value;
    assert_true(array.rank == 1 && array.extent[0] == 1 && array.row_elements == 1);
    rxn__array_row(&array, 0, &value);
    assert_true(value == 42);
    rxn__array_release(&array);
}

static void
test_text_as_matrix(void **state)
{
    (void)state;
    const char *text = "a,b\n1,2\n3,nan\n";
    RxnArray array = parsed(bytes_of(text, strlen(text)));
    double row[2];
    assert_true(array.type == RXN_ARRAY_F64 && array.rank == 2);
    assert_true(array.extent[0] == 2 && array.extent[1] == 2 && array.row_elements == 2);
    rxn__array_row(&array, 1, row);
    assert_true(row[0] == 3 && isnan(row[1]));
    rxn__array_release(&array);
    text = "1,2\n3,\n";
    assert_error(bytes_of(text, strlen(text)), "a.npy:2:3: a number is missing (column 2); a "
                                               "matrix has a number in every place");
    text = "1,2\n3\n";
    assert_error(bytes_of(text, strlen(text)), "a.npy:2: 1 field, but line 1 has 2; a matrix has a "
                                               "number in every place");
}

static void
test_gzip(void **state)
{
    (void)state;
    Bytes npy = npy_of(1, "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2), }",
                       "\1\0\0\0\2\0\0\0", 8);
    Bytes packed = gzip_of(npy.data, npy.size);
    for (size_t size = 2; size < packed.size; size++)
        assert_error(bytes_of(packed.data, size),
                     "a.npy: the gzip file is cut short: get or make it again");
    RxnArray array = parsed(packed);
    double row[2];
    rxn__array_row(&array, 0, row);
    assert_true(row[0] == 1 && row[1] == 2);
    rxn__array_release(&array);
    free(npy.data);
}

/* ---- messages ----------------------------------------------------------------------------------------- */

static void
assert_header_error(const char *header, const char *expected)
{
    assert_error(npy_of(1, header, "\0\0\0\0\0\0\0\0", 8), expected);
}

static void
test_messages_of_npy(void **state)
{
    (void)state;
#define DICT(descr, shape) "{'descr': " descr ", 'fortran_order': False, 'shape': " shape ", }"
    assert_header_error(DICT("'<f2'", "(4,)"),
                        "a.npy: the NPY array has elements of type '<f2'; floating-point numbers "
                        "of 4 and 8 bytes can be read: convert with .astype('f4')");
    assert_header_error(DICT("'<f16'", "(4,)"),
                        "a.npy: the NPY array has elements of type '<f16'; floating-point numbers "
                        "of 4 and 8 bytes can be read: convert with .astype('f4')");
    assert_header_error(DICT("'<c8'", "(1,)"),
                        "a.npy: the NPY array has elements of type '<c8'; complex numbers cannot "
                        "be read: store real and imaginary parts");
    assert_header_error(DICT("'|O'", "(1,)"),
                        "a.npy: the NPY array has elements of type '|O'; Python objects cannot be "
                        "read: store an array of numbers");
    assert_header_error(DICT("'<U2'", "(1,)"), "a.npy: the NPY array has elements of type '<U2'; "
                                               "texts cannot be read: store an array of numbers");
    assert_header_error(DICT("'<M8[s]'", "(1,)"),
                        "a.npy: the NPY array has elements of type '<M8[s]'; dates cannot be read: "
                        "store times as numbers");
    assert_header_error(DICT("'<m8'", "(1,)"), "a.npy: the NPY array has elements of type '<m8'; "
                                               "time spans cannot be read: store times as numbers");
    assert_header_error(DICT("'|V8'", "(1,)"), "a.npy: the NPY array has elements of type '|V8'; "
                                               "records cannot be read: store an array of numbers");
    assert_header_error(DICT("'<q9'", "(1,)"), "a.npy: the NPY array has elements of type '<q9'; "
                                               "no such type is known: store an array of numbers");
    assert_header_error(DICT("''", "(1,)"), "a.npy: the NPY array has elements of type ''; no such "
                                            "type is known: store an array of numbers");
    assert_header_error(DICT("[('a', '<f8')]", "(1,)"),
                        "a.npy: the NPY array has records with named fields; store each field as "
                        "an array of its own");
    assert_header_error(DICT("'<f8'", "(1, 1, 1, 1, 1)"),
                        "a.npy: the NPY array has more than 4 extents; store it in another shape");
    assert_header_error(DICT("'<f8'", "(0, 3)"), "a.npy: the array is empty (0 x 3 of f64)");
    assert_header_error(DICT("'<f8'", "(2,)"), "a.npy: the file is cut short: 2 of f64 need 16 "
                                               "bytes, and 8 are there; get or make it again");
    assert_header_error(DICT("'|u1'", "(2, 3)"), "a.npy: the file goes on behind the array (2 x 3 "
                                                 "of u8), by 2 bytes; a file holds one array");
    assert_header_error(DICT("'<f8'", "(1152921504606846976,)"),
                        "a.npy: the file is cut short: 1152921504606846976 of f64 need "
                        "9223372036854775808 bytes, and 8 are there; get or make it again");
    assert_header_error(DICT("'<f8'", "(4294967296, 4294967296)"),
                        "a.npy: the header claims 4294967296 x 4294967296 of f64, more than there "
                        "can be; 8 bytes follow it");
    assert_header_error(DICT("'<f8'", "(2305843009213693952,)"),
                        "a.npy: the header claims 2305843009213693952 of f64, more than there can "
                        "be; 8 bytes follow it");
    assert_header_error(DICT("'<f8'", "(18446744073709551616,)"),
                        "a.npy: the NPY header claims an extent of more than 2^64");
    assert_header_error(DICT("'<f8'", "(-1,)"),
                        "a.npy: the NPY header is damaged: an extent is expected before '-1,), }'");
    assert_header_error(DICT("'<f8'", "1"),
                        "a.npy: the NPY header is damaged: a shape is expected before '1, }'");
    assert_header_error(
        DICT("'<f8'", "(1 2)"),
        "a.npy: the NPY header is damaged: a comma or ')' is expected before '2), }'");
    assert_header_error(DICT("<f8", "(1,)"),
                        "a.npy: the NPY header is damaged: a type is expected before '<f8, "
                        "'fortran_order': False, 'shape': (1,), }'");
    assert_header_error(
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}",
        "a.npy: the NPY header is damaged: True or False is expected before '0, 'shape': (1,)}'");
    assert_header_error("{'descr': '<f8', 'shape': (1,)}",
                        "a.npy: the NPY header is damaged: it has no 'fortran_order'");
    assert_header_error(
        "{'descr': '<f8', 'descr': '<f8'}",
        "a.npy: the NPY header is damaged: its key 'descr' is unknown or there twice");
    assert_header_error(
        "{descr: '<f8'}",
        "a.npy: the NPY header is damaged: a key is expected before 'descr: '<f8'}'");
    assert_header_error("{'descr' '<f8'}",
                        "a.npy: the NPY header is damaged: a colon is expected before ''<f8'}'");
    assert_header_error(DICT("'<f8'", "(1,)") " x",
                        "a.npy: the NPY header is damaged: its end is expected before 'x'");
    assert_header_error("{'descr': '<f8', ",
                        "a.npy: the NPY header is damaged: it ends where a key is expected");
    assert_header_error("", "a.npy: the NPY header is damaged: it ends where '{' is expected");
    assert_error(npy_of(4, DICT("'<f8'", "(1,)"), "", 0),
                 "a.npy: is an NPY file of version 4; versions 1 to 3 can be read");
#undef DICT
}

static void
test_messages_of_idx(void **state)
{
    (void)state;
    const uint32_t extents[] = {2, 3, 1, 1, 1}, huge[] = {~0u, ~0u, ~0u, ~0u}, none[] = {4, 0};
    assert_error(idx_of(0x07, 1, extents, "", 0),
                 "a.npy: begins as an IDX file, but of no known type of elements (0x07)");
    assert_error(idx_of(0x08, 0, extents, "", 0), "a.npy: is an IDX file without extents");
    assert_error(idx_of(0x08, 5, extents, "", 0),
                 "a.npy: is an IDX file of 5 extents; at most 4 can be read: store it in another "
                 "shape");
    assert_error(idx_of(0x08, 2, extents, "12345", 5),
                 "a.npy: the file is cut short: 2 x 3 of u8 need 6 bytes, and 5 are there; get or "
                 "make it again");
    assert_error(idx_of(0x08, 2, extents, "1234567", 7),
                 "a.npy: the file goes on behind the array (2 x 3 of u8), by 1 byte; a file holds "
                 "one array");
    assert_error(idx_of(0x0E, 4, huge, "12345678", 8),
                 "a.npy: the header claims 4294967295 x 4294967295 x 4294967295 x 4294967295 of "
                 "f64, more than there can be; 8 bytes follow it");
    assert_error(idx_of(0x08, 2, none, "", 0), "a.npy: the array is empty (4 x 0 of u8)");
    assert_error(bytes_of("\0\1\2\3", 4),
                 "a.npy: begins with a zero byte, so it is no text, but not as an IDX file does, "
                 "with two");
}

static void
assert_cut_everywhere(Bytes whole)
{
    RxnArray array = parsed(bytes_of(whole.data, whole.size));
    char error[MESSAGE];
    rxn__array_release(&array);
    for (size_t size = 0; size < whole.size; size++) {
        assert_false(parse(bytes_of(whole.data, size), &array, error));
        assert_non_null(strstr(error, size ? " is cut short" : "is empty"));
    }
    free(whole.data);
}

static void
test_cut(void **state)
{
    (void)state;
    const uint32_t extent[] = {2, 3};
    const char *header = "{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3), }";
    for (int version = 1; version <= 3; version++)
        assert_cut_everywhere(npy_of(version, header, "abcdefghijkl", 12));
    assert_cut_everywhere(idx_of(0x0B, 2, extent, "abcdefghijkl", 12));
}

static void
test_checks(void **state)
{
    (void)state;
    RxnArray array = parsed(bytes_of("1,2\n3,nan\n", 10));
    char error[MESSAGE] = "";
    assert_true(rxn__array_check(&array, 0, error, sizeof error));
    assert_false(rxn__array_check(&array, RXN_DATA_FINITE, error, sizeof error));
    assert_string_equal(error, "a.npy: element 1 of row 1 (from 0) is no number (NaN)");
    ((double *)array.data)[3] = -INFINITY;
    assert_false(rxn__array_check(&array, RXN_DATA_FINITE, error, sizeof error));
    assert_string_equal(error, "a.npy: element 1 of row 1 (from 0) is infinite");
    ((double *)array.data)[3] = 0.5;
    assert_true(rxn__array_check(&array, RXN_DATA_FINITE, error, sizeof error));
    assert_false(rxn__array_check(&array, RXN_DATA_COUNTS, error, sizeof error));
    assert_string_equal(error, "a.npy: element 1 of row 1 (from 0) is 0.5; counts are whole "
                               "numbers from 0 to 2^53");
    rxn__array_release(&array);

    unsigned char many[1000] = {0}; /* more than are looked at in one go */
    many[999] = 0xFF;
    array = parsed(
        npy_of(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (1000,)}", many, sizeof many));
    assert_false(rxn__array_check(&array, RXN_DATA_COUNTS, error, sizeof error));
    assert_string_equal(error, "a.npy: element 999 (from 0) is -1; counts are whole numbers from "
                               "0 to 2^53");
    rxn__array_release(&array);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static void
test_write(void **state)
{
    (void)state;
    /* what numpy.save writes, byte by byte, on a little-endian machine */
    static const char expected[] =
        "\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }"
        "                                                          \n";
    char folder[] = "/tmp/rxn-dataset-XXXXXX", path[100], text[300], error[MESSAGE] = "";
    const double values[] = {1.5, -0.0, 1e300, 5e-324, INFINITY, 0.1};
    const uint64_t extent[] = {2, 3};
    RxnArray array;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.npy", folder);
    assert_true(rxn__array_write(path, values, 2, extent, error, sizeof error));
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(text, 1, sizeof text, file), 128 + sizeof values);
    fclose(file);
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        assert_memory_equal(text, expected, 128);
    assert_memory_equal(text + 128, values, sizeof values);

    const uint64_t single[] = {6}, most[] = {1, 2, 1, 3};
    static const uint32_t ranks[] = {1, 4, 2};
    const uint64_t *const extents[] = {single, most, extent};
    for (int k = 0; k < 3; k++) { /* over what is there */
        assert_true(rxn__array_write(path, values, ranks[k], extents[k], error, sizeof error));
        assert_true(rxn__array_read(path, &array, error, sizeof error));
        assert_int_equal(array.rank, ranks[k]);
        assert_memory_equal(array.extent, extents[k], ranks[k] * sizeof(uint64_t));
        assert_memory_equal(array.data, values, sizeof values);
        rxn__array_release(&array);
    }
    unlink(path);
    assert_int_equal(rmdir(folder), 0); /* nothing else was left there */

    assert_false(rxn__array_write(path, values, 2, extent, error, sizeof error));
    snprintf(text, sizeof text, "%s: cannot be written: No such file or directory", path);
    assert_string_equal(error, text);
    const uint64_t too_large[] = {UINT64_C(1) << 40, UINT64_C(1) << 40};
    assert_false(rxn__array_write("x.npy", values, 2, too_large, error, sizeof error));
    assert_string_equal(error, "x.npy: cannot be written: the array is too large");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_of_npy),
        cmocka_unit_test(test_types_of_idx),
        cmocka_unit_test(test_booleans),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_single_number),
        cmocka_unit_test(test_text_as_matrix),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_messages_of_npy),
        cmocka_unit_test(test_messages_of_idx),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests_name("dataset_arrays", tests, NULL, NULL);
}
