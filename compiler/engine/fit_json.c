/* fit_json.c: the result of a fit as JSON, which `rxn run --params` takes, and its history as CSV.
 *
 * Nothing in it depends on the machine or the number of threads but the members that begin with "seconds", which of
 * two results of the same fit are the only ones that differ.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "compiler/engine/fit.h"

static void
text(FILE *file, const char *before, const char *value)
{
    fputs(before, file);
    rxn__json_string(file, value);
}

static void
number(FILE *file, const char *before, double value)
{
    fputs(before, file);
    rxn__json_number(file, value);
}

/* A number, or an array of them. */
static void
values(FILE *file, const char *before, bool is_array, const double *from, u64 count)
{
    fputs(before, file);
    if (!is_array) {
        rxn__json_number(file, from[0]);
        return;
    }
    for (u64 k = 0; k < count; k++)
        number(file, k ? ", " : "[", from[k]);
    fputc(']', file);
}

static void
put_shape(FILE *file, const Param *param)
{
    if (param->shape.rank == 0)
        return;
    for (u32 d = 0; d < param->shape.rank; d++)
        fprintf(file, "%s%u", d ? ", " : ", \"shape\": [", param->shape.extent[d]);
    fputc(']', file);
}

static bool
are_known(const double *from, u64 count)
{
    for (u64 k = 0; k < count; k++)
        if (isfinite(from[k]))
            return true;
    return false;
}

static void
put_parameters(FILE *file, const FitRun *fit)
{
    const Network *network = fit->network;
    const FitErrors *e = &fit->errors;
    bool first = true;
    u32 at = 0;
    fputs(",\n  \"parameters\": [", file);
    for (u32 k = 0; k < network->params.count; k++) {
        const Param *param = &network->params.items[k];
        u64 count = rxn__shape_count(&param->shape);
        bool is_array = param->shape.rank > 0;
        if (!param->fit)
            continue;
        text(file, first ? "\n    {\"name\": " : ",\n    {\"name\": ", param->name->text);
        put_shape(file, param);
        values(file, ", \"value\": ", is_array, fit->state.parameters + at, count);
        if (are_known(e->simulation + at, count))
            values(file, ", \"se_simulation\": ", is_array, e->simulation + at, count);
        if (are_known(e->data + at, count))
            values(file, ", \"se_data\": ", is_array, e->data + at, count);
        if (are_known(e->data_error + at, count))
            values(file, ", \"se_data_error\": ", is_array, e->data_error + at, count);
        if (e->known) {
            values(file, ", \"gradient\": ", is_array, e->gradient + at, count);
            values(file, ", \"gradient_se\": ", is_array, e->gradient_se + at, count);
        }
        if (are_known(e->away + at, count)) {
            values(file, ", \"to_minimum\": ", is_array, e->away + at, count);
            values(file, ", \"to_minimum_se\": ", is_array, e->away_se + at, count);
        }
        if (fit->count <= 1000) {
            values(file, ", \"start\": ", is_array, fit->start + at, count);
            fputs(e->no_influence[at] || !fit->acts[at] ? ", \"identifiable\": false}" : "}", file);
        } else {
            fputc('}', file);
        }
        first = false;
        at += (u32)count;
    }
    fputs("\n  ]", file);
}

/* What a later run would not have from the model alone: set on the command line, drawn, or computed from others. */
static bool
is_kept(const FitRun *fit, const Param *param)
{
    const Grad *grad = &fit->parts[0]->grad;
    if (param->fit)
        return false;
    if (param->distribution != DISTRIBUTION_NONE ||
        (param->initial && rxn__expr_uses(fit->network, param->initial).params))
        return true;
    for (u64 m = 0; m < rxn__shape_count(&param->shape); m++)
        if (grad->values.params_given[param->flat + m])
            return true;
    return false;
}

static bool
is_of_experiment(const FitRun *fit, const Param *param)
{
    const Fit *spec = &fit->parts[0]->spec;
    for (u32 k = 0; k < spec->settings.count; k++) {
        const FitSetting *setting = &spec->settings.items[k];
        if (!setting->is_input && setting->first >= param->flat &&
            setting->first < param->flat + rxn__shape_count(&param->shape))
            return true;
    }
    return false;
}

static void
put_fixed(FILE *file, const FitRun *fit)
{
    bool first = true;
    fputs(",\n  \"fixed\": [", file);
    for (u32 k = 0; k < network_declared_params(fit->network); k++) {
        const Param *param = &fit->network->params.items[k];
        if (!is_kept(fit, param) || is_of_experiment(fit, param))
            continue;
        text(file, first ? "\n    {\"name\": " : ",\n    {\"name\": ", param->name->text);
        put_shape(file, param);
        values(file, ", \"value\": ", param->shape.rank > 0,
               fit->parts[0]->grad.values.params + param->flat, rxn__shape_count(&param->shape));
        fputc('}', file);
        first = false;
    }
    fputs(first ? "]" : "\n  ]", file);
}

static void
put_series(FILE *file, const FitRun *fit)
{
    fputs(",\n  \"series\": [", file);
    for (u32 k = 0; k < fit->series.count; k++) {
        const FitSeriesFigures *figures = &fit->series.items[k];
        const FitSeries *series = &figures->part->spec.series.items[figures->series];
        text(file, k ? ",\n    {\"experiment\": " : "\n    {\"experiment\": ", figures->part->name);
        text(file, ", \"model\": ", series->model);
        text(file, ", \"data\": ", series->data);
        number(file, ", \"r2\": ", figures->r2);
        text(file, ", \"axis\": ", series->axis ? series->axis : "");
        values(file, ",\n     \"x\": ", true, figures->x, figures->count);
        values(file, ",\n     \"measured\": ", true, figures->data, figures->count);
        values(file, ",\n     \"modelled\": ", true, figures->model, figures->count);
        values(file, ",\n     \"modelled_se\": ", true, figures->model_se, figures->count);
        fputc('}', file);
    }
    fputs(fit->series.count ? "\n  ]" : "]", file);
}

