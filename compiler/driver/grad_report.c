/* grad_report.c: what `rxn grad` shows: a table, JSON, CSV. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "compiler/driver/grad_report.h"
#include "compiler/method/grad_score.h"
#include "runtime/report.h"

enum {
    MOST_PARAMETERS = 20, /* rows of the table, for each output */
    MOST_MEMBERS = 8,     /* of an array, where there are more parameters than that */
    MOST_OUTPUTS = 12,
    COLUMNS = 9,
};

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
json_parameters(FILE *file, const Grad *grad, const GradEstimate *estimate, u32 output)
{
    bool biases = rxn__grad_found(grad, "exact") && !estimate->exact;
    bool works = rxn__grad_found(grad, "score") && !estimate->exact;
    fputs(",\n    \"parameters\": [", file);
    for (u32 p = 0; p < grad->request.wrt_count; p++) {
        GradCell cell = rxn__grad_cell(grad, estimate, output, p);
        text(file, p ? ",\n      {\"name\": " : "\n      {\"name\": ", grad->labels[p]);
        number(file, ", \"gradient\": ", cell.gradient);
        number(file, ", \"se\": ", cell.se);
        number(file, ", \"sd\": ", cell.sd);
        if (estimate->exact)
            number(file, ", \"error\": ",
                   estimate->gradient_error[(size_t)output * grad->request.wrt_count + p]);
        if (biases)
            number(file, ", \"bias_in_se\": ", rxn__grad_bias(grad, &cell));
        if (works)
            number(file, ", \"variance_time_relative_to_score\": ", rxn__grad_work(grad, &cell));
        fputc('}', file);
    }
    fputs("\n    ]", file);
}

static void
json_estimate(FILE *file, const Grad *grad, const GradEstimate *estimate, u32 k)
{
    const Output *output = &grad->pipeline.network->objective->outputs.items[k];
    text(file, "  {\n    \"estimator\": ", estimate->estimator);
    text(file, ",\n    \"output\": ", output->label);
    number(file, ",\n    \"time\": ", output->time);
    number(file, ",\n    \"value\": ", estimate->value[k]);
    number(file, ",\n    \"value_se\": ", estimate->value_se[k]);
    if (estimate->exact)
        number(file, ",\n    \"value_error\": ", estimate->value_error[k]);
    if (estimate->plain_value) {
        number(file, ",\n    \"plain_value\": ", estimate->plain_value[k]);
        number(file, ",\n    \"plain_value_se\": ", estimate->plain_value_se[k]);
    }
    json_parameters(file, grad, estimate, k);
    number(file, ",\n    \"seconds\": ", estimate->seconds);
    number(file, ",\n    \"seconds_compile\": ", estimate->seconds_compile);
    fprintf(file, ",\n    \"trajectories\": %" PRIu64, estimate->trajectories);
    fprintf(file, ",\n    \"trajectories_run\": %" PRIu64, estimate->rows);
    fprintf(file, ",\n    \"events\": %" PRIu64, estimate->events);
    fprintf(file, ",\n    \"unbiased\": %s", estimate->unbiased ? "true" : "false");
    text(file, ",\n    \"remarks\": ", estimate->remarks);
    fputs(",\n    \"diagnostics\": {", file);
    for (u32 d = 0; d < estimate->diagnostic_count; d++) {
        text(file, d ? ", " : "", estimate->diagnostics[d].name);
        number(file, ": ", estimate->diagnostic_values[d]);
    }
    fprintf(file, "},\n    \"seed\": %" PRIu64, grad->options.ensemble.seed);
    text(file, ",\n    \"device\": ", grad->options.ensemble.device);
    text(file, ",\n    \"precision\": ", grad->options.ensemble.precision);
    fputs("\n  }", file);
}

