/* parse: the entry of the parser. */
#include "grammar/parse.h"
#include "grammar/rxn.tab.h"

AstNode *
rxn__parse(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file)
{
    const SourceFile *source = &diagnostics->sources->files.items[file];
    Parser parser = {
        .arena = arena,
        .names = names,
        .diagnostics = diagnostics,
        .text = source->text,
        .length = source->length,
        .base = source->base,
    };
    const Span whole = {source->base, source->base + source->length};
    /* Opening fails only for lack of memory, and then it has jumped already. */
    if (rxn__scanner_open(&parser))
        rxn__bison_parse(&parser);
    /* NULL: given up half way. */
    AstNode *tree =
        parser.file ? parser.file : rxn__ast_node(arena, AST_FILE, whole, NULL, 0, NULL);
    tree->span = whole;
    rxn__ast_append_all(arena, tree, parser.poisons.items, parser.poisons.count);
    return tree;
}
