/* fit_loss: the functions of a loss: mse, mae, gaussian, cramer, chi_square, cross_entropy, accuracy.
 *
 * A loss is an expression of numbers, parameters, expectations and calls of these functions. A call goes through the
 * rows of the data: in its arguments `data.NAME` is the number of the row, and the state is read at the row's
 * time. Where an argument has an expectation in it (mean, var, …) the row compares numbers of the ensemble.
 * Where none has, the row's loss is one trajectory's, and its expectation is meant:
 *
 *     mse(mean(D), data.D)     1/n Σ (E[D] - d)^2
 *     mse(D, data.D)           E[1/n Σ (D - d)^2]
 *
 * What a call is worth is one expression in the normal form (network/objective.h). For the expression around it
 * a reading of its own stands for that.
 */
#include <math.h>
#include <string.h>

#include "compiler/sema/fit_private.h"

enum { MOST_CLASSES = 1000 };

typedef struct LossFunction {
    const char *name;
    bool of_classes;      /* the first argument is 'v in set: logits' */
    bool of_distribution; /* numbers may follow on the arguments, or the setting */
    const char *setting;
    const char *form;
    Expr (*value)(FitCall *call);
} LossFunction;

static Expr cross_entropy(FitCall *call);
static Expr accuracy(FitCall *call);

static const LossFunction functions[] = {
    {"mse", false, false, NULL, "mse(A, B): the mean over the rows of (A - B)^2", rxn__fit_mse},
    {"mae", false, false, NULL, "mae(A, B): the mean over the rows of |A - B|", rxn__fit_mae},
    {"gaussian", false, false, "sd",
     "gaussian(A, B, sd = S): the sum over the rows of (A - B)^2 / (2 S^2) + log S",
     rxn__fit_gaussian},
    {"cramer", false, true, "bins",
     "cramer(A, data.A), with edges as in cramer(A, data.A, 10, 20) or bins = N: the distance "
     "between "
     "the distribution functions of A and of the data of each time",
     rxn__fit_distribution},
    {"chi_square", false, true, "bins",
     "chi_square(A, data.A), with edges as in chi_square(A, data.A, 10, 20) or bins = N: the "
     "distance between "
     "the histograms of A and of the data of each time",
     rxn__fit_distribution},
    {"cross_entropy", true, false, NULL,
     "cross_entropy(v in set: LOGIT, LABEL): the mean over the rows of -log softmax at the label",
     cross_entropy},
    {"accuracy", true, false, NULL,
     "accuracy(v in set: LOGIT, LABEL): how often the greatest logit is the label's", accuracy},
};

static const LossFunction *
find_function(Name name)
{
    for (u32 i = 0; name && i < COUNT_OF(functions); i++)
        if (strcmp(functions[i].name, name->text) == 0)
            return &functions[i];
    return NULL;
}

bool
rxn__fit_has_distribution(const AstNode *node)
{
    if (!node)
        return false;
    const LossFunction *function = node->kind == AST_CALL ? find_function(node->name) : NULL;
    bool found = function && function->of_distribution;
    for (u32 i = 0; i < node->kid_count && !found; i++)
        found = rxn__fit_has_distribution(node->kids[i]);
    return found;
}

bool
rxn__sema_is_loss_function(Name name)
{
    return find_function(name) != NULL;
}

void
rxn__suggestion_try_loss(Sema *sema, Suggestion *suggestion)
{
    for (u32 i = 0; i < COUNT_OF(functions); i++)
        rxn__suggestion_try(suggestion, rxn__name_z(sema->names, functions[i].name));
}

/* ---- Values of a row --------------------------------------------------------------------------- */

bool
rxn__fit_is_numeric(const Sema *sema, Expr value, double *ret_number)
{
    const ExprUses uses = rxn__expr_uses(sema->network, value);
    if (uses.species || uses.params || uses.inputs || uses.time || uses.variables ||
        uses.quantities)
        return false;
    *ret_number = rxn__expr_evaluate(sema->network, value, &(ExprValues){0});
    return true;
}

