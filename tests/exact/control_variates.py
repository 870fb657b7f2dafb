#!/usr/bin/env python3
"""Control variates: means and derivatives that they sharpen, against exact values.

    control_variates.py --rxn PATH [--case NAME] [--list]

means-MODEL: `rxn run --control-variates` of 20,000 trajectories against reference/MODEL.csv:
    |mean - mu| <= 4.5 standard errors at every sample time; one that is not is repeated with a second
    seed, and wrong if it is beyond the limit there on the same side. Where the standard error is zero,
    the mean has to be mu up to rounding.

honest-MODEL: the same with 300 trajectories, for 400 seeds, at two times. If the standard errors are
    honest, z = (mean - mu) / se has the mean 0 and a variance near 1: with 400 values within 5 standard
    deviations of either, |mean| <= 5 sqrt(1/400) and variance in 1 -+ 5 sqrt(2/399), of which the upper
    end is raised by the factor 1.25 that standard errors of few trajectories may cost. By chance beyond
    in fewer than 1e-6 of all suites.

few-MODEL: the same with 30 trajectories and a pilot of 30. A pilot that shares trajectories with the main
    ensemble would be found out here: its weights would fit their noise.

gain-NAME: by how much the variance of `martingale` is below that of `score` with equal trajectories, those
    of the pilot counted; and both against the exact derivatives, as above.
"""

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
STDLIB = os.path.join(HERE, "..", "..", "stdlib_models")
SEEDS = (20240229, 31415926)
LIMIT = 4.5
# Rounding of F - M where nothing is left of the noise.
ROUNDING = 1e-9

MEANS = ["immigration_death", "dimerisation", "telegraph", "dosing", "day_night", "dimerisation_reset_at",
         "dimerisation_reset_when", "cell_division", "toggle_switch", "batch_immigration"]
FEW = ["day_night"]
HONEST = ["immigration_death", "dimerisation", "dosing", "day_night"]


class Gain:
    """exact: of the derivatives by the logarithms; value: of the parameters; least: the gain to reach."""

    def __init__(self, model, of, at, sets, value, exact, least, n=20000):
        self.model, self.of, self.at, self.sets = model, of, at, sets
        self.value, self.exact, self.least, self.n = value, exact, least, n


# Birth-death: X is Poisson with mean m = (k/g)(1 - exp(-g t)). Dimerisation and Schloegl: the master equation.
M = 20 * (1 - math.exp(-2))
DM = -M + 40 * math.exp(-2)
BIRTH = ("immigration_death", ["alpha=20", "mu=1"], {"alpha": 20, "mu": 1})
DIMER = ("dimerisation", ["k2=0.1"], {"k1": 0.001, "k2": 0.1})
SCHLOGL = ("schlogl", [], {"c1": 3e-7, "c4": 3.5})
GAINS = {
    "birth_death": Gain(BIRTH[0], "X", 2, BIRTH[1], BIRTH[2], {"alpha": M, "mu": DM}, 50),
    "birth_death_square": Gain(BIRTH[0], "X^2", 2, BIRTH[1], BIRTH[2],
                               {"alpha": M * (1 + 2 * M), "mu": DM * (1 + 2 * M)}, 10),
    "birth_death_average": Gain(BIRTH[0], "average(X)", 2, BIRTH[1], BIRTH[2],
                                {"alpha": 20 - 10 * (1 - math.exp(-2))}, 50),
    "dimerisation": Gain(DIMER[0], "P", 10, DIMER[1], DIMER[2], {"k1": -19.2052, "k2": 11.1291}, 50),
    "dimerisation_square": Gain(DIMER[0], "P^2", 10, DIMER[1], DIMER[2], {}, 10),
    "schlogl": Gain(SCHLOGL[0], "X", 1, SCHLOGL[1], SCHLOGL[2], {"c1": 1500.8, "c4": -1345.5}, 15),
    "schlogl_square": Gain(SCHLOGL[0], "X^2", 1, SCHLOGL[1], SCHLOGL[2], {}, 10),
    "schlogl_late": Gain(SCHLOGL[0], "X", 4, SCHLOGL[1], SCHLOGL[2], {"c1": 6399, "c4": -5504}, 2, 10000),
}


def model_path(name):
    own = os.path.join(HERE, "models", name + ".rxn")
    return own if os.path.exists(own) else os.path.join(STDLIB, name + ".rxn")


