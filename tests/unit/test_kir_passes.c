/* test_kir_passes.c: what the passes make of a kernel, and that they change nothing it computes.
 *
 * Each pass has small texts, before and after. Besides, random kernels run before and after each pass,
 * and what they leave behind must be the same byte for byte; and random expressions are evaluated as
 * they are and as the builder folds them. More random kernels: RXN_RANDOM_KERNELS=5000.
 */
#include "kir_fixture.h"

#include "compiler/kir/internal.h"
#include "random_kernel.h"

#include <math.h>

/* ---- Identities --------------------------------------------------------------------------------- */

enum { PAIRS = 60, TRIALS = 24, EXPRESSIONS = 4000 };

/* One expression twice: as it is, and through the folding builder. */
typedef struct Twins {
    KirBuilder *raw, *folding;
    KirValue plain[PAIRS], folded[PAIRS];
    KirType type[PAIRS];
    u32 count;
} Twins;

static u32
twin_of(const Twins *t, u64 *random, KirType type)
{
    for (u32 tries = 0; tries < 200; tries++) {
        const u32 i = (u32)(random_u64(random) % t->count);
        if (t->type[i] == type)
            return i;
    }
    return UINT32_MAX;
}

static void
add_twin(Twins *t, KirNode node, const u32 twins[3])
{
    KirNode plain = node, folded = node;
    for (u32 i = 0; i < rxn__kir_ops[node.op].arity; i++) {
        plain.args[i] = t->plain[twins[i]];
        folded.args[i] = t->folded[twins[i]];
    }
    if (rxn__kir_node_error(t->raw->kernel, &plain))
        return;
    t->plain[t->count] = rxn__kir_node(t->raw, plain);
    t->folded[t->count] = rxn__kir_node(t->folding, folded);
    t->type[t->count++] = (KirType)node.type;
}

static u64
special_bits(u64 *random, KirType type)
{
    return rxn__kir_canonical(type, random_special_bits(random, type));
}

static void
add_random_twin(Twins *t, u64 *random)
{
    const KirOp op = (KirOp)(random_u64(random) % KIR_OP_COUNT);
    KirType type = (KirType)(random_u64(random) % KIR_TYPE_COUNT);
    const KirOpInfo *info = &rxn__kir_ops[op];
    if (op == KIR_CONST) {
        const u32 none[3] = {0};
        add_twin(t,
                 (KirNode){.op = KIR_CONST, .type = (u8)type, .bits = special_bits(random, type)},
                 none);
        return;
    }
    if (info->flags & KIR_FLAG_LEAF)
        return;
    u32 twins[3] = {0};
    for (u32 i = 0; i < info->arity; i++) {
        const bool condition = op == KIR_SELECT && i == 0;
        twins[i] = twin_of(t, random, condition ? KIR_BOOL : type);
        if (i && !condition && random_u64(random) % 6 == 0)
            twins[i] = twins[i - 1];
        if (twins[i] == UINT32_MAX)
            return;
    }
    if (info->gives == KIR_GIVES_BOOL)
        type = KIR_BOOL;
    else if (info->gives == KIR_GIVES_TYPED)
        type = (KirType)(random_u64(random) % KIR_TYPE_COUNT);
    add_twin(t, (KirNode){.op = (u8)op, .type = (u8)type}, twins);
}

/* All values of a kernel of straight line code; what NaN it is does not matter. */
static void
evaluate_all(const KirKernel *kernel, const u64 inputs[], u64 *values)
{
    for (u32 v = 1; v < kernel->values.count; v++) {
        const KirNode *node = &kernel->values.items[v];
        if (node->op == KIR_CONST) {
            values[v] = node->bits;
        } else if (node->op == KIR_GET) {
            values[v] = inputs[node->object];
        } else {
            const u64 args[3] = {values[node->args[0]], values[node->args[1]],
                                 values[node->args[2]]};
            values[v] = rxn__kir_canonical(
                (KirType)node->type,
                rxn__kir_evaluate((KirOp)node->op, (KirType)node->type,
                                  (KirType)kernel->values.items[node->args[0]].type, args));
        }
    }
}

