/* Unit tests of sema: what a model means once it is elaborated. What is said about wrong models is
 * tested by tests/golden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/sema/sema.h"

/* Files that a test has at hand, ended by a NULL path. */
typedef struct MemoryFile {
    const char *path, *text;
} MemoryFile;

typedef struct Session {
    Memory memory;
    jmp_buf on_failure;
    Arena arena;
    NameTable names;
    SourceMap sources;
    Diagnostics diagnostics;
    Network *network;
} Session;

static bool
load_from_memory(void *context, const char *from, const char *path, Arena *arena,
                 const char **ret_resolved, const char **ret_text, size_t *ret_length,
                 const char **ret_reason)
{
    (void)from;
    (void)arena;
    for (const MemoryFile *file = context; file && file->path; file++) {
        if (strcmp(file->path, path) != 0)
            continue;
        *ret_resolved = file->path;
        *ret_text = file->text;
        *ret_length = strlen(file->text);
        return true;
    }
    *ret_reason = "there is no such file";
    return false;
}

static void
open_session(Session *session)
{
    session->memory.on_failure = &session->on_failure;
    rxn__arena_init(&session->arena, &session->memory);
    rxn__names_init(&session->names, &session->arena);
    rxn__sources_init(&session->sources, &session->arena);
    rxn__diagnostics_init(&session->diagnostics, &session->arena, &session->sources);
}

static void
elaborate_in(Session *session, const char *text, const MemoryFile *files)
{
    SourceLoader loader = {.context = (void *)files, .load = load_from_memory};
    SemaInput input = {.arena = &session->arena,
                       .names = &session->names,
                       .sources = &session->sources,
                       .diagnostics = &session->diagnostics,
                       .loader = &loader};
    u32 file = rxn__sources_add(&session->sources, "test.rxn", text, strlen(text));
    session->network = rxn__elaborate(&input, file, NULL);
}

/* A model that must be right. */
static Session *
elaborate_files(const char *text, const MemoryFile *files)
{
    Session *session = calloc(1, sizeof *session);
    assert_non_null(session);
    open_session(session);
    if (setjmp(session->on_failure) != 0)
        fail_msg("out of memory");
    elaborate_in(session, text, files);
    if (!session->network) {
        Text out;
        rxn__text_init(&out, &session->arena);
        rxn__diagnostics_render(&session->diagnostics, &out);
        fail_msg("%s", out.data);
    }
    return session;
}

static Session *
elaborate(const char *text)
{
    return elaborate_files(text, NULL);
}

static void
close_session(Session *session)
{
    rxn__arena_release(&session->arena);
    assert_int_equal(session->memory.used, 0);
    free(session);
}

static const Reaction *
reaction_called(const Network *network, const char *label)
{
    for (u32 i = 0; i < network->reactions.count; i++)
        if (strcmp(network->reactions.items[i].label->text, label) == 0)
            return &network->reactions.items[i];
    fail_msg("there is no reaction '%s'", label);
    return NULL;
}

static double
value_of(const Network *network, Expr expr, const double *species, const double *params)
{
    ExprValues values = {.species = species, .params = params, .inputs = params, .time = 2};
    return rxn__expr_evaluate(network, expr, &values);
}

/* The propensity of one member. */
static double
propensity(Network *network, const char *label, u32 member, const double *species,
           const double *params)
{
    const Reaction *reaction = reaction_called(network, label);
    Expr expr = rxn__reaction_member_propensity(network, reaction, member);
    return value_of(network, expr, species, params);
}

#define ASSERT_NUMBER(value, expected) assert_true(fabs((value) - (expected)) < 1e-12)

/* ---- Declarations ------------------------------------------------------------------------- */

static void
order_does_not_matter(void **state)
{
    (void)state;
    Session *session = elaborate("A -> 0 @ twice * k\n"
                                 "let twice = 2 * d\n"
                                 "param k = d + 1, d = 3\n"
                                 "const N = M * 2, M = 4\n"
                                 "species A = N, X[site] = 0\n"
                                 "index site = N\n"
                                 "X[0] -> A @ k\n");
    Network *network = session->network;
    assert_int_equal(network->params.count, 2);
    /* k names d, so d comes first. */
    assert_string_equal(network->params.items[0].name->text, "d");
    assert_string_equal(network->params.items[1].name->text, "k");
    assert_int_equal(network->params.items[1].flat, 1);
    assert_int_equal(network->species.items[1].shape.extent[0], 8);
    assert_int_equal(network->species.items[1].flat, 1);
    assert_int_equal(network->species_count, 9);
    ASSERT_NUMBER(value_of(network, network->species.items[0].initial, NULL, NULL), 8);
    double species[9] = {10}, params[2] = {3, 4};
    ASSERT_NUMBER(propensity(network, "r1", 0, species, params), 6 * 4 * 10);
    close_session(session);
}

