/* numbers.c: numbers in texts that people write: on command lines, in tables. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/base/base.h"

bool
rxn__parse_number(const char *text, double *ret_value)
{
    char *end;
    if (!*text || strspn(text, " \t\n\v\f\r") > 0)
        return false;
    *ret_value = strtod(text, &end);
    return *end == '\0' && isfinite(*ret_value);
}

bool
rxn__parse_bytes(const char *text, u64 *ret_bytes)
{
    static const char suffixes[] = "KMGT";
    char number[40];
    size_t length = strlen(text);
    double scale = 1, value;
    const char *suffix = length ? strchr(suffixes, toupper((unsigned char)text[length - 1])) : NULL;
    if (suffix && *suffix) {
        scale = ldexp(1, 10 * (int)(suffix - suffixes + 1));
        length--;
    }
    if (length == 0 || length >= sizeof number)
        return false;
    memcpy(number, text, length);
    number[length] = '\0';
    if (!rxn__parse_number(number, &value) || !(value * scale >= 1 && value * scale < 0x1p63))
        return false;
    *ret_bytes = (u64)(value * scale);
    return true;
}
