/* loops.c: `for` and `loop`, those that all lanes go round together and those that they leave, or begin,
 * at different times.
 *
 * Of the latter each has its `alive`, the mask of the lanes that have not left it, and what lanes do with
 * their locals that are not in it is said in exits.c. The way of a turn is kept short: who comes to the end
 * of the body has lanes left, so only behind a break or a trap that took the last of them is asked whether
 * there are any.
 */
#include "compiler/target/llvm/llvm.h"

#include <llvm-c/DebugInfo.h>
#include <string.h>

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

/* ---- vectors of turns -------------------------------------------------------------------------- */

/* Whether the loop sets this array. */
static bool
is_set_in(const KirBlock *body, u32 local)
{
    for (u32 i = 0; i < body->count; i++)
        if (body->items[i].kind == KIR_SET && body->items[i].object == local)
            return true;
    return false;
}

/* A lane that is alone: whether LLVM is to make vectors of the turns. Each has to set nothing but its own elements of arrays and to
 * read none of what others set: where LLVM is asked for vectors it may reorder sums, and such loops have none. */
static bool
turns_are_alike(const Emit *e, const KirStatement *s)
{
    enum { LEAST_TURNS = 8 };
    if (e->lanes > 1 || s->kind != KIR_FOR)
        return false;
    const KirNode *values = e->kernel->values.items;
    const KirNode *low = &values[s->index[0]], *high = &values[s->index[1]];
    if (low->op != KIR_CONST || high->op != KIR_CONST ||
        (i64)high->bits - (i64)low->bits < LEAST_TURNS)
        return false;
    bool sets = false;
    for (u32 i = 0; i < s->body.count; i++) {
        const KirStatement *inner = &s->body.items[i];
        bool own = inner->kind == KIR_SET && inner->index_count && inner->index[0] == s->value;
        bool reads = inner->kind == KIR_DEFINE && values[inner->value].op == KIR_GET &&
                     is_set_in(&s->body, values[inner->value].object);
        if (reads || (inner->kind != KIR_DEFINE && !own))
            return false;
        sets |= own;
    }
    return sets;
}

/* A loop's metadata begin with themselves. */
static void
ask_for_vectors(Emit *e, LLVMValueRef branch)
{
    LLVMContextRef c = e->context;
    const char *enable = "llvm.loop.vectorize.enable";
    LLVMMetadataRef wish[2] = {LLVMMDStringInContext2(c, enable, strlen(enable)),
                               LLVMValueAsMetadata(LLVMConstInt(LLVMInt1TypeInContext(c), 1, 0))};
    LLVMMetadataRef self = LLVMTemporaryMDNode(c, NULL, 0);
    LLVMMetadataRef loop[2] = {self, LLVMMDNodeInContext2(c, wish, 2)};
    LLVMMetadataRef node = LLVMMDNodeInContext2(c, loop, 2);
    LLVMMetadataReplaceAllUsesWith(self, node);
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(c, "llvm.loop", 9),
                    LLVMMetadataAsValue(c, node));
    e->has_vector_loops = true;
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
    LLVMValueRef branch = LLVMBuildBr(e->builder, head);
    if (turns_are_alike(e, s))
        ask_for_vectors(e, branch);
    if (incoming) {
        LLVMValueRef next = incoming->next;
        LLVMAddIncoming(incoming->phi, &next, &back, 1);
    }
}

/* A body ends in `through`, or in `end` if nobody came so far. */
static void
emit_loop_body(Emit *e, const KirBlock *block, LLVMBasicBlockRef begin, LLVMBasicBlockRef through,
               LLVMBasicBlockRef end)
{
    e->loop_depth++;
    rxn__llvm_emit_body(e, block, begin, through, end);
    e->loop_depth--;
}

/* What the traps of a block mean for the code in and behind a loop around it. */
static u8
after_traps_in(const Emit *e, const KirBlock *block, bool open)
{
    if (!rxn__llvm_has_trap(block))
        return 0;
    return open && e->saves_witness ? LANES_TRAPPED : LANES_TRAPPED | WITNESS_OPEN;
}

/* ---- all lanes together ------------------------------------------------------------------------ */

