/* control.c: statements, and the masks that stand for control flow where lanes disagree.
 *
 * The state is e->mask, the lanes that execute. A condition that differs between lanes narrows it:
 *
 *     if %c { A } else { B }      then = mask & %c;  rest = mask & ~%c
 *                                 if (any(then)) { mask = then; A }
 *                                 if (any(rest)) { mask = rest; B }
 *
 *     loop { A; if %c { break }   alive = mask
 *            B }                  do { mask = alive; A;
 *                                      then = mask & %c; if (any(then)) alive &= ~then;
 *                                      mask = mask & alive; B } while (any(alive))
 *
 * A condition that is one for all lanes is a plain branch. With one lane every condition is, and no
 * mask is left.
 *
 * A block that is entered `seldom` is written for one lane after another, without masks, where that can be done (alone.c).
 *
 * Lanes leave for good by `break` (out of a loop) and `trap` (out of the region): the `alive` masks,
 * one per `for` or `loop` that lanes leave one by one and one for the region, lose them. After a block that
 * may have done so the mask is formed anew from what it was and who is alive.
 *
 * Invariant: no code runs with an empty mask. Whoever narrows the mask tests it. So a load whose
 * index is the same for all lanes needs no mask: if it were out of range, it would be for a lane that
 * executes. That is what `block_end` is for: a block whose last lane has left goes there.
 *
 * Sets of locals. Inside an `if` the lanes outside must keep theirs, those that they still read (e->parked;
 * see liveness.c): a blend. At the top of `step` nobody else is there (lanes without a trajectory may
 * compute garbage), so a set is a plain assignment; that makes the common path free of masks. Loops
 * are made so that the same holds at the top of their bodies (loops.c, exits.c).
 *
 * What a lane that has trapped computes in the rest of the step, or of a loop, is garbage too; but its
 * fault will show its time and state as they were at the trap. So either these are saved when the trap
 * happens (code that is cold), or later sets of them are blends (code that is not). Arrays in memory are
 * not saved: masked stores cost nothing.
 */
#include "compiler/target/llvm/llvm.h"

static bool emit_block(Emit *e, const KirBlock *block);

bool
rxn__llvm_has_trap(const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (s->kind == KIR_TRAP || rxn__llvm_has_trap(&s->body) ||
            rxn__llvm_has_trap(&s->otherwise))
            return true;
    }
    return false;
}

static const Live *
innermost_loop(const Emit *e)
{
    const Live *live = e->live;
    while (live->outer != NULL && !live->is_loop)
        live = live->outer;
    return live;
}

/* Whether lanes may leave the construct around `block` while others go on. */
static bool
may_shrink(const Emit *e, const KirBlock *block)
{
    if (e->lanes == 1 || e->mask == NULL)
        return false;
    const Live *loop = innermost_loop(e);
    return rxn__llvm_has_trap(block) ||
           (loop->is_loop && !loop->uniform && rxn__kir_has_break(block));
}

static void
open_scope(Emit *e)
{
    vec_push(e->arena, &e->open_scopes, ++e->scope_count);
}

static void
close_scope(Emit *e)
{
    e->open_scopes.count--;
}

Standing
rxn__llvm_standing(const Emit *e)
{
    return (Standing){e->mask, e->blend, e->open, e->parked};
}

void
rxn__llvm_stand(Emit *e, Standing at)
{
    e->mask = at.mask;
    e->blend = at.blend;
    e->open = at.open;
    e->parked = at.parked;
}

/* Those parked, and some more. */
static const u64 *
parked_with(Emit *e, const u64 *parked, const u64 *units)
{
    u64 *all = rxn__llvm_units(e->liveness, parked);
    rxn__llvm_add_units(e->liveness, all, units);
    return all;
}

LLVMValueRef
rxn__llvm_alive_mask(Emit *e)
{
    const Live *live = e->live;
    while (live->alive == NULL) /* a loop that lanes leave together keeps no mask of its own */
        live = live->outer;
    return rxn__llvm_load(e, e->mask_type, live->alive);
}

/* After a block that lanes may have left: who is still here of those in `before`? If nobody, the
 * enclosing block is over too. */
void
rxn__llvm_reform_mask(Emit *e, LLVMValueRef before)
{
    e->mask = LLVMBuildAnd(e->builder, before, rxn__llvm_alive_mask(e), "");
    LLVMBasicBlockRef some = rxn__llvm_block(e, "some");
    LLVMValueRef any = rxn__llvm_any(e, e->mask);
    rxn__llvm_branch(e, LLVMBuildNot(e->builder, any, ""), e->block_end, some, 16);
    LLVMPositionBuilderAtEnd(e->builder, some);
}

