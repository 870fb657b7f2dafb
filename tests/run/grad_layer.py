#!/usr/bin/env python3
"""Layers of genes, whose adjoint is carried by a number for each sum instead of one for each gene.

The same derivatives, trajectory by trajectory, have the table form with an adjoint for every species (--form dense), and the
unrolled one, which shares no code with both. Expectations are held to the master equation and to coupled pairs.
"""

import re
import sys

from grad_family import grad, needs_a_target
from harness import check_equal, main

# Counts at the start, parameters in every place: weights, thresholds, rates of both layers.
SMALL = """model small
index pixel = 6, gene = 5, class = 3
input x[pixel]
param W[gene, pixel] ~ normal(0, 0.5) fit
param V[class, gene] ~ normal(0, 0.3) fit
param b[gene] = 0.2 fit
param c[class] = 0.1 fit
param beta = 6 fit
param gamma = 1.2 fit
param delta = 0.8 fit
species H[gene] = 2, Y[class] = 1
for g in gene {
  on:  0 => H[g]  @ beta * sigmoid(b[g] + sum(p in pixel: W[g,p] * x[p]))
  off: H[g] -> 0  @ gamma
}
for k in class {
  make: 0 => Y[k]  @ beta * sigmoid(c[k] + 0.1 * sum(g in gene: V[k,g] * H[g]))
  lose: Y[k] -> 0  @ delta
}
"""
SMALL_FLAGS = ["--set", "x=0.4", "--set", "x[2]=1", "--set", "x[4]=0"]
ENTROPY = "log(sum(k in class: exp(0.15*Y[k]))) - 0.15*Y[1]"

# H -> G -> Y, the first two compressed; products of weights, weights that are functions of parameters, a sum whose range is a
# part of the array, two sums in one law, a sum that has no variables, growth beside decay, a law with no parameter.
DEEP = """model deep
index gene = 8, mid = 4, class = 2
param U[mid, gene] ~ normal(0, 0.4) fit
param s[gene] ~ normal(0, 0.3) fit
param V[class, mid] ~ normal(0, 0.5) fit
param a = 0.3 fit
param gamma = 1 fit
param rho = 0.2 fit
param h[gene] = 3 fit
species H[gene], G[mid] = 1, Y[class]
for g in gene {
  on:   0 => H[g] @ h[g] * (1 + rho)
  grow: H[g] -> 2 H[g] @ rho
  off:  H[g] -> 0 @ gamma + rho
}
for m in mid {
  made: 0 => G[m] @ 4 * sigmoid(sum(g in gene: 0.2 * U[m,g] * s[g] * H[g]) - a * sum(g in 0 .. 4: exp(s[g]) * H[g+1]) / 9 - 0.1 * sum(g in 1 .. 4: s[g] * H[g]))
  two:  0 => G[m] + Y[0] @ 0.1 * sum(g in gene: H[g])
  gone: G[m] -> 0 @ 0.5
}
for k in class {
  make: 0 => Y[k] @ 3 * sigmoid(sum(m in mid: V[k,m] * G[m]) + Y[1-k]/10)
  lose: Y[k] -> 0 @ gamma
}
"""

# Arrays of rank two, genes that drive each other, and those that may not be compressed: P has a rate for each member, Q is
# assigned to, R stands in a law by itself, S is read by an event.
MIXED = """model mixed
index row = 3, gene = 4
param J[gene, gene] ~ normal(0, 0.2) fit
param A[row, gene] ~ normal(0, 0.3) fit
param w[gene] ~ normal(0, 0.3) fit
param k = 2 fit
param g = 1 fit
species M[row, gene] = 1, H[gene] = 2, P[gene] = 2, Q[gene] = 1, R[gene] = 1, S[gene] = 1, T[gene], Z = 0, E = 3
for r in row { for j in gene { 0 => M[r,j] @ k * (1 + r); M[r,j] -> 0 @ g } }
for j in gene {
  0 => H[j] @ 5 * sigmoid(sum(q in gene: J[j,q] * H[q]) + sum(r in row: sum(q in gene: A[r,q] * M[r,q])) / 5)
  H[j] => 0 @ k*H[j]
  H[j] -> Z @ g
  0 => P[j] @ 3; P[j] -> 0 @ exp(w[j]); 0 => Q[j] @ 2; Q[j] -> 0 @ 1; 0 => R[j] @ 2; R[j] -> 0 @ g
  0 => S[j] @ k; S[j] -> 0 @ 1; 0 => T[j] @ k; T[j] -> 0 @ 1
  R[j] + E -> R[j] @ 0.1
}
0 => Z @ k * exp(0.05 * sum(j in gene: w[j] * (P[j] + Q[j] + R[j] + S[j] + T[j])))
0 => E @ if t < 0.4 then k else 3*k
at 0.6: Q[2] = 3, E = E + S[1]
"""
MIXED_OF = ["Z^2", "sum(j in gene: T[j]^2)", "E", "Z"]


