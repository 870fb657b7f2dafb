/* layout: from raw tokens to those of the grammar: line ends, keywords, brackets, recovery.
 *
 * Line ends. A NEWLINE or ';' becomes END, unless
 *   - nothing stands before it in the statement;
 *   - it is inside ( or [;
 *   - the line ends with an operator, an arrow, a comma, '@', '=', ':' …, or the next one begins with
 *     such an operator, '@', `then` or `else`, with which no statement begins.
 * END is also put before '}' and the end of the file, so that a last statement needs no terminator.
 *
 * Keywords. `species`, `at`, … are keywords only at the start of a statement, and only if what follows
 * is not what follows the first name of a reaction: `at + X -> Y @ k` is a reaction of a species `at`.
 *
 * A bracket that is never closed would take the rest of the file with it. So a line end inside of one
 * still counts if the next line can only be a statement: it has an arrow or '@' outside of brackets,
 * or a statement's keyword before a name or a number.
 *
 * Recovery. After an error the rest of the statement is skipped, its block included, and the grammar
 * gets an END. The names seen on the way go into a POISON, since any of them may have been declared.
 */
#include "grammar/parse.h"
#include "grammar/rxn.tab.h"

#include <assert.h>
#include <string.h>

_Static_assert((int)TOKEN_EOF == RXN__BISON_EOF && (int)TOKEN_ERROR == RXN__BISON_error,
               "parse.h and bison disagree on the numbers of tokens");

static const struct {
    const char *text;
    int kind;
} keywords[] = {
    {"model", MODEL}, {"use", USE},         {"const", CONST},
    {"index", INDEX}, {"param", PARAM},     {"species", SPECIES},
    {"input", INPUT}, {"let", LET},         {"fn", FN},
    {"for", FOR},     {"at", AT},           {"every", EVERY},
    {"when", WHEN},   {"observe", OBSERVE}, {"simulate", SIMULATE},
    {"fit", FIT},
};

int
rxn__statement_keyword(const char *word, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(keywords); i++)
        if (strlen(keywords[i].text) == length && memcmp(keywords[i].text, word, length) == 0)
            return keywords[i].kind;
    return 0;
}

const char *
rxn__statement_keyword_near(Name word)
{
    const char *best = NULL;
    u32 best_distance = word->length <= 3 ? 1 : word->length <= 5 ? 2 : 3;
    for (size_t i = 0; i < COUNT_OF(keywords); i++) {
        const size_t length = strlen(keywords[i].text);
        if (best_distance >= length)
            continue; /* nothing of the word would be left */
        const u32 distance =
            rxn__name_distance(word->text, word->length, keywords[i].text, length, best_distance);
        if (distance < best_distance || (distance == best_distance && !best)) {
            best = keywords[i].text;
            best_distance = distance;
        }
    }
    return best;
}

/* ---- Looking at the text ahead ---------------------------------------------------------------- */

static bool
is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (u8)c >= 0x80;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; /* as in rxn.l */
}

bool
rxn__line_has_reaction(const Parser *parser, u32 at)
{
    u32 depth = 0;
    for (; at < parser->length; at++) {
        const char c = parser->text[at], next = parser->text[at + 1];
        if (c == '\n' || c == '#' || c == ';')
            return false;
        if (c == '"') {
            do {
                at++;
            } while (at < parser->length && parser->text[at] != '"' && parser->text[at] != '\n');
            if (at >= parser->length || parser->text[at] == '\n')
                return false;
        } else if (c == '(' || c == '[' || c == '{') {
            depth++;
        } else if (c == ')' || c == ']' || c == '}') {
            if (depth-- == 0)
                return false;
        } else if (depth == 0 && (c == '@' || ((c == '-' || c == '=') && next == '>'))) {
            return true;
        }
    }
    return false;
}

/* Does the text begin with a statement's keyword and something that cannot follow the same word as a
 * name in an expression? */
static bool
begins_with_keyword(const Parser *parser, u32 at)
{
    static const char *const operator_words[] = {"and", "or", "then", "else", "in"};
    u32 end = at;
    while (end < parser->length && is_word_byte(parser->text[end]))
        end++;
    if (!rxn__statement_keyword(parser->text + at, end - at))
        return false;
    u32 next = end;
    while (next < parser->length && is_blank(parser->text[next]))
        next++;
    if (next == parser->length)
        return false;
    const char c = parser->text[next];
    if (!is_word_byte(c))
        return c == '"' ||
               c == '{'; /* with or without a blank: how a text is spaced changes nothing */
    u32 next_end = next;
    while (next_end < parser->length && is_word_byte(parser->text[next_end]))
        next_end++;
    for (size_t i = 0; i < COUNT_OF(operator_words); i++)
        if (strlen(operator_words[i]) == next_end - next &&
            memcmp(operator_words[i], parser->text + next, next_end - next) == 0)
            return false;
    return true;
}

