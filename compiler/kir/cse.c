/* cse.c: a value that is known already is not computed again, and a local that was just written is
 * not read.
 *
 * Why: methods are written one reaction at a time and read the state wherever they need it; and a
 * local that is only set and read again within one block is no local at all. Pure values are shared
 * by the builder while the kernel is copied through it. This pass adds what depends on order: two
 * `get`s of a local are equal if no `set` of it can have come between, the `get` after a `set` is the
 * value that was set, and likewise for the buffers that the kernel writes.
 *
 *   before                              after
 *     %1 = get.f64 t                      %1 = get.f64 t
 *     %2 = add.f64 %1, %1                 %2 = add.f64 %1, %1
 *     set t, %2                           set t, %2
 *     %3 = get.f64 t                      set x, %2
 *     set x, %3
 *
 * How: each local and each writable buffer has a version, which every set (or store) of it changes.
 * What was read or written is kept with the version it belongs to, and found again while that is the
 * current one and its block is open. Where ways meet, versions change: after an `if`, of all that a
 * branch that falls through has set; at the start of a loop's body and after it, of all that the
 * loop sets. A branch that ends in `trap` or `break` never comes back, so it changes nothing for
 * what follows. A `set` of one element counts as a set of the whole array.
 *
 * Two facts of KIR help at the edges: a trajectory's locals start as zero (but for tapes), so a `get`
 * that no `set` can have preceded is the constant; and launch is over before the rest begins, so what its top
 * block has set in a uniform local is known everywhere.
 */
#include "compiler/kir/internal.h"

/* What an element of an object holds, at a version of it. */
typedef struct Known {
    KirValue index[KIR_MAX_RANK];
    KirValue value;
    u32 object, version, hash;
    u32 next; /* in its bucket: number + 1 of an older one, or 0 */
} Known;

typedef struct Change {
    u32 object, version; /* the version that it had before */
} Change;

/* An object is a local, or a buffer counted on from the locals. */
typedef struct Sharing {
    KirRewriter rewriter;
    Arena *arena;
    u32 local_count, object_count;
    u32 *version;
    u32 newest;
    VEC(Change) changes; /* in the blocks that are open */
    VEC(Known) known;
    u32 *buckets;
    u32 bucket_count;
    bool *ever_set;
    u32 zero_until; /* in init: locals at this version have not been set so far */
    bool in_init;
} Sharing;

static void
change_version(Sharing *sharing, u32 object)
{
    Change change = {.object = object, .version = sharing->version[object]};
    vec_push(sharing->arena, &sharing->changes, change);
    sharing->version[object] = ++sharing->newest;
}

static u32
object_of(const Sharing *sharing, bool local, u32 number)
{
    return local ? number : sharing->local_count + number;
}

/* ---- What is known */

static u32
key_hash(u32 object, const KirValue index[KIR_MAX_RANK])
{
    u64 h = hash_mix(object, index[0]);
    h = hash_mix(hash_mix(h, index[1]), index[2]);
    return (u32)(h ^ h >> 32);
}

/* The newest entry of a key decides: an older one has an older version still. */
static KirValue
find_known(const Sharing *sharing, u32 object, const KirValue index[KIR_MAX_RANK])
{
    const u32 hash = key_hash(object, index);
    u32 number = sharing->buckets[hash & (sharing->bucket_count - 1)];
    for (; number; number = sharing->known.items[number - 1].next) {
        const Known *known = &sharing->known.items[number - 1];
        if (known->hash == hash && known->object == object &&
            memcmp(known->index, index, sizeof known->index) == 0)
            return known->version == sharing->version[object] ? known->value : 0;
    }
    return 0;
}

static void
link_known(Sharing *sharing, u32 number)
{
    Known *known = &sharing->known.items[number];
    u32 *bucket = &sharing->buckets[known->hash & (sharing->bucket_count - 1)];
    known->next = *bucket;
    *bucket = number + 1;
}

