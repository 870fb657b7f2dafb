/* lanes.c: the loop around a kernel's regions. It gives lanes their trajectories.
 *
 * KIR says what one trajectory does: init, step until done, finish. A launch has `count` of them
 * (rows), and W lanes. Trajectories differ in length, so a lane whose trajectory is done takes the
 * next row at once; nobody waits for the longest. As blocks of the function:
 *
 *     entry     stack slots; the launch's fields; the launch region
 *     refill    free lanes take the next rows in order; none to take -> check
 *     init      region init, for the lanes just filled; some ended already -> finish
 *     check     no lane has a trajectory -> return
 *     step      region step, for all lanes; none ended -> poll
 *     poll      every POLL_STEPS steps: was the run cancelled? -> step
 *     finish    region finish for the lanes that are done; the faults of those that trapped;
 *               all of them become free -> refill
 *
 * The path of a step is `step, poll` and costs one test of "has any lane ended" and one countdown.
 *
 * Lanes without a row stay in the vectors and compute garbage; the mask `live` keeps them from
 * memory, traps and loop conditions. Which lane a trajectory runs in never matters: nothing that it
 * computes depends on its lane.
 *
 * A kernel whose trajectories are done after init does all its work in finish: then its lanes are filled
 * together, run through it in step, and are refilled together. So loops in finish look at *cancel too.
 *
 * Example, W = 4, five rows with 2, 1, 3, 1 and 2 steps; time runs down:
 *
 *     lane     0  1  2  3
 *     step 1   r0 r1 r2 r3      r1 and r3 end; lane 1 takes r4, lane 3 finds no row
 *     step 2   r0 r4 r2 -       r0 ends
 *     step 3   -  r4 r2 -       both end: return
 */
#include "compiler/target/llvm/llvm.h"

#include <stddef.h>

enum { POLL_STEPS = 1024 }; /* some 100 microseconds of steps */

typedef struct Driver {
    LLVMValueRef next;  /* i64 slot: the next row to give out */
    LLVMValueRef live;  /* mask slot: lanes that have a trajectory */
    LLVMValueRef alive; /* mask slot: of those, which have not trapped in this region */
    LLVMBasicBlockRef refill, check, step, poll, finish, leave;
} Driver;

static LLVMValueRef
load_field(Emit *e, LLVMTypeRef type, LLVMValueRef base, size_t offset, const char *name)
{
    LLVMValueRef at = LLVMConstInt(e->i64, offset, false);
    LLVMValueRef address = LLVMBuildGEP2(e->builder, e->i8, base, &at, 1, "");
    LLVMValueRef value = LLVMBuildLoad2(e->builder, type, address, name);
    LLVMSetMetadata(value, e->invariant_load,
                    LLVMMetadataAsValue(e->context, LLVMMDNodeInContext2(e->context, NULL, 0)));
    return value;
}

static void
emit_launch_fields(Emit *e)
{
    LLVMValueRef launch = LLVMGetParam(e->function, 0);
    u32 count = e->kernel->buffers.count;
    e->first = load_field(e, e->i64, launch, offsetof(RxnLaunch, first), "first");
    e->count = load_field(e, e->i64, launch, offsetof(RxnLaunch, count), "count");
    e->workspace = load_field(e, e->pointer, launch, offsetof(RxnLaunch, workspace), "workspace");
    e->fault = load_field(e, e->pointer, launch, offsetof(RxnLaunch, fault), "fault");
    e->cancel = load_field(e, e->pointer, launch, offsetof(RxnLaunch, cancel), "cancel");
    e->buffers = NEW_ARRAY(e->arena, LLVMValueRef, count + 1);
    e->strides = NEW_ARRAY(e->arena, LLVMValueRef, count + 1);
    if (count == 0)
        return;
    LLVMValueRef buffers =
        load_field(e, e->pointer, launch, offsetof(RxnLaunch, buffers), "buffers");
    LLVMValueRef strides =
        load_field(e, e->pointer, launch, offsetof(RxnLaunch, strides), "strides");
    for (u32 i = 0; i < count; i++) {
        const KirBuffer *buffer = &e->kernel->buffers.items[i];
        e->buffers[i] = load_field(e, e->pointer, buffers, i * sizeof(void *), buffer->name->text);
        if (buffer->scope == KIR_PER_TRAJECTORY)
            e->strides[i] = load_field(e, e->i64, strides, i * sizeof(int64_t), "stride");
    }
}

