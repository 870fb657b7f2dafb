/* test_program.c: kernels that were compiled ahead: their keys, and which code a processor gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/target/frozen.h"
#include "compiler/target/kernel_key.h"

/* ---- keys -------------------------------------------------------------------------------------- */

static void
assert_digest(const char *text, size_t size, const char *expected)
{
    u8 digest[KERNEL_KEY_BYTES];
    char shown[2 * KERNEL_KEY_BYTES + 1];
    rxn__sha256(text, size, digest);
    for (u32 k = 0; k < KERNEL_KEY_BYTES; k++)
        snprintf(shown + 2 * k, 3, "%02x", digest[k]);
    assert_string_equal(shown, expected);
}

/* The examples of FIPS 180-4 (NIST, "SHA-256 examples"), and both sides of the length where the padding takes a block
 * more (hashlib of Python). */
static void
test_known_digests(void **state)
{
    (void)state;
    static const char long_text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char same[64];
    memset(same, 'a', sizeof same);
    assert_digest("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_digest(long_text, sizeof long_text - 1,
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_digest(same, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    assert_digest(same, 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
    assert_digest(same, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

/* ---- the choice -------------------------------------------------------------------------------- */

static void
run_nothing(const struct RxnLaunch *launch)
{
    (void)launch;
}

/* No processor has both of these: one is Intel's alone, the other was AMD's. */
#define NEVER "avx512vbmi,xop"

static void
test_best_code(void **state)
{
    (void)state;
#if !defined(__x86_64__)
    print_message("# only of x86-64 are there several codes to choose from\n");
    skip();
#endif
    const RxnProgramCode codes[] = {
        {run_nothing, "first", "sse2," NEVER, "none", 8, 0, 0},
        {run_nothing, "second", "unheard-of", "none", 4, 0, 0},
        {run_nothing, "third", "", "none", 2, 0, 0},
    };
    const char *missing = NULL;
    RxnProgramKernel kernel = {.codes = codes, .code_count = 3};
    assert_ptr_equal(rxn__program_code(&kernel, 0, &missing), &codes[1]);
    assert_non_null(missing);
    kernel.code_count = 1;
    assert_null(rxn__program_code(&kernel, 0, &missing));
    assert_true(strncmp(missing, "xop", 3) == 0 || strncmp(missing, "avx512vbmi", 10) == 0);
    assert_null(rxn__program_code(&kernel, 0, NULL));
}

/* The fewest lanes that are enough, among those for the processors of the first that runs. */
static void
test_lanes(void **state)
{
    (void)state;
    const RxnProgramCode codes[] = {
        {run_nothing, "good", "", "none", 8, 0, 0},
        {run_nothing, "good", "", "none", 4, 0, 0},
        {run_nothing, "plain", "", "none", 2, 0, 0},
    };
    static const struct {
        u32 lanes, code;
    } cases[] = {{0, 0}, {1, 1}, {2, 1}, {4, 1}, {5, 0}, {8, 0}, {16, 0}};
    RxnProgramKernel kernel = {.codes = codes, .code_count = 3};
    for (u32 k = 0; k < COUNT_OF(cases); k++)
        assert_ptr_equal(rxn__program_code(&kernel, cases[k].lanes, NULL), &codes[cases[k].code]);
}

/* Beyond SSE2, which every x86-64 has, what the processor says of itself decides. */
static void
test_features(void **state)
{
    (void)state;
    assert_true(rxn__processor_has("sse2", 4));
#if defined(__x86_64__)
    assert_int_equal(rxn__processor_has("avx2", 4), __builtin_cpu_supports("avx2") != 0);
    assert_int_equal(rxn__processor_has("avx2,fma", 4), __builtin_cpu_supports("avx2") != 0);
    assert_int_equal(rxn__processor_has("avx512f", 7), __builtin_cpu_supports("avx512f") != 0);
#endif
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_digests),
        cmocka_unit_test(test_best_code),
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_features),
    };
    return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
