/* repl_model.c: from the list of statements to a model, its values and its simulator, each made when it is wanted.
 *
 * What is compiled outlives edits that change numbers of parameters alone: the new model gives the numbers, the old one keeps
 * the kernels (`compiled`). After other edits the library takes machine code over where the kernel is the same, as it is where
 * a rate constant or an initial value that is a number became another one (RxnSimulatorOptions.editable).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/repl.h"
#include "runtime/report.h"

/* What is said of a model while it is read waits until someone runs it: statements are typed one by one, and until the last
 * of them much is not used yet. Later messages, of what is made of it, are shown at once. (Nothing may jump out of the
 * library, which calls this.) */
static void
take_message(void *context, RxnSeverity severity, const char *text)
{
    Repl *repl = context;
    jmp_buf failed;
    jmp_buf *outer = repl->memory.on_failure;
    (void)severity;
    if (!repl->checking) {
        rxn__repl_show_told(repl, text);
        return;
    }
    repl->memory.on_failure = &failed;
    if (setjmp(failed) == 0)
        rxn__text_append(&repl->warnings, text, strlen(text));
    repl->memory.on_failure = outer;
}

/* A model needs a species to be one. Until there is one, statements are checked beside a species that nobody sees. */
static bool
has_species(const ReplList *list)
{
    for (u32 k = 0; k < list->statements.count; k++)
        if (strcmp(list->statements.items[k].keyword, "species") == 0 ||
            strcmp(list->statements.items[k].keyword, "use") == 0)
            return true;
    return false;
}

bool
rxn__repl_check(Repl *repl)
{
    const ReplList *list = repl->candidate;
    RxnModelOptions options = rxn_model_options();
    RxnError *error = NULL;
    options.name = rxn__repl_model_name(repl);
    options.tell = take_message;
    options.tell_context = repl;
    rxn__text_init(&repl->warnings, &repl->scratch);
    const char *text = list->text.data;
    const bool complete = has_species(list);
    if (!complete) {
        Text with;
        rxn__text_init(&with, &repl->scratch);
        rxn__text_printf(&with, "%sspecies __none\n", text);
        text = with.data;
    }
    repl->checking = true;
    const RxnStatus status = rxn_model_parse(text, &options, &repl->pending_model, &error);
    repl->checking = false;
    if (status != RXN_OK) {
        rxn__repl_show_error(repl, list, error);
        return false;
    }
    if (!complete) {
        rxn_model_free(repl->pending_model);
        repl->pending_model = NULL;
    }
    return true;
}

const char *
rxn__repl_model_name(const Repl *repl)
{
    return repl->base ? repl->base : "model";
}

/* ---- Values ---------------------------------------------------------------------------------------- */

void
rxn__repl_forget_set(Repl *repl, const char *name)
{
    const size_t length = strlen(name);
    u32 kept = 0;
    for (u32 k = 0; k < repl->sets.count; k++) {
        const ReplSet set = repl->sets.items[k];
        /* Members of an array go with it. */
        if (strncmp(set.name, name, length) != 0 ||
            (set.name[length] != '\0' && set.name[length] != '['))
            repl->sets.items[kept++] = set;
    }
    repl->sets.count = kept;
}

/* Sets what the user has set, as far as the model still has it. */
static void
apply_sets(Repl *repl, RxnValues *values)
{
    u32 kept = 0;
    for (u32 k = 0; k < repl->sets.count; k++) {
        const ReplSet set = repl->sets.items[k];
        if (rxn_values_set(values, set.name, set.value, NULL) == RXN_OK)
            repl->sets.items[kept++] = set;
    }
    repl->sets.count = kept;
}

static bool
fail(Repl *repl, RxnError *error)
{
    rxn__repl_show_error(repl, repl->compiled_list, error);
    return false;
}

