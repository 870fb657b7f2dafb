/* gradient.c: the sums behind gradient.h.
 *
 * A batch is gone over twice: for the means, then for the influence of each trajectory about them. What
 * the sums are over is a `target`: a parameter, or a leaf where each parameter is a multiple of one leaf
 * (then nothing has to be carried over row by row, however many parameters there are).
 *
 * The derivatives of an output at which the influence is taken are those at the means of all batches so
 * far; the influence itself is centred by the batch's own means, so that its mean is zero.
 */
#include "runtime/gradient.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_BYTES = 256 << 20,
    BATCH_LEAST = 8, /* trajectories (for each leaf): a smaller batch would be centred badly */
};

struct RxnGradient {
    RxnGradientSpec spec;
    uint32_t sets; /* of contributions: one for each functional, or each output */
    uint32_t targets;
    bool by_leaf;  /* a target is a leaf */
    uint64_t unit; /* rows that serve all leaves once */

    double *rows;                            /* of the batch */
    uint64_t batch, batches, filled, wanted; /* rows in it so far, and when it is whole */
    uint64_t done;                           /* rows of the batches before */

    /* Of the batch. */
    double *mean_value, *mean_controlled; /* [functionals]: of F, of Y = F - M */
    double *mean_c;                       /* [sets][targets] */
    /* Of all batches so far, this one included. */
    double *all_value, *all_controlled, *all_c;
    double *value_squares, *plain_squares; /* [outputs] */
    double *squares;                       /* [outputs][targets]: of the influences */
    /* [sets][targets], where derivatives are attenuated: squares of c about its batch's mean; k of its mean */
    double *c_squares, *known;
    double *diagnostics;

    double *c;              /* [sets][leaves] of one row */
    double *mapped;         /* [sets][targets] of one row; c itself where targets are leaves */
    double *slope;          /* [targets][functionals]: of the influence by F_j, for one output */
    bool *is_sloped;        /* [functionals]: slope is not zero */
    double *deviates;       /* [functionals]: Y - mean of one row */
    RxnOutputValues values; /* with room for the widest output */

    RxnGradientResult result;
    void **owned; /* every allocation, to be freed */
    uint32_t owned_count, owned_room;
    bool failed;
};

/* ---- storage ----------------------------------------------------------------------------------- */

static double *
numbers(RxnGradient *g, uint64_t count)
{
    double *memory = calloc(count + 1, sizeof(double));
    if (!memory || g->owned_count == g->owned_room) {
        free(memory);
        g->failed = true;
        return NULL;
    }
    return g->owned[g->owned_count++] = memory;
}

static bool
has_single_leaves(const RxnLeafMap *map)
{
    for (uint32_t p = 0; p < map->parameters; p++)
        if (map->start[p + 1] - map->start[p] > 1)
            return false;
    return true;
}

static bool
has_mixed(const RxnGradientSpec *spec)
{
    for (uint32_t k = 0; k < spec->output_count; k++)
        if (spec->outputs[k].mixed_count)
            return true;
    return false;
}

static uint64_t
batch_end(const RxnGradient *g, uint64_t batch)
{
    /* n * (batch + 1) / batches without the product, which may overflow. */
    uint64_t n = g->spec.trajectories, k = batch + 1;
    return g->unit * (n / g->batches * k + n % g->batches * k / g->batches);
}

static void
divide(RxnGradient *g)
{
    const RxnGradientSpec *spec = &g->spec;
    size_t limit = spec->batch_bytes ? spec->batch_bytes : BATCH_BYTES;
    uint64_t most = limit / (g->unit * spec->layout.columns * sizeof(double));
    if (most < BATCH_LEAST)
        most = BATCH_LEAST;
    g->batches = spec->trajectories / most + (spec->trajectories % most != 0);
    if (g->batches > spec->trajectories / 2)
        g->batches = spec->trajectories / 2;
    if (g->batches == 0)
        g->batches = 1;
    g->wanted = batch_end(g, 0);
}

