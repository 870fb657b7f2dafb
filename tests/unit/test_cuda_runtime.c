/* test_cuda_runtime.c: the device "cuda" without a GPU: with a driver and an NVRTC that are fakes (fake_cuda_driver.c),
 * whose kernel is the same C function that the pool of threads runs here. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache_fixture.h"
#include "fake_cuda_kernel.h"
#include "runtime/cuda.h"
#include "runtime/nvrtc.h"

static const double scale[4] = {0.1, 0.7, 1.3, 0.01};

/* ---- the kernel, on the host and on the fake --------------------------------------------------- */

static volatile uint64_t fault_at[2]; /* of the kernel on the host; UINT64_MAX: none */

static void
run_on_host(const RxnLaunch *launch)
{
    for (uint64_t row = 0; row < launch->count; row++) {
        if (*launch->cancel)
            return;
        uint64_t trajectory = launch->first + row;
        if (trajectory == fault_at[0] || trajectory == fault_at[1]) {
            if (trajectory < launch->fault->trajectory) {
                launch->fault->trajectory = trajectory;
                launch->fault->code = FAKE_FAULT_CODE;
                launch->fault->detail = FAKE_FAULT_DETAIL;
                fake_witness(trajectory, launch->fault->witness);
            }
            continue;
        }
        double *sample = launch->buffers[FAKE_SAMPLE];
        uint64_t *events = launch->buffers[FAKE_EVENTS];
        int32_t *note = launch->buffers[FAKE_NOTE];
        fake_trajectory(trajectory, fake_uniform(launch->buffers[FAKE_SCALE]),
                        *(uint64_t *)launch->buffers[FAKE_CELLS],
                        sample + (int64_t)row * launch->strides[FAKE_SAMPLE],
                        events + (int64_t)row * launch->strides[FAKE_EVENTS],
                        note + (int64_t)row * launch->strides[FAKE_NOTE]);
    }
}

typedef struct Setup {
    uint64_t trajectories;
    uint32_t samples, columns;
    bool statistics, rows;
    uint64_t workspace; /* bytes of a trajectory */
    RxnCudaShape shape;
    uint32_t threads; /* of a block */
    bool constants;
    double reject_at; /* rows ends the run there; 0: never */
    bool cancels;     /* progress ends the run */
} Setup;

static const Setup usual = {.trajectories = 5000,
                            .samples = 3,
                            .columns = 2,
                            .statistics = true,
                            .rows = true,
                            .threads = 64};

typedef struct Run {
    RxnOutcome outcome;
    RxnEnsembleResult result;
    uint64_t hash, rows; /* of all rows that came, in order */
    uint64_t progress;
    volatile int cancel;
    const Setup *setup;
    RxnCudaProgramInfo info;
} Run;

