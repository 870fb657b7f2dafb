/* sample_gradient.c: see sample_gradient.h.
 *
 * The way of a row: its values go to its unit. Its contributions go, once scores are centred (which takes the other
 * rows of a batch), to the unit's sum in the block; a block of SAMPLE_BLOCK units is multiplied with the inputs, a part
 * (sub-batch) of blocks becomes a gradient.
 */
#include "runtime/sample_gradient.h"
#include "runtime/sample_product.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 64
}; /* trajectories whose scores are centred together, at least, where there are so many */

typedef struct Product {
    const RxnSampleProduct *spec;
    SampleTerms terms;
    bool in_a_row; /* its inputs follow each other, and have no factors */
    double *u;     /* [terms]: of one unit */
    double *left;  /* see rxn__sample_left */
    double *sum;   /* [terms][elements], of the part */
} Product;

/* Leaves first … that are parameters which are wanted. */
typedef struct Run {
    uint32_t first, count;
} Run;

struct RxnSampleGradient {
    RxnSampleSpec spec;
    uint32_t sets;
    bool differentiates;
    bool exact; /* each parameter is behind one leaf or product: parts are units */
    bool *is_wanted;
    Product *products;
    Run *runs;
    uint32_t run_count;

    uint64_t units, repeats, taken, not_finite;
    uint64_t wished_groups, groups;
    double *group_sums; /* [groups][wanted_count] */
    uint64_t group_room;
    double *values;
    uint64_t value_room;

    /* The piece. */
    const double *inputs;
    uint64_t piece_first, piece_count;

    /* Of trajectories whose scores are to be centred. */
    double *batch;
    uint64_t batch_room, batch_filled, batch_number, batch_first;

    /* Of units. */
    double *unit; /* [leaves]: sums over the trajectories of the unit */
    uint32_t block_units;
    uint64_t done;

    double *leaves; /* sums of the part */
    double *part;   /* [parameters] */
    uint64_t part_units, parts;
    double *total; /* [parameters] */
    double squares;

    double *means; /* [functionals], of a batch */
    double *diagnostics, *gradient;
    RxnSampleGradientResult result;
    bool failed;
};

/* ---- storage ----------------------------------------------------------------------------------- */

static void *
room(RxnSampleGradient *g, size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    g->failed |= !memory;
    return memory;
}

/* Whether each parameter that is wanted is reached in one way, and no other is reached. */
static bool
is_exact(RxnSampleGradient *g)
{
    const RxnSampleSpec *spec = &g->spec;
    bool *reached = room(g, spec->parameters, sizeof *reached);
    bool exact = !spec->others && reached;
    for (uint32_t l = 0; exact && l < spec->layout.leaves; l++) {
        uint32_t p = spec->leaf_parameter[l];
        if (p == UINT32_MAX || !g->is_wanted[p])
            continue;
        exact = !reached[p];
        reached[p] = true;
    }
    for (uint32_t k = 0; exact && k < spec->product_count; k++) {
        const RxnSampleProduct *product = &spec->products[k];
        for (uint32_t e = 0; exact && e < product->elements; e++)
            for (uint32_t b = 0; exact && b < product->terms; b++) {
                uint32_t p = product->element_place[e] + product->term_place[b];
                exact = !reached[p] && g->is_wanted[p];
                reached[p] = true;
            }
    }
    free(reached);
    return exact;
}

static void
make_products(RxnSampleGradient *g)
{
    const RxnSampleSpec *spec = &g->spec;
    g->products = room(g, spec->product_count, sizeof *g->products);
    for (uint32_t k = 0; !g->failed && k < spec->product_count; k++) {
        Product *product = &g->products[k];
        product->spec = &spec->products[k];
        size_t terms = product->spec->terms, elements = product->spec->elements;
        product->terms = (SampleTerms){
            .terms = (uint32_t)terms,
            .count = room(g, terms, 1),
            .row = room(g, terms * SAMPLE_BLOCK, 1),
            .value = room(g, terms * SAMPLE_BLOCK, sizeof(double)),
        };
        product->u = room(g, terms, sizeof(double));
        product->sum = room(g, terms * elements, sizeof(double));
        product->left = room(g, rxn__sample_left_room(product->spec->elements), sizeof(double));
        const uint32_t *input = product->spec->input;
        product->in_a_row = input && !product->spec->term_factor;
        for (size_t b = 1; product->in_a_row && b < terms; b++)
            product->in_a_row = input[b] == input[0] + b;
    }
}

