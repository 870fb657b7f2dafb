/* grad_estimators.c: which estimators: the names on the command line, and the choice of `auto`.
 */
#include <string.h>

#include "compiler/engine/grad.h"

enum {
    MANY_PARAMETERS = 1000
}; /* from here on one number each is too much for forward estimators */

static bool
is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool
is_known(const char *name)
{
    return strcmp(name, "auto") == 0 || strcmp(name, "all") == 0 || strcmp(name, "exact") == 0 ||
           rxn__estimator_find(name) != NULL;
}

static void
report_unknown(Engine *engine, const char *name)
{
    Text list;
    const char *names[64];
    u32 count = 0;
    rxn__text_init(&list, &engine->session.arena);
    rxn__text_printf(&list, "auto, all");
    for (const Estimator *const *e = rxn__estimators; *e && count < COUNT_OF(names) - 1; e++) {
        rxn__text_printf(&list, ", %s", (*e)->name);
        names[count++] = (*e)->name;
    }
    rxn__text_printf(&list, ", exact");
    names[count++] = "exact";
    rxn__engine_error(engine, "there is no estimator '%s'",
                      rxn__shown(&engine->session.arena, name, strlen(name)));
    const char *nearest = rxn__nearest(name, count, names);
    if (nearest)
        rxn__engine_note(engine, "did you mean '%s'?", nearest);
    rxn__engine_note(engine, "estimators: %s", list.data);
}

/* The next name of a list with commas, without spaces around it; NULL at the end. */
static const char *
next_name(Arena *arena, const char **list)
{
    if (!*list)
        return NULL;
    size_t length = strcspn(*list, ","), kept = length;
    const char *begin = *list;
    *list = begin[length] ? begin + length + 1 : NULL;
    while (kept && begin[kept - 1] == ' ')
        kept--;
    while (kept && *begin == ' ')
        begin++, kept--;
    return rxn__arena_copy_text(arena, begin, kept);
}

bool
rxn__grad_check_estimators(Engine *engine, const char *list)
{
    bool good = true, alone = strchr(list, ',') == NULL;
    for (const char *name; (name = next_name(&engine->session.arena, &list));) {
        bool whole = is_word(name, strlen(name), "auto") || is_word(name, strlen(name), "all");
        if (!is_known(name)) {
            report_unknown(engine, name);
            good = false;
        } else if (whole && !alone) {
            rxn__engine_error(engine, "--estimator %s stands for itself, not in a list", name);
            good = false;
        }
    }
    return good;
}

static void
add(Grad *grad, const char *name)
{
    for (u32 k = 0; k < grad->estimators.count; k++)
        if (strcmp(grad->estimators.items[k], name) == 0)
            return;
    vec_push(&grad->pipeline.arena, &grad->estimators, name);
}

/* x-y is a form of x, which takes the one that suits. */
static bool
is_form(const Estimator *estimator)
{
    for (const Estimator *const *e = rxn__estimators; *e; e++) {
        size_t length = strlen((*e)->name);
        if (strncmp(estimator->name, (*e)->name, length) == 0 && estimator->name[length] == '-')
            return true;
    }
    return false;
}

/* ---- auto -------------------------------------------------------------------------------------- */

static bool
applies(Grad *grad, const char *name)
{
    const Estimator *estimator = rxn__estimator_find(name);
    Text reason;
    rxn__text_init(&reason, &grad->pipeline.arena);
    return estimator && estimator->applies(&grad->request, &reason);
}

/* Whether the estimator proves itself unbiased here. */
static bool
is_unbiased(Grad *grad, const char *name, const char **ret_proof)
{
    GradientKernel kernel = {0};
    const char *broken = rxn__estimator_find(name)->write(&grad->request, &grad->pipeline.arena,
                                                          &grad->engine->session.names, &kernel);
    *ret_proof = kernel.remarks;
    return !broken && kernel.unbiased;
}

/* The estimator of `auto`, with its sentence: the one that has the least variance among those that can
 * be trusted. NULL: none can do it. */
