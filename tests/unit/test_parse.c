/* test_parse.c: from text to the tree: every construct, where lines end, recovery, and text that wants to
 * do harm. What is said about wrong text is in test_parse_messages.c. */
#include "parse_fixture.h"

#include "compiler/sema/sema.h"

#include <glob.h>

static void
expect_tree(const char *source, const char *expected)
{
    Parse p;
    begin(&p, source);
    assert_string_equal(messages(&p), "");
    assert_string_equal(outline(&p, p.tree, false), expected);
    end(&p);
}

/* ---- Constructs ------------------------------------------------------------------------------- */

static void
declarations(void **state)
{
    (void)state;
    expect_tree("model dimer\nconst N = 100, M = 2\nindex pixel = 784\nlet a = 1, b = 2\n"
                "input x[pixel], label\n",
                "file\n"
                "  model 'dimer'\n"
                "  const 'N'\n    number 100\n"
                "  const 'M'\n    number 2\n"
                "  index 'pixel'\n    number 784\n"
                "  let 'a'\n    number 1\n"
                "  let 'b'\n    number 2\n"
                "  input 'x'\n    reference 'pixel'\n"
                "  input 'label'\n");
    expect_tree("species M = 100, D, H[gene, 3] = 0\n",
                "file\n"
                "  species 'M'\n    number 100\n"
                "  species 'D'\n    -\n"
                "  species 'H'\n    number 0\n    reference 'gene'\n    number 3\n");
    expect_tree("param a, b = 1 in 2 .. 3 fit, c fit = 4, W[g, p] ~ normal(0, 0.05) fit\n",
                "file\n"
                "  param 'a'\n    -\n    -\n    -\n"
                "  param fit 'b'\n    number 1\n    number 2\n    number 3\n"
                "  param fit 'c'\n    number 4\n    -\n    -\n"
                "  param fit ~ 'W'\n"
                "    call 'normal'\n      number 0\n      number 0.05\n"
                "    -\n    -\n    reference 'g'\n    reference 'p'\n");
    expect_tree("fn f(x, y) = x\nfn g() = 1\n", "file\n"
                                                "  function 'f'\n    reference 'x'\n"
                                                "    reference 'x'\n    reference 'y'\n"
                                                "  function 'g'\n    number 1\n");
    expect_tree(
        "use \"a b.rxn\" as m\nuse \"t.rxn\" as g (kon = 0.1, koff = k)\nuse \"t\" as h ()\n",
        "file\n"
        "  use 'm' \"a b.rxn\"\n"
        "  use 'g' \"t.rxn\"\n"
        "    named 'kon'\n      number 0.1\n"
        "    named 'koff'\n      reference 'k'\n"
        "  use 'h' \"t\"\n");
}

static void
reactions(void **state)
{
    (void)state;
    expect_tree("bind: 2 M + g.x -> D @ kon\n", "file\n"
                                                "  reaction -> 'bind'\n"
                                                "    complex\n"
                                                "      term 2\n        reference 'M'\n"
                                                "      term 1\n        reference 'g.x'\n"
                                                "    complex\n"
                                                "      term 1\n        reference 'D'\n"
                                                "    reference 'kon'\n    -\n    -\n    -\n");
    expect_tree("0 => X[s+1] @ f(t) bound 3\n∅ <-> 2X @ a bound b, c bound d\n",
                "file\n"
                "  reaction =>\n"
                "    complex\n"
                "    complex\n"
                "      term 1\n        reference 'X'\n          binary add\n"
                "            reference 's'\n            number 1\n"
                "    call 'f'\n      reference 't'\n"
                "    -\n    number 3\n    -\n"
                "  reaction <->\n"
                "    complex\n"
                "    complex\n      term 2\n        reference 'X'\n"
                "    reference 'a'\n    reference 'c'\n    reference 'b'\n    reference 'd'\n");
    expect_tree("for g in gene { a: X[g] -> 0 @ 1; for s in 0..N-2 { b: 0 -> X[s] @ 2 } }\n",
                "file\n"
                "  for 'g'\n"
                "    reference 'gene'\n"
                "    reaction -> 'a'\n"
                "      complex\n        term 1\n          reference 'X'\n"
                "            reference 'g'\n"
                "      complex\n      number 1\n      -\n      -\n      -\n"
                "    for 's'\n"
                "      range\n        number 0\n        binary sub\n"
                "          reference 'N'\n          number 2\n"
                "      reaction -> 'b'\n"
                "        complex\n"
                "        complex\n          term 1\n            reference 'X'\n"
                "              reference 's'\n"
                "        number 2\n        -\n        -\n        -\n");
}

