/* fit: the block that says how parameters are trained: its entries, and which experiments it has. What they
 * mean together is said in network/fit.h; the other files of this name know the parts (fit_private.h).
 *
 * Entries are checked for every model that has the block, so that a misspelt key is found before anything runs, and
 * kept as text; only a FitRequest makes more of them.
 */
#include <math.h>
#include <string.h>

#include "compiler/sema/fit_private.h"

#define WORDS(...)                                                                                 \
    {(const char *const[]){__VA_ARGS__}, COUNT_OF(((const char *const[]){__VA_ARGS__}))}

/* What an entry's values are. */
typedef enum EntryShape {
    IS_DATA,
    IS_EXPRESSION, /* one */
    IS_MEASURE,
    IS_PRIOR,
    IS_NAMES, /* of parameters */
    IS_CHOICE,
    IS_COUNT,  /* 1, 2, … */
    IS_NUMBER, /* >= 0 */
    IS_RANGE,  /* a count, or low .. high */
    IS_CLIP,
    IS_NOISE,
} EntryShape;

enum { OF_FIT = 1, OF_EXPERIMENT = 2, AGAIN = 4 };

typedef struct EntryRule {
    const char *key;
    EntryShape shape;
    u32 flags; /* where it may stand, and whether more than once */
    FitNumber number;
} EntryRule;

static const EntryRule rules[] = {
    {"data", IS_DATA, OF_FIT | OF_EXPERIMENT, 0},
    {"loss", IS_EXPRESSION, OF_FIT | OF_EXPERIMENT, 0},
    {"measure", IS_MEASURE, OF_FIT | OF_EXPERIMENT | AGAIN, 0},
    {"penalty", IS_EXPRESSION, OF_FIT | AGAIN, 0},
    {"prior", IS_PRIOR, OF_FIT | AGAIN, 0},
    {"log", IS_NAMES, OF_FIT | AGAIN, 0},
    {"linear", IS_NAMES, OF_FIT | AGAIN, 0},
    {"estimator", IS_CHOICE, OF_FIT, 0},
    {"optimizer", IS_CHOICE, OF_FIT, 0},
    {"schedule", IS_CHOICE, OF_FIT, 0},
    {"clip", IS_CLIP, OF_FIT, 0},
    {"trajectories", IS_RANGE, OF_FIT, FIT_TRAJECTORIES},
    {"steps", IS_COUNT, OF_FIT, FIT_STEPS},
    {"batch", IS_COUNT, OF_FIT, FIT_BATCH},
    {"epochs", IS_COUNT, OF_FIT, FIT_EPOCHS},
    {"noise", IS_NOISE, OF_FIT, 0},
    {"tolerance", IS_NUMBER, OF_FIT, FIT_TOLERANCE},
    {"patience", IS_COUNT, OF_FIT, FIT_PATIENCE},
    {"average", IS_COUNT, OF_FIT, FIT_AVERAGE},
    {"starts", IS_COUNT, OF_FIT, FIT_STARTS},
    {"seed", IS_NUMBER, OF_FIT, FIT_SEED},
};

static const FitWords clip_words = WORDS("norm", "value");
static const FitWords block_words = WORDS("experiment", "validation");

/* `adam(rate = 0.05)` and the settings that it may have. */
typedef struct ChoiceRule {
    const char *key, *name;
    FitWords settings;
} ChoiceRule;

static const ChoiceRule choices[] = {
    {"estimator", "auto", {0}},
    {"estimator", "path", {0}},
    {"estimator", "gumbel", WORDS("tau", "draws")},
    {"estimator", "propensity", {0}},
    {"estimator", "score", {0}},
    {"estimator", "martingale", WORDS("degree", "bins", "pilot", "refresh")},
    {"estimator", "coupled", WORDS("difference")},
    {"estimator", "gk", {0}},
    {"estimator", "exact", {0}},
    {"optimizer", "adam", WORDS("rate", "beta1", "beta2", "epsilon")},
    {"optimizer", "adamw", WORDS("rate", "beta1", "beta2", "epsilon", "weight_decay")},
    {"optimizer", "sgd", WORDS("rate", "momentum", "nesterov")},
    {"optimizer", "lbfgs", WORDS("rate", "memory", "tolerance")},
    {"optimizer", "gauss_newton", WORDS("radius", "damping", "power", "tolerance")},
    {"schedule", "constant", WORDS("warmup")},
    {"schedule", "cosine", WORDS("floor", "warmup")},
    {"schedule", "exponential", WORDS("floor", "warmup")},
    {"schedule", "step", WORDS("every", "factor", "warmup")},
};

