/* cuda_slot.c: groups of chunks on one GPU: launches, copies, results (see cuda_slot.h). */
#include "runtime/cuda_slot.h"

#include <stdio.h>
#include <string.h>

enum { REDUCE_THREADS = 128 }; /* of a block of rxn_reduce, at most */

void
rxn__cuda_arguments(const CudaLane *lane, const RxnCudaLaunch *launch, const CudaAddress *buffers,
                    char *ret_arguments)
{
    const RxnKernel *kernel = lane->job->ensemble->kernel;
    size_t addresses = kernel->buffer_count * sizeof(uint64_t);
    memcpy(ret_arguments, launch, sizeof *launch);
    memcpy(ret_arguments + sizeof *launch, buffers, addresses);
    for (uint32_t b = 0; b < kernel->buffer_count; b++) {
        int64_t stride =
            kernel->buffers[b].per_trajectory ? (int64_t)lane->job->buffer_elements[b] : 0;
        memcpy(ret_arguments + sizeof *launch + addresses + b * sizeof stride, &stride,
               sizeof stride);
    }
}

CudaGroup
rxn__cuda_group(const CudaLane *lane, uint64_t first_chunk, uint64_t limit)
{
    const DeviceJob *job = lane->job;
    bool head = first_chunk < job->head_chunks;
    CudaGroup group = {.first_chunk = first_chunk,
                       .first = rxn__chunk_first(job, first_chunk),
                       .chunk_rows = head ? job->head_rows : job->tail_rows};
    uint64_t end = rxn__cuda_least(head ? job->head_chunks : job->chunk_count, limit);
    group.chunks = rxn__cuda_least(end - first_chunk,
                                   rxn__cuda_least(lane->rows / group.chunk_rows, lane->chunks));
    uint64_t last = first_chunk + group.chunks - 1;
    group.rows = rxn__chunk_first(job, last) + rxn__chunk_rows(job, last) - group.first;
    return group;
}

static CudaResult
launch_kernel(CudaLane *lane, CudaSlot *slot)
{
    const CudaDriver *driver = &lane->cuda->driver;
    const CudaGroup *group = &slot->group;
    uint64_t of_block = rxn__cuda_block_workers(lane->kernel);
    uint64_t blocks = rxn__cuda_least((group->rows + of_block - 1) / of_block, lane->blocks);
    RxnCudaLaunch launch = {
        .first = lane->job->ensemble->first + group->first,
        .count = group->rows,
        .uniform = lane->uniform,
        .workspace = slot->workspace,
        .workers = blocks * of_block,
        .next = slot->results + offsetof(CudaResults, next),
        .fault = slot->results + offsetof(CudaResults, fault),
        .cancel = slot->cancel_address,
    };
    rxn__cuda_arguments(lane, &launch, slot->buffers, slot->arguments);
    void *parameters[] = {slot->arguments};
    CudaResult result = CUDA_SUCCESS;
    if (lane->last)
        result = driver->stream_wait(slot->stream, lane->last, 0);
    if (result == CUDA_SUCCESS)
        result =
            driver->launch(lane->loaded->run, (unsigned)blocks, 1, 1, lane->kernel->block_threads,
                           1, 1, lane->kernel->shared_bytes, slot->stream, parameters, NULL);
    if (result == CUDA_SUCCESS && lane->shares_workspace) {
        result = driver->event_record(slot->ran, slot->stream);
        lane->last = slot->ran;
    }
    return result;
}

/* The rows that the group's trajectories read. */
static CudaResult
launch_inputs(CudaLane *lane, CudaSlot *slot)
{
    const RxnKernel *kernel = lane->job->ensemble->kernel;
    CudaResult result = CUDA_SUCCESS;
    for (uint32_t b = 0; b < kernel->buffer_count && result == CUDA_SUCCESS; b++)
        if (kernel->buffers[b].is_input && lane->row_bytes[b] > 0)
            result = lane->cuda->driver.copy_in_async(
                slot->buffers[b], rxn__job_rows(lane->job, b, slot->group.first),
                lane->row_bytes[b] * slot->group.rows, slot->stream);
    return result;
}

static CudaResult
launch_reduce(CudaLane *lane, CudaSlot *slot)
{
    const CudaGroup *group = &slot->group;
    bool statistics = lane->job->ensemble->statistics;
    if (!statistics && !slot->events)
        return CUDA_SUCCESS;
    CudaAddress events = slot->results + rxn__cuda_result_bytes(lane, 0);
    CudaAddress mean = events + group->chunks * sizeof(uint64_t);
    size_t cells = lane->cells;
    RxnCudaReduce reduce = {
        .samples = slot->sample,
        .row_events = slot->events,
        .mean = statistics ? mean : 0,
        .m2 = statistics ? mean + group->chunks * cells * sizeof(double) : 0,
        .events = events,
        .count = group->rows,
        .rows = group->chunk_rows,
        .cells = cells,
    };
    void *parameters[] = {&reduce};
    uint64_t threads = rxn__cuda_least(
        rxn__cuda_least(REDUCE_THREADS, lane->loaded->reduce_threads), (cells + 31) / 32 * 32);
    return lane->cuda->driver.launch(
        lane->loaded->reduce, (unsigned)((cells + threads - 1) / threads), (unsigned)group->chunks,
        1, (unsigned)threads, 1, 1, 0, slot->stream, parameters, NULL);
}

