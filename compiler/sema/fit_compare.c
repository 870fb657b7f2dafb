/* fit_compare: the functions of a loss that compare the model with the rows of the data: mse, mae, gaussian.
 *
 * Rows that compare the same value of the model (one time, one expression) are one comparison: their number,
 * mean and variance are all that squares need,
 *
 *     Σ (m - d_i)^2 = n ((m - d)^2 + v)
 *
 * so that a loss is as long as the data has times, not rows. Absolute differences keep every distinct number.
 *
 * Each comparison is also a point of the fit: what the model says against what was measured, with the second
 * derivative of the loss by the former (Gauss–Newton).
 */
#include <math.h>
#include <string.h>

#include "compiler/sema/fit_private.h"

/* The rows that compare the same. */
typedef struct Group {
    Expr model; /* in the normal form */
    Expr sd;    /* 0: `deviation`, a number */
    double deviation;
    double n, mean,
        squares; /* of the data: squares of differences from the mean, added up (Welford 1962) */
    u64 row;     /* the first */
} Group;

typedef struct Comparison {
    FitCall *call;
    const AstNode *sides[2], *sd; /* sd: NULL where none is given */
    u32 data_side;                /* the one that is a number; 2: none is */
    bool by_datum;                /* rows of different data are different comparisons */
    bool moves[3];                /* the argument reads columns, and is looked at for every row */
    Expr fixed[3];
    FitIndex index, seen[3]; /* groups; of arguments that do not move: values by time */
    VEC(Expr) normal[3];
    VEC(Group) groups;
    u64 rows;
} Comparison;

/* ---- Reading the rows -------------------------------------------------------------------------- */

/* Argument k for the present row in the normal form, or as a number. */
static Expr
read_argument(Comparison *comparison, u32 k, const AstNode *node)
{
    FitCall *call = comparison->call;
    const FitLoss *loss = call->loss;
    if (comparison->moves[k])
        return rxn__fit_normal(call, node, rxn__fit_argument(call, &call->arguments, node));
    if (comparison->fixed[k] == 0)
        comparison->fixed[k] = rxn__fit_argument(call, &call->arguments, node);
    if (comparison->fixed[k] == 0)
        return 0;
    u32 entry;
    FitKey key = {.x = loss->table && loss->time != FIT_NO_COLUMN
                           ? loss->table->values[loss->time][loss->row]
                           : 0};
    if (rxn__fit_index_add(call->sema->arena, &comparison->seen[k], key, &entry)) {
        Expr normal = rxn__fit_normal(call, node, comparison->fixed[k]);
        vec_push(call->sema->arena, &comparison->normal[k], normal);
    }
    return comparison->normal[k].items[entry];
}

/* Its number; an error where it is none that can be computed with. */
static bool
read_number(Comparison *comparison, const AstNode *node, Expr value, double *ret_number)
{
    FitCall *call = comparison->call;
    if (!rxn__fit_is_numeric(call->sema, value, ret_number))
        return false;
    if (isfinite(*ret_number) || call->loss->unknown)
        return true;
    rxn__sema_error(call->sema, call->scope->module, node->span, "%s: this is %s here",
                    rxn__fit_row_place(call->sema), isnan(*ret_number) ? "undefined" : "infinite");
    *ret_number = 0;
    return true;
}

const AstNode *
rxn__fit_bare_count(Sema *sema, const Scope *scope, const AstNode *node)
{
    while (node->kind == AST_CALL && node->kid_count > 0 && node->kids[0] &&
           (strcmp(node->name->text, "mean") == 0 || strcmp(node->name->text, "at") == 0))
        node = node->kids[0];
    if (node->kind != AST_REFERENCE)
        return NULL;
    for (const Local *local = scope->locals; local; local = local->outer)
        if (local->name == node->name)
            return NULL;
    const Symbol *symbol = rxn__symbols_find(&sema->symbols, node->name);
    return symbol && symbol->kind == SYMBOL_SPECIES ? node : NULL;
}

static bool
check_counts(Comparison *comparison)
{
    FitCall *call = comparison->call;
    Sema *sema = call->sema;
    const RxnTable *table = call->loss->table;
    for (u32 k = 0; k < 2 && table; k++) {
        const AstNode *data = comparison->sides[k], *model = comparison->sides[1 - k];
        u32 column;
        if (data->kind != AST_REFERENCE || !rxn__sema_is_data(data->name) ||
            !rxn__fit_bare_count(sema, call->scope, model))
            continue;
        if (!rxn__fit_column(sema, call->scope, data, &column))
            return false;
        for (u64 row = 0; row < table->rows; row++)
            if (table->values[column][row] < 0) {
                rxn__sema_error(sema, call->scope->module, data->span,
                                "%s:%llu: column '%s' is %g, and '%s' is never negative",
                                table->path, (unsigned long long)table->lines[row],
                                table->names[column], table->values[column][row],
                                rxn__sema_show_source(sema, model));
                rxn__sema_note(
                    sema, (Span){0},
                    "where a background was subtracted, add it to the model's side, as in "
                    "'%s - background'",
                    rxn__sema_show_source(sema, model));
                return false;
            }
    }
    return true;
}

