/* cuda_shim.c: see cuda_shim.h. */
#include "cuda_shim.h"

#include "random_kernel.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { STACK_BYTES = 256 * 1024, MOST_THREADS = 256, SHARED_BORDER = 64 };

/* What stands before the text, and behind it. */
static const char before[] =
    "#include <math.h>\n"
    "#include <string.h>\n"
    "typedef struct ShimIndex { unsigned x, y, z; } ShimIndex;\n"
    "ShimIndex threadIdx, blockIdx, blockDim, gridDim;\n"
    "unsigned long long *shim_shared;\n"
    "void (*shim_wait)(int whole_block);\n"
    "void (*shim_yield)(void);\n"
    "#define rxn_shared shim_shared\n"
    "#define __global__\n"
    "#define __device__\n"
    "#define __constant__\n"
    "#define __shared__\n"
    "#define __forceinline__ inline\n"
    "#define __launch_bounds__(...)\n"
    "#define __syncthreads() shim_wait(1)\n"
    "#define __syncwarp() shim_wait(0)\n"
    "#define __threadfence() shim_yield()\n"
    "#define __ldg(p) (*(p))\n"
    "#define __fma_rn(x, y, z) fma(x, y, z)\n"
    "#define __fmaf_rn(x, y, z) fmaf(x, y, z)\n"
    "#define __umulhi(x, y) ((unsigned)((unsigned long long)(x) * (y) >> 32))\n"
    "#define __umul64hi(x, y) ((unsigned long long)((unsigned __int128)(x) * (y) >> 64))\n"
    "#define SHIM_PUN(name, from, to) \\\n"
    "    static inline to name(from x) { to y; memcpy(&y, &x, sizeof y); return y; }\n"
    "SHIM_PUN(__double_as_longlong, double, long long)\n"
    "SHIM_PUN(__longlong_as_double, long long, double)\n"
    "SHIM_PUN(__float_as_int, float, int)\n"
    "SHIM_PUN(__float_as_uint, float, unsigned)\n"
    "SHIM_PUN(__int_as_float, int, float)\n"
    "SHIM_PUN(__uint_as_float, unsigned, float)\n"
    "static inline unsigned long long\n"
    "atomicAdd(unsigned long long *p, unsigned long long x)\n"
    "{ shim_yield(); unsigned long long old = *p; *p = old + x; return old; }\n"
    "static inline unsigned\n"
    "atomicMin(unsigned *p, unsigned x)\n"
    "{ shim_yield(); unsigned old = *p; *p = x < old ? x : old; return old; }\n"
    "static inline unsigned\n"
    "atomicExch(unsigned *p, unsigned x)\n"
    "{ shim_yield(); unsigned old = *p; *p = x; return old; }\n"
    "static inline unsigned\n"
    "atomicCAS(unsigned *p, unsigned expected, unsigned x)\n"
    "{ shim_yield(); unsigned old = *p; if (old == expected) *p = x; return old; }\n"
    "#line 1 \"kernel.cu\"\n";

static const char behind[] =
    "\nvoid shim_rxn_kernel(const void *p) { rxn_kernel(*(const RxnLaunch *)p); }\n"
    "void shim_rxn_reduce(const void *p) { rxn_reduce(*(const RxnReduce *)p); }\n";
static const char behind_uniform[] =
    "void shim_rxn_uniform(const void *p) { rxn_uniform(*(const RxnLaunch *)p); }\n";

typedef struct Index {
    unsigned x, y, z;
} Index;

typedef enum FiberState { FIBER_READY, FIBER_AT_WARP, FIBER_AT_BLOCK, FIBER_ENDED } FiberState;

struct CudaModule {
    void *library;
    u8 *stacks;
    ucontext_t scheduler, fiber[MOST_THREADS];
    FiberState state[MOST_THREADS];
    u32 threads, running;
    void (*function)(const void *parameters);
    const void *parameters;
};

/* The module whose kernel runs; the text's calls have no argument for it. */
static CudaModule *current;

static void
leave(FiberState state)
{
    current->state[current->running] = state;
    swapcontext(&current->fiber[current->running], &current->scheduler);
}

static void
wait_for_others(int whole_block)
{
    leave(whole_block ? FIBER_AT_BLOCK : FIBER_AT_WARP);
}

static void
yield_to_others(void)
{
    leave(FIBER_READY);
}

static void
run_fiber(void)
{
    current->function(current->parameters);
    leave(FIBER_ENDED);
}

/* ---- modules ---- */

static bool
write_unit(const char *path, const RxnCudaKernel *kernel)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    fputs(before, file);
    fputs(kernel->source, file);
    fputs(behind, file);
    if (kernel->uniform_bytes > 0)
        fputs(behind_uniform, file);
    return fclose(file) == 0;
}