void
rxn__fit_note_nearest(Sema *sema, Name name, FitWords words, const char *intro)
{
    Suggestion suggestion = rxn__suggestion(name);
    for (u32 i = 0; i < words.count; i++)
        rxn__suggestion_try(&suggestion, rxn__name_z(sema->names, words.items[i]));
    if (suggestion.best) {
        rxn__suggestion_note(sema, &suggestion);
        return;
    }
    Text text;
    rxn__text_init(&text, sema->arena);
    for (u32 i = 0; i < words.count; i++)
        rxn__text_printf(&text, "%s%s", i == 0 ? "" : ", ", words.items[i]);
    rxn__sema_note(sema, (Span){0}, "%s: %s", intro, text.data);
}

/* ---- Choices ----------------------------------------------------------------------------------- */

static void
read_setting(Sema *sema, Module *module, const AstNode *setting, const ChoiceRule *rule,
             FitChoice *choice)
{
    if (!setting || setting->kind == AST_POISON)
        return;
    if (rule->settings.count == 0) {
        rxn__sema_error(sema, module, setting->span, "'%s' has no settings", rule->name);
        return;
    }
    if (setting->kind != AST_NAMED) {
        rxn__sema_error(sema, module, setting->span, "a setting needs its name");
        rxn__sema_note(sema, (Span){0}, "as in '%s = %s'", rule->settings.items[0],
                       rxn__sema_show_source(sema, setting));
        return;
    }
    const char *name = NULL;
    for (u32 i = 0; i < rule->settings.count; i++)
        if (strcmp(setting->name->text, rule->settings.items[i]) == 0)
            name = rule->settings.items[i];
    if (!name) {
        rxn__sema_error(sema, module, setting->name_span, "unknown setting '%s' of '%s'",
                        rxn__sema_show(sema, setting->name), rule->name);
        rxn__fit_note_nearest(sema, setting->name, rule->settings, "there are");
        return;
    }
    for (u32 i = 0; i < choice->count; i++)
        if (choice->options[i].name == name) {
            rxn__sema_error(sema, module, setting->name_span, "'%s' is given twice", name);
            return;
        }
    Scope scope = {.module = module};
    double value;
    const AstNode *number = setting->kid_count > 0 ? setting->kids[0] : NULL;
    if (!number || !rxn__sema_constant(sema, &scope, number, "a setting", &value))
        return;
    if (value < 0)
        rxn__sema_error(sema, module, number->span, "'%s' cannot be negative", name);
    choice->options[choice->count].name = name;
    choice->options[choice->count++].value = value;
}

/* `path`, `adam(rate = 0.05)`. */
static void
read_choice(Sema *sema, Module *module, const AstNode *value, const EntryRule *rule, Fit *fit)
{
    const char *names[COUNT_OF(choices)];
    FitWords words = {names, 0};
    const ChoiceRule *found = NULL;
    const bool is_word =
        (value->kind == AST_REFERENCE && value->kid_count == 0) || value->kind == AST_CALL;
    for (u32 i = 0; i < COUNT_OF(choices); i++) {
        if (strcmp(choices[i].key, rule->key) != 0)
            continue;
        names[words.count++] = choices[i].name;
        if (is_word && strcmp(choices[i].name, value->name->text) == 0)
            found = &choices[i];
    }
    if (!is_word) {
        rxn__sema_error(sema, module, value->span, "'%s' takes a name", rule->key);
        rxn__fit_note_nearest(sema, rxn__name_z(sema->names, ""), words, "there are");
        return;
    }
    if (!found) {
        rxn__sema_error(sema, module, value->kind == AST_CALL ? value->name_span : value->span,
                        "unknown %s '%s'", rule->key, rxn__sema_show(sema, value->name));
        rxn__fit_note_nearest(sema, value->name, words, "there are");
        return;
    }
    FitChoice choice = {.name = found->name, .span = value->span};
    for (u32 i = 0; value->kind == AST_CALL && i < value->kid_count; i++)
        read_setting(sema, module, value->kids[i], found, &choice);
    if (strcmp(rule->key, "estimator") == 0)
        fit->estimator = choice;
    else if (strcmp(rule->key, "optimizer") == 0)
        fit->optimizer = choice;
    else
        fit->schedule = choice;
}

