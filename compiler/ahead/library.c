/* library.c: FOLDER/NAME.h, FOLDER/libNAME.a and FOLDER/libNAME.so of a model, for FOLDER/NAME. */
#include <string.h>
#include <unistd.h>

#include "compiler/ahead/private.h"

/* ---- the functions that the header declares ---------------------------------------------------- */

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

static const char fit_source[] =
    "int @_fit(@_model *model, const @_fit_request *r, double *parameters, double *se, double "
    "*loss)\n"
    "{\n"
    "    RxnLibraryFit own = {r->parameters, r->data, r->steps, r->trajectories, r->seed, "
    "r->threads, r->cancel};\n"
    "    return rxn__library_fit((struct RxnLibrary *)model, &own, parameters, se, loss);\n"
    "}\n";

/* ---- the libraries ----------------------------------------------------------------------------- */

static const char *
path_of(Build *build, const char *before, const char *after)
{
    const char *path = build->path, *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    Text text;
    rxn__text_init(&text, &build->job.engine->session.arena);
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
    rxn__text_init(&script, &link->engine->session.arena);
    rxn__text_printf(&script, "-Wl,--version-script=%s", exports);
    rxn__link_argument(link, script.data);
    rxn__link_everything(link);
    rxn__link_libraries(link);
    return rxn__link_run(link);
}

/* One object, in which all names but the header's are its own. What those functions do not reach is left out: it is a lot,
 * and what is of the system's archives may not be fit for a shared library, which somebody may make of this. */
static bool
link_static(Build *build, const char *to, const char *object, const char *prefix)
{
    const struct {
        const char *name;
        bool is_there;
    } functions[] = {
        {"open", true},
        {"close", true},
        {"error", true},
        {"parameters", true},
        {"run", true},
        {"trajectories", true},
        {"gradient", build->job.gradient.of.count > 0},
        {"fit", rxn_model_has_fit(build->part.model)},
    };
    Link *link = &build->link;
    Arena *arena = &link->engine->session.arena;
    Text names;
    rxn__text_init(&names, arena);
    rxn__text_printf(&names, "--keep-global-symbol=%s_*", prefix);
    rxn__link_compiler(link);
    rxn__link_arguments(link, "-r -nostdlib -Wl,--gc-sections");
    for (u32 k = 0; k < COUNT_OF(functions); k++) {
        Text root;
        if (!functions[k].is_there)
            continue;
        rxn__text_init(&root, arena);
        rxn__text_printf(&root, "-Wl,-u,%s_%s", prefix, functions[k].name);
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

enum { HEADER, STATIC, SHARED };

static bool
link_libraries(Build *build, const Header *header)
{
    Link *link = &build->link;
    Arena *arena = &link->engine->session.arena;
    Text text, exports;
    rxn__text_init(&text, arena);
    rxn__text_init(&exports, arena);
    rxn__text_append(&text, header->text.data, header->text.length);
    rxn__build_source(build, &text);
    rxn__write_prefixed(&text, source, header->prefix);
    if (build->job.gradient.of.count > 0)
        rxn__write_prefixed(&text, gradient_source, header->prefix);
    if (rxn_model_has_fit(build->part.model))
        rxn__write_prefixed(&text, fit_source, header->prefix);
    rxn__text_printf(&exports, "{ global: %s_*; local: *; };\n", header->prefix);
    if (!rxn__link_begin(link, build->options->parts, &build->job.ahead, &text))
        return false;
    const char *script = rxn__link_place(link, "exports", exports.data, exports.length);
    const char *object = rxn__link_place(link, "all.o", "", 0);
    if (!script || !object || !link_shared(link, build->outputs[SHARED].beside, script))
        return false;
    unlink(build->outputs[STATIC].beside); /* `ar` would add to it */
    return link_static(build, build->outputs[STATIC].beside, object, header->prefix);
}

RxnStatus
rxn__build_library(Build *build)
{
    Header header;
    RxnWholeFile *outputs = build->outputs;
    rxn__engine_tell(build->job.engine); /* that a fit has no kernels */
    RxnStatus status = rxn__header_write(&build->job, build->part.model, &build->grad, &header);
    if (status != RXN_OK)
        return status;
    /* The model's warnings were told with the kernels. */
    build->job.engine->session.diagnostics.list.count = 0;
    if (!rxn__build_open(build, &outputs[HEADER], path_of(build, "", ".h")) ||
        !rxn__build_open(build, &outputs[STATIC], path_of(build, "lib", ".a")) ||
        !rxn__build_open(build, &outputs[SHARED], path_of(build, "lib", ".so")) ||
        !link_libraries(build, &header))
        return RXN_ERROR_INPUT;
    fwrite(header.text.data, 1, header.text.length, outputs[HEADER].file);
    for (u32 k = 0; k < COUNT_OF(build->outputs); k++)
        if (!rxn__build_commit(build, &outputs[k]))
            return RXN_ERROR_INPUT;
    return RXN_OK;
}
