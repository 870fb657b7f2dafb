#!/usr/bin/env python3
"""`rxn check` and `rxn trace`: what they print, that every text reads back, that they are quick."""

import os
import re
import sys
import time

from harness import NEEDS, ROOT, STDLIB, check_equal, check_in, main, models


def check_places(path, name):
    """Directives of CUDA C: those that lead back to the text itself are right, the others name lines with a reaction."""
    model = open(os.path.join(STDLIB, name + ".rxn")).read().split("\n")
    lines, named = open(path).read().split("\n"), 0
    assert lines[0].startswith("#line 2 "), lines[0]
    for k, line in enumerate(lines):
        found = re.fullmatch(r'#line (\d+) "(.*)"', line)
        assert found or not line.startswith("#line"), line
        if not found:
            continue
        number, file = int(found.group(1)), found.group(2)
        if file.endswith(".cu"):
            check_equal(number, k + 2, "the line behind '%s'" % line)
        elif file == name + ".rxn":
            named += 1
            assert re.search("->|=>", model[number - 1]), "%s: %s" % (line, model[number - 1])
    assert named or name == "antisense", "no line of the model is named"


def trace_test(name):
    def test(program):
        folder = program.file("trace")
        for precision in ("f64", "f32"):
            program.good("trace", os.path.join(STDLIB, name + ".rxn"), "-o", folder, "--verify", "--precision", precision)
        files = sorted(os.listdir(folder))
        check_equal(files[:2], ["00-ast.txt", "01-network.txt"], "the first stages")
        for k, file in enumerate(files):
            assert file.startswith("%02d-" % k), files
            assert os.path.getsize(os.path.join(folder, file)) > 0, file
        stems = [file[3:] for file in files]
        assert "kernel.kir" in stems and any(s.startswith("network-") for s in stems), files
        assert any(re.fullmatch(r"kernel-.*\.kir", s) for s in stems), files
        if "kernel.ll" in stems:
            assert "kernel-optimized.ll" in stems and stems[-2:] == ["kernel.s", "kernel.cu"], files
        check_places(os.path.join(folder, [f for f in files if f.endswith("kernel.cu")][0]), name)
        # No stage is written that says what the one before it said.
        texts = [open(os.path.join(folder, f)).read() for f in files]
        for before, after, file in zip(texts, texts[1:], files[1:]):
            assert before != after, "%s changed nothing" % file

    test.__name__ = "trace_" + name
    return test


def check_test(name):
    def test(program):
        run = program.good("check", os.path.join(STDLIB, name + ".rxn"))
        check_in("%s: no errors\n" % name, run.out)
        for word in ("species", "reactions", "params", "observables", "conserved", "method", "form"):
            assert re.search(r"^  %s +\S" % word, run.out, re.M), (word, run.out)

    test.__name__ = "check_" + name
    return test


def library_test(name):
    def test(program):
        header, rows = program.table(os.path.join(STDLIB, name + ".rxn"), "-n", "8", *NEEDS.get(name, []))
        assert len(rows) > 1 and all(len(row) == len(header) for row in rows)

    test.__name__ = "run_" + name
    return test


def test_conservation_laws(program):
    run = program.good("check", os.path.join(STDLIB, "dimerisation.rxn"))
    check_in("  conserved    P + 2 P2 = 100\n", run.out)
    run = program.good("check", os.path.join(STDLIB, "michaelis_menten.rxn"))
    check_in("S + ES + P = 301", run.out)
    check_in("E + ES = 120", run.out)


def test_check_quiet(program):
    check_equal(program.good("check", os.path.join(STDLIB, "sir.rxn"), "--quiet").out, "")


def test_check_fails(program):
    run = program.bad(1, "check", program.file("wrong.rxn", "model wrong\nspecies A = 1\nA -> B @ 1\n"))
    check_in("wrong.rxn:3:6: error: ", run.err)


def test_check_of_many_weights(program):
    """A family of 200,704 weights costs what its text costs: 200 ms, and here ten times that at most, since
    the machine may be busy and the program instrumented."""
    model = os.path.join(ROOT, "tests", "bench", "models", "weights.rxn")
    best = 1e9
    for _ in range(3):
        started = time.monotonic()
        run = program.good("check", model)
        best = min(best, time.monotonic() - started)
    check_in("200,962", run.out)
    assert best < 2, "%.2f s" % best


def test_trace_needs_a_folder(program):
    check_equal(program.bad(2, "trace", os.path.join(STDLIB, "sir.rxn")).err, "error: no folder is given: -o DIR\n")
    blocked = program.file("file", "x")
    run = program.bad(1, "trace", os.path.join(STDLIB, "sir.rxn"), "-o", os.path.join(blocked, "x"))
    check_in("cannot be made: Not a directory", run.err)
    run = program.bad(1, "trace", os.path.join(STDLIB, "sir.rxn"), "-o", blocked)
    check_in("cannot be written: Not a directory", run.err)


if __name__ == "__main__":
    tests = [make(name) for make in (check_test, trace_test, library_test) for name in models()]
    tests += [f for name, f in list(globals().items()) if name.startswith("test_")]
    sys.exit(main(tests))
