#!/usr/bin/env python3
"""Weighted sums of rate laws that are kept from event to event instead of added up anew.

`--method direct-table-full` adds them up whenever they are read; with it a trajectory has the same random numbers,
and another one only where rounding decides: of a million events hardly one. So the events themselves are compared, over
trajectories that are longer than the interval of full summation.
"""

import json
import math
import sys

from harness import check_equal, main

HEAD = """model sums
index gene = 24, class = 3
input x[gene]
param w[gene] ~ normal(0.4, 0.3)
param V[class, gene] ~ normal(0, 0.2)
param U[class, gene] ~ uniform(0, 0.1)
param c[class] = 0.3
param g = 1, tau = 1.5
species H[gene] = 3, G[26] = 1, T[class, gene] = 1, Y[class] = 0, P = 0
for i in gene { up: 0 => H[i] @ 5; down: H[i] -> 0 @ g; swap: H[i] -> G[i+1] @ 0.2 * g; back: G[i+1] -> 0 @ g }
for k in class { lose: Y[k] -> 0 @ 1 }
P -> 0 @ 1
"""
TAIL = "observe Y, P, total = sum(i in gene: H[i])\nsimulate until 60 every 20\n"

# Each with what it is about.
LAWS = {
    "smooth": "for k in class { make: 0 => Y[k] @ 20 * sigmoid(c[k] + 0.1 * sum(i in gene: V[k,i] * H[i])) }",
    "softmax": "for k in class { make: 0 => Y[k] @ 20 * exp(sum(i in gene: V[k,i] * H[i]))"
    " / (exp(3) + sum(j in class: exp(sum(i in gene: V[j,i] * H[i])))) }",
    "exact": "make: 0 => P @ 0.1 * sum(i in gene: 2 * H[i] - 0.5 * G[i] + G[i+1])^2 / 100",
    "decided, exact": "for k in class { make: 0 => Y[k] @ if sum(i in gene: H[i]) > 110 + k then 5 else 1 }",
    "decided": "for k in class { make: 0 => Y[k] @ if sum(i in gene: V[k,i] * H[i]) > 1 then 5 else 1 }",
    "direct": "for k in class { make: 0 => Y[k] @ sum(i in gene: U[k,i] * H[i]) }",
    "rectified": "for k in class { make: 0 => Y[k] @ max(0, sum(i in gene: V[k,i] * (H[i] - G[i+1]))) }",
    "two arrays": "for k in class { make: 0 => Y[k] @ 9 * sigmoid(sum(i in gene: V[k,i] * H[i] + U[k,i] * G[i+2])) }",
    "nested": "for k in class { make: T[k,3] => Y[k] @ 9 * sigmoid(sum(j in class: c[j] * sum(i in gene: V[j,i] * T[j,i])))"
    " * T[k,3] }\nfor k in class { for i in gene { t: T[k,i] -> T[k,i] + P @ 0.1; s: 0 <-> T[k,i] @ 1, 1 } }",
    "local": "for k in class { make: 0 => Y[k] @ 9 * exp(-0.1 * sum(i in gene: U[k,i] * T[k,i])) }\n"
    "for k in class { for i in gene { s: 0 <-> T[k,i] @ 1, 1 } }",
    "part of an array": "make: 0 => P @ sum(i in 3 .. 21: w[i]^2 * G[i+2])",
    "inputs": "make: 0 => P @ softplus(sum(i in gene: x[i] * w[i] * H[i]) / tau)",
    "times": "for k in class { make: 0 => Y[k] @ (2 + sin(t)) * softplus(sum(i in gene: V[k,i] * H[i]))"
    " * (if t < tau then 2 else 1) }",
    "events": "for k in class { make: 0 => Y[k] @ 9 * sigmoid(sum(i in gene: V[k,i] * H[i])) }\n"
    "also: 0 => P @ sum(i in gene: U[0,i] * H[i])\nat 3: H[0] = 50, H[3] = 0\nevery 0.7: H[1] = H[2] + H[1]\n"
    "when P > 6: P = 0, H[4] = 0",
    "its own product": "make: 0 => H[7] @ exp(-0.1 * sum(i in gene: U[1,i] * H[i]))\n"
    "also: H[7] + H[8] => P @ H[7] * H[8] * sum(i in gene: U[1,i] * H[i])",
    "equal in a row": "for k in class { make: 0 => Y[k] @ (7 - min(Y[k], 7)) * sigmoid(sum(i in gene: V[k,i] * H[i])) }",
}


