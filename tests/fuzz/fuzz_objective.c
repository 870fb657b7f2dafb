/* fuzz_objective.c: any bytes as expressions of `--of`, over some models: through the parser, sema
 * and the normal form, then derived in all ways that estimators derive.
 *
 * The first line says about what: its first byte which model, each digit behind it a time of --at; every further
 * line is one --of. Whatever they are, the answer is an objective that keeps its rules and reads back, or an error
 * within limits of memory and time. Derivatives of what is not too large have to be expressions that keep the
 * network's rules, and can be evaluated.
 */
#include "compiler/network/objective.h"
#include "tests/fuzz/front.h"

enum {
    MAX_INPUT = 1 << 16,
    MEMORY_LIMIT = 64 << 20, /* a million readings are taken, but not in the time of a fuzzer */
    MAX_TEXTS = 8,
    MAX_TIMES = 10,
    /* of what is derived: */
    MAX_EXPRS = 20000,
    MAX_DERIVED = 200,
    MAX_NODES = 2000000,
};

/* In the folder of the project. */
static const char *const models[] = {
    "tests/golden/objectives/model.rxn", "stdlib_models/dimerisation.rxn",
    "stdlib_models/schlogl.rxn",         "stdlib_models/dosing.rxn",
    "stdlib_models/hopping_line.rxn",    "stdlib_models/toggle_switch.rxn",
    "stdlib_models/telegraph.rxn",       "stdlib_models/day_night.rxn",
    "stdlib_models/cell_division.rxn",
};
enum { MODELS = sizeof models / sizeof models[0] };

typedef struct Case {
    const char *model;
    size_t model_length;
    const char *texts[MAX_TEXTS];
    double times[MAX_TIMES];
    ObjectiveRequest request;
} Case;

static bool
load_nothing(void *context, const char *from, const char *path, Arena *arena,
             const char **ret_resolved, const char **ret_text, size_t *ret_length,
             const char **ret_reason)
{
    (void)context, (void)from, (void)path, (void)arena;
    (void)ret_resolved, (void)ret_text, (void)ret_length;
    *ret_reason = "there is no such file";
    return false;
}

/* ---- what estimators do with an objective ------------------------------------------------------- */

typedef struct Derived {
    FuzzSession *session;
    Network *network;
    ExprValues values;
    u32 count;
} Derived;

static Expr
derive(Derived *derived, Expr expr, ExprOp op, u32 number)
{
    Network *network = derived->network;
    if (derived->count >= MAX_DERIVED || network->exprs.count > MAX_NODES)
        return 0;
    derived->count++;
    Expr derivative = rxn__expr_derivative(network, expr, op, number);
    expect(derivative != 0 && derivative < network->exprs.count, "a derivative is no expression",
           NULL);
    volatile double value = rxn__expr_evaluate(network, derivative, &derived->values);
    (void)value;
    return derivative;
}

/* By all that it may depend on: parameters and species of the model, quantities up to `quantities`. */
static void
derive_all(Derived *derived, Expr expr, u32 quantities, bool twice)
{
    Network *network = derived->network;
    LeafDerivatives leaves = {0};
    rxn__expr_derivatives(network, expr, &derived->session->arena, &leaves);
    for (u32 p = 0; p < network->param_count; p++)
        derive(derived, expr, EXPR_PARAM, p);
    for (u32 s = 0; s < network->species_count && s < 8; s++)
        derive(derived, expr, EXPR_SPECIES, s);
    for (u32 q = 0; q < quantities; q++) {
        Expr first = derive(derived, expr, EXPR_QUANTITY, q);
        for (u32 r = 0; first && twice && r <= q; r++)
            derive(derived, first, EXPR_QUANTITY, r);
    }
}

static double *
numbers(Arena *arena, u32 count, double value)
{
    double *all = NEW_ARRAY(arena, double, count + 1);
    for (u32 k = 0; k < count; k++)
        all[k] = value + k % 7;
    return all;
}

