/* run_cme.c: `rxn run --method cme`: means and standard deviations from the master equation, without
 * trajectories. The figures are shown as those of an ensemble are; what is said about the run differs.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compiler/cme/cme.h"
#include "compiler/driver/run_cme.h"

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void
show_progress(void *context, u64 done, u64 total)
{
    RxnProgress *progress = context;
    static const double quiet_seconds = 0.5;
    if (!progress->file || now() - progress->start < quiet_seconds)
        return;
    fprintf(progress->file, "\r%3.0f %% of the time\033[K",
            100 * (double)done / (double)(total ? total : 1));
    fflush(progress->file);
    progress->shown = true;
}

/* The runtime's standard deviation has n - 1 below, so the variances are those of two trajectories; what
 * is written about the run does not come from there. */
static bool
put_result(const CmeMoments *moments, size_t cells, RxnEnsembleResult *ret_result)
{
    ret_result->trajectories = 2;
    ret_result->threads = 1;
    ret_result->mean = calloc(cells + 1, sizeof(double));
    ret_result->m2 = calloc(cells + 1, sizeof(double));
    if (!ret_result->mean || !ret_result->m2)
        return false;
    memcpy(ret_result->mean, moments->mean, cells * sizeof(double));
    memcpy(ret_result->m2, moments->variance, cells * sizeof(double));
    return true;
}

RxnStatus
rxn__run_cme(Driver *driver, CmeRun *run, RxnEnsembleResult *ret_result)
{
    RxnProgress progress;
    rxn__progress_begin(&progress, run->quiet ? NULL : stderr);
    CmeOptions options = {.cancel = rxn__interrupt_begin(),
                          .progress = progress.file ? show_progress : NULL,
                          .progress_context = &progress};
    CmeModel model = {run->pipeline->network, run->values->params, run->values->inputs};
    const char *reason = NULL;
    double start = now();
    RxnStatus status = rxn__cme_moments(&model, run->times->times, run->times->count, &options,
                                        &run->pipeline->arena, &run->moments, &reason);
    ret_result->seconds = now() - start;
    rxn__interrupt_end();
    rxn__progress_end(&progress);
    if (status == RXN_ERROR_INPUT) {
        rxn__driver_error(driver, "the method 'cme' cannot solve this model: %s", reason);
        rxn__driver_note(driver, "--method auto simulates it");
    }
    if (status == RXN_CANCELLED)
        rxn__driver_error(driver, "interrupted; nothing was written");
    if (status == RXN_ERROR_INTERNAL)
        driver->internal_error = reason;
    if (status != RXN_OK)
        return status;
    size_t cells = (size_t)run->times->count * run->pipeline->network->column_count;
    return put_result(&run->moments, cells, ret_result) ? RXN_OK : RXN_ERROR_MEMORY;
}

/* ---- what is said about the run ---------------------------------------------------------------- */

void
rxn__json_cme(FILE *file, const CmeRun *run, const RxnReport *report)
{
    fputs("{\n  \"model\": ", file);
    rxn__json_string(file, report->model);
    fprintf(file,
            ",\n  \"method\": \"cme\",\n  \"device\": \"cpu\",\n  \"precision\": \"f64\",\n"
            "  \"threads\": 1,\n  \"seed\": %" PRIu64 ",\n  \"trajectories\": 0,\n"
            "  \"samples\": %u,\n  \"observables\": %u,\n  \"events\": 0,\n  \"seconds_compile\": ",
            report->seed, report->sample_count, report->columns);
    rxn__json_number(file, report->seconds_compile);
    fputs(",\n  \"seconds_run\": ", file);
    rxn__json_number(file, report->result->seconds);
    fputs(",\n  \"events_per_second\": 0,\n  \"lost_mass\": ", file);
    rxn__json_number(file, run->moments.lost);
    fprintf(file,
            ",\n  \"states\": %" PRIu64 ",\n  \"transitions\": %" PRIu64
            ",\n  \"products\": %" PRIu64 ",\n  \"version\": ",
            run->moments.cost.states, run->moments.cost.transitions, run->moments.cost.products);
    rxn__json_string(file, rxn_version());
    fputs("\n}\n", file);
}

static void
say_summary(FILE *file, const CmeRun *run, const RxnReport *report)
{
    char states[32], transitions[32], seconds[40];
    rxn__format_grouped(states, sizeof states, run->moments.cost.states);
    rxn__format_grouped(transitions, sizeof transitions, run->moments.cost.transitions);
    rxn__format_duration(seconds, sizeof seconds, report->result->seconds);
    fprintf(file,
            "master equation on %s %s, %s transitions, in %s; at most %.2g of the probability is "
            "missing\n",
            states, run->moments.cost.states == 1 ? "state" : "states", transitions, seconds,
            run->moments.lost);
}

/* The rows are the runtime's; its last line counts trajectories, of which there are none. */
void
rxn__table_cme(FILE *file, const CmeRun *run, const RxnReport *report)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    if (memory) {
        rxn__table_run(memory, report);
        if (fclose(memory) == 0 && length > 1) {
            while (length > 1 && text[length - 2] != '\n')
                length--;
            fwrite(text, 1, length - 1, file);
        }
        free(text);
    }
    say_summary(file, run, report);
}
