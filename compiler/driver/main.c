/* main.c: the program `rxn`: its subcommands. Alone it is a session, as interpreters are (`rxn repl`). */
#include "compiler/driver/command.h"

static const CommandRow commands[] = {
    {"run", "simulate a model", rxn__cmd_run, &rxn__usage_run},
    {"grad", "differentiate expectations by parameters", rxn__cmd_grad, &rxn__usage_grad},
    {"fit", "train a model's parameters on data", rxn__cmd_fit, &rxn__usage_fit},
    {"build", "make a program of a model that runs anywhere", rxn__cmd_build, &rxn__usage_build},
    {"repl", "type a model and try it, line by line", rxn__cmd_repl, &rxn__usage_repl},
    {"check", "check a model and print a summary", rxn__cmd_check, &rxn__usage_check},
    {"fmt", "lay out the text of models", rxn__cmd_fmt, &rxn__usage_fmt},
    {"import", "a network of BioNetGen's as a model", rxn__cmd_import, &rxn__usage_import},
    {"trace", "write every stage of a model's compilation to a folder", rxn__cmd_trace,
     &rxn__usage_trace},
    {"completion", "print what makes a shell complete command lines", rxn__cmd_completion,
     &rxn__usage_completion},
    {"manual", "print the manual page of rxn", rxn__cmd_manual, &rxn__usage_manual},
};

int
main(int argc, char **argv)
{
    const Program program = {
        .name = "rxn",
        .headline = "rxn: exact simulation of stochastic reaction networks",
        .commands = commands,
        .command_count = sizeof commands / sizeof *commands,
        .alone = rxn__cmd_repl,
    };
    return rxn__invoke(&program, argc, argv);
}
