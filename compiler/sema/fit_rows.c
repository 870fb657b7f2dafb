/* fit_rows: the rows of a table, while a loss is written out over them: columns by name, what must hold of
 * their numbers, and in which row an expression is looked at. What is wrong with the data is said with its file
 * and line, and with a caret under what asks for it in the model.
 */
#include <math.h>
#include <string.h>

#include "compiler/sema/fit_private.h"

enum { ERROR_SIZE = 512 };

static const char prefix[] = "data.";
enum { PREFIX_LENGTH = sizeof prefix - 1 };

bool
rxn__sema_is_data(Name name)
{
    return name && name->length > PREFIX_LENGTH && memcmp(name->text, prefix, PREFIX_LENGTH) == 0;
}

const AstNode *
rxn__fit_first_column(const AstNode *node)
{
    if (!node)
        return NULL;
    if (node->kind == AST_REFERENCE && rxn__sema_is_data(node->name))
        return node;
    const AstNode *found = NULL;
    for (u32 i = 0; i < node->kid_count && !found; i++)
        found = rxn__fit_first_column(node->kids[i]);
    return found;
}

u64
rxn__fit_row_count(const FitLoss *loss)
{
    return loss->table ? loss->table->rows : 1;
}

const char *
rxn__fit_row_place(Sema *sema)
{
    const FitLoss *loss = sema->loss;
    Text text;
    rxn__text_init(&text, sema->arena);
    if (loss->table)
        rxn__text_printf(&text, "%s:%llu", loss->table->path,
                         (unsigned long long)loss->table->lines[loss->row]);
    return text.data;
}

/* ---- The table --------------------------------------------------------------------------------- */

static bool
check_column(Sema *sema, Module *module, Span span, const RxnTable *table, u32 column,
             unsigned what)
{
    char error[ERROR_SIZE];
    if (rxn__table_check(table, column, what, error, sizeof error))
        return true;
    rxn__sema_error(sema, module, span, "%s", error);
    return false;
}

static bool
check_times(Sema *sema, Module *module, Span span, const FitLoss *loss)
{
    const RxnTable *table = loss->table;
    const bool rising = loss->trajectory == FIT_NO_COLUMN && !loss->has_snapshots;
    if (loss->time == FIT_NO_COLUMN)
        return true;
    if (!check_column(sema, module, span, table, loss->time,
                      rising ? RXN_DATA_RISING : RXN_DATA_FINITE)) {
        if (rising)
            rxn__sema_note(sema, (Span){0},
                           "times may repeat or fall where a column 'trajectory' tells the "
                           "measurements apart, or cramer or chi_square compares distributions");
        return false;
    }
    for (u64 row = 0; row < table->rows; row++)
        if (table->values[loss->time][row] < 0) {
            rxn__sema_error(sema, module, span, "%s:%llu: the time is %g, and a run begins at 0",
                            table->path, (unsigned long long)table->lines[row],
                            table->values[loss->time][row]);
            return false;
        }
    return true;
}

bool
rxn__fit_open_table(Sema *sema, Module *module, const FitRequest *request, const AstNode *path,
                    Span span, FitLoss *loss)
{
    const char *from = sema->sources->files.items[module->source->file].path;
    const char *resolved = NULL, *reason = "there is no such file";
    const char *name = path ? path->name->text : request->data;
    if (!request->tables) {
        rxn__sema_error(sema, module, span, "cannot read '%s': no files are at hand here",
                        rxn__shown(sema->arena, name, strlen(name)));
        return false;
    }
    /* A path of the command line is where the user stands, not where the model does. */
    loss->table = request->tables->load(request->tables->context, path ? from : "", name,
                                        sema->arena, &resolved, &reason);
    if (!loss->table) {
        rxn__sema_error(sema, module, span, "cannot read '%s': %s",
                        rxn__shown(sema->arena, name, strlen(name)), reason);
        return false;
    }
    loss->data_path = resolved ? resolved : name;
    loss->data_span = span;
    loss->time = rxn__table_column(loss->table, "time");
    loss->trajectory = rxn__table_column(loss->table, "trajectory");
    return check_times(sema, module, span, loss);
}

/* ---- Columns ----------------------------------------------------------------------------------- */

