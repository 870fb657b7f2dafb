/* fit_objective: the loss of one experiment as the network's objective: output 0 the loss, then its points or the
 * measures (network/fit.h).
 */
#include <math.h>
#include <string.h>

#include "compiler/sema/fit_private.h"

static const char *
label_of(Sema *sema, const AstNode *node)
{
    Text text;
    rxn__text_init(&text, sema->network->arena);
    rxn__ast_print_source(node, &text);
    return text.data;
}

/* The derivative of an expression of loss functions by one of them; 0 where it depends on any of them. */
static Expr
share_of(Sema *sema, Expr value, u32 given)
{
    Expr share = rxn__expr_derivative(sema->network, value, EXPR_QUANTITY, given);
    return rxn__expr_uses(sema->network, share).quantities ? 0 : share;
}

/* With samples the loss is one expectation over trajectories: linear in those of its functions. */
static bool
check_linear(Sema *sema, Module *module, const AstNode *node, Expr value)
{
    const FitLoss *loss = sema->loss;
    for (u32 i = 0; i < loss->givens.count; i++)
        if (share_of(sema, value, loss->givens.items[i]) == 0) {
            rxn__sema_error(sema, module, node->span,
                            "with samples a loss is an expectation over single trajectories, and "
                            "this is a function of several");
            rxn__sema_note(sema, (Span){0},
                           "add loss functions, or multiply them by numbers and parameters");
            return false;
        }
    return true;
}

/* Of all points, by the chain rule through the expression around their loss functions. */
static void
set_curvatures(Sema *sema, Expr value)
{
    const FitLoss *loss = sema->loss;
    Expr share = 0;
    for (u32 i = 0; i < loss->points.count; i++) {
        FitLossPoint *point = &loss->points.items[i];
        if (i == 0 || loss->points.items[i - 1].given != point->given)
            share = share_of(sema, value, point->given);
        if (point->curvature != 0 && share != 0)
            point->point.curvature = expr_binary(sema->network, EXPR_MUL, share, point->curvature);
    }
}

/* A loss or a measure, as an output has it. 0: reported. */
static Expr
output_value(Sema *sema, Module *module, const AstNode *node, const char *what)
{
    FitLoss *loss = sema->loss;
    Scope scope = {.module = module,
                   .allowed = ALLOW_PARAMS | ALLOW_VARIABLES | (loss->sampled ? 0 : ALLOW_INPUTS),
                   .what = what,
                   .place = PLACE_LOSS,
                   .inside = what};
    sema->unrolled = 0;
    loss->givens.count = 0;
    Expr value = rxn__sema_number(sema, &scope, node), normal = 0;
    if (value == 0 || loss->unknown)
        return value;
    if (rxn__objective_needs_time(sema->objective, value)) {
        rxn__sema_error(sema, module, node->span, "nothing says when this is read");
        rxn__sema_note(
            sema, (Span){0},
            "compare it with the data, as in 'mse(mean(X), data.X)', or write the time, as "
            "in 'mean(at(X, 10))'");
        return 0;
    }
    ObjectiveProblem problem = OBJECTIVE_GOOD;
    if (!loss->sampled) {
        problem = rxn__objective_value(sema->objective, value, NAN, &normal);
    } else if (rxn__sema_has_expectation(node)) {
        rxn__sema_error(sema, module, node->span,
                        "with samples %s is of single trajectories, and this is of an ensemble",
                        what);
        return 0;
    } else if (check_linear(sema, module, node, value)) {
        problem = rxn__objective_of_trajectory(sema->objective, value, NAN, &normal);
        if (problem == OBJECTIVE_GOOD)
            normal = rxn__objective_expected(sema->objective, normal);
    } else {
        return 0;
    }
    if (problem == OBJECTIVE_GOOD && !rxn__expr_uses(sema->network, normal).quantities)
        problem = OBJECTIVE_NO_STATE;
    if (problem == OBJECTIVE_GOOD) {
        set_curvatures(sema, value);
        return normal;
    }
    rxn__sema_objective_problem(sema, module, node, problem);
    return 0;
}

