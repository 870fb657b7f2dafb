/* build_library.c: `rxn build --emit lib`: FOLDER/NAME.h, FOLDER/libNAME.a and FOLDER/libNAME.so of a model, for -o
 * FOLDER/NAME; and `--emit header`, the first of them alone.
 *
 * Every name of the header begins with that of the model, and nothing else is visible from outside: libraries of several
 * models can be in one program.
 */
#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "compiler/driver/build.h"

/* What the header says of the model. */
typedef struct Outline {
    Build *build;
    Pipeline pipeline;
    const Network *network;
    const char *prefix;
    Text header;
    VEC(const char *) names; /* in it */
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
    Session *session = &outline->build->driver->engine.session;
    SourcePlace place = rxn__sources_locate(&session->sources, span.begin);
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
    char *copy = rxn__arena_copy_text(&session->arena, text, (size_t)(end - text));
    for (char *at = copy; (at = strstr(at, "*/"));)
        *at = '+'; /* which would end the comment in C */
    return copy;
}

/* ---- the header -------------------------------------------------------------------------------- */

/* Names that differ in signs alone get their number too. */
static const char *
own_name(Outline *outline, const char *kind, const char *name, u32 flat)
{
    Arena *arena = &outline->build->driver->engine.session.arena;
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "%s_%s", kind, identifier(arena, name));
    for (u32 k = 0; k < outline->names.count; k++)
        if (strcmp(outline->names.items[k], text.data) == 0) {
            rxn__text_printf(&text, "_%u", flat);
            break;
        }
    vec_push(arena, &outline->names, text.data);
    return text.data;
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

static const char source[] =
    "\n"
    "@_model *@_open(int f32, char *error, size_t size)\n"
    "{\n"
    "    return (@_model *)rxn__library_open(&rxn_program, f32, error, size);\n"
    "}\n"
    "void @_close(@_model *model) { rxn__library_close((struct RxnLibrary *)model); }\n"
    "const char *@_error(const @_model *model)\n"
    "{\n"
    "    return rxn__library_error((const struct RxnLibrary *)model);\n"
    "}\n"
    "void @_parameters(const @_model *model, double *parameters)\n"
    "{\n"
    "    rxn__library_parameters((const struct RxnLibrary *)model, parameters);\n"
    "}\n"
    "static RxnLibraryRequest translate(const @_request *r)\n"
    "{\n"
    "    RxnLibraryRequest request = {r->parameters, r->inputs, r->seed, r->first, "
    "r->trajectories,\n"
    "                                 r->times, r->time_count, r->threads, r->cancel};\n"
    "    return request;\n"
    "}\n"
    "int @_run(@_model *model, const @_request *request, double *mean, double *sd)\n"
    "{\n"
    "    RxnLibraryRequest own = translate(request);\n"
    "    return rxn__library_run((struct RxnLibrary *)model, &own, mean, sd, NULL);\n"
    "}\n"
    "int @_trajectories(@_model *model, const @_request *request, double *samples)\n"
    "{\n"
    "    RxnLibraryRequest own = translate(request);\n"
    "    return rxn__library_run((struct RxnLibrary *)model, &own, NULL, NULL, samples);\n"
    "}\n";

static const char gradient_source[] =
    "int @_gradient(@_model *model, const @_request *request, double *value, double *value_se,\n"
    "               double *gradient, double *se)\n"
    "{\n"
    "    RxnLibraryRequest own = translate(request);\n"
    "    return rxn__library_gradient((struct RxnLibrary *)model, &own, value, value_se, gradient, "
    "se);\n"
    "}\n";

