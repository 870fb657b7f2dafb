/* standalone.c: the main function of the programs that `rxn build` makes. It is rxn with a model of its own: the same
 * commands, options, results and exit statuses, without a compiler.
 */
#include "compiler/driver/command.h"

extern const struct RxnProgram rxn_program; /* what `rxn build` wrote */

static const CommandRow commands[] = {
    {"run", "simulate the model", rxn__cmd_run, &rxn__usage_run},
    {"grad", "differentiate expectations by parameters", rxn__cmd_grad, &rxn__usage_grad},
    {"fit", "train the model's parameters on data", rxn__cmd_fit, &rxn__usage_fit},
    {"check", "print a summary of the model", rxn__cmd_check, &rxn__usage_check},
    {"selftest", "check what this program computes on this machine", rxn__cmd_selftest,
     &rxn__usage_selftest},
    {"info", "tell what is in this program", rxn__cmd_info, &rxn__usage_info},
};

int
main(int argc, char **argv)
{
    const char *model = rxn_program_model(&rxn_program);
    Program program = {
        .name = argc > 0 ? argv[0] : model,
        .headline = model,
        .commands = commands,
        .command_count = sizeof commands / sizeof *commands,
        .built = &rxn_program,
    };
    return rxn__invoke(&program, argc, argv);
}
