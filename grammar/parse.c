/* parse: the entries of the parser. */
#include "grammar/parse.h"
#include "grammar/rxn.tab.h"

static Parser
parse(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file, bool of_expression,
      TokenList *log)
{
    const SourceFile *source = &diagnostics->sources->files.items[file];
    Parser parser = {
        .arena = arena,
        .names = names,
        .diagnostics = diagnostics,
        .text = source->text,
        .length = source->length,
        .base = source->base,
        .of_expression = of_expression,
        .log = log,
    };
    /* Opening fails only for lack of memory, and then it has jumped already. */
    if (rxn__scanner_open(&parser))
        rxn__bison_parse(&parser);
    return parser;
}

AstNode *
rxn__parse_tokens(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file,
                  TokenList *log)
{
    const Parser parser = parse(arena, names, diagnostics, file, false, log);
    const Span whole = {parser.base, parser.base + parser.length};
    /* NULL: given up half way. */
    AstNode *tree =
        parser.file ? parser.file : rxn__ast_node(arena, AST_FILE, whole, NULL, 0, NULL);
    tree->span = whole;
    rxn__ast_append_all(arena, tree, parser.poisons.items, parser.poisons.count);
    return tree;
}

AstNode *
rxn__parse(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file)
{
    return rxn__parse_tokens(arena, names, diagnostics, file, NULL);
}

AstNode *
rxn__parse_expression(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file)
{
    const u32 errors = diagnostics->error_count;
    const Parser parser = parse(arena, names, diagnostics, file, true, NULL);
    return diagnostics->error_count == errors ? parser.file : NULL;
}
