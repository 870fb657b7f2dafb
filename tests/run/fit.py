#!/usr/bin/env python3
"""`rxn fit`: what it finds against closed forms; that a fit which was stopped goes on to the same numbers; what it refuses."""

import csv
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

from harness import Skipped, check_equal, check_in, main

BIRTH_DEATH = """model birth_death
species X = 0
param k = 20 in 1 .. 200 fit
param g = 1 in 0.1 .. 10 fit
0 -> X @ k
X -> 0 @ g
simulate until 4 every 0.5
fit {
  data "data.csv"
  loss mse(mean(X), data.X)
  trajectories 500
  steps 60
%s}
"""

# E X(t) = k (1 - exp(-t)): linear in the only parameter.
LINEAR = """model linear
species X = 0
param k = 20 in 1 .. 200 fit
0 -> X @ k
X -> 0 @ 1
simulate until 4 every 0.5
fit {
  data "data.csv"
  loss %s
  trajectories 400
  steps 200
%s}
"""

DIMERISATION = """model dimerisation
species M = 100, D = 0
param kon = 0.002 in 1e-5 .. 1 fit
param koff = 0.1 in 1e-4 .. 100 fit
bind: 2 M -> D @ kon
unbind: D -> 2 M @ koff
simulate until 30 every 1
fit {
  data "data.csv"
  loss mse(mean(M), data.M)
  trajectories 1000
  steps 100
%s}
"""

CLASSES = """model classes
index p = 2, class = 2
input x[p], label
param W[class, p] ~ normal(0, 0.1) fit
param b[class] = 0 fit
species Y[class] = 0
for c in class {
  on: 0 => Y[c] @ 20 * sigmoid(sum(i in p: W[c,i]*x[i]) + b[c])
  off: Y[c] -> 0 @ 1
}
simulate until 3 every 1
fit {
  data x = "train-x.csv", label = "train-y.csv"
  loss cross_entropy(c in class: 0.3 * Y[c], label)
  measure accuracy = accuracy(c in class: Y[c], label)
  optimizer adam(rate = 0.1)
  batch 50
  epochs 6
  validation { data x = "test-x.csv", label = "test-y.csv" }
}
"""


READ = """error: '%s' is one of the files that are read; it is not overwritten
note: give the result a file of its own
"""


def compiled(program):
    if program.device:
        raise Skipped("fits take too long in the interpreter")


def table(program, columns, name="data.csv"):
    names = list(columns)
    with open(program.file(name), "w") as f:
        f.write(",".join(names) + "\n")
        for row in zip(*columns.values()):
            f.write(",".join("%.17g" % value for value in row) + "\n")


TIMES = [0.5 * i for i in range(1, 9)]


def birth_death_data(program, k=50, g=2):
    table(program, {"time": TIMES, "X": [k / g * (1 - math.exp(-g * t)) for t in TIMES]})


def fit(program, text, *flags, name="model.rxn"):
    """The JSON of a fit that goes well."""
    program.file(name, text)
    out = program.file("fitted.json")
    program.good("fit", program.file(name), "-o", out, "--quiet", *flags)
    with open(out) as f:
        return json.load(f)


def values_of(result):
    return {p["name"]: p["value"] for p in result["parameters"]}


def check_same(got, expected, what):
    assert got == expected, "%s differs in %s" % (what, [key for key in expected if got.get(key) != expected[key]])


def without_seconds(path):
    with open(path) as f:
        result = json.load(f)
    del result["seconds"], result["history"]["seconds"]
    return result


# ---- what is found -------------------------------------------------------------------------------


def test_birth_death(program):
    """Two parameters from a mean: within 4.5 of the errors that are claimed, which are small."""
    compiled(program)
    birth_death_data(program)
    result = fit(program, BIRTH_DEATH % "", "--set", "k=10", "--set", "g=0.5")
    check_equal((result["optimizer"], result["estimator"]), ("gauss_newton", "path"), "choices")
    for p, truth in zip(result["parameters"], (50, 2)):
        se = p["se_simulation"]
        assert 0 < se < 0.01 * truth, p
        assert abs(p["value"] - truth) < 4.5 * se, p
    assert result["series"][0]["r2"] > 0.999
    assert result["averaged"] > 30 and result["steps"] == 60


def test_dimerisation_from_simulated_data(program):
    """A decade off in both: back to a fifth of a percent, with data of 200,000 trajectories (which have errors of some 0.02 %)."""
    compiled(program)
    program.file("model.rxn", DIMERISATION % "")
    program.good("run", program.file("model.rxn"), "-n", "200000", "--seed", "77", "--at", "1,2,3,5,7,10,15,20,30",
                 "-o", program.file("means.csv"), "--quiet")
    with open(program.file("means.csv")) as f:
        rows = list(csv.DictReader(f))
    table(program, {"time": [float(r["time"]) for r in rows], "M": [float(r["M.mean"]) for r in rows]})
    result = fit(program, DIMERISATION % "", "--set", "kon=0.02", "--set", "koff=0.01")
    found = values_of(result)
    assert abs(found["kon"] / 0.002 - 1) < 2e-3 and abs(found["koff"] / 0.1 - 1) < 2e-3, found


def linear_problem(program):
    """Data that the model does not fit, their sd, and the k that least squares gives."""
    random.seed(4)
    shape = [1 - math.exp(-t) for t in TIMES]
    data = [30 * f + random.gauss(0, 2) for f in shape]
    sd = [1 + 0.1 * i for i in range(len(TIMES))]
    table(program, {"time": TIMES, "X": data, "sd": sd})
    plain = sum(d * f for d, f in zip(data, shape)) / sum(f * f for f in shape)
    information = sum(f * f / s**2 for f, s in zip(shape, sd))
    weighted = sum(d * f / s**2 for d, f, s in zip(data, shape, sd)) / information
    return plain, weighted, information


