/* plot_gnuplot.c: draws with gnuplot, which is run as a program and reads its script, data included, from standard
 * input.
 *
 * The drawing goes to a file beside the wanted one and is renamed when gnuplot is content, so that no half of a
 * picture is left.
 */
#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/plot_private.h"
#include "runtime/report.h"

const char *const rxn__plot_colours[RXN_PLOT_COLOURS] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                         "#E69F00", "#56B4E9", "#000000"};

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

void
rxn__plot_string(FILE *script, const char *text)
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

void
rxn__plot_value(FILE *script, double value)
{
    if (isfinite(value))
        fprintf(script, " %.9g", value);
    else
        fputs(" NaN", script);
}

void
rxn__plot_page(FILE *script, const char *path, int width, int height)
{
    fputs("set encoding utf8\n", script);
    if (ends_with(path, ".svg"))
        fprintf(script,
                "set terminal svg size %d,%d dynamic noenhanced font 'Helvetica,15' "
                "background '#ffffff'\n",
                width, height);
    else
        fprintf(script,
                "if (strstrt(GPVAL_TERMINALS, 'pngcairo') > 0) {\n"
                "  set terminal pngcairo size %d,%d noenhanced font 'Helvetica,15' fontscale 1.3 "
                "linewidth 1.6 background '#ffffff'\n"
                "} else {\n"
                "  set terminal png size %d,%d noenhanced giant\n"
                "}\n",
                width * 3 / 2, height * 3 / 2, width * 3 / 2, height * 3 / 2);
    fputs("set output ", script);
    rxn__plot_string(script, path);
    fputs("\nset border 3 linecolor '#444444'\n"
          "set tics out nomirror textcolor '#222222'\n"
          "set grid back linecolor '#dddddd' linewidth 0.8 linetype 1\n",
          script);
}

/* Runs gnuplot on the script; what it prints goes to `out`, its complaints to `complaints`. 0, or an errno of starting it,
 * or -1 if it failed. */
static int
run_gnuplot(int script, int out, int complaints)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    posix_spawn_file_actions_adddup2(&actions, script, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
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

/* What to say of a gnuplot that did not do it. */
static void
describe_failure(int error, FILE *complaints, char *message, size_t size)
{
    if (error == ENOENT) {
        snprintf(message, size, "gnuplot is not installed (Debian: apt install gnuplot-nox)");
    } else if (error > 0) {
        snprintf(message, size, "gnuplot could not be started: %s", strerror(error));
    } else {
        char line[160];
        first_line(complaints, line, sizeof line);
        snprintf(message, size, "gnuplot failed: %s", line[0] ? line : "no message");
    }
}

/* Gives the script to gnuplot. */
static int
draw(FILE *script, FILE *out, FILE *complaints)
{
    bool written = fflush(script) == 0 && !ferror(script);
    rewind(script);
    lseek(fileno(script), 0, SEEK_SET);
    return written ? run_gnuplot(fileno(script), fileno(out), fileno(complaints)) : errno;
}

bool
rxn__plot_show(void (*write)(FILE *script, const void *what), const void *what, FILE *file,
               char *message, size_t size)
{
    FILE *script = tmpfile(), *out = tmpfile(), *complaints = tmpfile();
    bool good = false;
    if (!script || !out || !complaints) {
        snprintf(message, size, "no temporary file could be made: %s", strerror(errno));
    } else {
        write(script, what);
        int error = draw(script, out, complaints);
        good = error == 0;
        if (!good)
            describe_failure(error, complaints, message, size);
        /* Neither the empty lines before the drawing nor blanks behind its lines. */
        char line[4096];
        rewind(out);
        for (bool begun = false; good && file && fgets(line, sizeof line, out);) {
            size_t end = strlen(line);
            while (end > 0 && strchr(" \f\r\n", line[end - 1]))
                end--;
            begun = begun || end > 0;
            if (begun)
                fprintf(file, "%.*s\n", (int)end, line);
        }
    }
    if (script)
        fclose(script);
    if (out)
        fclose(out);
    if (complaints)
        fclose(complaints);
    return good;
}

bool
rxn__plot_draw(void (*write)(FILE *script, const void *what, const char *path), const void *what,
               const char *path, char *message, size_t size)
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
        write(script, what, beside);
        int error = draw(script, complaints, complaints);
        struct stat drawn;
        if (error != 0 || stat(beside, &drawn) != 0 || drawn.st_size == 0) {
            describe_failure(error, complaints, message, size);
        } else if (rename(beside, path) != 0) {
            snprintf(message, size, "%s", strerror(errno));
        } else {
            message[0] = '\0';
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
