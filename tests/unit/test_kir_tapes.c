/* test_kir_tapes.c: tapes, and `for`s that count down or are left by a break: their text, what the checker
 * says, what the interpreter makes of them, and what the passes leave alone.
 */
#include "kir_fixture.h"

static const char *const head = "kernel k f64 {\n"
                                "  buffer out : f64[?] per trajectory writable\n";
static const char *const locals = "  local x : i32\n"
                                  "  tape code : u32[6] stored 1\n"
                                  "  tape pair : u32[6] stored 2\n"
                                  "  tape time : f64[6]\n"
                                  "  tape far : bool[2147483648]\n"
                                  "  local done : bool\n";

/* A kernel that is done after init, with this finish. */
static const char *
with_finish(Fixture *f, const char *declared, const char *finish)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__text_printf(&text,
                     "%s%s  done done\n"
                     "  launch {\n"
                     "    %%1 = const.i32 0\n"
                     "    %%2 = const.i32 6\n"
                     "    %%3 = const.u32 70000\n"
                     "    %%4 = const.bool true\n"
                     "    %%5 = const.i32 2\n"
                     "  }\n"
                     "  init {\n"
                     "    set done, %%4\n"
                     "  }\n"
                     "  step {}\n"
                     "  finish {\n"
                     "%s"
                     "  }\n"
                     "}\n",
                     head, declared, finish);
    return text.data;
}

static void
text_reads_back(void **state)
{
    Fixture *f = *state;
    const char *text = with_finish(f, locals,
                                   "    %6 = for %1 .. %2 down {\n"
                                   "      set code[%6], %3\n"
                                   "      %7 = get.u32 code[%6]\n"
                                   "      if %4 {\n"
                                   "        break\n"
                                   "      }\n"
                                   "    }\n"
                                   "    %8 = for %1 .. %2 {\n"
                                   "      break\n"
                                   "    }\n");
    assert_string_equal(printed(f, read_kernel(f, text)), text);
}

