/* check.c: is this a kernel? Run after the reader, the builder and every pass, so that nobody else
 * has to ask: a target, the interpreter and the passes rely on everything that is said here.
 *
 * Three things are checked: the declarations; each value by itself (rxn__kir_node_error); and where
 * things stand: a value is used where it is visible, and a region does only what it may.
 */
#include "compiler/kir/internal.h"

/* ---- Nodes */

static bool
takes_type(KirTakes takes, KirType type)
{
    switch (takes) {
    case KIR_TAKES_NONE: return false;
    case KIR_TAKES_FLOAT: return kir_is_float(type);
    case KIR_TAKES_INT: return kir_is_int(type);
    case KIR_TAKES_UINT: return type == KIR_U32 || type == KIR_U64;
    case KIR_TAKES_NUMBER: return type != KIR_BOOL;
    case KIR_TAKES_BOOL: return type == KIR_BOOL;
    case KIR_TAKES_INT_OR_BOOL: return !kir_is_float(type);
    case KIR_TAKES_ANY: return true;
    }
    return false;
}

static bool
is_value(const KirKernel *kernel, KirValue value)
{
    return value > 0 && value < kernel->values.count;
}

static const char *
index_error(const KirKernel *kernel, const KirValue *index, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        if (!is_value(kernel, index[i]))
            return "an index is no value";
        if (kernel->values.items[index[i]].type != KIR_I32)
            return "an index is not i32";
    }
    return NULL;
}

static const char *
leaf_error(const KirKernel *kernel, const KirNode *node)
{
    switch (node->op) {
    case KIR_CONST:
        return node->bits == rxn__kir_canonical((KirType)node->type, node->bits)
                   ? NULL
                   : "the constant is not in its one form";
    case KIR_TRAJECTORY: return node->type == KIR_U64 ? NULL : "its type is u64";
    case KIR_COUNTER: return node->type == KIR_I32 ? NULL : "its type is i32";
    case KIR_GET: {
        if (node->object >= kernel->locals.count)
            return "there is no such local";
        const KirLocal *local = &kernel->locals.items[node->object];
        if (local->type != node->type)
            return "its type is not the local's";
        if (node->index_count != (local->length != 0))
            return local->length ? "an array needs one index" : "a scalar has no index";
        return index_error(kernel, node->index, node->index_count);
    }
    case KIR_LOAD: {
        if (node->object >= kernel->buffers.count)
            return "there is no such buffer";
        const KirBuffer *buffer = &kernel->buffers.items[node->object];
        if (buffer->type != node->type)
            return "its type is not the buffer's";
        if (node->index_count != buffer->rank)
            return "it needs as many indices as the buffer has extents";
        return index_error(kernel, node->index, node->index_count);
    }
    default: return "not a leaf";
    }
}

static const char *
typed_error(const KirNode *node, KirType from)
{
    if (node->type == KIR_BOOL)
        return node->op == KIR_CAST && from == KIR_BOOL ? NULL : "there is no conversion to bool";
    if (node->op == KIR_BITS && rxn__kir_type_bytes[from] != rxn__kir_type_bytes[node->type])
        return "bits are reinterpreted at the same width only";
    return NULL;
}

static const char *
argument_error(const KirKernel *kernel, const KirNode *node)
{
    const KirOpInfo *op = &rxn__kir_ops[node->op];
    for (u32 i = 0; i < 3; i++) {
        if (i < op->arity && !is_value(kernel, node->args[i]))
            return "an argument is no value";
        if (i >= op->arity && node->args[i] != 0)
            return "it has too many arguments";
    }
    const KirNode *values = kernel->values.items;
    const KirType first = (KirType)values[node->args[0]].type;
    if (!takes_type((KirTakes)op->takes, first))
        return "it does not take a first argument of this type";
    const u32 alike = op->gives == KIR_GIVES_SELECT ? 1 : 0;
    for (u32 i = alike + 1; i < op->arity; i++)
        if (values[node->args[i]].type != values[node->args[alike]].type)
            return "its arguments differ in type";
    switch ((KirGives)op->gives) {
    case KIR_GIVES_SAME: return node->type == first ? NULL : "its type is not its argument's";
    case KIR_GIVES_BOOL: return node->type == KIR_BOOL ? NULL : "its type is bool";
    case KIR_GIVES_SELECT:
        return node->type == values[node->args[1]].type ? NULL : "its type is not its arguments'";
    case KIR_GIVES_TYPED: return typed_error(node, first);
    }
    return NULL;
}