/* Those that there are: what the model leaves open is no number. */
static RxnStatus
put_numbers(RxnValues *values, RxnKind kind, size_t count, const double *numbers,
            RxnError **ret_error)
{
    RxnStatus status = RXN_OK;
    for (size_t first = 0, end; first < count && status == RXN_OK; first = end + 1) {
        for (end = first; end < count && isfinite(numbers[end]);)
            end++;
        if (end > first)
            status = rxn_values_put(values, kind, first, end - first, numbers + first, ret_error);
    }
    return status;
}

/* From a model that differs in numbers alone. */
static bool
take_numbers(Repl *repl, RxnModel *model)
{
    static const RxnKind kinds[] = {RXN_PARAMETERS, RXN_INPUTS};
    RxnError *error = NULL;
    RxnStatus status = rxn_values_new(model, repl->values_seed, &repl->pending_values, &error);
    if (status != RXN_OK)
        return fail(repl, error);
    apply_sets(repl, repl->pending_values);
    for (size_t k = 0; k < COUNT_OF(kinds) && status == RXN_OK; k++)
        status = put_numbers(repl->values, kinds[k], rxn_model_count(model, kinds[k]),
                             rxn_values_get(repl->pending_values, kinds[k]), &error);
    rxn_values_free(repl->pending_values);
    repl->pending_values = NULL;
    return status == RXN_OK || fail(repl, error);
}

bool
rxn__repl_need_model(Repl *repl)
{
    if (repl->model)
        return true;
    rxn__repl_error(repl, "there is no model yet");
    rxn__repl_note(repl,
                   "declare at least one species, as in 'species A = 100', or ':load' a file");
    return false;
}

/* Values for `compiled`: those of the current model, with what the user has set. */
static bool
refresh_values(Repl *repl)
{
    RxnError *error = NULL;
    if (!repl->values &&
        rxn_values_new(repl->compiled, repl->values_seed, &repl->values, &error) != RXN_OK)
        return fail(repl, error);
    return take_numbers(repl, repl->model);
}

bool
rxn__repl_need_values(Repl *repl, u64 seed)
{
    if (!rxn__repl_need_model(repl))
        return false;
    if (repl->values && repl->values_seed == seed)
        return true;
    repl->values_seed = seed;
    return refresh_values(repl);
}

static char *
keep(Repl *repl, const char *text)
{
    return rxn__arena_copy_text(&repl->kept, text, strlen(text));
}

/* (What has a default by what is set follows it, so all numbers are taken anew.) */
bool
rxn__repl_set(Repl *repl, const char *name, double value)
{
    RxnError *error = NULL;
    if (!rxn__repl_need_values(repl, repl->values_seed))
        return false;
    if (rxn_values_set(repl->values, name, value, &error) != RXN_OK)
        return fail(repl, error);
    rxn__repl_forget_set(repl, name);
    vec_push(&repl->kept, &repl->sets, ((ReplSet){keep(repl, name), value}));
    repl->run_is_current = false;
    return refresh_values(repl);
}

/* ---- What is compiled ------------------------------------------------------------------------------ */

/* Frees of what was made before all that there is something newer of its kind of, and models that nothing is left of. */
static void
forget_superseded(Repl *repl)
{
    bool simulator = false, differentiator = false, fit = false;
    u32 kept = repl->before_count;
    for (u32 k = repl->before_count; k-- > 0;) {
        ReplMade made = repl->before[k];
        if (simulator) {
            rxn_simulator_free(made.simulator);
            made.simulator = NULL;
        }
        if (differentiator) {
            rxn_differentiator_free(made.differentiator);
            made.differentiator = NULL;
        }
        if (fit) {
            rxn_fit_free(made.fit);
            made.fit = NULL;
        }
        simulator |= made.simulator != NULL;
        differentiator |= made.differentiator != NULL;
        fit |= made.fit != NULL;
        if (made.simulator || made.differentiator || made.fit)
            repl->before[--kept] = made;
        else
            rxn_model_free(made.model);
    }
    repl->before_count -= kept;
    memmove(repl->before, repl->before + kept, repl->before_count * sizeof *repl->before);
}

