#!/usr/bin/env python3
"""The compiler's own master equation against those that share no code with it: no noise, so to many digits.

    cme.py --rxn PATH [--case NAME] [--seeds 1-80] [--list]

references   `rxn run --method cme` on models that come with rxn, against reference/MODEL.csv (numpy's and scipy's
             master equations, closed forms): mean and standard deviation to 1e-7
random       on random networks with events of all kinds and rates that jump and glide in time (random_models.py),
             against master_equation.py, whose error is some 1e-7: to 1e-6
rest         where the distribution comes to rest, long times take no longer; where something slow goes on, it is not missed: closed forms
gradients    `rxn grad --estimator exact` against differences of master_equation.py in the parameters, instants
             that move with them included: to 1e-4
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

from master_equation import Master
from random_models import Model
from random_networks import make
from run import CASES, HERE, read_table

REFERENCES = [
    "birth_death", "immigration_death", "batch_immigration", "dimerisation", "dimerisation_reset_at",
    "dimerisation_reset_when", "telegraph", "antisense", "autoregulation", "cell_division", "dosing", "day_night",
    "ion_channel_2state", "ion_channel_3state", "rate_switch", "schlogl", "time_dependent_pairs", "toggle_switch",
]  # fmt: skip
TO_REFERENCE = 1e-7
TO_MASTER = 1e-6
TO_DIFFERENCES = 1e-4


class Failure(Exception):
    pass


def call(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise Failure("%s\n%s" % (" ".join(command), done.stderr))
    return done.stdout


def solve(program, path, folder, flags):
    """[(time, {observable: {mean, sd}})], and the figures of the run."""
    out, figures = os.path.join(folder, "out.csv"), os.path.join(folder, "out.json")
    call([program, "run", path, "--method", "cme", "--quiet", "-o", out, "--json", figures, *flags])
    with open(figures) as f:
        figures = json.load(f)
    if figures["method"] != "cme" or figures["trajectories"] != 0 or not 0 <= figures["lost_mass"] <= 1.01e-10:
        raise Failure("%s: figures %s" % (path, figures))
    return read_table(out)[0], figures


def compare(got, expected, allowed, where):
    """The largest error relative to 1 + value."""
    error = abs(got - expected) / (1 + abs(expected))
    if not error <= allowed:
        raise Failure("%s: %.15g, expected %.15g" % (where, got, expected))
    return error


# ---------------------------------------------------------------- references


def test_references(program, folder, _):
    for name in REFERENCES:
        case = CASES[name]
        reference, _ = read_table(os.path.join(HERE, "reference", (case.reference or name) + ".csv"))
        path = os.path.join(case.folder, (case.model or name) + ".rxn")
        flags = [flag for value in case.sets for flag in ("--set", value)] + list(case.flags)
        table, figures = solve(program, path, folder, flags)
        worst, values = 0.0, 0
        for (t, got), (t_expected, expected) in zip(table, reference, strict=True):
            if abs(t - t_expected) > 1e-9 * (1 + t):
                raise Failure("%s: time %r, expected %r" % (name, t, t_expected))
            for observable, value in expected.items():
                for column in ("mean", "sd"):
                    where = "%s of %s at %g" % (column, observable, t)
                    worst = max(worst, compare(got[observable][column], value[column], TO_REFERENCE, name + ": " + where))
                    values += 1
        print("%-26s %5d values, %6d states, lost %.1e, largest error %.1e"
              % (name, values, figures["states"], figures["lost_mass"], worst))  # fmt: skip


# ---------------------------------------------------------------- random networks


def moments(distribution, s):
    """Of count number s."""
    mean = math.fsum(p * x[s] for x, p in distribution.items())
    return mean, math.sqrt(max(0.0, math.fsum(p * (x[s] - mean) ** 2 for x, p in distribution.items())))


def test_random(program, folder, seeds):
    path = os.path.join(folder, "random.rxn")
    first, _, last = seeds.partition("-")
    worst, values = 0.0, 0
    for seed in range(int(first), int(last or first) + 1):
        model, exact = make(seed)
        with open(path, "w") as f:
            f.write(model.text())
        flags = ["--until", repr(model.end), "--at", ",".join(repr(t) for t in model.samples)]
        table, _ = solve(program, path, folder, flags)
        for t, got in table:
            for s, label in enumerate(model.labels):
                mean, sd = moments(exact[t], s)
                where = "seed %d: %s at %g" % (seed, label, t)
                worst = max(worst, compare(got[label]["mean"], mean, TO_MASTER, where))
                # A spread of next to nothing is the root of the error of a variance.
                if max(sd, got[label]["sd"]) > 1e-3:
                    worst = max(worst, compare(got[label]["sd"], sd, TO_MASTER, where + ", sd"))
                values += 2
    print("seeds %s: %d values, largest error %.1e" % (seeds, values, worst))


# ---------------------------------------------------------------- gradients


def closed_gene(k):
    """Rates that jump, an event that moves, a cascade: on few states."""
    model = Model()
    model.labels, model.initial = ["X", "Y"], [10, 0]
    model.reactions = [
        ("%r * x[0] if m < %r else 0.2 * %r * x[0]" % (k["g"], k["t0"], k["g"]), (-1, 1)),
        ("%r * x[1] / (1 + x[1])" % k["w"], (1, -1)),
    ]
    model.timed = [((k["t1"],), [(0, "floor(x[0] / 2)"), (1, "x[1] + 2")])]
    model.conditions = [("x[1] > 8", [(1, "3")])]
    model.stops = {k["t0"], k["t1"]}
    model.samples, model.end = [1.0, 2.0, 3.0], 3.0
    text = """model closed_gene