const char *
rxn__kir_node_error(const KirKernel *kernel, const KirNode *node)
{
    if (node->op >= KIR_OP_COUNT)
        return "there is no such op";
    if (node->type >= KIR_TYPE_COUNT)
        return "there is no such type";
    if (!(rxn__kir_ops[node->op].flags & KIR_FLAG_LEAF))
        return argument_error(kernel, node);
    if (node->args[0] || node->args[1] || node->args[2])
        return "a leaf has no arguments";
    return leaf_error(kernel, node);
}

/* ---- Where things stand */

typedef enum Visibility { UNDEFINED, VISIBLE, OUT_OF_SCOPE } Visibility;

typedef struct Checker {
    const KirKernel *kernel;
    Arena *arena;
    bool expanded;
    KirRegion region;
    u8 *visibility;    /* by value */
    KirValue *defined; /* a stack of the visible values */
    u32 defined_count, depth;
    u32 loops; /* how many fors and loops are around */
    const char *error;
} Checker;

static const char *const region_names[KIR_REGION_COUNT] = {"launch", "init", "step", "finish"};

static void RXN_PRINTF(2, 3) fail(Checker *checker, const char *format, ...)
{
    if (checker->error)
        return;
    Text text;
    rxn__text_init(&text, checker->arena);
    rxn__text_printf(&text, "%s: ", region_names[checker->region]);
    va_list args;
    va_start(args, format);
    rxn__text_vprintf(&text, format, args);
    va_end(args);
    checker->error = text.data;
}

static void
use_value(Checker *checker, KirValue value, const char *user)
{
    if (!is_value(checker->kernel, value))
        fail(checker, "%s uses value %u, which does not exist", user, value);
    else if (checker->visibility[value] != VISIBLE)
        fail(checker, "%s uses value %u (%s) where it is not %s", user, value,
             rxn__kir_ops[checker->kernel->values.items[value].op].text,
             checker->visibility[value] == UNDEFINED ? "yet defined" : "visible");
}

static void
use_typed(Checker *checker, KirValue value, KirType type, const char *user)
{
    use_value(checker, value, user);
    if (!checker->error && checker->kernel->values.items[value].type != type)
        fail(checker, "%s: value %u is %s, not %s", user, value,
             rxn__kir_type_names[checker->kernel->values.items[value].type],
             rxn__kir_type_names[type]);
}

static void
define(Checker *checker, KirValue value, bool counter)
{
    if (!is_value(checker->kernel, value)) {
        fail(checker, "value %u does not exist", value);
        return;
    }
    if (checker->visibility[value] != UNDEFINED)
        fail(checker, "value %u is defined twice", value);
    if ((checker->kernel->values.items[value].op == KIR_COUNTER) != counter)
        fail(checker, "value %u: a counter is defined by its `for`, and nothing else is", value);
    if (checker->error)
        return;
    checker->visibility[value] = VISIBLE;
    checker->defined[checker->defined_count++] = value;
}

/* A region does only what it may: launch has no trajectory. */
static void
check_leaf(Checker *checker, const KirNode *node)
{
    const KirKernel *kernel = checker->kernel;
    if (checker->region != KIR_LAUNCH)
        return;
    if (node->op == KIR_TRAJECTORY)
        fail(checker, "there is no trajectory here");
    if (node->op == KIR_GET && !kernel->locals.items[node->object].uniform)
        fail(checker, "local '%s' is a trajectory's",
             kernel->locals.items[node->object].name->text);
    if (node->op == KIR_LOAD && (kernel->buffers.items[node->object].scope != KIR_PER_LAUNCH ||
                                 kernel->buffers.items[node->object].writable))
        fail(checker, "buffer '%s' is a trajectory's",
             kernel->buffers.items[node->object].name->text);
}

static void
check_define(Checker *checker, KirValue value)
{
    if (!is_value(checker->kernel, value)) {
        fail(checker, "value %u does not exist", value);
        return;
    }
    const KirNode *node = &checker->kernel->values.items[value];
    const char *error = rxn__kir_node_error(checker->kernel, node);
    const char *text = node->op < KIR_OP_COUNT ? rxn__kir_ops[node->op].text : "op";
    if (error) {
        fail(checker, "value %u, %s: %s", value, text, error);
        return;
    }
    for (u32 i = 0; i < rxn__kir_ops[node->op].arity; i++)
        use_value(checker, node->args[i], text);
    for (u32 i = 0; i < node->index_count; i++)
        use_value(checker, node->index[i], text);
    if (checker->expanded && (rxn__kir_ops[node->op].flags & KIR_FLAG_MATH))
        fail(checker, "value %u: %s is left unexpanded", value, text);
    if (!checker->error)
        check_leaf(checker, node);
    define(checker, value, false);
}

