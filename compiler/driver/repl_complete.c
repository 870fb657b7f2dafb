/* repl_complete.c: what a half-typed word could be: a command, what that command takes, or a word or name of the model. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "compiler/driver/repl.h"

enum { MOST_MEMBERS = 1000 }; /* labels of a kind; more help nobody */

static const char *const keywords[] = {"at",       "const",   "every", "fit",   "fn",      "for",
                                       "index",    "input",   "let",   "model", "observe", "param",
                                       "simulate", "species", "use",   "when"};
static const char *const words[] = {"and", "bound", "else", "false", "if",   "in",   "not",
                                    "or",  "prod",  "sum",  "then",  "true", "until"};
static const char *const functions[] = {
    "abs(", "ceil(", "cos(", "exp(",     "expm1(", "floor(",    "hill(", "log(", "log1p(",
    "max(", "min(",  "pow(", "sigmoid(", "sin(",   "softplus(", "sqrt(", "tan(", "tanh("};
static const char *const readings[] = {"average(", "cov(", "integral(", "mean(",
                                       "passage(", "sd(",  "total(",    "var("};

static void
add(ReplCandidates *candidates, const char *prefix, size_t length, const char *word)
{
    if (strncmp(word, prefix, length) != 0)
        return;
    for (u32 k = 0; k < candidates->words.count; k++)
        if (strcmp(candidates->words.items[k], word) == 0)
            return;
    vec_push(candidates->arena, &candidates->words,
             rxn__arena_copy_text(candidates->arena, word, strlen(word)));
}

#define ADD_ALL(list)                                                                              \
    for (size_t k = 0; k < COUNT_OF(list); k++)                                                    \
    add(candidates, prefix, length, (list)[k])

static void
add_members(Repl *repl, ReplCandidates *candidates, RxnKind kind, const char *prefix, size_t length)
{
    if (!repl->model || rxn_model_count(repl->model, kind) > MOST_MEMBERS)
        return;
    for (size_t k = 0; k < rxn_model_count(repl->model, kind); k++) {
        const char *label = rxn_model_label(repl->model, kind, k);
        if (label)
            add(candidates, prefix, length, label);
    }
}

/* Names of the statements and, if need be, of what modules bring. */
static void
add_names(Repl *repl, ReplCandidates *candidates, const char *prefix, size_t length)
{
    for (u32 k = 0; k < repl->current->statements.count; k++) {
        const ReplStatement *statement = &repl->current->statements.items[k];
        for (u32 i = 0; i < statement->items.count; i++)
            add(candidates, prefix, length, statement->items.items[i].name);
    }
    add_members(repl, candidates, RXN_SPECIES, prefix, length);
    add_members(repl, candidates, RXN_PARAMETERS, prefix, length);
}

static void
add_files(ReplCandidates *candidates, const char *prefix, size_t length)
{
    Arena *arena = candidates->arena;
    const char *path = rxn__arena_copy_text(arena, prefix, length);
    const char *slash = strrchr(path, '/');
    const size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
    DIR *entries = opendir(folder ? rxn__arena_copy_text(arena, path, folder) : ".");
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        struct stat status;
        Text whole;
        if (entry->d_name[0] == '.' && path[folder] != '.')
            continue;
        rxn__text_init(&whole, arena);
        rxn__text_printf(&whole, "%.*s%s", (int)folder, path, entry->d_name);
        if (stat(whole.data, &status) == 0 && S_ISDIR(status.st_mode))
            rxn__text_append(&whole, "/", 1);
        add(candidates, prefix, length, whole.data);
    }
    if (entries)
        closedir(entries);
}

static void
add_commands(ReplCandidates *candidates, const char *prefix, size_t length, const char *before)
{
    u32 count;
    const ReplCommand *commands = rxn__repl_commands(&count);
    for (u32 k = 0; k < count; k++) {
        Text word;
        rxn__text_init(&word, candidates->arena);
        rxn__text_printf(&word, "%s%s", before, commands[k].name);
        add(candidates, prefix, length, word.data);
    }
}

static bool
is(const char *command, const char *name)
{
    return strncmp(name, command, strlen(command)) == 0 && *command;
}

