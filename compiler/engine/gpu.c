/* gpu.c: --device: what it means on this machine, the GPUs that it names, and kernels on them.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "compiler/engine/engine.h"
#include "compiler/target/frozen.h"
#include "runtime/nvrtc.h"

enum {
    MESSAGE_SIZE = 512,
    LOG_SIZE = 8192, /* a message that begins with a compiler's log */
    /* A GPU has a hundred thousand threads; with far fewer trajectories than that it is slower than a processor, and
     * its driver alone takes a fifth of a second to start. */
    ENOUGH_TRAJECTORIES = 50000,
};

/* "cuda" or "cuda:…": what is behind the colon, NULL for nothing. */
static bool
names_gpus(const char *device, const char **ret_numbers)
{
    *ret_numbers = NULL;
    if (strncmp(device, "cuda", 4) != 0 || (device[4] && device[4] != ':'))
        return false;
    if (device[4])
        *ret_numbers = device + 5;
    return true;
}

bool
rxn__check_device(Engine *engine, EnsembleOptions *options)
{
    const char *numbers, *device = options->device;
    options->device_wish = device;
    if (names_gpus(device, &numbers)) {
        bool digits = !numbers || strcmp(numbers, "all") == 0 ||
                      (numbers[0] && numbers[strspn(numbers, "0123456789,")] == '\0');
        if (!digits) {
            rxn__engine_error(
                engine,
                "--device cuda: takes numbers of GPUs, as in 'cuda:0,1', or 'all', not '%s'",
                rxn__shown(&engine->session.arena, numbers, strlen(numbers)));
            return false;
        }
        options->device = "cuda";
        return true;
    }
    if (device && (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0 ||
                   strcmp(device, "interpreter") == 0))
        return true;
    rxn__engine_error(engine, "there is no device '%s'",
                      rxn__shown(&engine->session.arena, device, strlen(device)));
    rxn__engine_note(engine, "devices: auto, cpu, cuda, cuda:0,1");
    return false;
}

/* Where compiled kernels are kept if the user says nothing: NVRTC takes half a second for each. */
static const char *
cache_of_user(Arena *arena)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    Text text;
    rxn__text_init(&text, arena);
    if (base && base[0] == '/')
        rxn__text_printf(&text, "%s/rxn", base);
    else if (home && home[0] == '/') {
        rxn__text_printf(&text, "%s/.cache", home);
        mkdir(text.data,
              0700); /* where it is there already, or cannot be made, that is no matter */
        rxn__text_printf(&text, "/rxn");
    } else
        return NULL;
    return text.data;
}

/* Whether this build can compile for the processor. */
static bool
has_host_target(const Engine *engine)
{
    return rxn__session_host(&engine->session) != NULL;
}

/* What the driver alone does not give: code for these GPUs, in this program, or from NVRTC. */
static RxnOutcome
find_code(const Engine *engine, char *message, size_t size)
{
    const RxnProgram *built = engine->built;
    u32 held = 0, count = rxn__cuda_device_count(engine->cuda);
    for (u32 k = 0; built && k < count; k++)
        held += rxn__program_has_gpu(built, rxn__cuda_device(engine->cuda, k)->architecture);
    if (built && held == count)
        return RXN_DONE;
    RxnNvrtc *nvrtc = NULL;
    RxnOutcome outcome = rxn__nvrtc_open(&nvrtc, message, size);
    rxn__nvrtc_close(nvrtc);
    return outcome;
}