static const char *
choose(Grad *grad, const char **ret_why)
{
    bool many = grad->request.wrt_count >= MANY_PARAMETERS;
    const char *proof;
    if (applies(grad, "path") && is_unbiased(grad, "path", &proof)) {
        *ret_why = proof ? proof
                         : "every propensity and every output is affine in the counts, so path is "
                           "unbiased";
        return "path";
    }
    if (applies(grad, "path") && many) {
        *ret_why = "with this many parameters only a backward pass is affordable; it is biased "
                   "where a propensity or an output is not affine in the counts";
        return "path";
    }
    if (applies(grad, "martingale")) {
        *ret_why = "a propensity or an output is not affine in the counts, and martingale is "
                   "unbiased for all of them";
        return "martingale";
    }
    if (applies(grad, "score")) {
        *ret_why = "score is unbiased for every output";
        return "score";
    }
    return NULL;
}

/* ---- a list of names --------------------------------------------------------------------------- */

/* NULL: it can do it. */
static const char *
obstacle_of(Grad *grad, const char *name)
{
    const Estimator *estimator = rxn__estimator_find(name);
    if (!estimator)
        return rxn__grad_exact_obstacle(grad);
    Text reason;
    rxn__text_init(&reason, &grad->pipeline.arena);
    return estimator->applies(&grad->request, &reason) ? NULL : reason.data;
}

/* Before any of them runs: a mistake in the last name should not cost the time of the others. */
static bool
check_list(Grad *grad)
{
    u32 count = grad->estimators.count, able = 0;
    Text rest;
    rxn__text_init(&rest, &grad->pipeline.arena);
    for (u32 k = 0; k < count; k++) {
        const char *name = grad->estimators.items[k], *obstacle = obstacle_of(grad, name);
        if (!obstacle)
            rxn__text_printf(&rest, "%s%s", able++ ? "," : "", name);
        else
            rxn__engine_error(grad->engine, "the estimator '%s' cannot differentiate this: %s",
                              name, obstacle);
    }
    if (able == count)
        return true;
    if (able)
        rxn__engine_note(grad->engine, "the others can: --estimator %s", rest.data);
    else if (count > 1)
        rxn__engine_note(grad->engine,
                         "--estimator all takes those that can, and says why the others cannot");
    return false;
}

/* What was chosen by the numbers of the text, which are open here: results are not to depend on that. False where that cannot
 * be; then they cannot be open. */
static bool
take_decided(Grad *grad)
{
    const Grad *decided = grad->decided;
    Arena *arena = &grad->pipeline.arena;
    for (u32 k = 0; k < decided->estimators.count; k++) {
        const char *name = decided->estimators.items[k];
        if (!applies(grad, name))
            return false;
        add(grad, rxn__arena_copy_text(arena, name, strlen(name)));
    }
    if (decided->choice)
        grad->choice = rxn__arena_copy_text(arena, decided->choice, strlen(decided->choice));
    return true;
}

bool
rxn__grad_may_open(const Grad *grad)
{
    bool kernels = grad->estimators.count > 0;
    for (u32 k = 0; k < grad->estimators.count; k++)
        kernels = kernels && rxn__estimator_find(grad->estimators.items[k]);
    return kernels && grad->stages.precision == KIR_F64 && !grad->engine->built;
}

bool
rxn__grad_estimators(Grad *grad)
{
    Engine *engine = grad->engine;
    const char *list = grad->options.estimators;
    if (grad->decided)
        return take_decided(grad);
    if (strcmp(list, "auto") == 0) {
        const char *chosen = choose(grad, &grad->choice);
        if (chosen) {
            add(grad, chosen);
            return true;
        }
        rxn__engine_error(engine, "no estimator can differentiate this");
        for (const Estimator *const *e = rxn__estimators; *e; e++) {
            Text reason;
            rxn__text_init(&reason, &grad->pipeline.arena);
            if (!(*e)->applies(&grad->request, &reason))
                rxn__engine_note(engine, "%s: %s", (*e)->name, reason.data);
        }
        return false;
    }
    grad->all = strcmp(list, "all") == 0;
    for (const Estimator *const *e = rxn__estimators; grad->all && *e; e++)
        if (!is_form(*e))
            add(grad, (*e)->name);
    if (grad->all) {
        add(grad, "exact");
        return true;
    }
    for (const char *name; (name = next_name(&grad->pipeline.arena, &list));)
        add(grad, name);
    return check_list(grad);
}
