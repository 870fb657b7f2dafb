/* cmd_import.c: `rxn import`: a network of another program's as a model of the language.
 */
#include <string.h>

#include "compiler/driver/driver.h"

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
    .option_count = COUNT_OF(options),
    .operand = "NETWORK",
};

RxnStatus
rxn__cmd_import(Driver *driver, int argc, char **argv)
{
    ImportOptions values = {.output = "-"};
    const char *network;
    bool help;
    u32 file;
    OutputFile output;
    if (!rxn__options_parse(driver, &rxn__usage_import, argc, argv, &values, &network, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_import, stdout);
        return RXN_OK;
    }
    if (!rxn__load_model(&driver->engine, network, &file))
        return RXN_ERROR_INPUT;
    if (!rxn__is_imported(&driver->engine, file)) {
        rxn__driver_error(driver, "'%s' is not a network of BioNetGen's", network);
        rxn__driver_note(driver, "such a file begins with 'begin parameters'");
        return RXN_ERROR_INPUT;
    }
    if (!rxn__output_open(driver, &output, values.output))
        return RXN_ERROR_INPUT;
    const SourceFile *source = &driver->engine.session.sources.files.items[file];
    fwrite(source->text, 1, source->length, output.file);
    if (rxn__output_commit(driver, &output))
        return RXN_OK;
    rxn__output_drop(&output);
    return RXN_ERROR_INPUT;
}
