/* columns: tables, continued lines and comments.
 *
 * Statements of one kind in lines one under the other, with no empty line between, are a table: its columns begin
 * where the longest cell before them ends. Arrows line up only where the author has begun to line them up (a gap of more
 * than one blank before one of them).
 *
 * A continued line stays below what it stood below: if its first token, or the operand behind its operator, began
 * under some token of the line before (or of the statement's first line), it does so again; else it keeps its distance
 * from the statement.
 *
 * All of it depends on what it leaves unchanged: so doing it twice is doing it once.
 */
#include "compiler/format/private.h"

enum {
    ARROW_STOP = 2, /* of a reaction */
    LAST_STOP = 3,
    FARTHEST = 40, /* a cell that would push a column farther than that takes no part in it */
    INDENT = 2,
    COMMENT_GAP = 2,
};

/* ---- Tables ------------------------------------------------------------------------------------- */

/* The piece of a line that has the stop, or NULL; and where it would stand if nothing were lined up any more. */
static Piece *
cell_of(Format *format, const Line *line, u32 stop, u32 *ret_column)
{
    u32 column = 0;
    for (u32 i = 0; i < line->count; i++) {
        Piece *piece = &format->pieces.items[line->first + i];
        column += i ? piece->gap : 0;
        if (piece->stop == stop) {
            *ret_column = column;
            return i ? piece : NULL;
        }
        column += piece->width;
    }
    return NULL;
}

/* Lines first … end of one table; those that are no statement's first are among them. */
static void
line_up(Format *format, u32 first, u32 end, u32 table, u32 stop)
{
    u32 nearest = UINT32_MAX, farthest = 0, column;
    bool wanted = table != LINE_REACTION || stop != ARROW_STOP;
    for (u32 i = first; i < end; i++) {
        const Line *line = &format->lines.items[i];
        const Piece *piece = line->table ? cell_of(format, line, stop, &column) : NULL;
        if (!piece)
            continue;
        wanted |= piece->source_gap > 1;
        if (column < nearest)
            nearest = column;
    }
    if (!wanted)
        return;
    for (u32 i = first; i < end; i++) {
        const Line *line = &format->lines.items[i];
        if (line->table && cell_of(format, line, stop, &column) && column - nearest <= FARTHEST &&
            column > farthest)
            farthest = column;
    }
    for (u32 i = first; i < end; i++) {
        const Line *line = &format->lines.items[i];
        Piece *piece = line->table ? cell_of(format, line, stop, &column) : NULL;
        if (piece && column < farthest)
            piece->gap += farthest - column;
    }
}

static void
find_tables(Format *format)
{
    const u32 count = format->lines.count;
    for (u32 first = 0, end; first < count; first = end) {
        const Line *head = &format->lines.items[first];
        for (end = first + 1; end < count; end++) {
            const Line *line = &format->lines.items[end];
            const bool begins = line->count > 0 && line->statement == end;
            if (line->blank_before || line->depth != head->depth ||
                (begins && line->table != head->table))
                break;
        }
        if (head->table)
            for (u32 stop = 1; stop <= LAST_STOP; stop++)
                line_up(format, first, end, head->table, stop);
    }
}

/* ---- Lines -------------------------------------------------------------------------------------- */

