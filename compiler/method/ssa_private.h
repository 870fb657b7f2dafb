/* ssa_private.h: between the files of the frame. */
#ifndef RXN_METHOD_SSA_PRIVATE_H
#define RXN_METHOD_SSA_PRIVATE_H

#include "compiler/method/ssa.h"

typedef struct SsaSums SsaSums;

typedef struct MemberVisit {
    void (*body)(SsaFrame *frame, void *context);
    void *context;
} MemberVisit;

/* Writes `body` for all values of the variables: straight code for few, nested `for`s for many. */
void rxn__ssa_each_member(SsaFrame *frame, u32 rank, const u32 *variables, const i64 *low,
                          const i64 *high, const MemberVisit *visit);

void rxn__ssa_each_element(SsaFrame *frame, const Shape *shape, const u32 *variables,
                           const MemberVisit *visit);

KirValue rxn__ssa_element(SsaFrame *frame, const Shape *shape, const u32 *variables, u32 first);

KirValue rxn__ssa_not_a_count(SsaFrame *frame, KirValue value);

/* The largest constant that no product with counts makes overflow. */
double rxn__ssa_largest_rate(const SsaFrame *frame, const Reaction *reaction);

/* ssa_draw.c: how many steps share a block, and its locals; at the start of a trajectory. */
void rxn__ssa_draw_declare(SsaFrame *frame, bool unrolled);

void rxn__ssa_draw_start(SsaFrame *frame);

/* ssa_rare.c: sets next_sample (where only the end stops a wait: next_time) to the time of this row. */
void rxn__ssa_next_sample(SsaFrame *frame, KirValue row);

/* ssa_events.c */
void rxn__ssa_init_events(SsaFrame *frame);

void rxn__ssa_timed_events(SsaFrame *frame, KirValue stop);

void rxn__ssa_next_stop(SsaFrame *frame, KirValue now);

void rxn__ssa_when_events(SsaFrame *frame);

/* ssa_sums.c: sums of the laws that are kept from step to step; all do nothing where there are none. Between the
 * declarations of the frame; at the start of a trajectory; where counts have been assigned. */
void rxn__ssa_sums_declare(SsaFrame *frame);

void rxn__ssa_sums_start(SsaFrame *frame);

void rxn__ssa_sums_assigned(SsaFrame *frame);

/* At the start of a step: adds up all sums where that is due, and sets `jumped`. */
void rxn__ssa_sums_refresh(SsaFrame *frame);

/* Whether expressions read the kept sums from now on. True only in between refresh and the first change. */
void rxn__ssa_sums_read(SsaFrame *frame, bool kept);

/* A reaction changes a count: species i32, flat; delta in `real`. After the last one: settle. */
void rxn__ssa_sums_change(SsaFrame *frame, KirValue species, KirValue delta);

void rxn__ssa_sums_settle(SsaFrame *frame);

#endif
