/* test_target_cuda.c: the texts of the CUDA target, run on the host, against the interpreter.
 *
 * Random kernels in every shape, every op over numbers at which its rule has corners, loops that can be shared
 * out and loops that cannot, faults, and the reduction. More random kernels: RXN_RANDOM_KERNELS=500, from another
 * seed: RXN_RANDOM_SEED=7.
 */
#include <math.h>

#include "random_kernel.h"

#include "compiler/target/cuda/cuda.h"
#include "cuda_shim.h"
#include "runtime/reduce.h"

#include "kir_fixture.h"

static const Target *
target(void)
{
    const Target *found = rxn__target_find("cuda");
    assert_non_null(found);
    return found;
}

static RandomLaunch *
interpret(Fixture *f, const KirKernel *kernel, u64 seed, u64 first, u64 count)
{
    RandomLaunch *l = random_launch(&f->arena, kernel, seed, first, count, 13);
    const char *error = NULL;
    RxnStatus status = rxn__kir_interpret(kernel, &l->launch, 100000, &f->arena, &error);
    if (status != RXN_OK)
        print_error("%s\n%s\n", printed(f, kernel), error);
    assert_int_equal(status, RXN_OK);
    return l;
}

static RxnCudaKernel *
compile(Fixture *f, const KirKernel *kernel, u32 shape)
{
    TargetOptions options = {.shape = shape};
    CompiledKernel compiled;
    const char *error = NULL;
    assert_int_equal(target()->compile(kernel, &options, &f->arena, &compiled, &error), RXN_OK);
    assert_null(compiled.run);
    assert_non_null(compiled.cuda);
    RxnCudaKernel *copy = NEW(&f->arena, RxnCudaKernel);
    *copy = *compiled.cuda;
    return copy;
}

/* Runs the kernel as a launcher does, with a workspace whose borders are watched. Only a few threads of a block
 * of shape thread, so that they take several rows each. */
static void
run_text(Fixture *f, const KirKernel *kernel, u32 shape, u64 seed, RandomLaunch *l)
{
    enum { BORDER = 256 };
    RxnCudaKernel *cuda = compile(f, kernel, shape);
    CudaModule *module = cuda_module_open(cuda);
    if (!module)
        print_error("%s\n%s\n", printed(f, kernel), cuda->source);
    assert_non_null(module);
    u32 workers = cuda->shape == RXN_CUDA_THREAD ? cuda->block_threads
                  : cuda->shape == RXN_CUDA_WARP ? cuda->block_threads / 32
                                                 : 1;
    u32 threads = cuda->shape == RXN_CUDA_THREAD ? 1 + seed % 7 : cuda->block_threads;
    struct {
        RxnCudaFault fault;
        double witness[];
    } *fault = rxn__arena_alloc(&f->arena, sizeof *fault + 8 * (cuda->witness_count + 1));
    fault->fault.trajectory = UINT64_MAX;
    size_t work = cuda->workspace_bytes * workers;
    u8 *space = rxn__arena_alloc(&f->arena, work + 2 * BORDER);
    u8 *uniform = rxn__arena_alloc(&f->arena, cuda->uniform_bytes + BORDER);
    memset(space, 0xA5, work + 2 * BORDER);
    memset(uniform, 0xA5, cuda->uniform_bytes + BORDER);
    u64 next = 0;
    u32 n = kernel->buffers.count;
    u64 *parameters = NEW_ARRAY(&f->arena, u64, 8 + 2 * (size_t)n);
    RxnCudaLaunch launch = {.first = l->launch.first,
                            .count = l->launch.count,
                            .uniform = (uintptr_t)uniform,
                            .workspace = (uintptr_t)(space + BORDER),
                            .workers = workers,
                            .next = (uintptr_t)&next,
                            .fault = (uintptr_t)fault,
                            .cancel = (uintptr_t)&l->cancel};
    memcpy(parameters, &launch, sizeof launch);
    for (u32 i = 0; i < n; i++) {
        parameters[8 + i] = (uintptr_t)l->launch.buffers[i];
        parameters[8 + n + i] = (u64)l->launch.strides[i];
    }
    bool ends = true;
    if (cuda->uniform_bytes > 0)
        ends = cuda_module_run(module, "rxn_uniform", parameters, 1, 1, cuda->uniform_threads,
                               cuda->uniform_threads, 0, seed);
    if (cuda->constant_bytes > 0)
        memcpy(cuda_module_constants(module), uniform, cuda->constant_bytes);
    ends = ends && cuda_module_run(module, "rxn_kernel", parameters, 1, 1, cuda->block_threads,
                                   threads, cuda->shared_bytes, seed);
    if (!ends)
        print_error("%s\n%s\n", printed(f, kernel), cuda->source);
    assert_true(ends);
    for (u32 i = 0; i < BORDER; i++) {
        assert_int_equal(space[i], 0xA5);
        assert_int_equal(space[BORDER + work + i], 0xA5);
        assert_int_equal(uniform[cuda->uniform_bytes + i], 0xA5);
    }
    l->fault.trajectory = fault->fault.trajectory;
    l->fault.code = fault->fault.code;
    l->fault.detail = fault->fault.detail;
    assert_int_equal(cuda->witness_count, l->witness_count);
    memcpy(l->witness, fault->witness, 8 * (size_t)l->witness_count);
    assert_int_equal(fault->fault.lock, 0);
    cuda_module_close(module);
}

