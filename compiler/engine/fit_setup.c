/* fit_setup.c: the experiments of a fit as networks with values, and the parameters that are trained.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "compiler/engine/fit.h"
#include "runtime/report.h"

/* ---- tables ------------------------------------------------------------------------------------ */

static void
release_table(void *table)
{
    rxn__table_release(table);
}

/* A path of the model is relative to the model's folder; one of the command line to where the program was called. */
static const char *
resolve(const FitRun *fit, const char *from, const char *path, Arena *arena)
{
    const char *slash = strrchr(from, '/');
    bool own = fit->options.data && strcmp(path, fit->options.data) == 0;
    if (own || !slash || path[0] == '/')
        return path;
    Text text;
    struct stat ignored;
    rxn__text_init(&text, arena);
    rxn__text_append(&text, from, (size_t)(slash - from) + 1);
    rxn__text_append(&text, path, strlen(path));
    return stat(text.data, &ignored) != 0 && stat(path, &ignored) == 0 ? path : text.data;
}

static const RxnTable *
load_table(void *context, const char *from, const char *path, Arena *arena,
           const char **ret_resolved, const char **ret_reason)
{
    enum { MESSAGE = 512 };
    FitRun *fit = context;
    Arena *kept = &fit->engine->session.arena;
    *ret_resolved = resolve(fit, from, path, kept);
    rxn__engine_reads(fit->engine, *ret_resolved);
    RxnTable *table = NEW(kept, RxnTable);
    char *message = NEW_ARRAY(arena, char, MESSAGE);
    if (!rxn__table_read(*ret_resolved, table, message, MESSAGE)) {
        *ret_reason = message;
        return NULL;
    }
    rxn__arena_on_release(kept, release_table, table);
    return table;
}

/* ---- one experiment ---------------------------------------------------------------------------- */

static FitPart *
new_part(FitRun *fit, u32 number, bool measures)
{
    FitPart *part = NEW(&fit->engine->session.arena, FitPart);
    const FitOptions *o = &fit->options;
    *part = (FitPart){.fit = fit, .number = number, .epoch = UINT64_MAX};
    part->request = (FitRequest){.experiment = number,
                                 .measures = measures,
                                 .data = o->data,
                                 .tables = &fit->tables,
                                 .ret_fit = &part->spec};
    rxn__arena_init(&part->scratch, fit->engine->session.memory);
    Grad *grad = &part->grad;
    grad->engine = fit->engine;
    grad->file = fit->file;
    grad->fits = true;
    rxn__grad_defaults(&grad->options);
    grad->options.ensemble = o->ensemble;
    grad->options.tape_memory = o->tape_memory;
    grad->stages = (PipelineRequest){
        .file = fit->file,
        .loader = &fit->engine->loader,
        .device = o->ensemble.device,
        .precision = strcmp(o->ensemble.precision, "f32") == 0 ? KIR_F32 : KIR_F64,
        .target = {.lanes = (u32)o->ensemble.lanes, .cache = o->ensemble.cache},
        .fit = &part->request,
        .open_numbers = fit->decided != NULL,
        .compile = fit->compile,
        .compile_context = fit->compile_context,
    };
    return part;
}

/* To its network. */
static RxnStatus
elaborate(FitPart *part)
{
    Grad *grad = &part->grad;
    if (!rxn__grad_tape_memory(grad))
        return RXN_ERROR_USAGE;
    RxnStatus status = rxn__grad_network(grad);
    part->is_open = true;
    if (status != RXN_OK)
        return status;
    const FitExperiment *experiment = &part->spec.experiments[part->number];
    part->name = experiment->name         ? experiment->name->text
                 : experiment->validation ? "validation"
                                          : "";
    part->validation = experiment->validation;
    part->sampled = part->spec.samples.count > 0;
    part->has_loss = grad->pipeline.network->objective->outputs.count > part->spec.measures.count;
    rxn__grad_times(grad);
    return RXN_OK;
}

