/* ir_reader: the tokens of the network's and the KIR's text forms.
 *
 * These texts are printed by us, so the reader is strict and stops at the first error; but they may
 * also come from a person or a fuzzer, so it reads any bytes in bounded time and memory.
 */
#include "compiler/base/base.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES = 400 }; /* the longest decimal of a double has fewer */

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
}

void
rxn__ir_reader_init(IrReader *reader, Arena *arena, const char *text, size_t length)
{
    *reader =
        (IrReader){.arena = arena, .cursor = text, .start = text, .end = text + length, .line = 1};
    rxn__ir_next(reader);
}

bool
rxn__ir_fail(IrReader *reader, const char *format, ...)
{
    if (!reader->error) {
        Text message;
        rxn__text_init(&message, reader->arena);
        rxn__text_printf(&message, "line %u: ", reader->line);
        va_list args;
        va_start(args, format);
        rxn__text_vprintf(&message, format, args);
        va_end(args);
        reader->error = message.data;
    }
    reader->kind = IR_END;
    reader->cursor = reader->end;
    reader->text = "";
    reader->length = 0;
    return false;
}

static void
skip_blanks(IrReader *reader)
{
    while (reader->cursor < reader->end) {
        const char c = *reader->cursor;
        if (c == '#') {
            const char *newline =
                memchr(reader->cursor, '\n', (size_t)(reader->end - reader->cursor));
            reader->cursor = newline ? newline : reader->end;
        } else if (c == '\n' || c == ' ' || c == '\t' || c == '\r') {
            reader->line += c == '\n';
            reader->cursor++;
        } else {
            return;
        }
    }
}

static int
hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static void
read_string(IrReader *reader)
{
    Text out;
    rxn__text_init(&out, reader->arena);
    const char *at = reader->cursor + 1;
    for (;;) {
        if (at == reader->end || *at == '\n') {
            rxn__ir_fail(reader, "a string has no end");
            return;
        }
        char c = *at++;
        if (c == '"')
            break;
        if (c == '\\') {
            const char escape = at < reader->end ? *at++ : 0;
            if (escape == 'n') {
                c = '\n';
            } else if (escape == '\\' || escape == '"') {
                c = escape;
            } else if (escape == 'x' && reader->end - at >= 2 && hex_digit(at[0]) >= 0 &&
                       hex_digit(at[1]) >= 0) {
                c = (char)(hex_digit(at[0]) * 16 + hex_digit(at[1]));
                at += 2;
            } else {
                rxn__ir_fail(reader, "an unknown escape in a string");
                return;
            }
        }
        rxn__text_append(&out, &c, 1);
    }
    if (out.length > UINT32_MAX) {
        rxn__ir_fail(reader, "a string is too long");
        return;
    }
    reader->kind = IR_STRING;
    reader->text = out.data;
    reader->length = (u32)out.length;
    reader->cursor = at;
}

/* At a digit, or at a '-' before a digit or before `inf`. */
static void
read_number(IrReader *reader)
{
    char digits[NUMBER_BYTES];
    size_t length = 0;
    bool is_float = false;
    const char *at = reader->cursor;
    const bool hex = reader->end - at > 2 && (at[0] == '0' || at[1] == '0') &&
                     (at[*at == '-' ? 2 : 1] | 0x20) == 'x';
    for (; at < reader->end; at++) {
        const char c = *at, last = length ? digits[length - 1] : 0;
        const bool sign = (c == '-' || c == '+') &&
                          (length == 0 || (last | 0x20) == 'p' || (!hex && (last | 0x20) == 'e'));
        if (!sign && !is_digit(c) && !is_word_start(c))
            break;
        if (length + 1 == sizeof digits) {
            rxn__ir_fail(reader, "a number is too long");
            return;
        }
        if (!is_digit(c) && length)
            is_float = true;
        digits[length++] = c;
    }
    digits[length] = 0;

    char *end;
    reader->text = reader->cursor;
    reader->length = (u32)length;
    reader->number = strtod(digits, &end);
    if (end != digits + length || (isinf(reader->number) && !strpbrk(digits, "iI"))) {
        rxn__ir_fail(reader, "'%s' is not a number", rxn__shown(reader->arena, digits, length));
        return;
    }
    reader->kind = IR_NUMBER;
    if (!is_float) {
        errno = 0;
        reader->integer = strtoll(digits, &end, 10);
        if (errno && digits[0] != '-') {
            /* The upper half of u64, as the same 64 bits. */
            errno = 0;
            reader->integer = (i64)strtoull(digits, &end, 10);
        }
        if (errno) {
            rxn__ir_fail(reader, "the integer %s does not fit 64 bits", digits);
            return;
        }
        reader->kind = IR_INTEGER;
    }
    reader->cursor = at;
}

