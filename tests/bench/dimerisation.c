/* Reversible dimerisation by Gillespie's direct method, by hand: 2 M <-> D, M0 = 100,
 * k1 = 0.001, k2 = 0.1, to time 100, M and D recorded at 0, 1, ..., 100.
 * Usage: dimerisation TRAJECTORIES SEED. */
#include "opponent.h"

enum { SAMPLES = 101 };

int
main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: dimerisation TRAJECTORIES SEED\n");
        return 2;
    }
    const uint64_t trajectories = strtoull(argv[1], NULL, 10);
    const double half_k1 = 0.5 * 0.001;
    const double k2 = 0.1;
    static Moments moments[SAMPLES][2];
    uint64_t events = 0;
    Xoshiro noise = xoshiro_seed(strtoull(argv[2], NULL, 10));
    double started = seconds_now();

    for (uint64_t i = 0; i < trajectories; i++) {
        double m = 100.0;
        double d = 0.0;
        double t = 0.0;
        int sample = 0;

        for (;;) {
            double bind = half_k1 * m * (m - 1.0);
            double total = bind + k2 * d;

            t += exponential(&noise) / total;
            while (t > sample) {
                moments_add(&moments[sample][0], m);
                moments_add(&moments[sample][1], d);
                if (++sample == SAMPLES) {
                    break;
                }
            }
            if (sample == SAMPLES) {
                break;
            }
            double by = uniform(&noise) * total < bind ? 1.0 : -1.0;
            m -= 2.0 * by;
            d += by;
            events++;
        }
    }

    double seconds = seconds_now() - started;
    const char *const names[] = {"M", "D"};
    print_result("dimerisation", trajectories, events, seconds, SAMPLES, 2, names, &moments[0][0]);
    return 0;
}