static RxnStatus
open_device(Engine *engine, EnsembleOptions *options)
{
    char message[MESSAGE_SIZE] = "";
    const char *numbers = NULL;
    bool is_wanted = names_gpus(options->device_wish, &numbers);
    bool is_open = strcmp(options->device_wish, "auto") == 0;
    if (!is_wanted && !is_open)
        return RXN_OK;
    bool few = options->trajectories < ENOUGH_TRAJECTORIES && has_host_target(engine);
    if (is_open && few) {
        options->device = "cpu";
        if (options->chose_device)
            rxn__engine_note(
                engine,
                "--device auto: the processor, for %llu trajectories are too few to fill a GPU",
                (unsigned long long)options->trajectories);
        return RXN_OK;
    }
    RxnOutcome outcome = rxn__cuda_open(numbers, &engine->cuda, message, sizeof message);
    if (outcome == RXN_DONE && is_open) {
        outcome = find_code(engine, message, sizeof message);
        if (outcome != RXN_DONE) {
            rxn__cuda_close(engine->cuda);
            engine->cuda = NULL;
        }
    }
    if (outcome == RXN_DONE) {
        const char *cache = options->cache ? options->cache : cache_of_user(&engine->session.arena);
        engine->cuda_cache = cache && strcmp(cache, "none") != 0 ? cache : NULL;
        options->device = "cuda";
        return RXN_OK;
    }
    if (is_open) {
        options->device = "cpu";
        if (options->chose_device)
            rxn__engine_note(
                engine, "--device auto: the processor, for there is no GPU to be had: %s", message);
        return RXN_OK;
    }
    rxn__engine_error(engine, "%s", message);
    if (has_host_target(engine))
        rxn__engine_note(engine, "--device cpu runs the model on the processor");
    return RXN_ERROR_INPUT;
}

RxnStatus
rxn__device_open(Engine *engine, EnsembleOptions *options)
{
    RxnStatus status = open_device(engine, options);
    if (options->cache && strcmp(options->cache, "none") == 0)
        options->cache = NULL; /* it is no folder */
    return status;
}

static void
unload(void *program)
{
    rxn__cuda_unload(program);
}

/* Where a program has no code for a kernel, and there is no NVRTC to make it: how to build one that has it. */
static void
note_program(Engine *engine, const RxnCudaKernel *kernel)
{
    const RxnProgram *built = engine->built;
    char message[MESSAGE_SIZE];
    RxnNvrtc *nvrtc;
    if (!built || kernel->binary_count > 0)
        return;
    if (rxn__nvrtc_open(&nvrtc, message, sizeof message) == RXN_DONE) {
        rxn__nvrtc_close(nvrtc);
        return;
    }
    u32 architecture = rxn__cuda_device(engine->cuda, 0)->architecture;
    if (built->cuda_kernel_count > 0)
        rxn__engine_note(engine,
                         "the program holds code for GPUs, but not for this: 'rxn build MODEL -o "
                         "FILE --cuda sm_%u' with the --of, --at, --wrt, --estimator, --method of "
                         "this call puts it in",
                         architecture);
    else
        rxn__engine_note(engine,
                         "a program needs no NVRTC if it is built with 'rxn build MODEL -o FILE "
                         "--cuda sm_%u'",
                         architecture);
}

RxnStatus
rxn__load_on_gpus(Engine *engine, Pipeline *pipeline, RxnCudaProgram **ret_program)
{
    char *message = NEW_ARRAY(&pipeline->arena, char, LOG_SIZE);
    RxnOutcome outcome = rxn__cuda_load(engine->cuda, pipeline->compiled.cuda, engine->cuda_cache,
                                        ret_program, message, LOG_SIZE);
    if (outcome == RXN_BROKEN) {
        engine->internal_error = message;
        return RXN_ERROR_INTERNAL;
    }
    if (outcome != RXN_DONE) {
        rxn__engine_error(engine, "%s", message);
        if (outcome == RXN_REFUSED)
            note_program(engine, pipeline->compiled.cuda);
        return RXN_ERROR_INPUT;
    }
    rxn__arena_on_release(&pipeline->arena, unload, *ret_program);
    const RxnCudaProgramInfo *info = rxn__cuda_program_info(*ret_program);
    pipeline->compiled.from_cache = info->from_cache;
    if (info->note[0])
        rxn__engine_note(engine, "%s", info->note);
    return RXN_OK;
}

u64
rxn__gpu_memory(const Engine *engine, u64 *ret_workers)
{
    enum { WORKERS_OF_ONE = 1024 }; /* of a multiprocessor: half of the threads that it can hold */
    u64 memory = UINT64_MAX;
    *ret_workers = 0;
    for (u32 k = 0; k < rxn__cuda_device_count(engine->cuda); k++) {
        const RxnCudaDevice *device = rxn__cuda_device(engine->cuda, k);
        u64 workers = (u64)device->multiprocessors * WORKERS_OF_ONE;
        memory = device->memory < memory ? device->memory : memory;
        *ret_workers = workers > *ret_workers ? workers : *ret_workers;
    }
    return memory;
}