Expr
rxn__fit_argument(FitCall *call, const Scope *scope, const AstNode *node)
{
    Text what;
    rxn__text_init(&what, call->sema->arena);
    rxn__text_printf(&what, "an argument of '%s'", call->name);
    FitLoss *loss = call->loss;
    const u32 errors = call->sema->diagnostics->error_count;
    loss->in_row = true;
    Expr value = rxn__sema_expression(call->sema, scope, node);
    loss->in_row = false;
    if (call->sema->diagnostics->error_count > errors && loss->table && !loss->is_wrong_data &&
        rxn__fit_first_column(node))
        rxn__sema_note(call->sema, (Span){0}, "with the numbers of %s",
                       rxn__fit_row_place(call->sema));
    return rxn__sema_is_number(call->sema, scope, value, node, what.data) ? value : 0;
}

/* The time of the present row. False: reported. */
static bool
time_of_row(FitCall *call, const AstNode *node, double *ret_time)
{
    Sema *sema = call->sema;
    const FitLoss *loss = call->loss;
    *ret_time = loss->end;
    if (loss->table && loss->time != FIT_NO_COLUMN) {
        *ret_time = loss->table->values[loss->time][loss->row];
    } else if (loss->table) {
        rxn__sema_error(sema, call->scope->module, node->span,
                        "the rows of '%s' have no column 'time' that says when this is read",
                        rxn__shown(sema->arena, loss->data_path, strlen(loss->data_path)));
        rxn__sema_note(sema, (Span){0}, "say it here, as in 'at(X, data.t)' or 'at(X, 10)'");
        return false;
    } else if (isnan(loss->end)) {
        rxn__sema_error(sema, call->scope->module, node->span, "nothing says when this is read");
        rxn__sema_note(
            sema, (Span){0},
            "write 'simulate until T' in the model, or the time here, as in 'at(X, 10)'");
        return false;
    }
    *ret_time += 0.0;
    return true;
}

Expr
rxn__fit_normal(FitCall *call, const AstNode *node, Expr value)
{
    Sema *sema = call->sema;
    if (value == 0 || call->loss->unknown)
        return value;
    double time = NAN;
    if (rxn__objective_needs_time(sema->objective, value) && !time_of_row(call, node, &time))
        return 0;
    Expr normal;
    ObjectiveProblem problem =
        call->of_ensemble ? rxn__objective_value(sema->objective, value, time, &normal)
                          : rxn__objective_of_trajectory(sema->objective, value, time, &normal);
    if (problem == OBJECTIVE_GOOD)
        return normal;
    if (problem == OBJECTIVE_EMPTY_SPAN) {
        rxn__sema_error(sema, call->scope->module, node->span,
                        "at time 0 there is a span of no length in this (%s)",
                        rxn__fit_row_place(sema));
        rxn__sema_note(sema, (Span){0},
                       "leave that row out, or give the span, as in 'integral(X, 0, 10)'");
    } else {
        rxn__sema_objective_problem(sema, call->scope->module, node, problem);
    }
    return 0;
}

/* ---- Classes ----------------------------------------------------------------------------------- */

typedef struct Classes {
    i64 low;
    u32 count;
    Expr *logits;
    bool logits_have_data;
} Classes;

/* The logits of all classes for the present row, as sema has them. */
static bool
read_logits(FitCall *call, const AstNode *each, Classes *classes)
{
    Sema *sema = call->sema;
    Local local = {.outer = call->arguments.locals, .name = each->name, .span = each->name_span};
    Scope inner = call->arguments;
    inner.locals = &local;
    inner.allowed |= ALLOW_VARIABLES;
    const bool was_unrolling = sema->is_unrolling;
    sema->is_unrolling = true;
    bool good = true;
    for (u32 k = 0; k < classes->count && good; k++) {
        local.value = rxn__expr_number(sema->network, (double)(classes->low + k));
        classes->logits[k] = rxn__fit_argument(call, &inner, each->kids[1]);
        good = classes->logits[k] != 0;
    }
    sema->is_unrolling = was_unrolling;
    return good;
}