static void
events_and_outputs(void **state)
{
    (void)state;
    expect_tree("at 25: P = 50, H[3] = 0\nevery 10 from 5 until 100: A = A + 1\nevery 2: A = 1\n"
                "when P > 30: P = 100\n",
                "file\n"
                "  at\n    number 25\n"
                "    assign\n      reference 'P'\n      number 50\n"
                "    assign\n      reference 'H'\n        number 3\n      number 0\n"
                "  every\n    number 10\n    number 5\n    number 100\n"
                "    assign\n      reference 'A'\n      binary add\n        reference 'A'\n"
                "        number 1\n"
                "  every\n    number 2\n    -\n    -\n"
                "    assign\n      reference 'A'\n      number 1\n"
                "  when\n    binary >\n      reference 'P'\n      number 30\n"
                "    assign\n      reference 'P'\n      number 100\n");
    expect_tree("observe D, H[3], total = M + 2*D\nsimulate until 100 every 1\n"
                "simulate at 1, 2.5 until 9\n",
                "file\n"
                "  observe\n"
                "    observable\n      reference 'D'\n"
                "    observable\n      reference 'H'\n        number 3\n"
                "    observable 'total'\n      binary add\n        reference 'M'\n"
                "        binary mul\n          number 2\n          reference 'D'\n"
                "  simulate\n    number 100\n    number 1\n"
                "  simulate\n    number 9\n    -\n    number 1\n    number 2.5\n");
    expect_tree("fit {\n  data \"d.csv\" # columns\n  loss mse(mean(D), data.D)\n\n  steps 200, 3; "
                "flag\n}\n",
                "file\n"
                "  fit\n"
                "    entry 'data'\n      string 'd.csv'\n"
                "    entry 'loss'\n      call 'mse'\n        call 'mean'\n"
                "          reference 'D'\n        reference 'data.D'\n"
                "    entry 'steps'\n      number 200\n      number 3\n"
                "    entry 'flag'\n");
    expect_tree("fit {\n data x = \"a.gz\", y = \"b\"; clip norm = 10; trajectories 2 .. N\n"
                " prior k ~ normal(0, 1); loss cross_entropy(c in s: Y[c], l)\n"
                " experiment fed {\n  A = 1, at = 2; X[2] = 3; loss x\n  at 25: A = 2\n"
                "  every 10 from 5: A = 3\n  when A > 1: A = 0\n }\n validation { }\n}\n",
                "file\n"
                "  fit\n"
                "    entry 'data'\n      named 'x'\n        string 'a.gz'\n"
                "      named 'y'\n        string 'b'\n"
                "    entry 'clip'\n      named 'norm'\n        number 10\n"
                "    entry 'trajectories'\n      range\n        number 2\n"
                "        reference 'N'\n"
                "    entry 'prior'\n      prior\n        reference 'k'\n        call 'normal'\n"
                "          number 0\n          number 1\n"
                "    entry 'loss'\n      call 'cross_entropy'\n        each 'c'\n"
                "          reference 's'\n          reference 'Y'\n            reference 'c'\n"
                "        reference 'l'\n"
                "    block 'experiment' \"fed\"\n"
                "      assign\n        reference 'A'\n        number 1\n"
                "      assign\n        reference 'at'\n        number 2\n"
                "      assign\n        reference 'X'\n          number 2\n        number 3\n"
                "      entry 'loss'\n        reference 'x'\n"
                "      at\n        number 25\n        assign\n          reference 'A'\n"
                "          number 2\n"
                "      every\n        number 10\n        number 5\n        -\n        assign\n"
                "          reference 'A'\n          number 3\n"
                "      when\n        binary >\n          reference 'A'\n          number 1\n"
                "        assign\n          reference 'A'\n          number 0\n"
                "    block 'validation'\n");
}

/* Entries and blocks of `fit` as source read back to the same tree. */
static void
fit_blocks_print_as_source(void **state)
{
    (void)state;
    Parse p, q;
    begin(&p, "fit { data x = \"a.gz\", y = \"b\"\n clip norm = 10, value = -1\n flag\n"
              " trajectories 2 .. N\n prior k[1, 2] ~ normal(0, 1 / (1 + 2))\n"
              " loss cross_entropy(c in 0 .. 2: Y[c], l) + gaussian(a, b, sd = 2) * 3\n"
              " experiment fed {\n A = 1\n X[2] = if a then b else c\n at 2 * 3: A = 2, B = 1\n"
              " every 10 from 5 until 20: A = 3\n every 4 until 20: A = 3\n when A > 1: A = 0\n"
              " measure m = x }\n validation { }\n}\n");
    assert_string_equal(messages(&p), "");
    const AstNode *fit = p.tree->kids[0];
    Text printed;
    rxn__text_init(&printed, &p.arena);
    rxn__text_printf(&printed, "fit {\n");
    for (u32 i = 0; i < fit->kid_count; i++) {
        rxn__ast_print_source(fit->kids[i], &printed);
        rxn__text_printf(&printed, "\n");
    }
    rxn__text_printf(&printed, "}\n");
    begin(&q, printed.data);
    assert_string_equal(messages(&q), "");
    assert_string_equal(outline(&q, q.tree, false), outline(&p, p.tree, false));
    end(&q);
    end(&p);
}

