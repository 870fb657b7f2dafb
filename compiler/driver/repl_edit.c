/* repl_edit.c: what a typed statement does to the list of statements.
 *
 * A name that is declared already gets its new declaration where the old one stands. A statement of several items is as
 * many statements of one: `param k = 2` after `param k = 1, d = 3` changes the first item and leaves the second. What has no
 * name is added (a reaction, an event), but for what a model has one of (model, simulate, fit).
 *
 * All of it is done to a copy of the list, the candidate, which takes the list's place only if its text is a model.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/repl.h"

typedef struct Edit {
    Repl *repl;
    ReplList *list;
    const ReplStatement *statement; /* that was typed, with items */
    u32 offset;                     /* of its text in what was typed */
    bool values_only;               /* so far */
} Edit;

ReplNamespace
rxn__edit_namespace(const ReplStatement *statement, const ReplItem *item)
{
    if (strcmp(statement->keyword, "reaction") == 0 || strcmp(statement->keyword, "for") == 0)
        return LABEL;
    if (strcmp(statement->keyword, "observe") == 0 && strlen(item->name) == item->length)
        return OBSERVED;
    return DECLARED;
}

bool
rxn__edit_is_single(const char *keyword)
{
    return strcmp(keyword, "model") == 0 || strcmp(keyword, "simulate") == 0 ||
           strcmp(keyword, "fit") == 0;
}

bool
rxn__edit_find(const ReplList *list, ReplNamespace space, const char *name, u32 *ret_statement,
               u32 *ret_item)
{
    for (u32 k = 0; k < list->statements.count; k++)
        for (u32 i = 0; i < list->statements.items[k].items.count; i++) {
            const ReplStatement *statement = &list->statements.items[k];
            const ReplItem *item = &statement->items.items[i];
            if (rxn__edit_namespace(statement, item) == space && strcmp(item->name, name) == 0) {
                *ret_statement = k;
                *ret_item = i;
                return true;
            }
        }
    return false;
}

const char *
rxn__edit_item_text(Arena *arena, const char *text, const ReplItem *item)
{
    return rxn__arena_copy_text(arena, text + item->first, item->length);
}

/* What is replaced, for the report; several things in a row. */
static void
note_was(Edit *edit, ReplStatement *statement, const char *was)
{
    Text text;
    rxn__text_init(&text, &edit->list->arena);
    if (statement->was)
        rxn__text_printf(&text, "%s, ", statement->was);
    rxn__text_append(&text, was, strlen(was));
    statement->was = text.data;
}

/* And which items of it are new, where others stay. */
static void
note_now(Edit *edit, ReplStatement *statement, const char *now)
{
    Text text;
    rxn__text_init(&text, &edit->list->arena);
    rxn__text_printf(&text, "%s%s %s", statement->now ? statement->now : statement->keyword,
                     statement->now ? "," : "", now);
    statement->now = text.data;
}

/* The whole of what was typed, as the text of this statement. */
static void
set_text(Edit *edit, ReplStatement *statement)
{
    Arena *arena = &edit->list->arena;
    const size_t length = strlen(edit->statement->text);
    statement->text = rxn__arena_copy_text(arena, edit->statement->text, length);
    statement->origins.count = 0;
    vec_push(arena, &statement->origins, ((ReplOrigin){0, (u32)length, edit->offset}));
    statement->changed = true;
    rxn__list_read_items(edit->repl, edit->list, statement);
}

/* Bytes first … first + length - 1 of a statement become `text`, of which `typed` bytes were typed from `from` on. */
static void
splice(Edit *edit, ReplStatement *statement, u32 first, u32 length, const char *text, u32 from)
{
    Arena *arena = &edit->list->arena;
    const u32 added = (u32)strlen(text);
    Text out;
    rxn__text_init(&out, arena);
    rxn__text_append(&out, statement->text, first);
    rxn__text_append(&out, text, added);
    rxn__text_append(&out, statement->text + first + length,
                     strlen(statement->text + first + length));
    statement->text = out.data;
    for (u32 k = 0; k < statement->origins.count; k++)
        if (statement->origins.items[k].first > first)
            statement->origins.items[k].first += added - length;
    if (added > 0)
        vec_push(arena, &statement->origins, ((ReplOrigin){first, added, from}));
    statement->changed = true;
    rxn__list_read_items(edit->repl, edit->list, statement);
}

/* Takes item i out of a list, with the comma before it, or behind it. A statement that has but this goes whole: true. */
static bool
remove_item(Edit *edit, u32 k, u32 i)
{
    ReplStatement *statement = &edit->list->statements.items[k];
    const ReplItem *items = statement->items.items;
    if (!rxn__is_list_keyword(statement->keyword) || statement->items.count == 1) {
        rxn__list_remove(edit->list, k);
        return true;
    }
    u32 first = items[i].first, end = first + items[i].length;
    if (i > 0)
        first = items[i - 1].first + items[i - 1].length;
    else
        end = items[1].first;
    splice(edit, statement, first, end - first, "", 0);
    return false;
}

