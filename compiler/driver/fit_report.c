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
all_steps(const FitRun *fit)
{
    const RxnFitLoopOptions *o = &fit->loop_options;
    double part = o->steps / 10 > 10 ? (double)(o->steps / 10) : 10;
    return (double)o->steps + (o->starts > 1 ? (double)o->starts * part : 0);
}

static void
print_step(FILE *file, const FitCommand *command, const RxnFitRecord *record)
{
    const FitRun *fit = &command->fit;
    const RxnFitLoopOptions *o = &fit->loop_options;
    char trajectories[32], left[40];
    rxn__format_grouped(trajectories, sizeof trajectories, (u64)record->trajectories);
    if (o->starts > 1 && record->main == 0)
        fprintf(file, "start %.0f of %" PRIu64 ", step %.0f", record->start + 1, o->starts,
                record->step + 1);
    else
        fprintf(file, "step %.0f of %" PRIu64, record->step + 1, o->steps);
    double done = (double)command->lines, all = all_steps(fit) - (double)fit->resumed_at;
    double elapsed = rxn__seconds() - fit->begun;
    if (done > 0 && done < all) {
        rxn__format_duration(left, sizeof left, elapsed * (all - done) / done);
        fprintf(file, ", %s left", left);
    }
    fprintf(file, "  loss %.6g", record->loss);
    if (record->loss_se > 0)
        fprintf(file, " ± %.2g", record->loss_se);
    fprintf(file, "  |gradient| %.3g", record->norm);
    if (record->noise > 0)
        fprintf(file, " ± %.2g", record->noise);
    if (!isnan(record->validation))
        fprintf(file, "  validation %.6g", record->validation);
    if (!fit->noiseless)
        fprintf(file, "  %s %s%s", trajectories,
                record->trajectories == 1 ? "trajectory" : "trajectories",
                fit->has_samples ? " a sample" : "");
}

