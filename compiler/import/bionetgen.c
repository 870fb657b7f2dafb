/* bionetgen.c: see bionetgen.h. One pass over the lines of the file into lists, then one over the lists that writes the
 * model. Expressions are translated token by token; whether they mean something is found out when the
 * model is read.
 */
#include "compiler/import/bionetgen.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A piece of the file: a word, or the rest of a line. */
typedef struct Piece {
    const char *at;
    size_t length;
} Piece;

typedef struct Named { /* a parameter, a function, a species, a group */
    Piece name, value;
    bool is_fixed; /* species: its count never changes */
} Named;

typedef VEC(u32) Numbers;

typedef struct Sided {
    Numbers reactants, products; /* species, from 1, as often as they stand there */
    Piece rate;
} Sided;

typedef enum Section {
    SECTION_NONE,
    SECTION_PARAMETERS,
    SECTION_FUNCTIONS,
    SECTION_SPECIES,
    SECTION_REACTIONS,
    SECTION_GROUPS,
    SECTION_COUNT
} Section;

static const char *const section_names[SECTION_COUNT] = {NULL,      "parameters", "functions",
                                                         "species", "reactions",  "groups"};

typedef struct Import {
    Diagnostics *diagnostics;
    Arena *arena;
    const SourceFile *file;
    const char *line, *line_end; /* what of the line has not been read; without its comment */
    VEC(Named) parameters, functions, species, groups;
    VEC(Sided) reactions;
    VEC(Piece) comments; /* of the reactions */
    Piece comment;       /* of the line */
    bool *is_used;       /* [groups]: some function reads it */
    const char *species_prefix;
    Text *out;
} Import;

static Span
span_of(const Import *import, Piece piece)
{
    u32 begin = import->file->base + (u32)(piece.at - import->file->text);
    return (Span){begin, begin + (u32)(piece.length ? piece.length : 1)};
}

static const char *
shown(const Import *import, Piece piece)
{
    return rxn__shown(import->arena, piece.at, piece.length);
}

static bool
is_word(Piece piece, const char *word)
{
    return strlen(word) == piece.length && memcmp(piece.at, word, piece.length) == 0;
}

/* ---- lines ------------------------------------------------------------------------------------- */

static const char *
skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

static Piece
next_word(Import *import)
{
    import->line = skip_blanks(import->line, import->line_end);
    Piece word = {import->line, 0};
    while (import->line < import->line_end && !strchr(" \t\r", *import->line))
        import->line++;
    word.length = (size_t)(import->line - word.at);
    return word;
}

static Piece
trimmed(const char *begin, const char *end)
{
    begin = skip_blanks(begin, end);
    while (end > begin && strchr(" \t\r", end[-1]))
        end--;
    return (Piece){begin, (size_t)(end - begin)};
}

/* From `at` to the end of its line; returns where the next one begins. */
static const char *
take_line(Import *import, const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    const char *line_end = newline ? newline : end;
    const char *comment = memchr(at, '#', (size_t)(line_end - at));
    import->comment = comment ? trimmed(comment + 1, line_end) : (Piece){line_end, 0};
    import->line = at;
    import->line_end = comment ? comment : line_end;
    return newline ? newline + 1 : end;
}

static bool
number_of(Piece piece, u32 *ret_number)
{
    u64 value = 0;
    for (size_t k = 0; k < piece.length; k++) {
        if (!isdigit((unsigned char)piece.at[k]) || value > UINT32_MAX / 10)
            return false;
        value = value * 10 + (u64)(piece.at[k] - '0');
    }
    *ret_number = (u32)value;
    return piece.length > 0 && value <= UINT32_MAX;
}

static bool
is_name(Piece piece)
{
    if (piece.length == 0 || isdigit((unsigned char)piece.at[0]))
        return false;
    for (size_t k = 0; k < piece.length; k++)
        if (!isalnum((unsigned char)piece.at[k]) && piece.at[k] != '_')
            return false;
    return true;
}

