/* source.c: what a program or a library is built of, as a C file (target/program_abi.h). */
#include <string.h>

#include "compiler/ahead/private.h"

/* The declarations, as text. */
#define RXN_PROGRAM_ABI(...) static const char abi_text[] = #__VA_ARGS__;
#include "compiler/target/program_abi.h"

/* ---- C ----------------------------------------------------------------------------------------- */

/* A literal; a line of the text is a line of the file. */
static void
write_literal(Text *out, const char *text, size_t length)
{
    rxn__text_append(out, "\"", 1);
    for (size_t k = 0; k < length; k++) {
        unsigned char c = (unsigned char)text[k];
        bool plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\' && c != '?';
        if (plain)
            rxn__text_append(out, text + k, 1);
        else
            rxn__text_printf(out, "\\%03o",
                             c); /* three digits, so that what follows is not one more */
        if (c == '\n' && k + 1 < length)
            rxn__text_append(out, "\"\n\"", 3);
    }
    rxn__text_append(out, "\"", 1);
}

static void
write_name(Text *out, const char *text)
{
    write_literal(out, text, strlen(text));
}

static void
write_number(Text *out, double value)
{
    Text number;
    rxn__text_init(&number, out->arena);
    rxn__text_f64_hex(&number, value);
    rxn__text_append(out, number.data, number.length);
}

static void
write_file(Text *out, const char *from, const char *path, const char *resolved, const char *text,
           size_t length)
{
    rxn__text_append(out, "    {", 5);
    write_name(out, from);
    rxn__text_append(out, ", ", 2);
    write_name(out, path);
    rxn__text_append(out, ", ", 2);
    write_name(out, resolved);
    rxn__text_append(out, ",\n", 2);
    write_literal(out, text, length);
    rxn__text_printf(out, ", %zuu},\n", length);
}

/* How many there are. */
static u32
write_files(const Build *build, Text *out)
{
    const RxnModel *model = build->part.model;
    const SourceFile *files = model->engine.session.sources.files.items;
    /* An imported network is the one before it, which the program imports again. */
    const SourceFile *own =
        &files[rxn__is_imported(&model->engine, model->file) ? model->file - 1 : model->file];
    rxn__text_printf(out, "static const RxnProgramFile files[] = {\n");
    write_file(out, "", own->path, own->path, own->text, own->length);
    u32 count = 1;
    for (const ApiFile *file = model->files; file; file = file->next, count++)
        write_file(out, file->from, file->path, file->resolved, file->text, file->length);
    rxn__text_printf(out, "};\n");
    return count;
}

static void
write_key(Text *out, const u8 key[KERNEL_KEY_BYTES])
{
    rxn__text_append(out, "{", 1);
    for (u32 b = 0; b < KERNEL_KEY_BYTES; b++)
        rxn__text_printf(out, "%u,", key[b]);
    rxn__text_append(out, "}", 1);
}

static void
write_kernels(const Build *build, Text *out)
{
    const Ahead *ahead = &build->job.ahead;
    for (u32 k = 0; k < ahead->kernels.count; k++)
        for (u32 m = 0; m < ahead->kernels.items[k].code_count; m++)
            rxn__text_printf(out, "void %s(const struct RxnLaunch *launch);\n",
                             ahead->kernels.items[k].codes[m].symbol);
    for (u32 k = 0; k < ahead->kernels.count; k++) {
        rxn__text_printf(out, "static const RxnProgramCode codes_%u[] = {\n", k);
        for (u32 m = 0; m < ahead->kernels.items[k].code_count; m++) {
            const AheadCode *code = &ahead->kernels.items[k].codes[m];
            rxn__text_printf(out, "    {%s, \"%s\", \"%s\", \"%s\", %u, %zuu, %zuu},\n",
                             code->symbol, code->march->name, code->needs, code->facts.isa,
                             code->facts.lanes, code->facts.workspace_bytes,
                             code->facts.table_bytes);
        }
        rxn__text_printf(out, "};\n");
    }
    rxn__text_printf(out, "static const RxnProgramKernel kernels[] = {\n");
    for (u32 k = 0; k < ahead->kernels.count; k++) {
        rxn__text_printf(out, "    {");
        write_key(out, ahead->kernels.items[k].key);
        rxn__text_printf(out, ", \"%s\", codes_%u, %u},\n", ahead->kernels.items[k].what, k,
                         ahead->kernels.items[k].code_count);
    }
    rxn__text_printf(out, "};\n");
}

