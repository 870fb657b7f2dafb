/* test_format.c: the formatter as a function: the tree stays the same, what it says of wrong text, and running out of
 * memory. How texts are laid out is in tests/run/fmt. */
#include "parse_fixture.h"

#include "compiler/format/format.h"

#include <glob.h>

typedef struct Formatted {
    RxnStatus status;
    const char *text;
} Formatted;

static Formatted
format(Parse *p)
{
    const char *broken = NULL;
    Text text;
    const Formatted done = {
        .status = rxn__format(&p->arena, &p->names, &p->diagnostics, 0, &text, &broken)};
    assert_null(broken);
    return (Formatted){done.status, done.status == RXN_OK ? text.data : NULL};
}

/* The source has no error, and what it becomes prints as the same tree and becomes itself. */
static void
expect_same_tree(const char *source, size_t length, const char *name)
{
    Parse before, after;
    begin_bytes(&before, source, length);
    if (before.diagnostics.error_count == 0) {
        const Formatted once = format(&before);
        if (once.status != RXN_OK)
            fail_msg("%s: %s", name, messages(&before));
        begin(&after, once.text);
        assert_string_equal(messages(&after), "");
        assert_string_equal(outline(&after, after.tree, false),
                            outline(&before, before.tree, false));
        assert_string_equal(format(&after).text, once.text);
        end(&after);
    }
    end(&before);
}

static void
every_model(void **state)
{
    static const char *const patterns[] = {"/stdlib_models/*.rxn", "/examples/*/*.rxn",
                                           "/tests/*/*.rxn", "/tests/*/*/*.rxn"};
    u32 count = 0;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        char pattern[4096];
        glob_t found;
        snprintf(pattern, sizeof pattern, "%s%s", RXN_SOURCE_ROOT, patterns[i]);
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t k = 0; k < found.gl_pathc; k++) {
            static char text[1 << 20];
            FILE *file = fopen(found.gl_pathv[k], "rb");
            assert_non_null(file);
            const size_t length = fread(text, 1, sizeof text - 1, file);
            fclose(file);
            text[length] = '\0';
            expect_same_tree(text, length, found.gl_pathv[k]);
            count++;
        }
        globfree(&found);
    }
    assert_true(count > 100);
}

/* Places where a blank more or less once made another text of it. */
static void
layout_is_deaf_to_blanks(void **state)
{
    static const char *const sources[] = {
        "index fit = 2\nspecies A = 1\nfor i in\n0 .. 1{ A->0@1 }\n",
        "species A = 1\nparam at = 1\nlet b = 1 +\n\fat\n",
        "species A = 1\nparam at = 1, bound = 2\nA -> 0 @ max(1,\n  at\f+ 1)\n",
        "species fit = 1\n2 fit -> 0 @ 1\nfit -> 0 @ 1 bound -2 + fit\n",
        "let a = 1 -.5-1.e2\nlet b = 1--1\nlet c = 2^-.5\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        Parse p;
        begin(&p, sources[i]);
        assert_string_equal(messages(&p), "");
        end(&p);
        expect_same_tree(sources[i], strlen(sources[i]), sources[i]);
    }
    /* A keyword at the start of a line begins a statement with a blank behind it and without. */
    static const char *const wrong[] = {"index fit = 2\nfor i in\nfit{ A -> 0 @ 1 }\n",
                                        "index fit = 2\nfor i in\nfit { A -> 0 @ 1 }\n"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        Parse p;
        begin(&p, wrong[i]);
        assert_true(p.diagnostics.error_count > 0);
        end(&p);
    }
}

static void
wrong_text(void **state)
{
    (void)state;
    Parse p;
    begin(&p, "species A = = 1\n");
    assert_int_equal(format(&p).status, RXN_ERROR_INPUT);
    end(&p);
    begin(&p, "species A = 1\nspecies\xEF\xBB\xBF B = 1\n");
    assert_string_equal(messages(&p), "");
    assert_int_equal(format(&p).status, RXN_ERROR_INPUT);
    assert_non_null(strstr(messages(&p), "m.rxn:2:8: error: a byte order mark (U+FEFF)"));
    end(&p);
}

/* Two trees are equal as long as they print the same. */
static void
equal_trees(void **state)
{
    static const char *const sources[] = {"let a = 1\n",
                                          "let b = 1\n",
                                          "let a = 2\n",
                                          "let a = -1\n",
                                          "let a = 1 + 2\n",
                                          "let a = 1 - 2\n",
                                          "let a = b[1]\n",
                                          "let a = b[1, 2]\n",
                                          "param a = 1\n",
                                          "param a = 1 fit\n",
                                          "param a in 1 .. 2\n",
                                          "use \"a\" as b\n",
                                          "use \"b\" as b\n",
                                          "A -> B @ 1\n",
                                          "A => B @ 1\n",
                                          "A -> 2 B @ 1\n",
                                          "l: A -> B @ 1\n",
                                          "let a = true\n",
                                          "let a = false\n",
                                          "every 1: A = 1\n",
                                          "every 1 from 2: A = 1\n",
                                          "every 1 until 2: A = 1\n"};
    Parse p;
    (void)state;
    begin(&p, "");
    AstNode *trees[COUNT_OF(sources)];
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        const u32 file = rxn__sources_add(&p.sources, "m.rxn", sources[i], strlen(sources[i]));
        trees[i] = rxn__parse(&p.arena, &p.names, &p.diagnostics, file);
    }
    assert_string_equal(messages(&p), "");
    for (size_t i = 0; i < COUNT_OF(sources); i++)
        for (size_t k = 0; k < COUNT_OF(sources); k++) {
            const bool same =
                strcmp(outline(&p, trees[i], false), outline(&p, trees[k], false)) == 0;
            assert_int_equal(same, i == k);
            assert_int_equal(rxn__ast_equal(trees[i], trees[k]), same);
        }
    assert_true(rxn__ast_equal(NULL, NULL));
    assert_false(rxn__ast_equal(trees[0], NULL));
    end(&p);
}

/* Whichever allocation fails, nothing is left. */
static void
no_memory(void **state)
{
    static char source[20000];
    (void)state;
    for (size_t length = 0; length + 40 < sizeof source;)
        length += (size_t)sprintf(source + length, "A%zu->0@1+2*3 # c\n", length);
    bool done = false;
    for (u64 fail_at = 1; !done; fail_at++) {
        Parse p;
        memset(&p, 0, sizeof p);
        p.memory.on_failure = &p.failed;
        p.memory.fail_at = fail_at;
        rxn__arena_init(&p.arena, &p.memory);
        if (setjmp(p.failed) == 0) {
            parse_bytes(&p, source, strlen(source));
            const char *broken = NULL;
            Text text;
            assert_int_equal(rxn__format(&p.arena, &p.names, &p.diagnostics, 0, &text, &broken),
                             RXN_OK);
            done = true;
        }
        end(&p);
        assert_true(fail_at < 10000);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model), cmocka_unit_test(layout_is_deaf_to_blanks),
        cmocka_unit_test(wrong_text),  cmocka_unit_test(equal_trees),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
