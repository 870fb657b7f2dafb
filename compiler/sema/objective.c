/* objective: the expressions of `--of`: what is to be differentiated.
 *
 * They are expressions of the language, of all names of the main file (observables too), and they read
 * the state: a name of a species is its count at the --at time. A few functions exist here alone:
 *
 *   at(E, T)  integral(E)  integral(E, T0, T1)  average(…)  total(E, FROM, TO, STEP)  passage(CONDITION)
 *                                          readings: one number of each trajectory
 *   mean(F)  var(F)  sd(F)  cov(F, G)      expectations of what is made of readings
 *
 * Where an expression has an expectation in it, everything else in it stands outside of them and must
 * not read the state. Where it has none, it is one expectation, of the whole. So each place in an
 * expression is of one of three kinds (ObjectivePlace), and what may stand there follows from that.
 *
 * This file checks and types; network/expectation.c brings the result to its normal form.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "compiler/network/objective.h"
#include "compiler/sema/fit_private.h"

enum { MAX_GRID_POINTS = 100000 };

typedef struct ObjectiveFunction {
    const char *name;
    ReadingKind kind;
    u32 arguments, more; /* it takes so many, or so many */
    const char *forms;
    const char *argument; /* what its first argument is, for messages */
} ObjectiveFunction;

static const ObjectiveFunction functions[] = {
    {"at", READING_AT, 2, 2, "at(E, T): E at the time T", "what 'at' reads"},
    {"integral", READING_INTEGRAL, 1, 3,
     "integral(E) from 0 to the --at time, or integral(E, T0, T1)", "what 'integral' adds up"},
    {"average", READING_AVERAGE, 1, 3, "average(E) from 0 to the --at time, or average(E, T0, T1)",
     "what 'average' adds up"},
    {"total", READING_TOTAL, 4, 4,
     "total(E, FROM, TO, STEP): the sum of E at FROM, FROM + STEP, ... up to TO",
     "what 'total' adds up"},
    {"passage", READING_PASSAGE, 1, 2,
     "passage(CONDITION): the first time at which it holds, at most the --at time, or "
     "passage(CONDITION, T), at most T",
     "what 'passage' waits for"},
    {"mean", READING_MEAN, 1, 1, "mean(F)", "what 'mean' averages"},
    {"var", READING_VAR, 1, 1, "var(F)", "what 'var' is the variance of"},
    {"sd", READING_SD, 1, 1, "sd(F)", "what 'sd' is the standard deviation of"},
    {"cov", READING_COV, 2, 2, "cov(F, G)", "what 'cov' is the covariance of"},
    {"probability", READING_MEAN, 1, 1, "probability(CONDITION)",
     "what 'probability' is the probability of"},
    {"autocov", READING_COV, 3, 3, "autocov(E, LAG, FROM): cov(at(E, FROM), at(E, FROM + LAG))",
     "what 'autocov' is the autocovariance of"},
};

static const char *const outside = "what stands outside of mean, var, sd and cov";

/* The two that are written out in terms of others. */
static bool
is_probability(const ObjectiveFunction *function)
{
    return strcmp(function->name, "probability") == 0;
}

static bool
is_autocov(const ObjectiveFunction *function)
{
    return strcmp(function->name, "autocov") == 0;
}

static const ObjectiveFunction *
find_function(Name name)
{
    for (u32 i = 0; name && i < COUNT_OF(functions); i++)
        if (strcmp(functions[i].name, name->text) == 0)
            return &functions[i];
    return NULL;
}

bool
rxn__sema_is_objective_function(Name name)
{
    return find_function(name) != NULL;
}

void
rxn__suggestion_try_objective(Sema *sema, Suggestion *suggestion, bool functions_wanted)
{
    if (functions_wanted) {
        for (u32 i = 0; i < COUNT_OF(functions); i++)
            rxn__suggestion_try(suggestion, rxn__name_z(sema->names, functions[i].name));
        return;
    }
    for (u32 i = 0; i < sema->network->observables.count; i++)
        rxn__suggestion_try(suggestion, sema->network->observables.items[i].name);
}

