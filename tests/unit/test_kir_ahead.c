/* test_kir_ahead.c: what depends on the number of a step alone, computed for several steps at once: that it is found, and that each
 * step gets what it would have computed itself, whatever else the kernel does with the locals that it is made of.
 */
#include "kir_fixture.h"

#include "compiler/kir/internal.h"
#include "random_kernel.h"

/* What a step of the kernels below does. */
typedef struct Shape {
    const char *number; /* behind the step: what n becomes */
    const char *middle; /* between the numbers and their use */
    const char *use;    /* of the word %40 and the number %41 that is made of it */
    const char *init;
} Shape;

/* x sums what eight rounds make of n, of `high` and of the trajectory's number; 40 steps. */
static KirKernel *
kernel_of(Fixture *f, const Shape *shape)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__text_printf(&text,
                     "kernel k f64 {\n"
                     "  buffer out : f64[2] per trajectory writable\n"
                     "  local x : f64\n"
                     "  local n : u32\n"
                     "  local high : u32\n"
                     "  local steps : u32\n"
                     "  local done : bool\n"
                     "  done done\n"
                     "  launch {\n"
                     "    %%1 = const.u32 3528531795\n"
                     "    %%2 = const.u32 1\n"
                     "    %%3 = const.u32 40\n"
                     "    %%4 = const.f64 0x1p-32\n"
                     "    %%5 = const.u32 11\n"
                     "  }\n"
                     "  init {\n%s  }\n"
                     "  step {\n"
                     "    %%10 = get.u32 n\n"
                     "    %%11 = get.u32 high\n"
                     "    %%12 = trajectory.u64\n"
                     "    %%13 = cast.u64 %%12 to u32\n"
                     "    %%14 = xor.u32 %%13, %%11\n"
                     "    %%20 = add.u32 %%10, %%1\n",
                     shape->init);
    u32 value = 20;
    for (u32 round = 0; round < 8; round++, value += 2)
        rxn__text_printf(&text,
                         "    %%%u = mulhi.u32 %%%u, %%1\n"
                         "    %%%u = add.u32 %%%u, %%14\n",
                         value + 1, value, value + 2, value + 1);
    rxn__text_printf(&text,
                     "    %%40 = xor.u32 %%%u, %%10\n"
                     "    %%41 = cast.u32 %%40 to f64\n"
                     "%s"
                     "    %%42 = mul.f64 %%41, %%4\n"
                     "%s"
                     "    %%43 = get.f64 x\n"
                     "    %%44 = add.f64 %%43, %%42\n"
                     "    set x, %%44\n"
                     "    %%45 = add.u32 %%10, %%2\n"
                     "    %s\n"
                     "    %%46 = get.u32 steps\n"
                     "    %%47 = add.u32 %%46, %%2\n"
                     "    set steps, %%47\n"
                     "    %%48 = ge.u32 %%47, %%3\n"
                     "    set done, %%48\n"
                     "  }\n"
                     "  finish {\n"
                     "    %%60 = const.i32 0\n"
                     "    %%61 = get.f64 x\n"
                     "    store out[%%60], %%61\n"
                     "  }\n"
                     "}\n",
                     value, shape->middle, shape->use, shape->number);
    return read_kernel(f, text.data);
}

static RandomLaunch *
interpreted(Fixture *f, const KirKernel *kernel)
{
    RandomLaunch *l = random_launch(&f->arena, kernel, 1, 5, 7, 13);
    const char *error = NULL;
    assert_int_equal(rxn__kir_interpret(kernel, &l->launch, 1000, &f->arena, &error), RXN_OK);
    return l;
}

static void
expect_the_same(Fixture *f, const KirKernel *before, const KirKernel *after)
{
    const char *error = rxn__kir_check(after, true, &f->arena);
    if (error)
        fail_msg("%s\n%s", error, printed(f, after));
    const char *difference =
        launch_difference(&f->arena, before, interpreted(f, before), interpreted(f, after));
    if (difference)
        fail_msg("%s\n%s", difference, printed(f, after));
}

static const char counting[] = "set n, %45";

static u32
occurrences(const char *text, const char *word)
{
    u32 count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

static void
a_row_is_computed_at_once(void **state)
{
    Fixture *f = *state;
    const Shape shape = {counting, "", "", ""};
    const KirKernel *before = kernel_of(f, &shape), *after = rxn__kir_ahead(before);
    assert_non_null(after);
    expect_the_same(f, before, after);
    const char *text = printed(f, after);
    assert_int_equal(occurrences(text, "mulhi.u32"), 8); /* in the row, and there alone */
    assert_non_null(strstr(text, "local row0 : f64[8]"));
    assert_true(strstr(text, "mulhi.u32") > strstr(text, "= for "));
    assert_null(rxn__kir_ahead(after)); /* nothing is left */
}

static void
what_changes_in_between_makes_a_row_anew(void **state)
{
    Fixture *f = *state;
    const Shape shape = {counting,
                         "    %50 = eq.u32 %10, %5\n" /* in the middle of a row */
                         "    if %50 {\n"
                         "      set high, %1\n"
                         "    }\n",
                         "", ""};
    const KirKernel *before = kernel_of(f, &shape), *after = rxn__kir_ahead(before);
    assert_non_null(after);
    assert_non_null(strstr(printed(f, after), "row_was0"));
    expect_the_same(f, before, after);
}

/* Where a kernel is no such one, it stays. */
static void
others_stay(void **state)
{
    Fixture *f = *state;
    static const Shape shapes[] = {
        /* the number goes up by something else, or twice, or not always */
        {"%51 = add.u32 %10, %5\n    set n, %51", "", "", ""},
        {"set n, %45\n    set n, %45", "", "", ""},
        {"%51 = lt.u32 %10, %5\n    if %51 {\n      set n, %45\n    }", "", "", ""},
        /* what it is mixed with changes with every step */
        {"set n, %45\n    set high, %45", "", "", ""},
        /* a word of it is read as it is */
        {counting, "", "    set steps, %40\n", ""},
    };
    for (size_t i = 0; i < COUNT_OF(shapes); i++)
        assert_null(rxn__kir_ahead(kernel_of(f, &shapes[i])));
}

/* Rows begin where a trajectory does, and go past 2^32 as the number does. */
static void
a_row_begins_anywhere(void **state)
{
    Fixture *f = *state;
    const Shape shape = {counting, "", "", "    %70 = const.u32 4294967285\n    set n, %70\n"};
    const KirKernel *before = kernel_of(f, &shape), *after = rxn__kir_ahead(before);
    assert_non_null(after);
    expect_the_same(f, before, after);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_row_is_computed_at_once),
        TEST(what_changes_in_between_makes_a_row_anew),
        TEST(others_stay),
        TEST(a_row_begins_anywhere),
    };
    return cmocka_run_group_tests_name("kir_ahead", tests, NULL, NULL);
}
