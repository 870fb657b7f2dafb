#!/usr/bin/env python3
"""Random small networks against their exact distributions.

    random_networks.py --rxn PATH [--seeds 1-40] [--methods direct-unrolled,direct-table,rejection,...]
                       [--precisions f64,f32] [--n N] [--compare] [--applicable] [--show]
    random_networks.py --rxn PATH --corners

A seed makes a network with a finite state space from the parts of the language whose meaning
can go wrong: mass action with coefficients, `=>` laws, catalysts, families, reactants that
coincide, rates that jump or glide in time, user bounds, `at`, `every` and `when` events, several
things at one instant. Its master equation is solved here, apart from the compiler: adaptive
Runge-Kutta (Dormand and Prince 1980) between the instants where something jumps; events are
maps of the distribution; whether a `when` condition held is a part of the state. Expressions are
written twice by the generator, in the language and in Python. Then single trajectories of every
method and precision are counted, and their joint states at each sample time tested (chi-square;
a state that is impossible fails at once).

False alarms: a test with p < 1e-3 is repeated with fresh random numbers and twenty times the
trajectories, and fails if p < 1e-6 then: 1e-9 a test, 5e-7 for the 500 tests of the standard
seeds. An error of 2% of the probability mass, or of about 1% spread over few states, is found.

With --compare: all lane widths and the interpreter give the same bytes, for every seed.
With --corners: what random networks seldom meet, in models whose outcome is certain or nearly so:
the order of events at one instant, totals of -0.0, times before the start, the ends of f32.
"""

import argparse
import collections
import math
import os
import random
import subprocess
import sys
import tempfile

from distributions import gamma_tail
from master_equation import Master
from random_models import Failure, Generator, Model, Rejected

SUSPICIOUS_P = 1e-3
LEAST_P = 1e-6
REPEAT = 20
LEAST_EXPECTED = 15.0
MOST_SECONDS = 60  # a run takes well under one
LANES = (1, 2, 4, 8, 16, 32)


def make(seed, takes=lambda model: True):
    """The seed's first model that `takes` takes."""
    choice = random.Random(seed)
    while True:
        try:
            model = Generator(choice).network()
            if takes(model):
                return model, Master(model).solve()
        except Rejected:
            continue


def written(model):
    """The path of a file with the model's text."""
    handle, path = tempfile.mkstemp(suffix=".rxn")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(model.text())
    return path


def applies(options, model):
    """Whether all the methods can simulate this model."""
    path = written(model)
    try:
        for method in options.methods.split(","):
            done = subprocess.run([options.rxn, "run", path, "-n", "1", "--until", "0", "--every", "1", "--quiet", "-o", "-",
                                   "--device", "interpreter", "--method", method], capture_output=True, check=False)
            if b"cannot simulate this model" in done.stderr:
                return False
    finally:
        os.unlink(path)
    return True


# ---------------------------------------------------------------- the runs


def run(program, path, model, flags):
    command = [program, "run", path, "--each", "--quiet", "-o", "-", "--until", repr(model.end),
               "--at", ",".join(repr(t) for t in model.samples), *flags]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Failure("never ended: " + " ".join(command)) from None
    if done.returncode != 0:
        raise Failure("%s\n%s" % (" ".join(command), done.stderr.decode()))
    return done.stdout


def chi_square(observed, exact, n):
    """p, or a Failure where an impossible state was seen."""
    for state, count in observed.items():
        if exact.get(state, 0.0) < 1e-14:
            raise Failure("%d times in state %s, which is impossible" % (count, state))
    rows = sorted((n * probability, observed.get(state, 0)) for state, probability in exact.items())
    bins, expected, seen = [], 0.0, 0
    for e, count in rows:  # the rare ones are pooled, from the rarest up
        expected, seen = expected + e, seen + count
        if expected >= LEAST_EXPECTED:
            bins.append((expected, seen))
            expected, seen = 0.0, 0
    if bins:
        bins[-1] = (bins[-1][0] + expected, bins[-1][1] + seen)
    if len(bins) < 2:
        return 1.0
    statistic = sum((seen - e) ** 2 / e for e, seen in bins)
    return gamma_tail((len(bins) - 1) / 2, statistic / 2)


