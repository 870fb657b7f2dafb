/* interpret.c: runs a kernel as it is written; the oracle that every target is compared with.
 *
 * The statement tree is first flattened into one array of codes with jumps, each with its operands'
 * registers (a value's number is its register) and the C function of its rule, so that the loop
 * below does nothing but fetch, call and store. Constants are put in their registers once.
 *
 * On a checked kernel nothing here can go out of bounds: every index of a local or a buffer is
 * compared with its extent. What nobody knows here is the first extent of a dynamic per-launch
 * buffer; of a per-trajectory one it follows from the row's stride.
 *
 * A tape may be declared far longer than it is used, so it is a table of pages that are made when they
 * are first written to. Each element says for which row it was written: one that this trajectory has
 * not written is not read.
 */
#include "compiler/kir/internal.h"

typedef enum CodeKind {
    CODE_RULE, /* target = rule(a, b, c) */
    CODE_SELECT,
    CODE_CAST,
    CODE_BITS,
    CODE_TRAJECTORY,
    CODE_GET,       /* target = slot `object` */
    CODE_GET_INDEX, /* target = slot of local `object` at [a] */
    CODE_SET,       /* slot `object` = c */
    CODE_SET_INDEX, /* slot of local `object` at [a] = c */
    CODE_GET_TAPE,
    CODE_SET_TAPE,
    CODE_LOAD,  /* target = buffer `object` at index[] */
    CODE_STORE, /* buffer `object` at index[] = c */
    CODE_JUMP,
    CODE_REPEAT,     /* a jump back */
    CODE_UNLESS,     /* jump unless a */
    CODE_FOR_BEGIN,  /* target = a; jump unless it is less than b */
    CODE_FOR_NEXT,   /* target + 1; jump back if that is less than b */
    CODE_DOWN_BEGIN, /* target = b - 1; jump unless a is less than b */
    CODE_DOWN_NEXT,  /* jump back with target - 1 if target is greater than a */
    CODE_TRAP,
    CODE_END,
} CodeKind;

typedef struct Code {
    KirRule rule;
    u32 target, object, jump;
    union {
        struct {
            u32 a, b, c;
        };
        u32 index[KIR_MAX_RANK];
    };
    u32 value; /* what a set or a store writes */
    u16 fault;
    u8 kind, type, arg_type, region;
} Code;

typedef struct Buffer {
    u8 *base;
    u64 row_elements; /* from one row to the next; 0 when per launch */
    const KirBuffer *declared;
} Buffer;

enum { PAGE_ELEMENTS = 1024 };

typedef struct TapePage {
    u64 bits[PAGE_ELEMENTS];
    u64 writer[PAGE_ELEMENTS]; /* row + 1 of the trajectory that wrote it */
} TapePage;

typedef struct Tape {
    TapePage **pages; /* NULL: nothing has been written there */
    u32 page_count;
} Tape;

typedef struct Machine {
    const KirKernel *kernel;
    RxnLaunch *launch;
    Arena *arena;
    VEC(Code) code;
    u32 start[KIR_REGION_COUNT];
    u32 break_list; /* the breaks of the loop being flattened, linked through `jump`; 0: none */
    u64 *registers;
    u64 *slots; /* of the locals' elements: first the trajectory's, then the uniform ones */
    u64 trajectory_slots;
    u32 *slot_of; /* by local */
    Tape *tapes;  /* by local */
    Buffer *buffers;
    u64 row;
    u64 repeats_left; /* jumps back until a kernel is taken for an endless one */
    const char *error;
} Machine;

typedef enum Outcome { FINISHED, TRAPPED, FAILED, CANCELLED } Outcome;

/* ---- Flattening */

static u32
emit(Machine *machine, Code code)
{
    vec_push(machine->arena, &machine->code, code);
    return machine->code.count - 1;
}

static void
land_here(Machine *machine, u32 jump)
{
    machine->code.items[jump].jump = machine->code.count;
}