static void
use(FuzzSession *s, Network *network)
{
    const Objective *objective = network->objective;
    expect(objective != NULL, "no objective and no error", NULL);
    expect(objective->outputs.count > 0 && objective->functionals.count > 0 &&
               objective->atoms.count > 0,
           "an objective without something to estimate", NULL);
    u32 atoms = objective->atoms.count, functionals = objective->functionals.count;
    u32 quantities = atoms > functionals ? atoms : functionals;
    Derived derived = {
        .session = s,
        .network = network,
        .values = {.species = numbers(&s->arena, network->species_count, 0),
                   .params = numbers(&s->arena, network->param_count, 0.5),
                   .inputs = numbers(&s->arena, network->input_count, 1),
                   .quantities = numbers(&s->arena, quantities, 2),
                   .time = 1},
    };
    for (u32 o = 0; o < objective->outputs.count && o < 20; o++) {
        OutputTerms terms = {0};
        rxn__output_terms(network, o, &s->arena, &terms);
        if (network->exprs.count < MAX_EXPRS)
            derive_all(&derived, objective->outputs.items[o].value,
                       functionals < 6 ? functionals : 6, true);
    }
    derived.count = 0;
    for (u32 f = 0; f < functionals && f < 50; f++) {
        FunctionalFacts facts;
        rxn__functional_facts(network, f, &s->arena, &facts);
        expect(facts.differentiable == (facts.rough_count == 0) || facts.rough_count == 0,
               "a rough atom in a differentiable functional", NULL);
        expect(objective->functionals.items[f].last <= objective->end, "a time behind the end",
               NULL);
        if (network->exprs.count < MAX_EXPRS)
            derive_all(&derived, objective->functionals.items[f].value, atoms < 6 ? atoms : 6,
                       false);
    }
    derived.count = 0;
    for (u32 a = 0; a < atoms && a < 50; a++)
        if (network->exprs.count < MAX_EXPRS)
            derive_all(&derived, objective->atoms.items[a].value, 0, false);
    const char *broken = rxn__network_check(network, &s->arena);
    expect(!broken, "derivatives break a rule", broken);
}

/* ---- one input --------------------------------------------------------------------------------- */

static void
run(FuzzSession *s, void *context)
{
    const Case *input = context;
    const u32 file = rxn__sources_add(&s->sources, "model", input->model, input->model_length);
    const SourceLoader loader = {.load = load_nothing};
    bool objective_is_wrong = false;
    const SemaInput sema = {.arena = &s->arena,
                            .names = &s->names,
                            .sources = &s->sources,
                            .diagnostics = &s->diagnostics,
                            .loader = &loader,
                            .objective = &input->request,
                            .objective_is_wrong = &objective_is_wrong};
    Network *network = rxn__elaborate(&sema, file, NULL);
    const bool failed = s->diagnostics.error_count > 0;
    expect((network == NULL) == failed, "neither a network nor an error", NULL);
    expect(objective_is_wrong == failed, "an error that is not the objective's", NULL);
    Text text;
    rxn__text_init(&text, &s->arena);
    rxn__diagnostics_render(&s->diagnostics, &text);
    if (network && fuzz_passes(s, network))
        use(s, network);
}

/* The texts of all models, read once. */
static const char *
model_text(u32 number, size_t *ret_length)
{
    static char *texts[MODELS];
    if (!texts[number]) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", RXN_ROOT, models[number]);
        FILE *file = fopen(path, "rb");
        expect(file != NULL, "a model cannot be read", path);
        texts[number] = calloc(1, 1 << 16);
        size_t length = fread(texts[number], 1, (1 << 16) - 1, file);
        expect(length > 0, "a model is empty", path);
        fclose(file);
    }
    *ret_length = strlen(texts[number]);
    return texts[number];
}

/* '0' is the first. */
static u32
model_number(u8 byte)
{
    return (u8)(byte - '0') % MODELS;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    if (size == 0 || size > MAX_INPUT || memchr(data, 0, size)) /* no argument has a NUL inside */
        return 0;
    Case input = {0};
    input.model = model_text(model_number(data[0]), &input.model_length);
    size_t at = 1;
    u32 times = 0, count = 0;
    for (; at < size && data[at] != '\n'; at++)
        if (data[at] >= '0' && data[at] <= '9' && times < MAX_TIMES)
            input.times[times++] = 0.5 * (data[at] - '0');
    while (at < size && count < MAX_TEXTS) {
        const u8 *begin = data + at + 1, *behind = data + size;
        const u8 *end = memchr(begin, '\n', (size_t)(behind - begin));
        size_t length = (size_t)((end ? end : behind) - begin);
        char *text = malloc(length + 1); /* exactly as long as it is, so that reading on is seen */
        memcpy(text, begin, length);
        text[length] = 0;
        input.texts[count++] = text;
        at += 1 + length;
    }
    input.request = (ObjectiveRequest){input.texts, count, input.times, times};
    if (count)
        fuzz_session(MEMORY_LIMIT, run, &input);
    for (u32 k = 0; k < count; k++)
        free((char *)input.texts[k]);
    return 0;
}
