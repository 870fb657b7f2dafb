/* names.c: from a name to the number of the declaration that has it. */
#include "compiler/kir/internal.h"

static u32
slot_of(const KirNameMap *map, Name name)
{
    u32 slot = name->hash & (map->capacity - 1);
    while (map->slots[slot].name && map->slots[slot].name != name)
        slot = (slot + 1) & (map->capacity - 1);
    return slot;
}

bool
rxn__kir_name_find(const KirNameMap *map, Name name, u32 *ret_number)
{
    if (map->capacity == 0)
        return false;
    const u32 slot = slot_of(map, name);
    *ret_number = map->slots[slot].number;
    return map->slots[slot].name != NULL;
}

bool
rxn__kir_name_add(KirNameMap *map, Arena *arena, Name name, u32 number)
{
    u32 present;
    if (rxn__kir_name_find(map, name, &present))
        return false;
    if (2 * map->count >= map->capacity) { /* half full: probing stays short */
        KirNameMap larger = {.count = map->count,
                             .capacity = map->capacity ? 2 * map->capacity : 32};
        larger.slots = NEW_ARRAY(arena, KirNameSlot, larger.capacity);
        for (u32 i = 0; i < map->capacity; i++)
            if (map->slots[i].name)
                larger.slots[slot_of(&larger, map->slots[i].name)] = map->slots[i];
        *map = larger;
    }
    map->slots[slot_of(map, name)] = (KirNameSlot){.name = name, .number = number};
    map->count++;
    return true;
}
