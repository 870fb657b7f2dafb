/* cmd_completion.c: `rxn completion SHELL`: what makes bash, zsh or fish complete command lines: commands, options, and the
 * values of options. All of it is made of the tables that the commands read their options by.
 */
#include <string.h>

#include "compiler/driver/command.h"

typedef struct CompletionOptions {
    bool ignored;
} CompletionOptions;

const OptionTable rxn__usage_completion = {
    .command = "rxn completion",
    .synopsis = "rxn completion SHELL",
    .summary = "Prints what makes the SHELL (bash, zsh or fish) complete command lines of rxn.",
    .remarks = "  source <(rxn completion bash)              in ~/.bashrc\n"
               "  source <(rxn completion zsh)               in ~/.zshrc, behind compinit\n"
               "  rxn completion fish | source               in ~/.config/fish/config.fish\n"
               "\n"
               "A packaged rxn has them where shells look by themselves.",
    .operand = "SHELL",
};

/* ---- values of options ------------------------------------------------------------------------- */

/* Some words, then the names that the library lists, `first` before the others. */
static const char *
names_of(const char *words, bool (*list)(size_t k, const char **ret_name, const char **ret_summary),
         const char *first, Arena *arena)
{
    const char *name, *summary;
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "%s %s", words, first);
    for (size_t k = 0; list(k, &name, &summary); k++)
        if (strcmp(name, first) != 0)
            rxn__text_printf(&text, " %s", name);
    return text.data;
}

/* Words that the option's value may be, with blanks between; "" for files, NULL for nothing that could be told. */
static const char *
values_of(const Option *option, Arena *arena)
{
    static const struct {
        const char *option, *values;
    } known[] = {
        {"--device", "auto cpu cuda cuda:all"},
        {"--precision", "f64 f32"},
        {"--optimizer", "gauss_newton adam adamw sgd lbfgs"},
        {"--emit", "exe lib obj header network kir llvm asm cuda ptx cubin"},
    };
    if (strcmp(option->name, "--method") == 0)
        return names_of("auto", rxn_method, "cme", arena);
    if (strcmp(option->name, "--estimator") == 0)
        return names_of("auto all", rxn_estimator, "exact", arena);
    for (u32 k = 0; k < COUNT_OF(known); k++)
        if (strcmp(option->name, known[k].option) == 0)
            return known[k].values;
    bool is_file = option->value && (strncmp(option->value, "FILE", 4) == 0 ||
                                     strncmp(option->value, "DIR", 3) == 0 ||
                                     strncmp(option->value, "MODEL", 5) == 0);
    return is_file ? "" : NULL;
}

/* Those that the command has and shows, with blanks between. */
static const char *
options_of(const OptionTable *table, Arena *arena)
{
    Text text;
    const Option *option;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "--help");
    for (u32 k = 0; (option = rxn__option_at(table, k)); k++)
        if (option->help)
            rxn__text_printf(&text, " %s", option->name);
    return text.data;
}

static const char *
commands_of(const Program *program, Arena *arena)
{
    Text text;
    rxn__text_init(&text, arena);
    for (u32 k = 0; k < program->command_count; k++)
        rxn__text_printf(&text, "%s%s", k ? " " : "", program->commands[k].name);
    return text.data;
}

static bool
takes_files(const CommandRow *row)
{
    return row->table->operand && strcmp(row->table->operand, "SHELL") != 0;
}

/* ---- shells ------------------------------------------------------------------------------------ */

/* bash and zsh, which has bash's way too. */
static void
print_bash(const Program *program, Arena *arena)
{
    printf("_rxn()\n{\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words= "
           "files=1\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W \"%s --help --version\" -- \"$word\"))\n"
           "        return\n"
           "    fi\n"
           "    case ${COMP_WORDS[1]}:$before in\n",
           commands_of(program, arena));
    for (u32 c = 0; c < program->command_count; c++) {
        const CommandRow *row = &program->commands[c];
        const Option *option;
        for (u32 k = 0; (option = rxn__option_at(row->table, k)); k++) {
            const char *values = values_of(option, arena);
            if (!option->help || option->kind == OPTION_FLAG)
                continue;
            if (values && !*values)
                printf("        %s:%s) ;;\n", row->name, option->name);
            else
                printf("        %s:%s) words=\"%s\" files= ;;\n", row->name, option->name,
                       values ? values : "");
        }
        printf("        %s:*)\n"
               "            case $word in\n"
               "                -*) words=\"%s\" files= ;;\n"
               "                *) %s ;;\n"
               "            esac ;;\n",
               row->name, options_of(row->table, arena),
               takes_files(row) ? "files=1" : "words=\"bash zsh fish\" files=");
    }
    printf("        *) return ;;\n"
           "    esac\n"
           "    if [ -n \"$files\" ]; then\n"
           "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
           "        compopt -o filenames 2>/dev/null\n"
           "    else\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "    fi\n"
           "}\n"
           "complete -F _rxn rxn\n");
}