/* Can the next line that is not empty only be a statement of its own? */
static bool
next_line_is_statement(const Parser *parser, u32 position, bool arrows_tell)
{
    u32 at = position - parser->base;
    for (; at < parser->length; at++) {
        const char c = parser->text[at];
        if (c == '#')
            while (at + 1 < parser->length && parser->text[at + 1] != '\n')
                at++;
        else if (!is_blank(c) && c != '\n')
            break;
    }
    return begins_with_keyword(parser, at) || (arrows_tell && rxn__line_has_reaction(parser, at));
}

/* ---- Raw tokens ------------------------------------------------------------------------------- */

static const Token *
peek(Parser *parser)
{
    if (parser->ahead_count == 0)
        parser->ahead[parser->ahead_count++] = rxn__scanner_next(parser);
    return &parser->ahead[parser->ahead_count - 1];
}

static Token
take(Parser *parser)
{
    peek(parser);
    return parser->ahead[--parser->ahead_count];
}

static void
put_back(Parser *parser, Token token)
{
    assert(parser->ahead_count < COUNT_OF(parser->ahead));
    parser->ahead[parser->ahead_count++] = token;
}

/* ---- Tokens for the grammar ------------------------------------------------------------------- */

static bool
is_name(int kind)
{
    return kind == NAME || kind == AS || kind == AT || kind == BOUND || kind == EVERY ||
           kind == FIT || kind == FROM;
}

static bool
at_statement_start(const Parser *parser)
{
    return parser->last.kind == TOKEN_EOF || parser->last.kind == END || parser->last.kind == '{';
}

static const Bracket *
innermost(const Parser *parser)
{
    const u32 count = parser->brackets.count;
    return count ? &parser->brackets.items[count - 1] : NULL;
}

static bool
in_round_or_square(const Parser *parser)
{
    const Bracket *bracket = innermost(parser);
    return bracket && bracket->kind != '{';
}

/* The brace of `fit {`, or of a block in it. */
static bool
opens_entries(const Parser *parser, Token token)
{
    const Bracket *outer = innermost(parser);
    return token.kind == '{' && ((parser->last.kind == FIT && parser->statement_tokens == 2) ||
                                 (outer && outer->of_fit));
}

static Token
give(Parser *parser, Token token)
{
    if (at_statement_start(parser) && token.kind != '}') {
        parser->statement_depth = parser->brackets.count;
        parser->statement_tokens = 0;
        parser->statement_has_rate = false;
        parser->ended_by_semicolon = false;
        parser->words.count = 0;
        parser->first = token;
    }
    parser->statement_tokens++;
    if (is_name(token.kind))
        vec_push(parser->arena, &parser->words, token);
    parser->statement_has_rate |= token.kind == '@';
    if (token.kind == '(' || token.kind == '[' || token.kind == '{') {
        const Bracket bracket = {
            .kind = token.kind, .span = token.span, .of_fit = opens_entries(parser, token)};
        vec_push(parser->arena, &parser->brackets, bracket);
    } else if (token.kind == ')' || token.kind == ']' || token.kind == '}') {
        parser->brackets.count--;
        if (token.kind == '}') { /* the statement that has the block goes on */
            parser->statement_depth = parser->brackets.count;
            parser->words.count = 0;
        }
    }
    parser->before = parser->last;
    parser->last = token;
    if (parser->log)
        vec_push(parser->arena, &parser->log->tokens, token);
    return token;
}

static Token
give_end(Parser *parser)
{
    return give(parser,
                (Token){.kind = END, .span = {parser->last.span.end, parser->last.span.end}});
}

static void
poison_word(Parser *parser, const Token *word)
{
    AstNode *poison = parser->poisons.items[parser->poisons.count - 1];
    AstNode *name = rxn__ast_node(parser->arena, AST_REFERENCE, word->span, word->name, 0, NULL);
    name->name_span = word->span;
    rxn__ast_append(parser->arena, poison, name);
}

