/* cmd_repl.c: `rxn repl`, and `rxn` alone: a model that is typed, line by line, and what to do with it.
 *
 * Each input is done under a guard: running out of memory ends it and nothing else, and what it held is freed.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/command.h"
#include "compiler/driver/repl.h"

typedef struct ReplOptions {
    const char *device;
    TextList models;
} ReplOptions;

static const Option options[] = {
    {"--device", "NAME", OPTION_TEXT, offsetof(ReplOptions, device),
     "where kernels run: cpu (the default), cuda, cuda:K, auto, interpreter"},
};

const OptionTable rxn__usage_repl = {
    .command = "rxn repl",
    .synopsis = "rxn repl [MODEL] [OPTION…]",
    .summary =
        "Reads statements of a model as they stand in a file, and commands, from the terminal or\n"
        "from a script on standard input; tells at once what each changes. 'rxn' alone does it\n"
        "too. ':help' lists the commands; docs/repl.md shows a conversation.",
    .remarks =
        "With a script there is no prompt, and the exit status is 1 if a statement or a command\n"
        "failed. Lines are remembered in $XDG_STATE_HOME/rxn/history, or\n"
        "~/.local/state/rxn/history.",
    .options = options,
    .option_count = COUNT_OF(options),
    .operand = "MODEL",
    .takes_many = true,
    .operands_offset = offsetof(ReplOptions, models),
};

static const char first_prompt[] = "rxn> ", next_prompt[] = "...> ";

/* ---- One input -------------------------------------------------------------------------------------- */

static const char *
skip_blanks(const char *text)
{
    return text + strspn(text, " \t\r\f\v");
}

static bool
is_command(const char *line)
{
    return *skip_blanks(line) == ':';
}

static void
begin_work(Repl *repl)
{
    repl->interrupted = rxn__interrupt_listen();
    repl->error_shown = false;
    repl->typed = repl->expression = NULL;
}

static void
end_work(Repl *repl)
{
    const ReplTimes *took = &repl->times;
    if (repl->show_times && !repl->leaving &&
        (took->parsed || took->compiled || took->kept || took->ran))
        rxn__repl_show_times(repl);
    fflush(stdout);
}

static bool
do_statements(Repl *repl, const char *typed, bool *ret_incomplete)
{
    begin_work(repl);
    const ReplTimes before = repl->times;
    repl->times = (ReplTimes){0};
    const bool good = rxn__repl_statements(repl, typed, ret_incomplete);
    if (*ret_incomplete)
        repl->times = before;
    else
        end_work(repl);
    return good;
}

static void
do_command(Repl *repl, const char *line)
{
    begin_work(repl);
    repl->line = rxn__input_number(repl->input);
    if (!rxn__repl_command(repl, line))
        repl->failed = true;
    end_work(repl);
}

/* Reads a line, and more where it is the beginning of a statement, and does what it says. */
static void
do_input(Repl *repl)
{
    const char *line;
    Text typed;
    bool incomplete = true;
    rxn__text_init(&typed, &repl->scratch);
    for (;;) {
        const ReplLine read =
            rxn__input_line(repl->input, typed.length ? next_prompt : first_prompt, &line);
        if (read == LINE_CANCELLED)
            return;
        if (read == LINE_END) {
            repl->leaving = true;
            break;
        }
        if (typed.length == 0)
            repl->line = rxn__input_number(repl->input);
        const char *content = skip_blanks(line);
        if (is_command(line)) {
            if (typed.length > 0)
                rxn__repl_incomplete(repl, typed.data);
            do_command(repl, line);
            return;
        }
        if (typed.length == 0 && (*content == '\0' || *content == '#'))
            return;
        if (*content == '\0' && repl->terminal) {
            puts("(given up)");
            return;
        }
        const size_t before = typed.length;
        if (before > 0)
            rxn__text_append(&typed, "\n", 1);
        rxn__text_append(&typed, line, strlen(line));
        if (before > 0 && *content && rxn__repl_breaks_off(repl, typed.data, before)) {
            /* The line may well be right by itself. */
            typed.data[before] = '\0';
            rxn__repl_incomplete(repl, typed.data);
            rxn__text_init(&typed, &repl->scratch);
            rxn__text_append(&typed, line, strlen(line));
            repl->line = rxn__input_number(repl->input);
        }
        if (rxn__input_goes_on(repl->input))
            continue;
        if (!do_statements(repl, typed.data, &incomplete))
            repl->failed = true;
        if (!incomplete)
            return;
    }
    if (typed.length > 0)
        rxn__repl_incomplete(repl, typed.data);
}