/* The text with the prefix in the place of each @. */
static void
write_prefixed(Text *out, const char *text, const char *prefix)
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
write_outputs(Outline *outline)
{
    Build *build = outline->build;
    Driver *driver = build->driver;
    Text *out = &outline->header;
    Grad grad = {.engine = &driver->engine, .options = build->options.grad, .file = build->file};
    grad.stages = rxn__build_stages(build, KIR_F64);
    RxnStatus status = rxn__grad_network(&grad);
    if (status == RXN_OK &&
        (!rxn__bind_defaults(&driver->engine, &grad.pipeline, NULL, &grad.values) ||
         !rxn__grad_parameters(&grad)))
        status = grad.misnamed ? RXN_ERROR_USAGE : RXN_ERROR_INPUT;
    if (status == RXN_OK) {
        const Objective *objective = grad.pipeline.network->objective;
        rxn__text_printf(out, "\n/* Derivatives: of what, by what. */\nenum {\n");
        for (u32 k = 0; k < objective->outputs.count; k++) {
            const Output *output = &objective->outputs.items[k];
            rxn__text_printf(out, "    /* output %u: %s", k, output->label);
            if (output->time == output->time)
                rxn__text_printf(out, " at %.17g", output->time);
            rxn__text_printf(out, " */\n");
        }
        rxn__text_printf(out, "    %s_OUTPUTS = %u,\n", outline->prefix, objective->outputs.count);
        for (u32 k = 0; k < grad.request.wrt_count; k++)
            rxn__text_printf(out, "    %s_wrt_%s = %u,\n", outline->prefix,
                             identifier(&driver->engine.session.arena, grad.labels[k]), k);
        rxn__text_printf(out, "    %s_WRT = %u\n};\n", outline->prefix, grad.request.wrt_count);
        write_prefixed(out, gradient_types, outline->prefix);
    }
    rxn__driver_close(driver, &grad.pipeline);
    return status;
}