def test_exact_against_closed_forms(program):
    """Without noise: least squares to six digits, by Gauss-Newton and by L-BFGS; the data's error as it should be."""
    plain, weighted, information = linear_problem(program)
    flags = ("--estimator", "exact")
    for optimizer in ("gauss_newton", "lbfgs"):
        text = LINEAR % ("mse(mean(X), data.X)", "")
        result = fit(program, text, *flags, "--optimizer", optimizer)
        assert abs(values_of(result)["k"] / plain - 1) < 1e-6, (optimizer, result["parameters"], plain)
        text = LINEAR % ("gaussian(mean(X), data.X, sd = data.sd)", "")
        result = fit(program, text, *flags, "--optimizer", optimizer)
        assert abs(values_of(result)["k"] / weighted - 1) < 1e-6, (optimizer, result["parameters"], weighted)
        p = result["parameters"][0]
        assert abs(p["se_data"] * math.sqrt(information) - 1) < 1e-4, p
        assert p["se_simulation"] == 0 and result["noise"] == "none", p


def test_exact_with_expectations(program):
    """A loss whose second derivatives read expectations: Gauss-Newton and L-BFGS, which knows none of them, agree."""
    means = [30 * (1 - math.exp(-t)) for t in TIMES]
    table(program, {"time": TIMES, "X": means, "v": [1.1 * m for m in means]})
    text = LINEAR % ("gaussian(mean(X), data.X, sd = sd(X)) + 0.1 * mse(var(X), data.v)", "")
    found = [values_of(fit(program, text, "--estimator", "exact", "--optimizer", o))["k"] for o in ("gauss_newton", "lbfgs")]
    assert abs(found[0] / found[1] - 1) < 1e-6, found


def test_prior_and_penalty(program):
    """Each adds to the loss: the minimum of the sum, and the error of the posterior."""
    _, weighted, information = linear_problem(program)
    for entry, mean, precision in (("prior k ~ normal(40, 0.5)", 40, 4), ("penalty 2 * (k - 40)^2", 40, 4)):
        text = LINEAR % ("gaussian(mean(X), data.X, sd = data.sd)", "  " + entry + "\n")
        result = fit(program, text, "--estimator", "exact")
        expected = (weighted * information + mean * precision) / (information + precision)
        p = result["parameters"][0]
        assert abs(p["value"] / expected - 1) < 1e-6, (p, expected)
        assert abs(p["se_data"] * math.sqrt(information + precision) - 1) < 1e-4, p


def test_optimizers(program):
    """Each gets to the same minimum, as near as its noise lets it."""
    compiled(program)
    plain, _, _ = linear_problem(program)
    for entries, near in (("optimizer adam(rate = 0.1); average 50", 0.01), ("optimizer adamw(rate = 0.1, weight_decay = 0)", 0.02),
                          ("optimizer sgd(rate = 5e-3); average 20; linear k", 0.01), ("optimizer lbfgs", 0.02),
                          ("optimizer gauss_newton; noise common", 0.02), ("optimizer gauss_newton(radius = 0.3)", 0.005),
                          ("optimizer adam(rate = 0.3); schedule cosine(floor = 0.01, warmup = 5); clip 100", 0.01)):
        result = fit(program, LINEAR % ("mse(mean(X), data.X)", "  " + entries + "\n"))
        assert abs(values_of(result)["k"] / plain - 1) < near, (entries, values_of(result), plain)


def test_estimators(program):
    compiled(program)
    plain, _, _ = linear_problem(program)
    for entry in ("path", "score", "martingale(degree = 1, pilot = 300)", "gumbel(tau = 0.3)", "exact"):
        text = LINEAR % ("mse(mean(X), data.X)", "  estimator %s\n" % entry)
        result = fit(program, text.replace("trajectories 400", "trajectories 400 .. 20000"), "--steps", "60")
        check_equal(result["estimator"], entry.split("(")[0], "estimator")
        near = 0.08 if entry.startswith("gumbel") else 0.03
        assert abs(values_of(result)["k"] / plain - 1) < near, (entry, values_of(result), plain)


def test_claimed_errors(program):
    """The spread over 30 seeds is that which is claimed, and there is no bias that it would not cover."""
    compiled(program)
    plain, _, _ = linear_problem(program)
    found, claimed = [], []
    for seed in range(30):
        p = fit(program, LINEAR % ("mse(mean(X), data.X)", ""), "--seed", seed, "--steps", "80")["parameters"][0]
        found.append(p["value"])
        claimed.append(p["se_simulation"] ** 2)
    mean = sum(found) / 30
    variance = sum((v - mean) ** 2 for v in found) / 29
    expected = sum(claimed) / 30
    # chi-squared with 29 degrees of freedom, 4.5 sigma; averaging over few steps costs some 10 % more.
    assert 0.3 < variance / expected < 2.6, (variance, expected)
    assert abs(mean - plain) < 4.5 * math.sqrt(expected / 30) * 1.3, (mean, plain, expected)


def test_growing_trajectories(program):
    compiled(program)
    birth_death_data(program)
    result = fit(program, (BIRTH_DEATH % "").replace("trajectories 500", "trajectories 20 .. 640"), "--steps", "120")
    counts = result["history"]["trajectories"]
    check_equal((counts[0], counts[-1]), (20, 640), "trajectories")
    assert all(b in (a, 2 * a) for a, b in zip(counts, counts[1:])), counts