static uint64_t
hash_words(uint64_t hash, const void *data, size_t words)
{
    for (size_t k = 0; k < words; k++) {
        uint64_t word;
        memcpy(&word, (const char *)data + 8 * k, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 31;
    }
    return hash;
}

static bool
take_rows(void *context, uint64_t first, uint64_t count, const double *samples,
          const uint64_t *events)
{
    Run *run = context;
    assert_int_equal(first, run->rows); /* in order, and none is missing */
    run->hash = hash_words(run->hash, samples, count * run->setup->samples * run->setup->columns);
    run->hash = hash_words(run->hash, events, count);
    run->rows += count;
    return run->setup->reject_at == 0 || (double)run->rows < run->setup->reject_at;
}

static void
take_progress(void *context, uint64_t done, uint64_t total)
{
    Run *run = context;
    assert_true(done >= run->progress && done <= total);
    run->progress = done;
    if (run->setup->cancels)
        run->cancel = 1;
}

static void
run_kernel(const Setup *setup, RxnKernel *kernel, Run *run)
{
    uint64_t cells = (uint64_t)setup->samples * setup->columns;
    const RxnBuffer buffers[FAKE_BUFFERS] = {
        {.name = "cells", .element_bytes = 8},
        {.name = "scale", .element_bytes = 8, .rank = 1, .extent = {4}},
        {.name = "sample",
         .element_bytes = 8,
         .rank = 2,
         .extent = {0, setup->columns},
         .per_trajectory = true},
        {.name = "events", .element_bytes = 8, .per_trajectory = true},
        {.name = "note", .element_bytes = 4, .rank = 1, .extent = {3}, .per_trajectory = true},
    };
    kernel->buffers = buffers;
    kernel->buffer_count = FAKE_BUFFERS;
    kernel->witness_count = FAKE_WITNESS;
    const RxnBinding bindings[] = {{"scale", scale, 0}, {"cells", &cells, 0}};
    run->setup = setup;
    RxnEnsemble ensemble = {.kernel = kernel,
                            .bindings = bindings,
                            .binding_count = 2,
                            .trajectories = setup->trajectories,
                            .sample_count = setup->samples,
                            .columns = setup->columns,
                            .threads = 2,
                            .statistics = setup->statistics,
                            .rows = setup->rows ? take_rows : NULL,
                            .rows_context = run,
                            .cancel = &run->cancel,
                            .progress = take_progress,
                            .progress_context = run};
    run->outcome = rxn__ensemble_run(&ensemble, &run->result);
}

static void
host_run(const Setup *setup, Run *run)
{
    *run = (Run){.hash = 1};
    RxnKernel kernel = {.run = run_on_host};
    run_kernel(setup, &kernel, run);
}

static RxnCudaKernel
cuda_kernel(const Setup *setup)
{
    static const char source[] = "__global__ void rxn_kernel(RxnCudaLaunch launch);\n";
    return (RxnCudaKernel){.name = "test",
                           .source = source,
                           .source_length = sizeof source - 1,
                           .shape = setup->shape,
                           .block_threads = setup->threads,
                           .uniform_threads = 32,
                           .shared_bytes = 60000,
                           .uniform_bytes = 24,
                           .constant_bytes = setup->constants ? 8 : 0,
                           .workspace_bytes = setup->workspace,
                           .buffer_count = FAKE_BUFFERS,
                           .witness_count = FAKE_WITNESS};
}

/* A number that the fake counts. */
static uint64_t
fake_figure(const char *name)
{
    void *library = dlopen(FAKE_CUDA_DRIVER, RTLD_NOW);
    assert_non_null(library);
    void *symbol = dlsym(library, name);
    assert_non_null(symbol);
    uint64_t figure;
    if (strcmp(name, "fake_cuda_most_bytes") == 0) {
        size_t (*function)(void);
        memcpy(&function, &symbol, sizeof function);
        figure = function();
    } else {
        int (*function)(void);
        memcpy(&function, &symbol, sizeof function);
        figure = (uint64_t)function();
    }
    dlclose(library);
    return figure;
}

/* The settings of the fake, and which of its GPUs. */
static void
cuda_run(const Setup *setup, const char *settings, const char *devices, Run *run)
{
    setenv("RXN_FAKE_CUDA", settings, 1);
    *run = (Run){.hash = 1};
    char error[512] = "";
    RxnCuda *cuda;
    if (rxn__cuda_open(devices, &cuda, error, sizeof error) != RXN_DONE)
        fail_msg("%s", error);
    RxnCudaKernel text = cuda_kernel(setup);
    RxnCudaProgram *program;
    if (rxn__cuda_load(cuda, &text, NULL, &program, error, sizeof error) != RXN_DONE)
        fail_msg("%s", error);
    run->info = *rxn__cuda_program_info(program);
    RxnKernel kernel = {.cuda = program};
    run_kernel(setup, &kernel, run);
    rxn__cuda_unload(program);
    rxn__cuda_close(cuda);
    assert_int_equal(fake_figure("fake_cuda_open_objects"), 0);
}

static void
run_release(Run *run)
{
    rxn__ensemble_release(&run->result);
}

/* To the bit. */
static void
assert_same(const Run *a, const Run *b)
{
    assert_int_equal(a->outcome, b->outcome);
    assert_int_equal(a->result.trajectories, b->result.trajectories);
    assert_int_equal(a->result.events, b->result.events);
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->hash, b->hash);
    if (a->setup->statistics) {
        size_t cells = (size_t)a->setup->samples * a->setup->columns;
        assert_memory_equal(a->result.mean, b->result.mean, cells * sizeof(double));
        assert_memory_equal(a->result.m2, b->result.m2, cells * sizeof(double));
    }
    if (a->outcome != RXN_FAULTED)
        return;
    assert_int_equal(a->result.fault.trajectory, b->result.fault.trajectory);
    assert_int_equal(a->result.fault.code, b->result.fault.code);
    assert_int_equal(a->result.fault.detail, b->result.fault.detail);
    assert_memory_equal(a->result.fault.witness, b->result.fault.witness,
                        FAKE_WITNESS * sizeof(double));
}

