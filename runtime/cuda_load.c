/* cuda_load.c: from a kernel to what the GPUs can launch. GPUs of one architecture share the code (cuda_image.h). Code from
 * the cache that the driver does not take is compiled again; where it does not take what the kernel itself brings, the
 * next best is tried.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda_image.h"

/* ---- loading ----------------------------------------------------------------------------------- */

static RxnOutcome
explain_refusal(CudaLoader *loader, const CudaGpu *gpu, const CudaImage *image, CudaResult result,
                const char *log)
{
    const CudaDriver *driver = &loader->cuda->driver;
    if (result == CUDA_ERROR_OUT_OF_MEMORY)
        return rxn__cuda_failure(loader->cuda, gpu, result, "the kernel was loaded", loader->error,
                                 loader->error_size);
    char why[200], advice[200] = "";
    rxn__cuda_driver_explain(driver, result, why, sizeof why);
    bool own = image->way != CUDA_WAY_SOURCE;
    uint32_t version = own             ? loader->kernel->binary_nvrtc
                       : loader->nvrtc ? rxn__nvrtc_version(loader->nvrtc)
                                       : 0;
    if (version > driver->version && own)
        snprintf(advice, sizeof advice,
                 "; it was built with NVRTC %u.%u, which is newer than the driver (made for CUDA "
                 "%u.%u): update the driver, or build the program with an older NVRTC",
                 version / 1000, version / 10 % 100, driver->version / 1000,
                 driver->version / 10 % 100);
    else if (version > driver->version)
        snprintf(advice, sizeof advice,
                 "; NVRTC %u.%u is newer than the driver, which is made for CUDA %u.%u: update the "
                 "driver, or set RXN_NVRTC to an NVRTC of that release",
                 version / 1000, version / 10 % 100, driver->version / 1000,
                 driver->version / 10 % 100);
    snprintf(loader->error, loader->error_size,
             "%s%sGPU %u (%.60s, sm_%u) does not take the kernel's %s for sm_%u: %s%s", log,
             log[0] && log[strlen(log) - 1] != '\n' ? "\n" : "", gpu->device.number,
             gpu->device.name, gpu->device.architecture, image->is_ptx ? "PTX" : "machine code",
             image->made_for, why, advice);
    return version > driver->version ? RXN_REFUSED : RXN_BROKEN;
}

static CudaResult
load_module(const CudaDriver *driver, const CudaImage *image, CudaModule **ret_module, char *log,
            size_t log_size)
{
    int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)(log_size - 1)};
    memset(log, 0, log_size);
    return driver->module_load(ret_module, image->code, image->is_ptx ? 2 : 0,
                               image->is_ptx ? options : NULL, image->is_ptx ? values : NULL);
}

static RxnOutcome
load_image(CudaLoader *loader, const CudaGpu *gpu, CudaImage *image, CudaModule **ret_module)
{
    char log[2048];
    const CudaDriver *driver = &loader->cuda->driver;
    CudaResult result = load_module(driver, image, ret_module, log, sizeof log);
    bool refused = result != CUDA_SUCCESS && result != CUDA_ERROR_OUT_OF_MEMORY;
    if (refused && image->from_cache) {
        RxnOutcome outcome = rxn__cuda_image_renew(loader, image);
        if (outcome != RXN_DONE)
            return outcome;
        result = load_module(driver, image, ret_module, log, sizeof log);
    }
    if (result == CUDA_SUCCESS)
        return RXN_DONE;
    *ret_module = NULL;
    if (refused && image->way != CUDA_WAY_SOURCE) {
        CudaImage next = {0};
        if (rxn__cuda_image_find(loader, gpu, image->way + 1, &next) == RXN_DONE) {
            *image = next;
            return load_image(loader, gpu, image, ret_module);
        }
    }
    return explain_refusal(loader, gpu, image, result, log);
}

static RxnOutcome
find_function(CudaLoader *loader, CudaLoaded *loaded, const char *name, CudaFunction **ret_function)
{
    CudaResult result = loader->cuda->driver.module_function(ret_function, loaded->module, name);
    if (result == CUDA_SUCCESS)
        return RXN_DONE;
    char why[200];
    rxn__cuda_driver_explain(&loader->cuda->driver, result, why, sizeof why);
    snprintf(loader->error, loader->error_size, "the code of '%s' has no function %s: %s",
             loader->kernel->name, name, why);
    return RXN_BROKEN;
}

static RxnOutcome
find_constants(CudaLoader *loader, CudaLoaded *loaded)
{
    size_t size = 0;
    CudaResult result = loader->cuda->driver.module_global(&loaded->constants, &size,
                                                           loaded->module, "rxn_constants");
    if (result == CUDA_SUCCESS && size >= loader->kernel->constant_bytes)
        return RXN_DONE;
    snprintf(loader->error, loader->error_size,
             "the code of '%s' has no variable rxn_constants of %llu bytes", loader->kernel->name,
             (unsigned long long)loader->kernel->constant_bytes);
    return RXN_BROKEN;
}

typedef struct Needs {
    int threads_most, shared, local, registers;
} Needs;

