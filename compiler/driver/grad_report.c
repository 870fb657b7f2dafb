/* grad_report.c: what `rxn grad` shows: a table, JSON, CSV. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/grad_report.h"
#include "runtime/report.h"

enum {
    MOST_PARAMETERS = 20, /* rows of the table, for each output */
    MOST_MEMBERS = 8,     /* of an array, where there are more parameters than that */
    MOST_OUTPUTS = 12,
    COLUMNS = 9,
};

/* ---- figures ----------------------------------------------------------------------------------- */

/* What one estimator says of an output's derivative by a parameter. */
typedef struct Cell {
    const RxnEstimate *estimate;
    size_t parameter;
    double gradient, se, sd, bias,
        work; /* the last two: NaN where there is nothing to compare with */
} Cell;

static Cell
cell_of(const GradReport *report, const RxnEstimate *estimate, size_t output, size_t parameter)
{
    const size_t at = output * report->info.parameter_count + parameter;
    return (Cell){.estimate = estimate,
                  .parameter = parameter,
                  .gradient = estimate->gradient[at],
                  .se = estimate->se[at],
                  .sd = estimate->sd[at],
                  .bias = estimate->bias ? estimate->bias[at] : NAN,
                  .work = estimate->work ? estimate->work[at] : NAN};
}

/* Standard error by derivative; NaN where it says nothing: 0 ± 0, and what has no error. */
static double
relative_error(const Cell *cell)
{
    return cell->estimate->exact || cell->se == 0 ? NAN : cell->se / fabs(cell->gradient);
}

