/* gpus.c: for which GPUs there will be code, and NVRTC, which compiles it. */
#include <stdlib.h>
#include <string.h>

#include "compiler/ahead/private.h"

/* All data-centre GPUs since 2020 can run it. */
enum { USUAL_ARCHITECTURE = 80, MESSAGE_SIZE = 512 };

static void
close_nvrtc(void *nvrtc)
{
    rxn__nvrtc_close(nvrtc);
}

RxnStatus
rxn__job_open_nvrtc(Job *job, const char *advice)
{
    Engine *engine = job->engine;
    char message[MESSAGE_SIZE];
    if (rxn__nvrtc_open(&job->ahead.nvrtc, message, sizeof message) != RXN_DONE) {
        rxn__engine_error(engine, "%s", message);
        rxn__engine_note(engine, "%s", advice);
        return RXN_ERROR_INPUT;
    }
    rxn__arena_on_release(&engine->session.arena, close_nvrtc, job->ahead.nvrtc);
    return RXN_OK;
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

static RxnStatus
refuse_architecture(Job *job, const char *name, size_t length)
{
    Engine *engine = job->engine;
    const RxnNvrtc *nvrtc = job->ahead.nvrtc;
    Text text;
    const int *known;
    const u32 count = rxn__nvrtc_architectures(nvrtc, &known), version = rxn__nvrtc_version(nvrtc);
    rxn__text_init(&text, &engine->session.arena);
    for (u32 k = 0; k < count; k++)
        rxn__text_printf(&text, "%ssm_%d", k ? ", " : "", known[k]);
    rxn__engine_error(engine, "--cuda takes no '%s'",
                      rxn__shown(&engine->session.arena, name, length));
    rxn__engine_note(engine, "NVRTC %u.%u makes code for %s", version / 1000, version / 10 % 100,
                     text.data);
    return RXN_ERROR_USAGE;
}

/* What is usual, or, where NVRTC is so new that it does not know it any more, the oldest. */
static u32
usual_architecture(const RxnNvrtc *nvrtc)
{
    const int *known;
    const u32 count = rxn__nvrtc_architectures(nvrtc, &known);
    u32 oldest = (u32)known[0];
    for (u32 k = 1; k < count; k++)
        oldest = (u32)known[k] < oldest ? (u32)known[k] : oldest;
    return rxn__nvrtc_knows(nvrtc, USUAL_ARCHITECTURE) ? USUAL_ARCHITECTURE : oldest;
}

static void
add(Ahead *ahead, u32 architecture)
{
    for (u32 k = 0; k < ahead->architecture_count; k++)
        if (ahead->architectures[k] == architecture)
            return;
    /* No NVRTC knows more than there is room for. */
    if (ahead->architecture_count < MOST_ARCHITECTURES)
        ahead->architectures[ahead->architecture_count++] = architecture;
}

RxnStatus
rxn__job_architectures(Job *job, const char *list)
{
    Ahead *ahead = &job->ahead;
    if (!list) {
        add(ahead, usual_architecture(ahead->nvrtc));
        return RXN_OK;
    }
    do {
        const size_t length = strcspn(list, ",");
        const u32 number = read_architecture(list, length);
        if (!rxn__nvrtc_knows(ahead->nvrtc, number))
            return refuse_architecture(job, list, length);
        add(ahead, number);
        list += length + (list[length] == ',');
    } while (*list);
    return RXN_OK;
}
