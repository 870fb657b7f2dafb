/* rxn.y: the grammar. Its actions only build nodes and check what is a matter of form alone; names,
 * shapes and meaning are sema's. Every statement ends with one END, which the layout provides (see
 * parse.h), so there is no rule about line ends here.
 */
%require "3.8"
%define api.pure full
%define api.prefix {rxn__bison_}
%define api.location.type {Span}
%define parse.error custom
%define lr.type canonical-lr
%define lr.default-reduction consistent
%locations
%expect 0
%param {Parser *parser}

%code requires {
#include "grammar/parse.h"
}

%code top {
/* What bison generates is not held to our warnings. */
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
}

%code {
#include <string.h>

/* The stack begins small on the C stack and grows in the arena, so that a jump out of the parser leaves
 * nothing behind. What is nested deeper than YYMAXDEPTH is an error: an `if … else if …` chain, the
 * longest thing that is not reduced as it is read, takes 5 entries a link. */
#define YYINITDEPTH         64
#define YYMAXDEPTH          (6 * RXN_MAX_HEIGHT + 16 * RXN_MAX_NESTING)
#define YYSTACK_ALLOC(size) rxn__arena_alloc(parser->arena, (size))

/* Empty parts are nowhere, and do not stretch the span of the whole. */
#define YYLLOC_DEFAULT(current, parts, count)                                                      \
    do {                                                                                           \
        (current) = (Span){0};                                                                     \
        for (int part = 1; part <= (count); part++)                                                \
            (current) = span_join((current), YYRHSLOC(parts, part));                               \
    } while (0)

#define ARENA   parser->arena
#define NODE(kind, span, name, ...)                                                                \
    new_node(parser, kind, span, name,                                                             \
             sizeof((AstNode *[]){__VA_ARGS__}) / sizeof(AstNode *), (AstNode *[]){__VA_ARGS__})
#define LEAF(kind, span, name) new_node(parser, kind, span, name, 0, NULL)
#define LIST(first) list_of(parser, first)

static AstNode *
new_node(Parser *parser, AstKind kind, Span span, Name name, u32 kid_count, AstNode *const *kids);
static AstNode *
operation(Parser *parser, AstOp op, Span span, AstNode *left, AstNode *right);
static AstNode *
named(Parser *parser, AstKind kind, Token name, AstNode *value, Span span);
static AstNode *
list_of(Parser *parser, AstNode *first);
static AstNode *
append(Parser *parser, AstNode *list, AstNode *node);
static AstNode *
append_all(Parser *parser, AstNode *node, const AstNode *list);
static Token
declared(Parser *parser, Token name);
static void
set_once(Parser *parser, AstNode *node, u32 kid, AstNode *value, const char *what);
static AstNode *
range_of(Parser *parser, AstNode *low, AstNode *high, Span span);
static AstNode *
nothing(Parser *parser, Token number);
static double
coefficient(Parser *parser, Token number);
static AstNode *
rates(Parser *parser, AstNode *rate, AstNode *bound);
static AstNode *
reaction(Parser *parser, Token label, AstNode *left, Token arrow, AstNode *right, AstNode *rates,
         Span span);
static AstNode *
observable(Parser *parser, AstNode *value, Span span);

static int
yylex(RXN__BISON_STYPE *value, Span *span, Parser *parser);
static void
yyerror(Span *span, Parser *parser, const char *message);
}

%union {
    Token token;
    AstNode *node;
}

%token END                 "the end of the line"
%token OBJECTIVE           "'--of'" /* before everything, where the file is one expression */
%token NEWLINE SEMICOLON   /* raw: the layout makes them END, or nothing */
%token <token> NAME        "a name"
%token <token> NUMBER      "a number"
%token <token> STRING      "a string"
%token <token> NOTHING     "'∅'"
%token <token> ARROW       "'->'"
%token <token> ARROW_BOTH  "'<->'"
%token <token> ARROW_LAW   "'=>'"
%token DOTDOT "'..'" LE "'<='" GE "'>='" EQ "'=='" NE "'!='"

 /* Reserved everywhere. */