static CudaResult
launch_copies(CudaLane *lane, CudaSlot *slot)
{
    const CudaDriver *driver = &lane->cuda->driver;
    const CudaGroup *group = &slot->group;
    CudaResult result = driver->copy_out_async(
        slot->ret, slot->results, rxn__cuda_result_bytes(lane, group->chunks), slot->stream);
    if (result == CUDA_SUCCESS && slot->samples)
        result = driver->copy_out_async(slot->samples, slot->sample,
                                        group->rows * lane->cells * sizeof(double), slot->stream);
    if (result == CUDA_SUCCESS && slot->row_events && slot->events)
        result = driver->copy_out_async(slot->row_events, slot->events,
                                        group->rows * sizeof(uint64_t), slot->stream);
    return result;
}

RxnOutcome
rxn__cuda_slot_launch(CudaLane *lane, CudaSlot *slot, char *error, size_t error_size)
{
    const CudaDriver *driver = &lane->cuda->driver;
    CudaResult result = driver->copy_in_async(slot->results, slot->start,
                                              rxn__cuda_result_bytes(lane, 0), slot->stream);
    if (result == CUDA_SUCCESS)
        result = launch_inputs(lane, slot);
    if (result == CUDA_SUCCESS)
        result = launch_kernel(lane, slot);
    if (result == CUDA_SUCCESS)
        result = launch_reduce(lane, slot);
    if (result == CUDA_SUCCESS)
        result = launch_copies(lane, slot);
    if (result == CUDA_SUCCESS)
        result = driver->event_record(slot->done, slot->stream);
    if (result == CUDA_SUCCESS)
        return RXN_DONE;
    /* Of what was launched before the call that failed, nothing may still run when memory is freed. */
    __atomic_store_n(slot->cancel, 1, __ATOMIC_RELAXED);
    driver->stream_synchronize(slot->stream);
    return rxn__cuda_failure(lane->cuda, lane->gpu, result, "the kernel was launched", error,
                             error_size);
}

RxnOutcome
rxn__cuda_slot_wait(CudaLane *lane, CudaSlot *slot, char *error, size_t error_size)
{
    CudaResult result = lane->cuda->driver.event_synchronize(slot->done);
    if (result == CUDA_SUCCESS && slot->ret->next < slot->group.rows &&
        slot->ret->fault.trajectory == UINT64_MAX &&
        __atomic_load_n(slot->cancel, __ATOMIC_RELAXED) == 0) {
        snprintf(
            error, error_size,
            "'%s' ended on GPU %u (%.60s) before all its trajectories had run; this is a bug in "
            "rxn: please report it",
            lane->kernel->name, lane->gpu->device.number, lane->gpu->device.name);
        return RXN_BROKEN;
    }
    if (result == CUDA_SUCCESS)
        return RXN_DONE;
    return rxn__cuda_failure(lane->cuda, lane->gpu, result, "the kernel ran", error, error_size);
}

uint64_t
rxn__cuda_slot_peek(const CudaLane *lane, const CudaSlot *slot)
{
    const CudaDriver *driver = &lane->cuda->driver;
    uint64_t workers = (uint64_t)lane->blocks * rxn__cuda_block_workers(lane->kernel);
    *slot->peeked = 0;
    if (driver->context_set(lane->gpu->context) != CUDA_SUCCESS ||
        driver->copy_out_async(slot->peeked, slot->results + offsetof(CudaResults, next),
                               sizeof *slot->peeked, lane->stream) != CUDA_SUCCESS ||
        driver->stream_synchronize(lane->stream) != CUDA_SUCCESS)
        return 0;
    uint64_t taken = *slot->peeked;
    return taken > workers ? taken - workers : 0;
}

void
rxn__cuda_slot_chunk(const CudaLane *lane, const CudaSlot *slot, uint64_t index,
                     DeviceChunk *ret_chunk)
{
    const DeviceJob *job = lane->job;
    const CudaGroup *group = &slot->group;
    uint64_t chunk = group->first_chunk + index, row = index * group->chunk_rows;
    char *figures = (char *)slot->ret + rxn__cuda_result_bytes(lane, 0);
    uint64_t *events = (uint64_t *)figures;
    *ret_chunk = (DeviceChunk){
        .first = job->ensemble->first + rxn__chunk_first(job, chunk),
        .rows = rxn__chunk_rows(job, chunk),
        .events = slot->events ? events[index] : 0,
    };
    if (job->ensemble->statistics) {
        double *mean = (double *)(events + group->chunks);
        ret_chunk->moments.count = ret_chunk->rows;
        ret_chunk->moments.mean = mean + index * lane->cells;
        ret_chunk->moments.m2 = mean + (group->chunks + index) * lane->cells;
    }
    if (slot->samples) {
        ret_chunk->samples = slot->samples + row * lane->cells;
        ret_chunk->row_events = slot->row_events + row;
    }
}