/* ---- Numbers ----------------------------------------------------------------------------------- */

static bool
read_count(Sema *sema, Module *module, const AstNode *value, const char *key, double *ret_count)
{
    Scope scope = {.module = module};
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_printf(&text, "'%s'", key);
    i64 whole;
    if (!rxn__sema_whole(sema, &scope, value, text.data, &whole))
        return false;
    if (whole < 1) {
        rxn__sema_error(sema, module, value->span, "'%s' must be at least 1", key);
        return false;
    }
    *ret_count = (double)whole;
    return true;
}

static void
read_range(Sema *sema, Module *module, const AstNode *value, const EntryRule *rule, Fit *fit)
{
    if (value->kind != AST_RANGE) {
        if (read_count(sema, module, value, rule->key, &fit->numbers[FIT_TRAJECTORIES]))
            fit->numbers[FIT_MOST_TRAJECTORIES] = fit->numbers[FIT_TRAJECTORIES];
        return;
    }
    double *low = &fit->numbers[FIT_TRAJECTORIES], *high = &fit->numbers[FIT_MOST_TRAJECTORIES];
    bool good = read_count(sema, module, value->kids[0], rule->key, low);
    good &= read_count(sema, module, value->kids[1], rule->key, high);
    if (good && *high < *low)
        rxn__sema_error(sema, module, value->span,
                        "'%s' grows from the first number to the second, which is smaller",
                        rule->key);
}

static void
read_number(Sema *sema, Module *module, const AstNode *value, const EntryRule *rule, Fit *fit)
{
    Scope scope = {.module = module};
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_printf(&text, "'%s'", rule->key);
    double number;
    i64 whole;
    if (rule->number == FIT_SEED) {
        if (!rxn__sema_whole(sema, &scope, value, text.data, &whole))
            return;
        number = (double)whole;
    } else if (!rxn__sema_constant(sema, &scope, value, text.data, &number)) {
        return;
    }
    if (number < 0)
        rxn__sema_error(sema, module, value->span, "'%s' cannot be negative", rule->key);
    fit->numbers[rule->number] = number;
}

/* `clip 10`, `clip norm = 10, value = 1`. */
static void
read_clip(Sema *sema, Module *module, const AstNode *value, Fit *fit)
{
    FitNumber which = FIT_CLIP_NORM;
    const AstNode *number = value;
    if (value->kind == AST_NAMED) {
        number = value->kids[0];
        if (strcmp(value->name->text, "value") == 0) {
            which = FIT_CLIP_VALUE;
        } else if (strcmp(value->name->text, "norm") != 0) {
            rxn__sema_error(sema, module, value->name_span, "unknown setting '%s' of 'clip'",
                            rxn__sema_show(sema, value->name));
            rxn__fit_note_nearest(sema, value->name, clip_words, "there are");
            return;
        }
    }
    Scope scope = {.module = module};
    double limit;
    if (!rxn__sema_constant(sema, &scope, number, "'clip'", &limit))
        return;
    if (!(limit > 0))
        rxn__sema_error(sema, module, number->span, "'clip' must be positive");
    else if (!isnan(fit->numbers[which]))
        rxn__sema_error(sema, module, value->span, "'%s' is given twice",
                        which == FIT_CLIP_NORM ? "norm" : "value");
    else
        fit->numbers[which] = limit;
}

