/* test_target_llvm.c: the LLVM target against the interpreter.
 *
 * Random kernels, and one kernel per op over numbers at which its rule has corners, run in both, at
 * every lane width; what they leave behind must be the same byte for byte. More random kernels:
 * RXN_RANDOM_KERNELS=5000, from another seed: RXN_RANDOM_SEED=7.
 */
#include "random_kernel.h"

#include "compiler/target/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const u32 widths[] = {1, 2, 4, 8, 16, 32};

typedef struct Fixture {
    Memory memory;
    jmp_buf failed;
    Arena arena;
    NameTable names;
} Fixture;

static void
begin(Fixture *f)
{
    memset(f, 0, sizeof *f);
    f->memory.on_failure = &f->failed;
    rxn__arena_init(&f->arena, &f->memory);
    rxn__names_init(&f->names, &f->arena);
}

static void
end(Fixture *f)
{
    rxn__arena_release(&f->arena);
    assert_int_equal(f->memory.used, 0);
}

static const Target *
target(void)
{
    const Target *found = rxn__target_find("llvm");
    assert_non_null(found);
    return found;
}

static void
print_kernel(Fixture *f, const KirKernel *kernel)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__kir_print(kernel, &text);
    print_error("%s\n", text.data);
}

/* Runs the kernel compiled, behind a workspace whose borders are watched. */
static void
run_compiled(Fixture *f, const KirKernel *kernel, const TargetOptions *options, RandomLaunch *l)
{
    enum { BORDER = 256 };
    CompiledKernel compiled;
    const char *error = NULL;
    RxnStatus status = target()->compile(kernel, options, &f->arena, &compiled, &error);
    if (status != RXN_OK)
        print_error("%s\n", error);
    assert_int_equal(status, RXN_OK);
    if (options->lanes != 0)
        assert_int_equal(compiled.lanes, options->lanes);
    u8 *space = rxn__arena_alloc(&f->arena, compiled.workspace_bytes + 2 * BORDER);
    memset(space, 0xA5, compiled.workspace_bytes + 2 * BORDER);
    l->launch.workspace = space + BORDER;
    compiled.run(&l->launch);
    for (u32 i = 0; i < BORDER; i++) {
        assert_int_equal(space[i], 0xA5);
        assert_int_equal(space[BORDER + compiled.workspace_bytes + i], 0xA5);
    }
}

/* Returns what differs from the interpreter, or NULL. */
static const char *
compare_with(Fixture *f, const KirKernel *kernel, u64 seed, u64 count, const TargetOptions *options,
             const RandomLaunch *expected)
{
    RandomLaunch *l = random_launch(&f->arena, kernel, seed, expected->launch.first, count, 13);
    run_compiled(f, kernel, options, l);
    return launch_difference(&f->arena, kernel, expected, l);
}

static const char *
compare_at(Fixture *f, const KirKernel *kernel, u64 seed, u64 count, u32 lanes,
           const RandomLaunch *expected)
{
    TargetOptions options = {.lanes = lanes, .debug_checks = true};
    return compare_with(f, kernel, seed, count, &options, expected);
}

static RandomLaunch *
interpret(Fixture *f, const KirKernel *kernel, u64 seed, u64 first, u64 count)
{
    RandomLaunch *l = random_launch(&f->arena, kernel, seed, first, count, 13);
    const char *error = NULL;
    RxnStatus status = rxn__kir_interpret(kernel, &l->launch, 100000, &f->arena, &error);
    if (status != RXN_OK) {
        print_kernel(f, kernel);
        print_error("%s\n", error);
    }
    assert_int_equal(status, RXN_OK);
    return l;
}

