/* print.c: the text form of a network.
 *
 * Declarations in a fixed order; before each of them come the lines of those expressions that it
 * needs and that were not needed before, arguments first:
 *
 *     network dimerisation
 *     %1 = number 0x1.0624dd2f1a9fcp-9  # 0.002
 *     param kon initial %1 bounds 0x1.a36e2eb1c432dp-14 0x1.999999999999ap-4 fit @31:34
 *     …
 *     %5 = param kon
 *     %6 = species M
 *     %7 = choose 2 %6
 *     %8 = mul %5 %7
 *     reaction bind @90:125 @120:123
 *       reactant 2 M @97:100
 *       product 1 D @104:105
 *       mass_action %5
 *       propensity %8
 *
 * So what a line means stands above it, nothing is printed that nothing needs, and the numbers are
 * canonical: reading the text and printing again gives the same bytes. Spans are kept as source
 * positions (@begin:end), so a network that was read back reports a fault at the same place. Floats
 * are exact (hex), with the decimal behind as a comment. Flat numbers and totals follow from the
 * rest and are not printed.
 */
#include "compiler/network/internal.h"
#include "compiler/network/objective.h"

#include <math.h>
#include <string.h>

typedef struct Printer {
    Network *network; /* only its tables are written */
    Text *out;
    Arena *scratch;
    u32 *numbers; /* of the lines, by expression; 0: not printed yet */
    u32 next;
} Printer;

/* ---- Words ----------------------------------------------------------------------------------- */

static bool
is_plain_word(const char *text, size_t length)
{
    if (length == 0 ||
        (length == 3 && (memcmp(text, "inf", 3) == 0 || memcmp(text, "nan", 3) == 0)))
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
        bool digit = c >= '0' && c <= '9';
        if (!letter && !(digit && i > 0))
            return false;
    }
    return true;
}

static void
print_string(Text *out, const char *text, size_t length)
{
    rxn__text_append(out, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            rxn__text_append(out, "\\n", 2);
        else if (c == '"' || c == '\\')
            rxn__text_printf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            rxn__text_printf(out, "\\x%02X", c);
        else
            rxn__text_append(out, &text[i], 1);
    }
    rxn__text_append(out, "\"", 1);
}

static void
print_name(Printer *printer, Name name)
{
    if (name == NULL)
        rxn__text_append(printer->out, "\"\"", 2);
    else if (is_plain_word(name->text, name->length))
        rxn__text_append(printer->out, name->text, name->length);
    else
        print_string(printer->out, name->text, name->length);
}

/* A variable's name with its number: names of variables repeat. */
static void
print_variable(Printer *printer, u32 variable)
{
    Name name = printer->network->variables.items[variable].name;
    if (name != NULL && is_plain_word(name->text, name->length)) {
        rxn__text_printf(printer->out, "%s.%u", name->text, variable);
        return;
    }
    Text text;
    rxn__text_init(&text, printer->scratch);
    rxn__text_printf(&text, "%s.%u", name == NULL ? "" : name->text, variable);
    print_string(printer->out, text.data, text.length);
}

static void
print_span(Printer *printer, Span span)
{
    if (span.begin != 0 || span.end != 0)
        rxn__text_printf(printer->out, " @%u:%u", span.begin, span.end);
}

static void
print_shape(Printer *printer, const Shape *shape)
{
    for (u32 i = 0; i < shape->rank; i++)
        rxn__text_printf(printer->out, "%s%u", i == 0 ? " [" : ",", shape->extent[i]);
    if (shape->rank > 0)
        rxn__text_append(printer->out, "]", 1);
}

static void
print_over(Printer *printer, u32 count, const u32 *variables)
{
    for (u32 i = 0; i < count; i++) {
        rxn__text_printf(printer->out, i == 0 ? " over " : " ");
        print_variable(printer, variables[i]);
    }
}

