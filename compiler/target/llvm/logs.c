/* logs.c: stores that few lanes make at a time, put down one after another and written later.
 *
 * Results are stored by the lanes that have crossed a sample time: a few at nearly every step where samples are
 * dense. A scatter costs the same for one lane as for all, and a loop over those few is mispredicted each time. But
 * nobody reads the results before the kernel returns, so they need not be where they belong at once. The kernel keeps
 * a log, an array per stored value and one of places, all in its stack frame; what the lanes of the mask have is packed
 * (an instruction of AVX-512) and put at its end, and from time to time a plain loop writes it all:
 *
 *     store sample[%1, 0], %2             places[n …] = packed(row * stride + %1 * columns)
 *     store sample[%1, 1], %3    becomes  first[n …] = packed(%2); second[n …] = packed(%3)
 *                                         n += popcount(mask)
 *
 *     the log is full, or leave:          for i in 0, 4 … below n
 *                                             sample[places[i] + 0, 1] = first[i], second[i]; … i + 3 …
 *
 * Places have 32 bits: the rows of a launch are fewer elements than that counts (kernel_abi.h). Four entries are written
 * together, of each two neighbouring columns by one store; behind the last stand copies of it up to a multiple of four,
 * which write what is there. They are written in the order in which they came, so that the last store to an element wins
 * as it should. There is one log, of one buffer: one that the kernel does not read, and to which all its stores, of whole
 * rows always in the same way, stand in step.
 */
#include "compiler/target/llvm/llvm.h"

enum {
    LOG_ENTRIES = 256, /* a few kilobytes, which stay in the first cache */
    TOGETHER = 4,      /* entries written in one turn */
    MOST_COLUMNS = 8,
    MOST_PACKED = 16, /* registers: with more, packing takes longer than a loop over the lanes */
};

/* A column of the stored rows. A number of 32 bits that is stored as one of 64 is put down as it was. */
typedef struct LogColumn {
    KirType type; /* in the log */
    bool constant;
    u64 column, bits; /* its place in the row; what it is if it is the same always */
    LLVMValueRef array;
} LogColumn;

struct StoreLog {
    u32 object; /* the buffer */
    u32 count;
    u32 group; /* lanes whose entries are packed together: as many as fill a register with the widest column */
    LogColumn columns[MOST_COLUMNS];
    LLVMValueRef places, used; /* in the stack frame: arrays; and the number of entries */
};

/* ---- which stores ------------------------------------------------------------------------------- */

static bool
reads_buffer(const KirKernel *kernel, u32 object)
{
    for (u32 v = 1; v < kernel->values.count; v++) {
        const KirNode *node = &kernel->values.items[v];
        if (node->op == KIR_LOAD && node->object == object)
            return true;
    }
    return false;
}

/* The value that is put down for a stored one. */
static KirValue
kept_value(const KirKernel *kernel, KirValue value)
{
    const KirNode *node = &kernel->values.items[value];
    bool widened = node->op == KIR_CAST && node->type == KIR_F64 &&
                   kernel->values.items[node->args[0]].type == KIR_F32;
    return widened ? node->args[0] : value;
}

/* Whether stores that follow each other are columns of one row, and few; and which. */
static bool
is_row(const Emit *e, const KirStatement *const *stores, u32 count, StoreLog *ret_log)
{
    const KirNode *values = e->kernel->values.items;
    const KirBuffer *buffer = &e->kernel->buffers.items[stores[0]->object];
    if (count > MOST_COLUMNS || buffer->scope != KIR_PER_TRAJECTORY || buffer->type != KIR_F64 ||
        buffer->rank == 0)
        return false;
    *ret_log = (StoreLog){.object = stores[0]->object, .count = count};
    for (u32 i = 0; i < count; i++) {
        const KirStatement *s = stores[i];
        const KirNode *column = &values[s->index[buffer->rank - 1]], *value = &values[s->value];
        bool constant = value->op == KIR_CONST;
        if (s->object != stores[0]->object || column->op != KIR_CONST ||
            (e->layout->uniform[s->value] && !constant))
            return false;
        for (u32 k = 0; k + 1 < buffer->rank; k++)
            if (s->index[k] != stores[0]->index[k])
                return false;
        KirType type = (KirType)values[kept_value(e->kernel, s->value)].type;
        ret_log->columns[i] = (LogColumn){constant ? KIR_F64 : type, constant, column->bits,
                                          constant ? value->bits : 0, NULL};
    }
    return true;
}

static bool
same_row(const StoreLog *a, const StoreLog *b)
{
    if (a->object != b->object || a->count != b->count)
        return false;
    for (u32 i = 0; i < a->count; i++) {
        const LogColumn *x = &a->columns[i], *y = &b->columns[i];
        if (x->type != y->type || x->constant != y->constant || x->column != y->column ||
            x->bits != y->bits)
            return false;
    }
    return true;
}

