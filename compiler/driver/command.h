/* command.h: what a subcommand is made of: its options, messages, files of results, and the library (runtime/rxn.h), which does
 * the work. Commands know nothing of the compiler but its room of utilities, base.
 *
 * A subcommand is a function in cmd_NAME.c with a row in the table of main.c, and, if programs that were built of a
 * model have it too, in that of standalone.c.
 */
#ifndef RXN_DRIVER_COMMAND_H
#define RXN_DRIVER_COMMAND_H

#include <stddef.h>
#include <stdio.h>

#include "compiler/base/base.h"
#include "compiler/base/lists.h"
#include "runtime/rxn.h"
#include "runtime/whole_file.h"

typedef struct Driver Driver;

/* What all commands that run an ensemble are told: how, on what, where to. */
typedef struct EnsembleFlags {
    u64 trajectories, seed, threads, lanes, step_limit;
    TextList sets;
    const char *input, *params, *device, *precision, *cache; /* NULL: not given */
    const char *csv, *json;
    bool quiet;
    bool counted; /* -n was given */
} EnsembleFlags;

typedef RxnStatus (*Command)(Driver *driver, int argc, char **argv);

struct OptionTable;

typedef struct CommandRow {
    const char *name, *summary;
    Command run;
    const struct OptionTable *table;
} CommandRow;

