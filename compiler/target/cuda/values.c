/* values.c: constants, ops and reads as expressions.
 *
 * A value becomes an expression. Where it may stand in its one user (uses.c) and is short it stays one; else it
 * is written as a line of its own, `const f64 v12 = …;`, with the number that it has in the text of the KIR.
 */
#include "compiler/target/cuda/cuda.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INLINE_MOST = 64 }; /* characters of an expression that may stand in another one */

void
rxn__cuda_line(CudaText *c, const char *format, ...)
{
    va_list arguments;
    if (c->origin != c->marked) /* becomes a #line: see module.c */
        rxn__text_printf(&c->body, "%c%u\n", CUDA_MARK, c->origin);
    c->marked = c->origin;
    if (*format != '\0' && *format != '#')
        for (u32 i = 0; i < c->indent; i++)
            rxn__text_append(&c->body, "    ", 4);
    va_start(arguments, format);
    rxn__text_vprintf(&c->body, format, arguments);
    va_end(arguments);
    rxn__text_append(&c->body, "\n", 1);
}

const char *
rxn__cuda_format(CudaText *c, const char *format, ...)
{
    Text text;
    va_list arguments;
    rxn__text_init(&text, c->arena);
    va_start(arguments, format);
    rxn__text_vprintf(&text, format, arguments);
    va_end(arguments);
    return text.data;
}

const char *
rxn__cuda_type(KirType type)
{
    return rxn__kir_type_names[type];
}

const char *
rxn__cuda_memory_type(KirType type, u32 bytes)
{
    return bytes == 1 ? "u8" : bytes == 2 ? "u16" : rxn__cuda_type(type);
}

/* ---- constants ---- */

static const char *
float_constant(CudaText *c, KirType type, u64 bits)
{
    double value;
    float narrow;
    u32 word = (u32)bits;
    memcpy(&narrow, &word, sizeof narrow);
    memcpy(&value, &bits, sizeof value);
    if (type == KIR_F32)
        value = narrow;
    if (!isfinite(value))
        return type == KIR_F32 ? rxn__cuda_format(c, "rxn_bits_u32_f32(0x%08xu)", word)
                               : rxn__cuda_format(c, "rxn_bits_u64_f64(0x%016" PRIx64 "ull)", bits);
    char digits[40];
    snprintf(digits, sizeof digits, type == KIR_F32 ? "%.9g" : "%.17g", value);
    for (int precision = 1; precision < (type == KIR_F32 ? 9 : 17); precision++) {
        char fewer[40]; /* that read back as the same number */
        snprintf(fewer, sizeof fewer, "%.*g", precision, value);
        if (type == KIR_F32 ? strtof(fewer, NULL) == narrow : strtod(fewer, NULL) == value) {
            memcpy(digits, fewer, sizeof digits);
            break;
        }
    }
    bool whole = strpbrk(digits, ".e") == NULL;
    const char *text =
        rxn__cuda_format(c, "%s%s%s", digits, whole ? ".0" : "", type == KIR_F32 ? "f" : "");
    return signbit(value) ? rxn__cuda_format(c, "(%s)", text) : text;
}

const char *
rxn__cuda_constant(CudaText *c, KirType type, u64 bits)
{
    switch (type) {
    case KIR_BOOL: return bits ? "true" : "false";
    case KIR_I32:
        if ((i32)bits == INT32_MIN)
            return "(-2147483647 - 1)";
        return rxn__cuda_format(c, (i32)bits < 0 ? "(%" PRId32 ")" : "%" PRId32, (i32)bits);
    case KIR_U32:
        return rxn__cuda_format(c, bits > 9999 ? "0x%" PRIx32 "u" : "%" PRIu32 "u", (u32)bits);
    case KIR_I64:
        if ((i64)bits == INT64_MIN)
            return "(-9223372036854775807ll - 1)";
        return rxn__cuda_format(c, (i64)bits < 0 ? "(%" PRId64 "ll)" : "%" PRId64 "ll", (i64)bits);
    case KIR_U64:
        return rxn__cuda_format(c, bits > 9999 ? "0x%" PRIx64 "ull" : "%" PRIu64 "ull", bits);
    case KIR_F32:
    case KIR_F64: break;
    }
    return float_constant(c, type, bits);
}

