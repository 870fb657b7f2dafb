/* loops.c: which `for` loops have iterations that do not depend on each other.
 *
 * Such a loop can be shared out over the threads of a trajectory, with the same bits as result. It is one
 * where
 *
 *   - no break leaves the loop;
 *   - each scalar that it sets is private: set before it is read, in every iteration and after the loop, and not
 *     among those that a fault records;
 *   - for each array or buffer that it writes one of these holds:
 *       own     some index is, in all accesses, one and the same injective function of the counter (the counter,
 *               plus or times what does not change): each iteration has its own elements;
 *       equal   the loop does not read it, all writes are at one index e, and value and condition of the write
 *               depend on the iteration through e alone. Iterations that meet in an element then write the
 *               same. That is how tables of what a reaction changes look:
 *                   for k in lo .. hi { r = target[k];  propensity[r] = rate[r] * count[species[r]] }
 *
 * A trap ends the trajectory as that of the first iteration which traps would; arrays that a fault records must
 * not be written in such a loop.
 */
#include "compiler/target/cuda/cuda.h"

enum {
    SHARE_LEAST = 4
}; /* iterations, where their number is known: fewer are not worth a barrier */

/* How a value may differ between iterations. */
enum { SAME, BY_KEY, BY_ITERATION };

typedef struct Access {
    bool is_buffer, is_write;
    u32 object;
    u8 index_count;
    const KirValue *index;
} Access;

typedef struct Share {
    const KirKernel *kernel;
    CudaPlan *plan;
    Arena *arena;
    const KirStatement *loop;
    u32 stamp;
    u32 *inside;    /* per value: the stamp of the loop that it was last seen in */
    u32 *set_local; /* per local: likewise, for scalars that are set */
    u8 *class_of;   /* per value */
    u8 *local_class;
    VEC(Access) accesses;
    VEC(u32) scalars;
    bool refused, traps;
    KirValue key; /* of the object being looked at */
    Access object;
    bool changed;
} Share;

static const KirNode *
node_of(const Share *s, KirValue value)
{
    return &s->kernel->values.items[value];
}

static bool
is_inside(const Share *s, KirValue value)
{
    return s->inside[value] == s->stamp;
}

/* ---- what the loop does ---- */

static void
collect(Share *s, const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *st = &block->items[i];
        switch ((KirStatementKind)st->kind) {
        case KIR_DEFINE: {
            const KirNode *node = node_of(s, st->value);
            s->inside[st->value] = s->stamp;
            bool array = node->op == KIR_GET && s->plan->locals[node->object].place > CUDA_SPLIT;
            bool buffer = node->op == KIR_LOAD && s->kernel->buffers.items[node->object].writable;
            if (array || buffer)
                vec_push(s->arena, &s->accesses,
                         ((Access){buffer, false, node->object, node->index_count, node->index}));
            break;
        }
        case KIR_SET:
            if (s->plan->locals[st->object].place == CUDA_SPLIT) {
                s->refused = true;
            } else if (s->plan->locals[st->object].place == CUDA_SCALAR) {
                if (s->set_local[st->object] != s->stamp)
                    vec_push(s->arena, &s->scalars, st->object);
                s->set_local[st->object] = s->stamp;
            } else {
                vec_push(s->arena, &s->accesses, ((Access){false, true, st->object, 1, st->index}));
            }
            break;
        case KIR_STORE:
            vec_push(s->arena, &s->accesses,
                     ((Access){true, true, st->object, st->index_count, st->index}));
            break;
        case KIR_FOR: s->inside[st->value] = s->stamp; break;
        case KIR_TRAP: s->traps = true; break;
        case KIR_IF:
        case KIR_LOOP:
        case KIR_BREAK: break;
        }
        collect(s, &st->body);
        collect(s, &st->otherwise);
    }
}

/* ---- private scalars ---- */

static bool
contains(const KirBlock *block, const KirStatement *statement)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *st = &block->items[i];
        if (st == statement || contains(&st->body, statement) ||
            contains(&st->otherwise, statement))
            return true;
    }
    return false;
}

/* `set`: whether the local has a value that all threads share, or in the loop one of this iteration. Returns
 * the same for the end of the block; false in *ret_private if it is read where it has none. */
