/* test_target_llvm_loops.c: loops that lanes enter and leave at different times, tapes, and work that is
 * all done in finish, on the LLVM target at every number of lanes, against the interpreter.
 *
 * (test_target_llvm.c has random kernels with all of these. Here each case is made on purpose, and what the
 * lanes' being in step is for is looked at too: neither gathers nor scatters.)
 */
#include "kir_fixture.h"

#include "compiler/target/target.h"
#include "random_kernel.h"

#include <sys/mman.h>
#include <unistd.h>

static const u32 widths[] = {1, 2, 4, 8, 16, 32};

typedef struct Build {
    KirBuilder *b;
    u32 done, x, y, out, buffer_count;
} Build;

static KirValue
whole(Build *k, double value)
{
    return rxn__kir_const(k->b, KIR_I32, value);
}

/* A kernel whose trajectories are done after init; its finish is open. */
static Build
begin(Fixture *f)
{
    Build k = {.b = rxn__kir_begin(&f->arena, &f->names, "loops", KIR_F64)};
    const u32 extent[1] = {4};
    k.out = rxn__kir_buffer(k.b, "out", KIR_U64, KIR_PER_TRAJECTORY, true, 1, extent);
    k.done = rxn__kir_local(k.b, "done", KIR_BOOL, 0);
    k.x = rxn__kir_local(k.b, "x", KIR_U64, 0);
    k.y = rxn__kir_local(k.b, "y", KIR_I32, 0);
    KirKernel *kernel = rxn__kir_kernel(k.b);
    kernel->done = k.done;
    vec_push(kernel->arena, &kernel->witness, k.x);
    rxn__kir_region(k.b, KIR_INIT);
    rxn__kir_set(k.b, k.done, 0, rxn__kir_const(k.b, KIR_BOOL, 1));
    rxn__kir_region(k.b, KIR_FINISH);
    return k;
}

/* A number from 0 to limit - 1 that is another for most trajectories. */
static KirValue
varying(Build *k, u32 salt, u32 limit)
{
    KirValue number = kir_add(k->b, kir_trajectory(k->b), rxn__kir_const(k->b, KIR_U64, salt));
    number = kir_mul(k->b, number, rxn__kir_const_bits(k->b, KIR_U64, 0x9E3779B97F4A7C15));
    number = kir_shr(k->b, number, rxn__kir_const(k->b, KIR_U64, 40));
    number = kir_rem(k->b, number, rxn__kir_const(k->b, KIR_U64, limit));
    return kir_cast(k->b, KIR_I32, number);
}

/* x = x * 31 + value: what has been seen, and in what order. */
static void
see(Build *k, KirValue value)
{
    KirValue x = kir_mul(k->b, rxn__kir_get(k->b, k->x, 0), rxn__kir_const(k->b, KIR_U64, 31));
    rxn__kir_set(k->b, k->x, 0, kir_add(k->b, x, kir_cast(k->b, KIR_U64, value)));
}

static KirKernel *
end(Fixture *f, Build *k)
{
    rxn__kir_store(k->b, k->out, (KirValue[]){whole(k, 0)}, rxn__kir_get(k->b, k->x, 0));
    KirKernel *kernel = NULL;
    const char *error = rxn__kir_end(k->b, &kernel);
    if (error)
        print_error("%s\n", error);
    assert_null(error);
    error = rxn__kir_optimize(kernel, &f->arena, NULL, NULL);
    assert_null(error);
    return kernel;
}

static CompiledKernel
compiled_at(Fixture *f, const KirKernel *kernel, u32 lanes)
{
    TargetOptions options = {.lanes = lanes, .debug_checks = true};
    CompiledKernel compiled;
    const char *error = NULL;
    if (rxn__target_find("llvm")->compile(kernel, &options, &f->arena, &compiled, &error) != RXN_OK)
        fail_msg("%s\n%s", error, printed(f, kernel));
    return compiled;
}

/* At `lanes`; or, if that is 0, at all numbers of lanes for every fourth kernel, and the others share these among them, to save
 * time. */
static bool
is_tried(u32 kernel, u32 w, u32 lanes)
{
    if (lanes)
        return widths[w] == lanes;
    return kernel % 4 == 0 || w == kernel % COUNT_OF(widths) ||
           w == (kernel / 7 + 3) % COUNT_OF(widths);
}