/* Behind a ';' a statement has ended, whatever comes. A word alone that begins no statement is no beginning of one. */
void
rxn__layout_note_end(Parser *parser, int kind)
{
    if (!parser->log || parser->diagnostics->error_count > 0)
        return;
    if (kind == END) {
        if (peek(parser)->kind != TOKEN_EOF || parser->ended_by_semicolon)
            return;
        if (parser->statement_tokens == 2 && parser->first.kind == NAME)
            return;
    } else if (kind != TOKEN_EOF) {
        return;
    }
    parser->log->ends_early = true;
}

void
rxn__layout_recover(Parser *parser)
{
    const Span span = span_join(parser->first.span, parser->last.span);
    vec_push(parser->arena, &parser->poisons,
             rxn__ast_node(parser->arena, AST_POISON, span, NULL, 0, NULL));
    for (u32 i = 0; i < parser->words.count; i++)
        poison_word(parser, &parser->words.items[i]);
    parser->skipping = parser->last.kind != END;
    if (parser->poisons.count >= RXN_MAX_SYNTAX_ERRORS)
        parser->gave_up = true;
}

/* The statement is wrong and the error has been reported. */
static Token
give_error(Parser *parser, Span span)
{
    const Token token = give(parser, (Token){.kind = TOKEN_ERROR, .span = span});
    rxn__layout_recover(parser);
    return token;
}

/* A '(' or '[' that turns out never to be closed, at this token, which is looked at again. */
static Token
give_never_closed(Parser *parser, Token token)
{
    rxn__layout_note_end(parser, token.kind);
    rxn__report_never_closed(parser, *innermost(parser));
    while (in_round_or_square(parser))
        parser->brackets.count--;
    put_back(parser, token);
    return give_error(parser, token.span);
}

/* ---- Line ends ---------------------------------------------------------------------------------- */

/* Operators between two operands: they continue a statement on either side of a line end. */
static bool
is_binary(int kind)
{
    switch (kind) {
    case '+':
    case '-':
    case '*':
    case '/':
    case '^':
    case '<':
    case '>':
    case '@':
    case LE:
    case GE:
    case EQ:
    case NE:
    case AND:
    case OR:
    case THEN:
    case ELSE:
    case ARROW:
    case ARROW_BOTH:
    case ARROW_LAW:
    case DOTDOT: return true;
    default: return false;
    }
}

static bool
continues_after(int kind)
{
    return is_binary(kind) || kind == ',' || kind == '=' || kind == '~' || kind == ':' ||
           kind == NOT || kind == IF || kind == IN;
}

/* Does the statement go on behind this line end (the last of several)? */
static bool
goes_on(Parser *parser, Token newline)
{
    if (is_binary(peek(parser)->kind))
        return true;
    if (!continues_after(parser->last.kind))
        return false;
    /* An arrow in the next line says nothing while the arrow of this reaction is still to come. */
    const bool arrows_tell = parser->statement_has_rate ||
                             (!is_name(parser->first.kind) && parser->first.kind != NUMBER &&
                              parser->first.kind != NOTHING);
    return !next_line_is_statement(parser, newline.span.end, arrows_tell);
}

/* ---- Skipping --------------------------------------------------------------------------------- */

static bool
opened_in_statement(const Parser *parser)
{
    return parser->brackets.count > parser->statement_depth;
}

/* Looks at one token of a wrong statement. True: the statement ends here. */
static bool
skip(Parser *parser, Token token)
{
    const Bracket *bracket = opened_in_statement(parser) ? innermost(parser) : NULL;
    if (token.kind != NEWLINE && token.kind != SEMICOLON && token.kind != TOKEN_EOF)
        parser->last = token;
    parser->statement_has_rate |= token.kind == '@';
    switch (token.kind) {
    case TOKEN_EOF: put_back(parser, token); break;
    case NEWLINE:
        parser->skipping = false; /* what the scanner finds wrong in the next line is news */
        while (peek(parser)->kind == NEWLINE)
            token = take(parser);
        parser->skipping = true;
        if (bracket ? bracket->kind == '{' || !next_line_is_statement(parser, token.span.end, true)
                    : goes_on(parser, token))
            return false;
        break;
    case SEMICOLON:
        if (bracket)
            return false;
        break;
    case '(':
    case '[':
    case '{':
        if (parser->brackets.count < RXN_MAX_NESTING)
            vec_push(parser->arena, &parser->brackets,
                     ((Bracket){.kind = token.kind, .span = token.span}));
        return false;
    case ')':
    case ']':
        if (bracket && bracket->kind == (token.kind == ')' ? '(' : '['))
            parser->brackets.count--;
        return false;
    case '}':
        while (opened_in_statement(parser) && in_round_or_square(parser))
            parser->brackets.count--;
        if (opened_in_statement(parser)) {
            parser->brackets.count--;
            return false;
        }
        if (!innermost(parser))
            return false;
        put_back(parser, token);
        break;
    default:
        if (is_name(token.kind))
            poison_word(parser, &token);
        return false;
    }
    parser->brackets.count = parser->statement_depth;
    parser->skipping = false;
    return true;
}

