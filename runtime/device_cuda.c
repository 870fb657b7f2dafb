/* device_cuda.c: an ensemble on NVIDIA GPUs (see cuda.h, and cuda_slot.h for one GPU's part).
 *
 * Each GPU has a host thread, which takes groups of chunks in order, launches them, and waits for the oldest
 * it has launched. Whoever has the group that is next in order hands its chunks, and those complete behind
 * it, to `consume`. A thread whose slots all hold results that are not yet due waits.
 *
 * Faults. Groups are taken in order, and the rows of a group too, so when trajectory i has a fault, all
 * before it are finished or running. These go on to their end, since they may hold a fault with a lower
 * number; groups behind it are told to stop. Chunks before the lowest fault are consumed, no others: what
 * is reported does not depend on the number of GPUs.
 *
 * The calling thread watches the caller's cancel flag and reports progress.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/cuda_slot.h"

enum { WATCH_NANOSECONDS = 50 * 1000 * 1000 };

typedef enum SlotState {
    SLOT_FREE,
    SLOT_RUNNING,  /* taken; on its way to the GPU or there */
    SLOT_COMPLETE, /* its results are there, and wait for their turn */
} SlotState;

typedef struct Pool Pool;

typedef struct Worker {
    Pool *pool;
    pthread_t thread;
    CudaLane lane;
    SlotState states[CUDA_SLOTS];
    uint64_t launched, finished; /* groups; a slot is taken again in the order of launches */
    uint32_t order[CUDA_SLOTS];  /* slots of the groups finished … launched - 1, by group modulo */
} Worker;

struct Pool {
    const DeviceJob *job;
    DeviceConsume consume;
    void *context;

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

    Worker *workers;
    uint32_t worker_count;
};

/* Tells the kernels that run chunks from `chunk` on to stop. With the lock held. */
static void
cancel_from(Pool *pool, uint64_t chunk)
{
    for (uint32_t w = 0; w < pool->worker_count; w++)
        for (uint32_t s = 0; s < CUDA_SLOTS; s++) {
            CudaSlot *slot = &pool->workers[w].lane.slots[s];
            if (pool->workers[w].states[s] == SLOT_RUNNING && slot->group.first_chunk >= chunk)
                __atomic_store_n(slot->cancel, 1, __ATOMIC_RELAXED);
        }
}

/* Ends the run: what is running is told so, nothing new begins. With the lock held. */
static void
stop(Pool *pool, RxnOutcome outcome, const char *error)
{
    if (pool->outcome == RXN_DONE || pool->outcome == RXN_FAULTED) {
        pool->outcome = outcome;
        if (error)
            snprintf(pool->error, pool->error_size, "%s", error);
    }
    pool->limit = 0;
    cancel_from(pool, 0);
    pthread_cond_broadcast(&pool->room);
}

/* With the lock held. */
static void
note_fault(Pool *pool, const CudaSlot *slot)
{
    const RxnCudaFault *fault = &slot->ret->fault;
    if (pool->outcome != RXN_DONE && pool->outcome != RXN_FAULTED)
        return;
    const CudaGroup *group = &slot->group;
    uint64_t trajectory = fault->trajectory - pool->job->ensemble->first;
    if (trajectory < group->first || trajectory >= group->first + group->rows) {
        stop(pool, RXN_BROKEN, "the kernel reported a fault of a trajectory that it was not given");
        return;
    }
    pool->outcome = RXN_FAULTED;
    uint64_t chunk = group->first_chunk + (trajectory - group->first) / group->chunk_rows;
    if (chunk < pool->limit)
        pool->limit = chunk;
    if (fault->trajectory < pool->fault->trajectory) {
        double *witness = pool->fault->witness;
        *pool->fault = (RxnFault){.trajectory = fault->trajectory,
                                  .code = fault->code,
                                  .detail = fault->detail,
                                  .witness = witness};
        if (witness)
            memcpy(witness, rxn__cuda_witness(slot->ret),
                   pool->job->ensemble->kernel->witness_count * sizeof *witness);
    }
    cancel_from(pool, chunk + 1);
    pthread_cond_broadcast(&pool->room);
}