static void
emit_witness_area(Emit *e)
{
    const Layout *layout = e->layout;
    if (layout->witness_on_stack) {
        u64 count = (u64)(layout->witness_scalars + 1) * e->lanes;
        e->witness_area = rxn__llvm_stack_slot(e, rxn__llvm_array_type(e->f64, count), "witness");
    } else {
        LLVMValueRef offset = LLVMConstInt(e->i64, layout->witness_offset, false);
        e->witness_area = LLVMBuildGEP2(e->builder, e->i8, e->workspace, &offset, 1, "witness");
    }
}

/* ---- masks as numbers -------------------------------------------------------------------------- */

static LLVMValueRef
mask_not(Emit *e, LLVMValueRef mask)
{
    return LLVMBuildNot(e->builder, mask, "");
}

static LLVMValueRef
mask_and(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildAnd(e->builder, a, b, "");
}

/* Per lane (i64): how many lanes of the mask there are up to and including this one. A prefix sum in
 * log2 W steps, each adding the vector moved up by 1, 2, 4 … lanes. */
static LLVMValueRef
inclusive_rank(Emit *e, LLVMValueRef mask)
{
    LLVMValueRef rank = LLVMBuildZExt(e->builder, mask, e->vector[KIR_I32], "");
    LLVMValueRef zero = LLVMConstNull(e->vector[KIR_I32]);
    for (u32 distance = 1; distance < e->lanes; distance *= 2) {
        LLVMValueRef places[64];
        for (u32 i = 0; i < e->lanes; i++)
            places[i] = LLVMConstInt(e->i32, i < distance ? e->lanes : i - distance, false);
        LLVMValueRef moved =
            LLVMBuildShuffleVector(e->builder, rank, zero, LLVMConstVector(places, e->lanes), "");
        rank = LLVMBuildAdd(e->builder, rank, moved, "");
    }
    return LLVMBuildZExt(e->builder, rank, e->row_type, "");
}

static LLVMValueRef
last_lane(Emit *e, LLVMValueRef vector)
{
    if (e->lanes == 1)
        return vector;
    LLVMValueRef last = LLVMConstInt(e->i32, e->lanes - 1, false);
    return LLVMBuildExtractElement(e->builder, vector, last, "");
}

/* ---- refill ------------------------------------------------------------------------------------ */

