#!/usr/bin/env python3
"""A trajectory is a function of model, parameters, seed and number alone (rule 1), and so is an ensemble.

Every trajectory of every model of the library, and of models with families, events and time-dependent
rates, has to be the same for all numbers of threads and lanes, in the interpreter, and in a larger
ensemble; in f64 and in f32.

    determinism.py --rxn PATH [--device NAME] [--part most|library_in_f32|all]
"""

import hashlib
import itertools
import os
import sys

from harness import NEEDS, STDLIB, check_equal, main, models

# Short enough for the interpreter: flags by model; the others run as they are.
SHORT = {
    "vilar_oscillator": ["--until", "3", "--every", "1"],
    "repressilator": ["--until", "6", "--every", "2"],
    "lotka_volterra": ["--until", "0.5", "--every", "0.1"],
    "schlogl": ["--until", "0.4", "--every", "0.1"],
    "immigration_death": ["--set", "alpha=20"],
}

OWN = {
    # A table of propensities (too many reactions to unroll), affine neighbours, events of all kinds.
    "chain": """model chain
const N = 150
species X[N] = 2
param d = 0.5
for s in 0 .. N-2 { hop: X[s] <-> X[s+1] @ d, d / 2 }
for s in 0 .. N-1 { gain: 0 => X[s] @ 0.1 / (1 + X[s]) }
at 1.5: X[0] = 40
every 1 from 0.5 until 3: X[3] = X[3] + 5
when X[1] > 8: X[1] = 0
observe X[0], X[1], X[3], total = sum(s in 0 .. N-1: X[s])
simulate until 4 every 0.5
""",
    # Means of what is infinite in some trajectories, or not a number.
    "infinite": """model infinite
species A = 3, B = 1
A -> 0 @ 1
B -> 0 @ 1
observe A, over = 1/A, under = -1/A, both = 1/A - 1/B, log = log(B)
simulate until 3 every 0.5
""",
    # Thinning, and a rate that is piecewise constant.
    "season": """model season
species A = 5, B = 0
make: 0 => A @ 3 + 2 * sin(t)
turn: A => B @ if t < 2 then 0.3 * A else 0.9 * A
lose: B -> 0 @ 0.2
simulate until 6 every 0.5
""",
}


def model_of(program, name):
    if name in OWN:
        return program.file(name + ".rxn", OWN[name])
    return os.path.join(STDLIB, name + ".rxn")


def each(program, name, n, *flags):
    """The whole --each output, without its header. A kernel is compiled once."""
    command = ["run", model_of(program, name), "-n", n, "--each", "--quiet", "-o", "-"]
    command += SHORT.get(name, []) + NEEDS.get(name, []) + list(flags)
    kept = os.environ.get("RXN_CACHE") or program.file("kernels")
    return program.good(*command, env={"RXN_CACHE": kept}).out.split("\n", 1)[1]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def same_test(name, precision):
    def test(program):
        flags = ["--precision", precision, "--seed", "12"]
        n = 67 if name in OWN else 100
        plain = each(program, name, n, *flags, "--threads", "1")
        assert len(plain.splitlines()) >= n, plain
        lanes = (1, 2, 8, 32) if precision == "f64" else (1, 4, 16, 32)
        variants = [["--threads", k] for k in (2, 3)] + [["--lanes", w] for w in lanes]
        for variant in variants:
            got = each(program, name, n, *flags, *variant)
            check_equal(digest(got), digest(plain), "trajectories with %s" % " ".join(map(str, variant)))
        # The interpreter is the oracle; it is slow, so it does the first few.
        few = each(program, name, 5, *flags, "--device", "interpreter")
        assert plain.startswith(few), "the interpreter differs:\n%s\nfrom:\n%s" % (few[:2000], plain[: len(few)][:2000])
        # Trajectory i does not depend on how many there are.
        assert plain.startswith(each(program, name, 10, *flags)), "the first 10 of 10 differ from those of %d" % n
        # And the seed does matter.
        other = each(program, name, n, "--precision", precision, "--seed", "13")
        assert other != plain, "another seed gives the same"

    test.__name__ = "%s_%s" % (name, precision)
    return test


