/* device_cuda.c: an ensemble on NVIDIA GPUs (see cuda.h, cuda_slot.h for one GPU's part, device_pool.h for what holds for all
 * devices).
 *
 * Each GPU has a host thread, which takes groups of chunks in order, launches them, and waits for the oldest
 * it has launched. Whoever has the group that is next in order hands its chunks, and those complete behind
 * it, to `consume`. A thread whose slots all hold results that are not yet due waits. The rows of a group are taken in order
 * too, so that a fault's chunk is known.
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/cuda_slot.h"
#include "runtime/device_pool.h"

typedef enum SlotState {
    SLOT_FREE,
    SLOT_RUNNING,  /* taken; on its way to the GPU or there */
    SLOT_COMPLETE, /* its results are there, and wait for their turn */
} SlotState;

typedef struct Worker {
    CudaLane lane;
    SlotState states[CUDA_SLOTS];
    uint64_t launched, finished; /* groups; a slot is taken again in the order of launches */
    uint32_t order[CUDA_SLOTS];  /* slots of the groups finished … launched - 1, by group modulo */
} Worker;

typedef struct Pool {
    DevicePool device;
    Worker *workers;
    uint32_t worker_count;
} Pool;

static void
cancel_from(DevicePool *device, uint64_t chunk)
{
    Pool *pool = (Pool *)device;
    for (uint32_t w = 0; w < pool->worker_count; w++)
        for (uint32_t s = 0; s < CUDA_SLOTS; s++) {
            CudaSlot *slot = &pool->workers[w].lane.slots[s];
            if (pool->workers[w].states[s] == SLOT_RUNNING && slot->group.first_chunk >= chunk)
                __atomic_store_n(slot->cancel, 1, __ATOMIC_RELAXED);
        }
}

static void
note_fault(DevicePool *device, const CudaSlot *slot)
{
    const RxnCudaFault *found = &slot->ret->fault;
    const CudaGroup *group = &slot->group;
    uint64_t trajectory = found->trajectory - device->job->ensemble->first;
    if (trajectory < group->first || trajectory >= group->first + group->rows) {
        rxn__pool_stop(device, RXN_BROKEN,
                       "the kernel reported a fault of a trajectory that it was not given");
        return;
    }
    const RxnFault fault = {.trajectory = found->trajectory,
                            .code = found->code,
                            .detail = found->detail,
                            .witness = rxn__cuda_witness(slot->ret)};
    rxn__pool_fault(device, group->first_chunk + (trajectory - group->first) / group->chunk_rows,
                    &fault);
}

/* The complete slot whose group is next in order; NULL: it is not there yet. */
static CudaSlot *
next_in_order(Pool *pool, Worker **ret_worker, uint32_t *ret_index)
{
    for (uint32_t w = 0; w < pool->worker_count; w++)
        for (uint32_t s = 0; s < CUDA_SLOTS; s++) {
            Worker *worker = &pool->workers[w];
            if (worker->states[s] == SLOT_COMPLETE &&
                worker->lane.slots[s].group.first_chunk == pool->device.consumed) {
                *ret_worker = worker;
                *ret_index = s;
                return &worker->lane.slots[s];
            }
        }
    return NULL;
}

/* Hands over what is complete and next in order. */
static void
consume_in_order(Pool *pool)
{
    DevicePool *device = &pool->device;
    if (device->consuming)
        return;
    device->consuming = true;
    while (device->consumed < device->limit) {
        Worker *worker;
        uint32_t index;
        CudaSlot *slot = next_in_order(pool, &worker, &index);
        if (!slot)
            break;
        for (uint64_t k = 0; k < slot->group.chunks && device->consumed < device->limit; k++) {
            DeviceChunk chunk;
            rxn__cuda_slot_chunk(&worker->lane, slot, k, &chunk);
            rxn__pool_consume(device, &chunk);
        }
        worker->states[index] = SLOT_FREE;
        pthread_cond_broadcast(&device->room);
    }
    device->consuming = false;
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
launch_group(DevicePool *pool, Worker *worker, uint32_t index)
{
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
            rxn__pool_stop(pool, outcome, error);
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
        rxn__pool_stop(pool, outcome, error);
    }
}

/* Waits for the oldest group, and does what is to be done with it. With the lock held, which it gives up
 * meanwhile. */
