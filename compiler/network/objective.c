/* objective.c: what is known of an objective: which times it reads, and the facts that decide which
 * estimator can be used and whether it is unbiased.
 */
#include "compiler/network/objective.h"
#include "compiler/network/internal.h"

#include <math.h>
#include <stdlib.h>

/* ---- Linear forms ------------------------------------------------------------------------------ */

static bool
has_quantity(const Network *network, Expr expr)
{
    return expr_node(network, expr)->uses & USES_QUANTITY;
}

/* Goes from a node to its arguments, as the coefficient of the node says; false where it is no sum and
 * no multiple. */
static bool
descend(Network *network, Expr *coefficients, Expr expr)
{
    const ExprNode node = *expr_node(network, expr);
    const Expr c = coefficients[expr];
    Expr a = node.args[0], b = node.args[1];
    switch (node.op) {
    case EXPR_NEG: b = 0; break;
    case EXPR_ADD:
    case EXPR_SUB: break;
    case EXPR_MUL:
        if (has_quantity(network, a) && has_quantity(network, b))
            return false;
        if (has_quantity(network, b)) {
            a = node.args[1];
            b = node.args[0];
        }
        break;
    case EXPR_DIV:
        if (has_quantity(network, b))
            return false;
        break;
    default: return false;
    }
    const bool is_multiple = node.op == EXPR_MUL || node.op == EXPR_DIV;
    Expr to_a = c, to_b = c;
    if (is_multiple)
        to_a = expr_binary(network, (ExprOp)node.op, c, b);
    else if (node.op == EXPR_NEG)
        to_a = expr_unary(network, EXPR_NEG, c);
    else if (node.op == EXPR_SUB)
        to_b = expr_unary(network, EXPR_NEG, c);
    coefficients[a] =
        coefficients[a] ? expr_binary(network, EXPR_ADD, coefficients[a], to_a) : to_a;
    if (b != 0 && !is_multiple)
        coefficients[b] =
            coefficients[b] ? expr_binary(network, EXPR_ADD, coefficients[b], to_b) : to_b;
    return true;
}

void
rxn__expr_linear_form(Network *network, Expr root, bool (*stops)(void *context, Expr expr),
                      void *context, Arena *arena, LinearForm *ret_form)
{
    ExprList list = {0};
    rxn__expr_collect_begin(network);
    rxn__expr_collect(network, root, arena, &list);
    Expr *coefficients = NEW_ARRAY(arena, Expr, network->exprs.count);
    *ret_form = (LinearForm){.constant = rxn__expr_number(network, 0)};
    coefficients[root] = rxn__expr_number(network, 1);
    /* Every node comes before its arguments: its coefficient is complete when it is looked at. */
    for (u32 i = list.count; i-- > 0;) {
        Expr expr = list.items[i];
        if (coefficients[expr] == 0)
            continue;
        if (!has_quantity(network, expr)) {
            Expr term = expr_binary(network, EXPR_MUL, coefficients[expr], expr);
            ret_form->constant = expr_binary(network, EXPR_ADD, ret_form->constant, term);
        } else if (stops(context, expr) || !descend(network, coefficients, expr)) {
            vec_push(arena, &ret_form->terms, ((LinearTerm){expr, coefficients[expr]}));
        }
    }
}

static bool
never_stops(void *context, Expr expr)
{
    (void)context;
    (void)expr;
    return false;
}

static int
compare_terms(const void *a, const void *b)
{
    u32 x = ((const OutputTerm *)a)->functional, y = ((const OutputTerm *)b)->functional;
    return (x > y) - (x < y);
}

bool
rxn__output_terms(Network *network, u32 output, Arena *arena, OutputTerms *ret_terms)
{
    LinearForm form;
    rxn__expr_linear_form(network, network->objective->outputs.items[output].value, never_stops,
                          NULL, arena, &form);
    *ret_terms = (OutputTerms){.constant = form.constant, .numbers = true};
    for (u32 i = 0; i < form.terms.count; i++) {
        const LinearTerm *term = &form.terms.items[i];
        const ExprNode *leaf = expr_node(network, term->node);
        if (leaf->op != EXPR_QUANTITY)
            return false;
        ret_terms->numbers &= !(expr_node(network, term->coefficient)->uses &
                                (USES_PARAMS | USES_INPUTS | USES_HOISTED));
        vec_push(arena, &ret_terms->terms, ((OutputTerm){leaf->object, term->coefficient}));
    }
    qsort(ret_terms->terms.items, ret_terms->terms.count, sizeof *ret_terms->terms.items,
          compare_terms);
    return true;
}

/* ---- Facts of functionals ---------------------------------------------------------------------- */

static void
collect(const Network *network, Expr expr, Arena *arena, ExprList *list)
{
    Network *own = network_for_tables(network);
    list->count = 0;
    rxn__expr_collect_begin(own);
    rxn__expr_collect(own, expr, arena, list);
}

