/* params.h: values of parameters from the JSON that a fit writes. */
#ifndef RXN_ENGINE_PARAMS_H
#define RXN_ENGINE_PARAMS_H

#include "compiler/engine/engine.h"

typedef struct ParamsEntry {
    const char *name; /* "k", "W": a whole array is in row-major order */
    u64 count;        /* of values; 1 may be a scalar */
    bool is_array;
    const double *values;
} ParamsEntry;

typedef struct ParamsFile {
    VEC(ParamsEntry) entries;
} ParamsFile;

/* The members "parameters" and "fixed" of the object in the file: arrays of objects that have a name and a value,
 * which is a number or an array of numbers. Other members are not looked at. False, with what is wrong with
 * the file ("line 3, column 5: …"). */
bool rxn__params_read(const char *path, Arena *arena, ParamsFile *ret_file,
                      const char **ret_reason);

#endif
