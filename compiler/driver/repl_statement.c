/* repl_statement.c: a typed statement, from its text to what is said of it; and `:drop`.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/repl.h"

static const char *
skip_blanks(const char *text)
{
    return text + strspn(text, " \t\r\n");
}

/* ---- Saying what changed --------------------------------------------------------------------------- */

static bool
same_words(const char *a, const char *b)
{
    for (;; a++, b++) {
        a = skip_blanks(a);
        b = skip_blanks(b);
        if (*a != *b)
            return false;
        if (!*a)
            return true;
    }
}

/* The statement before number k that is word for word the same, or UINT32_MAX. */
static u32
twin(const ReplList *list, u32 k)
{
    for (u32 i = 0; i < k; i++)
        if (same_words(list->statements.items[i].text, list->statements.items[k].text))
            return i;
    return UINT32_MAX;
}

static void
say(Repl *repl, u32 k)
{
    enum { NARROW = 50, REPLACES = 13 };
    ReplList *list = repl->current;
    const ReplStatement *statement = &list->statements.items[k];
    const u32 width = rxn__input_width(), room = width > 20 ? width - 5 : 15;
    const char *now = statement->now ? statement->now : statement->text, *was = statement->was;
    Text text;
    rxn__text_init(&text, &repl->scratch);
    if (!was && twin(list, k) != UINT32_MAX)
        rxn__text_printf(&text, "   (the same as %u)", twin(list, k) + 1);
    else if (was && (same_words(was, statement->text) ||
                     (statement->now && same_words(was, now + strlen(statement->keyword)))))
        rxn__text_printf(&text, "   (as it was)");
    else if (was && room < NARROW)
        rxn__text_printf(&text, "   (changed)");
    u32 left = room > text.length + 8 ? room - (u32)text.length : 8;
    if (was && text.length == 0) {
        const char *whole = rxn__repl_one_line(&repl->scratch, was, room);
        const u32 half = room / 2;
        left = (u32)strlen(whole) + REPLACES < half ? room - (u32)strlen(whole) - REPLACES : half;
        const char *line = rxn__repl_one_line(&repl->scratch, now, left);
        rxn__text_printf(
            &text, "   replaces: %s",
            rxn__repl_one_line(&repl->scratch, was, room - (u32)strlen(line) - REPLACES));
    }
    printf("%3u  %s%s\n", k + 1, rxn__repl_one_line(&repl->scratch, now, left), text.data);
}

static void
say_changes(Repl *repl)
{
    for (u32 k = 0; k < repl->current->statements.count; k++) {
        ReplStatement *statement = &repl->current->statements.items[k];
        if (statement->changed)
            say(repl, k);
        statement->changed = false;
        statement->was = statement->now = NULL;
        statement->origins.count = 0;
    }
}

/* Values that were set by hand give way to a new declaration. */
static void
forget_sets(Repl *repl, const ReplStatement *statement)
{
    for (u32 i = 0; i < statement->items.count; i++)
        if (rxn__edit_namespace(statement, &statement->items.items[i]) == DECLARED)
            rxn__repl_forget_set(repl, statement->items.items[i].name);
}

/* ---- Entries ------------------------------------------------------------------------------------------ */

/* A name alone shows what it is; a command without its colon is told. */
static bool
word_alone(Repl *repl, const char *typed)
{
    size_t length = strcspn(typed, " \t\r\n");
    const char *word = rxn__arena_copy_text(&repl->scratch, typed, length);
    if (*skip_blanks(typed + length) == '\0' && rxn__repl_show_name(repl, word))
        return true;
    u32 count;
    const ReplCommand *commands = rxn__repl_commands(&count);
    bool known = strcmp(word, "exit") == 0;
    for (u32 k = 0; k < count; k++)
        known |= strcmp(commands[k].name, word) == 0;
    if (!known || strpbrk(typed, "@:=>{"))
        return false;
    rxn__repl_error(repl, "a command begins with ':'");
    rxn__repl_note(repl, "did you mean ':%s'?", strcmp(word, "exit") == 0 ? "quit" : word);
    return true;
}

typedef VEC(ReplStatement) Typed;

