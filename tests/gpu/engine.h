/* engine.h: runs the grids of a pretended GPU on one core of the host.
 *
 * Each thread of the grid is a fiber. A fiber runs until it asks for something that other threads can answer (a
 * barrier, an exchange in its warp) or could disturb (an atomic, a volatile access); then another one goes on,
 * chosen by a seeded generator. So nothing is in lockstep, and a text that relies on it fails: by its results,
 * by a report of two threads that use the same shared memory without a barrier between them, or by a report of
 * threads that wait for each other for ever.
 *
 * A mistake of the kernel is printed, and ends the process: whoever tests has to see it.
 */
#ifndef RXN_TEST_ENGINE_H
#define RXN_TEST_ENGINE_H

#include <stdbool.h>

#include "shim_abi.h"

typedef struct EngineLaunch {
    const char *name;
    const ShimKernel *kernel;
    Shim **module_shim; /* the module's rxn_shim */
    ShimIndex grid, block;
    size_t dynamic_bytes;
    unsigned char *statics; /* the module's static shared memory, of the block that runs */
    size_t static_bytes;
    uintptr_t module, module_size; /* its constants and code */
    unsigned resident;             /* blocks in flight */
    /* Whether the device may use these bytes; if so also the whole range that they lie in. */
    bool (*allowed)(void *context, uintptr_t at, size_t size, uintptr_t *ret_start,
                    size_t *ret_size);
    void (*explain)(void *context, uintptr_t at, char *text, size_t size); /* what lies there */
    void *context;
} EngineLaunch;

typedef struct Engine Engine;

typedef enum EngineState { ENGINE_RUNNING, ENGINE_DONE, ENGINE_TRAPPED } EngineState;

/* Copies the launch and its parameters. */
Engine *rxn_engine_start(const EngineLaunch *launch, const void *parameters, uint64_t seed);

/* Runs for about so long; one engine at a time in the process. */
EngineState rxn_engine_run(Engine *engine, double seconds);

void rxn_engine_free(Engine *engine);

/* xorshift64*, for everything that is left to chance. */
uint64_t rxn_engine_random(uint64_t *state);

#endif
