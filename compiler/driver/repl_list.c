/* repl_list.c: the model of a session as a list of statements, and the text that they make.
 *
 * What stands between statements (comments, empty lines) belongs to the one behind it, so that a file that is loaded,
 * changed and saved keeps its looks. Every statement begins a line: a ';' between two is not kept.
 */
#include <string.h>

#include "compiler/driver/repl.h"

bool
rxn__is_list_keyword(const char *keyword)
{
    static const char *const lists[] = {"species", "param", "input",  "const",
                                        "let",     "index", "observe"};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (strcmp(keyword, lists[i]) == 0)
            return true;
    return false;
}

void
rxn__list_clear(ReplList *list)
{
    rxn__arena_release(&list->arena);
    list->statements.items = NULL;
    list->statements.count = list->statements.capacity = 0;
    list->tail = "";
    rxn__text_init(&list->text, &list->arena);
}

static const char *
copy(Arena *arena, const char *text, size_t length)
{
    return rxn__arena_copy_text(arena, text, length);
}

static const char *
copy_z(Arena *arena, const char *text)
{
    return copy(arena, text, strlen(text));
}

/* What stands between two statements: without ';', and, but at the beginning of a text, from a line end on. */
static const char *
gap(Arena *arena, const char *text, size_t length, bool first)
{
    Text out;
    bool comment = false, line_ended = first;
    rxn__text_init(&out, arena);
    for (size_t i = 0; i < length; i++) {
        comment = text[i] == '#' || (comment && text[i] != '\n');
        if ((text[i] == ';' && !comment) || (!line_ended && (text[i] == ' ' || text[i] == '\t')))
            continue;
        if (text[i] == '\n')
            line_ended = true;
        else if (text[i] == '#' && !line_ended)
            rxn__text_append(&out, "\n", 1);
        line_ended |= text[i] == '#';
        rxn__text_append(&out, text + i, 1);
    }
    if (!line_ended)
        rxn__text_append(&out, "\n", 1);
    return out.data;
}

static void
set_items(ReplList *list, ReplStatement *statement, const RxnStatement *read, size_t first)
{
    statement->keyword = copy_z(&list->arena, read->keyword);
    statement->items.count = 0;
    for (size_t i = 0; i < read->item_count; i++) {
        const ReplItem item = {
            .name = copy_z(&list->arena, read->items[i].name),
            .first = (u32)(read->items[i].first - first),
            .length = (u32)read->items[i].length,
        };
        vec_push(&list->arena, &statement->items, item);
    }
}

bool
rxn__list_read(Repl *repl, ReplList *list, const char *text, const char *name, RxnError **ret_error)
{
    bool incomplete;
    rxn__list_clear(list);
    if (rxn_statements_parse(text, name, &repl->pending_statements, &incomplete, ret_error) !=
        RXN_OK)
        return false;
    const RxnStatements *statements = repl->pending_statements;
    size_t end = 0;
    for (size_t k = 0; k < rxn_statements_count(statements); k++) {
        const RxnStatement read = rxn_statements_get(statements, k);
        ReplStatement statement = {
            .before = gap(&list->arena, text + end, read.first - end, k == 0),
            .text = copy(&list->arena, text + read.first, read.length),
        };
        set_items(list, &statement, &read, read.first);
        vec_push(&list->arena, &list->statements, statement);
        end = read.first + read.length;
    }
    list->tail = gap(&list->arena, text + end, strlen(text + end), end == 0);
    rxn_statements_free(repl->pending_statements);
    repl->pending_statements = NULL;
    rxn__list_compose(list);
    return true;
}

void
rxn__list_read_items(Repl *repl, ReplList *list, ReplStatement *statement)
{
    bool incomplete;
    if (rxn_statements_parse(statement->text, NULL, &repl->pending_statements, &incomplete, NULL) !=
            RXN_OK ||
        rxn_statements_count(repl->pending_statements) != 1)
        return; /* the model's own reader will say what is wrong */
    const RxnStatement read = rxn_statements_get(repl->pending_statements, 0);
    set_items(list, statement, &read, read.first);
    rxn_statements_free(repl->pending_statements);
    repl->pending_statements = NULL;
}

