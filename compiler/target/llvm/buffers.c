/* buffers.c: loads and stores.
 *
 *     per-launch buffer       [n x T], one for all: a uniform index is a plain load, else a gather
 *     per-trajectory buffer   row r of the launch starts at r*stride; lanes have different rows, so
 *                             a load is always a gather
 *
 * Stores are another matter. Results are stored seldom and by few lanes at a time (those that have
 * crossed a sample time), several columns each; a scatter costs the same for one lane as for all, and
 * where the processor has none, LLVM writes out a branch per lane and column. So stores that follow
 * each other are collected, and put down to be written later (logs.c), or, unless they are few and there is a scatter,
 * written lane by lane:
 *
 *     store sample[%1, 0], %2             put %1, %2, %3 of all lanes on the stack
 *     store sample[%1, 1], %3    becomes  for each lane in the mask:
 *                                             sample[row, %1[lane], 0] = %2[lane]; … 1] = %3[lane]
 */
#include "compiler/target/llvm/llvm.h"

/* Number of elements if the shape alone tells, else 0. */
static u64
static_size(const KirBuffer *buffer)
{
    u64 size = 1;
    for (u32 i = 0; i < buffer->rank; i++) {
        if (buffer->extent[i] == KIR_DYNAMIC || size > UINT32_MAX)
            return 0;
        size *= buffer->extent[i];
    }
    return size;
}

/* The element's place in its row (or in the buffer), in row-major order: a scalar i64, or a vector, of i32 where
 * that is enough. No value as an index stands for 0. */
static LLVMValueRef
flat_index(Emit *e, const KirBuffer *buffer, const KirValue *index, bool uniform, bool narrow)
{
    LLVMTypeRef scalar = narrow ? e->i32 : e->i64;
    LLVMTypeRef type = uniform ? scalar : LLVMVectorType(scalar, e->lanes);
    LLVMValueRef flat = LLVMConstNull(type);
    for (u32 i = 0; i < buffer->rank; i++) {
        if (i > 0) {
            LLVMValueRef extent = LLVMConstInt(scalar, buffer->extent[i], false);
            if (!uniform)
                extent = rxn__llvm_splat(e, extent);
            flat = LLVMBuildMul(e->builder, flat, extent, "");
        }
        if (index[i] == 0)
            continue;
        LLVMValueRef part = rxn__llvm_value(e, index[i], uniform);
        if (!narrow)
            part = LLVMBuildZExt(e->builder, part, type, ""); /* no index is negative */
        flat = i > 0 ? LLVMBuildAdd(e->builder, flat, part, "") : part;
    }
    return flat;
}

static bool
indices_are_uniform(const Emit *e, const KirBuffer *buffer, const KirValue *index)
{
    for (u32 i = 0; i < buffer->rank; i++)
        if (index[i] != 0 && !e->layout->uniform[index[i]])
            return false;
    return true;
}

/* The place of an element in its buffer; *ret_vector: it is a vector of places. */
static LLVMValueRef
buffer_place(Emit *e, u32 object, const KirValue *index, bool *ret_vector)
{
    const KirBuffer *buffer = &e->kernel->buffers.items[object];
    bool uniform = indices_are_uniform(e, buffer, index);
    /* The shape shows what 32 bits are enough for: a 64-bit gather index costs twice as much. */
    u64 size = static_size(buffer);
    bool narrow = !uniform && (buffer->rank <= 1 || (size > 0 && size <= INT32_MAX));
    LLVMValueRef flat = flat_index(e, buffer, index, uniform, narrow);
    *ret_vector = !uniform;
    if (buffer->scope == KIR_PER_TRAJECTORY) {
        *ret_vector = e->lanes > 1;
        LLVMValueRef row = rxn__llvm_load(e, e->row_type, e->row_slot);
        LLVMValueRef stride = rxn__llvm_splat(e, e->strides[object]);
        row = LLVMBuildMul(e->builder, row, stride, "");
        if (*ret_vector && uniform)
            flat = rxn__llvm_splat(e, flat);
        else if (*ret_vector)
            flat = LLVMBuildSExt(e->builder, flat, e->row_type, "");
        flat = LLVMBuildAdd(e->builder, row, flat, "");
    }
    return flat;
}

/* In 32 bits all the way: what differs from lane to lane alone is then the same from a refill of lanes to the next, and LLVM
 * computes it there. */