static void
read_noise(Sema *sema, Module *module, const AstNode *value, Fit *fit)
{
    const bool is_word = value->kind == AST_REFERENCE && value->kid_count == 0;
    fit->common_noise = is_word && strcmp(value->name->text, "common") == 0;
    if (fit->common_noise || (is_word && strcmp(value->name->text, "fresh") == 0))
        return;
    rxn__sema_error(sema, module, value->span, "'noise' is 'common' or 'fresh'");
}

/* ---- Entries ----------------------------------------------------------------------------------- */

static void
read_value(Sema *sema, FitPlan *plan, FitScene *scene, const AstNode *entry, const AstNode *value,
           const EntryRule *rule)
{
    Module *module = plan->module;
    if (!value || value->kind == AST_POISON)
        return;
    if (value->kind == AST_STRING && rule->shape != IS_DATA) {
        rxn__sema_error(sema, module, value->span, "'%s' does not take a text", rule->key);
        return;
    }
    switch (rule->shape) {
    case IS_DATA: break;
    case IS_EXPRESSION:
        if (strcmp(rule->key, "penalty") == 0)
            vec_push(sema->arena, &plan->penalties, value);
        else
            scene->loss = entry;
        break;
    case IS_MEASURE:
        if (value->kind == AST_NAMED) {
            vec_push(sema->arena, &scene->measures, value);
            break;
        }
        rxn__sema_error(sema, module, value->span, "a measure needs a name");
        rxn__sema_note(sema, (Span){0}, "as in 'measure error = %s'",
                       rxn__sema_show_source(sema, value));
        break;
    case IS_PRIOR:
        if (value->kind == AST_PRIOR) {
            vec_push(sema->arena, &plan->priors, value);
            break;
        }
        rxn__sema_error(sema, module, value->span, "a prior is written 'k ~ lognormal(0, 1)'");
        break;
    case IS_NAMES:
        if (strcmp(rule->key, "log") == 0)
            vec_push(sema->arena, &plan->logs, value);
        else
            vec_push(sema->arena, &plan->linears, value);
        break;
    case IS_CHOICE: read_choice(sema, module, value, rule, &plan->fit); break;
    case IS_COUNT:
        read_count(sema, module, value, rule->key, &plan->fit.numbers[rule->number]);
        break;
    case IS_NUMBER: read_number(sema, module, value, rule, &plan->fit); break;
    case IS_RANGE: read_range(sema, module, value, rule, &plan->fit); break;
    case IS_CLIP: read_clip(sema, module, value, &plan->fit); break;
    case IS_NOISE: read_noise(sema, module, value, &plan->fit); break;
    }
}

static const EntryRule *
find_rule(Sema *sema, Module *module, const FitScene *scene, const AstNode *entry)
{
    const char *keys[COUNT_OF(rules) + 2];
    FitWords words = {keys, 0};
    const EntryRule *rule = NULL;
    for (u32 i = 0; i < COUNT_OF(rules); i++) {
        if (scene->is_block && !(rules[i].flags & OF_EXPERIMENT))
            continue;
        keys[words.count++] = rules[i].key;
    }
    for (u32 i = 0; i < COUNT_OF(rules); i++)
        if (strcmp(rules[i].key, entry->name->text) == 0)
            rule = &rules[i];
    if (rule && scene->is_block && !(rule->flags & OF_EXPERIMENT)) {
        rxn__sema_error(sema, module, entry->name_span,
                        "'%s' is of the whole fit, not of one experiment", rule->key);
        rxn__sema_note(sema, (Span){0}, "write it in 'fit { }' itself");
        return NULL;
    }
    if (rule)
        return rule;
    const char *shown = rxn__sema_show(sema, entry->name);
    if (strcmp(entry->name->text, "experiment") == 0 ||
        strcmp(entry->name->text, "validation") == 0) {
        rxn__sema_error(sema, module, entry->name_span, "'%s' needs a block", shown);
        rxn__sema_note(sema, (Span){0}, "as in '%s%s { data \"measured.csv\" }'", shown,
                       *shown == 'e' ? " fed" : "");
        return NULL;
    }
    if (!scene->is_block) {
        keys[words.count++] = "experiment";
        keys[words.count++] = "validation";
    }
    rxn__sema_error(sema, module, entry->name_span, "unknown entry '%s' in '%s'", shown,
                    scene->is_block ? scene->node->name->text : "fit");
    rxn__fit_note_nearest(sema, entry->name, words, "there are");
    return NULL;
}