static void
emit_refill(Emit *e, const Driver *d)
{
    LLVMBuilderRef b = e->builder;
    LLVMBasicBlockRef init = rxn__llvm_block(e, "init");
    LLVMPositionBuilderAtEnd(b, d->refill);
    LLVMValueRef live = rxn__llvm_load(e, e->mask_type, d->live);
    LLVMValueRef next = rxn__llvm_load(e, e->i64, d->next);
    LLVMValueRef rank = inclusive_rank(e, mask_not(e, live));
    /* The k-th free lane (from 1) takes row next + k - 1. */
    LLVMValueRef before = LLVMBuildSub(b, next, LLVMConstInt(e->i64, 1, false), "");
    LLVMValueRef candidate = LLVMBuildAdd(b, rank, rxn__llvm_splat(e, before), "");
    LLVMValueRef exists = LLVMBuildICmp(b, LLVMIntULT, candidate, rxn__llvm_splat(e, e->count), "");
    LLVMValueRef filled = mask_and(e, mask_not(e, live), exists);
    LLVMValueRef row = rxn__llvm_load(e, e->row_type, e->row_slot);
    rxn__llvm_store(e, LLVMBuildSelect(b, filled, candidate, row, ""), e->row_slot);
    /* Rows past the last are given out too, to nobody: `next` stays below count + W. */
    next = LLVMBuildAdd(b, next, last_lane(e, rank), "");
    LLVMValueRef past = LLVMBuildICmp(b, LLVMIntULT, next, e->count, "");
    rxn__llvm_store(e, LLVMBuildSelect(b, past, next, e->count, ""), d->next);
    rxn__llvm_branch(e, rxn__llvm_any(e, filled), init, d->check, 1);

    LLVMPositionBuilderAtEnd(b, init);
    rxn__llvm_zero_locals(e, filled);
    rxn__llvm_store(e, filled, d->alive);
    rxn__llvm_store(e, LLVMBuildOr(b, live, filled, ""), d->live);
    rxn__llvm_emit_region(e, KIR_INIT, e->lanes == 1 ? NULL : filled, d->alive, true);
    /* The lanes that were not filled go on; `alive` gets them back. */
    LLVMValueRef alive = LLVMBuildOr(b, rxn__llvm_load(e, e->mask_type, d->alive), live, "");
    rxn__llvm_store(e, alive, d->alive);
    LLVMValueRef done = rxn__llvm_load(e, e->mask_type, e->locals[e->kernel->done].slots[0]);
    LLVMValueRef go_on = mask_and(e, alive, mask_not(e, done));
    LLVMValueRef ended = LLVMBuildXor(b, LLVMBuildOr(b, live, filled, ""), go_on, "");
    rxn__llvm_branch(e, rxn__llvm_any(e, ended), d->finish, d->check, 16);
}

/* ---- cancellation ------------------------------------------------------------------------------ */

void
rxn__llvm_emit_poll(Emit *e, LLVMBasicBlockRef next)
{
    LLVMBuilderRef b = e->builder;
    LLVMBasicBlockRef asked = rxn__llvm_block(e, "asked");
    LLVMValueRef zero = LLVMConstInt(e->i32, 0, false);
    LLVMValueRef left =
        LLVMBuildSub(b, rxn__llvm_load(e, e->i32, e->polls), LLVMConstInt(e->i32, 1, false), "");
    rxn__llvm_store(e, left, e->polls);
    LLVMValueRef now = LLVMBuildICmp(b, LLVMIntEQ, left, zero, "");
    rxn__llvm_branch(e, now, asked, next, POLL_STEPS);

    LLVMPositionBuilderAtEnd(b, asked);
    rxn__llvm_store(e, LLVMConstInt(e->i32, POLL_STEPS, false), e->polls);
    LLVMValueRef cancel = rxn__llvm_load(e, e->i32, e->cancel);
    LLVMSetVolatile(cancel, true);
    LLVMValueRef wanted = LLVMBuildICmp(b, LLVMIntNE, cancel, zero, "");
    rxn__llvm_branch(e, wanted, e->cancelled, next, 1024);
}

/* ---- step -------------------------------------------------------------------------------------- */

static void
emit_step(Emit *e, const Driver *d)
{
    LLVMBuilderRef b = e->builder;
    LLVMPositionBuilderAtEnd(b, d->check);
    LLVMValueRef live = rxn__llvm_load(e, e->mask_type, d->live);
    rxn__llvm_branch(e, rxn__llvm_any(e, live), d->step, d->leave, 1);

    LLVMPositionBuilderAtEnd(b, d->step);
    live = rxn__llvm_load(e, e->mask_type, d->live);
    rxn__llvm_store(e, live, d->alive);
    rxn__llvm_emit_region(e, KIR_STEP, e->lanes == 1 ? NULL : live, d->alive, false);
    LLVMValueRef alive = rxn__llvm_load(e, e->mask_type, d->alive);
    LLVMValueRef done = rxn__llvm_load(e, e->mask_type, e->locals[e->kernel->done].slots[0]);
    LLVMValueRef ended = LLVMBuildXor(b, live, mask_and(e, alive, mask_not(e, done)), "");
    rxn__llvm_branch(e, rxn__llvm_any(e, ended), d->finish, d->poll, 64);

    LLVMPositionBuilderAtEnd(b, d->poll);
    rxn__llvm_emit_poll(e, d->step);
}