static void
find_runs(RxnSampleGradient *g)
{
    uint32_t leaves = g->spec.layout.leaves;
    g->runs = room(g, leaves, sizeof *g->runs);
    for (uint32_t l = 0; !g->failed && l < leaves; l++) {
        uint32_t p = g->spec.leaf_parameter[l];
        if (p == UINT32_MAX || !g->is_wanted[p])
            continue;
        Run *last = g->run_count ? &g->runs[g->run_count - 1] : NULL;
        if (last && last->first + last->count == l)
            last->count++;
        else
            g->runs[g->run_count++] = (Run){l, 1};
    }
}

RxnSampleGradient *
rxn__sample_gradient_new(const RxnSampleSpec *spec)
{
    RxnSampleGradient *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->spec = *spec;
    const RxnGradientLayout *layout = &g->spec.layout;
    g->sets = layout->by_output ? 1 : layout->functionals;
    g->differentiates = layout->has_score || layout->has_direct;
    g->diagnostics = room(g, layout->diagnostics, sizeof(double));
    if (g->differentiates) {
        g->is_wanted = room(g, spec->parameters, sizeof(bool));
        g->gradient = room(g, spec->wanted_count, sizeof(double));
        g->part = room(g, spec->parameters, sizeof(double));
        g->total = room(g, spec->parameters, sizeof(double));
        g->leaves = room(g, layout->leaves, sizeof(double));
        g->unit = room(g, layout->leaves, sizeof(double));
        g->means = room(g, layout->functionals, sizeof(double));
        for (uint32_t k = 0; !g->failed && k < spec->wanted_count; k++)
            g->is_wanted[spec->wanted[k]] = true;
        if (!g->failed)
            g->exact = is_exact(g);
        find_runs(g);
        make_products(g);
    }
    if (!g->failed)
        return g;
    rxn__sample_gradient_free(g);
    return NULL;
}

void
rxn__sample_gradient_free(RxnSampleGradient *g)
{
    if (!g)
        return;
    for (uint32_t k = 0; g->products && k < g->spec.product_count; k++) {
        Product *product = &g->products[k];
        free(product->terms.count);
        free(product->terms.row);
        free(product->terms.value);
        free(product->u);
        free(product->left);
        free(product->sum);
    }
    free(g->products);
    free(g->runs);
    free(g->is_wanted);
    free(g->values);
    free(g->batch);
    free(g->unit);
    free(g->leaves);
    free(g->part);
    free(g->total);
    free(g->means);
    free(g->diagnostics);
    free(g->gradient);
    free(g->group_sums);
    free(g);
}

static void
clear(double *numbers, size_t count)
{
    if (numbers)
        memset(numbers, 0, count * sizeof *numbers);
}

void
rxn__sample_gradient_group(RxnSampleGradient *g, uint64_t groups)
{
    g->wished_groups = groups;
}

/* Room for so many numbers, whose old ones are lost. */
static bool
make_room(double **numbers, uint64_t *room, uint64_t count)
{
    if (count <= *room)
        return true;
    free(*numbers);
    *numbers = malloc((count + 1) * sizeof **numbers);
    *room = *numbers ? count : 0;
    return *numbers != NULL;
}

bool
rxn__sample_gradient_begin(RxnSampleGradient *g, uint64_t units, uint64_t repeats)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    uint64_t cells = units * layout->functionals;
    g->groups = !g->differentiates ? 0 : g->wished_groups < units ? g->wished_groups : units;
    if (!make_room(&g->values, &g->value_room, cells) ||
        !make_room(&g->group_sums, &g->group_room, g->groups * g->spec.wanted_count))
        return false;
    g->units = units;
    g->repeats = repeats;
    g->taken = g->done = g->part_units = g->parts = g->batch_filled = 0;
    g->block_units = 0;
    g->not_finite = UINT64_MAX;
    g->squares = 0;
    clear(g->values, cells);
    clear(g->diagnostics, layout->diagnostics);
    clear(g->leaves, layout->leaves);
    clear(g->unit, layout->leaves);
    clear(g->part, g->spec.parameters);
    clear(g->total, g->spec.parameters);
    for (uint32_t k = 0; g->differentiates && k < g->spec.product_count; k++) {
        clear(g->products[k].sum,
              (size_t)g->products[k].spec->terms * g->products[k].spec->elements);
        memset(g->products[k].terms.count, 0, g->products[k].spec->terms);
    }
    return true;
}

