/* late_kernel.h: kernels whose trajectories begin with a late step, since no test has the time to get there: their texts are made
 * to say so. */
#ifndef RXN_LATE_KERNEL_H
#define RXN_LATE_KERNEL_H

#include "ensemble_fixture.h"

/* The greatest number of a value in a text of so many bytes. */
static inline u32
last_value(const char *from, size_t length)
{
    u32 last = 0;
    for (size_t k = 0; k < length; k++) {
        const u32 number = from[k] == '%' ? (u32)strtoul(from + k + 1, NULL, 10) : 0;
        last = number > last ? number : last;
    }
    return last;
}

/* The rest of a text in which the values behind `last` have a number more: they are numbered in their order. */
static inline void
append_shifted(Text *to, const char *rest, u32 last)
{
    while (*rest) {
        const size_t length = strcspn(rest, "%");
        rxn__text_append(to, rest, length);
        rest += length;
        if (*rest == '\0')
            break;
        char *behind;
        const u32 number = (u32)strtoul(rest + 1, &behind, 10);
        rxn__text_printf(to, "%%%u", number > last ? number + 1 : number);
        rest = behind;
    }
}

/* The kernel whose first step has the number 2^32 - before. */
static inline KirKernel *
begin_late(Model *model, const KirKernel *kernel, u32 before)
{
    static const char init[] = "\n  init {\n", end[] = "\n  }\n";
    Arena *arena = &model->pipeline.arena;
    Text printed, late;
    KirKernel *read;
    rxn__text_init(&printed, arena);
    rxn__text_init(&late, arena);
    rxn__kir_print(kernel, &printed);
    const char *at = strstr(printed.data, init);
    at = at ? strstr(at, end) : NULL;
    assert_non_null(at);
    at++;
    const size_t length = (size_t)(at - printed.data);
    const u32 last = last_value(printed.data, length), first = last + 1;
    rxn__text_append(&late, printed.data, length);
    rxn__text_printf(&late, "%%%u = const.u32 %u\nset n, %%%u\nset n_check, %%%u\n", first,
                     0u - before, first, first);
    append_shifted(&late, at, last);
    const char *error = rxn__kir_read(arena, &model->session.names, late.data, late.length, &read);
    if (error)
        fail_msg("%s", error);
    return read;
}

#endif