%token AND "'and'" OR "'or'" NOT "'not'" IF "'if'" THEN "'then'" ELSE "'else'" IN "'in'"
%token UNTIL "'until'" SUM "'sum'" PROD "'prod'" TRUE_WORD "'true'" FALSE_WORD "'false'"

 /* Words of clauses, names elsewhere. */
%token <token> AS "'as'" AT "'at'" BOUND "'bound'" EVERY "'every'" FIT "'fit'" FROM "'from'"

 /* Only at the start of a statement; the layout makes them of names. */
%token <token> MODEL "'model'" USE "'use'" CONST "'const'" INDEX "'index'" SPECIES "'species'"
%token <token> PARAM "'param'" INPUT "'input'" LET "'let'" FN "'fn'" FOR "'for'" WHEN "'when'"
%token <token> OBSERVE "'observe'" SIMULATE "'simulate'"

%token '+' "'+'" '-' "'-'" '*' "'*'" '/' "'/'" '^' "'^'" '<' "'<'" '>' "'>'" '=' "'='" '~' "'~'"
%token '@' "'@'" ':' "':'" ',' "','" '(' "'('" ')' "')'" '[' "'['" ']' "']'" '{' "'{'" '}' "'}'"

 /* From loose to tight. */
%precedence ELSE
%left OR
%left AND
%precedence NOT
%nonassoc '<' LE '>' GE EQ NE
%left '+' '-'
%left '*' '/'
%precedence NEGATION
%right '^'

%type <token> name label
%type <node> statements block statement species_list species param_list param input_list input
%type <node> const_list const let_list let index_list index parameters parameter_list
%type <node> bindings binding_list binding side terms term rates rate every event
%type <node> assign_list assign observe_list observable simulate entries entry entry_values
%type <node> entry_value text dimensions reference expression expression_list argument argument_list range

%%

file:
    statements                           { parser->file = $1; }
  | statements OBJECTIVE expression END  { parser->file = $3; } /* no statement, then the expression */

statements:
    %empty                    { $$ = LEAF(AST_FILE, @$, NULL); }
  | statements statement END  { $$ = append_all(parser, $1, $2); }
  | statements error END      { $$ = $1; yyerrok; }

block: '{' statements '}'     { $$ = $2; }

statement:
    MODEL name                { $$ = LIST(named(parser, AST_MODEL, declared(parser, $2), NULL, @$)); }
  | USE STRING AS name bindings
        {
            AstNode *use = named(parser, AST_USE, declared(parser, $4), NULL, @$);
            use->name2 = $2.name;
            $$ = LIST(append_all(parser, use, $5));
        }
  | SPECIES species_list      { $$ = $2; }
  | PARAM param_list          { $$ = $2; }
  | INPUT input_list          { $$ = $2; }
  | CONST const_list          { $$ = $2; }
  | LET let_list              { $$ = $2; }
  | INDEX index_list          { $$ = $2; }
  | FN name '(' parameters ')' '=' expression
        {
            AstNode *function = named(parser, AST_FUNCTION, declared(parser, $2), $7, @$);
            $$ = LIST(append_all(parser, function, $4));
        }
  | side ARROW side '@' rates       { $$ = LIST(reaction(parser, (Token){0}, $1, $2, $3, $5, @$)); }
  | side ARROW_BOTH side '@' rates  { $$ = LIST(reaction(parser, (Token){0}, $1, $2, $3, $5, @$)); }
  | side ARROW_LAW side '@' rates   { $$ = LIST(reaction(parser, (Token){0}, $1, $2, $3, $5, @$)); }
  | label side ARROW side '@' rates       { $$ = LIST(reaction(parser, $1, $2, $3, $4, $6, @$)); }
  | label side ARROW_BOTH side '@' rates  { $$ = LIST(reaction(parser, $1, $2, $3, $4, $6, @$)); }
  | label side ARROW_LAW side '@' rates   { $$ = LIST(reaction(parser, $1, $2, $3, $4, $6, @$)); }
  | FOR name IN range block
        {
            AstNode *loop = named(parser, AST_FOR, declared(parser, $2), $4, @$);
            $$ = LIST(append_all(parser, loop, $5));
        }
  | event ':' assign_list
        {
            $1->span = @$;
            $$ = LIST(append_all(parser, $1, $3));
        }
  | OBSERVE observe_list
        {
            AstNode *observe = LEAF(AST_OBSERVE, @$, NULL);
            $$ = LIST(append_all(parser, observe, $2));
        }
  | simulate
        {
            $1->span = @$;
            $$ = LIST($1);
        }
  | FIT '{' entries '}'
        {
            AstNode *fit = LEAF(AST_FIT, @$, NULL);
            $$ = LIST(append_all(parser, fit, $3));
        }

 /* ---- Names: clause words are names where no clause can begin. */

