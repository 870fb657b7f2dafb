#!/usr/bin/env python3
"""Control variates from outside: `rxn run --control-variates`, and the pilot of `rxn grad`'s martingale."""

import json
import os
import sys

from harness import STDLIB, check_equal, check_in, main

DIMER = os.path.join(STDLIB, "dimerisation.rxn")
CONTROL = ["--control-variates", "--at", "0,3,7"]

# Events of all kinds and a rate that depends on time.
EVENTS = """model events
species X = 10, Y = 5
param k = 20 in 1 .. 100
param g = 1 in 0.1 .. 10
0 => X @ k * (1 + 0.5*sin(3*t))
X -> 0 @ g
X + Y -> 2 Y @ 0.05
Y -> 0 @ g
at 0.7: X = 30, Y = Y + 3
every 0.5 from 0.25: Y = Y + 1
when X > 25: X = 12
simulate until 2 every 0.5
"""


def test_table_form(program):
    header, rows = program.table(DIMER, "-n", "400", *CONTROL)
    check_equal(header, ["time", "P.mean", "P.sd", "P.se", "P2.mean", "P2.sd", "P2.se"])
    check_equal(rows[0], ["0", "100", "0", "0", "0", "0", "0"])
    plain = program.table(DIMER, "-n", "400", "--at", "0,3,7")[1]
    for row, other in zip(rows, plain):
        # The same trajectories: what is not the mean is what it is without.
        check_equal((float(row[2]), float(row[5])), (float(other[2]), float(other[4])))
        # P + 2 P2 is conserved, in their means too.
        total = float(row[1]) + 2 * float(row[4])
        assert abs(total - 100) < 1e-6, "P + 2 P2 is %.17g" % total
    for row in rows[1:]:
        assert float(row[3]) < float(row[2]) / 20 / 3, "no gain in %r" % row
    text = program.good("run", DIMER, "-n", "400", *CONTROL).out
    check_in("± is the standard error of the mean; its variance is ", text)
    check_in(" times less than without control variates (fitted to a pilot of 250 trajectories)\n", text)


def test_json(program):
    run = program.good("run", DIMER, "-n", "3000", "--quiet", "--json", "-", *CONTROL)
    figures = json.loads(run.out)
    check_equal((figures["pilot"], figures["trajectories"], figures["method"]), (300, 3000, "direct-unrolled"))
    least, most = figures["variance_reduction"]
    assert 20 < least <= most, "the variance is less by %r .. %r" % (least, most)
    run = program.good("run", DIMER, "-n", "3000", "--quiet", "--json", "-", "--pilot", "77", *CONTROL)
    check_equal(json.loads(run.out)["pilot"], 77)
    assert "pilot" not in json.loads(program.good("run", DIMER, "--quiet", "--json", "-").out)


def test_other_methods(program):
    """Where another method would have been chosen, that is said."""
    model = program.file("many.rxn", "model many\nspecies A = 1000000\n0 -> A @ 1e6\nA -> 0 @ 1\nsimulate until 10 every 1\n")
    command = ["run", model, "--at", "1e-4", "-n", "10", "--control-variates", "--pilot", "20", "--quiet", "-o", os.devnull]
    check_in("method       batch: at the start some 1.6e+03 reactions can be drawn together", program.good("check", model).out)
    check_equal(program.good(*command).err,
                "note: control variates take the method direct-unrolled, which makes one event after another; without them it "
                "would be 'batch': at the start some 1.6e+03 reactions can be drawn together\n")
    check_equal(program.good(*command, "--method", "direct").err, "", "asked for by name")
    check_equal(program.good("run", DIMER, "-n", "400", "--quiet", "-o", os.devnull, *CONTROL).err, "", "where it is direct anyway")


def test_is_the_same_on_all_threads(program):
    model = program.file("events.rxn", EVENTS)
    for path in (DIMER, model):
        wanted = ["run", path, "-n", "500", "--control-variates", "--quiet", "-o", "-"]
        first = program.good(*wanted, "--threads", "1").out
        check_equal(program.good(*wanted, "--threads", "2").out, first)
        check_equal(program.good(*wanted, "--threads", "2", "--lanes", "4").out, first)
        assert program.good(*wanted, "--seed", "2").out != first


def test_interpreter_agrees(program):
    model = program.file("events.rxn", EVENTS)
    wanted = ["-n", "40", "--pilot", "20", "--quiet"]
    for precision in ("f64", "f32"):
        run = ["run", model, "--control-variates", "-o", "-", "--precision", precision] + wanted
        check_equal(program.good(*run, "--device", "interpreter").out, program.good(*run).out)
        grad = ["grad", model, "--of", "X*Y + average(X)", "--at", "2", "--estimator", "martingale", "-o", "-"]
        grad += ["--precision", precision] + wanted
        check_equal(program.good(*grad, "--device", "interpreter").out, program.good(*grad).out)


def test_pilot_of_grad(program):
    grad = ["grad", DIMER, "--of", "P", "--at", "5", "--estimator", "martingale", "-n", "1000", "--quiet"]
    entry = json.loads(program.good(*grad, "--json", "-").out)[0]
    check_in("a pilot of 250 trajectories", entry["remarks"])
    other = json.loads(program.good(*grad, "--json", "-", "--pilot", "500").out)[0]
    check_in("a pilot of 500 trajectories", other["remarks"])
    assert entry["parameters"] != other["parameters"], "the pilot plays no part"
    assert entry["unbiased"] is True


def test_refusals(program):
    def message(status, *arguments):
        return program.bad(status, *arguments).err

    run = ["run", DIMER, "--control-variates"]
    check_equal(message(2, *run, "--each"),
                "error: --control-variates is for means, of which there are none with --each\n")
    check_equal(message(2, *run, "-n", "1"),
                "error: --control-variates is for means, of which there are none with -n 1\n")
    check_equal(message(2, *run, "--method", "direct-table"),
                "error: --control-variates needs the method direct-unrolled, not 'direct-table'\n")
    check_equal(message(2, *run, "--pilot", "1"), "error: --pilot takes 2 .. 1000000\n")
    check_equal(message(2, "run", DIMER, "--pilot", "100"), "error: --pilot goes with --control-variates\n")
    check_equal(message(1, *run, "--every", "1e-3"),
                "error: --control-variates cannot be used here: 50001 sample times of 2 observables are "
                "100002 means, and it takes up to 5000\n"
                "note: fewer sample times (--every, --at) or observables will do\n")
    many = program.file("many.rxn", "model many\nindex g = 300\nspecies X[g] = 1\n"
                        "for i in g { X[i] -> 0 @ 1 }\nobserve all = sum(i in g: X[i])\nsimulate until 1 every 1\n")
    check_equal(message(1, "run", many, "--control-variates"),
                "error: --control-variates cannot be used here: it takes up to 200 species that change, of which "
                "no conservation law gives the count; here are 300\n")
    check_in("'score' differentiates that",
             message(1, "grad", DIMER, "--of", "passage(P < 90)", "--at", "5", "--estimator", "martingale"))


def test_fault_in_the_pilot(program):
    path = program.file("negative.rxn", "model negative\nspecies A = 3\nA => 0 @ 2 - A\nsimulate until 1 every 1\n")
    error = program.bad(1, "run", path, "--control-variates", "-n", "100").err
    check_in("that was in the pilot ensemble, which the control variate is fitted to", error)


if __name__ == "__main__":
    sys.exit(main([f for name, f in list(globals().items()) if name.startswith("test_")]))
