/* kernel_abi.h: what a compiled kernel and whoever launches it agree on.
 *
 * One kernel call runs the trajectories first … first + count - 1 of an ensemble to their end. The
 * caller owns all memory. Nothing here depends on how the kernel was made, so a standalone
 * executable, the JIT and the interpreter share it.
 */
#ifndef RXN_KERNEL_ABI_H
#define RXN_KERNEL_ABI_H

#include <stdint.h>

/* Why a trajectory cannot go on. The detail number's meaning stands behind each. */
typedef enum RxnFaultCode {
    RXN_FAULT_NONE = 0,
    RXN_FAULT_NEGATIVE_PROPENSITY = 1, /* reaction */
    RXN_FAULT_NAN_PROPENSITY = 2,      /* reaction */
    RXN_FAULT_INFINITE_PROPENSITY = 3, /* reaction */
    RXN_FAULT_NEGATIVE_COUNT = 4,      /* species; a reaction took more than there was */
    RXN_FAULT_COUNT_OVERFLOW = 5,      /* species; past 2^53, or 2^24 with f32 */
    RXN_FAULT_STEP_LIMIT = 6,          /* 0 */
    RXN_FAULT_BOUND_EXCEEDED = 7,      /* reaction; its rate rose above the bound given for it */
    RXN_FAULT_BOUND_INFINITE = 8,      /* reaction; the derived bound is infinite or not a number */
    RXN_FAULT_INITIAL_VALUE = 9,       /* species; its initial value is no whole number >= 0 */
    RXN_FAULT_ASSIGNED_VALUE = 10,     /* event << 16 | assignment; not a whole number >= 0 */
    RXN_FAULT_EVENT_CASCADE = 11, /* event; events at one instant trigger each other without end */
    RXN_FAULT_EVENT_TIME = 12,    /* event; its time or period is NaN, or the period not > 0 */
    RXN_FAULT_TAPE_FULL = 13,     /* 0; more steps than an adjoint's tape and checkpoints take */
    RXN_FAULT_STIFF = 14,         /* 0; rates change too fast against a wait for an adjoint */
} RxnFaultCode;

typedef struct RxnFault {
    uint64_t trajectory; /* UINT64_MAX: no fault (set by the caller before a launch) */
    uint32_t code;       /* RxnFaultCode */
    uint32_t detail;
    double *
        witness; /* the caller's: the kernel's witness locals, arrays flattened, as f64; may be NULL */
} RxnFault;

typedef struct RxnLaunch {
    uint64_t first;       /* number in the ensemble of row 0 */
    uint64_t count;       /* trajectories (rows) in this call */
    void *const *buffers; /* one per kernel buffer, in order of declaration */
    const int64_t *
        strides; /* per buffer: elements from one row to the next; unused when per launch. Of a buffer that the kernel
                   * writes, all rows of a call together are fewer than 2^31 elements: places are kept in 32 bits */
    void
        *workspace; /* scratch of the size the compiled kernel asks for, 64-byte aligned; or NULL */
    RxnFault *fault;            /* keeps the faulting trajectory with the lowest number */
    const volatile int *cancel; /* never NULL; the call may return early once *cancel is not 0 */
} RxnLaunch;

typedef void (*RxnKernelFunction)(const RxnLaunch *launch);

#endif
