/* test_dataset_files.c: real data, where RXN_TEST_DATA names their folder: MNIST by its published checksums, and
 * recordings of ion channels number by number.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/dataset.h"
#include "tests/unit/dataset_fixture.h"

enum { MESSAGE = 400 };

/* ---- SHA-256 (FIPS 180-4), for published checksums -------------------------------------------------------- */

static uint32_t
rotate(uint32_t x, int by)
{
    return x >> by | x << (32 - by);
}

/* The first 32 bits of the fractional part of the root (1/2 or 1/3) of the prime. */
static uint32_t
root_bits(int prime, int root)
{
    const long double x = root == 2 ? sqrtl(prime) : cbrtl(prime);
    return (uint32_t)((x - floorl(x)) * 0x1p32L);
}

static void
sha256_block(uint32_t hash[8], const uint32_t constants[64], const unsigned char *block)
{
    uint32_t w[64], s[8];
    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
    for (int t = 16; t < 64; t++)
        w[t] = (rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10) + w[t - 7] +
               (rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3) + w[t - 16];
    memcpy(s, hash, sizeof s);
    for (int t = 0; t < 64; t++) {
        const uint32_t one = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
                             ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[t] + w[t];
        const uint32_t two = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
                             ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof s[0]);
        s[4] += one;
        s[0] = one + two;
    }
    for (int k = 0; k < 8; k++)
        hash[k] += s[k];
}

static void
sha256(Bytes bytes, char ret_text[65])
{
    uint32_t constants[64], hash[8];
    int found = 0;
    for (int prime = 2; found < 64; prime++) {
        bool is_prime = true;
        for (int k = 2; k * k <= prime; k++)
            is_prime &= prime % k != 0;
        if (!is_prime)
            continue;
        if (found < 8)
            hash[found] = root_bits(prime, 2);
        constants[found++] = root_bits(prime, 3);
    }
    unsigned char tail[128] = {0};
    const size_t whole = bytes.size / 64 * 64, left = bytes.size - whole;
    const size_t tail_size = left < 56 ? 64 : 128;
    memcpy(tail, bytes.data + whole, left);
    tail[left] = 0x80;
    for (size_t k = 0; k < 8; k++)
        tail[tail_size - 1 - k] = (unsigned char)((uint64_t)bytes.size * 8 >> (8 * k));
    for (size_t at = 0; at < whole; at += 64)
        sha256_block(hash, constants, bytes.data + at);
    for (size_t at = 0; at < tail_size; at += 64)
        sha256_block(hash, constants, tail + at);
    for (int k = 0; k < 8; k++)
        snprintf(ret_text + 8 * k, 9, "%08x", (unsigned)hash[k]);
}

static void
test_sha256(void **state)
{
    (void)state;
    char text[65];
    sha256((Bytes){.data = (unsigned char *)"abc", .size = 3}, text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* ---- real data ------------------------------------------------------------------------------------------------ */

/* The checksum of an unpacked IDX file of bytes, from what was read of it. */
static void
checksum_of(const RxnArray *array, char ret_text[65])
{
    uint32_t extent[RXN_ARRAY_MAX_RANK];
    for (uint32_t k = 0; k < array->rank; k++)
        extent[k] = (uint32_t)array->extent[k];
    Bytes bytes = idx_of(0x08, array->rank, extent, array->data,
                         (size_t)(array->extent[0] * array->row_elements));
    sha256(bytes, ret_text);
    free(bytes.data);
}

static void
test_mnist(void **state)
{
    (void)state;
    static const struct {
        const char *name, *checksum;
        uint64_t rows, row_elements;
    } files[] = {
        {"t10k-images-idx3-ubyte.gz",
         "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 10000, 784},
        {"t10k-labels-idx1-ubyte.gz",
         "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10000, 1},
        {"train-images-idx3-ubyte.gz",
         "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 60000, 784},
        {"train-labels-idx1-ubyte.gz",
         "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60000, 1},
    };
    const char *folder = getenv("RXN_TEST_DATA");
    for (size_t k = 0; k < sizeof files / sizeof files[0]; k++) {
        char path[600], error[MESSAGE] = "", checksum[65];
        RxnArray array;
        snprintf(path, sizeof path, "%s/mnist/%s", folder, files[k].name);
        if (!rxn__array_read(path, &array, error, sizeof error))
            fail_msg("%s", error);
        assert_int_equal(array.type, RXN_ARRAY_U8);
        assert_int_equal(array.extent[0], files[k].rows);
        assert_int_equal(array.row_elements, files[k].row_elements);
        checksum_of(&array, checksum);
        assert_string_equal(checksum, files[k].checksum);
        rxn__array_release(&array);
    }
}

/* Every number of the file once more, by the C library. */
static void
assert_as_strtod(const char *path, const RxnTable *table)
{
    FILE *file = fopen(path, "rb");
    char line[200];
    assert_non_null(file);
    for (uint64_t r = 0; r < table->rows; r++) {
        assert_non_null(fgets(line, sizeof line, file));
        char *c = line;
        for (uint32_t k = 0; k < table->columns; k++, c++)
            if (strtod(c, &c) != table->values[k][r])
                fail_msg("%s:%d differs", path, (int)r + 1);
    }
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
}

static void
test_ion_channel(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t columns;
        uint64_t rows;
    } files[] = {{"raw_unseen_biological.csv", 2, 10001},
                 {"one_channel_with_truth.csv", 3, 100000},
                 {"five_channels_with_truth.csv", 3, 99999}};
    const char *folder = getenv("RXN_TEST_DATA");
    for (size_t k = 0; k < sizeof files / sizeof files[0]; k++) {
        char path[600], error[MESSAGE] = "";
        RxnTable table;
        snprintf(path, sizeof path, "%s/ion_channel/%s", folder, files[k].name);
        if (!rxn__table_read(path, &table, error, sizeof error))
            fail_msg("%s", error);
        assert_int_equal(table.columns, files[k].columns);
        assert_int_equal(table.rows, files[k].rows);
        assert_false(table.has_header);
        assert_as_strtod(path, &table);
        assert_true(rxn__table_check(&table, 0, RXN_DATA_RISING, error, sizeof error));
        assert_true(rxn__table_check(&table, 1, RXN_DATA_FINITE, error, sizeof error));
        if (table.columns == 3)
            assert_true(rxn__table_check(&table, 2, RXN_DATA_COUNTS, error, sizeof error));
        rxn__table_release(&table);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_mnist),
        cmocka_unit_test(test_ion_channel),
    };
    const char *folder = getenv("RXN_TEST_DATA");
    if (!folder || !*folder) {
        puts("1..0 # SKIP RXN_TEST_DATA names no folder with mnist/ and ion_channel/");
        return 0;
    }
    return cmocka_run_group_tests_name("dataset_files", tests, NULL, NULL);
}
