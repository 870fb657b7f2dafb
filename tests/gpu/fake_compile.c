/* fake_compile.c: options of the pretended GPU, and CUDA C to host code; see fake_options.h.
 *
 * What is compiled is shim.h, the text as it is, and behind it a line for each __global__ function. One
 * construct has no counterpart in C and is rewritten: the array of dynamic shared memory, whose place the engine
 * decides anew for each block.
 */
#include "fake_options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- options ---- */

static _Noreturn void
refuse(const char *word)
{
    fprintf(stderr, "fake GPU: RXN_FAKE_CUDA: what is '%s'?\n", word);
    abort();
}

static uint64_t
number_of(const char *word, const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text)
        refuse(word);
    if (*end == 'K' || *end == 'M' || *end == 'G') {
        value <<= *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
        end++;
    }
    if (*end)
        refuse(word);
    return value;
}

static void
read_archs(FakeOptions *o, const char *text)
{
    o->arch_count = 0;
    for (char *end; *text; text = *end ? end + 1 : end) {
        o->archs[o->arch_count] = (int)strtol(text, &end, 10);
        if (end == text || o->arch_count++ == 31)
            refuse(text);
    }
}

static void
read_option(FakeOptions *o, const char *word, const char *value)
{
    static const struct {
        const char *name;
        size_t offset;
    } numbers[] = {
        {"devices", offsetof(FakeOptions, devices)},
        {"arch", offsetof(FakeOptions, architecture)},
        {"processors", offsetof(FakeOptions, processors)},
        {"driver", offsetof(FakeOptions, driver)},
        {"init", offsetof(FakeOptions, init)},
        {"fail_alloc", offsetof(FakeOptions, fail_alloc)},
        {"fail_launch", offsetof(FakeOptions, fail_launch)},
        {"optimize", offsetof(FakeOptions, optimize)},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(word, numbers[i].name) == 0) {
            *(int *)((char *)o + numbers[i].offset) = (int)number_of(word, value);
            return;
        }
    if (strcmp(word, "memory") == 0)
        o->memory = number_of(word, value);
    else if (strcmp(word, "seed") == 0)
        o->seed = number_of(word, value);
    else if (strcmp(word, "nvrtc") == 0) {
        if (sscanf(value, "%d.%d", &o->nvrtc_major, &o->nvrtc_minor) != 2)
            refuse(value);
    } else if (strcmp(word, "archs") == 0)
        read_archs(o, value);
    else if (strcmp(word, "slow") == 0)
        o->slow = atof(value);
    else if (strcmp(word, "cache") == 0)
        snprintf(o->cache, sizeof o->cache, "%s", value);
    else if (strcmp(word, "keep") == 0)
        snprintf(o->keep, sizeof o->keep, "%s", value);
    else if (strcmp(word, "shim") == 0)
        snprintf(o->shim, sizeof o->shim, "%s", value);
    else if (strcmp(word, "fail_compile") == 0)
        o->fail_compile = true;
    else if (strcmp(word, "trace") == 0)
        o->trace = true;
    else
        refuse(word);
}

void
rxn_fake_options(FakeOptions *o)
{
    *o = (FakeOptions){.devices = 1,
                       .architecture = 90,
                       .processors = 2,
                       .driver = 12040,
                       .nvrtc_major = 12,
                       .nvrtc_minor = 4,
                       .memory = 256u << 20,
                       .optimize = 1,
                       .seed = 1};
    snprintf(o->shim, sizeof o->shim, "%s", RXN_SHIM_FOLDER);
    read_archs(o, "50:60:70:75:80:86:89:90:100:120");
    const char *text = getenv("RXN_FAKE_CUDA");
    char *words = strdup(text ? text : ""), *rest = NULL;
    for (char *word = words ? strtok_r(words, ",", &rest) : NULL; word;
         word = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(word, '=');
        if (value)
            *value++ = 0;
        read_option(o, word, value ? value : "");
    }
    free(words);
}

/* ---- what is compiled ---- */

typedef struct Words {
    char *data;
    size_t length, capacity;
} Words;

static void
add(Words *words, const char *text, size_t length)
{
    if (words->length + length + 1 > words->capacity) {
        words->capacity = 2 * (words->length + length + 1);
        words->data = realloc(words->data, words->capacity);
        if (!words->data)
            abort();
    }
    memcpy(words->data + words->length, text, length);
    words->length += length;
    words->data[words->length] = 0;
}

static void
add_text(Words *words, const char *text)
{
    add(words, text, strlen(text));
}

static const char *
skip_blank(const char *p)
{
    while (isspace((unsigned char)*p))
        p++;
    return p;
}

static const char *
skip_name(const char *p)
{
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    return p;
}

/* Behind the bracket that matches the one at p. */
static const char *
skip_brackets(const char *p)
{
    int depth = 0;
    do {
        depth += *p == '(' || *p == '[' ? 1 : *p == ')' || *p == ']' ? -1 : 0;
        p++;
    } while (*p && depth > 0);
    return p;
}

