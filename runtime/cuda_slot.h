/* cuda_slot.h: what one GPU has in memory for a job, and how a group of chunks is run on it.
 *
 * A lane is a GPU at work on a job: the per-launch buffers, the sizes that its memory allows. A slot of a
 * lane is the room for one group of chunks: a stream, the group's buffers on the GPU, and pinned memory of
 * the host for what comes back. While one slot's results are copied or used, the others' kernels run.
 */
#ifndef RXN_RUNTIME_CUDA_SLOT_H
#define RXN_RUNTIME_CUDA_SLOT_H

#include "runtime/cuda_private.h"

enum {
    CUDA_SLOTS = 3, /* of a lane: one whose results are used, one that runs, one that waits */
    CUDA_ARGUMENT_BYTES = 4096, /* what a kernel's parameters may take on all GPUs */
};

typedef struct CudaGroup {
    uint64_t first_chunk, chunks;
    uint64_t first, rows; /* trajectories */
    uint64_t chunk_rows;  /* of each chunk, save the last */
} CudaGroup;

/* A group's results as they lie in memory, on the GPU and then on the host: this, double[witness_count],
 * uint64_t events[chunks], double mean[chunks][cells], double m2[chunks][cells]. */
typedef struct CudaResults {
    uint64_t next;
    uint64_t unused[7];
    RxnCudaFault fault;
} CudaResults;

typedef struct CudaSlot {
    bool open;
    CudaStream *stream;
    CudaEvent *ran, *done; /* the kernel; all that was asked for */
    CudaAddress memory;
    CudaAddress results, sample, events, workspace; /* in it */
    CudaAddress *buffers;                           /* per kernel buffer */
    void *host;                                     /* pinned; the next six are in it */
    volatile int *cancel;
    uint64_t *peeked;
    CudaResults *start; /* what `results` is before a launch */
    CudaResults *ret;
    double *samples; /* with ensemble->rows */
    uint64_t *row_events;
    CudaAddress cancel_address;
    void *arguments; /* RxnCudaLaunch and what follows it */
    CudaGroup group;
} CudaSlot;

typedef struct CudaLane {
    const DeviceJob *job;
    const RxnCuda *cuda;
    const CudaGpu *gpu;
    const RxnCudaKernel *kernel;
    const CudaLoaded *loaded;
    size_t cells;          /* doubles of a row of samples */
    size_t *row_bytes;     /* per kernel buffer: of a row; 0: per launch */
    CudaAddress inputs;    /* all per-launch buffers */
    CudaAddress *buffers;  /* per kernel buffer: where in them */
    CudaAddress uniform;   /* what rxn_uniform has written */
    uint32_t blocks;       /* of a launch */
    uint64_t rows, chunks; /* room for so many in a group */
    bool shares_workspace; /* one for all slots, whose kernels then run one after the other */
    CudaAddress workspace; /* if so */
    CudaEvent *last;       /* the kernel that had it last; NULL: none */
    CudaStream *stream;    /* for what is of no group */
    CudaSlot slots[CUDA_SLOTS];
    uint32_t slot_count; /* that are to be had */
} CudaLane;

static inline uint64_t
rxn__cuda_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Of a group of so many chunks: CudaResults and what follows it. */
static inline size_t
rxn__cuda_result_bytes(const CudaLane *lane, uint64_t chunks)
{
    const RxnEnsemble *ensemble = lane->job->ensemble;
    size_t cells = ensemble->statistics ? 2 * lane->cells : 0;
    return sizeof(CudaResults) + ensemble->kernel->witness_count * sizeof(double) +
           chunks * (sizeof(uint64_t) + cells * sizeof(double));
}

/* A kernel's parameter: the launch, the buffers' addresses, their strides. */
void rxn__cuda_arguments(const CudaLane *lane, const RxnCudaLaunch *launch,
                         const CudaAddress *buffers, char *ret_arguments);

/* The GPU becomes the calling thread's. lanes: how many GPUs share the job. */
RxnOutcome rxn__cuda_lane_open(CudaLane *lane, uint32_t lanes, char *error, size_t error_size);

/* After all that was launched has ended. */
void rxn__cuda_lane_close(CudaLane *lane);

/* Where memory is short, makes groups smaller, or *ret_open false if there is a slot already. */
RxnOutcome rxn__cuda_slot_open(CudaLane *lane, CudaSlot *slot, bool *ret_open, char *error,
                               size_t error_size);

/* The group that begins with a chunk, as large as the lane has room for, none past the limit. */
CudaGroup rxn__cuda_group(const CudaLane *lane, uint64_t first_chunk, uint64_t limit);

/* Launches slot->group and the copies of its results. */
RxnOutcome rxn__cuda_slot_launch(CudaLane *lane, CudaSlot *slot, char *error, size_t error_size);

/* Until all that was launched has ended. */
RxnOutcome rxn__cuda_slot_wait(CudaLane *lane, CudaSlot *slot, char *error, size_t error_size);

/* Trajectories of the group that have ended, about; while it runs, from another thread. */
uint64_t rxn__cuda_slot_peek(const CudaLane *lane, const CudaSlot *slot);

/* Chunk `index` of the group, as consume is to see it; after the wait. */
void rxn__cuda_slot_chunk(const CudaLane *lane, const CudaSlot *slot, uint64_t index,
                          DeviceChunk *ret_chunk);

/* The fault's witness. */
static inline double *
rxn__cuda_witness(CudaResults *results)
{
    return (double *)(results + 1);
}

#endif