static void
spans_are_those_of_the_text(void **state)
{
    (void)state;
    Parse p;
    begin(&p, "a: 2 M ->\n  0 @ -(k + 1)\n\nparam k = 3,\n  l\n");
    assert_string_equal(outline(&p, p.tree, true), "file 1:1-6:1\n"
                                                   "  reaction -> 'a' 1:1-2:15\n"
                                                   "    complex 1:4-1:7\n"
                                                   "      term 2 1:4-1:7\n"
                                                   "        reference 'M' 1:6-1:7\n"
                                                   "    complex 2:3-2:4\n"
                                                   "    unary negate 2:7-2:15\n"
                                                   "      binary add 2:9-2:14\n"
                                                   "        reference 'k' 2:9-2:10\n"
                                                   "        number 1 2:13-2:14\n"
                                                   "    -\n    -\n    -\n"
                                                   "  param 'k' 4:7-4:12\n"
                                                   "    number 3 4:11-4:12\n"
                                                   "    -\n    -\n"
                                                   "  param 'l' 5:3-5:4\n"
                                                   "    -\n    -\n    -\n");
    const AstNode *reaction = p.tree->kids[0];
    assert_int_equal(reaction->name_span.begin, 1);
    assert_int_equal(reaction->name_span.end, 2);
    end(&p);
}

/* ---- Expressions ------------------------------------------------------------------------------ */

/* With parentheses around everything, to see what binds what. */
static void
bracketed(const AstNode *node, Text *out)
{
    const bool bare = node->kind == AST_NUMBER || node->kind == AST_REFERENCE;
    if (bare) {
        rxn__ast_print_source(node, out);
        return;
    }
    rxn__text_printf(out, "(%s%s", rxn__ast_kind_texts[node->kind], node->op ? " " : "");
    rxn__text_printf(out, "%s", rxn__ast_op_text(node->op));
    for (u32 i = 0; i < node->kid_count; i++) {
        rxn__text_printf(out, " ");
        bracketed(node->kids[i], out);
    }
    rxn__text_printf(out, ")");
}

