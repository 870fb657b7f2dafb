"""How fast the GPU is: the benchmarks of tests/gpu/run.

A figure is what was measured, or it is not there: what did not fit into the time is listed as left out. Steps a second
are events over the seconds of the run as the program reports them: kernels, copies and reduction, without
compilation. Of several runs of one size the best counts.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time

from gpu import BENCH, STDLIB


class Problem:
    """A model, what is differentiated, until when; how many trajectories are tried forward and backward."""

    def __init__(self, path, of, until, forward=(10**4, 10**5, 10**6, 10**7), backward=(10**4, 10**5, 10**6), flags=()):
        self.path, self.of, self.until, self.forward, self.backward, self.flags = path, of, until, forward, backward, list(flags)


def bench(name):
    return os.path.join(BENCH, name + ".rxn")


PROBLEMS = {
    "birth-death": Problem(bench("birth_death"), "X", 20),
    "dimerisation": Problem(bench("dimerisation"), "M", 100),
    "telegraph": Problem(bench("telegraph"), "mRNA", 20),
    "Vilar": Problem(os.path.join(STDLIB, "vilar_oscillator.rxn"), "R", 200),
    "cascade, 10 species": Problem(bench("cascade"), "J", 20),
    "chain, 100 species": Problem(bench("chain"), "total", 10, (10**4, 10**5, 10**6), (10**4, 10**5)),
    "genes, 784-256-10": Problem(bench("gene_network"), "Y[0]", 5, (10**3, 10**4, 10**5), (10**2, 10**3, 10**4), ["--set", "x=0.3"]),
}
BACKWARD = {"path": "path-adjoint", "gumbel": "gumbel", "score": "score"}

# The bars: what, the least (or the most) it has to be.
BARS = [
    ("dimerisation, forward, f32", "least", 1.9e11),
    ("dimerisation, forward, f64", "least", 5e10),
    ("dimerisation, forward + path / forward, f32", "least", 0.4),
    ("dimerisation, forward + path / forward, f64", "least", 0.4),
    ("dimerisation, forward + gumbel / forward, f32", "least", 0.2),
    ("dimerisation, forward + gumbel / forward, f64", "least", 0.2),
    ("Vilar, forward, f32", "least", 2e10),
    ("cascade, 10 species, forward, f32", "least", 2e10),
    ("cascade, 10 species, forward, f64", "least", 2e10),
    ("first result, cold cache, seconds", "most", 1.5),
    ("first result, warm cache, seconds", "most", 0.4),
]


class Bench:
    def __init__(self, rxn, environment, deadline, rehearse, say):
        self.rxn, self.environment, self.deadline, self.rehearse, self.say = rxn, environment, deadline, rehearse, say
        self.figures, self.left_out, self.values = [], [], {}
        self.case_seconds = 12.0  # of a model in one precision, or by one estimator

    def left(self):
        return self.deadline - time.monotonic()

    def call(self, arguments, environment=None):
        """(JSON of the run or None, why not). The cache is one folder, so that the second run of a kernel is warm."""
        command = [self.rxn] + [str(a) for a in arguments] + ["--device", "cuda", "--json", "-", "--quiet"]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment or self.environment,
                                  timeout=max(5.0, min(60.0, self.left())))
        except subprocess.TimeoutExpired:
            return None, "it took more than the time that was left"
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            return None, "exit status %d: %s" % (done.returncode, lines[0] if lines else "")
        return json.loads(done.stdout), None

    def forward(self, problem, precision, n):
        until = "0.01" if self.rehearse and "784" in problem.label else problem.until / 100 if self.rehearse else problem.until
        arguments = ["run", problem.path, "-n", n, "--until", until, "--at", until, "--precision", precision, "-o", os.devnull]
        result, why = self.call(arguments + problem.flags)
        return result and (result["events"], result["seconds_run"], result["seconds_compile"]), why

    def backward(self, problem, precision, n, estimator):
        at = "0.01" if self.rehearse and "784" in problem.label else problem.until / 100 if self.rehearse else problem.until
        arguments = ["grad", problem.path, "-n", n, "--of", problem.of, "--at", at, "--estimator", estimator, "--precision", precision]
        arguments += ["-o", os.devnull] + problem.flags
        result, why = self.call(arguments)
        return result and (result[0]["events"], result[0]["seconds"], result[0]["seconds_compile"]), why

    def sizes(self, label, sizes, run):
        """Runs the sizes from the smallest on, while the next one fits into the case's time; the best rate, or None."""
        best, began, rate = None, time.monotonic(), None
        events_of_one = None
        for n in sizes:
            if self.left() < 5:
                self.left_out.append("%s, n = %d: out of time" % (label, n))
                continue
            if rate and n * events_of_one / rate > self.case_seconds - (time.monotonic() - began):
                self.left_out.append("%s, n = %d: too long" % (label, n))
                continue
            rates = []
            for _ in range(1 if self.rehearse else 3):
                found, why = run(n)
                if not found:
                    self.left_out.append("%s, n = %d: %s" % (label, n, why))
                    break
                events, seconds, compile_seconds = found
                rates.append(events / max(seconds, 1e-9))
                self.figures.append({"what": label, "trajectories": n, "events": events, "seconds": seconds,
                                     "seconds_compile": compile_seconds, "steps_per_second": rates[-1]})
                if seconds > 2 or self.left() < 5:
                    break
            if rates:
                rate, events_of_one = max(rates), max(events, 1) / n
                best = max(best or 0, rate)
        if best:
            self.values[label] = best
        return best

    def problems(self):
        for name, problem in PROBLEMS.items():
            problem.label = name
            # A rehearsal need not do all of it twice; the bars need the one that is.
            for precision in ("f64",) if self.rehearse and name != "dimerisation" else ("f32", "f64"):
                label = "%s, forward, %s" % (name, precision)
                sizes = (16,) if self.rehearse else problem.forward
                forward = self.sizes(label, sizes, lambda n: self.forward(problem, precision, n))
                if forward:
                    self.say("%-46s %10.3g steps a second" % (label, forward))
                for shown, estimator in BACKWARD.items():
                    label = "%s, forward + %s, %s" % (name, shown, precision)
                    sizes = (4,) if self.rehearse else problem.backward
                    value = self.sizes(label, sizes, lambda n: self.backward(problem, precision, n, estimator))
                    if value and forward:
                        self.values["%s, forward + %s / forward, %s" % (name, shown, precision)] = value / forward
                        self.say("%-46s %10.3g steps a second, %.0f %% of forward" % (label, value, 100 * value / forward))

    def starts(self):
        """From the command to its end, everything included, for a thousand trajectories."""
        model, times = PROBLEMS["dimerisation"].path, {"cold": [], "warm": []}
        n = 4 if self.rehearse else 1000
        for _ in range(1 if self.rehearse else 3):
            with tempfile.TemporaryDirectory(prefix="rxn-start-") as home:
                environment = dict(self.environment, HOME=home, XDG_CACHE_HOME=os.path.join(home, "cache"),
                                   CUDA_CACHE_PATH=os.path.join(home, "nv"))
                for kind in ("cold", "warm", "warm"):
                    began = time.monotonic()
                    result, why = self.call(["run", model, "-n", n, "-o", os.devnull, "--cache", os.path.join(home, "kernels")], environment)
                    if not result:
                        self.left_out.append("first result, %s cache: %s" % (kind, why))
                        continue
                    times[kind].append(time.monotonic() - began)
                    if kind == "cold":
                        self.figures.append({"what": "compile time", "seconds_compile": result["seconds_compile"]})
        for kind, found in times.items():
            if found:
                label = "first result, %s cache, seconds" % kind
                self.values[label] = statistics.median(found)
                self.figures.append({"what": label, "all": found})
                self.say("%-46s %10.3g" % (label, self.values[label]))

    def peers(self, python):
        """stochastix on the same GPU: its solver forward, and its gradients, of the same models."""
        script = os.path.join(os.path.dirname(BENCH), "peer_stochastix.py")
        for model in ("dimerisation", "telegraph"):
            command = [python, script, model, "-n", "4" if self.rehearse else "10000", "--forward"]
            try:
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=max(10.0, min(120.0, self.left())))
            except subprocess.TimeoutExpired:
                self.left_out.append("stochastix, %s: out of time" % model)
                continue
            if done.returncode != 0:
                self.left_out.append("stochastix, %s: %s" % (model, (done.stderr.strip().splitlines() or [""])[-1]))
                continue
            found = json.loads(done.stdout.strip().splitlines()[-1])
            self.figures.append({"what": "stochastix, " + model, "result": found})
            for kind, entry in found.items():
                if isinstance(entry, dict) and entry.get("steps_per_second"):
                    self.values["stochastix, %s, %s" % (model, kind)] = entry["steps_per_second"]
                    self.say("%-46s %10.3g steps a second (%s)" % ("stochastix, %s, %s" % (model, kind), entry["steps_per_second"], found.get("device", "?")))

    def bars(self):
        rows = []
        for what, sense, bar in BARS:
            value = self.values.get(what)
            met = None if value is None else value >= bar if sense == "least" else value <= bar
            rows.append({"what": what, "value": value, sense: bar, "met": met})
        return rows
