/* grad_family.c: see grad_family.h. */
#include "compiler/method/grad_family.h"

#include <string.h>

/* Parameters that functionals read themselves: each is written out. */
enum { MOST_EXPLICIT = 1000 };

/* Leaves of one trajectory: a row is to be kept for many of them. */
enum { MOST_LEAVES = 1 << 20 };

/* ---- which parameters act ---------------------------------------------------------------------- */

/* Marks of what has a parameter of the request in it. */
typedef struct Reach {
    const Network *network;
    Arena *arena;
    bool *wanted; /* [flat params] */
    u8 *hoisted;  /* [hoisted]: 0 not known, 1 no, 2 yes */
    bool found;
} Reach;

static bool
has_wanted(const Reach *reach, u32 param)
{
    const Param *declared = &reach->network->params.items[param];
    u64 count = rxn__shape_count(&declared->shape);
    for (u64 k = 0; k < count; k++)
        if (reach->wanted[declared->flat + k])
            return true;
    return false;
}

static bool hoisted_is_reached(Reach *reach, u32 number);

static void
visit_reach(void *context, Expr expr)
{
    Reach *reach = context;
    const ExprNode *node = expr_node(reach->network, expr);
    if (node->op == EXPR_PARAM)
        reach->found |= has_wanted(reach, node->object);
    else if (node->op == EXPR_HOISTED)
        reach->found |= hoisted_is_reached(reach, node->object);
}

static bool
hoisted_is_reached(Reach *reach, u32 number)
{
    if (reach->hoisted[number])
        return reach->hoisted[number] == 2;
    Reach inner = *reach;
    inner.found = false;
    rxn__expr_walk(reach->network, reach->network->hoisted.items[number].value, reach->arena,
                   visit_reach, &inner);
    reach->hoisted[number] = inner.found ? 2 : 1;
    return inner.found;
}

static Reach
reach_of(const GradientRequest *request, Arena *arena)
{
    const Network *network = request->network;
    Reach reach = {.network = network,
                   .arena = arena,
                   .wanted = NEW_ARRAY(arena, bool, (size_t)network->param_count + 1),
                   .hoisted = NEW_ARRAY(arena, u8, network->hoisted.count + 1)};
    for (u32 p = 0; p < request->wrt_count; p++)
        reach.wanted[request->wrt[p]] = true;
    return reach;
}

/* ---- what functionals read themselves ----------------------------------------------------------- */

typedef struct ExplicitReads {
    const Network *network;
    Arena *arena;
    bool *param;   /* [params] */
    bool *hoisted; /* [hoisted]: seen */
} ExplicitReads;

static void
visit_explicit(void *context, Expr expr)
{
    ExplicitReads *reads = context;
    const ExprNode *node = expr_node(reads->network, expr);
    if (node->op == EXPR_PARAM)
        reads->param[node->object] = true;
    if (node->op != EXPR_HOISTED || reads->hoisted[node->object])
        return;
    reads->hoisted[node->object] = true;
    rxn__expr_walk(reads->network, reads->network->hoisted.items[node->object].value, reads->arena,
                   visit_explicit, reads);
}

/* The flat parameters of the request that a functional or an atom reads. */
static void
find_explicit(const GradientRequest *request, Arena *arena, u32 *ret_count, u32 **ret_flat)
{
    const Network *network = request->network;
    const Objective *objective = network->objective;
    ExplicitReads reads = {network, arena, NEW_ARRAY(arena, bool, network->params.count + 1),
                           NEW_ARRAY(arena, bool, network->hoisted.count + 1)};
    for (u32 k = 0; k < objective->functionals.count; k++)
        rxn__expr_walk(network, objective->functionals.items[k].value, arena, visit_explicit,
                       &reads);
    for (u32 k = 0; k < objective->atoms.count; k++)
        if (objective->atoms.items[k].kind != ATOM_PASSAGE)
            rxn__expr_walk(network, objective->atoms.items[k].value, arena, visit_explicit, &reads);
    bool *read = NEW_ARRAY(arena, bool, (size_t)network->param_count + 1);
    for (u32 k = 0; k < network->params.count; k++) {
        const Param *param = &network->params.items[k];
        if (reads.param[k])
            memset(&read[param->flat], true, rxn__shape_count(&param->shape));
    }
    u32 *flat = NEW_ARRAY(arena, u32, (size_t)request->wrt_count + 1);
    *ret_count = 0;
    for (u32 p = 0; p < request->wrt_count; p++)
        if (read[request->wrt[p]])
            flat[(*ret_count)++] = request->wrt[p];
    *ret_flat = flat;
}

