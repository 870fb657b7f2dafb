/* sema: from what the user wrote to what it means. Resolves names, loads `use`d files, checks shapes,
 * types and bounds, and elaborates the AST into a Network. As many errors as can be found in one go;
 * a wrong construct is reported once and poisoned.
 */
#ifndef RXN_SEMA_H
#define RXN_SEMA_H

#include "compiler/ast/ast.h"
#include "compiler/base/base.h"
#include "compiler/network/fit.h"
#include "compiler/network/network.h"
#include "runtime/dataset.h"

/* How `use "path"` gets a file's text: the driver reads files, a test or an embedding host answers from
 * memory. Returns false when there is no such file (reason in *ret_reason). `from` is the path of the
 * file that uses it: relative paths are relative to its folder; then the directories of stdlib_models
 * are tried. The text is copied by the caller. */
typedef struct SourceLoader {
    void *context;
    bool (*load)(void *context, const char *from, const char *path, Arena *arena,
                 const char **ret_resolved, const char **ret_text, size_t *ret_length,
                 const char **ret_reason);
} SourceLoader;

/* `--of` and `--at`: docs/gradients.md says what the texts may hold. They are added to the source map as
 * files named "--of", so messages have a caret under the text. */
typedef struct ObjectiveRequest {
    const char *const *texts; /* one expression each */
    u32 text_count;
    const double *times; /* of --at: finite, >= 0; may be none where every text has its own */
    u32 time_count;
} ObjectiveRequest;

/* How a fit's tables are got: the driver reads files, a test answers from memory. Returns NULL with the reason; the table
 * lives as long as the loader. `from` and `path` as for SourceLoader, without stdlib_models;
 * *ret_resolved: the path as it was opened. */
typedef struct FitTables {
    void *context;
    const RxnTable *(*load)(void *context, const char *from, const char *path, Arena *arena,
                            const char **ret_resolved, const char **ret_reason);
} FitTables;

/* To elaborate a model for one experiment of its fit: with its initial values, events and settings, its loss as
 * the network's objective. A model without a fit block, or without a loss in it, is an error. */
typedef struct FitRequest {
    u32 experiment;   /* 0 … fit.experiment_count - 1 */
    bool measures;    /* outputs are the loss and the measures, else the loss and the points */
    const char *data; /* --data FILE: instead of the fit block's own; NULL */
    const FitTables *tables;
    /* Filled in from the network's arena. It stays where it is while passes run: they keep the expressions in
     * it up to date (Objective.followers). */
    Fit *ret_fit;
} FitRequest;

typedef struct SemaInput {
    Arena *arena;
    NameTable *names;
    SourceMap *sources;
    Diagnostics *diagnostics;
    const SourceLoader *loader;
    const ObjectiveRequest *objective; /* NULL: none; else network->objective is set */
    bool *objective_is_wrong;          /* NULL, or set where it is the objective, not the model */
    const FitRequest *fit;             /* NULL: none; else instead of `objective` */
    /* Rate constants and initial values that are but a number become parameters behind the model's own (open_numbers.c). */
    bool open_numbers;
} SemaInput;

/* Parses and elaborates file number `file` of the source map. NULL if there were errors (all in the
 * diagnostics). *ret_ast, where not NULL, gets the main file's tree. The result is a checked network
 * before any pass. */
Network *rxn__elaborate(const SemaInput *input, u32 file, AstNode **ret_ast);

#endif
