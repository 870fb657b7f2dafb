/* names: interned strings, so that names compare as pointers, and the distance between two names. */
#include "compiler/base/base.h"

#include <string.h>

enum { FIRST_SLOTS = 256 }; /* a power of two, as every later size */

/* FNV-1a (Fowler, Noll, Vo), 32 bits, with a final mix, since the table takes the low bits. */
static u32
hash_text(const char *text, size_t length)
{
    u32 hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (u8)text[i]) * 16777619u;
    hash ^= hash >> 15;
    hash *= 0x2c1b3c6du;
    return hash ^ (hash >> 12);
}

void
rxn__names_init(NameTable *table, Arena *arena)
{
    *table = (NameTable){.arena = arena};
    table->slots = NEW_ARRAY(arena, Name, FIRST_SLOTS);
    table->capacity = FIRST_SLOTS;
}

static void
grow_table(NameTable *table)
{
    const u32 capacity = table->capacity * 2;
    Name *slots = NEW_ARRAY(table->arena, Name, capacity);
    for (u32 i = 0; i < table->capacity; i++) {
        if (!table->slots[i])
            continue;
        u32 at = table->slots[i]->hash & (capacity - 1);
        while (slots[at])
            at = (at + 1) & (capacity - 1);
        slots[at] = table->slots[i];
    }
    table->slots = slots;
    table->capacity = capacity;
}

Name
rxn__name(NameTable *table, const char *text, size_t length)
{
    const u32 hash = hash_text(text, length);
    u32 at = hash & (table->capacity - 1);
    for (; table->slots[at]; at = (at + 1) & (table->capacity - 1)) {
        const Name found = table->slots[at];
        if (found->hash == hash && found->length == length &&
            (length == 0 || memcmp(found->text, text, length) == 0))
            return found;
    }
    NameText *name = rxn__arena_alloc(table->arena, sizeof(NameText) + length + 1);
    name->length = (u32)length;
    name->hash = hash;
    if (length)
        memcpy(name->text, text, length);
    table->slots[at] = name;
    if (++table->count > table->capacity / 2)
        grow_table(table);
    return name;
}

Name
rxn__name_z(NameTable *table, const char *text)
{
    return rxn__name(table, text, strlen(text));
}

static u32
min_u32(u32 a, u32 b)
{
    return a < b ? a : b;
}

/* The restricted distance (optimal string alignment): insertions, deletions, replacements, and swaps
 * of neighbours. Cells farther than `limit` from the diagonal cannot matter, so a row keeps only the
 * band of 2*limit + 1 cells around it; any length costs O(length * limit) and no memory. */
u32
rxn__name_distance(const char *a, size_t a_length, const char *b, size_t b_length, u32 limit)
{
    enum { BAND_LIMIT = 15 };
    if (limit > BAND_LIMIT)
        limit = BAND_LIMIT;
    const size_t gap = a_length > b_length ? a_length - b_length : b_length - a_length;
    if (gap > limit)
        return limit + 1;

    /* Cell (i, j) is at index j - i + limit + 1; the borders hold "too far". */
    const u32 width = 2 * limit + 1, far = limit + 1;
    u32 rows[3][2 * BAND_LIMIT + 3];
    for (u32 r = 0; r < 3; r++)
        for (u32 k = 0; k < width + 2; k++)
            rows[r][k] = far;
    u32 *before = rows[0], *last = rows[1], *row = rows[2];
    for (u32 j = 0; j <= limit && j <= b_length; j++)
        last[j + limit + 1] = j;

    for (size_t i = 1; i <= a_length; i++) {
        u32 best = far;
        for (u32 k = 1; k <= width; k++) {
            row[k] = far;
            if (i + k < (size_t)limit + 1 || i + k - limit - 1 > b_length)
                continue;
            const size_t j = i + k - limit - 1;
            u32 d = far;
            if (j == 0) {
                d = (u32)i;
            } else {
                d = min_u32(d, last[k] + (a[i - 1] != b[j - 1]));
                d = min_u32(d, row[k - 1] + 1);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                    d = min_u32(d, before[k] + 1);
            }
            d = min_u32(d, last[k + 1] + 1);
            row[k] = min_u32(d, far);
            best = min_u32(best, row[k]);
        }
        if (best > limit)
            return far;
        u32 *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b_length - a_length + limit + 1];
}

const char *
rxn__nearest(const char *word, u32 count, const char *const *candidates)
{
    const char *nearest = NULL;
    u32 limit = strlen(word) < 4 ? 1 : 2, best = limit + 1;
    for (u32 k = 0; k < count; k++) {
        u32 distance =
            rxn__name_distance(word, strlen(word), candidates[k], strlen(candidates[k]), limit);
        if (distance < best) {
            best = distance;
            nearest = candidates[k];
        }
    }
    return nearest;
}
