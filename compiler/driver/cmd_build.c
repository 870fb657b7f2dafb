/* cmd_build.c: `rxn build`: a program, or one stage of its making, from a model. */
#include <string.h>

#include "compiler/driver/build.h"

/* Of one trajectory. Not of this machine's memory: it may run on another. A GPU has some 100,000 trajectories in flight,
 * whose tapes of 64 KiB are 6 GiB. That is 3,000 events or so in one go, and millions that are computed twice
 * (method/grad_tape.h). */
enum { TAPE_BYTES = 16 << 20, CUDA_TAPE_BYTES = 64 << 10 };

#define AT(field) offsetof(BuildOptions, field)
static const Option options[] = {
    {"-o", "FILE", OPTION_TEXT, AT(grad.ensemble.csv), "the file to write"},
    {"--march", "NAMES", OPTION_TEXT, AT(march), "for which processors, the best first; see below"},
    {"--cuda", "NAMES", OPTION_TEXT, AT(cuda), "for which GPUs, as sm_80,sm_90; see below"},
    {"--static", NULL, OPTION_FLAG, AT(link_statically), "link the C library into it too"},
    {"--emit", "FORM", OPTION_TEXT, AT(emit), "exe (default), or a stage of the way; see below"},
    {"--method", "NAME", OPTION_TEXT, AT(method),
     "how to simulate (default auto: what suits the model)"},
    {"--of", "EXPR", OPTION_TEXTS, AT(grad.of),
     "what 'grad' is to differentiate; may be given again"},
    {"--at", "T1,T2,...", OPTION_NUMBERS, AT(grad.at), "with --of: when"},
    {"--wrt", "NAMES", OPTION_TEXTS, AT(grad.wrt), "with --of: by which params"},
    {"--estimator", "NAMES", OPTION_TEXT, AT(grad.estimators),
     "with --of: how, as for 'rxn grad' (default auto)"},
    {"--precision", "P", OPTION_TEXT, AT(precision),
     "of derivatives and of --emit: f64 (default), f32"},
    {"--tau", "X", OPTION_NUMBER, AT(grad.tau), "with --of: as for 'rxn grad'"},
    {"--draws", "K", OPTION_COUNT, AT(grad.draws), "the same"},
    {"--difference", "H", OPTION_NUMBER, AT(grad.difference), "the same"},
    {"--bins", "B", OPTION_COUNT, AT(grad.bins), "the same"},
    {"--degree", "D", OPTION_COUNT, AT(grad.degree), "the same"},
    {"--tape", "BYTES", OPTION_TEXT, AT(tape),
     "for the tape of one trajectory, as 500K or 16M (default 16M)"},
    {"--cuda-tape", "BYTES", OPTION_TEXT, AT(cuda_tape), "the same on a GPU (default 64K)"},
    {"--quiet", NULL, OPTION_FLAG, AT(quiet), "say nothing of what was built"},
    {"--lanes", "W", OPTION_COUNT, AT(grad.ensemble.lanes), NULL},
    {"--form", "NAME", OPTION_TEXT, AT(grad.form), NULL},
};
#undef AT

const OptionTable rxn__usage_build = {
    .command = "rxn build",
    .synopsis = "rxn build MODEL -o FILE [OPTION…]",
    .summary =
        "Makes a program of the model that needs neither rxn nor LLVM nor the model's file: FILE "
        "run,\n"
        "FILE grad, FILE fit, FILE check and FILE info take the flags of rxn's commands and give "
        "the\n"
        "same results. What it was not built for (another --of) it interprets, and says so. The\n"
        "system's C compiler links it: $CC, else cc.",
    .about_operand = RXN_ABOUT_MODEL,
    .options = options,
    .option_count = COUNT_OF(options),
    .operand = "MODEL",
};

static void
print_help(const Driver *driver)
{
    rxn__options_help(driver, &rxn__usage_build, stdout);
    printf("\n--march: of %s, with commas between; default %s.\n", rxn__march_names,
           rxn__march_default);
    fputs("--cuda (which needs NVRTC here): machine code for each of these architectures, and PTX "
          "of\n"
          "the oldest, of which the driver makes code for all that are newer. Such a program runs "
          "on a\n"
          "GPU with NVIDIA's driver alone; one without --cuda needs NVRTC there too.\n",
          stdout);
    printf("--emit: exe, lib (FILE.h, libFILE.a, libFILE.so), header, %s.\n", rxn__build_forms);
    fputs("A stage is that of the kernel that simulates, or with --of of the one that\n"
          "differentiates, for the first of the processors, ptx and cubin for the GPU of --cuda "
          "(default\n"
          "sm_80); without -o it goes to standard output.\n"
          "Exit status: 0 done, 1 the model failed or the program could not be linked, 2 wrong\n"
          "options, 3 a bug in rxn.\n",
          stdout);
}

