/* An independent stochastic simulator for the models whose state space is too large to solve.
 *
 * It shares nothing with the compiler: the models are typed in by hand, all propensities are
 * computed anew at every event, the random numbers come from SFC64. It is slow and plain on
 * purpose. Usage: reference_ssa MODEL TRAJECTORIES FIRST, where FIRST is the index of the first
 * trajectory (so that two processes can share the work). It writes the observed counts of every
 * trajectory at every sample time to standard output as 32-bit integers.
 *
 * Source of the method: D. T. Gillespie, J. Phys. Chem. 81 (1977) 2340-2361, the direct method.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SPECIES = 16, MAX_REACTIONS = 24, MAX_OBSERVED = 4 };

typedef struct {
    const char *name;
    int species;
    int reactions;
    int observed;
    int observe[MAX_OBSERVED];
    double until;
    double every;
    int32_t start[MAX_SPECIES];
    void (*propensity)(const int32_t *x, double *a);
    int8_t change[MAX_REACTIONS][MAX_SPECIES];
} Model;

/* Vilar et al. 2002: DA, DAp, DR, DRp, MA, MR, A, R, C. */
static void
vilar_propensity(const int32_t *x, double *a)
{
    double DA = x[0], DAp = x[1], DR = x[2], DRp = x[3], MA = x[4], MR = x[5];
    double A = x[6], R = x[7], C = x[8];

    a[0] = 2.0 * A * R;
    a[1] = 1.0 * A;
    a[2] = 1.0 * C;
    a[3] = 0.2 * R;
    a[4] = 1.0 * A * DA;
    a[5] = 50.0 * DAp;
    a[6] = 50.0 * DA;
    a[7] = 500.0 * DAp;
    a[8] = 10.0 * MA;
    a[9] = 50.0 * MA;
    a[10] = 1.0 * A * DR;
    a[11] = 100.0 * DRp;
    a[12] = 0.01 * DR;
    a[13] = 50.0 * DRp;
    a[14] = 0.5 * MR;
    a[15] = 5.0 * MR;
}

/* Elowitz and Leibler 2000: mLacI, mTetR, mCI, LacI, TetR, CI; time in minutes. */
static void
repressilator_propensity(const int32_t *x, double *a)
{
    const double mrna_decay = log(2.0) / 2.0;
    const double decay = log(2.0) / 10.0;

    for (int gene = 0; gene < 3; gene++) {
        double repressor = x[3 + (gene + 2) % 3] / 40.0;
        a[gene] = 0.03 + 30.0 / (1.0 + repressor * repressor);
        a[3 + gene] = 20.0 * mrna_decay * x[gene];
        a[6 + gene] = mrna_decay * x[gene];
        a[9 + gene] = decay * x[3 + gene];
    }
}

/* Gillespie 1977, equation 38: prey, predator. */
static void
lotka_volterra_propensity(const int32_t *x, double *a)
{
    a[0] = 10.0 * x[0];
    a[1] = 0.01 * x[0] * (double)x[1];
    a[2] = 10.0 * x[1];
}