name: NAME | AS | AT | BOUND | EVERY | FIT | FROM

label: name ':'  { $$ = declared(parser, $1); }

 /* ---- Declarations. */

species_list: species { $$ = LIST($1); } | species_list ',' species { $$ = append(parser, $1, $3); }

species:
    name dimensions
        {
            const Token name = declared(parser, $1);
            AstNode *species = NODE(AST_SPECIES, @$, name.name, NULL);
            species->name_span = name.span;
            $$ = append_all(parser, species, $2);
        }
  | name dimensions '=' expression
        {
            AstNode *species = named(parser, AST_SPECIES, declared(parser, $1), $4, @$);
            $$ = append_all(parser, species, $2);
        }

param_list: param { $$ = LIST($1); } | param_list ',' param { $$ = append(parser, $1, $3); }

param:
    name dimensions
        {
            const Token name = declared(parser, $1);
            AstNode *param = NODE(AST_PARAM, @$, name.name, NULL, NULL, NULL);
            param->name_span = name.span;
            $$ = append_all(parser, param, $2);
        }
  | param '=' expression
        {
            set_once(parser, $1, 0, $3, "value");
            $1->span = @$;
            $$ = $1;
        }
  | param '~' expression
        {
            if ($3->kind != AST_CALL && $3->kind != AST_POISON)
                rxn__error(parser->diagnostics, $3->span,
                           "expected a distribution after '~': normal(mean, sd) or uniform(low, high)");
            set_once(parser, $1, 0, $3, "value");
            $1->op |= AST_PARAM_DISTRIBUTED;
            $1->span = @$;
            $$ = $1;
        }
  | param IN expression DOTDOT expression
        {
            set_once(parser, $1, 1, $3, "range");
            $1->kids[2] = $5;
            $1->span = @$;
            $$ = $1;
        }
  | param FIT
        {
            $1->op |= AST_PARAM_FIT;
            $1->span = @$;
            $$ = $1;
        }

input_list: input { $$ = LIST($1); } | input_list ',' input { $$ = append(parser, $1, $3); }

input:
    name dimensions
        {
            AstNode *input = named(parser, AST_INPUT, declared(parser, $1), NULL, @$);
            $$ = append_all(parser, input, $2);
        }

const_list: const { $$ = LIST($1); } | const_list ',' const { $$ = append(parser, $1, $3); }
const: name '=' expression { $$ = named(parser, AST_CONST, declared(parser, $1), $3, @$); }

let_list: let { $$ = LIST($1); } | let_list ',' let { $$ = append(parser, $1, $3); }
let: name '=' expression { $$ = named(parser, AST_LET, declared(parser, $1), $3, @$); }

index_list: index { $$ = LIST($1); } | index_list ',' index { $$ = append(parser, $1, $3); }
index: name '=' expression { $$ = named(parser, AST_INDEX, declared(parser, $1), $3, @$); }

dimensions: %empty { $$ = NULL; } | '[' expression_list ']' { $$ = $2; }

parameters: %empty { $$ = NULL; } | parameter_list

parameter_list:
    name                     { $$ = LIST(named(parser, AST_REFERENCE, declared(parser, $1), NULL, @1)); }
  | parameter_list ',' name  { $$ = append(parser, $1, named(parser, AST_REFERENCE, declared(parser, $3), NULL, @3)); }

