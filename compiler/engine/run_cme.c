/* run_cme.c: `rxn run --method cme`: means and standard deviations from the master equation, without
 * trajectories. The figures are shown as those of an ensemble are (runtime/report.h).
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/cme/cme.h"
#include "compiler/engine/run_cme.h"
#include "runtime/report.h"

static bool
put_result(const CmeMoments *moments, size_t cells, RxnEnsembleResult *ret_result)
{
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
rxn__run_cme(Engine *engine, const CmeRun *run, RxnEnsembleResult *ret_result,
             CmeFigures *ret_figures)
{
    Watched watched = rxn__watch_begin(engine, false, run->quiet);
    CmeOptions options = {.state_limit = run->state_limit,
                          .work_limit = run->work_limit,
                          .cancel = watched.cancel,
                          .progress = watched.progress,
                          .progress_context = watched.progress_context};
    CmeModel model = {run->pipeline->network, run->values->params, run->values->inputs};
    CmeMoments moments;
    const char *reason = NULL;
    double start = rxn__seconds();
    RxnStatus status = rxn__cme_moments(&model, run->times->times, run->times->count, &options,
                                        &run->pipeline->arena, &moments, &reason);
    ret_result->seconds = rxn__seconds() - start;
    rxn__watch_end(engine);
    if (status == RXN_ERROR_INPUT) {
        rxn__engine_error(engine, "the method 'cme' cannot solve this model: %s", reason);
        rxn__engine_note(engine, "--method auto simulates it");
    }
    if (status == RXN_CANCELLED)
        rxn__engine_error(engine, "interrupted; nothing was written");
    if (status == RXN_ERROR_INTERNAL)
        engine->internal_error = reason;
    if (status != RXN_OK)
        return status;
    size_t cells = (size_t)run->times->count * run->pipeline->network->column_count;
    *ret_figures = (CmeFigures){moments.lost, moments.cost.states, moments.cost.transitions,
                                moments.cost.products};
    return put_result(&moments, cells, ret_result) ? RXN_OK : RXN_ERROR_MEMORY;
}
