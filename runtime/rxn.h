/* rxn.h: rxn as a library: stochastic reaction networks from C.
 *
 *     RxnModel *model;
 *     RxnValues *values;
 *     RxnSimulator *simulator;
 *     RxnRun run;
 *     RxnError *error;
 *
 *     if (rxn_model_parse("species A = 100\nA -> 0 @ 0.1", NULL, &model, &error) != RXN_OK ||
 *         rxn_values_new(model, 1, &values, &error) != RXN_OK ||
 *         rxn_simulator_new(model, NULL, &simulator, &error) != RXN_OK)
 *         …rxn_error_text(error)…
 *     RxnRunOptions options = rxn_run_options();
 *     options.until = 10;
 *     if (rxn_run(simulator, values, &options, &run, &error) == RXN_OK)
 *         …run.mean[k * run.columns + 0] at run.times[k]…
 *
 * What there is:
 *   RxnModel           a text that was read and checked. Everything below is made of one.
 *   RxnValues          numbers for its parameters and inputs.
 *   RxnSimulator       its kernel, compiled: runs ensembles, at any values.
 *   RxnDifferentiator  expectations and their derivatives, compiled: evaluates them at any values, by one estimator or several.
 *   RxnFit             its fit block: trains parameters on data.
 *   rxn_model_build    a program or a library of it, compiled for elsewhere.
 *   RxnError           why something could not be done.
 *
 * Rules
 * - A function that can fail returns a status and, unless it is RXN_OK and unless ret_error is NULL, an error object in
 *   *ret_error, which rxn_error_free takes. What it should have made is NULL then. No error is ever lost for want of memory:
 *   there is an object for that too. A text or statements that have nowhere to go, for their argument is NULL, are
 *   RXN_ERROR_USAGE.
 * - Nothing prints, exits, catches a signal, changes the locale or keeps anything outside of the objects. What is made is
 *   freed by its function, which takes NULL too; a model is freed after all that was made of it.
 * - A model and what was made of it is used by one thread at a time; different models by different threads at once. Runs
 *   use as many threads as they are told to.
 * - Strings are UTF-8 and belong to the object that gave them, which outlives them unless said otherwise. Structs of options
 *   come from their functions, whose values are those of `rxn` without flags; NULL is the same.
 * - Results are functions of model, values, options and seed: the bytes of `rxn run`, `rxn grad` and `rxn fit`, for any number
 *   of threads.
 */
#ifndef RXN_H
#define RXN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RXN_PUBLIC __attribute__((visibility("default")))
#else
#define RXN_PUBLIC
#endif

/* "0.1.0" */
RXN_PUBLIC const char *rxn_version(void);

/* Processors that this process may use, at least 1. */
RXN_PUBLIC uint32_t rxn_processors(void);

/* ---- errors ------------------------------------------------------------------------------------ */

/* The exit statuses of the program are these numbers (RXN_ERROR_MEMORY and RXN_CANCELLED exit as 1). */
typedef enum RxnStatus {
    RXN_OK = 0,
    RXN_ERROR_INPUT = 1,    /* the model, the data or the run is at fault; the error says where */
    RXN_ERROR_USAGE = 2,    /* the request is: an option that there is not, or out of range */
    RXN_ERROR_INTERNAL = 3, /* a bug in rxn */
    RXN_ERROR_MEMORY = 4,   /* out of memory, or over the limit that was set */
    RXN_CANCELLED = 5,      /* by options' `cancel`; what was done is whole */
} RxnStatus;

typedef enum RxnSeverity { RXN_ERROR, RXN_WARNING, RXN_NOTE } RxnSeverity;

/* A note belongs to the error or warning before it. */
typedef struct RxnMessage {
    RxnSeverity severity;
    const char *text;      /* a sentence, without place and full stop */
    const char *file;      /* NULL: about no place, and the rest is 0 */
    uint32_t line, column; /* from 1; columns in bytes */
    size_t first, length;  /* bytes of the file's text that it is about */
} RxnMessage;

typedef struct RxnError RxnError;

RXN_PUBLIC RxnStatus rxn_error_status(const RxnError *error);

/* All messages as `rxn` prints them, with source lines and carets; without a newline at the end. */
RXN_PUBLIC const char *rxn_error_text(const RxnError *error);

RXN_PUBLIC size_t rxn_error_count(const RxnError *error);
RXN_PUBLIC RxnMessage rxn_error_message(const RxnError *error, size_t k);
RXN_PUBLIC void rxn_error_free(RxnError *error);

/* What is said beside: warnings and notes of something that was done nevertheless. `text` is one message with its notes as
 * `rxn` prints it, with a newline at the end, and lives as long as the call. */
typedef void (*RxnTell)(void *context, RxnSeverity severity, const char *text);

/* Called about ten times a second from the thread that called; total 0: not known. */
typedef void (*RxnProgressCall)(void *context, uint64_t done, uint64_t total);

/* A call may consist of several pieces of work, each of which `cancel` ends. Each beginning has its end, also inside of
 * another. */