/* The statements that were typed, in the scratch arena; `place` is where they are in it. */
static Typed
read_typed(Repl *repl, const char *typed)
{
    Typed read = {0};
    Arena *arena = &repl->scratch;
    for (size_t k = 0; k < rxn_statements_count(repl->pending_statements); k++) {
        const RxnStatement given = rxn_statements_get(repl->pending_statements, k);
        ReplStatement statement = {
            .text = rxn__arena_copy_text(arena, typed + given.first, given.length),
            .keyword = rxn__arena_copy_text(arena, given.keyword, strlen(given.keyword)),
            .place = (u32)given.first,
        };
        for (size_t i = 0; i < given.item_count; i++) {
            const RxnItem *item = &given.items[i];
            const ReplItem copied = {rxn__arena_copy_text(arena, item->name, strlen(item->name)),
                                     (u32)(item->first - given.first), (u32)item->length};
            vec_push(arena, &statement.items, copied);
        }
        vec_push(arena, &read, statement);
    }
    rxn_statements_free(repl->pending_statements);
    repl->pending_statements = NULL;
    return read;
}

bool
rxn__repl_statements(Repl *repl, const char *typed, bool *ret_incomplete)
{
    *ret_incomplete = false;
    if (word_alone(repl, typed))
        return !repl->error_shown;
    RxnError *error = NULL;
    const double start = rxn__seconds();
    const RxnStatus status =
        rxn_statements_parse(typed, "typed", &repl->pending_statements, ret_incomplete, &error);
    if (status != RXN_OK && *ret_incomplete) {
        rxn_error_free(error);
        return true;
    }
    repl->typed = typed;
    if (status != RXN_OK) {
        rxn__repl_show_error(repl, NULL, error);
        return false;
    }
    const Typed read = read_typed(repl, typed);
    if (read.count == 0)
        return true;
    rxn__list_copy(repl->candidate, repl->current);
    bool values_only = true;
    for (u32 k = 0; k < read.count; k++)
        values_only &= rxn__edit_statement(repl, repl->candidate, &read.items[k]);
    rxn__list_compose(repl->candidate);
    if (!rxn__repl_check(repl))
        return false;
    for (u32 k = 0; k < read.count; k++)
        forget_sets(repl, &read.items[k]);
    repl->times.parse = rxn__seconds() - start;
    repl->times.parsed = true;
    if (!rxn__repl_accept(repl, values_only))
        return false;
    say_changes(repl);
    return true;
}

bool
rxn__repl_breaks_off(Repl *repl, const char *typed, size_t before)
{
    RxnError *error = NULL;
    bool incomplete;
    if (rxn_statements_parse(typed, "typed", &repl->pending_statements, &incomplete, &error) ==
        RXN_OK) {
        rxn_statements_free(repl->pending_statements);
        repl->pending_statements = NULL;
        return false;
    }
    const bool breaks =
        !incomplete && rxn_error_count(error) > 0 && rxn_error_message(error, 0).first <= before;
    rxn_error_free(error);
    return breaks;
}

void
rxn__repl_incomplete(Repl *repl, const char *typed)
{
    RxnError *error = NULL;
    bool incomplete;
    repl->typed = typed;
    if (rxn_statements_parse(typed, "typed", &repl->pending_statements, &incomplete, &error) !=
        RXN_OK)
        rxn__repl_show_error(repl, NULL, error);
    repl->typed = NULL;
}

/* ---- :drop ---------------------------------------------------------------------------------------------- */

static bool
is_number(const char *word)
{
    return *word && strspn(word, "0123456789") == strlen(word);
}

/* The item of this name that there is, in the first of these kinds: what is declared, a label, what is observed. */
static bool
find_any(const ReplList *list, const char *keyword, const char *name, u32 *ret_statement,
         u32 *ret_item)
{
    static const ReplNamespace order[] = {DECLARED, LABEL, OBSERVED};
    for (size_t i = 0; i < COUNT_OF(order); i++)
        if (rxn__edit_find(list, order[i], name, ret_statement, ret_item) &&
            (!keyword || strcmp(list->statements.items[*ret_statement].keyword, keyword) == 0))
            return true;
    return false;
}

/* `:drop fit`: what a model has one of goes by its keyword. */
static u32
find_single(const ReplList *list, const char *keyword)
{
    for (u32 k = 0; k < list->statements.count && rxn__edit_is_single(keyword); k++)
        if (strcmp(list->statements.items[k].keyword, keyword) == 0)
            return k;
    return UINT32_MAX;
}