bindings: %empty { $$ = NULL; } | '(' ')' { $$ = NULL; } | '(' binding_list ')' { $$ = $2; }
binding_list: binding { $$ = LIST($1); } | binding_list ',' binding { $$ = append(parser, $1, $3); }
binding: name '=' expression { $$ = named(parser, AST_NAMED, $1, $3, @$); }

 /* ---- Reactions. */

side:
    NOTHING  { $$ = LEAF(AST_COMPLEX, @$, NULL); }
  | NUMBER   { $$ = nothing(parser, $1); }
  | terms

terms:
    term            { $$ = NODE(AST_COMPLEX, @$, NULL, $1); }
  | terms '+' term
        {
            $1->span = @$;
            $$ = append(parser, $1, $3);
        }

term:
    reference
        {
            $$ = NODE(AST_TERM, @$, NULL, $1);
            $$->number = 1;
        }
  | NUMBER reference
        {
            $$ = NODE(AST_TERM, @$, NULL, $2);
            $$->number = coefficient(parser, $1);
        }

 /* One or two rates, each a pair of kids: the rate and its bound or NULL. */
rates: rate | rate ',' rate { $$ = append_all(parser, $1, $3); $$->span = @$; }

rate:
    expression                   { $$ = rates(parser, $1, NULL); }
  | expression BOUND expression  { $$ = rates(parser, $1, $3); }

 /* ---- Events. */

event:
    AT expression       { $$ = NODE(AST_AT, @$, NULL, $2); }
  | WHEN expression     { $$ = NODE(AST_WHEN, @$, NULL, $2); }
  | every

every:
    EVERY expression          { $$ = NODE(AST_EVERY, @$, NULL, $2, NULL, NULL); }
  | every FROM expression     { $$ = $1; set_once(parser, $1, 1, $3, "'from'"); }
  | every UNTIL expression    { $$ = $1; set_once(parser, $1, 2, $3, "'until'"); }

assign_list: assign { $$ = LIST($1); } | assign_list ',' assign { $$ = append(parser, $1, $3); }
assign: reference '=' expression { $$ = NODE(AST_ASSIGN, @$, NULL, $1, $3); }

 /* ---- What to do with the model. */

observe_list: observable { $$ = LIST($1); } | observe_list ',' observable { $$ = append(parser, $1, $3); }

observable:
    expression           { $$ = observable(parser, $1, @$); }
  | name '=' expression  { $$ = named(parser, AST_OBSERVABLE, declared(parser, $1), $3, @$); }

simulate:
    SIMULATE UNTIL expression        { $$ = NODE(AST_SIMULATE, @$, NULL, $3, NULL); }
  | SIMULATE EVERY expression        { $$ = NODE(AST_SIMULATE, @$, NULL, NULL, $3); }
  | SIMULATE AT expression_list      { $$ = append_all(parser, NODE(AST_SIMULATE, @$, NULL, NULL, NULL), $3); }
  | simulate UNTIL expression        { $$ = $1; set_once(parser, $1, 0, $3, "'until'"); }
  | simulate EVERY expression        { $$ = $1; set_once(parser, $1, 1, $3, "'every'"); }
  | simulate AT expression_list      { $$ = append_all(parser, $1, $3); }

entries:
    %empty             { $$ = LEAF(AST_FILE, @$, NULL); }
  | entries entry END  { $$ = append_all(parser, $1, $2); }
  | entries error END  { $$ = $1; yyerrok; }

 /* What stands in front of the values is the key; `experiment fed { }` and `A = 100` are told by what follows.
  * At the start of an entry the layout makes a NAME of every word that begins no event. */
entry:
    NAME               { $$ = LIST(named(parser, AST_ENTRY, $1, NULL, @$)); }
  | NAME entry_values  { $$ = LIST(append_all(parser, named(parser, AST_ENTRY, $1, NULL, @$), $2)); }
  | NAME '{' entries '}'
        {
            AstNode *block = named(parser, AST_BLOCK, $1, NULL, @$);
            $$ = LIST(append_all(parser, block, $3));
        }
  | NAME name '{' entries '}'
        {
            AstNode *block = named(parser, AST_BLOCK, $1, NULL, @$);
            block->name2 = $2.name;
            $$ = LIST(append_all(parser, block, $4));
        }
  | assign_list
  | event ':' assign_list
        {
            $1->span = @$;
            $$ = LIST(append_all(parser, $1, $3));
        }

