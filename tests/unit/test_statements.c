/* test_statements.c: which statements a text has, what they give names to, and which texts are not complete. */
#include "parse_fixture.h"

#include "compiler/format/statements.h"

/* "keyword{name: item, name: item}<statement>" for each; "incomplete" or "wrong" where there is none. */
static const char *
outline_of(Parse *p, const char *source)
{
    ModelStatements list;
    bool incomplete = false;
    Text out;
    begin(p, source);
    rxn__diagnostics_init(&p->diagnostics, &p->arena, &p->sources); /* forget what the tree was */
    rxn__text_init(&out, &p->arena);
    const RxnStatus status =
        rxn__statements(&p->arena, &p->names, &p->diagnostics, 0, &list, &incomplete);
    if (status != RXN_OK)
        return incomplete ? "incomplete" : "wrong";
    assert_false(incomplete);
    for (u32 i = 0; i < list.items.count; i++) {
        const ModelStatement *statement = &list.items.items[i];
        rxn__text_printf(&out, "%s{", statement->keyword);
        for (u32 k = 0; k < statement->items.count; k++) {
            const ModelItem *item = &statement->items.items[k];
            rxn__text_printf(&out, "%s%s: %.*s", k ? " | " : "", item->name, (int)item->length,
                             source + item->first);
        }
        rxn__text_printf(&out, "}<%.*s>\n", (int)statement->length, source + statement->first);
    }
    return out.data;
}

static void
expect(const char *source, const char *expected)
{
    Parse p;
    assert_string_equal(outline_of(&p, source), expected);
    end(&p);
}

static void
lists(void **state)
{
    (void)state;
    expect("species M = 100, D = max(1, 2)", "species{M: M = 100 | D: D = max(1, 2)}"
                                             "<species M = 100, D = max(1, 2)>\n");
    expect("param k = 2 in 1 .. 3 fit, W[g, 2] ~ normal(0, 1)\n",
           "param{k: k = 2 in 1 .. 3 fit | W: W[g, 2] ~ normal(0, 1)}"
           "<param k = 2 in 1 .. 3 fit, W[g, 2] ~ normal(0, 1)>\n");
    expect("param a = 1, # one\n  b = 2 # two\n\nlet c = a",
           "param{a: a = 1 | b: b = 2}<param a = 1, # one\n  b = 2 # two>\n"
           "let{c: c = a}<let c = a>\n");
    expect("const N = 3; index g = N", "const{N: N = 3}<const N = 3>\n"
                                       "index{g: g = N}<index g = N>\n");
    expect(
        "observe D, total = M + 2*D, H[3]",
        "observe{D: D | total: total = M + 2*D | H[3]: H[3]}<observe D, total = M + 2*D, H[3]>\n");
    expect("input x[784], label", "input{x: x[784] | label: label}<input x[784], label>\n");
}

static void
single(void **state)
{
    (void)state;
    expect("model m", "model{m: model m}<model m>\n");
    expect("fn f(x, y) = x", "fn{f: fn f(x, y) = x}<fn f(x, y) = x>\n");
    expect("use \"a.rxn\" as g (k = 2)", "use{g: use \"a.rxn\" as g (k = 2)}"
                                         "<use \"a.rxn\" as g (k = 2)>\n");
    expect("bind: A -> B @ k, # a note\n 2", "wrong");
    expect("bind: A <-> B @ k, # a note\n 2 # and more \r\n",
           "reaction{bind: bind: A <-> B @ k, # a note\n 2}"
           "<bind: A <-> B @ k, # a note\n 2 # and more >\n");
    expect("2 A -> 0 @ k; # behind", "reaction{}<2 A -> 0 @ k; # behind>\n");
    expect("at: A -> B @ 1\nat + B -> C @ 1\nat 5: A = 3",
           "reaction{at: at: A -> B @ 1}<at: A -> B @ 1>\n"
           "reaction{}<at + B -> C @ 1>\n"
           "at{}<at 5: A = 3>\n");
    expect("every 5 from 2: A = 3\nwhen A > 2: A = 0", "every{}<every 5 from 2: A = 3>\n"
                                                       "when{}<when A > 2: A = 0>\n");
    expect("simulate until 5 every 1", "simulate{}<simulate until 5 every 1>\n");
    expect("fit {\n data \"x\"\n A = 3, B = 4\n}", "fit{}<fit {\n data \"x\"\n A = 3, B = 4\n}>\n");
}

static void
blocks(void **state)
{
    (void)state;
    expect("for g in gene {\n  on: 0 => H[g] @ 1\n  H[g] -> 0 @ 2\n  for s in 0 .. 3 { hop: X[s] "
           "-> 0 @ 1 }\n}",
           "for{on: for g in gene {\n  on: 0 => H[g] @ 1\n  H[g] -> 0 @ 2\n  for s in 0 .. 3 { "
           "hop: X[s] -> 0 @ 1 }\n}"
           " | hop: for g in gene {\n  on: 0 => H[g] @ 1\n  H[g] -> 0 @ 2\n  for s in 0 .. 3 { "
           "hop: X[s] -> 0 @ 1 }\n}}"
           "<for g in gene {\n  on: 0 => H[g] @ 1\n  H[g] -> 0 @ 2\n  for s in 0 .. 3 { hop: X[s] "
           "-> 0 @ 1 }\n}>\n");
    expect("", "");
    expect("# only words\n", "");
}

static void
completeness(void **state)
{
    static const char *const incomplete[] = {
        "fit {",
        "fit { data",
        "fit {\n  data \"x\"\n",
        "for g in gene {\n a: A -> B @ 1\n",
        "for g in",
        "species A = (1 +",
        "species A = 1,",
        "species A = 1,  # one\n",
        "bind: A -> B @",
        "bind: A -> B",
        "bind: A + B\n",
        "A +",
        "let f =",
        "let f = if a then b",
        "param W[2,",
        "at 5",
        "fn f(x,\n",
        "species",
    };
    static const char *const wrong[] = {
        "A", /* no beginning of a statement */
        "A = 3",
        "bind: A -> B;", /* ended */
        "species A = 1 1",
        "species A = )",
        "species A = 1, = 2\nfit {", /* the first error is before its end */
        "use \"a",                   /* a string ends in its line */
        "let f = (a\nspecies B = 3", /* another statement begins */
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(incomplete); i++) {
        Parse p;
        if (strcmp(outline_of(&p, incomplete[i]), "incomplete") != 0)
            fail_msg("'%s' is complete", incomplete[i]);
        end(&p);
    }
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        Parse p;
        if (strcmp(outline_of(&p, wrong[i]), "wrong") != 0)
            fail_msg("'%s' is not merely wrong", wrong[i]);
        end(&p);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(single),
        cmocka_unit_test(blocks),
        cmocka_unit_test(completeness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
