#!/usr/bin/env python3
"""`rxn grad` from outside: what it writes, that its numbers are right where a closed form is known and the same
for every number of threads and lanes, what it refuses and in which words.

How good each estimator is, is for tests/exact/gradients.py to say.
"""

import csv
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time

from harness import HERE, STDLIB, Skipped, check_equal, check_in, main, peak_of

# E[X] = k/g (1 - exp(-g t)) from X = 0, and X is Poisson: var = mean.
BIRTH = """model birth
species X = 0
param k = 20
param g = 1
0 -> X @ k
X -> 0 @ g
simulate until 2 every 1
"""

# A parameter of every kind there is.
KINDS = """model kinds
const N = 3
param A0 = 5
param first = 0.5
param limit = 4.5
param k[N] = 0.3
param both = 10
input x
species A = A0, B = both, C = 0
for i in 0 .. N-1 { gain: 0 => A @ k[i] * x }
A -> 0 @ 0.1
B -> C @ both / 100
at first: C = 0
when A > limit: C = 1
"""


def flags_of(program, flags):
    flags = [str(f) for f in flags]
    if program.device and "--device" not in flags:
        flags += ["--device", program.device]
    return flags


def grad(program, model, *flags):
    """The list that --json writes."""
    run = program.good("grad", model, "--json", "-", "--quiet", *flags_of(program, flags))
    return json.loads(run.out)


def birth(program):
    return program.file("birth.rxn", BIRTH)


def refused(program, status, model, *flags):
    return program.bad(status, "grad", model, *flags_of(program, flags)).err


def within(estimate, expected, names, sigmas=5):
    for parameter in estimate["parameters"]:
        if parameter["name"] in names:
            exact = expected[names.index(parameter["name"])]
            off = abs(parameter["gradient"] - exact)
            assert off <= sigmas * parameter["se"] + 1e-9 * abs(exact), (parameter, exact)


def test_json(program):
    """The keys that others rely on, for one output."""
    result = grad(program, birth(program), "--of", "X", "--at", "2", "--estimator", "score", "-n", "500", "--seed", "7")
    check_equal(len(result), 1, "objects")
    estimate = result[0]
    for key in ("estimator", "value", "value_se", "parameters", "seconds", "trajectories"):
        assert key in estimate, key
    check_equal([estimate["estimator"], estimate["trajectories"], estimate["seed"]], ["score", 500, 7], "fields")
    check_equal([estimate["output"], estimate["time"]], ["X", 2], "output")
    check_equal([p["name"] for p in estimate["parameters"]], ["k", "g"], "parameters")
    for parameter in estimate["parameters"]:
        for key in ("gradient", "se", "sd"):
            assert math.isfinite(parameter[key]), parameter
        assert abs(parameter["sd"] / math.sqrt(500) / parameter["se"] - 1) < 1e-12, parameter
    assert estimate["seconds"] > 0 and estimate["events"] > 0


def test_value_is_that_of_run(program):
    """The trajectories are those of `rxn run`, number by number."""
    model = birth(program)
    _, rows = program.table(model, "-n", "300", "--seed", "3", "--at", "2")
    mean, sd = float(rows[0][1]), float(rows[0][2])
    estimate = grad(program, model, "--of", "X", "--at", "2", "--estimator", "score", "-n", "300", "--seed", "3")[0]
    assert abs(estimate["value"] - mean) < 1e-12 * mean, (estimate["value"], mean)
    assert abs(estimate["value_se"] - sd / math.sqrt(300)) < 1e-12 * sd, (estimate["value_se"], sd)


def test_closed_forms(program):
    """Mean, variance, products with a parameter, a time average."""
    k, g, t = 20.0, 1.0, 2.0
    decay = math.exp(-g * t)
    mean, by_k, by_g = k * (1 - decay) / g, (1 - decay) / g, k * (t * decay / g - (1 - decay) / g**2)
    area = k / g * (t - (1 - decay) / g)
    area_by_g = -area / g + k / g * (-t * decay / g + (1 - decay) / g**2)
    cases = [
        ("X", mean, [by_k, by_g]),
        ("var(X)", mean, [by_k, by_g]),
        ("g * mean(X)", g * mean, [g * by_k, mean + g * by_g]),
        ("mean(X)^2", mean**2, [2 * mean * by_k, 2 * mean * by_g]),
        ("average(X)", area / t, [area / k / t, area_by_g / t]),
        ("g * X", g * mean, [g * by_k, mean + g * by_g]),
    ]
    flags = [f for of, _, _ in cases for f in ("--of", of)]
    result = grad(program, birth(program), *flags, "--at", t, "--estimator", "score", "-n", "20000")
    check_equal([e["output"] for e in result], [of for of, _, _ in cases], "outputs")
    for estimate, (of, value, expected) in zip(result, cases):
        assert abs(estimate["value"] - value) < 5 * estimate["value_se"], (of, estimate["value"], value)
        within(estimate, expected, ["k", "g"])
        assert all(p["se"] > 0 for p in estimate["parameters"]), estimate