static CudaResult
function_needs(const CudaDriver *driver, CudaFunction *function, Needs *needs)
{
    struct {
        int attribute, *value;
    } wanted[] = {
        {CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, &needs->threads_most},
        {CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, &needs->shared},
        {CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, &needs->local},
        {CU_FUNC_ATTRIBUTE_NUM_REGS, &needs->registers},
    };
    CudaResult result = CUDA_SUCCESS;
    for (size_t k = 0; k < sizeof wanted / sizeof wanted[0] && result == CUDA_SUCCESS; k++)
        result = driver->function_get(wanted[k].value, wanted[k].attribute, function);
    return result;
}

static RxnOutcome
refuse_threads(CudaLoader *loader, const CudaGpu *gpu, const char *function, const Needs *needs,
               uint32_t threads)
{
    snprintf(
        loader->error, loader->error_size,
        "'%s' takes %d registers a thread in %s: GPU %u (%.60s) then runs %d threads a block at "
        "most, and it needs %u; run it on the CPU",
        loader->kernel->name, needs->registers, function, gpu->device.number, gpu->device.name,
        needs->threads_most, threads);
    return RXN_REFUSED;
}

/* How many blocks fill the GPU; refuses a kernel of which not even one fits. */
static RxnOutcome
measure(CudaLoader *loader, const CudaGpu *gpu, CudaLoaded *loaded, RxnCudaProgramInfo *info)
{
    const CudaDriver *driver = &loader->cuda->driver;
    const RxnCudaKernel *kernel = loader->kernel;
    Needs run = {0}, uniform = {0}, reduce = {0};
    CudaResult result = function_needs(driver, loaded->run, &run);
    if (result == CUDA_SUCCESS && loaded->uniform)
        result = function_needs(driver, loaded->uniform, &uniform);
    if (result == CUDA_SUCCESS)
        result = function_needs(driver, loaded->reduce, &reduce);
    uint64_t shared = (uint64_t)kernel->shared_bytes + (uint64_t)run.shared;
    if (result == CUDA_SUCCESS && shared > gpu->shared_most) {
        char need[32], have[32];
        rxn__cuda_bytes(shared, need, sizeof need);
        rxn__cuda_bytes(gpu->shared_most, have, sizeof have);
        snprintf(loader->error, loader->error_size,
                 "'%s' needs %s of shared memory a block, and GPU %u (%.60s) has %s: the model is "
                 "too large for this GPU; run it on the CPU",
                 kernel->name, need, gpu->device.number, gpu->device.name, have);
        return RXN_REFUSED;
    }
    if (result == CUDA_SUCCESS && (uint32_t)run.threads_most < kernel->block_threads)
        return refuse_threads(loader, gpu, "rxn_kernel", &run, kernel->block_threads);
    if (result == CUDA_SUCCESS && loaded->uniform &&
        (uint32_t)uniform.threads_most < kernel->uniform_threads)
        return refuse_threads(loader, gpu, "rxn_uniform", &uniform, kernel->uniform_threads);
    /* Also where it is less than the 48 KiB that need no asking: then it changes nothing. */
    if (result == CUDA_SUCCESS && kernel->shared_bytes > 0)
        result = driver->function_set(loaded->run, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                      (int)kernel->shared_bytes);
    int resident = 0;
    if (result == CUDA_SUCCESS)
        result = driver->occupancy(&resident, loaded->run, (int)kernel->block_threads,
                                   kernel->shared_bytes);
    if (result != CUDA_SUCCESS)
        return rxn__cuda_failure(loader->cuda, gpu, result, "the kernel was loaded", loader->error,
                                 loader->error_size);
    if (resident <= 0) {
        snprintf(loader->error, loader->error_size,
                 "no block of '%s' fits GPU %u (%.60s): %u threads of %d registers, %llu bytes of "
                 "shared memory; run it on the CPU",
                 kernel->name, gpu->device.number, gpu->device.name, kernel->block_threads,
                 run.registers, (unsigned long long)shared);
        return RXN_REFUSED;
    }
    loaded->blocks = (uint32_t)resident * gpu->device.multiprocessors;
    loaded->reduce_threads = (uint32_t)reduce.threads_most;
    info->registers = (uint32_t)run.registers;
    info->local_bytes = (uint32_t)run.local;
    info->shared_bytes = (uint32_t)shared;
    info->blocks = (uint32_t)resident;
    info->workers = (uint64_t)loaded->blocks * rxn__cuda_block_workers(kernel);
    return RXN_DONE;
}

