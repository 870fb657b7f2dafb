#!/usr/bin/env python3
"""Every estimator of derivatives against the exact master equation.

    gradients.py --rxn PATH [--model NAME] [--case NAME] [--scale S] [--table] [--list]

For each case `rxn grad` runs the exact master equation and the estimators on one model, one
functional. What an estimator says is unbiased for that case (score, gk, martingale always; path where
the compiler has proved it) has to agree:

    |gradient - exact| <= 4.5 standard errors        for every parameter, and the value too

Estimators that are biased there are not tested here; their bias is printed with --table, in the form
of docs/gradients.md. The numbers of trajectories bring the standard error below 1 % of the gradient
where the variance of the estimator allows it in a minute (gk of the bistable models does not); --scale
multiplies them.

A result that fails is repeated with a second seed, and fails if it is beyond the limit there on the
same side: by chance in fewer than 1e-6 of all suites.
"""

import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
STDLIB = os.path.join(HERE, "..", "..", "stdlib_models")

LIMIT = 4.5
SEEDS = (20240229, 31415926)
UNBIASED = ("score", "gk", "martingale")


class Case:
    def __init__(self, model, of, at, n, sets=(), wrt=None):
        self.model, self.of, self.at, self.n, self.sets, self.wrt = model, of, at, n, sets, wrt


# Models with the time at which they are read, and the species; three functionals each.
MODELS = {
    "birth_death": ("immigration_death", "X", 2, ["alpha=20", "mu=1"]),
    "telegraph": ("telegraph", "mRNA", 20, []),
    "dimerisation": ("dimerisation", "P", 10, ["k2=0.1"]),
    "ion_channel_2state": ("ion_channel_2state", "opened", 2, []),
    "ion_channel_3state": ("ion_channel_3state", "AO", 1, []),
    "schlogl_1": ("schlogl", "X", 1, []),
    "schlogl_4": ("schlogl", "X", 4, []),
    "toggle_switch": ("toggle_switch", "U", 5, []),
}
FUNCTIONALS = {"mean": "%s", "square": "%s^2", "average": "average(%s)"}

# Trajectories: score has the largest variance a trajectory of those that are cheap; gk takes a pair for each
# parameter. Bistable or long models cost more.
USUAL = {"score": 400000, "gk": 40000, "martingale": 20000, "path": 20000}
COUNTS = {
    "telegraph": {"score": 4000000, "gk": 400000, "martingale": 20000, "path": 40000},
    "schlogl_1": {"score": 200000, "gk": 100000, "martingale": 10000, "path": 10000},
    "schlogl_4": {"score": 400000, "gk": 40000, "martingale": 80000, "path": 10000},
    "toggle_switch": {"score": 1200000, "gk": 200000, "martingale": 20000, "path": 10000},
}
# Schloegl's A and B act as c1 and c3 do.
WRT = {"schlogl": "c1,c2,c3,c4"}
CASES = {
    "%s-%s" % (name, kind): Case(model, text % species, at, COUNTS.get(name, USUAL), sets, WRT.get(model))
    for name, (model, species, at, sets) in MODELS.items()
    for kind, text in FUNCTIONALS.items()
}


