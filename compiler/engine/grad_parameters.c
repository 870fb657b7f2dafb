/* grad_parameters.c: by what is differentiated.
 *
 * Estimators differentiate rates. A parameter that moves an initial count, which is a whole number, has
 * no derivative there; one that moves the time of an event has one that they do not see. So what each
 * parameter acts through is found first, and one that would get a wrong derivative is refused.
 */
#include <string.h>

#include "compiler/engine/grad.h"

/* How a parameter acts. */
enum {
    ACTS_RATE = 1,   /* on a propensity, smoothly */
    ACTS_VALUE = 2,  /* on what is differentiated, directly */
    ACTS_COUNT = 4,  /* on an initial or assigned count */
    ACTS_TIMING = 8, /* on when something happens */
    ACTS_STEP = 16,  /* on a condition or a rounded number alone: a step function */
};

typedef struct Uses {
    const Network *network;
    Arena *arena;
    u8 *of_param;      /* [params]: by declaration */
    u8 *seen;          /* [exprs]: marks that were carried there */
    VEC(Expr) waiting; /* with their marks in `marks` */
    VEC(u8) marks;
} Uses;

static void
put(Uses *uses, Expr expr, u8 mark)
{
    if (expr == 0 || (uses->seen[expr] & mark) == mark)
        return;
    uses->seen[expr] |= mark;
    vec_push(uses->arena, &uses->waiting, expr);
    vec_push(uses->arena, &uses->marks, mark);
}

/* The mark below this node: what a condition or a rounding does to it. */
static u8
below(const Network *network, Expr expr, u8 mark)
{
    const ExprNode *node = expr_node(network, expr);
    bool steps = node->is_bool || node->op == EXPR_FLOOR || node->op == EXPR_CEIL;
    if (!steps || mark == ACTS_TIMING)
        return mark;
    ExprUses uses = rxn__expr_uses(network, expr);
    return uses.time || uses.window ? ACTS_TIMING : ACTS_STEP;
}

/* Carries the mark from an expression down to its parameters. */
static void
carry(Uses *uses, Expr root, u8 mark)
{
    const Network *network = uses->network;
    put(uses, root, mark);
    while (uses->waiting.count > 0) {
        Expr expr = uses->waiting.items[--uses->waiting.count];
        u8 inner = below(network, expr, uses->marks.items[--uses->marks.count]);
        const ExprNode *node = expr_node(network, expr);
        if (node->op == EXPR_PARAM)
            uses->of_param[node->object] |= inner;
        if (node->op == EXPR_HOISTED)
            put(uses, network->hoisted.items[node->object].value, inner);
        for (u32 k = 0; k < node->arg_count; k++)
            put(uses, node->args[k], inner);
    }
}

static void
find_uses(Uses *uses)
{
    const Network *network = uses->network;
    const Objective *objective = network->objective;
    for (u32 k = 0; k < network->reactions.count; k++)
        carry(uses, network->reactions.items[k].propensity, ACTS_RATE);
    for (u32 k = 0; k < network->species.count; k++)
        carry(uses, network->species.items[k].initial, ACTS_COUNT);
    for (u32 k = 0; k < network->breakpoints.count; k++)
        carry(uses, network->breakpoints.items[k], ACTS_TIMING);
    for (u32 k = 0; k < network->events.count; k++) {
        const Event *event = &network->events.items[k];
        carry(uses, event->time, ACTS_TIMING);
        carry(uses, event->period, ACTS_TIMING);
        carry(uses, event->until, ACTS_TIMING);
        carry(uses, event->condition, ACTS_STEP);
        for (u32 a = 0; a < event->assignments.count; a++)
            carry(uses, event->assignments.items[a].value, ACTS_COUNT);
    }
    for (u32 k = 0; k < objective->atoms.count; k++)
        carry(uses, objective->atoms.items[k].value,
              objective->atoms.items[k].kind == ATOM_PASSAGE ? ACTS_STEP : ACTS_VALUE);
    for (u32 k = 0; k < objective->functionals.count; k++)
        carry(uses, objective->functionals.items[k].value, ACTS_VALUE);
    for (u32 k = 0; k < objective->outputs.count; k++)
        carry(uses, objective->outputs.items[k].value, ACTS_VALUE);
}

/* ---- the choice -------------------------------------------------------------------------------- */

typedef struct Selection {
    Grad *grad;
    const Uses *uses;
    bool *taken; /* [param_count] */
    VEC(u32) wrt;
} Selection;

static void
take(Selection *selection, u32 first, u32 count)
{
    for (u32 k = first; k < first + count; k++) {
        if (selection->taken[k])
            continue;
        selection->taken[k] = true;
        vec_push(&selection->grad->pipeline.arena, &selection->wrt, k);
    }
}

static u32
param_of_flat(const Network *network, u32 flat)
{
    u32 k = network->params.count - 1;
    while (network->params.items[k].flat > flat)
        k--;
    return k;
}

/* Whether every estimator asked for follows what moves in time with a parameter: the master equation, and finite
 * differences. */
static bool
sees_timing(const Grad *grad)
{
    const char *at = grad->options.estimators;
    while (*at) {
        size_t length = strcspn(at, ",");
        bool sees = (length == 5 && strncmp(at, "exact", length) == 0) ||
                    (length == 7 && strncmp(at, "coupled", length) == 0);
        if (!sees)
            return false;
        at += length + (at[length] == ',');
    }
    return true;
}

