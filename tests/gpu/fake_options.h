/* fake_options.h: what the pretended GPU and its compiler are like, by RXN_FAKE_CUDA; and the compiler.
 *
 * RXN_FAKE_CUDA is a list with commas between:
 *   devices=N       GPUs (1)
 *   arch=NN         their architecture (90)
 *   memory=BYTES    of each; 64M, 2G (256M)
 *   processors=N    multiprocessors of each (2)
 *   driver=NNNNN    version (12040)
 *   nvrtc=MAJOR.MINOR   version of the compiler (12.4)
 *   archs=NN:NN…    what the compiler makes code for (50:60:70:75:80:86:89:90:100:120)
 *   seed=N          of everything that is left to chance (1)
 *   init=CODE       cuInit fails so
 *   fail_alloc=N    the N-th allocation of device memory fails
 *   fail_launch=N   the N-th launch of a kernel ends in a fault of the device
 *   fail_compile    nothing compiles
 *   slow=SECONDS    each compilation takes so much longer
 *   cache=DIR       keep what was compiled there, by its text
 *   keep=DIR        put every text that is compiled there, as N.cu
 *   optimize=N      compile with -ON (1): 0 for many kernels that run briefly
 *   shim=DIR        where shim.h is, if it is not where it was at build time
 *   trace           print every call of the driver
 */
#ifndef RXN_TEST_FAKE_OPTIONS_H
#define RXN_TEST_FAKE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct FakeOptions {
    int devices, architecture, processors, driver, nvrtc_major, nvrtc_minor;
    uint64_t memory, seed;
    int init, fail_alloc, fail_launch, optimize;
    bool fail_compile, trace;
    double slow;
    int archs[32], arch_count;
    char cache[1024], keep[1024], shim[1024];
} FakeOptions;

/* Ends the process where the list makes no sense: a typing error must not test less. */
void rxn_fake_options(FakeOptions *ret_options);

/* Compiles CUDA C for the host. True, and a shared object; or false. ret_log: what the compiler said. Both to
 * be freed. */
bool rxn_fake_compile(const FakeOptions *options, const char *source, int architecture,
                      void **ret_code, size_t *ret_size, char **ret_log);

#endif
