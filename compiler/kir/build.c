/* build.c: the builder, through which every kernel is made.
 *
 * A method appends op after op, as it would write the algorithm down. The builder keeps the result
 * small on the way: an op on constants becomes a constant, an op that an identity makes trivial
 * becomes its argument (simplify.c), and a pure value that was computed before and is still visible
 * is used again. "Still visible" is what makes the sharing scoped: a value found inside an `if` is
 * forgotten when the block closes, a value of launch's top block is found from every region.
 *
 * Sharing is one hash table over a stack of entries. Closing a block pops its entries, and as every
 * bucket is a list from new to old, popping only moves the bucket's head: no search, no tombstones.
 *
 * Misuse is kept as the first error's text and given back by rxn__kir_end: the caller, which writes
 * hundreds of ops in a row, does not have to look after each.
 */
#include "compiler/kir/internal.h"

enum { FIRST_BUCKETS = 256 }; /* a power of two */

void
rxn__kir_builder_fail(KirBuilder *builder, const char *format, ...)
{
    if (builder->error)
        return;
    Text text;
    rxn__text_init(&text, builder->kernel->arena);
    va_list args;
    va_start(args, format);
    rxn__text_vprintf(&text, format, args);
    va_end(args);
    builder->error = text.data;
}

static void
open_frame(KirBuilder *builder, KirStatementKind kind, KirStatement *statement, KirBlock *block)
{
    KirFrame frame = {
        .kind = kind, .statement = statement, .block = block, .mark = builder->entries.count};
    vec_push(builder->kernel->arena, &builder->frames, frame);
}

/* `expected` values: a bound that is too low costs time, no more. */
static KirBuilder *
begin(Arena *arena, NameTable *names, Name name, KirType precision, bool raw, u32 expected)
{
    KirBuilder *builder = NEW(arena, KirBuilder);
    KirKernel *kernel = NEW(arena, KirKernel);
    u32 buckets = FIRST_BUCKETS;
    while (buckets < expected && buckets < UINT32_MAX / 4)
        buckets *= 2;
    if (expected) {
        kernel->values.items = NEW_ARRAY(arena, KirNode, expected);
        kernel->values.capacity = expected;
    }
    kernel->arena = arena;
    kernel->names = names;
    kernel->name = name;
    kernel->precision = (u8)precision;
    kernel->done = UINT32_MAX;
    KirNode none = {0};
    vec_push(arena, &kernel->values, none);

    builder->kernel = kernel;
    builder->raw = raw;
    builder->bucket_count = buckets;
    builder->buckets = NEW_ARRAY(arena, u32, buckets);
    builder->region = KIR_LAUNCH;
    open_frame(builder, KIR_DEFINE, NULL, &kernel->regions[KIR_LAUNCH]);
    return builder;
}

KirBuilder *
rxn__kir_begin(Arena *arena, NameTable *names, const char *name, KirType precision)
{
    return begin(arena, names, rxn__name_z(names, name), precision, false, 0);
}

KirBuilder *
rxn__kir_begin_raw(Arena *arena, NameTable *names, const char *name, KirType precision)
{
    return begin(arena, names, rxn__name_z(names, name), precision, true, 0);
}

KirBuilder *
rxn__kir_begin_like(const KirKernel *kernel, bool raw)
{
    KirBuilder *builder = begin(kernel->arena, kernel->names, kernel->name,
                                (KirType)kernel->precision, raw, kernel->values.count);
    KirKernel *copy = builder->kernel;
    for (u32 region = 0; region < KIR_REGION_COUNT; region++) {
        KirBlock *block = &copy->regions[region];
        block->capacity = kernel->regions[region].count;
        if (block->capacity)
            block->items = NEW_ARRAY(copy->arena, KirStatement, block->capacity);
    }
    for (u32 i = 0; i < kernel->buffers.count; i++)
        vec_push(copy->arena, &copy->buffers, kernel->buffers.items[i]);
    for (u32 i = 0; i < kernel->locals.count; i++)
        vec_push(copy->arena, &copy->locals, kernel->locals.items[i]);
    for (u32 i = 0; i < kernel->witness.count; i++)
        vec_push(copy->arena, &copy->witness, kernel->witness.items[i]);
    copy->done = kernel->done;
    copy->lanes = kernel->lanes;
    return builder;
}

