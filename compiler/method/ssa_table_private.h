/* ssa_table_private.h: between the files of the table form. */
#ifndef RXN_METHOD_SSA_TABLE_PRIVATE_H
#define RXN_METHOD_SSA_TABLE_PRIVATE_H

#include "compiler/method/ssa_private.h"

enum { LAW_MASS_ACTION = 0 };

struct SsaTable {
    SsaFrame *frame;
    DependencyGraph graph;
    u32 group_size, group_count;
    u32 order;        /* most distinct reactants of a mass-action reaction */
    u32 multiplicity; /* highest coefficient of one */
    bool has_laws, may_drop, timed;
    u32 laws;        /* number of laws */
    u32 *law_family; /* law -> reaction family; [0] unused */
    bool *law_whole; /* law: its propensities are updated all together or not at all */
    VEC(u32) wholes; /* laws of which some reaction updates all */

    /* locals */
    u32 propensity, group_sum, rate, last, law_value;

    /* constant buffers */
    u32 change_start, change_species, change_delta;
    u32 update_start, update_target, group_start, group_target, whole;
    u32 law, slot_species, slot_count, guarded; /* guarded: reactions whose bound the user gave */
    u32 guarded_count;
    bool has_dependents;                   /* the two that follow are there */
    u32 dependent_start, dependent_target; /* all that are updated, those of whole laws included */
};

/* ssa_table_build.c: the constant tables. The dependency graph is there. */
void rxn__ssa_table_build(SsaTable *table);

/* In launch: the constants of mass action. */
void rxn__ssa_table_rates(SsaTable *table);

/* Makes dependent_start and dependent_target, if they are not there. */
void rxn__ssa_table_list_dependents(SsaTable *table);

#endif
