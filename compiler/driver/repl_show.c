/* repl_show.c: `:list` and `:show`: the statements, and every stage of what becomes of them. */
#include <string.h>

#include "compiler/driver/repl.h"

const char *
rxn__repl_one_line(Arena *arena, const char *text, u32 width)
{
    Text out;
    u32 used = 0;
    bool blank = false;
    size_t cut = 0; /* where "..." would have room */
    rxn__text_init(&out, arena);
    width = width < 8 ? 8 : width;
    for (; *text; text++) {
        if (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n') {
            blank = true;
            continue;
        }
        const bool starts = ((u8)*text & 0xC0) != 0x80;
        if (blank && out.length > 0) {
            rxn__text_append(&out, " ", 1);
            used++;
        }
        blank = false;
        if (starts) {
            if (used + 3 <= width)
                cut = out.length;
            used++;
            if (used > width) {
                out.length = cut;
                out.data[cut] = '\0';
                rxn__text_append(&out, "...", 3);
                return out.data;
            }
        }
        rxn__text_append(&out, text, 1);
    }
    return out.data;
}

void
rxn__repl_wrap(const char *text)
{
    const u32 width = rxn__input_width();
    u32 used = 0;
    while (*text) {
        const size_t length = strcspn(text, " \n");
        u32 characters = 0;
        for (size_t k = 0; k < length; k++)
            characters += ((u8)text[k] & 0xC0) != 0x80;
        if (used > 0 && used + 1 + characters > width) {
            putchar('\n');
            used = 0;
        }
        printf("%s%.*s", used > 0 ? " " : "", (int)length, text);
        used += (used > 0) + characters;
        text += length;
        if (*text == '\n') {
            putchar('\n');
            used = 0;
        }
        text += *text != '\0';
    }
    if (used > 0)
        putchar('\n');
}

bool
rxn__repl_list(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    (void)count;
    (void)words;
    (void)rest;
    const ReplList *list = repl->current;
    if (list->statements.count == 0)
        puts("no statements yet");
    for (u32 k = 0; k < list->statements.count; k++) {
        /* All of its lines, below each other. */
        const char *text = list->statements.items[k].text;
        for (bool first = true; *text || first; first = false) {
            const size_t length = strcspn(text, "\n");
            if (first)
                printf("%3u  %.*s\n", k + 1, (int)length, text);
            else
                printf("%s%.*s\n", length ? "     " : "", (int)length, text);
            text += length;
            text += *text == '\n';
        }
    }
    return true;
}

bool
rxn__repl_show_name(Repl *repl, const char *name)
{
    bool found = false;
    for (u32 k = 0; k < repl->current->statements.count; k++) {
        const ReplStatement *statement = &repl->current->statements.items[k];
        bool here = false;
        for (u32 i = 0; i < statement->items.count; i++)
            here |= strcmp(statement->items.items[i].name, name) == 0;
        if (!here)
            continue;
        printf("%3u  %s\n", k + 1,
               rxn__repl_one_line(&repl->scratch, statement->text, rxn__input_width() - 5));
        found = true;
    }
    double value;
    if (found && rxn__repl_value_of(repl, name, &value)) {
        Text text;
        rxn__text_init(&text, &repl->scratch);
        rxn__text_f64(&text, value);
        printf("     set to %s\n", text.data);
    }
    return found;
}

static const struct {
    const char *name;
    RxnForm form;
} forms[] = {
    {"network", RXN_FORM_NETWORK}, {"rates", RXN_FORM_RATES},     {"laws", RXN_FORM_LAWS},
    {"kernel", RXN_FORM_KERNEL},   {"llvm", RXN_FORM_LLVM},       {"asm", RXN_FORM_ASSEMBLY},
    {"cuda", RXN_FORM_CUDA},       {"summary", RXN_FORM_SUMMARY},
};

static bool
unknown(Repl *repl, const char *word)
{
    VEC(const char *) names = {0};
    vec_push(&repl->scratch, &names, "model");
    vec_push(&repl->scratch, &names, "values");
    for (size_t k = 0; k < COUNT_OF(forms); k++)
        vec_push(&repl->scratch, &names, forms[k].name);
    for (u32 k = 0; k < repl->current->statements.count; k++)
        for (u32 i = 0; i < repl->current->statements.items[k].items.count; i++)
            vec_push(&repl->scratch, &names,
                     repl->current->statements.items[k].items.items[i].name);
    rxn__repl_error(repl, "there is nothing called '%s' to show",
                    rxn__shown(&repl->scratch, word, strlen(word)));
    const char *near = rxn__nearest(word, names.count, names.items);
    if (near)
        rxn__repl_note(repl, "did you mean '%s'?", near);
    else
        rxn__repl_note(repl, "':help show' says what there is");
    return false;
}

static bool
show_form(Repl *repl, RxnForm form)
{
    RxnSimulatorOptions options = rxn_simulator_options();
    RxnError *error = NULL;
    options.device = repl->device;
    if (!rxn__repl_need_model(repl))
        return false;
    /* Of the model as it reads now; the kernels of `compiled` are the same. */
    const RxnStatus status =
        form == RXN_FORM_SUMMARY && rxn__repl_need_values(repl, repl->values_seed)
            ? rxn_model_summary(repl->compiled, repl->values, &repl->pending_text, &error)
            : rxn_model_text(repl->model, form, &options, &repl->pending_text, &error);
    if (status != RXN_OK) {
        rxn__repl_show_error(repl, repl->current, error);
        return false;
    }
    fputs(repl->pending_text, stdout);
    const size_t length = strlen(repl->pending_text);
    if (length > 0 && repl->pending_text[length - 1] != '\n')
        putchar('\n');
    rxn_text_free(repl->pending_text);
    repl->pending_text = NULL;
    return true;
}

bool
rxn__repl_show(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    (void)rest;
    if (count != 1) {
        rxn__repl_error(repl, "':show' takes one word");
        rxn__repl_note(repl,
                       "model, values, summary, network, rates, laws, kernel, llvm, asm, cuda, or "
                       "a name of the model");
        return false;
    }
    const char *word = words[0];
    if (strcmp(word, "model") == 0) {
        if (repl->current->statements.count == 0)
            puts("no statements yet");
        fputs(repl->current->text.data, stdout);
        return true;
    }
    if (strcmp(word, "values") == 0)
        return rxn__repl_show_values(repl);
    for (size_t k = 0; k < COUNT_OF(forms); k++)
        if (strcmp(forms[k].name, word) == 0)
            return show_form(repl, forms[k].form);
    return rxn__repl_show_name(repl, word) || unknown(repl, word);
}
