/* prelude.c: the functions that the text of a kernel calls: those of ops that C has no operator for, or not the
 * right one, and rxn_reduce.
 *
 * A template stands for one function per type: $T is the type, $U the unsigned type of its width, $M the width
 * less one; the function is named after the template and the type. Only what a text calls is written out.
 */
#include "compiler/target/cuda/cuda.h"

#include <string.h>

typedef struct Template {
    const char *name;  /* without the types */
    const char *types; /* "i32 f32": one function each; a pair of types is written "f64_i32" */
    const char *result, *parameters, *body;
} Template;

static const Template templates[] = {
    /* Signed sums wrap. */
    {"rxn_add_", "i32 i64", "$T", "$T x, $T y", "($T)(($U)x + ($U)y)"},
    {"rxn_sub_", "i32 i64", "$T", "$T x, $T y", "($T)(($U)x - ($U)y)"},
    {"rxn_mul_", "i32 i64", "$T", "$T x, $T y", "($T)(($U)x * ($U)y)"},
    {"rxn_mulhi_", "u32", "u32", "u32 x, u32 y", "__umulhi(x, y)"},
    {"rxn_mulhi_", "u64", "u64", "u64 x, u64 y", "__umul64hi(x, y)"},
    /* What has no quotient gives 0: a division by zero, and the least integer by -1. */
    {"rxn_div_", "u32 u64", "$T", "$T x, $T y", "y == 0 ? 0 : x / y"},
    {"rxn_rem_", "u32 u64", "$T", "$T x, $T y", "y == 0 ? 0 : x % y"},
    {"rxn_div_", "i32 i64", "$T", "$T x, $T y",
     "y == 0 || (y == -1 && ($U)x == ($U)1 << $M) ? 0 : x / y"},
    {"rxn_rem_", "i32 i64", "$T", "$T x, $T y",
     "y == 0 || (y == -1 && ($U)x == ($U)1 << $M) ? 0 : x % y"},
    {"rxn_shl_", "i32 u32 i64 u64", "$T", "$T x, $T y", "($T)(($U)x << (($U)y & $M))"},
    {"rxn_shr_", "i32 u32 i64 u64", "$T", "$T x, $T y", "x >> (($U)y & $M)"},
    /* The second where one is NaN. */
    {"rxn_min_", "i32 u32 i64 u64 f32 f64", "$T", "$T x, $T y", "x < y ? x : y"},
    {"rxn_max_", "i32 u32 i64 u64 f32 f64", "$T", "$T x, $T y", "x > y ? x : y"},
    {"rxn_fma_", "f64", "f64", "f64 x, f64 y, f64 z", "__fma_rn(x, y, z)"},
    {"rxn_fma_", "f32", "f32", "f32 x, f32 y, f32 z", "__fmaf_rn(x, y, z)"},
    {"rxn_abs_", "f64", "f64", "f64 x", "fabs(x)"},
    {"rxn_abs_", "f32", "f32", "f32 x", "fabsf(x)"},
    {"rxn_sqrt_", "f64", "f64", "f64 x", "sqrt(x)"},
    {"rxn_sqrt_", "f32", "f32", "f32 x", "sqrtf(x)"},
    {"rxn_floor_", "f64", "f64", "f64 x", "floor(x)"},
    {"rxn_floor_", "f32", "f32", "f32 x", "floorf(x)"},
    {"rxn_ceil_", "f64", "f64", "f64 x", "ceil(x)"},
    {"rxn_ceil_", "f32", "f32", "f32 x", "ceilf(x)"},
    {"rxn_rint_", "f64", "f64", "f64 x", "rint(x)"},
    {"rxn_rint_", "f32", "f32", "f32 x", "rintf(x)"},
    {"rxn_copysign_", "f64", "f64", "f64 x, f64 y", "copysign(x, y)"},
    {"rxn_copysign_", "f32", "f32", "f32 x, f32 y", "copysignf(x, y)"},
    /* NaN, and what does not fit, give 0. The limits are the nearest numbers that do not fit. */
    {"rxn_cast_", "f64_i32", "i32", "f64 x", "x > -2147483649.0 && x < 2147483648.0 ? (i32)x : 0"},
    {"rxn_cast_", "f64_u32", "u32", "f64 x", "x > -1.0 && x < 4294967296.0 ? (u32)x : 0"},
    {"rxn_cast_", "f64_i64", "i64", "f64 x",
     "x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (i64)x : 0"},
    {"rxn_cast_", "f64_u64", "u64", "f64 x", "x > -1.0 && x < 18446744073709551616.0 ? (u64)x : 0"},
    {"rxn_cast_", "f32_i32", "i32", "f32 x",
     "x >= -2147483648.0f && x < 2147483648.0f ? (i32)x : 0"},
    {"rxn_cast_", "f32_u32", "u32", "f32 x", "x > -1.0f && x < 4294967296.0f ? (u32)x : 0"},
    {"rxn_cast_", "f32_i64", "i64", "f32 x",
     "x >= -9223372036854775808.0f && x < 9223372036854775808.0f ? (i64)x : 0"},
    {"rxn_cast_", "f32_u64", "u64", "f32 x",
     "x > -1.0f && x < 18446744073709551616.0f ? (u64)x : 0"},
    {"rxn_bits_", "f64_i64", "i64", "f64 x", "__double_as_longlong(x)"},
    {"rxn_bits_", "f64_u64", "u64", "f64 x", "(u64)__double_as_longlong(x)"},
    {"rxn_bits_", "i64_f64", "f64", "i64 x", "__longlong_as_double(x)"},
    {"rxn_bits_", "u64_f64", "f64", "u64 x", "__longlong_as_double((i64)x)"},
    {"rxn_bits_", "f32_i32", "i32", "f32 x", "__float_as_int(x)"},
    {"rxn_bits_", "f32_u32", "u32", "f32 x", "__float_as_uint(x)"},
    {"rxn_bits_", "i32_f32", "f32", "i32 x", "__int_as_float(x)"},
    {"rxn_bits_", "u32_f32", "f32", "u32 x", "__uint_as_float(x)"},
};

