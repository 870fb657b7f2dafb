/* shim.h: lets a C compiler of the host compile the text of a CUDA kernel, unchanged, and run it.
 *
 * The text is C as well as CUDA C++, so what is missing is the environment: the qualifiers, the indices, the
 * barriers, the exchange within a warp, the atomics, the arithmetic intrinsics. Those that need other threads
 * are answered by an engine (engine.c), which runs each thread as a fiber and hands a table of functions to the
 * module; the rest is here. A module is compiled by fake_compile.c, which puts this file before the text.
 *
 * Every load and store of the text is seen as well, where the compiler can do it (-fsanitize=thread without its
 * library: the calls that it writes are answered here). So an address that is not the device's, or is beyond an
 * allocation, is found when it is used, and so is shared memory that two threads use without a barrier between.
 */
#ifndef RXN_SHIM_H
#define RXN_SHIM_H

#include "shim_abi.h"

/* The engine writes it when it loads the module. */
Shim *rxn_shim;
unsigned rxn_shim_architecture = RXN_SHIM_ARCHITECTURE;

/* The ends of the static shared memory, which the linker puts together. */
extern unsigned char __start_rxn_shim_shared[] __attribute__((weak, visibility("hidden")));
extern unsigned char __stop_rxn_shim_shared[] __attribute__((weak, visibility("hidden")));
unsigned char *
rxn_shim_shared_ends(int end)
{
    return end ? __stop_rxn_shim_shared : __start_rxn_shim_shared;
}

#ifdef __clang__ /* whose no_sanitize leaves entry and exit in */
#define SHIM_UNSEEN __attribute__((disable_sanitizer_instrumentation, unused))
#else
#define SHIM_UNSEEN __attribute__((no_sanitize("thread"), unused))
#endif

/* What is the engine's is read unseen: it is nothing that the device has. */
static SHIM_UNSEEN ShimIndex
shim_thread(void)
{
    return rxn_shim->thread;
}
static SHIM_UNSEEN ShimIndex
shim_block(void)
{
    return rxn_shim->block;
}
static SHIM_UNSEEN ShimIndex
shim_block_size(void)
{
    return rxn_shim->block_size;
}
static SHIM_UNSEEN ShimIndex
shim_grid_size(void)
{
    return rxn_shim->grid_size;
}
static SHIM_UNSEEN unsigned
shim_lane_number(void)
{
    return rxn_shim->lane;
}
static SHIM_UNSEEN unsigned char *
shim_dynamic(void)
{
    return rxn_shim->dynamic;
}
static SHIM_UNSEEN unsigned long long
shim_barrier(int line, int predicate)
{
    return rxn_shim->barrier(line, predicate);
}
static SHIM_UNSEEN const unsigned long long *
shim_gather(int line, int kind, unsigned mask, unsigned long long value)
{
    return rxn_shim->gather(line, kind, mask, value);
}
static SHIM_UNSEEN void
shim_atomic(const volatile void *address, size_t size)
{
    rxn_shim->atomic(address, size);
}
static SHIM_UNSEEN void
shim_pause(void)
{
    rxn_shim->pause();
}
static SHIM_UNSEEN void
shim_trap(int line)
{
    rxn_shim->trap(line);
}

/* ---- what the text is written in ---- */

#define __CUDA_ARCH__ (RXN_SHIM_ARCHITECTURE * 10)
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__    __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__   static __attribute__((section("rxn_shim_shared")))
#define threadIdx    (shim_thread())
#define blockIdx     (shim_block())
#define blockDim     (shim_block_size())
#define gridDim      (shim_grid_size())
#define warpSize     32

/* ---- threads with each other ---- */

