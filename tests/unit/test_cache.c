/* test_cache.c: the compile cache on disk: what is stored is found, nothing else is, and a folder keeps to its size. */
#include "runtime/cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cache_fixture.h"

static void
test_cache(void **state)
{
    (void)state;
    char parent[200], directory[256], path[600];
    make_directory(parent, sizeof parent);
    snprintf(directory, sizeof directory, "%s/cache", parent);
    void *content;
    size_t size;
    assert_false(rxn__cache_find(directory, "key", 3, &content, &size));
    rxn__cache_store(directory, "key", 3, "first content", 13);
    struct stat status;
    assert_int_equal(stat(directory, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    only_entry(directory, path, sizeof path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_true(rxn__cache_find(directory, "key", 3, &content, &size));
    assert_int_equal(size, 13);
    assert_string_equal(content, "first content"); /* the zero byte is behind it */
    free(content);
    assert_false(rxn__cache_find(directory, "kez", 3, &content, &size));
    assert_false(rxn__cache_find(directory, "key ", 4, &content, &size));
    /* Each byte that is not as it was makes the entry none; what is stored then replaces it. */
    off_t bytes = status.st_size;
    for (off_t at = 0; at < bytes; at++) {
        flip_byte(path, at);
        assert_false(rxn__cache_find(directory, "key", 3, &content, &size));
        flip_byte(path, at);
    }
    assert_true(rxn__cache_find(directory, "key", 3, &content, &size));
    free(content);
    for (off_t length = 0; length < bytes; length++) {
        assert_int_equal(truncate(path, length), 0);
        assert_false(rxn__cache_find(directory, "key", 3, &content, &size));
    }
    rxn__cache_store(directory, "key", 3, "second", 6);
    only_entry(directory, path, sizeof path);
    assert_true(rxn__cache_find(directory, "key", 3, &content, &size));
    assert_string_equal(content, "second");
    free(content);
    /* Under the name of another key, an entry is that key's no more than it was. */
    remove_directory(directory);
    rxn__cache_store(directory, "kez", 3, "third", 5);
    char moved[600];
    only_entry(directory, moved, sizeof moved);
    assert_int_equal(rename(moved, path), 0);
    assert_false(rxn__cache_find(directory, "key", 3, &content, &size));
    rxn__cache_store(directory, "empty", 5, "", 0);
    assert_true(rxn__cache_find(directory, "empty", 5, &content, &size));
    assert_int_equal(size, 0);
    free(content);
    remove_directory(directory);
    /* Nowhere to write is no error. */
    rxn__cache_store("/proc/nowhere", "key", 3, "content", 7);
    assert_false(rxn__cache_find("/proc/nowhere", "key", 3, &content, &size));
    remove_directory(parent);
}

/* A file of the size (with nothing in it), used so many hours ago. */
static void
put_file(const char *directory, const char *name, off_t size, int hours)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, size), 0);
    struct timespec used[2] = {{.tv_sec = time(NULL) - hours * 3600}};
    used[1] = used[0];
    assert_int_equal(futimens(file, used), 0);
    close(file);
}

static bool
is_there(const char *directory, const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

static void
test_cache_is_trimmed(void **state)
{
    (void)state;
    static const char *const names[] = {
        "00000000000000000000000000000001.code",
        "00000000000000000000000000000002.code",
        "00000000000000000000000000000003.code",
        "00000000000000000000000000000004.code",
        "00000000000000000000000000000001.77.new", /* left by one that was killed */
        "00000000000000000000000000000002.78.new", /* being written */
        "0000000000000000000000000000000g.code",
        "00000000000000000000000000000001.code.old",
        "000000000000000000000000000000001.code",
        "00000000000000000000000000000001..new",
        "notes",
    };
    static const int hours[] = {40, 10, 30, 20, 25, 1, 99, 99, 99, 99, 99};
    enum { FILES = sizeof names / sizeof *names, OWN = 6 };
    char directory[200];
    make_directory(directory, sizeof directory);
    for (int k = 0; k < FILES; k++)
        put_file(directory, names[k], 1000, hours[k]);
    rxn__cache_trim(directory, 4000);
    static const bool kept[2][OWN] = {{1, 1, 1, 1, 0, 1}, {0, 1, 0, 1, 0, 1}};
    for (int k = 0; k < FILES; k++)
        assert_int_equal(is_there(directory, names[k]), k < OWN ? kept[0][k] : 1);
    rxn__cache_trim(directory, 2999);
    for (int k = 0; k < FILES; k++)
        assert_int_equal(is_there(directory, names[k]), k < OWN ? kept[1][k] : 1);
    rxn__cache_trim(directory, 0);
    assert_true(is_there(directory, names[1]) && !is_there(directory, names[3]));

    /* An entry that is found has been used; one that is stored makes room. */
    void *content;
    size_t size;
    const off_t half = CACHE_MOST_BYTES / 2;
    remove_directory(directory);
    assert_int_equal(mkdir(directory, 0700), 0);
    rxn__cache_store(directory, "key", 3, "content", 7);
    char path[600];
    only_entry(directory, path, sizeof path);
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    put_file(directory, names[0], half, 3);
    put_file(directory, names[1], half, 2);
    assert_true(rxn__cache_find(directory, "key", 3, &content, &size));
    free(content);
    rxn__cache_store(directory, "other", 5, "content", 7);
    assert_false(is_there(directory, names[0]));
    assert_true(is_there(directory, names[1]));
    assert_true(rxn__cache_find(directory, "key", 3, &content, &size));
    free(content);
    remove_directory(directory);
    rxn__cache_trim(directory, 0); /* nowhere: no error */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_cache_is_trimmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
