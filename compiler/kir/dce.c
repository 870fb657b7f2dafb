/* dce.c: what nobody needs goes: values without a use, locals that are set but not read, branches and
 * loops without an effect, and what stands behind a `break` or a `trap`.
 *
 * Why: a method keeps a local for whatever some model may want, and the passes before leave values
 * behind that they have replaced. The targets would drop most of it too, but not a local that is
 * written in a loop, and every stage after this one is read by people.
 *
 *   before                              after
 *     local t : f64                       local t : f64
 *     local steps : i32                   step {
 *     step {                                %1 = get.f64 t
 *       %1 = get.i32 steps                  ...
 *       %2 = const.i32 1                  }
 *       %3 = add.i32 %1, %2
 *       set steps, %3
 *       %4 = get.f64 t
 *       ...
 *     }
 *
 * How: all is dead until shown to be needed, so a cycle that only feeds itself (`steps` above) dies.
 * Needed are: stores, traps, and the sets of the locals that the launcher sees (done, witness). What
 * is needed needs its operands, the blocks it stands in with their conditions, and, if it reads a
 * local, all sets of that local; of an array that only constants index, those of that element. A `break` is needed if its `for` or
 * `loop` is. So a loop without an effect goes,
 * even where nobody could say that it ends. Buffers stay declared: the launcher binds them by order.
 */
#include "compiler/kir/internal.h"

/* A statement, in the order in which they stand. Links are number + 1, 0 is none. */
typedef struct Item {
    const KirStatement *statement;
    u32 parent;      /* the statement in whose block it stands */
    u32 loop;        /* the innermost for or loop around it */
    u32 next;        /* SET: the next one of the same cell; BREAK: of the same loop */
    u32 first_break; /* FOR, LOOP */
    u32 end;         /* the number of the first statement after it and its blocks */
    bool needed;
} Item;

typedef struct Sweep {
    const KirKernel *kernel;
    Arena *arena;
    VEC(Item) items;
    u32 *cells;          /* by local: its first cell; it has one, or one per element */
    u32 *first_set;      /* by cell */
    bool *cell_needed;   /* by cell */
    bool *value_needed;  /* by value */
    VEC(u32) item_work;  /* needed, not yet followed */
    VEC(u32) value_work; /* likewise */
    u32 at;              /* the statement that the copy has come to */
} Sweep;

static void
list_block(Sweep *sweep, const KirBlock *block, u32 parent, u32 loop)
{
    for (u32 i = 0; i < block->count; i++) {
        const KirStatement *statement = &block->items[i];
        Item item = {.statement = statement, .parent = parent, .loop = loop};
        vec_push(sweep->arena, &sweep->items, item);
        const u32 number = sweep->items.count;
        const bool turns = statement->kind == KIR_LOOP || statement->kind == KIR_FOR;
        list_block(sweep, &statement->body, number, turns ? number : loop);
        list_block(sweep, &statement->otherwise, number, loop);
        sweep->items.items[number - 1].end = sweep->items.count;
    }
}

static void
need_value(Sweep *sweep, KirValue value)
{
    if (sweep->value_needed[value])
        return;
    sweep->value_needed[value] = true;
    vec_push(sweep->arena, &sweep->value_work, value);
}

static void
need_item(Sweep *sweep, u32 number)
{
    Item *item = &sweep->items.items[number - 1];
    if (item->needed)
        return;
    item->needed = true;
    vec_push(sweep->arena, &sweep->item_work, number);
}

static void
need_cell(Sweep *sweep, u32 cell)
{
    if (sweep->cell_needed[cell])
        return;
    sweep->cell_needed[cell] = true;
    for (u32 set = sweep->first_set[cell]; set; set = sweep->items.items[set - 1].next)
        need_item(sweep, set);
}

static void
need_local(Sweep *sweep, u32 local)
{
    for (u32 cell = sweep->cells[local]; cell < sweep->cells[local + 1]; cell++)
        need_cell(sweep, cell);
}

/* The cell of an access with this index (0: none). */
static u32
cell_of(const Sweep *sweep, u32 local, KirValue index)
{
    const u32 first = sweep->cells[local];
    return sweep->cells[local + 1] - first > 1
               ? first + (u32)sweep->kernel->values.items[index].bits
               : first;
}

static bool
is_element(const KirKernel *kernel, u32 local, KirValue index)
{
    const KirNode *node = &kernel->values.items[index];
    return node->op == KIR_CONST && node->bits < kernel->locals.items[local].length;
}

static void
find_cells(Sweep *sweep)
{
    const KirKernel *kernel = sweep->kernel;
    const u32 locals = kernel->locals.count;
    bool *whole = NEW_ARRAY(sweep->arena, bool, locals + 1);
    for (u32 i = 1; i < kernel->values.count; i++) {
        const KirNode *node = &kernel->values.items[i];
        if (node->op == KIR_GET && node->index_count)
            whole[node->object] |= !is_element(kernel, node->object, node->index[0]);
    }
    for (u32 i = 0; i < sweep->items.count; i++) {
        const KirStatement *statement = sweep->items.items[i].statement;
        if (statement->kind == KIR_SET && statement->index_count)
            whole[statement->object] |= !is_element(kernel, statement->object, statement->index[0]);
    }
    sweep->cells = NEW_ARRAY(sweep->arena, u32, locals + 1);
    for (u32 i = 0; i < locals; i++) {
        const KirLocal *local = &kernel->locals.items[i];
        const bool split = local->length > 1 && !local->storage && !whole[i];
        sweep->cells[i + 1] = sweep->cells[i] + (split ? local->length : 1);
    }
    sweep->first_set = NEW_ARRAY(sweep->arena, u32, sweep->cells[locals] + 1);
    sweep->cell_needed = NEW_ARRAY(sweep->arena, bool, sweep->cells[locals] + 1);
}