static void
check_set(Checker *checker, const KirStatement *statement)
{
    if (statement->object >= checker->kernel->locals.count) {
        fail(checker, "set: there is no such local");
        return;
    }
    const KirLocal *local = &checker->kernel->locals.items[statement->object];
    const char *name = local->name->text;
    if (local->uniform != (checker->region == KIR_LAUNCH))
        fail(checker, "set: local '%s' is %s", name,
             local->uniform ? "uniform, so only launch sets it" : "a trajectory's");
    if (statement->index_count != (local->length != 0))
        fail(checker, "set: local '%s' is %s", name, local->length ? "an array" : "a scalar");
    for (u32 i = 0; i < statement->index_count && !checker->error; i++)
        use_typed(checker, statement->index[i], KIR_I32, "set");
    use_typed(checker, statement->value, (KirType)local->type, "set");
}

static void
check_store(Checker *checker, const KirStatement *statement)
{
    if (statement->object >= checker->kernel->buffers.count) {
        fail(checker, "store: there is no such buffer");
        return;
    }
    const KirBuffer *buffer = &checker->kernel->buffers.items[statement->object];
    if (!buffer->writable)
        fail(checker, "store: buffer '%s' is read-only", buffer->name->text);
    if (checker->region == KIR_LAUNCH)
        fail(checker, "store: launch stores nothing");
    if (statement->index_count != buffer->rank)
        fail(checker, "store: buffer '%s' has rank %u", buffer->name->text, buffer->rank);
    for (u32 i = 0; i < statement->index_count && !checker->error; i++)
        use_typed(checker, statement->index[i], KIR_I32, "store");
    use_typed(checker, statement->value, (KirType)buffer->type, "store");
}

static void check_statement(Checker *checker, const KirStatement *statement);

static void
check_block(Checker *checker, const KirBlock *block)
{
    const u32 mark = checker->defined_count;
    if (++checker->depth > KIR_MAX_DEPTH + 1)
        fail(checker, "blocks are nested more than %d deep", KIR_MAX_DEPTH);
    for (u32 i = 0; i < block->count && !checker->error; i++)
        check_statement(checker, &block->items[i]);
    checker->depth--;
    /* What launch's top block defines stays visible in the other regions. */
    if (checker->region == KIR_LAUNCH && checker->depth == 0)
        return;
    while (checker->defined_count > mark)
        checker->visibility[checker->defined[--checker->defined_count]] = OUT_OF_SCOPE;
}

static void
check_loop(Checker *checker, const KirStatement *statement)
{
    checker->loops++;
    check_block(checker, &statement->body);
    checker->loops--;
}

static void
check_for(Checker *checker, const KirStatement *statement)
{
    if (statement->index_count != 2) {
        fail(checker, "a for has two bounds");
        return;
    }
    use_typed(checker, statement->index[0], KIR_I32, "for");
    use_typed(checker, statement->index[1], KIR_I32, "for");
    define(checker, statement->value, true);
    if (checker->error)
        return;
    check_loop(checker, statement);
    if (!checker->error) {
        /* The counter is the newest visible value again: the body's are gone. */
        checker->defined_count--;
        checker->visibility[statement->value] = OUT_OF_SCOPE;
    }
}

static void
check_statement(Checker *checker, const KirStatement *statement)
{
    switch ((KirStatementKind)statement->kind) {
    case KIR_DEFINE: check_define(checker, statement->value); return;
    case KIR_SET: check_set(checker, statement); return;
    case KIR_STORE: check_store(checker, statement); return;
    case KIR_IF:
        use_typed(checker, statement->value, KIR_BOOL, "if");
        check_block(checker, &statement->body);
        check_block(checker, &statement->otherwise);
        return;
    case KIR_FOR: check_for(checker, statement); return;
    case KIR_LOOP: check_loop(checker, statement); return;
    case KIR_BREAK:
        if (checker->loops == 0)
            fail(checker, "a break outside of a for or loop");
        return;
    case KIR_TRAP:
        if (checker->region == KIR_LAUNCH)
            fail(checker, "launch has no trajectory to trap");
        if (statement->code == RXN_FAULT_NONE)
            fail(checker, "a trap has a code");
        use_typed(checker, statement->value, KIR_U32, "trap");
        return;
    }
    fail(checker, "there is no such statement");
}

/* ---- Declarations */

