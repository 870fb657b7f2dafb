/* cache.c: what object code depends on: the key under which the compile cache (runtime/cache.h) keeps it.
 *
 * Another build of rxn may render the same kernel otherwise, so the key has the build in it: the hash that linkers
 * write into what they link (a note of type NT_GNU_BUILD_ID).
 */
#include <elf.h>
#include <link.h>
#include <llvm/Config/llvm-config.h>
#include <string.h>

#include "compiler/target/llvm/llvm.h"

/* Raised whenever the code that this target renders changes for the same KIR: for linkers that write no hash. */
enum { RENDERING_VERSION = 6 };

/* The hash of the object, a program or a library, that this file is linked into. */
typedef struct Build {
    u8 hash[64];
    u32 length; /* 0: it has none */
} Build;

static void
look_for_hash(const u8 *notes, size_t size, Build *ret_build)
{
    while (size >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, notes, sizeof note);
        size_t name = (note.n_namesz + (size_t)3) & ~(size_t)3,
               content = (note.n_descsz + (size_t)3) & ~(size_t)3;
        if (name > size - sizeof note || content > size - sizeof note - name)
            return;
        notes += sizeof note;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes, "GNU", 4) == 0 &&
            note.n_descsz <= sizeof ret_build->hash) {
            ret_build->length = note.n_descsz;
            memcpy(ret_build->hash, notes + name, note.n_descsz);
        }
        notes += name + content;
        size -= sizeof note + name + content;
    }
}

/* 1, which ends the search, if this object of the process is the one. (Called under a lock of the loader, which a
 * failed allocation would leave behind.) */
static int
visit_object(struct dl_phdr_info *object, size_t size, void *ret_build)
{
    (void)size;
    uintptr_t here = (uintptr_t)&look_for_hash;
    int is_ours = 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && here - (object->dlpi_addr + part->p_vaddr) < part->p_memsz)
            is_ours = 1;
    }
    for (int i = 0; is_ours && i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_NOTE)
            look_for_hash((const u8 *)(object->dlpi_addr + part->p_vaddr), part->p_memsz,
                          ret_build);
    }
    return is_ours;
}

const char *
rxn__llvm_cache_key(const KirKernel *kernel, const LlvmHost *host, u32 lanes, Arena *arena,
                    size_t *ret_length)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "rxn rendering %d build ", RENDERING_VERSION);
    Build build = {0};
    dl_iterate_phdr(visit_object, &build);
    for (u32 i = 0; i < build.length; i++)
        rxn__text_printf(&text, "%02x", build.hash[i]);
    rxn__text_printf(&text, "\nllvm %s\n%s %s %s\nlanes %u\n", LLVM_VERSION_STRING, host->triple,
                     host->cpu, host->features, lanes);
    rxn__kir_print(kernel, &text);
    *ret_length = text.length;
    return text.data;
}