/* The complete slot whose group is next in order; NULL: it is not there yet. */
static CudaSlot *
next_in_order(Pool *pool, Worker **ret_worker, uint32_t *ret_index)
{
    for (uint32_t w = 0; w < pool->worker_count; w++)
        for (uint32_t s = 0; s < CUDA_SLOTS; s++) {
            Worker *worker = &pool->workers[w];
            if (worker->states[s] == SLOT_COMPLETE &&
                worker->lane.slots[s].group.first_chunk == pool->consumed) {
                *ret_worker = worker;
                *ret_index = s;
                return &worker->lane.slots[s];
            }
        }
    return NULL;
}

/* Hands over what is complete and next in order. With the lock held, which it gives up meanwhile. */
static void
consume_in_order(Pool *pool)
{
    if (pool->consuming)
        return;
    pool->consuming = true;
    while (pool->consumed < pool->limit) {
        Worker *worker;
        uint32_t index;
        CudaSlot *slot = next_in_order(pool, &worker, &index);
        if (!slot)
            break;
        for (uint64_t k = 0; k < slot->group.chunks && pool->consumed < pool->limit; k++) {
            pthread_mutex_unlock(&pool->lock);
            DeviceChunk chunk;
            rxn__cuda_slot_chunk(&worker->lane, slot, k, &chunk);
            bool good = pool->consume(pool->context, &chunk);
            pthread_mutex_lock(&pool->lock);
            pool->consumed++;
            if (!good)
                stop(pool, RXN_REJECTED, NULL);
        }
        worker->states[index] = SLOT_FREE;
        pthread_cond_broadcast(&pool->room);
    }
    pool->consuming = false;
}

/* ---- one GPU's thread -------------------------------------------------------------------------- */

static uint32_t
free_slot(const Worker *worker)
{
    for (uint32_t s = 0; s < worker->lane.slot_count; s++)
        if (worker->states[s] == SLOT_FREE)
            return s;
    return UINT32_MAX;
}

/* Launches the next group in a slot. With the lock held, which it gives up meanwhile. */
static void
launch_group(Worker *worker, uint32_t index)
{
    Pool *pool = worker->pool;
    CudaLane *lane = &worker->lane;
    CudaSlot *slot = &lane->slots[index];
    char error[256] = "";
    RxnOutcome outcome = RXN_DONE;
    if (!slot->open) {
        bool open;
        pthread_mutex_unlock(&pool->lock);
        outcome = rxn__cuda_slot_open(lane, slot, &open, error, sizeof error);
        pthread_mutex_lock(&pool->lock);
        if (outcome != RXN_DONE)
            stop(pool, outcome, error);
        if (outcome != RXN_DONE || !open || pool->next >= pool->limit)
            return;
    }
    slot->group = rxn__cuda_group(lane, pool->next, pool->limit);
    pool->next += slot->group.chunks;
    __atomic_store_n(slot->cancel, 0, __ATOMIC_RELAXED);
    worker->states[index] = SLOT_RUNNING;
    pthread_mutex_unlock(&pool->lock);
    outcome = rxn__cuda_slot_launch(lane, slot, error, sizeof error);
    pthread_mutex_lock(&pool->lock);
    if (outcome == RXN_DONE) {
        worker->order[worker->launched++ % CUDA_SLOTS] = index;
    } else {
        worker->states[index] = SLOT_FREE;
        stop(pool, outcome, error);
    }
}

/* Waits for the oldest group, and does what is to be done with it. With the lock held, which it gives up
 * meanwhile. */
static void
finish_group(Worker *worker)
{
    Pool *pool = worker->pool;
    uint32_t index = worker->order[worker->finished++ % CUDA_SLOTS];
    CudaSlot *slot = &worker->lane.slots[index];
    char error[256] = "";
    pthread_mutex_unlock(&pool->lock);
    RxnOutcome outcome = rxn__cuda_slot_wait(&worker->lane, slot, error, sizeof error);
    pthread_mutex_lock(&pool->lock);
    bool cancelled = __atomic_load_n(slot->cancel, __ATOMIC_RELAXED) != 0;
    worker->states[index] = SLOT_FREE;
    if (outcome != RXN_DONE) {
        stop(pool, outcome, error);
        return;
    }
    /* A group that was told to stop because of a fault before it has nothing to say. */
    if (cancelled)
        return;
    if (slot->ret->fault.trajectory != UINT64_MAX)
        note_fault(pool, slot);
    if (slot->group.first_chunk >= pool->limit)
        return;
    worker->states[index] = SLOT_COMPLETE;
    pool->rows_done += slot->group.rows;
    consume_in_order(pool);
}

