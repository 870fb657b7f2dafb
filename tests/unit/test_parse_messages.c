/* test_parse_messages.c: what the parser says about text that is wrong: every message, its place, its
 * span and its note. */
#include "parse_fixture.h"

static void
expect_messages(const char *source, const char *expected)
{
    Parse p;
    begin(&p, source);
    assert_string_equal(messages(&p), expected);
    end(&p);
}

/* ---- Messages --------------------------------------------------------------------------------- */

typedef struct MessageCase {
    const char *source, *expected; /* without "m.rxn:" and the source lines: see below */
} MessageCase;

/* The whole text of a report is checked where places and carets are at stake; here it is the words, the
 * column and the width of the span: "column+width message [note: …]". */
static void
expect_report(const MessageCase *c)
{
    Parse p;
    begin(&p, c->source);
    Text out;
    rxn__text_init(&out, &p.arena);
    for (u32 i = 0; i < p.diagnostics.list.count; i++) {
        const Diagnostic *d = &p.diagnostics.list.items[i];
        const SourcePlace place = rxn__sources_locate(&p.sources, d->span.begin);
        if (d->kind == DIAGNOSTIC_NOTE && !place.file)
            rxn__text_printf(&out, "note: %s\n", d->message);
        else
            rxn__text_printf(&out, "%u:%u+%u %s%s\n", place.line, place.column,
                             d->span.end - d->span.begin,
                             d->kind == DIAGNOSTIC_NOTE ? "note: " : "", d->message);
    }
    if (strcmp(out.data, c->expected) != 0)
        fail_msg("for:\n%s\nexpected:\n%sfound:\n%s", c->source, c->expected, out.data);
    end(&p);
}

