/* private.h: what the files of this room share.
 *
 * A Cme is one computation. Its vectors are stored by state: `width` numbers for each, first the
 * probability (or what a chain of a product carries), then its derivatives with respect to each param,
 * then padding. A Chain is one such vector: chain 0 is the distribution itself.
 *
 * States are active (their reactions are known) or on the frontier: seen as targets only. The frontier
 * absorbs, so what a step brings there is what the truncated space loses in it.
 */
#ifndef RXN_CME_PRIVATE_H
#define RXN_CME_PRIVATE_H

#include <setjmp.h>

#include "compiler/cme/cme.h"

#define CME_LARGEST_COUNT 2147483647.0

/* A growing array with an arena of its own, so that the old one is given back when it moves. */
typedef struct CmeBuffer {
    Arena arena;
    void *items;
    u64 capacity;
    size_t bytes;
} CmeBuffer;

/* One member of a reaction. */
typedef struct CmeReaction {
    Expr propensity;
    Change *changes;
    u32 change_count;
    u32 *reads; /* flat species */
    u32 read_count;
    bool smooth;    /* depends on time itself */
    bool windowed;  /* changes at breakpoints */
    Expr *switches; /* parts that jump in time: comparisons of it with the state, floor and ceil */
    u32 switch_count;
    Expr *derivatives; /* [wrt_count]; 0: there is none */
} CmeReaction;

/* The value of an expression in each state. */
typedef struct CmeFunction {
    Expr expr;
    double time;
    CmeBuffer values; /* double [state][width]: the value, then its derivatives */
    u64 done;         /* states whose values are known */
    Expr *derivatives;
} CmeFunction;

/* Blocked: on the frontier for good, since some propensity cannot be had there. */
enum { STATE_FRONTIER, STATE_ACTIVE, STATE_BLOCKED };

/* A slot holds one vector of a chain. */
enum { SLOT_NOW, SLOT_NEXT, SLOT_POWER, SLOT_OTHER, SLOT_COARSE, SLOT_MIDDLE, SLOT_COUNT };
enum { INTEGRAL_TOTAL, INTEGRAL_STEP, INTEGRAL_COARSE, INTEGRAL_COUNT };

typedef struct CmeChain {
    bool live;
    CmeBuffer slots[SLOT_COUNT]; /* double [state][width] */
    bool integrates;             /* the integral over the present piece of time is wanted */
    CmeBuffer integrals[INTEGRAL_COUNT];
    /* Or NULL: feeds on another chain: w' = A w + feed ∘ source. */
    struct CmeChain *source;
    CmeFunction *feed;
    CmeFunction *absorb; /* or NULL: a condition; states where it holds are left out */
} CmeChain;

/* An instant at which something happens. */
typedef struct CmeStop {
    double time;
    bool reads;      /* the caller wants to see the state */
    bool breakpoint; /* rates may jump */
    u32 events;      /* bit list in Cme.due: first and count */
    u32 event_count;
    double *movement; /* or NULL: [wrt_count], how the instant moves with the params */
} CmeStop;

typedef struct Cme Cme;

typedef struct CmeListener {
    /* Before the integrals of the piece that ends at this stop are forgotten. */
    void (*piece)(void *context, Cme *cme, const CmeStop *stop);
    /* At a stop that reads, after everything that happens there. */
    void (*read)(void *context, Cme *cme, const CmeStop *stop);
    /* At a stop that moves with the params: `before` it (true) and after it. */
    void (*moving)(void *context, Cme *cme, const CmeStop *stop, bool before);
    void *context;
} CmeListener;

struct Cme {
    Network *network;
    const double *params, *inputs;
    Arena *arena;
    CmeOptions options;
    CmeListener listener;
    jmp_buf exit;
    RxnStatus status;
    const char *reason;
    VEC(CmeBuffer *) buffers;
    u64 bytes; /* in the buffers */

    const u32 *wrt;
    u32 wrt_count, width;

