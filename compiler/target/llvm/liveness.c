/* liveness.c: what of the locals is still read, at each point of a kernel.
 *
 * Lanes that do not execute keep their locals, and every local that they keep costs: a blend at each set,
 * and a register for the old value. But most of what a lane has in its locals nobody will read again:
 *
 *     loop {
 *         set sum, 0                  sum is dead in front of this: each turn sets it before it reads it.
 *         for … { set sum, … }        So a lane that is out of the loop need not keep it.
 *         set x, get sum
 *     }
 *
 * This is the liveness of one trajectory, so there are neither lanes nor masks in it: backwards over the
 * statements, `get` makes a local live and `set` makes it dead; a loop is gone over until nothing changes;
 * a trap reads what its fault will show. Only what is kept in registers is looked at: scalars, and each
 * element of the arrays that only constants index. Each of these is a unit, with a bit in the sets.
 */
#include "compiler/target/llvm/llvm.h"

#include <string.h>

#define NO_UNIT UINT32_MAX

struct Liveness {
    Arena *arena;
    const KirKernel *kernel;
    u32 words;
    u32 *first_unit;       /* per local: its unit, the first one of an array, or NO_UNIT */
    LiveUnit *unit;        /* and back */
    LiveAround **around;   /* a hash table by statement */
    u32 count, slot_count; /* slot_count is a power of two */
    u64 *witness;
};

u32
rxn__llvm_unit(const Liveness *l, u32 local, u32 index_count, KirValue index)
{
    if (l->first_unit[local] == NO_UNIT)
        return NO_UNIT;
    u32 element = index_count > 0 ? (u32)l->kernel->values.items[index].bits : 0;
    u32 length = l->kernel->locals.items[local].length;
    return l->first_unit[local] + (element < length ? element : 0);
}

LiveUnit
rxn__llvm_unit_at(const Liveness *l, u32 unit)
{
    return l->unit[unit];
}

bool
rxn__llvm_has_unit(const u64 *set, u32 unit)
{
    return set[unit / 64] >> unit % 64 & 1;
}

u64 *
rxn__llvm_units(const Liveness *l, const u64 *initial)
{
    u64 *set = NEW_ARRAY(l->arena, u64, l->words);
    if (initial)
        memcpy(set, initial, l->words * sizeof(u64));
    return set;
}

void
rxn__llvm_add_units(const Liveness *l, u64 *to, const u64 *from)
{
    for (u32 i = 0; i < l->words; i++)
        to[i] |= from[i];
}

void
rxn__llvm_keep_units(const Liveness *l, u64 *of, const u64 *these, const u64 *without)
{
    for (u32 i = 0; i < l->words; i++)
        of[i] &= these[i] & ~without[i];
}

static void
copy_units(const Liveness *l, u64 *to, const u64 *from)
{
    memcpy(to, from, l->words * sizeof(u64));
}

static bool
same_units(const Liveness *l, const u64 *a, const u64 *b)
{
    return memcmp(a, b, l->words * sizeof(u64)) == 0;
}

/* ---- what is known of a statement -------------------------------------------------------------- */

static LiveAround **
slot_of(const Liveness *l, const KirStatement *s)
{
    u32 slot = (u32)hash_mix(0, (u64)(uintptr_t)s) & (l->slot_count - 1);
    while (l->around[slot] != NULL && l->around[slot]->statement != s)
        slot = (slot + 1) & (l->slot_count - 1);
    return &l->around[slot];
}

const LiveAround *
rxn__llvm_live_around(const Liveness *l, const KirStatement *s)
{
    return *slot_of(l, s);
}

static LiveAround *
live_around(Liveness *l, const KirStatement *s)
{
    LiveAround **slot = slot_of(l, s);
    if (*slot == NULL) {
        *slot = NEW(l->arena, LiveAround);
        (*slot)->statement = s;
        (*slot)->after = rxn__llvm_units(l, NULL);
        (*slot)->inside = rxn__llvm_units(l, NULL);
        (*slot)->begin = rxn__llvm_units(l, NULL);
        (*slot)->sets = rxn__llvm_units(l, NULL);
    }
    return *slot;
}

static u32
count_constructs(const KirBlock *block)
{
    u32 count = 0;
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (s->kind == KIR_IF || s->kind == KIR_FOR || s->kind == KIR_LOOP)
            count += 1 + count_constructs(&s->body) + count_constructs(&s->otherwise);
    }
    return count;
}

/* ---- backwards over the statements ------------------------------------------------------------- */

static void
set_unit(u64 *set, u32 unit, bool on)
{
    if (unit == NO_UNIT)
        return;
    set[unit / 64] &= ~(UINT64_C(1) << unit % 64);
    set[unit / 64] |= (u64)on << unit % 64;
}

static void
note_sets(const Liveness *l, const KirBlock *block, u64 *sets)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (s->kind == KIR_SET)
            set_unit(sets, rxn__llvm_unit(l, s->object, s->index_count, s->index[0]), true);
        note_sets(l, &s->body, sets);
        note_sets(l, &s->otherwise, sets);
    }
}

static void flow(Liveness *l, const KirBlock *block, u64 *live, const u64 *at_break);

