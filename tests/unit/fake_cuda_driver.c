/* fake_cuda_driver.c: a library that exports what rxn calls of NVIDIA's driver and of NVRTC, for tests on
 * machines without a GPU. The GPU's memory is the host's, its streams are threads, and its kernels are C
 * functions: those of fake_cuda_kernel.h, whatever the source says.
 *
 * What it is like and how it fails is said by the environment variable RXN_FAKE_CUDA, numbers by name
 * ("gpus=2 arch=90"), which cuInit reads:
 *
 *   gpus version arch arch1  how many; the driver's version; architectures (of GPU 1)
 *   init count open          what cuInit, cuDeviceGetCount, cuDevicePrimaryCtxRetain return
 *   memory limit             free bytes as it says; as it has (each GPU)
 *   fail_alloc fail_from     the N-th cuMemAlloc fails for lack of memory; all from the N-th on
 *   fail_host                the N-th cuMemHostAlloc does
 *   registers threads shared occupancy   of the kernel; bytes that a block can have
 *   launch crash code        the N-th launch of rxn_kernel is refused; fails while it runs; with which result
 *   fault fault1             trajectories that cannot go on
 *   slow slow1               microseconds that a row takes (on GPU 1)
 *   lazy                     kernels end without having run the last row
 *   refuse                   so many loads of code are refused, from the first on
 *   constants                rxn_kernel reads rxn_constants, not launch.uniform
 *   nvrtc newest oldest      NVRTC's version, and the architectures that it knows
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_cuda_kernel.h"
#include "runtime/cuda_abi.h"
#include "runtime/cuda_driver.h"

enum { GPUS_MOST = 4, NO_MEMORY = CUDA_ERROR_OUT_OF_MEMORY, INVALID = 1 };

struct CudaContext {
    int gpu;
};

typedef struct Block { /* of memory, the GPU's or pinned */
    struct Block *next;
    char *bytes;
    size_t size;
    int gpu; /* -1: pinned */
} Block;

struct CudaModule {
    int gpu;
    double constants[2];
    struct CudaFunction {
        struct CudaModule *module;
        int number; /* in function_names */
        int shared;
    } functions[3];
};

struct CudaEvent {
    uint64_t recorded, reached;
};

typedef enum WorkKind {
    WORK_COPY,
    WORK_KERNEL,
    WORK_REDUCE,
    WORK_UNIFORM,
    WORK_RECORD,
    WORK_WAIT
} WorkKind;

typedef struct Work {
    struct Work *next;
    WorkKind kind;
    void *to;
    const void *from;
    size_t size;
    struct CudaEvent *event;
    uint64_t generation;
    int crash;
    const double *constants;
    union {
        RxnCudaReduce reduce;
        struct {
            RxnCudaLaunch launch;
            uint64_t buffers[FAKE_BUFFERS];
            int64_t strides[FAKE_BUFFERS];
        } run;
    };
} Work;

struct CudaStream {
    pthread_t thread;
    int gpu;
    Work *first, **last;
    uint64_t given, done;
    bool closing;
};

static const char *const function_names[] = {"rxn_uniform", "rxn_kernel", "rxn_reduce"};

/* The interface that is imitated has no handle, so its state is the library's. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct {
    char settings[512];
    struct CudaContext contexts[GPUS_MOST];
    Block *blocks;
    size_t used[GPUS_MOST];
    size_t most;
    int allocations, host_allocations, launches, loads, sticky, compilations;
    int objects; /* streams, events, modules, contexts that are open */
} state;
static _Thread_local struct CudaContext *current;

static long long
setting(const char *name, long long otherwise)
{
    size_t length = strlen(name);
    for (const char *at = state.settings; (at = strstr(at, name)); at += length)
        if ((at == state.settings || at[-1] == ' ') && at[length] == '=')
            return atoll(at + length + 1);
    return otherwise;
}

/* For the tests: what has not been given back; launches of rxn_kernel; how often NVRTC compiled; the most
 * bytes that were in use of one GPU. */
