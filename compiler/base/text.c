/* text: a growable buffer of text, and numbers as text that reads back exactly. */
#include "compiler/base/base.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 128 };

void
rxn__text_init(Text *text, Arena *arena)
{
    *text = (Text){.arena = arena};
    text->data = rxn__arena_alloc(arena, FIRST_CAPACITY);
    text->capacity = FIRST_CAPACITY;
}

/* Room for `more` bytes and the NUL. */
static void
reserve(Text *text, size_t more)
{
    if (more < text->capacity - text->length)
        return;
    size_t wanted = text->capacity;
    do {
        wanted = wanted > SIZE_MAX / 2 ? SIZE_MAX : wanted * 2;
    } while (more >= wanted - text->length && wanted < SIZE_MAX);
    text->data = rxn__arena_grow(text->arena, text->data, text->capacity, wanted);
    text->capacity = wanted;
}

void
rxn__text_append(Text *text, const char *data, size_t length)
{
    if (length == 0)
        return;
    reserve(text, length);
    memcpy(text->data + text->length, data, length);
    text->length += length;
    text->data[text->length] = 0;
}

void
rxn__text_vprintf(Text *text, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    const size_t room = text->capacity - text->length;
    const int length = vsnprintf(text->data + text->length, room, format, args);
    if (length > 0 && (size_t)length >= room) {
        reserve(text, (size_t)length);
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
    }
    va_end(again);
    if (length > 0)
        text->length += (size_t)length;
    text->data[text->length] = 0;
}

const char *
rxn__text_vformat(Arena *arena, const char *format, va_list args)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_vprintf(&text, format, args);
    return text.data;
}

void
rxn__text_printf(Text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    rxn__text_vprintf(text, format, args);
    va_end(args);
}

/* True if it was written as a word: not a finite number. */
static bool
append_special(Text *text, double value)
{
    if (isnan(value))
        rxn__text_append(text, "nan", 3);
    else if (isinf(value))
        rxn__text_printf(text, "%s", value < 0 ? "-inf" : "inf");
    else
        return false;
    return true;
}

void
rxn__text_f64(Text *text, double value)
{
    if (append_special(text, value))
        return;
    /* A decimal of DBL_DIG digits survives the way to double and back, so the shortest one is that
     * with its zeros taken off, if it reads back at all; below the normal range that does not hold. */
    char digits[40];
    for (int n = fabs(value) < DBL_MIN ? 1 : DBL_DIG; n <= DBL_DECIMAL_DIG; n++) {
        snprintf(digits, sizeof digits, "%.*g", n, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    rxn__text_append(text, digits, strlen(digits));
}

void
rxn__text_f64_hex(Text *text, double value)
{
    if (!append_special(text, value))
        rxn__text_printf(text, "%a", value);
}
