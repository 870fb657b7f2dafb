/* optimizer_lbfgs.c: L-BFGS by liblbfgs, asked and told instead of calling back.
 *
 * liblbfgs (Nocedal 1980; line search of More and Thuente 1994) keeps the loop and calls for loss and gradient at
 * points of its choice. It decides by these numbers alone, so its loop can be replayed: a journal holds
 * what it was told so far, and each `tell` runs it again from the start, over the journal, until it asks
 * for a point that the journal does not have. That one is what `ask` returns; the loop is led out at
 * once, by an answer that ends any line search (no slope, and a loss below all), and freed. So there is
 * never a loop in suspense: nothing to free midway, nothing hidden to save. The journal is the state.
 *
 *   told    (x0: f0, g0) (x1: f1, g1) (x2: f2, g2)
 *   replay   x0 -> f0,g0  x1 -> f1,g1  x2 -> f2,g2  x3 -> not in the journal: asked next
 *
 * What it costs: n evaluations replay n^2 / 2 times what liblbfgs does for one, some 4 memory + 10 operations
 * a coordinate (100 evaluations of 200,000 coordinates: half a second each; of 20: microseconds), which is little
 * beside a simulation; and the journal, one gradient an evaluation. Both are
 * bounded: after `journal_evaluations`, or where the journal would pass `journal_numbers` (128 MiB), but not
 * below `journal_least`, the loop begins anew at the best point so far. It then has to learn the curvature
 * again, which takes it some `memory` steps.
 *
 * The loop also begins anew at the best point when a line search fails, which kinks of a loss and errors
 * of its gradient cause more often than a minimum does; it ends when there is nothing gained since the
 * last beginning.
 *
 * A loss that is not finite is what a step that was too long comes to. liblbfgs would compute with it; it is
 * told instead that the loss has risen, from where its line search began, by as much as the slope there
 * would have had it fall: its interpolations then go back to about a quarter of the step.
 *
 * liblbfgs works on z = (x - origin) / rate, with gradients times rate: it begins at zero, and its
 * first step, which is of length 1 in z, has length `rate` in x.
 */
#include "runtime/optimizer_private.h"

#ifdef RXN_HAVE_LBFGS

#include <float.h>
#include <lbfgs.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t journal_evaluations = 1000;
static const size_t journal_numbers = (size_t)1 << 24;
static const size_t journal_least = 64;

/* What a loss has to fall by, of its size, to be worth another beginning. */
static const double worth = 1e-12;

/* Trials in one line search. More and Thuente's needs 2 or 3 on what is smooth. */
static const int line_search_trials = 20;

typedef enum End { END_NOT, END_CONVERGED, END_STUCK, END_MEMORY, END_LAST = END_MEMORY } End;

struct Lbfgs {
    size_t count;
    uint32_t memory;
    double rate, tolerance;
    uint64_t steps_before; /* accepted before the present beginning */
    double *origin;        /* [count] the point of the present beginning */
    double *
        journal; /* [entries][1 + count]: loss (inf: was not finite), gradient; entry 0 at origin */
    size_t entries, capacity;

    /* What the journal comes to; filled by replay. */
    End end;
    uint64_t steps; /* accepted since the present beginning */
    double *asked;  /* [count] */
    double *best;   /* [count] of the lowest loss */
    size_t best_entry;

    /* During a replay. */
    size_t cursor; /* the entry that is asked for next */
    bool beyond;   /* the loop has asked for more than there is */
    bool converged;
    double *z;    /* [count], aligned as liblbfgs wants it */
    double *base; /* [count] z where the line search began */
    size_t base_entry;
};

bool
rxn__lbfgs_available(void)
{
    return true;
}

size_t
rxn__lbfgs_most(void)
{
    return INT_MAX / 16 * 16; /* it may round up to whole vectors */
}

static size_t
journal_limit(size_t count)
{
    size_t limit = journal_numbers / (count + 1);
    if (limit > journal_evaluations)
        return journal_evaluations;
    return limit < journal_least ? journal_least : limit;
}

static const double *
entry_of(const Lbfgs *state, size_t entry)
{
    return state->journal + entry * (state->count + 1);
}

/* ---- the replay -------------------------------------------------------------------------------- */

static double
place(const Lbfgs *state, const double *z, size_t i)
{
    return state->origin[i] + state->rate * z[i];
}

static double
slope_from_base(const Lbfgs *state, const double *z)
{
    const double *gradient = entry_of(state, state->base_entry) + 1;
    double slope = 0;
    for (size_t i = 0; i < state->count; i++)
        slope += state->rate * gradient[i] * (z[i] - state->base[i]);
    return slope;
}