/* ---- leaves ------------------------------------------------------------------------------------ */

static const Shape *
shape_of(const Network *network, ExprOp op, u32 object)
{
    return op == EXPR_PARAM     ? &network->params.items[object].shape
           : op == EXPR_HOISTED ? &network->hoisted.items[object].shape
                                : &network->species.items[object].shape;
}

static const FamilyBlock *
block_of(const Families *families, ExprOp op, u32 object)
{
    for (u32 k = 0; k < families->blocks.count; k++)
        if (families->blocks.items[k].op == op && families->blocks.items[k].object == object)
            return &families->blocks.items[k];
    return NULL;
}

static void
visit_blocks(void *context, Expr expr)
{
    struct {
        Families *families;
        Reach *reach;
    } *search = context;
    Families *families = search->families;
    const ExprNode *node = expr_node(families->network, expr);
    ExprOp op = (ExprOp)node->op;
    bool acts = op == EXPR_PARAM     ? has_wanted(search->reach, node->object)
                : op == EXPR_HOISTED ? hoisted_is_reached(search->reach, node->object)
                                     : false;
    if (!acts || block_of(families, op, node->object))
        return;
    FamilyBlock block = {.op = op,
                         .object = node->object,
                         .first = families->leaves,
                         .count =
                             (u32)rxn__shape_count(shape_of(families->network, op, node->object))};
    vec_push(families->arena, &families->blocks, block);
    families->leaves += block.count;
}

static void
find_blocks(Families *families, bool assigned)
{
    const Network *network = families->network;
    Reach reach = reach_of(families->request, families->arena);
    struct {
        Families *families;
        Reach *reach;
    } search = {families, &reach};
    for (u32 r = 0; r < network->reactions.count; r++)
        rxn__expr_walk(network, network->reactions.items[r].propensity, families->arena,
                       visit_blocks, &search);
    if (!assigned)
        return;
    for (u32 e = 0; e < network->events.count; e++) {
        const Event *event = &network->events.items[e];
        for (u32 k = 0; k < event->assignments.count; k++)
            rxn__expr_walk(network, event->assignments.items[k].value, families->arena,
                           visit_blocks, &search);
    }
}

GradientLeaf *
rxn__family_leaves(const Families *families)
{
    const Network *network = families->network;
    GradientLeaf *leaves = NEW_ARRAY(families->arena, GradientLeaf, (size_t)families->leaves + 1);
    for (u32 k = 0; k < families->blocks.count; k++) {
        const FamilyBlock *block = &families->blocks.items[k];
        u32 flat = block->op == EXPR_PARAM ? network->params.items[block->object].flat : 0;
        for (u32 l = 0; l < block->count; l++)
            leaves[block->first + l] =
                (GradientLeaf){.op = block->op, .object = block->object, .flat = flat + l};
    }
    for (u32 k = 0; k < families->explicit_request.wrt_count; k++)
        leaves[families->explicit_first + k] =
            (GradientLeaf){.op = EXPR_PARAM, .flat = families->explicit_request.wrt[k]};
    return leaves;
}

/* ---- derivatives ------------------------------------------------------------------------------- */

void
rxn__family_derive(const Families *families, Expr expr, LeafDerivatives *species,
                   LeafDerivatives *leaves, LeafDerivatives *sums)
{
    LeafDerivatives all = {0};
    rxn__expr_derivatives(families->network, expr, families->arena, &all);
    for (u32 k = 0; k < all.count; k++) {
        const ExprNode *node = expr_node(families->network, all.items[k].leaf);
        bool is_leaf = block_of(families, (ExprOp)node->op, node->object) != NULL;
        LeafDerivatives *list = node->op == EXPR_SPECIES    ? species
                                : node->op == EXPR_QUANTITY ? sums
                                : is_leaf                   ? leaves
                                                            : NULL;
        if (list)
            vec_push(families->arena, list, all.items[k]);
    }
}

static bool
same_place(const Network *network, const Term *a, const Term *b)
{
    if (a->species != b->species)
        return false;
    for (u32 k = 0; k < network->species.items[a->species].shape.rank; k++)
        if (a->index[k] != b->index[k])
            return false;
    return true;
}