def call(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("%s\nexit status %d\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
    return done.stdout


def read_table(lines):
    rows = list(csv.reader(line for line in lines if not line.startswith("#")))
    return [dict(zip(rows[0], map(float, row))) for row in rows[1:]]


def reference(name):
    with open(os.path.join(HERE, "reference", name + ".csv")) as file:
        return read_table(file)


def controlled(rxn, name, times, n, seed, cache, pilot=0):
    at = ",".join("%.17g" % t for t in times)
    flags = ["-n", str(n), "--seed", str(seed), "--at", at, "--control-variates", "--quiet", "-o", "-"]
    if pilot:
        flags += ["--pilot", str(pilot)]
    return read_table(call([rxn, "run", model_path(name)] + flags + ["--cache", cache]).splitlines())


def deviations(got, exact):
    """(time, observable) -> standard errors."""
    found = {}
    for here, truth in zip(got, exact):
        for column in truth:
            if not column.endswith(".mean"):
                continue
            name = column[: -len(".mean")]
            off, error = here[column] - truth[column], here[name + ".se"]
            floor = ROUNDING * (1 + abs(truth[column]))
            found[truth["time"], name] = off / max(error, floor)
    return found


def run_means(rxn, name, cache):
    exact = reference(name)
    times = [row["time"] for row in exact]
    first = deviations(controlled(rxn, name, times, 20000, SEEDS[0], cache), exact)
    beyond = {k for k, z in first.items() if abs(z) > LIMIT}
    if beyond:
        again = deviations(controlled(rxn, name, times, 20000, SEEDS[1], cache), exact)
        beyond = {k for k in beyond if abs(again[k]) > LIMIT and again[k] * first[k] > 0}
    print("%s: %d means, largest deviation %.2f standard errors"
          % (name, len(first), max(abs(z) for z in first.values())))
    for time, observable in sorted(beyond):
        print("  WRONG: %s at %g: %.1f standard errors" % (observable, time, first[time, observable]))
    return not beyond


def run_honest(rxn, name, cache, n=300, pilot=0):
    runs = 400
    exact = reference(name)
    exact = [exact[len(exact) // 2], exact[-1]]
    times = [row["time"] for row in exact]
    all_z = {}
    for k in range(runs):
        got = controlled(rxn, name, times, n, SEEDS[0] + k, cache, pilot)
        for key, z in deviations(got, exact).items():
            all_z.setdefault(key, []).append(z)
    good = True
    for (time, observable), z in all_z.items():
        mean = sum(z) / runs
        variance = sum((x - mean) ** 2 for x in z) / (runs - 1)
        spread = 5 * math.sqrt(2 / (runs - 1))
        fine = abs(mean) <= 5 * math.sqrt(1 / runs) and 1 - spread <= variance <= 1.25 * (1 + spread)
        print("%s: %s at %g: z has the mean %.3f and the variance %.3f%s"
              % (name, observable, time, mean, variance, "" if fine else "  WRONG"))
        good &= fine
    return good


def run_few(rxn, name, cache):
    return run_honest(rxn, name, cache, 30, 30)


def gradients(rxn, case, seed):
    command = [rxn, "grad", model_path(case.model), "--of", case.of, "--at", str(case.at), "-n", str(case.n)]
    command += ["--seed", str(seed), "--estimator", "score,martingale", "--json", "-", "--quiet"]
    for s in case.sets:
        command += ["--set", s]
    entries = {e["estimator"]: e for e in json.loads(call(command))}
    return {name: {p["name"]: p for p in entries[name]["parameters"]} for name in entries}


def off_by(case, parameters, name):
    p = parameters[name]
    return (p["gradient"] * case.value[name] - case.exact[name]) / (p["se"] * case.value[name])


def run_gain(rxn, name, cache):
    case, good = GAINS[name], True
    first = gradients(rxn, case, SEEDS[0])
    pilot = min(max(case.n / 10, 250), 1000)
    for p in case.value:
        score, martingale = first["score"][p], first["martingale"][p]
        gain = (score["sd"] / martingale["sd"]) ** 2 / (1 + pilot / case.n)
        text = "%s: d/d log %s %.6g +- %.2g, variance %.1f times less than score's" % (
            name, p, martingale["gradient"] * case.value[p], martingale["se"] * case.value[p], gain)
        if gain < case.least:
            good = False
            text += "  WRONG: less than %g times" % case.least
        difference = (score["gradient"] - martingale["gradient"]) / math.hypot(score["se"], martingale["se"])
        if abs(difference) > 5:
            good = False
            text += "  WRONG: %.1f standard errors from score" % difference
        if p in case.exact:
            z = off_by(case, first["martingale"], p)
            text += ", %.2f standard errors from exact" % z
            if abs(z) > LIMIT:
                again = off_by(case, gradients(rxn, case, SEEDS[1])["martingale"], p)
                if abs(again) > LIMIT and again * z > 0:
                    good = False
                    text += "  WRONG"
        print(text)
    return good


CASES = {"means-" + name: (run_means, name) for name in MEANS}
CASES.update({"honest-" + name: (run_honest, name) for name in HONEST})
CASES.update({"few-" + name: (run_few, name) for name in FEW})
CASES.update({"gain-" + name: (run_gain, name) for name in GAINS})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rxn", required=True)
    parser.add_argument("--case", choices=sorted(CASES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rxn-control-") as cache:
        bad = []
        for name in [options.case] if options.case else list(CASES):
            run, argument = CASES[name]
            if not run(options.rxn, argument, cache):
                bad.append(name)
            sys.stdout.flush()
    if bad:
        sys.exit("wrong: " + ", ".join(bad))


if __name__ == "__main__":
    if "--list" in sys.argv:
        print("\n".join(CASES))
    else:
        main()
