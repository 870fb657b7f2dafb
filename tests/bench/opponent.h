/* What the two hand-written programs share: random numbers, moments, the printed result.
 *
 * These programs are what rxn is measured against: plain scalar C as one who knows the model
 * would write it, in double precision, xoshiro256++ for the noise, log of libm, gcc -O3
 * -march=native. They are meant to be good: no work is done that the model does not need.
 */
#ifndef OPPONENT_H
#define OPPONENT_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* xoshiro256++ 1.0 (D. Blackman, S. Vigna, ACM Trans. Math. Softw. 47 (2021) 36), seeded by
 * SplitMix64. */
typedef struct {
    uint64_t s[4];
} Xoshiro;

static inline uint64_t
rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t
xoshiro_next(Xoshiro *x)
{
    uint64_t out = rotate_left(x->s[0] + x->s[3], 23) + x->s[0];
    uint64_t shifted = x->s[1] << 17;

    x->s[2] ^= x->s[0];
    x->s[3] ^= x->s[1];
    x->s[1] ^= x->s[2];
    x->s[0] ^= x->s[3];
    x->s[2] ^= shifted;
    x->s[3] = rotate_left(x->s[3], 45);
    return out;
}

static inline Xoshiro
xoshiro_seed(uint64_t seed)
{
    Xoshiro x;
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        x.s[i] = z ^ (z >> 31);
    }
    return x;
}

/* Uniform on [0, 1). */
static inline double
uniform(Xoshiro *x)
{
    return (double)(xoshiro_next(x) >> 11) * 0x1p-53;
}

/* Exponential with mean 1; 1 - u is never 0. */
static inline double
exponential(Xoshiro *x)
{
    return -log(1.0 - uniform(x));
}

typedef struct {
    double sum;
    double squares;
} Moments;

static inline void
moments_add(Moments *m, double value)
{
    m->sum += value;
    m->squares += value * value;
}

static inline double
seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Prints one JSON object: events, seconds, rate, and mean and sd of every observable at every
 * sample time. `moments` is samples x observables. */
static inline void
print_result(const char *model, uint64_t trajectories, uint64_t events, double seconds, int samples,
             int observables, const char *const *names, const Moments *moments)
{
    double n = (double)trajectories;

    printf("{\"model\": \"%s\", \"trajectories\": %llu, \"events\": %llu, \"seconds\": %.6f, "
           "\"events_per_second\": %.6e",
           model, (unsigned long long)trajectories, (unsigned long long)events, seconds,
           (double)events / seconds);
    for (int o = 0; o < observables; o++) {
        printf(", \"%s\": {\"mean\": [", names[o]);
        for (int s = 0; s < samples; s++) {
            printf("%s%.17g", s ? ", " : "", moments[s * observables + o].sum / n);
        }
        printf("], \"sd\": [");
        for (int s = 0; s < samples; s++) {
            const Moments *m = &moments[s * observables + o];
            double variance = (m->squares - m->sum * m->sum / n) / (n - 1.0);
            printf("%s%.17g", s ? ", " : "", sqrt(variance > 0.0 ? variance : 0.0));
        }
        printf("]}");
    }
    printf("}\n");
}

#endif
