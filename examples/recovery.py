#!/usr/bin/env python3
"""How well fits recovered what is known: a table of errors relative to the truth.

    recovery.py NAME=TRUTH... -- FITTED.json... [--most PERCENT]

Prints, for each result of `rxn fit -o`, the relative error of each parameter, their mean and the wall time; then the
mean over all results with its spread. With --most the exit status is 1 where that mean is larger.
"""

import json
import math
import sys


def main(arguments):
    most = math.inf
    if "--most" in arguments:
        at = arguments.index("--most")
        most = float(arguments[at + 1])
        del arguments[at : at + 2]
    split = arguments.index("--")
    truth = {name: float(value) for name, value in (a.split("=") for a in arguments[:split])}
    means, seconds = [], []
    print("seed   " + "".join("%12s" % name for name in truth) + "        mean     seconds")
    for path in arguments[split + 1 :]:
        with open(path, encoding="utf-8") as file:
            fitted = json.load(file)
        values = {p["name"]: p["value"] for p in fitted["parameters"]}
        errors = [100 * (values[name] / truth[name] - 1) for name in truth]
        means.append(sum(map(abs, errors)) / len(errors))
        seconds.append(fitted["seconds"])
        print("%-7d" % fitted["seed"] + "".join("%10.4f %%" % e for e in errors) + "%10.4f %%%12.1f" % (means[-1], seconds[-1]))
    mean = sum(means) / len(means)
    spread = math.sqrt(sum((m - mean) ** 2 for m in means) / max(len(means) - 1, 1))
    print("mean relative error %.4f %% (sd over %d seeds %.4f, largest %.4f); %.1f s a fit" % (mean, len(means), spread, max(means), sum(seconds) / len(seconds)))
    if mean > most:
        sys.exit("recovery: that is more than %g %%" % most)


if __name__ == "__main__":
    main(sys.argv[1:])
