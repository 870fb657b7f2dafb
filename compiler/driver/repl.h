/* repl.h: what the files of `rxn repl` share.
 *
 *     a line ─ repl_input.c ─▶ a statement ─ repl_edit.c ─▶ the list ─ rxn_model_parse ─▶ a model, or messages
 *                              a command   ─ repl_commands.c ─▶ what uses the model
 *
 * The model is a list of statements (repl_list.c); its text is the list written out, and after each change the whole text
 * is read again, so that a session can never hold what a file could not. Everything is asked of the library through rxn.h;
 * what the session itself needs lies in arenas, and running out of memory ends a command, not the session.
 */
#ifndef RXN_REPL_H
#define RXN_REPL_H

#include <signal.h>
#include <stdio.h>

#include "compiler/base/base.h"
#include "runtime/report.h"
#include "runtime/rxn.h"

typedef struct Repl Repl;

/* ---- repl_list.c: the model as statements -------------------------------------------------------- */

typedef struct ReplItem {
    const char *name;
    u32 first, length; /* bytes of the statement's text */
} ReplItem;

/* Bytes of a statement that were typed just now: from `first` on they are those of what was typed from `typed` on. */
typedef struct ReplOrigin {
    u32 first, length, typed;
} ReplOrigin;

typedef struct ReplStatement {
    const char *before; /* empty lines and comments; but for the first statement it ends a line */
    const char *text;
    const char *keyword;
    VEC(ReplItem) items;
    u32 place; /* of `text` in the text of the list */
    VEC(ReplOrigin) origins;
    const char *was; /* what it replaces, or NULL: until it has been said */
    const char *now; /* of a list: the items that are new; NULL: all of it */
    bool changed;    /* just now */
} ReplStatement;

typedef struct ReplList {
    Arena arena;
    VEC(ReplStatement) statements;
    const char *tail; /* comments behind the last statement */
    Text text;        /* of rxn__list_compose */
} ReplList;

/* Of a text; false with an error where it has no statements to show (its syntax is wrong). */
bool rxn__list_read(Repl *repl, ReplList *list, const char *text, const char *name,
                    RxnError **ret_error);

/* The list is emptied first. Origins and `was` are not copied. */
void rxn__list_copy(ReplList *to, const ReplList *from);

void rxn__list_clear(ReplList *list);

/* Writes the text, and where statements are in it. */
void rxn__list_compose(ReplList *list);

/* Reads the items of a statement again after its text has changed. */
void rxn__list_read_items(Repl *repl, ReplList *list, ReplStatement *statement);

/* Takes a statement out, with the comment right before it. */
void rxn__list_remove(ReplList *list, u32 k);

/* Makes room for a statement as number k, on a line of its own. */
ReplStatement *rxn__list_insert(ReplList *list, u32 k);

/* The number of the statement that holds this byte of the text; UINT32_MAX: none. */
u32 rxn__list_find(const ReplList *list, size_t place);

/* `species A = 1, B = 2` and its like: each item could be a statement of its own. */
bool rxn__is_list_keyword(const char *keyword);

/* ---- repl_edit.c: what a typed statement does to the list ----------------------------------------- */

/* Names that exclude each other. A label may be that of a species; what is observed is declared elsewhere. */
typedef enum ReplNamespace { DECLARED, LABEL, OBSERVED } ReplNamespace;

ReplNamespace rxn__edit_namespace(const ReplStatement *statement, const ReplItem *item);

/* Does a model have one such statement at most? */
bool rxn__edit_is_single(const char *keyword);

/* The item of the list with this name: in which statement, and which of its items. */
bool rxn__edit_find(const ReplList *list, ReplNamespace space, const char *name, u32 *ret_statement,
                    u32 *ret_item);

const char *rxn__edit_item_text(Arena *arena, const char *text, const ReplItem *item);

/* Puts it into the list; `place` is where it was in what was typed. True if it changes nothing but numbers of parameters. */
bool rxn__edit_statement(Repl *repl, ReplList *list, const ReplStatement *typed);

/* Takes an item out of its statement, and that with it if it has no other. */
void rxn__edit_remove_item(Repl *repl, ReplList *list, u32 k, u32 i);

/* ---- repl_statement.c ------------------------------------------------------------------------------ */

/* Reads what was typed and does it, and says what changed; a mistake changes nothing. *ret_incomplete: more is to come, and
 * nothing was done or said. */
bool rxn__repl_statements(Repl *repl, const char *typed, bool *ret_incomplete);

/* Whether what is behind the first `before` bytes, which were incomplete, does not go on with them. */
bool rxn__repl_breaks_off(Repl *repl, const char *typed, size_t before);

/* Says why it is no statement as it stands. */
void rxn__repl_incomplete(Repl *repl, const char *typed);

