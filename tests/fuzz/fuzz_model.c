/* fuzz_model.c: any bytes as a model, through the scanner, the parser, sema and the network's passes.
 *
 * Whatever the bytes, the answer is a network or at least one error, within a limit of memory. A network
 * must keep its own rules before and after the passes, and its text must read back to the same text;
 * an expression printed as source must parse to the same tree. `use "self"` is the input itself, which
 * makes every circle of modules; `use "part"` is a small model of one gene. What is wrong ends in
 * abort(), which libFuzzer reports with the input.
 */
#include "tests/fuzz/front.h"

enum { MAX_INPUT = 1 << 20, MEMORY_LIMIT = 512 << 20 };

typedef struct Model {
    const char *text;
    size_t length;
} Model;

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
run(FuzzSession *s, void *context)
{
    const Model *input = context;
    const u32 file = rxn__sources_add(&s->sources, "self", input->text, input->length);
    const SourceLoader loader = {.context = context, .load = load};
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
    if (network)
        fuzz_passes(s, network);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    if (size > MAX_INPUT)
        return 0;
    char *text = malloc(size + 1); /* exactly as long as it is, so that reading on is seen */
    memcpy(text, data, size);
    text[size] = 0;
    Model input = {.text = text, .length = size};
    fuzz_session(MEMORY_LIMIT, run, &input);
    free(text);
    return 0;
}
