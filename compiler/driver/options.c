/* options.c: the command line, by tables. `--flag value` and `--flag=value` are the same; options may
 * stand before or behind the operand; `--` ends them; a lone `-` is an operand.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/command.h"

static bool
parse_count(const char *text, u64 *ret_value)
{
    char *end;
    if (strspn(text, "0123456789") == strlen(text) && *text) {
        errno = 0;
        *ret_value = strtoull(text, &end, 10);
        return errno == 0;
    }
    double value;
    if (!rxn__parse_number(text, &value) || !(value >= 0 && value <= 0x1p53) ||
        value != floor(value))
        return false;
    *ret_value = (u64)value;
    return true;
}

static bool
append_numbers(Arena *arena, NumberList *list, const char *text)
{
    for (;;) {
        size_t length = strcspn(text, ",");
        char *item = rxn__arena_copy_text(arena, text, length);
        char *trimmed = item + strspn(item, " ");
        double value;
        if (!rxn__parse_number(trimmed, &value))
            return false;
        vec_push(arena, list, value);
        if (!text[length])
            return true;
        text += length + 1;
    }
}

static const char *
shown(Driver *driver, const char *text)
{
    return rxn__driver_shown(driver, text);
}

const Option *
rxn__option_at(const OptionTable *table, u32 k)
{
    if (k < table->option_count)
        return &table->options[k];
    k -= table->option_count;
    return k < table->shared_count ? &table->shared[k] : NULL;
}

/* Where in the values its value is. */
static void *
place_of(const OptionTable *table, const Option *option, void *values)
{
    bool own = false;
    for (u32 k = 0; k < table->option_count; k++)
        own = own || option == &table->options[k];
    return (char *)values + option->offset + (own ? 0 : table->shared_offset);
}

static const Option *
find_option(const OptionTable *table, const char *name, size_t length)
{
    const Option *option;
    for (u32 k = 0; (option = rxn__option_at(table, k)); k++)
        if (strlen(option->name) == length && strncmp(option->name, name, length) == 0)
            return option;
    return NULL;
}

/* Returns the option that was meant, or NULL. */
static const Option *
report_unknown(Driver *driver, const OptionTable *table, const char *name)
{
    const char *names[64];
    u32 count = 0;
    const Option *option;
    for (u32 k = 0; (option = rxn__option_at(table, k)) && count < COUNT_OF(names); k++)
        if (option->help)
            names[count++] = option->name;
    rxn__driver_error(driver, "unknown option '%s'", shown(driver, name));
    const char *nearest = strlen(name) > 2 ? rxn__nearest(name, count, names) : NULL;
    if (nearest)
        rxn__driver_note(driver, "did you mean '%s'?", nearest);
    else
        rxn__driver_note(driver, "'%s %s --help' lists the options",
                         rxn__driver_program(driver)->name, strchr(table->command, ' ') + 1);
    return nearest ? find_option(table, nearest, strlen(nearest)) : NULL;
}

static bool
store(Driver *driver, const Option *option, const char *text, void *place)
{
    Arena *arena = rxn__driver_arena(driver);
    const char *wanted = NULL;
    switch (option->kind) {
    case OPTION_FLAG: *(bool *)place = true; break;
    case OPTION_TEXT: *(const char **)place = text; break;
    case OPTION_TEXTS: vec_push(arena, (TextList *)place, text); break;
    case OPTION_COUNT: {
        bool free_value = *(u64 *)place == UINT64_MAX; /* which stands for: not given */
        u64 value;
        if (!parse_count(text, &value))
            wanted = "a whole number";
        else if (free_value && value == UINT64_MAX)
            wanted = "a whole number below 2^64 - 1";
        else
            *(u64 *)place = value;
        break;
    }
    case OPTION_NUMBER:
        if (!rxn__parse_number(text, place))
            wanted = "a number";
        break;
    case OPTION_NUMBERS:
        if (!append_numbers(arena, place, text))
            wanted = "numbers with commas between";
        break;
    }
    if (wanted)
        rxn__driver_error(driver, "%s takes %s, not '%s'", option->name, wanted,
                          shown(driver, text));
    return wanted == NULL;
}

/* One option at argv[at]; returns how many arguments it took, 0 on a mistake that was reported. */
static int
parse_option(Driver *driver, const OptionTable *table, int argc, char **argv, int at, void *values,
             bool *good)
{
    const char *argument = argv[at];
    const char *equals = strchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    const Option *option = find_option(table, argument, length);
    if (!option) {
        option = report_unknown(driver, table,
                                rxn__arena_copy_text(rxn__driver_arena(driver), argument, length));
        *good = false;
        /* What follows is a value, not an operand: no error of its own. */
        bool value_follows = option && option->kind != OPTION_FLAG && !equals && at + 1 < argc &&
                             argv[at + 1][0] != '-';
        return value_follows ? 2 : 1;
    }
    if (option->kind == OPTION_FLAG) {
        if (equals) {
            rxn__driver_error(driver, "%s takes no value", option->name);
            *good = false;
        } else {
            store(driver, option, NULL, place_of(table, option, values));
        }
        return 1;
    }
    const char *text = equals ? equals + 1 : at + 1 < argc ? argv[at + 1] : NULL;
    if (!text) {
        rxn__driver_error(driver, "%s needs a value: %s %s", option->name, option->name,
                          option->value);
        *good = false;
        return 1;
    }
    if (!store(driver, option, text, place_of(table, option, values)))
        *good = false;
    return equals ? 1 : 2;
}