static void
compare_twins(Fixture *f, const Twins *t, u64 *random, u64 seed)
{
    u64 *plain = NEW_ARRAY(&f->arena, u64, t->raw->kernel->values.count);
    u64 *folded = NEW_ARRAY(&f->arena, u64, t->folding->kernel->values.count);
    for (u32 trial = 0; trial < TRIALS; trial++) {
        u64 inputs[2 * KIR_TYPE_COUNT];
        for (u32 i = 0; i < COUNT_OF(inputs); i++)
            inputs[i] = special_bits(random, (KirType)(i / 2));
        evaluate_all(t->raw->kernel, inputs, plain);
        evaluate_all(t->folding->kernel, inputs, folded);
        for (u32 i = 0; i < t->count; i++)
            if (plain[t->plain[i]] != folded[t->folded[i]])
                fail_msg("seed %llu: twin %u, %s.%s: %llx folds to %llx", (unsigned long long)seed,
                         i, rxn__kir_ops[t->raw->kernel->values.items[t->plain[i]].op].text,
                         rxn__kir_type_names[t->type[i]], (unsigned long long)plain[t->plain[i]],
                         (unsigned long long)folded[t->folded[i]]);
    }
}

static void
identities_change_no_bit(void **state)
{
    Fixture *f = *state;
    for (u64 seed = 1; seed <= EXPRESSIONS; seed++) {
        Fixture one = {.memory = {.on_failure = &f->failed}};
        rxn__arena_init(&one.arena, &one.memory);
        rxn__names_init(&one.names, &one.arena);
        u64 random = seed;
        Twins t = {.raw = rxn__kir_begin_raw(&one.arena, &one.names, "raw", KIR_F64),
                   .folding = rxn__kir_begin(&one.arena, &one.names, "folding", KIR_F64)};
        for (u32 i = 0; i < 2 * KIR_TYPE_COUNT; i++) {
            const u32 local = rxn__kir_local(t.raw, "input", (KirType)(i / 2), 0);
            rxn__kir_local(t.folding, "input", (KirType)(i / 2), 0);
            t.plain[i] = rxn__kir_get(t.raw, local, 0);
            t.folded[i] = rxn__kir_get(t.folding, local, 0);
            t.type[i] = (KirType)(i / 2);
            t.count++;
        }
        for (u32 tries = 0; tries < 1000 && t.count < PAIRS; tries++)
            add_random_twin(&t, &random);
        assert_null(t.folding->error);
        compare_twins(&one, &t, &random, seed);
        rxn__arena_release(&one.arena);
    }
}

/* ---- Before and after --------------------------------------------------------------------------- */

typedef bool (*Pass)(KirKernel *kernel);

static const char *const head = "kernel k f64 {\n"
                                "  buffer in : f64[2] per launch\n"
                                "  buffer many : f64[?] per launch\n"
                                "  buffer out : f64[?] per trajectory writable\n";
static const char *const locals = "  local t : f64\n"
                                  "  local x : f64\n"
                                  "  local a : f64[3]\n"
                                  "  local done : bool\n"
                                  "  uniform u : f64\n";

static const char *
kernel_text(Fixture *f, const char *declared, const char *regions)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__text_printf(&text, "%s%s  done done\n  witness t\n%s}\n", head, declared, regions);
    return text.data;
}

/* Regions are given as their lines; the declarations of `after` are those that are left. */
static void
expect_pass(void **state, Pass pass, const char *before, const char *declared_after,
            const char *after)
{
    Fixture *f = *state;
    KirKernel *kernel = read_kernel(f, kernel_text(f, locals, before));
    const char *text_before = printed(f, kernel);
    const bool changed = pass(kernel);
    const char *error = rxn__kir_check(kernel, false, &f->arena);
    assert_null(error);
    const char *text_after = printed(f, kernel);
    assert_string_equal(text_after, kernel_text(f, declared_after, after));
    assert_int_equal(changed, strcmp(text_before, text_after) != 0);
    assert_false(pass(kernel)); /* and once more there is nothing to do */
}

