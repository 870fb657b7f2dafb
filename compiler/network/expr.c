/* expr.c: the expression DAG. Every node is made here, once: nodes with equal content are one node
 * (hash-consing), so that equality of expressions is equality of numbers, shared work is shared
 * from the start, and passes can keep results in arrays indexed by node.
 *
 * A node's arguments always have smaller numbers than the node. Each node also knows, from its
 * making on, its free variables (an interned set) and what it depends on (bits), so both questions
 * cost nothing.
 */
#include "compiler/network/internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { REAL = 0, BOOL = 1 };

const ExprOpInfo rxn__expr_ops[EXPR_OP_COUNT] = {
#define EXPR(id, text, arity, takes, gives) [EXPR_##id] = {text, arity, takes, gives},
#include "compiler/network/expr.def"
#undef EXPR
};

/* ---- Sets of free variables ------------------------------------------------------------------ */

static u32
set_hash(const u32 *items, u32 count)
{
    u64 h = count;
    for (u32 i = 0; i < count; i++)
        h = hash_mix(h, items[i]);
    return (u32)h;
}

static void
sets_rehash(Network *network)
{
    ExprTables *tables = network->tables;
    u32 count = tables->set_slot_count == 0 ? 64 : tables->set_slot_count * 2;
    tables->set_slots = NEW_ARRAY(network->arena, u32, count);
    tables->set_slot_count = count;
    for (u32 i = 1; i < tables->sets.count; i++) {
        u32 slot = tables->sets.items[i].hash & (count - 1);
        while (tables->set_slots[slot] != 0)
            slot = (slot + 1) & (count - 1);
        tables->set_slots[slot] = i;
    }
}

static u32
set_intern(Network *network, const u32 *items, u32 count)
{
    ExprTables *tables = network->tables;
    if (count == 0)
        return 0;
    if (tables->sets.count * 2 >= tables->set_slot_count)
        sets_rehash(network);
    u32 hash = set_hash(items, count);
    u32 slot = hash & (tables->set_slot_count - 1);
    for (; tables->set_slots[slot] != 0; slot = (slot + 1) & (tables->set_slot_count - 1)) {
        const VariableSet *set = &tables->sets.items[tables->set_slots[slot]];
        if (set->hash == hash && set->count == count &&
            memcmp(set->items, items, count * sizeof *items) == 0)
            return tables->set_slots[slot];
    }
    u32 *copy = NEW_ARRAY(network->arena, u32, count);
    memcpy(copy, items, count * sizeof *items);
    vec_push(network->arena, &tables->sets,
             ((VariableSet){.count = count, .hash = hash, .items = copy}));
    tables->set_slots[slot] = tables->sets.count - 1;
    return tables->sets.count - 1;
}

static u32 *
set_buffer(Network *network, u32 count)
{
    ExprTables *tables = network->tables;
    if (tables->set_buffer_capacity < count) {
        tables->set_buffer_capacity = count * 2;
        tables->set_buffer = NEW_ARRAY(network->arena, u32, tables->set_buffer_capacity);
    }
    return tables->set_buffer;
}

static u32
set_union(Network *network, u32 a, u32 b)
{
    if (a == b || b == 0)
        return a;
    if (a == 0)
        return b;
    const VariableSet x = network->tables->sets.items[a], y = network->tables->sets.items[b];
    u32 *merged = set_buffer(network, x.count + y.count);
    u32 count = 0, i = 0, j = 0;
    while (i < x.count || j < y.count) {
        if (j == y.count || (i < x.count && x.items[i] < y.items[j])) {
            merged[count++] = x.items[i++];
        } else {
            if (i < x.count && x.items[i] == y.items[j])
                i++;
            merged[count++] = y.items[j++];
        }
    }
    if (count == x.count)
        return a;
    if (count == y.count)
        return b;
    return set_intern(network, merged, count);
}

static u32
set_without(Network *network, u32 a, u32 variable)
{
    const VariableSet x = network->tables->sets.items[a];
    u32 *rest = set_buffer(network, x.count + 1);
    u32 count = 0;
    for (u32 i = 0; i < x.count; i++)
        if (x.items[i] != variable)
            rest[count++] = x.items[i];
    return count == x.count ? a : set_intern(network, rest, count);
}

const u32 *
rxn__expr_free_variables(const Network *network, Expr expr, u32 *ret_count)
{
    const VariableSet *set = &network->tables->sets.items[expr_node(network, expr)->free_set];
    *ret_count = set->count;
    return set->items;
}

/* ---- Consing --------------------------------------------------------------------------------- */

