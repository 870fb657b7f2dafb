#!/usr/bin/env python3
"""Inputs for fuzz_objective to begin with: the wrong objectives of tests/golden, and right ones of every kind.

objective_seeds.py FOLDER
"""

import hashlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "golden"))
sys.dont_write_bytecode = True
from objectives import OBJECTIVES  # noqa: E402  (it lies beside, in golden/)

# Numbers of models as in fuzz_objective.c; 0 is that of tests/golden/objectives.
RIGHT = [
    "0 2 4\nX\nX^2\nvar(X)/mean(X) - k",
    "0 4\ncov(at(X, 2), X)\nsum(s in set: H[s]*b[s])\nplus_x(3)*both",
    "0\nat(X, 1)*at(Y, 3) + total(X, 0, 3, 0.25)\nintegral(X*Y, 1, 2)^2",
    "0 6\nif passage(X > 3 and Y < 2) < 2 then sum2 else H[1]\npassage(X >= 2, 3)",
    "1 4\nsd(P2)\nP*(P - 1)/2 + log(P2 + 1)",
    "2 1 2\nX*at(X, 0.25)\nif X > 250 then 1 else 0\nabs(X - 300)^1.5",
    "3 9\naverage(blood)\nexp(-gut/10)*blood\nmean(gut)^2/mean(blood)",
    "4 3\nsum(s in site: X[s])\nX[3]*average(X[4])\nprod(s in 0 .. 3: X[s] + 1)",
    "5 8\nU/(U + V)\nhill(U, 3, 2)\nmin(U, V)\nsigmoid(U - V)",
    "7 8\nM*sin(t)\ntotal(M, 0, 4, 0.1)/41\nchoose(M, 2)\nfloor(M/2)",
    "8 8\nprotein^0.5\ncov(protein, divisions)/sd(protein)\nsqrt(protein + divisions)",
]


def wrong():
    """Those about the model of their own folder, the longest left out."""
    for arguments in OBJECTIVES.values():
        if arguments[0] != "--of":
            continue
        texts = [b for a, b in zip(arguments, arguments[1:]) if a == "--of"]
        times = "4" if "--at" in arguments else ""
        text = "0 %s\n%s" % (times, "\n".join(texts))
        if len(text) < 2000:
            yield text


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for text in [*RIGHT, *wrong()]:
        data = text.encode()
        with open(os.path.join(folder, hashlib.sha1(data).hexdigest()), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main()
