/* read.c: a kernel from its text form (docs/kir.md), exactly as print.c writes it.
 *
 * Nothing is folded or shared on the way: what is read is what stands there. The text may come from
 * anywhere, so memory is bounded by its length and every mistake is an error with its line; what no
 * single line can show (scopes, region rules) is found by the checker at the end.
 */
#include "compiler/kir/internal.h"

typedef struct Reader {
    IrReader ir;
    NameTable *names;
    KirBuilder *builder;
    KirNameMap buffers, locals;
    KirValue *values; /* by the number in the text; 0: not defined so far */
    u32 value_limit;
    u32 depth;
    u32 line; /* where the statement begins: the current token may be in the next line already */
} Reader;

/* The builder's complaint about the statement that was just read, if it has one. */
static bool
all_well(Reader *reader)
{
    if (reader->builder->error && !reader->ir.error) {
        reader->ir.line = reader->line;
        rxn__ir_fail(&reader->ir, "%s", reader->builder->error);
    }
    return !reader->ir.error;
}

static const char *
shown(Reader *reader)
{
    return reader->ir.kind == IR_END
               ? "the end"
               : rxn__shown(reader->ir.arena, reader->ir.text, reader->ir.length);
}

static const char *
shown_name(Reader *reader, Name name)
{
    return rxn__shown(reader->ir.arena, name->text, name->length);
}

static Name
read_name(Reader *reader)
{
    IrReader *ir = &reader->ir;
    if (ir->kind != IR_WORD && ir->kind != IR_STRING) {
        rxn__ir_fail(ir, "expected a name, found '%s'", shown(reader));
        return NULL;
    }
    if (memchr(ir->text, 0, ir->length)) {
        rxn__ir_fail(ir, "a name has no NUL");
        return NULL;
    }
    Name name = rxn__name(reader->names, ir->text, ir->length);
    rxn__ir_next(ir);
    return name;
}

static bool
read_type(Reader *reader, const char *text, size_t length, KirType *ret_type)
{
    for (u32 t = 0; t < KIR_TYPE_COUNT; t++)
        if (strlen(rxn__kir_type_names[t]) == length &&
            memcmp(rxn__kir_type_names[t], text, length) == 0) {
            *ret_type = (KirType)t;
            return true;
        }
    return rxn__ir_fail(&reader->ir, "'%s' is no type", rxn__shown(reader->ir.arena, text, length));
}

static bool
read_type_word(Reader *reader, KirType *ret_type)
{
    if (reader->ir.kind != IR_WORD)
        return rxn__ir_fail(&reader->ir, "expected a type, found '%s'", shown(reader));
    if (!read_type(reader, reader->ir.text, reader->ir.length, ret_type))
        return false;
    rxn__ir_next(&reader->ir);
    return true;
}

static bool
read_u32(Reader *reader, u32 *ret_number)
{
    if (reader->ir.kind != IR_INTEGER || reader->ir.integer < 0 || reader->ir.integer > UINT32_MAX)
        return rxn__ir_fail(&reader->ir, "expected a whole number of 32 bits, found '%s'",
                            shown(reader));
    *ret_number = (u32)reader->ir.integer;
    rxn__ir_next(&reader->ir);
    return true;
}

/* ---- Values */

static KirValue
read_value(Reader *reader)
{
    IrReader *ir = &reader->ir;
    if (ir->kind != IR_VALUE) {
        rxn__ir_fail(ir, "expected a value, found '%s'", shown(reader));
        return 0;
    }
    const u64 number = (u64)ir->integer;
    const KirValue value = number < reader->value_limit ? reader->values[number] : 0;
    if (!value) {
        rxn__ir_fail(ir, "%%%llu is not defined above", (unsigned long long)number);
        return 0;
    }
    rxn__ir_next(ir);
    return value;
}

/* [%1, %2], or nothing. */
static bool
read_indices(Reader *reader, KirValue index[KIR_MAX_RANK], u32 *ret_count)
{
    *ret_count = 0;
    if (!rxn__ir_take(&reader->ir, '['))
        return !reader->ir.error;
    do {
        if (*ret_count == KIR_MAX_RANK)
            return rxn__ir_fail(&reader->ir, "there are %d indices at most", KIR_MAX_RANK);
        index[*ret_count] = read_value(reader);
        (*ret_count)++;
    } while (rxn__ir_take(&reader->ir, ','));
    return rxn__ir_expect(&reader->ir, ']');
}