/* The rows from that of a fault on are nobody's business: others may have stopped. */
static void
forget_rows(const KirKernel *kernel, const RandomLaunch *expected, RandomLaunch *l)
{
    if (expected->fault.trajectory == UINT64_MAX)
        return;
    u64 row = expected->fault.trajectory - expected->launch.first;
    for (u32 i = 0; i < kernel->buffers.count; i++) {
        if (kernel->buffers.items[i].scope != KIR_PER_TRAJECTORY)
            continue;
        size_t from = row * (size_t)expected->launch.strides[i] *
                      rxn__kir_type_bytes[kernel->buffers.items[i].type];
        memcpy((u8 *)l->launch.buffers[i] + from, (u8 *)expected->launch.buffers[i] + from,
               expected->sizes[i] - from);
    }
}

static void
check(Fixture *f, const KirKernel *kernel, u32 shape, u64 seed, const RandomLaunch *expected)
{
    RandomLaunch *l =
        random_launch(&f->arena, kernel, seed, expected->launch.first, expected->launch.count, 13);
    run_text(f, kernel, shape, seed, l);
    forget_rows(kernel, expected, l);
    const char *difference = launch_difference(&f->arena, kernel, expected, l);
    if (difference)
        print_error("%s\n%s\nseed %llu, shape %u: %s\n", printed(f, kernel),
                    compile(f, kernel, shape)->source, (unsigned long long)seed, shape, difference);
    assert_null(difference);
}

static void
check_all_shapes(Fixture *f, const KirKernel *kernel, u64 seed, u64 first, u64 count)
{
    RandomLaunch *expected = interpret(f, kernel, seed, first, count);
    for (u32 shape = 1; shape <= 3; shape++)
        check(f, kernel, shape, seed, expected);
}

/* ---- random kernels ---- */

static void
test_random_kernels(void **state)
{
    u64 kernels = number_from_environment("RXN_RANDOM_KERNELS", 60),
        seed = number_from_environment("RXN_RANDOM_SEED", 1);
    u32 faults = 0, shared_out = 0;
    for (u64 k = 0; k < kernels; k++) {
        assert_int_equal(set_up(state), 0);
        Fixture *f = *state;
        u64 mixed = seed * 1000003 + k, random = mixed;
        const char *error = NULL;
        u32 size = 10 + (u32)(random_u64(&random) % 70);
        KirKernel *kernel = random_kernel(&f->arena, &f->names, mixed, size, &error);
        assert_non_null(kernel);
        u64 count = 1 + random_u64(&random) % 45, first = random_u64(&random) % 1000;
        RandomLaunch *expected = interpret(f, kernel, mixed, first, count);
        faults += expected->fault.trajectory != UINT64_MAX;
        const CudaPlan *plan = rxn__cuda_plan(kernel, 2, &f->arena);
        for (u32 v = 0; v < kernel->values.count; v++)
            shared_out += plan->shared_out[v];
        check(f, kernel, 1 + k % 3, mixed, expected);
        assert_int_equal(tear_down(state), 0);
    }
    /* A test of what does not happen would prove nothing. */
    if (kernels >= 60) {
        assert_true(faults > kernels / 20);
        assert_true(faults < kernels * 19 / 20);
        assert_true(shared_out > 0);
    }
}

