/* front.h: what the fuzzers of the front end share: a session within a limit of memory, and the rules that a
 * network has to keep. What is wrong ends in abort(), which libFuzzer reports with the input.
 */
#ifndef RXN_FUZZ_FRONT_H
#define RXN_FUZZ_FRONT_H

#include "compiler/sema/sema.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FUZZ_PRINTED_MEMBERS =
        100000 /* above, laws and edges are still found, but not every text is read back */
};

static inline void
expect(bool holds, const char *what, const char *why)
{
    if (holds)
        return;
    fprintf(stderr, "%s: %s\n", what, why ? why : "");
    abort();
}

/* The network keeps its rules, and its text reads back to the same text. */
static inline void
check_network(const Network *network, Arena *arena, NameTable *names)
{
    const char *broken = rxn__network_check(network, arena);
    expect(!broken, "the network breaks a rule", broken);
    if (network->species_count > FUZZ_PRINTED_MEMBERS ||
        network->reaction_count > FUZZ_PRINTED_MEMBERS)
        return;
    Text first, second;
    rxn__text_init(&first, arena);
    rxn__text_init(&second, arena);
    rxn__network_print(network, &first);
    Network *again = NULL;
    const char *error = rxn__network_read(arena, names, first.data, first.length, &again);
    expect(!error, "a printed network does not read", error);
    rxn__network_print(again, &second);
    expect(first.length == second.length && memcmp(first.data, second.data, first.length) == 0,
           "print, read, print differs", first.data);
}

typedef struct FuzzSession {
    Memory memory;
    jmp_buf failed;
    Arena arena, scratch;
    NameTable names;
    SourceMap sources;
    Diagnostics diagnostics;
} FuzzSession;

static inline void
fuzz_begin(FuzzSession *s)
{
    rxn__names_init(&s->names, &s->arena);
    rxn__sources_init(&s->sources, &s->arena);
    rxn__diagnostics_init(&s->diagnostics, &s->arena, &s->sources);
}

/* Runs `body` on a fresh session; running out of memory is an end like any other. Nothing may be left. */
static inline void
fuzz_session(size_t memory_limit, void (*body)(FuzzSession *session, void *context), void *context)
{
    static FuzzSession session; /* not on the stack: it outlives the jump */
    memset(&session, 0, sizeof session);
    session.memory.limit = memory_limit;
    session.memory.on_failure = &session.failed;
    rxn__arena_init(&session.arena, &session.memory);
    rxn__arena_init(&session.scratch, &session.memory);
    if (setjmp(session.failed) == 0) {
        fuzz_begin(&session);
        body(&session, context);
    }
    rxn__arena_release(&session.scratch);
    rxn__arena_release(&session.arena);
    expect(session.memory.used == 0, "memory is left", NULL);
}

/* The passes either end well or with an error that says why; the network keeps its rules. */
static inline bool
fuzz_passes(FuzzSession *s, Network *network)
{
    check_network(network, &s->arena, &s->names);
    const char *internal = NULL;
    const bool passed =
        rxn__network_passes(network, &s->diagnostics, &s->scratch, NULL, NULL, &internal);
    expect(!internal, "internal error in the passes", internal);
    expect(passed == (s->diagnostics.error_count == 0), "the passes fail without an error", NULL);
    if (passed)
        check_network(network, &s->arena, &s->names);
    return passed;
}

#endif