def check_compressed(program, model, *flags, arrays, tolerance=1e-10, unrolled=1e-7):
    """These arrays go back as so many numbers; and the derivatives are those of the other forms."""
    forms = ("table", "dense", "unrolled")
    run = [grad(program, model, *flags, "--form", form, "--estimator", "path-adjoint") for form in forms]
    found = [re.findall(r"adjoint of (\w+) goes back as (\d+)", estimate[0].get("remarks", "")) for estimate in run]
    check_equal(found, [[tuple(a.split(":")) for a in arrays.split()], [], []], flags)
    for a, b, c in zip(*run):
        check_equal([b["events"], c["events"]], [a["events"], a["events"]], "events")
        scale = max(abs(p["gradient"]) + p["sd"] for p in c["parameters"])
        assert scale > 0, a["output"]
        for p, q, r in zip(a["parameters"], b["parameters"], c["parameters"]):
            for key in ("gradient", "sd"):
                assert abs(p[key] - q[key]) <= tolerance * scale, (a["output"], key, p, q)
                assert abs(p[key] - r[key]) <= unrolled * scale, (a["output"], key, p, r)
    return run[0]


def test_one_layer(program):
    model = program.file("small.rxn", SMALL)
    flags = SMALL_FLAGS + ["--at", 3, "-n", 30]
    for of, arrays in (("Y[1]", "H:3 Y:1"), (ENTROPY, "H:3"), ("integral(Y[0]*Y[2], 0.5, 2)", "H:3"), ("Y[0]*at(Y[1], 1.5)", "H:3 Y:2")):
        check_compressed(program, model, "--of", of, *flags, arrays=arrays)
    check_compressed(program, model, "--of", "var(Y[2])", "--of", ENTROPY, "--of", "Y[0]", *flags, arrays="H:3")


def test_functionals_of_the_layer(program):
    """Affine ones are sums, too; others leave the array as it is."""
    model = program.file("small.rxn", SMALL)
    flags = SMALL_FLAGS + ["--at", "0.7,2", "-n", 30]
    cases = [("H[3] + Y[0]", "H:4 Y:1"), ("sum(g in gene: b[g]*H[g])*Y[1]", ""), ("H[1]^2", "Y:0"), ("sum(g in gene: H[g]^2)", "Y:0")]
    cases += [("at(sum(g in 0 .. 3: (1+g)*b[g+1]*H[g+1]), 1)*Y[1]", "H:4 Y:1"), ("H[1] - H[0]", "H:5 Y:0")]
    cases += [("average(H[2] - 3*H[4], 0.2, 1.7) + integral(Y[1])", "H:5 Y:1"), ("H[1] + H[3] - H[0]", "Y:0")]
    for of, arrays in cases:
        check_compressed(program, model, "--of", of, *flags, arrays=arrays)


def test_single_trajectories(program):
    model = program.file("small.rxn", SMALL)
    for seed in range(1, 6):
        check_compressed(program, model, "--of", ENTROPY, *SMALL_FLAGS, "--at", 2, "-n", 2, "--seed", seed, arrays="H:3")


def test_two_layers(program):
    model = program.file("deep.rxn", DEEP)
    for of in ("Y[1]^2", "average(Y[0]) + at(Y[1], 0.8)"):
        check_compressed(program, model, "--of", of, "--at", 1.5, "-n", 20, arrays="H:7 G:2")
    check_compressed(program, model, "--of", "G[2] - H[3]", "--at", 1.5, "-n", 20, arrays="H:8 G:3")


def test_what_cannot_be_compressed(program):
    model = program.file("mixed.rxn", MIXED)
    of = [word for name in MIXED_OF for word in ("--of", name)]
    check_compressed(program, model, *of, "--at", "0.3,0.9", "-n", 20, arrays="M:1")
    check_compressed(program, model, "--of", "Z^2", "--at", "0.3,0.9", "-n", 20, arrays="M:1 T:1")
    calm = program.file("calm.rxn", MIXED.replace("H[j] -> Z @ g", "H[j] -> 0 @ g"))
    check_compressed(program, calm, "--of", "Z^2", "--at", "0.3,0.9", "-n", 20, arrays="M:1 H:4 T:1")
    off, on = "H[g] -> 0  @ gamma\n}", "0 => H[g]  @"
    changes = [(off, "H[g] -> 0  @ gamma*(1+g)\n}"), (off, "H[g] -> Y[0]  @ gamma\n}"), (on, "0 => H[g]  @ 0.1*H[g] +")]
    changes += [("  off: " + off, "}\nfor g in 0 .. 3 { off: H[g] -> 0  @ gamma }")]
    for old, new in changes:
        assert old in SMALL, old
        changed = program.file("changed.rxn", SMALL.replace(old, new))
        check_compressed(program, changed, "--of", ENTROPY, *SMALL_FLAGS, "--at", 2, "-n", 10, arrays="")