/* What the search for the log's rows has come to. */
typedef struct LogSearch {
    bool in_step, found, spoilt;
    StoreLog log;
} LogSearch;

static void
look_at_stores(const Emit *e, const KirStatement *const *stores, u32 count, LogSearch *search)
{
    StoreLog row;
    if (count == 0)
        return;
    bool whole = is_row(e, stores, count, &row);
    if (!search->found && search->in_step && whole && !reads_buffer(e->kernel, row.object)) {
        search->log = row;
        search->found = true;
    }
    if (!search->found || (whole && search->in_step && same_row(&row, &search->log)))
        return;
    for (u32 i = 0; i < count; i++)
        search->spoilt |= stores[i]->object == search->log.object;
}

/* Goes through the groups of stores that rxn__llvm_flush_stores will be given. */
static void
search_block(const Emit *e, const KirBlock *block, LogSearch *search)
{
    const KirStatement *stores[RXN_LLVM_MOST_PENDING];
    u32 count = 0;
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (!rxn__llvm_between_stores(e, s) || count == RXN_LLVM_MOST_PENDING) {
            look_at_stores(e, stores, count, search);
            count = 0;
        }
        if (s->kind == KIR_STORE)
            stores[count++] = s;
        search_block(e, &s->body, search);
        search_block(e, &s->otherwise, search);
    }
    look_at_stores(e, stores, count, search);
}

/* How many registers make up an entry of each lane. */
static u32
packed_registers(const Emit *e, const StoreLog *log)
{
    u32 bytes = rxn__kir_type_bytes[KIR_U32];
    for (u32 i = 0; i < log->count; i++)
        bytes += log->columns[i].constant ? 0 : rxn__kir_type_bytes[log->columns[i].type];
    return e->lanes * bytes / 64;
}

static u32
widest_bytes(const StoreLog *log)
{
    u32 widest = rxn__kir_type_bytes[KIR_U32]; /* of places */
    for (u32 i = 0; i < log->count; i++) {
        u32 bytes = log->columns[i].constant ? 0 : rxn__kir_type_bytes[log->columns[i].type];
        widest = bytes > widest ? bytes : widest;
    }
    return widest;
}

static LLVMValueRef
log_array(Emit *e, LLVMTypeRef type)
{
    /* Whole registers are stored, the last of them beyond what is used. */
    return rxn__llvm_stack_slot(e, rxn__llvm_array_type(type, LOG_ENTRIES + e->lanes), "log");
}

void
rxn__llvm_plan_log(Emit *e)
{
    LogSearch search = {0};
    if (!e->host->has_scatter || e->lanes % 16 != 0)
        return;
    /* Twice: what stands before the first row of the log is looked at when that is known. */
    for (u32 turn = 0; turn < 2; turn++) {
        for (u32 region = 0; region < KIR_REGION_COUNT; region++) {
            search.in_step = region == KIR_STEP;
            search_block(e, &e->kernel->regions[region], &search);
        }
    }
    if (!search.found || search.spoilt || packed_registers(e, &search.log) > MOST_PACKED)
        return;
    StoreLog *log = e->log = NEW(e->arena, StoreLog);
    *log = search.log;
    log->places = log_array(e, e->i32);
    for (u32 i = 0; i < log->count; i++)
        if (!log->columns[i].constant)
            log->columns[i].array = log_array(e, e->scalar[log->columns[i].type]);
    log->group = 64 / widest_bytes(log);
    log->used = rxn__llvm_stack_slot(e, e->i64, "logged");
    rxn__llvm_store(e, LLVMConstInt(e->i64, 0, false), log->used);
}

/* ---- putting down -------------------------------------------------------------------------------- */

/* Lanes first … first + width - 1 of a vector. */
static LLVMValueRef
part_of(Emit *e, LLVMValueRef vector, u32 first, u32 width)
{
    LLVMValueRef places[64];
    for (u32 i = 0; i < width; i++)
        places[i] = LLVMConstInt(e->i32, first + i, false);
    return LLVMBuildShuffleVector(e->builder, vector, LLVMGetPoison(LLVMTypeOf(vector)),
                                  LLVMConstVector(places, width), "");
}

/* Where the entries of each group of lanes go, and, last, where those of the next time will. */
typedef struct Packing {
    LLVMValueRef first[64 / 8 + 1];
} Packing;

