#!/usr/bin/env python3
"""Methods for large networks against the direct method, on networks that other programs made.

    large_networks.py --rxn PATH --data FOLDER [--network NAME] [--n N]

FOLDER holds BioNetGen networks (NAME.net) and, for one of them, means and standard deviations of an independent program.

Two samples of every observable at several times, of different seeds: means are compared in standard errors (the t
statistic of Welch), distributions by the two-sample statistic of Kolmogorov and Smirnov, which for counts is
conservative. With m comparisons each may reach what has the probability 1e-6 / m: a false alarm in a million runs. A
shift of the mean by 5.5 sqrt(2 / N) standard deviations is found with a probability of one half, by 7 sqrt(2 / N)
with 0.9.
"""

import argparse
import collections
import csv
import io
import math
import os
import subprocess
import sys

# network, times, trajectories: those that the direct method makes in some seconds
CASES = (("multistate", (1, 5, 20), 4000), ("multisite2", (0.5, 2, 5), 400), ("egfr_net", (0.05, 0.5), 200), ("BCR", (0.005, 0.02), 100),
         ("fceri_gamma2", (1, 3), 60))
FALSE_ALARM = 1e-6


def sample(rxn, path, method, times, n, seed):
    """{observable: [values of each time]}"""
    command = [rxn, "run", path, "--method", method, "-n", str(n), "--seed", str(seed), "--at", ",".join(map(str, times)), "--each",
               "-o", "-", "--quiet"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if run.returncode:
        raise SystemExit("%s\n%s" % (" ".join(command), run.stderr))
    rows = csv.reader(io.StringIO(run.stdout))
    names = next(rows)[2:]
    values = {name: collections.defaultdict(list) for name in names}
    for row in rows:
        for name, value in zip(names, row[2:]):
            values[name][float(row[1])].append(float(value))
    return values


def moments(values):
    mean = sum(values) / len(values)
    return mean, sum((v - mean) ** 2 for v in values) / (len(values) - 1)


def kolmogorov(a, b):
    """The largest difference of the two empirical distributions."""
    points = sorted(set(a) | set(b))
    a, b = sorted(a), sorted(b)
    i = j = 0
    worst = 0
    for p in points:
        while i < len(a) and a[i] <= p:
            i += 1
        while j < len(b) and b[j] <= p:
            j += 1
        worst = max(worst, abs(i / len(a) - j / len(b)))
    return worst


def normal_quantile(tail):
    """z with P(|Z| > z) = tail, by bisection of erfc."""
    low, high = 0.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(middle / math.sqrt(2)) > tail else (low, middle)
    return high


def compare(name, a, b):
    """Lines that say what differs."""
    wrong, varied = [], 0
    comparisons = 2 * sum(len(times) for times in a.values())
    z_most = normal_quantile(FALSE_ALARM / comparisons)
    for observable, times in a.items():
        for time, x in times.items():
            y = b[observable][time]
            (mean_x, var_x), (mean_y, var_y) = moments(x), moments(y)
            se = math.sqrt(var_x / len(x) + var_y / len(y))
            varied += se > 0
            # One trajectory more or less with a rare count is no evidence against a mean.
            se = max(se, 1 / len(x) if mean_x != mean_y and min(var_x, var_y) == 0 else 0)
            z = (mean_x - mean_y) / se if se else 0.0 if mean_x == mean_y else math.inf
            scale = math.sqrt(len(x) * len(y) / (len(x) + len(y)))
            # P(D > d) <= 2 exp(-2 d^2 nm/(n+m)) asymptotically.
            d_most = math.sqrt(-math.log(FALSE_ALARM / comparisons / 2) / 2) / scale
            d = kolmogorov(x, y)
            if abs(z) > z_most or d > d_most:
                wrong.append("%s: %s at %g: means %g and %g, %.1f standard errors; distributions differ by %.3f" % (
                    name, observable, time, mean_x, mean_y, z, d))
    if not varied:
        wrong.append("%s: nothing varies, so nothing was tested" % name)
    return wrong, comparisons


def against_figures(rxn, folder, method):
    """The means of multistate against those that an independent program found, at all of its times."""
    rows = [r for r in csv.reader(open(os.path.join(folder, "multistate_ssa.csv"))) if r and not r[0].startswith("#")]
    names = [n[:-len("-mean")] for n in rows[0][1::2]]
    times = [float(r[0]) for r in rows[1:]]
    theirs, n = 50000, 4000
    ours = sample(rxn, os.path.join(folder, "multistate.net"), method, times, n, 3)
    z_most = normal_quantile(FALSE_ALARM / (len(times) * len(names)))
    wrong = []
    for row in rows[1:]:
        for k, name in enumerate(names):
            mean, sd = float(row[1 + 2 * k]), float(row[2 + 2 * k])
            values = ours[name][float(row[0])]
            difference = sum(values) / n - mean
            se = sd * math.sqrt(1 / n + 1 / theirs)
            if abs(difference) > z_most * se + 1e-9:
                wrong.append("multistate by %s: %s at %s is off by %g ± %g" % (method, name, row[0], difference, se))
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rxn", required=True)
    parser.add_argument("--data", default=None, help="the folder of the networks")
    parser.add_argument("--network", action="append", help="only these")
    parser.add_argument("--method", default="rejection")
    parser.add_argument("--n", type=int, help="trajectories of each method")
    options = parser.parse_args()
    folder = options.data or os.path.join(os.environ.get("RXN_TEST_DATA", ""), "networks")
    if not options.data and not os.environ.get("RXN_TEST_DATA"):
        print("skipped: RXN_TEST_DATA, the folder that holds networks/, is not set")
        return 77
    failures = 0
    for name, times, n in CASES:
        if options.network and name not in options.network:
            continue
        n = options.n or n
        path = os.path.join(folder, name + ".net")
        wrong, comparisons = compare(name, sample(options.rxn, path, options.method, times, n, 1),
                                     sample(options.rxn, path, "direct-table", times, n, 2))
        if name == "multistate":
            wrong += against_figures(options.rxn, folder, options.method)
        failures += bool(wrong)
        print("%s: %d comparisons of %d trajectories each, %d wrong" % (name, comparisons, n, len(wrong)))
        for line in wrong[:10]:
            print("  " + line)
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
