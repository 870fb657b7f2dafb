/* lines: which tokens and comments stand in a line.
 *
 * Every statement begins a line of its own, and the author's line breaks within statements stay; so does a block
 * that stands in one line, with all that is in it. No two lines become one: where a line ends can mean something.
 * Comments lie in the text between two tokens: in the line of the first, or in lines of their own.
 */
#include "compiler/format/private.h"

#include <assert.h>
#include <string.h>

enum { TAB = 8 };

typedef struct Brace {
    bool one_line, of_fit;
} Brace;

typedef struct Reader {
    Format *format;
    const char *text;
    u32 at, end;  /* what has been read, and up to where */
    u32 column;   /* of `at` in the source */
    u32 newlines; /* since the last token or comment */
    bool broken;  /* there was one since the last token */
    u32 depth;    /* of blocks that have lines of their own */
    VEC(Brace) braces;
    bool at_start;         /* of a statement */
    bool first_of_entries; /* the statement began with `fit` or stands in such a block */
    u32 statement;         /* the line where it began */
} Reader;

u32
rxn__format_width(const char *text, size_t length)
{
    u32 width = 0;
    for (size_t i = 0; i < length; i++)
        width += ((u8)text[i] & 0xC0) != 0x80;
    return width;
}

static Line *
last_line(Format *format)
{
    return format->lines.count ? &format->lines.items[format->lines.count - 1] : NULL;
}

static const Piece *
last_piece(const Format *format)
{
    return format->pieces.count ? &format->pieces.items[format->pieces.count - 1] : NULL;
}

/* An empty line of the source stays, but for those at the beginning of the file and of blocks. */
static bool
keeps_blank(Reader *reader)
{
    Format *format = reader->format;
    const Line *before = last_line(format);
    const bool opens = before && before->count > 0 && last_piece(format)->kind == '{';
    return before && reader->newlines > 1 && reader->at_start && !opens;
}

static void
take_comment(Reader *reader, u32 end)
{
    Format *format = reader->format;
    const u32 begin = reader->at, column = reader->column;
    reader->at = end;
    while (end > begin && strchr(" \t\r\f\v", reader->text[end - 1]) && reader->text[end - 1])
        end--;
    if (!reader->broken && format->pieces.count > 0) {
        Line *line = last_line(format);
        const Piece *piece = last_piece(format);
        line->comment_begin = begin;
        line->comment_end = end;
        line->comment_source_column = column;
        const u32 code_end = piece->source_column + piece->width;
        line->comment_source_gap = column > code_end ? column - code_end : 0;
    } else {
        const Line line = {.first = format->pieces.count,
                           .depth = reader->depth,
                           .statement = reader->at_start ? format->lines.count : reader->statement,
                           .comment_begin = begin,
                           .comment_end = end,
                           .comment_source_column = column,
                           .blank_before = keeps_blank(reader),
                           .inside = !reader->at_start};
        vec_push(format->arena, &format->lines, line);
    }
    reader->newlines = 0;
}

/* Reads what stands between two tokens. False after an error. */
static bool
take_gap(Reader *reader, u32 end)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    while (reader->at < end) {
        const char c = reader->text[reader->at];
        if (c == '#') {
            const char *newline = memchr(reader->text + reader->at, '\n', end - reader->at);
            take_comment(reader, newline ? (u32)(newline - reader->text) : end);
            continue;
        }
        if (c == '\n') {
            reader->newlines++;
            reader->broken = true;
            reader->column = 0;
        } else if (c == '\t') {
            reader->column += TAB - reader->column % TAB;
        } else if (c == byte_order_mark[0]) {
            /* One at the beginning goes; elsewhere it parts two words, which nobody can see. */
            if (reader->at > 0) {
                const u32 place = reader->format->source->base + reader->at;
                rxn__error(reader->format->diagnostics, (Span){place, place + 3},
                           "a byte order mark (U+FEFF) in the middle of the text");
                rxn__note(reader->format->diagnostics, (Span){0}, "remove it, or write a blank");
                return false;
            }
            reader->at += 2;
        } else {
            reader->column++;
        }
        reader->at++;
    }
    return true;
}

