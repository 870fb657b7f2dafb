/* print: the tree as an outline (`rxn trace`), and an expression as source text. */
#include "compiler/ast/ast.h"

static void
print_span(const SourceMap *sources, Span span, Text *out)
{
    if (!sources || (span.begin == 0 && span.end == 0))
        return;
    u32 lines[2], columns[2];
    rxn__sources_line_column(sources, span.begin, &lines[0], &columns[0]);
    rxn__sources_line_column(sources, span.end, &lines[1], &columns[1]);
    rxn__text_printf(out, " %u:%u-%u:%u", lines[0], columns[0], lines[1], columns[1]);
}

static bool
has_number(const AstNode *node)
{
    return node->kind == AST_NUMBER || node->kind == AST_BOOLEAN || node->kind == AST_TERM;
}

static void
print_node(const AstNode *node, const SourceMap *sources, u32 indent, Text *out)
{
    rxn__text_printf(out, "%*s", (int)(2 * indent), "");
    if (!node) {
        rxn__text_append(out, "-\n", 2);
        return;
    }
    rxn__text_printf(out, "%s", rxn__ast_kind_texts[node->kind]);
    if (node->kind == AST_PARAM) {
        if (node->op & AST_PARAM_FIT)
            rxn__text_printf(out, " fit");
        if (node->op & AST_PARAM_DISTRIBUTED)
            rxn__text_printf(out, " ~");
    } else if (node->op) {
        rxn__text_printf(out, " %s", rxn__ast_op_text(node->op));
    }
    if (node->name && node->kind != AST_NUMBER)
        rxn__text_printf(out, " '%s'", node->name->text);
    if (node->name2)
        rxn__text_printf(out, " \"%s\"", node->name2->text);
    if (has_number(node)) {
        rxn__text_append(out, " ", 1);
        rxn__text_f64(out, node->number);
    }
    print_span(sources, node->span, out);
    rxn__text_append(out, "\n", 1);
    for (u32 i = 0; i < node->kid_count; i++)
        print_node(node->kids[i], sources, indent + 1, out);
}

void
rxn__ast_print(const AstNode *node, const SourceMap *sources, Text *out)
{
    print_node(node, sources, 0, out);
}

/* ---- Source text ------------------------------------------------------------------------------ */

/* How tightly an expression holds together; as in grammar/rxn.y. */
typedef enum Tightness {
    HOLDS_IF,
    HOLDS_OR,
    HOLDS_AND,
    HOLDS_NOT,
    HOLDS_COMPARISON,
    HOLDS_SUM,
    HOLDS_PRODUCT,
    HOLDS_NEGATION,
    HOLDS_POWER,
    HOLDS_PRIMARY,
} Tightness;

static Tightness
tightness(const AstNode *node)
{
    if (node->kind == AST_IF)
        return HOLDS_IF;
    if (node->kind == AST_UNARY)
        return node->op == AST_NEGATE ? HOLDS_NEGATION : HOLDS_NOT;
    if (node->kind != AST_BINARY)
        return HOLDS_PRIMARY;
    switch (node->op) {
    case AST_OR: return HOLDS_OR;
    case AST_AND: return HOLDS_AND;
    case AST_ADD:
    case AST_SUB: return HOLDS_SUM;
    case AST_MUL:
    case AST_DIV: return HOLDS_PRODUCT;
    case AST_POW: return HOLDS_POWER;
    default: return HOLDS_COMPARISON;
    }
}

static void print_source(const AstNode *node, Text *out);

/* In parentheses, unless it holds together at least as tightly as its place asks for. */
static void
print_operand(const AstNode *node, Tightness wanted, Text *out)
{
    const bool bare = !node || tightness(node) >= wanted;
    rxn__text_printf(out, "%s", bare ? "" : "(");
    print_source(node, out);
    rxn__text_printf(out, "%s", bare ? "" : ")");
}

static void
print_binary(const AstNode *node, Text *out)
{
    static const char *const signs[] = {
        [AST_ADD] = " + ", [AST_SUB] = " - ", [AST_MUL] = " * ", [AST_DIV] = " / ",
        [AST_POW] = "^",   [AST_LT] = " < ",  [AST_LE] = " <= ", [AST_GT] = " > ",
        [AST_GE] = " >= ", [AST_EQ] = " == ", [AST_NE] = " != ", [AST_AND] = " and ",
        [AST_OR] = " or ",
    };
    const Tightness own = tightness(node);
    Tightness left = own, right = own + 1; /* left-associative */
    if (own == HOLDS_COMPARISON) {
        left = own + 1; /* not associative */
    } else if (own == HOLDS_POWER) {
        left = HOLDS_PRIMARY;   /* right-associative */
        right = HOLDS_NEGATION; /* 2^-x needs no parentheses */
    }
    print_operand(node->kids[0], left, out);
    rxn__text_printf(out, "%s", signs[node->op]);
    print_operand(node->kids[1], right, out);
}

