#!/usr/bin/env python3
"""Gradients of networks of families, which are differentiated in loops over tables.

The same model in both forms, unrolled and over tables (--form), has the same trajectories, and so every number of the
gradient has to be the same but for rounding: that is how the loops are held to the forms that other tests
hold to closed forms. Large models are held to closed forms themselves.
"""

import csv
import io
import json
import math
import os
import sys

from harness import STDLIB, Skipped, check_equal, check_in, main, peak_of

# Genes that regulate each other (weights inside a sum over species), reactions between neighbours, powers of counts,
# a catalyst, a rate that switches, events, parameters that the output reads itself.
CIRCUIT = """model circuit
const N = %d
index gene = N
param J[gene, gene] ~ normal(0, 0.2) fit
param h[gene] = 0.3 fit
param beta = 10 fit
param gamma = 1 fit
param K = 2 fit
param half = 3 fit
species H[gene] = 4
species D[gene] = 0
species E = 0
for g in gene {
  on:  0 => H[g] @ beta * sigmoid(sum(q in gene: J[g,q]*H[q]) + h[g])
  off: H[g] -> 0 @ gamma
  dim: 2 H[g] -> D[g] @ 0.05
  cat: D[g] => D[g] + E @ K * D[g]/(half + D[g])
}
for s in 0 .. N-2 { hop: H[s] <-> H[s+1] @ 0.3 * h[s], 0.2 }
E -> 0 @ if t < 0.4 then gamma else 3*gamma
at 0.3: H[2] = H[2] + 2*D[1], D[0] = 1
every 0.35: E = 0
"""

# `when` moves the state between stops.
WHENS = """model whens
index gene = 4
param k[gene] = 5 fit
param g = 1 fit
species H[gene] = 0
for i in gene { on: 0 -> H[i] @ k[i]; off: H[i] -> 0 @ g }
when H[0] > 4: H[1] = H[1] + 3, H[0] = 0
every 0.7: H[2] = 1
"""

# Weights stand in a hoisted sum over inputs; each has a value of its own, so that none stands for another.
LAYER = """model layer
index pixel = %d, gene = %d
input  x[pixel]
param W[gene, pixel] ~ normal(0, 0.05) fit
param b[gene] = 0.1 fit
param beta  = 20 fit
param gamma = 1 fit
species H[gene] = 0
for g in gene {
  on:   0 => H[g]  @ beta * sigmoid(b[g] + sum(p in pixel: W[g,p] * x[p]))
  off:  H[g] -> 0  @ gamma
}
observe total = sum(g in gene: H[g])
"""


def device_of(program):
    return ["--device", program.device] if program.device else []


def grad(program, model, *flags):
    flags = [str(f) for f in flags]
    if "--device" not in flags:
        flags += device_of(program)
    return json.loads(program.good("grad", model, "--json", "-", "--quiet", *flags).out)


def check_forms(program, model, *flags, tolerance=1e-7):
    """Unrolled and over tables: values, derivatives, deviations; to a part of the largest derivative."""
    unrolled = grad(program, model, *flags, "--form", "unrolled")
    table = grad(program, model, *flags, "--form", "table")
    check_equal(len(table), len(unrolled), "estimates")
    for a, b in zip(unrolled, table):
        what = (a["estimator"], a["output"], a["time"])
        check_equal((b["estimator"], b["output"], b["time"]), what, "order")
        check_equal((b["events"], b["unbiased"]), (a["events"], a["unbiased"]), what)
        blind = "blind fraction"
        check_equal(b["diagnostics"].get(blind), a["diagnostics"].get(blind), what + (blind,))
        assert abs(a["value"] - b["value"]) <= 1e-12 * abs(a["value"]), (what, a["value"], b["value"])
        scale = max(abs(p["gradient"]) for p in a["parameters"])
        spread = max(p["sd"] for p in a["parameters"])
        assert scale > 0, what
        for p, q in zip(a["parameters"], b["parameters"]):
            check_equal(q["name"], p["name"], "parameter")
            assert abs(p["gradient"] - q["gradient"]) <= tolerance * scale, (what, p, q)
            assert abs(p["sd"] - q["sd"]) <= tolerance * (spread + scale), (what, p, q)
    return table


SQUARES = "sum(g in gene: (H[g] - 2)^2)"


def test_score(program):
    model = program.file("circuit.rxn", CIRCUIT % 5)
    of = ["--of", SQUARES, "--of", "average(H[1]*E + gamma*D[2])", "--of", "K*H[1]*at(E, 0.5)^2", "--of", "H[0]/K"]
    check_forms(program, model, *of, "--at", "0.3,1.1", "--estimator", "score", "-n", 100, tolerance=1e-11)


