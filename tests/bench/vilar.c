/* The oscillator of Vilar, Kueh, Barkai and Leibler (PNAS 99 (2002) 5988) by Gillespie's direct
 * method, by hand: 16 reactions, to time 200, A, R and C recorded at 0, 1, ..., 200.
 * Usage: vilar TRAJECTORIES SEED.
 *
 * The state lives in registers. A gene is bound or not, so its two states of transcription are
 * one reaction. To compute the propensities anew is cheaper than to keep them up to date in
 * memory: of the variants tried (incremental search by frequency, a branch-free search with a
 * table of changes) this one, sums in groups of four and a search by halves, was the fastest. */
#include "opponent.h"

enum { SAMPLES = 201 };

int
main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: vilar TRAJECTORIES SEED\n");
        return 2;
    }
    const uint64_t trajectories = strtoull(argv[1], NULL, 10);
    static Moments moments[SAMPLES][3];
    uint64_t events = 0;
    Xoshiro noise = xoshiro_seed(strtoull(argv[2], NULL, 10));
    double started = seconds_now();

    for (uint64_t i = 0; i < trajectories; i++) {
        double DA = 1.0, DR = 1.0, MA = 0.0, MR = 0.0, A = 0.0, R = 0.0, C = 0.0;
        double t = 0.0;
        int sample = 0;

        for (;;) {
            double capture = 2.0 * A * R;
            double decay_A = A;
            double decay_C = C;
            double decay_R = 0.2 * R;
            double proteins = (capture + decay_A) + (decay_C + decay_R);

            double translate_A = 50.0 * MA;
            double decay_MA = 10.0 * MA;
            double transcribe_A = DA != 0.0 ? 50.0 : 500.0;
            double translate_R = 5.0 * MR;
            double synthesis = (translate_A + decay_MA) + (transcribe_A + translate_R);

            double bind_A = A * DA;
            double unbind_A = 50.0 * (1.0 - DA);
            double bind_R = A * DR;
            double unbind_R = 100.0 * (1.0 - DR);
            double promoters = (bind_A + unbind_A) + (bind_R + unbind_R);

            double decay_MR = 0.5 * MR;
            double transcribe_R = DR != 0.0 ? 0.01 : 50.0;
            double total = (proteins + synthesis) + (promoters + (decay_MR + transcribe_R));

            t += exponential(&noise) / total;
            while (t > sample) {
                moments_add(&moments[sample][0], A);
                moments_add(&moments[sample][1], R);
                moments_add(&moments[sample][2], C);
                if (++sample == SAMPLES) {
                    break;
                }
            }
            if (sample == SAMPLES) {
                break;
            }

            double left = uniform(&noise) * total;
            if (left < proteins) {
                if (left < capture + decay_A) {
                    A -= 1.0;
                    if (left < capture) {
                        R -= 1.0;
                        C += 1.0;
                    }
                } else if (left < capture + decay_A + decay_C) {
                    C -= 1.0;
                    R += 1.0;
                } else {
                    R -= 1.0;
                }
            } else if ((left -= proteins) < synthesis) {
                if (left < translate_A + decay_MA) {
                    if (left < translate_A) {
                        A += 1.0;
                    } else {
                        MA -= 1.0;
                    }
                } else if (left < translate_A + decay_MA + transcribe_A) {
                    MA += 1.0;
                } else {
                    R += 1.0;
                }
            } else if ((left -= synthesis) < promoters) {
                if (left < bind_A + unbind_A) {
                    A += DA != 0.0 ? -1.0 : 1.0;
                    DA = 1.0 - DA;
                } else {
                    A += DR != 0.0 ? -1.0 : 1.0;
                    DR = 1.0 - DR;
                }
            } else {
                MR += left - promoters < decay_MR ? -1.0 : 1.0;
            }
            events++;
        }
    }

    double seconds = seconds_now() - started;
    const char *const names[] = {"A", "R", "C"};
    print_result("vilar_oscillator", trajectories, events, seconds, SAMPLES, 3, names,
                 &moments[0][0]);
    return 0;
}