static void
parameters_keep_what_is_said_about_them(void **state)
{
    (void)state;
    Session *session = elaborate("species A = 1\n"
                                 "param a = 2 in 1 .. 2^3 fit, b, W[3, 2] ~ normal(0, a)\n"
                                 "0 -> A @ a + b + W[2, 1]\n");
    const Network *network = session->network;
    const Param *a = &network->params.items[0], *b = &network->params.items[1];
    const Param *w = &network->params.items[2];
    assert_true(a->fit && a->has_bounds && a->low == 1 && a->high == 8);
    assert_true(!b->fit && !b->has_bounds && b->initial == 0);
    assert_int_equal(w->distribution, DISTRIBUTION_NORMAL);
    assert_int_equal(w->flat, 2);
    assert_int_equal(network->param_count, 8);
    assert_int_equal(expr_node(network, w->distribution_args[1])->op, EXPR_PARAM);
    close_session(session);
}

static void
functions_are_inlined_and_shared(void **state)
{
    (void)state;
    /* Each calls the one before twice: 2^40 copies if calls were not shared. */
    Text text;
    Memory memory = {0};
    Arena arena;
    rxn__arena_init(&arena, &memory);
    rxn__text_init(&text, &arena);
    rxn__text_printf(&text, "species A = 1\nfn f0(x) = x + 1\n");
    for (u32 i = 1; i <= 40; i++)
        rxn__text_printf(&text, "fn f%u(x) = f%u(x) / f%u(x) + x\n", i, i - 1, i - 1);
    rxn__text_printf(&text, "A => 0 @ f40(A)\n");
    Session *session = elaborate(text.data);
    assert_true(session->network->exprs.count < 400);
    double species[] = {3};
    ASSERT_NUMBER(propensity(session->network, "r1", 0, species, NULL), 4);
    close_session(session);
    rxn__arena_release(&arena);
}

static void
shorthand_may_be_redefined(void **state)
{
    (void)state;
    Session *session = elaborate("species A = 1\n"
                                 "builtin: A => 0 @ hill(A, 2, 3)\n");
    double species[] = {4};
    ASSERT_NUMBER(propensity(session->network, "builtin", 0, species, NULL), 64.0 / 72);
    close_session(session);
    session = elaborate("species A = 1\n"
                        "fn hill(x, k, h) = x^h / (k + x^h)\n"
                        "own: A => 0 @ hill(A, 2, 3)\n");
    ASSERT_NUMBER(propensity(session->network, "own", 0, species, NULL), 64.0 / 66);
    close_session(session);
}

static void
expressions_mean_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double expected;
    } rows[] = {
        {"min(A, 3, 2, 5)", 2},
        {"max(1, A)", 4},
        {"if A > 3 then 7 else 8", 7},
        {"if A >= 4 and not (A < 4) then 1 else 0", 1},
        {"if A != 4 or false then 1 else 2", 2},
        {"2^3^2 - 500", 12},
        {"10 - 3 - 2", 5},
        {"-2^2 + 5", 1},
        {"sum(i in 1 .. 4: i * A)", 40},
        {"prod(i in 1 .. 4: i)", 24},
        {"5 + sum(i in 3 .. 2: A)", 5},
        {"5 * prod(i in 3 .. 2: A)", 5},
        {"t * A", 8},
        {"sum(i in 0 .. 1: sum(j in 0 .. 2: 3*i + j))", 15},
    };
    for (u32 i = 0; i < COUNT_OF(rows); i++) {
        char text[200] = "species A = 1\nA => 0 @ ";
        strcat(text, rows[i].text);
        Session *session = elaborate(text);
        double species[] = {4};
        double value = propensity(session->network, "r1", 0, species, NULL);
        if (fabs(value - rows[i].expected) > 1e-12)
            fail_msg("%s is %g, not %g", rows[i].text, value, rows[i].expected);
        close_session(session);
    }
}

/* ---- Reactions ---------------------------------------------------------------------------- */

