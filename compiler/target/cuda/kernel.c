/* kernel.c: the frames around the regions: the functions rxn_uniform and rxn_kernel. */
#include "compiler/target/cuda/cuda.h"

#include <inttypes.h>
#include <string.h>

enum {
    SHORT_STEP = 500, /* values of a kernel that simulates: with fewer, its registers are few */
    TURNS = 32768, /* of the loop of steps, between two looks at *cancel: some ten milliseconds */
    TEAM_TURNS = 4096, /* a team's steps take longer */
    LONG_TURNS = 16,   /* where step is empty, and a turn is a whole trajectory */
};

/* ---- declarations ---- */

static void
declare_buffers(CudaText *c, Text *out, const char *body)
{
    for (u32 i = 0; i < c->kernel->buffers.count; i++) {
        const KirBuffer *buffer = &c->kernel->buffers.items[i];
        KirType type = (KirType)buffer->type;
        const char *word = rxn__cuda_memory_type(type, rxn__kir_type_bytes[type]);
        if (rxn__cuda_mentions(body, c->buffer[i]))
            rxn__text_printf(out, "    %s%s *const %s = (%s%s *)launch.buffer[%u];\n",
                             buffer->writable ? "" : "const ", word, c->buffer[i],
                             buffer->writable ? "" : "const ", word, i);
    }
}

static u32
element_bytes(const KirLocal *local)
{
    return local->storage ? local->storage : rxn__kir_type_bytes[local->type];
}

/* With one thread a trajectory all arrays in the workspace are reached from one address for each size of
 * elements: a pointer for each array would take two registers each, all the time. */
static void
define_array(CudaText *c, Text *out, u32 i)
{
    const KirLocal *local = &c->kernel->locals.items[i];
    u64 first = c->plan->locals[i].offset / element_bytes(local);
    const char *word = rxn__cuda_memory_type((KirType)local->type, element_bytes(local));
    bool narrow = first + local->length <= UINT32_MAX;
    rxn__text_printf(out,
                     narrow ? "#define %s(i) work_%s[(u64)((u32)(i) + %" PRIu64 "u) * workers]"
                            : "#define %s(i) work_%s[((u64)(u32)(i) + %" PRIu64 "ull) * workers]",
                     c->local[i], word, first);
    rxn__text_printf(out, " /* [%u] */\n", rxn__cuda_length(local));
}

static void
declare_workspace(CudaText *c, Text *out)
{
    static const char *const words[] = {"u8", "u16", "i32", "u32", "i64", "u64", "f32", "f64"};
    for (u32 k = 0; k < COUNT_OF(words); k++) {
        bool used = false;
        for (u32 i = 0; i < c->kernel->locals.count; i++) {
            const KirLocal *local = &c->kernel->locals.items[i];
            u8 place = c->plan->locals[i].place;
            used = used || ((place == CUDA_WORKSPACE || place == CUDA_TAPE) &&
                            strcmp(words[k], rxn__cuda_memory_type((KirType)local->type,
                                                                   element_bytes(local))) == 0);
        }
        if (used)
            rxn__text_printf(out, "    %s *const work_%s = (%s *)launch.workspace + worker;\n",
                             words[k], words[k], words[k]);
    }
}

static void
declare_array(CudaText *c, Text *out, u32 i)
{
    const KirLocal *local = &c->kernel->locals.items[i];
    const CudaPlan *plan = c->plan;
    u64 offset = plan->locals[i].offset;
    const char *word = rxn__cuda_memory_type((KirType)local->type, element_bytes(local));
    if (plan->shape == RXN_CUDA_THREAD &&
        (plan->locals[i].place == CUDA_WORKSPACE || plan->locals[i].place == CUDA_TAPE)) {
        define_array(c, out, i);
        return;
    }
    bool fixed = rxn__cuda_is_fixed(c, i), thread = plan->shape == RXN_CUDA_THREAD;
    rxn__text_printf(out, "    %s%s *const %s = (%s%s *)", fixed ? "const " : "", word, c->local[i],
                     fixed ? "const " : "", word);
    switch ((CudaPlace)plan->locals[i].place) {
    case CUDA_UNIFORM: rxn__text_printf(out, "(launch.uniform + %" PRIu64 "u);", offset); break;
    case CUDA_SHARED:
        if (thread)
            rxn__text_printf(out, "((u8 *)rxn_shared + %" PRIu64 "u) + threadIdx.x;",
                             offset * plan->block_threads);
        else
            rxn__text_printf(out, "((u8 *)team + %" PRIu64 "u);", offset);
        break;
    default:
        rxn__text_printf(out, "(launch.workspace + %" PRIu64 "ull * worker + %" PRIu64 "ull);",
                         plan->workspace_bytes, offset);
    }
    rxn__text_printf(out, " /* [%u] */\n", rxn__cuda_length(local));
}

