/* show.c: reactions and conservation laws as people write them, to be read and not to be read back.
 *
 * A reaction is a line of the language: its changes behind `=>`, with the whole propensity, mass action written out. A
 * family stays one line, in a `for`. Hoisted values are written where they are used.
 */
#include "compiler/network/network.h"

#include <string.h>

enum {
    MOST_LINE = 4000
}; /* bytes of an expression, which may be far larger as a tree than as a graph */

typedef enum Binding { LOOSE, OR, AND, NOT, COMPARISON, SUM, PRODUCT, SIGN, POWER, ATOM } Binding;

typedef struct Writer {
    Network *network;
    Text *out;
    size_t end; /* of the text, for this line */
} Writer;

static void
put(Writer *writer, const char *text)
{
    rxn__text_append(writer->out, text, strlen(text));
}

static void put_expr(Writer *writer, Expr expr, Binding around);

static void
put_name(Writer *writer, Name name, const ExprNode *node)
{
    put(writer, name->text);
    for (u32 d = 0; d < node->arg_count; d++) {
        put(writer, d ? ", " : "[");
        put_expr(writer, node->args[d], LOOSE);
    }
    put(writer, node->arg_count ? "]" : "");
}

static void
put_infix(Writer *writer, const ExprNode *node, const char *operator, Binding left, Binding right)
{
    put_expr(writer, node->args[0], left);
    put(writer, operator);
    put_expr(writer, node->args[1], right);
}

/* C(x, n) as x*(x - 1)*…/n! */
static void
put_choose(Writer *writer, const ExprNode *node)
{
    const u32 n = (u32)node->number;
    double factorial = 1;
    for (u32 k = 0; k < n; k++) {
        factorial *= k + 1;
        if (k > 0)
            put(writer, "*(");
        put_expr(writer, node->args[0], k > 0 ? SUM : PRODUCT);
        if (k > 0)
            rxn__text_printf(writer->out, " - %u)", k);
    }
    if (n > 1) {
        put(writer, "/");
        rxn__text_f64(writer->out, factorial);
    }
}

static void
put_over(Writer *writer, const ExprNode *node, const char *word)
{
    const Variable *variable = &writer->network->variables.items[node->object];
    rxn__text_printf(writer->out, "%s(%s in %lld .. %lld: ", word, variable->name->text,
                     (long long)variable->low, (long long)variable->high);
    put_expr(writer, node->args[0], LOOSE);
    put(writer, ")");
}

static void
put_hoisted(Writer *writer, const ExprNode *node, Binding around)
{
    const Hoisted *hoisted = &writer->network->hoisted.items[node->object];
    Expr value = hoisted->value;
    if (hoisted->shape.rank > 0)
        value = rxn__expr_substitute(writer->network, value, hoisted->shape.rank,
                                     hoisted->variables, node->args);
    put_expr(writer, value, around);
}

static Binding
binding_of(const ExprNode *node)
{
    switch ((ExprOp)node->op) {
    case EXPR_SELECT: return LOOSE;
    case EXPR_OR: return OR;
    case EXPR_AND: return AND;
    case EXPR_NOT: return NOT;
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_EQ:
    case EXPR_NE: return COMPARISON;
    case EXPR_ADD:
    case EXPR_SUB: return SUM;
    case EXPR_MUL:
    case EXPR_DIV: return PRODUCT;
    case EXPR_NEG: return SIGN;
    case EXPR_POW: return POWER;
    case EXPR_CHOOSE: return node->number > 1 ? PRODUCT : ATOM;
    case EXPR_NUMBER: return node->number < 0 ? SIGN : ATOM;
    default: return ATOM;
    }
}

static void
put_call(Writer *writer, const ExprNode *node)
{
    put(writer, rxn__expr_ops[node->op].text);
    for (u32 k = 0; k < node->arg_count; k++) {
        put(writer, k ? ", " : "(");
        put_expr(writer, node->args[k], LOOSE);
    }
    put(writer, ")");
}