static bool
find_object(Reader *reader, bool local, u32 *ret_object)
{
    Name name = read_name(reader);
    if (!name)
        return false;
    if (rxn__kir_name_find(local ? &reader->locals : &reader->buffers, name, ret_object))
        return true;
    return rxn__ir_fail(&reader->ir, "there is no %s '%s'", local ? "local" : "buffer",
                        shown_name(reader, name));
}

static KirValue
read_constant(Reader *reader, KirType type)
{
    IrReader *ir = &reader->ir;
    u64 bits = 0;
    if (type == KIR_BOOL) {
        bits = rxn__ir_is_word(ir, "true");
        if (!bits && !rxn__ir_is_word(ir, "false"))
            return rxn__ir_fail(ir, "expected true or false, found '%s'", shown(reader));
    } else if (kir_is_float(type)) {
        if (ir->kind != IR_NUMBER && ir->kind != IR_INTEGER)
            return rxn__ir_fail(ir, "expected a number, found '%s'", shown(reader));
        bits = rxn__kir_cast_bits(type, KIR_F64, rxn__kir_f64_bits(ir->number));
        bits = rxn__kir_canonical(type, bits);
    } else {
        if (ir->kind != IR_INTEGER)
            return rxn__ir_fail(ir, "expected an integer, found '%s'", shown(reader));
        bits = (u64)ir->integer;
        if (bits != rxn__kir_canonical(type, bits))
            return rxn__ir_fail(ir, "this integer does not fit %s", rxn__kir_type_names[type]);
    }
    rxn__ir_next(ir);
    return rxn__kir_const_bits(reader->builder, type, bits);
}

static KirValue
read_get(Reader *reader)
{
    KirValue index[KIR_MAX_RANK] = {0};
    u32 object, count;
    if (!find_object(reader, true, &object) || !read_indices(reader, index, &count))
        return 0;
    if (count > 1)
        return rxn__ir_fail(&reader->ir, "a local has one index at most");
    return rxn__kir_get(reader->builder, object, index[0]);
}

static bool
expect_rank(Reader *reader, u32 buffer, u32 count)
{
    const KirBuffer *declared = &reader->builder->kernel->buffers.items[buffer];
    if (declared->rank == count)
        return true;
    return rxn__ir_fail(&reader->ir, "the buffer has rank %u, not %u", declared->rank, count);
}

static KirValue
read_load(Reader *reader)
{
    KirValue index[KIR_MAX_RANK] = {0};
    u32 object, count;
    if (!find_object(reader, false, &object) || !read_indices(reader, index, &count) ||
        !expect_rank(reader, object, count))
        return 0;
    return rxn__kir_load(reader->builder, object, index);
}

static KirValue
read_operation(Reader *reader, KirOp op)
{
    KirValue args[3] = {0};
    for (u32 i = 0; i < rxn__kir_ops[op].arity; i++) {
        if (i && !rxn__ir_expect(&reader->ir, ','))
            return 0;
        args[i] = read_value(reader);
    }
    KirType type = KIR_U64;
    if ((op == KIR_CAST || op == KIR_BITS) &&
        (!rxn__ir_expect_word(&reader->ir, "to") || !read_type_word(reader, &type)))
        return 0;
    if (reader->ir.error)
        return 0;
    if (rxn__kir_ops[op].gives == KIR_GIVES_TYPED)
        return rxn__kir_typed(reader->builder, op, type, args[0]);
    return rxn__kir_op(reader->builder, op, args[0], args[1], args[2]);
}

