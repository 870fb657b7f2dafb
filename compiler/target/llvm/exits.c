/* exits.c: the locals of lanes that have left a loop while others go on, or have not begun it yet.
 *
 * They have to be kept. The plain way is to blend: each `set` in the loop is a select between the new value
 * and the old, under the mask of the lanes that execute. Where all of a kernel's work is in such loops (forward
 * with a tape, then backward over it) that is a select per local and turn, and, what costs more, a register for
 * each old value. But lanes leave once. So here the sets in the loop are plain, lanes that are not in it compute
 * garbage, and what they shall keep is put aside when they go:
 *
 *     loop {                                alive = mask
 *         set x, …                          do { x = …
 *         if %c {                               if (any(alive & %c)) {             which is seldom
 *             break                                 aside(x) = select(alive & %c, x, aside(x))
 *         }                                         alive &= ~%c }
 *         set y, …                              y = …
 *     }                                     } while (any(alive))
 *                                           x = aside(x); y = aside(y)
 *
 * Lanes that begin late are the mirror of it: their locals are put aside in front of the loop, and fetched in
 * the turn in which they begin. So are those of the lanes outside that still need them.
 *
 * Only what is still read is put aside: behind the loop, or (late beginners) at its head, or by lanes outside
 * (see liveness.c). Often all lanes leave with the same break, most loops that wait for something do; then there
 * is nothing to keep apart, and the break is a branch.
 *
 * A lane that traps leaves everything, and its fault shows some of its locals. Those are saved at once where the
 * kernel saves them (see control.c), and blended in all loops with a trap if it does not.
 *
 * What is put aside lies in the stack frame, written and read in memory, so that it takes no registers from the
 * loop. Loops one in the other have places of their own, others share them. With few locals to keep all this is
 * more work than blends, as it is with few turns; then blends are what is done.
 */
#include "compiler/target/llvm/llvm.h"

enum {
    FEWEST_UNITS = 6,
    FEW_TURNS = 64, /* of four times as many as lanes, most turns are left by nobody */
};

typedef struct ExitUnit {
    LLVMValueRef slot, aside;
    KirType type;
    bool at_head;  /* read by lanes that begin late */
    bool at_entry; /* put aside in front of the loop */
} ExitUnit;

typedef struct LoopExits {
    VEC(ExitUnit) units;
    LLVMValueRef entered;     /* the lanes that came to the loop */
    LLVMBasicBlockRef direct; /* where all of them may go together; or NULL */
} LoopExits;

/* ---- memory ------------------------------------------------------------------------------------ */

static u32
depth_of(const Live *live)
{
    u32 depth = 0;
    for (; live != NULL; live = live->outer)
        depth += live->exits != NULL;
    return depth;
}

/* Zero at the start of the kernel: a lane whose locals nobody needs may be read without having been written. */
static LLVMValueRef
place_aside(Emit *e, u32 depth, u32 unit, KirType type)
{
    while (e->exit_slots.count <= depth) {
        LLVMValueRef *slots = NEW_ARRAY(e->arena, LLVMValueRef, e->unit_count);
        vec_push(e->arena, &e->exit_slots, slots);
    }
    LLVMValueRef *slot = &e->exit_slots.items[depth][unit];
    if (*slot == NULL) {
        LLVMTypeRef memory = rxn__llvm_memory_vector(e, type);
        *slot = rxn__llvm_stack_slot(e, memory, "aside");
        LLVMSetAlignment(*slot, 64);
        LLVMBasicBlockRef here = LLVMGetInsertBlock(e->builder);
        LLVMPositionBuilderAtEnd(e->builder, e->entry);
        LLVMSetVolatile(LLVMBuildStore(e->builder, LLVMConstNull(memory), *slot), true);
        LLVMPositionBuilderAtEnd(e->builder, here);
    }
    return *slot;
}

static LLVMValueRef
fetch(Emit *e, const ExitUnit *unit)
{
    LLVMValueRef value = rxn__llvm_load(e, rxn__llvm_memory_vector(e, unit->type), unit->aside);
    LLVMSetVolatile(value, true); /* else LLVM would keep it in a register after all */
    return rxn__llvm_from_memory(e, unit->type, value);
}

/* mask: NULL for all lanes. */
static void
put_aside(Emit *e, const ExitUnit *unit, LLVMValueRef mask)
{
    LLVMValueRef value = rxn__llvm_load(e, e->vector[unit->type], unit->slot);
    if (mask != NULL)
        value = LLVMBuildSelect(e->builder, mask, value, fetch(e, unit), "");
    value = rxn__llvm_to_memory(e, unit->type, value, false);
    LLVMSetVolatile(LLVMBuildStore(e->builder, value, unit->aside), true);
}

/* ------------------------------------------------------------------------------------------------ */