static void
make_room(RxnGradient *g)
{
    const RxnGradientSpec *spec = &g->spec;
    const RxnGradientLayout *layout = &spec->layout;
    uint64_t functionals = layout->functionals, targets = g->targets, outputs = spec->output_count;
    uint64_t sets = g->sets;
    /* The division makes batches that differ by one trajectory at most. */
    g->rows = numbers(g, (g->wanted + g->unit) * layout->columns);
    g->mean_value = numbers(g, functionals);
    g->mean_controlled = numbers(g, functionals);
    g->mean_c = numbers(g, sets * targets);
    g->all_value = numbers(g, functionals);
    g->all_controlled = numbers(g, functionals);
    g->all_c = numbers(g, sets * targets);
    g->value_squares = numbers(g, outputs);
    g->plain_squares = numbers(g, outputs);
    g->squares = numbers(g, outputs * targets);
    if (spec->attenuated) {
        g->c_squares = numbers(g, sets * targets);
        g->known = numbers(g, sets * targets);
    }
    g->diagnostics = numbers(g, layout->diagnostics);
    g->c = numbers(g, sets * (layout->one_leaf ? 1 : layout->leaves));
    g->mapped = g->by_leaf ? g->c : numbers(g, sets * targets);
    g->slope = numbers(g, functionals * targets);
    g->is_sloped = (bool *)numbers(g, functionals);
    g->deviates = numbers(g, functionals);
    uint32_t first = 0, second = 0, direct = 0, mixed = 0;
    for (uint32_t k = 0; k < outputs; k++) {
        const RxnOutput *output = &spec->outputs[k];
        first = output->first_count > first ? output->first_count : first;
        second = output->second_count > second ? output->second_count : second;
        direct = output->direct_count > direct ? output->direct_count : direct;
        mixed = output->mixed_count > mixed ? output->mixed_count : mixed;
    }
    g->values = (RxnOutputValues){.first = numbers(g, first),
                                  .second = numbers(g, second),
                                  .direct = numbers(g, direct),
                                  .mixed = numbers(g, mixed)};
    g->result = (RxnGradientResult){
        .value = numbers(g, outputs),
        .value_se = numbers(g, outputs),
        .plain_value = numbers(g, outputs),
        .plain_value_se = numbers(g, outputs),
        .gradient = numbers(g, outputs * spec->map.parameters),
        .sd = numbers(g, outputs * spec->map.parameters),
        .diagnostics = g->diagnostics,
    };
}

uint64_t
rxn__gradient_rows_wanted(const RxnGradientSpec *spec)
{
    return spec->trajectories * (spec->layout.one_leaf ? spec->layout.leaves : 1);
}

RxnGradient *
rxn__gradient_new(const RxnGradientSpec *spec)
{
    enum { OWNED = 32 };
    RxnGradient *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->spec = *spec;
    g->by_leaf = !spec->map.start || (has_single_leaves(&spec->map) && !has_mixed(spec));
    g->sets = spec->layout.by_output ? spec->output_count : spec->layout.functionals;
    g->targets = g->by_leaf ? spec->layout.leaves : spec->map.parameters;
    g->unit = spec->layout.one_leaf && spec->layout.leaves ? spec->layout.leaves : 1;
    g->owned = calloc(OWNED, sizeof *g->owned);
    g->owned_room = OWNED;
    if (g->owned) {
        divide(g);
        make_room(g);
    }
    if (!g->owned || g->failed) {
        rxn__gradient_free(g);
        return NULL;
    }
    return g;
}

void
rxn__gradient_free(RxnGradient *g)
{
    if (!g)
        return;
    for (uint32_t k = 0; k < g->owned_count; k++)
        free(g->owned[k]);
    free(g->owned);
    free(g);
}

/* ---- one row ----------------------------------------------------------------------------------- */

static const double *
row_of(const RxnGradient *g, uint64_t k)
{
    return g->rows + k * g->spec.layout.columns;
}

static double
controlled(const RxnGradientLayout *layout, const double *row, uint32_t i)
{
    double value = row[layout->value + i];
    return layout->has_control ? value - row[layout->control + i] : value;
}