static void
add_arguments(Repl *repl, ReplCandidates *candidates, const char *command, const char *prefix,
              size_t length)
{
    static const char *const forms[] = {"asm",   "cuda",    "kernel", "laws",    "llvm",
                                        "model", "network", "rates",  "summary", "values"};
    static const char *const of_run[] = {"at", "every", "method", "seed", "threads", "until"};
    static const char *const of_plot[] = {"to", "text", "window"};
    static const char *const of_grad[] = {"at", "by", "seed", "trajectories", "wrt"};
    static const char *const of_fit[] = {"steps", "trajectories"};
    if (is(command, "load") || is(command, "save") || strcmp(command, "save!") == 0) {
        add_files(candidates, prefix, length);
    } else if (is(command, "show")) {
        ADD_ALL(forms);
        add_names(repl, candidates, prefix, length);
    } else if (is(command, "help")) {
        add_commands(candidates, prefix, length, length && prefix[0] == ':' ? ":" : "");
        ADD_ALL(keywords);
    } else if (is(command, "run")) {
        ADD_ALL(of_run);
    } else if (is(command, "plot")) {
        add_members(repl, candidates, RXN_OBSERVABLES, prefix, length);
        ADD_ALL(of_plot);
    } else if (is(command, "set")) {
        add_members(repl, candidates, RXN_PARAMETERS, prefix, length);
        add_members(repl, candidates, RXN_INPUTS, prefix, length);
    } else if (is(command, "grad")) {
        ADD_ALL(of_grad);
        ADD_ALL(readings);
        add_names(repl, candidates, prefix, length);
    } else if (is(command, "fit")) {
        ADD_ALL(of_fit);
    } else if (is(command, "drop")) {
        for (u32 k = 0; k < repl->current->statements.count; k++)
            for (u32 i = 0; i < repl->current->statements.items[k].items.count; i++)
                add(candidates, prefix, length,
                    repl->current->statements.items[k].items.items[i].name);
    }
}

static int
compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool
is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '\'' || (u8)c >= 0x80;
}

void
rxn__complete(Repl *repl, const char *line, size_t length, ReplCandidates *ret_candidates,
              u32 *ret_typed)
{
    ReplCandidates *candidates = ret_candidates;
    *candidates = (ReplCandidates){.arena = &repl->scratch};
    const char *text = rxn__arena_copy_text(&repl->scratch, line, length);
    const char *start = text + strspn(text, " \t"), *prefix = text + length;
    if (*start == ':' && !strpbrk(start, " \t")) {
        *ret_typed = (u32)strlen(start);
        add_commands(candidates, start, *ret_typed, ":");
    } else {
        const bool path = strncmp(start, ":l", 2) == 0 || strncmp(start, ":sa", 3) == 0;
        while (prefix > start && (path ? prefix[-1] != ' ' : is_word_byte(prefix[-1])))
            prefix--;
        length = strlen(prefix);
        *ret_typed = (u32)length;
        if (*start == ':') {
            const char *command =
                rxn__arena_copy_text(&repl->scratch, start + 1, strcspn(start + 1, " \t"));
            add_arguments(repl, candidates, command, prefix, length);
        } else {
            if (prefix == start)
                ADD_ALL(keywords);
            ADD_ALL(words);
            ADD_ALL(functions);
            add_names(repl, candidates, prefix, length);
        }
    }
    if (candidates->words.count == 0)
        return;
    qsort(candidates->words.items, candidates->words.count, sizeof(char *), compare_words);
    const char *first = candidates->words.items[0],
               *last = candidates->words.items[candidates->words.count - 1];
    while (first[candidates->shared] && first[candidates->shared] == last[candidates->shared])
        candidates->shared++;
}

bool
rxn__complete_guarded(Repl *repl, const char *line, size_t length, ReplCandidates *ret_candidates,
                      u32 *ret_typed)
{
    jmp_buf *outer = repl->memory.on_failure;
    jmp_buf failed;
    repl->memory.on_failure = &failed;
    const bool good = setjmp(failed) == 0;
    if (good)
        rxn__complete(repl, line, length, ret_candidates, ret_typed);
    repl->memory.on_failure = outer;
    return good;
}