/* ---- The layout ------------------------------------------------------------------------------- */

/* Gives a token, or returns false when the raw one stands for nothing. */
static bool
lay_out(Parser *parser, Token token, Token *ret_token)
{
    const Bracket *bracket = innermost(parser);
    switch (token.kind) {
    case TOKEN_ERROR: *ret_token = give_error(parser, token.span); return true;

    case NEWLINE:
        while (peek(parser)->kind == NEWLINE)
            token = take(parser);
        if (in_round_or_square(parser)) {
            if (!next_line_is_statement(parser, token.span.end, true))
                return false;
            *ret_token = give_never_closed(parser, token);
            return true;
        }
        if (at_statement_start(parser) || goes_on(parser, token))
            return false;
        *ret_token = give_end(parser);
        return true;

    case SEMICOLON:
        if (at_statement_start(parser))
            return false;
        parser->ended_by_semicolon = true;
        *ret_token =
            in_round_or_square(parser) ? give_never_closed(parser, token) : give_end(parser);
        return true;

    case '(':
    case '[':
    case '{':
        if (parser->brackets.count == RXN_MAX_NESTING) {
            rxn__brackets_too_deep(parser, token.span);
            return false;
        }
        break;

    case ')':
    case ']':
        if (bracket && bracket->kind == (token.kind == ')' ? '(' : '['))
            break;
        if (bracket && bracket->kind != '{') {
            rxn__error(parser->diagnostics, token.span, "'%c' does not match the '%c' before it",
                       token.kind, bracket->kind);
            rxn__note(parser->diagnostics, bracket->span, "opened here");
            while (in_round_or_square(parser))
                parser->brackets.count--;
        } else {
            rxn__error(parser->diagnostics, token.span, "'%c' without a '%c' before it", token.kind,
                       token.kind == ')' ? '(' : '[');
        }
        *ret_token = give_error(parser, token.span);
        return true;

    case '}':
        if (in_round_or_square(parser)) {
            *ret_token = give_never_closed(parser, token);
            return true;
        }
        if (!bracket) {
            rxn__error(parser->diagnostics, token.span, "'}' without a '{' before it");
            return false;
        }
        if (!at_statement_start(parser)) {
            put_back(parser, token);
            *ret_token = give_end(parser);
            return true;
        }
        break;

    case TOKEN_EOF:
        if (!bracket && at_statement_start(parser))
            break;
        if (in_round_or_square(parser)) {
            *ret_token = give_never_closed(parser, token);
            return true;
        }
        put_back(parser, token);
        if (!at_statement_start(parser)) {
            *ret_token = give_end(parser);
            return true;
        }
        rxn__layout_note_end(parser, token.kind);
        rxn__report_never_closed(parser, *bracket);
        *ret_token = give(parser, (Token){.kind = '}', .span = token.span});
        return true;

    default:
        if (is_name(token.kind) && at_statement_start(parser)) {
            const bool of_fit = bracket && bracket->of_fit;
            const int next = peek(parser)->kind;
            const int keyword = rxn__statement_keyword(token.name->text, token.name->length);
            const bool is_event = keyword == AT || keyword == EVERY || keyword == WHEN;
            const bool reacts = next == ARROW || next == ARROW_BOTH || next == ARROW_LAW ||
                                next == '+' || next == ':' || next == '[';
            const bool is_entry = of_fit && (!is_event || next == '=' || next == '{');
            token.kind = keyword && !reacts && !is_entry ? keyword : NAME;
        }
        break;
    }
    *ret_token = give(parser, token);
    return true;
}

Token
rxn__layout_next(Parser *parser)
{
    for (;;) {
        if (parser->gave_up)
            return (Token){.kind = TOKEN_EOF, .span = parser->last.span};
        if (parser->of_expression && parser->last.kind == TOKEN_EOF)
            return give(parser, (Token){.kind = OBJECTIVE, .span = {parser->base, parser->base}});
        Token token = take(parser);
        if (parser->skipping) {
            if (skip(parser, token))
                return give_end(parser);
        } else if (lay_out(parser, token, &token)) {
            return token;
        }
    }
}
