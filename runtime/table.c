/* table.c: a run at a glance, for the terminal: some rows, some columns, and what the run was. */
#include "runtime/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 20, MOST_COLUMNS = 8, CELL = 48 };

typedef struct Table {
    FILE *file;
    uint32_t rows, columns;
    char (*cells)[CELL]; /* [rows + 1][columns]; the first row is the header */
} Table;

static char *
cell(const Table *table, uint32_t row, uint32_t column)
{
    return table->cells[(size_t)row * table->columns + column];
}

/* Characters on the terminal, not bytes. */
static int
width_of(const char *text)
{
    int width = 0;
    for (; text && *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static int
widest_of(uint32_t rows, uint32_t columns, const char *const *cells, uint32_t column)
{
    int widest = 0;
    for (uint32_t row = 0; row < rows; row++) {
        int width = width_of(cells[(size_t)row * columns + column]);
        widest = width > widest ? width : widest;
    }
    return widest;
}

void
rxn__table_columns(FILE *file, uint32_t rows, uint32_t columns, uint32_t names,
                   const char *const *cells)
{
    int *widths = calloc((size_t)columns + 1, sizeof *widths);
    if (!widths)
        return;
    for (uint32_t column = 0; column < columns; column++)
        widths[column] = widest_of(rows, columns, cells, column);
    for (uint32_t row = 0; row < rows; row++) {
        int pending = 0; /* spaces before the next text: none at the end of a line */
        for (uint32_t column = 0; column < columns; column++) {
            const char *text = cells[(size_t)row * columns + column];
            int missing = widths[column] - width_of(text);
            if (widths[column] == 0)
                continue;
            pending += column == 0 ? 0 : 2;
            if (!text) {
                pending += widths[column];
                continue;
            }
            bool left = column < names;
            fprintf(file, "%*s%s", pending + (left ? 0 : missing), "", text);
            pending = left ? missing : 0;
        }
        fputc('\n', file);
    }
    free(widths);
}

static int
column_width(const Table *table, uint32_t column)
{
    int widest = 0;
    for (uint32_t r = 0; r <= table->rows; r++) {
        int width = width_of(cell(table, r, column));
        widest = width > widest ? width : widest;
    }
    return widest;
}

/* The first `columns` of the table. */
static void
print_cells(const Table *table, uint32_t columns)
{
    const char **cells = calloc((size_t)(table->rows + 1) * columns, sizeof *cells);
    if (!cells)
        return;
    for (uint32_t row = 0; row <= table->rows; row++)
        for (uint32_t column = 0; column < columns; column++)
            cells[(size_t)row * columns + column] = cell(table, row, column);
    rxn__table_columns(table->file, table->rows + 1, columns, 0, cells);
    free(cells);
}

/* Which of `count` rows to show as number k of `shown`: evenly spread, first and last included. */
static uint32_t
spread(uint32_t k, uint32_t shown, uint32_t count)
{
    return shown < 2 ? 0 : (uint32_t)((uint64_t)k * (count - 1) / (shown - 1));
}

static void
set_label(char *text, const char *label)
{
    size_t length = strlen(label);
    if (length < CELL - 8) {
        memcpy(text, label, length + 1);
        return;
    }
    size_t cut = CELL - 12;
    while (cut > 0 && ((unsigned char)label[cut] & 0xC0) == 0x80)
        cut--;
    snprintf(text, CELL, "%.*s...", (int)cut, label);
}

static void
set_number(char *text, double value)
{
    if (fabs(value) < 1e6 && value == floor(value))
        snprintf(text, CELL, "%.0f", value);
    else
        snprintf(text, CELL, "%.6g", value);
}

/* 103.21 ± 9.87: two digits of the deviation's last place are noise already. */
static void
set_mean(char *text, double mean, double sd)
{
    if (!isfinite(mean) || !isfinite(sd)) {
        /* fabs: nan has one spelling, whatever its sign bit. */
        snprintf(text, CELL, "%.6g ± %.4g", isnan(mean) ? fabs(mean) : mean, fabs(sd));
        return;
    }
    int decimals = 0;
    double scale = sd > 0 ? sd : fabs(mean);
    if (sd == 0 && mean == floor(mean) && fabs(mean) < 1e9) {
        snprintf(text, CELL, "%.0f ± 0", mean);
        return;
    }
    if (scale > 0 && scale < 1000)
        decimals = 2 - (int)floor(log10(scale));
    if (decimals > 8 || fabs(mean) >= 1e9) {
        snprintf(text, CELL, "%.6g ± %.3g", mean, sd);
        return;
    }
    snprintf(text, CELL, "%.*f ± %.*f", decimals, mean, decimals, sd);
}

static void
fill_statistics(Table *table, const RxnReport *report)
{
    snprintf(cell(table, 0, 0), CELL, "time");
    for (uint32_t c = 1; c < table->columns; c++)
        set_label(cell(table, 0, c), report->labels[c - 1]);
    for (uint32_t r = 0; r < table->rows; r++) {
        uint32_t k = spread(r, table->rows, report->sample_count);
        set_number(cell(table, r + 1, 0), report->times[k]);
        for (uint32_t c = 1; c < table->columns; c++) {
            size_t at = (size_t)k * report->columns + c - 1;
            double error = report->run->se ? report->run->se[at] : rxn__report_sd(report, at);
            if (report->run->trajectories == 1 && !report->run->exact)
                set_number(cell(table, r + 1, c), report->run->mean[at]);
            else
                set_mean(cell(table, r + 1, c), report->run->mean[at], error);
        }
    }
}

/* Of one trajectory several times; of several their final states, since that is what differs. */
static void
fill_each(Table *table, const RxnReport *report)
{
    bool several = report->run->trajectories > 1;
    if (several)
        snprintf(cell(table, 0, 0), CELL, "trajectory");
    snprintf(cell(table, 0, several), CELL, "time");
    uint32_t before = 1 + several;
    for (uint32_t c = before; c < table->columns; c++)
        set_label(cell(table, 0, c), report->labels[c - before]);
    for (uint32_t r = 0; r < table->rows; r++) {
        uint32_t k =
            several ? report->sample_count - 1 : spread(r, table->rows, report->sample_count);
        uint64_t trajectory = several ? r : 0;
        if (several)
            set_number(cell(table, r + 1, 0), (double)trajectory);
        set_number(cell(table, r + 1, several), report->times[k]);
        for (uint32_t c = before; c < table->columns; c++)
            set_number(cell(table, r + 1, c),
                       report->kept[(trajectory * report->sample_count + k) * report->columns + c -
                                    before]);
    }
}

static void
print_control(FILE *file, const RxnReport *report)
{
    char pilot[32];
    rxn__format_grouped(pilot, sizeof pilot, report->run->pilot);
    fputs("± is the standard error of the mean", file);
    if (report->run->most_gain > 0)
        fprintf(file, "; its variance is %.3g to %.3g times less than without control variates",
                report->run->least_gain, report->run->most_gain);
    fprintf(file, " (fitted to a pilot of %s trajectories)\n", pilot);
}

static void
print_exact(FILE *file, const RxnReport *report)
{
    const RxnRun *exact = report->run;
    char states[32], transitions[32], seconds[40];
    rxn__format_grouped(states, sizeof states, exact->states);
    rxn__format_grouped(transitions, sizeof transitions, exact->transitions);
    rxn__format_duration(seconds, sizeof seconds, report->run->seconds);
    fprintf(file,
            "master equation on %s %s, %s transitions, in %s; at most %.2g of the probability is "
            "missing\n",
            states, exact->states == 1 ? "state" : "states", transitions, seconds, exact->lost);
}

static void
print_summary(FILE *file, const RxnReport *report)
{
    const RxnRun *run = report->run;
    char trajectories[32], events[32], seconds[40];
    rxn__format_grouped(trajectories, sizeof trajectories, run->trajectories);
    rxn__format_grouped(events, sizeof events, run->events);
    rxn__format_duration(seconds, sizeof seconds, run->seconds);
    double rate = run->seconds > 0 ? (double)run->events / run->seconds : 0;
    const char *unit = rate >= 1e9 ? "G" : rate >= 1e6 ? "M" : rate >= 1e3 ? "k" : "";
    double scaled = rate / (rate >= 1e9 ? 1e9 : rate >= 1e6 ? 1e6 : rate >= 1e3 ? 1e3 : 1);
    fprintf(file, "%s %s, %s events in %s (%.3g%s%s events/s); %s, %s, %s", trajectories,
            run->trajectories == 1 ? "trajectory" : "trajectories", events, seconds, scaled,
            *unit ? " " : "", unit, report->method, report->device, report->precision);
    if (report->lanes > 0)
        fprintf(file, ", %u %s (%s)", report->lanes, report->lanes == 1 ? "lane" : "lanes",
                report->isa);
    fprintf(file, ", %u %s, seed %llu\n", run->threads, run->threads == 1 ? "thread" : "threads",
            (unsigned long long)report->seed);
}

void
rxn__table_run(FILE *file, const RxnReport *report)
{
    bool several = report->each && report->run->trajectories > 1;
    uint32_t before = 1 + several;
    uint64_t rows = several ? report->kept_count : report->sample_count;
    uint32_t columns = report->columns < MOST_COLUMNS ? report->columns : MOST_COLUMNS;
    Table table = {.file = file,
                   .rows = rows < MOST_ROWS ? (uint32_t)rows : MOST_ROWS,
                   .columns = before + columns};
    table.cells = calloc((size_t)(table.rows + 1) * table.columns, CELL);
    if (table.cells) {
        if (report->each)
            fill_each(&table, report);
        else
            fill_statistics(&table, report);
        print_cells(&table, table.columns);
        free(table.cells);
        uint64_t all = several ? report->run->trajectories : report->sample_count;
        bool rows_cut = table.rows < all, columns_cut = columns < report->columns;
        if (rows_cut || columns_cut || several) {
            fputs("(", file);
            if (rows_cut)
                fprintf(file, "%u of %llu %s", table.rows, (unsigned long long)all,
                        several ? "trajectories" : "sample times");
            if (columns_cut)
                fprintf(file, "%s%u of %u observables", rows_cut ? ", " : "", columns,
                        report->columns);
            if (several)
                fprintf(file, "%sthe last sample time of each",
                        rows_cut || columns_cut ? ", " : "");
            fputs(report->written ? ")\n" : "; -o FILE.csv writes all)\n", file);
        }
        fputc('\n', file);
    }
    if (report->run->se)
        print_control(file, report);
    if (report->run->exact)
        print_exact(file, report);
    else
        print_summary(file, report);
}

/* The columns from the left that have room, the time and one more at least. */
static uint32_t
columns_that_fit(const Table *table, uint32_t width)
{
    uint32_t used = (uint32_t)column_width(table, 0), column = 1;
    for (; column < table->columns; column++) {
        used += 2 + (uint32_t)column_width(table, column);
        if (used > width && column > 1)
            break;
    }
    return column;
}

void
rxn__table_short(FILE *file, const RxnReport *report, uint32_t rows, uint32_t width)
{
    uint32_t most = width / 4 + 1;
    Table table = {.file = file,
                   .rows = report->sample_count < rows ? report->sample_count : rows,
                   .columns = 1 + (report->columns < most ? report->columns : most)};
    table.cells = calloc((size_t)(table.rows + 1) * table.columns, CELL);
    if (!table.cells)
        return;
    fill_statistics(&table, report);
    uint32_t columns = columns_that_fit(&table, width);
    print_cells(&table, columns);
    free(table.cells);
    bool rows_cut = table.rows < report->sample_count, columns_cut = columns - 1 < report->columns;
    if (rows_cut || columns_cut)
        fputs("(", file);
    if (rows_cut)
        fprintf(file, "%u of %u sample times", table.rows, report->sample_count);
    if (columns_cut)
        fprintf(file, "%s%u of %u observables", rows_cut ? ", " : "", columns - 1, report->columns);
    if (rows_cut || columns_cut)
        fputs(")\n", file);
}