def model_of(program, name):
    text = HEAD + LAWS[name] + "\n" + TAIL
    return program.file("sums_%s.rxn" % "".join(c for c in name if c.isalpha()), text)


def rows(program, name, n, *flags):
    cache = program.file("kernels")  # a kernel is compiled once
    return program.table(model_of(program, name), "-n", n, "--each", "--set", "x=0.3", "--cache", cache, *flags)[1]


def same_events(name, precision):
    def test(program):
        flags = ["--precision", precision, "--seed", 3]
        n = 3 if program.device else 24
        kept = rows(program, name, n, "--method", "direct-table", *flags)
        if precision == "f64":
            # In f32 a full sum is one of f32, and a kept one is not.
            check_equal(kept, rows(program, name, n, "--method", "direct-table-full", *flags), "with full sums")
        assert any(float(v) > 0 for row in kept for v in row[2:6]), "nothing happened"
        if program.device:
            return
        for more in (["--threads", 2], ["--lanes", 1], ["--lanes", 4]):
            check_equal(rows(program, name, n, "--method", "direct-table", *more, *flags), kept, " ".join(map(str, more)))
        few = rows(program, name, 2, "--method", "direct-table", "--device", "interpreter", *flags)
        check_equal(few, kept[: len(few)], "in the interpreter")

    test.__name__ = "same_events_%s_%s" % (name.replace(" ", "_").replace(",", ""), precision)
    return test


# 0.1 + 0.2 + 0.3 - 0.3 - 0.2 - 0.1 is not 0. Each molecule goes in its own time, and then nothing can be made any more.
DYING = """model dying
index gene = 40
param w[gene] = %s
param g = 1
species H[gene] = 5, P = 0, made = 0
for i in gene { down: H[i] -> 0 @ g }
make: 0 => P @ %s
%s
observe P, left = sum(i in gene: H[i]), made
simulate until %s
"""


def dying(program, weights, law="sum(i in gene: w[i] * H[i])", more="", times="40"):
    sets = [flag for i in range(40) for flag in ("--set", "w[%d]=%r" % (i, weights(i)))]
    return program.file("dying.rxn", DYING % ("1", law, more, times)), sets


def test_zero_is_zero(program):
    """A sum that has returned to zero makes nothing, for ever: not 1e-17 of it, and no negative propensity."""
    ticks = "tick: 0 -> made @ 300\n"  # so that there are full summations, too
    cases = {
        "real": (lambda i: 0.1 * (i + 1), "sum(i in gene: w[i] * H[i])"),
        "wide": (lambda i: 10.0 ** (-i), "sum(i in gene: w[i] * H[i])"),
        "huge": (lambda i: 1e8 / (i + 3), "1e6 * sum(i in gene: w[i] * H[i]) / (1e12 + 1e6 * sum(i in gene: w[i] * H[i]))"),
        "mixed": (lambda i: 0.1 * (i + 1) * (-1) ** i, "1e9 * max(0, sum(i in gene: w[i] * H[i]))^0.25 / 1e9"),
        "sparse": (lambda i: 0.7 if i % 9 == 0 else 0.0, "sum(i in gene: w[i] * H[i])"),
    }
    n = 10 if program.device else 400
    for name, (weights, law) in cases.items():
        model, sets = dying(program, weights, law, ticks, "60 every 1")
        for precision in ("f64", "f32"):
            flags = ["-n", n, "--each", "--method", "direct-table", "--precision", precision, *sets]
            _, table = program.table(model, *flags)
            at_zero = {}
            for trajectory, _, made, left, _ in table:
                if left == "0":
                    first = at_zero.setdefault(trajectory, made)
                    check_equal(made, first, "%s, %s: made of nothing" % (name, precision))
            assert len(at_zero) > 0.9 * n, "%s: too few have ended" % name


