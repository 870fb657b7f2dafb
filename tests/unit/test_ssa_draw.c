/* test_ssa_draw.c: what the steps of small networks draw in f32, three to a block (compiler/method/ssa_draw.c), against a program
 * that draws the same from the description there, in plain C and with philox.c of the runtime: which reaction fires
 * next and when, where the bits of a step decide and where further ones are drawn.
 */
#include "ensemble_fixture.h"
#include "late_kernel.h"

#include "runtime/philox.h"

/* Constant propensities: the state plays no part. Two running sums lie inside, at 6/11 and 10/11 of the total. */
static const char text[] = "species A = 0, B = 0, C = 0\n"
                           "0 -> A @ 1.5\n0 -> B @ 1\n0 -> C @ 0.25\n"
                           "observe A, B, C\n";
enum { REACTIONS = 3, STEPS = 12 };
static const double total = 2.75, sums[REACTIONS] = {1.5, 2.5, 2.75};

/* One step of a trajectory: what fires, and after what wait. */
typedef struct Step {
    double wait;
    u32 reaction;
    bool tail, undecided; /* further bits were needed: for the wait, for the choice */
} Step;

static u32
reaction_at(double share)
{
    u32 reaction = 0;
    while (share * total >= sums[reaction])
        reaction++;
    return reaction;
}

/* Step `n` of trajectory 0; words: of the block that serves it, or all 0. */
static Step
step_of(uint64_t seed, uint64_t n, u32 third, const uint32_t words[4])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t choices[3] = {words[3] >> 16, words[3] & 0xffff,
                                 (words[0] & 0xff) << 8 | (words[1] & 0xff)};
    const uint32_t wait = words[third] >> 8, choice = choices[third];
    Step step = {.tail = wait == 0};
    for (u32 j = 0; j + 1 < REACTIONS; j++) {
        const double edge = sums[j] / total * 65536;
        step.undecided |= edge > choice && edge < choice + 1;
    }
    const uint32_t counter[4] = {(uint32_t)n, (uint32_t)(n >> 32) | 6u << 16, 0, 0};
    uint32_t further[4] = {0};
    if (step.tail || step.undecided)
        rxn__philox(key, counter, further);
    const double u = step.tail ? (further[0] + 0.5) * 0x1p-56 : (wait + 0.5) * 0x1p-24;
    step.wait = -log(u) / total;
    step.reaction = reaction_at(choice * 0x1p-16 + (further[1] >> 24) * 0x1p-24);
    return step;
}

/* The first steps, from number `first` on. */
static void
predict(uint64_t seed, uint64_t first, bool late, Step ret_steps[STEPS])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t words[4] = {0};
    for (u32 i = 0; i < STEPS; i++) {
        /* The three steps before made the block, with their high word. */
        const uint64_t maker = first + i - 3;
        const uint32_t counter[4] = {(uint32_t)(first + i), late ? (uint32_t)(maker >> 32) : 0, 0,
                                     0};
        if (i % 3 == 0 && !(late && i == 0))
            rxn__philox(key, counter, words);
        ret_steps[i] = step_of(seed, first + i, i % 3, words);
    }
}

/* The counts between each two of the predicted reactions, and before the first. */
static void
expect_steps(KirKernel *(*change)(Model *model, const KirKernel *kernel, u32 before), u32 before,
             uint64_t seed, const Step *steps)
{
    for (int interpreted = 1; interpreted >= (rxn__target_find("llvm") ? 0 : 1); interpreted--) {
        Model model;
        MethodKernel kernel = {0};
        double times[STEPS + 1], t = 0;
        model_open(&model, text);
        const MethodOptions options = {.precision = KIR_F32};
        const char *error = rxn__method_find("direct")->write(
            model.network, &options, &model.pipeline.arena, &model.session.names, &kernel);
        if (error)
            fail_msg("%s", error);
        if (change)
            kernel.kernel = change(&model, kernel.kernel, before);
        for (u32 i = 0; i < STEPS; i++) {
            times[i] = t + steps[i].wait / 2;
            t += steps[i].wait;
        }
        times[STEPS] = INFINITY;
        const Experiment experiment = {.times = times,
                                       .time_count = STEPS,
                                       .rows = STEPS,
                                       .columns = REACTIONS,
                                       .end = times[STEPS - 1],
                                       .trajectories = 1,
                                       .seed = seed,
                                       .threads = 1,
                                       .lanes = 16,
                                       .interpreted = interpreted};
        double *rows = experiment_run(&experiment, &model, &kernel, true);
        double counts[REACTIONS] = {0};
        for (u32 i = 0; i < STEPS; i++) {
            for (u32 k = 0; k < REACTIONS; k++)
                if (rows[i * REACTIONS + k] != counts[k])
                    fail_msg("seed %llu, before step %u (%s): species %u is %g, not %g",
                             (unsigned long long)seed, i, interpreted ? "interpreted" : "compiled",
                             k, rows[i * REACTIONS + k], counts[k]);
            counts[steps[i].reaction]++;
        }
        free(rows);
        model_close(&model);
    }
}

static void
steps_are_as_described(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        Step steps[STEPS];
        predict(seed, 0, false, steps);
        expect_steps(NULL, 0, seed, steps);
    }
}

/* For each third of a block a step whose choice takes further bits, and one whose wait does (once in 2^24 steps). In the first
 * six, so that the rest shows that nothing is out of step behind it. */
static void
further_bits_decide(void **state)
{
    (void)state;
    bool chosen[3] = {false}, refined = false;
    uint64_t found = 0;
    for (uint64_t seed = 1; found < 4; seed++) {
        Step steps[STEPS];
        uint32_t words[4];
        bool wanted = false;
        for (u32 block = 0; block < 2; block++) {
            const uint32_t key[2] = {(uint32_t)seed, 0}, counter[4] = {3 * block, 0, 0, 0};
            rxn__philox(key, counter, words);
            for (u32 third = 0; third < 3; third++) {
                const Step step = {.tail = words[third] >> 8 == 0};
                wanted |= step.tail && !refined;
            }
        }
        if (!wanted && chosen[0] && chosen[1] && chosen[2])
            continue;
        predict(seed, 0, false, steps);
        bool checked = false;
        for (u32 i = 0; i < 6; i++) {
            const bool news = (steps[i].undecided && !chosen[i % 3]) || (steps[i].tail && !refined);
            if (!news)
                continue;
            if (!checked)
                expect_steps(NULL, 0, seed, steps);
            checked = true;
            found += steps[i].undecided && !chosen[i % 3];
            found += steps[i].tail && !refined;
            chosen[i % 3] |= steps[i].undecided;
            refined |= steps[i].tail;
        }
    }
}

/* Past number 2^32, wherever in a block that falls. Such a kernel begins with three steps of words that are all 0. */
static void
numbers_wrap(void **state)
{
    (void)state;
    for (u32 before = 1; before <= 7; before++) {
        Step steps[STEPS];
        predict(11, (UINT64_C(1) << 32) - before, true, steps);
        expect_steps(begin_late, before, 11, steps);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_as_described),
        cmocka_unit_test(further_bits_decide),
        cmocka_unit_test(numbers_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