static void
add_points(Sema *sema, Module *module, const AstNode *node, Fit *fit)
{
    const FitLoss *loss = sema->loss;
    if (loss->points.count >= RXN_MAX_OUTPUTS) {
        rxn__sema_error(sema, module, node->span, "this compares more than %d different rows",
                        RXN_MAX_OUTPUTS - 1);
        return;
    }
    for (u32 i = 0; i < loss->points.count; i++) {
        const FitLossPoint *own = &loss->points.items[i];
        rxn__objective_output(
            sema->objective, fit->series.items[own->point.series].model,
            strcmp(fit->series.items[own->point.series].axis, "time") == 0 ? own->point.x : NAN,
            own->model);
        vec_push(sema->network->arena, &fit->points, own->point);
    }
}

static void
add_measure(Sema *sema, Module *module, const AstNode *measure, Fit *fit)
{
    sema->loss->wants_points = false;
    Expr value = output_value(sema, module, measure->kids[0], "a measure");
    if (value == 0 || sema->loss->unknown)
        return;
    rxn__objective_output(sema->objective, measure->name->text, NAN, value);
    vec_push(sema->network->arena, &fit->measures, ((FitMeasure){measure->name->text}));
}

/* Whether the tree of a loss reads a column. */
static const AstNode *
reads_data(const FitScene *scene)
{
    const AstNode *found = rxn__fit_first_column(scene->loss);
    for (u32 i = 0; i < scene->measures.count && !found; i++)
        found = rxn__fit_first_column(scene->measures.items[i]);
    return found;
}

static bool
open_data(Sema *sema, FitPlan *plan, const FitScene *scene, const FitRequest *request, Fit *fit,
          FitLoss *loss)
{
    const AstNode *path = NULL;
    const bool replaced = request->data && scene->data == plan->block.data;
    if (scene->data && !replaced)
        rxn__fit_data(sema, plan->module, scene->data, fit, &path);
    if (sema->diagnostics->error_count > 0)
        return false;
    loss->sampled = fit->samples.count > 0;
    const AstNode *column = reads_data(scene);
    if (!path && !replaced) {
        if (!column)
            return true;
        rxn__sema_error(sema, plan->module, column->span,
                        "the loss reads '%s', and there is no data",
                        rxn__sema_show(sema, column->name));
        rxn__sema_note(sema, (Span){0},
                       loss->sampled
                           ? "samples are read as inputs, by the names that 'data' gives them"
                           : "name a table in 'fit', as in 'data \"measured.csv\"', or give --data "
                             "FILE");
        return false;
    }
    const AstNode *at = path ? path : column ? column : scene->loss;
    loss->has_snapshots = rxn__fit_has_distribution(scene->loss);
    for (u32 i = 0; i < scene->measures.count; i++)
        loss->has_snapshots |= rxn__fit_has_distribution(scene->measures.items[i]);
    if (!rxn__fit_open_table(sema, plan->module, request, path, at->span, loss))
        return false;
    fit->data_path =
        rxn__arena_copy_text(sema->network->arena, loss->data_path, strlen(loss->data_path));
    return true;
}

void
rxn__fit_objective(Sema *sema, FitPlan *plan, const FitScene *scene, const FitRequest *request,
                   Fit *fit)
{
    FitLoss loss = {.module = plan->module,
                    .time = FIT_NO_COLUMN,
                    .trajectory = FIT_NO_COLUMN,
                    .unknown = request == NULL,
                    .end = sema->network->simulate_until,
                    .fit = fit};
    const u32 errors = sema->diagnostics->error_count;
    if (request && !open_data(sema, plan, scene, request, fit, &loss))
        return;
    sema->loss = &loss;
    sema->objective = rxn__objective_begin(sema->network);
    if (loss.sampled)
        rxn__objective_samples(sema->objective);
    loss.wants_points = request && !request->measures && !loss.sampled;
    if (scene->loss && scene->loss->kid_count == 1) {
        const AstNode *node = scene->loss->kids[0];
        Expr value = output_value(sema, plan->module, node, "a loss");
        if (value != 0 && request) {
            rxn__objective_output(sema->objective, label_of(sema, node), NAN, value);
            add_points(sema, plan->module, node, fit);
        }
    }
    for (u32 i = 0; i < scene->measures.count && (!request || request->measures); i++)
        add_measure(sema, plan->module, scene->measures.items[i], fit);
    if (request && sema->diagnostics->error_count == errors) {
        rxn__objective_end(sema->objective);
        Objective *objective = sema->network->objective;
        vec_push(sema->network->arena, &objective->followers, &fit->penalty);
        for (u32 i = 0; i < fit->points.count; i++)
            vec_push(sema->network->arena, &objective->followers, &fit->points.items[i].curvature);
    }
    sema->loss = NULL;
    sema->objective = NULL;
}