species X = 10, Y = 0
%s
X => Y @ if t < t0 then g*X else 0.2*g*X
Y => X @ w*Y/(1 + Y)
at t1: X = floor(X/2), Y = Y + 2
when Y > 8: Y = 3
"""
    return model, text


def gliding_switch(k):
    """A rate that glides in time, and a law with a power."""
    model = Model()
    model.labels, model.initial = ["A", "B"], [12, 1]
    model.reactions = [
        ("%r * x[0] * (1 + 0.7 * sin(%r * t))" % (k["k"], k["omega"]), (-1, 1)),
        ("%r * x[1] ** %r / (4 ** %r + x[1] ** %r)" % (k["b"], k["n"], k["n"], k["n"]), (1, -1)),
    ]
    model.samples, model.end = [0.5, 2.0], 2.0
    text = """model gliding_switch
species A = 12, B = 1
%s
A => B @ k*A*(1 + 0.7*sin(omega*t))
B => A @ b*B^n/(4^n + B^n)
"""
    return model, text


GRADIENTS = [
    (closed_gene, {"g": 0.7, "w": 1.4, "t0": 1.3, "t1": 2.2}, {"X": lambda x: x[0], "X*Y": lambda x: x[0] * x[1]}),
    (gliding_switch, {"k": 0.8, "omega": 1.9, "b": 2.5, "n": 2.5}, {"A": lambda x: x[0], "B^2": lambda x: x[1] ** 2}),
]


def expectations(build, values, functions):
    distributions = Master(build(values)[0]).solve()
    return {(name, t): math.fsum(p * f(x) for x, p in d.items()) for t, d in distributions.items() for name, f in functions.items()}


def test_gradients(program, folder, _):
    path = os.path.join(folder, "model.rxn")
    for build, values, functions in GRADIENTS:
        model, text = build(values)
        with open(path, "w") as f:
            f.write(text % "\n".join("param %s = %r" % item for item in values.items()))
        command = [program, "grad", path, "--estimator", "exact", "--quiet", "--json", "-"]
        command += ["--at", ",".join(repr(t) for t in model.samples)]
        got = json.loads(call(command + [flag for name in functions for flag in ("--of", name)]))
        exact = expectations(build, values, functions)
        moved = {}
        for name, value in values.items():
            step = 4e-3 * value
            moved[name] = step, [expectations(build, {**values, name: value + n * step}, functions) for n in (-2, -1, 1, 2)]
        worst = 0.0
        for entry in got:
            key = entry["output"], entry["time"]
            compare(entry["value"], exact[key], TO_MASTER, "%s: E[%s] at %g" % (build.__name__, *key))
            for parameter in entry["parameters"]:
                step, (a, b, c, d) = moved[parameter["name"]]
                slope = (8 * (c[key] - b[key]) - (d[key] - a[key])) / (12 * step)
                where = "%s: dE[%s]/d%s at %g" % (build.__name__, key[0], parameter["name"], key[1])
                worst = max(worst, compare(parameter["gradient"], slope, TO_DIFFERENCES, where))
        if len(got) != len(functions) * len(model.samples):
            raise Failure("%s: %d results" % (build.__name__, len(got)))
        print("%-26s %3d derivatives, largest error %.1e" % (build.__name__, len(got) * len(values), worst))


# Fifty channels at rest within a second, with a molecule beside them that decays in minutes.
RESTING = """species C = 50, O = 0, M = 1
param a = 1 in 0.1 .. 10
param b = 2 in 0.1 .. 10
param d = 1e-2 in 1e-9 .. 1
C -> O @ a
O -> C @ b
M -> 0 @ d
observe O, M
simulate until 1 every 1
"""


def test_rest(program, folder, _):
    path = os.path.join(folder, "resting.rxn")
    with open(path, "w") as f:
        f.write(RESTING)
    worst = 0.0
    for until in (1e1, 1e2, 1e4, 1e9):  # a tenth, one, 100 and a million lives of M
        table, _ = solve(program, path, folder, ["--at", "%g" % until])
        left = math.exp(-1e-2 * until)
        for observable, mean, variance in (("O", 50 / 3, 100 / 9), ("M", left, left * (1 - left))):
            got = table[-1][1][observable]
            worst = max(worst, compare(got["mean"], mean, 1e-8, "mean of %s at %g" % (observable, until)))
            worst = max(worst, compare(got["sd"], math.sqrt(variance), 1e-5, "sd of %s at %g" % (observable, until)))
        out = call([program, "grad", path, "--of", "O", "--at", "%g" % until, "--estimator", "exact", "--quiet", "--json", "-"])
        for p in json.loads(out)[0]["parameters"]:
            expected, unit = {"a": (100 / 9, 1), "b": (-50 / 9, 1), "d": (0.0, 1e-2)}[p["name"]]
            worst = max(worst, compare(unit * p["gradient"], unit * expected, 1e-6, "derivative of O at %g by %s" % (until, p["name"])))
    print("%-26s largest error %.1e" % ("at rest", worst))


TESTS = {"rest": test_rest, "references": test_references, "random": test_random, "gradients": test_gradients}


def main():
    parser = argparse.ArgumentParser(description="the master equation of rxn against others")
    parser.add_argument("--rxn", help="the compiler's executable")
    parser.add_argument("--case", action="append", choices=list(TESTS), help="default: all")
    parser.add_argument("--seeds", default="1-80", help="of random networks")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(TESTS))
        return 0
    if not arguments.rxn:
        parser.error("--rxn is needed")
    failed = False
    with tempfile.TemporaryDirectory(prefix="rxn-cme-") as folder:
        for name in arguments.case or TESTS:
            try:
                TESTS[name](arguments.rxn, folder, arguments.seeds)
            except Failure as failure:
                print("%s FAILED: %s" % (name, failure))
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