/* The locals of one kind: uniform or not. */
static void
declare_locals(CudaText *c, Text *out, const char *body, bool uniform)
{
    for (u32 i = 0; i < c->kernel->locals.count; i++) {
        const KirLocal *local = &c->kernel->locals.items[i];
        const char *type = rxn__cuda_type((KirType)local->type);
        u8 place = c->plan->locals[i].place;
        const char *zero = local->type == KIR_BOOL ? "false" : "0";
        if (place > CUDA_SPLIT) {
            if ((local->uniform == uniform || !uniform) && rxn__cuda_mentions(body, c->local[i]))
                declare_array(c, out, i);
        } else if (local->uniform == uniform) {
            if (place == CUDA_SCALAR && rxn__cuda_mentions(body, c->local[i]))
                rxn__text_printf(out, "    %s %s = %s;\n", type, c->local[i], zero);
            for (u32 k = 0; place == CUDA_SPLIT && k < local->length; k++)
                if (rxn__cuda_mentions(body, c->element[i][k]))
                    rxn__text_printf(out, "    %s %s = %s;\n", type, c->element[i][k], zero);
        }
    }
}

/* ---- rxn_uniform ---- */

static void
zero_array(CudaText *c, u32 i, u32 threads)
{
    const KirLocal *local = &c->kernel->locals.items[i];
    const char *element = rxn__cuda_element(c, i, "k");
    if (threads == 1)
        rxn__cuda_line(c, "for (i32 k = 0; k < %u; k++)", rxn__cuda_length(local));
    else
        rxn__cuda_line(c, "for (i32 k = (i32)rank; k < %u; k += %u)", rxn__cuda_length(local),
                       threads);
    rxn__cuda_line(c, "    %s = 0;", element);
}

void
rxn__cuda_write_uniform(CudaText *c, Text *out)
{
    const CudaPlan *plan = c->plan;
    rxn__text_init(&c->body, c->arena);
    c->team = true;
    c->barrier = "__syncthreads()";
    c->region = KIR_LAUNCH;
    c->indent = 1;
    for (u32 i = 0; i < c->kernel->locals.count; i++)
        if (plan->locals[i].place == CUDA_UNIFORM)
            zero_array(c, i, plan->uniform_threads);
    rxn__cuda_region(c, KIR_LAUNCH);
    if (plan->constants_size) {
        rxn__cuda_line(c, "if (rank == 0) {");
        c->indent++;
        rxn__cuda_line(c, "RxnConstants *const constants = (RxnConstants *)launch.uniform;");
        for (KirValue v = 1; v < c->kernel->values.count; v++)
            if (plan->is_constant[v])
                rxn__cuda_line(c, "constants->%s = %s;", c->constant[v], c->expression[v]);
        for (u32 i = 0; i < c->kernel->locals.count; i++) {
            if (!rxn__cuda_is_constant_local(c, i))
                continue;
            if (plan->locals[i].place == CUDA_SCALAR)
                rxn__cuda_line(c, "constants->%s = %s;", c->local[i], c->local[i]);
            for (u32 k = 0;
                 plan->locals[i].place == CUDA_SPLIT && k < c->kernel->locals.items[i].length; k++)
                rxn__cuda_line(c, "constants->%s = %s;", c->element[i][k], c->element[i][k]);
        }
        c->indent--;
        rxn__cuda_line(c, "}");
    }
    rxn__text_printf(out,
                     "/* The region `launch`, by one block: nothing is won with fewer registers "
                     "than it can use. */\n"
                     "RXN_C __global__ void __launch_bounds__(%u, 1)\n"
                     "rxn_uniform(const RxnLaunch launch)\n{\n"
                     "    const u32 rank = threadIdx.x;\n",
                     plan->uniform_threads);
    declare_buffers(c, out, c->body.data);
    declare_locals(c, out, c->body.data, true);
    rxn__text_append(out, c->body.data, c->body.length);
    rxn__text_printf(out, "}\n\n");
}