LLVMValueRef
rxn__llvm_place(Emit *e, u32 object, const KirValue *index)
{
    LLVMBuilderRef b = e->builder;
    const KirBuffer *buffer = &e->kernel->buffers.items[object];
    LLVMTypeRef vector = e->vector[KIR_U32];
    LLVMValueRef row = LLVMBuildTrunc(b, rxn__llvm_load(e, e->row_type, e->row_slot), vector, "");
    LLVMValueRef stride = LLVMBuildTrunc(b, e->strides[object], e->i32, "");
    LLVMValueRef first = LLVMBuildMul(b, row, rxn__llvm_splat(e, stride), "");
    return LLVMBuildAdd(b, first, flat_index(e, buffer, index, false, true), "");
}

/* The address of an element; *ret_vector: it is a vector of addresses. */
static LLVMValueRef
buffer_address(Emit *e, u32 object, const KirValue *index, bool *ret_vector)
{
    LLVMValueRef place = buffer_place(e, object, index, ret_vector);
    KirType type = (KirType)e->kernel->buffers.items[object].type;
    return rxn__llvm_element(e, type, e->buffers[object], place);
}

LLVMValueRef
rxn__llvm_emit_load(Emit *e, const KirNode *node, bool uniform)
{
    const KirBuffer *buffer = &e->kernel->buffers.items[node->object];
    KirType type = (KirType)node->type;
    bool vector = false;
    LLVMValueRef address = buffer_address(e, node->object, node->index, &vector);
    if (vector)
        return rxn__llvm_gather(e, type, address);
    LLVMValueRef value = rxn__llvm_load(e, rxn__llvm_memory_type(e, type), address);
    if (!buffer->writable)
        LLVMSetMetadata(value, e->invariant_load,
                        LLVMMetadataAsValue(e->context, LLVMMDNodeInContext2(e->context, NULL, 0)));
    value = rxn__llvm_from_memory(e, type, value);
    return uniform ? value : rxn__llvm_splat(e, value);
}

/* ---- stores, lane by lane ---------------------------------------------------------------------- */

enum {
    FEWEST_BY_LANE =
        4, /* below, scatters are faster: the loop over the lanes is mispredicted once */
};

void
rxn__llvm_emit_store(Emit *e, const KirStatement *s)
{
    const KirBuffer *buffer = &e->kernel->buffers.items[s->object];
    KirType type = (KirType)buffer->type;
    if (e->lanes > 1) {
        vec_push(e->arena, &e->pending, s);
        if (e->pending.count == RXN_LLVM_MOST_PENDING)
            rxn__llvm_flush_stores(e);
        return;
    }
    bool vector = false;
    LLVMValueRef address = buffer_address(e, s->object, s->index, &vector);
    rxn__llvm_store(e, rxn__llvm_to_memory(e, type, e->values[s->value], true), address);
}

/* A place on the stack for one vector, shared by all groups of stores. */
static LLVMValueRef
spill_place(Emit *e, LLVMTypeRef type)
{
    for (u32 i = 0; i < e->spill_places.count; i++) {
        SpillPlace *place = &e->spill_places.items[i];
        if (place->type == type && !place->taken) {
            place->taken = true;
            return place->slot;
        }
    }
    SpillPlace place = {type, rxn__llvm_stack_slot(e, type, "lanes"), true};
    LLVMSetAlignment(place.slot, 64);
    vec_push(e->arena, &e->spill_places, place);
    return place.slot;
}

/* The values that the pending stores use, each once: on the stack if they differ between lanes. */
typedef struct Spilled {
    KirValue value;
    LLVMValueRef slot; /* NULL: uniform */
    LLVMValueRef of_lane;
} Spilled;
typedef VEC(Spilled) SpilledList;

static void
spill_value(Emit *e, SpilledList *list, KirValue value)
{
    for (u32 i = 0; i < list->count; i++)
        if (list->items[i].value == value)
            return;
    Spilled spilled = {value, NULL, NULL};
    KirType type = (KirType)e->kernel->values.items[value].type;
    if (!e->layout->uniform[value]) {
        spilled.slot = spill_place(e, rxn__llvm_memory_vector(e, type));
        rxn__llvm_store(e, rxn__llvm_to_memory(e, type, e->values[value], false), spilled.slot);
    } else {
        spilled.of_lane = rxn__llvm_to_memory(e, type, e->values[value], true);
    }
    vec_push(e->arena, list, spilled);
}

/* In the loop: the value of this lane, as it lies in memory. */
static LLVMValueRef
value_of_lane(Emit *e, SpilledList *list, KirValue value, LLVMValueRef lane)
{
    Spilled *spilled = list->items;
    while (spilled->value != value)
        spilled++;
    if (spilled->of_lane == NULL) {
        KirType type = (KirType)e->kernel->values.items[value].type;
        LLVMValueRef address = rxn__llvm_element(e, type, spilled->slot, lane);
        spilled->of_lane = rxn__llvm_load(e, rxn__llvm_memory_type(e, type), address);
    }
    return spilled->of_lane;
}