/* op.type and its arguments. The type says nothing new, so it is compared. */
static KirValue
read_definition(Reader *reader)
{
    IrReader *ir = &reader->ir;
    const char *dot = ir->kind == IR_WORD ? memchr(ir->text, '.', ir->length) : NULL;
    if (!dot)
        return rxn__ir_fail(ir, "expected an op with its type, found '%s'", shown(reader));
    const size_t length = (size_t)(dot - ir->text);
    u32 op = 0;
    while (op < KIR_OP_COUNT && (strlen(rxn__kir_ops[op].text) != length ||
                                 memcmp(rxn__kir_ops[op].text, ir->text, length) != 0))
        op++;
    KirType type = KIR_BOOL;
    if (op == KIR_OP_COUNT || op == KIR_COUNTER)
        return rxn__ir_fail(ir, "there is no op '%s'", rxn__shown(ir->arena, ir->text, length));
    if (!read_type(reader, dot + 1, ir->length - length - 1, &type))
        return 0;
    rxn__ir_next(ir);

    KirValue value = op == KIR_CONST  ? read_constant(reader, type)
                     : op == KIR_GET  ? read_get(reader)
                     : op == KIR_LOAD ? read_load(reader)
                                      : read_operation(reader, (KirOp)op);
    if (!all_well(reader))
        return 0;
    const KirNode *node = &reader->builder->kernel->values.items[value];
    const bool of_result =
        rxn__kir_ops[op].arity == 0 || rxn__kir_ops[op].gives == KIR_GIVES_SELECT;
    if (type == (of_result ? (KirType)node->type : rxn__kir_type(reader->builder, node->args[0])))
        return value;
    ir->line = reader->line;
    return rxn__ir_fail(ir, "the type %s is not that of the %s", rxn__kir_type_names[type],
                        of_result ? "result" : "argument");
}

/* ---- Statements */

static bool read_block(Reader *reader);

static bool
name_value(Reader *reader, u64 number, KirValue value)
{
    if (number < reader->value_limit && !reader->values[number]) {
        reader->values[number] = value;
        return true;
    }
    reader->ir.line = reader->line;
    return rxn__ir_fail(&reader->ir,
                        number < reader->value_limit
                            ? "%%%llu is defined twice"
                            : "%%%llu: values are numbered from 1 in order",
                        (unsigned long long)number);
}

/* %7 = op … or %7 = for … */
static bool
read_value_statement(Reader *reader)
{
    IrReader *ir = &reader->ir;
    const u64 number = (u64)ir->integer;
    rxn__ir_next(ir);
    if (!rxn__ir_expect(ir, '='))
        return false;
    if (!rxn__ir_take_word(ir, "for")) {
        KirValue value = read_definition(reader);
        return all_well(reader) && name_value(reader, number, value);
    }
    KirValue lo = read_value(reader);
    if (!rxn__ir_expect_word(ir, ".."))
        return false;
    KirValue hi = read_value(reader);
    const bool down = rxn__ir_take_word(ir, "down");
    if (!all_well(reader))
        return false;
    KirValue counter =
        down ? rxn__kir_for_down(reader->builder, lo, hi) : rxn__kir_for(reader->builder, lo, hi);
    if (!all_well(reader) || !name_value(reader, number, counter) || !read_block(reader))
        return false;
    rxn__kir_close(reader->builder);
    return true;
}

static bool
read_assignment(Reader *reader, bool local)
{
    KirValue index[KIR_MAX_RANK] = {0};
    u32 object, count;
    if (!find_object(reader, local, &object) || !read_indices(reader, index, &count))
        return false;
    if (local && count > 1)
        return rxn__ir_fail(&reader->ir, "a local has one index at most");
    if (!local && !expect_rank(reader, object, count))
        return false;
    if (!rxn__ir_expect(&reader->ir, ','))
        return false;
    KirValue value = read_value(reader);
    if (!all_well(reader))
        return false;
    if (local)
        rxn__kir_set(reader->builder, object, index[0], value);
    else
        rxn__kir_store(reader->builder, object, index, value);
    return all_well(reader);
}

static bool
read_if(Reader *reader)
{
    KirValue condition = read_value(reader);
    if (!all_well(reader))
        return false;
    const bool seldom = rxn__ir_take_word(&reader->ir, "seldom");
    (seldom ? rxn__kir_if_seldom : rxn__kir_if)(reader->builder, condition);
    if (!all_well(reader) || !read_block(reader))
        return false;
    if (rxn__ir_take_word(&reader->ir, "else")) {
        rxn__kir_else(reader->builder);
        if (!read_block(reader))
            return false;
    }
    rxn__kir_close(reader->builder);
    return all_well(reader);
}

static bool
read_trap(Reader *reader)
{
    IrReader *ir = &reader->ir;
    u32 code = 0;
    if (ir->kind == IR_INTEGER) {
        if (!read_u32(reader, &code))
            return false;
        if (code > UINT16_MAX)
            return rxn__ir_fail(ir, "a trap's code has 16 bits");
    } else {
        while (code < rxn__kir_fault_name_count && !rxn__ir_is_word(ir, rxn__kir_fault_names[code]))
            code++;
        if (code == rxn__kir_fault_name_count)
            return rxn__ir_fail(ir, "expected a trap's code, found '%s'", shown(reader));
        rxn__ir_next(ir);
    }
    KirValue detail = read_value(reader);
    if (!all_well(reader))
        return false;
    rxn__kir_trap(reader->builder, (RxnFaultCode)code, detail);
    return all_well(reader);
}