typedef enum RxnStage {
    RXN_STAGE_TRAJECTORIES, /* begins, and its progress counts them from 0 on */
    RXN_STAGE_STEPS,        /* begins, and its progress counts what means nothing to a person */
    RXN_STAGE_SILENT,       /* begins, and its progress is not told */
    RXN_STAGE_END,
} RxnStage;

/* From the thread that called. */
typedef void (*RxnStageCall)(void *context, RxnStage stage);

/* ---- models ------------------------------------------------------------------------------------ */

typedef struct RxnModel RxnModel;

/* Reads the text behind `use PATH` of the file `from` into memory of malloc's, which the library frees; *ret_path: what
 * messages call it, likewise. Returns false with a reason, which is copied. */
typedef bool (*RxnLoad)(void *context, const char *from, const char *path, char **ret_path,
                        char **ret_text, size_t *ret_length, const char **ret_reason);

typedef struct RxnModelOptions {
    const char *
        name; /* what messages call the text; paths in the model are relative to its folder. NULL: "model" */
    RxnLoad load; /* or NULL: files, and the models that come with rxn */
    void *load_context;
    RxnTell tell; /* or NULL */
    void *tell_context;
    /* Bytes that the compiler may take for this model, together with what goes on from it as it was read (the first simulator,
     * texts), and again for each of what else is made of it; 0: no limit. */
    size_t memory_limit;
    /* Warnings are not told when the model is read, but by what is made of it, which may use what is not used otherwise: the
     * expressions of a differentiator, the block of a fit. */
    bool tell_later;
} RxnModelOptions;

RXN_PUBLIC RxnModelOptions rxn_model_options(void);

/* From its text, NUL-terminated. */
RXN_PUBLIC RxnStatus rxn_model_parse(const char *text, const RxnModelOptions *options,
                                     RxnModel **ret_model, RxnError **ret_error);

/* From a file (.rxn, or a BioNetGen .net), or a model that comes with rxn, by its name. options->name is not looked at. */
RXN_PUBLIC RxnStatus rxn_model_open(const char *path, const RxnModelOptions *options,
                                    RxnModel **ret_model, RxnError **ret_error);

/* The model in a program that `rxn build` made, whose kernels are what it can run; there it is called `rxn_program`. */
struct RxnProgram;
RXN_PUBLIC RxnStatus rxn_model_of_program(const struct RxnProgram *program,
                                          const RxnModelOptions *options, RxnModel **ret_model,
                                          RxnError **ret_error);

/* What that model calls itself, or is called. */
RXN_PUBLIC const char *rxn_program_model(const struct RxnProgram *program);

RXN_PUBLIC void rxn_model_free(RxnModel *model);

/* Files that it was read from, with those that it uses, as messages call them (a text: by its name): number k from 0 on; NULL
 * behind the last. */
RXN_PUBLIC const char *rxn_model_file(const RxnModel *model, size_t k);

/* As the model calls itself; "model" where it does not. */
RXN_PUBLIC const char *rxn_model_name(const RxnModel *model);

/* What a model has many of. Members of arrays are counted one by one, in row-major order. */
typedef enum RxnKind {
    RXN_PARAMETERS,
    RXN_INPUTS,
    RXN_SPECIES,
    RXN_OBSERVABLES, /* the columns of results: what is observed, else all species */
    RXN_REACTIONS,
} RxnKind;

RXN_PUBLIC size_t rxn_model_count(const RxnModel *model, RxnKind kind);

/* "k", "W[3,1]"; until the next call of this function on this model. NULL where there is no such member. */
RXN_PUBLIC const char *rxn_model_label(RxnModel *model, RxnKind kind, size_t member);

/* Where the members of "k", "W" or "W[3,1]" are: the first and how many. False: there are none. */
RXN_PUBLIC bool rxn_model_find(RxnModel *model, RxnKind kind, const char *label, size_t *ret_first,
                               size_t *ret_count);

RXN_PUBLIC bool rxn_model_has_fit(const RxnModel *model);

/* Forms of a model that can be read: the stages of the compiler. */
typedef enum RxnForm {
    RXN_FORM_SOURCE,  /* laid out as `rxn fmt` does */
    RXN_FORM_SUMMARY, /* as `rxn check` prints it: sizes, conservation laws, method and why */
    RXN_FORM_NETWORK,
    RXN_FORM_RATES,   /* a reaction and its propensity per line */
    RXN_FORM_LAWS,    /* what is conserved, a law per line */
    RXN_FORM_PROGRAM, /* as `info` prints it: what a program that rxn built has in it */
    RXN_FORM_KERNEL,  /* KIR, optimised */
    RXN_FORM_LLVM,
    RXN_FORM_ASSEMBLY,
    RXN_FORM_CUDA,
    /* Of rxn_model_emit alone: machine code, as a relocatable file; for GPUs, by NVRTC. */
    RXN_FORM_OBJECT,
    RXN_FORM_PTX,
    RXN_FORM_CUBIN,
    RXN_FORM_HEADER, /* of RXN_BUILD_LIBRARY, in C */
} RxnForm;