/* The branches are real. */
static void
emit_uniform_loop(Emit *e, const KirStatement *s)
{
    LLVMValueRef before = e->mask;
    LLVMBasicBlockRef head = rxn__llvm_block(e, "loop"), latch = rxn__llvm_block(e, "again");
    LLVMBasicBlockRef leave = rxn__llvm_block(e, "left");
    bool traps = e->lanes > 1 && before != NULL && rxn__llvm_has_trap(&s->body);
    Live live = {.outer = e->live, .is_loop = true, .uniform = true, .leave = leave};
    e->live = &live;
    e->after_trap |= traps ? after_traps_in(e, &s->body, e->open) : 0;
    LLVMBuildBr(e->builder, head);
    LLVMPositionBuilderAtEnd(e->builder, head);
    if (traps)
        e->mask = LLVMBuildAnd(e->builder, before, rxn__llvm_alive_mask(e), "");
    emit_loop_body(e, &s->body, head, latch, latch);
    LLVMPositionBuilderAtEnd(e->builder, latch);
    if (traps)
        rxn__llvm_reform_mask(e, before);
    emit_turn(e, s, head, NULL);
    e->live = live.outer;
    LLVMPositionBuilderAtEnd(e->builder, leave);
    e->mask = before;
    if (traps)
        rxn__llvm_reform_mask(e, before);
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
    e->after_trap |= shrinks ? after_traps_in(e, &s->body, e->open) : 0;
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
        e->mask = LLVMBuildAnd(b, before, rxn__llvm_alive_mask(e), "");
    emit_loop_body(e, &s->body, body, latch, latch);
    LLVMPositionBuilderAtEnd(b, latch);
    LLVMValueRef following = s->down ? counter : after_counter(e, s, counter);
    if (shrinks) /* leaves early when no lane is left */
        rxn__llvm_reform_mask(e, before);
    emit_turn(e, s, head, &(Incoming){next, following});
    e->live = live.outer;
    LLVMPositionBuilderAtEnd(b, leave);
    e->mask = before;
    if (shrinks)
        e->mask = LLVMBuildAnd(b, before, rxn__llvm_alive_mask(e), "");
}

/* ---- lanes leave one by one -------------------------------------------------------------------- */

/* What emission comes back to behind the loop. */
typedef struct Around {
    Standing outside;
    u8 after_trap;
} Around;

/* Opens `live` for the lanes in `some` of those that execute. */
static Around
enter_divergent(Emit *e, const KirStatement *s, Live *live, LLVMValueRef some, bool own_start,
                bool own_turns)
{
    const Around around = {rxn__llvm_standing(e), e->after_trap};
    live->outer = e->live;
    live->is_loop = true;
    live->is_for = s->kind == KIR_FOR;
    live->alive = rxn__llvm_stack_slot(e, e->mask_type, "alive");
    live->leave = rxn__llvm_block(e, "left");
    rxn__llvm_store(e, some, live->alive);
    live->exits = rxn__llvm_begin_exits(e, s, own_start, own_turns, live->leave);
    e->live = live;
    e->blend = true;
    e->open = live->exits != NULL;
    if (live->exits != NULL) /* which keep what those that have trapped in front of the loop show */
        e->after_trap &= LANES_TRAPPED;
    e->after_trap |= after_traps_in(e, &s->body, e->open);
    e->divergence++;
    return around;
}

/* At live->leave; the locals are what they shall be. */
static void
leave_divergent(Emit *e, const KirStatement *s, const Live *live, const Around *around)
{
    LLVMPositionBuilderAtEnd(e->builder, live->leave);
    e->live = live->outer;
    e->divergence--;
    e->after_trap |= around->after_trap;
    rxn__llvm_stand(e, around->outside);
    if (rxn__llvm_has_trap(&s->body))
        rxn__llvm_reform_mask(e, e->mask);
}

/* A way out of the loop, to be begun at `block`. */
static void
emit_way_out(Emit *e, const Live *live, LLVMBasicBlockRef block, LLVMValueRef stayed)
{
    LLVMPositionBuilderAtEnd(e->builder, block);
    if (live->exits != NULL)
        rxn__llvm_restore_exits(e, live->exits, stayed);
    LLVMBuildBr(e->builder, live->leave);
}

