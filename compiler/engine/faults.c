/* faults.c: what to say when a trajectory cannot go on: what happened to which reaction, species or
 * event, in which trajectory, when, in which state, where in the source, and what helps.
 */
#include <math.h>
#include <string.h>

#include "compiler/engine/engine.h"

enum { MOST_COUNTS = 20, MOST_MEMBERS_TRIED = 100000 };

typedef struct Fault {
    Engine *engine;
    const FaultContext *context;
    Network *network;
    Arena *arena;
    double time;
    const double *state; /* counts of all species */
    ExprValues values;
    Text what; /* the message, being written */
} Fault;

static void
say_number(Fault *fault, double value)
{
    rxn__text_f64(&fault->what, value);
}

/* The report itself, which begins with "in trajectory 12 at time 3.5: ". Nine digits of the time: who
 * wants more has the seed. */
static void
report_at(Fault *fault, Span span)
{
    rxn__error(&fault->engine->session.diagnostics, span, "in trajectory %llu at time %.9g: %s",
               (unsigned long long)fault->context->fault->trajectory, fault->time,
               fault->what.data);
}

/* A count, never as 1e+15. */
static void
say_count(Text *text, double count)
{
    if (fabs(count) < 1e17 && count == floor(count))
        rxn__text_printf(text, "%.0f", count);
    else
        rxn__text_f64(text, count);
}

static void note(Fault *fault, const char *format, ...) RXN_PRINTF(2, 3);

static void
note(Fault *fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = rxn__text_vformat(fault->arena, format, args);
    va_end(args);
    rxn__engine_note(fault->engine, "%s", text);
}

/* The counts that are not zero. */
static void
note_state(Fault *fault)
{
    Text text;
    rxn__text_init(&text, fault->arena);
    u32 shown = 0, present = 0;
    for (u32 s = 0; s < fault->network->species_count; s++) {
        if (fault->state[s] == 0)
            continue;
        if (present++ >= MOST_COUNTS)
            continue;
        rxn__text_printf(&text, "%s%s = ", shown++ ? ", " : "",
                         rxn__species_label(fault->network, s, fault->arena));
        say_count(&text, fault->state[s]);
    }
    if (present == 0)
        note(fault, "the state: all counts are 0");
    else if (present > shown)
        note(fault, "the state: %s, and %u more species that are not 0", text.data,
             present - shown);
    else
        note(fault, "the state: %s%s", text.data,
             present < fault->network->species_count ? "; all others are 0" : "");
}

static const char *
reaction_label(Fault *fault, u32 flat)
{
    return rxn__reaction_label(fault->network, flat, fault->arena);
}

/* The propensity (or, of mass action, the constant) at the fault; NaN where the host cannot tell. */
static double
evaluate_reaction(Fault *fault, const Reaction *reaction, u32 member, Expr expr)
{
    i64 at[RXN_MAX_RANK];
    i64 *variables = NEW_ARRAY(fault->arena, i64, fault->network->variables.count + 1);
    rxn__reaction_variables(fault->network, reaction, member, at);
    for (u32 k = 0; k < reaction->variable_count; k++)
        variables[reaction->variables[k]] = at[k];
    ExprValues values = fault->values;
    values.variables = variables;
    return rxn__expr_evaluate(fault->network, expr, &values);
}

static void
report_propensity(Fault *fault, u32 flat, RxnFaultCode code)
{
    u32 member;
    const Reaction *reaction = rxn__reaction_of_flat(fault->network, flat, &member);
    const char *label = reaction_label(fault, flat);
    const char *noun = reaction->mass_action ? "rate constant" : "propensity";
    double value = evaluate_reaction(fault, reaction, member,
                                     reaction->mass_action ? reaction->rate : reaction->propensity);
    rxn__text_printf(&fault->what, "the %s of '%s' ", noun, label);
    switch (code) {
    case RXN_FAULT_NAN_PROPENSITY: rxn__text_printf(&fault->what, "is not a number"); break;
    case RXN_FAULT_NEGATIVE_PROPENSITY:
        rxn__text_printf(&fault->what, "is negative");
        if (value < 0) {
            rxn__text_printf(&fault->what, " (");
            say_number(fault, value);
            rxn__text_printf(&fault->what, ")");
        }
        break;
    default:
        if (isfinite(value)) {
            rxn__text_printf(&fault->what, "is too large (");
            say_number(fault, value);
            rxn__text_printf(&fault->what, ")");
        } else {
            rxn__text_printf(&fault->what, "is infinite");
        }
        break;
    }
    report_at(fault, reaction->rate_span);
    if (!reaction->mass_action)
        note_state(fault);
    if (code == RXN_FAULT_NAN_PROPENSITY)
        note(fault, "0/0, log of a negative number and the like give no number; 'if … then … else' "
                    "can treat such states by themselves");
    else if (code == RXN_FAULT_NEGATIVE_PROPENSITY)
        note(fault, reaction->mass_action
                        ? "a rate constant has to be 0 or more"
                        : "a propensity has to be 0 or more in every state that is reached; "
                          "'max(0, …)' cuts it off there");
    else if (isfinite(value) && fault->context->precision == KIR_F32)
        note(fault, "--precision f64 takes larger ones");
    else if (isfinite(value))
        note(fault,
             "times a product of counts it could overflow; another unit of time makes it smaller");
    else
        note(fault, "a division by a count that can be 0 is the usual cause");
}