/* ---- every op ---- */

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
store_result(KirBuilder *b, KirValue value, u32 *number)
{
    char name[24];
    snprintf(name, sizeof name, "out%u", (*number)++);
    u32 out = rxn__kir_buffer(b, name, rxn__kir_type(b, value), KIR_PER_TRAJECTORY, true, 0, NULL);
    rxn__kir_store(b, out, NULL, value);
}

/* All ops on one type, each into a buffer of its own. */
static KirKernel *
kernel_of_ops(Fixture *f, KirType type)
{
    KirBuilder *b = rxn__kir_begin(&f->arena, &f->names, "ops", KIR_F64);
    u32 c = rxn__kir_buffer(b, "c", KIR_BOOL, KIR_PER_TRAJECTORY, false, 0, NULL);
    u32 x = rxn__kir_buffer(b, "x", type, KIR_PER_TRAJECTORY, false, 0, NULL);
    u32 y = rxn__kir_buffer(b, "y", type, KIR_PER_TRAJECTORY, false, 0, NULL);
    u32 z = rxn__kir_buffer(b, "z", type, KIR_PER_TRAJECTORY, false, 0, NULL);
    u32 done = rxn__kir_local(b, "done", KIR_BOOL, 0), number = 0;
    rxn__kir_kernel(b)->done = done;
    rxn__kir_region(b, KIR_STEP);
    KirValue vc = rxn__kir_load(b, c, NULL), vx = rxn__kir_load(b, x, NULL),
             vy = rxn__kir_load(b, y, NULL), vz = rxn__kir_load(b, z, NULL);
    KirValue two = kir_is_float(type) ? rxn__kir_const(b, type, 2) : 0;
    /* The sign and the payload of a NaN are open. */
    KirValue number_x = two ? kir_select(b, kir_eq(b, vx, vx), vx, two) : vx;
    KirValue number_y = two ? kir_select(b, kir_eq(b, vy, vy), vy, two) : vy;
    for (u32 op = 0; op < KIR_OP_COUNT; op++) {
        const KirOpInfo *info = &rxn__kir_ops[op];
        if ((info->flags & (KIR_FLAG_LEAF | KIR_FLAG_MATH)) || !op_takes((KirOp)op, type))
            continue;
        if (op == KIR_SELECT) {
            store_result(b, kir_select(b, vc, vx, vy), &number);
        } else if (op == KIR_CAST || op == KIR_BITS) {
            for (u32 to = KIR_I32; to < KIR_TYPE_COUNT; to++) {
                bool fits = rxn__kir_type_bytes[to] == rxn__kir_type_bytes[type];
                if (to != type && (op == KIR_CAST || fits))
                    store_result(
                        b,
                        rxn__kir_typed(b, (KirOp)op, (KirType)to, op == KIR_BITS ? number_x : vx),
                        &number);
            }
        } else {
            KirValue second = op == KIR_COPYSIGN ? number_y : vy;
            store_result(b,
                         rxn__kir_op(b, (KirOp)op, vx, info->arity > 1 ? second : 0,
                                     info->arity > 2 ? vz : 0),
                         &number);
        }
    }
    if (type == KIR_U32) { /* a product of which both halves are wanted */
        store_result(b, kir_mul(b, vz, vx), &number);
        store_result(b, kir_mulhi(b, vx, vz), &number);
    }
    rxn__kir_set(b, done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    KirKernel *kernel = NULL;
    assert_null(rxn__kir_end(b, &kernel));
    return kernel;
}

static void
test_every_op(void **state)
{
    Fixture *f = *state;
    for (u32 type = 0; type < KIR_TYPE_COUNT; type++) {
        KirKernel *kernel = kernel_of_ops(f, (KirType)type);
        u64 seed = 77 + type;
        check(f, kernel, 1, seed, interpret(f, kernel, seed, 0, 5000));
    }
}

/* ---- loops ---- */

/* Values have to be numbered in order: gives them new numbers as they appear. */
static const char *
renumbered(Fixture *f, const char *text)
{
    u32 number[1000] = {0}, count = 0;
    Text out;
    rxn__text_init(&out, &f->arena);
    while (*text) {
        if (*text != '%') {
            rxn__text_append(&out, text++, 1);
            continue;
        }
        u32 old = (u32)strtoul(text + 1, (char **)&text, 10);
        if (number[old] == 0)
            number[old] = ++count;
        rxn__text_printf(&out, "%%%u", number[old]);
    }
    return out.data;
}

/* A kernel whose step is this body, once for each row; m, a, b are arrays of 64, s, p, q scalars. */
static KirKernel *
loop_kernel(Fixture *f, const char *step)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__text_printf(&text,
                     "kernel k f64 {\n"
                     "buffer table : i32[64] per launch\n"
                     "buffer in : f64[64] per trajectory\n"
                     "buffer out : f64[64] per trajectory writable\n"
                     "buffer wide : f64[64, 3] per trajectory writable\n"
                     "local a : f64[64]\nlocal b : f64[64]\nlocal m : i32[64]\n"
                     "local s : f64\nlocal p : f64\nlocal q : f64\nlocal done : bool\n"
                     "uniform u : f64[64]\n"
                     "done done\nwitness s, b\n"
                     "launch { %%1 = const.i32 0 %%2 = const.i32 64 %%3 = const.f64 0x1p+0\n"
                     " %%4 = const.i32 63 %%5 = const.i32 1 %%6 = const.bool true\n"
                     " %%7 = for %%1 .. %%2 { %%8 = cast.i32 %%7 to f64 set u[%%7], %%8 } }\n"
                     "init { %%20 = for %%1 .. %%2 { %%21 = load.f64 in[%%20] set a[%%20], %%21\n"
                     "  %%22 = load.i32 table[%%20] %%23 = and.i32 %%22, %%4 set m[%%20], %%23 }\n"
                     "}\n"
                     "step {\n%s\nset done, %%6\n}\n"
                     "finish { %%900 = for %%1 .. %%2 { %%901 = get.f64 b[%%900]\n"
                     "  store out[%%900], %%901 } }\n}\n",
                     step);
    return read_kernel(f, renumbered(f, text.data));
}