/* The standard deviation of the present row: a number, or an expression of expectations in *ret_sd. */
static bool
read_sd(Comparison *comparison, Expr *ret_sd, double *ret_deviation)
{
    FitCall *call = comparison->call;
    Sema *sema = call->sema;
    *ret_sd = 0;
    *ret_deviation = 0;
    if (!comparison->sd)
        return true;
    Expr value = read_argument(comparison, 2, comparison->sd);
    if (value == 0)
        return false;
    if (!read_number(comparison, comparison->sd, value, ret_deviation)) {
        *ret_sd = value;
        return true;
    }
    if (call->loss->unknown || *ret_deviation > 0)
        return true;
    const char *place = rxn__fit_row_place(sema);
    rxn__sema_error(sema, call->scope->module, comparison->sd->span,
                    "%s%sa standard deviation must be positive, and this is %g", place,
                    *place ? ": " : "", *ret_deviation);
    return false;
}

static bool
read_row(Comparison *comparison)
{
    FitCall *call = comparison->call;
    Network *network = call->sema->network;
    Expr sides[2], sd;
    double numbers[2] = {0}, deviation;
    bool is_number[2];
    const u32 errors = call->sema->diagnostics->error_count;
    for (u32 k = 0; k < 2; k++) {
        sides[k] = read_argument(comparison, k, comparison->sides[k]);
        if (sides[k] == 0)
            return false;
        is_number[k] = read_number(comparison, comparison->sides[k], sides[k], &numbers[k]);
    }
    if (!read_sd(comparison, &sd, &deviation) || call->sema->diagnostics->error_count > errors)
        return false;
    if (is_number[0] && is_number[1] && !call->loss->unknown) {
        rxn__sema_error(call->sema, call->scope->module, call->node->span,
                        "neither side of this '%s' depends on the model", call->name);
        rxn__sema_note(call->sema, (Span){0},
                       "compare the model with the data, as in '%s(mean(X), data.X)'", call->name);
        return false;
    }
    comparison->data_side = is_number[1] ? 1 : is_number[0] ? 0 : 2;
    const u32 data = comparison->data_side;
    const double datum = data == 2 ? 0 : numbers[data];
    Expr model = data == 2 ? expr_binary(network, EXPR_SUB, sides[0], sides[1]) : sides[1 - data];
    u32 entry;
    FitKey key = {.a = model, .b = sd, .x = comparison->by_datum ? datum : deviation};
    if (rxn__fit_index_add(call->sema->arena, &comparison->index, key, &entry)) {
        Group group = {.model = model, .sd = sd, .deviation = deviation, .row = call->loss->row};
        vec_push(call->sema->arena, &comparison->groups, group);
    }
    Group *group = &comparison->groups.items[entry];
    const double difference = datum - group->mean;
    group->n++;
    group->mean += difference / group->n;
    group->squares += difference * (datum - group->mean);
    return true;
}

static bool
read_rows(Comparison *comparison, FitCall *call)
{
    *comparison = (Comparison){.call = call,
                               .sides = {call->node->kids[0], call->node->kids[1]},
                               .by_datum = strcmp(call->name, "mae") == 0,
                               .rows = rxn__fit_row_count(call->loss)};
    if (call->node->kid_count > 2)
        comparison->sd = call->node->kids[2]->kids[0];
    const AstNode *arguments[] = {comparison->sides[0], comparison->sides[1], comparison->sd};
    for (u32 k = 0; k < 3; k++)
        comparison->moves[k] = rxn__fit_first_column(arguments[k]) != NULL;
    if (!check_counts(comparison))
        return false;
    for (u64 row = 0; row < comparison->rows; row++) {
        call->loss->row = row;
        if (!read_row(comparison))
            return false;
    }
    return true;
}

/* ---- Points ------------------------------------------------------------------------------------ */

static const char *
source_of(Sema *sema, const AstNode *node)
{
    Text text;
    rxn__text_init(&text, sema->network->arena);
    rxn__ast_print_source(node, &text);
    return text.data;
}

