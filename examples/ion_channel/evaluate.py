#!/usr/bin/env python3
"""What fits are worth on the half that they have not seen, and whether rxn computed it right.

    python3 evaluate.py FOLDER [FOLDER…]

Each folder is one that `run` left: the tables of prepare.py, and for each fit fit-NAME.json (the result) and
heldout-NAME.json (the same parameters looked at with the held-out tables). Printed, and written to figures.csv beside
the folders (and what plots need to curve_….csv in each):

    fit       R² on the half that was fitted
    held out  R² on the other
    halves    R² of the one half's table as a prediction of the other's: no model, only what both halves share
    oracle    the largest difference between rxn's predictions and those of oracle.py, relative to the largest of them;
              not for sampled estimators, whose predictions have noise

Ends with status 1 if an exact fit differs from the oracle by more than 2e-5: what a patch still knows of its beginning, when
it is measured as if it had none.

Only Python's standard library is used.
"""
import csv
import glob
import json
import os
import sys

import oracle

STATISTICS = ["autocovariance", "amplitude", "opened", "closed"]


def table(path):
    with open(path, encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    return [float(row[list(row)[0]]) for row in rows], [float(row[list(row)[-1]]) for row in rows], rows[0]


def r2(data, model):
    mean = sum(data) / len(data)
    return 1 - sum((a - b) ** 2 for a, b in zip(data, model)) / sum((a - mean) ** 2 for a in data)


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: evaluate.py FOLDER…")
    lines, wrong = [], False
    print(f"{'record':6} {'split':8} {'fit':14} {'statistic':15} {'fit':>8} {'held out':>9} {'halves':>8} {'oracle':>9}")
    for folder in sys.argv[1:]:
        record, split = os.path.basename(os.path.normpath(folder)).split("-", 1)
        for path in sorted(glob.glob(os.path.join(folder, "fit-*.json"))):
            name = os.path.basename(path)[4:-5]
            fitted = load(path)
            heldout = load(os.path.join(folder, f"heldout-{name}.json"))
            k = {parameter["name"]: parameter["value"] for parameter in fitted["parameters"]}
            if any(abs(parameter["value"] / k[parameter["name"]] - 1) > 1e-12 for parameter in heldout["parameters"]):
                sys.exit(f"evaluate.py: {folder}: {name} has moved while it was looked at")
            for statistic in STATISTICS:
                series = [s for s in fitted["series"] if s["experiment"] == statistic]
                if not series:
                    continue
                other = [s for s in heldout["series"] if s["experiment"] == statistic][0]
                grid, train, row = table(os.path.join(folder, f"train_{statistic}.csv"))
                _, held, _ = table(os.path.join(folder, f"heldout_{statistic}.csv"))
                if other["measured"] != held or series[0]["measured"] != train:
                    sys.exit(f"evaluate.py: {folder}: {name} was not made from these tables")
                if "dt" in row:
                    k["dt"] = float(row["dt"])
                difference = ""
                if fitted["estimator"] == "exact":
                    expected = oracle.MODELS[record](k, statistic, grid)
                    largest = max(map(abs, expected))
                    worst = max(abs(a - b) for a, b in zip(other["modelled"], expected)) / largest
                    wrong |= not worst <= 2e-5
                    difference = f"{worst:.1e}"
                if name == "exact":
                    with open(os.path.join(folder, f"curve_{statistic}.csv"), "w", encoding="ascii") as file:
                        file.write("x,fitted,heldout,model\n")
                        for values in zip(grid, train, held, other["modelled"]):
                            file.write(",".join(f"{value:.9g}" for value in values) + "\n")
                line = [record, split, name, statistic, f"{series[0]['r2']:.4f}", f"{other['r2']:.4f}",
                        f"{r2(held, train):.4f}", difference]
                lines.append(line)
                print(f"{line[0]:6} {line[1]:8} {line[2]:14} {line[3]:15} {line[4]:>8} {line[5]:>9} {line[6]:>8} {line[7]:>9}")
    with open(os.path.join(os.path.dirname(os.path.normpath(sys.argv[1])), "figures.csv"), "w", encoding="ascii") as file:
        file.write("record,split,fit,statistic,r2_fit,r2_heldout,r2_halves,oracle\n")
        file.writelines(",".join(line) + "\n" for line in lines)
    if wrong:
        sys.exit("evaluate.py: rxn and the oracle do not agree")


if __name__ == "__main__":
    main()
