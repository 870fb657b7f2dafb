/* test_target_llvm_logs.c: stores that are put down first and written later (target/llvm/logs.c), at every number of lanes
 * against the interpreter, and which stores are.
 */
#include "kir_fixture.h"

#include "compiler/target/target.h"
#include "random_kernel.h"

static const u32 widths[] = {1, 2, 4, 8, 16, 32};

enum { ROWS = 24, COLUMNS = 10 };

/* What a kernel of this test does besides. */
typedef enum Twist {
    PLAIN,
    NARROW,        /* numbers of f32, widened as they are stored */
    NO_MORE,       /* eight columns, as many as are packed of 16 lanes (one is a constant) */
    TOO_MANY,      /* nine */
    TWO_PLACES,    /* the same row by another group of stores, a step later */
    OTHER_COLUMNS, /* that group stores other columns, some of the same elements */
    IN_INIT,       /* a row before the first step */
    IN_FINISH,     /* the first row once more at the end */
    READS,         /* it adds up what it has stored */
    WHOLE_COLUMN,  /* the column is no constant */
    TRAPS,         /* some trajectories end in a fault */
    TWIST_COUNT,
} Twist;

static bool
is_logged(Twist twist)
{
    return twist == PLAIN || twist == NARROW || twist == NO_MORE || twist == TWO_PLACES ||
           twist == TRAPS;
}

typedef struct Build {
    KirBuilder *b;
    u32 out, sum, n, done;
} Build;

static KirValue
whole(const Build *k, double value)
{
    return rxn__kir_const(k->b, KIR_I32, value);
}

/* A number that is another one for each trajectory and step. */
static KirValue
varying(const Build *k, u32 salt)
{
    KirBuilder *b = k->b;
    KirValue step = kir_cast(b, KIR_U64, rxn__kir_get(b, k->n, 0));
    KirValue number =
        kir_add(b, kir_mul(b, kir_trajectory(b), rxn__kir_const(b, KIR_U64, 977)), step);
    number = kir_add(b, number, rxn__kir_const(b, KIR_U64, salt));
    number = kir_mul(b, number, rxn__kir_const_bits(b, KIR_U64, 0x9E3779B97F4A7C15));
    return kir_shr(b, number, rxn__kir_const(b, KIR_U64, 43));
}

static KirValue
below(const Build *k, u32 salt, u32 limit)
{
    KirValue number = kir_rem(k->b, varying(k, salt), rxn__kir_const(k->b, KIR_U64, limit));
    return kir_cast(k->b, KIR_I32, number);
}

/* Columns first, first + every … of a row; the last of them always gets the same number. */
static void
store_row(const Build *k, KirValue row, u32 first, u32 every, u32 columns, Twist twist)
{
    KirBuilder *b = k->b;
    KirType type = twist == NARROW ? KIR_F32 : KIR_F64;
    for (u32 c = 0; c < columns; c++) {
        KirValue value = kir_cast(b, KIR_F64, kir_cast(b, type, varying(k, 100 + c)));
        if (c + 1 == columns && columns > 2)
            value = rxn__kir_const(b, KIR_F64, 0.5);
        KirValue column = whole(k, first + every * c);
        if (twist == WHOLE_COLUMN)
            column = kir_add(b, column, below(k, 7, 3));
        rxn__kir_store(b, k->out, (KirValue[]){row, column}, value);
    }
}