/* "extern __shared__ TYPE NAME[];" at p becomes a macro NAME for the place that the engine gives. */
static const char *
rewrite_dynamic(Words *out, const char *p)
{
    const char *type = skip_blank(p + strlen("extern __shared__"));
    if (strncmp(type, "__align__", 9) == 0)
        type = skip_blank(skip_brackets(type + 9));
    const char *bracket = strchr(type, '[');
    if (!bracket)
        return NULL;
    const char *end = bracket;
    while (end > type && isspace((unsigned char)end[-1]))
        end--;
    const char *name = end;
    while (name > type && (isalnum((unsigned char)name[-1]) || name[-1] == '_'))
        name--;
    const char *after = skip_blank(skip_brackets(bracket));
    if (*after != ';')
        return NULL;
    add_text(out, "\n#define ");
    add(out, name, (size_t)(end - name));
    add_text(out, " ((");
    add(out, type, (size_t)(name - type));
    add_text(out, " *)shim_dynamic())\n");
    return after + 1;
}

/* A line for the __global__ function at p: its name, and the type of its only parameter. */
static void
add_kernel(Words *out, const char *p)
{
    const char *name = NULL, *end = NULL;
    for (p += strlen("__global__"); *p && *p != ';' && *p != '{';) {
        p = skip_blank(p);
        const char *word = p;
        p = skip_name(p);
        end = p;
        p = skip_blank(p);
        if (*p == '(' && end > word && strncmp(word, "__launch_bounds__", 17) != 0) {
            name = word;
            break;
        }
        p = *p == '(' ? skip_brackets(p) : end > word ? p : p + 1;
    }
    if (!name)
        return;
    const char *close = skip_brackets(p) - 1, *type = skip_blank(p + 1), *type_end = close;
    while (type_end > type && isspace((unsigned char)type_end[-1]))
        type_end--;
    while (type_end > type && (isalnum((unsigned char)type_end[-1]) || type_end[-1] == '_'))
        type_end--;
    if (strncmp(type, "const ", 6) == 0)
        type += 6;
    char text[1024];
    int t = (int)(type_end - type), n = (int)(end - name);
    snprintf(
        text, sizeof text,
        "static SHIM_UNSEEN void rxn_shim_call_%.*s(const void *p) { %.*s(*(const %.*s *)p); }\n"
        "const ShimKernel rxn_shim_kernel_%.*s = {sizeof(%.*s), rxn_shim_call_%.*s};\n",
        n, name, n, name, t, type, n, name, t, type, n, name);
    add_text(out, text);
}

static char *
unit_of(const char *source)
{
    static const char dynamic[] = "extern __shared__", global[] = "__global__";
    Words out = {0}, kernels = {0};
    add_text(&out, "#include \"shim.h\"\n#line 1 \"kernel.cu\"\n");
    add_text(&kernels, "\n");
    unsigned line = 1;
    for (const char *p = source; *p;) {
        const char *after = NULL;
        bool word_starts = p == source || !(isalnum((unsigned char)p[-1]) || p[-1] == '_');
        if (word_starts && strncmp(p, dynamic, sizeof dynamic - 1) == 0)
            after = rewrite_dynamic(&out, p);
        else if (word_starts && strncmp(p, global, sizeof global - 1) == 0)
            add_kernel(&kernels, p);
        if (after) {
            char mark[48];
            snprintf(mark, sizeof mark, "#line %u\n", line);
            add_text(&out, mark);
            p = after;
            continue;
        }
        line += *p == '\n';
        add(&out, p++, 1);
    }
    add_text(&out, kernels.data);
    free(kernels.data);
    return out.data;
}

/* ---- the host's compiler ---- */

static void *
read_all(const char *path, size_t *ret_size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return NULL;
    Words words = {0};
    char buffer[65536];
    for (ssize_t n; (n = read(file, buffer, sizeof buffer)) > 0;)
        add(&words, buffer, (size_t)n);
    close(file);
    if (!words.data)
        add(&words, "", 0);
    *ret_size = words.length;
    return words.data;
}

static bool
write_all(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool good = fwrite(data, 1, size, file) == size;
    return fclose(file) == 0 && good;
}

/* Runs it with standard error in `log`; true if it ended well. */
static bool
run(char *const *command, const char *log)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t child;
    int failed = posix_spawnp(&child, command[0], &actions, NULL, command, environ), status = 1;
    posix_spawn_file_actions_destroy(&actions);
    if (failed)
        return false;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What the text is compiled with; every access is reported where the compiler can do that, and some compilers
 * cannot tell volatile ones. */
static const char *const flags[] = {
    "-std=gnu11",
    "-w",
    "-fPIC",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fno-math-errno",
    "-fvisibility=default",
#if defined(__x86_64__)
    "-march=native", /* fma as an instruction */
#endif
};
static const char *const ways[][4] = {
    {"-fsanitize=thread", "--param", "tsan-distinguish-volatile=1", NULL},
    {"-fsanitize=thread", "-mllvm", "-tsan-distinguish-volatile=1", NULL},
    {NULL},
};
enum { FLAGS = sizeof flags / sizeof flags[0], WAYS = sizeof ways / sizeof ways[0] };

