/* bind.c: values for the params and inputs of a model: what the user gives (--set, --input), what the
 * model says, what is drawn at random; what a fit found (--params), what an experiment of a fit fixes.
 *
 * An input file is CSV, in one of two forms:
 *
 *     name,value          one line for each value; arrays by member: "W[3,1]",0.5
 *     x,label             a column for each input: one value for a scalar, as many as it has members
 *     0.5,3               for an array, in row-major order; a short column ends with empty cells
 *     0.25,
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/engine.h"
#include "compiler/engine/params.h"
#include "runtime/philox.h"

typedef struct Binder {
    Engine *engine; /* NULL: nothing is reported */
    Network *network;
    Arena *arena;
    double *params, *inputs;
    bool *param_given, *input_given;
    bool failed;
} Binder;

/* ---- names ------------------------------------------------------------------------------------- */

/* What a name stands for: an array of values with its shape. */
typedef struct Place {
    const char *kind;
    Name name;
    Shape shape;
    double *values; /* of its members */
    bool *given;
    double low, high;
    bool has_bounds;
} Place;

static void fail(Binder *binder, const char *format, ...) RXN_PRINTF(2, 3);

static void
fail(Binder *binder, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = rxn__text_vformat(binder->arena, format, args);
    va_end(args);
    rxn__engine_error(binder->engine, "%s", text);
    binder->failed = true;
}

static bool
find_place(const Binder *binder, const char *name, size_t length, Place *ret_place)
{
    const Network *network = binder->network;
    for (u32 k = 0; k < network->params.count; k++) {
        const Param *param = &network->params.items[k];
        if (param->name->length != length || memcmp(param->name->text, name, length) != 0)
            continue;
        *ret_place = (Place){"param",
                             param->name,
                             param->shape,
                             binder->params + param->flat,
                             binder->param_given + param->flat,
                             param->low,
                             param->high,
                             param->has_bounds};
        return true;
    }
    for (u32 k = 0; k < network->inputs.count; k++) {
        const Input *input = &network->inputs.items[k];
        if (input->name->length != length || memcmp(input->name->text, name, length) != 0)
            continue;
        *ret_place = (Place){.kind = "input",
                             .name = input->name,
                             .shape = input->shape,
                             .values = binder->inputs + input->flat,
                             .given = binder->input_given + input->flat};
        return true;
    }
    return false;
}

static void
report_unknown(Binder *binder, const char *name, size_t length)
{
    const Network *network = binder->network;
    const char *text = rxn__arena_copy_text(binder->arena, name, length);
    for (u32 k = 0; k < network->species.count; k++) {
        Name species = network->species.items[k].name;
        if (species->length != length || memcmp(species->text, name, length) != 0)
            continue;
        fail(binder, "'%s' is a species; only params and inputs can be set", text);
        rxn__engine_note(binder->engine,
                         "its initial value can be a param: 'param %s0 = …', 'species %s = %s0'",
                         text, text, text);
        return;
    }
    u32 count = 0;
    const char **names =
        NEW_ARRAY(binder->arena, const char *, network->params.count + network->inputs.count + 1);
    for (u32 k = 0; k < network->params.count; k++)
        names[count++] = network->params.items[k].name->text;
    for (u32 k = 0; k < network->inputs.count; k++)
        names[count++] = network->inputs.items[k].name->text;
    fail(binder, "the model has no param or input '%s'", rxn__shown(binder->arena, name, length));
    const char *nearest = rxn__nearest(text, count, names);
    if (nearest) {
        rxn__engine_note(binder->engine, "did you mean '%s'?", nearest);
    } else if (count == 0) {
        rxn__engine_note(binder->engine, "it has none at all");
    } else if (count <= 12) {
        Text list;
        rxn__text_init(&list, binder->arena);
        for (u32 k = 0; k < count; k++)
            rxn__text_printf(&list, "%s%s", k ? ", " : "", names[k]);
        rxn__engine_note(binder->engine, "it has %s", list.data);
    }
}