/* ---- faults ------------------------------------------------------------------------------------ */

/* As f64, scalar or vector like the value. */
static LLVMValueRef
as_f64(Emit *e, KirType type, LLVMValueRef value, LLVMTypeRef wide)
{
    LLVMBuilderRef b = e->builder;
    switch (type) {
    case KIR_F64: return value;
    case KIR_F32: return LLVMBuildFPExt(b, value, wide, "");
    case KIR_I32:
    case KIR_I64: return LLVMBuildSIToFP(b, value, wide, "");
    case KIR_BOOL:
    case KIR_U32:
    case KIR_U64: break;
    }
    return LLVMBuildUIToFP(b, value, wide, "");
}

static LLVMValueRef
element_of(Emit *e, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index)
{
    return LLVMBuildGEP2(e->builder, type, base, &index, 1, "");
}

/* A loop `for i in 0..count`, count a constant > 0. Returns i; close it with end_loop. */
typedef struct CountedLoop {
    LLVMValueRef i;
    LLVMBasicBlockRef body;
    u32 count;
} CountedLoop;

static CountedLoop
begin_loop(Emit *e, u32 count)
{
    CountedLoop loop = {NULL, rxn__llvm_block(e, "each"), count};
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
    LLVMValueRef zero = LLVMConstInt(e->i64, 0, false);
    LLVMBuildBr(e->builder, loop.body);
    LLVMPositionBuilderAtEnd(e->builder, loop.body);
    loop.i = LLVMBuildPhi(e->builder, e->i64, "");
    LLVMAddIncoming(loop.i, &zero, &before, 1);
    return loop;
}

static void
end_loop(Emit *e, const CountedLoop *loop)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->builder), after = rxn__llvm_block(e, "all");
    LLVMValueRef next = LLVMBuildAdd(e->builder, loop->i, LLVMConstInt(e->i64, 1, false), "");
    LLVMAddIncoming(loop->i, &next, &here, 1);
    LLVMValueRef more =
        LLVMBuildICmp(e->builder, LLVMIntULT, next, LLVMConstInt(e->i64, loop->count, false), "");
    LLVMBuildCondBr(e->builder, more, loop->body, after);
    LLVMPositionBuilderAtEnd(e->builder, after);
}

/* Copies numbers of one lane out of `area` (number k of lane l at k*W + l, f64). */
static void
copy_witness(Emit *e, LLVMValueRef area, u32 count, LLVMValueRef lane, LLVMValueRef witness, u32 at)
{
    CountedLoop loop = begin_loop(e, count);
    LLVMValueRef place =
        LLVMBuildMul(e->builder, loop.i, LLVMConstInt(e->i64, e->lanes, false), "");
    place = LLVMBuildAdd(e->builder, place, lane, "");
    LLVMValueRef value = rxn__llvm_load(e, e->f64, element_of(e, e->f64, area, place));
    place = LLVMBuildAdd(e->builder, loop.i, LLVMConstInt(e->i64, at, false), "");
    rxn__llvm_store(e, value, element_of(e, e->f64, witness, place));
    end_loop(e, &loop);
}

static void
copy_witness_array(Emit *e, u32 local, LLVMValueRef lane, LLVMValueRef witness, u32 at)
{
    KirType type = (KirType)e->kernel->locals.items[local].type;
    LLVMTypeRef memory = type == KIR_BOOL ? e->i8 : e->scalar[type];
    CountedLoop loop = begin_loop(e, e->kernel->locals.items[local].length);
    LLVMValueRef address = rxn__llvm_lane_element(e, local, loop.i, lane);
    LLVMValueRef value = as_f64(e, type, rxn__llvm_load(e, memory, address), e->f64);
    LLVMValueRef place = LLVMBuildAdd(e->builder, loop.i, LLVMConstInt(e->i64, at, false), "");
    rxn__llvm_store(e, value, element_of(e, e->f64, witness, place));
    end_loop(e, &loop);
}