/* The number of the series of this comparison's sides. */
static u32
add_series(Comparison *comparison, const char *model, const char *data)
{
    FitCall *call = comparison->call;
    const FitLoss *loss = call->loss;
    const AstNode *column = NULL;
    for (u32 k = 0; k < 2 && !column; k++)
        if (k != comparison->data_side)
            column = rxn__fit_first_column(comparison->sides[k]);
    FitSeries series = {.model = model, .data = data, .axis = "row"};
    if (loss->table && loss->time != FIT_NO_COLUMN)
        series.axis = "time";
    else if (column)
        series.axis = column->name->text + strlen("data.");
    vec_push(call->sema->network->arena, &loss->fit->series, series);
    return loss->fit->series.count - 1;
}

static double
place_of(const FitLoss *loss, const char *axis, u64 row)
{
    const u32 column = loss->table ? rxn__table_column(loss->table, axis) : FIT_NO_COLUMN;
    return column == FIT_NO_COLUMN ? (double)row : loss->table->values[column][row];
}

void
rxn__fit_add_point(FitCall *call, Expr model, Expr curvature, const FitPoint *point)
{
    FitLoss *loss = call->loss;
    if (!loss->wants_points || !rxn__expr_uses(call->sema->network, model).quantities)
        return; /* as the initial state is known without a run */
    vec_push(call->sema->arena, &loss->points,
             ((FitLossPoint){.model = model, .curvature = curvature, .point = *point}));
}

static void
add_point(Comparison *comparison, u32 series, Expr model, const Group *group, double data,
          double sd, Expr curvature)
{
    FitCall *call = comparison->call;
    const FitLoss *loss = call->loss;
    if (!loss->wants_points)
        return;
    if (!call->of_ensemble)
        model = rxn__objective_expected(call->sema->objective, model);
    const FitPoint point = {.series = series,
                            .x = place_of(loss, loss->fit->series.items[series].axis, group->row),
                            .data = data,
                            .sd = sd,
                            .rows = group->n};
    rxn__fit_add_point(call, model, curvature, &point);
}

static u32
add_own_series(Comparison *comparison)
{
    Sema *sema = comparison->call->sema;
    const u32 data = comparison->data_side;
    if (data != 2)
        return add_series(comparison, source_of(sema, comparison->sides[1 - data]),
                          source_of(sema, comparison->sides[data]));
    Text difference;
    rxn__text_init(&difference, sema->network->arena);
    rxn__text_printf(&difference, "%s - (%s)", source_of(sema, comparison->sides[0]),
                     source_of(sema, comparison->sides[1]));
    return add_series(comparison, difference.data, "0");
}

/* Of the mean of a group's data; NaN: one row says nothing of it. */
static double
sd_of_mean(const Group *group)
{
    return group->n > 1 ? sqrt(group->squares / (group->n - 1) / group->n) : NAN;
}

/* ---- The functions ----------------------------------------------------------------------------- */

static Expr
number(FitCall *call, double value)
{
    return rxn__expr_number(call->sema->network, value);
}

static Expr
squared_difference(FitCall *call, Expr model, double data)
{
    Network *network = call->sema->network;
    Expr difference = expr_binary(network, EXPR_SUB, model, number(call, data));
    return expr_binary(network, EXPR_MUL, difference, difference);
}

/* The mean over the rows of (A - B)^2, or of |A - B|. */
static Expr
mean_difference(FitCall *call, bool squared)
{
    Comparison comparison;
    if (!read_rows(&comparison, call))
        return 0;
    Network *network = call->sema->network;
    const double rows = (double)comparison.rows;
    const u32 count = comparison.groups.count;
    Expr *terms = NEW_ARRAY(call->sema->arena, Expr, count);
    const u32 series = add_own_series(&comparison);
    double spread = 0;
    for (u32 i = 0; i < count; i++) {
        const Group *group = &comparison.groups.items[i];
        const double weight = group->n / rows;
        Expr difference = squared ? squared_difference(call, group->model, group->mean)
                                  : expr_unary(network, EXPR_ABS,
                                               expr_binary(network, EXPR_SUB, group->model,
                                                           number(call, group->mean)));
        spread += squared ? group->squares / rows : 0;
        terms[i] = expr_binary(network, EXPR_MUL, number(call, weight), difference);
        add_point(&comparison, series, group->model, group, group->mean,
                  squared ? sd_of_mean(group) : NAN, squared ? number(call, 2 * weight) : 0);
    }
    Expr sum = rxn__objective_sum(network, terms, count);
    return squared ? expr_binary(network, EXPR_ADD, sum, number(call, spread)) : sum;
}

Expr
rxn__fit_mse(FitCall *call)
{
    return mean_difference(call, true);
}