/* options: of the kernel, from RXN_FORM_KERNEL on: its method, precision and lanes; NULL as for rxn_simulator_new. Numbers of the
 * text are numbers of the kernel; editable and control_variates, which only what runs can have, are errors. The text is freed by
 * rxn_text_free. */
struct RxnSimulatorOptions;
struct RxnValues;
RXN_PUBLIC RxnStatus rxn_model_text(RxnModel *model, RxnForm form,
                                    const struct RxnSimulatorOptions *options, char **ret_text,
                                    RxnError **ret_error);
RXN_PUBLIC void rxn_text_free(char *text);

/* RXN_FORM_SUMMARY with the totals of what is conserved at these values. */
RXN_PUBLIC RxnStatus rxn_model_summary(RxnModel *model, const struct RxnValues *values,
                                       char **ret_text, RxnError **ret_error);

/* ---- statements -------------------------------------------------------------------------------- */

/* What a statement gives a name to, and the bytes of the text that do: an item of its list (`D = 0` of `species M = 100,
 * D = 0`), which could be a statement of its own, or all of it. An observable without a name is called what it is. */
typedef struct RxnItem {
    const char *name;
    size_t first, length;
} RxnItem;

/* A statement of a model's text, for programs that edit one: what it is and what it gives a name to. */
typedef struct RxnStatement {
    size_t first, length; /* bytes of the text, with comments behind it in the same line */
    const char *keyword;  /* "species", "param", "reaction", "at", "fit"… */
    const RxnItem *items; /* a reaction's label; those of the reactions in a `for` */
    size_t item_count;
} RxnStatement;

typedef struct RxnStatements RxnStatements;

/* Reads statements without checking what they mean. *ret_incomplete: the text ends inside of brackets or of a statement, and
 * more of it may make it right; no statement is given then. */
RXN_PUBLIC RxnStatus rxn_statements_parse(const char *text, const char *name,
                                          RxnStatements **ret_statements, bool *ret_incomplete,
                                          RxnError **ret_error);
RXN_PUBLIC size_t rxn_statements_count(const RxnStatements *statements);
RXN_PUBLIC RxnStatement rxn_statements_get(const RxnStatements *statements, size_t k);
RXN_PUBLIC void rxn_statements_free(RxnStatements *statements);

/* Of files as they are: texts of `length` bytes; SIZE_MAX: up to the NUL behind them. name: what messages call them, NULL:
 * "model". What is made of them has *ret_length bytes and a NUL behind them, and is freed by rxn_text_free. (Comments may have
 * NUL bytes in them; with ret_length NULL, that is an error.)
 *
 * Lays a model's text out as `rxn fmt` does. */
RXN_PUBLIC RxnStatus rxn_format(const char *text, size_t length, const char *name, char **ret_text,
                                size_t *ret_length, RxnError **ret_error);

/* A file for these, whole ("-": standard input); where there is none of this name, a model that comes with rxn. *ret_path: where it
 * was, for messages. Path and text are freed by rxn_text_free. At most 64 MiB. */
RXN_PUBLIC RxnStatus rxn_read(const char *path, char **ret_path, char **ret_text,
                              size_t *ret_length, RxnError **ret_error);

/* A network that BioNetGen has generated (what stands in a .net file) as a model's text, as `rxn import` has it. */
RXN_PUBLIC RxnStatus rxn_import(const char *text, size_t length, const char *name, char **ret_text,
                                size_t *ret_length, RxnError **ret_error);

/* ---- values ------------------------------------------------------------------------------------ */

/* Numbers for all parameters and inputs; NaN where the model gives none yet. */
typedef struct RxnValues RxnValues;

/* The model's own; seed: of those that it draws from distributions. */
RXN_PUBLIC RxnStatus rxn_values_new(RxnModel *model, uint64_t seed, RxnValues **ret_values,
                                    RxnError **ret_error);
RXN_PUBLIC RxnStatus rxn_values_copy(const RxnValues *values, RxnValues **ret_values,
                                     RxnError **ret_error);
RXN_PUBLIC void rxn_values_free(RxnValues *values);

/* One parameter or input, or all members of an array: "k", "W[3,1]", "W". */
RXN_PUBLIC RxnStatus rxn_values_set(RxnValues *values, const char *name, double value,
                                    RxnError **ret_error);

/* Members first … first + count - 1 of RXN_PARAMETERS or RXN_INPUTS. */
RXN_PUBLIC RxnStatus rxn_values_put(RxnValues *values, RxnKind kind, size_t first, size_t count,
                                    const double *numbers, RxnError **ret_error);

/* What a fit wrote (JSON); inputs from a table (CSV). */
RXN_PUBLIC RxnStatus rxn_values_load(RxnValues *values, const char *path, RxnError **ret_error);
RXN_PUBLIC RxnStatus rxn_values_load_inputs(RxnValues *values, const char *path,
                                            RxnError **ret_error);

