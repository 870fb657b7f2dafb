/* library_fit.c: fits in the library of one model that has a fit block: what `rxn fit` does, by the functions of runtime/rxn.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/api.h"
#include "compiler/engine/library.h"

typedef struct LibraryFit {
    const RxnProgram *program;
    const RxnLibraryFit *request;
    RxnModel *model;
    RxnValues *values, *found;
    RxnFit *fit;
    RxnFitted fitted;
    RxnError *error;
    char *message; /* warnings until then, and the error */
} LibraryFit;

/* A message that there is no memory for is lost. */
static void
add(LibraryFit *fit, const char *text)
{
    const size_t before = fit->message ? strlen(fit->message) : 0, length = strlen(text);
    char *message = realloc(fit->message, before + length + 1);
    if (!message)
        return;
    memcpy(message + before, text, length + 1);
    fit->message = message;
}

static void
take_warning(void *context, RxnSeverity severity, const char *text)
{
    (void)severity;
    add(context, text);
}

static RxnStatus
open_model(LibraryFit *fit)
{
    RxnModelOptions options = rxn_model_options();
    options.tell = take_warning;
    options.tell_context = fit;
    options.tell_later = true;
    RxnStatus status = rxn_model_of_program(fit->program, &options, &fit->model, &fit->error);
    if (status == RXN_OK) /* the fit itself draws by its own seed */
        status = rxn_values_new(fit->model, 1, &fit->values, &fit->error);
    if (status == RXN_OK && fit->request->parameters)
        status = rxn_values_put(fit->values, RXN_PARAMETERS, 0,
                                rxn_model_count(fit->model, RXN_PARAMETERS),
                                fit->request->parameters, &fit->error);
    return status;
}

/* Where it ends early there may be a result too: that of the last good step. */
static RxnStatus
train(LibraryFit *fit)
{
    const RxnLibraryFit *request = fit->request;
    RxnFitOptions options = rxn_fit_options();
    options.data = request->data;
    options.steps = request->steps ? request->steps : options.steps;
    options.seed = request->seed ? request->seed : options.seed;
    options.trajectories = request->trajectories;
    options.threads = request->threads;
    options.cancel = request->cancel;
    options.no_advice = true;
    RxnStatus status = open_model(fit);
    if (status == RXN_OK)
        status = rxn_fit_new(fit->model, &options, fit->values, &fit->fit, &fit->error);
    if (status != RXN_OK)
        return status;
    status = rxn_fit_train(fit->fit, &fit->fitted, &fit->error);
    if (!fit->fitted.labels || rxn_fit_values(fit->fit, &fit->found, NULL) == RXN_OK)
        return status;
    return RXN_ERROR_MEMORY;
}

static void
fill(const LibraryFit *fit, double *parameters, double *se, double *loss)
{
    const size_t count = rxn_model_count(fit->model, RXN_PARAMETERS);
    const RxnFitInfo info = rxn_fit_info(fit->fit);
    if (parameters)
        memcpy(parameters, rxn_values_get(fit->found, RXN_PARAMETERS), count * sizeof *parameters);
    for (size_t k = 0; se && k < count; k++)
        se[k] = NAN;
    for (size_t k = 0; se && k < info.parameter_count; k++)
        se[info.members[k]] = fit->fitted.se[k];
    if (loss) {
        loss[0] = fit->fitted.loss;
        loss[1] = fit->fitted.loss_se;
    }
}

int
rxn__library_fit(struct RxnLibrary *library, const RxnLibraryFit *request, double *parameters,
                 double *se, double *loss)
{
    LibraryFit fit = {.program = rxn__library_program(library), .request = request};
    const RxnStatus status = train(&fit);
    if (fit.found)
        fill(&fit, parameters, se, loss);
    add(&fit, rxn_error_text(fit.error));
    rxn_error_free(fit.error);
    rxn_fit_free(fit.fit);
    rxn_values_free(fit.found);
    rxn_values_free(fit.values);
    rxn_model_free(fit.model);
    return rxn__library_end(library, status, fit.message);
}
