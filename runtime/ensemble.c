/* ensemble.c: a kernel over an ensemble: what size the chunks have, which data each buffer gets, and
 * what becomes of the results.
 */
#include "runtime/ensemble.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/cuda.h"
#include "runtime/device_host.h"
#include "runtime/version.h"

/* The size of a chunk is a function of the model's row and of n alone: it decides the order in which
 * sums are rounded, and that must not depend on the machine. */
enum {
    /* Samples of a chunk in the second cache, where the lanes' stores and the reduction meet; in the third
     * for the sake of several trajectories for each lane, since at the end of a chunk lanes wait for the longest. */
    CHUNK_NEAR_BYTES = 512 << 10,
    CHUNK_FAR_BYTES = 4 << 20,
    CHUNK_ROWS = 256,
    CHUNK_LEAST = 64,    /* a multiple of any number of lanes, so that none idles from the start */
    CHUNK_MOST = 4096,   /* enough that starting one costs nothing */
    CHUNKS_WANTED = 32,  /* of a small ensemble, to have work for several threads */
    ROW_MOST = 64 << 20, /* bytes of the samples of one trajectory */
    CHUNK_MOST_BYTES = 64 << 20, /* even when rows are large */
};

const char *
rxn_version(void)
{
    return RXN_VERSION_TEXT;
}

uint32_t
rxn_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                            : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 1;
}

static uint64_t
rows_of_chunk(uint64_t row_bytes, uint64_t trajectories)
{
    uint64_t rows = trajectories / CHUNKS_WANTED;
    if (rows > CHUNK_MOST)
        rows = CHUNK_MOST;
    if (rows * row_bytes > CHUNK_NEAR_BYTES) {
        uint64_t near = CHUNK_NEAR_BYTES / row_bytes, far = CHUNK_FAR_BYTES / row_bytes;
        uint64_t enough = far < CHUNK_ROWS ? far : CHUNK_ROWS;
        uint64_t most = near > enough ? near : enough;
        rows = rows < most ? rows : most;
    }
    rows = rows / CHUNK_LEAST * CHUNK_LEAST;
    if (rows < CHUNK_LEAST)
        rows = CHUNK_LEAST;
    while (rows > 1 && rows * row_bytes > CHUNK_MOST_BYTES)
        rows /= 2;
    return rows;
}

/* Three quarters of the ensemble in chunks of full size, the rest in halves. */
static void
divide(const RxnEnsemble *ensemble, DeviceJob *job)
{
    uint64_t n = ensemble->trajectories;
    uint64_t row_bytes = (uint64_t)ensemble->sample_count * ensemble->columns * sizeof(double);
    bool chosen = ensemble->chunk_rows == 0 || ensemble->statistics;
    job->head_rows = chosen ? rows_of_chunk(row_bytes, n) : ensemble->chunk_rows;
    uint64_t most = INT32_MAX * sizeof(double) / row_bytes; /* see RxnLaunch.strides */
    job->head_rows = job->head_rows < most ? job->head_rows : most;
    job->tail_rows = chosen ? job->head_rows / 2 + (job->head_rows == 1) : job->head_rows;
    job->head_chunks = n / job->head_rows * 3 / 4;
    uint64_t tail = n - job->head_chunks * job->head_rows;
    job->chunk_count = job->head_chunks + (tail + job->tail_rows - 1) / job->tail_rows;
}

/* ---- binding ----------------------------------------------------------------------------------- */

static const RxnBinding *
binding_of(const RxnEnsemble *ensemble, const char *name)
{
    for (uint32_t k = 0; k < ensemble->binding_count; k++)
        if (strcmp(ensemble->bindings[k].name, name) == 0)
            return &ensemble->bindings[k];
    return NULL;
}

static size_t
elements_of(const RxnBuffer *buffer, uint64_t first_extent)
{
    size_t elements = 1;
    for (uint32_t k = 0; k < buffer->rank; k++)
        elements *= buffer->extent[k] ? buffer->extent[k] : (size_t)first_extent;
    return elements;
}

static bool
bind_rows(const RxnEnsemble *ensemble, const RxnBuffer *buffer, void **ret_data,
          RxnEnsembleResult *result)
{
    const RxnRowBinding *binding = NULL;
    for (uint32_t k = 0; k < ensemble->row_binding_count && !binding; k++)
        if (strcmp(ensemble->row_bindings[k].name, buffer->name) == 0)
            binding = &ensemble->row_bindings[k];
    if (binding && binding->data && binding->rows >= ensemble->trajectories) {
        *ret_data = (void *)(uintptr_t)binding->data;
        return true;
    }
    snprintf(result->error, sizeof result->error,
             "no row for each trajectory for the kernel's buffer '%s'", buffer->name);
    return false;
}

