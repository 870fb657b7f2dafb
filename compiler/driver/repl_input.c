/* repl_input.c: lines from a person or a script.
 *
 * On a terminal libedit reads them: keys, history, completion. Without it, and from a pipe, they are read as they come; a pipe
 * gets no prompt. The history is a plain file, a line a line, to which each session appends: several may run at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#if RXN_HAVE_LIBEDIT
#include <histedit.h>
#endif

#include "compiler/driver/command.h"
#include "compiler/driver/repl.h"

enum { MOST_HISTORY = 1000, USUAL_WIDTH = 80 };

struct ReplInput {
    Repl *repl;
    char *line, *ahead; /* getline's; ahead: the next one, if has_ahead */
    size_t room, ahead_room;
    bool has_ahead;
    u32 number;     /* of the last line that was read */
    char *history;  /* its file, or NULL: none */
    bool cancelled; /* by Ctrl-C, in this line */
#if RXN_HAVE_LIBEDIT
    EditLine *edit; /* NULL: lines are read as they come */
    History *lines;
    const char *prompt;
#endif
};

u32
rxn__input_width(void)
{
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return USUAL_WIDTH;
}

u32
rxn__input_number(const ReplInput *input)
{
    return input->number;
}

/* ---- History ------------------------------------------------------------------------------------ */

#if RXN_HAVE_LIBEDIT
/* mkdir -p of the folders of a path. */
static void
make_folders(char *path)
{
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
}

/* $XDG_STATE_HOME/rxn/history, as the XDG Base Directory Specification has it. */
static char *
history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int length = -1;
    if (state && state[0] == '/')
        length = asprintf(&path, "%s/rxn/history", state);
    else if (home && home[0] == '/')
        length = asprintf(&path, "%s/.local/state/rxn/history", home);
    if (length < 0)
        return NULL;
    make_folders(path);
    return path;
}

/* A file that has grown to twice the size is cut. */
static void
cut_history(const ReplInput *input, const char *text, size_t length, u32 count)
{
    if (count <= 2 * MOST_HISTORY)
        return;
    for (; count > MOST_HISTORY; count--) {
        const char *end = memchr(text, '\n', length);
        length -= (size_t)(end + 1 - text);
        text = end + 1;
    }
    (void)rxn__replace_text(input->history, text, length); /* if not, then next time */
}

static void
load_history(ReplInput *input)
{
    HistEvent event;
    FILE *file = fopen(input->history, "r");
    char *text = NULL, *line = NULL;
    size_t size = 0, room = 0;
    u32 count = 0;
    FILE *all = open_memstream(&text, &size);
    while (file && all && getline(&line, &room, file) > 0) {
        fputs(line, all);
        line[strcspn(line, "\n")] = '\0';
        if (*line)
            history(input->lines, &event, H_ENTER, line);
        count++;
    }
    if (all && fclose(all) == 0)
        cut_history(input, text, size, count);
    if (file)
        fclose(file);
    free(line);
    free(text);
}

