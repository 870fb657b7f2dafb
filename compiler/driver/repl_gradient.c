/* repl_gradient.c: `:grad` and `:fit`: derivatives of expectations, and what is done with them. */
#include <math.h>
#include <string.h>

#include "compiler/driver/command.h"
#include "compiler/driver/repl.h"

/* ---- :grad ------------------------------------------------------------------------------------------ */

typedef struct Gradient {
    TextList of, wrt;
    NumberList at;
    const char *estimator;
    u64 trajectories, seed;
} Gradient;

static bool
is_keyword(const char *word)
{
    static const char *const words[] = {"at", "wrt", "by", "trajectories", "seed"};
    for (size_t k = 0; k < COUNT_OF(words); k++)
        if (strcmp(word, words[k]) == 0)
            return true;
    return false;
}

static void
trim(const char **text, size_t *length)
{
    while (*length > 0 && strchr(" \t", **text)) {
        ++*text;
        --*length;
    }
    while (*length > 0 && strchr(" \t", (*text)[*length - 1]))
        --*length;
}

/* Parts at commas outside of brackets. */
static void
split_commas(Repl *repl, const char *text, size_t length, TextList *names)
{
    size_t start = 0;
    u32 depth = 0;
    for (size_t k = 0; k <= length; k++) {
        const char c = k < length ? text[k] : ',';
        depth += c == '(' || c == '[';
        depth -= depth > 0 && (c == ')' || c == ']');
        if (k < length && (c != ',' || depth > 0))
            continue;
        const char *part = text + start;
        size_t part_length = k - start;
        trim(&part, &part_length);
        if (part_length > 0)
            vec_push(&repl->scratch, names,
                     rxn__arena_copy_text(&repl->scratch, part, part_length));
        start = k + 1;
    }
}

/* Where the next word that is one of the clauses' stands outside of brackets, or the end of the text. */
static const char *
next_keyword(Repl *repl, const char *text)
{
    u32 depth = 0;
    for (const char *at = text; *at; at++) {
        depth += *at == '(' || *at == '[';
        depth -= depth > 0 && (*at == ')' || *at == ']');
        const bool begins = at == text || strchr(" \t", at[-1]);
        const size_t length = strcspn(at, " \t");
        if (depth == 0 && begins && length > 0 && length < 16 &&
            is_keyword(rxn__arena_copy_text(&repl->scratch, at, length)))
            return at;
    }
    return text + strlen(text);
}

static bool
read_clause(Repl *repl, const char *word, const char *text, size_t length, Gradient *gradient)
{
    trim(&text, &length);
    const char *value = rxn__arena_copy_text(&repl->scratch, text, length);
    TextList names = {0};
    if (length == 0) {
        rxn__repl_error(repl, "':grad': nothing stands behind '%s'", word);
        return false;
    }
    if (strcmp(word, "wrt") == 0) {
        split_commas(repl, text, length, &gradient->wrt);
    } else if (strcmp(word, "by") == 0) {
        gradient->estimator = value;
    } else if (strcmp(word, "trajectories") == 0) {
        return rxn__repl_count(repl, word, value, &gradient->trajectories);
    } else if (strcmp(word, "seed") == 0) {
        return rxn__repl_count(repl, word, value, &gradient->seed);
    } else {
        split_commas(repl, text, length, &names);
        for (u32 k = 0; k < names.count; k++) {
            double time;
            if (!rxn__repl_number(repl, "at", names.items[k], &time))
                return false;
            vec_push(&repl->scratch, &gradient->at, time);
        }
    }
    return true;
}

