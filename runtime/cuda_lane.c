/* cuda_lane.c: what one GPU needs in memory for one job (see cuda_slot.h).
 *
 * A group should fill the GPU many times over, since its last trajectories leave it half empty and each
 * launch costs some; and there should be several groups, so that copies overlap kernels. What fits is
 * bounded by a part of the free memory, and by what is pinned on the host. If memory is shorter than it
 * looked, groups are halved, then blocks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda_slot.h"

enum {
    ALIGNMENT = 256,      /* of buffers, as cuMemAlloc's */
    GROUP_CHUNKS = 65535, /* the y extent of a grid */
    GROUPS_WANTED = 8,    /* per GPU, of a large ensemble */
    WORKERS_LEAST = 4,    /* a group has at least so many rows per worker, */
    WORKERS_MOST = 64,    /* and at most so many, to report progress at times */
    MEMORY_PARTS = 5,     /* of the free memory one part is left alone: the driver needs some */
};

/* Of the results of a group: pinned memory is dear to get, and not to be swapped out. */
static const uint64_t host_most = 64 << 20;

static size_t
align(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static const RxnKernel *
kernel_of(const CudaLane *lane)
{
    return lane->job->ensemble->kernel;
}

/* ---- per-launch buffers ------------------------------------------------------------------------ */

static size_t
buffer_bytes(const CudaLane *lane, uint32_t buffer)
{
    return lane->job->buffer_elements[buffer] * kernel_of(lane)->buffers[buffer].element_bytes;
}

static CudaResult
upload(CudaLane *lane)
{
    const RxnKernel *kernel = kernel_of(lane);
    const CudaDriver *driver = &lane->cuda->driver;
    size_t total = 0;
    for (uint32_t b = 0; b < kernel->buffer_count; b++)
        if (!kernel->buffers[b].per_trajectory)
            total += align(buffer_bytes(lane, b));
    CudaResult result = driver->memory_alloc(&lane->inputs, total > 0 ? total : ALIGNMENT);
    if (result != CUDA_SUCCESS)
        lane->inputs = 0;
    size_t offset = 0;
    for (uint32_t b = 0; b < kernel->buffer_count && result == CUDA_SUCCESS; b++) {
        if (kernel->buffers[b].per_trajectory)
            continue;
        size_t bytes = buffer_bytes(lane, b);
        lane->buffers[b] = lane->inputs + offset;
        if (bytes > 0)
            result =
                driver->copy_in_async(lane->buffers[b], lane->job->buffers[b], bytes, lane->stream);
        offset += align(bytes);
    }
    return result;
}

/* What all trajectories share is computed once: it depends on the per-launch buffers alone. */
static CudaResult
run_uniform(CudaLane *lane)
{
    const CudaDriver *driver = &lane->cuda->driver;
    const RxnCudaKernel *kernel = lane->kernel;
    if (!lane->loaded->uniform)
        return CUDA_SUCCESS;
    CudaResult result = driver->memory_alloc(&lane->uniform, kernel->uniform_bytes);
    if (result != CUDA_SUCCESS) {
        lane->uniform = 0;
        return result;
    }
    char arguments[CUDA_ARGUMENT_BYTES];
    RxnCudaLaunch launch = {.uniform = lane->uniform};
    rxn__cuda_arguments(lane, &launch, lane->buffers, arguments);
    void *parameters[] = {arguments};
    result = driver->launch(lane->loaded->uniform, 1, 1, 1, kernel->uniform_threads, 1, 1, 0,
                            lane->stream, parameters, NULL);
    if (result == CUDA_SUCCESS && kernel->constant_bytes > 0)
        result = driver->copy_async(lane->loaded->constants, lane->uniform, kernel->constant_bytes,
                                    lane->stream);
    return result;
}

/* ---- sizes ------------------------------------------------------------------------------------- */

/* Of a group with room for lane->rows and lane->chunks; ret_bytes: on the GPU, and pinned. */
static void
place(const CudaLane *lane, CudaSlot *slot, size_t *ret_bytes, size_t *ret_host_bytes)
{
    const RxnKernel *kernel = kernel_of(lane);
    const DeviceJob *job = lane->job;
    bool rows = job->ensemble->rows != NULL;
    size_t at = 0;
    slot->results = slot->memory + at;
    at += align(rxn__cuda_result_bytes(lane, lane->chunks));
    for (uint32_t b = 0; b < kernel->buffer_count; b++) {
        slot->buffers[b] = lane->buffers[b];
        if (!kernel->buffers[b].per_trajectory)
            continue;
        slot->buffers[b] = slot->memory + at;
        at += align(lane->row_bytes[b] * lane->rows);
    }
    slot->sample = slot->buffers[job->sample];
    slot->events = job->events != UINT32_MAX ? slot->buffers[job->events] : 0;
    slot->workspace = lane->shares_workspace               ? lane->workspace
                      : lane->kernel->workspace_bytes == 0 ? 0
                                                           : slot->memory + at;
    if (!lane->shares_workspace)
        at += lane->kernel->workspace_bytes * lane->blocks * rxn__cuda_block_workers(lane->kernel);
    *ret_bytes = at;

    size_t head = align(rxn__cuda_result_bytes(lane, 0)), host = ALIGNMENT;
    char *memory = slot->host;
    slot->cancel = slot->host;
    slot->peeked = memory ? (uint64_t *)(memory + ALIGNMENT / 2) : NULL;
    slot->start = memory ? (CudaResults *)(memory + host) : NULL;
    host += head;
    slot->ret = memory ? (CudaResults *)(memory + host) : NULL;
    host += align(rxn__cuda_result_bytes(lane, lane->chunks));
    slot->samples = memory && rows ? (double *)(memory + host) : NULL;
    host += rows ? align(lane->cells * sizeof(double) * lane->rows) : 0;
    slot->row_events = memory && rows ? (uint64_t *)(memory + host) : NULL;
    host += rows ? align(sizeof(uint64_t) * lane->rows) : 0;
    *ret_host_bytes = host;
}

static void
set_rows(CudaLane *lane, uint64_t head_chunks)
{
    lane->rows = head_chunks * lane->job->head_rows;
    lane->chunks = rxn__cuda_least(lane->rows / lane->job->tail_rows, GROUP_CHUNKS);
}

static void
slot_bytes(const CudaLane *lane, uint64_t head_chunks, size_t *ret_bytes, size_t *ret_host_bytes)
{
    CudaAddress buffers[CUDA_ARGUMENT_BYTES / 16];
    CudaSlot slot = {.buffers = buffers};
    CudaLane trial = *lane;
    set_rows(&trial, head_chunks);
    place(&trial, &slot, ret_bytes, ret_host_bytes);
}

/* Blocks and rows that suit, if memory were no matter. */
static uint64_t
wanted_chunks(CudaLane *lane, uint32_t lanes)
{
    const DeviceJob *job = lane->job;
    uint64_t total = job->ensemble->trajectories, workers = rxn__cuda_block_workers(lane->kernel);
    uint64_t blocks = (total + workers - 1) / workers;
    lane->blocks = (uint32_t)rxn__cuda_least(blocks, lane->loaded->blocks);
    workers *= lane->blocks;
    uint64_t rows = total / ((uint64_t)lanes * GROUPS_WANTED);
    if (rows > workers * WORKERS_MOST)
        rows = workers * WORKERS_MOST;
    if (rows < workers * WORKERS_LEAST)
        rows = workers * WORKERS_LEAST;
    rows = rxn__cuda_least(rows, total);
    uint64_t chunks = (rows + job->head_rows - 1) / job->head_rows;
    return rxn__cuda_least(chunks, GROUP_CHUNKS / (job->head_rows / job->tail_rows + 1));
}

/* The workspaces of all slots, if they take little; else one for all, of as many blocks as there is room, and as the request
 * allows. */
static RxnOutcome
plan_workspace(CudaLane *lane, uint64_t room, char *error, size_t error_size)
{
    uint64_t block = lane->kernel->workspace_bytes * rxn__cuda_block_workers(lane->kernel);
    uint64_t limit = lane->job->ensemble->workspace_limit;
    limit = limit == 0 ? UINT64_MAX : limit > block ? limit : block;
    if (block == 0 || block * lane->blocks <= rxn__cuda_least(room / 2, limit) / CUDA_SLOTS)
        return RXN_DONE;
    lane->shares_workspace = true;
    uint64_t blocks = rxn__cuda_least(lane->blocks, rxn__cuda_least(room / 4 * 3, limit) / block);
    if (blocks > 0) {
        lane->blocks = (uint32_t)blocks;
        return RXN_DONE;
    }
    char need[32], have[32];
    rxn__cuda_bytes(block, need, sizeof need);
    rxn__cuda_bytes(room, have, sizeof have);
    snprintf(error, error_size,
             "the smallest piece of '%s' (%u trajectories at once) needs %s of memory, and GPU %u "
             "(%.60s) has %s free: take fewer steps or checkpoints, another GPU, or the CPU",
             lane->kernel->name, rxn__cuda_block_workers(lane->kernel), need,
             lane->gpu->device.number, lane->gpu->device.name, have);
    return RXN_NO_MEMORY;
}

static RxnOutcome
plan(CudaLane *lane, uint32_t lanes, char *error, size_t error_size)
{
    size_t free = 0, total = 0;
    CudaResult result = lane->cuda->driver.memory_info(&free, &total);
    if (result != CUDA_SUCCESS)
        return rxn__cuda_failure(lane->cuda, lane->gpu, result, "its memory was measured", error,
                                 error_size);
    uint64_t room = free / MEMORY_PARTS * (MEMORY_PARTS - 1);
    uint64_t chunks = wanted_chunks(lane, lanes);
    RxnOutcome outcome = plan_workspace(lane, room, error, error_size);
    if (outcome != RXN_DONE)
        return outcome;
    if (lane->shares_workspace)
        room -= rxn__cuda_least(room, lane->kernel->workspace_bytes * lane->blocks *
                                          rxn__cuda_block_workers(lane->kernel));
    for (;; chunks = (chunks + 1) / 2) {
        size_t bytes, host_bytes;
        slot_bytes(lane, chunks, &bytes, &host_bytes);
        if (chunks <= 1 || (bytes <= room / CUDA_SLOTS && host_bytes <= host_most))
            break;
    }
    set_rows(lane, chunks > 0 ? chunks : 1);
    return RXN_DONE;
}

/* ---- memory ------------------------------------------------------------------------------------ */

static RxnOutcome
refuse_size(const CudaLane *lane, size_t bytes, char *error, size_t error_size)
{
    char need[32], have[32];
    size_t free = 0, total = 0;
    lane->cuda->driver.memory_info(&free, &total);
    rxn__cuda_bytes(bytes, need, sizeof need);
    rxn__cuda_bytes(free, have, sizeof have);
    snprintf(
        error, error_size,
        "GPU %u (%.60s) is out of memory: the smallest piece of the ensemble (%llu trajectories) "
        "needs %s, and %s are free; fewer sample times or observables need less",
        lane->gpu->device.number, lane->gpu->device.name, (unsigned long long)lane->rows, need,
        have);
    return RXN_NO_MEMORY;
}

static CudaResult
allocate(CudaLane *lane, CudaSlot *slot, size_t bytes, size_t host_bytes)
{
    const CudaDriver *driver = &lane->cuda->driver;
    CudaResult result = driver->memory_alloc(&slot->memory, bytes);
    if (result != CUDA_SUCCESS) {
        slot->memory = 0;
        return result;
    }
    result = driver->host_alloc(&slot->host, host_bytes,
                                CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP);
    if (result != CUDA_SUCCESS) {
        slot->host = NULL;
        driver->memory_free(slot->memory);
        slot->memory = 0;
    }
    return result;
}

/* The workspace that all slots share, with fewer blocks where memory is short. */
static RxnOutcome
allocate_workspace(CudaLane *lane, char *error, size_t error_size)
{
    if (!lane->shares_workspace)
        return RXN_DONE;
    for (;;) {
        size_t bytes =
            lane->kernel->workspace_bytes * lane->blocks * rxn__cuda_block_workers(lane->kernel);
        CudaResult result = lane->cuda->driver.memory_alloc(&lane->workspace, bytes);
        if (result == CUDA_SUCCESS)
            return RXN_DONE;
        lane->workspace = 0;
        if (result != CUDA_ERROR_OUT_OF_MEMORY)
            return rxn__cuda_failure(lane->cuda, lane->gpu, result, "memory was taken", error,
                                     error_size);
        if (lane->blocks == 1)
            return refuse_size(lane, bytes, error, error_size);
        lane->blocks = (lane->blocks + 1) / 2;
    }
}

static RxnOutcome
fail_slot(const CudaLane *lane, CudaResult result, char *error, size_t error_size)
{
    return rxn__cuda_failure(lane->cuda, lane->gpu, result, "memory was taken", error, error_size);
}

RxnOutcome
rxn__cuda_slot_open(CudaLane *lane, CudaSlot *slot, bool *ret_open, char *error, size_t error_size)
{
    const CudaDriver *driver = &lane->cuda->driver;
    uint32_t buffers = kernel_of(lane)->buffer_count;
    size_t bytes = 0, host_bytes = 0;
    *ret_open = false;
    slot->buffers = calloc(buffers + 1, sizeof *slot->buffers);
    slot->arguments = calloc(1, sizeof(RxnCudaLaunch) + buffers * 16);
    if (!slot->buffers || !slot->arguments) {
        snprintf(error, error_size, "out of memory");
        return RXN_NO_MEMORY;
    }
    for (;;) {
        place(lane, slot, &bytes, &host_bytes);
        CudaResult result = allocate(lane, slot, bytes, host_bytes);
        if (result == CUDA_SUCCESS)
            break;
        if (result != CUDA_ERROR_OUT_OF_MEMORY)
            return fail_slot(lane, result, error, error_size);
        if (slot != &lane->slots[0]) {
            lane->slot_count = (uint32_t)(slot - lane->slots);
            return RXN_DONE;
        }
        uint64_t chunks = lane->rows / lane->job->head_rows;
        if (chunks > 1)
            set_rows(lane, chunks / 2);
        else if (lane->kernel->workspace_bytes > 0 && !lane->shares_workspace && lane->blocks > 1)
            lane->blocks = (lane->blocks + 1) / 2;
        else
            return refuse_size(lane, bytes, error, error_size);
    }
    place(lane, slot, &bytes, &host_bytes);
    memset((void *)(uintptr_t)slot->cancel, 0, sizeof *slot->cancel);
    memset(slot->start, 0, rxn__cuda_result_bytes(lane, 0));
    slot->start->fault.trajectory = UINT64_MAX;
    if (slot->row_events) /* for a kernel that counts none */
        memset(slot->row_events, 0, lane->rows * sizeof *slot->row_events);
    CudaResult result = driver->host_address(&slot->cancel_address, slot->host, 0);
    if (result == CUDA_SUCCESS)
        result = driver->stream_create(&slot->stream, CU_STREAM_NON_BLOCKING);
    if (result == CUDA_SUCCESS)
        result = driver->event_create(&slot->ran, CU_EVENT_DISABLE_TIMING);
    if (result == CUDA_SUCCESS)
        result =
            driver->event_create(&slot->done, CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING);
    if (result != CUDA_SUCCESS)
        return fail_slot(lane, result, error, error_size);
    slot->open = *ret_open = true;
    return RXN_DONE;
}

RxnOutcome
rxn__cuda_lane_open(CudaLane *lane, uint32_t lanes, char *error, size_t error_size)
{
    const RxnKernel *kernel = kernel_of(lane);
    const CudaDriver *driver = &lane->cuda->driver;
    if (kernel->buffer_count > (CUDA_ARGUMENT_BYTES - sizeof(RxnCudaLaunch)) / 16) {
        snprintf(error, error_size, "'%s' has %u buffers, more than a GPU's kernel can be given",
                 lane->kernel->name, kernel->buffer_count);
        return RXN_REFUSED;
    }
    lane->row_bytes = calloc(kernel->buffer_count + 1, sizeof *lane->row_bytes);
    lane->buffers = calloc(kernel->buffer_count + 1, sizeof *lane->buffers);
    if (!lane->row_bytes || !lane->buffers) {
        snprintf(error, error_size, "out of memory");
        return RXN_NO_MEMORY;
    }
    for (uint32_t b = 0; b < kernel->buffer_count; b++)
        if (kernel->buffers[b].per_trajectory)
            lane->row_bytes[b] = buffer_bytes(lane, b);
    CudaResult result = driver->context_set(lane->gpu->context);
    if (result == CUDA_SUCCESS)
        result = driver->stream_create(&lane->stream, CU_STREAM_NON_BLOCKING);
    if (result == CUDA_SUCCESS)
        result = upload(lane);
    if (result == CUDA_SUCCESS)
        result = run_uniform(lane);
    /* The slots' streams know nothing of this one, so it has to be at its end before they begin. */
    if (result == CUDA_SUCCESS)
        result = driver->stream_synchronize(lane->stream);
    if (result != CUDA_SUCCESS)
        return rxn__cuda_failure(lane->cuda, lane->gpu, result,
                                 "the model's data were copied to it", error, error_size);
    lane->slot_count = CUDA_SLOTS;
    RxnOutcome outcome = plan(lane, lanes, error, error_size);
    if (outcome == RXN_DONE)
        outcome = allocate_workspace(lane, error, error_size);
    return outcome;
}

void
rxn__cuda_lane_close(CudaLane *lane)
{
    const CudaDriver *driver = &lane->cuda->driver;
    driver->context_set(lane->gpu->context);
    for (uint32_t s = 0; s < CUDA_SLOTS; s++) {
        CudaSlot *slot = &lane->slots[s];
        if (slot->done)
            driver->event_destroy(slot->done);
        if (slot->ran)
            driver->event_destroy(slot->ran);
        if (slot->stream)
            driver->stream_destroy(slot->stream);
        if (slot->host)
            driver->host_free(slot->host);
        if (slot->memory)
            driver->memory_free(slot->memory);
        free(slot->buffers);
        free(slot->arguments);
    }
    if (lane->stream) {
        driver->stream_synchronize(lane->stream);
        driver->stream_destroy(lane->stream);
    }
    if (lane->workspace)
        driver->memory_free(lane->workspace);
    if (lane->uniform)
        driver->memory_free(lane->uniform);
    if (lane->inputs)
        driver->memory_free(lane->inputs);
    free(lane->buffers);
    free(lane->row_bytes);
}