/* The same job on the host and on the fake. */
static void
check(const Setup *setup, const char *settings, const char *devices)
{
    Run host, cuda;
    host_run(setup, &host);
    cuda_run(setup, settings, devices, &cuda);
    if (cuda.outcome != host.outcome)
        fail_msg("outcome %d, not %d: %s (%s)", (int)cuda.outcome, (int)host.outcome,
                 cuda.result.error, settings);
    assert_same(&host, &cuda);
    run_release(&host);
    run_release(&cuda);
}

/* ---- results ----------------------------------------------------------------------------------- */

static void
test_same_as_host(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1, 2, 63, 64, 65, 129, 1000, 5000, 150001};
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        Setup setup = usual;
        setup.trajectories = counts[k];
        check(&setup, "", NULL);
        check(&setup, "gpus=2", "0,1");
        setup.statistics = false;
        check(&setup, "gpus=3", "2,0");
        setup.rows = false;
        check(&setup, "", "0");
        setup.statistics = true;
        setup.constants = true;
        check(&setup, "constants=1 gpus=4", "all");
    }
}

static void
test_shapes(void **state)
{
    (void)state;
    for (int shape = RXN_CUDA_THREAD; shape <= RXN_CUDA_BLOCK; shape++) {
        Setup setup = usual;
        setup.shape = (RxnCudaShape)shape;
        setup.threads = 128;
        check(&setup, "", NULL);
        Run run;
        cuda_run(&setup, "", NULL, &run);
        /* Three multiprocessors with two blocks each. */
        assert_int_equal(run.info.workers, shape == RXN_CUDA_THREAD ? 6 * 128
                                           : shape == RXN_CUDA_WARP ? 6 * 4
                                                                    : 6);
        assert_int_equal(run.info.registers, 40);
        assert_int_equal(run.info.local_bytes, 16);
        assert_int_equal(run.info.shared_bytes, 61024);
        assert_int_equal(run.info.blocks, 2);
        run_release(&run);
    }
}

static void
test_unequal_gpus(void **state)
{
    (void)state;
    Setup setup = usual;
    setup.trajectories = 30000;
    check(&setup, "gpus=2 slow1=100 memory=600000 arch1=80", "0,1");
    check(&setup, "gpus=2 slow1=100 memory=600000 arch1=80", "1,0");
}

/* Rows of a MiB, and many trajectories, in little memory. */
static void
test_bounded_memory(void **state)
{
    (void)state;
    Setup wide = usual;
    wide.samples = 1 << 16;
    wide.trajectories = 130;
    check(&wide, "memory=300000000", NULL);
    assert_true(fake_figure("fake_cuda_most_bytes") <= 300000000);
    wide.rows = false;
    check(&wide, "memory=300000000 gpus=2", "0,1");

    Setup many = usual;
    many.trajectories = 2000000;
    many.samples = 1;
    many.rows = false;
    check(&many, "memory=20000000", NULL);
    assert_true(fake_figure("fake_cuda_most_bytes") <= 20000000);
    assert_true(fake_figure("fake_cuda_launches") >= 8);
}

static void
test_workspace(void **state)
{
    (void)state;
    Setup setup = usual;
    setup.workspace = 1000;
    check(&setup, "", NULL);
    check(&setup, "gpus=2", "0,1");
    /* So large that all slots share it, with all blocks and with fewer. */
    setup.workspace = 100000;
    setup.trajectories = 60000;
    check(&setup, "memory=100000000", NULL);
    check(&setup, "memory=30000000 gpus=2", "0,1");
    assert_true(fake_figure("fake_cuda_most_bytes") <= 30000000);
    Run run;
    cuda_run(&setup, "memory=2000000", NULL, &run);
    assert_int_equal(run.outcome, RXN_NO_MEMORY);
    assert_non_null(strstr(run.result.error, "the smallest piece of 'test' (64 trajectories at "
                                             "once) needs 6250 KiB of memory"));
    print_message("# %s\n", run.result.error);
    run_release(&run);
}

