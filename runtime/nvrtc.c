/* nvrtc.c: finding NVRTC, and compiling with it (see nvrtc.h).
 *
 * The functions and the numbers of results are those of NVIDIA's manual "NVRTC"; their declarations are
 * written down here, since CUDA's headers are not needed to build. All of them are as old as CUDA 12.
 */
#include "runtime/nvrtc.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { NVRTC_SUCCESS = 0, NVRTC_ERROR_BUILTIN_OPERATION_FAILURE = 7 };

typedef struct NvrtcProgram NvrtcProgram; /* nvrtcProgram is a pointer to one */

struct RxnNvrtc {
    char *path;
    uint32_t version;
    int *architectures;
    int architecture_count;
    bool has_builtins; /* its second library has been looked for */

    int (*get_version)(int *, int *);
    int (*get_architecture_count)(int *);
    int (*get_architectures)(int *);
    int (*create)(NvrtcProgram **, const char *, const char *, int, const char *const *,
                  const char *const *);
    int (*destroy)(NvrtcProgram **);
    int (*compile)(NvrtcProgram *, int, const char *const *);
    int (*get_cubin_size)(NvrtcProgram *, size_t *);
    int (*get_cubin)(NvrtcProgram *, char *);
    int (*get_ptx_size)(NvrtcProgram *, size_t *);
    int (*get_ptx)(NvrtcProgram *, char *);
    int (*get_log_size)(NvrtcProgram *, size_t *);
    int (*get_log)(NvrtcProgram *, char *);
    const char *(*get_error)(int);
};

/* ---- finding it -------------------------------------------------------------------------------- */

static const char *const names[] = {"libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", NULL};

/* Below the folder of RXN_NVRTC: itself, and where CUDA and its Python wheels put their libraries. */
static const char *const inner[] = {
    "", "/lib64", "/lib", "/nvidia/cuda_nvrtc/lib", "/nvidia/cu13/lib", "/cuda_nvrtc/lib", NULL,
};

static const char *const folders[] = {
    "/usr/local/cuda/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/opt/cuda/lib64",
    NULL,
};

static const char *const variables[] = {"CUDA_HOME", "CUDA_PATH", NULL};

typedef struct Search {
    uint32_t driver_version; /* 0: any */
    RxnNvrtc *best;     /* the first that is good, or else one that the driver is too old for */
    RxnOutcome outcome; /* of the first library that is there, but no good */
    char message[512];
} Search;

/* The address of a function, as a function: POSIX asks for this way through memory. */
#define FIND(library, member, name)                                                                \
    (find((library), (name), &(member), sizeof(member)) ? NULL : (name))

static bool
find(void *library, const char *name, void *ret_function, size_t size)
{
    void *symbol = dlsym(library, name);
    memcpy(ret_function, &symbol, size);
    return symbol != NULL;
}

/* The name of a function that the library lacks; NULL: it has all. */
static const char *
find_functions(RxnNvrtc *nvrtc, void *library)
{
    const char *missing[] = {
        FIND(library, nvrtc->get_version, "nvrtcVersion"),
        FIND(library, nvrtc->get_architecture_count, "nvrtcGetNumSupportedArchs"),
        FIND(library, nvrtc->get_architectures, "nvrtcGetSupportedArchs"),
        FIND(library, nvrtc->create, "nvrtcCreateProgram"),
        FIND(library, nvrtc->destroy, "nvrtcDestroyProgram"),
        FIND(library, nvrtc->compile, "nvrtcCompileProgram"),
        FIND(library, nvrtc->get_cubin_size, "nvrtcGetCUBINSize"),
        FIND(library, nvrtc->get_cubin, "nvrtcGetCUBIN"),
        FIND(library, nvrtc->get_ptx_size, "nvrtcGetPTXSize"),
        FIND(library, nvrtc->get_ptx, "nvrtcGetPTX"),
        FIND(library, nvrtc->get_log_size, "nvrtcGetProgramLogSize"),
        FIND(library, nvrtc->get_log, "nvrtcGetProgramLog"),
        FIND(library, nvrtc->get_error, "nvrtcGetErrorString"),
    };
    for (size_t k = 0; k < sizeof missing / sizeof missing[0]; k++)
        if (missing[k])
            return missing[k];
    return NULL;
}

/* What is wrong with it, or NULL. It stays loaded either way: unloading libraries of this size, which may
 * have set handlers for the end of the process, gains nothing. */
