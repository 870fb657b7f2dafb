/* device_host.c: the pool of threads (see device_host.h).
 *
 * Every thread takes the next chunk, runs the kernel on it, reduces it, and puts the result into the
 * chunk's slot of a ring. Whoever completes the chunk that is next in order hands it, and those
 * complete behind it, to `consume`. A thread that is a whole ring ahead waits.
 *
 * Faults. Chunks are taken in order, so when chunk c has a fault all chunks before c are finished or
 * running. These go on to their end, since they may hold a fault with a lower number; those behind c
 * are told to stop and are dropped. So the fault that is reported is the one with the lowest number,
 * whatever the number of threads.
 *
 * The calling thread does no chunks: it watches the caller's cancel flag and reports progress.
 */
#include "runtime/device_host.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { WATCH_NANOSECONDS = 50 * 1000 * 1000 };

typedef struct Slot {
    DeviceChunk chunk;
    double *samples; /* with ensemble->rows */
    uint64_t *row_events;
    bool complete;
} Slot;

typedef struct Pool Pool;

typedef struct Worker {
    Pool *pool;
    pthread_t thread;
    uint64_t chunk;
    volatile int cancel; /* the kernel looks at it */
    void **buffers;      /* per kernel buffer */
    void **scratch;      /* per kernel buffer: what this worker owns of them */
    double *samples;
    uint64_t *row_events;
    void *workspace;
    double *witness;
} Worker;

struct Pool {
    const DeviceJob *job;
    DeviceConsume consume;
    void *context;
    size_t cells; /* doubles of a row of samples */
    int64_t *strides;

    pthread_mutex_t lock;
    pthread_cond_t room, news; /* a slot is free; a worker has ended */
    uint64_t next, consumed;   /* chunks handed out; consumed in order */
    uint64_t limit;            /* chunks from here on do not count any more */
    uint64_t rows_done;
    uint32_t working;
    bool consuming;
    RxnOutcome outcome;
    RxnFault *fault;
    char *error;
    size_t error_size;

    Slot *slots;
    uint32_t slot_count;
    Worker *workers;
    uint32_t worker_count;
};

/* Ends the run: what is running is told so, nothing new begins. With the lock held. */
static void
stop(Pool *pool, RxnOutcome outcome)
{
    if (pool->outcome == RXN_DONE || pool->outcome == RXN_FAULTED)
        pool->outcome = outcome;
    pool->limit = 0;
    for (uint32_t w = 0; w < pool->worker_count; w++)
        pool->workers[w].cancel = 1;
    pthread_cond_broadcast(&pool->room);
}

static void
note_fault(Pool *pool, uint64_t chunk, const RxnFault *fault)
{
    if (pool->outcome != RXN_DONE && pool->outcome != RXN_FAULTED)
        return;
    pool->outcome = RXN_FAULTED;
    if (chunk < pool->limit)
        pool->limit = chunk;
    if (fault->trajectory < pool->fault->trajectory) {
        double *witness = pool->fault->witness;
        *pool->fault = *fault;
        pool->fault->witness = witness;
        if (witness && fault->witness)
            memcpy(witness, fault->witness,
                   pool->job->ensemble->kernel->witness_count * sizeof *witness);
    }
    for (uint32_t w = 0; w < pool->worker_count; w++)
        if (pool->workers[w].chunk > chunk)
            pool->workers[w].cancel = 1;
    pthread_cond_broadcast(&pool->room);
}

