/* plan.c: the shape of a kernel on the GPU, and where each local lives.
 *
 * Scalars are variables, which become registers; so are arrays that only constants index, up to a number. A kernel
 * with more scalars than that (two copies of a state, a running sum for each parameter) would have them in local
 * memory; so those that it mentions least are arrays of one element. What decides the shape is the size of the
 * arrays that are none of the former (`state`, in bytes, tapes apart):
 *
 *   thread   state <= 3 KiB. One thread a trajectory costs no instruction twice, so it is best as long as the
 *            arrays of a whole warp fit in a block's shared memory: 32 x 3 KiB = 96 KiB, of the 99 KiB that all
 *            GPUs since sm_80 give (sm_75: 64 KiB). They lie there with the threads side by side, element i of
 *            thread k at i*threads + k: no two threads of a warp ever meet in a bank, whatever their indices
 *            are. A block has as many threads as fit in 48 KiB, 128 at most, so that several blocks are
 *            resident on a multiprocessor.
 *   warp     state <= 48 KiB, the shared memory that a block has without being asked for more: tables and
 *            families, whose arrays follow the network's size. As many warps (trajectories) a block as fit,
 *            4 at most.
 *   block    beyond. 128 threads. Small arrays are in shared memory (96 KiB at most), the others in the
 *            workspace, where neighbouring threads reach neighbouring elements in the loops that they share.
 *
 * Tapes are in the workspace always. With one thread a trajectory element i of worker w is at i*workers + w, so
 * that the threads of a warp, which are at about the same place of their tapes, touch the same lines of memory;
 * for a warp or a block each worker's arrays are in one piece.
 */
#include "compiler/target/cuda/cuda.h"

enum {
    CROWDED = 1500,      /* values of a kernel: with more, registers have been too few */
    SPLIT_MOST = 64,     /* elements of an array that becomes variables, */
    VARIABLE_MOST = 128, /* and 32-bit words of all variables: more would not stay in registers */
    SCALAR_MOST = 100,   /* of them, of scalars; where there are more, */
    SCALAR_LEFT = 64,    /* so many are left */
    THREAD_STATE = 3 * 1024,
    SHARED_FREE = 48 * 1024,
    SHARED_MOST = 96 * 1024,
    TEAM_HEAD = 32, /* bytes before a team's arrays: struct RxnTeam */
    BLOCK_THREADS = 128,
    UNIFORM_THREADS = 256,
    CONSTANT_MOST = 60000, /* of the 64 KiB that a module's __constant__ variables have */
};

typedef struct Planner {
    CudaPlan *plan;
    const KirKernel *kernel;
    Arena *arena;
    bool *dynamic_index; /* per local */
    bool *of_launch;     /* per value: defined in launch */
    u32 *mentions;       /* per local: statements and values that read or set it */
    bool *in_loop;       /* per local: one of them is in a loop that may be shared out */
    KirRegion region;
    u32 loops; /* such ones around */
} Planner;

static void
note_value(Planner *p, KirValue value)
{
    if (p->region == KIR_LAUNCH)
        return;
    if (p->of_launch[value] && p->kernel->values.items[value].op != KIR_CONST)
        p->plan->is_constant[value] = true;
}

static void
note_local(Planner *p, u32 local, u32 index_count, KirValue index)
{
    p->mentions[local]++;
    p->in_loop[local] |= p->loops > 0;
    if (index_count > 0 && p->kernel->values.items[index].op != KIR_CONST)
        p->dynamic_index[local] = true;
}