CudaModule *
cuda_module_open(const RxnCudaKernel *kernel)
{
    char folder[] = "/tmp/rxn-cuda-XXXXXX", source[64], library[64], command[256];
    if (!mkdtemp(folder))
        return NULL;
    snprintf(source, sizeof source, "%s/kernel.c", folder);
    snprintf(library, sizeof library, "%s/kernel.so", folder);
    snprintf(command, sizeof command,
             "cc -std=c11 -O1 -w -ffp-contract=off -shared -fPIC -o %s %s -lm", library, source);
    CudaModule *module = calloc(1, sizeof *module);
    if (module && write_unit(source, kernel) && system(command) == 0)
        module->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (module && module->library) {
        module->stacks = mmap(NULL, (size_t)MOST_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        *(void (**)(int))dlsym(module->library, "shim_wait") = wait_for_others;
        *(void (**)(void))dlsym(module->library, "shim_yield") = yield_to_others;
    }
    if (getenv("RXN_KEEP_CUDA") == NULL) {
        unlink(source);
        unlink(library);
        rmdir(folder);
    } else {
        fprintf(stderr, "%s\n", source);
    }
    if (module && module->library && module->stacks != MAP_FAILED)
        return module;
    free(module);
    return NULL;
}

void
cuda_module_close(CudaModule *module)
{
    dlclose(module->library);
    munmap(module->stacks, (size_t)MOST_THREADS * STACK_BYTES);
    free(module);
}

void *
cuda_module_constants(CudaModule *module)
{
    return dlsym(module->library, "rxn_constants");
}

/* ---- blocks ---- */

/* Lets those go on that all have come to; false if none was waiting together. */
static bool
release(CudaModule *module)
{
    bool any = false, block_ready = true;
    for (u32 t = 0; t < module->threads; t++)
        block_ready = block_ready && module->state[t] == FIBER_AT_BLOCK;
    for (u32 warp = 0; warp < module->threads; warp += 32) {
        u32 end = warp + 32 < module->threads ? warp + 32 : module->threads;
        bool warp_ready = true;
        for (u32 t = warp; t < end; t++)
            warp_ready = warp_ready && module->state[t] == FIBER_AT_WARP;
        for (u32 t = warp; t < end && (warp_ready || block_ready); t++) {
            module->state[t] = FIBER_READY;
            any = true;
        }
    }
    return any;
}

static bool
run_block(CudaModule *module, u64 *random)
{
    Index *thread = dlsym(module->library, "threadIdx");
    for (u32 t = 0; t < module->threads; t++) {
        getcontext(&module->fiber[t]);
        module->fiber[t].uc_stack.ss_sp = module->stacks + (size_t)t * STACK_BYTES;
        module->fiber[t].uc_stack.ss_size = STACK_BYTES;
        module->fiber[t].uc_link = NULL;
        makecontext(&module->fiber[t], run_fiber, 0);
        module->state[t] = FIBER_READY;
    }
    for (;;) {
        /* From a random thread on, forwards or backwards, each as far as it comes. */
        u64 word = random_u64(random);
        u32 start = (u32)(word >> 8) % module->threads;
        bool ran = false, left = false;
        for (u32 k = 0; k < module->threads; k++) {
            u32 t = (word & 1 ? start + k : start + module->threads - k) % module->threads;
            left = left || module->state[t] != FIBER_ENDED;
            if (module->state[t] != FIBER_READY)
                continue;
            ran = true;
            module->running = t;
            *thread = (Index){t, 0, 0};
            swapcontext(&module->scheduler, &module->fiber[t]);
        }
        if (!left)
            return true;
        if (!ran && !release(module))
            return false;
    }
}

bool
cuda_module_run(CudaModule *module, const char *function, const void *parameters, u32 blocks_x,
                u32 blocks_y, u32 block_threads, u32 threads, u32 shared_bytes, u64 seed)
{
    char name[64];
    snprintf(name, sizeof name, "shim_%s", function);
    *(void **)&module->function = dlsym(module->library, name);
    if (!module->function || threads > MOST_THREADS)
        return false;
    module->parameters = parameters;
    module->threads = threads;
    *(Index *)dlsym(module->library, "blockDim") = (Index){block_threads, 1, 1};
    *(Index *)dlsym(module->library, "gridDim") = (Index){blocks_x, blocks_y, 1};
    u8 *shared = malloc(shared_bytes + SHARED_BORDER + 8);
    *(void **)dlsym(module->library, "shim_shared") = shared;
    bool good = shared != NULL;
    current = module;
    for (u32 block = 0; good && block < blocks_x * blocks_y; block++) {
        memset(shared, 0xA5, shared_bytes + SHARED_BORDER);
        *(Index *)dlsym(module->library, "blockIdx") =
            (Index){block % blocks_x, block / blocks_x, 0};
        good = run_block(module, &seed);
        for (u32 i = 0; i < SHARED_BORDER; i++)
            good = good && shared[shared_bytes + i] == 0xA5;
    }
    free(shared);
    return good;
}