/* "x", "x[3]", "W[3, 1]": first member and how many it names. False after an error. */
static bool
parse_reference(Binder *binder, const char *text, size_t length, Place *ret_place, u64 *ret_first,
                u64 *ret_count)
{
    while (length && text[length - 1] == ' ')
        length--;
    while (length && *text == ' ')
        text++, length--;
    const char *bracket = memchr(text, '[', length);
    size_t name_length = bracket ? (size_t)(bracket - text) : length;
    if (!find_place(binder, text, name_length, ret_place)) {
        report_unknown(binder, text, name_length);
        return false;
    }
    const Shape *shape = &ret_place->shape;
    *ret_first = 0;
    *ret_count = rxn__shape_count(shape);
    if (!bracket)
        return true;
    const char *name = rxn__shown(binder->arena, text, length);
    const char *at = bracket + 1;
    u32 rank = 0;
    u64 flat = 0;
    for (; rank < RXN_MAX_RANK; rank++) {
        char *end;
        at += strspn(at, " ");
        if (*at < '0' || *at > '9')
            break;
        u64 index = strtoull(at, &end, 10);
        if (rank < shape->rank && index >= shape->extent[rank]) {
            fail(binder, "'%s': the index %llu is not in 0 .. %u", name, (unsigned long long)index,
                 shape->extent[rank] - 1);
            return false;
        }
        flat = rank < shape->rank ? flat * shape->extent[rank] + index : flat;
        at = end + strspn(end, " ");
        if (*at != ',') {
            rank++;
            break;
        }
        at++;
    }
    if (at != text + length - 1 || *at != ']') {
        fail(binder, "'%s' is not of the form name[3] or name[3,1]", name);
        return false;
    }
    if (rank != shape->rank) {
        fail(binder, "'%s' has %u %s, %s '%s' takes %u", name, rank,
             rank == 1 ? "index" : "indices", ret_place->kind, ret_place->name->text, shape->rank);
        return false;
    }
    *ret_first = flat;
    *ret_count = 1;
    return true;
}

void
rxn__bounds_text(Text *out, const char *name, double value, double low, double high)
{
    rxn__text_printf(out, "%s = ", name);
    rxn__text_f64(out, value);
    rxn__text_printf(out, " is outside of its bounds ");
    rxn__text_f64(out, low);
    rxn__text_printf(out, " .. ");
    rxn__text_f64(out, high);
}

static void
report_bounds(Binder *binder, const char *name, double value, double low, double high)
{
    Text text;
    rxn__text_init(&text, binder->arena);
    rxn__bounds_text(&text, name, value, low, high);
    fail(binder, "%s", text.data);
}

static void
assign(Binder *binder, const char *name, size_t length, double value)
{
    Place place;
    u64 first, count;
    if (!parse_reference(binder, name, length, &place, &first, &count))
        return;
    if (place.has_bounds && !(value >= place.low && value <= place.high)) {
        report_bounds(binder, rxn__shown(binder->arena, name, length), value, place.low,
                      place.high);
        return;
    }
    for (u64 k = first; k < first + count; k++) {
        place.values[k] = value;
        place.given[k] = true;
    }
}

bool
rxn__param_reference(Engine *engine, Pipeline *pipeline, const char *text, size_t length,
                     u32 *ret_first, u32 *ret_count)
{
    Network *network = pipeline->network;
    Binder binder = {
        .engine = engine,
        .network = network,
        .arena = &pipeline->arena,
        .params = NEW_ARRAY(&pipeline->arena, double, (size_t)network->param_count + 1),
        .inputs = NEW_ARRAY(&pipeline->arena, double, (size_t)network->input_count + 1),
        .param_given = NEW_ARRAY(&pipeline->arena, bool, network->param_count + 1),
        .input_given = NEW_ARRAY(&pipeline->arena, bool, network->input_count + 1)};
    Place place;
    u64 first, count;
    if (!parse_reference(&binder, text, length, &place, &first, &count))
        return false;
    if (strcmp(place.kind, "param") != 0) {
        fail(&binder, "'%s' is an input; only params can be differentiated by", place.name->text);
        return false;
    }
    *ret_first = (u32)(place.values - binder.params + (ptrdiff_t)first);
    *ret_count = (u32)count;
    return true;
}

/* ---- the input file ---------------------------------------------------------------------------- */

typedef VEC(const char *) Row;

/* One line of RFC 4180 CSV (quoted cells, also over line ends); returns where the next begins, NULL at
 * the end. */
