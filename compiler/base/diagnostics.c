/* diagnostics: what is wrong, where, and the way out, for people.
 *
 *     dimer.rxn:7:23: error: there is no parameter 'kof'
 *     unbind:  D   -> 2 M   @ kof
 *                             ^~~
 *     note: did you mean 'koff'?
 *
 * A list is kept in order of report and sorted by place only when it is rendered, since checks run in
 * an order that is not the reader's. Sources are hostile text: nothing of them reaches the terminal
 * that is not printable.
 */
#include "compiler/base/base.h"

#include <stdlib.h>
#include <string.h>

enum {
    SHOWN_LINE = 160, /* longest source line that is shown whole, bytes */
    SHOWN_NAME = 60,  /* longest name in a message, bytes */
    LEAD = 40,        /* bytes before the span that a cut line keeps */
};

void
rxn__diagnostics_init(Diagnostics *diagnostics, Arena *arena, const SourceMap *sources)
{
    *diagnostics = (Diagnostics){.arena = arena, .sources = sources};
}

static bool
is_reported(const Diagnostics *diagnostics, DiagnosticKind kind, Span span, const char *message)
{
    for (u32 i = 0; i < diagnostics->list.count; i++) {
        const Diagnostic *d = &diagnostics->list.items[i];
        if (d->kind == kind && d->span.begin == span.begin && d->span.end == span.end &&
            strcmp(d->message, message) == 0)
            return true;
    }
    return false;
}

static void
report(Diagnostics *diagnostics, DiagnosticKind kind, Span span, const char *format, va_list args)
{
    u32 *count = NULL;
    if (kind == DIAGNOSTIC_NOTE) {
        if (diagnostics->dropping)
            return;
    } else {
        const bool is_error = kind == DIAGNOSTIC_ERROR;
        count = is_error ? &diagnostics->error_count : &diagnostics->warning_count;
        if (*count >= RXN_MAX_ERRORS) { /* before any text is made: there may be millions */
            diagnostics->dropping = true;
            ++*count;
            ++*(is_error ? &diagnostics->dropped : &diagnostics->dropped_warnings);
            return;
        }
    }
    Text message;
    rxn__text_init(&message, diagnostics->arena);
    rxn__text_vprintf(&message, format, args);
    if (count) {
        diagnostics->dropping = is_reported(diagnostics, kind, span, message.data);
        if (diagnostics->dropping)
            return;
        ++*count;
    }
    vec_push(diagnostics->arena, &diagnostics->list,
             ((Diagnostic){.kind = kind, .span = span, .message = message.data}));
}

void
rxn__error(Diagnostics *diagnostics, Span span, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report(diagnostics, DIAGNOSTIC_ERROR, span, format, args);
    va_end(args);
}

void
rxn__warning(Diagnostics *diagnostics, Span span, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report(diagnostics, DIAGNOSTIC_WARNING, span, format, args);
    va_end(args);
}

void
rxn__note(Diagnostics *diagnostics, Span span, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report(diagnostics, DIAGNOSTIC_NOTE, span, format, args);
    va_end(args);
}

void
rxn__diagnostics_soften(Diagnostics *diagnostics, u32 first)
{
    for (u32 i = first; i < diagnostics->list.count; i++)
        if (diagnostics->list.items[i].kind == DIAGNOSTIC_ERROR) {
            diagnostics->list.items[i].kind = DIAGNOSTIC_WARNING;
            diagnostics->error_count--;
            diagnostics->warning_count++;
        }
}

u32
rxn__utf8_length(const char *text, size_t available)
{
    const u8 *bytes = (const u8 *)text;
    if (available == 0)
        return 0;
    if (bytes[0] < 0x80)
        return 1;
    /* Least code point of each length: a longer form than needed is not UTF-8, nor is a surrogate. */
    static const u32 least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const u32 length = bytes[0] >= 0xF0 ? 4 : bytes[0] >= 0xE0 ? 3 : bytes[0] >= 0xC0 ? 2 : 0;
    if (length == 0 || bytes[0] > 0xF4 || length > available)
        return 0;
    u32 code = bytes[0] & (0xFFu >> (length + 1));
    for (u32 i = 1; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (bytes[i] & 0x3F);
    }
    if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    return length;
}

/* A character that a terminal would obey instead of show: C0, DEL and C1. */
static bool
is_control(const char *text, u32 length)
{
    const u8 first = (u8)text[0];
    return (length == 1 && (first < 0x20 || first == 0x7F)) ||
           (length == 2 && first == 0xC2 && (u8)text[1] < 0xA0);
}