void
rxn__grad_json(FILE *file, const Grad *grad)
{
    bool first = true;
    fputs("[\n", file);
    for (u32 k = 0; k < grad->output_count; k++)
        for (u32 e = 0; e < grad->estimates.count; e++) {
            fputs(first ? "" : ",\n", file);
            json_estimate(file, grad, &grad->estimates.items[e], k);
            first = false;
        }
    for (u32 e = 0; e < grad->failures.count; e++) {
        text(file, first ? "  {\n    \"estimator\": " : ",\n  {\n    \"estimator\": ",
             grad->failures.items[e].estimator);
        text(file, ",\n    \"error\": ", grad->failures.items[e].error);
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
rxn__grad_csv(FILE *file, const Grad *grad)
{
    fputs("output,time,estimator,parameter,gradient,se,sd\n", file);
    for (u32 k = 0; k < grad->output_count; k++) {
        const Output *output = &grad->pipeline.network->objective->outputs.items[k];
        for (u32 e = 0; e < grad->estimates.count; e++) {
            for (u32 p = 0; p < grad->request.wrt_count; p++) {
                GradCell cell = rxn__grad_cell(grad, &grad->estimates.items[e], k, p);
                csv_text(file, output->label);
                if (isnan(output->time))
                    fputc(',', file);
                else
                    csv_number(file, output->time);
                fprintf(file, ",%s,", cell.estimate->estimator);
                csv_text(file, grad->labels[p]);
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
    const char *cells[COLUMNS]; /* NULL: empty */
} Row;

typedef struct Table {
    const Grad *grad;
    Arena *arena;
    VEC(Row) rows;
} Table;

static const char *cell_text(Table *table, const char *format, ...) RXN_PRINTF(2, 3);

static const char *
cell_text(Table *table, const char *format, ...)
{
    Text text;
    va_list args;
    rxn__text_init(&text, table->arena);
    va_start(args, format);
    rxn__text_vprintf(&text, format, args);
    va_end(args);
    return text.data;
}

/* As many digits as the error has, to two of it; with an exponent where that would be too many. */
static void
estimate_texts(Table *table, double value, double se, bool exact, const char **ret_value,
               const char **ret_se)
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

static const char *
duration(Table *table, double seconds)
{
    char text[40];
    if (seconds < 1)
        return cell_text(table, "%.3g ms", seconds * 1e3);
    rxn__format_duration(text, sizeof text, seconds);
    return cell_text(table, "%s", text);
}

static const char *
figure(Table *table, const char *format_small, double value, const char *unit)
{
    if (isnan(value))
        return NULL;
    return cell_text(table, "%s%s", cell_text(table, format_small, value), unit);
}

static const char *
percent(Table *table, double ratio)
{
    return figure(table, ratio < 0.1 ? "%.2g" : "%.0f", 100 * ratio, " %");
}

/* Then each row says whose it is. */
static bool
has_several(const Grad *grad)
{
    return grad->estimates.count + grad->failures.count > 1;
}

static void
header_row(Table *table, const char *title)
{
    const Grad *grad = table->grad;
    bool several = has_several(grad);
    Row row = {{title, several ? "estimator" : NULL, "estimate", "±", "rel. ±", "sd", "time",
                rxn__grad_found(grad, "exact") && several ? "bias/±" : NULL,
                rxn__grad_found(grad, "score") && several ? "work" : NULL}};
    vec_push(table->arena, &table->rows, row);
}

static void
value_rows(Table *table, u32 output)
{
    const Grad *grad = table->grad;
    for (u32 e = 0; e < grad->estimates.count; e++) {
        const GradEstimate *estimate = &grad->estimates.items[e];
        Row row = {{e == 0 ? "value" : NULL, has_several(grad) ? estimate->estimator : NULL}};
        double value = estimate->value[output], se = estimate->value_se[output];
        estimate_texts(table, value, se, estimate->exact, &row.cells[2], &row.cells[3]);
        if (!estimate->exact && se > 0)
            row.cells[4] = percent(table, se / fabs(value));
        vec_push(table->arena, &table->rows, row);
    }
    for (u32 e = 0; e < grad->failures.count; e++) {
        Row row = {{NULL, grad->failures.items[e].estimator, "failed"}};
        vec_push(table->arena, &table->rows, row);
    }
}

static void
parameter_rows(Table *table, u32 output, u32 p)
{
    const Grad *grad = table->grad;
    bool several = has_several(grad);
    for (u32 e = 0; e < grad->estimates.count; e++) {
        const GradEstimate *estimate = &grad->estimates.items[e];
        GradCell cell = rxn__grad_cell(grad, estimate, output, p);
        Row row = {{e == 0 ? cell_text(table, "d/d %s", grad->labels[p]) : NULL,
                    several ? estimate->estimator : NULL}};
        estimate_texts(table, cell.gradient, cell.se, estimate->exact, &row.cells[2],
                       &row.cells[3]);
        row.cells[4] = percent(table, rxn__grad_relative_error(&cell));
        if (!estimate->exact)
            row.cells[5] = figure(table, "%.3g", cell.sd, "");
        row.cells[6] = duration(table, estimate->seconds);
        row.cells[7] = figure(table, "%+.1f", rxn__grad_bias(grad, &cell), "");
        if (several)
            row.cells[8] = figure(table, "%.2g", rxn__grad_work(grad, &cell), "");
        vec_push(table->arena, &table->rows, row);
    }
}

/* The parameters from p on that are of the same declaration. */
static u32
group_of(const Grad *grad, u32 p)
{
    const Network *network = grad->pipeline.network;
    u32 number = 0, count = 1;
    while (number + 1 < network->params.count &&
           network->params.items[number + 1].flat <= grad->request.wrt[p])
        number++;
    const Param *param = &network->params.items[number];
    u64 members = rxn__shape_count(&param->shape);
    while (p + count < grad->request.wrt_count && grad->request.wrt[p + count] >= param->flat &&
           grad->request.wrt[p + count] < param->flat + members)
        count++;
    return count;
}

static const char *
name_of_group(Table *table, u32 p)
{
    const char *label = table->grad->labels[p];
    return cell_text(table, "%.*s", (int)strcspn(label, "["), label);
}

/* Of many members of an array: how large their derivatives are, and which is the largest. */
static void
group_rows(Table *table, u32 output, u32 p, u32 count)
{
    const Grad *grad = table->grad;
    for (u32 e = 0; e < grad->estimates.count; e++) {
        const GradEstimate *estimate = &grad->estimates.items[e];
        double squares = 0, errors = 0;
        GradCell largest = rxn__grad_cell(grad, estimate, output, p);
        for (u32 k = p; k < p + count; k++) {
            GradCell cell = rxn__grad_cell(grad, estimate, output, k);
            squares += cell.gradient * cell.gradient / count;
            errors += cell.se * cell.se / count;
            if (fabs(cell.gradient) > fabs(largest.gradient) || isnan(cell.gradient))
                largest = cell;
        }
        char all[32];
        rxn__format_grouped(all, sizeof all, count);
        const char *title = cell_text(table, "rms of d/d %s, %s", name_of_group(table, p), all);
        Row row = {{e == 0 ? title : NULL, has_several(grad) ? estimate->estimator : NULL}};
        estimate_texts(table, sqrt(squares), sqrt(errors), estimate->exact, &row.cells[2],
                       &row.cells[3]);
        if (!estimate->exact)
            row.cells[4] = percent(table, sqrt(errors / squares));
        row.cells[6] = duration(table, estimate->seconds);
        vec_push(table->arena, &table->rows, row);
        row = (Row){{cell_text(table, "largest: %s", grad->labels[largest.parameter]),
                     has_several(grad) ? estimate->estimator : NULL}};
        estimate_texts(table, largest.gradient, largest.se, estimate->exact, &row.cells[2],
                       &row.cells[3]);
        row.cells[4] = percent(table, rxn__grad_relative_error(&largest));
        vec_push(table->arena, &table->rows, row);
    }
}

/* All parameters where they are few; else arrays as a whole, and as many of the others as there is room for. Returns
 * how many have a row of their own. */
static u32
all_parameter_rows(Table *table, u32 output)
{
    const Grad *grad = table->grad;
    u32 all = grad->request.wrt_count, shown = 0, groups = 0;
    for (u32 p = 0; p < all;) {
        u32 count = group_of(grad, p);
        if (all > MOST_PARAMETERS && count > MOST_MEMBERS) {
            if (groups++ < MOST_PARAMETERS)
                group_rows(table, output, p, count);
        } else {
            for (u32 k = p; k < p + count && shown < MOST_PARAMETERS; k++, shown++)
                parameter_rows(table, output, k);
        }
        p += count;
    }
    return shown;
}

static void
print_output(FILE *file, const Grad *grad, u32 k)
{
    const Output *output = &grad->pipeline.network->objective->outputs.items[k];
    Arena arena;
    rxn__arena_init(&arena, &grad->engine->session.memory);
    Table table = {.grad = grad, .arena = &arena};
    header_row(&table, isnan(output->time)
                           ? output->label
                           : cell_text(&table, "%s at %.10g", output->label, output->time));
    value_rows(&table, k);
    bool complete = all_parameter_rows(&table, k) == grad->request.wrt_count;
    /* A row is its cells. */
    _Static_assert(sizeof(Row) == COLUMNS * sizeof(char *), "a row has something else");
    rxn__table_columns(file, table.rows.count, COLUMNS, 2, table.rows.items->cells);
    if (!complete) {
        char all[32];
        rxn__format_grouped(all, sizeof all, grad->request.wrt_count);
        fprintf(file, "(-o FILE.csv writes all %s parameters one by one)\n", all);
    }
    fputc('\n', file);
    rxn__arena_release(&arena);
}

static void
print_estimator(FILE *file, const Grad *grad, const GradEstimate *estimate)
{
    char count[32], events[32];
    Arena arena;
    rxn__arena_init(&arena, &grad->engine->session.memory);
    Table table = {.grad = grad, .arena = &arena};
    const char *by = grad->choice ? " (taken by auto)" : "";
    fprintf(file, "%s%s: ", estimate->estimator, by);
    if (!estimate->exact) {
        rxn__format_grouped(count, sizeof count, estimate->trajectories);
        rxn__format_grouped(events, sizeof events, estimate->events);
        fprintf(file, "%s %s%s, %s events in ", count,
                estimate->trajectories == 1 ? "trajectory" : "trajectories",
                estimate->one_leaf ? " for each parameter" : "", events);
    }
    fprintf(file, "%s", duration(&table, estimate->seconds));
    /* A remark of an estimator that says whether it is biased says so first. */
    const char *bias = estimate->unbiased ? "unbiased" : "biased", *remarks = estimate->remarks;
    if (!estimate->exact)
        fprintf(file, " (compiled in %s)", duration(&table, estimate->seconds_compile));
    if (!estimate->exact && !(remarks && strncmp(remarks, bias, strlen(bias)) == 0))
        fprintf(file, "; %s", bias);
    if (remarks)
        fprintf(file, "; %s", remarks);
    for (u32 d = 0; d < estimate->diagnostic_count; d++)
        if (strcmp(estimate->diagnostics[d].name, SCORE_BLIND) != 0 || rxn__grad_blind(estimate, d))
            fprintf(file, "; %s %.3g", estimate->diagnostics[d].name,
                    estimate->diagnostic_values[d]);
    fputc('\n', file);
    rxn__arena_release(&arena);
}

void
rxn__grad_table(FILE *file, const Grad *grad)
{
    u32 shown = grad->output_count < MOST_OUTPUTS ? grad->output_count : MOST_OUTPUTS;
    for (u32 k = 0; k < shown; k++)
        print_output(file, grad, k);
    if (shown < grad->output_count)
        fprintf(file, "(%u of %u outputs; -o FILE.csv writes all)\n\n", shown, grad->output_count);
    const char *remarks = grad->estimates.items[0].remarks;
    if (grad->choice && !(remarks && strcmp(grad->choice, remarks) == 0))
        fprintf(file, "auto takes %s: %s\n", grad->estimators.items[0], grad->choice);
    for (u32 e = 0; e < grad->estimates.count; e++)
        print_estimator(file, grad, &grad->estimates.items[e]);
    for (u32 e = 0; e < grad->failures.count; e++)
        fprintf(file, "%s: failed: %s\n", grad->failures.items[e].estimator,
                grad->failures.items[e].error);
    if (grad->estimates.count > 1 && rxn__grad_found(grad, "score"))
        fputs("work: variance times time, relative to score\n", file);
}
