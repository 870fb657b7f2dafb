/* messages: what to say about a token that does not fit.
 *
 * The parser knows which tokens would have fitted; people want to know what was missing. So the set is
 * read as one of a few situations (a value is missing, a species, an arrow, a rate, a closing bracket),
 * and the token before tells what it was missing for. Statements that begin with a word that is no
 * keyword are told apart first, since there the parser has gone on as if it were a reaction.
 */
#include "grammar/parse.h"
#include "grammar/rxn.tab.h"

#include <string.h>

static const char *
shown(Parser *parser, const Token *token)
{
    switch (token->kind) {
    case TOKEN_EOF:
    case END: return "the end of the line";
    case STRING: return "a string";
    case NUMBER: return rxn__shown(parser->arena, token->name->text, token->name->length);
    default: break;
    }
    if (!token->name)
        return rxn__token_text(token->kind);
    Text text;
    rxn__text_init(&text, parser->arena);
    rxn__text_printf(&text, "'%s'",
                     rxn__shown(parser->arena, token->name->text, token->name->length));
    return text.data;
}

void
rxn__report_never_closed(Parser *parser, Bracket bracket)
{
    rxn__error(parser->diagnostics, bracket.span, "'%c' is never closed", bracket.kind);
}

static void
give_up(Parser *parser)
{
    rxn__note(parser->diagnostics, (Span){0}, "the rest of the file was not read");
    parser->gave_up = true;
}

void
rxn__brackets_too_deep(Parser *parser, Span span)
{
    if (parser->gave_up)
        return;
    rxn__error(parser->diagnostics, span, "brackets nested too deeply (more than %d levels)",
               RXN_MAX_NESTING);
    give_up(parser);
}

void
rxn__expression_too_deep(Parser *parser, Span span)
{
    if (parser->gave_up)
        return;
    rxn__error(parser->diagnostics, span, "this expression is nested too deeply");
    give_up(parser);
}

void
rxn__expression_too_long(Parser *parser, Span span)
{
    if (parser->too_long)
        return;
    rxn__error(parser->diagnostics, (Span){span.begin, span.begin + 1},
               "this expression is too long (more than %d operators deep)", RXN_MAX_HEIGHT);
    rxn__note(parser->diagnostics, (Span){0},
              "split it with 'let', or use 'sum' over an index set");
    parser->too_long = true;
}

/* ---- Statements of no kind -------------------------------------------------------------------- */

/* The second token does not fit behind a word that is no keyword. */
static bool
report_unknown_statement(Parser *parser)
{
    const Token *first = &parser->first, *found = &parser->last;
    if (first->kind != NAME || parser->statement_tokens != 2)
        return false;
    const char *word = rxn__shown(parser->arena, first->name->text, first->name->length);
    Diagnostics *diagnostics = parser->diagnostics;
    if (found->kind == '=') {
        rxn__error(diagnostics, span_join(first->span, found->span),
                   "a statement cannot begin with '%s ='", word);
        rxn__note(diagnostics, (Span){0},
                  "to declare it, write 'param %s = ...', 'let %s = ...' or 'const %s = ...'", word,
                  word, word);
        return true;
    }
    if (found->kind == ARROW || found->kind == '@')
        return false;
    const char *near = rxn__statement_keyword_near(first->name);
    const bool reaction = rxn__line_has_reaction(parser, found->span.begin - parser->base);
    rxn__error(diagnostics, first->span, "unknown statement '%s'", word);
    if (near && !reaction)
        rxn__note(diagnostics, (Span){0}, "did you mean '%s'?", near);
    else if (reaction)
        rxn__note(diagnostics, (Span){0}, "a label is followed by ':', and '+' joins species");
    else
        rxn__note(diagnostics, (Span){0},
                  "a statement begins with a keyword (species, param, ...) or is a reaction 'A -> "
                  "B @ rate'");
    return true;
}

/* ---- What is missing -------------------------------------------------------------------------- */

static const char *
missing_value(int before)
{
    switch (before) {
    case '@': return "a rate";
    case BOUND: return "an upper bound of the rate";
    case IF:
    case WHEN: return "a condition";
    case AT:
    case FROM:
    case UNTIL: return "a time";
    case EVERY: return "a period";
    case IN: return "a range";
    case DOTDOT: return "the upper end of the range";
    case '[': return "an index";
    case '~': return "a distribution";
    case ':':
    case '(': return "an expression";
    case OBSERVE: return "what to observe";
    default: return "a value";
    }
}

