/* fake_driver.c: libcuda-fake.so, a CUDA driver for pretended GPUs; see fake_options.h for what they are like.
 *
 * What it is strict about, since programs get it wrong:
 * - Device memory is closed to the host: a page fault, save while the driver itself copies or runs a kernel. To the
 *   device the host's memory is unknown; memory of the host that is mapped has another address there.
 * - Nothing enqueued has happened before somebody waits for it. Then the streams of the device go on in an order
 *   left to chance, each for itself in the order of its operations. Copies from memory that is not page-locked
 *   are made at once, as the driver does.
 * - Memory is filled with bytes that are no number before it is used, and guarded behind its end.
 * - Parameters of launches are copied; dynamic shared memory beyond 48 KiB has to be asked for; handles are
 *   checked; a fault of the device is final.
 * A misuse that the real driver answers with a code gets that code; one that it would not see ends the process.
 */
#include "fake_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const double slice_seconds = 0.005;

Gpus rxn_fake_gpus = {.mutex = PTHREAD_MUTEX_INITIALIZER};
_Thread_local Device *rxn_fake_current;

/* ---- entering and leaving ---- */

int
rxn_fake_enter(const char *what, bool needs_context)
{
    pthread_mutex_lock(&gpu.mutex);
    if (gpu.options.trace)
        fprintf(stderr, "fake GPU: %s\n", what);
    if (!gpu.initialised)
        return NOT_INITIALIZED;
    if (needs_context && (!current || current->retained == 0))
        return INVALID_CONTEXT;
    return needs_context ? current->fault : SUCCESS;
}

int
rxn_fake_leave(int result)
{
    if (gpu.options.trace && result)
        fprintf(stderr, "fake GPU: … answers %d\n", result);
    pthread_mutex_unlock(&gpu.mutex);
    return result;
}

_Noreturn void
rxn_fake_misuse(const char *what, uint64_t where)
{
    fprintf(stderr, "fake GPU: %s (%#llx)\n", what, (unsigned long long)where);
    abort();
}

/* Opens the memory of all devices, and of the host as they see it, to this process. */
static void
open_memory(void)
{
    if (gpu.open++ > 0)
        return;
    for (int i = 0; i < gpu.options.devices; i++)
        mprotect(gpu.devices[i].memory, gpu.devices[i].size, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < gpu.pinned_count; i++)
        mprotect((void *)(uintptr_t)gpu.pinned[i].start, gpu.pinned[i].size,
                 PROT_READ | PROT_WRITE);
}

static void
close_memory(void)
{
    if (--gpu.open > 0)
        return;
    for (int i = 0; i < gpu.options.devices; i++)
        mprotect(gpu.devices[i].memory, gpu.devices[i].size, PROT_NONE);
    for (size_t i = 0; i < gpu.pinned_count; i++)
        mprotect((void *)(uintptr_t)gpu.pinned[i].start, gpu.pinned[i].size, PROT_NONE);
}

/* ---- errors ---- */

static const struct {
    int code;
    const char *name, *text;
} results[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "too many resources requested for launch"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
     "system has unsupported display driver / cuda driver "
     "combination"},
};

static size_t
result_of(int code)
{
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        if (results[i].code == code)
            return i;
    return SIZE_MAX;
}

EXPORT int
cuGetErrorName(int code, const char **ret_name)
{
    size_t i = result_of(code);
    *ret_name = i == SIZE_MAX ? NULL : results[i].name;
    return i == SIZE_MAX ? INVALID_VALUE : SUCCESS;
}

EXPORT int
cuGetErrorString(int code, const char **ret_text)
{
    size_t i = result_of(code);
    *ret_text = i == SIZE_MAX ? NULL : results[i].text;
    return i == SIZE_MAX ? INVALID_VALUE : SUCCESS;
}

/* ---- devices and contexts ---- */

