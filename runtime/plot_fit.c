/* plot_fit.c: the picture of a fit: its loss over the steps, then the model beside the data. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "runtime/plot_private.h"
#include "runtime/report.h"

enum { POINTS = 400, PANEL_WIDTH = 640, PANEL_HEIGHT = 440 };

static uint32_t
panel_count(const RxnFitPicture *picture)
{
    return picture->curve_count < RXN_FIT_PANELS ? picture->curve_count : RXN_FIT_PANELS;
}

/* Losses of many steps are drawn as means of stretches: their noise would hide what becomes of them. */
typedef struct Stretch {
    double step, loss, se; /* the middle one; mean; of the mean */
} Stretch;

static uint64_t
stretch_length(const RxnFitPicture *picture)
{
    return (picture->steps + POINTS - 1) / POINTS;
}

static uint64_t
stretch_count(const RxnFitPicture *picture)
{
    uint64_t length = stretch_length(picture);
    return length ? (picture->steps + length - 1) / length : 0;
}

static Stretch
stretch_of(const RxnFitPicture *picture, uint64_t number)
{
    uint64_t length = stretch_length(picture), first = number * length, end = first + length;
    if (end > picture->steps)
        end = picture->steps;
    Stretch mean = {0};
    for (uint64_t k = first; k < end; k++) {
        mean.loss += picture->loss[k];
        mean.se += picture->loss_se[k] * picture->loss_se[k];
    }
    double count = (double)(end - first);
    return (Stretch){(double)(first + end + 1) / 2, mean.loss / count, sqrt(mean.se) / count};
}

/* How losses are drawn. Those that fall by orders of magnitude want a logarithmic axis; what is not positive, as minus the
 * logarithm of a likelihood may be, is counted from a level a little below the least then. */
typedef struct LossAxis {
    bool logs;
    double level, floor; /* drawn is loss - level, but no less than the floor */
} LossAxis;

static LossAxis
loss_axis(const RxnFitPicture *picture)
{
    double least = INFINITY, most = -INFINITY, late_least = INFINITY, late_most = -INFINITY;
    uint64_t count = stretch_count(picture);
    for (uint64_t k = 0; k < count; k++) {
        double loss = stretch_of(picture, k).loss;
        least = fmin(least, loss);
        most = fmax(most, loss);
        if (k >= count / 2) {
            late_least = fmin(late_least, loss);
            late_most = fmax(late_most, loss);
        }
    }
    for (uint64_t k = 0; k < picture->steps; k++)
        if (!isnan(picture->validation[k]))
            least = fmin(least, picture->validation[k]);
    if (least > 0)
        return (LossAxis){most > 3 * least, 0, least / 10};
    double spread = late_most - late_least;
    if (spread > 0 && most - least > 30 * spread)
        return (LossAxis){true, least - spread, spread / 10};
    return (LossAxis){false, 0, -INFINITY};
}

static void
put_loss(FILE *script, const RxnFitPicture *picture)
{
    LossAxis axis = loss_axis(picture);
    bool validates = false;
    fputs("$loss << EOD\n", script);
    for (uint64_t k = 0; k < stretch_count(picture); k++) {
        Stretch at = stretch_of(picture, k);
        double loss = at.loss - axis.level;
        fprintf(script, "%.12g", at.step);
        rxn__plot_value(script, loss);
        rxn__plot_value(script, fmax(loss - 2 * at.se, axis.floor));
        rxn__plot_value(script, loss + 2 * at.se);
        fputc('\n', script);
    }
    fputs("EOD\n$validation << EOD\n", script);
    for (uint64_t k = 0; k < picture->steps; k++) {
        if (isnan(picture->validation[k]))
            continue;
        validates = true;
        fprintf(script, "%" PRIu64, k + 1);
        rxn__plot_value(script, picture->validation[k] - axis.level);
        fputc('\n', script);
    }
    fputs("EOD\nset title ", script);
    rxn__plot_string(script, picture->model);
    fputs(" noenhanced\nset xlabel 'step'\n", script);
    if (axis.level != 0)
        fprintf(script, "set ylabel 'loss %c %.4g'\n", axis.level < 0 ? '+' : '-',
                fabs(axis.level));
    else
        fputs("set ylabel 'loss'\n", script);
    fprintf(script, "%s\nset xrange [1:%" PRIu64 "]\n",
            axis.logs ? "set logscale y\nset format y '%.3g'" : "set format y '%g'",
            picture->steps > 1 ? picture->steps : 2);
    fprintf(script,
            "plot $loss using 1:3:4 with filledcurves linecolor '%s' notitle, "
            "$loss using 1:2 with lines linewidth 1.8 linecolor '%s' title 'loss ± 2 se",
            rxn__plot_colours[0], rxn__plot_colours[0]);
    if (stretch_length(picture) > 1)
        fprintf(script, ", means of %" PRIu64 " steps", stretch_length(picture));
    fputc('\'', script);
    if (validates)
        fprintf(script,
                ", $validation using 1:2 with linespoints linewidth 1.6 pointtype 7 pointsize 0.4 "
                "linecolor '%s' title 'validation'",
                rxn__plot_colours[1]);
    fputs("\nunset logscale y\nset format y '%g'\nset xrange [*:*]\n", script);
}