/* What liblbfgs is told where the loss is not finite. */
static double
tell_risen(const Lbfgs *state, const double *z, double *g)
{
    const double *base = entry_of(state, state->base_entry);
    for (size_t i = 0; i < state->count; i++)
        g[i] = -state->rate * base[1 + i];
    double risen = base[0] + fabs(slope_from_base(state, z));
    return risen > base[0] ? fmin(risen, DBL_MAX) : nextafter(base[0], INFINITY);
}

static lbfgsfloatval_t
evaluate(void *instance, const lbfgsfloatval_t *z, lbfgsfloatval_t *g, const int n,
         const lbfgsfloatval_t step)
{
    Lbfgs *state = instance;
    (void)n;
    (void)step;
    if (state->beyond || state->cursor == state->entries) {
        for (size_t i = 0; i < state->count; i++) {
            if (!state->beyond)
                state->asked[i] = place(state, z, i);
            g[i] = 0;
        }
        state->beyond = true;
        return -DBL_MAX;
    }
    const double *entry = entry_of(state, state->cursor);
    state->cursor++;
    if (!isfinite(entry[0]))
        return tell_risen(state, z, g);
    for (size_t i = 0; i < state->count; i++)
        g[i] = state->rate * entry[1 + i];
    if (entry[0] < entry_of(state, state->best_entry)[0]) {
        state->best_entry = state->cursor - 1;
        for (size_t i = 0; i < state->count; i++)
            state->best[i] = place(state, z, i);
    }
    return entry[0];
}

/* |gradient| <= tolerance max(1, |x|). */
static bool
is_flat(const Lbfgs *state, const double *x, size_t entry)
{
    return rxn__norm(entry_of(state, entry) + 1, state->count) <=
           state->tolerance * fmax(1, rxn__norm(x, state->count));
}

/* Called for each accepted point, which is the one that was evaluated last. A value other than 0 ends the loop. */
static int
progress(void *instance, const lbfgsfloatval_t *z, const lbfgsfloatval_t *g,
         const lbfgsfloatval_t loss, const lbfgsfloatval_t z_norm, const lbfgsfloatval_t g_norm,
         const lbfgsfloatval_t step, int n, int iteration, int trials)
{
    Lbfgs *state = instance;
    (void)g, (void)loss, (void)z_norm, (void)g_norm, (void)step, (void)n, (void)iteration,
        (void)trials;
    if (state->beyond)
        return 1;
    state->steps++;
    state->base_entry = state->cursor - 1;
    memcpy(state->base, z, state->count * sizeof(double));
    double *x = state->asked; /* until something is asked for */
    for (size_t i = 0; i < state->count; i++)
        x[i] = place(state, z, i);
    if (is_flat(state, x, state->base_entry)) {
        state->converged = true;
        return 1;
    }
    return 0;
}

/* Fills all that the journal comes to, for its present beginning. False: the loop has ended within it, without
 * convergence. */
static bool
replay(Lbfgs *state)
{
    state->end = END_NOT;
    state->steps = 0;
    state->best_entry = 0;
    state->base_entry = 0;
    state->cursor = 0;
    state->beyond = false;
    state->converged = false;
    memcpy(state->best, state->origin, state->count * sizeof(double));
    memcpy(state->asked, state->origin, state->count * sizeof(double));
    memset(state->base, 0, state->count * sizeof(double));
    memset(state->z, 0, state->count * sizeof(double));
    if (state->entries == 0)
        return true;
    if (is_flat(state, state->origin, 0)) {
        state->end = END_CONVERGED;
        return true;
    }
    lbfgs_parameter_t parameters;
    lbfgs_parameter_init(&parameters);
    parameters.m = (int)state->memory;
    parameters.epsilon = 0; /* see is_flat */
    parameters.max_linesearch = line_search_trials;
    int status = lbfgs((int)state->count, state->z, NULL, evaluate, progress, state, &parameters);
    if (state->converged)
        state->end = END_CONVERGED;
    else if (status == LBFGSERR_OUTOFMEMORY)
        state->end = END_MEMORY;
    else
        return state->beyond;
    return true;
}

/* A new beginning, at the best point; its entry is all that is kept of the journal. */
static void
begin_anew(Lbfgs *state)
{
    memcpy(state->origin, state->best, state->count * sizeof(double));
    memmove(state->journal, entry_of(state, state->best_entry),
            (state->count + 1) * sizeof(double));
    state->entries = 1;
    state->steps_before += state->steps;
}

static bool
is_better(const Lbfgs *state)
{
    double first = entry_of(state, 0)[0], best = entry_of(state, state->best_entry)[0];
    return first - best > worth * fabs(first);
}