static void
flatten_value(Machine *machine, KirValue value, KirRegion region)
{
    const KirNode *node = &machine->kernel->values.items[value];
    Code code = {.target = value, .type = node->type, .region = (u8)region};
    if (node->op == KIR_CONST) {
        machine->registers[value] = node->bits;
        return;
    }
    code.a = node->args[0];
    code.b = node->args[1];
    code.c = node->args[2];
    code.arg_type = machine->kernel->values.items[node->args[0]].type;
    switch (node->op) {
    case KIR_TRAJECTORY: code.kind = CODE_TRAJECTORY; break;
    case KIR_GET:
        code.kind = !node->index_count                                    ? CODE_GET
                    : machine->kernel->locals.items[node->object].storage ? CODE_GET_TAPE
                                                                          : CODE_GET_INDEX;
        code.object = node->index_count ? node->object : machine->slot_of[node->object];
        code.a = node->index[0];
        break;
    case KIR_LOAD:
        code.kind = CODE_LOAD;
        code.object = node->object;
        memcpy(code.index, node->index, sizeof code.index);
        break;
    case KIR_SELECT: code.kind = CODE_SELECT; break;
    case KIR_CAST: code.kind = CODE_CAST; break;
    case KIR_BITS: code.kind = CODE_BITS; break;
    default:
        code.kind = CODE_RULE;
        code.rule = rxn__kir_rule((KirOp)node->op, (KirType)code.arg_type);
    }
    emit(machine, code);
}

static void flatten_block(Machine *machine, const KirBlock *block, KirRegion region);

static void
flatten_if(Machine *machine, const KirStatement *statement, KirRegion region)
{
    const u32 unless = emit(machine, (Code){.kind = CODE_UNLESS, .a = statement->value});
    flatten_block(machine, &statement->body, region);
    if (statement->otherwise.count) {
        const u32 over = emit(machine, (Code){.kind = CODE_JUMP});
        land_here(machine, unless);
        flatten_block(machine, &statement->otherwise, region);
        land_here(machine, over);
    } else {
        land_here(machine, unless);
    }
}

/* At the end of a for or loop: `outer` are the breaks of the one around it. */
static void
land_breaks_here(Machine *machine, u32 outer)
{
    while (machine->break_list) {
        const u32 link = machine->break_list - 1;
        machine->break_list = machine->code.items[link].jump;
        land_here(machine, link);
    }
    machine->break_list = outer;
}

static void
flatten_for(Machine *machine, const KirStatement *statement, KirRegion region)
{
    const u32 outer = machine->break_list;
    Code code = {.kind = statement->down ? CODE_DOWN_BEGIN : CODE_FOR_BEGIN,
                 .target = statement->value,
                 .a = statement->index[0],
                 .b = statement->index[1]};
    const u32 begin = emit(machine, code);
    machine->break_list = 0;
    flatten_block(machine, &statement->body, region);
    code.kind = statement->down ? CODE_DOWN_NEXT : CODE_FOR_NEXT;
    code.jump = begin + 1;
    emit(machine, code);
    land_here(machine, begin);
    land_breaks_here(machine, outer);
}

static void
flatten_loop(Machine *machine, const KirStatement *statement, KirRegion region)
{
    const u32 outer = machine->break_list, begin = machine->code.count;
    machine->break_list = 0;
    flatten_block(machine, &statement->body, region);
    emit(machine, (Code){.kind = CODE_REPEAT, .jump = begin});
    land_breaks_here(machine, outer);
}