/* "1,2,2" or "0" */
static void
take_members(Import *import, Piece piece, Numbers *list)
{
    const char *at = piece.at, *end = piece.at + piece.length;
    while (at <= end && piece.length) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        Piece item = {at, (size_t)((comma ? comma : end) - at)};
        u32 number;
        if (!number_of(item, &number)) {
            rxn__error(import->diagnostics, span_of(import, item),
                       "'%s' is not the number of a species", shown(import, item));
            return;
        }
        if (number > 0)
            vec_push(import->arena, list, number);
        if (!comma)
            return;
        at = comma + 1;
    }
}

static void
take_reaction(Import *import)
{
    Sided reaction = {0};
    Piece reactants = next_word(import), products = next_word(import);
    reaction.rate = trimmed(import->line, import->line_end);
    if (!reaction.rate.length) {
        rxn__error(import->diagnostics, span_of(import, reactants), "this reaction has no rate");
        rxn__note(import->diagnostics, (Span){0},
                  "a line is: its number, reactants, products, rate, as in '1 1,2 4 kon'");
        return;
    }
    take_members(import, reactants, &reaction.reactants);
    take_members(import, products, &reaction.products);
    vec_push(import->arena, &import->reactions, reaction);
    vec_push(import->arena, &import->comments, import->comment);
}

static void
take_entry(Import *import, Section section)
{
    Piece number = next_word(import);
    u32 value;
    if (!number_of(number, &value)) {
        rxn__error(import->diagnostics, span_of(import, number),
                   "a line of '%s' begins with its number, not with '%s'", section_names[section],
                   shown(import, number));
        return;
    }
    if (section == SECTION_REACTIONS) {
        take_reaction(import);
        return;
    }
    /* Reactions and groups name species by these. */
    if (section == SECTION_SPECIES && value != import->species.count + 1) {
        rxn__error(import->diagnostics, span_of(import, number),
                   "species %s stands where number %u is due", shown(import, number),
                   import->species.count + 1);
        rxn__note(import->diagnostics, (Span){0}, "species are numbered 1, 2, 3, …, in this order");
    }
    Named entry = {.name = next_word(import)};
    entry.value = trimmed(import->line, import->line_end);
    if (section == SECTION_SPECIES) {
        entry.is_fixed = entry.name.length && entry.name.at[0] == '$';
        vec_push(import->arena, &import->species, entry);
    } else if (section == SECTION_FUNCTIONS) {
        if (entry.name.length > 2 && memcmp(entry.name.at + entry.name.length - 2, "()", 2) == 0)
            entry.name.length -= 2;
        vec_push(import->arena, &import->functions, entry);
    } else if (section == SECTION_GROUPS) {
        vec_push(import->arena, &import->groups, entry);
    } else {
        vec_push(import->arena, &import->parameters, entry);
    }
    bool has_name = section == SECTION_SPECIES ? entry.name.length > 0 : is_name(entry.name);
    if (!has_name)
        rxn__error(import->diagnostics, span_of(import, entry.name), "'%s' is not a name",
                   shown(import, entry.name));
    else if (!entry.value.length && section != SECTION_GROUPS)
        rxn__error(import->diagnostics, span_of(import, entry.name), "'%s' has no value",
                   shown(import, entry.name));
}

static Section
section_of(Import *import, Piece first)
{
    Piece name = trimmed(import->line, import->line_end);
    for (Section s = SECTION_PARAMETERS; s < SECTION_COUNT; s++)
        if (is_word(name, section_names[s]))
            return s;
    rxn__error(import->diagnostics, span_of(import, name.length ? name : first),
               "the section '%s' is not taken", shown(import, name));
    rxn__note(import->diagnostics, (Span){0},
              "sections are parameters, functions, species, reactions and groups");
    return SECTION_COUNT;
}