/* The name of the column: that of the reference, with its indices as numbers. False: reported. */
static bool
column_name(Sema *sema, const Scope *scope, const AstNode *reference, Name *ret_name)
{
    const char *text = reference->name->text + PREFIX_LENGTH;
    const size_t length = reference->name->length - PREFIX_LENGTH;
    if (reference->kid_count == 0) {
        *ret_name = rxn__name(sema->names, text, length);
        return true;
    }
    Text name;
    rxn__text_init(&name, sema->arena);
    rxn__text_append(&name, text, length);
    for (u32 i = 0; i < reference->kid_count; i++) {
        i64 index = 0;
        if (!rxn__sema_whole(sema, scope, reference->kids[i], "an index of a column", &index))
            return false;
        rxn__text_printf(&name, "%s%lld", i == 0 ? "[" : ",", (long long)index);
    }
    rxn__text_append(&name, "]", 1);
    *ret_name = rxn__name(sema->names, name.data, name.length);
    return true;
}

bool
rxn__fit_column(Sema *sema, const Scope *scope, const AstNode *reference, u32 *ret_column)
{
    FitLoss *loss = sema->loss;
    Name name;
    if (!column_name(sema, scope, reference, &name))
        return false;
    for (u32 i = 0; i < loss->columns.count; i++)
        if (loss->columns.items[i].name == name) {
            *ret_column = loss->columns.items[i].column;
            return *ret_column != FIT_NO_COLUMN;
        }
    u32 column = FIT_NO_COLUMN;
    if (!loss->table) {
        rxn__sema_error(sema, scope->module, reference->span, "there is no data to read '%s' from",
                        rxn__sema_show(sema, reference->name));
        rxn__sema_note(sema, (Span){0},
                       "name a table in 'fit', as in 'data \"measured.csv\"', or give --data FILE");
    } else {
        char error[ERROR_SIZE];
        bool good = rxn__table_find(loss->table, name->text, &column, error, sizeof error);
        if (!good)
            rxn__sema_error(sema, scope->module, reference->span, "%s", error);
        if (!good || !check_column(sema, scope->module, reference->span, loss->table, column,
                                   RXN_DATA_FINITE))
            column = FIT_NO_COLUMN;
    }
    vec_push(sema->arena, &loss->columns, ((FitColumn){name, column}));
    loss->is_wrong_data |= column == FIT_NO_COLUMN;
    *ret_column = column;
    return column != FIT_NO_COLUMN;
}

Expr
rxn__sema_data(Sema *sema, const Scope *scope, const AstNode *node)
{
    const FitLoss *loss = sema->loss;
    const char *name = rxn__sema_show(sema, node->name);
    if (!loss->in_row) {
        rxn__sema_error(sema, scope->module, node->span,
                        "'%s' is one number for each row, and stands outside of a loss function",
                        name);
        rxn__sema_note(sema, (Span){0},
                       "the rows are gone through by mse, mae, gaussian, cramer, chi_square, "
                       "cross_entropy and "
                       "accuracy");
        return 0;
    }
    Name column;
    u32 number;
    if (loss->unknown)
        return column_name(sema, scope, node, &column) ? rxn__expr_number(sema->network, NAN) : 0;
    if (!rxn__fit_column(sema, scope, node, &number))
        return 0;
    return rxn__expr_number(sema->network, loss->table->values[number][loss->row] + 0.0);
}

/* ---- Entries by key ---------------------------------------------------------------------------- */

static u32 *
index_slot(const FitIndex *index, FitKey key)
{
    u64 bits;
    memcpy(&bits, &key.x, sizeof bits);
    u32 slot = (u32)hash_mix(hash_mix(key.a, key.b), bits);
    for (;; slot++) {
        u32 *entry = &index->slots[slot & (index->capacity - 1)];
        const FitKey *known = *entry ? &index->keys[*entry - 1] : NULL;
        if (!known || (known->a == key.a && known->b == key.b &&
                       memcmp(&known->x, &key.x, sizeof key.x) == 0))
            return entry;
    }
}

bool
rxn__fit_index_add(Arena *arena, FitIndex *index, FitKey key, u32 *ret_entry)
{
    key.x += 0.0;
    if (2 * index->count >= index->capacity) {
        FitIndex larger = {.capacity = index->capacity ? 2 * index->capacity : 64};
        larger.keys = NEW_ARRAY(arena, FitKey, larger.capacity);
        larger.slots = NEW_ARRAY(arena, u32, larger.capacity);
        for (u32 i = 0; i < index->count; i++) {
            larger.keys[i] = index->keys[i];
            *index_slot(&larger, index->keys[i]) = i + 1;
        }
        larger.count = index->count;
        *index = larger;
    }
    u32 *slot = index_slot(index, key);
    const bool is_new = *slot == 0;
    if (is_new) {
        index->keys[index->count] = key;
        *slot = ++index->count;
    }
    *ret_entry = *slot - 1;
    return is_new;
}
