/* test_fakes.c: that the pretended GPU does what a GPU does, and finds what it is there to find: a test of the
 * tests. Each case is a small kernel; those with a mistake run in a process of their own, which has to end
 * with the message that names it. TAP on standard output.
 *
 *   test_fakes LIBCUDA LIBNVRTC
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Driver {
    int (*init)(unsigned), (*retain)(void **, int), (*set)(void *);
    int (*allocate)(uint64_t *, size_t), (*release)(uint64_t);
    int (*up)(uint64_t, const void *, size_t), (*down)(void *, uint64_t, size_t);
    int (*load)(void **, const void *), (*function)(void **, void *, const char *);
    int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                  void *, void **, void **);
    int (*wait)(void *);
    int (*create)(void **, const char *, const char *, int, const char *const *,
                  const char *const *);
    int (*compile)(void *, int, const char *const *), (*size)(void *, size_t *),
        (*code)(void *, char *);
    int (*log)(void *, char *);
} Driver;

static void
find(void *library, const char *name, void *place)
{
    *(void **)place = dlsym(library, name);
    if (!*(void **)place) {
        printf("Bail out! %s\n", dlerror());
        exit(1);
    }
}

static Driver
driver_of(char **paths)
{
    Driver d;
    void *cuda = dlopen(paths[0], RTLD_NOW | RTLD_LOCAL),
         *nvrtc = dlopen(paths[1], RTLD_NOW | RTLD_LOCAL);
    if (!cuda || !nvrtc) {
        printf("Bail out! %s\n", dlerror());
        exit(1);
    }
    find(cuda, "cuInit", &d.init);
    find(cuda, "cuDevicePrimaryCtxRetain", &d.retain);
    find(cuda, "cuCtxSetCurrent", &d.set);
    find(cuda, "cuMemAlloc_v2", &d.allocate);
    find(cuda, "cuMemFree_v2", &d.release);
    find(cuda, "cuMemcpyHtoD_v2", &d.up);
    find(cuda, "cuMemcpyDtoH_v2", &d.down);
    find(cuda, "cuModuleLoadData", &d.load);
    find(cuda, "cuModuleGetFunction", &d.function);
    find(cuda, "cuLaunchKernel", &d.launch);
    find(cuda, "cuStreamSynchronize", &d.wait);
    find(nvrtc, "nvrtcCreateProgram", &d.create);
    find(nvrtc, "nvrtcCompileProgram", &d.compile);
    find(nvrtc, "nvrtcGetCUBINSize", &d.size);
    find(nvrtc, "nvrtcGetCUBIN", &d.code);
    find(nvrtc, "nvrtcGetProgramLog", &d.log);
    return d;
}

typedef struct Arguments {
    uint64_t data, count;
} Arguments;

#define TEXT(body)                                                                                 \
    "typedef struct { unsigned long long data, count; } Arguments;\n"                              \
    "extern __shared__ double pool[];\n"                                                           \
    "__global__ void __launch_bounds__(64) k(const Arguments a)\n"                                 \
    "{ double *data = (double *)a.data; unsigned t = threadIdx.x; unsigned b = blockIdx.x;\n" body \
    "}\n"

enum { BLOCKS = 5, THREADS = 64, CELLS = BLOCKS * THREADS };

typedef struct Case {
    const char *name, *text;
    unsigned dynamic;
    const char *message; /* that it ends with; NULL: it is right */
    double (*expected)(int block, int thread);
    bool host_pointer;
} Case;

static double
mirrored(int block, int thread)
{
    return (block * THREADS + THREADS - 1 - thread) * 2.0;
}

static double
warp_sum(int block, int thread)
{
    int first = block * THREADS + thread / 32 * 32;
    return 32 * first + 31 * 16;
}

static double
counted(int block, int thread)
{
    (void)block;
    (void)thread;
    return 32 + 1000;
}

static double
own_number(int block, int thread)
{
    return block * 1000 + thread;
}

static double
all_threads(int block, int thread)
{
    return block == 0 && thread == 0 ? CELLS : block * THREADS + thread;
}