    /* The network, member by member (space.c). */
    CmeReaction *reactions;
    u32 reaction_count, species_count, when_count;
    bool smooth, windowed, conditions_windowed, switches;

    /* States. */
    u64 state_count, active_count;
    CmeBuffer counts; /* u32 [state][species] */
    CmeBuffer active; /* u8 */
    CmeBuffer slots;  /* u32: hash table of the states; 0: free, else state + 1 */
    u64 slot_count;
    CmeBuffer edge_first, edge_count_of; /* u32, by active state */
    u64 edge_count;
    CmeBuffer edge_source, edge_target, edge_rate; /* u32, grouped by source */
    CmeBuffer forbidden;                           /* u32 pairs: rate, state */
    u64 forbidden_count;
    CmeBuffer row_first, rows; /* u32; u32 pairs (source, rate), grouped by target */
    bool rows_stale;
    double *initial;
    double *from, *to;  /* scratch states */
    double *row, *sums; /* scratch [width] */
    double *event_values;
    bool *was, *holds;
    const char *fault; /* why a state could not be activated */

    /* Distinct rates (rates.c): equal for all states that agree on what the propensity reads. */
    u64 rate_count;
    CmeBuffer rate_slots; /* u32 */
    u64 rate_slot_count;
    CmeBuffer rate_reaction, rate_state; /* u32 */
    CmeBuffer rate_values;               /* double [rate][width], at the present piece */
    CmeBuffer factors;                   /* double [rate][width]: of the present exponential */
    CmeBuffer diagonal;                  /* double [state][width] */
    double time, middle;                 /* where rates are evaluated */

    /* The calendar (timeline.c). */
    CmeStop *stops;
    u32 stop_count;
    u32 *due;
    VEC(double) breakpoints;
    double end;

    VEC(CmeChain *) chains;
    VEC(CmeFunction *) functions;

    /* The march. */
    double lost;
    double *lost_sensitivity; /* [wrt_count]: absolute mass */
    double *scale;            /* [wrt_count]: a change of a param by this much is a large one */
    double stretch;           /* mean number of jumps that a step may hold */
    double smooth_step;       /* length of a step in which rates glide */
    u32 layers;               /* how far the space grows at once */
    u64 products;
    double work;
    CmeBuffer weights, tails, map, fringe;
};

/* Ends the computation, with the reason. */
_Noreturn void rxn__cme_fail(Cme *cme, const char *format, ...) RXN_PRINTF(2, 3);

/* At least `count` items of `size` bytes: the old ones kept, new ones zero. */
void *rxn__cme_reserve(Cme *cme, CmeBuffer *buffer, u64 count, size_t size);

void rxn__cme_look_at_cancel(Cme *cme);

/* ---- solve.c: begin and end ---- */

/* Runs the body with a way out; gives back all buffers. */
RxnStatus rxn__cme_solve(const CmeModel *model, const CmeOptions *options, const u32 *wrt,
                         u32 wrt_count, Arena *arena, void (*body)(void *context, Cme *cme),
                         void *context, const char **ret_reason);

/* ---- space.c ---- */

void rxn__cme_space_begin(Cme *cme);

static inline u32 *
cme_counts(const Cme *cme, u64 state)
{
    return (u32 *)cme->counts.items + state * cme->species_count;
}

static inline bool
cme_is_active(const Cme *cme, u64 state)
{
    return ((const u8 *)cme->active.items)[state] == STATE_ACTIVE;
}

/* "X = 3, Y = 0" */
const char *rxn__cme_state_text(Cme *cme, u64 state);

/* The state's number; it is added to the frontier if it is new. */
u64 rxn__cme_state(Cme *cme, const double *counts);

/* False, with cme->fault, where one of the state's propensities cannot be had. */
bool rxn__cme_activate(Cme *cme, u64 state);

/* Edges by target, exit rates: after the space or its conditions changed. */
void rxn__cme_rows(Cme *cme);