/* Whether the text has this word as a whole. */
bool
rxn__cuda_mentions(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += length) {
        char before = at == text ? ' ' : at[-1], after = at[length];
        bool begins = !(before == '_' || (before >= '0' && before <= '9') ||
                        (before >= 'a' && before <= 'z') || (before >= 'A' && before <= 'Z'));
        bool ends = !(after == '_' || (after >= '0' && after <= '9') ||
                      (after >= 'a' && after <= 'z') || (after >= 'A' && after <= 'Z'));
        if (begins && ends)
            return true;
    }
    return false;
}

static void
expand(Text *out, const char *template, const char *type)
{
    for (const char *at = template; *at; at++) {
        if (*at != '$') {
            rxn__text_append(out, at, 1);
            continue;
        }
        at++;
        bool wide = strstr(type, "64") != NULL;
        if (*at == 'T')
            rxn__text_append(out, type, strlen(type));
        else if (*at == 'U')
            rxn__text_append(out, wide ? "u64" : "u32", 3);
        else
            rxn__text_append(out, wide ? "63" : "31", 2);
    }
}

void
rxn__cuda_prelude(Text *out, const char *body, Arena *arena)
{
    for (u32 i = 0; i < COUNT_OF(templates); i++) {
        const Template *t = &templates[i];
        const char *at = t->types;
        while (*at) {
            size_t length = strcspn(at, " ");
            Text type, name;
            rxn__text_init(&type, arena);
            rxn__text_append(&type, at, length);
            rxn__text_init(&name, arena);
            rxn__text_printf(&name, "%s%s", t->name, type.data);
            if (rxn__cuda_mentions(body, name.data)) {
                rxn__text_printf(out, "static __device__ __forceinline__ ");
                expand(out, t->result, type.data);
                rxn__text_printf(out, "\n%s(", name.data);
                expand(out, t->parameters, type.data);
                rxn__text_printf(out, ")\n{\n    return ");
                expand(out, t->body, type.data);
                rxn__text_printf(out, ";\n}\n\n");
            }
            at += length + (at[length] == ' ');
        }
    }
}

/* Thread (x, y) has cell x of chunk y. The sums are those of rxn__moments_of_rows, in its order. */
static const char reduce[] =
    "typedef struct RxnReduce {\n"
    "    u64 samples, row_events, mean, m2, events, count, rows, cells;\n"
    "} RxnReduce;\n"
    "\n"
    "/* Means, sums of squared differences and events of each chunk of rows. */\n"
    "RXN_C __global__ void\n"
    "rxn_reduce(const RxnReduce reduce)\n"
    "{\n"
    "    const f64 *const samples = (const f64 *)reduce.samples;\n"
    "    const u64 *const row_events = (const u64 *)reduce.row_events;\n"
    "    const u64 chunks = reduce.rows ? (reduce.count + reduce.rows - 1) / reduce.rows : 0;\n"
    "    const u64 first_cell = (u64)blockIdx.x * blockDim.x + threadIdx.x;\n"
    "    const u64 first_chunk = (u64)blockIdx.y * blockDim.y + threadIdx.y;\n"
    "#pragma unroll 1\n"
    "    for (u64 chunk = first_chunk; chunk < chunks; chunk += (u64)gridDim.y * blockDim.y) {\n"
    "        const u64 begin = chunk * reduce.rows, left = reduce.count - begin;\n"
    "        const u64 rows = left < reduce.rows ? left : reduce.rows;\n"
    "        if (first_cell == 0) {\n"
    "            u64 events = 0;\n"
    "#pragma unroll 4\n"
    "            for (u64 row = 0; row_events && row < rows; row++)\n"
    "                events += row_events[begin + row];\n"
    "            ((u64 *)reduce.events)[chunk] = events;\n"
    "        }\n"
    "        if (!reduce.mean)\n"
    "            continue;\n"
    "#pragma unroll 1\n"
    "        for (u64 cell = first_cell; cell < reduce.cells; cell += (u64)gridDim.x * blockDim.x) "
    "{\n"
    "            const f64 *const x = samples + begin * reduce.cells + cell;\n"
    "            const f64 origin = x[0] - x[0] == 0.0 ? x[0] : 0.0, n = (f64)rows;\n"
    "            f64 sum = x[0] - origin, squares = sum * sum;\n"
    "#pragma unroll 4\n"
    "            for (u64 row = 1; row < rows; row++) {\n"
    "                const f64 d = x[row * reduce.cells] - origin;\n"
    "                sum = sum + d;\n"
    "                squares = squares + d * d;\n"
    "            }\n"
    "            const f64 m2 = squares - sum * (sum / n);\n"
    "            ((f64 *)reduce.m2)[chunk * reduce.cells + cell] = m2 > 0.0 || m2 != m2 ? m2 : "
    "0.0;\n"
    "            ((f64 *)reduce.mean)[chunk * reduce.cells + cell] = origin + sum / n;\n"
    "        }\n"
    "    }\n"
    "}\n";

void
rxn__cuda_reduce(Text *out)
{
    rxn__text_append(out, reduce, sizeof reduce - 1);
}
