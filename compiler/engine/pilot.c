/* pilot.c: runs the pilot ensemble and fits the martingale's weights to it (see pilot.h; the numerics are
 * in runtime/control.c).
 */
#include "compiler/engine/pilot.h"

#include <math.h>
#include <string.h>

#include "runtime/philox.h"
#include "runtime/report.h"

enum {
    PILOT_LEAST = 250,
    PILOT_MOST = 1000,
    PILOT_PER_FEATURE = 10,
    PILOT_BYTES = 512 << 20, /* what its numbers may take */
    MOST_DIRECT = 2000,      /* fits of D: some milliseconds each */
};

typedef struct PilotFit {
    const PilotRequest *wanted;
    const ControlPlan *plan;
    PilotProgram *program;
    Arena arena; /* gone when the weights are found */
    u32 n;
    double *value;      /* [functional][n] */
    double *atom;       /* [atom][n] */
    double *partial;    /* [functional][leaf][n] */
    double *feature;    /* [time][feature][n] */
    double *martingale; /* [time][feature][n] */
    double *covariance; /* [time][pair][n] */
    double *integral;   /* [time][integral][n] */
    RxnControl *control;
    double *species;  /* by flat number: of the row that is being taken */
    double *gains;    /* [functional] */
    u32 grade;        /* the highest in use */
    bool has_directs; /* D gets a control variate of its own */
} PilotFit;

u64
rxn__pilot_size(const ControlPlan *plan, u64 trajectories)
{
    u64 size = trajectories / 10;
    size = size < PILOT_LEAST ? PILOT_LEAST : size > PILOT_MOST ? PILOT_MOST : size;
    u64 features = (u64)PILOT_PER_FEATURE * plan->features.count;
    size = size < features ? features : size;
    u64 most = PILOT_BYTES / sizeof(double) / (2 * rxn__pilot_columns(plan) + 1);
    size = size > most ? most : size;
    return size < 4 ? 4 : size;
}

/* ---- the ensemble ------------------------------------------------------------------------------ */

static void
take_time(PilotFit *fit, u32 time, u64 i, const double *row)
{
    const ControlPlan *plan = fit->plan;
    u32 features = plan->features.count, pairs = plan->pairs.count, n = fit->n;
    u32 integrals = plan->integrals;
    for (u32 s = 0; s < plan->species.count; s++)
        fit->species[plan->species.items[s]] = *row++;
    for (u32 f = 0; f < features; f++) {
        size_t cell = ((size_t)time * features + f) * n + i;
        fit->feature[cell] = rxn__monomial_value(&plan->features.items[f], fit->species);
        fit->martingale[cell] = *row++;
    }
    for (u32 k = 0; k < pairs; k++)
        fit->covariance[((size_t)time * pairs + k) * n + i] = *row++;
    for (u32 k = 0; k < integrals; k++)
        fit->integral[((size_t)time * integrals + k) * n + i] = *row++;
}

static bool
take_rows(void *context, uint64_t first, uint64_t count, const double *rows, const uint64_t *events)
{
    PilotFit *fit = context;
    const ControlPlan *plan = fit->plan;
    const Objective *objective = plan->request->network->objective;
    u32 columns = rxn__pilot_columns(plan), functionals = objective->functionals.count;
    u32 partials = rxn__pilot_partials(plan), atoms = rxn__pilot_atoms(plan);
    (void)events;
    for (uint64_t k = 0; k < count; k++) {
        const double *row = rows + k * columns;
        uint64_t i = first + k;
        for (u32 f = 0; f < functionals; f++)
            fit->value[(size_t)f * fit->n + i] = row[f];
        for (u32 a = 0; a < atoms; a++)
            fit->atom[(size_t)a * fit->n + i] = row[functionals + a];
        for (u32 p = 0; p < partials; p++)
            fit->partial[(size_t)p * fit->n + i] = row[functionals + atoms + p];
        for (u32 t = 0; t < plan->time_count; t++)
            take_time(fit, t, i, row + rxn__pilot_row(plan, t));
    }
    return true;
}

