/* device_host.h: the CPU as a device: threads that run a kernel over chunks of trajectories.
 *
 * Threads take chunks in order and may finish them in any. Only a window of chunks is open at any time, so
 * memory does not grow with the ensemble.
 */
#ifndef RXN_RUNTIME_DEVICE_HOST_H
#define RXN_RUNTIME_DEVICE_HOST_H

#include "runtime/device.h"

/* Runs all chunks. *ret_fault: witness is the caller's array of kernel->witness_count numbers, or NULL.
 * error: room for a message. */
RxnOutcome rxn__host_run(const DeviceJob *job, DeviceConsume consume, void *context,
                         RxnFault *ret_fault, char *error, size_t error_size);

#endif