static void
flow_if(Liveness *l, const KirStatement *s, u64 *live, const u64 *at_break)
{
    LiveAround *around = live_around(l, s);
    copy_units(l, around->after, live);
    copy_units(l, around->inside, live);
    flow(l, &s->otherwise, around->inside, at_break);
    flow(l, &s->body, live, at_break);
    copy_units(l, around->begin, live);
    note_sets(l, &s->body, around->sets);
    rxn__llvm_add_units(l, live, around->inside);
}

/* What is live at the head is what the body needs, or in a `for` what is needed when it is over; and the
 * end of the body leads to the head. */
static void
flow_loop(Liveness *l, const KirStatement *s, u64 *live)
{
    LiveAround *around = live_around(l, s);
    copy_units(l, around->after, live);
    if (s->kind == KIR_LOOP)
        memset(around->inside, 0, l->words * sizeof(u64));
    else
        copy_units(l, around->inside, live);
    u64 *turn = rxn__llvm_units(l, NULL), *before = rxn__llvm_units(l, NULL);
    do {
        copy_units(l, before, around->inside);
        copy_units(l, turn, around->inside);
        flow(l, &s->body, turn, around->after);
        rxn__llvm_add_units(l, around->inside, turn);
    } while (!same_units(l, before, around->inside));
    copy_units(l, live, around->inside);
    note_sets(l, &s->body, around->sets);
}

/* live: what is live behind the block; becomes what is live in front of it. */
static void
flow(Liveness *l, const KirBlock *block, u64 *live, const u64 *at_break)
{
    for (u32 i = block->count; i-- > 0;) {
        const KirStatement *s = &block->items[i];
        switch ((KirStatementKind)s->kind) {
        case KIR_DEFINE: {
            const KirNode *node = &l->kernel->values.items[s->value];
            if (node->op == KIR_GET)
                set_unit(live, rxn__llvm_unit(l, node->object, node->index_count, node->index[0]),
                         true);
            break;
        }
        case KIR_SET:
            set_unit(live, rxn__llvm_unit(l, s->object, s->index_count, s->index[0]), false);
            break;
        case KIR_IF: flow_if(l, s, live, at_break); break;
        case KIR_FOR:
        case KIR_LOOP: flow_loop(l, s, live); break;
        case KIR_BREAK: copy_units(l, live, at_break); break;
        case KIR_TRAP: copy_units(l, live, l->witness); break;
        case KIR_STORE: break;
        }
    }
}

/* ------------------------------------------------------------------------------------------------ */

static u32
number_units(const KirKernel *kernel, const Layout *layout, Liveness *l)
{
    u32 units = 0;
    l->first_unit = NEW_ARRAY(l->arena, u32, kernel->locals.count + 1);
    for (u32 i = 0; i < kernel->locals.count; i++) {
        const LocalLayout *place = &layout->locals[i];
        l->first_unit[i] = NO_UNIT;
        if (place->uniform || place->place > LOCAL_SPLIT)
            continue;
        l->first_unit[i] = units;
        units += place->place == LOCAL_SPLIT ? kernel->locals.items[i].length : 1;
    }
    l->unit = NEW_ARRAY(l->arena, LiveUnit, units + 1);
    for (u32 i = 0; i < kernel->locals.count; i++) {
        u32 end = layout->locals[i].place == LOCAL_SPLIT ? kernel->locals.items[i].length : 1;
        for (u32 k = 0; k < end && l->first_unit[i] != NO_UNIT; k++)
            l->unit[l->first_unit[i] + k] = (LiveUnit){i, k};
    }
    return units;
}

void
rxn__llvm_emit_liveness(Emit *e)
{
    const KirKernel *kernel = e->kernel;
    Liveness *l = NEW(e->arena, Liveness);
    e->liveness = l;
    l->arena = e->arena;
    l->kernel = kernel;
    e->unit_count = number_units(kernel, e->layout, l);
    l->words = e->unit_count / 64 + 1;
    l->slot_count = 16;
    for (u32 i = KIR_INIT; i <= KIR_FINISH; i++)
        l->count += count_constructs(&kernel->regions[i]);
    while (l->slot_count < 2 * l->count)
        l->slot_count *= 2;
    l->around = NEW_ARRAY(e->arena, LiveAround *, l->slot_count);

    l->witness = rxn__llvm_units(l, NULL);
    for (u32 i = 0; i < kernel->witness.count; i++) {
        u32 local = kernel->witness.items[i], length = kernel->locals.items[local].length;
        for (u32 k = 0; k < (length ? length : 1) && l->first_unit[local] != NO_UNIT; k++)
            set_unit(l->witness, l->first_unit[local] + k, true);
    }
    e->witness_units = l->witness;

    /* Behind a step comes another one, or finish; and `done` is looked at. */
    u64 *finish = rxn__llvm_units(l, NULL), *step = rxn__llvm_units(l, NULL);
    flow(l, &kernel->regions[KIR_FINISH], finish, finish);
    u64 *before = rxn__llvm_units(l, NULL), *turn = rxn__llvm_units(l, finish);
    set_unit(turn, l->first_unit[kernel->done], true);
    copy_units(l, step, turn);
    do {
        copy_units(l, before, step);
        copy_units(l, turn, step);
        flow(l, &kernel->regions[KIR_STEP], turn, turn);
        rxn__llvm_add_units(l, step, turn);
    } while (!same_units(l, before, step));
    e->step_units = step;
    copy_units(l, turn, step);
    flow(l, &kernel->regions[KIR_INIT], turn, turn);
}
