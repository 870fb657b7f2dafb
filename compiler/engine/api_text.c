/* api_text.c: forms of a model that can be read. */
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/api.h"
#include "compiler/format/format.h"
#include "compiler/import/bionetgen.h"

char *
rxn__api_text(const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    if (!copy)
        return NULL;
    if (length)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void
rxn_text_free(char *text)
{
    free(text);
}

/* ---- texts of files: layout, import ------------------------------------------------------------ */

typedef struct Layout {
    Engine *engine;
    const char *text, *name;
    size_t length;
    bool is_text; /* who asked gets no length, so it must end at its NUL */
    char *written;
    size_t written_length;
} Layout;

static const char *
shown_name(const Layout *layout)
{
    return rxn__shown(&layout->engine->session.arena, layout->name, strlen(layout->name));
}

static RxnStatus
add_source(const Layout *layout, u32 *ret_file)
{
    Engine *engine = layout->engine;
    if (layout->length > RXN_MAX_SOURCE_BYTES) {
        rxn__engine_error(engine, "'%s' cannot be read: it is larger than 64 MiB",
                          shown_name(layout));
        return RXN_ERROR_INPUT;
    }
    *ret_file =
        rxn__sources_add(&engine->session.sources, layout->name, layout->text, layout->length);
    return *ret_file == UINT32_MAX ? RXN_ERROR_MEMORY : RXN_OK;
}

static RxnStatus
hand_over(Layout *layout, const Text *text)
{
    if (layout->is_text && text->length > 0 && memchr(text->data, 0, text->length)) {
        rxn__engine_error(layout->engine, "a comment in '%s' has a NUL byte, at which a text ends",
                          shown_name(layout));
        return RXN_ERROR_INPUT;
    }
    layout->written = rxn__api_text(text->data, text->length);
    layout->written_length = text->length;
    return layout->written ? RXN_OK : RXN_ERROR_MEMORY;
}

static RxnStatus
lay_out(void *context)
{
    Layout *layout = context;
    Engine *engine = layout->engine;
    Session *session = &engine->session;
    u32 file;
    RxnStatus status = add_source(layout, &file);
    if (status != RXN_OK)
        return status;
    if (rxn__is_bionetgen(layout->text, layout->length)) {
        rxn__engine_error(engine, "'%s' is a network of BioNetGen's, not a model",
                          shown_name(layout));
        rxn__engine_note(engine, "'rxn import' makes one of it");
        return RXN_ERROR_INPUT;
    }
    Text text;
    status = rxn__format(&session->arena, &session->names, &session->diagnostics, file, &text,
                         &engine->internal_error);
    return status == RXN_OK ? hand_over(layout, &text) : status;
}

static RxnStatus
import_network(void *context)
{
    Layout *layout = context;
    Engine *engine = layout->engine;
    Session *session = &engine->session;
    u32 file;
    RxnStatus status = add_source(layout, &file);
    if (status != RXN_OK)
        return status;
    if (!rxn__is_bionetgen(layout->text, layout->length)) {
        rxn__engine_error(engine, "'%s' is not a network of BioNetGen's", shown_name(layout));
        rxn__engine_note(engine, "such a file begins with 'begin parameters'");
        return RXN_ERROR_INPUT;
    }
    Text text;
    rxn__text_init(&text, &session->arena);
    if (!rxn__import_bionetgen(&session->sources, &session->diagnostics, file, &text))
        return RXN_ERROR_INPUT;
    return hand_over(layout, &text);
}

static RxnStatus
write_text(Layout *layout, RxnStatus (*body)(void *context), const RxnModelOptions *options,
           char **ret_text, RxnError **ret_error)
{
    Engine engine;
    layout->engine = &engine;
    RxnStatus status = rxn__engine_open(&engine, options->memory_limit);
    if (status == RXN_OK)
        status = rxn__api_guard(&engine, body, layout);
    status = rxn__api_finish(&engine, options, status, ret_error);
    rxn__engine_close(&engine);
    *ret_text = layout->written;
    return status;
}

static Layout
layout_of(const char *text, size_t length, const char *name)
{
    return (Layout){.text = text ? text : "",
                    .name = name ? name : "model",
                    .length = !text                ? 0
                              : length == SIZE_MAX ? strlen(text)
                                                   : length};
}

static RxnStatus
write_file(RxnStatus (*body)(void *context), Layout layout, char **ret_text, size_t *ret_length,
           RxnError **ret_error)
{
    if (!ret_text)
        return rxn__api_nowhere("ret_text", ret_error);
    const RxnModelOptions usual = rxn_model_options();
    layout.is_text = ret_length == NULL;
    RxnStatus status = write_text(&layout, body, &usual, ret_text, ret_error);
    if (ret_length)
        *ret_length = layout.written_length;
    return status;
}

RxnStatus
rxn_format(const char *text, size_t length, const char *name, char **ret_text, size_t *ret_length,
           RxnError **ret_error)
{
    return write_file(lay_out, layout_of(text, length, name), ret_text, ret_length, ret_error);
}

RxnStatus
rxn_import(const char *text, size_t length, const char *name, char **ret_text, size_t *ret_length,
           RxnError **ret_error)
{
    return write_file(import_network, layout_of(text, length, name), ret_text, ret_length,
                      ret_error);
}

/* ---- stages ------------------------------------------------------------------------------------ */

typedef struct Showing {
    ApiPart part;
    RxnForm form;
    const RxnSimulatorOptions *options;
    const RxnValues *values; /* or NULL */
    Pipeline pipeline;
    char *text;
} Showing;

/* How a target has its forms. */
typedef struct Rendering {
    const char *target;
    TargetForm form;
} Rendering;

static RxnStatus
emit(Showing *showing, const Rendering *rendering, Text *out)
{
    Engine *engine = &showing->part.engine;
    const Target *target = rxn__target_find(rendering->target);
    const char *error = NULL;
    if (!target)
        return rxn__api_refuse(engine, "this build has no target '%s'", rendering->target);
    TargetOptions options = {.lanes = showing->options->lanes};
    RxnStatus status = target->emit(showing->pipeline.kernel.kernel, &options, rendering->form,
                                    &showing->pipeline.arena, out, &error);
    if (status == RXN_ERROR_INPUT || status == RXN_ERROR_USAGE)
        rxn__engine_error(engine, "%s", error ? error : "no message");
    else if (status == RXN_ERROR_INTERNAL)
        engine->internal_error = error;
    return status;
}

/* The given ones, the model's own and what follows from them. */
static ModelValues
known_values(Showing *showing)
{
    Pipeline *pipeline = &showing->pipeline;
    Network *network = pipeline->network;
    GivenValues given = rxn__given_new(network, &pipeline->arena);
    if (showing->values)
        rxn__given_copy(network, &showing->values->given, &given);
    rxn__given_complete(network, &pipeline->arena, &given, NULL);
    return (ModelValues){.params = given.params, .inputs = given.inputs};
}

static RxnStatus
show_program(Showing *showing, Text *out)
{
    Engine *engine = &showing->part.engine;
    if (!engine->built)
        return rxn__api_refuse(engine, "this model is in no program that rxn built");
    const ModelValues values = known_values(showing);
    rxn__contents(engine, &showing->pipeline, &values, out);
    return RXN_OK;
}

static PipelineGoal
goal_of(RxnForm form)
{
    switch (form) {
    case RXN_FORM_NETWORK:
    case RXN_FORM_RATES:
    case RXN_FORM_LAWS:
    case RXN_FORM_PROGRAM: return PIPELINE_NETWORK;
    case RXN_FORM_SUMMARY: return PIPELINE_KERNEL;
    default: return PIPELINE_OPTIMIZED;
    }
}

static RxnStatus
show(void *context)
{
    Showing *showing = context;
    Engine *engine = &showing->part.engine;
    const RxnSimulatorOptions *options = showing->options;
    EnsembleOptions checked = rxn__ensemble_defaults();
    checked.precision = options->precision ? options->precision : "f64";
    checked.lanes = options->lanes;
    if (!rxn__check_ensemble(engine, &checked))
        return RXN_ERROR_USAGE;
    RxnStatus status = rxn__api_check_shown(engine, options);
    if (status != RXN_OK)
        return status;
    PipelineRequest request = {
        .front = showing->part.front,
        .file = showing->part.file,
        .loader = &engine->loader,
        .goal = goal_of(showing->form),
        .method = options->method ? options->method : "auto",
        .device = "interpreter", /* the forms need no target that this build may lack */
        .precision = strcmp(checked.precision, "f32") == 0 ? KIR_F32 : KIR_F64,
    };
    status = rxn__pipeline_run(&engine->session, &request, &showing->pipeline);
    engine->internal_error = showing->pipeline.internal_error;
    if (status != RXN_OK)
        return status;
    Text text;
    rxn__text_init(&text, &showing->pipeline.arena);
    switch (showing->form) {
    case RXN_FORM_SUMMARY: {
        const ModelValues values = known_values(showing);
        rxn__summary(&showing->pipeline, &values, &text);
        break;
    }
    case RXN_FORM_PROGRAM: status = show_program(showing, &text); break;
    case RXN_FORM_NETWORK: rxn__network_print(showing->pipeline.network, &text); break;
    case RXN_FORM_KERNEL: rxn__kir_print(showing->pipeline.kernel.kernel, &text); break;
    case RXN_FORM_LLVM:
        status = emit(showing, &(Rendering){"llvm", TARGET_IR_OPTIMIZED}, &text);
        break;
    case RXN_FORM_ASSEMBLY:
        status = emit(showing, &(Rendering){"llvm", TARGET_ASSEMBLY}, &text);
        break;
    case RXN_FORM_CUDA: status = emit(showing, &(Rendering){"cuda", TARGET_IR}, &text); break;
    case RXN_FORM_RATES: rxn__rates_print(showing->pipeline.network, &text); break;
    case RXN_FORM_LAWS:
        rxn__laws_print(showing->pipeline.network, &showing->pipeline.arena, &text);
        break;
    case RXN_FORM_OBJECT:
    case RXN_FORM_PTX:
    case RXN_FORM_CUBIN:
    case RXN_FORM_HEADER:
        return rxn__api_refuse(engine, "this form of a model is had by rxn_model_emit");
    case RXN_FORM_SOURCE:
    default: return rxn__api_refuse(engine, "there is no such form of a model");
    }
    if (status != RXN_OK)
        return status;
    showing->text = rxn__api_text(text.data, text.length);
    return showing->text ? RXN_OK : RXN_ERROR_MEMORY;
}

static RxnStatus
make_text(RxnModel *model, RxnForm form, const RxnSimulatorOptions *options,
          const RxnValues *values, char **ret_text, RxnError **ret_error)
{
    if (!ret_text)
        return rxn__api_nowhere("ret_text", ret_error);
    const RxnSimulatorOptions usual = rxn_simulator_options();
    Showing showing = {.form = form, .options = options ? options : &usual, .values = values};
    *ret_text = NULL;
    RxnStatus status = rxn__part_open_at_network(&showing.part, model);
    if (status == RXN_OK)
        status = rxn__api_guard(&showing.part.engine, show, &showing);
    status = rxn__part_finish(&showing.part, status, ret_error);
    if (showing.pipeline.arena.memory)
        rxn__pipeline_close(&showing.pipeline);
    rxn__part_close(&showing.part);
    *ret_text = showing.text;
    return status;
}

RxnStatus
rxn_model_text(RxnModel *model, RxnForm form, const RxnSimulatorOptions *options, char **ret_text,
               RxnError **ret_error)
{
    if (form == RXN_FORM_SOURCE && ret_text) {
        Layout layout = {
            .text = model->text, .name = model->path, .length = model->length, .is_text = true};
        return write_text(&layout, lay_out, &model->options, ret_text, ret_error);
    }
    return make_text(model, form, options, NULL, ret_text, ret_error);
}

RxnStatus
rxn_model_summary(RxnModel *model, const RxnValues *values, char **ret_text, RxnError **ret_error)
{
    return make_text(model, RXN_FORM_SUMMARY, NULL, values, ret_text, ret_error);
}
