/* header.c: the header of a library of one model: NAME.h.
 *
 * Every name in it begins with that of the model, and nothing else is visible from outside: libraries of several
 * models can be in one program.
 */
#include <ctype.h>
#include <string.h>

#include "compiler/ahead/private.h"

/* What the header says of the model. */
typedef struct Outline {
    Job *job;
    Arena *arena;
    const RxnModel *model;
    const Network *network;
    const char *prefix;
    Text header;
    VEC(const char *) names; /* in it; those of C's own form from the beginning */
} Outline;

/* ---- names ------------------------------------------------------------------------------------- */

/* As an identifier of C: "gene1.kon" is "gene1_kon". */
static const char *
identifier(Arena *arena, const char *text)
{
    char *name = rxn__arena_copy_text(arena, text, strlen(text));
    for (char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at))
            *at = '_';
    return name;
}

/* The comment behind the declaration, or the line above if that is nothing else; "": none. */
static const char *
comment_of(const Outline *outline, Span span)
{
    const SourceMap *sources = &outline->model->engine.session.sources;
    SourcePlace place = rxn__sources_locate(sources, span.begin);
    if (!place.file)
        return "";
    const char *text = memchr(place.line_text, '#', place.line_length);
    const char *end = place.line_text + place.line_length;
    if (!text && place.line_text > place.file->text) {
        const char *above = place.line_text - 1;
        end = above;
        while (above > place.file->text && above[-1] != '\n')
            above--;
        above += strspn(above, " \t");
        text = above < end && *above == '#' ? above : NULL;
    }
    if (!text)
        return "";
    while (text < end && (*text == '#' || *text == ' ' || *text == '\t'))
        text++;
    while (end > text && isspace((unsigned char)end[-1]))
        end--;
    char *copy = rxn__arena_copy_text(outline->arena, text, (size_t)(end - text));
    for (char *at = copy; (at = strstr(at, "*/"));)
        *at = '+'; /* which would end the comment in C */
    return copy;
}

/* ---- the header -------------------------------------------------------------------------------- */

static bool
is_taken(const Outline *outline, const char *name)
{
    for (u32 k = 0; k < outline->names.count; k++)
        if (strcmp(outline->names.items[k], name) == 0)
            return true;
    return false;
}

/* A name of C's own form is kept. Where another one becomes the same by its signs, it gets its number too. */
static const char *
own_name(Outline *outline, const char *kind, const char *name, u32 flat)
{
    const char *plain = identifier(outline->arena, name);
    Text text;
    rxn__text_init(&text, outline->arena);
    rxn__text_printf(&text, "%s_%s", kind, plain);
    if (strcmp(plain, name) == 0)
        return text.data;
    while (is_taken(outline, text.data))
        rxn__text_printf(&text, "_%u", flat);
    vec_push(outline->arena, &outline->names, text.data);
    return text.data;
}

static void
reserve(Outline *outline, const char *kind, const char *name)
{
    if (strcmp(identifier(outline->arena, name), name) != 0)
        return;
    Text text;
    rxn__text_init(&text, outline->arena);
    rxn__text_printf(&text, "%s_%s", kind, name);
    vec_push(outline->arena, &outline->names, text.data);
}

static void
reserve_names(Outline *outline)
{
    const Network *network = outline->network;
    for (u32 k = 0; k < network->params.count; k++)
        reserve(outline, "param", network->params.items[k].name->text);
    for (u32 k = 0; k < network->inputs.count; k++)
        reserve(outline, "input", network->inputs.items[k].name->text);
    for (u32 k = 0; k < network->observables.count; k++)
        reserve(outline, "column", network->observables.items[k].name->text);
    for (u32 k = 0; k < network->species.count; k++)
        reserve(outline, "species", network->species.items[k].name->text);
}

static void
write_entry(Outline *outline, const char *kind, const char *name, u32 flat, const Shape *shape,
            Span span)
{
    Text *out = &outline->header;
    const char *comment = comment_of(outline, span);
    rxn__text_printf(out, "    %s_%s = %u,", outline->prefix, own_name(outline, kind, name, flat),
                     flat);
    if (shape->rank > 0) {
        rxn__text_printf(out, " /* the first of %s", name);
        for (u32 d = 0; d < shape->rank; d++)
            rxn__text_printf(out, "%s%u", d ? "," : "[", shape->extent[d]);
        rxn__text_printf(out, "], the last index fastest%s%s */", comment[0] ? ": " : "", comment);
    } else if (comment[0]) {
        rxn__text_printf(out, " /* %s */", comment);
    }
    rxn__text_append(out, "\n", 1);
}

