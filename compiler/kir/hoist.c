/* hoist.c: what does not change is computed once.
 *
 * Why: rates are written where they are used, in the middle of a step, but most of what they are made
 * of (parameters, sums and powers of them, the key of the random numbers) is the same for a whole
 * launch. Such values go to the end of `launch`, whose values every region sees. What is the same
 * during a `loop` or a `for` goes before it.
 *
 *   before                              after
 *     launch {}                           launch {
 *     step {                                %1 = load.f64 parameter[%..]
 *       %2 = load.f64 parameter[%..]        %2 = log.f64 %1
 *       %3 = log.f64 %2                   }
 *       %4 = get.f64 x                    step {
 *       %5 = mul.f64 %4, %3                 %3 = get.f64 x
 *       ...                                 %4 = mul.f64 %3, %2
 *
 * When: every op is total, so a value may be computed where the program would not have done so. Only
 * an index must not go out of its range because of us. So a `load` (or a `get` from an array) moves
 * only if its indices are constants that are in range, or if it would have run anyway: nothing before
 * it can have trapped or left, and no `if` is around it. (An element of a tape must have been written too,
 * so there only the latter counts.) From loops only what stands outside of any
 * `if` in the body moves: the rest may be there because it is rare.
 *
 * Constants stay where they are, since targets write them into the instructions; one that a moved value
 * needs is repeated there. Nothing is shared here: equal values that meet are left to the cse pass.
 */
#include "compiler/kir/internal.h"

typedef enum FrameKind { TOP_FRAME, IF_FRAME, LOOP_FRAME, FOR_FRAME } FrameKind;

/* A block that is being written anew. Number 0 is launch's top block; in another region number 1 is its
 * top block. */
typedef struct Frame {
    FrameKind kind;
    bool turns;    /* its body runs at least once when the statement is reached */
    bool may_skip; /* something before has a trap or break: what follows may not run */
    KirBlock out;
} Frame;

typedef struct Hoist {
    KirKernel *kernel;
    Arena *arena;
    KirRegion region;
    VEC(Frame) frames;
    u32 *frame_of;       /* by value: the frame in which it is defined, while that is open */
    KirValue *in_launch; /* by constant: its copy in launch's top block, or 0 */
    u32 *deepest_set;    /* by object: the innermost open loop frame whose body sets it, or 0 */
    VEC(u64) set_log;    /* object << 32 | deepest_set before */
    bool may_trap;       /* an earlier region has a trap */
    bool changed;
} Hoist;

enum { HAS_TRAP = 1, HAS_BREAK = 2 };

static const KirNode *
node_at(const Hoist *hoist, KirValue value)
{
    return &hoist->kernel->values.items[value];
}

static bool
is_constant(const Hoist *hoist, KirValue value)
{
    return node_at(hoist, value)->op == KIR_CONST;
}

/* ---- May a value move? */

/* The innermost frame that must be open: constants can be had anywhere. */
static u32
operand_frame(const Hoist *hoist, const KirNode *node)
{
    u32 frame = 0;
    for (u32 i = 0; i < rxn__kir_ops[node->op].arity; i++)
        if (!is_constant(hoist, node->args[i]) && hoist->frame_of[node->args[i]] > frame)
            frame = hoist->frame_of[node->args[i]];
    for (u32 i = 0; i < node->index_count; i++)
        if (!is_constant(hoist, node->index[i]) && hoist->frame_of[node->index[i]] > frame)
            frame = hoist->frame_of[node->index[i]];
    return frame;
}

static bool
indices_in_range(const Hoist *hoist, const KirNode *node)
{
    if (node->op == KIR_GET && hoist->kernel->locals.items[node->object].storage)
        return false; /* in the range of what has been written: nobody knows */
    for (u32 i = 0; i < node->index_count; i++) {
        const KirNode *index = node_at(hoist, node->index[i]);
        const u32 extent = node->op == KIR_GET
                               ? hoist->kernel->locals.items[node->object].length
                               : hoist->kernel->buffers.items[node->object].extent[i];
        /* A dynamic extent is 0 here, so nothing is in its range. */
        if (index->op != KIR_CONST || (i64)index->bits < 0 || index->bits >= extent)
            return false;
    }
    return true;
}

/* Where the innermost block is, it surely comes to when frame `outer` comes to it. */
static bool
surely_runs_in(const Hoist *hoist, u32 outer)
{
    for (u32 f = hoist->frames.count - 1; f > outer; f--) {
        const Frame *frame = &hoist->frames.items[f];
        if (frame->may_skip || !frame->turns)
            return false;
    }
    return true;
}