/* A line that is longer than the terminal is wide could not be written over. */
static void
show_on_terminal(const FitCommand *command, const RxnFitRecord *record)
{
    char line[512] = "";
    struct winsize window = {0};
    FILE *file = fmemopen(line, sizeof line - 1, "w");
    if (!file)
        return;
    print_step(file, command, record);
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
rxn__fit_show_step(void *context, const RxnFitRecord *record)
{
    FitCommand *command = context;
    const FitRun *fit = &command->fit;
    command->lines++;
    if (fit->options.ensemble.quiet)
        return;
    double now = rxn__seconds();
    if (isatty(STDERR_FILENO)) {
        bool last = record->main != 0 && (u64)record->step + 1 == fit->loop_options.steps;
        if (now - command->shown < 0.1 && !last)
            return;
        command->shown = now;
        show_on_terminal(command, record);
        command->has_line = true;
        return;
    }
    /* No more lines than there is time to read. */
    u64 every = (u64)all_steps(fit) / MOST_LINES;
    double since = now - (command->shown > 0 ? command->shown : fit->begun);
    if (since < 2 || (every > 1 && command->lines % every != 0 && isnan(record->validation)))
        return;
    command->shown = now;
    print_step(stderr, command, record);
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
print_rows(FILE *file, u32 rows, char (*cells)[COLUMNS][CELL], const bool *shown)
{
    const char *texts[(MOST_PARAMETERS + 1) * COLUMNS];
    for (u32 r = 0; r < rows; r++)
        for (u32 c = 0; c < COLUMNS; c++)
            texts[r * COLUMNS + c] = shown[c] ? cells[r][c] : NULL;
    rxn__table_columns(file, rows, COLUMNS, 1, texts);
}

static bool
is_shown(const FitRun *fit, u32 k)
{
    if (fit->count <= MOST_PARAMETERS)
        return true;
    /* Of each array the first members. */
    u32 member = 0;
    while (member < k && fit->flat[k - member - 1] + 1 == fit->flat[k - member] &&
           strchr(fit->labels[k], '[') && strchr(fit->labels[k - member - 1], '[') &&
           strncmp(fit->labels[k], fit->labels[k - member - 1], strcspn(fit->labels[k], "[") + 1) ==
               0 &&
           member <= MOST_MEMBERS)
        member++;
    return member < MOST_MEMBERS;
}

static void
print_parameters(FILE *file, const FitRun *fit)
{
    static char cells[MOST_PARAMETERS + 1][COLUMNS][CELL];
    const FitErrors *e = &fit->errors;
    bool shown[COLUMNS] = {true, true, true, false, false};
    u32 rows = 1;
    const char *heads[] = {"parameter", "start", "value", "± simulation", "± data"};
    for (u32 c = 0; c < COLUMNS; c++)
        snprintf(cells[0][c], CELL, "%s", heads[c]);
    for (u32 k = 0; k < fit->count && rows <= MOST_PARAMETERS; k++) {
        if (!is_shown(fit, k))
            continue;
        double error =
            fmin(isfinite(e->simulation[k]) && e->simulation[k] > 0 ? e->simulation[k] : INFINITY,
                 isfinite(e->data[k]) ? e->data[k] : INFINITY);
        snprintf(cells[rows][0], CELL, "%.40s", fit->labels[k]);
        snprintf(cells[rows][1], CELL, "%.6g", fit->start[k]);
        put_value(cells[rows][2], CELL, fit->state.parameters[k], isfinite(error) ? error : 0);
        put_cell(cells[rows][3], CELL, e->simulation[k], "-");
        put_cell(cells[rows][4], CELL, e->data[k], "-");
        shown[3] = shown[3] || (isfinite(e->simulation[k]) && !fit->noiseless);
        shown[4] = shown[4] || isfinite(e->data[k]);
        rows++;
    }
    print_rows(file, rows, cells, shown);
    if (rows - 1 < fit->count)
        fprintf(file, "(%u of %u parameters; -o FILE.json writes all)\n", rows - 1, fit->count);
}

static void
print_loss(FILE *file, const FitRun *fit)
{
    const RxnFitState *state = &fit->state;
    if (fit->errors.known) {
        fprintf(file, "loss %.6g", fit->errors.loss);
        if (fit->errors.loss_se > 0)
            fprintf(file, " ± %.2g", fit->errors.loss_se);
    } else if (state->record_count) {
        const RxnFitRecord *last = &state->records[state->record_count - 1];
        fprintf(file, "loss %.6g", last->loss);
        if (last->loss_se > 0)
            fprintf(file, " ± %.2g", last->loss_se);
        fputs(" at the last step", file);
    }
    for (u64 k = state->record_count; k-- > 0 && fit->problem.validate;) {
        if (isnan(state->records[k].validation))
            continue;
        fprintf(file, "; validation %.6g", state->records[k].validation);
        break;
    }
    fputc('\n', file);
    for (u32 k = 0; k < fit->series.count && k < 16; k++) {
        const FitSeriesFigures *figures = &fit->series.items[k];
        const FitSeries *series = &figures->part->spec.series.items[figures->series];
        if (series->aside)
            continue;
        fprintf(file, "%s%s%s against %s: ", figures->part->name,
                figures->part->name[0] ? ": " : "", series->model, series->data);
        if (isfinite(figures->r2))
            fprintf(file, "R² %.6f over ", figures->r2);
        fprintf(file, "%u %s\n", figures->count, figures->count == 1 ? "point" : "points");
    }
    for (u32 k = 0; k < fit->measured.count; k++) {
        const FitMeasured *measured = &fit->measured.items[k];
        fprintf(file, "%s%s%s %.6g", measured->part->name, measured->part->name[0] ? ": " : "",
                measured->name, measured->value);
        if (measured->se > 0)
            fprintf(file, " ± %.2g", measured->se);
        fputc('\n', file);
    }
}

void
rxn__fit_table(FILE *file, const FitRun *fit)
{
    Arena *arena = &fit->engine->session.arena;
    const RxnFitState *state = &fit->state;
    char trajectories[32], events[32], seconds[40];
    print_parameters(file, fit);
    fputc('\n', file);
    print_loss(file, fit);
    rxn__format_grouped(trajectories, sizeof trajectories, (u64)state->total_trajectories);
    rxn__format_grouped(events, sizeof events, (u64)state->total_events);
    rxn__format_duration(seconds, sizeof seconds, state->seconds);
    fprintf(file, "%" PRIu64 " %s in %s (%s)", state->step, state->step == 1 ? "step" : "steps",
            seconds, rxn__fit_ending_text(fit, arena));
    if (state->averaged > 1)
        fprintf(file, "; the result is a mean worth %" PRIu64 " of them", state->averaged);
    if (state->by_validation)
        fputs("; the result is the point with the best validation", file);
    if (fit->loop_options.starts > 1)
        fprintf(file, "; from start %" PRIu64 " of %" PRIu64, state->best_start + 1,
                fit->loop_options.starts);
    fprintf(file, "\n%s%s, %s", fit->parts[0]->estimator_name,
            rxn__fit_is_biased(fit) ? " (biased here)" : "", fit->optimizer);
    if (!fit->noiseless)
        fprintf(file, ", %s noise, %s trajectories, %s events", fit->noise, trajectories, events);
    fprintf(file, ", seed %" PRIu64 "\n", fit->loop_options.seed);
}