def test_multi_start_and_patience(program):
    compiled(program)
    birth_death_data(program)
    result = fit(program, BIRTH_DEATH % "  starts 3\n", "--set", "k=1.01", "--set", "g=9")
    check_equal(result["starts"], 3, "starts")
    check_equal(len(result["history"]["loss"]), 3 * 10 + 60, "evaluations")
    assert abs(values_of(result)["k"] / 50 - 1) < 0.05, values_of(result)
    result = fit(program, BIRTH_DEATH % "  optimizer adam(rate = 0.2); patience 6\n")
    assert result["steps"] < 60 and result["ended"] == "no better loss for 6 steps", result["ended"]
    result = fit(program, BIRTH_DEATH % "  optimizer adam(rate = 0.001); patience 6; tolerance 0.5\n")
    assert result["steps"] == 12 and result["ended"] == "the loss no longer improves", result["ended"]


def test_settings_on_the_command_line(program):
    """They are what the block could say: the same bits; and they replace what it says."""
    compiled(program)
    birth_death_data(program)

    def history(entries, *flags):
        return fit(program, BIRTH_DEATH % ("  optimizer adam(rate = 0.2)\n" + entries), "--steps", "20", *flags)

    said = history("  schedule cosine; starts 3\n")
    given = history("", "--schedule", "cosine", "--starts", "3")
    check_equal((given["schedule"], given["starts"]), ("cosine", 3), "settings")
    check_equal(given["history"]["loss"], said["history"]["loss"], "losses")
    check_equal(len(given["history"]["loss"]), 3 * 10 + 20, "evaluations")
    # Settings of another schedule are none of this one's; of the same they stay.
    replaced = history("  schedule exponential(floor = 0.3); starts 4\n", "--schedule", "cosine", "--starts", "3")
    check_equal(replaced["history"]["loss"], said["history"]["loss"], "losses")
    kept = history("  schedule exponential(floor = 0.3)\n", "--schedule", "exponential")
    check_equal(kept["history"]["loss"], history("  schedule exponential(floor = 0.3)\n")["history"]["loss"], "losses")
    assert kept["history"]["loss"] != said["history"]["loss"][-20:]
    check_equal(history("  starts 5\n", "--starts", "1")["starts"], 1, "starts")


def test_a_start_that_cannot_be_simulated(program):
    compiled(program)
    birth_death_data(program)
    negative = BIRTH_DEATH.replace("0 -> X @ k", "0 -> X @ k * (40 - k)").replace("0.1 .. 10 fit", "0.1 .. 10")
    text = program.file("model.rxn", negative.replace("k = 20", "k = 1.5") % "  starts 4\n")
    out = program.file("fitted.json")
    done = program.good("fit", text, "-o", out, "--quiet")
    check_in("warning: ", done.err)
    check_in("one of the starts led there, and ends with it", done.err)
    assert "error:" not in done.err, done.err
    with open(out) as f:
        assert json.load(f)["complete"]
    never = program.file("never.rxn", negative.replace("40 - k", "1 - k").replace("k = 20", "k = 1") % "  starts 2\n")
    done = program.bad(1, "fit", never, "--set", "k=30", "-o", program.file("other.json"), "--quiet")
    check_in("none of the starts has a finite loss", done.err)


EXPERIMENTS = """model experiments
species X = 0
param k = 20 in 1 .. 200 fit
param g = 1 in 0.1 .. 10 fit
param feed = 1
0 -> X @ k*feed
X -> 0 @ g
simulate until 4 every 0.5
fit {
  loss mse(mean(X), data.X)
  trajectories 500
  steps 40
  measure last = mean(at(X, 4))
  experiment one { data "one.csv" }
  experiment two {
    data "two.csv"
    feed = 2
    X = 30
    at 2: X = X + 10
  }
  validation { data "one.csv" }
}
"""


def write_experiments(program):
    relax = lambda x0, level, t: x0 * math.exp(-2 * t) + level * (1 - math.exp(-2 * t))
    two = lambda t: relax(30, 50, t) if t < 2 else relax(relax(30, 50, 2) + 10, 50, t - 2)
    table(program, {"time": TIMES, "X": [relax(0, 25, t) for t in TIMES]}, "one.csv")
    table(program, {"time": TIMES, "X": [two(t) for t in TIMES]}, "two.csv")


def test_experiments(program):
    """Each with its own start, settings and events; what is validated is not trained on."""
    compiled(program)
    write_experiments(program)
    result = fit(program, EXPERIMENTS)
    for p, truth in zip(result["parameters"], (50, 2)):
        assert abs(p["value"] - truth) < 4.5 * p["se_simulation"], p
    check_equal([s["experiment"] for s in result["series"]], ["one", "two", "validation"], "series")
    assert all(s["r2"] > 0.99 for s in result["series"]), [s["r2"] for s in result["series"]]
    check_equal([m["name"] for m in result["measures"]], ["last"] * 3, "measures")
    assert abs(result["measures"][0]["value"] - 25) < 1.5 and abs(result["measures"][1]["value"] - 50) < 2
    assert any(v is not None for v in result["history"]["validation"])


SNAPSHOTS = """model snapshots
species X = 0
param k = 20 in 0.1 .. 2000 fit
param g = 1 in 0.01 .. 10 fit
0 -> X @ k
X -> 0 @ g
simulate until 4
fit {
  data "snapshots.csv"
  loss %s
}
"""
SNAPSHOT_TIMES = (0.5, 1, 2)