/* What has code stays, with its model, until there is something that may take its code over. */
static void
release_compiled(Repl *repl)
{
    rxn_values_free(repl->values);
    repl->values = NULL;
    if (repl->model != repl->compiled)
        rxn_model_free(repl->model);
    repl->before[repl->before_count++] =
        (ReplMade){repl->compiled, repl->simulator, repl->differentiator, repl->fit};
    forget_superseded(repl);
    repl->simulator = NULL;
    repl->differentiator = NULL;
    repl->fit = NULL;
    repl->model = repl->compiled = NULL;
}

void
rxn__repl_release(Repl *repl)
{
    release_compiled(repl);
    for (u32 k = 0; k < repl->before_count; k++) {
        rxn_fit_free(repl->before[k].fit);
        rxn_differentiator_free(repl->before[k].differentiator);
        rxn_simulator_free(repl->before[k].simulator);
        rxn_model_free(repl->before[k].model);
    }
    repl->before_count = 0;
}

ReplMade
rxn__repl_before(const Repl *repl)
{
    ReplMade newest = {0};
    for (u32 k = 0; k < repl->before_count; k++) { /* there is one of each kind at most */
        const ReplMade *made = &repl->before[k];
        newest.simulator = made->simulator ? made->simulator : newest.simulator;
        newest.differentiator = made->differentiator ? made->differentiator : newest.differentiator;
        newest.fit = made->fit ? made->fit : newest.fit;
    }
    return newest;
}

/* The list that nothing points to. */
static ReplList *
free_list(Repl *repl)
{
    for (u32 k = 0; k < COUNT_OF(repl->lists); k++)
        if (&repl->lists[k] != repl->current && &repl->lists[k] != repl->compiled_list)
            return &repl->lists[k];
    return NULL;
}

bool
rxn__repl_accept(Repl *repl, bool values_only)
{
    RxnModel *model = repl->pending_model;
    if (values_only && repl->values && model) {
        if (!take_numbers(repl, model))
            return false;
        if (repl->model != repl->compiled)
            rxn_model_free(repl->model);
        repl->model = model;
        repl->current = repl->candidate;
    } else {
        release_compiled(repl);
        repl->model = repl->compiled = model;
        repl->current = repl->compiled_list = repl->candidate;
    }
    repl->pending_model = NULL;
    repl->candidate = free_list(repl);
    repl->run_is_current = false;
    free(repl->unseen_warnings);
    repl->unseen_warnings = repl->warnings.length ? strdup(repl->warnings.data) : NULL;
    return true;
}

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool
same_options(const RxnSimulatorOptions *a, const RxnSimulatorOptions *b)
{
    return same_text(a->method, b->method) && same_text(a->device, b->device) &&
           same_text(a->precision, b->precision) && a->lanes == b->lanes &&
           a->trajectories == b->trajectories;
}

bool
rxn__repl_need_simulator(Repl *repl, const RxnSimulatorOptions *options)
{
    RxnError *error = NULL;
    if (!rxn__repl_need_model(repl))
        return false;
    rxn__repl_show_warnings(repl);
    repl->times.kept = true;
    if (repl->simulator && same_options(options, &repl->simulator_options))
        return true;
    RxnSimulatorOptions wanted = *options;
    wanted.like = repl->simulator ? repl->simulator : rxn__repl_before(repl).simulator;
    wanted.editable = true;
    const double start = rxn__seconds();
    RxnSimulator *simulator = NULL;
    if (rxn_simulator_new(repl->compiled, &wanted, &simulator, &error) != RXN_OK)
        return fail(repl, error);
    rxn_simulator_free(repl->simulator);
    repl->simulator = simulator;
    repl->simulator_options = *options;
    repl->simulator_options.method = keep(repl, options->method);
    const RxnSimulatorInfo info = rxn_simulator_info(simulator);
    repl->times.compile += rxn__seconds() - start;
    repl->times.kept = info.reused;
    repl->times.compiled = !info.reused;
    return true;
}
