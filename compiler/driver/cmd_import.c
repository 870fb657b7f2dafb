/* cmd_import.c: `rxn import`: a network of another program's as a model of the language.
 */
#include <stdlib.h>

#include "compiler/driver/command.h"

typedef struct ImportOptions {
    const char *output;
} ImportOptions;

static const Option options[] = {
    {"-o", "FILE.rxn", OPTION_TEXT, offsetof(ImportOptions, output),
     "write the model there (default: standard output)"},
};

const OptionTable rxn__usage_import = {
    .command = "rxn import",
    .synopsis = "rxn import NETWORK.net [-o MODEL.rxn]",
    .summary =
        "Writes a network that BioNetGen has generated (.net) as a model of the language.\n"
        "Species are S1, S2, ... with their patterns as comments; groups become observables.\n"
        "All other commands take .net files as they are, and read them so.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .operand = "NETWORK",
};

RxnStatus
rxn__cmd_import(Driver *driver, int argc, char **argv)
{
    ImportOptions values = {.output = "-"};
    const char *network;
    bool help;
    const char *name;
    size_t length, written;
    RxnError *error;
    OutputFile output;
    if (!rxn__options_parse(driver, &rxn__usage_import, argc, argv, &values, &network, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_import, stdout);
        return RXN_OK;
    }
    char *text = rxn__driver_read(driver, network, true, &name, &length), *model;
    if (!text)
        return RXN_ERROR_INPUT;
    RxnStatus status = rxn_import(text, length, name, &model, &written, &error);
    free(text);
    if (status == RXN_ERROR_INPUT && !rxn_error_message(error, 0).file) {
        /* It is no such network at all, and is called what it was called. */
        rxn_error_free(error);
        rxn__driver_error(driver, "'%s' is not a network of BioNetGen's", network);
        rxn__driver_note(driver, "such a file begins with 'begin parameters'");
        return RXN_ERROR_INPUT;
    }
    if (status != RXN_OK)
        return rxn__driver_take(driver, status, error);
    if (!rxn__output_open(driver, &output, values.output)) {
        rxn_text_free(model);
        return RXN_ERROR_INPUT;
    }
    fwrite(model, 1, written, output.file);
    rxn_text_free(model);
    if (rxn__output_commit(driver, &output))
        return RXN_OK;
    rxn__output_drop(&output);
    return RXN_ERROR_INPUT;
}