static bool
bind(FitPart *part)
{
    FitOptions *o = &part->fit->options;
    double seed = part->spec.numbers[FIT_SEED];
    if (o->ensemble.seed == FIT_NOT_GIVEN)
        o->ensemble.seed = isnan(seed) ? 1 : (u64)seed;
    part->grad.options.ensemble.seed = o->ensemble.seed;
    BindRequest request = {
        .given = o->ensemble.given,
        .seed = o->ensemble.seed,
        .settings = part->spec.settings.items,
        .setting_count = part->spec.settings.count,
        .samples = part->spec.samples.items,
        .sample_count = part->spec.samples.count,
    };
    return rxn__bind(part->fit->engine, &part->grad.pipeline, &request, &part->grad.values);
}

static void
close_part(FitPart *part)
{
    if (!part)
        return;
    rxn__grad_runner_close(&part->runner);
    rxn__sample_run_free(part->sample_run);
    rxn__samples_close(part->samples);
    rxn__arena_release(&part->scratch);
    if (part->is_open)
        rxn__pipeline_close(&part->grad.pipeline);
}

/* ---- all of them ------------------------------------------------------------------------------- */

/* Warnings of the model come once for each elaboration; they are the same. */
static void
drop_warnings(Engine *engine, u32 kept)
{
    Diagnostics *diagnostics = &engine->session.diagnostics;
    if (diagnostics->error_count == 0 && diagnostics->list.count > kept)
        diagnostics->list.count = kept;
}

static RxnStatus
make_part(FitRun *fit, u32 number, bool measures, FitPart **ret_part)
{
    Engine *engine = fit->engine;
    u32 kept = engine->session.diagnostics.list.count;
    FitPart *part = *ret_part = new_part(fit, number, measures);
    RxnStatus status = elaborate(part);
    if (number > 0 || measures)
        drop_warnings(engine, kept);
    if (status == RXN_OK && !bind(part))
        status = RXN_ERROR_INPUT;
    return status;
}

/* The same experiment with its measures as outputs; NULL where it has none. */
static RxnStatus
make_measures(FitRun *fit, u32 number, FitPart **ret_part)
{
    RxnStatus status = make_part(fit, number, true, ret_part);
    if (status != RXN_OK || (*ret_part)->spec.measures.count > 0)
        return status;
    close_part(*ret_part);
    *ret_part = NULL;
    return RXN_OK;
}

/* Those that are trained on come first. */
static RxnStatus
make_parts(FitRun *fit)
{
    Arena *arena = &fit->engine->session.arena;
    /* Each part has its place, where it is closed, before there is anything in it. */
    fit->parts = NEW_ARRAY(arena, FitPart *, 1);
    fit->part_count = 1;
    RxnStatus status = make_part(fit, 0, false, &fit->parts[0]);
    if (status != RXN_OK)
        return status;
    FitPart *first = fit->parts[0];
    u32 count = first->spec.experiment_count;
    FitPart **parts = NEW_ARRAY(arena, FitPart *, (size_t)count + 1);
    FitPart **measures = NEW_ARRAY(arena, FitPart *, (size_t)count + 1);
    for (u32 k = 0; k < count; k++)
        fit->trained_count += !first->spec.experiments[k].validation;
    parts[first->validation ? fit->trained_count : 0] = first;
    fit->parts = parts;
    fit->measures = measures;
    fit->part_count = count;
    u32 at = 0;
    for (int pass = 0; pass < 2; pass++)
        for (u32 k = 0; k < count; k++) {
            if (first->spec.experiments[k].validation != (pass == 1))
                continue;
            if (k > 0) {
                status = make_part(fit, k, false, &parts[at]);
                if (status != RXN_OK)
                    return status;
            }
            status = make_measures(fit, k, &fit->measures[at]);
            if (status != RXN_OK)
                return status;
            at++;
        }
    return RXN_OK;
}

/* ---- parameters -------------------------------------------------------------------------------- */