static void
flatten_statement(Machine *machine, const KirStatement *statement, KirRegion region)
{
    Code code = {.region = (u8)region, .object = statement->object, .value = statement->value};
    switch ((KirStatementKind)statement->kind) {
    case KIR_DEFINE: flatten_value(machine, statement->value, region); return;
    case KIR_IF: flatten_if(machine, statement, region); return;
    case KIR_FOR: flatten_for(machine, statement, region); return;
    case KIR_LOOP: flatten_loop(machine, statement, region); return;
    case KIR_SET:
        code.kind = !statement->index_count                                    ? CODE_SET
                    : machine->kernel->locals.items[statement->object].storage ? CODE_SET_TAPE
                                                                               : CODE_SET_INDEX;
        if (!statement->index_count)
            code.object = machine->slot_of[statement->object];
        code.a = statement->index[0];
        break;
    case KIR_STORE:
        code.kind = CODE_STORE;
        code.type = machine->kernel->buffers.items[statement->object].type;
        memcpy(code.index, statement->index, sizeof code.index);
        break;
    case KIR_BREAK:
        code.kind = CODE_JUMP;
        code.jump = machine->break_list;
        machine->break_list = emit(machine, code) + 1;
        return;
    case KIR_TRAP:
        code.kind = CODE_TRAP;
        code.fault = statement->code;
        break;
    }
    emit(machine, code);
}

static void
flatten_block(Machine *machine, const KirBlock *block, KirRegion region)
{
    for (u32 i = 0; i < block->count; i++)
        flatten_statement(machine, &block->items[i], region);
}

/* ---- Elements */

static Outcome
index_failure(Machine *machine, const Code *code, const char *what, Name name, i64 index,
              u64 extent)
{
    static const char *const regions[KIR_REGION_COUNT] = {"launch", "init", "step", "finish"};
    Text text;
    rxn__text_init(&text, machine->arena);
    rxn__text_printf(&text, "%s: index %lld of %s '%s' is outside its %llu elements",
                     regions[code->region], (long long)index, what, name->text,
                     (unsigned long long)extent);
    if (code->region != KIR_LAUNCH)
        rxn__text_printf(&text, " (trajectory %llu)",
                         (unsigned long long)(machine->launch->first + machine->row));
    machine->error = text.data;
    return FAILED;
}

static Outcome
slot_at(Machine *machine, const Code *code, u64 **ret_slot)
{
    const KirLocal *local = &machine->kernel->locals.items[code->object];
    const i64 index = (i64)machine->registers[code->a];
    if (index < 0 || index >= local->length)
        return index_failure(machine, code, "local", local->name, index, local->length);
    *ret_slot = &machine->slots[machine->slot_of[code->object] + (u64)index];
    return FINISHED;
}

static Outcome
get_from_tape(Machine *machine, const Code *code)
{
    const KirLocal *local = &machine->kernel->locals.items[code->object];
    const Tape *tape = &machine->tapes[code->object];
    const i64 index = (i64)machine->registers[code->a];
    if (index < 0 || index >= local->length)
        return index_failure(machine, code, "tape", local->name, index, local->length);
    const u32 page = (u32)index / PAGE_ELEMENTS, at = (u32)index % PAGE_ELEMENTS;
    if (page >= tape->page_count || !tape->pages[page] ||
        tape->pages[page]->writer[at] != machine->row + 1) {
        Text text;
        rxn__text_init(&text, machine->arena);
        rxn__text_printf(&text,
                         "element %lld of tape '%s' is read but not written (trajectory %llu)",
                         (long long)index, local->name->text,
                         (unsigned long long)(machine->launch->first + machine->row));
        machine->error = text.data;
        return FAILED;
    }
    machine->registers[code->target] = tape->pages[page]->bits[at];
    return FINISHED;
}

static void
reach_page(Machine *machine, Tape *tape, u32 page)
{
    if (page >= tape->page_count) {
        const u32 count = 2 * page + 1;
        TapePage **pages = NEW_ARRAY(machine->arena, TapePage *, count);
        if (tape->page_count)
            memcpy(pages, tape->pages, tape->page_count * sizeof *pages);
        tape->pages = pages;
        tape->page_count = count;
    }
    if (!tape->pages[page])
        tape->pages[page] = NEW(machine->arena, TapePage);
}