/* Whether the first loop of the step can be shared out; runs it in all shapes in any case. */
static void
check_loop(Fixture *f, const char *step, bool can)
{
    KirKernel *kernel = loop_kernel(f, step);
    CudaPlan *plan = rxn__cuda_plan(kernel, 2, &f->arena);
    bool shared = false;
    for (u32 i = 0; i < kernel->regions[KIR_STEP].count; i++) {
        const KirStatement *s = &kernel->regions[KIR_STEP].items[i];
        if (s->kind == KIR_FOR) {
            shared = plan->shared_out[s->value];
            break;
        }
    }
    if (shared != can)
        print_error("%s\n", step);
    assert_int_equal(shared, can);
    check_all_shapes(f, kernel, 1, 5, 9);
}

static void
test_loops_shared_out(void **state)
{
    Fixture *f = *state;
    /* elements of one's own */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.f64 a[%30] %32 = get.f64 u[%30]\n"
               " %33 = add.f64 %31, %32 set b[%30], %33 }",
               true);
    check_loop(f,
               "%30 = for %1 .. %4 down { %31 = add.i32 %30, %5 %32 = get.f64 b[%31]\n"
               " %33 = get.f64 a[%30] %34 = sub.f64 %32, %33 set b[%31], %34 }",
               true);
    /* through a table, equal writes */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.i32 m[%30] %32 = get.f64 a[%31]\n"
               " %33 = mul.f64 %32, %32 set b[%31], %33 }",
               true);
    /* with a private scalar, an inner loop and a condition */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.i32 m[%30] set p, %3\n"
               " %32 = for %1 .. %31 { %33 = get.f64 p %34 = get.f64 a[%32]\n"
               "  %35 = add.f64 %33, %34 set p, %35 }\n"
               " %36 = get.f64 p %37 = gt.f64 %36, %3\n"
               " if %37 { set b[%31], %36 } }",
               true);
    /* rows of a buffer */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.f64 a[%30] store wide[%30, %1], %31\n"
               " store wide[%30, %5], %31 }",
               true);
    /* a loop after another, over the same arrays: barriers */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.f64 a[%30] set b[%30], %31 }\n"
               "%40 = for %1 .. %2 { %41 = sub.i32 %4, %40 %42 = get.f64 b[%41]\n"
               " set a[%40], %42 }\n"
               "%50 = for %1 .. %2 { %51 = get.i32 m[%50] %52 = get.f64 a[%51]\n"
               " set b[%50], %52 }\n"
               "set b[%5], %3 %60 = get.f64 b[%5] %61 = get.f64 b[%4] set s, %61\n"
               "set b[%4], %60 set a[%1], %61 set b[%1], %60",
               true);
}