def count_states(output, model):
    counts = collections.Counter(line.split(b",", 1)[1] for line in output.splitlines()[1:])
    result = {t: {} for t in model.samples}
    for line, count in counts.items():
        time, *values = line.split(b",")
        result[float(time)][tuple(int(v) for v in values)] = count
    return result


def test_distribution(program, path, model, exact, flags, n, seed):
    for t, observed in count_states(run(program, path, model, ["-n", str(n), "--seed", str(seed), *flags]), model).items():
        if sum(observed.values()) != n:
            raise Failure("t = %s: %d rows" % (t, sum(observed.values())))
        yield t, chi_square(observed, exact[t], n)


def test_model(options, path, model, exact, seed):
    least, tests = 1.0, 0
    for method in options.methods.split(","):
        for precision in options.precisions.split(","):
            flags = ["--method", method, "--precision", precision]
            first = list(test_distribution(options.rxn, path, model, exact, flags, options.n, seed))
            tests += len(first)
            worst = min(p for _, p in first)
            least = min(least, worst)
            if worst >= SUSPICIOUS_P:
                continue
            again = dict(test_distribution(options.rxn, path, model, exact, flags, REPEAT * options.n, seed + 1000003))
            for t, p in first:
                if p < SUSPICIOUS_P and again[t] < LEAST_P:
                    raise Failure("%s, %s, t = %s: p = %.3g, then %.3g" % (method, precision, t, p, again[t]))
    return least, tests


def compare(options, path, model):
    """The same bytes from every lane width, from the interpreter, and from a longer run."""
    for method in options.methods.split(","):
        for precision in options.precisions.split(","):
            flags = ["--method", method, "--precision", precision, "--threads", "1"]
            oracle = run(options.rxn, path, model, ["-n", "70", *flags, "--device", "interpreter"])
            for lanes in LANES:
                if run(options.rxn, path, model, ["-n", "70", *flags, "--lanes", str(lanes)]) != oracle:
                    raise Failure("%s, %s: %d lanes differ from the interpreter" % (method, precision, lanes))
            if not oracle.startswith(run(options.rxn, path, model, ["-n", "1", *flags])):
                raise Failure("%s, %s: the first trajectory depends on -n" % (method, precision))


# ---------------------------------------------------------------- corners

