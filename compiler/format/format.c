/* format: the way of a text through the formatter, and the proof that it is still the same model. */
#include "compiler/format/private.h"

#include <string.h>

static void
put_blanks(Text *out, u32 count)
{
    static const char blanks[] = "                                ";
    for (u32 part; count > 0; count -= part) {
        part = count < sizeof blanks - 1 ? count : (u32)sizeof blanks - 1;
        rxn__text_append(out, blanks, part);
    }
}

static void
put_line(const Format *format, const Line *line, Text *out)
{
    const char *text = format->source->text;
    u32 column = 0;
    if (line->blank_before)
        rxn__text_append(out, "\n", 1);
    for (u32 i = 0; i < line->count; i++) {
        const Piece *piece = &format->pieces.items[line->first + i];
        if (piece->semicolon && i > 0) {
            rxn__text_append(out, ";", 1);
            column++;
        }
        put_blanks(out, piece->column - column);
        rxn__text_append(out, text + piece->begin, piece->end - piece->begin);
        column = piece->column + piece->width;
    }
    if (line->comment_end > 0) {
        put_blanks(out, line->comment_column - column);
        rxn__text_append(out, text + line->comment_begin, line->comment_end - line->comment_begin);
    }
    rxn__text_append(out, "\n", 1);
}

/* ---- Is it the same? ---------------------------------------------------------------------------- */

static bool
same_bytes(const Format *a, u32 a_begin, u32 a_end, const Format *b, u32 b_begin, u32 b_end)
{
    return a_end - a_begin == b_end - b_begin &&
           memcmp(a->source->text + a_begin, b->source->text + b_begin, a_end - a_begin) == 0;
}

static bool
same_pieces(const Format *a, const Format *b)
{
    if (a->pieces.count != b->pieces.count)
        return false;
    for (u32 i = 0; i < a->pieces.count; i++) {
        const Piece *x = &a->pieces.items[i], *y = &b->pieces.items[i];
        if (x->kind != y->kind || !same_bytes(a, x->begin, x->end, b, y->begin, y->end))
            return false;
    }
    return true;
}

/* The next line from *at on that has a comment, or NULL. */
static const Line *
next_comment(const Format *format, u32 *at)
{
    while (*at < format->lines.count) {
        const Line *line = &format->lines.items[(*at)++];
        if (line->comment_end > 0)
            return line;
    }
    return NULL;
}

/* The same comments, in the same order, behind the same tokens. */
static bool
same_comments(const Format *a, const Format *b)
{
    for (u32 i = 0, k = 0;;) {
        const Line *x = next_comment(a, &i), *y = next_comment(b, &k);
        if (!x || !y)
            return x == y;
        if (x->first + x->count != y->first + y->count || (x->count > 0) != (y->count > 0) ||
            !same_bytes(a, x->comment_begin, x->comment_end, b, y->comment_begin, y->comment_end))
            return false;
    }
}

/* NULL, or in what the text differs from what it was made of. */
static const char *
difference(const Format *format, const AstNode *tree, NameTable *names, const Text *text)
{
    SourceMap sources;
    Diagnostics diagnostics;
    rxn__sources_init(&sources, format->arena);
    rxn__diagnostics_init(&diagnostics, format->arena, &sources);
    const u32 file = rxn__sources_add(&sources, "formatted", text->data, text->length);
    Format again = {
        .arena = format->arena, .diagnostics = &diagnostics, .source = &sources.files.items[file]};
    AstNode *other = rxn__parse_tokens(format->arena, names, &diagnostics, file, &again.tokens);
    if (diagnostics.error_count > 0)
        return "the formatted text is no model";
    if (!rxn__ast_equal(tree, other))
        return "the formatted text is another model";
    if (!rxn__format_lines(&again) || !same_pieces(format, &again))
        return "the formatted text has other tokens";
    return same_comments(format, &again) ? NULL : "the formatted text has other comments";
}

RxnStatus
rxn__format(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file, Text *ret_text,
            const char **ret_internal_error)
{
    Format format = {.arena = arena,
                     .diagnostics = diagnostics,
                     .source = &diagnostics->sources->files.items[file]};
    const AstNode *tree = rxn__parse_tokens(arena, names, diagnostics, file, &format.tokens);
    if (diagnostics->error_count > 0 || !rxn__format_lines(&format))
        return RXN_ERROR_INPUT;
    rxn__format_spacing(&format);
    rxn__format_columns(&format);
    rxn__text_init(ret_text, arena);
    for (u32 i = 0; i < format.lines.count; i++)
        put_line(&format, &format.lines.items[i], ret_text);
    if (ret_text->length > RXN_MAX_SOURCE_BYTES) {
        rxn__error(diagnostics, (Span){0}, "the formatted text is larger than 64 MiB");
        return RXN_ERROR_INPUT;
    }
    *ret_internal_error = difference(&format, tree, names, ret_text);
    return *ret_internal_error ? RXN_ERROR_INTERNAL : RXN_OK;
}