static void
test_loops_not_shared_out(void **state)
{
    Fixture *f = *state;
    /* a sum */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.f64 a[%30] %32 = get.f64 q\n"
               " %33 = add.f64 %31, %32 set q, %33 }\n%40 = get.f64 q set b[%1], %40",
               false);
    /* each reads what the one before has written */
    check_loop(f,
               "%30 = for %1 .. %4 { %31 = get.f64 a[%30] %32 = add.i32 %30, %5\n"
               " %33 = add.f64 %31, %3 set a[%32], %33 }",
               false);
    /* counts, which may meet */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.i32 m[%30] %32 = get.f64 b[%31]\n"
               " %33 = add.f64 %32, %3 set b[%31], %33 }",
               false);
    /* the last one wins */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.i32 m[%30] %32 = get.f64 a[%30]\n"
               " set b[%31], %32 }",
               false);
    /* likewise, through a scalar, and through a condition */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.i32 m[%30] %32 = get.f64 a[%30] set p, %32\n"
               " %33 = get.f64 p set b[%31], %33 }",
               false);
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.i32 m[%30] %32 = get.f64 a[%30] set p, %3\n"
               " %33 = gt.f64 %32, %3 if %33 { set p, %32 } %34 = get.f64 p\n"
               " set b[%31], %34 }",
               false);
    /* a scalar that is read behind it, or that a fault records */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.f64 a[%30] set p, %31 set b[%30], %31 }\n"
               "%40 = get.f64 p set b[%1], %40",
               false);
    check_loop(f, "%30 = for %1 .. %2 { %31 = get.f64 a[%30] set s, %31 set b[%30], %31 }", false);
    /* a break */
    check_loop(f,
               "%30 = for %1 .. %2 { %31 = get.f64 a[%30] set b[%30], %31\n"
               " %32 = gt.f64 %31, %3 if %32 { break } }",
               false);
    /* all in one place */
    check_loop(f, "%30 = for %1 .. %2 { %31 = get.f64 a[%30] set b[%5], %31 }", false);
}