/* ---- Numbers of parameters ----------------------------------------------------------------------- */

static const char *
skip_blanks(const char *text)
{
    return text + strspn(text, " \t\r\n");
}

/* Are the two the same but for the number behind the first '=': `k = 2 in 1 .. 3 fit`? */
static bool
same_but_number(const char *a, const char *b)
{
    char *a_end, *b_end;
    for (; *a != '=' || *b != '='; a++, b++) {
        a = skip_blanks(a);
        b = skip_blanks(b);
        if (*a != *b || !*a || *a == '#' || *a == '~')
            return false;
        if (*a == '=')
            break;
    }
    a = skip_blanks(a + 1);
    b = skip_blanks(b + 1);
    const double x = strtod(a, &a_end), y = strtod(b, &b_end);
    if (a_end == a || b_end == b || !isfinite(x) || !isfinite(y))
        return false;
    /* A number, and not the beginning of an expression. */
    static const char *const goes_on = "+-*/^(_.<>=!";
    a = skip_blanks(a_end);
    b = skip_blanks(b_end);
    if ((*a && strchr(goes_on, *a)) || (*b && strchr(goes_on, *b)))
        return false;
    for (; *a || *b; a++, b++) {
        a = skip_blanks(a);
        b = skip_blanks(b);
        if (*a != *b)
            return false;
        if (!*a)
            break;
    }
    return true;
}

/* ---- One statement -------------------------------------------------------------------------------- */

static ReplStatement *
append(Edit *edit)
{
    return rxn__list_insert(edit->list, edit->list->statements.count);
}

static void
edit_single(Edit *edit)
{
    edit->values_only = false;
    for (u32 k = 0; k < edit->list->statements.count; k++) {
        ReplStatement *old = &edit->list->statements.items[k];
        if (strcmp(old->keyword, edit->statement->keyword) == 0) {
            note_was(edit, old, old->text);
            set_text(edit, old);
            return;
        }
    }
    set_text(edit, append(edit));
}

/* Does the statement declare all that this one does? */
static bool
covers(const ReplStatement *statement, const ReplStatement *old)
{
    for (u32 i = 0; i < old->items.count; i++) {
        bool found = false;
        for (u32 k = 0; k < statement->items.count; k++)
            found |= strcmp(old->items.items[i].name, statement->items.items[k].name) == 0 &&
                     rxn__edit_namespace(old, &old->items.items[i]) ==
                         rxn__edit_namespace(statement, &statement->items.items[k]);
        if (!found)
            return false;
    }
    return old->items.count > 0;
}

/* Not a list: a function, a module, a labelled reaction, a `for`. It takes the place of the first statement whose names it
 * declares anew, and of all others of that kind; items of lists go one by one. A name in a larger block stays, and the
 * reader of the model says that it is there twice. */
static void
edit_whole(Edit *edit)
{
    ReplList *list = edit->list;
    u32 place = UINT32_MAX;
    const char *was = NULL;
    edit->values_only = false;
    for (u32 i = 0; i < edit->statement->items.count; i++) {
        const ReplItem *item = &edit->statement->items.items[i];
        u32 k, at;
        if (!rxn__edit_find(list, rxn__edit_namespace(edit->statement, item), item->name, &k, &at))
            continue;
        ReplStatement *old = &list->statements.items[k];
        const bool of_list = rxn__is_list_keyword(old->keyword);
        if (old->changed || (!of_list && !covers(edit->statement, old)))
            continue;
        Text text;
        rxn__text_init(&text, &list->arena);
        if (of_list)
            rxn__text_printf(&text, "%s %s", old->keyword,
                             rxn__edit_item_text(&list->arena, old->text, &old->items.items[at]));
        else
            rxn__text_append(&text, old->text, strlen(old->text));
        if (place == UINT32_MAX && (!of_list || old->items.count == 1)) {
            note_was(edit, old, text.data);
            set_text(edit, old);
            place = k;
            continue;
        }
        const bool gone = remove_item(edit, k, at);
        if (place != UINT32_MAX) {
            place -= gone && k < place;
            note_was(edit, &list->statements.items[place], text.data);
        } else {
            was = text.data;
            ReplStatement *new = rxn__list_insert(list, k + 1);
            place = k + 1;
            set_text(edit, new);
            note_was(edit, new, was);
        }
    }
    if (place == UINT32_MAX)
        set_text(edit, append(edit));
}

/* The old statement whose items are those of the new one, all of them and no more, in the same order: in another one they
 * stay where they are, since the order of parameters and species is that of results. */