static bool
follow(const Share *s, const KirBlock *block, u32 local, bool set, bool *ret_private)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *st = &block->items[i];
        if (st->kind == KIR_DEFINE) {
            const KirNode *node = node_of(s, st->value);
            if (node->op == KIR_GET && node->object == local && !set)
                *ret_private = false;
        } else if (st->kind == KIR_SET && st->object == local) {
            set = true;
        } else if (st->kind == KIR_IF) {
            bool then = follow(s, &st->body, local, set, ret_private);
            bool otherwise = follow(s, &st->otherwise, local, set, ret_private);
            set = then && otherwise;
        } else if (st->kind == KIR_FOR || st->kind == KIR_LOOP) {
            if (st == s->loop || contains(&st->body, s->loop))
                set = false;
            follow(s, &st->body, local, set, ret_private);
        }
    }
    return set;
}

static bool
is_witness(const Share *s, u32 local)
{
    for (u32 i = 0; i < s->kernel->witness.count; i++)
        if (s->kernel->witness.items[i] == local)
            return true;
    return false;
}

static bool
is_private(const Share *s, u32 local)
{
    bool private_ = !is_witness(s, local) && local != s->kernel->done;
    for (u32 region = 0; private_ && region < KIR_REGION_COUNT; region++)
        follow(s, &s->kernel->regions[region], local, false, &private_);
    return private_;
}

/* ---- elements of one's own ---- */

static bool
is_injective(const Share *s, KirValue value)
{
    const KirNode *node = node_of(s, value);
    if (value == s->loop->value)
        return true;
    KirValue a = node->args[0], b = node->args[1];
    switch ((KirOp)node->op) {
    case KIR_ADD:
    case KIR_SUB:
        return (is_injective(s, a) && !is_inside(s, b)) || (is_injective(s, b) && !is_inside(s, a));
    case KIR_MUL: {
        KirValue other = is_injective(s, a) ? b : a;
        KirValue factor = other == b ? a : b;
        return node_of(s, other)->op == KIR_CONST && node_of(s, other)->bits != 0 &&
               is_injective(s, factor);
    }
    case KIR_CAST: return node->type >= KIR_I32 && node->type <= KIR_U64 && is_injective(s, a);
    default: return false;
    }
}

static bool
same_value(const Share *s, KirValue x, KirValue y, u32 depth)
{
    const KirNode *a = node_of(s, x), *b = node_of(s, y);
    if (x == y)
        return true;
    if (depth == 0 || a->op != b->op || a->type != b->type || a->op == KIR_COUNTER ||
        a->op == KIR_GET || a->op == KIR_LOAD)
        return false;
    if (a->op == KIR_CONST)
        return a->bits == b->bits;
    for (u32 i = 0; i < rxn__kir_ops[a->op].arity; i++)
        if (!same_value(s, a->args[i], b->args[i], depth - 1))
            return false;
    return true;
}

static bool
is_object(const Share *s, const Access *access)
{
    return access->is_buffer == s->object.is_buffer && access->object == s->object.object;
}

static bool
is_own(const Share *s)
{
    for (u32 k = 0; k < s->object.index_count; k++) {
        bool own = is_injective(s, s->object.index[k]);
        for (u32 i = 0; own && i < s->accesses.count; i++)
            if (is_object(s, &s->accesses.items[i]))
                own = same_value(s, s->object.index[k], s->accesses.items[i].index[k], 4);
        if (own)
            return true;
    }
    return false;
}

/* ---- equal writes ---- */

static u8
join(u8 a, u8 b)
{
    return a > b ? a : b;
}

static u8
class_of(const Share *s, KirValue value)
{
    return value == s->key ? BY_KEY : is_inside(s, value) ? s->class_of[value] : SAME;
}

static bool
is_written(const Share *s, bool is_buffer, u32 object)
{
    for (u32 i = 0; i < s->accesses.count; i++)
        if (s->accesses.items[i].is_write && s->accesses.items[i].is_buffer == is_buffer &&
            s->accesses.items[i].object == object)
            return true;
    return false;
}

static u8
class_of_node(const Share *s, const KirNode *node)
{
    u8 class = SAME;
    for (u32 i = 0; i < rxn__kir_ops[node->op].arity; i++)
        class = join(class, class_of(s, node->args[i]));
    for (u32 i = 0; i < node->index_count; i++)
        class = join(class, class_of(s, node->index[i]));
    if (node->op == KIR_GET && s->set_local[node->object] == s->stamp)
        class = join(class, s->local_class[node->object]);
    if ((node->op == KIR_GET && node->index_count && is_written(s, false, node->object)) ||
        (node->op == KIR_LOAD && is_written(s, true, node->object)))
        class = BY_ITERATION;
    return class;
}