/* A launch has a trajectory, which runs all of init up to the first trap, and step at least once. */
static bool
surely_runs_in_launch(const Hoist *hoist)
{
    return (hoist->region == KIR_INIT || hoist->region == KIR_STEP) && !hoist->may_trap &&
           surely_runs_in(hoist, 0);
}

static bool
may_go_to_launch(const Hoist *hoist, const KirNode *node)
{
    if (hoist->region == KIR_LAUNCH || operand_frame(hoist, node) > 0)
        return false;
    switch (node->op) {
    case KIR_TRAJECTORY:
    case KIR_COUNTER:
    case KIR_CONST: return false;
    case KIR_GET:
        return hoist->kernel->locals.items[node->object].uniform &&
               (indices_in_range(hoist, node) || surely_runs_in_launch(hoist));
    case KIR_LOAD: {
        const KirBuffer *buffer = &hoist->kernel->buffers.items[node->object];
        return buffer->scope == KIR_PER_LAUNCH && !buffer->writable &&
               (indices_in_range(hoist, node) || surely_runs_in_launch(hoist));
    }
    default: return true;
    }
}

/* From the body of loop frame `frame` to just before the loop. */
static bool
may_leave(const Hoist *hoist, const KirNode *node, u32 frame)
{
    if (node->op == KIR_CONST || operand_frame(hoist, node) >= frame)
        return false;
    if (node->op != KIR_GET && node->op != KIR_LOAD)
        return true;
    const u32 object =
        node->op == KIR_GET ? node->object : hoist->kernel->locals.count + node->object;
    if (hoist->deepest_set[object] >= frame)
        return false;
    return indices_in_range(hoist, node) || surely_runs_in(hoist, frame - 1);
}

static u32
destination(const Hoist *hoist, const KirNode *node)
{
    if (may_go_to_launch(hoist, node))
        return 0;
    u32 frame = hoist->frames.count - 1;
    while ((hoist->frames.items[frame].kind == LOOP_FRAME ||
            hoist->frames.items[frame].kind == FOR_FRAME) &&
           may_leave(hoist, node, frame))
        frame--;
    return frame;
}

/* ---- Moving */

static void
append(Hoist *hoist, u32 frame, KirStatement statement)
{
    vec_push(hoist->arena, &hoist->frames.items[frame].out, statement);
}

/* An operand as it is visible at the end of a frame: itself, or a copy of a constant. */
static KirValue
operand_in(Hoist *hoist, KirValue value, u32 frame)
{
    if (!is_constant(hoist, value) || hoist->frame_of[value] <= frame)
        return value;
    if (frame == 0 && hoist->in_launch[value])
        return hoist->in_launch[value];
    const KirNode node = *node_at(hoist, value);
    vec_push(hoist->kernel->arena, &hoist->kernel->values, node);
    const KirValue copy = hoist->kernel->values.count - 1;
    append(hoist, frame, (KirStatement){.kind = KIR_DEFINE, .value = copy});
    if (frame == 0)
        hoist->in_launch[value] = copy;
    return copy;
}

static void
hoist_value(Hoist *hoist, const KirStatement *statement)
{
    const KirValue value = statement->value;
    KirNode node = *node_at(hoist, value);
    const u32 frame = destination(hoist, &node);
    if (frame + 1 < hoist->frames.count) {
        for (u32 i = 0; i < rxn__kir_ops[node.op].arity; i++)
            node.args[i] = operand_in(hoist, node.args[i], frame);
        for (u32 i = 0; i < node.index_count; i++)
            node.index[i] = operand_in(hoist, node.index[i], frame);
        hoist->kernel->values.items[value] = node;
        hoist->changed = true;
    }
    hoist->frame_of[value] = frame;
    append(hoist, frame, *statement);
}

static u32 hoist_block(Hoist *hoist, const KirBlock *block, FrameKind kind, bool turns,
                       KirBlock *ret_block);

static void
enter_sets(Hoist *hoist, const KirBlock *block, u32 frame)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *statement = &block->items[i];
        if (statement->kind == KIR_SET || statement->kind == KIR_STORE) {
            const u32 object = statement->kind == KIR_SET
                                   ? statement->object
                                   : hoist->kernel->locals.count + statement->object;
            if (hoist->deepest_set[object] != frame) {
                const u64 entry = (u64)object << 32 | hoist->deepest_set[object];
                vec_push(hoist->arena, &hoist->set_log, entry);
                hoist->deepest_set[object] = frame;
            }
        }
        enter_sets(hoist, &statement->body, frame);
        enter_sets(hoist, &statement->otherwise, frame);
    }
}

