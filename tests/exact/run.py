#!/usr/bin/env python3
"""Ensembles of the compiler against the references: means and standard deviations.

    run.py --rxn PATH [--case NAME] [--n N] [--precision f64|f32] [--method NAME] [--list]

Every case runs a model over an ensemble and compares, at every sample time and for every
observable, with reference/CASE.csv (made by make_reference.py, which shares no code with the
compiler):

    Z = sqrt(n) (mean - mu) / sigma               has to stay within 4.5
    V = (S^2/sigma^2 - 1) / sqrt(Var(S^2)/sigma^4) has to stay within 6

For a normal count V is the test of the Discrete Stochastic Models Test Suite (T. W. Evans,
C. S. Gillespie, D. J. Wilkinson, Bioinformatics 24 (2008) 285-286), sqrt(n/2)(S^2/sigma^2 - 1),
because then Var(S^2) = 2 sigma^4/(n-1). Many counts here are far from normal (a promoter is 0 or
1, a rare molecule is mostly absent), so Var(S^2) is taken from the exact fourth moment m4:
Var(S^2) = (m4 - sigma^4 (n-3)/(n-1))/n. Where the kurtosis m4/sigma^4 is near its least value,
1, S^2 is no longer linear in the noise; there Var(S^2) is not let below 0.2 sigma^4/n.

Both are normal only if n is large beside the kurtosis. A point where it is not (an observable
that is zero in all but a handful of trajectories) is left out and counted as such. Where a
reference was itself simulated, its own error is added.

False alarms. The seed is fixed, so a result repeats; the rates here are what a change of the
order of random numbers risks. The suite has about 5,000 values. With a fresh seed one of them
leaves its limit by chance in some 2 of 100 suites, so such a case is run again with the second
seed, and fails if the same value leaves its limit on the same side again, or if it was beyond
7.5 the first time: by chance in fewer than 1e-6 of all suites. A mean that is wrong by 0.03
standard deviations (9 standard errors at n = 100,000) is found with a probability above 0.9999.
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

SEEDS = (20240229, 31415926)
LIMIT_MEAN = 4.5
LIMIT_SD = 6.0
LIMIT_AT_ONCE = 7.5
# Kurtosis over n beyond which the mean, the variance, is too far from normal to be tested.
SKIP_MEAN = 0.01
SKIP_SD = 0.005

READOUT = ["x[0]=1", "x[1]=0.5", "x[2]=0", "x[3]=2", "x[4]=0.25", "x[5]=1.5", "x[6]=0", "x[7]=0.75"]
READOUT += ["W[0,0]=1.5", "W[2,5]=-1", "W[3,7]=-4"]


class Case:
    def __init__(self, n, folder=STDLIB, model=None, reference=None, sets=(), flags=()):
        self.n = n
        self.folder = folder
        self.model = model
        self.reference = reference
        self.sets = sets
        self.flags = flags


CASES = {
    "birth_death": Case(100000),
    "immigration_death": Case(100000),
    "immigration_death_1000": Case(
        100000, model="immigration_death", sets=["alpha=1000"]
    ),
    "batch_immigration": Case(100000),
    "batch_immigration_100": Case(100000, OWN),
    "dimerisation": Case(100000),
    "dimerisation_law": Case(100000, OWN, reference="dimerisation"),
    "dimerisation_reset_at": Case(100000, OWN),
    "dimerisation_reset_when": Case(100000, OWN),
    "dimerisation_bench": Case(100000, OWN),
    "telegraph": Case(100000),
    "antisense": Case(100000),
    "autoregulation": Case(100000),
    "cell_division": Case(100000),
    "dosing": Case(100000),
    "day_night": Case(50000),
    "rate_switch": Case(100000, OWN),
    "time_dependent_pairs": Case(100000, OWN),
    "ion_channel_2state": Case(100000),
    "ion_channel_3state": Case(50000),
    "sir": Case(100000),
    "michaelis_menten": Case(100000),
    "gene_readout": Case(50000, sets=READOUT),
    "hopping_line": Case(5003),
    "toggle_switch": Case(40000),
    "schlogl": Case(20000),
    "lotka_volterra": Case(2003),
    "repressilator": Case(6007, flags=["--every", "4"]),
    "vilar_oscillator": Case(2003, flags=["--every", "4"]),
}


def read_table(path):
    """Time -> {observable: {column: value}}, and the comment lines."""
    comments, rows, names = [], [], None
    with open(path) as f:
        for line in f:
            line = line.rstrip("\n")
            if line.startswith("#"):
                comments.append(line[1:].strip())
            elif names is None:
                names = split_header(line)
            elif line:
                rows.append([float(v) for v in line.split(",")])
    table = []
    for row in rows:
        if len(row) != len(names):
            raise ValueError("%s: a row of %d values under %d names" % (path, len(row), len(names)))
        values = {}
        for name, value in zip(names[1:], row[1:]):
            observable, _, column = name.rpartition(".")
            values.setdefault(observable, {})[column] = value
        table.append((row[0], values))
    return table, comments


def split_header(line):
    """Names, separated by commas that stand outside brackets and quotation marks."""
    names, name, depth = [], "", 0
    for c in line:
        depth += (c == "[") - (c == "]")
        if c == "," and depth == 0:
            names.append(name)
            name = ""
        elif c != '"':
            name += c
    return names + [name]


def run_model(rxn, case, name, n, seed, flags, folder):
    out = os.path.join(folder, "%s-%d.csv" % (name, seed))
    command = [rxn, "run", os.path.join(case.folder, (case.model or name) + ".rxn")]
    command += ["-n", str(n), "--seed", str(seed), *flags, "--quiet", "-o", out]
    for assignment in case.sets:
        command += ["--set", assignment]
    command += case.flags
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print("%s\nexit status %d\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
        return None
    return read_table(out)[0]


class Report:
    def __init__(self):
        self.values = 0
        self.skipped = 0
        self.wrong = []  # (text) that no noise explains
        self.beyond = {}  # (time, observable, what) -> deviation, beyond its limit
        self.worst = {"mean": (0.0, "-"), "sd": (0.0, "-")}


def compare(got, reference, sampled, n):
    """Tests one ensemble. `sampled`: trajectories behind the reference, None where it is exact."""
    report = Report()
    by_time = [(t, v) for t, v in reference]
    if len(got) > len(by_time):
        report.wrong.append("%d sample times, the reference has %d" % (len(got), len(by_time)))
        return report
    if not got:
        report.wrong.append("no rows")
    for (t, values), (t_ref, expected) in zip(got, by_time):
        if abs(t - t_ref) > 1e-9 * (1 + abs(t_ref)):
            report.wrong.append("sample time %.17g, the reference has %.17g" % (t, t_ref))
            return report
        for o, e in expected.items():
            if o not in values:
                report.wrong.append("no observable '%s' in the output" % o)
                return report
            compare_point(report, t, o, values[o], e, sampled, n)
    return report


def compare_point(report, t, o, value, e, sampled, n):
    mean, sd = value["mean"], value["sd"]
    if not (math.isfinite(mean) and math.isfinite(sd)):
        report.wrong.append("%s at %g: mean %r, sd %r" % (o, t, mean, sd))
        return
    if e["sd"] <= 1e-9 * (1 + abs(e["mean"])):
        # The state is certain: no noise to allow for.
        report.values += 2
        if abs(mean - e["mean"]) > 1e-9 * (1 + abs(e["mean"])) or sd != 0.0:
            report.wrong.append("%s at %g is certain to be %.17g: mean %.17g, sd %.17g" % (o, t, e["mean"], mean, sd))
        return
    variance = e["sd"] ** 2
    kurtosis = e["m4"] / variance**2
    parts = 1.0 / n + (1.0 / sampled if sampled else 0.0)
    smallest = min(n, sampled) if sampled else n
    z = (mean - e["mean"]) / (e["sd"] * math.sqrt(parts))
    v = (sd * sd / variance - 1.0) / math.sqrt(max(kurtosis - (n - 3.0) / (n - 1.0), 0.2) * parts)
    for what, deviation, limit, skip in (("mean", z, LIMIT_MEAN, SKIP_MEAN), ("sd", v, LIMIT_SD, SKIP_SD)):
        if kurtosis / smallest > skip:
            report.skipped += 1
            continue
        report.values += 1
        if abs(deviation) > abs(report.worst[what][0]):
            report.worst[what] = (deviation, "%s at %g" % (o, t))
        if not abs(deviation) < limit:
            report.beyond[(t, o, what)] = deviation


def test_case(rxn, name, n, flags, folder):
    case = CASES[name]
    n = n or case.n
    path = os.path.join(HERE, "reference", (case.reference or name) + ".csv")
    reference, comments = read_table(path)
    sampled = None
    for comment in comments:
        if comment.startswith("sampled "):
            sampled = int(comment.split()[1])

    def once(seed):
        got = run_model(rxn, case, name, n, seed, flags, folder)
        if got is None:
            return None
        report = compare(got, reference, sampled, n)
        print(
            "%-26s %7d %6d %5d   %6.2f  %-22s %6.2f  %s"
            % (name, n, report.values, report.skipped, *report.worst["mean"], *report.worst["sd"])
        )
        for line in report.wrong[:5]:
            print("    " + line)
        for (t, o, what), deviation in list(report.beyond.items())[:5]:
            print("    %s of %s at %g is off by %.2f standard errors" % (what, o, t, deviation))
        sys.stdout.flush()
        return report

    first = once(SEEDS[0])
    if first is None or first.wrong:
        return False
    if first.values == 0:
        print("    nothing could be tested at n = %d" % n)
        return False
    if not first.beyond:
        return True
    if any(not abs(d) < LIMIT_AT_ONCE for d in first.beyond.values()):
        return False
    print("    beyond a limit: again, with the second seed")
    second = once(SEEDS[1])
    if second is None or second.wrong:
        return False
    return not any(d * second.beyond.get(point, 0.0) > 0 for point, d in first.beyond.items())


def main():
    parser = argparse.ArgumentParser(description="exact tests of rxn: means and standard deviations")
    parser.add_argument("--rxn", help="the compiler's executable")
    parser.add_argument("--case", action="append", help="one case (may be given again); default all")
    parser.add_argument("--n", type=int, help="trajectories, instead of each case's own number")
    parser.add_argument("--precision", default="f64", choices=("f64", "f32"))
    parser.add_argument("--method", default="auto", help="as for `rxn run`")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(CASES))
        return 0
    if not arguments.rxn:
        parser.error("--rxn is needed")
    names = arguments.case or list(CASES)
    for name in names:
        if name not in CASES:
            parser.error("no case '%s'" % name)
    print("%-26s %7s %6s %5s   %6s  %-22s %6s  %s" % ("case", "n", "values", "left", "max Z", "", "max V", ""))
    flags = ["--precision", arguments.precision, "--method", arguments.method]
    failed = []
    with tempfile.TemporaryDirectory(prefix="rxn-exact-") as folder:
        for name in names:
            if not test_case(arguments.rxn, name, arguments.n, flags, folder):
                failed.append(name)
    print("failed: %s" % ", ".join(failed) if failed else "all %d cases passed" % len(names))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