def write_snapshots(program, count=300):
    """Cells in no order: their counts are Poisson with the mean 20 (1 - exp(-t))."""
    drawn = random.Random(3)
    rows = []
    for t in SNAPSHOT_TIMES:
        for _ in range(count):
            n, at = 0, drawn.expovariate(1)
            while at < 20 * (1 - math.exp(-t)):
                n, at = n + 1, at + drawn.expovariate(1)
            rows.append((t, n))
    drawn.shuffle(rows)
    table(program, {"time": [r[0] for r in rows], "X": [r[1] for r in rows]}, "snapshots.csv")
    return {t: [n for time, n in rows if time == t] for t in SNAPSHOT_TIMES}


def poisson_below(k, g, t, edge):
    mean, term, below = k / g * (1 - math.exp(-g * t)), 0, 0
    for n in range(math.ceil(edge)):
        term = math.exp(-mean) if n == 0 else term * mean / n
        below += term
    return below


def slopes(function, k, g):
    return [(function(k * 1.0001, g) - function(k * 0.9999, g)) / (k * 2e-4), (function(k, g * 1.0001) - function(k, g * 0.9999)) / (g * 2e-4)]


def sandwich_of_two(h, b):
    """sqrt(diag(H^-1 B H^-1)) of 2 x 2 matrices."""
    d = h[0][0] * h[1][1] - h[0][1] * h[1][0]
    inverse = [[h[1][1] / d, -h[0][1] / d], [-h[1][0] / d, h[0][0] / d]]
    return [math.sqrt(sum(inverse[i][j] * b[j][l] * inverse[i][l] for j in range(2) for l in range(2))) for i in range(2)]


def test_snapshots(program):
    """Distributions of single counts: values and errors against sums that are written out here. Without noise."""
    cells = write_snapshots(program)
    late = (1, 2)  # edges of chi_square leave no bin of these times without data
    table(program, {"time": [t for t in late for _ in cells[t]], "X": [n for t in late for n in cells[t]]}, "late.csv")
    for name, edges, times in (("cramer", (2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 25), SNAPSHOT_TIMES), ("chi_square", (12, 14, 16), late)):
        text = SNAPSHOTS % ("%s(X, data.X, %s)" % (name, ", ".join(map(str, edges))))
        if times == late:
            text = text.replace("snapshots.csv", "late.csv")
        result = fit(program, text, "--estimator", "exact")
        k, g = (p["value"] for p in result["parameters"])
        total, value, h, b = sum(len(cells[t]) for t in times), 0, [[0, 0], [0, 0]], [[0, 0], [0, 0]]
        for t in times:
            n = len(cells[t])
            below = [sum(x < e for x in cells[t]) / n for e in edges]
            terms = []  # weight, model, datum, slopes
            if name == "cramer":
                for i, e in enumerate(edges):
                    low, high = max(i - 1, 0), min(i + 1, len(edges) - 1)
                    width = (edges[high] - edges[low]) / (high - low)
                    terms.append((width * n / total, e, below[i]))
                terms = [(w, poisson_below(k, g, t, e), f, slopes(lambda a, c: poisson_below(a, c, t, e), k, g)) for w, e, f in terms]
                covariance = lambda i, j: (min(below[i], below[j]) - below[i] * below[j]) / n
            else:
                ends = (0,) + edges + (10000,)
                parts = [sum(low <= x < high for x in cells[t]) / n for low, high in zip(ends, ends[1:])]
                inside = lambda a, c, low, high: (1 if high == 10000 else poisson_below(a, c, t, high)) - poisson_below(a, c, t, low)
                terms = [(n / q, inside(k, g, low, high), q, slopes(lambda a, c: inside(a, c, low, high), k, g))
                         for q, low, high in zip(parts, ends, ends[1:])]
                covariance = lambda i, j: ((parts[i] if i == j else 0) - parts[i] * parts[j]) / n
            value += sum(w * (p - q) ** 2 for w, p, q, _ in terms)
            for i, (w, _, _, s) in enumerate(terms):
                for x in range(2):
                    for y in range(2):
                        h[x][y] += 2 * w * s[x] * s[y]
                        b[x][y] += sum(4 * w * v * covariance(i, j) * s[x] * u[y] for j, (v, _, _, u) in enumerate(terms))
        assert abs(result["loss"] / value - 1) < 1e-6, (name, result["loss"], value)
        for p, truth, se in zip(result["parameters"], (20, 1), sandwich_of_two(h, b)):
            assert abs(p["se_data"] / se - 1) < 1e-3, (name, p, se)
            assert abs(p["value"] - truth) < 4.5 * se, (name, p, se)
            assert se < 0.2 * truth, (name, p, se)


def test_snapshots_from_afar(program):
    """Started a decade off, with edges that the data give: simulated, and back."""
    compiled(program)
    write_snapshots(program)
    for loss, flags in (("cramer(X, data.X)", ("--set", "k=400")), ("cramer(X, data.X)", ("--set", "k=2")),
                        ("0.5*chi_square(X, data.X)", ("--set", "g=0.5"))):
        result = fit(program, SNAPSHOTS % loss, "--steps", "60", "-n", "500", *flags)
        check_equal(result["estimator"], "martingale", "estimator")
        for p, truth in zip(result["parameters"], (20, 1)):
            error = math.hypot(p["se_data"], p["se_simulation"])
            assert abs(p["value"] - truth) < 4.5 * error < 0.4 * truth, (loss, flags, p)


