/* build_program.c: the program itself, linked and put in its place. */
#include <sys/stat.h>

#include "compiler/driver/build.h"
#include "runtime/report.h"

/* The file gets its name when it is whole, so that a failure leaves what was there. */
static bool
link_program(Link *link)
{
    Build *build = link->build;
    Driver *driver = build->driver;
    const char *path = build->options.grad.ensemble.csv;
    OutputFile output;
    if (!rxn__output_open(driver, &output, path))
        return false;
    if (!output.whole.beside) {
        rxn__output_drop(&output);
        rxn__driver_error(driver, "'%s' cannot be written: it is no plain file", path);
        return false;
    }
    Text source;
    rxn__text_init(&source, &driver->engine.session.arena);
    rxn__build_source(build, &source);
    bool good = rxn__link_begin(link, &source);
    if (good) {
        rxn__link_compiler(link);
        rxn__link_arguments(link, "-o");
        rxn__link_argument(link, output.whole.beside);
        rxn__link_everything(link);
        rxn__link_libraries(link);
        if (build->options.link_statically)
            rxn__link_arguments(link, "-static");
        good = rxn__link_run(link) && rxn__output_commit(driver, &output);
    }
    rxn__output_drop(&output);
    rxn__link_end(link);
    return good;
}

RxnStatus
rxn__build_program(Build *build)
{
    Link link = {.build = build};
    const char *path = build->options.grad.ensemble.csv;
    if (!link_program(&link))
        return RXN_ERROR_INPUT;
    struct stat status;
    if (!build->options.quiet && stat(path, &status) == 0) {
        char bytes[32];
        rxn__format_grouped(bytes, sizeof bytes, (u64)status.st_size);
        const char *gpus = build->options.cuda;
        printf("%s: %s, %u kernels for %s", path, build->name, build->ahead.kernels.count,
               build->options.march);
        if (gpus)
            printf(" and %u for %s", build->ahead.cuda_kernels.count, gpus);
        printf("; %s bytes\n", bytes);
    }
    return RXN_OK;
}
