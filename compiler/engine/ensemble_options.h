/* ensemble_options.h: how an ensemble is run, and on what: for all who read that from a command line or are told it. */
#ifndef RXN_ENGINE_ENSEMBLE_OPTIONS_H
#define RXN_ENGINE_ENSEMBLE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/base/lists.h"

typedef struct GivenValues GivenValues;

typedef struct EnsembleOptions {
    uint64_t trajectories, seed, threads, lanes, step_limit;
    TextList sets;
    const char *input, *params, *device, *precision, *cache;
    const char *csv, *json;
    bool quiet;
    bool counted;             /* -n was given */
    bool chose_device;        /* --device was given */
    const GivenValues *given; /* or NULL */
    const char *device_wish;  /* as it was given; `device` is "cpu", "cuda" or "interpreter" */
} EnsembleOptions;

/* What holds where nothing is said. */
EnsembleOptions rxn__ensemble_defaults(void);

#endif
