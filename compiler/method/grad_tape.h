/* grad_tape.h: the exact path forward and then backward: what the adjoint estimators stand on.
 *
 * The whole trajectory is run in the finish region, by loops, so that all lanes of a target go forward and
 * then backward together. In a block of `capacity` steps each step leaves on the tape which reaction fired
 * (1 or 2 bytes) and when it began (f64). Backward, the state before each step comes from undoing the
 * stoichiometry; random numbers, where an estimator wants them, from the number of the step. A trajectory of
 * more than one block is run twice: first for the state at the start of each block (a checkpoint), then block
 * by block from the last to the first:
 *
 *     loop {
 *       keep the state at the start of the block
 *       for k in 0 .. capacity { a step of the direct method, with tape; leave at the end }
 *       if first time and not at the end:  checkpoint b = what was kept; b = b + 1
 *       else {
 *         once, at the end: the functionals, and the weights dF/datom        method: seed
 *         for k down to 0 { undo step k }                                    method: backward, assigned
 *         if b = 0: leave
 *         b = b - 1; the state = checkpoint b
 *       }
 *     }
 *
 * So memory is bounded by tape_bytes whatever the number of events: one block while it suffices; beyond,
 * the steps are computed twice. Checkpoints and blocks are balanced so that a small tape goes far: 1 MiB is
 * good for some 10^8 events, and twice that for four times as many (see rxn__tape_plan).
 *
 * Trajectories are bit for bit those of `rxn run`: the step is the same code with the same numbers.
 *
 * A method has one or more sets of adjoint variables. Set k belongs to functional k, or, by_output, to
 * output k: its weights are then those of the output.
 */
#ifndef RXN_METHOD_GRAD_TAPE_H
#define RXN_METHOD_GRAD_TAPE_H

#include "compiler/method/grad_record.h"
#include "compiler/method/gradient.h"
#include "compiler/method/ssa.h"

typedef struct Tape Tape;

/* One step of the path as the backward pass sees it. The counts (frame's locals) are those during the step. */
typedef struct TapeStep {
    KirValue code; /* u32: the flat reaction that fired at `end`; reaction_count: none */
    KirValue start,
        end;         /* f64: the state held from start to end; a reaction, if any, fired at end */
    KirValue number; /* u64: the step's number, as its block of random numbers has it */
} TapeStep;

/* What an estimator adds. Functions may be NULL but for backward. */
typedef struct TapeMethod {
    void *context;
    bool tables; /* over the table form of the direct method; else the unrolled one */
    const GradientRequest
        *direct; /* a request by the parameters that functionals read themselves, where leaves are
                                    * not those of the request; NULL: they are */
    void (*declare)(Tape *tape,
                    void *context); /* locals of its own; sets, objective, recorder are known */

    /* The trajectory is over; functionals and atoms can be had from the recorder. Sets the first adjoints.
     * The observations of the end come with the backward steps. */
    void (*seed)(Tape *tape, void *context);

    /* Goes back over one step: from its end to its start. Observations with time >= start are its business:
     * see rxn__tape_observed. */
    void (*backward)(Tape *tape, void *context, const TapeStep *step);

    /* An event assigned at `time`: the counts are again those before it. */
    void (*assigned)(Tape *tape, void *context, u32 event, KirValue time);

    /* At the start again: the counts are the initial ones. Stores what it has in the row (rxn__tape_store_*
     * have been called for the values of the functionals). */
    void (*finish)(Tape *tape, void *context);
} TapeMethod;

/* How tape_bytes are spent on one trajectory. */
typedef struct TapePlan {
    u32 capacity;    /* steps of a block */
    u32 checkpoints; /* blocks before the last one */
    u32 events;      /* assignments by events in one block */
} TapePlan;

struct Tape {
    SsaFrame *frame;
    const GradientRequest *request;
    const TapeMethod *method;
    const Objective *objective; /* with what explicit derivatives read */
    Expr
        *partial; /* dF/dp where F depends on p itself: [functional * partial_count + p]; or NULL */
    u32 partial_count; /* parameters of TapeMethod.direct, or leaves */
    Recorder recorder;
    GradientRow row;
    TapePlan plan;
    u32 sets; /* functionals, or outputs where row.by_output */

    /* Locals that a backward step may use. */
    u32 observation;      /* i32: the row of the latest observation not yet seen; -1: none */
    u32 observation_time; /* f64: its time; -inf: none */

    bool singles;     /* see rxn__tape_count_in_singles; with it f32[species]: */
    u32 base, offset; /* a count, as it was settled; what it has changed by since, a whole number */

    struct TapeLocals *locals; /* of grad_tape.c */
    const OutputTerms *terms;  /* by_output: per output */
};

/* Writes a kernel. row: has functionals, outputs, leaves, by_output, diagnostics; has_direct is set here. */
const char *rxn__tape_write(const GradientRequest *request, const TapeMethod *method,
                            GradientRow *row, Arena *arena, NameTable *names,
                            MethodKernel *ret_kernel);

/* Whether the tape takes the request: the unrolled form does, and the weights fit; and the latter alone. */
bool rxn__tape_applies(const GradientRequest *request, Text *ret_reason);
bool rxn__tape_weights_fit(const GradientRequest *request, Text *ret_reason);

/* Whether one set of adjoints for each output will do (every output is Σ number * E[functional]), and is
 * less work. */
bool rxn__tape_by_output(const GradientRequest *request, Arena *arena);

/* ---- For methods ------------------------------------------------------------------------------- */

/* d set / d (what the recorder keeps in `column` at the latest observation): f64. A column that is an integral
 * counts from time 0 on: its weight stays in force for all times before. */
KirValue rxn__tape_weight(Tape *tape, u32 set, u32 column);

/* The latest observation has been dealt with: on to the one before. */
void rxn__tape_observed(Tape *tape);

/* ∂F/∂p of a set, where F depends on the parameter itself: f64; 0: it does not. In seed. param: its place in the
 * request, or in TapeMethod.direct. */
KirValue rxn__tape_explicit(Tape *tape, u32 set, u32 param);

/* true where the step's reaction is `first` … `last` (flat). */
KirValue rxn__tape_fired(Tape *tape, const TapeStep *step, u32 first, u32 last);

/* In TapeMethod.declare: backward steps are to undo reactions in f32, half the work of f64, and read counts by
 * rxn__tape_single_count; the frame's own ones are right behind rxn__tape_settle, which is to be called every few steps (an
 * offset is to stay far below 2^24), and before whatever reads them. Without effect where counts are f32 in any case. */
void rxn__tape_count_in_singles(Tape *tape);
void rxn__tape_settle(Tape *tape);

/* f32: a count in the present step, in singles or not. */
KirValue rxn__tape_single_count(Tape *tape, Expr species);

/* Binds the time of a piecewise-constant rate for expressions that are lowered in this step. */
void rxn__tape_bind(Tape *tape, const TapeStep *step);

/* Capacities for a state of `state_bytes` and `assigned` species that events assign (0: none). */
TapePlan rxn__tape_plan(u64 tape_bytes, u32 step_bytes, u32 state_bytes, u32 event_bytes,
                        u32 timed_events);

#endif