/* Aligned as what the driver is given usually is, which reads headers in it. */
static void
write_cuda_kernels(const Build *build, Text *out)
{
    const Ahead *ahead = &build->job.ahead;
    if (ahead->cuda_kernels.count == 0)
        return;
    u32 count = ahead->architecture_count + 1;
    for (u32 k = 0; k < ahead->cuda_kernels.count; k++) {
        const AheadCudaKernel *kernel = &ahead->cuda_kernels.items[k];
        for (u32 c = 0; c < count; c++) {
            rxn__text_printf(out, "static const char cuda_%u_%u[] __attribute__((aligned(16))) =\n",
                             k, c);
            write_literal(out, kernel->codes[c].bytes, kernel->codes[c].size);
            rxn__text_append(out, ";\n", 2);
        }
        rxn__text_printf(out, "static const RxnProgramCudaCode cuda_codes_%u[] = {\n", k);
        for (u32 c = 0; c < count; c++)
            rxn__text_printf(out, "    {%u, %d, cuda_%u_%u, %zuu},\n",
                             kernel->codes[c].architecture, kernel->codes[c].is_ptx, k, c,
                             kernel->codes[c].size);
        rxn__text_printf(out, "};\n");
    }
    rxn__text_printf(out, "static const RxnProgramCudaKernel cuda_kernels[] = {\n");
    for (u32 k = 0; k < ahead->cuda_kernels.count; k++) {
        rxn__text_printf(out, "    {");
        write_key(out, ahead->cuda_kernels.items[k].key);
        rxn__text_printf(out, ", \"%s\", cuda_codes_%u, %u},\n", ahead->cuda_kernels.items[k].what,
                         k, count);
    }
    rxn__text_printf(out, "};\n");
}

static void
write_texts(Text *out, const char *name, const TextList *texts)
{
    rxn__text_printf(out, "static const char *const %s[] = {\n", name);
    for (u32 k = 0; k < texts->count; k++) {
        write_name(out, texts->items[k]);
        rxn__text_append(out, ",\n", 2);
    }
    rxn__text_printf(out, "0};\n");
}

void
rxn__build_source(const Build *build, Text *out)
{
    const GradOptions *grad = &build->job.gradient;
    const Ahead *ahead = &build->job.ahead;
    const Engine *engine = build->job.engine;
    rxn__text_printf(out, "/* Written by rxn %s. */\n%s\n", rxn_version(), abi_text);
    const u32 file_count = write_files(build, out);
    write_kernels(build, out);
    write_cuda_kernels(build, out);
    write_texts(out, "of", &grad->of);
    write_texts(out, "wrt", &grad->wrt);
    rxn__text_printf(out, "static const double at[] = {");
    for (u32 k = 0; k < grad->at.count; k++) {
        write_number(out, grad->at.items[k]);
        rxn__text_append(out, ",", 1);
    }
    rxn__text_printf(out, "0};\nconst RxnProgram rxn_program = {\n");
    rxn__text_printf(out, ".version = \"%s\", .model = ", rxn_version());
    write_name(out, rxn_model_name(build->part.model));
    rxn__text_printf(out, ", .method = ");
    write_name(out, build->job.method);
    rxn__text_printf(out, ", .files = files, .file_count = %u,\n", file_count);
    rxn__text_printf(out, ".kernels = kernels, .kernel_count = %u, .tape_bytes = %lluu,\n",
                     ahead->kernels.count, (unsigned long long)engine->tape_bytes);
    if (ahead->cuda_kernels.count > 0)
        rxn__text_printf(out,
                         ".cuda_kernels = cuda_kernels, .cuda_kernel_count = %u, .nvrtc = %u, "
                         ".cuda_tape_bytes = %lluu,\n",
                         ahead->cuda_kernels.count, rxn__nvrtc_version(ahead->nvrtc),
                         (unsigned long long)engine->cuda_tape_bytes);
    rxn__text_printf(out,
                     ".of = of, .of_count = %u, .wrt = wrt, .wrt_count = %u, .at = at, "
                     ".at_count = %u,\n.estimators = ",
                     grad->of.count, grad->wrt.count, grad->at.count);
    write_name(out, grad->estimators);
    if (grad->form) {
        rxn__text_printf(out, ", .form = ");
        write_name(out, grad->form);
    }
    rxn__text_printf(out, ", .draws = %lluu, .bins = %lluu, .degree = %lluu,\n.tau = ",
                     (unsigned long long)grad->draws, (unsigned long long)grad->bins,
                     (unsigned long long)grad->degree);
    write_number(out, grad->tau);
    rxn__text_printf(out, ", .difference = ");
    write_number(out, grad->difference);
    rxn__text_printf(out, "};\n");
}
