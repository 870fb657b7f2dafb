/* device_host.c: the CPU as a device (see device_host.h; device_pool.h has what holds for all of them).
 *
 * Every thread takes the next chunk, runs the kernel on it, reduces it, and puts the result into the
 * chunk's slot of a ring. Whoever completes the chunk that is next in order hands it, and those
 * complete behind it, to `consume`. A thread that is a whole ring ahead waits.
 */
#include "runtime/device_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/device_pool.h"

#define LARGE_PAGE ((size_t)2 << 20)

typedef struct Slot {
    DeviceChunk chunk;
    double *samples; /* with ensemble->rows */
    uint64_t *row_events;
    bool complete;
} Slot;

typedef struct Worker {
    uint64_t chunk;
    volatile int cancel; /* the kernel looks at it */
    void **buffers;      /* per kernel buffer */
    void **scratch;      /* per kernel buffer: what this worker owns of them */
    double *samples;
    uint64_t *row_events;
    void *workspace;
    double *witness;
} Worker;

typedef struct Pool {
    DevicePool device;
    size_t cells; /* doubles of a row of samples */
    int64_t *strides;
    Slot *slots;
    uint32_t slot_count;
    Worker *workers;
    uint32_t worker_count;
} Pool;

/* A worker between two chunks has number 0 and nothing to stop; the flag is cleared with the next chunk. */
static void
cancel_from(DevicePool *device, uint64_t chunk)
{
    Pool *pool = (Pool *)device;
    for (uint32_t w = 0; w < pool->worker_count; w++)
        if (pool->workers[w].chunk >= chunk)
            __atomic_store_n(&pool->workers[w].cancel, 1, __ATOMIC_RELAXED);
}

/* Hands over what is complete and next in order. */
static void
consume_in_order(Pool *pool)
{
    DevicePool *device = &pool->device;
    if (device->consuming)
        return;
    device->consuming = true;
    for (;;) {
        Slot *slot = &pool->slots[device->consumed % pool->slot_count];
        if (device->consumed >= device->limit || !slot->complete)
            break;
        rxn__pool_consume(device, &slot->chunk);
        slot->complete = false;
        pthread_cond_broadcast(&device->room);
    }
    device->consuming = false;
}

/* Clang's check of indirect calls reads the bytes before a function; before compiled kernels there are
 * none. */
#if defined(__clang__)
__attribute__((no_sanitize("function")))
#endif
static void
call_compiled(const RxnKernel *kernel, const RxnLaunch *launch)
{
    kernel->run(launch);
}

/* RXN_DONE too where a trajectory faulted, or nobody wants the rest. */
static RxnOutcome
run_chunk(Pool *pool, Worker *worker, uint64_t chunk, RxnFault *fault, char *error,
          size_t error_size)
{
    const DeviceJob *job = pool->device.job;
    const RxnEnsemble *ensemble = job->ensemble;
    const RxnKernel *kernel = ensemble->kernel;
    Slot *slot = &pool->slots[chunk % pool->slot_count];
    double *samples = slot->samples ? slot->samples : worker->samples;
    uint64_t *row_events = slot->row_events ? slot->row_events : worker->row_events;
    uint64_t rows = rxn__chunk_rows(job, chunk), first = rxn__chunk_first(job, chunk);
    for (uint32_t b = 0; b < kernel->buffer_count; b++)
        if (kernel->buffers[b].is_input) /* the kernel's buffers are one type for all */
            worker->buffers[b] = (void *)(uintptr_t)rxn__job_rows(job, b, first);
    if (job->sample != UINT32_MAX)
        worker->buffers[job->sample] = samples;
    if (job->events != UINT32_MAX)
        worker->buffers[job->events] = row_events;
    else
        memset(row_events, 0, rows * sizeof *row_events);
    RxnLaunch launch = {
        .first = ensemble->first + first,
        .count = rows,
        .buffers = worker->buffers,
        .strides = pool->strides,
        .workspace = worker->workspace,
        .fault = fault,
        .cancel = &worker->cancel,
    };
    RxnOutcome outcome = RXN_DONE;
    if (kernel->run)
        call_compiled(kernel, &launch);
    else
        outcome = kernel->call(kernel->context, &launch, error, error_size);
    if (outcome != RXN_DONE || fault->trajectory != UINT64_MAX ||
        __atomic_load_n(&worker->cancel, __ATOMIC_RELAXED))
        return outcome;
    slot->chunk.first = launch.first;
    slot->chunk.rows = rows;
    slot->chunk.samples = slot->samples;
    slot->chunk.row_events = slot->row_events;
    slot->chunk.events = 0;
    for (uint64_t k = 0; k < rows; k++)
        slot->chunk.events += row_events[k];
    if (ensemble->statistics)
        rxn__moments_of_rows(&slot->chunk.moments, pool->cells, rows, samples);
    return RXN_DONE;
}

