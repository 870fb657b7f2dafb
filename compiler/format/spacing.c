/* spacing: what stands between two tokens of a line, and which tokens begin a column of a table.
 *
 * The parser has said what is a statement and which words at its start are keywords. What is left to know of a token is
 * whether it ends an operand: behind one, a '-' is binary and a word like `bound` a clause; elsewhere the one is a sign
 * and the other a name. + - * / are written with blanks or without, as the author has grouped them; but where a product has
 * blanks, so have the sums of its terms.
 */
#include "compiler/format/private.h"

/* Places in a `use "path" as name (…)`. */
enum { USE_AS = 2, USE_BINDINGS = 4 };

typedef struct Statement {
    Piece *pieces;
    u32 count;
    u32 table;
    bool has_comma; /* several things in one statement */
    bool in_line;   /* of a block that stands in one line */
    u32 arrow, at;  /* of a reaction: the places of its arrow and '@'; else 0 */
} Statement;

static bool
is_clause_word(u32 kind)
{
    return kind == AS || kind == AT || kind == BOUND || kind == EVERY || kind == FIT ||
           kind == FROM;
}

bool
rxn__format_is_statement_word(u32 kind)
{
    switch (kind) {
    case MODEL:
    case USE:
    case CONST:
    case INDEX:
    case SPECIES:
    case PARAM:
    case INPUT:
    case LET:
    case FN:
    case FOR:
    case WHEN:
    case OBSERVE:
    case SIMULATE: return true;
    default: return false;
    }
}

static bool
opens(u32 kind)
{
    return kind == '(' || kind == '[' || kind == '{';
}

static bool
closes(u32 kind)
{
    return kind == ')' || kind == ']' || kind == '}';
}

/* ---- What kind of statement --------------------------------------------------------------------- */

static u32
table_of(const Statement *s)
{
    const u32 first = s->pieces[0].kind;
    if (s->arrow)
        return LINE_REACTION;
    if (first == AT || first == EVERY || first == WHEN)
        return LINE_EVENT;
    if (first == '}' || first == FOR || first == FIT)
        return LINE_OTHER;
    if (first != NAME)
        return LINE_KEYWORD + first;
    /* In a fit block: an entry, unless it is an assignment or a block of entries. */
    if (s->count > 1 && (s->pieces[1].kind == '=' || s->pieces[1].kind == '['))
        return LINE_OTHER;
    return s->pieces[s->count - 1].kind == '{' ? LINE_OTHER : LINE_ENTRY;
}

static void
look_over(Statement *s)
{
    u32 depth = 0;
    for (u32 i = 0; i < s->count; i++) {
        const u32 kind = s->pieces[i].kind;
        if (opens(kind))
            depth++;
        else if (closes(kind) && depth > 0)
            depth--;
        else if (kind == ARROW || kind == ARROW_BOTH || kind == ARROW_LAW)
            s->arrow = i;
        else if (kind == '@' && !s->at)
            s->at = i;
        else if (kind == ',' && depth == 0)
            s->has_comma = true;
    }
    s->table = table_of(s);
}

/* ---- Roles -------------------------------------------------------------------------------------- */

static bool
has_blank_around(const Piece *piece, const Piece *before, const Piece *after)
{
    return before->end < piece->begin || (after && piece->end < after->begin);
}