static bool
has_own_model(const Driver *driver)
{
    return rxn__driver_program(driver)->built != NULL;
}

bool
rxn__options_parse(Driver *driver, const OptionTable *table, int argc, char **argv, void *values,
                   const char **ret_operand, bool *ret_help)
{
    bool good = true, options_end = false;
    *ret_operand = NULL;
    *ret_help = false;
    for (int at = 0; at < argc; at++)
        if (strcmp(argv[at], "--") == 0)
            break;
        else if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0)
            return *ret_help = true;
    for (int at = 0; at < argc;) {
        const char *argument = argv[at];
        if (!options_end && strcmp(argument, "--") == 0) {
            options_end = true;
            at++;
        } else if (!options_end && argument[0] == '-' && argument[1] != '\0') {
            at += parse_option(driver, table, argc, argv, at, values, &good);
        } else {
            if (table->takes_many) {
                TextList *operands = (TextList *)((char *)values + table->operands_offset);
                vec_push(rxn__driver_arena(driver), operands, argument);
            } else if (*ret_operand || has_own_model(driver)) {
                rxn__driver_error(driver, "'%s' is one %s too many", shown(driver, argument),
                                  table->operand);
                good = false;
            }
            *ret_operand = argument;
            at++;
        }
    }
    if (good && !*ret_operand && !table->takes_many && !has_own_model(driver)) {
        rxn__driver_error(driver, "no %s is given", table->operand);
        rxn__driver_note(driver, "usage: %s", table->synopsis);
        good = false;
    }
    return good;
}

/* Behind "rxn MODEL" there is nothing to say of a model that the program has in itself. */
static void
print_usage(const Driver *driver, const OptionTable *table, FILE *file)
{
    if (has_own_model(driver))
        fprintf(file, "usage: %s %s [OPTION…]\n\n%s\n\n", rxn__driver_program(driver)->name,
                strchr(table->command, ' ') + 1, table->summary);
    else
        fprintf(file, "usage: %s\n\n%s\n%s%s\n", table->synopsis, table->summary,
                table->about_operand ? table->about_operand : "", table->about_operand ? "\n" : "");
}

void
rxn__options_help(const Driver *driver, const OptionTable *table, FILE *file)
{
    print_usage(driver, table, file);
    const Option *option;
    for (u32 k = 0; (option = rxn__option_at(table, k)); k++) {
        if (k == table->option_count)
            fputc('\n', file);
        if (!option->help)
            continue;
        char head[64];
        snprintf(head, sizeof head, "%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        fprintf(file, "  %-22s %s\n", head, option->help);
    }
    if (table->remarks)
        fprintf(file, "\n%s\n", table->remarks);
    if (table->more) {
        fputc('\n', file);
        table->more(file);
    }
}

/* ---- what all commands that run an ensemble take ---------------------------------------------- */

EnsembleFlags
rxn__ensemble_flags(void)
{
    const RxnRunOptions run = rxn_run_options();
    return (EnsembleFlags){.trajectories = UINT64_MAX, /* not given */
                           .seed = run.seed,
                           .step_limit = run.step_limit,
                           .precision = rxn_simulator_options().precision};
}

#define AT(field) offsetof(EnsembleFlags, field)
const Option rxn__ensemble_options[ENSEMBLE_OPTION_COUNT] = {
    {"-n", "N", OPTION_COUNT, AT(trajectories), "trajectories (default 1000)"},
    {"--seed", "S", OPTION_COUNT, AT(seed), "which random numbers (default 1)"},
    {"--set", "NAME=VALUE", OPTION_TEXTS, AT(sets),
     "value of a param or input; also NAME[3]=VALUE"},
    {"--input", "FILE.csv", OPTION_TEXT, AT(input), "values of inputs and params"},
    {"--params", "FILE.json", OPTION_TEXT, AT(params),
     "values of params as 'rxn fit -o' wrote them"},
    {"--device", "NAME", OPTION_TEXT, AT(device), "auto (default), cpu, cuda, cuda:0,1, cuda:all"},
    {"--threads", "K", OPTION_COUNT, AT(threads), "threads (default: one per processor)"},
    {"--precision", "P", OPTION_TEXT, AT(precision), "f64 (default), f32: of the trajectories"},
    {"--step-limit", "N", OPTION_COUNT, AT(step_limit),
     "most steps of a trajectory (default 2^47)"},
    {"--cache", "DIR", OPTION_TEXT, AT(cache),
     "keep compiled kernels there for the next time (default $RXN_CACHE); 'none': no GPU's either"},
    {"--quiet", NULL, OPTION_FLAG, AT(quiet), "no table, no progress bar"},
    {"--lanes", "W", OPTION_COUNT, AT(lanes), NULL},
};
#undef AT

static bool
is_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

bool
rxn__takes_stdout(const EnsembleFlags *options)
{
    return is_stdout(options->csv) || is_stdout(options->json);
}