static Outcome
set_on_tape(Machine *machine, const Code *code)
{
    const KirLocal *local = &machine->kernel->locals.items[code->object];
    Tape *tape = &machine->tapes[code->object];
    const i64 index = (i64)machine->registers[code->a];
    if (index < 0 || index >= local->length)
        return index_failure(machine, code, "tape", local->name, index, local->length);
    const u32 page = (u32)index / PAGE_ELEMENTS, at = (u32)index % PAGE_ELEMENTS;
    reach_page(machine, tape, page);
    u64 bits = machine->registers[code->value];
    if (local->storage < rxn__kir_type_bytes[local->type])
        bits &= (UINT64_C(1) << 8 * local->storage) - 1;
    tape->pages[page]->bits[at] = bits;
    tape->pages[page]->writer[at] = machine->row + 1;
    return FINISHED;
}

static Outcome
element_at(Machine *machine, const Code *code, u8 **ret_element)
{
    const Buffer *buffer = &machine->buffers[code->object];
    const KirBuffer *declared = buffer->declared;
    u64 inner = 1; /* elements under one index of the first extent */
    for (u32 i = 1; i < declared->rank; i++)
        inner *= declared->extent[i];
    u64 element = 0;
    for (u32 i = 0; i < declared->rank; i++) {
        const i64 index = (i64)machine->registers[code->index[i]];
        u64 extent = declared->extent[i];
        if (extent == KIR_DYNAMIC)
            extent =
                declared->scope == KIR_PER_LAUNCH ? (u64)INT32_MAX : buffer->row_elements / inner;
        if (index < 0 || (u64)index >= extent)
            return index_failure(machine, code, "buffer", declared->name, index, extent);
        element = (i ? element * declared->extent[i] : 0) + (u64)index;
    }
    element += machine->row * buffer->row_elements;
    *ret_element = buffer->base + element * rxn__kir_type_bytes[declared->type];
    return FINISHED;
}

static u64
read_element(KirType type, const u8 *element)
{
    u32 word;
    u64 bits;
    switch (rxn__kir_type_bytes[type]) {
    case 1: return *element != 0;
    case 4:
        memcpy(&word, element, sizeof word);
        return type == KIR_I32 ? (u64)(i64)(i32)word : word;
    default: memcpy(&bits, element, sizeof bits); return bits;
    }
}

static void
write_element(KirType type, u8 *element, u64 bits)
{
    const u32 word = (u32)bits;
    switch (rxn__kir_type_bytes[type]) {
    case 1: *element = bits != 0; break;
    case 4: memcpy(element, &word, sizeof word); break;
    default: memcpy(element, &bits, sizeof bits);
    }
}

/* ---- Running */

/* The fault of the lowest trajectory is the one that is kept: a run's report does not depend on
 * which trajectory came first. */
static Outcome
trap(Machine *machine, const Code *code)
{
    RxnFault *fault = machine->launch->fault;
    const KirKernel *kernel = machine->kernel;
    const u64 trajectory = machine->launch->first + machine->row;
    if (!fault || trajectory >= fault->trajectory)
        return TRAPPED;
    fault->trajectory = trajectory;
    fault->code = code->fault;
    fault->detail = (u32)machine->registers[code->value];
    double *witness = fault->witness;
    for (u32 i = 0; witness && i < kernel->witness.count; i++) {
        const KirLocal *local = &kernel->locals.items[kernel->witness.items[i]];
        const u64 *slot = &machine->slots[machine->slot_of[kernel->witness.items[i]]];
        for (u32 k = 0; k < (local->length ? local->length : 1); k++)
            *witness++ = rxn__kir_as_double((KirType)local->type, slot[k]);
    }
    return TRAPPED;
}

static Outcome
may_repeat(Machine *machine)
{
    if (*machine->launch->cancel)
        return CANCELLED;
    if (machine->repeats_left-- > 0)
        return FINISHED;
    machine->error = "a loop does not end (step guard)";
    return FAILED;
}

