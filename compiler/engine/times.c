/* times.c: when the state is recorded.
 *
 * `simulate` of the model gives the defaults. Times on the command line (--every, --at) replace the
 * model's; --until alone moves the end of the model's. Grid times are k * every, never a running sum, so
 * that the thousandth is as exact as the first.
 */
#include <math.h>
#include <stdlib.h>

#include "compiler/engine/engine.h"

enum { MOST_TIMES = 10000000, DEFAULT_INTERVALS = 100 };

/* A grid's last time may miss the end by rounding: this part of a step still counts as the end. */
static const double end_tolerance = 1e-9;

typedef struct Wanted {
    double until, every;
    const double *at;
    u32 at_count;
    const char *end_name; /* where `until` was said */
} Wanted;

static int
compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double
largest(const double *values, u32 count)
{
    double most = NAN;
    for (u32 k = 0; k < count; k++)
        most = fmax(most, values[k]);
    return most;
}

static bool
choose(Engine *engine, const Network *network, const TimesRequest *request, Wanted *ret_wanted)
{
    bool own = !isnan(request->every) || request->at->count > 0;
    Wanted wanted = {
        .until = request->until,
        .every = own ? request->every : network->simulate_every,
        .at = own ? request->at->items : network->simulate_at.items,
        .at_count = own ? request->at->count : network->simulate_at.count,
        .end_name = "--until",
    };
    const char *last = own ? "the last time of --at" : "the last time of 'simulate at'";
    if (isnan(wanted.until))
        wanted.end_name = last;
    if (isnan(wanted.until) && isnan(wanted.every) && wanted.at_count > 0)
        wanted.until = largest(wanted.at, wanted.at_count);
    if (isnan(wanted.until) && !isnan(network->simulate_until)) {
        wanted.until = network->simulate_until;
        wanted.end_name = "'simulate until'";
    }
    if (isnan(wanted.until))
        wanted.until = largest(wanted.at, wanted.at_count);
    if (isnan(wanted.until)) {
        rxn__engine_error(engine, "nothing says how long to simulate");
        rxn__engine_note(engine,
                         "give --until T, or write 'simulate until T every DT' in the model");
        return false;
    }
    if (isnan(wanted.every) && wanted.at_count == 0)
        wanted.every = wanted.until / DEFAULT_INTERVALS;
    *ret_wanted = wanted;
    return true;
}

static bool
check(Engine *engine, const Wanted *wanted, bool from_line)
{
    if (!(wanted->until > 0) || !isfinite(wanted->until)) {
        rxn__engine_error(engine, "%s is %g; it has to be a positive time", wanted->end_name,
                          wanted->until);
        return false;
    }
    if (!isnan(wanted->every) && !(wanted->every > 0)) {
        rxn__engine_error(engine, "--every is %g; it has to be a positive time", wanted->every);
        return false;
    }
    for (u32 k = 0; k < wanted->at_count; k++) {
        if (wanted->at[k] >= 0 && wanted->at[k] <= wanted->until)
            continue;
        if (wanted->at[k] > wanted->until && !from_line)
            continue;
        rxn__engine_error(engine, "the sample time %g is not in 0 .. %g", wanted->at[k],
                          wanted->until);
        if (wanted->at[k] > wanted->until)
            rxn__engine_note(engine, "--until %g would reach it", wanted->at[k]);
        return false;
    }
    if (wanted->until / wanted->every > MOST_TIMES || wanted->at_count > MOST_TIMES) {
        rxn__engine_error(engine, "every %g until %g is more than %d sample times", wanted->every,
                          wanted->until, MOST_TIMES);
        return false;
    }
    return true;
}

/* The step of an even grid, which a kernel can compute instead of looking its times up; else 0. */
static double
even_step(const double *times, u32 count)
{
    double step = count > 1 ? times[1] : 0;
    for (u32 k = 0; k < count; k++)
        if (times[k] != k * step)
            return 0;
    return step;
}

bool
rxn__sample_times(Engine *engine, Pipeline *pipeline, const TimesRequest *request,
                  SampleTimes *ret_times)
{
    const Network *network = pipeline->network;
    Wanted wanted;
    if (!choose(engine, network, request, &wanted))
        return false;
    bool from_line = !isnan(request->until) || request->at->count > 0;
    if (!check(engine, &wanted, from_line))
        return false;
    u32 grid = 0;
    if (!isnan(wanted.every))
        grid = (u32)floor(wanted.until / wanted.every + end_tolerance) + 1;
    double *times = NEW_ARRAY(&pipeline->arena, double, (size_t)grid + wanted.at_count + 1);
    u32 count = 0;
    for (u32 k = 0; k < grid; k++)
        times[count++] = k * wanted.every;
    if (grid > 1 && fabs(times[grid - 1] - wanted.until) <= end_tolerance * wanted.every)
        times[grid - 1] = wanted.until;
    for (u32 k = 0; k < wanted.at_count; k++)
        if (wanted.at[k] <= wanted.until)
            times[count++] = wanted.at[k] == 0 ? 0 : wanted.at[k]; /* -0 is 0 */
    qsort(times, count, sizeof *times, compare_times);
    u32 distinct = 0;
    for (u32 k = 0; k < count; k++)
        if (distinct == 0 || times[k] != times[distinct - 1])
            times[distinct++] = times[k];
    if (distinct == 0) {
        rxn__engine_error(engine, "there is no sample time up to %g", wanted.until);
        rxn__engine_note(engine, "give --every DT or --at t1,t2,…");
        return false;
    }
    times[distinct] = INFINITY;
    *ret_times = (SampleTimes){times, distinct, wanted.until, even_step(times, distinct)};
    return true;
}
