/* cmd_info.c: `./model info`: what a program that `rxn build` made has in it: model, parameters, species, kernels. */
#include "compiler/driver/command.h"

const OptionTable rxn__usage_info = {
    .command = "rxn info",
    .synopsis = "rxn info",
    .summary = "Tells what is in this program: the model with its parameters and species, which "
               "kernels it\n"
               "has code for, and for which processors and GPUs.",
    .operand = "MODEL",
};

RxnStatus
rxn__cmd_info(Driver *driver, int argc, char **argv)
{
    const char *path;
    bool help;
    RxnModel *model;
    RxnError *error;
    char *contents = NULL;
    if (!rxn__options_parse(driver, &rxn__usage_info, argc, argv, NULL, &path, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_info, stdout);
        return RXN_OK;
    }
    RxnStatus status = rxn__driver_model(driver, NULL, false, &model);
    if (status == RXN_OK) {
        status = rxn_model_text(model, RXN_FORM_PROGRAM, NULL, &contents, &error);
        status = rxn__driver_take(driver, status, error);
    }
    if (status == RXN_OK)
        fputs(contents, stdout);
    rxn_text_free(contents);
    rxn__driver_end(driver);
    return status;
}