/* Why the param has no derivative to be had, or NULL. */
static const char *
obstacle(const Selection *selection, u32 param)
{
    u8 acts = selection->uses->of_param[param];
    if ((acts & ACTS_TIMING) && !sees_timing(selection->grad))
        return "it moves the time of an event or of a switch; only --estimator coupled and, where "
               "the "
               "model is small, exact differentiate through that";
    if (acts & (ACTS_RATE | ACTS_VALUE | ACTS_TIMING))
        return NULL;
    if (acts & ACTS_COUNT)
        return "it acts through initial or assigned counts alone, which are whole numbers";
    if (acts & ACTS_STEP)
        return "it stands in conditions and rounded numbers alone, which jump or do not change";
    return "no reaction and no output depends on it";
}

/* Of what the user names, everything has to have a derivative. */
static bool
check(const Selection *selection, const char *what, u32 param)
{
    Engine *engine = selection->grad->engine;
    const Param *named = &selection->uses->network->params.items[param];
    const char *reason = obstacle(selection, param);
    if (!reason)
        return true;
    rxn__engine_error(engine, "%s '%s' cannot be differentiated by: %s", what, named->name->text,
                      reason);
    return false;
}

static bool
take_named(Selection *selection)
{
    Grad *grad = selection->grad;
    bool good = true;
    for (u32 k = 0; k < grad->options.wrt.count; k++) {
        const char *list = grad->options.wrt.items[k];
        while (*list) {
            /* A comma inside brackets is between indices. */
            size_t length = 0;
            for (int depth = 0; list[length] && (depth > 0 || list[length] != ','); length++)
                depth += (list[length] == '[') - (list[length] == ']');
            u32 first, count;
            if (!rxn__param_reference(grad->engine, &grad->pipeline, list, length, &first,
                                      &count)) {
                grad->misnamed = true;
                good = false;
            } else if (!check(selection, "param", param_of_flat(grad->pipeline.network, first)))
                good = false;
            else
                take(selection, first, count);
            list += length + (list[length] == ',');
        }
    }
    return good;
}

/* What is marked `fit`, or everything that has a derivative. */
static bool
take_default(Selection *selection)
{
    const Network *network = selection->uses->network;
    bool fit = false, good = true;
    for (u32 k = 0; k < network->params.count; k++)
        fit = fit || network->params.items[k].fit;
    for (u32 k = 0; k < network_declared_params(network); k++) {
        const Param *param = &network->params.items[k];
        u32 count = (u32)rxn__shape_count(&param->shape);
        if (fit && !param->fit)
            continue;
        if (selection->grad->fits && selection->uses->of_param[k] == 0)
            continue;
        if (fit && !check(selection, "the trained param", k))
            good = false;
        else if (!obstacle(selection, k))
            take(selection, param->flat, count);
    }
    return good;
}

/* Without --wrt, what is passed over is said where someone might miss it. */
static void
note_omitted(const Selection *selection)
{
    const Network *network = selection->uses->network;
    Grad *grad = selection->grad;
    for (u32 k = 0; k < network_declared_params(network); k++) {
        const Param *param = &network->params.items[k];
        u8 acts = selection->uses->of_param[k];
        const char *reason = obstacle(selection, k);
        if (!selection->taken[param->flat] && reason && acts != 0 && !param->fit)
            rxn__warning(&grad->engine->session.diagnostics, (Span){0, 0},
                         "param '%s' is left out: %s", param->name->text, reason);
        else if (selection->taken[param->flat] && (acts & ACTS_COUNT))
            rxn__warning(&grad->engine->session.diagnostics, (Span){0, 0},
                         "param '%s' also acts through initial or assigned counts, which are whole "
                         "numbers: they are held as they are",
                         param->name->text);
    }
}

bool
rxn__grad_parameters(Grad *grad)
{
    Network *network = grad->pipeline.network;
    Arena *arena = &grad->pipeline.arena;
    Uses uses = {.network = network,
                 .arena = arena,
                 .of_param = NEW_ARRAY(arena, u8, network->params.count + 1),
                 .seen = NEW_ARRAY(arena, u8, network->exprs.count + 1)};
    find_uses(&uses);
    Selection selection = {.grad = grad,
                           .uses = &uses,
                           .taken = NEW_ARRAY(arena, bool, (size_t)network->param_count + 1)};
    bool named = grad->options.wrt.count > 0;
    if (!(named ? take_named(&selection) : take_default(&selection)))
        return false;
    if (selection.wrt.count == 0 && !grad->fits) {
        rxn__engine_error(grad->engine, "the model has no param to differentiate by");
        for (u32 k = 0; k < network_declared_params(network); k++)
            rxn__engine_note(grad->engine, "param '%s': %s", network->params.items[k].name->text,
                             obstacle(&selection, k));
        return false;
    }
    note_omitted(&selection);
    grad->request.wrt = selection.wrt.items;
    grad->request.wrt_count = selection.wrt.count;
    grad->labels = NEW_ARRAY(arena, const char *, (size_t)selection.wrt.count + 1);
    for (u32 p = 0; p < selection.wrt.count; p++)
        grad->labels[p] = rxn__param_label(network, selection.wrt.items[p], arena);
    return true;
}