static void
mass_action_counts_ways(void **state)
{
    (void)state;
    Session *session = elaborate("species A = 1, B = 1\n"
                                 "param k = 1\n"
                                 "two:  A + A -> B @ k\n"
                                 "same: 2 A -> B @ k\n"
                                 "three: 3 A + 2 B -> 0 @ k\n"
                                 "none: 0 -> A @ k\n"
                                 "law:  2 A => B @ k * A\n");
    Network *network = session->network;
    double species[] = {10, 5}, params[] = {0.5};
    ASSERT_NUMBER(propensity(network, "two", 0, species, params), 0.5 * 45);
    assert_int_equal(reaction_called(network, "two")->propensity,
                     reaction_called(network, "same")->propensity);
    assert_int_equal(reaction_called(network, "two")->reactants.count, 1);
    assert_int_equal(reaction_called(network, "two")->reactants.items[0].coefficient, 2);
    ASSERT_NUMBER(propensity(network, "three", 0, species, params), 0.5 * 120 * 10);
    ASSERT_NUMBER(propensity(network, "none", 0, species, params), 0.5);
    ASSERT_NUMBER(propensity(network, "law", 0, species, params), 5);
    assert_false(reaction_called(network, "law")->mass_action);
    double few[] = {2, 5};
    ASSERT_NUMBER(propensity(network, "three", 0, few, params), 0);
    close_session(session);
}

static void
what_counts_as_mass_action(void **state)
{
    (void)state;
    Session *session = elaborate("species A = 1, B = 1\n"
                                 "param k = 1\n"
                                 "input x\n"
                                 "plain: A -> B @ k * x\n"
                                 "state: A -> B @ k * B\n"
                                 "clock: A -> B @ if t < 5 then k else 0\n"
                                 "bounded: 2 A -> B @ k * exp(-t) bound 2 * k\n");
    Network *network = session->network;
    assert_true(reaction_called(network, "plain")->mass_action);
    assert_false(reaction_called(network, "state")->mass_action);
    assert_false(reaction_called(network, "clock")->mass_action);
    double species[] = {10, 5}, params[] = {0.5};
    ASSERT_NUMBER(propensity(network, "state", 0, species, params), 0.5 * 5 * 10);
    /* A bound of the rate bounds the propensity with the same ways. */
    Expr bound = reaction_called(network, "bounded")->bound;
    ASSERT_NUMBER(value_of(network, bound, species, params), 2 * 0.5 * 45);
    close_session(session);
}

static void
members_that_coincide(void **state)
{
    (void)state;
    enum { SIZE = 4 };
    Session *session = elaborate("species A[4] = 1, B = 0\n"
                                 "for i in 0 .. 3 { for j in 0 .. 3 {\n"
                                 "  pair: A[i] + A[j] -> B @ 1\n"
                                 "  near: 2 A[i] + A[3 - j] + B -> 0 @ 1\n"
                                 "  never: A[0] + A[1] -> B @ 1\n"
                                 "} }\n"
                                 "for i in 0 .. 1 { apart: A[2*i] + A[2*i + 1] -> B @ 1 }\n"
                                 "for i in 0 .. 1 { for j in 0 .. 1 {\n"
                                 "  odd: A[2*i] + A[2*j + 1] -> B @ 1\n"
                                 "} }\n");
    Network *network = session->network;
    double species[SIZE + 1] = {3, 5, 7, 2, 6};
    for (u32 i = 0; i < SIZE; i++)
        for (u32 j = 0; j < SIZE; j++) {
            u32 member = i * SIZE + j, other = 3 - j;
            double a = species[i], b = species[j], c = species[other];
            double pair = i == j ? a * (a - 1) / 2 : a * b;
            double near = i == other ? a * (a - 1) * (a - 2) / 6 : a * (a - 1) / 2 * c;
            ASSERT_NUMBER(propensity(network, "pair", member, species, NULL), pair);
            ASSERT_NUMBER(propensity(network, "near", member, species, NULL), near * species[SIZE]);
            ASSERT_NUMBER(propensity(network, "never", member, species, NULL), 15);
        }
    ASSERT_NUMBER(propensity(network, "apart", 1, species, NULL), 14);
    ASSERT_NUMBER(propensity(network, "odd", 2, species, NULL), 35);
    assert_true(reaction_called(network, "apart")->mass_action);
    assert_true(reaction_called(network, "odd")->mass_action); /* an even one is no odd one */
    assert_false(reaction_called(network, "pair")->mass_action);
    /* Where they are one, two of it are used up. */
    Change change[4];
    u32 count = rxn__reaction_changes(network, reaction_called(network, "pair"), 5, 4, change);
    assert_int_equal(count, 2);
    assert_int_equal(change[0].species, 1);
    assert_int_equal(change[0].delta, -2);
    close_session(session);
}

