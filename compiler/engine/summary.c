/* summary.c: what a model is, in some lines: sizes, conservation laws, which method would simulate it and why. */
#include <math.h>
#include <string.h>

#include "compiler/engine/engine.h"
#include "runtime/report.h"

enum { MOST_LAWS = 20, MOST_TERMS = 12 };

static const char *
plural(u64 count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}

/* "species     104  (2 arrays)" */
static void
put_size(Text *out, const char *what, u64 members, u32 declared, const char *arrays)
{
    char number[32];
    rxn__format_grouped(number, sizeof number, members);
    rxn__text_printf(out, "  %-12s %s", what, number);
    if (members != declared)
        rxn__text_printf(out, "  (%u %s)", declared, arrays);
    rxn__text_append(out, "\n", 1);
}

static void
put_sizes(Text *out, const Network *network)
{
    put_size(out, "species", network->species_count, network->species.count,
             plural(network->species.count, "declaration", "declarations"));
    put_size(out, "reactions", network->reaction_count, network->reactions.count,
             plural(network->reactions.count, "family", "families"));
    u64 fitted = 0;
    for (u32 k = 0; k < network->params.count; k++)
        if (network->params.items[k].fit)
            fitted += rxn__shape_count(&network->params.items[k].shape);
    put_size(out, "params", network->param_count, network->params.count,
             plural(network->params.count, "declaration", "declarations"));
    if (fitted > 0) {
        char number[32];
        rxn__format_grouped(number, sizeof number, fitted);
        rxn__text_printf(out, "  %-12s %s\n", "to be fitted", number);
    }
    if (network->input_count > 0)
        put_size(out, "inputs", network->input_count, network->inputs.count,
                 plural(network->inputs.count, "declaration", "declarations"));
    if (network->events.count > 0)
        rxn__text_printf(out, "  %-12s %u\n", "events", network->events.count);
    put_size(out, "observables", network->column_count, network->observables.count,
             plural(network->observables.count, "declaration", "declarations"));
}

/* What `rxn fit` would do: the loss of the block, and the experiments in it. */
static void
put_fit(Text *out, const Network *network)
{
    const char *loss = NULL;
    u32 experiments = 0;
    for (u32 i = 0; i < network->fit.count; i++) {
        const FitEntry *entry = &network->fit.items[i];
        if (strcmp(entry->key->text, "loss") == 0)
            loss = entry->text;
        experiments += strcmp(entry->key->text, "experiment") == 0;
    }
    if (!loss && experiments == 0)
        return;
    rxn__text_printf(out, "  %-12s ", "loss");
    if (loss)
        rxn__text_printf(out, "%s", loss);
    if (experiments > 0)
        rxn__text_printf(out, "%s%u %s", loss ? ", " : "of ", experiments,
                         plural(experiments, "experiment", "experiments"));
    rxn__text_append(out, "\n", 1);
}

static void
put_traits(Text *out, const Network *network)
{
    const NetworkTraits *traits = &network->traits;
    Text text;
    rxn__text_init(&text, network->arena);
    if (traits->all_mass_action)
        rxn__text_printf(&text, ", mass action throughout");
    if (traits->monomolecular)
        rxn__text_printf(&text, ", monomolecular");
    if (traits->affine)
        rxn__text_printf(&text, ", affine propensities");
    if (traits->time_dependent)
        rxn__text_printf(&text, ", rates depend on time");
    if (traits->has_families)
        rxn__text_printf(&text, ", families");
    if (text.length > 2)
        rxn__text_printf(out, "  %-12s %s\n", "kind", text.data + 2);
    if (traits->dependency_edges > 0) {
        char number[32];
        rxn__format_grouped(number, sizeof number, traits->dependency_edges);
        rxn__text_printf(
            out,
            "  %-12s a reaction changes %u species at most; %s propensities to refresh in all\n",
            "dependency", traits->widest_change, number);
    }
}

