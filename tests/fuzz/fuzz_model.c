/* fuzz_model.c: any bytes as a model, through the scanner, the parser, sema and the network's passes.
 *
 * Whatever the bytes, the answer is a network or at least one error, within a limit of memory. A network
 * must keep its own rules before and after the passes, and its text must read back to the same text;
 * an expression printed as source must parse to the same tree. `use "self"` is the input itself, which
 * makes every circle of modules; `use "part"` is a small model of one gene. What is wrong ends in
 * abort(), which libFuzzer reports with the input.
 */
#include "compiler/sema/sema.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMORY_LIMIT = 512 << 20,
    MAX_INPUT = 1 << 20,
    MAX_PRINTED_MEMBERS =
        100000 /* above, laws and edges are still found, but not every text is read back */
};

typedef struct Model {
    const char *text;
    size_t length;
} Model;

static void
expect(bool holds, const char *what, const char *why)
{
    if (holds)
        return;
    fprintf(stderr, "%s: %s\n", what, why ? why : "");
    abort();
}

static bool
load(void *context, const char *from, const char *path, Arena *arena, const char **ret_resolved,
     const char **ret_text, size_t *ret_length, const char **ret_reason)
{
    static const char part[] = "species G = 1, M = 0\nparam kon = 0.1, koff = 1\n"
                               "up: G -> G + M @ kon\ndown: M -> 0 @ koff\nobserve M\n";
    const Model *input = context;
    (void)from;
    (void)arena;
    if (strcmp(path, "self") == 0) {
        *ret_resolved = "self";
        *ret_text = input->text;
        *ret_length = input->length;
        return true;
    }
    if (strcmp(path, "part") == 0) {
        *ret_resolved = "part";
        *ret_text = part;
        *ret_length = sizeof part - 1;
        return true;
    }
    *ret_reason = "there is no such file";
    return false;
}

/* ---- The tree */

static const char *
outline(const AstNode *tree, Arena *arena)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__ast_print(tree, NULL, &text);
    return text.data;
}

/* The values of `let` and `const`, printed as source and read again. */
static void
check_expressions(const AstNode *file, Arena *arena, NameTable *names)
{
    for (u32 i = 0; i < file->kid_count; i++) {
        const AstNode *node = file->kids[i];
        if (node->kind != AST_LET && node->kind != AST_CONST)
            continue;
        const char *expected = outline(node->kids[0], arena);
        if (strstr(expected, "poison"))
            continue;
        Text source;
        rxn__text_init(&source, arena);
        rxn__text_printf(&source, "let v = ");
        rxn__ast_print_source(node->kids[0], &source);
        SourceMap sources;
        Diagnostics diagnostics;
        rxn__sources_init(&sources, arena);
        rxn__diagnostics_init(&diagnostics, arena, &sources);
        const u32 again = rxn__sources_add(&sources, "again", source.data, source.length);
        const AstNode *tree = rxn__parse(arena, names, &diagnostics, again);
        expect(diagnostics.error_count == 0, "printed source does not parse", source.data);
        expect(strcmp(outline(tree->kids[0]->kids[0], arena), expected) == 0,
               "printed source parses to another tree", source.data);
    }
}

/* ---- The network */

static void
check_network(const Network *network, Arena *arena, NameTable *names)
{
    const char *broken = rxn__network_check(network, arena);
    expect(!broken, "the network breaks a rule", broken);
    if (network->species_count > MAX_PRINTED_MEMBERS ||
        network->reaction_count > MAX_PRINTED_MEMBERS)
        return;
    Text first, second;
    rxn__text_init(&first, arena);
    rxn__text_init(&second, arena);
    rxn__network_print(network, &first);
    Network *again = NULL;
    const char *error = rxn__network_read(arena, names, first.data, first.length, &again);
    expect(!error, "a printed network does not read", error);
    rxn__network_print(again, &second);
    expect(first.length == second.length && memcmp(first.data, second.data, first.length) == 0,
           "print, read, print differs", first.data);
}

typedef struct Session {
    Memory memory;
    jmp_buf failed;
    Arena arena, scratch;
    NameTable names;
    SourceMap sources;
    Diagnostics diagnostics;
} Session;

static void
run(Session *s, const Model *input)
{
    rxn__names_init(&s->names, &s->arena);
    rxn__sources_init(&s->sources, &s->arena);
    rxn__diagnostics_init(&s->diagnostics, &s->arena, &s->sources);
    const u32 file = rxn__sources_add(&s->sources, "self", input->text, input->length);
    const SourceLoader loader = {.context = (void *)input, .load = load};
    const SemaInput sema = {.arena = &s->arena,
                            .names = &s->names,
                            .sources = &s->sources,
                            .diagnostics = &s->diagnostics,
                            .loader = &loader};
    AstNode *tree = NULL;
    Network *network = rxn__elaborate(&sema, file, &tree);
    expect(tree != NULL, "no tree", NULL);
    expect((network == NULL) == (s->diagnostics.error_count > 0), "neither a network nor an error",
           NULL);
    Text text;
    rxn__text_init(&text, &s->arena);
    rxn__diagnostics_render(&s->diagnostics, &text);
    rxn__ast_print(tree, &s->sources, &text);
    check_expressions(tree, &s->arena, &s->names);
    if (!network)
        return;
    check_network(network, &s->arena, &s->names);
    const char *internal = NULL;
    const bool passed =
        rxn__network_passes(network, &s->diagnostics, &s->scratch, NULL, NULL, &internal);
    expect(!internal, "internal error in the passes", internal);
    expect(passed == (s->diagnostics.error_count == 0), "the passes fail without an error", NULL);
    if (passed)
        check_network(network, &s->arena, &s->names);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static Session session; /* not on the stack: it outlives the jump */
    if (size > MAX_INPUT)
        return 0;
    char *text = malloc(size + 1); /* exactly as long as it is, so that reading on is seen */
    memcpy(text, data, size);
    text[size] = 0;
    const Model input = {.text = text, .length = size};
    memset(&session, 0, sizeof session);
    session.memory.limit = MEMORY_LIMIT;
    session.memory.on_failure = &session.failed;
    rxn__arena_init(&session.arena, &session.memory);
    rxn__arena_init(&session.scratch, &session.memory);
    if (setjmp(session.failed) == 0)
        run(&session, &input);
    rxn__arena_release(&session.scratch);
    rxn__arena_release(&session.arena);
    expect(session.memory.used == 0, "memory is left", NULL);
    free(text);
    return 0;
}