static void
labels(void **state)
{
    (void)state;
    Session *session = elaborate("species A = 1, B = 1, X[3] = 0\n"
                                 "A -> B @ 1\n"
                                 "r4: A <-> B @ 1, 2\n"
                                 "for s in 0 .. 1 { hop: X[s] <-> X[s+1] @ 1, 2 }\n"
                                 "B <-> A @ 1, 2\n");
    Network *network = session->network;
    static const char *const expected[] = {"r1",          "r4",  "r4_reverse", "hop",
                                           "hop_reverse", "r4_", "r4__reverse"};
    assert_int_equal(network->reactions.count, COUNT_OF(expected));
    for (u32 i = 0; i < COUNT_OF(expected); i++)
        assert_string_equal(network->reactions.items[i].label->text, expected[i]);
    assert_int_equal(network->reaction_count, 9);
    assert_string_equal(rxn__reaction_label(network, 4, &session->arena), "hop[1]");
    const Reaction *back = reaction_called(network, "hop_reverse");
    Change change[2];
    assert_int_equal(rxn__reaction_changes(network, back, 1, 2, change), 2);
    assert_int_equal(change[0].species, 2 + 1);
    assert_int_equal(change[0].delta, 1);
    close_session(session);
}

static void
families_stay_families(void **state)
{
    (void)state;
    Session *session =
        elaborate("index pixel = 784, gene = 256\n"
                  "input x[pixel]\n"
                  "param W[gene, pixel] ~ normal(0, 0.05) fit\n"
                  "species H[gene] = 0\n"
                  "for g in gene { on: 0 => H[g] @ sum(p in pixel: W[g,p] * x[p]) }\n"
                  "for g in 5 .. 4 { never: H[g] -> 0 @ 1 }\n");
    Network *network = session->network;
    assert_int_equal(network->param_count, 200704);
    assert_int_equal(network->reactions.count, 1);
    assert_int_equal(network->reaction_count, 256);
    assert_true(network->exprs.count < 50);
    close_session(session);
}

/* ---- Events ------------------------------------------------------------------------------- */

static void
events_are_written_out(void **state)
{
    (void)state;
    Session *session = elaborate("species X[3] = 0, Y[3] = 0, A = 7\n"
                                 "A -> 0 @ 1\n"
                                 "for i in 0 .. 2 { at 10*i + 1: X[2 - i] = A + i, Y = 0 }\n"
                                 "every 5 from 2 until 20: A = A + 1\n"
                                 "when A > 3: A = 0\n");
    const Network *network = session->network;
    assert_int_equal(network->events.count, 5);
    double species[] = {0, 0, 0, 0, 0, 0, 7};
    for (u32 i = 0; i < 3; i++) {
        const Event *event = &network->events.items[i];
        assert_int_equal(event->kind, EVENT_AT);
        ASSERT_NUMBER(value_of(network, event->time, species, NULL), 10 * i + 1);
        assert_int_equal(event->assignments.count, 4);
        assert_int_equal(event->assignments.items[0].member, 2 - i);
        ASSERT_NUMBER(value_of(network, event->assignments.items[0].value, species, NULL), 7 + i);
        assert_int_equal(event->assignments.items[3].member, 5);
    }
    const Event *every = &network->events.items[3];
    assert_int_equal(every->kind, EVENT_EVERY);
    ASSERT_NUMBER(value_of(network, every->period, species, NULL), 5);
    ASSERT_NUMBER(value_of(network, every->time, species, NULL), 2);
    ASSERT_NUMBER(value_of(network, every->until, species, NULL), 20);
    assert_true(expr_node(network, network->events.items[4].condition)->is_bool);
    close_session(session);
}

/* ---- Modules ------------------------------------------------------------------------------ */