static void
print_member(Printer *printer, u32 species, u32 flat)
{
    const Species *s = &printer->network->species.items[species];
    i64 indices[RXN_MAX_RANK];
    u32 member = flat - s->flat;
    for (u32 i = s->shape.rank; i-- > 0;) {
        indices[i] = member % s->shape.extent[i];
        member /= s->shape.extent[i];
    }
    print_name(printer, s->name);
    for (u32 i = 0; i < s->shape.rank; i++)
        rxn__text_printf(printer->out, "%s%lld", i == 0 ? " [" : ",", (long long)indices[i]);
    if (s->shape.rank > 0)
        rxn__text_append(printer->out, "]", 1);
}

static void
print_f64(Printer *printer, double value)
{
    rxn__text_append(printer->out, " ", 1);
    rxn__text_f64_hex(printer->out, value);
}

/* ---- Expressions ----------------------------------------------------------------------------- */

static void
print_args(Printer *printer, const ExprNode *node)
{
    for (u32 i = 0; i < node->arg_count; i++)
        rxn__text_printf(printer->out, " %%%u", printer->numbers[node->args[i]]);
}

static void
print_reference(Printer *printer, const ExprNode *node)
{
    const Network *network = printer->network;
    Name name = node->op == EXPR_SPECIES ? network->species.items[node->object].name
                : node->op == EXPR_PARAM ? network->params.items[node->object].name
                : node->op == EXPR_INPUT ? network->inputs.items[node->object].name
                                         : network->hoisted.items[node->object].name;
    rxn__text_append(printer->out, " ", 1);
    print_name(printer, name);
    for (u32 i = 0; i < node->arg_count; i++)
        rxn__text_printf(printer->out, "%s%%%u", i == 0 ? " [" : ",",
                         printer->numbers[node->args[i]]);
    if (node->arg_count > 0)
        rxn__text_append(printer->out, "]", 1);
}

static void
print_line(Printer *printer, Expr expr)
{
    const ExprNode *node = expr_node(printer->network, expr);
    printer->numbers[expr] = ++printer->next;
    rxn__text_printf(printer->out, "%%%u = %s", printer->next, rxn__expr_ops[node->op].text);
    switch (node->op) {
    case EXPR_NUMBER:
        print_f64(printer, node->number);
        rxn__text_append(printer->out, "  # ", 4);
        rxn__text_f64(printer->out, node->number);
        break;
    case EXPR_BOOLEAN: rxn__text_append(printer->out, node->number != 0 ? " 1" : " 0", 2); break;
    case EXPR_VARIABLE:
        rxn__text_append(printer->out, " ", 1);
        print_variable(printer, node->object);
        break;
    case EXPR_SUM:
    case EXPR_PROD:
        rxn__text_append(printer->out, " ", 1);
        print_variable(printer, node->object);
        print_args(printer, node);
        break;
    case EXPR_CHOOSE:
        rxn__text_printf(printer->out, " %.0f", node->number);
        print_args(printer, node);
        break;
    case EXPR_SPECIES:
    case EXPR_PARAM:
    case EXPR_INPUT:
    case EXPR_HOISTED: print_reference(printer, node); break;
    case EXPR_QUANTITY: rxn__text_printf(printer->out, " %u", node->object); break;
    default: print_args(printer, node);
    }
    rxn__text_append(printer->out, "\n", 1);
}

/* The lines that this expression still needs. */
static void
need(void *context, Expr *slot)
{
    Printer *printer = context;
    ExprList list = {0};
    rxn__expr_collect(printer->network, *slot, printer->scratch, &list);
    for (u32 i = 0; i < list.count; i++)
        print_line(printer, list.items[i]);
}

/* " word %n", where there is an expression. */
static void
print_expr(Printer *printer, const char *word, Expr expr)
{
    if (expr != 0)
        rxn__text_printf(printer->out, " %s %%%u", word, printer->numbers[expr]);
}

/* ---- Declarations ---------------------------------------------------------------------------- */

