/* statements: which statements a text has, for programs that edit models. */
#ifndef RXN_STATEMENTS_H
#define RXN_STATEMENTS_H

#include "compiler/base/base.h"

/* What a statement gives a name to, and the bytes of the text that do: an item of its list, or all of it. */
typedef struct ModelItem {
    const char *name;
    u32 first, length;
} ModelItem;

typedef struct ModelStatement {
    u32 first, length;   /* bytes of the text, with a comment behind it in its line */
    const char *keyword; /* "species", "reaction", "at"… */
    VEC(ModelItem) items;
} ModelStatement;

typedef struct ModelStatements {
    VEC(ModelStatement) items;
} ModelStatements;

/* The statements of a source file of the diagnostics' map, which hold no error so far; what they mean is not looked at.
 * RXN_ERROR_INPUT: they are not well formed, and the diagnostics say why; *ret_incomplete: all that is wrong is that the text
 * ends where it does. Memory failure jumps. */
RxnStatus rxn__statements(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file,
                          ModelStatements *ret_statements, bool *ret_incomplete);

#endif