static RxnOutcome
fill(RxnNvrtc *nvrtc, void *library, const char *path, char *message, size_t size)
{
    const char *missing = find_functions(nvrtc, library);
    int major = 0, minor = 0;
    if (!missing && nvrtc->get_version(&major, &minor) != NVRTC_SUCCESS)
        major = 0;
    if (!missing && major > 0 && major < 12) {
        snprintf(
            message, size,
            "NVRTC %d.%d ('%s') is too old: install NVRTC of CUDA 12 or newer (Python: pip "
            "install nvidia-cuda-nvrtc-cu12), and set RXN_NVRTC to its libnvrtc.so if it is not "
            "found then",
            major, minor, path);
        return RXN_REFUSED;
    }
    if (missing || major == 0) {
        snprintf(message, size, "'%s' is no NVRTC of CUDA 12 or newer: it lacks %s", path,
                 missing ? missing : "a version");
        return RXN_REFUSED;
    }
    nvrtc->version = (uint32_t)(major * 1000 + minor * 10);
    int count = 0;
    if (nvrtc->get_architecture_count(&count) != NVRTC_SUCCESS || count <= 0) {
        snprintf(message, size, "NVRTC %d.%d ('%s') knows no GPU: its installation is broken",
                 major, minor, path);
        return RXN_REFUSED;
    }
    nvrtc->path = strdup(path);
    nvrtc->architectures = calloc((size_t)count, sizeof *nvrtc->architectures);
    nvrtc->architecture_count = count;
    if (!nvrtc->path || !nvrtc->architectures ||
        nvrtc->get_architectures(nvrtc->architectures) != NVRTC_SUCCESS) {
        snprintf(message, size, "out of memory for NVRTC");
        return RXN_NO_MEMORY;
    }
    return RXN_DONE;
}

/* Returns true once there is no need to look further. */
static bool
try_file(Search *search, const char *path)
{
    struct stat status;
    bool named = strchr(path, '/') != NULL;
    if (named && stat(path, &status) != 0)
        return false;
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        if (named && search->outcome == RXN_DONE) {
            snprintf(search->message, sizeof search->message,
                     "NVRTC cannot be opened: %s: install it again, or set RXN_NVRTC to another "
                     "libnvrtc.so",
                     why ? why : path);
            search->outcome = RXN_REFUSED;
        }
        return false;
    }
    char message[sizeof search->message];
    RxnNvrtc *nvrtc = calloc(1, sizeof *nvrtc);
    RxnOutcome outcome = RXN_NO_MEMORY;
    if (nvrtc)
        outcome = fill(nvrtc, library, path, message, sizeof message);
    else
        snprintf(message, sizeof message, "out of memory for NVRTC");
    if (outcome != RXN_DONE) {
        if (search->outcome == RXN_DONE) {
            search->outcome = outcome;
            memcpy(search->message, message, sizeof message);
        }
        rxn__nvrtc_close(nvrtc);
        return false;
    }
    bool fits =
        search->driver_version == 0 || nvrtc->version / 1000 <= search->driver_version / 1000;
    if (!fits && search->best) {
        rxn__nvrtc_close(nvrtc);
        return false;
    }
    rxn__nvrtc_close(search->best);
    search->best = nvrtc;
    return fits;
}

static bool
try_folder(Search *search, const char *folder, const char *below)
{
    for (size_t k = 0; names[k]; k++) {
        char path[4096];
        int length = snprintf(path, sizeof path, "%s%s/%s", folder, below, names[k]);
        if (length < (int)sizeof path && try_file(search, path))
            return true;
    }
    return false;
}

static void
look_everywhere(Search *search)
{
    for (size_t k = 0; names[k]; k++)
        if (try_file(search, names[k]))
            return;
    for (size_t k = 0; variables[k]; k++) {
        const char *folder = getenv(variables[k]);
        if (folder && folder[0] && try_folder(search, folder, "/lib64"))
            return;
    }
    for (size_t k = 0; folders[k]; k++)
        if (try_folder(search, folders[k], ""))
            return;
}

static void
look_in(Search *search, const char *named)
{
    struct stat status;
    if (stat(named, &status) != 0) {
        snprintf(search->message, sizeof search->message,
                 "RXN_NVRTC is '%s', which is not there: set it to libnvrtc.so or its folder, or "
                 "unset it",
                 named);
        search->outcome = RXN_REFUSED;
        return;
    }
    if (!S_ISDIR(status.st_mode)) {
        /* With a slash, so that dlopen takes the file that was looked at. */
        char path[4096];
        snprintf(path, sizeof path, "%s%s", strchr(named, '/') ? "" : "./", named);
        try_file(search, path);
        return;
    }
    for (size_t k = 0; inner[k]; k++)
        if (try_folder(search, named, inner[k]))
            return;
    if (!search->best && search->outcome == RXN_DONE) {
        snprintf(search->message, sizeof search->message,
                 "there is no libnvrtc.so, libnvrtc.so.13 or libnvrtc.so.12 in '%s', which "
                 "RXN_NVRTC names",
                 named);
        search->outcome = RXN_REFUSED;
    }
}