/* Emits a block that begins at `begin`. Who comes to its end goes on `through`, with a mask that is not
 * empty; a block whose last lane has left before goes to `end`. */
void
rxn__llvm_emit_body(Emit *e, const KirBlock *block, LLVMBasicBlockRef begin,
                    LLVMBasicBlockRef through, LLVMBasicBlockRef end)
{
    LLVMBasicBlockRef outer_end = e->block_end;
    e->block_end = end;
    LLVMPositionBuilderAtEnd(e->builder, begin);
    open_scope(e);
    if (emit_block(e, block))
        LLVMBuildBr(e->builder, through);
    close_scope(e);
    e->block_end = outer_end;
}

/* ---- if ---------------------------------------------------------------------------------------- */

/* Whether who enters the block ends in a trap. */
static bool
always_traps(const KirBlock *block)
{
    return block->count > 0 && block->items[block->count - 1].kind == KIR_TRAP;
}

static void
emit_uniform_if(Emit *e, const KirStatement *s)
{
    LLVMValueRef before = e->mask;
    bool fatal = s->otherwise.count == 0 && always_traps(&s->body);
    bool shrinks = !fatal && (may_shrink(e, &s->body) || may_shrink(e, &s->otherwise));
    LLVMBasicBlockRef then = rxn__llvm_block(e, "then"), after = rxn__llvm_block(e, "after");
    LLVMBasicBlockRef otherwise = after;
    if (s->otherwise.count > 0)
        otherwise = rxn__llvm_block(e, "else");
    LLVMBuildCondBr(e->builder, e->values[s->value], then, otherwise);
    u8 outer_trap = e->after_trap;
    /* All lanes of this block enter, and none comes out: then the block is over for good. */
    LLVMBasicBlockRef out = fatal ? e->block_end : after;
    rxn__llvm_emit_body(e, &s->body, then, out, out);
    u8 trap = fatal && e->divergence == 0 ? outer_trap : e->after_trap;
    if (s->otherwise.count > 0) {
        e->mask = before;
        e->after_trap = outer_trap;
        rxn__llvm_emit_body(e, &s->otherwise, otherwise, after, after);
        trap |= e->after_trap;
    }
    e->after_trap = trap;
    LLVMPositionBuilderAtEnd(e->builder, after);
    e->mask = before;
    if (shrinks)
        rxn__llvm_reform_mask(e, before);
}

/* A body of a few cheap pure ops and sets costs less than the branch around it. */
static bool
is_cheap(const Emit *e, const KirBlock *block)
{
    enum { MOST_STATEMENTS = 6 };
    if (block->count > MOST_STATEMENTS)
        return false;
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (s->kind == KIR_SET && e->layout->locals[s->object].place <= LOCAL_SPLIT)
            continue;
        if (s->kind != KIR_DEFINE)
            return false;
        const KirNode *node = &e->kernel->values.items[s->value];
        bool in_register =
            node->op == KIR_GET && e->layout->locals[node->object].place <= LOCAL_SPLIT;
        if (node->op == KIR_LOAD || node->op == KIR_DIV || node->op == KIR_REM ||
            node->op == KIR_SQRT || (node->op == KIR_GET && !in_register))
            return false;
    }
    return true;
}

static void
emit_flat_if(Emit *e, const KirStatement *s, LLVMValueRef then, LLVMValueRef rest)
{
    const Standing outside = rxn__llvm_standing(e);
    const LiveAround *around = rxn__llvm_live_around(e->liveness, s);
    e->blend = true;
    e->mask = then; /* no trap is in there, so `divergence` does not matter */
    e->parked = parked_with(e, outside.parked, around->inside);
    open_scope(e);
    emit_block(e, &s->body);
    close_scope(e);
    e->mask = rest;
    e->parked = parked_with(e, outside.parked, around->after);
    open_scope(e);
    emit_block(e, &s->otherwise);
    close_scope(e);
    rxn__llvm_stand(e, outside);
}

/* A block that only reports a fault is cold. One that leaves a long loop is entered once or never by
 * each lane. */
