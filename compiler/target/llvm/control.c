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
 * Lanes leave for good by `break` (out of a loop) and `trap` (out of the region): the `alive` masks,
 * one per `for` or `loop` that lanes leave one by one and one for the region, lose them. After a block that
 * may have done so the mask is formed anew from what it was and who is alive.
 *
 * Invariant: no code runs with an empty mask. Whoever narrows the mask tests it. So a load whose
 * index is the same for all lanes needs no mask: if it were out of range, it would be for a lane that
 * executes. That is what `block_end` is for: a block whose last lane has left goes there.
 *
 * Sets of locals. Inside an `if` or a loop the other lanes must keep their values: a blend. At the
 * top of `step` nobody else is there (lanes without a trajectory may compute garbage), so a set is a
 * plain assignment; that makes the common path free of masks.
 *
 * What a lane that has trapped computes in the rest of the step is garbage too; but its fault will
 * show its time and state as they were at the trap. So either these are saved when the trap happens
 * (code that is cold), or later sets of them are blends (code that is not). Arrays in memory are not
 * saved: masked stores cost nothing.
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

/* Whether the lanes break out of the loop around `block` at different times. */
static bool
breaks_diverge(const Emit *e, const KirBlock *block)
{
    const bool *uniform = e->layout->uniform;
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (s->kind != KIR_IF)
            continue;
        if (!uniform[s->value] &&
            (rxn__kir_has_break(&s->body) || rxn__kir_has_break(&s->otherwise)))
            return true;
        if (breaks_diverge(e, &s->body) || breaks_diverge(e, &s->otherwise))
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

static LLVMValueRef
alive_mask(Emit *e)
{
    const Live *live = e->live;
    while (live->alive == NULL) /* a loop that lanes leave together keeps no mask of its own */
        live = live->outer;
    return rxn__llvm_load(e, e->mask_type, live->alive);
}

/* After a block that lanes may have left: who is still here of those in `before`? If nobody, the
 * enclosing block is over too. */
static void
reform_mask(Emit *e, LLVMValueRef before)
{
    e->mask = LLVMBuildAnd(e->builder, before, alive_mask(e), "");
    LLVMBasicBlockRef some = rxn__llvm_block(e, "some");
    LLVMValueRef any = rxn__llvm_any(e, e->mask);
    rxn__llvm_branch(e, LLVMBuildNot(e->builder, any, ""), e->block_end, some, 16);
    LLVMPositionBuilderAtEnd(e->builder, some);
}

/* Emits a block that begins at `begin` and whose every way out leads to `end`. */
static void
emit_body(Emit *e, const KirBlock *block, LLVMBasicBlockRef begin, LLVMBasicBlockRef end)
{
    LLVMBasicBlockRef outer_end = e->block_end;
    e->block_end = end;
    LLVMPositionBuilderAtEnd(e->builder, begin);
    open_scope(e);
    if (emit_block(e, block))
        LLVMBuildBr(e->builder, end);
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
    emit_body(e, &s->body, then, fatal ? e->block_end : after);
    u8 trap = fatal ? outer_trap : e->after_trap;
    if (s->otherwise.count > 0) {
        e->mask = before;
        e->after_trap = outer_trap;
        emit_body(e, &s->otherwise, otherwise, after);
        trap |= e->after_trap;
    }
    e->after_trap = trap;
    LLVMPositionBuilderAtEnd(e->builder, after);
    e->mask = before;
    if (shrinks)
        reform_mask(e, before);
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
    LLVMValueRef before = e->mask;
    bool blend = e->blend;
    e->blend = true;
    e->mask = then; /* no trap is in there, so `divergence` does not matter */
    open_scope(e);
    emit_block(e, &s->body);
    close_scope(e);
    e->mask = rest;
    open_scope(e);
    emit_block(e, &s->otherwise);
    close_scope(e);
    e->mask = before;
    e->blend = blend;
}

/* A block that only reports a fault is cold. */
static u32
odds_of(const KirBlock *block)
{
    return rxn__llvm_has_trap(block) ? 4096 : 1;
}

/* At the top of step, behind a block that may trap: keeps the witnesses of those that did. */
static void
save_the_trapped(Emit *e, LLVMValueRef before, LLVMValueRef left)
{
    LLVMBasicBlockRef save = rxn__llvm_block(e, "save"), go_on = rxn__llvm_block(e, "go_on");
    LLVMValueRef trapped = LLVMBuildXor(e->builder, before, left, "");
    rxn__llvm_branch(e, rxn__llvm_any(e, trapped), save, go_on, 4096);
    LLVMPositionBuilderAtEnd(e->builder, save);
    rxn__llvm_save_witness(e, trapped);
    LLVMBuildBr(e->builder, go_on);
    LLVMPositionBuilderAtEnd(e->builder, go_on);
}

static void
emit_divergent_if(Emit *e, const KirStatement *s)
{
    LLVMValueRef before = e->mask, condition = e->values[s->value];
    LLVMValueRef then = LLVMBuildAnd(e->builder, before, condition, "");
    LLVMValueRef rest = NULL;
    if (s->otherwise.count > 0)
        rest = LLVMBuildAnd(e->builder, before, LLVMBuildNot(e->builder, condition, ""), "");
    if (is_cheap(e, &s->body) && is_cheap(e, &s->otherwise)) {
        emit_flat_if(e, s, then, rest);
        return;
    }
    bool blend = e->blend;
    bool shrinks = may_shrink(e, &s->body) || may_shrink(e, &s->otherwise);
    e->blend = true;
    e->divergence++;
    const KirBlock *blocks[2] = {&s->body, &s->otherwise};
    LLVMValueRef masks[2] = {then, rest};
    for (u32 i = 0; i < 2; i++) {
        if (blocks[i]->count == 0)
            continue;
        LLVMBasicBlockRef begin = rxn__llvm_block(e, i == 0 ? "then" : "else");
        LLVMBasicBlockRef after = rxn__llvm_block(e, "after");
        rxn__llvm_branch(e, rxn__llvm_any(e, masks[i]), begin, after, odds_of(blocks[i]));
        e->mask = masks[i];
        if (shrinks && rest == NULL) {
            /* Only who comes out of the body needs the test whether anybody is left. */
            LLVMBasicBlockRef out = rxn__llvm_block(e, "out");
            u8 open = e->after_trap & WITNESS_OPEN;
            emit_body(e, blocks[i], begin, out);
            LLVMPositionBuilderAtEnd(e->builder, out);
            LLVMValueRef left = LLVMBuildAnd(e->builder, before, alive_mask(e), "");
            if (!blend && e->saves_witness) {
                save_the_trapped(e, before, left);
                e->after_trap = LANES_TRAPPED | open;
            }
            LLVMBuildCondBr(e->builder, rxn__llvm_any(e, left), after, e->block_end);
        } else {
            emit_body(e, blocks[i], begin, after);
        }
        LLVMPositionBuilderAtEnd(e->builder, after);
    }
    e->mask = before;
    e->blend = blend;
    e->divergence--;
    if (shrinks && rest == NULL)
        e->mask = LLVMBuildAnd(e->builder, before, alive_mask(e), "");
    else if (shrinks)
        reform_mask(e, before);
}

/* ---- loops ------------------------------------------------------------------------------------- */

/* A phi, and what it becomes by the next turn. */
typedef struct Incoming {
    LLVMValueRef phi, next;
} Incoming;

/* Of so few turns that it is over soon, whatever is in it. */
static bool
is_short(const Emit *e, const KirStatement *s)
{
    enum { FEW_TURNS = 256 };
    const KirNode *values = e->kernel->values.items;
    if (s->kind != KIR_FOR)
        return false;
    const KirNode *low = &values[s->index[0]], *high = &values[s->index[1]];
    return low->op == KIR_CONST && high->op == KIR_CONST &&
           (i64)high->bits - (i64)low->bits <= FEW_TURNS;
}

/* The jump back to the head of a `for` or `loop`. Finish may be a whole run by itself, so there the loops
 * look whether it was cancelled: the outermost ones, and the long ones in them. (What is deeper pays for
 * each instruction.) */
static void
emit_turn(Emit *e, const KirStatement *s, LLVMBasicBlockRef head, const Incoming *incoming)
{
    LLVMBasicBlockRef back = LLVMGetInsertBlock(e->builder);
    if (e->region == KIR_FINISH &&
        (e->loop_depth == 0 || (e->loop_depth == 1 && !is_short(e, s)))) {
        back = rxn__llvm_block(e, "back");
        rxn__llvm_emit_poll(e, back);
        LLVMPositionBuilderAtEnd(e->builder, back);
    }
    LLVMBuildBr(e->builder, head);
    if (incoming) {
        LLVMValueRef next = incoming->next;
        LLVMAddIncoming(incoming->phi, &next, &back, 1);
    }
}

static void
emit_loop_body(Emit *e, const KirBlock *block, LLVMBasicBlockRef begin, LLVMBasicBlockRef end)
{
    e->loop_depth++;
    emit_body(e, block, begin, end);
    e->loop_depth--;
}

/* All lanes go round together: the branches are real. */
static void
emit_uniform_loop(Emit *e, const KirStatement *s)
{
    LLVMValueRef before = e->mask;
    LLVMBasicBlockRef head = rxn__llvm_block(e, "loop"), latch = rxn__llvm_block(e, "again");
    LLVMBasicBlockRef leave = rxn__llvm_block(e, "left");
    bool traps = e->lanes > 1 && before != NULL && rxn__llvm_has_trap(&s->body);
    Live live = {.outer = e->live, .is_loop = true, .uniform = true, .leave = leave};
    e->live = &live;
    e->after_trap |= traps ? LANES_TRAPPED | WITNESS_OPEN : 0;
    LLVMBuildBr(e->builder, head);
    LLVMPositionBuilderAtEnd(e->builder, head);
    if (traps)
        e->mask = LLVMBuildAnd(e->builder, before, alive_mask(e), "");
    emit_loop_body(e, &s->body, head, latch);
    LLVMPositionBuilderAtEnd(e->builder, latch);
    if (traps)
        reform_mask(e, before);
    emit_turn(e, s, head, NULL);
    e->live = live.outer;
    LLVMPositionBuilderAtEnd(e->builder, leave);
    e->mask = before;
    if (traps)
        reform_mask(e, before);
}

/* The rest of a loop that lanes leave one by one: its body has been entered with live->alive, or with
 * `mask`. */
static void
emit_divergent_body(Emit *e, const KirStatement *s, LLVMBasicBlockRef begin,
                    LLVMBasicBlockRef latch, LLVMValueRef mask)
{
    e->blend = true;
    e->divergence++;
    e->after_trap |= rxn__llvm_has_trap(&s->body) ? LANES_TRAPPED | WITNESS_OPEN : 0;
    LLVMPositionBuilderAtEnd(e->builder, begin);
    e->mask = mask ? mask : rxn__llvm_load(e, e->mask_type, e->live->alive);
    emit_loop_body(e, &s->body, begin, latch);
    e->divergence--;
    LLVMPositionBuilderAtEnd(e->builder, latch);
}

/* Behind such a loop. */
static void
leave_divergent(Emit *e, const KirStatement *s, LLVMValueRef before, bool blend,
                LLVMBasicBlockRef leave)
{
    LLVMPositionBuilderAtEnd(e->builder, leave);
    e->live = e->live->outer;
    e->mask = before;
    e->blend = blend;
    if (rxn__llvm_has_trap(&s->body))
        reform_mask(e, before);
}

static void
emit_divergent_loop(Emit *e, const KirStatement *s)
{
    LLVMValueRef before = e->mask;
    bool blend = e->blend;
    LLVMBasicBlockRef head = rxn__llvm_block(e, "loop"), latch = rxn__llvm_block(e, "again");
    LLVMBasicBlockRef leave = rxn__llvm_block(e, "left");
    Live live = {.outer = e->live, .is_loop = true};
    live.alive = rxn__llvm_stack_slot(e, e->mask_type, "alive");
    rxn__llvm_store(e, before, live.alive);
    e->live = &live;
    LLVMBuildBr(e->builder, head);
    emit_divergent_body(e, s, head, latch, NULL);
    LLVMValueRef left = rxn__llvm_load(e, e->mask_type, live.alive);
    LLVMBasicBlockRef turn = rxn__llvm_block(e, "turn");
    LLVMBuildCondBr(e->builder, rxn__llvm_any(e, left), turn, leave);
    LLVMPositionBuilderAtEnd(e->builder, turn);
    emit_turn(e, s, head, NULL);
    leave_divergent(e, s, before, blend, leave);
}

/* The number of the next turn. */
static LLVMValueRef
after_counter(Emit *e, const KirStatement *s, LLVMValueRef counter)
{
    LLVMTypeRef type = LLVMTypeOf(counter);
    LLVMValueRef one = LLVMConstInt(e->i32, 1, false);
    if (type != e->i32)
        one = rxn__llvm_splat(e, one);
    return s->down ? LLVMBuildSub(e->builder, counter, one, "")
                   : LLVMBuildAdd(e->builder, counter, one, "");
}

/* All lanes take the same turns: between bounds that are one for all, and who breaks out takes all with
 * it. */
static void
emit_uniform_for(Emit *e, const KirStatement *s)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef before = e->mask, low = e->values[s->index[0]], high = e->values[s->index[1]];
    LLVMBasicBlockRef entry = LLVMGetInsertBlock(b);
    LLVMBasicBlockRef head = rxn__llvm_block(e, "for"), body = rxn__llvm_block(e, "body");
    LLVMBasicBlockRef latch = rxn__llvm_block(e, "next"), leave = rxn__llvm_block(e, "left");
    bool shrinks = e->lanes > 1 && before != NULL && rxn__llvm_has_trap(&s->body);
    e->after_trap |= shrinks ? LANES_TRAPPED | WITNESS_OPEN : 0;
    Live live = {.outer = e->live, .is_loop = true, .uniform = true, .leave = leave};
    e->live = &live;
    LLVMBuildBr(b, head);
    LLVMPositionBuilderAtEnd(b, head);
    /* Down, `next` runs from high to low + 1, and the turn's number is one less. */
    LLVMValueRef next = LLVMBuildPhi(b, e->i32, "");
    LLVMAddIncoming(next, s->down ? &high : &low, &entry, 1);
    LLVMValueRef more =
        LLVMBuildICmp(b, s->down ? LLVMIntSGT : LLVMIntSLT, next, s->down ? low : high, "");
    LLVMBuildCondBr(b, more, body, leave);
    LLVMPositionBuilderAtEnd(b, body);
    LLVMValueRef counter = s->down ? after_counter(e, s, next) : next;
    e->values[s->value] = counter;
    if (shrinks)
        e->mask = LLVMBuildAnd(b, before, alive_mask(e), "");
    emit_loop_body(e, &s->body, body, latch);
    LLVMPositionBuilderAtEnd(b, latch);
    LLVMValueRef following = s->down ? counter : after_counter(e, s, counter);
    if (shrinks) /* leaves early when no lane is left */
        reform_mask(e, before);
    emit_turn(e, s, head, &(Incoming){next, following});
    e->live = live.outer;
    LLVMPositionBuilderAtEnd(b, leave);
    e->mask = before;
    if (shrinks)
        e->mask = LLVMBuildAnd(b, before, alive_mask(e), "");
}

