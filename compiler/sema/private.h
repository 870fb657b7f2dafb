/* sema/private: what the files of this folder share.
 *
 * The work goes in passes over all modules of a model (the main file and what it uses), each over
 * the statements in order, a module's at the place of its `use`:
 *
 *   declare   every declared name becomes a Symbol, so that order does not matter      modules.c
 *   objects   species, inputs and parameters get their shapes and flat numbers         declarations.c
 *   values    consts, index sets, lets and parameters' initial values, on first use    declarations.c
 *   body      reactions, events, observables, simulate, fit                            the rest
 *
 * Nothing is evaluated before it is asked for, and what is being evaluated is marked, so a cycle is
 * found where it closes. A symbol whose declaration was wrong is poisoned: whoever uses it gets the
 * expression 0 and says nothing, as every function here does when it is handed one.
 */
#ifndef RXN_SEMA_PRIVATE_H
#define RXN_SEMA_PRIVATE_H

#include "compiler/network/objective.h"
#include "compiler/sema/sema.h"

enum {
    SEMA_MAX_DEPTH = 1500,      /* expressions inside expressions, through lets and functions too */
    SEMA_MAX_MODULE_DEPTH = 32, /* files that use files */
    SEMA_MAX_MODULES = 10000,   /* used files in all, each use counted */
    SEMA_MAX_ASSIGNMENTS = 10000, /* of one event statement, unrolled */
    SEMA_MAX_COINCIDING = 4,      /* terms of one species whose members may be the same one */
    SEMA_MAX_REACTANTS = 32,      /* copies of one species that mass action consumes */
    SEMA_MAX_COEFFICIENT = 1000000000,
    SEMA_MAX_TERMS = 1000, /* different species on one side of a reaction */
};

typedef struct Module Module;
typedef struct FitPlan FitPlan;
typedef struct FitLoss FitLoss;

typedef enum SymbolKind {
    SYMBOL_CONST,
    SYMBOL_INDEX,
    SYMBOL_SPECIES,
    SYMBOL_PARAM,
    SYMBOL_INPUT,
    SYMBOL_LET,
    SYMBOL_FUNCTION,
    SYMBOL_MODULE,
    SYMBOL_UNKNOWN, /* stands where a name was reported as unknown, so that it is reported once */
} SymbolKind;

typedef enum SymbolState {
    SYMBOL_NEW,
    SYMBOL_IN_PROGRESS,
    SYMBOL_READY,
    SYMBOL_POISONED
} SymbolState;

typedef struct Symbol {
    SymbolKind kind;
    SymbolState state;
    bool used;
    Name name;              /* with the prefix of its module */
    Name label;             /* as its own file calls it */
    const AstNode *node;    /* its declaration */
    Module *module;         /* that declares it */
    const AstNode *binding; /* the value that `use` gave it instead of its own, or NULL */
    u32 object;             /* SPECIES, PARAM, INPUT: number in the network */
    bool is_object;         /* a parameter or input that is not bound to an expression */
    i64 whole;              /* CONST: value, INDEX: size */
    Expr value;             /* LET, and whatever is bound to an expression */
    ExprUses uses;          /* what `value` depends on */
    Module *inner;          /* MODULE; NULL when its file could not be loaded */
} Symbol;

/* From names to symbols; open addressing, names are equal when their pointers are. */
typedef struct SymbolTable {
    Symbol **slots;
    u32 count, capacity;
} SymbolTable;

/* A file that was parsed; one that is used several times is parsed once. */
typedef struct ParsedFile {
    Name resolved;
    u32 file;
    const AstNode *tree;
    SymbolTable lost_names; /* in statements with a syntax error; see rxn__sema_unknown_name */
} ParsedFile;

struct Module {
    Module *parent; /* NULL: the main file */
    Name alias;
    Name prefix; /* "a.b" or NULL */
    Span use_span;
    const ParsedFile *source;
    u32 depth;
    u32 reaction_position; /* statements that are reactions, so far: names the unlabelled ones */
    VEC(Symbol *) symbols; /* in order of declaration */
};

/* A bound variable (of `for`, `sum`, `prod`) or a parameter of the function that is being inlined. */
typedef struct Local Local;
struct Local {
    const Local *outer;
    Name name;
    Span span;
    Expr value;
    bool is_argument;
};