/* The scale of the bounds, or that which the block wishes. */
static RxnScale
scale_of(const Param *param, FitScaleWish wish)
{
    RxnScale scale = rxn__scale_for(param->has_bounds ? param->low : -INFINITY,
                                    param->has_bounds ? param->high : INFINITY);
    if (wish == FIT_SCALE_LOG && scale.kind != RXN_SCALE_LOG_LOGIT) {
        /* A lower bound above 0 is a wall then, not the origin of the logarithm. */
        scale.kind = RXN_SCALE_LOG;
        scale.low = fmax(scale.low, 0);
        scale.project = scale.low > 0 || isfinite(scale.high);
    } else if (wish == FIT_SCALE_LINEAR) {
        scale.kind = RXN_SCALE_LINEAR;
        scale.project = isfinite(scale.low) || isfinite(scale.high);
    }
    return scale;
}

static bool
find_parameters(FitRun *fit)
{
    Arena *arena = &fit->engine->session.arena;
    FitPart *first = fit->parts[0];
    Network *network = fit->network = first->grad.pipeline.network;
    bool good = true;
    for (u32 k = 0; k < network->params.count; k++)
        if (network->params.items[k].fit)
            fit->count += (u32)rxn__shape_count(&network->params.items[k].shape);
    if (fit->count == 0) {
        rxn__engine_error(fit->engine,
                          "no param of the model is marked 'fit', so there is nothing to train");
        rxn__engine_note(fit->engine, "as in 'param k = 0.1 in 1e-3 .. 10 fit'");
        return false;
    }
    fit->flat = NEW_ARRAY(arena, u32, fit->count);
    fit->labels = NEW_ARRAY(arena, const char *, fit->count);
    fit->start = NEW_ARRAY(arena, double, fit->count);
    fit->scales = NEW_ARRAY(arena, RxnScale, fit->count);
    fit->acts = NEW_ARRAY(arena, bool, fit->count);
    u32 at = 0;
    for (u32 k = 0; k < network->params.count; k++) {
        const Param *param = &network->params.items[k];
        u64 members = param->fit ? rxn__shape_count(&param->shape) : 0;
        for (u64 m = 0; m < members; m++, at++) {
            u32 flat = param->flat + (u32)m;
            FitScaleWish wish = first->spec.scales ? first->spec.scales[flat] : FIT_SCALE_AUTO;
            fit->flat[at] = flat;
            fit->labels[at] = rxn__param_label(network, flat, arena);
            fit->start[at] = first->grad.values.params[flat];
            fit->scales[at] = scale_of(param, wish);
            const char *why = rxn__scale_refuses(&fit->scales[at], fit->start[at]);
            if (why && good) {
                rxn__engine_error(fit->engine, "param '%s' cannot start at %g: %s", fit->labels[at],
                                  fit->start[at], why);
                good = false;
            }
        }
    }
    return good;
}

/* The numbers of a part's parameters among the fit's. */
static bool
place_parameters(FitRun *fit, FitPart *part)
{
    Grad *grad = &part->grad;
    if (!rxn__grad_parameters(grad))
        return false;
    part->place = NEW_ARRAY(&grad->pipeline.arena, u32, (size_t)grad->request.wrt_count + 1);
    for (u32 k = 0, at = 0; k < grad->request.wrt_count; k++) {
        while (at < fit->count && fit->flat[at] != grad->request.wrt[k])
            at = at + 1 < fit->count ? at + 1 : 0; /* they are in the same order, nearly always */
        part->place[k] = at;
        fit->acts[at] = true;
    }
    return true;
}