def write_classes(program):
    random.seed(2)
    for name, count in (("train", 400), ("test", 100)):
        labels = [random.randrange(2) for _ in range(count)]
        near = [(0.9, 0.1) if label else (0.1, 0.9) for label in labels]
        table(program, {"a": [m[0] + random.gauss(0, 0.2) for m in near], "b": [m[1] + random.gauss(0, 0.2) for m in near]},
              name + "-x.csv")
        table(program, {"label": labels}, name + "-y.csv")


def test_samples(program):
    """A classifier on rows of arrays: it learns, and its numbers do not depend on threads."""
    compiled(program)
    write_classes(program)
    result = fit(program, CLASSES, "--threads", "1")
    check_equal(result["steps"], 48, "steps: 6 epochs of 8 batches")
    accuracy = result["measures"][0]
    assert accuracy["name"] == "accuracy" and accuracy["value"] > 0.93, accuracy
    assert result["parameters"][0]["shape"] == [2, 2]
    first = without_seconds(program.file("fitted.json"))
    fit(program, CLASSES, "--threads", "2")
    check_same(without_seconds(program.file("fitted.json")), first, "with two threads")
    for name in ("train-x.csv", "test-y.csv"):
        run = program.bad(1, "fit", program.file("model.rxn"), "-o", program.file(name))
        check_equal(run.err, READ % program.file(name), name)


# ---- stopped, and resumed ------------------------------------------------------------------------


def stopped(program, number, *flags):
    """Starts a fit that leaves a checkpoint after each step; sends the signal when there are some."""
    checkpoint, out = program.file("state"), program.file("stopped.json")
    command = [program.path, "fit", program.file("model.rxn"), "-o", out, "--quiet", "--checkpoint", checkpoint, "--every", "1",
               *flags]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not os.path.exists(checkpoint) and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        assert child.poll() is None, "it ended before it could be stopped: %s" % (child.communicate(),)
        child.send_signal(number)
        printed, messages = child.communicate(timeout=60)
        return child.returncode, printed, messages
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


LONG = ("--set", "kon=0.02", "--set", "koff=0.01", "-n", "4000")


def dimerisation_data(program):
    table(program, {"time": [1, 2, 3, 5, 7, 10, 20], "M": [84.2, 74.1, 67.2, 59.1, 55, 52.1, 50.2]})


def check_killed_and_resumed(program, text, flags):
    fit(program, text, *flags, "--threads", "1")
    whole = without_seconds(program.file("fitted.json"))
    status, _, _ = stopped(program, signal.SIGKILL, *flags, "--threads", "2")
    check_equal(status, -signal.SIGKILL, "status")
    assert not os.path.exists(program.file("stopped.json"))
    out = program.file("resumed.json")
    program.good("fit", program.file("model.rxn"), "--resume", program.file("state"), "-o", out, "--quiet", *flags)
    check_same(without_seconds(out), whole, "the resumed fit")
    os.unlink(program.file("state"))


def test_samples_killed_and_resumed(program):
    compiled(program)
    write_classes(program)
    check_killed_and_resumed(program, CLASSES.replace("epochs 6", "epochs 300"), ())


def test_killed_and_resumed(program):
    """kill -9 in the midst: the resumed fit has all the numbers of one that was not stopped, with other threads too."""
    compiled(program)
    dimerisation_data(program)
    for entries in ("", "  optimizer adam(rate = 0.1); average 20; estimator martingale(refresh = 7)\n", "  starts 2\n"):
        check_killed_and_resumed(program, DIMERISATION % entries, LONG)


def test_interrupted(program):
    """Ctrl-C: what was found so far is written and says so; the state is kept, and not begun anew over."""
    compiled(program)
    dimerisation_data(program)
    fit(program, DIMERISATION % "", *LONG)
    whole = without_seconds(program.file("fitted.json"))
    status, printed, messages = stopped(program, signal.SIGINT, *LONG)
    check_equal((status, printed), (1, ""), "status and output")
    check_in("error: interrupted after ", messages)
    check_in(" of 100 steps\n", messages)
    check_in("--resume", messages)
    with open(program.file("stopped.json")) as f:
        result = json.load(f)
    check_equal((result["complete"], result["ended"]), (False, "interrupted"), "what it says")
    assert 0 < result["steps"] < 100
    run = program.bad(1, "fit", program.file("model.rxn"), "--checkpoint", program.file("state"), *LONG)
    check_in("holds this fit, which was not at its end\nnote: --resume", run.err)
    out = program.file("resumed.json")
    program.good("fit", program.file("model.rxn"), "--resume", program.file("state"), "-o", out, "--quiet", *LONG)
    check_same(without_seconds(out), whole, "the resumed fit")
    # Once more, from its end: nothing is done again, and the result is the same.
    program.good("fit", program.file("model.rxn"), "--resume", program.file("state"), "-o", out, "--quiet", *LONG)
    check_same(without_seconds(out), whole, "the fit that was at its end")