entry_values:
    entry_value                   { $$ = LIST($1); }
  | entry_values ',' entry_value  { $$ = append(parser, $1, $3); }

entry_value:
    expression
  | text
  | name '=' expression           { $$ = named(parser, AST_NAMED, $1, $3, @$); }
  | name '=' text                 { $$ = named(parser, AST_NAMED, $1, $3, @$); }
  | expression DOTDOT expression  { $$ = range_of(parser, $1, $3, @$); }
  | reference '~' expression
        {
            AstNode *distribution = $3;
            if (distribution->kind != AST_CALL && distribution->kind != AST_POISON) {
                rxn__error(parser->diagnostics, distribution->span,
                           "expected a distribution after '~', as in 'normal(mean, sd)'");
                distribution = LEAF(AST_POISON, distribution->span, NULL);
            }
            $$ = NODE(AST_PRIOR, @$, NULL, $1, distribution);
        }

text: STRING { $$ = LEAF(AST_STRING, @$, $1.name); }

 /* ---- Expressions. */

expression:
    NUMBER
        {
            $$ = LEAF($1.is_reported ? AST_POISON : AST_NUMBER, @$, $1.name);
            $$->number = $1.number;
        }
  | TRUE_WORD
        {
            $$ = LEAF(AST_BOOLEAN, @$, NULL);
            $$->number = 1;
        }
  | FALSE_WORD  { $$ = LEAF(AST_BOOLEAN, @$, NULL); }
  | reference
  | '(' expression ')'                 { $$ = $2; }
  | name '(' ')'                       { $$ = named(parser, AST_CALL, $1, NULL, @$); }
  | name '(' argument_list ')'         { $$ = append_all(parser, named(parser, AST_CALL, $1, NULL, @$), $3); }
  | SUM '(' name IN range ':' expression ')'
        {
            $$ = NODE(AST_SUM, @$, $3.name, $5, $7);
            $$->name_span = @3;
            declared(parser, $3);
        }
  | PROD '(' name IN range ':' expression ')'
        {
            $$ = NODE(AST_PROD, @$, $3.name, $5, $7);
            $$->name_span = @3;
            declared(parser, $3);
        }
  | IF expression THEN expression ELSE expression  { $$ = NODE(AST_IF, @$, NULL, $2, $4, $6); }
  | '-' expression %prec NEGATION  { $$ = operation(parser, AST_NEGATE, @$, $2, NULL); }
  | NOT expression                 { $$ = operation(parser, AST_LOGICAL_NOT, @$, $2, NULL); }
  | expression OR expression       { $$ = operation(parser, AST_OR, @$, $1, $3); }
  | expression AND expression      { $$ = operation(parser, AST_AND, @$, $1, $3); }
  | expression '<' expression      { $$ = operation(parser, AST_LT, @$, $1, $3); }
  | expression LE expression       { $$ = operation(parser, AST_LE, @$, $1, $3); }
  | expression '>' expression      { $$ = operation(parser, AST_GT, @$, $1, $3); }
  | expression GE expression       { $$ = operation(parser, AST_GE, @$, $1, $3); }
  | expression EQ expression       { $$ = operation(parser, AST_EQ, @$, $1, $3); }
  | expression NE expression       { $$ = operation(parser, AST_NE, @$, $1, $3); }
  | expression '+' expression      { $$ = operation(parser, AST_ADD, @$, $1, $3); }
  | expression '-' expression      { $$ = operation(parser, AST_SUB, @$, $1, $3); }
  | expression '*' expression      { $$ = operation(parser, AST_MUL, @$, $1, $3); }
  | expression '/' expression      { $$ = operation(parser, AST_DIV, @$, $1, $3); }
  | expression '^' expression      { $$ = operation(parser, AST_POW, @$, $1, $3); }

reference:
    name                          { $$ = named(parser, AST_REFERENCE, $1, NULL, @$); }
  | name '[' expression_list ']'  { $$ = append_all(parser, named(parser, AST_REFERENCE, $1, NULL, @$), $3); }