/* A species that is on both sides changes by the difference alone. */
static void
add_change(const Network *network, FamilyLaw *law, const Term *term, i32 sign)
{
    u32 k = 0;
    while (k < law->change_count && !same_place(network, law->changes[k].term, term))
        k++;
    law->changes[k].term = term;
    law->changes[k].delta += sign * (i32)term->coefficient;
    law->change_count += k == law->change_count;
}

static void
find_changes(const Families *families, FamilyLaw *law)
{
    const Reaction *reaction = &law->reaction;
    u32 most = reaction->reactants.count + reaction->products.count, kept = 0;
    law->changes = NEW_ARRAY(families->arena, FamilyChange, most + 1);
    for (u32 k = 0; k < reaction->products.count; k++)
        add_change(families->network, law, &reaction->products.items[k], 1);
    for (u32 k = 0; k < reaction->reactants.count; k++)
        add_change(families->network, law, &reaction->reactants.items[k], -1);
    for (u32 k = 0; k < law->change_count; k++)
        if (law->changes[k].delta)
            law->changes[kept++] = law->changes[k];
    law->change_count = kept;
}

void
rxn__family_begin(Families *families, const GradientRequest *request, Arena *arena, bool assigned)
{
    Network *network = request->network;
    *families = (Families){.network = network, .arena = arena, .request = request};
    find_blocks(families, assigned);
    u32 *explicit_params;
    families->explicit_request = *request;
    find_explicit(request, arena, &families->explicit_request.wrt_count, &explicit_params);
    families->explicit_request.wrt = explicit_params;
    families->explicit_first = families->leaves;
    families->leaves += families->explicit_request.wrt_count;
    families->laws = NEW_ARRAY(arena, FamilyLaw, network->reactions.count + 1);
    for (u32 r = 0; r < network->reactions.count; r++) {
        FamilyLaw *law = &families->laws[families->law_count];
        *law = (FamilyLaw){.reaction = network->reactions.items[r]};
        if (law->reaction.count == 0)
            continue;
        rxn__family_derive(families, law->reaction.propensity, &law->species, &law->leaves, NULL);
        find_changes(families, law);
        families->law_count++;
    }
}

/* ---- in the kernel ----------------------------------------------------------------------------- */

/* Entries for up to this many values of their variables are written out, as families are. */
enum { UNROLL_BOUND = 16 };

static void
ranges(const Network *network, u32 count, const u32 *variables, i64 *ret_low, i64 *ret_high)
{
    for (u32 k = 0; k < count; k++) {
        ret_low[k] = network->variables.items[variables[k]].low;
        ret_high[k] = network->variables.items[variables[k]].high;
    }
}

void
rxn__family_each(const Families *families, const FamilyLaw *law, const MemberVisit *visit)
{
    i64 low[RXN_MAX_RANK], high[RXN_MAX_RANK];
    const Reaction *reaction = &law->reaction;
    ranges(families->network, reaction->variable_count, reaction->variables, low, high);
    rxn__lower_forget(&families->frame->lower);
    rxn__ssa_each_member(families->frame, reaction->variable_count, reaction->variables, low, high,
                         visit);
    rxn__lower_forget(&families->frame->lower);
}

static u32
first_place(const Families *families, u32 species)
{
    return families->places ? families->places[species]
                            : families->network->species.items[species].flat;
}

static KirValue
place_of(const Families *families, const LeafDerivative *entry)
{
    const Network *network = families->network;
    const ExprNode node = *expr_node(network, entry->leaf);
    ExprOp op = (ExprOp)node.op;
    u32 first = op == EXPR_SPECIES ? first_place(families, node.object)
                                   : block_of(families, op, node.object)->first;
    return rxn__lower_flat(&families->frame->lower, shape_of(network, op, node.object), first,
                           node.args);
}

void
rxn__family_add_value(const Families *families, const LeafDerivative *entry, const FamilySum *sum,
                      KirValue slope)
{
    KirBuilder *b = families->frame->builder;
    if (sum->absolute)
        slope = kir_abs(b, slope);
    KirValue place = place_of(families, entry);
    if (sum->base)
        place = kir_add(b, place, sum->base);
    rxn__kir_set(b, sum->local, place,
                 kir_fma(b, slope, sum->factor, rxn__kir_get(b, sum->local, place)));
}

