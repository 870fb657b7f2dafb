/* device_host.h: the CPU as a device: threads that run a kernel over chunks of trajectories.
 *
 * A chunk is a block of neighbouring trajectories. Threads take chunks in order and may finish them in
 * any; `consume` sees them in order. Only a window of chunks is open at any time, so memory does not
 * grow with the ensemble.
 */
#ifndef RXN_RUNTIME_DEVICE_HOST_H
#define RXN_RUNTIME_DEVICE_HOST_H

#include "runtime/reduce.h"
#include "runtime/rxn.h"

typedef struct HostJob {
    const RxnEnsemble *ensemble;
    void *const *buffers; /* per kernel buffer: the data bound; NULL where it is per trajectory */
    uint32_t sample, events; /* numbers of these buffers; UINT32_MAX: the kernel has no such */
    uint64_t chunk_count;
    uint64_t head_chunks, head_rows; /* the first chunks, of so many rows each; */
    uint64_t tail_rows; /* then smaller ones, so that all threads end at about one time */
    uint32_t threads;
} HostJob;

/* A finished chunk, as consume sees it. */
typedef struct HostChunk {
    uint64_t first, rows;
    Moments moments;            /* with ensemble->statistics */
    const double *samples;      /* with ensemble->rows, else NULL */
    const uint64_t *row_events; /* likewise */
    uint64_t events;            /* sum */
} HostChunk;

/* Runs all chunks. consume returns false to stop (RXN_REJECTED). *ret_fault: witness is the caller's
 * array of kernel->witness_count numbers, or NULL. error: room for a message. */
RxnOutcome rxn__host_run(const HostJob *job, bool (*consume)(void *context, const HostChunk *chunk),
                         void *context, RxnFault *ret_fault, char *error, size_t error_size);

#endif