/* [rxn_model_count(model, kind)] of RXN_PARAMETERS or RXN_INPUTS. */
RXN_PUBLIC const double *rxn_values_get(const RxnValues *values, RxnKind kind);

/* ---- simulation -------------------------------------------------------------------------------- */

/* The methods that there are, beside "auto": number k from 0 on, with a few words on it. False behind the last. */
RXN_PUBLIC bool rxn_method(size_t k, const char **ret_name, const char **ret_summary);

typedef struct RxnSimulator RxnSimulator;

typedef struct RxnSimulatorOptions {
    const char *method; /* "auto"; "cme": no trajectories, the master equation is solved */
    const char *
        device; /* "auto", "cpu", "cuda", "cuda:0", "interpreter"; NULL: "auto" without a word on it */
    const char *precision; /* "f64" or "f32" */
    uint32_t lanes;        /* trajectories side by side in a vector; 0: chosen */
    uint64_t trajectories; /* that runs are about to have: a few need fewer lanes; 0: many */
    const char *
        cache; /* a folder where compiled kernels are kept; NULL: those of GPUs in the user's; "none" */
    /* Its code is taken over, at once, if this model's kernel is the same to the last letter, as it is of a model that was
     * edited where no propensity is concerned. May be of another model, which that thread does not use meanwhile; either
     * may be freed first. NULL: none. */
    const RxnSimulator *like;
    bool
        control_variates; /* means with less noise; kernels are compiled for the times of a run, in each */
    /* For a model that is being edited: a number of its text that is all of a mass action's constant, or of a species'
     * initial value, is an input of the kernel, as parameters are, so that `like` helps where it alone was changed. Results
     * are the same to the last bit. Where numbers cannot be open they are not, which shows in what is compiled alone: by the
     * master equation; of derivatives and fits in f32; of fits of samples. */
    bool editable;
} RxnSimulatorOptions;

RXN_PUBLIC RxnSimulatorOptions rxn_simulator_options(void);

RXN_PUBLIC RxnStatus rxn_simulator_new(RxnModel *model, const RxnSimulatorOptions *options,
                                       RxnSimulator **ret_simulator, RxnError **ret_error);
RXN_PUBLIC void rxn_simulator_free(RxnSimulator *simulator);

typedef struct RxnSimulatorInfo {
    const char *method, *why; /* why this one, a sentence; NULL: it was asked for by name */
    const char *device, *isa, *precision;
    uint32_t lanes;         /* 0: there is no machine code, it is interpreted */
    double seconds_compile; /* with control variates: of the last run */
    bool reused;            /* the code is that of `like` */
} RxnSimulatorInfo;

RXN_PUBLIC RxnSimulatorInfo rxn_simulator_info(const RxnSimulator *simulator);

/* Trajectories first … first + count - 1, in order: samples [count][times][columns], events [count]. Called for one block
 * after another, never twice at a time, from any thread. Returns false to end the run. The times are in the run's *ret_run
 * before the first call. */
typedef bool (*RxnRows)(void *context, uint64_t first, uint64_t count, const double *samples,
                        const uint64_t *events);

typedef struct RxnRunOptions {
    uint64_t trajectories, first; /* 1000 from number 0: a run may be made in pieces */
    uint64_t seed;                /* 1 */
    uint32_t threads;             /* 0: one per processor */
    uint64_t step_limit;          /* of a trajectory */
    /* Of the master equation: states and multiplications, at most; 0: 2,000,000, and 1e13, which take some hours. */
    uint64_t state_limit;
    double work_limit;
    double until, every; /* NaN: the model's own */
    const double *at;    /* or times one by one, ascending */
    size_t at_count;
    bool statistics; /* mean and sd are wanted: true */
    /* Nothing is run: all is checked, and the result has its times. Values may be NULL: the times alone. */
    bool plan;
    RxnRows rows; /* or NULL */
    void *rows_context;
    uint64_t pilot;           /* trajectories that control variates are fitted to; 0: chosen */
    RxnProgressCall progress; /* or NULL */
    void *progress_context;
    const volatile int *cancel; /* or NULL; once it is not 0 the run ends soon */
    RxnStageCall stage;         /* or NULL */
    void *stage_context;
} RxnRunOptions;

RXN_PUBLIC RxnRunOptions rxn_run_options(void);

/* What can be said of options without the model, but of the method: for programs that read them before it. run: NULL, where
 * there are none. */
RXN_PUBLIC RxnStatus rxn_simulator_check(const RxnSimulatorOptions *options,
                                         const RxnRunOptions *run, RxnError **ret_error);