/* Into the witness area go the witnesses of the lanes in the mask; the others keep what is there. */
static void
save_number(Emit *e, KirType type, LLVMValueRef value, u32 number, LLVMValueRef mask)
{
    LLVMValueRef at = LLVMConstInt(e->i64, (u64)number * e->lanes, false);
    LLVMValueRef address = element_of(e, e->f64, e->witness_area, at);
    value = as_f64(e, type, value, e->vector[KIR_F64]);
    if (e->lanes > 1) {
        LLVMValueRef old = rxn__llvm_load(e, e->vector[KIR_F64], address);
        LLVMSetAlignment(old, 8);
        value = LLVMBuildSelect(e->builder, mask, value, old, "");
    }
    LLVMSetAlignment(LLVMBuildStore(e->builder, value, address), 8);
}

void
rxn__llvm_save_witness(Emit *e, LLVMValueRef mask)
{
    u32 n = 0;
    for (u32 i = 0; i < e->kernel->witness.count; i++) {
        u32 local = e->kernel->witness.items[i];
        const KirLocal *declared = &e->kernel->locals.items[local];
        KirType type = (KirType)declared->type;
        bool uniform = e->layout->locals[local].uniform;
        if (e->layout->locals[local].place > LOCAL_SPLIT)
            continue;
        for (u32 k = 0; k < (declared->length ? declared->length : 1); k++, n++) {
            LLVMTypeRef slot_type = uniform ? e->scalar[type] : e->vector[type];
            LLVMValueRef value = rxn__llvm_load(e, slot_type, e->locals[local].slots[k]);
            save_number(e, type, uniform ? rxn__llvm_splat(e, value) : value, n, mask);
        }
    }
    LLVMValueRef saved = rxn__llvm_load(e, e->mask_type, e->saved_slot);
    LLVMSetVolatile(saved, true); /* in memory, as the codes are; see control.c */
    saved = LLVMBuildOr(e->builder, saved, mask, "");
    LLVMSetVolatile(LLVMBuildStore(e->builder, saved, e->saved_slot), true);
}

/* For one lane: writes the fault if its trajectory is the lowest so far. */
static void
record_fault(Emit *e, LLVMValueRef lane, const LLVMValueRef spilled[4], LLVMBasicBlockRef next)
{
    LLVMBuilderRef b = e->builder;
    LLVMBasicBlockRef ours = rxn__llvm_block(e, "fault"), lower = rxn__llvm_block(e, "lower");
    LLVMBasicBlockRef with_witness = rxn__llvm_block(e, "witness");
    LLVMValueRef trapped = rxn__llvm_load(e, e->i8, element_of(e, e->i8, spilled[0], lane));
    trapped = LLVMBuildICmp(b, LLVMIntNE, trapped, LLVMConstInt(e->i8, 0, false), "");
    LLVMBuildCondBr(b, trapped, ours, next);

    LLVMPositionBuilderAtEnd(b, ours);
    LLVMValueRef row = rxn__llvm_load(e, e->i64, element_of(e, e->i64, spilled[1], lane));
    LLVMValueRef trajectory = LLVMBuildAdd(b, row, e->first, "");
    LLVMValueRef lowest = rxn__llvm_load(e, e->i64, e->fault);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntULT, trajectory, lowest, ""), lower, next);

    LLVMPositionBuilderAtEnd(b, lower);
    rxn__llvm_store(e, trajectory, e->fault);
    LLVMValueRef at = LLVMConstInt(e->i64, offsetof(RxnFault, code), false);
    LLVMValueRef word = rxn__llvm_load(e, e->i32, element_of(e, e->i32, spilled[2], lane));
    rxn__llvm_store(e, word, element_of(e, e->i8, e->fault, at));
    at = LLVMConstInt(e->i64, offsetof(RxnFault, detail), false);
    word = rxn__llvm_load(e, e->i32, element_of(e, e->i32, spilled[3], lane));
    rxn__llvm_store(e, word, element_of(e, e->i8, e->fault, at));
    at = LLVMConstInt(e->i64, offsetof(RxnFault, witness), false);
    LLVMValueRef witness = rxn__llvm_load(e, e->pointer, element_of(e, e->i8, e->fault, at));
    LLVMBuildCondBr(b, LLVMBuildIsNull(b, witness, ""), next, with_witness);

    LLVMPositionBuilderAtEnd(b, with_witness);
    u32 from = 0, to = 0; /* in the area; in the record */
    for (u32 i = 0; i < e->kernel->witness.count; i++) {
        u32 local = e->kernel->witness.items[i];
        u32 length = e->kernel->locals.items[local].length;
        if (e->layout->locals[local].place > LOCAL_SPLIT) {
            copy_witness_array(e, local, lane, witness, to);
            to += length;
            continue;
        }
        /* Neighbours in both places go in one loop. */
        u32 count = 0;
        for (; i < e->kernel->witness.count; i++) {
            local = e->kernel->witness.items[i];
            if (e->layout->locals[local].place > LOCAL_SPLIT)
                break;
            length = e->kernel->locals.items[local].length;
            count += length ? length : 1;
        }
        i--;
        LLVMValueRef start = LLVMConstInt(e->i64, (u64)from * e->lanes, false);
        start = element_of(e, e->f64, e->witness_area, start);
        copy_witness(e, start, count, lane, witness, to);
        from += count;
        to += count;
    }
    LLVMBuildBr(b, next);
}