static bool
has_run(const GradReport *report, const char *estimator)
{
    for (size_t e = 0; e < report->found->estimate_count; e++)
        if (strcmp(report->found->estimates[e].estimator, estimator) == 0)
            return true;
    return false;
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static void
number(FILE *file, const char *before, double value)
{
    fputs(before, file);
    rxn__json_number(file, value);
}

static void
text(FILE *file, const char *before, const char *value)
{
    fputs(before, file);
    if (value)
        rxn__json_string(file, value);
    else
        fputs("null", file);
}

static void
json_parameters(FILE *file, const GradReport *report, const RxnEstimate *estimate, size_t output)
{
    const size_t parameters = report->info.parameter_count;
    fputs(",\n    \"parameters\": [", file);
    for (size_t p = 0; p < parameters; p++) {
        const Cell cell = cell_of(report, estimate, output, p);
        text(file, p ? ",\n      {\"name\": " : "\n      {\"name\": ", report->info.parameters[p]);
        number(file, ", \"gradient\": ", cell.gradient);
        number(file, ", \"se\": ", cell.se);
        number(file, ", \"sd\": ", cell.sd);
        if (estimate->gradient_error)
            number(file, ", \"error\": ", estimate->gradient_error[output * parameters + p]);
        if (estimate->bias)
            number(file, ", \"bias_in_se\": ", cell.bias);
        if (estimate->work)
            number(file, ", \"variance_time_relative_to_score\": ", cell.work);
        fputc('}', file);
    }
    fputs("\n    ]", file);
}

static void
json_estimate(FILE *file, const GradReport *report, const RxnEstimate *estimate, size_t k)
{
    text(file, "  {\n    \"estimator\": ", estimate->estimator);
    text(file, ",\n    \"output\": ", report->info.expressions[k]);
    number(file, ",\n    \"time\": ", report->info.times[k]);
    number(file, ",\n    \"value\": ", estimate->value[k]);
    number(file, ",\n    \"value_se\": ", estimate->value_se[k]);
    if (estimate->value_error)
        number(file, ",\n    \"value_error\": ", estimate->value_error[k]);
    if (estimate->plain_value) {
        number(file, ",\n    \"plain_value\": ", estimate->plain_value[k]);
        number(file, ",\n    \"plain_value_se\": ", estimate->plain_value_se[k]);
    }
    json_parameters(file, report, estimate, k);
    number(file, ",\n    \"seconds\": ", estimate->seconds);
    number(file, ",\n    \"seconds_compile\": ", estimate->seconds_compile);
    fprintf(file, ",\n    \"trajectories\": %" PRIu64, estimate->trajectories);
    fprintf(file, ",\n    \"trajectories_run\": %" PRIu64, estimate->trajectories_run);
    fprintf(file, ",\n    \"events\": %" PRIu64, estimate->events);
    fprintf(file, ",\n    \"unbiased\": %s", estimate->unbiased ? "true" : "false");
    text(file, ",\n    \"remarks\": ", estimate->remarks);
    fputs(",\n    \"diagnostics\": {", file);
    for (size_t d = 0; d < estimate->figure_count; d++) {
        text(file, d ? ", " : "", estimate->figures[d].name);
        number(file, ": ", estimate->figures[d].value);
    }
    fprintf(file, "},\n    \"seed\": %" PRIu64, report->seed);
    text(file, ",\n    \"device\": ", report->info.device);
    text(file, ",\n    \"precision\": ", report->info.precision);
    fputs("\n  }", file);
}

void
rxn__grad_json(FILE *file, const GradReport *report)
{
    const RxnDerivatives *found = report->found;
    bool first = true;
    fputs("[\n", file);
    for (size_t k = 0; k < found->output_count; k++)
        for (size_t e = 0; e < found->estimate_count; e++) {
            fputs(first ? "" : ",\n", file);
            json_estimate(file, report, &found->estimates[e], k);
            first = false;
        }
    for (size_t e = 0; e < found->failure_count; e++) {
        const RxnEstimate *failed = &found->estimates[found->estimate_count + e];
        text(file,
             first ? "  {\n    \"estimator\": " : ",\n  {\n    \"estimator\": ", failed->estimator);
        text(file, ",\n    \"error\": ", failed->failure);
        fputs("\n  }", file);
        first = false;
    }
    fputs("\n]\n", file);
}

/* ---- CSV --------------------------------------------------------------------------------------- */

/* RFC 4180: quoted where it holds a comma, a quotation mark or a line end. */
static void
csv_text(FILE *file, const char *value)
{
    if (!strpbrk(value, ",\"\r\n")) {
        fputs(value, file);
        return;
    }
    fputc('"', file);
    for (; *value; value++) {
        if (*value == '"')
            fputc('"', file);
        fputc(*value, file);
    }
    fputc('"', file);
}

static void
csv_number(FILE *file, double value)
{
    char text[RXN_NUMBER_ROOM];
    rxn__format_number(text, value);
    fprintf(file, ",%s", text);
}

void
rxn__grad_csv(FILE *file, const GradReport *report)
{
    const RxnDerivatives *found = report->found;
    const RxnDifferentiatorInfo *info = &report->info;
    fputs("output,time,estimator,parameter,gradient,se,sd\n", file);
    for (size_t k = 0; k < found->output_count; k++) {
        for (size_t e = 0; e < found->estimate_count; e++) {
            for (size_t p = 0; p < found->parameter_count; p++) {
                const Cell cell = cell_of(report, &found->estimates[e], k, p);
                csv_text(file, info->expressions[k]);
                if (isnan(info->times[k]))
                    fputc(',', file);
                else
                    csv_number(file, info->times[k]);
                fprintf(file, ",%s,", cell.estimate->estimator);
                csv_text(file, info->parameters[p]);
                csv_number(file, cell.gradient);
                csv_number(file, cell.se);
                csv_number(file, cell.sd);
                fputc('\n', file);
            }
        }
    }
}

/* ---- the table --------------------------------------------------------------------------------- */

typedef struct Row {
    char *cells[COLUMNS]; /* NULL: empty */
} Row;

typedef struct Table {
    const GradReport *report;
    Row *rows;
    uint32_t count, room;
    bool no_memory;
} Table;

static char *cell_text(Table *table, const char *format, ...) RXN_PRINTF(2, 3);

/* NULL, once memory is out. */
static char *
cell_text(Table *table, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        table->no_memory = true;
        text = NULL;
    }
    va_end(args);
    return text;
}