static void
fold_decides_branches(void **state)
{
    expect_pass(state, rxn__kir_fold,
                "  launch {}\n"
                "  init {}\n"
                "  step {\n"
                "    %1 = const.f64 0x1p+0\n"
                "    %2 = get.f64 x\n"
                "    %3 = mul.f64 %2, %1\n"
                "    %4 = lt.f64 %1, %1\n"
                "    if %4 {\n"
                "      set t, %1\n"
                "    } else {\n"
                "      set t, %3\n"
                "    }\n"
                "    %5 = const.i32 1\n"
                "    %6 = const.i32 2\n"
                "    %7 = for %6 .. %5 {\n"
                "      set x, %1\n"
                "    }\n"
                "    %8 = for %5 .. %6 {\n"
                "      set a[%8], %3\n"
                "    }\n"
                "    %9 = const.i32 0\n"
                "    %10 = for %9 .. %6 {\n"
                "      set a[%10], %3\n"
                "    }\n"
                "  }\n"
                "  finish {}\n",
                locals,
                "  launch {}\n"
                "  init {}\n"
                "  step {\n"
                "    %1 = const.f64 0x1p+0\n"
                "    %2 = get.f64 x\n"
                "    %3 = const.bool false\n"
                "    set t, %2\n"
                "    %4 = const.i32 1\n"
                "    %5 = const.i32 2\n"
                "    set a[%4], %2\n"
                "    %6 = const.i32 0\n"
                "    %7 = for %6 .. %5 {\n"
                "      set a[%7], %2\n"
                "    }\n"
                "  }\n"
                "  finish {}\n");
}

static void
cse_shares_reads_up_to_the_next_write(void **state)
{
    expect_pass(state, rxn__kir_cse,
                "  launch {}\n"
                "  init {\n"
                "    %1 = get.f64 t\n" /* nothing is set so far: zero */
                "    set x, %1\n"
                "  }\n"
                "  step {\n"
                "    %2 = get.f64 t\n"
                "    %3 = get.f64 t\n" /* shared */
                "    %4 = mul.f64 %2, %3\n"
                "    set x, %4\n"
                "    %5 = get.f64 x\n" /* what was set */
                "    set t, %5\n"
                "    %6 = const.i32 0\n"
                "    store out[%6], %5\n"
                "    %7 = load.f64 out[%6]\n" /* what was stored */
                "    set a[%6], %7\n"
                "    %8 = const.i32 1\n"
                "    %9 = get.f64 a[%8]\n" /* another element */
                "    set t, %9\n"
                "  }\n"
                "  finish {\n"
                "    %10 = get.f64 t\n" /* another region */
                "    set x, %10\n"
                "  }\n",
                locals,
                "  launch {}\n"
                "  init {\n"
                "    %1 = const.f64 0x0p+0\n"
                "    set x, %1\n"
                "  }\n"
                "  step {\n"
                "    %2 = get.f64 t\n"
                "    %3 = mul.f64 %2, %2\n"
                "    set x, %3\n"
                "    set t, %3\n"
                "    %4 = const.i32 0\n"
                "    store out[%4], %3\n"
                "    set a[%4], %3\n"
                "    %5 = const.i32 1\n"
                "    %6 = get.f64 a[%5]\n"
                "    set t, %6\n"
                "  }\n"
                "  finish {\n"
                "    %7 = get.f64 t\n"
                "    set x, %7\n"
                "  }\n");
}

static void
cse_minds_branches_and_loops(void **state)
{
    expect_pass(state, rxn__kir_cse,
                "  launch {}\n"
                "  init {\n"
                "    %1 = const.f64 0x1p+0\n"
                "    set x, %1\n"
                "    set t, %1\n"
                "  }\n"
                "  step {\n"
                "    %2 = get.f64 x\n"
                "    %3 = get.f64 t\n"
                "    %4 = lt.f64 %2, %3\n"
                "    %5 = const.u32 0\n"
                "    if %4 {\n"
                "      set x, %3\n"
                "      trap step_limit %5\n" /* never comes back: x stays known */
                "    }\n"
                "    %6 = get.f64 x\n"
                "    if %4 {\n"
                "      set x, %3\n"
                "      %7 = get.f64 x\n" /* what was set */
                "      set t, %7\n"
                "    }\n"
                "    %8 = get.f64 x\n" /* either: read */
                "    loop {\n"
                "      %9 = get.f64 x\n"  /* set further down in the loop: read */
                "      %10 = get.f64 t\n" /* not set in the loop, but in the if above: read once */
                "      %11 = lt.f64 %9, %10\n"
                "      if %11 {\n"
                "        break\n"
                "      }\n"
                "      %12 = get.f64 t\n" /* shared */
                "      %13 = mul.f64 %6, %12\n"
                "      set x, %13\n"
                "    }\n"
                "    %14 = get.f64 x\n" /* after the loop: read */
                "    %15 = add.f64 %8, %14\n"
                "    set x, %15\n"
                "  }\n"
                "  finish {}\n",
                locals,
                "  launch {}\n"
                "  init {\n"
                "    %1 = const.f64 0x1p+0\n"
                "    set x, %1\n"
                "    set t, %1\n"
                "  }\n"
                "  step {\n"
                "    %2 = get.f64 x\n"
                "    %3 = get.f64 t\n"
                "    %4 = lt.f64 %2, %3\n"
                "    %5 = const.u32 0\n"
                "    if %4 {\n"
                "      set x, %3\n"
                "      trap step_limit %5\n"
                "    }\n"
                "    if %4 {\n"
                "      set x, %3\n"
                "      set t, %3\n"
                "    }\n"
                "    %6 = get.f64 x\n"
                "    loop {\n"
                "      %7 = get.f64 x\n"
                "      %8 = get.f64 t\n"
                "      %9 = lt.f64 %7, %8\n"
                "      if %9 {\n"
                "        break\n"
                "      }\n"
                "      %10 = mul.f64 %2, %8\n"
                "      set x, %10\n"
                "    }\n"
                "    %11 = get.f64 x\n"
                "    %12 = add.f64 %6, %11\n"
                "    set x, %12\n"
                "  }\n"
                "  finish {}\n");
}

