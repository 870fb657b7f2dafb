/* interrupt.c: Ctrl-C. A signal handler can reach nothing but a global, so here are the program's only
 * ones: a flag that the runtime looks at, and how many want it.
 */
#include <signal.h>

#include "compiler/driver/command.h"

static volatile int interrupted;
static int depth; /* of begins without their end: the outermost counts */

static void
on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

const volatile int *
rxn__interrupt_flag(void)
{
    return &interrupted;
}

const volatile int *
rxn__interrupt_begin(void)
{
    if (depth++ > 0)
        return &interrupted;
    interrupted = 0;
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    struct sigaction before;
    /* A shell's background job has it ignored, and that stays so. */
    if (sigaction(SIGINT, NULL, &before) != 0 || before.sa_handler != SIG_IGN)
        sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &interrupted;
}

const volatile int *
rxn__interrupt_listen(void)
{
    depth = 1;
    interrupted = 0;
    struct sigaction action = {.sa_handler = on_interrupt};
    sigemptyset(&action.sa_mask);
    struct sigaction before;
    if (sigaction(SIGINT, NULL, &before) != 0 || before.sa_handler != SIG_IGN)
        sigaction(SIGINT, &action, NULL);
    return &interrupted;
}

void
rxn__interrupt_end(void)
{
    if (--depth > 0)
        return;
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&action.sa_mask);
    struct sigaction before;
    if (sigaction(SIGINT, NULL, &before) != 0 || before.sa_handler != SIG_IGN)
        sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}