static void
remember(Sharing *sharing, u32 object, const KirValue index[KIR_MAX_RANK], KirValue value)
{
    Known known = {.object = object,
                   .value = value,
                   .version = sharing->version[object],
                   .hash = key_hash(object, index)};
    memcpy(known.index, index, sizeof known.index);
    vec_push(sharing->arena, &sharing->known, known);
    if (sharing->known.count <= sharing->bucket_count) {
        link_known(sharing, sharing->known.count - 1);
        return;
    }
    sharing->bucket_count *= 2;
    sharing->buckets = NEW_ARRAY(sharing->arena, u32, sharing->bucket_count);
    for (u32 i = 0; i < sharing->known.count; i++)
        link_known(sharing, i);
}

static void
forget_known(Sharing *sharing, u32 mark)
{
    while (sharing->known.count > mark) {
        const Known *known = &sharing->known.items[--sharing->known.count];
        sharing->buckets[known->hash & (sharing->bucket_count - 1)] = known->next;
    }
}

/* ---- Values */

static bool
starts_as_zero(const KirLocal *local)
{
    return !local->uniform && !local->storage;
}

static KirValue
share_read(KirRewriter *rewriter, const KirNode *mapped)
{
    Sharing *sharing = rewriter->context;
    const bool local = mapped->op == KIR_GET;
    if (!local && mapped->op != KIR_LOAD)
        return 0;
    if (!local && !rewriter->from->buffers.items[mapped->object].writable)
        return 0; /* pure: the builder shares it */
    const u32 object = object_of(sharing, local, mapped->object);
    if (local && starts_as_zero(&rewriter->from->locals.items[object]) &&
        (!sharing->ever_set[object] ||
         (sharing->in_init && sharing->version[object] <= sharing->zero_until)))
        return rxn__kir_const_bits(rewriter->to, (KirType)mapped->type, 0);
    KirValue value = find_known(sharing, object, mapped->index);
    if (!value) {
        value = rxn__kir_node(rewriter->to, *mapped);
        remember(sharing, object, mapped->index, value);
    }
    return value;
}

/* ---- Statements */

/* A tape whose elements are narrower than its type. */
static bool
is_cut(const KirLocal *local)
{
    return local->storage && local->storage < rxn__kir_type_bytes[local->type];
}

static void
share_write(Sharing *sharing, const KirStatement *statement)
{
    const KirValue *map = sharing->rewriter.map;
    const u32 object = object_of(sharing, statement->kind == KIR_SET, statement->object);
    KirValue index[KIR_MAX_RANK] = {0};
    for (u32 i = 0; i < statement->index_count; i++)
        index[i] = map[statement->index[i]];
    rxn__kir_rewrite_statement(&sharing->rewriter, statement);
    change_version(sharing, object);
    if (statement->kind == KIR_SET && is_cut(&sharing->rewriter.from->locals.items[object]))
        return; /* what is read there is less than what was written */
    remember(sharing, object, index, map[statement->value]);
}

static void
share_block(Sharing *sharing, const KirBlock *block)
{
    const u32 mark = sharing->known.count;
    rxn__kir_rewrite_block(&sharing->rewriter, block);
    forget_known(sharing, mark);
}

/* Walks a branch and takes its changes back. What it has changed for those that come after the `if`
 * is returned: nothing, if it does not fall through. */
static void
share_branch(Sharing *sharing, const KirBlock *block, Change **ret_changed, u32 *ret_count)
{
    const u32 mark = sharing->changes.count;
    share_block(sharing, block);
    const u32 count = sharing->changes.count - mark;
    const bool ends = block->count && rxn__kir_ends_block(&block->items[block->count - 1]);
    *ret_count = ends ? 0 : count;
    *ret_changed = NEW_ARRAY(sharing->arena, Change, count);
    if (count)
        memcpy(*ret_changed, &sharing->changes.items[mark], count * sizeof **ret_changed);
    while (sharing->changes.count > mark) {
        const Change *change = &sharing->changes.items[--sharing->changes.count];
        sharing->version[change->object] = change->version;
    }
}

static void
share_if(Sharing *sharing, const KirStatement *statement)
{
    KirBuilder *to = sharing->rewriter.to;
    Change *changed[2];
    u32 count[2] = {0};
    (statement->seldom ? rxn__kir_if_seldom : rxn__kir_if)(to,
                                                           sharing->rewriter.map[statement->value]);
    share_branch(sharing, &statement->body, &changed[0], &count[0]);
    if (statement->otherwise.count) {
        rxn__kir_else(to);
        share_branch(sharing, &statement->otherwise, &changed[1], &count[1]);
    }
    rxn__kir_close(to);
    for (u32 branch = 0; branch < 2; branch++)
        for (u32 i = 0; i < count[branch]; i++)
            change_version(sharing, changed[branch][i].object);
}