static void
operators_bind_as_documented(void **state)
{
    (void)state;
    static const struct {
        const char *source, *expected;
    } cases[] = {
        {"1 + 2 * 3", "(binary add 1 (binary mul 2 3))"},
        {"1 - 2 - 3", "(binary sub (binary sub 1 2) 3)"},
        {"8 / 4 / 2", "(binary div (binary div 8 4) 2)"},
        {"2 ^ 3 ^ 4", "(binary pow 2 (binary pow 3 4))"},
        {"-x^2", "(unary negate (binary pow x 2))"},
        {"2^-x^y", "(binary pow 2 (unary negate (binary pow x y)))"},
        {"-a * b", "(binary mul (unary negate a) b)"},
        {"a * -b + c", "(binary add (binary mul a (unary negate b)) c)"},
        {"a - -b", "(binary sub a (unary negate b))"},
        {"a + b < c * d", "(binary < (binary add a b) (binary mul c d))"},
        {"not a < b and c", "(binary and (unary not (binary < a b)) c)"},
        {"a or b and not c", "(binary or a (binary and b (unary not c)))"},
        {"if a then b else c + 1", "(if a b (binary add c 1))"},
        {"1 + if a then b else c * 2", "(binary add 1 (if a b (binary mul c 2)))"},
        {"if a then b else if c then d else e", "(if a b (if c d e))"},
        {"(if a then b else c) + 1", "(binary add (if a b c) 1)"},
        {"a == b", "(binary == a b)"},
        {"a != b", "(binary != a b)"},
        {"(a < b) == (c >= d)", "(binary == (binary < a b) (binary >= c d))"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char source[200];
        snprintf(source, sizeof source, "let v = %s", cases[i].source);
        Parse p;
        begin(&p, source);
        assert_string_equal(messages(&p), "");
        Text out;
        rxn__text_init(&out, &p.arena);
        bracketed(p.tree->kids[0]->kids[0], &out);
        assert_string_equal(out.data, cases[i].expected);
        end(&p);
    }
}

static void
numbers(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        double value;
    } cases[] = {
        {"1", 1},           {"1.5", 1.5},     {".5", 0.5},        {"1.", 1},
        {"1e-3", 1e-3},     {"1.5E+2", 150},  {"2.e3", 2000},     {"1_000", 1000},
        {"1_0.2_5", 10.25}, {"1e308", 1e308}, {"5e-324", 5e-324}, {"0e999", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char source[64];
        snprintf(source, sizeof source, "let v = %s\n", cases[i].source);
        Parse p;
        begin(&p, source);
        assert_string_equal(messages(&p), "");
        const AstNode *number = p.tree->kids[0]->kids[0];
        assert_int_equal(number->kind, AST_NUMBER);
        assert_true(number->number == cases[i].value);
        assert_string_equal(number->name->text, cases[i].source);
        end(&p);
    }
    expect_tree("for i in 1..2 { }\nfor i in 0 .. 1. { }\nfor i in a..b { }\n",
                "file\n"
                "  for 'i'\n    range\n      number 1\n      number 2\n"
                "  for 'i'\n    range\n      number 0\n      number 1\n"
                "  for 'i'\n    range\n      reference 'a'\n      reference 'b'\n");
}

static u32
random_below(u32 *state, u32 limit)
{
    *state = *state * 1664525u + 1013904223u;
    return (u32)(((u64)*state * limit) >> 32);
}

static void
random_expression(u32 *random, u32 depth, Text *out)
{
    static const char *const operators[] = {"+", "-", "*", "/", "^", "and", "or", "<", "=="};
    const u32 kind = depth == 0 ? random_below(random, 3) : random_below(random, 11);
    switch (kind) {
    case 0: rxn__text_printf(out, "%u", random_below(random, 100)); return;
    case 1: rxn__text_printf(out, "x"); return;
    case 2: rxn__text_printf(out, "%s", random_below(random, 2) ? "true" : "1.50e-3"); return;
    case 3: rxn__text_printf(out, "(-("); break;
    case 4: rxn__text_printf(out, "(not("); break;
    case 5: rxn__text_printf(out, "(f(1, a = "); break;
    case 6: rxn__text_printf(out, "(sum(i in s: "); break;
    case 7: rxn__text_printf(out, "(prod(i in 0 .. 3: "); break;
    case 8: rxn__text_printf(out, "(W[i, "); break;
    case 9:
        rxn__text_printf(out, "(if ");
        random_expression(random, depth - 1, out);
        rxn__text_printf(out, " then ");
        random_expression(random, depth - 1, out);
        rxn__text_printf(out, " else ");
        random_expression(random, depth - 1, out);
        rxn__text_printf(out, ")");
        return;
    default:
        rxn__text_printf(out, "(");
        random_expression(random, depth - 1, out);
        rxn__text_printf(out, " %s ", operators[random_below(random, COUNT_OF(operators))]);
        random_expression(random, depth - 1, out);
        rxn__text_printf(out, ")");
        return;
    }
    random_expression(random, depth - 1, out);
    rxn__text_printf(out, kind == 8 ? "])" : "))");
}

static void
printed_source_reads_back_to_the_same_tree(void **state)
{
    (void)state;
    u32 random = 7;
    for (u32 trial = 0; trial < 1000; trial++) {
        Parse p, again;
        begin(&p, "");
        Text source;
        rxn__text_init(&source, &p.arena);
        rxn__text_printf(&source, "let v = ");
        random_expression(&random, 6, &source);
        parse_bytes(&p, source.data, source.length);
        assert_string_equal(messages(&p), "");
        Text printed;
        rxn__text_init(&printed, &p.arena);
        rxn__text_printf(&printed, "let v = ");
        rxn__ast_print_source(p.tree->kids[0]->kids[0], &printed);
        begin(&again, printed.data);
        assert_string_equal(messages(&again), "");
        assert_string_equal(outline(&p, p.tree, false), outline(&again, again.tree, false));
        assert_true(printed.length <= source.length);
        end(&again);
        end(&p);
    }
}

/* ---- Lines and words -------------------------------------------------------------------------- */

static void
lines_continue_where_they_must(void **state)
{
    (void)state;
    static const char *const one_statement[] = {
        "param k = 1 +\n 2\n",
        "param k = f(1,\n\n # comment\n 2\n)\n",
        "param k\n = 1" /* '=' begins no continuation: see below */,
        "A ->\nB @\nk",
        "A\n-> B\n@ k\n* 2\n, 3",
        "A <-> B @ k,\n l",
        "bind:\nA -> B @ k",
        "let x = if a\n then b\n else c",
        "let x = if\n a then\n b else\n c",
        "let x = not\n a\n and b\n\n or c",
        "W[1,\n2] -> 0 @ k",
        "for g in\n 0\n ..\n 3 {\n}\n",
        "\n\n;;;\n A -> B @ k ;;\n;",
        "at 3:\n A = 1,\n B = 2",
        "A -> B @ k # trailing +",
        "A -> B @ k\r\n",
        "observe\tA\f,\v B",
        "\xEF\xBB\xBFmodel m",
        "A -> B @ (k\n + 2)\n bound 3" /* likewise */,
    };
    for (size_t i = 0; i < COUNT_OF(one_statement); i++) {
        if (strstr(one_statement[i], "\n =") || strstr(one_statement[i], "\n bound") ||
            strstr(one_statement[i], "\n, 3")) {
            Parse p;
            begin(&p, one_statement[i]);
            assert_true(p.diagnostics.error_count > 0); /* these do not continue */
            end(&p);
            continue;
        }
        Parse p;
        begin(&p, one_statement[i]);
        assert_string_equal(messages(&p), "");
        assert_int_equal(p.tree->kid_count, 1);
        end(&p);
    }
    Parse p;
    begin(&p, "A -> B @ k; B -> A @ k\nfor g in s { a: A -> 0 @ 1; b: A -> 0 @ 1\nc: A -> 0 @ 1 }");
    assert_string_equal(messages(&p), "");
    assert_int_equal(p.tree->kid_count, 3);
    assert_int_equal(p.tree->kids[2]->kid_count, 4);
    end(&p);
    expect_tree("", "file\n");
    expect_tree("\n# nothing\n;\n", "file\n");
}

static void
keywords_are_names_elsewhere(void **state)
{
    (void)state;
    expect_tree("species species = 1, model, at, every, fit, bound, from, as, when, use\n"
                "species -> model @ bound bound fit\nat + every -> 0 @ from\n"
                "fit: index[3] -> let @ at\nevery every from from: at = as\nat at: at = 1\n",
                "file\n"
                "  species 'species'\n    number 1\n"
                "  species 'model'\n    -\n  species 'at'\n    -\n  species 'every'\n    -\n"
                "  species 'fit'\n    -\n  species 'bound'\n    -\n  species 'from'\n    -\n"
                "  species 'as'\n    -\n  species 'when'\n    -\n  species 'use'\n    -\n"
                "  reaction ->\n"
                "    complex\n      term 1\n        reference 'species'\n"
                "    complex\n      term 1\n        reference 'model'\n"
                "    reference 'bound'\n    -\n    reference 'fit'\n    -\n"
                "  reaction ->\n"
                "    complex\n      term 1\n        reference 'at'\n"
                "      term 1\n        reference 'every'\n"
                "    complex\n    reference 'from'\n    -\n    -\n    -\n"
                "  reaction -> 'fit'\n"
                "    complex\n      term 1\n        reference 'index'\n          number 3\n"
                "    complex\n      term 1\n        reference 'let'\n"
                "    reference 'at'\n    -\n    -\n    -\n"
                "  every\n    reference 'every'\n    reference 'from'\n    -\n"
                "    assign\n      reference 'at'\n      reference 'as'\n"
                "  at\n    reference 'at'\n"
                "    assign\n      reference 'at'\n      number 1\n");
    expect_tree("DA' + DA′ + α₁ + Ωb + 蛋白 -> 0 @ 1\n",
                "file\n"
                "  reaction ->\n"
                "    complex\n"
                "      term 1\n        reference 'DA''\n"
                "      term 1\n        reference 'DA′'\n"
                "      term 1\n        reference 'α₁'\n"
                "      term 1\n        reference 'Ωb'\n"
                "      term 1\n        reference '蛋白'\n"
                "    complex\n    number 1\n    -\n    -\n    -\n");
}

/* ---- Recovery --------------------------------------------------------------------------------- */

static void
errors_do_not_spread(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        u32 errors, statements; /* statements that are left, POISONs not counted */
    } cases[] = {
        {"A -> @ k\nB -> C @ k\nC -> \nspecies D = 1", 2, 2},
        {"for g in { A -> B @ k\n B -> A @ k }\nA -> B @ k", 1, 1},
        {"for g in gene { A -> @ k; B -> A @ k\n C -> @ k }\nA -> B @ k", 2, 2},
        {"fit { data 3 4\n loss x\n steps 4 5 }\nA -> B @ k", 2, 2},
        {"A -> B @ f(1 2,\n 3,\n 4)\nA -> B @ k", 1, 1},
        {"A -> B @ f(1 2,\n 3,\nA -> B @ k", 1, 1},
        {"A -> B @ (1\nA -> B @ (2\nA -> B @ k", 2, 1},
        {"use \"x\" as g (\n kon 3,\n koff = 2\n)\nA -> B @ k", 1, 1},
        {"→ → → →\n$ $ $\nA -> B @ k", 2, 1},
        {"a b; c d; e f\nA -> B @ k", 3, 1},
        {"if\nthen\n\"x\"\nA -> B @ k", 1, 1}, /* `if` and `then` go on in the next line */
        {"let x = if a b\n then c\n else d\nA -> B @ k", 1, 1},
        {"bind A ->\n B @ k\nA -> B @ k", 1, 1},
        {") ) )\nA -> B @ k", 1, 1},
        {"}\n}\nA -> B @ k", 2, 1},
        {"A -> B @ k {\n  x y\n}\nA -> B @ k", 1, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Parse p;
        begin(&p, cases[i].source);
        u32 statements = 0;
        for (u32 k = 0; k < p.tree->kid_count; k++)
            statements += p.tree->kids[k]->kind != AST_POISON;
        if (p.diagnostics.error_count != cases[i].errors || statements != cases[i].statements)
            fail_msg("for:\n%s\nexpected %u errors and %u statements, found %u and %u:\n%s",
                     cases[i].source, cases[i].errors, cases[i].statements,
                     p.diagnostics.error_count, statements, messages(&p));
        end(&p);
    }
}

static void
lost_names_are_kept(void **state)
{
    (void)state;
    Parse p;
    begin(&p, "species A = , B = C\nspecies D = 1\nparam 3, k, l\n");
    assert_int_equal(p.diagnostics.error_count, 2);
    assert_string_equal(outline(&p, p.tree, false),
                        "file\n"
                        "  species 'D'\n    number 1\n"
                        "  poison\n    reference 'A'\n    reference 'B'\n    reference 'C'\n"
                        "  poison\n    reference 'k'\n    reference 'l'\n");
    end(&p);
}

/* ---- Harm ------------------------------------------------------------------------------------- */

typedef struct Harm {
    const char *head, *unit;
    u32 count;
    const char *middle, *close_unit, *tail;
    const char *message; /* of the first error; NULL: there is none */
} Harm;

static void
hostile_texts_cost_no_more_than_their_length(void **state)
{
    (void)state;
    static const char deep[] = "this expression is nested too deeply";
    static const char brackets[] = "brackets nested too deeply (more than 256 levels)";
    static const char high[] = "this expression is too long (more than 1000 operators deep)";
    static const Harm cases[] = {
        {"let v = ", "(", 256, "1", ")", "", NULL},
        {"let v = ", "(", 257, "1", ")", "", brackets},
        {"let v = ", "(", 200000, "1", ")", "", brackets},
        {"let v = ", "x[", 200000, "1", "]", "", brackets},
        {"", "for g in s {", 256, "", "}", "", NULL},
        {"", "for g in s {", 100000, "", "}", "", brackets},
        {"let v = ", "-", 990, "1", "", "", NULL},
        {"let v = ", "-", 200000, "1", "", "", deep},
        {"let v = ", "not ", 100000, "1", "", "", deep},
        {"let v = 1", "+1", 998, "", "", "", NULL},
        {"let v = 1", "+1", 1000, "", "", "", high},
        {"let v = 1", "+1", 100000, "", "", "", high},
        {"let v = 1", "^1", 998, "", "", "", NULL},
        {"let v = 1", "^1", 100000, "", "", "", deep},
        {"let v = ", "if a then b else ", 990, "c", "", "", NULL},
        {"let v = ", "if a then b else ", 100000, "c", "", "", deep},
        {"let v = ", "f(1+", 250, "1", ")", "", NULL},
        {"", "a", 1001, " -> 0 @ k", "", "",
         "the name 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' is too long "
         "(more than 1000 bytes)"},
        {"", "a", 1000, " -> 0 @ k", "", "", NULL},
        {"let v = ", "1", 1001, "", "", "",
         "the number 111111111111111111111111111111111111111111111111111111111111... is too long "
         "(more than 1000 bytes)"},
        {"use \"", "a", 1 << 18, "", "", "\" as x",
         "this string is too long (more than 4096 bytes)"},
        {"", "a;", 100000, "", "", "", "unknown statement 'a'"},
        {"", "a b", 100000, "", "", "", "unknown statement 'a'"},
        {"", "→", 100000, "", "", "", "a stray '→' (U+2192)"},
        {"", "a→", 100000, "", "", "", "a stray '→' (U+2192)"},
        {"", "\xFF", 200000, "", "", "", "this is not UTF-8 text (byte \\xFF)"},
        {"", "\n", 200000, "", "", "", NULL},
        {"", ";", 200000, "", "", "", NULL},
        {"let v = (", "\n", 200000, "", "", "", "'(' is never closed"},
        {"let v = (1", "\n+1", 900, "", "", ")", NULL},
        {"", ")", 200000, "", "", "", "')' without a '(' before it"},
        {"", "}", 200000, "", "", "", "'}' without a '{' before it"},
        {"", "{", 200000, "", "", "", "expected a statement, found '{'"},
        {"", "\"", 200001, "", "", "", "expected a statement, found a string"},
        {"", "A->B@k;", 100000, "", "", "", NULL},
        {"species A", ",A", 200000, "", "", "", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const Harm *harm = &cases[i];
        Memory memory = {0};
        jmp_buf failed;
        memory.on_failure = &failed;
        Arena arena;
        rxn__arena_init(&arena, &memory);
        Text source;
        rxn__text_init(&source, &arena);
        rxn__text_printf(&source, "%s", harm->head);
        for (u32 k = 0; k < harm->count; k++)
            rxn__text_append(&source, harm->unit, strlen(harm->unit));
        rxn__text_printf(&source, "%s", harm->middle);
        for (u32 k = 0; k < harm->count && harm->close_unit[0]; k++)
            rxn__text_append(&source, harm->close_unit, strlen(harm->close_unit));
        rxn__text_printf(&source, "%s", harm->tail);
        Parse p;
        begin_bytes(&p, source.data, source.length);
        const char *message = p.diagnostics.list.count ? p.diagnostics.list.items[0].message : NULL;
        if (!harm->message != !message || (message && strcmp(message, harm->message) != 0))
            fail_msg("%u times '%s': expected: %s, found: %s", harm->count, harm->unit,
                     harm->message ? harm->message : "nothing", message ? message : "nothing");
        /* A tree has at most some hundred bytes for each byte of its text. */
        assert_true(p.memory.used < 200 * source.length + (1 << 20));
        outline(&p, p.tree, true);
        messages(&p);
        end(&p);
        rxn__arena_release(&arena);
    }
}

static void
any_mix_of_tokens_is_read_to_its_end(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "species ",
        "param ",
        "for ",
        "fit ",
        "at ",
        "every ",
        "when ",
        "observe ",
        "simulate ",
        "use ",
        "fn ",
        "until ",
        "from ",
        "bound ",
        "in ",
        "if ",
        "then ",
        "else ",
        "and ",
        "sum",
        "A ",
        "B[",
        "x.y ",
        "g ",
        "1 ",
        "0 ",
        "2.5 ",
        "..",
        "->",
        "<->",
        "=>",
        "@",
        "+",
        "-",
        "*",
        "^",
        "=",
        "<",
        "~",
        ",",
        ":",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\n",
        "\n",
        ";",
        "\"s\"",
        "\"",
        "#c\n",
        "∅",
        "→",
        "\xFF",
        "$",
        "not ",
        "A -> B @ k\n",
        "for g in s {\n",
    };
    u32 random = 99;
    for (u32 trial = 0; trial < 6000; trial++) {
        char source[400];
        size_t length = 0;
        for (u32 k = random_below(&random, 30); k > 0; k--) {
            const char *piece = pieces[random_below(&random, COUNT_OF(pieces))];
            memcpy(source + length, piece, strlen(piece));
            length += strlen(piece);
        }
        source[length] = 0;
        Parse p;
        begin_bytes(&p, source, length);
        outline(&p, p.tree, true);
        messages(&p);
        for (u32 i = 0; i < p.diagnostics.list.count; i++) {
            const Span span = p.diagnostics.list.items[i].span;
            assert_true(span.begin <= span.end && span.end <= 1 + length);
        }
        end(&p);
    }
}

static void
every_failed_allocation_is_survived(void **state)
{
    (void)state;
    static const char unit[] =
        "for g in gene { a: A[g] + 2 B -> 0 @ k * f(1, x = 2); b: -> 1 }\nxyz = 3\n";
    char source[100 * sizeof unit];
    size_t length = 0;
    for (u32 i = 0; i < 100; i++) {
        memcpy(source + length, unit, sizeof unit - 1);
        length += sizeof unit - 1;
    }
    static Parse p;
    static volatile u64 fail_at;
    for (fail_at = 1;; fail_at++) {
        memset(&p, 0, sizeof p);
        p.memory.on_failure = &p.failed;
        p.memory.fail_at = fail_at;
        rxn__arena_init(&p.arena, &p.memory);
        if (setjmp(p.failed) == 0) {
            parse_bytes(&p, source, length);
            messages(&p);
            outline(&p, p.tree, true);
            if (p.memory.allocations < fail_at)
                break; /* none failed any more */
            fail_msg("allocation %u did not fail", (unsigned)fail_at);
        }
        end(&p);
    }
    assert_true(fail_at > 5);
    end(&p);
}

static size_t
read_file(const char *path, char *text, size_t room)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t length = fread(text, 1, room, file);
    fclose(file);
    assert_true(length < room);
    return length;
}