static void
take_lines(Import *import)
{
    const char *at = import->file->text, *end = at + import->file->length;
    Section section = SECTION_NONE;
    Piece opened = {at, 0};
    while (at < end) {
        at = take_line(import, at, end);
        import->line = skip_blanks(import->line, import->line_end);
        const char *begin = import->line;
        if (begin == import->line_end)
            continue;
        Piece first = next_word(import);
        if (is_word(first, "begin")) {
            section = section_of(import, first);
            opened = first;
        } else if (is_word(first, "end")) {
            section = SECTION_NONE;
        } else if (section == SECTION_NONE) {
            rxn__error(import->diagnostics, span_of(import, first),
                       "'%s' stands outside of every section", shown(import, first));
        } else if (section != SECTION_COUNT) {
            import->line = begin;
            take_entry(import, section);
        }
    }
    if (section != SECTION_NONE)
        rxn__error(import->diagnostics, span_of(import, opened),
                   "the file ends inside of this section");
}

/* ---- names and expressions --------------------------------------------------------------------- */

/* What means something in the language and may be a name there. */
static const char *const taken[] = {
    "and",   "else", "false", "if",    "in",      "not",      "or",    "prod",
    "sum",   "then", "true",  "until", "t",       "exp",      "log",   "log1p",
    "expm1", "sqrt", "pow",   "min",   "max",     "abs",      "floor", "ceil",
    "sin",   "cos",  "tan",   "tanh",  "sigmoid", "softplus", "hill",  "choose",
};

static void
put(Import *import, const char *text)
{
    rxn__text_append(import->out, text, strlen(text));
}

static void
put_name(Import *import, Piece name)
{
    rxn__text_append(import->out, name.at, name.length);
    for (u32 k = 0; k < COUNT_OF(taken); k++)
        if (is_word(name, taken[k]))
            put(import, "_");
}

/* A call: what stands before its arguments, between them, behind them. */
typedef struct Call {
    const char *name, *open, *first_comma, *comma, *close;
    u32 least, most; /* arguments */
} Call;

enum { MOST_ARGUMENTS = 100 };

static const Call calls[] = {
    {"if", "(if ", " then ", " else ", ")", 3, 3},
    {"ln", "log(", ", ", ", ", ")", 1, 1},
    {"log10", "(log(", ", ", ", ", ") / log(10))", 1, 1},
    {"log2", "(log(", ", ", ", ", ") / log(2))", 1, 1},
    {"rint", "floor(0.5 + (", ", ", ", ", "))", 1, 1},
    {"exp", "exp(", ", ", ", ", ")", 1, 1},
    {"sqrt", "sqrt(", ", ", ", ", ")", 1, 1},
    {"abs", "abs(", ", ", ", ", ")", 1, 1},
    {"sin", "sin(", ", ", ", ", ")", 1, 1},
    {"cos", "cos(", ", ", ", ", ")", 1, 1},
    {"tan", "tan(", ", ", ", ", ")", 1, 1},
    {"tanh", "tanh(", ", ", ", ", ")", 1, 1},
    {"min", "min(", ", ", ", ", ")", 2, MOST_ARGUMENTS},
    {"max", "max(", ", ", ", ", ")", 2, MOST_ARGUMENTS},
};

static const Call group = {NULL, "(", ", ", ", ", ")", 1, 1};

static const struct {
    const char *from, *to;
} operators[] = {
    {"&&", " and "}, {"||", " or "}, {"==", " == "}, {"!=", " != "}, {"<=", " <= "},
    {">=", " >= "},  {"<", " < "},   {">", " > "},   {"+", " + "},   {"-", " - "},
    {"*", "*"},      {"/", "/"},     {"^", "^"},
};

enum { MOST_DEPTH = 200 };

typedef struct Translation {
    Piece rest;
    struct {
        const Call *call;
        Piece name;
        u32 commas;
    } open[MOST_DEPTH];
    u32 depth;
    bool after_value; /* a minus here is a difference, not a sign */
} Translation;

static void
drop(Piece *piece, size_t length)
{
    piece->at += length;
    piece->length -= length;
}