static void
note_block(Planner *p, const KirBlock *block)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *s = &block->items[i];
        if (s->kind == KIR_DEFINE) {
            const KirNode *node = &p->kernel->values.items[s->value];
            p->of_launch[s->value] = p->region == KIR_LAUNCH;
            for (u32 k = 0; k < rxn__kir_ops[node->op].arity; k++)
                note_value(p, node->args[k]);
            for (u32 k = 0; k < node->index_count; k++)
                note_value(p, node->index[k]);
            if (node->op == KIR_GET)
                note_local(p, node->object, node->index_count, node->index[0]);
            if (node->op == KIR_LOAD)
                p->plan->buffer_read[node->object] = true;
            continue;
        }
        if (s->kind == KIR_SET || s->kind == KIR_STORE || s->kind == KIR_IF || s->kind == KIR_TRAP)
            note_value(p, s->value);
        for (u32 k = 0; k < s->index_count; k++)
            note_value(p, s->index[k]);
        if (s->kind == KIR_FOR) {
            note_value(p, s->index[0]);
            note_value(p, s->index[1]);
        }
        p->loops += s->kind == KIR_FOR;
        if (s->kind == KIR_SET)
            note_local(p, s->object, s->index_count, s->index[0]);
        note_block(p, &s->body);
        p->loops -= s->kind == KIR_FOR;
        note_block(p, &s->otherwise);
    }
}

static u64
round_up(u64 bytes, u64 to)
{
    return (bytes + to - 1) / to * to;
}

static u64
array_bytes(const KirLocal *local)
{
    u64 element = local->storage ? local->storage : rxn__kir_type_bytes[local->type];
    return round_up(element * rxn__cuda_length(local), 8);
}

/* ---- launch ---- */

/* The members of RxnConstants stand by size, so that there is nothing between them. */
static void
place_uniform(Planner *p)
{
    CudaPlan *plan = p->plan;
    u64 bytes = 0, largest = 1;
    for (u32 v = 1; v < p->kernel->values.count; v++)
        if (plan->is_constant[v]) {
            u64 size = rxn__kir_type_bytes[p->kernel->values.items[v].type];
            bytes += size;
            largest = size > largest ? size : largest;
        }
    for (u32 i = 0; i < p->kernel->locals.count; i++) {
        const KirLocal *local = &p->kernel->locals.items[i];
        if (local->uniform && plan->locals[i].place <= CUDA_SPLIT) {
            u64 size = rxn__kir_type_bytes[local->type];
            bytes += size * rxn__cuda_length(local);
            largest = size > largest ? size : largest;
        }
    }
    plan->constant_bytes = plan->constants_size = round_up(bytes, largest);
    plan->uniform_bytes = round_up(plan->constants_size, 8);
    for (u32 i = 0; i < p->kernel->locals.count; i++)
        if (plan->locals[i].place == CUDA_UNIFORM) {
            plan->locals[i].offset = plan->uniform_bytes;
            plan->uniform_bytes += array_bytes(&p->kernel->locals.items[i]);
        }
    plan->has_launch = plan->uniform_bytes > 0;
    plan->uniform_threads = UNIFORM_THREADS;
}

/* ---- trajectories ---- */

static bool
is_array_of_trajectory(const Planner *p, u32 i)
{
    const KirLocal *local = &p->kernel->locals.items[i];
    return !local->uniform && !local->storage && p->plan->locals[i].place > CUDA_SPLIT;
}

static u64
state_bytes(const Planner *p)
{
    u64 bytes = 0;
    for (u32 i = 0; i < p->kernel->locals.count; i++)
        if (is_array_of_trajectory(p, i))
            bytes += array_bytes(&p->kernel->locals.items[i]);
    return bytes;
}

static u32
words_of(const KirLocal *local)
{
    return rxn__cuda_length(local) * (rxn__kir_type_bytes[local->type] > 4 ? 2 : 1);
}

static bool
is_scalar_of_trajectory(const Planner *p, u32 i)
{
    return !p->kernel->locals.items[i].uniform && p->plan->locals[i].place == CUDA_SCALAR;
}

static u32
scalar_words(const Planner *p)
{
    u32 words = 0;
    for (u32 i = 0; i < p->kernel->locals.count; i++)
        if (is_scalar_of_trajectory(p, i))
            words += words_of(&p->kernel->locals.items[i]);
    return words;
}