/* The piece of a line that began in this column of the source, or NULL. */
static const Piece *
piece_at(const Format *format, const Line *line, u32 source_column)
{
    u32 low = 0, high = line->count;
    while (low < high) {
        const u32 middle = low + (high - low) / 2;
        const Piece *piece = &format->pieces.items[line->first + middle];
        if (piece->source_column == source_column)
            return piece;
        if (piece->source_column < source_column)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool
begins_with_operator(const Piece *piece)
{
    return piece->role == PIECE_SPACED || piece->role == PIECE_TIGHT ||
           (piece->role == PIECE_WORD && piece->kind != IF && piece->kind != NOT);
}

static u32
continued_column(const Format *format, const Line *line, const Line *before, const Line *statement)
{
    const Piece *pieces = &format->pieces.items[line->first];
    const Line *const above[] = {before, statement};
    const i64 indent = INDENT * (i64)line->depth;
    const u32 kind = pieces[0].kind;
    const i64 least = indent + (kind == ')' || kind == ']' ? 0 : INDENT);
    i64 column = (i64)pieces[0].source_column -
                 format->pieces.items[statement->first].source_column + indent;
    for (u32 i = 0; i < 2 * COUNT_OF(above); i++) {
        const u32 k = i / COUNT_OF(above);
        if (k == 1 && (line->count < 2 || !begins_with_operator(&pieces[0])))
            break;
        const Piece *anchor = piece_at(format, above[i % COUNT_OF(above)], pieces[k].source_column);
        if (anchor) {
            column = (i64)anchor->column - (k ? pieces[0].width + pieces[1].gap : 0);
            break;
        }
    }
    return (u32)(column > least ? column : least);
}

static void
place_lines(Format *format)
{
    const Line *before = NULL; /* the last one that has pieces */
    for (u32 i = 0; i < format->lines.count; i++) {
        Line *line = &format->lines.items[i];
        line->column = INDENT * line->depth;
        if (line->count == 0)
            continue;
        if (line->statement != i)
            line->column =
                continued_column(format, line, before, &format->lines.items[line->statement]);
        u32 column = line->column;
        for (u32 k = 0; k < line->count; k++) {
            Piece *piece = &format->pieces.items[line->first + k];
            column += k ? piece->gap + piece->semicolon : 0;
            piece->column = column;
            column += piece->width;
        }
        line->end = column;
        before = line;
    }
    /* A comment within a statement goes with the line behind it. */
    for (u32 i = format->lines.count; i-- > 1;) {
        Line *line = &format->lines.items[i - 1];
        if (line->inside)
            line->column = format->lines.items[i].column;
    }
}

/* ---- Comments ----------------------------------------------------------------------------------- */

static bool
has_comment_behind(const Line *line)
{
    return line->count > 0 && line->comment_end > 0;
}

/* A comment alone that stands under one that is behind something, and goes on with it. */
static bool
goes_on(const Line *line, u32 source_column)
{
    return line->count == 0 && !line->inside && !line->blank_before &&
           line->comment_source_column == source_column;
}

static bool
closes_block(const Format *format, const Line *line)
{
    return line->count > 0 && format->pieces.items[line->first].kind == '}';
}

/* Comments of lines first … end, which all have one in the same depth. */
static void
place_comments(Format *format, u32 first, u32 end)
{
    u32 nearest = UINT32_MAX, farthest = 0, gap = FARTHEST, largest = 0;
    for (u32 i = first; i < end; i++) {
        const Line *line = &format->lines.items[i];
        if (has_comment_behind(line) && line->end < nearest)
            nearest = line->end;
    }
    for (u32 i = first; i < end; i++) {
        const Line *line = &format->lines.items[i];
        if (!has_comment_behind(line) || line->end - nearest > FARTHEST)
            continue;
        if (line->end > farthest)
            farthest = line->end;
        if (line->comment_source_gap < gap)
            gap = line->comment_source_gap;
        if (line->comment_source_gap > largest)
            largest = line->comment_source_gap;
    }
    if (gap < COMMENT_GAP)
        gap = COMMENT_GAP;
    const bool wanted = largest > COMMENT_GAP;
    u32 column = 0;
    for (u32 i = first; i < end; i++) {
        Line *line = &format->lines.items[i];
        if (has_comment_behind(line)) {
            const bool in_table = wanted && line->end - nearest <= FARTHEST;
            column = in_table ? farthest + gap : line->end + COMMENT_GAP;
        }
        line->comment_column = column;
    }
}

static void
find_comments(Format *format)
{
    const u32 count = format->lines.count;
    for (u32 i = 0; i < count; i++)
        format->lines.items[i].comment_column = format->lines.items[i].column;
    for (u32 first = 0, end; first < count; first = end) {
        const Line *head = &format->lines.items[first];
        end = first + 1;
        if (!has_comment_behind(head))
            continue;
        u32 source_column = head->comment_source_column;
        for (; end < count; end++) {
            const Line *line = &format->lines.items[end];
            if (line->depth != head->depth || line->blank_before || closes_block(format, line) ||
                closes_block(format, head))
                break;
            if (has_comment_behind(line))
                source_column = line->comment_source_column;
            else if (!goes_on(line, source_column))
                break;
        }
        place_comments(format, first, end);
    }
}

void
rxn__format_columns(Format *format)
{
    find_tables(format);
    place_lines(format);
    find_comments(format);
}
