/* plot.c: the picture of a run. */
#include <inttypes.h>
#include <math.h>

#include "runtime/plot_private.h"
#include "runtime/report.h"

enum { POINTS = 4000 };

static uint32_t
series_count(const RxnReport *report)
{
    return report->columns < RXN_PLOT_SERIES ? report->columns : RXN_PLOT_SERIES;
}

static uint64_t
trajectory_count(const RxnReport *report)
{
    return report->kept_count < RXN_PLOT_TRAJECTORIES ? report->kept_count : RXN_PLOT_TRAJECTORIES;
}

/* Every how many-th sample time is drawn: more points than pixels help nobody. */
static uint32_t
stride(const RxnReport *report)
{
    return (report->sample_count + POINTS - 1) / POINTS;
}

/* What the picture shows, for its title: the model, of what, and what was left out. */
static void
describe(const RxnReport *report, char *title, size_t size)
{
    char count[32];
    unsigned shown = (unsigned)trajectory_count(report);
    rxn__format_grouped(count, sizeof count, report->run->trajectories);
    int at;
    if (report->run->exact)
        at = snprintf(title, size, "%.200s: mean ± sd, exact (master equation)", report->model);
    else if (report->run->trajectories == 1)
        at = snprintf(title, size, "%.200s: one trajectory", report->model);
    else if (!report->each)
        at = snprintf(title, size, "%.200s: mean ± sd of %s trajectories", report->model, count);
    else if (shown == report->run->trajectories)
        at = snprintf(title, size, "%.200s: %s trajectories", report->model, count);
    else
        at = snprintf(title, size, "%.200s: %u of %s trajectories", report->model, shown, count);
    if (series_count(report) < report->columns)
        snprintf(title + at, size - (size_t)at, ", %u of %u observables", series_count(report),
                 report->columns);
}

static void
put_title(FILE *script, const RxnReport *report)
{
    char title[400];
    describe(report, title, sizeof title);
    fputs("set title ", script);
    rxn__plot_string(script, title);
    fputs(" noenhanced\n", script);
}

static void
put_settings(FILE *script, const RxnReport *report)
{
    fputs("set key outside right top Left reverse samplen 3 spacing 1.25 noenhanced\n"
          "set xlabel 'time'\nset ylabel 'count'\n",
          script);
    put_title(script, report);
    /* Many bands over each other have to be fainter, or nothing is seen of those behind. */
    fprintf(script, "set style fill transparent solid %s noborder\n",
            series_count(report) > 4 ? "0.10" : "0.20");
}

/* Counts are drawn from zero; only an observable that goes below moves the axis. */
static void
put_ranges(FILE *script, const RxnReport *report)
{
    uint32_t series = series_count(report);
    uint64_t rows =
        report->each ? trajectory_count(report) * report->sample_count : report->sample_count;
    const double *values = report->each ? report->kept : report->run->mean;
    bool negative = false;
    for (uint64_t k = 0; k < rows; k++)
        for (uint32_t c = 0; c < series; c++)
            negative = negative || values[k * report->columns + c] < 0;
    if (!negative)
        fputs("set yrange [0:*]\n", script);
    double first = report->times[0], last = report->times[report->sample_count - 1];
    if (last > first)
        fprintf(script, "set xrange [%.17g:%.17g]\n", first, last);
}

static void
put_statistics(FILE *script, const RxnReport *report)
{
    uint32_t series = series_count(report);
    fputs("$data << EOD\n", script);
    for (uint32_t k = 0; k < report->sample_count; k += stride(report)) {
        fprintf(script, "%.17g", report->times[k]);
        for (uint32_t c = 0; c < series; c++) {
            size_t cell = (size_t)k * report->columns + c;
            double mean = report->run->mean[cell], sd = rxn__report_sd(report, cell);
            rxn__plot_value(script, mean);
            rxn__plot_value(script, mean - sd);
            rxn__plot_value(script, mean + sd);
        }
        fputc('\n', script);
    }
    fputs("EOD\nplot", script);
    bool one_time = report->sample_count == 1; /* no lines and no bands: bars */
    for (uint32_t c = 0; c < series && !one_time; c++)
        fprintf(script, "%s $data using 1:%u:%u with filledcurves linecolor '%s' notitle",
                c ? ", \\\n    " : "", 3 * c + 3, 3 * c + 4,
                rxn__plot_colours[c % RXN_PLOT_COLOURS]);
    for (uint32_t c = 0; c < series; c++) {
        fputs(c || !one_time ? ", \\\n     " : " ", script);
        if (one_time)
            fprintf(script, "$data using 1:%u:%u:%u with yerrorbars linewidth 1.6 pointtype 7",
                    3 * c + 2, 3 * c + 3, 3 * c + 4);
        else
            fprintf(script, "$data using 1:%u with lines linewidth 2.4 dashtype %u", 3 * c + 2,
                    c / RXN_PLOT_COLOURS + 1);
        fprintf(script, " linecolor '%s' title ", rxn__plot_colours[c % RXN_PLOT_COLOURS]);
        rxn__plot_string(script, report->labels[c]);
    }
    fputc('\n', script);
}