static void
all_models_of_the_project_parse(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        RXN_SOURCE_ROOT "/stdlib_models/*.rxn",
        RXN_SOURCE_ROOT "/tests/exact/models/*.rxn",
        RXN_SOURCE_ROOT "/examples/*/*.rxn",
    };
    u32 count = 0;
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        glob_t found;
        if (glob(patterns[i], 0, NULL, &found) != 0)
            continue;
        for (size_t k = 0; k < found.gl_pathc; k++) {
            static char text[1 << 20];
            const size_t length = read_file(found.gl_pathv[k], text, sizeof text);
            Parse p;
            begin_bytes(&p, text, length);
            if (p.diagnostics.error_count)
                fail_msg("%s:\n%s", found.gl_pathv[k], messages(&p));
            assert_true(p.tree->kid_count > 0);
            end(&p);
            count++;
        }
        globfree(&found);
    }
    assert_true(count >= 15);
}

/* ---- The reference ---------------------------------------------------------------------------- */

static bool
load_stdlib(void *context, const char *from, const char *path, Arena *arena,
            const char **ret_resolved, const char **ret_text, size_t *ret_length,
            const char **ret_reason)
{
    static char text[1 << 16];
    char full[400];
    (void)context;
    (void)from;
    (void)ret_reason;
    snprintf(full, sizeof full, RXN_SOURCE_ROOT "/stdlib_models/%s", path);
    *ret_length = read_file(full, text, sizeof text);
    *ret_resolved = path;
    *ret_text = rxn__arena_copy_text(arena, text, *ret_length);
    return true;
}

