/* device_pool.h: what devices have in common: threads that take chunks in order, and whose results are consumed in order.
 *
 * Faults. Chunks are taken in order, so when one has a fault all before it are finished or running. These go on to their
 * end, since they may hold a fault of a trajectory with a lower number; those behind it are told to stop and are dropped. So
 * what is reported and what is consumed do not depend on the number of threads or GPUs.
 *
 * The calling thread does no chunks: it watches the caller's cancel flag and reports progress.
 */
#ifndef RXN_RUNTIME_DEVICE_POOL_H
#define RXN_RUNTIME_DEVICE_POOL_H

#include <pthread.h>

#include "runtime/device.h"

/* A device's pool begins with one of these. */
typedef struct DevicePool {
    const DeviceJob *job;
    DeviceConsume consume;
    void *context;
    RxnFault *fault; /* the lowest so far; its witness is the caller's array, or NULL */
    char *error;     /* room for a message, of error_size bytes */
    size_t error_size;

    /* The device's own, all called with the lock held, which the second and third give up meanwhile. */
    void (*cancel_from)(struct DevicePool *pool,
                        uint64_t chunk); /* tells those that run chunks from there on to stop */
    void (*work)(struct DevicePool *pool, uint32_t worker); /* a thread's */
    uint64_t (*rows_running)(
        struct DevicePool
            *pool); /* trajectories that are done of chunks that run; NULL: chunks are short */

    /* rxn__pool_run's: */
    pthread_mutex_t lock;
    pthread_cond_t room, news; /* a slot is free; a worker has ended */
    uint64_t next, consumed;   /* chunks handed out; consumed in order */
    uint64_t limit;            /* chunks from here on do not count any more */
    uint64_t rows_done;
    uint32_t working;
    bool consuming;
    RxnOutcome outcome;
} DevicePool;

/* Runs so many workers to their end. */
RxnOutcome rxn__pool_run(DevicePool *pool, uint32_t workers);

/* For workers, with the lock held. The first: ends the run; what is running is told so, nothing new begins. error: NULL: none. */
void rxn__pool_stop(DevicePool *pool, RxnOutcome outcome, const char *error);
void rxn__pool_fault(DevicePool *pool, uint64_t chunk, const RxnFault *fault);

/* Hands over the chunk that is next in order. The lock is given up meanwhile; only whoever has set `consuming` calls it. */
void rxn__pool_consume(DevicePool *pool, const DeviceChunk *chunk);

#endif
