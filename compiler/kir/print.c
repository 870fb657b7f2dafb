/* print.c: a kernel as text, for people, tests and `rxn trace`. docs/kir.md is its grammar.
 *
 * Canonical: values are renumbered from 1 in the order in which they stand, floats are hexadecimal,
 * spacing is fixed. So two kernels that differ in nothing but numbers print alike, and reading the
 * text and printing it again gives the same bytes.
 */
#include "compiler/kir/internal.h"

#include <inttypes.h>

const char *const rxn__kir_fault_names[] = {
    [RXN_FAULT_NONE] = "none",
    [RXN_FAULT_NEGATIVE_PROPENSITY] = "negative_propensity",
    [RXN_FAULT_NAN_PROPENSITY] = "nan_propensity",
    [RXN_FAULT_INFINITE_PROPENSITY] = "infinite_propensity",
    [RXN_FAULT_NEGATIVE_COUNT] = "negative_count",
    [RXN_FAULT_COUNT_OVERFLOW] = "count_overflow",
    [RXN_FAULT_STEP_LIMIT] = "step_limit",
    [RXN_FAULT_BOUND_EXCEEDED] = "bound_exceeded",
    [RXN_FAULT_BOUND_INFINITE] = "bound_infinite",
    [RXN_FAULT_INITIAL_VALUE] = "initial_value",
    [RXN_FAULT_ASSIGNED_VALUE] = "assigned_value",
    [RXN_FAULT_EVENT_CASCADE] = "event_cascade",
    [RXN_FAULT_EVENT_TIME] = "event_time",
    [RXN_FAULT_TAPE_FULL] = "tape_full",
    [RXN_FAULT_STIFF] = "stiff",
};
const u32 rxn__kir_fault_name_count = COUNT_OF(rxn__kir_fault_names);

typedef struct Printer {
    const KirKernel *kernel;
    Text *out;
    u32 *number; /* printed number of each value */
    u32 last_number;
} Printer;

static void
print(Printer *printer, const char *text)
{
    rxn__text_append(printer->out, text, strlen(text));
}

/* Plain if the reader takes it for one word; else a quoted string. */
static bool
is_plain_name(const char *text, u32 length)
{
    if (length == 0 || !strcmp(text, "inf") || !strcmp(text, "nan") || text[0] == '.')
        return false;
    for (u32 i = 0; i < length; i++) {
        const char c = text[i];
        const bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return true;
}

static void
print_name(Printer *printer, Name name)
{
    if (is_plain_name(name->text, name->length)) {
        rxn__text_append(printer->out, name->text, name->length);
        return;
    }
    print(printer, "\"");
    for (u32 i = 0; i < name->length; i++) {
        const unsigned char c = (unsigned char)name->text[i];
        if (c == '"' || c == '\\')
            rxn__text_printf(printer->out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7F)
            rxn__text_printf(printer->out, "\\x%02X", c);
        else
            rxn__text_append(printer->out, (const char *)&c, 1);
    }
    print(printer, "\"");
}

static void
print_value(Printer *printer, KirValue value)
{
    rxn__text_printf(printer->out, "%%%u", printer->number[value]);
}

static void
print_indices(Printer *printer, const KirValue *index, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        print(printer, i ? ", " : "[");
        print_value(printer, index[i]);
    }
    if (count)
        print(printer, "]");
}

static void
print_constant(Printer *printer, const KirNode *node)
{
    switch ((KirType)node->type) {
    case KIR_BOOL: print(printer, node->bits ? "true" : "false"); return;
    case KIR_I32:
    case KIR_I64: rxn__text_printf(printer->out, "%" PRId64, (i64)node->bits); return;
    case KIR_U32:
    case KIR_U64: rxn__text_printf(printer->out, "%" PRIu64, node->bits); return;
    case KIR_F32:
    case KIR_F64:
        rxn__text_f64_hex(printer->out, rxn__kir_as_double((KirType)node->type, node->bits));
        return;
    }
}

static void
indent(Printer *printer, u32 depth)
{
    for (u32 i = 0; i < depth; i++)
        print(printer, "  ");
}

/* The type that stands after the op's name: of the first argument; of the result where that says
 * more (no argument, or a bool one that is always bool). */
static KirType
shown_type(const Printer *printer, const KirNode *node)
{
    const KirOpInfo *op = &rxn__kir_ops[node->op];
    return op->arity == 0 || op->gives == KIR_GIVES_SELECT
               ? (KirType)node->type
               : (KirType)printer->kernel->values.items[node->args[0]].type;
}

static void
print_define(Printer *printer, KirValue value)
{
    const KirKernel *kernel = printer->kernel;
    const KirNode *node = &kernel->values.items[value];
    printer->number[value] = ++printer->last_number;
    rxn__text_printf(printer->out, "%%%u = %s.%s", printer->last_number,
                     rxn__kir_ops[node->op].text, rxn__kir_type_names[shown_type(printer, node)]);
    for (u32 i = 0; i < rxn__kir_ops[node->op].arity; i++) {
        print(printer, i ? ", " : " ");
        print_value(printer, node->args[i]);
    }
    if (node->op == KIR_CAST || node->op == KIR_BITS)
        rxn__text_printf(printer->out, " to %s", rxn__kir_type_names[node->type]);
    if (node->op == KIR_CONST) {
        print(printer, " ");
        print_constant(printer, node);
    }
    if (node->op == KIR_GET || node->op == KIR_LOAD) {
        print(printer, " ");
        print_name(printer, node->op == KIR_GET ? kernel->locals.items[node->object].name
                                                : kernel->buffers.items[node->object].name);
        print_indices(printer, node->index, node->index_count);
    }
    print(printer, "\n");
}