/* The reactions that may take more of the species than there is: laws, since mass action cannot. */
static const Reaction *
find_taker(Fault *fault, u32 species, u32 *ret_flat, i32 *ret_taken, bool *ret_several)
{
    const Reaction *taker = NULL;
    *ret_several = false;
    u32 tried = 0;
    for (u32 r = 0; r < fault->network->reactions.count; r++) {
        const Reaction *reaction = &fault->network->reactions.items[r];
        if (reaction->mass_action)
            continue;
        for (u32 member = 0; member < reaction->count && tried < MOST_MEMBERS_TRIED; member++) {
            Change changes[64];
            u32 count =
                rxn__reaction_changes(fault->network, reaction, member, COUNT_OF(changes), changes);
            tried++;
            for (u32 k = 0; k < count && k < COUNT_OF(changes); k++) {
                if (changes[k].species != species || changes[k].delta >= 0 ||
                    fault->state[species] + changes[k].delta >= 0)
                    continue;
                *ret_several = taker != NULL;
                taker = reaction;
                *ret_flat = reaction->flat + member;
                *ret_taken = -changes[k].delta;
            }
        }
    }
    return taker;
}

static void
report_negative_count(Fault *fault, u32 species)
{
    const char *label = rxn__species_label(fault->network, species, fault->arena);
    u32 flat = 0;
    i32 taken = 1;
    bool several;
    const Reaction *taker = find_taker(fault, species, &flat, &taken, &several);
    Span span = {0, 0};
    if (taker && !several) {
        rxn__text_printf(&fault->what, "'%s' takes more of '%s' than there is",
                         reaction_label(fault, flat), label);
        span = taker->span;
    } else {
        rxn__text_printf(&fault->what, "a reaction takes more of '%s' than there is", label);
        for (u32 s = 0; s < fault->network->species.count; s++)
            if (fault->network->species.items[s].flat <= species)
                span = fault->network->species.items[s].span;
    }
    report_at(fault, span);
    note_state(fault);
    note(fault,
         "the propensity of a '=>' reaction has to be 0 where there is too little to take: "
         "'if %s >= %d then … else 0'",
         label, taken);
}

static const Species *
species_of(const Fault *fault, u32 flat)
{
    const Species *found = &fault->network->species.items[0];
    for (u32 s = 0; s < fault->network->species.count; s++)
        if (fault->network->species.items[s].flat <= flat &&
            rxn__shape_count(&fault->network->species.items[s].shape) > 0)
            found = &fault->network->species.items[s];
    return found;
}

static void
report_overflow(Fault *fault, u32 flat)
{
    bool single = fault->context->precision == KIR_F32;
    rxn__text_printf(&fault->what, "the count of '%s' grows past 2^%d, up to which %s is exact",
                     rxn__species_label(fault->network, flat, fault->arena), single ? 24 : 53,
                     single ? "f32" : "f64");
    report_at(fault, species_of(fault, flat)->span);
    note_state(fault);
    if (single)
        note(fault, "--precision f64 counts to 2^53");
    else
        note(
            fault,
            "a reaction that makes more of itself, and nothing that limits it, is the usual cause");
}

static void
report_step_limit(Fault *fault)
{
    rxn__text_printf(&fault->what, "%llu steps were not enough",
                     (unsigned long long)fault->context->step_limit);
    report_at(fault, (Span){0, 0});
    note_state(fault);
    note(fault, "--step-limit N allows more; --until T ends earlier");
}