/* Means and standard deviations (n - 1; 0 for one trajectory) of an ensemble. */
typedef struct RxnRun {
    uint64_t trajectories, events;
    uint32_t threads;
    size_t time_count, columns;
    const double *times;     /* [time_count] */
    const double *mean, *sd; /* [time_count][columns]; NULL without statistics */
    double seconds;
    /* With control variates, else 0: standard errors of the means, the trajectories of the pilot, and by how much variances
     * of means are smaller than without. */
    const double *se; /* [time_count][columns] */
    uint64_t pilot;
    double least_gain, most_gain;
    /* Of the master equation, else false and 0: the probability that is not accounted for, at most; the size of what was
     * solved. There are no trajectories then. */
    bool exact;
    double lost;
    uint64_t states, transitions, products;
    void *own;
} RxnRun;

/* *ret_run is to be freed by rxn_run_release if the status is RXN_OK, or RXN_CANCELLED: then it holds the trajectories
 * before. */
RXN_PUBLIC RxnStatus rxn_run(RxnSimulator *simulator, const RxnValues *values,
                             const RxnRunOptions *options, RxnRun *ret_run, RxnError **ret_error);
RXN_PUBLIC void rxn_run_release(RxnRun *run);

/* ---- derivatives ------------------------------------------------------------------------------- */

/* The estimators that there are: number k from 0 on, with a few words on it. False behind the last. */
RXN_PUBLIC bool rxn_estimator(size_t k, const char **ret_name, const char **ret_summary);

typedef struct RxnDifferentiator RxnDifferentiator;

typedef struct RxnDifferentiatorOptions {
    const char *const
        *of; /* what to differentiate, as --of takes it: "A", "var(A)", "cov(A, B)"… */
    size_t of_count;
    const double *at; /* when, ascending */
    size_t at_count;
    const char *const *wrt; /* by which parameters; none: those marked `fit`, else all */
    size_t wrt_count;
    /* "auto"; a name; several with commas between, or "all" of those that can do it: they are compared. */
    const char *estimator;
    uint64_t draws, bins, degree, pilot; /* see `rxn grad --help`; the last three 0: chosen */
    double tau, difference;
    uint64_t tape_memory; /* bytes for all tapes; 0: a quarter of what the machine has */
    /* Its method is not looked at. trajectories: the most that will run, by which tapes are given their size; if more run, or
     * on more threads than at first, then so many threads at a time as there is tape_memory for. */
    RxnSimulatorOptions kernel;
    /* Nothing is compiled before the first evaluation needs it. So it is in any case with several estimators, of which one
     * may fail while the others go on. */
    bool later;
    const char *form; /* how a kernel is written: "unrolled", "table", "dense"; NULL: chosen */
    /* As RxnSimulatorOptions.like (that of `kernel` is not looked at); held until it is needed, so that with `later` too it may
     * be freed. */
    const RxnDifferentiator *like;
} RxnDifferentiatorOptions;

RXN_PUBLIC RxnDifferentiatorOptions rxn_differentiator_options(void);

/* What can be said of options without the model's text, all but the kernel's: for programs that read them before the model.
 * model: NULL, but of a program that rxn built. */
RXN_PUBLIC RxnStatus rxn_differentiator_check(const RxnModel *model,
                                              const RxnDifferentiatorOptions *options,
                                              RxnError **ret_error);

/* values: where derivatives will be looked at first: `auto` chooses by them. */
RXN_PUBLIC RxnStatus rxn_differentiator_new(RxnModel *model,
                                            const RxnDifferentiatorOptions *options,
                                            const RxnValues *values,
                                            RxnDifferentiator **ret_differentiator,
                                            RxnError **ret_error);
RXN_PUBLIC void rxn_differentiator_free(RxnDifferentiator *differentiator);

typedef struct RxnDifferentiatorInfo {
    /* Of several estimators the first; why it was taken and remarks may be NULL. What is found out by compiling (remarks,
     * unbiased, seconds) is there once that is done. */
    const char *estimator, *why, *remarks;
    bool unbiased, exact;
    size_t output_count, parameter_count;
    const char *const *outputs;    /* [output_count] "var(A) at 10" */
    const char *const *parameters; /* [parameter_count] */
    double seconds_compile;
    const char *const *expressions; /* [output_count] "var(A)" */
    const double *times;            /* [output_count]; NaN: the expression has its own */
    const size_t *members;          /* [parameter_count]: among RXN_PARAMETERS */
    const char *device, *precision;
    bool reused; /* all code that was needed so far is that of `like` */
} RxnDifferentiatorInfo;

RXN_PUBLIC RxnDifferentiatorInfo rxn_differentiator_info(const RxnDifferentiator *differentiator);

/* What an estimator saw on its way, as "largest |lambda|" or the share of steps in which a softmax was saturated. */
typedef struct RxnFigure {
    const char *name;
    double value;
    bool is_alarm; /* 0 says that nothing is wrong, and is not worth telling */
} RxnFigure;

