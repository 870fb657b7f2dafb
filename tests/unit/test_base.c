/* test_base.c: arenas and their limits, names, places in sources, text of numbers, diagnostics, and
 * the tokens of the IR texts. */
#include "compiler/base/base.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Fixture {
    Memory memory;
    jmp_buf failed;
    Arena arena;
} Fixture;

static Fixture *
begin(Fixture *f)
{
    memset(f, 0, sizeof *f);
    f->memory.on_failure = &f->failed;
    rxn__arena_init(&f->arena, &f->memory);
    return f;
}

static void
end(Fixture *f)
{
    rxn__arena_release(&f->arena);
    assert_int_equal(f->memory.used, 0);
}

/* ---- Arenas ----------------------------------------------------------------------------------- */

static void
arena_gives_zeroed_aligned_storage(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    for (size_t size = 0; size < 5000; size += 7) {
        u8 *bytes = rxn__arena_alloc(&f.arena, size);
        assert_int_equal((uintptr_t)bytes % (size >= 64 ? 64 : 16), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(bytes[i], 0);
        memset(bytes, 0xAA, size); /* the next one must not see this */
    }
    u8 *large = rxn__arena_alloc(&f.arena, 10 << 20);
    large[(10 << 20) - 1] = 1;
    assert_true(f.memory.used > 10 << 20);
    end(&f);
}

static void
arena_grows_the_newest_object_in_place(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    u8 *a = rxn__arena_alloc(&f.arena, 128);
    memset(a, 1, 128);
    u8 *grown = rxn__arena_grow(&f.arena, a, 128, 256);
    assert_ptr_equal(grown, a);
    rxn__arena_alloc(&f.arena, 16);
    u8 *moved = rxn__arena_grow(&f.arena, grown, 256, 512);
    assert_ptr_not_equal(moved, grown);
    assert_int_equal(moved[127], 1);
    for (u32 i = 128; i < 512; i++)
        assert_int_equal(moved[i], 0);
    end(&f);
}

static void
arena_jumps_at_the_limit(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    f.memory.limit = 64 << 10;
    volatile u32 got = 0;
    if (setjmp(f.failed) == 0) {
        for (;;) {
            rxn__arena_alloc(&f.arena, 1000);
            got++;
        }
    }
    assert_true(got >= 20 && got <= 64);
    assert_true(f.memory.used <= f.memory.limit);
    end(&f);
}

static void
arena_jumps_at_sizes_that_overflow(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    volatile u32 jumps = 0;
    if (setjmp(f.failed) == 0)
        rxn__arena_alloc_array(&f.arena, SIZE_MAX / 2, 3);
    else
        jumps++;
    if (setjmp(f.failed) == 0)
        rxn__arena_alloc(&f.arena, SIZE_MAX - 8);
    else
        jumps++;
    u32 capacity = UINT32_MAX / 2 + 1;
    if (setjmp(f.failed) == 0)
        rxn__vec_grow(&f.arena, NULL, &capacity, 8);
    else
        jumps++;
    assert_int_equal(jumps, 3);
    end(&f);
}

static void
note_release(void *object)
{
    char **cursor = object;
    *(*cursor)++ = 'x';
}

static char *release_order;

static void
release_a(void *object)
{
    (void)object;
    *release_order++ = 'a';
}

static void
release_b(void *object)
{
    (void)object;
    *release_order++ = 'b';
}

static void
arena_runs_cleanups_in_reverse(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    char order[4] = {0}, *cursor = order + 2;
    release_order = order;
    rxn__arena_on_release(&f.arena, note_release, &cursor);
    rxn__arena_on_release(&f.arena, release_a, NULL);
    rxn__arena_on_release(&f.arena, release_b, NULL);
    rxn__arena_release(&f.arena);
    assert_string_equal(order, "bax");
    assert_non_null(rxn__arena_alloc(&f.arena, 10)); /* it can be used again */
    end(&f);
}

static void
vec_keeps_its_items(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    VEC(u32) v = {0};
    for (u32 i = 0; i < 10000; i++) {
        vec_push(&f.arena, &v, i * 3);
        if (i % 100 == 0)
            rxn__arena_alloc(&f.arena, 8); /* so that it cannot always grow in place */
    }
    assert_int_equal(v.count, 10000);
    for (u32 i = 0; i < v.count; i++)
        assert_int_equal(v.items[i], i * 3);
    end(&f);
}

/* ---- Names ------------------------------------------------------------------------------------ */

static void
names_are_interned(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    NameTable names;
    rxn__names_init(&names, &f.arena);
    Name first[2000];
    char text[32];
    for (u32 i = 0; i < COUNT_OF(first); i++) {
        snprintf(text, sizeof text, "name%u", i);
        first[i] = rxn__name_z(&names, text);
        assert_string_equal(first[i]->text, text);
    }
    for (u32 i = 0; i < COUNT_OF(first); i++) {
        snprintf(text, sizeof text, "name%u and more", i);
        assert_ptr_equal(rxn__name(&names, text, strlen(text) - 9), first[i]);
    }
    assert_int_equal(names.count, COUNT_OF(first));
    assert_int_equal(rxn__name(&names, NULL, 0)->length, 0);
    end(&f);
}

/* The textbook table, all of it, to compare with. */
static u32
slow_distance(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    u32 d[12][12];
    assert_true(n < 12 && m < 12);
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (u32)(i + j);
                continue;
            }
            u32 best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

static void
distance_is_that_of_the_whole_table(void **state)
{
    (void)state;
    u32 random = 12345;
    for (u32 trial = 0; trial < 5000; trial++) {
        char words[2][12] = {{0}};
        for (u32 w = 0; w < 2; w++) {
            random = random * 1664525u + 1013904223u;
            const u32 length = (random >> 24) % 10;
            for (u32 i = 0; i < length; i++) {
                random = random * 1664525u + 1013904223u;
                words[w][i] = (char)('a' + (random >> 28) % 3);
            }
        }
        const u32 exact = slow_distance(words[0], words[1]);
        for (u32 limit = 0; limit < 6; limit++)
            assert_int_equal(
                rxn__name_distance(words[0], strlen(words[0]), words[1], strlen(words[1]), limit),
                exact <= limit ? exact : limit + 1);
    }
    assert_int_equal(rxn__name_distance("specis", 6, "species", 7, 2), 1);
    assert_int_equal(rxn__name_distance("praam", 5, "param", 5, 2), 1);
}

static void
distance_of_long_names_takes_no_time(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20 };
    char *a = malloc(LENGTH), *b = malloc(LENGTH);
    memset(a, 'x', LENGTH);
    memset(b, 'x', LENGTH);
    b[5] = b[LENGTH - 5] = 'y';
    assert_int_equal(rxn__name_distance(a, LENGTH, b, LENGTH, 3), 2);
    assert_int_equal(rxn__name_distance(a, LENGTH, b, LENGTH, 1), 2);
    assert_int_equal(rxn__name_distance(a, LENGTH, b, 10, 3), 4);
    free(a);
    free(b);
}

