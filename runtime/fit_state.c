/* fit_state.c: a fit on disk; its seeds, batches and starts: all that makes a fit that goes on the same as one that was
 * never stopped.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/checkpoint.h"
#include "runtime/fit_private.h"
#include "runtime/philox.h"
#include "runtime/report.h"

/* ---- seeds, batches, starts -------------------------------------------------------------------- */

enum { STREAM_FIT = 4 };

static void
block_of(uint64_t seed, RxnFitPurpose purpose, uint64_t number, uint32_t last, uint32_t words[4])
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t counter[4] = {(uint32_t)number, STREAM_FIT << 16 | (uint32_t)purpose,
                           (uint32_t)(number >> 32), last};
    rxn__philox(key, counter, words);
}

uint64_t
rxn__fit_seed(uint64_t seed, RxnFitPurpose purpose, uint64_t number)
{
    uint32_t words[4];
    block_of(seed, purpose, number, 0, words);
    return (uint64_t)words[0] << 32 | words[1];
}

/* R. Durstenfeld's shuffle (Commun. ACM 7 (1964) 420). Numbers below a bound are those of 64 bits modulo it: for
 * some millions of rows they are even to one part in 10^12. */
static void
shuffle(uint64_t seed, uint64_t epoch, uint64_t rows, uint64_t *order)
{
    for (uint64_t k = 0; k < rows; k++)
        order[k] = k;
    uint64_t key = rxn__fit_seed(seed, RXN_FIT_SHUFFLE, epoch);
    for (uint64_t k = rows; k > 1; k--) {
        uint64_t other = rxn__fit_seed(key, RXN_FIT_SHUFFLE, k) % k, kept = order[k - 1];
        order[k - 1] = order[other];
        order[other] = kept;
    }
}

void
rxn__fit_batch(uint64_t seed, uint64_t rows, uint64_t step, uint64_t count, uint64_t *scratch,
               uint64_t *epoch, uint64_t *ret_rows)
{
    for (uint64_t k = 0; k < count; k++) {
        uint64_t at = step * count + k;
        if (at / rows != *epoch) {
            *epoch = at / rows;
            shuffle(seed, *epoch, rows, scratch);
        }
        ret_rows[k] = scratch[at % rows];
    }
}

/* A point of multi-start. Between two bounds uniformly, on a log scale by the logarithm; where a bound is missing
 * about the caller's value: within a factor of 10 on a log scale, else with a standard deviation of that value
 * (of 1, if it is 0). */
static double
draw(const RxnScale *scale, double start, double uniform)
{
    bool logs = scale->kind == RXN_SCALE_LOG || scale->kind == RXN_SCALE_LOG_LOGIT;
    double low = scale->low, high = scale->high;
    if (isfinite(low) && isfinite(high))
        return logs && low > 0 ? low * pow(high / low, uniform) : low + (high - low) * uniform;
    if (logs) {
        double origin = scale->project || !isfinite(low) ? 0 : low;
        double drawn = origin + (start - origin) * pow(10, 2 * uniform - 1);
        return fmin(fmax(drawn, low), high);
    }
    double drawn = start + (start != 0 ? fabs(start) : 1) * rxn__normal_quantile(uniform);
    return fmin(fmax(drawn, low), high);
}

void
rxn__fit_draw_start(const RxnFitLoop *fit, uint64_t number, double *ret_coordinates)
{
    for (size_t i = 0; i < fit->n; i++) {
        const RxnScale *scale = &fit->problem.scales[i];
        double value = fit->problem.start[i];
        if (number > 0) {
            uint32_t words[4];
            block_of(fit->options.seed, RXN_FIT_START, number, (uint32_t)i, words);
            uint64_t bits = ((uint64_t)words[0] << 32 | words[1]) >> 11;
            value = draw(scale, value, ((double)bits + 0.5) * 0x1p-53);
        }
        ret_coordinates[i] = rxn__scale_coordinate(scale, value);
    }
}

/* ---- saving ------------------------------------------------------------------------------------ */

enum {
    COUNTS = sizeof(FitCounts) / sizeof(uint64_t),
    SUMS = sizeof(FitSums) / sizeof(double),
    RECORD = sizeof(RxnFitRecord) / sizeof(double),
};

static bool
fill(const RxnFitLoop *fit, RxnCheckpoint *checkpoint)
{
    size_t n = fit->n, starts = fit->options.starts > 1 ? fit->options.starts : 0;
    FitSums sums = fit->sums;
    sums.seconds = rxn__fit_elapsed(fit);
    size_t size = fit->newton ? rxn__gauss_newton_saved_size(fit->newton)
                              : rxn__optimizer_saved_size(fit->optimizer);
    double *optimizer = rxn__checkpoint_place_numbers(checkpoint, "optimizer", size);
    if (!optimizer)
        return false;
    if (fit->newton)
        rxn__gauss_newton_save(fit->newton, optimizer);
    else
        rxn__optimizer_save(fit->optimizer, optimizer);
    uint64_t ended = rxn__fit_is_over(fit);
    return rxn__checkpoint_counts(checkpoint, "ended", &ended, 1) &&
           rxn__checkpoint_counts(checkpoint, "counts", (const uint64_t *)&fit->counts, COUNTS) &&
           rxn__checkpoint_numbers(checkpoint, "sums", (const double *)&sums, SUMS) &&
           rxn__checkpoint_numbers(checkpoint, "origin", fit->origin, n) &&
           rxn__checkpoint_numbers(checkpoint, "average", fit->average,
                                   fit->counts.averaged ? n : 0) &&
           rxn__checkpoint_numbers(checkpoint, "best", fit->best, fit->counts.has_best ? n : 0) &&
           rxn__checkpoint_numbers(checkpoint, "good", fit->good, n) &&
           rxn__checkpoint_numbers(checkpoint, "anchor", fit->anchor,
                                   fit->counts.has_anchor ? n : 0) &&
           rxn__checkpoint_numbers(checkpoint, "start losses", fit->start_loss, starts) &&
           rxn__checkpoint_numbers(checkpoint, "start points", fit->start_point, starts * n) &&
           rxn__checkpoint_numbers(checkpoint, "records", (const double *)fit->records,
                                   fit->record_count * RECORD);
}