def test_exact(program):
    """The master equation: no noise, a bound of what is lost; the others are measured by it."""
    decay = math.exp(-2)
    expected = {"k": 1 - decay, "g": 20 * (2 * decay - (1 - decay))}
    result = grad(program, birth(program), "--of", "var(X)", "--at", "2", "--estimator", "exact,score,path", "-n", "4000")
    check_equal([e["estimator"] for e in result], ["exact", "score", "path"], "estimators")
    exact = result[0]
    assert abs(exact["value"] - 20 * (1 - decay)) < 1e-6, exact
    check_equal([exact["value_se"], exact["trajectories"], exact["unbiased"]], [0, 0, True], "fields of exact")
    for p in exact["parameters"]:
        assert abs(p["gradient"] - expected[p["name"]]) < 1e-5, p
        assert 0 <= p["error"] < 1e-5 and p["se"] == 0 and "bias_in_se" not in p, p
    for other in result[1:]:
        for p, e in zip(other["parameters"], exact["parameters"]):
            assert abs(p["bias_in_se"] - (p["gradient"] - e["gradient"]) / p["se"]) < 1e-6, (p, e)
    assert all(abs(p["bias_in_se"]) < 5 for p in result[1]["parameters"]), result[1]
    # It alone knows what the time of an event does: E[X] after a reset to 0 at T is k/g (1 - exp(-g (t - T))).
    model = program.file("reset.rxn", BIRTH + "param T = 1.2\nat T: X = 0\n")
    moved = grad(program, model, "--of", "X", "--at", "2", "--estimator", "exact", "--wrt", "T")[0]
    assert abs(moved["parameters"][0]["gradient"] + 20 * math.exp(-0.8)) < 1e-4, moved
    run = program.good("grad", birth(program), "--of", "X", "--at", "2", "--estimator", "exact")
    assert re.search(r"^d/d k +0\.8646647\d* +\S+ m?s$", run.out, re.M), run.out
    assert re.search(r"^exact: .* states, at most \S+ of the probability beyond them$", run.out, re.M), run.out


def test_variances_of_what_is_large(program):
    """The difference of two squares would have no digit left: births beside a hundred million that nothing changes."""
    model = program.file("large.rxn", "species A = 1e8, B = 0\nparam k = 1.5\n0 -> B @ k\nobserve A, B\n")
    cases = {"var(A + B)": (3, 2), "sd(A + B)": (3**0.5, 1 / 3**0.5), "cov(A - B, B)": (-3, -2), "sd(A)": (0, 0),
             "autocov(A + B, 1, 1)": (1.5, 1)}
    flags = [word for of in cases for word in ("--of", of)]
    for estimate in grad(program, model, *flags, "--at", "2", "--estimator", "score,exact", "-n", "20000"):
        value, slope = cases[estimate["output"]]
        error = 5 * estimate["value_se"] + 1e-4
        assert abs(estimate["value"] - value) < error, (estimate["output"], estimate["estimator"], estimate["value"], value)
        found = estimate["parameters"][0]
        assert abs(found["gradient"] - slope) < 5 * found["se"] + 1e-3, (estimate["output"], estimate["estimator"], found)


def test_all(program):
    """What cannot do it is left out, with its reason; forms of one estimator are not listed twice."""
    result = grad(program, birth(program), "--of", "X", "--at", "2", "--estimator", "all", "-n", "100")
    names = [e["estimator"] for e in result]
    for name in ("score", "martingale", "path", "gk", "coupled", "exact"):
        assert name in names, names
    assert "path-forward" not in names and len(set(names)) == len(names), names
    flags = ["--of", "passage(X >= 5)", "--at", "2", "-n", "100", "--quiet"] + flags_of(program, [])
    run = program.good("grad", birth(program), "--estimator", "all", *flags)
    check_in("note: path is left out: ", run.err)
    err = program.bad(1, "grad", birth(program), "--estimator", "path", *flags).err
    check_in("error: the estimator 'path' cannot differentiate this: ", err)