expression_list:
    expression                      { $$ = LIST($1); }
  | expression_list ',' expression  { $$ = append(parser, $1, $3); }

argument_list:
    argument                    { $$ = LIST($1); }
  | argument_list ',' argument  { $$ = append(parser, $1, $3); }

argument:
    expression
  | name '=' expression           { $$ = named(parser, AST_NAMED, $1, $3, @$); }
  | name IN range ':' expression
        {
            $$ = NODE(AST_EACH, @$, $1.name, $3, $5);
            $$->name_span = @1;
            declared(parser, $1);
        }

range:
    expression                    { $$ = range_of(parser, $1, NULL, @$); }
  | expression DOTDOT expression  { $$ = range_of(parser, $1, $3, @$); }

%%

/* A node; POISON instead, and an error the first time, where the tree would become too high for those
 * who walk it by recursion. */
static AstNode *
new_node(Parser *parser, AstKind kind, Span span, Name name, u32 kid_count, AstNode *const *kids)
{
    AstNode *node = rxn__ast_node(ARENA, kind, span, name, kid_count, kids);
    if (kind >= AST_POISON || node->height <= RXN_MAX_HEIGHT)
        return node;
    rxn__expression_too_long(parser, span);
    return rxn__ast_node(ARENA, AST_POISON, span, NULL, 0, NULL);
}

static AstNode *
operation(Parser *parser, AstOp op, Span span, AstNode *left, AstNode *right)
{
    AstNode *const kids[] = {left, right};
    AstNode *node = new_node(parser, right ? AST_BINARY : AST_UNARY, span, NULL, right ? 2 : 1, kids);
    if (node->kind != AST_POISON)
        node->op = (u8)op;
    return node;
}

/* A node with a name and, if there is a value, one kid. */
static AstNode *
named(Parser *parser, AstKind kind, Token name, AstNode *value, Span span)
{
    AstNode *node = new_node(parser, kind, span, name.name, value ? 1 : 0, &value);
    node->name_span = name.span;
    return node;
}

/* A list while it is read; never part of the tree. */
static AstNode *
list_of(Parser *parser, AstNode *first)
{
    return NODE(AST_FILE, first->span, NULL, first);
}

static AstNode *
append(Parser *parser, AstNode *list, AstNode *node)
{
    rxn__ast_append(ARENA, list, node);
    return list;
}

/* Appends the kids of a list, NULL or not. */
static AstNode *
append_all(Parser *parser, AstNode *node, const AstNode *list)
{
    if (list)
        rxn__ast_append_all(ARENA, node, list->kids, list->kid_count);
    return node;
}

/* A name that is being declared here: it cannot be that of a module's member. */
static Token
declared(Parser *parser, Token name)
{
    if (memchr(name.name->text, '.', name.name->length)) {
        rxn__error(parser->diagnostics, name.span, "the name '%s' cannot be declared: it has a '.'",
                   rxn__shown(ARENA, name.name->text, name.name->length));
        rxn__note(parser->diagnostics, (Span){0}, "'module.member' is how to write a member of a used model");
    }
    return name;
}

static void
set_once(Parser *parser, AstNode *node, u32 kid, AstNode *value, const char *what)
{
    if (node->kids[kid])
        rxn__error(parser->diagnostics, value->span, "a second %s", what);
    else
        node->kids[kid] = value;
}

static AstNode *
range_of(Parser *parser, AstNode *low, AstNode *high, Span span)
{
    if (high)
        return NODE(AST_RANGE, span, NULL, low, high);
    if ((low->kind == AST_REFERENCE && low->kid_count == 0) || low->kind == AST_POISON)
        return low;
    rxn__error(parser->diagnostics, span, "expected an index set or a range after 'in'");
    rxn__note(parser->diagnostics, (Span){0}, "a range is written 'low .. high', both included");
    return LEAF(AST_POISON, span, NULL);
}

/* A side that is a number alone. */
static AstNode *
nothing(Parser *parser, Token number)
{
    if (!number.is_reported && (!number.is_whole || number.number != 0)) {
        rxn__error(parser->diagnostics, number.span, "expected a species after the coefficient %s",
                   rxn__shown(ARENA, number.name->text, number.name->length));
        rxn__note(parser->diagnostics, (Span){0}, "a side without species is written 0");
    }
    return LEAF(AST_COMPLEX, number.span, NULL);
}