static u64
pilot_seed(u64 seed)
{
    u32 key[2] = {(u32)seed, (u32)(seed >> 32)};
    u32 counter[4] = {0, RXN_STREAM_PILOT << 16, 0, 0}, words[4];
    rxn__philox(key, counter, words);
    return (u64)words[0] << 32 | words[1];
}

static void
make_room(PilotFit *fit)
{
    const ControlPlan *plan = fit->plan;
    const Network *network = plan->request->network;
    const Objective *objective = network->objective;
    size_t n = fit->n, cells = plan->time_count * n;
    Arena *arena = &fit->arena;
    fit->value = NEW_ARRAY(arena, double, objective->functionals.count *n + 1);
    fit->atom = NEW_ARRAY(arena, double, rxn__pilot_atoms(plan) * n + 1);
    fit->partial = NEW_ARRAY(arena, double, rxn__pilot_partials(plan) * n + 1);
    fit->feature = NEW_ARRAY(arena, double, cells * plan->features.count + 1);
    fit->martingale = NEW_ARRAY(arena, double, cells * plan->features.count + 1);
    fit->covariance = NEW_ARRAY(arena, double, cells * plan->pairs.count + 1);
    fit->integral = NEW_ARRAY(arena, double, cells * plan->integrals + 1);
    fit->species = NEW_ARRAY(arena, double, network->species_count + 1);
    fit->gains = NEW_ARRAY(arena, double, objective->functionals.count + 1);
}

static RxnStatus
run_ensemble(Engine *engine, PilotFit *fit, Pilot *pilot)
{
    const PilotRequest *wanted = fit->wanted;
    const ControlPlan *plan = fit->plan;
    const Objective *objective = plan->request->network->objective;
    SampleTimes times = {plan->times, plan->time_count, objective->end, 0};
    Launch launch = {
        .pipeline = wanted->pipeline,
        .values = wanted->values,
        .times = &times,
        .precision = plan->request->precision,
        .seed = pilot_seed(wanted->seed),
        .step_limit = wanted->step_limit,
    };
    u32 count;
    RxnBinding *bindings = rxn__launch_bindings(&launch, &count);
    RxnEnsemble ensemble = {
        .kernel = &fit->program->kernel,
        .bindings = bindings,
        .binding_count = count,
        .trajectories = fit->n,
        .sample_count = 1,
        .columns = rxn__pilot_columns(plan),
        .threads = (u32)wanted->threads,
        .rows = take_rows,
        .rows_context = fit,
        .cancel = rxn__watch_begin(engine, true, true).cancel,
    };
    RxnEnsembleResult result;
    RxnOutcome outcome = rxn__ensemble_run(&ensemble, &result);
    rxn__watch_end(engine);
    pilot->trajectories = result.trajectories;
    pilot->events = result.events;
    RxnStatus status =
        rxn__launch_outcome(engine, &launch, outcome, &result, ensemble.trajectories);
    if (outcome == RXN_FAULTED || outcome == RXN_STOPPED)
        rxn__engine_note(engine, "that was in the pilot ensemble, which the control variate is "
                                 "fitted to");
    rxn__ensemble_release(&result);
    return status;
}

/* ---- what is settled at a time ----------------------------------------------------------------- */

typedef struct AtomState {
    const Atom *atom;
    u32 from, to; /* rows */
    u32 integral; /* number among the integrals */
    double guess; /* the mean of what is open */
} AtomState;

static u32
row_of(const ControlPlan *plan, double time)
{
    u32 row = 0;
    while (row + 1 < plan->time_count && plan->times[row] != time)
        row++;
    return row;
}

static double
accrued(const PilotFit *fit, const AtomState *state, u32 row, u32 i)
{
    u32 integrals = fit->plan->integrals;
    if (row <= state->from)
        return 0;
    const double *cells = fit->integral + (size_t)state->integral * fit->n + i;
    size_t stride = (size_t)integrals * fit->n;
    u32 end = row < state->to ? row : state->to;
    double begun = state->atom->from > 0 ? cells[state->from * stride] : 0;
    return cells[end * stride] - begun;
}

static double
settled(const PilotFit *fit, const AtomState *state, u32 number, u32 row, bool before, u32 i)
{
    if (state->atom->kind == ATOM_INTEGRAL)
        return accrued(fit, state, row, i);
    bool is = before ? state->to < row : state->to <= row;
    return is ? fit->atom[(size_t)number * fit->n + i] : 0;
}

