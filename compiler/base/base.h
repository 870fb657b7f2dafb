/* base: what every other room stands on.
 *
 * Memory (arenas), interned names, the source map and spans, diagnostics with carets, growable
 * text, exact number text, and the tokenizer that the readers of our IR texts share.
 *
 * Memory model. All storage of the compiler comes from arenas, and all arenas of a session draw
 * on one `Memory`, which counts, limits and (for tests) fails allocations. An arena never returns
 * NULL: when memory is out or the limit is reached it jumps to `memory->on_failure`, the one
 * recovery point that the session's entry function has set; that function releases its arenas and
 * returns RXN_ERROR_MEMORY. So no code between has a half-handled failure path, and a library call
 * still neither exits nor leaks.
 */
#ifndef RXN_BASE_H
#define RXN_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/rxn.h" /* RxnStatus, which is the library's too */

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;

#define RXN_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#define COUNT_OF(array)                (sizeof(array) / sizeof((array)[0]))

/* ---- Memory ------------------------------------------------------------------------------- */

typedef struct Memory {
    size_t used;         /* bytes held by arenas now */
    size_t limit;        /* most bytes that may be held; 0: no limit */
    u64 allocations;     /* block allocations so far */
    u64 fail_at;         /* test hook: this allocation (1-based) fails; 0: none does */
    jmp_buf *on_failure; /* where a failed allocation goes; must be set while arenas are used */
} Memory;

/* Calls body(context); where memory runs out inside, returns RXN_ERROR_MEMORY. May be nested. */
RxnStatus rxn__memory_guard(Memory *memory, RxnStatus (*body)(void *context), void *context);

typedef struct ArenaBlock ArenaBlock;
typedef struct ArenaCleanup ArenaCleanup;

typedef struct Arena {
    Memory *memory;
    ArenaBlock *blocks;
    ArenaCleanup *cleanups;
    u8 *cursor, *end;
} Arena;

void rxn__arena_init(Arena *arena, Memory *memory);

/* Frees all blocks, after running the cleanups in reverse order. The arena can be used again. */
void rxn__arena_release(Arena *arena);

/* Zeroed storage, aligned for any scalar and for 64-byte vectors when size >= 64. Never NULL. */
void *rxn__arena_alloc(Arena *arena, size_t size);

/* As rxn__arena_alloc of count*size with the product checked for overflow. */
void *rxn__arena_alloc_array(Arena *arena, size_t count, size_t size);

/* The object with its first old_size bytes kept and new_size >= old_size in all, the new ones zero:
 * where it was, if it is the newest of the arena and there is room, else a copy. */
void *rxn__arena_grow(Arena *arena, void *old, size_t old_size, size_t new_size);

char *rxn__arena_copy_text(Arena *arena, const char *text, size_t length);

/* Runs `release(object)` when the arena is released: for handles of other libraries. */
void rxn__arena_on_release(Arena *arena, void (*release)(void *object), void *object);

#define NEW(arena, type) ((type *)rxn__arena_alloc((arena), sizeof(type)))
#define NEW_ARRAY(arena, type, count)                                                              \
    ((type *)rxn__arena_alloc_array((arena), (count), sizeof(type)))

/* A growable array in an arena: `VEC(u32) v = {0}; vec_push(arena, &v, 7); v.items[0]`. */
#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *items;                                                                               \
        u32 count, capacity;                                                                       \
    }
#define vec_push(arena, v, item)                                                                   \
    ((v)->count == (v)->capacity                                                                   \
         ? ((v)->items = rxn__vec_grow((arena), (v)->items, &(v)->capacity, sizeof *(v)->items))   \
         : (v)->items,                                                                             \
     (v)->items[(v)->count++] = (item))

void *rxn__vec_grow(Arena *arena, void *items, u32 *capacity, size_t item_size);

/* ---- Names -------------------------------------------------------------------------------- */

/* An interned string: equal names are equal pointers. NUL-terminated as well; never has a NUL. */
typedef struct NameText {
    u32 length;
    u32 hash;
    char text[];
} NameText;
typedef const NameText *Name;

typedef struct NameTable {
    Arena *arena;
    Name *slots;
    u32 count, capacity;
} NameTable;

void rxn__names_init(NameTable *table, Arena *arena);