def test_long_loops(program):
    """More members than are written out."""
    text = SMALL.replace("gene = 5, class = 3", "gene = 40, class = 20").replace("normal(0, 0.3)", "normal(0, 0.1)")
    model = program.file("wide.rxn", text.replace("pixel = 6", "pixel = 3"))
    flags = ["--set", "x=0.4", "--of", ENTROPY, "--at", 0.4, "-n", 3, "--wrt", "V[3,5],V[19,39],b,c,gamma,beta"]
    check_compressed(program, model, *flags, arrays="H:20")


def test_small_tape(program):
    """Sums come back at the start of every block."""
    model = program.file("small.rxn", SMALL)
    flags = SMALL_FLAGS + ["--of", ENTROPY, "--at", 60, "-n", 16, "--estimator", "path-adjoint", "--threads", 1, "--lanes", 8]
    whole = grad(program, model, *flags, "--form", "table")[0]
    assert whole["events"] > 16 * 2000, whole["events"]
    few = grad(program, model, *flags, "--form", "table", "--tape-memory", "64K")[0]
    dense = grad(program, model, *flags, "--form", "dense")[0]
    scale = max(abs(p["gradient"]) + p["sd"] for p in dense["parameters"])
    for p, q, r in zip(whole["parameters"], few["parameters"], dense["parameters"]):
        assert abs(p["gradient"] - q["gradient"]) <= 1e-12 * scale, (p, q)
        assert abs(p["gradient"] - r["gradient"]) <= 1e-9 * scale, (p, r)


def test_targets_and_lanes(program):
    """The interpreter, and every number of lanes and threads: the same bits."""
    needs_a_target(program)
    for text, model_flags in ((SMALL, SMALL_FLAGS), (DEEP, [])):
        model = program.file("model.rxn", text)
        flags = ["grad", model, "--of", "log(1 + Y[0])*Y[1]", "--of", "average(Y[0])", "--at", 1.5, "--form", "table"]
        flags += [*model_flags, "--quiet", "-o", "-", "--estimator", "path"]
        for precision in ("f64", "f32"):
            wanted = program.good(*flags, "--precision", precision, "-n", 5, "--device", "interpreter").out
            check_equal(program.good(*flags, "--precision", precision, "-n", 5, "--device", "cpu").out, wanted, "compiled")
        wanted = program.good(*flags, "-n", 37, "--lanes", 1, "--threads", 1).out
        for lanes, threads in ((2, 1), (8, 2), (16, 3)):
            check_equal(program.good(*flags, "-n", 37, "--lanes", lanes, "--threads", threads).out, wanted, lanes)


def test_single_precision(program):
    """The trajectories are other ones, but the derivative of a mean is the same."""
    model = program.file("small.rxn", SMALL)
    flags = SMALL_FLAGS + ["--of", "Y[1]", "--at", 2, "-n", 2000, "--form", "table", "--estimator", "path-adjoint"]
    wide, narrow = grad(program, model, *flags)[0], grad(program, model, *flags, "--precision", "f32")[0]
    for p, q in zip(wide["parameters"], narrow["parameters"]):
        assert abs(p["gradient"] - q["gradient"]) < 6 * (p["se"] + q["se"]) + 1e-9, (p, q)


# All laws affine: the adjoint is without bias, so that it has to agree with the master equation.
LINEAR = """model linear
index gene = 3
param V[gene] ~ normal(0.5, 0.1) fit
param h[gene] = 0.8 fit
param gamma = 1 fit
param base = 0.3 fit
species H[gene] = 1, Y = 0
for g in gene { 0 => H[g] @ h[g]; H[g] -> 0 @ gamma }
0 => Y @ base + sum(g in gene: (V[g] + 0.1) * H[g])
Y -> 0 @ 2*gamma
"""


def test_against_the_master_equation(program):
    model = program.file("linear.rxn", LINEAR)
    flags = ["--of", "Y", "--of", "integral(Y + H[1])", "--at", 1.5]
    exact = grad(program, model, *flags, "--estimator", "exact")
    found = grad(program, model, *flags, "--estimator", "path-adjoint", "--form", "table", "-n", 20000)
    for a, b in zip(exact, found):
        check_equal(b["unbiased"], True, "affine")
        for p, q in zip(a["parameters"], b["parameters"]):
            assert abs(p["gradient"] - q["gradient"]) < 5 * q["se"] + 1e-6 * abs(p["gradient"]), (a["output"], p, q)


if __name__ == "__main__":
    sys.exit(main([test for name, test in list(globals().items()) if name.startswith("test_")]))
