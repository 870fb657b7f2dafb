/* cache.c: what object code depends on: the key under which the compile cache (runtime/cache.h) keeps it.
 */
#include <llvm/Config/llvm-config.h>

#include "compiler/target/llvm/llvm.h"

/* Raised whenever the code that this target renders changes for the same KIR. */
enum { RENDERING_VERSION = 3 };

const char *
rxn__llvm_cache_key(const KirKernel *kernel, const LlvmHost *host, u32 lanes, Arena *arena,
                    size_t *ret_length)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "rxn rendering %d\nllvm %s\n%s %s %s\nlanes %u\n", RENDERING_VERSION,
                     LLVM_VERSION_STRING, host->triple, host->cpu, host->features, lanes);
    rxn__kir_print(kernel, &text);
    *ret_length = text.length;
    return text.data;
}
