/* repl_commands.c: the commands of a session: which there are, how a line names one, and what is said of them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/repl.h"

static bool help(Repl *repl, u32 count, const char *const *words, const char *rest);

static bool quit(Repl *repl, u32 count, const char *const *words, const char *rest);

static bool times(Repl *repl, u32 count, const char *const *words, const char *rest);

/* In the order of the help. A command is found by any beginning of its name that no other has, or by the first of those
 * here that begins so. */
static const ReplCommand commands[] = {
    {"run", "[N] [until T] [every D] [at T,T…] [seed S]", "simulate; means and standard deviations",
     "N trajectories (1000) until the time T, shown every D; what is not said is as the model's\n"
     "'simulate' has it, and the seed is 1. Also: threads K, method NAME (see rxn run --help).\n"
     "Ctrl-C stops a run and keeps the trajectories that are done.",
     rxn__repl_run},
    {"plot", "[NAME…] [to FILE.svg|FILE.png|text|window]", "draw the last run",
     "All observables, or those that are named. In a window where there is a display, else in the\n"
     "terminal. A run is made, as the last one was, if the model has changed since. Needs gnuplot.",
     rxn__repl_plot},
    {"grad", "EXPR[, EXPR…] at T[,T…] [wrt NAME…] [by ESTIMATOR]", "differentiate an expectation",
     "E.g. ':grad mean(A) at 10 wrt k'. Without wrt: by the parameters marked 'fit', or all.\n"
     "Also: trajectories N, seed S. 'rxn grad --help' lists what EXPR and ESTIMATOR may be.",
     rxn__repl_grad},
    {"fit", "[steps N] [trajectories N] [seed S]", "train the model's fit block on its data",
     "What it finds is then the value of each parameter, as if it had been ':set'.\n"
     "Ctrl-C stops it, and the last point is kept.",
     rxn__repl_fit},
    {"set", "[NAME = NUMBER, …]", "give a parameter or an input a value; nothing is compiled",
     "The statement stays as it is: ':show values' shows both. An array's name sets all its "
     "members.\n"
     "Without a name: what has been set. ':reset values' takes all of it back.",
     rxn__repl_set_values},
    {"show", "WHAT|NAME", "look at the model, or at a stage of its compilation",
     "WHAT is model (its text), values, summary, network, rates (each reaction's propensity), "
     "laws\n"
     "(what is conserved), kernel, llvm, asm or cuda, as of the file that ':save' writes: the "
     "session's\n"
     "own kernels read some of its numbers. A NAME shows the statement that declares it.",
     rxn__repl_show},
    {"list", "", "the statements, with their numbers", NULL, rxn__repl_list},
    {"drop", "NAME|NUMBER…", "take statements away",
     "A name in a list ('species A, B') goes without the others. 'observe A' is not to observe A;\n"
     "what a model has one of goes by its keyword (model, simulate, fit).",
     rxn__repl_drop},
    {"load", "FILE", "read a model from a file, in the place of this one",
     "Or the name of a model that comes with rxn, or a network of BioNetGen's (.net).",
     rxn__repl_load},
    {"save", "[FILE]", "write the model to a file",
     "Without a name to the file that was loaded or saved last. No other file is overwritten:\n"
     "':save! FILE' does that. Values that were ':set' are not part of the model.",
     rxn__repl_save},
    {"save!", "FILE", "write the model to a file, whatever is in it", NULL, rxn__repl_save_over},
    {"reset", "[values]", "forget the model, or the values that were set", NULL, rxn__repl_reset},
    {"time", "[on|off]", "what the last command took; on: after each", NULL, times},
    {"help", "[COMMAND|KEYWORD]", "this list, or what is to be said of one", NULL, help},
    {"quit", "", "leave (as Ctrl-D does)", NULL, quit},
};

const ReplCommand *
rxn__repl_commands(u32 *ret_count)
{
    *ret_count = COUNT_OF(commands);
    return commands;
}

/* ---- Finding one --------------------------------------------------------------------------------- */

