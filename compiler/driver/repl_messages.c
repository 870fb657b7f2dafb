/* repl_messages.c: what is wrong, shown where the user typed it.
 *
 * The library's messages have places in the text of the whole model. A place in what was typed just now is shown as it was
 * typed; one elsewhere says in which statement. From a script, lines of the script are named as a compiler does it.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/repl.h"

enum { MOST_LINE = 160 };

static FILE *
begin_error(Repl *repl)
{
    fflush(stdout);
    repl->failed = true;
    repl->error_shown = true;
    return stderr;
}

static const char *
word_of(RxnSeverity severity)
{
    return severity == RXN_ERROR ? "error" : severity == RXN_WARNING ? "warning" : "note";
}

void
rxn__repl_error(Repl *repl, const char *format, ...)
{
    FILE *file = begin_error(repl);
    va_list args;
    if (!repl->terminal)
        fprintf(file, "<stdin>:%u: ", repl->line);
    fputs("error: ", file);
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    fputc('\n', file);
}

void
rxn__repl_note(Repl *repl, const char *format, ...)
{
    va_list args;
    (void)repl;
    fputs("note: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

bool
rxn__repl_stopped(Repl *repl, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    repl->failed = true;
    repl->leaving |= !repl->terminal;
    return false;
}

/* ---- A line with a caret ------------------------------------------------------------------------- */

static bool
is_continuation(char c)
{
    return ((u8)c & 0xC0) == 0x80;
}

/* The line that holds byte `first` of the text, and under it the bytes from there on. What is too long for the terminal is cut
 * on both sides of the place. */
static void
show_line(FILE *file, const char *text, size_t first, size_t length)
{
    size_t begin = first, end = first;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    while (text[end] && text[end] != '\n' && text[end] != '\r')
        end++;
    const size_t until = first + length < end ? first + length : end;
    const u32 width = rxn__input_width();
    const size_t room = width < 30 ? 24 : width > MOST_LINE ? MOST_LINE : width - 6;
    size_t from = begin, to = end;
    if (end - begin > room) {
        if (first - begin > room / 2)
            from = end - first > room / 2 ? first - room / 2 : end - room;
        to = from + room < end ? from + room : end;
        while (from < first && is_continuation(text[from]))
            from++;
        while (to > from && to < end && is_continuation(text[to]))
            to--;
    }
    fputs(from > begin ? "..." : "", file);
    for (size_t k = from; k < to; k++)
        fputc((u8)text[k] < 0x20 && text[k] != '\t' ? '?' : text[k], file);
    fprintf(file, "%s\n%s", to < end ? "..." : "", from > begin ? "   " : "");
    for (size_t k = from; k < first && k < to; k++)
        if (!is_continuation(text[k]))
            fputc(text[k] == '\t' ? '\t' : ' ', file);
    fputc('^', file);
    for (size_t k = first + 1; k < until && k < to; k++)
        if (!is_continuation(text[k]))
            fputc('~', file);
    fputc('\n', file);
}

static u32
line_of(const char *text, size_t place, u32 *ret_column)
{
    u32 line = 1, column = 1;
    for (size_t k = 0; k < place && text[k]; k++) {
        column += !is_continuation(text[k]);
        if (text[k] == '\n') {
            line++;
            column = 1;
        }
    }
    *ret_column = column;
    return line;
}

/* ---- Messages with places ------------------------------------------------------------------------ */

/* Says which line of the script it is, where there is one. */
static void
show_typed(Repl *repl, FILE *file, const RxnMessage *message, size_t first)
{
    u32 column;
    const u32 line = line_of(repl->typed, first, &column);
    if (!repl->terminal)
        fprintf(file, "<stdin>:%u:%u: ", repl->line + line - 1, column);
    fprintf(file, "%s: %s\n", word_of(message->severity), message->text);
    show_line(file, repl->typed, first, message->length);
}