/* ---- Observables by name ----------------------------------------------------------------------- */

bool
rxn__sema_observable(Sema *sema, const Scope *scope, const AstNode *node, Expr *ret_value)
{
    const Symbol *symbol = rxn__symbols_find(&sema->observables, node->name);
    const Network *network = sema->network;
    u32 number = 0;
    while (symbol && number < network->observables.count &&
           network->observables.items[number].name != node->name)
        number++;
    if (!symbol || number == network->observables.count)
        return false;
    const Observable *observable = &network->observables.items[number];
    if (observable->shape.rank > 0) {
        /* It stands for a whole array: the reference is to that. */
        AstNode *array = NEW(sema->arena, AstNode);
        *array = *node;
        array->name = symbol->node->kids[0]->name;
        *ret_value = rxn__sema_reference(sema, scope, array);
        return true;
    }
    const char *name = rxn__sema_show(sema, node->name);
    Text subject;
    rxn__text_init(&subject, sema->arena);
    rxn__text_printf(&subject, "'%s'", name);
    *ret_value = 0;
    if (node->kid_count > 0)
        rxn__sema_error(sema, scope->module, node->span, "'%s' is an observable, not an array",
                        name);
    else if (scope->allowed == ALLOW_ALL ||
             rxn__sema_allows(sema, scope, rxn__expr_uses(sema->network, observable->value),
                              node->span, subject.data))
        *ret_value = observable->value;
    return true;
}

/* ---- Times ------------------------------------------------------------------------------------- */

/* Times may be made of columns of data, where a loss is only checked and there is none: NaN then. */
static bool
is_unknown(const Sema *sema, const AstNode *node)
{
    return sema->loss && sema->loss->unknown && rxn__fit_first_column(node);
}

static bool
constant(Sema *sema, const Scope *scope, const AstNode *node, const ObjectiveFunction *function,
         const char *what, double *ret_value)
{
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_printf(&text, "%s of '%s'", what, function->name);
    if (is_unknown(sema, node)) {
        *ret_value = NAN;
        Scope inner = {.module = scope->module, .locals = scope->locals, .what = text.data};
        inner.allowed = sema->is_unrolling ? ALLOW_VARIABLES : 0;
        return rxn__sema_number(sema, &inner, node) != 0;
    }
    if (!rxn__sema_constant(sema, scope, node, text.data, ret_value))
        return false;
    *ret_value += 0.0; /* -0 is 0 */
    return true;
}

static bool
time_of(Sema *sema, const Scope *scope, const AstNode *node, const ObjectiveFunction *function,
        double *ret_time)
{
    if (!constant(sema, scope, node, function, "a time", ret_time))
        return false;
    if (!(*ret_time < 0))
        return true;
    rxn__sema_error(sema, scope->module, node->span, "a time of '%s' cannot be negative",
                    function->name);
    return false;
}

static bool
span_of(Sema *sema, const Scope *scope, const AstNode *node, const ObjectiveFunction *function,
        Reading *reading)
{
    const AstNode *begin = node->kids[1], *end = node->kids[2];
    bool good = time_of(sema, scope, begin, function, &reading->from);
    good &= time_of(sema, scope, end, function, &reading->to);
    if (good && reading->from >= reading->to) {
        rxn__sema_error(sema, scope->module, span_join(begin->span, end->span),
                        "the span of '%s' must end after it begins", function->name);
        return false;
    }
    return good;
}