static bool
open_classes(FitCall *call, const AstNode *each, Classes *classes)
{
    Sema *sema = call->sema;
    i64 low, high;
    bool good = rxn__sema_range(sema, &call->arguments, each->kids[0], &low, &high);
    if (!rxn__sema_loop_name(sema, &call->arguments, each) || !good)
        return false;
    if (high < low || high - low >= MOST_CLASSES) {
        rxn__sema_error(sema, call->scope->module, each->kids[0]->span,
                        "'%s' takes 1 to %d classes, not %lld", call->name, MOST_CLASSES,
                        (long long)(high - low + 1));
        return false;
    }
    *classes = (Classes){.low = low,
                         .count = (u32)(high - low + 1),
                         .logits_have_data = rxn__fit_first_column(each->kids[1]) != NULL};
    classes->logits = NEW_ARRAY(sema->arena, Expr, classes->count);
    return true;
}

static Expr
select_if(Network *network, Expr condition, Expr yes, Expr no)
{
    return rxn__expr(network, EXPR_SELECT, (Expr[]){condition, yes, no});
}

static Expr
greatest(Network *network, const Expr *values, u32 count)
{
    Expr result = values[0];
    for (u32 k = 1; k < count; k++)
        result = expr_binary(network, EXPR_MAX, result, values[k]);
    return result;
}

/* Whether the label is class k: a number 0 or 1 times the value, or the value where it holds. */
static Expr
of_label(Network *network, const Classes *classes, Expr label, const Expr *values)
{
    Expr *terms = NEW_ARRAY(network->arena, Expr, classes->count);
    for (u32 k = 0; k < classes->count; k++) {
        Expr number = rxn__expr_number(network, (double)(classes->low + k));
        Expr is = expr_binary(network, EXPR_EQ, label, number);
        terms[k] = select_if(network, is, values[k], rxn__expr_number(network, 0));
    }
    return rxn__objective_sum(network, terms, classes->count);
}

/* 0, or NaN where an input is no label: what is known only when it runs must not pass as a number. */
static Expr
label_guard(Network *network, const Classes *classes, Expr label)
{
    Expr low = rxn__expr_number(network, (double)classes->low);
    Expr high = rxn__expr_number(network, (double)(classes->low + classes->count - 1));
    Expr whole = expr_binary(network, EXPR_EQ, expr_unary(network, EXPR_FLOOR, label), label);
    Expr within = expr_binary(network, EXPR_AND, expr_binary(network, EXPR_LE, low, label),
                              expr_binary(network, EXPR_LE, label, high));
    return select_if(network, expr_binary(network, EXPR_AND, whole, within),
                     rxn__expr_number(network, 0), rxn__expr_number(network, NAN));
}

/* log Σ exp(logit - m) + m - logit of the label, m the greatest. */
static Expr
minus_log_softmax(Network *network, const Classes *classes, Expr label)
{
    const Expr top = greatest(network, classes->logits, classes->count);
    Expr *terms = NEW_ARRAY(network->arena, Expr, classes->count);
    for (u32 k = 0; k < classes->count; k++)
        terms[k] =
            expr_unary(network, EXPR_EXP, expr_binary(network, EXPR_SUB, classes->logits[k], top));
    Expr sum = rxn__objective_sum(network, terms, classes->count);
    Expr log = expr_binary(network, EXPR_ADD, expr_unary(network, EXPR_LOG, sum), top);
    return expr_binary(network, EXPR_SUB, log, of_label(network, classes, label, classes->logits));
}

/* 1 where the label's logit is the greatest, the first of equal ones. */
static Expr
hits(Network *network, const Classes *classes, Expr label)
{
    const Expr top = greatest(network, classes->logits, classes->count);
    Expr one = rxn__expr_number(network, 1), none = rxn__expr_number(network, 0), before = 0;
    Expr *first = NEW_ARRAY(network->arena, Expr, classes->count);
    for (u32 k = 0; k < classes->count; k++) {
        const Expr logit = classes->logits[k];
        Expr is = expr_binary(network, EXPR_EQ, logit, top);
        if (before)
            is = expr_binary(network, EXPR_AND, is, expr_binary(network, EXPR_LT, before, logit));
        before = before ? expr_binary(network, EXPR_MAX, before, logit) : logit;
        first[k] = select_if(network, is, one, none);
    }
    return of_label(network, classes, label, first);
}

