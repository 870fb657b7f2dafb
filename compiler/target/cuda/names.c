/* names.c: identifiers for what a kernel names, each given once. */
#include "compiler/target/cuda/cuda.h"

#include <string.h>

/* Words of C, C++ and CUDA, and what the frame of a kernel calls its own. */
static const char *const reserved[] = {
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "class",
    "compl",
    "const",
    "constexpr",
    "const_cast",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
    "main",
    "linux",
    "unix",
    /* functions that the text calls, or a host's headers define */
    "sqrt",
    "sqrtf",
    "floor",
    "floorf",
    "ceil",
    "ceilf",
    "rint",
    "rintf",
    "fabs",
    "fabsf",
    "fma",
    "fmaf",
    "trunc",
    "truncf",
    "fmin",
    "fmax",
    "fminf",
    "fmaxf",
    "copysign",
    "copysignf",
    "isnan",
    "isinf",
    "isfinite",
    "signbit",
    "min",
    "max",
    "abs",
    "exp",
    "log",
    "atomicAdd",
    "atomicCAS",
    "atomicExch",
    "atomicMin",
    "threadIdx",
    "blockIdx",
    "blockDim",
    "gridDim",
    "warpSize",
    "i8",
    "u8",
    "u16",
    "i32",
    "u32",
    "i64",
    "u64",
    "f32",
    "f64",
    "true_",
    "false_",
    /* the frame's */
    "launch",
    "row",
    "worker",
    "workers",
    "rank",
    "team",
    "fault",
    "constants",
    "uniform",
    "running",
    "turn",
    "trap_code",
    "trap_detail",
    "trapped",
    "trajectory",
    "thread",
    "taken",
    "stopped",
    "order",
    "looks",
    "work_u8",
    "work_u16",
    "work_i32",
    "work_u32",
    "work_i64",
    "work_u64",
    "work_f32",
    "work_f64",
};

void
rxn__cuda_names_init(CudaNames *names, Arena *arena)
{
    *names = (CudaNames){.arena = arena, .capacity = 1024};
    names->slots = NEW_ARRAY(arena, const char *, names->capacity);
    for (u32 i = 0; i < COUNT_OF(reserved); i++)
        rxn__cuda_identifier(names, reserved[i]);
}

/* Its slot, or the free one where it belongs. */
static const char **
slot_of(CudaNames *names, const char *text)
{
    u64 hash = 0;
    for (const char *at = text; *at; at++)
        hash = hash_mix(hash, (u8)*at);
    u32 slot = (u32)hash & (names->capacity - 1);
    while (names->slots[slot] && strcmp(names->slots[slot], text) != 0)
        slot = (slot + 1) & (names->capacity - 1);
    return &names->slots[slot];
}

static void
grow(CudaNames *names)
{
    CudaNames larger = {.arena = names->arena, .capacity = 2 * names->capacity};
    larger.slots = NEW_ARRAY(names->arena, const char *, larger.capacity);
    for (u32 i = 0; i < names->capacity; i++)
        if (names->slots[i])
            *slot_of(&larger, names->slots[i]) = names->slots[i];
    larger.count = names->count;
    *names = larger;
}

const char *
rxn__cuda_identifier(CudaNames *names, const char *text)
{
    Text name;
    rxn__text_init(&name, names->arena);
    /* What begins with an underscore, or has two in a row, or begins with rxn_, belongs to others. */
    if ((*text >= '0' && *text <= '9') || *text == '_' || strncmp(text, "rxn_", 4) == 0)
        rxn__text_append(&name, "v", 1);
    for (const char *at = text; *at; at++) {
        bool letter =
            (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
        if (letter || name.length == 0 || name.data[name.length - 1] != '_')
            rxn__text_append(&name, letter ? at : "_", 1);
    }
    const char *wanted = name.data;
    for (u32 number = 2; *slot_of(names, name.data) != NULL; number++) {
        rxn__text_init(&name, names->arena);
        rxn__text_printf(&name, "%s_%u", wanted, number);
    }
    *slot_of(names, name.data) = name.data;
    if (++names->count > names->capacity / 2)
        grow(names);
    return name.data;
}