static void
test_random_kernels(void **state)
{
    (void)state;
    u64 kernels = number_from_environment("RXN_RANDOM_KERNELS", 300);
    u64 seed = number_from_environment("RXN_RANDOM_SEED", 1);
    u32 faults = 0;
    for (u64 k = 0; k < kernels; k++) {
        Fixture f;
        begin(&f);
        u64 mixed = seed * 1000003 + k, random = mixed;
        const char *error = NULL;
        u32 size = 10 + (u32)(random_u64(&random) % 70);
        KirKernel *kernel = random_kernel(&f.arena, &f.names, mixed, size, &error);
        if (kernel == NULL)
            print_error("kernel %llu: %s\n", (unsigned long long)k, error);
        assert_non_null(kernel);
        u64 count = 1 + random_u64(&random) % 45, first = random_u64(&random) % 1000;
        RandomLaunch *expected = interpret(&f, kernel, mixed, first, count);
        faults += expected->fault.trajectory != UINT64_MAX;
        /* All widths for some; the others share the widths among them, to save time. */
        for (u32 w = 0; w < COUNT_OF(widths); w++) {
            if (k % 10 != 0 && w != k % COUNT_OF(widths) && w != (k / 7 + 3) % COUNT_OF(widths))
                continue;
            const char *difference = compare_at(&f, kernel, mixed, count, widths[w], expected);
            if (difference != NULL) {
                print_kernel(&f, kernel);
                print_error("kernel %llu (size %u) at %u lanes: %s\n", (unsigned long long)k, size,
                            widths[w], difference);
            }
            assert_null(difference);
        }
        end(&f);
    }
    /* A test of faults that meets none would prove nothing, and so would one that meets only those. */
    if (kernels >= 100) {
        assert_true(faults > kernels / 20);
        assert_true(faults < kernels * 19 / 20);
    }
}

/* ---- every op ---------------------------------------------------------------------------------- */