Name rxn__name(NameTable *table, const char *text, size_t length);

Name rxn__name_z(NameTable *table, const char *text);

/* Damerau-Levenshtein distance, for "did you mean"; returns limit + 1 once it exceeds the limit. */
u32 rxn__name_distance(const char *a, size_t a_length, const char *b, size_t b_length, u32 limit);

/* The candidate nearest to the word, or NULL if none is near. */
const char *rxn__nearest(const char *word, u32 count, const char *const *candidates);

/* ---- Sources and spans -------------------------------------------------------------------- */

/* Byte offsets into the session's one space of source positions: each file gets a range in it, so
 * a span alone names its file. {0,0} is "nowhere". Turned into line and column only to report. */
typedef struct Span {
    u32 begin, end;
} Span;

typedef struct SourceMark SourceMark;

typedef struct SourceFile {
    const char *path; /* as the user wrote it; "<stdin>" for standard input */
    const char *text; /* NUL-terminated copy in the arena (may hold NULs inside) */
    u32 length;
    u32 base;                /* position of its first byte */
    const SourceMark *marks; /* where lines are; source.c's own */
} SourceFile;

typedef struct SourceMap {
    Arena *arena;
    VEC(SourceFile) files;
    u32 next_base;
} SourceMap;

enum { RXN_MAX_SOURCE_BYTES = 64 << 20 }; /* of one file; a larger one is refused */

void rxn__sources_init(SourceMap *map, Arena *arena);

/* Adds a file's text (copied). The caller has checked length <= RXN_MAX_SOURCE_BYTES. Returns its
 * number, or UINT32_MAX when the space of positions is used up. */
u32 rxn__sources_add(SourceMap *map, const char *path, const char *text, size_t length);

typedef struct SourcePlace {
    const SourceFile *file; /* NULL: nowhere */
    u32 line, column;       /* from 1; the column counts UTF-8 characters */
    const char *line_text;  /* the line, not NUL-terminated */
    u32 line_length;        /* bytes, without the newline */
    u32 line_offset;        /* of the position in the line, bytes */
} SourcePlace;

SourcePlace rxn__sources_locate(const SourceMap *map, u32 position);

/* Line and column alone, in bounded time however long the lines are; 0 and 0 for nowhere. */
void rxn__sources_line_column(const SourceMap *map, u32 position, u32 *ret_line, u32 *ret_column);

static inline Span
span_join(Span a, Span b)
{
    if (a.begin == 0 && a.end == 0)
        return b;
    if (b.begin == 0 && b.end == 0)
        return a;
    return (Span){a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end};
}

/* ---- Text --------------------------------------------------------------------------------- */

/* A growable, always NUL-terminated buffer of text in an arena. */
typedef struct Text {
    Arena *arena;
    char *data;
    size_t length, capacity;
} Text;

void rxn__text_init(Text *text, Arena *arena);

void rxn__text_append(Text *text, const char *data, size_t length);

void rxn__text_printf(Text *text, const char *format, ...) RXN_PRINTF(2, 3);

void rxn__text_vprintf(Text *text, const char *format, va_list args);

/* What vprintf would print, in the arena. */
const char *rxn__text_vformat(Arena *arena, const char *format, va_list args);

/* The shortest decimal that reads back to exactly this number ("0.1", "1e-05", "inf", "nan"). */
void rxn__text_f64(Text *text, double value);

/* Exact and canonical: hex float ("0x1.8p+1"), "inf", "-inf", "nan". What the IR texts use. */
void rxn__text_f64_hex(Text *text, double value);

/* The whole text as a finite number. */
bool rxn__parse_number(const char *text, double *ret_value);

/* "500M", "2G", "65536"; false if it is none of these. */
bool rxn__parse_bytes(const char *text, u64 *ret_bytes);

/* ---- Diagnostics -------------------------------------------------------------------------- */

typedef enum DiagnosticKind {
    DIAGNOSTIC_ERROR,
    DIAGNOSTIC_WARNING,
    DIAGNOSTIC_NOTE
} DiagnosticKind;

typedef struct Diagnostic {
    DiagnosticKind kind;
    Span span;
    const char *message;
} Diagnostic;

enum { RXN_MAX_ERRORS = 20 };

