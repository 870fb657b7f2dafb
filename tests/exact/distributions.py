#!/usr/bin/env python3
"""Whole distributions of the compiler's trajectories against exact probabilities (chi-square).

    distributions.py --rxn PATH [--case NAME] [--precision f64|f32] [--n N]

Means and standard deviations (run.py) do not see everything: these tests look at single
trajectories (`--each`) and compare how often each outcome came with its exact probability,
which is computed here, apart from the compiler:

    stationary_poisson   immigration and death, late: Poisson
    stationary_binomial  independent two-state channels, late: binomial
    first_events         which reaction fires first, second and third (27 orders)
    waiting_time         when a single molecule decays: exponential, in bins down to 1e-3
    joint_states         a small epidemic: every joint state (S, I) at two times
    switches             150 molecules that are each a species of its own, by the methods for large networks: binomial

Outcomes expected fewer than ten times are pooled. The seed is fixed; with a fresh one each test
fails by chance with probability 1e-7, so the suite of 25 chi-squares with 2.5e-6.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
STDLIB = os.path.join(HERE, "..", "..", "stdlib_models")
OWN = os.path.join(HERE, "models")

SEED = 27182818
LEAST_P = 1e-7
LEAST_EXPECTED = 10.0


class Failure(Exception):
    pass


# ---------------------------------------------------------------- chi-square


def gamma_tail(a, x):
    """Q(a, x), the upper regularised incomplete gamma function: its series where x < a + 1, its
    continued fraction (modified Lentz) elsewhere. M. Abramowitz, I. A. Stegun, 6.5.29, 6.5.31."""
    if x <= 0:
        return 1.0
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        term = total = 1.0 / a
        k = a
        while term > total * 1e-16:
            k += 1
            term *= x / k
            total += term
        return 1.0 - total * front
    b = x + 1 - a
    c = 1e300
    d = 1 / b
    h = d
    for i in range(1, 10000):
        an = -i * (i - a)
        b += 2
        d = 1 / (an * d + b)
        c = b + an / c
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return front * h


def chi_square(what, counts, probabilities):
    """`counts` and `probabilities`: dictionaries by outcome. What has probability 0 may not come."""
    n = sum(counts.values())
    total = math.fsum(probabilities.values())
    if abs(total - 1) > 1e-9:
        raise Failure("%s: the exact probabilities sum to %.12g" % (what, total))
    for outcome, count in counts.items():
        if probabilities.get(outcome, 0.0) == 0.0:
            raise Failure("%s: %r came %d times and is impossible" % (what, outcome, count))
    bins = []
    pool_seen = pool_expected = 0.0
    for outcome, p in probabilities.items():
        if n * p >= LEAST_EXPECTED:
            bins.append((counts.get(outcome, 0), n * p))
        else:
            pool_seen += counts.get(outcome, 0)
            pool_expected += n * p
    if pool_expected >= LEAST_EXPECTED:
        bins.append((pool_seen, pool_expected))
    elif pool_seen > 60:  # Poisson with mean below 10: 60 or more has probability below 1e-20
        raise Failure("%s: rare outcomes came %d times, %.3g were expected" % (what, pool_seen, pool_expected))
    if len(bins) < 2:
        raise Failure("%s: only %d outcomes to compare" % (what, len(bins)))
    statistic = math.fsum((seen - expected) ** 2 / expected for seen, expected in bins)
    p = gamma_tail((len(bins) - 1) / 2, statistic / 2)
    print("%-40s n %8d  outcomes %4d  chi-square %9.2f  p %.3g" % (what, n, len(bins), statistic, p))
    if not p >= LEAST_P:
        for outcome, q in sorted(probabilities.items(), key=lambda item: -item[1])[:30]:
            print("    %-24s seen %8d  expected %12.2f" % (outcome, counts.get(outcome, 0), n * q))
        raise Failure("%s: p = %.3g" % (what, p))


# ---------------------------------------------------------------- running


class Runner:
    def __init__(self, arguments, folder):
        self.arguments = arguments
        self.folder = folder

    def each(self, model, n, at, method="auto"):
        """Counts of every trajectory: (trajectory, time) -> tuple, in `observe` order."""
        n = self.arguments.n or n
        out = os.path.join(self.folder, "each.csv")
        command = [self.arguments.rxn, "run", model, "-n", str(n), "--seed", str(SEED), "--each", "--quiet"]
        command += ["--precision", self.arguments.precision, "--until", repr(max(at)), "--method", method]
        command += ["--at", ",".join(repr(t) for t in at), "-o", out]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failure("%s\nexit status %d\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
        wanted = {round(t, 9): k for k, t in enumerate(at)}
        rows = [{} for _ in at]
        with open(out) as f:
            header = f.readline().rstrip("\n").split(",")
            if header[:2] != ["trajectory", "time"]:
                raise Failure("unexpected header %s" % header)
            for line in f:
                values = line.rstrip("\n").split(",")
                k = wanted.get(round(float(values[1]), 9))
                if k is None:
                    continue
                state = tuple(float(v) for v in values[2:])
                if any(v != int(v) or v < 0 for v in state):
                    raise Failure("a count that is not a whole number: %s" % line)
                rows[k][int(values[0])] = tuple(int(v) for v in state)
        for k, t in enumerate(at):
            if len(rows[k]) != n:
                raise Failure("%d trajectories at time %g, %d were asked for" % (len(rows[k]), t, n))
        return rows


def tally(outcomes):
    counts = {}
    for outcome in outcomes:
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts


# ---------------------------------------------------------------- the cases


def stationary_poisson(run):
    rows = run.each(os.path.join(STDLIB, "immigration_death.rxn"), 100000, [150.0])
    mean = 1 / 0.1 * -math.expm1(-0.1 * 150)
    probabilities = {(k,): math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(120)}
    chi_square("immigration-death at 150", tally(rows[0].values()), probabilities)


def stationary_binomial(run):
    rows = run.each(os.path.join(STDLIB, "ion_channel_2state.rxn"), 100000, [25.0])
    p = 0.4 * -math.expm1(-25.0)
    probabilities = {(k,): math.comb(50, k) * p**k * (1 - p) ** (50 - k) for k in range(51)}
    chi_square("two-state channels at 25", tally(rows[0].values()), probabilities)


def first_events(run):
    """Exact probabilities of the orders: products of a_r / a_0 along the way."""
    rows = run.each(os.path.join(OWN, "first_events.rxn"), 200000, [1000.0])
    changes = {"a": (-2, 1, 0), "b": (-1, -1, 1), "c": (1, -1, -1)}

    def propensities(A, B, C):
        return {"a": 0.01 * A * (A - 1) / 2, "b": 0.02 * A * B, "c": 0.05 * B * C}

    def orders(state, length):
        if length == 0:
            return {"": 1.0}
        rates = propensities(*state)
        total = sum(rates.values())
        out = {}
        for r, rate in rates.items():
            after = tuple(s + d for s, d in zip(state, changes[r]))
            for rest, p in orders(after, length - 1).items():
                out[r + rest] = rate / total * p
        return out

    def order_of(state):
        if state[0] != 3:
            return "%d events" % state[0]
        places = [state[1 + 3 * k : 4 + 3 * k] for k in range(3)]
        if any(sum(place) != 1 for place in places):
            return "counters %s" % (places,)
        return "".join("abc"[place.index(1)] for place in places)

    probabilities = orders((10, 6, 3), 3)
    seen = tally(order_of(state) for state in rows[0].values())
    first = {r: sum(p for o, p in probabilities.items() if o[0] == r) for r in "abc"}
    impossible = [o for o in seen if o not in probabilities]
    if impossible:
        raise Failure("first events: %s came, and is impossible" % impossible[0])
    chi_square("the first event", tally(o[0] for o, c in seen.items() for _ in range(c)), first)
    chi_square("the first three events", seen, probabilities)


def waiting_time(run):
    at = [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    rows = run.each(os.path.join(OWN, "survival.rxn"), 100000, at)
    counts = {}
    for trajectory in rows[0]:
        alive = [rows[k][trajectory][0] for k in range(len(at))]
        died = alive.index(0) if 0 in alive else len(at)
        if any(alive[died:]):
            raise Failure("waiting time: trajectory %d came back to life" % trajectory)
        counts[died] = counts.get(died, 0) + 1
    edges = [0.0] + at
    probabilities = {k: math.exp(-edges[k]) - math.exp(-edges[k + 1]) for k in range(len(at))}
    probabilities[len(at)] = math.exp(-at[-1])
    chi_square("the time of one decay", counts, probabilities)


def joint_states(run):
    """The master equation of twelve people, all 91 states, by uniformisation."""
    at = [1.0, 2.0]
    rows = run.each(os.path.join(OWN, "small_epidemic.rxn"), 100000, at)
    beta, gamma, n = 0.15, 0.5, 12

    def moves(s, i):
        if s and i:
            yield (s - 1, i + 1), beta * s * i
        if i:
            yield (s, i - 1), gamma * i

    states = [(s, i) for s in range(n + 1) for i in range(n + 1 - s)]
    rate = max(sum(a for _, a in moves(*x)) for x in states)
    p = {(10, 2): 1.0}
    now = 0.0
    for k, t in enumerate(at):
        mean = rate * (t - now)
        now = t
        weight = math.exp(-mean)
        out = {x: weight * q for x, q in p.items()}
        for j in range(1, int(mean + 12 * math.sqrt(mean) + 40)):
            after = {}
            for x, q in p.items():
                leaving = 0.0
                for y, a in moves(*x):
                    after[y] = after.get(y, 0.0) + q * a / rate
                    leaving += a
                after[x] = after.get(x, 0.0) + q * (1 - leaving / rate)
            p = after
            weight *= mean / j
            for x, q in p.items():
                out[x] = out.get(x, 0.0) + weight * q
        p = out
        chi_square("a small epidemic at %g" % t, tally(rows[k].values()), p)


def switches(run):
    """Of k molecules that are independent, each on with the probability q, a binomial number is on."""
    at, k = [0.25, 1.5], 50
    rates = {"slow": (0.5, 0.25), "even": (1.0, 1.0), "fast": (2.0, 3.0)}
    for method in ("rejection-sparse", "rejection", "composition"):
        rows = run.each(os.path.join(OWN, "switches.rxn"), 20000, at, method)
        for column, (name, (off, on)) in enumerate(rates.items()):
            for t, row in zip(at, rows):
                q = (on + off * math.exp(-(on + off) * t)) / (on + off)
                probabilities = {j: math.comb(k, j) * q**j * (1 - q) ** (k - j) for j in range(k + 1)}
                seen = tally(state[column] for state in row.values())
                chi_square("%s switches at %g, %s" % (name, t, method), seen, probabilities)


CASES = {
    "stationary_poisson": stationary_poisson,
    "stationary_binomial": stationary_binomial,
    "first_events": first_events,
    "waiting_time": waiting_time,
    "joint_states": joint_states,
    "switches": switches,
}


def main():
    parser = argparse.ArgumentParser(description="exact tests of rxn: whole distributions")
    parser.add_argument("--rxn", required=True, help="the compiler's executable")
    parser.add_argument("--case", action="append", choices=list(CASES), help="default: all")
    parser.add_argument("--precision", default="f64", choices=("f64", "f32"))
    parser.add_argument("--n", type=int, help="trajectories, instead of each case's own number")
    arguments = parser.parse_args()
    failed = []
    for name in arguments.case or list(CASES):
        with tempfile.TemporaryDirectory(prefix="rxn-exact-") as folder:
            try:
                CASES[name](Runner(arguments, folder))
            except Failure as failure:
                print(failure)
                failed.append(name)
        sys.stdout.flush()
    print("failed: %s" % ", ".join(failed) if failed else "passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