static bool
grid_of(Sema *sema, const Scope *scope, const AstNode *node, const ObjectiveFunction *function,
        Reading *reading)
{
    bool good = time_of(sema, scope, node->kids[1], function, &reading->from);
    good &= time_of(sema, scope, node->kids[2], function, &reading->to);
    bool has_step = constant(sema, scope, node->kids[3], function, "the step", &reading->step);
    if (has_step && reading->step <= 0) {
        rxn__sema_error(sema, scope->module, node->kids[3]->span,
                        "the step of 'total' must be positive");
        has_step = false;
    }
    if (!good || !has_step)
        return false;
    if (reading->to < reading->from) {
        rxn__sema_error(sema, scope->module, span_join(node->kids[1]->span, node->kids[2]->span),
                        "the grid of 'total' ends before it begins");
        return false;
    }
    if (rxn__grid_points(reading->from, reading->to, reading->step) > MAX_GRID_POINTS) {
        rxn__sema_error(sema, scope->module, span_join(node->kids[1]->span, node->kids[3]->span),
                        "the grid of 'total' has more than %d points", MAX_GRID_POINTS);
        rxn__sema_note(sema, (Span){0}, "for finer and finer grids there is 'integral(E, T0, T1)'");
        return false;
    }
    return true;
}

static bool
times_of(Sema *sema, const Scope *scope, const AstNode *node, const ObjectiveFunction *function,
         Reading *reading)
{
    switch (function->kind) {
    case READING_AT:
        reading->has_span = true;
        if (!time_of(sema, scope, node->kids[1], function, &reading->from))
            return false;
        reading->to = reading->from;
        return true;
    case READING_INTEGRAL:
    case READING_AVERAGE:
        reading->has_span = node->kid_count == 3;
        return !reading->has_span || span_of(sema, scope, node, function, reading);
    case READING_PASSAGE:
        reading->has_span = node->kid_count == 2;
        if (!reading->has_span)
            return true;
        if (!time_of(sema, scope, node->kids[1], function, &reading->to))
            return false;
        if (!(reading->to <= 0))
            return true;
        rxn__sema_error(sema, scope->module, node->kids[1]->span,
                        "the last time of 'passage' must be positive");
        return false;
    case READING_TOTAL:
        reading->has_span = true;
        return grid_of(sema, scope, node, function, reading);
    default: return true;
    }
}

/* ---- Looking for calls -------------------------------------------------------------------------- */

/* Whether there is a call of a function of this kind or a later one in the tree, whose height the parser
 * has limited. Times of readings are no place for one. */
static bool
has_call(const AstNode *node, ReadingKind least)
{
    if (!node)
        return false;
    const ObjectiveFunction *function = node->kind == AST_CALL ? find_function(node->name) : NULL;
    if (function && function->kind >= least)
        return true;
    const bool has_times = function && function->kind < READING_MEAN;
    for (u32 i = 0; i < node->kid_count && !(has_times && i > 0); i++)
        if (has_call(node->kids[i], least))
            return true;
    return false;
}

bool
rxn__sema_has_expectation(const AstNode *node)
{
    return has_call(node, READING_MEAN);
}

static bool
has_loss_call(const AstNode *node)
{
    if (!node)
        return false;
    bool found = node->kind == AST_CALL && rxn__sema_is_loss_function(node->name);
    for (u32 i = 0; i < node->kid_count && !found; i++)
        found = has_loss_call(node->kids[i]);
    return found;
}

bool
rxn__sema_reads(const Scope *scope, const AstNode *node)
{
    return scope->place != PLACE_MODEL &&
           (has_call(node, READING_AT) || (scope->place == PLACE_LOSS && has_loss_call(node)));
}

/* ---- Calls ------------------------------------------------------------------------------------- */

static bool
check_arguments(Sema *sema, const Scope *scope, const AstNode *node,
                const ObjectiveFunction *function)
{
    static const char *const counts[] = {"none is", "1 is", "2 are", "3 are", "4 are"};
    u32 count = node->kid_count;
    if (count == function->arguments || count == function->more)
        return true;
    Text wanted;
    rxn__text_init(&wanted, sema->arena);
    rxn__text_printf(&wanted, "%u", function->arguments);
    if (function->more != function->arguments)
        rxn__text_printf(&wanted, " or %u", function->more);
    rxn__sema_error(sema, scope->module, node->span, "'%s' takes %s argument%s, and %s given",
                    function->name, wanted.data,
                    function->arguments == 1 && function->more == 1 ? "" : "s",
                    count < COUNT_OF(counts) ? counts[count] : "more are");
    rxn__sema_note(sema, (Span){0}, "%s", function->forms);
    return false;
}

