/* cuda_driver.c: opening NVIDIA's driver (see cuda_driver.h). */
#include "runtime/cuda_driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION_LEAST = 12000 };

void
rxn__cuda_driver_explain(const CudaDriver *driver, CudaResult result, char *text, size_t size)
{
    const char *name = NULL, *meaning = NULL;
    if (driver->get_error_name(result, &name) != CUDA_SUCCESS || !name)
        name = "an error that the driver has no name for";
    if (driver->get_error_string(result, &meaning) != CUDA_SUCCESS || !meaning)
        meaning = "no more is known";
    snprintf(text, size, "%s, %d (%s)", name, result, meaning);
}

static RxnOutcome
explain_start(const CudaDriver *driver, CudaResult result, char *error, size_t error_size)
{
    char why[200];
    rxn__cuda_driver_explain(driver, result, why, sizeof why);
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (result == CUDA_ERROR_NO_DEVICE && visible)
        snprintf(error, error_size,
                 "the NVIDIA driver sees no GPU: CUDA_VISIBLE_DEVICES is '%s'; unset it, or list "
                 "GPUs that there are (nvidia-smi -L)",
                 visible);
    else if (result == CUDA_ERROR_NO_DEVICE)
        snprintf(error, error_size,
                 "the NVIDIA driver sees no GPU: see whether nvidia-smi -L lists one; a container "
                 "has to be given it (docker run --gpus all)");
    else if (result == CUDA_ERROR_STUB_LIBRARY)
        snprintf(
            error, error_size,
            "the libcuda.so.1 that was found is the toolkit's stub, no driver: take its folder "
            "out of LD_LIBRARY_PATH, or install NVIDIA's driver");
    else if (result == CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)
        snprintf(
            error, error_size,
            "the NVIDIA driver does not start: %s; libcuda.so.1 and the kernel's module are of "
            "different releases: restart the machine after an update of the driver",
            why);
    else
        snprintf(error, error_size,
                 "the NVIDIA driver does not start: %s; see whether nvidia-smi works", why);
    return RXN_REFUSED;
}

static RxnOutcome
find_functions(CudaDriver *driver, void *library, const char *path, char *error, size_t error_size)
{
    struct {
        const char *name;
        void *place;
    } functions[] = {
#define LIST(member, name, arguments) {name, &driver->member},
        RXN_CUDA_FUNCTIONS(LIST)
#undef LIST
    };
    for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++) {
        void *symbol = dlsym(library, functions[k].name);
        if (!symbol) {
            snprintf(error, error_size,
                     "'%s' is no NVIDIA driver of CUDA 12 or newer: it lacks %s; update the driver "
                     "(release 525 or newer)",
                     path, functions[k].name);
            return RXN_REFUSED;
        }
        /* POSIX: the address of a function goes through memory. */
        memcpy(functions[k].place, &symbol, sizeof symbol);
    }
    return RXN_DONE;
}

RxnOutcome
rxn__cuda_driver_open(CudaDriver *driver, char *error, size_t error_size)
{
    const char *named = getenv("RXN_CUDA_DRIVER");
    const char *path = named && named[0] ? named : "libcuda.so.1";
    *driver = (CudaDriver){0};
    /* Never closed: the driver has threads of its own and handlers for the end of the process. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        if (path == named)
            snprintf(error, error_size,
                     "RXN_CUDA_DRIVER does not name a driver that can be opened: %s",
                     why ? why : path);
        else
            snprintf(
                error, error_size,
                "there is no NVIDIA driver: %s; install it (release 525 or newer); a container "
                "has to be given it (docker run --gpus all)",
                why ? why : path);
        return RXN_REFUSED;
    }
    RxnOutcome outcome = find_functions(driver, library, path, error, error_size);
    if (outcome != RXN_DONE)
        return outcome;
    CudaResult result = driver->init(0);
    if (result != CUDA_SUCCESS)
        return explain_start(driver, result, error, error_size);
    int version = 0;
    if (driver->get_version(&version) != CUDA_SUCCESS || version < VERSION_LEAST) {
        snprintf(
            error, error_size,
            "the NVIDIA driver is too old: it is made for CUDA %d.%d, and 12.0 is needed: update "
            "it to release 525 or newer",
            version / 1000, version / 10 % 100);
        return RXN_REFUSED;
    }
    driver->version = (uint32_t)version;
    int gpus = 0;
    result = driver->device_count(&gpus);
    if (result == CUDA_SUCCESS && gpus <= 0)
        result = CUDA_ERROR_NO_DEVICE;
    if (result != CUDA_SUCCESS)
        return explain_start(driver, result, error, error_size);
    driver->gpus = (uint32_t)gpus;
    return RXN_DONE;
}
