/* progress.c: a bar on the terminal with the time left, and how durations and large numbers read. */
#include "runtime/report.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const double quiet_seconds = 0.5; /* shorter work needs no bar */

double
rxn__seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void
rxn__format_duration(char *ret_text, size_t size, double seconds)
{
    if (!(seconds < 1e9))
        snprintf(ret_text, size, "more than 30 years");
    else if (seconds < 0.1)
        snprintf(ret_text, size, "%.1f ms", seconds * 1e3);
    else if (seconds < 10)
        snprintf(ret_text, size, "%.1f s", seconds);
    else if (seconds < 60)
        snprintf(ret_text, size, "%.0f s", seconds);
    else if (seconds < 3600)
        snprintf(ret_text, size, "%d min %02d s", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(ret_text, size, "%d h %02d min", (int)(seconds / 3600), (int)(seconds / 60) % 60);
}

void
rxn__format_grouped(char *ret_text, size_t size, uint64_t value)
{
    char digits[24], text[32];
    int count = snprintf(digits, sizeof digits, "%" PRIu64, value), at = 0;
    for (int k = 0; k < count; k++) {
        if (k > 0 && (count - k) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[k];
    }
    text[at] = '\0';
    snprintf(ret_text, size, "%s", text);
}

void
rxn__progress_begin(RxnProgress *progress, FILE *file)
{
    *progress = (RxnProgress){.file = file && isatty(fileno(file)) ? file : NULL,
                              .start = rxn__seconds(),
                              .counted = "trajectories"};
}

static int
columns_of(FILE *file)
{
    enum { USUAL = 80, LEAST = 10 };
    struct winsize size;
    if (ioctl(fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return USUAL;
    return size.ws_col < LEAST ? LEAST : size.ws_col;
}

void
rxn__progress_show(void *context, uint64_t done, uint64_t total)
{
    enum { BAR = 30 };
    RxnProgress *progress = context;
    double elapsed = rxn__seconds() - progress->start;
    if (!progress->file || elapsed < quiet_seconds)
        return;
    double part = total > 0 ? (double)done / (double)total : 0;
    char bar[BAR + 1];
    for (int k = 0; k < BAR; k++)
        bar[k] = k < (int)(part * BAR) ? '=' : ' ';
    bar[BAR] = '\0';
    char all[32], some[32], left[40] = "", line[200];
    rxn__format_grouped(some, sizeof some, done);
    rxn__format_grouped(all, sizeof all, total);
    if (done > 0)
        rxn__format_duration(left, sizeof left, elapsed * (1 - part) / part);
    int length = snprintf(line, sizeof line, "[%s] %3.0f %%", bar, 100 * part);
    if (progress->counted)
        length += snprintf(line + length, sizeof line - (size_t)length, "  %s of %s %s", some, all,
                           progress->counted);
    snprintf(line + length, sizeof line - (size_t)length, "%s%s%s",
             done == 0           ? ""
             : progress->counted ? ", "
                                 : "  ",
             left, done > 0 ? " left" : "");
    /* A line that the terminal breaks in two cannot be taken back: without the bar, or without its end. */
    int width = columns_of(progress->file) - 1;
    const char *shown = (int)strlen(line) > width ? line + BAR + 3 : line;
    fprintf(progress->file, "\r%.*s\033[K", width, shown);
    fflush(progress->file);
    progress->shown = true;
}

void
rxn__progress_end(RxnProgress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", progress->file);
    progress->shown = false;
}
