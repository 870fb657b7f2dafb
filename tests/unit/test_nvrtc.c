/* test_nvrtc.c: NVIDIA's own compiler, where it is at hand: machine code and PTX for every architecture, no
 * contraction unless asked for, messages with the model's line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/nvrtc.h"

static RxnNvrtcOutput
compile(RxnNvrtc *nvrtc, const char *source, uint32_t architecture, bool ptx, bool fast_math)
{
    RxnNvrtcOutput output;
    char error[300] = "";
    RxnOutcome outcome = rxn__nvrtc_compile(nvrtc, source, "test.cu", architecture, ptx, fast_math,
                                            false, &output, error, sizeof error);
    if (outcome != RXN_DONE)
        fail_msg("%s\n%s", error, output.log ? output.log : "");
    return output;
}

static void
test_compiles(void **state)
{
    RxnNvrtc *nvrtc = *state;
    static const char source[] = "extern \"C\" __global__ void f(double *x, double a)\n"
                                 "{ x[threadIdx.x] = x[threadIdx.x] * a + 1.0; }\n";
    static const uint32_t architectures[] = {75, 80, 90, 100, 120};
    for (size_t k = 0; k < sizeof architectures / sizeof architectures[0]; k++) {
        uint32_t architecture = architectures[k];
        if (!rxn__nvrtc_knows(nvrtc, architecture)) {
            print_message("# NVRTC %u does not know sm_%u\n", rxn__nvrtc_version(nvrtc),
                          architecture);
            continue;
        }
        assert_int_equal(rxn__nvrtc_nearest(nvrtc, architecture), architecture);
        RxnNvrtcOutput output = compile(nvrtc, source, architecture, false, false);
        assert_true(output.size > 4 && memcmp(output.code, "\177ELF", 4) == 0);
        free(output.code);
        free(output.log);
        char target[32];
        snprintf(target, sizeof target, ".target sm_%u", architecture);
        output = compile(nvrtc, source, architecture, true, false);
        assert_int_equal(((char *)output.code)[output.size - 1], 0);
        assert_non_null(strstr(output.code, target));
        assert_non_null(strstr(output.code, "mul.rn.f64")); /* not contracted, unless asked for */
        assert_null(strstr(output.code, "fma.rn.f64"));
        free(output.code);
        free(output.log);
        output = compile(nvrtc, source, architecture, true, true);
        assert_non_null(strstr(output.code, "fma.rn.f64"));
        free(output.code);
        free(output.log);
    }
    RxnNvrtcOutput output;
    char error[512] = "";
    RxnOutcome outcome = rxn__nvrtc_compile(nvrtc, "#line 7 \"model.rxn\"\n__device__ int x = y;\n",
                                            "test.cu", rxn__nvrtc_nearest(nvrtc, UINT32_MAX), false,
                                            false, false, &output, error, sizeof error);
    assert_int_equal(outcome, RXN_BROKEN);
    assert_ptr_equal(strstr(output.log, "model.rxn(7): error: identifier \"y\" is undefined"),
                     output.log);
    free(output.log);
    assert_int_equal(rxn__nvrtc_compile(nvrtc, source, "test.cu", 10, false, false, false, &output,
                                        error, sizeof error),
                     RXN_REFUSED);
}

int
main(void)
{
    RxnNvrtc *nvrtc;
    char error[512] = "";
    if (rxn__nvrtc_open(&nvrtc, error, sizeof error) != RXN_DONE) {
        printf("1..0 # SKIP %s\n", error);
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_compiles, nvrtc)};
    int failed = cmocka_run_group_tests_name("nvrtc", tests, NULL, NULL);
    rxn__nvrtc_close(nvrtc);
    return failed;
}