/* Like rxn__ssa_each_member, but what has been lowered outside stays known inside. */
static void
add_over(const Families *families, const LeafDerivative *entry, const FamilySum *sum, u32 depth,
         bool unroll)
{
    Lowering *lower = &families->frame->lower;
    KirBuilder *b = families->frame->builder;
    if (depth == entry->bound_count) {
        KirValue slope = rxn__lower_as(&families->frame->lower, entry->derivative, KIR_F64);
        rxn__family_add_value(families, entry, sum, slope);
        return;
    }
    u32 variable = entry->bound[depth], mark = rxn__lower_mark(lower);
    Variable range = families->network->variables.items[variable];
    for (i64 k = range.low; unroll && k <= range.high; k++) {
        lower->variable_value[variable] = rxn__kir_const(b, KIR_I32, (double)k);
        add_over(families, entry, sum, depth + 1, unroll);
        rxn__lower_forget_since(lower, mark);
    }
    if (!unroll && range.low <= range.high) {
        lower->variable_value[variable] =
            rxn__kir_for(b, rxn__kir_const(b, KIR_I32, (double)range.low),
                         rxn__kir_const(b, KIR_I32, (double)range.high + 1));
        add_over(families, entry, sum, depth + 1, unroll);
        rxn__kir_close(b);
        rxn__lower_forget_since(lower, mark);
    }
    lower->variable_value[variable] = 0;
}

/* Whether all its variables have values: neither the entry's own, nor those of a sum around it. */
static bool
is_ready(const Families *families, Expr expr)
{
    const Lowering *lower = &families->frame->lower;
    u32 count;
    const u32 *variables = rxn__expr_free_variables(families->network, expr, &count);
    for (u32 k = 0; k < count; k++)
        if (variables[k] >= lower->variable_capacity || !lower->variable_value[variables[k]])
            return false;
    return true;
}

/* A sum in front of the loops is made before them: the passes move no loop out of a loop. */
static void
visit_outside(void *context, Expr expr)
{
    const Families *families = context;
    ExprOp op = (ExprOp)expr_node(families->network, expr)->op;
    if ((op == EXPR_SUM || op == EXPR_PROD) && is_ready(families, expr))
        rxn__lower_as(&families->frame->lower, expr, KIR_F64);
}

void
rxn__family_add(const Families *families, const LeafDerivative *entry, const FamilySum *sum)
{
    Lowering *lower = &families->frame->lower;
    u64 count = 1;
    for (u32 k = 0; k < entry->bound_count; k++) {
        Variable range = families->network->variables.items[entry->bound[k]];
        count *= range.high < range.low ? 0 : (u64)(range.high - range.low) + 1;
        rxn__lower_bind(lower, entry->bound[k], 0); /* makes room */
    }
    if (entry->bound_count)
        rxn__expr_walk(families->network, entry->derivative, families->arena, visit_outside,
                       (void *)families);
    add_over(families, entry, sum, 0, count <= UNROLL_BOUND);
}

void
rxn__family_add_all(const Families *families, const LeafDerivatives *entries, const FamilySum *sum)
{
    for (u32 k = 0; k < entries->count; k++)
        rxn__family_add(families, &entries->items[k], sum);
}

void
rxn__family_if_member(const Families *families, const FamilyLaw *law, KirValue flat)
{
    SsaFrame *frame = families->frame;
    KirBuilder *b = frame->builder;
    KirValue first = rxn__kir_const(b, KIR_I32, law->reaction.flat);
    KirValue behind = rxn__kir_const(b, KIR_I32, (double)law->reaction.flat + law->reaction.count);
    rxn__kir_if(b, kir_and(b, kir_ge(b, flat, first), kir_lt(b, flat, behind)));
    rxn__lower_forget(&frame->lower);
    rxn__ssa_bind_reaction(frame, &law->reaction, flat);
}

void
rxn__family_close(const Families *families)
{
    rxn__kir_close(families->frame->builder);
    rxn__lower_forget(&families->frame->lower);
}

KirValue
rxn__family_change_place(const Families *families, const FamilyChange *change)
{
    const Species *species = &families->network->species.items[change->term->species];
    return rxn__lower_flat(&families->frame->lower, &species->shape,
                           first_place(families, change->term->species), change->term->index);
}