def test_path(program):
    model = program.file("circuit.rxn", CIRCUIT % 5)
    of = ["--of", SQUARES, "--of", "average(H[1]*E + gamma*D[2])", "--of", "K*H[1]*at(E, 0.5)^2"]
    of += ["--of", "integral(E, 0.2, 0.9)", "--of", "var(E)", "--of", "if K > 1 then gamma*H[1] else 0"]
    check_forms(program, model, *of, "--at", "0.3,1.1", "--estimator", "path-adjoint", "-n", 100)


def test_when_and_passages(program):
    model = program.file("whens.rxn", WHENS)
    of = ["--of", "sum(i in gene: H[i]^2)", "--of", "total(H[1], 0, 3, 0.25)", "--of", "passage(H[3] > 6)"]
    of += ["--of", "passage(H[3] > 3, 2)"]
    check_forms(program, model, *of, "--at", 3, "--estimator", "score", "-n", 300, tolerance=1e-11)


# P[g] leaks at a rate that may be 0; where A[g] is gone that is the whole rate of a reaction.
LEAKS = """model leaks
const N = %d
index gene = N
param leak[gene] = 0
param v = 5
species A[gene] = 1, P[gene] = 0
for g in gene {
  A[g] -> 0 @ 1
  0 => P[g] @ leak[g] + v*A[g]
  P[g] -> 0 @ 1
}
%s
"""


def test_where_scores_are_blind(program):
    """A reaction of rate zero leaves no trace, in loops as elsewhere: noticed in the states where that is so, told in
    the same words. Of 3 genes each is without A at 2 with probability 1 - exp(-2)."""
    flags = ["--of", "sum(g in gene: P[g])", "--at", 2, "--estimator", "score", "-n", 2000]
    dead = 1 - math.exp(-2)
    model = program.file("leaks.rxn", LEAKS % (3, ""))
    leaky = ["--set", "leak=0.2"]
    one_leak = leaky + ["--set", "leak[1]=0"]
    cases = [([], 1 - (1 - dead) ** 3), (leaky, 0), (one_leak + ["--wrt", "leak[1]"], dead), (one_leak + ["--wrt", "leak[0],v"], 0)]
    for sets, expected in cases:
        estimate = check_forms(program, model, *flags, *sets, tolerance=1e-11)[0]
        check_equal(estimate["unbiased"], expected == 0, sets)
        assert abs(estimate["diagnostics"]["blind fraction"] - expected) < 0.05, (sets, estimate["diagnostics"])
    # Events that bring A back.
    revived = program.file("revived.rxn", LEAKS % (3, "every 0.5: A[0] = 1, A[1] = 1, A[2] = 1"))
    check_forms(program, revived, *flags, tolerance=1e-11)
    words = program.good("grad", model, *[str(f) for f in flags], "--form", "table", "--quiet", *device_of(program)).err
    check_in("warning: score: where a propensity is zero and another value of a parameter would make it positive", words)
    check_in("warning: biased here: score", words)
    # With loops over the members, and a sum in the law.
    wide = program.file("wide.rxn", (LEAKS % (20, "")).replace("v*A[g]", "v*sum(q in gene: A[q])"))
    flags[-1] = 300
    for sets, expected in (([], dead**20), (["--set", "v=0", *leaky, "--set", "leak[3]=0"], 1), (["--set", "v=0", *leaky], 0)):
        estimate = check_forms(program, wide, "--of", "P[7]", *flags[2:], *sets, "--wrt", "leak[3],v", tolerance=1e-11)[0]
        assert abs(estimate["diagnostics"]["blind fraction"] - expected) < 0.07, (sets, estimate["diagnostics"])


def test_states_that_a_when_passes_over(program):
    """No state is seen with the propensities of the one before: H[0] is 1 for no time at all."""
    model = program.file("whens.rxn", WHENS.replace("when H[0] > 4", "when H[0] > 0"))
    estimate = check_forms(program, model, "--of", "H[1] + H[3]", "--at", 3, "--estimator", "score", "-n", 300, tolerance=1e-11)[0]
    check_equal([estimate["unbiased"], estimate["diagnostics"]["blind fraction"]], [True, 0], "not blind")


