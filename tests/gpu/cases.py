"""What a GPU is held to: commands whose output has to be the CPU's, byte by byte.

`pack` runs them on a CPU and puts what comes out into a folder; `run` runs them on the GPU and compares. Each case is
a name and the arguments of the program, with {models} for the library and {bench} for the models of the benchmarks.
"""

import hashlib
import json
import os

from gpu import ESTIMATORS, NEEDS, functional, models

# Trajectories by themselves, of which the whole output is kept; ensembles, of which means and deviations are; and
# ensembles for derivatives.
EACH, ENSEMBLE, GRADIENT = 100, 20000, 500

# Longer than a test needs at their own end times.
SHORT = {"vilar_oscillator": ["--until", "20"], "repressilator": ["--until", "40"]}

# What is measured, or says where it ran.
NOT_COMPARED = ("seconds", "device", "threads", "variance_time")


class Case:
    def __init__(self, name, arguments, kind):
        self.name, self.arguments, self.kind = name, [str(a) for a in arguments], kind

    def command(self, rxn, device, root, n=None):
        places = {"{models}": os.path.join(root, "stdlib_models"), "{bench}": os.path.join(root, "tests", "bench", "models")}
        words = []
        for word in self.arguments:
            for sign, place in places.items():
                word = word.replace(sign, place)
            words.append(word)
        if n is not None:
            words[words.index("-n") + 1] = str(n)
        return [rxn] + words + ["--device", device, "--quiet"]

    def result(self, out):
        """The output without what differs from run to run."""
        return normal(out) if self.kind == "gradient" else out


def without(value):
    if isinstance(value, dict):
        return {k: without(v) for k, v in value.items() if not k.startswith(NOT_COMPARED)}
    if isinstance(value, list):
        return [without(v) for v in value]
    return value


def normal(text):
    """JSON of `rxn grad`, its numbers as they were written, a key to a line."""
    return json.dumps(without(json.loads(text, parse_float=str, parse_int=str)), indent=0, sort_keys=True) + "\n"


def cases():
    out = []
    for name in models():
        path = "{models}/%s.rxn" % name
        extra = NEEDS.get(name, []) + SHORT.get(name, [])
        for precision in ("f64", "f32"):
            flags = ["run", path, "--precision", precision, "--seed", 7, "-o", "-"] + extra
            out.append(Case("each-%s-%s" % (name, precision), flags + ["-n", EACH, "--each"], "each"))
            n = ENSEMBLE // 20 if name in SHORT or name == "lotka_volterra" else ENSEMBLE
            out.append(Case("ensemble-%s-%s" % (name, precision), flags + ["-n", n], "ensemble"))
        of, at = functional(name)
        for estimator in ESTIMATORS:
            flags = ["grad", path, "--of", of, "--at", at, "--estimator", estimator, "-n", GRADIENT, "--json", "-"]
            out.append(Case("grad-%s-%s" % (name, estimator), flags + NEEDS.get(name, []), "gradient"))
    for name, until in {"cascade": 5, "chain": 1, "birth_death": 20, "telegraph": 20}.items():
        flags = ["run", "{bench}/%s.rxn" % name, "-n", EACH, "--each", "--until", until, "--at", until, "-o", "-"]
        out.append(Case("bench-%s" % name, flags, "each"))
    out.append(Case("bench-gene_network", ["run", "{bench}/gene_network.rxn", "-n", 5, "--each", "--until", "0.5", "--at", "0.5",
                                           "--set", "x=0.3", "-o", "-"], "each"))
    for form in ("dimerisation", "dosing", "day_night", "cell_division"):
        flags = ["run", "{models}/%s.rxn" % form, "-n", EACH, "--each", "--method", "direct-table", "-o", "-"]
        out.append(Case("table-%s" % form, flags, "each"))
    for form in ("dimerisation", "dosing"):
        for method in ("rejection", "rejection-sparse", "composition"):
            flags = ["run", "{models}/%s.rxn" % form, "-n", EACH, "--each", "--method", method, "-o", "-"]
            out.append(Case("%s-%s" % (method, form), flags, "each"))
    for form, method in {"dimerisation": "batch-short", "dosing": "batch-short", "sir": "batch-short"}.items():
        flags = ["run", "{models}/%s.rxn" % form, "-n", EACH, "--each", "--method", method, "-o", "-"]
        out.append(Case("%s-%s" % (method, form), flags, "each"))
    return out


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()
