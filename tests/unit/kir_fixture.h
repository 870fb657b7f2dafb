/* kir_fixture.h: what the tests of compiler/kir share. */
#ifndef RXN_KIR_FIXTURE_H
#define RXN_KIR_FIXTURE_H

#include "compiler/kir/kir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Fixture {
    Memory memory;
    jmp_buf failed;
    Arena arena;
    NameTable names;
} Fixture;

static inline int
set_up(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    if (!f)
        return -1;
    f->memory.on_failure = &f->failed;
    rxn__arena_init(&f->arena, &f->memory);
    rxn__names_init(&f->names, &f->arena);
    *state = f;
    return 0;
}

static inline int
tear_down(void **state)
{
    Fixture *f = *state;
    rxn__arena_release(&f->arena);
    const bool leaked = f->memory.used != 0;
    free(f);
    return leaked ? -1 : 0;
}

static inline const char *
printed(Fixture *f, const KirKernel *kernel)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__kir_print(kernel, &text);
    return text.data;
}

/* The kernel of this text, which must be one. */
static inline KirKernel *
read_kernel(Fixture *f, const char *text)
{
    KirKernel *kernel;
    const char *error = rxn__kir_read(&f->arena, &f->names, text, strlen(text), &kernel);
    if (error)
        print_error("%s\nin\n%s", error, text);
    assert_null(error);
    return kernel;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

/* A kernel with this step, and all kinds of declarations. */
static inline const char *
with_step(Fixture *f, const char *launch, const char *step)
{
    Text text;
    rxn__text_init(&text, &f->arena);
    rxn__text_printf(&text,
                     "kernel k f64 {\n"
                     "buffer in : f64[2] per launch\n"
                     "buffer row : f64[?] per trajectory\n"
                     "buffer out : f64[?] per trajectory writable\n"
                     "local x : f64\n"
                     "local a : f64[3]\n"
                     "local done : bool\n"
                     "uniform u : f64\n"
                     "done done\n"
                     "launch { %%1 = const.i32 0 %%2 = const.f64 0 %%3 = const.bool true\n"
                     " %%4 = const.u32 7 %s }\n"
                     "init { %%50 = const.f64 0 }\n"
                     "step {\n%s\n}\n"
                     "finish {}\n}\n",
                     launch, step);
    return text.data;
}

#endif
