/* methods.c: the table of methods, and the choice of `--method auto`. */
#include "compiler/method/ssa.h"

#include <string.h>

extern const Method rxn__method_ssa_direct, rxn__method_ssa_unrolled, rxn__method_ssa_table,
    rxn__method_ssa_table_full, rxn__method_ssa_rejection, rxn__method_ssa_rejection_sparse,
    rxn__method_ssa_composition, rxn__method_ssa_batch, rxn__method_ssa_batch_short;

const Method *const rxn__methods[] = {
    &rxn__method_ssa_direct,      &rxn__method_ssa_unrolled,
    &rxn__method_ssa_table,       &rxn__method_ssa_table_full,
    &rxn__method_ssa_rejection,   &rxn__method_ssa_rejection_sparse,
    &rxn__method_ssa_composition, &rxn__method_ssa_batch,
    &rxn__method_ssa_batch_short, NULL,
};

const Method *
rxn__method_find(const char *name)
{
    for (u32 k = 0; rxn__methods[k]; k++)
        if (strcmp(rxn__methods[k]->name, name) == 0)
            return rxn__methods[k];
    return NULL;
}

const Method *
rxn__method_choose(const Network *network, Text *ret_why)
{
    const Method *large = &rxn__method_ssa_rejection, *very_large = &rxn__method_ssa_composition;
    const Method *populous = &rxn__method_ssa_batch;
    Text unused, reason, batches;
    rxn__text_init(&unused, network->arena);
    rxn__text_init(&batches, network->arena);
    rxn__text_init(&reason, network->arena);
    if (!rxn__ssa_is_small(network) && large->applies(network, &unused)) {
        if (rxn__ssa_composition_suits(network, ret_why))
            return very_large;
        if (rxn__ssa_rejection_suits(network, ret_why))
            return large;
    }
    if (rxn__ssa_is_small(network) && populous->applies(network, &unused) &&
        rxn__ssa_batch_suits(network, &batches)) {
        rxn__text_printf(ret_why, "%s", batches.data);
        return populous;
    }
    for (u32 k = 0; rxn__methods[k]; k++)
        if (rxn__methods[k]->applies(network, k == 0 ? &reason : &unused)) {
            rxn__text_printf(ret_why, "%s", rxn__methods[k]->summary);
            if (batches.length > 0)
                rxn__text_printf(ret_why, "; %s", batches.data);
            return rxn__methods[k];
        }
    /* The first takes more than any of the others: what it cannot do is the reason. */
    rxn__text_printf(ret_why, "%s", reason.data);
    return NULL;
}