# Name, model, sample times, and the counts at each: the same in every trajectory, precision and
# method. The last sample time is the end.
CERTAIN = (
    ("swap at the start", "species A = 1, B = 2; A -> B @ 0; at 0: A = B, B = A", (0, 1), "2,1 2,1"),
    ("swap at the end", "species A = 1, B = 2; A -> B @ 0; at 1: A = B, B = A", (0, 1), "1,2 2,1"),
    ("timed events in order, then when",
     "species A = 1, B = 2; A -> 0 @ 0; at 1: A = 10; at 1: B = A + 1; every 0.5: A = A + 1; "
     "when A > 10: B = B + 100", (0, 0.5, 1), "1,2 2,2 11,111"),
    ("every from before the start",
     "param early = -5; species A = 1; A -> 0 @ 0; every 2 from early until 5: A = A + 1",
     (0, 1, 2, 3, 5, 10), "1 2 2 3 4 4"),
    ("every from the start", "species A = 1; A -> 0 @ 0; every 2 from 0 until 4: A = A + 1",
     (0, 1, 2, 4, 9), "2 2 3 4 4"),
    ("when, true at the start", "species A = 5, B = 0; A -> 0 @ 0; when A > 3: B = B + 1; "
     "at 1: A = 0; at 2: A = 9", (0, 1, 2, 3), "5,0 0,0 9,1 9,1"),
    ("when, of an event at the start", "species A = 1, B = 0; A -> 0 @ 0; when A > 3: B = B + 1; "
     "at 0: A = 9", (0, 1), "9,1 9,1"),
    ("when, of time", "species B = 0; B -> 0 @ 0; when t > 0.5: B = B + 1; "
     "when t >= 1 and t < 2: B = B + 10", (0, 0.5, 1, 2), "0 1 11 11"),
    ("when, at the end", "species B = 0; B -> 0 @ 0; when t >= 1: B = 7", (0.5, 1), "0 7"),
    ("when sets off an earlier one", "species A = 0, B = 0, C = 0; A -> 0 @ 0; when C == 1: A = 77; "
     "when B == 1: C = 1; when A == 1: B = 1; at 1: A = 1", (0, 1), "0,0,0 77,1,1"),
    ("a reset that its own event undoes", "species A = 0, B = 0; A -> 0 @ 0; "
     "when A > 5: A = A + 1, B = B + 1; at 1: A = 6; at 2: A = 0; at 2: A = 9; at 3: A = 0; at 4: A = 6",
     (1, 2, 3, 4), "7,1 9,1 0,1 7,2"),
    ("a total of -0.0", "species A = 4; 2 A -> 0 @ 100", (0, 10), "4 0"),
    ("a total of -0.0 at the start", "species A = 1, B = 0; 3 A -> B @ 1; at 5: A = 4, B = 0",
     (4, 1000000), "1,0 1,1"),
    ("no rate until an event", "species A = 0; A -> 0 @ 10; at 5: A = 1; at 50: A = 1",
     (4, 5, 49, 50, 99), "0 1 0 1 0"),
    ("a condition of a time before the start", "param early = -0.5; species A = 0; A -> 0 @ 0; "
     "when t > early: A = 9", (0, 1), "0 0"),
    ("no reaction", "species A = 5; at 1: A = 2 * A", (0, 1, 2), "5 10 10"),
    ("a huge rate", "param k = 1e300; species A = 5; A => 0 @ k * A", (0, 1), "5 0"),
    ("a tiny rate", "param k = 5e-324; species A = 5; A -> 0 @ k", (0, 1e9), "5 5"),
    ("an observable past 2^24", "species A = 16777213, B = 3; A -> B @ 0; observe s = A + 2*B",
     (0, 1), "16777219 16777219"),
    ("a short time late", "species A = 0; A -> 0 @ 0; when t > 1000000.005 and t < 1000000.01: A = 7",
     (1000000.001, 1000000.007, 1000001), "0 7 7"),
)  # fmt: skip

# Name, model, end, and the mean of a Poisson count there, which is an integral over the rate.
POISSON = (
    ("no clock before zero", "param early = -0.5; species A = 0; 0 -> A @ if t < early then 1 else 2", 1, 2.0),
    ("a pulse late", "species A = 0; 0 -> A @ if t >= 1e6 and t < 1000000.01 then 500 else 0", 1000001, 5.0),
    ("nothing for long", "species A = 0; 0 -> A @ max(0, t - 1e6)", 1000002, 2.0),
    ("a rate that explodes", "species A = 0; 0 -> A @ 1e-8 * exp(t)", 20, 1e-8 * (math.exp(20) - 1)),
    ("a bound that would be infinite beyond the end", "species A = 0; 0 -> A @ abs(1 / (t - 5))", 4.5, math.log(10)),
    ("many turns", "species A = 0; 0 -> A @ 3 * (1 + sin(1e4 * t))", 2, 6 + 3e-4 * (1 - math.cos(2e4))),
    ("the least bound", "param k = 0.37; species A = 0; 0 -> A @ k * 1.1 * (1 + sin(20 * t)) bound k * 2.2",
     6, 0.407 * (6 + (1 - math.cos(120)) / 20)),
    ("rare and long", "species A = 0; 0 -> A @ 1e-8 * (1 + sin(t / 1e6))", 1e8, 1 + 1e-2 * (1 - math.cos(100))),
)  # fmt: skip

# Name, model, end, precisions, and what the fault says.
FAULTS = (
    ("conditions that set each other off", "species A = 0, B = 0; A -> 0 @ 0; when A > 5: A = 0, B = 10; "
     "when B > 5: B = 0, A = 10; at 1: A = 6", 2, "f64,f32", "trigger each other"),
    ("a rate that is infinite inside the run", "species A = 0; 0 -> A @ abs(1 / (t - 5))", 6, "f64,f32",
     "not a finite number"),
    ("a count that f32 would round", "param big = 16777217; species A = 0; A -> 0 @ 0; at 1: A = big", 2, "f32",
     "more than f32 counts"),
    ("a sum that f32 would round", "species A = 16777216, B = 1; B -> 0 @ 1e-9; at 1: A = A + B", 2, "f32",
     "more than f32 counts"),
)  # fmt: skip


