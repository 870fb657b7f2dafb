/* network: the checked model. Species, parameters, reaction families, events, observables, and the
 * expressions that they share.
 *
 * Expressions are one hash-consed DAG per network: equal nodes are one node, built through
 * rxn__expr_… which also folds. Families stay families: `W[g,p]` is one PARAM node with two affine
 * indices, whatever the extents; a reaction inside two `for`s is one Reaction with two variables.
 * rxn__network_member expands a single member on demand.
 *
 * Flat numbers. Species, parameters, inputs and reactions of all families are numbered through in order
 * of declaration, members in row-major order of their indices (the last index fastest). Reports,
 * buffers and tables use flat numbers; rxn__…_label turns one into "H[3]".
 */
#ifndef RXN_NETWORK_H
#define RXN_NETWORK_H

#include "compiler/base/base.h"

enum { RXN_MAX_RANK = 4 };
/* More than these is a clear error, not a long wait. */
#define RXN_MAX_FLAT 100000000u /* members of one array, or of all arrays of a kind together */

typedef enum ExprOp {
#define EXPR(id, text, arity, takes, gives) EXPR_##id,
#include "compiler/network/expr.def"
#undef EXPR
    EXPR_OP_COUNT
} ExprOp;

typedef u32 Expr; /* 0: none, or poisoned */

typedef struct ExprNode {
    u8 op;
    bool is_bool;
    u16 arg_count;
    u32 object;    /* species, param, input, hoisted or variable number */
    double number; /* NUMBER, BOOLEAN; CHOOSE: how many */
    Expr args[RXN_MAX_RANK];
    /* Derived when the node is made, no part of its identity: */
    u32 free_set; /* its free variables: rxn__expr_free_variables */
    u16 uses;     /* what it depends on: rxn__expr_uses */
} ExprNode;

typedef struct ExprOpInfo {
    const char *text;
    int8_t arity; /* -1: given by the node */
    bool takes_bool, gives_bool;
} ExprOpInfo;
extern const ExprOpInfo rxn__expr_ops[EXPR_OP_COUNT];

typedef struct ExprTables ExprTables;

/* A bound variable of a `for`, `sum` or `prod`: takes low, low + 1 … high. Each binder has its own. */
typedef struct Variable {
    Name name;
    i64 low, high;
} Variable;

typedef struct Shape {
    u32 rank;
    u32 extent[RXN_MAX_RANK];
} Shape;

typedef struct IndexSet {
    Name name;
    u32 size;
} IndexSet;

typedef struct Species {
    Name name;
    Span span;
    Shape shape;
    u32 flat;                    /* flat number of its first member */
    u32 variables[RXN_MAX_RANK]; /* that the initial expression may use, one per dimension */
    Expr
        initial; /* of parameters, inputs and those variables; a whole number >= 0 (checked when run) */
    Span initial_span;
} Species;

typedef enum Distribution {
    DISTRIBUTION_NONE,
    DISTRIBUTION_NORMAL,
    DISTRIBUTION_UNIFORM
} Distribution;

typedef struct Param {
    Name name;
    Span span;
    Shape shape;
    u32 flat;
    u32 variables[RXN_MAX_RANK];
    Expr initial; /* of earlier parameters and the variables; 0: must be set by the user */
    Distribution distribution; /* then drawn, with distribution_args (mean, sd) or (low, high) */
    Expr distribution_args[2];
    bool has_bounds, fit;
    double low, high;
} Param;

typedef struct Input {
    Name name;
    Span span;
    Shape shape;
    u32 flat;
} Input;

/* A loop-invariant subexpression over its variables, computed once per launch (pass hoist.c). */
typedef struct Hoisted {
    Name name;
    Shape shape;
    u32 variables[RXN_MAX_RANK];
    Expr value;
} Hoisted;

/* `coefficient` copies of a species member; index expressions are affine in the reaction's variables. */
typedef struct Term {
    u32 species;
    u32 coefficient;
    Expr index[RXN_MAX_RANK];
    Span span;
} Term;

