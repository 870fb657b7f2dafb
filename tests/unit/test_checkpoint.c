/* test_checkpoint.c: what is written reads back to the bit; no byte can be damaged unnoticed; nothing that is
 * not this fit's checkpoint is ever written over.
 *
 * The source is included, not linked, for its checksum: files that agree with it and are wrong all the same.
 */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "runtime/checkpoint.c"

typedef struct Place {
    char folder[64], path[128];
} Place;

static int
enter(void **state)
{
    Place *place = calloc(1, sizeof *place);
    snprintf(place->folder, sizeof place->folder, "/tmp/rxn-checkpoint-XXXXXX");
    if (!mkdtemp(place->folder))
        return -1;
    snprintf(place->path, sizeof place->path, "%s/fit", place->folder);
    *state = place;
    return 0;
}

/* How many files are in the folder. */
static int
entries(const char *folder, bool remove_them)
{
    int count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (remove_them)
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
    return count;
}

static int
leave(void **state)
{
    Place *place = *state;
    entries(place->folder, true);
    rmdir(place->folder);
    free(place);
    return 0;
}

static RxnCheckpoint *
example(const char *key)
{
    const double numbers[] = {-0.0, 1.5, INFINITY, NAN, 4.9e-324};
    const uint64_t counts[] = {0, UINT64_MAX};
    RxnCheckpoint *checkpoint = rxn__checkpoint_new(key);
    assert_non_null(checkpoint);
    assert_true(rxn__checkpoint_numbers(checkpoint, "point", numbers, 5));
    assert_true(rxn__checkpoint_counts(checkpoint, "point", counts, 2));
    assert_true(rxn__checkpoint_text(checkpoint, "model", "A -> B\n"));
    assert_true(rxn__checkpoint_text(checkpoint, "", ""));
    assert_true(rxn__checkpoint_numbers(checkpoint, "none", NULL, 0));
    double *place = rxn__checkpoint_place_numbers(checkpoint, "placed", 3);
    assert_non_null(place);
    assert_true(place[2] == 0);
    place[1] = 7;
    return checkpoint;
}

static void
write_example(const char *path, const char *key)
{
    char error[256] = "";
    RxnCheckpoint *checkpoint = example(key);
    assert_true(rxn__checkpoint_write(checkpoint, path, error, sizeof error));
    assert_string_equal(error, "");
    rxn__checkpoint_free(checkpoint);
}

static char *
bytes_of(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = calloc(1, 1 << 16);
    *ret_size = fread(bytes, 1, 1 << 16, file);
    fclose(file);
    return bytes;
}