/* What a label must be, where it is known: a whole number in the range. */
static bool
check_label(FitCall *call, const AstNode *node, const Classes *classes, double label)
{
    Sema *sema = call->sema;
    const double high = (double)(classes->low + classes->count - 1);
    if (label == floor(label) && label >= (double)classes->low && label <= high)
        return true;
    Text number;
    rxn__text_init(&number, sema->arena);
    rxn__text_f64(&number, label);
    const char *place = rxn__fit_row_place(sema);
    rxn__sema_error(sema, call->scope->module, node->span,
                    "%s%sthe label is %s, and the classes are %lld .. %.0f", place,
                    *place ? ": " : "", number.data, (long long)classes->low, high);
    return false;
}

/* An input that is compared with whole numbers is a label: whoever reads the samples can check it. */
static void
note_label(FitCall *call, const Classes *classes, Expr label)
{
    const ExprNode *node = expr_node(call->sema->network, label);
    for (u32 i = 0; node->op == EXPR_INPUT && i < call->loss->fit->samples.count; i++) {
        FitSample *sample = &call->loss->fit->samples.items[i];
        if (sample->input == node->object && classes->low == 0)
            sample->classes = classes->count;
    }
}

/* The mean over the rows of what `of` makes of logits and label. */
static Expr
over_rows(FitCall *call, Expr (*of)(Network *network, const Classes *classes, Expr label))
{
    Sema *sema = call->sema;
    Network *network = sema->network;
    const AstNode *each = call->node->kids[0], *label_node = call->node->kids[1];
    const u64 rows = rxn__fit_row_count(call->loss);
    Classes classes;
    FitIndex index = {0};
    VEC(double) counts = {0};
    if (!open_classes(call, each, &classes))
        return 0;
    for (u64 row = 0; row < rows; row++) {
        call->loss->row = row;
        if ((row == 0 || classes.logits_have_data) && !read_logits(call, each, &classes))
            return 0;
        double number;
        Expr label = rxn__fit_argument(call, &call->arguments, label_node);
        if (label == 0)
            return 0;
        Expr value;
        if (call->loss->unknown) {
            value = of(network, &classes, label);
        } else if (rxn__fit_is_numeric(sema, label, &number)) {
            if (!check_label(call, label_node, &classes, number))
                return 0;
            value = of(network, &classes, label);
        } else {
            note_label(call, &classes, label);
            value = expr_binary(network, EXPR_ADD, of(network, &classes, label),
                                label_guard(network, &classes, label));
        }
        Expr normal = rxn__fit_normal(call, each, value);
        u32 entry;
        if (normal == 0)
            return 0;
        if (rxn__fit_index_add(sema->arena, &index, (FitKey){.a = normal}, &entry))
            vec_push(sema->arena, &counts, 0);
        counts.items[entry]++;
    }
    Expr *terms = NEW_ARRAY(sema->arena, Expr, index.count);
    for (u32 i = 0; i < index.count; i++)
        terms[i] =
            expr_binary(network, EXPR_MUL,
                        rxn__expr_number(network, counts.items[i] / (double)rows), index.keys[i].a);
    return rxn__objective_sum(network, terms, index.count);
}

static Expr
cross_entropy(FitCall *call)
{
    return over_rows(call, minus_log_softmax);
}

static Expr
accuracy(FitCall *call)
{
    return over_rows(call, hits);
}

/* ---- Calls ------------------------------------------------------------------------------------- */