static void
finish_group(Pool *all, Worker *worker)
{
    DevicePool *pool = &all->device;
    uint32_t index = worker->order[worker->finished++ % CUDA_SLOTS];
    CudaSlot *slot = &worker->lane.slots[index];
    char error[256] = "";
    pthread_mutex_unlock(&pool->lock);
    RxnOutcome outcome = rxn__cuda_slot_wait(&worker->lane, slot, error, sizeof error);
    pthread_mutex_lock(&pool->lock);
    bool cancelled = __atomic_load_n(slot->cancel, __ATOMIC_RELAXED) != 0;
    worker->states[index] = SLOT_FREE;
    if (outcome != RXN_DONE) {
        rxn__pool_stop(pool, outcome, error);
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
    consume_in_order(all);
}

/* As DevicePool.work. */
static void
work(DevicePool *device, uint32_t number)
{
    Pool *pool = (Pool *)device;
    Worker *worker = &pool->workers[number];
    char error[256] = "";
    pthread_mutex_unlock(&device->lock);
    RxnOutcome outcome =
        rxn__cuda_lane_open(&worker->lane, pool->worker_count, error, sizeof error);
    pthread_mutex_lock(&device->lock);
    if (outcome != RXN_DONE)
        rxn__pool_stop(device, outcome, error);
    for (;;) {
        uint32_t index = device->next < device->limit ? free_slot(worker) : UINT32_MAX;
        if (index != UINT32_MAX)
            launch_group(device, worker, index);
        else if (worker->finished < worker->launched)
            finish_group(pool, worker);
        else if (device->next < device->limit)
            pthread_cond_wait(&device->room, &device->lock);
        else
            return;
    }
}

/* Groups can be long, so what is done of those that run counts too. While the lock is given up a slot may pass to its next
 * group, which makes the figure a little wrong for once. */
static uint64_t
rows_running(DevicePool *device)
{
    const Pool *pool = (const Pool *)device;
    uint64_t rows = 0;
    for (uint32_t w = 0; w < pool->worker_count; w++)
        for (uint32_t s = 0; s < CUDA_SLOTS; s++) {
            const Worker *worker = &pool->workers[w];
            if (worker->states[s] != SLOT_RUNNING)
                continue;
            uint64_t all = worker->lane.slots[s].group.rows;
            pthread_mutex_unlock(&device->lock);
            uint64_t done = rxn__cuda_slot_peek(&worker->lane, &worker->lane.slots[s]);
            pthread_mutex_lock(&device->lock);
            rows += done < all ? done : all;
        }
    return rows;
}

RxnOutcome
rxn__cuda_run(const DeviceJob *job, DeviceConsume consume, void *context, RxnFault *ret_fault,
              char *error, size_t error_size)
{
    const RxnEnsemble *ensemble = job->ensemble;
    const RxnCudaProgram *program = ensemble->kernel->cuda;
    const RxnCuda *cuda = program->cuda;
    Pool pool = {
        .device = {.job = job,
                   .consume = consume,
                   .context = context,
                   .fault = ret_fault,
                   .error = error,
                   .error_size = error_size,
                   .cancel_from = cancel_from,
                   .work = work,
                   .rows_running = rows_running},
        .worker_count = cuda->count,
    };
    if (pool.worker_count > job->chunk_count)
        pool.worker_count = (uint32_t)job->chunk_count;
    pool.workers = calloc(pool.worker_count, sizeof *pool.workers);
    if (!pool.workers) {
        snprintf(error, error_size, "out of memory for %u GPUs", pool.worker_count);
        return RXN_NO_MEMORY;
    }
    for (uint32_t w = 0; w < pool.worker_count; w++)
        pool.workers[w] =
            (Worker){.lane = {.job = job,
                              .cuda = cuda,
                              .gpu = &cuda->gpus[w],
                              .kernel = program->kernel,
                              .loaded = &program->loaded[w],
                              .cells = (size_t)ensemble->sample_count * ensemble->columns}};
    RxnOutcome outcome = rxn__pool_run(&pool.device, pool.worker_count);
    for (uint32_t w = 0; w < pool.worker_count; w++)
        rxn__cuda_lane_close(&pool.workers[w].lane);
    free(pool.workers);
    return outcome;
}
