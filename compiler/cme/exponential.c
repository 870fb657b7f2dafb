/* exponential.c: exp(A t) v by uniformisation, for all vectors of a computation at once.
 *
 * With q at least every exit rate, U = 1 + A/q is a matrix of probabilities, and
 *
 *     exp(A t) v = Σ_k Poisson(k; q t) U^k v,      ∫ exp(A s) v ds = Σ_k P(N > k) / q · U^k v:
 *
 * all terms are positive, nothing cancels, and the sum is cut where the rest is below rounding (A. Jensen,
 * Skand. Aktuarietidskr. 36 (1953) 87-91; B. L. Fox, P. W. Glynn, Commun. ACM 31 (1988) 440-445). The
 * sensitivities S_i obey dS_i/dt = A S_i + (∂A/∂θ_i) P, so (P, S_1, S_2, …) is the same sum with a larger
 * matrix, whose products share the transitions and the rates' loads.
 *
 * A product goes through the states as targets and gathers from their sources: each row is written once.
 */
#include "compiler/cme/private.h"

#include <math.h>
#include <string.h>

/* Terms of one sum: the weights of a longer one are spread so wide that splitting costs nothing. */
static const double longest_sum = 1500;

/* ---- Poisson weights --------------------------------------------------------------------------- */

void
rxn__cme_poisson(Cme *cme, double mean, u64 *ret_first, u64 *ret_last)
{
    /* Relative to the largest weight; what is left out is far below rounding. */
    static const double least = 1e-24;
    u64 mode = (u64)mean;
    u64 room = (u64)(mean + 14 * sqrt(mean) + 64);
    double *weights = rxn__cme_reserve(cme, &cme->weights, room + 1, sizeof *weights);
    double *tails = rxn__cme_reserve(cme, &cme->tails, room + 1, sizeof *tails);
    u64 first = mode, last = mode;
    weights[mode] = 1;
    while (first > 0 && weights[first] > least) {
        weights[first - 1] = weights[first] * (double)first / mean;
        first--;
    }
    while (last < room && weights[last] > least) {
        weights[last + 1] = weights[last] * mean / (double)(last + 1);
        last++;
    }
    double low = 0, high = 0; /* each from its small end */
    for (u64 k = first; k < mode; k++)
        low += weights[k];
    for (u64 k = last; k > mode; k--)
        high += weights[k];
    double total = low + (high + weights[mode]), above = 0;
    for (u64 k = last + 1; k-- > first;) {
        tails[k] = above;
        weights[k] /= total;
        above += weights[k];
    }
    *ret_first = first;
    *ret_last = last;
}

/* ---- one product ------------------------------------------------------------------------------- */

typedef struct Product {
    const u32 *first, *rows; /* rows: pairs (source, rate) */
    const double *factors, *diagonal;
    u64 states;
    const double *x;
    double *y;
    /* Or NULL. */
    double *sum, *integral;
    double sum_weight, integral_weight;
    const double *fed_from, *feed; /* of the chain that feeds this one; the feed's function */
    double feed_weight;
    const double *absorb; /* the condition's function */
} Product;

/* The row of one target; `width` is a constant wherever this is called, so the loops unroll. */
static inline __attribute__((always_inline)) void
product(const Product *p, const u32 width)
{
    for (u64 state = 0; state < p->states; state++) {
        double mine[width];
        const double *d = p->diagonal + state * width, *x = p->x + state * width;
        for (u32 i = 0; i < width; i++)
            mine[i] = d[0] * x[i];
        for (u32 i = 1; i < width; i++)
            mine[i] += d[i] * x[0];
        for (u32 e = p->first[state]; e < p->first[state + 1]; e++) {
            const double *from = p->x + (u64)p->rows[2 * (u64)e] * width;
            const double *factor = p->factors + (u64)p->rows[2 * (u64)e + 1] * width;
            double rate = factor[0], probability = from[0];
            mine[0] += rate * probability;
            for (u32 i = 1; i < width; i++)
                mine[i] += rate * from[i] + factor[i] * probability;
        }
        if (p->feed) {
            const double *f = p->feed + state * width, *v = p->fed_from + state * width;
            for (u32 i = 0; i < width; i++)
                mine[i] += p->feed_weight * f[0] * v[i];
            for (u32 i = 1; i < width; i++)
                mine[i] += p->feed_weight * f[i] * v[0];
        }
        bool absorbed = p->absorb && p->absorb[state * width] != 0;
        double *y = p->y + state * width;
        for (u32 i = 0; i < width; i++)
            y[i] = mine[i] = absorbed ? 0 : mine[i];
        if (p->sum)
            for (u32 i = 0; i < width; i++)
                p->sum[state * width + i] += p->sum_weight * mine[i];
        if (p->integral)
            for (u32 i = 0; i < width; i++)
                p->integral[state * width + i] += p->integral_weight * mine[i];
    }
}

