/* cache.h: what was compiled before, on disk, so that a model that has run before starts at once.
 *
 * An entry is one file, named by a hash of its key. The key is all that the content depends on, as text; it is
 * stored in the entry and compared before the content is used, so neither a collision of hashes nor a changed
 * compiler can run wrong code; a checksum finds entries that a crash or a full disk has cut. An entry is
 * written beside its place and renamed into it, so that readers see all of it or nothing.
 *
 * A directory grows to CACHE_MOST_BYTES; then what was used longest ago goes. (A kernel is some 100 kB.) Only files that are
 * named as entries are: whatever else lies there is left alone.
 */
#ifndef RXN_RUNTIME_CACHE_H
#define RXN_RUNTIME_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_MOST_BYTES ((uint64_t)256 << 20)

/* True and the content, to be freed, if the directory holds a sound entry of this key. The content is
 * followed by a zero byte, which ret_size does not count, so that text can be used as it is. An unsound
 * entry is as good as none: what is stored next replaces it. */
bool rxn__cache_find(const char *directory, const char *key, size_t key_length, void **ret_content,
                     size_t *ret_size);

/* Makes the directory (not those above it), for its owner alone. A cache that cannot be written is no
 * error: the next run compiles again. */
void rxn__cache_store(const char *directory, const char *key, size_t key_length,
                      const void *content, size_t size);

/* Takes out entries, the one used longest ago first, until what is left has at most so many bytes; and what writers that
 * were killed have left. The entry used last stays in any case. rxn__cache_store does so with CACHE_MOST_BYTES. */
void rxn__cache_trim(const char *directory, uint64_t most_bytes);

#endif
