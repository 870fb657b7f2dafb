/* repl_values.c: numbers of parameters and inputs: `:set`, `:reset values`, and what they are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/repl.h"

enum { MOST_SHOWN = 40 };

/* A number as it reads back. */
static const char *
number(Repl *repl, double value)
{
    Text text;
    rxn__text_init(&text, &repl->scratch);
    rxn__text_f64(&text, value);
    return text.data;
}

static void
show_sets(Repl *repl)
{
    if (repl->sets.count == 0)
        puts("nothing is set: all values are the model's own");
    for (u32 k = 0; k < repl->sets.count; k++)
        printf("%s = %s\n", repl->sets.items[k].name, number(repl, repl->sets.items[k].value));
}

static const char *
trimmed(Repl *repl, const char *text, size_t length)
{
    while (length > 0 && strchr(" \t", *text)) {
        text++;
        length--;
    }
    while (length > 0 && strchr(" \t", text[length - 1]))
        length--;
    return rxn__arena_copy_text(&repl->scratch, text, length);
}

static bool
unknown(Repl *repl, const char *name)
{
    VEC(const char *) names = {0};
    static const RxnKind kinds[] = {RXN_PARAMETERS, RXN_INPUTS};
    rxn__repl_error(repl, "there is no parameter or input '%s'",
                    rxn__shown(&repl->scratch, name, strlen(name)));
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        for (size_t k = 0; k < rxn_model_count(repl->compiled, kinds[i]) && k < 1000; k++) {
            const char *label = rxn_model_label(repl->compiled, kinds[i], k);
            if (label)
                vec_push(&repl->scratch, &names,
                         rxn__arena_copy_text(&repl->scratch, label, strlen(label)));
        }
    const char *near = rxn__nearest(name, names.count, names.items);
    if (near)
        rxn__repl_note(repl, "did you mean '%s'?", near);
    else
        rxn__repl_note(repl, "':show values' lists them");
    return false;
}

typedef struct Setting {
    const char *name;
    double value;
} Setting;

/* "k = 2": what is on the right is a number, not an expression. */
static bool
read_setting(Repl *repl, const char *text, size_t length, Setting *ret_setting)
{
    const char *equals = memchr(text, '=', length);
    if (!equals) {
        rxn__repl_error(repl, "':set' needs a name, '=' and a number");
        rxn__repl_note(repl, "e.g. ':set k = 2, d = 0.1'");
        return false;
    }
    ret_setting->name = trimmed(repl, text, (size_t)(equals - text));
    const char *value = trimmed(repl, equals + 1, length - (size_t)(equals + 1 - text));
    if (!rxn_model_find(repl->compiled, RXN_PARAMETERS, ret_setting->name, NULL, NULL) &&
        !rxn_model_find(repl->compiled, RXN_INPUTS, ret_setting->name, NULL, NULL))
        return unknown(repl, ret_setting->name);
    return rxn__repl_number(repl, ret_setting->name, value, &ret_setting->value);
}

bool
rxn__repl_set_values(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    VEC(Setting) settings = {0};
    (void)words;
    if (count == 0) {
        show_sets(repl);
        return true;
    }
    if (!rxn__repl_need_values(repl, repl->values_seed))
        return false;
    /* All are read before one is set: a mistake changes nothing. Commas inside of [ ] are of an index. */
    size_t start = 0;
    u32 depth = 0;
    const size_t end = strlen(rest);
    for (size_t k = 0; k <= end; k++) {
        depth += rest[k] == '[';
        depth -= depth > 0 && rest[k] == ']';
        if (k < end && (rest[k] != ',' || depth > 0))
            continue;
        Setting setting;
        if (!read_setting(repl, rest + start, k - start, &setting))
            return false;
        vec_push(&repl->scratch, &settings, setting);
        start = k + 1;
    }
    for (u32 k = 0; k < settings.count; k++)
        if (!rxn__repl_set(repl, settings.items[k].name, settings.items[k].value))
            return false;
    for (u32 k = 0; k < settings.count; k++)
        printf("%s = %s\n", settings.items[k].name, number(repl, settings.items[k].value));
    return true;
}

/* Does a value that was set hold for this member? */
static bool
is_set(const Repl *repl, const char *label)
{
    for (u32 k = 0; k < repl->sets.count; k++) {
        const char *name = repl->sets.items[k].name;
        const size_t length = strlen(name);
        if (strncmp(label, name, length) == 0 && (label[length] == '\0' || label[length] == '['))
            return true;
    }
    return false;
}

bool
rxn__repl_show_values(Repl *repl)
{
    static const RxnKind kinds[] = {RXN_PARAMETERS, RXN_INPUTS};
    if (!rxn__repl_need_values(repl, repl->values_seed))
        return false;
    size_t shown = 0, all = 0;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        const size_t count = rxn_model_count(repl->compiled, kinds[i]);
        const double *values = rxn_values_get(repl->values, kinds[i]);
        for (size_t k = 0; k < count && shown < MOST_SHOWN; k++, shown++) {
            const char *label = rxn_model_label(repl->compiled, kinds[i], k);
            if (!label)
                continue;
            if (isnan(values[k]))
                printf("%s has no value\n", label);
            else
                printf("%s = %s%s\n", label, number(repl, values[k]),
                       is_set(repl, label) ? "   (set)" : "");
        }
        all += count;
    }
    if (all == 0)
        puts("the model has no parameters and no inputs");
    if (shown < all)
        printf("(%zu of %zu)\n", shown, all);
    return true;
}

bool
rxn__repl_value_of(Repl *repl, const char *name, double *ret_value)
{
    static const RxnKind kinds[] = {RXN_PARAMETERS, RXN_INPUTS};
    size_t first, count;
    if (!repl->model || !rxn__repl_need_values(repl, repl->values_seed))
        return false;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (rxn_model_find(repl->compiled, kinds[i], name, &first, &count) && count == 1) {
            *ret_value = rxn_values_get(repl->values, kinds[i])[first];
            return is_set(repl, name);
        }
    return false;
}