/* "mean(A), var(A) at 5,10 wrt k, d by path": what stands before the first clause is the list of expressions. */
static bool
read_gradient(Repl *repl, const char *rest, Gradient *gradient)
{
    *gradient = (Gradient){.estimator = "auto", .trajectories = 1000, .seed = 1};
    const char *end = next_keyword(repl, rest);
    split_commas(repl, rest, (size_t)(end - rest), &gradient->of);
    if (gradient->of.count == 0) {
        rxn__repl_error(repl, "':grad' needs what to differentiate");
        rxn__repl_note(repl, "e.g. ':grad mean(A) at 10 wrt k'");
        return false;
    }
    while (*end) {
        const size_t length = strcspn(end, " \t");
        const char *word = rxn__arena_copy_text(&repl->scratch, end, length);
        const char *value = end + length;
        end = *value ? next_keyword(repl, value) : value;
        if (!read_clause(repl, word, value, (size_t)(end - value), gradient))
            return false;
    }
    return true;
}

/* All that a differentiator is compiled for. */
static const char *
key_of(Repl *repl, const Gradient *gradient)
{
    Text text;
    rxn__text_init(&text, &repl->scratch);
    for (u32 k = 0; k < gradient->of.count; k++)
        rxn__text_printf(&text, "%s;", gradient->of.items[k]);
    for (u32 k = 0; k < gradient->at.count; k++)
        rxn__text_printf(&text, "at %a", gradient->at.items[k]);
    for (u32 k = 0; k < gradient->wrt.count; k++)
        rxn__text_printf(&text, "wrt %s", gradient->wrt.items[k]);
    rxn__text_printf(&text, "by %s, %llu", gradient->estimator,
                     (unsigned long long)gradient->trajectories);
    return text.data;
}

static bool
fail(Repl *repl, RxnError *error)
{
    rxn__repl_show_error(repl, repl->compiled_list, error);
    return false;
}

static bool
need_differentiator(Repl *repl, const Gradient *gradient)
{
    RxnError *error = NULL;
    const char *key = key_of(repl, gradient);
    repl->times.kept = true;
    if (repl->differentiator && repl->differentiator_key &&
        strcmp(repl->differentiator_key, key) == 0)
        return true;
    RxnDifferentiatorOptions options =
        rxn__driver_gradient(&gradient->of, &gradient->at, &gradient->wrt, gradient->estimator);
    options.kernel.device = repl->device;
    options.kernel.cache = repl->cache;
    options.kernel.trajectories = gradient->trajectories;
    options.kernel.editable = true;
    options.like =
        repl->differentiator ? repl->differentiator : rxn__repl_before(repl).differentiator;
    RxnDifferentiator *differentiator;
    key = rxn__arena_copy_text(&repl->kept, key, strlen(key));
    const double start = rxn__seconds();
    if (rxn_differentiator_new(repl->compiled, &options, repl->values, &differentiator, &error) !=
        RXN_OK)
        return fail(repl, error);
    rxn_differentiator_free(repl->differentiator);
    repl->differentiator = differentiator;
    repl->differentiator_key = key;
    repl->times.compile = rxn__seconds() - start;
    repl->times.compiled = true;
    return true;
}

/* 0.0123 ± 0.0004: as many digits as the error leaves. */
static void
put_number(Text *text, double value, double se)
{
    if (!isfinite(se) || se <= 0 || fabs(value) >= 1e9) {
        rxn__text_printf(text, "%.6g", value);
        return;
    }
    int decimals = 1 - (int)floor(log10(se));
    decimals = decimals < 0 ? 0 : decimals > 12 ? 12 : decimals;
    rxn__text_printf(text, "%.*f ± %.*f", decimals, value, decimals, se);
}

static u32
width_of(const char *text)
{
    u32 width = 0;
    for (; *text; text++)
        width += ((u8)*text & 0xC0) != 0x80;
    return width;
}