/* Where there are too many, those that are mentioned least become arrays. A loop over the threads of a trajectory could not
 * be shared out with such a one in it. */
static void
limit_scalars(Planner *p)
{
    u32 words = scalar_words(p);
    while (words > (p->plan->is_crowded ? SCALAR_LEFT : SCALAR_MOST)) {
        p->plan->is_crowded = true;
        u32 least = UINT32_MAX;
        for (u32 i = 0; i < p->kernel->locals.count; i++)
            if (is_scalar_of_trajectory(p, i) && words_of(&p->kernel->locals.items[i]) > 1 &&
                !p->in_loop[i] && (least == UINT32_MAX || p->mentions[i] < p->mentions[least]))
                least = i;
        if (least == UINT32_MAX)
            return;
        p->plan->locals[least].place = CUDA_WORKSPACE;
        words -= words_of(&p->kernel->locals.items[least]);
    }
}

/* Arrays that only constants index become variables: those of launch, as far as they are short; those of a
 * trajectory, smallest first, as long as there are registers. An array of one element has one index. */
static void
split_arrays(Planner *p)
{
    const KirKernel *kernel = p->kernel;
    u32 words = scalar_words(p);
    for (;;) {
        u32 smallest = UINT32_MAX;
        for (u32 i = 0; i < kernel->locals.count; i++) {
            const KirLocal *local = &kernel->locals.items[i];
            u8 place = p->plan->locals[i].place;
            if ((place != CUDA_WORKSPACE && place != CUDA_UNIFORM) || local->length == 0 ||
                local->length > SPLIT_MOST || (p->dynamic_index[i] && local->length > 1))
                continue;
            if (local->uniform || local->length == 1)
                p->plan->locals[i].place = CUDA_SPLIT;
            else if (smallest == UINT32_MAX ||
                     words_of(local) < words_of(&kernel->locals.items[smallest]))
                smallest = i;
        }
        if (smallest == UINT32_MAX)
            return;
        words += words_of(&kernel->locals.items[smallest]);
        if (words > VARIABLE_MOST)
            return;
        p->plan->locals[smallest].place = CUDA_SPLIT;
    }
}

/* Smallest arrays first, as long as `most` bytes last. Returns how many are taken. */
static u64
place_shared(Planner *p, u64 taken, u64 most)
{
    for (;;) {
        u32 smallest = UINT32_MAX;
        for (u32 i = 0; i < p->kernel->locals.count; i++)
            if (is_array_of_trajectory(p, i) && p->plan->locals[i].place == CUDA_WORKSPACE &&
                (smallest == UINT32_MAX || array_bytes(&p->kernel->locals.items[i]) <
                                               array_bytes(&p->kernel->locals.items[smallest])))
                smallest = i;
        if (smallest == UINT32_MAX ||
            taken + array_bytes(&p->kernel->locals.items[smallest]) > most)
            return taken;
        p->plan->locals[smallest] = (CudaLocal){CUDA_SHARED, taken};
        taken += array_bytes(&p->kernel->locals.items[smallest]);
    }
}

