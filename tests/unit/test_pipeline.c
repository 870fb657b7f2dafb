/* test_pipeline.c: the way of a model as a host program takes it: in memory, without files, and without
 * memory where a test wants it so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/pipeline.h"

static const char model_text[] = "model whole\n"
                                 "use \"part\" as p (k = 2)\n"
                                 "const N = 3\n"
                                 "species X[N] = 4, Y = 10\n"
                                 "param d = 0.5 in 0.1 .. 2 fit\n"
                                 "param w[N] ~ normal(1, 0.1)\n"
                                 "for s in 0 .. N-2 { hop: X[s] <-> X[s+1] @ d, d }\n"
                                 "0 => Y @ exp(-t) * sum(i in 0 .. N-1: w[i])\n"
                                 "Y -> 0 @ if t < 2 then d else 2 * d\n"
                                 "at 1: Y = Y + 5\n"
                                 "when Y > 20: Y = 0\n"
                                 "simulate until 5 every 1\n";
static const char part_text[] = "model part\nspecies A = 3\nparam k = 1\nA -> 0 @ k\n";

static bool
load(void *context, const char *from, const char *path, Arena *arena, const char **ret_resolved,
     const char **ret_text, size_t *ret_length, const char **ret_reason)
{
    (void)context, (void)from, (void)arena;
    if (strcmp(path, "part") != 0) {
        *ret_reason = "there is only one part";
        return false;
    }
    *ret_resolved = path;
    *ret_text = part_text;
    *ret_length = sizeof part_text - 1;
    return true;
}

static const SourceLoader loader = {.load = load};

typedef struct Attempt {
    Session session;
    PipelineRequest request;
    Pipeline pipeline;
    u32 stages;
} Attempt;

static void
count_stage(void *context, const char *stage, const char *suffix, PipelineForm form,
            const char *text, size_t length)
{
    Attempt *attempt = context;
    (void)form;
    assert_true(stage[0] && suffix[0] && text != NULL);
    assert_true(length > 0);
    attempt->stages++;
}

static RxnStatus
run(void *context)
{
    Attempt *attempt = context;
    attempt->request.file =
        rxn__sources_add(&attempt->session.sources, "whole.rxn", model_text, sizeof model_text - 1);
    return rxn__pipeline_run(&attempt->session, &attempt->request, &attempt->pipeline);
}

/* The whole way where allocation number fail_at fails (0: none does). Nothing may stay behind. */
static RxnStatus
try(PipelineGoal goal, const char *device, u64 fail_at, u64 *ret_allocations, u32 *ret_stages)
{
    Attempt attempt = {.request = {.loader = &loader,
                                   .goal = goal,
                                   .method = "auto",
                                   .device = device,
                                   .precision = KIR_F64,
                                   .trace = ret_stages ? count_stage : NULL,
                                   .trace_context = &attempt}};
    RxnStatus status = rxn__session_open(&attempt.session, 0);
    assert_int_equal(status, RXN_OK);
    rxn__arena_init(&attempt.pipeline.arena, attempt.session.memory);
    attempt.session.memory->fail_at = fail_at ? attempt.session.memory->allocations + fail_at : 0;
    u64 before = attempt.session.memory->allocations;
    status = rxn__session_guard(&attempt.session, run, &attempt);
    if (ret_allocations)
        *ret_allocations = attempt.session.memory->allocations - before;
    if (ret_stages)
        *ret_stages = attempt.stages;
    assert_int_equal(attempt.session.diagnostics.error_count, 0);
    assert_null(attempt.pipeline.internal_error);
    if (status == RXN_OK && goal == PIPELINE_COMPILED)
        assert_true(attempt.pipeline.compiled.run || attempt.pipeline.interpreted);
    rxn__pipeline_close(&attempt.pipeline);
    rxn__session_close(&attempt.session);
    assert_int_equal(attempt.session.memory->used, 0);
    return status;
}

static const char *
device(void)
{
    return rxn__target_find("llvm") ? "cpu" : "interpreter";
}

static void
test_goals(void **state)
{
    (void)state;
    for (PipelineGoal goal = PIPELINE_NETWORK; goal <= PIPELINE_COMPILED; goal++)
        assert_int_equal(try(goal, device(), 0, NULL, NULL), RXN_OK);
    assert_int_equal(try(PIPELINE_COMPILED, "interpreter", 0, NULL, NULL), RXN_OK);
}

static void
test_trace_sees_every_stage(void **state)
{
    (void)state;
    u32 network, all;
    assert_int_equal(try(PIPELINE_NETWORK, device(), 0, NULL, &network), RXN_OK);
    assert_int_equal(try(PIPELINE_OPTIMIZED, device(), 0, NULL, &all), RXN_OK);
    assert_true(network >= 3 && all >= network + 3);
}

/* Memory that runs out anywhere is one clean status, and everything is given back. */
static void
test_no_memory(void **state)
{
    (void)state;
    u64 allocations, failed = 0;
    assert_int_equal(try(PIPELINE_OPTIMIZED, "interpreter", 0, &allocations, NULL), RXN_OK);
    assert_true(allocations > 10);
    for (u64 k = 1; k <= allocations; k++)
        failed += try(PIPELINE_OPTIMIZED, "interpreter", k, NULL, NULL) == RXN_ERROR_MEMORY;
    assert_int_equal(failed, allocations);
    assert_int_equal(try(PIPELINE_OPTIMIZED, "interpreter", allocations + 1, NULL, NULL), RXN_OK);
}

/* The last stage holds handles of another library, which have to be released too. */
static void
test_no_memory_in_the_target(void **state)
{
    (void)state;
    if (!rxn__target_find("llvm")) {
        print_message(
            "# skipped: this build has no LLVM target, whose stage is what is tested here\n");
        return;
    }
    u64 before, allocations;
    assert_int_equal(try(PIPELINE_OPTIMIZED, "interpreter", 0, &before, NULL), RXN_OK);
    assert_int_equal(try(PIPELINE_COMPILED, "cpu", 0, &allocations, NULL), RXN_OK);
    for (u64 k = before > 2 ? before - 2 : 1; k <= allocations; k++)
        assert_int_equal(try(PIPELINE_COMPILED, "cpu", k, NULL, NULL), RXN_ERROR_MEMORY);
}

static void
test_memory_limit(void **state)
{
    (void)state;
    Session session;
    assert_int_equal(rxn__session_open(&session, 100), RXN_ERROR_MEMORY);
    rxn__session_close(&session);
    assert_int_equal(session.memory->used, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goals),        cmocka_unit_test(test_trace_sees_every_stage),
        cmocka_unit_test(test_no_memory),    cmocka_unit_test(test_no_memory_in_the_target),
        cmocka_unit_test(test_memory_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
