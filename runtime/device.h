/* device.h: what a device runs, whatever it is: the pool of threads (device_host.h) or GPUs (cuda.h).
 *
 * A chunk is a block of neighbouring trajectories. A device may run chunks in any order and several at a
 * time; `consume` sees them in order, never two at once. The size of a chunk decides the order in which sums
 * are rounded, so it is the job's, not the device's: results are the same bits on all devices.
 */
#ifndef RXN_RUNTIME_DEVICE_H
#define RXN_RUNTIME_DEVICE_H

#include "runtime/ensemble.h"
#include "runtime/reduce.h"

typedef struct DeviceJob {
    const RxnEnsemble *ensemble;
    void *const
        *buffers; /* per kernel buffer: the data bound, all rows where it is per trajectory and only
                           * read; NULL where it is per trajectory and written */
    const size_t
        *buffer_elements;    /* per kernel buffer: elements, of one row where per trajectory */
    uint32_t sample, events; /* numbers of these buffers; UINT32_MAX: the kernel has no such */
    uint64_t chunk_count;
    uint64_t head_chunks, head_rows; /* the first chunks, of so many rows each; */
    uint64_t tail_rows; /* then smaller ones, so that all threads end at about one time */
    uint32_t threads;
} DeviceJob;

/* A finished chunk, as consume sees it. */
typedef struct DeviceChunk {
    uint64_t first, rows;
    Moments moments;            /* with ensemble->statistics */
    const double *samples;      /* with ensemble->rows, else NULL */
    const uint64_t *row_events; /* likewise */
    uint64_t events;            /* sum */
} DeviceChunk;

/* Returns false to stop the run (RXN_REJECTED). */
typedef bool (*DeviceConsume)(void *context, const DeviceChunk *chunk);

/* The chunk's first trajectory, counted from that of the run (ensemble->first). */
static inline uint64_t
rxn__chunk_first(const DeviceJob *job, uint64_t chunk)
{
    if (chunk <= job->head_chunks)
        return chunk * job->head_rows;
    return job->head_chunks * job->head_rows + (chunk - job->head_chunks) * job->tail_rows;
}

/* Where the rows from trajectory `first` of the run on begin, of a buffer that is per trajectory and bound. */
static inline const void *
rxn__job_rows(const DeviceJob *job, uint32_t buffer, uint64_t first)
{
    size_t bytes =
        job->buffer_elements[buffer] * job->ensemble->kernel->buffers[buffer].element_bytes;
    return (const char *)job->buffers[buffer] + first * bytes;
}

static inline uint64_t
rxn__chunk_rows(const DeviceJob *job, uint64_t chunk)
{
    uint64_t rows = chunk < job->head_chunks ? job->head_rows : job->tail_rows;
    uint64_t left = job->ensemble->trajectories - rxn__chunk_first(job, chunk);
    return left < rows ? left : rows;
}

#endif