/* Records the faults of the lanes in `trapped` and clears their codes. Cold: written once. */
static void
emit_faults(Emit *e, LLVMValueRef trapped)
{
    LLVMBuilderRef b = e->builder;
    /* Those that trapped where no lane could overwrite them are saved only now. */
    LLVMValueRef saved = rxn__llvm_load(e, e->mask_type, e->saved_slot);
    LLVMSetVolatile(saved, true);
    rxn__llvm_save_witness(e, mask_and(e, trapped, mask_not(e, saved)));
    LLVMSetVolatile(LLVMBuildStore(b, LLVMConstNull(e->mask_type), e->saved_slot), true);

    LLVMTypeRef words = e->vector[KIR_U32],
                bytes = e->lanes == 1 ? e->i8 : LLVMVectorType(e->i8, e->lanes);
    LLVMValueRef spilled[4] = {
        rxn__llvm_stack_slot(e, bytes, ""), rxn__llvm_stack_slot(e, e->row_type, ""),
        rxn__llvm_stack_slot(e, words, ""), rxn__llvm_stack_slot(e, words, "")};
    rxn__llvm_store(e, LLVMBuildZExt(b, trapped, bytes, ""), spilled[0]);
    rxn__llvm_store(e, rxn__llvm_load(e, e->row_type, e->row_slot), spilled[1]);
    rxn__llvm_store(e, rxn__llvm_load(e, words, e->code_slot), spilled[2]);
    rxn__llvm_store(e, rxn__llvm_load(e, words, e->detail_slot), spilled[3]);

    CountedLoop loop = begin_loop(e, e->lanes);
    LLVMBasicBlockRef next = rxn__llvm_block(e, "next_lane");
    record_fault(e, loop.i, spilled, next);
    LLVMPositionBuilderAtEnd(b, next);
    end_loop(e, &loop);
}

/* ---- finish ------------------------------------------------------------------------------------ */