/* What a command that could not be finished has left behind. */
static void
drop_pending(Repl *repl)
{
    rxn_model_free(repl->pending_model);
    rxn_values_free(repl->pending_values);
    rxn_error_free(repl->pending_error);
    rxn_statements_free(repl->pending_statements);
    rxn_text_free(repl->pending_text);
    repl->pending_model = NULL;
    repl->pending_values = NULL;
    repl->pending_error = NULL;
    repl->pending_statements = NULL;
    repl->pending_text = NULL;
    repl->typed = NULL;
    rxn__arena_release(&repl->next_run_arena);
    rxn__arena_release(&repl->scratch);
}

static void
guarded(Repl *repl, void (*work)(Repl *repl))
{
    repl->memory.on_failure = &repl->out_of_memory;
    if (setjmp(repl->out_of_memory) == 0) {
        work(repl);
    } else {
        fflush(stdout);
        fputs("error: out of memory: it was not done\n", stderr);
        repl->failed = true;
    }
    drop_pending(repl);
}

/* ---- The session -------------------------------------------------------------------------------------- */

static void
open_session(Repl *repl)
{
    for (u32 k = 0; k < COUNT_OF(repl->lists); k++)
        rxn__list_clear(&repl->lists[k]);
    rxn__list_compose(repl->current);
    repl->input = rxn__input_open(repl);
    if (!repl->input) {
        fputs("error: out of memory\n", stderr);
        repl->leaving = repl->failed = true;
        return;
    }
    if (repl->terminal)
        printf("rxn %s: type statements of a model; ':help' lists commands, ':quit' leaves\n",
               rxn_version());
}

static void
load_first(Repl *repl)
{
    begin_work(repl);
    if (!rxn__repl_load_file(repl, repl->path)) {
        repl->path = NULL;
        repl->failed = true;
        repl->leaving = !repl->terminal;
    }
    end_work(repl);
}

static void
close_session(Repl *repl)
{
    rxn__interrupt_end();
    if (repl->has_run)
        rxn_run_release(&repl->run);
    rxn__repl_release(repl);
    rxn__input_close(repl->input);
    free(repl->unseen_warnings);
    for (u32 k = 0; k < COUNT_OF(repl->lists); k++)
        rxn__arena_release(&repl->lists[k].arena);
    rxn__arena_release(&repl->run_arena);
    rxn__arena_release(&repl->kept);
}

static void
talk(Repl *repl, const char *model)
{
    Arena *const arenas[] = {&repl->scratch,        &repl->kept,           &repl->run_arena,
                             &repl->next_run_arena, &repl->lists[0].arena, &repl->lists[1].arena,
                             &repl->lists[2].arena};
    for (size_t k = 0; k < COUNT_OF(arenas); k++)
        rxn__arena_init(arenas[k], &repl->memory);
    repl->current = repl->compiled_list = &repl->lists[0];
    repl->candidate = &repl->lists[1];
    repl->values_seed = 1;
    repl->terminal = isatty(STDIN_FILENO);
    repl->interrupted = rxn__interrupt_listen();
    guarded(repl, open_session);
    if (model && !repl->leaving) {
        repl->path = model;
        guarded(repl, load_first);
    }
    while (!repl->leaving && !ferror(stdout))
        guarded(repl, do_input);
    close_session(repl);
}

RxnStatus
rxn__cmd_repl(Driver *driver, int argc, char **argv)
{
    ReplOptions wanted = {.device = rxn_simulator_options().device};
    const char *operand;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_repl, argc, argv, &wanted, &operand, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_repl, stdout);
        return RXN_OK;
    }
    if (wanted.models.count > 1) {
        rxn__driver_error(driver, "'rxn repl' takes one MODEL");
        return RXN_ERROR_USAGE;
    }
    Repl *repl = calloc(1, sizeof *repl);
    if (!repl)
        return RXN_ERROR_MEMORY;
    repl->device = wanted.device;
    repl->cache = rxn__driver_cache(NULL);
    talk(repl, wanted.models.count ? wanted.models.items[0] : NULL);
    /* Someone who types has seen what went wrong. */
    const RxnStatus status = repl->failed && !repl->terminal ? RXN_ERROR_INPUT : RXN_OK;
    free(repl);
    return status;
}