/* The cells are the table's from here on. */
static void
add_row(Table *table, Row row)
{
    if (table->count == table->room) {
        const uint32_t room = table->room ? 2 * table->room : 64;
        Row *rows = realloc(table->rows, room * sizeof *rows);
        if (rows) {
            table->rows = rows;
            table->room = room;
        }
    }
    if (table->count < table->room) {
        table->rows[table->count++] = row;
        return;
    }
    table->no_memory = true;
    for (uint32_t c = 0; c < COLUMNS; c++)
        free(row.cells[c]);
}

static void
free_table(Table *table)
{
    for (uint32_t r = 0; r < table->count; r++)
        for (uint32_t c = 0; c < COLUMNS; c++)
            free(table->rows[r].cells[c]);
    free(table->rows);
}

/* As many digits as the error has, to two of it; with an exponent where that would be too many. */
static void
estimate_texts(Table *table, double value, double se, bool exact, char **ret_value, char **ret_se)
{
    bool has_error = se > 0 && isfinite(se) && isfinite(value);
    if (!has_error || exact) {
        *ret_value = cell_text(table, "%.*g", exact ? 8 : 6, value);
        *ret_se = exact || isnan(se) ? NULL : cell_text(table, "%.2g", se);
        return;
    }
    int of_value = (int)floor(log10(fmax(fabs(value), se))), of_error = (int)floor(log10(se));
    int decimals = of_error > 1 ? 0 : 1 - of_error, digits = of_value - of_error + 2;
    if (of_value >= 7 || decimals > 9) {
        *ret_value = cell_text(table, "%.*e", (digits > 9 ? 9 : digits) - 1, value);
        *ret_se = cell_text(table, "%.1e", se);
        return;
    }
    *ret_value = cell_text(table, "%.*f", decimals, value);
    *ret_se = cell_text(table, "%.*f", decimals, se);
}

static char *
duration(Table *table, double seconds)
{
    char text[40];
    if (seconds < 1)
        return cell_text(table, "%.3g ms", seconds * 1e3);
    rxn__format_duration(text, sizeof text, seconds);
    return cell_text(table, "%s", text);
}

static char *
percent(Table *table, double ratio)
{
    if (isnan(ratio))
        return NULL;
    return ratio < 0.1 ? cell_text(table, "%.2g %%", 100 * ratio)
                       : cell_text(table, "%.0f %%", 100 * ratio);
}

/* Then each row says whose it is. */
static bool
has_several(const GradReport *report)
{
    return report->found->estimate_count + report->found->failure_count > 1;
}

/* Whose the row is, or NULL. */
static char *
owner(Table *table, const RxnEstimate *estimate)
{
    return has_several(table->report) ? cell_text(table, "%s", estimate->estimator) : NULL;
}

static void
header_row(Table *table, char *title)
{
    const GradReport *report = table->report;
    const bool several = has_several(report);
    const char *heads[COLUMNS] = {NULL,
                                  several ? "estimator" : NULL,
                                  "estimate",
                                  "±",
                                  "rel. ±",
                                  "sd",
                                  "time",
                                  several && has_run(report, "exact") ? "bias/±" : NULL,
                                  several && has_run(report, "score") ? "work" : NULL};
    Row row = {{title}};
    for (uint32_t c = 1; c < COLUMNS; c++)
        row.cells[c] = heads[c] ? cell_text(table, "%s", heads[c]) : NULL;
    add_row(table, row);
}

static void
value_rows(Table *table, size_t output)
{
    const RxnDerivatives *found = table->report->found;
    for (size_t e = 0; e < found->estimate_count; e++) {
        const RxnEstimate *estimate = &found->estimates[e];
        Row row = {{e == 0 ? cell_text(table, "value") : NULL, owner(table, estimate)}};
        double value = estimate->value[output], se = estimate->value_se[output];
        estimate_texts(table, value, se, estimate->exact, &row.cells[2], &row.cells[3]);
        if (!estimate->exact && se > 0)
            row.cells[4] = percent(table, se / fabs(value));
        add_row(table, row);
    }
    for (size_t e = 0; e < found->failure_count; e++) {
        const RxnEstimate *failed = &found->estimates[found->estimate_count + e];
        add_row(table, (Row){{NULL, cell_text(table, "%s", failed->estimator),
                              cell_text(table, "failed")}});
    }
}