/* What was made of a model. */
typedef struct ReplMade {
    RxnModel *model;
    RxnSimulator *simulator;
    RxnDifferentiator *differentiator;
    RxnFit *fit;
} ReplMade;

/* ---- repl_model.c: from the list to a model ------------------------------------------------------- */

/* Reads the text of the candidate as a model. False, with what is wrong said, where it is none. */
bool rxn__repl_check(Repl *repl);

/* Makes the candidate, which has been checked, the model of the session. values_only: it differs from the list before in
 * numbers of parameters alone, so that what is compiled stays right. */
bool rxn__repl_accept(Repl *repl, bool values_only);

/* What messages call its text. */
const char *rxn__repl_model_name(const Repl *repl);

/* What each is made of once it is wanted, and kept. False, with the reason said, where it cannot be had. */
bool rxn__repl_need_model(Repl *repl);
bool rxn__repl_need_values(Repl *repl, u64 seed);
bool rxn__repl_need_simulator(Repl *repl, const RxnSimulatorOptions *options);

/* The newest of each kind that there was before the model was edited, or NULL. (They may be of several models.) */
ReplMade rxn__repl_before(const Repl *repl);

/* Remembers a value that the user set, and sets it. */
bool rxn__repl_set(Repl *repl, const char *name, double value);
void rxn__repl_forget_set(Repl *repl, const char *name);

/* Frees what was made of the model. */
void rxn__repl_release(Repl *repl);

/* A warning as the library renders it. */
void rxn__repl_show_told(Repl *repl, const char *text);

/* Warnings of reading the model that nobody has seen yet. */
void rxn__repl_show_warnings(Repl *repl);

/* ---- repl_messages.c ------------------------------------------------------------------------------- */

/* About the command or line that is being read. Both end the command as failed. */
void rxn__repl_error(Repl *repl, const char *format, ...) RXN_PRINTF(2, 3);
void rxn__repl_note(Repl *repl, const char *format, ...) RXN_PRINTF(2, 3);

/* Shows the messages of an error of the library, which it frees. Places in the list's text become places in what was
 * typed, or in a statement; without a list they are places in what was typed. */
void rxn__repl_show_error(Repl *repl, const ReplList *list, RxnError *error);

/* ---- repl_input.c ----------------------------------------------------------------------------------- */

typedef struct ReplInput ReplInput;

typedef enum ReplLine { LINE_READ, LINE_END, LINE_CANCELLED } ReplLine;

/* NULL: out of memory. */
ReplInput *rxn__input_open(Repl *repl);
void rxn__input_close(ReplInput *input);

/* The next line, without its end, in memory that lives until the next call. */
ReplLine rxn__input_line(ReplInput *input, const char *prompt, const char **ret_line);

/* The number of the last line, from 1. */
u32 rxn__input_number(const ReplInput *input);

/* Whether the next line begins with an operator, so that it goes on with a statement: for input that is at hand. */
bool rxn__input_goes_on(ReplInput *input);

/* Columns of the terminal; 80 where there is none. */
u32 rxn__input_width(void);

/* ---- repl_complete.c --------------------------------------------------------------------------------- */

typedef struct ReplCandidates {
    Arena *arena;
    VEC(const char *) words;
    u32 shared; /* bytes that all have in common; the typed ones included */
} ReplCandidates;

/* What the word that ends the line could be, in `scratch`; *ret_typed: its length. */
void rxn__complete(Repl *repl, const char *line, size_t length, ReplCandidates *ret_candidates,
                   u32 *ret_typed);

/* The same between commands; false: out of memory. */
bool rxn__complete_guarded(Repl *repl, const char *line, size_t length,
                           ReplCandidates *ret_candidates, u32 *ret_typed);

/* ---- repl_commands.c ---------------------------------------------------------------------------------- */

typedef struct ReplCommand {
    const char *name, *arguments, *summary, *help;
    bool (*run)(Repl *repl, u32 count, const char *const *words, const char *rest);
} ReplCommand;

const ReplCommand *rxn__repl_commands(u32 *ret_count);

/* ":run 100": false if it failed. */
bool rxn__repl_command(Repl *repl, const char *line);

/* What the last command took, in a line. */
void rxn__repl_show_times(const Repl *repl);

/* Reads numbers and counts; says what is wrong with one that is none. what: "until" */
bool rxn__repl_number(Repl *repl, const char *what, const char *word, double *ret_value);
bool rxn__repl_count(Repl *repl, const char *what, const char *word, u64 *ret_value);

/* The command's functions, by file: repl_run.c, repl_gradient.c, repl_values.c, repl_show.c, repl_files.c. words: those behind
 * the command; rest: the same as they were typed. */
