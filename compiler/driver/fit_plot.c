/* fit_plot.c: the picture of a fit, for the runtime to draw. */
#include <string.h>

#include "compiler/driver/fit_report.h"

RxnStatus
rxn__fit_draw(FitRun *fit)
{
    Arena *arena = &fit->engine->session.arena;
    const RxnFitState *state = &fit->state;
    u64 steps = 0;
    double *loss = NEW_ARRAY(arena, double, state->record_count + 1);
    double *se = NEW_ARRAY(arena, double, state->record_count + 1);
    double *validation = NEW_ARRAY(arena, double, state->record_count + 1);
    for (u64 k = 0; k < state->record_count; k++) {
        const RxnFitRecord *record = &state->records[k];
        if (record->main == 0) /* the short fits of multi-start */
            continue;
        loss[steps] = record->loss;
        se[steps] = record->loss_se;
        validation[steps++] = record->validation;
    }
    RxnFitCurve *curves = NEW_ARRAY(arena, RxnFitCurve, (size_t)fit->series.count + 1);
    u32 count = 0;
    for (u32 k = 0; k < fit->series.count; k++) {
        const FitSeriesFigures *figures = &fit->series.items[k];
        const FitSeries *series = &figures->part->spec.series.items[figures->series];
        if (series->aside)
            continue;
        curves[count++] = (RxnFitCurve){
            .experiment = figures->part->name,
            .model = series->model,
            .data = series->data,
            .axis = series->axis ? series->axis : "",
            .r2 = figures->r2,
            .count = figures->count,
            .x = figures->x,
            .measured = figures->data,
            .measured_sd = figures->sd,
            .modelled = figures->model,
        };
    }
    RxnFitPicture picture = {fit->model, steps, loss, se, validation, count, curves};
    char message[512];
    if (!rxn__plot_fit(&picture, fit->options.plot, message, sizeof message)) {
        rxn__engine_error(fit->engine, "the plot '%s' could not be made: %s", fit->options.plot,
                          message);
        rxn__engine_note(fit->engine, "the fit itself is good; -o FILE.json keeps its result");
        return RXN_ERROR_INPUT;
    }
    if (message[0] && !fit->options.ensemble.quiet)
        rxn__engine_note(fit->engine, "the plot shows %s", message);
    return RXN_OK;
}