static void
write_numbers(Outline *outline)
{
    const Network *network = outline->network;
    Text *out = &outline->header;
    const char *prefix = outline->prefix;
    reserve_names(outline);
    rxn__text_printf(out,
                     "/* Places in arrays: parameters, inputs, and what is observed. */\nenum {\n");
    for (u32 k = 0; k < network->params.count; k++) {
        const Param *param = &network->params.items[k];
        write_entry(outline, "param", param->name->text, param->flat, &param->shape, param->span);
    }
    rxn__text_printf(out, "    %s_PARAMS = %u,\n", prefix, network->param_count);
    for (u32 k = 0; k < network->inputs.count; k++) {
        const Input *input = &network->inputs.items[k];
        write_entry(outline, "input", input->name->text, input->flat, &input->shape, input->span);
    }
    rxn__text_printf(out, "    %s_INPUTS = %u,\n", prefix, network->input_count);
    for (u32 k = 0; k < network->observables.count; k++) {
        const Observable *observable = &network->observables.items[k];
        write_entry(outline, "column", observable->name->text, observable->flat, &observable->shape,
                    observable->span);
    }
    rxn__text_printf(out, "    %s_COLUMNS = %u,\n", prefix, network->column_count);
    for (u32 k = 0; k < network->species.count; k++) {
        const Species *species = &network->species.items[k];
        write_entry(outline, "species", species->name->text, species->flat, &species->shape,
                    species->span);
    }
    rxn__text_printf(out, "    %s_SPECIES = %u\n};\n\n", prefix, network->species_count);
}

static const char types[] =
    "/* The model, ready to run. Several may be open; each is for one thread at a time. */\n"
    "typedef struct @_model @_model;\n"
    "\n"
    "typedef struct @_request {\n"
    "    const double *parameters; /* [@_PARAMS]; NULL: those of the model */\n"
    "    const double *inputs;     /* [@_INPUTS] */\n"
    "    uint64_t seed;\n"
    "    uint64_t first;           /* number of the first trajectory; usually 0 */\n"
    "    uint64_t trajectories;\n"
    "    const double *times;      /* [time_count], ascending, from 0 on */\n"
    "    uint32_t time_count;\n"
    "    uint32_t threads;         /* 0: one per processor. Results do not depend on it */\n"
    "    const volatile int *cancel; /* NULL; or what another thread sets to 1 for the call to end "
    "soon "
    "*/\n"
    "} @_request;\n"
    "\n"
    "/* NULL, with a message in error[0 … size - 1], where it cannot be had. f32: counts and rates "
    "in 32 bits. */\n"
    "@_model *@_open(int f32, char *error, size_t size);\n"
    "void @_close(@_model *model);\n"
    "\n"
    "/* The functions below return 0, or 1: the run is at fault, 2: the request is, 3: a bug of "
    "rxn, 4: no memory, 5: it was\n"
    " * cancelled. This is then the message, until the next call. */\n"
    "const char *@_error(const @_model *model);\n"
    "\n"
    "/* The values that the model gives its parameters, [@_PARAMS]; NaN where it gives none. */\n"
    "void @_parameters(const @_model *model, double *parameters);\n"
    "\n"
    "/* Mean and standard deviation of what is observed, [time_count][@_COLUMNS] both; either may "
    "be NULL. */\n"
    "int @_run(@_model *model, const @_request *request, double *mean, double *sd);\n"
    "\n"
    "/* The trajectories themselves: [trajectories][time_count][@_COLUMNS]. */\n"
    "int @_trajectories(@_model *model, const @_request *request, double *samples);\n";

static const char gradient_types[] =
    "\n"
    "/* Outputs and their derivatives by parameters, with standard errors. value and value_se: "
    "[@_OUTPUTS];\n"
    " * gradient and se: [@_OUTPUTS][@_WRT]; each may be NULL. The times of the request are not\n"
    " * looked at. */\n"
    "int @_gradient(@_model *model, const @_request *request, double *value, double *value_se,\n"
    "               double *gradient, double *se);\n";

static const char fit_types[] =
    "\n"
    "/* A fit of the parameters that are marked `fit`, as the model's block says. */\n"
    "typedef struct @_fit_request {\n"
    "    const double *parameters; /* [@_PARAMS], to start from; NULL: those of the model */\n"
    "    const char *data;         /* a table instead of the block's; NULL: the block's, by its "
    "path "
    "from where the process is */\n"
    "    uint64_t steps;           /* 0: the block's, as the next two */\n"
    "    uint64_t trajectories;    /* of a step and an experiment */\n"
    "    uint64_t seed;\n"
    "    uint32_t threads;         /* 0: one per processor. Results do not depend on it */\n"
    "    const volatile int *cancel; /* as in @_request */\n"
    "} @_fit_request;\n"
    "\n"
    "/* What it found. parameters, se: [@_PARAMS], all values, and standard errors, NaN where "
    "there is "
    "none; loss: [2], at the\n"
    " * result, and its standard error; each may be NULL. It is trained in 64 bits, however the "
    "model was "
    "opened. After 5, and\n"
    " * where a step after the first fails, this is the result of the last good step; else nothing "
    "is "
    "filled in. After 0 the\n"
    " * message has warnings, if there are any: that the fit is interpreted, and so many times "
    "slower, "
    "is one. */\n"
    "int @_fit(@_model *model, const @_fit_request *request, double *parameters, double *se, "
    "double "
    "*loss);\n";

