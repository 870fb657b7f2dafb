/* fit_distribution: the functions of a loss that compare distributions: cramer, chi_square.
 *
 * The rows of one time are a sample of single counts (cells of a snapshot, say), against the distribution of the
 * model's number A at that time. With n_t of n rows at time t, F the part of them below an edge e and q that in a bin,
 *
 *     cramer(A, data.A)      Σ_t n_t/n Σ_e w_e (P(A < e) - F)²         ∫ (P(A < x) - F(x))² dx by the trapezoidal rule:
 *     w_e is
 *                                                                      half the distance between the neighbours of e
 *     chi_square(A, data.A)  Σ_t n_t Σ_b (P(A in b) - q)²/q            Neyman's: the bins are between edges, and
 *                                                                      before the first and behind the last
 *
 * written out as sums of squared differences of expectations, so that every estimator takes them which takes
 * `mse(probability(A < e), F)`. Edges are given behind the two arguments, or found in the data.
 *
 * Edges of cramer by themselves: every count from the least to the greatest of all rows where there are no more than
 * `bins` of these; else quantiles of all rows. There the probabilities of a model that is far off are all 0 or all 1,
 * and their derivatives 0. So that it sees where the data are,
 *
 *     (E max(first - A, 0)² + E max(A - last, 0)²) / (last - first)
 *
 * with the square outside of E, is added: of what is beyond the first and the last edge, where no data are. Those of
 * chi_square: quantiles of each time's own rows, at least FEWEST_IN_BIN of which are in a bin.
 *
 * Each edge (or bin) is a point of the fit, each time a series. The data of one are not independent: see add_term.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/sema/fit_private.h"

enum {
    DEFAULT_EDGES = 20, /* of cramer */
    DEFAULT_BINS = 10,  /* of chi_square */
    MOST_EDGES = 200,
    FEWEST_IN_BIN = 5, /* W. G. Cochran, Ann. Math. Stat. 23 (1952) 315 */
};

/* The rows of one time. */
typedef struct Sample {
    Expr model;
    double time; /* NaN: the model's expression says it */
    u64 row;     /* the first */
    VEC(double) values;
} Sample;

typedef struct Snapshots {
    FitCall *call;
    bool of_bins;
    const AstNode *model, *data;
    bool is_count; /* the model's number is a species' */
    u32 bins;
    VEC(double) given;
    VEC(double) edges; /* of all rows together, or of the present sample */
    double low;        /* the least of all data, where edges are found in them */
    VEC(Sample) samples;
    FitIndex index;
    u64 rows;
} Snapshots;

/* ---- what the call says ------------------------------------------------------------------------ */

static bool
read_edge(Snapshots *d, const AstNode *node)
{
    FitCall *call = d->call;
    double edge;
    if (rxn__fit_first_column(node)) {
        rxn__sema_error(call->sema, call->scope->module, node->span,
                        "an edge of '%s' is the same for all rows, and this is of data",
                        call->name);
        return false;
    }
    if (!rxn__sema_constant(call->sema, call->scope, node, "an edge", &edge))
        return false;
    const u32 count = d->given.count;
    if (count > 0 && edge <= d->given.items[count - 1]) {
        rxn__sema_error(call->sema, call->scope->module, node->span,
                        "the edges of '%s' must rise, and %g comes after %g", call->name, edge,
                        d->given.items[count - 1]);
        return false;
    }
    if (count == MOST_EDGES) {
        rxn__sema_error(call->sema, call->scope->module, node->span, "'%s' takes at most %d edges",
                        call->name, (int)MOST_EDGES);
        return false;
    }
    vec_push(call->sema->arena, &d->given, edge + 0.0);
    return true;
}