def test_both_forms(program):
    """The form with a table of propensities, and the methods for large networks, on models for which another one is chosen."""
    for name, form in itertools.product(("dimerisation", "vilar_oscillator", "dosing", "day_night"),
                                        ("direct-table", "rejection", "rejection-sparse", "composition")):
        flags = ["--method", form, "--seed", "4"]
        plain = each(program, name, 70, *flags)
        for variant in (["--lanes", "1"], ["--lanes", "4"], ["--lanes", "32"], ["--threads", "3"]):
            check_equal(digest(each(program, name, 70, *flags, *variant)), digest(plain), "%s, %s with %s" % (name, form, variant))
        few = each(program, name, 4, *flags, "--device", "interpreter")
        assert plain.startswith(few), "the interpreter differs in %s" % name


def test_infinite_means(program):
    """What is infinite in some trajectories is so in the mean, and has no standard deviation: as numpy has it."""
    command = ["run", model_of(program, "infinite"), "-n", "2000", "-o", "-", "--quiet"]
    plain = program.good(*command).out
    header, *_, last = [line.split(",") for line in plain.splitlines()]
    got = dict(zip(header, last))
    check_equal([got[k] for k in ("over.mean", "over.sd", "under.mean", "both.mean", "both.sd", "log.mean", "log.sd")],
                ["inf", "nan", "-inf", "nan", "nan", "-inf", "nan"], "means")
    assert float(got["A.sd"]) > 0
    check_equal(program.good(*command, "--device", "interpreter").out, plain, "the interpreter")


def test_batches(program):
    """Large populations, where lanes are at different things: batches, single events, samples that cut them short."""
    text = """model lotka
param V = 1e5
species X = 1.2 * V, Y = 0.8 * V, G = 0
X -> 2 X @ 1
X + Y -> 2 Y @ 1 / V
Y -> 0 @ 1
0 -> G @ 5
G + X -> X @ 20 / V
at 0.35: X = floor(X / 100)
simulate until 1 every 0.09
"""
    model = program.file("lotka.rxn", text)
    for flags in ([model, "--method", "batch"], [os.path.join(STDLIB, "dosing.rxn"), "--method", "batch-short"]):
        command = ["run", *flags, "-n", "40", "--each", "--quiet", "-o", "-", "--seed", "5"]
        plain = program.good(*command, "--threads", "1").out
        for variant in (["--lanes", "1"], ["--lanes", "4"], ["--lanes", "32"], ["--threads", "3"], ["--precision", "f32"]):
            check_equal(digest(program.good(*command, *variant).out), digest(plain), "%s with %s" % (flags, variant))
        command[command.index("40")] = "3"
        few = program.good(*command, "--device", "interpreter").out
        assert plain.startswith(few), "the interpreter differs"


def test_statistics_do_not_depend_on_threads(program):
    for name in ("dimerisation", "sir", "hopping_line", "infinite"):
        command = ["run", model_of(program, name), "-n", "20000", "-o", "-", "--quiet"]
        one = program.good(*command, "--threads", "1").out
        for flags in (["--threads", "2"], ["--threads", "3"], ["--threads", "7"], ["--lanes", "2"]):
            check_equal(digest(program.good(*command, *flags).out), digest(one), "%s with %s" % (name, flags))


def test_a_large_ensemble_begins_like_a_small_one(program):
    for n in (1, 2, 63, 64, 65, 999):
        small = each(program, "sir", n)
        assert each(program, "sir", 1000).startswith(small), n


