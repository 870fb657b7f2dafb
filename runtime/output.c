/* output.c: CSV. Almost all numbers are counts, so whole numbers have a short way of their own, which
 * writes what %.17g would.
 */
#include "runtime/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

double
rxn__report_sd(const RxnReport *report, size_t cell)
{
    return report->run->sd[cell];
}

static size_t
format_whole(char *text, uint64_t value)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t k = 0; k < count; k++)
        text[k] = digits[count - 1 - k];
    return count;
}

size_t
rxn__format_number(char ret_text[RXN_NUMBER_ROOM], double value)
{
    if (value >= 0 && value < 0x1p53 && value == floor(value) && !signbit(value)) {
        size_t length = format_whole(ret_text, (uint64_t)value);
        ret_text[length] = '\0';
        return length;
    }
    if (isnan(value)) /* one spelling, whatever its sign bit */
        return (size_t)snprintf(ret_text, RXN_NUMBER_ROOM, "nan");
    return (size_t)snprintf(ret_text, RXN_NUMBER_ROOM, "%.17g", value);
}

static void
put_number(FILE *file, char separator, double value)
{
    char text[RXN_NUMBER_ROOM + 1];
    text[0] = separator;
    fwrite(text, 1, rxn__format_number(text + 1, value) + 1, file);
}

static void
put_header_cell(FILE *file, const char *label, const char *suffix)
{
    if (!strpbrk(label, ",\"\r\n")) {
        fprintf(file, ",%s%s", label, suffix);
        return;
    }
    fputs(",\"", file);
    for (const char *c = label; *c; c++) {
        if (*c == '"')
            fputc('"', file);
        fputc(*c, file);
    }
    fprintf(file, "%s\"", suffix);
}

void
rxn__csv_statistics(FILE *file, const RxnReport *report)
{
    fputs("time", file);
    for (uint32_t c = 0; c < report->columns; c++) {
        put_header_cell(file, report->labels[c], ".mean");
        put_header_cell(file, report->labels[c], ".sd");
        if (report->run->se)
            put_header_cell(file, report->labels[c], ".se");
    }
    fputc('\n', file);
    for (uint32_t k = 0; k < report->sample_count; k++) {
        char text[RXN_NUMBER_ROOM];
        fwrite(text, 1, rxn__format_number(text, report->times[k]), file);
        for (uint32_t c = 0; c < report->columns; c++) {
            size_t cell = (size_t)k * report->columns + c;
            put_number(file, ',', report->run->mean[cell]);
            put_number(file, ',', rxn__report_sd(report, cell));
            if (report->run->se)
                put_number(file, ',', report->run->se[cell]);
        }
        fputc('\n', file);
    }
}

void
rxn__csv_each_header(FILE *file, const RxnReport *report)
{
    fputs("trajectory,time", file);
    for (uint32_t c = 0; c < report->columns; c++)
        put_header_cell(file, report->labels[c], "");
    fputc('\n', file);
}

void
rxn__csv_each_rows(FILE *file, const RxnReport *report, uint64_t first, uint64_t count,
                   const double *samples)
{
    for (uint64_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < report->sample_count; k++) {
            char text[RXN_NUMBER_ROOM];
            fwrite(text, 1, format_whole(text, first + i), file);
            put_number(file, ',', report->times[k]);
            for (uint32_t c = 0; c < report->columns; c++)
                put_number(file, ',', *samples++);
            fputc('\n', file);
        }
    }
}
