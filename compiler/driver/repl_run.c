/* repl_run.c: `:run` and `:plot`: an ensemble of the model, as a table and as a picture. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/repl.h"

enum { SHORT_TABLE = 11, PLOT_ROWS = 22, LEAST_PLOT_COLUMNS = 40 };

/* ---- Request ------------------------------------------------------------------------------------- */

static bool
read_times(Repl *repl, const char *word, ReplRequest *request)
{
    VEC(double) times = {0};
    for (const char *at = word; at && *at;) {
        const size_t length = strcspn(at, ",");
        double time;
        if (!rxn__repl_number(repl, "at", rxn__arena_copy_text(&repl->scratch, at, length), &time))
            return false;
        vec_push(&repl->scratch, &times, time);
        at += length + (at[length] == ',');
    }
    if (times.count == 0)
        return rxn__repl_number(repl, "at", NULL, &(double){0});
    request->at = times.items;
    request->at_count = times.count;
    return true;
}

static bool
unknown_option(Repl *repl, const char *word)
{
    static const char *const words[] = {"until", "every", "at", "seed", "threads", "method"};
    rxn__repl_error(repl, "':run' does not know '%s'",
                    rxn__shown(&repl->scratch, word, strlen(word)));
    const char *near = rxn__nearest(word, COUNT_OF(words), words);
    if (near)
        rxn__repl_note(repl, "did you mean '%s'?", near);
    else
        rxn__repl_note(repl, "e.g. ':run 1000 until 50 every 5 seed 2'");
    return false;
}

static bool
read_request(Repl *repl, u32 count, const char *const *words, ReplRequest *request)
{
    *request = (ReplRequest){
        .trajectories = 1000, .seed = 1, .until = NAN, .every = NAN, .method = "auto"};
    for (u32 k = 0; k < count; k++) {
        const char *word = words[k], *value = k + 1 < count ? words[k + 1] : NULL;
        bool good = true;
        if (k == 0 && *word >= '0' && *word <= '9') {
            if (!rxn__repl_count(repl, "the number of trajectories", word, &request->trajectories))
                return false;
            continue;
        }
        k++;
        if (strcmp(word, "until") == 0)
            good = rxn__repl_number(repl, word, value, &request->until);
        else if (strcmp(word, "every") == 0)
            good = rxn__repl_number(repl, word, value, &request->every);
        else if (strcmp(word, "at") == 0)
            good = read_times(repl, value, request);
        else if (strcmp(word, "seed") == 0)
            good = rxn__repl_count(repl, word, value, &request->seed);
        else if (strcmp(word, "threads") == 0)
            good = rxn__repl_count(repl, word, value, &request->threads);
        else if (strcmp(word, "method") == 0 && value)
            request->method = value;
        else
            return unknown_option(repl, word);
        if (!good)
            return false;
    }
    if (request->trajectories == 0) {
        rxn__repl_error(repl, "the number of trajectories is 0");
        return false;
    }
    return true;
}

/* ---- Run ------------------------------------------------------------------------------------------- */

/* The request and the names of the columns stay for `:plot`. */
static void
keep_run(Repl *repl, const ReplRequest *request)
{
    const ReplRequest wanted = *request;
    Arena fresh;
    rxn__arena_init(&fresh, &repl->memory);
    repl->next_run_arena = fresh;
    Arena *next = &repl->next_run_arena;
    double *at = NEW_ARRAY(next, double, wanted.at_count + 1);
    if (wanted.at_count)
        memcpy(at, wanted.at, wanted.at_count * sizeof *at);
    char *method = rxn__arena_copy_text(next, wanted.method, strlen(wanted.method));
    const char **labels = NEW_ARRAY(next, const char *, repl->run.columns + 1);
    for (size_t k = 0; k < repl->run.columns; k++) {
        const char *label = rxn_model_label(repl->compiled, RXN_OBSERVABLES, k);
        labels[k] = rxn__arena_copy_text(next, label ? label : "?", strlen(label ? label : "?"));
    }
    rxn__arena_release(&repl->run_arena);
    repl->run_arena = repl->next_run_arena;
    repl->next_run_arena = fresh;
    repl->request = wanted;
    repl->request.at = at;
    repl->request.method = method;
    repl->run_labels = labels;
}

