/* cuda_image.h: code of a kernel for one GPU: where it comes from (see cuda_image.c). */
#ifndef RXN_RUNTIME_CUDA_IMAGE_H
#define RXN_RUNTIME_CUDA_IMAGE_H

#include "runtime/cuda_private.h"
#include "runtime/nvrtc.h"

/* In the order in which they are tried. */
typedef enum CudaWay {
    CUDA_WAY_EXACT,  /* the kernel's own machine code for this architecture */
    CUDA_WAY_MAJOR,  /* for an older one of the same major number */
    CUDA_WAY_PTX,    /* its own PTX for this one or an older one */
    CUDA_WAY_SOURCE, /* the cache, or NVRTC */
} CudaWay;

typedef struct CudaImage {
    uint32_t architecture; /* of the GPU that it is for */
    uint32_t made_for;     /* of the code: older, with PTX */
    CudaWay way;
    const void *code; /* NULL: not found so far */
    void *owned;      /* to be freed: the code, unless it is the kernel's */
    size_t size;
    bool is_ptx, from_cache;
    double seconds;
} CudaImage;

/* One kernel, on its way to the GPUs. */
typedef struct CudaLoader {
    RxnCuda *cuda;
    const RxnCudaKernel *kernel;
    const char *cache;
    RxnNvrtc *nvrtc; /* or NULL: not opened so far */
    char *key;       /* of the cache entry that is looked for or made */
    size_t key_length;
    char *error;
    size_t error_size;
} CudaLoader;

/* The first way, from this one on, on which there is code for the GPU; the image is filled in. Outcomes as of
 * rxn__cuda_load. */
RxnOutcome rxn__cuda_image_find(CudaLoader *loader, const CudaGpu *gpu, CudaWay from,
                                CudaImage *image);

/* Compiles anew what came from the cache. */
RxnOutcome rxn__cuda_image_renew(CudaLoader *loader, CudaImage *image);

#endif