/* The constant of a law from the initial values; NaN where one is not known. */
static double
law_total(const Network *network, const ConservationLaw *law, const double *initial)
{
    double total = 0;
    for (u32 k = 0; k < law->terms.count; k++)
        total += (double)law->terms.items[k].coefficient * initial[law->terms.items[k].member];
    (void)network;
    return total;
}

/* Initial values of all species from the params' defaults. */
static double *
initial_values(Pipeline *pipeline, const ModelValues *values)
{
    const Network *network = pipeline->network;
    i64 *variables = NEW_ARRAY(&pipeline->arena, i64, network->variables.count + 1);
    double *initial = NEW_ARRAY(&pipeline->arena, double, (size_t)network->species_count + 1);
    ExprValues given = {.params = values->params, .inputs = values->inputs, .variables = variables};
    for (u32 s = 0; s < network->species.count; s++) {
        const Species *species = &network->species.items[s];
        u64 count = rxn__shape_count(&species->shape);
        for (u64 k = 0; k < count; k++) {
            u64 rest = k;
            for (u32 d = species->shape.rank; d-- > 0;) {
                variables[species->variables[d]] = (i64)(rest % species->shape.extent[d]);
                rest /= species->shape.extent[d];
            }
            initial[species->flat + k] = rxn__expr_evaluate(network, species->initial, &given);
        }
    }
    return initial;
}

static void
put_laws(Text *out, Pipeline *pipeline, const ModelValues *values)
{
    const Network *network = pipeline->network;
    if (network->laws_skipped) {
        rxn__text_printf(out, "  %-12s not looked for: the network is too large\n", "conserved");
        return;
    }
    if (network->laws.count == 0) {
        rxn__text_printf(out, "  %-12s nothing\n", "conserved");
        return;
    }
    const double *initial = initial_values(pipeline, values);
    for (u32 l = 0; l < network->laws.count && l < MOST_LAWS; l++) {
        const ConservationLaw *law = &network->laws.items[l];
        Text text;
        rxn__text_init(&text, &pipeline->arena);
        for (u32 k = 0; k < law->terms.count && k < MOST_TERMS; k++) {
            i64 c = law->terms.items[k].coefficient;
            rxn__text_printf(&text, "%s", k ? (c < 0 ? " - " : " + ") : (c < 0 ? "-" : ""));
            if (c != 1 && c != -1)
                rxn__text_printf(&text, "%lld ", (long long)(c < 0 ? -c : c));
            rxn__text_printf(
                &text, "%s",
                rxn__species_label(network, law->terms.items[k].member, &pipeline->arena));
        }
        if (law->terms.count > MOST_TERMS)
            rxn__text_printf(&text, " + … (%u terms)", law->terms.count);
        double total = law_total(network, law, initial);
        if (isfinite(total)) {
            rxn__text_printf(&text, " = ");
            rxn__text_f64(&text, total);
        }
        rxn__text_printf(out, "  %-12s %s\n", l ? "" : "conserved", text.data);
    }
    if (network->laws.count > MOST_LAWS)
        rxn__text_printf(out, "  %-12s … and %u more\n", "", network->laws.count - MOST_LAWS);
    if (network->events.count > 0)
        rxn__text_printf(out, "  %-12s (between events)\n", "");
}

void
rxn__summary(Pipeline *pipeline, const ModelValues *values, Text *out)
{
    const Network *network = pipeline->network;
    rxn__text_printf(out, "%s: no errors\n\n", network->name ? network->name->text : "model");
    put_sizes(out, network);
    put_fit(out, network);
    put_traits(out, network);
    put_laws(out, pipeline, values);
    rxn__text_printf(out, "  %-12s %s: %s\n", "method", pipeline->method->name,
                     pipeline->method_why ? pipeline->method_why : pipeline->method->summary);
    rxn__text_printf(out, "  %-12s %s\n", "form", pipeline->kernel.form);
}
