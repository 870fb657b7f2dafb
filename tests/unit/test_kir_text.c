/* test_kir_text.c: the text form of the kernel IR, both ways, and the checker's complaints. */
#include "kir_fixture.h"

/* ---- Text form ---------------------------------------------------------------------------------- */

static const char *const every_form =
    "kernel every_form f64 {\n"
    "  buffer rate : f64[2] per launch\n"
    "  buffer seed : u64 per launch\n"
    "  buffer \"x[3] \\\"q\\\" \\\\ \\x0A\\xC3\\xA9\" : f32[?, 3, 2] per trajectory writable\n"
    "  local t : f64\n"
    "  local \"inf\" : i32[4]\n"
    "  local done : bool\n"
    "  uniform drive : f64[256]\n"
    "  lanes 1\n"
    "  done done\n"
    "  witness t, \"inf\"\n"
    "  launch {\n"
    "    %1 = const.i32 0\n"
    "    %2 = const.f64 0x1.999999999999ap-4\n"
    "    set drive[%1], %2\n"
    "  }\n"
    "  init {}\n"
    "  step {\n"
    "    %3 = get.f64 t\n"
    "    %4 = add.f64 %3, %2\n"
    "    %5 = load.f64 rate[%1]\n"
    "    %6 = const.f64 -inf\n"
    "    %7 = const.f32 nan\n"
    "    %8 = const.u64 18446744073709551615\n"
    "    %9 = const.i64 -9223372036854775808\n"
    "    %10 = const.bool false\n"
    "    %11 = cast.i64 %9 to f32\n"
    "    %12 = bits.f32 %11 to u32\n"
    "    %13 = trajectory.u64\n"
    "    %14 = load.u64 seed\n"
    "    %15 = const.i32 4\n"
    "    %16 = for %1 .. %15 {\n"
    "      set \"inf\"[%16], %16\n"
    "      loop {\n"
    "        %17 = get.i32 \"inf\"[%16]\n"
    "        %18 = ge.i32 %17, %1\n"
    "        if %18 {\n"
    "          break\n"
    "        }\n"
    "        if %10 {} else {\n"
    "          trap negative_propensity %12\n"
    "        }\n"
    "      }\n"
    "    }\n"
    "    %19 = const.f32 -0x0p+0\n"
    "    store \"x[3] \\\"q\\\" \\\\ \\x0A\\xC3\\xA9\"[%1, %1, %1], %19\n"
    "    %20 = select.f64 %10, %4, %5\n"
    "    set t, %20\n"
    "    trap 999 %12\n"
    "  }\n"
    "  finish {}\n"
    "}\n";

static void
text_reads_back(void **state)
{
    Fixture *f = *state;
    assert_string_equal(printed(f, read_kernel(f, every_form)), every_form);
    /* Numbers may have gaps, and there may be comments: printing makes the one form. */
    static const char *const loose = "# a kernel\nkernel k f32 { local done:bool done done launch{}"
                                     "init{} step { %7 = const.bool true # yes\n set done, %7 }"
                                     "finish{} }";
    assert_string_equal(printed(f, read_kernel(f, loose)), "kernel k f32 {\n"
                                                           "  local done : bool\n"
                                                           "  done done\n"
                                                           "  launch {}\n"
                                                           "  init {}\n"
                                                           "  step {\n"
                                                           "    %1 = const.bool true\n"
                                                           "    set done, %1\n"
                                                           "  }\n"
                                                           "  finish {}\n"
                                                           "}\n");
}