/* Of the iterations that trap the first one counts, in the loop's own direction. */
static void
test_traps_in_shared_loops(void **state)
{
    Fixture *f = *state;
    for (u32 down = 0; down < 2; down++) {
        Text text;
        rxn__text_init(&text, &f->arena);
        rxn__text_printf(&text, "%%30 = for %%1 .. %%2%s", down ? " down" : "");
        rxn__text_printf(&text, " { %%31 = get.i32 m[%%30] %%32 = get.f64 a[%%31] set p, %%32\n"
                                " %%33 = gt.f64 %%32, %%3 %%34 = cast.i32 %%30 to u32\n"
                                " if %%33 { trap negative_count %%34 }\n"
                                " %%35 = lt.f64 %%32, %%3 if %%35 {\n"
                                "  %%37 = lt.i32 %%31, %%5 if %%37 { trap stiff %%34 } }\n"
                                " %%38 = get.f64 p store out[%%30], %%38 }");
        KirKernel *kernel = loop_kernel(f, text.data);
        CudaPlan *plan = rxn__cuda_plan(kernel, 2, &f->arena);
        u32 shared = 0;
        for (u32 v = 0; v < kernel->values.count; v++)
            shared += plan->shared_out[v];
        assert_true(shared >= 3);
        for (u64 seed = 0; seed < 2; seed++) {
            assert_int_not_equal(interpret(f, kernel, seed, 100, 6)->fault.code, 0);
            check_all_shapes(f, kernel, seed, 100, 6);
        }
    }
}

/* ---- names, constants, options ---- */

static void
test_names(void **state)
{
    Fixture *f = *state;
    CudaNames names;
    rxn__cuda_names_init(&names, &f->arena);
    assert_string_equal(rxn__cuda_identifier(&names, "x0"), "x0");
    assert_string_equal(rxn__cuda_identifier(&names, "x0"), "x0_2");
    assert_string_equal(rxn__cuda_identifier(&names, "total.22"), "total_22");
    assert_string_equal(rxn__cuda_identifier(&names, "total_22"), "total_22_2");
    assert_string_equal(rxn__cuda_identifier(&names, "for"), "for_2");
    assert_string_equal(rxn__cuda_identifier(&names, "__ldg"), "v_ldg");
    assert_string_equal(rxn__cuda_identifier(&names, "rxn_kernel"), "vrxn_kernel");
    for (u32 i = 0; i < 3000; i++)
        rxn__cuda_identifier(&names, "many");
    assert_string_equal(rxn__cuda_identifier(&names, "many"), "many_3001");
}

static void
test_constants(void **state)
{
    Fixture *f = *state;
    CudaText c = {.arena = &f->arena};
    assert_string_equal(rxn__cuda_constant(&c, KIR_F64, 0x3fb999999999999a), "0.1");
    assert_string_equal(rxn__cuda_constant(&c, KIR_F64, 0xbff0000000000000), "(-1.0)");
    assert_string_equal(rxn__cuda_constant(&c, KIR_F64, 0x8000000000000000), "(-0.0)");
    assert_string_equal(rxn__cuda_constant(&c, KIR_F64, 1), "5e-324");
    assert_string_equal(rxn__cuda_constant(&c, KIR_F32, 0x3dcccccd), "0.1f");
    assert_string_equal(rxn__cuda_constant(&c, KIR_F32, 0x7fc00000),
                        "rxn_bits_u32_f32(0x7fc00000u)");
    assert_string_equal(rxn__cuda_constant(&c, KIR_I32, 0xffffffff80000000), "(-2147483647 - 1)");
    assert_string_equal(rxn__cuda_constant(&c, KIR_U64, UINT64_MAX), "0xffffffffffffffffull");
    u64 random = 5;
    for (u32 i = 0; i < 20000; i++) {
        double value, back;
        u64 bits = random_u64(&random);
        memcpy(&value, &bits, sizeof value);
        if (value != value || value - value != 0)
            continue;
        const char *text = rxn__cuda_constant(&c, KIR_F64, bits);
        back = strtod(text + (*text == '('), NULL);
        assert_memory_equal(&back, &value, sizeof value);
    }
}