/* ---- options ----------------------------------------------------------------------------------- */

static void
check_marches(Build *build)
{
    Driver *driver = build->driver;
    const char *list = build->options.march;
    do {
        size_t length = strcspn(list, ",");
        const char *name = rxn__arena_copy_text(&driver->engine.session.arena, list, length);
        const March *march = rxn__march_find(name);
        if (!march) {
            rxn__driver_error(driver, "--march takes no '%s'",
                              rxn__shown(&driver->engine.session.arena, name, length));
            rxn__driver_note(driver, "it takes %s", rxn__march_names);
        } else if (build->ahead.march_count == MOST_MARCHES) {
            rxn__driver_error(driver, "--march takes %d names at most", (int)MOST_MARCHES);
        } else {
            build->ahead.marches[build->ahead.march_count++] = march;
        }
        list += length + (list[length] == ',');
    } while (*list);
}

static void
check_bytes(Driver *driver, const char *option, const char *text, u64 *bytes)
{
    if (text && !rxn__parse_bytes(text, bytes))
        rxn__driver_error(driver, "%s takes a number of bytes as 500K or 16M, not '%s'", option,
                          rxn__shown(&driver->engine.session.arena, text, strlen(text)));
}

/* What --cuda goes with; which GPUs there are is NVRTC's to say (build_cuda.c). */
static void
check_cuda(Build *build, bool is_exe)
{
    Driver *driver = build->driver;
    const BuildOptions *o = &build->options;
    bool emits = rxn__build_emits_by_nvrtc(o->emit);
    if (o->cuda && !is_exe && !emits)
        rxn__driver_error(driver, "--cuda goes with programs, and with --emit ptx and cubin");
    if (o->cuda_tape && !o->cuda && !emits)
        rxn__driver_error(driver, "--cuda-tape goes with --cuda");
    if (o->cuda && o->link_statically)
        rxn__driver_error(driver, "--cuda does not go with --static: what is linked without shared "
                                  "libraries cannot open the driver");
}

static bool
check_options(Build *build)
{
    Driver *driver = build->driver;
    BuildOptions *o = &build->options;
    u32 errors = driver->engine.session.diagnostics.error_count;
    bool is_program = strcmp(o->emit, "exe") == 0 || strcmp(o->emit, "lib") == 0;
    rxn__check_precision(&driver->engine, o->precision);
    rxn__check_lanes(&driver->engine, o->grad.ensemble.lanes);
    check_marches(build);
    driver->engine.tape_bytes = TAPE_BYTES;
    driver->engine.cuda_tape_bytes = CUDA_TAPE_BYTES;
    check_bytes(driver, "--tape", o->tape, &driver->engine.tape_bytes);
    check_bytes(driver, "--cuda-tape", o->cuda_tape, &driver->engine.cuda_tape_bytes);
    if (!is_program && strcmp(o->emit, "header") != 0 && !rxn__build_emits(o->emit)) {
        rxn__driver_error(driver, "--emit takes no '%s'",
                          rxn__shown(&driver->engine.session.arena, o->emit, strlen(o->emit)));
        rxn__driver_note(driver, "it takes exe, lib, header, %s", rxn__build_forms);
    }
    check_cuda(build, strcmp(o->emit, "exe") == 0);
    if (is_program && !o->grad.ensemble.csv)
        rxn__driver_error(driver, "no file is given: -o FILE");
    if (is_program && o->grad.ensemble.csv && strcmp(o->grad.ensemble.csv, "-") == 0)
        rxn__driver_error(driver, "a program or a library does not go to standard output: -o FILE");
    if (o->grad.of.count > 0) {
        Grad grad = {.engine = &driver->engine, .options = o->grad};
        rxn__grad_check_options(&grad);
        o->grad = grad.options;
        o->grad.ensemble.device = "cpu";
        o->grad.ensemble.precision = o->precision;
    } else if (o->grad.at.count > 0 || o->grad.wrt.count > 0 ||
               strcmp(o->grad.estimators, "auto") != 0) {
        rxn__driver_error(driver, "--at, --wrt and --estimator belong to --of");
    }
    return driver->engine.session.diagnostics.error_count == errors;
}

/* ---- the model's files ------------------------------------------------------------------------- */

