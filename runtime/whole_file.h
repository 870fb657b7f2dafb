/* whole_file.h: a file that gets its name when it is whole: until then it is written beside, so that whatever fails leaves what was
 * there. For all that write results, the program and the library.
 */
#ifndef RXN_WHOLE_FILE_H
#define RXN_WHOLE_FILE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct RxnWholeFile {
    FILE *file;
    char *path; /* its name in the end: what a link leads to is replaced, and the link stays one */
    char
        *beside; /* its name until then; NULL: a device, a pipe or a descriptor, written as it is */
} RxnWholeFile;

/* Refuses a directory. False with the reason after an error. To be dropped whatever happens; nothing is written to an input of
 * somebody's, which is not known here. */
bool rxn__whole_file_open(RxnWholeFile *file, const char *path, const char **ret_reason);

/* Ends it and gives it its name. False with the reason after an error; nothing is left beside then. */
bool rxn__whole_file_commit(RxnWholeFile *file, const char **ret_reason);

/* Removes what was begun; harmless on one that is zero, or committed. */
void rxn__whole_file_drop(RxnWholeFile *file);

/* Whether both are one regular file, by what they are: `./x`, links and hard links are found too. (A terminal may be read and
 * written.) */
bool rxn__is_same_file(const char *path, const char *other);

#endif
