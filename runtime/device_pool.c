/* device_pool.c: see device_pool.h. */
#include "runtime/device_pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    WATCH_NANOSECONDS = 50 * 1000 * 1000,
    STACK_BYTES =
        4
        << 20, /* kernels keep their lanes' arrays in the stack frame, a few KiB; formatting needs little more */
};

/* ---- for workers ------------------------------------------------------------------------------- */

void
rxn__pool_stop(DevicePool *pool, RxnOutcome outcome, const char *error)
{
    if (pool->outcome == RXN_DONE || pool->outcome == RXN_FAULTED) {
        pool->outcome = outcome;
        if (error)
            snprintf(pool->error, pool->error_size, "%s", error);
    }
    pool->limit = 0;
    pool->cancel_from(pool, 0);
    pthread_cond_broadcast(&pool->room);
}

void
rxn__pool_fault(DevicePool *pool, uint64_t chunk, const RxnFault *fault)
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
    pool->cancel_from(pool, chunk + 1);
    pthread_cond_broadcast(&pool->room);
}

void
rxn__pool_consume(DevicePool *pool, const DeviceChunk *chunk)
{
    pthread_mutex_unlock(&pool->lock);
    const bool good = pool->consume(pool->context, chunk);
    pthread_mutex_lock(&pool->lock);
    pool->consumed++;
    if (!good)
        rxn__pool_stop(pool, RXN_REJECTED, NULL);
}

/* ---- the run ----------------------------------------------------------------------------------- */

typedef struct Thread {
    DevicePool *pool;
    uint32_t worker;
    pthread_t thread;
} Thread;

static void *
work(void *argument)
{
    const Thread *thread = argument;
    DevicePool *pool = thread->pool;
    pthread_mutex_lock(&pool->lock);
    pool->work(pool, thread->worker);
    pool->working--;
    pthread_cond_signal(&pool->news);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static struct timespec
next_look(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WATCH_NANOSECONDS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return until;
}

/* Figures of chunks that run may be a little wrong for once, but what is reported does not go back. */
static void
report(DevicePool *pool, uint64_t *reported)
{
    const RxnEnsemble *ensemble = pool->job->ensemble;
    uint64_t done = pool->rows_running ? pool->rows_running(pool) : 0;
    done += pool->rows_done;
    if (done > ensemble->trajectories)
        done = ensemble->trajectories;
    if (done > *reported)
        *reported = done;
    pthread_mutex_unlock(&pool->lock);
    ensemble->progress(ensemble->progress_context, *reported, ensemble->trajectories);
    pthread_mutex_lock(&pool->lock);
}

static void
watch(DevicePool *pool)
{
    const RxnEnsemble *ensemble = pool->job->ensemble;
    uint64_t reported = 0;
    pthread_mutex_lock(&pool->lock);
    while (pool->working > 0) {
        const struct timespec until = next_look();
        if (pthread_cond_timedwait(&pool->news, &pool->lock, &until) != ETIMEDOUT)
            continue;
        if (ensemble->cancel && *ensemble->cancel && pool->outcome != RXN_STOPPED)
            rxn__pool_stop(pool, RXN_STOPPED, NULL);
        if (ensemble->progress)
            report(pool, &reported);
    }
    pthread_mutex_unlock(&pool->lock);
}

/* Fewer than wanted do all of the work. */
static uint32_t
start_threads(DevicePool *pool, uint32_t workers, Thread *threads)
{
    uint32_t started = 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_mutex_lock(&pool->lock);
    while (started < workers) {
        Thread *thread = &threads[started];
        *thread = (Thread){.pool = pool, .worker = started};
        if (pthread_create(&thread->thread, &attributes, work, thread) != 0)
            break;
        started++;
        pool->working++;
    }
    pthread_mutex_unlock(&pool->lock);
    pthread_attr_destroy(&attributes);
    return started;
}

static void
open_locks(DevicePool *pool)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->room, NULL);
    pthread_cond_init(&pool->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

RxnOutcome
rxn__pool_run(DevicePool *pool, uint32_t workers)
{
    Thread *threads = calloc(workers, sizeof *threads);
    pool->limit = pool->job->chunk_count;
    pool->fault->trajectory = UINT64_MAX;
    open_locks(pool);
    const uint32_t started = threads ? start_threads(pool, workers, threads) : 0;
    if (started > 0) {
        watch(pool);
    } else {
        pool->outcome = RXN_NO_MEMORY;
        snprintf(pool->error, pool->error_size,
                 threads ? "no thread could be started" : "out of memory for %u threads", workers);
    }
    for (uint32_t k = 0; k < started; k++)
        pthread_join(threads[k].thread, NULL);
    pthread_cond_destroy(&pool->news);
    pthread_cond_destroy(&pool->room);
    pthread_mutex_destroy(&pool->lock);
    free(threads);
    return pool->outcome;
}