static void
report_tape_full(Fault *fault)
{
    rxn__text_printf(&fault->what, "the memory for the backward pass is full");
    report_at(fault, (Span){0, 0});
    note_state(fault);
    bool built = fault->engine->built, cuda = fault->context->pipeline->compiled.cuda;
    note(fault,
         "%s SIZE gives it more (twice the memory is good for four times the events); "
         "path-forward, score and martingale need none",
         !built ? "--tape-memory"
         : cuda ? "'rxn build --cuda' with --cuda-tape"
                : "'rxn build' with --tape");
}

static void
report_stiff(Fault *fault)
{
    rxn__text_printf(
        &fault->what,
        "some rates change more than a million times faster than the next event comes, which "
        "the pathwise derivative would have to follow");
    report_at(fault, (Span){0, 0});
    note_state(fault);
    note(fault, "score, martingale and gk need not follow them");
}

static void
report_bound(Fault *fault, u32 flat, bool infinite)
{
    u32 member;
    const Reaction *reaction = rxn__reaction_of_flat(fault->network, flat, &member);
    const char *label = reaction_label(fault, flat);
    if (infinite)
        rxn__text_printf(&fault->what, "the bound of the rate of '%s' is not a finite number",
                         label);
    else
        rxn__text_printf(&fault->what, "the propensity of '%s' rises above its bound", label);
    if (!infinite) {
        double value = evaluate_reaction(fault, reaction, member, reaction->propensity);
        double bound = evaluate_reaction(fault, reaction, member, reaction->bound);
        if (value > bound) {
            rxn__text_printf(&fault->what, " (");
            say_number(fault, value);
            rxn__text_printf(&fault->what, " > ");
            say_number(fault, bound);
            rxn__text_printf(&fault->what, ")");
        }
    }
    bool given = reaction->bound_span.end > 0;
    report_at(fault, given ? reaction->bound_span : reaction->rate_span);
    note_state(fault);
    if (given)
        note(fault, "the bound has to hold at all times, in every state that is reached");
    else
        note(fault, "say how large the rate can become: '@ rate bound B'");
}

static void
report_initial_value(Fault *fault, u32 flat)
{
    const Species *species = species_of(fault, flat);
    i64 *variables = NEW_ARRAY(fault->arena, i64, fault->network->variables.count + 1);
    u32 rest = flat - species->flat;
    for (u32 d = species->shape.rank; d-- > 0;) {
        variables[species->variables[d]] = rest % species->shape.extent[d];
        rest /= species->shape.extent[d];
    }
    ExprValues values = fault->values;
    values.species = NULL;
    values.variables = variables;
    rxn__text_printf(&fault->what, "the initial value of '%s' is ",
                     rxn__species_label(fault->network, flat, fault->arena));
    double value = rxn__expr_evaluate(fault->network, species->initial, &values);
    say_count(&fault->what, value);
    bool large = value > 0 && value == floor(value);
    if (large)
        rxn__text_printf(&fault->what, ", more than %s counts exactly",
                         fault->context->precision == KIR_F32 ? "f32" : "f64");
    else
        rxn__text_printf(&fault->what, ", not a whole number of at least 0");
    Span span = species->initial_span.end ? species->initial_span : species->span;
    rxn__error(&fault->engine->session.diagnostics, span, "%s", fault->what.data);
    if (large && fault->context->precision == KIR_F32)
        note(fault, "--precision f64 counts to 2^53");
    else if (value < 0)
        note(fault, "'max(0, …)' cuts it off at 0");
    else if (value > 0 && !large)
        note(fault, "'floor(… + 0.5)' rounds it");
}

/* When the event fires: a fault of a timed event records the time of the reaction before it. */
static double
event_time(Fault *fault, const Event *event)
{
    ExprValues values = fault->values;
    values.species = NULL;
    if (event->kind == EVENT_AT)
        return rxn__expr_evaluate(fault->network, event->time, &values);
    if (event->kind == EVENT_WHEN)
        return fault->time;
    double period = rxn__expr_evaluate(fault->network, event->period, &values);
    double from = event->time ? rxn__expr_evaluate(fault->network, event->time, &values) : period;
    return from + fmax(0, ceil((fault->time - from) / period - 1e-12)) * period;
}

