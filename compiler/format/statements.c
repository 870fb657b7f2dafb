/* statements: which statements a text has, and what each gives a name to: for programs that edit models.
 *
 * Like the formatter it goes by the tokens as the grammar got them. A statement ends with an END outside of blocks; the
 * word it begins with tells whether it is a list (`species M = 100, D = 0`), each of whose items can be written as a
 * statement of its own.
 */
#include "compiler/format/statements.h"
#include "compiler/format/private.h"

#include <string.h>

typedef struct Reading {
    Arena *arena;
    const SourceFile *source;
    const Token *tokens; /* of one statement, without its END */
    u32 count;
    ModelStatement *statement;
} Reading;

static bool
is_word(const Token *token)
{
    return token->kind != STRING && token->kind != NUMBER && token->name != NULL;
}

static const char *
text_of(const Reading *reading, const Token *first, const Token *last)
{
    const u32 base = reading->source->base;
    return rxn__arena_copy_text(reading->arena, reading->source->text + first->span.begin - base,
                                last->span.end - first->span.begin);
}

/* What stands from the first token to the last one. */
static void
add_item(Reading *reading, const char *name, const Token *first, const Token *last)
{
    const u32 begin = first->span.begin - reading->source->base;
    const ModelItem item = {
        .name = name,
        .first = begin,
        .length = last->span.end - reading->source->base - begin,
    };
    vec_push(reading->arena, &reading->statement->items, item);
}

static void
add_whole(Reading *reading, const Token *name)
{
    add_item(reading, name->name->text, &reading->tokens[0], &reading->tokens[reading->count - 1]);
}

static void
change_depth(const Token *token, u32 *depth)
{
    if (token->kind == '(' || token->kind == '[' || token->kind == '{')
        ++*depth;
    else if (token->kind == ')' || token->kind == ']' || token->kind == '}')
        --*depth;
}

/* An observable that is named by nothing but what it is (`observe H[3]`) is called that. */
static const char *
item_name(const Reading *reading, const Token *first, const Token *last, bool observes)
{
    if (observes && (first == last || first[1].kind != '='))
        return text_of(reading, first, last);
    return first->name->text;
}

/* The items behind the first token, parted by the commas outside of brackets. */
static void
read_list(Reading *reading, bool observes)
{
    u32 depth = 0, first = 1;
    for (u32 i = 1; i <= reading->count; i++) {
        if (i < reading->count)
            change_depth(&reading->tokens[i], &depth);
        if (i < reading->count && (depth > 0 || reading->tokens[i].kind != ','))
            continue;
        const Token *from = &reading->tokens[first], *to = &reading->tokens[i - 1];
        if (first < i && is_word(from))
            add_item(reading, item_name(reading, from, to, observes), from, to);
        first = i + 1;
    }
}

/* The labels of the reactions in the blocks of a `for`. */
static void
read_labels(Reading *reading)
{
    for (u32 i = 1; i + 2 < reading->count; i++) {
        const int before = reading->tokens[i].kind;
        const Token *name = &reading->tokens[i + 1];
        if ((before == '{' || before == END) && is_word(name) && name[1].kind == ':')
            add_whole(reading, name);
    }
}

static const char *
keyword_of(const Token *first)
{
    if (rxn__format_is_statement_word((u32)first->kind))
        return first->name->text;
    switch (first->kind) {
    case AT: return "at";
    case EVERY: return "every";
    case FIT: return "fit";
    default: return "reaction";
    }
}

/* `at`, `every` and `fit` are names too, and first in a reaction the layout leaves them NAMEs; but a label `at:` is of
 * the kind of the word where the grammar takes any name. What follows tells. */
static bool
is_reaction(const Reading *reading)
{
    const Token *first = &reading->tokens[0];
    if (first->kind != AT && first->kind != EVERY && first->kind != FIT)
        return strcmp(keyword_of(first), "reaction") == 0;
    return reading->count > 1 && reading->tokens[1].kind == ':';
}

static void
read_statement(Reading *reading)
{
    const Token *tokens = reading->tokens;
    ModelStatement *statement = reading->statement;
    statement->keyword = "reaction";
    if (is_reaction(reading)) {
        if (reading->count > 1 && tokens[1].kind == ':' && is_word(&tokens[0]))
            add_whole(reading, &tokens[0]);
        return;
    }
    statement->keyword = keyword_of(&tokens[0]);
    switch (tokens[0].kind) {
    case CONST:
    case INDEX:
    case SPECIES:
    case PARAM:
    case INPUT:
    case LET: read_list(reading, false); break;
    case OBSERVE: read_list(reading, true); break;
    case MODEL:
    case FN: add_whole(reading, &tokens[1]); break;
    case USE: add_whole(reading, &tokens[3]); break;
    case FOR: read_labels(reading); break;
    default: break;
    }
}

/* Up to the end of a comment behind it in its line. */
static u32
end_with_comment(const SourceFile *source, u32 end)
{
    u32 at = end;
    while (at < source->length && source->text[at] && strchr(" \t\r\f\v;", source->text[at]))
        at++;
    if (at == source->length || source->text[at] != '#')
        return end;
    while (at < source->length && source->text[at] != '\n')
        at++;
    while (source->text[at - 1] == '\r')
        at--;
    return at;
}

RxnStatus
rxn__statements(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file,
                ModelStatements *ret_statements, bool *ret_incomplete)
{
    const SourceFile *source = &diagnostics->sources->files.items[file];
    TokenList log = {0};
    *ret_statements = (ModelStatements){0};
    rxn__parse_tokens(arena, names, diagnostics, file, &log);
    *ret_incomplete = log.ends_early;
    if (diagnostics->error_count > 0)
        return RXN_ERROR_INPUT;
    u32 depth = 0, first = 0;
    for (u32 i = 0; i < log.tokens.count; i++) {
        const Token *token = &log.tokens.items[i];
        change_depth(token, &depth);
        if (depth > 0 || token->kind != END)
            continue;
        ModelStatement statement = {.first = log.tokens.items[first].span.begin - source->base};
        Reading reading = {arena, source, &log.tokens.items[first], i - first, &statement};
        read_statement(&reading);
        const u32 end = log.tokens.items[i - 1].span.end - source->base;
        statement.length = end_with_comment(source, end) - statement.first;
        vec_push(arena, &ret_statements->items, statement);
        first = i + 1;
    }
    return RXN_OK;
}