static const Model models[] = {
    {
        .name = "vilar_oscillator",
        .species = 9,
        .reactions = 16,
        .observed = 3,
        .observe = {6, 7, 8},
        .until = 200.0,
        .every = 4.0,
        .start = {1, 0, 1, 0, 0, 0, 0, 0, 0},
        .propensity = vilar_propensity,
        .change =
            {
                {0, 0, 0, 0, 0, 0, -1, -1, 1},
                {0, 0, 0, 0, 0, 0, -1, 0, 0},
                {0, 0, 0, 0, 0, 0, 0, 1, -1},
                {0, 0, 0, 0, 0, 0, 0, -1, 0},
                {-1, 1, 0, 0, 0, 0, -1, 0, 0},
                {1, -1, 0, 0, 0, 0, 1, 0, 0},
                {0, 0, 0, 0, 1, 0, 0, 0, 0},
                {0, 0, 0, 0, 1, 0, 0, 0, 0},
                {0, 0, 0, 0, -1, 0, 0, 0, 0},
                {0, 0, 0, 0, 0, 0, 1, 0, 0},
                {0, 0, -1, 1, 0, 0, -1, 0, 0},
                {0, 0, 1, -1, 0, 0, 1, 0, 0},
                {0, 0, 0, 0, 0, 1, 0, 0, 0},
                {0, 0, 0, 0, 0, 1, 0, 0, 0},
                {0, 0, 0, 0, 0, -1, 0, 0, 0},
                {0, 0, 0, 0, 0, 0, 0, 1, 0},
            },
    },
    {
        .name = "repressilator",
        .species = 6,
        .reactions = 12,
        .observed = 3,
        .observe = {3, 4, 5},
        .until = 120.0,
        .every = 4.0,
        .start = {0, 0, 0, 0, 20, 0},
        .propensity = repressilator_propensity,
        .change =
            {
                {1, 0, 0, 0, 0, 0},
                {0, 1, 0, 0, 0, 0},
                {0, 0, 1, 0, 0, 0},
                {0, 0, 0, 1, 0, 0},
                {0, 0, 0, 0, 1, 0},
                {0, 0, 0, 0, 0, 1},
                {-1, 0, 0, 0, 0, 0},
                {0, -1, 0, 0, 0, 0},
                {0, 0, -1, 0, 0, 0},
                {0, 0, 0, -1, 0, 0},
                {0, 0, 0, 0, -1, 0},
                {0, 0, 0, 0, 0, -1},
            },
    },
    {
        .name = "lotka_volterra",
        .species = 2,
        .reactions = 3,
        .observed = 2,
        .observe = {0, 1},
        .until = 2.0,
        .every = 0.05,
        .start = {1000, 1000},
        .propensity = lotka_volterra_propensity,
        .change = {{1, 0}, {-1, 1}, {0, -1}},
    },
};

/* SFC64 of Chris Doty-Humphrey's PractRand, seeded by counting and twelve rounds of mixing. */
typedef struct {
    uint64_t a, b, c, counter;
} Sfc64;

static uint64_t
sfc64_next(Sfc64 *s)
{
    uint64_t out = s->a + s->b + s->counter++;
    s->a = s->b ^ (s->b >> 11);
    s->b = s->c + (s->c << 3);
    s->c = ((s->c << 24) | (s->c >> 40)) + out;
    return out;
}

static Sfc64
sfc64_seed(uint64_t trajectory)
{
    Sfc64 s = {trajectory, UINT64_C(0x9e3779b97f4a7c15), UINT64_C(20240229), 1};
    for (int i = 0; i < 12; i++) {
        sfc64_next(&s);
    }
    return s;
}

/* Uniform on (0, 1), ends excluded. */
static double
uniform(Sfc64 *s)
{
    return ((double)(sfc64_next(s) >> 11) + 0.5) * 0x1p-53;
}

static int
simulate(const Model *model, uint64_t trajectory)
{
    Sfc64 noise = sfc64_seed(trajectory);
    int32_t x[MAX_SPECIES];
    int samples = (int)lround(model->until / model->every) + 1;
    int sample = 0;
    double t = 0.0;

    memcpy(x, model->start, sizeof x);
    for (;;) {
        double a[MAX_REACTIONS];
        double total = 0.0;

        model->propensity(x, a);
        for (int r = 0; r < model->reactions; r++) {
            total += a[r];
        }
        t = total > 0.0 ? t - log(uniform(&noise)) / total : INFINITY;
        while (sample < samples && sample * model->every < t) {
            int32_t row[MAX_OBSERVED];
            for (int k = 0; k < model->observed; k++) {
                row[k] = x[model->observe[k]];
            }
            if (fwrite(row, sizeof row[0], (size_t)model->observed, stdout) !=
                (size_t)model->observed) {
                return -1;
            }
            sample++;
        }
        if (sample == samples) {
            return 0;
        }

        double left = uniform(&noise) * total;
        int r = 0;
        while (r < model->reactions - 1 && left >= a[r]) {
            left -= a[r];
            r++;
        }
        while (a[r] == 0.0) {
            r--;
        }
        for (int s = 0; s < model->species; s++) {
            x[s] += model->change[r][s];
        }
    }
}

int
main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: reference_ssa MODEL TRAJECTORIES FIRST\n");
        return 2;
    }
    uint64_t trajectories = strtoull(argv[2], NULL, 10);
    uint64_t first = strtoull(argv[3], NULL, 10);

    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        if (strcmp(models[m].name, argv[1]) != 0) {
            continue;
        }
        for (uint64_t i = 0; i < trajectories; i++) {
            if (simulate(&models[m], first + i) < 0) {
                perror("reference_ssa");
                return 1;
            }
        }
        return 0;
    }
    fprintf(stderr, "reference_ssa: no model '%s'\n", argv[1]);
    return 2;
}