EXPORT int
cuInit(unsigned flags)
{
    pthread_mutex_lock(&gpu.mutex);
    if (gpu.initialised)
        LEAVE(SUCCESS);
    rxn_fake_options(&gpu.options);
    if (flags != 0 || gpu.options.devices > MAX_DEVICES)
        LEAVE(INVALID_VALUE);
    if (gpu.options.init)
        LEAVE(gpu.options.init);
    if (gpu.options.devices == 0)
        LEAVE(NO_DEVICE);
    gpu.random = gpu.options.seed;
    for (int i = 0; i < gpu.options.devices; i++) {
        Device *d = &gpu.devices[i];
        d->number = i;
        d->size = gpu.options.memory / 4096 * 4096;
        d->memory =
            mmap(NULL, d->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (d->memory == MAP_FAILED)
            rxn_fake_misuse("the host has no room for its memory", d->size);
        d->standard.device = d;
    }
    gpu.initialised = true;
    LEAVE(SUCCESS);
}

EXPORT int
cuDriverGetVersion(int *ret_version)
{
    FakeOptions options;
    rxn_fake_options(&options);
    *ret_version = options.driver;
    return SUCCESS;
}

EXPORT int
cuDeviceGetCount(int *ret_count)
{
    ENTER(false);
    *ret_count = gpu.options.devices;
    LEAVE(SUCCESS);
}

EXPORT int
cuDeviceGet(int *ret_device, int ordinal)
{
    ENTER(false);
    if (ordinal < 0 || ordinal >= gpu.options.devices)
        LEAVE(INVALID_DEVICE);
    *ret_device = ordinal;
    LEAVE(SUCCESS);
}

EXPORT int
cuDeviceGetName(char *name, int size, int device)
{
    ENTER(false);
    if (device < 0 || device >= gpu.options.devices)
        LEAVE(INVALID_DEVICE);
    snprintf(name, (size_t)size, "pretended GPU %d", device);
    LEAVE(SUCCESS);
}

EXPORT int
cuDeviceTotalMem_v2(size_t *ret_bytes, int device)
{
    ENTER(false);
    if (device < 0 || device >= gpu.options.devices)
        LEAVE(INVALID_DEVICE);
    *ret_bytes = gpu.devices[device].size;
    LEAVE(SUCCESS);
}

EXPORT int
cuDeviceGetAttribute(int *ret_value, int attribute, int device)
{
    ENTER(false);
    if (device < 0 || device >= gpu.options.devices)
        LEAVE(INVALID_DEVICE);
    int major = gpu.options.architecture / 10, minor = gpu.options.architecture % 10;
    const struct {
        int number, value;
    } attributes[] = {
        {1, 1024},                    /* MAX_THREADS_PER_BLOCK */
        {5, 2147483647},              /* MAX_GRID_DIM_X */
        {6, 65535},                   /* MAX_GRID_DIM_Y */
        {8, DEFAULT_SHARED},          /* MAX_SHARED_MEMORY_PER_BLOCK */
        {10, 32},                     /* WARP_SIZE */
        {12, 65536},                  /* MAX_REGISTERS_PER_BLOCK */
        {13, 1000000},                /* CLOCK_RATE */
        {16, gpu.options.processors}, /* MULTIPROCESSOR_COUNT */
        {39, THREADS_OF_PROCESSOR},   /* MAX_THREADS_PER_MULTIPROCESSOR */
        {41, 1},                      /* UNIFIED_ADDRESSING */
        {75, major},
        {76, minor},
        {81, MOST_SHARED + 1024}, /* MAX_SHARED_MEMORY_PER_MULTIPROCESSOR */
        {97, MOST_SHARED},        /* MAX_SHARED_MEMORY_PER_BLOCK_OPTIN */
    };
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        if (attributes[i].number == attribute) {
            *ret_value = attributes[i].value;
            LEAVE(SUCCESS);
        }
    rxn_fake_misuse("an attribute of devices that it does not know", (uint64_t)attribute);
}

EXPORT int
cuDevicePrimaryCtxRetain(Device **ret_context, int device)
{
    ENTER(false);
    if (device < 0 || device >= gpu.options.devices)
        LEAVE(INVALID_DEVICE);
    gpu.devices[device].retained++;
    *ret_context = &gpu.devices[device];
    LEAVE(SUCCESS);
}

EXPORT int
cuCtxSetCurrent(Device *context)
{
    ENTER(false);
    current = context;
    LEAVE(SUCCESS);
}

/* ---- memory ---- */

EXPORT int
cuMemGetInfo_v2(size_t *ret_free, size_t *ret_total)
{
    ENTER(true);
    *ret_free = current->size - current->used;
    *ret_total = current->size;
    LEAVE(SUCCESS);
}

static uint64_t
room_of(uint64_t size)
{
    return (size + GUARD - 1) / GUARD * GUARD + GUARD;
}

EXPORT int
cuMemAlloc_v2(uint64_t *ret_address, size_t size)
{
    ENTER(true);
    Device *d = current;
    if (gpu.options.trace)
        fprintf(stderr, "fake GPU: … of %zu bytes\n", size);
    if (size == 0)
        LEAVE(INVALID_VALUE);
    if (++gpu.allocations == gpu.options.fail_alloc)
        LEAVE(OUT_OF_MEMORY);
    uint64_t room = room_of(size), at = (uint64_t)(uintptr_t)d->memory;
    uint64_t end = at + d->size;
    size_t k = 0;
    for (; k < d->allocation_count && d->allocations[k].start - at < room; k++)
        at = d->allocations[k].start + room_of(d->allocations[k].size);
    if (size > d->size || at + room > end)
        LEAVE(OUT_OF_MEMORY);
    if (d->allocation_count == d->allocation_capacity) {
        d->allocation_capacity = d->allocation_capacity ? 2 * d->allocation_capacity : 64;
        d->allocations = realloc(d->allocations, d->allocation_capacity * sizeof *d->allocations);
    }
    memmove(d->allocations + k + 1, d->allocations + k,
            (d->allocation_count++ - k) * sizeof *d->allocations);
    d->allocations[k] = (Allocation){at, size, NULL};
    d->used += room;
    open_memory();
    memset((void *)(uintptr_t)at, FILL_NEW, size);
    memset((void *)(uintptr_t)(at + size), FILL_GUARD, room - size);
    close_memory();
    *ret_address = at;
    LEAVE(SUCCESS);
}

static Allocation *
allocation_of(Device *d, uint64_t at, uint64_t size)
{
    size_t low = 0, high = d->allocation_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (d->allocations[middle].start + d->allocations[middle].size <= at)
            low = middle + 1;
        else
            high = middle;
    }
    Allocation *a = d->allocations + low;
    bool inside = low < d->allocation_count && at >= a->start && size <= a->size &&
                  at - a->start <= a->size - size;
    return inside ? a : NULL;
}