static void
hoist_moves_what_a_launch_knows(void **state)
{
    expect_pass(state, rxn__kir_hoist,
                "  launch {\n"
                "    %1 = const.i32 0\n"
                "    %2 = load.f64 in[%1]\n"
                "    set u, %2\n"
                "  }\n"
                "  init {}\n"
                "  step {\n"
                "    %3 = const.i32 1\n"
                "    %4 = load.f64 in[%3]\n"
                "    %5 = log.f64 %4\n"
                "    %6 = const.i32 700\n"
                "    %7 = load.f64 many[%6]\n" /* surely runs, so it may move */
                "    %8 = get.f64 x\n"
                "    %9 = lt.f64 %8, %5\n"
                "    %10 = const.u32 0\n"
                "    if %9 {\n"
                "      %11 = load.f64 many[%3]\n" /* may not run, and who knows the extent */
                "      %12 = const.f64 0x1p+1\n"
                "      %13 = mul.f64 %7, %12\n" /* cannot fail, so it may */
                "      %14 = mul.f64 %13, %11\n"
                "      set x, %14\n"
                "      %15 = const.i32 2\n"
                "      %16 = cast.f64 %8 to i32\n"
                "      %17 = get.f64 u\n"
                "      set t, %17\n"
                "      trap step_limit %10\n"
                "    }\n"
                "    %18 = load.f64 many[%3]\n" /* behind a trap */
                "    set x, %18\n"
                "  }\n"
                "  finish {}\n",
                locals,
                "  launch {\n"
                "    %1 = const.i32 0\n"
                "    %2 = load.f64 in[%1]\n"
                "    set u, %2\n"
                "    %3 = const.i32 1\n"
                "    %4 = load.f64 in[%3]\n"
                "    %5 = log.f64 %4\n"
                "    %6 = const.i32 700\n"
                "    %7 = load.f64 many[%6]\n"
                "    %8 = const.f64 0x1p+1\n"
                "    %9 = mul.f64 %7, %8\n"
                "    %10 = get.f64 u\n"
                "  }\n"
                "  init {}\n"
                "  step {\n"
                "    %11 = const.i32 1\n"
                "    %12 = const.i32 700\n"
                "    %13 = get.f64 x\n"
                "    %14 = lt.f64 %13, %5\n"
                "    %15 = const.u32 0\n"
                "    if %14 {\n"
                "      %16 = load.f64 many[%11]\n"
                "      %17 = const.f64 0x1p+1\n"
                "      %18 = mul.f64 %9, %16\n"
                "      set x, %18\n"
                "      %19 = const.i32 2\n"
                "      %20 = cast.f64 %13 to i32\n"
                "      set t, %10\n"
                "      trap step_limit %15\n"
                "    }\n"
                "    %21 = load.f64 many[%11]\n"
                "    set x, %21\n"
                "  }\n"
                "  finish {}\n");
}