static bool
fail_at(Import *import, Piece piece, const char *what)
{
    rxn__error(import->diagnostics, span_of(import, piece), "'%s' %s", shown(import, piece), what);
    return false;
}

static bool
opens(Import *import, Translation *t, Piece name, const Call *call)
{
    if (t->depth == MOST_DEPTH)
        return fail_at(import, name, "is nested too deep");
    t->open[t->depth].call = call;
    t->open[t->depth].name = name;
    t->open[t->depth++].commas = 0;
    t->after_value = false;
    put(import, call->open);
    return true;
}

static bool
same_name(Piece a, Piece b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

static void
mark_used(Import *import, Piece name)
{
    for (u32 g = 0; g < import->groups.count; g++) {
        Piece other = import->groups.items[g].name;
        if (same_name(other, name))
            import->is_used[g] = true;
    }
}

static bool
translate_name(Import *import, Translation *t)
{
    Piece name = t->rest;
    name.length = 0;
    while (name.length < t->rest.length &&
           (isalnum((unsigned char)t->rest.at[name.length]) || t->rest.at[name.length] == '_'))
        name.length++;
    drop(&t->rest, name.length);
    const char *end = t->rest.at + t->rest.length, *next = skip_blanks(t->rest.at, end);
    t->after_value = true;
    if (next == end || *next != '(') {
        if (is_word(name, "_pi"))
            put(import, "3.141592653589793");
        else if (is_word(name, "_e"))
            put(import, "2.718281828459045");
        else
            put_name(import, name);
        mark_used(import, name);
        return true;
    }
    drop(&t->rest, (size_t)(next + 1 - t->rest.at));
    next = skip_blanks(t->rest.at, end);
    if (next < end && *next == ')') { /* name() */
        drop(&t->rest, (size_t)(next + 1 - t->rest.at));
        if (is_word(name, "time") || is_word(name, "t"))
            put(import, "t");
        else
            put_name(import, name);
        mark_used(import, name);
        return true;
    }
    for (u32 k = 0; k < COUNT_OF(calls); k++)
        if (is_word(name, calls[k].name))
            return opens(import, t, name, &calls[k]);
    return fail_at(import, name, "is a function that is not taken");
}

static bool
translate_number(Import *import, Translation *t)
{
    char *end;
    char number[64];
    size_t most = t->rest.length < sizeof number - 1 ? t->rest.length : sizeof number - 1;
    memcpy(number, t->rest.at, most);
    number[most] = '\0';
    strtod(number, &end);
    size_t length = (size_t)(end - number);
    if (length == 0 || memchr(number, 'x', length) || memchr(number, 'X', length))
        return fail_at(import, t->rest, "is not a number");
    /* "1." and ".5e3" are numbers there; here digits follow a point. */
    rxn__text_append(import->out, number, length);
    if (number[length - 1] == '.')
        put(import, "0");
    drop(&t->rest, length);
    t->after_value = true;
    return true;
}

static bool
translate_mark(Import *import, Translation *t)
{
    Piece mark = {t->rest.at, 1};
    if (*mark.at == '(') {
        drop(&t->rest, 1);
        return opens(import, t, mark, &group);
    }
    if (*mark.at == ')' || *mark.at == ',') {
        if (t->depth == 0)
            return fail_at(import, mark, "has no bracket that it belongs to");
        drop(&t->rest, 1);
        const Call *call = t->open[t->depth - 1].call;
        u32 commas = t->open[t->depth - 1].commas;
        t->after_value = *mark.at == ')';
        if (*mark.at == ',') {
            put(import, t->open[t->depth - 1].commas++ == 0 ? call->first_comma : call->comma);
            return true;
        }
        if (commas + 1 < call->least || commas + 1 > call->most)
            return fail_at(import, t->open[t->depth - 1].name, "has too few or too many arguments");
        put(import, t->open[--t->depth].call->close);
        return true;
    }
    for (u32 k = 0; k < COUNT_OF(operators); k++) {
        size_t length = strlen(operators[k].from);
        if (length > t->rest.length || memcmp(operators[k].from, mark.at, length) != 0)
            continue;
        bool is_sign = !t->after_value && length == 1 && (*mark.at == '-' || *mark.at == '+');
        if (!is_sign)
            put(import, operators[k].to);
        else if (*mark.at == '-')
            put(import, "-");
        drop(&t->rest, length);
        t->after_value = false;
        return true;
    }
    return fail_at(import, mark, "is not taken in an expression");
}

/* Writes an expression; false after an error. */
static bool
put_expression(Import *import, Piece expression)
{
    Translation t = {.rest = expression};
    for (;;) {
        const char *end = t.rest.at + t.rest.length;
        drop(&t.rest, (size_t)(skip_blanks(t.rest.at, end) - t.rest.at));
        if (!t.rest.length)
            break;
        unsigned char c = (unsigned char)*t.rest.at;
        bool good = isalpha(c) || c == '_'   ? translate_name(import, &t)
                    : isdigit(c) || c == '.' ? translate_number(import, &t)
                                             : translate_mark(import, &t);
        if (!good)
            return false;
    }
    return t.depth == 0 || fail_at(import, expression, "has a bracket that is not closed");
}

/* ---- the model ---------------------------------------------------------------------------------- */

static void
put_species(Import *import, u32 number)
{
    rxn__text_printf(import->out, "%s%u", import->species_prefix, number);
}

static void
put_comment(Import *import, Piece comment)
{
    if (comment.length) {
        put(import, "  # ");
        rxn__text_append(import->out, comment.at, comment.length);
    }
    put(import, "\n");
}

/* Some parameter, function or group is called S and a number. */
static bool
is_in_the_way(const Import *import)
{
    const Named *lists[] = {import->parameters.items, import->functions.items,
                            import->groups.items};
    u32 counts[] = {import->parameters.count, import->functions.count, import->groups.count};
    u32 number;
    for (u32 l = 0; l < COUNT_OF(lists); l++)
        for (u32 k = 0; k < counts[l]; k++) {
            Piece name = lists[l][k].name;
            if (name.length > 1 && *name.at == 'S' &&
                number_of((Piece){name.at + 1, name.length - 1}, &number))
                return true;
        }
    return false;
}

static int
compare_numbers(const void *a, const void *b)
{
    u32 x = *(const u32 *)a, y = *(const u32 *)b;
    return (x > y) - (x < y);
}

/* Sorted, each once, with how often it stands there. */
typedef struct Side {
    Numbers species, copies;
} Side;

static Side
side_of(Import *import, Numbers *members)
{
    Side side = {0};
    if (members->count)
        qsort(members->items, members->count, sizeof *members->items, compare_numbers);
    for (u32 k = 0; k < members->count; k++) {
        u32 last = side.species.count;
        if (last && side.species.items[last - 1] == members->items[k]) {
            side.copies.items[last - 1]++;
            continue;
        }
        vec_push(import->arena, &side.species, members->items[k]);
        vec_push(import->arena, &side.copies, 1);
    }
    return side;
}

static void
put_side(Import *import, const Side *side)
{
    if (!side->species.count)
        put(import, "0");
    for (u32 k = 0; k < side->species.count; k++) {
        if (k)
            put(import, " + ");
        if (side->copies.items[k] > 1)
            rxn__text_printf(import->out, "%u ", side->copies.items[k]);
        put_species(import, side->species.items[k]);
    }
}

/* A fixed species leaves a reaction as it came in. */
static void
keep_fixed(Import *import, Sided *reaction)
{
    Numbers products = {0};
    for (u32 k = 0; k < reaction->products.count; k++)
        if (!import->species.items[reaction->products.items[k] - 1].is_fixed)
            vec_push(import->arena, &products, reaction->products.items[k]);
    for (u32 k = 0; k < reaction->reactants.count; k++)
        if (import->species.items[reaction->reactants.items[k] - 1].is_fixed)
            vec_push(import->arena, &products, reaction->reactants.items[k]);
    reaction->products = products;
}

static bool
check_members(Import *import, const Sided *reaction)
{
    const Numbers *sides[] = {&reaction->reactants, &reaction->products};
    for (u32 s = 0; s < COUNT_OF(sides); s++)
        for (u32 k = 0; k < sides[s]->count; k++)
            if (sides[s]->items[k] > import->species.count) {
                rxn__error(import->diagnostics, span_of(import, reaction->rate),
                           "this reaction has species %u; there are %u", sides[s]->items[k],
                           import->species.count);
                return false;
            }
    return true;
}

/* In how many orders equal reactants can stand, by which the file has divided: n! for n copies. False: too many. */
static bool
count_orders(const Side *reactants, u64 *ret_orders)
{
    const u64 most = UINT64_C(1) << 53;
    *ret_orders = 1;
    for (u32 k = 0; k < reactants->copies.count; k++)
        for (u32 copies = reactants->copies.items[k]; copies > 1; copies--) {
            if (*ret_orders > most / copies)
                return false;
            *ret_orders *= copies;
        }
    return true;
}

static void
put_reaction(Import *import, u32 number)
{
    static const char *const kinds[] = {"MM", "Sat", "Hill", "Arrhenius", "FunctionProduct"};
    Sided *reaction = &import->reactions.items[number];
    if (!check_members(import, reaction))
        return;
    Piece first = reaction->rate;
    for (first.length = 0;
         first.length < reaction->rate.length && !strchr(" \t(*", reaction->rate.at[first.length]);)
        first.length++;
    for (u32 k = 0; k < COUNT_OF(kinds); k++)
        if (is_word(first, kinds[k])) {
            rxn__error(import->diagnostics, span_of(import, first),
                       "rates of the type '%s' are not taken", kinds[k]);
            rxn__note(import->diagnostics, (Span){0},
                      "write it as a function in the section 'functions'");
            return;
        }
    keep_fixed(import, reaction);
    Side reactants = side_of(import, &reaction->reactants);
    Side products = side_of(import, &reaction->products);
    u64 orders;
    if (!count_orders(&reactants, &orders)) {
        rxn__error(import->diagnostics, span_of(import, reaction->rate),
                   "this reaction has more copies of its reactants than can be counted");
        rxn__note(import->diagnostics, (Span){0},
                  "up to 18 of one species can: their orders are a whole number below 2^53");
        return;
    }
    put_side(import, &reactants);
    put(import, " -> ");
    put_side(import, &products);
    put(import, " @ ");
    if (orders > 1)
        rxn__text_printf(import->out, "%llu*(", (unsigned long long)orders);
    put_expression(import, reaction->rate);
    if (orders > 1)
        put(import, ")");
    put_comment(import, import->comments.items[number]);
}

/* "2*8,9" as 2*S8 + S9, in brackets by the hundred, so that no sum is deep. */
static void
put_members(Import *import, Piece value)
{
    enum { TOGETHER = 100 };
    const char *at = value.at, *end = value.at + value.length;
    u64 terms = 1, written = 0;
    for (size_t k = 0; k < value.length; k++)
        terms += value.at[k] == ',';
    if (!value.length)
        put(import, "0");
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        Piece item = {at, (size_t)((comma ? comma : end) - at)}, factor = {at, 0};
        const char *star = memchr(at, '*', item.length);
        if (star) {
            factor.length = (size_t)(star - at);
            drop(&item, factor.length + 1);
        }
        u32 number = 0;
        if (!number_of(item, &number) || number == 0 || number > import->species.count) {
            fail_at(import, item, "is not the number of a species");
            return;
        }
        put(import, written == 0 ? "" : " + ");
        if (terms > TOGETHER && written % TOGETHER == 0)
            put(import, "(");
        if (star) {
            rxn__text_append(import->out, factor.at, factor.length);
            put(import, "*");
        }
        put_species(import, number);
        written++;
        if (terms > TOGETHER && (written % TOGETHER == 0 || written == terms))
            put(import, ")");
        at = comma ? comma + 1 : end;
    }
}