/* Of atoms at one row: for each trajectory what is settled, plus the mean of the rest; then the functional of
 * that. */
static void
known_at(PilotFit *fit, u32 functional, const FunctionalFacts *facts, AtomState *states, u32 row,
         bool before, double *quantities, double *ret_known)
{
    const GradientRequest *request = fit->plan->request;
    const ModelValues *values = fit->wanted->values;
    for (u32 k = 0; k < facts->atom_count; k++) {
        u32 number = facts->atoms[k];
        double sum = 0;
        for (u32 i = 0; i < fit->n; i++)
            sum += fit->atom[(size_t)number * fit->n + i] -
                   settled(fit, &states[k], number, row, before, i);
        bool is_open = states[k].atom->kind == ATOM_INTEGRAL ||
                       (before ? states[k].to >= row : states[k].to > row);
        states[k].guess = is_open ? sum / fit->n : 0;
    }
    ExprValues given = {
        .params = values->params, .inputs = values->inputs, .quantities = quantities};
    Expr value = request->network->objective->functionals.items[functional].value;
    for (u32 i = 0; i < fit->n; i++) {
        for (u32 k = 0; k < facts->atom_count; k++)
            quantities[facts->atoms[k]] =
                settled(fit, &states[k], facts->atoms[k], row, before, i) + states[k].guess;
        ret_known[i] = rxn__expr_evaluate(request->network, value, &given);
    }
}

/* Fills known and known_before of a target that is settled bit by bit. */
static void
find_known(PilotFit *fit, u32 functional, RxnTarget *target)
{
    const ControlPlan *plan = fit->plan;
    const Network *network = plan->request->network;
    const Objective *objective = network->objective;
    FunctionalFacts facts;
    if (plan->plain)
        return;
    rxn__functional_facts(network, functional, &fit->arena, &facts);
    if (facts.one_time)
        return;
    AtomState *states = NEW_ARRAY(&fit->arena, AtomState, facts.atom_count + 1);
    for (u32 k = 0; k < facts.atom_count; k++) {
        const Atom *atom = &objective->atoms.items[facts.atoms[k]];
        states[k] = (AtomState){
            .atom = atom, .from = row_of(plan, atom->from), .to = row_of(plan, atom->to)};
        for (u32 a = 0; a < facts.atoms[k]; a++)
            states[k].integral += objective->atoms.items[a].kind == ATOM_INTEGRAL;
    }
    size_t cells = (size_t)plan->time_count * fit->n;
    double *known = NEW_ARRAY(&fit->arena, double, cells + 1);
    double *known_before = NEW_ARRAY(&fit->arena, double, cells + 1);
    double *quantities = NEW_ARRAY(&fit->arena, double, objective->atoms.count + 1);
    for (u32 e = 0; e < plan->edge_count; e++) {
        u32 row = (u32)plan->edge[e];
        known_at(fit, functional, &facts, states, row, false, quantities, known + row * fit->n);
        known_at(fit, functional, &facts, states, row, true, quantities,
                 known_before + row * fit->n);
    }
    known_at(fit, functional, &facts, states, target->last, true, quantities,
             known_before + (size_t)target->last * fit->n);
    target->known = known;
    target->known_before = known_before;
}

/* ---- the fits ---------------------------------------------------------------------------------- */

