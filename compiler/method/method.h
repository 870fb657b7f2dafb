/* method: one file per algorithm. A method writes the kernel (KIR) of one trajectory of a network and
 * knows nothing of targets, lanes or threads.
 *
 * To add a method: a file here with a `Method`, a row in rxn__methods (methods.c). See
 * docs/methods.md.
 *
 * The contract with the runtime. Kernels name their buffers, and whoever launches binds them by name:
 *
 *   seed             u64 scalar         per launch
 *   parameter        f64[P]             per launch, flat numbers of the network
 *   input            f64[I]             per launch
 *   sample_time      f64[K + 1]         per launch, increasing; [K] is +inf
 *   sample_count     i32 scalar         per launch, K
 *   sample_step      f64 scalar         per launch; > 0: sample_time[k] is k * sample_step exactly
 *   end_time         f64 scalar         per launch; >= every sample time
 *   step_limit       u64 scalar         per launch; events of one trajectory before it is a fault
 *   sample           f64[K, columns]    per trajectory, written: the observables at each sample time
 *   events           u64 scalar         per trajectory, written: reactions that fired
 *
 * Where every trajectory has inputs of its own (Objective.sampled), `input` is per trajectory, and so is `hoisted`, f64[…],
 * which is only there where something is hoisted that reads inputs (hoisted.h).
 *
 * plus constant tables, whose contents come with the kernel (MethodTable). The witness locals of a
 * fault are the time, then the counts of all species.
 */
#ifndef RXN_METHOD_H
#define RXN_METHOD_H

#include "compiler/base/base.h"
#include "compiler/kir/kir.h"
#include "compiler/network/network.h"

/* Random streams: the top half of the second counter word, so that no two uses share a number. */
enum {
    RXN_STREAM_EVENTS = 0,
    RXN_STREAM_PARAMETERS = 1,
    RXN_STREAM_GRADIENT = 2,
    RXN_STREAM_PILOT = 3,
    RXN_STREAM_FIT = 4,        /* seeds of a fit: runtime/fit_state.c */
    RXN_STREAM_QUADRATURE = 5, /* where integrals over a step are looked at: grad_record.c */
    RXN_STREAM_FURTHER = 6,    /* further bits of a step: ssa_draw.c */
    RXN_STREAM_NOISE = 16,     /* and all above */
};

typedef struct MethodOptions {
    KirType precision; /* KIR_F64 or KIR_F32 */
    bool full_sums;    /* every sum of a law is added up whenever it is read: to compare with */
} MethodOptions;

/* A constant per-launch buffer of the kernel. `data` holds count elements of the buffer's type. */
typedef struct MethodTable {
    const char *buffer;
    const void *data;
    size_t count;
} MethodTable;

typedef struct MethodKernel {
    KirKernel *kernel;
    VEC(MethodTable) tables;
    const char *form; /* "unrolled in registers", "table of propensities": for `rxn check` */
} MethodKernel;

typedef struct Method {
    const char *name;
    const char *summary; /* one line for `rxn check` and --help */

    /* Whether it can do this network; if not, why, in words for the user. */
    bool (*applies)(const Network *network, Text *ret_reason);

    /* Writes the kernel. NULL, or what went wrong inside (a bug of ours). */
    const char *(*write)(Network *network, const MethodOptions *options, Arena *arena,
                         NameTable *names, MethodKernel *ret_kernel);
} Method;

extern const Method *const rxn__methods[]; /* NULL at the end */

const Method *rxn__method_find(const char *name);

/* The method that `--method auto` takes, and why (a sentence for `rxn check`). NULL: none can, and why not. */
const Method *rxn__method_choose(const Network *network, Text *ret_why);

#endif