static void
emit_finish(Emit *e, const Driver *d)
{
    LLVMBuilderRef b = e->builder;
    LLVMBasicBlockRef finish = rxn__llvm_block(e, "finish_done");
    LLVMBasicBlockRef faults = rxn__llvm_block(e, "faults"), trap = rxn__llvm_block(e, "trapped");
    LLVMBasicBlockRef out = rxn__llvm_block(e, "free");
    LLVMPositionBuilderAtEnd(b, d->finish);
    LLVMValueRef live = rxn__llvm_load(e, e->mask_type, d->live);
    LLVMValueRef alive = mask_and(e, live, rxn__llvm_load(e, e->mask_type, d->alive));
    LLVMValueRef done = rxn__llvm_load(e, e->mask_type, e->locals[e->kernel->done].slots[0]);
    LLVMValueRef ready = mask_and(e, alive, done);
    rxn__llvm_store(e, ready, d->alive);
    rxn__llvm_store(e, mask_and(e, alive, mask_not(e, done)), d->live);
    rxn__llvm_branch(e, rxn__llvm_any(e, ready), finish, faults, 1);

    LLVMPositionBuilderAtEnd(b, finish);
    rxn__llvm_emit_region(e, KIR_FINISH, e->lanes == 1 ? NULL : ready, d->alive, true);
    LLVMBuildBr(b, faults);

    LLVMPositionBuilderAtEnd(b, faults);
    /* Trapped: before finish, or in it. */
    LLVMValueRef well = LLVMBuildOr(b, rxn__llvm_load(e, e->mask_type, d->alive),
                                    rxn__llvm_load(e, e->mask_type, d->live), "");
    LLVMValueRef trapped = mask_and(e, live, mask_not(e, well));
    rxn__llvm_branch(e, rxn__llvm_any(e, trapped), trap, out, 4096);

    LLVMPositionBuilderAtEnd(b, trap);
    emit_faults(e, trapped);
    LLVMBuildBr(b, out);

    LLVMPositionBuilderAtEnd(b, out);
    LLVMBuildBr(b, d->refill);
}

void
rxn__llvm_emit_function(Emit *e)
{
    LLVMBuilderRef b = e->builder;
    e->entry = rxn__llvm_block(e, "entry");
    LLVMBasicBlockRef begin = rxn__llvm_block(e, "begin");
    LLVMPositionBuilderAtEnd(b, begin);
    emit_launch_fields(e);
    Driver d = {
        .next = rxn__llvm_stack_slot(e, e->i64, "next"),
        .live = rxn__llvm_stack_slot(e, e->mask_type, "live"),
        .alive = rxn__llvm_stack_slot(e, e->mask_type, "alive"),
    };
    e->polls = rxn__llvm_stack_slot(e, e->i32, "polls");
    e->row_slot = rxn__llvm_stack_slot(e, e->row_type, "row");
    e->code_slot = rxn__llvm_stack_slot(e, e->vector[KIR_U32], "code");
    e->detail_slot = rxn__llvm_stack_slot(e, e->vector[KIR_U32], "detail");
    e->saved_slot = rxn__llvm_stack_slot(e, e->mask_type, "saved");
    rxn__llvm_emit_liveness(e);
    rxn__llvm_emit_locals(e);
    rxn__llvm_plan_log(e);
    emit_witness_area(e);
    LLVMSetVolatile(LLVMBuildStore(b, LLVMConstNull(e->mask_type), e->saved_slot), true);
    rxn__llvm_store(e, LLVMConstInt(e->i64, 0, false), d.next);
    rxn__llvm_store(e, LLVMConstNull(e->mask_type), d.live);
    rxn__llvm_store(e, LLVMConstNull(e->mask_type), d.alive);
    rxn__llvm_store(e, LLVMConstInt(e->i32, POLL_STEPS, false), e->polls);
    rxn__llvm_store(e, LLVMConstNull(e->row_type), e->row_slot);
    rxn__llvm_store(e, LLVMConstNull(e->vector[KIR_U32]), e->code_slot);
    rxn__llvm_store(e, LLVMConstNull(e->vector[KIR_U32]), e->detail_slot);
    rxn__llvm_emit_region(e, KIR_LAUNCH, NULL, NULL, false);
    d.refill = rxn__llvm_block(e, "refill");
    d.check = rxn__llvm_block(e, "check");
    d.step = rxn__llvm_block(e, "step");
    d.poll = rxn__llvm_block(e, "poll");
    d.finish = rxn__llvm_block(e, "finish");
    d.leave = e->cancelled = rxn__llvm_block(e, "leave");
    LLVMBuildBr(b, d.refill);

    emit_refill(e, &d);
    emit_step(e, &d);
    emit_finish(e, &d);
    LLVMPositionBuilderAtEnd(b, d.leave);
    rxn__llvm_write_log(e);
    LLVMBuildRetVoid(b);
    LLVMPositionBuilderAtEnd(b, e->entry);
    LLVMBuildBr(b, begin);
}