static bool
read_arguments(Snapshots *d, FitCall *call)
{
    const AstNode *node = call->node;
    *d = (Snapshots){.call = call,
                     .of_bins = strcmp(call->name, "chi_square") == 0,
                     .model = node->kids[0],
                     .data = node->kids[1],
                     .rows = rxn__fit_row_count(call->loss)};
    d->bins = d->of_bins ? DEFAULT_BINS : DEFAULT_EDGES;
    for (u32 k = 2; k < node->kid_count; k++) {
        if (node->kids[k]->kind != AST_NAMED) {
            if (!read_edge(d, node->kids[k]))
                return false;
            continue;
        }
        i64 bins;
        const AstNode *value = node->kids[k]->kids[0];
        if (!rxn__sema_whole(call->sema, call->scope, value, "'bins'", &bins))
            return false;
        if (bins < 2 || bins > MOST_EDGES) {
            rxn__sema_error(call->sema, call->scope->module, value->span, "'bins' takes 2 .. %d",
                            (int)MOST_EDGES);
            return false;
        }
        d->bins = (u32)bins;
    }
    d->is_count = rxn__fit_bare_count(call->sema, call->scope, d->model) != NULL;
    return true;
}

/* ---- rows -------------------------------------------------------------------------------------- */

/* The number that was measured in the present row. */
static bool
read_datum(Snapshots *d, double *ret_datum)
{
    FitCall *call = d->call;
    Sema *sema = call->sema;
    Expr value = rxn__fit_argument(call, &call->arguments, d->data);
    if (value == 0)
        return false;
    if (!rxn__fit_is_numeric(sema, value, ret_datum)) {
        rxn__sema_error(
            sema, call->scope->module, d->data->span,
            "the second argument of '%s' is what was measured, and this is of the model",
            call->name);
        rxn__sema_note(sema, (Span){0}, "as in '%s(%s, data.X)'", call->name,
                       rxn__sema_show_source(sema, d->model));
        return false;
    }
    if (call->loss->unknown)
        return true;
    const char *place = rxn__fit_row_place(sema), *colon = *place ? ": " : "";
    if (!isfinite(*ret_datum)) {
        rxn__sema_error(sema, call->scope->module, d->data->span, "%s%sthis is %s here", place,
                        colon, isnan(*ret_datum) ? "undefined" : "infinite");
        return false;
    }
    if (!d->is_count || (*ret_datum >= 0 && *ret_datum == floor(*ret_datum)))
        return true;
    rxn__sema_error(sema, call->scope->module, d->data->span,
                    "%s%sthis is %g, and '%s' is a count: a whole number, 0 or more", place, colon,
                    *ret_datum, rxn__sema_show_source(sema, d->model));
    rxn__sema_note(sema, (Span){0},
                   "where data were scaled, scale the count as well, as in '%s(0.1 * %s, %s)'",
                   call->name, rxn__sema_show_source(sema, d->model),
                   rxn__sema_show_source(sema, d->data));
    return false;
}

static bool
read_rows(Snapshots *d)
{
    FitCall *call = d->call;
    Sema *sema = call->sema;
    FitLoss *loss = call->loss;
    const bool moves = rxn__fit_first_column(d->model) != NULL;
    Expr model = 0;
    for (loss->row = 0; loss->row < d->rows; loss->row++) {
        double datum;
        if (model == 0 || moves)
            model = rxn__fit_argument(call, &call->arguments, d->model);
        if (model == 0 || !read_datum(d, &datum))
            return false;
        const bool has_time = loss->table && loss->time != FIT_NO_COLUMN &&
                              rxn__objective_needs_time(sema->objective, model);
        u32 entry;
        FitKey key = {.a = model, .x = has_time ? loss->table->values[loss->time][loss->row] : 0};
        if (rxn__fit_index_add(sema->arena, &d->index, key, &entry)) {
            Sample sample = {.model = model, .time = has_time ? key.x : NAN, .row = loss->row};
            vec_push(sema->arena, &d->samples, sample);
        }
        vec_push(sema->arena, &d->samples.items[entry].values, datum);
    }
    return true;
}

static int
compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- edges ------------------------------------------------------------------------------------- */

static void
add_edge(Snapshots *d, double edge)
{
    if (d->edges.count == 0 || edge > d->edges.items[d->edges.count - 1])
        vec_push(d->call->sema->arena, &d->edges, edge);
}

static bool
are_whole(const double *values, u64 count)
{
    for (u64 k = 0; k < count; k++)
        if (values[k] != floor(values[k]) || fabs(values[k]) > 1e15)
            return false;
    return true;
}