static void
test_refuses_other_forms(void **state)
{
    Fixture *f = *state;
    Text text;
    const char *error = NULL;
    rxn__text_init(&text, &f->arena);
    TargetOptions options = {0};
    KirKernel *kernel = loop_kernel(f, "");
    assert_int_equal(target()->emit(kernel, &options, TARGET_ASSEMBLY, &f->arena, &text, &error),
                     RXN_ERROR_USAGE);
    assert_non_null(error);
    assert_int_equal(target()->emit(kernel, &options, TARGET_IR, &f->arena, &text, &error), RXN_OK);
    assert_string_equal(text.data, compile(f, kernel, 0)->source);
}

/* ---- the reduction ---- */

static void
check_number(double got, double wanted)
{
    assert_int_equal(isnan(got), isnan(wanted));
    if (!isnan(wanted))
        assert_memory_equal(&got, &wanted, sizeof got);
}

static void
test_reduce(void **state)
{
    Fixture *f = *state;
    enum { ROWS = 29, CHUNK = 8, CHUNKS = 4, CELLS = 5 };
    CudaModule *module = cuda_module_open(compile(f, loop_kernel(f, ""), 1));
    assert_non_null(module);
    double samples[ROWS][CELLS], mean[CHUNKS][CELLS], m2[CHUNKS][CELLS];
    u64 row_events[ROWS], events[CHUNKS] = {0}, random = 3;
    for (u32 r = 0; r < ROWS; r++) {
        row_events[r] = random_u64(&random) >> 20;
        for (u32 k = 0; k < CELLS; k++)
            samples[r][k] = k == 0 ? 0.1 : (double)(random_u64(&random) >> 11) * 1e-9;
    }
    samples[CHUNK][1] = samples[CHUNK + 3][2] = INFINITY; /* the first of a chunk, and another */
    samples[2 * CHUNK][1] = INFINITY;
    samples[2 * CHUNK + 1][1] = -INFINITY;
    RxnCudaReduce reduce = {(uintptr_t)samples,
                            (uintptr_t)row_events,
                            (uintptr_t)mean,
                            (uintptr_t)m2,
                            (uintptr_t)events,
                            ROWS,
                            CHUNK,
                            CELLS};
    assert_true(cuda_module_run(module, "rxn_reduce", &reduce, 2, CHUNKS, 3, 3, 0, 1));
    for (u32 chunk = 0; chunk < CHUNKS; chunk++) {
        double expected_mean[CELLS], expected_m2[CELLS];
        u64 rows = chunk + 1 < CHUNKS ? CHUNK : ROWS - chunk * CHUNK, sum = 0;
        Moments moments = {.mean = expected_mean, .m2 = expected_m2};
        rxn__moments_of_rows(&moments, CELLS, rows, samples[chunk * CHUNK]);
        for (u32 k = 0; k < CELLS; k++) { /* NaN has a sign that is nobody's business */
            check_number(mean[chunk][k], expected_mean[k]);
            check_number(m2[chunk][k], expected_m2[k]);
        }
        for (u32 r = 0; r < rows; r++)
            sum += row_events[chunk * CHUNK + r];
        assert_int_equal(events[chunk], sum);
    }
    cuda_module_close(module);
}

/* A run that is cancelled ends. */
static void
test_cancel(void **state)
{
    Fixture *f = *state;
    KirKernel *kernel =
        read_kernel(f, "kernel k f64 {\nlocal n : u32\nlocal done : bool\ndone done\n"
                       "launch { %1 = const.u32 1 }\ninit {}\n"
                       "step { %2 = get.u32 n %3 = add.u32 %2, %1 set n, %3 }\n"
                       "finish {}\n}\n");
    RandomLaunch *l = random_launch(&f->arena, kernel, 1, 0, 3, 1);
    l->cancel = 1;
    for (u32 shape = 1; shape <= 3; shape++)
        run_text(f, kernel, shape, 1, l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_kernels),
        TEST(test_every_op),
        TEST(test_loops_shared_out),
        TEST(test_loops_not_shared_out),
        TEST(test_traps_in_shared_loops),
        TEST(test_names),
        TEST(test_constants),
        TEST(test_refuses_other_forms),
        TEST(test_reduce),
        TEST(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