static void
read_value(IrReader *reader)
{
    const char *at = reader->cursor + 1;
    u64 value = 0;
    for (; at < reader->end && is_digit(*at); at++) {
        value = value * 10 + (u64)(*at - '0');
        if (value > UINT32_MAX) {
            rxn__ir_fail(reader, "a value's number is too large");
            return;
        }
    }
    reader->kind = IR_VALUE;
    reader->integer = (i64)value;
    reader->length = (u32)(at - reader->cursor);
    reader->cursor = at;
}

static void
read_word(IrReader *reader)
{
    const char *at = reader->cursor;
    while (at < reader->end && (is_word_start(*at) || is_digit(*at)))
        at++;
    reader->length = (u32)(at - reader->cursor);
    reader->cursor = at;
    reader->kind = IR_WORD;
    if (reader->length == 3 && memcmp(reader->text, "inf", 3) == 0) {
        reader->kind = IR_NUMBER;
        reader->number = INFINITY;
    } else if (reader->length == 3 && memcmp(reader->text, "nan", 3) == 0) {
        reader->kind = IR_NUMBER;
        reader->number = NAN;
    }
}

void
rxn__ir_next(IrReader *reader)
{
    if (reader->error)
        return;
    skip_blanks(reader);
    reader->text = reader->cursor;
    reader->length = 0;
    if (reader->cursor == reader->end) {
        reader->kind = IR_END;
        reader->text = "";
        return;
    }
    const char c = *reader->cursor;
    const size_t left = (size_t)(reader->end - reader->cursor);
    const char next = left > 1 ? reader->cursor[1] : 0;
    if (is_word_start(c)) {
        read_word(reader);
    } else if (is_digit(c) || (c == '-' && is_digit(next)) ||
               (c == '-' && left >= 4 && memcmp(reader->cursor, "-inf", 4) == 0)) {
        read_number(reader);
    } else if (c == '%' && is_digit(next)) {
        read_value(reader);
    } else if (c == '"') {
        read_string(reader);
    } else if (c > ' ' && c < 0x7F) {
        reader->kind = IR_PUNCTUATION;
        reader->punctuation = c;
        reader->length = 1;
        reader->cursor++;
    } else {
        rxn__ir_fail(reader, "a stray byte \\x%02X", (u8)c);
    }
}

bool
rxn__ir_is_word(const IrReader *reader, const char *word)
{
    return reader->kind == IR_WORD && strlen(word) == reader->length &&
           memcmp(reader->text, word, reader->length) == 0;
}

bool
rxn__ir_take_word(IrReader *reader, const char *word)
{
    if (!rxn__ir_is_word(reader, word))
        return false;
    rxn__ir_next(reader);
    return true;
}

bool
rxn__ir_take(IrReader *reader, char punctuation)
{
    if (reader->kind != IR_PUNCTUATION || reader->punctuation != punctuation)
        return false;
    rxn__ir_next(reader);
    return true;
}

/* What stands there, for a message. */
static const char *
found(const IrReader *reader)
{
    if (reader->kind == IR_END)
        return "the end";
    return rxn__shown(reader->arena, reader->text, reader->length);
}

bool
rxn__ir_expect_word(IrReader *reader, const char *word)
{
    if (rxn__ir_take_word(reader, word))
        return true;
    return rxn__ir_fail(reader, "expected '%s', found '%s'", word, found(reader));
}

bool
rxn__ir_expect(IrReader *reader, char punctuation)
{
    if (rxn__ir_take(reader, punctuation))
        return true;
    return rxn__ir_fail(reader, "expected '%c', found '%s'", punctuation, found(reader));
}
