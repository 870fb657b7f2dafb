/* cmd_trace.c: `rxn trace`: every stage of a model's compilation as a numbered file.
 *
 *     00-ast.txt  01-network.txt  02-network-share.txt …  07-kernel.kir  08-kernel-fold.kir …
 *     12-kernel.ll  13-kernel-optimized.ll  14-kernel.s  15-kernel.cu
 *
 * With --of it is the kernel of an estimator of derivatives instead of one that simulates.
 *
 * A pass that changed nothing leaves no file. With --verify each text that has a reader is read back and
 * printed again, and has to come out as the same bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "compiler/driver/command.h"

typedef struct TraceOptions {
    const char *folder, *method, *precision;
    uint64_t lanes;
    bool verify;
    TextList of, wrt;
    NumberList at;
    const char *estimator;
} TraceOptions;

static const Option options[] = {
    {"-o", "DIR", OPTION_TEXT, offsetof(TraceOptions, folder), "the folder to write to"},
    {"--method", "NAME", OPTION_TEXT, offsetof(TraceOptions, method),
     "how to simulate (default auto: what suits the model)"},
    {"--precision", "P", OPTION_TEXT, offsetof(TraceOptions, precision), "f64 (default), f32"},
    {"--of", "EXPR", OPTION_TEXTS, offsetof(TraceOptions, of),
     "the kernel that differentiates this, as of 'rxn grad'"},
    {"--at", "T1,T2,...", OPTION_NUMBERS, offsetof(TraceOptions, at), "with --of: when"},
    {"--estimator", "NAME", OPTION_TEXT, offsetof(TraceOptions, estimator),
     "with --of: how (default auto)"},
    {"--wrt", "NAMES", OPTION_TEXTS, offsetof(TraceOptions, wrt), "with --of: by which params"},
    {"--verify", NULL, OPTION_FLAG, offsetof(TraceOptions, verify),
     "read every text back and see that it says the same"},
    {"--lanes", "W", OPTION_COUNT, offsetof(TraceOptions, lanes), NULL},
};

const OptionTable rxn__usage_trace = {
    .command = "rxn trace",
    .synopsis = "rxn trace MODEL -o DIR [OPTION…]",
    .summary =
        "Writes every stage of the model's compilation to DIR as a numbered text file: the tree,\n"
        "the network after each pass, the kernel after each pass, LLVM's IR, assembly, CUDA C.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .operand = "MODEL",
};

typedef struct Trace {
    Driver *driver;
    TraceOptions options;
    unsigned written;
    bool failed;
} Trace;

/* The folder is there once there is something to put into it. */
static bool
make_folder(const Trace *trace)
{
    const char *folder = trace->options.folder;
    if (trace->written > 0 || mkdir(folder, 0777) == 0 || errno == EEXIST)
        return true;
    rxn__driver_error(trace->driver, "the folder '%s' cannot be made: %s", folder, strerror(errno));
    return false;
}

static bool
write_file(Driver *driver, const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "w");
    bool good = file && fwrite(text, 1, length, file) == length;
    if (file && fclose(file) != 0)
        good = false;
    if (!good)
        rxn__driver_error(driver, "'%s' cannot be written: %s", path, strerror(errno));
    return good;
}

/* As RxnTraceStage. */
static bool
write_stage(void *context, const char *name, const char *text, size_t length)
{
    Trace *trace = context;
    const char *folder = trace->options.folder;
    const size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (!path)
        rxn__driver_error(trace->driver, "out of memory");
    else
        snprintf(path, size, "%s/%s", folder, name);
    trace->failed = !path || !make_folder(trace) || !write_file(trace->driver, path, text, length);
    trace->written++;
    free(path);
    return !trace->failed;
}

static RxnStatus
trace_model(Trace *trace, const char *path)
{
    const TraceOptions *o = &trace->options;
    const RxnModelOptions model_options = rxn__driver_model_options(trace->driver);
    const RxnDifferentiatorOptions gradient =
        rxn__driver_gradient(&o->of, &o->at, &o->wrt, o->estimator);
    RxnTraceOptions wanted = rxn_trace_options();
    RxnError *error;
    char *name;
    wanted.kernel.method = o->method;
    wanted.kernel.precision = o->precision;
    wanted.kernel.lanes = (uint32_t)o->lanes;
    wanted.gradient = o->of.count > 0 ? &gradient : NULL;
    wanted.verify = o->verify;
    wanted.stage = write_stage;
    wanted.stage_context = trace;
    RxnStatus status = rxn_trace(path, &model_options, &wanted, &name, &error);
    if (status == RXN_OK)
        printf("%u stages of %s in %s\n", trace->written, name ? name : "the model", o->folder);
    rxn_text_free(name);
    if (!trace->failed)
        return rxn__driver_take(trace->driver, status, error);
    rxn_error_free(error); /* it was us who ended it, and it has been said why */
    return RXN_ERROR_INPUT;
}

RxnStatus
rxn__cmd_trace(Driver *driver, int argc, char **argv)
{
    Trace trace = {.driver = driver,
                   .options = {.method = "auto", .precision = "f64", .estimator = "auto"}};
    const TraceOptions *o = &trace.options;
    const char *model;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_trace, argc, argv, &trace.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_trace, stdout);
        return RXN_OK;
    }
    if (!o->folder) {
        rxn__driver_error(driver, "no folder is given: -o DIR");
        return RXN_ERROR_USAGE;
    }
    if (o->of.count == 0 &&
        (o->at.count > 0 || o->wrt.count > 0 || strcmp(o->estimator, "auto") != 0)) {
        rxn__driver_error(driver, "--at, --estimator and --wrt belong to --of");
        return RXN_ERROR_USAGE;
    }
    return trace_model(&trace, model);
}
