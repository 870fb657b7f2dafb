/* test_step_numbers.c: steps of a trajectory past number 2^32, where the word that counts them wraps and the next begins. No test
 * has the time to get there: the kernels' texts are made to begin just before it.
 *
 * All kernels of a model have the same trajectories, however they draw: step by step, two steps at a time
 * (rxn__ssa_draw_two, of the tapes), again on the way back. So here, where the wrap falls on either step of such a pair.
 */
#include "ensemble_fixture.h"
#include "late_kernel.h"

#include "compiler/method/gradient.h"

extern const Estimator rxn__estimator_path_adjoint, rxn__estimator_path_forward,
    rxn__estimator_score;

enum { TRAJECTORIES = 5, STARTS = 6, LEAVES = 2 };

static const double end = 2, times[] = {2, INFINITY};

/* Some hundred steps, and rates affine in the counts, whose derivatives all ways find alike. */
static const char text[] = "species A = 20, B\nparam k = 30, d = 0.5\n"
                           "0 -> A @ k\nA -> B @ d\nB -> A @ 0.25\nA -> 0 @ 1\nB -> 0 @ 0.1\n"
                           "at 1: A = A + 3\n";

/* A + B/2 at the end. */
static void
give_objective(Model *model, Objective *objective)
{
    Network *network = model->network;
    Arena *arena = &model->pipeline.arena;
    Expr A = rxn__expr_object(network, EXPR_SPECIES, 0, 0, NULL);
    Expr B = rxn__expr_object(network, EXPR_SPECIES, 1, 0, NULL);
    Expr half = expr_binary(network, EXPR_MUL, rxn__expr_number(network, 0.5), B);
    vec_push(arena, &objective->atoms,
             ((Atom){.kind = ATOM_STATE,
                     .value = expr_binary(network, EXPR_ADD, A, half),
                     .from = end,
                     .to = end}));
    vec_push(arena, &objective->times, end);
    Expr quantity = rxn__expr_object(network, EXPR_QUANTITY, 0, 0, NULL);
    vec_push(arena, &objective->functionals, ((Functional){.value = quantity, .last = end}));
    vec_push(arena, &objective->outputs, ((Output){.label = "F", .time = end, .value = quantity}));
    objective->end = end;
    network->objective = objective;
}

/* How a kernel is made. */
typedef struct Way {
    const Estimator *estimator;
    GradientForm form;
    u64 tape_bytes;
} Way;

/* [TRAJECTORIES]: values, and, of who has them alone, derivatives. */
typedef struct Found {
    double value[TRAJECTORIES], derivative[TRAJECTORIES][LEAVES];
} Found;

static Found
run(const Way *way, KirType precision, u32 before, bool interpreted)
{
    static const u32 wrt[LEAVES] = {0, 1};
    Model model;
    Objective objective = {0};
    Found found = {0};
    Text reason;
    GradientKernel kernel = {0};
    model_open(&model, text);
    give_objective(&model, &objective);
    const GradientRequest request = {.network = model.network,
                                     .wrt = wrt,
                                     .wrt_count = LEAVES,
                                     .precision = precision,
                                     .form = way->form,
                                     .tape_bytes = way->tape_bytes};
    rxn__text_init(&reason, &model.pipeline.arena);
    if (!way->estimator->applies(&request, &reason))
        fail_msg("%s: %s", way->estimator->name, reason.data);
    const char *error =
        way->estimator->write(&request, &model.pipeline.arena, &model.session.names, &kernel);
    if (error)
        fail_msg("%s: %s", way->estimator->name, error);
    kernel.kernel.kernel = begin_late(&model, kernel.kernel.kernel, before);
    const Experiment experiment = {.times = times,
                                   .time_count = 1,
                                   .rows = 1,
                                   .columns = rxn__row_columns(&kernel.row),
                                   .end = end,
                                   .trajectories = TRAJECTORIES,
                                   .seed = 11,
                                   .threads = 1,
                                   .interpreted = interpreted};
    double *rows = experiment_run(&experiment, &model, &kernel.kernel, true);
    for (u32 i = 0; i < TRAJECTORIES; i++) {
        const double *row = rows + (size_t)i * experiment.columns;
        found.value[i] = row[rxn__row_value(&kernel.row, 0)];
        for (u32 p = 0; kernel.row.has_direct && !kernel.row.has_score && p < LEAVES; p++)
            found.derivative[i][p] = row[rxn__row_direct(&kernel.row, 0, p)];
    }
    free(rows);
    model_close(&model);
    return found;
}

/* The tapes: all of a trajectory in one piece; in pieces, of which all but the last are simulated again. */
static const Way ways[] = {
    {&rxn__estimator_value, GRADIENT_FORM_TABLE, 0},
    {&rxn__estimator_score, GRADIENT_FORM_UNROLLED, 0},
    {&rxn__estimator_score, GRADIENT_FORM_TABLE, 0},
    {&rxn__estimator_path_forward, GRADIENT_FORM_UNROLLED, 0},
    {&rxn__estimator_path_adjoint, GRADIENT_FORM_UNROLLED, 1 << 20},
    {&rxn__estimator_path_adjoint, GRADIENT_FORM_UNROLLED, 2000},
};
enum { FORWARD = 3, WHOLE = 4, IN_PIECES = 5 };

static void
check_way(size_t w, u32 before, bool interpreted, const Found *plain, const Found *forward,
          const Found *whole, Found *ret)
{
    *ret = run(&ways[w], KIR_F64, before, interpreted);
    for (u32 i = 0; i < TRAJECTORIES; i++) {
        if (ret->value[i] != plain->value[i])
            fail_msg("%s, way %zu, from 2^32 - %u: trajectory %u has %g, not %g",
                     ways[w].estimator->name, w, before, i, ret->value[i], plain->value[i]);
        for (u32 p = 0; w == WHOLE && p < LEAVES; p++) { /* the one in f32 */
            const double wanted = forward->derivative[i][p];
            assert_true(fabs(ret->derivative[i][p] - wanted) <= 1e-5 * (1 + fabs(wanted)));
        }
    }
    if (w == IN_PIECES)
        assert_memory_equal(ret->derivative, whole->derivative, sizeof whole->derivative);
}

static void
test_wraps(void **state)
{
    (void)state;
    static const Way value = {&rxn__estimator_value, GRADIENT_FORM_UNROLLED, 0};
    Found before_last = {0};
    for (u32 before = 1; before <= STARTS; before++) {
        const Found plain = run(&value, KIR_F64, before, true);
        assert_memory_not_equal(plain.value, before_last.value, sizeof plain.value);
        before_last = plain;
        for (int interpreted = 1; interpreted >= (rxn__target_find("llvm") ? 0 : 1);
             interpreted--) {
            if (!interpreted && before > 2) /* either step of a pair */
                continue;
            Found found[sizeof ways / sizeof *ways];
            for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
                check_way(w, before, interpreted, &plain, &found[FORWARD], &found[WHOLE],
                          &found[w]);
        }
    }
}

/* In f32 two steps have a block, and begin with the even one. */
static void
test_wraps_f32(void **state)
{
    (void)state;
    static const Way unrolled = {&rxn__estimator_value, GRADIENT_FORM_UNROLLED, 0},
                     table = {&rxn__estimator_value, GRADIENT_FORM_TABLE, 0};
    for (u32 before = 2; before <= STARTS; before += 2) {
        const Found a = run(&unrolled, KIR_F32, before, true),
                    b = run(&table, KIR_F32, before, true);
        assert_memory_equal(a.value, b.value, sizeof a.value);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wraps),
        cmocka_unit_test(test_wraps_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