RxnOutcome
rxn__nvrtc_open_for(uint32_t driver_version, RxnNvrtc **ret_nvrtc, char *error, size_t error_size)
{
    Search search = {.driver_version = driver_version, .outcome = RXN_DONE};
    const char *named = getenv("RXN_NVRTC");
    if (named && named[0])
        look_in(&search, named);
    else
        look_everywhere(&search);
    *ret_nvrtc = search.best;
    if (search.best)
        return RXN_DONE;
    if (search.outcome == RXN_DONE) {
        search.outcome = RXN_REFUSED;
        snprintf(search.message, sizeof search.message,
                 "NVRTC, the compiler for GPUs, is not installed: no libnvrtc.so (.13, .12) in the "
                 "loader's path, /usr/local/cuda/lib64 and the like; install CUDA 12 or newer, or "
                 "pip install nvidia-cuda-nvrtc-cu12, and set RXN_NVRTC to the file or its folder");
    }
    snprintf(error, error_size, "%s", search.message);
    return search.outcome;
}

RxnOutcome
rxn__nvrtc_open(RxnNvrtc **ret_nvrtc, char *error, size_t error_size)
{
    return rxn__nvrtc_open_for(0, ret_nvrtc, error, error_size);
}

void
rxn__nvrtc_close(RxnNvrtc *nvrtc)
{
    if (!nvrtc)
        return;
    free(nvrtc->path);
    free(nvrtc->architectures);
    free(nvrtc);
}

uint32_t
rxn__nvrtc_version(const RxnNvrtc *nvrtc)
{
    return nvrtc->version;
}

const char *
rxn__nvrtc_path(const RxnNvrtc *nvrtc)
{
    return nvrtc->path;
}

bool
rxn__nvrtc_knows(const RxnNvrtc *nvrtc, uint32_t architecture)
{
    for (int k = 0; k < nvrtc->architecture_count; k++)
        if ((uint32_t)nvrtc->architectures[k] == architecture)
            return true;
    return false;
}

uint32_t
rxn__nvrtc_architectures(const RxnNvrtc *nvrtc, const int **ret_architectures)
{
    *ret_architectures = nvrtc->architectures;
    return (uint32_t)nvrtc->architecture_count;
}

uint32_t
rxn__nvrtc_nearest(const RxnNvrtc *nvrtc, uint32_t architecture)
{
    uint32_t nearest = 0;
    for (int k = 0; k < nvrtc->architecture_count; k++) {
        uint32_t known = (uint32_t)nvrtc->architectures[k];
        if (known <= architecture && known > nearest)
            nearest = known;
    }
    return nearest;
}

/* ---- compiling --------------------------------------------------------------------------------- */

/* The defaults of --prec-div, --prec-sqrt and --ftz are the same; written out, they cannot change. */
static const char *const exact_options[] = {
    "--fmad=false", "--prec-div=true", "--prec-sqrt=true", "--ftz=false", NULL,
};

static const char *const fast_options[] = {"--use_fast_math", "--fmad=true", NULL};

static const char *const common_options[] = {"--std=c++17", NULL};

enum { OPTIONS_MOST = 12 };

/* Adds a list of options to one of at most OPTIONS_MOST. */
static int
add_options(const char **options, int count, const char *const *more)
{
    for (; *more; more++)
        options[count++] = *more;
    return count;
}

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* NVRTC opens this library when it compiles, by its name alone: it is found where the first one was. */
static void
open_builtins(RxnNvrtc *nvrtc)
{
    const char *end = strrchr(nvrtc->path, '/');
    char path[4200];
    if (nvrtc->has_builtins || !end)
        return;
    nvrtc->has_builtins = true;
    snprintf(path, sizeof path, "%.*s/libnvrtc-builtins.so.%u.%u", (int)(end - nvrtc->path),
             nvrtc->path, nvrtc->version / 1000, nvrtc->version / 10 % 100);
    dlopen(path, RTLD_LAZY | RTLD_LOCAL);
}