/* What one estimator found. Arrays are [output_count] or [output_count][parameter_count]. */
typedef struct RxnEstimate {
    const char *estimator;
    const char *failure;               /* why it could not end, and the rest is 0; NULL: it did */
    const char *remarks;               /* or NULL */
    bool unbiased, exact;              /* exact: from the master equation, without trajectories */
    uint64_t trajectories;             /* the n of standard errors */
    bool by_parameter;                 /* so many for each parameter */
    uint64_t pilot;                    /* that ran before, to fit a control variate */
    uint64_t trajectories_run, events; /* in all */
    double seconds, seconds_compile;   /* the first without the second */
    const double *value, *value_se;
    const double *plain_value, *plain_value_se; /* without the control variate; NULL: it has none */
    const double *gradient, *se, *sd;           /* sd: of a single trajectory's */
    const double *value_error, *gradient_error; /* bounds, of the exact one, else NULL */
    /* Where the estimator it is compared with is among those that ran, else NULL: how far it is from `exact`, in standard
     * errors; its variance times its time, in units of what `score` needs. */
    const double *bias, *work;
    size_t figure_count;
    const RxnFigure *figures;
} RxnEstimate;

typedef struct RxnDerivatives {
    /* Of the first estimator that did not fail. */
    uint64_t trajectories, events;
    size_t output_count, parameter_count;
    const double *value, *value_se; /* [output_count] */
    const double *gradient, *se;    /* [output_count][parameter_count] */
    double seconds;                 /* of the call */
    /* One by one: those that ended first, then those that failed. */
    size_t estimate_count, failure_count;
    const RxnEstimate *estimates; /* [estimate_count + failure_count] */
    /* Where a number is not to be trusted without a second look: large errors, bias, sentences. */
    size_t warning_count;
    const char *const *warnings;
} RxnDerivatives;

/* options: trajectories, seed, threads, step_limit, state_limit, work_limit, progress, stage, cancel; the others are not looked
 * at. The arrays live until the next call or the end of the differentiator. Of several estimators some may fail, of which the
 * model's `tell` is told at once; RXN_ERROR_INPUT if all do, and their failures are in *ret_derivatives then. */
RXN_PUBLIC RxnStatus rxn_differentiate(RxnDifferentiator *differentiator, const RxnValues *values,
                                       const RxnRunOptions *options,
                                       RxnDerivatives *ret_derivatives, RxnError **ret_error);

/* ---- stages of a compilation ------------------------------------------------------------------- */

/* Of which kernel, and for which machine, which need not be this one. */
typedef struct RxnEmitOptions {
    RxnSimulatorOptions
        kernel; /* its method, precision and lanes; not editable, no control_variates */
    /* NULL: the kernel that simulates. Else one that differentiates: that of the first estimator that can do it. Its `kernel`
     * is not looked at; tape_memory: of one trajectory, 0: 16 MiB. */
    const RxnDifferentiatorOptions *gradient;
    const char *march; /* "x86-64-v3" and the like, of a list the first; NULL: "native" */
    const char *gpu;   /* of RXN_FORM_PTX and RXN_FORM_CUBIN: "sm_90", likewise; NULL: "sm_80" */
} RxnEmitOptions;

RXN_PUBLIC RxnEmitOptions rxn_emit_options(void);

/* What `rxn build --emit` writes: RXN_FORM_NETWORK, RXN_FORM_KERNEL and the forms behind it. *ret_bytes has *ret_size bytes and a
 * NUL behind them, and is freed by rxn_text_free. */
RXN_PUBLIC RxnStatus rxn_model_emit(RxnModel *model, RxnForm form, const RxnEmitOptions *options,
                                    char **ret_bytes, size_t *ret_size, RxnError **ret_error);

/* Processors that `march` may name: number k from 0 on; NULL behind the last. */
RXN_PUBLIC const char *rxn_march(size_t k);

/* A stage of it, in order: `name` is that of a file, "03-network-share.txt". Returns false to end it. */
typedef bool (*RxnTraceStage)(void *context, const char *name, const char *text, size_t length);

typedef struct RxnTraceOptions {
    RxnSimulatorOptions kernel; /* its method, precision and lanes */
    const RxnDifferentiatorOptions
        *gradient; /* as RxnEmitOptions has it, of "auto" or one estimator that has a kernel */
    bool verify; /* each text that has a reader is read, and has to be printed as the same bytes */
    RxnTraceStage stage;
    void *stage_context;
} RxnTraceOptions;

RXN_PUBLIC RxnTraceOptions rxn_trace_options(void);

/* Every stage that changes something, as `rxn trace` writes them: the tree, the network, the kernel, what targets make of it. The
 * path is one as for rxn_model_open; a model with mistakes has the stages before them. *ret_name: what the model calls itself,
 * for rxn_text_free; NULL: nothing. */
RXN_PUBLIC RxnStatus rxn_trace(const char *path, const RxnModelOptions *model_options,
                               const RxnTraceOptions *options, char **ret_name,
                               RxnError **ret_error);

/* ---- programs and libraries -------------------------------------------------------------------- */

typedef enum RxnBuildKind {
    RXN_BUILD_PROGRAM, /* one file that runs where neither rxn nor LLVM nor the model's file is */
    RXN_BUILD_LIBRARY, /* FOLDER/NAME.h, FOLDER/libNAME.a and FOLDER/libNAME.so, for the path FOLDER/NAME */
} RxnBuildKind;