/* A for, or a loop. */
static u32
hoist_loop(Hoist *hoist, KirStatement *statement)
{
    const u32 frame = hoist->frames.count, mark = hoist->set_log.count;
    bool turns = true;
    if (statement->kind == KIR_FOR) {
        const KirNode *lo = node_at(hoist, statement->index[0]);
        const KirNode *hi = node_at(hoist, statement->index[1]);
        turns = lo->op == KIR_CONST && hi->op == KIR_CONST && (i64)lo->bits < (i64)hi->bits;
        hoist->frame_of[statement->value] = frame;
    }
    enter_sets(hoist, &statement->body, frame);
    u32 leaves =
        hoist_block(hoist, &statement->body, statement->kind == KIR_FOR ? FOR_FRAME : LOOP_FRAME,
                    turns, &statement->body);
    while (hoist->set_log.count > mark) {
        const u64 entry = hoist->set_log.items[--hoist->set_log.count];
        hoist->deepest_set[entry >> 32] = (u32)entry;
    }
    /* A break ends here. (That a loop may never end is no reason for what follows not to run.) */
    return leaves & HAS_TRAP;
}

/* Which ways out the statement has. */
static u32
hoist_statement(Hoist *hoist, const KirStatement *statement)
{
    KirStatement copy = *statement;
    u32 leaves = 0;
    switch ((KirStatementKind)statement->kind) {
    case KIR_DEFINE: hoist_value(hoist, statement); return 0;
    case KIR_IF:
        leaves = hoist_block(hoist, &statement->body, IF_FRAME, false, &copy.body) |
                 hoist_block(hoist, &statement->otherwise, IF_FRAME, false, &copy.otherwise);
        break;
    case KIR_FOR:
    case KIR_LOOP: leaves = hoist_loop(hoist, &copy); break;
    case KIR_BREAK: leaves = HAS_BREAK; break;
    case KIR_TRAP: leaves = HAS_TRAP; break;
    case KIR_SET:
    case KIR_STORE: break;
    }
    append(hoist, hoist->frames.count - 1, copy);
    return leaves;
}

static u32
hoist_block(Hoist *hoist, const KirBlock *block, FrameKind kind, bool turns, KirBlock *ret_block)
{
    const KirBlock from = *block; /* ret_block may be the same */
    Frame frame = {.kind = kind, .turns = turns};
    vec_push(hoist->arena, &hoist->frames, frame);
    const u32 number = hoist->frames.count - 1;
    u32 leaves = 0;
    for (u32 i = 0; i < from.count; i++) {
        leaves |= hoist_statement(hoist, &from.items[i]);
        hoist->frames.items[number].may_skip = leaves != 0;
    }
    *ret_block = hoist->frames.items[number].out;
    hoist->frames.count--;
    return leaves;
}

bool
rxn__kir_hoist(KirKernel *kernel)
{
    Hoist hoist = {.kernel = kernel, .arena = kernel->arena};
    const u32 values = kernel->values.count;
    /* Each value moves at most once, and at most three constants are repeated for it. */
    hoist.frame_of = NEW_ARRAY(kernel->arena, u32, 4 * (size_t)values);
    hoist.in_launch = NEW_ARRAY(kernel->arena, KirValue, 4 * (size_t)values);
    hoist.deepest_set =
        NEW_ARRAY(kernel->arena, u32, (size_t)kernel->locals.count + kernel->buffers.count + 1);
    /* Launch's top block stays open to the end: the other regions append to it. */
    Frame launch = {.kind = TOP_FRAME, .turns = true};
    vec_push(hoist.arena, &hoist.frames, launch);
    const KirBlock old_launch = kernel->regions[KIR_LAUNCH];
    for (u32 i = 0; i < old_launch.count; i++)
        hoist_statement(&hoist, &old_launch.items[i]);
    for (u32 region = KIR_INIT; region < KIR_REGION_COUNT; region++) {
        hoist.region = (KirRegion)region;
        if (hoist_block(&hoist, &kernel->regions[region], TOP_FRAME, true,
                        &kernel->regions[region]))
            hoist.may_trap = true;
    }
    kernel->regions[KIR_LAUNCH] = hoist.frames.items[0].out;
    return hoist.changed;
}
