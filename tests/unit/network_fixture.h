/* network_fixture.h: what the tests of compiler/network share: an arena, a generator of random
 * numbers, small ways to build networks, and random expressions. */
#ifndef RXN_NETWORK_FIXTURE_H
#define RXN_NETWORK_FIXTURE_H

#include "compiler/network/internal.h"
#include "compiler/network/network.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Fixture {
    Memory memory;
    jmp_buf failed;
    Arena arena;
    NameTable names;
    SourceMap sources;
    Diagnostics diagnostics;
    u64 random;
} Fixture;

static inline int
set_up(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    f->memory.on_failure = &f->failed;
    rxn__arena_init(&f->arena, &f->memory);
    rxn__names_init(&f->names, &f->arena);
    rxn__sources_init(&f->sources, &f->arena);
    rxn__diagnostics_init(&f->diagnostics, &f->arena, &f->sources);
    f->random = 0x9e3779b97f4a7c15u;
    *state = f;
    return 0;
}

static inline int
tear_down(void **state)
{
    Fixture *f = *state;
    rxn__arena_release(&f->arena);
    bool leaked = f->memory.used != 0;
    free(f);
    return leaked ? -1 : 0;
}

/* ---- Random numbers (splitmix64) ------------------------------------------------------------- */

static inline u64
random_bits(Fixture *f)
{
    u64 z = f->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline u32
random_below(Fixture *f, u32 n)
{
    return (u32)(random_bits(f) >> 32) % n;
}

static inline double
random_between(Fixture *f, double low, double high)
{
    return low + (high - low) * ((double)(random_bits(f) >> 11) * 0x1p-53);
}

/* ---- Building networks ----------------------------------------------------------------------- */

static inline Name
name_of(Fixture *f, const char *text)
{
    return rxn__name_z(&f->names, text);
}

static inline Network *
new_network(Fixture *f, const char *name)
{
    Network *network = rxn__network_new(&f->arena, &f->names);
    network->name = name_of(f, name);
    return network;
}

static inline Shape
shape_of(u32 rank, u32 a, u32 b)
{
    return (Shape){.rank = rank, .extent = {a, b}};
}

static inline void
dimension_variables(Network *n, Name name, const Shape *shape, u32 *variables)
{
    for (u32 i = 0; i < shape->rank; i++)
        variables[i] = rxn__network_add_variable(n, name, 0, (i64)shape->extent[i] - 1);
}

static inline u32
add_species(Fixture *f, Network *n, const char *name, Shape shape, double initial)
{
    Species species = {.name = name_of(f, name), .shape = shape, .span = {1, 2}};
    dimension_variables(n, name_of(f, "i"), &shape, species.variables);
    species.initial = rxn__expr_number(n, initial);
    vec_push(n->arena, &n->species, species);
    rxn__network_number(n);
    return n->species.count - 1;
}

static inline u32
add_param(Fixture *f, Network *n, const char *name, Shape shape, double low, double high)
{
    Param param = {.name = name_of(f, name), .shape = shape, .low = low, .high = high};
    param.has_bounds = low <= high;
    if (!param.has_bounds)
        param.low = param.high = 0;
    dimension_variables(n, name_of(f, "i"), &shape, param.variables);
    param.initial = rxn__expr_number(n, 0.5);
    vec_push(n->arena, &n->params, param);
    rxn__network_number(n);
    return n->params.count - 1;
}

static inline u32
add_input(Fixture *f, Network *n, const char *name, Shape shape)
{
    vec_push(n->arena, &n->inputs, ((Input){.name = name_of(f, name), .shape = shape}));
    rxn__network_number(n);
    return n->inputs.count - 1;
}

static inline Expr
num(Network *n, double value)
{
    return rxn__expr_number(n, value);
}

static inline Expr
var(Network *n, u32 variable)
{
    return rxn__expr_object(n, EXPR_VARIABLE, variable, 0, NULL);
}

static inline Expr
ref0(Network *n, ExprOp op, u32 object)
{
    return rxn__expr_object(n, op, object, 0, NULL);
}

static inline Expr
ref1(Network *n, ExprOp op, u32 object, Expr index)
{
    return rxn__expr_object(n, op, object, 1, &index);
}

static inline Expr
ref2(Network *n, ExprOp op, u32 object, Expr i, Expr j)
{
    return rxn__expr_object(n, op, object, 2, (Expr[]){i, j});
}

static inline Expr
time_now(Network *n)
{
    return rxn__expr(n, EXPR_TIME, NULL);
}

static inline Expr
select_of(Network *n, Expr condition, Expr a, Expr b)
{
    return rxn__expr(n, EXPR_SELECT, (Expr[]){condition, a, b});
}

/* A reaction with a law of its own; add terms to what is returned before the next one is added. */
static inline Reaction *
add_law(Fixture *f, Network *n, const char *label, Expr propensity)
{
    Reaction reaction = {
        .label = name_of(f, label), .propensity = propensity, .rate_span = {10, 20}};
    vec_push(n->arena, &n->reactions, reaction);
    return &n->reactions.items[n->reactions.count - 1];
}

static inline void
over(Reaction *reaction, u32 variable)
{
    reaction->variables[reaction->variable_count++] = variable;
}

static inline void
reactant(Network *n, Reaction *reaction, u32 coefficient, u32 species, Expr index)
{
    vec_push(n->arena, &reaction->reactants,
             ((Term){.species = species, .coefficient = coefficient, .index = {index}}));
}

static inline void
product(Network *n, Reaction *reaction, u32 coefficient, u32 species, Expr index)
{
    vec_push(n->arena, &reaction->products,
             ((Term){.species = species, .coefficient = coefficient, .index = {index}}));
}

static inline void
observe(Fixture *f, Network *n, const char *name, Expr value)
{
    vec_push(n->arena, &n->observables, ((Observable){.name = name_of(f, name), .value = value}));
    rxn__network_number(n);
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static inline void
assert_sound(Fixture *f, const Network *n)
{
    const char *broken = rxn__network_check(n, &f->arena);
    if (broken != NULL)
        fail_msg("%s", broken);
}

static inline const char *
printed(Fixture *f, const Network *n)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__network_print(n, &text);
    return text.data;
}

/* print, read, print: the same bytes; returns the network that was read. */
static inline Network *
assert_reads_back(Fixture *f, const Network *n)
{
    const char *text = printed(f, n);
    Network *again = NULL;
    const char *error = rxn__network_read(&f->arena, &f->names, text, strlen(text), &again);
    if (error != NULL)
        fail_msg("%s\n%s", error, text);
    assert_string_equal(printed(f, again), text);
    return again;
}

/* Equal, both NaN, or apart by rounding. */
static inline bool
nearly(double a, double b, double relative)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    return a == b || fabs(a - b) <= relative * fmax(fabs(a), fabs(b));
}

#endif