static void
print_header(Printer *printer)
{
    const Network *network = printer->network;
    rxn__text_printf(printer->out, "network ");
    print_name(printer, network->name);
    rxn__text_printf(printer->out, "\n");
    if (!isnan(network->simulate_until)) {
        rxn__text_printf(printer->out, "simulate_until");
        print_f64(printer, network->simulate_until);
        rxn__text_printf(printer->out, "\n");
    }
    if (!isnan(network->simulate_every)) {
        rxn__text_printf(printer->out, "simulate_every");
        print_f64(printer, network->simulate_every);
        rxn__text_printf(printer->out, "\n");
    }
    for (u32 i = 0; i < network->simulate_at.count; i++) {
        rxn__text_printf(printer->out, "simulate_at");
        print_f64(printer, network->simulate_at.items[i]);
        rxn__text_printf(printer->out, "\n");
    }
    for (u32 i = 0; i < network->index_sets.count; i++) {
        rxn__text_printf(printer->out, "index ");
        print_name(printer, network->index_sets.items[i].name);
        rxn__text_printf(printer->out, " %u\n", network->index_sets.items[i].size);
    }
    for (u32 i = 0; i < network->variables.count; i++) {
        rxn__text_printf(printer->out, "variable ");
        print_variable(printer, i);
        rxn__text_printf(printer->out, " %lld %lld\n", (long long)network->variables.items[i].low,
                         (long long)network->variables.items[i].high);
    }
    for (u32 i = 0; i < network->inputs.count; i++) {
        const Input *input = &network->inputs.items[i];
        rxn__text_printf(printer->out, "input ");
        print_name(printer, input->name);
        print_shape(printer, &input->shape);
        print_span(printer, input->span);
        rxn__text_printf(printer->out, "\n");
    }
}

static void
print_param(Printer *printer, Param *param)
{
    need(printer, &param->initial);
    need(printer, &param->distribution_args[0]);
    need(printer, &param->distribution_args[1]);
    rxn__text_printf(printer->out, "param ");
    print_name(printer, param->name);
    print_shape(printer, &param->shape);
    print_over(printer, param->shape.rank, param->variables);
    print_expr(printer, "initial", param->initial);
    if (param->distribution != DISTRIBUTION_NONE) {
        print_expr(printer, param->distribution == DISTRIBUTION_NORMAL ? "normal" : "uniform",
                   param->distribution_args[0]);
        rxn__text_printf(printer->out, " %%%u", printer->numbers[param->distribution_args[1]]);
    }
    if (param->has_bounds) {
        rxn__text_printf(printer->out, " bounds");
        print_f64(printer, param->low);
        print_f64(printer, param->high);
    }
    if (param->fit)
        rxn__text_printf(printer->out, " fit");
    print_span(printer, param->span);
    rxn__text_printf(printer->out, "\n");
}

static void
print_species(Printer *printer, Species *species)
{
    need(printer, &species->initial);
    rxn__text_printf(printer->out, "species ");
    print_name(printer, species->name);
    print_shape(printer, &species->shape);
    print_over(printer, species->shape.rank, species->variables);
    print_span(printer, species->span);
    print_expr(printer, "initial", species->initial);
    if (species->initial != 0)
        print_span(printer, species->initial_span);
    rxn__text_printf(printer->out, "\n");
}

static void
print_hoisted(Printer *printer, Hoisted *hoisted)
{
    need(printer, &hoisted->value);
    rxn__text_printf(printer->out, "hoisted ");
    print_name(printer, hoisted->name);
    print_shape(printer, &hoisted->shape);
    print_over(printer, hoisted->shape.rank, hoisted->variables);
    rxn__text_printf(printer->out, " = %%%u\n", printer->numbers[hoisted->value]);
}

static void
print_term(Printer *printer, const char *word, const Term *term)
{
    const Species *species = &printer->network->species.items[term->species];
    rxn__text_printf(printer->out, "  %s %u ", word, term->coefficient);
    print_name(printer, species->name);
    for (u32 i = 0; i < species->shape.rank; i++)
        rxn__text_printf(printer->out, "%s%%%u", i == 0 ? " [" : ",",
                         printer->numbers[term->index[i]]);
    if (species->shape.rank > 0)
        rxn__text_append(printer->out, "]", 1);
    print_span(printer, term->span);
    rxn__text_printf(printer->out, "\n");
}

