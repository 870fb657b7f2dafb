/* build_emit.c: `rxn build --emit FORM`: one stage of a model's compilation, as a file. */
#include <string.h>

#include "compiler/driver/build_emit.h"

static const struct {
    const char *name;
    RxnForm form;
    bool for_gpus, by_nvrtc;
} forms[] = {
    {"network", RXN_FORM_NETWORK, false, false}, {"kir", RXN_FORM_KERNEL, false, false},
    {"llvm", RXN_FORM_LLVM, false, false},       {"asm", RXN_FORM_ASSEMBLY, false, false},
    {"obj", RXN_FORM_OBJECT, false, false},      {"cuda", RXN_FORM_CUDA, true, false},
    {"ptx", RXN_FORM_PTX, true, true},           {"cubin", RXN_FORM_CUBIN, true, true},
    {"header", RXN_FORM_HEADER, false, false},
};

const char rxn__build_forms[] = "network, kir, llvm, asm, obj, cuda, ptx, cubin";

static int
find_form(const char *name)
{
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++)
        if (strcmp(forms[k].name, name) == 0)
            return (int)k;
    return -1;
}

bool
rxn__build_emits(const char *form)
{
    return find_form(form) >= 0;
}

bool
rxn__build_emits_for_gpus(const char *form)
{
    int k = find_form(form);
    return k >= 0 && forms[k].for_gpus;
}

bool
rxn__build_emits_by_nvrtc(const char *form)
{
    int k = find_form(form);
    return k >= 0 && forms[k].by_nvrtc;
}

static bool
write_bytes(Driver *driver, const char *bytes, size_t size, const char *path)
{
    OutputFile output;
    if (!rxn__output_open(driver, &output, path))
        return false;
    fwrite(bytes, 1, size, output.file);
    return rxn__output_commit(driver, &output);
}

RxnStatus
rxn__build_emit(Driver *driver, const char *path_of_model, const char *form,
                const RxnEmitOptions *options, const char *path)
{
    RxnModel *model;
    RxnError *error;
    char *bytes;
    size_t size;
    RxnStatus status = rxn__driver_model(driver, path_of_model, options->gradient != NULL, &model);
    if (status == RXN_OK) {
        status = rxn_model_emit(model, forms[find_form(form)].form, options, &bytes, &size, &error);
        status = rxn__driver_take(driver, status, error);
        if (status == RXN_OK && !write_bytes(driver, bytes, size, path ? path : "-"))
            status = RXN_ERROR_INPUT;
        rxn_text_free(bytes);
    }
    rxn__driver_end(driver);
    return status;
}