bool rxn__repl_run(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_plot(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_grad(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_fit(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_set_values(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_show(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_drop(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_list(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_reset(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_load(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_save(Repl *repl, u32 count, const char *const *words, const char *rest);
bool rxn__repl_save_over(Repl *repl, u32 count, const char *const *words, const char *rest);

/* As `:load`. */
bool rxn__repl_load_file(Repl *repl, const char *path);

bool rxn__repl_show_values(Repl *repl);

/* True if the parameter or input has a value of the user's. */
bool rxn__repl_value_of(Repl *repl, const char *name, double *ret_value);

/* In lines that fit the terminal. */
void rxn__repl_wrap(const char *text);

/* Says that Ctrl-C has stopped something; a script ends with that. Returns false. */
bool rxn__repl_stopped(Repl *repl, const char *format, ...) RXN_PRINTF(2, 3);

/* Shows a statement of the list that declares this name, with its value. False: there is none. */
bool rxn__repl_show_name(Repl *repl, const char *name);

/* One line of text: blanks for line ends, cut at `width` characters. */
const char *rxn__repl_one_line(Arena *arena, const char *text, u32 width);

/* ---- The session --------------------------------------------------------------------------------------- */

typedef struct ReplSet {
    char *name;
    double value;
} ReplSet;

typedef struct ReplTimes {
    double parse, compile, run;       /* seconds of the last command */
    bool parsed, compiled, ran, kept; /* kept: machine code of before was used */
} ReplTimes;

/* What was asked of the last run, so that a plot can run it again. */
typedef struct ReplRequest {
    u64 trajectories, seed, threads;
    double until, every;
    const double *at; /* [at_count] in arena */
    size_t at_count;
    const char *method;
} ReplRequest;

struct Repl {
    Memory memory;
    jmp_buf out_of_memory;
    Arena scratch; /* of one command */
    Arena kept;    /* of the session: small things that stay */
    ReplInput *input;
    const volatile int *interrupted; /* by Ctrl-C, since the command began */
    const char *device;              /* where kernels run */
    const char *cache;               /* and are kept; NULL: those of GPUs alone, in the user's */
    bool terminal;                   /* someone types, and looks */
    bool leaving;
    bool failed;            /* a statement or command, ever */
    u32 line;               /* of what is being done, in the input */
    const char *typed;      /* the statement that is being read */
    const char *expression; /* the only one of `:grad`, which messages may be about */
    bool error_shown;       /* in this command */

    ReplList lists[3];
    ReplList *current, *candidate;
    ReplList *compiled_list; /* of `compiled`: the one where its messages have their places */
    const char *path;        /* what was loaded or saved last, or NULL; in `kept` */
    const char *
        base; /* what was loaded, to whose folder paths in the model are relative; NULL: this one */
    bool loading; /* messages are about a file, not about what was typed */
    VEC(const char *)
    known_files; /* that hold this model, loaded or saved: real paths, in `kept` */

    RxnModel *model; /* of the current list; NULL: that has no species yet */
    RxnModel *
        compiled; /* of which everything below is made; `model`, or one with other numbers of parameters */
    RxnValues *values; /* for `compiled` */
    u64 values_seed;
    RxnSimulator *simulator;
    RxnSimulatorOptions simulator_options; /* that it was made with */
    RxnDifferentiator *differentiator;
    const char *differentiator_key; /* what it was asked for; in `kept` */
    RxnFit *fit;
    /* What was made before the last edits, the newest last: their code may still be right. */
    ReplMade before[4]; /* one of each kind that has code, and one that has just come to it */
    u32 before_count;
    VEC(ReplSet) sets;     /* in `kept` */
    bool checking;         /* a model is being read */
    Text warnings;         /* of the reading that goes on, in `scratch` */
    char *unseen_warnings; /* of the model; malloc's, or NULL */

    RxnRun run; /* the last; run.own NULL: none */
    bool has_run, run_is_current;
    const char **run_labels; /* [columns], in run_arena */
    Arena run_arena, next_run_arena;
    ReplRequest request;
    RxnSimulatorInfo run_info;

    /* Objects that a command is about to give away: freed by the next one if it never came to that. */
    RxnModel *pending_model;
    RxnValues *pending_values;
    RxnError *pending_error;
    RxnStatements *pending_statements;
    char *pending_text;

    ReplTimes times;
    bool show_times;
};

/* interrupt.c (see driver.h): Ctrl-C sets the flag that is returned, every time; each call clears it. */
const volatile int *rxn__interrupt_listen(void);
void rxn__interrupt_end(void);

/* Of the engine: the candidate nearest to the word, or NULL if none is near. */
const char *rxn__nearest(const char *word, u32 count, const char *const *candidates);

#endif
