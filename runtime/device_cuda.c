/* device_cuda.c: ensembles on NVIDIA GPUs (see cuda.h). */
#include "runtime/cuda.h"

#include <stdio.h>

RxnOutcome
rxn__cuda_run(const DeviceJob *job, DeviceConsume consume, void *context, RxnFault *ret_fault,
              char *error, size_t error_size)
{
    (void)job, (void)consume, (void)context, (void)ret_fault;
    snprintf(error, error_size, "this build runs no kernel on a GPU");
    return RXN_REFUSED;
}