/* Between a value and the next larger one. */
static double
edge_behind(const double *values, u64 at, bool whole)
{
    return whole ? values[at] + 1 : values[at] + 0.5 * (values[at + 1] - values[at]);
}

/* Of all rows, values in order. */
static void
find_edges(Snapshots *d, const double *values, u64 count)
{
    const bool whole = are_whole(values, count);
    const double low = values[0], high = values[count - 1];
    const double span = high > low ? high - low : 1, step = whole ? 1 : span / d->bins;
    d->low = low;
    /* Nothing is below a count of 0. */
    if (!d->is_count || low > 0)
        add_edge(d, low);
    if (whole && high - low < d->bins) {
        for (double edge = low + 1; edge <= high; edge++)
            add_edge(d, edge);
    } else {
        for (u32 k = 1; k < d->bins; k++) {
            u64 at = (u64)((double)count * k / d->bins);
            while (at > 0 && at + 1 < count && values[at] == values[at + 1])
                at++;
            if (at + 1 < count)
                add_edge(d, edge_behind(values, at, whole));
        }
    }
    add_edge(d, high + step);
}

/* Of the rows of one time, values in order: bins of equally many, as far as equal values let them. */
static void
find_bins(Snapshots *d, const double *values, u64 count)
{
    const bool whole = are_whole(values, count);
    double least = (double)count / d->bins;
    if (least < FEWEST_IN_BIN)
        least = FEWEST_IN_BIN;
    u64 begun = 0;
    d->edges.count = 0;
    for (u64 k = 0; k + 1 < count; k++) {
        bool ends = values[k + 1] > values[k];
        if (ends && (double)(k + 1 - begun) >= least && (double)(count - k - 1) >= least) {
            add_edge(d, edge_behind(values, k, whole));
            begun = k + 1;
        }
    }
}