static RxnStatus
write_header(Outline *outline)
{
    Build *build = outline->build;
    Driver *driver = build->driver;
    Text *out = &outline->header;
    PipelineRequest request = rxn__build_stages(build, KIR_F64);
    request.goal = PIPELINE_NETWORK;
    RxnStatus status = rxn__pipeline_run(&driver->engine.session, &request, &outline->pipeline);
    driver->engine.internal_error = outline->pipeline.internal_error;
    if (status != RXN_OK)
        return status;
    outline->network = outline->pipeline.network;
    const Name name = outline->network->name;
    outline->prefix = identifier(&driver->engine.session.arena, name ? name->text : "model");
    rxn__text_init(out, &driver->engine.session.arena);
    rxn__text_printf(
        out,
        "/* The model %s, of %s. Written by rxn %s.\n"
        " *\n"
        " * Trajectories are exact, and a function of model, parameters, seed and number alone.\n"
        " */\n"
        "#ifndef RXN_MODEL_%s_H\n#define RXN_MODEL_%s_H\n\n"
        "#include <stddef.h>\n#include <stdint.h>\n\n"
        "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
        outline->prefix, driver->engine.session.sources.files.items[build->file].path,
        rxn_version(), outline->prefix, outline->prefix);
    write_numbers(outline);
    write_prefixed(out, types, outline->prefix);
    if (build->options.grad.of.count > 0)
        status = write_outputs(outline);
    rxn__text_printf(out, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    return status;
}

/* ---- the libraries ----------------------------------------------------------------------------- */

static const char *
path_of(const Build *build, const char *before, const char *after)
{
    const char *path = build->options.grad.ensemble.csv, *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    Text text;
    rxn__text_init(&text, &build->driver->engine.session.arena);
    rxn__text_printf(&text, "%.*s%s%s%s", (int)folder, path, before, path + folder, after);
    return text.data;
}

static bool
link_shared(Link *link, const char *to, const char *exports)
{
    rxn__link_compiler(link);
    rxn__link_arguments(link, "-shared -o");
    rxn__link_argument(link, to);
    Text script;
    rxn__text_init(&script, &link->build->driver->engine.session.arena);
    rxn__text_printf(&script, "-Wl,--version-script=%s", exports);
    rxn__link_argument(link, script.data);
    rxn__link_everything(link);
    rxn__link_libraries(link);
    return rxn__link_run(link);
}

/* One object, in which all names but the header's are its own. What those functions do not reach is left out: it is a lot,
 * and what is of the system's archives may not be fit for a shared library, which somebody may make of this. */
static bool
link_static(Link *link, const char *to, const char *object, const char *prefix)
{
    static const char *const functions[] = {"open", "close",        "error",   "parameters",
                                            "run",  "trajectories", "gradient"};
    u32 count = COUNT_OF(functions) - (link->build->options.grad.of.count == 0);
    Text names;
    rxn__text_init(&names, &link->build->driver->engine.session.arena);
    rxn__text_printf(&names, "--keep-global-symbol=%s_*", prefix);
    rxn__link_compiler(link);
    rxn__link_arguments(link, "-r -nostdlib -Wl,--gc-sections");
    for (u32 k = 0; k < count; k++) {
        Text root;
        rxn__text_init(&root, &link->build->driver->engine.session.arena);
        rxn__text_printf(&root, "-Wl,-u,%s_%s", prefix, functions[k]);
        rxn__link_argument(link, root.data);
    }
    rxn__link_arguments(link, "-o");
    rxn__link_argument(link, object);
    rxn__link_everything(link);
    if (!rxn__link_run(link))
        return false;
    rxn__link_command(link, "objcopy --wildcard");
    rxn__link_argument(link, names.data);
    rxn__link_argument(link, object);
    if (!rxn__link_run(link))
        return false;
    rxn__link_command(link, "ar rcs");
    rxn__link_argument(link, to);
    rxn__link_argument(link, object);
    return rxn__link_run(link);
}

static bool
open_output(Build *build, OutputFile *output, const char *path)
{
    if (!rxn__output_open(build->driver, output, path))
        return false;
    if (output->whole.beside)
        return true;
    rxn__output_drop(output);
    rxn__driver_error(build->driver, "'%s' cannot be written: it is no plain file", path);
    return false;
}

static bool
make_libraries(Outline *outline, Link *link, OutputFile outputs[3])
{
    Build *build = outline->build;
    Driver *driver = build->driver;
    Text text, exports;
    rxn__text_init(&text, &driver->engine.session.arena);
    rxn__text_init(&exports, &driver->engine.session.arena);
    rxn__text_append(&text, outline->header.data, outline->header.length);
    rxn__build_source(build, &text);
    write_prefixed(&text, source, outline->prefix);
    if (build->options.grad.of.count > 0)
        write_prefixed(&text, gradient_source, outline->prefix);
    rxn__text_printf(&exports, "{ global: %s_*; local: *; };\n", outline->prefix);
    if (!rxn__link_begin(link, &text))
        return false;
    const char *script = rxn__link_place(link, "exports", exports.data, exports.length);
    const char *object = rxn__link_place(link, "all.o", "", 0);
    if (!script || !object || !link_shared(link, outputs[2].whole.beside, script))
        return false;
    unlink(outputs[1].whole.beside); /* `ar` would add to it */
    if (!link_static(link, outputs[1].whole.beside, object, outline->prefix))
        return false;
    fwrite(outline->header.data, 1, outline->header.length, outputs[0].file);
    return rxn__output_commit(driver, &outputs[0]) && rxn__output_commit(driver, &outputs[1]) &&
           rxn__output_commit(driver, &outputs[2]);
}

static RxnStatus
write_libraries(Outline *outline)
{
    Build *build = outline->build;
    OutputFile outputs[3] = {{0}};
    Link link = {.build = build};
    bool good = open_output(build, &outputs[0], path_of(build, "", ".h")) &&
                open_output(build, &outputs[1], path_of(build, "lib", ".a")) &&
                open_output(build, &outputs[2], path_of(build, "lib", ".so"));
    good = good && make_libraries(outline, &link, outputs);
    for (u32 k = 0; k < COUNT_OF(outputs); k++)
        rxn__output_drop(&outputs[k]);
    rxn__link_end(&link);
    if (good && !build->options.quiet)
        printf("%s, %s, %s: %s, %u kernels for %s\n", path_of(build, "", ".h"),
               path_of(build, "lib", ".a"), path_of(build, "lib", ".so"), build->name,
               build->ahead.kernels.count, build->options.march);
    return good ? RXN_OK : RXN_ERROR_INPUT;
}

static RxnStatus
write_header_alone(Outline *outline)
{
    Build *build = outline->build;
    const char *path = build->options.grad.ensemble.csv;
    OutputFile output;
    if (!rxn__output_open(build->driver, &output, path ? path : "-"))
        return RXN_ERROR_INPUT;
    fwrite(outline->header.data, 1, outline->header.length, output.file);
    return rxn__output_commit(build->driver, &output) ? RXN_OK : RXN_ERROR_INPUT;
}

RxnStatus
rxn__build_library(Build *build)
{
    bool whole = strcmp(build->options.emit, "lib") == 0;
    Outline outline = {.build = build};
    RxnStatus status = whole ? rxn__build_kernels(build) : RXN_OK;
    if (status != RXN_OK)
        return status;
    status = write_header(&outline);
    if (whole) /* the model's warnings were shown with the kernels */
        build->driver->engine.session.diagnostics.list.count *= status != RXN_OK;
    if (status == RXN_OK)
        status = whole ? write_libraries(&outline) : write_header_alone(&outline);
    rxn__driver_close(build->driver, &outline.pipeline);
    return status;
}