static void
parameter_rows(Table *table, size_t output, size_t p)
{
    const GradReport *report = table->report;
    for (size_t e = 0; e < report->found->estimate_count; e++) {
        const RxnEstimate *estimate = &report->found->estimates[e];
        const Cell cell = cell_of(report, estimate, output, p);
        Row row = {{e == 0 ? cell_text(table, "d/d %s", report->info.parameters[p]) : NULL,
                    owner(table, estimate)}};
        estimate_texts(table, cell.gradient, cell.se, estimate->exact, &row.cells[2],
                       &row.cells[3]);
        row.cells[4] = percent(table, relative_error(&cell));
        if (!estimate->exact && !isnan(cell.sd))
            row.cells[5] = cell_text(table, "%.3g", cell.sd);
        row.cells[6] = duration(table, estimate->seconds);
        if (!isnan(cell.bias))
            row.cells[7] = cell_text(table, "%+.1f", cell.bias);
        if (has_several(report) && !isnan(cell.work))
            row.cells[8] = cell_text(table, "%.2g", cell.work);
        add_row(table, row);
    }
}

/* The parameters from p on that are of the same declaration. */
static size_t
group_of(Table *table, size_t p)
{
    const RxnDifferentiatorInfo *info = &table->report->info;
    const char *label = info->parameters[p];
    char *name = cell_text(table, "%.*s", (int)strcspn(label, "["), label);
    size_t first = info->members[p], members = 1, count = 1;
    if (name)
        rxn_model_find(table->report->model, RXN_PARAMETERS, name, &first, &members);
    free(name);
    while (p + count < info->parameter_count && info->members[p + count] >= first &&
           info->members[p + count] < first + members)
        count++;
    return count;
}

/* Of many members of an array: how large their derivatives are, and which is the largest. */
static void
group_rows(Table *table, size_t output, size_t p, size_t count)
{
    const GradReport *report = table->report;
    const char *label = report->info.parameters[p];
    for (size_t e = 0; e < report->found->estimate_count; e++) {
        const RxnEstimate *estimate = &report->found->estimates[e];
        double squares = 0, errors = 0;
        Cell largest = cell_of(report, estimate, output, p);
        for (size_t k = p; k < p + count; k++) {
            const Cell cell = cell_of(report, estimate, output, k);
            squares += cell.gradient * cell.gradient / (double)count;
            errors += cell.se * cell.se / (double)count;
            if (fabs(cell.gradient) > fabs(largest.gradient) || isnan(cell.gradient))
                largest = cell;
        }
        char all[32];
        rxn__format_grouped(all, sizeof all, count);
        Row row = {
            {e == 0 ? cell_text(table, "rms of d/d %.*s, %s", (int)strcspn(label, "["), label, all)
                    : NULL,
             owner(table, estimate)}};
        estimate_texts(table, sqrt(squares), sqrt(errors), estimate->exact, &row.cells[2],
                       &row.cells[3]);
        if (!estimate->exact)
            row.cells[4] = percent(table, sqrt(errors / squares));
        row.cells[6] = duration(table, estimate->seconds);
        add_row(table, row);
        row = (Row){{cell_text(table, "largest: %s", report->info.parameters[largest.parameter]),
                     owner(table, estimate)}};
        estimate_texts(table, largest.gradient, largest.se, estimate->exact, &row.cells[2],
                       &row.cells[3]);
        row.cells[4] = percent(table, relative_error(&largest));
        add_row(table, row);
    }
}

/* All parameters where they are few; else arrays as a whole, and as many of the others as there is room for. Returns
 * how many have a row of their own. */
static size_t
all_parameter_rows(Table *table, size_t output)
{
    size_t all = table->report->info.parameter_count, shown = 0, groups = 0;
    for (size_t p = 0; p < all;) {
        const size_t count = group_of(table, p);
        if (all > MOST_PARAMETERS && count > MOST_MEMBERS) {
            if (groups++ < MOST_PARAMETERS)
                group_rows(table, output, p, count);
        } else {
            for (size_t k = p; k < p + count && shown < MOST_PARAMETERS; k++, shown++)
                parameter_rows(table, output, k);
        }
        p += count;
    }
    return shown;
}