/* Hands over what is complete and next in order. With the lock held, which it gives up meanwhile. */
static void
consume_in_order(Pool *pool)
{
    if (pool->consuming)
        return;
    pool->consuming = true;
    for (;;) {
        Slot *slot = &pool->slots[pool->consumed % pool->slot_count];
        if (pool->consumed >= pool->limit || !slot->complete)
            break;
        pthread_mutex_unlock(&pool->lock);
        bool good = pool->consume(pool->context, &slot->chunk);
        pthread_mutex_lock(&pool->lock);
        slot->complete = false;
        pool->consumed++;
        pthread_cond_broadcast(&pool->room);
        if (!good)
            stop(pool, RXN_REJECTED);
    }
    pool->consuming = false;
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
run_chunk(Worker *worker, uint64_t chunk, RxnFault *fault, char *error, size_t error_size)
{
    Pool *pool = worker->pool;
    const DeviceJob *job = pool->job;
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
    if (outcome != RXN_DONE || fault->trajectory != UINT64_MAX || worker->cancel)
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

static void *
work(void *argument)
{
    Worker *worker = argument;
    Pool *pool = worker->pool;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->next < pool->limit && pool->next >= pool->consumed + pool->slot_count)
            pthread_cond_wait(&pool->room, &pool->lock);
        if (pool->next >= pool->limit)
            break;
        uint64_t chunk = pool->next++;
        worker->chunk = chunk;
        worker->cancel = 0;
        pthread_mutex_unlock(&pool->lock);

        RxnFault fault = {.trajectory = UINT64_MAX, .witness = worker->witness};
        char error[160] = "";
        RxnOutcome outcome = run_chunk(worker, chunk, &fault, error, sizeof error);

        pthread_mutex_lock(&pool->lock);
        worker->chunk = 0;
        if (outcome != RXN_DONE) {
            snprintf(pool->error, pool->error_size, "%s", error);
            stop(pool, outcome);
        } else if (fault.trajectory != UINT64_MAX) {
            note_fault(pool, chunk, &fault);
        } else if (!worker->cancel && chunk < pool->limit) {
            pool->slots[chunk % pool->slot_count].complete = true;
            pool->rows_done += rxn__chunk_rows(pool->job, chunk);
            consume_in_order(pool);
        }
    }
    pool->working--;
    pthread_cond_signal(&pool->news);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void
watch(Pool *pool)
{
    const RxnEnsemble *ensemble = pool->job->ensemble;
    pthread_mutex_lock(&pool->lock);
    while (pool->working > 0) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WATCH_NANOSECONDS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        if (pthread_cond_timedwait(&pool->news, &pool->lock, &until) != ETIMEDOUT)
            continue;
        if (ensemble->cancel && *ensemble->cancel && pool->outcome != RXN_STOPPED)
            stop(pool, RXN_STOPPED);
        uint64_t done = pool->rows_done;
        if (ensemble->progress) {
            pthread_mutex_unlock(&pool->lock);
            ensemble->progress(ensemble->progress_context, done, ensemble->trajectories);
            pthread_mutex_lock(&pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
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
 * and is not counted against what the machine has. */
static void *
allocate_workspace(size_t bytes)
{
    void *space = mmap(NULL, bytes > 0 ? bytes : 1, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return space == MAP_FAILED ? NULL : space;
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
    const DeviceJob *job = pool->job;
    const RxnKernel *kernel = job->ensemble->kernel;
    worker->pool = pool;
    worker->buffers = calloc(kernel->buffer_count + 1, sizeof *worker->buffers);
    worker->scratch = calloc(kernel->buffer_count + 1, sizeof *worker->scratch);
    worker->workspace = allocate_workspace(kernel->workspace_bytes);
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
    const DeviceJob *job = pool->job;
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
    for (uint32_t w = 0; pool->workers && w < pool->worker_count; w++) {
        Worker *worker = &pool->workers[w];
        for (uint32_t b = 0; worker->scratch && b < pool->job->ensemble->kernel->buffer_count; b++)
            free(worker->scratch[b]);
        free(worker->scratch);
        free(worker->buffers);
        free(worker->samples);
        free(worker->row_events);
        free_workspace(worker->workspace, pool->job->ensemble->kernel->workspace_bytes);
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

/* Kernels keep their lanes' arrays in the stack frame, a few KiB; formatting needs little more. */
enum { STACK_BYTES = 4 << 20 };

static uint32_t
start_threads(Pool *pool)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    uint32_t started = 0;
    pthread_mutex_lock(&pool->lock);
    while (started < pool->worker_count) {
        Worker *worker = &pool->workers[started];
        if (pthread_create(&worker->thread, &attributes, work, worker) != 0)
            break;
        started++;
        pool->working++;
    }
    pthread_mutex_unlock(&pool->lock);
    pthread_attr_destroy(&attributes);
    return started;
}

RxnOutcome
rxn__host_run(const DeviceJob *job, DeviceConsume consume, void *context, RxnFault *ret_fault,
              char *error, size_t error_size)
{
    const RxnEnsemble *ensemble = job->ensemble;
    Pool pool = {
        .job = job,
        .consume = consume,
        .context = context,
        .cells = (size_t)ensemble->sample_count * ensemble->columns,
        .limit = job->chunk_count,
        .fault = ret_fault,
        .error = error,
        .error_size = error_size,
        /* A few more than threads, so that one slow chunk does not make the others wait. */
        .slot_count = job->threads + 2 + job->threads / 2,
    };
    if (pool.slot_count > job->chunk_count)
        pool.slot_count = (uint32_t)job->chunk_count;
    ret_fault->trajectory = UINT64_MAX;
    RxnOutcome outcome = RXN_NO_MEMORY;
    if (!prepare(&pool)) {
        snprintf(error, error_size, "out of memory for the samples of %u threads", job->threads);
        release(&pool);
        return outcome;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.room, NULL);
    pthread_cond_init(&pool.news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    uint32_t started = start_threads(&pool);
    if (started > 0) {
        watch(&pool);
        for (uint32_t w = 0; w < started; w++)
            pthread_join(pool.workers[w].thread, NULL);
        outcome = pool.outcome;
    } else {
        snprintf(error, error_size, "no thread could be started");
    }
    pthread_cond_destroy(&pool.news);
    pthread_cond_destroy(&pool.room);
    pthread_mutex_destroy(&pool.lock);
    release(&pool);
    return outcome;
}
