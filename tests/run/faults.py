#!/usr/bin/env python3
"""Runs that cannot go on: the whole message of every kind of fault (rule 7 of the design's section 4).

    faults.py --rxn PATH [--device NAME] [--promote]

A case is faults/NAME.rxn, whose first line holds the command and its flags (`# run: -n 4 --seed 3`, `# grad: --of X
--at 2`), and faults/NAME.expected, all that standard error has to hold. --promote writes what the program says now.
Every fault is looked for with several numbers of threads and lanes: it has to be the same one.
"""

import os
import sys

from harness import HERE, check_equal, check_in, main

FOLDER = os.path.join(HERE, "faults")

# A million substeps, for which the interpreter takes its time.
SLOW = ["grad_stiff"] if os.environ.get("RXN_TEST_SANITIZED") else []


def names():
    return sorted(f[: -len(".rxn")] for f in os.listdir(FOLDER) if f.endswith(".rxn"))


def command_of(name):
    with open(os.path.join(FOLDER, name + ".rxn")) as f:
        mark, command, *flags = f.readline().split()
    assert mark == "#" and command in ("run:", "grad:"), "%s.rxn does not begin with its command" % name
    if command == "run:" and "--until" not in flags:
        flags += ["--until", "10"]
    return [command[:-1], name + ".rxn", "-o", "-"] + flags


def fault_test(name):
    def test(program):
        command = command_of(name)
        device = ["--device", program.device] if program.device else []
        run = program.bad(1, *command, *device, "--threads", "1", cwd=FOLDER)
        path = os.path.join(FOLDER, name + ".expected")
        if program.arguments.promote:
            with open(path, "w") as f:
                f.write(run.err)
            return
        with open(path) as f:
            check_equal(run.err, f.read(), "message")
        interpreted = [] if name in SLOW else [["--device", "interpreter"]]
        for variant in [["--threads", "3"], ["--lanes", "1"], ["--lanes", "4"]] + interpreted:
            again = program.bad(1, *command, *device, *variant, cwd=FOLDER)
            check_equal(again.err, run.err, "message with %s" % " ".join(variant))

    test.__name__ = name
    return test


def test_lowest_trajectory_wins(program):
    """Of many trajectories that fault, the one with the lowest number is named, with any number of threads."""
    model = program.file(
        "late.rxn", "model late\nspecies A = 0, B = 0\n0 -> A @ 1\n0 => B @ if A > 9 then 0 - 1 else 0\nsimulate until 4.5 every 1\n"
    )
    command = ["run", model, "-n", "20000", "-o", "-"]
    first = program.bad(1, *command, "--threads", "1").err
    assert "in trajectory" in first, first
    number = int(first.split("in trajectory ")[1].split(" ")[0])
    assert number > 0, "the first trajectory faults already; the test tests nothing"
    for threads in (2, 3, 5):
        check_equal(program.bad(1, *command, "--threads", threads).err, first, "message")
    # One trajectory less than that, and all is well; one more, and it is not.
    program.good("run", model, "-n", number, "-o", "-")
    program.bad(1, "run", model, "-n", number + 1, "-o", "-")


EXACT = ("direct-unrolled", "direct-table", "direct-table-full", "rejection", "rejection-sparse", "composition")


def test_counts_near_the_limit(program):
    """Nor is it of the others; and what one species gains in a reaction is no matter for another."""
    base = """model m
species A = 9007199254740992, B = 9007199254740992, C = 5, D = 9007199254740990, E, X[3] = 9007199254740992
B -> 0 @ 1e-14
0 -> C @ 30
C -> 0 @ 1
A -> A + 500 E @ 1e-15
D + C -> D + E @ 1e-15
X[1] -> X[1] + C @ 1e-15
every 0.25: D = 9007199254740991
"""
    near = program.file("near.rxn", base + "0 -> D @ 1e-9\n")
    over = program.file("over.rxn", base + "0 -> D @ 100\n")
    for method in EXACT:
        header, rows = program.table(near, "--method", method, "-n", "3", "--each", "--until", "1")
        for row in rows:
            state = dict(zip(header, row))
            check_equal([float(state[k]) for k in ("A", "X[0]", "X[1]", "X[2]")], [2.0**53] * 4, "what stays")
            assert 2.0**53 - 1000 < float(state["B"]) <= 2.0**53, row
            assert 2.0**53 - 2 <= float(state["D"]) < 2.0**53, row
        assert any(float(row[header.index("B")]) < 2.0**53 for row in rows), "nothing falls; the test tests less than it says"
        check_in("the count of 'D' grows past 2^53", program.bad(1, "run", over, "--method", method, "--until", "1").err)


def test_arrays_at_the_limit(program):
    """All members of an array gain the same: one that is at the limit is a fault, unless it is another's."""
    text = "model m\nspecies X[40] = %s\nfor i in 0 .. 39 { up: 0 -> X[i] @ 1 }\nat 0.5: X[7] = %s\n"
    for method in EXACT[1:]:
        program.good("run", program.file("below.rxn", text % (0, 9007199254740000)), "--method", method, "-n", "2", "--until", "1")
        error = program.bad(1, "run", program.file("at.rxn", text % (0, 9007199254740992)), "--method", method, "--until", "1").err
        check_in("the count of 'X[7]' grows past 2^53", error)


def test_counts_at_the_limit(program):
    """A count that begins at 2^53 and only falls, or stays, is no fault of the batch method."""
    text = "model m\nspecies A = 9007199254740992, B = 9007199254740992, C = 5\nB -> 0 @ 1e-14\n0 -> C @ %s\nC -> 0 @ 1\n"
    for births in ("300", "1e5"):  # single events; batches
        header, rows = program.table(program.file("limit.rxn", text % births), "--method", "batch", "-n", "3", "--each", "--until", "1")
        check_equal(header, ["trajectory", "time", "A", "B", "C"])
        for row in rows:
            check_equal(float(row[2]), 2.0**53, "A")
            assert 2.0**53 - 1000 < float(row[3]) <= 2.0**53, row
        assert any(float(row[3]) < 2.0**53 for row in rows), "nothing falls; the test tests less than it says"


def test_nothing_is_left_behind(program):
    """A fault leaves no file, and an old one as it was."""
    model = os.path.join(FOLDER, "negative_propensity.rxn")
    out, plot, json = program.file("out.csv", "old\n"), program.file("plot.svg"), program.file("run.json")
    program.bad(1, "run", model, "--until", "10", "-o", out, "--plot", plot, "--json", json)
    with open(out) as f:
        check_equal(f.read(), "old\n", "the old file")
    check_equal(sorted(os.listdir(program.folder)), ["out.csv"], "files")


if __name__ == "__main__":
    tests = [fault_test(name) for name in names()] + [test_lowest_trajectory_wins, test_counts_at_the_limit, test_counts_near_the_limit,
                                                 test_arrays_at_the_limit, test_nothing_is_left_behind]
    sys.exit(main(tests, lambda parser: parser.add_argument("--promote", action="store_true")))