/* D of one leaf as a functional of the path, given the weights of M: it accrues from bin to bin. */
static void
direct_target(PilotFit *fit, u32 functional, u32 leaf, const double *weight, double *value,
              double *known)
{
    const ControlPlan *plan = fit->plan;
    u32 features = plan->features.count, pairs = plan->pairs.count, n = fit->n;
    u32 count = (u32)plan->edges_before[functional], last = (u32)plan->last[functional];
    double *slope = NEW_ARRAY(&fit->arena, double, features + 1);
    memset(value, 0, n * sizeof *value);
    for (u32 e = 0; e < count; e++) {
        u32 start = (u32)plan->edge[e], end = e + 1 < count ? (u32)plan->edge[e + 1] : last;
        memcpy(known + (size_t)start * n, value, n * sizeof *value);
        for (u32 f = 0; f < features; f++)
            slope[f] -= weight[(size_t)e * features + f];
        for (u32 k = 0; k < pairs; k++) {
            const ControlPair *pair = &plan->pairs.items[k];
            if (pair->leaf != leaf || slope[pair->feature] == 0)
                continue;
            const double *before = fit->covariance + ((size_t)start * pairs + k) * n;
            const double *after = fit->covariance + ((size_t)end * pairs + k) * n;
            for (u32 i = 0; i < n; i++)
                value[i] += slope[pair->feature] * (after[i] - before[i]);
        }
    }
    memcpy(known + (size_t)last * n, value, n * sizeof *value);
    if (!plan->partial)
        return;
    const double *partial =
        fit->partial + ((size_t)functional * plan->request->wrt_count + leaf) * n;
    for (u32 i = 0; i < n; i++)
        value[i] += partial[i];
}

static bool
fit_functional(PilotFit *fit, u32 i, double *values, double *directs)
{
    const ControlPlan *plan = fit->plan;
    u32 leaves = plan->request->wrt_count;
    size_t size = rxn__control_size(plan);
    RxnTarget target = {.value = fit->value + (size_t)i * fit->n, .last = (u32)plan->last[i]};
    find_known(fit, i, &target);
    RxnControlFit found;
    if (!rxn__control_fit(fit->control, &target, values + i * size, &found))
        return false;
    fit->gains[i] = found.gain;
    fit->grade = found.grade > fit->grade ? found.grade : fit->grade;
    double *value = leaves ? NEW_ARRAY(&fit->arena, double, fit->n) : NULL;
    double *known =
        leaves ? NEW_ARRAY(&fit->arena, double, (size_t)plan->time_count * fit->n) : NULL;
    for (u32 p = 0; found.grade > 0 && p < leaves && fit->has_directs; p++) {
        direct_target(fit, i, p, values + i * size, value, known);
        RxnTarget direct = {value, target.last, known, known};
        RxnControlFit ignored;
        if (!rxn__control_fit(fit->control, &direct, directs + ((size_t)i * leaves + p) * size,
                              &ignored))
            return false;
    }
    return true;
}

static void
write_remark(const PilotFit *fit, char *remark)
{
    u32 functionals = fit->plan->request->network->objective->functionals.count;
    double least = INFINITY, most = 0;
    for (u32 i = 0; i < functionals; i++) {
        least = fmin(least, fit->gains[i]);
        most = fmax(most, fit->gains[i]);
    }
    if (fit->grade == 0)
        snprintf(remark, PILOT_REMARK,
                 "a pilot of %u trajectories, in which no control variate helped", fit->n);
    else if (most < 1.05 * least)
        snprintf(remark, PILOT_REMARK,
                 "a pilot of %u trajectories, in which features of degree %u took the variance "
                 "down by %.3g",
                 fit->n, fit->grade, least);
    else
        snprintf(remark, PILOT_REMARK,
                 "a pilot of %u trajectories, in which features up to degree %u took the variance "
                 "down by %.3g .. %.3g",
                 fit->n, fit->grade, least, most);
}

static RxnStatus
fit_weights(void *context)
{
    PilotFit *fit = context;
    const ControlPlan *plan = fit->plan;
    u32 functionals = plan->request->network->objective->functionals.count;
    u32 leaves = plan->request->wrt_count;
    size_t size = rxn__control_size(plan);
    double *values = fit->program->values, *directs = fit->program->directs;
    memset(values, 0, functionals * size * sizeof *values);
    memset(directs, 0, functionals * leaves * size * sizeof *directs);
    u32 *edges = NEW_ARRAY(&fit->arena, u32, plan->edge_count + 1);
    for (u32 e = 0; e < plan->edge_count; e++)
        edges[e] = (u32)plan->edge[e];
    fit->has_directs = (u64)functionals * leaves <= MOST_DIRECT;
    RxnPilot pilot = {
        .trajectories = fit->n,
        .rows = plan->time_count,
        .features = plan->features.count,
        .feature = fit->feature,
        .martingale = fit->martingale,
        .grades = plan->features.count ? plan->degree : 0,
        .edges = plan->edge_count,
        .edge = edges,
    };
    memcpy(pilot.grade_end, plan->grade_end, sizeof pilot.grade_end);
    fit->control = rxn__control_new(&pilot);
    if (!fit->control)
        return RXN_ERROR_MEMORY;
    for (u32 i = 0; i < functionals; i++)
        if (!fit_functional(fit, i, values, directs))
            return RXN_ERROR_MEMORY;
    fit->wanted->request->control = fit->program->weights;
    return RXN_OK;
}