/* ---- rxn_kernel ---- */

static void
write_locals_zero(CudaText *c)
{
    const CudaPlan *plan = c->plan;
    bool arrays = false;
    for (u32 i = 0; i < c->kernel->locals.count; i++) {
        const KirLocal *local = &c->kernel->locals.items[i];
        const char *zero = local->type == KIR_BOOL ? "false" : "0";
        u8 place = plan->locals[i].place;
        if (local->uniform)
            continue;
        if (place == CUDA_SCALAR)
            rxn__cuda_line(c, "%s = %s;", c->local[i], zero);
        for (u32 k = 0; place == CUDA_SPLIT && k < local->length; k++)
            if (c->is_read[i][k])
                rxn__cuda_line(c, "%s = %s;", c->element[i][k], zero);
        if (place == CUDA_SHARED || place == CUDA_WORKSPACE) {
            if (c->team && !arrays)
                rxn__cuda_barrier(c);
            arrays = true;
            zero_array(c, i, plan->team_threads);
        }
    }
}

static void
write_block_of_region(CudaText *c, KirRegion region)
{
    if (c->kernel->regions[region].count == 0)
        return;
    rxn__cuda_line(c, "{");
    c->indent++;
    rxn__cuda_region(c, region);
    c->indent--;
    rxn__cuda_line(c, "}");
}

/* The next row, or the end. */
static void
write_take(CudaText *c)
{
    if (c->team) {
        rxn__cuda_barrier(c);
        rxn__cuda_line(c, "if (rank == 0) {");
        rxn__cuda_line(c, "    const u64 taken = atomicAdd((u64 *)launch.next, 1ull);");
        rxn__cuda_line(c,
                       "    team->row = *(const volatile u64 *)launch.fault < launch.first + taken "
                       "? launch.count : taken;");
        rxn__cuda_line(c, "}");
        rxn__cuda_barrier(c);
        rxn__cuda_line(c, "row = team->row;");
        rxn__cuda_line(c, "if (row >= launch.count)");
    } else {
        rxn__cuda_line(c, "row = atomicAdd((u64 *)launch.next, 1ull);");
        rxn__cuda_line(c, "if (row >= launch.count ||");
        rxn__cuda_line(c, "    *(const volatile u64 *)launch.fault < launch.first + row)");
    }
    rxn__cuda_line(c, "    return;");
    rxn__cuda_line(c, "trajectory = launch.first + row;");
}

static void
write_witness(CudaText *c)
{
    const KirKernel *kernel = c->kernel;
    u32 number = 0;
    for (u32 i = 0; i < kernel->witness.count; i++) {
        u32 local = kernel->witness.items[i],
            length = rxn__cuda_length(&kernel->locals.items[local]);
        u8 place = c->plan->locals[local].place;
        if (place == CUDA_SCALAR) {
            rxn__cuda_line(c, "witness[%u] = (f64)%s;", number++, c->local[local]);
        } else if (place == CUDA_SPLIT) {
            for (u32 k = 0; k < length; k++)
                rxn__cuda_line(c, "witness[%u] = (f64)%s;", number++, c->element[local][k]);
        } else {
            rxn__cuda_line(c, "for (i32 k = 0; k < %u; k++)", length);
            rxn__cuda_line(c, "    witness[%u + k] = (f64)%s;", number,
                           rxn__cuda_element(c, local, "k"));
            number += length;
        }
    }
}

/* Keeps the fault of the lowest trajectory. A thread that has the lock always comes on to give it back,
 * whatever the others of its warp do: each turn of the loop is whole. */
