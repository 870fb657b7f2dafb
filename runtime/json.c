/* json.c: writes JSON (RFC 8259). Written here rather than with a library because a standalone
 * executable should need none for a dozen lines of output.
 */
#include "runtime/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Bytes of the well-formed UTF-8 character here; 0 if there is none. */
static int
utf8_length(const unsigned char *text)
{
    static const struct {
        unsigned char mask, lead;
        unsigned least;
    } forms[] = {{0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
    for (int extra = 0; extra < 4; extra++) {
        if ((text[0] & forms[extra].mask) != forms[extra].lead)
            continue;
        unsigned code = text[0] & (unsigned char)~forms[extra].mask;
        for (int k = 1; k <= extra; k++) {
            if ((text[k] & 0xC0) != 0x80)
                return 0;
            code = code << 6 | (text[k] & 0x3F);
        }
        bool surrogate = code >= 0xD800 && code <= 0xDFFF;
        return code >= forms[extra].least && code <= 0x10FFFF && !surrogate ? extra + 1 : 0;
    }
    return 0;
}

void
rxn__json_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        int length = utf8_length(c);
        if (length == 0)
            fputs("\\ufffd", file);
        else if (*c == '"' || *c == '\\')
            fprintf(file, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7F)
            fprintf(file, "\\u%04x", *c);
        else
            fwrite(c, 1, (size_t)length, file);
        c += length ? length : 1;
    }
    fputc('"', file);
}

void
rxn__json_number(FILE *file, double value)
{
    if (!isfinite(value)) {
        fputs("null", file);
        return;
    }
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fputs(text, file);
}

static void
text_entry(FILE *file, const char *key, const char *value)
{
    fprintf(file, "  \"%s\": ", key);
    rxn__json_string(file, value);
    fputs(",\n", file);
}

static void
number_entry(FILE *file, const char *key, double value)
{
    fprintf(file, "  \"%s\": ", key);
    rxn__json_number(file, value);
    fputs(",\n", file);
}

static void
count_entry(FILE *file, const char *key, uint64_t value)
{
    fprintf(file, "  \"%s\": %" PRIu64 ",\n", key, value);
}

void
rxn__json_run(FILE *file, const RxnReport *report)
{
    const RxnRun *run = report->run;
    fputs("{\n", file);
    text_entry(file, "model", report->model);
    text_entry(file, "method", report->method);
    text_entry(file, "device", report->device);
    text_entry(file, "precision", report->precision);
    count_entry(file, "threads", run->threads);
    count_entry(file, "lanes", report->lanes);
    text_entry(file, "isa", report->isa);
    count_entry(file, "seed", report->seed);
    count_entry(file, "trajectories", run->trajectories);
    count_entry(file, "samples", report->sample_count);
    count_entry(file, "observables", report->columns);
    count_entry(file, "events", run->events);
    number_entry(file, "seconds_compile", report->seconds_compile);
    number_entry(file, "seconds_run", run->seconds);
    number_entry(file, "events_per_second",
                 run->seconds > 0 ? (double)run->events / run->seconds : 0);
    if (report->run->exact) {
        fputs("  \"exact\": true,\n", file);
        number_entry(file, "lost_mass", report->run->lost);
        count_entry(file, "states", report->run->states);
        count_entry(file, "transitions", report->run->transitions);
        count_entry(file, "products", report->run->products);
    }
    if (report->run->se) {
        count_entry(file, "pilot", report->run->pilot);
        fputs("  \"variance_reduction\": [", file);
        rxn__json_number(file, report->run->least_gain);
        fputs(", ", file);
        rxn__json_number(file, report->run->most_gain);
        fputs("],\n", file);
    }
    fputs("  \"version\": ", file);
    rxn__json_string(file, rxn_version());
    fputs("\n}\n", file);
}