def test_moments(program):
    """A molecule of H[i] makes w[i] a time while it lives: mean and variance of P in closed form. Reals and whole numbers."""
    n, end = (2000, 1.5) if program.device else (40000, 1.5)
    life = 1 - math.exp(-end)
    square = 2 * (1 - math.exp(-end) * (1 + end)) - life**2
    for weights in (lambda i: float(i % 4), lambda i: 0.13 * (i % 5) + 0.01):
        model, sets = dying(program, weights, times="%g every %g" % (end, end))
        header, table = program.table(model, "-n", n, "--seed", 5, "--method", "direct-table", *sets)
        got = dict(zip(header, map(float, table[-1])))
        mean = 5 * life * sum(weights(i) for i in range(40))
        variance = mean + 5 * square * sum(weights(i) ** 2 for i in range(40))
        z = (got["P.mean"] - mean) / math.sqrt(variance / n)
        v = (got["P.sd"] ** 2 / variance - 1) * math.sqrt((n - 1) / 2)
        assert abs(z) < 5.5 and abs(v) < 5.5, "mean off by %.1f, variance by %.1f standard errors" % (z, v)


CIRCUIT = """model circuit
index gene = 20
param J[gene, gene] ~ normal(0, 0.2) fit
param U[gene] ~ uniform(0, 0.2) fit
param beta = 10 fit
param gamma = 1 fit
species H[gene] = 4, E = 0
for g in gene {
  on:  0 => H[g] @ beta * sigmoid(0.3 + sum(q in gene: J[g,q] * H[q]))
  off: H[g] -> 0 @ gamma
}
act: 0 => E @ sum(g in gene: U[g] * H[g])
E -> 0 @ if t < 0.4 then gamma else 3*gamma
at 0.3: H[2] = H[2] + 2*E
every 0.35: E = 0
"""


def gradient(program, model, *flags, estimator="path-adjoint"):
    device = ["--device", program.device] if program.device else []
    run = ["grad", model, "--of", "E^2", "--estimator", estimator, "--wrt", "beta,gamma,U", "--seed", 2]
    return json.loads(program.good(*run, "--quiet", "--json", "-", *device, *flags).out)[0]["parameters"]


def test_gradients(program):
    """Backward: the sums come back with the counts, and the steps between two checkpoints are the same again. The forward mode
    has neither; it and the table form are f64, an unrolled backward step is f32."""
    model = program.file("circuit.rxn", CIRCUIT)
    flags = ["--form", "table", "--threads", 1, "--lanes", 8, "-n", 16, "--at", 4 if program.device else 60]
    plain = gradient(program, model, *flags)
    if not program.device:  # the interpreter has one lane
        check_equal(gradient(program, model, *flags, "--tape-memory", "130K"), plain, "in blocks")
    flags = ["--at", 2, "-n", 20]
    table, unrolled = (gradient(program, model, *flags, "--form", form) for form in ("table", "unrolled"))
    forward = gradient(program, model, *flags, estimator="path-forward")
    for a, b, c in zip(table, unrolled, forward):
        assert abs(a["gradient"] - c["gradient"]) <= 1e-12 * abs(c["gradient"]), (a, c)
        assert abs(b["gradient"] - c["gradient"]) <= 1e-6 * c["se"], (b, c)


if __name__ == "__main__":
    tests = [same_events(name, precision) for name in LAWS for precision in ("f64", "f32")]
    tests += [f for name, f in list(globals().items()) if name.startswith("test_")]
    sys.exit(main(tests))