def test_loops_over_bound_variables(program):
    """With 17 genes the sums inside of laws are loops."""
    model = program.file("circuit.rxn", CIRCUIT % 17)
    check_forms(program, model, "--of", SQUARES, "--at", 0.5, "--estimator", "score", "-n", 20, tolerance=1e-11)
    small = program.file("small.rxn", CIRCUIT.replace("param J[gene, gene] ~ normal(0, 0.2) fit",
                                                      "param J[gene, gene] ~ normal(0, 0.2)") % 17)
    check_forms(program, small, "--of", SQUARES, "--at", 0.5, "--wrt", "J[3,5],h,beta", "--estimator", "path-adjoint", "-n", 5)


def test_layer(program):
    """600 weights as 20 leaves: an outer product."""
    model = program.file("layer.rxn", LAYER % (30, 20))
    flags = ["--set", "x=0.3", "--set", "x[7]=1", "--of", SQUARES, "--at", 2, "--estimator", "score,path-adjoint", "-n", 100]
    found = check_forms(program, model, *flags)
    for estimate in found:
        by = {p["name"]: p["gradient"] for p in estimate["parameters"]}
        assert abs(by["W[3,2]"] - 0.3 * by["b[3]"]) <= 1e-9 * abs(by["b[3]"]), (by["W[3,2]"], by["b[3]"])
        assert abs(by["W[3,7]"] - by["b[3]"]) <= 1e-9 * abs(by["b[3]"]), (by["W[3,7]"], by["b[3]"])


def test_layer_from_one_on(program):
    """As before, where the families begin elsewhere than at 0: each weight gets its own derivative."""
    text = (LAYER % (4, 6)).replace("for g in gene", "for g in 2 .. 5").replace("sum(p in pixel:", "sum(p in 1 .. 3:")
    assert text != LAYER % (4, 6), "the model has changed"
    model = program.file("later.rxn", text)
    check_forms(program, model, "--set", "x=0.3", "--set", "x[2]=1", "--of", SQUARES, "--at", 2, "--estimator", "score", "-n", 100)


def test_all_models(program):
    """Every kind of law: each model that comes with rxn."""
    cases = [("autoregulation", "P"), ("batch_immigration", "X"), ("dimerisation", "P")]
    cases += [("dosing", "gut"), ("hopping_line", "X[1]"), ("ion_channel_3state", "R"), ("lotka_volterra", "prey")]
    cases += [("michaelis_menten", "S"), ("repressilator", "mLacI"), ("schlogl", "X"), ("toggle_switch", "U")]
    for name, species in cases:
        model = os.path.join(STDLIB, name + ".rxn")
        flags = ["--of", species + "^2", "--of", "average(%s)" % species, "--at", 0.5, "-n", 20]
        check_forms(program, model, *flags, "--estimator", "score,path-adjoint")


def test_small_tape(program):
    """Many blocks: the counts come back from checkpoints, and the propensities from the counts."""
    model = program.file("circuit.rxn", CIRCUIT % 5)
    flags = ["--of", "var(E)", "--of", SQUARES, "--at", 8, "--estimator", "path-adjoint", "--form", "table", "-n", 64]
    flags += ["--threads", 1, "--lanes", 8]
    for a, b in zip(grad(program, model, *flags), grad(program, model, *flags, "--tape-memory", "16K")):
        assert a["events"] > 64 * 300, a["events"]  # some 100 to a block
        check_equal(b["parameters"], a["parameters"], "with 2 KiB for a trajectory")


def test_targets_and_lanes(program):
    """The interpreter, and every number of lanes and threads: the same bits."""
    needs_a_target(program)
    model = program.file("circuit.rxn", CIRCUIT % 6)
    flags = ["grad", model, "--of", SQUARES, "--of", "average(E)", "--at", 0.6, "--form", "table", "--quiet", "-o", "-"]
    flags += ["--estimator", "score,path"]
    wanted = program.good(*flags, "-n", 5, "--device", "interpreter").out
    check_equal(program.good(*flags, "-n", 5, "--device", "cpu").out, wanted, "compiled")
    wanted = program.good(*flags, "-n", 37, "--lanes", 1, "--threads", 1).out
    for lanes, threads in ((2, 1), (8, 2), (16, 3)):
        check_equal(program.good(*flags, "-n", 37, "--lanes", lanes, "--threads", threads).out, wanted, lanes)


def test_single_precision(program):
    """f32 is of the trajectories; sums of the gradient are f64."""
    model = program.file("layer.rxn", LAYER % (30, 20))
    flags = ["--set", "x=0.3", "--of", "total", "--at", 1, "--estimator", "path-adjoint", "-n", 50, "--form", "table"]
    wide, narrow = grad(program, model, *flags)[0], grad(program, model, *flags, "--precision", "f32")[0]
    for p, q in zip(wide["parameters"], narrow["parameters"]):
        if p["name"] != "gamma":  # the others have no noise
            assert abs(p["gradient"] - q["gradient"]) < 1e-5 * abs(p["gradient"]), (p, q)