static const char *
read_row(Arena *arena, const char *at, Row *ret_row)
{
    ret_row->count = 0;
    if (!*at)
        return NULL;
    for (;;) {
        Text cell;
        rxn__text_init(&cell, arena);
        rxn__text_append(&cell, "", 0);
        at += strspn(at, " \t");
        if (*at == '"') {
            for (at++; *at && (*at != '"' || at[1] == '"'); at += *at == '"' ? 2 : 1)
                rxn__text_append(&cell, at, 1);
            at += *at == '"';
            at += strspn(at, " \t");
        } else {
            size_t length = strcspn(at, ",\r\n"), kept = length;
            while (kept && (at[kept - 1] == ' ' || at[kept - 1] == '\t'))
                kept--;
            rxn__text_append(&cell, at, kept);
            at += length;
        }
        vec_push(arena, ret_row, cell.data ? cell.data : "");
        if (*at != ',')
            break;
        at++;
    }
    at += *at == '\r';
    at += *at == '\n';
    return at;
}

static bool
is_blank(const Row *row)
{
    for (u32 k = 0; k < row->count; k++)
        if (row->items[k][0])
            return false;
    return true;
}

static void
read_pairs(Binder *binder, const char *path, const char *at)
{
    Row row = {0};
    u32 line = 1;
    while ((at = read_row(binder->arena, at, &row))) {
        double value;
        line++;
        if (is_blank(&row))
            continue;
        if (row.count != 2 || !rxn__parse_number(row.items[1], &value)) {
            fail(binder, "%s: line %u is not of the form name,value", path, line);
            return;
        }
        assign(binder, row.items[0], strlen(row.items[0]), value);
    }
}

typedef struct Column {
    Place place;
    u64 first, count, filled;
} Column;

static void
read_columns(Binder *binder, const char *path, const Row *header, const char *at)
{
    u32 count = header->count;
    Column *columns = NEW_ARRAY(binder->arena, Column, count);
    for (u32 c = 0; c < count; c++)
        if (!parse_reference(binder, header->items[c], strlen(header->items[c]), &columns[c].place,
                             &columns[c].first, &columns[c].count))
            return;
    Row row = {0};
    u32 line = 1;
    while ((at = read_row(binder->arena, at, &row))) {
        line++;
        if (is_blank(&row))
            continue;
        if (row.count > count) {
            fail(binder, "%s: line %u has more cells than the header", path, line);
            return;
        }
        for (u32 c = 0; c < row.count; c++) {
            Column *column = &columns[c];
            double value;
            if (!row.items[c][0])
                continue;
            if (!rxn__parse_number(row.items[c], &value)) {
                fail(binder, "%s: line %u: '%s' is not a number", path, line,
                     rxn__shown(binder->arena, row.items[c], strlen(row.items[c])));
                return;
            }
            if (column->filled == column->count) {
                fail(binder, "%s: line %u: the column '%s' has more than its %llu %s", path, line,
                     header->items[c], (unsigned long long)column->count,
                     column->count == 1 ? "value" : "values");
                return;
            }
            if (column->place.has_bounds &&
                !(value >= column->place.low && value <= column->place.high)) {
                report_bounds(binder, header->items[c], value, column->place.low,
                              column->place.high);
                return;
            }
            column->place.values[column->first + column->filled] = value;
            column->place.given[column->first + column->filled] = true;
            column->filled++;
        }
    }
    for (u32 c = 0; c < count; c++)
        if (columns[c].filled != columns[c].count)
            fail(binder, "%s: the column '%s' has %llu values; it needs %llu", path,
                 header->items[c], (unsigned long long)columns[c].filled,
                 (unsigned long long)columns[c].count);
}

static void
read_input(Binder *binder, const char *path)
{
    size_t length;
    const char *reason = NULL;
    char *text = rxn__read_file(path, binder->arena, &length, &reason);
    if (!text) {
        fail(binder, "'%s' cannot be read: %s", path, reason);
        return;
    }
    if (memchr(text, '\0', length)) {
        fail(binder, "'%s' is not a CSV file: it holds a NUL byte", path);
        return;
    }
    const char *at = text;
    if (strncmp(at, "\xEF\xBB\xBF", 3) == 0) /* the mark that some programs put before UTF-8 */
        at += 3;
    Row header = {0};
    at = read_row(binder->arena, at, &header);
    if (!at || is_blank(&header)) {
        fail(binder, "'%s' is empty; a CSV file begins with a line of names", path);
        return;
    }
    if (header.count == 2 && strcmp(header.items[0], "name") == 0 &&
        strcmp(header.items[1], "value") == 0)
        read_pairs(binder, path, at);
    else
        read_columns(binder, path, &header, at);
}