/* Returns the fault, which is the interpreter's too. */
static RxnFault
compare_at(Fixture *f, const KirKernel *kernel, u64 first, u64 count, u32 lanes)
{
    static u32 kernels;
    const u32 number = kernels++;
    RandomLaunch *expected = random_launch(&f->arena, kernel, 1, first, count, 4);
    const char *error = NULL;
    if (rxn__kir_interpret(kernel, &expected->launch, 100000, &f->arena, &error) != RXN_OK)
        fail_msg("%s\n%s", error, printed(f, kernel));
    for (u32 w = 0; w < COUNT_OF(widths); w++) {
        if (!is_tried(number, w, lanes))
            continue;
        CompiledKernel compiled = compiled_at(f, kernel, widths[w]);
        RandomLaunch *l = random_launch(&f->arena, kernel, 1, first, count, 4);
        l->launch.workspace = rxn__arena_alloc(&f->arena, compiled.workspace_bytes + 64);
        memset(l->launch.workspace, 0xA5, compiled.workspace_bytes); /* nobody clears tapes */
        compiled.run(&l->launch);
        const char *difference = launch_difference(&f->arena, kernel, expected, l);
        if (difference)
            fail_msg("%u lanes: %s\n%s", widths[w], difference, printed(f, kernel));
    }
    return expected->fault;
}

static RxnFault
compare(Fixture *f, const KirKernel *kernel, u64 count)
{
    return compare_at(f, kernel, 100, count, 0);
}

/* ---- fors --------------------------------------------------------------------------------------- */

enum { LOW_VARIES = 1, HIGH_VARIES = 2, DOWN = 4, BREAKS = 8, NESTED = 16, TRAPS = 32, ALL = 64 };

static KirValue
open_for(Build *k, u32 kind, u32 salt)
{
    KirValue low = kind & LOW_VARIES ? varying(k, salt, 12) : whole(k, 3);
    KirValue high = kind & HIGH_VARIES ? varying(k, salt + 1, 14) : whole(k, 9);
    return kind & DOWN ? rxn__kir_for_down(k->b, low, high) : rxn__kir_for(k->b, low, high);
}

/* A break, or a trap, of the lanes that have come to a turn of their own. */
static void
leave_at(Build *k, KirValue counter, u32 salt, bool trap)
{
    rxn__kir_if(k->b, kir_eq(k->b, counter, varying(k, salt, trap ? 90 : 14)));
    see(k, counter);
    if (trap)
        rxn__kir_trap(k->b, RXN_FAULT_STEP_LIMIT, kir_cast(k->b, KIR_U32, counter));
    else
        rxn__kir_break(k->b);
    rxn__kir_close(k->b);
}

static KirKernel *
kernel_of_fors(Fixture *f, u32 kind)
{
    Build k = begin(f);
    KirValue outer = open_for(&k, kind, 1);
    see(&k, outer);
    if (kind & NESTED) {
        KirValue inner = open_for(&k, kind ^ DOWN, 5);
        see(&k, inner);
        if (kind & BREAKS)
            leave_at(&k, kir_add(k.b, inner, kir_and(k.b, outer, whole(&k, 1))), 9, false);
        see(&k, outer);
        rxn__kir_close(k.b);
    }
    if (kind & TRAPS)
        leave_at(&k, outer, 17, true);
    if (kind & BREAKS)
        leave_at(&k, outer, 13, false);
    see(&k, outer);
    rxn__kir_close(k.b);
    return end(f, &k);
}

static void
lanes_take_the_turns_of_their_own(void **state)
{
    (void)state;
    u32 faults = 0;
    for (u32 kind = 0; kind < ALL; kind++) {
        Fixture *f = NULL;
        assert_int_equal(set_up((void **)&f), 0);
        faults += compare(f, kernel_of_fors(f, kind), 75).trajectory != UINT64_MAX;
        assert_int_equal(tear_down((void **)&f), 0);
    }
    assert_int_equal(faults, ALL / 2); /* those that trap */
}

