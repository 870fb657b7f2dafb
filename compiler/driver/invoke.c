/* invoke.c: the way of an invocation: finds the subcommand, and turns its status into messages and an exit status (0 done;
 * 1 the model, the data or the run; 2 the command line; 3 a bug of ours). rxn and the programs that it builds share it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/driver.h"

static const Span nowhere = {0, 0};

void
rxn__driver_error(Driver *driver, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    rxn__error(&driver->messages, nowhere, "%s", rxn__text_vformat(&driver->arena, format, args));
    va_end(args);
}

void
rxn__driver_warning(Driver *driver, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    rxn__warning(&driver->messages, nowhere, "%s", rxn__text_vformat(&driver->arena, format, args));
    va_end(args);
}

void
rxn__driver_note(Driver *driver, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    rxn__note(&driver->messages, nowhere, "%s", rxn__text_vformat(&driver->arena, format, args));
    va_end(args);
}

void
rxn__driver_flush(Driver *driver)
{
    Text text;
    rxn__text_init(&text, &driver->arena);
    rxn__diagnostics_render(&driver->messages, &text);
    fflush(stdout);
    fputs(text.data, stderr);
    driver->messages.list.count = 0;
    driver->messages.dropped = driver->messages.dropped_warnings = 0;
}

void
rxn__driver_flush_file(Driver *driver)
{
    rxn__driver_flush(driver);
    driver->messages.error_count = 0;
    driver->messages.warning_count = 0;
}

uint32_t
rxn__driver_error_count(const Driver *driver)
{
    return driver->messages.error_count;
}

bool
rxn__driver_is_unread(const Driver *driver)
{
    return driver->quiet_failure;
}

const Program *
rxn__driver_program(const Driver *driver)
{
    return driver->program;
}

Arena *
rxn__driver_arena(Driver *driver)
{
    return &driver->arena;
}

const char *
rxn__driver_shown(Driver *driver, const char *text)
{
    return rxn__shown(&driver->arena, text, strlen(text));
}

RxnStatus
rxn__driver_guard(Driver *driver, RxnStatus (*body)(void *context), void *context)
{
    return rxn__memory_guard(&driver->memory, body, context);
}

/* ---- what the library says while it works ------------------------------------------------------ */

void
rxn__driver_progress(void *driver, uint64_t done, uint64_t total)
{
    rxn__progress_show(&((Driver *)driver)->progress, done, total);
}

void
rxn__driver_stage(void *context, RxnStage stage)
{
    RxnProgress *progress = &((Driver *)context)->progress;
    if (stage == RXN_STAGE_END) {
        rxn__interrupt_end();
        rxn__progress_end(progress);
        return;
    }
    rxn__interrupt_begin();
    if (stage == RXN_STAGE_SILENT)
        return;
    rxn__progress_begin(progress, stderr);
    if (stage == RXN_STAGE_STEPS)
        progress->counted = NULL;
}

/* ---- commands ---------------------------------------------------------------------------------- */

static void
print_help(const Program *program, FILE *file)
{
    size_t width = 0;
    for (u32 k = 0; k < program->command_count; k++) {
        size_t length = strlen(program->commands[k].name);
        width = length > width ? length : width;
    }
    fprintf(file, "%s\n\nusage: %s COMMAND …\n\n", program->headline, program->name);
    for (u32 k = 0; k < program->command_count; k++)
        fprintf(file, "  %-*s %s\n", (int)width, program->commands[k].name,
                program->commands[k].summary);
    if (program->alone)
        fprintf(file, "\n'%s' alone begins a session in which a model is typed line by line.",
                program->name);
    fprintf(file,
            "\n'%s COMMAND --help' lists a command's options; '%s --version' tells the version.\n",
            program->name, program->name);
}

static RxnStatus
unknown_command(Driver *driver, const Program *program, const char *name)
{
    const char **names =
        NEW_ARRAY(&driver->arena, const char *, (size_t)program->command_count + 1);
    for (u32 k = 0; k < program->command_count; k++)
        names[k] = program->commands[k].name;
    rxn__driver_error(driver, "there is no command '%s'", rxn__driver_shown(driver, name));
    const char *nearest = rxn__nearest(name, program->command_count, names);
    if (nearest)
        rxn__driver_note(driver, "did you mean '%s %s'?", program->name, nearest);
    else
        rxn__driver_note(driver, "'%s --help' lists the commands", program->name);
    return RXN_ERROR_USAGE;
}

typedef struct Invocation {
    Driver *driver;
    const Program *program;
    int argc;
    char **argv;
} Invocation;

static RxnStatus
run_command(void *context)
{
    Invocation *invocation = context;
    const Program *program = invocation->program;
    const char *name = invocation->argc > 1 ? invocation->argv[1] : NULL;
    if (!name && program->alone)
        return program->alone(invocation->driver, 0, invocation->argv + 1);
    if (!name) {
        print_help(program, stderr);
        return RXN_ERROR_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(program, stdout);
        return RXN_OK;
    }
    if (strcmp(name, "--version") == 0) {
        printf("rxn %s\n", rxn_version());
        return RXN_OK;
    }
    for (u32 k = 0; k < program->command_count; k++)
        if (strcmp(program->commands[k].name, name) == 0)
            return program->commands[k].run(invocation->driver, invocation->argc - 2,
                                            invocation->argv + 2);
    return unknown_command(invocation->driver, program, name);
}

static RxnStatus
flush_messages(void *context)
{
    rxn__driver_flush(context);
    return RXN_OK;
}

/* The error itself is printed where the library says it, by rxn__driver_take. */
static void
ask_for_report(void)
{
    fprintf(stderr,
            "note: this is a bug in rxn %s, not in the model; please report it with the model, the "
            "command line\n"
            "note: and, if it can be made, the folder that 'rxn trace MODEL -o FOLDER' writes\n",
            rxn_version());
}

/* Where a standard stream is closed, the next file that is opened would take its number, and what is meant for the stream, a warning
 * say, would stand in that file. So it is open in a way in which using it fails. */
static void
keep_standard_places(void)
{
    for (int number = STDIN_FILENO; number <= STDERR_FILENO; number++)
        if (fcntl(number, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int
rxn__invoke(const Program *program, int argc, char **argv)
{
    keep_standard_places();
    /* A closed pipe is an error of a write, which is looked at, not a sudden death. */
    signal(SIGPIPE, SIG_IGN);
    Driver driver = {.program = program};
    Invocation invocation = {&driver, program, argc, argv};
    rxn__arena_init(&driver.arena, &driver.memory);
    rxn__sources_init(&driver.sources, &driver.arena);
    rxn__diagnostics_init(&driver.messages, &driver.arena, &driver.sources);
    RxnStatus status = rxn__driver_guard(&driver, run_command, &invocation);
    if (rxn__driver_guard(&driver, flush_messages, &driver) != RXN_OK)
        status = RXN_ERROR_MEMORY;
    if (status == RXN_ERROR_MEMORY)
        fputs("error: out of memory\n", stderr);
    if (status == RXN_ERROR_INTERNAL)
        ask_for_report();
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == RXN_OK) {
        if (errno != EPIPE)
            fprintf(stderr, "error: standard output cannot be written: %s\n", strerror(errno));
        status = RXN_ERROR_INPUT;
    }
    rxn__arena_release(&driver.arena);
    switch (status) {
    case RXN_OK: return 0;
    case RXN_ERROR_USAGE: return 2;
    case RXN_ERROR_INTERNAL: return 3;
    case RXN_ERROR_INPUT:
    case RXN_ERROR_MEMORY:
    case RXN_CANCELLED: break;
    }
    return 1;
}