static bool
read_statement(Reader *reader)
{
    IrReader *ir = &reader->ir;
    reader->line = ir->line;
    if (ir->kind == IR_VALUE)
        return read_value_statement(reader);
    if (rxn__ir_take_word(ir, "set"))
        return read_assignment(reader, true);
    if (rxn__ir_take_word(ir, "store"))
        return read_assignment(reader, false);
    if (rxn__ir_take_word(ir, "if"))
        return read_if(reader);
    if (rxn__ir_take_word(ir, "trap"))
        return read_trap(reader);
    if (rxn__ir_take_word(ir, "break")) {
        rxn__kir_break(reader->builder);
        return all_well(reader);
    }
    if (rxn__ir_take_word(ir, "loop")) {
        rxn__kir_loop(reader->builder);
        if (!all_well(reader) || !read_block(reader))
            return false;
        rxn__kir_close(reader->builder);
        return true;
    }
    return rxn__ir_fail(ir, "expected a statement, found '%s'", shown(reader));
}

static bool
read_block(Reader *reader)
{
    if (!rxn__ir_expect(&reader->ir, '{'))
        return false;
    if (++reader->depth > KIR_MAX_DEPTH)
        return rxn__ir_fail(&reader->ir, "blocks are nested more than %d deep", KIR_MAX_DEPTH);
    while (!rxn__ir_take(&reader->ir, '}'))
        if (!read_statement(reader))
            return false;
    reader->depth--;
    return true;
}

/* ---- Declarations */

static bool
read_buffer(Reader *reader)
{
    IrReader *ir = &reader->ir;
    KirBuffer buffer = {0};
    KirType type = KIR_BOOL;
    buffer.name = read_name(reader);
    if (!buffer.name || !rxn__ir_expect(ir, ':') || !read_type_word(reader, &type))
        return false;
    if (rxn__ir_take(ir, '[')) {
        do {
            if (buffer.rank == KIR_MAX_RANK)
                return rxn__ir_fail(ir, "a buffer has %d extents at most", KIR_MAX_RANK);
            u32 *extent = &buffer.extent[buffer.rank++];
            if (rxn__ir_take(ir, '?'))
                *extent = KIR_DYNAMIC;
            else if (!read_u32(reader, extent))
                return false;
            else if (*extent == 0)
                return rxn__ir_fail(ir, "an extent is not 0");
        } while (rxn__ir_take(ir, ','));
        if (!rxn__ir_expect(ir, ']'))
            return false;
    }
    if (!rxn__ir_expect_word(ir, "per"))
        return false;
    buffer.type = (u8)type;
    if (rxn__ir_take_word(ir, "launch"))
        buffer.scope = KIR_PER_LAUNCH;
    else if (rxn__ir_expect_word(ir, "trajectory"))
        buffer.scope = KIR_PER_TRAJECTORY;
    buffer.writable = rxn__ir_take_word(ir, "writable");
    KirKernel *kernel = reader->builder->kernel;
    if (!rxn__kir_name_add(&reader->buffers, ir->arena, buffer.name, kernel->buffers.count))
        return rxn__ir_fail(ir, "two buffers are named '%s'", shown_name(reader, buffer.name));
    vec_push(ir->arena, &kernel->buffers, buffer);
    return !ir->error;
}

/* Behind a tape's length: how many bytes an element takes, if not the type's own. */
static bool
read_storage(Reader *reader, KirType type, u8 *ret_storage)
{
    u32 storage = rxn__kir_type_bytes[type];
    if (rxn__ir_take_word(&reader->ir, "stored") && !read_u32(reader, &storage))
        return false;
    if (storage == 0 || storage > sizeof(u64))
        return rxn__ir_fail(&reader->ir, "an element takes 1 to %zu bytes", sizeof(u64));
    *ret_storage = (u8)storage;
    return true;
}

typedef enum LocalKind { OWN_LOCAL, UNIFORM_LOCAL, TAPE_LOCAL } LocalKind;