/* At the ends of i32 no counter runs over. */
static void
counters_do_not_run_over(void **state)
{
    Fixture *f = *state;
    for (u32 down = 0; down < 2; down++)
        for (u32 varies = 0; varies < 4; varies++) {
            Build k = begin(f);
            for (u32 end_of_type = 0; end_of_type < 2; end_of_type++) {
                const double edge = end_of_type ? 2147483647.0 : -2147483648.0;
                KirValue low = whole(&k, end_of_type ? edge - 5 : edge);
                KirValue high = whole(&k, end_of_type ? edge : edge + 5);
                if (varies & 1)
                    low = kir_add(k.b, low, varying(&k, 1, 5));
                if (varies & 2)
                    high = kir_sub(k.b, high, varying(&k, 2, 5));
                see(&k, (down ? rxn__kir_for_down : rxn__kir_for)(k.b, low, high));
                rxn__kir_close(k.b);
            }
            compare(f, end(f, &k), 40);
        }
}

/* ---- many locals -------------------------------------------------------------------------------- */

/* With many locals the lanes outside a loop keep them by putting them aside, not by blends (exits.c). So
 * here are locals of every kind, that loops set at the top, in an `if`, before and behind the break, or
 * before they read them; and loops of every kind, one in the other, under an `if`, in step and in finish. */
enum {
    COUNTED = 1, /* a for, not a loop */
    OWN_LOW = 2, /* of the for */
    OWN_HIGH = 4,
    BACKWARDS = 8,
    LEAVES = 16,   /* by breaks besides */
    FAULTS = 32,   /* and by traps */
    INNER = 64,    /* another loop in it */
    GUARDED = 128, /* only for some of the lanes */
    ROUND = 256,   /* in a loop that lanes leave too */
    IN_STEP = 512,
    WIDE = 1024, /* so much state that no trap saves it */
    EXIT_KINDS = 2048,
};

enum { PLAIN = 4, SPLIT = 3, IN_MEMORY = 5 };

typedef struct Many {
    Build k;
    u32 kind, plain[PLAIN], real, flag, turns, late, split, memory;
} Many;

static KirValue
constant_u64(Many *m, u64 value)
{
    return rxn__kir_const_bits(m->k.b, KIR_U64, value);
}

/* Each local becomes a number of its own, of another one, and of `turn`. */
static void
stir(Many *m, KirValue turn, u32 salt)
{
    KirBuilder *b = m->k.b;
    KirValue wide = kir_add(b, kir_cast(b, KIR_U64, turn), constant_u64(m, salt));
    for (u32 i = 0; i < PLAIN; i++) {
        KirValue own = kir_mul(b, rxn__kir_get(b, m->plain[i], 0), constant_u64(m, 31));
        KirValue other = rxn__kir_get(b, m->plain[(i + 1) % PLAIN], 0);
        rxn__kir_set(b, m->plain[i], 0, kir_add(b, kir_xor(b, own, other), wide));
    }
    for (u32 i = 0; i < SPLIT; i++) {
        KirValue own = rxn__kir_get(b, m->split, whole(&m->k, i));
        rxn__kir_set(b, m->split, whole(&m->k, i), kir_sub(b, kir_shl(b, own, wide), wide));
    }
    KirValue real = kir_mul(b, rxn__kir_get(b, m->real, 0), rxn__kir_const(b, KIR_F64, 0.75));
    rxn__kir_set(b, m->real, 0, kir_add(b, real, kir_cast(b, KIR_F64, turn)));
    KirValue at = kir_and(b, turn, whole(&m->k, 3)), low = kir_and(b, wide, constant_u64(m, 1));
    rxn__kir_set(b, m->memory, at, kir_add(b, rxn__kir_get(b, m->memory, at), wide));
    KirValue flag = rxn__kir_get(b, m->flag, 0);
    rxn__kir_if(b, kir_eq(b, low, constant_u64(m, 0)));
    rxn__kir_set(b, m->flag, 0, kir_not(b, flag));
    rxn__kir_set(b, m->plain[0], 0, kir_add(b, rxn__kir_get(b, m->plain[1], 0), wide));
    see(&m->k, rxn__kir_get(b, m->plain[2], 0));
    see(&m->k, kir_cast(b, KIR_U64, flag));
    see(&m->k, turn);
    rxn__kir_close(b);
    /* Set before it is read: nobody has to keep it. */
    rxn__kir_set(b, m->late, 0, kir_xor(b, wide, rxn__kir_get(b, m->k.x, 0)));
    rxn__kir_set(b, m->split, whole(&m->k, 0), rxn__kir_get(b, m->late, 0));
}