static void
begin_line(Reader *reader, bool starts)
{
    Format *format = reader->format;
    if (starts)
        reader->statement = format->lines.count;
    const Line line = {
        .first = format->pieces.count, .depth = reader->depth, .statement = reader->statement};
    vec_push(format->arena, &format->lines, line);
}

static void
take_token(Reader *reader, const Token *token, bool one_line)
{
    Format *format = reader->format;
    const u32 begin = token->span.begin - format->source->base;
    const u32 end = token->span.end - format->source->base;
    const u32 width = rxn__format_width(reader->text + begin, end - begin);
    const Brace *brace =
        reader->braces.count ? &reader->braces.items[reader->braces.count - 1] : NULL;
    const bool closes = token->kind == '}', in_line = brace && brace->one_line;
    const Piece *before = last_piece(format);
    Piece piece = {
        .begin = begin,
        .end = end,
        .width = width,
        .source_column = reader->column,
        .kind = (u16)token->kind,
        .starts = reader->at_start || closes,
        .of_fit = brace && brace->of_fit,
        .semicolon = reader->at_start && !closes && in_line && before && before->kind != '{',
    };
    if (before && !reader->broken)
        piece.source_gap = reader->column - (before->source_column + before->width);
    if (closes) {
        assert(brace);
        reader->braces.count--;
        reader->depth -= !in_line;
    }
    if (piece.starts && !in_line) {
        const bool blank_before = !closes && keeps_blank(reader);
        begin_line(reader, true);
        last_line(format)->blank_before = blank_before;
    } else if (reader->broken) {
        begin_line(reader, false);
    }
    if (piece.starts)
        reader->first_of_entries = token->kind == FIT || piece.of_fit;
    if (token->kind == '{') {
        const Brace opened = {.one_line = one_line, .of_fit = reader->first_of_entries};
        vec_push(format->arena, &reader->braces, opened);
        reader->depth += !one_line;
    }
    vec_push(format->arena, &format->pieces, piece);
    last_line(format)->count++;
    reader->at = end;
    reader->column += width;
    reader->newlines = 0;
    reader->broken = false;
    reader->at_start = token->kind == '{';
}

/* For each '{' whether its '}' is in the same line: in `ret_one_line`, by tokens. */
static void
find_one_line_blocks(const Format *format, bool *ret_one_line)
{
    VEC(u32) open = {0};
    const char *text = format->source->text;
    const u32 base = format->source->base;
    u32 at = 0, line = 0;
    u32 *lines = NEW_ARRAY(format->arena, u32, format->tokens.tokens.count);
    for (u32 i = 0; i < format->tokens.tokens.count; i++) {
        const Token *token = &format->tokens.tokens.items[i];
        if (token->kind != '{' && token->kind != '}')
            continue;
        for (; at < token->span.begin - base; at++)
            line += text[at] == '\n';
        lines[i] = line;
        if (token->kind == '{') {
            vec_push(format->arena, &open, i);
        } else {
            const u32 opening = open.items[--open.count];
            ret_one_line[opening] = lines[opening] == line;
        }
    }
}

bool
rxn__format_lines(Format *format)
{
    Reader reader = {.format = format, .text = format->source->text, .at_start = true};
    const u32 count = format->tokens.tokens.count;
    bool *one_line = NEW_ARRAY(format->arena, bool, count + 1);
    find_one_line_blocks(format, one_line);
    for (u32 i = 0; i < count; i++) {
        const Token *token = &format->tokens.tokens.items[i];
        if (token->kind == END) {
            reader.at_start = true;
            continue;
        }
        /* A ';' is of no column of its own: what is behind it begins a line. */
        if (!take_gap(&reader, token->span.begin - format->source->base))
            return false;
        if (token->kind == TOKEN_EOF)
            break;
        take_token(&reader, token, one_line[i]);
    }
    return true;
}