/* A list in order of report; a note belongs to the error or warning before it. After
 * RXN_MAX_ERRORS errors later ones are counted, not kept (their notes likewise); so with warnings. */
typedef struct Diagnostics {
    Arena *arena;
    const SourceMap *sources;
    VEC(Diagnostic) list;
    u32 error_count, dropped;
    u32 warning_count, dropped_warnings;
    bool dropping; /* the last error or warning was dropped, so are its notes */
} Diagnostics;

void rxn__diagnostics_init(Diagnostics *diagnostics, Arena *arena, const SourceMap *sources);

/* Messages: lower case, no full stop, names in 'single quotes'. The same error at the same span
 * is reported once. Names longer than 60 bytes are shortened by rxn__shown below. */
void rxn__error(Diagnostics *diagnostics, Span span, const char *format, ...) RXN_PRINTF(3, 4);

void rxn__warning(Diagnostics *diagnostics, Span span, const char *format, ...) RXN_PRINTF(3, 4);

/* With a span of {0,0} the note is a bare line ("note: did you mean 'koff'?"). */
void rxn__note(Diagnostics *diagnostics, Span span, const char *format, ...) RXN_PRINTF(3, 4);

/* file:line:col: error: message / source line / caret line, for all, errors sorted by place (stable,
 * notes kept with theirs), at the end "too many errors: N more not shown" if any. Tabs in the source
 * line stay tabs in the caret line; a line over 160 bytes is cut around the span with "..."; a span of
 * several lines is underlined to the end of its first. */
void rxn__diagnostics_render(const Diagnostics *diagnostics, Text *out);

/* Errors since entry `first` of the list become warnings: what they ended was not all there is. */
void rxn__diagnostics_soften(Diagnostics *diagnostics, u32 first);

/* A name fit for a message: control bytes as \xNN, cut at 60 bytes with "...". */
const char *rxn__shown(Arena *arena, const char *text, size_t length);

/* Bytes of the UTF-8 character at the start of the text; 0 if it is not well formed (or none). */
u32 rxn__utf8_length(const char *text, size_t available);

/* ---- Hashing ------------------------------------------------------------------------------ */

static inline u64
hash_mix(u64 h, u64 value)
{
    h ^= value + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u; /* the multiplier of the rrmxmx mixer family */
    return h ^ (h >> 32);
}

/* ---- Reader of IR texts ------------------------------------------------------------------- */

/* The network's and the KIR's text forms share one token set: words ([A-Za-z_.][A-Za-z0-9_.]*),
 * %numbers, integers, hex floats, "strings" (escapes \" \\ \n \xNN), and single punctuation bytes;
 * `#` comments to the end of the line; line ends are not tokens. A reader stops at the first
 * error, which it keeps; every later call then answers with IR_END and changes nothing. */
typedef enum IrTokenKind {
    IR_END,
    IR_WORD,
    IR_VALUE, /* %12: integer is 12 */
    IR_INTEGER, /* integer (and number); a leading '-' is part of it; the upper half of u64: its bits */
    IR_NUMBER, /* number: hex or decimal float, inf, -inf, nan */
    IR_STRING, /* text, length: unescaped, in the arena */
    IR_PUNCTUATION,
} IrTokenKind;

typedef struct IrReader {
    Arena *arena;
    const char *cursor, *end, *start;
    IrTokenKind kind; /* the current token */
    const char *text;
    u32 length;
    char punctuation;
    i64 integer;
    double number;
    u32 line;
    const char *error; /* NULL while all is well; "line 12: expected ..." */
} IrReader;

void rxn__ir_reader_init(IrReader *reader, Arena *arena, const char *text, size_t length);

void rxn__ir_next(IrReader *reader);

/* Keeps the first error only; always returns false. */
bool rxn__ir_fail(IrReader *reader, const char *format, ...) RXN_PRINTF(2, 3);

bool rxn__ir_is_word(const IrReader *reader, const char *word);

/* Takes the token if it is this word / punctuation; false and untouched otherwise. */
bool rxn__ir_take_word(IrReader *reader, const char *word);

bool rxn__ir_take(IrReader *reader, char punctuation);

/* As take, but an error when it is not there. */
bool rxn__ir_expect_word(IrReader *reader, const char *word);

bool rxn__ir_expect(IrReader *reader, char punctuation);

#endif