/* ---- Sources ---------------------------------------------------------------------------------- */

static void
places_count_lines_and_characters(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    SourceMap map;
    rxn__sources_init(&map, &f.arena);
    static const char first[] = "a\tb\r\n\xCE\xB1\xCE\xB2 x\n\nlast";
    const u32 one = rxn__sources_add(&map, "one.rxn", first, sizeof first - 1);
    const u32 two = rxn__sources_add(&map, "two.rxn", "", 0);
    const u32 three = rxn__sources_add(&map, "three.rxn", "q\n", 2);
    const struct {
        u32 file, offset, line, column, line_length;
    } cases[] = {
        {one, 0, 1, 1, 3},   {one, 2, 1, 3, 3},  {one, 3, 1, 4, 3},   {one, 5, 2, 1, 6},
        {one, 7, 2, 2, 6},   {one, 10, 2, 4, 6}, {one, 12, 3, 1, 0},  {one, 13, 4, 1, 4},
        {one, 17, 4, 5, 4},  {two, 0, 1, 1, 0},  {three, 0, 1, 1, 1}, {three, 1, 1, 2, 1},
        {three, 2, 2, 1, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const SourceFile *file = &map.files.items[cases[i].file];
        const SourcePlace place = rxn__sources_locate(&map, file->base + cases[i].offset);
        assert_ptr_equal(place.file, file);
        assert_int_equal(place.line, cases[i].line);
        assert_int_equal(place.column, cases[i].column);
        assert_int_equal(place.line_length, cases[i].line_length);
    }
    assert_null(rxn__sources_locate(&map, 0).file);
    assert_null(rxn__sources_locate(&map, map.next_base).file);
    end(&f);
}

static void
places_of_large_files_agree_with_a_count(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    SourceMap map;
    rxn__sources_init(&map, &f.arena);
    enum { LENGTH = 20000 };
    char text[LENGTH];
    for (u32 i = 0; i < LENGTH; i++)
        text[i] = i % 37 == 36 || (i > 9000 && i < 9100) ? '\n' : i % 5 == 3 ? '\xBF' : 'a';
    rxn__sources_add(&map, "large.rxn", text, LENGTH);
    u32 line = 1, column = 1;
    for (u32 i = 0; i < LENGTH; i++) {
        const SourcePlace place = rxn__sources_locate(&map, 1 + i);
        assert_int_equal(place.line, line);
        assert_int_equal(place.column, column);
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (text[i] != '\xBF') {
            column++;
        }
    }
    end(&f);
}

/* ---- Text ------------------------------------------------------------------------------------- */

static const char *
decimal(Fixture *f, double value)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__text_f64(&text, value);
    return text.data;
}