/* As DevicePool.work. */
static void
work(DevicePool *device, uint32_t number)
{
    Pool *pool = (Pool *)device;
    Worker *worker = &pool->workers[number];
    for (;;) {
        while (device->next < device->limit && device->next >= device->consumed + pool->slot_count)
            pthread_cond_wait(&device->room, &device->lock);
        if (device->next >= device->limit)
            return;
        uint64_t chunk = device->next++;
        worker->chunk = chunk;
        __atomic_store_n(&worker->cancel, 0, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&device->lock);

        RxnFault fault = {.trajectory = UINT64_MAX, .witness = worker->witness};
        char error[160] = "";
        RxnOutcome outcome = run_chunk(pool, worker, chunk, &fault, error, sizeof error);

        pthread_mutex_lock(&device->lock);
        worker->chunk = 0;
        if (outcome != RXN_DONE) {
            rxn__pool_stop(device, outcome, error);
        } else if (fault.trajectory != UINT64_MAX) {
            rxn__pool_fault(device, chunk, &fault);
        } else if (!__atomic_load_n(&worker->cancel, __ATOMIC_RELAXED) && chunk < device->limit) {
            pool->slots[chunk % pool->slot_count].complete = true;
            device->rows_done += rxn__chunk_rows(device->job, chunk);
            consume_in_order(pool);
        }
    }
}

/* ---- storage ----------------------------------------------------------------------------------- */

static void *
allocate(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - 64)
        return NULL;
    /* Aligned for any vector; uninitialised, for the kernel writes all that is read. */
    return aligned_alloc(64, (bytes + 63) / 64 * 64 + (bytes == 0 ? 64 : 0));
}

/* A workspace may be far larger than what a kernel comes to use of it: tapes are declared for the longest
 * trajectory there may be. So it is address space, which becomes memory page by page when it is written,
 * and is not counted against what the machine has. Tables are in large pages, if the system has them: they are read here and
 * there. Tapes are not: where memory is at hand large pages take a third of the time to come, but ten times as long on a
 * virtual machine that has to ask its host for them. */
static void *
allocate_workspace(const RxnKernel *kernel)
{
    size_t bytes = kernel->workspace_bytes;
    void *space = mmap(NULL, bytes > 0 ? bytes : 1, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED)
        return NULL;
    if (kernel->table_bytes >= LARGE_PAGE) /* may be refused: nothing depends on it */
        madvise(space, kernel->table_bytes, MADV_HUGEPAGE);
    return space;
}

static void
free_workspace(void *space, size_t bytes)
{
    if (space)
        munmap(space, bytes > 0 ? bytes : 1);
}

static bool
prepare_worker(Pool *pool, Worker *worker)
{
    const DeviceJob *job = pool->device.job;
    const RxnKernel *kernel = job->ensemble->kernel;
    worker->buffers = calloc(kernel->buffer_count + 1, sizeof *worker->buffers);
    worker->scratch = calloc(kernel->buffer_count + 1, sizeof *worker->scratch);
    worker->workspace = allocate_workspace(kernel);
    worker->witness = calloc(kernel->witness_count + 1, sizeof *worker->witness);
    if (!worker->buffers || !worker->scratch || !worker->workspace || !worker->witness)
        return false;
    if (!job->ensemble->rows) {
        worker->samples = allocate(job->head_rows, pool->cells * sizeof(double));
        worker->row_events = allocate(job->head_rows, sizeof(uint64_t));
        if (!worker->samples || !worker->row_events)
            return false;
    }
    for (uint32_t b = 0; b < kernel->buffer_count; b++) {
        worker->buffers[b] = job->buffers[b];
        if (!kernel->buffers[b].per_trajectory || kernel->buffers[b].is_input || b == job->sample ||
            b == job->events)
            continue;
        worker->scratch[b] =
            allocate(job->head_rows, (size_t)pool->strides[b] * kernel->buffers[b].element_bytes);
        worker->buffers[b] = worker->scratch[b];
        if (!worker->scratch[b])
            return false;
    }
    return true;
}

