/* nvrtc.h: NVIDIA's run-time compiler, CUDA C to machine code, opened with dlopen.
 *
 * RXN_NVRTC names the library's file, or a folder in which it lies (that of a Python wheel, too). Without it
 * the loader's search path is tried, then the folders where CUDA is installed usually.
 */
#ifndef RXN_RUNTIME_NVRTC_H
#define RXN_RUNTIME_NVRTC_H

#include "runtime/ensemble.h"

typedef struct RxnNvrtc RxnNvrtc;

/* RXN_REFUSED: not found (error says where it was looked for, and what to install), or older than 12;
 * RXN_NO_MEMORY. */
RxnOutcome rxn__nvrtc_open(RxnNvrtc **ret_nvrtc, char *error, size_t error_size);

/* As above; where there are several, takes one whose machine code a driver of this version can load
 * (12040: CUDA 12.4), that is, of no later major release. */
RxnOutcome rxn__nvrtc_open_for(uint32_t driver_version, RxnNvrtc **ret_nvrtc, char *error,
                               size_t error_size);

void rxn__nvrtc_close(RxnNvrtc *nvrtc); /* may be NULL */

/* 12040: NVRTC 12.4. */
uint32_t rxn__nvrtc_version(const RxnNvrtc *nvrtc);

/* As it was opened: "/usr/local/cuda/lib64/libnvrtc.so", or "libnvrtc.so.12". */
const char *rxn__nvrtc_path(const RxnNvrtc *nvrtc);

/* Whether it makes machine code for an architecture; 90: sm_90. */
bool rxn__nvrtc_knows(const RxnNvrtc *nvrtc, uint32_t architecture);

/* All of them, in its order; they live as long as it does. */
uint32_t rxn__nvrtc_architectures(const RxnNvrtc *nvrtc, const int **ret_architectures);

/* The newest architecture whose PTX a device of this one can take; 0: none. */
uint32_t rxn__nvrtc_nearest(const RxnNvrtc *nvrtc, uint32_t architecture);

typedef struct RxnNvrtcOutput {
    void *code; /* a cubin, or PTX text and a zero byte; to be freed */
    size_t size;
    char *log; /* what it said, warnings and (with verbose) ptxas' figures; to be freed; or NULL */
    double seconds;
} RxnNvrtcOutput;

/* The options are fixed: no contraction, correctly rounded division and square roots, denormals kept, unless
 * fast_math. `name` stands for the text in messages. RXN_BROKEN: it does not compile; error says so in a
 * line, log says why. RXN_REFUSED: it does not know the architecture. */
RxnOutcome rxn__nvrtc_compile(RxnNvrtc *nvrtc, const char *source, const char *name,
                              uint32_t architecture, bool ptx, bool fast_math, bool verbose,
                              RxnNvrtcOutput *ret_output, char *error, size_t error_size);

/* All that its output depends on besides source and architecture, as text: its version and the options. */
void rxn__nvrtc_describe(const RxnNvrtc *nvrtc, bool fast_math, char *text, size_t size);

#endif
