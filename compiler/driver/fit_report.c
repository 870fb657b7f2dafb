/* fit_report.c: what `rxn fit` shows while it runs, and at the end. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "compiler/driver/fit_report.h"

enum {
    MOST_PARAMETERS = 24, /* rows of the table */
    MOST_MEMBERS = 6,     /* of an array, where there are more parameters than that */
    MOST_LINES = 20,      /* of progress where there is no terminal */
};

/* ---- progress ---------------------------------------------------------------------------------- */

/* Steps of all fits of multi-start. */
static double
all_steps(const RxnFitInfo *info)
{
    double part = info->steps / 10 > 10 ? (double)(info->steps / 10) : 10;
    return (double)info->steps + (info->starts > 1 ? (double)info->starts * part : 0);
}

static void
print_step(FILE *file, const FitCommand *command, const RxnFitStep *step)
{
    const RxnFitInfo info = rxn_fit_info(command->fit);
    char trajectories[32], left[40];
    rxn__format_grouped(trajectories, sizeof trajectories, step->trajectories);
    if (info.starts > 1 && !step->main)
        fprintf(file, "start %" PRIu64 " of %" PRIu64 ", step %" PRIu64, step->start + 1,
                info.starts, step->step + 1);
    else
        fprintf(file, "step %" PRIu64 " of %" PRIu64, step->step + 1, info.steps);
    double done = (double)command->lines, all = all_steps(&info) - (double)info.resumed;
    double elapsed = rxn__seconds() - command->begun;
    if (done > 0 && done < all) {
        rxn__format_duration(left, sizeof left, elapsed * (all - done) / done);
        fprintf(file, ", %s left", left);
    }
    fprintf(file, "  loss %.6g", step->loss);
    if (step->loss_se > 0)
        fprintf(file, " ± %.2g", step->loss_se);
    fprintf(file, "  |gradient| %.3g", step->gradient_norm);
    if (step->gradient_noise > 0)
        fprintf(file, " ± %.2g", step->gradient_noise);
    if (!isnan(step->validation))
        fprintf(file, "  validation %.6g", step->validation);
    if (!info.noiseless)
        fprintf(file, "  %s %s%s", trajectories,
                step->trajectories == 1 ? "trajectory" : "trajectories",
                info.has_samples ? " a sample" : "");
}

/* A line that is longer than the terminal is wide could not be written over. */
static void
show_on_terminal(const FitCommand *command, const RxnFitStep *step)
{
    char line[512] = "";
    struct winsize window = {0};
    FILE *file = fmemopen(line, sizeof line - 1, "w");
    if (!file)
        return;
    print_step(file, command, step);
    fclose(file);
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1
                      ? window.ws_col - 1
                      : 79;
    size_t length = 0;
    for (int width = 0; line[length]; length++) {
        width += ((unsigned char)line[length] & 0xC0) != 0x80;
        if (width > columns)
            break;
    }
    fprintf(stderr, "\r%.*s\033[K", (int)length, line);
    fflush(stderr);
}

void
rxn__fit_show_step(void *context, const RxnFitStep *step)
{
    FitCommand *command = context;
    command->lines++;
    if (command->flags.ensemble.quiet)
        return;
    double now = rxn__seconds();
    if (isatty(STDERR_FILENO)) {
        bool last = step->main && step->step + 1 == step->steps;
        if (now - command->shown < 0.1 && !last)
            return;
        command->shown = now;
        show_on_terminal(command, step);
        command->has_line = true;
        return;
    }
    /* No more lines than there is time to read. */
    const RxnFitInfo info = rxn_fit_info(command->fit);
    uint64_t every = (uint64_t)all_steps(&info) / MOST_LINES;
    double since = now - (command->shown > 0 ? command->shown : command->begun);
    if (since < 2 || (every > 1 && command->lines % every != 0 && isnan(step->validation)))
        return;
    command->shown = now;
    print_step(stderr, command, step);
    fputc('\n', stderr);
}

/* ---- the end ----------------------------------------------------------------------------------- */

static void
put_cell(char *cell, size_t size, double value, const char *otherwise)
{
    if (isfinite(value))
        snprintf(cell, size, "%.3g", value);
    else
        snprintf(cell, size, "%s", otherwise);
}

/* Digits of the value down to a tenth of its error. */
static void
put_value(char *cell, size_t size, double value, double error)
{
    int digits = 6;
    if (error > 0 && value != 0) {
        digits = (int)ceil(log10(fabs(value) / error)) + 2;
        digits = digits < 3 ? 3 : digits > 12 ? 12 : digits;
    }
    snprintf(cell, size, "%.*g", digits, value);
}

enum { CELL = 64, COLUMNS = 5 };

static void
print_rows(FILE *file, uint32_t rows, char (*cells)[COLUMNS][CELL], const bool *shown)
{
    const char *texts[(MOST_PARAMETERS + 1) * COLUMNS];
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < COLUMNS; c++)
            texts[r * COLUMNS + c] = shown[c] ? cells[r][c] : NULL;
    rxn__table_columns(file, rows, COLUMNS, 1, texts);
}

