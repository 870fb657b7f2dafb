/* fake_private.h: what the two halves of the pretended driver share; see fake_driver.c.
 */
#ifndef RXN_TEST_FAKE_PRIVATE_H
#define RXN_TEST_FAKE_PRIVATE_H

#include "engine.h"
#include "fake_options.h"

#include <pthread.h>

#define EXPORT __attribute__((visibility("default")))

enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_PTX = 218,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
};

enum {
    MAX_DEVICES = 16,
    GUARD = 256,     /* behind each allocation; also the alignment */
    FILL_NEW = 0xFF, /* f64 and f32: NaN; counts: too large */
    FILL_FREED = 0xDD,
    FILL_GUARD = 0xEB,
    DEFAULT_SHARED = 48 * 1024,
    MOST_SHARED = 227 * 1024,
    THREADS_OF_PROCESSOR = 512, /* few, so that small tests fill the device */
    REGISTERS_OF_THREAD = 40,
    MOST_FIBERS = 4096, /* of one launch at a time */
};

typedef struct Allocation {
    uint64_t start, size;
    unsigned char *host; /* of page-locked memory: where the host sees it */
} Allocation;

typedef enum OperationKind { OP_COPY, OP_FILL, OP_LAUNCH, OP_RECORD, OP_WAIT } OperationKind;

typedef struct Event Event;
typedef struct Module Module;

typedef struct Operation {
    struct Operation *next;
    OperationKind kind;
    unsigned char *to;
    const unsigned char *from; /* or `own`, made when it was enqueued */
    unsigned char *own;
    size_t size;
    int value;
    EngineLaunch launch; /* its parameters are in `own` */
    Engine *engine;      /* made when its turn comes */
    Module *module;
    Event *event;
    uint64_t turn; /* of the event: which record of it */
} Operation;

typedef struct Stream {
    struct Stream *next;
    struct Device *device;
    Operation *first, *last;
    bool busy; /* its first operation is under way */
} Stream;

struct Event {
    struct Device *device;
    uint64_t recorded, reached; /* turns */
};

struct Module {
    struct Module *next;
    struct Device *device;
    void *handle;
    Shim **shim;
    unsigned char *statics;
    size_t static_bytes;
    uintptr_t start, size;
    int launches; /* enqueued */
    int file;
};

typedef struct Function {
    struct Function *next;
    Module *module;
    const ShimKernel *kernel;
    char name[64];
    int most_dynamic;
} Function;

typedef struct Device {
    int number;
    unsigned char *memory;
    uint64_t size, used;
    Allocation *allocations; /* in order of addresses */
    size_t allocation_count, allocation_capacity;
    Stream *streams;
    Stream standard; /* stream 0 */
    int retained, fault;
} Device;

typedef struct Gpus {
    pthread_mutex_t mutex;
    bool initialised;
    FakeOptions options;
    Device devices[MAX_DEVICES];
    uint64_t random, pinned_next;
    Allocation *pinned;
    size_t pinned_count;
    Function *functions;
    Module *modules;
    int allocations, launches, open;
} Gpus;

extern Gpus rxn_fake_gpus;
extern _Thread_local Device *rxn_fake_current;
#define gpu     rxn_fake_gpus
#define current rxn_fake_current

/* Takes the mutex; a code of the driver if the call cannot be made now. */
int rxn_fake_enter(const char *what, bool needs_context);

/* Gives it back. */
int rxn_fake_leave(int result);

#define ENTER(needs_context)                                                                       \
    do {                                                                                           \
        int entered = rxn_fake_enter(__func__, needs_context);                                     \
        if (entered)                                                                               \
            return rxn_fake_leave(entered);                                                        \
    } while (0)
#define LEAVE(result) return rxn_fake_leave(result)

/* What the real driver would not see: ends the process. */
_Noreturn void rxn_fake_misuse(const char *what, uint64_t where);

/* Waits for all that was enqueued on the device. */
void rxn_fake_drain(Device *device);

Operation *rxn_fake_enqueue(Stream *stream, OperationKind kind);

/* The device's own where it is NULL. */
Stream *rxn_fake_stream(Stream *stream);

bool rxn_fake_has_stream(const Stream *stream);

/* What the device may use, and what lies at other addresses: see EngineLaunch. */
bool rxn_fake_allowed(void *context, uintptr_t at, size_t size, uintptr_t *ret_start,
                      size_t *ret_size);
void rxn_fake_explain(void *context, uintptr_t at, char *text, size_t size);

#endif