/* What all lanes with a turn to take begin with: the first of their starts. */
static LLVMValueRef
common_start(Emit *e, const KirStatement *s, LLVMValueRef some)
{
    KirValue bound = s->index[s->down ? 1 : 0];
    LLVMValueRef start = e->values[bound];
    if (!e->layout->uniform[bound]) {
        LLVMValueRef never = LLVMConstInt(e->i32, s->down ? 0x80000000u : 0x7fffffffu, false);
        start = LLVMBuildSelect(e->builder, some, start, rxn__llvm_splat(e, never), "");
        start =
            rxn__llvm_intrinsic(e, s->down ? "llvm.vector.reduce.smax" : "llvm.vector.reduce.smin",
                                &e->vector[KIR_I32], 1, &start, 1);
    }
    return start;
}

/* Lanes take their turns at different times, or leave at different times. If the counter is one for
 * all, then
 *
 *     alive = mask & (lo < hi)             for lanes that all begin at lo, and end by themselves;
 *     i = lo                               with starts of their own, i begins at the least of them, and
 *     if (any(alive)) do {                 the turn is for mask = alive & (lo <= i), if there are any.
 *         mask = alive; body
 *         i = i + 1; alive &= i < hi
 *     } while (any(alive))
 *
 * and down likewise, from the other end. If each lane has a counter of its own, that is a vector, and
 * all begin at once. */