static void
print_reaction(Printer *printer, Reaction *reaction)
{
    rxn__reaction_each_expr(reaction, need, printer);
    rxn__text_printf(printer->out, "reaction ");
    print_name(printer, reaction->label);
    print_over(printer, reaction->variable_count, reaction->variables);
    print_span(printer, reaction->span);
    rxn__text_printf(printer->out, "\n");
    for (u32 i = 0; i < reaction->reactants.count; i++)
        print_term(printer, "reactant", &reaction->reactants.items[i]);
    for (u32 i = 0; i < reaction->products.count; i++)
        print_term(printer, "product", &reaction->products.items[i]);
    if (reaction->rate != 0 || reaction->mass_action)
        rxn__text_printf(printer->out, "  %s %%%u\n",
                         reaction->mass_action ? "mass_action" : "rate",
                         printer->numbers[reaction->rate]);
    rxn__text_printf(printer->out, "  propensity %%%u", printer->numbers[reaction->propensity]);
    print_span(printer, reaction->rate_span);
    rxn__text_printf(printer->out, "\n");
    if (reaction->bound != 0) {
        rxn__text_printf(printer->out, "  bound %%%u", printer->numbers[reaction->bound]);
        print_span(printer, reaction->bound_span);
        rxn__text_printf(printer->out, "\n");
    }
}

static void
print_event(Printer *printer, Event *event)
{
    static const char *const kinds[] = {
        [EVENT_AT] = "at", [EVENT_EVERY] = "every", [EVENT_WHEN] = "when"};
    need(printer, &event->time);
    need(printer, &event->period);
    need(printer, &event->until);
    need(printer, &event->condition);
    for (u32 i = 0; i < event->assignments.count; i++)
        need(printer, &event->assignments.items[i].value);
    rxn__text_printf(printer->out, "event %s", kinds[event->kind]);
    print_expr(printer, "time", event->time);
    print_expr(printer, "period", event->period);
    print_expr(printer, "until", event->until);
    print_expr(printer, "condition", event->condition);
    print_span(printer, event->span);
    rxn__text_printf(printer->out, "\n");
    for (u32 i = 0; i < event->assignments.count; i++) {
        const Assignment *assignment = &event->assignments.items[i];
        rxn__text_printf(printer->out, "  set ");
        print_member(printer, assignment->species, assignment->member);
        rxn__text_printf(printer->out, " %%%u", printer->numbers[assignment->value]);
        print_span(printer, assignment->span);
        rxn__text_printf(printer->out, "\n");
    }
}

static void
print_observable(Printer *printer, Observable *observable)
{
    need(printer, &observable->value);
    rxn__text_printf(printer->out, "observable ");
    print_name(printer, observable->name);
    print_shape(printer, &observable->shape);
    print_over(printer, observable->shape.rank, observable->variables);
    rxn__text_printf(printer->out, " = %%%u", printer->numbers[observable->value]);
    print_span(printer, observable->span);
    rxn__text_printf(printer->out, "\n");
}

/* ---- What is differentiated ------------------------------------------------------------------ */

static void
print_objective(Printer *printer, Objective *objective)
{
    static const char *const kinds[] = {
        [ATOM_STATE] = "state", [ATOM_INTEGRAL] = "integral", [ATOM_PASSAGE] = "passage"};
    rxn__text_printf(printer->out, "objective%s\n", objective->sampled ? " sampled" : "");
    for (u32 i = 0; i < objective->atoms.count; i++) {
        Atom *atom = &objective->atoms.items[i];
        need(printer, &atom->value);
        rxn__text_printf(printer->out, "atom %s %%%u", kinds[atom->kind],
                         printer->numbers[atom->value]);
        if (atom->kind == ATOM_INTEGRAL)
            print_f64(printer, atom->from);
        print_f64(printer, atom->to);
        rxn__text_printf(printer->out, "\n");
    }
    for (u32 i = 0; i < objective->functionals.count; i++) {
        Functional *functional = &objective->functionals.items[i];
        need(printer, &functional->value);
        rxn__text_printf(printer->out, "functional %%%u\n", printer->numbers[functional->value]);
    }
    for (u32 i = 0; i < objective->outputs.count; i++) {
        Output *output = &objective->outputs.items[i];
        need(printer, &output->value);
        rxn__text_printf(printer->out, "output ");
        print_string(printer->out, output->label, strlen(output->label));
        print_f64(printer, output->time);
        rxn__text_printf(printer->out, " = %%%u\n", printer->numbers[output->value]);
    }
}

