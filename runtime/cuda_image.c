/* cuda_image.c: code of a kernel for one GPU. It is taken from where it is to be had soonest: what the kernel brings with
 * it (a program that was built for GPUs), the cache, NVRTC.
 *
 * Machine code runs on later GPUs of the same major number, PTX on all later ones, by the driver's own compiler
 * (CUDA C++ Programming Guide, "Binary Compatibility", "PTX Compatibility"). What a kernel brings comes before NVRTC
 * even where it is PTX: a program that was built for GPUs should not depend on what else is installed.
 *
 * The key of a cache entry is the architecture, NVRTC's version and options, our version and the source.
 */
#include "runtime/cuda_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cache.h"
#include "runtime/version.h"

/* Raised whenever the way in which a source is compiled changes for the same options. */
enum { LOADING_VERSION = 1 };

/* ---- what the kernel brings -------------------------------------------------------------------- */

bool
rxn__cuda_runs(uint32_t made_for, bool is_ptx, uint32_t architecture)
{
    return made_for <= architecture && (is_ptx || made_for / 10 == architecture / 10);
}

static bool
suits(const RxnCudaBinary *binary, uint32_t architecture, CudaWay way)
{
    CudaWay own = binary->is_ptx                         ? CUDA_WAY_PTX
                  : binary->architecture == architecture ? CUDA_WAY_EXACT
                                                         : CUDA_WAY_MAJOR;
    return own == way && rxn__cuda_runs(binary->architecture, binary->is_ptx, architecture);
}

/* The newest of those that suit. */
static const RxnCudaBinary *
find_binary(const RxnCudaKernel *kernel, uint32_t architecture, CudaWay way)
{
    const RxnCudaBinary *best = NULL;
    for (uint32_t k = 0; k < kernel->binary_count; k++) {
        const RxnCudaBinary *binary = &kernel->binaries[k];
        if (suits(binary, architecture, way) &&
            (!best || binary->architecture > best->architecture))
            best = binary;
    }
    return best;
}

static void
take_binary(CudaImage *image, const RxnCudaBinary *binary, CudaWay way)
{
    *image = (CudaImage){.architecture = image->architecture,
                         .made_for = binary->architecture,
                         .way = way,
                         .code = binary->code,
                         .size = binary->size,
                         .is_ptx = binary->is_ptx};
}

/* "machine code for sm_80, sm_90 and PTX for sm_80 and newer" */
static void
list_binaries(const RxnCudaKernel *kernel, char *text, size_t size)
{
    size_t used = 0;
    for (int ptx = 0; ptx < 2; ptx++) {
        const char *before = ptx ? "PTX for sm_" : "machine code for sm_";
        for (uint32_t k = 0; k < kernel->binary_count && used < size; k++) {
            if (kernel->binaries[k].is_ptx != ptx)
                continue;
            used +=
                (size_t)snprintf(text + used, size - used, "%s%s%u%s", ptx && used ? " and " : "",
                                 before, kernel->binaries[k].architecture, ptx ? " and newer" : "");
            before = ", sm_";
        }
    }
}

/* That none of it suits, and what can be done; in front of why NVRTC cannot help, which the loader's error says. */
static void
explain_none(CudaLoader *loader, const CudaGpu *gpu)
{
    char held[512] = "nothing", why[600] = "";
    list_binaries(loader->kernel, held, sizeof held);
    if (loader->kernel->source)
        snprintf(why, sizeof why, "; nor can it be compiled here: %.500s", loader->error);
    snprintf(loader->error, loader->error_size,
             "this program holds no code that GPU %u (%.60s, sm_%u) can run, only %s: build it "
             "with 'rxn build --cuda sm_%u', or run it on the processor%s",
             gpu->device.number, gpu->device.name, gpu->device.architecture, held,
             gpu->device.architecture, why);
}

/* ---- what is compiled here --------------------------------------------------------------------- */

