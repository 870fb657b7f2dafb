/* pipeline.h: the way of one model from its text to a kernel that can be run.
 *
 * A Session holds what outlives a model: memory, names, sources, diagnostics. A Pipeline is one model's
 * way through the stages; the REPL and the tests may run several in a session.
 */
#ifndef RXN_PIPELINE_H
#define RXN_PIPELINE_H

#include "compiler/ast/ast.h"
#include "compiler/base/base.h"
#include "compiler/method/gradient.h"
#include "compiler/method/method.h"
#include "compiler/network/network.h"
#include "compiler/sema/sema.h"
#include "compiler/target/target.h"

typedef struct Session {
    Memory *memory; /* its own, or that of the session which it is within */
    Memory own_memory;
    Arena arena;
    NameTable names;
    SourceMap sources;
    Diagnostics diagnostics;
    /* Of the devices "cpu" and "cuda", where they are not those of this build (frozen.h, ahead.h); and the
     * TargetOptions.context of both. */
    const Target *host, *gpu;
    void *target_context;
    const char
        *auto_method; /* what the method `auto` is in a program that was built with one; or NULL */
} Session;

/* limit: most bytes of memory; 0: no limit. RXN_ERROR_MEMORY if not even this can be had. */
RxnStatus rxn__session_open(Session *session, size_t limit);

/* One with the memory of another, which is closed after it, and the sources that that has now, to which neither adds: places
 * of the other's models are places here. Names and diagnostics are its own. */
RxnStatus rxn__session_open_within(Session *session, Session *outer);

void rxn__session_close(Session *session);

/* The targets of the devices "cpu" and "cuda"; NULL: there is none. */
const Target *rxn__session_host(const Session *session);
const Target *rxn__session_gpu(const Session *session);

/* Calls body(context); where memory runs out inside, returns RXN_ERROR_MEMORY. May be nested. */
RxnStatus rxn__session_guard(Session *session, RxnStatus (*body)(void *context), void *context);

/* How far a model is taken. */
typedef enum PipelineGoal {
    PIPELINE_NETWORK,   /* checked, all network passes */
    PIPELINE_KERNEL,    /* a method has written its kernel */
    PIPELINE_OPTIMIZED, /* all KIR passes */
    PIPELINE_COMPILED,  /* a function */
} PipelineGoal;

/* The forms of a stage that a trace may want. */
typedef enum PipelineForm { FORM_AST, FORM_NETWORK, FORM_KIR, FORM_TARGET } PipelineForm;

/* Instead of the target's own compile, which it may call. */
typedef RxnStatus (*PipelineCompile)(void *context, const Target *target, const KirKernel *kernel,
                                     const TargetOptions *options, Arena *arena,
                                     CompiledKernel *ret_kernel, const char **ret_error);

typedef struct PipelineRequest {
    /* Of a pipeline that was taken to its network by a request with the same objective, fit and open_numbers; nothing has
     * been added to the network since, and it outlives this pipeline, which goes on from there: file and loader are not
     * looked at, and a trace begins behind it. NULL: from the text. */
    const struct Pipeline *front;
    u32 file;                   /* the model's file, in the session's sources */
    const SourceLoader *loader; /* for `use` */
    PipelineGoal goal;
    const char *method; /* "auto" or a method's name */
    const char
        *device; /* "cpu", or "interpreter": the KIR as it stands, the oracle of all targets */
    KirType precision;
    TargetOptions target;
    u64 trajectories; /* that will run; 0: not known. A few need fewer lanes than the target's own choice, many get more */
    const ObjectiveRequest *objective; /* what to differentiate (sema.h); NULL: nothing */
    const FitRequest *fit; /* or for which experiment of its fit the model is meant; NULL: none */
    bool open_numbers;     /* as SemaInput has it */

    PipelineCompile compile; /* or NULL */
    void *compile_context;

    /* Or NULL: called with the text of every stage that changed something, in order: `stage` is
     * "ast", "network", "network-share", "kernel", "kernel-cse", "kernel-optimized"…; `suffix` the
     * ending of a file name for it ("txt", "kir", "ll", "s", "cu"). */
    void (*trace)(void *context, const char *stage, const char *suffix, PipelineForm form,
                  const char *text, size_t length);
    void *trace_context;
} PipelineRequest;

typedef struct Pipeline {
    Arena arena; /* all below lives in it, but tree and network where they are the front's */
    AstNode *ast;
    Network *network;
    const Method *method;
    const char *method_why; /* why this method, a sentence; NULL where the user chose it */
    MethodKernel kernel;
    GradientKernel gradient;      /* after rxn__pipeline_gradient; its kernel is the one above */
    CompiledKernel compiled;      /* of a target */
    const KirKernel *interpreted; /* or, for the device "interpreter", the kernel itself */
    const char *why_interpreted;  /* or where the target has no code for it; NULL otherwise */
    const char *internal_error;   /* of RXN_ERROR_INTERNAL: the stage and what is broken */
} Pipeline;

/* Runs the stages. RXN_ERROR_INPUT: the diagnostics say what is wrong. RXN_ERROR_USAGE: a method or a
 * device that there is not (diagnostics too). The pipeline is to be closed whatever the status. */
RxnStatus rxn__pipeline_run(Session *session, const PipelineRequest *request,
                            Pipeline *ret_pipeline);

/* From the network of a pipeline, which has an objective, to the kernel of one estimator, which applies to
 * it, as far as the request's goal says; it takes the place of the kernel that the pipeline has. May be
 * called again, for the next estimator. Statuses as above. */
RxnStatus rxn__pipeline_gradient(Session *session, const PipelineRequest *request,
                                 const Estimator *estimator, const GradientRequest *gradient,
                                 Pipeline *pipeline);

void rxn__pipeline_close(Pipeline *pipeline);

#endif