/* ---- places ---- */

static const char *
expression_of(CudaText *c, KirValue value)
{
    const KirNode *node = &c->kernel->values.items[value];
    if (node->op == KIR_CONST)
        return rxn__cuda_constant(c, (KirType)node->type, node->bits);
    if (c->region != KIR_LAUNCH && c->plan->is_constant[value])
        return rxn__cuda_format(c, "%s%s", c->constants, c->constant[value]);
    return c->expression[value];
}

const char *
rxn__cuda_operand(CudaText *c, KirValue value)
{
    const char *text = expression_of(c, value);
    return c->compound[value] ? rxn__cuda_format(c, "(%s)", text) : text;
}

bool
rxn__cuda_is_fixed(const CudaText *c, u32 local)
{
    return c->kernel->locals.items[local].uniform && c->region != KIR_LAUNCH;
}

/* Out of range is a bug of the method, which the interpreter reports. */
u32
rxn__cuda_split_element(const CudaText *c, u32 local, KirValue index)
{
    u64 element = c->kernel->values.items[index].bits;
    return element < c->kernel->locals.items[local].length ? (u32)element : 0;
}

const char *
rxn__cuda_element(CudaText *c, u32 local, const char *index)
{
    const CudaPlan *plan = c->plan;
    const char *name = c->local[local];
    u8 place = plan->locals[local].place;
    if (plan->shape == RXN_CUDA_THREAD && place == CUDA_SHARED)
        return rxn__cuda_format(c, "%s[%u * (%s)]", name, plan->block_threads, index);
    if (plan->shape == RXN_CUDA_THREAD && (place == CUDA_WORKSPACE || place == CUDA_TAPE))
        return rxn__cuda_format(c, "%s(%s)", name, index); /* a macro of kernel.c */
    return rxn__cuda_format(c, "%s[%s]", name, index);
}

const char *
rxn__cuda_buffer_element(CudaText *c, u32 buffer, const KirValue *index)
{
    const KirBuffer *declared = &c->kernel->buffers.items[buffer];
    const char *inner = "0";
    if (declared->rank == 1)
        inner = expression_of(c, index[0]);
    if (declared->rank > 1) {
        inner = rxn__cuda_format(c, "(i64)%s", rxn__cuda_operand(c, index[0]));
        for (u32 k = 1; k < declared->rank; k++)
            inner = rxn__cuda_format(c, k + 1 < declared->rank ? "(%s * %u + %s)" : "%s * %u + %s",
                                     inner, declared->extent[k], rxn__cuda_operand(c, index[k]));
    }
    if (declared->scope == KIR_PER_LAUNCH)
        return rxn__cuda_format(c, "%s[%s]", c->buffer[buffer], inner);
    const char *base = rxn__cuda_format(c, "(i64)row * launch.stride[%u]", buffer);
    if (strcmp(inner, "0") == 0)
        return rxn__cuda_format(c, "%s[%s]", c->buffer[buffer], base);
    return rxn__cuda_format(c, "%s[%s + (%s)]", c->buffer[buffer], base, inner);
}

/* ---- barriers ---- */

void
rxn__cuda_barrier(CudaText *c)
{
    rxn__cuda_line(c, "%s;", c->barrier);
    memset(c->touched_local, 0, c->kernel->locals.count);
    memset(c->touched_buffer, 0, c->kernel->buffers.count);
}

void
rxn__cuda_before_read(CudaText *c, u8 *touched)
{
    if (!c->team || c->order != NULL)
        return;
    if (*touched & (TOUCHED_BY_ONE | TOUCHED_BY_ALL))
        rxn__cuda_barrier(c);
    *touched |= TOUCHED_READ;
}

/* ---- ops ---- */