typedef struct Reaction {
    Name
        label; /* never NULL: "r3" where the user gave none; unique in the network; a <-> has label and label_reverse */
    Span span; /* the statement */
    Span rate_span;
    u32 flat;  /* flat number of its first member */
    u32 count; /* members */
    u32 variable_count;
    u32 variables[RXN_MAX_RANK]; /* outermost first */
    VEC(Term) reactants;         /* as written, equal species merged where provably equal */
    VEC(Term) products;
    bool mass_action;
    Expr rate;       /* mass action: the constant k */
    Expr propensity; /* the whole propensity; for mass action k * Π choose(x, n) */
    Expr bound;      /* `=> … bound B`: given by the user; 0: derived where one is needed */
    Span bound_span;
} Reaction;

typedef enum EventKind { EVENT_AT, EVENT_EVERY, EVENT_WHEN } EventKind;

typedef struct Assignment {
    u32 species; /* and constant indices: events are never families here */
    u32 member;  /* flat number of the member */
    Expr value;  /* all values of an event are evaluated before any is stored */
    Span span;
} Assignment;

typedef struct Event {
    EventKind kind;
    Span span;
    Expr time;      /* AT: when. EVERY: `from` (default: the period) */
    Expr period;    /* EVERY: > 0 */
    Expr until;     /* EVERY: last time that counts, or 0 */
    Expr condition; /* WHEN: fires when it turns true (not if it is true at time 0 already) */
    VEC(Assignment) assignments;
} Event;

typedef struct Observable {
    Name name;
    Span span;
    Shape shape; /* rank 0: one column */
    u32 variables[RXN_MAX_RANK];
    u32 flat; /* its first column */
    Expr value;
} Observable;

typedef struct FitEntry {
    Name key;
    const char *text; /* canonical source text of its values */
    Span span;
} FitEntry;

/* What the classification pass found (classify.c). */
typedef struct NetworkTraits {
    bool all_mass_action;
    bool monomolecular;  /* every reaction mass action with at most one reactant in all */
    bool affine;         /* every propensity affine in the species */
    bool time_dependent; /* some propensity depends on time */
    bool has_families;
    u64 dependency_edges; /* (reaction, propensity to refresh) pairs, members counted; 0 when too many to count */
    u32 widest_change; /* most species that one reaction changes */
} NetworkTraits;

/* A conserved quantity: sum of coefficient * species, constant along every trajectory without events. */
typedef struct ConservationLaw {
    VEC(struct LawTerm {
        u32 member; /* flat species */
        i64 coefficient;
    })
    terms;
} ConservationLaw;

typedef struct Network {
    Arena *arena;
    NameTable *names;
    Name name;
    VEC(ExprNode) exprs; /* [0] unused; arguments always come before the node that has them */
    u32 *expr_slots;     /* hash table of the consing */
    u32 expr_slot_count;
    ExprTables *tables; /* this room's own: interned sets of variables, marks, evaluation memory */
    VEC(Variable) variables;
    VEC(IndexSet) index_sets;
    VEC(Species) species;
    VEC(Param) params;
    VEC(Input) inputs;
    VEC(Hoisted) hoisted;
    VEC(Reaction) reactions;
    VEC(Event) events;
    VEC(Observable) observables; /* never empty: all species where the user observes nothing */
    VEC(FitEntry) fit;
    VEC(Expr)
    breakpoints; /* times (expressions of parameters and inputs) where some comparison of time
                            * may change (windows.c); one that is not finite stands for "never" */
    u32 species_count, param_count, input_count, reaction_count, column_count; /* flat */
    u32 open_count; /* of the params the last so many, one number each: those of the text that are left open
                     * (sema/open_numbers.c) */
    double simulate_until, simulate_every; /* NaN: not given */
    VEC(double) simulate_at;
    struct Objective *objective; /* what is to be differentiated (objective.h); NULL: nothing */
    NetworkTraits traits;
    VEC(ConservationLaw) laws;
    bool laws_skipped; /* too large to compute */
} Network;