static bool
run(Repl *repl, const ReplRequest *request)
{
    RxnSimulatorOptions kernel = rxn_simulator_options();
    RxnRunOptions options = rxn_run_options();
    RxnProgress progress;
    RxnError *error = NULL;
    kernel.method = request->method;
    kernel.device = repl->device;
    kernel.cache = repl->cache;
    if (!rxn__repl_need_values(repl, request->seed) || !rxn__repl_need_simulator(repl, &kernel))
        return false;
    options.trajectories = request->trajectories;
    options.seed = request->seed;
    options.threads = (uint32_t)(request->threads > 4096 ? 4096 : request->threads);
    options.until = request->until;
    options.every = request->every;
    options.at = request->at;
    options.at_count = request->at_count;
    options.cancel = repl->interrupted;
    rxn__progress_begin(&progress, repl->terminal ? stderr : NULL);
    progress.counted = "trajectories";
    options.progress = rxn__progress_show;
    options.progress_context = &progress;
    if (repl->has_run)
        rxn_run_release(&repl->run);
    repl->has_run = repl->run_is_current = false;
    const RxnStatus status = rxn_run(repl->simulator, repl->values, &options, &repl->run, &error);
    rxn__progress_end(&progress);
    repl->has_run = status == RXN_OK || status == RXN_CANCELLED;
    if (status == RXN_CANCELLED)
        rxn_error_free(error);
    else if (status != RXN_OK) {
        rxn__repl_show_error(repl, repl->compiled_list, error);
        return false;
    }
    repl->times.run = repl->run.seconds;
    repl->times.ran = true;
    repl->run_info = rxn_simulator_info(repl->simulator);
    keep_run(repl, request);
    repl->run_is_current = repl->run.trajectories > 0 || repl->run.exact;
    if (status == RXN_CANCELLED) {
        char wanted[32], done[32];
        rxn__format_grouped(wanted, sizeof wanted, request->trajectories);
        rxn__format_grouped(done, sizeof done, repl->run.trajectories);
        rxn__repl_stopped(repl, "stopped after %s of %s trajectories", done, wanted);
    }
    return true;
}

/* ---- Report ---------------------------------------------------------------------------------------- */

typedef VEC(u32) Columns;

/* The run as the runtime's tables and plots take it, in the scratch arena: these columns of it. */
static RxnReport
report_of(Repl *repl, const Columns *columns)
{
    const RxnRun *run = &repl->run;
    Arena *arena = &repl->scratch;
    RxnRun *part = NEW(arena, RxnRun);
    double *mean = NEW_ARRAY(arena, double, run->time_count * columns->count + 1);
    double *sd = NEW_ARRAY(arena, double, run->time_count * columns->count + 1);
    const char **labels = NEW_ARRAY(arena, const char *, columns->count + 1);
    for (size_t k = 0; k < run->time_count; k++)
        for (u32 c = 0; c < columns->count; c++) {
            const size_t from = k * run->columns + columns->items[c];
            mean[k * columns->count + c] = run->mean[from];
            sd[k * columns->count + c] = run->sd[from];
        }
    for (u32 c = 0; c < columns->count; c++)
        labels[c] = repl->run_labels[columns->items[c]];
    *part = *run;
    part->columns = columns->count;
    part->mean = mean;
    part->sd = sd;
    part->se = NULL;
    return (RxnReport){
        .model = rxn_model_name(repl->compiled),
        .labels = labels,
        .columns = columns->count,
        .sample_count = (uint32_t)run->time_count,
        .times = run->times,
        .method = repl->run_info.method,
        .device = repl->run_info.device,
        .isa = repl->run_info.isa,
        .precision = repl->run_info.precision,
        .lanes = repl->run_info.lanes,
        .seed = repl->request.seed,
        .run = part,
    };
}

static Columns
all_columns(Repl *repl)
{
    Columns columns = {0};
    for (u32 k = 0; k < repl->run.columns; k++)
        vec_push(&repl->scratch, &columns, k);
    return columns;
}

static void
show_run(Repl *repl)
{
    const Columns columns = all_columns(repl);
    const RxnReport report = report_of(repl, &columns);
    char trajectories[32], events[32], seconds[40];
    if (repl->run.trajectories == 0 && !repl->run.exact)
        return;
    rxn__table_short(stdout, &report, SHORT_TABLE, rxn__input_width());
    rxn__format_grouped(trajectories, sizeof trajectories, repl->run.trajectories);
    rxn__format_grouped(events, sizeof events, repl->run.events);
    rxn__format_duration(seconds, sizeof seconds, repl->run.seconds);
    if (repl->run.exact) {
        char states[32];
        rxn__format_grouped(states, sizeof states, repl->run.states);
        printf("exact, by the master equation on %s states, in %s\n", states, seconds);
        return;
    }
    printf("%s %s, %s events in %s\n", trajectories,
           repl->run.trajectories == 1 ? "trajectory" : "trajectories", events, seconds);
}