/* The spelling for the type: alternatives are for floats and bool, unsigned, signed integers. */
static const char *
spelling(const char *column, KirType type, size_t *ret_length)
{
    u32 wanted = type == KIR_U32 || type == KIR_U64   ? 1
                 : type == KIR_I32 || type == KIR_I64 ? 2
                                                      : 0;
    while (wanted-- > 0 && strchr(column, ';') != NULL)
        column = strchr(column, ';') + 1;
    *ret_length = strcspn(column, ";");
    return column;
}

static const char *
op_expression(CudaText *c, const KirNode *node, bool *ret_compound)
{
    KirType from = (KirType)c->kernel->values.items[node->args[0]].type, to = (KirType)node->type;
    *ret_compound = false;
    /* What C's own conversions do. */
    if ((node->op == KIR_CAST && (kir_is_float(to) || !kir_is_float(from))) ||
        (node->op == KIR_BITS && !kir_is_float(from) && !kir_is_float(to)))
        return rxn__cuda_format(c, "(%s)%s", rxn__cuda_type(to),
                                rxn__cuda_operand(c, node->args[0]));
    if (node->op == KIR_BITS && from == to)
        return rxn__cuda_operand(c, node->args[0]);
    /* Shifts by a number of places that is known. */
    const KirNode *second = &c->kernel->values.items[node->args[1]];
    bool is_unsigned = to == KIR_U32 || to == KIR_U64;
    if ((node->op == KIR_SHR || (node->op == KIR_SHL && is_unsigned)) && second->op == KIR_CONST) {
        *ret_compound = true;
        return rxn__cuda_format(c, "%s %s %u", rxn__cuda_operand(c, node->args[0]),
                                node->op == KIR_SHR ? ">>" : "<<",
                                (u32)second->bits & (8u * rxn__kir_type_bytes[to] - 1));
    }
    size_t length;
    const char *column = spelling(rxn__kir_ops[node->op].cuda, from, &length);
    /* In a call arguments need no parentheses. */
    bool call = strncmp(column, "rxn_", 4) == 0;
    *ret_compound = !call;
    Text text;
    rxn__text_init(&text, c->arena);
    for (size_t i = 0; i < length; i++) {
        if (column[i] != '$') {
            rxn__text_append(&text, &column[i], 1);
            continue;
        }
        char what = column[++i];
        if (what == 's' || what == 't')
            rxn__text_printf(&text, "%s", rxn__cuda_type(what == 's' ? from : to));
        else
            rxn__text_printf(&text, "%s",
                             (call ? expression_of : rxn__cuda_operand)(c, node->args[what - '0']));
    }
    return text.data;
}

static const char *
read_local(CudaText *c, const KirNode *node)
{
    const KirLocal *local = &c->kernel->locals.items[node->object];
    u8 place = c->plan->locals[node->object].place;
    const char *before = rxn__cuda_is_fixed(c, node->object) ? c->constants : "";
    if (place == CUDA_SCALAR)
        return rxn__cuda_format(c, "%s%s", before, c->local[node->object]);
    if (place == CUDA_SPLIT) {
        u32 element = rxn__cuda_split_element(c, node->object, node->index[0]);
        return rxn__cuda_format(c, "%s%s", before, c->element[node->object][element]);
    }
    const char *index = node->index_count ? expression_of(c, node->index[0]) : "0";
    const char *element = rxn__cuda_element(c, node->object, index);
    if (place == CUDA_UNIFORM && c->region != KIR_LAUNCH)
        element = rxn__cuda_format(c, "__ldg(&%s)", element);
    if (local->storage && local->storage < rxn__kir_type_bytes[local->type])
        return rxn__cuda_format(c, "(%s)%s", rxn__cuda_type((KirType)local->type), element);
    return local->type == KIR_BOOL ? rxn__cuda_format(c, "(%s != 0)", element) : element;
}

static const char *
read_buffer(CudaText *c, const KirNode *node)
{
    const KirBuffer *buffer = &c->kernel->buffers.items[node->object];
    const char *element = rxn__cuda_buffer_element(c, node->object, node->index);
    if (!buffer->writable)
        element = rxn__cuda_format(c, "__ldg(&%s)", element);
    return buffer->type == KIR_BOOL ? rxn__cuda_format(c, "(%s != 0)", element) : element;
}

