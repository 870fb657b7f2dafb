/* fuzz_model.c: any bytes as a model, through the scanner, the parser, sema and the network's passes.
 *
 * Whatever the bytes, the answer is a network or at least one error, within a limit of memory. A network
 * must keep its own rules before and after the passes, and its text must read back to the same text;
 * an expression printed as source must parse to the same tree, and so must the entries of a fit block.
 * `use "self"` is the input itself, which makes every circle of modules; `use "part"` is a small model of one
 * gene. A model with a fit block is elaborated for each of its experiments as well; every table that it
 * names is one of two. What is wrong ends in
 * abort(), which libFuzzer reports with the input.
 */
#include "compiler/network/objective.h"
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

/* Every path is a table: of a long form with times that repeat where it has an 'l' in it. */
static const RxnTable *
load_table(void *context, const char *from, const char *path, Arena *arena,
           const char **ret_resolved, const char **ret_reason)
{
    static const char *const texts[] = {
        "time,A,B,lag,sd\n0,1,2,0,1\n1,2,0,0.5,2\n2.5,7,1,3,0.5\n",
        "trajectory,time,A,B\n1,0,1,2\n1,3,2,0\n2,0,7,1\n2,3,4,-2\n"};
    static RxnTable tables[2]; /* kept: running out of memory jumps over their release */
    (void)context;
    (void)from;
    (void)arena;
    (void)ret_reason;
    const u32 which = strchr(path, 'l') != NULL;
    char error[512];
    if (!tables[which].path)
        expect(rxn__table_parse("t.csv", texts[which], strlen(texts[which]), &tables[which], error,
                                sizeof error),
               "the table does not read", error);
    *ret_resolved = path;
    return &tables[which];
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

/* The same of fit blocks, whole. */
static void
check_entries(const AstNode *file, Arena *arena, NameTable *names)
{
    for (u32 i = 0; i < file->kid_count; i++) {
        const AstNode *node = file->kids[i];
        if (node->kind != AST_FIT)
            continue;
        const char *expected = outline(node, arena);
        if (strstr(expected, "poison"))
            continue;
        Text source;
        rxn__text_init(&source, arena);
        rxn__text_printf(&source, "fit {\n");
        for (u32 k = 0; k < node->kid_count; k++) {
            rxn__ast_print_source(node->kids[k], &source);
            rxn__text_printf(&source, "\n");
        }
        rxn__text_printf(&source, "}\n");
        SourceMap sources;
        Diagnostics diagnostics;
        rxn__sources_init(&sources, arena);
        rxn__diagnostics_init(&diagnostics, arena, &sources);
        const u32 again = rxn__sources_add(&sources, "again", source.data, source.length);
        const AstNode *tree = rxn__parse(arena, names, &diagnostics, again);
        expect(diagnostics.error_count == 0, "a printed fit block does not parse", source.data);
        expect(tree->kid_count == 1 && strcmp(outline(tree->kids[0], arena), expected) == 0,
               "a printed fit block parses to another tree", source.data);
    }
}

/* ---- The network */

/* For one experiment of the fit. The number of experiments; 0: there was an error. */
static u32
run_fit(FuzzSession *s, SemaInput sema, u32 file, u32 experiment)
{
    Fit fit = {0};
    const FitTables tables = {.load = load_table};
    const FitRequest request = {.experiment = experiment,
                                .measures = experiment % 2 == 1,
                                .tables = &tables,
                                .ret_fit = &fit};
    sema.fit = &request;
    rxn__diagnostics_init(&s->diagnostics, &s->arena, &s->sources);
    Network *network = rxn__elaborate(&sema, file, NULL);
    expect((network == NULL) == (s->diagnostics.error_count > 0), "neither a fit nor an error",
           NULL);
    Text text;
    rxn__text_init(&text, &s->arena);
    rxn__diagnostics_render(&s->diagnostics, &text);
    if (!network)
        return 0;
    expect(network->objective->outputs.count == 1 + fit.points.count + fit.measures.count,
           "outputs are missing", NULL);
    check_network(network, &s->arena, &s->names);
    fuzz_passes(s, network);
    return fit.experiment_count;
}

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
    check_entries(tree, &s->arena, &s->names);
    const bool has_fit = network && network->fit.count > 0;
    if (network)
        fuzz_passes(s, network);
    for (u32 i = 0, count = has_fit; i < count && i < 4; i++)
        count = run_fit(s, sema, file, i);
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