/* ---- parts ------------------------------------------------------------------------------------- */

/* part += sum, which lies the other way round: in tiles, so that both are read by whole lines of the cache. */
static void
place_product(RxnSampleGradient *g, const Product *product)
{
    enum { TILE = 16 };
    const RxnSampleProduct *spec = product->spec;
    uint32_t elements = spec->elements, terms = spec->terms;
    for (uint32_t e0 = 0; e0 < elements; e0 += TILE)
        for (uint32_t b0 = 0; b0 < terms; b0 += TILE)
            for (uint32_t e = e0; e < elements && e < e0 + TILE; e++)
                for (uint32_t b = b0; b < terms && b < b0 + TILE; b++)
                    g->part[spec->element_place[e] + spec->term_place[b]] +=
                        product->sum[(size_t)b * elements + e];
}

/* What the squares are taken of. */
static bool
parts_are_units(const RxnSampleGradient *g)
{
    return g->exact && g->groups == 0;
}

/* The part's gradient goes to the total. */
static void
end_part(RxnSampleGradient *g)
{
    const RxnSampleSpec *spec = &g->spec;
    if (g->part_units == 0)
        return;
    for (uint32_t l = 0; l < spec->layout.leaves; l++)
        if (spec->leaf_parameter[l] != UINT32_MAX)
            g->part[spec->leaf_parameter[l]] += g->leaves[l];
    for (uint32_t k = 0; k < spec->product_count; k++)
        place_product(g, &g->products[k]);
    if (spec->others)
        spec->others(spec->context, NULL, g->leaves, g->part);
    double square = 0;
    for (uint32_t k = 0; k < spec->wanted_count; k++) {
        double sum = g->part[spec->wanted[k]];
        square += sum * sum;
        g->total[spec->wanted[k]] += sum;
        if (g->groups)
            g->group_sums[g->parts * spec->wanted_count + k] = sum;
    }
    if (!parts_are_units(g)) {
        g->squares += square / (double)g->part_units;
        g->parts++;
    }
    g->part_units = 0;
    if (g->done == g->units)
        return;
    clear(g->leaves, spec->layout.leaves);
    clear(g->part, spec->parameters);
    for (uint32_t k = 0; k < spec->product_count; k++)
        clear(g->products[k].sum,
              (size_t)g->products[k].spec->terms * g->products[k].spec->elements);
}

static void
flush_block(RxnSampleGradient *g)
{
    for (uint32_t k = 0; k < g->spec.product_count; k++) {
        Product *product = &g->products[k];
        rxn__sample_product(product->sum, product->left, product->spec->elements, &product->terms);
        memset(product->terms.count, 0, product->spec->terms);
    }
    g->block_units = 0;
}

uint64_t
rxn__sample_group_end(uint64_t units, uint64_t groups, uint64_t group)
{
    return units / groups * (group + 1) + units % groups * (group + 1) / groups;
}

static uint64_t
part_end(const RxnSampleGradient *g, uint64_t part)
{
    uint64_t parts = g->units < RXN_SAMPLE_PARTS ? g->units : RXN_SAMPLE_PARTS;
    parts = g->groups ? g->groups : g->exact ? 1 : parts;
    return rxn__sample_group_end(g->units, parts, part);
}

/* ---- units ------------------------------------------------------------------------------------- */