Network *rxn__network_new(Arena *arena, NameTable *names);

/* The params that the text declares: the first so many. */
static inline u32
network_declared_params(const Network *network)
{
    return network->params.count - network->open_count;
}

/* Members of a shape, saturating at UINT64_MAX; 1 for rank 0. */
u64 rxn__shape_count(const Shape *shape);

/* Sets every flat number, every Reaction.count and the totals from the shapes and the variables' ranges,
 * in the order of the lists. False when a total exceeds RXN_MAX_FLAT (the numbers are then not usable). */
bool rxn__network_number(Network *network);

/* Adds a variable that takes low … high; returns its number. */
u32 rxn__network_add_variable(Network *network, Name name, i64 low, i64 high);

/* ---- Expressions (expr.c): build, fold, share ------------------------------------------------- */

Expr rxn__expr_number(Network *network, double value);

Expr rxn__expr_boolean(Network *network, bool value);

/* args[]: as many as the op takes. Folds what is exact for every argument (x*1, x+0, constants…; not
 * x*0, which would hide a NaN or an infinity). If an argument is 0 (poison), so is the result. */
Expr rxn__expr(Network *network, ExprOp op, const Expr *args);

static inline Expr
expr_unary(Network *network, ExprOp op, Expr a)
{
    return rxn__expr(network, op, (Expr[]){a});
}

static inline Expr
expr_binary(Network *network, ExprOp op, Expr a, Expr b)
{
    return rxn__expr(network, op, (Expr[]){a, b});
}

/* SPECIES, PARAM, INPUT, HOISTED, VARIABLE, CHOOSE (object: how many), SUM and PROD (object: the variable).
 * Affine indices are brought to one form, so that X[s+1-1] and X[s] are one node. */
Expr rxn__expr_object(Network *network, ExprOp op, u32 object, u32 arg_count, const Expr *args);

Expr rxn__expr_choose(Network *network, Expr count, u32 how_many);

static inline const ExprNode *
expr_node(const Network *network, Expr expr)
{
    return &network->exprs.items[expr];
}

/* The number 0. */
static inline bool
rxn__expr_is_zero(const Network *network, Expr expr)
{
    const ExprNode *node = expr_node(network, expr);
    return node->op == EXPR_NUMBER && node->number == 0;
}

/* value = constant + Σ coefficient[k] * variable[k], integers. False when it is not of this form. */
enum { RXN_MAX_AFFINE = 8 };
typedef struct Affine {
    i64 constant;
    u32 count;
    u32 variable[RXN_MAX_AFFINE];
    i64 coefficient[RXN_MAX_AFFINE];
} Affine;

bool rxn__expr_affine(const Network *network, Expr expr, Affine *ret_affine);

/* The one expression of this affine form. */
Expr rxn__expr_of_affine(Network *network, const Affine *affine);

/* Its value where the variables have these values (by variable number). */
i64 rxn__affine_evaluate(const Affine *affine, const i64 *variable_values);

/* Least and greatest value over the variables' ranges (saturating). */
void rxn__affine_range(const Network *network, const Affine *affine, i64 *ret_low, i64 *ret_high);

/* The expression with variables[i] replaced by replacement[i]; shared work is done once. */
Expr rxn__expr_substitute(Network *network, Expr expr, u32 count, const u32 *variables,
                          const Expr *replacements);

/* What an expression depends on, inside sums too. */
typedef struct ExprUses {
    bool species, params, inputs /* HOISTED counts as both */, hoisted;
    bool time;      /* TIME itself */
    bool window;    /* TIME_LOW, TIME_HIGH or TIME_MIDDLE */
    bool variables; /* free ones */
    bool quantities;
    bool sums; /* has a SUM or a PROD */
} ExprUses;

ExprUses rxn__expr_uses(const Network *network, Expr expr);

/* Affine in the counts, by its structure: made of them by sums and by products with what is free of them. */
bool rxn__expr_is_affine(Network *network, Expr expr, Arena *arena);