/* c[i] of a row, carried over to the targets: mapped[i]. Needs the batch's mean of Y. */
static void
contribute(RxnGradient *g, const double *row, uint32_t i)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    uint32_t leaves = layout->one_leaf ? 1 : layout->leaves;
    double *c = g->c + (size_t)i * leaves;
    const double *direct = row + layout->direct + (size_t)i * leaves;
    if (layout->has_score) {
        /* Y - b, b being the mean of the others. A lone trajectory has no others: b = 0. */
        double n = (double)g->wanted, y = controlled(layout, row, i);
        double weight = n > 1 ? n / (n - 1) * (y - g->mean_controlled[i]) : y;
        const double *score = row + layout->score + (size_t)i * leaves;
        for (uint32_t l = 0; l < leaves; l++)
            c[l] = weight * score[l] + (layout->has_direct ? direct[l] : 0);
    } else {
        memcpy(c, direct, leaves * sizeof *c);
    }
    if (g->by_leaf)
        return;
    const RxnLeafMap *map = &g->spec.map;
    double *mapped = g->mapped + (size_t)i * g->targets;
    for (uint32_t p = 0; p < map->parameters; p++) {
        double sum = 0;
        for (uint64_t e = map->start[p]; e < map->start[p + 1]; e++)
            sum += map->weight[e] * c[map->leaf[e]];
        mapped[p] = sum;
    }
}

/* ---- one batch --------------------------------------------------------------------------------- */

static void
batch_values(RxnGradient *g)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    double n = (double)g->wanted;
    for (uint32_t i = 0; i < layout->functionals; i++) {
        double plain = 0, y = 0;
        for (uint64_t k = 0; k < g->wanted; k++) {
            plain += row_of(g, k)[layout->value + i];
            y += controlled(layout, row_of(g, k), i);
        }
        g->mean_value[i] = plain / n;
        g->mean_controlled[i] = y / n;
    }
}

static void
add_contribution(RxnGradient *g, size_t cell, double c)
{
    g->mean_c[cell] += c;
    if (g->c_squares)
        g->c_squares[cell] += c * c;
}

static void
batch_contributions(RxnGradient *g)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    size_t cells = (size_t)g->sets * g->targets;
    memset(g->mean_c, 0, cells * sizeof(double));
    for (uint64_t k = 0; k < g->wanted; k++) {
        for (uint32_t i = 0; i < g->sets; i++)
            contribute(g, row_of(g, k), i);
        if (layout->one_leaf) {
            uint64_t leaf = k % g->unit;
            for (uint32_t i = 0; i < g->sets; i++)
                add_contribution(g, i * (size_t)g->targets + leaf, g->c[i]);
        } else {
            for (size_t cell = 0; cell < cells; cell++)
                add_contribution(g, cell, g->mapped[cell]);
        }
    }
    double served = (double)(g->wanted / g->unit);
    for (size_t cell = 0; cell < cells; cell++) {
        g->mean_c[cell] /= served;
        if (g->c_squares)
            g->c_squares[cell] -= served * g->mean_c[cell] * g->mean_c[cell];
    }
}

/* mean of all += (mean of batch - mean of all) * its share: the same number stays what it is. */
static void
merge(double *all, const double *batch, size_t count, double share)
{
    for (size_t k = 0; k < count; k++)
        all[k] += (batch[k] - all[k]) * share;
}

/* Of the batches so far, the present one among them. */
static void
find_known(RxnGradient *g)
{
    double served = (double)((g->done + g->wanted) / g->unit);
    double freedom = served - (double)(g->batch + 1);
    size_t cells = (size_t)g->sets * g->targets;
    for (size_t cell = 0; g->known && cell < cells; cell++) {
        double square = g->all_c[cell] * g->all_c[cell];
        double noise = freedom > 0 ? fmax(g->c_squares[cell], 0) / freedom / served : 0;
        g->known[cell] = square > 4 * noise ? 1 - 16 * (noise / square) * (noise / square) : 0;
    }
}

static double
known(const RxnGradient *g, size_t cell)
{
    return g->known ? g->known[cell] : 1;
}

static void
linearize(RxnGradient *g, uint32_t output, const double *means)
{
    g->spec.linearize(g->spec.linearize_context, output, means, &g->values);
}