/* A text in single quotes, as zsh and fish have them; in zsh's specifications brackets and colons have a meaning. */
static void
print_quoted(const char *text, bool for_zsh)
{
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'')
            fputs(for_zsh ? "'\\''" : "\\'", stdout);
        else if (*text == '\\' || (for_zsh && strchr("[]:", *text)))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
    putchar('\'');
}

static void
print_zsh(const Program *program, Arena *arena)
{
    printf("#compdef rxn\n"
           "_rxn()\n{\n"
           "    local -a commands=(\n");
    for (u32 c = 0; c < program->command_count; c++) {
        Text text;
        rxn__text_init(&text, arena);
        rxn__text_printf(&text, "%s", program->commands[c].name);
        printf("        %s:", text.data);
        print_quoted(program->commands[c].summary, true);
        putchar('\n');
    }
    printf("    )\n"
           "    if (( CURRENT == 2 )); then\n"
           "        _describe command commands\n"
           "        return\n"
           "    fi\n"
           "    local name=$words[2]\n"
           "    shift words\n"
           "    (( CURRENT-- ))\n"
           "    case $name in\n");
    for (u32 c = 0; c < program->command_count; c++) {
        const CommandRow *row = &program->commands[c];
        const Option *option;
        printf("        %s)\n            _arguments", row->name);
        for (u32 k = 0; (option = rxn__option_at(row->table, k)); k++) {
            const char *values = values_of(option, arena);
            if (!option->help)
                continue;
            printf(" \\\n                '%s%s['", option->kind == OPTION_TEXTS ? "*" : "",
                   option->name);
            print_quoted(option->help, true);
            printf("']");
            if (option->kind != OPTION_FLAG)
                printf(":%s:%s%s%s", option->kind == OPTION_TEXTS ? "value" : "value",
                       values && *values ? "(" : "",
                       !values   ? ""
                       : *values ? values
                                 : "_files",
                       values && *values ? ")" : "");
            putchar('\'');
        }
        printf(" \\\n                '*:%s:%s' ;;\n",
               row->table->operand ? row->table->operand : "",
               takes_files(row) ? "_files" : "(bash zsh fish)");
    }
    printf("    esac\n"
           "}\n"
           "if [ \"$funcstack[1]\" = _rxn ]; then _rxn \"$@\"; else compdef _rxn rxn; fi\n");
}

static void
print_fish(const Program *program, Arena *arena)
{
    printf("complete -c rxn -e\n"
           "complete -c rxn -n __fish_use_subcommand -f\n");
    for (u32 c = 0; c < program->command_count; c++) {
        const CommandRow *row = &program->commands[c];
        const Option *option;
        printf("complete -c rxn -n __fish_use_subcommand -a %s -d ", row->name);
        print_quoted(row->summary, false);
        putchar('\n');
        if (!takes_files(row))
            printf("complete -c rxn -n '__fish_seen_subcommand_from %s' -f -a 'bash zsh fish'\n",
                   row->name);
        for (u32 k = 0; (option = rxn__option_at(row->table, k)); k++) {
            const char *values = values_of(option, arena);
            bool is_long = option->name[1] == '-';
            if (!option->help)
                continue;
            printf("complete -c rxn -n '__fish_seen_subcommand_from %s' -%c %s", row->name,
                   is_long ? 'l' : 's', option->name + (is_long ? 2 : 1));
            if (option->kind != OPTION_FLAG && values && *values)
                printf(" -x -a '%s'", values);
            else if (option->kind != OPTION_FLAG)
                printf(values ? " -r -F" : " -x");
            printf(" -d ");
            print_quoted(option->help, false);
            putchar('\n');
        }
    }
}

RxnStatus
rxn__cmd_completion(Driver *driver, int argc, char **argv)
{
    CompletionOptions options = {0};
    const char *shell;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_completion, argc, argv, &options, &shell, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_completion, stdout);
        return RXN_OK;
    }
    Arena *arena = rxn__driver_arena(driver);
    const Program *program = rxn__driver_program(driver);
    if (strcmp(shell, "bash") == 0)
        print_bash(program, arena);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(program, arena);
    else if (strcmp(shell, "fish") == 0)
        print_fish(program, arena);
    else {
        rxn__driver_error(driver, "there is no completion for the shell '%s'",
                          rxn__driver_shown(driver, shell));
        rxn__driver_note(driver, "shells: bash, zsh, fish");
        return RXN_ERROR_USAGE;
    }
    return RXN_OK;
}