static void
hoist_moves_out_of_loops(void **state)
{
    expect_pass(state, rxn__kir_hoist,
                "  launch {}\n"
                "  init {}\n"
                "  step {\n"
                "    %1 = const.i32 0\n"
                "    %2 = cast.i32 %1 to f64\n"
                "    %3 = get.f64 x\n"
                "    %4 = cast.f64 %3 to i32\n"
                "    %5 = for %1 .. %4 {\n"
                "      loop {\n"
                "        %6 = mul.f64 %3, %3\n"     /* out of both */
                "        %7 = get.f64 a[%4]\n"      /* out of the loop; the for may not turn */
                "        %8 = cast.i32 %5 to f64\n" /* out of the loop */
                "        %9 = get.f64 t\n"          /* is set in the loop */
                "        %10 = lt.f64 %9, %8\n"
                "        if %10 {\n"
                "          %11 = sqrt.f64 %6\n" /* in an if: stays */
                "          set x, %11\n"
                "          break\n"
                "        }\n"
                "        %12 = get.f64 a[%5]\n" /* behind a break */
                "        %13 = add.f64 %12, %7\n"
                "        set t, %13\n"
                "      }\n"
                "    }\n"
                "  }\n"
                "  finish {}\n",
                locals,
                "  launch {\n"
                "    %1 = const.i32 0\n"
                "    %2 = cast.i32 %1 to f64\n"
                "  }\n"
                "  init {}\n"
                "  step {\n"
                "    %3 = const.i32 0\n"
                "    %4 = get.f64 x\n"
                "    %5 = cast.f64 %4 to i32\n"
                "    %6 = mul.f64 %4, %4\n"
                "    %7 = for %3 .. %5 {\n"
                "      %8 = get.f64 a[%5]\n"
                "      %9 = cast.i32 %7 to f64\n"
                "      loop {\n"
                "        %10 = get.f64 t\n"
                "        %11 = lt.f64 %10, %9\n"
                "        if %11 {\n"
                "          %12 = sqrt.f64 %6\n"
                "          set x, %12\n"
                "          break\n"
                "        }\n"
                "        %13 = get.f64 a[%7]\n"
                "        %14 = add.f64 %13, %8\n"
                "        set t, %14\n"
                "      }\n"
                "    }\n"
                "  }\n"
                "  finish {}\n");
}

static void
dce_drops_what_nobody_needs(void **state)
{
    expect_pass(state, rxn__kir_dce,
                "  launch {\n"
                "    %1 = const.f64 0x1p+0\n"
                "    set u, %1\n" /* never read */
                "  }\n"
                "  init {}\n"
                "  step {\n"
                "    %2 = get.f64 x\n" /* x only feeds itself */
                "    %3 = add.f64 %2, %1\n"
                "    set x, %3\n"
                "    %4 = get.f64 t\n"
                "    %5 = lt.f64 %4, %1\n"
                "    if %5 {\n"
                "      %6 = neg.f64 %4\n"
                "    } else {\n"
                "      set t, %1\n"
                "    }\n"
                "    loop {\n" /* has no effect */
                "      if %5 {\n"
                "        break\n"
                "      }\n"
                "    }\n"
                "    loop {\n" /* has one, so it needs its break */
                "      %7 = const.i32 0\n"
                "      store out[%7], %4\n"
                "      if %5 {\n"
                "        break\n"
                "        set t, %4\n" /* not reached */
                "      }\n"
                "    }\n"
                "    %8 = const.i32 1\n"
                "    %9 = for %8 .. %8 {\n"
                "      set a[%9], %4\n"
                "    }\n"
                "  }\n"
                "  finish {}\n",
                "  local t : f64\n"
                "  local done : bool\n",
                "  launch {\n"
                "    %1 = const.f64 0x1p+0\n"
                "  }\n"
                "  init {}\n"
                "  step {\n"
                "    %2 = get.f64 t\n"
                "    %3 = lt.f64 %2, %1\n"
                "    if %3 {} else {\n"
                "      set t, %1\n"
                "    }\n"
                "    loop {\n"
                "      %4 = const.i32 0\n"
                "      store out[%4], %2\n"
                "      if %3 {\n"
                "        break\n"
                "      }\n"
                "    }\n"
                "  }\n"
                "  finish {}\n");
}