static void
write_trapped(CudaText *c)
{
    c->indent--;
    rxn__cuda_line(c, "trapped:");
    c->indent++;
    rxn__cuda_line(c, "for (bool kept = false; !kept;) {");
    c->indent++;
    rxn__cuda_line(c, "if (atomicCAS(&fault->lock, 0u, 1u) == 0u) {");
    c->indent++;
    rxn__cuda_line(c, "__threadfence();");
    rxn__cuda_line(c, "if (trajectory < *(const volatile u64 *)&fault->trajectory) {");
    c->indent++;
    rxn__cuda_line(c, "fault->code = trap_code;");
    rxn__cuda_line(c, "fault->detail = trap_detail;");
    if (c->kernel->witness.count) {
        rxn__cuda_line(c, "f64 *const witness = (f64 *)(fault + 1);");
        write_witness(c);
    }
    rxn__cuda_line(c, "__threadfence();");
    rxn__cuda_line(c, "*(volatile u64 *)&fault->trajectory = trajectory;");
    c->indent--;
    rxn__cuda_line(c, "}");
    rxn__cuda_line(c, "__threadfence();");
    rxn__cuda_line(c, "atomicExch(&fault->lock, 0u);");
    rxn__cuda_line(c, "kept = true;");
    c->indent--;
    rxn__cuda_line(c, "}");
    c->indent--;
    rxn__cuda_line(c, "}");
    rxn__cuda_line(c, "return;");
}

static void
write_turns(CudaText *c, bool traps)
{
    const char *done = c->local[c->kernel->done];
    bool empty = c->kernel->regions[KIR_STEP].count == 0;
    rxn__cuda_line(c, "for (;;) {");
    c->indent++;
    if (c->team) {
        rxn__cuda_barrier(c);
        rxn__cuda_line(c, "if (rank == 0)");
        rxn__cuda_line(c, "    team->stop = rxn_is_stopped(launch, trajectory);");
        rxn__cuda_barrier(c);
        rxn__cuda_line(c, "if (team->stop)");
    } else {
        rxn__cuda_line(c, "if (rxn_is_stopped(launch, trajectory))");
    }
    rxn__cuda_line(c, "    return;");
    rxn__cuda_line(c, "#pragma unroll 1");
    rxn__cuda_line(c, "for (u32 turn = 0; turn < %uu; turn++) {",
                   empty     ? LONG_TURNS
                   : c->team ? TEAM_TURNS
                             : TURNS);
    c->indent++;
    rxn__cuda_line(c, "if (%s) {", done);
    c->indent++;
    if (c->kernel->regions[KIR_FINISH].count) {
        rxn__cuda_line(c, "/* finish */");
        rxn__cuda_line(c, "if (running) {");
        c->indent++;
        rxn__cuda_region(c, KIR_FINISH);
        c->indent--;
        rxn__cuda_line(c, "}");
    }
    rxn__cuda_line(c, "/* init, of the next trajectory */");
    write_take(c);
    if (c->kernel->regions[KIR_FINISH].count)
        rxn__cuda_line(c, "running = true;");
    write_locals_zero(c);
    write_block_of_region(c, KIR_INIT);
    rxn__cuda_line(c, "if (%s)", done);
    rxn__cuda_line(c, "    continue;");
    c->indent--;
    rxn__cuda_line(c, "}");
    if (!empty) {
        rxn__cuda_line(c, "/* step */");
        write_block_of_region(c, KIR_STEP);
    }
    c->indent--;
    rxn__cuda_line(c, "}");
    c->indent--;
    rxn__cuda_line(c, "}");
    if (!traps)
        return;
    write_trapped(c);
}

static void
declare_workers(CudaText *c, Text *out)
{
    const CudaPlan *plan = c->plan;
    if (plan->shape == RXN_CUDA_THREAD) {
        if (rxn__cuda_mentions(c->body.data, "workers") || plan->workspace_bytes)
            rxn__text_printf(out,
                             "    const u64 worker = (u64)blockIdx.x * %uu + threadIdx.x;\n"
                             "    const u32 workers = (u32)launch.workers;\n",
                             plan->block_threads);
        declare_workspace(c, out);
        return;
    }
    bool warp = plan->shape == RXN_CUDA_WARP;
    if (plan->workspace_bytes)
        rxn__text_printf(out,
                         warp ? "    const u64 worker = (u64)blockIdx.x * %uu + "
                                "threadIdx.x / 32u;\n"
                              : "    const u64 worker = blockIdx.x;\n",
                         plan->block_threads / 32);
    rxn__text_printf(out, "    const u32 rank = threadIdx.x%s;\n", warp ? " % 32u" : "");
    if (warp)
        rxn__text_printf(
            out, "    RxnTeam *const team = (RxnTeam *)(rxn_shared + threadIdx.x / 32u * %uu);\n",
            plan->team_bytes / 8);
    else
        rxn__text_printf(out, "    RxnTeam *const team = (RxnTeam *)rxn_shared;\n");
}