KirKernel *
rxn__kir_kernel(KirBuilder *builder)
{
    return builder->kernel;
}

const char *
rxn__kir_end(KirBuilder *builder, KirKernel **ret_kernel)
{
    KirKernel *kernel = builder->kernel;
    *ret_kernel = NULL;
    if (builder->frames.count > 1)
        rxn__kir_builder_fail(builder, "a block is left open at the end");
    if (builder->error)
        return builder->error;
    const char *error = rxn__kir_check(kernel, false, kernel->arena);
    if (!error)
        *ret_kernel = kernel;
    return error;
}

/* ---- Declarations */

u32
rxn__kir_buffer(KirBuilder *builder, const char *name, KirType type, KirScope scope, bool writable,
                u32 rank, const u32 *extents)
{
    KirKernel *kernel = builder->kernel;
    KirBuffer buffer = {.name = rxn__name_z(kernel->names, name),
                        .type = (u8)type,
                        .scope = (u8)scope,
                        .rank = (u8)(rank <= KIR_MAX_RANK ? rank : 0),
                        .writable = writable};
    if (rank > KIR_MAX_RANK)
        rxn__kir_builder_fail(builder, "buffer '%s' has rank %u; the most is %d", name, rank,
                              KIR_MAX_RANK);
    for (u32 i = 0; i < buffer.rank; i++)
        buffer.extent[i] = extents[i];
    vec_push(kernel->arena, &kernel->buffers, buffer);
    return kernel->buffers.count - 1;
}

/* Two species may be called `x` and `x.1`, and a method has its own names besides: where a name is
 * taken, the local's number is added. */
static Name
unused_local_name(KirBuilder *builder, const char *wanted)
{
    KirKernel *kernel = builder->kernel;
    Name name = rxn__name_z(kernel->names, wanted);
    if (builder->raw)
        return name;
    u32 taken_by;
    while (rxn__kir_name_find(&builder->local_names, name, &taken_by)) {
        Text text;
        rxn__text_init(&text, kernel->arena);
        rxn__text_printf(&text, "%s.%u", name->text, kernel->locals.count);
        name = rxn__name(kernel->names, text.data, text.length);
    }
    return name;
}

static u32
add_local(KirBuilder *builder, const char *name, KirLocal local)
{
    KirKernel *kernel = builder->kernel;
    for (; builder->named_locals < kernel->locals.count; builder->named_locals++)
        rxn__kir_name_add(&builder->local_names, kernel->arena,
                          kernel->locals.items[builder->named_locals].name, builder->named_locals);
    local.name = unused_local_name(builder, name);
    vec_push(kernel->arena, &kernel->locals, local);
    return kernel->locals.count - 1;
}

u32
rxn__kir_local(KirBuilder *builder, const char *name, KirType type, u32 length)
{
    return add_local(builder, name, (KirLocal){.type = (u8)type, .length = length});
}

u32
rxn__kir_uniform_local(KirBuilder *builder, const char *name, KirType type, u32 length)
{
    return add_local(builder, name,
                     (KirLocal){.type = (u8)type, .uniform = true, .length = length});
}

u32
rxn__kir_tape_local(KirBuilder *builder, const char *name, KirType type, u32 storage_bytes,
                    u32 length)
{
    if (storage_bytes == 0 || storage_bytes > sizeof(u64))
        rxn__kir_builder_fail(builder, "tape '%s': no element takes %u bytes", name, storage_bytes);
    return add_local(builder, name,
                     (KirLocal){.type = (u8)type, .storage = (u8)storage_bytes, .length = length});
}