static void
read_entry(Sema *sema, FitPlan *plan, FitScene *scene, const AstNode *entry)
{
    Module *module = plan->module;
    const EntryRule *rule = find_rule(sema, module, scene, entry);
    if (!rule)
        return;
    const bool is_list = rule->shape == IS_DATA || rule->shape == IS_NAMES ||
                         rule->shape == IS_CLIP || rule->shape == IS_PRIOR ||
                         rule->shape == IS_MEASURE;
    if (entry->kid_count == 0)
        rxn__sema_error(sema, module, entry->span, "'%s' needs a value", rule->key);
    else if (entry->kid_count > 1 && !is_list)
        rxn__sema_error(sema, module, entry->kids[1]->span, "'%s' takes one value", rule->key);
    for (u32 i = 0; i < entry->kid_count; i++)
        read_value(sema, plan, scene, entry, entry->kids[i], rule);
    if (rule->shape == IS_DATA && entry->kid_count > 0) {
        const AstNode *table;
        Fit unused = {0};
        rxn__fit_data(sema, module, entry, &unused, &table);
        scene->data = entry;
    }
}

/* ---- Blocks ------------------------------------------------------------------------------------ */

static void read_scene(Sema *sema, FitPlan *plan, FitScene *scene);

static void
read_block(Sema *sema, FitPlan *plan, const AstNode *node)
{
    Module *module = plan->module;
    FitScene scene = {.node = node, .is_block = true, .name = node->name2};
    scene.validation = strcmp(node->name->text, "validation") == 0;
    if (!scene.validation && strcmp(node->name->text, "experiment") != 0) {
        rxn__sema_error(sema, module, node->name_span, "unknown block '%s' in 'fit'",
                        rxn__sema_show(sema, node->name));
        rxn__fit_note_nearest(sema, node->name, block_words, "there are");
        return;
    }
    if (!scene.name && !scene.validation) {
        rxn__sema_error(sema, module, node->name_span, "an experiment needs a name");
        rxn__sema_note(sema, (Span){0}, "as in 'experiment fed { ... }'");
    }
    for (u32 i = 0; i < plan->scenes.count; i++)
        if (plan->scenes.items[i].name == scene.name &&
            plan->scenes.items[i].validation == scene.validation) {
            if (scene.name)
                rxn__sema_error(sema, module, node->span, "a second %s '%s'", node->name->text,
                                rxn__sema_show(sema, scene.name));
            else if (scene.validation)
                rxn__sema_error(sema, module, node->span, "a second validation without a name");
            rxn__sema_note(sema, plan->scenes.items[i].node->span, "the first is here");
            return;
        }
    read_scene(sema, plan, &scene);
    vec_push(sema->arena, &plan->scenes, scene);
}

/* `loss = …`, where nothing of the model has that name. True: reported. */
static bool
is_entry_with_sign(Sema *sema, Module *module, const AstNode *node)
{
    const AstNode *target = node->kind != AST_ASSIGN || node->kid_count < 2 ? NULL : node->kids[0];
    bool is_key = false;
    for (u32 i = 0; i < COUNT_OF(rules); i++)
        is_key |= target && target->kind == AST_REFERENCE &&
                  strcmp(rules[i].key, target->name->text) == 0;
    if (!is_key || rxn__symbols_find(&sema->symbols, target->name))
        return false;
    const char *key = rxn__sema_show(sema, target->name);
    rxn__sema_error(sema, module, node->span, "the value of '%s' follows without '='", key);
    rxn__sema_note(sema, (Span){0}, "write '%s %s'", key,
                   rxn__sema_show_source(sema, node->kids[1]));
    return true;
}

