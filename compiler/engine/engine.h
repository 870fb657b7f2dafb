/* engine.h: what answers a request: from a model's text and numbers to results, and to messages where there are none. No
 * file of this folder knows a command line, a terminal or a file of results; the program (compiler/driver) and the library
 * (runtime/rxn.h) stand on it alike.
 *
 * All that goes wrong is put into the session's diagnostics; whoever holds the engine shows them.
 */
#ifndef RXN_ENGINE_ENGINE_H
#define RXN_ENGINE_ENGINE_H

#include <stdio.h>

#include "compiler/base/base.h"
#include "compiler/base/lists.h"
#include "compiler/pipeline.h"
#include "runtime/cuda.h"
#include "runtime/ensemble.h"

/* Who looks on while something long runs, and may end it. What is not wanted is NULL. */
typedef struct Watch {
    /* Before it; counted: trajectories, else steps that mean nothing to a person. quiet: nobody wants to see how far it
     * is. Returns what ends it once it is not 0; or NULL. */
    const volatile int *(*begin)(void *context, bool counted, bool quiet);
    RxnProgressCall progress; /* about ten times a second, but not after a quiet begin */
    void (*end)(void *context);
    /* There are messages that are good to know before the work that takes long: shows them, and empties the
     * diagnostics. */
    void (*tell)(void *context);
    void *context;
} Watch;

typedef struct Engine {
    Session session;
    SourceLoader loader;
    Watch watch;
    const char *internal_error; /* of RXN_ERROR_INTERNAL: the stage and what is broken */
    const struct RxnProgram
        *built;    /* a model and its kernels, which are all that it has; NULL: it can compile */
    RxnCuda *cuda; /* the GPUs of this run, or NULL */
    const char *cuda_cache; /* where their kernels are kept, or NULL */
    bool is_out_of_memory;  /* that is what the errors are about */
    bool is_ahead;          /* kernels are made for a program, and nothing is run */
    bool is_library;        /* of one model: who calls ends a run, not Ctrl-C */
    TextList read;          /* files of values and data: rxn__engine_reads */
    /* Of one trajectory, on the processor and on GPUs, where kernels are or were made ahead; 0: by the memory there is. */
    u64 tape_bytes, cuda_tape_bytes;
} Engine;

/* ---- engine.c ---------------------------------------------------------------------------------- */

/* A session, and the files of this machine to load models from. memory_limit: bytes; 0: none. To be closed whatever the
 * status. */
RxnStatus rxn__engine_open(Engine *engine, size_t memory_limit);

/* As rxn__session_open_within. */
RxnStatus rxn__engine_open_within(Engine *engine, Engine *outer);
void rxn__engine_close(Engine *engine);

/* An error or a note about no place in a file. */
void rxn__engine_error(Engine *engine, const char *format, ...) RXN_PRINTF(2, 3);
void rxn__engine_note(Engine *engine, const char *format, ...) RXN_PRINTF(2, 3);

/* Has the messages that there are shown, if there is who shows them. */
void rxn__engine_tell(Engine *engine);

/* What a computation that is watched is given. Each begin has its end. */
typedef struct Watched {
    const volatile int *cancel;
    RxnProgressCall progress;
    void *progress_context;
} Watched;

Watched rxn__watch_begin(Engine *engine, bool counted, bool quiet);
void rxn__watch_end(Engine *engine);

/* ---- files.c ----------------------------------------------------------------------------------- */

void rxn__files_init(Engine *engine);

/* As SourceLoader.load, of the files of this machine; no context. */
bool rxn__load_used(void *context, const char *from, const char *path, Arena *arena,
                    const char **ret_resolved, const char **ret_text, size_t *ret_length,
                    const char **ret_reason);

/* Reads a file whole ("-": standard input) into the arena, NUL-terminated. NULL, with the reason. */
char *rxn__read_file(const char *path, Arena *arena, size_t *ret_length, const char **ret_reason);

/* embedded.c: the model and its modules come from the program, its kernels too. */
void rxn__embedded_init(Engine *engine, const struct RxnProgram *built);

/* embedded.c: warns where a program has no code for the pipeline's kernel, which is then interpreted, and says how to
 * build one that has it: `wish` are the options, as text; NULL: none would help. */
void rxn__warn_interpreted(Engine *engine, const Pipeline *pipeline, const char *wish);

/* Adds the model named on the command line to the sources; NULL: that of the program. It is a file, "-", or the name of a model that
 * `use` could name. A BioNetGen network is added twice: as it is, and as the model that it is imported as, whose
 * number is given. False after an error. */
bool rxn__load_model(Engine *engine, const char *path, u32 *ret_file);

/* Whether a file of the sources was made by importing the one before it. */
bool rxn__is_imported(const Engine *engine, u32 file);

/* That the request reads this file ("-": standard input), so that no result is written over it. Models are known without. */
void rxn__engine_reads(Engine *engine, const char *path);

/* Whether writing to this path would overwrite a file that `reader` reads; that is told to `told`. */
bool rxn__overwrites_input(const Engine *reader, Engine *told, const char *path);

/* ---- bind.c ------------------------------------------------------------------------------------ */

typedef struct ModelValues {
    double *params;           /* [network->param_count + 1] */
    double *inputs;           /* [network->input_count + 1] */
    const bool *params_given; /* [network->param_count + 1]: by the request, not by the model */
} ModelValues;