/* ---- what a fit found, what an experiment fixes ------------------------------------------------ */

static void
apply_entry(Binder *binder, const char *path, const ParamsEntry *entry)
{
    Place place;
    u64 first, count;
    if (!parse_reference(binder, entry->name, strlen(entry->name), &place, &first, &count)) {
        rxn__engine_note(binder->engine, "'%s' has it: is it of another model?", path);
        return;
    }
    if (strcmp(place.kind, "param") != 0 || entry->count != count) {
        fail(binder, "%s: '%s' has %llu %s, that of the model %llu", path, entry->name,
             (unsigned long long)entry->count, entry->count == 1 ? "value" : "values",
             (unsigned long long)count);
        return;
    }
    for (u64 k = 0; k < count; k++) {
        double value = entry->values[k];
        if (place.has_bounds && !(value >= place.low && value <= place.high)) {
            report_bounds(binder, entry->name, value, place.low, place.high);
            rxn__engine_note(binder->engine, "that is in '%s'", path);
            return;
        }
        place.values[first + k] = value;
        place.given[first + k] = true;
    }
}

static void
read_params(Binder *binder, const char *path)
{
    ParamsFile file;
    const char *reason;
    if (!rxn__params_read(path, binder->arena, &file, &reason)) {
        fail(binder, "'%s' cannot be read: %s", path, reason);
        return;
    }
    for (u32 k = 0; k < file.entries.count && !binder->failed; k++)
        apply_entry(binder, path, &file.entries.items[k]);
}

static void
apply_settings(Binder *binder, const BindRequest *request)
{
    for (u32 k = 0; k < request->setting_count; k++) {
        const FitSetting *setting = &request->settings[k];
        double *values = setting->is_input ? binder->inputs : binder->params;
        bool *given = setting->is_input ? binder->input_given : binder->param_given;
        for (u32 m = setting->first; m < setting->first + setting->count; m++) {
            values[m] = setting->value;
            given[m] = true;
        }
    }
    for (u32 k = 0; k < request->sample_count; k++) {
        const Input *input = &binder->network->inputs.items[request->samples[k].input];
        u64 count = rxn__shape_count(&input->shape);
        for (u64 m = 0; m < count; m++)
            binder->input_given[input->flat + m] = true;
    }
}

/* ---- what was not given ------------------------------------------------------------------------ */

static double
draw(const Param *param, u64 seed, u32 flat, double a, double b)
{
    if (param->distribution == DISTRIBUTION_NORMAL)
        return a + b * rxn__random_normal(seed, RXN_STREAM_PARAMETERS, flat);
    return a + (b - a) * rxn__random_uniform(seed, RXN_STREAM_PARAMETERS, flat);
}

/* The members of a param in row-major order, with its variables at their indices. */
static void
complete_param(Binder *binder, const Param *param, u64 seed, i64 *variables)
{
    Network *network = binder->network;
    ExprValues values = {
        .params = binder->params, .inputs = binder->inputs, .variables = variables};
    bool drawn = param->distribution != DISTRIBUTION_NONE;
    u64 count = rxn__shape_count(&param->shape), missing = 0;
    for (u64 k = 0; k < count; k++) {
        u32 flat = param->flat + (u32)k;
        if (binder->param_given[flat])
            continue;
        u64 rest = k;
        for (u32 d = param->shape.rank; d-- > 0;) {
            variables[param->variables[d]] = (i64)(rest % param->shape.extent[d]);
            rest /= param->shape.extent[d];
        }
        double value = NAN;
        if (drawn)
            value = draw(param, seed, flat,
                         rxn__expr_evaluate(network, param->distribution_args[0], &values),
                         rxn__expr_evaluate(network, param->distribution_args[1], &values));
        else if (param->initial)
            value = rxn__expr_evaluate(network, param->initial, &values);
        else
            missing++;
        binder->params[flat] = value;
        if (!binder->engine || (!drawn && !param->initial))
            continue;
        if (!isfinite(value))
            fail(binder, "the value of param '%s' is not a finite number",
                 rxn__param_label(network, flat, binder->arena));
        else if (param->has_bounds && !(value >= param->low && value <= param->high))
            report_bounds(binder, rxn__param_label(network, flat, binder->arena), value, param->low,
                          param->high);
        if (binder->failed)
            return;
    }
    if (missing && binder->engine) {
        if (param->shape.rank == 0)
            fail(binder, "param '%s' has no value", param->name->text);
        else
            fail(binder, "param '%s' lacks %llu of its %llu values", param->name->text,
                 (unsigned long long)missing, (unsigned long long)count);
        rxn__engine_note(binder->engine, "give it one: --set %s=…, or 'param %s = …' in the model",
                         param->name->text, param->name->text);
    }
}