/* slope[t][j] = sum_i G_ij mean(c_it) + G_tj; returns whether any of it is not zero by structure. */
static bool
find_slopes(RxnGradient *g, const RxnOutput *output)
{
    uint32_t functionals = g->spec.layout.functionals;
    if (output->second_count == 0 && output->mixed_count == 0)
        return false;
    memset(g->slope, 0, (size_t)functionals * g->targets * sizeof(double));
    memset(g->is_sloped, 0, functionals * sizeof(bool));
    for (uint32_t e = 0; e < output->second_count; e++) {
        uint32_t i = output->second[e].a, j = output->second[e].b;
        g->is_sloped[j] = true;
        for (uint32_t t = 0; t < g->targets; t++) {
            size_t cell = (size_t)i * g->targets + t;
            g->slope[(size_t)t * functionals + j] +=
                g->values.second[e] * known(g, cell) * g->all_c[cell];
        }
    }
    for (uint32_t e = 0; e < output->mixed_count; e++) {
        uint32_t p = output->mixed[e].a, j = output->mixed[e].b;
        g->is_sloped[j] = true;
        g->slope[(size_t)p * functionals + j] += g->values.mixed[e];
    }
    return true;
}

static double
sloped(const RxnGradient *g, uint32_t target)
{
    uint32_t functionals = g->spec.layout.functionals;
    const double *slope = g->slope + (size_t)target * functionals;
    double sum = 0;
    for (uint32_t j = 0; j < functionals; j++)
        if (g->is_sloped[j])
            sum += slope[j] * g->deviates[j];
    return sum;
}

/* The sets of contributions that an output is made of, and its derivatives by them. */
typedef struct Parts {
    uint32_t count;
    const uint32_t *sets;
    const double *factors;
} Parts;

static Parts
parts_of(const RxnGradient *g, const uint32_t *output)
{
    static const double one = 1;
    const RxnOutput *shape = &g->spec.outputs[*output];
    if (g->spec.layout.by_output)
        return (Parts){1, output, &one};
    return (Parts){shape->first_count, shape->first, g->values.first};
}

/* The influence of one row on one output's derivatives; its squares are added up. */
static void
add_influence(RxnGradient *g, const Parts *parts, uint64_t row, bool has_slope, double *squares)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    for (uint32_t t = 0; t < g->targets; t++) {
        bool serves = !layout->one_leaf || row % g->unit == t;
        double influence = 0;
        for (uint32_t e = 0; serves && e < parts->count; e++) {
            size_t cell = (size_t)parts->sets[e] * g->targets + t;
            double c = layout->one_leaf ? g->c[parts->sets[e]] : g->mapped[cell];
            double k = known(g, cell);
            influence += k > 0 ? parts->factors[e] * (4 - 3 * k) * (c - g->mean_c[cell]) : 0;
        }
        /* Means of F are over the trajectories of all leaves, so each counts less there. */
        if (has_slope)
            influence += sloped(g, t) / (double)g->unit;
        squares[t] += influence * influence;
    }
}

static void
batch_influences(RxnGradient *g)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    for (uint32_t o = 0; o < g->spec.output_count; o++) {
        const RxnOutput *output = &g->spec.outputs[o];
        linearize(g, o, g->all_controlled);
        bool has_slope = !layout->by_output && find_slopes(g, output);
        Parts parts = parts_of(g, &o);
        for (uint64_t k = 0; k < g->wanted; k++) {
            const double *row = row_of(g, k);
            double value = 0, plain = 0;
            for (uint32_t j = 0; j < layout->functionals; j++)
                g->deviates[j] = controlled(layout, row, j) - g->mean_controlled[j];
            for (uint32_t e = 0; e < output->first_count; e++) {
                uint32_t i = output->first[e];
                value += g->values.first[e] * g->deviates[i];
                plain += g->values.first[e] * (row[layout->value + i] - g->mean_value[i]);
            }
            g->value_squares[o] += value * value;
            g->plain_squares[o] += plain * plain;
            for (uint32_t e = 0; e < parts.count; e++)
                contribute(g, row, parts.sets[e]);
            add_influence(g, &parts, k, has_slope, g->squares + (size_t)o * g->targets);
        }
    }
}