static void *
work(void *argument)
{
    Worker *worker = argument;
    Pool *pool = worker->pool;
    char error[256] = "";
    RxnOutcome outcome =
        rxn__cuda_lane_open(&worker->lane, pool->worker_count, error, sizeof error);
    pthread_mutex_lock(&pool->lock);
    if (outcome != RXN_DONE)
        stop(pool, outcome, error);
    for (;;) {
        uint32_t index = pool->next < pool->limit ? free_slot(worker) : UINT32_MAX;
        if (index != UINT32_MAX)
            launch_group(worker, index);
        else if (worker->finished < worker->launched)
            finish_group(worker);
        else if (pool->next < pool->limit)
            pthread_cond_wait(&pool->room, &pool->lock);
        else
            break;
    }
    pool->working--;
    pthread_cond_signal(&pool->news);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Groups can be long, so what is done of those that run counts too. With the lock held, which it gives up
 * meanwhile: a slot may pass to its next group, which makes the figure a little wrong for once. */
static uint64_t
rows_running(Pool *pool)
{
    uint64_t rows = 0;
    for (uint32_t w = 0; w < pool->worker_count; w++)
        for (uint32_t s = 0; s < CUDA_SLOTS; s++) {
            const Worker *worker = &pool->workers[w];
            if (worker->states[s] != SLOT_RUNNING)
                continue;
            uint64_t all = worker->lane.slots[s].group.rows;
            pthread_mutex_unlock(&pool->lock);
            uint64_t done = rxn__cuda_slot_peek(&worker->lane, &worker->lane.slots[s]);
            pthread_mutex_lock(&pool->lock);
            rows += done < all ? done : all;
        }
    return rows;
}

static void
watch(Pool *pool)
{
    const RxnEnsemble *ensemble = pool->job->ensemble;
    uint64_t reported = 0;
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
            stop(pool, RXN_STOPPED, NULL);
        if (ensemble->progress) {
            uint64_t done = rows_running(pool);
            done += pool->rows_done;
            if (done > ensemble->trajectories)
                done = ensemble->trajectories;
            if (done > reported)
                reported = done;
            pthread_mutex_unlock(&pool->lock);
            ensemble->progress(ensemble->progress_context, reported, ensemble->trajectories);
            pthread_mutex_lock(&pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
}

static uint32_t
start_threads(Pool *pool)
{
    uint32_t started = 0;
    pthread_mutex_lock(&pool->lock);
    while (started < pool->worker_count) {
        Worker *worker = &pool->workers[started];
        if (pthread_create(&worker->thread, NULL, work, worker) != 0)
            break;
        started++;
        pool->working++;
    }
    pthread_mutex_unlock(&pool->lock);
    return started;
}

RxnOutcome
rxn__cuda_run(const DeviceJob *job, DeviceConsume consume, void *context, RxnFault *ret_fault,
              char *error, size_t error_size)
{
    const RxnEnsemble *ensemble = job->ensemble;
    const RxnCudaProgram *program = ensemble->kernel->cuda;
    const RxnCuda *cuda = program->cuda;
    Pool pool = {
        .job = job,
        .consume = consume,
        .context = context,
        .limit = job->chunk_count,
        .fault = ret_fault,
        .error = error,
        .error_size = error_size,
        .worker_count = cuda->count,
    };
    ret_fault->trajectory = UINT64_MAX;
    if (pool.worker_count > job->chunk_count)
        pool.worker_count = (uint32_t)job->chunk_count;
    pool.workers = calloc(pool.worker_count, sizeof *pool.workers);
    if (!pool.workers) {
        snprintf(error, error_size, "out of memory for %u GPUs", pool.worker_count);
        return RXN_NO_MEMORY;
    }
    for (uint32_t w = 0; w < pool.worker_count; w++)
        pool.workers[w] =
            (Worker){.pool = &pool,
                     .lane = {.job = job,
                              .cuda = cuda,
                              .gpu = &cuda->gpus[w],
                              .kernel = program->kernel,
                              .loaded = &program->loaded[w],
                              .cells = (size_t)ensemble->sample_count * ensemble->columns}};
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.room, NULL);
    pthread_cond_init(&pool.news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    uint32_t started = start_threads(&pool);
    RxnOutcome outcome = RXN_NO_MEMORY;
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
    for (uint32_t w = 0; w < pool.worker_count; w++)
        rxn__cuda_lane_close(&pool.workers[w].lane);
    free(pool.workers);
    return outcome;
}
