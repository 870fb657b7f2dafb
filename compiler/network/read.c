/* read.c: the text form of a network, read back (print.c says what it looks like).
 *
 * Strict: it takes what print writes, and the first thing that is anything else is an error with
 * its line. It may be fed by a person or a fuzzer, so every number is checked before it is used as
 * one, and the network's own check has the last word. Expressions are taken as they stand, not
 * folded again: what was printed is what is read.
 */
#include "compiler/network/internal.h"
#include "compiler/network/objective.h"

#include <math.h>
#include <string.h>

/* Numbers of the objects of one kind by name: open addressing over the interned pointers. */
typedef struct NameMap {
    Name *names;
    u32 *numbers;
    u32 count, capacity;
} NameMap;

typedef struct Loader {
    IrReader reader;
    Arena *arena;
    Network *network;
    NameMap species, params, inputs, hoisted;
    VEC(Expr) lines;  /* [0] unused */
    u64 next_species; /* flat */
} Loader;

/* ---- Names ----------------------------------------------------------------------------------- */

static u32
map_slot(const NameMap *map, Name name)
{
    u32 slot = name->hash & (map->capacity - 1);
    while (map->names[slot] != NULL && map->names[slot] != name)
        slot = (slot + 1) & (map->capacity - 1);
    return slot;
}

/* False when the name is there already. */
static bool
map_add(Arena *arena, NameMap *map, Name name, u32 number)
{
    if (map->count * 2 >= map->capacity) {
        NameMap larger = {.capacity = map->capacity == 0 ? 32 : map->capacity * 2};
        larger.names = NEW_ARRAY(arena, Name, larger.capacity);
        larger.numbers = NEW_ARRAY(arena, u32, larger.capacity);
        larger.count = map->count;
        for (u32 i = 0; i < map->capacity; i++) {
            if (map->names[i] == NULL)
                continue;
            u32 slot = map_slot(&larger, map->names[i]);
            larger.names[slot] = map->names[i];
            larger.numbers[slot] = map->numbers[i];
        }
        *map = larger;
    }
    u32 slot = map_slot(map, name);
    if (map->names[slot] != NULL)
        return false;
    map->names[slot] = name;
    map->numbers[slot] = number;
    map->count++;
    return true;
}

static bool
read_name(Loader *loader, Name *ret_name)
{
    IrReader *reader = &loader->reader;
    if (reader->kind != IR_WORD && reader->kind != IR_STRING)
        return rxn__ir_fail(reader, "expected a name");
    if (memchr(reader->text, 0, reader->length) != NULL)
        return rxn__ir_fail(reader, "a name has a NUL byte");
    *ret_name = reader->length == 0
                    ? NULL
                    : rxn__name(loader->network->names, reader->text, reader->length);
    rxn__ir_next(reader);
    return true;
}

static bool
declare(Loader *loader, NameMap *map, Name name, u32 number)
{
    if (name == NULL)
        return rxn__ir_fail(&loader->reader, "expected a name");
    if (!map_add(loader->arena, map, name, number))
        return rxn__ir_fail(&loader->reader, "'%s' is declared twice",
                            rxn__shown(loader->arena, name->text, name->length));
    return true;
}

static bool
read_declared(Loader *loader, const NameMap *map, const char *what, u32 *ret_number)
{
    Name name = NULL;
    if (!read_name(loader, &name))
        return false;
    u32 slot = name == NULL || map->capacity == 0 ? 0 : map_slot(map, name);
    if (name == NULL || map->capacity == 0 || map->names[slot] == NULL)
        return rxn__ir_fail(&loader->reader, "there is no %s of this name above", what);
    *ret_number = map->numbers[slot];
    return true;
}

