/* main.c: the program `rxn`: finds the subcommand, and turns its status into messages and an exit
 * status (0 done; 1 the model, the data or the run; 2 the command line; 3 a bug of ours).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "compiler/driver/driver.h"

static const struct {
    const char *name, *summary;
    Command run;
} commands[] = {
    {"run", "simulate a model", rxn__cmd_run},
    {"grad", "differentiate expectations by parameters", rxn__cmd_grad},
    {"fit", "train a model's parameters on data", rxn__cmd_fit},
    {"check", "check a model and print a summary", rxn__cmd_check},
    {"fmt", "lay out the text of models", rxn__cmd_fmt},
    {"import", "a network of BioNetGen's as a model", rxn__cmd_import},
    {"trace", "write every stage of a model's compilation to a folder", rxn__cmd_trace},
};

void
rxn__driver_error(Driver *driver, const char *format, ...)
{
    Text text;
    va_list args;
    rxn__text_init(&text, &driver->session.arena);
    va_start(args, format);
    rxn__text_vprintf(&text, format, args);
    va_end(args);
    rxn__error(&driver->session.diagnostics, (Span){0, 0}, "%s", text.data);
}

void
rxn__driver_note(Driver *driver, const char *format, ...)
{
    Text text;
    va_list args;
    rxn__text_init(&text, &driver->session.arena);
    va_start(args, format);
    rxn__text_vprintf(&text, format, args);
    va_end(args);
    rxn__note(&driver->session.diagnostics, (Span){0, 0}, "%s", text.data);
}

void
rxn__driver_flush(Driver *driver)
{
    Diagnostics *diagnostics = &driver->session.diagnostics;
    Text text;
    rxn__text_init(&text, &driver->session.arena);
    rxn__diagnostics_render(diagnostics, &text);
    fflush(stdout);
    fputs(text.data, stderr);
    diagnostics->list.count = 0;
    diagnostics->dropped = diagnostics->dropped_warnings = 0;
}

static RxnStatus
flush_diagnostics(void *context)
{
    rxn__driver_flush(context);
    return RXN_OK;
}

void
rxn__driver_close(Driver *driver, Pipeline *pipeline)
{
    /* The message lives in the pipeline's arena; a copy that fails is no message less than none. */
    if (driver->internal_error)
        fprintf(stderr, "internal error: %s\n", driver->internal_error);
    if (rxn__session_guard(&driver->session, flush_diagnostics, driver) != RXN_OK)
        fputs("error: out of memory\n", stderr);
    rxn__pipeline_close(pipeline);
}

static void
print_help(FILE *file)
{
    fputs("rxn: exact simulation of stochastic reaction networks\n\nusage: rxn COMMAND …\n\n",
          file);
    for (u32 k = 0; k < COUNT_OF(commands); k++)
        fprintf(file, "  %-8s %s\n", commands[k].name, commands[k].summary);
    fputs("\n'rxn COMMAND --help' lists a command's options; 'rxn --version' tells the version.\n",
          file);
}

static RxnStatus
unknown_command(Driver *driver, const char *name)
{
    const char *names[COUNT_OF(commands)];
    for (u32 k = 0; k < COUNT_OF(commands); k++)
        names[k] = commands[k].name;
    rxn__driver_error(driver, "there is no command '%s'",
                      rxn__shown(&driver->session.arena, name, strlen(name)));
    const char *nearest = rxn__nearest(name, COUNT_OF(names), names);
    if (nearest)
        rxn__driver_note(driver, "did you mean 'rxn %s'?", nearest);
    else
        rxn__driver_note(driver, "'rxn --help' lists the commands");
    return RXN_ERROR_USAGE;
}

typedef struct Invocation {
    Driver *driver;
    int argc;
    char **argv;
} Invocation;

static RxnStatus
run_command(void *context)
{
    Invocation *invocation = context;
    const char *name = invocation->argc > 1 ? invocation->argv[1] : NULL;
    if (!name) {
        print_help(stderr);
        return RXN_ERROR_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return RXN_OK;
    }
    if (strcmp(name, "--version") == 0) {
        printf("rxn %s\n", rxn_version());
        return RXN_OK;
    }
    for (u32 k = 0; k < COUNT_OF(commands); k++)
        if (strcmp(commands[k].name, name) == 0)
            return commands[k].run(invocation->driver, invocation->argc - 2, invocation->argv + 2);
    return unknown_command(invocation->driver, name);
}

/* The error itself is printed where its text lives, by rxn__driver_close. */
static void
ask_for_report(void)
{
    fprintf(stderr,
            "note: this is a bug in rxn %s, not in the model; please report it with the model, the "
            "command line\n"
            "note: and, if it can be made, the folder that 'rxn trace MODEL -o FOLDER' writes\n",
            rxn_version());
}

int
main(int argc, char **argv)
{
    /* A closed pipe is an error of a write, which is looked at, not a sudden death. */
    signal(SIGPIPE, SIG_IGN);
    Driver driver = {0};
    RxnStatus status = rxn__session_open(&driver.session, 0);
    if (status == RXN_OK) {
        rxn__files_init(&driver);
        Invocation invocation = {&driver, argc, argv};
        status = rxn__session_guard(&driver.session, run_command, &invocation);
        if (rxn__session_guard(&driver.session, flush_diagnostics, &driver) != RXN_OK)
            status = RXN_ERROR_MEMORY;
    }
    if (status == RXN_ERROR_MEMORY)
        fputs("error: out of memory\n", stderr);
    if (status == RXN_ERROR_INTERNAL)
        ask_for_report();
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == RXN_OK) {
        if (errno != EPIPE)
            fprintf(stderr, "error: standard output cannot be written: %s\n", strerror(errno));
        status = RXN_ERROR_INPUT;
    }
    rxn__cuda_close(driver.cuda);
    rxn__session_close(&driver.session);
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