/* From the journal to the next point, or to the end. */
static void
advance(Lbfgs *state)
{
    bool goes_on = replay(state);
    if (goes_on && (state->end != END_NOT || state->entries < journal_limit(state->count)))
        return;
    if (!goes_on && !is_better(state)) {
        state->end = END_STUCK;
        return;
    }
    begin_anew(state);
    if (!replay(state))
        state->end = END_STUCK;
}

/* ---- the interface ----------------------------------------------------------------------------- */

/* Without `origin` filled. */
static Lbfgs *
make(size_t count)
{
    Lbfgs *state = calloc(1, sizeof *state);
    if (!state)
        return NULL;
    state->count = count;
    state->origin = calloc(count, sizeof(double));
    state->asked = calloc(count, sizeof(double));
    state->best = calloc(count, sizeof(double));
    state->base = calloc(count, sizeof(double));
    state->z = lbfgs_malloc((int)count);
    if (!state->origin || !state->asked || !state->best || !state->base || !state->z) {
        rxn__lbfgs_free(state);
        return NULL;
    }
    return state;
}

Lbfgs *
rxn__lbfgs_new(const RxnOptimizerOptions *options, size_t count, const double *start)
{
    Lbfgs *state = make(count);
    if (!state)
        return NULL;
    state->memory = options->memory;
    state->rate = options->rate;
    state->tolerance = options->tolerance > 0 ? options->tolerance : RXN_LBFGS_TOLERANCE;
    memcpy(state->origin, start, count * sizeof(double));
    replay(state);
    return state;
}

void
rxn__lbfgs_free(Lbfgs *state)
{
    if (!state)
        return;
    free(state->origin);
    free(state->asked);
    free(state->best);
    free(state->base);
    free(state->journal);
    if (state->z)
        lbfgs_free(state->z);
    free(state);
}

const double *
rxn__lbfgs_ask(const Lbfgs *state)
{
    return state->end == END_NOT ? state->asked : NULL;
}

const double *
rxn__lbfgs_point(const Lbfgs *state)
{
    return state->best;
}

const char *
rxn__lbfgs_why(const Lbfgs *state)
{
    switch (state->end) {
    case END_NOT: break;
    case END_CONVERGED: return "the gradient is within its tolerance";
    case END_STUCK: return "no step along the gradient lowers the loss any further";
    case END_MEMORY: return "there is no memory left for L-BFGS";
    }
    return NULL;
}

uint64_t
rxn__lbfgs_steps(const Lbfgs *state)
{
    return state->steps_before + state->steps;
}

static bool
reserve(Lbfgs *state, size_t entries)
{
    if (entries <= state->capacity)
        return true;
    size_t capacity = state->capacity * 2 > entries ? state->capacity * 2 : entries;
    if (state->count + 1 > SIZE_MAX / sizeof(double) / capacity)
        return false;
    double *journal = realloc(state->journal, capacity * (state->count + 1) * sizeof(double));
    if (!journal)
        return false;
    state->journal = journal;
    state->capacity = capacity;
    return true;
}

bool
rxn__lbfgs_tell(Lbfgs *state, bool finite, double loss, const double *gradient)
{
    if (state->end != END_NOT || (!finite && state->entries == 0))
        return false;
    if (!reserve(state, state->entries + 1)) {
        state->end = END_MEMORY;
        return true;
    }
    double *entry = state->journal + state->entries * (state->count + 1);
    entry[0] = finite ? loss : INFINITY;
    if (finite)
        memcpy(entry + 1, gradient, state->count * sizeof(double));
    else
        memset(entry + 1, 0, state->count * sizeof(double));
    state->entries++;
    advance(state);
    return true;
}

/* ---- saving ------------------------------------------------------------------------------------ */

enum {
    SAVED_MEMORY,
    SAVED_RATE,
    SAVED_STEPS_BEFORE,
    SAVED_ENTRIES,
    SAVED_END,
    SAVED_HEADER /* then the origin, the point asked for, the best one, the journal */
};

size_t
rxn__lbfgs_saved_size(const Lbfgs *state)
{
    return SAVED_HEADER + 3 * state->count + state->entries * (state->count + 1);
}

void
rxn__lbfgs_save(const Lbfgs *state, double *ret_numbers)
{
    size_t size = state->count * sizeof(double);
    ret_numbers[SAVED_MEMORY] = state->memory;
    ret_numbers[SAVED_RATE] = state->rate;
    ret_numbers[SAVED_STEPS_BEFORE] = (double)state->steps_before;
    ret_numbers[SAVED_ENTRIES] = (double)state->entries;
    ret_numbers[SAVED_END] = state->end;
    double *rest = ret_numbers + SAVED_HEADER;
    memcpy(rest, state->origin, size);
    memcpy(rest + state->count, state->asked, size);
    memcpy(rest + 2 * state->count, state->best, size);
    if (state->entries > 0)
        memcpy(rest + 3 * state->count, state->journal,
               state->entries * (state->count + 1) * sizeof(double));
}