static void
emit_divergent_for(Emit *e, const KirStatement *s)
{
    LLVMBuilderRef b = e->builder;
    const bool *uniform = e->layout->uniform;
    LLVMValueRef before = e->mask;
    bool blend = e->blend, in_step = uniform[s->value];
    bool own_start = in_step && !uniform[s->index[s->down ? 1 : 0]];
    LLVMValueRef low = rxn__llvm_lanes_of(e, s->index[0]);
    LLVMValueRef high = rxn__llvm_lanes_of(e, s->index[1]);
    LLVMBasicBlockRef head = rxn__llvm_block(e, "for"), body = head;
    LLVMBasicBlockRef latch = rxn__llvm_block(e, "next"), leave = rxn__llvm_block(e, "left");
    Live live = {.outer = e->live, .is_loop = true};
    live.alive = rxn__llvm_stack_slot(e, e->mask_type, "alive");
    LLVMValueRef some = LLVMBuildAnd(b, before, LLVMBuildICmp(b, LLVMIntSLT, low, high, ""), "");
    rxn__llvm_store(e, some, live.alive);
    LLVMValueRef start = in_step ? common_start(e, s, some) : s->down ? high : low;
    if (s->down)
        start = after_counter(e, s, start);
    LLVMBasicBlockRef entry = LLVMGetInsertBlock(b);
    e->live = &live;
    LLVMBuildCondBr(b, rxn__llvm_any(e, some), head, leave);

    LLVMPositionBuilderAtEnd(b, head);
    LLVMValueRef counter = LLVMBuildPhi(b, LLVMTypeOf(start), "");
    LLVMAddIncoming(counter, &start, &entry, 1);
    e->values[s->value] = counter;
    LLVMValueRef begun = NULL;
    if (own_start) {
        LLVMValueRef all = rxn__llvm_splat(e, counter);
        begun = s->down ? LLVMBuildICmp(b, LLVMIntSLT, all, high, "")
                        : LLVMBuildICmp(b, LLVMIntSLE, low, all, "");
        begun = LLVMBuildAnd(b, rxn__llvm_load(e, e->mask_type, live.alive), begun, "");
        body = rxn__llvm_block(e, "begun");
        LLVMBuildCondBr(b, rxn__llvm_any(e, begun), body, latch);
    }
    emit_divergent_body(e, s, body, latch, begun);
    LLVMValueRef next = after_counter(e, s, counter), more;
    LLVMValueRef now = s->down ? counter : next;
    bool common_end = in_step && uniform[s->index[s->down ? 0 : 1]];
    if (common_end) {
        more = LLVMBuildICmp(b, s->down ? LLVMIntSGT : LLVMIntSLT, now,
                             e->values[s->index[s->down ? 0 : 1]], "");
    } else {
        if (in_step)
            now = rxn__llvm_splat(e, now);
        more = LLVMBuildICmp(b, s->down ? LLVMIntSGT : LLVMIntSLT, now, s->down ? low : high, "");
    }
    LLVMValueRef left = rxn__llvm_load(e, e->mask_type, live.alive);
    if (!common_end) {
        left = LLVMBuildAnd(b, left, more, "");
        rxn__llvm_store(e, left, live.alive);
    }
    LLVMValueRef again = rxn__llvm_any(e, left);
    if (common_end)
        again = LLVMBuildAnd(b, again, more, "");
    LLVMBasicBlockRef turn = rxn__llvm_block(e, "turn");
    LLVMBuildCondBr(b, again, turn, leave);
    LLVMPositionBuilderAtEnd(b, turn);
    emit_turn(e, s, head, &(Incoming){counter, next});
    leave_divergent(e, s, before, blend, leave);
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
    e->mask = alive_mask(e);
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
    LLVMBuildBr(e->builder, e->block_end);
}

