/* driver.h: what the files of the program share. Nothing outside this folder includes it.
 *
 * A subcommand is a function in cmd_NAME.c with a row in the table of main.c, and, if programs that were built of a
 * model have it too, in that of standalone.c. All that goes wrong is
 * put into the session's diagnostics, which main prints, and the status becomes the exit status.
 */
#ifndef RXN_DRIVER_H
#define RXN_DRIVER_H

#include <stdio.h>

#include "compiler/base/base.h"
#include "compiler/pipeline.h"
#include "runtime/cuda.h"
#include "runtime/rxn.h"

typedef struct Driver Driver;

typedef RxnStatus (*Command)(Driver *driver, int argc, char **argv);

typedef struct CommandRow {
    const char *name, *summary;
    Command run;
} CommandRow;

/* What is being run: rxn, or a program that it built. */
typedef struct Program {
    const char *name, *headline;
    const CommandRow *commands;
    u32 command_count;
    const struct RxnProgram *built; /* its model and kernels; NULL: this is rxn */
} Program;

struct Driver {
    const Program *program;
    Session session;
    SourceLoader loader;
    const char *internal_error; /* of RXN_ERROR_INTERNAL: the stage and what is broken */
    bool quiet_failure;         /* the reader of our output is gone: nothing is worth saying */
    RxnCuda *cuda;              /* the GPUs of this run, or NULL */
    const char *cuda_cache;     /* where their kernels are kept, or NULL */
    bool is_library;            /* signals are the business of who calls us, */
    const volatile int *cancel; /* who may have this instead; else NULL */
    bool is_ahead;              /* kernels are made for a program, and nothing is run */
    /* Of one trajectory, on the processor and on GPUs, where kernels are or were made ahead; 0: by the memory there is. */
    u64 tape_bytes, cuda_tape_bytes;
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
RxnStatus rxn__cmd_info(Driver *driver, int argc, char **argv);

/* invoke.c: the whole of a program: its exit status. */
int rxn__invoke(const Program *program, int argc, char **argv);

/* An error or a note about no place in a file. */
void rxn__driver_error(Driver *driver, const char *format, ...) RXN_PRINTF(2, 3);
void rxn__driver_note(Driver *driver, const char *format, ...) RXN_PRINTF(2, 3);

/* Prints what the diagnostics hold to standard error and empties them. */
void rxn__driver_flush(Driver *driver);

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

typedef VEC(const char *) TextList;
typedef VEC(double) NumberList;

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
} OptionTable;

#define RXN_ABOUT_MODEL                                                                            \
    "MODEL is a file, '-' for standard input, or the name of a model that comes with rxn."

/* Reads the arguments into *values (a struct that `offset`s point into) and *ret_operand, which is NULL in a program
 * that has its model in itself. Every mistake
 * is reported; false if there was one. *ret_help: --help was asked for, and nothing else was read. */
bool rxn__options_parse(Driver *driver, const OptionTable *table, int argc, char **argv,
                        void *values, const char **ret_operand, bool *ret_help);

void rxn__options_help(const Driver *driver, const OptionTable *table, FILE *file);

/* The candidate nearest to the word, or NULL if none is near. */
const char *rxn__nearest(const char *word, u32 count, const char *const *candidates);

/* The whole text as a finite number. */
bool rxn__parse_number(const char *text, double *ret_value);

/* Values that several commands take; report what is wrong with them. lanes: 0 is the target's choice. */
bool rxn__check_precision(Driver *driver, const char *precision);
bool rxn__check_lanes(Driver *driver, u64 lanes);

/* ---- files.c ----------------------------------------------------------------------------------- */

void rxn__files_init(Driver *driver);

/* Reads a file whole ("-": standard input) into the arena, NUL-terminated. NULL, with the reason. */
char *rxn__read_file(const char *path, Arena *arena, size_t *ret_length, const char **ret_reason);

/* embedded.c: the model and its modules come from the program, its kernels too. */
void rxn__embedded_init(Driver *driver, const struct RxnProgram *built);

