/* build_cuda.c: --cuda: for which GPUs a program is built, and NVRTC, which compiles for them.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/build.h"

enum { MESSAGE_SIZE = 512 };

static void
close_nvrtc(void *nvrtc)
{
    rxn__nvrtc_close(nvrtc);
}

static void
list_known(Driver *driver, const RxnNvrtc *nvrtc)
{
    Text text;
    const int *known;
    u32 count = rxn__nvrtc_architectures(nvrtc, &known), version = rxn__nvrtc_version(nvrtc);
    rxn__text_init(&text, &driver->engine.session.arena);
    for (u32 k = 0; k < count; k++)
        rxn__text_printf(&text, "%ssm_%d", k ? ", " : "", known[k]);
    rxn__driver_note(driver, "NVRTC %u.%u makes code for %s", version / 1000, version / 10 % 100,
                     text.data);
}

/* "sm_90" as 90; 0: it is no such name. */
static u32
read_architecture(const char *name, size_t length)
{
    u32 number = 0;
    if (length < 4 || length > 7 || memcmp(name, "sm_", 3) != 0)
        return 0;
    for (size_t k = 3; k < length; k++) {
        if (name[k] < '0' || name[k] > '9')
            return 0;
        number = number * 10 + (u32)(name[k] - '0');
    }
    return number;
}

static bool
holds(const Ahead *ahead, u32 architecture)
{
    for (u32 k = 0; k < ahead->architecture_count; k++)
        if (ahead->architectures[k] == architecture)
            return true;
    return false;
}

static RxnStatus
read_list(Build *build, const char *list)
{
    Driver *driver = build->driver;
    Ahead *ahead = &build->ahead;
    do {
        size_t length = strcspn(list, ",");
        u32 number = read_architecture(list, length);
        if (!rxn__nvrtc_knows(ahead->nvrtc, number)) {
            rxn__driver_error(driver, "--cuda takes no '%s'",
                              rxn__shown(&driver->engine.session.arena, list, length));
            list_known(driver, ahead->nvrtc);
            return RXN_ERROR_USAGE;
        }
        /* No NVRTC knows more than there is room for. */
        if (!holds(ahead, number) && ahead->architecture_count < MOST_ARCHITECTURES)
            ahead->architectures[ahead->architecture_count++] = number;
        list += length + (list[length] == ',');
    } while (*list);
    return RXN_OK;
}

RxnStatus
rxn__build_open_cuda(Build *build)
{
    Driver *driver = build->driver;
    const BuildOptions *o = &build->options;
    Ahead *ahead = &build->ahead;
    char message[MESSAGE_SIZE];
    if (!o->cuda)
        return RXN_OK;
    if (rxn__nvrtc_open(&ahead->nvrtc, message, sizeof message) != RXN_DONE) {
        rxn__driver_error(driver, "%s", message);
        rxn__driver_note(driver, "a program that is built without --cuda has its kernels "
                                 "compiled where it runs, by the NVRTC there");
        return RXN_ERROR_INPUT;
    }
    rxn__arena_on_release(&driver->engine.session.arena, close_nvrtc, ahead->nvrtc);
    return read_list(build, o->cuda);
}
