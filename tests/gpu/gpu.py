"""What the tests for GPUs share: an environment with the pretended GPU, and the kernels of a model as texts."""

import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
for folder in ("run", "exact"):
    sys.path.insert(0, os.path.join(ROOT, "tests", folder))

from harness import NEEDS, STDLIB, Run, models  # noqa: E402

BENCH = os.path.join(ROOT, "tests", "bench", "models")

# All that `rxn grad` knows, one kernel or two each. `path` is one of these two.
ESTIMATORS = ["score", "martingale", "path-adjoint", "path-forward", "gk", "coupled", "gumbel", "propensity"]

# An observable and a time for each model of the library; the time is short where the model is busy.
FUNCTIONALS = {
    "antisense": ("sense.mRNA", 5),
    "autoregulation": ("P", 5),
    "batch_immigration": ("X", 10),
    "birth_death": ("X", 5),
    "cell_division": ("protein", 10),
    "day_night": ("M", 6),
    "dimerisation": ("P", 10),
    "dosing": ("blood", 20),
    "gene_readout": ("H[0]", 2),
    "hopping_line": ("X[3]", 2),
    "immigration_death": ("X", 10),
    "ion_channel_2state": ("opened", 2),
    "ion_channel_3state": ("AO", 1),
    "lotka_volterra": ("prey", 0.1),
    "michaelis_menten": ("P", 10),
    "repressilator": ("LacI", 2),
    "schlogl": ("X", 0.2),
    "sir": ("I", 10),
    "telegraph": ("mRNA", 10),
    "toggle_switch": ("U", 2),
    "vilar_oscillator": ("R", 0.3),
}


def functional(name):
    """For a model that is new, its first observable is not known here: the test says that it wants a line."""
    assert name in FUNCTIONALS, "tests/gpu/gpu.py: FUNCTIONALS has no line for the model '%s'" % name
    return FUNCTIONALS[name]


class Fakes:
    """The pretended GPU and its compiler, as built; `cache` keeps what was compiled, with -O`optimize`."""

    def __init__(self, cuda, nvrtc, cache, optimize=1):
        self.cuda, self.nvrtc, self.cache, self.optimize = os.path.abspath(cuda), os.path.abspath(nvrtc), cache, optimize
        os.makedirs(cache, exist_ok=True)

    def environment(self, options="", home=None, **more):
        home = home or tempfile.gettempdir()
        words = [w for w in [options, "cache=" + self.cache, "optimize=%d" % self.optimize] if w]
        out = {
            "RXN_CUDA_DRIVER": self.cuda,
            "RXN_NVRTC": self.nvrtc,
            "RXN_FAKE_CUDA": ",".join(words),
            "XDG_CACHE_HOME": os.path.join(home, "cache"),
            "HOME": home,
            "RXN_CACHE": "",
        }
        out.update(more)
        return out


def model_path(name):
    path = os.path.join(BENCH, name[len("bench/") :]) if name.startswith("bench/") else os.path.join(STDLIB, name)
    return path + ".rxn"


def kernel_text(rxn, path, folder, precision="f64", problem=None, estimator=None):
    """The CUDA text of a model's kernel, or of the one that differentiates `problem` (what, when); or None and what the
    program said, where the estimator does not apply."""
    command = [rxn, "trace", path, "-o", folder, "--precision", precision]
    if problem:
        command += ["--of", problem[0], "--at", str(problem[1]), "--estimator", estimator]
    run = Run(command, timeout=300)
    if run.status == 1 and problem:
        return None, run.err
    assert run.status == 0, str(run)
    found = [f for f in sorted(os.listdir(folder)) if f.endswith(".cu")]
    assert len(found) == 1, "%s: %s" % (" ".join(command), found)
    with open(os.path.join(folder, found[0])) as f:
        return f.read(), None


def exact(text):
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_float=str, parse_int=str)
