/* checkpoint.h: the state of a long computation on disk, so that nothing is lost when it is killed.
 *
 * A checkpoint is a file of named arrays of f64 and u64 and named texts, with a key that says what it belongs to
 * (the model's and the data's hash, the options) and a checksum. It is written beside its place, flushed, and
 * renamed into it: at any moment the file is whole, the one before or the new one.
 *
 * It is for the machine that wrote it, or one of its kind: arrays are as in memory. Another kind is told
 * apart, and its file refused.
 */
#ifndef RXN_RUNTIME_CHECKPOINT_H
#define RXN_RUNTIME_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct RxnCheckpoint RxnCheckpoint;

/* To be filled and written; or, read, to be looked into. NULL: out of memory. */
RxnCheckpoint *rxn__checkpoint_new(const char *key);
void rxn__checkpoint_free(RxnCheckpoint *checkpoint); /* may be NULL */

/* Copies. False: out of memory. A name is given once for each kind; of two, the first is found. */
bool rxn__checkpoint_numbers(RxnCheckpoint *checkpoint, const char *name, const double *values,
                             size_t count);
bool rxn__checkpoint_counts(RxnCheckpoint *checkpoint, const char *name, const uint64_t *values,
                            size_t count);
bool rxn__checkpoint_text(RxnCheckpoint *checkpoint, const char *name, const char *text);

/* Room for numbers to be filled by the caller, before anything else is done with the checkpoint: saves a copy of
 * what is large. NULL: out of memory. */
double *rxn__checkpoint_place_numbers(RxnCheckpoint *checkpoint, const char *name, size_t count);

/* Replaces a checkpoint of the same key, or an empty file, keeping its permissions; a damaged one is replaced if its key can
 * still be read. Anything else that is there is refused and left as it is: it is another's. */
bool rxn__checkpoint_write(const RxnCheckpoint *checkpoint, const char *path, char *error,
                           size_t error_size);

/* Whether a checkpoint of this key could be written there, as far as that can be said without
 * writing: to be asked before hours are spent. */
bool rxn__checkpoint_may_write(const char *path, const char *key, char *error, size_t error_size);

/* NULL: no such file, not a checkpoint, cut short, damaged, of another version of the format, of another kind
 * of machine; error says which. The caller compares the key. */
RxnCheckpoint *rxn__checkpoint_read(const char *path, char *error, size_t error_size);

/* As given to rxn__checkpoint_new. It and what follows: until something is added. */
const char *rxn__checkpoint_key(const RxnCheckpoint *checkpoint);

/* NULL: none of that name and kind. (Not NULL for an array of no elements.) */
const double *rxn__checkpoint_get_numbers(const RxnCheckpoint *checkpoint, const char *name,
                                          size_t *ret_count);
const uint64_t *rxn__checkpoint_get_counts(const RxnCheckpoint *checkpoint, const char *name,
                                           size_t *ret_count);
const char *rxn__checkpoint_get_text(const RxnCheckpoint *checkpoint, const char *name);

#endif
