/* ensemble_fixture.h: for tests of kernels: from a model's text to its network, and from a kernel to the
 * rows that an ensemble writes, compiled or interpreted. */
#ifndef RXN_ENSEMBLE_FIXTURE_H
#define RXN_ENSEMBLE_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/pipeline.h"
#include "runtime/ensemble.h"

typedef struct Model {
    Session session;
    Pipeline pipeline;
    Network *network;
    double *params, *inputs; /* by flat number; inputs are 0 */
} Model;

/* The model's network after all passes, and the values of its parameters that it gives itself. */
static inline void
model_open(Model *model, const char *text)
{
    assert_int_equal(rxn__session_open(&model->session, 0), RXN_OK);
    u32 file = rxn__sources_add(&model->session.sources, "model.rxn", text, strlen(text));
    PipelineRequest request = {.file = file,
                               .goal = PIPELINE_NETWORK,
                               .method = "auto",
                               .device = "interpreter",
                               .precision = KIR_F64};
    RxnStatus status = rxn__pipeline_run(&model->session, &request, &model->pipeline);
    if (status != RXN_OK)
        fail_msg("the model is no good (%d): %s\n%s", (int)status,
                 model->pipeline.internal_error ? model->pipeline.internal_error : "", text);
    Network *network = model->network = model->pipeline.network;
    Arena *arena = &model->pipeline.arena;
    model->params = NEW_ARRAY(arena, double, network->param_count + 1);
    model->inputs = NEW_ARRAY(arena, double, network->input_count + 1);
    i64 *variables = NEW_ARRAY(arena, i64, network->variables.count + 1);
    ExprValues values = {.params = model->params, .inputs = model->inputs, .variables = variables};
    for (u32 i = 0; i < network->params.count; i++) {
        const Param *param = &network->params.items[i];
        for (u32 member = 0; member < rxn__shape_count(&param->shape); member++) {
            u32 rest = member;
            for (u32 k = param->shape.rank; k-- > 0;) {
                variables[param->variables[k]] = rest % param->shape.extent[k];
                rest /= param->shape.extent[k];
            }
            model->params[param->flat + member] =
                rxn__expr_evaluate(network, param->initial, &values);
        }
    }
}

static inline void
model_close(Model *model)
{
    rxn__pipeline_close(&model->pipeline);
    rxn__session_close(&model->session);
}

typedef struct Experiment {
    const double *times; /* sample times, and +inf behind */
    i32 time_count;
    u32 rows; /* of `sample` per trajectory */
    u32 columns;
    double end;
    u64 trajectories, seed;
    bool interpreted;
    u32 threads, lanes;
} Experiment;

typedef struct RowKeeper {
    double *rows;
    size_t length;
} RowKeeper;

static bool
keep_rows(void *context, uint64_t first, uint64_t count, const double *samples,
          const uint64_t *events)
{
    RowKeeper *keeper = context;
    (void)events;
    memcpy(keeper->rows + first * keeper->length, samples,
           count * keeper->length * sizeof *samples);
    return true;
}

static RxnOutcome
call_interpreter(void *context, const RxnLaunch *launch, char *error, size_t size)
{
    Session memory;
    const char *message = NULL;
    if (rxn__session_open(&memory, 0) != RXN_OK)
        return RXN_NO_MEMORY;
    RxnLaunch copy = *launch;
    RxnStatus status = rxn__kir_interpret(context, &copy, 0, &memory.arena, &message);
    if (status != RXN_OK)
        snprintf(error, size, "%s", message ? message : "no message");
    rxn__session_close(&memory);
    return status == RXN_OK ? RXN_DONE : RXN_BROKEN;
}

