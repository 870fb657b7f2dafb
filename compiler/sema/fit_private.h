/* sema/fit_private: what the files of the fit block share.
 *
 *     fit.c             entries: keys, numbers, choices; which experiments there are
 *     fit_experiment.c  the conditions of one experiment: values, events, data
 *     fit_prior.c       what is of parameters alone: penalties, priors, scales
 *     fit_rows.c        the rows of a table, while a loss is written out over them
 *     fit_loss.c        the functions of a loss
 *     fit_compare.c     those that compare the model with the rows: mse, mae, gaussian
 *     fit_distribution.c   those that compare distributions: cramer, chi_square
 *     fit_objective.c   the loss of one experiment as the network's objective
 *
 * Every model's block is checked, whatever it is elaborated for. There is no data then: a column is a number of
 * which nothing is known (NaN), a loss has one row, and nothing stays in the network. For a FitRequest all of it is
 * done once more, with the data.
 */
#ifndef RXN_SEMA_FIT_PRIVATE_H
#define RXN_SEMA_FIT_PRIVATE_H

#include "compiler/network/fit.h"
#include "compiler/sema/private.h"

/* ---- What the block says (fit.c) --------------------------------------------------------------- */

typedef struct FitWords {
    const char *const *items;
    u32 count;
} FitWords;

/* "did you mean 'x'?", or all there are after the intro. */
void rxn__fit_note_nearest(Sema *sema, Name name, FitWords words, const char *intro);

typedef VEC(const AstNode *) FitNodes;

/* The block itself, or an experiment in it. */
typedef struct FitScene {
    const AstNode *node; /* FIT or BLOCK */
    Name name;           /* NULL: none */
    bool is_block, validation;
    const AstNode *data, *loss; /* entries; NULL: none */
    FitNodes measures;          /* NAMED */
    FitNodes conditions;        /* ASSIGN, AT, EVERY, WHEN */
} FitScene;

struct FitPlan {
    Module *module;
    FitScene block;
    VEC(FitScene) scenes; /* the experiments of the fit, what they take from the block filled in */
    FitNodes penalties, priors, logs, linears;
    Fit fit; /* of the whole fit; the rest is empty */
};

/* ---- Conditions (fit_experiment.c) ------------------------------------------------------------- */

/* Checks values and events of an experiment. keep: they are put into the network and into the fit. */
void rxn__fit_conditions(Sema *sema, Module *module, const FitScene *scene, Fit *fit, bool keep);

/* Checks the form of a `data` entry: a table's path in *ret_table (or NULL), samples in fit->samples. */
void rxn__fit_data(Sema *sema, Module *module, const AstNode *entry, Fit *fit,
                   const AstNode **ret_table);

/* A path in the block as it is to be opened: relative ones start at the model's folder. */
const char *rxn__fit_path(Sema *sema, const Module *module, const char *path);

/* ---- Of parameters alone (fit_prior.c) --------------------------------------------------------- */

/* Fills fit->scales and fit->penalty. */
void rxn__fit_parameters(Sema *sema, FitPlan *plan, Fit *fit);

/* ---- Rows (fit_rows.c) ------------------------------------------------------------------------- */

#define FIT_NO_COLUMN UINT32_MAX

typedef struct FitColumn {
    Name name; /* "D", "H[3]" */
    u32 column;
} FitColumn;

/* A comparison's row as `points` will have it. */
typedef struct FitLossPoint {
    u32 given; /* the reading that stands for its loss function's value */
    Expr model;
    Expr curvature; /* by the model's value, of the loss function alone; 0: none */
    FitPoint point;
} FitLossPoint;

struct FitLoss {
    Module *module;
    const RxnTable *table; /* NULL: none */
    const char *data_path;
    Span data_span;
    u32 time, trajectory; /* columns */
    bool unknown;         /* it is only checked: nothing is known of the data */
    bool
        has_snapshots; /* distributions are compared: rows of one time are measurements of different things */
    bool sampled;       /* every trajectory has a row of the samples as inputs */
    bool in_row;        /* an expression is looked at for a row */
    bool is_wrong_data; /* a column is not what it must be, and that has been said */
    bool wants_points;
    double end; /* of `simulate until`; NaN: none */
    u64 row;
    VEC(FitColumn) columns;
    VEC(FitLossPoint) points;
    VEC(u32) givens; /* quantities that stand for loss functions */
    Fit *fit;
};

u64 rxn__fit_row_count(const FitLoss *loss);

/* The column that `data.NAME` means, found and without a missing number. False: reported. */
bool rxn__fit_column(Sema *sema, const Scope *scope, const AstNode *reference, u32 *ret_column);

/* "data.csv:7" of the present row, or what else says where. */
const char *rxn__fit_row_place(Sema *sema);

/* Opens the table and checks its times. False: reported. */
bool rxn__fit_open_table(Sema *sema, Module *module, const FitRequest *request, const AstNode *path,
                         Span span, FitLoss *loss);

/* The first column of data that is read in the tree; NULL. */
const AstNode *rxn__fit_first_column(const AstNode *node);

/* From a few numbers to the number of their entry. */
typedef struct FitKey {
    Expr a, b;
    double x;
} FitKey;

typedef struct FitIndex {
    FitKey *keys; /* by entry */
    u32 *slots;   /* entry plus 1 */
    u32 count, capacity;
} FitIndex;

/* The entry of the key; true: it is new, and the last. */
bool rxn__fit_index_add(Arena *arena, FitIndex *index, FitKey key, u32 *ret_entry);

/* ---- Losses (fit_loss.c, fit_compare.c, fit_distribution.c) -------------------------------------- */

/* Whether a function that compares distributions is called in the tree. */
bool rxn__fit_has_distribution(const AstNode *node);

/* One call of a loss function. */
typedef struct FitCall {
    Sema *sema;
    FitLoss *loss;
    const Scope *scope; /* of the call */
    const AstNode *node;
    const char *name;
    bool
        of_ensemble; /* it compares expectations; else it is one trajectory's, and its expectation is meant */
    Scope arguments; /* where its arguments stand */
} FitCall;

/* The argument, a number, for the present row, as sema has it. 0: reported. */
Expr rxn__fit_argument(FitCall *call, const Scope *scope, const AstNode *node);

/* A value at the present row's time, in the normal form: of expectations, or of atoms. 0: reported. */
Expr rxn__fit_normal(FitCall *call, const AstNode *node, Expr value);

/* The value of the call in the normal form. 0: reported. */
Expr rxn__fit_mse(FitCall *call);
Expr rxn__fit_mae(FitCall *call);
Expr rxn__fit_gaussian(FitCall *call);
Expr rxn__fit_distribution(FitCall *call);

/* Adds a point, where points are wanted and the model's value, in the normal form of outputs, is no constant. */
void rxn__fit_add_point(FitCall *call, Expr model, Expr curvature, const FitPoint *point);

/* The reference of a species that the argument is (`X`, `mean(X)`, `at(X, 3)`): never negative, and whole but for
 * means. NULL: it is something else. */
const AstNode *rxn__fit_bare_count(Sema *sema, const Scope *scope, const AstNode *node);

bool rxn__fit_is_numeric(const Sema *sema, Expr value, double *ret_number);

/* ---- The objective (fit_objective.c) ----------------------------------------------------------- */

/* Elaborates loss and measures of a scene. request NULL: they are only checked. */
void rxn__fit_objective(Sema *sema, FitPlan *plan, const FitScene *scene, const FitRequest *request,
                        Fit *fit);

#endif