static bool
prepare(Pool *pool)
{
    const DeviceJob *job = pool->device.job;
    const RxnEnsemble *ensemble = job->ensemble;
    const RxnKernel *kernel = ensemble->kernel;
    pool->strides = calloc(kernel->buffer_count + 1, sizeof *pool->strides);
    pool->slots = calloc(pool->slot_count, sizeof *pool->slots);
    pool->workers = calloc(job->threads, sizeof *pool->workers);
    if (!pool->strides || !pool->slots || !pool->workers)
        return false;
    pool->worker_count = job->threads;
    for (uint32_t b = 0; b < kernel->buffer_count; b++)
        if (kernel->buffers[b].per_trajectory)
            pool->strides[b] = (int64_t)job->buffer_elements[b];
    for (uint32_t s = 0; s < pool->slot_count; s++) {
        Slot *slot = &pool->slots[s];
        if (ensemble->statistics) {
            slot->chunk.moments.mean = allocate(pool->cells, sizeof(double));
            slot->chunk.moments.m2 = allocate(pool->cells, sizeof(double));
            if (!slot->chunk.moments.mean || !slot->chunk.moments.m2)
                return false;
        }
        if (ensemble->rows) {
            slot->samples = allocate(job->head_rows, pool->cells * sizeof(double));
            slot->row_events = allocate(job->head_rows, sizeof(uint64_t));
            if (!slot->samples || !slot->row_events)
                return false;
        }
    }
    for (uint32_t w = 0; w < pool->worker_count; w++)
        if (!prepare_worker(pool, &pool->workers[w]))
            return false;
    return true;
}

static void
release(Pool *pool)
{
    const RxnKernel *kernel = pool->device.job->ensemble->kernel;
    for (uint32_t w = 0; pool->workers && w < pool->worker_count; w++) {
        Worker *worker = &pool->workers[w];
        for (uint32_t b = 0; worker->scratch && b < kernel->buffer_count; b++)
            free(worker->scratch[b]);
        free(worker->scratch);
        free(worker->buffers);
        free(worker->samples);
        free(worker->row_events);
        free_workspace(worker->workspace, kernel->workspace_bytes);
        free(worker->witness);
    }
    for (uint32_t s = 0; pool->slots && s < pool->slot_count; s++) {
        free(pool->slots[s].chunk.moments.mean);
        free(pool->slots[s].chunk.moments.m2);
        free(pool->slots[s].samples);
        free(pool->slots[s].row_events);
    }
    free(pool->workers);
    free(pool->slots);
    free(pool->strides);
}

RxnOutcome
rxn__host_run(const DeviceJob *job, DeviceConsume consume, void *context, RxnFault *ret_fault,
              char *error, size_t error_size)
{
    const RxnEnsemble *ensemble = job->ensemble;
    Pool pool = {
        .device = {.job = job,
                   .consume = consume,
                   .context = context,
                   .fault = ret_fault,
                   .error = error,
                   .error_size = error_size,
                   .cancel_from = cancel_from,
                   .work = work},
        .cells = (size_t)ensemble->sample_count * ensemble->columns,
        /* A few more than threads, so that one slow chunk does not make the others wait. */
        .slot_count = job->threads + 2 + job->threads / 2,
    };
    if (pool.slot_count > job->chunk_count)
        pool.slot_count = (uint32_t)job->chunk_count;
    RxnOutcome outcome = RXN_NO_MEMORY;
    if (prepare(&pool))
        outcome = rxn__pool_run(&pool.device, pool.worker_count);
    else
        snprintf(error, error_size, "out of memory for the samples of %u threads", job->threads);
    release(&pool);
    return outcome;
}
