/* plot.c: draws a run with gnuplot, which is run as a program and reads its script, data included,
 * from standard input.
 *
 * The drawing goes to a file beside the wanted one and is renamed when gnuplot is content, so that no
 * half of a picture is left.
 */
#include "runtime/report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* M. Okabe, K. Ito, "Color universal design" (2008), without the yellow, which is too light for lines
 * on white. Colours come again with another dash pattern. */
static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#000000"};
enum { COLOURS = sizeof colours / sizeof colours[0], POINTS = 4000 };

static bool
ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length > tail && strcmp(text + length - tail, ending) == 0;
}

bool
rxn__plot_knows(const char *path)
{
    return ends_with(path, ".svg") || ends_with(path, ".png");
}

/* A string of gnuplot in single quotes, in which only the quote itself is special. */
static void
put_string(FILE *script, const char *text)
{
    fputc('\'', script);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '\'')
            fputc('\'', script);
        fputc(c < 0x20 || c == 0x7F ? ' ' : c, script);
    }
    fputc('\'', script);
}

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
    rxn__format_grouped(count, sizeof count, report->result->trajectories);
    int at;
    if (report->exact)
        at = snprintf(title, size, "%.200s: mean ± sd, exact (master equation)", report->model);
    else if (report->result->trajectories == 1)
        at = snprintf(title, size, "%.200s: one trajectory", report->model);
    else if (!report->each)
        at = snprintf(title, size, "%.200s: mean ± sd of %s trajectories", report->model, count);
    else if (shown == report->result->trajectories)
        at = snprintf(title, size, "%.200s: %s trajectories", report->model, count);
    else
        at = snprintf(title, size, "%.200s: %u of %s trajectories", report->model, shown, count);
    if (series_count(report) < report->columns)
        snprintf(title + at, size - (size_t)at, ", %u of %u observables", series_count(report),
                 report->columns);
}

static void
put_settings(FILE *script, const RxnReport *report, const char *path)
{
    fputs("set encoding utf8\n", script);
    if (ends_with(path, ".svg"))
        fputs("set terminal svg size 960,600 dynamic noenhanced font 'Helvetica,15' "
              "background '#ffffff'\n",
              script);
    else
        fputs("if (strstrt(GPVAL_TERMINALS, 'pngcairo') > 0) {\n"
              "  set terminal pngcairo size 1440,900 noenhanced font 'Helvetica,15' fontscale 1.3 "
              "linewidth 1.6 background '#ffffff'\n"
              "} else {\n"
              "  set terminal png size 1440,900 noenhanced giant\n"
              "}\n",
              script);
    fputs("set output ", script);
    put_string(script, path);
    fputs("\nset border 3 linecolor '#444444'\n"
          "set tics out nomirror textcolor '#222222'\n"
          "set grid back linecolor '#dddddd' linewidth 0.8 linetype 1\n"
          "set key outside right top Left reverse samplen 3 spacing 1.25 noenhanced\n"
          "set xlabel 'time'\nset ylabel 'count'\n"
          "set title ",
          script);
    char title[400];
    describe(report, title, sizeof title);
    put_string(script, title);
    /* Many bands over each other have to be fainter, or nothing is seen of those behind. */
    fprintf(script, " noenhanced\nset style fill transparent solid %s noborder\n",
            series_count(report) > 4 ? "0.10" : "0.20");
}