/* Optimizes the kernel where `optimize`; runs it. The rows of all trajectories, to be freed. */
static inline double *
experiment_run(const Experiment *experiment, Model *model, MethodKernel *kernel, bool optimize)
{
    Arena *arena = &model->pipeline.arena;
    const char *error = NULL;
    if (optimize) {
        error = rxn__kir_optimize(kernel->kernel, arena, NULL, NULL);
        if (error)
            fail_msg("%s", error);
    }
    const KirKernel *kir = kernel->kernel;
    RxnBuffer *buffers = NEW_ARRAY(arena, RxnBuffer, kir->buffers.count + 1);
    for (u32 k = 0; k < kir->buffers.count; k++) {
        const KirBuffer *buffer = &kir->buffers.items[k];
        buffers[k] = (RxnBuffer){.name = buffer->name->text,
                                 .element_bytes = rxn__kir_type_bytes[buffer->type],
                                 .rank = buffer->rank,
                                 .per_trajectory = buffer->scope == KIR_PER_TRAJECTORY};
        memcpy(buffers[k].extent, buffer->extent, sizeof buffers[k].extent);
    }
    RxnKernel run = {.buffers = buffers, .buffer_count = kir->buffers.count};
    for (u32 w = 0; w < kir->witness.count; w++) {
        u32 length = kir->locals.items[kir->witness.items[w]].length;
        run.witness_count += length ? length : 1;
    }
    CompiledKernel compiled = {0};
    if (experiment->interpreted) {
        run.call = call_interpreter;
        run.context = kernel->kernel;
    } else {
        TargetOptions options = {.lanes = experiment->lanes};
        RxnStatus status =
            rxn__target_find("llvm")->compile(kernel->kernel, &options, arena, &compiled, &error);
        if (status != RXN_OK)
            fail_msg("%s", error ? error : "it does not compile");
        run.run = compiled.run;
        run.workspace_bytes = compiled.workspace_bytes;
    }
    double step = 0;
    u64 step_limit = UINT64_C(1) << 47;
    RxnBinding *bindings = NEW_ARRAY(arena, RxnBinding, 8 + kernel->tables.count);
    const RxnBinding fixed[] = {
        {"seed", &experiment->seed, 0},
        {"parameter", model->params, 0},
        {"input", model->inputs, 0},
        {"sample_time", experiment->times, 0},
        {"sample_count", &experiment->time_count, 0},
        {"end_time", &experiment->end, 0},
        {"step_limit", &step_limit, 0},
        {"sample_step", &step, 0},
    };
    memcpy(bindings, fixed, sizeof fixed);
    for (u32 k = 0; k < kernel->tables.count; k++)
        bindings[8 + k] = (RxnBinding){kernel->tables.items[k].buffer, kernel->tables.items[k].data,
                                       kernel->tables.items[k].count};
    size_t length = (size_t)experiment->rows * experiment->columns;
    RowKeeper keeper = {calloc(experiment->trajectories * length, sizeof(double)), length};
    RxnEnsemble ensemble = {.kernel = &run,
                            .bindings = bindings,
                            .binding_count = 8 + kernel->tables.count,
                            .trajectories = experiment->trajectories,
                            .sample_count = experiment->rows,
                            .columns = experiment->columns,
                            .threads = experiment->threads,
                            .rows = keep_rows,
                            .rows_context = &keeper};
    RxnEnsembleResult result;
    RxnOutcome outcome = rxn__ensemble_run(&ensemble, &result);
    if (outcome != RXN_DONE)
        fail_msg("outcome %d, fault %u (%u) in trajectory %llu: %s", (int)outcome,
                 result.fault.code, result.fault.detail,
                 (unsigned long long)result.fault.trajectory, result.error);
    rxn__ensemble_release(&result);
    return keeper.rows;
}

typedef struct Moments {
    double mean, sd, se;
} Moments;

/* Of every stride-th number from `first` on, `count` of them. */
static inline Moments
moments_of(const double *numbers, size_t first, size_t stride, size_t count)
{
    double mean = 0, m2 = 0;
    for (size_t k = 0; k < count; k++) {
        double x = numbers[first + k * stride], delta = x - mean;
        mean += delta / (double)(k + 1);
        m2 += delta * (x - mean);
    }
    double sd = sqrt(m2 / (double)(count - 1));
    return (Moments){mean, sd, sd / sqrt((double)count)};
}

#endif