bool
rxn__fit_save(RxnFitLoop *fit, bool now)
{
    const RxnFitLoopOptions *options = &fit->options;
    if (!options->checkpoint)
        return true;
    double since = rxn__seconds() - fit->saved_at;
    bool due = now || since >= options->checkpoint_seconds ||
               (options->checkpoint_steps && fit->counts.step != fit->saved_step &&
                fit->counts.step % options->checkpoint_steps == 0);
    if (!due)
        return true;
    RxnCheckpoint *checkpoint = rxn__checkpoint_new(options->key);
    char error[400] = "out of memory";
    bool good = checkpoint && fill(fit, checkpoint) &&
                rxn__checkpoint_write(checkpoint, options->checkpoint, error, sizeof error);
    rxn__checkpoint_free(checkpoint);
    if (!good)
        snprintf(fit->why, sizeof fit->why, "the checkpoint '%.80s' cannot be written: %.380s",
                 options->checkpoint, error);
    fit->saved_at = rxn__seconds();
    fit->saved_step = fit->counts.step;
    return good;
}

/* ---- restoring --------------------------------------------------------------------------------- */

bool
rxn__fit_make_records(RxnFitLoop *fit, size_t count)
{
    if (count <= fit->record_room)
        return true;
    size_t room = count + count / 2 + 64;
    RxnFitRecord *records = realloc(fit->records, room * sizeof *records);
    if (!records)
        return false;
    fit->records = records;
    fit->record_room = room;
    return true;
}

/* The numbers of this name, if there are `count`, or none where `optional`. */
static bool
get(const RxnCheckpoint *checkpoint, const char *name, size_t count, bool optional,
    double *ret_values)
{
    size_t found;
    const double *values = rxn__checkpoint_get_numbers(checkpoint, name, &found);
    if (!values || (found != count && !(optional && found == 0)))
        return false;
    if (found)
        memcpy(ret_values, values, found * sizeof(double));
    return true;
}

static bool
are_finite(const double *values, size_t count)
{
    bool finite = true;
    for (size_t k = 0; k < count; k++)
        finite &= isfinite(values[k]) != 0;
    return finite;
}

static bool
restore_optimizer(RxnFitLoop *fit, const RxnCheckpoint *checkpoint)
{
    size_t size;
    const double *numbers = rxn__checkpoint_get_numbers(checkpoint, "optimizer", &size);
    if (!numbers)
        return false;
    return fit->newton ? rxn__gauss_newton_restore(fit->newton, numbers, size)
                       : rxn__optimizer_restore(fit->optimizer, numbers, size);
}

static bool
are_sound(const RxnFitLoop *fit, const FitCounts *counts, size_t records)
{
    uint64_t starts = fit->options.starts > 1 ? fit->options.starts : 1;
    return counts->main <= 1 && counts->start < starts && records % RECORD == 0 &&
           records / RECORD >= counts->step && counts->trajectories >= 1 &&
           counts->trajectories <= fit->options.most_trajectories &&
           (counts->main || fit->options.starts > 1);
}

static bool
restore(RxnFitLoop *fit, const RxnCheckpoint *checkpoint)
{
    size_t n = fit->n, count, records;
    size_t starts = fit->options.starts > 1 ? fit->options.starts : 0;
    FitCounts counts;
    const uint64_t *saved = rxn__checkpoint_get_counts(checkpoint, "counts", &count);
    const double *history = rxn__checkpoint_get_numbers(checkpoint, "records", &records);
    if (!saved || count != COUNTS || !history)
        return false;
    memcpy(&counts, saved, sizeof counts);
    if (!are_sound(fit, &counts, records) || !get(checkpoint, "origin", n, false, fit->origin) ||
        !are_finite(fit->origin, n))
        return false;
    fit->counts.main = counts.main; /* decides how many steps the optimizer is made for */
    if (!rxn__fit_begin_phase(fit) || !restore_optimizer(fit, checkpoint) ||
        !rxn__fit_make_records(fit, records / RECORD))
        return false;
    fit->counts = counts;
    memcpy(fit->records, history, records * sizeof(double));
    fit->record_count = records / RECORD;
    return get(checkpoint, "sums", SUMS, false, (double *)&fit->sums) &&
           get(checkpoint, "average", n, !counts.averaged, fit->average) &&
           get(checkpoint, "best", n, !counts.has_best, fit->best) &&
           get(checkpoint, "good", n, false, fit->good) &&
           get(checkpoint, "anchor", n, !counts.has_anchor, fit->anchor) &&
           get(checkpoint, "start losses", starts, false, fit->start_loss) &&
           get(checkpoint, "start points", starts * n, false, fit->start_point);
}

bool
rxn__fit_restore(RxnFitLoop *fit, const RxnCheckpoint *checkpoint, char *error, size_t error_size)
{
    if (restore(fit, checkpoint))
        return true;
    snprintf(error, error_size, "its numbers do not belong to this fit");
    return false;
}
