/* fuzz_format.c: any bytes to the formatter.
 *
 * What is no model has an error. Of what is one, the formatted text must be the same tree and have the same comments in
 * their order, found here without the scanner; formatting it again must change nothing; and it must not be much
 * longer than what was given. What is wrong ends in abort(), which libFuzzer reports with the input.
 *
 * Half of the mutations only change how a text is spaced, which is what a formatter has to be good at: most of those leave
 * a model a model.
 */
#include "compiler/format/format.h"
#include "tests/fuzz/front.h"

enum {
    MAX_INPUT = 1 << 20,
    MEMORY_LIMIT = 1 << 30,
    MOST_GROWTH =
        400, /* characters for one: a cell of a table moves by 40 at most, three times a line; blocks indent */
};

typedef struct Model {
    const char *text;
    size_t length;
} Model;

/* The next comment, without what is blank at its end; NULL: none. A '#' in a string begins none. */
static const char *
next_comment(const char **at, const char *end, size_t *ret_length)
{
    for (bool in_string = false; *at < end; (*at)++) {
        const char c = **at;
        in_string = c == '"' ? !in_string : in_string && c != '\n';
        if (c != '#' || in_string)
            continue;
        const char *comment = *at;
        while (*at < end && **at != '\n')
            (*at)++;
        size_t length = (size_t)(*at - comment);
        while (comment[length - 1] && strchr(" \t\r\f\v", comment[length - 1]))
            length--;
        *ret_length = length;
        return comment;
    }
    return NULL;
}

static void
expect_same_comments(const char *a, size_t a_length, const char *b, size_t b_length)
{
    const char *a_end = a + a_length, *b_end = b + b_length;
    for (;;) {
        size_t length = 0, other_length = 0;
        const char *comment = next_comment(&a, a_end, &length);
        const char *other = next_comment(&b, b_end, &other_length);
        expect(!comment == !other, "another number of comments", NULL);
        if (!comment)
            return;
        expect(length == other_length && memcmp(comment, other, length) == 0, "another comment",
               comment);
    }
}

/* How the text prints as a tree, or NULL: it is too large for that. */
static const char *
outline(FuzzSession *s, u32 file, size_t length)
{
    enum { MOST_BYTES = 20000 }; /* deep trees print long lines */
    if (length > MOST_BYTES)
        return NULL;
    Text text;
    rxn__text_init(&text, &s->arena);
    rxn__ast_print(rxn__parse(&s->arena, &s->names, &s->diagnostics, file), NULL, &text);
    return text.data;
}

static void
run(FuzzSession *s, void *context)
{
    const Model *input = context;
    const char *broken = NULL;
    Text once, twice;
    const u32 file = rxn__sources_add(&s->sources, "model", input->text, input->length);
    RxnStatus status = rxn__format(&s->arena, &s->names, &s->diagnostics, file, &once, &broken);
    expect(status != RXN_ERROR_INTERNAL, "internal error", broken);
    expect((status == RXN_OK) == (s->diagnostics.error_count == 0), "neither a text nor an error",
           NULL);
    if (status != RXN_OK)
        return;
    expect(once.length <= MOST_GROWTH * (input->length + 1), "the text has grown too much", NULL);
    expect_same_comments(input->text, input->length, once.data, once.length);
    const u32 again = rxn__sources_add(&s->sources, "formatted", once.data, once.length);
    const char *before = outline(s, file, input->length), *after = outline(s, again, once.length);
    expect(!before || !after || strcmp(before, after) == 0, "another tree", once.data);
    status = rxn__format(&s->arena, &s->names, &s->diagnostics, again, &twice, &broken);
    expect(status == RXN_OK, "the formatted text cannot be formatted", broken);
    expect(once.length == twice.length && memcmp(once.data, twice.data, once.length) == 0,
           "formatting again changes something", once.data);
}

size_t LLVMFuzzerMutate(u8 *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max_size, unsigned seed);

/* One blank, line end or comment more or less at this place. Returns the new size. */
static size_t
respace(u8 *data, size_t size, size_t max_size, size_t at, u32 which)
{
    static const char *const blanks[] = {" ", "   ",  "\n", "\n\n", " # c\n",           "\t",
                                         ";", "\r\n", "#d", "\f",   "\n  # e\n        "};
    if (which % 2 == 0 && strchr(" \t\n", data[at]) && data[at]) {
        memmove(data + at, data + at + 1, size - at - 1);
        return size - 1;
    }
    const char *blank = blanks[which / 2 % COUNT_OF(blanks)];
    const size_t length = strlen(blank);
    if (size + length > max_size)
        return size;
    memmove(data + at + length, data + at, size - at);
    memcpy(data + at, blank, length);
    return size + length;
}

size_t
LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max_size, unsigned seed)
{
    enum { MOST_EDITS = 8 };
    u64 random = hash_mix(0, seed);
    if (random % 2 == 0 || size == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    for (u64 edits = random / 2 % MOST_EDITS + 1; edits > 0 && size > 0; edits--) {
        random = hash_mix(random, edits);
        size = respace(data, size, max_size, (size_t)(random >> 20) % size, (u32)random & 0xFFFF);
    }
    return size;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    if (size > MAX_INPUT)
        return 0;
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    Model input = {.text = text, .length = size};
    fuzz_session(MEMORY_LIMIT, run, &input);
    free(text);
    return 0;
}