static PieceRole
role_of(const Statement *s, u32 i, bool after_operand, bool in_brackets)
{
    const Piece *piece = &s->pieces[i], *before = i ? piece - 1 : NULL;
    const u32 kind = piece->kind;
    const bool in_sides = s->arrow && i < s->at;
    if (i == 0 && (is_clause_word(kind) || rxn__format_is_statement_word(kind)))
        return PIECE_WORD;
    if (is_clause_word(kind)) {
        const bool is_clause = !in_sides && (after_operand || before->kind == SIMULATE);
        return is_clause ? PIECE_WORD : PIECE_NAME;
    }
    switch (kind) {
    case NAME: return PIECE_NAME;
    case UNTIL:
    case AND:
    case OR:
    case NOT:
    case IF:
    case THEN:
    case ELSE:
    case IN: return PIECE_WORD;
    case SUM:
    case PROD: return PIECE_NAME; /* called like one */
    case '^': return PIECE_TIGHT;
    case '-':
        if (!after_operand)
            return PIECE_UNARY;
        break;
    case '+':
        if (in_sides && !in_brackets)
            return PIECE_SPACED;
        break;
    case '*':
    case '/': break;
    case '<':
    case '>':
    case LE:
    case GE:
    case EQ:
    case NE:
    case '=':
    case '~':
    case '@':
    case DOTDOT:
    case ARROW:
    case ARROW_BOTH:
    case ARROW_LAW: return PIECE_SPACED;
    default: return PIECE_PLAIN;
    }
    const Piece *after = i + 1 < s->count ? piece + 1 : NULL;
    return has_blank_around(piece, before, after) ? PIECE_SPACED : PIECE_TIGHT;
}

static bool
ends_operand(const Statement *s, u32 i)
{
    const Piece *piece = &s->pieces[i];
    switch (piece->kind) {
    case NUMBER:
    case STRING:
    case NOTHING:
    case TRUE_WORD:
    case FALSE_WORD:
    case ')':
    case ']': return true;
    case FIT: return i > 0; /* takes nothing as a clause, and is an operand as a name */
    default:
        /* The key of an entry stands before its values. */
        return piece->role == PIECE_NAME && !(i == 0 && s->table == LINE_ENTRY);
    }
}

/* Between operators that are neither + - * / nor ^ and inside of the same brackets stands one sum: where a product in it
 * has blanks, it gets them too. */
static bool
parts_sums(const Piece *piece)
{
    const u32 kind = piece->kind;
    const bool computes = kind == '+' || kind == '-' || kind == '*' || kind == '/' || kind == '^';
    return !computes &&
           (piece->role == PIECE_SPACED || piece->role == PIECE_WORD || kind == ',' || kind == ':');
}

static void
loosen_sums(Arena *arena, Statement *s)
{
    VEC(bool) loose = {0}; /* of each sum: there is a product with blanks in it */
    VEC(u32) open = {0};   /* the sum that goes on behind each bracket */
    u32 *sum_of = NEW_ARRAY(arena, u32, s->count), sum = 0;
    vec_push(arena, &loose, false);
    for (u32 i = 0; i < s->count; i++) {
        const Piece *piece = &s->pieces[i];
        if (closes(piece->kind) && open.count > 0)
            sum = open.items[--open.count];
        if (opens(piece->kind))
            vec_push(arena, &open, sum);
        if (opens(piece->kind) || parts_sums(piece)) {
            sum = loose.count;
            vec_push(arena, &loose, false);
        }
        sum_of[i] = sum;
        if ((piece->kind == '*' || piece->kind == '/') && piece->role == PIECE_SPACED)
            loose.items[sum] = true;
    }
    for (u32 i = 0; i < s->count; i++) {
        Piece *piece = &s->pieces[i];
        if ((piece->kind == '+' || piece->kind == '-') && piece->role == PIECE_TIGHT &&
            loose.items[sum_of[i]])
            piece->role = PIECE_SPACED;
    }
}

/* ---- Gaps --------------------------------------------------------------------------------------- */

/* Blanks before piece i > 0, which follows the one before it in the same line. */
static u32
gap_before(const Statement *s, u32 i, u32 bracket)
{
    const Piece *piece = &s->pieces[i], *before = piece - 1;
    const u32 kind = piece->kind, last = before->kind;
    if (last == '{' || kind == '}' || kind == '{')
        return 1;
    if (before->role == PIECE_UNARY || last == '(' || last == '[')
        return 0;
    if (kind == ',' || kind == ')' || kind == ']' || kind == ':' || kind == '[')
        return 0;
    if (i == 1 && s->table == LINE_ENTRY)
        return s->in_line ? 1 : 2;
    const bool binds = s->pieces[0].kind == USE && i == USE_BINDINGS;
    if (kind == '(' && before->role == PIECE_NAME && !binds)
        return 0;
    if (last == ',')
        return bracket == '[' && before->end == piece->begin ? 0 : 1;
    if (piece->role == PIECE_TIGHT || before->role == PIECE_TIGHT)
        return 0;
    if (kind == '@' || last == OBSERVE || (kind == FIT && piece->stop))
        return 2;
    if (last == ':' && s->table == LINE_EVENT && bracket == 0)
        return 2;
    return 1;
}

