/* report.h: what a program shows of a run: CSV, JSON, tables, plots, progress.
 *
 * For `rxn run` and for standalone executables alike. Nothing depends on the locale.
 */
#ifndef RXN_RUNTIME_REPORT_H
#define RXN_RUNTIME_REPORT_H

#include <stdio.h>

#include "runtime/rxn.h"

typedef struct RxnReport {
    const char *model;
    const char *const *labels; /* [columns] */
    uint32_t columns, sample_count;
    const double *times; /* [sample_count] */
    const char *method, *device, *isa, *precision;
    uint32_t lanes;
    uint64_t seed;
    double seconds_compile;
    const RxnRun *run; /* its times and columns are those above */
    /* The first trajectories, whole: [kept][sample_count][columns]; for tables and plots of single ones. */
    const double *kept;
    uint64_t kept_count;
    bool each;    /* single trajectories are wanted, not statistics */
    bool written; /* all of it is in a file already */
} RxnReport;

enum { RXN_NUMBER_ROOM = 32 };

/* Of what is observed; cell: sample * columns + column. */
double rxn__report_sd(const RxnReport *report, size_t cell);

/* 17 significant digits as %.17g has them ("0.10000000000000001", "100", "nan"); returns the length. */
size_t rxn__format_number(char ret_text[RXN_NUMBER_ROOM], double value);

/* ---- CSV (output.c), RFC 4180: a header cell with a comma or a quotation mark is quoted -------- */

/* time,A.mean,A.sd,…: one row per sample time; with standard errors A.mean,A.sd,A.se,… */
void rxn__csv_statistics(FILE *file, const RxnReport *report);

/* trajectory,time,A,B,… */
void rxn__csv_each_header(FILE *file, const RxnReport *report);
void rxn__csv_each_rows(FILE *file, const RxnReport *report, uint64_t first, uint64_t count,
                        const double *samples);

/* ---- JSON (json.c) ------------------------------------------------------------------------------ */

/* One object on several lines: model, method, device, precision, threads, seed, trajectories, events,
 * seconds_compile, seconds_run, events_per_second, and lanes, isa, samples, observables, version; with
 * control variates also pilot and variance_reduction, the least and the largest; of exact figures also exact
 * (true), lost_mass, states, transitions, products, and no trajectories and events (0). */
void rxn__json_run(FILE *file, const RxnReport *report);

/* A JSON string with its quotation marks; bytes that are no UTF-8 become U+FFFD. */
void rxn__json_string(FILE *file, const char *text);

/* The shortest decimal that reads back exactly; null if it is not finite. */
void rxn__json_number(FILE *file, double value);

/* ---- tables on the terminal (table.c) ---------------------------------------------------------- */

/* At most some 20 rows and 8 columns, then a line on the run itself. */
void rxn__table_run(FILE *file, const RxnReport *report);

/* Means and deviations alone: `rows` sample times, and the columns that fit into the width of the terminal. */
void rxn__table_short(FILE *file, const RxnReport *report, uint32_t rows, uint32_t width);

/* ---- plots (plot.c) ----------------------------------------------------------------------------- */

enum { RXN_PLOT_SERIES = 12, RXN_PLOT_TRAJECTORIES = 8 };

/* Draws to an .svg or .png file with gnuplot: means with a band of one standard deviation, or the kept
 * trajectories as steps. True, with a remark in message[] where something was left out; false with
 * the reason in it. */
bool rxn__plot_run(const RxnReport *report, const char *path, char *message, size_t size);

/* The same as characters, for a terminal of this size; and in a window, which stays after this returns. Both false with the
 * reason. */
bool rxn__plot_text(FILE *file, const RxnReport *report, uint32_t width, uint32_t height,
                    char *message, size_t size);
bool rxn__plot_window(const RxnReport *report, char *message, size_t size);

/* Whether the ending of the path names a format that can be drawn. */
bool rxn__plot_knows(const char *path);

/* The script that rxn__plot_run gives to gnuplot: for tests, and for those who want to change it. */
void rxn__plot_script(FILE *script, const RxnReport *report, const char *path);

/* ---- plots of fits (plot_fit.c) ----------------------------------------------------------------- */

typedef struct RxnFitCurve {
    const char *experiment, *model, *data, *axis; /* experiment: "" where there is one alone */
    double r2;
    uint32_t count;
    const double *x, *measured, *measured_sd, *modelled; /* [count]; an sd may be NaN */
} RxnFitCurve;

/* The loss of each step, with a band of two standard errors, then data against model, one panel a curve. */
typedef struct RxnFitPicture {
    const char *model;
    uint64_t steps;
    const double *loss, *loss_se, *validation; /* [steps]; NaN: not there */
    uint32_t curve_count;
    const RxnFitCurve *curves;
} RxnFitPicture;

enum { RXN_FIT_PANELS = 11 }; /* curves that are drawn */

/* As rxn__plot_run. */
bool rxn__plot_fit(const RxnFitPicture *picture, const char *path, char *message, size_t size);

/* ---- progress (progress.c) ---------------------------------------------------------------------- */

/* Of a clock that only goes forward. */
double rxn__seconds(void);

typedef struct RxnProgress {
    FILE *file;   /* NULL: show nothing */
    double start; /* seconds of the monotonic clock */
    /* What is counted, "trajectories" from the beginning; NULL: steps that mean nothing to a person. */
    const char *counted;
    bool shown;
} RxnProgress;

/* Shows only if `file` is a terminal, and only work that takes more than half a second. */
void rxn__progress_begin(RxnProgress *progress, FILE *file);

/* As RxnEnsemble.progress; context: the RxnProgress. */
void rxn__progress_show(void *context, uint64_t done, uint64_t total);

void rxn__progress_end(RxnProgress *progress);

/* "0.8 s", "2 min 05 s", "3 h 20 min" */
void rxn__format_duration(char *ret_text, size_t size, double seconds);

/* "1,024" */
void rxn__format_grouped(char *ret_text, size_t size, uint64_t value);

#endif