/* Up to 40 steps a trajectory; in about a third of them rows are stored, one or more. */
static KirKernel *
kernel_with(Fixture *f, Twist twist)
{
    Build made = {.b = rxn__kir_begin(&f->arena, &f->names, "logs", KIR_F64)}, *k = &made;
    KirBuilder *b = k->b;
    const u32 extents[2] = {ROWS, COLUMNS};
    k->out = rxn__kir_buffer(b, "out", KIR_F64, KIR_PER_TRAJECTORY, true, 2, extents);
    k->sum = rxn__kir_local(b, "sum", KIR_F64, 0);
    k->n = rxn__kir_local(b, "n", KIR_I32, 0);
    k->done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    KirKernel *kernel = rxn__kir_kernel(b);
    kernel->done = k->done;
    vec_push(kernel->arena, &kernel->witness, k->sum);
    u32 columns = twist == TOO_MANY ? 9 : twist == NO_MORE ? 8 : 3;

    if (twist == IN_INIT) {
        rxn__kir_region(b, KIR_INIT);
        store_row(k, whole(k, 1), 0, 2, columns, twist);
    }
    rxn__kir_region(b, KIR_STEP);
    if (twist == TRAPS) {
        rxn__kir_if(b, kir_eq(b, below(k, 5, 900), whole(k, 0)));
        rxn__kir_trap(b, RXN_FAULT_STEP_LIMIT, rxn__kir_const(b, KIR_U32, 3));
        rxn__kir_close(b);
    }
    rxn__kir_if(b, kir_lt(b, below(k, 1, 100), whole(k, 35)));
    rxn__kir_loop(b);
    KirValue row = below(k, 2, ROWS);
    store_row(k, row, 0, 1, columns, twist);
    if (twist == READS) {
        KirValue stored = rxn__kir_load(b, k->out, (KirValue[]){row, whole(k, 0)});
        rxn__kir_set(b, k->sum, 0, kir_add(b, rxn__kir_get(b, k->sum, 0), stored));
    }
    rxn__kir_set(b, k->n, 0, kir_add(b, rxn__kir_get(b, k->n, 0), whole(k, 1)));
    rxn__kir_if(b, kir_lt(b, below(k, 3, 100), whole(k, 70)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__kir_else(b);
    rxn__kir_set(b, k->n, 0, kir_add(b, rxn__kir_get(b, k->n, 0), whole(k, 1)));
    rxn__kir_close(b);
    if (twist == TWO_PLACES || twist == OTHER_COLUMNS) {
        rxn__kir_if(b, kir_lt(b, below(k, 4, 100), whole(k, 50)));
        store_row(k, below(k, 6, ROWS), 0, twist == OTHER_COLUMNS ? 2 : 1, columns, twist);
        rxn__kir_close(b);
    }
    KirValue n = rxn__kir_get(b, k->n, 0);
    rxn__kir_set(
        b, k->done, 0,
        kir_gt(b, n,
               kir_add(b, whole(k, 20),
                       kir_cast(b, KIR_I32,
                                kir_and(b, kir_trajectory(b), rxn__kir_const(b, KIR_U64, 15))))));
    rxn__kir_region(b, KIR_FINISH);
    if (twist == IN_FINISH) {
        rxn__kir_if(b, kir_gt(b, rxn__kir_get(b, k->n, 0), whole(k, 25)));
        store_row(k, whole(k, 0), 0, 1, columns, twist);
        rxn__kir_close(b);
    }
    const u32 extent[1] = {2};
    u32 result = rxn__kir_buffer(b, "result", KIR_F64, KIR_PER_TRAJECTORY, true, 1, extent);
    rxn__kir_store(b, result, (KirValue[]){whole(k, 1)}, rxn__kir_get(b, k->sum, 0));
    const char *error = rxn__kir_end(b, &kernel);
    if (error)
        print_error("%s\n", error);
    assert_null(error);
    assert_null(rxn__kir_optimize(kernel, &f->arena, NULL, NULL));
    return kernel;
}

/* The rows of trajectories that end in a fault are nobody's business. */
static const char *
difference_of(Fixture *f, const KirKernel *kernel, Twist twist, const RandomLaunch *a,
              const RandomLaunch *b)
{
    if (twist != TRAPS)
        return launch_difference(&f->arena, kernel, a, b);
    return a->fault.trajectory == b->fault.trajectory && a->fault.code == b->fault.code
               ? NULL
               : "another fault";
}

static void
compare(Fixture *f, const KirKernel *kernel, Twist twist, u64 count)
{
    RandomLaunch *expected = random_launch(&f->arena, kernel, 1, 50, count, 4);
    const char *error = NULL;
    if (rxn__kir_interpret(kernel, &expected->launch, 100000, &f->arena, &error) != RXN_OK)
        fail_msg("%s\n%s", error, printed(f, kernel));
    assert_int_equal(expected->fault.trajectory != UINT64_MAX, twist == TRAPS && count > 50);
    for (u32 w = 0; w < COUNT_OF(widths); w++) {
        TargetOptions options = {.lanes = widths[w], .debug_checks = true};
        CompiledKernel compiled;
        if (rxn__target_find("llvm")->compile(kernel, &options, &f->arena, &compiled, &error) !=
            RXN_OK)
            fail_msg("%s\n%s", error, printed(f, kernel));
        RandomLaunch *l = random_launch(&f->arena, kernel, 1, 50, count, 4);
        l->launch.workspace = rxn__arena_alloc(&f->arena, compiled.workspace_bytes + 64);
        compiled.run(&l->launch);
        const char *difference = difference_of(f, kernel, twist, expected, l);
        if (difference)
            fail_msg("twist %d, %u lanes: %s\n%s", (int)twist, widths[w], difference,
                     printed(f, kernel));
    }
}

static void
test_logs(void **state)
{
    Fixture *f = *state;
    for (Twist twist = 0; twist < TWIST_COUNT; twist++) {
        const KirKernel *kernel = kernel_with(f, twist);
        compare(f, kernel, twist, 3);
        compare(f, kernel, twist, 200); /* some 1,500 rows: a log is full several times */
    }
}

/* By the code for a processor that can pack lanes, whatever this one can. */
static void
test_which(void **state)
{
    Fixture *f = *state;
    TargetOptions options = {.lanes = 16,
                             .cpu = "x86-64-v4",
                             .features = "+avx2,+fma,+avx512f,+avx512dq,+avx512bw,+avx512vl"};
    for (Twist twist = 0; twist < TWIST_COUNT; twist++) {
        Text text;
        const char *error = NULL;
        rxn__text_init(&text, &f->arena);
        const KirKernel *kernel = kernel_with(f, twist);
        assert_int_equal(
            rxn__target_find("llvm")->emit(kernel, &options, TARGET_IR, &f->arena, &text, &error),
            RXN_OK);
        if (!strstr(text.data, "target triple = \"x86_64")) {
            print_message("# only x86-64 can pack lanes\n");
            skip();
        }
        bool logged = strstr(text.data, "avx512.mask.compress") != NULL;
        if (logged != is_logged(twist))
            fail_msg("twist %d: %s\n%s", (int)twist, logged ? "logged" : "not logged",
                     printed(f, kernel));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_logs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_which, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("target_llvm_logs", tests, NULL, NULL);
}