static void
messages_of_the_scanner(void **state)
{
    (void)state;
    static const MessageCase cases[] = {
        {"A → B @ k", "1:3+3 a stray '→' (U+2192)\nnote: write '->'\n"},
        {"A -> B @ k $ 2", "1:12+1 a stray '$' (U+0024)\n"},
        {"A -> B @ a × b", "1:12+2 a stray '×' (U+00D7)\nnote: write '*'\n"},
        {"species\xC2\xA0"
         "A",
         "1:8+2 a stray character U+00A0\nnote: this is a no-break space; write a plain one\n"},
        {"let x = \x01", "1:9+1 a stray character U+0001\n"},
        {"let x = \xFF\xFE", "1:9+1 this is not UTF-8 text (byte \\xFF)\n"},
        {"let x = \xCE", "1:9+1 this is not UTF-8 text (byte \\xCE)\n"},
        {"use \"a.rxn\nlet y = 1",
         "1:5+6 this string has no end\nnote: a string ends with '\"' on the same line\n"},
        {"let x = a && b", "1:11+2 '&&' is not an operator\nnote: write 'and'\n"},
        {"let x = a || b", "1:11+2 '||' is not an operator\nnote: write 'or'\n"},
        {"let x = !b",
         "1:9+1 '!' is not an operator\nnote: write 'not', or '!=' for \"differs from\"\n"},
        {"let x = a**b", "1:10+2 '**' is not an operator\nnote: a power is written 'x^n'\n"},
        {"// text", "1:1+2 '//' is not an operator\nnote: a comment begins with '#'\n"},
        {"at 3: A += 1", "1:9+2 '+=' is not an operator\nnote: write 'A = A + ...'\n"},
        {"let x = 1e999", "1:9+5 the number 1e999 is too large\nnote: numbers go from about 5e-324 "
                          "to about 1.8e308\n"},
        {"let x = 0.1e-999", "1:9+8 the number 0.1e-999 is too small\nnote: numbers go from about "
                             "5e-324 to about 1.8e308\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_report(&cases[i]);
    Parse p;
    begin_bytes(&p, "let x\0 = 3", 10);
    assert_string_equal(messages(&p),
                        "m.rxn:1:6: error: a NUL byte in the text\nlet x? = 3\n     ^\n");
    end(&p);
    begin_bytes(&p, "use \"a\0b\" as c", 14);
    assert_int_equal(p.diagnostics.error_count, 1);
    assert_string_equal(p.diagnostics.list.items[0].message, "this string holds a NUL byte");
    end(&p);
}

static void
messages_of_the_layout(void **state)
{
    (void)state;
    static const MessageCase cases[] = {
        {"A -> B @ f(1\nB -> C @ k", "1:11+1 '(' is never closed\n"},
        {"let x = (1\nparam y = 2", "1:9+1 '(' is never closed\n"},
        {"species A[3\n", "1:10+1 '[' is never closed\n"},
        {"for g in s {\nA -> B @ k\n", "1:12+1 '{' is never closed\n"},
        {"for g in s { A -> B @ (k }", "1:23+1 '(' is never closed\n"},
        {"let x = (1; let y = 2", "1:9+1 '(' is never closed\n"},
        {"A -> B @ k)", "1:11+1 ')' without a '(' before it\n"},
        {"A -> B @ k]", "1:11+1 ']' without a '[' before it\n"},
        {"A -> B @ k }", "1:12+1 '}' without a '{' before it\n"},
        {"let x = f(a]", "1:12+1 ']' does not match the '(' before it\n1:10+1 note: opened here\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_report(&cases[i]);
}

#define A_STATEMENT                                                                                \
    "note: a statement begins with a keyword (species, param, ...) or is a reaction 'A -> B @ "    \
    "rate'\n"

static void
messages_of_the_grammar(void **state)
{
    (void)state;
    static const MessageCase cases[] = {
        {"specis A = 1", "1:1+6 unknown statement 'specis'\nnote: did you mean 'species'?\n"},
        {"pram k", "1:1+4 unknown statement 'pram'\nnote: did you mean 'param'?\n"},
        {"observes A", "1:1+8 unknown statement 'observes'\nnote: did you mean 'observe'?\n"},
        {"simulte until 3", "1:1+7 unknown statement 'simulte'\nnote: did you mean 'simulate'?\n"},
        {"print(x)", "1:1+5 unknown statement 'print'\n" A_STATEMENT},
        {"xyzzy", "1:1+5 unknown statement 'xyzzy'\n" A_STATEMENT},
        {"bind A -> B @ k", "1:1+4 unknown statement 'bind'\nnote: a label is followed by ':', and "
                            "'+' joins species\n"},
        {"k = 3", "1:1+3 a statement cannot begin with 'k ='\nnote: to declare it, write 'param k "
                  "= ...', 'let k = ...' or 'const k = ...'\n"},
        {"-> B", "1:1+2 expected a statement, found '->'\n"},
        {"if a then b", "1:1+2 expected a statement, found 'if'\n"},
        {"A -> B", "1:7+0 expected '@' and a rate after 'B', found the end of the line\n"},
        {"A -> B @", "1:9+0 expected a rate after '@', found the end of the line\n"},
        {"A -> B @\nB -> C @ k", "1:9+0 expected a rate after '@', found the end of the line\n"},
        {"A -> B k", "1:8+1 expected '@' and a rate after 'B', found 'k'\n"},
        {"A -> @ k", "1:6+1 expected a species (or 0 for none) after '->', found '@'\n"},
        {"A + -> B @ k", "1:5+2 expected a species after '+', found '->'\n"},
        {"2 A + 3 -> B @ k", "1:9+2 expected a species after 3, found '->'\n"},
        {"A @ k", "1:3+1 expected '->', '<->' or '=>' after 'A', found '@'\n"},
        {"A -> B @ k l", "1:12+1 expected ',' or the end of the statement after 'k', found 'l'\n"},
        {"A -> B @ k bound",
         "1:17+0 expected an upper bound of the rate after 'bound', found the end of the line\n"},
        {"A <-> B @ k", "1:11+1 '<->' needs two rates\nnote: write '@ forward, reverse'\n"},
        {"A -> B @ k, l", "1:13+1 '->' takes one rate\nnote: a reaction with two rates is written "
                          "'A <-> B @ forward, reverse'\n"},
        {"1.5 A -> B @ k", "1:1+3 the coefficient 1.5 is not a whole number of 1 or more\n"},
        {"0 A -> B @ k", "1:1+1 the coefficient 0 is not a whole number of 1 or more\n"},
        {"9999999999 A -> B @ k",
         "1:1+10 the coefficient 9999999999 is too large (more than 1e9)\n"},
        {"A -> 3 @ k", "1:6+1 expected a species after the coefficient 3\nnote: a side without "
                       "species is written 0\n"},
        {"model", "1:6+0 expected a name after 'model', found the end of the line\n"},
        {"species in = 3", "1:9+2 'in' is a word of the language and cannot be a name\n"},
        {"species A 3", "1:11+1 expected ',' or the end of the statement after 'A', found 3\n"},
        {"species a.b", "1:9+3 the name 'a.b' cannot be declared: it has a '.'\nnote: "
                        "'module.member' is how to write a member of a used model\n"},
        {"param k =", "1:10+0 expected a value after '=', found the end of the line\n"},
        {"param k = 1 in 2", "1:17+0 expected '..' and the upper end of the range after 2, found "
                             "the end of the line\n"},
        {"param k in 1 ..",
         "1:16+0 expected the upper end of the range after '..', found the end of the line\n"},
        {"param k = 1 = 2", "1:15+1 a second value\n"},
        {"param k in 1 .. 2 in 3 .. 4", "1:22+1 a second range\n"},
        {"param k ~ 3",
         "1:11+1 expected a distribution after '~': normal(mean, sd) or uniform(low, high)\n"},
        {"const N", "1:8+0 expected '=' after 'N', found the end of the line\n"},
        {"fn f x = 1", "1:6+1 expected '(' after 'f', found 'x'\n"},
        {"fn f(x y) = 1", "1:8+1 expected ',' or ')' after 'x', found 'y'\n"},
        {"fn f(1) = 1", "1:6+1 expected a name or ')' after '(', found 1\n"},
        {"fn f(x) 1", "1:9+1 expected '=' after ')', found 1\n"},
        {"use telegraph",
         "1:5+9 expected the path of a model in double quotes after 'use', found 'telegraph'\n"},
        {"use \"t.rxn\"", "1:12+0 expected 'as' and a name for the module after a string, found "
                          "the end of the line\n"},
        {"let s = \"text\"", "1:9+6 expected a value after '=', found a string\nnote: strings "
                             "stand only after 'use' and in 'fit { }'\n"},
        {"for g gene { }", "1:7+4 expected 'in' after 'g', found 'gene'\n"},
        {"for g in { A -> B @ k }", "1:10+1 expected a range after 'in', found '{'\n"},
        {"for g in gene A -> B @ k", "1:15+1 expected '..' or '{' after 'gene', found 'A'\n"},
        {"for g in 3 { }", "1:10+1 expected an index set or a range after 'in'\nnote: a range is "
                           "written 'low .. high', both included\n"},
        {"at 25 P = 3", "1:7+1 expected ':' after 25, found 'P'\n"},
        {"at: 3", "1:6+0 expected a species after 3, found the end of the line\n"},
        {"every 3 from 1 from 2: A = 1", "1:21+1 a second 'from'\n"},
        {"when: A = 1", "1:9+1 expected '->', '<->' or '=>' after 'A', found '='\n"},
        {"when A > 3: A", "1:14+0 expected '=' after 'A', found the end of the line\n"},
        {"when A > 3:", "1:12+0 expected a name after ':', found the end of the line\n"},
        {"observe 2*A",
         "1:9+3 an expression that is observed needs a name\nnote: write 'observe name = ...'\n"},
        {"observe", "1:8+0 expected what to observe after 'observe', found the end of the line\n"},
        {"simulate",
         "1:9+0 expected 'until', 'every' or 'at' after 'simulate', found the end of the line\n"},
        {"simulate until 3 until 4", "1:24+1 a second 'until'\n"},
        {"simulate until", "1:15+0 expected a time after 'until', found the end of the line\n"},
        {"let x = a < b < c",
         "1:15+1 comparisons cannot be chained\nnote: write 'a < b and b < c'\n"},
        {"let x = if a b", "1:14+1 expected 'then' after 'a', found 'b'\n"},
        {"let x = if a then b", "1:20+0 expected 'else' (an 'if' has a value in both cases) after "
                                "'b', found the end of the line\n"},
        {"let x = 1 +", "1:12+0 expected a value after '+', found the end of the line\n"},
        {"let x = f(1 2)", "1:13+1 expected ',' or ')' after 1, found 2\n"},
        {"let x = W[]", "1:11+1 expected an index after '[', found ']'\n"},
        {"let x = (1 2)", "1:12+1 expected ')' after 1, found 2\n"},
        {"let x = sum(p pixel: 1)", "1:15+5 expected 'in' after 'p', found 'pixel'\n"},
        {"let x = sum(p in s, 1)", "1:19+1 expected '..' or ':' after 's', found ','\n"},
        {"let x = sum(p in s:)", "1:20+1 expected an expression after ':', found ')'\n"},
        {"fit { data 3 4 }", "1:14+1 expected ',' or the end of the statement after 3, found 4\n"},
        {"fit { data x = }", "1:15+0 expected a value after '=', found the end of the line\n"},
        {"fit { prior k ~ }",
         "1:16+0 expected a distribution after '~', found the end of the line\n"},
        {"fit { steps 2 .. }",
         "1:17+0 expected the upper end of the range after '..', found the end of the line\n"},
        {"fit { experiment a b { } }",
         "1:20+1 expected ',' or the end of the statement after 'a', found 'b'\n"},
        {"fit { at 3 X = 2 }", "1:12+1 expected ':' after 3, found 'X'\n"},
        {"let x = f(c in s)", "1:17+1 expected '..' or ':' after 's', found ')'\n"},
        {"fit 3", "1:5+1 expected '{' after 'fit', found 3\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_report(&cases[i]);
}

static void
a_whole_report(void **state)
{
    (void)state;
    expect_messages("specis A = 1\nA -> B @ f(a,\n  b]\nB -> A @ k\nA → B @ k\n",
                    "m.rxn:1:1: error: unknown statement 'specis'\n"
                    "specis A = 1\n"
                    "^~~~~~\n"
                    "note: did you mean 'species'?\n"
                    "m.rxn:3:4: error: ']' does not match the '(' before it\n"
                    "  b]\n"
                    "   ^\n"
                    "m.rxn:2:11: note: opened here\n"
                    "A -> B @ f(a,\n"
                    "          ^\n"
                    "m.rxn:5:3: error: a stray '→' (U+2192)\n"
                    "A → B @ k\n"
                    "  ^\n"
                    "note: write '->'\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_the_scanner),
        cmocka_unit_test(messages_of_the_layout),
        cmocka_unit_test(messages_of_the_grammar),
        cmocka_unit_test(a_whole_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