/* A line of a file that a model uses. */
static void
show_elsewhere(FILE *file, const RxnMessage *message)
{
    fprintf(file, "%s:%u:%u: %s: %s\n", message->file, message->line, message->column,
            word_of(message->severity), message->text);
    FILE *source = fopen(message->file, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t length = -1;
    for (u32 k = 0; source && k < message->line; k++)
        length = getline(&line, &room, source);
    if (length >= 0 && message->column >= 1 && (size_t)length >= message->column - 1)
        show_line(file, line, message->column - 1, message->length);
    free(line);
    if (source)
        fclose(source);
}

static bool
origin_of(const ReplStatement *statement, size_t at, size_t *ret_typed)
{
    for (u32 k = 0; k < statement->origins.count; k++) {
        const ReplOrigin *origin = &statement->origins.items[k];
        if (at >= origin->first && at <= origin->first + origin->length) {
            *ret_typed = origin->typed + (at - origin->first);
            return true;
        }
    }
    return false;
}

/* Messages of the library that speak of the program's flags, in the words of a session. */
static const struct {
    const char *flag, *here;
} wordings[] = {
    {"give --until T, or", "say ':run until T', or"},
    {"--input FILE.csv or ", ""},
    {"'--of'", "':grad'"},
    {"--of EXPR", "EXPR"},
    {"--set ", ":set "},
    {"--until", "until"},
    {"--every", "every"},
    {"--at", "at"},
    {"--estimator", "by"},
    {"--method", "method"},
};

static const char *
in_words_of_a_session(Repl *repl, const char *text)
{
    Text out;
    if (!strstr(text, "--"))
        return text;
    rxn__text_init(&out, &repl->scratch);
    while (*text) {
        size_t k = 0;
        while (k < COUNT_OF(wordings) &&
               strncmp(text, wordings[k].flag, strlen(wordings[k].flag)) != 0)
            k++;
        if (k < COUNT_OF(wordings)) {
            rxn__text_append(&out, wordings[k].here, strlen(wordings[k].here));
            text += strlen(wordings[k].flag);
        } else {
            rxn__text_append(&out, text++, 1);
        }
    }
    return out.data;
}

static void
show_message(Repl *repl, FILE *file, const ReplList *list, const RxnMessage *message)
{
    const char *word = word_of(message->severity);
    if (!message->file) {
        const bool of_line = message->severity != RXN_NOTE && !repl->terminal && repl->line > 0;
        if (of_line)
            fprintf(file, "<stdin>:%u: ", repl->line);
        fprintf(file, "%s: %s\n", word, in_words_of_a_session(repl, message->text));
        return;
    }
    if (strcmp(message->file, "--of") == 0) { /* an expression of `:grad` */
        if (!repl->terminal)
            fprintf(file, "<stdin>:%u: ", repl->line);
        fprintf(file, "%s: %s\n", word, message->text);
        if (repl->expression && message->first <= strlen(repl->expression))
            show_line(file, repl->expression, message->first, message->length);
        return;
    }
    if (!list) {
        show_typed(repl, file, message, message->first);
        return;
    }
    if (strcmp(message->file, rxn__repl_model_name(repl)) != 0) {
        show_elsewhere(file, message);
        return;
    }
    const u32 k = rxn__list_find(list, message->first);
    if (k == UINT32_MAX) { /* of the model as a whole, at its beginning */
        fprintf(file, "%s: %s\n", word, message->text);
        return;
    }
    const ReplStatement *statement = &list->statements.items[k];
    const size_t at = message->first - statement->place;
    size_t typed;
    if (repl->typed && origin_of(statement, at, &typed)) {
        show_typed(repl, file, message, typed);
        return;
    }
    fprintf(file, "statement %u: %s: %s\n", k + 1, word, message->text);
    show_line(file, statement->text, at, message->length);
}

void
rxn__repl_show_error(Repl *repl, const ReplList *list, RxnError *error)
{
    repl->pending_error = error;
    FILE *file = begin_error(repl);
    /* Of a file that is loaded they have the file's name and lines. */
    const bool whole =
        rxn_error_count(error) == 0 || (repl->loading && rxn_error_message(error, 0).file);
    for (size_t k = 0; k < rxn_error_count(error) && !whole; k++) {
        const RxnMessage message = rxn_error_message(error, k);
        show_message(repl, file, list, &message);
    }
    if (whole)
        fprintf(file, "%s\n", rxn_error_text(error));
    rxn_error_free(error);
    repl->pending_error = NULL;
}

/* "model:7:9: warning: …" with its line, as the library renders it: which statement that is. */
void
rxn__repl_show_told(Repl *repl, const char *text)
{
    fflush(stdout);
    const char *name = rxn__repl_model_name(repl);
    const size_t length = strlen(name);
    for (const char *line = text; *line;) {
        const size_t end = strcspn(line, "\n");
        unsigned at, column;
        int used = 0;
        if (strncmp(line, name, length) == 0 &&
            sscanf(line + length, ":%u:%u: %n", &at, &column, &used) == 2 && used > 0) {
            const ReplList *list = repl->compiled_list;
            size_t place = 0;
            for (unsigned k = 1; k < at && list->text.data[place]; k++)
                place += strcspn(list->text.data + place, "\n") + 1;
            const u32 k = rxn__list_find(list, place + column - 1);
            if (k != UINT32_MAX) {
                fprintf(stderr, "statement %u: ", k + 1);
                line += length + (size_t)used;
                fprintf(stderr, "%.*s\n", (int)strcspn(line, "\n"), line);
                line += strcspn(line, "\n");
                line += *line == '\n';
                continue;
            }
        }
        fprintf(stderr, "%.*s\n", (int)end, line);
        line += end;
        line += *line == '\n';
    }
}

void
rxn__repl_show_warnings(Repl *repl)
{
    if (!repl->unseen_warnings)
        return;
    rxn__repl_show_told(repl, repl->unseen_warnings);
    free(repl->unseen_warnings);
    repl->unseen_warnings = NULL;
}