static void
report_assigned_value(Fault *fault, u32 detail)
{
    const Event *event = &fault->network->events.items[detail >> 16];
    fault->time = fault->values.time = event_time(fault, event);
    const Assignment *assignment = &event->assignments.items[detail & 0xFFFF];
    double value = rxn__expr_evaluate(fault->network, assignment->value, &fault->values);
    bool large = value > 0 && value == floor(value);
    rxn__text_printf(&fault->what, "an event sets '%s' to ",
                     rxn__species_label(fault->network, assignment->member, fault->arena));
    say_count(&fault->what, value);
    if (large)
        rxn__text_printf(&fault->what, ", more than %s counts exactly",
                         fault->context->precision == KIR_F32 ? "f32" : "f64");
    else
        rxn__text_printf(&fault->what, ", not a whole number of at least 0");
    report_at(fault, assignment->span.end ? assignment->span : event->span);
    note_state(fault);
    if (large && fault->context->precision == KIR_F32)
        note(fault, "--precision f64 counts to 2^53");
    else if (!large)
        note(fault, "'max(0, floor(…))' makes it one");
}

static void
report_event(Fault *fault, u32 number, RxnFaultCode code)
{
    const Event *event = &fault->network->events.items[number];
    if (code == RXN_FAULT_EVENT_CASCADE) {
        rxn__text_printf(&fault->what, "'when' events trigger each other without end");
        report_at(fault, event->span);
        note_state(fault);
        note(fault,
             "an event has to leave the state such that it does not set off another one that "
             "sets it off again");
        return;
    }
    bool every = event->kind == EVENT_EVERY;
    rxn__text_printf(&fault->what, "the %s of this event is ", every ? "time or period" : "time");
    ExprValues values = fault->values;
    values.species = NULL;
    double time = event->time ? rxn__expr_evaluate(fault->network, event->time, &values) : 0;
    double period = every ? rxn__expr_evaluate(fault->network, event->period, &values) : 0;
    if (every && !(period > 0 && !isnan(time)))
        say_number(fault, isnan(time) ? time : period);
    else if (!every)
        say_number(fault, time);
    else
        rxn__text_printf(&fault->what, "too small for the time to move on");
    rxn__error(&fault->engine->session.diagnostics, event->span, "%s", fault->what.data);
    note(fault, every ? "a period has to be more than 0" : "a time has to be a number");
}

static void
report(Engine *engine, const FaultContext *context)
{
    Network *network = context->pipeline->network;
    Fault fault = {
        .engine = engine,
        .context = context,
        .network = network,
        .arena = &engine->session.arena,
        .time = context->fault->witness[0],
        .state = context->fault->witness + 1,
    };
    fault.values = (ExprValues){.species = fault.state,
                                .params = context->values->params,
                                .inputs = context->values->inputs,
                                .time = fault.time};
    rxn__text_init(&fault.what, fault.arena);
    u32 detail = context->fault->detail;
    RxnFaultCode code = (RxnFaultCode)context->fault->code;
    switch (code) {
    case RXN_FAULT_NONE: break;
    case RXN_FAULT_NEGATIVE_PROPENSITY:
    case RXN_FAULT_NAN_PROPENSITY:
    case RXN_FAULT_INFINITE_PROPENSITY: report_propensity(&fault, detail, code); break;
    case RXN_FAULT_NEGATIVE_COUNT: report_negative_count(&fault, detail); break;
    case RXN_FAULT_COUNT_OVERFLOW: report_overflow(&fault, detail); break;
    case RXN_FAULT_STEP_LIMIT: report_step_limit(&fault); break;
    case RXN_FAULT_BOUND_EXCEEDED: report_bound(&fault, detail, false); break;
    case RXN_FAULT_BOUND_INFINITE: report_bound(&fault, detail, true); break;
    case RXN_FAULT_INITIAL_VALUE: report_initial_value(&fault, detail); break;
    case RXN_FAULT_ASSIGNED_VALUE: report_assigned_value(&fault, detail); break;
    case RXN_FAULT_EVENT_CASCADE:
    case RXN_FAULT_EVENT_TIME: report_event(&fault, detail, code); break;
    case RXN_FAULT_TAPE_FULL: report_tape_full(&fault); break;
    case RXN_FAULT_STIFF: report_stiff(&fault); break;
    }
}

void
rxn__report_fault(Engine *engine, const FaultContext *context)
{
    Session *session = &engine->session;
    FaultContext alone = *context;
    PairFault fault;
    bool of_pair =
        context->pair && rxn__fault_of_pair(context, &session->arena, &session->names, &fault);
    if (of_pair) {
        alone.fault = &fault.fault;
        alone.values = &fault.values;
    }
    report(engine, &alone);
    if (of_pair)
        rxn__engine_note(engine, "%s", fault.note);
}