void
rxn__list_copy(ReplList *to, const ReplList *from)
{
    rxn__list_clear(to);
    for (u32 k = 0; k < from->statements.count; k++) {
        const ReplStatement *old = &from->statements.items[k];
        ReplStatement statement = {
            .before = copy_z(&to->arena, old->before),
            .text = copy_z(&to->arena, old->text),
            .keyword = copy_z(&to->arena, old->keyword),
        };
        for (u32 i = 0; i < old->items.count; i++) {
            ReplItem item = old->items.items[i];
            item.name = copy_z(&to->arena, item.name);
            vec_push(&to->arena, &statement.items, item);
        }
        vec_push(&to->arena, &to->statements, statement);
    }
    to->tail = copy_z(&to->arena, from->tail);
    rxn__list_compose(to);
}

void
rxn__list_compose(ReplList *list)
{
    Text *text = &list->text;
    rxn__text_init(text, &list->arena);
    for (u32 k = 0; k < list->statements.count; k++) {
        ReplStatement *statement = &list->statements.items[k];
        rxn__text_append(text, statement->before, strlen(statement->before));
        statement->place = (u32)text->length;
        rxn__text_append(text, statement->text, strlen(statement->text));
    }
    rxn__text_append(text, list->tail, strlen(list->tail));
    if (text->length > 0 && text->data[text->length - 1] != '\n')
        rxn__text_append(text, "\n", 1);
}

/* Up to behind the last empty line: what is above it is not about the statement below it. */
static size_t
above(const char *before)
{
    size_t end = 0;
    bool blank = false;
    for (size_t i = 0; before[i]; i++) {
        if (before[i] == '\n') {
            if (blank)
                end = i + 1;
            blank = true;
        } else if (before[i] != ' ' && before[i] != '\t' && before[i] != '\r') {
            blank = false;
        }
    }
    return end;
}

void
rxn__list_remove(ReplList *list, u32 k)
{
    ReplStatement *gone = &list->statements.items[k];
    const bool last = k + 1 == list->statements.count;
    Text before;
    rxn__text_init(&before, &list->arena);
    rxn__text_append(&before, gone->before, above(gone->before));
    const char *next = last ? list->tail : gone[1].before;
    /* The next one begins a line of its own; at the beginning of a text it has one. */
    if ((k == 0 || before.length > 0) && next[0] == '\n')
        next++;
    rxn__text_append(&before, next, strlen(next));
    if (last)
        list->tail = before.data;
    else
        gone[1].before = before.data;
    memmove(gone, gone + 1, (list->statements.count - k - 1) * sizeof *gone);
    list->statements.count--;
}

ReplStatement *
rxn__list_insert(ReplList *list, u32 k)
{
    const bool last = k == list->statements.count;
    const char *before = k == 0 ? "" : "\n";
    if (last && list->tail[0] && strcmp(list->tail, "\n") != 0) {
        /* Behind the comments at the end. */
        const size_t length = strlen(list->tail);
        Text text;
        rxn__text_init(&text, &list->arena);
        rxn__text_append(&text, list->tail, length);
        if (list->tail[length - 1] != '\n')
            rxn__text_append(&text, "\n", 1);
        before = text.data;
        list->tail = "";
    } else if (!last && k == 0) {
        Text text;
        rxn__text_init(&text, &list->arena);
        rxn__text_printf(&text, "\n%s", list->statements.items[0].before);
        before = "";
        list->statements.items[0].before = text.data;
    }
    vec_push(&list->arena, &list->statements, ((ReplStatement){0}));
    ReplStatement *place = &list->statements.items[k];
    memmove(place + 1, place, (list->statements.count - 1 - k) * sizeof *place);
    *place = (ReplStatement){.before = before, .text = "", .keyword = "", .changed = true};
    return place;
}

u32
rxn__list_find(const ReplList *list, size_t place)
{
    for (u32 k = 0; k < list->statements.count; k++) {
        const ReplStatement *statement = &list->statements.items[k];
        if (place >= statement->place && place <= statement->place + strlen(statement->text))
            return k;
    }
    return UINT32_MAX;
}