def test_checkpoints_of_another_fit(program):
    """Refused, with the difference; and left as they are."""
    compiled(program)
    dimerisation_data(program)
    model = program.file("model.rxn", DIMERISATION % "")
    state = program.file("state")
    few = ("-n", "50", "--steps", "3", "--quiet")
    program.good("fit", model, "--checkpoint", state, *few)
    with open(state, "rb") as f:
        before = f.read()
    other = program.file("other.rxn", (DIMERISATION % "").replace("model dimerisation", "model other"))
    later = program.file("later.rxn", (DIMERISATION % "").replace("until 30", "until 31"))
    cases = [
        ([model, "--seed", "2", *few], "its seed is '1', here it is '2'"),
        ([model, *few[:3], "4", "--quiet"], "its steps is '3', here it is '4'"),
        ([model, "--optimizer", "adam", *few], "its optimizer is 'gauss_newton', here it is 'adam'"),
        ([model, "--set", "kon=0.01", *few], "its values to begin with differ from those of this fit"),
        ([other, *few], "its model is 'dimerisation', here it is 'other'"),
        ([later, *few], "its model's text differs from those of this fit"),
    ]
    for flags, expected in cases:
        for option in ("--resume", "--checkpoint"):
            run = program.bad(1, "fit", *flags, option, state)
            check_in("it is of another fit: " + expected, run.err)
    table(program, {"time": [1, 2], "M": [84, 75]})
    run = program.bad(1, "fit", model, *few, "--resume", state)
    check_in("it is of another fit: its data differ from those of this fit", run.err)
    with open(state, "rb") as f:
        check_equal(f.read(), before, "the checkpoint")


def test_threads_do_not_matter(program):
    compiled(program)
    write_experiments(program)
    fit(program, EXPERIMENTS, "--threads", "1")
    first = without_seconds(program.file("fitted.json"))
    for flags in (("--threads", "2"), ("--threads", "3", "--lanes", "4")):
        fit(program, EXPERIMENTS, *flags)
        check_same(without_seconds(program.file("fitted.json")), first, " ".join(flags))


# ---- what it leaves ------------------------------------------------------------------------------


def test_params_for_other_commands(program):
    """What a fit wrote is taken by run, grad and check, and by a fit as its start."""
    compiled(program)
    birth_death_data(program)
    result = fit(program, BIRTH_DEATH % "", "--steps", "10")
    model, fitted = program.file("model.rxn"), program.file("fitted.json")
    sets = [flag for name, value in values_of(result).items() for flag in ("--set", "%s=%r" % (name, value))]
    few = ("-n", "50", "--quiet", "-o", "-")
    check_equal(program.good("run", model, "--params", fitted, *few).out, program.good("run", model, *sets, *few).out, "run")
    of = ("--of", "X", "--at", "2")
    check_equal(program.good("grad", model, "--params", fitted, *of, *few).out, program.good("grad", model, *sets, *of, *few).out,
                "grad")
    program.good("check", model, "--params", fitted)
    start = program.file("start.json")
    shutil.copy(fitted, start)
    again = fit(program, BIRTH_DEATH % "", "--steps", "0", "--params", start)
    check_equal(values_of(again), values_of(result), "a start from a result")
    # What is set overrides it.
    sets = ("--set", "k=3", "--set", "g=1")
    check_equal(program.good("run", model, "--params", fitted, *sets, *few).out, program.good("run", model, *sets, *few).out, "--set")
    program.file("other.rxn", "model other\nspecies A = 1\nparam kk = 1\nA -> 0 @ kk\nsimulate until 1 every 1\n")
    run = program.bad(1, "run", program.file("other.rxn"), "--params", fitted)
    check_in("error: the model has no param or input 'k'\n", run.err)
    check_in("fitted.json' has it: is it of another model?", run.err)


def test_fixed_values_come_along(program):
    """What the command line set, and what the model computed from it, are in the result."""
    compiled(program)
    birth_death_data(program)
    text = (BIRTH_DEATH % "").replace("param g", "param extra = 3\nparam twice = 2 * extra\nparam g").replace("@ k\n", "@ k * twice/6\n")
    result = fit(program, text, "--set", "extra=6", "--steps", "5")
    check_equal(result["fixed"], [{"name": "extra", "value": 6}, {"name": "twice", "value": 12}], "fixed")
    model = program.file("model.rxn")
    run = program.good("check", model, "--params", program.file("fitted.json"))
    check_in("no errors", run.out)


def test_broken_params(program):
    model = program.file("model.rxn", "model m\nspecies A = 1\nparam k = 1 in 0 .. 10\nA -> 0 @ k\nsimulate until 1 every 1\n")
    cases = [
        ("{\"parameters\": [", "line 1, column"),
        ("[1, 2]", "it is not the result of a fit: it has no array 'parameters'"),
        ("{\"parameters\": [{\"name\": \"k\"}]}", "element 0 of 'parameters' in it has no name, or no value"),
        ("{\"parameters\": [{\"name\": \"k\", \"value\": \"x\"}]}", "the value of 'k' in it is neither a number nor an array"),
        ("{\"parameters\": [{\"name\": \"k\", \"value\": null}]}", "the value of 'k' in it is neither a number nor an array"),
        ("{\"parameters\": [{\"name\": \"k\", \"value\": [1, 2]}]}", "'k' has 2 values, that of the model 1"),
        ("{\"parameters\": [{\"name\": \"k\", \"value\": 11}]}", "k = 11 is outside of its bounds 0 .. 10"),
        ("", "line 1, column 0"),
    ]
    for text, expected in cases:
        path = program.file("p.json", text)
        for command in ("run", "check"):
            run = program.bad(1, command, model, "--params", path)
            check_in(expected, run.err)
            check_in("p.json", run.err)
    run = program.bad(1, "run", model, "--params", program.file("none.json"))
    check_in("none.json' cannot be read: No such file or directory", run.err)