static void
put_named(Import *import, const char *what, const Named *entry)
{
    put(import, what);
    put_name(import, entry->name);
    put(import, " = ");
    put_expression(import, entry->value);
    put(import, "\n");
}

/* "model egfr_net", after the file's name. */
static void
put_title(Import *import)
{
    const char *path = import->file->path, *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path, *dot = strchr(name, '.');
    Piece title = {name, dot ? (size_t)(dot - name) : strlen(name)};
    rxn__text_printf(import->out, "# Imported from the BioNetGen network '%s'.\n",
                     rxn__shown(import->arena, name, strlen(name)));
    if (!is_name(title))
        return;
    put(import, "model ");
    put_name(import, title);
    put(import, "\n\n");
}

/* Functions before groups, for these know then which groups functions read; the language does not mind the order. */
static void
put_model(Import *import)
{
    for (u32 k = 0; k < import->parameters.count; k++)
        put_named(import, "param ", &import->parameters.items[k]);
    put(import, "\n");
    for (u32 k = 0; k < import->functions.count; k++)
        put_named(import, "let ", &import->functions.items[k]);
    for (u32 k = 0; k < import->species.count; k++) {
        const Named *species = &import->species.items[k];
        put(import, "species ");
        put_species(import, k + 1);
        put(import, " = ");
        put_expression(import, species->value);
        put_comment(import, species->name);
    }
    put(import, "\n");
    for (u32 k = 0; k < import->reactions.count; k++)
        put_reaction(import, k);
    put(import, "\n");
    for (u32 k = 0; k < import->groups.count; k++) {
        const Named *named = &import->groups.items[k];
        put(import, import->is_used[k] ? "let " : "observe ");
        put_name(import, named->name);
        put(import, " = ");
        put_members(import, named->value);
        put(import, "\n");
        if (import->is_used[k]) {
            put(import, "observe ");
            put_name(import, named->name);
            put(import, "\n");
        }
    }
}