/* The free variables, in order of their numbers. Takes no time: every node knows its own. */
const u32 *rxn__expr_free_variables(const Network *network, Expr expr, u32 *ret_count);

/* Calls `visit` once for each distinct node below and including expr, arguments first. */
void rxn__expr_walk(const Network *network, Expr expr, Arena *scratch,
                    void (*visit)(void *context, Expr expr), void *context);

/* The value on the host: species from state (may be NULL if not used), params, inputs by flat number;
 * variable values by variable number (may be NULL). libm's functions: for initial values, bounds,
 * checks and tests, not for kernels. NaN if something needed is missing. */
typedef struct ExprValues {
    const double *species, *params, *inputs;
    const double *quantities; /* by number */
    const i64 *variables;
    double time;
    bool
        window; /* TIME_LOW, TIME_HIGH, TIME_MIDDLE are the three below; otherwise all three are `time` */
    double time_low, time_high, time_middle;
} ExprValues;

double rxn__expr_evaluate(const Network *network, Expr expr, const ExprValues *values);

/* ---- Derivatives (derive.c) ---------------------------------------------------------------------
 *
 * Symbolic, in the same DAG, so that they share what they have in common with the values. A count is
 * taken as a real number: C(x, n) is the polynomial x(x-1)…(x-n+1)/n!. Where a function has a corner
 * (abs, min, max, if) the derivative is that of the side which the value takes; floor, ceil and
 * conditions have derivative zero. At the edges (0^h, x^0, saturated sigmoid) derivatives are the finite
 * limits where there are such. */

/* The derivative with respect to a leaf (a SPECIES, PARAM, HOISTED or QUANTITY node with its indices).
 * Where the leaf stands inside sums or products, `bound` are those of their variables that its indices
 * have, and the total differential is the sum of derivative · d leaf over all their values (over the
 * others the derivative has been summed). Sums inside the derivative have variables that are neither
 * bound nor free in the expression. */
typedef struct LeafDerivative {
    Expr leaf;
    u32 bound_count;
    u32 bound[RXN_MAX_RANK * RXN_MAX_AFFINE];
    Expr derivative; /* never the number 0 */
} LeafDerivative;

typedef VEC(LeafDerivative) LeafDerivatives;

/* Appends one entry for each distinct leaf of the expression (which may have free variables). */
void rxn__expr_derivatives(Network *network, Expr expr, Arena *arena, LeafDerivatives *out);

/* The derivative with respect to one member by its flat number: of SPECIES, PARAM (through HOISTED values,
 * too) or QUANTITY (object). For expressions without free variables; sums are taken apart as needed. */
Expr rxn__expr_derivative(Network *network, Expr expr, ExprOp op, u32 flat);

typedef struct QuantityDerivative {
    u32 quantity;
    Expr derivative; /* may be the number 0 */
} QuantityDerivative;

typedef VEC(QuantityDerivative) QuantityDerivatives;

/* All those by QUANTITY leaves at once, by rising numbers: one sweep, where rxn__expr_derivative takes one for each. */
void rxn__expr_by_quantities(Network *network, Expr expr, Arena *arena, QuantityDerivatives *out);

/* ---- Members and labels (member.c) ------------------------------------------------------------ */

/* Values of the reaction's variables for its member (0 … count-1). */
void rxn__reaction_variables(const Network *network, const Reaction *reaction, u32 member,
                             i64 ret_values[RXN_MAX_RANK]);

/* The net change of one member: distinct flat species with non-zero change, in order of species. */
typedef struct Change {
    u32 species;
    i32 delta;
} Change;

/* Returns how many; writes at most `capacity`. */
u32 rxn__reaction_changes(const Network *network, const Reaction *reaction, u32 member,
                          u32 capacity, Change *ret_changes);

/* One member's propensity with the variables replaced by numbers: an expression of flat species. */
Expr rxn__reaction_member_propensity(Network *network, const Reaction *reaction, u32 member);

/* Flat member number of a reference with constant indices; indices out of range are a caller's bug. */
u32 rxn__flat_member(const Shape *shape, u32 first_flat, const i64 *indices);