/* ---- Blocks */

static KirFrame *
top_frame(KirBuilder *builder)
{
    return &builder->frames.items[builder->frames.count - 1];
}

static KirStatement *
append_statement(KirBuilder *builder, KirStatement statement)
{
    KirBlock *block = top_frame(builder)->block;
    vec_push(builder->kernel->arena, block, statement);
    return &block->items[block->count - 1];
}

static void
forget_entries(KirBuilder *builder, u32 mark)
{
    while (builder->entries.count > mark) {
        const KirEntry *entry = &builder->entries.items[--builder->entries.count];
        builder->buckets[entry->hash & (builder->bucket_count - 1)] = entry->next;
    }
}

void
rxn__kir_region(KirBuilder *builder, KirRegion region)
{
    if (builder->frames.count > 1) {
        rxn__kir_builder_fail(builder, "a block is left open at the end of a region");
        forget_entries(builder, builder->frames.items[1].mark);
    }
    builder->frames.count = 0;
    builder->region = region;
    open_frame(builder, KIR_DEFINE, NULL, &builder->kernel->regions[region]);
}

static bool
can_open(KirBuilder *builder)
{
    if (builder->frames.count <= KIR_MAX_DEPTH)
        return true;
    rxn__kir_builder_fail(builder, "blocks are nested more than %d deep", KIR_MAX_DEPTH);
    return false;
}

static void
open_block(KirBuilder *builder, KirStatement statement)
{
    if (!can_open(builder)) /* go on in the block that is open: the error is kept */
        return;
    KirStatement *added = append_statement(builder, statement);
    open_frame(builder, (KirStatementKind)statement.kind, added, &added->body);
}

static bool
expect_type(KirBuilder *builder, KirValue value, KirType type, const char *what)
{
    if (value == 0 || value >= builder->kernel->values.count) {
        rxn__kir_builder_fail(builder, "%s is no value", what);
        return false;
    }
    if (rxn__kir_type(builder, value) == type)
        return true;
    rxn__kir_builder_fail(builder, "%s (value %u) is %s, not %s", what, value,
                          rxn__kir_type_names[rxn__kir_type(builder, value)],
                          rxn__kir_type_names[type]);
    return false;
}

static void
open_if(KirBuilder *builder, KirValue condition, bool seldom)
{
    expect_type(builder, condition, KIR_BOOL, "the condition of an if");
    open_block(builder, (KirStatement){.kind = KIR_IF, .seldom = seldom, .value = condition});
}

void
rxn__kir_if(KirBuilder *builder, KirValue condition)
{
    open_if(builder, condition, false);
}

void
rxn__kir_if_seldom(KirBuilder *builder, KirValue condition)
{
    open_if(builder, condition, true);
}

void
rxn__kir_else(KirBuilder *builder)
{
    KirFrame *frame = top_frame(builder);
    if (!frame->statement || frame->kind != KIR_IF || frame->in_else) {
        rxn__kir_builder_fail(builder, "an else without its if");
        return;
    }
    forget_entries(builder, frame->mark);
    frame->in_else = true;
    frame->block = &frame->statement->otherwise;
}

static KirValue
open_for(KirBuilder *builder, KirValue lo, KirValue hi, bool down)
{
    expect_type(builder, lo, KIR_I32, "the lower bound of a for");
    expect_type(builder, hi, KIR_I32, "the upper bound of a for");
    KirNode node = {.op = KIR_COUNTER, .type = KIR_I32};
    vec_push(builder->kernel->arena, &builder->kernel->values, node);
    KirValue counter = builder->kernel->values.count - 1;
    open_block(
        builder,
        (KirStatement){
            .kind = KIR_FOR, .down = down, .value = counter, .index_count = 2, .index = {lo, hi}});
    return counter;
}

KirValue
rxn__kir_for(KirBuilder *builder, KirValue lo, KirValue hi)
{
    return open_for(builder, lo, hi, false);
}

