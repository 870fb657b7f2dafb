/* lists.h: lists of texts and of numbers, as options have them. They grow by vec_push (base.h). */
#ifndef RXN_BASE_LISTS_H
#define RXN_BASE_LISTS_H

#include <stdint.h>

typedef struct TextList {
    const char **items;
    uint32_t count, capacity;
} TextList;

typedef struct NumberList {
    double *items;
    uint32_t count, capacity;
} NumberList;

#endif
