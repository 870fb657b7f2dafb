/* main.c: the program `rxn`: its subcommands. */
#include "compiler/driver/driver.h"

static const CommandRow commands[] = {
    {"run", "simulate a model", rxn__cmd_run},
    {"grad", "differentiate expectations by parameters", rxn__cmd_grad},
    {"fit", "train a model's parameters on data", rxn__cmd_fit},
    {"build", "make a program of a model that runs anywhere", rxn__cmd_build},
    {"check", "check a model and print a summary", rxn__cmd_check},
    {"fmt", "lay out the text of models", rxn__cmd_fmt},
    {"import", "a network of BioNetGen's as a model", rxn__cmd_import},
    {"trace", "write every stage of a model's compilation to a folder", rxn__cmd_trace},
};

int
main(int argc, char **argv)
{
    const Program program = {
        .name = "rxn",
        .headline = "rxn: exact simulation of stochastic reaction networks",
        .commands = commands,
        .command_count = COUNT_OF(commands),
    };
    return rxn__invoke(&program, argc, argv);
}