static void
put_node(Writer *writer, const ExprNode *node)
{
    const Network *network = writer->network;
    switch ((ExprOp)node->op) {
    case EXPR_NUMBER: rxn__text_f64(writer->out, node->number); break;
    case EXPR_BOOLEAN: put(writer, node->number != 0 ? "true" : "false"); break;
    case EXPR_TIME: put(writer, "t"); break;
    case EXPR_VARIABLE: put(writer, network->variables.items[node->object].name->text); break;
    case EXPR_SPECIES: put_name(writer, network->species.items[node->object].name, node); break;
    case EXPR_PARAM: put_name(writer, network->params.items[node->object].name, node); break;
    case EXPR_INPUT: put_name(writer, network->inputs.items[node->object].name, node); break;
    case EXPR_NEG:
        put(writer, "-");
        put_expr(writer, node->args[0], SIGN);
        break;
    case EXPR_NOT:
        put(writer, "not ");
        put_expr(writer, node->args[0], NOT);
        break;
    case EXPR_ADD: put_infix(writer, node, " + ", SUM, SUM); break;
    case EXPR_SUB: put_infix(writer, node, " - ", SUM, PRODUCT); break;
    case EXPR_MUL: put_infix(writer, node, "*", PRODUCT, SIGN); break;
    case EXPR_DIV: put_infix(writer, node, "/", PRODUCT, SIGN); break;
    case EXPR_POW: put_infix(writer, node, "^", ATOM, POWER); break;
    case EXPR_LT: put_infix(writer, node, " < ", SUM, SUM); break;
    case EXPR_LE: put_infix(writer, node, " <= ", SUM, SUM); break;
    case EXPR_EQ: put_infix(writer, node, " == ", SUM, SUM); break;
    case EXPR_NE: put_infix(writer, node, " != ", SUM, SUM); break;
    case EXPR_AND: put_infix(writer, node, " and ", AND, AND); break;
    case EXPR_OR: put_infix(writer, node, " or ", OR, OR); break;
    case EXPR_CHOOSE: put_choose(writer, node); break;
    case EXPR_SUM: put_over(writer, node, "sum"); break;
    case EXPR_PROD: put_over(writer, node, "prod"); break;
    case EXPR_SELECT:
        put(writer, "if ");
        put_expr(writer, node->args[0], LOOSE);
        put(writer, " then ");
        put_expr(writer, node->args[1], LOOSE);
        put(writer, " else ");
        put_expr(writer, node->args[2], LOOSE);
        break;
    default: put_call(writer, node); break;
    }
}

static void
put_expr(Writer *writer, Expr expr, Binding around)
{
    if (writer->out->length > writer->end) {
        put(writer, "...");
        return;
    }
    const ExprNode node = *expr_node(writer->network, expr); /* (the list of nodes may move) */
    if (node.op == EXPR_HOISTED) {
        put_hoisted(writer, &node, around);
        return;
    }
    const bool brackets = binding_of(&node) < around;
    put(writer, brackets ? "(" : "");
    put_node(writer, &node);
    put(writer, brackets ? ")" : "");
}

static void
put_side(Writer *writer, const Term *terms, u32 count)
{
    if (count == 0)
        put(writer, "0");
    for (u32 k = 0; k < count; k++) {
        const Species *species = &writer->network->species.items[terms[k].species];
        put(writer, k ? " + " : "");
        if (terms[k].coefficient != 1)
            rxn__text_printf(writer->out, "%u ", terms[k].coefficient);
        put(writer, species->name->text);
        for (u32 d = 0; d < species->shape.rank; d++) {
            put(writer, d ? ", " : "[");
            put_expr(writer, terms[k].index[d], LOOSE);
        }
        put(writer, species->shape.rank ? "]" : "");
    }
}

void
rxn__rates_print(Network *network, Text *out)
{
    for (u32 r = 0; r < network->reactions.count; r++) {
        Writer writer = {network, out, SIZE_MAX};
        const Reaction *reaction = &network->reactions.items[r];
        for (u32 k = 0; k < reaction->variable_count; k++) {
            const Variable *variable = &network->variables.items[reaction->variables[k]];
            rxn__text_printf(out, "for %s in %lld .. %lld { ", variable->name->text,
                             (long long)variable->low, (long long)variable->high);
        }
        rxn__text_printf(out, "%s: ", reaction->label->text);
        put_side(&writer, reaction->reactants.items, reaction->reactants.count);
        put(&writer, " => ");
        put_side(&writer, reaction->products.items, reaction->products.count);
        put(&writer, " @ ");
        writer.end = out->length + MOST_LINE;
        put_expr(&writer, reaction->propensity, LOOSE);
        for (u32 k = 0; k < reaction->variable_count; k++)
            put(&writer, " }");
        put(&writer, "\n");
    }
}

void
rxn__law_print(const Network *network, const ConservationLaw *law, u32 most_terms, Arena *arena,
               Text *out)
{
    for (u32 k = 0; k < law->terms.count && k < most_terms; k++) {
        const i64 c = law->terms.items[k].coefficient;
        rxn__text_printf(out, "%s", k ? (c < 0 ? " - " : " + ") : (c < 0 ? "-" : ""));
        if (c != 1 && c != -1)
            rxn__text_printf(out, "%lld ", (long long)(c < 0 ? -c : c));
        rxn__text_printf(out, "%s", rxn__species_label(network, law->terms.items[k].member, arena));
    }
    if (law->terms.count > most_terms)
        rxn__text_printf(out, " + … (%u terms)", law->terms.count);
}

void
rxn__laws_print(const Network *network, Arena *arena, Text *out)
{
    if (network->laws_skipped)
        rxn__text_printf(out, "conservation laws were not looked for: the network is too large\n");
    else if (network->laws.count == 0)
        rxn__text_printf(out, "nothing is conserved\n");
    for (u32 k = 0; k < network->laws.count; k++) {
        rxn__law_print(network, &network->laws.items[k], UINT32_MAX, arena, out);
        rxn__text_printf(out, "\n");
    }
    if (network->laws.count > 0 && network->events.count > 0)
        rxn__text_printf(out, "(between events)\n");
}