static void
check_guard(const Allocation *a)
{
    const unsigned char *p = (const unsigned char *)(uintptr_t)(a->start + a->size);
    for (size_t i = 0; i < room_of(a->size) - a->size; i++)
        if (p[i] != FILL_GUARD)
            rxn_fake_misuse("something was written behind the end of an allocation",
                            a->start + a->size + i);
}

static void
check_guards(void)
{
    open_memory();
    for (int i = 0; i < gpu.options.devices; i++)
        for (size_t k = 0; k < gpu.devices[i].allocation_count; k++)
            check_guard(&gpu.devices[i].allocations[k]);
    close_memory();
}

EXPORT int
cuMemFree_v2(uint64_t address)
{
    ENTER(true);
    Device *d = current;
    Allocation *a = allocation_of(d, address, 1);
    if (!a || a->start != address)
        LEAVE(INVALID_VALUE);
    rxn_fake_drain(d); /* as the driver does */
    a = allocation_of(d, address, 1);
    if (!a)
        rxn_fake_misuse("freed twice at once", address);
    open_memory();
    check_guard(a);
    memset((void *)(uintptr_t)a->start, FILL_FREED, a->size);
    close_memory();
    d->used -= room_of(a->size);
    size_t k = (size_t)(a - d->allocations);
    memmove(a, a + 1, (--d->allocation_count - k) * sizeof *a);
    LEAVE(SUCCESS);
}