static bool
compile(const FakeOptions *options, const char *folder, int architecture, const char *log)
{
    char include[1100], define[64], optimize[8], source[256], object[256], module[256];
    snprintf(include, sizeof include, "-I%s", options->shim);
    snprintf(define, sizeof define, "-DRXN_SHIM_ARCHITECTURE=%d", architecture);
    snprintf(optimize, sizeof optimize, "-O%d", options->optimize);
    snprintf(source, sizeof source, "%s/kernel.c", folder);
    snprintf(object, sizeof object, "%s/kernel.o", folder);
    snprintf(module, sizeof module, "%s/kernel.so", folder);
    const char *cc = getenv("CC") ? getenv("CC") : "cc";
    bool good = false;
    for (int w = 0; w < WAYS && !good; w++) {
        const char *command[FLAGS + 16] = {cc, include, define, optimize};
        size_t n = 4;
        for (int i = 0; i < FLAGS; i++)
            command[n++] = flags[i];
        for (int i = 0; ways[w][i]; i++)
            command[n++] = ways[w][i];
        command[n++] = "-c";
        command[n++] = source;
        command[n++] = "-o";
        command[n++] = object;
        good = run((char *const *)command, log);
    }
    const char *link[] = {cc, "-shared", object, "-o", module, "-lm", NULL};
    return good && run((char *const *)link, log);
}

static uint64_t
hash(uint64_t h, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001B3u;
    return h;
}

static void
keep_source(const char *folder, const char *source)
{
    char path[1100];
    for (int i = 0; i < 100000; i++) {
        snprintf(path, sizeof path, "%s/%05d.cu", folder, i);
        int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (file < 0 && errno == EEXIST)
            continue;
        size_t size = strlen(source);
        if (file < 0 || write(file, source, size) != (ssize_t)size)
            refuse("keep");
        close(file);
        return;
    }
}

bool
rxn_fake_compile(const FakeOptions *options, const char *source, int architecture, void **ret_code,
                 size_t *ret_size, char **ret_log)
{
    *ret_code = NULL;
    *ret_size = 0;
    *ret_log = strdup("");
    if (options->keep[0])
        keep_source(options->keep, source);
    if (options->slow > 0) {
        struct timespec wait = {(time_t)options->slow,
                                (long)(1e9 * (options->slow - (double)(time_t)options->slow))};
        nanosleep(&wait, NULL);
    }
    if (options->fail_compile) {
        free(*ret_log);
        *ret_log = strdup("kernel.cu(1): error: this compiler compiles nothing\n");
        return false;
    }
    char *unit = unit_of(source), cached[1200] = "", shim[1200];
    size_t ignored;
    if (options->cache[0]) {
        uint64_t h = hash(0xCBF29CE484222325u, unit, strlen(unit));
        const char *const files[] = {"shim.h", "shim_abi.h"};
        for (int i = 0; i < 2; i++) {
            snprintf(shim, sizeof shim, "%s/%s", options->shim, files[i]);
            char *text = read_all(shim, &ignored);
            h = hash(h, text ? text : "", text ? ignored : 0);
            free(text);
        }
        h = hash(h, &architecture, sizeof architecture);
        h = hash(h, &options->optimize, sizeof options->optimize);
        for (int i = 0; i < FLAGS; i++)
            h = hash(h, flags[i], strlen(flags[i]));
        snprintf(cached, sizeof cached, "%s/%016llx.so", options->cache, (unsigned long long)h);
        *ret_code = read_all(cached, ret_size);
        if (*ret_code) {
            free(unit);
            return true;
        }
    }
    const char *place = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char folder[128], path[200], log[200];
    snprintf(folder, sizeof folder, "%.90s/rxn-fake-XXXXXX", place);
    bool good = mkdtemp(folder) != NULL;
    snprintf(path, sizeof path, "%s/kernel.c", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    good = good && write_all(path, unit, strlen(unit));
    good = good && compile(options, folder, architecture, log);
    free(*ret_log);
    *ret_log = read_all(log, &ignored);
    if (!*ret_log)
        *ret_log = strdup("there is no C compiler\n");
    snprintf(path, sizeof path, "%s/kernel.so", folder);
    if (good)
        *ret_code = read_all(path, ret_size);
    if (*ret_code && cached[0]) {
        char fresh[1300];
        snprintf(fresh, sizeof fresh, "%s.%d", cached, (int)getpid());
        mkdir(options->cache, 0700);
        if (!write_all(fresh, *ret_code, *ret_size) || rename(fresh, cached) != 0)
            remove(fresh);
    }
    static const char *const made[] = {"kernel.c", "kernel.o", "kernel.so", "log"};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, made[i]);
        remove(path);
    }
    rmdir(folder);
    free(unit);
    return *ret_code != NULL;
}