/* The line and, under its characters from `begin` to `end`, the caret and tildes. */
static void
render_line(const SourcePlace *place, u32 end, Text *out)
{
    const char *text = place->line_text;
    u32 first = 0, last = place->line_length;
    const u32 begin = place->line_offset;
    if (end > last)
        end = last;
    if (last > SHOWN_LINE) {
        if (begin > LEAD && last - begin + LEAD > SHOWN_LINE)
            first = begin - LEAD;
        else if (begin > LEAD)
            first = last - SHOWN_LINE;
        while (first < begin && ((u8)text[first] & 0xC0) == 0x80)
            first++;
        if (last - first > SHOWN_LINE) {
            last = first + SHOWN_LINE;
            while (last > begin && last > first && ((u8)text[last] & 0xC0) == 0x80)
                last--;
        }
    }
    Text carets;
    rxn__text_init(&carets, out->arena);
    if (first > 0) {
        rxn__text_append(out, "...", 3);
        rxn__text_append(&carets, "   ", 3);
    }
    bool marked = false;
    for (u32 at = first; at < last;) {
        u32 length = rxn__utf8_length(text + at, last - at);
        if (text[at] == '\t')
            rxn__text_append(out, "\t", 1);
        else if (length == 0 || is_control(text + at, length))
            rxn__text_append(out, "?", 1);
        else
            rxn__text_append(out, text + at, length);
        if (length == 0)
            length = 1;
        if (at + length > begin && !marked) {
            rxn__text_append(&carets, "^", 1);
            marked = true;
        } else if (marked && at < end) {
            rxn__text_append(&carets, "~", 1);
        } else if (!marked) {
            rxn__text_append(&carets, text[at] == '\t' ? "\t" : " ", 1);
        }
        at += length;
    }
    if (!marked)
        rxn__text_append(&carets, "^", 1);
    rxn__text_printf(out, "%s\n%s\n", last < place->line_length ? "..." : "", carets.data);
}

static void
render_one(const Diagnostics *diagnostics, const Diagnostic *d, Text *out)
{
    static const char *const words[] = {"error", "warning", "note"};
    const SourcePlace place = rxn__sources_locate(diagnostics->sources, d->span.begin);
    if (!place.file) {
        rxn__text_printf(out, "%s: %s\n", words[d->kind], d->message);
        return;
    }
    rxn__text_printf(out, "%s:%u:%u: %s: %s\n", place.file->path, place.line, place.column,
                     words[d->kind], d->message);
    const u32 length = d->span.end > d->span.begin ? d->span.end - d->span.begin : 0;
    const u32 room = place.line_length - place.line_offset;
    render_line(&place, place.line_offset + (length < room ? length : room), out);
}

/* An error or a warning with the notes behind it. */
typedef struct Group {
    u32 first, count;
    u32 position;
} Group;

static int
compare_groups(const void *a, const void *b)
{
    const Group *left = a, *right = b;
    if (left->position != right->position)
        return left->position < right->position ? -1 : 1;
    return left->first < right->first ? -1 : left->first > right->first;
}

void
rxn__diagnostics_render(const Diagnostics *diagnostics, Text *out)
{
    VEC(Group) groups = {0};
    for (u32 i = 0; i < diagnostics->list.count; i++) {
        const Diagnostic *d = &diagnostics->list.items[i];
        if (d->kind == DIAGNOSTIC_NOTE && groups.count)
            groups.items[groups.count - 1].count++;
        else
            vec_push(out->arena, &groups,
                     ((Group){.first = i, .count = 1, .position = d->span.begin}));
    }
    if (groups.count)
        qsort(groups.items, groups.count, sizeof(Group), compare_groups);
    for (u32 g = 0; g < groups.count; g++)
        for (u32 i = 0; i < groups.items[g].count; i++)
            render_one(diagnostics, &diagnostics->list.items[groups.items[g].first + i], out);
    if (diagnostics->dropped)
        rxn__text_printf(out, "too many errors: %u more not shown\n", diagnostics->dropped);
    if (diagnostics->dropped_warnings)
        rxn__text_printf(out, "too many warnings: %u more not shown\n",
                         diagnostics->dropped_warnings);
}

const char *
rxn__shown(Arena *arena, const char *text, size_t length)
{
    Text out;
    rxn__text_init(&out, arena);
    for (size_t at = 0; at < length;) {
        const u32 bytes = rxn__utf8_length(text + at, length - at);
        if (at + (bytes ? bytes : 1) > SHOWN_NAME) {
            rxn__text_append(&out, "...", 3);
            break;
        }
        if (bytes == 0 || is_control(text + at, bytes)) {
            for (u32 i = 0; i < (bytes ? bytes : 1); i++)
                rxn__text_printf(&out, "\\x%02X", (u8)text[at + i]);
        } else {
            rxn__text_append(&out, text + at, bytes);
        }
        at += bytes ? bytes : 1;
    }
    return out.data;
}
