/* build.h: what the files of `rxn build` share: cmd_build.c reads the command line and goes the way of a build;
 * build_kernels.c collects kernels, build_program.c writes and links a program, build_emit.c shows single stages.
 */
#ifndef RXN_DRIVER_BUILD_H
#define RXN_DRIVER_BUILD_H

#include "compiler/driver/grad.h"
#include "compiler/target/ahead.h"

typedef struct BuildOptions {
    GradOptions grad; /* what to differentiate, and how; csv: the file to write */
    const char *emit, *march, *method, *precision;
    const char *tape; /* bytes of one trajectory's */
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
    Ahead ahead;
} Build;

/* build_kernels.c: those of `run`, of `grad` for the objective that was given, and of the fit block. */
RxnStatus rxn__build_kernels(Build *build);

/* Makes the request of a kernel that is not compiled for this process. */
PipelineRequest rxn__build_stages(Build *build, KirType precision);

/* Goes the way of `grad` to its one kernel, or, for several estimators, to all of them one after another; each(context)
 * is called with each in grad->pipeline, or is NULL. */
RxnStatus rxn__build_gradients(Build *build, Grad *grad, PipelineGoal goal,
                               RxnStatus (*each)(void *context, Grad *grad), void *context);

/* build_program.c: the program. */
RxnStatus rxn__build_program(Build *build);

/* build_emit.c: one stage, to the file or to standard output. */
bool rxn__build_emits(const char *form);
extern const char rxn__build_forms[];
RxnStatus rxn__build_emit(Build *build);

#endif