static Packing
plan_packing(Emit *e, LLVMValueRef used)
{
    LLVMBuilderRef b = e->builder;
    u32 group = e->log->group;
    LLVMTypeRef bits_type = LLVMIntTypeInContext(e->context, group);
    Packing packing = {{used}};
    for (u32 i = 0; i < e->lanes / group; i++) {
        LLVMValueRef bits =
            LLVMBuildBitCast(b, part_of(e, e->mask, group * i, group), bits_type, "");
        bits = LLVMBuildZExt(b, bits, e->i64, "");
        LLVMValueRef lanes = rxn__llvm_intrinsic(e, "llvm.ctpop", &e->i64, 1, &bits, 1);
        packing.first[i + 1] = LLVMBuildAdd(b, packing.first[i], lanes, "");
    }
    return packing;
}

/* Packs what the lanes of the mask have. */
static void
put_down(Emit *e, const Packing *packing, KirType type, LLVMValueRef vector, LLVMValueRef array)
{
    u32 bytes = rxn__kir_type_bytes[type], width = 64 / bytes;
    for (u32 first = 0; first < e->lanes; first += width) {
        LLVMTypeRef overload = LLVMVectorType(e->scalar[type], width);
        LLVMValueRef arguments[3] = {part_of(e, vector, first, width), LLVMConstNull(overload),
                                     part_of(e, e->mask, first, width)};
        LLVMValueRef packed =
            rxn__llvm_intrinsic(e, "llvm.x86.avx512.mask.compress", &overload, 1, arguments, 3);
        LLVMValueRef address =
            rxn__llvm_element(e, type, array, packing->first[first / e->log->group]);
        LLVMSetAlignment(LLVMBuildStore(e->builder, packed, address), bytes);
    }
}

bool
rxn__llvm_log_stores(Emit *e)
{
    LLVMBuilderRef b = e->builder;
    const StoreLog *log = e->log;
    const KirStatement *const *stores = e->pending.items;
    if (log == NULL || stores[0]->object != log->object)
        return false;
    LLVMBasicBlockRef full = rxn__llvm_block(e, "log_full"), room = rxn__llvm_block(e, "log_room");
    LLVMValueRef used = rxn__llvm_load(e, e->i64, log->used);
    LLVMValueRef limit = LLVMConstInt(e->i64, LOG_ENTRIES - e->lanes, false);
    rxn__llvm_branch(e, LLVMBuildICmp(b, LLVMIntUGT, used, limit, ""), full, room, 16);
    LLVMPositionBuilderAtEnd(b, full);
    rxn__llvm_write_log(e);
    LLVMBuildBr(b, room);
    LLVMPositionBuilderAtEnd(b, room);
    const Packing packing = plan_packing(e, rxn__llvm_load(e, e->i64, log->used));
    KirValue index[KIR_MAX_RANK] = {0}; /* of the row's column 0 */
    for (u32 k = 0; k + 1 < stores[0]->index_count; k++)
        index[k] = stores[0]->index[k];
    put_down(e, &packing, KIR_U32, rxn__llvm_place(e, log->object, index), log->places);
    for (u32 i = 0; i < log->count; i++) {
        const LogColumn *column = &log->columns[i];
        if (!column->constant)
            put_down(e, &packing, column->type, e->values[kept_value(e->kernel, stores[i]->value)],
                     column->array);
    }
    rxn__llvm_store(e, packing.first[e->lanes / log->group], log->used);
    return true;
}

/* ---- writing ------------------------------------------------------------------------------------- */

static LLVMValueRef
four(Emit *e, LLVMTypeRef scalar, KirType type, LLVMValueRef array, LLVMValueRef i)
{
    LLVMValueRef values =
        rxn__llvm_load(e, LLVMVectorType(scalar, TOGETHER), rxn__llvm_element(e, type, array, i));
    LLVMSetAlignment(values, rxn__kir_type_bytes[type]);
    return values;
}

/* Copies of the last entry behind it. */
static void
pad(Emit *e, LLVMTypeRef scalar, KirType type, LLVMValueRef array, LLVMValueRef used)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef zero = LLVMConstInt(e->i32, 0, false);
    LLVMValueRef last = LLVMBuildSub(b, used, LLVMConstInt(e->i64, 1, false), "");
    LLVMValueRef value = rxn__llvm_load(e, scalar, rxn__llvm_element(e, type, array, last));
    LLVMTypeRef vector = LLVMVectorType(scalar, TOGETHER);
    value = LLVMBuildInsertElement(b, LLVMGetPoison(vector), value, zero, "");
    value = LLVMBuildShuffleVector(b, value, LLVMGetPoison(vector),
                                   LLVMConstNull(LLVMVectorType(e->i32, TOGETHER)), "");
    LLVMSetAlignment(LLVMBuildStore(b, value, rxn__llvm_element(e, type, array, used)),
                     rxn__kir_type_bytes[type]);
}