def test_impossible_reactions_never_fire(program):
    """Rates that differ by 300 orders of magnitude: rounding must not pick a reaction of propensity 0."""
    text = """model extremes
species A = 1, B = 0, never = 0, Z = 0
none_first: Z -> never       @ 1e250
fast:       A -> B           @ 1e150
back:       B -> A           @ 1e-150
flip:       A => A + never   @ if A > 2 then 1 else 0
none_mid:   2 A -> never     @ 1e250
slow:       0 => B           @ 1e-300
none_last:  Z + A -> never   @ 1e260
observe A, B, never, Z
simulate until 1e-140 every 1e-141
"""
    model = program.file("extremes.rxn", text)
    _, rows = program.table(model, "-n", "20000", "--each")
    check_equal({r[4] for r in rows}, {"0"}, "fired although impossible")
    assert {r[3] for r in rows} >= {"0", "1"}, "nothing happened at all"
    # Many reactions, of which one can fire; the last ones cannot, nor can the first.
    text = """model needle
const N = 60
species X[N] = 0, hits = 0, other = 0
param which = 37
for s in 0 .. N-1 { r: 0 => other @ if s == which then 0 else 0 }
only: 0 -> hits @ 3
for s in 0 .. N-1 { q: X[s] -> other @ 1e6 }
observe hits, other
simulate until 10 every 5
"""
    model = program.file("needle.rxn", text)
    for precision in ("f64", "f32"):
        _, rows = program.table(model, "-n", "5000", "--each", "--precision", precision)
        check_equal({r[3] for r in rows}, {"0"}, "fired although impossible")


def test_both_forms_count_steps_alike(program):
    """In f32 the unrolled form makes two steps at a time; the limit must be neither early nor late."""
    for count in (2, 3):
        model = program.file("few.rxn", "model few\nspecies A = %d\nA -> 0 @ 1\nsimulate until 100 every 100\n" % count)
        for form in ("direct-unrolled", "direct-table"):
            for precision in ("f64", "f32"):
                run = ["run", model, "--method", form, "--precision", precision, "--quiet", "-o", "-"]
                enough = [k for k in range(1, 9) if program.call(*run, "--step-limit", k).status == 0]
                # The reactions, and the wait that goes past the end.
                check_equal(enough, list(range(count + 1, 9)), "limits that suffice, %s %s" % (form, precision))


def test_families_may_begin_anywhere(program):
    """A family from 2 to 4, with what the compiler computes once (w[s]*w[s]*3), is its members one by one."""
    head = "model m\nparam w[6] = 1\nspecies X[6] = 0\n"
    tail = "simulate until 5 every 5\n"
    family = head + "for s in 2 .. 4 { a: 0 -> X[s] @ w[s]*w[s]*3 }\n" + tail
    members = head + "".join("a%d: 0 -> X[%d] @ w[%d]*w[%d]*3\n" % (s, s, s, s) for s in (2, 3, 4)) + tail
    flags = ["-n", "20", "--each", "--set", "w[0]=0", "--set", "w[3]=2", "--set", "w[4]=0.5"]
    for form in ("direct-unrolled", "direct-table", "rejection", "rejection-sparse", "composition"):
        tables = [program.table(program.file("f.rxn", text), *flags, "--method", form) for text in (family, members)]
        check_equal(tables[0], tables[1], "family and members, " + form)
        assert any(row[4] != "0" for row in tables[0][1]), "nothing fired"


def test_a_dead_state_holds(program):
    """When nothing can fire any more the state holds, and events still come."""
    text = "model dead\nspecies A = 3\nA -> 0 @ 100\nat 5: A = 2\nsimulate until 9 every 1\n"
    _, rows = program.table(program.file("dead.rxn", text), "-n", "50", "--each")
    for row in rows:
        t, a = float(row[1]), int(row[2])
        if 1 < t < 5 or t > 6:
            check_equal(a, 0, "A at %g" % t)
        if t == 5:
            check_equal(a, 2, "A at its event: right-continuous")


if __name__ == "__main__":
    most = [same_test(name, precision) for name, precision in [(m, "f64") for m in models()] + list(itertools.product(sorted(OWN), ("f64", "f32")))]
    most += [f for name, f in list(globals().items()) if name.startswith("test_")]
    parts = {"most": most, "library_in_f32": [same_test(name, "f32") for name in models()]}
    parts["all"] = parts["most"] + parts["library_in_f32"]
    chosen = sys.argv[sys.argv.index("--part") + 1] if "--part" in sys.argv else "all"
    sys.exit(main(parts.get(chosen, []), lambda parser: parser.add_argument("--part", choices=sorted(parts), default="all")))