/* ---- definitions ---- */

/* A sum, say, has none, but what is added in it may. */
static u32
origin_of(const CudaText *c, KirValue value)
{
    const KirNode *node = &c->kernel->values.items[value];
    u32 origin = node->origin;
    for (u32 i = 0; origin == 0 && i < rxn__kir_ops[node->op].arity; i++)
        origin = c->stands_for[node->args[i]];
    return origin;
}

static void
write_line(CudaText *c, KirValue value, const char *expression)
{
    const KirNode *node = &c->kernel->values.items[value];
    const char *name;
    if (c->plan->is_constant[value])
        name = c->constant[value];
    else if (node->op == KIR_GET || node->op == KIR_LOAD)
        name = rxn__cuda_identifier(
            &c->names,
            rxn__cuda_format(c, "%s_%u", (node->op == KIR_GET ? c->local : c->buffer)[node->object],
                             value));
    else
        name = rxn__cuda_identifier(&c->names, rxn__cuda_format(c, "v%u", value));
    c->origin = origin_of(c, value);
    rxn__cuda_line(c, "const %s %s = %s;", rxn__cuda_type((KirType)node->type), name, expression);
    c->origin = 0;
    c->expression[value] = name;
    c->compound[value] = false;
}

/* One product of twice the width gives both halves. */
static void
define_twins(CudaText *c, KirValue value)
{
    const KirNode *node = &c->kernel->values.items[value];
    KirValue twin = c->uses->twin[value];
    KirValue low = node->op == KIR_MUL ? value : twin, high = low == value ? twin : value;
    const char *name = rxn__cuda_identifier(&c->names, rxn__cuda_format(c, "v%u_%u", value, twin));
    rxn__cuda_line(c, "const u64 %s = (u64)%s * %s;", name, rxn__cuda_operand(c, node->args[0]),
                   rxn__cuda_operand(c, node->args[1]));
    c->expression[low] = rxn__cuda_format(c, "(u32)%s", name);
    c->expression[high] = rxn__cuda_format(c, "(u32)(%s >> 32)", name);
}

void
rxn__cuda_define(CudaText *c, KirValue value)
{
    const KirNode *node = &c->kernel->values.items[value];
    const CudaUses *uses = c->uses;
    bool keep = c->plan->is_constant[value];
    if (node->op == KIR_CONST || (uses->count[value] == 0 && !keep))
        return;
    if (uses->twin[value] && !keep && !c->plan->is_constant[uses->twin[value]]) {
        if (c->expression[value] == NULL)
            define_twins(c, value);
        return;
    }
    bool compound = false, array, stays; /* stays: it may stand where it is used */
    const char *expression;
    switch ((KirOp)node->op) {
    case KIR_TRAJECTORY: c->expression[value] = "trajectory"; return;
    case KIR_GET:
        array = c->plan->locals[node->object].place > CUDA_SPLIT;
        if (array && !rxn__cuda_is_fixed(c, node->object))
            rxn__cuda_before_read(c, &c->touched_local[node->object]);
        expression = read_local(c, node);
        stays =
            uses->steady[value] &&
            (!array || (uses->movable[value] && (!c->team || rxn__cuda_is_fixed(c, node->object))));
        break;
    case KIR_LOAD:
        if (c->kernel->buffers.items[node->object].writable)
            rxn__cuda_before_read(c, &c->touched_buffer[node->object]);
        expression = read_buffer(c, node);
        stays = uses->movable[value] && !c->kernel->buffers.items[node->object].writable;
        break;
    default:
        expression = op_expression(c, node, &compound);
        stays = uses->movable[value] && strlen(expression) <= INLINE_MOST;
    }
    if (stays && !keep) {
        c->expression[value] = expression;
        c->compound[value] = compound;
        c->stands_for[value] = origin_of(c, value);
    } else {
        write_line(c, value, expression);
    }
}