static bool
no_such(Repl *repl, const char *word)
{
    VEC(const char *) names = {0};
    for (u32 k = 0; k < repl->current->statements.count; k++)
        for (u32 i = 0; i < repl->current->statements.items[k].items.count; i++)
            vec_push(&repl->scratch, &names,
                     repl->current->statements.items[k].items.items[i].name);
    rxn__repl_error(repl, "no statement declares '%s'",
                    rxn__shown(&repl->scratch, word, strlen(word)));
    const char *near = rxn__nearest(word, names.count, names.items);
    if (near)
        rxn__repl_note(repl, "did you mean '%s'?", near);
    else
        rxn__repl_note(repl, "':list' shows them with their numbers");
    return false;
}

typedef struct Drop {
    u32 statement, item; /* item UINT32_MAX: all of it */
} Drop;

static bool
find_drop(Repl *repl, const char *keyword, const char *word, Drop *ret_drop)
{
    const ReplList *list = repl->current;
    const u32 count = list->statements.count;
    *ret_drop = (Drop){0, UINT32_MAX};
    if (is_number(word)) {
        const unsigned long number = strtoul(word, NULL, 10);
        if (number < 1 || number > count) {
            rxn__repl_error(repl, "there is no statement %s", word);
            if (count > 0)
                rxn__repl_note(repl, "they have the numbers 1 to %u; ':list' shows them", count);
            return false;
        }
        ret_drop->statement = (u32)number - 1;
        return true;
    }
    const u32 single = find_single(list, word);
    if (!keyword && single != UINT32_MAX) {
        ret_drop->statement = single;
        return true;
    }
    u32 k, i;
    if (!find_any(list, keyword, word, &k, &i))
        return no_such(repl, word);
    const ReplStatement *statement = &list->statements.items[k];
    const bool of_list = rxn__is_list_keyword(statement->keyword);
    if (!of_list && statement->items.count > 1) {
        rxn__repl_error(repl, "'%s' stands in a block with others", word);
        rxn__repl_note(repl, "':drop %u' takes away the whole block", k + 1);
        return false;
    }
    *ret_drop = (Drop){k, of_list && statement->items.count > 1 ? i : UINT32_MAX};
    return true;
}

/* Statements and their items from the last to the first, so that numbers of those before stay right. */
static int
compare_drops(const void *a, const void *b)
{
    const Drop *x = a, *y = b;
    if (x->statement != y->statement)
        return x->statement < y->statement ? 1 : -1;
    return x->item < y->item ? 1 : x->item > y->item ? -1 : 0;
}

bool
rxn__repl_drop(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    (void)rest;
    VEC(Drop) drops = {0};
    const char *keyword = NULL;
    if (count == 0) {
        rxn__repl_error(repl, "':drop' needs the name or the number of a statement");
        rxn__repl_note(repl, "':list' shows them with their numbers");
        return false;
    }
    for (u32 k = 0; k < count; k++) {
        Drop drop;
        if (k + 1 < count && rxn__is_list_keyword(words[k])) {
            keyword = words[k]; /* `:drop observe D` */
            continue;
        }
        if (!find_drop(repl, keyword, words[k], &drop))
            return false;
        vec_push(&repl->scratch, &drops, drop);
        keyword = NULL;
    }
    qsort(drops.items, drops.count, sizeof *drops.items, compare_drops);
    rxn__list_copy(repl->candidate, repl->current);
    Text said;
    rxn__text_init(&said, &repl->scratch);
    for (u32 k = 0; k < drops.count; k++) {
        const Drop drop = drops.items[k];
        if (k > 0 && compare_drops(&drops.items[k - 1], &drop) == 0)
            continue;
        if (k > 0 && drops.items[k - 1].statement == drop.statement &&
            drops.items[k - 1].item == UINT32_MAX)
            continue;
        const ReplStatement *statement = &repl->current->statements.items[drop.statement];
        const char *text = statement->text;
        if (drop.item == UINT32_MAX) {
            rxn__list_remove(repl->candidate, drop.statement);
        } else {
            Text item;
            rxn__text_init(&item, &repl->scratch);
            rxn__text_printf(
                &item, "%s %s", statement->keyword,
                rxn__edit_item_text(&repl->scratch, text, &statement->items.items[drop.item]));
            text = item.data;
            rxn__edit_remove_item(repl, repl->candidate, drop.statement, drop.item);
        }
        rxn__text_printf(&said, "dropped: %s\n",
                         rxn__repl_one_line(&repl->scratch, text, rxn__input_width() - 10));
    }
    rxn__list_compose(repl->candidate);
    if (!rxn__repl_check(repl) || !rxn__repl_accept(repl, false))
        return false;
    for (u32 k = 0; k < repl->current->statements.count; k++)
        repl->current->statements.items[k].changed = false;
    fputs(said.data, stdout);
    return true;
}
