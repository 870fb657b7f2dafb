/* ssa_table_private.h: between the files of the table form. */
#ifndef RXN_METHOD_SSA_TABLE_PRIVATE_H
#define RXN_METHOD_SSA_TABLE_PRIVATE_H

#include "compiler/method/ssa_private.h"
#include "compiler/method/ssa_shared.h"

enum { LAW_MASS_ACTION = 0 };

typedef VEC(i32) IntList;

/* A reactant of a mass-action reaction. */
typedef struct TableSlot {
    i32 species, count; /* flat; the number of species, and 0: there is none */
} TableSlot;

/* What a method that bounds propensities instead of keeping them gives to the table. */
/* What a reaction makes of one count, in `change`. */
enum { CHANGE_SPECIES, CHANGE_DELTA, CHANGE_WORDS };

typedef struct TableBounds {
    void *method;
    void (*order_slots)(SsaTable *table); /* or NULL: may order each reaction's reactants */
    KirValue (*of_law)(SsaTable *table,
                       KirValue reaction); /* the bound of a law, as it was computed last */
} TableBounds;

struct SsaTable {
    SsaFrame *frame;
    const TableBounds *bounds; /* NULL: the direct method */
    DependencyGraph graph;
    TableSlot *slots; /* [reactions][order] */
    i32 *law_of;      /* [reactions] */
    u32 group_size, group_count;
    u32 order;        /* most distinct reactants of a mass-action reaction */
    u32 multiplicity; /* highest coefficient of one */
    bool has_laws, may_drop, timed;
    u32 laws;        /* number of laws */
    u32 *law_family; /* law -> reaction family; [0] unused */
    bool *law_whole; /* law: its propensities are updated all together or not at all */
    VEC(u32) wholes; /* laws of which some reaction updates all */

    SsaShared
        rates; /* constants of the mass-action reactions of one member, where there are many */
    u32 rate_target, rate_factor, rate_limit; /* buffers: their flat numbers; 1 / coefficients'
                                               * factorials; the largest that is sound, else +inf */

    /* locals */
    u32 propensity, group_sum, rate, last, law_value;

    /* constant buffers */
    u32 change_start, change; /* change: CHANGE_WORDS each */
    u32 update_start, update_target, group_start, group_target, whole;
    u32 law, slot_species, slot_count, guarded; /* guarded: reactions whose bound the user gave */
    u32 guarded_count;
    bool has_dependents;                   /* the two that follow are there */
    u32 dependent_start, dependent_target; /* all that are updated, those of whole laws included */
};

/* ssa_table_build.c: the constant tables. The dependency graph is there. */
void rxn__ssa_table_build(SsaTable *table);

/* A constant buffer of whole numbers. */
u32 rxn__ssa_table_add(SsaTable *table, const char *name, const IntList *list);

/* Whether the propensity of this family is a law of its own, not mass action by the tables. */
bool rxn__ssa_table_is_law(const Reaction *reaction);

/* Whether at least 9 in 10 reactions are mass action by the tables: those whose propensities intervals of counts bound. */
bool rxn__ssa_table_mostly_mass_action(const Network *network);

/* In launch: the constants of mass action. In init: that they are sound. */
void rxn__ssa_table_rates(SsaTable *table);
void rxn__ssa_table_check_rates(SsaTable *table);

/* Makes dependent_start and dependent_target, if they are not there. */
void rxn__ssa_table_list_dependents(SsaTable *table);

/* ---- ssa_table.c: what the direct method and those with bounds share ----------------------------- */

/* The table of a frame, without what is the direct method's own. bounds: or NULL. NULL, or what is broken. */
const char *rxn__ssa_table_prepare(SsaFrame *frame, const TableBounds *bounds);

/* The propensity of a mass-action reaction; and that of any, or its bound where it depends on time, if the first
 * is given. */
KirValue rxn__ssa_table_mass_action(SsaTable *table, KirValue reaction);
KirValue rxn__ssa_table_law(SsaTable *table, KirValue reaction, KirValue mass_action);

/* Time-dependent laws: the proposal stands if what is left of the threshold is below the true value. */
void rxn__ssa_table_refuse(SsaTable *table, KirValue total, KirValue rest);

/* Bounds that the user gave, if there are any, at the arrival. */
void rxn__ssa_table_check_bounds(SsaTable *table);

/* Called for each count that has a new value. */
typedef void SsaCountChanged(SsaTable *table, KirValue species, KirValue delta, KirValue count);

/* The changes of the reaction that fired. lane_by_lane: in scalar code, one trajectory after another, which pays where a change is rarely
 * all that there is to do. changed: or NULL. */
void rxn__ssa_table_apply(SsaTable *table, bool lane_by_lane, SsaCountChanged *changed);

/* What is wrong where the total is no finite number. */
void rxn__ssa_table_explain(SsaFrame *frame, void *context);

#endif