/* Whether the function may stand where it does. */
static bool
check_place(Sema *sema, const Scope *scope, const AstNode *node, const ObjectiveFunction *function)
{
    const bool of_ensemble = function->kind >= READING_MEAN;
    const char *source = rxn__sema_show_source(sema, node);
    if (scope->place == PLACE_READING) {
        rxn__sema_error(sema, scope->module, node->span, "'%s' cannot stand inside of '%s'",
                        function->name, scope->inside);
        if (of_ensemble)
            rxn__sema_note(sema, (Span){0},
                           "'%s' reads one trajectory; an expectation stands outside, as in "
                           "'mean(at(X, 2))'",
                           scope->inside);
        else
            rxn__sema_note(sema, (Span){0},
                           "a reading is of one time or one span; join them outside, as in "
                           "'X * %s'",
                           source);
        return false;
    }
    if (of_ensemble && scope->place == PLACE_TRAJECTORY) {
        rxn__sema_error(sema, scope->module, node->span, "'%s' cannot stand inside of '%s'",
                        function->name, scope->inside);
        rxn__sema_note(sema, (Span){0},
                       "it is one number of the ensemble already; take it outside, as in "
                       "'mean(X) * mean(Y)'");
        return false;
    }
    /* An expectation inside of it is the mistake then, and is found there. */
    if (!of_ensemble && (scope->place == PLACE_OUTSIDE || scope->place == PLACE_LOSS) &&
        !has_call(node->kids[0], READING_MEAN)) {
        rxn__sema_error(sema, scope->module, node->span,
                        "'%s' reads single trajectories, and stands outside of mean, var, sd and "
                        "cov",
                        function->name);
        rxn__sema_note(sema, (Span){0}, "write 'mean(%s)'", source);
        return false;
    }
    return true;
}

static Expr
argument_value(Sema *sema, const Scope *scope, const AstNode *node,
               const ObjectiveFunction *function)
{
    const bool of_ensemble = function->kind >= READING_MEAN;
    Scope inner = *scope;
    inner.allowed = ALLOW_ALL;
    if (function->kind == READING_INTEGRAL || function->kind == READING_AVERAGE ||
        function->kind == READING_PASSAGE)
        inner.allowed &= ~(u32)ALLOW_TIME;
    inner.what = function->argument;
    inner.place = of_ensemble ? PLACE_TRAJECTORY : PLACE_READING;
    inner.inside = function->name;
    const bool is_condition = function->kind == READING_PASSAGE || is_probability(function);
    if (is_autocov(function))
        inner.place = PLACE_READING;
    Expr value = is_condition ? rxn__sema_condition(sema, &inner, node)
                              : rxn__sema_number(sema, &inner, node);
    if (value != 0 && is_probability(function)) {
        Expr one = rxn__expr_number(sema->network, 1), none = rxn__expr_number(sema->network, 0);
        value = rxn__expr(sema->network, EXPR_SELECT, (Expr[]){value, one, none});
    }
    if (value == 0 || (of_ensemble && !is_autocov(function)))
        return value;
    const ExprUses uses = rxn__expr_uses(sema->network, value);
    /* A member of a sum may be free of the state where another is not. */
    if (uses.species || (sema->is_unrolling && !uses.time))
        return value;
    rxn__sema_error(sema, scope->module, node->span, "%s does not depend on the state",
                    function->argument);
    if (function->kind != READING_PASSAGE)
        rxn__sema_note(sema, (Span){0}, "without a species in it there is nothing to read");
    return 0;
}