static void
note_image(const CudaLoader *loader, const CudaGpu *gpu, const CudaImage *image,
           RxnCudaProgramInfo *info)
{
    info->seconds_compile = image->seconds;
    info->from_cache = image->from_cache;
    info->from_ptx = image->is_ptx;
    uint32_t version = loader->nvrtc ? rxn__nvrtc_version(loader->nvrtc) : 0;
    if (image->way == CUDA_WAY_SOURCE && loader->kernel->binary_count > 0)
        snprintf(info->note, sizeof info->note,
                 "this program holds no code for GPU %u (%.60s, sm_%u), so NVRTC compiles it; "
                 "'rxn build --cuda sm_%u' puts it in",
                 gpu->device.number, gpu->device.name, gpu->device.architecture,
                 gpu->device.architecture);
    if (!image->is_ptx)
        return;
    if (image->way == CUDA_WAY_SOURCE)
        snprintf(
            info->note, sizeof info->note,
            "NVRTC %u.%u is too old for GPU %u (%.60s, sm_%u): it makes PTX for sm_%u, which the "
            "driver compiles; a newer NVRTC makes better code",
            version / 1000, version / 10 % 100, gpu->device.number, gpu->device.name,
            gpu->device.architecture, image->made_for);
    else
        snprintf(info->note, sizeof info->note,
                 "there is no machine code for GPU %u (%.60s, sm_%u): the driver compiles PTX for "
                 "sm_%u",
                 gpu->device.number, gpu->device.name, gpu->device.architecture, image->made_for);
}

static RxnOutcome
load_gpu(CudaLoader *loader, RxnCudaProgram *program, uint32_t index, CudaImage *image)
{
    const CudaGpu *gpu = &loader->cuda->gpus[index];
    CudaLoaded *loaded = &program->loaded[index];
    RxnCudaProgramInfo info = {0};
    CudaResult result = loader->cuda->driver.context_set(gpu->context);
    if (result != CUDA_SUCCESS)
        return rxn__cuda_failure(loader->cuda, gpu, result, "the kernel was loaded", loader->error,
                                 loader->error_size);
    RxnOutcome outcome = load_image(loader, gpu, image, &loaded->module);
    if (outcome == RXN_DONE && loader->kernel->uniform_bytes > 0)
        outcome = find_function(loader, loaded, "rxn_uniform", &loaded->uniform);
    if (outcome == RXN_DONE && loader->kernel->constant_bytes > 0)
        outcome = find_constants(loader, loaded);
    if (outcome == RXN_DONE)
        outcome = find_function(loader, loaded, "rxn_kernel", &loaded->run);
    if (outcome == RXN_DONE)
        outcome = find_function(loader, loaded, "rxn_reduce", &loaded->reduce);
    if (outcome == RXN_DONE)
        outcome = measure(loader, gpu, loaded, &info);
    note_image(loader, gpu, image, &info);
    if (index == 0)
        program->info = info;
    return outcome;
}

/* The image of a GPU: that of the first one of its architecture. */
static CudaImage *
image_for(const RxnCuda *cuda, CudaImage *images, uint32_t index)
{
    uint32_t first = 0;
    while (cuda->gpus[first].device.architecture != cuda->gpus[index].device.architecture)
        first++;
    return &images[first];
}

RxnOutcome
rxn__cuda_load(RxnCuda *cuda, const RxnCudaKernel *kernel, const char *cache,
               RxnCudaProgram **ret_program, char *error, size_t error_size)
{
    *ret_program = NULL;
    RxnCudaProgram *program = calloc(1, sizeof *program);
    CudaImage *images = calloc(cuda->count, sizeof *images);
    CudaLoaded *loaded = calloc(cuda->count, sizeof *loaded);
    if (!program || !images || !loaded) {
        free(program);
        free(images);
        free(loaded);
        snprintf(error, error_size, "out of memory");
        return RXN_NO_MEMORY;
    }
    *program = (RxnCudaProgram){.cuda = cuda, .kernel = kernel, .loaded = loaded};
    CudaLoader loader = {
        .cuda = cuda, .kernel = kernel, .cache = cache, .error = error, .error_size = error_size};
    RxnOutcome outcome = RXN_DONE;
    for (uint32_t k = 0; k < cuda->count && outcome == RXN_DONE; k++) {
        CudaImage *image = image_for(cuda, images, k);
        if (!image->code)
            outcome = rxn__cuda_image_find(&loader, &cuda->gpus[k], CUDA_WAY_EXACT, image);
    }
    if (outcome == RXN_DONE)
        outcome = rxn__cuda_ready(cuda, error, error_size);
    for (uint32_t k = 0; k < cuda->count && outcome == RXN_DONE; k++)
        outcome = load_gpu(&loader, program, k, image_for(cuda, images, k));
    for (uint32_t k = 0; k < cuda->count; k++)
        free(images[k].owned);
    free(images);
    free(loader.key);
    rxn__nvrtc_close(loader.nvrtc);
    if (outcome == RXN_DONE)
        *ret_program = program;
    else
        rxn__cuda_unload(program);
    return outcome;
}

void
rxn__cuda_unload(RxnCudaProgram *program)
{
    if (!program)
        return;
    const CudaDriver *driver = &program->cuda->driver;
    for (uint32_t k = 0; k < program->cuda->count; k++)
        if (program->loaded[k].module &&
            driver->context_set(program->cuda->gpus[k].context) == CUDA_SUCCESS)
            driver->module_unload(program->loaded[k].module);
    free(program->loaded);
    free(program);
}

const RxnCudaProgramInfo *
rxn__cuda_program_info(const RxnCudaProgram *program)
{
    return &program->info;
}
