/* parse_fixture.h: a text parsed, with its tree and its messages, for the tests of the parser. */
#ifndef RXN_TEST_PARSE_FIXTURE_H
#define RXN_TEST_PARSE_FIXTURE_H

#include "compiler/ast/ast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Parse {
    Memory memory;
    jmp_buf failed;
    Arena arena;
    NameTable names;
    SourceMap sources;
    Diagnostics diagnostics;
    AstNode *tree;
} Parse;

static inline void
parse_bytes(Parse *p, const char *source, size_t length)
{
    rxn__names_init(&p->names, &p->arena);
    rxn__sources_init(&p->sources, &p->arena);
    rxn__diagnostics_init(&p->diagnostics, &p->arena, &p->sources);
    const u32 file = rxn__sources_add(&p->sources, "m.rxn", source, length);
    p->tree = rxn__parse(&p->arena, &p->names, &p->diagnostics, file);
}

static inline Parse *
begin_bytes(Parse *p, const char *source, size_t length)
{
    memset(p, 0, sizeof *p);
    p->memory.on_failure = &p->failed;
    rxn__arena_init(&p->arena, &p->memory);
    if (setjmp(p->failed)) {
        fail_msg("out of memory");
        return p;
    }
    parse_bytes(p, source, length);
    return p;
}

static inline Parse *
begin(Parse *p, const char *source)
{
    return begin_bytes(p, source, strlen(source));
}

static inline void
end(Parse *p)
{
    rxn__arena_release(&p->arena);
    assert_int_equal(p->memory.used, 0);
}

static inline const char *
messages(Parse *p)
{
    Text out;
    rxn__text_init(&out, &p->arena);
    rxn__diagnostics_render(&p->diagnostics, &out);
    return out.data;
}

static inline const char *
outline(Parse *p, const AstNode *node, bool with_spans)
{
    Text out;
    rxn__text_init(&out, &p->arena);
    rxn__ast_print(node, with_spans ? &p->sources : NULL, &out);
    return out.data;
}

#endif
