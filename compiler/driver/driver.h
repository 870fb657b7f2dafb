/* driver.h: what the files of the program share. Nothing outside this folder includes it.
 *
 * A subcommand is a function in cmd_NAME.c with a row in the table of main.c, and, if programs that were built of a
 * model have it too, in that of standalone.c. It reads the command line, has the engine (compiler/engine) do the work, and
 * shows what came of it. All that goes wrong is put into the session's diagnostics, which main prints, and the status becomes
 * the exit status.
 */
#ifndef RXN_DRIVER_H
#define RXN_DRIVER_H

#include <stdio.h>

#include "compiler/engine/engine.h"
#include "runtime/report.h"

typedef struct Driver Driver;

typedef RxnStatus (*Command)(Driver *driver, int argc, char **argv);

struct OptionTable;

typedef struct CommandRow {
    const char *name, *summary;
    Command run;
    const struct OptionTable *table;
} CommandRow;

/* What is being run: rxn, or a program that it built. */
typedef struct Program {
    const char *name, *headline;
    const CommandRow *commands;
    u32 command_count;
    Command alone; /* what is run where no command is given; NULL: the help is shown */
    const struct RxnProgram *built; /* its model and kernels; NULL: this is rxn */
} Program;

struct Driver {
    const Program *program;
    Engine engine;
    RxnProgress progress; /* of what runs now */
    bool quiet_failure;   /* the reader of our output is gone: nothing is worth saying */
};

RxnStatus rxn__cmd_run(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_check(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_trace(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_grad(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_fit(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_fmt(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_import(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_build(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_selftest(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_repl(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_info(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_completion(Driver *driver, int argc, char **argv);
RxnStatus rxn__cmd_manual(Driver *driver, int argc, char **argv);

/* invoke.c: the whole of a program: its exit status. */
int rxn__invoke(const Program *program, int argc, char **argv);

/* An error or a note about no place in a file. */
void rxn__driver_error(Driver *driver, const char *format, ...) RXN_PRINTF(2, 3);
void rxn__driver_note(Driver *driver, const char *format, ...) RXN_PRINTF(2, 3);

/* Prints what the diagnostics hold to standard error and empties them. */
void rxn__driver_flush(Driver *driver);

/* The same at the end of something, where there may be an internal error too, and memory may be out. */
void rxn__driver_say(Driver *driver);

/* Prints the messages that are left, which may name things of the pipeline, and closes it. */
void rxn__driver_close(Driver *driver, Pipeline *pipeline);

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
    u32 option_count;
    const char *operand; /* what the one operand is called */
    bool
        takes_many; /* any number of operands, none too: they go into the TextList at operands_offset of the values */
    size_t operands_offset;
    /* Options that several commands have, and where in the values the struct lies that their offsets are of. */
    const Option *shared;
    u32 shared_count;
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
const Option *rxn__option_at(const OptionTable *table, u32 k);

#define RXN_ABOUT_MODEL                                                                            \
    "MODEL is a file, '-' for standard input, or the name of a model that comes with rxn."

/* Reads the arguments into *values (a struct that `offset`s point into) and *ret_operand, which is NULL in a program
 * that has its model in itself. Every mistake
 * is reported; false if there was one. *ret_help: --help was asked for, and nothing else was read. */
bool rxn__options_parse(Driver *driver, const OptionTable *table, int argc, char **argv,
                        void *values, const char **ret_operand, bool *ret_help);

void rxn__options_help(const Driver *driver, const OptionTable *table, FILE *file);

/* Those of all commands that run an ensemble. */
enum { ENSEMBLE_OPTION_COUNT = 12 };
extern const Option rxn__ensemble_options[ENSEMBLE_OPTION_COUNT];

/* Whether -o or --json go to standard output, so that nothing else should. */
bool rxn__takes_stdout(const EnsembleOptions *options);

/* ---- output.c ---------------------------------------------------------------------------------- */

/* A file that is being written: it gets its name only when it is whole. */
typedef struct OutputFile {
    FILE *file;
    const char *path; /* "-": standard output */
    char *beside;     /* its name until then */
} OutputFile;

/* Refuses a directory and any of the session's source files. False after an error. */
bool rxn__output_open(Driver *driver, OutputFile *output, const char *path);

/* Gives the file its name, or copies it to standard output. False after an error. */
bool rxn__output_commit(Driver *driver, OutputFile *output);

/* Removes what was begun; harmless on one that was never opened or is committed. */
void rxn__output_drop(OutputFile *output);

/* ---- interrupt.c ------------------------------------------------------------------------------- */

/* From here on Ctrl-C sets the flag that is returned; a second one ends the program at once. Inside of another begin and
 * its end it changes nothing. */
const volatile int *rxn__interrupt_begin(void);
void rxn__interrupt_end(void);

/* The same for a session of several commands: no number of them ends the program, and each call clears the flag. */
const volatile int *rxn__interrupt_listen(void);

#endif