static bool
print_output(FILE *file, const GradReport *report, size_t k)
{
    const RxnDifferentiatorInfo *info = &report->info;
    Table table = {.report = report};
    header_row(&table, isnan(info->times[k]) ? cell_text(&table, "%s", info->expressions[k])
                                             : cell_text(&table, "%s at %.10g",
                                                         info->expressions[k], info->times[k]));
    value_rows(&table, k);
    const bool complete = all_parameter_rows(&table, k) == info->parameter_count;
    /* A row is its cells. */
    _Static_assert(sizeof(Row) == COLUMNS * sizeof(char *), "a row has something else");
    if (!table.no_memory)
        rxn__table_columns(file, table.count, COLUMNS, 2, (const char *const *)table.rows->cells);
    if (!complete) {
        char all[32];
        rxn__format_grouped(all, sizeof all, info->parameter_count);
        fprintf(file, "(-o FILE.csv writes all %s parameters one by one)\n", all);
    }
    fputc('\n', file);
    free_table(&table);
    return !table.no_memory;
}

static void
print_duration(FILE *file, double seconds)
{
    char text[40];
    rxn__format_duration(text, sizeof text, seconds);
    if (seconds < 1)
        fprintf(file, "%.3g ms", seconds * 1e3);
    else
        fputs(text, file);
}

static void
print_estimator(FILE *file, const GradReport *report, const RxnEstimate *estimate)
{
    char count[32], events[32];
    const char *by = report->info.why ? " (taken by auto)" : "";
    fprintf(file, "%s%s: ", estimate->estimator, by);
    if (!estimate->exact) {
        rxn__format_grouped(count, sizeof count, estimate->trajectories);
        rxn__format_grouped(events, sizeof events, estimate->events);
        fprintf(file, "%s %s%s, %s events in ", count,
                estimate->trajectories == 1 ? "trajectory" : "trajectories",
                estimate->by_parameter ? " for each parameter" : "", events);
    }
    print_duration(file, estimate->seconds);
    /* A remark of an estimator that says whether it is biased says so first. */
    const char *bias = estimate->unbiased ? "unbiased" : "biased", *remarks = estimate->remarks;
    if (!estimate->exact) {
        fputs(" (compiled in ", file);
        print_duration(file, estimate->seconds_compile);
        fputc(')', file);
    }
    if (!estimate->exact && !(remarks && strncmp(remarks, bias, strlen(bias)) == 0))
        fprintf(file, "; %s", bias);
    if (remarks)
        fprintf(file, "; %s", remarks);
    for (size_t d = 0; d < estimate->figure_count; d++)
        if (!estimate->figures[d].is_alarm || estimate->figures[d].value > 0)
            fprintf(file, "; %s %.3g", estimate->figures[d].name, estimate->figures[d].value);
    fputc('\n', file);
}

bool
rxn__grad_table(FILE *file, const GradReport *report)
{
    const RxnDerivatives *found = report->found;
    const RxnDifferentiatorInfo *info = &report->info;
    const size_t shown = found->output_count < MOST_OUTPUTS ? found->output_count : MOST_OUTPUTS;
    bool good = true;
    for (size_t k = 0; k < shown && good; k++)
        good = print_output(file, report, k);
    if (shown < found->output_count)
        fprintf(file, "(%zu of %zu outputs; -o FILE.csv writes all)\n\n", shown,
                found->output_count);
    const char *remarks = found->estimates[0].remarks;
    if (info->why && !(remarks && strcmp(info->why, remarks) == 0))
        fprintf(file, "auto takes %s: %s\n", info->estimator, info->why);
    for (size_t e = 0; e < found->estimate_count; e++)
        print_estimator(file, report, &found->estimates[e]);
    for (size_t e = 0; e < found->failure_count; e++) {
        const RxnEstimate *failed = &found->estimates[found->estimate_count + e];
        fprintf(file, "%s: failed: %s\n", failed->estimator, failed->failure);
    }
    if (found->estimate_count > 1 && has_run(report, "score"))
        fputs("work: variance times time, relative to score\n", file);
    return good;
}