/* embedded.c: warns where a program has no code for the pipeline's kernel, which is then interpreted, and says how to
 * build one that has it: `wish` are the options, as text; NULL: none would help. */
void rxn__warn_interpreted(Driver *driver, const Pipeline *pipeline, const char *wish);

/* Adds the model named on the command line to the sources; NULL: that of the program. It is a file, "-", or the name of a model that
 * `use` could name. A BioNetGen network is added twice: as it is, and as the model that it is imported as, whose
 * number is given. False after an error. */
bool rxn__load_model(Driver *driver, const char *path, u32 *ret_file);

/* Whether a file of the sources was made by importing the one before it. */
bool rxn__is_imported(const Driver *driver, u32 file);

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

/* Whether writing to this path would overwrite a model's file; reports that. */
bool rxn__is_a_source(Driver *driver, const char *path);

/* ---- bind.c ------------------------------------------------------------------------------------ */

typedef struct ModelValues {
    double *params;           /* [network->param_count + 1] */
    double *inputs;           /* [network->input_count + 1] */
    const bool *params_given; /* [network->param_count + 1]: by the request, not by the model */
} ModelValues;

/* What is given later overrides what is given before: file of params, input file, --set, settings. */
typedef struct BindRequest {
    const TextList *sets; /* "name=value" */
    const char *input;    /* a CSV file, or NULL */
    u64 seed;             /* of what is drawn */
    const char *params;   /* what a fit wrote, or NULL */
    /* Of an experiment: */
    const FitSetting *settings;
    u32 setting_count;
    const FitSample *samples; /* inputs that every trajectory has its own value of */
    u32 sample_count;
} BindRequest;

/* Values for all params and inputs, in the pipeline's arena. False after errors. */
bool rxn__bind(Driver *driver, Pipeline *pipeline, const BindRequest *request,
               ModelValues *ret_values);

/* The flat params that "k", "W" or "W[3,1]" names: first and how many. False after an error. */
bool rxn__param_reference(Driver *driver, Pipeline *pipeline, const char *text, size_t length,
                          u32 *ret_first, u32 *ret_count);

/* Those that the model itself gives; NaN where it gives none. (Apart from the next, so that libraries of a model need no
 * reader of JSON.) */
void rxn__bind_own(Driver *driver, Pipeline *pipeline, ModelValues *ret_values);

/* As bind, but what has no value is NaN, and nothing is reported but what is wrong with the file of params (or NULL): for
 * `rxn check`. */
bool rxn__bind_defaults(Driver *driver, Pipeline *pipeline, const char *params,
                        ModelValues *ret_values);

/* ---- times.c ----------------------------------------------------------------------------------- */

typedef struct SampleTimes {
    const double *times; /* [count + 1]; the last is +inf */
    u32 count;
    double end;
    double step; /* times[k] is k * step to the last bit, for all k; 0: they are not so */
} SampleTimes;

typedef struct TimesRequest {
    double until, every; /* NaN: not given */
    const NumberList *at;
} TimesRequest;

/* The sample times: the command line's, else the model's. False after an error. */
bool rxn__sample_times(Driver *driver, Pipeline *pipeline, const TimesRequest *request,
                       SampleTimes *ret_times);

/* ---- faults.c ---------------------------------------------------------------------------------- */

/* That a kernel simulates coupled pairs of trajectories, whose copies differ in these parameters (flat; one of
 * them in each pair, by turns), or, with none, in a jump. */
typedef struct PairRun {
    const u32 *chosen;
    u32 chosen_count;
    double difference; /* GradientRequest.difference */
} PairRun;

typedef struct FaultContext {
    const Pipeline *pipeline;
    const ModelValues *values;
    const RxnFault *fault;
    KirType precision;
    u64 seed, step_limit;
    const PairRun *pair; /* or NULL */
} FaultContext;

/* Says in words why the trajectory could not go on. */
void rxn__report_fault(Driver *driver, const FaultContext *context);

/* fault_pair.c: a fault of a pair as one of the model's. */
typedef struct PairFault {
    RxnFault
        fault; /* of the model's reaction, species or event, in the state of the copy where it went wrong */
    ModelValues values; /* that copy's */
    const char *note;   /* which copy it was, a sentence */
} PairFault;

