/* repl_files.c: `:load`, `:save`, `:reset`: the model from and to files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/driver/command.h"
#include "compiler/driver/repl.h"

static const char *
shown(Repl *repl, const char *path)
{
    return rxn__shown(&repl->scratch, path, strlen(path));
}

static bool
has_ending(const char *path, const char *ending)
{
    const size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcmp(path + length - tail, ending) == 0;
}

/* ---- :load ------------------------------------------------------------------------------------------ */

/* The whole of a file, in the scratch arena; NULL, with errno, where it cannot be read. */
static const char *
read_whole(Repl *repl, FILE *file)
{
    Text text;
    char part[1 << 14];
    size_t length;
    rxn__text_init(&text, &repl->scratch);
    while ((length = fread(part, 1, sizeof part, file)) > 0) {
        for (size_t k = 0; k < length; k++)
            if (part[k] == '\0')
                part[k] = '\1'; /* which the reader of models finds wrong */
        rxn__text_append(&text, part, length);
        if (text.length > RXN_MAX_SOURCE_BYTES) {
            errno = EFBIG;
            return NULL;
        }
    }
    return ferror(file) ? NULL : text.data;
}

static bool
fail(Repl *repl, RxnError *error)
{
    repl->loading = true;
    rxn__repl_show_error(repl, NULL, error);
    repl->loading = false;
    return false;
}

/* The text of what is no file of statements: a model that comes with rxn, or a network of BioNetGen's. */
static const char *
text_of_model(Repl *repl, const char *path)
{
    RxnError *error = NULL;
    if (rxn_model_open(path, NULL, &repl->pending_model, &error) != RXN_OK ||
        rxn_model_text(repl->pending_model, RXN_FORM_SOURCE, NULL, &repl->pending_text, &error) !=
            RXN_OK) {
        fail(repl, error);
        return NULL;
    }
    const char *text =
        rxn__arena_copy_text(&repl->scratch, repl->pending_text, strlen(repl->pending_text));
    rxn_text_free(repl->pending_text);
    rxn_model_free(repl->pending_model);
    repl->pending_text = NULL;
    repl->pending_model = NULL;
    return text;
}

static void
add_known(Repl *repl, const char *path)
{
    char *real = realpath(path, NULL);
    if (!real)
        return;
    vec_push(&repl->kept, &repl->known_files,
             rxn__arena_copy_text(&repl->kept, real, strlen(real)));
    free(real);
}

bool
rxn__repl_load_file(Repl *repl, const char *path)
{
    RxnError *error = NULL;
    const char *text, *name = NULL;
    FILE *file = has_ending(path, ".net") ? NULL : fopen(path, "r");
    const double start = rxn__seconds();
    if (file) {
        text = read_whole(repl, file);
        const int reason = errno;
        fclose(file);
        if (!text) {
            rxn__repl_error(repl, "'%s' cannot be read: %s", shown(repl, path), strerror(reason));
            return false;
        }
        name = path;
    } else {
        text = text_of_model(repl, path);
        if (!text)
            return false;
    }
    if (!rxn__list_read(repl, repl->candidate, text, name, &error))
        return fail(repl, error);
    const char *old_base = repl->base;
    repl->base = name ? rxn__arena_copy_text(&repl->kept, name, strlen(name)) : NULL;
    repl->loading = true;
    const bool good = rxn__repl_check(repl);
    repl->loading = false;
    if (!good) {
        repl->base = old_base;
        return false;
    }
    repl->times.parse = rxn__seconds() - start;
    repl->times.parsed = true;
    repl->sets.count = 0;
    rxn__repl_accept(repl, false);
    repl->path = repl->base;
    repl->known_files.count = 0; /* they hold other models */
    if (name)
        add_known(repl, name);
    printf("loaded %s: %u %s\n", shown(repl, path), repl->current->statements.count,
           repl->current->statements.count == 1 ? "statement" : "statements");
    return true;
}

bool
rxn__repl_load(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    (void)rest;
    if (count != 1) {
        rxn__repl_error(repl, "':load' takes one file");
        if (count > 1)
            rxn__repl_note(repl, "a name with blanks stands in double quotes");
        return false;
    }
    return rxn__repl_load_file(repl, words[0]);
}

/* ---- :save ------------------------------------------------------------------------------------------ */

static bool
is_known(Repl *repl, const char *path)
{
    char *real = realpath(path, NULL);
    bool known = false;
    for (u32 k = 0; real && k < repl->known_files.count; k++)
        known |= strcmp(repl->known_files.items[k], real) == 0;
    free(real);
    return known;
}

/* The folder of a path, with its slash. */
static size_t
folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash + 1 - path) : 0;
}

/* Paths behind `use` are relative to the file in which they stand. */
static void
warn_of_uses(Repl *repl, const char *path)
{
    const char *base = repl->base ? repl->base : "";
    const size_t length = folder_length(path);
    if (length == folder_length(base) && strncmp(path, base, length) == 0)
        return;
    for (u32 k = 0; k < repl->current->statements.count; k++)
        if (strcmp(repl->current->statements.items[k].keyword, "use") == 0) {
            fflush(stdout);
            rxn__repl_note(repl,
                           "what it uses is looked for beside it, in another folder than before");
            return;
        }
}

static bool
save(Repl *repl, u32 count, const char *const *words, bool over)
{
    if (count > 1) {
        rxn__repl_error(repl, "':save' takes one file");
        rxn__repl_note(repl, "a name with blanks stands in double quotes");
        return false;
    }
    const char *path = count == 1 ? words[0] : repl->path;
    if (!path) {
        rxn__repl_error(repl, "':save' needs a file: nothing was loaded or saved before");
        return false;
    }
    if (!over && access(path, F_OK) == 0 && !is_known(repl, path)) {
        rxn__repl_error(repl, "there is a file '%s' already", shown(repl, path));
        const char *quote = strchr(path, ' ') ? "\"" : "";
        rxn__repl_note(repl, "':save! %s%s%s' overwrites it", quote, shown(repl, path), quote);
        return false;
    }
    const Text *text = &repl->current->text;
    const char *reason = rxn__replace_text(path, text->data, text->length);
    if (reason) {
        rxn__repl_error(repl, "'%s' cannot be written: %s", shown(repl, path), reason);
        return false;
    }
    repl->path = rxn__arena_copy_text(&repl->kept, path, strlen(path));
    add_known(repl, path);
    printf("saved %s: %u %s\n", shown(repl, path), repl->current->statements.count,
           repl->current->statements.count == 1 ? "statement" : "statements");
    warn_of_uses(repl, path);
    return true;
}

bool
rxn__repl_save(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    (void)rest;
    return save(repl, count, words, false);
}

bool
rxn__repl_save_over(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    (void)rest;
    return save(repl, count, words, true);
}

/* ---- :reset ----------------------------------------------------------------------------------------- */

bool
rxn__repl_reset(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    (void)rest;
    if (count == 1 && strcmp(words[0], "values") == 0) {
        repl->sets.count = 0;
        rxn_values_free(repl->values);
        repl->values = NULL;
        repl->run_is_current = false;
        puts("all values are the model's own");
        return true;
    }
    if (count > 0) {
        rxn__repl_error(repl, "':reset' takes 'values', or nothing");
        return false;
    }
    const u32 gone = repl->current->statements.count;
    rxn__list_clear(repl->candidate);
    rxn__list_compose(repl->candidate);
    repl->sets.count = 0;
    rxn__repl_accept(repl, false);
    repl->path = repl->base = NULL;
    repl->known_files.count = 0;
    printf("forgot %u %s\n", gone, gone == 1 ? "statement" : "statements");
    return true;
}