/* Derivatives of the penalty. Those by single members take sums apart, so for very many parameters they are not had. */
static bool
differentiate_penalty(FitRun *fit)
{
    enum { MOST = 5000 };
    Arena *arena = &fit->engine->session.arena;
    fit->penalty = fit->parts[0]->spec.penalty;
    fit->penalty_first = NEW_ARRAY(arena, Expr, (size_t)fit->count + 1);
    if (fit->penalty == 0 || rxn__expr_is_zero(fit->network, fit->penalty))
        return true;
    if (fit->count > MOST) {
        rxn__engine_error(fit->engine,
                          "penalties and priors are for up to %d trained numbers; there are %u",
                          (int)MOST, fit->count);
        rxn__engine_note(fit->engine, "adamw(weight_decay = …) holds many weights small");
        return false;
    }
    for (u32 k = 0; k < fit->count; k++) {
        Expr first = rxn__expr_derivative(fit->network, fit->penalty, EXPR_PARAM, fit->flat[k]);
        if (rxn__expr_is_zero(fit->network, first))
            continue;
        fit->penalty_first[k] = first;
        fit->acts[k] = true;
    }
    if (fit->count > RXN_GAUSS_NEWTON_MOST)
        return true;
    fit->penalty_second = NEW_ARRAY(arena, Expr, (size_t)fit->count * fit->count);
    for (u32 k = 0; k < fit->count; k++)
        for (u32 l = 0; l < fit->count && fit->penalty_first[k]; l++) {
            Expr second =
                rxn__expr_derivative(fit->network, fit->penalty_first[k], EXPR_PARAM, fit->flat[l]);
            if (!rxn__expr_is_zero(fit->network, second))
                fit->penalty_second[(size_t)k * fit->count + l] = second;
        }
    return true;
}

/* What acts on nothing stays where it is. */
static bool
check_influence(FitRun *fit)
{
    Text idle;
    u32 count = 0;
    rxn__text_init(&idle, &fit->engine->session.arena);
    for (u32 k = 0; k < fit->count; k++) {
        if (fit->acts[k])
            continue;
        if (count++ < 10)
            rxn__text_printf(&idle, "%s'%s'", count > 1 ? ", " : "", fit->labels[k]);
        else if (count == 11)
            rxn__text_printf(&idle, ", …");
    }
    if (count == fit->count) {
        rxn__engine_error(fit->engine, "no trained param has an influence on the loss: %s",
                          idle.data);
        rxn__engine_note(fit->engine, "they are not identifiable from these data");
        return false;
    }
    if (count)
        rxn__warning(&fit->engine->session.diagnostics, (Span){0, 0},
                     "%s %s no influence on the loss: not identifiable from these data", idle.data,
                     count == 1 ? "has" : "have");
    return true;
}

RxnStatus
rxn__fit_setup(FitRun *fit)
{
    fit->tables = (FitTables){.context = fit, .load = load_table};
    RxnStatus status = make_parts(fit);
    if (status != RXN_OK)
        return status;
    fit->model = fit->parts[0]->grad.pipeline.network->name
                     ? fit->parts[0]->grad.pipeline.network->name->text
                     : "model";
    if (!find_parameters(fit))
        return RXN_ERROR_INPUT;
    if (fit->trained_count == 0) {
        rxn__engine_error(fit->engine, "there is no experiment to train on: all are validations");
        return RXN_ERROR_INPUT;
    }
    for (u32 k = 0; k < fit->part_count; k++) {
        FitPart *part = fit->parts[k];
        u32 kept = fit->engine->session.diagnostics.list.count;
        if (!part->validation && !place_parameters(fit, part))
            return RXN_ERROR_INPUT;
        if (k > 0)
            drop_warnings(fit->engine, kept);
        fit->has_samples = fit->has_samples || part->sampled;
    }
    return differentiate_penalty(fit) && check_influence(fit) ? RXN_OK : RXN_ERROR_INPUT;
}

void
rxn__fit_put_away(FitRun *fit)
{
    if (fit->is_watched)
        rxn__watch_end(fit->engine);
    rxn__fit_free(fit->loop);
    for (u32 k = 0; k < fit->part_count; k++) {
        close_part(fit->parts[k]);
        if (fit->measures)
            close_part(fit->measures[k]);
    }
}