/* False where it cannot be told: the fault is then shown as it is. */
bool rxn__fault_of_pair(const FaultContext *context, Arena *arena, NameTable *names,
                        PairFault *ret_fault);

/* ---- kernel.c ---------------------------------------------------------------------------------- */

/* The pipeline's kernel as the runtime sees it: compiled, interpreted, or loaded on the GPUs, which may fail. */
RxnStatus rxn__describe_kernel(Driver *driver, Pipeline *pipeline, RxnKernel *ret_kernel);

/* launch.c: the kernel that a pipeline has, kept aside while it gets another, so that both can be run by turns. */
typedef struct KeptKernel {
    MethodKernel kernel;
    GradientKernel gradient;
    CompiledKernel compiled;
    const KirKernel *interpreted;
} KeptKernel;

KeptKernel rxn__kernel_keep(const Pipeline *pipeline);
void rxn__kernel_put(Pipeline *pipeline, const KeptKernel *kept);

/* ---- launch.c: what all commands that run an ensemble share ------------------------------------ */

typedef struct EnsembleOptions {
    u64 trajectories, seed, threads, lanes, step_limit;
    TextList sets;
    const char *input, *params, *device, *precision, *cache;
    const char *csv, *json;
    bool quiet;
    bool counted;            /* -n was given */
    bool chose_device;       /* --device was given */
    const char *device_wish; /* as it was given; `device` is "cpu", "cuda" or "interpreter" */
} EnsembleOptions;

enum { ENSEMBLE_OPTION_COUNT = 12 };
extern const Option rxn__ensemble_options[ENSEMBLE_OPTION_COUNT];

/* What holds where nothing is said. */
EnsembleOptions rxn__ensemble_defaults(void);

/* Once they are read: puts numbers and a device in the place of what was left open; reports what is out of range. */
bool rxn__check_ensemble(Driver *driver, EnsembleOptions *options);

/* gpu.c: whether --device is one that there is; sets device_wish. False after an error. */
bool rxn__check_device(Driver *driver, EnsembleOptions *options);

/* gpu.c: opens the GPUs that are wanted, or settles what `auto` is. They go on opening behind, so it is best done
 * early. */
RxnStatus rxn__device_open(Driver *driver, EnsembleOptions *options);

/* gpu.c: the pipeline's kernel on the GPUs, until the pipeline is closed. */
RxnStatus rxn__load_on_gpus(Driver *driver, Pipeline *pipeline, RxnCudaProgram **ret_program);

/* gpu.c: of the smallest of the GPUs; and trajectories in flight on one of them, about. */
u64 rxn__gpu_memory(const Driver *driver, u64 *ret_workers);

/* Whether -o or --json go to standard output, so that nothing else should. */
bool rxn__takes_stdout(const EnsembleOptions *options);

/* One run of the pipeline's kernel. */
typedef struct Launch {
    Pipeline *pipeline;
    const ModelValues *values;
    const SampleTimes *times;
    KirType precision;
    u64 seed, step_limit;
    i32 sample_count; /* the bindings' own: set by rxn__launch_bindings */
    const PairRun *pair;
} Launch;

/* Data for the kernel's buffers, in the pipeline's arena; it points into the launch. */
RxnBinding *rxn__launch_bindings(Launch *launch, u32 *ret_count);

/* What the outcome is as a status; says what went wrong. trajectories: that were wanted. */
RxnStatus rxn__launch_outcome(Driver *driver, const Launch *launch, RxnOutcome outcome,
                              const RxnEnsembleResult *result, u64 trajectories);

/* ---- interrupt.c ------------------------------------------------------------------------------- */

/* From here on Ctrl-C sets the flag that is returned; a second one ends the program at once. Inside of another begin and
 * its end it changes nothing. */
const volatile int *rxn__interrupt_begin(void);
void rxn__interrupt_end(void);

/* The same for what a library does too: there it is what the caller gave, or NULL. */
const volatile int *rxn__driver_cancel(const Driver *driver);
void rxn__driver_cancel_end(const Driver *driver);

#endif