/* The host's and the device's view of page-locked memory are two places. */
EXPORT int
cuMemHostAlloc(void **ret_memory, size_t size, unsigned flags)
{
    (void)flags;
    ENTER(true);
    size_t room = (size + 4095) / 4096 * 4096;
    int file = memfd_create("pinned", MFD_CLOEXEC);
    if (size == 0 || file < 0 || ftruncate(file, (off_t)room) != 0)
        LEAVE(size == 0 ? INVALID_VALUE : OUT_OF_MEMORY);
    unsigned char *host = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    void *seen = mmap(NULL, room, PROT_NONE, MAP_SHARED, file, 0);
    close(file);
    if (host == MAP_FAILED || seen == MAP_FAILED)
        LEAVE(OUT_OF_MEMORY);
    memset(host, FILL_NEW, room);
    gpu.pinned = realloc(gpu.pinned, (gpu.pinned_count + 1) * sizeof *gpu.pinned);
    gpu.pinned[gpu.pinned_count++] = (Allocation){(uint64_t)(uintptr_t)seen, room, host};
    *ret_memory = host;
    LEAVE(SUCCESS);
}

static Allocation *
pinned_of_host(const void *memory, size_t size)
{
    uintptr_t at = (uintptr_t)memory;
    for (size_t i = 0; i < gpu.pinned_count; i++)
        if (at - (uintptr_t)gpu.pinned[i].host < gpu.pinned[i].size &&
            at - (uintptr_t)gpu.pinned[i].host + size <= gpu.pinned[i].size)
            return &gpu.pinned[i];
    return NULL;
}

EXPORT int
cuMemFreeHost(void *memory)
{
    ENTER(true);
    Allocation *a = pinned_of_host(memory, 1);
    if (!a || a->host != memory)
        LEAVE(INVALID_VALUE);
    for (int i = 0; i < gpu.options.devices; i++)
        rxn_fake_drain(&gpu.devices[i]);
    munmap(a->host, a->size);
    munmap((void *)(uintptr_t)a->start, a->size);
    *a = gpu.pinned[--gpu.pinned_count];
    LEAVE(SUCCESS);
}

EXPORT int
cuMemHostGetDevicePointer_v2(uint64_t *ret_address, void *memory, unsigned flags)
{
    ENTER(true);
    Allocation *a = pinned_of_host(memory, 1);
    if (!a || flags != 0)
        LEAVE(INVALID_VALUE);
    *ret_address = a->start + (uint64_t)((unsigned char *)memory - a->host);
    LEAVE(SUCCESS);
}

/* ---- streams ---- */

bool
rxn_fake_allowed(void *context, uintptr_t at, size_t size, uintptr_t *ret_start, size_t *ret_size)
{
    Device *d = context;
    const Allocation *a = allocation_of(d, at, size);
    for (size_t i = 0; i < gpu.pinned_count && !a; i++)
        if (at - gpu.pinned[i].start < gpu.pinned[i].size &&
            at - gpu.pinned[i].start + size <= gpu.pinned[i].size)
            a = &gpu.pinned[i];
    if (!a)
        return false;
    *ret_start = (uintptr_t)a->start;
    *ret_size = a->size;
    return true;
}

void
rxn_fake_explain(void *context, uintptr_t at, char *text, size_t size)
{
    Device *own = context;
    if (at < 65536) {
        snprintf(text, size, "no memory has such an address");
        return;
    }
    for (int i = 0; i < gpu.options.devices; i++) {
        Device *d = &gpu.devices[i];
        if (at - (uintptr_t)d->memory >= d->size)
            continue;
        if (d != own) {
            snprintf(text, size, "memory of device %d, on device %d", i, own->number);
            return;
        }
        for (size_t k = d->allocation_count; k-- > 0;)
            if (d->allocations[k].start <= at) {
                snprintf(
                    text, size, "%llu bytes behind an allocation of %llu bytes, or freed",
                    (unsigned long long)(at - d->allocations[k].start - d->allocations[k].size),
                    (unsigned long long)d->allocations[k].size);
                return;
            }
        snprintf(text, size, "device memory that is not allocated");
        return;
    }
    snprintf(text, size, "%s, which the device cannot see",
             pinned_of_host((void *)at, 1) ? "the host's address of mapped memory"
                                           : "memory of the host");
}