static bool
make_key(CudaLoader *loader, const CudaImage *image)
{
    char nvrtc[256];
    rxn__nvrtc_describe(loader->nvrtc, loader->kernel->fast_math, nvrtc, sizeof nvrtc);
    size_t source = loader->kernel->source_length, room = sizeof nvrtc + 128;
    free(loader->key);
    loader->key = malloc(room + source);
    if (!loader->key)
        return false;
    int length =
        snprintf(loader->key, room, "rxn %s cuda %d\n%s_%u\n%s\n", RXN_VERSION_TEXT,
                 LOADING_VERSION, image->is_ptx ? "compute" : "sm", image->made_for, nvrtc);
    memcpy(loader->key + length, loader->kernel->source, source);
    loader->key_length = (size_t)length + source;
    return true;
}

static RxnOutcome
compile(CudaLoader *loader, CudaImage *image)
{
    const RxnCudaKernel *kernel = loader->kernel;
    RxnNvrtcOutput output;
    char why[300];
    RxnOutcome outcome =
        rxn__nvrtc_compile(loader->nvrtc, kernel->source, kernel->name, image->made_for,
                           image->is_ptx, kernel->fast_math, false, &output, why, sizeof why);
    if (outcome == RXN_DONE) {
        image->code = image->owned = output.code;
        image->size = output.size;
        image->seconds += output.seconds;
        image->from_cache = false;
        if (loader->cache)
            rxn__cache_store(loader->cache, loader->key, loader->key_length, output.code,
                             output.size);
    } else {
        size_t end = output.log ? strlen(output.log) : 0;
        bool broken = end > 0 && output.log[end - 1] != '\n';
        snprintf(loader->error, loader->error_size, "%s%s%s", output.log ? output.log : "",
                 broken ? "\n" : "", why);
    }
    free(output.log);
    return outcome;
}

RxnOutcome
rxn__cuda_image_renew(CudaLoader *loader, CudaImage *image)
{
    free(image->owned);
    image->code = image->owned = NULL;
    return make_key(loader, image) ? compile(loader, image) : RXN_NO_MEMORY;
}

/* From the cache, or compiled. */
static RxnOutcome
image_of_source(CudaLoader *loader, CudaImage *image)
{
    const RxnNvrtc *nvrtc = loader->nvrtc;
    *image = (CudaImage){.architecture = image->architecture, .way = CUDA_WAY_SOURCE};
    image->made_for = rxn__nvrtc_nearest(nvrtc, image->architecture);
    if (image->made_for == 0) {
        snprintf(
            loader->error, loader->error_size,
            "NVRTC %u.%u no longer makes code for a GPU as old as this one (sm_%u): install an "
            "older NVRTC (Python: pip install nvidia-cuda-nvrtc-cu12) and set RXN_NVRTC to its "
            "folder",
            rxn__nvrtc_version(nvrtc) / 1000, rxn__nvrtc_version(nvrtc) / 10 % 100,
            image->architecture);
        return RXN_REFUSED;
    }
    image->is_ptx = image->made_for != image->architecture;
    if (!make_key(loader, image)) {
        snprintf(loader->error, loader->error_size, "out of memory");
        return RXN_NO_MEMORY;
    }
    if (loader->cache && rxn__cache_find(loader->cache, loader->key, loader->key_length,
                                         &image->owned, &image->size)) {
        image->code = image->owned;
        image->from_cache = true;
        return RXN_DONE;
    }
    return compile(loader, image);
}

RxnOutcome
rxn__cuda_image_find(CudaLoader *loader, const CudaGpu *gpu, CudaWay from, CudaImage *image)
{
    const RxnCudaKernel *kernel = loader->kernel;
    image->architecture = gpu->device.architecture;
    for (CudaWay way = from; way < CUDA_WAY_SOURCE; way++) {
        const RxnCudaBinary *binary = find_binary(kernel, image->architecture, way);
        if (!binary)
            continue;
        take_binary(image, binary, way);
        return RXN_DONE;
    }
    RxnOutcome outcome = RXN_REFUSED;
    if (kernel->source && !loader->nvrtc)
        outcome = rxn__nvrtc_open_for(loader->cuda->driver.version, &loader->nvrtc, loader->error,
                                      loader->error_size);
    if (loader->nvrtc)
        outcome = image_of_source(loader, image);
    if (outcome == RXN_REFUSED && (kernel->binary_count > 0 || !kernel->source))
        explain_none(loader, gpu);
    return outcome;
}