static void
batch_diagnostics(RxnGradient *g)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    for (uint32_t d = 0; d < layout->diagnostics; d++) {
        double most = g->done ? g->diagnostics[d] : -INFINITY, sum = 0;
        for (uint64_t k = 0; k < g->wanted; k++) {
            double value = row_of(g, k)[layout->diagnostic + d];
            sum += value;
            if (isnan(value) || value > most)
                most = isnan(most) ? most : value;
        }
        g->diagnostics[d] = layout->is_max[d] ? most : g->diagnostics[d] + sum;
    }
}

static void
finish_batch(RxnGradient *g)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    double share = (double)g->wanted / (double)(g->done + g->wanted);
    batch_values(g);
    batch_contributions(g);
    merge(g->all_value, g->mean_value, layout->functionals, share);
    merge(g->all_controlled, g->mean_controlled, layout->functionals, share);
    merge(g->all_c, g->mean_c, (size_t)g->sets * g->targets, share);
    find_known(g);
    batch_influences(g);
    batch_diagnostics(g);
    g->done += g->wanted;
    g->filled = 0;
    g->batch++;
    if (g->batch < g->batches)
        g->wanted = batch_end(g, g->batch) - g->done;
}

bool
rxn__gradient_take(void *context, uint64_t first, uint64_t count, const double *rows,
                   const uint64_t *events)
{
    RxnGradient *g = context;
    size_t columns = g->spec.layout.columns;
    (void)first;
    (void)events;
    while (count > 0 && g->batch < g->batches) {
        uint64_t room = g->wanted - g->filled, taken = count < room ? count : room;
        memcpy(g->rows + g->filled * columns, rows, taken * columns * sizeof(double));
        g->filled += taken;
        rows += taken * columns;
        count -= taken;
        if (g->filled == g->wanted)
            finish_batch(g);
    }
    return true;
}

/* ---- the end ----------------------------------------------------------------------------------- */

/* The derivative of each parameter, from those of the targets. */
static void
carry_over(RxnGradient *g, uint32_t number, double *gradient, double *sd, const double *squares)
{
    const RxnLeafMap *map = &g->spec.map;
    const RxnOutput *output = &g->spec.outputs[number];
    Parts parts = parts_of(g, &number);
    double freedom = (double)(g->spec.trajectories - g->batches);
    for (uint32_t p = 0; p < map->parameters; p++) {
        uint32_t target = p;
        double weight = 1;
        if (g->by_leaf && map->start) {
            bool acts = map->start[p + 1] > map->start[p];
            target = acts ? map->leaf[map->start[p]] : 0;
            weight = acts ? map->weight[map->start[p]] : 0;
            if (!acts) {
                gradient[p] = sd[p] = 0;
                continue;
            }
        }
        double sum = 0;
        for (uint32_t e = 0; e < parts.count; e++) {
            size_t cell = (size_t)parts.sets[e] * g->targets + target;
            sum += parts.factors[e] * known(g, cell) * g->all_c[cell];
        }
        gradient[p] = weight * sum;
        sd[p] = freedom > 0 ? fabs(weight) * sqrt(squares[target] / freedom) : NAN;
    }
    for (uint32_t e = 0; e < output->direct_count; e++)
        gradient[output->direct[e]] += g->values.direct[e];
}

const RxnGradientResult *
rxn__gradient_finish(RxnGradient *g)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    RxnGradientResult *result = &g->result;
    uint32_t parameters = g->spec.map.parameters;
    double rows = (double)g->done, freedom = rows - (double)g->batches;
    for (uint32_t o = 0; o < g->spec.output_count; o++) {
        linearize(g, o, g->all_value);
        result->plain_value[o] = g->values.value;
        linearize(g, o, g->all_controlled);
        result->value[o] = g->values.value;
        result->value_se[o] = freedom > 0 ? sqrt(g->value_squares[o] / freedom / rows) : NAN;
        result->plain_value_se[o] = freedom > 0 ? sqrt(g->plain_squares[o] / freedom / rows) : NAN;
        carry_over(g, o, result->gradient + (size_t)o * parameters,
                   result->sd + (size_t)o * parameters, g->squares + (size_t)o * g->targets);
    }
    for (uint32_t d = 0; d < layout->diagnostics; d++)
        if (!layout->is_max[d])
            g->diagnostics[d] /= rows;
    return result;
}