static u64
count_below(const Sample *sample, double edge)
{
    u64 low = 0, high = sample->values.count;
    while (low < high) {
        u64 middle = low + (high - low) / 2;
        if (sample->values.items[middle] < edge)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void
find_common_edges(Snapshots *d)
{
    Arena *arena = d->call->sema->arena;
    double *all = NEW_ARRAY(arena, double, d->rows);
    u64 count = 0;
    for (u32 s = 0; s < d->samples.count; s++) {
        const Sample *sample = &d->samples.items[s];
        memcpy(all + count, sample->values.items, sample->values.count * sizeof *all);
        count += sample->values.count;
    }
    qsort(all, count, sizeof *all, compare_numbers);
    find_edges(d, all, count);
}

/* ---- the sum ----------------------------------------------------------------------------------- */

typedef struct Terms {
    VEC(Expr) items;
} Terms;

/* The probability that low <= A < high (infinite: no such condition), as an output has it. 0: reported. */
static Expr
probability(Snapshots *d, const Sample *sample, double low, double high)
{
    FitCall *call = d->call;
    Network *network = call->sema->network;
    Expr condition = 0;
    if (isfinite(high))
        condition = expr_binary(network, EXPR_LT, sample->model, rxn__expr_number(network, high));
    if (isfinite(low)) {
        Expr above = expr_binary(network, EXPR_LE, rxn__expr_number(network, low), sample->model);
        condition = condition ? expr_binary(network, EXPR_AND, above, condition) : above;
    }
    Expr is =
        rxn__expr(network, EXPR_SELECT,
                  (Expr[]){condition, rxn__expr_number(network, 1), rxn__expr_number(network, 0)});
    call->loss->row = sample->row;
    Expr atoms = rxn__fit_normal(call, d->model, is);
    return atoms ? rxn__objective_expected(call->sema->objective, atoms) : 0;
}

/* weight (model - datum)², and its point; `place`: x. */
static void
add_term(Snapshots *d, Terms *terms, u32 series, const Sample *sample, Expr model, double datum,
         double weight, double place)
{
    FitCall *call = d->call;
    Network *network = call->sema->network;
    const double n = (double)sample->values.count;
    Expr difference = expr_binary(network, EXPR_SUB, model, rxn__expr_number(network, datum));
    Expr square = expr_binary(network, EXPR_MUL, difference, difference);
    Expr term = expr_binary(network, EXPR_MUL, rxn__expr_number(network, weight), square);
    vec_push(call->sema->arena, &terms->items, term);
    /* The covariance of the parts of a sample in its bins is (q_b δ_bc - q_b q_c) / n. The second is of no account where
     * all bins are compared, each with the weight 1/q, for then Σ c q ∇p is that of 1; so sd² = q_b / n. */
    FitPoint point = {.series = series,
                      .x = place,
                      .data = datum,
                      .sd = d->of_bins ? sqrt(datum / n) : sqrt(datum * (1 - datum) / n),
                      .cumulative = !d->of_bins,
                      .rows = n};
    rxn__fit_add_point(call, model, rxn__expr_number(network, 2 * weight), &point);
}

/* Its name says the time, where it has one. */
static u32
add_series(Snapshots *d, const Sample *sample, const char *form)
{
    FitCall *call = d->call;
    Sema *sema = call->sema;
    Text model, data, axis;
    rxn__text_init(&axis, sema->network->arena);
    rxn__text_init(&model, sema->network->arena);
    rxn__text_init(&data, sema->network->arena);
    const char *source = rxn__sema_show_source(sema, d->model);
    const char *gap = strstr(form, "%s");
    rxn__text_printf(&model, "%.*s%s%s", (int)(gap - form), form, source, gap + 2);
    if (!isnan(sample->time))
        rxn__text_printf(&model, " at %g", sample->time);
    else if (d->samples.count > 1)
        rxn__text_printf(&model, " in row %llu", (unsigned long long)sample->row + 1);
    rxn__ast_print_source(d->data, &data);
    rxn__ast_print_source(d->model, &axis);
    FitSeries series = {.model = model.data, .data = data.data, .axis = axis.data};
    vec_push(sema->network->arena, &call->loss->fit->series, series);
    return call->loss->fit->series.count - 1;
}

/* How far A is beyond the edge: E max(A - edge, 0), or E max(edge - A, 0) where it is the first. */
static bool
add_beyond(Snapshots *d, const Sample *sample, Terms *terms, double edge, bool first, double span)
{
    FitCall *call = d->call;
    Network *network = call->sema->network;
    const double n = (double)sample->values.count;
    Expr at = rxn__expr_number(network, edge);
    Expr beyond = first ? expr_binary(network, EXPR_SUB, at, sample->model)
                        : expr_binary(network, EXPR_SUB, sample->model, at);
    call->loss->row = sample->row;
    Expr atoms = rxn__fit_normal(
        call, d->model, expr_binary(network, EXPR_MAX, beyond, rxn__expr_number(network, 0)));
    if (atoms == 0)
        return false;
    Expr model = rxn__objective_expected(call->sema->objective, atoms);
    const double weight = n / (double)d->rows / span;
    vec_push(call->sema->arena, &terms->items,
             expr_binary(network, EXPR_MUL, rxn__expr_number(network, weight),
                         expr_binary(network, EXPR_MUL, model, model)));
    FitPoint point = {.series = add_series(d, sample, first ? "max(x - %s, 0)" : "max(%s - x, 0)"),
                      .x = edge,
                      .rows = n};
    call->loss->fit->series.items[point.series].aside = true;
    rxn__fit_add_point(call, model, rxn__expr_number(network, 2 * weight), &point);
    return true;
}

static bool
add_cumulative(Snapshots *d, const Sample *sample, Terms *terms)
{
    const u32 series = add_series(d, sample, "P(%s < x)"), count = d->edges.count;
    const double *edges = d->edges.items, n = (double)sample->values.count;
    for (u32 k = 0; k < count; k++) {
        double before = edges[k ? k - 1 : 0], behind = edges[k + 1 < count ? k + 1 : k];
        double width = count == 1 ? 1 : (behind - before) / (k > 0 && k + 1 < count ? 2 : 1);
        Expr model = probability(d, sample, -INFINITY, edges[k]);
        if (model == 0)
            return false;
        add_term(d, terms, series, sample, model, (double)count_below(sample, edges[k]) / n,
                 width * n / (double)d->rows, edges[k]);
    }
    if (d->given.count > 0)
        return true;
    const double first = edges[0], last = edges[count - 1], span = count > 1 ? last - first : 1;
    return (first > d->low || add_beyond(d, sample, terms, first, true, span)) &&
           add_beyond(d, sample, terms, last, false, span);
}

static bool
bin_error(Snapshots *d, const Sample *sample, double low, double high)
{
    FitCall *call = d->call;
    Sema *sema = call->sema;
    Text bin;
    rxn__text_init(&bin, sema->arena);
    if (isfinite(low) && isfinite(high))
        rxn__text_printf(&bin, "from %g to below %g", low, high);
    else if (isfinite(low))
        rxn__text_printf(&bin, "from %g on", low);
    else
        rxn__text_printf(&bin, "below %g", high);
    call->loss->row = sample->row;
    if (isnan(sample->time))
        rxn__sema_error(sema, call->scope->module, call->node->span, "no datum is %s", bin.data);
    else
        rxn__sema_error(sema, call->scope->module, call->node->span, "at time %g no datum is %s",
                        sample->time, bin.data);
    rxn__sema_note(
        sema, (Span){0},
        "'chi_square' divides by how many there are: leave out an edge, or take 'cramer'");
    return false;
}

static bool
add_bins(Snapshots *d, const Sample *sample, Terms *terms)
{
    const double n = (double)sample->values.count;
    if (d->given.count == 0)
        find_bins(d, sample->values.items, sample->values.count);
    const u32 count = d->edges.count;
    if (count == 0) {
        FitCall *call = d->call;
        Text when;
        rxn__text_init(&when, call->sema->arena);
        if (!isnan(sample->time))
            rxn__text_printf(&when, "at time %g ", sample->time);
        rxn__sema_error(call->sema, call->scope->module, call->node->span,
                        "%sthe data do not fill two bins, with %d in each at least", when.data,
                        (int)FEWEST_IN_BIN);
        rxn__sema_note(call->sema, (Span){0},
                       "take 'cramer', or give edges, as in '%s(%s, %s, 10)'", call->name,
                       rxn__sema_show_source(call->sema, d->model),
                       rxn__sema_show_source(call->sema, d->data));
        return false;
    }
    const u32 series = add_series(d, sample, "bins of %s");
    for (u32 k = 0; k <= count; k++) {
        double low = k ? d->edges.items[k - 1] : -INFINITY;
        double high = k < count ? d->edges.items[k] : INFINITY;
        u64 inside = (k < count ? count_below(sample, high) : sample->values.count) -
                     (k ? count_below(sample, low) : 0);
        if (inside == 0)
            return bin_error(d, sample, low, high);
        Expr model = probability(d, sample, low, high);
        if (model == 0)
            return false;
        double part = (double)inside / n;
        add_term(d, terms, series, sample, model, part, n / part, k ? low : high);
    }
    return true;
}

Expr
rxn__fit_distribution(FitCall *call)
{
    Snapshots d;
    Terms terms = {0};
    if (!read_arguments(&d, call) || !read_rows(&d))
        return 0;
    if (call->loss->unknown)
        return rxn__expr_number(call->sema->network, 1);
    for (u32 s = 0; s < d.samples.count; s++)
        qsort(d.samples.items[s].values.items, d.samples.items[s].values.count, sizeof(double),
              compare_numbers);
    for (u32 k = 0; k < d.given.count; k++)
        add_edge(&d, d.given.items[k]);
    if (d.given.count == 0 && !d.of_bins)
        find_common_edges(&d);
    for (u32 s = 0; s < d.samples.count; s++) {
        const Sample *sample = &d.samples.items[s];
        if (!(d.of_bins ? add_bins(&d, sample, &terms) : add_cumulative(&d, sample, &terms)))
            return 0;
    }
    call->of_ensemble = true; /* what stands here is made of expectations now */
    return rxn__objective_sum(call->sema->network, terms.items.items, terms.items.count);
}