static double
coefficient(Parser *parser, Token number)
{
    enum { MAX_COEFFICIENT = 1000000000 }; /* far beyond sense, and within 32 bits */
    if (number.is_whole && number.number >= 1 && number.number <= MAX_COEFFICIENT)
        return number.number;
    if (number.is_reported)
        return 1;
    rxn__error(parser->diagnostics, number.span,
               number.is_whole && number.number >= 1
                   ? "the coefficient %s is too large (more than 1e9)"
                   : "the coefficient %s is not a whole number of 1 or more",
               rxn__shown(ARENA, number.name->text, number.name->length));
    return 1;
}

static AstNode *
rates(Parser *parser, AstNode *rate, AstNode *bound)
{
    return NODE(AST_FILE, span_join(rate->span, bound ? bound->span : rate->span), NULL, rate, bound);
}

static AstNode *
reaction(Parser *parser, Token label, AstNode *left, Token arrow, AstNode *right, AstNode *rates,
         Span span)
{
    AstNode *const *rate = rates->kids;
    const bool two = rates->kid_count == 4;
    AstOp op = AST_ARROW;
    if (arrow.kind == ARROW_BOTH) {
        op = AST_ARROW_BOTH;
        if (!two) {
            rxn__error(parser->diagnostics, rates->span, "'<->' needs two rates");
            rxn__note(parser->diagnostics, (Span){0}, "write '@ forward, reverse'");
        }
    } else {
        op = arrow.kind == ARROW_LAW ? AST_ARROW_LAW : AST_ARROW;
        if (two) {
            rxn__error(parser->diagnostics, rate[2]->span, "'%s' takes one rate",
                       rxn__ast_op_text(op));
            rxn__note(parser->diagnostics, (Span){0}, "a reaction with two rates is written 'A <-> B @ forward, reverse'");
        }
    }
    AstNode *reverse = op == AST_ARROW_BOTH ? LEAF(AST_POISON, rates->span, NULL) : NULL;
    AstNode *reverse_bound = NULL;
    if (op == AST_ARROW_BOTH && two) {
        reverse = rate[2];
        reverse_bound = rate[3];
    }
    AstNode *node =
        NODE(AST_REACTION, span, label.name, left, right, rate[0], reverse, rate[1], reverse_bound);
    if (node->kind == AST_REACTION)
        node->op = (u8)op;
    node->name_span = label.span;
    return node;
}

static AstNode *
observable(Parser *parser, AstNode *value, Span span)
{
    if (value->kind != AST_REFERENCE && value->kind != AST_POISON) {
        rxn__error(parser->diagnostics, span, "an expression that is observed needs a name");
        rxn__note(parser->diagnostics, (Span){0}, "write 'observe name = ...'");
    }
    return NODE(AST_OBSERVABLE, span, NULL, value);
}

static int
yylex(RXN__BISON_STYPE *value, Span *span, Parser *parser)
{
    const Token token = rxn__layout_next(parser);
    value->token = token;
    *span = token.span;
    return token.kind;
}

/* bison calls this when its stack is full, and for nothing else: syntax errors go below. */
static void
yyerror(Span *span, Parser *parser, const char *message)
{
    (void)message;
    rxn__expression_too_deep(parser, *span);
}

static int
yyreport_syntax_error(const yypcontext_t *context, Parser *parser)
{
    yysymbol_kind_t expected[YYNTOKENS];
    const int count = yypcontext_expected_tokens(context, expected, YYNTOKENS);
    bool fits[RXN_TOKEN_LIMIT] = {false};
    for (int i = 0; i < count; i++)
        for (int kind = 1; kind < RXN_TOKEN_LIMIT; kind++)
            fits[kind] |= YYTRANSLATE(kind) == expected[i];
    rxn__report_unexpected(parser, fits);
    return 0;
}

const char *
rxn__token_text(int kind)
{
    return yysymbol_name(YYTRANSLATE(kind));
}