/* What an expression may depend on, beside numbers and consts. */
enum {
    ALLOW_SPECIES = 1,
    ALLOW_PARAMS = 2,
    ALLOW_INPUTS = 4,
    ALLOW_TIME = 8,
    ALLOW_VARIABLES = 16,
    ALLOW_ALL = 31,
};

/* Where an expression of `--of`, or of a loss, stands (objective.c). */
typedef enum ObjectivePlace {
    PLACE_MODEL,      /* in no such expression */
    PLACE_OUTSIDE,    /* outside of mean, var, sd and cov, where there is one of them */
    PLACE_TRAJECTORY, /* what is made of one trajectory */
    PLACE_READING,    /* what is read at one time, or at all times of a span */
    PLACE_LOSS,       /* of a fit's loss: outside of its functions */
} ObjectivePlace;

/* Where an expression stands. `what` says it in messages: "an initial value". */
typedef struct Scope {
    Module *module;
    const Local *locals;
    u32 allowed;
    const char *what;
    ObjectivePlace place;
    const char *inside; /* of --of: the function that it is an argument of */
} Scope;

/* One inlined call: the same function of the same arguments is elaborated once. */
typedef struct CallMemo CallMemo;
struct CallMemo {
    CallMemo *next;
    const Symbol *function;
    u32 allowed, argument_count;
    const Expr *arguments;
    Expr value;
};

typedef struct Sema {
    Arena *arena;
    NameTable *names;
    SourceMap *sources;
    Diagnostics *diagnostics;
    const SourceLoader *loader;
    Network *network;
    SymbolTable symbols, labels, observables;
    VEC(ParsedFile *) files;
    VEC(Module *) modules;
    VEC(Symbol *) pending;   /* being evaluated, for the chain of a cycle */
    VEC(u32) loop_variables; /* of the `for`s around the statement, outermost first */
    CallMemo *memo[1 << 14];
    u32 depth;
    bool is_inlining;       /* a function with arguments; then one error is enough (builtins.c) */
    u32 errors_before_call; /* and this many there were before */
    bool is_muted;          /* the last error was one too many, so are its notes */
    bool too_deep;          /* nesting was reported */
    Text scratch;
    Name time_name, data_name;
    const AstNode *simulate, *fit, *model; /* the first of each in the main file */
    bool too_many_modules;
    ObjectiveBuilder *objective; /* while the expressions of --of are looked at */
    u32 unrolled;                /* terms of sums of readings that were written out */
    bool is_unrolling;           /* in one of them: every loop variable is a number */
    FitPlan *plan;               /* what the fit block says; NULL: there is none */
    FitLoss *loss;               /* while a loss is looked at */
    bool opens_numbers;          /* SemaInput.open_numbers */
} Sema;

/* ---- Names and messages (resolve.c) ----------------------------------------------------------- */

/* An error in a module; where that is not the main file, a note says which `use` brought it in. */
void rxn__sema_error(Sema *sema, const Module *module, Span span, const char *format, ...)
    RXN_PRINTF(4, 5);

void rxn__sema_note(Sema *sema, Span span, const char *format, ...) RXN_PRINTF(3, 4);

/* The name as messages show it. */
const char *rxn__sema_show(Sema *sema, Name name);

/* The expression as the user could have written it, cut where it is long. */
const char *rxn__sema_show_source(Sema *sema, const AstNode *node);

/* "a species", "a parameter". */
const char *rxn__sema_kind_text(SymbolKind kind);

Symbol *rxn__symbols_find(const SymbolTable *table, Name name);

/* The caller has seen that the name is free. */
void rxn__symbols_add(Sema *sema, SymbolTable *table, Symbol *symbol);

/* The name of `label` in this module, with its prefix. */
Name rxn__sema_full_name(Sema *sema, const Module *module, Name label);

/* Enters a declaration; NULL (reported) where the name is taken. */
Symbol *rxn__sema_declare(Sema *sema, Module *module, SymbolKind kind, const AstNode *node);

/* The symbol that `name` means in this module; NULL where there is none, then nothing is said.
 * Marks it as used. */
Symbol *rxn__sema_lookup(Sema *sema, const Module *module, Name name);