/* ---- Stops -------------------------------------------------------------------------------------- */

static void
put_stop(Statement *s, u32 i, u32 stop)
{
    if (i < s->count)
        s->pieces[i].stop = (u8)stop;
}

/* name = value in low .. high fit: each part that is there, in this order, outside of brackets. */
static void
put_declaration_stops(Statement *s)
{
    u32 depth = 0, last = 0;
    for (u32 i = 1; i < s->count; i++) {
        const Piece *piece = &s->pieces[i];
        if (opens(piece->kind))
            depth++;
        else if (closes(piece->kind))
            depth--;
        u32 stop = 0;
        if (piece->kind == '=' || piece->kind == '~')
            stop = 1;
        else if (piece->kind == IN)
            stop = 2;
        else if (piece->kind == FIT && piece->role == PIECE_WORD && i + 1 == s->count)
            stop = 3;
        if (depth > 0 || stop <= last)
            continue;
        put_stop(s, i, stop);
        last = stop;
    }
}

static void
put_stops(Statement *s)
{
    u32 depth = 0;
    switch (s->table) {
    case LINE_REACTION:
        if (s->pieces[1].kind == ':')
            put_stop(s, 2, 1);
        put_stop(s, s->arrow, 2);
        put_stop(s, s->at, 3);
        break;
    case LINE_EVENT:
        for (u32 i = 1; i < s->count; i++) {
            if (opens(s->pieces[i].kind))
                depth++;
            else if (closes(s->pieces[i].kind))
                depth--;
            else if (s->pieces[i].kind == ':' && depth == 0)
                put_stop(s, i + 1, 1);
        }
        break;
    case LINE_ENTRY: put_stop(s, 1, 1); break;
    case LINE_KEYWORD + USE:
        put_stop(s, USE_AS, 1);
        put_stop(s, USE_BINDINGS, 2);
        break;
    case LINE_KEYWORD + CONST:
    case LINE_KEYWORD + INDEX:
    case LINE_KEYWORD + SPECIES:
    case LINE_KEYWORD + PARAM:
    case LINE_KEYWORD + LET:
        if (!s->has_comma)
            put_declaration_stops(s);
        break;
    default: break;
    }
}

static void
lay_out(Format *format, Statement *s)
{
    VEC(u32) brackets = {0};
    look_over(s);
    for (u32 i = 0, depth = 0; i < s->count; i++) {
        s->pieces[i].role = (u8)role_of(s, i, i > 0 && ends_operand(s, i - 1), depth > 0);
        if (opens(s->pieces[i].kind))
            depth++;
        else if (closes(s->pieces[i].kind) && depth > 0)
            depth--;
    }
    loosen_sums(format->arena, s);
    put_stops(s);
    for (u32 i = 0; i < s->count; i++) {
        const u32 kind = s->pieces[i].kind;
        const u32 bracket = brackets.count ? brackets.items[brackets.count - 1] : 0;
        s->pieces[i].gap = i ? gap_before(s, i, bracket) : 1;
        if (opens(kind))
            vec_push(format->arena, &brackets, kind);
        else if (closes(kind) && brackets.count > 0)
            brackets.count--;
    }
}

void
rxn__format_spacing(Format *format)
{
    const u32 count = format->pieces.count;
    u32 line = 0;
    for (u32 first = 0, next; first < count; first = next) {
        for (next = first + 1; next < count && !format->pieces.items[next].starts; next++)
            ;
        Statement s = {.pieces = &format->pieces.items[first], .count = next - first};
        /* The line that it begins, if it begins one. */
        while (line < format->lines.count &&
               (format->lines.items[line].count == 0 || format->lines.items[line].first < first))
            line++;
        s.in_line = line == format->lines.count || format->lines.items[line].first != first;
        lay_out(format, &s);
        if (!s.in_line)
            format->lines.items[line].table = s.table;
    }
}
