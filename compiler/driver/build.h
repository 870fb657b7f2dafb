/* build.h: what the files of `rxn build` share: cmd_build.c reads the command line and goes the way of a build;
 * build_cuda.c asks NVRTC for which GPUs it can be; build_kernels.c collects kernels, build_source.c writes them and the model as C, build_link.c calls the C compiler,
 * build_program.c and build_library.c say what for. (Single stages are build_emit.c's, which needs none of this.)
 */
#ifndef RXN_DRIVER_BUILD_H
#define RXN_DRIVER_BUILD_H

#include "compiler/driver/build_emit.h"
#include "compiler/driver/driver.h"
#include "compiler/engine/grad.h"
#include "compiler/target/ahead.h"

typedef struct BuildOptions {
    GradOptions grad; /* what to differentiate, and how; csv: the file to write */
    const char *emit, *march, *cuda, *method, *precision;
    const char *tape, *cuda_tape; /* bytes of one trajectory's */
    bool link_statically, quiet;
} BuildOptions;

/* A file that the model uses. */
typedef struct UsedFile {
    const char *from, *path, *resolved, *text;
    size_t length;
} UsedFile;

typedef struct Build {
    Driver *driver;
    BuildOptions options;
    const char *model_path; /* as messages show it */
    u32 file;
    const char *name;   /* the model's */
    SourceLoader files; /* that of rxn; the driver's own notes down what was loaded */
    VEC(UsedFile) used;
    const char *device; /* whose kernels are collected: "cpu", "cuda" */
    Ahead ahead;
} Build;

/* build_cuda.c: where GPUs are wanted, opens NVRTC and reads --cuda. */
RxnStatus rxn__build_open_cuda(Build *build);

/* build_kernels.c: those of `run`, of `grad` for the objective that was given, and of the fit block. */
RxnStatus rxn__build_kernels(Build *build);

/* Makes the request of a kernel that is not compiled for this process. */
PipelineRequest rxn__build_stages(Build *build, KirType precision);

/* build_source.c: model, kernels and wishes as C; and a text as a C literal. */
void rxn__build_source(const Build *build, Text *out);
void rxn__build_literal(Text *out, const char *text, size_t length);

/* build_link.c: the system's C compiler at work, on files in a folder that is thrown away. */
typedef struct Link {
    Build *build;
    const char *folder, *library, *log;
    VEC(const char *) files;  /* in the folder */
    VEC(const char *) inputs; /* those that are linked */
    VEC(char *) arguments;    /* of the command that is to be run */
    bool compiles;            /* which is the C compiler */
} Link;

/* The folder, with this source, which becomes program.c, and the kernels in it; false after an error. To be ended whatever it returns. */
bool rxn__link_begin(Link *link, const Text *source);
void rxn__link_end(Link *link);

/* One file more, which is not linked: its path; NULL after an error. */
const char *rxn__link_place(Link *link, const char *name, const char *bytes, size_t size);

/* A new command: of these words, or that of the C compiler; then what is behind it: words with spaces between, one argument, all inputs with
 * librxn_model.a, the system's libraries. */
void rxn__link_command(Link *link, const char *words);
void rxn__link_compiler(Link *link);
void rxn__link_arguments(Link *link, const char *words);
void rxn__link_argument(Link *link, const char *text);
void rxn__link_everything(Link *link);
void rxn__link_libraries(Link *link);

/* False after an error, which shows what the command said. */
bool rxn__link_run(Link *link);

/* build_program.c: the program. */
RxnStatus rxn__build_program(Build *build);

/* build_library.c: a static and a shared library with their header; the header alone. */
RxnStatus rxn__build_library(Build *build);

#endif
