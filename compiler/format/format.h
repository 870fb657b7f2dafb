/* format: a model's text laid out in the one way that all models are written in (docs/formatting.md).
 *
 * It works on the tokens as the grammar got them, so that comments and the author's line breaks survive, and
 * nothing about the language is guessed. What comes out is read again before anybody sees it: the same tree, the
 * same tokens, the same comments.
 */
#ifndef RXN_FORMAT_H
#define RXN_FORMAT_H

#include "compiler/ast/ast.h"

/* Lays out a source file of the diagnostics' map, which hold no error so far. RXN_ERROR_INPUT: it is no model, they say
 * why. RXN_ERROR_INTERNAL: what came out is not what went in; *ret_internal_error says in what. Else the text is in
 * *ret_text, which is initialised here, in the arena; formatting it again changes nothing. Time and storage are in
 * proportion to the length of the text. Memory failure jumps (see base.h). */
RxnStatus rxn__format(Arena *arena, NameTable *names, Diagnostics *diagnostics, u32 file,
                      Text *ret_text, const char **ret_internal_error);

#endif
