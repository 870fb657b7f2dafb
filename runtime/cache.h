/* cache.h: what was compiled before, on disk, so that a model that has run before starts at once.
 *
 * An entry is one file, named by a hash of its key. The key is all that the content depends on, as text; it is
 * stored in the entry and compared before the content is used, so neither a collision of hashes nor a changed
 * compiler can run wrong code; a checksum finds entries that a crash or a full disk has cut. An entry is
 * written beside its place and renamed into it, so that readers see all of it or nothing.
 */
#ifndef RXN_RUNTIME_CACHE_H
#define RXN_RUNTIME_CACHE_H

#include <stdbool.h>
#include <stddef.h>

/* True and the content, to be freed, if the directory holds a sound entry of this key. The content is
 * followed by a zero byte, which ret_size does not count, so that text can be used as it is. An unsound
 * entry is as good as none: what is stored next replaces it. */
bool rxn__cache_find(const char *directory, const char *key, size_t key_length, void **ret_content,
                     size_t *ret_size);

/* Makes the directory (not those above it), for its owner alone. A cache that cannot be written is no
 * error: the next run compiles again. */
void rxn__cache_store(const char *directory, const char *key, size_t key_length,
                      const void *content, size_t size);

#endif
