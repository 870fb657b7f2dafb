/* cmd_manual.c: `rxn manual`: the manual page rxn(1) in mdoc, of the very texts that --help prints. */
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/command.h"

typedef struct ManualOptions {
    bool ignored;
} ManualOptions;

const OptionTable rxn__usage_manual = {
    .command = "rxn manual",
    .synopsis = "rxn manual",
    .summary = "Prints the manual page of rxn, in mdoc: rxn manual | man -l -",
    .takes_many = true,
    .operands_offset = 0,
    .operand = "nothing",
};

/* Text of mdoc: what would be a request or an escape is not. */
static void
print_text(const char *text, size_t length)
{
    bool begins = true;
    for (size_t k = 0; k < length; k++) {
        if (begins && (text[k] == '.' || text[k] == '\''))
            fputs("\\&", stdout);
        begins = text[k] == '\n';
        if (text[k] == '\\')
            fputs("\\e", stdout);
        else if (text[k] == '-')
            fputs("\\-", stdout);
        else
            putchar(text[k]);
    }
}

/* Arguments of a macro: words with a meaning for it are quoted by nothing that changes the text. */
static void
print_words(const char *text)
{
    putchar('"');
    for (; *text; text++)
        if (*text == '"')
            fputs("\"\"", stdout);
        else
            print_text(text, 1);
    putchar('"');
}

/* Words that flow: each sentence begins a line, and no line is longer than 80 bytes, as mandoc likes it. *column: bytes of the
 * line so far. */
static void
print_flow(const char *text, size_t length, size_t *column)
{
    enum { WIDTH = 72 };
    for (size_t at = 0; at < length;) {
        size_t word = at;
        while (word < length && text[word] == ' ')
            word++;
        size_t end = word;
        while (end < length && text[end] != ' ')
            end++;
        if (end == word)
            break;
        if (*column > 0 && *column + 2 * (end - word) > WIDTH) {
            putchar('\n');
            *column = 0;
        }
        if (*column > 0)
            putchar(' ');
        print_text(text + word, end - word);
        *column += 1 + 2 * (end - word); /* what is escaped is longer */
        if (strchr(".!?", text[end - 1])) {
            putchar('\n');
            *column = 0;
        }
        at = end;
    }
}

static void
end_flow(size_t *column)
{
    if (*column > 0)
        putchar('\n');
    *column = 0;
}

/* Paragraphs, and, where lines begin with two blanks, examples as they stand. */
static void
print_paragraphs(const char *text)
{
    bool in_example = false, is_due = false; /* a paragraph's beginning */
    size_t column = 0;
    while (*text) {
        size_t length = strcspn(text, "\n");
        bool is_example = text[0] == ' ' && text[1] == ' ';
        bool is_blank = length == 0;
        if (is_example != in_example) {
            end_flow(&column);
            puts(is_example ? ".Bd -literal" : ".Ed");
        }
        in_example = is_example;
        if (is_blank) {
            end_flow(&column);
            is_due = true;
        } else if (is_example) {
            is_due = false;
            print_text(text, length);
            putchar('\n');
        } else {
            if (is_due)
                puts(".Pp");
            is_due = false;
            print_flow(text, length, &column);
        }
        text += length + (text[length] == '\n');
    }
    end_flow(&column);
    if (in_example)
        puts(".Ed");
}

static void
print_options(const OptionTable *table)
{
    const Option *option;
    bool any = false;
    for (uint32_t k = 0; (option = rxn__option_at(table, k)); k++) {
        char head[128];
        if (!option->help)
            continue;
        if (!any)
            puts(".Bl -tag -width Ds");
        any = true;
        snprintf(head, sizeof head, "%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        fputs(".It Sy ", stdout);
        print_words(head);
        putchar('\n');
        size_t column = 0;
        print_flow(option->help, strlen(option->help), &column);
        end_flow(&column);
    }
    if (any)
        puts(".El");
}

static RxnStatus
print_more(const OptionTable *table)
{
    char *text = NULL;
    size_t length = 0;
    FILE *file = table->more ? open_memstream(&text, &length) : NULL;
    if (!table->more)
        return RXN_OK;
    if (!file)
        return RXN_ERROR_MEMORY;
    table->more(file);
    if (fclose(file) != 0 || !text) {
        free(text);
        return RXN_ERROR_MEMORY;
    }
    puts(".Pp");
    print_paragraphs(text);
    free(text);
    return RXN_OK;
}

static RxnStatus
print_command(const CommandRow *row)
{
    const OptionTable *table = row->table;
    printf(".Ss %s\n.Bd -literal\n", table->command);
    print_text(table->synopsis, strlen(table->synopsis));
    puts("\n.Ed\n.Pp");
    print_paragraphs(table->summary);
    if (table->about_operand) {
        puts(".Pp");
        print_paragraphs(table->about_operand);
    }
    print_options(table);
    if (table->remarks) {
        if (strncmp(table->remarks, "  ", 2) != 0)
            puts(".Pp");
        print_paragraphs(table->remarks);
    }
    return print_more(table);
}

RxnStatus
rxn__cmd_manual(Driver *driver, int argc, char **argv)
{
    const Program *program = rxn__driver_program(driver);
    TextList operands = {0};
    const char *operand;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_manual, argc, argv, &operands, &operand, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_manual, stdout);
        return RXN_OK;
    }
    if (operands.count > 0) {
        rxn__driver_error(driver, "rxn manual takes nothing");
        return RXN_ERROR_USAGE;
    }
    puts(".Dd $Mdocdate$\n"
         ".Dt RXN 1\n"
         ".Os\n"
         ".Sh NAME\n"
         ".Nm rxn\n"
         ".Nd exact simulation of stochastic reaction networks\n"
         ".Sh SYNOPSIS\n"
         ".Nm\n"
         ".Ar command\n"
         ".Op Ar option ...\n"
         ".Op Ar model\n"
         ".Sh DESCRIPTION");
    printf(".Nm\n"
           "compiles models of chemical reaction networks and\n"
           "simulates, differentiates and fits them.\n"
           "What a model may say is in the documentation that comes with it.\n"
           ".Sh COMMANDS\n");
    for (uint32_t k = 0; k < program->command_count; k++) {
        RxnStatus status = print_command(&program->commands[k]);
        if (status != RXN_OK)
            return status;
    }
    puts(".Sh EXIT STATUS\n"
         ".Bl -tag -width Ds\n"
         ".It 0\n"
         "done\n"
         ".It 1\n"
         "the model, the data or the run is at fault, or was interrupted;\n"
         "a message says where\n"
         ".It 2\n"
         "the command line is\n"
         ".It 3\n"
         "a bug in rxn\n"
         ".El\n"
         ".Sh SEE ALSO\n"
         "rxn(3)");
    return RXN_OK;
}