def test_several_times_and_estimators(program):
    """An object for each output and estimator, outputs first."""
    result = grad(program, birth(program), "--of", "X", "--at", "1,2", "--estimator", "score, gk,score", "-n", "50")
    check_equal([(e["time"], e["estimator"]) for e in result], [(1, "score"), (1, "gk"), (2, "score"), (2, "gk")], "order")
    for e in result:
        check_equal(e["trajectories"], 50, "trajectories")
        check_equal(e["trajectories_run"], 100 if e["estimator"] == "gk" else 50, "trajectories run")
        assert all(p["variance_time_relative_to_score"] > 0 for p in e["parameters"]), e


def without_times(result):
    text = json.dumps(result)
    return re.sub(r'"(seconds|seconds_compile|variance_time_relative_to_score)": [^,}]*', "", text)


def test_the_same_for_threads_and_lanes(program):
    model = birth(program)
    for estimators in ("score", "path", "gk,coupled", "martingale"):
        flags = ["--of", "var(X)", "--of", "average(X)", "--at", "1,2", "--estimator", estimators, "-n", "777"]
        plain = without_times(grad(program, model, *flags, "--threads", "1"))
        for more in (["--threads", "2"], ["--threads", "5"], ["--lanes", "1"], ["--lanes", "4"], ["--lanes", "32"]):
            check_equal(without_times(grad(program, model, *flags, *more)), plain, "%s %s" % (estimators, more))
        few = flags[:-1] + ["20"]
        compiled = without_times(grad(program, model, *few, "--threads", "1"))
        interpreted = without_times(grad(program, model, *few, "--device", "interpreter"))
        check_equal(interpreted.replace("interpreter", "cpu"), compiled, "%s in the interpreter" % estimators)


def test_csv(program):
    out = program.file("out.csv")
    program.good("grad", birth(program), "--of", "X", "--of", "at(X, 1)", "--at", "2", "--estimator", "score", "-n", "50",
                 "--quiet", "-o", out, *flags_of(program, []))
    rows = list(csv.reader(io.StringIO(open(out).read())))
    check_equal(rows[0], "output,time,estimator,parameter,gradient,se,sd".split(","), "header")
    check_equal([r[0] for r in rows[1:]], ["X", "X", "at(X, 1)", "at(X, 1)"], "outputs")
    check_equal([r[3] for r in rows[1:]], ["k", "g"] * 2, "parameters")
    same = grad(program, birth(program), "--of", "X", "--at", "2", "--estimator", "score", "-n", "50")[0]
    check_equal([float(r[4]) for r in rows[1:3]], [p["gradient"] for p in same["parameters"]], "gradients")


def test_table(program):
    run = program.good("grad", birth(program), "--of", "X", "--at", "2", "--estimator", "score,gk", "-n", "20000", *flags_of(program, []))
    lines = run.out.splitlines()
    assert re.match(r"X at 2  estimator +estimate +± +rel. ± +sd +time +work$", lines[0]), run.out
    assert re.match(r"value +score +17\.\d+ +0\.0\d+ ", lines[1]), run.out
    assert re.match(r"d/d k +score +0\.\d+ +0\.0\d+ +\S+ % +\S+ +\S+ m?s +1$", lines[3]), run.out
    assert re.match(r" +gk ", lines[4]), run.out
    check_in("score: 20,000 trajectories, ", run.out)
    check_in("gk: 20,000 trajectories for each parameter, ", run.out)
    assert all(line == line.rstrip() for line in lines), "spaces at the end of a line:\n" + run.out
    quiet = program.good("grad", birth(program), "--of", "X", "--at", "2", "--quiet", "-n", "20000", *flags_of(program, []))
    check_equal(quiet.out, "", "output with --quiet")