/* Counts are drawn from zero; only an observable that goes below moves the axis. */
static void
put_ranges(FILE *script, const RxnReport *report)
{
    uint32_t series = series_count(report);
    uint64_t rows =
        report->each ? trajectory_count(report) * report->sample_count : report->sample_count;
    const double *values = report->each ? report->kept : report->result->mean;
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
put_value(FILE *script, double value)
{
    if (isfinite(value))
        fprintf(script, " %.9g", value);
    else
        fputs(" NaN", script);
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
            double mean = report->result->mean[cell], sd = rxn__report_sd(report, cell);
            put_value(script, mean);
            put_value(script, mean - sd);
            put_value(script, mean + sd);
        }
        fputc('\n', script);
    }
    fputs("EOD\nplot", script);
    bool one_time = report->sample_count == 1; /* no lines and no bands: bars */
    for (uint32_t c = 0; c < series && !one_time; c++)
        fprintf(script, "%s $data using 1:%u:%u with filledcurves linecolor '%s' notitle",
                c ? ", \\\n    " : "", 3 * c + 3, 3 * c + 4, colours[c % COLOURS]);
    for (uint32_t c = 0; c < series; c++) {
        fputs(c || !one_time ? ", \\\n     " : " ", script);
        if (one_time)
            fprintf(script, "$data using 1:%u:%u:%u with yerrorbars linewidth 1.6 pointtype 7",
                    3 * c + 2, 3 * c + 3, 3 * c + 4);
        else
            fprintf(script, "$data using 1:%u with lines linewidth 2.4 dashtype %u", 3 * c + 2,
                    c / COLOURS + 1);
        fprintf(script, " linecolor '%s' title ", colours[c % COLOURS]);
        put_string(script, report->labels[c]);
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
                put_value(script,
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
                    colours[c % COLOURS]);
            if (report->sample_count > 1)
                fprintf(script, " dashtype %u", c / COLOURS + 1);
            if (i == 0) {
                fputs(" title ", script);
                put_string(script, report->labels[c]);
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
    put_settings(script, report, path);
    put_ranges(script, report);
    if (report->each)
        put_trajectories(script, report);
    else
        put_statistics(script, report);
}

/* ---- running gnuplot --------------------------------------------------------------------------- */

/* Runs gnuplot on the script; its complaints go to `complaints`. 0, or an errno of starting it, or -1
 * if it failed. */
static int
run_gnuplot(int script, int complaints)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    posix_spawn_file_actions_adddup2(&actions, script, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, complaints, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO);
    char *arguments[] = {"gnuplot", "-", NULL};
    pid_t child;
    int error = posix_spawnp(&child, "gnuplot", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        return error;
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return ENOENT;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static void
first_line(FILE *file, char *line, size_t size)
{
    line[0] = '\0';
    rewind(file);
    while (fgets(line, (int)size, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[strspn(line, " ^\t")] != '\0')
            return;
    }
}

static void
describe_cuts(const RxnReport *report, char *message, size_t size)
{
    size_t at = 0;
    message[0] = '\0';
    if (series_count(report) < report->columns)
        at += (size_t)snprintf(message, size, "the first %u of %u observables",
                               series_count(report), report->columns);
    if (report->each && trajectory_count(report) < report->result->trajectories && at < size)
        at += (size_t)snprintf(message + at, size - at,
                               "%sthe first %u of %" PRIu64 " trajectories", at ? ", " : "",
                               (unsigned)trajectory_count(report), report->result->trajectories);
    if (stride(report) > 1 && at < size)
        snprintf(message + at, size - at, "%sone of %u sample times", at ? ", " : "",
                 stride(report));
}

bool
rxn__plot_run(const RxnReport *report, const char *path, char *message, size_t size)
{
    size_t length = strlen(path);
    char *beside = malloc(length + 32);
    FILE *script = tmpfile(), *complaints = tmpfile();
    bool good = false;
    if (!beside || !script || !complaints) {
        snprintf(message, size, "no temporary file could be made: %s", strerror(errno));
    } else {
        /* The ending stays: gnuplot needs none, but a person who finds the file does. */
        snprintf(beside, length + 32, "%.*s.part%ld%s", (int)(length - 4), path, (long)getpid(),
                 path + length - 4);
        rxn__plot_script(script, report, beside);
        bool written = fflush(script) == 0 && !ferror(script);
        rewind(script);
        lseek(fileno(script), 0, SEEK_SET);
        int error = written ? run_gnuplot(fileno(script), fileno(complaints)) : errno;
        struct stat drawn;
        if (error == ENOENT) {
            snprintf(message, size, "gnuplot is not installed (Debian: apt install gnuplot-nox)");
        } else if (error > 0) {
            snprintf(message, size, "gnuplot could not be started: %s", strerror(error));
        } else if (error < 0 || stat(beside, &drawn) != 0 || drawn.st_size == 0) {
            char line[160];
            first_line(complaints, line, sizeof line);
            snprintf(message, size, "gnuplot failed: %s", line[0] ? line : "no message");
        } else if (rename(beside, path) != 0) {
            snprintf(message, size, "%s", strerror(errno));
        } else {
            describe_cuts(report, message, size);
            good = true;
        }
        if (!good)
            unlink(beside);
    }
    if (script)
        fclose(script);
    if (complaints)
        fclose(complaints);
    free(beside);
    return good;
}