/* The numbers are finite, but for a loss of inf in any entry but the first. */
static bool
are_sound(const double *numbers, size_t count, size_t entries)
{
    for (size_t i = 0; i < 3 * count; i++)
        if (!isfinite(numbers[i]))
            return false;
    const double *journal = numbers + 3 * count;
    for (size_t i = 0; i < entries * (count + 1); i++)
        if (!isfinite(journal[i]) && (i == 0 || i % (count + 1) != 0 || journal[i] != INFINITY))
            return false;
    return true;
}

/* What the journal comes to here has to be what it came to where it was saved; with another build of liblbfgs, it
 * may not be. Where memory was out, it goes on as far as it had come. */
static bool
is_as_saved(const Lbfgs *state, uint64_t end, const double *vectors)
{
    size_t size = state->count * sizeof(double);
    if (end == END_MEMORY)
        return state->end != END_MEMORY;
    return state->end == (End)end && memcmp(state->asked, vectors + state->count, size) == 0 &&
           memcmp(state->best, vectors + 2 * state->count, size) == 0;
}

bool
rxn__lbfgs_restore(Lbfgs *state, const double *numbers, size_t count)
{
    uint64_t steps_before, entries, end;
    size_t n = state->count;
    if (count < SAVED_HEADER || numbers[SAVED_MEMORY] != (double)state->memory ||
        numbers[SAVED_RATE] != state->rate ||
        !rxn__saved_integer(numbers[SAVED_STEPS_BEFORE], &steps_before) ||
        !rxn__saved_integer(numbers[SAVED_ENTRIES], &entries) ||
        !rxn__saved_integer(numbers[SAVED_END], &end) || end > END_LAST ||
        entries > journal_limit(n))
        return false;
    const double *vectors = numbers + SAVED_HEADER;
    count -= SAVED_HEADER;
    if (n > SIZE_MAX / 3 || count < 3 * n || (count - 3 * n) / (n + 1) != entries ||
        (count - 3 * n) % (n + 1) != 0 || !are_sound(vectors, n, entries))
        return false;

    Lbfgs *made = make(n);
    if (!made)
        return false;
    made->memory = state->memory;
    made->rate = state->rate;
    made->tolerance = state->tolerance;
    made->steps_before = steps_before;
    memcpy(made->origin, vectors, n * sizeof(double));
    bool restored = reserve(made, entries);
    if (restored && entries > 0)
        memcpy(made->journal, vectors + 3 * n, entries * (n + 1) * sizeof(double));
    if (restored) {
        made->entries = entries;
        if (!replay(made))
            made->end = END_STUCK;
        restored = is_as_saved(made, end, vectors);
    }
    if (restored) {
        Lbfgs old = *state;
        *state = *made;
        *made = old;
    }
    rxn__lbfgs_free(made);
    return restored;
}

#else

bool
rxn__lbfgs_available(void)
{
    return false;
}

size_t
rxn__lbfgs_most(void)
{
    return 0;
}

Lbfgs *
rxn__lbfgs_new(const RxnOptimizerOptions *options, size_t count, const double *start)
{
    (void)options, (void)count, (void)start;
    return NULL;
}

void
rxn__lbfgs_free(Lbfgs *state)
{
    (void)state; /* there is none */
}

const double *
rxn__lbfgs_ask(const Lbfgs *state)
{
    (void)state;
    return NULL;
}

const double *
rxn__lbfgs_point(const Lbfgs *state)
{
    (void)state;
    return NULL;
}

const char *
rxn__lbfgs_why(const Lbfgs *state)
{
    (void)state;
    return NULL;
}

uint64_t
rxn__lbfgs_steps(const Lbfgs *state)
{
    (void)state;
    return 0;
}

bool
rxn__lbfgs_tell(Lbfgs *state, bool finite, double loss, const double *gradient)
{
    (void)state, (void)finite, (void)loss, (void)gradient;
    return false;
}

size_t
rxn__lbfgs_saved_size(const Lbfgs *state)
{
    (void)state;
    return 0;
}

void
rxn__lbfgs_save(const Lbfgs *state, double *ret_numbers)
{
    (void)state, (void)ret_numbers;
}

bool
rxn__lbfgs_restore(Lbfgs *state, const double *numbers, size_t count)
{
    (void)state, (void)numbers, (void)count;
    return false;
}

#endif