/* A kernel that applies the op to the inputs x, y, z of a trajectory and stores the result. */
static KirKernel *
kernel_of_op(Fixture *f, KirOp op, KirType type, KirType to)
{
    KirBuilder *b = rxn__kir_begin(&f->arena, &f->names, "op", KIR_F64);
    KirType condition = op == KIR_SELECT ? KIR_BOOL : type;
    u32 x = rxn__kir_buffer(b, "x", condition, KIR_PER_TRAJECTORY, false, 0, NULL);
    u32 y = rxn__kir_buffer(b, "y", type, KIR_PER_TRAJECTORY, false, 0, NULL);
    u32 z = rxn__kir_buffer(b, "z", type, KIR_PER_TRAJECTORY, false, 0, NULL);
    u32 done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    rxn__kir_kernel(b)->done = done;
    rxn__kir_region(b, KIR_STEP);
    u32 arity = rxn__kir_ops[op].arity;
    KirValue vx = rxn__kir_load(b, x, NULL), vy = rxn__kir_load(b, y, NULL),
             vz = rxn__kir_load(b, z, NULL), value;
    /* The sign and the payload of a NaN are open; these two ops would show them. */
    KirValue two = kir_is_float(type) ? rxn__kir_const(b, type, 2) : 0;
    if (op == KIR_BITS && two)
        vx = kir_select(b, kir_eq(b, vx, vx), vx, two);
    if (op == KIR_COPYSIGN)
        vy = kir_select(b, kir_eq(b, vy, vy), vy, two);
    if (op == KIR_CAST || op == KIR_BITS)
        value = rxn__kir_typed(b, op, to, vx);
    else
        value = rxn__kir_op(b, op, vx, arity > 1 ? vy : 0, arity > 2 ? vz : 0);
    u32 out = rxn__kir_buffer(b, "out", rxn__kir_type(b, value), KIR_PER_TRAJECTORY, true, 0, NULL);
    rxn__kir_store(b, out, NULL, value);
    if (op == KIR_MULHI) { /* with the low half: one product for both */
        u32 low = rxn__kir_buffer(b, "low", type, KIR_PER_TRAJECTORY, true, 0, NULL);
        rxn__kir_store(b, low, NULL, kir_mul(b, vy, vx));
    }
    rxn__kir_set(b, done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    KirKernel *kernel = NULL;
    const char *error = rxn__kir_end(b, &kernel);
    if (error != NULL)
        print_error("%s.%s: %s\n", rxn__kir_ops[op].text, rxn__kir_type_names[type], error);
    assert_null(error);
    return kernel;
}

static bool
op_takes(KirOp op, KirType type)
{
    bool number = type != KIR_BOOL;
    switch ((KirTakes)rxn__kir_ops[op].takes) {
    case KIR_TAKES_NONE: return false;
    case KIR_TAKES_FLOAT: return kir_is_float(type);
    case KIR_TAKES_INT: return number && !kir_is_float(type);
    case KIR_TAKES_UINT: return type == KIR_U32 || type == KIR_U64;
    case KIR_TAKES_NUMBER: return number;
    case KIR_TAKES_BOOL: return op == KIR_SELECT || type == KIR_BOOL;
    case KIR_TAKES_INT_OR_BOOL: return !kir_is_float(type);
    case KIR_TAKES_ANY: return true;
    }
    return false;
}

static void
check_op(KirOp op, KirType type, KirType to)
{
    Fixture f;
    begin(&f);
    KirKernel *kernel = kernel_of_op(&f, op, type, to);
    u64 seed = (u64)op * 64 + type * 8 + to;
    RandomLaunch *expected = interpret(&f, kernel, seed, 0, 3000);
    for (u32 w = 0; w < COUNT_OF(widths); w++) {
        const char *difference = compare_at(&f, kernel, seed, 3000, widths[w], expected);
        if (difference != NULL)
            print_error("%s.%s to %s at %u lanes: %s\n", rxn__kir_ops[op].text,
                        rxn__kir_type_names[type], rxn__kir_type_names[to], widths[w], difference);
        assert_null(difference);
    }
    end(&f);
}

static void
test_every_op(void **state)
{
    (void)state;
    for (u32 op = 0; op < KIR_OP_COUNT; op++) {
        if (rxn__kir_ops[op].flags & (KIR_FLAG_LEAF | KIR_FLAG_MATH))
            continue;
        for (u32 type = 0; type < KIR_TYPE_COUNT; type++) {
            if (!op_takes((KirOp)op, (KirType)type))
                continue;
            for (u32 to = 0; to < KIR_TYPE_COUNT; to++) {
                bool typed = op == KIR_CAST || op == KIR_BITS;
                if (typed ? to == type || to == KIR_BOOL : to != 0)
                    continue;
                if (op == KIR_BITS && rxn__kir_type_bytes[to] != rxn__kir_type_bytes[type])
                    continue;
                check_op((KirOp)op, (KirType)type, (KirType)to);
            }
        }
    }
}

/* ---- words that are kept apart ------------------------------------------------------------------ */

/* Products of words and exclusive ors of these, in a chain and at its ends, with what is one for all lanes and what is
 * not, in a branch that lanes take apart, and read by other ops on the way. */
static KirKernel *
kernel_of_words(Fixture *f)
{
    KirBuilder *b = rxn__kir_begin(&f->arena, &f->names, "words", KIR_F64);
    u32 extent = 8;
    u32 in[3], common = rxn__kir_buffer(b, "common", KIR_U32, KIR_PER_LAUNCH, false, 0, NULL);
    static const char *const names[] = {"x", "y", "z"};
    KirValue v[3], number[8];
    for (u32 k = 0; k < 3; k++)
        in[k] = rxn__kir_buffer(b, names[k], KIR_U32, KIR_PER_TRAJECTORY, false, 0, NULL);
    u32 out = rxn__kir_buffer(b, "out", KIR_U32, KIR_PER_TRAJECTORY, true, 1, &extent);
    u32 kept = rxn__kir_local(b, "kept", KIR_U32, 0), done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    rxn__kir_kernel(b)->done = done;
    rxn__kir_region(b, KIR_STEP);
    for (u32 k = 0; k < 3; k++)
        v[k] = rxn__kir_load(b, in[k], NULL);
    KirValue same = rxn__kir_load(b, common, NULL);
    KirValue factor = rxn__kir_const_bits(b, KIR_U32, 0xD2511F53u);
    number[0] = kir_mul(b, v[0], v[1]);
    number[1] = kir_mulhi(b, v[1], v[0]);
    number[2] = kir_xor(b, kir_xor(b, number[1], v[2]), same);
    number[3] = kir_xor(b, number[0], number[2]);
    rxn__kir_if(b, kir_lt(b, v[2], number[2]));
    KirValue high = kir_mulhi(b, number[3], factor), low = kir_mul(b, factor, number[3]);
    rxn__kir_set(b, kept, 0, kir_xor(b, low, high));
    rxn__kir_else(b);
    rxn__kir_set(b, kept, 0, kir_add(b, kir_shr(b, number[2], v[0]), number[3]));
    rxn__kir_close(b);
    number[4] = rxn__kir_get(b, kept, 0);
    number[5] = kir_mulhi(b, number[4], same);
    number[6] = kir_mul(b, same, number[4]);
    number[7] = kir_xor(b, same, number[6]);
    for (u32 k = 0; k < extent; k++) {
        KirValue index = rxn__kir_const(b, KIR_I32, k);
        rxn__kir_store(b, out, &index, number[k]);
    }
    rxn__kir_set(b, done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    KirKernel *kernel = NULL;
    assert_null(rxn__kir_end(b, &kernel));
    return kernel;
}

static void
test_words(void **state)
{
    (void)state;
    for (u64 seed = 0; seed < 20; seed++) {
        Fixture f;
        begin(&f);
        KirKernel *kernel = kernel_of_words(&f);
        RandomLaunch *expected = interpret(&f, kernel, seed, 0, 300);
        for (u32 w = 0; w < COUNT_OF(widths); w++)
            assert_null(compare_at(&f, kernel, seed, 300, widths[w], expected));
        end(&f);
    }
}

/* ---- constants --------------------------------------------------------------------------------- */

/* Arithmetic, comparisons and choices with so many constants, each in two places. */
static KirKernel *
kernel_of_constants(Fixture *f, KirType type, u32 count)
{
    KirBuilder *b = rxn__kir_begin(&f->arena, &f->names, "constants", type);
    u32 x = rxn__kir_buffer(b, "x", type, KIR_PER_TRAJECTORY, false, 0, NULL);
    u32 out = rxn__kir_buffer(b, "out", type, KIR_PER_TRAJECTORY, true, 0, NULL);
    u32 steps = rxn__kir_local(b, "steps", KIR_I32, 0);
    u32 kept = rxn__kir_local(b, "kept", type, 0), done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    rxn__kir_kernel(b)->done = done;
    rxn__kir_region(b, KIR_STEP);
    KirValue v = rxn__kir_load(b, x, NULL), y = v;
    for (u32 k = 0; k < count; k++) {
        KirValue constant = rxn__kir_const(b, type, 1.5 + 0.25 * k);
        v = kir_fma(b, v, rxn__kir_const(b, type, 0.5), constant);
        y = kir_select(b, kir_lt(b, v, constant), kir_min(b, y, constant), kir_add(b, y, v));
    }
    rxn__kir_set(b, kept, 0, kir_add(b, rxn__kir_get(b, kept, 0), kir_sub(b, y, v)));
    KirValue step = kir_add(b, rxn__kir_get(b, steps, 0), rxn__kir_const(b, KIR_I32, 1));
    rxn__kir_set(b, steps, 0, step);
    rxn__kir_set(b, done, 0, kir_ge(b, step, rxn__kir_const(b, KIR_I32, 3)));
    rxn__kir_region(b, KIR_FINISH);
    rxn__kir_store(b, out, NULL, rxn__kir_get(b, kept, 0));
    KirKernel *kernel = NULL;
    assert_null(rxn__kir_end(b, &kernel));
    return kernel;
}

/* Read from memory, where there are few, and as they are. */
static void
test_constants(void **state)
{
    (void)state;
    static const u32 counts[] = {1, 5, 40};
    for (u32 k = 0; k < 2 * COUNT_OF(counts); k++) {
        Fixture f;
        begin(&f);
        KirKernel *kernel = kernel_of_constants(&f, k % 2 ? KIR_F32 : KIR_F64, counts[k / 2]);
        RandomLaunch *expected = interpret(&f, kernel, k, 0, 300);
        for (u32 w = 0; w < COUNT_OF(widths); w++)
            assert_null(compare_at(&f, kernel, k, 300, widths[w], expected));
        end(&f);
    }
}

/* ---- older processors -------------------------------------------------------------------------- */

#if defined(__x86_64__)
/* This processor's code is tested above; here that for its elders, which it can run too: without
 * scatters, without masks in registers, and without fma, floor and gathers (libm's then). */
static void
test_older_processors(void **state)
{
    (void)state;
    static const struct {
        const char *cpu, *features;
    } elders[] = {{"x86-64", "+sse2"}, {"haswell", "+avx2,+fma,+bmi,+bmi2,+lzcnt,+popcnt,+f16c"}};
    u32 known = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 2 : 1;
    for (u32 k = 0; k < 24; k++) {
        Fixture f;
        begin(&f);
        const char *error = NULL;
        KirKernel *kernel = random_kernel(&f.arena, &f.names, 7000 + k, 50, &error);
        assert_non_null(kernel);
        RandomLaunch *expected = interpret(&f, kernel, k, 5, 30);
        for (u32 e = 0; e < known; e++) {
            TargetOptions options = {.lanes = widths[(k + 3 * e) % 5],
                                     .cpu = elders[e].cpu,
                                     .features = elders[e].features,
                                     .debug_checks = true};
            const char *difference = compare_with(&f, kernel, k, 30, &options, expected);
            if (difference != NULL)
                print_error("kernel %u on %s at %u lanes: %s\n", k, elders[e].cpu, options.lanes,
                            difference);
            assert_null(difference);
        }
        end(&f);
    }
}
#endif

/* ---- the rest ---------------------------------------------------------------------------------- */

static KirKernel *
some_kernel(Fixture *f, u64 seed)
{
    const char *error = NULL;
    KirKernel *kernel = random_kernel(&f->arena, &f->names, seed, 40, &error);
    assert_non_null(kernel);
    return kernel;
}

static void
test_no_trajectory(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    KirKernel *kernel = some_kernel(&f, 3);
    for (u32 w = 0; w < COUNT_OF(widths); w++) {
        TargetOptions options = {.lanes = widths[w], .debug_checks = true};
        RandomLaunch *l = random_launch(&f.arena, kernel, 1, 0, 0, 13);
        run_compiled(&f, kernel, &options, l);
        assert_true(l->fault.trajectory == UINT64_MAX);
    }
    end(&f);
}

/* A trajectory that never ends, until it is told to. */
static void
test_cancel(void **state)
{
    (void)state;
    for (u32 w = 0; w < COUNT_OF(widths); w++) {
        Fixture f;
        begin(&f);
        KirBuilder *b = rxn__kir_begin(&f.arena, &f.names, "endless", KIR_F64);
        u32 done = rxn__kir_local(b, "done", KIR_BOOL, 0);
        rxn__kir_kernel(b)->done = done;
        rxn__kir_region(b, KIR_STEP);
        rxn__kir_set(b, done, 0, rxn__kir_const(b, KIR_BOOL, 0));
        KirKernel *kernel = NULL;
        assert_null(rxn__kir_end(b, &kernel));
        TargetOptions options = {.lanes = widths[w], .debug_checks = true};
        RandomLaunch *l = random_launch(&f.arena, kernel, 1, 0, 5, 13);
        l->cancel = 1;
        run_compiled(&f, kernel, &options, l); /* returns: that is the test */
        end(&f);
    }
}

/* The lowest trajectory's fault is kept, also against one that an earlier launch left. */
static void
test_fault_of_an_earlier_launch(void **state)
{
    (void)state;
    for (u32 w = 0; w < COUNT_OF(widths); w++) {
        Fixture f;
        begin(&f);
        KirBuilder *b = rxn__kir_begin(&f.arena, &f.names, "traps", KIR_F64);
        u32 done = rxn__kir_local(b, "done", KIR_BOOL, 0), x = rxn__kir_local(b, "x", KIR_F64, 0);
        KirKernel *kernel = rxn__kir_kernel(b);
        kernel->done = done;
        vec_push(kernel->arena, &kernel->witness, x);
        rxn__kir_region(b, KIR_STEP);
        rxn__kir_set(b, x, 0, kir_cast(b, KIR_F64, kir_trajectory(b)));
        rxn__kir_if(b, kir_ge(b, kir_trajectory(b), rxn__kir_const(b, KIR_U64, 12)));
        rxn__kir_trap(b, RXN_FAULT_STEP_LIMIT, kir_cast(b, KIR_U32, kir_trajectory(b)));
        rxn__kir_close(b);
        rxn__kir_set(b, done, 0, rxn__kir_const(b, KIR_BOOL, 1));
        rxn__kir_set(b, x, 0, rxn__kir_const(b, KIR_F64, -1));
        assert_null(rxn__kir_end(b, &kernel));
        TargetOptions options = {.lanes = widths[w], .debug_checks = true};
        RandomLaunch *l = random_launch(&f.arena, kernel, 1, 0, 40, 13);
        run_compiled(&f, kernel, &options, l);
        assert_true(l->fault.trajectory == 12);
        assert_int_equal(l->fault.code, RXN_FAULT_STEP_LIMIT);
        assert_int_equal(l->fault.detail, 12);
        assert_true(l->witness[0] == 12);
        l->fault = (RxnFault){.trajectory = 11, .code = 99, .detail = 98}; /* and no witness */
        run_compiled(&f, kernel, &options, l);
        assert_true(l->fault.trajectory == 11);
        assert_int_equal(l->fault.code, 99);
        l->fault = (RxnFault){.trajectory = 13, .code = 99, .detail = 98};
        run_compiled(&f, kernel, &options, l);
        assert_true(l->fault.trajectory == 12);
        end(&f);
    }
}

static void
test_emit(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    KirKernel *kernel = some_kernel(&f, 5);
    TargetOptions options = {.lanes = 4, .debug_checks = true};
    static const char *const begins[] = {"; ModuleID", "; ModuleID", "\t.", "\x7f\x45LF"};
    for (u32 form = TARGET_IR; form <= TARGET_OBJECT; form++) {
        Text text;
        const char *error = NULL;
        rxn__text_init(&text, &f.arena);
        assert_int_equal(
            target()->emit(kernel, &options, (TargetForm)form, &f.arena, &text, &error), RXN_OK);
        assert_true(text.length > 200);
        assert_memory_equal(text.data, begins[form], strlen(begins[form]));
        bool text_form = form != TARGET_OBJECT;
        assert_int_equal(strstr(text.data, "rxn_kernel_random") != NULL, text_form);
    }
    end(&f);
}

static void
test_wrong_lanes(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    KirKernel *kernel = some_kernel(&f, 5);
    const u32 wrong[] = {3, 33, 64, 5};
    for (u32 i = 0; i < COUNT_OF(wrong); i++) {
        TargetOptions options = {.lanes = wrong[i]};
        CompiledKernel compiled;
        const char *error = NULL;
        assert_int_equal(target()->compile(kernel, &options, &f.arena, &compiled, &error),
                         RXN_ERROR_USAGE);
        assert_non_null(strstr(error, "must be 1, 2, 4, 8, 16 or 32"));
    }
    end(&f);
}

/* Memory that runs out at any moment leaves nothing behind (the sanitizers count what LLVM holds). */
static void
test_out_of_memory(void **state)
{
    (void)state;
    volatile bool done = false;
    for (volatile u64 fail_at = 1; !done; fail_at++) {
        Fixture f;
        begin(&f);
        if (setjmp(f.failed) == 0) {
            f.memory.fail_at = fail_at;
            const char *error = NULL;
            KirKernel *kernel = random_kernel(&f.arena, &f.names, 11, 70, &error);
            TargetOptions options = {.lanes = 8};
            CompiledKernel compiled;
            if (target()->compile(kernel, &options, &f.arena, &compiled, &error) != RXN_OK)
                print_error("%s\n", error);
            done = true;
        }
        end(&f);
        assert_true(fail_at < 1000);
    }
}

/* An unexpanded function is refused, not guessed. */
static void
test_unexpanded(void **state)
{
    (void)state;
    Fixture f;
    begin(&f);
    KirKernel *kernel = kernel_of_op(&f, KIR_LOG, KIR_F64, KIR_F64);
    TargetOptions options = {.lanes = 4};
    CompiledKernel compiled;
    const char *error = NULL;
    assert_int_equal(target()->compile(kernel, &options, &f.arena, &compiled, &error),
                     RXN_ERROR_INTERNAL);
    assert_non_null(strstr(error, "unexpanded"));
    end(&f);
}

static bool
compile_with_cache(Fixture *f, const KirKernel *kernel, const char *directory, u32 lanes)
{
    TargetOptions options = {.lanes = lanes, .cache = directory};
    CompiledKernel compiled;
    const char *error = NULL;
    assert_int_equal(target()->compile(kernel, &options, &f->arena, &compiled, &error), RXN_OK);
    RandomLaunch *expected = interpret(f, kernel, 1, 0, 20);
    RandomLaunch *l = random_launch(&f->arena, kernel, 1, 0, 20, 13);
    l->launch.workspace = rxn__arena_alloc(&f->arena, compiled.workspace_bytes + 64);
    compiled.run(&l->launch);
    assert_null(launch_difference(&f->arena, kernel, expected, l));
    return compiled.from_cache;
}

/* Changes one byte in the middle of every entry, or cuts the entries in half. */
static void
spoil_entries(const char *directory, bool cut)
{
    char command[512];
    snprintf(command, sizeof command,
             cut ? "for f in %s/*.code; do truncate -s 300 $f; done"
                 : "for f in %s/*.code; do printf X | dd of=$f bs=1 seek=1500 conv=notrunc "
                   "2>/dev/null; done",
             directory);
    assert_int_equal(system(command), 0);
}

static void
test_cache(void **state)
{
    (void)state;
    char directory[] = "/tmp/rxn-test-cache-XXXXXX";
    assert_non_null(mkdtemp(directory));
    Fixture f;
    begin(&f);
    KirKernel *one = some_kernel(&f, 5), *other = some_kernel(&f, 6);
    assert_false(compile_with_cache(&f, one, directory, 8));
    assert_true(compile_with_cache(&f, one, directory, 8));
    assert_false(compile_with_cache(&f, one, directory, 4)); /* other lanes, other code */
    assert_false(compile_with_cache(&f, other, directory, 8));
    assert_true(compile_with_cache(&f, other, directory, 8));
    for (u32 cut = 0; cut < 2; cut++) {
        spoil_entries(directory, cut == 1);
        assert_false(compile_with_cache(&f, one, directory, 8));
        assert_true(compile_with_cache(&f, one, directory, 8)); /* and mends it */
    }
    /* A directory that cannot be written is no error. */
    assert_false(compile_with_cache(&f, one, "/proc/rxn-no-such-place", 8));
    end(&f);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_trajectory),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_fault_of_an_earlier_launch),
        cmocka_unit_test(test_emit),
        cmocka_unit_test(test_wrong_lanes),
        cmocka_unit_test(test_unexpanded),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_every_op),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_constants),
#if defined(__x86_64__)
        cmocka_unit_test(test_older_processors),
#endif
        cmocka_unit_test(test_random_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