/* Every ```rxn block of docs/language.md is a model (with one more species: some only declare
 * parameters). */
static void
examples_of_the_reference_are_models(void **state)
{
    (void)state;
    static const char opening[] = "```rxn\n", more[] = "\nspecies one_more_species\n";
    static char page[1 << 20];
    page[read_file(RXN_SOURCE_ROOT "/docs/language.md", page, sizeof page)] = 0;
    u32 count = 0;
    for (const char *block = page; (block = strstr(block, opening)) != NULL; count++) {
        block += sizeof opening - 1;
        const char *close = strstr(block, "```");
        assert_non_null(close);
        Parse p;
        begin(&p, "");
        Text source;
        rxn__text_init(&source, &p.arena);
        rxn__text_append(&source, block, (size_t)(close - block));
        rxn__text_append(&source, more, sizeof more - 1);
        const u32 file = rxn__sources_add(&p.sources, "example", source.data, source.length);
        const SourceLoader loader = {.load = load_stdlib};
        const SemaInput input = {.arena = &p.arena,
                                 .names = &p.names,
                                 .sources = &p.sources,
                                 .diagnostics = &p.diagnostics,
                                 .loader = &loader};
        const Network *network = rxn__elaborate(&input, file, NULL);
        if (!network)
            fail_msg("%s\n%s", source.data, messages(&p));
        end(&p);
    }
    assert_true(count >= 15);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(declarations),
        cmocka_unit_test(reactions),
        cmocka_unit_test(events_and_outputs),
        cmocka_unit_test(fit_blocks_print_as_source),
        cmocka_unit_test(spans_are_those_of_the_text),
        cmocka_unit_test(operators_bind_as_documented),
        cmocka_unit_test(numbers),
        cmocka_unit_test(printed_source_reads_back_to_the_same_tree),
        cmocka_unit_test(lines_continue_where_they_must),
        cmocka_unit_test(keywords_are_names_elsewhere),
        cmocka_unit_test(errors_do_not_spread),
        cmocka_unit_test(lost_names_are_kept),
        cmocka_unit_test(hostile_texts_cost_no_more_than_their_length),
        cmocka_unit_test(any_mix_of_tokens_is_read_to_its_end),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(all_models_of_the_project_parse),
        cmocka_unit_test(examples_of_the_reference_are_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