static void
check_buffer(Checker *checker, const KirBuffer *buffer)
{
    const char *name = buffer->name->text;
    if (buffer->type >= KIR_TYPE_COUNT || buffer->rank > KIR_MAX_RANK)
        fail(checker, "buffer '%s': no such type or rank", name);
    /* Trajectories run in any order and at once: what they write is their own. */
    if (buffer->writable && buffer->scope != KIR_PER_TRAJECTORY)
        fail(checker, "buffer '%s' is per launch, so it cannot be writable", name);
    for (u32 i = 1; i < buffer->rank && !checker->error; i++)
        if (buffer->extent[i] == KIR_DYNAMIC)
            fail(checker, "buffer '%s': only the first extent may be dynamic", name);
    for (u32 i = 0; i < buffer->rank && !checker->error; i++)
        if (buffer->extent[i] > INT32_MAX)
            fail(checker, "buffer '%s': an extent does not fit an i32 index", name);
}

static void
check_tape(Checker *checker, const KirLocal *local)
{
    const char *name = local->name->text;
    const u32 own = rxn__kir_type_bytes[local->type];
    const bool narrow = local->type == KIR_U32 && (local->storage == 1 || local->storage == 2);
    if (local->uniform)
        fail(checker, "tape '%s' is a trajectory's, so it is not uniform", name);
    if (local->storage != own && !narrow)
        fail(checker, "tape '%s': a %s does not lie in %u bytes", name,
             rxn__kir_type_names[local->type], local->storage);
    if (local->length == 0 || local->length > KIR_MAX_TAPE_LENGTH)
        fail(checker, "tape '%s': its length is 1 to 2^31", name);
}

static void
check_locals(Checker *checker)
{
    const KirKernel *kernel = checker->kernel;
    KirNameMap names = {0};
    u64 elements = 0;
    u32 tapes = 0;
    for (u32 i = 0; i < kernel->locals.count && !checker->error; i++) {
        const KirLocal *local = &kernel->locals.items[i];
        if (local->type >= KIR_TYPE_COUNT)
            fail(checker, "local '%s': no such type", local->name->text);
        else if (!rxn__kir_name_add(&names, checker->arena, local->name, i))
            fail(checker, "two locals are named '%s'", local->name->text);
        else if (local->storage)
            check_tape(checker, local);
        tapes += local->storage != 0;
        elements += local->storage ? 0 : local->length ? local->length : 1;
    }
    if (elements > KIR_MAX_LOCAL_ELEMENTS)
        fail(checker, "the locals have more than %d elements", KIR_MAX_LOCAL_ELEMENTS);
    if (tapes > KIR_MAX_TAPES)
        fail(checker, "there are more than %d tapes", KIR_MAX_TAPES);
}

static void
check_declarations(Checker *checker)
{
    const KirKernel *kernel = checker->kernel;
    if (!kir_is_float((KirType)kernel->precision))
        fail(checker, "the kernel's precision is f32 or f64");
    KirNameMap names = {0};
    for (u32 i = 0; i < kernel->buffers.count && !checker->error; i++) {
        check_buffer(checker, &kernel->buffers.items[i]);
        if (!rxn__kir_name_add(&names, checker->arena, kernel->buffers.items[i].name, i))
            fail(checker, "two buffers are named '%s'", kernel->buffers.items[i].name->text);
    }
    check_locals(checker);
    if (kernel->done >= kernel->locals.count)
        fail(checker, "no local says when a trajectory is done");
    else if (kernel->locals.items[kernel->done].type != KIR_BOOL ||
             kernel->locals.items[kernel->done].length != 0 ||
             kernel->locals.items[kernel->done].uniform)
        fail(checker, "local '%s' says when a trajectory is done, so it is one bool of its own",
             kernel->locals.items[kernel->done].name->text);
    for (u32 i = 0; i < kernel->witness.count && !checker->error; i++)
        if (kernel->witness.items[i] >= kernel->locals.count)
            fail(checker, "a witness is no local");
        else if (kernel->locals.items[kernel->witness.items[i]].storage != 0)
            fail(checker, "a tape is no witness");
}

const char *
rxn__kir_check(const KirKernel *kernel, bool expanded, Arena *arena)
{
    Checker checker = {.kernel = kernel, .arena = arena, .expanded = expanded};
    checker.visibility = NEW_ARRAY(arena, u8, kernel->values.count + 1);
    checker.defined = NEW_ARRAY(arena, KirValue, kernel->values.count + 1);
    check_declarations(&checker);
    for (u32 r = 0; r < KIR_REGION_COUNT && !checker.error; r++) {
        checker.region = (KirRegion)r;
        check_block(&checker, &kernel->regions[r]);
    }
    return checker.error;
}
