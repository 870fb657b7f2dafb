#!/usr/bin/env python3
"""Kernels in CUDA C, compiled by NVIDIA's own compiler; no GPU is needed.

    compile.py --rxn PATH [--only MODEL] [--json FILE] [--jobs N]

Every model of the library, for every architecture: the kernels that simulate it in f64 and in f32, and those of all estimators
that apply. A table says for each what the compiler made of it: registers, bytes of stack, of spills and of shared memory,
machine code, and how long it took. Required is

    that every text compiles without a warning, for every architecture
    that in networks of up to 20 reactions nothing spills to local memory

Estimators that run two coupled copies, or carry a vector for each parameter, have more numbers than a thread has registers.
NVRTC 13 puts these into shared memory; older ones cannot, and of theirs only what simulates, the score and the pathwise
adjoint are held to it.

NVRTC is what RXN_NVRTC names (a file or a folder), or what `./dev nvrtc` fetched, or CUDA's own. Without it this skips.
"""

import argparse
import concurrent.futures
import json
import os
import re
import sys
import tempfile
import time

import nvrtc
from gpu import ESTIMATORS, ROOT, functional, kernel_text, model_path, models
from harness import Run

ARCHITECTURES = [75, 80, 90, 100, 120]
SMALL = 20  # reactions
SPILL_IN_ROOM = (13, 0)  # the first NVRTC that spills to shared memory
NEVER_SPILL = ["run", "score", "path-adjoint"]  # with any
SKIPPED = 77  # exit status, as Meson reads it

compiler = None  # of a worker process


def start(path):
    global compiler
    compiler = nvrtc.Nvrtc(path)


def reactions_of(rxn, name):
    run = Run([rxn, "check", model_path(name)])
    found = re.search(r"^\s*reactions\s+([\d,]+)", run.out, re.M)
    assert run.status == 0 and found, str(run)
    return int(found.group(1).replace(",", ""))


class Kernel:
    """A model, what is done with it ("run", or an estimator), the precision, and the architectures to compile it for."""

    def __init__(self, model, what, precision, architectures, problem=None):
        self.model, self.what, self.precision, self.problem, self.architectures = model, what, precision, problem, architectures

    def __str__(self):
        return "%s, %s, %s" % (self.model, self.what, self.precision)


def compile_one(rxn, kernel):
    """("refused", why), or ("done", a row for each architecture)."""
    with tempfile.TemporaryDirectory(prefix="rxn-compile-") as folder:
        estimator = kernel.what if kernel.problem else None
        text, why = kernel_text(rxn, model_path(kernel.model), folder, kernel.precision, kernel.problem, estimator)
    if text is None:
        return "refused", why.strip().splitlines()[0]
    rows = []
    for architecture in kernel.architectures:
        code, log, seconds = compiler.compile(text, architecture)
        functions, sizes = nvrtc.figures(log), nvrtc.code_bytes(code) if code else {}
        for name, entry in functions.items():
            entry["code"] = sizes.get(name, 0)
        said = [line for line in log.splitlines() if line.strip() and not line.startswith("ptxas")]
        rows.append({"model": kernel.model, "kernel": kernel.what, "precision": kernel.precision, "architecture": architecture,
                     "compiles": code is not None, "seconds": round(seconds, 3), "functions": functions, "said": "\n".join(said)})
    return "done", rows


def kernels(names, known):
    out = []
    for name in names:
        out += [Kernel(name, "run", "f64", known), Kernel(name, "run", "f32", known)]
        for estimator in ESTIMATORS if not name.startswith("bench/") else []:
            out.append(Kernel(name, estimator, "f64", known, functional(name)))
    return out