static void
place_trajectory(Planner *p, u32 force)
{
    CudaPlan *plan = p->plan;
    u64 state = state_bytes(p);
    plan->shape = force                                   ? (RxnCudaShape)(force - 1)
                  : state <= THREAD_STATE                 ? RXN_CUDA_THREAD
                  : state + TEAM_HEAD <= (u64)SHARED_FREE ? RXN_CUDA_WARP
                                                          : RXN_CUDA_BLOCK;
    u64 most = plan->shape == RXN_CUDA_THREAD ? THREAD_STATE
               : plan->shape == RXN_CUDA_WARP ? SHARED_FREE
                                              : SHARED_MOST;
    u64 taken = place_shared(p, plan->shape == RXN_CUDA_THREAD ? 0 : TEAM_HEAD, most);
    plan->team_bytes = (u32)taken;
    if (plan->shape == RXN_CUDA_THREAD) {
        plan->team_threads = 1;
        plan->block_threads = BLOCK_THREADS;
        while (plan->block_threads > 32 && taken * plan->block_threads > SHARED_FREE)
            plan->block_threads /= 2;
        plan->shared_bytes = (u32)taken * plan->block_threads;
        plan->team_bytes = 0;
    } else if (plan->shape == RXN_CUDA_WARP) {
        u32 warps = (u32)(SHARED_FREE / taken);
        warps = warps > 4 ? 4 : warps;
        plan->team_threads = 32;
        plan->block_threads = 32 * warps;
        plan->shared_bytes = (u32)taken * warps;
    } else {
        plan->team_threads = plan->block_threads = BLOCK_THREADS;
        plan->shared_bytes = (u32)taken;
    }

    /* Tapes come last: what is never written stays behind what is used. */
    for (u32 tapes = 0; tapes < 2; tapes++)
        for (u32 i = 0; i < p->kernel->locals.count; i++)
            if (plan->locals[i].place == (tapes ? CUDA_TAPE : CUDA_WORKSPACE)) {
                plan->locals[i].offset = plan->workspace_bytes;
                plan->workspace_bytes += array_bytes(&p->kernel->locals.items[i]);
            }
    if (plan->shape != RXN_CUDA_THREAD)
        plan->workspace_bytes = round_up(plan->workspace_bytes, 128);
}

CudaPlan *
rxn__cuda_plan(const KirKernel *kernel, u32 force, Arena *arena)
{
    CudaPlan *plan = NEW(arena, CudaPlan);
    plan->kernel = kernel;
    plan->locals = NEW_ARRAY(arena, CudaLocal, kernel->locals.count + 1);
    plan->is_constant = NEW_ARRAY(arena, bool, kernel->values.count + 1);
    plan->shared_out = NEW_ARRAY(arena, bool, kernel->values.count + 1);
    plan->buffer_read = NEW_ARRAY(arena, bool, kernel->buffers.count + 1);
    Planner p = {.plan = plan, .kernel = kernel, .arena = arena};
    p.dynamic_index = NEW_ARRAY(arena, bool, kernel->locals.count + 1);
    p.of_launch = NEW_ARRAY(arena, bool, kernel->values.count + 1);
    p.mentions = NEW_ARRAY(arena, u32, kernel->locals.count + 1);
    p.in_loop = NEW_ARRAY(arena, bool, kernel->locals.count + 1);
    for (u32 region = 0; region < KIR_REGION_COUNT; region++) {
        p.region = (KirRegion)region;
        note_block(&p, &kernel->regions[region]);
    }
    for (u32 i = 0; i < kernel->locals.count; i++) {
        const KirLocal *local = &kernel->locals.items[i];
        plan->locals[i].place = local->storage       ? CUDA_TAPE
                                : local->length == 0 ? CUDA_SCALAR
                                : local->uniform     ? CUDA_UNIFORM
                                                     : CUDA_WORKSPACE;
    }
    limit_scalars(&p);
    plan->is_crowded |= kernel->values.count > CROWDED;
    split_arrays(&p);
    place_uniform(&p);
    place_trajectory(&p, force);
    for (u32 region = 0; region < KIR_REGION_COUNT; region++)
        if (region == KIR_LAUNCH || plan->shape != RXN_CUDA_THREAD)
            rxn__cuda_share_loops(plan, (KirRegion)region, arena);
    if (plan->constant_bytes > CONSTANT_MOST)
        plan->constant_bytes = 0; /* they are read from launch.uniform then */
    return plan;
}

bool
rxn__cuda_shares_statically(const CudaPlan *plan, const TargetOptions *options)
{
    return options->differentiates && plan->is_crowded && plan->shape == RXN_CUDA_THREAD &&
           plan->shared_bytes <= SHARED_FREE;
}