static void
report_missing_inputs(Binder *binder)
{
    const Network *network = binder->network;
    Text list;
    rxn__text_init(&list, binder->arena);
    u32 missing = 0;
    const char *example = NULL;
    for (u32 k = 0; k < network->inputs.count; k++) {
        const Input *input = &network->inputs.items[k];
        u64 count = rxn__shape_count(&input->shape), lacking = 0;
        for (u64 m = 0; m < count; m++)
            lacking += !binder->input_given[input->flat + m];
        if (lacking == 0)
            continue;
        if (missing++ < 10) {
            rxn__text_printf(&list, "%s'%s'", missing > 1 ? ", " : "", input->name->text);
            if (lacking < count)
                rxn__text_printf(&list, " (%llu of %llu values)", (unsigned long long)lacking,
                                 (unsigned long long)count);
            example = example ? example : input->name->text;
        } else if (missing == 11) {
            rxn__text_printf(&list, ", …");
        }
    }
    if (missing == 0)
        return;
    fail(binder, "%s not given: %s", missing == 1 ? "an input is" : "inputs are", list.data);
    rxn__engine_note(binder->engine, "give them with --input FILE.csv or --set %s=…", example);
}

static void
prepare(Binder *binder, Pipeline *pipeline, ModelValues *ret_values)
{
    Network *network = pipeline->network;
    binder->network = network;
    binder->arena = &pipeline->arena;
    binder->params = NEW_ARRAY(&pipeline->arena, double, (size_t)network->param_count + 1);
    binder->inputs = NEW_ARRAY(&pipeline->arena, double, (size_t)network->input_count + 1);
    binder->param_given = NEW_ARRAY(&pipeline->arena, bool, (size_t)network->param_count + 1);
    binder->input_given = NEW_ARRAY(&pipeline->arena, bool, (size_t)network->input_count + 1);
    *ret_values = (ModelValues){binder->params, binder->inputs, binder->param_given};
}

bool
rxn__bind(Engine *engine, Pipeline *pipeline, const BindRequest *request, ModelValues *ret_values)
{
    Binder binder = {.engine = engine};
    prepare(&binder, pipeline, ret_values);
    if (request->given)
        rxn__given_copy(
            pipeline->network, request->given,
            &(GivenValues){binder.params, binder.inputs, binder.param_given, binder.input_given});
    apply_settings(&binder, request);
    if (binder.failed)
        return false;
    report_missing_inputs(&binder);
    const Network *network = pipeline->network;
    i64 *variables = NEW_ARRAY(&pipeline->arena, i64, network->variables.count + 1);
    for (u32 k = 0; k < network->params.count; k++)
        complete_param(&binder, &network->params.items[k], request->seed, variables);
    return !binder.failed;
}

/* What has no value is NaN; seed NULL: what is drawn, too. */
static void
complete_defaults(Binder *binder, const u64 *seed)
{
    binder->engine = NULL;
    Network *network = binder->network;
    for (u32 k = 0; k < network->input_count; k++)
        if (!binder->input_given[k])
            binder->inputs[k] = NAN;
    i64 *variables = NEW_ARRAY(binder->arena, i64, network->variables.count + 1);
    for (u32 k = 0; k < network->params.count; k++) {
        const Param *param = &network->params.items[k];
        u64 count = rxn__shape_count(&param->shape);
        if (param->distribution == DISTRIBUTION_NONE || seed)
            complete_param(binder, param, seed ? *seed : 0, variables);
        else
            for (u64 m = 0; m < count; m++)
                if (!binder->param_given[param->flat + m])
                    binder->params[param->flat + m] = NAN;
    }
}