/* What would have fitted where an unknown name stands. */
typedef enum Wanted { WANT_VALUE, WANT_SPECIES, WANT_FUNCTION, WANT_INDEX_SET } Wanted;

/* Reports a name that nothing declares, with what it may have meant, once for each name. Says nothing
 * where the declaration may have stood in a statement that has a syntax error. */
void rxn__sema_unknown_name(Sema *sema, const Scope *scope, Name name, Span span, Wanted wanted);

/* The best of the candidates for a misspelt name, fed one at a time. */
typedef struct Suggestion {
    Name name, best;
    u32 distance;
} Suggestion;

Suggestion rxn__suggestion(Name name);

void rxn__suggestion_try(Suggestion *suggestion, Name candidate);

/* Notes the best one, if any is near enough. */
void rxn__suggestion_note(Sema *sema, const Suggestion *suggestion);

bool rxn__sema_is_builtin(Name name);

void rxn__suggestion_try_builtins(Sema *sema, Suggestion *suggestion);

/* ---- Numbers known at compile time (constants.c) ----------------------------------------------- */

/* A number of constants alone. False (reported or poisoned) where it is not. `what`: "a const". */
bool rxn__sema_constant(Sema *sema, const Scope *scope, const AstNode *node, const char *what,
                        double *ret_value);

/* … that is whole, and exact as a double. */
bool rxn__sema_whole(Sema *sema, const Scope *scope, const AstNode *node, const char *what,
                     i64 *ret_value);

/* The range of a `for`, `sum` or `prod`: an index set or `low .. high`; may be empty (high < low). */
bool rxn__sema_range(Sema *sema, const Scope *scope, const AstNode *range, i64 *ret_low,
                     i64 *ret_high);

/* The extents of an array from its dimensions. */
bool rxn__sema_shape(Sema *sema, Module *module, const AstNode *declaration, u32 first_dimension,
                     Shape *ret_shape);

/* Members of the shape; RXN_MAX_FLAT + 1 when there are more than RXN_MAX_FLAT. */
u32 rxn__shape_members(const Shape *shape);

/* ---- Expressions (expressions.c, references.c, builtins.c) ------------------------------------- */

/* A number or a condition; 0 where something is wrong (reported). A missing node is poison. */
Expr rxn__sema_expression(Sema *sema, const Scope *scope, const AstNode *node);

/* … that must be a number, and a condition. */
Expr rxn__sema_number(Sema *sema, const Scope *scope, const AstNode *node);

Expr rxn__sema_condition(Sema *sema, const Scope *scope, const AstNode *node);

/* Whether the name of a bound variable is free; reports. It hides nothing, so that no reader is misled. */
bool rxn__sema_loop_name(Sema *sema, const Scope *scope, const AstNode *node);

/* A name that stands for a value, with its indices. */
Expr rxn__sema_reference(Sema *sema, const Scope *scope, const AstNode *node);

/* The index expressions of a reference to an array of this shape, checked for range. False: reported. */
bool rxn__sema_indices(Sema *sema, const Scope *scope, const AstNode *reference,
                       const Symbol *symbol, const Shape *shape, Expr ret_indices[RXN_MAX_RANK]);

const Shape *rxn__sema_shape_of(const Sema *sema, const Symbol *symbol);

/* A call of a builtin or of the user's function. */
Expr rxn__sema_call(Sema *sema, const Scope *scope, const AstNode *node);

/* Reports what is wrong in a function whatever it is called with. */
void rxn__sema_check_function(Sema *sema, Symbol *function);

/* Checks the argument's type; reports. False for poison as well. */
bool rxn__sema_is_number(Sema *sema, const Scope *scope, Expr value, const AstNode *node,
                         const char *by_whom);

/* Says so if the value depends on what this place does not allow. `subject`: "'x'". */
bool rxn__sema_allows(Sema *sema, const Scope *scope, ExprUses uses, Span span,
                      const char *subject);

/* The number that an expression is once folded; false if it is none. */
bool rxn__sema_folded(const Sema *sema, Expr value, double *ret_number);

/* Reports a folded value that is negative or not whole, as no count is. True if it is fine. */
bool rxn__sema_check_count(Sema *sema, const Module *module, Expr value, Span span,
                           const char *what);

/* ---- Declarations (declarations.c) ------------------------------------------------------------- */

