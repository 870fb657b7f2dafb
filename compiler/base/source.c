/* source: the map from positions to files, lines and columns.
 *
 * Positions are dense over all files, so a Span of 8 bytes names its file too. Lines are found only
 * when something is reported or printed: each file keeps a mark every MARK_BYTES with the line that
 * holds it, so that finding a place costs a short scan whatever the file's size.
 */
#include "compiler/base/base.h"

#include <string.h>

enum { MARK_BYTES = 1024 };

struct SourceMark {
    u32 line;       /* number of the line that holds this byte, from 0 */
    u32 line_start; /* offset of that line */
    u32 column;     /* characters of that line before this byte */
};

static bool
starts_character(char byte)
{
    return ((u8)byte & 0xC0) != 0x80;
}

/* Moves the mark, which stands for offset `from`, to offset `to`. */
static void
advance_mark(SourceMark *mark, const char *text, u32 from, u32 to)
{
    for (u32 i = from; i < to; i++) {
        if (text[i] == '\n') {
            mark->line++;
            mark->line_start = i + 1;
            mark->column = 0;
        } else if (starts_character(text[i])) {
            mark->column++;
        }
    }
}

void
rxn__sources_init(SourceMap *map, Arena *arena)
{
    *map = (SourceMap){.arena = arena, .next_base = 1}; /* position 0 is "nowhere" */
}

u32
rxn__sources_add(SourceMap *map, const char *path, const char *text, size_t length)
{
    /* One position more than bytes: the end of a file is a place too. */
    if (length >= UINT32_MAX - map->next_base)
        return UINT32_MAX;
    SourceFile file = {
        .path = rxn__arena_copy_text(map->arena, path, strlen(path)),
        .text = rxn__arena_copy_text(map->arena, text, length),
        .length = (u32)length,
        .base = map->next_base,
    };
    SourceMark *marks = NEW_ARRAY(map->arena, SourceMark, length / MARK_BYTES + 1);
    SourceMark mark = {0};
    for (u32 at = MARK_BYTES; at <= length; at += MARK_BYTES) {
        advance_mark(&mark, text, at - MARK_BYTES, at);
        marks[at / MARK_BYTES] = mark;
    }
    file.marks = marks;
    map->next_base += (u32)length + 1;
    vec_push(map->arena, &map->files, file);
    return map->files.count - 1;
}

/* The file of a position and the mark moved to it; NULL for nowhere. */
static const SourceFile *
find_mark(const SourceMap *map, u32 position, SourceMark *ret_mark)
{
    if (position == 0 || position >= map->next_base || map->files.count == 0)
        return NULL;
    u32 low = 0, high = map->files.count; /* the file is in [low, high) */
    while (high - low > 1) {
        const u32 middle = low + (high - low) / 2;
        if (map->files.items[middle].base <= position)
            low = middle;
        else
            high = middle;
    }
    const SourceFile *file = &map->files.items[low];
    const u32 offset = position - file->base;
    *ret_mark = file->marks[offset / MARK_BYTES];
    advance_mark(ret_mark, file->text, offset / MARK_BYTES * MARK_BYTES, offset);
    return file;
}

void
rxn__sources_line_column(const SourceMap *map, u32 position, u32 *ret_line, u32 *ret_column)
{
    SourceMark mark;
    const bool found = find_mark(map, position, &mark) != NULL;
    *ret_line = found ? mark.line + 1 : 0;
    *ret_column = found ? mark.column + 1 : 0;
}

SourcePlace
rxn__sources_locate(const SourceMap *map, u32 position)
{
    SourceMark mark;
    const SourceFile *file = find_mark(map, position, &mark);
    if (!file)
        return (SourcePlace){0};
    const char *line = file->text + mark.line_start;
    const u32 rest = file->length - mark.line_start;
    const char *newline = memchr(line, '\n', rest);
    u32 length = newline ? (u32)(newline - line) : rest;
    if (length && line[length - 1] == '\r')
        length--;
    const u32 line_offset = position - file->base - mark.line_start;
    return (SourcePlace){
        .file = file,
        .line = mark.line + 1,
        .column = mark.column + 1,
        .line_text = line,
        .line_length = length,
        .line_offset = line_offset < length ? line_offset : length,
    };
}