/* The u of the unit's row, in the lists of the block. Returns Σ u². */
static double
list_terms(RxnSampleGradient *g, uint32_t number, const double *inputs, bool all)
{
    Product *product = &g->products[number];
    const RxnSampleProduct *spec = product->spec;
    const double *u = product->u;
    if (product->in_a_row)
        u = inputs + (spec->terms ? spec->input[0] : 0);
    else if (spec->input)
        for (uint32_t b = 0; b < spec->terms; b++)
            product->u[b] = inputs[spec->input[b]];
    else
        g->spec.terms(g->spec.context, number, inputs, product->u);
    for (uint32_t b = 0; spec->term_factor && b < spec->terms; b++)
        product->u[b] *= spec->term_factor[b];
    for (uint32_t b = 0; b < spec->terms; b++) {
        if (u[b] == 0 && !all)
            continue;
        size_t at = (size_t)b * SAMPLE_BLOCK + product->terms.count[b]++;
        product->terms.row[at] = (uint8_t)g->block_units;
        product->terms.value[at] = u[b];
    }
    return rxn__sample_square(NULL, u, spec->terms);
}

/* What its leaves say of products. Returns the squares of it. */
static double
take_products(RxnSampleGradient *g, const double *unit, const double *inputs)
{
    double square = 0;
    for (uint32_t k = 0; k < g->spec.product_count; k++) {
        Product *product = &g->products[k];
        const RxnSampleProduct *spec = product->spec;
        rxn__sample_left(product->left, g->block_units, spec->elements, unit + spec->first,
                         spec->element_factor);
        double left = 0;
        for (uint32_t e = 0; e < spec->elements; e += SAMPLE_STRIP) {
            uint32_t width = spec->elements - e < SAMPLE_STRIP ? spec->elements - e : SAMPLE_STRIP;
            left += rxn__sample_square(NULL,
                                       product->left + (size_t)e * SAMPLE_BLOCK +
                                           (size_t)g->block_units * SAMPLE_STRIP,
                                       width);
        }
        square += left * list_terms(g, k, inputs, !isfinite(left));
    }
    return square;
}

static void
end_unit(RxnSampleGradient *g, const double *unit, const double *inputs)
{
    const RxnSampleSpec *spec = &g->spec;
    double square = 0;
    if (spec->others)
        rxn__sample_add(g->leaves, unit, 1, spec->layout.leaves);
    for (uint32_t k = 0; !spec->others && k < g->run_count; k++) {
        uint32_t first = g->runs[k].first;
        square += rxn__sample_square(g->leaves + first, unit + first, g->runs[k].count);
    }
    square += take_products(g, unit, inputs);
    if (spec->others)
        spec->others(spec->context, inputs, unit, g->part);
    if (!isfinite(square) && g->not_finite == UINT64_MAX)
        g->not_finite = g->done * g->repeats;
    if (parts_are_units(g)) {
        g->squares += square;
        g->parts++;
    }
    g->done++;
    g->part_units++;
    g->block_units++;
    bool ends = g->done == part_end(g, parts_are_units(g) ? 0 : g->parts);
    if (ends || g->block_units == SAMPLE_BLOCK)
        flush_block(g);
    if (ends)
        end_part(g);
}

/* ---- rows -------------------------------------------------------------------------------------- */

/* Adds what a trajectory says to its unit; batch: trajectories that its scores are centred by. */
static void
add_row(RxnSampleGradient *g, uint64_t trajectory, const double *row, uint64_t batch)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    uint32_t leaves = layout->leaves;
    const double *inputs = g->inputs + (trajectory - g->piece_first) * g->spec.inputs;
    double share = 1 / (double)g->repeats;
    bool alone = g->sets == 1 && g->repeats == 1 && !layout->has_score;
    if (alone && (layout->by_output || g->spec.weights[0] == 1)) { /* it is the unit as it is */
        end_unit(g, row + layout->direct, inputs);
        return;
    }
    for (uint32_t i = 0; i < g->sets; i++) {
        double weight = share * (layout->by_output ? 1 : g->spec.weights[i]);
        if (layout->has_direct && weight != 0)
            rxn__sample_add(g->unit, row + layout->direct + (size_t)i * leaves, weight, leaves);
        if (!layout->has_score || weight == 0)
            continue;
        /* F - b, b being the mean of the others. A lone trajectory has no others: b = 0. */
        double n = (double)batch, y = row[layout->value + i];
        weight *= n > 1 ? n / (n - 1) * (y - g->means[i]) : y;
        rxn__sample_add(g->unit, row + layout->score + (size_t)i * leaves, weight, leaves);
    }
    if ((trajectory + 1) % g->repeats != 0)
        return;
    end_unit(g, g->unit, inputs);
    clear(g->unit, leaves);
}