static void
change_all_set_in(Sharing *sharing, const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *statement = &block->items[i];
        if (statement->kind == KIR_SET || statement->kind == KIR_STORE)
            change_version(sharing,
                           object_of(sharing, statement->kind == KIR_SET, statement->object));
        change_all_set_in(sharing, &statement->body);
        change_all_set_in(sharing, &statement->otherwise);
    }
}

static void
share_loop(Sharing *sharing, const KirStatement *statement)
{
    KirRewriter *rewriter = &sharing->rewriter;
    change_all_set_in(sharing, &statement->body);
    if (statement->kind == KIR_LOOP)
        rxn__kir_loop(rewriter->to);
    else
        rewriter->map[statement->value] = (statement->down ? rxn__kir_for_down : rxn__kir_for)(
            rewriter->to, rewriter->map[statement->index[0]], rewriter->map[statement->index[1]]);
    share_block(sharing, &statement->body);
    rxn__kir_close(rewriter->to);
    change_all_set_in(sharing, &statement->body);
}

static bool
share_statement(KirRewriter *rewriter, const KirStatement *statement)
{
    Sharing *sharing = rewriter->context;
    switch ((KirStatementKind)statement->kind) {
    case KIR_SET:
    case KIR_STORE: share_write(sharing, statement); return true;
    case KIR_IF: share_if(sharing, statement); return true;
    case KIR_FOR:
    case KIR_LOOP: share_loop(sharing, statement); return true;
    default: return false;
    }
}

static void
find_sets(Sharing *sharing, const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *statement = &block->items[i];
        if (statement->kind == KIR_SET)
            sharing->ever_set[statement->object] = true;
        find_sets(sharing, &statement->body);
        find_sets(sharing, &statement->otherwise);
    }
}

/* Nothing is known of the trajectory's objects; the uniform locals keep what launch has set. */
static void
start_region(Sharing *sharing, KirRegion region)
{
    const KirKernel *kernel = sharing->rewriter.from;
    sharing->newest++;
    for (u32 object = 0; object < sharing->object_count; object++)
        if (object >= sharing->local_count || !kernel->locals.items[object].uniform)
            sharing->version[object] = sharing->newest;
    sharing->in_init = region == KIR_INIT;
    sharing->zero_until = sharing->newest;
}

bool
rxn__kir_cse(KirKernel *kernel)
{
    enum { FIRST_BUCKETS = 256 }; /* a power of two */
    Sharing *sharing = NEW(kernel->arena, Sharing);
    rxn__kir_rewriter_init(&sharing->rewriter, kernel, false);
    sharing->rewriter.context = sharing;
    sharing->rewriter.value = share_read;
    sharing->rewriter.statement = share_statement;
    sharing->arena = kernel->arena;
    sharing->local_count = kernel->locals.count;
    sharing->object_count = kernel->locals.count + kernel->buffers.count;
    sharing->version = NEW_ARRAY(kernel->arena, u32, sharing->object_count + 1);
    sharing->ever_set = NEW_ARRAY(kernel->arena, bool, sharing->object_count + 1);
    sharing->bucket_count = FIRST_BUCKETS;
    sharing->buckets = NEW_ARRAY(kernel->arena, u32, FIRST_BUCKETS);
    for (u32 region = 0; region < KIR_REGION_COUNT; region++)
        find_sets(sharing, &kernel->regions[region]);
    for (u32 region = 0; region < KIR_REGION_COUNT; region++) {
        start_region(sharing, (KirRegion)region);
        rxn__kir_region(sharing->rewriter.to, (KirRegion)region);
        const u32 mark = sharing->known.count;
        rxn__kir_rewrite_block(&sharing->rewriter, &kernel->regions[region]);
        if (region != KIR_LAUNCH)
            forget_known(sharing, mark);
    }
    return rxn__kir_replace(kernel, sharing->rewriter.to->kernel);
}