static void
run_product(const Product *p, u32 width)
{
    switch (width) {
    case 1: product(p, 1); break;
    case 2: product(p, 2); break;
    case 4: product(p, 4); break;
    case 6: product(p, 6); break;
    case 8: product(p, 8); break;
    default: product(p, width); break;
    }
}

static Product
product_of(Cme *cme)
{
    return (Product){.first = cme->row_first.items,
                     .rows = cme->rows.items,
                     .factors = cme->factors.items,
                     .diagonal = cme->diagonal.items,
                     .states = cme->state_count};
}

static void
set_chain(Cme *cme, Product *p, CmeChain *chain, u32 from, double feed_weight)
{
    if (chain->source) {
        p->fed_from = rxn__cme_vector(cme, chain->source, from);
        p->feed = chain->feed->values.items;
        p->feed_weight = feed_weight;
    }
    p->absorb = chain->absorb ? chain->absorb->values.items : NULL;
}

/* ---- the sum ----------------------------------------------------------------------------------- */

static void
count_product(Cme *cme)
{
    rxn__cme_look_at_cancel(cme);
    cme->products++;
    cme->work += (double)(cme->edge_count + cme->state_count) * cme->width;
    if (cme->work > cme->options.work_limit)
        rxn__cme_fail(
            cme,
            "it would take more than %.2g multiplications (%llu states, reached time %g); a "
            "shorter time, slower rates or fewer molecules need fewer",
            cme->options.work_limit, (unsigned long long)cme->state_count, cme->time);
}

static void
add_scaled(double *sum, const double *vector, double weight, u64 count)
{
    for (u64 k = 0; k < count; k++)
        sum[k] += weight * vector[k];
}

/* Of at most `longest_sum` terms; POWER holds the vectors at its start. */
static void
one_sum(Cme *cme, const CmeExponential *x, double mean)
{
    u64 first, last, numbers = cme->state_count * cme->width;
    rxn__cme_poisson(cme, mean, &first, &last);
    const double *weights = cme->weights.items, *tails = cme->tails.items;
    double integral_scale = x->share / x->rate;
    u32 now = SLOT_POWER, next = SLOT_OTHER;
    for (u64 k = 0; k <= last; k++) {
        double weight = k >= first ? weights[k] : 0;
        double tail = (k >= first ? tails[k] : 1) * integral_scale;
        for (u32 c = 0; c < cme->chains.count; c++) {
            CmeChain *chain = cme->chains.items[c];
            if (!chain->live)
                continue;
            double *sum = rxn__cme_vector(cme, chain, x->to);
            double *integral =
                chain->integrates ? rxn__cme_integral(cme, chain, x->integral) : NULL;
            if (k == 0) {
                const double *start = rxn__cme_vector(cme, chain, SLOT_POWER);
                memset(sum, 0, numbers * sizeof *sum);
                add_scaled(sum, start, weight, numbers);
                if (integral)
                    add_scaled(integral, start, tail, numbers);
                continue;
            }
            Product p = product_of(cme);
            p.x = rxn__cme_vector(cme, chain, now);
            p.y = rxn__cme_vector(cme, chain, next);
            p.sum = weight > 0 ? sum : NULL;
            p.sum_weight = weight;
            p.integral = integral;
            p.integral_weight = tail;
            set_chain(cme, &p, chain, now, x->share / x->rate);
            run_product(&p, cme->width);
            count_product(cme);
        }
        if (k > 0) {
            u32 swap = now;
            now = next;
            next = swap;
        }
    }
}

void
rxn__cme_exponential(Cme *cme, const CmeExponential *x)
{
    u64 bytes = cme->state_count * cme->width * sizeof(double);
    double mean = x->rate * x->duration;
    double parts = fmax(1, ceil(mean / longest_sum));
    for (double part = 0; part < parts; part++) {
        for (u32 c = 0; c < cme->chains.count; c++) {
            CmeChain *chain = cme->chains.items[c];
            if (!chain->live)
                continue;
            u32 from = part == 0 ? x->from : x->to;
            const double *start = rxn__cme_vector(cme, chain, from);
            memcpy(rxn__cme_vector(cme, chain, SLOT_POWER), start, bytes);
        }
        one_sum(cme, x, mean / parts);
    }
}

void
rxn__cme_slope(Cme *cme, u32 from, u32 to)
{
    double rate = rxn__cme_generator(cme, 1, &cme->time, &(double){1}, 1e-3);
    u64 numbers = cme->state_count * cme->width;
    for (u32 c = 0; c < cme->chains.count; c++) {
        CmeChain *chain = cme->chains.items[c];
        if (!chain->live)
            continue;
        Product p = product_of(cme);
        p.x = rxn__cme_vector(cme, chain, from);
        p.y = rxn__cme_vector(cme, chain, to);
        set_chain(cme, &p, chain, from, 1 / rate);
        run_product(&p, cme->width);
        for (u64 k = 0; k < numbers; k++)
            p.y[k] = (p.y[k] - p.x[k]) * rate;
    }
}
