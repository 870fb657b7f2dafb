/* The dimerisation inside of a C program: how much faster do dimers fall apart for half of them to be left? */
#include <stdio.h>

#include "dimer.h"

int
main(void)
{
    char error[500];
    double k[dimerisation_PARAMS], times[] = {40}, mean[dimerisation_COLUMNS], value,
                                   slope[dimerisation_WRT];
    dimerisation_model *model = dimerisation_open(0, error, sizeof error);
    if (!model) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    dimerisation_request request = {
        .parameters = k, .seed = 1, .trajectories = 10000, .times = times, .time_count = 1};
    dimerisation_parameters(model, k);
    if (dimerisation_run(model, &request, mean, NULL) != 0)
        goto failed;
    double wanted = mean[dimerisation_column_D] / 2;
    for (int step = 0; step < 6; step++) { /* Newton's method on the mean at time 40 */
        if (dimerisation_gradient(model, &request, &value, NULL, slope, NULL) != 0)
            goto failed;
        printf("koff = %.5f: %.3f dimers\n", k[dimerisation_param_koff], value);
        k[dimerisation_param_koff] += (wanted - value) / slope[dimerisation_wrt_koff];
    }
    dimerisation_close(model);
    return 0;
failed:
    fprintf(stderr, "%s\n", dimerisation_error(model));
    return 1;
}