KirValue
rxn__kir_for_down(KirBuilder *builder, KirValue lo, KirValue hi)
{
    return open_for(builder, lo, hi, true);
}

void
rxn__kir_loop(KirBuilder *builder)
{
    open_block(builder, (KirStatement){.kind = KIR_LOOP});
}

void
rxn__kir_break(KirBuilder *builder)
{
    append_statement(builder, (KirStatement){.kind = KIR_BREAK});
}

void
rxn__kir_close(KirBuilder *builder)
{
    if (builder->frames.count <= 1) {
        rxn__kir_builder_fail(builder, "a block is closed that was not opened");
        return;
    }
    forget_entries(builder, top_frame(builder)->mark);
    builder->frames.count--;
}

void
rxn__kir_trap(KirBuilder *builder, RxnFaultCode code, KirValue detail)
{
    expect_type(builder, detail, KIR_U32, "the detail of a trap");
    append_statement(builder, (KirStatement){.kind = KIR_TRAP, .code = (u16)code, .value = detail});
}

/* ---- Values */

u32
rxn__kir_origin(KirBuilder *builder, u32 position)
{
    u32 before = builder->origin;
    builder->origin = position;
    return before;
}

KirType
rxn__kir_type(const KirBuilder *builder, KirValue value)
{
    const KirKernel *kernel = builder->kernel;
    return value < kernel->values.count ? (KirType)kernel->values.items[value].type : KIR_BOOL;
}

static KirValue
append_value(KirBuilder *builder, const KirNode *node)
{
    KirKernel *kernel = builder->kernel;
    vec_push(kernel->arena, &kernel->values, *node);
    KirValue value = kernel->values.count - 1;
    if (!(rxn__kir_ops[node->op].flags & KIR_FLAG_LEAF)) /* what is read belongs to nobody */
        kernel->values.items[value].origin = builder->origin;
    append_statement(builder, (KirStatement){.kind = KIR_DEFINE, .value = value});
    return value;
}

static u32
node_hash(const KirNode *node)
{
    u64 h = hash_mix(node->op, node->type);
    for (int i = 0; i < 3; i++)
        h = hash_mix(h, node->args[i]);
    h = hash_mix(h, node->bits);
    h = hash_mix(h, node->object);
    for (u32 i = 0; i < node->index_count; i++)
        h = hash_mix(h, node->index[i]);
    return (u32)(h ^ h >> 32);
}

static bool
same_node(const KirNode *a, const KirNode *b)
{
    return a->op == b->op && a->type == b->type && a->args[0] == b->args[0] &&
           a->args[1] == b->args[1] && a->args[2] == b->args[2] && a->bits == b->bits &&
           a->object == b->object && a->index_count == b->index_count &&
           memcmp(a->index, b->index, sizeof a->index) == 0;
}

static void
link_entry(KirBuilder *builder, u32 number)
{
    KirEntry *entry = &builder->entries.items[number];
    u32 *bucket = &builder->buckets[entry->hash & (builder->bucket_count - 1)];
    entry->next = *bucket;
    *bucket = number + 1;
}

/* Old entries are linked first, so each bucket's list is from new to old again. */
static void
grow_buckets(KirBuilder *builder)
{
    builder->bucket_count *= 2;
    builder->buckets = NEW_ARRAY(builder->kernel->arena, u32, builder->bucket_count);
    for (u32 i = 0; i < builder->entries.count; i++)
        link_entry(builder, i);
}

/* An entry of another region's top block stays in the table while that region is not selected; only
 * launch's is visible from elsewhere. */