static void
put_bytes(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void
is_example(const RxnCheckpoint *checkpoint, const char *key)
{
    const double numbers[] = {-0.0, 1.5, INFINITY, NAN, 4.9e-324};
    size_t count = 99;
    assert_string_equal(rxn__checkpoint_key(checkpoint), key);
    const double *point = rxn__checkpoint_get_numbers(checkpoint, "point", &count);
    assert_non_null(point);
    assert_int_equal(count, 5);
    assert_memory_equal(point, numbers, sizeof numbers);
    const uint64_t *counts = rxn__checkpoint_get_counts(checkpoint, "point", &count);
    assert_non_null(counts);
    assert_int_equal(count, 2);
    assert_true(counts[0] == 0 && counts[1] == UINT64_MAX);
    assert_string_equal(rxn__checkpoint_get_text(checkpoint, "model"), "A -> B\n");
    assert_string_equal(rxn__checkpoint_get_text(checkpoint, ""), "");
    assert_non_null(rxn__checkpoint_get_numbers(checkpoint, "none", &count));
    assert_int_equal(count, 0);
    const double *placed = rxn__checkpoint_get_numbers(checkpoint, "placed", &count);
    assert_true(count == 3 && placed[0] == 0 && placed[1] == 7);
    assert_null(rxn__checkpoint_get_numbers(checkpoint, "model", &count));
    assert_null(rxn__checkpoint_get_text(checkpoint, "point"));
    assert_null(rxn__checkpoint_get_counts(checkpoint, "poin", &count));
}

static void
test_reads_back(void **state)
{
    const Place *place = *state;
    char error[256] = "";
    for (size_t length = 0; length < 20; length++) { /* keys that fill words, and do not */
        char key[32] = "0123456789abcdefghij";
        key[length] = 0;
        write_example(place->path, key);
        RxnCheckpoint *checkpoint = rxn__checkpoint_read(place->path, error, sizeof error);
        assert_non_null(checkpoint);
        is_example(checkpoint, key);
        rxn__checkpoint_free(checkpoint);
        assert_int_equal(entries(place->folder, true), 1); /* no drafts */
    }
    RxnCheckpoint *unwritten = example("k");
    is_example(unwritten, "k");
    rxn__checkpoint_free(unwritten);
    rxn__checkpoint_free(NULL);
}

static void
fails_to_read(const char *path, const char *word)
{
    char error[256] = "";
    assert_null(rxn__checkpoint_read(path, error, sizeof error));
    if (!strstr(error, word))
        fail_msg("'%s' does not say '%s'", error, word);
    char tiny[4];
    assert_null(rxn__checkpoint_read(path, tiny, sizeof tiny));
    assert_null(rxn__checkpoint_read(path, NULL, 0));
}

static void
test_damage_at_every_byte(void **state)
{
    const Place *place = *state;
    write_example(place->path, "key of the fit");
    size_t size;
    char *bytes = bytes_of(place->path, &size);
    for (size_t i = 0; i < size; i++) {
        static const char masks[] = {1, (char)0x80, (char)0xff};
        for (int k = 0; k < 3; k++) {
            bytes[i] = (char)(bytes[i] ^ masks[k]);
            put_bytes(place->path, bytes, size);
            fails_to_read(place->path, i < 8 ? "is not a checkpoint" : " ");
            bytes[i] = (char)(bytes[i] ^ masks[k]);
        }
    }
    for (size_t cut = 0; cut < size; cut++) {
        put_bytes(place->path, bytes, cut);
        fails_to_read(place->path, cut < 8 ? "is not a checkpoint" : "cut short");
    }
    for (size_t more = 1; more < 17; more++) {
        put_bytes(place->path, bytes, size + more);
        fails_to_read(place->path, "longer");
    }
    /* two words exchanged */
    for (size_t i = sizeof(Header); i + 16 <= size; i += 8) {
        char word[8];
        if (memcmp(bytes + i, bytes + i + 8, 8) == 0)
            continue;
        memcpy(word, bytes + i, 8);
        memcpy(bytes + i, bytes + i + 8, 8);
        memcpy(bytes + i + 8, word, 8);
        put_bytes(place->path, bytes, size);
        fails_to_read(place->path, "checksum");
        memcpy(bytes + i + 8, bytes + i, 8);
        memcpy(bytes + i, word, 8);
    }
    put_bytes(place->path, bytes, size);
    char error[256];
    RxnCheckpoint *checkpoint = rxn__checkpoint_read(place->path, error, sizeof error);
    is_example(checkpoint, "key of the fit");
    rxn__checkpoint_free(checkpoint);
    free(bytes);
}

static void
seal(char *bytes, size_t size)
{
    Header header;
    memcpy(&header, bytes, sizeof header);
    header.checksum = checksum_of(header, bytes, size);
    memcpy(bytes, &header, sizeof header);
}

/* Lengths that are wrong under a checksum that is right lead nowhere, and to no allocation. */
static void
test_lies_with_a_good_checksum(void **state)
{
    const Place *place = *state;
    write_example(place->path, "key of the fit");
    size_t size;
    char *bytes = bytes_of(place->path, &size), *copy = malloc(size);
    static const uint64_t lies[] = {
        0, 1, 3, 7, 1 << 20, UINT64_MAX, UINT64_MAX / 8, UINT64_MAX - 7, INT64_MAX};
    int refused = 0;
    for (size_t at = 40; at + 8 <= size; at += 8) {
        for (size_t k = 0; k < sizeof lies / sizeof *lies; k++) {
            memcpy(copy, bytes, size);
            memcpy(copy + at, &lies[k], 8);
            seal(copy, size);
            put_bytes(place->path, copy, size);
            char error[256] = "";
            RxnCheckpoint *checkpoint = rxn__checkpoint_read(place->path, error, sizeof error);
            refused += !checkpoint;
            if (!checkpoint)
                continue;
            size_t count = 0; /* what is found lies within the file: the sanitizer looks */
            uint64_t sum = strlen(rxn__checkpoint_key(checkpoint));
            const double *numbers = rxn__checkpoint_get_numbers(checkpoint, "placed", &count);
            for (size_t i = 0; numbers && i < count; i++)
                sum += numbers[i] != 0;
            const char *text = rxn__checkpoint_get_text(checkpoint, "model");
            sum += text ? strlen(text) : 0;
            assert_true(sum < size);
            rxn__checkpoint_free(checkpoint);
        }
    }
    assert_true(refused > 100);
    /* another version; another kind of machine */
    static const struct {
        size_t at;
        const char *word;
    } others[] = {{offsetof(Header, mark), "machine"}, {offsetof(Header, version), "version"}};
    for (int k = 0; k < 2; k++) {
        memcpy(copy, bytes, size);
        copy[others[k].at] = (char)(copy[others[k].at] ^ 2);
        seal(copy, size);
        put_bytes(place->path, copy, size);
        fails_to_read(place->path, others[k].word);
    }
    free(copy);
    free(bytes);
}

static void
fails_to_write(const char *path, const char *key, const char *word)
{
    char error[256] = "";
    RxnCheckpoint *checkpoint = example(key);
    assert_false(rxn__checkpoint_write(checkpoint, path, error, sizeof error));
    if (!strstr(error, word))
        fail_msg("'%s' does not say '%s'", error, word);
    rxn__checkpoint_free(checkpoint);
}

static void
test_writes_over_nothing_else(void **state)
{
    const Place *place = *state;
    char error[256], path[256];
    static const char *texts[] = {"time,A\n0,1\n", "rxn-fit", "rxn-fit\nshort"};
    for (int k = 0; k < 3; k++) {
        put_bytes(place->path, texts[k], strlen(texts[k]));
        fails_to_write(place->path, "key", "left as it is");
        assert_false(rxn__checkpoint_may_write(place->path, "key", error, sizeof error));
        size_t size;
        char *bytes = bytes_of(place->path, &size);
        assert_int_equal(size, strlen(texts[k]));
        assert_memory_equal(bytes, texts[k], size);
        free(bytes);
    }
    unlink(place->path);
    write_example(place->path, "key of another");
    fails_to_write(place->path, "key", "another fit");
    fails_to_write(place->path, "key of anothes", "another fit");
    fails_to_write(place->path, "key of another one", "another fit");
    RxnCheckpoint *kept = rxn__checkpoint_read(place->path, error, sizeof error);
    is_example(kept, "key of another");
    rxn__checkpoint_free(kept);
    assert_true(rxn__checkpoint_may_write(place->path, "key of another", error, sizeof error));
    assert_false(rxn__checkpoint_may_write(place->path, "key", error, sizeof error));

    fails_to_write(place->folder, "key", "is not a checkpoint");
    snprintf(path, sizeof path, "%s/none/fit", place->folder);
    fails_to_write(path, "key", "No such file");
    assert_false(rxn__checkpoint_may_write(path, "key", error, sizeof error));
    fails_to_read(path, "No such file");
    fails_to_read(place->folder, "is not a checkpoint");
    snprintf(path, sizeof path, "%s/fit/below", place->folder);
    fails_to_write(path, "key", "Not a directory");
    snprintf(path, sizeof path, "%s/pipe", place->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    fails_to_write(path, "key", "is not a checkpoint"); /* and does not wait for a writer */
    fails_to_read(path, "is not a checkpoint");
    assert_int_equal(entries(place->folder, false), 2);
}

static void
test_keeps_permissions_and_links(void **state)
{
    const Place *place = *state;
    char error[256], path[256];
    struct stat status;
    mode_t mask = umask(027);
    write_example(place->path, "key");
    umask(mask);
    assert_int_equal(stat(place->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    static const mode_t modes[] = {0600, 0664, 0644, 0400};
    for (int k = 0; k < 4; k++) {
        assert_int_equal(chmod(place->path, modes[k]), 0);
        write_example(place->path, "key");
        assert_int_equal(stat(place->path, &status), 0);
        assert_int_equal(status.st_mode & 0777, modes[k]);
    }
    unlink(place->path); /* what is empty has nothing to lose */
    put_bytes(place->path, "", 0);
    assert_true(rxn__checkpoint_may_write(place->path, "key", error, sizeof error));
    write_example(place->path, "key");

    snprintf(path, sizeof path, "%s/link", place->folder);
    assert_int_equal(symlink("fit", path), 0);
    unlink(place->path);
    put_bytes(place->path, "", 0);
    write_example(path, "key");
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(stat(place->path, &status), 0);
    assert_true(status.st_size > 0);
    assert_int_equal(entries(place->folder, false), 2);
}

/* Who has the old file open keeps it whole: it is replaced, not written into. */
static void
test_replaces_at_once(void **state)
{
    const Place *place = *state;
    write_example(place->path, "key");
    FILE *old = fopen(place->path, "rb");
    size_t size;
    char *before = bytes_of(place->path, &size), *after = malloc(size + 1);
    RxnCheckpoint *next = rxn__checkpoint_new("key");
    assert_true(rxn__checkpoint_text(next, "model", "another"));
    assert_true(rxn__checkpoint_write(next, place->path, NULL, 0));
    assert_int_equal(fread(after, 1, size + 1, old), size);
    assert_memory_equal(after, before, size);
    fclose(old);
    RxnCheckpoint *now = rxn__checkpoint_read(place->path, NULL, 0);
    assert_string_equal(rxn__checkpoint_get_text(now, "model"), "another");
    rxn__checkpoint_free(now);
    rxn__checkpoint_free(next);
    free(before);
    free(after);
}

/* A disk that is full, as far as a limit on the size of files can play it. */
static void
test_full_disk_loses_nothing(void **state)
{
    const Place *place = *state;
    write_example(place->path, "key");
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 100000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    RxnCheckpoint *large = rxn__checkpoint_new("key");
    assert_non_null(rxn__checkpoint_place_numbers(large, "many", 100000));
    char error[256] = "";
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    bool written = rxn__checkpoint_write(large, place->path, error, sizeof error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_false(written);
    assert_non_null(strstr(error, "too large"));
    assert_int_equal(entries(place->folder, false), 1);
    RxnCheckpoint *kept = rxn__checkpoint_read(place->path, error, sizeof error);
    assert_non_null(kept);
    is_example(kept, "key");
    rxn__checkpoint_free(kept);
    assert_true(rxn__checkpoint_write(large, place->path, error, sizeof error));
    rxn__checkpoint_free(large);
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(test_reads_back),
        TEST(test_damage_at_every_byte),
        TEST(test_lies_with_a_good_checksum),
        TEST(test_writes_over_nothing_else),
        TEST(test_keeps_permissions_and_links),
        TEST(test_replaces_at_once),
        TEST(test_full_disk_loses_nothing),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