/* An output a row, a parameter a column; or, of one output, a parameter a row. */
static void
show_derivatives(Repl *repl, const RxnDerivatives *found)
{
    const RxnDifferentiatorInfo info = rxn_differentiator_info(repl->differentiator);
    char trajectories[32], seconds[40];
    for (size_t k = 0; k < found->output_count; k++) {
        Text value;
        rxn__text_init(&value, &repl->scratch);
        put_number(&value, found->value[k], found->value_se[k]);
        printf("%s = %s\n", info.outputs[k], value.data);
        u32 widest = 0;
        for (size_t p = 0; p < found->parameter_count; p++) {
            const u32 width = width_of(info.parameters[p]);
            widest = width > widest ? width : widest;
        }
        for (size_t p = 0; p < found->parameter_count; p++) {
            Text gradient;
            rxn__text_init(&gradient, &repl->scratch);
            put_number(&gradient, found->gradient[k * found->parameter_count + p],
                       found->se[k * found->parameter_count + p]);
            printf("  by %s%*s  %s\n", info.parameters[p],
                   (int)(widest - width_of(info.parameters[p])), "", gradient.data);
        }
    }
    /* The first that did not fail, which need not be the first that was asked for. */
    const RxnEstimate *shown = &found->estimates[0];
    rxn__format_duration(seconds, sizeof seconds, found->seconds);
    if (found->trajectories > 0) {
        rxn__format_grouped(trajectories, sizeof trajectories, found->trajectories);
        printf("%s, %s, %s trajectories in %s\n", shown->estimator,
               shown->exact      ? "exact"
               : shown->unbiased ? "unbiased"
                                 : "biased",
               trajectories, seconds);
    } else {
        printf("%s%s in %s\n", shown->estimator,
               shown->exact && strcmp(shown->estimator, "exact") != 0 ? ", exact," : ",", seconds);
    }
    if (shown->remarks && found->trajectories > 0)
        rxn__repl_wrap(shown->remarks);
}

/* Several estimators are compiled while they run. */
static void
take_late_compilation(ReplTimes *times, const RxnDerivatives *found)
{
    if (!times->compiled || found->estimate_count + found->failure_count < 2)
        return;
    for (size_t e = 0; e < found->estimate_count; e++) {
        times->compile += found->estimates[e].seconds_compile;
        times->run -= found->estimates[e].seconds_compile;
    }
}

bool
rxn__repl_grad(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    Gradient gradient;
    RxnRunOptions options = rxn_run_options();
    RxnDerivatives found;
    RxnProgress progress;
    RxnError *error = NULL;
    (void)count;
    (void)words;
    if (!read_gradient(repl, rest, &gradient) || !rxn__repl_need_values(repl, gradient.seed))
        return false;
    rxn__repl_show_warnings(repl);
    repl->expression = gradient.of.count == 1 ? gradient.of.items[0] : NULL;
    if (!need_differentiator(repl, &gradient))
        return false;
    options.trajectories = gradient.trajectories;
    options.seed = gradient.seed;
    options.cancel = repl->interrupted;
    rxn__progress_begin(&progress, repl->terminal ? stderr : NULL);
    options.progress = rxn__progress_show;
    options.progress_context = &progress;
    const double start = rxn__seconds();
    const RxnStatus status =
        rxn_differentiate(repl->differentiator, repl->values, &options, &found, &error);
    rxn__progress_end(&progress);
    repl->times.run = rxn__seconds() - start;
    repl->times.ran = true;
    if (rxn_differentiator_info(repl->differentiator).reused)
        repl->times.compiled = false;
    if (status == RXN_CANCELLED) {
        rxn_error_free(error);
        return rxn__repl_stopped(repl, "stopped; there is no result");
    }
    if (status != RXN_OK)
        return fail(repl, error);
    take_late_compilation(&repl->times, &found);
    show_derivatives(repl, &found);
    return true;
}

/* ---- :fit -------------------------------------------------------------------------------------------- */

enum { SHOWN_STEPS = 10 };

static void
show_step(void *context, const RxnFitStep *step)
{
    const u64 every = step->steps > SHOWN_STEPS ? step->steps / SHOWN_STEPS : 1;
    const u64 number = step->step + 1;
    (void)context;
    if (number == 1 || number % every == 0 || number == step->steps) {
        printf("step %llu of %llu: loss %.5g\n", (unsigned long long)number,
               (unsigned long long)step->steps, step->loss);
        fflush(stdout);
    }
}