static ReplStatement *
same_items(Edit *edit)
{
    const ReplStatement *new = edit->statement;
    u32 k, i;
    if (!rxn__edit_find(edit->list, rxn__edit_namespace(new, &new->items.items[0]),
                        new->items.items[0].name, &k, &i))
        return NULL;
    ReplStatement *old = &edit->list->statements.items[k];
    if (strcmp(old->keyword, new->keyword) != 0 || old->items.count != new->items.count)
        return NULL;
    for (i = 0; i < old->items.count; i++)
        if (strcmp(old->items.items[i].name, new->items.items[i].name) != 0 ||
            rxn__edit_namespace(old, &old->items.items[i]) !=
                rxn__edit_namespace(new, &new->items.items[i]))
            return NULL;
    return old;
}

static bool
only_numbers(Edit *edit, const ReplStatement *old)
{
    Arena *arena = &edit->repl->scratch;
    const ReplStatement *new = edit->statement;
    if (strcmp(new->keyword, "param") != 0)
        return false;
    for (u32 i = 0; i < old->items.count; i++)
        if (!same_but_number(rxn__edit_item_text(arena, old->text, &old->items.items[i]),
                             rxn__edit_item_text(arena, new->text, &new->items.items[i])))
            return false;
    return true;
}

static void
edit_list(Edit *edit)
{
    ReplList *list = edit->list;
    Arena *arena = &list->arena;
    const ReplStatement *new = edit->statement;
    ReplStatement *same = same_items(edit);
    if (same && !same->changed) {
        edit->values_only &= only_numbers(edit, same);
        note_was(edit, same, same->text);
        set_text(edit, same);
        return;
    }
    Text rest, was;
    u32 place = UINT32_MAX, left = 0;
    VEC(ReplOrigin) origins = {0};
    rxn__text_init(&rest, arena);
    rxn__text_init(&was, arena);
    rxn__text_printf(&rest, "%s", new->keyword);
    for (u32 i = 0; i < new->items.count; i++) {
        const ReplItem *item = &new->items.items[i];
        const char *text = rxn__edit_item_text(arena, new->text, item);
        u32 k, at;
        if (rxn__edit_find(list, rxn__edit_namespace(new, item), item->name, &k, &at)) {
            ReplStatement *old = &list->statements.items[k];
            const ReplItem old_item = old->items.items[at];
            const char *old_text = rxn__edit_item_text(arena, old->text, &old_item);
            if (strcmp(old->keyword, new->keyword) == 0) {
                edit->values_only &=
                    strcmp(new->keyword, "param") == 0 && same_but_number(old_text, text);
                note_now(edit, old, text);
                note_was(edit, old, old_text);
                splice(edit, old, old_item.first, old_item.length, text,
                       edit->offset + item->first);
                continue;
            }
            if (rxn__is_list_keyword(old->keyword))
                rxn__text_printf(&was, "%s%s %s", was.length ? ", " : "", old->keyword, old_text);
            else
                rxn__text_printf(&was, "%s%s", was.length ? ", " : "", old->text);
            const bool gone = remove_item(edit, k, at);
            if (place == UINT32_MAX)
                place = gone ? k : k + 1;
            else
                place -= gone && k < place;
        }
        rxn__text_printf(&rest, "%s", left > 0 ? ", " : " ");
        left++;
        vec_push(arena, &origins,
                 ((ReplOrigin){(u32)rest.length, (u32)strlen(text), edit->offset + item->first}));
        rxn__text_append(&rest, text, strlen(text));
    }
    if (left == 0)
        return;
    edit->values_only = false;
    ReplStatement *added =
        rxn__list_insert(list, place == UINT32_MAX ? list->statements.count : place);
    if (left == new->items.count) {
        set_text(edit, added);
    } else {
        added->text = rest.data;
        for (u32 i = 0; i < origins.count; i++)
            vec_push(arena, &added->origins, origins.items[i]);
        rxn__list_read_items(edit->repl, list, added);
    }
    if (was.length > 0)
        note_was(edit, added, was.data);
}

bool
rxn__edit_statement(Repl *repl, ReplList *list, const ReplStatement *typed)
{
    Edit whole = {.repl = repl,
                  .list = list,
                  .statement = typed,
                  .offset = typed->place,
                  .values_only = true};
    Edit *edit = &whole;
    if (rxn__edit_is_single(edit->statement->keyword)) {
        edit_single(edit);
    } else if (edit->statement->items.count == 0) {
        edit->values_only = false;
        set_text(edit, append(edit));
    } else if (rxn__is_list_keyword(edit->statement->keyword)) {
        edit_list(edit);
    } else {
        edit_whole(edit);
    }
    return edit->values_only;
}

void
rxn__edit_remove_item(Repl *repl, ReplList *list, u32 k, u32 i)
{
    remove_item(&(Edit){.repl = repl, .list = list}, k, i);
}