static bool
is_shown(const RxnFitInfo *info, size_t k)
{
    const char *const *labels = info->labels;
    if (info->parameter_count <= MOST_PARAMETERS)
        return true;
    /* Of each array the first members. */
    size_t member = 0;
    while (member < k && info->members[k - member - 1] + 1 == info->members[k - member] &&
           strchr(labels[k], '[') && strchr(labels[k - member - 1], '[') &&
           strncmp(labels[k], labels[k - member - 1], strcspn(labels[k], "[") + 1) == 0 &&
           member <= MOST_MEMBERS)
        member++;
    return member < MOST_MEMBERS;
}

static void
print_parameters(FILE *file, const RxnFitInfo *info, const RxnFitted *fitted)
{
    char cells[MOST_PARAMETERS + 1][COLUMNS][CELL];
    bool shown[COLUMNS] = {true, true, true, false, false};
    uint32_t rows = 1;
    const char *heads[] = {"parameter", "start", "value", "± simulation", "± data"};
    for (uint32_t c = 0; c < COLUMNS; c++)
        snprintf(cells[0][c], CELL, "%s", heads[c]);
    for (size_t k = 0; k < info->parameter_count && rows <= MOST_PARAMETERS; k++) {
        if (!is_shown(info, k))
            continue;
        const double simulation = fitted->se_simulation[k], data = fitted->se_data[k];
        double error = fmin(isfinite(simulation) && simulation > 0 ? simulation : INFINITY,
                            isfinite(data) ? data : INFINITY);
        snprintf(cells[rows][0], CELL, "%.40s", info->labels[k]);
        snprintf(cells[rows][1], CELL, "%.6g", info->start[k]);
        put_value(cells[rows][2], CELL, fitted->value[k], isfinite(error) ? error : 0);
        put_cell(cells[rows][3], CELL, simulation, "-");
        put_cell(cells[rows][4], CELL, data, "-");
        shown[3] = shown[3] || (isfinite(simulation) && !info->noiseless);
        shown[4] = shown[4] || isfinite(data);
        rows++;
    }
    print_rows(file, rows, cells, shown);
    if (rows - 1 < info->parameter_count)
        fprintf(file, "(%u of %zu parameters; -o FILE.json writes all)\n", rows - 1,
                info->parameter_count);
}

static void
print_loss(FILE *file, const RxnFitted *fitted)
{
    if (fitted->examined || fitted->step_count > 0) {
        fprintf(file, "loss %.6g", fitted->loss);
        if (fitted->loss_se > 0)
            fprintf(file, " ± %.2g", fitted->loss_se);
        if (!fitted->examined)
            fputs(" at the last step", file);
    }
    if (!isnan(fitted->validation))
        fprintf(file, "; validation %.6g", fitted->validation);
    fputc('\n', file);
    for (size_t k = 0; k < fitted->series_count && k < 16; k++) {
        const RxnFitSeries *series = &fitted->series[k];
        if (series->aside)
            continue;
        fprintf(file, "%s%s%s against %s: ", series->experiment, series->experiment[0] ? ": " : "",
                series->model, series->data);
        if (isfinite(series->r2))
            fprintf(file, "R² %.6f over ", series->r2);
        fprintf(file, "%zu %s\n", series->count, series->count == 1 ? "point" : "points");
    }
    for (size_t k = 0; k < fitted->measure_count; k++) {
        const RxnFitMeasure *measure = &fitted->measures[k];
        fprintf(file, "%s%s%s %.6g", measure->experiment, measure->experiment[0] ? ": " : "",
                measure->name, measure->value);
        if (measure->se > 0)
            fprintf(file, " ± %.2g", measure->se);
        fputc('\n', file);
    }
}

void
rxn__fit_table(FILE *file, const FitCommand *command)
{
    const RxnFitInfo info = rxn_fit_info(command->fit);
    const RxnFitted *fitted = &command->fitted;
    char trajectories[32], events[32], seconds[40];
    print_parameters(file, &info, fitted);
    fputc('\n', file);
    print_loss(file, fitted);
    rxn__format_grouped(trajectories, sizeof trajectories, fitted->trajectories);
    rxn__format_grouped(events, sizeof events, fitted->events);
    rxn__format_duration(seconds, sizeof seconds, fitted->seconds);
    fprintf(file, "%" PRIu64 " %s in %s (%s)", fitted->steps, fitted->steps == 1 ? "step" : "steps",
            seconds, fitted->ending);
    if (fitted->averaged > 1)
        fprintf(file, "; the result is a mean worth %" PRIu64 " of them", fitted->averaged);
    if (fitted->by_validation)
        fputs("; the result is the point with the best validation", file);
    if (info.starts > 1)
        fprintf(file, "; from start %" PRIu64 " of %" PRIu64, fitted->best_start + 1, info.starts);
    fprintf(file, "\n%s%s, %s", info.estimator, info.unbiased ? "" : " (biased here)",
            info.optimizer);
    if (!info.noiseless)
        fprintf(file, ", %s noise, %s trajectories, %s events", info.noise, trajectories, events);
    fprintf(file, ", seed %" PRIu64 "\n", info.seed);
}