void
rxn__family_store(const Families *families, u32 column, u32 count, u32 local, KirValue from)
{
    SsaFrame *frame = families->frame;
    KirBuilder *b = frame->builder;
    if (count == 0)
        return;
    KirValue k = rxn__kir_for(b, rxn__kir_const(b, KIR_I32, 0), rxn__kir_const(b, KIR_I32, count));
    KirValue index[2] = {rxn__kir_const(b, KIR_I32, 0),
                         kir_add(b, k, rxn__kir_const(b, KIR_I32, column))};
    rxn__kir_store(b, frame->sample, index, rxn__kir_get(b, local, kir_add(b, k, from)));
    rxn__kir_close(b);
}

/* ---- what it can do ---------------------------------------------------------------------------- */

/* Pairs of a reaction and a parameter whose derivatives are written out; and up to how many that is no slower than
 * loops: 8 reactions by 164 parameters take the same time both ways, and twice as long to compile when written
 * out, 20 by 2,010 ten times as long and forty times. */
enum { MOST_PAIRS = 100000, FEW_PAIRS = 1000 };

bool
rxn__gradient_unrolls(const GradientRequest *request, Text *ret_reason)
{
    const Network *network = request->network;
    const char *others = "'score' and 'path' go over large networks in loops";
    Text why;
    rxn__text_init(&why, network->arena);
    if (!rxn__ssa_unrolled_applies(network, &why)) {
        rxn__text_printf(ret_reason, "%s; %s", why.data, others);
        return false;
    }
    if ((u64)network->reaction_count * request->wrt_count <= MOST_PAIRS)
        return true;
    rxn__text_printf(ret_reason,
                     "the derivatives of %u reactions by %u parameters are too many to be written "
                     "out one by one; %s",
                     network->reaction_count, request->wrt_count, others);
    return false;
}

bool
rxn__family_applies(const GradientRequest *request, Text *ret_reason)
{
    Network *network = request->network;
    for (u32 r = 0; r < network->reactions.count; r++)
        if (rxn__expr_uses(network, network->reactions.items[r].propensity).time) {
            rxn__text_printf(ret_reason,
                             "for a network of this size rates have to be constant between given "
                             "times; in small ones score takes any");
            return false;
        }
    if (!rxn__ssa_table_applies(network, ret_reason))
        return false;
    u32 count, *flat;
    find_explicit(request, network->arena, &count, &flat);
    if (count > MOST_EXPLICIT) {
        rxn__text_printf(ret_reason,
                         "what is observed depends on %u parameters itself; for a network of this "
                         "size that may be %d, so name the others with --wrt alone",
                         count, (int)MOST_EXPLICIT);
        return false;
    }
    Families families = {.network = network, .arena = network->arena, .request = request};
    find_blocks(&families, true);
    u64 numbers = (u64)families.leaves * request->network->objective->functionals.count;
    if (numbers <= MOST_LEAVES)
        return true;
    rxn__text_printf(ret_reason,
                     "%u functionals of %u numbers through which parameters act are too many for "
                     "one trajectory; differentiate by fewer parameters with --wrt, or fewer "
                     "outputs at a time",
                     request->network->objective->functionals.count, families.leaves);
    return false;
}

GradientForm
rxn__family_form(const GradientRequest *request, Text *ret_reason)
{
    Text ignored;
    rxn__text_init(&ignored, request->network->arena);
    bool unrolled = rxn__gradient_unrolls(request, &ignored);
    u64 pairs = (u64)request->network->reaction_count * request->wrt_count;
    bool small = request->form == GRADIENT_FORM_AUTO && rxn__ssa_is_small(request->network) &&
                 pairs <= FEW_PAIRS;
    if (unrolled && (small || request->form == GRADIENT_FORM_UNROLLED))
        return GRADIENT_FORM_UNROLLED;
    if (request->form != GRADIENT_FORM_UNROLLED && rxn__family_applies(request, ret_reason))
        return GRADIENT_FORM_TABLE;
    if (unrolled && request->form == GRADIENT_FORM_AUTO)
        return GRADIENT_FORM_UNROLLED;
    if (request->form == GRADIENT_FORM_UNROLLED)
        rxn__gradient_unrolls(request, ret_reason);
    return GRADIENT_FORM_AUTO;
}
