/* test_kir.c: the kernel IR: ops, builder, interpreter. The text form and the checker are in
 * test_kir_text.c, the passes in test_kir_passes.c.
 */
#include "kir_fixture.h"

#include "compiler/kir/internal.h"
#include <math.h>

/* ---- Ops ---------------------------------------------------------------------------------------- */

static u64
evaluate(KirOp op, KirType type, KirType arg_type, u64 x, u64 y, u64 z)
{
    const u64 args[3] = {x, y, z};
    return rxn__kir_evaluate(op, type, arg_type, args);
}

static u64
f64_bits(double value)
{
    return rxn__kir_f64_bits(value);
}

static u64
f32_bits(float value)
{
    return rxn__kir_f32_bits(value);
}

static void
integers_wrap_and_are_total(void **state)
{
    (void)state;
    const u64 least32 = (u64)(i64)INT32_MIN, least64 = (u64)INT64_MIN, minus = UINT64_MAX;
    const struct {
        KirOp op;
        KirType type;
        u64 x, y, result;
    } cases[] = {
        {KIR_ADD, KIR_I32, INT32_MAX, 1, least32},
        {KIR_ADD, KIR_U32, UINT32_MAX, 1, 0},
        {KIR_ADD, KIR_I64, INT64_MAX, 1, least64},
        {KIR_SUB, KIR_U64, 0, 1, UINT64_MAX},
        {KIR_SUB, KIR_I32, least32, 1, INT32_MAX},
        {KIR_MUL, KIR_I32, 0x10000, 0x10000, 0},
        {KIR_MUL, KIR_I64, least64, minus, least64},
        {KIR_MUL, KIR_U64, UINT64_MAX, UINT64_MAX, 1},
        {KIR_MULHI, KIR_U32, UINT32_MAX, UINT32_MAX, UINT32_MAX - 1},
        {KIR_MULHI, KIR_U64, UINT64_MAX, UINT64_MAX, UINT64_MAX - 1},
        {KIR_DIV, KIR_I32, least32, minus, 0},
        {KIR_DIV, KIR_I64, least64, minus, 0},
        {KIR_DIV, KIR_I32, (u64)-7, 2, (u64)-3},
        {KIR_DIV, KIR_U32, 7, 0, 0},
        {KIR_DIV, KIR_U64, UINT64_MAX, UINT64_MAX, 1},
        {KIR_REM, KIR_I32, (u64)-7, 2, minus},
        {KIR_REM, KIR_I64, least64, minus, 0},
        {KIR_REM, KIR_U64, 7, 0, 0},
        {KIR_NEG, KIR_I32, least32, 0, least32},
        {KIR_MIN, KIR_I32, minus, 1, minus},
        {KIR_MIN, KIR_U64, minus, 1, 1},
        {KIR_MAX, KIR_I64, minus, 1, 1},
        {KIR_SHL, KIR_I32, 1, 31, least32},
        {KIR_SHL, KIR_I32, 1, 33, 2},
        {KIR_SHL, KIR_U32, 3, minus, 0x80000000u},
        {KIR_SHR, KIR_I32, least32, 31, minus},
        {KIR_SHR, KIR_U32, 0x80000000u, 31, 1},
        {KIR_SHR, KIR_I64, least64, 127, minus},
        {KIR_SHR, KIR_U64, least64, 63, 1},
        {KIR_NOT, KIR_BOOL, 1, 0, 0},
        {KIR_NOT, KIR_U32, 1, 0, UINT32_MAX - 1},
        {KIR_NOT, KIR_I32, 0, 0, minus},
        {KIR_XOR, KIR_BOOL, 1, 1, 0},
        {KIR_LT, KIR_I32, minus, 0, 1},
        {KIR_LT, KIR_U64, minus, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const u64 result =
            evaluate(cases[i].op, cases[i].type, cases[i].type, cases[i].x, cases[i].y, 0);
        if (result != cases[i].result)
            print_error("case %zu: %s.%s gives %llx\n", i, rxn__kir_ops[cases[i].op].text,
                        rxn__kir_type_names[cases[i].type], (unsigned long long)result);
        assert_true(result == cases[i].result);
    }
}

static void
floats_are_evaluated_in_their_own_precision(void **state)
{
    (void)state;
    /* 1 + 2^-24 is 1 in f32, and is not in f64. */
    assert_true(evaluate(KIR_ADD, KIR_F32, KIR_F32, f32_bits(1), f32_bits(0x1p-24f), 0) ==
                f32_bits(1));
    assert_true(evaluate(KIR_ADD, KIR_F64, KIR_F64, f64_bits(1), f64_bits(0x1p-24), 0) ==
                f64_bits(1 + 0x1p-24));
    /* fma rounds once: (1 + e)(1 - e) - 1 = -e^2. */
    const double e = 0x1p-30;
    assert_true(evaluate(KIR_FMA, KIR_F64, KIR_F64, f64_bits(1 + e), f64_bits(1 - e),
                         f64_bits(-1)) == f64_bits(-e * e));
    const float s = 0x1p-14f;
    assert_true(evaluate(KIR_FMA, KIR_F32, KIR_F32, f32_bits(1 + s), f32_bits(1 - s),
                         f32_bits(-1)) == f32_bits(-s * s));
    /* min and max: the second, if one is NaN or both are zeros. */
    const u64 nan = f64_bits(NAN), one = f64_bits(1), zero = f64_bits(0), minus = f64_bits(-0.0);
    assert_true(evaluate(KIR_MIN, KIR_F64, KIR_F64, nan, one, 0) == one);
    assert_true(evaluate(KIR_MIN, KIR_F64, KIR_F64, one, nan, 0) == nan);
    assert_true(evaluate(KIR_MAX, KIR_F64, KIR_F64, nan, one, 0) == one);
    assert_true(evaluate(KIR_MAX, KIR_F64, KIR_F64, zero, minus, 0) == minus);
    assert_true(evaluate(KIR_RINT, KIR_F64, KIR_F64, f64_bits(2.5), 0, 0) == f64_bits(2));
    assert_true(evaluate(KIR_NE, KIR_BOOL, KIR_F64, nan, nan, 0) == 1);
    assert_true(evaluate(KIR_EQ, KIR_BOOL, KIR_F64, nan, nan, 0) == 0);
    assert_true(evaluate(KIR_GE, KIR_BOOL, KIR_F64, nan, one, 0) == 0);
}

static void
casts_truncate_and_wrap(void **state)
{
    (void)state;
    const struct {
        KirType from, to;
        u64 x, result;
    } cases[] = {
        {KIR_F64, KIR_I32, f64_bits(-1.9), (u64)-1},
        {KIR_F64, KIR_I32, f64_bits(2147483647.9), INT32_MAX},
        {KIR_F64, KIR_I32, f64_bits(2147483648.0), 0},
        {KIR_F64, KIR_I32, f64_bits(-2147483648.9), (u64)(i64)INT32_MIN},
        {KIR_F64, KIR_I32, f64_bits(NAN), 0},
        {KIR_F64, KIR_U32, f64_bits(-0.5), 0},
        {KIR_F64, KIR_U32, f64_bits(-1), 0},
        {KIR_F64, KIR_U32, f64_bits(4294967295.5), UINT32_MAX},
        {KIR_F64, KIR_I64, f64_bits(0x1p63), 0},
        {KIR_F64, KIR_I64, f64_bits(-0x1p63), (u64)INT64_MIN},
        {KIR_F64, KIR_U64, f64_bits(0x1.fffffffffffffp63), 0xfffffffffffff800},
        {KIR_F64, KIR_U64, f64_bits(INFINITY), 0},
        {KIR_F32, KIR_I32, f32_bits(0x1p31f), 0},
        {KIR_F64, KIR_F32, f64_bits(1 + 0x1p-30), f32_bits(1)},
        {KIR_I64, KIR_F32, (1u << 24) + 1, f32_bits(0x1p24f)},
        {KIR_U64, KIR_F64, UINT64_MAX, f64_bits(0x1p64)},
        {KIR_I64, KIR_F64, UINT64_MAX, f64_bits(-1)},
        {KIR_I32, KIR_U64, (u64)-1, UINT64_MAX},
        {KIR_U32, KIR_I64, UINT32_MAX, UINT32_MAX},
        {KIR_U32, KIR_I32, UINT32_MAX, UINT64_MAX},
        {KIR_I64, KIR_I32, 0x180000000, (u64)(i64)INT32_MIN},
        {KIR_BOOL, KIR_F64, 1, f64_bits(1)},
        {KIR_BOOL, KIR_I32, 1, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const u64 result = evaluate(KIR_CAST, cases[i].to, cases[i].from, cases[i].x, 0, 0);
        if (result != cases[i].result)
            print_error("case %zu gives %llx\n", i, (unsigned long long)result);
        assert_true(result == cases[i].result);
    }
    assert_true(evaluate(KIR_BITS, KIR_U32, KIR_F32, f32_bits(1), 0, 0) == 0x3f800000);
    assert_true(evaluate(KIR_BITS, KIR_I32, KIR_F32, f32_bits(-0.0f), 0, 0) == (u64)(i64)INT32_MIN);
    assert_true(evaluate(KIR_BITS, KIR_F64, KIR_U64, f64_bits(3), 0, 0) == f64_bits(3));
}

/* ---- Builder ------------------------------------------------------------------------------------ */

/* A kernel with an f64 `x` and an i32 `n` to compute with. */
typedef struct Small {
    KirBuilder *b;
    u32 x, n, done;
} Small;

static Small
small(Fixture *f)
{
    Small s = {.b = rxn__kir_begin(&f->arena, &f->names, "small", KIR_F64)};
    s.x = rxn__kir_local(s.b, "x", KIR_F64, 0);
    s.n = rxn__kir_local(s.b, "n", KIR_I32, 0);
    s.done = rxn__kir_local(s.b, "done", KIR_BOOL, 0);
    rxn__kir_kernel(s.b)->done = s.done;
    rxn__kir_region(s.b, KIR_STEP);
    return s;
}

static void
the_builder_folds_and_shares(void **state)
{
    Small s = small(*state);
    KirBuilder *b = s.b;
    const KirValue x = rxn__kir_get(b, s.x, 0), n = rxn__kir_get(b, s.n, 0);
    const KirValue one = rxn__kir_const(b, KIR_F64, 1), two = rxn__kir_const(b, KIR_F64, 2);
    const KirValue zero = rxn__kir_const(b, KIR_F64, 0);
    assert_int_equal(kir_add(b, one, one), two);
    assert_int_equal(kir_mul(b, one, x), x);
    assert_int_equal(kir_sub(b, x, zero), x);
    assert_int_not_equal(kir_add(b, x, zero), x); /* -0 + 0 is 0 */
    assert_int_not_equal(kir_sub(b, x, x), zero);
    assert_int_not_equal(kir_mul(b, x, zero), zero);
    assert_int_equal(kir_add(b, kir_abs(b, x), zero), kir_abs(b, x));
    assert_int_equal(kir_add(b, x, two), kir_add(b, two, x));
    assert_int_equal(kir_div(b, x, two), kir_mul(b, x, rxn__kir_const(b, KIR_F64, 0.5)));
    /* Not where the reciprocal is no normal number. */
    const KirValue huge = rxn__kir_const(b, KIR_F64, 0x1p1023);
    assert_int_equal(rxn__kir_kernel(b)->values.items[kir_div(b, x, huge)].op, KIR_DIV);
    const KirValue large = rxn__kir_const(b, KIR_F64, 0x1p1022);
    assert_int_equal(kir_div(b, x, large), kir_mul(b, x, rxn__kir_const(b, KIR_F64, 0x1p-1022)));
    assert_int_not_equal(rxn__kir_kernel(b)->values.items[kir_log(b, one)].op, KIR_CONST);
    const KirValue five = rxn__kir_const(b, KIR_I32, 5), seven = rxn__kir_const(b, KIR_I32, 7);
    assert_int_equal(kir_add(b, kir_add(b, n, five), seven),
                     kir_add(b, n, rxn__kir_const(b, KIR_I32, 12)));
    assert_int_equal(kir_sub(b, n, n), rxn__kir_const(b, KIR_I32, 0));
    assert_int_equal(kir_cast(b, KIR_I32, kir_cast(b, KIR_F64, n)), n);
    assert_int_not_equal(kir_cast(b, KIR_I32, kir_cast(b, KIR_F32, n)), n);
    const KirValue less = kir_lt(b, x, one);
    assert_int_equal(kir_not(b, kir_not(b, less)), less);
    assert_int_equal(kir_gt(b, one, x), less);
    assert_int_equal(kir_select(b, less, x, x), x);
    assert_int_equal(kir_and(b, less, kir_not(b, less)), rxn__kir_const(b, KIR_BOOL, 0));
    assert_int_equal(rxn__kir_typed(b, KIR_CAST, KIR_BOOL, x), kir_ne(b, x, zero));

    /* Shared while visible, no longer. */
    const KirValue root = kir_sqrt(b, x);
    rxn__kir_if(b, less);
    assert_int_equal(kir_sqrt(b, x), root);
    const KirValue inside = kir_floor(b, x);
    assert_int_equal(kir_floor(b, x), inside);
    rxn__kir_else(b);
    assert_int_not_equal(kir_floor(b, x), inside);
    rxn__kir_close(b);
    assert_int_not_equal(kir_floor(b, x), inside);
    assert_int_not_equal(rxn__kir_get(b, s.x, 0), x); /* a get is not pure */
    KirKernel *kernel;
    assert_null(rxn__kir_end(b, &kernel));
}

static void
values_of_launch_are_shared_by_the_regions(void **state)
{
    Fixture *f = *state;
    KirBuilder *b = rxn__kir_begin(&f->arena, &f->names, "regions", KIR_F64);
    const u32 rate = rxn__kir_buffer(b, "rate", KIR_F64, KIR_PER_LAUNCH, false, 0, NULL);
    rxn__kir_kernel(b)->done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    rxn__kir_region(b, KIR_STEP);
    const KirValue in_step = rxn__kir_load(b, rate, NULL);
    rxn__kir_region(b, KIR_LAUNCH);
    const KirValue in_launch = rxn__kir_load(b, rate, NULL);
    rxn__kir_region(b, KIR_FINISH);
    assert_int_equal(rxn__kir_load(b, rate, NULL), in_launch);
    rxn__kir_region(b, KIR_STEP);
    const KirValue again = rxn__kir_load(b, rate, NULL);
    assert_true(again == in_launch || again == in_step);
    KirKernel *kernel;
    assert_null(rxn__kir_end(b, &kernel));
}

static void
names_of_locals_are_kept_apart(void **state)
{
    Small s = small(*state);
    const u32 second = rxn__kir_local(s.b, "x", KIR_F64, 0);
    const KirKernel *kernel = rxn__kir_kernel(s.b);
    assert_string_equal(kernel->locals.items[s.x].name->text, "x");
    assert_string_equal(kernel->locals.items[second].name->text, "x.3");
}

static const char *
misused(Fixture *f, int how)
{
    Small s = small(f);
    KirBuilder *b = s.b;
    const KirValue x = rxn__kir_get(b, s.x, 0), n = rxn__kir_get(b, s.n, 0);
    switch (how) {
    case 0: kir_add(b, x, n); break;
    case 1: kir_add(b, x, 0); break;
    case 2: rxn__kir_set(b, s.x, 0, n); break;
    case 3: rxn__kir_if(b, kir_lt(b, x, x)), rxn__kir_loop(b); break;
    case 4: rxn__kir_break(b); break;
    case 5: rxn__kir_close(b); break;
    case 6: rxn__kir_else(b); break;
    case 7: rxn__kir_get(b, s.x, n); break;
    case 8: rxn__kir_const(b, KIR_I32, 0.5); break;
    case 9: rxn__kir_get(b, 99, 0); break;
    case 10: rxn__kir_kernel(b)->done = s.x; break;
    default: {
        rxn__kir_loop(b);
        const KirValue inside = kir_sqrt(b, x);
        rxn__kir_break(b);
        rxn__kir_close(b);
        rxn__kir_set(b, s.x, 0, inside);
    }
    }
    KirKernel *kernel;
    const char *error = rxn__kir_end(b, &kernel);
    assert_true((error == NULL) == (kernel != NULL));
    return error;
}

static void
misuse_is_reported_at_the_end(void **state)
{
    static const char *const errors[] = {
        "add: its arguments differ in type",
        "add: an argument is no value",
        "the value of a set (value 2) is i32, not f64",
        "a block is left open at the end",
        "step: a break outside of a for or loop",
        "a block is closed that was not opened",
        "an else without its if",
        "get: a scalar has no index",
        "0.5 is no i32 constant",
        "get: there is no local 99",
        "launch: local 'x' says when a trajectory is done, so it is one bool of its own",
        "step: set uses value 3 (sqrt) where it is not visible",
    };
    for (int i = 0; i < (int)COUNT_OF(errors); i++) {
        const char *error = misused(*state, i);
        assert_non_null(error);
        assert_string_equal(error, errors[i]);
    }
}

/* ---- Interpreter -------------------------------------------------------------------------------- */

/* The known answers for philox4x32 with 10 rounds in the Random123 distribution (kat_vectors). */
static void
philox_gives_the_known_answers(void **state)
{
    static const u32 known[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    Fixture *f = *state;
    KirBuilder *b = rxn__kir_begin(&f->arena, &f->names, "philox", KIR_F64);
    const u32 extent[1] = {6}, words[1] = {4};
    const u32 in = rxn__kir_buffer(b, "in", KIR_U32, KIR_PER_TRAJECTORY, false, 1, extent);
    const u32 out = rxn__kir_buffer(b, "out", KIR_U32, KIR_PER_TRAJECTORY, true, 1, words);
    const u32 done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    rxn__kir_kernel(b)->done = done;
    rxn__kir_region(b, KIR_STEP);
    KirValue input[6], random[4];
    for (u32 i = 0; i < 6; i++)
        input[i] = rxn__kir_load(b, in, (KirValue[]){rxn__kir_const(b, KIR_I32, i)});
    rxn__kir_philox(b, &input[4], input, random);
    for (u32 i = 0; i < 4; i++)
        rxn__kir_store(b, out, (KirValue[]){rxn__kir_const(b, KIR_I32, i)}, random[i]);
    rxn__kir_set(b, done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    KirKernel *kernel;
    assert_null(rxn__kir_end(b, &kernel));

    u32 inputs[3][6], outputs[3][4];
    for (u32 i = 0; i < 3; i++)
        memcpy(inputs[i], known[i], sizeof inputs[i]);
    void *buffers[] = {inputs, outputs};
    const int64_t strides[] = {6, 4};
    const int cancel = 0;
    RxnFault fault = {.trajectory = UINT64_MAX};
    RxnLaunch launch = {
        .count = 3, .buffers = buffers, .strides = strides, .fault = &fault, .cancel = &cancel};
    const char *error;
    assert_int_equal(rxn__kir_interpret(kernel, &launch, 0, &f->arena, &error), RXN_OK);
    for (u32 i = 0; i < 3; i++)
        assert_memory_equal(outputs[i], &known[i][6], sizeof outputs[i]);
}

/* Runs a kernel of with_step (or a text like it) for the trajectories 10 to 13. */
typedef struct Run {
    double in[2], row[4][5], out[4][5], witness[8];
    RxnFault fault;
    int cancel;
    RxnStatus status;
    const char *error;
} Run;

static void
run(Fixture *f, const char *text, u64 guard, Run *r)
{
    void *buffers[] = {r->in, r->row, r->out};
    const int64_t strides[] = {0, 5, 5};
    r->fault = (RxnFault){.trajectory = UINT64_MAX, .witness = r->witness};
    RxnLaunch launch = {.first = 10,
                        .count = 4,
                        .buffers = buffers,
                        .strides = strides,
                        .fault = &r->fault,
                        .cancel = &r->cancel};
    r->status = rxn__kir_interpret(read_kernel(f, text), &launch, guard, &f->arena, &r->error);
}

/* The sum of 0 .. i-1 for trajectory i, by a for, in steps of one. */
static const char *const sums = "kernel sums f64 {\n"
                                "  buffer in : f64[2] per launch\n"
                                "  buffer row : f64[?] per trajectory\n"
                                "  buffer out : f64[?] per trajectory writable\n"
                                "  local x : f64\n"
                                "  local a : i32[3]\n"
                                "  local done : bool\n"
                                "  uniform u : f64\n"
                                "  done done\n"
                                "  witness x, a\n"
                                "  launch {\n"
                                "    %1 = const.i32 1\n"
                                "    %2 = load.f64 in[%1]\n"
                                "    set u, %2\n"
                                "    %3 = const.i32 0\n"
                                "  }\n"
                                "  init {\n"
                                "    %4 = load.f64 row[%3]\n"
                                "    set x, %4\n"
                                "  }\n"
                                "  step {\n"
                                "    %5 = trajectory.u64\n"
                                "    %6 = cast.u64 %5 to i32\n"
                                "    %7 = for %3 .. %6 {\n"
                                "      %8 = get.f64 x\n"
                                "      %9 = cast.i32 %7 to f64\n"
                                "      %10 = add.f64 %8, %9\n"
                                "      set x, %10\n"
                                "    }\n"
                                "    %11 = get.i32 a[%1]\n"
                                "    %12 = add.i32 %11, %1\n"
                                "    set a[%1], %12\n"
                                "    %13 = const.u32 5\n"
                                "    %14 = const.i32 12\n"
                                "    %15 = const.i32 2\n"
                                "    %16 = ge.i32 %6, %14\n"
                                "    %17 = eq.i32 %12, %15\n"
                                "    %18 = and.bool %16, %17\n"
                                "    %TRAP\n"
                                "    set done, %17\n"
                                "  }\n"
                                "  finish {\n"
                                "    %20 = get.f64 x\n"
                                "    %21 = get.f64 u\n"
                                "    %22 = mul.f64 %20, %21\n"
                                "    store out[%15_INDEX], %22\n"
                                "  }\n"
                                "}\n";

static const char *
sums_with(Fixture *f, const char *trap, const char *index)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    const char *at = sums, *hole = strstr(at, "%TRAP");
    rxn__text_append(&text, at, (size_t)(hole - at));
    rxn__text_printf(&text, "%s", trap);
    at = hole + strlen("%TRAP");
    hole = strstr(at, "%15_INDEX");
    rxn__text_append(&text, at, (size_t)(hole - at));
    rxn__text_printf(&text, "%s%s", index, hole + strlen("%15_INDEX"));
    return text.data;
}

static void
the_interpreter_runs_trajectories(void **state)
{
    Fixture *f = *state;
    Run r = {.in = {0, 2}};
    for (u32 i = 0; i < 4; i++)
        r.row[i][0] = 1000 * i;
    run(f, sums_with(f, "", "%1"), 0, &r);
    assert_null(r.error);
    assert_int_equal(r.status, RXN_OK);
    assert_true(r.fault.trajectory == UINT64_MAX);
    for (u32 i = 0; i < 4; i++) /* two steps, each the sum of 0 .. 9 + i; doubled by u */
        assert_true(r.out[i][1] == 2 * (1000 * i + (9 + i) * (10 + i)));
}

static void
the_lowest_trap_is_kept(void **state)
{
    Fixture *f = *state;
    Run r = {.in = {0, 2}};
    run(f, sums_with(f, "if %18 { trap count_overflow %13 }", "%1"), 0, &r);
    assert_int_equal(r.status, RXN_OK);
    assert_true(r.fault.trajectory == 12);
    assert_int_equal(r.fault.code, RXN_FAULT_COUNT_OVERFLOW);
    assert_int_equal(r.fault.detail, 5);
    assert_true(r.witness[0] == 11 * 12);
    assert_true(r.witness[1] == 0 && r.witness[2] == 2 && r.witness[3] == 0);
    assert_true(r.out[1][1] == 2 * 10 * 11); /* those before are done */
    assert_true(r.out[2][1] == 0);           /* no finish after a trap */
}

static void
the_interpreter_checks_indices_and_ends(void **state)
{
    Fixture *f = *state;
    Run r = {.in = {0, 2}};
    run(f, sums_with(f, "%19 = get.i32 a[%14]", "%1"), 0, &r);
    assert_int_equal(r.status, RXN_ERROR_INTERNAL);
    assert_string_equal(r.error,
                        "step: index 12 of local 'a' is outside its 3 elements (trajectory 10)");
    const char *wrong =
        with_step(f, "%9 = const.i32 5", "%10 = load.f64 row[%9] set x, %10 set done, %3");
    run(f, wrong, 0, &r);
    assert_string_equal(r.error,
                        "step: index 5 of buffer 'row' is outside its 5 elements (trajectory 10)");
    wrong = with_step(f, "%9 = const.i32 -1 %10 = load.f64 in[%9]", "set done, %3");
    run(f, wrong, 0, &r);
    assert_string_equal(r.error, "launch: index -1 of buffer 'in' is outside its 2 elements");
    run(f, sums_with(f, "", "%1"), 1, &r);
    assert_int_equal(r.status, RXN_ERROR_INTERNAL);
    assert_string_equal(r.error, "a trajectory does not end (step guard)");
    run(f, sums_with(f, "", "%1"), 2, &r);
    assert_int_equal(r.status, RXN_OK);
    run(f, with_step(f, "loop {}", ""), 5, &r);
    assert_string_equal(r.error, "a loop does not end (step guard)");
    r.cancel = 1;
    run(f, with_step(f, "", "loop {}"), 0, &r);
    assert_int_equal(r.status, RXN_CANCELLED);
}

static void
breaks_leave_the_innermost_loop(void **state)
{
    Fixture *f = *state;
    /* x counts the turns of the outer loop, three; the inner one is left at once. */
    const char *text = with_step(f, "%5 = const.f64 3 %6 = const.f64 1",
                                 "loop {\n"
                                 "  loop { if %3 { break } else { loop {} } }\n"
                                 "  %10 = get.f64 x\n"
                                 "  %11 = add.f64 %10, %6\n"
                                 "  set x, %11\n"
                                 "  %12 = ge.f64 %11, %5\n"
                                 "  if %12 { break }\n"
                                 "}\n"
                                 "%13 = get.f64 x\n"
                                 "store out[%1], %13\n"
                                 "set done, %3\n");
    Run r = {.in = {0, 0}};
    run(f, text, 1, &r);
    assert_null(r.error);
    for (u32 i = 0; i < 4; i++)
        assert_true(r.out[i][0] == 3);
}

/* ---- The reference ------------------------------------------------------------------------------ */

static const char *
reference_page(Fixture *f)
{
    FILE *file = fopen(RXN_SOURCE_ROOT "/docs/kir.md", "rb");
    assert_non_null(file);
    Text page;
    rxn__text_init(&page, &f->arena);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;)
        rxn__text_append(&page, chunk, n);
    fclose(file);
    return page.data;
}

/* docs/kir.md has one row per op, made of the same columns as the op's row in kir.def. */
static void
the_reference_has_every_op(void **state)
{
    static const char *const rows[] = {
#define KIR_OP(id, text, arity, takes, gives, flags, float_rule, int_rule, cuda)                   \
    "| `" text "` | " #arity " | " #takes " | " #gives " | " #flags " | `" #float_rule             \
    "` | `" #int_rule "` |",
#include "compiler/kir/kir.def"
#undef KIR_OP
    };
    Fixture *f = *state;
    const char *page = reference_page(f);
    bool missing = false;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        Text row; /* a bar within a cell is escaped */
        rxn__text_init(&row, &f->arena);
        for (const char *c = rows[i]; *c; c++)
            rxn__text_printf(
                &row, *c == '|' && c >= rows[i] + 2 && !strncmp(c - 2, "x | y", 5) ? "\\%c" : "%c",
                *c);
        if (!strstr(page, row.data)) {
            print_error("docs/kir.md lacks the row\n%s\n", row.data);
            missing = true;
        }
    }
    assert_false(missing);
}

static void
the_example_of_the_reference_is_a_kernel(void **state)
{
    Fixture *f = *state;
    const char *begin = strstr(reference_page(f), "```\nkernel ");
    assert_non_null(begin);
    begin += 4;
    const char *end = strstr(begin, "```");
    assert_non_null(end);
    const char *text = rxn__arena_copy_text(&f->arena, begin, (size_t)(end - begin));
    assert_string_equal(printed(f, read_kernel(f, text)), text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(integers_wrap_and_are_total),
        TEST(floats_are_evaluated_in_their_own_precision),
        TEST(casts_truncate_and_wrap),
        TEST(the_builder_folds_and_shares),
        TEST(values_of_launch_are_shared_by_the_regions),
        TEST(names_of_locals_are_kept_apart),
        TEST(misuse_is_reported_at_the_end),
        TEST(philox_gives_the_known_answers),
        TEST(the_interpreter_runs_trajectories),
        TEST(the_lowest_trap_is_kept),
        TEST(the_interpreter_checks_indices_and_ends),
        TEST(breaks_leave_the_innermost_loop),
        TEST(the_reference_has_every_op),
        TEST(the_example_of_the_reference_is_a_kernel),
    };
    return cmocka_run_group_tests_name("kir", tests, NULL, NULL);
}
