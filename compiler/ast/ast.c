/* ast: building nodes. Lists grow in place: the room of a node's kids is always their number rounded
 * up to a power of two, so a node needs no field for it. */
#include "compiler/ast/ast.h"

#include <string.h>

const char *const rxn__ast_kind_texts[AST_KIND_COUNT] = {
#define AST_NODE(id, printed, kids) [AST_##id] = printed,
#include "compiler/ast/ast.def"
#undef AST_NODE
};

const char *
rxn__ast_op_text(AstOp op)
{
    switch (op) {
    case AST_NO_OP: return "";
    case AST_NEGATE: return "negate";
    case AST_LOGICAL_NOT: return "not";
    case AST_ADD: return "add";
    case AST_SUB: return "sub";
    case AST_MUL: return "mul";
    case AST_DIV: return "div";
    case AST_POW: return "pow";
    case AST_LT: return "<";
    case AST_LE: return "<=";
    case AST_GT: return ">";
    case AST_GE: return ">=";
    case AST_EQ: return "==";
    case AST_NE: return "!=";
    case AST_AND: return "and";
    case AST_OR: return "or";
    case AST_ARROW: return "->";
    case AST_ARROW_BOTH: return "<->";
    case AST_ARROW_LAW: return "=>";
    }
    return "?";
}

static u32
room_for(u32 kid_count)
{
    u32 room = 1;
    while (room < kid_count)
        room *= 2;
    return kid_count ? room : 0;
}

static void
raise_height(AstNode *node, const AstNode *kid)
{
    if (kid && kid->height >= node->height)
        node->height = kid->height < UINT16_MAX ? kid->height + 1 : UINT16_MAX;
}

AstNode *
rxn__ast_node(Arena *arena, AstKind kind, Span span, Name name, u32 kid_count, AstNode *const *kids)
{
    AstNode *node = NEW(arena, AstNode);
    *node = (AstNode){
        .kind = (u8)kind, .height = 1, .kid_count = kid_count, .span = span, .name = name};
    if (kid_count) {
        node->kids = NEW_ARRAY(arena, AstNode *, room_for(kid_count));
        memcpy(node->kids, kids, kid_count * sizeof *kids);
    }
    for (u32 i = 0; i < kid_count; i++)
        raise_height(node, kids[i]);
    return node;
}

static void
append(Arena *arena, AstNode *node, AstNode *kid)
{
    const u32 count = node->kid_count, room = room_for(count);
    if (count == room)
        node->kids = rxn__arena_grow(arena, node->kids, room * sizeof *node->kids,
                                     room_for(count + 1) * sizeof *node->kids);
    node->kids[node->kid_count++] = kid;
    raise_height(node, kid);
}

void
rxn__ast_append(Arena *arena, AstNode *node, AstNode *kid)
{
    if (kid)
        append(arena, node, kid);
}

void
rxn__ast_append_all(Arena *arena, AstNode *node, AstNode *const *kids, u32 count)
{
    for (u32 i = 0; i < count; i++)
        append(arena, node, kids[i]);
}

bool
rxn__ast_equal(const AstNode *a, const AstNode *b)
{
    if (!a || !b)
        return a == b;
    /* (Bits, so that no number differs from itself.) */
    if (a->kind != b->kind || a->op != b->op || a->name != b->name || a->name2 != b->name2 ||
        memcmp(&a->number, &b->number, sizeof a->number) != 0 || a->kid_count != b->kid_count)
        return false;
    for (u32 i = 0; i < a->kid_count; i++)
        if (!rxn__ast_equal(a->kids[i], b->kids[i]))
            return false;
    return true;
}