static Outcome
run_region(Machine *machine, KirRegion region)
{
    u64 *r = machine->registers;
    const Code *code = &machine->code.items[machine->start[region]];
    Outcome outcome;
    u64 *slot;
    u8 *element;
    for (;; code++) {
        switch ((CodeKind)code->kind) {
        case CODE_RULE: r[code->target] = code->rule(r[code->a], r[code->b], r[code->c]); break;
        case CODE_SELECT: r[code->target] = r[code->a] ? r[code->b] : r[code->c]; break;
        case CODE_CAST:
            r[code->target] =
                rxn__kir_cast_bits((KirType)code->type, (KirType)code->arg_type, r[code->a]);
            break;
        case CODE_BITS:
            r[code->target] = rxn__kir_evaluate(KIR_BITS, (KirType)code->type,
                                                (KirType)code->arg_type, &r[code->a]);
            break;
        case CODE_TRAJECTORY: r[code->target] = machine->launch->first + machine->row; break;
        case CODE_GET: r[code->target] = machine->slots[code->object]; break;
        case CODE_SET: machine->slots[code->object] = r[code->value]; break;
        case CODE_GET_INDEX:
            if ((outcome = slot_at(machine, code, &slot)) != FINISHED)
                return outcome;
            r[code->target] = *slot;
            break;
        case CODE_SET_INDEX:
            if ((outcome = slot_at(machine, code, &slot)) != FINISHED)
                return outcome;
            *slot = r[code->value];
            break;
        case CODE_GET_TAPE:
            if ((outcome = get_from_tape(machine, code)) != FINISHED)
                return outcome;
            break;
        case CODE_SET_TAPE:
            if ((outcome = set_on_tape(machine, code)) != FINISHED)
                return outcome;
            break;
        case CODE_LOAD:
            if ((outcome = element_at(machine, code, &element)) != FINISHED)
                return outcome;
            r[code->target] = read_element((KirType)code->type, element);
            break;
        case CODE_STORE:
            if ((outcome = element_at(machine, code, &element)) != FINISHED)
                return outcome;
            write_element((KirType)code->type, element, r[code->value]);
            break;
        case CODE_JUMP: code = &machine->code.items[code->jump] - 1; break;
        case CODE_REPEAT:
            if ((outcome = may_repeat(machine)) != FINISHED)
                return outcome;
            code = &machine->code.items[code->jump] - 1;
            break;
        case CODE_UNLESS:
            if (!r[code->a])
                code = &machine->code.items[code->jump] - 1;
            break;
        case CODE_FOR_BEGIN:
            r[code->target] = r[code->a];
            if ((i64)r[code->a] >= (i64)r[code->b])
                code = &machine->code.items[code->jump] - 1;
            break;
        case CODE_FOR_NEXT: /* below b, so one more does not overflow */
            r[code->target]++;
            if ((i64)r[code->target] >= (i64)r[code->b])
                break;
            if ((outcome = may_repeat(machine)) != FINISHED)
                return outcome;
            code = &machine->code.items[code->jump] - 1;
            break;
        case CODE_DOWN_BEGIN:
            r[code->target] = (u64)((i64)r[code->b] - 1);
            if ((i64)r[code->a] >= (i64)r[code->b])
                code = &machine->code.items[code->jump] - 1;
            break;
        case CODE_DOWN_NEXT:
            if ((i64)r[code->target] <= (i64)r[code->a])
                break;
            r[code->target]--;
            if ((outcome = may_repeat(machine)) != FINISHED)
                return outcome;
            code = &machine->code.items[code->jump] - 1;
            break;
        case CODE_TRAP: return trap(machine, code);
        case CODE_END: return FINISHED;
        }
    }
}

enum {
    REPEATS_PER_STEP = 4096
}; /* of all loops together, on the average, where steps are guarded */