static KirValue
open_loop(Many *m, u32 kind, u32 salt)
{
    KirBuilder *b = m->k.b;
    if (kind & COUNTED) {
        KirValue low = kind & OWN_LOW ? varying(&m->k, salt, 7) : whole(&m->k, 1);
        /* Loops of few turns have blends after all, so one is longer where it is left by a break. */
        double most = kind & LEAVES ? 100 : 6;
        KirValue high = kind & OWN_HIGH ? varying(&m->k, salt + 1, 9) : whole(&m->k, most);
        return kind & BACKWARDS ? rxn__kir_for_down(b, low, high) : rxn__kir_for(b, low, high);
    }
    rxn__kir_loop(b);
    KirValue turn = rxn__kir_get(b, m->turns, 0);
    rxn__kir_set(b, m->turns, 0, kir_add(b, turn, whole(&m->k, 1)));
    return turn;
}

static void
leave(Many *m, KirValue turn, u32 salt, u32 limit, bool trap)
{
    KirBuilder *b = m->k.b;
    KirValue own = varying(&m->k, salt, limit);
    rxn__kir_if(b, kir_eq(b, trap ? turn : kir_and(b, turn, whole(&m->k, 7)), own));
    rxn__kir_set(b, m->plain[3], 0, rxn__kir_get(b, m->plain[0], 0));
    if (trap)
        rxn__kir_trap(b, RXN_FAULT_STEP_LIMIT, kir_cast(b, KIR_U32, turn));
    else
        rxn__kir_break(b);
    rxn__kir_close(b);
}

static void
write_loop(Many *m, u32 kind, u32 salt)
{
    KirBuilder *b = m->k.b;
    bool counted = kind & COUNTED;
    rxn__kir_set(b, m->turns, 0, whole(&m->k, 0));
    KirValue turn = open_loop(m, kind, salt);
    stir(m, turn, salt);
    if (kind & FAULTS)
        leave(m, turn, salt + 2, 60, true);
    if (kind & INNER) {
        KirValue kept = rxn__kir_get(b, m->turns, 0);
        write_loop(m, (kind & ~(u32)INNER) ^ (salt % 2 ? COUNTED : BACKWARDS), salt + 10);
        rxn__kir_set(b, m->turns, 0, kept);
        if (kind & FAULTS)
            leave(m, turn, salt + 8, 9, true); /* often: of a launch only one is seen */
    }
    if (!counted || kind & LEAVES)
        leave(m, turn, salt + 3, 8, false);
    stir(m, turn, salt + 4);
    if (kind & FAULTS) {
        rxn__kir_if(b, kir_eq(b, varying(&m->k, salt + 5, 3), whole(&m->k, 0)));
        leave(m, turn, salt + 6, 40, true);
        stir(m, turn, salt + 7);
        rxn__kir_close(b);
    }
    rxn__kir_close(b);
}

static void
write_work(Many *m)
{
    KirBuilder *b = m->k.b;
    u32 outer = 0;
    if (m->kind & ROUND) {
        outer = rxn__kir_for(b, whole(&m->k, 0), whole(&m->k, 4));
        stir(m, outer, 50);
    }
    if (m->kind & GUARDED) {
        rxn__kir_if(b, kir_ne(b, varying(&m->k, 51, 3), whole(&m->k, 0)));
        if (m->kind & FAULTS)
            leave(m, varying(&m->k, 56, 30), 57, 30, true);
        write_loop(m, m->kind, 1);
        rxn__kir_else(b);
        stir(m, varying(&m->k, 52, 9), 53);
        rxn__kir_close(b);
    } else {
        write_loop(m, m->kind, 1);
    }
    if (m->kind & ROUND) {
        leave(m, outer, 54, 5, false);
        stir(m, outer, 55);
        rxn__kir_close(b);
    }
}