/* What belongs in an experiment, in the block itself. */
static void
report_condition(Sema *sema, Module *module, const AstNode *node)
{
    const bool is_event = node->kind != AST_ASSIGN;
    rxn__sema_error(sema, module, node->span, "%s in 'fit' belongs in an experiment",
                    is_event ? "an event" : "a value");
    if (is_event)
        rxn__sema_note(sema, (Span){0},
                       "as in 'experiment fed { ... }'; what is of all experiments belongs in the "
                       "model");
    else
        rxn__sema_note(sema, (Span){0}, "as in 'experiment fed { %s }'",
                       rxn__sema_show_source(sema, node));
}

/* Entries of one block, and the blocks in it. */
static void
read_scene(Sema *sema, FitPlan *plan, FitScene *scene)
{
    VEC(const AstNode *) seen = {0};
    for (u32 i = 0; i < scene->node->kid_count; i++) {
        const AstNode *kid = scene->node->kids[i];
        if (!kid || kid->kind == AST_POISON)
            continue;
        if (kid->kind == AST_BLOCK && scene->is_block) {
            rxn__sema_error(sema, plan->module, kid->name_span, "a block inside of '%s'",
                            scene->node->name->text);
            rxn__sema_note(sema, (Span){0}, "experiments stand side by side in 'fit { }'");
        } else if (kid->kind == AST_BLOCK) {
            read_block(sema, plan, kid);
        } else if (kid->kind == AST_ENTRY && kid->name) {
            bool again = false;
            for (u32 k = 0; k < seen.count && !again; k++) {
                if (seen.items[k]->name != kid->name)
                    continue;
                again = true;
                for (u32 r = 0; r < COUNT_OF(rules); r++)
                    if (strcmp(rules[r].key, kid->name->text) == 0 && rules[r].flags & AGAIN)
                        again = false;
                if (!again)
                    break;
                rxn__sema_error(sema, plan->module, kid->name_span, "'%s' is given twice",
                                rxn__sema_show(sema, kid->name));
                rxn__sema_note(sema, seen.items[k]->span, "the first is here");
            }
            vec_push(sema->arena, &seen, kid);
            if (!again)
                read_entry(sema, plan, scene, kid);
        } else if (is_entry_with_sign(sema, plan->module, kid)) {
            continue;
        } else if (scene->is_block) {
            vec_push(sema->arena, &scene->conditions, kid);
        } else {
            report_condition(sema, plan->module, kid);
        }
    }
}

/* The block itself is an experiment where it has data and a loss of its own, or there is no other. Experiments
 * without data, loss or measures have those of the block. */
static void
complete(Sema *sema, FitPlan *plan)
{
    VEC(FitScene) all = {0};
    const FitScene *block = &plan->block;
    bool others = false;
    for (u32 i = 0; i < plan->scenes.count; i++)
        others |= !plan->scenes.items[i].validation;
    if (!others || (block->data && block->loss))
        vec_push(sema->arena, &all, *block);
    for (u32 pass = 0; pass < 2; pass++) /* those that are trained on come first */
        for (u32 i = 0; i < plan->scenes.count; i++) {
            FitScene scene = plan->scenes.items[i];
            if (scene.validation != (pass == 1))
                continue;
            scene.data = scene.data ? scene.data : block->data;
            scene.loss = scene.loss ? scene.loss : block->loss;
            if (scene.measures.count == 0)
                scene.measures = block->measures;
            vec_push(sema->arena, &all, scene);
        }
    plan->scenes.items = all.items;
    plan->scenes.count = all.count;
    plan->scenes.capacity = all.capacity;
    Arena *arena = sema->network->arena;
    plan->fit.experiment_count = all.count;
    plan->fit.experiments = NEW_ARRAY(arena, FitExperiment, all.count);
    for (u32 i = 0; i < all.count; i++)
        plan->fit.experiments[i] = (FitExperiment){.name = all.items[i].name,
                                                   .validation = all.items[i].validation,
                                                   .span = all.items[i].node->span};
}

/* ---- The block --------------------------------------------------------------------------------- */