static u32
odds_of(const Emit *e, const KirBlock *block)
{
    if (rxn__llvm_has_trap(block))
        return 4096;
    const Live *loop = innermost_loop(e);
    return loop->is_for && rxn__kir_has_break(block) ? 64 : 1;
}

/* Behind a block that may trap, where `open`: keeps the witnesses of those that did. */
static void
save_the_trapped(Emit *e, LLVMValueRef before)
{
    LLVMBuilderRef b = e->builder;
    const Live *region = e->live;
    while (region->outer != NULL)
        region = region->outer;
    LLVMBasicBlockRef save = rxn__llvm_block(e, "save"), go_on = rxn__llvm_block(e, "go_on");
    LLVMValueRef well = rxn__llvm_load(e, e->mask_type, region->alive);
    LLVMValueRef trapped = LLVMBuildAnd(b, before, LLVMBuildNot(b, well, ""), "");
    rxn__llvm_branch(e, rxn__llvm_any(e, trapped), save, go_on, 4096);
    LLVMPositionBuilderAtEnd(b, save);
    /* In a loop in there some may have been saved already. */
    LLVMValueRef saved = rxn__llvm_load(e, e->mask_type, e->saved_slot);
    LLVMSetVolatile(saved, true);
    rxn__llvm_save_witness(e, LLVMBuildAnd(b, trapped, LLVMBuildNot(b, saved, ""), ""));
    LLVMBuildBr(b, go_on);
    LLVMPositionBuilderAtEnd(b, go_on);
}

/* One side of an `if`, and behind it. */
static void
emit_side(Emit *e, const KirBlock *block, LLVMValueRef mask, LLVMValueRef before, bool reforms)
{
    LLVMBasicBlockRef begin = rxn__llvm_block(e, "side"), after = rxn__llvm_block(e, "after");
    bool saves = e->open && e->saves_witness && rxn__llvm_has_trap(block);
    LLVMBasicBlockRef out = saves || reforms ? rxn__llvm_block(e, "out") : after;
    u8 trap = e->after_trap;
    rxn__llvm_branch(e, rxn__llvm_any(e, mask), begin, after, odds_of(e, block));
    e->mask = mask;
    e->open = false;
    rxn__llvm_emit_body(e, block, begin, out, out);
    if (saves || reforms)
        LLVMPositionBuilderAtEnd(e->builder, out);
    if (saves) {
        save_the_trapped(e, mask);
        e->after_trap = LANES_TRAPPED | trap;
    }
    if (reforms) {
        /* Only who comes out of the body needs the test whether anybody is left. */
        LLVMValueRef left = LLVMBuildAnd(e->builder, before, rxn__llvm_alive_mask(e), "");
        LLVMBuildCondBr(e->builder, rxn__llvm_any(e, left), after, e->block_end);
    } else if (saves) {
        LLVMBuildBr(e->builder, after);
    }
    LLVMPositionBuilderAtEnd(e->builder, after);
}

static void
emit_divergent_if(Emit *e, const KirStatement *s)
{
    const Standing outside = rxn__llvm_standing(e);
    const LiveAround *around = rxn__llvm_live_around(e->liveness, s);
    LLVMValueRef before = e->mask, condition = e->values[s->value];
    LLVMValueRef then = LLVMBuildAnd(e->builder, before, condition, "");
    LLVMValueRef rest = NULL;
    if (s->otherwise.count > 0)
        rest = LLVMBuildAnd(e->builder, before, LLVMBuildNot(e->builder, condition, ""), "");
    if (is_cheap(e, &s->body) && is_cheap(e, &s->otherwise)) {
        emit_flat_if(e, s, then, rest);
        return;
    }
    bool shrinks = may_shrink(e, &s->body) || may_shrink(e, &s->otherwise);
    bool reforms = shrinks && rest == NULL;
    e->divergence++;
    e->blend = true;
    e->parked = parked_with(e, outside.parked, around->inside);
    if (s->body.count > 0)
        emit_side(e, &s->body, then, before, reforms);
    e->open = outside.open;
    e->parked = parked_with(e, outside.parked, around->after);
    if (rest != NULL)
        emit_side(e, &s->otherwise, rest, before, reforms);
    e->divergence--;
    rxn__llvm_stand(e, outside);
    if (reforms)
        e->mask = LLVMBuildAnd(e->builder, before, rxn__llvm_alive_mask(e), "");
    else if (shrinks)
        rxn__llvm_reform_mask(e, before);
}

/* ---- leaving ----------------------------------------------------------------------------------- */