/* What would have fitted, as a phrase; NULL where no phrase says it. */
static const char *
missing(const Parser *parser, const bool *fits)
{
    const int before = parser->before.kind;
    if (before == FIT && fits['{'])
        return "'{'";
    if (fits[NOTHING])
        return "a species (or 0 for none)";
    if (fits[NUMBER] && fits['('])
        return missing_value(before);
    if (fits[NUMBER] && fits[NAME])
        return "a species";
    if (fits[NAME])
        return before == NUMBER ? "a species" : fits[')'] ? "a name or ')'" : "a name";
    if (fits[STRING])
        return "the path of a model in double quotes";
    if (fits[AS])
        return "'as' and a name for the module";
    if (fits[ARROW])
        return "'->', '<->' or '=>'";
    if (fits['@'])
        return "'@' and a rate";
    if (fits[END])
        return fits[','] ? "',' or the end of the statement" : "the end of the statement";
    if (fits[THEN])
        return "'then'";
    if (fits[ELSE])
        return "'else' (an 'if' has a value in both cases)";
    if (fits[')'])
        return fits[','] ? "',' or ')'" : "')'";
    if (fits[']'])
        return "',' or ']'";
    if (fits[DOTDOT])
        return fits['{']   ? "'..' or '{'"
               : fits[':'] ? "'..' or ':'"
                           : "'..' and the upper end of the range";
    if (fits['{'])
        return "'{'";
    if (fits[AT] && before == SIMULATE)
        return "'until', 'every' or 'at'";
    if (fits[':'])
        return "':'";
    if (fits['('])
        return "'('";
    if (fits['='])
        return "'='";
    if (fits[IN])
        return "'in'";
    return NULL;
}

static bool
is_comparison(int kind)
{
    return kind == '<' || kind == LE || kind == '>' || kind == GE || kind == EQ || kind == NE;
}

static bool
is_reserved(int kind)
{
    return (kind >= AND && kind <= FALSE_WORD);
}

/* Something follows the one expression of an `--of`. */
static void
report_after_expression(Parser *parser)
{
    const Token *found = &parser->last, *before = &parser->before;
    Diagnostics *diagnostics = parser->diagnostics;
    if (before->kind == END)
        rxn__error(diagnostics, found->span,
                   "'--of' takes one expression, and here begins another");
    else
        rxn__error(diagnostics, found->span,
                   "expected the end of the expression after %s, found %s", shown(parser, before),
                   shown(parser, found));
    if (before->kind == END || found->kind == ',')
        rxn__note(diagnostics, (Span){0}, "give each expression an '--of' of its own");
    else if (found->kind == '=')
        rxn__note(diagnostics, (Span){0}, "to compare, write '=='");
}

static void
report(Parser *parser, const bool *fits)
{
    const Token *found = &parser->last, *before = &parser->before;
    Diagnostics *diagnostics = parser->diagnostics;
    if (is_comparison(found->kind) && fits['+']) {
        rxn__error(diagnostics, found->span, "comparisons cannot be chained");
        rxn__note(diagnostics, (Span){0}, "write 'a < b and b < c'");
        return;
    }
    if (parser->of_expression && (fits[END] || before->kind == END)) {
        report_after_expression(parser);
        return;
    }
    if (fits[ARROW] && report_unknown_statement(parser))
        return;
    const char *wanted = missing(parser, fits);
    if (fits[NAME] && !fits['('] && is_reserved(found->kind) && parser->statement_tokens > 1) {
        rxn__error(diagnostics, found->span, "%s is a word of the language and cannot be a name",
                   rxn__token_text(found->kind));
        return;
    }
    if (!wanted) {
        rxn__error(diagnostics, found->span, "unexpected %s", shown(parser, found));
        return;
    }
    if (parser->statement_tokens < 2)
        rxn__error(diagnostics, found->span, "expected a statement, found %s",
                   shown(parser, found));
    else
        rxn__error(diagnostics, found->span, "expected %s after %s, found %s", wanted,
                   shown(parser, before), shown(parser, found));
    if (found->kind == STRING && !fits[STRING])
        rxn__note(diagnostics, (Span){0}, "strings stand only after 'use' and in 'fit { }'");
}

void
rxn__report_unexpected(Parser *parser, const bool *fits)
{
    if (parser->gave_up)
        return;
    rxn__layout_note_end(parser, parser->last.kind);
    report(parser, fits);
    rxn__layout_recover(parser);
}
