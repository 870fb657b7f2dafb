/* bionetgen.h: networks that BioNetGen has generated (.net files), as text of the language.
 *
 * What a .net file says is kept: parameters with their expressions, every species under the name S<number> with its
 * pattern as a comment, reactions with their constants, functions, groups as observables. Source: J. R. Faeder,
 * M. L. Blinov, W. S. Hlavacek, "Rule-based modeling of biochemical systems with BioNetGen", Methods in Molecular
 * Biology 500 (2009) 113.
 *
 * A constant there is for the product of counts x (x - 1) … of the reactants, identical ones included (the
 * program that wrote the file has put their factor 1/2 into it); a constant here is for the number of ways to
 * choose them. So `7,7 8 0.5*kp2` becomes `2 S7 -> S8 @ 2*(0.5*kp2)`.
 */
#ifndef RXN_IMPORT_BIONETGEN_H
#define RXN_IMPORT_BIONETGEN_H

#include "compiler/base/base.h"

/* Whether a text is a .net file: whether its first line that says something is `begin parameters` or the like. */
bool rxn__is_bionetgen(const char *text, size_t length);

/* The text of a model for file number `file` of the source map. False after errors, which name their places in that
 * file: constructs that are not taken (Michaelis-Menten and other rate types, compartments, table functions), and
 * what is not well formed. */
bool rxn__import_bionetgen(const SourceMap *sources, Diagnostics *diagnostics, u32 file, Text *out);

#endif