static void
emit_divergent_loop(Emit *e, const KirStatement *s)
{
    LLVMBuilderRef b = e->builder;
    LLVMBasicBlockRef head = rxn__llvm_block(e, "loop"), turn = rxn__llvm_block(e, "turn");
    LLVMBasicBlockRef latch = rxn__llvm_block(e, "again"), over = rxn__llvm_block(e, "over");
    Live live = {0};
    const Around around = enter_divergent(e, s, &live, e->mask, false, false);
    LLVMBuildBr(b, head);
    LLVMPositionBuilderAtEnd(b, head);
    e->mask = rxn__llvm_load(e, e->mask_type, live.alive);
    emit_loop_body(e, &s->body, head, turn, latch);
    LLVMPositionBuilderAtEnd(b, latch);
    LLVMValueRef left = rxn__llvm_load(e, e->mask_type, live.alive);
    LLVMBuildCondBr(b, rxn__llvm_any(e, left), turn, over);
    LLVMPositionBuilderAtEnd(b, turn);
    emit_turn(e, s, head, NULL);
    emit_way_out(e, &live, over, NULL);
    leave_divergent(e, s, &live, &around);
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

/* A `for` whose lanes take their turns at different times. */
typedef struct DivergentFor {
    const KirStatement *s;
    Live live;
    bool in_step;           /* one counter for all lanes */
    bool own_start;         /* then: and lanes begin late */
    bool common_end;        /* then: and all of them end with the same turn */
    LLVMValueRef low, high; /* vectors */
    LLVMValueRef counter, begun_slot;
    LLVMBasicBlockRef turn, over;
} DivergentFor;

/* Which lanes have come to their first turn, where they begin one by one. Those that begin now get the locals
 * that they had in front of the loop. */
static LLVMValueRef
emit_begun(Emit *e, DivergentFor *f, LLVMBasicBlockRef none)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef all = rxn__llvm_splat(e, f->counter);
    LLVMValueRef begun = f->s->down ? LLVMBuildICmp(b, LLVMIntSLT, all, f->high, "")
                                    : LLVMBuildICmp(b, LLVMIntSLE, f->low, all, "");
    begun = LLVMBuildAnd(b, rxn__llvm_load(e, e->mask_type, f->live.alive), begun, "");
    LLVMBasicBlockRef some = rxn__llvm_block(e, "begun");
    rxn__llvm_branch(e, LLVMBuildNot(b, rxn__llvm_any(e, begun), ""), none, some, 64);
    LLVMPositionBuilderAtEnd(b, some);
    if (f->live.exits == NULL)
        return begun;
    LLVMBasicBlockRef join = rxn__llvm_block(e, "join"), go_on = rxn__llvm_block(e, "go_on");
    LLVMValueRef earlier = rxn__llvm_load(e, e->mask_type, f->begun_slot);
    LLVMValueRef now = LLVMBuildAnd(b, begun, LLVMBuildNot(b, earlier, ""), "");
    rxn__llvm_store(e, begun, f->begun_slot);
    rxn__llvm_branch(e, rxn__llvm_any(e, now), join, go_on, 64);
    LLVMPositionBuilderAtEnd(b, join);
    rxn__llvm_join_loop(e, f->live.exits, now);
    LLVMBuildBr(b, go_on);
    LLVMPositionBuilderAtEnd(b, go_on);
    return begun;
}

/* Behind a turn: who takes another one? Ends the block, and returns the next counter. */
static LLVMValueRef
emit_next(Emit *e, DivergentFor *f, LLVMBasicBlockRef last)
{
    LLVMBuilderRef b = e->builder;
    const KirStatement *s = f->s;
    LLVMIntPredicate goes_on = s->down ? LLVMIntSGT : LLVMIntSLT;
    LLVMValueRef next = after_counter(e, s, f->counter), now = s->down ? f->counter : next;
    if (f->common_end) {
        LLVMValueRef end = e->values[s->index[s->down ? 0 : 1]];
        LLVMBuildCondBr(b, LLVMBuildICmp(b, goes_on, now, end, ""), f->turn, last);
        return next;
    }
    if (f->in_step)
        now = rxn__llvm_splat(e, now);
    LLVMValueRef more = LLVMBuildICmp(b, goes_on, now, s->down ? f->low : f->high, "");
    LLVMValueRef left = rxn__llvm_load(e, e->mask_type, f->live.alive);
    LLVMValueRef stays = LLVMBuildAnd(b, left, more, "");
    rxn__llvm_store(e, stays, f->live.alive);
    if (f->live.exits != NULL) {
        LLVMBasicBlockRef ended = rxn__llvm_block(e, "ended"), go_on = rxn__llvm_block(e, "go_on");
        LLVMValueRef gone = LLVMBuildAnd(b, left, LLVMBuildNot(b, more, ""), "");
        rxn__llvm_branch(e, rxn__llvm_any(e, gone), ended, go_on, 16);
        LLVMPositionBuilderAtEnd(b, ended);
        rxn__llvm_save_exits(e, f->live.exits, gone);
        LLVMBuildBr(b, go_on);
        LLVMPositionBuilderAtEnd(b, go_on);
    }
    LLVMBuildCondBr(b, rxn__llvm_any(e, stays), f->turn, f->over);
    return next;
}

