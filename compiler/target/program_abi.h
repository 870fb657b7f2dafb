/* program_abi.h: what `rxn build` writes as C beside the code of the kernels, and a standalone program is linked with:
 * its model, its kernels, and what it was built for.
 *
 * The declarations stand in a macro because they are needed twice: by the compiler of rxn, and as text at the head of
 * the file that rxn writes, so that a system's cc needs no header of ours.
 */
#ifndef RXN_PROGRAM_ABI
#define RXN_PROGRAM_ABI(...) __VA_ARGS__
#endif

/* A file of the model: `path` as it stands in `use`, of the file `from` ("" for the model itself); `resolved`: as it
 * was found, which messages show.
 *
 * Code of a kernel: for processors that have all of `needs` (names as LLVM has them, with commas between); the best
 * first. The other fields are those of CompiledKernel.
 *
 * Code for GPUs: for this architecture (90: sm_90), or PTX for it and all newer ones, text with a zero byte behind it; made
 * by the NVRTC of this version (12090: 12.9). Without it kernels are compiled where the program runs, by the NVRTC there.
 * The bytes of one trajectory's tape on a GPU are then a matter of its memory, and cuda_tape_bytes is 0.
 *
 * Of derivatives: what `grad` differentiates where nothing else is said.
 *
 * The functions are those of a library (library.c), which the one that is made of a model calls. */
RXN_PROGRAM_ABI(
    struct RxnLaunch; typedef struct RxnProgramFile {
        const char *from, *path, *resolved, *text;
        unsigned long long length;
    } RxnProgramFile;
    typedef struct RxnProgramCode {
        void (*run)(const struct RxnLaunch *launch);
        const char *march, *needs, *isa;
        unsigned lanes;
        unsigned long long workspace_bytes, table_bytes;
    } RxnProgramCode;
    typedef struct RxnProgramKernel {
        unsigned char key[32];
        const char *what;
        const RxnProgramCode *codes;
        unsigned code_count;
    } RxnProgramKernel;
    typedef struct RxnProgramCudaCode {
        unsigned architecture;
        int is_ptx;
        const void *bytes;
        unsigned long long size;
    } RxnProgramCudaCode;
    typedef struct RxnProgramCudaKernel {
        unsigned char key[32];
        const char *what;
        const RxnProgramCudaCode *codes;
        unsigned code_count;
    } RxnProgramCudaKernel;
    typedef struct RxnProgram {
        const char *version, *model, *method;
        const RxnProgramFile *files;
        unsigned file_count;
        const RxnProgramKernel *kernels;
        unsigned kernel_count;
        const RxnProgramCudaKernel *cuda_kernels;
        unsigned cuda_kernel_count, nvrtc;
        unsigned long long tape_bytes, cuda_tape_bytes;
        const char *const *of, *const *wrt;
        unsigned of_count, wrt_count;
        const double *at;
        unsigned at_count;
        const char *estimators, *form;
        unsigned long long draws, bins, degree;
        double tau, difference;
    } RxnProgram;
    extern const RxnProgram rxn_program; typedef struct RxnLibraryRequest {
        const double *parameters, *inputs;
        unsigned long long seed, first, trajectories;
        const double *times;
        unsigned time_count, threads;
        const volatile int *cancel;
    } RxnLibraryRequest;
    typedef struct RxnLibraryFit {
        const double *parameters;
        const char *data;
        unsigned long long steps, trajectories, seed;
        unsigned threads;
        const volatile int *cancel;
    } RxnLibraryFit;
    struct RxnLibrary;
    struct RxnLibrary * rxn__library_open(const RxnProgram *program, int single_precision,
                                          char *error, unsigned long long size);
    void rxn__library_close(struct RxnLibrary *library);
    const char *rxn__library_error(const struct RxnLibrary *library);
    void rxn__library_parameters(const struct RxnLibrary *library, double *parameters);
    int rxn__library_run(struct RxnLibrary *library, const RxnLibraryRequest *request, double *mean,
                         double *sd, double *samples);
    int rxn__library_gradient(struct RxnLibrary *library, const RxnLibraryRequest *request,
                              double *value, double *value_se, double *gradient, double *se);
    int rxn__library_fit(struct RxnLibrary *library, const RxnLibraryFit *request,
                         double *parameters, double *se, double *loss);)