def test_table_history_and_progress(program):
    compiled(program)
    birth_death_data(program)
    model = program.file("model.rxn", BIRTH_DEATH % "")
    history = program.file("history.csv")
    run = program.good("fit", model, "--history", history)
    for expected in ("parameter  start", "± simulation", "mean(X) against data.X: R² 0.99", "60 steps in ", "path, gauss_newton"):
        check_in(expected, run.out)
    with open(history) as f:
        rows = list(csv.DictReader(f))
    check_equal(len(rows), 60, "rows")
    check_equal(list(rows[0]), ["step", "loss", "loss_se", "gradient_norm", "gradient_noise", "rate", "trajectories", "events",
                                "validation", "seconds"], "columns")
    assert float(rows[0]["loss"]) > 100 * float(rows[-1]["loss"])


def test_no_steps(program):
    """Only looks at the start."""
    compiled(program)
    birth_death_data(program)
    result = fit(program, BIRTH_DEATH % "", "--steps", "0")
    check_equal(values_of(result), {"k": 20, "g": 1}, "values")
    assert result["loss"] > 10 and result["history"]["loss"] == []


def test_plot(program):
    compiled(program)
    if not shutil.which("gnuplot"):
        raise Skipped("gnuplot is not installed")
    write_experiments(program)
    fit(program, EXPERIMENTS, "--plot", program.file("fit.svg"))
    root = ElementTree.parse(program.file("fit.svg")).getroot()
    texts = ["".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text")]
    for expected in ("experiments", "step", "loss", "loss ± 2 se", "validation", "data.X", "mean(X)", "time"):
        assert expected in texts, (expected, texts)
    assert any(t.startswith("two: mean(X), R² = 0.99") for t in texts), texts


# ---- what goes wrong -----------------------------------------------------------------------------


def test_loss_that_is_no_number(program):
    """It stops at the last good point, and says where."""
    compiled(program)
    birth_death_data(program)
    text = (BIRTH_DEATH % "  optimizer adam(rate = 0.2)\n").replace("mse(mean(X), data.X)", "mse(mean(X)*sqrt(30-k)/sqrt(30-k), data.X)")
    model, out = program.file("model.rxn", text), program.file("out.json")
    run = program.bad(1, "fit", model, "-o", out, "--checkpoint", program.file("state"), "--quiet")
    check_in("error: the loss is not a finite number at step ", run.err)
    check_in("note: there k = 3", run.err)
    with open(out) as f:
        result = json.load(f)
    assert not result["complete"] and result["ended"] == "the loss is not a finite number"
    assert 20 < values_of(result)["k"] < 30, values_of(result)


def test_trajectory_that_gives_no_number(program):
    """1/0 in one trajectory: it is named."""
    table(program, {"time": [1, 2], "X": [0.5, 0.6]})
    text = (BIRTH_DEATH % "  estimator score; optimizer adam(rate = 0.1)\n").replace("mse(mean(X), data.X)", "mse(1/X, data.X)")
    text = text.replace("species X = 0", "species X = 6").replace("k = 20 in 1 ..", "k = 3 in 1 ..")
    flags = ("--device", program.device) if program.device else ()
    run = program.bad(1, "fit", program.file("model.rxn", text), "--quiet", *flags)
    check_in("error: the loss is not a finite number at step 1\nnote: trajectory ", run.err)
    assert run.err.split("note: trajectory ")[1].split()[0].isdigit(), run.err


def test_help(program):
    run = program.good("fit", "--help")
    for expected in ("usage: rxn fit MODEL", "--checkpoint FILE", "--resume FILE", "--params FILE.json", "Examples"):
        check_in(expected, run.out)
    check_in("  fit      ", program.good("--help").out)


def test_fault(program):
    compiled(program)
    table(program, {"time": [1, 2], "X": [0, 0]})
    text = (BIRTH_DEATH % "  optimizer adam(rate = 0.5)\n").replace("0 -> X @ k", "0 => X @ 25 - k")
    run = program.bad(1, "fit", program.file("model.rxn", text), "--quiet")
    check_in("the propensity of 'r1' is negative", run.err)
    check_in("of the fit\n", run.err)


def test_not_identifiable(program):
    compiled(program)
    birth_death_data(program)
    idle = (BIRTH_DEATH % "").replace("param g", "param idle = 1 in 0.1 .. 10 fit\nparam g")
    run = program.good("fit", program.file("model.rxn", idle), "--steps", "5", "--quiet", "-o", program.file("out.json"))
    check_equal(run.err.splitlines()[0], "warning: 'idle' has no influence on the loss: not identifiable from these data", "warning")
    with open(program.file("out.json")) as f:
        result = json.load(f)
    check_equal([p.get("identifiable", True) for p in result["parameters"]], [True, False, True], "identifiable")
    check_equal(values_of(result)["idle"], 1, "a parameter that does nothing")
    nothing = "model m\nspecies X = 5\nparam k = 1 in 0.1 .. 10 fit\nX -> 0 @ 1\nsimulate until 1 every 1\n" \
              "fit { data \"data.csv\"; loss mse(mean(X), data.X) }\n"
    run = program.bad(1, "fit", program.file("nothing.rxn", nothing))
    check_in("error: no trained param has an influence on the loss: 'k'\nnote: they are not identifiable", run.err)
    # Two that act as their product alone.
    product = (BIRTH_DEATH % "").replace("@ k\n", "@ k * k2\n").replace("param g", "param k2 = 1 in 0.1 .. 10 fit\nparam g")
    run = program.good("fit", program.file("product.rxn", product), "--steps", "5", "--quiet", "--estimator", "exact")
    check_in("there are combinations of the params that do not change the loss", run.err)


def test_what_cannot_be_written(program):
    """Found before anything is simulated."""
    birth_death_data(program)
    model = program.file("model.rxn", BIRTH_DEATH % "")
    cases = [
        (["-o", "/nonexistent/x.json"], "error: '/nonexistent/x.json' cannot be written: No such file or directory\n"),
        (["--history", "/nonexistent/x.csv"], "error: '/nonexistent/x.csv' cannot be written: No such file or directory\n"),
        (["--plot", "/nonexistent/x.svg"], "error: the plot '/nonexistent/x.svg' cannot be written: No such file or directory\n"),
        (["-o", model], "error: '%s' is the model itself; it is not overwritten\n" % model),
        (["--checkpoint", model], "error: '%s' is the model itself; it is not overwritten\n" % model),
        (["--data", program.file("other.csv"), "-o", program.file("other.csv")], READ % program.file("other.csv")),
    ]
    data, state = program.file("data.csv"), program.file("state.svg")
    shutil.copy(data, program.file("other.csv"))
    program.good("fit", model, "--steps", "1", "--checkpoint", state, "--quiet")
    shutil.copy(data, program.file("data.svg"))
    cases += [([option, data], READ % data) for option in ("-o", "--history", "--checkpoint")]
    cases += [(["--resume", state, option, state], READ % state) for option in ("-o", "--history", "--plot")]
    cases += [(["--data", program.file("data.svg"), "--plot", program.file("data.svg")], READ % program.file("data.svg"))]
    kept = {}
    for name in os.listdir(program.folder):
        with open(program.file(name), "rb") as f:
            kept[name] = f.read()
    for flags, expected in cases:
        check_equal(program.bad(1, "fit", model, *flags).err, expected, " ".join(flags))
    run = program.bad(1, "fit", model, "--checkpoint", "/nonexistent/state")
    check_in("error: the checkpoint '/nonexistent/state' cannot be used", run.err)
    check_equal(program.bad(1, "fit", model, "--resume", data).err, READ % data, "where the state would be kept")
    for option in ("--resume", "--checkpoint"):
        check_in("is not a checkpoint", program.bad(1, "fit", model, option, program.file("other.csv")).err)
    apart = "error: %s and %s cannot both be written to '%s'\nnote: give each a file of its own\n"
    new = program.file("new.svg")
    for first, second in (("-o", "--history"), ("-o", "--checkpoint"), ("--history", "--plot"), ("--plot", "--checkpoint")):
        run = program.bad(2, "fit", model, first, new, second, new)
        check_equal(run.err, apart % (first, second, new), first + " " + second)
    check_equal(program.bad(2, "fit", model, "--history", "-", "-o", "-").err, "error: -o and --history cannot both go to standard output\n", "message")
    check_equal(sorted(os.listdir(program.folder)), sorted(kept), "files")
    for name, content in kept.items():
        with open(program.file(name), "rb") as f:
            check_equal(f.read(), content, name)
    # One checkpoint to go on from and to keep.
    program.good("fit", model, "--steps", "1", "--resume", state, "--checkpoint", state, "--quiet", "-o", "/dev/null", "--history", "/dev/null")


def test_wrong_options(program):
    birth_death_data(program)
    model = program.file("model.rxn", BIRTH_DEATH % "")
    cases = [
        (["--optimizer", "adaam"], "error: there is no optimizer 'adaam'\nnote: optimizers: adam, adamw, sgd, lbfgs, gauss_newton\n"),
        (["--estimator", "path,score"], "error: a fit takes one estimator, not 'path,score'\n"),
        (["--estimator", "all"], "error: a fit takes one estimator, not 'all'\n"),
        (["--schedule", "cosinus"], "error: there is no schedule 'cosinus'\nnote: schedules: constant, cosine, exponential, step\n"),
        (["--starts", "0"], "error: --starts takes 1 or more\n"),
        (["--rate", "-1"], "error: --rate is -1; it has to be positive\n"),
        (["--plot", "x.pdf"], "error: --plot takes a file that ends with .svg or .png, not 'x.pdf'\n"),
        (["--every", "5"], "error: --every goes with --checkpoint FILE\n"),
    ]
    for flags, expected in cases:
        check_equal(program.bad(2, "fit", model, *flags).err, expected, " ".join(flags))
    run = program.bad(1, "fit", model, "--data", program.file("none.csv"))
    check_in("none.csv", run.err)
    run = program.bad(1, "fit", model, "--schedule", "cosine")
    check_equal(run.err, "error: the optimizer 'gauss_newton' finds its steps by itself and takes no schedule\n", "message")
    run = program.bad(1, "fit", model, "--optimizer", "adam", "--schedule", "step")
    check_equal(run.err, "error: this fit cannot be done with 'adam': a schedule in steps needs the number of steps between two "
                "changes\nnote: in the block, as in 'schedule step(every = 50)'\n", "message")
    text = BIRTH_DEATH % "  optimizer lbfgs; schedule cosine(floor = 0.1)\n"
    run = program.bad(1, "fit", program.file("wrong.rxn", text))
    check_in("the optimizer 'lbfgs' finds its steps by itself and takes no schedule", run.err)
    text = BIRTH_DEATH % "  optimizer gauss_newton\n"
    run = program.bad(1, "fit", program.file("wrong.rxn", text.replace("mse(mean(X), data.X)", "mae(mean(X), data.X)")))
    check_in("gauss_newton cannot fit this: ", run.err)


if __name__ == "__main__":
    sys.exit(main([f for name, f in list(globals().items()) if name.startswith("test_")]))