void
rxn__bind_own(Engine *engine, Pipeline *pipeline, ModelValues *ret_values)
{
    Binder binder = {.engine = engine};
    prepare(&binder, pipeline, ret_values);
    complete_defaults(&binder, NULL);
}

/* ---- values that are given one by one ---------------------------------------------------------- */

GivenValues
rxn__given_new(const Network *network, Arena *arena)
{
    return (GivenValues){
        .params = NEW_ARRAY(arena, double, (size_t)network->param_count + 1),
        .inputs = NEW_ARRAY(arena, double, (size_t)network->input_count + 1),
        .param_given = NEW_ARRAY(arena, bool, (size_t)network->param_count + 1),
        .input_given = NEW_ARRAY(arena, bool, (size_t)network->input_count + 1),
    };
}

void
rxn__given_copy(const Network *network, const GivenValues *from, GivenValues *to)
{
    const u32 params = network->param_count - network->open_count;
    memcpy(to->params, from->params, params * sizeof *to->params);
    memcpy(to->inputs, from->inputs, network->input_count * sizeof *to->inputs);
    memcpy(to->param_given, from->param_given, params * sizeof *to->param_given);
    memcpy(to->input_given, from->input_given, network->input_count * sizeof *to->input_given);
}

static Binder
binder_of(Engine *engine, Network *network, Arena *scratch, const GivenValues *given)
{
    return (Binder){.engine = engine,
                    .network = network,
                    .arena = scratch,
                    .params = given->params,
                    .inputs = given->inputs,
                    .param_given = given->param_given,
                    .input_given = given->input_given};
}

bool
rxn__given_set(Engine *engine, Network *network, Arena *scratch, GivenValues *given,
               const char *name, double value)
{
    Binder binder = binder_of(engine, network, scratch, given);
    if (isfinite(value))
        assign(&binder, name, strlen(name), value);
    else
        fail(&binder, "the value of '%s' is not a finite number",
             rxn__shown(scratch, name, strlen(name)));
    return !binder.failed;
}

/* The param that has this member. */
static const Param *
param_of(const Network *network, u32 flat)
{
    u32 low = 0, high = network->params.count;
    while (high - low > 1) {
        u32 middle = low + (high - low) / 2;
        if (network->params.items[middle].flat <= flat)
            low = middle;
        else
            high = middle;
    }
    return &network->params.items[low];
}

bool
rxn__given_put(Engine *engine, Network *network, Arena *scratch, GivenValues *given,
               bool are_inputs, u32 first, u32 count, const double *numbers)
{
    Binder binder = binder_of(engine, network, scratch, given);
    for (u32 k = 0; k < count && !binder.failed; k++) {
        const Param *param = are_inputs ? NULL : param_of(network, first + k);
        if (!isfinite(numbers[k]))
            fail(&binder, "%s number %u, which is to be %g, has to be finite",
                 are_inputs ? "input" : "param", first + k, numbers[k]);
        else if (param && param->has_bounds &&
                 !(numbers[k] >= param->low && numbers[k] <= param->high))
            report_bounds(&binder, rxn__param_label(network, first + k, scratch), numbers[k],
                          param->low, param->high);
    }
    if (binder.failed)
        return false;
    memcpy((are_inputs ? given->inputs : given->params) + first, numbers, count * sizeof *numbers);
    memset((are_inputs ? given->input_given : given->param_given) + first, 1, count * sizeof(bool));
    return true;
}

bool
rxn__given_params(Engine *engine, Network *network, Arena *scratch, GivenValues *given,
                  const char *path)
{
    Binder binder = binder_of(engine, network, scratch, given);
    read_params(&binder, path);
    return !binder.failed;
}

bool
rxn__given_inputs(Engine *engine, Network *network, Arena *scratch, GivenValues *given,
                  const char *path)
{
    Binder binder = binder_of(engine, network, scratch, given);
    read_input(&binder, path);
    return !binder.failed;
}

void
rxn__given_complete(Network *network, Arena *scratch, GivenValues *given, const u64 *seed)
{
    Binder binder = binder_of(NULL, network, scratch, given);
    complete_defaults(&binder, seed);
}