static bool
ready(const Stream *stream)
{
    const Operation *op = stream->first;
    return op && !stream->busy && !(op->kind == OP_WAIT && op->event->reached < op->turn);
}

static void
finish(Stream *stream)
{
    Operation *op = stream->first;
    stream->first = op->next;
    if (!stream->first)
        stream->last = NULL;
    if (op->engine)
        rxn_engine_free(op->engine);
    if (op->module)
        op->module->launches--;
    free(op->own);
    free(op);
}

/* The first operation of a stream, or a slice of it. */
static void
advance(Stream *stream)
{
    Operation *op = stream->first;
    bool done = true;
    open_memory();
    if (op->kind == OP_COPY) {
        memcpy(op->to, op->own ? op->own : op->from, op->size);
    } else if (op->kind == OP_FILL) {
        memset(op->to, op->value, op->size);
    } else if (op->kind == OP_RECORD) {
        if (op->event->reached < op->turn)
            op->event->reached = op->turn;
    } else if (op->kind == OP_LAUNCH) {
        EngineState state = ENGINE_TRAPPED;
        if (op->value == 0) {
            if (!op->engine)
                op->engine = rxn_engine_start(&op->launch, op->own, rxn_engine_random(&gpu.random));
            state = rxn_engine_run(op->engine, slice_seconds);
        }
        if (state == ENGINE_TRAPPED)
            stream->device->fault = op->value ? op->value : LAUNCH_FAILED;
        done = state != ENGINE_RUNNING;
    }
    close_memory();
    if (done)
        finish(stream);
    else { /* let another thread of the host in, which may want to stop it */
        stream->busy = true;
        pthread_mutex_unlock(&gpu.mutex);
        usleep(100); /* longer than a yield, which would not let it have the mutex */
        pthread_mutex_lock(&gpu.mutex);
        stream->busy = false;
    }
}

/* One step of some stream of the device; false: none can go on. */
static bool
step(Device *device)
{
    int count = ready(&device->standard);
    for (Stream *s = device->streams; s; s = s->next)
        count += ready(s);
    if (count == 0)
        return false;
    int chosen = (int)((rxn_engine_random(&gpu.random) >> 33) % (uint64_t)count);
    if (ready(&device->standard) && chosen-- == 0) {
        advance(&device->standard);
        return true;
    }
    for (Stream *s = device->streams; s; s = s->next)
        if (ready(s) && chosen-- == 0) {
            advance(s);
            return true;
        }
    return false;
}

static bool
idle(const Device *device)
{
    bool left = device->standard.first != NULL;
    for (const Stream *s = device->streams; s && !left; s = s->next)
        left = s->first != NULL;
    return !left;
}

/* Goes on with the device until `done`; waits for other threads where one of them has the turn. */
#define ADVANCE_UNTIL(device, done)                                                                \
    do {                                                                                           \
        while (!(done) && (device)->fault == 0)                                                    \
            if (!step(device))                                                                     \
                wait_for_others(device);                                                           \
    } while (0)

static void
wait_for_others(Device *device)
{
    bool busy = device->standard.busy;
    for (Stream *s = device->streams; s; s = s->next)
        busy |= s->busy;
    if (!busy)
        for (int i = 0; i < gpu.options.devices; i++) /* an event of another device */
            busy |= &gpu.devices[i] != device && step(&gpu.devices[i]);
    if (!busy)
        rxn_fake_misuse("streams wait for events that nobody records", 0);
    pthread_mutex_unlock(&gpu.mutex);
    usleep(100);
    pthread_mutex_lock(&gpu.mutex);
}

void
rxn_fake_drain(Device *device)
{
    ADVANCE_UNTIL(device, idle(device));
}