Expr
rxn__fit_mae(FitCall *call)
{
    return mean_difference(call, false);
}

/* The sample standard deviation of the rows of one comparison. */
static bool
sample_deviation(Comparison *comparison, Group *group)
{
    FitCall *call = comparison->call;
    call->loss->row = group->row;
    const char *place = rxn__fit_row_place(call->sema);
    if (group->n < 2) {
        rxn__sema_error(call->sema, call->scope->module, call->node->span,
                        "%s%sone measurement has no standard deviation", place, *place ? ": " : "");
        rxn__sema_note(
            call->sema, (Span){0},
            "give it, as in 'sd = 0.3' or 'sd = data.sd', or measure a time more than once");
        return false;
    }
    group->deviation = sqrt(group->squares / (group->n - 1));
    if (group->deviation > 0)
        return true;
    rxn__sema_error(call->sema, call->scope->module, call->node->span,
                    "%s: the measurements of this time are all the same, so their standard "
                    "deviation is 0",
                    place);
    rxn__sema_note(call->sema, (Span){0}, "give it, as in 'sd = 0.3'");
    return false;
}

/* n ((m - d)^2 + v) / (2 s^2) + n log s, s a number. */
static Expr
gaussian_known(FitCall *call, const Group *group, double *constant)
{
    Network *network = call->sema->network;
    const double weight = 1 / (2 * group->deviation * group->deviation);
    *constant += group->squares * weight + group->n * log(group->deviation);
    return expr_binary(network, EXPR_MUL, number(call, group->n * weight),
                       squared_difference(call, group->model, group->mean));
}

/* The same, s^2 and s being of the model. */
static Expr
gaussian_of_model(FitCall *call, const Group *group, Expr variance)
{
    Network *network = call->sema->network;
    Expr squares = expr_binary(network, EXPR_ADD,
                               expr_binary(network, EXPR_MUL, number(call, group->n),
                                           squared_difference(call, group->model, group->mean)),
                               number(call, group->squares));
    Expr ratio = expr_binary(network, EXPR_DIV, squares,
                             expr_binary(network, EXPR_MUL, number(call, 2), variance));
    Expr log = expr_binary(network, EXPR_MUL, number(call, group->n / 2),
                           expr_unary(network, EXPR_LOG, variance));
    return expr_binary(network, EXPR_ADD, ratio, log);
}

static Expr
square_of(Network *network, Expr sd)
{
    const ExprNode *node = expr_node(network, sd);
    return node->op == EXPR_SQRT ? node->args[0] : expr_binary(network, EXPR_MUL, sd, sd);
}

Expr
rxn__fit_gaussian(FitCall *call)
{
    Comparison comparison;
    if (!read_rows(&comparison, call))
        return 0;
    Sema *sema = call->sema;
    Network *network = sema->network;
    const u32 count = comparison.groups.count, series = add_own_series(&comparison);
    u32 sd_series = 0;
    double constant = 0;
    Expr *terms = NEW_ARRAY(sema->arena, Expr, count);
    for (u32 i = 0; i < count; i++) {
        Group *group = &comparison.groups.items[i];
        if (!comparison.sd && !call->loss->unknown && !sample_deviation(&comparison, group))
            return 0;
        if (group->sd == 0) {
            terms[i] = gaussian_known(call, group, &constant);
            const double s = group->deviation;
            add_point(&comparison, series, group->model, group, group->mean, s / sqrt(group->n),
                      number(call, group->n / (s * s)));
            continue;
        }
        Expr variance = square_of(network, group->sd);
        terms[i] = gaussian_of_model(call, group, variance);
        add_point(&comparison, series, group->model, group, group->mean, sd_of_mean(group),
                  expr_binary(network, EXPR_DIV, number(call, group->n), variance));
    }
    /* What the model says of the standard deviation is a comparison of its own. */
    for (u32 i = 0; i < count && call->of_ensemble; i++) {
        const Group *group = &comparison.groups.items[i];
        if (group->sd == 0)
            continue;
        if (sd_series == 0)
            sd_series =
                1 + add_series(&comparison, source_of(sema, comparison.sd), "sd of the data");
        const double sample = group->n > 1 ? sqrt(group->squares / (group->n - 1)) : NAN;
        add_point(&comparison, sd_series - 1, group->sd, group, sample,
                  group->n > 1 ? sample / sqrt(2 * (group->n - 1)) : NAN,
                  expr_binary(network, EXPR_DIV, number(call, 2 * group->n),
                              square_of(network, group->sd)));
    }
    Expr sum = rxn__objective_sum(network, terms, count);
    return expr_binary(network, EXPR_ADD, sum, number(call, constant));
}