static const ReplCommand *
find(const char *name)
{
    const ReplCommand *found = NULL;
    for (size_t k = 0; k < COUNT_OF(commands); k++) {
        if (strcmp(commands[k].name, name) == 0)
            return &commands[k];
        if (!found && *name && strncmp(commands[k].name, name, strlen(name)) == 0)
            found = &commands[k];
    }
    return found;
}

static bool
unknown(Repl *repl, const char *name)
{
    const char *names[COUNT_OF(commands)];
    rxn__repl_error(repl, "there is no command ':%s'",
                    rxn__shown(&repl->scratch, name, strlen(name)));
    for (size_t k = 0; k < COUNT_OF(commands); k++)
        names[k] = commands[k].name;
    const char *near = rxn__nearest(name, COUNT_OF(commands), names);
    if (near)
        rxn__repl_note(repl, "did you mean ':%s'?", near);
    else
        rxn__repl_note(repl, "':help' lists them");
    return false;
}

typedef VEC(const char *) Words;

/* Parted by blanks; a word in double quotes may have some. */
static Words
split(Arena *arena, const char *text)
{
    Words words = {0};
    for (;;) {
        text += strspn(text, " \t");
        if (!*text)
            return words;
        const char *end = *text == '"' ? strchr(text + 1, '"') : NULL;
        if (end) {
            vec_push(arena, &words,
                     rxn__arena_copy_text(arena, text + 1, (size_t)(end - text - 1)));
            text = end + 1;
        } else {
            const size_t length = strcspn(text, " \t");
            vec_push(arena, &words, rxn__arena_copy_text(arena, text, length));
            text += length;
        }
    }
}

bool
rxn__repl_command(Repl *repl, const char *line)
{
    line += strspn(line, " \t") + 1; /* the colon */
    line += strspn(line, " \t");
    const size_t length = strcspn(line, " \t");
    const char *name = rxn__arena_copy_text(&repl->scratch, line, length);
    if (!*name) {
        rxn__repl_error(repl, "a command's name stands behind ':'");
        rxn__repl_note(repl, "':help' lists them");
        return false;
    }
    const ReplCommand *command = find(name);
    if (!command)
        return unknown(repl, name);
    const char *rest = line + length + strspn(line + length, " \t");
    const Words words = split(&repl->scratch, rest);
    if (words.count > 0 && !*command->arguments) {
        rxn__repl_error(repl, "':%s' takes no argument", command->name);
        return false;
    }
    if (command->run != times)
        repl->times = (ReplTimes){0};
    return command->run(repl, words.count, words.items, rest);
}

/* ---- Numbers --------------------------------------------------------------------------------------- */

bool
rxn__repl_number(Repl *repl, const char *what, const char *word, double *ret_value)
{
    char *end;
    if (word && *word) {
        *ret_value = strtod(word, &end);
        if (!*end && isfinite(*ret_value))
            return true;
        rxn__repl_error(repl, "%s: '%s' is not a number", what,
                        rxn__shown(&repl->scratch, word, strlen(word)));
    } else {
        rxn__repl_error(repl, "%s: a number is missing", what);
    }
    return false;
}

bool
rxn__repl_count(Repl *repl, const char *what, const char *word, u64 *ret_value)
{
    double value;
    if (!rxn__repl_number(repl, what, word, &value))
        return false;
    if (!(value >= 0 && value <= 0x1p53) || value != floor(value)) {
        rxn__repl_error(repl, "%s: '%s' is not a whole number from 0 to 9e15", what, word);
        return false;
    }
    *ret_value = (u64)value;
    return true;
}

/* ---- :help, :quit, :time ----------------------------------------------------------------------------- */