Operation *
rxn_fake_enqueue(Stream *stream, OperationKind kind)
{
    Operation *op = calloc(1, sizeof *op);
    if (!op)
        abort();
    op->kind = kind;
    if (stream->last)
        stream->last->next = op;
    else
        stream->first = op;
    stream->last = op;
    return op;
}

Stream *
rxn_fake_stream(Stream *stream)
{
    return stream ? stream : &current->standard;
}

bool
rxn_fake_has_stream(const Stream *stream)
{
    for (int i = 0; i < gpu.options.devices; i++)
        for (const Stream *s = gpu.devices[i].streams; s; s = s->next)
            if (s == stream)
                return true;
    return !stream;
}

EXPORT int
cuStreamCreate(Stream **ret_stream, unsigned flags)
{
    (void)flags;
    ENTER(true);
    Stream *s = calloc(1, sizeof *s);
    s->device = current;
    s->next = current->streams;
    current->streams = s;
    *ret_stream = s;
    LEAVE(SUCCESS);
}

EXPORT int
cuStreamDestroy_v2(Stream *stream)
{
    ENTER(true);
    if (!stream || !rxn_fake_has_stream(stream))
        LEAVE(INVALID_HANDLE);
    Device *d = stream->device;
    ADVANCE_UNTIL(d, !stream->first);
    Stream **place = &d->streams;
    while (*place != stream)
        place = &(*place)->next;
    *place = stream->next;
    free(stream);
    LEAVE(SUCCESS);
}

EXPORT int
cuStreamSynchronize(Stream *stream)
{
    ENTER(true);
    if (!rxn_fake_has_stream(stream))
        LEAVE(INVALID_HANDLE);
    Stream *s = rxn_fake_stream(stream);
    ADVANCE_UNTIL(s->device, !s->first);
    check_guards();
    LEAVE(s->device->fault);
}

EXPORT int
cuStreamQuery(Stream *stream)
{
    ENTER(true);
    if (!rxn_fake_has_stream(stream))
        LEAVE(INVALID_HANDLE);
    Stream *s = rxn_fake_stream(stream);
    step(s->device);
    LEAVE(s->device->fault ? s->device->fault : s->first ? NOT_READY : SUCCESS);
}

EXPORT int
cuCtxSynchronize(void)
{
    ENTER(true);
    rxn_fake_drain(current);
    check_guards();
    LEAVE(current->fault);
}

EXPORT int
cuDevicePrimaryCtxRelease_v2(int device)
{
    ENTER(false);
    if (device < 0 || device >= gpu.options.devices)
        LEAVE(INVALID_DEVICE);
    Device *d = &gpu.devices[device];
    if (d->retained == 0)
        LEAVE(INVALID_CONTEXT);
    rxn_fake_drain(d);
    if (--d->retained == 0 && d->allocation_count > 0 && d->fault == 0)
        rxn_fake_misuse("a context is given up with its memory still allocated",
                        d->allocations[0].start);
    LEAVE(SUCCESS);
}

/* ---- events ---- */

EXPORT int
cuEventCreate(Event **ret_event, unsigned flags)
{
    (void)flags;
    ENTER(true);
    *ret_event = calloc(1, sizeof **ret_event);
    (*ret_event)->device = current;
    LEAVE(SUCCESS);
}

EXPORT int
cuEventRecord(Event *event, Stream *stream)
{
    ENTER(true);
    if (!event || !rxn_fake_has_stream(stream) || event->device != rxn_fake_stream(stream)->device)
        LEAVE(INVALID_HANDLE);
    Operation *op = rxn_fake_enqueue(rxn_fake_stream(stream), OP_RECORD);
    op->event = event;
    op->turn = ++event->recorded;
    LEAVE(SUCCESS);
}

EXPORT int
cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags)
{
    (void)flags;
    ENTER(true);
    if (!event || !rxn_fake_has_stream(stream))
        LEAVE(INVALID_HANDLE);
    Operation *op = rxn_fake_enqueue(rxn_fake_stream(stream), OP_WAIT);
    op->event = event;
    op->turn = event->recorded;
    LEAVE(SUCCESS);
}