static void
print_list(AstNode *const *kids, u32 count, Text *out)
{
    for (u32 i = 0; i < count; i++) {
        rxn__text_printf(out, "%s", i ? ", " : "");
        print_source(kids[i], out);
    }
}

/* An event of an experiment: the first kids say when, the others are assignments. */
static void
print_event(const AstNode *node, Text *out)
{
    static const char *const every[] = {"every ", " from ", " until "};
    const u32 first = node->kind == AST_EVERY ? 3 : 1;
    for (u32 i = 0; i < first && i < node->kid_count; i++) {
        if (!node->kids[i])
            continue;
        const char *word = node->kind == AST_AT ? "at " : "when ";
        rxn__text_printf(out, "%s", node->kind == AST_EVERY ? every[i] : word);
        print_source(node->kids[i], out);
    }
    rxn__text_printf(out, ": ");
    if (node->kid_count > first)
        print_list(node->kids + first, node->kid_count - first, out);
}

static void
print_block(const AstNode *node, const char *name, Text *out)
{
    rxn__text_printf(out, "%s %s%s{", name, node->name2 ? node->name2->text : "",
                     node->name2 ? " " : "");
    for (u32 i = 0; i < node->kid_count; i++) {
        rxn__text_printf(out, "%s", i ? "; " : " ");
        print_source(node->kids[i], out);
    }
    rxn__text_printf(out, " }");
}

static void
print_source(const AstNode *node, Text *out)
{
    if (!node)
        return;
    const char *name = node->name ? node->name->text : "";
    switch (node->kind) {
    case AST_NUMBER:
        if (node->name)
            rxn__text_append(out, name, node->name->length);
        else
            rxn__text_f64(out, node->number);
        break;
    case AST_BOOLEAN: rxn__text_printf(out, "%s", node->number != 0 ? "true" : "false"); break;
    case AST_REFERENCE:
        rxn__text_printf(out, "%s%s", name, node->kid_count ? "[" : "");
        print_list(node->kids, node->kid_count, out);
        rxn__text_printf(out, "%s", node->kid_count ? "]" : "");
        break;
    case AST_UNARY:
        rxn__text_printf(out, "%s", node->op == AST_NEGATE ? "-" : "not ");
        print_operand(node->kids[0], tightness(node), out);
        break;
    case AST_BINARY: print_binary(node, out); break;
    case AST_IF:
        rxn__text_printf(out, "if ");
        print_source(node->kids[0], out);
        rxn__text_printf(out, " then ");
        print_source(node->kids[1], out);
        rxn__text_printf(out, " else ");
        print_source(node->kids[2], out);
        break;
    case AST_CALL:
        rxn__text_printf(out, "%s(", name);
        print_list(node->kids, node->kid_count, out);
        rxn__text_append(out, ")", 1);
        break;
    case AST_NAMED:
        rxn__text_printf(out, "%s = ", name);
        print_source(node->kids[0], out);
        break;
    case AST_SUM:
    case AST_PROD:
        rxn__text_printf(out, "%s(%s in ", node->kind == AST_SUM ? "sum" : "prod", name);
        print_source(node->kids[0], out);
        rxn__text_printf(out, ": ");
        print_source(node->kids[1], out);
        rxn__text_append(out, ")", 1);
        break;
    case AST_EACH:
        rxn__text_printf(out, "%s in ", name);
        print_source(node->kids[0], out);
        rxn__text_printf(out, ": ");
        print_source(node->kids[1], out);
        break;
    case AST_PRIOR:
        print_source(node->kids[0], out);
        rxn__text_printf(out, " ~ ");
        print_source(node->kids[1], out);
        break;
    case AST_ASSIGN:
        print_source(node->kids[0], out);
        rxn__text_printf(out, " = ");
        print_source(node->kids[1], out);
        break;
    case AST_AT:
    case AST_EVERY:
    case AST_WHEN: print_event(node, out); break;
    case AST_BLOCK: print_block(node, name, out); break;
    case AST_RANGE:
        print_source(node->kids[0], out);
        rxn__text_printf(out, " .. ");
        print_source(node->kids[1], out);
        break;
    case AST_STRING: rxn__text_printf(out, "\"%s\"", name); break;
    case AST_ENTRY:
        rxn__text_printf(out, "%s%s", name, node->kid_count ? " " : "");
        print_list(node->kids, node->kid_count, out);
        break;
    default: rxn__text_printf(out, "<%s>", rxn__ast_kind_texts[node->kind]); break;
    }
}

void
rxn__ast_print_source(const AstNode *node, Text *out)
{
    print_source(node, out);
}
