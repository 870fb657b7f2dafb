/* fit_plot.c: the picture of a fit, for the runtime to draw. */
#include <stdlib.h>

#include "compiler/driver/fit_report.h"

/* Steps and curves, in arrays that the picture points to. */
typedef struct Room {
    double *loss, *se, *validation;
    RxnFitCurve *curves;
} Room;

static bool
make_room(const RxnFitted *fitted, Room *room)
{
    const size_t steps = fitted->step_count + 1;
    room->loss = calloc(steps, sizeof *room->loss);
    room->se = calloc(steps, sizeof *room->se);
    room->validation = calloc(steps, sizeof *room->validation);
    room->curves = calloc(fitted->series_count + 1, sizeof *room->curves);
    return room->loss && room->se && room->validation && room->curves;
}

static RxnFitPicture
picture_of(const FitCommand *command, const Room *room)
{
    const RxnFitted *fitted = &command->fitted;
    uint64_t steps = 0;
    uint32_t count = 0;
    for (size_t k = 0; k < fitted->step_count; k++) {
        const RxnFitStep *step = &fitted->history[k];
        if (!step->main) /* the short fits of multi-start */
            continue;
        room->loss[steps] = step->loss;
        room->se[steps] = step->loss_se;
        room->validation[steps++] = step->validation;
    }
    for (size_t k = 0; k < fitted->series_count; k++) {
        const RxnFitSeries *series = &fitted->series[k];
        if (series->aside)
            continue;
        room->curves[count++] = (RxnFitCurve){
            .experiment = series->experiment,
            .model = series->model,
            .data = series->data,
            .axis = series->axis ? series->axis : "",
            .r2 = series->r2,
            .count = (uint32_t)series->count,
            .x = series->x,
            .measured = series->measured,
            .measured_sd = series->measured_sd,
            .modelled = series->modelled,
        };
    }
    return (RxnFitPicture){rxn_model_name(command->model),
                           steps,
                           room->loss,
                           room->se,
                           room->validation,
                           count,
                           room->curves};
}

static RxnStatus
draw(const FitCommand *command, const Room *room)
{
    Driver *driver = command->driver;
    const char *path = command->flags.plot;
    const RxnFitPicture picture = picture_of(command, room);
    char message[512];
    if (!rxn__plot_fit(&picture, path, message, sizeof message)) {
        rxn__driver_error(driver, "the plot '%s' could not be made: %s", path, message);
        rxn__driver_note(driver, "the fit itself is good; -o FILE.json keeps its result");
        return RXN_ERROR_INPUT;
    }
    if (message[0] && !command->flags.ensemble.quiet)
        rxn__driver_note(driver, "the plot shows %s", message);
    return RXN_OK;
}

RxnStatus
rxn__fit_draw(const FitCommand *command)
{
    Room room = {0};
    RxnStatus status = make_room(&command->fitted, &room) ? draw(command, &room) : RXN_ERROR_MEMORY;
    free(room.loss);
    free(room.se);
    free(room.validation);
    free(room.curves);
    return status;
}
