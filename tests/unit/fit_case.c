/* fit_case.c: see fit_case.h. */
#include "tests/unit/fit_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char case_model[] = "index set = 3\n"
                          "species X = 1, Y = 2, H[set] = 0\n"
                          "param k = 0.5 in 0.01 .. 10 fit, w = 3, b[set] = 2 in 0 .. 100 fit\n"
                          "input u, label\n"
                          "let both = X + Y\n"
                          "0 -> X @ k + u\n"
                          "Y -> 0 @ k * w\n"
                          "for s in set { 0 -> H[s] @ b[s] }\n"
                          "observe X, double = 2*X\n"
                          "simulate until 4\n";

const double case_params[] = {0.5, 3, 2, 4, 8}, case_inputs[] = {7, 1};

const char case_courses[] = "time,X,Y,s\n1,2,3,0.5\n2,7,1,0.25\n3.5,8.5,0,2\n";
const double case_times[3] = {1, 2, 3.5};

static const RxnTable *
load_table(void *context, const char *from, const char *path, Arena *arena,
           const char **ret_resolved, const char **ret_reason)
{
    Tables *tables = context;
    (void)from;
    (void)arena;
    for (u32 i = 0; i < tables->count; i++) {
        if (strcmp(tables->paths[i], path) != 0)
            continue;
        if (tables->items[i].path == NULL &&
            !rxn__table_parse(path, tables->texts[i], strlen(tables->texts[i]), &tables->items[i],
                              tables->error, sizeof tables->error)) {
            *ret_reason = tables->error;
            return NULL;
        }
        *ret_resolved = path;
        return &tables->items[i];
    }
    *ret_reason = "there is no such file";
    return NULL;
}

Case *
case_elaborate(const char *head, const char *block, Wanted wanted, u32 table_count,
               const char *const (*tables)[2])
{
    Case *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->memory.on_failure = &c->on_failure;
    rxn__arena_init(&c->arena, &c->memory);
    if (setjmp(c->on_failure) != 0)
        fail_msg("out of memory");
    rxn__names_init(&c->names, &c->arena);
    rxn__sources_init(&c->sources, &c->arena);
    rxn__diagnostics_init(&c->diagnostics, &c->arena, &c->sources);
    for (u32 i = 0; i < table_count; i++) {
        c->tables.paths[i] = tables[i][0];
        c->tables.texts[i] = tables[i][1];
    }
    c->tables.count = table_count;
    const FitTables loader = {&c->tables, load_table};
    const FitRequest request = {.experiment = wanted.experiment,
                                .measures = wanted.measures,
                                .data = wanted.data,
                                .tables = &loader,
                                .ret_fit = &c->fit};
    const SemaInput input = {.arena = &c->arena,
                             .names = &c->names,
                             .sources = &c->sources,
                             .diagnostics = &c->diagnostics,
                             .fit = &request};
    Text text;
    rxn__text_init(&text, &c->arena);
    rxn__text_printf(&text, "%s%s", head, block);
    u32 file = rxn__sources_add(&c->sources, "test.rxn", text.data, text.length);
    c->network = rxn__elaborate(&input, file, NULL);
    return c;
}

void
case_end(Case *c)
{
    for (u32 i = 0; i < c->tables.count; i++)
        rxn__table_release(&c->tables.items[i]);
    rxn__arena_release(&c->arena);
    assert_int_equal(c->memory.used, 0);
    free(c);
}

Case *
case_begin(const char *block, Wanted wanted, const char *table)
{
    const char *const tables[][2] = {{"d.csv", table}, {"e.csv", table}};
    Case *c = case_elaborate(case_model, block, wanted, table ? 2 : 0, tables);
    if (!c->network || c->diagnostics.error_count > 0) {
        Text out;
        rxn__text_init(&out, &c->arena);
        rxn__diagnostics_render(&c->diagnostics, &out);
        fail_msg("%s\n%s", block, out.data);
    }
    assert_null(rxn__network_check(c->network, &c->arena));
    return c;
}

/* ---- The ensemble: paths that jump at whole times ---------------------------------------------- */

void
case_state(u32 path, double time, double *ret_species)
{
    double step = floor(time), p = path;
    ret_species[0] = 1 + p * step + (path == 2 ? step : 0);
    ret_species[1] = fmax(0, 2 + p - step);
    for (u32 s = 0; s < 3; s++)
        ret_species[2 + s] = fmod(3 * s + 2 * p + step * (s + 1), 7);
}

static double
read_atom(const Network *network, const Atom *atom, u32 path)
{
    double species[5];
    ExprValues at = {
        .species = species, .params = case_params, .inputs = case_inputs, .time = atom->to};
    case_state(path, atom->to, species);
    assert_int_equal(atom->kind, ATOM_STATE);
    return rxn__expr_evaluate(network, atom->value, &at);
}

double
case_evaluate(Case *c, Expr expr)
{
    const Objective *objective = c->network->objective;
    double *atoms = calloc(objective->atoms.count + 1, sizeof *atoms);
    double *means = calloc(objective->functionals.count + 1, sizeof *means);
    assert_true(atoms && means);
    ExprValues values = {.params = case_params, .inputs = case_inputs, .quantities = atoms};
    for (u32 path = 0; path < CASE_PATHS; path++) {
        for (u32 i = 0; i < objective->atoms.count; i++)
            atoms[i] = read_atom(c->network, &objective->atoms.items[i], path);
        for (u32 i = 0; i < objective->functionals.count; i++)
            means[i] +=
                rxn__expr_evaluate(c->network, objective->functionals.items[i].value, &values) /
                CASE_PATHS;
    }
    values.quantities = means;
    double value = rxn__expr_evaluate(c->network, expr, &values);
    free(atoms);
    free(means);
    return value;
}

double
case_output(Case *c, u32 number)
{
    assert_true(number < c->network->objective->outputs.count);
    return case_evaluate(c, c->network->objective->outputs.items[number].value);
}

void
assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-12 * fmax(1, fabs(expected))))
        fail_msg("%.17g, and not %.17g", found, expected);
}

double
case_mean_x(double time)
{
    double sum = 0, species[5];
    for (u32 path = 0; path < CASE_PATHS; path++) {
        case_state(path, time, species);
        sum += species[0];
    }
    return sum / CASE_PATHS;
}

double
case_var_x(double time)
{
    double sum = 0, species[5];
    for (u32 path = 0; path < CASE_PATHS; path++) {
        case_state(path, time, species);
        sum += species[0] * species[0];
    }
    return sum / CASE_PATHS - case_mean_x(time) * case_mean_x(time);
}