def test_auto(program):
    """path where it is proved unbiased; what is unbiased for all elsewhere; and that it is said."""
    flags = ["--at", "1", "-n", "100"] + flags_of(program, [])
    run = program.good("grad", birth(program), "--of", "X", *flags)
    check_in("path (taken by auto): 100 trajectories", run.out)
    check_in("unbiased: ", run.out)
    for of, model in (("X^2", birth(program)), ("P", os.path.join(STDLIB, "dimerisation.rxn"))):
        run = program.good("grad", model, "--of", of, *flags)
        check_in("auto takes martingale: ", run.out)


def test_parameters(program):
    model = program.file("kinds.rxn", KINDS)
    common = ["--set", "x=2", "--of", "A", "--at", "1", "--estimator", "score", "-n", "40"]

    def names(*flags):
        return [p["name"] for p in grad(program, model, *common, *flags)[0]["parameters"]]

    check_equal(names(), ["k[0]", "k[1]", "k[2]", "both"], "parameters without --wrt")
    check_equal(names("--wrt", "both,k[1]"), ["both", "k[1]"], "--wrt")
    check_equal(names("--wrt", "k", "--wrt", "k[2]"), ["k[0]", "k[1]", "k[2]"], "--wrt twice")
    err = program.good("grad", model, *common, "--quiet", *flags_of(program, [])).err
    check_in("warning: param 'A0' is left out: it acts through initial or assigned counts alone, which are whole numbers\n", err)
    check_in("warning: param 'first' is left out: it moves the time of an event or of a switch", err)
    check_in("warning: param 'limit' is left out: it stands in conditions and rounded numbers alone", err)
    check_in("warning: param 'both' also acts through initial or assigned counts", err)
    # What is trained counts, if anything is.
    model = program.file("fitted.rxn", KINDS.replace("param both = 10", "param both = 10 in 1 .. 100 fit"))
    check_equal(names(), ["both"], "trained parameters")


def test_refused_parameters(program):
    model = program.file("kinds.rxn", KINDS)
    common = ["--set", "x=2", "--of", "A", "--at", "1", "--estimator", "score"]
    cases = [
        ("A0", "error: param 'A0' cannot be differentiated by: it acts through initial or assigned counts alone, which are whole numbers\n"),
        ("limit", "error: param 'limit' cannot be differentiated by: it stands in conditions and rounded numbers alone, which jump or do not change\n"),
        ("first", "error: param 'first' cannot be differentiated by: it moves the time of an event or of a switch; only "
                  "--estimator coupled and, where the model is small, exact differentiate through that\n"),
    ]
    for name, expected in cases:
        check_equal(refused(program, 1, model, *common, "--wrt", name), expected, name)
    misnamed = [
        ("x", "error: 'x' is an input; only params can be differentiated by\n"),
        ("bth", "error: the model has no param or input 'bth'\nnote: did you mean 'both'?\n"),
        ("k[3]", "error: 'k[3]': the index 3 is not in 0 .. 2\n"),
        ("A0,bth", cases[0][1] + "error: the model has no param or input 'bth'\nnote: did you mean 'both'?\n"),
    ]
    for name, expected in misnamed:
        check_equal(refused(program, 2, model, *common, "--wrt", name), expected, name)
    idle = program.file("idle.rxn", "model idle\nspecies A = 3\nparam k = 1\nparam idle = 1\nA -> 0 @ k\n")
    check_in("error: param 'idle' cannot be differentiated by: no reaction and no output depends on it\n",
             refused(program, 1, idle, "--of", "A", "--at", "1", "--wrt", "idle"))
    none = program.file("none.rxn", "model none\nspecies A = 3\nA -> 0 @ 1\n")
    check_equal(refused(program, 1, none, "--of", "A", "--at", "1"), "error: the model has no param to differentiate by\n", "no params")


