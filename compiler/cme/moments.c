/* moments.c: mean and variance of the observables at given times. */
#include "compiler/cme/private.h"

#include <math.h>

typedef struct Moments {
    const double *times;
    u32 count, row;
    CmeMoments *result;
    Expr *columns; /* [column_count] */
} Moments;

/* The observable's members, each an expression of its own. */
static void
take_columns(Cme *cme, Moments *moments)
{
    Network *network = cme->network;
    moments->columns = NEW_ARRAY(cme->arena, Expr, network->column_count + 1);
    for (u32 k = 0; k < network->observables.count; k++) {
        const Observable observable = network->observables.items[k];
        u64 members = rxn__shape_count(&observable.shape);
        for (u64 member = 0; member < members; member++) {
            Expr numbers[RXN_MAX_RANK];
            u64 rest = member;
            for (u32 d = observable.shape.rank; d-- > 0;) {
                numbers[d] = rxn__expr_number(network, (double)(rest % observable.shape.extent[d]));
                rest /= observable.shape.extent[d];
            }
            moments->columns[observable.flat + member] = rxn__expr_substitute(
                network, observable.value, observable.shape.rank, observable.variables, numbers);
        }
    }
}

static void
read_moments(void *context, Cme *cme, const CmeStop *stop)
{
    Moments *moments = context;
    u32 columns = cme->network->column_count;
    const double *probability = rxn__cme_vector(cme, cme->chains.items[0], SLOT_NOW);
    for (u32 c = 0; c < columns; c++) {
        const CmeFunction *function = rxn__cme_function(cme, moments->columns[c], stop->time);
        const double *values = function->values.items;
        double mean = 0, variance = 0;
        for (u64 state = 0; state < cme->state_count; state++)
            if (probability[state] != 0)
                mean += probability[state] * values[state];
        for (u64 state = 0; state < cme->state_count; state++)
            if (probability[state] != 0)
                variance += probability[state] * (values[state] - mean) * (values[state] - mean);
        moments->result->mean[(u64)moments->row * columns + c] = mean;
        moments->result->variance[(u64)moments->row * columns + c] = variance;
    }
    moments->row++;
}

static void
solve(void *context, Cme *cme)
{
    Moments *moments = context;
    take_columns(cme, moments);
    rxn__cme_timeline(cme, moments->times, moments->count);
    cme->listener = (CmeListener){.read = read_moments, .context = moments};
    rxn__cme_march(cme);
    moments->result->lost = cme->lost;
    moments->result->cost = (CmeCost){cme->active_count, cme->edge_count, cme->products};
}

RxnStatus
rxn__cme_moments(const CmeModel *model, const double *times, u32 count, const CmeOptions *options,
                 Arena *arena, CmeMoments *ret_moments, const char **ret_reason)
{
    size_t cells = (size_t)count * model->network->column_count + 1;
    *ret_moments = (CmeMoments){.mean = NEW_ARRAY(arena, double, cells),
                                .variance = NEW_ARRAY(arena, double, cells)};
    Moments moments = {.times = times, .count = count, .result = ret_moments};
    return rxn__cme_solve(model, options, NULL, 0, arena, solve, &moments, ret_reason);
}