static KirKernel *
kernel_of_many(Fixture *f, u32 kind)
{
    const u32 extent[1] = {4};
    Many m = {.k.b = rxn__kir_begin(&f->arena, &f->names, "exits", KIR_F64), .kind = kind};
    KirBuilder *b = m.k.b;
    KirKernel *kernel = rxn__kir_kernel(b);
    m.k.out = rxn__kir_buffer(b, "out", KIR_U64, KIR_PER_TRAJECTORY, true, 1, extent);
    kernel->done = m.k.done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    m.k.x = rxn__kir_local(b, "x", KIR_U64, 0);
    m.k.y = rxn__kir_local(b, "y", KIR_I32, 0);
    for (u32 i = 0; i < PLAIN; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%u", i);
        m.plain[i] = rxn__kir_local(b, name, KIR_U64, 0);
    }
    m.real = rxn__kir_local(b, "real", KIR_F64, 0);
    m.flag = rxn__kir_local(b, "flag", KIR_BOOL, 0);
    m.turns = rxn__kir_local(b, "turns", KIR_I32, 0);
    m.late = rxn__kir_local(b, "late", KIR_U64, 0);
    m.split = rxn__kir_local(b, "split", KIR_U64, SPLIT);
    m.memory = rxn__kir_local(b, "memory", KIR_U64, IN_MEMORY);
    const u32 witness[] = {m.k.x,  m.plain[0], m.plain[3], m.real,
                           m.flag, m.late,     m.split,    m.memory};
    for (u32 i = 0; i < COUNT_OF(witness); i++)
        vec_push(kernel->arena, &kernel->witness, witness[i]);
    for (u32 i = 0; i < 6 && kind & WIDE; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%u", i);
        vec_push(kernel->arena, &kernel->witness, rxn__kir_local(b, name, KIR_F64, 64));
    }
    rxn__kir_region(b, KIR_INIT);
    for (u32 i = 0; i < PLAIN; i++)
        rxn__kir_set(b, m.plain[i], 0, kir_cast(b, KIR_U64, varying(&m.k, 60 + i, 1000)));
    if (!(kind & IN_STEP))
        rxn__kir_set(b, m.k.done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    rxn__kir_region(b, kind & IN_STEP ? KIR_STEP : KIR_FINISH);
    write_work(&m);
    if (kind & IN_STEP) {
        KirValue steps = kir_add(b, rxn__kir_get(b, m.k.y, 0), whole(&m.k, 1));
        rxn__kir_set(b, m.k.y, 0, steps);
        rxn__kir_set(b, m.k.done, 0, kir_gt(b, steps, varying(&m.k, 70, 3)));
        stir(&m, steps, 71);
        rxn__kir_region(b, KIR_FINISH);
        write_loop(&m, COUNTED | OWN_LOW, 80);
    }
    for (u32 i = 0; i < PLAIN; i++)
        see(&m.k, rxn__kir_get(b, m.plain[i], 0));
    for (u32 i = 0; i < SPLIT; i++)
        see(&m.k, rxn__kir_get(b, m.split, whole(&m.k, i)));
    for (u32 i = 0; i < IN_MEMORY; i++)
        see(&m.k, rxn__kir_get(b, m.memory, whole(&m.k, i)));
    see(&m.k, kir_bits(b, KIR_U64, rxn__kir_get(b, m.real, 0)));
    see(&m.k, kir_cast(b, KIR_U64, rxn__kir_get(b, m.flag, 0)));
    return end(f, &m.k);
}

/* A fault shows the first trajectory that has one alone; so each launch has other ones. */
static void
lanes_that_are_out_keep_their_locals(void **state)
{
    (void)state;
    const u64 kernels = number_from_environment("RXN_RANDOM_KERNELS", 120);
    u64 faults = 0;
    for (u64 i = 0; i < kernels; i++) {
        Fixture *f = NULL;
        assert_int_equal(set_up((void **)&f), 0);
        u32 kind = (u32)(i * 557 % EXIT_KINDS); /* 557 is prime: each bit meets each other */
        RxnFault fault = compare_at(f, kernel_of_many(f, kind), 7 * kind, 70, 2u << i % 5);
        faults += fault.trajectory != UINT64_MAX;
        assert_int_equal(tear_down((void **)&f), 0);
    }
    /* Half of them may trap, and nearly all of those do. */
    assert_in_range(faults, kernels * 2 / 5, kernels * 8 / 15);
}

/* ---- tapes -------------------------------------------------------------------------------------- */

static const struct {
    KirType type;
    u32 storage;
} tapes[] = {{KIR_U32, 1}, {KIR_U32, 2}, {KIR_U32, 4},  {KIR_F64, 8}, {KIR_F32, 4},
             {KIR_I64, 8}, {KIR_U64, 8}, {KIR_BOOL, 1}, {KIR_I32, 4}};

/* Forward: up to a number of turns of its own each trajectory writes a tape; back: it reads it. */
static KirKernel *
forward_and_back(Fixture *f, KirType type, u32 storage, bool own_index)
{
    Build k = begin(f);
    const u32 tape = rxn__kir_tape_local(k.b, "tape", type, storage, 64);
    KirValue i = rxn__kir_for(k.b, whole(&k, 0), whole(&k, 32));
    KirValue at = own_index ? kir_xor(k.b, i, varying(&k, 3, 31)) : i;
    KirValue number = kir_mul(k.b, kir_cast(k.b, KIR_U64, kir_add(k.b, varying(&k, 5, 9999), i)),
                              rxn__kir_const_bits(k.b, KIR_U64, 0x9E3779B97F4A7C15));
    rxn__kir_set(k.b, tape, at, kir_cast(k.b, type, number));
    /* Some write once more, while the others' elements stay. */
    rxn__kir_if(k.b, kir_gt(k.b, i, varying(&k, 11, 32)));
    number = kir_mul(k.b, number, number);
    rxn__kir_set(k.b, tape, at, kir_cast(k.b, type, number));
    rxn__kir_close(k.b);
    rxn__kir_set(k.b, k.y, 0, kir_add(k.b, i, whole(&k, 1)));
    rxn__kir_if(k.b, kir_eq(k.b, i, varying(&k, 7, 32)));
    rxn__kir_break(k.b);
    rxn__kir_close(k.b);
    rxn__kir_close(k.b);
    i = rxn__kir_for_down(k.b, whole(&k, 0), rxn__kir_get(k.b, k.y, 0));
    at = own_index ? kir_xor(k.b, i, varying(&k, 3, 31)) : i;
    KirValue value = rxn__kir_get(k.b, tape, at);
    if (type == KIR_F64)
        value = kir_bits(k.b, KIR_U64, value);
    else if (type == KIR_F32)
        value = kir_bits(k.b, KIR_U32, value);
    see(&k, value);
    rxn__kir_close(k.b);
    return end(f, &k);
}

static void
tapes_give_back_what_was_written(void **state)
{
    for (u32 t = 0; t < COUNT_OF(tapes); t++)
        for (u32 own = 0; own < 2; own++) {
            KirKernel *kernel = forward_and_back(*state, tapes[t].type, tapes[t].storage, own);
            assert_true(compare(*state, kernel, 70).trajectory == UINT64_MAX);
        }
}

static bool
rendered_has(Fixture *f, const KirKernel *kernel, const char *what)
{
    Text text;
    const char *error = NULL;
    TargetOptions options = {.lanes = 16, .debug_checks = true};
    rxn__text_init(&text, &f->arena);
    assert_int_equal(rxn__target_find("llvm")->emit(kernel, &options, TARGET_IR_OPTIMIZED,
                                                    &f->arena, &text, &error),
                     RXN_OK);
    return strstr(text.data, what) != NULL;
}

/* Lanes that count in step write and read their elements side by side. */
static void
tapes_are_contiguous(void **state)
{
    Fixture *f = *state;
    for (u32 t = 0; t < COUNT_OF(tapes); t++) {
        KirKernel *kernel = forward_and_back(f, tapes[t].type, tapes[t].storage, false);
        assert_false(rendered_has(f, kernel, "masked.gather"));
        assert_false(rendered_has(f, kernel, "masked.scatter.v16i8"));
        assert_int_equal(compiled_at(f, kernel, 16).workspace_bytes, tapes[t].storage * 64 * 16);
        kernel = forward_and_back(f, tapes[t].type, tapes[t].storage, true);
        assert_true(rendered_has(f, kernel, "masked.gather"));
    }
}

/* The longest tape there is, of which two elements are used: nothing else is touched. */
static void
a_long_tape_costs_what_is_used_of_it(void **state)
{
    Fixture *f = *state;
    Build k = begin(f);
    const u32 tape = rxn__kir_tape_local(k.b, "tape", KIR_U32, 1, UINT32_C(1) << 31);
    KirValue last = whole(&k, 2147483647), own = kir_sub(k.b, last, varying(&k, 1, 1000));
    rxn__kir_set(k.b, tape, own, rxn__kir_const(k.b, KIR_U32, 9));
    see(&k, rxn__kir_get(k.b, tape, own));
    rxn__kir_set(k.b, tape, last, rxn__kir_const(k.b, KIR_U32, 5));
    see(&k, rxn__kir_get(k.b, tape, last));
    KirKernel *kernel = end(f, &k);
    CompiledKernel compiled = compiled_at(f, kernel, 16);
    const size_t bytes = (size_t)16 << 31, page = (size_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(compiled.workspace_bytes, bytes);
    void *space = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) {
        print_message(
            "# skipped: this system does not give 32 GiB of addresses that are never touched\n");
        return;
    }
    RandomLaunch *l = random_launch(&f->arena, kernel, 1, 0, 40, 4);
    l->launch.workspace = space;
    compiled.run(&l->launch);
    for (u32 i = 0; i < 40; i++)
        assert_int_equal(((u64 *)l->launch.buffers[0])[4 * i], 9 * 31 + 5);
    unsigned char touched[64];
    const size_t tail = COUNT_OF(touched) * page;
    assert_int_equal(mincore((char *)space + bytes - tail, tail, touched), 0);
    u32 pages = 0;
    for (u32 i = 0; i < COUNT_OF(touched); i++)
        pages += touched[i] & 1;
    assert_true(pages > 0 && pages <= 1 + 16000 / page);
    munmap(space, bytes);
}

/* ---- what few lanes enter ----------------------------------------------------------------------- */

enum {
    READS_OUTSIDE = 1,
    SETS_OUTSIDE = 2,
    WALKS = 4,
    IN_AN_IF = 8,
    STORES = 16,
    ALL_OF_SELDOM = 32
};

/* Up a heap of 32 leaves from a leaf of the lane's own, with a sum that is the block's own affair. */
static void
walk_up(Build *k, u32 heap, u32 node, KirValue turn)
{
    KirBuilder *b = k->b;
    KirValue leaf =
        kir_add(b, whole(k, 32), kir_rem(b, kir_add(b, varying(k, 2, 32), turn), whole(k, 32)));
    rxn__kir_set(b, node, 0, leaf);
    rxn__kir_set(b, heap, leaf, kir_cast(b, KIR_F64, turn));
    rxn__kir_loop(b);
    KirValue at = rxn__kir_get(b, node, 0);
    rxn__kir_if(b, kir_lt(b, at, whole(k, 2)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue above = kir_shr(b, at, whole(k, 1));
    KirValue sum =
        kir_add(b, rxn__kir_get(b, heap, at), rxn__kir_get(b, heap, kir_xor(b, at, whole(k, 1))));
    rxn__kir_set(b, heap, above, sum);
    rxn__kir_set(b, node, 0, above);
    rxn__kir_close(b);
}

/* In a loop of 20 turns, in each of which some trajectories enter the block; `kind`: what it does. */
static KirKernel *
entered_by_few(Fixture *f, u32 kind)
{
    Build k = begin(f);
    KirBuilder *b = k.b;
    const u32 heap = rxn__kir_local(b, "heap", KIR_F64, 64),
              node = rxn__kir_local(b, "node", KIR_I32, 0);
    const u32 flag = rxn__kir_local(b, "flag", KIR_BOOL, 0),
              real = rxn__kir_local(b, "real", KIR_F32, 0);
    const u32 pair = rxn__kir_local(b, "pair", KIR_I64, 2);
    KirValue turn = rxn__kir_for(b, whole(&k, 0), whole(&k, 20));
    KirValue outside = kir_mul(b, varying(&k, 9, 1000), turn);
    KirValue odd = kir_eq(b, kir_and(b, outside, whole(&k, 1)), whole(&k, 1));
    if (kind & IN_AN_IF)
        rxn__kir_if(b, kir_lt(b, varying(&k, 6, 10), whole(&k, 7)));
    rxn__kir_if_seldom(
        b, kir_eq(b, kir_rem(b, kir_add(b, varying(&k, 4, 5), turn), whole(&k, 5)), whole(&k, 0)));
    if (kind & READS_OUTSIDE) {
        rxn__kir_if(b, kir_and(b, odd, kir_not(b, rxn__kir_get(b, flag, 0))));
        see(&k, outside);
        rxn__kir_else(b);
        see(&k, rxn__kir_for(b, varying(&k, 3, 4), kir_add(b, turn, whole(&k, 1))));
        rxn__kir_close(b);
        rxn__kir_close(b);
    }
    if (kind & SETS_OUTSIDE) {
        rxn__kir_set(b, flag, 0, kir_xor(b, rxn__kir_get(b, flag, 0), odd));
        rxn__kir_set(b, real, 0, kir_add(b, rxn__kir_get(b, real, 0), kir_cast(b, KIR_F32, turn)));
        KirValue one = whole(&k, 1), old = rxn__kir_get(b, pair, one);
        rxn__kir_set(b, pair, one, kir_add(b, old, kir_cast(b, KIR_I64, outside)));
        rxn__kir_set(b, k.y, 0, outside);
    }
    if (kind & WALKS)
        walk_up(&k, heap, node, turn);
    if (kind & STORES)
        rxn__kir_store(b, k.out, (KirValue[]){whole(&k, 1)}, kir_cast(b, KIR_U64, outside));
    rxn__kir_close(b);
    if (kind & IN_AN_IF)
        rxn__kir_close(b);
    see(&k, rxn__kir_get(b, k.y, 0));
    see(&k, rxn__kir_get(b, flag, 0));
    rxn__kir_close(b);
    see(&k, kir_bits(b, KIR_U64, rxn__kir_get(b, heap, whole(&k, 1))));
    see(&k, kir_bits(b, KIR_U32, rxn__kir_get(b, real, 0)));
    see(&k, rxn__kir_get(b, pair, whole(&k, 1)));
    return end(f, &k);
}

/* One after another, in scalar code; but for what has to know which trajectory it is of. */
static void
what_few_lanes_enter_is_done_for_each_of_them(void **state)
{
    Fixture *f = *state;
    for (u32 kind = 1; kind < ALL_OF_SELDOM; kind++) {
        KirKernel *kernel = entered_by_few(f, kind);
        for (u32 w = 0; w < COUNT_OF(widths); w++)
            assert_true(compare_at(f, kernel, 100, 70, widths[w]).trajectory == UINT64_MAX);
        if (kind != IN_AN_IF)
            assert_int_equal(rendered_has(f, kernel, "each_lane"), !(kind & STORES));
    }
}

/* ---- cancellation ------------------------------------------------------------------------------- */

/* Loops that never end, of each kind, in finish: they return once they are told to. */
static void
loops_in_finish_can_be_cancelled(void **state)
{
    Fixture *f = *state;
    for (u32 kind = 0; kind < 5; kind++)
        for (u32 w = 0; w < COUNT_OF(widths); w += 2) {
            Build k = begin(f);
            KirValue huge = whole(&k, 2147483647), zero = whole(&k, 0);
            if (kind >= 3) /* one in another */
                rxn__kir_for(k.b, zero, huge);
            rxn__kir_loop(k.b);
            if (kind == 1 || kind == 4) { /* lanes leave one by one, but never */
                rxn__kir_if(k.b, kir_lt(k.b, varying(&k, 1, 10), zero));
                rxn__kir_break(k.b);
                rxn__kir_close(k.b);
            }
            if (kind == 2) { /* 2^31 turns of a for, for ever */
                see(&k, rxn__kir_for_down(k.b, varying(&k, 1, 9), huge));
                rxn__kir_close(k.b);
            }
            see(&k, zero);
            rxn__kir_close(k.b);
            if (kind >= 3)
                rxn__kir_close(k.b);
            KirKernel *kernel = end(f, &k);
            CompiledKernel compiled = compiled_at(f, kernel, widths[w]);
            RandomLaunch *l = random_launch(&f->arena, kernel, 1, 0, 50, 4);
            l->cancel = 1;
            compiled.run(&l->launch); /* returns: that is the test */
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_take_the_turns_of_their_own),
        cmocka_unit_test(lanes_that_are_out_keep_their_locals),
        TEST(counters_do_not_run_over),
        TEST(tapes_give_back_what_was_written),
        TEST(tapes_are_contiguous),
        TEST(a_long_tape_costs_what_is_used_of_it),
        TEST(what_few_lanes_enter_is_done_for_each_of_them),
        TEST(loops_in_finish_can_be_cancelled),
    };
    return cmocka_run_group_tests_name("target_llvm_loops", tests, NULL, NULL);
}