/* What is compiled into it; `rxn build --help` says more. */
typedef struct RxnBuildOptions {
    RxnBuildKind kind;
    RxnSimulatorOptions kernel; /* its method, lanes and precision, which is that of derivatives */
    /* What the program differentiates without being told, or NULL. Its `kernel` and tape_memory are not looked at. */
    const RxnDifferentiatorOptions *gradient;
    const char *
        march; /* for which processors, the best first: "x86-64-v3,x86-64-v2"; NULL: what is usual */
    const char *gpus; /* for which GPUs, by NVRTC: "sm_80,sm_90"; NULL: none. Not of libraries */
    uint64_t tape_memory, gpu_tape_memory; /* of one trajectory, in bytes; 0: 16 MiB and 64 KiB */
    bool link_statically;                  /* with the C library in it too */
    const char
        *parts; /* the file librxn_model.a, which is installed with rxn; NULL: it is looked for */
} RxnBuildOptions;

RXN_PUBLIC RxnBuildOptions rxn_build_options(void);

/* What can be said of options without the model, and whether there is an NVRTC for `gpus`. */
RXN_PUBLIC RxnStatus rxn_build_check(const RxnBuildOptions *options, RxnError **ret_error);

typedef struct RxnBuilt {
    size_t kernels, gpu_kernels;
    uint64_t bytes; /* of all files */
} RxnBuilt;

/* Writes a program or a library. The system's C compiler links it ($CC, else cc; libraries take objcopy and ar too), in a
 * folder in $TMPDIR, else /tmp, that is gone afterwards; a file gets its name when it is whole, so that an error leaves what was
 * there. No file of the model is overwritten. RXN_ERROR_USAGE: by the options; RXN_ERROR_INPUT: the model, a path, or the C
 * compiler. ret_built may be NULL. */
RXN_PUBLIC RxnStatus rxn_model_build(RxnModel *model, const RxnBuildOptions *options,
                                     const char *path, RxnBuilt *ret_built, RxnError **ret_error);

/* ---- fits -------------------------------------------------------------------------------------- */

/* One evaluation of loss and gradient. */
typedef struct RxnFitStep {
    uint64_t step, steps; /* 0 … in its fit */
    double loss, loss_se, gradient_norm, gradient_noise, seconds;
    uint64_t trajectories;
    /* Of multi-start: the short fits are made from points 0 …; the fit that goes on (`main`) from the best of them. */
    uint64_t start, starts;
    bool main;
    double rate, validation; /* NaN: was not asked for */
    uint64_t events;         /* in all until then */
} RxnFitStep;

typedef struct RxnFit RxnFit;

typedef struct RxnFitOptions {
    const char *data;      /* a table instead of the block's; NULL: the block's */
    const char *estimator; /* NULL: the block's, as all that follows */
    const char *optimizer, *schedule;
    double rate;           /* NaN: the block's */
    uint64_t starts;       /* of multi-start; 0: the block's */
    uint64_t steps;        /* UINT64_MAX: the block's */
    uint64_t trajectories; /* of a step and experiment; 0: the block's */
    uint64_t seed;         /* UINT64_MAX: the block's */
    uint32_t threads;
    const char *checkpoint; /* a file that keeps the state; NULL: none */
    const char *resume;     /* a checkpoint to go on from; NULL: from the start */
    uint64_t tape_memory;
    RxnSimulatorOptions kernel; /* its method and trajectories are not looked at */
    void (*step)(void *context, const RxnFitStep *step); /* or NULL */
    void *step_context;
    const volatile int *cancel;
    RxnStageCall stage; /* or NULL; of training the last ends with the fit's object */
    void *stage_context;
    uint64_t checkpoint_steps; /* from one to the next; 0: one a minute */
    uint64_t step_limit;       /* of a trajectory */
    bool later;                /* nothing is compiled yet: rxn_fit_compile does it, or training */
    bool no_advice;            /* what could be done better is not told */
    const RxnFit *like;        /* as RxnDifferentiatorOptions.like */
} RxnFitOptions;

RXN_PUBLIC RxnFitOptions rxn_fit_options(void);

/* As rxn_differentiator_check. */
RXN_PUBLIC RxnStatus rxn_fit_check(const RxnModel *model, const RxnFitOptions *options,
                                   RxnError **ret_error);

/* values: to start from. Compiles what is needed. */
RXN_PUBLIC RxnStatus rxn_fit_new(RxnModel *model, const RxnFitOptions *options,
                                 const RxnValues *values, RxnFit **ret_fit, RxnError **ret_error);
RXN_PUBLIC void rxn_fit_free(RxnFit *fit);

/* Looks whether the checkpoint may be written, and compiles. Where it was done before, nothing. */
RXN_PUBLIC RxnStatus rxn_fit_compile(RxnFit *fit, RxnError **ret_error);

