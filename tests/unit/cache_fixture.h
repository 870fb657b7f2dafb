/* cache_fixture.h: folders of the compile cache, for tests that look into them. */
#ifndef RXN_TESTS_CACHE_FIXTURE_H
#define RXN_TESTS_CACHE_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* A new directory, to be removed with all in it. */
static void
make_directory(char *path, size_t size)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, size, "%s/rxn-cache-XXXXXX", folder && folder[0] ? folder : "/tmp");
    assert_non_null(mkdtemp(path));
}

/* The one entry's file; fails if there is any other. */
static void
only_entry(const char *directory, char *path, size_t size)
{
    int count = 0;
    DIR *files = opendir(directory);
    assert_non_null(files);
    for (struct dirent *file; (file = readdir(files));)
        if (file->d_name[0] != '.') {
            snprintf(path, size, "%s/%s", directory, file->d_name);
            count++;
        }
    closedir(files);
    assert_int_equal(count, 1);
}

static void
remove_directory(const char *directory)
{
    DIR *files = opendir(directory);
    for (struct dirent *file; (file = readdir(files));)
        if (file->d_name[0] != '.') {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", directory, file->d_name);
            unlink(path);
        }
    closedir(files);
    rmdir(directory);
}

static void
flip_byte(const char *path, off_t at)
{
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    off_t size = lseek(file, 0, SEEK_END);
    if (at < 0)
        at += size;
    char byte;
    assert_int_equal(pread(file, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    close(file);
}

#endif