/* If the counter is one for all, then
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
    const KirValue first = s->index[s->down ? 1 : 0], last = s->index[s->down ? 0 : 1];
    DivergentFor f = {.s = s, .in_step = uniform[s->value]};
    f.own_start = f.in_step && !uniform[first];
    f.common_end = f.in_step && uniform[last];
    f.low = rxn__llvm_lanes_of(e, s->index[0]);
    f.high = rxn__llvm_lanes_of(e, s->index[1]);
    f.turn = rxn__llvm_block(e, "turn");
    f.over = rxn__llvm_block(e, "over");
    LLVMBasicBlockRef head = rxn__llvm_block(e, "for"), next = rxn__llvm_block(e, "next");
    LLVMBasicBlockRef latch = next, end = f.common_end ? rxn__llvm_block(e, "end") : f.over;
    if (f.common_end)
        latch = rxn__llvm_block(e, "again");
    LLVMValueRef some = LLVMBuildICmp(b, LLVMIntSLT, f.low, f.high, "");
    some = LLVMBuildAnd(b, e->mask, some, "");
    bool own_turns = !uniform[first] || !uniform[last];
    const Around around = enter_divergent(e, s, &f.live, some, f.own_start, own_turns);
    LLVMValueRef start = f.in_step ? common_start(e, s, some) : s->down ? f.high : f.low;
    if (s->down)
        start = after_counter(e, s, start);
    if (f.own_start && f.live.exits != NULL) {
        f.begun_slot = rxn__llvm_stack_slot(e, e->mask_type, "begun");
        rxn__llvm_store(e, LLVMConstNull(e->mask_type), f.begun_slot);
    }
    LLVMBasicBlockRef entry = LLVMGetInsertBlock(b);
    LLVMBuildCondBr(b, rxn__llvm_any(e, some), head, f.live.leave);

    LLVMPositionBuilderAtEnd(b, head);
    f.counter = LLVMBuildPhi(b, LLVMTypeOf(start), "");
    LLVMAddIncoming(f.counter, &start, &entry, 1);
    e->values[s->value] = f.counter;
    e->mask = f.own_start ? emit_begun(e, &f, next) : rxn__llvm_load(e, e->mask_type, f.live.alive);
    emit_loop_body(e, &s->body, LLVMGetInsertBlock(b), next, latch);
    if (latch != next) {
        LLVMPositionBuilderAtEnd(b, latch);
        LLVMValueRef left = rxn__llvm_load(e, e->mask_type, f.live.alive);
        LLVMBuildCondBr(b, rxn__llvm_any(e, left), next, f.over);
    }
    LLVMPositionBuilderAtEnd(b, next);
    LLVMValueRef following = emit_next(e, &f, end);
    LLVMPositionBuilderAtEnd(b, f.turn);
    emit_turn(e, s, head, &(Incoming){f.counter, following});
    emit_way_out(e, &f.live, f.over, NULL);
    if (f.common_end) { /* who has not left by then stays as it is */
        LLVMPositionBuilderAtEnd(b, end);
        emit_way_out(e, &f.live, end, rxn__llvm_load(e, e->mask_type, f.live.alive));
    }
    leave_divergent(e, s, &f.live, &around);
}

/* ------------------------------------------------------------------------------------------------ */

void
rxn__llvm_emit_loop(Emit *e, const KirStatement *s)
{
    const bool *uniform = e->layout->uniform;
    bool together = e->lanes == 1 || e->mask == NULL || !breaks_diverge(e, &s->body);
    if (s->kind == KIR_LOOP) {
        if (together)
            emit_uniform_loop(e, s);
        else
            emit_divergent_loop(e, s);
        return;
    }
    bool bounds = uniform[s->index[0]] && uniform[s->index[1]];
    if (e->lanes == 1 || e->mask == NULL || (bounds && together))
        emit_uniform_for(e, s);
    else
        emit_divergent_for(e, s);
}