static void
keep_entries(Sema *sema, const AstNode *node)
{
    Network *network = sema->network;
    for (u32 i = 0; i < node->kid_count; i++) {
        const AstNode *entry = node->kids[i];
        if (!entry || (entry->kind != AST_ENTRY && entry->kind != AST_BLOCK))
            continue;
        Text text;
        rxn__text_init(&text, network->arena);
        if (entry->kind == AST_BLOCK) {
            Text whole;
            rxn__text_init(&whole, sema->arena);
            rxn__ast_print_source(entry, &whole);
            rxn__text_printf(&text, "%s", whole.data + entry->name->length + 1);
        }
        for (u32 k = 0; k < entry->kid_count && entry->kind == AST_ENTRY; k++) {
            if (k > 0)
                rxn__text_append(&text, ", ", 2);
            rxn__ast_print_source(entry->kids[k], &text);
        }
        vec_push(network->arena, &network->fit,
                 ((FitEntry){.key = entry->name, .text = text.data, .span = entry->span}));
    }
}

void
rxn__sema_fit(Sema *sema, Module *module, const AstNode *node)
{
    const u32 errors = sema->diagnostics->error_count;
    FitPlan *plan = NEW(sema->arena, FitPlan);
    *plan = (FitPlan){.module = module, .block = {.node = node}};
    for (u32 i = 0; i < FIT_NUMBER_COUNT; i++)
        plan->fit.numbers[i] = NAN;
    sema->plan = plan;
    read_scene(sema, plan, &plan->block);
    complete(sema, plan);
    Fit unused = {0};
    rxn__fit_parameters(sema, plan, &unused);
    for (u32 i = 0; i < plan->scenes.count; i++) {
        const FitScene *scene = &plan->scenes.items[i];
        rxn__fit_conditions(sema, module, scene, &unused, false);
        rxn__fit_objective(sema, plan, scene, NULL, &unused);
    }
    if (sema->diagnostics->error_count == errors)
        keep_entries(sema, node);
}

/* ---- A request --------------------------------------------------------------------------------- */

static bool
check_request(Sema *sema, Module *module, const FitRequest *request)
{
    const SourceFile *file = &sema->sources->files.items[module->source->file];
    const Span whole = {file->base, file->base};
    const FitPlan *plan = sema->plan;
    if (!plan) {
        rxn__sema_error(sema, module, whole, "this model has no 'fit' block");
        rxn__sema_note(sema, (Span){0},
                       "it says what to fit, as in 'fit { data \"measured.csv\"; loss "
                       "mse(mean(X), data.X) }'");
        return false;
    }
    bool trained = false;
    for (u32 i = 0; i < sema->network->params.count; i++)
        trained |= sema->network->params.items[i].fit;
    if (!trained) {
        rxn__sema_error(sema, module, plan->block.node->span, "no parameter is marked 'fit'");
        rxn__sema_note(sema, (Span){0},
                       "mark those to be trained, as in 'param k = 1 in 0.01 .. 100 fit'");
    }
    for (u32 i = 0; i < plan->scenes.count; i++) {
        const FitScene *scene = &plan->scenes.items[i];
        if (scene->loss || (scene->validation && scene->measures.count > 0))
            continue;
        rxn__sema_error(sema, module, scene->node->span, "there is no loss in this %s",
                        scene->is_block ? scene->node->name->text : "fit");
        rxn__sema_note(sema, (Span){0}, "as in 'loss mse(mean(X), data.X)'");
    }
    if (request->experiment >= plan->scenes.count)
        rxn__sema_error(sema, module, plan->block.node->span, "there is no experiment %u",
                        request->experiment);
    return sema->diagnostics->error_count == 0;
}

void
rxn__sema_fit_request(Sema *sema, Module *module, const FitRequest *request)
{
    Fit *fit = request->ret_fit;
    if (!check_request(sema, module, request))
        return;
    FitPlan *plan = sema->plan;
    *fit = plan->fit;
    rxn__fit_parameters(sema, plan, fit);
    const FitScene *scene = &plan->scenes.items[request->experiment];
    rxn__fit_conditions(sema, module, scene, fit, true);
    if (sema->diagnostics->error_count == 0)
        rxn__fit_objective(sema, plan, scene, request, fit);
}