static const Case cases[] = {
    {"shared memory behind a barrier",
     TEXT("pool[t] = data[b * 64 + t]; __syncthreads(); data[b * 64 + t] = 2 * pool[63 - t];"), 512,
     NULL, mirrored, false},
    {"static shared memory is the block's own",
     TEXT(
         "__shared__ unsigned mine[64]; mine[t] = b * 1000 + t; __syncthreads(); __threadfence();\n"
         "data[b * 64 + t] = mine[t];"),
     0, NULL, own_number, false},
    {"a sum over a warp by shuffles",
     TEXT("double v = data[b * 64 + t]; for (int i = 16; i > 0; i /= 2)\n"
          "v += __shfl_xor_sync(0xffffffffu, v, i); data[b * 64 + t] = v;"),
     0, NULL, warp_sum, false},
    {"votes, counts and threads that leave early",
     TEXT("unsigned even = __ballot_sync(0xffffffffu, t % 2 == 0); int odd = __syncthreads_count(t "
          "% 2);\n"
          "if (t == 5) { data[b * 64 + t] = 1032; return; }\n"
          "__syncwarp(t < 32 ? 0xffffffdfu : 0xffffffffu); __syncthreads();\n"
          "data[b * 64 + t] = odd + (even == 0x55555555u ? 1000 : 0);"),
     0, NULL, counted, false},
    {"atomics of many blocks", TEXT("atomicAdd(&data[0], b == 0 && t == 0 ? 1.0 : 1.0);"), 0, NULL,
     all_threads, false},
    {"found: no barrier", TEXT("pool[t] = data[b * 64 + t]; data[b * 64 + t] = 2 * pool[63 - t];"),
     512, "without a barrier between", NULL, false},
    {"found: a warp taken for a lockstep",
     TEXT("pool[t] = data[b * 64 + t]; data[b * 64 + t] = 2 * pool[t ^ 1];"), 512,
     "without a barrier between", NULL, false},
    {"found: written before all have read",
     TEXT("pool[t] = 1; __syncthreads(); double v = pool[63 - t]; pool[t] = v; data[0] = 0;"), 512,
     "without a barrier between", NULL, false},
    {"found: a barrier that not all reach",
     TEXT("if (t < 32)\n__syncthreads();\nelse\n__syncthreads();"), 0, "others at that of line",
     NULL, false},
    {"found: threads that wait for ever",
     TEXT("if (t == 3) return; if (t == 4) __syncwarp(0x18u); else if (t != 5) __syncthreads();\n"
          "else __shfl_sync(0x60u, t, 5);"),
     0, "wait for each other for ever", NULL, false},
    {"found: behind the end of an allocation", TEXT("data[b * 64 + t + 1] = 1;"), 0,
     "0 bytes behind an allocation", NULL, false},
    {"found: behind the end of shared memory", TEXT("pool[t + 1] = data[0];"), 512,
     "beyond the 512 bytes of dynamic shared memory", NULL, false},
    {"found: memory of the host", TEXT("data[t] = 1;"), 0, "memory of the host", NULL, true},
    {"found: an address that is none", TEXT("data[t] = *(double *)(a.count - 320);"), 0,
     "no memory has such an address", NULL, false},
};

/* NULL, or what went wrong. */
static const char *
run(const Driver *d, const Case *c, double *cells)
{
    static char message[4096];
    void *context, *program, *module, *function;
    uint64_t memory;
    size_t size;
    const char *options[] = {"--gpu-architecture=sm_90"};
    if (d->init(0) || d->retain(&context, 0) || d->set(context))
        return "no device";
    if (d->create(&program, c->text, "k.cu", 0, NULL, NULL))
        return "no program";
    if (d->compile(program, 1, options)) {
        d->log(program, message);
        return message;
    }
    if (d->size(program, &size))
        return "no code";
    char *code = malloc(size);
    if (d->code(program, code) || d->load(&module, code) || d->function(&function, module, "k"))
        return "it does not load";
    free(code);
    if (d->allocate(&memory, CELLS * sizeof *cells) || d->up(memory, cells, CELLS * sizeof *cells))
        return "no memory";
    Arguments arguments = {c->host_pointer ? (uint64_t)(uintptr_t)cells : memory, CELLS};
    void *parameters[] = {&arguments};
    if (d->launch(function, BLOCKS, 1, 1, THREADS, 1, 1, c->dynamic, NULL, parameters, NULL))
        return "it is not launched";
    memset(&arguments, 0, sizeof arguments); /* they were copied */
    if (d->wait(NULL) || d->down(cells, memory, CELLS * sizeof *cells) || d->release(memory))
        return "it does not end well";
    return NULL;
}

static bool
check(const Case *c, char **paths)
{
    int ends[2];
    char said[4096];
    size_t length = 0;
    fflush(stdout);
    if (pipe(ends) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        Driver d = driver_of(paths);
        double cells[CELLS];
        for (int i = 0; i < CELLS; i++)
            cells[i] = i;
        const char *error = run(&d, c, cells);
        bool good = !error;
        if (error)
            fprintf(stderr, "%s\n", error);
        for (int i = 0; i < CELLS && good && c->expected; i++)
            if (cells[i] != c->expected(i / THREADS, i % THREADS)) {
                fprintf(stderr, "cell %d is %g, not %g\n", i, cells[i],
                        c->expected(i / THREADS, i % THREADS));
                good = false;
            }
        _exit(good ? 0 : 1);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], said + length, sizeof said - 1 - length)) > 0;)
        length += (size_t)n;
    close(ends[0]);
    said[length] = 0;
    int status = 0;
    waitpid(child, &status, 0);
    bool good = c->message ? WIFSIGNALED(status) && strstr(said, c->message) != NULL
                           : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!good)
        printf("# status %#x, said: %s\n", status, said);
    return good;
}

int
main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    size_t cases_count = sizeof cases / sizeof cases[0];
    int failed = 0;
    printf("1..%zu\n", cases_count);
    for (size_t i = 0; i < cases_count; i++) {
        bool good = check(&cases[i], arguments + 1);
        failed += !good;
        printf("%sok %zu - %s\n", good ? "" : "not ", i + 1, cases[i].name);
    }
    return failed > 0;
}