static KirValue
share_value(KirBuilder *builder, const KirNode *node)
{
    u32 hash = node_hash(node);
    u32 number = builder->buckets[hash & (builder->bucket_count - 1)];
    while (number) {
        const KirEntry *entry = &builder->entries.items[number - 1];
        if (entry->hash == hash &&
            (entry->region == builder->region || entry->region == KIR_LAUNCH) &&
            same_node(&builder->kernel->values.items[entry->value], node))
            return entry->value;
        number = entry->next;
    }
    KirEntry entry = {
        .value = append_value(builder, node), .hash = hash, .region = (u8)builder->region};
    vec_push(builder->kernel->arena, &builder->entries, entry);
    if (builder->entries.count > builder->bucket_count)
        grow_buckets(builder);
    else
        link_entry(builder, builder->entries.count - 1);
    return entry.value;
}

/* Equal nodes have equal values wherever both are visible. */
static bool
is_pure(const KirBuilder *builder, const KirNode *node)
{
    const KirKernel *kernel = builder->kernel;
    switch (node->op) {
    case KIR_GET:
        return kernel->locals.items[node->object].uniform && builder->region != KIR_LAUNCH;
    case KIR_LOAD: return !kernel->buffers.items[node->object].writable;
    case KIR_COUNTER: return false;
    default: return true;
    }
}

static bool
all_constant(const KirBuilder *builder, const KirNode *node, u64 ret_bits[3])
{
    const u32 arity = rxn__kir_ops[node->op].arity;
    for (u32 i = 0; i < arity; i++) {
        const KirNode *arg = &builder->kernel->values.items[node->args[i]];
        if (arg->op != KIR_CONST)
            return false;
        ret_bits[i] = arg->bits;
    }
    return true;
}

KirValue
rxn__kir_node(KirBuilder *builder, KirNode node)
{
    const KirKernel *kernel = builder->kernel;
    const char *error = rxn__kir_node_error(kernel, &node);
    if (error) {
        rxn__kir_builder_fail(builder, "%s: %s",
                              node.op < KIR_OP_COUNT ? rxn__kir_ops[node.op].text : "op", error);
        return 0;
    }
    if (builder->raw)
        return append_value(builder, &node);
    if (!(rxn__kir_ops[node.op].flags & KIR_FLAG_LEAF)) {
        u64 bits[3] = {0};
        /* A MATH op is what its expansion says, to the bit; libm's answer may differ. */
        if (!(rxn__kir_ops[node.op].flags & KIR_FLAG_MATH) && all_constant(builder, &node, bits)) {
            const KirType arg_type = rxn__kir_type(builder, node.args[0]);
            return rxn__kir_const_bits(
                builder, (KirType)node.type,
                rxn__kir_evaluate((KirOp)node.op, (KirType)node.type, arg_type, bits));
        }
        KirValue same = rxn__kir_simplify(builder, &node);
        if (same)
            return same;
    }
    return is_pure(builder, &node) ? share_value(builder, &node) : append_value(builder, &node);
}

KirValue
rxn__kir_const_bits(KirBuilder *builder, KirType type, u64 bits)
{
    return rxn__kir_node(
        builder,
        (KirNode){.op = KIR_CONST, .type = (u8)type, .bits = rxn__kir_canonical(type, bits)});
}

KirValue
rxn__kir_const(KirBuilder *builder, KirType type, double value)
{
    const u64 bits = rxn__kir_cast_bits(type, KIR_F64, rxn__kir_f64_bits(value));
    if (!kir_is_float(type) && rxn__kir_as_double(type, bits) != value)
        rxn__kir_builder_fail(builder, "%g is no %s constant", value, rxn__kir_type_names[type]);
    return rxn__kir_const_bits(builder, type, bits);
}

static KirType
result_type(const KirBuilder *builder, KirOp op, KirValue a, KirValue b)
{
    switch (rxn__kir_ops[op].gives) {
    case KIR_GIVES_BOOL: return KIR_BOOL;
    case KIR_GIVES_SELECT: return rxn__kir_type(builder, b);
    default: return rxn__kir_type(builder, a);
    }
}

