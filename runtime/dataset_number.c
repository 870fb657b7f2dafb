/* dataset_number.c: decimal numbers, correctly rounded, whatever the locale, at some ten million a second.
 *
 * A number of up to 19 significant digits is m·10^e with m < 2^64. For |e| <= 27 both m and 5^|e| are whole
 * numbers of one machine word, so that m·5^e is one exact product, or one division with its remainder, of 128
 * bits; what is cut off leaves one sticky bit, and the conversion to f64 rounds as IEEE 754 asks for. That is
 * nearly every number that a table holds; the C library reads the others.
 */
#include "runtime/dataset_private.h"

#include <math.h>

__extension__ typedef unsigned __int128 u128;

enum { MOST_POWER = 27, MOST_DIGITS = 19 };

/* Of what is written behind the 'e'; so much more than a text has digits that it decides. */
static const int64_t most_exponent = INT64_C(1000000000000000);

/* 5^27 < 2^63 */
static uint64_t
power_of_five(unsigned exponent)
{
    static const uint64_t powers[MOST_POWER + 1] = {
        1u,
        5u,
        25u,
        125u,
        625u,
        3125u,
        15625u,
        78125u,
        390625u,
        1953125u,
        9765625u,
        48828125u,
        244140625u,
        1220703125u,
        6103515625u,
        30517578125u,
        152587890625u,
        762939453125u,
        3814697265625u,
        19073486328125u,
        95367431640625u,
        476837158203125u,
        2384185791015625u,
        11920928955078125u,
        59604644775390625u,
        298023223876953125u,
        1490116119384765625u,
        7450580596923828125u,
    };
    return powers[exponent];
}

/* The f64 nearest to (bits + a little if sticky)·2^exponent; bits >= 2^62, the result is far from the limits of
 * f64. The sticky bit is lower than half a unit of the last place, so it only breaks ties. */
static double
round_to_f64(uint64_t bits, bool sticky, int exponent)
{
    return ldexp((double)(bits | sticky), exponent);
}

static double
scale_up(uint64_t mantissa, unsigned power)
{
    u128 product = (u128)mantissa * power_of_five(power);
    const uint64_t high = (uint64_t)(product >> 64);
    const int shift = high ? __builtin_clzll(high) : 64 + __builtin_clzll((uint64_t)product);
    product <<= shift;
    return round_to_f64((uint64_t)(product >> 64), (uint64_t)product != 0, 64 - shift + (int)power);
}

static double
scale_down(uint64_t mantissa, unsigned power)
{
    const uint64_t five = power_of_five(power);
    const int mantissa_shift = __builtin_clzll(mantissa), five_shift = __builtin_clzll(five);
    const u128 dividend = (u128)(mantissa << mantissa_shift) << 63;
    const uint64_t divisor = five << five_shift;
    /* dividend < 2^127 and divisor >= 2^63: the quotient lies between 2^62 and 2^64 */
    const uint64_t quotient = (uint64_t)(dividend / divisor);
    return round_to_f64(quotient, dividend - (u128)quotient * divisor != 0,
                        five_shift - mantissa_shift - 63 - (int)power);
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "nan", "inf" and "infinity", in upper or lower case: of ASCII, since strncasecmp follows the locale. */
static bool
read_word(const char *text, double *ret_value, const char **ret_end)
{
    static const struct {
        const char *word;
        double value;
    } words[] = {{"infinity", INFINITY}, {"inf", INFINITY}, {"nan", NAN}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t k = 0;
        while (words[i].word[k] && (text[k] | 0x20) == words[i].word[k])
            k++;
        if (!words[i].word[k]) {
            *ret_value = words[i].value;
            *ret_end = text + k;
            return true;
        }
    }
    return false;
}

typedef struct Digits {
    uint64_t mantissa;
    int kept;         /* significant digits of the mantissa */
    int64_t exponent; /* of ten */
    bool any, exact;  /* there is a digit; none that matters was left out */
} Digits;

static const char *
read_digits(const char *text, bool fraction, Digits *digits)
{
    for (; is_digit(*text); text++) {
        const uint64_t digit = (uint64_t)(*text - '0');
        digits->any = true;
        if (digits->kept < MOST_DIGITS) {
            digits->mantissa = 10 * digits->mantissa + digit;
            digits->kept += digits->mantissa != 0;
            digits->exponent -= fraction;
        } else {
            digits->exact &= digit == 0;
            digits->exponent += !fraction;
        }
    }
    return text;
}

/* The exponent behind the digits; text is untouched where there is none. */
static const char *
read_exponent(const char *text, Digits *digits)
{
    if (*text != 'e' && *text != 'E')
        return text;
    const char *c = text + 1;
    const bool negative = *c == '-';
    c += *c == '-' || *c == '+';
    if (!is_digit(*c))
        return text;
    int64_t exponent = 0;
    for (; is_digit(*c); c++)
        if (exponent < most_exponent)
            exponent = 10 * exponent + (*c - '0');
    digits->exponent += negative ? -exponent : exponent;
    return c;
}

DataNumber
rxn__data_number(const char *text, locale_t c_locale, double *ret_value, const char **ret_end)
{
    const bool negative = *text == '-';
    const char *c = text + (*text == '-' || *text == '+');
    double value;
    if (!is_digit(*c) && *c != '.') {
        if (!read_word(c, &value, ret_end))
            return DATA_NO_NUMBER;
        *ret_value = negative ? -value : value;
        return DATA_NUMBER;
    }
    Digits digits = {.exact = true};
    c = read_digits(c, false, &digits);
    if (*c == '.')
        c = read_digits(c + 1, true, &digits);
    if (!digits.any)
        return DATA_NO_NUMBER;
    *ret_end = read_exponent(c, &digits);

    if (digits.mantissa == 0)
        value = 0;
    else if (!digits.exact || digits.exponent > MOST_POWER || digits.exponent < -MOST_POWER)
        value = fabs(strtod_l(text, NULL, c_locale));
    else if (digits.exponent > 0)
        value = scale_up(digits.mantissa, (unsigned)digits.exponent);
    else if (digits.exponent < 0)
        value = scale_down(digits.mantissa, (unsigned)-digits.exponent);
    else
        value = (double)digits.mantissa;
    *ret_value = negative ? -value : value;
    return isinf(value) ? DATA_NUMBER_TOO_LARGE : DATA_NUMBER;
}