/* autocov(E, LAG, FROM), E being known. */
static Expr
autocovariance(Sema *sema, const Scope *scope, const AstNode *node,
               const ObjectiveFunction *function, Expr value)
{
    double lag, from;
    if (!constant(sema, scope, node->kids[1], function, "the lag", &lag) ||
        !time_of(sema, scope, node->kids[2], function, &from))
        return 0;
    if (lag < 0) {
        rxn__sema_error(sema, scope->module, node->kids[1]->span,
                        "the lag of 'autocov' cannot be negative");
        return 0;
    }
    Reading now = {
        .kind = READING_AT, .has_span = true, .value = {value}, .from = from, .to = from};
    Reading later = now;
    later.from = later.to = from + lag;
    Reading reading = {.kind = READING_COV,
                       .value = {rxn__objective_reading(sema->objective, &now),
                                 rxn__objective_reading(sema->objective, &later)}};
    return rxn__objective_reading(sema->objective, &reading);
}

Expr
rxn__sema_objective_call(Sema *sema, const Scope *scope, const AstNode *node)
{
    const ObjectiveFunction *function = find_function(node->name);
    const Symbol *own = rxn__symbols_find(&sema->symbols, node->name);
    if (own && own->kind == SYMBOL_FUNCTION) {
        rxn__sema_error(sema, scope->module, node->name_span,
                        "'%s' is a function of '--of', and the model has one of that name",
                        function->name);
        rxn__sema_note(sema, own->node->name_span, "rename this one to use it here");
        return 0;
    }
    if (!check_arguments(sema, scope, node, function) || !check_place(sema, scope, node, function))
        return 0;
    Reading reading = {.kind = function->kind};
    bool good = times_of(sema, scope, node, function, &reading);
    reading.value[0] = argument_value(sema, scope, node->kids[0], function);
    good &= reading.value[0] != 0;
    if (is_autocov(function))
        return good ? autocovariance(sema, scope, node, function, reading.value[0]) : 0;
    if (function->kind == READING_COV) {
        reading.value[1] = argument_value(sema, scope, node->kids[1], function);
        good &= reading.value[1] != 0;
    }
    return good ? rxn__objective_reading(sema->objective, &reading) : 0;
}

Expr
rxn__sema_unrolled(Sema *sema, const Scope *scope, Local *local, const AstNode *node, i64 low,
                   i64 high)
{
    const bool is_sum = node->kind == AST_SUM, was_unrolling = sema->is_unrolling;
    if (high - low >= RXN_MAX_UNROLLED - (i64)sema->unrolled) {
        rxn__sema_error(sema, scope->module, node->span,
                        "a %s of more than %d readings cannot be written out",
                        is_sum ? "sum" : "product", RXN_MAX_UNROLLED);
        if (is_sum)
            rxn__sema_note(sema, (Span){0},
                           "read the sum, not its terms, as in 'at(sum(i in set: X[i]), 2)'");
        return 0;
    }
    sema->unrolled += (u32)(high - low + 1);
    sema->is_unrolling = true;
    Expr value = 0;
    for (i64 i = low; i <= high; i++) {
        local->value = rxn__expr_number(sema->network, (double)i);
        Expr term = rxn__sema_expression(sema, scope, node->kids[1]);
        if (term == 0) {
            value = 0;
            break;
        }
        value =
            i == low ? term : expr_binary(sema->network, is_sum ? EXPR_ADD : EXPR_MUL, value, term);
    }
    sema->is_unrolling = was_unrolling;
    return value;
}

/* ---- One --of ---------------------------------------------------------------------------------- */

static const char *
label_of(Sema *sema, const char *text)
{
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)*text)) {
        text++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    return rxn__arena_copy_text(sema->arena, text, length);
}