RxnStatus rxn__cmd_run(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_check(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_trace(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_grad(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_fit(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_fmt(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_import(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_build(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_selftest(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_info(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_completion(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_manual(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_repl(Driver *driver, int argc, char **argv);

/* What is being run: rxn, or a program that it built. */
typedef struct Program {
    const char *name, *headline;
    const CommandRow *commands;
    uint32_t command_count;
    Command alone; /* what is run where no command is given; NULL: the help is shown */
    const struct RxnProgram *built; /* its model and kernels; NULL: this is rxn */
} Program;

/* ---- invoke.c ---------------------------------------------------------------------------------- */

/* The whole of a program: its exit status. */
int rxn__invoke(const Program *program, int argc, char **argv);

/* Which it is. */
const Program *rxn__driver_program(const Driver *driver);

/* An error or a note about no place in a file. */
void rxn__driver_error(Driver *driver, const char *format, ...) RXN_PRINTF(2, 3);
void rxn__driver_warning(Driver *driver, const char *format, ...) RXN_PRINTF(2, 3);
void rxn__driver_note(Driver *driver, const char *format, ...) RXN_PRINTF(2, 3);
uint32_t rxn__driver_error_count(const Driver *driver);

/* Whether the reader of our output is gone, so that nothing is worth writing. */
bool rxn__driver_is_unread(const Driver *driver);

/* For what a command says, until it ends: texts of base.h. */
Arena *rxn__driver_arena(Driver *driver);

/* A name fit for a message. */
const char *rxn__driver_shown(Driver *driver, const char *text);

/* Prints what the diagnostics hold to standard error and empties them. */
void rxn__driver_flush(Driver *driver);

/* The same, and what comes next has a number of errors of its own that may be shown: after each of several files. */
void rxn__driver_flush_file(Driver *driver);

/* For the library's calls that take long, with the driver as their context: Ctrl-C ends them (`cancel` is rxn__interrupt_flag),
 * and how far they are is shown. */
void rxn__driver_stage(void *driver, RxnStage stage);
void rxn__driver_progress(void *driver, uint64_t done, uint64_t total);

/* Calls body(context); where memory runs out inside, returns RXN_ERROR_MEMORY. */
RxnStatus rxn__driver_guard(Driver *driver, RxnStatus (*body)(void *context), void *context);

/* ---- model.c: the library's objects, with messages printed ------------------------------------ */

/* With warnings printed. */
RxnModelOptions rxn__driver_model_options(Driver *driver);

/* The model named on the command line; NULL: that of the program. It is freed by rxn__driver_end. tell_later: as
 * RxnModelOptions. */
RxnStatus rxn__driver_model(Driver *driver, const char *path, bool tell_later,
                            RxnModel **ret_model);
void rxn__driver_end(Driver *driver);

/* The same, with options that are checked by `check`: before the model is read, but in a program, whose model has a say in what
 * may be asked of it. It is told later. */
RxnStatus rxn__driver_model_for(Driver *driver, const char *path, RxnStatus (*check)(void *context),
                                void *context, RxnModel **ret_model);

/* The status of a call of the library's; prints its error, if it has one, and frees it. */
RxnStatus rxn__driver_take(Driver *driver, RxnStatus status, RxnError *error);

/* Values as --params, --input and --set say, with all that is wrong with them. The values are there whatever the status, if there
 * is memory for them. */
RxnStatus rxn__driver_values(Driver *driver, RxnModel *model, const EnsembleFlags *options,
                             RxnValues **ret_values);

/* "500M" and the like into *ret_bytes, which a text of NULL leaves as it is. False after an error. */
bool rxn__driver_bytes(Driver *driver, const char *option, const char *text, uint64_t *ret_bytes);

/* The folder of compiled kernels: as given, or what RXN_CACHE names for every run; NULL where neither says one. */
const char *rxn__driver_cache(const char *given);

/* How kernels are to be made. */
RxnSimulatorOptions rxn__driver_kernel(const EnsembleFlags *flags, const char *method);

/* Once they are read: puts numbers in the place of what was left open; reports what is out of range. */
RxnStatus rxn__driver_check_ensemble(Driver *driver, EnsembleFlags *flags);

/* What is differentiated, when, by which params and how; the rest as it is without flags. The lists stay the caller's. */
RxnDifferentiatorOptions rxn__driver_gradient(const TextList *of, const NumberList *at,
                                              const TextList *wrt, const char *estimator);

/* How an ensemble is run. */
RxnRunOptions rxn__driver_run(const EnsembleFlags *flags);

/* That the command reads this file; NULL: none. */
void rxn__driver_reads(Driver *driver, const char *path);

/* The text of a file ("-": standard input) that is no model yet, in malloc's memory; from then on it is not written over.
 * named: where there is no such file it may be a model that comes with rxn. *ret_name: what messages call it, as long as the
 * driver. NULL after an error. */
char *rxn__driver_read(Driver *driver, const char *path, bool named, const char **ret_name,
                       size_t *ret_length);

/* Whether writing to this path would overwrite a file that the command reads, the model's too; reports that. */
bool rxn__driver_overwrites_input(Driver *driver, const char *path);

/* ---- options.c --------------------------------------------------------------------------------- */

typedef enum OptionKind {
    OPTION_FLAG,    /* bool */
    OPTION_TEXT,    /* const char *; the last one counts */
    OPTION_TEXTS,   /* TextList; may be given again */
    OPTION_COUNT,   /* u64: 1000 or 1e3 */
    OPTION_NUMBER,  /* double */
    OPTION_NUMBERS, /* NumberList: 1,2.5,4; may be given again */
} OptionKind;

typedef struct Option {
    const char *name;  /* "--seed", "-n" */
    const char *value; /* what the help calls its value; NULL for a flag */
    OptionKind kind;
    size_t offset;    /* of its place in the values */
    const char *help; /* NULL: not shown (for tests) */
} Option;

typedef struct OptionTable {
    const char *command; /* "rxn run" */
    const char *synopsis, *summary, *remarks;
    const char *about_operand; /* what the operand may be; NULL: the summary says so */
    const Option *options;
    uint32_t option_count;
    const char *operand; /* what the one operand is called */
    bool
        takes_many; /* any number of operands, none too: they go into the TextList at operands_offset of the values */
    size_t operands_offset;
    /* Options that several commands have, and where in the values the struct lies that their offsets are of. */
    const Option *shared;
    uint32_t shared_count;
    size_t shared_offset;
    void (*more)(
        FILE *
            file); /* or NULL: prints what stands at the end of the help: a title, then lines with two blanks */
} OptionTable;

/* Each command's own, in its file. */
extern const OptionTable rxn__usage_run, rxn__usage_grad, rxn__usage_fit, rxn__usage_build,
    rxn__usage_check, rxn__usage_fmt, rxn__usage_import, rxn__usage_trace, rxn__usage_info,
    rxn__usage_selftest, rxn__usage_completion, rxn__usage_manual, rxn__usage_repl;

/* Number k of the table's own options and, behind them, the shared ones; NULL behind the last. */
const Option *rxn__option_at(const OptionTable *table, uint32_t k);

#define RXN_ABOUT_MODEL                                                                            \
    "MODEL is a file, '-' for standard input, or the name of a model that comes with rxn."

/* Reads the arguments into *values (a struct that `offset`s point into) and *ret_operand, which is NULL in a program
 * that has its model in itself. Every mistake
 * is reported; false if there was one. *ret_help: --help was asked for, and nothing else was read. */
bool rxn__options_parse(Driver *driver, const OptionTable *table, int argc, char **argv,
                        void *values, const char **ret_operand, bool *ret_help);

void rxn__options_help(const Driver *driver, const OptionTable *table, FILE *file);

/* Those of all commands that run an ensemble; what holds where nothing is said. */
enum { ENSEMBLE_OPTION_COUNT = 12 };
extern const Option rxn__ensemble_options[ENSEMBLE_OPTION_COUNT];
EnsembleFlags rxn__ensemble_flags(void);

/* Whether -o or --json go to standard output, so that nothing else should. */
bool rxn__takes_stdout(const EnsembleFlags *options);

/* ---- output.c ---------------------------------------------------------------------------------- */

/* A file that is being written: it gets its name only when it is whole. */
typedef struct OutputFile {
    FILE *file;
    const char *path;   /* "-": standard output */
    RxnWholeFile whole; /* of any other */
} OutputFile;

/* A file that an option names, to be written. */
typedef struct OutputName {
    const char *option, *path; /* path NULL: it is not given */
} OutputName;

/* Whether each of them is a file of its own; reports which are not. */
bool rxn__outputs_are_apart(Driver *driver, const OutputName *names, size_t count);

/* Refuses a directory and any file that the command reads. False after an error. */
bool rxn__output_open(Driver *driver, OutputFile *output, const char *path);

/* Gives the file its name, or copies it to standard output. False after an error. */
bool rxn__output_commit(Driver *driver, OutputFile *output);

/* Removes what was begun; harmless on one that was never opened or is committed. */
void rxn__output_drop(OutputFile *output);

/* ---- replace.c --------------------------------------------------------------------------------- */

/* Gives a file of the user's own this content: at once, on the disk, with the file's mode and owner; a link stays one. A file that
 * is not there is made. Returns why it could not, or NULL. */
const char *rxn__replace_text(const char *path, const char *bytes, size_t length);

/* ---- interrupt.c ------------------------------------------------------------------------------- */

/* From here on Ctrl-C sets the flag that is returned; a second one ends the program at once. Inside of another begin and
 * its end it changes nothing. */
const volatile int *rxn__interrupt_begin(void);
void rxn__interrupt_end(void);

/* The flag, for options that are made before. */
const volatile int *rxn__interrupt_flag(void);

/* The same for a session of several commands: no number of them ends the program, and each call clears the flag. */
const volatile int *rxn__interrupt_listen(void);

#endif
