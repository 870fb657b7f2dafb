/* ast: the tree that the grammar builds: what the user wrote, with a span on every node, and nothing
 * more (no types, no meaning; those are sema's).
 *
 * To add a node: a row in ast.def, an action in grammar/rxn.y that builds it with rxn__ast_node, a
 * case in sema. The printer and its order of kids follow from the row.
 */
#ifndef RXN_AST_H
#define RXN_AST_H

#include "compiler/base/base.h"

typedef enum AstKind {
#define AST_NODE(id, printed, kids) AST_##id,
#include "compiler/ast/ast.def"
#undef AST_NODE
    AST_KIND_COUNT
} AstKind;

typedef enum AstOp {
    AST_NO_OP,
    AST_NEGATE,
    AST_LOGICAL_NOT,
    AST_ADD,
    AST_SUB,
    AST_MUL,
    AST_DIV,
    AST_POW,
    AST_LT,
    AST_LE,
    AST_GT,
    AST_GE,
    AST_EQ,
    AST_NE,
    AST_AND,
    AST_OR,
    AST_ARROW,      /* ->   mass action */
    AST_ARROW_BOTH, /* <->  mass action, two rates */
    AST_ARROW_LAW,  /* =>   the whole propensity */
} AstOp;

/* Flags in `op` of a PARAM. */
enum {
    AST_PARAM_FIT = 1,
    AST_PARAM_DISTRIBUTED = 2 /* `~`: initial is a CALL of a distribution */
};

typedef struct AstNode AstNode;
struct AstNode {
    u8 kind, op;
    u16 height; /* of the tree below it, itself included: 1 for a leaf */
    u32 kid_count;
    Span span;      /* the whole construct */
    Span name_span; /* of the name alone, where there is one */
    Name name;
    Name name2; /* USE: the path as written */
    double number;
    AstNode **kids; /* optional ones may be NULL */
};

/* A node with its kids, which are copied from the array (NULL only if there are none; elements may be
 * NULL). */
AstNode *rxn__ast_node(Arena *arena, AstKind kind, Span span, Name name, u32 kid_count,
                       AstNode *const *kids);

/* A node whose kids grow while the grammar reads a list: appends one (NULL is ignored). */
void rxn__ast_append(Arena *arena, AstNode *node, AstNode *kid);

/* Appends these kids, NULL or not. */
void rxn__ast_append_all(Arena *arena, AstNode *node, AstNode *const *kids, u32 count);

/* One node a line, kids indented, NULL kids as "-", with kind, op, name, number (exact) and span as
 * line:column-line:column. Does not recurse on the C stack deeper than the tree was parsed. */
void rxn__ast_print(const AstNode *node, const SourceMap *sources, Text *out);

/* The expression as rxn source text, fully parenthesised only where needed; reads back to the same
 * tree. For messages and for `fit` entries. */
void rxn__ast_print_source(const AstNode *node, Text *out);

/* Whether two trees over one table of names are the same but for their spans: what they print as an outline is
 * the same. NULL equals NULL. */
bool rxn__ast_equal(const AstNode *a, const AstNode *b);

/* The words of `op` ("add", "->", …). */
const char *rxn__ast_op_text(AstOp op);

extern const char *const rxn__ast_kind_texts[AST_KIND_COUNT];

/* ---- The parser's entry (grammar/parse.c) -----------------------------------------------------
 *
 * Parses one source file of the map. Syntax errors are reported (with recovery at the next
 * statement, so several show in one go); the statement is left out, and its names are in a POISON at
 * the end of the FILE. The tree is always returned. What is nested too deeply is an error too, and ends
 * the reading of the file. Memory failure jumps (see base.h). */
enum {
    RXN_MAX_NESTING = 256, /* of brackets and blocks */
    RXN_MAX_HEIGHT = 1000, /* of an expression: `1 + 1 + …` is as high as it is long */
};

AstNode *rxn__parse(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file);

/* Parses a source file that is one expression, as `--of` gives it. NULL where it has a syntax error. */
AstNode *rxn__parse_expression(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file);

#endif