/* "g.3": takes the token apart at its last point; the name is NULL where it is empty. */
static bool
read_variable_text(Loader *loader, Name *ret_name, u32 *ret_number)
{
    IrReader *reader = &loader->reader;
    if (reader->kind != IR_WORD && reader->kind != IR_STRING)
        return rxn__ir_fail(reader, "expected a variable");
    u32 dot = reader->length;
    while (dot > 0 && reader->text[dot - 1] != '.')
        dot--;
    u64 number = 0;
    bool digits = dot > 0 && dot < reader->length;
    for (u32 i = dot; i < reader->length; i++) {
        char c = reader->text[i];
        digits &= c >= '0' && c <= '9' && number <= UINT32_MAX;
        number = number * 10 + (u64)(c - '0');
    }
    if (!digits || number > UINT32_MAX || memchr(reader->text, 0, reader->length) != NULL)
        return rxn__ir_fail(reader, "expected a variable as name.number");
    *ret_name = dot == 1 ? NULL : rxn__name(loader->network->names, reader->text, dot - 1);
    *ret_number = (u32)number;
    rxn__ir_next(reader);
    return true;
}

static bool
read_variable(Loader *loader, u32 *ret_variable)
{
    Name name = NULL;
    if (!read_variable_text(loader, &name, ret_variable))
        return false;
    if (*ret_variable >= loader->network->variables.count ||
        loader->network->variables.items[*ret_variable].name != name)
        return rxn__ir_fail(&loader->reader, "there is no such variable above");
    return true;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static bool
read_integer(Loader *loader, i64 low, i64 high, i64 *ret_value)
{
    IrReader *reader = &loader->reader;
    if (reader->kind != IR_INTEGER)
        return rxn__ir_fail(reader, "expected a whole number");
    if (reader->integer < low || reader->integer > high)
        return rxn__ir_fail(reader, "a number is out of range");
    *ret_value = reader->integer;
    rxn__ir_next(reader);
    return true;
}

static bool
read_u32(Loader *loader, u32 high, u32 *ret_value)
{
    i64 value = 0;
    if (!read_integer(loader, 0, high, &value))
        return false;
    *ret_value = (u32)value;
    return true;
}

static bool
read_f64(Loader *loader, double *ret_value)
{
    IrReader *reader = &loader->reader;
    if (reader->kind != IR_NUMBER && reader->kind != IR_INTEGER)
        return rxn__ir_fail(reader, "expected a number");
    *ret_value = reader->number;
    rxn__ir_next(reader);
    return true;
}

static bool
read_span(Loader *loader, Span *ret_span)
{
    *ret_span = (Span){0};
    if (!rxn__ir_take(&loader->reader, '@'))
        return true;
    return read_u32(loader, UINT32_MAX, &ret_span->begin) && rxn__ir_expect(&loader->reader, ':') &&
           read_u32(loader, UINT32_MAX, &ret_span->end);
}

static bool
read_shape(Loader *loader, Shape *ret_shape)
{
    *ret_shape = (Shape){0};
    if (!rxn__ir_take(&loader->reader, '['))
        return true;
    do {
        if (ret_shape->rank == RXN_MAX_RANK)
            return rxn__ir_fail(&loader->reader, "too many dimensions");
        if (!read_u32(loader, RXN_MAX_FLAT, &ret_shape->extent[ret_shape->rank]))
            return false;
        if (ret_shape->extent[ret_shape->rank++] == 0)
            return rxn__ir_fail(&loader->reader, "a dimension has no members");
    } while (rxn__ir_take(&loader->reader, ','));
    return rxn__ir_expect(&loader->reader, ']');
}

static bool
read_variables(Loader *loader, u32 count, u32 *ret_variables)
{
    for (u32 i = 0; i < count; i++)
        if (!read_variable(loader, &ret_variables[i]))
            return false;
    return true;
}

/* The variables of an array, one for each dimension. */
static bool
read_over(Loader *loader, const Shape *shape, u32 *ret_variables)
{
    return shape->rank == 0 || (rxn__ir_expect_word(&loader->reader, "over") &&
                                read_variables(loader, shape->rank, ret_variables));
}

static bool
read_value(Loader *loader, Expr *ret_expr)
{
    IrReader *reader = &loader->reader;
    if (reader->kind != IR_VALUE)
        return rxn__ir_fail(reader, "expected the number of a line");
    if (reader->integer < 1 || reader->integer >= loader->lines.count)
        return rxn__ir_fail(reader, "there is no line %%%lld above", (long long)reader->integer);
    *ret_expr = loader->lines.items[reader->integer];
    rxn__ir_next(reader);
    return true;
}

/* "word %n" or nothing. */
static bool
read_optional(Loader *loader, const char *word, Expr *ret_expr)
{
    return !rxn__ir_take_word(&loader->reader, word) || read_value(loader, ret_expr);
}

/* Constant indices: the flat number of a member of a species. */
static bool
read_member(Loader *loader, u32 *ret_species, u32 *ret_flat)
{
    if (!read_declared(loader, &loader->species, "species", ret_species))
        return false;
    const Species *species = &loader->network->species.items[*ret_species];
    i64 indices[RXN_MAX_RANK];
    for (u32 i = 0; i < species->shape.rank; i++)
        if (!rxn__ir_expect(&loader->reader, i == 0 ? '[' : ',') ||
            !read_integer(loader, 0, (i64)species->shape.extent[i] - 1, &indices[i]))
            return false;
    if (species->shape.rank > 0 && !rxn__ir_expect(&loader->reader, ']'))
        return false;
    *ret_flat = rxn__flat_member(&species->shape, species->flat, indices);
    return true;
}

/* ---- Expressions ----------------------------------------------------------------------------- */

static bool
read_op(Loader *loader, ExprOp *ret_op)
{
    for (u32 op = 0; op < EXPR_OP_COUNT; op++) {
        if (!rxn__ir_take_word(&loader->reader, rxn__expr_ops[op].text))
            continue;
        *ret_op = (ExprOp)op;
        return true;
    }
    return rxn__ir_fail(&loader->reader, "expected an operation");
}

/* Index lines of a reference; as many as the object has dimensions. */
static bool
read_indices(Loader *loader, u32 rank, Expr *ret_index)
{
    for (u32 i = 0; i < rank; i++)
        if (!rxn__ir_expect(&loader->reader, i == 0 ? '[' : ',') ||
            !read_value(loader, &ret_index[i]))
            return false;
    return rank == 0 || rxn__ir_expect(&loader->reader, ']');
}

static bool
read_reference(Loader *loader, ExprNode *node)
{
    const Network *network = loader->network;
    u32 rank = 0;
    switch (node->op) {
    case EXPR_SPECIES:
        if (!read_declared(loader, &loader->species, "species", &node->object))
            return false;
        rank = network->species.items[node->object].shape.rank;
        break;
    case EXPR_PARAM:
        if (!read_declared(loader, &loader->params, "parameter", &node->object))
            return false;
        rank = network->params.items[node->object].shape.rank;
        break;
    case EXPR_INPUT:
        if (!read_declared(loader, &loader->inputs, "input", &node->object))
            return false;
        rank = network->inputs.items[node->object].shape.rank;
        break;
    default:
        if (!read_declared(loader, &loader->hoisted, "hoisted array", &node->object))
            return false;
        rank = network->hoisted.items[node->object].shape.rank;
    }
    node->arg_count = (u16)rank;
    return read_indices(loader, rank, node->args);
}

static bool
read_line(Loader *loader)
{
    IrReader *reader = &loader->reader;
    if (reader->integer != (i64)loader->lines.count)
        return rxn__ir_fail(reader, "expected line %%%u", loader->lines.count);
    rxn__ir_next(reader);
    ExprOp op = EXPR_NUMBER;
    if (!rxn__ir_expect(reader, '=') || !read_op(loader, &op))
        return false;

    ExprNode node = {.op = (u8)op};
    u32 how_many = 0;
    bool ok = true;
    switch (op) {
    case EXPR_NUMBER: ok = read_f64(loader, &node.number); break;
    case EXPR_BOOLEAN:
        ok = read_u32(loader, 1, &how_many);
        node.number = ok ? how_many : 0;
        break;
    case EXPR_VARIABLE: ok = read_variable(loader, &node.object); break;
    case EXPR_SUM:
    case EXPR_PROD:
        ok = read_variable(loader, &node.object);
        node.arg_count = 1;
        break;
    case EXPR_CHOOSE:
        ok = read_u32(loader, INT32_MAX, &how_many);
        node.number = ok ? how_many : 0;
        node.arg_count = 1;
        break;
    case EXPR_SPECIES:
    case EXPR_PARAM:
    case EXPR_INPUT:
    case EXPR_HOISTED: ok = read_reference(loader, &node); break;
    case EXPR_QUANTITY: ok = read_u32(loader, UINT32_MAX, &node.object); break;
    default: node.arg_count = (u16)rxn__expr_ops[op].arity;
    }
    if (!ok)
        return false;
    if (!expr_is_reference(op))
        for (u32 i = 0; i < node.arg_count; i++)
            if (!read_value(loader, &node.args[i]))
                return false;
    Expr expr = op == EXPR_NUMBER ? rxn__expr_number(loader->network, node.number)
                                  : rxn__expr_intern(loader->network, &node);
    vec_push(loader->arena, &loader->lines, expr);
    return true;
}

/* ---- Declarations ---------------------------------------------------------------------------- */

static bool
read_index_set(Loader *loader)
{
    IndexSet set = {0};
    if (!read_name(loader, &set.name) || !read_u32(loader, UINT32_MAX, &set.size))
        return false;
    vec_push(loader->arena, &loader->network->index_sets, set);
    return true;
}

static bool
read_variable_line(Loader *loader)
{
    Variable variable = {0};
    u32 number = 0;
    if (!read_variable_text(loader, &variable.name, &number) ||
        !read_integer(loader, INT64_MIN, INT64_MAX, &variable.low) ||
        !read_integer(loader, INT64_MIN, INT64_MAX, &variable.high))
        return false;
    if (number != loader->network->variables.count)
        return rxn__ir_fail(&loader->reader, "expected variable number %u",
                            loader->network->variables.count);
    vec_push(loader->arena, &loader->network->variables, variable);
    return true;
}

static bool
read_input(Loader *loader)
{
    Input input = {0};
    Network *network = loader->network;
    if (!read_name(loader, &input.name) ||
        !declare(loader, &loader->inputs, input.name, network->inputs.count) ||
        !read_shape(loader, &input.shape) || !read_span(loader, &input.span))
        return false;
    vec_push(loader->arena, &network->inputs, input);
    return true;
}

static bool
read_distribution(Loader *loader, Param *param)
{
    if (rxn__ir_take_word(&loader->reader, "normal"))
        param->distribution = DISTRIBUTION_NORMAL;
    else if (rxn__ir_take_word(&loader->reader, "uniform"))
        param->distribution = DISTRIBUTION_UNIFORM;
    else
        return true;
    return read_value(loader, &param->distribution_args[0]) &&
           read_value(loader, &param->distribution_args[1]);
}

static bool
read_param(Loader *loader)
{
    Param param = {0};
    Network *network = loader->network;
    IrReader *reader = &loader->reader;
    if (!read_name(loader, &param.name) ||
        !declare(loader, &loader->params, param.name, network->params.count) ||
        !read_shape(loader, &param.shape) || !read_over(loader, &param.shape, param.variables) ||
        !read_optional(loader, "initial", &param.initial) || !read_distribution(loader, &param))
        return false;
    if (rxn__ir_take_word(reader, "bounds")) {
        param.has_bounds = true;
        if (!read_f64(loader, &param.low) || !read_f64(loader, &param.high))
            return false;
    }
    param.fit = rxn__ir_take_word(reader, "fit");
    if (!read_span(loader, &param.span))
        return false;
    vec_push(loader->arena, &network->params, param);
    return true;
}

static bool
read_species(Loader *loader)
{
    Species species = {0};
    Network *network = loader->network;
    if (!read_name(loader, &species.name) ||
        !declare(loader, &loader->species, species.name, network->species.count) ||
        !read_shape(loader, &species.shape) ||
        !read_over(loader, &species.shape, species.variables) ||
        !read_span(loader, &species.span) || !read_optional(loader, "initial", &species.initial) ||
        !read_span(loader, &species.initial_span))
        return false;
    species.flat = (u32)loader->next_species;
    u64 count = rxn__shape_count(&species.shape);
    if (count > RXN_MAX_FLAT || loader->next_species + count > RXN_MAX_FLAT)
        return rxn__ir_fail(&loader->reader, "too many species");
    loader->next_species += count;
    vec_push(loader->arena, &network->species, species);
    return true;
}

static bool
read_hoisted(Loader *loader)
{
    Hoisted hoisted = {0};
    Network *network = loader->network;
    if (!read_name(loader, &hoisted.name) ||
        !declare(loader, &loader->hoisted, hoisted.name, network->hoisted.count) ||
        !read_shape(loader, &hoisted.shape) ||
        !read_over(loader, &hoisted.shape, hoisted.variables) ||
        !rxn__ir_expect(&loader->reader, '=') || !read_value(loader, &hoisted.value))
        return false;
    vec_push(loader->arena, &network->hoisted, hoisted);
    return true;
}

static bool
read_term(Loader *loader, Term *ret_term)
{
    *ret_term = (Term){0};
    if (!read_u32(loader, INT32_MAX, &ret_term->coefficient) ||
        !read_declared(loader, &loader->species, "species", &ret_term->species))
        return false;
    u32 rank = loader->network->species.items[ret_term->species].shape.rank;
    return read_indices(loader, rank, ret_term->index) && read_span(loader, &ret_term->span);
}

static bool
read_reaction(Loader *loader)
{
    Reaction reaction = {0};
    IrReader *reader = &loader->reader;
    if (!read_name(loader, &reaction.label))
        return false;
    if (rxn__ir_take_word(reader, "over")) {
        do {
            if (reaction.variable_count == RXN_MAX_RANK)
                return rxn__ir_fail(reader, "too many variables");
            if (!read_variable(loader, &reaction.variables[reaction.variable_count++]))
                return false;
            /* what follows the last variable is a span or a keyword, never a variable's
             * "name.number" */
        } while (reader->kind == IR_STRING ||
                 (reader->kind == IR_WORD && memchr(reader->text, '.', reader->length) != NULL));
    }
    if (!read_span(loader, &reaction.span))
        return false;
    Term term = {0};
    while (rxn__ir_take_word(reader, "reactant")) {
        if (!read_term(loader, &term))
            return false;
        vec_push(loader->arena, &reaction.reactants, term);
    }
    while (rxn__ir_take_word(reader, "product")) {
        if (!read_term(loader, &term))
            return false;
        vec_push(loader->arena, &reaction.products, term);
    }
    reaction.mass_action = rxn__ir_is_word(reader, "mass_action");
    if (!read_optional(loader, "mass_action", &reaction.rate) ||
        !read_optional(loader, "rate", &reaction.rate) ||
        !rxn__ir_expect_word(reader, "propensity") || !read_value(loader, &reaction.propensity) ||
        !read_span(loader, &reaction.rate_span) ||
        !read_optional(loader, "bound", &reaction.bound) ||
        !read_span(loader, &reaction.bound_span))
        return false;
    vec_push(loader->arena, &loader->network->reactions, reaction);
    return true;
}

static bool
read_event(Loader *loader)
{
    Event event = {0};
    IrReader *reader = &loader->reader;
    if (rxn__ir_take_word(reader, "at"))
        event.kind = EVENT_AT;
    else if (rxn__ir_take_word(reader, "every"))
        event.kind = EVENT_EVERY;
    else if (rxn__ir_take_word(reader, "when"))
        event.kind = EVENT_WHEN;
    else
        return rxn__ir_fail(reader, "expected at, every or when");
    if (!read_optional(loader, "time", &event.time) ||
        !read_optional(loader, "period", &event.period) ||
        !read_optional(loader, "until", &event.until) ||
        !read_optional(loader, "condition", &event.condition) || !read_span(loader, &event.span))
        return false;
    while (rxn__ir_take_word(reader, "set")) {
        Assignment assignment = {0};
        if (!read_member(loader, &assignment.species, &assignment.member) ||
            !read_value(loader, &assignment.value) || !read_span(loader, &assignment.span))
            return false;
        vec_push(loader->arena, &event.assignments, assignment);
    }
    vec_push(loader->arena, &loader->network->events, event);
    return true;
}

static bool
read_observable(Loader *loader)
{
    Observable observable = {0};
    if (!read_name(loader, &observable.name) || !read_shape(loader, &observable.shape) ||
        !read_over(loader, &observable.shape, observable.variables) ||
        !rxn__ir_expect(&loader->reader, '=') || !read_value(loader, &observable.value) ||
        !read_span(loader, &observable.span))
        return false;
    if (observable.name == NULL)
        return rxn__ir_fail(&loader->reader, "expected a name");
    vec_push(loader->arena, &loader->network->observables, observable);
    return true;
}

static bool
read_fit(Loader *loader)
{
    FitEntry entry = {0};
    IrReader *reader = &loader->reader;
    if (!read_name(loader, &entry.key))
        return false;
    if (reader->kind != IR_STRING)
        return rxn__ir_fail(reader, "expected a string");
    entry.text = rxn__arena_copy_text(loader->arena, reader->text, reader->length);
    rxn__ir_next(reader);
    if (!read_span(loader, &entry.span))
        return false;
    vec_push(loader->arena, &loader->network->fit, entry);
    return true;
}

static bool
read_traits(Loader *loader)
{
    IrReader *reader = &loader->reader;
    NetworkTraits *traits = &loader->network->traits;
    i64 edges = 0;
    traits->all_mass_action = rxn__ir_take_word(reader, "mass_action");
    traits->monomolecular = rxn__ir_take_word(reader, "monomolecular");
    traits->affine = rxn__ir_take_word(reader, "affine");
    traits->time_dependent = rxn__ir_take_word(reader, "time_dependent");
    traits->has_families = rxn__ir_take_word(reader, "families");
    if (!rxn__ir_expect_word(reader, "edges") || !read_integer(loader, 0, INT64_MAX, &edges) ||
        !rxn__ir_expect_word(reader, "widest"))
        return false;
    traits->dependency_edges = (u64)edges;
    return read_u32(loader, UINT32_MAX, &traits->widest_change);
}

static bool
read_law(Loader *loader)
{
    ConservationLaw law = {0};
    while (loader->reader.kind == IR_INTEGER) {
        struct LawTerm term = {0};
        u32 species = 0;
        if (!read_integer(loader, INT64_MIN, INT64_MAX, &term.coefficient) ||
            !read_member(loader, &species, &term.member))
            return false;
        vec_push(loader->arena, &law.terms, term);
    }
    vec_push(loader->arena, &loader->network->laws, law);
    return true;
}

static bool
read_simulate_at(Loader *loader)
{
    double time = 0;
    if (!read_f64(loader, &time))
        return false;
    vec_push(loader->arena, &loader->network->simulate_at, time);
    return true;
}

/* ---- What is differentiated ------------------------------------------------------------------ */

static bool
read_objective(Loader *loader)
{
    if (loader->network->objective != NULL)
        return rxn__ir_fail(&loader->reader, "a second objective");
    loader->network->objective = NEW(loader->arena, Objective);
    loader->network->objective->sampled = rxn__ir_take_word(&loader->reader, "sampled");
    return true;
}

static bool
read_atom(Loader *loader)
{
    IrReader *reader = &loader->reader;
    Atom atom = {.kind = ATOM_STATE};
    if (rxn__ir_take_word(reader, "integral"))
        atom.kind = ATOM_INTEGRAL;
    else if (rxn__ir_take_word(reader, "passage"))
        atom.kind = ATOM_PASSAGE;
    else if (!rxn__ir_take_word(reader, "state"))
        return rxn__ir_fail(reader, "expected state, integral or passage");
    if (!read_value(loader, &atom.value) ||
        (atom.kind == ATOM_INTEGRAL && !read_f64(loader, &atom.from)) ||
        !read_f64(loader, &atom.to))
        return false;
    if (!isfinite(atom.from) || !isfinite(atom.to))
        return rxn__ir_fail(reader, "a time is not finite");
    if (atom.kind == ATOM_STATE)
        atom.from = atom.to;
    vec_push(loader->arena, &loader->network->objective->atoms, atom);
    return true;
}

static bool
read_functional(Loader *loader)
{
    Functional functional = {0};
    if (!read_value(loader, &functional.value))
        return false;
    vec_push(loader->arena, &loader->network->objective->functionals, functional);
    return true;
}

static bool
read_output(Loader *loader)
{
    IrReader *reader = &loader->reader;
    Output output = {0};
    if (reader->kind != IR_STRING)
        return rxn__ir_fail(reader, "expected a string");
    output.label = rxn__arena_copy_text(loader->arena, reader->text, reader->length);
    rxn__ir_next(reader);
    if (!read_f64(loader, &output.time) || !rxn__ir_expect(reader, '=') ||
        !read_value(loader, &output.value))
        return false;
    vec_push(loader->arena, &loader->network->objective->outputs, output);
    return true;
}

static bool
read_declaration(Loader *loader)
{
    IrReader *reader = &loader->reader;
    Network *network = loader->network;
    Expr breakpoint = 0;
    if (reader->kind == IR_VALUE)
        return read_line(loader);
    if (rxn__ir_take_word(reader, "simulate_until"))
        return read_f64(loader, &network->simulate_until);
    if (rxn__ir_take_word(reader, "simulate_every"))
        return read_f64(loader, &network->simulate_every);
    if (rxn__ir_take_word(reader, "simulate_at"))
        return read_simulate_at(loader);
    if (rxn__ir_take_word(reader, "index"))
        return read_index_set(loader);
    if (rxn__ir_take_word(reader, "variable"))
        return read_variable_line(loader);
    if (rxn__ir_take_word(reader, "input"))
        return read_input(loader);
    if (rxn__ir_take_word(reader, "param"))
        return read_param(loader);
    if (rxn__ir_take_word(reader, "species"))
        return read_species(loader);
    if (rxn__ir_take_word(reader, "hoisted"))
        return read_hoisted(loader);
    if (rxn__ir_take_word(reader, "reaction"))
        return read_reaction(loader);
    if (rxn__ir_take_word(reader, "event"))
        return read_event(loader);
    if (rxn__ir_take_word(reader, "observable"))
        return read_observable(loader);
    if (rxn__ir_take_word(reader, "fit"))
        return read_fit(loader);
    if (rxn__ir_take_word(reader, "traits"))
        return read_traits(loader);
    if (rxn__ir_take_word(reader, "law"))
        return read_law(loader);
    if (rxn__ir_take_word(reader, "laws_skipped")) {
        network->laws_skipped = true;
        return true;
    }
    if (rxn__ir_take_word(reader, "breakpoint")) {
        if (!read_value(loader, &breakpoint))
            return false;
        vec_push(loader->arena, &network->breakpoints, breakpoint);
        return true;
    }
    if (rxn__ir_take_word(reader, "objective"))
        return read_objective(loader);
    if (network->objective != NULL) {
        if (rxn__ir_take_word(reader, "atom"))
            return read_atom(loader);
        if (rxn__ir_take_word(reader, "functional"))
            return read_functional(loader);
        if (rxn__ir_take_word(reader, "output"))
            return read_output(loader);
    }
    return rxn__ir_fail(reader, "expected a declaration");
}

const char *
rxn__network_read(Arena *arena, NameTable *names, const char *text, size_t length,
                  Network **ret_network)
{
    Loader loader = {.arena = arena, .network = rxn__network_new(arena, names)};
    IrReader *reader = &loader.reader;
    vec_push(arena, &loader.lines, 0);
    rxn__ir_reader_init(reader, arena, text, length);

    if (rxn__ir_expect_word(reader, "network") && read_name(&loader, &loader.network->name))
        while (reader->kind != IR_END && read_declaration(&loader))
            ;
    if (reader->error != NULL)
        return reader->error;
    if (!rxn__network_number(loader.network)) {
        rxn__ir_fail(reader, "too many members");
        return reader->error;
    }
    if (loader.network->objective != NULL)
        rxn__objective_finish(loader.network);
    const char *broken = rxn__network_check(loader.network, arena);
    if (broken != NULL) {
        rxn__ir_fail(reader, "%s", broken);
        return reader->error;
    }
    *ret_network = loader.network;
    return NULL;
}
