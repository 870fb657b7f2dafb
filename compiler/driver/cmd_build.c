/* cmd_build.c: `rxn build`: a program, or one stage of its making, from a model. */
#include <string.h>

#include "compiler/driver/build_emit.h"
#include "runtime/report.h"

typedef struct BuildFlags {
    const char *path; /* the file to write */
    const char *emit, *march, *cuda, *method, *precision;
    const char *tape, *cuda_tape; /* bytes of one trajectory's */
    uint64_t lanes, draws, bins, degree;
    double tau, difference;
    NumberList at;
    TextList of, wrt;
    const char *estimators, *form;
    bool link_statically, quiet;
} BuildFlags;

#define AT(field) offsetof(BuildFlags, field)
static const Option options[] = {
    {"-o", "FILE", OPTION_TEXT, AT(path), "the file to write"},
    {"--march", "NAMES", OPTION_TEXT, AT(march), "for which processors, the best first; see below"},
    {"--cuda", "NAMES", OPTION_TEXT, AT(cuda), "for which GPUs, as sm_80,sm_90; see below"},
    {"--static", NULL, OPTION_FLAG, AT(link_statically), "link the C library into it too"},
    {"--emit", "FORM", OPTION_TEXT, AT(emit), "exe (default), or a stage of the way; see below"},
    {"--method", "NAME", OPTION_TEXT, AT(method),
     "how to simulate (default auto: what suits the model)"},
    {"--of", "EXPR", OPTION_TEXTS, AT(of), "what 'grad' is to differentiate; may be given again"},
    {"--at", "T1,T2,...", OPTION_NUMBERS, AT(at), "with --of: when"},
    {"--wrt", "NAMES", OPTION_TEXTS, AT(wrt), "with --of: by which params"},
    {"--estimator", "NAMES", OPTION_TEXT, AT(estimators),
     "with --of: how, as for 'rxn grad' (default auto)"},
    {"--precision", "P", OPTION_TEXT, AT(precision),
     "of derivatives and of --emit: f64 (default), f32"},
    {"--tau", "X", OPTION_NUMBER, AT(tau), "with --of: as for 'rxn grad'"},
    {"--draws", "K", OPTION_COUNT, AT(draws), "the same"},
    {"--difference", "H", OPTION_NUMBER, AT(difference), "the same"},
    {"--bins", "B", OPTION_COUNT, AT(bins), "the same"},
    {"--degree", "D", OPTION_COUNT, AT(degree), "the same"},
    {"--tape", "BYTES", OPTION_TEXT, AT(tape),
     "for the tape of one trajectory, as 500K or 16M (default 16M)"},
    {"--cuda-tape", "BYTES", OPTION_TEXT, AT(cuda_tape), "the same on a GPU (default 64K)"},
    {"--quiet", NULL, OPTION_FLAG, AT(quiet), "say nothing of what was built"},
    {"--lanes", "W", OPTION_COUNT, AT(lanes), NULL},
    {"--form", "NAME", OPTION_TEXT, AT(form), NULL},
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
    .option_count = sizeof options / sizeof options[0],
    .operand = "MODEL",
};

