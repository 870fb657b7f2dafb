/* passes.c: the sequence of the passes, readable in one place.
 *
 *     share      the DAG as sema left it, without what errors and folding left over
 *     windows    comparisons of time become breakpoints, so that bounds see only what really varies
 *     bounds     upper bounds of what still depends on time
 *     hoist      invariant parts, those of the bounds included, become arrays
 *     share      what hoisting made equal becomes one
 *     conserve   conservation laws
 *     classify   traits, of the final form
 *
 * The network is checked after each, and the message names the pass that broke it. Builds with
 * RXN_DEBUG_CHECKS also read the text form back after each pass, and hold the pass to its word when
 * it says that it changed nothing.
 */
#include "compiler/network/internal.h"

#include <string.h>

typedef struct Pass {
    const char *name;
    bool (*run)(Network *network, Diagnostics *diagnostics);
} Pass;

static bool
run_share(Network *network, Diagnostics *diagnostics)
{
    (void)diagnostics;
    return rxn__network_share(network);
}

static bool
run_windows(Network *network, Diagnostics *diagnostics)
{
    (void)diagnostics;
    return rxn__network_windows(network);
}

static bool
run_hoist(Network *network, Diagnostics *diagnostics)
{
    (void)diagnostics;
    return rxn__network_hoist(network);
}

static bool
run_conserve(Network *network, Diagnostics *diagnostics)
{
    (void)diagnostics;
    return rxn__network_conserve(network);
}

static bool
run_classify(Network *network, Diagnostics *diagnostics)
{
    (void)diagnostics;
    return rxn__network_classify(network);
}

static const Pass passes[] = {
    {"share", run_share},       {"windows", run_windows},   {"bounds", rxn__network_bounds},
    {"hoist", run_hoist},       {"share-again", run_share}, {"conserve", run_conserve},
    {"classify", run_classify},
};

static const char *
complaint(Arena *scratch, const char *pass, const char *what)
{
    Text text;
    rxn__text_init(&text, scratch);
    rxn__text_printf(&text, "network pass '%s': %s", pass, what);
    return text.data;
}

#ifdef RXN_DEBUG_CHECKS

/* Reads the text back and prints it again; NULL when the two are the same. */
static const char *
check_text(const Network *network, const Text *text, Arena *scratch)
{
    Network *again;
    Text second;
    const char *error =
        rxn__network_read(scratch, network->names, text->data, text->length, &again);
    if (error != NULL)
        return error;
    rxn__text_init(&second, scratch);
    rxn__network_print(again, &second);
    bool same = text->length == second.length && memcmp(text->data, second.data, text->length) == 0;
    return same ? NULL : "the text form does not read back to itself";
}

static const char *
check_deeply(const Network *network, bool changed, Text *before, Arena *scratch)
{
    Text now;
    rxn__text_init(&now, scratch);
    rxn__network_print(network, &now);
    bool same = now.length == before->length && memcmp(now.data, before->data, now.length) == 0;
    *before = now;
    if (!same && !changed)
        return "it changed the network and did not say so";
    return check_text(network, &now, scratch);
}

#endif

bool
rxn__network_passes(Network *network, Diagnostics *diagnostics, Arena *scratch,
                    void (*after)(void *context, const char *pass, const Network *network),
                    void *context, const char **ret_internal)
{
    *ret_internal = NULL;
#ifdef RXN_DEBUG_CHECKS
    Text before;
    rxn__text_init(&before, scratch);
    rxn__network_print(network, &before);
#endif
    for (u32 i = 0; i < COUNT_OF(passes); i++) {
        u32 errors = diagnostics->error_count;
        bool changed = passes[i].run(network, diagnostics);
        (void)changed;
        if (diagnostics->error_count > errors)
            return false;
        const char *broken = rxn__network_check(network, scratch);
#ifdef RXN_DEBUG_CHECKS
        if (broken == NULL)
            broken = check_deeply(network, changed, &before, scratch);
#endif
        if (broken != NULL) {
            *ret_internal = complaint(scratch, passes[i].name, broken);
            return false;
        }
        if (after != NULL)
            after(context, passes[i].name, network);
    }
    return true;
}