def test_refused_flags(program):
    model = birth(program)
    good = ["--of", "X", "--at", "1"]
    cases = [
        (["--at", "1"], "error: nothing says what to differentiate\nnote: give --of EXPR, an expression of what the model has, and --at T\n"),
        (["--of", "X", "--at", "-1"], "error: --at -1 is before the start, which is 0\n"),
        (good + ["--estimator", "all,score"], "error: --estimator all stands for itself, not in a list\n"),
        (good + ["--tau", "0"], "error: --tau is 0; it has to be positive\n"),
        (good + ["--draws", "0"], "error: --draws takes 1 .. 1000\n"),
        (good + ["--difference", "1"], "error: --difference is 1; it has to be between 0 and 1\n"),
        (good + ["--degree", "9"], "error: --degree takes 1 .. 5\n"),
        (good + ["--bins", "1e6"], "error: --bins takes 1 .. 10000\n"),
        (good + ["--tape-memory", "12Q"], "error: --tape-memory takes a number of bytes as 500M or 2G, not '12Q'\n"),
        (good + ["-n", "0"], "error: -n is 0; at least one trajectory is needed\n"),
        (good + ["-o", "-", "--json", "-"], "error: -o and --json cannot both go to standard output\n"),
        (good + ["--every", "1"], "error: unknown option '--every'\nnote: 'rxn grad --help' lists the options\nerror: '1' is one MODEL too many\n"),
    ]
    for flags, expected in cases:
        check_equal(refused(program, 2, model, *flags), expected, " ".join(flags))
    err = refused(program, 2, model, *good, "--estimator", "scor")
    assert re.fullmatch(r"error: there is no estimator 'scor'\nnote: did you mean 'score'\?\nnote: estimators: auto, all, score, .*exact\n", err), err


def test_refused_objectives(program):
    model = birth(program)
    check_in("error: '--at' is needed", refused(program, 2, model, "--of", "X"))
    check_in("error: unknown name 'Y'", refused(program, 2, model, "--of", "Y", "--at", "1"))
    check_in("error: ", refused(program, 2, model, "--of", "X +", "--at", "1"))


def test_one_trajectory(program):
    """An estimate without an error: null in JSON, empty in the table."""
    estimate = grad(program, birth(program), "--of", "X", "--at", "1", "--estimator", "score", "-n", "1")[0]
    check_equal([estimate["value_se"], estimate["parameters"][0]["se"]], [None, None], "errors")
    assert math.isfinite(estimate["parameters"][0]["gradient"])
    program.good("grad", birth(program), "--of", "X", "--at", "1", "--estimator", "score", "-n", "1", *flags_of(program, []))


def test_warnings(program):
    run = program.good("grad", birth(program), "--of", "X", "--at", "2", "--estimator", "score", "-n", "200", "--quiet", *flags_of(program, []))
    pattern = r"warning: score: the standard error of the derivative of X at 2 by '[kg]' is \d+ % \(and 1 more above 10 %\); some \S+ trajectories would make it 1 %\n"
    assert re.fullmatch(pattern, run.err), run.err
    run = program.good("grad", os.path.join(STDLIB, "dimerisation.rxn"), "--of", "P", "--at", "2", "--estimator", "path", "-n", "2000", "--quiet", *flags_of(program, []))
    check_equal(run.err, "warning: biased here: path; standard errors say nothing of that\n", "warnings of path")
    run = program.good("grad", birth(program), "--of", "X", "--at", "2", "--estimator", "path", "-n", "2000", "--quiet", *flags_of(program, []))
    check_equal(run.err, "", "warnings of path where it is unbiased")


def test_faults(program):
    """A trajectory that cannot go on stops it all, as in `rxn run`."""
    model = program.file("fault.rxn", "model fault\nspecies X = 5\nparam k = 1\nX => 0 @ k * (X - 2.5)\n")
    err = refused(program, 1, model, "--of", "X", "--at", "50", "--estimator", "score")
    check_in("error: in trajectory ", err)
    check_in("propensity", err)


def test_names_that_cannot(program):
    """Of a list, all that cannot do it are named before any runs, and what to write instead."""
    model = birth(program)
    flags = ["--of", "passage(X > 5)", "--of", "exp(X*at(X, 1))", "--at", "20", "-n", "1000000000"]
    err = refused(program, 1, model, *flags, "--estimator", "path,score,gumbel,exact,gk")
    lines = err.splitlines()
    for line, name in zip(lines, ("path", "gumbel", "exact")):
        check_in("error: the estimator '%s' cannot differentiate this: " % name, line)
    check_equal(lines[3:], ["note: the others can: --estimator score,gk"], "way out")
    err = refused(program, 1, model, *flags, "--estimator", "path,gumbel")
    check_equal(err.splitlines()[2:], ["note: --estimator all takes those that can, and says why the others cannot"], "way out")
    err = refused(program, 1, model, *flags, "--estimator", "path")
    check_equal(len(err.splitlines()), 1, "lines about a single one")