static u64
number_bits(double value)
{
    u64 bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static u32
node_hash(const ExprNode *node)
{
    u64 h = hash_mix((u64)node->op | (u64)node->arg_count << 8 | (u64)node->object << 32,
                     number_bits(node->number));
    for (u32 i = 0; i < node->arg_count; i++)
        h = hash_mix(h, node->args[i]);
    return (u32)h;
}

static bool
node_equal(const ExprNode *a, const ExprNode *b)
{
    if (a->op != b->op || a->arg_count != b->arg_count || a->object != b->object ||
        number_bits(a->number) != number_bits(b->number))
        return false;
    for (u32 i = 0; i < a->arg_count; i++)
        if (a->args[i] != b->args[i])
            return false;
    return true;
}

static void
exprs_rehash(Network *network)
{
    u32 count = network->expr_slot_count == 0 ? 256 : network->expr_slot_count * 2;
    network->expr_slots = NEW_ARRAY(network->arena, u32, count);
    network->expr_slot_count = count;
    for (u32 i = 1; i < network->exprs.count; i++) {
        u32 slot = node_hash(&network->exprs.items[i]) & (count - 1);
        while (network->expr_slots[slot] != 0)
            slot = (slot + 1) & (count - 1);
        network->expr_slots[slot] = i;
    }
}

/* The slot where this key is, or where it belongs. */
static u32
find_slot(const Network *network, const ExprNode *key)
{
    u32 mask = network->expr_slot_count - 1;
    u32 slot = node_hash(key) & mask;
    while (network->expr_slots[slot] != 0 &&
           !node_equal(&network->exprs.items[network->expr_slots[slot]], key))
        slot = (slot + 1) & mask;
    return slot;
}

/* a op b is b op a, to the bit (save which of two NaNs comes out). */
static bool
op_commutes(u8 op)
{
    return op == EXPR_ADD || op == EXPR_MUL || op == EXPR_EQ || op == EXPR_NE || op == EXPR_AND ||
           op == EXPR_OR;
}

static u16
op_uses(u8 op)
{
    switch (op) {
    case EXPR_TIME: return USES_TIME;
    case EXPR_TIME_LOW:
    case EXPR_TIME_HIGH: return USES_TIME_LOW_HIGH;
    case EXPR_TIME_MIDDLE: return USES_TIME_MIDDLE;
    case EXPR_SPECIES: return USES_SPECIES;
    case EXPR_PARAM: return USES_PARAMS;
    case EXPR_INPUT: return USES_INPUTS;
    case EXPR_HOISTED: return USES_HOISTED | USES_PARAMS | USES_INPUTS;
    case EXPR_SUM:
    case EXPR_PROD: return USES_SUMS;
    case EXPR_QUANTITY: return USES_QUANTITY;
    default: return 0;
    }
}

Expr
rxn__expr_intern(Network *network, const ExprNode *key)
{
    ExprNode node = *key;
    for (u32 i = node.arg_count; i < RXN_MAX_RANK; i++)
        node.args[i] = 0;
    if (network->exprs.count * 2 >= network->expr_slot_count)
        exprs_rehash(network);

    u32 slot = find_slot(network, &node);
    if (network->expr_slots[slot] != 0)
        return network->expr_slots[slot];
    if (op_commutes(node.op)) {
        ExprNode swapped = node;
        swapped.args[0] = node.args[1];
        swapped.args[1] = node.args[0];
        u32 other = network->expr_slots[find_slot(network, &swapped)];
        if (other != 0)
            return other;
    }

    node.uses = op_uses(node.op);
    node.free_set = 0;
    for (u32 i = 0; i < node.arg_count; i++) {
        const ExprNode *arg = expr_node(network, node.args[i]);
        node.uses |= arg->uses;
        node.free_set = set_union(network, node.free_set, arg->free_set);
    }
    if (node.op == EXPR_VARIABLE)
        node.free_set = set_intern(network, &node.object, 1);
    else if (expr_is_over((ExprOp)node.op))
        node.free_set = set_without(network, node.free_set, node.object);

    node.is_bool = rxn__expr_ops[node.op].gives_bool;
    if (node.op == EXPR_SELECT)
        node.is_bool = expr_node(network, node.args[1])->is_bool;

    vec_push(network->arena, &network->exprs, node);
    network->expr_slots[slot] = network->exprs.count - 1;
    return network->exprs.count - 1;
}

/* ---- Building -------------------------------------------------------------------------------- */

Expr
rxn__expr_number(Network *network, double value)
{
    if (isnan(value))
        value = NAN; /* one NaN, whatever its sign and payload: the text form has one too */
    return rxn__expr_intern(network, &(ExprNode){.op = EXPR_NUMBER, .number = value});
}

Expr
rxn__expr_boolean(Network *network, bool value)
{
    return rxn__expr_intern(network, &(ExprNode){.op = EXPR_BOOLEAN, .number = value});
}

bool
rxn__expr_is_number(const Network *network, Expr expr, double *ret_value)
{
    const ExprNode *node = expr_node(network, expr);
    if (node->op != EXPR_NUMBER && node->op != EXPR_BOOLEAN)
        return false;
    *ret_value = node->number;
    return true;
}

Expr
rxn__expr(Network *network, ExprOp op, const Expr *args)
{
    assert(rxn__expr_ops[op].arity >= 0 && op != EXPR_NUMBER && op != EXPR_BOOLEAN &&
           op != EXPR_CHOOSE && op != EXPR_VARIABLE && op != EXPR_QUANTITY && !expr_is_over(op));
    ExprNode key = {.op = (u8)op, .arg_count = (u16)rxn__expr_ops[op].arity};
    for (u32 i = 0; i < key.arg_count; i++) {
        if (args[i] == 0)
            return 0;
        key.args[i] = args[i];
    }
    Expr folded = key.arg_count > 0 ? rxn__expr_fold(network, op, args) : 0;
    return folded != 0 ? folded : rxn__expr_intern(network, &key);
}

Expr
rxn__expr_choose(Network *network, Expr count, u32 how_many)
{
    if (count == 0)
        return 0;
    if (how_many == 0)
        return rxn__expr_number(network, 1);
    if (how_many == 1)
        return count;
    double x;
    if (how_many == 2 && rxn__expr_is_number(network, count, &x))
        return rxn__expr_number(network, x * (x - 1) / 2);
    return rxn__expr_intern(
        network,
        &(ExprNode){.op = EXPR_CHOOSE, .arg_count = 1, .number = how_many, .args = {count}});
}

/* A sum or product over no value or a single one needs no loop. */
static Expr
fold_over(Network *network, ExprOp op, u32 variable, Expr body)
{
    const Variable v = network->variables.items[variable];
    if (v.high < v.low)
        return rxn__expr_number(network, op == EXPR_SUM ? 0 : 1);
    if (v.high == v.low) {
        Expr value = rxn__expr_number(network, (double)v.low);
        return rxn__expr_substitute(network, body, 1, &variable, &value);
    }
    return 0;
}

Expr
rxn__expr_object(Network *network, ExprOp op, u32 object, u32 arg_count, const Expr *args)
{
    assert(arg_count <= RXN_MAX_RANK);
    for (u32 i = 0; i < arg_count; i++)
        if (args[i] == 0)
            return 0;
    if (op == EXPR_CHOOSE)
        return rxn__expr_choose(network, args[0], object);

    ExprNode key = {.op = (u8)op, .arg_count = (u16)arg_count, .object = object};
    for (u32 i = 0; i < arg_count; i++)
        key.args[i] = args[i];
    if (expr_is_reference(op)) {
        for (u32 i = 0; i < arg_count; i++) {
            Affine affine;
            u8 index_op = expr_node(network, args[i])->op;
            if (index_op != EXPR_NUMBER && index_op != EXPR_VARIABLE &&
                rxn__expr_affine(network, args[i], &affine))
                key.args[i] = rxn__expr_of_affine(network, &affine);
        }
    } else if (expr_is_over(op)) {
        Expr folded = fold_over(network, op, object, args[0]);
        if (folded != 0)
            return folded;
    }
    return rxn__expr_intern(network, &key);
}

Expr
rxn__expr_like(Network *network, const ExprNode *like, const Expr *args)
{
    ExprOp op = (ExprOp)like->op;
    if (op == EXPR_NUMBER || op == EXPR_BOOLEAN)
        return rxn__expr_intern(network, like);
    if (op == EXPR_CHOOSE)
        return rxn__expr_choose(network, args[0], (u32)like->number);
    if (expr_is_reference(op) || expr_is_over(op) || op == EXPR_VARIABLE || op == EXPR_QUANTITY)
        return rxn__expr_object(network, op, like->object, like->arg_count, args);
    return rxn__expr(network, op, args);
}

ExprUses
rxn__expr_uses(const Network *network, Expr expr)
{
    const ExprNode *node = expr_node(network, expr);
    return (ExprUses){
        .species = node->uses & USES_SPECIES,
        .params = node->uses & USES_PARAMS,
        .inputs = node->uses & USES_INPUTS,
        .hoisted = node->uses & USES_HOISTED,
        .time = node->uses & USES_TIME,
        .window = node->uses & USES_WINDOW,
        .variables = node->free_set != 0,
        .quantities = node->uses & USES_QUANTITY,
        .sums = node->uses & USES_SUMS,
    };
}