KirValue
rxn__kir_op(KirBuilder *builder, KirOp op, KirValue a, KirValue b, KirValue c)
{
    if (op >= KIR_OP_COUNT || rxn__kir_ops[op].gives == KIR_GIVES_TYPED) {
        rxn__kir_builder_fail(builder, "%s: this op needs its result's type",
                              op < KIR_OP_COUNT ? rxn__kir_ops[op].text : "op");
        return 0;
    }
    KirNode node = {.op = (u8)op, .args = {a, b, c}};
    node.type = (u8)result_type(builder, op, a, b);
    return rxn__kir_node(builder, node);
}

KirValue
rxn__kir_typed(KirBuilder *builder, KirOp op, KirType type, KirValue a)
{
    if (op != KIR_CAST && op != KIR_BITS && op != KIR_TRAJECTORY) {
        rxn__kir_builder_fail(builder, "%s: not an op of a chosen type",
                              op < KIR_OP_COUNT ? rxn__kir_ops[op].text : "op");
        return 0;
    }
    const KirType from = rxn__kir_type(builder, a);
    if (op == KIR_CAST && !builder->raw && a != 0 && from != type && type == KIR_BOOL)
        return kir_ne(builder, a, rxn__kir_const_bits(builder, from, 0));
    return rxn__kir_node(builder, (KirNode){.op = (u8)op, .type = (u8)type, .args = {a}});
}

/* ---- Locals and buffers */

KirValue
rxn__kir_get(KirBuilder *builder, u32 local, KirValue index)
{
    if (local >= builder->kernel->locals.count) {
        rxn__kir_builder_fail(builder, "get: there is no local %u", local);
        return 0;
    }
    return rxn__kir_node(builder, (KirNode){.op = KIR_GET,
                                            .type = builder->kernel->locals.items[local].type,
                                            .object = local,
                                            .index_count = index != 0,
                                            .index = {index}});
}

void
rxn__kir_set(KirBuilder *builder, u32 local, KirValue index, KirValue value)
{
    if (local >= builder->kernel->locals.count) {
        rxn__kir_builder_fail(builder, "set: there is no local %u", local);
        return;
    }
    const KirLocal *declared = &builder->kernel->locals.items[local];
    expect_type(builder, value, (KirType)declared->type, "the value of a set");
    if ((index != 0) != (declared->length != 0))
        rxn__kir_builder_fail(builder, "set: local '%s' %s", declared->name->text,
                              index ? "is a scalar" : "is an array");
    else if (index)
        expect_type(builder, index, KIR_I32, "the index of a set");
    append_statement(builder, (KirStatement){.kind = KIR_SET,
                                             .object = local,
                                             .value = value,
                                             .index_count = index != 0,
                                             .index = {index}});
}

KirValue
rxn__kir_load(KirBuilder *builder, u32 buffer, const KirValue *index)
{
    if (buffer >= builder->kernel->buffers.count) {
        rxn__kir_builder_fail(builder, "load: there is no buffer %u", buffer);
        return 0;
    }
    const KirBuffer *declared = &builder->kernel->buffers.items[buffer];
    KirNode node = {
        .op = KIR_LOAD, .type = declared->type, .object = buffer, .index_count = declared->rank};
    for (u32 i = 0; i < declared->rank; i++)
        node.index[i] = index[i];
    return rxn__kir_node(builder, node);
}

void
rxn__kir_store(KirBuilder *builder, u32 buffer, const KirValue *index, KirValue value)
{
    if (buffer >= builder->kernel->buffers.count) {
        rxn__kir_builder_fail(builder, "store: there is no buffer %u", buffer);
        return;
    }
    const KirBuffer *declared = &builder->kernel->buffers.items[buffer];
    expect_type(builder, value, (KirType)declared->type, "the value of a store");
    KirStatement statement = {
        .kind = KIR_STORE, .object = buffer, .value = value, .index_count = declared->rank};
    for (u32 i = 0; i < declared->rank; i++) {
        expect_type(builder, index[i], KIR_I32, "the index of a store");
        statement.index[i] = index[i];
    }
    append_statement(builder, statement);
}