/* False if the object is written in a way that depends on more than the key. */
static bool
classify(Share *s, const KirBlock *block, u8 control)
{
    bool good = true;
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *st = &block->items[i];
        u8 class = control;
        switch ((KirStatementKind)st->kind) {
        case KIR_DEFINE: s->class_of[st->value] = class_of_node(s, node_of(s, st->value)); break;
        case KIR_SET:
            class = join(class, class_of(s, st->value));
            if (s->plan->locals[st->object].place == CUDA_SCALAR &&
                class > s->local_class[st->object]) {
                s->local_class[st->object] = class;
                s->changed = true;
            }
            if (!s->object.is_buffer && st->object == s->object.object && class > BY_KEY)
                good = false;
            break;
        case KIR_STORE:
            class = join(class, class_of(s, st->value));
            if (s->object.is_buffer && st->object == s->object.object && class > BY_KEY)
                good = false;
            break;
        case KIR_IF:
            class = join(class, class_of(s, st->value));
            good = classify(s, &st->body, class) && good;
            good = classify(s, &st->otherwise, class) && good;
            break;
        case KIR_FOR:
            class = join(class, join(class_of(s, st->index[0]), class_of(s, st->index[1])));
            if (rxn__kir_has_break(&st->body))
                class = BY_ITERATION;
            s->class_of[st->value] = class;
            good = classify(s, &st->body, class) && good;
            break;
        case KIR_LOOP: good = classify(s, &st->body, BY_ITERATION) && good; break;
        case KIR_BREAK:
        case KIR_TRAP: break;
        }
    }
    return good;
}

static bool
is_equal(Share *s)
{
    s->key = 0;
    for (u32 k = 0; k < s->object.index_count; k++)
        if (is_inside(s, s->object.index[k])) {
            if (s->key)
                return false;
            s->key = s->object.index[k];
        }
    if (!s->key || s->key == s->loop->value)
        return false;
    for (u32 i = 0; i < s->accesses.count; i++) {
        const Access *access = &s->accesses.items[i];
        if (!is_object(s, access))
            continue;
        if (!access->is_write)
            return false;
        for (u32 k = 0; k < access->index_count; k++)
            if (access->index[k] != s->object.index[k])
                return false;
    }
    for (u32 i = 0; i < s->scalars.count; i++)
        s->local_class[s->scalars.items[i]] = SAME;
    bool good;
    s->class_of[s->loop->value] = BY_ITERATION;
    do {
        s->changed = false;
        good = classify(s, &s->loop->body, SAME);
    } while (s->changed);
    return good;
}

/* ---- */

static bool
is_worth_it(const Share *s)
{
    const KirNode *lo = node_of(s, s->loop->index[0]), *hi = node_of(s, s->loop->index[1]);
    return lo->op != KIR_CONST || hi->op != KIR_CONST ||
           (i64)hi->bits - (i64)lo->bits >= SHARE_LEAST;
}

static bool
can_share(Share *s, const KirStatement *loop)
{
    s->loop = loop;
    s->stamp++;
    s->accesses.count = s->scalars.count = 0;
    s->refused = s->traps = false;
    if (!is_worth_it(s) || rxn__kir_has_break(&loop->body))
        return false;
    s->inside[loop->value] = s->stamp;
    collect(s, &loop->body);
    if (s->refused)
        return false;
    bool writes = s->traps;
    for (u32 i = 0; i < s->accesses.count; i++) {
        s->object = s->accesses.items[i];
        if (!s->object.is_write)
            continue;
        writes = true;
        if (s->traps && !s->object.is_buffer && is_witness(s, s->object.object))
            return false;
        if (!is_own(s) && !is_equal(s))
            return false;
    }
    for (u32 i = 0; writes && i < s->scalars.count; i++)
        if (!is_private(s, s->scalars.items[i]))
            return false;
    return writes;
}

static void
share_block(Share *s, const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *st = &block->items[i];
        if (st->kind == KIR_FOR && can_share(s, st)) {
            s->plan->shared_out[st->value] = true;
            continue;
        }
        share_block(s, &st->body);
        share_block(s, &st->otherwise);
    }
}

void
rxn__cuda_share_loops(CudaPlan *plan, KirRegion region, Arena *arena)
{
    const KirKernel *kernel = plan->kernel;
    Share s = {.kernel = kernel, .plan = plan, .arena = arena};
    s.inside = NEW_ARRAY(arena, u32, kernel->values.count + 1);
    s.set_local = NEW_ARRAY(arena, u32, kernel->locals.count + 1);
    s.class_of = NEW_ARRAY(arena, u8, kernel->values.count + 1);
    s.local_class = NEW_ARRAY(arena, u8, kernel->locals.count + 1);
    share_block(&s, &kernel->regions[region]);
}