void
rxn__write_prefixed(Text *out, const char *text, const char *prefix)
{
    for (size_t length; *text; text += length + (text[length] == '@')) {
        length = strcspn(text, "@");
        rxn__text_append(out, text, length);
        if (text[length] == '@')
            rxn__text_append(out, prefix, strlen(prefix));
    }
}

/* Which outputs there are, and by which parameters: what `rxn grad` would say. */
static RxnStatus
write_outputs(Outline *outline, Grad *grad)
{
    Engine *engine = outline->job->engine;
    Text *out = &outline->header;
    *grad = rxn__job_grad(outline->job, "cpu", KIR_F64);
    RxnStatus status = rxn__grad_network(grad);
    if (status != RXN_OK)
        return status;
    rxn__bind_own(engine, &grad->pipeline, &grad->values);
    if (!rxn__grad_parameters(grad))
        return grad->misnamed ? RXN_ERROR_USAGE : RXN_ERROR_INPUT;
    const Objective *objective = grad->pipeline.network->objective;
    rxn__text_printf(out, "\n/* Derivatives: of what, by what. */\nenum {\n");
    for (u32 k = 0; k < objective->outputs.count; k++) {
        const Output *output = &objective->outputs.items[k];
        rxn__text_printf(out, "    /* output %u: %s", k, output->label);
        if (output->time == output->time)
            rxn__text_printf(out, " at %.17g", output->time);
        rxn__text_printf(out, " */\n");
    }
    rxn__text_printf(out, "    %s_OUTPUTS = %u,\n", outline->prefix, objective->outputs.count);
    for (u32 k = 0; k < grad->request.wrt_count; k++)
        rxn__text_printf(out, "    %s_wrt_%s = %u,\n", outline->prefix,
                         identifier(outline->arena, grad->labels[k]), k);
    rxn__text_printf(out, "    %s_WRT = %u\n};\n", outline->prefix, grad->request.wrt_count);
    rxn__write_prefixed(out, gradient_types, outline->prefix);
    return RXN_OK;
}

/* What all names begin with: the model's own name. NULL, after an error, where that cannot be. */
static const char *
prefix_of(Engine *engine, const char *model)
{
    const char *name = identifier(&engine->session.arena, model);
    bool is_ours = strncmp(name, "rxn", 3) == 0 && (name[3] == '_' || name[3] == '\0');
    if (!is_ours && !isdigit((unsigned char)name[0]) && name[0] != '_')
        return name;
    rxn__engine_error(engine, "a library of the model '%s' would have names that %s", model,
                      is_ours ? "rxn itself has" : "C does not take");
    rxn__engine_note(engine, "give it another one: 'model NAME' on its first line");
    return NULL;
}

RxnStatus
rxn__header_write(Job *job, RxnModel *model, Grad *grad, Header *ret_header)
{
    Arena *arena = &job->engine->session.arena;
    Outline outline = {.job = job,
                       .arena = arena,
                       .model = model,
                       .network = model->pipeline.network,
                       .prefix = prefix_of(job->engine, rxn_model_name(model))};
    Text *out = &outline.header;
    if (!outline.prefix)
        return RXN_ERROR_INPUT;
    RxnStatus status = RXN_OK;
    rxn__text_init(out, arena);
    rxn__text_printf(
        out,
        "/* The model %s, of %s. Written by rxn %s.\n"
        " *\n"
        " * Trajectories are exact, and a function of model, parameters, seed and number alone.\n"
        " */\n"
        "#ifndef RXN_MODEL_%s_H\n#define RXN_MODEL_%s_H\n\n"
        "#include <stddef.h>\n#include <stdint.h>\n\n"
        "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
        outline.prefix, model->path, rxn_version(), outline.prefix, outline.prefix);
    write_numbers(&outline);
    rxn__write_prefixed(out, types, outline.prefix);
    if (job->gradient.of.count > 0)
        status = write_outputs(&outline, grad);
    if (rxn_model_has_fit(model))
        rxn__write_prefixed(out, fit_types, outline.prefix);
    rxn__text_printf(out, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    *ret_header = (Header){.text = *out, .prefix = outline.prefix};
    return status;
}