static void
put_trajectories(FILE *script, const RxnReport *report)
{
    uint32_t series = series_count(report);
    uint64_t count = trajectory_count(report);
    for (uint64_t i = 0; i < count; i++) {
        fprintf(script, "$t%" PRIu64 " << EOD\n", i);
        for (uint32_t k = 0; k < report->sample_count; k += stride(report)) {
            fprintf(script, "%.17g", report->times[k]);
            for (uint32_t c = 0; c < series; c++)
                rxn__plot_value(script,
                                report->kept[(i * report->sample_count + k) * report->columns + c]);
            fputc('\n', script);
        }
        fputs("EOD\n", script);
    }
    fputs("plot", script);
    const char *style = report->sample_count == 1 ? "points pointtype 7" : "steps";
    for (uint32_t c = 0; c < series; c++) {
        for (uint64_t i = 0; i < count; i++) {
            fprintf(script, "%s $t%" PRIu64 " using 1:%u with %s linewidth %s linecolor '%s'",
                    c + i ? ", \\\n    " : "", i, c + 2, style, count > 1 ? "1.2" : "1.8",
                    rxn__plot_colours[c % RXN_PLOT_COLOURS]);
            if (report->sample_count > 1)
                fprintf(script, " dashtype %u", c / RXN_PLOT_COLOURS + 1);
            if (i == 0) {
                fputs(" title ", script);
                rxn__plot_string(script, report->labels[c]);
            } else {
                fputs(" notitle", script);
            }
        }
    }
    fputc('\n', script);
}

void
rxn__plot_script(FILE *script, const RxnReport *report, const char *path)
{
    rxn__plot_page(script, path, 960, 600);
    put_settings(script, report);
    put_ranges(script, report);
    if (report->each)
        put_trajectories(script, report);
    else
        put_statistics(script, report);
}

static void
describe_cuts(const RxnReport *report, char *message, size_t size)
{
    size_t at = 0;
    message[0] = '\0';
    if (series_count(report) < report->columns)
        at += (size_t)snprintf(message, size, "the first %u of %u observables",
                               series_count(report), report->columns);
    if (report->each && trajectory_count(report) < report->run->trajectories && at < size)
        at += (size_t)snprintf(message + at, size - at,
                               "%sthe first %u of %" PRIu64 " trajectories", at ? ", " : "",
                               (unsigned)trajectory_count(report), report->run->trajectories);
    if (stride(report) > 1 && at < size)
        snprintf(message + at, size - at, "%sone of %u sample times", at ? ", " : "",
                 stride(report));
}

static void
write_script(FILE *script, const void *report, const char *path)
{
    rxn__plot_script(script, report, path);
}

bool
rxn__plot_run(const RxnReport *report, const char *path, char *message, size_t size)
{
    if (!rxn__plot_draw(write_script, report, path, message, size))
        return false;
    describe_cuts(report, message, size);
    return true;
}

/* ---- On a terminal, and in a window ------------------------------------------------------------- */

typedef struct TextPicture {
    const RxnReport *report;
    uint32_t width, height;
} TextPicture;

/* Means as lines of characters, one kind for each; bands would hide them. */
static void
write_text(FILE *script, const void *what)
{
    const TextPicture *picture = what;
    const RxnReport *report = picture->report;
    fprintf(script,
            "set encoding utf8\nset terminal dumb nofeed noenhanced size %u,%u\n"
            "set key outside top center horizontal noenhanced\nset tics out nomirror\n"
            "set border 3\n",
            picture->width, picture->height);
    char count[32], title[300];
    rxn__format_grouped(count, sizeof count, report->run->trajectories);
    snprintf(title, sizeof title, "%.200s: mean of %s %s", report->model, count,
             report->run->trajectories == 1 ? "trajectory" : "trajectories");
    fputs("set title ", script);
    rxn__plot_string(script, title);
    fputc('\n', script);
    put_ranges(script, report);
    fputs("$data << EOD\n", script);
    for (uint32_t k = 0; k < report->sample_count; k += stride(report)) {
        fprintf(script, "%.17g", report->times[k]);
        for (uint32_t c = 0; c < series_count(report); c++)
            rxn__plot_value(script, report->run->mean[(size_t)k * report->columns + c]);
        fputc('\n', script);
    }
    fputs("EOD\nplot", script);
    for (uint32_t c = 0; c < series_count(report); c++) {
        fprintf(script, "%s $data using 1:%u with %s title ", c ? "," : "", c + 2,
                report->sample_count == 1 ? "points" : "lines");
        char label[160];
        snprintf(label, sizeof label, "   %.150s", report->labels[c]);
        rxn__plot_string(script, label);
    }
    fputc('\n', script);
}

bool
rxn__plot_text(FILE *file, const RxnReport *report, uint32_t width, uint32_t height, char *message,
               size_t size)
{
    TextPicture picture = {report, width, height};
    if (!rxn__plot_show(write_text, &picture, file, message, size))
        return false;
    describe_cuts(report, message, size);
    return true;
}

static void
write_window(FILE *script, const void *what)
{
    static const char *const kinds[] = {"qt", "wxt", "x11"};
    const RxnReport *report = what;
    fputs("set encoding utf8\n", script);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        fprintf(script,
                "%s (strstrt(GPVAL_TERMINALS, ' %s ') > 0) {\n  set terminal %s persist size "
                "960,600\n",
                k ? "} else { if" : "if", kinds[k], kinds[k]);
    fputs("} else {\n  printerr 'this gnuplot draws no windows'\n  exit status 3\n}}}\n"
          "set border 3 linecolor '#444444'\nset tics out nomirror\n"
          "set grid back linecolor '#dddddd'\n",
          script);
    put_settings(script, report);
    put_ranges(script, report);
    put_statistics(script, report);
}

bool
rxn__plot_window(const RxnReport *report, char *message, size_t size)
{
    if (!rxn__plot_show(write_window, report, NULL, message, size))
        return false;
    describe_cuts(report, message, size);
    return true;
}
