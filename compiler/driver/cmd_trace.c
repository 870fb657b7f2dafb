/* cmd_trace.c: `rxn trace`: every stage of a model's compilation as a numbered file.
 *
 *     00-ast.txt  01-network.txt  02-network-share.txt …  07-kernel.kir  08-kernel-fold.kir …
 *     12-kernel.ll  13-kernel-optimized.ll  14-kernel.s
 *
 * A pass that changed nothing leaves no file. With --verify each text that has a reader is read back and
 * printed again, and has to come out as the same bytes.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "compiler/driver/driver.h"

typedef struct TraceOptions {
    const char *folder, *method, *precision;
    u64 lanes;
    bool verify;
} TraceOptions;

static const Option options[] = {
    {"-o", "DIR", OPTION_TEXT, offsetof(TraceOptions, folder), "the folder to write to"},
    {"--method", "NAME", OPTION_TEXT, offsetof(TraceOptions, method),
     "how to simulate (default auto: what suits the model)"},
    {"--precision", "P", OPTION_TEXT, offsetof(TraceOptions, precision), "f64 (default), f32"},
    {"--verify", NULL, OPTION_FLAG, offsetof(TraceOptions, verify),
     "read every text back and see that it says the same"},
    {"--lanes", "W", OPTION_COUNT, offsetof(TraceOptions, lanes), NULL},
};

static const OptionTable table = {
    .command = "rxn trace",
    .synopsis = "rxn trace MODEL -o DIR [OPTION…]",
    .summary =
        "Writes every stage of the model's compilation to DIR as a numbered text file: the tree,\n"
        "the network after each pass, the kernel after each pass, LLVM's IR, assembly.",
    .options = options,
    .option_count = COUNT_OF(options),
    .operand = "MODEL",
};

typedef struct Trace {
    Driver *driver;
    u32 file, written;
    TraceOptions options;
    Pipeline pipeline;
    bool failed;
} Trace;

/* Reads the text with the stage's reader and prints what it read; NULL where it has none. */
static const char *
read_back(Trace *trace, Arena *arena, PipelineForm form, const char *text, size_t length,
          Text *again)
{
    NameTable *names = &trace->driver->session.names;
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
    rxn__arena_init(&arena, &trace->driver->session.memory);
    const char *error = read_back(trace, &arena, form, text, length, &again);
    if (error)
        rxn__driver_error(trace->driver, "%s does not read back: %s", name, error);
    else if (again.length != length || memcmp(again.data, text, length) != 0)
        rxn__driver_error(trace->driver, "%s reads back as another text", name);
    trace->failed = trace->failed || trace->driver->session.diagnostics.error_count > 0;
    rxn__arena_release(&arena);
}

static void
write_stage(void *context, const char *stage, const char *suffix, PipelineForm form,
            const char *text, size_t length)
{
    Trace *trace = context;
    Text path;
    rxn__text_init(&path, &trace->driver->session.arena);
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

static RxnStatus
trace_model(void *context)
{
    Trace *trace = context;
    Driver *driver = trace->driver;
    bool has_target = rxn__target_find("llvm") != NULL;
    PipelineRequest request = {
        .file = trace->file,
        .loader = &driver->loader,
        .goal = PIPELINE_OPTIMIZED,
        .method = trace->options.method,
        /* Without a target the trace ends with the kernel. */
        .device = has_target ? "cpu" : "interpreter",
        .precision = strcmp(trace->options.precision, "f32") == 0 ? KIR_F32 : KIR_F64,
        .target = {.lanes = (u32)trace->options.lanes},
        .trace = write_stage,
        .trace_context = trace,
    };
    RxnStatus status = rxn__pipeline_run(&driver->session, &request, &trace->pipeline);
    driver->internal_error = trace->pipeline.internal_error;
    if (status == RXN_OK && trace->failed)
        status = RXN_ERROR_INPUT;
    if (status == RXN_OK)
        printf("%u stages of %s in %s\n", trace->written,
               trace->pipeline.network->name ? trace->pipeline.network->name->text : "the model",
               trace->options.folder);
    return status;
}

RxnStatus
rxn__cmd_trace(Driver *driver, int argc, char **argv)
{
    Trace trace = {.driver = driver, .options = {.method = "auto", .precision = "f64"}};
    const char *model;
    bool help;
    if (!rxn__options_parse(driver, &table, argc, argv, &trace.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(&table, stdout);
        return RXN_OK;
    }
    if (!trace.options.folder) {
        rxn__driver_error(driver, "no folder is given: -o DIR");
        return RXN_ERROR_USAGE;
    }
    if (!rxn__check_precision(driver, trace.options.precision) ||
        !rxn__check_lanes(driver, trace.options.lanes))
        return RXN_ERROR_USAGE;
    if (!rxn__load_model(driver, model, &trace.file))
        return RXN_ERROR_INPUT;
    if (mkdir(trace.options.folder, 0777) != 0 && errno != EEXIST) {
        rxn__driver_error(driver, "the folder '%s' cannot be made: %s", trace.options.folder,
                          strerror(errno));
        return RXN_ERROR_INPUT;
    }
    RxnStatus status = rxn__session_guard(&driver->session, trace_model, &trace);
    rxn__driver_close(driver, &trace.pipeline);
    return status;
}
