/* fake_modules.c: the second half of libcuda-fake.so: modules, functions, launches; see fake_driver.c.
 *
 * A module is a shared object of the host (fake_compile.c), loaded from a file of its own.
 */
#include "fake_private.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- modules ---- */

static size_t
image_size(const void *image)
{
    const ElfW(Ehdr) *head = image;
    return (size_t)(head->e_shoff + (uint64_t)head->e_shnum * head->e_shentsize);
}

typedef struct Span {
    uintptr_t base, start, end;
} Span;

static int
find_span(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    Span *span = context;
    if (info->dlpi_addr != span->base)
        return 0;
    span->start = UINTPTR_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD)
            continue;
        uintptr_t start = info->dlpi_addr + p->p_vaddr;
        if (start < span->start)
            span->start = start;
        if (start + p->p_memsz > span->end)
            span->end = start + p->p_memsz;
    }
    return 1;
}

/* Loads the machine code; a file of its own each time, so that its statics are its own. */
static int
load(const void *image, size_t size, Module *m)
{
    int file = memfd_create("module", MFD_CLOEXEC);
    char path[64];
    if (file < 0 || write(file, image, size) != (ssize_t)size)
        return OUT_OF_MEMORY;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    m->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!m->handle)
        fprintf(stderr, "fake GPU: %s\n", dlerror());
    m->file =
        file; /* kept open, since the loader knows modules by their path, and that has its number */
    if (!m->handle)
        return INVALID_IMAGE;
    const unsigned *architecture = dlsym(m->handle, "rxn_shim_architecture");
    m->shim = dlsym(m->handle, "rxn_shim");
    if (!architecture || !m->shim)
        return INVALID_IMAGE;
    int own = (int)*architecture, device = gpu.options.architecture;
    if (own / 10 != device / 10 || own % 10 > device % 10)
        return NO_BINARY_FOR_GPU;
    unsigned char *(*shared)(int);
    *(void **)&shared = dlsym(m->handle, "rxn_shim_shared_ends");
    m->statics = shared(0);
    m->static_bytes = (size_t)(shared(1) - shared(0));
    struct link_map *map = NULL;
    Span span = {0};
    if (dlinfo(m->handle, RTLD_DI_LINKMAP, &map) == 0) {
        span.base = map->l_addr;
        dl_iterate_phdr(find_span, &span);
    }
    m->start = span.start;
    m->size = span.end - span.start;
    return SUCCESS;
}

EXPORT int
cuModuleLoadDataEx(Module **ret_module, const void *image, unsigned count, int *options,
                   void **values)
{
    ENTER(true);
    char *log = NULL;
    size_t log_size = 0;
    for (unsigned i = 0; i < count; i++) {
        if (options[i] == 5)
            log = values[i];
        if (options[i] == 6)
            log_size = (size_t)(uintptr_t)values[i];
    }
    if (log && log_size > 0)
        log[0] = 0;
    Module *m = calloc(1, sizeof *m);
    m->device = current;
    int result;
    if (memcmp(image, ELFMAG, SELFMAG) == 0) {
        result = load(image, image_size(image), m);
    } else if (strncmp(image, "//", 2) == 0) {
        void *code;
        size_t size;
        char *said;
        if (rxn_fake_compile(&gpu.options, image, gpu.options.architecture, &code, &size, &said))
            result = load(code, size, m);
        else
            result = INVALID_PTX;
        if (log && log_size > 0)
            snprintf(log, log_size, "%s", said ? said : "");
        free(code);
        free(said);
    } else {
        result = INVALID_IMAGE;
    }
    if (result == SUCCESS) {
        *ret_module = m;
        m->next = gpu.modules;
        gpu.modules = m;
    } else {
        free(m);
    }
    LEAVE(result);
}

EXPORT int
cuModuleLoadData(Module **ret_module, const void *image)
{
    return cuModuleLoadDataEx(ret_module, image, 0, NULL, NULL);
}

EXPORT int
cuModuleUnload(Module *module)
{
    ENTER(true);
    if (!module)
        LEAVE(INVALID_HANDLE);
    if (module->launches > 0)
        rxn_fake_drain(module->device);
    for (Function **f = &gpu.functions; *f;) {
        Function *function = *f;
        if (function->module == module) {
            *f = function->next;
            free(function);
        } else {
            f = &function->next;
        }
    }
    Module **place = &gpu.modules;
    while (*place && *place != module)
        place = &(*place)->next;
    if (*place)
        *place = module->next;
    if (module->launches == 0) {
        dlclose(module->handle);
        close(module->file);
    }
    free(module);
    LEAVE(SUCCESS);
}

EXPORT int
cuModuleGetFunction(Function **ret_function, Module *module, const char *name)
{
    ENTER(true);
    char symbol[128];
    snprintf(symbol, sizeof symbol, "rxn_shim_kernel_%s", name);
    const ShimKernel *kernel = module ? dlsym(module->handle, symbol) : NULL;
    if (!kernel)
        LEAVE(module ? NOT_FOUND : INVALID_HANDLE);
    Function *f = calloc(1, sizeof *f);
    f->module = module;
    f->kernel = kernel;
    f->most_dynamic = DEFAULT_SHARED;
    snprintf(f->name, sizeof f->name, "%s", name);
    f->next = gpu.functions;
    gpu.functions = f;
    *ret_function = f;
    LEAVE(SUCCESS);
}