/* ---- What the passes found ------------------------------------------------------------------- */

static void
print_findings(Printer *printer)
{
    const Network *network = printer->network;
    const NetworkTraits *traits = &network->traits;
    if (traits->all_mass_action || traits->monomolecular || traits->affine ||
        traits->time_dependent || traits->has_families || traits->dependency_edges != 0 ||
        traits->widest_change != 0) {
        rxn__text_printf(printer->out, "traits%s%s%s%s%s edges %llu widest %u\n",
                         traits->all_mass_action ? " mass_action" : "",
                         traits->monomolecular ? " monomolecular" : "",
                         traits->affine ? " affine" : "",
                         traits->time_dependent ? " time_dependent" : "",
                         traits->has_families ? " families" : "",
                         (unsigned long long)traits->dependency_edges, traits->widest_change);
    }
    for (u32 i = 0; i < network->laws.count; i++) {
        rxn__text_printf(printer->out, "law");
        for (u32 k = 0; k < network->laws.items[i].terms.count; k++) {
            u32 member = network->laws.items[i].terms.items[k].member, species = 0;
            while (species + 1 < network->species.count &&
                   network->species.items[species + 1].flat <= member)
                species++;
            rxn__text_printf(printer->out, " %lld ",
                             (long long)network->laws.items[i].terms.items[k].coefficient);
            print_member(printer, species, member);
        }
        rxn__text_printf(printer->out, "\n");
    }
    if (network->laws_skipped)
        rxn__text_printf(printer->out, "laws_skipped\n");
}

void
rxn__network_print(const Network *network, Text *out)
{
    Network *own = network_for_tables(network);
    Printer printer = {.network = own, .out = out, .scratch = &own->tables->scratch};
    printer.numbers = NEW_ARRAY(printer.scratch, u32, network->exprs.count);
    rxn__expr_collect_begin(own);

    print_header(&printer);
    for (u32 i = 0; i < own->params.count; i++)
        print_param(&printer, &own->params.items[i]);
    for (u32 i = 0; i < own->species.count; i++)
        print_species(&printer, &own->species.items[i]);
    for (u32 i = 0; i < own->hoisted.count; i++)
        print_hoisted(&printer, &own->hoisted.items[i]);
    for (u32 i = 0; i < own->reactions.count; i++)
        print_reaction(&printer, &own->reactions.items[i]);
    for (u32 i = 0; i < own->events.count; i++)
        print_event(&printer, &own->events.items[i]);
    for (u32 i = 0; i < own->observables.count; i++)
        print_observable(&printer, &own->observables.items[i]);
    for (u32 i = 0; i < own->breakpoints.count; i++) {
        need(&printer, &own->breakpoints.items[i]);
        rxn__text_printf(out, "breakpoint %%%u\n", printer.numbers[own->breakpoints.items[i]]);
    }
    if (own->objective != NULL)
        print_objective(&printer, own->objective);
    for (u32 i = 0; i < own->fit.count; i++) {
        const FitEntry *entry = &own->fit.items[i];
        rxn__text_printf(out, "fit ");
        print_name(&printer, entry->key);
        rxn__text_printf(out, " ");
        print_string(out, entry->text, strlen(entry->text));
        print_span(&printer, entry->span);
        rxn__text_printf(out, "\n");
    }
    print_findings(&printer);
    rxn__arena_release(printer.scratch);
}