static void
put_curve(FILE *script, const RxnFitCurve *curve, uint32_t number)
{
    bool has_sd = false;
    fprintf(script, "$curve%u << EOD\n", number);
    for (uint32_t k = 0; k < curve->count; k++) {
        double sd = isnan(curve->measured_sd[k]) ? 0 : curve->measured_sd[k];
        has_sd = has_sd || sd > 0;
        rxn__plot_value(script, curve->x[k]);
        rxn__plot_value(script, curve->measured[k]);
        rxn__plot_value(script, sd);
        rxn__plot_value(script, curve->modelled[k]);
        fputc('\n', script);
    }
    fputs("EOD\nset title ", script);
    char title[300], fits[40] = "";
    if (!isnan(curve->r2)) /* of a single point there is none */
        snprintf(fits, sizeof fits, ", R² = %.5g", curve->r2);
    snprintf(title, sizeof title, "%.100s%s%.120s%s", curve->experiment,
             curve->experiment[0] ? ": " : "", curve->model, fits);
    rxn__plot_string(script, title);
    fputs(" noenhanced\nset xlabel ", script);
    rxn__plot_string(script, curve->axis);
    fputs("\nset ylabel ''\n", script);
    /* Many points are drawn small, and none of their bars. */
    bool many = curve->count > 100;
    fprintf(script,
            "plot $curve%u using 1:2%s with %s pointtype 7 pointsize %s linecolor '#555555' title ",
            number, has_sd && !many ? ":3" : "", has_sd && !many ? "yerrorbars" : "points",
            many ? "0.3" : "0.9");
    rxn__plot_string(script, curve->data);
    fprintf(script, ", $curve%u using 1:4 with %s linewidth 2.2 %s linecolor '%s' title ", number,
            curve->count == 1 ? "points" : "lines", curve->count == 1 ? "pointtype 6" : "",
            rxn__plot_colours[number % (RXN_PLOT_COLOURS - 1)]);
    rxn__plot_string(script, curve->model);
    fputc('\n', script);
}

static void
write_script(FILE *script, const void *what, const char *path)
{
    const RxnFitPicture *picture = what;
    uint32_t panels = 1 + panel_count(picture);
    uint32_t across = panels == 1 ? 1 : panels <= 4 ? 2 : 3, down = (panels + across - 1) / across;
    rxn__plot_page(script, path, (int)across * PANEL_WIDTH, (int)down * PANEL_HEIGHT);
    fputs("set key below center horizontal Left reverse samplen 2 noenhanced\n"
          "set style fill transparent solid 0.20 noborder\n",
          script);
    fprintf(script, "set multiplot layout %u,%u\n", down, across);
    if (picture->steps > 0)
        put_loss(script, picture);
    for (uint32_t k = 0; k < panel_count(picture); k++)
        put_curve(script, &picture->curves[k], k);
    fputs("unset multiplot\n", script);
}

bool
rxn__plot_fit(const RxnFitPicture *picture, const char *path, char *message, size_t size)
{
    if (picture->steps == 0 && picture->curve_count == 0) {
        snprintf(message, size, "there is nothing to draw");
        return false;
    }
    if (!rxn__plot_draw(write_script, picture, path, message, size))
        return false;
    if (panel_count(picture) < picture->curve_count)
        snprintf(message, size, "the first %u of %u comparisons", panel_count(picture),
                 picture->curve_count);
    return true;
}
