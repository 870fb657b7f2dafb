#!/usr/bin/env python3
"""How well half a record can be predicted at all: by the very model that made it.

    python3 ceiling.py RXN FOLDER [RECORDS]

FOLDER is one that `run` left, with fit.rxn, fit-exact.json and the tables. Its model, with its fitted parameters, makes
RECORDS new halves of a record (default 40), by exact stochastic simulation, with noise and hum added as the fit has
them. Each is cut and counted as prepare.py does it, and compared with what the model exactly says (oracle.py). What is
missing to 1 is chance alone: no fit of any model can be expected to do better on a half that it has not seen.

Only Python's standard library is used.
"""
import csv
import json
import math
import os
import random
import subprocess
import sys

import oracle
import prepare
from evaluate import r2, table

RECORDS = {  # samples of a half, interval (ms), time until all is as it always is, block (samples)
    "real": (5000, 0.01, 20, 1000),
    "one": (50000, 0.1, 1000, 5000),
    "five": (50000, 0.1, 200, 5000),
}


def simulate(rxn, folder, settings, count):
    """Numbers of open channels, sample by sample, of `count` records."""
    samples, interval, begin, _ = settings
    path = os.path.join(folder, "ceiling.csv")
    subprocess.run([rxn, "run", os.path.join(folder, "fit.rxn"), "--params", os.path.join(folder, "fit-exact.json"),
                    "--each", "-n", str(count), "--seed", "1", "--until", repr(begin + samples * interval),
                    "--every", repr(interval), "--quiet", "-o", path], check=True)
    records = {}
    with open(path, encoding="ascii") as file:
        for row in csv.reader(file):
            if row[0] != "trajectory" and float(row[1]) >= begin - 1e-9:
                records.setdefault(row[0], []).append(int(float(row[2])))
    os.remove(path)
    return [record[:samples] for record in records.values()]


def play(k, record, interval, draw):
    """The current: an average over 0.06 ms where that is several samples, noise, and a hum of 50 Hz."""
    width = round(0.06 / interval)
    currents, window, swing = [], [], math.sqrt(2 * k.get("hum", 0))
    phase = draw.uniform(0, 2 * math.pi)
    for at, count in enumerate(record):
        window = (window + [count])[-max(width, 1):]
        shown = sum(window) / len(window)
        noise = draw.gauss(0, math.sqrt(k["sd"] ** 2 + shown * k["sdo"] ** 2 - k.get("hum", 0)))
        hum = swing * math.cos(2 * math.pi * at * interval / 20 + phase)
        currents.append(k["level"] + k["step"] * shown + noise + hum)
    return currents


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: ceiling.py RXN FOLDER [RECORDS]")
    rxn, folder = sys.argv[1], os.path.normpath(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) == 4 else 40
    name, split = os.path.basename(folder).split("-", 1)
    settings = RECORDS[name]
    interval, block = settings[1], settings[3]
    with open(os.path.join(folder, "fit-exact.json"), encoding="utf-8") as file:
        k = {parameter["name"]: parameter["value"] for parameter in json.load(file)["parameters"]}
    grids = {statistic: table(os.path.join(folder, f"train_{statistic}.csv"))[0]
             for statistic in ("autocovariance", "amplitude")}
    expected = {statistic: oracle.MODELS[name](k, statistic, grid) for statistic, grid in grids.items()}
    lags = [round(lag / interval) for lag in grids["autocovariance"]]
    middles = grids["amplitude"]
    width = middles[1] - middles[0]
    draw = random.Random(1)
    found = {statistic: [] for statistic in expected}
    for record in simulate(rxn, folder, settings, count):
        currents = play(k, record, interval, draw)
        pieces = [currents]
        if split == "blocks":
            pieces = [currents[at : at + block] for at in range(0, len(currents), block)]
        found["autocovariance"].append(r2(prepare.autocovariance(pieces, lags), expected["autocovariance"]))
        found["amplitude"].append(
            r2(prepare.histogram(pieces, middles[0] - width / 2, width, len(middles)), expected["amplitude"]))
    for statistic, values in found.items():
        values.sort()
        print(f"{name:6} {split:8} {statistic:15} median {values[len(values) // 2]:.3f}, "
              f"10 % below {values[len(values) // 10]:.3f}, 10 % above {values[-1 - len(values) // 10]:.3f}, "
              f"{sum(value >= 0.987 for value in values)} of {len(values)} at 0.987 or more")


if __name__ == "__main__":
    main()
