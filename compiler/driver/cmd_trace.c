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
#include <string.h>
#include <sys/stat.h>

#include "compiler/driver/driver.h"
#include "compiler/engine/grad.h"

typedef struct TraceOptions {
    const char *folder, *method, *precision;
    u64 lanes;
    bool verify;
    TextList of, wrt;
    NumberList at;
    const char *estimator;
} TraceOptions;

enum {
    TAPE_BYTES = 16 << 20
}; /* of one trajectory: it decides how long the arrays of a kernel are */

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
    .option_count = COUNT_OF(options),
    .operand = "MODEL",
};

typedef struct Trace {
    Driver *driver;
    u32 file, written;
    TraceOptions options;
    Grad grad; /* with the pipeline; the rest is used with --of */
    bool failed;
} Trace;

/* Reads the text with the stage's reader and prints what it read; NULL where it has none. */
static const char *
read_back(Trace *trace, Arena *arena, PipelineForm form, const char *text, size_t length,
          Text *again)
{
    NameTable *names = &trace->driver->engine.session.names;
    rxn__text_init(again, arena);
    if (form == FORM_NETWORK) {
        Network *network;
        const char *error = rxn__network_read(arena, names, text, length, &network);
        if (!error)
            rxn__network_print(network, again);
        return error;
    }
    KirKernel *kernel;
    const char *error = rxn__kir_read(arena, names, text, length, &kernel);
    if (!error)
        rxn__kir_print(kernel, again);
    return error;
}

static void
verify(Trace *trace, const char *name, PipelineForm form, const char *text, size_t length)
{
    if (form != FORM_NETWORK && form != FORM_KIR)
        return;
    Arena arena;
    Text again;
    rxn__arena_init(&arena, &trace->driver->engine.session.memory);
    const char *error = read_back(trace, &arena, form, text, length, &again);
    if (error)
        rxn__driver_error(trace->driver, "%s does not read back: %s", name, error);
    else if (again.length != length || memcmp(again.data, text, length) != 0)
        rxn__driver_error(trace->driver, "%s reads back as another text", name);
    trace->failed = trace->failed || trace->driver->engine.session.diagnostics.error_count > 0;
    rxn__arena_release(&arena);
}

static void
write_stage(void *context, const char *stage, const char *suffix, PipelineForm form,
            const char *text, size_t length)
{
    Trace *trace = context;
    Text path;
    rxn__text_init(&path, &trace->driver->engine.session.arena);
    rxn__text_printf(&path, "%s/%02u-%s.%s", trace->options.folder, trace->written++, stage,
                     suffix);
    if (trace->failed)
        return;
    FILE *file = fopen(path.data, "w");
    bool good = file && fwrite(text, 1, length, file) == length;
    if (file && fclose(file) != 0)
        good = false;
    if (!good) {
        rxn__driver_error(trace->driver, "'%s' cannot be written: %s", path.data, strerror(errno));
        trace->failed = true;
    } else if (trace->options.verify) {
        verify(trace, path.data, form, text, length);
    }
}

/* From the network on: the kernel of the one estimator. */
static RxnStatus
trace_gradient(Trace *trace)
{
    Driver *driver = trace->driver;
    Grad *grad = &trace->grad;
    RxnStatus status = rxn__grad_network(grad);
    if (status != RXN_OK)
        return status;
    status = rxn__grad_choose(grad);
    if (status != RXN_OK)
        return status;
    const Estimator *estimator = rxn__estimator_find(grad->estimators.items[0]);
    grad->stages.goal = PIPELINE_OPTIMIZED;
    status = rxn__pipeline_gradient(&driver->engine.session, &grad->stages, estimator,
                                    &grad->request, &grad->pipeline);
    driver->engine.internal_error = grad->pipeline.internal_error;
    return status;
}

static RxnStatus
trace_model(void *context)
{
    Trace *trace = context;
    Driver *driver = trace->driver;
    bool has_target = rxn__target_find("llvm") != NULL;
    Pipeline *pipeline = &trace->grad.pipeline;
    trace->grad.stages = (PipelineRequest){
        .file = trace->file,
        .loader = &driver->engine.loader,
        .goal = PIPELINE_OPTIMIZED,
        .method = trace->options.method,
        /* Without a target the trace ends with the kernel. */
        .device = has_target ? "cpu" : "interpreter",
        .precision = strcmp(trace->options.precision, "f32") == 0 ? KIR_F32 : KIR_F64,
        .target = {.lanes = (u32)trace->options.lanes},
        .trace = write_stage,
        .trace_context = trace,
    };
    RxnStatus status;
    if (trace->options.of.count > 0) {
        status = trace_gradient(trace);
    } else {
        status = rxn__pipeline_run(&driver->engine.session, &trace->grad.stages, pipeline);
        driver->engine.internal_error = pipeline->internal_error;
    }
    if (status == RXN_OK && trace->failed)
        status = RXN_ERROR_INPUT;
    if (status == RXN_OK)
        printf("%u stages of %s in %s\n", trace->written,
               pipeline->network->name ? pipeline->network->name->text : "the model",
               trace->options.folder);
    return status;
}

/* Hands what --of and its kin say over to the parts of `rxn grad`. */
static bool
check_gradient(Trace *trace)
{
    Driver *driver = trace->driver;
    const TraceOptions *o = &trace->options;
    GradOptions *options = &trace->grad.options;
    rxn__grad_defaults(options);
    options->of = o->of;
    options->at = o->at;
    options->wrt = o->wrt;
    options->estimators = o->estimator;
    trace->grad.tape_memory = TAPE_BYTES;
    options->ensemble.threads = options->ensemble.lanes = 1;
    if (o->of.count == 0) {
        if (o->at.count == 0 && o->wrt.count == 0 && strcmp(o->estimator, "auto") == 0)
            return true;
        rxn__driver_error(driver, "--at, --estimator and --wrt belong to --of");
        return false;
    }
    if (!rxn__grad_check_objective(&driver->engine, options))
        return false;
    bool one = strcmp(o->estimator, "auto") == 0 || rxn__estimator_find(o->estimator);
    if (!one)
        rxn__driver_error(
            driver, "--estimator '%s' is not one that has a kernel",
            rxn__shown(&driver->engine.session.arena, o->estimator, strlen(o->estimator)));
    return one;
}

RxnStatus
rxn__cmd_trace(Driver *driver, int argc, char **argv)
{
    Trace trace = {.driver = driver,
                   .options = {.method = "auto", .precision = "f64", .estimator = "auto"},
                   .grad = {.engine = &driver->engine}};
    const char *model;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_trace, argc, argv, &trace.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_trace, stdout);
        return RXN_OK;
    }
    if (!trace.options.folder) {
        rxn__driver_error(driver, "no folder is given: -o DIR");
        return RXN_ERROR_USAGE;
    }
    if (!rxn__check_precision(&driver->engine, trace.options.precision) ||
        !rxn__check_lanes(&driver->engine, trace.options.lanes))
        return RXN_ERROR_USAGE;
    if (!check_gradient(&trace))
        return RXN_ERROR_USAGE;
    if (!rxn__load_model(&driver->engine, model, &trace.file))
        return RXN_ERROR_INPUT;
    if (mkdir(trace.options.folder, 0777) != 0 && errno != EEXIST) {
        rxn__driver_error(driver, "the folder '%s' cannot be made: %s", trace.options.folder,
                          strerror(errno));
        return RXN_ERROR_INPUT;
    }
    RxnStatus status = rxn__session_guard(&driver->engine.session, trace_model, &trace);
    rxn__driver_close(driver, &trace.grad.pipeline);
    return status;
}