static void
numbers_print_short_and_read_back(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {0.1, "0.1"},
        {1e-5, "1e-05"},
        {100, "100"},
        {1e22, "1e+22"},
        {1.0 / 3, "0.3333333333333333"},
        {5e-324, "5e-324"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
        {9007199254740993.0, "9007199254740992"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(decimal(&f, cases[i].value), cases[i].text);
    assert_string_equal(decimal(&f, NAN), "nan");
    assert_string_equal(decimal(&f, -NAN), "nan");
    u64 bits = 88172645463325252u;
    for (u32 i = 0; i < 5000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        assert_true(strtod(decimal(&f, value), NULL) == value);
        Text hex;
        rxn__text_init(&hex, &f.arena);
        rxn__text_f64_hex(&hex, value);
        assert_true(strtod(hex.data, NULL) == value);
    }
    end(&f);
}

static void
text_grows(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    Text text;
    rxn__text_init(&text, &f.arena);
    for (u32 i = 0; i < 1000; i++)
        rxn__text_printf(&text, "%u,", i);
    rxn__text_printf(&text, "%*s", 5000, "x");
    assert_int_equal(text.length, 10 * 2 + 90 * 3 + 900 * 4 + 5000);
    assert_int_equal(strlen(text.data), text.length);
    assert_memory_equal(text.data, "0,1,2,3,", 8);
    end(&f);
}

/* ---- Diagnostics ------------------------------------------------------------------------------ */

typedef struct Reports {
    Fixture memory;
    SourceMap sources;
    Diagnostics list;
} Reports;

static Reports *
begin_reports(Reports *r, const char *source)
{
    begin(&r->memory);
    rxn__sources_init(&r->sources, &r->memory.arena);
    rxn__sources_add(&r->sources, "m.rxn", source, strlen(source));
    rxn__diagnostics_init(&r->list, &r->memory.arena, &r->sources);
    return r;
}

static void
expect_rendered(Reports *r, const char *expected)
{
    Text out;
    rxn__text_init(&out, &r->memory.arena);
    rxn__diagnostics_render(&r->list, &out);
    assert_string_equal(out.data, expected);
    end(&r->memory);
}

static void
diagnostics_show_place_line_and_carets(void **state)
{
    (void)state;
    Reports r;
    begin_reports(&r, "\xCE\xB1 = kof\n\tx = y z\n");
    rxn__error(&r.list, (Span){10, 11}, "there is no '%s'", "x");
    rxn__note(&r.list, (Span){6, 9}, "first used here");
    rxn__error(&r.list, (Span){6, 9}, "there is no 'kof'");
    rxn__note(&r.list, (Span){0}, "did you mean 'koff'?");
    rxn__warning(&r.list, (Span){14, 18}, "odd");
    rxn__error(&r.list, (Span){0}, "the model is empty");
    expect_rendered(&r, "error: the model is empty\n"
                        "m.rxn:1:5: error: there is no 'kof'\n"
                        "\xCE\xB1 = kof\n"
                        "    ^~~\n"
                        "note: did you mean 'koff'?\n"
                        "m.rxn:2:1: error: there is no 'x'\n"
                        "\tx = y z\n"
                        "^\n"
                        "m.rxn:1:5: note: first used here\n"
                        "\xCE\xB1 = kof\n"
                        "    ^~~\n"
                        "m.rxn:2:5: warning: odd\n"
                        "\tx = y z\n"
                        "\t   ^~~~\n");
}

static void
diagnostics_hide_what_a_terminal_would_obey(void **state)
{
    (void)state;
    Reports r;
    begin_reports(&r, "a\x1b[2J\xff\xC2\x9B\x7f b\n");
    rxn__error(&r.list, (Span){11, 12}, "wrong");
    expect_rendered(&r, "m.rxn:1:10: error: wrong\na?[2J??? b\n         ^\n");
}

static void
diagnostics_underline_the_first_line_of_several(void **state)
{
    (void)state;
    Reports r;
    begin_reports(&r, "f(a,\n  b)\n");
    rxn__error(&r.list, (Span){2, 9}, "wrong");
    rxn__error(&r.list, (Span){5, 5}, "at the end of the line");
    expect_rendered(&r, "m.rxn:1:2: error: wrong\nf(a,\n ^~~\n"
                        "m.rxn:1:5: error: at the end of the line\nf(a,\n    ^\n");
}

static void
diagnostics_cut_long_lines(void **state)
{
    (void)state;
    char source[1001] = {0};
    memset(source, 'a', 1000);
    memcpy(source + 500, "HERE", 4);
    Reports r;
    begin_reports(&r, source);
    rxn__error(&r.list, (Span){501, 505}, "wrong");
    rxn__error(&r.list, (Span){1, 2}, "start");
    rxn__error(&r.list, (Span){1000, 1001}, "end");
    Text out;
    rxn__text_init(&out, &r.memory.arena);
    rxn__diagnostics_render(&r.list, &out);
    for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n")) {
        assert_true(strlen(line) <= 166);
        char *here = strstr(line, "HERE");
        if (here) {
            char *carets = strtok(NULL, "\n");
            assert_int_equal(here - line, strchr(carets, '^') - carets);
            assert_string_equal(strchr(carets, '^'), "^~~~");
        }
    }
    end(&r.memory);
}

static void
diagnostics_report_once_and_stop_at_twenty(void **state)
{
    (void)state;
    Reports r;
    begin_reports(&r, "abc\n");
    for (u32 i = 0; i < 3; i++) {
        rxn__error(&r.list, (Span){1, 2}, "same");
        rxn__note(&r.list, (Span){0}, "its note");
    }
    assert_int_equal(r.list.error_count, 1);
    assert_int_equal(r.list.list.count, 2);
    for (u32 i = 0; i < 25; i++) {
        rxn__error(&r.list, (Span){2, 3}, "number %u", i);
        rxn__note(&r.list, (Span){0}, "note %u", i);
    }
    assert_int_equal(r.list.error_count, 26);
    assert_int_equal(r.list.dropped, 6);
    assert_int_equal(r.list.list.count, 2 * RXN_MAX_ERRORS);
    Text out;
    rxn__text_init(&out, &r.memory.arena);
    rxn__diagnostics_render(&r.list, &out);
    assert_non_null(strstr(out.data, "note 18\ntoo many errors: 6 more not shown\n"));
    end(&r.memory);
}

static void
shown_names_are_short_and_printable(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    assert_string_equal(rxn__shown(&f.arena, "k\n\x01\xff\xCE\xB1", 6), "k\\x0A\\x01\\xFF\xCE\xB1");
    char name[200];
    memset(name, 'n', sizeof name);
    const char *text = rxn__shown(&f.arena, name, sizeof name);
    assert_int_equal(strlen(text), 63);
    assert_string_equal(text + 60, "...");
    assert_int_equal(strlen(rxn__shown(&f.arena, name, 60)), 60);
    end(&f);
}

static void
utf8_takes_only_what_is_well_formed(void **state)
{
    (void)state;
    assert_int_equal(rxn__utf8_length("a", 1), 1);
    assert_int_equal(rxn__utf8_length("\xCE\xB1", 2), 2);
    assert_int_equal(rxn__utf8_length("\xE2\x88\x85", 3), 3);
    assert_int_equal(rxn__utf8_length("\xF0\x9F\x98\x80", 4), 4);
    static const char *const wrong[] = {"\x80",         "\xC0\x80",     "\xCE",
                                        "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                                        "\xFF",         "\xE2\x88",     "\xF5\x80\x80\x80"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(rxn__utf8_length(wrong[i], strlen(wrong[i])), 0);
    assert_int_equal(rxn__utf8_length("", 0), 0);
}

/* ---- Reader of IR texts ----------------------------------------------------------------------- */

static void
ir_reader_reads_every_kind_of_token(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    static const char text[] = "word.x %12 -7 0x1.8p+1 -0x0p+0 inf -inf nan # comment {\n"
                               "\"a\\\"b\\\\\\n\\x41\" { 18446744073709551615 1.5e3 }";
    IrReader r;
    rxn__ir_reader_init(&r, &f.arena, text, sizeof text - 1);
    assert_true(rxn__ir_take_word(&r, "word.x"));
    assert_int_equal(r.kind, IR_VALUE);
    assert_int_equal(r.integer, 12);
    rxn__ir_next(&r);
    assert_int_equal(r.kind, IR_INTEGER);
    assert_int_equal(r.integer, -7);
    assert_true(r.number == -7);
    rxn__ir_next(&r);
    assert_int_equal(r.kind, IR_NUMBER);
    assert_true(r.number == 3);
    rxn__ir_next(&r);
    assert_int_equal(r.kind, IR_NUMBER);
    assert_true(r.number == 0 && signbit(r.number));
    rxn__ir_next(&r);
    assert_true(r.kind == IR_NUMBER && r.number == INFINITY);
    rxn__ir_next(&r);
    assert_true(r.kind == IR_NUMBER && r.number == -INFINITY);
    rxn__ir_next(&r);
    assert_true(r.kind == IR_NUMBER && isnan(r.number));
    assert_int_equal(r.line, 1);
    rxn__ir_next(&r);
    assert_int_equal(r.kind, IR_STRING);
    assert_int_equal(r.line, 2);
    assert_string_equal(r.text, "a\"b\\\nA");
    assert_int_equal(r.length, 6);
    rxn__ir_next(&r);
    assert_true(rxn__ir_expect(&r, '{'));
    assert_int_equal(r.kind, IR_INTEGER);
    assert_int_equal((u64)r.integer, UINT64_MAX);
    rxn__ir_next(&r);
    assert_true(r.kind == IR_NUMBER && r.number == 1500);
    rxn__ir_next(&r);
    assert_false(rxn__ir_take(&r, '{'));
    assert_true(rxn__ir_take(&r, '}'));
    assert_int_equal(r.kind, IR_END);
    assert_null(r.error);
    end(&f);
}

static void
ir_reader_keeps_the_first_error(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"\n\"open", "line 2: a string has no end"},
        {"\"a\\q\"", "line 1: an unknown escape in a string"},
        {"\"a\\x4\"", "line 1: an unknown escape in a string"},
        {"12abc", "line 1: '12abc' is not a number"},
        {"1e999", "line 1: '1e999' is not a number"},
        {"99999999999999999999", "line 1: the integer 99999999999999999999 does not fit 64 bits"},
        {"-9223372036854775809", "line 1: the integer -9223372036854775809 does not fit 64 bits"},
        {"%99999999999", "line 1: a value's number is too large"},
        {"\x01", "line 1: a stray byte \\x01"},
        {"\xCE", "line 1: a stray byte \\xCE"},
    };
    Fixture f;
    begin(&f);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        IrReader r;
        rxn__ir_reader_init(&r, &f.arena, cases[i].text, strlen(cases[i].text));
        assert_non_null(r.error);
        assert_string_equal(r.error, cases[i].error);
        assert_int_equal(r.kind, IR_END);
        assert_false(rxn__ir_fail(&r, "another"));
        assert_false(rxn__ir_expect_word(&r, "word"));
        rxn__ir_next(&r);
        assert_string_equal(r.error, cases[i].error);
    }
    IrReader r;
    rxn__ir_reader_init(&r, &f.arena, "one two", 7);
    assert_false(rxn__ir_expect_word(&r, "two"));
    assert_string_equal(r.error, "line 1: expected 'two', found 'one'");
    char digits[1000];
    memset(digits, '1', sizeof digits);
    rxn__ir_reader_init(&r, &f.arena, digits, sizeof digits);
    assert_string_equal(r.error, "line 1: a number is too long");
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_gives_zeroed_aligned_storage),
        cmocka_unit_test(arena_grows_the_newest_object_in_place),
        cmocka_unit_test(arena_jumps_at_the_limit),
        cmocka_unit_test(arena_jumps_at_sizes_that_overflow),
        cmocka_unit_test(arena_runs_cleanups_in_reverse),
        cmocka_unit_test(vec_keeps_its_items),
        cmocka_unit_test(names_are_interned),
        cmocka_unit_test(distance_is_that_of_the_whole_table),
        cmocka_unit_test(distance_of_long_names_takes_no_time),
        cmocka_unit_test(places_count_lines_and_characters),
        cmocka_unit_test(places_of_large_files_agree_with_a_count),
        cmocka_unit_test(numbers_print_short_and_read_back),
        cmocka_unit_test(text_grows),
        cmocka_unit_test(diagnostics_show_place_line_and_carets),
        cmocka_unit_test(diagnostics_hide_what_a_terminal_would_obey),
        cmocka_unit_test(diagnostics_underline_the_first_line_of_several),
        cmocka_unit_test(diagnostics_cut_long_lines),
        cmocka_unit_test(diagnostics_report_once_and_stop_at_twenty),
        cmocka_unit_test(shown_names_are_short_and_printable),
        cmocka_unit_test(utf8_takes_only_what_is_well_formed),
        cmocka_unit_test(ir_reader_reads_every_kind_of_token),
        cmocka_unit_test(ir_reader_keeps_the_first_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