static void print_block(Printer *printer, const KirBlock *block, u32 depth);

static void
print_for(Printer *printer, const KirStatement *statement, u32 depth)
{
    printer->number[statement->value] = ++printer->last_number;
    rxn__text_printf(printer->out, "%%%u = for ", printer->last_number);
    print_value(printer, statement->index[0]);
    print(printer, " .. ");
    print_value(printer, statement->index[1]);
    print(printer, statement->down ? " down " : " ");
    print_block(printer, &statement->body, depth);
    print(printer, "\n");
}

static void
print_if(Printer *printer, const KirStatement *statement, u32 depth)
{
    print(printer, "if ");
    print_value(printer, statement->value);
    print(printer, statement->seldom ? " seldom " : " ");
    print_block(printer, &statement->body, depth);
    if (statement->otherwise.count) {
        print(printer, " else ");
        print_block(printer, &statement->otherwise, depth);
    }
    print(printer, "\n");
}

static void
print_statement(Printer *printer, const KirStatement *statement, u32 depth)
{
    const KirKernel *kernel = printer->kernel;
    indent(printer, depth);
    switch ((KirStatementKind)statement->kind) {
    case KIR_DEFINE: print_define(printer, statement->value); return;
    case KIR_SET:
        print(printer, "set ");
        print_name(printer, kernel->locals.items[statement->object].name);
        break;
    case KIR_STORE:
        print(printer, "store ");
        print_name(printer, kernel->buffers.items[statement->object].name);
        break;
    case KIR_IF: print_if(printer, statement, depth); return;
    case KIR_FOR: print_for(printer, statement, depth); return;
    case KIR_LOOP:
        print(printer, "loop ");
        print_block(printer, &statement->body, depth);
        print(printer, "\n");
        return;
    case KIR_BREAK: print(printer, "break\n"); return;
    case KIR_TRAP:
        if (statement->code < rxn__kir_fault_name_count)
            rxn__text_printf(printer->out, "trap %s ", rxn__kir_fault_names[statement->code]);
        else
            rxn__text_printf(printer->out, "trap %u ", statement->code);
        print_value(printer, statement->value);
        print(printer, "\n");
        return;
    }
    print_indices(printer, statement->index, statement->index_count);
    print(printer, ", ");
    print_value(printer, statement->value);
    print(printer, "\n");
}

static void
print_block(Printer *printer, const KirBlock *block, u32 depth)
{
    if (block->count == 0) {
        print(printer, "{}");
        return;
    }
    print(printer, "{\n");
    for (u32 i = 0; i < block->count; i++)
        print_statement(printer, &block->items[i], depth + 1);
    indent(printer, depth);
    print(printer, "}");
}

static void
print_buffer(Printer *printer, const KirBuffer *buffer)
{
    print(printer, "  buffer ");
    print_name(printer, buffer->name);
    rxn__text_printf(printer->out, " : %s", rxn__kir_type_names[buffer->type]);
    for (u32 i = 0; i < buffer->rank; i++) {
        print(printer, i ? ", " : "[");
        if (buffer->extent[i] == KIR_DYNAMIC)
            print(printer, "?");
        else
            rxn__text_printf(printer->out, "%u", buffer->extent[i]);
    }
    print(printer, buffer->rank ? "] " : " ");
    print(printer, buffer->scope == KIR_PER_LAUNCH ? "per launch" : "per trajectory");
    print(printer, buffer->writable ? " writable\n" : "\n");
}

static void
print_declarations(Printer *printer)
{
    const KirKernel *kernel = printer->kernel;
    for (u32 i = 0; i < kernel->buffers.count; i++)
        print_buffer(printer, &kernel->buffers.items[i]);
    for (u32 i = 0; i < kernel->locals.count; i++) {
        const KirLocal *local = &kernel->locals.items[i];
        print(printer, local->storage ? "  tape " : local->uniform ? "  uniform " : "  local ");
        print_name(printer, local->name);
        rxn__text_printf(printer->out, " : %s", rxn__kir_type_names[local->type]);
        if (local->length)
            rxn__text_printf(printer->out, "[%u]", local->length);
        if (local->storage && local->storage != rxn__kir_type_bytes[local->type])
            rxn__text_printf(printer->out, " stored %u", local->storage);
        print(printer, "\n");
    }
    if (kernel->lanes)
        rxn__text_printf(printer->out, "  lanes %u\n", kernel->lanes);
    print(printer, "  done ");
    print_name(printer, kernel->locals.items[kernel->done].name);
    print(printer, "\n");
    for (u32 i = 0; i < kernel->witness.count; i++) {
        print(printer, i ? ", " : "  witness ");
        print_name(printer, kernel->locals.items[kernel->witness.items[i]].name);
    }
    if (kernel->witness.count)
        print(printer, "\n");
}

void
rxn__kir_print(const KirKernel *kernel, Text *out)
{
    static const char *const regions[KIR_REGION_COUNT] = {"launch", "init", "step", "finish"};
    Printer printer = {.kernel = kernel, .out = out};
    printer.number = NEW_ARRAY(out->arena, u32, kernel->values.count);
    print(&printer, "kernel ");
    print_name(&printer, kernel->name);
    rxn__text_printf(out, " %s {\n", rxn__kir_type_names[kernel->precision]);
    print_declarations(&printer);
    for (u32 r = 0; r < KIR_REGION_COUNT; r++) {
        rxn__text_printf(out, "  %s ", regions[r]);
        print_block(&printer, &kernel->regions[r], 1);
        print(&printer, "\n");
    }
    print(&printer, "}\n");
}