/* How it is done: by the block and the options, and what was chosen. */
typedef struct RxnFitInfo {
    size_t parameter_count;
    const char *const *labels; /* [parameter_count] */
    const size_t *members;     /* [parameter_count]: among RXN_PARAMETERS */
    const double *start;       /* [parameter_count] */
    /* Of the first experiment; why it was taken: NULL, it was asked for. unbiased: once it is compiled. */
    const char *estimator, *why_estimator;
    bool unbiased;
    const char *optimizer, *why_optimizer, *schedule;
    const char *noise; /* "common", "fresh" or "none" */
    bool noiseless;    /* by the master equation: nothing is simulated */
    bool has_samples;  /* trajectories are counted for each sample of the data */
    uint64_t steps, starts, seed;
    uint64_t resumed; /* evaluations that the checkpoint has, all fits of multi-start together */
    /* Files that it has read so far, data and a checkpoint; rxn_fit_save does not overwrite them. */
    const char *const *files; /* [file_count] */
    size_t file_count;
    bool reused; /* once it is compiled: all code is that of `like` */
} RxnFitInfo;

RXN_PUBLIC RxnFitInfo rxn_fit_info(const RxnFit *fit);

typedef enum RxnFitEnding {
    RXN_FIT_RUNNING,
    RXN_FIT_STEPS,       /* all steps are done */
    RXN_FIT_CONVERGED,   /* says the optimizer */
    RXN_FIT_TOLERANCE,   /* the loss no longer improves */
    RXN_FIT_PATIENCE,    /* no better validation, or loss, for as long as that was given */
    RXN_FIT_INTERRUPTED, /* from here on: the result is the last good point */
    RXN_FIT_NOT_FINITE,  /* loss or gradient */
    RXN_FIT_FAULT,       /* a trajectory could not go on */
    RXN_FIT_NOT_SAVED,   /* a checkpoint could not be written */
} RxnFitEnding;

/* Data, and the model at the result. Arrays are [count]; NaN where something is not known. */
typedef struct RxnFitSeries {
    const char *experiment;   /* "" where there is one alone */
    const char *model, *data; /* what is compared, as the block has it */
    const char *axis;         /* what x is, or NULL */
    const double *x, *measured, *measured_sd, *modelled, *modelled_se;
    size_t count;
    double r2;
    bool aside; /* compared, but not shown by `rxn fit`: a column beside others */
} RxnFitSeries;

/* A `measure` of the block at the result. */
typedef struct RxnFitMeasure {
    const char *experiment, *name; /* "" where there is one alone */
    double value, se;
} RxnFitMeasure;

typedef struct RxnFitted {
    size_t parameter_count;
    const char *const *labels; /* [parameter_count] */
    const double *value, *se;  /* [parameter_count]; se: NaN where it is not known */
    double loss, loss_se;
    uint64_t steps;
    const char *ending; /* why it ended, a sentence */
    RxnFitEnding ended;
    bool complete; /* it came to its end */
    /* [parameter_count], NaN where it is not known: standard errors that stem from the data, how well these are known, and those
     * from simulated trajectories (`se` has both); the gradient at the result; how far the minimum is. */
    const double *se_data, *se_data_error, *se_simulation;
    const double *gradient, *gradient_se;
    const double *to_minimum, *to_minimum_se;
    const bool *identifiable; /* [parameter_count]: it has an influence on the loss */
    bool
        examined; /* the loss is the result's, by trajectories of its own; else that of the last step */
    double validation;             /* the last one; NaN: there is none */
    uint64_t averaged;             /* evaluations that the result is the mean of; 0: it is of one */
    bool by_validation;            /* it is the point with the best validation */
    uint64_t best_start;           /* of multi-start */
    uint64_t trajectories, events; /* in all */
    double seconds;                /* of all sessions together */
    size_t step_count, series_count, measure_count;
    const RxnFitStep *history; /* [step_count]: those of short fits too */
    const RxnFitSeries *series;
    const RxnFitMeasure *measures;
} RxnFitted;

/* To its end, then looks at the result. After RXN_CANCELLED, and after an error at a step, *ret_fitted is the last good
 * point. It lives as long as the fit. */
RXN_PUBLIC RxnStatus rxn_fit_train(RxnFit *fit, RxnFitted *ret_fitted, RxnError **ret_error);

/* What it found, for rxn_run; and as the JSON of `rxn fit -o`. */
RXN_PUBLIC RxnStatus rxn_fit_values(const RxnFit *fit, RxnValues **ret_values,
                                    RxnError **ret_error);
RXN_PUBLIC RxnStatus rxn_fit_save(RxnFit *fit, const char *path, RxnError **ret_error);

/* The same JSON, and loss and gradient of each step as the CSV of `rxn fit --history`, as texts for rxn_text_free. */
RXN_PUBLIC RxnStatus rxn_fit_json(RxnFit *fit, char **ret_text, RxnError **ret_error);
RXN_PUBLIC RxnStatus rxn_fit_history(RxnFit *fit, char **ret_text, RxnError **ret_error);

#ifdef __cplusplus
}
#endif

#endif
