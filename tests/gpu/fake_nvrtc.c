/* fake_nvrtc.c: libnvrtc-fake.so, which offers what NVRTC does and makes code for the host; see fake_options.h.
 *
 * A "cubin" is a shared object for fake_driver.c; "PTX" is the text itself, which that driver compiles.
 */
#include "fake_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum {
    DONE,
    OUT_OF_MEMORY,
    PROGRAM_CREATION,
    INVALID_INPUT,
    INVALID_PROGRAM,
    INVALID_OPTION,
    COMPILATION
};

static const char ptx_head[] = "// PTX of the pretended compiler\n";

typedef struct Program {
    char *source, *log, *ptx;
    void *code;
    size_t size;
} Program;

EXPORT const char *
nvrtcGetErrorString(int result)
{
    static const char *const names[] = {
        "NVRTC_SUCCESS",
        "NVRTC_ERROR_OUT_OF_MEMORY",
        "NVRTC_ERROR_PROGRAM_CREATION_FAILURE",
        "NVRTC_ERROR_INVALID_INPUT",
        "NVRTC_ERROR_INVALID_PROGRAM",
        "NVRTC_ERROR_INVALID_OPTION",
        "NVRTC_ERROR_COMPILATION",
    };
    return result >= 0 && result <= COMPILATION ? names[result] : "NVRTC_ERROR unknown";
}

EXPORT int
nvrtcVersion(int *major, int *minor)
{
    FakeOptions options;
    rxn_fake_options(&options);
    *major = options.nvrtc_major;
    *minor = options.nvrtc_minor;
    return DONE;
}

EXPORT int
nvrtcGetNumSupportedArchs(int *count)
{
    FakeOptions options;
    rxn_fake_options(&options);
    *count = options.arch_count;
    return DONE;
}

EXPORT int
nvrtcGetSupportedArchs(int *archs)
{
    FakeOptions options;
    rxn_fake_options(&options);
    memcpy(archs, options.archs, sizeof(int) * (size_t)options.arch_count);
    return DONE;
}

EXPORT int
nvrtcCreateProgram(Program **ret_program, const char *source, const char *name, int header_count,
                   const char *const *headers, const char *const *include_names)
{
    (void)name;
    (void)headers;
    (void)include_names;
    if (!source || header_count != 0)
        return INVALID_INPUT;
    *ret_program = calloc(1, sizeof **ret_program);
    if (!*ret_program)
        return OUT_OF_MEMORY;
    (*ret_program)->source = strdup(source);
    (*ret_program)->log = strdup("");
    return DONE;
}

EXPORT int
nvrtcDestroyProgram(Program **program)
{
    if (!program || !*program)
        return INVALID_PROGRAM;
    free((*program)->source);
    free((*program)->log);
    free((*program)->ptx);
    free((*program)->code);
    free(*program);
    *program = NULL;
    return DONE;
}

/* -1: an option that NVRTC does not have. */
static int
architecture_of(int count, const char *const *options, bool *ret_machine_code)
{
    /* The beginnings of those that a compiler of kernels may want; others are most likely misspelt. */
    static const char *const known[] = {
        "-arch",
        "--gpu-architecture",
        "-fmad",
        "--fmad",
        "-ftz",
        "--ftz",
        "-prec-",
        "--prec-",
        "-use_fast_math",
        "--use_fast_math",
        "-default-device",
        "--default-device",
        "-std=",
        "--std=",
        "-dc",
        "-rdc",
        "--ptxas-options",
        "-Xptxas",
        "-lineinfo",
        "--generate-line-info",
        "-maxrregcount",
        "--maxrregcount",
        "-D",
        "-w",
        "--disable-warnings",
        "-extra-device-vectorization",
        "--extra-device-vectorization",
        "--device-int128",
        "-diag-",
        "--diag-",
        "--split-compile",
        "-v",
        "-O",
        "--minimal",
        "-minimal",
    };
    int architecture = 52;
    *ret_machine_code = false;
    for (int i = 0; i < count; i++) {
        bool good = false;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            good |= strncmp(options[i], known[k], strlen(known[k])) == 0;
        if (!good && i > 0 && strcmp(options[i - 1], "-Xptxas") == 0)
            good = true;
        if (!good)
            return -1;
        const char *value = strchr(options[i], '=');
        if (strstr(options[i], "arch") && value) {
            *ret_machine_code = strncmp(value + 1, "sm_", 3) == 0;
            architecture = atoi(value + (*ret_machine_code ? 4 : 9));
        }
    }
    return architecture;
}

EXPORT int
nvrtcCompileProgram(Program *program, int count, const char *const *words)
{
    FakeOptions options;
    rxn_fake_options(&options);
    bool machine_code;
    int architecture = architecture_of(count, words, &machine_code);
    bool known = false;
    for (int i = 0; i < options.arch_count; i++)
        known |= options.archs[i] == architecture;
    if (!known) {
        free(program->log);
        program->log =
            strdup("nvrtc: error: invalid value for --gpu-architecture (-arch), or option\n");
        return INVALID_OPTION;
    }
    free(program->log);
    if (!rxn_fake_compile(&options, program->source, architecture, &program->code, &program->size,
                          &program->log))
        return COMPILATION;
    size_t length = sizeof ptx_head + strlen(program->source);
    program->ptx = malloc(length);
    snprintf(program->ptx, length, "%s%s", ptx_head, program->source);
    if (!machine_code) { /* for a virtual architecture there is none */
        free(program->code);
        program->code = NULL;
        program->size = 0;
    }
    return DONE;
}

EXPORT int
nvrtcGetCUBINSize(Program *program, size_t *size)
{
    *size = program->size;
    return DONE;
}

EXPORT int
nvrtcGetCUBIN(Program *program, char *code)
{
    if (!program->code)
        return INVALID_PROGRAM;
    memcpy(code, program->code, program->size);
    return DONE;
}

EXPORT int
nvrtcGetPTXSize(Program *program, size_t *size)
{
    *size = program->ptx ? strlen(program->ptx) + 1 : 0;
    return DONE;
}

EXPORT int
nvrtcGetPTX(Program *program, char *text)
{
    if (!program->ptx)
        return INVALID_PROGRAM;
    memcpy(text, program->ptx, strlen(program->ptx) + 1);
    return DONE;
}

EXPORT int
nvrtcGetProgramLogSize(Program *program, size_t *size)
{
    *size = strlen(program->log) + 1;
    return DONE;
}

EXPORT int
nvrtcGetProgramLog(Program *program, char *text)
{
    memcpy(text, program->log, strlen(program->log) + 1);
    return DONE;
}