/* Links the sets and the breaks that can be reached, and starts with the effects among them. */
static void
find_effects(Sweep *sweep, const KirBlock *block, u32 *number)
{
    bool reached = true;
    for (u32 i = 0; i < block->count; i++) {
        const u32 own = ++*number;
        Item *item = &sweep->items.items[own - 1];
        const KirStatement *statement = item->statement;
        if (!reached) {
            *number = item->end;
            continue;
        }
        if (statement->kind == KIR_SET) {
            const u32 cell = cell_of(sweep, statement->object, statement->index[0]);
            item->next = sweep->first_set[cell];
            sweep->first_set[cell] = own;
        } else if (statement->kind == KIR_BREAK && item->loop) {
            Item *loop = &sweep->items.items[item->loop - 1];
            item->next = loop->first_break;
            loop->first_break = own;
        } else if (statement->kind == KIR_STORE || statement->kind == KIR_TRAP) {
            need_item(sweep, own);
        }
        find_effects(sweep, &statement->body, number);
        find_effects(sweep, &statement->otherwise, number);
        reached = !rxn__kir_ends_block(statement);
    }
}

static void
follow_item(Sweep *sweep, const Item *item)
{
    const KirStatement *statement = item->statement;
    if (statement->kind != KIR_FOR && statement->value)
        need_value(sweep, statement->value);
    for (u32 i = 0; i < statement->index_count; i++)
        need_value(sweep, statement->index[i]);
    for (u32 next = item->first_break; next; next = sweep->items.items[next - 1].next)
        need_item(sweep, next);
    if (item->parent)
        need_item(sweep, item->parent);
}

static void
follow_value(Sweep *sweep, const KirNode *node)
{
    for (u32 i = 0; i < rxn__kir_ops[node->op].arity; i++)
        need_value(sweep, node->args[i]);
    for (u32 i = 0; i < node->index_count; i++)
        need_value(sweep, node->index[i]);
    if (node->op == KIR_GET)
        need_cell(sweep, cell_of(sweep, node->object, node->index[0]));
}

static void
mark(Sweep *sweep)
{
    u32 number = 0;
    for (u32 region = 0; region < KIR_REGION_COUNT; region++)
        find_effects(sweep, &sweep->kernel->regions[region], &number);
    need_local(sweep, sweep->kernel->done);
    for (u32 i = 0; i < sweep->kernel->witness.count; i++)
        need_local(sweep, sweep->kernel->witness.items[i]);
    while (sweep->item_work.count || sweep->value_work.count) {
        if (sweep->item_work.count) {
            const u32 item = sweep->item_work.items[--sweep->item_work.count];
            follow_item(sweep, &sweep->items.items[item - 1]);
        } else {
            const KirValue value = sweep->value_work.items[--sweep->value_work.count];
            follow_value(sweep, &sweep->kernel->values.items[value]);
        }
    }
}

/* True if the statement is left out. */
static bool
drop_statement(KirRewriter *rewriter, const KirStatement *statement)
{
    Sweep *sweep = rewriter->context;
    const Item *item = &sweep->items.items[sweep->at++];
    const bool needed =
        statement->kind == KIR_DEFINE ? sweep->value_needed[statement->value] : item->needed;
    if (!needed)
        sweep->at = item->end;
    return !needed;
}

/* ---- Locals */

static void
renumber_sets(KirBlock *block, const u32 *number)
{
    for (u32 i = 0; i < block->count; i++) {
        KirStatement *statement = &block->items[i];
        if (statement->kind == KIR_SET)
            statement->object = number[statement->object];
        renumber_sets(&statement->body, number);
        renumber_sets(&statement->otherwise, number);
    }
}

static void
drop_locals(const Sweep *sweep, KirKernel *copy)
{
    u32 *number = NEW_ARRAY(sweep->arena, u32, copy->locals.count + 1);
    u32 kept = 0;
    for (u32 i = 0; i < copy->locals.count; i++) {
        bool needed = false;
        for (u32 cell = sweep->cells[i]; cell < sweep->cells[i + 1]; cell++)
            needed |= sweep->cell_needed[cell];
        if (needed) {
            copy->locals.items[kept] = copy->locals.items[i];
            number[i] = kept++;
        }
    }
    copy->locals.count = kept;
    copy->done = number[copy->done];
    for (u32 i = 0; i < copy->witness.count; i++)
        copy->witness.items[i] = number[copy->witness.items[i]];
    for (u32 i = 1; i < copy->values.count; i++)
        if (copy->values.items[i].op == KIR_GET)
            copy->values.items[i].object = number[copy->values.items[i].object];
    for (u32 region = 0; region < KIR_REGION_COUNT; region++)
        renumber_sets(&copy->regions[region], number);
}

bool
rxn__kir_dce(KirKernel *kernel)
{
    Sweep sweep = {.kernel = kernel, .arena = kernel->arena};
    sweep.value_needed = NEW_ARRAY(kernel->arena, bool, kernel->values.count + 1);
    for (u32 region = 0; region < KIR_REGION_COUNT; region++)
        list_block(&sweep, &kernel->regions[region], 0, 0);
    find_cells(&sweep);
    mark(&sweep);

    KirRewriter rewriter;
    rxn__kir_rewriter_init(&rewriter, kernel, true);
    rewriter.context = &sweep;
    rewriter.statement = drop_statement;
    KirKernel *copy = rxn__kir_rewrite_all(&rewriter);
    drop_locals(&sweep, copy);
    return rxn__kir_replace(kernel, copy);
}