static const MemoryFile parts[] = {
    {"gene.rxn", "species Goff = 1, mRNA = copies\n"
                 "param kon = 0.1 in 0 .. 1, koff = kon * 2, copies = 3\n"
                 "const N = 2\n"
                 "index site = N\n"
                 "param W[site] = 1\n"
                 "input light\n"
                 "fn f(x) = x * kon\n"
                 "make: 0 -> mRNA @ f(W[N-1]) * light\n"
                 "mRNA -> 0 @ koff\n"
                 "observe mRNA\n"
                 "simulate until 3\n"},
    {"pair.rxn", "use \"gene.rxn\" as g (kon = k)\n"
                 "param k = 5\n"
                 "0 -> g.mRNA @ g.kon\n"},
    {NULL, NULL},
};

static void
modules_are_prefixed_and_bound(void **state)
{
    (void)state;
    Session *session = elaborate_files("use \"gene.rxn\" as a (kon = 2 * speed, N = 3, light = A)\n"
                                       "use \"gene.rxn\" as b (W = V)\n"
                                       "param speed = 4, V[2] = 6\n"
                                       "species A = 1\n"
                                       "A + a.mRNA -> b.mRNA @ a.koff\n",
                                       parts);
    Network *network = session->network;
    /* a.kon is an expression of `speed` now, which so comes before a.koff; b.W is V. */
    static const char *const params[] = {"speed", "a.koff", "a.copies", "a.W",
                                         "b.kon", "b.koff", "b.copies", "V"};
    assert_int_equal(network->params.count, COUNT_OF(params));
    for (u32 i = 0; i < COUNT_OF(params); i++)
        assert_string_equal(network->params.items[i].name->text, params[i]);
    assert_int_equal(network->params.items[3].shape.extent[0], 3);
    assert_int_equal(network->inputs.count, 1);
    assert_string_equal(network->inputs.items[0].name->text, "b.light");
    /* speed, a.koff, a.copies, a.W[0..2], b.kon, b.koff, b.copies, V[0], V[1] */
    double values[] = {4, 16, 3, 1, 1, 1.5, 0.1, 0.2, 3, 6, 7};
    double species[] = {1, 2, 1, 2, 10};
    ASSERT_NUMBER(value_of(network, network->params.items[1].initial, NULL, values), 16);
    ASSERT_NUMBER(propensity(network, "a.make", 0, species, values), 1.5 * 8 * 10);
    double light[] = {0.5};
    ExprValues with_light = {.species = species, .params = values, .inputs = light};
    Expr make = reaction_called(network, "b.make")->propensity;
    ASSERT_NUMBER(rxn__expr_evaluate(network, make, &with_light), 7 * 0.1 * 0.5);
    close_session(session);
}

static void
values_through_modules(void **state)
{
    (void)state;
    Session *session =
        elaborate_files("use \"pair.rxn\" as p (k = 7 * A)\n"
                        "species A = 1\n"
                        "A -> 0 @ 1\n",
                        (const MemoryFile[]){{"pair.rxn", "use \"gene.rxn\" as g (kon = k)\n"
                                                          "param k = 5\n"
                                                          "0 -> g.mRNA @ g.kon\n"},
                                             {"gene.rxn", "species mRNA = 2\n"
                                                          "param kon = 1\n"
                                                          "make: 0 -> mRNA @ kon\n"
                                                          "observe mRNA\n"
                                                          "simulate until 3\n"},
                                             {NULL, NULL}});
    Network *network = session->network;
    assert_string_equal(network->species.items[0].name->text, "p.g.mRNA");
    assert_int_equal(network->params.count, 0);
    double species[] = {9, 2};
    ASSERT_NUMBER(propensity(network, "p.g.make", 0, species, NULL), 14);
    ASSERT_NUMBER(propensity(network, "p.r1", 0, species, NULL), 14);
    assert_false(reaction_called(network, "p.g.make")->mass_action);
    /* What a module says about runs is its own. */
    assert_true(isnan(network->simulate_until));
    assert_int_equal(network->observables.count, 2);
    close_session(session);
}

/* ---- What is observed, simulate, fit ------------------------------------------------------ */