/* "H[3]", "on[2]", "W[3,17]" from a flat number. */
const char *rxn__species_label(const Network *network, u32 flat, Arena *arena);
const char *rxn__param_label(const Network *network, u32 flat, Arena *arena);
const char *rxn__reaction_label(const Network *network, u32 flat, Arena *arena);
const char *rxn__column_label(const Network *network, u32 column, Arena *arena);

/* The declaration that a flat number is of. */
const Param *rxn__param_of_flat(const Network *network, u32 flat);

/* Family and member of a flat reaction number. */
const Reaction *rxn__reaction_of_flat(const Network *network, u32 flat, u32 *ret_member);

/* ---- Text form (print.c, read.c), checker (check.c) ------------------------------------------- */

void rxn__network_print(const Network *network, Text *out);

/* show.c, for people: a reaction or family a line, with its whole propensity; a conservation law, with that many terms at
 * most; all of them, a line each, or that there is none. */
void rxn__rates_print(Network *network, Text *out);
void rxn__law_print(const Network *network, const ConservationLaw *law, u32 most_terms,
                    Arena *arena, Text *out);
void rxn__laws_print(const Network *network, Arena *arena, Text *out);

/* NULL on success; else "line 3: …". */
const char *rxn__network_read(Arena *arena, NameTable *names, const char *text, size_t length,
                              Network **ret_network);

/* Invariants: types, ranks, affine in-bounds indices, flat numbering, no free variables… NULL, or what
 * is broken (a bug of ours). */
const char *rxn__network_check(const Network *network, Arena *arena);

/* ---- Passes: one file each; true only if something changed ------------------------------------ */

bool rxn__network_share(
    Network *network); /* share.c: rebuilds the DAG without dead nodes, in canonical order */

bool rxn__network_hoist(
    Network *network); /* hoist.c: sums and costly terms of parameters and inputs alone → HOISTED */

/* Whether the hoisted value depends on inputs, through others too. */
bool rxn__hoisted_reads_inputs(const Network *network, u32 hoisted, Arena *arena);

bool rxn__network_windows(
    Network *network); /* windows.c: comparisons of time → TIME_MIDDLE + breakpoints */

bool
rxn__network_bounds(Network *network,
                    Diagnostics *diagnostics); /* bound.c: Reaction.bound of time-dependent laws */

bool rxn__network_conserve(Network *network); /* conserve.c: integer left null space → laws */

bool rxn__network_classify(Network *network); /* classify.c: traits */

/* The sequence of all passes, checked after each (and read back in debug builds). False when the
 * diagnostics got an error; *ret_internal is set on an internal one. `after` as in the KIR. */
bool rxn__network_passes(Network *network, Diagnostics *diagnostics, Arena *scratch,
                         void (*after)(void *context, const char *pass, const Network *network),
                         void *context, const char **ret_internal);

/* ---- Dependency graph (depend.c) ----------------------------------------------------------------
 *
 * Derived from the expressions: firing reaction j changes some species; every reaction whose
 * propensity reads one of them depends on j. Flat, in compressed rows; for networks that a method
 * expands (up to `limit` edges; false when there are more). */
typedef struct DependencyGraph {
    u32 reaction_count;
    u32 *start;  /* reaction_count + 1 */
    u32 *target; /* sorted in each row; includes j itself only if j depends on itself */
} DependencyGraph;

/* Which families are wanted as dependents. */
typedef bool (*DependencyFilter)(const Reaction *reaction);

/* filter: NULL for all. */
bool rxn__network_dependencies(Network *network, Arena *arena, u64 limit, DependencyFilter filter,
                               DependencyGraph *ret_graph);

/* How many edges it has, without making it. */
bool rxn__network_count_dependencies(Network *network, Arena *arena, u64 limit, u64 *ret_count);

/* Flat species read by one member's propensity, sorted, distinct. */
u32 rxn__reaction_reads(Network *network, const Reaction *reaction, u32 member, Arena *arena,
                        u32 **ret_species);

#endif