def judge(row, bad):
    where = "%s, %s, %s, sm_%d" % (row["model"], row["kernel"], row["precision"], row["architecture"])
    if not row["compiles"]:
        bad.append("%s does not compile:\n%s" % (where, row["said"]))
        return
    if row["said"]:
        bad.append("%s: the compiler has something to say:\n%s" % (where, row["said"]))
    if "rxn_kernel" not in row["functions"]:
        bad.append("%s: there is no rxn_kernel in it" % where)
        return
    spills = {f: e["spill"] for f, e in row["functions"].items() if e["spill"]}
    never = compiler.version >= SPILL_IN_ROOM or row["kernel"] in NEVER_SPILL
    if spills and never and row["reactions"] <= SMALL:
        bad.append("%s: spills, of %s bytes" % (where, spills))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rxn", required=True)
    parser.add_argument("--only", action="append", metavar="MODEL", help="this model (several: again), or bench/NAME")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="where `./dev nvrtc` put it")
    options = parser.parse_args()
    began = time.monotonic()
    path = nvrtc.find(options.build)
    if not path:
        print("skipped: NVRTC is not at hand; get it with `./dev nvrtc`, or name it in RXN_NVRTC")
        return SKIPPED
    start(path)
    if compiler.version < (12, 0):
        print("skipped: %s is NVRTC %d.%d; 12 or newer is needed" % ((path,) + compiler.version))
        return SKIPPED
    known = [a for a in ARCHITECTURES if a in compiler.architectures]
    print("NVRTC %d.%d, %s" % (compiler.version + (path,)))
    left_out = ["sm_%d: this NVRTC does not know it" % a for a in ARCHITECTURES if a not in known]

    rxn = os.path.abspath(options.rxn)
    refused, bad, rows, reactions = [], [], [], {}
    wanted = kernels(options.only or models(), known)
    with concurrent.futures.ProcessPoolExecutor(options.jobs, initializer=start, initargs=(path,)) as pool:
        jobs = [(kernel, pool.submit(compile_one, rxn, kernel)) for kernel in wanted]
        for kernel, job in jobs:
            state, found = job.result()
            if state == "refused":
                refused.append((kernel.model, kernel.what, found))
            else:
                if kernel.model not in reactions:
                    reactions[kernel.model] = reactions_of(rxn, kernel.model)
                for row in found:
                    row["reactions"] = reactions[kernel.model]
                    judge(row, bad)
                    rows += [row] if "rxn_kernel" in row["functions"] else []

    print("\n%-20s %9s %-13s %-4s %5s  %9s %6s %6s %6s %7s %8s" % ("model", "reactions", "kernel", "", "arch", "registers", "stack", "spill", "shared", "code, B", "compile"))
    for row in rows:
        e = row["functions"]["rxn_kernel"]
        print("%-20s %9d %-13s %-4s %5d  %9d %6d %6d %6d %7d %6.2f s" % (row["model"], row["reactions"], row["kernel"], row["precision"], row["architecture"],
                                                                 e["registers"], e["stack"], e["spill"], e["shared"], e["code"], row["seconds"]))
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"nvrtc": "%d.%d" % compiler.version, "date": time.strftime("%Y-%m-%d"), "kernels": rows, "left_out": left_out,
                       "not_applicable": refused, "failures": bad}, f, indent=1)
            f.write("\n")
    print("\n%d texts, %d compilations, %.0f s; slowest %.2f s" % (len(wanted) - len(refused), len(rows), time.monotonic() - began, max([r["seconds"] for r in rows] or [0])))
    spilling = [r for r in rows if r["kernel"] != "run" and r["functions"]["rxn_kernel"]["spill"] and r["reactions"] <= SMALL]
    print("%d of %d kernels that differentiate networks of up to %d reactions spill" %
          (len(spilling), len([r for r in rows if r["kernel"] != "run" and r["reactions"] <= SMALL]), SMALL))
    for what in left_out:
        print("left out: " + what)
    for name, what, why in refused:
        print("not applicable: %s to %s: %s" % (what, name, why))
    for message in bad:
        print("WRONG: " + message)
    if not rows:
        print("WRONG: nothing was compiled")
    return 1 if bad or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
