/* private.h: what the parts of the formatter share.
 *
 *     tokens ─ lines.c ─▶ lines of pieces ─ spacing.c ─▶ blanks between them ─ columns.c ─▶ columns ─ format.c ─▶ text
 *
 * Columns count characters from 0; in the source a tab goes on to the next multiple of 8.
 */
#ifndef RXN_FORMAT_PRIVATE_H
#define RXN_FORMAT_PRIVATE_H

#include "compiler/format/format.h"
#include "grammar/parse.h"
#include "grammar/rxn.tab.h"

/* What a token is for those that follow it. */
typedef enum PieceRole {
    PIECE_PLAIN,  /* numbers, strings, brackets, commas … */
    PIECE_NAME,   /* a name, also where the word could be a clause */
    PIECE_WORD,   /* a keyword or a clause */
    PIECE_UNARY,  /* '-' */
    PIECE_SPACED, /* an operator with blanks around it */
    PIECE_TIGHT,  /* and one without */
} PieceRole;

/* A token of the text. */
typedef struct Piece {
    u32 begin, end; /* bytes of the file */
    u32 width;      /* columns */
    u32 source_column, column;
    u32 gap;        /* blanks before it, unless it begins a line */
    u32 source_gap; /* columns between it and the token before it, if that is in the same line */
    u16 kind;       /* of the token */
    u8 role, stop;  /* stop: which of the columns of its statement it may begin, from 1; 0: none */
    bool starts;    /* a statement, or is the '}' of a block */
    bool of_fit;    /* starts: an entry of a fit block */
    bool semicolon; /* stands behind a statement in the same line */
} Piece;

/* Statements whose lines, one under the other, make a table. */
typedef enum LineClass {
    LINE_OTHER,
    LINE_REACTION,
    LINE_EVENT,
    LINE_ENTRY,
    LINE_KEYWORD /* + the token of its keyword */
} LineClass;

/* A line of the result: pieces, a comment or both. */
typedef struct Line {
    u32 first, count;               /* pieces */
    u32 statement;                  /* the line in which its statement begins */
    u32 depth;                      /* of blocks around it */
    u32 table;                      /* LineClass, in the first line of a statement */
    u32 column, end;                /* where its pieces begin and end */
    u32 comment_begin, comment_end; /* bytes of the file; both 0: none */
    u32 comment_source_column, comment_column;
    u32 comment_source_gap; /* behind the last piece */
    bool blank_before;      /* an empty line */
    bool inside;            /* a comment alone, within a statement */
} Line;

typedef struct Format {
    Arena *arena;
    Diagnostics *diagnostics;
    const SourceFile *source;
    TokenList tokens;
    VEC(Piece) pieces;
    VEC(Line) lines;
} Format;

/* Columns that a text takes: its characters. */
u32 rxn__format_width(const char *text, size_t length);

/* Divides the tokens and the comments between them into lines. False after an error. */
bool rxn__format_lines(Format *format);

/* Roles, gaps and stops of all pieces, tables of all lines. */
void rxn__format_spacing(Format *format);

/* Lines up what stands in tables, continues statements, and puts the comments in their places. */
void rxn__format_columns(Format *format);

/* spacing.c: whether a statement that begins with this token is named by it. */
bool rxn__format_is_statement_word(u32 kind);

#endif