static void
wrong_tapes_are_refused(void **state)
{
    Fixture *f = *state;
    static const char *const cases[][2] = {
        {"tape a : f64", "launch: tape 'a': its length is 1 to 2^31"},
        {"tape a : f64[2147483649]", "launch: tape 'a': its length is 1 to 2^31"},
        {"tape a : f64[5] stored 4", "launch: tape 'a': a f64 does not lie in 4 bytes"},
        {"tape a : u32[5] stored 3", "launch: tape 'a': a u32 does not lie in 3 bytes"},
        {"tape a : i32[5] stored 2", "launch: tape 'a': a i32 does not lie in 2 bytes"},
        {"tape a : u32[5] stored 0", "line 1: an element takes 1 to 8 bytes"},
        {"local a : u32[5] stored 1", "line 1: expected 'done', found 'stored'"},
        {"tape a : u32[5] done d witness a", "launch: a tape is no witness"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Text text;
        rxn__text_init(&text, &f->arena);
        rxn__text_printf(&text,
                         "kernel k f64 { local d : bool %s %s launch {} init {} step {} "
                         "finish {} }",
                         cases[i][0], strstr(cases[i][0], "witness") ? "" : "done d");
        KirKernel *kernel;
        const char *error = rxn__kir_read(&f->arena, &f->names, text.data, text.length, &kernel);
        assert_non_null(error);
        assert_string_equal(error, cases[i][1]);
    }
}

/* ---- Interpreter -------------------------------------------------------------------------------- */

typedef struct Run {
    double out[3][8];
    RxnFault fault;
    RxnStatus status;
    const char *error;
} Run;

/* Trajectories 0, 1, 2. */
static Run
run(Fixture *f, const char *finish)
{
    Run r = {.fault = {.trajectory = UINT64_MAX}};
    void *buffers[] = {r.out};
    const int64_t strides[] = {8};
    const int cancel = 0;
    RxnLaunch launch = {
        .count = 3, .buffers = buffers, .strides = strides, .fault = &r.fault, .cancel = &cancel};
    KirKernel *kernel = read_kernel(f, with_finish(f, locals, finish));
    r.status = rxn__kir_interpret(kernel, &launch, 0, &f->arena, &r.error);
    return r;
}

static void
fors_count_both_ways_and_break(void **state)
{
    /* out[k]: the k-th counter; lo = trajectory, hi = 6; a break out of the inner for only */
    const Run up = run(*state, "%10 = trajectory.u64 %11 = cast.u64 %10 to i32\n"
                               "%12 = for %11 .. %2 { %13 = cast.i32 %12 to f64\n"
                               " %14 = for %1 .. %2 { break }\n"
                               " %15 = get.i32 x store out[%15], %13\n"
                               " %16 = const.i32 1 %17 = add.i32 %15, %16 set x, %17 }");
    const Run down = run(*state, "%10 = trajectory.u64 %11 = cast.u64 %10 to i32\n"
                                 "%12 = for %11 .. %2 down { %13 = cast.i32 %12 to f64\n"
                                 " %14 = eq.i32 %12, %5 if %14 { break }\n"
                                 " %15 = get.i32 x store out[%15], %13\n"
                                 " %16 = const.i32 1 %17 = add.i32 %15, %16 set x, %17 }");
    assert_int_equal(up.status, RXN_OK);
    assert_int_equal(down.status, RXN_OK);
    for (u32 i = 0; i < 3; i++)
        for (u32 k = 0; k < 6; k++) {
            assert_true(up.out[i][k] == (k + i < 6 ? k + i : 0));
            assert_true(down.out[i][k] == (k < 3 ? 5 - k : 0));
        }
}

static void
tapes_keep_what_their_width_holds(void **state)
{
    const Run r =
        run(*state, "set code[%5], %3 set pair[%5], %3\n"
                    "%10 = get.u32 code[%5] %11 = cast.u32 %10 to f64 store out[%1], %11\n"
                    "%12 = get.u32 pair[%5] %13 = cast.u32 %12 to f64 store out[%5], %13");
    assert_int_equal(r.status, RXN_OK);
    assert_true(r.out[2][0] == 70000 % 256);
    assert_true(r.out[2][2] == 70000 % 65536);
}

static void
reading_what_is_not_written_is_an_error(void **state)
{
    Run r = run(*state, "set code[%1], %3 %10 = get.u32 code[%5]");
    assert_int_equal(r.status, RXN_ERROR_INTERNAL);
    assert_string_equal(r.error, "element 2 of tape 'code' is read but not written (trajectory 0)");
    /* The trajectory before has written it: that does not count. */
    r = run(*state, "%9 = trajectory.u64 %10 = const.u64 1 %11 = lt.u64 %9, %10\n"
                    "if %11 { set code[%5], %3 }\n"
                    "%12 = get.u32 code[%5]");
    assert_int_equal(r.status, RXN_ERROR_INTERNAL);
    assert_string_equal(r.error, "element 2 of tape 'code' is read but not written (trajectory 1)");
    r = run(*state, "set code[%2], %3");
    assert_int_equal(r.status, RXN_ERROR_INTERNAL);
    assert_string_equal(r.error,
                        "finish: index 6 of tape 'code' is outside its 6 elements (trajectory 0)");
}

/* A length is no cost: 2^31 elements, of which the last two are used. */
static void
memory_is_used_where_it_is_written(void **state)
{
    Fixture *f = *state;
    const Run r = run(f, "%10 = const.i32 2147483647 %11 = const.i32 2147483646\n"
                         "set far[%10], %4 set far[%11], %4\n"
                         "%12 = get.bool far[%10] if %12 { %13 = const.f64 3 store out[%1], %13 }");
    assert_int_equal(r.status, RXN_OK);
    assert_true(r.out[1][0] == 3);
    assert_true(f->memory.used < 100 << 20);
}

/* ---- Passes ------------------------------------------------------------------------------------- */

static void
expect_pass(void **state, bool (*pass)(KirKernel *kernel), const char *declared, const char *before,
            const char *after)
{
    Fixture *f = *state;
    KirKernel *kernel = read_kernel(f, with_finish(f, declared, before));
    pass(kernel);
    assert_null(rxn__kir_check(kernel, false, &f->arena));
    assert_string_equal(printed(f, kernel), with_finish(f, declared, after));
}

/* A turn that happens once may be left by a break: the for stays. Without one it goes. */
static void
fold_keeps_a_for_that_breaks(void **state)
{
    expect_pass(state, rxn__kir_fold, locals,
                "    %6 = const.i32 1\n"
                "    %7 = for %1 .. %6 {\n"
                "      if %4 {\n"
                "        break\n"
                "      }\n"
                "      set x, %2\n"
                "    }\n"
                "    %8 = for %6 .. %5 down {\n"
                "      set x, %8\n"
                "    }\n"
                "    %9 = for %5 .. %6 down {\n"
                "      set x, %9\n"
                "    }\n",
                "    %6 = const.i32 1\n"
                "    %7 = for %1 .. %6 {\n"
                "      break\n"
                "      set x, %2\n"
                "    }\n"
                "    set x, %6\n");
}

/* What a narrow tape gives back is not what was set; nothing on a tape is zero. */
static void
cse_minds_tapes(void **state)
{
    expect_pass(state, rxn__kir_cse, locals,
                "    set code[%1], %3\n"
                "    %6 = get.u32 code[%1]\n"
                "    set pair[%1], %6\n"
                "    %7 = get.u32 code[%1]\n"
                "    set pair[%2], %7\n"
                "    %8 = get.f64 time[%1]\n"
                "    set time[%2], %8\n"
                "    %9 = get.f64 time[%2]\n"
                "    store out[%1], %9\n",
                "    set code[%1], %3\n"
                "    %6 = get.u32 code[%1]\n"
                "    set pair[%1], %6\n"
                "    set pair[%2], %6\n"
                "    %7 = get.f64 time[%1]\n"
                "    set time[%2], %7\n"
                "    store out[%1], %7\n");
}

static void
cse_does_not_take_a_tape_for_zero(void **state)
{
    Fixture *f = *state;
    KirKernel *kernel = read_kernel(f, "kernel k f64 { tape time : f64[3] local x : f64\n"
                                       "local done : bool done done witness x launch {}\n"
                                       "init { %1 = const.i32 0 %2 = get.f64 time[%1]\n"
                                       "       set x, %2 } step {} finish {} }");
    assert_false(rxn__kir_cse(kernel));
    assert_non_null(strstr(printed(f, kernel), "get.f64 time"));
}

/* What stands behind a break may not run, and what is not surely run may not be written. */
static void
hoist_leaves_tapes_that_may_not_be_read(void **state)
{
    expect_pass(state, rxn__kir_hoist, locals,
                "    %6 = for %1 .. %2 {\n"
                "      %7 = get.f64 time[%1]\n"
                "      set x, %6\n"
                "      if %4 {\n"
                "        break\n"
                "      }\n"
                "      %8 = get.f64 time[%2]\n"
                "      %9 = add.f64 %7, %8\n"
                "      store out[%1], %9\n"
                "    }\n"
                "    %10 = get.i32 x\n"
                "    %11 = for %1 .. %10 down {\n"
                "      %12 = get.f64 time[%1]\n"
                "      store out[%1], %12\n"
                "    }\n",
                "    %6 = get.f64 time[%1]\n"
                "    %7 = for %1 .. %2 {\n"
                "      set x, %7\n"
                "      if %4 {\n"
                "        break\n"
                "      }\n"
                "      %8 = get.f64 time[%2]\n"
                "      %9 = add.f64 %6, %8\n"
                "      store out[%1], %9\n"
                "    }\n"
                "    %10 = get.i32 x\n"
                "    %11 = for %1 .. %10 down {\n"
                "      %12 = get.f64 time[%1]\n"
                "      store out[%1], %12\n"
                "    }\n");
}

/* A break of a for that has an effect decides how often it has it. */
static void
dce_keeps_the_breaks_of_a_for(void **state)
{
    expect_pass(state, rxn__kir_dce, "  local x : i32\n  local done : bool\n",
                "    %6 = for %1 .. %2 down {\n"
                "      %7 = cast.u32 %3 to f64\n"
                "      %8 = get.i32 x\n"
                "      store out[%6], %7\n"
                "      set x, %6\n"
                "      %9 = eq.i32 %8, %5\n"
                "      if %9 {\n"
                "        break\n"
                "      }\n"
                "      loop {\n"
                "        break\n"
                "      }\n"
                "    }\n"
                "    %10 = for %1 .. %2 {\n"
                "      break\n"
                "    }\n",
                "    %6 = for %1 .. %2 down {\n"
                "      %7 = cast.u32 %3 to f64\n"
                "      %8 = get.i32 x\n"
                "      store out[%6], %7\n"
                "      set x, %6\n"
                "      %9 = eq.i32 %8, %5\n"
                "      if %9 {\n"
                "        break\n"
                "      }\n"
                "    }\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_reads_back),
        TEST(wrong_tapes_are_refused),
        TEST(fors_count_both_ways_and_break),
        TEST(tapes_keep_what_their_width_holds),
        TEST(reading_what_is_not_written_is_an_error),
        TEST(memory_is_used_where_it_is_written),
        TEST(fold_keeps_a_for_that_breaks),
        TEST(cse_minds_tapes),
        TEST(cse_does_not_take_a_tape_for_zero),
        TEST(hoist_leaves_tapes_that_may_not_be_read),
        TEST(dce_keeps_the_breaks_of_a_for),
    };
    return cmocka_run_group_tests_name("kir_tapes", tests, NULL, NULL);
}