static bool
read_fit(Repl *repl, u32 count, const char *const *words, RxnFitOptions *options)
{
    *options = rxn_fit_options();
    options->kernel.device = repl->device;
    options->kernel.cache = repl->cache;
    for (u32 k = 0; k < count; k += 2) {
        const char *value = k + 1 < count ? words[k + 1] : NULL;
        bool good;
        if (strcmp(words[k], "steps") == 0) {
            good = rxn__repl_count(repl, words[k], value, &options->steps);
        } else if (strcmp(words[k], "trajectories") == 0) {
            good = rxn__repl_count(repl, words[k], value, &options->trajectories);
        } else if (strcmp(words[k], "seed") == 0) {
            good = rxn__repl_count(repl, words[k], value, &options->seed);
        } else {
            rxn__repl_error(repl, "':fit' does not know '%s'",
                            rxn__shown(&repl->scratch, words[k], strlen(words[k])));
            rxn__repl_note(repl, "e.g. ':fit steps 50 trajectories 500 seed 2'");
            return false;
        }
        if (!good)
            return false;
    }
    return true;
}

static bool
take_fitted(Repl *repl, const RxnFitted *fitted)
{
    u32 widest = 0;
    for (size_t k = 0; k < fitted->parameter_count; k++) {
        const u32 width = width_of(fitted->labels[k]);
        widest = width > widest ? width : widest;
    }
    for (size_t k = 0; k < fitted->parameter_count; k++) {
        Text value;
        rxn__text_init(&value, &repl->scratch);
        put_number(&value, fitted->value[k], fitted->se[k]);
        printf("  %s%*s  %s\n", fitted->labels[k], (int)(widest - width_of(fitted->labels[k])), "",
               value.data);
        if (!rxn__repl_set(repl, fitted->labels[k], fitted->value[k]))
            return false;
    }
    printf("loss %.5g after %llu %s: %s\n", fitted->loss, (unsigned long long)fitted->steps,
           fitted->steps == 1 ? "step" : "steps", fitted->ending ? fitted->ending : "done");
    puts("these values hold now; ':reset values' takes them back");
    return true;
}

bool
rxn__repl_fit(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    RxnFitOptions options;
    RxnFitted fitted;
    RxnError *error = NULL;
    (void)rest;
    if (!read_fit(repl, count, words, &options) || !rxn__repl_need_values(repl, repl->values_seed))
        return false;
    if (!rxn_model_has_fit(repl->compiled)) {
        rxn__repl_error(repl, "the model has no fit block");
        rxn__repl_note(repl, "':help fit' shows one");
        return false;
    }
    rxn__repl_show_warnings(repl);
    options.cancel = repl->interrupted;
    options.step = show_step;
    options.kernel.editable = true;
    options.like = repl->fit ? repl->fit : rxn__repl_before(repl).fit;
    RxnFit *fit;
    const double start = rxn__seconds();
    if (rxn_fit_new(repl->compiled, &options, repl->values, &fit, &error) != RXN_OK)
        return fail(repl, error);
    rxn_fit_free(repl->fit);
    repl->fit = fit;
    repl->times.compile = rxn__seconds() - start;
    repl->times.kept = rxn_fit_info(fit).reused;
    repl->times.compiled = !repl->times.kept;
    const double begun = rxn__seconds();
    const RxnStatus status = rxn_fit_train(repl->fit, &fitted, &error);
    repl->times.run = rxn__seconds() - begun;
    repl->times.ran = true;
    if (status == RXN_CANCELLED) {
        rxn_error_free(error);
        rxn__repl_stopped(repl, "stopped");
    } else if (status != RXN_OK) {
        return fail(repl, error);
    }
    return take_fitted(repl, &fitted);
}