/* Four entries' values of a column, as they are stored. */
static LLVMValueRef
column_values(Emit *e, const LogColumn *column, LLVMValueRef i)
{
    LLVMTypeRef wide = LLVMVectorType(e->f64, TOGETHER);
    if (column->constant) {
        LLVMValueRef same[TOGETHER];
        for (u32 k = 0; k < TOGETHER; k++)
            same[k] = rxn__llvm_constant(e, KIR_F64, column->bits);
        return LLVMConstVector(same, TOGETHER);
    }
    LLVMValueRef values = four(e, e->scalar[column->type], column->type, column->array, i);
    return column->type == KIR_F32 ? LLVMBuildFPExt(e->builder, values, wide, "") : values;
}

static LLVMValueRef
shuffled(Emit *e, LLVMValueRef a, LLVMValueRef b, const u32 *from, u32 count)
{
    LLVMValueRef places[TOGETHER];
    for (u32 k = 0; k < count; k++)
        places[k] = LLVMConstInt(e->i32, from[k], false);
    return LLVMBuildShuffleVector(e->builder, a, b, LLVMConstVector(places, count), "");
}

static void
store_at(Emit *e, LLVMValueRef value, LLVMValueRef place, u64 column)
{
    const StoreLog *log = e->log;
    LLVMValueRef at = LLVMBuildAdd(e->builder, place, LLVMConstInt(e->i64, column, false), "");
    LLVMValueRef store = LLVMBuildStore(e->builder, value,
                                        rxn__llvm_element(e, KIR_F64, e->buffers[log->object], at));
    LLVMSetAlignment(store, rxn__kir_type_bytes[KIR_F64]);
}

/* Four entries from i on. */
static void
write_entries(Emit *e, LLVMValueRef i)
{
    static const u32 low[TOGETHER] = {0, 4, 2, 6}, high[TOGETHER] = {1, 5, 3, 7};
    LLVMBuilderRef b = e->builder;
    const StoreLog *log = e->log;
    LLVMValueRef places = four(e, e->i32, KIR_U32, log->places, i), place[TOGETHER];
    for (u32 k = 0; k < TOGETHER; k++) {
        place[k] = LLVMBuildExtractElement(b, places, LLVMConstInt(e->i32, k, false), "");
        place[k] = LLVMBuildZExt(b, place[k], e->i64, "");
    }
    for (u32 c = 0; c < log->count; c++) {
        const LogColumn *column = &log->columns[c];
        LLVMValueRef first = column_values(e, column, i);
        if (c + 1 == log->count || column[1].column != column->column + 1) {
            for (u32 k = 0; k < TOGETHER; k++)
                store_at(e, LLVMBuildExtractElement(b, first, LLVMConstInt(e->i32, k, false), ""),
                         place[k], column->column);
            continue;
        }
        /* In two steps, as the processor does it: pairs of entries 0 and 2, and of 1 and 3. */
        LLVMValueRef second = column_values(e, &column[1], i);
        LLVMValueRef pairs[2] = {shuffled(e, first, second, low, TOGETHER),
                                 shuffled(e, first, second, high, TOGETHER)};
        for (u32 k = 0; k < TOGETHER; k++) {
            const u32 half[2] = {k / 2 * 2, k / 2 * 2 + 1};
            store_at(e, shuffled(e, pairs[k % 2], LLVMGetPoison(LLVMTypeOf(first)), half, 2),
                     place[k], column->column);
        }
        c++;
    }
}

void
rxn__llvm_write_log(Emit *e)
{
    LLVMBuilderRef b = e->builder;
    const StoreLog *log = e->log;
    if (log == NULL)
        return;
    LLVMValueRef zero = LLVMConstInt(e->i64, 0, false);
    LLVMBasicBlockRef some = rxn__llvm_block(e, "log_some"), next = rxn__llvm_block(e, "log_next");
    LLVMBasicBlockRef written = rxn__llvm_block(e, "log_written");
    LLVMValueRef used = rxn__llvm_load(e, e->i64, log->used);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntEQ, used, zero, ""), written, some);
    LLVMPositionBuilderAtEnd(b, some);
    pad(e, e->i32, KIR_U32, log->places, used);
    for (u32 c = 0; c < log->count; c++)
        if (!log->columns[c].constant)
            pad(e, e->scalar[log->columns[c].type], log->columns[c].type, log->columns[c].array,
                used);
    LLVMBuildBr(b, next);

    LLVMPositionBuilderAtEnd(b, next);
    LLVMValueRef i = LLVMBuildPhi(b, e->i64, "");
    LLVMAddIncoming(i, &zero, &some, 1);
    write_entries(e, i);
    LLVMValueRef more = LLVMBuildAdd(b, i, LLVMConstInt(e->i64, TOGETHER, false), "");
    LLVMAddIncoming(i, &more, &next, 1);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntULT, more, used, ""), next, written);

    LLVMPositionBuilderAtEnd(b, written);
    rxn__llvm_store(e, zero, log->used);
}
