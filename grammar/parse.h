/* parse: what the parts of the parser share. Not for other rooms (they call rxn__parse of ast.h), but for the
 * formatter, which needs the tokens as the grammar got them.
 *
 *     bytes ─ rxn.l ─▶ raw tokens ─ layout.c ─▶ tokens ─ rxn.y ─▶ nodes
 *                                   │                    │
 *                                   line ends, keywords, └ messages.c: what to say about a
 *                                   brackets, recovery     token that does not fit
 *
 * The scanner knows no context. The layout decides which line ends count, which words at the start of
 * a statement are keywords, and what is skipped after an error; so the grammar sees every statement
 * end with one END and stays free of all three.
 */
#ifndef RXN_PARSE_H
#define RXN_PARSE_H

#include "compiler/ast/ast.h"

enum {
    RXN_MAX_NAME = 1000,          /* bytes of a name or a number */
    RXN_MAX_STRING = 4096,        /* bytes of a string */
    RXN_MAX_SYNTAX_ERRORS = 1000, /* after which the rest of the file is not read */
    RXN_TOKEN_LIMIT = 320         /* all token kinds are below */
};

/* bison's own numbers; layout.c checks that they are. */
enum { TOKEN_EOF = 0, TOKEN_ERROR = 256 };

/* Any token. `kind` is one of the numbers that bison gives to the tokens of rxn.y. */
typedef struct Token {
    int kind;
    Span span;
    Name name; /* NAME, keywords and clause words: the word. STRING: the text. NUMBER: as spelled */
    double number;    /* NUMBER */
    bool is_whole;    /* NUMBER: written with digits alone */
    bool is_reported; /* NUMBER: no double holds it, which has been said */
} Token;

typedef struct TokenList {
    VEC(Token) tokens;
    bool
        ends_early; /* the first error is that the text ends where it does: more of it might be right */
} TokenList;

typedef struct Bracket {
    int kind; /* of the opening token */
    Span span;
    bool of_fit; /* the brace of `fit {` */
} Bracket;

typedef struct Parser {
    Arena *arena;
    NameTable *names;
    Diagnostics *diagnostics;
    const char *text; /* the file's text, NUL-terminated */
    u32 length, base;
    char *scan_buffer; /* the copy that the scanner reads */
    void *scanner;

    Token ahead[4]; /* raw tokens read but not taken */
    u32 ahead_count;

    VEC(Bracket) brackets;
    u32 statement_depth;  /* open brackets where the statement began */
    u32 statement_tokens; /* tokens of the statement so far, the last one included */
    Token first;          /* its first token */
    Token last, before;   /* the last two tokens given to the grammar */
    bool statement_has_rate, ended_by_semicolon;
    bool
        of_expression; /* the file is one expression; the grammar is told by a first token of its own */
    bool skipping;     /* after an error: up to the end of the statement */
    bool gave_up;      /* the rest of the file is not read */
    bool too_long;     /* an expression that is too long has been reported */
    VEC(Token) words; /* the names in this statement, for its POISON */
    VEC(AstNode *) poisons;

    TokenList *log; /* or NULL: gets every token that the grammar gets */
    AstNode *file;
} Parser;

/* As rxn__parse, and appends to the log all tokens as the grammar got them, those that the layout made (END, at
 * the end of the token before it) and the end of the file included. */
AstNode *rxn__parse_tokens(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file,
                           TokenList *log);

/* rxn.l */
bool rxn__scanner_open(Parser *parser);
Token rxn__scanner_next(Parser *parser);

/* layout.c: the next token of the grammar. */
Token rxn__layout_next(Parser *parser);

/* The statement is wrong at this token, which is about to be reported: is it that the text ends here? Notes it. */
void rxn__layout_note_end(Parser *parser, int kind);

/* Begins to skip the rest of the statement after an error in it has been reported, and notes its names. */
void rxn__layout_recover(Parser *parser);

/* Is this word the first of a kind of statement? Gives its token, or 0. */
int rxn__statement_keyword(const char *word, size_t length);

/* The statement keyword that the word may have been meant to be, or NULL. */
const char *rxn__statement_keyword_near(Name word);

/* Does the rest of the line of this position hold an arrow or '@' outside of brackets that open in it? */
bool rxn__line_has_reaction(const Parser *parser, u32 offset);

/* messages.c: reports the last token, which does not fit, knowing which kinds would have. */
void rxn__report_unexpected(Parser *parser, const bool *fits);
void rxn__report_never_closed(Parser *parser, Bracket bracket);

/* Each once a file. Too deep: the rest of it is not read. */
void rxn__brackets_too_deep(Parser *parser, Span span);
void rxn__expression_too_deep(Parser *parser, Span span);
void rxn__expression_too_long(Parser *parser, Span span);

/* rxn.y: the printed name of a token kind ("'@'"). */
const char *rxn__token_text(int kind);

#endif