/* All edges anew: the targets depend on conditions that changed. */
void rxn__cme_rebuild(Cme *cme);

/* Fires `when` events that turn true between cme->from (at `middle_before`) and cme->to (at
 * cme->middle); changes cme->to. False, with cme->fault. */
bool rxn__cme_settle(Cme *cme, double middle_before);

/* Stores the event's values in cme->to. False, with cme->fault. */
bool rxn__cme_assign(Cme *cme, const Event *event, double time);

/* ---- rates.c ---- */

/* The rate of the reaction in the state. False, with cme->fault. */
bool rxn__cme_rate(Cme *cme, u32 reaction, u64 state, u32 *ret_rate);

/* All rates that jump, anew: cme->middle has moved. */
void rxn__cme_rates_of_piece(Cme *cme);

/* factors and diagonal: the generator Σ weights[k] A(times[k]) divided by the greatest exit rate, which is
 * returned (at least `least`). */
double rxn__cme_generator(Cme *cme, u32 count, const double *times, const double *weights,
                          double least);

/* ---- switches.c ---- */

/* Finds the parts of the propensity that jump in time. */
void rxn__cme_find_switches(Cme *cme, CmeReaction *reaction);

/* The first time in from … to at which one of them jumps; `to` if none does. */
double rxn__cme_next_switch(Cme *cme, double from, double to);

/* ---- exponential.c ---- */

/* vectors[to] = exp(duration * G) vectors[from] for all live chains, G as rxn__cme_generator has set it with
 * this greatest rate; integrals[to] += share * the integral of it; feeds count `share` times. */
typedef struct CmeExponential {
    double rate, duration, share;
    u32 from, to, integral;
} CmeExponential;

void rxn__cme_exponential(Cme *cme, const CmeExponential *exponential);

/* vectors[to] = G vectors[from] for all live chains at the present time; feeds included. */
void rxn__cme_slope(Cme *cme, u32 from, u32 to);

/* Poisson probabilities of 0 … *ret_last at this mean and P(more than k), exact to rounding. */
void rxn__cme_poisson(Cme *cme, double mean, u64 *ret_first, u64 *ret_last);

/* ---- timeline.c ---- */

/* reads: the times that the listener wants to see. */
void rxn__cme_timeline(Cme *cme, const double *reads, u32 read_count);

/* The middle of the piece that begins at this time. */
double rxn__cme_middle(const Cme *cme, double time);

/* ---- functions.c ---- */

/* The function, with the values of all states known by now. */
CmeFunction *rxn__cme_function(Cme *cme, Expr expr, double time);

void rxn__cme_function_update(Cme *cme, CmeFunction *function);

/* Σ f x over active states; ret[0] the value, ret[1 …] its derivatives. */
void rxn__cme_dot(Cme *cme, const CmeFunction *function, const double *vector, double *ret);

double *rxn__cme_vector(Cme *cme, CmeChain *chain, u32 slot);
double *rxn__cme_integral(Cme *cme, CmeChain *chain, u32 which);

/* ---- march.c ---- */

CmeChain *rxn__cme_add_chain(Cme *cme);
void rxn__cme_drop_chain(Cme *cme, CmeChain *chain);

/* From time 0 to the last stop. */
void rxn__cme_march(Cme *cme);

/* ---- polynomial.c ---- */

typedef struct CmeFactor {
    double time;
    Expr value; /* of species, params, inputs, time */
} CmeFactor;

/* coefficient * Π factors * integral or passage (atom number + 1; 0: none); factors at distinct times,
 * increasing. */
typedef struct CmeMonomial {
    Expr coefficient;
    u32 factor_count;
    CmeFactor *factors;
    u32 integral, passage;
} CmeMonomial;

typedef VEC(CmeMonomial) CmePolynomial;

/* The functional multiplied out. */
void rxn__cme_multiply_out(Cme *cme, const Objective *objective, Expr value, CmePolynomial *ret);

#endif