static bool
read_local(Reader *reader, LocalKind kind)
{
    IrReader *ir = &reader->ir;
    KirLocal local = {.uniform = kind == UNIFORM_LOCAL};
    KirType type = KIR_BOOL;
    local.name = read_name(reader);
    if (!local.name || !rxn__ir_expect(ir, ':') || !read_type_word(reader, &type))
        return false;
    local.type = (u8)type;
    if (rxn__ir_take(ir, '[')) {
        if (!read_u32(reader, &local.length) || !rxn__ir_expect(ir, ']'))
            return false;
        if (local.length == 0)
            return rxn__ir_fail(ir, "an array has one element at least");
    }
    if (kind == TAPE_LOCAL && !read_storage(reader, type, &local.storage))
        return false;
    KirKernel *kernel = reader->builder->kernel;
    if (!rxn__kir_name_add(&reader->locals, ir->arena, local.name, kernel->locals.count))
        return rxn__ir_fail(ir, "two locals are named '%s'", shown_name(reader, local.name));
    vec_push(ir->arena, &kernel->locals, local);
    return !ir->error;
}

static bool
read_witness(Reader *reader)
{
    do {
        u32 local;
        if (!find_object(reader, true, &local))
            return false;
        vec_push(reader->ir.arena, &reader->builder->kernel->witness, local);
    } while (rxn__ir_take(&reader->ir, ','));
    return true;
}

static bool
read_declarations(Reader *reader)
{
    IrReader *ir = &reader->ir;
    KirKernel *kernel = reader->builder->kernel;
    for (;;) {
        if (rxn__ir_take_word(ir, "buffer")) {
            if (!read_buffer(reader))
                return false;
        } else if (rxn__ir_take_word(ir, "local")) {
            if (!read_local(reader, OWN_LOCAL))
                return false;
        } else if (rxn__ir_take_word(ir, "uniform")) {
            if (!read_local(reader, UNIFORM_LOCAL))
                return false;
        } else if (rxn__ir_take_word(ir, "tape")) {
            if (!read_local(reader, TAPE_LOCAL))
                return false;
        } else {
            break;
        }
    }
    if (rxn__ir_take_word(ir, "lanes")) {
        u32 lanes = 0;
        if (!read_u32(reader, &lanes))
            return false;
        if (lanes == 0 || lanes > UINT8_MAX)
            return rxn__ir_fail(ir, "lanes are 1 to %d", UINT8_MAX);
        kernel->lanes = (u8)lanes;
    }
    if (!rxn__ir_expect_word(ir, "done") || !find_object(reader, true, &kernel->done))
        return false;
    return !rxn__ir_take_word(ir, "witness") || read_witness(reader);
}

static bool
read_kernel(Reader *reader)
{
    static const char *const regions[KIR_REGION_COUNT] = {"launch", "init", "step", "finish"};
    IrReader *ir = &reader->ir;
    if (!rxn__ir_expect_word(ir, "kernel"))
        return false;
    Name name = read_name(reader);
    KirType precision;
    if (!name || !read_type_word(reader, &precision) || !rxn__ir_expect(ir, '{'))
        return false;
    reader->builder->kernel->name = name;
    reader->builder->kernel->precision = (u8)precision;
    if (!read_declarations(reader))
        return false;
    for (u32 r = 0; r < KIR_REGION_COUNT; r++) {
        if (!rxn__ir_expect_word(ir, regions[r]))
            return false;
        rxn__kir_region(reader->builder, (KirRegion)r);
        if (!read_block(reader))
            return false;
    }
    if (!rxn__ir_expect(ir, '}'))
        return false;
    return ir->kind == IR_END || rxn__ir_fail(ir, "more stands after the kernel's end");
}

const char *
rxn__kir_read(Arena *arena, NameTable *names, const char *text, size_t length,
              KirKernel **ret_kernel)
{
    *ret_kernel = NULL;
    Reader reader = {.names = names};
    rxn__ir_reader_init(&reader.ir, arena, text, length);
    reader.builder = rxn__kir_begin_raw(arena, names, "", KIR_F64);
    /* A definition takes more than four bytes, which bounds the numbers. */
    reader.value_limit = (u32)(length / 4 < UINT32_MAX - 2 ? length / 4 : UINT32_MAX - 2) + 2;
    reader.values = NEW_ARRAY(arena, KirValue, reader.value_limit);
    if (!read_kernel(&reader) || reader.ir.error)
        return reader.ir.error ? reader.ir.error : "the text is no kernel";
    return rxn__kir_end(reader.builder, ret_kernel);
}