static void
print_help(const Driver *driver)
{
    rxn__options_help(driver, &rxn__usage_build, stdout);
    printf("\n--march: of ");
    for (size_t k = 0; rxn_march(k); k++)
        printf("%s%s", k ? ", " : "", rxn_march(k));
    printf(", with commas between; default %s.\n", rxn_build_options().march);
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

typedef struct BuildCommand {
    Driver *driver;
    const char *model; /* its path */
    BuildFlags flags;
    RxnDifferentiatorOptions gradient;
    RxnBuildOptions wanted;
} BuildCommand;

static bool
is(const char *text, const char *word)
{
    return strcmp(text, word) == 0;
}

/* ---- options ----------------------------------------------------------------------------------- */

static void
check_bytes(Driver *driver, const char *option, const char *text, uint64_t *ret_bytes)
{
    if (text && !rxn__parse_bytes(text, ret_bytes))
        rxn__driver_error(driver, "%s takes a number of bytes as 500K or 16M, not '%s'", option,
                          rxn__driver_shown(driver, text));
}

/* What --cuda goes with; which GPUs there are is NVRTC's to say. */
static void
check_cuda(Driver *driver, const BuildFlags *flags)
{
    const bool by_nvrtc = rxn__build_emits_by_nvrtc(flags->emit);
    if (flags->cuda && !is(flags->emit, "exe") && !by_nvrtc)
        rxn__driver_error(driver, "--cuda goes with programs, and with --emit ptx and cubin");
    if (flags->cuda_tape && !flags->cuda && !by_nvrtc)
        rxn__driver_error(driver, "--cuda-tape goes with --cuda");
    if (flags->cuda && flags->link_statically)
        rxn__driver_error(driver, "--cuda does not go with --static: what is linked without shared "
                                  "libraries cannot open the driver");
}

static void
check_emit(Driver *driver, const BuildFlags *flags)
{
    const bool is_built = is(flags->emit, "exe") || is(flags->emit, "lib");
    if (!is_built && !rxn__build_emits(flags->emit)) {
        rxn__driver_error(driver, "--emit takes no '%s'", rxn__driver_shown(driver, flags->emit));
        rxn__driver_note(driver, "it takes exe, lib, header, %s", rxn__build_forms);
    }
    check_cuda(driver, flags);
    if (is_built && !flags->path)
        rxn__driver_error(driver, "no file is given: -o FILE");
    if (is_built && flags->path && is(flags->path, "-"))
        rxn__driver_error(driver, "a program or a library does not go to standard output: -o FILE");
    if (flags->of.count == 0 &&
        (flags->at.count > 0 || flags->wrt.count > 0 || !is(flags->estimators, "auto")))
        rxn__driver_error(driver, "--at, --wrt and --estimator belong to --of");
}

static void
take_gradient(BuildCommand *command)
{
    const BuildFlags *flags = &command->flags;
    RxnDifferentiatorOptions *gradient = &command->gradient;
    *gradient = rxn__driver_gradient(&flags->of, &flags->at, &flags->wrt, flags->estimators);
    gradient->form = flags->form;
    gradient->draws = flags->draws;
    gradient->bins = flags->bins;
    gradient->degree = flags->degree;
    gradient->tau = flags->tau;
    gradient->difference = flags->difference;
}

/* What can be said before the model is read. */
static RxnStatus
check_options(BuildCommand *command)
{
    Driver *driver = command->driver;
    const BuildFlags *flags = &command->flags;
    RxnBuildOptions *wanted = &command->wanted;
    RxnError *error;
    const uint32_t errors = rxn__driver_error_count(driver);
    take_gradient(command);
    *wanted = rxn_build_options();
    wanted->kind = is(flags->emit, "lib") ? RXN_BUILD_LIBRARY : RXN_BUILD_PROGRAM;
    wanted->kernel.method = flags->method;
    wanted->kernel.precision = flags->precision;
    wanted->kernel.lanes = flags->lanes < UINT32_MAX ? (uint32_t)flags->lanes : UINT32_MAX;
    wanted->gradient = flags->of.count > 0 ? &command->gradient : NULL;
    wanted->march = flags->march;
    wanted->link_statically = flags->link_statically;
    check_bytes(driver, "--tape", flags->tape, &wanted->tape_memory);
    check_bytes(driver, "--cuda-tape", flags->cuda_tape, &wanted->gpu_tape_memory);
    check_emit(driver, flags);
    const bool good = rxn__driver_error_count(driver) == errors;
    if (good && is(flags->emit, "exe"))
        wanted->gpus = flags->cuda;
    RxnStatus status = rxn_build_check(wanted, &error);
    status = rxn__driver_take(driver, status, error);
    return good ? status : RXN_ERROR_USAGE;
}

/* ---- what is made ------------------------------------------------------------------------------ */

static RxnStatus
emit_stage(BuildCommand *command)
{
    const BuildFlags *flags = &command->flags;
    const RxnBuildOptions *wanted = &command->wanted;
    RxnEmitOptions options = rxn_emit_options();
    uint32_t architectures = 1;
    for (const char *comma = flags->cuda; comma && (comma = strchr(comma, ',')); comma++)
        architectures++;
    if (architectures > 1) {
        rxn__driver_error(command->driver, "--emit %s is for one architecture, not %u", flags->emit,
                          architectures);
        return RXN_ERROR_USAGE;
    }
    command->gradient.tape_memory =
        rxn__build_emits_for_gpus(flags->emit) ? wanted->gpu_tape_memory : wanted->tape_memory;
    options.kernel = wanted->kernel;
    options.gradient = wanted->gradient;
    options.march = wanted->march;
    options.gpu = flags->cuda;
    return rxn__build_emit(command->driver, command->model, flags->emit, &options, flags->path);
}

static void
print_program(const BuildFlags *flags, const char *name, const RxnBuilt *built)
{
    char bytes[32];
    rxn__format_grouped(bytes, sizeof bytes, built->bytes);
    printf("%s: %s, %zu kernels for %s", flags->path, name, built->kernels, flags->march);
    if (flags->cuda)
        printf(" and %zu for %s", built->gpu_kernels, flags->cuda);
    printf("; %s bytes\n", bytes);
}

static void
print_library(const BuildFlags *flags, const char *name, const RxnBuilt *built)
{
    const char *path = flags->path, *slash = strrchr(path, '/');
    const int folder = slash ? (int)(slash - path) + 1 : 0;
    printf("%s.h, %.*slib%s.a, %.*slib%s.so: %s, %zu kernels for %s\n", path, folder, path,
           path + folder, folder, path, path + folder, name, built->kernels, flags->march);
}

static RxnStatus
build_files(BuildCommand *command)
{
    Driver *driver = command->driver;
    const BuildFlags *flags = &command->flags;
    RxnModel *model;
    RxnBuilt built;
    RxnError *error;
    RxnStatus status = rxn__driver_model(driver, command->model, false, &model);
    if (status == RXN_OK) {
        status = rxn_model_build(model, &command->wanted, flags->path, &built, &error);
        status = rxn__driver_take(driver, status, error);
    }
    if (status == RXN_OK && !flags->quiet) {
        if (is(flags->emit, "lib"))
            print_library(flags, rxn_model_name(model), &built);
        else
            print_program(flags, rxn_model_name(model), &built);
    }
    rxn__driver_end(driver);
    return status;
}

RxnStatus
rxn__cmd_build(Driver *driver, int argc, char **argv)
{
    const RxnDifferentiatorOptions usual = rxn_differentiator_options();
    BuildCommand command = {
        .driver = driver,
        .flags = {.emit = "exe",
                  .march = rxn_build_options().march,
                  .method = "auto",
                  .precision = "f64",
                  .draws = usual.draws,
                  .tau = usual.tau,
                  .difference = usual.difference,
                  .estimators = usual.estimator},
    };
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_build, argc, argv, &command.flags, &command.model,
                            &help))
        return RXN_ERROR_USAGE;
    if (help) {
        print_help(driver);
        return RXN_OK;
    }
    RxnStatus status = check_options(&command);
    if (status != RXN_OK)
        return status;
    return rxn__build_emits(command.flags.emit) ? emit_stage(&command) : build_files(&command);
}