/* Data for all buffers that are only read; finds the two that each trajectory writes. */
static bool
bind_buffers(const RxnEnsemble *ensemble, DeviceJob *job, void **buffers, size_t *elements,
             RxnEnsembleResult *result)
{
    const RxnKernel *kernel = ensemble->kernel;
    job->sample = job->events = UINT32_MAX;
    for (uint32_t b = 0; b < kernel->buffer_count; b++) {
        const RxnBuffer *buffer = &kernel->buffers[b];
        if (buffer->per_trajectory) {
            elements[b] = elements_of(buffer, ensemble->sample_count);
            if (buffer->is_input && !bind_rows(ensemble, buffer, &buffers[b], result))
                return false;
            if (strcmp(buffer->name, "sample") == 0)
                job->sample = b;
            else if (strcmp(buffer->name, "events") == 0)
                job->events = b;
            continue;
        }
        const RxnBinding *binding = binding_of(ensemble, buffer->name);
        if (!binding || !binding->data) {
            snprintf(result->error, sizeof result->error, "no data for the kernel's buffer '%s'",
                     buffer->name);
            return false;
        }
        /* The kernel's buffers are one type for all; per-launch ones are only read. */
        buffers[b] = (void *)(uintptr_t)binding->data;
        elements[b] = elements_of(buffer, binding->elements);
    }
    if (job->sample == UINT32_MAX) {
        snprintf(result->error, sizeof result->error, "the kernel writes no samples");
        return false;
    }
    job->buffers = buffers;
    job->buffer_elements = elements;
    return true;
}

/* ---- results ----------------------------------------------------------------------------------- */

typedef struct Collector {
    const RxnEnsemble *ensemble;
    Moments moments;
    uint64_t events, trajectories;
    size_t cells;
} Collector;

static bool
collect(void *context, const DeviceChunk *chunk)
{
    Collector *collector = context;
    const RxnEnsemble *ensemble = collector->ensemble;
    if (ensemble->statistics)
        rxn__moments_merge(&collector->moments, collector->cells, &chunk->moments);
    collector->events += chunk->events;
    collector->trajectories += chunk->rows;
    return !ensemble->rows || ensemble->rows(ensemble->rows_context, chunk->first, chunk->rows,
                                             chunk->samples, chunk->row_events);
}

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Refuses what could only end in a machine without memory. */
static bool
check_sizes(const RxnEnsemble *ensemble, RxnEnsembleResult *result)
{
    uint64_t row = (uint64_t)ensemble->sample_count * ensemble->columns;
    if (ensemble->trajectories == 0 || row == 0) {
        snprintf(result->error, sizeof result->error,
                 "an ensemble needs a trajectory, a sample time and an observable");
        return false;
    }
    if (ensemble->trajectories > UINT64_C(1) << 48) {
        snprintf(result->error, sizeof result->error,
                 "%" PRIu64 " trajectories are too many: at most 2^48", ensemble->trajectories);
        return false;
    }
    if (row * sizeof(double) > ROW_MOST) {
        snprintf(result->error, sizeof result->error,
                 "%u sample times of %u observables are too many: at most %d values a trajectory",
                 ensemble->sample_count, ensemble->columns, (int)(ROW_MOST / sizeof(double)));
        return false;
    }
    return true;
}

static RxnOutcome
run(const RxnEnsemble *ensemble, RxnEnsembleResult *result)
{
    const RxnKernel *kernel = ensemble->kernel;
    Collector collector = {
        .ensemble = ensemble,
        .cells = (size_t)ensemble->sample_count * ensemble->columns,
    };
    DeviceJob job = {.ensemble = ensemble};
    divide(ensemble, &job);
    job.threads = ensemble->threads ? ensemble->threads : rxn_processors();
    if (job.threads > job.chunk_count)
        job.threads = (uint32_t)job.chunk_count;
    result->threads = job.threads;
    void **buffers = calloc(kernel->buffer_count + 1, sizeof *buffers);
    size_t *elements = calloc(kernel->buffer_count + 1, sizeof *elements);
    result->fault.witness = calloc(kernel->witness_count + 1, sizeof(double));
    if (ensemble->statistics) {
        result->mean = calloc(collector.cells, sizeof(double));
        result->m2 = calloc(collector.cells, sizeof(double));
    }
    RxnOutcome outcome = RXN_NO_MEMORY;
    if (!buffers || !elements || !result->fault.witness ||
        (ensemble->statistics && !(result->mean && result->m2))) {
        snprintf(result->error, sizeof result->error, "out of memory for the results");
    } else if (!bind_buffers(ensemble, &job, buffers, elements, result)) {
        outcome = RXN_BROKEN;
    } else {
        collector.moments.mean = result->mean;
        collector.moments.m2 = result->m2;
        outcome = kernel->cuda ? rxn__cuda_run(&job, collect, &collector, &result->fault,
                                               result->error, sizeof result->error)
                               : rxn__host_run(&job, collect, &collector, &result->fault,
                                               result->error, sizeof result->error);
    }
    free(buffers);
    free(elements);
    result->trajectories = collector.trajectories;
    result->events = collector.events;
    return outcome;
}

RxnOutcome
rxn__ensemble_run(const RxnEnsemble *ensemble, RxnEnsembleResult *ret_result)
{
    *ret_result = (RxnEnsembleResult){.fault = {.trajectory = UINT64_MAX}};
    if (!check_sizes(ensemble, ret_result))
        return RXN_REFUSED;
    double start = now();
    RxnOutcome outcome = run(ensemble, ret_result);
    ret_result->seconds = now() - start;
    return outcome;
}

void
rxn__ensemble_release(RxnEnsembleResult *result)
{
    free(result->mean);
    free(result->m2);
    free(result->fault.witness);
    result->mean = result->m2 = result->fault.witness = NULL;
}

double
rxn__ensemble_sd(const RxnEnsembleResult *result, size_t cell)
{
    if (result->trajectories < 2)
        return 0;
    return __builtin_sqrt(result->m2[cell] / (double)(result->trajectories - 1));
}