EXPORT int
cuModuleGetGlobal_v2(uint64_t *ret_address, size_t *ret_size, Module *module, const char *name)
{
    ENTER(true);
    void *place = module ? dlsym(module->handle, name) : NULL;
    if (!place)
        LEAVE(module ? NOT_FOUND : INVALID_HANDLE);
    Dl_info info;
    const ElfW(Sym) *symbol = NULL;
    if (!dladdr1(place, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol)
        LEAVE(NOT_FOUND);
    if (ret_address)
        *ret_address = (uint64_t)(uintptr_t)place;
    if (ret_size)
        *ret_size = symbol->st_size;
    LEAVE(SUCCESS);
}

static bool
has_function(const Function *function)
{
    for (const Function *f = gpu.functions; f; f = f->next)
        if (f == function)
            return true;
    return false;
}

EXPORT int
cuFuncGetAttribute(int *ret_value, int attribute, Function *function)
{
    ENTER(true);
    if (!has_function(function))
        LEAVE(INVALID_HANDLE);
    switch (attribute) {
    case 0: *ret_value = 1024; break;                                /* MAX_THREADS_PER_BLOCK */
    case 1: *ret_value = (int)function->module->static_bytes; break; /* SHARED_SIZE_BYTES */
    case 2: *ret_value = 0; break;                                   /* CONST_SIZE_BYTES */
    case 3: *ret_value = 0; break;                                   /* LOCAL_SIZE_BYTES */
    case 4: *ret_value = REGISTERS_OF_THREAD; break;                 /* NUM_REGS */
    case 8: *ret_value = function->most_dynamic; break;
    default:
        rxn_fake_misuse("an attribute of functions that it does not know", (uint64_t)attribute);
    }
    LEAVE(SUCCESS);
}

EXPORT int
cuFuncSetAttribute(Function *function, int attribute, int value)
{
    ENTER(true);
    if (!has_function(function))
        LEAVE(INVALID_HANDLE);
    if (attribute == 9) /* PREFERRED_SHARED_MEMORY_CARVEOUT: a hint */
        LEAVE(SUCCESS);
    if (attribute != 8 || value < 0 ||
        (size_t)value + function->module->static_bytes > (size_t)MOST_SHARED)
        LEAVE(INVALID_VALUE);
    function->most_dynamic = value > DEFAULT_SHARED ? value : DEFAULT_SHARED;
    LEAVE(SUCCESS);
}

static int
blocks_of_processor(const Function *f, int threads, size_t dynamic)
{
    if (threads <= 0 || threads > 1024 || dynamic > (size_t)f->most_dynamic)
        return 0;
    int by_threads = threads >= THREADS_OF_PROCESSOR ? 1 : THREADS_OF_PROCESSOR / threads;
    size_t shared = dynamic + f->module->static_bytes + 1024;
    int by_shared = (int)((MOST_SHARED + 1024) / shared);
    int blocks = by_threads < by_shared ? by_threads : by_shared;
    return blocks < 4 ? blocks : 4; /* small tests have few trajectories */
}

EXPORT int
cuOccupancyMaxActiveBlocksPerMultiprocessor(int *ret_blocks, Function *function, int threads,
                                            size_t dynamic)
{
    ENTER(true);
    if (!has_function(function))
        LEAVE(INVALID_HANDLE);
    *ret_blocks = blocks_of_processor(function, threads, dynamic);
    LEAVE(SUCCESS);
}

EXPORT int
cuLaunchKernel(Function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
               unsigned block_x, unsigned block_y, unsigned block_z, unsigned dynamic,
               Stream *stream, void **parameters, void **extra)
{
    ENTER(true);
    uint64_t threads = (uint64_t)block_x * block_y * block_z;
    if (!has_function(function) || !rxn_fake_has_stream(stream))
        LEAVE(INVALID_HANDLE);
    if (function->module->device != current || rxn_fake_stream(stream)->device != current)
        LEAVE(INVALID_HANDLE);
    if (grid_x == 0 || grid_y == 0 || grid_z == 0 || grid_x > 2147483647u || grid_y > 65535 ||
        grid_z > 65535 || threads == 0 || threads > 1024 || extra || !parameters)
        LEAVE(INVALID_VALUE);
    if (dynamic > (unsigned)function->most_dynamic)
        LEAVE(INVALID_VALUE);
    EngineLaunch launch = {
        .name = function->name,
        .kernel = function->kernel,
        .module_shim = function->module->shim,
        .grid = {grid_x, grid_y, grid_z},
        .block = {block_x, block_y, block_z},
        .dynamic_bytes = dynamic,
        .statics = function->module->statics,
        .static_bytes = function->module->static_bytes,
        .module = function->module->start,
        .module_size = function->module->size,
        .resident = threads > MOST_FIBERS / 8    ? 2
                    : threads > MOST_FIBERS / 16 ? 4
                                                 : 8,
        .allowed = rxn_fake_allowed,
        .explain = rxn_fake_explain,
        .context = current,
    };
    Operation *op = rxn_fake_enqueue(rxn_fake_stream(stream), OP_LAUNCH);
    op->launch = launch;
    op->own = malloc(function->kernel->parameter_bytes + 1);
    memcpy(op->own, parameters[0], function->kernel->parameter_bytes);
    op->module = function->module;
    op->module->launches++;
    op->value = ++gpu.launches == gpu.options.fail_launch ? LAUNCH_FAILED : 0;
    LEAVE(SUCCESS);
}