void
rxn__sema_objective_problem(Sema *sema, Module *module, const AstNode *node,
                            ObjectiveProblem problem)
{
    switch (problem) {
    case OBJECTIVE_GOOD: break;
    case OBJECTIVE_EMPTY_SPAN:
        rxn__sema_error(sema, module, node->span,
                        "with '--at 0' there is a span of no length in this");
        rxn__sema_note(sema, (Span){0}, "give a later --at, or a span, as in 'integral(X, 0, 10)'");
        break;
    case OBJECTIVE_NO_STATE:
        rxn__sema_error(sema, module, node->span, "this does not depend on the state");
        rxn__sema_note(sema, (Span){0}, "its value follows from the parameters without a run");
        break;
    case OBJECTIVE_TOO_MANY:
        rxn__sema_error(sema, module, node->span, "more than %d numbers are read for '--of'",
                        RXN_MAX_ATOMS);
        break;
    case OBJECTIVE_LONG_SUM:
        rxn__sema_error(sema, module, node->span,
                        "a sum of more than %d readings cannot be written out", RXN_MAX_UNROLLED);
        break;
    }
}

static void
add_text(Sema *sema, Module *module, const ObjectiveRequest *request, const char *text)
{
    const size_t length = strlen(text);
    const u32 file = length <= RXN_MAX_SOURCE_BYTES
                         ? rxn__sources_add(sema->sources, "--of", text, length)
                         : UINT32_MAX;
    if (file == UINT32_MAX) {
        rxn__error(sema->diagnostics, (Span){0}, "the text of '--of' is too long");
        return;
    }
    const AstNode *node = rxn__parse_expression(sema->arena, sema->names, sema->diagnostics, file);
    if (!node)
        return;
    const bool is_mixed = has_call(node, READING_MEAN);
    Scope scope = {.module = module,
                   .allowed = is_mixed ? ALLOW_ALL & ~(u32)ALLOW_SPECIES : ALLOW_ALL,
                   .what = outside,
                   .place = is_mixed ? PLACE_OUTSIDE : PLACE_TRAJECTORY,
                   .inside = "--of"};
    sema->unrolled = 0;
    Expr value = rxn__sema_expression(sema, &scope, node);
    if (!rxn__sema_is_number(sema, &scope, value, node, "what '--of' gives"))
        return;
    const bool needs_time = rxn__objective_needs_time(sema->objective, value);
    if (needs_time && request->time_count == 0) {
        rxn__sema_error(sema, module, node->span, "'--at' is needed: it says when this is read");
        rxn__sema_note(sema, (Span){0}, "give '--at T', or write the time, as in 'at(X, 10)'");
        return;
    }
    const char *label = label_of(sema, text);
    ObjectiveProblem problem = OBJECTIVE_GOOD;
    for (u32 i = 0; problem == OBJECTIVE_GOOD && i < (needs_time ? request->time_count : 1); i++)
        problem = rxn__objective_add(sema->objective, label, value,
                                     needs_time ? request->times[i] + 0.0 : NAN);
    rxn__sema_objective_problem(sema, module, node, problem);
}

void
rxn__sema_objective(Sema *sema, Module *module, const ObjectiveRequest *request)
{
    const Span nowhere = {0};
    const u32 errors = sema->diagnostics->error_count;
    if (request->text_count == 0)
        rxn__error(sema->diagnostics, nowhere, "'--of' is needed: it says what to differentiate");
    for (u32 i = 0; i < request->time_count; i++)
        if (!isfinite(request->times[i]) || request->times[i] < 0) {
            rxn__error(sema->diagnostics, nowhere,
                       "a time of '--at' is %g, and must be a finite number >= 0",
                       request->times[i]);
            break;
        }
    if ((u64)request->text_count * (request->time_count ? request->time_count : 1) >
        RXN_MAX_OUTPUTS)
        rxn__error(sema->diagnostics, nowhere,
                   "'--of' and '--at' together ask for more than %d numbers", RXN_MAX_OUTPUTS);
    if (sema->diagnostics->error_count > errors)
        return;
    sema->objective = rxn__objective_begin(sema->network);
    for (u32 i = 0; i < request->text_count; i++)
        add_text(sema, module, request, request->texts[i]);
    if (sema->diagnostics->error_count == errors)
        rxn__objective_end(sema->objective);
}