/* Calls for each unit that `wanted` has. */
static void
list_units(Emit *e, LoopExits *exits, const u64 *wanted, const u64 *at_head, const u64 *at_entry)
{
    u32 depth = depth_of(e->live);
    for (u32 i = 0; i < e->unit_count; i++) {
        if (!rxn__llvm_has_unit(wanted, i))
            continue;
        LiveUnit what = rxn__llvm_unit_at(e->liveness, i);
        ExitUnit unit = {.slot = e->locals[what.local].slots[what.element],
                         .type = (KirType)e->kernel->locals.items[what.local].type,
                         .at_head = rxn__llvm_has_unit(at_head, i),
                         .at_entry = rxn__llvm_has_unit(at_entry, i)};
        unit.aside = place_aside(e, depth, i, unit.type);
        vec_push(e->arena, &exits->units, unit);
    }
}

static u32
count_units(const Emit *e, const u64 *units)
{
    u32 count = 0;
    for (u32 i = 0; i < e->unit_count; i++)
        count += rxn__llvm_has_unit(units, i);
    return count;
}

/* A loop of few turns is left by somebody in most of them. */
static bool
is_short(const Emit *e, const KirStatement *loop)
{
    if (loop->kind != KIR_FOR)
        return false;
    const KirNode *low = &e->kernel->values.items[loop->index[0]];
    const KirNode *high = &e->kernel->values.items[loop->index[1]];
    return low->op == KIR_CONST && high->op == KIR_CONST &&
           (i64)(i32)high->bits - (i32)low->bits <= FEW_TURNS;
}

LoopExits *
rxn__llvm_begin_exits(Emit *e, const KirStatement *loop, bool own_start, bool own_turns,
                      LLVMBasicBlockRef leave)
{
    const LiveAround *around = rxn__llvm_live_around(e->liveness, loop);
    bool traps = rxn__llvm_has_trap(&loop->body);
    u64 *none = rxn__llvm_units(e->liveness, NULL);
    const u64 *blended = traps && !e->saves_witness ? e->witness_units : none;
    u64 *outside = rxn__llvm_units(e->liveness, e->parked);
    if (e->after_trap & WITNESS_OPEN)
        rxn__llvm_add_units(e->liveness, outside, e->witness_units);
    u64 *kept = rxn__llvm_units(e->liveness, outside);
    rxn__llvm_add_units(e->liveness, kept, around->after);
    if (own_start)
        rxn__llvm_add_units(e->liveness, kept, around->inside);
    u64 *wanted = rxn__llvm_units(e->liveness, kept);
    rxn__llvm_keep_units(e->liveness, wanted, around->sets, blended);
    bool blends = is_short(e, loop) || count_units(e, wanted) < FEWEST_UNITS;
    if (blends && !(traps && e->saves_witness)) {
        e->parked = kept;
        return NULL;
    }
    LoopExits *exits = NEW(e->arena, LoopExits);
    list_units(e, exits, wanted, around->inside, own_turns ? wanted : outside);
    exits->entered = e->mask;
    bool some_at_entry = false;
    for (u32 i = 0; i < exits->units.count; i++) {
        const ExitUnit *unit = &exits->units.items[i];
        some_at_entry = some_at_entry || unit->at_entry;
        if (unit->at_entry)
            put_aside(e, unit, NULL);
    }
    if (loop->kind == KIR_LOOP && !some_at_entry)
        exits->direct = leave;
    e->parked = blended;
    return exits;
}

void
rxn__llvm_save_exits(Emit *e, const LoopExits *exits, LLVMValueRef mask)
{
    for (u32 i = 0; i < exits->units.count; i++)
        put_aside(e, &exits->units.items[i], mask);
}

void
rxn__llvm_leave_by_break(Emit *e, const Live *loop)
{
    const LoopExits *exits = loop->exits;
    if (exits->direct != NULL) {
        LLVMBasicBlockRef some = rxn__llvm_block(e, "some_leave");
        LLVMValueRef others = LLVMBuildXor(e->builder, e->mask, exits->entered, "");
        LLVMBuildCondBr(e->builder, rxn__llvm_any(e, others), some, exits->direct);
        LLVMPositionBuilderAtEnd(e->builder, some);
    }
    rxn__llvm_save_exits(e, exits, e->mask);
}

void
rxn__llvm_join_loop(Emit *e, const LoopExits *exits, LLVMValueRef mask)
{
    for (u32 i = 0; i < exits->units.count; i++) {
        const ExitUnit *unit = &exits->units.items[i];
        if (!unit->at_head)
            continue;
        LLVMValueRef value = rxn__llvm_load(e, e->vector[unit->type], unit->slot);
        value = LLVMBuildSelect(e->builder, mask, fetch(e, unit), value, "");
        rxn__llvm_store(e, value, unit->slot);
    }
}

void
rxn__llvm_restore_exits(Emit *e, const LoopExits *exits, LLVMValueRef stayed)
{
    for (u32 i = 0; i < exits->units.count; i++) {
        const ExitUnit *unit = &exits->units.items[i];
        LLVMValueRef value = fetch(e, unit);
        if (stayed != NULL) {
            LLVMValueRef own = rxn__llvm_load(e, e->vector[unit->type], unit->slot);
            value = LLVMBuildSelect(e->builder, stayed, own, value, "");
        }
        rxn__llvm_store(e, value, unit->slot);
    }
}
