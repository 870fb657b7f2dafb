/* cuda_device.c: the GPUs of a run: which, what they are like, and what their failures mean.
 *
 * To make a GPU's context takes a good part of a second. So that is done in threads of its own, one for each
 * GPU, while the caller has a model to read and a kernel to compile; loading the kernel waits for it.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda_private.h"

void
rxn__cuda_bytes(uint64_t bytes, char *text, size_t size)
{
    if (bytes < 10 * 1024)
        snprintf(text, size, "%llu bytes", (unsigned long long)bytes);
    else if (bytes < 10 << 20)
        snprintf(text, size, "%llu KiB", (unsigned long long)bytes >> 10);
    else if (bytes < UINT64_C(10) << 30)
        snprintf(text, size, "%llu MiB", (unsigned long long)bytes >> 20);
    else
        snprintf(text, size, "%llu GiB", (unsigned long long)bytes >> 30);
}

static bool
is_crash(CudaResult result)
{
    return result == CUDA_ERROR_ILLEGAL_ADDRESS || result == CUDA_ERROR_ASSERT ||
           (result >= CUDA_ERROR_HARDWARE_STACK_ERROR && result <= CUDA_ERROR_LAUNCH_FAILED);
}

RxnOutcome
rxn__cuda_failure(const RxnCuda *cuda, const CudaGpu *gpu, CudaResult result, const char *doing,
                  char *error, size_t error_size)
{
    char why[200];
    rxn__cuda_driver_explain(&cuda->driver, result, why, sizeof why);
    unsigned number = gpu->device.number;
    const char *name = gpu->device.name;
    if (is_crash(result)) {
        snprintf(
            error, error_size,
            "the kernel crashed on GPU %u (%.60s): %.120s; this is a bug in rxn: please report it",
            number, name, why);
        return RXN_BROKEN;
    }
    if (result == CUDA_ERROR_LAUNCH_TIMEOUT) {
        snprintf(
            error, error_size,
            "GPU %u (%.60s) also drives a display, and its driver stopped the kernel, which ran "
            "longer than it lets one: take a GPU without a display, or the CPU",
            number, name);
        return RXN_REFUSED;
    }
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        snprintf(error, error_size,
                 "GPU %u (%.60s) is out of memory while %s: other programs may hold it (see "
                 "nvidia-smi); free it, or take another GPU",
                 number, name, doing);
        return RXN_NO_MEMORY;
    }
    if (result == CUDA_ERROR_DEVICE_UNAVAILABLE) {
        snprintf(error, error_size,
                 "GPU %u (%.60s) is not available: another program may have it for itself (see "
                 "nvidia-smi); wait for it, or take another GPU",
                 number, name);
        return RXN_REFUSED;
    }
    snprintf(error, error_size, "GPU %u (%.60s) failed while %s: %.130s", number, name, doing, why);
    return RXN_REFUSED;
}

/* ---- which GPUs -------------------------------------------------------------------------------- */

static void
gpu_name(const CudaDriver *driver, int number, char *name, size_t size)
{
    CudaOrdinal ordinal;
    if (driver->device_get(&ordinal, number) != CUDA_SUCCESS ||
        driver->device_name(name, (int)size, ordinal) != CUDA_SUCCESS)
        snprintf(name, size, "of unknown name");
    name[size - 1] = 0;
}

static void
say_no_such(const CudaDriver *driver, const char *number, size_t length, char *error,
            size_t error_size)
{
    size_t used = (size_t)snprintf(error, error_size, "there is no GPU %.*s, only ",
                                   length < 20 ? (int)length : 20, number);
    for (uint32_t k = 0; k < driver->gpus && used < error_size; k++) {
        char name[128];
        gpu_name(driver, (int)k, name, sizeof name);
        used +=
            (size_t)snprintf(error + used, error_size - used, "%s%u (%s)", k ? ", " : "", k, name);
    }
}

/* The numbers of a list "0,1", or of "all"; numbers has room for all GPUs. */
static RxnOutcome
parse_numbers(const CudaDriver *driver, const char *list, uint32_t *numbers, uint32_t *ret_count,
              char *error, size_t error_size)
{
    uint32_t count = 0;
    if (strcmp(list, "all") == 0) {
        for (; count < driver->gpus; count++)
            numbers[count] = count;
        *ret_count = count;
        return RXN_DONE;
    }
    for (const char *at = list;; at++) {
        const char *start = at;
        uint64_t number = 0;
        for (; isdigit((unsigned char)*at); at++)
            number = number < UINT32_MAX ? number * 10 + (uint64_t)(*at - '0') : number;
        if (at == start || (*at != ',' && *at != 0)) {
            snprintf(error, error_size,
                     "'%.60s' is no list of GPUs: their numbers with commas between are, '0' or "
                     "'0,1', or 'all'",
                     list);
            return RXN_REFUSED;
        }
        if (number >= driver->gpus) {
            say_no_such(driver, start, (size_t)(at - start), error, error_size);
            return RXN_REFUSED;
        }
        for (uint32_t k = 0; k < count; k++)
            if (numbers[k] == number) {
                snprintf(error, error_size, "GPU %u is named twice in '%.60s'", (unsigned)number,
                         list);
                return RXN_REFUSED;
            }
        numbers[count++] = (uint32_t)number;
        if (*at == 0)
            break;
    }
    *ret_count = count;
    return RXN_DONE;
}