bool
rxn__is_bionetgen(const char *text, size_t length)
{
    Import import = {0};
    const char *at = text, *end = text + length;
    while (at < end) {
        at = take_line(&import, at, end);
        Piece first = next_word(&import);
        if (!first.length)
            continue;
        Piece second = trimmed(import.line, import.line_end);
        for (Section s = SECTION_PARAMETERS; s < SECTION_COUNT; s++)
            if (is_word(first, "begin") && is_word(second, section_names[s]))
                return true;
        return false;
    }
    return false;
}

/* A group and a parameter or function of one name would be one name of the model. */
static bool
names_are_apart(Import *import)
{
    bool apart = true;
    for (u32 g = 0; g < import->groups.count; g++) {
        Piece name = import->groups.items[g].name;
        for (u32 k = 0; k < import->parameters.count; k++)
            if (same_name(name, import->parameters.items[k].name))
                apart = fail_at(import, name, "is the name of a parameter, too");
        for (u32 k = 0; k < import->functions.count; k++)
            if (same_name(name, import->functions.items[k].name))
                apart = fail_at(import, name, "is the name of a function, too");
    }
    return apart;
}

bool
rxn__import_bionetgen(const SourceMap *sources, Diagnostics *diagnostics, u32 file, Text *out)
{
    Import import = {.diagnostics = diagnostics,
                     .arena = out->arena,
                     .file = &sources->files.items[file],
                     .species_prefix = "S",
                     .out = out};
    u32 errors = diagnostics->error_count;
    take_lines(&import);
    if (diagnostics->error_count > errors)
        return false;
    if (!names_are_apart(&import))
        return false;
    put_title(&import);
    import.is_used = NEW_ARRAY(import.arena, bool, import.groups.count + 1);
    if (is_in_the_way(&import))
        import.species_prefix = "species_";
    put_model(&import);
    return diagnostics->error_count == errors;
}