/* What the program has of one kind, and a zero byte; to be freed; NULL: it has none. */
static char *
take(NvrtcProgram *program, int (*get_size)(NvrtcProgram *, size_t *),
     int (*get)(NvrtcProgram *, char *), size_t *ret_size)
{
    size_t size = 0;
    if (get_size(program, &size) != NVRTC_SUCCESS || size == 0)
        return NULL;
    char *bytes = malloc(size + 1);
    if (bytes && get(program, bytes) != NVRTC_SUCCESS) {
        free(bytes);
        return NULL;
    }
    if (bytes)
        bytes[size] = 0;
    *ret_size = size;
    return bytes;
}

static RxnOutcome
compile(RxnNvrtc *nvrtc, NvrtcProgram *program, const char *name, uint32_t architecture, bool ptx,
        bool fast_math, bool verbose, RxnNvrtcOutput *output, char *error, size_t error_size)
{
    char target[48];
    snprintf(target, sizeof target, "--gpu-architecture=%s_%u", ptx ? "compute" : "sm",
             architecture);
    const char *options[OPTIONS_MOST] = {target};
    int count = add_options(options, 1, fast_math ? fast_options : exact_options);
    count = add_options(options, count, common_options);
    if (verbose && !ptx)
        options[count++] = "--ptxas-options=-v";
    int result = nvrtc->compile(program, count, options);
    size_t log_size = 0;
    output->log = take(program, nvrtc->get_log_size, nvrtc->get_log, &log_size);
    if (output->log && output->log[0] == 0) {
        free(output->log);
        output->log = NULL;
    }
    uint32_t major = nvrtc->version / 1000, minor = nvrtc->version / 10 % 100;
    if (result == NVRTC_ERROR_BUILTIN_OPERATION_FAILURE) {
        snprintf(
            error, error_size,
            "NVRTC %u.%u ('%s') does not find libnvrtc-builtins.so.%u.%u, which belongs to it: "
            "install it again, or put both in one folder",
            major, minor, nvrtc->path, major, minor);
        return RXN_REFUSED;
    }
    if (result != NVRTC_SUCCESS) {
        snprintf(error, error_size, "NVRTC %u.%u does not compile '%s' for %s_%u: %s", major, minor,
                 name, ptx ? "compute" : "sm", architecture, nvrtc->get_error(result));
        return RXN_BROKEN;
    }
    output->code = ptx ? take(program, nvrtc->get_ptx_size, nvrtc->get_ptx, &output->size)
                       : take(program, nvrtc->get_cubin_size, nvrtc->get_cubin, &output->size);
    if (!output->code) {
        snprintf(error, error_size, "NVRTC %u.%u made no code of '%s' for %s_%u", major, minor,
                 name, ptx ? "compute" : "sm", architecture);
        return RXN_BROKEN;
    }
    return RXN_DONE;
}

RxnOutcome
rxn__nvrtc_compile(RxnNvrtc *nvrtc, const char *source, const char *name, uint32_t architecture,
                   bool ptx, bool fast_math, bool verbose, RxnNvrtcOutput *ret_output, char *error,
                   size_t error_size)
{
    *ret_output = (RxnNvrtcOutput){0};
    if (!rxn__nvrtc_knows(nvrtc, architecture)) {
        snprintf(error, error_size, "NVRTC %u.%u ('%s') makes no code for sm_%u: install %s one",
                 nvrtc->version / 1000, nvrtc->version / 10 % 100, nvrtc->path, architecture,
                 rxn__nvrtc_nearest(nvrtc, architecture) ? "a newer" : "an older");
        return RXN_REFUSED;
    }
    double start = now();
    open_builtins(nvrtc);
    NvrtcProgram *program = NULL;
    int result = nvrtc->create(&program, source, name, 0, NULL, NULL);
    if (result != NVRTC_SUCCESS) {
        snprintf(error, error_size, "NVRTC does not take '%s': %s", name, nvrtc->get_error(result));
        return RXN_NO_MEMORY;
    }
    RxnOutcome outcome = compile(nvrtc, program, name, architecture, ptx, fast_math, verbose,
                                 ret_output, error, error_size);
    nvrtc->destroy(&program);
    ret_output->seconds = now() - start;
    return outcome;
}

void
rxn__nvrtc_describe(const RxnNvrtc *nvrtc, bool fast_math, char *text, size_t size)
{
    const char *options[OPTIONS_MOST];
    int count = add_options(options, 0, fast_math ? fast_options : exact_options);
    count = add_options(options, count, common_options);
    int length =
        snprintf(text, size, "nvrtc %u.%u", nvrtc->version / 1000, nvrtc->version / 10 % 100);
    for (int k = 0; k < count && length > 0 && (size_t)length < size; k++)
        length += snprintf(text + length, size - (size_t)length, " %s", options[k]);
}