static void
remember(ReplInput *input, const char *line)
{
    HistEvent event;
    if (line[strspn(line, " \t")] == '\0')
        return;
    history(input->lines, &event, H_ENTER, line);
    if (!input->history)
        return;
    const int file = open(input->history, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    char *whole;
    if (file >= 0 && asprintf(&whole, "%s\n", line) >= 0) {
        /* What cannot be written is no reason to bother who types. */
        const ssize_t written = write(file, whole, strlen(whole));
        (void)written;
        free(whole);
    }
    if (file >= 0)
        close(file);
}

/* ---- Editing ------------------------------------------------------------------------------------ */

static char *
prompt_of(EditLine *edit)
{
    ReplInput *input;
    el_get(edit, EL_CLIENTDATA, &input);
    return (char *)input->prompt;
}

static unsigned char
on_cancel(EditLine *edit, int key)
{
    ReplInput *input;
    (void)key;
    el_get(edit, EL_CLIENTDATA, &input);
    input->cancelled = true;
    return CC_EOF;
}

static void
show_candidates(const ReplCandidates *candidates)
{
    size_t widest = 0;
    for (u32 k = 0; k < candidates->words.count; k++) {
        const size_t length = strlen(candidates->words.items[k]);
        widest = length > widest ? length : widest;
    }
    const size_t width = rxn__input_width();
    const size_t columns = widest + 2 < width ? width / (widest + 2) : 1;
    const size_t rows = (candidates->words.count + columns - 1) / columns;
    putchar('\n');
    for (size_t row = 0; row < rows; row++) {
        for (size_t k = row; k < candidates->words.count; k += rows)
            if (k + rows < candidates->words.count)
                printf("%-*s", (int)widest + 2, candidates->words.items[k]);
            else
                fputs(candidates->words.items[k], stdout);
        putchar('\n');
    }
    fflush(stdout);
}

static unsigned char
on_complete(EditLine *edit, int key)
{
    ReplInput *input;
    ReplCandidates candidates;
    u32 typed;
    (void)key;
    el_get(edit, EL_CLIENTDATA, &input);
    const LineInfo *line = el_line(edit);
    if (!rxn__complete_guarded(input->repl, line->buffer, (size_t)(line->cursor - line->buffer),
                               &candidates, &typed) ||
        candidates.words.count == 0)
        return CC_REFRESH_BEEP;
    const char *word = candidates.words.items[0];
    if (candidates.shared > typed || candidates.words.count == 1) {
        char *rest = strndup(word + typed, candidates.shared - typed);
        const size_t length = rest ? strlen(word) : 0;
        if (rest && *rest)
            el_insertstr(edit, rest);
        /* A folder is not the end of a path, nor a '(' that of a call. */
        if (candidates.words.count == 1 && length > 0 && word[length - 1] != '/' &&
            word[length - 1] != '(')
            el_insertstr(edit, " ");
        free(rest);
        return CC_REFRESH;
    }
    show_candidates(&candidates);
    return CC_REDISPLAY;
}

static void
open_editor(ReplInput *input)
{
    const char *terminal = getenv("TERM");
    HistEvent event;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !terminal || !*terminal ||
        strcmp(terminal, "dumb") == 0)
        return;
    /* libedit goes by the locale in what a character is; a plain "C" would take words apart. */
    const char *locale = setlocale(LC_CTYPE, "");
    if (!locale || strcmp(locale, "C") == 0 || strcmp(locale, "POSIX") == 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    input->edit = el_init("rxn", stdin, stdout, stderr);
    input->lines = input->edit ? history_init() : NULL;
    if (!input->lines)
        return;
    history(input->lines, &event, H_SETSIZE, MOST_HISTORY);
    history(input->lines, &event, H_SETUNIQUE, 1);
    el_set(input->edit, EL_CLIENTDATA, input);
    el_set(input->edit, EL_PROMPT, prompt_of);
    el_set(input->edit, EL_EDITOR, "emacs");
    el_set(input->edit, EL_SIGNAL, 1);
    el_set(input->edit, EL_HIST, history, input->lines);
    el_set(input->edit, EL_ADDFN, "rxn-complete", "Complete a word", on_complete);
    el_set(input->edit, EL_ADDFN, "rxn-cancel", "Give up a line", on_cancel);
    el_set(input->edit, EL_BIND, "^I", "rxn-complete", NULL);
    el_set(input->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(input->edit, NULL); /* ~/.editrc */
    /* While a line is edited Ctrl-C is a key; while a command runs it is the signal. */
    el_set(input->edit, EL_SETTY, "-d", "-isig", NULL);
    el_set(input->edit, EL_BIND, "^C", "rxn-cancel", NULL);
    input->history = history_path();
    if (input->history)
        load_history(input);
}

static ReplLine
edited_line(ReplInput *input, const char *prompt, const char **ret_line)
{
    int count = 0;
    input->prompt = prompt;
    input->cancelled = false;
    const char *line = el_gets(input->edit, &count);
    if (input->cancelled) {
        puts("^C");
        return LINE_CANCELLED;
    }
    if (!line || count <= 0) {
        putchar('\n');
        return LINE_END;
    }
    free(input->line);
    input->line = strndup(line, strcspn(line, "\r\n"));
    if (!input->line)
        return LINE_CANCELLED;
    remember(input, input->line);
    *ret_line = input->line;
    return LINE_READ;
}
#endif

/* ---- Lines as they come ------------------------------------------------------------------------- */

static bool
read_line(char **line, size_t *room)
{
    const ssize_t length = getline(line, room, stdin);
    if (length < 0)
        return false;
    size_t end = (size_t)length;
    /* (A NUL becomes a character that the reader of models finds wrong, instead of hiding what follows.) */
    for (size_t k = 0; k < end; k++)
        if ((*line)[k] == '\0')
            (*line)[k] = '\1';
    while (end > 0 && ((*line)[end - 1] == '\n' || (*line)[end - 1] == '\r'))
        (*line)[--end] = '\0';
    return true;
}

static ReplLine
plain_line(ReplInput *input, const char *prompt, const char **ret_line)
{
    if (input->has_ahead) {
        char *line = input->line;
        const size_t room = input->room;
        input->line = input->ahead;
        input->room = input->ahead_room;
        input->ahead = line;
        input->ahead_room = room;
        input->has_ahead = false;
    } else {
        if (input->repl->terminal) {
            fputs(prompt, stdout);
            fflush(stdout);
        }
        errno = 0;
        if (!read_line(&input->line, &input->room)) {
            if (errno == EINTR && input->repl->terminal) {
                clearerr(stdin);
                putchar('\n');
                return LINE_CANCELLED;
            }
            if (input->repl->terminal)
                putchar('\n');
            return LINE_END;
        }
    }
    *ret_line = input->line;
    return LINE_READ;
}

bool
rxn__input_goes_on(ReplInput *input)
{
    static const char *const words[] = {"and ", "or ", "then ", "else "};
    if (input->repl->terminal)
        return false;
    if (!input->has_ahead)
        input->has_ahead = read_line(&input->ahead, &input->ahead_room);
    if (!input->has_ahead)
        return false;
    const char *text = input->ahead + strspn(input->ahead, " \t");
    for (size_t k = 0; k < COUNT_OF(words); k++)
        if (strncmp(text, words[k], strlen(words[k])) == 0)
            return true;
    return *text && strchr("+-*/^<>=!@", *text);
}

/* ---- Entries ------------------------------------------------------------------------------------ */

ReplInput *
rxn__input_open(Repl *repl)
{
    ReplInput *input = calloc(1, sizeof *input);
    if (!input)
        return NULL;
    input->repl = repl;
#if RXN_HAVE_LIBEDIT
    open_editor(input);
#endif
    return input;
}

void
rxn__input_close(ReplInput *input)
{
    if (!input)
        return;
#if RXN_HAVE_LIBEDIT
    if (input->edit)
        el_end(input->edit);
    if (input->lines)
        history_end(input->lines);
#endif
    free(input->history);
    free(input->line);
    free(input->ahead);
    free(input);
}

ReplLine
rxn__input_line(ReplInput *input, const char *prompt, const char **ret_line)
{
    input->number++;
#if RXN_HAVE_LIBEDIT
    if (input->edit && input->lines)
        return edited_line(input, prompt, ret_line);
#endif
    return plain_line(input, prompt, ret_line);
}