static void
dce_drops_elements(void **state)
{
    expect_pass(state, rxn__kir_dce,
                "  launch {}\n"
                "  init {}\n"
                "  step {\n"
                "    %1 = const.i32 0\n"
                "    %2 = const.i32 1\n"
                "    %3 = get.f64 a[%1]\n"
                "    %4 = neg.f64 %3\n"
                "    set a[%1], %4\n"
                "    set a[%2], %4\n" /* never read */
                "    store out[%1], %3\n"
                "  }\n"
                "  finish {}\n",
                "  local t : f64\n"
                "  local a : f64[3]\n"
                "  local done : bool\n",
                "  launch {}\n"
                "  init {}\n"
                "  step {\n"
                "    %1 = const.i32 0\n"
                "    %2 = get.f64 a[%1]\n"
                "    %3 = neg.f64 %2\n"
                "    set a[%1], %3\n"
                "    store out[%1], %2\n"
                "  }\n"
                "  finish {}\n");
    static const char any_element[] = /* the turn may read what the constant has set */
        "  launch {}\n"
        "  init {}\n"
        "  step {\n"
        "    %1 = const.i32 0\n"
        "    %2 = const.i32 3\n"
        "    %3 = get.f64 t\n"
        "    set a[%1], %3\n"
        "    %4 = for %1 .. %2 {\n"
        "      %5 = get.f64 a[%4]\n"
        "      store out[%4], %5\n"
        "    }\n"
        "  }\n"
        "  finish {}\n";
    expect_pass(state, rxn__kir_dce, any_element,
                "  local t : f64\n"
                "  local a : f64[3]\n"
                "  local done : bool\n",
                any_element);
}

/* ---- Random kernels ----------------------------------------------------------------------------- */

static RandomLaunch *
interpreted(Fixture *f, const KirKernel *kernel, u64 seed)
{
    RandomLaunch *l = random_launch(&f->arena, kernel, seed, seed % 1000, 5, 13);
    const char *error = NULL;
    const RxnStatus status = rxn__kir_interpret(kernel, &l->launch, 1000, &f->arena, &error);
    if (status != RXN_OK)
        fail_msg("seed %llu: %s\n%s", (unsigned long long)seed, error, printed(f, kernel));
    return l;
}

static void
expect_same_run(Fixture *f, const char *pass, const KirKernel *before, const KirKernel *after,
                u64 seed)
{
    const char *difference = launch_difference(&f->arena, before, interpreted(f, before, seed),
                                               interpreted(f, after, seed));
    if (difference)
        fail_msg("seed %llu: after %s, %s\n%s\n=>\n%s", (unsigned long long)seed, pass, difference,
                 printed(f, before), printed(f, after));
}

static void
passes_change_no_result(void **state)
{
    static const struct {
        const char *name;
        Pass run;
    } passes[] = {{"fold", rxn__kir_fold},
                  {"cse", rxn__kir_cse},
                  {"hoist", rxn__kir_hoist},
                  {"dce", rxn__kir_dce}};
    const u64 count = number_from_environment("RXN_RANDOM_KERNELS", 150);
    Fixture *outer = *state;
    for (u64 seed = 1; seed <= count; seed++) {
        Fixture one = {.memory = {.on_failure = &outer->failed}}, *f = &one;
        rxn__arena_init(&one.arena, &one.memory);
        rxn__names_init(&one.names, &one.arena);
        const char *error;
        const KirKernel *kernel =
            random_kernel(&f->arena, &f->names, seed, 40 + (u32)(seed % 160), &error);
        assert_null(error);
        const char *text = printed(f, kernel);
        for (size_t p = 0; p < COUNT_OF(passes); p++) {
            KirKernel *after = read_kernel(f, text);
            const bool changed = passes[p].run(after);
            error = rxn__kir_check(after, false, &f->arena);
            if (error)
                fail_msg("seed %llu: after %s, %s", (unsigned long long)seed, passes[p].name,
                         error);
            const char *text_after = printed(f, after);
            assert_int_equal(changed, strcmp(text, text_after) != 0);
            assert_string_equal(printed(f, read_kernel(f, text_after)), text_after);
            expect_same_run(f, passes[p].name, kernel, after, seed);
        }
        KirKernel *after = read_kernel(f, text);
        error = rxn__kir_optimize(after, &f->arena, NULL, NULL);
        if (error)
            fail_msg("seed %llu: %s", (unsigned long long)seed, error);
        expect_same_run(f, "optimize", kernel, after, seed);
        rxn__arena_release(&one.arena);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identities_change_no_bit),
        TEST(fold_decides_branches),
        TEST(cse_shares_reads_up_to_the_next_write),
        TEST(cse_minds_branches_and_loops),
        TEST(hoist_moves_what_a_launch_knows),
        TEST(hoist_moves_out_of_loops),
        TEST(dce_drops_what_nobody_needs),
        TEST(dce_drops_elements),
        TEST(passes_change_no_result),
    };
    return cmocka_run_group_tests_name("kir_passes", tests, NULL, NULL);
}
