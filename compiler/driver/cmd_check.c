/* cmd_check.c: `rxn check`: is the model right, and what is it? Nothing is compiled, so that the answer
 * comes at once for models of any size.
 */
#include "compiler/driver/driver.h"

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
    .option_count = COUNT_OF(options),
    .operand = "MODEL",
};

typedef struct Check {
    Driver *driver;
    u32 file;
    CheckOptions options;
    Pipeline pipeline;
} Check;

static RxnStatus
check_model(void *context)
{
    Check *check = context;
    Driver *driver = check->driver;
    PipelineRequest request = {
        .file = check->file,
        .loader = &driver->engine.loader,
        .goal = PIPELINE_KERNEL,
        .method = "auto",
        .device = "cpu",
        .precision = KIR_F64,
    };
    Pipeline *pipeline = &check->pipeline;
    RxnStatus status = rxn__pipeline_run(&driver->engine.session, &request, pipeline);
    driver->engine.internal_error = pipeline->internal_error;
    if (status != RXN_OK)
        return status;
    rxn__driver_flush(driver);
    ModelValues values;
    if (!rxn__bind_defaults(&driver->engine, pipeline, check->options.params, &values))
        return RXN_ERROR_INPUT;
    if (check->options.quiet)
        return RXN_OK;
    Text text;
    rxn__text_init(&text, &pipeline->arena);
    rxn__summary(pipeline, &values, &text);
    fputs(text.data, stdout);
    return RXN_OK;
}

RxnStatus
rxn__cmd_check(Driver *driver, int argc, char **argv)
{
    Check check = {.driver = driver};
    const char *model;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_check, argc, argv, &check.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_check, stdout);
        return RXN_OK;
    }
    if (!rxn__load_model(&driver->engine, model, &check.file))
        return RXN_ERROR_INPUT;
    RxnStatus status = rxn__session_guard(&driver->engine.session, check_model, &check);
    rxn__driver_close(driver, &check.pipeline);
    return status;
}