static uint64_t
batch_end(const RxnSampleGradient *g, uint64_t batch)
{
    uint64_t n = g->piece_count, batches = n / BATCH + (n < BATCH);
    return g->piece_first + n / batches * (batch + 1) + n % batches * (batch + 1) / batches;
}

static void
end_batch(RxnSampleGradient *g)
{
    const RxnGradientLayout *layout = &g->spec.layout;
    uint64_t n = g->batch_filled;
    for (uint32_t i = 0; i < layout->functionals; i++) {
        double sum = 0;
        for (uint64_t k = 0; k < n; k++)
            sum += g->batch[k * layout->columns + layout->value + i];
        g->means[i] = sum / (double)n;
    }
    for (uint64_t k = 0; k < n; k++)
        add_row(g, g->batch_first + k, g->batch + k * layout->columns, n);
    g->batch_first += n;
    g->batch_filled = 0;
    g->batch_number++;
}

static bool
keep_for_batch(RxnSampleGradient *g, uint64_t trajectory, const double *row)
{
    uint32_t columns = g->spec.layout.columns;
    if (!g->batch) {
        g->batch_room = 2 * BATCH;
        g->batch = malloc(g->batch_room * columns * sizeof *g->batch);
        if (!g->batch)
            return false;
    }
    memcpy(g->batch + g->batch_filled++ * columns, row, columns * sizeof *row);
    if (trajectory + 1 == batch_end(g, g->batch_number))
        end_batch(g);
    return true;
}

void
rxn__sample_gradient_inputs(RxnSampleGradient *g, uint64_t first, uint64_t count,
                            const double *inputs)
{
    g->piece_first = g->batch_first = first;
    g->piece_count = count;
    g->batch_number = 0;
    g->inputs = inputs;
}

bool
rxn__sample_gradient_take(void *gradient, uint64_t first, uint64_t count, const double *rows,
                          const uint64_t *events)
{
    RxnSampleGradient *g = gradient;
    const RxnGradientLayout *layout = &g->spec.layout;
    (void)events;
    for (uint64_t k = 0; k < count; k++) {
        const double *row = rows + k * layout->columns;
        double *values = g->values + (first + k) / g->repeats * layout->functionals;
        for (uint32_t i = 0; i < layout->functionals; i++) {
            values[i] += row[layout->value + i];
            if (!isfinite(row[layout->value + i]) && g->not_finite > first + k)
                g->not_finite = first + k;
        }
        for (uint32_t d = 0; d < layout->diagnostics; d++) {
            double x = row[layout->diagnostic + d], *all = &g->diagnostics[d];
            /* Not fmax, which would lose a NaN. */
            *all = !layout->is_max[d] ? *all + x : x <= *all ? *all : x;
        }
        g->taken++;
        if (!g->differentiates)
            continue;
        if (!layout->has_score)
            add_row(g, first + k, row, 1);
        else if (!keep_for_batch(g, first + k, row))
            return false;
    }
    return true;
}

const RxnSampleGradientResult *
rxn__sample_gradient_finish(RxnSampleGradient *g)
{
    const RxnSampleSpec *spec = &g->spec;
    double n = (double)g->units, square = 0;
    for (uint64_t k = 0; k < g->units * spec->layout.functionals; k++)
        g->values[k] /= (double)g->repeats;
    for (uint32_t d = 0; d < spec->layout.diagnostics; d++)
        if (!spec->layout.is_max[d])
            g->diagnostics[d] /= (double)g->taken;
    for (uint32_t k = 0; g->differentiates && k < spec->wanted_count; k++) {
        g->gradient[k] = g->total[spec->wanted[k]] / n;
        square += g->gradient[k] * g->gradient[k];
    }
    double spread = (g->squares - n * square) / ((double)(g->parts - 1) * n);
    g->result = (RxnSampleGradientResult){
        .units = g->units,
        .trajectories = g->taken,
        .values = g->values,
        .gradient = g->differentiates ? g->gradient : NULL,
        .norm2_noise = g->parts < 2 ? NAN
                       : spread < 0 ? 0
                                    : spread,
        .groups = g->groups,
        .group_sums = g->group_sums,
        .diagnostics = g->diagnostics,
        .not_finite = g->not_finite,
    };
    return &g->result;
}