/* 0: free of it, 1: affine, 2: anything else. */
static u8
degree(const Network *network, const ExprList *list, u16 in, Arena *arena)
{
    u8 *degrees = NEW_ARRAY(arena, u8, network->exprs.count);
    for (u32 i = 0; i < list->count; i++)
        degrees[list->items[i]] = rxn__node_degree(network, degrees, list->items[i], in);
    return degrees[list->items[list->count - 1]];
}

/* Does it jump where what it is a function of passes continuously through a value? */
static bool
is_rough(const Network *network, const ExprList *list, u16 in)
{
    for (u32 i = 0; i < list->count; i++) {
        const ExprNode *node = expr_node(network, list->items[i]);
        bool jumps =
            expr_is_comparison((ExprOp)node->op) || node->op == EXPR_FLOOR || node->op == EXPR_CEIL;
        if (jumps && node->uses & in)
            return true;
    }
    return false;
}

static int
compare_u32(const void *a, const void *b)
{
    u32 x = *(const u32 *)a, y = *(const u32 *)b;
    return (x > y) - (x < y);
}

void
rxn__functional_facts(const Network *network, u32 functional, Arena *arena,
                      FunctionalFacts *ret_facts)
{
    const Objective *objective = network->objective;
    const Functional *f = &objective->functionals.items[functional];
    Arena *scratch = &network->tables->scratch;
    ExprList list = {0};
    collect(network, f->value, scratch, &list);
    FunctionalFacts facts = {.one_time = true};
    facts.affine = degree(network, &list, USES_QUANTITY, scratch) <= 1;
    facts.differentiable = !is_rough(network, &list, USES_QUANTITY);
    facts.explicit_params = expr_node(network, f->value)->uses & USES_PARAMS;
    facts.atoms = NEW_ARRAY(arena, u32, list.count);
    for (u32 i = 0; i < list.count; i++) {
        const ExprNode *node = expr_node(network, list.items[i]);
        if (node->op == EXPR_QUANTITY)
            facts.atoms[facts.atom_count++] = node->object;
    }
    qsort(facts.atoms, facts.atom_count, sizeof *facts.atoms, compare_u32);
    facts.rough = NEW_ARRAY(arena, u32, facts.atom_count);
    /* One expression read at many times is looked at once. */
    Expr known = 0;
    bool known_affine = false, known_rough = false;
    for (u32 i = 0; i < facts.atom_count; i++) {
        const Atom *atom = &objective->atoms.items[facts.atoms[i]];
        if (atom->value != known) {
            collect(network, atom->value, scratch, &list);
            known = atom->value;
            known_affine = degree(network, &list, USES_SPECIES, scratch) <= 1;
            known_rough = is_rough(network, &list, USES_SPECIES);
        }
        const bool passage = atom->kind == ATOM_PASSAGE;
        facts.has_integral |= atom->kind == ATOM_INTEGRAL;
        facts.has_passage |= passage;
        facts.one_time &= atom->kind == ATOM_STATE && atom->to == f->last;
        facts.affine &= !passage && known_affine;
        facts.explicit_params |= (expr_node(network, atom->value)->uses & USES_PARAMS) != 0;
        if (passage || known_rough)
            facts.rough[facts.rough_count++] = facts.atoms[i];
    }
    facts.differentiable &= facts.rough_count == 0;
    rxn__arena_release(scratch);
    *ret_facts = facts;
}

/* ---- What follows from the rest ---------------------------------------------------------------- */

static int
compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void
rxn__objective_finish(Network *network)
{
    Objective *objective = network->objective;
    Arena *scratch = &network->tables->scratch;
    ExprList list = {0};
    for (u32 i = 0; i < objective->functionals.count; i++) {
        Functional *functional = &objective->functionals.items[i];
        collect(network, functional->value, scratch, &list);
        functional->last = 0;
        for (u32 k = 0; k < list.count; k++) {
            const ExprNode *node = expr_node(network, list.items[k]);
            if (node->op == EXPR_QUANTITY && node->object < objective->atoms.count)
                functional->last = fmax(functional->last, objective->atoms.items[node->object].to);
        }
    }
    rxn__arena_release(scratch);

    objective->times.count = 0;
    for (u32 i = 0; i < objective->atoms.count; i++) {
        const Atom *atom = &objective->atoms.items[i];
        vec_push(network->arena, &objective->times, atom->to);
        if (atom->kind == ATOM_INTEGRAL)
            vec_push(network->arena, &objective->times, atom->from);
    }
    double *times = objective->times.items;
    if (objective->times.count > 0)
        qsort(times, objective->times.count, sizeof *times, compare_times);
    u32 distinct = 0;
    for (u32 i = 0; i < objective->times.count; i++)
        if (distinct == 0 || times[i] != times[distinct - 1])
            times[distinct++] = times[i];
    objective->times.count = distinct;
    objective->end = distinct > 0 ? times[distinct - 1] : 0;
}