static void
wrong_kernels_are_refused(void **state)
{
    Fixture *f = *state;
    const struct {
        const char *launch, *step, *error;
    } cases[] = {
        {"", "set x, %50", "step: set uses value 5 (const) where it is not visible"},
        {"", "set y, %2", "line 14: there is no local 'y'"},
        {"", "set x, %3", "line 14: the value of a set (value 3) is bool, not f64"},
        {"", "set x, %99", "line 14: %99 is not defined above"},
        {"", "set a, %2", "line 14: set: local 'a' is an array"},
        {"", "set x[%1], %2", "line 14: set: local 'x' is a scalar"},
        {"", "set u, %2", "step: set: local 'u' is uniform, so only launch sets it"},
        {"", "set done, %2", "line 14: the value of a set (value 2) is f64, not bool"},
        {"", "break", "step: a break outside of a for or loop"},
        {"", "%9 = for %1 .. %1 down { break } if %3 { break }",
         "step: a break outside of a for or loop"},
        {"", "%9 = for %2 .. %1 {}", "line 14: the lower bound of a for (value 2) is f64, not i32"},
        {"", "if %2 {}", "line 14: the condition of an if (value 2) is f64, not bool"},
        {"", "store in[%1], %2", "step: store: buffer 'in' is read-only"},
        {"", "store out, %2", "line 14: the buffer has rank 1, not 0"},
        {"", "store out[%1], %1", "line 14: the value of a store (value 1) is i32, not f64"},
        {"", "trap none %4", "step: a trap has a code"},
        {"", "trap strange %4", "line 14: expected a trap's code, found 'strange'"},
        {"", "trap step_limit %1", "line 14: the detail of a trap (value 1) is i32, not u32"},
        {"", "%9 = add.i32 %2, %2", "line 14: the type i32 is not that of the argument"},
        {"", "%9 = add.f64 %2", "line 15: expected ',', found '}'"},
        {"", "%9 = add.f64 %1, %2", "line 14: add: its arguments differ in type"},
        {"", "%9 = and.f64 %2, %2", "line 14: and: it does not take a first argument of this type"},
        {"", "%9 = cast.f64 %2 to bool", "line 14: cast: there is no conversion to bool"},
        {"", "%9 = bits.f64 %2 to u32",
         "line 14: bits: bits are reinterpreted at the same width only"},
        {"", "%9 = plus.f64 %2, %2", "line 14: there is no op 'plus'"},
        {"", "%9 = add.f16 %2, %2", "line 14: 'f16' is no type"},
        {"", "%9 = counter.i32", "line 14: there is no op 'counter'"},
        {"", "%9 = const.i32 2147483648", "line 14: this integer does not fit i32"},
        {"", "%9 = const.u32 -1", "line 14: this integer does not fit u32"},
        {"", "%9 = const.bool 1", "line 14: expected true or false, found '1'"},
        {"", "%2 = const.i32 1", "line 14: %2 is defined twice"},
        {"", "%4000000 = const.i32 1", "line 14: %4000000: values are numbered from 1 in order"},
        {"", "jump", "line 14: expected a statement, found 'jump'"},
        {"", "if %3 {", "line 16: expected a statement, found 'finish'"},
        {"%9 = trajectory.u64", "", "launch: there is no trajectory here"},
        {"%9 = get.f64 x", "", "launch: local 'x' is a trajectory's"},
        {"%9 = load.f64 row[%1]", "", "launch: buffer 'row' is a trajectory's"},
        {"%9 = load.f64 out[%1]", "", "launch: buffer 'out' is a trajectory's"},
        {"set x, %2", "", "launch: set: local 'x' is a trajectory's"},
        {"store out[%1], %2", "", "launch: store: launch stores nothing"},
        {"trap step_limit %4", "", "launch: launch has no trajectory to trap"},
        {"if %3 { %9 = const.f64 1 }", "set x, %9",
         "step: set uses value 5 (const) where it is not visible"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        KirKernel *kernel;
        const char *text = with_step(f, cases[i].launch, cases[i].step);
        const char *error = rxn__kir_read(&f->arena, &f->names, text, strlen(text), &kernel);
        assert_non_null(error);
        assert_string_equal(error, cases[i].error);
        assert_null(kernel);
    }
    static const char *const declarations[][2] = {
        {"", "line 1: expected 'kernel', found 'the end'"},
        {"kernel k i32 { local d : bool done d launch {} init {} step {} finish {} }",
         "launch: the kernel's precision is f32 or f64"},
        {"kernel k f64 { local d : f64 done d launch {} init {} step {} finish {} }",
         "launch: local 'd' says when a trajectory is done, so it is one bool of its own"},
        {"kernel k f64 { local d : bool local d : f64 done d launch {} init {} step {} finish {} }",
         "line 1: two locals are named 'd'"},
        {"kernel k f64 { buffer b : f64 per launch writable local d : bool done d launch {} init "
         "{} "
         "step {} finish {} }",
         "launch: buffer 'b' is per launch, so it cannot be writable"},
        {"kernel k f64 { buffer b : f64[2, ?] per launch local d : bool done d launch {} init {} "
         "step {} finish {} }",
         "launch: buffer 'b': only the first extent may be dynamic"},
        {"kernel k f64 { local d : bool local a : f64[4294967295] done d launch {} init {} step {} "
         "finish {} }",
         "launch: the locals have more than 16777216 elements"},
        {"kernel k f64 { local d : bool done d launch {} init {} step {} finish {} } more",
         "line 1: more stands after the kernel's end"},
    };
    for (size_t i = 0; i < COUNT_OF(declarations); i++) {
        KirKernel *kernel;
        const char *text = declarations[i][0];
        const char *error = rxn__kir_read(&f->arena, &f->names, text, strlen(text), &kernel);
        assert_non_null(error);
        assert_string_equal(error, declarations[i][1]);
    }
}

static void
deep_nesting_is_refused(void **state)
{
    Fixture *f = *state;
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__text_printf(&text, "kernel k f64 { local d : bool done d launch {} init {} step {");
    for (u32 i = 0; i < 100000; i++)
        rxn__text_append(&text, "loop {", 6);
    KirKernel *kernel;
    const char *error = rxn__kir_read(&f->arena, &f->names, text.data, text.length, &kernel);
    assert_non_null(error);
    assert_string_equal(error, "line 1: blocks are nested more than 1024 deep");
}

static void
math_ops_are_refused_after_expansion(void **state)
{
    Fixture *f = *state;
    const KirKernel *kernel = read_kernel(f, with_step(f, "", "%9 = log.f64 %2"));
    assert_null(rxn__kir_check(kernel, false, &f->arena));
    const char *error = rxn__kir_check(kernel, true, &f->arena);
    assert_non_null(error);
    assert_string_equal(error, "step: value 6: log is left unexpanded");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_reads_back),
        TEST(wrong_kernels_are_refused),
        TEST(deep_nesting_is_refused),
        TEST(math_ops_are_refused_after_expansion),
    };
    return cmocka_run_group_tests_name("kir_text", tests, NULL, NULL);
}