typedef struct Work {
    Engine *engine;
    PilotFit *fit;
    Pilot *pilot;
} Work;

static RxnStatus
run_and_fit(void *context)
{
    Work *work = context;
    PilotFit *fit = work->fit;
    make_room(fit);
    RxnStatus status = run_ensemble(work->engine, fit, work->pilot);
    return status == RXN_OK ? fit_weights(fit) : status;
}

static void
make_weights(PilotProgram *program, const PilotRequest *wanted)
{
    Arena *arena = &wanted->pipeline->arena;
    size_t functionals = wanted->request->network->objective->functionals.count;
    size_t size = rxn__control_size(program->plan), leaves = wanted->request->wrt_count;
    program->values = NEW_ARRAY(arena, double, functionals *size + 1);
    program->directs = NEW_ARRAY(arena, double, functionals *leaves *size + 1);
    program->weights = NEW_ARRAY(arena, ControlWeights, 1);
    *program->weights = (ControlWeights){program->values, program->directs};
    program->remark = NEW_ARRAY(arena, char, PILOT_REMARK);
}

RxnStatus
rxn__pilot_compile(Engine *engine, const PilotRequest *wanted, PilotProgram *ret_program)
{
    Pipeline *pipeline = wanted->pipeline;
    Text reason;
    rxn__text_init(&reason, &pipeline->arena);
    wanted->request->control = NULL;
    RxnStatus status = rxn__pipeline_gradient(&engine->session, wanted->stages,
                                              wanted->estimator->pilot, wanted->request, pipeline);
    engine->internal_error = pipeline->internal_error;
    if (status != RXN_OK)
        return status;
    const ControlPlan *plan = rxn__control_plan(wanted->request, &pipeline->arena, &reason);
    u64 n = wanted->pilot ? wanted->pilot : rxn__pilot_size(plan, wanted->trajectories);
    *ret_program =
        (PilotProgram){.kept = rxn__kernel_keep(pipeline), .plan = plan, .trajectories = (u32)n};
    make_weights(ret_program, wanted);
    return rxn__describe_kernel(engine, pipeline, &ret_program->kernel);
}

RxnStatus
rxn__pilot_fit(Engine *engine, const PilotRequest *wanted, PilotProgram *program, Pilot *ret_pilot)
{
    PilotFit fit = {
        .wanted = wanted, .plan = program->plan, .program = program, .n = program->trajectories};
    double start = rxn__seconds();
    *ret_pilot = (Pilot){0};
    if (engine->is_ahead) { /* the weights are data, which the kernel does not depend on */
        wanted->request->control = program->weights;
        return RXN_OK;
    }
    rxn__kernel_put(wanted->pipeline, &program->kept);
    rxn__arena_init(&fit.arena, engine->session.memory);
    Work work = {engine, &fit, ret_pilot};
    RxnStatus status = rxn__session_guard(&engine->session, run_and_fit, &work);
    if (status == RXN_OK) {
        write_remark(&fit, program->remark);
        ret_pilot->remark = program->remark;
    }
    rxn__control_free(fit.control);
    rxn__arena_release(&fit.arena);
    ret_pilot->seconds = rxn__seconds() - start;
    return status;
}

RxnStatus
rxn__pilot_run(Engine *engine, const PilotRequest *wanted, Pilot *ret_pilot)
{
    PilotProgram program;
    double start = rxn__seconds();
    *ret_pilot = (Pilot){0};
    RxnStatus status = rxn__pilot_compile(engine, wanted, &program);
    double seconds_compile = rxn__seconds() - start;
    if (status == RXN_OK)
        status = rxn__pilot_fit(engine, wanted, &program, ret_pilot);
    ret_pilot->seconds_compile = seconds_compile;
    return status;
}
