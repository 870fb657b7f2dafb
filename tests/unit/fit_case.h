/* fit_case.h: a fit block, elaborated with a small model and with tables from memory, for tests of what a loss means; and an ensemble
 * of known paths, which stands for the trajectories. */
#ifndef RXN_FIT_CASE_H
#define RXN_FIT_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compiler/network/objective.h"
#include "compiler/sema/sema.h"

enum { CASE_PATHS = 5, MOST_TABLES = 4 };

/* species 0: X, 1: Y, 2 … 4: H[set]; parameters 0: k, 1: w, 2 … 4: b[set]; inputs 0: u, 1: label. */
extern const char case_model[];
extern const double case_params[5], case_inputs[2];

/* A table of X, Y and s at three times. */
extern const char case_courses[];
extern const double case_times[3];

typedef struct Tables {
    RxnTable items[MOST_TABLES];
    const char *paths[MOST_TABLES], *texts[MOST_TABLES];
    u32 count;
    char error[512];
} Tables;

typedef struct Case {
    Memory memory;
    jmp_buf on_failure;
    Arena arena;
    NameTable names;
    SourceMap sources;
    Diagnostics diagnostics;
    Network *network;
    Tables tables;
    Fit fit;
} Case;

typedef struct Wanted {
    u32 experiment;
    bool measures;
    const char *data; /* --data */
} Wanted;

/* Elaborates head and block; the tables are pairs of a path and a text. What is wrong is in the diagnostics. */
Case *case_elaborate(const char *head, const char *block, Wanted wanted, u32 table_count,
                     const char *const (*tables)[2]);

/* The same of case_model, in which nothing may be wrong; table: that of d.csv and of e.csv, or NULL. */
Case *case_begin(const char *block, Wanted wanted, const char *table);

void case_end(Case *c);

/* The five counts of a path, which jump at whole times. */
void case_state(u32 path, double time, double *ret_species);

/* An expression of the objective, and its output of that number, over the ensemble. */
double case_evaluate(Case *c, Expr expr);
double case_output(Case *c, u32 number);

void assert_near(double found, double expected);

/* Mean and variance (with n) of X at a time. */
double case_mean_x(double time);
double case_var_x(double time);

#endif