bool
rxn__repl_run(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    ReplRequest request;
    (void)rest;
    if (!read_request(repl, count, words, &request) || !run(repl, &request))
        return false;
    show_run(repl);
    return true;
}

/* ---- :plot ----------------------------------------------------------------------------------------- */

static bool
find_column(Repl *repl, const char *name, Columns *columns)
{
    const size_t length = strlen(name);
    bool found = false;
    for (u32 k = 0; k < repl->run.columns; k++) {
        const char *label = repl->run_labels[k];
        if (strncmp(label, name, length) == 0 && (label[length] == '\0' || label[length] == '[')) {
            vec_push(&repl->scratch, columns, k);
            found = true;
        }
    }
    if (found)
        return true;
    rxn__repl_error(repl, "'%s' is not observed", rxn__shown(&repl->scratch, name, strlen(name)));
    const char *near = rxn__nearest(name, (u32)repl->run.columns, repl->run_labels);
    if (near)
        rxn__repl_note(repl, "did you mean '%s'?", near);
    else
        rxn__repl_note(repl, "'observe %s' makes it a column of results", name);
    return false;
}

static bool
has_display(void)
{
    const char *x = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");
    return (x && *x) || (wayland && *wayland);
}

static bool
draw(Repl *repl, const RxnReport *report, const char *to)
{
    char message[300] = "";
    const u32 width = rxn__input_width();
    bool good;
    if (to && strcmp(to, "text") != 0 && strcmp(to, "window") != 0) {
        if (!rxn__plot_knows(to)) {
            rxn__repl_error(repl, "'%s' is no kind of picture",
                            rxn__shown(&repl->scratch, to, strlen(to)));
            rxn__repl_note(repl, "it ends in .svg or .png, or it is 'text' or 'window'");
            return false;
        }
        good = rxn__plot_run(report, to, message, sizeof message);
        if (good)
            printf("wrote %s%s%s%s\n", to, *message ? " (" : "", message, *message ? ")" : "");
    } else {
        const bool window = to ? strcmp(to, "window") == 0 : repl->terminal && has_display();
        fflush(stdout);
        good = (window && rxn__plot_window(report, message, sizeof message)) ||
               ((!to || !window) &&
                rxn__plot_text(stdout, report, width > LEAST_PLOT_COLUMNS ? width - 1 : width,
                               PLOT_ROWS, message, sizeof message));
        if (good && *message)
            printf("(%s)\n", message);
    }
    if (!good)
        rxn__repl_error(repl, "no plot: %s", message);
    return good;
}

bool
rxn__repl_plot(Repl *repl, u32 count, const char *const *words, const char *rest)
{
    const char *to = NULL;
    (void)rest;
    if (count >= 1 && strcmp(words[count - 1], "to") == 0) {
        rxn__repl_error(repl, "behind 'to' stands a file, 'text' or 'window'");
        return false;
    }
    if (count >= 2 && strcmp(words[count - 2], "to") == 0) {
        to = words[count - 1];
        count -= 2;
    }
    if (!repl->has_run || !repl->run_is_current) {
        ReplRequest request;
        if (repl->has_run) {
            request = repl->request;
            request.method =
                rxn__arena_copy_text(&repl->scratch, request.method, strlen(request.method));
            double *at = NEW_ARRAY(&repl->scratch, double, request.at_count + 1);
            if (request.at_count)
                memcpy(at, request.at, request.at_count * sizeof *at);
            request.at = request.at_count ? at : NULL;
        } else if (!read_request(repl, 0, NULL, &request)) {
            return false;
        }
        if (!run(repl, &request))
            return false;
    }
    Columns columns = {0};
    for (u32 k = 0; k < count; k++) {
        const char *word = words[k];
        const size_t length = strcspn(word, ",");
        if (length > 0 &&
            !find_column(repl, rxn__arena_copy_text(&repl->scratch, word, length), &columns))
            return false;
    }
    if (columns.count == 0)
        columns = all_columns(repl);
    const RxnReport report = report_of(repl, &columns);
    return draw(repl, &report, to);
}