/* Loads as rxn does, and notes down what it found: the text has to outlive the pipeline that asked for it. */
static bool
load_and_keep(void *context, const char *from, const char *path, Arena *arena,
              const char **ret_resolved, const char **ret_text, size_t *ret_length,
              const char **ret_reason)
{
    Build *build = context;
    Arena *kept = &build->driver->engine.session.arena;
    if (!build->files.load(build->files.context, from, path, arena, ret_resolved, ret_text,
                           ret_length, ret_reason))
        return false;
    for (u32 k = 0; k < build->used.count; k++)
        if (strcmp(build->used.items[k].from, from) == 0 &&
            strcmp(build->used.items[k].path, path) == 0)
            return true;
    UsedFile file = {rxn__arena_copy_text(kept, from, strlen(from)),
                     rxn__arena_copy_text(kept, path, strlen(path)),
                     rxn__arena_copy_text(kept, *ret_resolved, strlen(*ret_resolved)),
                     rxn__arena_copy_text(kept, *ret_text, *ret_length), *ret_length};
    vec_push(kept, &build->used, file);
    return true;
}

/* ---- the way of a build ------------------------------------------------------------------------ */

static RxnStatus
build_model(void *context)
{
    Build *build = context;
    const char *emit = build->options.emit;
    if (strcmp(emit, "lib") == 0 || strcmp(emit, "header") == 0)
        return rxn__build_library(build);
    RxnStatus status = rxn__build_kernels(build);
    return status == RXN_OK ? rxn__build_program(build) : status;
}

/* Single stages are the library's. */
static RxnStatus
emit_stage(Build *build, const char *model)
{
    Driver *driver = build->driver;
    const BuildOptions *o = &build->options;
    const GradOptions *grad = &o->grad;
    const bool for_gpus = rxn__build_emits_for_gpus(o->emit);
    u32 architectures = 1;
    for (const char *comma = o->cuda; comma && (comma = strchr(comma, ',')); comma++)
        architectures++;
    if (architectures > 1) {
        rxn__driver_error(driver, "--emit %s is for one architecture, not %u", o->emit,
                          architectures);
        return RXN_ERROR_USAGE;
    }
    RxnDifferentiatorOptions gradient = rxn_differentiator_options();
    gradient.of = grad->of.items;
    gradient.of_count = grad->of.count;
    gradient.at = grad->at.items;
    gradient.at_count = grad->at.count;
    gradient.wrt = grad->wrt.items;
    gradient.wrt_count = grad->wrt.count;
    gradient.estimator = grad->estimators;
    gradient.form = grad->form;
    gradient.draws = grad->draws;
    gradient.bins = grad->bins;
    gradient.degree = grad->degree;
    gradient.tau = grad->tau;
    gradient.difference = grad->difference;
    gradient.tape_memory = for_gpus ? driver->engine.cuda_tape_bytes : driver->engine.tape_bytes;
    RxnEmitOptions options = rxn_emit_options();
    options.kernel.method = o->method;
    options.kernel.precision = o->precision;
    options.kernel.lanes = (u32)grad->ensemble.lanes;
    options.gradient = grad->of.count > 0 ? &gradient : NULL;
    options.march = build->ahead.marches[0]->name;
    options.gpu = o->cuda;
    return rxn__build_emit(driver, model, o->emit, &options, grad->ensemble.csv);
}

RxnStatus
rxn__cmd_build(Driver *driver, int argc, char **argv)
{
    Build build = {
        .driver = driver,
        .options = {.emit = "exe",
                    .march = rxn__march_default,
                    .method = "auto",
                    .precision = "f64"},
        .device = "cpu",
        .files = driver->engine.loader,
        .ahead = {.arena = &driver->engine.session.arena, .compiler = rxn__target_find("llvm")},
    };
    const char *model;
    bool help;
    rxn__grad_defaults(&build.options.grad);
    if (!rxn__options_parse(driver, &rxn__usage_build, argc, argv, &build.options, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        print_help(driver);
        return RXN_OK;
    }
    if (!check_options(&build))
        return RXN_ERROR_USAGE;
    if (!build.ahead.compiler) {
        rxn__driver_error(driver, "this rxn was built without LLVM, so it cannot compile ahead");
        return RXN_ERROR_USAGE;
    }
    if (rxn__build_emits(build.options.emit))
        return emit_stage(&build, model);
    RxnStatus status = rxn__build_open_cuda(&build);
    if (status != RXN_OK)
        return status;
    driver->engine.is_ahead = true;
    driver->engine.loader = (SourceLoader){&build, load_and_keep};
    driver->engine.session.host = &rxn__target_ahead;
    driver->engine.session.gpu = &rxn__target_ahead_cuda;
    driver->engine.session.target_context = &build.ahead;
    if (!rxn__load_model(&driver->engine, model, &build.file))
        return RXN_ERROR_INPUT;
    return rxn__session_guard(&driver->engine.session, build_model, &build);
}