/* Evaluates what the symbol stands for, if that was not done. False: poisoned. */
bool rxn__sema_resolve(Sema *sema, Symbol *symbol, Span use_span);

/* Shapes and numbers of species and inputs; then parameters; then initial values. */
void rxn__sema_declare_objects(Sema *sema);

void rxn__sema_resolve_all(Sema *sema);

void rxn__sema_warn_unused(Sema *sema);

/* ---- Numbers that are left open (open_numbers.c) ------------------------------------------------- */

/* A parameter in the place of the number, where the node is one and numbers are wanted open; else as it was. The whole
 * constant of a mass action; a whole initial value. All of the model's own parameters are there by then. */
Expr rxn__sema_open_rate(Sema *sema, const AstNode *node, Expr rate);
Expr rxn__sema_open_count(Sema *sema, const AstNode *node, Expr count);

/* ---- Modules (modules.c) ----------------------------------------------------------------------- */

/* Parses (once) and notes where the syntax errors are. */
ParsedFile *rxn__sema_parse(Sema *sema, u32 file, Name resolved);

/* Declares all names of the module, and of those it uses. */
void rxn__sema_declare_module(Sema *sema, Module *module);

/* ---- The body: each handles one statement ------------------------------------------------------ */

void rxn__sema_collect_labels(Sema *sema, Module *module);

void rxn__sema_reaction(Sema *sema, const Scope *scope, const AstNode *node);

void rxn__sema_event(Sema *sema, const Scope *scope, const AstNode *node);

void rxn__sema_observe(Sema *sema, Module *module, const AstNode *node);

void rxn__sema_observe_all(Sema *sema);

void rxn__sema_simulate(Sema *sema, Module *module, const AstNode *node);

/* ---- How parameters are trained (fit.c and its siblings; fit_private.h) ------------------------ */

/* Checks the block and keeps its entries. */
void rxn__sema_fit(Sema *sema, Module *module, const AstNode *node);

/* Makes the network that of one experiment, with its loss as the objective. */
void rxn__sema_fit_request(Sema *sema, Module *module, const FitRequest *request);

/* mse, mae, gaussian, cramer, chi_square, cross_entropy, accuracy: functions in the loss of a fit alone. */
bool rxn__sema_is_loss_function(Name name);

/* A call of one of them while a loss is looked at. */
Expr rxn__sema_loss_call(Sema *sema, const Scope *scope, const AstNode *node);

/* `data.NAME`: a number of the row; the name begins with "data.". */
bool rxn__sema_is_data(Name name);

Expr rxn__sema_data(Sema *sema, const Scope *scope, const AstNode *node);

void rxn__suggestion_try_loss(Sema *sema, Suggestion *suggestion);

/* ---- What is differentiated (objective.c) ------------------------------------------------------ */

/* Sets network->objective, unless something is wrong in it. */
void rxn__sema_objective(Sema *sema, Module *module, const ObjectiveRequest *request);

/* at, integral, average, total, passage, mean, var, sd, cov: functions in `--of` alone. */
bool rxn__sema_is_objective_function(Name name);

/* A call of one of them, in a scope whose place is not PLACE_MODEL. */
Expr rxn__sema_objective_call(Sema *sema, const Scope *scope, const AstNode *node);

/* Whether there is an expectation in the tree: a call of mean, var, sd, cov, … */
bool rxn__sema_has_expectation(const AstNode *node);

/* What is wrong with a value that was to be read, in words. */
void rxn__sema_objective_problem(Sema *sema, Module *module, const AstNode *node,
                                 ObjectiveProblem problem);

/* Whether there is a call of one of them, or of a loss function, in the tree, in such a scope. */
bool rxn__sema_reads(const Scope *scope, const AstNode *node);

/* A `sum` or `prod` whose body reads: written out, the body once for each value of the variable. */
Expr rxn__sema_unrolled(Sema *sema, const Scope *scope, Local *local, const AstNode *node, i64 low,
                        i64 high);

/* The observable that the reference names; false where there is none. */
bool rxn__sema_observable(Sema *sema, const Scope *scope, const AstNode *node, Expr *ret_value);

void rxn__suggestion_try_objective(Sema *sema, Suggestion *suggestion, bool functions_wanted);

#endif
