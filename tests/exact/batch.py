#!/usr/bin/env python3
"""The batch method where it is meant to be used: large populations.

    batch.py --rxn PATH [--case NAME] [--list]

Closed forms: births and deaths around 10^8, decay of 10^9, decay of 10^5 down to the last. Means are tested by z, variances
by their chi-square as a normal deviate, distributions by Kolmogorov and Smirnov or a chi-square. Against the direct method on
the same model: the comparison of large_networks.py (Welch's t, two-sample Kolmogorov and Smirnov over all species and times).
Each case may reach what has the probability 1e-6, so the suite has a false alarm in 10^5 seeds; seeds are fixed. With N
trajectories of each a shift of the mean by 7 sqrt(2 / N) standard deviations is found with a probability of 0.9.

Small populations with boxes that are forced to be short (batch-short): how long a box may be, and what a sample cuts off.

Every other case also says how many steps of the kernel must suffice, far fewer than events: so single events, which the method
makes where nothing else pays, cannot pass for batches.
"""

import argparse
import collections
import math
import os
import subprocess
import sys
import tempfile

from distributions import gamma_tail
from large_networks import compare, kolmogorov, moments, normal_quantile, sample

FALSE_ALARM = 1e-6


def values(rxn, path, times, n, method="batch"):
    """{species: {time: [values]}}"""
    command = [rxn, "run", path, "--method", method, "-n", str(n), "--seed", "11", "--at", ",".join(map(repr, times)), "--each", "-o", "-",
               "--quiet"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if run.returncode:
        raise SystemExit("%s\n%s" % (" ".join(command), run.stderr))
    lines = run.stdout.splitlines()
    names = lines[0].split(",")[2:]
    result = {name: collections.defaultdict(list) for name in names}
    for line in lines[1:]:
        _, time, *row = line.split(",")
        for name, value in zip(names, row):
            result[name][float(time)].append(float(value))
    return result


def against_normal(what, seen, mean, variance, tests):
    """Lines that say where mean, variance or distribution are not those of a normal number."""
    wrong, n = [], len(seen)
    most = normal_quantile(FALSE_ALARM / tests)
    m, v = moments(seen)
    z_mean = (m - mean) / math.sqrt(variance / n)
    z_variance = (v / variance - 1) / math.sqrt(2 / (n - 1))
    inside = [0.5 * math.erfc(-(x - mean) / math.sqrt(2 * variance)) for x in seen]
    inside.sort()
    distance = max(max((k + 1) / n - u, u - k / n) for k, u in enumerate(inside))
    d_most = math.sqrt(-math.log(FALSE_ALARM / tests / 2) / (2 * n))
    if abs(z_mean) > most or abs(z_variance) > most or distance > d_most:
        wrong.append("%s: mean off by %.1f, variance by %.1f standard errors, distribution by %.3f of at most %.3f" % (
            what, z_mean, z_variance, distance, d_most))
    return wrong


def births_and_deaths(rxn, path):
    """A(0) = m: at t the sum of a Poisson number of m (1 - q) and a binomial one of m and q = exp(-t)."""
    m, times = 1e8, (0.02, 0.1)
    seen = values(rxn, path, times, 400)["A"]
    wrong = []
    for t in times:
        q = math.exp(-t)
        wrong += against_normal("t = %g" % t, seen[t], m, m * (1 - q) + m * q * (1 - q), 6)
    return wrong


def decay(rxn, path):
    m, times = 1e9, (0.01, 0.05)
    seen = values(rxn, path, times, 400)["A"]
    wrong = []
    for t in times:
        q = math.exp(-t)
        wrong += against_normal("t = %g" % t, seen[t], m * q, m * q * (1 - q), 6)
    return wrong


def binomial(m, q):
    return [math.exp(math.lgamma(m + 1) - math.lgamma(k + 1) - math.lgamma(m - k + 1) + k * math.log(q) + (m - k) * math.log1p(-q))
            for k in range(min(m, 400) + 1)]


def against_counts(seen, probability, tests=1):
    """Lines that say that whole numbers have not these probabilities; those expected fewer than 10 times are one bin."""
    counts, n = collections.Counter(int(v) for v in seen), len(seen)
    statistic, bins, tail, rest = 0.0, 0, 1.0, n
    for k, p in enumerate(probability):
        if n * p >= 10:
            statistic += (counts[k] - n * p) ** 2 / (n * p)
            tail, rest, bins = tail - p, rest - counts[k], bins + 1
    if n * tail >= 10:
        statistic, bins = statistic + (rest - n * tail) ** 2 / (n * tail), bins + 1
    p = gamma_tail((bins - 1) / 2, statistic / 2)
    return ["p = %.3g" % p] if p < FALSE_ALARM / tests else []


def last_ones(rxn, path):
    """Binomial with a mean of 2: batches have become single events on the way."""
    t = math.log(50000)
    return against_counts(values(rxn, path, (t,), 2000)["A"][t], binomial(100000, 2e-5))


def short_decay(rxn, path):
    """Boxes of 7 candidates that all go to one edge: it has to be where it is."""
    times = (0.2, 0.5, 1.0)
    seen = values(rxn, path, times, 100000, "batch-short")["A"]
    return [line for t in times for line in against_counts(seen[t], binomial(30, math.exp(-t)), 3)]


def many_stops(rxn, path):
    """A sample after each event or so: the batches that they cut short are as many as those that they do not."""
    times, q = [k / 20 for k in range(1, 61)], math.exp(-0.3)
    seen = values(rxn, path, times, 20000, "batch-short")["A"][3.0]
    old, mean = binomial(100, q), 100 * (1 - q)
    new = [math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(150)]
    return against_counts(seen, [sum(old[i] * new[k - i] for i in range(max(0, k - 149), min(k, 100) + 1)) for k in range(250)])


def two_samples(times, n):
    def test(rxn, path):
        a, b = (sample(rxn, path, method, times, n, seed) for method, seed in (("batch", 1), ("direct", 2)))
        return compare("", a, b)[0]

    return test


# Name: model, test, and (but for short boxes) for one trajectory: its end, events at least, steps that suffice.
CASES = {
    "births_and_deaths": ("species A = 100000000; 0 -> A @ 1e8; A -> 0 @ 1", births_and_deaths, 0.1, 10000000, 30000),
    "decay": ("species A = 1000000000; A -> 0 @ 1", decay, 0.05, 40000000, 10000),
    "last_ones": ("species A = 100000; A -> 0 @ 1", last_ones, 11, 99900, 5000),
    "short_decay": ("species A = 30; A -> 0 @ 1", short_decay),
    "many_stops": ("species A = 100; 0 -> A @ 10; A -> 0 @ 0.1", many_stops),
    "lotka_volterra": ("param V = 3e4; species X = 1.2 * V, Y = 0.8 * V; X -> 2 X @ 1; X + Y -> 2 Y @ 1 / V; Y -> 0 @ 1",
                       two_samples((0.05, 1, 3), 500), 3, 150000, 20000),
    "dimerisation": ("species M = 200000, D = 10000; 2 M <-> D @ 1e-6, 0.2", two_samples((0.5, 3), 500), 3, 40000, 2000),
    # From twenty to most: single events first, batches with the infected held, batches.
    "epidemic": ("param N = 1e5; species S = N - 20, I = 20, R = 0; S + I -> 2 I @ 2 / N; I -> R @ 1",
                 two_samples((1, 4, 12), 400), 12, 100000, 12000),
    "gene": ("species G = 1, P = 200000; G <-> Goff @ 3, 5; G -> G + P @ 8e5; P -> 0 @ 1; Goff -> Goff + P @ 1e4".replace(
        "species G = 1", "species G = 1, Goff = 0"), two_samples((0.1, 0.4), 400), 0.4, 80000, 4000),
    "laws": ("param K = 5e4; species S = 100000, P = 20000, Q = 300000; S => P @ 3e5 * S / (K + S); "
             "P => S @ 4e5 * (P / K)^2 / (1 + (P / K)^2); P + Q -> P @ 1e-5; 0 => Q @ max(0, 3e5 - Q) + 1e5 * exp(-P / K); "
             "at 0.2: S = S + 1000", two_samples((0.1, 0.4), 500), 0.4, 190000, 15000),
    "coefficients": ("species A = 300000, B = 100000, C = 0; 3 A + B -> 2 B + C @ 6e-16; 2 C -> 5 A @ 1e-5; B + C -> A @ 2e-6",
                     two_samples((0.3, 1.5), 400), 1.5, 100000, 15000),
    # A few molecules, by reactions that add or take many at once: single events alone.
    "bursts": ("species A = 3; species B = 0; A -> 20 A @ 0.2; 7 A -> B @ 0.0005; B -> 5 A @ 0.4; A => 0 @ A*A/(A+10)",
               two_samples((0.3, 1, 1.5), 20000)),
}  # fmt: skip


def batches(rxn, path, end, events, steps):
    """Whether so few steps make so many events."""
    command = [rxn, "run", path, "--method", "batch", "-n", "1", "--until", str(end), "--every", str(end), "--quiet", "--json", "-", "-o",
               os.devnull, "--step-limit", str(steps)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if run.returncode:
        return ["%d steps do not suffice: %s" % (steps, run.stderr)]
    made = int(run.stdout.split('"events":')[1].split(",")[0])
    return [] if made >= events else ["only %d events" % made]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rxn")
    parser.add_argument("--case", action="append")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(CASES))
        return 0
    failures = 0
    for name in options.case or CASES:
        text, test, *limits = CASES[name]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.rxn")
            with open(path, "w", encoding="utf-8") as file:
                file.write("model m\n%s\n" % text.replace("; ", "\n"))
            wrong = (batches(options.rxn, path, *limits) if limits else []) + test(options.rxn, path)
        print("%s: %s" % (name, "; ".join(wrong) or "as it should be"), flush=True)
        failures += bool(wrong)
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