int
fake_cuda_open_objects(void)
{
    pthread_mutex_lock(&lock);
    int count = state.objects;
    for (const Block *block = state.blocks; block; block = block->next)
        count++;
    pthread_mutex_unlock(&lock);
    return count;
}

int
fake_cuda_launches(void)
{
    return state.launches;
}

int
fake_cuda_compilations(void)
{
    return state.compilations;
}

size_t
fake_cuda_most_bytes(void)
{
    return state.most;
}

static void
count_objects(int change)
{
    pthread_mutex_lock(&lock);
    state.objects += change;
    pthread_mutex_unlock(&lock);
}

static int
sticky(void)
{
    pthread_mutex_lock(&lock);
    int result = state.sticky;
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- devices ----------------------------------------------------------------------------------- */

CudaResult
cuInit(unsigned flags)
{
    (void)flags;
    const char *settings = getenv("RXN_FAKE_CUDA");
    snprintf(state.settings, sizeof state.settings, "%s", settings ? settings : "");
    state.allocations = state.host_allocations = state.launches = state.sticky = 0;
    state.compilations = state.loads = 0;
    state.most = 0;
    return (int)setting("init", 0);
}

CudaResult
cuDriverGetVersion(int *version)
{
    *version = (int)setting("version", 12040);
    return 0;
}

CudaResult
cuGetErrorName(CudaResult result, const char **name)
{
    *name = result == 2     ? "CUDA_ERROR_OUT_OF_MEMORY"
            : result == 46  ? "CUDA_ERROR_DEVICE_UNAVAILABLE"
            : result == 100 ? "CUDA_ERROR_NO_DEVICE"
            : result == 209 ? "CUDA_ERROR_NO_BINARY_FOR_GPU"
            : result == 218 ? "CUDA_ERROR_INVALID_PTX"
            : result == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS"
            : result == 701 ? "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"
            : result == 702 ? "CUDA_ERROR_LAUNCH_TIMEOUT"
                            : NULL;
    return *name ? 0 : INVALID;
}

CudaResult
cuGetErrorString(CudaResult result, const char **text)
{
    *text = result == 700 ? "an illegal memory access was encountered" : "as its name says";
    return 0;
}

CudaResult
cuDeviceGetCount(int *count)
{
    *count = (int)setting("gpus", 1);
    return (int)setting("count", 0);
}

CudaResult
cuDeviceGet(CudaOrdinal *device, int ordinal)
{
    *device = ordinal;
    return ordinal < (int)setting("gpus", 1) ? 0 : 101;
}

CudaResult
cuDeviceGetName(char *name, int length, CudaOrdinal device)
{
    snprintf(name, (size_t)length, "Fake %c", 'A' + device);
    return 0;
}

CudaResult
cuDeviceTotalMem_v2(size_t *bytes, CudaOrdinal device)
{
    (void)device;
    *bytes = (size_t)setting("memory", 1 << 28);
    return 0;
}

static int
architecture(int gpu)
{
    int all = (int)setting("arch", 90);
    return gpu == 1 ? (int)setting("arch1", all) : all;
}

CudaResult
cuDeviceGetAttribute(int *value, int attribute, CudaOrdinal device)
{
    *value = attribute == 16   ? 3
             : attribute == 75 ? architecture(device) / 10
             : attribute == 76 ? architecture(device) % 10
             : attribute == 97 ? (int)setting("shared", 232448)
                               : -1;
    return *value < 0 ? INVALID : 0;
}

CudaResult
cuDevicePrimaryCtxRetain(CudaContext **context, CudaOrdinal device)
{
    int result = (int)setting("open", 0);
    if (result)
        return result;
    state.contexts[device].gpu = device;
    *context = &state.contexts[device];
    count_objects(1);
    return 0;
}

CudaResult
cuDevicePrimaryCtxRelease_v2(CudaOrdinal device)
{
    (void)device;
    count_objects(-1);
    return sticky();
}

CudaResult
cuCtxSetCurrent(CudaContext *context)
{
    current = context;
    return 0;
}

/* ---- memory ------------------------------------------------------------------------------------ */

CudaResult
cuMemGetInfo_v2(size_t *free, size_t *total)
{
    pthread_mutex_lock(&lock);
    *total = (size_t)setting("memory", 1 << 28);
    size_t used = state.used[current->gpu];
    *free = used < *total ? *total - used : 0;
    pthread_mutex_unlock(&lock);
    return 0;
}

static Block *
new_block(size_t size, int gpu)
{
    Block *block = malloc(sizeof *block);
    char *bytes = aligned_alloc(256, (size + 255) / 256 * 256);
    if (!block || !bytes)
        abort();
    memset(bytes, 0xa5, size); /* what nobody has written is not zero */
    *block = (Block){.next = state.blocks, .bytes = bytes, .size = size, .gpu = gpu};
    state.blocks = block;
    return block;
}

static int
free_block(void *bytes)
{
    int result = INVALID;
    pthread_mutex_lock(&lock);
    for (Block **at = &state.blocks; *at; at = &(*at)->next)
        if ((*at)->bytes == bytes) {
            Block *block = *at;
            *at = block->next;
            if (block->gpu >= 0)
                state.used[block->gpu] -= block->size;
            free(block->bytes);
            free(block);
            result = state.sticky;
            break;
        }
    pthread_mutex_unlock(&lock);
    return result;
}

CudaResult
cuMemAlloc_v2(CudaAddress *address, size_t size)
{
    if (!current || size == 0)
        return INVALID;
    pthread_mutex_lock(&lock);
    int number = ++state.allocations, gpu = current->gpu, result = state.sticky;
    size_t limit = (size_t)setting("limit", setting("memory", 1 << 28));
    if (result == 0 && (number == setting("fail_alloc", 0) ||
                        number >= setting("fail_from", 1 << 30) || state.used[gpu] + size > limit))
        result = NO_MEMORY;
    if (result == 0) {
        state.used[gpu] += size;
        if (state.used[gpu] > state.most)
            state.most = state.used[gpu];
        *address = (CudaAddress)(uintptr_t)new_block(size, gpu)->bytes;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

CudaResult
cuMemFree_v2(CudaAddress address)
{
    return free_block((void *)(uintptr_t)address);
}

CudaResult
cuMemHostAlloc(void **memory, size_t size, unsigned flags)
{
    if (!current || size == 0 || flags != 3)
        return INVALID;
    pthread_mutex_lock(&lock);
    int result = ++state.host_allocations == setting("fail_host", 0) ? NO_MEMORY : state.sticky;
    if (result == 0)
        *memory = new_block(size, -1)->bytes;
    pthread_mutex_unlock(&lock);
    return result;
}

CudaResult
cuMemFreeHost(void *memory)
{
    return free_block(memory);
}

CudaResult
cuMemHostGetDevicePointer_v2(CudaAddress *address, void *memory, unsigned flags)
{
    (void)flags;
    *address = (CudaAddress)(uintptr_t)memory;
    return 0;
}

/* ---- modules ----------------------------------------------------------------------------------- */

CudaResult
cuModuleLoadDataEx(CudaModule **module, const void *image, unsigned count, int *options,
                   void **values)
{
    char kind[8];
    int made_for = 0, real = architecture(current->gpu);
    if (sscanf(image, "FAKE %7[a-z]_%d", kind, &made_for) != 2)
        return 200; /* CUDA_ERROR_INVALID_IMAGE */
    bool ptx = strcmp(kind, "compute") == 0;
    if (made_for > real || (!ptx && made_for / 10 != real / 10))
        return 209; /* CUDA_ERROR_NO_BINARY_FOR_GPU */
    if (__atomic_add_fetch(&state.loads, 1, __ATOMIC_RELAXED) <= setting("refuse", 0)) {
        for (unsigned k = 0; k + 1 < count; k++)
            if (options[k] == 5 && options[k + 1] == 6)
                snprintf(values[k], (uintptr_t)values[k + 1], "ptxas fatal: no such thing\n");
        return 218;
    }
    *module = calloc(1, sizeof **module);
    (*module)->gpu = current->gpu;
    count_objects(1);
    return 0;
}

CudaResult
cuModuleUnload(CudaModule *module)
{
    free(module);
    count_objects(-1);
    return 0;
}

CudaResult
cuModuleGetFunction(CudaFunction **function, CudaModule *module, const char *name)
{
    for (int k = 0; k < 3; k++)
        if (strcmp(name, function_names[k]) == 0) {
            module->functions[k] = (struct CudaFunction){module, k, 48 << 10};
            *function = &module->functions[k];
            return 0;
        }
    return 500; /* CUDA_ERROR_NOT_FOUND */
}

CudaResult
cuModuleGetGlobal_v2(CudaAddress *address, size_t *size, CudaModule *module, const char *name)
{
    *address = (CudaAddress)(uintptr_t)module->constants;
    *size = sizeof module->constants;
    return strcmp(name, "rxn_constants") == 0 ? 0 : 500;
}

CudaResult
cuFuncGetAttribute(int *value, int attribute, CudaFunction *function)
{
    *value = attribute == 0   ? function->number == 1 ? (int)setting("threads", 1024) : 1024
             : attribute == 1 ? 1024
             : attribute == 3 ? 16
             : attribute == 4 ? (int)setting("registers", 40)
                              : -1;
    return *value < 0 ? INVALID : 0;
}

CudaResult
cuFuncSetAttribute(CudaFunction *function, int attribute, int value)
{
    if (attribute != 8 || value + 1024 > (int)setting("shared", 232448))
        return INVALID;
    function->shared = value;
    return 0;
}

CudaResult
cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CudaFunction *function, int threads,
                                            size_t shared)
{
    *blocks = (int)setting("occupancy", 2);
    return threads <= 1024 && (int)shared <= function->shared ? 0 : INVALID;
}

/* ---- kernels ----------------------------------------------------------------------------------- */

#define AT(type, address) ((type *)(uintptr_t)(address))

static void
note_fault(const RxnCudaLaunch *launch, uint64_t trajectory)
{
    RxnCudaFault *fault = AT(RxnCudaFault, launch->fault);
    if (trajectory >= fault->trajectory)
        return;
    fault->trajectory = trajectory;
    fault->code = FAKE_FAULT_CODE;
    fault->detail = FAKE_FAULT_DETAIL;
    fake_witness(trajectory, (double *)(fault + 1));
}

/* Each worker has eight bytes of the workspace: that nobody else writes there meanwhile is checked. */
static void
run_row(const Work *work, uint64_t row, int gpu)
{
    const RxnCudaLaunch *launch = &work->run.launch;
    uint64_t trajectory = launch->first + row;
    uint64_t *space = AT(uint64_t, launch->workspace + row % launch->workers * 8);
    volatile int *cancel = AT(int, launch->cancel);
    if (launch->workspace)
        *space = trajectory;
    long long microseconds = setting(gpu == 1 ? "slow1" : "slow", setting("slow", 0));
    for (; microseconds > 0 && !__atomic_load_n(cancel, __ATOMIC_RELAXED); microseconds -= 100)
        usleep(100);
    const uint64_t *buffers = work->run.buffers;
    const int64_t *strides = work->run.strides;
    if ((long long)trajectory == setting("fault", -1) ||
        (long long)trajectory == setting("fault1", -1))
        note_fault(launch, trajectory);
    const double *uniform = setting("constants", 0) ? work->constants : AT(double, launch->uniform);
    fake_trajectory(trajectory, *uniform, *AT(uint64_t, buffers[FAKE_CELLS]),
                    AT(double, buffers[FAKE_SAMPLE]) + (int64_t)row * strides[FAKE_SAMPLE],
                    AT(uint64_t, buffers[FAKE_EVENTS]) + (int64_t)row * strides[FAKE_EVENTS],
                    AT(int32_t, buffers[FAKE_NOTE]) + (int64_t)row * strides[FAKE_NOTE]);
    if (launch->workspace && *space != trajectory)
        abort();
}

/* Rows are run backwards within each 64, so that a fault may be found before one with a lower number. */
static void
run_kernel(const Work *work, int gpu)
{
    const RxnCudaLaunch *launch = &work->run.launch;
    uint64_t *next = AT(uint64_t, launch->next), rows = launch->count;
    const RxnCudaFault *fault = AT(RxnCudaFault, launch->fault);
    if (*next != 0 || fault->trajectory != UINT64_MAX || fault->lock != 0)
        abort();
    if (setting("lazy", 0))
        rows--;
    for (uint64_t block = 0; block < rows; block += 64) {
        uint64_t end = block + 64 < rows ? block + 64 : rows;
        __atomic_store_n(next, end, __ATOMIC_RELAXED);
        for (uint64_t row = end; row-- > block;) {
            if (__atomic_load_n(AT(int, launch->cancel), __ATOMIC_RELAXED))
                return;
            if (launch->first + row < fault->trajectory)
                run_row(work, row, gpu);
        }
    }
}

static void
run_reduce(const RxnCudaReduce *reduce)
{
    uint64_t chunks = (reduce->count + reduce->rows - 1) / reduce->rows;
    for (uint64_t chunk = 0; chunk < chunks; chunk++) {
        uint64_t first = chunk * reduce->rows, end = first + reduce->rows;
        end = end < reduce->count ? end : reduce->count;
        double n = (double)(end - first);
        for (uint64_t k = 0; k < reduce->cells && reduce->mean; k++) {
            const double *x = AT(double, reduce->samples) + k;
            double origin = x[first * reduce->cells], sum = 0, squares = 0;
            for (uint64_t row = first + 1; row < end; row++) {
                double d = x[row * reduce->cells] - origin;
                sum += d;
                squares += d * d;
            }
            double m2 = squares - sum * (sum / n);
            AT(double, reduce->m2)[chunk * reduce->cells + k] = m2 > 0 || m2 != m2 ? m2 : 0;
            AT(double, reduce->mean)[chunk * reduce->cells + k] = origin + sum / n;
        }
        uint64_t events = 0;
        for (uint64_t row = first; row < end && reduce->row_events; row++)
            events += AT(uint64_t, reduce->row_events)[row];
        AT(uint64_t, reduce->events)[chunk] = events;
    }
}

static void
perform(const Work *work, int gpu)
{
    if (work->kind == WORK_COPY) {
        /* The first word is looked at, to report progress, while the kernel counts it up and while the next
         * group begins with 0. */
        bool words = ((uintptr_t)work->from | (uintptr_t)work->to) % 8 == 0 && work->size >= 8;
        if (words)
            __atomic_store_n((uint64_t *)work->to,
                             __atomic_load_n((const uint64_t *)work->from, __ATOMIC_RELAXED),
                             __ATOMIC_RELAXED);
        size_t done = words ? 8 : 0;
        memcpy((char *)work->to + done, (const char *)work->from + done, work->size - done);
    } else if (work->kind == WORK_UNIFORM)
        *AT(double, work->run.launch.uniform) =
            fake_uniform(AT(double, work->run.buffers[FAKE_SCALE]));
    else if (work->kind == WORK_KERNEL)
        run_kernel(work, gpu);
    else if (work->kind == WORK_REDUCE)
        run_reduce(&work->reduce);
}

/* ---- streams ----------------------------------------------------------------------------------- */

static void *
run_stream(void *argument)
{
    CudaStream *stream = argument;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!stream->first && !stream->closing)
            pthread_cond_wait(&changed, &lock);
        Work *work = stream->first;
        if (!work)
            break;
        stream->first = work->next;
        if (!stream->first)
            stream->last = &stream->first;
        if (work->kind == WORK_RECORD) {
            if (work->event->reached < work->generation)
                work->event->reached = work->generation;
        } else if (work->kind == WORK_WAIT) {
            while (work->event->reached < work->generation)
                pthread_cond_wait(&changed, &lock);
        } else if (work->crash) {
            state.sticky = work->crash;
        } else if (!state.sticky) {
            pthread_mutex_unlock(&lock);
            perform(work, stream->gpu);
            pthread_mutex_lock(&lock);
        }
        stream->done++;
        pthread_cond_broadcast(&changed);
        free(work);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static CudaResult
give(CudaStream *stream, Work work)
{
    Work *copy = malloc(sizeof *copy);
    if (!copy)
        abort();
    *copy = work;
    copy->next = NULL;
    pthread_mutex_lock(&lock);
    int result = state.sticky;
    if (work.kind == WORK_RECORD)
        copy->generation = ++work.event->recorded;
    if (work.kind == WORK_WAIT)
        copy->generation = work.event->recorded;
    *stream->last = copy;
    stream->last = &copy->next;
    stream->given++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return result;
}

CudaResult
cuStreamCreate(CudaStream **stream, unsigned flags)
{
    if (!current || flags != 1)
        return INVALID;
    CudaStream *made = calloc(1, sizeof *made);
    made->gpu = current->gpu;
    made->last = &made->first;
    *stream = made;
    count_objects(1);
    return pthread_create(&made->thread, NULL, run_stream, made) == 0 ? sticky() : INVALID;
}

CudaResult
cuStreamDestroy_v2(CudaStream *stream)
{
    pthread_mutex_lock(&lock);
    stream->closing = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(stream->thread, NULL);
    free(stream);
    count_objects(-1);
    return 0;
}

CudaResult
cuStreamSynchronize(CudaStream *stream)
{
    pthread_mutex_lock(&lock);
    uint64_t given = stream->given;
    while (stream->done < given)
        pthread_cond_wait(&changed, &lock);
    int result = state.sticky;
    pthread_mutex_unlock(&lock);
    return result;
}

CudaResult
cuEventCreate(CudaEvent **event, unsigned flags)
{
    if (flags > 3)
        return INVALID;
    *event = calloc(1, sizeof **event);
    count_objects(1);
    return sticky();
}

CudaResult
cuEventDestroy_v2(CudaEvent *event)
{
    free(event);
    count_objects(-1);
    return 0;
}

CudaResult
cuEventSynchronize(CudaEvent *event)
{
    pthread_mutex_lock(&lock);
    uint64_t recorded = event->recorded;
    while (event->reached < recorded)
        pthread_cond_wait(&changed, &lock);
    int result = state.sticky;
    pthread_mutex_unlock(&lock);
    return result;
}

CudaResult
cuEventRecord(CudaEvent *event, CudaStream *stream)
{
    return give(stream, (Work){.kind = WORK_RECORD, .event = event});
}

CudaResult
cuStreamWaitEvent(CudaStream *stream, CudaEvent *event, unsigned flags)
{
    (void)flags;
    return give(stream, (Work){.kind = WORK_WAIT, .event = event});
}

CudaResult
cuMemcpyHtoDAsync_v2(CudaAddress to, const void *from, size_t size, CudaStream *stream)
{
    return give(stream, (Work){.kind = WORK_COPY, .to = AT(void, to), .from = from, .size = size});
}

CudaResult
cuMemcpyDtoHAsync_v2(void *to, CudaAddress from, size_t size, CudaStream *stream)
{
    return give(stream, (Work){.kind = WORK_COPY, .to = to, .from = AT(void, from), .size = size});
}

CudaResult
cuMemcpyDtoDAsync_v2(CudaAddress to, CudaAddress from, size_t size, CudaStream *stream)
{
    return give(
        stream,
        (Work){.kind = WORK_COPY, .to = AT(void, to), .from = AT(void, from), .size = size});
}

CudaResult
cuLaunchKernel(CudaFunction *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
               unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
               CudaStream *stream, void **arguments, void **extra)
{
    if (!current || current->gpu != stream->gpu || function->module->gpu != stream->gpu ||
        !grid_x || !grid_y || grid_y > 65535 || grid_z != 1 || !block_x || block_x > 1024 ||
        block_y != 1 || block_z != 1 || (int)shared > function->shared || extra)
        return INVALID;
    Work work = {.kind = WORK_REDUCE, .constants = function->module->constants};
    if (function->number == 2) {
        memcpy(&work.reduce, arguments[0], sizeof work.reduce);
        const RxnCudaReduce *reduce = &work.reduce;
        if (grid_y != (reduce->count + reduce->rows - 1) / reduce->rows ||
            (uint64_t)grid_x * block_x < reduce->cells)
            return INVALID;
        return give(stream, work);
    }
    memcpy(&work.run, arguments[0], sizeof work.run);
    work.kind = function->number == 0 ? WORK_UNIFORM : WORK_KERNEL;
    if (work.kind == WORK_KERNEL) {
        int number = __atomic_add_fetch(&state.launches, 1, __ATOMIC_RELAXED);
        if (number == setting("launch", 0))
            return (int)setting("code", 701);
        if (number == setting("crash", 0))
            work.crash = (int)setting("code", 700);
    }
    return give(stream, work);
}

/* ---- NVRTC ------------------------------------------------------------------------------------- */

typedef struct NvrtcProgram {
    const char *source;
    char options[512];
    char code[256], log[256];
    bool ptx;
} NvrtcProgram;

static const int known[] = {75, 80, 86, 89, 90, 100, 120};

static int
known_most(int *ret)
{
    int count = 0;
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
        if (known[k] <= setting("newest", 120) && known[k] >= setting("oldest", 75)) {
            if (ret)
                ret[count] = known[k];
            count++;
        }
    return count;
}

int
nvrtcVersion(int *major, int *minor)
{
    int version = (int)setting("nvrtc", 12040);
    *major = version / 1000;
    *minor = version / 10 % 100;
    return 0;
}

int
nvrtcGetNumSupportedArchs(int *count)
{
    *count = known_most(NULL);
    return 0;
}

int
nvrtcGetSupportedArchs(int *architectures)
{
    known_most(architectures);
    return 0;
}

int
nvrtcCreateProgram(NvrtcProgram **program, const char *source, const char *name, int headers,
                   const char *const *contents, const char *const *names)
{
    (void)name, (void)headers, (void)contents, (void)names;
    *program = calloc(1, sizeof **program);
    (*program)->source = source;
    return 0;
}

int
nvrtcDestroyProgram(NvrtcProgram **program)
{
    free(*program);
    *program = NULL;
    return 0;
}

int
nvrtcCompileProgram(NvrtcProgram *program, int count, const char *const *options)
{
    int made_for = 0;
    state.compilations++;
    bool exact = false;
    for (int k = 0; k < count; k++) {
        if (sscanf(options[k], "--gpu-architecture=compute_%d", &made_for) == 1)
            program->ptx = true;
        else
            sscanf(options[k], "--gpu-architecture=sm_%d", &made_for);
        exact |= strcmp(options[k], "--fmad=false") == 0;
    }
    if (strstr(program->source, "syntax error")) {
        snprintf(program->log, sizeof program->log, "model.rxn(7): error: not good at all\n");
        return 6;
    }
    snprintf(program->code, sizeof program->code, "FAKE %s_%d%s", program->ptx ? "compute" : "sm",
             made_for, exact ? "" : " fast");
    return 0;
}

int
nvrtcGetCUBINSize(NvrtcProgram *program, size_t *size)
{
    *size = program->ptx ? 0 : strlen(program->code) + 1;
    return 0;
}

int
nvrtcGetCUBIN(NvrtcProgram *program, char *code)
{
    memcpy(code, program->code, strlen(program->code) + 1);
    return 0;
}

int
nvrtcGetPTXSize(NvrtcProgram *program, size_t *size)
{
    *size = strlen(program->code) + 1;
    return 0;
}

int
nvrtcGetPTX(NvrtcProgram *program, char *code)
{
    return nvrtcGetCUBIN(program, code);
}

int
nvrtcGetProgramLogSize(NvrtcProgram *program, size_t *size)
{
    *size = strlen(program->log) + 1;
    return 0;
}

int
nvrtcGetProgramLog(NvrtcProgram *program, char *log)
{
    memcpy(log, program->log, strlen(program->log) + 1);
    return 0;
}

const char *
nvrtcGetErrorString(int result)
{
    return result == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR";
}
