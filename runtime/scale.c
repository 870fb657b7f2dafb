/* scale.c: parameters as unbounded coordinates, and back (see optimizer.h).
 *
 * Between bounds the coordinate is the logit u = log(below / above) of the distances from both. Each
 * way back measures from the nearer bound, so that a parameter that lies close to one keeps its digits: with
 * s(u) = 1 / (1 + exp(-u)), low + range s(u) for u <= 0 and high - range s(-u) otherwise.
 */
#include "runtime/optimizer.h"

#include <math.h>

RxnScale
rxn__scale_for(double low, double high)
{
    RxnScale scale = {.kind = RXN_SCALE_LINEAR, .low = low, .high = high};
    bool has_low = isfinite(low), has_high = isfinite(high);
    if (has_low && has_high && isfinite(high - low))
        scale.kind = low > 0 ? RXN_SCALE_LOG_LOGIT : RXN_SCALE_LOGIT;
    else if (has_low && !has_high)
        scale.kind = RXN_SCALE_LOG;
    else
        scale.project = has_low || has_high;
    return scale;
}

static double
clamp(const RxnScale *scale, double parameter)
{
    return parameter < scale->low ? scale->low : parameter > scale->high ? scale->high : parameter;
}

/* What LOG takes the logarithm of the distance from. */
static double
log_origin(const RxnScale *scale)
{
    return scale->project || !isfinite(scale->low) ? 0 : scale->low;
}

/* log(to / from), both positive, without overflow and without loss where they are close. */
static double
log_ratio(double from, double to)
{
    double difference = to - from;
    return difference < from ? log1p(difference / from) : log(to) - log(from);
}

/* s(-u) for u >= 0: the smaller of the two parts into which u divides. */
static double
smaller_part(double u)
{
    double e = exp(-u);
    return e / (1 + e);
}

/* x exp(power); close to x, the distance from it keeps its digits. */
static double
times_exp(double x, double power)
{
    return fabs(power) < 0.5 ? x + x * expm1(power) : x * exp(power);
}

const char *
rxn__scale_refuses(const RxnScale *scale, double parameter)
{
    if (isnan(scale->low) || isnan(scale->high) || !(scale->low < scale->high))
        return "the lower bound is not below the upper one";
    if (!isfinite(parameter))
        return "the value is not finite";
    if (parameter < scale->low || parameter > scale->high)
        return "the value is out of its bounds";
    if (!isfinite(rxn__scale_coordinate(scale, parameter)))
        return scale->kind == RXN_SCALE_LOG && parameter <= 0
                   ? "a value on a logarithmic scale has to be positive"
                   : "the value is at its bound, from which no step leads away";
    return NULL;
}

double
rxn__scale_coordinate(const RxnScale *scale, double parameter)
{
    double p = clamp(scale, parameter);
    switch (scale->kind) {
    case RXN_SCALE_LINEAR: return p;
    case RXN_SCALE_LOG: return log(p - log_origin(scale));
    case RXN_SCALE_LOGIT: return log(p - scale->low) - log(scale->high - p);
    case RXN_SCALE_LOG_LOGIT: return log(log_ratio(scale->low, p)) - log(log_ratio(p, scale->high));
    }
    return p;
}

double
rxn__scale_parameter(const RxnScale *scale, double coordinate)
{
    double u = coordinate, low = scale->low, high = scale->high;
    switch (scale->kind) {
    case RXN_SCALE_LINEAR: return clamp(scale, u);
    case RXN_SCALE_LOG:
        /* exp(log(bound)) may be a unit in the last place inside the bound, on which it is to lie. */
        if (scale->project && low > 0 && u <= log(low))
            return low;
        if (scale->project && high > 0 && u >= log(high))
            return high;
        return clamp(scale, log_origin(scale) + exp(u));
    case RXN_SCALE_LOGIT:
        return clamp(scale, u <= 0 ? low + (high - low) * smaller_part(-u)
                                   : high - (high - low) * smaller_part(u));
    case RXN_SCALE_LOG_LOGIT: {
        double part = log_ratio(low, high) * smaller_part(fabs(u));
        return clamp(scale, u <= 0 ? times_exp(low, part) : times_exp(high, -part));
    }
    }
    return u;
}

double
rxn__scale_slope(const RxnScale *scale, double coordinate)
{
    if (scale->kind == RXN_SCALE_LINEAR) /* hundreds of thousands are, at every step */
        return 1;
    double part = smaller_part(fabs(coordinate)), weight = part * (1 - part);
    switch (scale->kind) {
    case RXN_SCALE_LINEAR: break;
    case RXN_SCALE_LOG: return exp(coordinate);
    case RXN_SCALE_LOGIT: return (scale->high - scale->low) * weight;
    case RXN_SCALE_LOG_LOGIT:
        return rxn__scale_parameter(scale, coordinate) * log_ratio(scale->low, scale->high) *
               weight;
    }
    return 1;
}

void
rxn__scale_limits(const RxnScale *scale, double *ret_low, double *ret_high)
{
    *ret_low = -INFINITY;
    *ret_high = INFINITY;
    if (!scale->project)
        return;
    if (scale->kind == RXN_SCALE_LINEAR) {
        *ret_low = scale->low;
        *ret_high = scale->high;
    } else if (scale->kind == RXN_SCALE_LOG) {
        *ret_low = scale->low > 0 ? log(scale->low) : -INFINITY;
        *ret_high = log(scale->high);
    }
}