def needs_a_target(program):
    if program.device:
        raise Skipped("compiled kernels against the interpreter, and large ones, need a target")


def sigmoid(u):
    return 1 / (1 + math.exp(-u))


def test_two_hundred_thousand_weights(program):
    """784 x 256 weights. H[g] is Poisson with mean m_g = beta s(u_g) (1 - exp(-gamma T))/gamma, so that the derivatives of the
    sum of all are known; that by a weight has no noise. Memory does not grow with the weights."""
    needs_a_target(program)
    pixels, genes, end = 784, 256, 0.5
    model = program.file("layer.rxn", LAYER.replace("~ normal(0, 0.05)", "= 0.002") % (pixels, genes))
    command = [program.path, "grad", model, "--set", "x=0.5", "--set", "x[3]=0.25", "--of", "total", "--at", str(end)]
    command += ["-n", "4", "--threads", "1", "--estimator", "path", "--wrt", "W,b,beta", "-o", "-"]
    peak, rest = peak_of(command, timeout=200)
    assert peak < 600e3, peak
    rows = list(csv.DictReader(io.StringIO(rest)))
    check_equal(len(rows), pixels * genes + genes + 1, "parameters")
    u = 0.1 + 0.002 * (0.5 * (pixels - 1) + 0.25)
    grown = (1 - math.exp(-end)) * 20
    slope = grown * sigmoid(u) * (1 - sigmoid(u))
    for row in rows:
        name = row["parameter"]
        wanted = genes * grown / 20 * sigmoid(u) if name == "beta" else slope
        if name.startswith("W"):
            wanted *= 0.25 if name.endswith(",3]") else 0.5
        assert abs(float(row["gradient"]) / wanted - 1) < 1e-9, (row, wanted)
        assert float(row["sd"]) < 1e-9 * wanted, row


def test_large_network(program):
    """More reactions than can be written out: auto takes path, whose values are those of `rxn run`."""
    needs_a_target(program)
    model = program.file("layer.rxn", LAYER % (3, 600))
    _, rows = program.table(model, "--set", "x=0.5", "-n", "16", "--seed", "3", "--at", "0.4")
    run = program.good("grad", model, "--set", "x=0.5", "-n", 16, "--seed", 3, "--at", 0.4, "--of", "total", "--json", "-")
    estimate = json.loads(run.out)[0]
    check_equal(estimate["estimator"], "path", "auto")
    assert abs(estimate["value"] - float(rows[0][1])) < 1e-12 * estimate["value"], (estimate["value"], rows)
    score = grad(program, model, "--set", "x=0.5", "-n", 2000, "--at", 0.4, "--of", "total", "--estimator", "score", "--wrt", "beta,gamma")
    for p in score[0]["parameters"]:
        exact = [q["gradient"] for q in estimate["parameters"] if q["name"] == p["name"]][0]
        assert abs(p["gradient"] - exact) < 5 * p["se"] + 0.02 * abs(exact), (p, exact)


def test_table_of_arrays(program):
    """Where parameters are many, arrays have two rows."""
    model = program.file("layer.rxn", LAYER % (30, 20))
    run = program.good("grad", model, "--set", "x=0.3", "--of", "total", "--at", 1, "-n", 10)
    assert "rms of d/d W, 600" in run.out and "rms of d/d b, 20" in run.out and "d/d gamma" in run.out, run.out
    assert "-o FILE.csv writes all 622 parameters" in run.out, run.out
    assert run.out.count("\n") < 20, run.out


def test_refusals(program):
    """What cannot be had says what can."""
    weights = program.file("layer.rxn", LAYER % (784, 256))
    flags = ["grad", weights, "--set", "x=0.3", "--of", "H[3]", "--at", 1, "-n", 2]
    for name in ("gumbel", "martingale", "path-forward"):
        words = program.bad(1, *flags, "--estimator", name).err
        check_in("'score' and 'path' go over large networks in loops", words)
    late = program.file("late.rxn", (LAYER % (2, 600)).replace("beta *", "beta * (1 + sin(t)) *"))
    for name in ("score", "path"):
        words = program.bad(1, "grad", late, "--set", "x=0.3", "--of", "total", "--at", 1, "--estimator", name).err
        check_in("constant between given times", words)


if __name__ == "__main__":
    sys.exit(main([test for name, test in list(globals().items()) if name.startswith("test_")]))
