/* cme_fixture.h: what the tests of compiler/cme share: a model from its text, its values, and one call of
 * the solver. */
#ifndef RXN_CME_FIXTURE_H
#define RXN_CME_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/cme/cme.h"
#include "compiler/sema/sema.h"

enum { MOST_PARAMS = 8, MOST_OUTPUTS = 16 };

typedef struct Fixture {
    Memory memory;
    jmp_buf failed;
    Arena arena, scratch;
    NameTable names;
    SourceMap sources;
    Diagnostics diagnostics;
    Network *network;
    double *params;
    double inputs[1];
} Fixture;

static inline bool
load_nothing(void *context, const char *from, const char *path, Arena *arena,
             const char **ret_resolved, const char **ret_text, size_t *ret_length,
             const char **ret_reason)
{
    (void)context, (void)from, (void)path, (void)arena;
    (void)ret_resolved, (void)ret_text, (void)ret_length;
    *ret_reason = "there are no files here";
    return false;
}

/* Params take their values from the text. */
static inline void
open_model(Fixture *f, const char *text, const ObjectiveRequest *objective)
{
    static const SourceLoader loader = {.load = load_nothing};
    rxn__arena_init(&f->arena, &f->memory);
    rxn__arena_init(&f->scratch, &f->memory);
    rxn__names_init(&f->names, &f->arena);
    rxn__sources_init(&f->sources, &f->arena);
    rxn__diagnostics_init(&f->diagnostics, &f->arena, &f->sources);
    SemaInput input = {.arena = &f->arena,
                       .names = &f->names,
                       .sources = &f->sources,
                       .diagnostics = &f->diagnostics,
                       .loader = &loader,
                       .objective = objective};
    u32 file = rxn__sources_add(&f->sources, "test.rxn", text, strlen(text));
    f->network = rxn__elaborate(&input, file, NULL);
    const char *internal = NULL;
    bool good = f->network && rxn__network_passes(f->network, &f->diagnostics, &f->scratch, NULL,
                                                  NULL, &internal);
    if (!good) {
        Text shown;
        rxn__text_init(&shown, &f->arena);
        rxn__diagnostics_render(&f->diagnostics, &shown);
        fail_msg("%s%s", shown.data ? shown.data : "", internal ? internal : "");
    }
    f->params = NEW_ARRAY(&f->arena, double, f->network->param_count + 1);
    for (u32 k = 0; k < f->network->params.count; k++) {
        const Param *param = &f->network->params.items[k];
        ExprValues values = {.params = f->params};
        f->params[param->flat] = rxn__expr_evaluate(f->network, param->initial, &values);
    }
}

static inline void
close_model(Fixture *f)
{
    rxn__arena_release(&f->scratch);
    rxn__arena_release(&f->arena);
    assert_int_equal(f->memory.used, 0);
}

static inline u32
param_number(const Fixture *f, const char *name)
{
    for (u32 k = 0; k < f->network->params.count; k++)
        if (strcmp(f->network->params.items[k].name->text, name) == 0)
            return f->network->params.items[k].flat;
    fail_msg("there is no param '%s'", name);
    return 0;
}

/* One question: a model, readings with their times, and the params to differentiate by. */
typedef struct Question {
    const char *model;
    const char *of[MOST_OUTPUTS]; /* up to NULL */
    double at;
    const char *by[MOST_PARAMS]; /* up to NULL */
    double tolerance;
    u64 state_limit, memory_limit;
    double work_limit;
    const volatile int *cancel;
    /* Values in the place of the model's. */
    const char *set;
    double set_to;
} Question;

typedef struct Answer {
    RxnStatus status;
    char reason[512];
    u32 outputs, count;
    double value[MOST_OUTPUTS], value_error[MOST_OUTPUTS];
    double gradient[MOST_OUTPUTS][MOST_PARAMS], gradient_error[MOST_OUTPUTS][MOST_PARAMS];
    double by[MOST_PARAMS]; /* the values of the params */
    double lost;
    CmeCost cost;
} Answer;

static inline void
take_answer(Answer *answer, const CmeGradient *gradient)
{
    for (u32 o = 0; o < answer->outputs; o++) {
        answer->value[o] = gradient->value[o];
        answer->value_error[o] = gradient->value_error[o];
        for (u32 i = 0; i < answer->count; i++) {
            answer->gradient[o][i] = gradient->gradient[o * answer->count + i];
            answer->gradient_error[o][i] = gradient->gradient_error[o * answer->count + i];
        }
    }
    answer->lost = gradient->lost;
    answer->cost = gradient->cost;
}

static inline Answer
ask(const Question *question)
{
    Fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->memory.on_failure = &f->failed;
    u32 texts = 0;
    while (texts < MOST_OUTPUTS && question->of[texts])
        texts++;
    ObjectiveRequest request = {question->of, texts, &question->at, 1};
    open_model(f, question->model, &request);
    if (question->set)
        f->params[param_number(f, question->set)] = question->set_to;
    Answer answer = {.outputs = f->network->objective->outputs.count};
    u32 wrt[MOST_PARAMS];
    for (; answer.count < MOST_PARAMS && question->by[answer.count]; answer.count++) {
        wrt[answer.count] = param_number(f, question->by[answer.count]);
        answer.by[answer.count] = f->params[wrt[answer.count]];
    }
    CmeOptions options = {.tolerance = question->tolerance,
                          .state_limit = question->state_limit,
                          .memory_limit = question->memory_limit,
                          .work_limit = question->work_limit,
                          .cancel = question->cancel};
    CmeModel model = {f->network, f->params, f->inputs};
    CmeGradient gradient;
    const char *reason = NULL;
    answer.status = rxn__cme_gradient(&model, f->network->objective, wrt, answer.count, &options,
                                      &f->arena, &gradient, &reason);
    if (answer.status == RXN_OK)
        take_answer(&answer, &gradient);
    if (reason)
        strncpy(answer.reason, reason, sizeof answer.reason - 1);
    close_model(f);
    free(f);
    return answer;
}

static inline Answer
ask_well(const Question *question)
{
    Answer answer = ask(question);
    if (answer.status != RXN_OK)
        fail_msg("%s", answer.reason);
    return answer;
}

static inline void
assert_near(double got, double wanted, double error, const char *what)
{
    if (!(fabs(got - wanted) <= error))
        fail_msg("%s: %.15g, not %.15g, off by %.3g (allowed: %.3g)", what, got, wanted,
                 fabs(got - wanted), error);
}

#endif