def corner(options, text, times, flags):
    """One model, written from its parts; returns what a run writes."""
    model = Model()
    model.lines = text.split("; ")
    model.end, model.samples = times[-1], list(times)
    path = written(model)
    try:
        return run(options.rxn, path, model, flags)
    finally:
        os.unlink(path)


def check_certain(options, text, times, states, flags):
    output = corner(options, text, times, ["-n", "9", *flags]).decode().splitlines()[1:]
    expected = states.split(" ")
    for number_, line in enumerate(output):
        _, _, state = line.split(",", 2)
        if state != expected[number_ % len(times)]:
            raise Failure("wrote %s, where %s was due" % (line, expected[number_ % len(times)]))
    if len(output) != 9 * len(times):
        raise Failure("%d rows" % len(output))


def check_poisson(options, text, end, mean, flags):
    n = 20000
    output = corner(options, text, (end,), ["-n", str(n), *flags])
    counts = collections.Counter(int(line.rsplit(b",", 1)[1]) for line in output.splitlines()[1:])
    exact = {k: math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(200)}
    p = chi_square(counts, exact, n)
    if p < 1e-9:
        raise Failure("p = %.3g against a Poisson of mean %.6g" % (p, mean))


def check_fault(options, text, end, message, flags):
    try:
        corner(options, text, (end,), ["-n", "9", *flags])
    except Failure as failure:
        if message in str(failure):
            return
        raise
    raise Failure("no fault, where '%s' was due" % message)


def run_corners(options):
    failures = 0
    for method in options.methods.split(","):
        for precision in options.precisions.split(","):
            flags = ["--method", method, "--precision", precision]
            cases = [(name, check_certain, (text, times, states)) for name, text, times, states in CERTAIN]
            cases += [(name, check_poisson, (text, end, mean)) for name, text, end, mean in POISSON]
            cases += [(name, check_fault, (text, end, message))
                      for name, text, end, precisions, message in FAULTS if precision in precisions]
            for name, check, arguments in cases:
                # A rate constant of 1e300 is no number in f32, and the fault is right there.
                if precision == "f32" and name == "a huge rate":
                    continue
                try:
                    check(options, *arguments, flags)
                except Failure as failure:
                    failures += 1
                    print("%s (%s, %s): %s" % (name, method, precision, failure), file=sys.stderr)
    print("%d corners, %d failures" % (len(CERTAIN) + len(POISSON) + len(FAULTS), failures))
    return 1 if failures else 0


def seed_list(text):
    seeds = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        seeds += range(int(low), int(high or low) + 1)
    return seeds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rxn", required=True)
    parser.add_argument("--seeds", default="1-40")
    parser.add_argument("--methods", default="direct-unrolled,direct-table,rejection,rejection-sparse,composition")
    parser.add_argument("--precisions", default="f64,f32")
    parser.add_argument("--n", type=int, default=20000)
    parser.add_argument("--compare", action="store_true", help="lane widths and the interpreter too")
    parser.add_argument("--applicable", action="store_true", help="models that the methods can simulate, for those that not all are for")
    parser.add_argument("--corners", action="store_true", help="the corner cases instead of the seeds")
    parser.add_argument("--show", action="store_true", help="print the models")
    options = parser.parse_args()
    if options.corners:
        return run_corners(options)
    failures, tests, least = 0, 0, 1.0
    for seed in seed_list(options.seeds):
        model, exact = make(seed, lambda m: not options.applicable or applies(options, m))
        if options.show:
            print("# seed %d\n%s# sampled at %s until %s\n" % (seed, model.text(), model.samples, model.end))
        path = written(model)
        try:
            if options.compare:
                compare(options, path, model)
            p, count = test_model(options, path, model, exact, seed)
            tests += count
            least = min(least, p)
        except Failure as failure:
            failures += 1
            print("seed %d: %s\n\n%s" % (seed, failure, model.text()), file=sys.stderr)
        finally:
            os.unlink(path)
    print("%d chi-squares, least p %.3g, %d failures" % (tests, least, failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