/* ------------------------------------------------------------------------------------------------ */

static bool
may_stand_between_stores(const Emit *e, const KirStatement *s)
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
        if (!may_stand_between_stores(e, s))
            rxn__llvm_flush_stores(e);
        switch ((KirStatementKind)s->kind) {
        case KIR_DEFINE: rxn__llvm_emit_value(e, s->value); break;
        case KIR_SET: rxn__llvm_emit_set(e, s); break;
        case KIR_STORE: rxn__llvm_emit_store(e, s); break;
        case KIR_IF:
            if (uniform[s->value])
                emit_uniform_if(e, s);
            else
                emit_divergent_if(e, s);
            break;
        case KIR_FOR:
            if (e->lanes == 1 || e->mask == NULL ||
                (uniform[s->index[0]] && uniform[s->index[1]] && !breaks_diverge(e, &s->body)))
                emit_uniform_for(e, s);
            else
                emit_divergent_for(e, s);
            break;
        case KIR_LOOP:
            if (e->lanes == 1 || e->mask == NULL || !breaks_diverge(e, &s->body))
                emit_uniform_loop(e, s);
            else
                emit_divergent_loop(e, s);
            break;
        case KIR_BREAK: emit_break(e); return false;
        case KIR_TRAP: emit_trap(e, s); return false;
        }
    }
    rxn__llvm_flush_stores(e);
    return true;
}

/* Saving is worth its code where few blocks trap and the state is small. */
static bool
saving_pays(const Emit *e, const KirBlock *block)
{
    enum { MOST_SAVED_NUMBERS = 64 };
    u32 blocks = 0;
    for (u32 i = 0; i < block->count; i++)
        if (block->items[i].kind == KIR_IF && rxn__llvm_has_trap(&block->items[i].body))
            blocks++;
    return e->lanes > 1 && (u64)blocks * e->layout->witness_scalars <= MOST_SAVED_NUMBERS;
}

void
rxn__llvm_emit_region(Emit *e, KirRegion region, LLVMValueRef mask, LLVMValueRef alive, bool blend)
{
    e->region = region;
    e->saves_witness = region == KIR_STEP && saving_pays(e, &e->kernel->regions[region]);
    LLVMBasicBlockRef body = rxn__llvm_block(e, "region"), end = rxn__llvm_block(e, "region_end");
    Live live = {.alive = alive, .leave = end};
    e->mask = mask;
    e->blend = blend;
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
        emit_body(e, &e->kernel->regions[region], body, end);
        emit_shared_block(e, end);
    }
    LLVMPositionBuilderAtEnd(e->builder, end);
    e->live = NULL;
}