def call(rxn, case, estimator, n, seed):
    command = [rxn, "grad", os.path.join(STDLIB, case.model + ".rxn"), "--of", case.of, "--at", str(case.at)]
    command += ["--seed", str(seed), "--estimator", estimator, "--json", "-", "--quiet"]
    if n:
        command += ["-n", str(int(n))]
    for s in case.sets:
        command += ["--set", s]
    if case.wrt:
        command += ["--wrt", case.wrt]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("%s\nexit status %d\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
    entries = json.loads(done.stdout)
    assert len(entries) == 1, "%d entries for one estimator and one output" % len(entries)
    return entries[0]


def rows(entry):
    """(name, estimate, standard error, sd) of the gradient's elements."""
    return [(p["name"], p["gradient"], p["se"], p["sd"]) for p in entry["parameters"]]


def deviation(got, truth, error):
    """In standard errors. An error of zero (path on a constant adjoint) is compared to what double precision, the
    series of path and the master equation's truncation leave."""
    return (got - truth) / max(error, 1e-7 * (abs(truth) + 1e-9))


def scores(entry, exact):
    """Deviations of the value and of each parameter."""
    out = [("value", entry["value"], entry["value_se"], exact["value"])]
    out += [(p[0], p[1], p[2], e[1]) for p, e in zip(rows(entry), rows(exact))]
    return [(name, got, error, truth, deviation(got, truth, error)) for name, got, error, truth in out]


def judged(estimator, entry):
    return estimator in UNBIASED or (estimator == "path" and entry["unbiased"])


def run_case(rxn, name, scale):
    case = CASES[name]
    exact = call(rxn, case, "exact", None, 1)
    good, seen = True, 0
    for estimator in UNBIASED + ("path",):
        n = case.n[estimator] * scale
        entry = call(rxn, case, estimator, n, SEEDS[0])
        if not judged(estimator, entry):
            continue
        seen += 1
        first = scores(entry, exact)
        beyond = [d for d in first if abs(d[4]) > LIMIT]
        if beyond:
            again = {d[0]: d for d in scores(call(rxn, case, estimator, n, SEEDS[1]), exact)}
            beyond = [d for d in beyond if abs(again[d[0]][4]) > LIMIT and again[d[0]][4] * d[4] > 0]
        worst = max(first, key=lambda d: abs(d[4]))
        relative = max(p[2] / max(abs(e[1]), 1e-300) for p, e in zip(rows(entry), rows(exact)))
        print("%-22s %-11s n %-8d largest deviation %5.2f se (%s); largest relative se %.2g"
              % (name, estimator, n, worst[4], worst[0], relative))
        for what, got, error, truth, z in beyond:
            good = False
            print("  WRONG: %s: %.9g +- %.3g, exact %.9g: %.1f standard errors" % (what, got, error, truth, z))
    if seen < len(UNBIASED):
        good = False
        print("  WRONG: only %d estimators were judged" % seen)
    return good


def log_scale(rxn, case, name):
    """The parameter's value: d/dlog p = p d/dp. Read off the model's text, or what the case sets."""
    for s in case.sets:
        if s.split("=")[0] == name:
            return float(s.split("=")[1])
    with open(os.path.join(STDLIB, case.model + ".rxn")) as f:
        for line in f:
            words = line.split()
            if words[:1] == ["param"] and words[1] == name:
                return float(words[3])
    sys.exit("no value of %s" % name)


def table(rxn, times):
    """The table of docs/gradients.md: derivatives with respect to the logarithms."""
    for name in ("birth_death-mean", "dimerisation-mean", "schlogl_1-mean", "schlogl_4-mean"):
        case = CASES[name]
        exact = call(rxn, case, "exact", None, 1)
        print("\n%s: %s at %g" % (name, case.of, case.at))
        scale = {p["name"]: log_scale(rxn, case, p["name"]) for p in exact["parameters"]}
        print("  %-12s" % "exact" + "".join("  %s %.5g" % (p["name"], p["gradient"] * scale[p["name"]]) for p in exact["parameters"]))
        for estimator in ("gumbel", "propensity", "score", "gk", "coupled", "path", "martingale"):
            entry = call(rxn, case, estimator, 20000 * times, SEEDS[0])
            cells = []
            for (p, got, error, sd), (_, truth, _, _) in zip(rows(entry), rows(exact)):
                k = scale[p]
                cells.append("  %s %.5g (sd %.3g, bias %.1f se)" % (p, k * got, k * sd, deviation(got, truth, error)))
            print("  %-12s" % estimator + "".join(cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rxn", required=True)
    parser.add_argument("--case", choices=sorted(CASES))
    parser.add_argument("--model", choices=sorted(MODELS))
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        table(options.rxn, options.scale)
        return
    names = [options.case] if options.case else list(CASES)
    if options.model:
        names = [n for n in names if n.rsplit("-", 1)[0] == options.model]
    bad = [name for name in names if not run_case(options.rxn, name, options.scale)]
    if bad:
        sys.exit("wrong: " + ", ".join(bad))


if __name__ == "__main__":
    if "--list" in sys.argv:
        print("\n".join(MODELS))
    else:
        main()