/* Takes the lanes that execute out of `alive` here and in all constructs around, to `last`. */
static void
kill_lanes(Emit *e, const Live *last)
{
    LLVMValueRef others = LLVMBuildNot(e->builder, e->mask, "");
    for (const Live *live = e->live; live != NULL; live = live == last ? NULL : live->outer) {
        if (live->alive == NULL)
            continue;
        LLVMValueRef alive = rxn__llvm_load(e, e->mask_type, live->alive);
        rxn__llvm_store(e, LLVMBuildAnd(e->builder, alive, others, ""), live->alive);
    }
}

static void
emit_break(Emit *e)
{
    const Live *loop = innermost_loop(e);
    if (loop->uniform) {
        LLVMBuildBr(e->builder, loop->leave);
        return;
    }
    kill_lanes(e, loop);
    if (loop->exits != NULL)
        rxn__llvm_leave_by_break(e, loop);
    LLVMBuildBr(e->builder, e->block_end);
}

/* Volatile, so that these stay in memory: as registers they would have to be merged behind every
 * trap, and a kernel has many traps that never happen. */
static void
note_fault(Emit *e, LLVMValueRef value, LLVMValueRef slot)
{
    LLVMValueRef old = rxn__llvm_load(e, LLVMTypeOf(value), slot);
    LLVMSetVolatile(old, true);
    value = LLVMBuildSelect(e->builder, e->mask, value, old, "");
    LLVMSetVolatile(LLVMBuildStore(e->builder, value, slot), true);
}

/* A trap that all lanes of the region step into, for a reason that is the same for all: a wrong
 * parameter, say. Kernels have dozens of these, one after another; what they do stands once per
 * region, and each only brings its code and detail. */
static void
emit_shared_trap(Emit *e, const KirStatement *s)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->builder);
    SharedTrap *shared = &e->shared_trap;
    if (shared->block == NULL) {
        shared->block = rxn__llvm_block(e, "trap_all");
        LLVMPositionBuilderAtEnd(e->builder, shared->block);
        shared->code = LLVMBuildPhi(e->builder, e->i32, "");
        shared->detail = LLVMBuildPhi(e->builder, e->i32, "");
        LLVMPositionBuilderAtEnd(e->builder, here);
    }
    LLVMValueRef code = LLVMConstInt(e->i32, s->code, false), detail = e->values[s->value];
    LLVMAddIncoming(shared->code, &code, &here, 1);
    LLVMAddIncoming(shared->detail, &detail, &here, 1);
    LLVMBuildBr(e->builder, shared->block);
}

/* At the end of a region: the block that these lead to. */
static void
emit_shared_block(Emit *e, LLVMBasicBlockRef end)
{
    if (e->shared_trap.block == NULL)
        return;
    LLVMPositionBuilderAtEnd(e->builder, e->shared_trap.block);
    e->mask = rxn__llvm_alive_mask(e);
    note_fault(e, rxn__llvm_splat(e, e->shared_trap.code), e->code_slot);
    note_fault(e, rxn__llvm_splat(e, e->shared_trap.detail), e->detail_slot);
    kill_lanes(e, NULL);
    LLVMBuildBr(e->builder, end);
    e->shared_trap.block = NULL;
}

static void
emit_trap(Emit *e, const KirStatement *s)
{
    if (e->lanes > 1 && e->divergence == 0 && e->layout->uniform[s->value]) {
        emit_shared_trap(e, s);
        e->after_trap = LANES_TRAPPED | WITNESS_OPEN;
        return;
    }
    LLVMValueRef code = LLVMConstInt(e->i32, s->code, false);
    LLVMValueRef detail = rxn__llvm_lanes_of(e, s->value);
    if (e->lanes == 1) {
        const Live *region = e->live;
        while (region->outer != NULL)
            region = region->outer;
        rxn__llvm_store(e, code, e->code_slot);
        rxn__llvm_store(e, detail, e->detail_slot);
        rxn__llvm_store(e, LLVMConstNull(e->i1), region->alive);
        LLVMBuildBr(e->builder, region->leave);
        return;
    }
    note_fault(e, rxn__llvm_splat(e, code), e->code_slot);
    note_fault(e, detail, e->detail_slot);
    kill_lanes(e, NULL);
    e->after_trap = LANES_TRAPPED | WITNESS_OPEN;
    if (e->open && e->saves_witness && e->divergence > 0) {
        rxn__llvm_save_witness(e, e->mask);
        e->after_trap = LANES_TRAPPED;
    }
    LLVMBuildBr(e->builder, e->block_end);
}