/* ---- what goes wrong --------------------------------------------------------------------------- */

static void
test_lowest_fault(void **state)
{
    (void)state;
    static const struct {
        uint64_t faults[2];
        const char *settings;
    } cases[] = {
        {{3100, UINT64_MAX}, "fault=3100"},
        {{0, UINT64_MAX}, "fault=0"},
        {{4999, UINT64_MAX}, "fault=4999"},
        {{3100, 3090}, "fault=3100 fault1=3090"},
        {{70, 3100}, "gpus=2 fault=70 fault1=3100 slow=10 memory=100000"},
        {{1500, 700}, "gpus=2 fault=1500 fault1=700 slow=100 slow1=1 memory=120000"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        for (int statistics = 0; statistics < 2; statistics++) {
            fault_at[0] = cases[k].faults[0];
            fault_at[1] = cases[k].faults[1];
            Setup setup = usual;
            setup.statistics = statistics;
            check(&setup, cases[k].settings, strstr(cases[k].settings, "gpus") ? "0,1" : NULL);
        }
    fault_at[0] = fault_at[1] = UINT64_MAX;
}

static void
test_cancel(void **state)
{
    (void)state;
    Setup setup = usual;
    setup.cancels = true;
    setup.trajectories = 1000000; /* of a millisecond each: the test is over long before */
    Run run;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    cuda_run(&setup, "gpus=2 slow=1000", "0,1", &run);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_int_equal(run.outcome, RXN_STOPPED);
    assert_int_equal(run.result.trajectories, run.rows);
    assert_true(end.tv_sec - start.tv_sec < 20);
    run_release(&run);
}

static void
test_progress(void **state)
{
    (void)state;
    Setup setup = usual;
    setup.trajectories = 3000;
    Run run;
    cuda_run(&setup, "slow=200", NULL, &run);
    assert_int_equal(run.outcome, RXN_DONE);
    assert_true(run.progress > 0); /* of a launch that takes longer than the time between reports */
    run_release(&run);
}

static void
test_reject(void **state)
{
    (void)state;
    Setup setup = usual;
    setup.reject_at = 2000;
    Run run;
    cuda_run(&setup, "gpus=2 memory=400000", "0,1", &run);
    assert_int_equal(run.outcome, RXN_REJECTED);
    assert_true(run.rows >= 2000 && run.rows < 5000);
    run_release(&run);
}

/* Memory that is shorter than it looked, and each single allocation that fails. */
static void
test_out_of_memory(void **state)
{
    (void)state;
    Setup setup = usual;
    setup.trajectories = 100000;
    check(&setup, "memory=50000000 limit=1000000", NULL);
    check(&setup, "gpus=2 memory=50000000 limit=300000", "0,1");
    setup.workspace = 100000;
    check(&setup, "memory=100000000 limit=30000000", NULL);
    setup.workspace = 1000;
    int refused = 0;
    for (int host = 0; host < 2; host++)
        for (int k = 1; k <= 6; k++) {
            char settings[80];
            snprintf(settings, sizeof settings, "%s=%d", host ? "fail_host" : "fail_alloc", k);
            Run run;
            cuda_run(&setup, settings, NULL, &run);
            if (run.outcome == RXN_DONE) {
                run_release(&run);
                check(&setup, settings, NULL);
                continue;
            }
            assert_int_equal(run.outcome, RXN_NO_MEMORY);
            assert_non_null(strstr(run.result.error, "GPU 0 (Fake A) is out of memory"));
            run_release(&run);
            refused++;
        }
    assert_int_equal(refused, 2); /* the model's data, and what rxn_uniform writes */
    Run run;
    cuda_run(&setup, "gpus=2 fail_from=3", "0,1", &run);
    assert_int_equal(run.outcome, RXN_NO_MEMORY);
    run_release(&run);
    cuda_run(&setup, "memory=50000000 limit=100000", NULL, &run);
    assert_int_equal(run.outcome, RXN_NO_MEMORY);
    print_message("# %s\n", run.result.error);
    assert_non_null(strstr(run.result.error, "the smallest piece of the ensemble ("));
    run_release(&run);
}

static void
test_failures(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        RxnOutcome outcome;
        const char *words;
    } cases[] = {
        {"crash=1", RXN_BROKEN, "the kernel crashed on GPU 0 (Fake A): CUDA_ERROR_ILLEGAL_ADDRESS"},
        {"crash=3 memory=300000", RXN_BROKEN, "please report it"},
        {"gpus=2 crash=2 memory=300000", RXN_BROKEN, "please report it"},
        {"crash=1 code=702", RXN_REFUSED, "take a GPU without a display"},
        {"crash=1 code=999", RXN_REFUSED, "an error that the driver has no name for, 999"},
        {"launch=1", RXN_REFUSED, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
        {"gpus=2 launch=2 slow=100 memory=300000", RXN_REFUSED, "while the kernel was launched"},
        {"launch=2 code=2 memory=300000", RXN_NO_MEMORY, "is out of memory while"},
        {"lazy=1", RXN_BROKEN, "before all its trajectories had run"},
        {"lazy=1 fault=3", RXN_FAULTED, ""},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        Run run;
        cuda_run(&usual, cases[k].settings, strstr(cases[k].settings, "gpus") ? "0,1" : NULL, &run);
        print_message("# %s: %s\n", cases[k].settings, run.result.error);
        assert_int_equal(run.outcome, cases[k].outcome);
        assert_non_null(strstr(run.result.error, cases[k].words));
        run_release(&run);
    }
}

/* ---- opening ----------------------------------------------------------------------------------- */

static void
test_refused_drivers(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *devices, *words;
    } cases[] = {
        {"version=11080", NULL, "too old: it is made for CUDA 11.8, and 12.0 is needed"},
        {"init=100", NULL, "sees no GPU"},
        {"init=34", NULL, "the toolkit's stub"},
        {"init=803", NULL, "restart the machine"},
        {"init=999", NULL, "does not start"},
        {"gpus=0", NULL, "sees no GPU"},
        {"count=100", NULL, "sees no GPU"},
        {"gpus=2", "2", "there is no GPU 2, only 0 (Fake A), 1 (Fake B)"},
        {"gpus=2", "0,99999999999999999999", "there is no GPU 99999999999999999999, only"},
        {"gpus=2", "1,1", "GPU 1 is named twice in '1,1'"},
        {"gpus=2", "0;1", "'0;1' is no list of GPUs"},
        {"gpus=2", "0,", "'0,' is no list of GPUs"},
        {"gpus=2", "", "'' is no list of GPUs"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        char error[512] = "";
        RxnCuda *cuda;
        setenv("RXN_FAKE_CUDA", cases[k].settings, 1);
        RxnOutcome outcome = rxn__cuda_open(cases[k].devices, &cuda, error, sizeof error);
        print_message("# %s: %s\n", cases[k].settings, error);
        assert_int_equal(outcome, RXN_REFUSED);
        assert_null(cuda);
        assert_non_null(strstr(error, cases[k].words));
        assert_int_equal(fake_figure("fake_cuda_open_objects"), 0);
    }
}

static void
test_refused_files(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *value, *words;
    } cases[] = {
        {"RXN_CUDA_DRIVER", "/nowhere/libcuda.so.1", "RXN_CUDA_DRIVER does not name a driver"},
        {"RXN_CUDA_DRIVER", "libm.so.6", "'libm.so.6' is no NVIDIA driver of CUDA 12 or newer"},
        {"RXN_NVRTC", "/nowhere", "RXN_NVRTC is '/nowhere', which is not there"},
        {"RXN_NVRTC", "/proc", "there is no libnvrtc.so"},
        {"RXN_NVRTC", "/proc/self/exe", "NVRTC"},
        {"RXN_FAKE_CUDA", "nvrtc=11080", "NVRTC 11.8 ("},
        {"RXN_FAKE_CUDA", "newest=1", "its installation is broken"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        char error[512] = "", before[4096];
        RxnCuda *cuda = NULL;
        RxnNvrtc *nvrtc = NULL;
        const char *old = getenv(cases[k].variable);
        snprintf(before, sizeof before, "%s", old ? old : "");
        setenv(cases[k].variable, cases[k].value, 1);
        RxnOutcome outcome = RXN_REFUSED;
        if (strcmp(cases[k].variable, "RXN_CUDA_DRIVER") == 0) {
            outcome = rxn__cuda_open(NULL, &cuda, error, sizeof error);
        } else {
            Run run = {0};
            if (k >= 5) { /* the fake reads its settings when the driver is opened */
                assert_int_equal(rxn__cuda_open(NULL, &cuda, error, sizeof error), RXN_DONE);
                rxn__cuda_close(cuda);
                cuda = NULL;
            }
            (void)run;
            outcome = rxn__nvrtc_open(&nvrtc, error, sizeof error);
        }
        print_message("# %s=%s: %s\n", cases[k].variable, cases[k].value, error);
        assert_int_equal(outcome, RXN_REFUSED);
        assert_null(cuda);
        assert_null(nvrtc);
        assert_non_null(strstr(error, cases[k].words));
        setenv(cases[k].variable, before, 1);
    }
}

/* ---- loading ----------------------------------------------------------------------------------- */

typedef struct Loaded {
    RxnOutcome outcome;
    RxnCudaProgramInfo info;
    char error[512];
    uint64_t compilations;
} Loaded;

/* A message of several lines stays a comment of the test's output. */
static void
show(const char *settings, const char *error)
{
    print_message("# %s: ", settings);
    for (; *error; error++)
        print_message(*error == '\n' ? "\n#   " : "%c", *error);
    print_message("\n");
}

static Loaded
load(const char *settings, const RxnCudaKernel *kernel, const char *cache)
{
    Loaded loaded = {0};
    RxnCuda *cuda;
    setenv("RXN_FAKE_CUDA", settings, 1);
    if (rxn__cuda_open("all", &cuda, loaded.error, sizeof loaded.error) != RXN_DONE)
        fail_msg("%s", loaded.error);
    RxnCudaProgram *program;
    loaded.outcome =
        rxn__cuda_load(cuda, kernel, cache, &program, loaded.error, sizeof loaded.error);
    loaded.compilations = fake_figure("fake_cuda_compilations");
    if (loaded.outcome == RXN_DONE)
        loaded.info = *rxn__cuda_program_info(program);
    else
        show(settings, loaded.error);
    rxn__cuda_unload(program);
    rxn__cuda_close(cuda);
    assert_int_equal(fake_figure("fake_cuda_open_objects"), 0);
    return loaded;
}

static void
test_load_from_cache(void **state)
{
    (void)state;
    char directory[200], path[600];
    make_directory(directory, sizeof directory);
    RxnCudaKernel kernel = cuda_kernel(&usual);
    Loaded loaded = load("", &kernel, directory);
    assert_int_equal(loaded.outcome, RXN_DONE);
    assert_int_equal(loaded.compilations, 1);
    assert_false(loaded.info.from_cache);
    assert_true(loaded.info.seconds_compile > 0);
    loaded = load("gpus=2", &kernel, directory);
    assert_int_equal(loaded.compilations, 0);
    assert_true(loaded.info.from_cache);
    assert_true(loaded.info.seconds_compile == 0);
    /* Two GPUs of a kind take one compilation, of two kinds two. */
    assert_int_equal(load("gpus=3", &kernel, NULL).compilations, 1);
    assert_int_equal(load("gpus=3 arch1=80", &kernel, NULL).compilations, 2);
    /* All that the code depends on is in the key. */
    assert_int_equal(load("arch=80", &kernel, directory).compilations, 1);
    assert_int_equal(load("nvrtc=12060", &kernel, directory).compilations, 1);
    kernel.fast_math = 1;
    assert_int_equal(load("", &kernel, directory).compilations, 1);
    kernel.fast_math = 0;
    kernel.source_length--;
    assert_int_equal(load("", &kernel, directory).compilations, 1);
    kernel.source_length++;
    assert_int_equal(load("", &kernel, directory).compilations, 0);
    remove_directory(directory);
    /* A bad entry is compiled again, and so is one that the driver does not take. */
    make_directory(directory, sizeof directory);
    assert_int_equal(load("", &kernel, directory).compilations, 1);
    only_entry(directory, path, sizeof path);
    flip_byte(path, -1);
    assert_int_equal(load("", &kernel, directory).compilations, 1);
    assert_int_equal(load("", &kernel, directory).compilations, 0);
    loaded = load("refuse=1", &kernel, directory);
    assert_int_equal(loaded.outcome, RXN_DONE);
    assert_int_equal(loaded.compilations, 1);
    assert_false(loaded.info.from_cache);
    only_entry(directory, path, sizeof path);
    /* PTX is kept too. */
    assert_int_equal(load("newest=90 arch=100", &kernel, directory).compilations, 1);
    loaded = load("newest=90 arch=100", &kernel, directory);
    assert_int_equal(loaded.compilations, 0);
    assert_true(loaded.info.from_cache && loaded.info.from_ptx);
    remove_directory(directory);
}

static void
test_ptx(void **state)
{
    (void)state;
    RxnCudaKernel kernel = cuda_kernel(&usual);
    Loaded loaded = load("newest=90 arch=100", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_DONE);
    assert_true(loaded.info.from_ptx);
    print_message("# %s\n", loaded.info.note);
    assert_non_null(strstr(loaded.info.note, "NVRTC 12.4 is too old for GPU 0 (Fake A, sm_100)"));
    assert_string_equal(load("", &kernel, NULL).info.note, "");
    loaded = load("newest=90 arch=100 refuse=1", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_BROKEN);
    assert_ptr_equal(strstr(loaded.error, "ptxas fatal: no such thing\nGPU 0"), loaded.error);
    loaded = load("oldest=80 arch=75", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_REFUSED);
    assert_non_null(strstr(loaded.error, "no longer makes code for a GPU as old as this one"));
    loaded = load("nvrtc=13000 version=12020 refuse=1", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_REFUSED);
    assert_non_null(strstr(loaded.error, "NVRTC 13.0 is newer than the driver, which is made for "
                                         "CUDA 12.2"));
}

static void
test_broken_source(void **state)
{
    (void)state;
    RxnCudaKernel kernel = cuda_kernel(&usual);
    kernel.source = "syntax error";
    kernel.source_length = strlen(kernel.source);
    Loaded loaded = load("", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_BROKEN);
    assert_ptr_equal(strstr(loaded.error, "model.rxn(7): error: not good at all\nNVRTC 12.4 does "
                                          "not compile 'test' for sm_90: NVRTC_ERROR_COMPILATION"),
                     loaded.error);
}

static void
test_binaries(void **state)
{
    (void)state;
    static const char sm80[] = "FAKE sm_80", sm90[] = "FAKE sm_90", ptx75[] = "FAKE compute_75";
    const RxnCudaBinary binaries[] = {
        {75, ptx75, sizeof ptx75, 1}, {80, sm80, sizeof sm80, 0}, {90, sm90, sizeof sm90, 0}};
    RxnCudaKernel kernel = cuda_kernel(&usual);
    kernel.binaries = binaries;
    kernel.binary_count = 3;
    kernel.binary_nvrtc = 12090;
    /* Its own code is taken, that of its major number, PTX; before it would be compiled. */
    Loaded loaded = load("", &kernel, NULL);
    assert_int_equal(loaded.compilations, 0);
    assert_false(loaded.info.from_ptx);
    assert_string_equal(loaded.info.note, "");
    loaded = load("arch=86", &kernel, NULL);
    assert_int_equal(loaded.compilations, 0);
    assert_false(loaded.info.from_ptx);
    loaded = load("arch=100", &kernel, NULL);
    assert_int_equal(loaded.compilations, 0);
    assert_true(loaded.info.from_ptx);
    assert_string_equal(loaded.info.note, "there is no machine code for GPU 0 (Fake A, sm_100): "
                                          "the driver compiles PTX for sm_75");
    /* What the driver does not take is followed by the next best. */
    loaded = load("arch=86 refuse=1", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_DONE);
    assert_int_equal(loaded.compilations, 0);
    assert_true(loaded.info.from_ptx);
    loaded = load("arch=86 refuse=2", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_DONE);
    assert_int_equal(loaded.compilations, 1);
    assert_false(loaded.info.from_ptx);
    assert_non_null(strstr(loaded.info.note, "so NVRTC compiles it"));
    kernel.binaries = binaries + 1;
    kernel.binary_count = 2;
    loaded = load("arch=75", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_DONE);
    assert_int_equal(loaded.compilations, 1);
    assert_string_equal(loaded.info.note,
                        "this program holds no code for GPU 0 (Fake A, sm_75), so "
                        "NVRTC compiles it; 'rxn build --cuda sm_75' puts it in");
    /* What is made for a newer GPU is not for this one, whatever its major number. */
    const RxnCudaBinary newer[] = {{80, sm80, sizeof sm80, 0}, {90, ptx75, sizeof ptx75, 1}};
    kernel.binaries = newer;
    loaded = load("arch=75", &kernel, NULL);
    assert_int_equal(loaded.compilations, 1);
    const RxnCudaBinary minor[] = {{86, sm80, sizeof sm80, 0}};
    kernel.binaries = minor;
    kernel.binary_count = 1;
    loaded = load("arch=80", &kernel, NULL);
    assert_int_equal(loaded.compilations, 1);
    kernel.binaries = binaries;
    kernel.binary_count = 3;
    /* Without a source or NVRTC. */
    char before[4096];
    snprintf(before, sizeof before, "%s", getenv("RXN_NVRTC"));
    for (int without = 0; without < 2; without++) {
        if (without)
            setenv("RXN_NVRTC", "/nowhere", 1);
        else
            kernel.source = NULL;
        assert_true(load("arch=100", &kernel, NULL).info.from_ptx);
        loaded = load("arch=70", &kernel, NULL);
        assert_int_equal(loaded.outcome, RXN_REFUSED);
        static const char none[] =
            "this program holds no code that GPU 0 (Fake A, sm_70) can run, only machine code for "
            "sm_80, sm_90 and PTX for sm_75 and newer: build it with 'rxn build --cuda sm_70', or "
            "run it on the processor";
        assert_ptr_equal(strstr(loaded.error, none), loaded.error);
        assert_string_equal(
            loaded.error + sizeof none - 1,
            without ? "; nor can it be compiled here: RXN_NVRTC is '/nowhere', which is not there: "
                      "set it to libnvrtc.so or its folder, or unset it"
                    : "");
        /* The refusal that is told is that of the last. */
        loaded = load("version=12020 refuse=2", &kernel, NULL);
        assert_int_equal(loaded.outcome, RXN_REFUSED);
        assert_non_null(strstr(loaded.error, "GPU 0 (Fake A, sm_90) does not take the kernel's PTX "
                                             "for sm_75"));
        assert_non_null(strstr(loaded.error,
                               "it was built with NVRTC 12.9, which is newer than the "
                               "driver (made for CUDA 12.2)"));
        kernel.source = cuda_kernel(&usual).source;
    }
    setenv("RXN_NVRTC", before, 1);
}

static void
test_too_large_kernels(void **state)
{
    (void)state;
    RxnCudaKernel kernel = cuda_kernel(&usual);
    Loaded loaded = load("shared=50000", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_REFUSED);
    assert_non_null(strstr(loaded.error,
                           "needs 59 KiB of shared memory a block, and GPU 0 (Fake A) "
                           "has 48 KiB"));
    loaded = load("threads=32 registers=255", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_REFUSED);
    assert_non_null(strstr(loaded.error, "takes 255 registers a thread"));
    /* What is wrong with the GPU itself comes to light here, too. */
    loaded = load("open=46", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_REFUSED);
    assert_non_null(strstr(loaded.error, "GPU 0 (Fake A) is not available"));
    loaded = load("open=2 gpus=3", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_NO_MEMORY);
    assert_non_null(strstr(loaded.error, "GPU 0 (Fake A) is out of memory while it was opened"));
    loaded = load("occupancy=0", &kernel, NULL);
    assert_int_equal(loaded.outcome, RXN_REFUSED);
    assert_non_null(strstr(loaded.error, "no block of 'test' fits GPU 0"));
}

int
main(void)
{
    fault_at[0] = fault_at[1] = UINT64_MAX;
    setenv("RXN_CUDA_DRIVER", FAKE_CUDA_DRIVER, 1);
    setenv("RXN_NVRTC", FAKE_CUDA_DRIVER, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_drivers),
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_load_from_cache),
        cmocka_unit_test(test_ptx),
        cmocka_unit_test(test_broken_source),
        cmocka_unit_test(test_binaries),
        cmocka_unit_test(test_too_large_kernels),
        cmocka_unit_test(test_same_as_host),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_unequal_gpus),
        cmocka_unit_test(test_bounded_memory),
        cmocka_unit_test(test_workspace),
        cmocka_unit_test(test_lowest_fault),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_reject),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