static void
observables(void **state)
{
    (void)state;
    Session *session = elaborate("const N = 4\n"
                                 "species H[N] = 0, A = 1\n"
                                 "param k = 1\n"
                                 "H[0] -> A @ k\n"
                                 "observe H, A\n"
                                 "observe total = A + sum(i in 0 .. N-1: H[i]), again = H, k\n");
    const Network *network = session->network;
    static const char *const columns[] = {"H[0]",     "H[1]",     "H[2]",     "H[3]",
                                          "A",        "total",    "again[0]", "again[1]",
                                          "again[2]", "again[3]", "k"};
    assert_int_equal(network->column_count, COUNT_OF(columns));
    for (u32 i = 0; i < COUNT_OF(columns); i++)
        assert_string_equal(rxn__column_label(network, i, &session->arena), columns[i]);
    close_session(session);
    session = elaborate("const N = 4\nspecies H[N] = 0\nH[0] -> 0 @ 1\nobserve H[N-1], H[0]\n");
    assert_string_equal(rxn__column_label(session->network, 0, &session->arena), "H[3]");
    assert_string_equal(rxn__column_label(session->network, 1, &session->arena), "H[0]");
    close_session(session);
    session = elaborate("species B = 0, X[2] = 0\nB -> X[1] @ 1\n");
    assert_int_equal(session->network->observables.count, 2);
    assert_int_equal(session->network->column_count, 3);
    close_session(session);
}

static void
simulate_and_fit_are_kept(void **state)
{
    (void)state;
    Session *session = elaborate("species A = 1\n"
                                 "param k = 1 fit\n"
                                 "A -> 0 @ k\n"
                                 "simulate until 2 * 5 every 0.5 at 1, 2.5\n"
                                 "fit {\n"
                                 "  data \"a.csv\"\n"
                                 "  loss mse(mean(A), data.A) + 0.1 * k^2\n"
                                 "  optimizer adam(rate = 0.05)\n"
                                 "  steps 100\n"
                                 "}\n");
    const Network *network = session->network;
    assert_true(network->simulate_until == 10 && network->simulate_every == 0.5);
    assert_int_equal(network->simulate_at.count, 2);
    assert_int_equal(network->fit.count, 4);
    assert_string_equal(network->fit.items[1].key->text, "loss");
    assert_string_equal(network->fit.items[1].text, "mse(mean(A), data.A) + 0.1 * k^2");
    assert_string_equal(network->fit.items[2].text, "adam(rate = 0.05)");
    assert_string_equal(network->name->text, "test");
    close_session(session);
}

/* ---- Failures ----------------------------------------------------------------------------- */

static void
errors_do_not_cascade(void **state)
{
    (void)state;
    Session *session = calloc(1, sizeof *session);
    assert_non_null(session);
    open_session(session);
    elaborate_in(session,
                 "species A = 1, X[nowhere] = 0\n"
                 "param k = missing\n"
                 "let a = k * missing\n"
                 "A -> X[0] @ a + missing + X[5]\n"
                 "use \"nowhere.rxn\" as part\n"
                 "0 -> part.A @ part.k[3]\n",
                 parts);
    assert_null(session->network);
    assert_int_equal(session->diagnostics.error_count, 3);
    close_session(session);
}

/* Whichever allocation fails, everything is given back. */
static void
memory_may_run_out(void **state)
{
    (void)state;
    static u64 allocations, fail_at; /* static: they outlive the jump */
    allocations = 0;
    for (fail_at = 0; fail_at <= allocations; fail_at++) {
        static Session session;
        session = (Session){0};
        session.memory.fail_at = fail_at;
        if (setjmp(session.on_failure) == 0) {
            open_session(&session);
            elaborate_in(&session, "use \"pair.rxn\" as p\nspecies A = 1\nA -> p.g.mRNA @ 1\n",
                         parts);
            if (fail_at == 0) {
                assert_non_null(session.network);
                allocations = session.memory.allocations;
            }
        }
        rxn__arena_release(&session.arena);
        assert_int_equal(session.memory.used, 0);
    }
    assert_true(allocations > 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(parameters_keep_what_is_said_about_them),
        cmocka_unit_test(functions_are_inlined_and_shared),
        cmocka_unit_test(shorthand_may_be_redefined),
        cmocka_unit_test(expressions_mean_what_they_say),
        cmocka_unit_test(mass_action_counts_ways),
        cmocka_unit_test(what_counts_as_mass_action),
        cmocka_unit_test(members_that_coincide),
        cmocka_unit_test(labels),
        cmocka_unit_test(families_stay_families),
        cmocka_unit_test(events_are_written_out),
        cmocka_unit_test(modules_are_prefixed_and_bound),
        cmocka_unit_test(values_through_modules),
        cmocka_unit_test(observables),
        cmocka_unit_test(simulate_and_fit_are_kept),
        cmocka_unit_test(errors_do_not_cascade),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