EXPORT int
cuEventSynchronize(Event *event)
{
    ENTER(true);
    if (!event)
        LEAVE(INVALID_HANDLE);
    uint64_t turn = event->recorded;
    ADVANCE_UNTIL(event->device, event->reached >= turn);
    check_guards();
    LEAVE(event->device->fault);
}

EXPORT int
cuEventQuery(Event *event)
{
    ENTER(true);
    if (!event)
        LEAVE(INVALID_HANDLE);
    if (event->reached < event->recorded)
        step(event->device);
    LEAVE(event->device->fault               ? event->device->fault
          : event->reached < event->recorded ? NOT_READY
                                             : SUCCESS);
}

EXPORT int
cuEventDestroy_v2(Event *event)
{
    ENTER(true);
    if (!event)
        LEAVE(INVALID_HANDLE);
    rxn_fake_drain(event->device); /* operations may still name it */
    free(event);
    LEAVE(SUCCESS);
}

/* ---- copies ---- */

/* An allocation, or a variable of a module. */
static void
check_device_range(uint64_t address, size_t size, const char *what)
{
    bool found = allocation_of(current, address, size) != NULL;
    for (const Module *m = gpu.modules; m && !found; m = m->next)
        found = m->device == current && address - m->start < m->size &&
                address - m->start + size <= m->size;
    if (!found)
        rxn_fake_misuse(what, address);
}

EXPORT int
cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, Stream *stream)
{
    ENTER(true);
    if (!rxn_fake_has_stream(stream))
        LEAVE(INVALID_HANDLE);
    check_device_range(to, size, "a copy to what is not memory of this device");
    Operation *op = rxn_fake_enqueue(rxn_fake_stream(stream), OP_COPY);
    op->to = (unsigned char *)(uintptr_t)to;
    op->from = from;
    op->size = size;
    if (!pinned_of_host(from, size)) {
        op->own = malloc(size + 1);
        memcpy(op->own, from, size);
    }
    LEAVE(SUCCESS);
}

EXPORT int
cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, Stream *stream)
{
    ENTER(true);
    if (!rxn_fake_has_stream(stream))
        LEAVE(INVALID_HANDLE);
    check_device_range(from, size, "a copy from what is not memory of this device");
    Stream *s = rxn_fake_stream(stream);
    Operation *op = rxn_fake_enqueue(s, OP_COPY);
    op->to = to;
    op->from = (const unsigned char *)(uintptr_t)from;
    op->size = size;
    if (!pinned_of_host(to, size))
        ADVANCE_UNTIL(s->device, !s->first);
    LEAVE(s->device->fault);
}

EXPORT int
cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t size, Stream *stream)
{
    ENTER(true);
    if (!rxn_fake_has_stream(stream))
        LEAVE(INVALID_HANDLE);
    check_device_range(to, size, "a copy to what is not memory of this device");
    check_device_range(from, size, "a copy from what is not memory of this device");
    Operation *op = rxn_fake_enqueue(rxn_fake_stream(stream), OP_COPY);
    op->to = (unsigned char *)(uintptr_t)to;
    op->from = (const unsigned char *)(uintptr_t)from;
    op->size = size;
    LEAVE(SUCCESS);
}

EXPORT int
cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size)
{
    int result = cuMemcpyHtoDAsync_v2(to, from, size, NULL);
    return result ? result : cuStreamSynchronize(NULL);
}

EXPORT int
cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size)
{
    int result = cuMemcpyDtoHAsync_v2(to, from, size, NULL);
    return result ? result : cuStreamSynchronize(NULL);
}

EXPORT int
cuMemsetD8Async(uint64_t to, unsigned char value, size_t size, Stream *stream)
{
    ENTER(true);
    if (!rxn_fake_has_stream(stream))
        LEAVE(INVALID_HANDLE);
    check_device_range(to, size, "a fill of what is not memory of this device");
    Operation *op = rxn_fake_enqueue(rxn_fake_stream(stream), OP_FILL);
    op->to = (unsigned char *)(uintptr_t)to;
    op->value = value;
    op->size = size;
    LEAVE(SUCCESS);
}