static bool
check_arguments(Sema *sema, const Scope *scope, const AstNode *node, const LossFunction *function)
{
    u32 plain = 0, each = 0;
    for (u32 i = 0; i < node->kid_count; i++) {
        const AstNode *kid = node->kids[i];
        if (!kid || kid->kind == AST_POISON)
            return false;
        if (kid->kind == AST_NAMED) {
            if (!function->setting || strcmp(kid->name->text, function->setting) != 0) {
                rxn__sema_error(sema, scope->module, kid->name_span, "'%s' has no setting '%s'",
                                function->name, rxn__sema_show(sema, kid->name));
                rxn__sema_note(sema, (Span){0}, "%s", function->form);
                return false;
            }
            if (i != node->kid_count - 1 || i != 2) {
                rxn__sema_error(sema, scope->module, node->span, "'%s' comes once, and last",
                                function->setting);
                rxn__sema_note(sema, (Span){0}, "%s", function->form);
                return false;
            }
            continue;
        }
        if (kid->kind == AST_EACH)
            each += i == 0 ? 1 : 2;
        else
            plain++;
    }
    const u32 wanted = function->of_classes ? 1 : 2;
    if (each == (u32)function->of_classes &&
        (plain == wanted || (plain > wanted && function->of_distribution)))
        return true;
    if (each == 0 && !function->of_classes)
        rxn__sema_error(sema, scope->module, node->span, "'%s' takes 2 arguments, and %u %s given",
                        function->name, plain, plain == 1 ? "is" : "are");
    else
        rxn__sema_error(sema, scope->module, node->span, "these are not the arguments of '%s'",
                        function->name);
    rxn__sema_note(sema, (Span){0}, "%s", function->form);
    return false;
}

/* Where the arguments of the call stand. False: reported. */
static bool
open_call(FitCall *call, const LossFunction *function)
{
    Sema *sema = call->sema;
    const Scope *scope = call->scope;
    if (scope->place != PLACE_LOSS) {
        rxn__sema_error(sema, scope->module, call->node->span, "'%s' cannot stand inside of '%s'",
                        call->name, scope->inside ? scope->inside : "mean");
        rxn__sema_note(sema, (Span){0},
                       "it is one number of all rows; add or multiply such numbers outside");
        return false;
    }
    call->of_ensemble = rxn__sema_has_expectation(call->node);
    if (function->of_distribution && (call->of_ensemble || call->loss->sampled)) {
        rxn__sema_error(sema, scope->module, call->node->span,
                        call->of_ensemble
                            ? "'%s' compares distributions, and this has an expectation in it"
                            : "with samples a loss is of single trajectories, and '%s' compares "
                              "distributions",
                        call->name);
        rxn__sema_note(sema, (Span){0}, "%s", function->form);
        return false;
    }
    if (call->of_ensemble && call->loss->sampled) {
        rxn__sema_error(sema, scope->module, call->node->span,
                        "with samples a loss is of single trajectories, and this compares "
                        "expectations");
        rxn__sema_note(
            sema, (Span){0},
            "every sample has a few trajectories of its own; leave out mean, var, sd and "
            "cov");
        return false;
    }
    call->arguments = *scope;
    call->arguments.place = call->of_ensemble ? PLACE_OUTSIDE : PLACE_TRAJECTORY;
    call->arguments.allowed = call->of_ensemble ? ALLOW_ALL & ~(u32)ALLOW_SPECIES : ALLOW_ALL;
    call->arguments.inside = call->name;
    call->arguments.what = "what stands outside of mean, var, sd and cov";
    return true;
}

Expr
rxn__sema_loss_call(Sema *sema, const Scope *scope, const AstNode *node)
{
    const LossFunction *function = find_function(node->name);
    const Symbol *own = rxn__symbols_find(&sema->symbols, node->name);
    if (own && own->kind == SYMBOL_FUNCTION) {
        rxn__sema_error(sema, scope->module, node->name_span,
                        "'%s' is a function of a loss, and the model has one of that name",
                        function->name);
        rxn__sema_note(sema, own->node->name_span, "rename this one to use it here");
        return 0;
    }
    FitLoss *loss = sema->loss;
    FitCall call = {
        .sema = sema, .loss = loss, .scope = scope, .node = node, .name = function->name};
    if (!check_arguments(sema, scope, node, function) || !open_call(&call, function))
        return 0;
    const u32 first_point = loss->points.count;
    Expr value = function->value(&call);
    loss->row = 0;
    if (value == 0)
        return 0;
    if (loss->unknown)
        value = rxn__expr_number(sema->network, 1);
    else if (!call.of_ensemble && !loss->sampled)
        value = rxn__objective_expected(sema->objective, value);
    Expr given = rxn__objective_given(sema->objective, value);
    const u32 number = expr_node(sema->network, given)->object;
    vec_push(sema->arena, &loss->givens, number);
    for (u32 i = first_point; i < loss->points.count; i++)
        loss->points.items[i].given = number;
    return given;
}