static CudaResult
ask(const CudaDriver *driver, CudaGpu *gpu)
{
    RxnCudaDevice *device = &gpu->device;
    CudaResult result = driver->device_get(&gpu->ordinal, (int)device->number);
    if (result == CUDA_SUCCESS)
        gpu_name(driver, (int)device->number, device->name, sizeof device->name);
    int major = 0, minor = 0, multiprocessors = 0, shared = 0;
    struct {
        int attribute, *value;
    } wanted[] = {
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &major},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &minor},
        {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &multiprocessors},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &shared},
    };
    for (size_t k = 0; k < sizeof wanted / sizeof wanted[0] && result == CUDA_SUCCESS; k++)
        result = driver->device_attribute(wanted[k].value, wanted[k].attribute, gpu->ordinal);
    device->architecture = (uint32_t)(major * 10 + minor);
    device->multiprocessors = multiprocessors > 0 ? (uint32_t)multiprocessors : 1;
    device->driver_version = driver->version;
    gpu->shared_most = shared > 0 ? (uint32_t)shared : 0;
    size_t total = 0;
    if (result == CUDA_SUCCESS)
        result = driver->device_memory(&total, gpu->ordinal);
    device->memory = total;
    return result;
}

static void *
make_context(void *argument)
{
    CudaGpu *gpu = argument;
    gpu->result = gpu->driver->context_retain(&gpu->context, gpu->ordinal);
    if (gpu->result != CUDA_SUCCESS)
        gpu->context = NULL;
    return NULL;
}

static RxnOutcome
open_gpu(RxnCuda *cuda, CudaGpu *gpu, char *error, size_t error_size)
{
    gpu->driver = &cuda->driver;
    CudaResult result = ask(&cuda->driver, gpu);
    if (result != CUDA_SUCCESS)
        return rxn__cuda_failure(cuda, gpu, result, "it was opened", error, error_size);
    gpu->opening = pthread_create(&gpu->opener, NULL, make_context, gpu) == 0;
    if (!gpu->opening)
        make_context(gpu);
    return RXN_DONE;
}

static void
wait_for_context(CudaGpu *gpu)
{
    if (gpu->opening)
        pthread_join(gpu->opener, NULL);
    gpu->opening = false;
}

RxnOutcome
rxn__cuda_ready(RxnCuda *cuda, char *error, size_t error_size)
{
    for (uint32_t k = 0; k < cuda->count; k++) {
        CudaGpu *gpu = &cuda->gpus[k];
        wait_for_context(gpu);
        CudaResult result = gpu->result;
        if (result == CUDA_SUCCESS)
            result = cuda->driver.context_set(gpu->context);
        size_t free = 0, total = 0;
        if (result == CUDA_SUCCESS)
            result = cuda->driver.memory_info(&free, &total);
        gpu->device.free = free;
        if (result != CUDA_SUCCESS)
            return rxn__cuda_failure(cuda, gpu, result, "it was opened", error, error_size);
    }
    return RXN_DONE;
}

RxnOutcome
rxn__cuda_open(const char *devices, RxnCuda **ret_cuda, char *error, size_t error_size)
{
    *ret_cuda = NULL;
    RxnCuda *cuda = calloc(1, sizeof *cuda);
    RxnOutcome outcome = RXN_NO_MEMORY;
    if (cuda)
        outcome = rxn__cuda_driver_open(&cuda->driver, error, error_size);
    else
        snprintf(error, error_size, "out of memory");
    uint32_t *numbers = NULL;
    if (outcome == RXN_DONE) {
        numbers = calloc(cuda->driver.gpus, sizeof *numbers);
        cuda->gpus = calloc(cuda->driver.gpus, sizeof *cuda->gpus);
        if (!numbers || !cuda->gpus) {
            snprintf(error, error_size, "out of memory");
            outcome = RXN_NO_MEMORY;
        }
    }
    if (outcome == RXN_DONE)
        outcome = parse_numbers(&cuda->driver, devices ? devices : "0", numbers, &cuda->count,
                                error, error_size);
    for (uint32_t k = 0; outcome == RXN_DONE && k < cuda->count; k++) {
        cuda->gpus[k].device.number = numbers[k];
        outcome = open_gpu(cuda, &cuda->gpus[k], error, error_size);
    }
    free(numbers);
    if (outcome == RXN_DONE)
        *ret_cuda = cuda;
    else
        rxn__cuda_close(cuda);
    return outcome;
}

void
rxn__cuda_close(RxnCuda *cuda)
{
    if (!cuda)
        return;
    if (cuda->driver.context_set)
        cuda->driver.context_set(NULL);
    for (uint32_t k = 0; k < cuda->count; k++) {
        wait_for_context(&cuda->gpus[k]);
        if (cuda->gpus[k].context)
            cuda->driver.context_release(cuda->gpus[k].ordinal);
    }
    free(cuda->gpus);
    free(cuda);
}

uint32_t
rxn__cuda_device_count(const RxnCuda *cuda)
{
    return cuda->count;
}

const RxnCudaDevice *
rxn__cuda_device(const RxnCuda *cuda, uint32_t index)
{
    return &cuda->gpus[index].device;
}
