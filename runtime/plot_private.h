/* plot_private.h: what the plots share: how they look, and how they come to be. */
#ifndef RXN_RUNTIME_PLOT_PRIVATE_H
#define RXN_RUNTIME_PLOT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* M. Okabe, K. Ito, "Color universal design" (2008), without the yellow, which is too light for lines
 * on white. Colours come again with another dash pattern. */
enum { RXN_PLOT_COLOURS = 7 };
extern const char *const rxn__plot_colours[RXN_PLOT_COLOURS];

/* A string of gnuplot in single quotes, in which only the quote itself is special. */
void rxn__plot_string(FILE *script, const char *text);

/* " 1.25", or " NaN" */
void rxn__plot_value(FILE *script, double value);

/* Terminal, output, borders and grid; width and height of an .svg. */
void rxn__plot_page(FILE *script, const char *path, int width, int height);

/* Runs gnuplot on what `write` writes, for a file beside the wanted one, which is renamed when gnuplot is content. False,
 * with the reason. */
bool rxn__plot_draw(void (*write)(FILE *script, const void *what, const char *path),
                    const void *what, const char *path, char *message, size_t size);

/* Runs gnuplot on what `write` writes; what it prints goes to the file, or, NULL, nowhere. False, with the reason. */
bool rxn__plot_show(void (*write)(FILE *script, const void *what), const void *what, FILE *file,
                    char *message, size_t size);

#endif