def test_failures(program):
    """One estimator that cannot go on is shown as failed, with its reason; the others as ever; the status is 1."""
    small = ["--of", "X", "--of", "X^2", "--at", "20", "-n", "50", "--threads", "1", "--lanes", "4", "--tape-memory", "100"]
    flags = flags_of(program, small + ["--estimator", "path-adjoint,score,gumbel,gk"])
    run = program.call("grad", birth(program), *flags)
    check_equal(run.status, 1, "status")
    reason = re.search(r"^error: (in trajectory 0 at time \S+: the memory for the backward pass is full)$", run.err, re.M).group(1)
    check_in("note: that was the estimator 'path-adjoint', number 1 of 4\n", run.err)
    check_equal(run.err.count(reason), 1, "times that the same fault is told")
    check_in("error: the estimator 'gumbel' failed as 'path-adjoint' did\n", run.err)
    rows = [line.split() for line in run.out.splitlines()]
    check_equal(rows[1][:2], ["value", "score"], "the first row of figures")
    for name in ("path-adjoint", "gumbel"):
        check_equal(rows.count([name, "failed"]), 2, "rows that say so: one for each output")
        check_in("\n%s: failed: %s\n" % (name, reason), run.out)
    check_in("\ngk: 50 trajectories for each parameter", run.out)
    run = program.call("grad", birth(program), *flags, "--json", "-", "-o", program.file("out.csv"))
    check_equal(run.status, 1, "status with --json")
    result = json.loads(run.out)
    check_equal([(e["estimator"], e.get("output")) for e in result],
                [("score", "X"), ("gk", "X"), ("score", "X^2"), ("gk", "X^2"), ("path-adjoint", None), ("gumbel", None)], "entries")
    for failure in result[4:]:
        check_equal(failure, {"estimator": failure["estimator"], "error": reason}, "failure")
    alone = without_times(grad(program, birth(program), *small, "--estimator", "score,gk"))
    check_equal(without_times(result[:4]), alone, "figures of the others")
    check_equal(len(list(csv.reader(open(program.file("out.csv"))))), 1 + 2 * 2 * 2, "lines of CSV")


def test_failures_with_all(program):
    """The same where nobody chose; and where all fail nothing is printed as a result, nor written."""
    flags = flags_of(program, ["--of", "exp(-X*at(X, 1)/100)", "--at", "20", "-n", "50", "--estimator", "all", "--json", "-"])
    run = program.call("grad", birth(program), "--threads", "1", "--lanes", "4", "--tape-memory", "100", *flags)
    check_equal(run.status, 1, "status")
    entries = {e["estimator"]: e for e in json.loads(run.out)}
    assert "error" in entries["path"] and "parameters" in entries["score"] and "exact" not in entries, entries
    check_in("note: exact is left out: exact takes sums and products of what reads several times", run.err)
    model = program.file("fault.rxn", "model fault\nspecies X = 5\nparam k = 1\nX => 0 @ k * (X - 2.5)\n")
    out = program.file("out.json", "old\n")
    err = refused(program, 1, model, "--of", "X", "--at", "50", "--estimator", "score,coupled,path", "--json", out)
    check_in("number 1 of 3", err)
    check_in("the estimator 'path' failed as 'score' did", err)
    check_equal(open(out).read(), "old\n", "the old file")