/* A line for those that are about to type one, from docs/language.md. */
static const struct {
    const char *keyword, *example, *meaning;
} statements[] = {
    {"species", "species M = 100, D = 0", "what is counted, and how many there are at first"},
    {"param", "param k = 0.1 in 1e-3 .. 10 fit", "a number; bounds; 'fit': it is to be trained"},
    {"reaction", "bind: 2 M -> D @ k", "'->' mass action, '<->' both ways, '=>' the whole rate"},
    {"let", "let total = M + 2*D", "a name for an expression"},
    {"fn", "fn f(x) = x / (1 + x)", "a function"},
    {"const", "const N = 10", "a whole number that sizes may use"},
    {"index", "index gene = 3", "a set of indices: species H[gene]"},
    {"input", "input x[3]", "values that come from data"},
    {"for", "for g in gene { H[g] -> 0 @ k }", "reactions for every member"},
    {"at", "at 25: P = 50", "an event at a time"},
    {"every", "every 10 from 5: A = A + 100", "an event again and again"},
    {"when", "when P > 30: P = 0", "an event when a condition turns true"},
    {"observe", "observe D, total = M + 2*D", "the columns of results"},
    {"simulate", "simulate until 100 every 1", "how long, and what is shown"},
    {"use", "use \"telegraph.rxn\" as gene1 (k = 2)", "another model as a part"},
    {"model", "model dimerisation", "what it is called"},
    {"fit", "fit { data \"d.csv\"; loss mse(mean(D), data.D) }", "what is fitted to which data"},
};

static bool
help_on(Repl *repl, const char *word)
{
    const char *name = word + (*word == ':');
    for (size_t k = 0; k < COUNT_OF(statements) && *word != ':'; k++)
        if (strcmp(statements[k].keyword, name) == 0) {
            printf("%s\n    %s\n", statements[k].meaning, statements[k].example);
            if (strcmp(name, "fit") == 0)
                printf("(':help :fit' is about the command)\n");
            return true;
        }
    const ReplCommand *command = find(name);
    if (!command)
        return unknown(repl, name);
    printf(":%s%s%s\n%s\n", command->name, *command->arguments ? " " : "", command->arguments,
           command->summary);
    if (command->help)
        printf("%s\n", command->help);
    return true;
}

static bool
help(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    (void)rest;
    if (count > 0)
        return help_on(repl, words[0]);
    puts("A statement of the language is added to the model, or takes the place of the one that\n"
         "declared its names. A name alone shows what it is. Commands:\n");
    for (size_t k = 0; k < COUNT_OF(commands); k++)
        printf("  :%-6s %s\n", commands[k].name, commands[k].summary);
    puts("\n':help WORD' tells more of a command, or of a keyword:");
    for (size_t k = 0; k < COUNT_OF(statements); k++)
        printf("%s%s", k == 0 ? "  " : k == 9 ? "\n  " : " ", statements[k].keyword);
    puts("\nThe language: docs/language.md. Keys: Tab completes, Ctrl-C stops a run, Ctrl-D "
         "leaves.");
    return true;
}

static bool
quit(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    (void)count;
    (void)words;
    (void)rest;
    repl->leaving = true;
    return true;
}

static void
put_seconds(const char *what, double seconds)
{
    char text[40];
    if (seconds < 1)
        snprintf(text, sizeof text, "%.3g ms", seconds * 1e3);
    else
        rxn__format_duration(text, sizeof text, seconds);
    printf("%s %s", what, text);
}

void
rxn__repl_show_times(const Repl *repl)
{
    const ReplTimes *took = &repl->times;
    const char *comma = "";
    if (!took->parsed && !took->compiled && !took->kept && !took->ran) {
        puts("nothing was read, compiled or run");
        return;
    }
    if (took->parsed) {
        put_seconds("read in", took->parse);
        comma = ", ";
    }
    fputs(comma, stdout);
    if (took->compiled)
        put_seconds("compiled in", took->compile);
    else
        fputs("nothing compiled", stdout);
    if (took->ran)
        put_seconds(", run in", took->run);
    putchar('\n');
}

static bool
times(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    (void)rest;
    if (count == 0) {
        rxn__repl_show_times(repl);
        return true;
    }
    if (count > 1 || (strcmp(words[0], "on") != 0 && strcmp(words[0], "off") != 0)) {
        rxn__repl_error(repl, "':time' takes on, off, or nothing");
        return false;
    }
    repl->show_times = strcmp(words[0], "on") == 0;
    return true;
}