static void
put_measures(FILE *file, const FitRun *fit)
{
    fputs(",\n  \"measures\": [", file);
    for (u32 k = 0; k < fit->measured.count; k++) {
        const FitMeasured *measured = &fit->measured.items[k];
        text(file, k ? ",\n    {\"name\": " : "\n    {\"name\": ", measured->name);
        text(file, ", \"experiment\": ", measured->part->name);
        number(file, ", \"value\": ", measured->value);
        number(file, ", \"se\": ", measured->se);
        fputc('}', file);
    }
    fputs(fit->measured.count ? "\n  ]" : "]", file);
}

static void
put_history(FILE *file, const FitRun *fit)
{
    static const struct {
        const char *name;
        size_t at;
    } columns[] = {
        {"step", offsetof(RxnFitRecord, step)},
        {"loss", offsetof(RxnFitRecord, loss)},
        {"loss_se", offsetof(RxnFitRecord, loss_se)},
        {"gradient_norm", offsetof(RxnFitRecord, norm)},
        {"gradient_noise", offsetof(RxnFitRecord, noise)},
        {"trajectories", offsetof(RxnFitRecord, trajectories)},
        {"events", offsetof(RxnFitRecord, events)},
        {"validation", offsetof(RxnFitRecord, validation)},
        {"seconds", offsetof(RxnFitRecord, seconds)},
    };
    fputs(",\n  \"history\": {", file);
    for (u32 c = 0; c < COUNT_OF(columns); c++) {
        fprintf(file, "%s\"%s\": [", c ? ",\n    " : "\n    ", columns[c].name);
        for (u64 k = 0; k < fit->state.record_count; k++)
            number(file, k ? ", " : "",
                   *(const double *)((const char *)&fit->state.records[k] + columns[c].at));
        fputc(']', file);
    }
    fputs("\n  }", file);
}

void
rxn__fit_json(FILE *file, FitRun *fit)
{
    const RxnFitState *state = &fit->state;
    const RxnFitRecord *last =
        state->record_count ? &state->records[state->record_count - 1] : NULL;
    text(file, "{\n  \"rxn\": ", rxn_version());
    text(file, ",\n  \"model\": ", fit->model);
    fprintf(file, ",\n  \"complete\": %s", rxn__fit_is_complete(state) ? "true" : "false");
    text(file, ",\n  \"ended\": ", rxn__fit_ending_text(fit, &fit->engine->session.arena));
    put_parameters(file, fit);
    put_fixed(file, fit);
    number(file, ",\n  \"loss\": ", fit->errors.known ? fit->errors.loss : last ? last->loss : NAN);
    number(file, ",\n  \"loss_se\": ",
           fit->errors.known ? fit->errors.loss_se
           : last            ? last->loss_se
                             : NAN);
    put_series(file, fit);
    put_measures(file, fit);
    text(file, ",\n  \"estimator\": ", fit->parts[0]->estimator_name);
    if (fit->parts[0]->grad.choice)
        text(file, ",\n  \"estimator_why\": ", fit->parts[0]->grad.choice);
    fprintf(file, ",\n  \"unbiased\": %s", rxn__fit_is_biased(fit) ? "false" : "true");
    text(file, ",\n  \"optimizer\": ", fit->optimizer);
    if (fit->why_optimizer)
        text(file, ",\n  \"optimizer_why\": ", fit->why_optimizer);
    text(file, ",\n  \"schedule\": ", fit->schedule);
    text(file, ",\n  \"noise\": ", fit->noise);
    fprintf(file,
            ",\n  \"seed\": %" PRIu64 ",\n  \"steps\": %" PRIu64 ",\n  \"averaged\": %" PRIu64,
            fit->loop_options.seed, state->step, state->averaged);
    fprintf(file, ",\n  \"starts\": %" PRIu64 ",\n  \"best_start\": %" PRIu64,
            fit->loop_options.starts, state->best_start);
    number(file, ",\n  \"trajectories\": ", state->total_trajectories);
    number(file, ",\n  \"events\": ", state->total_events);
    text(file, ",\n  \"precision\": ", fit->options.ensemble.precision);
    number(file, ",\n  \"seconds\": ", state->seconds);
    put_history(file, fit);
    fputs("\n}\n", file);
}

void
rxn__fit_history(FILE *file, FitRun *fit)
{
    bool starts = fit->loop_options.starts > 1;
    fprintf(file,
            "%sstep,loss,loss_se,gradient_norm,gradient_noise,rate,trajectories,events,validation,"
            "seconds\n",
            starts ? "start," : "");
    for (u64 k = 0; k < fit->state.record_count; k++) {
        const RxnFitRecord *r = &fit->state.records[k];
        const double cells[] = {r->step, r->loss,         r->loss_se, r->norm,       r->noise,
                                r->rate, r->trajectories, r->events,  r->validation, r->seconds};
        char cell[RXN_NUMBER_ROOM];
        if (starts)
            fprintf(file, r->main != 0 ? "main," : "%.0f,", r->start);
        for (u32 c = 0; c < COUNT_OF(cells); c++) {
            rxn__format_number(cell, cells[c]);
            fprintf(file, "%s%s", c ? "," : "", isnan(cells[c]) ? "" : cell);
        }
        fputc('\n', file);
    }
}