def test_interrupt(program):
    model = program.file("endless.rxn", BIRTH)
    command = [program.path, "grad", model, "--of", "X", "--at", "2", "--estimator", "score,gk", "-n", "1000000000", "--quiet"]
    child = subprocess.Popen(command + flags_of(program, []), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(1.5)
        assert child.poll() is None, "it ended by itself: %s" % (child.communicate(),)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    check_equal((child.returncode, out), (1, ""), "status, output")
    pattern = r"error: interrupted after \d+ of 1000000000 trajectories; nothing was written\nnote: that was the estimator 'score', number 1 of 2\n"
    assert re.fullmatch(pattern, err), err


def test_trace(program):
    """The stages of an estimator's kernel; every text reads back."""
    folder = program.file("stages")
    for estimator in ("score", "path", "gk", "auto"):
        program.good("trace", birth(program), "-o", folder, "--verify", "--of", "var(X)", "--at", "1,2", "--estimator", estimator)
    stems = [f[3:] for f in sorted(os.listdir(folder))]
    assert "kernel.kir" in stems and "kernel-dce.kir" in stems, stems
    text = open(os.path.join(folder, [f for f in sorted(os.listdir(folder)) if f.endswith("kernel.kir")][0])).read()
    check_in("sample", text)
    cases = [
        (["--at", "1"], "error: --at, --estimator and --wrt belong to --of\n"),
        (["--of", "X", "--at", "1", "--estimator", "all"], "error: --estimator 'all' is not one that has a kernel\n"),
    ]
    for flags, expected in cases:
        check_equal(program.bad(2, "trace", birth(program), "-o", folder, *flags).err, expected, " ".join(flags))


def test_where_scores_are_blind(program):
    """A reaction of rate zero leaves no trace in any trajectory: that is noticed, of constants and of laws in the states
    where they are zero. E[P] depends on the leak as on a constant rate: the derivative is 1 - exp(-2)."""
    leak = program.file("leak.rxn", """model leak
species A = 1, P = 0
param leak = 0
param v = 5
A -> 0 @ 1
0 => P @ leak + v*A
P -> 0 @ 1
""")
    expected = 1 - math.exp(-2)
    flags = ["--of", "P", "--at", "2", "-n", "2000"]
    for estimator in ("score", "martingale"):
        blind = grad(program, leak, *flags, "--estimator", estimator)[0]
        check_equal(blind["unbiased"], False, estimator)
        share = blind["diagnostics"]["blind fraction"]
        assert abs(share - expected) < 0.05, share  # of those in which A has died, which has this probability too
        sees = grad(program, leak, *flags, "--estimator", estimator, "--set", "leak=0.2")[0]
        check_equal([sees["unbiased"], sees["diagnostics"]["blind fraction"]], [True, 0], estimator)
        within(sees, [expected], ["leak"])
        constant = grad(program, birth(program), "--of", "X", *flags[2:], "--estimator", estimator, "--set", "k=0")[0]
        check_equal([constant["unbiased"], constant["diagnostics"]["blind fraction"]], [False, 1], estimator)
    for estimator in ("path", "gk"):
        within(grad(program, leak, *flags, "--estimator", estimator)[0], [expected], ["leak"])
    err = program.good("grad", leak, *flags, "--estimator", "score", "--quiet", *flags_of(program, [])).err
    check_in("warning: score: where a propensity is zero and another value of a parameter would make it positive", err)
    check_in("warning: biased here: score", err)


# Rates that five nodes of a quadrature cannot see: a kink where a parameter puts it, and many periods in one wait.
UNEVEN = {
    "kink": ("species A = 5\nparam p = 1.1\nA -> 0 @ min(t, p)\nobserve A\n", "A", "1.5"),
    "waves": ("species A = 20\nparam k = 0.1, b = 0.8\nA -> 0 @ k*(1 + b*sin(30*t))\nobserve A\n", "A", "10"),
}


def test_rates_that_are_uneven_in_time(program):
    """Integrals over a step are unbiased, whatever the rates do in between; and so are products of two of them."""
    for name, (text, of, at) in UNEVEN.items():
        model = program.file(name + ".rxn", text)
        exact, *others = grad(program, model, "--of", of, "--at", at, "-n", "40000", "--estimator", "exact,score,martingale")
        for other in others:
            check_equal(other["unbiased"], True, name + ", " + other["estimator"])
            assert abs(other["value"] - exact["value"]) <= 5 * other["value_se"], (name, other["estimator"], other["value"])
            within(other, [p["gradient"] for p in exact["parameters"]], [p["name"] for p in exact["parameters"]])


def test_rates_that_glide_to_zero(program):
    """Where no molecule is left, no derivative of a rate is hidden, and time has no end."""
    model = program.file("gliding.rxn", "species A = 1\nparam p = 1\nA -> 0 @ p*(1 + t)\nobserve A\n")
    for estimator in ("score", "martingale"):
        sees = grad(program, model, "--of", "A", "--at", "1", "-n", "4000", "--estimator", estimator)[0]
        check_equal([sees["unbiased"], sees["diagnostics"]["blind fraction"]], [True, 0], estimator)
        within(sees, [-1.5 * math.exp(-1.5)], ["p"])


def test_events_that_are_not_affine(program):
    """What path has a proof for; floor has a derivative that is free of the counts, and is not affine."""
    text = BIRTH.replace("X = 0", "X = 10") + "at 1: X = %s\n"
    for assigned, unbiased in (("3*X + 1", True), ("floor(X/2)", False), ("if X > 5 then 2 else 1", False), ("X*X", False)):
        model = program.file("event.rxn", text % assigned)
        estimate = grad(program, model, "--of", "X", "--at", "2", "--estimator", "path", "-n", "20")[0]
        check_equal(estimate["unbiased"], unbiased, "X = " + assigned)


def test_tape_in_blocks(program):
    """Little memory is many blocks, and the same numbers; too little is said to be so."""
    model = program.file("dosed.rxn", BIRTH.replace("X = 0", "X = 4") + "every 0.25 from 0.5: X = X + 2\n")
    for model, estimators in ((birth(program), "path-adjoint,gumbel,propensity"), (model, "path-adjoint")):
        flags = ["--of", "X^2", "--of", "at(X, 3)*average(X, 5, 15)", "--at", "20", "--estimator", estimators, "-n", "40",
                 "--threads", "1", "--lanes", "4"]
        plain = without_times(grad(program, model, *flags))
        for memory in ("16K", "64K", "1M"):
            check_equal(without_times(grad(program, model, *flags, "--tape-memory", memory)), plain, memory)
        err = refused(program, 1, model, *flags, "--tape-memory", "100")
        check_in("the memory for the backward pass is full", err)
        check_in("--tape-memory", err)


def test_tape_memory_is_used_and_kept(program):
    """The limit is that of all lanes that there are, however many. A million steps of a lane are more than one block, which
    is half of the memory (the other half is for checkpoints, of which few are needed here)."""
    if program.device:
        raise Skipped("lanes need a target")
    flags = [program.path, "grad", birth(program), "--set", "k=1000", "--of", "X", "--estimator", "path-adjoint", "-n", 16, "--threads", 1, "--quiet"]
    memory = 64
    for more in ([], ["--precision", "f32"], ["--lanes", 8]):
        base, peak = (peak_of(flags + more + ["--at", end, "--tape-memory", "%dM" % memory], timeout=200)[0] / 1024 for end in (1, 500))
        assert 0.38 * memory < peak - base < memory, (more, base, peak)


def test_extreme_numbers(program):
    """Nothing is infinite or no number where a rate is tiny, huge or zero, and time is short; at 0 nothing has happened."""
    every = "score,martingale,path-adjoint,path-forward,gk,gumbel,propensity"
    for sets in (["k=0"], ["k=0", "g=0"], ["k=1e-30"], ["k=1e-308"], ["k=5e-324"], ["k=1e3", "g=1e3"]):
        flags = [word for pair in sets for word in ("--set", pair)]
        for estimate in grad(program, birth(program), "--of", "X^2", "--at", "0,1e-300,2", "--estimator", every, "-n", "40", *flags):
            what = (sets, estimate["estimator"], estimate["time"])
            numbers = [estimate["value"]] + [p[key] for p in estimate["parameters"] for key in ("gradient", "se", "sd")]
            assert all(n is not None and math.isfinite(n) for n in numbers), (what, numbers)
            if estimate["time"] == 0:
                check_equal(set(numbers), {0}, what)


def test_too_stiff(program):
    """A wait that would take a million substeps and more is a fault, in bounded time."""
    model = os.path.join(HERE, "faults", "grad_stiff.rxn")
    for form, estimator in (("unrolled", "path-adjoint"), ("table", "path-adjoint"), ("unrolled", "path-forward")):
        run = program.bad(1, "grad", model, "--of", "X", "--at", "2", "--estimator", estimator,
                          "-n", "3", "--quiet", "--form", form)
        check_in("a million times faster", run.err)
        check_in("note: score, martingale and gk need not follow them", run.err)


def test_help(program):
    """The whole text."""
    got = program.good("grad", "--help").out
    path = os.path.join(HERE, "grad", "help.expected")
    if program.arguments.promote:
        with open(path, "w") as f:
            f.write(got)
    check_equal(got, open(path).read(), "help")
    check_in("  grad     ", program.good("--help").out)


def add_arguments(parser):
    parser.add_argument("--promote", action="store_true", help="accept the help text as it is")


if __name__ == "__main__":
    sys.exit(main([f for name, f in list(globals().items()) if name.startswith("test_")], add_arguments))