/* ------------------------------------------------------------------------------------------------ */

bool
rxn__llvm_between_stores(const Emit *e, const KirStatement *s)
{
    if (s->kind != KIR_DEFINE)
        return s->kind == KIR_STORE || s->kind == KIR_SET;
    const KirNode *node = &e->kernel->values.items[s->value];
    return node->op != KIR_LOAD || !e->kernel->buffers.items[node->object].writable;
}

/* Returns whether the end of the block can be reached: nothing follows a break or a trap. */
static bool
emit_block(Emit *e, const KirBlock *block)
{
    const bool *uniform = e->layout->uniform;
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (!rxn__llvm_between_stores(e, s))
            rxn__llvm_flush_stores(e);
        switch ((KirStatementKind)s->kind) {
        case KIR_DEFINE: rxn__llvm_emit_value(e, s->value); break;
        case KIR_SET: rxn__llvm_emit_set(e, s); break;
        case KIR_STORE: rxn__llvm_emit_store(e, s); break;
        case KIR_IF:
            if (uniform[s->value])
                emit_uniform_if(e, s);
            else if (rxn__llvm_can_be_alone(e, s))
                rxn__llvm_emit_alone(e, s);
            else
                emit_divergent_if(e, s);
            break;
        case KIR_FOR:
        case KIR_LOOP: rxn__llvm_emit_loop(e, s); break;
        case KIR_BREAK: emit_break(e); return false;
        case KIR_TRAP: emit_trap(e, s); return false;
        }
    }
    rxn__llvm_flush_stores(e);
    return true;
}

static u32
count_trapping_blocks(const KirBlock *block)
{
    u32 blocks = 0;
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (s->kind == KIR_IF)
            blocks += rxn__llvm_has_trap(&s->body) + rxn__llvm_has_trap(&s->otherwise);
        else
            blocks += count_trapping_blocks(&s->body);
    }
    return blocks;
}

/* Saving is worth its code where few blocks trap and the state is small. In finish the loops are what
 * takes the time, and unless it is saved all of the state is blended in those that have a trap. */
static bool
saving_pays(const Emit *e, KirRegion region)
{
    enum { MOST_SAVED_IN_STEP = 64, MOST_SAVED_IN_LOOPS = 512 };
    u64 numbers =
        (u64)count_trapping_blocks(&e->kernel->regions[region]) * e->layout->witness_scalars;
    return e->lanes > 1 &&
           numbers <= (region == KIR_STEP ? MOST_SAVED_IN_STEP : MOST_SAVED_IN_LOOPS);
}

/* What lanes outside the region's mask hold: in step nobody is there. While lanes are filled, or finish,
 * the others stand in front of step; and in finish those that have trapped wait for their fault. */
static const u64 *
parked_outside(Emit *e, KirRegion region)
{
    if (e->lanes == 1 || region == KIR_LAUNCH)
        return NULL;
    if (region == KIR_STEP)
        return rxn__llvm_units(e->liveness, NULL);
    return region == KIR_INIT ? e->step_units : parked_with(e, e->step_units, e->witness_units);
}

void
rxn__llvm_emit_region(Emit *e, KirRegion region, LLVMValueRef mask, LLVMValueRef alive, bool blend)
{
    e->region = region;
    e->saves_witness = saving_pays(e, region);
    LLVMBasicBlockRef body = rxn__llvm_block(e, "region"), end = rxn__llvm_block(e, "region_end");
    Live live = {.alive = alive, .leave = end};
    rxn__llvm_stand(e, (Standing){mask, blend, !blend, parked_outside(e, region)});
    e->after_trap = 0;
    e->live = &live;
    LLVMBuildBr(e->builder, body);
    if (region == KIR_LAUNCH) {
        /* Its top block stays open: its values are visible everywhere. */
        open_scope(e);
        LLVMPositionBuilderAtEnd(e->builder, body);
        e->block_end = end;
        emit_block(e, &e->kernel->regions[region]);
        LLVMBuildBr(e->builder, end);
    } else {
        rxn__llvm_emit_body(e, &e->kernel->regions[region], body, end, end);
        emit_shared_block(e, end);
    }
    LLVMPositionBuilderAtEnd(e->builder, end);
    e->live = NULL;
}
