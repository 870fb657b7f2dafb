"""What the tests of the program share: running it, checks that report as TAP, reading its CSV.

A test is a function; `main` runs those of a module in order and prints a TAP line for each. A check that
fails raises, and the rest of its function is not run.
"""

import argparse
import csv
import io
import os
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
STDLIB = os.path.join(ROOT, "stdlib_models")


# Immigration and death, for what takes any model.
SMALL = """model small
species A = 50
param k = 0.1 in 1e-3 .. 10 fit
param g = 1 in 1e-2 .. 100 fit
0 -> A @ k
A -> 0 @ g
observe A
simulate until 2 every 1
"""


class Skipped(Exception):
    pass


class Run:
    """One run of the program: status, out, err."""

    def __init__(self, command, text=None, cwd=None, env=None, timeout=120):
        environment = dict(os.environ)
        environment.pop("RXN_PATH", None)
        environment.update(env or {})
        done = subprocess.run(
            command,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=environment,
            timeout=timeout,
        )
        self.command, self.status, self.out, self.err = command, done.returncode, done.stdout, done.stderr

    def __str__(self):
        return "%s\nexit status %d\n%s%s" % (" ".join(self.command), self.status, self.out, self.err)


class Program:
    """The program under test, with a folder for the files that tests make."""

    def __init__(self, path, folder, device):
        self.path, self.folder, self.device = os.path.abspath(path), folder, device

    def call(self, *arguments, **options):
        arguments = [str(a) for a in arguments]
        if self.device and arguments and arguments[0] == "run" and "--device" not in arguments:
            arguments[1:1] = ["--device", self.device]
        return Run([self.path] + arguments, **options)

    def good(self, *arguments, **options):
        run = self.call(*arguments, **options)
        assert run.status == 0, str(run)
        return run

    def bad(self, status, *arguments, **options):
        """A run that fails with this status, prints nothing as a result, and is no crash."""
        run = self.call(*arguments, **options)
        assert run.status == status, "expected exit status %d:\n%s" % (status, run)
        assert run.out == "", "a result was printed:\n%s" % run
        assert run.err != "", "no message:\n%s" % run
        return run

    def file(self, name, text=None):
        path = os.path.join(self.folder, name)
        if text is not None:
            with open(path, "w") as f:
                f.write(text)
        return path

    def table(self, *arguments, **options):
        """Header and rows (as text) of `run … -o -`."""
        run = self.good("run", *arguments, "--quiet", "-o", "-", **options)
        rows = list(csv.reader(io.StringIO(run.out)))
        return rows[0], rows[1:]


def peak_of(command, **options):
    """The largest size of a process, in KiB, with all that it compiles; and what it printed."""
    code = (
        "import resource, subprocess, sys\n"
        "out = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, check=True).stdout\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.stdout.write(out.decode())\n"
    )
    run = Run([sys.executable, "-c", code] + [str(word) for word in command], env={"RXN_CACHE": ""}, **options)
    assert run.status == 0, str(run)
    peak, out = run.out.split("\n", 1)
    return int(peak), out


def check_equal(got, expected, what="value"):
    assert got == expected, "%s:\n  got      %r\n  expected %r" % (what, got, expected)


def check_in(part, whole):
    assert part in whole, "not found:\n%s\nin:\n%s" % (part, whole)


def models():
    return sorted(f[: -len(".rxn")] for f in os.listdir(STDLIB) if f.endswith(".rxn"))


# What a model of the library needs besides itself.
NEEDS = {"gene_readout": ["--set", "x=1"]}


def lacks_a_target(rxn):
    """A build without LLVM runs its tests in the interpreter."""
    run = Run([os.path.abspath(rxn), "run", os.path.join(STDLIB, "sir.rxn"), "-n", "1", "--quiet"])
    return "this build has no target for the device 'cpu'" in run.err


def main(tests, add_arguments=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--rxn", required=True, help="the program")
    parser.add_argument("--device", help="run everything on this device (the interpreter, say)")
    if add_arguments:
        add_arguments(parser)
    arguments = parser.parse_args()
    if not arguments.device and lacks_a_target(arguments.rxn):
        arguments.device = "interpreter"
    print("1..%d" % len(tests))
    failed = 0
    for number, test in enumerate(tests, 1):
        name = test.__name__.replace("test_", "", 1)
        with tempfile.TemporaryDirectory(prefix="rxn-run-") as folder:
            program = Program(arguments.rxn, folder, arguments.device)
            program.arguments = arguments
            try:
                test(program)
                print("ok %d - %s" % (number, name))
            except Skipped as reason:
                print("ok %d - %s # SKIP %s" % (number, name, reason))
            except Exception:  # a test that raises has failed, whatever it raises
                failed += 1
                print("not ok %d - %s" % (number, name))
                for line in traceback.format_exc().splitlines():
                    print("# " + line)
        sys.stdout.flush()
    return 1 if failed else 0