#define __syncthreads()        ((void)shim_barrier(__LINE__, 0))
#define __syncthreads_count(p) ((int)shim_barrier(__LINE__, (p) != 0))
#define __syncthreads_or(p)    (shim_barrier(__LINE__, (p) != 0) != 0)
#define __syncthreads_and(p)   (shim_barrier(__LINE__, (p) == 0) == 0)
#define __syncwarp(...)                                                                            \
    ((void)shim_gather(__LINE__, SHIM_SYNC, shim_mask(0, ##__VA_ARGS__, 0xffffffffu), 0))
#define shim_mask(zero, mask, ...) (mask)
#define __activemask()             (1u << shim_lane_number()) /* each thread for itself is always possible */
#define __threadfence()            (shim_pause())
#define __threadfence_block()      (shim_pause())
#define __threadfence_system()     (shim_pause())
#define __nanosleep(ns)            ((void)(ns), shim_pause())
#define __trap()                   (shim_trap(__LINE__))

/* Bits of any scalar, and back. */
#define SHIM_BITS(value)                                                                           \
    ({                                                                                             \
        __typeof__(value) shim_value = (value);                                                    \
        unsigned long long shim_bits = 0;                                                          \
        _Static_assert(sizeof shim_value <= 8, "a scalar");                                        \
        __builtin_memcpy(&shim_bits, &shim_value, sizeof shim_value);                              \
        shim_bits;                                                                                 \
    })
#define SHIM_OF_BITS(like, bits)                                                                   \
    ({                                                                                             \
        __typeof__(like) shim_result;                                                              \
        unsigned long long shim_from = (bits);                                                     \
        __builtin_memcpy(&shim_result, &shim_from, sizeof shim_result);                            \
        shim_result;                                                                               \
    })

static SHIM_UNSEEN unsigned long long
shim_of_lane(const unsigned long long *values, unsigned lane)
{
    return values[lane % 32];
}

/* source_expression may use shim_lane, shim_segment and shim_width. A lane whose source is outside of its
 * segment gets its own value, as the hardware does. */
#define SHIM_SHUFFLE_OF(mask, value, source_expression, ...)                                       \
    ({                                                                                             \
        unsigned shim_width = shim_mask(0, ##__VA_ARGS__, 32), shim_lane = shim_lane_number();     \
        unsigned shim_segment = shim_lane / shim_width * shim_width;                               \
        unsigned shim_source = (source_expression);                                                \
        const unsigned long long *shim_all =                                                       \
            shim_gather(__LINE__, SHIM_SHUFFLE, (mask), SHIM_BITS(value));                         \
        (void)shim_segment;                                                                        \
        SHIM_OF_BITS(value, shim_of_lane(shim_all, shim_source));                                  \
    })
#define __shfl_sync(mask, value, from, ...)                                                        \
    SHIM_SHUFFLE_OF(mask, value, shim_segment + (unsigned)(from) % shim_width, ##__VA_ARGS__)
#define __shfl_up_sync(mask, value, by, ...)                                                       \
    SHIM_SHUFFLE_OF(mask, value,                                                                   \
                    shim_lane - shim_segment < (unsigned)(by) ? shim_lane : shim_lane - (by),      \
                    ##__VA_ARGS__)
#define __shfl_down_sync(mask, value, by, ...)                                                     \
    SHIM_SHUFFLE_OF(mask, value,                                                                   \
                    shim_lane - shim_segment + (by) >= shim_width ? shim_lane : shim_lane + (by),  \
                    ##__VA_ARGS__)
#define __shfl_xor_sync(mask, value, by, ...)                                                      \
    SHIM_SHUFFLE_OF(mask, value,                                                                   \
                    (shim_lane ^ (unsigned)(by)) < shim_segment + shim_width                       \
                        ? shim_lane ^ (unsigned)(by)                                               \
                        : shim_lane,                                                               \
                    ##__VA_ARGS__)

static inline unsigned
shim_vote(int line, unsigned mask, int predicate)
{
    const unsigned long long *all = shim_gather(line, SHIM_VOTE, mask, predicate != 0);
    unsigned bits = 0;
    for (int i = 0; i < 32; i++)
        bits |= (unsigned)shim_of_lane(all, i) << i;
    return bits & mask;
}
#define __ballot_sync(mask, p) shim_vote(__LINE__, (mask), (p) != 0)
#define __any_sync(mask, p)    (shim_vote(__LINE__, (mask), (p) != 0) != 0)
#define __all_sync(mask, p)    (shim_vote(__LINE__, (mask), (p) == 0) == 0)

static inline unsigned
shim_reduce(int line, unsigned mask, unsigned value, int operation)
{
    const unsigned long long *all = shim_gather(line, SHIM_REDUCE, mask, value);
    unsigned result = value;
    for (int i = 0; i < 32; i++) {
        unsigned other = (unsigned)shim_of_lane(all, i);
        if (!(mask >> i & 1) || i == (int)shim_lane_number())
            continue;
        result = operation == '+'   ? result + other
                 : operation == '<' ? (other < result ? other : result)
                 : operation == '>' ? (other > result ? other : result)
                 : operation == '&' ? (result & other)
                 : operation == '|' ? (result | other)
                                    : (result ^ other);
    }
    return result;
}
#define __reduce_add_sync(mask, v)                                                                 \
    ((__typeof__(v))shim_reduce(__LINE__, (mask), (unsigned)(v), '+'))
#define __reduce_min_sync(mask, v)                                                                 \
    ((__typeof__(v))shim_reduce(__LINE__, (mask), (unsigned)(v), '<'))
#define __reduce_max_sync(mask, v)                                                                 \
    ((__typeof__(v))shim_reduce(__LINE__, (mask), (unsigned)(v), '>'))
#define __reduce_and_sync(mask, v)                                                                 \
    ((__typeof__(v))shim_reduce(__LINE__, (mask), (unsigned)(v), '&'))
#define __reduce_or_sync(mask, v) ((__typeof__(v))shim_reduce(__LINE__, (mask), (unsigned)(v), '|'))
#define __reduce_xor_sync(mask, v)                                                                 \
    ((__typeof__(v))shim_reduce(__LINE__, (mask), (unsigned)(v), '^'))

/* Threads run one at a time and change only where they ask the engine, so plain C is atomic here; in functions of
 * their own, whose accesses are not reported one by one. */
static SHIM_UNSEEN unsigned long long
shim_peek(const volatile void *address, size_t size)
{
    return size == 4 ? *(const volatile unsigned *)address
                     : *(const volatile unsigned long long *)address;
}

static SHIM_UNSEEN void
shim_poke(volatile void *address, size_t size, unsigned long long bits)
{
    if (size == 4)
        *(volatile unsigned *)address = (unsigned)bits;
    else
        *(volatile unsigned long long *)address = bits;
}

#define SHIM_ATOMIC(pointer, new_expression)                                                       \
    ({                                                                                             \
        volatile __typeof__(*(pointer)) *shim_at = (pointer);                                      \
        __typeof__(*(pointer) + 0) shim_old, shim_new;                                             \
        _Static_assert(sizeof *shim_at == 4 || sizeof *shim_at == 8,                               \
                       "atomics have 32 or 64 bits");                                              \
        shim_atomic(shim_at, sizeof *shim_at);                                                     \
        shim_old = SHIM_OF_BITS(shim_old, shim_peek(shim_at, sizeof *shim_at));                    \
        shim_new = (new_expression);                                                               \
        shim_poke(shim_at, sizeof *shim_at, SHIM_BITS(shim_new));                                  \
        shim_old;                                                                                  \
    })
#define atomicAdd(p, v)           SHIM_ATOMIC(p, shim_old + (v))
#define atomicSub(p, v)           SHIM_ATOMIC(p, shim_old - (v))
#define atomicExch(p, v)          SHIM_ATOMIC(p, (v))
#define atomicMin(p, v)           SHIM_ATOMIC(p, (v) < shim_old ? (v) : shim_old)
#define atomicMax(p, v)           SHIM_ATOMIC(p, (v) > shim_old ? (v) : shim_old)
#define atomicAnd(p, v)           SHIM_ATOMIC(p, shim_old &(v))
#define atomicOr(p, v)            SHIM_ATOMIC(p, shim_old | (v))
#define atomicXor(p, v)           SHIM_ATOMIC(p, shim_old ^ (v))
#define atomicCAS(p, expected, v) SHIM_ATOMIC(p, shim_old == (expected) ? (v) : shim_old)

/* ---- loads and stores with hints ---- */

#define __ldg(p)     (*(p))
#define __ldcg(p)    (*(p))
#define __ldcs(p)    (*(p))
#define __ldca(p)    (*(p))
#define __ldcv(p)    (*(const volatile __typeof__(*(p)) *)(p))
#define __stcg(p, v) ((void)(*(p) = (v)))
#define __stcs(p, v) ((void)(*(p) = (v)))
#define __stwb(p, v) ((void)(*(p) = (v)))
#define __stwt(p, v) ((void)(*(p) = (v)))

/* ---- arithmetic: what the text may call without a header in CUDA ---- */

#define __fma_rn(a, b, c)  __builtin_fma(a, b, c)
#define __fmaf_rn(a, b, c) __builtin_fmaf(a, b, c)
#define fma(a, b, c)       __builtin_fma(a, b, c)
#define fmaf(a, b, c)      __builtin_fmaf(a, b, c)
#define __dadd_rn(a, b)    ((double)(a) + (double)(b))
#define __dsub_rn(a, b)    ((double)(a) - (double)(b))
#define __dmul_rn(a, b)    ((double)(a) * (double)(b))
#define __ddiv_rn(a, b)    ((double)(a) / (double)(b))
#define __dsqrt_rn(a)      __builtin_sqrt(a)
#define __fadd_rn(a, b)    ((float)(a) + (float)(b))
#define __fsub_rn(a, b)    ((float)(a) - (float)(b))
#define __fmul_rn(a, b)    ((float)(a) * (float)(b))
#define __fdiv_rn(a, b)    ((float)(a) / (float)(b))
#define __fsqrt_rn(a)      __builtin_sqrtf(a)
#define sqrt(a)            __builtin_sqrt(a)
#define sqrtf(a)           __builtin_sqrtf(a)
#define fabs(a)            __builtin_fabs(a)
#define fabsf(a)           __builtin_fabsf(a)
#define floor(a)           __builtin_floor(a)
#define floorf(a)          __builtin_floorf(a)
#define ceil(a)            __builtin_ceil(a)
#define ceilf(a)           __builtin_ceilf(a)
#define trunc(a)           __builtin_trunc(a)
#define truncf(a)          __builtin_truncf(a)
#define rint(a)            __builtin_rint(a)
#define rintf(a)           __builtin_rintf(a)
#define fmin(a, b)         __builtin_fmin(a, b)
#define fmax(a, b)         __builtin_fmax(a, b)
#define fminf(a, b)        __builtin_fminf(a, b)
#define fmaxf(a, b)        __builtin_fmaxf(a, b)
#define copysign(a, b)     __builtin_copysign(a, b)
#define copysignf(a, b)    __builtin_copysignf(a, b)
#define isnan(a)           __builtin_isnan(a)
#define isinf(a)           __builtin_isinf_sign(a)
#define isfinite(a)        __builtin_isfinite(a)
#define signbit(a)         __builtin_signbit(a)

#define __double_as_longlong(a) SHIM_OF_BITS((long long)0, SHIM_BITS((double)(a)))
#define __longlong_as_double(a) SHIM_OF_BITS((double)0, SHIM_BITS((long long)(a)))
#define __float_as_int(a)       SHIM_OF_BITS((int)0, SHIM_BITS((float)(a)))
#define __float_as_uint(a)      SHIM_OF_BITS((unsigned)0, SHIM_BITS((float)(a)))
#define __int_as_float(a)       SHIM_OF_BITS((float)0, SHIM_BITS((int)(a)))
#define __uint_as_float(a)      SHIM_OF_BITS((float)0, SHIM_BITS((unsigned)(a)))
#define __double2hiint(a)       ((int)(__double_as_longlong(a) >> 32))
#define __double2loint(a)       ((int)(unsigned)__double_as_longlong(a))
#define __hiloint2double(hi, lo)                                                                   \
    __longlong_as_double((long long)((unsigned long long)(unsigned)(hi) << 32 | (unsigned)(lo)))

/* Conversions saturate on the device, and turn NaN into 0, or into the lowest number where it has 64 bits. */
#define SHIM_CONVERT(a, type, low, high, nan)                                                      \
    ({                                                                                             \
        double shim_a = (a);                                                                       \
        shim_a != shim_a           ? (type)(nan)                                                   \
        : shim_a <= (double)(low)  ? (type)(low)                                                   \
        : shim_a >= (double)(high) ? (type)(high)                                                  \
                                   : (type)shim_a;                                                 \
    })
#define __double2ll_rz(a)    SHIM_CONVERT(a, long long, INT64_MIN, INT64_MAX, INT64_MIN)
#define __double2ull_rz(a)   SHIM_CONVERT(a, unsigned long long, 0, UINT64_MAX, INT64_MIN)
#define __double2int_rz(a)   SHIM_CONVERT(a, int, INT32_MIN, INT32_MAX, 0)
#define __double2uint_rz(a)  SHIM_CONVERT(a, unsigned, 0, UINT32_MAX, 0)
#define __float2ll_rz(a)     __double2ll_rz(a)
#define __float2ull_rz(a)    __double2ull_rz(a)
#define __float2int_rz(a)    __double2int_rz(a)
#define __float2uint_rz(a)   __double2uint_rz(a)
#define __ll2double_rn(a)    ((double)(long long)(a))
#define __ull2double_rn(a)   ((double)(unsigned long long)(a))
#define __int2double_rn(a)   ((double)(int)(a))
#define __uint2double_rn(a)  ((double)(unsigned)(a))
#define __ll2float_rn(a)     ((float)(long long)(a))
#define __ull2float_rn(a)    ((float)(unsigned long long)(a))
#define __int2float_rn(a)    ((float)(int)(a))
#define __uint2float_rn(a)   ((float)(unsigned)(a))
#define __double2float_rn(a) ((float)(double)(a))

#define __umulhi(a, b) ((unsigned)((unsigned long long)(unsigned)(a) * (unsigned)(b) >> 32))
#define __mulhi(a, b)  ((int)((long long)(int)(a) * (int)(b) >> 32))
#define __umul64hi(a, b)                                                                           \
    ((unsigned long long)((unsigned __int128)(unsigned long long)(a) * (unsigned long long)(b) >>  \
                          64))
#define __mul64hi(a, b) ((long long)((__int128)(long long)(a) * (long long)(b) >> 64))
#define __popc(a)       __builtin_popcount(a)
#define __popcll(a)     __builtin_popcountll(a)
#define __ffs(a)        __builtin_ffs(a)
#define __ffsll(a)      __builtin_ffsll(a)
#define __clz(a)        ((unsigned)(a) ? __builtin_clz(a) : 32)
#define __clzll(a)      ((unsigned long long)(a) ? __builtin_clzll(a) : 64)

/* ---- the accesses, as the compiler reports them ---- */

#if defined(__clang__) && !defined(__SANITIZE_THREAD__)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
static inline SHIM_UNSEEN void
shim_access(const volatile void *address, size_t size, int is_write)
{
    uintptr_t at = (uintptr_t)address;
    if (at - rxn_shim->stack < rxn_shim->stack_size ||
        (at - rxn_shim->range < rxn_shim->range_size &&
         at + size - rxn_shim->range <= rxn_shim->range_size) ||
        (!is_write && at - rxn_shim->module < rxn_shim->module_size))
        return;
    rxn_shim->access(address, size, is_write);
}

#define SHIM_ACCESSES(n)                                                                           \
    SHIM_UNSEEN void __tsan_read##n(void *a)                                                       \
    {                                                                                              \
        shim_access(a, n, 0);                                                                      \
    }                                                                                              \
    SHIM_UNSEEN void __tsan_write##n(void *a)                                                      \
    {                                                                                              \
        shim_access(a, n, 1);                                                                      \
    }                                                                                              \
    SHIM_UNSEEN void __tsan_unaligned_read##n(void *a)                                             \
    {                                                                                              \
        shim_access(a, n, 0);                                                                      \
    }                                                                                              \
    SHIM_UNSEEN void __tsan_unaligned_write##n(void *a)                                            \
    {                                                                                              \
        shim_access(a, n, 1);                                                                      \
    }                                                                                              \
    SHIM_UNSEEN void __tsan_volatile_read##n(void *a)                                              \
    {                                                                                              \
        rxn_shim->atomic(a, n);                                                                    \
    }                                                                                              \
    SHIM_UNSEEN void __tsan_volatile_write##n(void *a)                                             \
    {                                                                                              \
        rxn_shim->atomic(a, n);                                                                    \
    }                                                                                              \
    SHIM_UNSEEN void __tsan_unaligned_volatile_read##n(void *a)                                    \
    {                                                                                              \
        rxn_shim->atomic(a, n);                                                                    \
    }                                                                                              \
    SHIM_UNSEEN void __tsan_unaligned_volatile_write##n(void *a)                                   \
    {                                                                                              \
        rxn_shim->atomic(a, n);                                                                    \
    }
SHIM_ACCESSES(1)
SHIM_ACCESSES(2)
SHIM_ACCESSES(4)
SHIM_ACCESSES(8)
SHIM_ACCESSES(16)
SHIM_UNSEEN void
__tsan_read_range(void *a, size_t n)
{
    shim_access(a, n, 0);
}
SHIM_UNSEEN void
__tsan_write_range(void *a, size_t n)
{
    shim_access(a, n, 1);
}
/* clang's, for what it makes of loops. */
SHIM_UNSEEN void *
__tsan_memset(void *a, int byte, size_t n)
{
    shim_access(a, n, 1);
    return __builtin_memset(a, byte, n);
}
SHIM_UNSEEN void *
__tsan_memcpy(void *a, const void *b, size_t n)
{
    shim_access(b, n, 0);
    shim_access(a, n, 1);
    return __builtin_memcpy(a, b, n);
}
SHIM_UNSEEN void *
__tsan_memmove(void *a, const void *b, size_t n)
{
    shim_access(b, n, 0);
    shim_access(a, n, 1);
    return __builtin_memmove(a, b, n);
}
SHIM_UNSEEN void
__tsan_init(void)
{
}
SHIM_UNSEEN void
__tsan_func_entry(void *a)
{
    (void)a;
}
SHIM_UNSEEN void
__tsan_func_exit(void)
{
}
#endif

#endif