static void
reset_repeats(Machine *machine, u64 step_guard)
{
    machine->repeats_left = step_guard == 0 || step_guard > UINT64_MAX / REPEATS_PER_STEP
                                ? UINT64_MAX
                                : step_guard * REPEATS_PER_STEP;
}

static Outcome
run_trajectory(Machine *machine, u64 step_guard)
{
    memset(machine->slots, 0, machine->trajectory_slots * sizeof *machine->slots);
    reset_repeats(machine, step_guard);
    Outcome outcome = run_region(machine, KIR_INIT);
    const u64 *done = &machine->slots[machine->slot_of[machine->kernel->done]];
    for (u64 steps = 0; outcome == FINISHED && !*done; steps++) {
        if (*machine->launch->cancel)
            return CANCELLED;
        if (step_guard && steps >= step_guard) {
            machine->error = "a trajectory does not end (step guard)";
            return FAILED;
        }
        outcome = run_region(machine, KIR_STEP);
    }
    return outcome == FINISHED ? run_region(machine, KIR_FINISH) : outcome;
}

static void
place_locals(Machine *machine)
{
    const KirKernel *kernel = machine->kernel;
    machine->slot_of = NEW_ARRAY(machine->arena, u32, kernel->locals.count + 1);
    machine->tapes = NEW_ARRAY(machine->arena, Tape, kernel->locals.count + 1);
    u32 slots = 0;
    for (u32 uniform = 0; uniform < 2; uniform++) {
        for (u32 i = 0; i < kernel->locals.count; i++)
            if (kernel->locals.items[i].uniform == (uniform == 1) &&
                !kernel->locals.items[i].storage) {
                machine->slot_of[i] = slots;
                slots += kernel->locals.items[i].length ? kernel->locals.items[i].length : 1;
            }
        if (!uniform)
            machine->trajectory_slots = slots;
    }
    machine->slots = NEW_ARRAY(machine->arena, u64, (size_t)slots + 1);
}

static void
prepare(Machine *machine)
{
    const KirKernel *kernel = machine->kernel;
    place_locals(machine);
    machine->registers = NEW_ARRAY(machine->arena, u64, (size_t)kernel->values.count + 3);
    machine->buffers = NEW_ARRAY(machine->arena, Buffer, kernel->buffers.count + 1);
    for (u32 i = 0; i < kernel->buffers.count; i++) {
        const KirBuffer *declared = &kernel->buffers.items[i];
        machine->buffers[i] = (Buffer){.base = machine->launch->buffers[i], .declared = declared};
        if (declared->scope == KIR_PER_TRAJECTORY)
            machine->buffers[i].row_elements = (u64)machine->launch->strides[i];
    }
    for (u32 region = 0; region < KIR_REGION_COUNT; region++) {
        machine->start[region] = machine->code.count;
        flatten_block(machine, &kernel->regions[region], (KirRegion)region);
        emit(machine, (Code){.kind = CODE_END});
    }
}

RxnStatus
rxn__kir_interpret(const KirKernel *kernel, RxnLaunch *launch, u64 step_guard, Arena *arena,
                   const char **ret_error)
{
    Machine machine = {.kernel = kernel, .launch = launch, .arena = arena};
    *ret_error = NULL;
    prepare(&machine);
    reset_repeats(&machine, step_guard);
    Outcome outcome = run_region(&machine, KIR_LAUNCH);
    for (u64 row = 0; row < launch->count; row++) {
        if (outcome == CANCELLED || *launch->cancel)
            return RXN_CANCELLED;
        if (outcome == FAILED)
            break;
        machine.row = row;
        outcome = run_trajectory(&machine, step_guard);
    }
    *ret_error = machine.error;
    return outcome == FAILED ? RXN_ERROR_INTERNAL : outcome == CANCELLED ? RXN_CANCELLED : RXN_OK;
}