static void
store_of_lane(Emit *e, const KirStatement *s, SpilledList *list, LLVMValueRef row,
              LLVMValueRef lane)
{
    LLVMBuilderRef b = e->builder;
    const KirBuffer *buffer = &e->kernel->buffers.items[s->object];
    LLVMValueRef flat = LLVMConstInt(e->i64, 0, false);
    for (u32 i = 0; i < buffer->rank; i++) {
        LLVMValueRef part = value_of_lane(e, list, s->index[i], lane);
        if (i > 0)
            flat = LLVMBuildMul(b, flat, LLVMConstInt(e->i64, buffer->extent[i], false), "");
        flat = LLVMBuildAdd(b, flat, LLVMBuildSExt(b, part, e->i64, ""), "");
    }
    LLVMValueRef start = LLVMBuildMul(b, row, e->strides[s->object], "");
    LLVMValueRef base = rxn__llvm_element(e, (KirType)buffer->type, e->buffers[s->object], start);
    LLVMValueRef address = rxn__llvm_element(e, (KirType)buffer->type, base, flat);
    rxn__llvm_store(e, value_of_lane(e, list, s->value, lane), address);
}

static void
scatter_pending(Emit *e)
{
    for (u32 i = 0; i < e->pending.count; i++) {
        const KirStatement *s = e->pending.items[i];
        bool vector = false;
        LLVMValueRef address = buffer_address(e, s->object, s->index, &vector);
        LLVMValueRef value = rxn__llvm_lanes_of(e, s->value);
        rxn__llvm_scatter(e, (KirType)e->kernel->buffers.items[s->object].type, value, address);
    }
}

static void
store_lane_by_lane(Emit *e)
{
    LLVMBuilderRef b = e->builder;
    for (u32 i = 0; i < e->spill_places.count; i++)
        e->spill_places.items[i].taken = false;
    SpilledList list = {0};
    LLVMValueRef rows = spill_place(e, e->row_type);
    rxn__llvm_store(e, rxn__llvm_load(e, e->row_type, e->row_slot), rows);
    for (u32 i = 0; i < e->pending.count; i++) {
        const KirStatement *s = e->pending.items[i];
        spill_value(e, &list, s->value);
        for (u32 k = 0; k < s->index_count; k++)
            spill_value(e, &list, s->index[k]);
    }

    LLVMTypeRef bits_type = LLVMIntTypeInContext(e->context, e->lanes);
    LLVMValueRef all = LLVMBuildBitCast(b, e->mask, bits_type, "");
    all = LLVMBuildZExt(b, all, e->i32, "");
    LLVMBasicBlockRef before = LLVMGetInsertBlock(b);
    LLVMBasicBlockRef body = rxn__llvm_block(e, "store_lane"), after = rxn__llvm_block(e, "stored");
    LLVMBuildBr(b, body);
    LLVMPositionBuilderAtEnd(b, body);
    LLVMValueRef bits = LLVMBuildPhi(b, e->i32, "");
    LLVMValueRef count[2] = {bits, LLVMConstInt(e->i1, 1, false)}; /* the mask is not empty */
    LLVMValueRef lane = rxn__llvm_intrinsic(e, "llvm.cttz", &e->i32, 1, count, 2);
    lane = LLVMBuildZExt(b, lane, e->i64, "");
    LLVMValueRef row = rxn__llvm_load(e, e->i64, rxn__llvm_element(e, KIR_U64, rows, lane));
    for (u32 i = 0; i < e->pending.count; i++)
        store_of_lane(e, e->pending.items[i], &list, row, lane);
    LLVMValueRef less = LLVMBuildSub(b, bits, LLVMConstInt(e->i32, 1, false), "");
    LLVMValueRef rest = LLVMBuildAnd(b, bits, less, "");
    LLVMAddIncoming(bits, &all, &before, 1);
    LLVMAddIncoming(bits, &rest, &body, 1);
    LLVMValueRef more = LLVMBuildICmp(b, LLVMIntNE, rest, LLVMConstInt(e->i32, 0, false), "");
    LLVMBuildCondBr(b, more, body, after);
    LLVMPositionBuilderAtEnd(b, after);
}

void
rxn__llvm_flush_stores(Emit *e)
{
    if (e->pending.count == 0)
        return;
    bool logged = rxn__llvm_log_stores(e);
    if (!logged && e->host->has_scatter && e->pending.count < FEWEST_BY_LANE)
        scatter_pending(e);
    else if (!logged)
        store_lane_by_lane(e);
    e->pending.count = 0;
}
