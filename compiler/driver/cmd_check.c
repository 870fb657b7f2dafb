/* cmd_check.c: `rxn check`: is the model right, and what is it? Nothing is compiled, so that the answer
 * comes at once for models of any size.
 */
#include "compiler/driver/command.h"

typedef struct CheckOptions {
    bool quiet;
    const char *params;
} CheckOptions;

static const Option options[] = {
    {"--quiet", NULL, OPTION_FLAG, offsetof(CheckOptions, quiet),
     "only errors and warnings, no summary"},
    {"--params", "FILE.json", OPTION_TEXT, offsetof(CheckOptions, params),
     "values of params as 'rxn fit -o' wrote them: whether they suit the model"},
};

const OptionTable rxn__usage_check = {
    .command = "rxn check",
    .synopsis = "rxn check MODEL [OPTION…]",
    .summary =
        "Reads and checks the model and prints what it is: sizes, conservation laws, which method\n"
        "would simulate it and why.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .operand = "MODEL",
};

static RxnStatus
check(Driver *driver, const CheckOptions *wanted, RxnModel *model)
{
    RxnValues *values = NULL;
    RxnError *error;
    char *summary;
    RxnStatus status = rxn_model_summary(model, NULL, &summary, &error);
    status = rxn__driver_take(driver, status, error);
    if (status == RXN_OK && wanted->params) {
        rxn_text_free(summary);
        summary = NULL;
        status = rxn_values_new(model, 1, &values, &error);
        if (status == RXN_OK)
            status = rxn_values_load(values, wanted->params, &error);
        if (status == RXN_OK)
            status = rxn_model_summary(model, values, &summary, &error);
        status = rxn__driver_take(driver, status, error);
        rxn_values_free(values);
    }
    if (status == RXN_OK && !wanted->quiet)
        fputs(summary, stdout);
    rxn_text_free(summary);
    return status;
}

RxnStatus
rxn__cmd_check(Driver *driver, int argc, char **argv)
{
    CheckOptions wanted = {0};
    const char *path;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_check, argc, argv, &wanted, &path, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_check, stdout);
        return RXN_OK;
    }
    RxnModel *model;
    RxnStatus status = rxn__driver_model(driver, path, false, &model);
    if (status == RXN_OK)
        status = check(driver, &wanted, model);
    rxn__driver_end(driver);
    return status;
}
