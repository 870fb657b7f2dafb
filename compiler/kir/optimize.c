/* optimize.c: the whole sequence of passes, readable in one table.
 *
 * Folding first, so that little is expanded in vain (what was expanded of constants folds too). Sharing after it, which
 * repeats the same polynomials; and once more after hoisting, which brings equal values together. Dead
 * code goes last, so nobody before has to clean up.
 *
 * After each pass the kernel is checked, and an error names the pass. Debug builds also hold each pass
 * to its word: the text reads back to the same text, and "changed" is true exactly if the text is
 * another.
 */
#include "compiler/kir/internal.h"

static const KirPass passes[] = {
    {"fold", rxn__kir_fold, false},   {"expand_math", rxn__kir_expand_math, true},
    {"cse", rxn__kir_cse, false},     {"fold", rxn__kir_fold, false},
    {"hoist", rxn__kir_hoist, false}, {"cse", rxn__kir_cse, false},
    {"dce", rxn__kir_dce, false},
};

static const char *
explain(Arena *arena, const char *pass, const char *error)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "after the KIR pass %s: %s", pass, error);
    return text.data;
}

#ifdef RXN_DEBUG_CHECKS
static const char *
read_back_error(const KirKernel *kernel, const Text *text, Arena *scratch)
{
    KirKernel *again;
    const char *error = rxn__kir_read(scratch, kernel->names, text->data, text->length, &again);
    if (error)
        return error;
    Text second;
    rxn__text_init(&second, scratch);
    rxn__kir_print(again, &second);
    return second.length == text->length && memcmp(second.data, text->data, text->length) == 0
               ? NULL
               : "the text does not read back to itself";
}
#endif

static const char *
run_pass(KirKernel *kernel, const KirPass *pass, bool expanded, Arena *scratch)
{
#ifdef RXN_DEBUG_CHECKS
    Text before, after;
    rxn__text_init(&before, scratch);
    rxn__text_init(&after, scratch);
    rxn__kir_print(kernel, &before);
    const bool changed = pass->run(kernel);
    const char *error = rxn__kir_check(kernel, expanded, scratch);
    if (error)
        return error;
    rxn__kir_print(kernel, &after);
    const bool same =
        before.length == after.length && memcmp(before.data, after.data, before.length) == 0;
    if (same == changed)
        return changed ? "it says that it changed something, but has not"
                       : "it changed something, but does not say so";
    return read_back_error(kernel, &after, scratch);
#else
    pass->run(kernel);
    return rxn__kir_check(kernel, expanded, scratch);
#endif
}

const char *
rxn__kir_optimize(KirKernel *kernel, Arena *scratch,
                  void (*after)(void *context, const char *pass, const KirKernel *kernel),
                  void *context)
{
    const char *error = rxn__kir_check(kernel, false, scratch);
    if (error)
        return explain(scratch, "(none)", error);
    bool expanded = false;
    for (u32 i = 0; i < COUNT_OF(passes); i++) {
        expanded |= passes[i].expands_math;
        error = run_pass(kernel, &passes[i], expanded, scratch);
        if (error)
            return explain(scratch, passes[i].name, error);
        if (after)
            after(context, passes[i].name, kernel);
    }
    return NULL;
}