/* What finds no register goes to shared memory before it goes to the device's. (PTX ISA 9.0, "enable_smem_spilling", which allows
 * no dynamic shared memory beside it; NVRTC 13 is the first that has it.) */
static void
spill_to_shared_memory(Text *out)
{
    rxn__text_printf(out, "#if defined(__CUDACC_VER_MAJOR__) && __CUDACC_VER_MAJOR__ >= 13\n"
                          "    asm volatile(\".pragma \\\"enable_smem_spilling\\\";\");\n"
                          "#endif\n");
}

void
rxn__cuda_write_kernel(CudaText *c, Text *out)
{
    const CudaPlan *plan = c->plan;
    rxn__text_init(&c->body, c->arena);
    c->team = plan->shape != RXN_CUDA_THREAD;
    c->barrier = plan->shape == RXN_CUDA_WARP ? "__syncwarp()" : "__syncthreads()";
    c->region = KIR_STEP;
    c->indent = 1;
    bool traps = false;
    for (u32 region = KIR_INIT; region < KIR_REGION_COUNT; region++)
        traps = traps || rxn__cuda_has_trap(&c->kernel->regions[region]);
    write_turns(c, traps);

    /* Left to itself ptxas may spill to have more threads resident. It does so well with a step that simulates, if that is
     * long; of a short one, which has few registers in any case, it spills some bytes now and then. A short one, one that
     * differentiates, or a long finish, which waits for its tapes, is better off with all the registers that it can
     * use: at least 1 block. Where these are too few in any case, it is left to ptxas how much of shared memory is
     * spilled to. */
    const bool has_step = c->kernel->regions[KIR_STEP].count > 0;
    const bool to_shared = has_step && c->differentiates && plan->is_crowded &&
                           (c->shared_static || plan->shared_bytes == 0);
    const bool is_short = c->kernel->values.count < SHORT_STEP;
    const bool all_registers = !has_step || (c->differentiates ? !to_shared : is_short);
    rxn__text_printf(out,
                     "/* The trajectories. */\n"
                     "RXN_C __global__ void __launch_bounds__(%u%s)\n"
                     "rxn_kernel(const RxnLaunch launch)\n{\n",
                     plan->block_threads, all_registers ? ", 1" : "");
    if (to_shared)
        spill_to_shared_memory(out);
    declare_workers(c, out);
    declare_buffers(c, out, c->body.data);
    if (plan->constants_size && !plan->constant_bytes)
        rxn__text_printf(out, "    const RxnConstants *const constants = "
                              "(const RxnConstants *)launch.uniform;\n");
    declare_locals(c, out, c->body.data, false);
    rxn__text_printf(out, "    u64 row = 0, trajectory = 0;\n");
    if (c->kernel->regions[KIR_FINISH].count)
        rxn__text_printf(out, "    bool running = false;\n");
    if (rxn__cuda_mentions(c->body.data, "looks"))
        rxn__text_printf(out, "    u32 looks = 0;\n");
    if (traps)
        rxn__text_printf(out, "    RxnFault *const fault = (RxnFault *)launch.fault;\n"
                              "    u32 trap_code = 0, trap_detail = 0;\n");
    if (c->needs_order)
        rxn__text_printf(out, "    u32 order = 0;\n");
    if (c->team)
        rxn__text_printf(out, "    if (rank == 0)\n        team->first = 0xffffffffu;\n");
    rxn__text_printf(out, "    %s = true; /* there is none so far */\n", c->local[c->kernel->done]);
    rxn__text_append(out, c->body.data, c->body.length);
    rxn__text_printf(out, "}\n\n");
}
