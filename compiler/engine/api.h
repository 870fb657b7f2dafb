/* api.h: what the files behind runtime/rxn.h share.
 *
 * A model keeps its text and those of the files that it uses, and its network. What is made of it (a simulator, a
 * differentiator, a fit, a text) is the same as if it were alone, to the last bit, and is freed whole. So it goes the way from
 * that text again, in a session of its own, unless the network is what it would get there: then it goes on from the network, in
 * a session within the model's, which has the model's memory. That is so for one part at a time, of those that take the model
 * as it is (without an objective, an experiment of a fit or open numbers), as long as nothing has been added to the network, as
 * some methods do. So it is at least the first simulator that saves this time and memory.
 *
 * Every public function has one way out: finish of api_error.c, which turns what the diagnostics hold into an error object, or
 * tells it where all went well.
 */
#ifndef RXN_ENGINE_API_H
#define RXN_ENGINE_API_H

#include "compiler/engine/engine.h"

/* A file that the model uses; texts are in the model's session. */
typedef struct ApiFile {
    struct ApiFile *next;
    const char *from, *path, *resolved, *text;
    size_t length;
} ApiFile;

struct RxnModel {
    Engine engine;
    RxnModelOptions options;
    u32 file;                /* its text's, in the session's sources */
    const char *path, *text; /* of that */
    size_t length;
    ApiFile *files;                 /* in the order in which they were read */
    bool is_open;                   /* all of it has been read: files are those that there are */
    TextList told;                  /* warnings that elaborating it gives */
    Pipeline pipeline;              /* to its network */
    u32 expr_count, variable_count; /* of the network, as it was read */
    bool is_lent;                   /* a part goes on from the network */
    bool has_untold; /* elaborating it gives warnings that are told by what is made of it */
    Arena label;     /* of the last rxn_model_label */
};

/* What was made of a model, without what it is. */
typedef struct ApiPart {
    RxnModel *model;
    Engine engine;
    u32 file;
    const Pipeline *front; /* the model's, for PipelineRequest.front; or NULL: from the text */
    /* Of the call that runs: */
    RxnProgressCall progress;
    void *progress_context;
    const volatile int *cancel;
    RxnStageCall stage;
    void *stage_context;
} ApiPart;

/* An engine for a model that is not read yet: its files come from where the options (or NULL) say. It is to be closed whatever
 * the status. */
RxnStatus rxn__model_begin(RxnModel *model, const RxnModelOptions *options);

/* Opens the session with the model's text in it; to be closed whatever the status. */
RxnStatus rxn__part_open(ApiPart *part, RxnModel *model);

/* The same for what takes the model as it is: with a front where the model's network can be had. */
RxnStatus rxn__part_open_at_network(ApiPart *part, RxnModel *model);

void rxn__part_close(ApiPart *part);

/* As rxn__api_finish. The warnings of the model's own elaboration are dropped: they have been told. */
RxnStatus rxn__part_finish(ApiPart *part, RxnStatus status, RxnError **ret_error);

/* While it is hushed nothing is told, and what there is to tell when that ends is dropped: the same has been told. */
void rxn__part_hush(ApiPart *part, bool hushed);

/* Who looks at the call that runs now. */
void rxn__part_watch(ApiPart *part, const RxnRunOptions *options);

/* As rxn__session_guard. Numbers are read and written with a point inside, whatever locale the thread has. */
RxnStatus rxn__api_guard(Engine *engine, RxnStatus (*body)(void *context), void *context);

/* ---- api_error.c ------------------------------------------------------------------------------- */

/* From the status and the messages of an engine to those of a call, once the guard is left. Without an error the messages are
 * told to the model's options->tell. The diagnostics are empty then. */
RxnStatus rxn__api_finish(Engine *engine, const RxnModelOptions *options, RxnStatus status,
                          RxnError **ret_error);

/* The same where there is no memory to say anything with. */
RxnStatus rxn__api_no_memory(RxnError **ret_error);

/* The messages so far, before work that takes long. */
void rxn__api_tell(Engine *engine, const RxnModelOptions *options);

/* A call about options alone: body checks them with an engine that has the program's model, if it is one, and no other. */
RxnStatus rxn__api_check(const RxnModel *model,
                         RxnStatus (*body)(Engine *engine, const void *options),
                         const void *options, RxnError **ret_error);

/* That an argument which a result is to go to (its name) is NULL: RXN_ERROR_USAGE. */
RxnStatus rxn__api_nowhere(const char *argument, RxnError **ret_error);

/* An error of who called; returns RXN_ERROR_USAGE. */
RxnStatus rxn__api_refuse(Engine *engine, const char *format, ...) RXN_PRINTF(2, 3);

/* ---- api_values.c ------------------------------------------------------------------------------ */

struct RxnValues {
    RxnModel *model;
    Memory memory;
    Arena arena;
    u64 seed;
    GivenValues given;
};

/* ---- api_run.c --------------------------------------------------------------------------------- */

/* The options of an ensemble that these are, with the device opened. False after errors; *ret_status: RXN_ERROR_USAGE… */
RxnStatus rxn__api_kernel_options(ApiPart *part, const RxnSimulatorOptions *options,
                                  EnsembleOptions *ret_options);

/* That a kernel which is shown or emitted has no options which only one that runs can have: RXN_ERROR_USAGE. */
RxnStatus rxn__api_check_shown(Engine *engine, const RxnSimulatorOptions *options);

/* Whether there are values, of this part's model. */
RxnStatus rxn__api_check_values(ApiPart *part, const RxnValues *values);

/* A number of bytes as --tape-memory has it. */
const char *rxn__api_bytes(Arena *arena, u64 bytes);

/* Checks what a run takes, into the options of an ensemble. */
RxnStatus rxn__api_run_options(ApiPart *part, const RxnRunOptions *options,
                               EnsembleOptions *ensemble);

/* api_gradient.c: what is differentiated and how, all but the kernel's, in the arena. */
struct GradOptions;
void rxn__api_grad_options(Arena *arena, const RxnDifferentiatorOptions *options,
                           struct GradOptions *ret_options);

/* A copy in malloc's memory, which rxn_text_free takes; NULL: out of memory. */
char *rxn__api_text(const char *text, size_t length);

#endif