/* Values that are given one by one, before a run. What is not given is the model's, or NaN. (Copied, they are without the
 * numbers that the network leaves open: these are the text's.) */
typedef struct GivenValues {
    double *params, *inputs;
    bool *param_given, *input_given;
} GivenValues;

GivenValues rxn__given_new(const Network *network, Arena *arena);
void rxn__given_copy(const Network *network, const GivenValues *from, GivenValues *to);

/* One of them, or all members of an array; members by number; a file of params or of inputs. False after an error, which
 * leaves them as they were, but for what stands in a file before it. */
bool rxn__given_set(Engine *engine, Network *network, Arena *scratch, GivenValues *given,
                    const char *name, double value);
bool rxn__given_put(Engine *engine, Network *network, Arena *scratch, GivenValues *given,
                    bool are_inputs, u32 first, u32 count, const double *numbers);
bool rxn__given_params(Engine *engine, Network *network, Arena *scratch, GivenValues *given,
                       const char *path);
bool rxn__given_inputs(Engine *engine, Network *network, Arena *scratch, GivenValues *given,
                       const char *path);

/* What follows from them. seed: of those that are drawn; NULL: they are NaN. */
void rxn__given_complete(Network *network, Arena *scratch, GivenValues *given, const u64 *seed);

typedef struct BindRequest {
    const GivenValues *given; /* or NULL */
    u64 seed;                 /* of what is drawn */
    /* Of an experiment, which override the former: */
    const FitSetting *settings;
    u32 setting_count;
    const FitSample *samples; /* inputs that every trajectory has its own value of */
    u32 sample_count;
} BindRequest;

/* Values for all params and inputs, in the pipeline's arena. False after errors. */
bool rxn__bind(Engine *engine, Pipeline *pipeline, const BindRequest *request,
               ModelValues *ret_values);

/* The flat params that "k", "W" or "W[3,1]" names: first and how many. False after an error. */
bool rxn__param_reference(Engine *engine, Pipeline *pipeline, const char *text, size_t length,
                          u32 *ret_first, u32 *ret_count);

/* What is said of a value that is none of its parameter's. */
void rxn__bounds_text(Text *out, const char *name, double value, double low, double high);

/* Those that the model itself gives; NaN where it gives none. */
void rxn__bind_own(Engine *engine, Pipeline *pipeline, ModelValues *ret_values);

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
bool rxn__sample_times(Engine *engine, Pipeline *pipeline, const TimesRequest *request,
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
void rxn__report_fault(Engine *engine, const FaultContext *context);

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
RxnStatus rxn__describe_kernel(Engine *engine, Pipeline *pipeline, RxnKernel *ret_kernel);

/* launch.c: the kernel that a pipeline has, kept aside while it gets another, so that both can be run by turns. */
typedef struct KeptKernel {
    MethodKernel kernel;
    GradientKernel gradient;
    CompiledKernel compiled;
    const KirKernel *interpreted;
} KeptKernel;

KeptKernel rxn__kernel_keep(const Pipeline *pipeline);
void rxn__kernel_put(Pipeline *pipeline, const KeptKernel *kept);

/* ---- summary.c --------------------------------------------------------------------------------- */

/* What `rxn check` prints of a pipeline with a kernel; what is not known of the values is NaN. */
void rxn__summary(Pipeline *pipeline, const ModelValues *values, Text *out);

/* contents.c: what `info` prints of a program that rxn built, whose engine this is, from its network. */
void rxn__contents(const Engine *engine, const Pipeline *pipeline, const ModelValues *values,
                   Text *out);

/* ---- launch.c: what all commands that run an ensemble share ------------------------------------ */

/* How an ensemble is run, and on what. */
typedef struct EnsembleOptions {
    u64 trajectories, seed, threads, lanes, step_limit;
    const char *device, *precision, *cache;
    bool quiet;
    bool counted;             /* -n was given */
    bool chose_device;        /* --device was given */
    const GivenValues *given; /* or NULL */
    const char *device_wish;  /* as it was given; `device` is "cpu", "cuda" or "interpreter" */
} EnsembleOptions;

/* What holds where nothing is said. */
EnsembleOptions rxn__ensemble_defaults(void);

/* Once they are read: puts numbers and a device in the place of what was left open; reports what is out of range. */
bool rxn__check_ensemble(Engine *engine, EnsembleOptions *options);

/* Values that several commands take; report what is wrong with them. lanes: 0 is the target's choice. */
bool rxn__check_precision(Engine *engine, const char *precision);
bool rxn__check_lanes(Engine *engine, u64 lanes);

/* gpu.c: whether --device is one that there is; sets device_wish. False after an error. */
bool rxn__check_device(Engine *engine, EnsembleOptions *options);

/* gpu.c: opens the GPUs that are wanted, or settles what `auto` is. They go on opening behind, so it is best done
 * early. */
RxnStatus rxn__device_open(Engine *engine, EnsembleOptions *options);

/* gpu.c: the pipeline's kernel on the GPUs, until the pipeline is closed. */
RxnStatus rxn__load_on_gpus(Engine *engine, Pipeline *pipeline, RxnCudaProgram **ret_program);

/* gpu.c: of the smallest of the GPUs; and trajectories in flight on one of them, about. */
u64 rxn__gpu_memory(const Engine *engine, u64 *ret_workers);

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
RxnStatus rxn__launch_outcome(Engine *engine, const Launch *launch, RxnOutcome outcome,
                              const RxnEnsembleResult *result, u64 trajectories);

#endif
