/* api_statements.c: which statements a text has, for programs that edit models. */
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/api.h"
#include "compiler/format/statements.h"

struct RxnStatements {
    Engine engine; /* in whose session all of it lies */
    RxnStatement *items;
    size_t count;
};

typedef struct Splitting {
    RxnStatements *statements;
    const char *text, *name;
    bool incomplete;
} Splitting;

static const RxnItem *
copy_items(Arena *arena, const ModelStatement *statement)
{
    RxnItem *items = NEW_ARRAY(arena, RxnItem, (size_t)statement->items.count + 1);
    for (u32 i = 0; i < statement->items.count; i++) {
        const ModelItem *item = &statement->items.items[i];
        items[i] = (RxnItem){item->name, item->first, item->length};
    }
    return items;
}

static RxnStatus
read_statements(void *context)
{
    Splitting *splitting = context;
    RxnStatements *statements = splitting->statements;
    Session *session = &statements->engine.session;
    ModelStatements read;
    const size_t length = strlen(splitting->text);
    if (length > RXN_MAX_SOURCE_BYTES) {
        rxn__engine_error(&statements->engine, "'%s' cannot be read: it is larger than 64 MiB",
                          rxn__shown(&session->arena, splitting->name, strlen(splitting->name)));
        return RXN_ERROR_INPUT;
    }
    const u32 file = rxn__sources_add(&session->sources, splitting->name, splitting->text, length);
    if (file == UINT32_MAX)
        return RXN_ERROR_MEMORY;
    const RxnStatus status =
        rxn__statements(&session->arena, &session->names, &session->diagnostics, file, &read,
                        &splitting->incomplete);
    if (status != RXN_OK)
        return status;
    statements->items = NEW_ARRAY(&session->arena, RxnStatement, (size_t)read.items.count + 1);
    statements->count = read.items.count;
    for (u32 k = 0; k < read.items.count; k++) {
        const ModelStatement *statement = &read.items.items[k];
        statements->items[k] = (RxnStatement){
            .first = statement->first,
            .length = statement->length,
            .keyword = statement->keyword,
            .items = copy_items(&session->arena, statement),
            .item_count = statement->items.count,
        };
    }
    return RXN_OK;
}

RxnStatus
rxn_statements_parse(const char *text, const char *name, RxnStatements **ret_statements,
                     bool *ret_incomplete, RxnError **ret_error)
{
    if (ret_statements)
        *ret_statements = NULL;
    if (!ret_statements || !ret_incomplete)
        return rxn__api_nowhere(ret_statements ? "ret_incomplete" : "ret_statements", ret_error);
    const RxnModelOptions usual = rxn_model_options();
    *ret_incomplete = false;
    RxnStatements *statements = calloc(1, sizeof *statements);
    if (!statements)
        return rxn__api_no_memory(ret_error);
    Splitting splitting = {
        .statements = statements, .text = text ? text : "", .name = name ? name : "model"};
    RxnStatus status = rxn__engine_open(&statements->engine, 0);
    if (status == RXN_OK)
        status = rxn__session_guard(&statements->engine.session, read_statements, &splitting);
    status = rxn__api_finish(&statements->engine, &usual, status, ret_error);
    if (status == RXN_OK)
        *ret_statements = statements;
    else
        rxn_statements_free(statements);
    *ret_incomplete = status == RXN_ERROR_INPUT && splitting.incomplete;
    return status;
}

size_t
rxn_statements_count(const RxnStatements *statements)
{
    return statements->count;
}

RxnStatement
rxn_statements_get(const RxnStatements *statements, size_t k)
{
    return statements->items[k];
}

void
rxn_statements_free(RxnStatements *statements)
{
    if (!statements)
        return;
    rxn__engine_close(&statements->engine);
    free(statements);
}
