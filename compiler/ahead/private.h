/* private.h: what the files of this room share. The room makes of a model what is for elsewhere: programs, libraries with their
 * header, single stages of the way. (Its name is that of target/ahead.h, whose targets keep the kernels that are compiled here.)
 * What others may call is in runtime/rxn.h, "programs and libraries" and "stages of a compilation": the room stands on the
 * engine as the engine's own api_….c do, and is apart from it because a program that was built can run everything but this.
 *
 * emit.c, trace.c and build.c go the ways of the calls; the others are their steps.
 */
#ifndef RXN_AHEAD_PRIVATE_H
#define RXN_AHEAD_PRIVATE_H

#include "compiler/engine/api.h"
#include "compiler/engine/fit.h"
#include "compiler/target/ahead.h"
#include "runtime/whole_file.h"

/* What both calls are told of kernels, checked. */
typedef struct Job {
    Engine *engine;
    u32 file; /* the model's, in the session's sources */
    const char *method;
    KirType precision; /* of derivatives, and of a single stage */
    u32 lanes;
    GradOptions gradient; /* of.count 0: nothing is differentiated */
    Ahead ahead;
} Job;

/* options.c: all that can be said without the model and without NVRTC, with all that is wrong with it. The kernel's method,
 * precision and lanes are looked at; gradient: or NULL; march: with commas between. The engine is one that compiles ahead
 * from then on. */
RxnStatus rxn__job_options(Job *job, Engine *engine, const RxnSimulatorOptions *kernel,
                           const RxnDifferentiatorOptions *gradient, const char *march);

/* A request for the job's kernels that are not compiled for this process. */
PipelineRequest rxn__job_request(const Job *job, const char *device, KirType precision);

/* The same with what is to be differentiated. */
Grad rxn__job_grad(const Job *job, const char *device, KirType precision);

/* Bytes of one trajectory's tape, on the processor and on GPUs; 0: what is usual. */
void rxn__job_tapes(Job *job, u64 bytes, u64 gpu_bytes);

/* gpus.c: opens NVRTC; advice: a note on what can be done without. Then for which GPUs there will be code: "sm_80,sm_90"; NULL:
 * the usual one. */
RxnStatus rxn__job_open_nvrtc(Job *job, const char *advice);
RxnStatus rxn__job_architectures(Job *job, const char *list);

/* header.c: the header of a library. */
typedef struct Header {
    Text text;
    const char *prefix; /* of all its names: the model's */
} Header;

/* grad: for the way to the network with what is differentiated, to be closed by who called. */
RxnStatus rxn__header_write(Job *job, RxnModel *model, Grad *grad, Header *ret_header);

/* The text with the prefix in the place of each @. */
void rxn__write_prefixed(Text *out, const char *text, const char *prefix);

/* ---- programs and libraries -------------------------------------------------------------------- */

/* link.c: the system's C compiler at work, on files in a folder that is thrown away. */
typedef struct Link {
    Engine *engine;
    const char *parts; /* librxn_model.a */
    const char *folder, *log;
    VEC(const char *) files;  /* in the folder */
    VEC(const char *) inputs; /* those that are linked */
    VEC(char *) arguments;    /* of the command that is to be run */
    bool compiles;            /* which is the C compiler */
} Link;

typedef struct Build {
    ApiPart part;
    Job job;
    const RxnBuildOptions *options;
    const char *path;   /* to be written, or of a library what its files' names are made of */
    const char *device; /* whose kernels are collected: "cpu", "cuda" */
    RxnBuilt built;
    /* What is put away in the end, whatever happens: */
    Pipeline pipeline;
    Grad grad;
    FitRun fit;
    Link link;
    RxnWholeFile outputs[3];
} Build;

/* kernels.c: collects those of `run`, of `grad` for the objective that was given, and of the fit block. */
RxnStatus rxn__build_kernels(Build *build);

/* source.c: model, kernels and wishes as C. */
void rxn__build_source(const Build *build, Text *out);

/* library.c: a static and a shared library with their header. */
RxnStatus rxn__build_library(Build *build);

/* build.c: begins to write one of the outputs, which has to be a plain file and none that is read. False after an error. */
bool rxn__build_open(Build *build, RxnWholeFile *output, const char *path);
bool rxn__build_commit(Build *build, RxnWholeFile *output);

/* link.c: finds librxn_model.a (or takes the one that is named), and makes the folder, with this source, which becomes program.c,
 * and the kernels in it; false after an error. To be ended whatever it returns. */
bool rxn__link_begin(Link *link, const char *parts, const Ahead *ahead, const Text *source);
void rxn__link_end(Link *link);

/* One file more, which is not linked: its path; NULL after an error. */
const char *rxn__link_place(Link *link, const char *name, const char *bytes, size_t size);

/* A new command: of these words, or that of the C compiler; then what is behind it: words with spaces between, one argument, all
 * inputs with librxn_model.a, the system's libraries. */
void rxn__link_command(Link *link, const char *words);
void rxn__link_compiler(Link *link);
void rxn__link_arguments(Link *link, const char *words);
void rxn__link_argument(Link *link, const char *text);
void rxn__link_everything(Link *link);
void rxn__link_libraries(Link *link);

/* False after an error, which shows what the command said. */
bool rxn__link_run(Link *link);

#endif
