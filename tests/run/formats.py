#!/usr/bin/env python3
"""What `rxn run` writes: CSV, JSON, tables; where it writes it; when it records."""

import json
import math
import os
import re
import subprocess
import sys

from harness import STDLIB, check_equal, check_in, main

PAIR = """model pair
species A = 100, B = 0
param k = 0.1 in 1e-3 .. 10
decay: A -> B @ k
observe B, total = A + B
simulate until 10 every 2.5
"""

ARRAYS = """model arrays
index row = 2, col = 3
species W[row, col] = 1, H[4] = 2
for r in row { for c in col { W[r,c] -> 0 @ 1 } }
simulate until 1 every 1
"""


def test_statistics_csv(program):
    header, rows = program.table(program.file("pair.rxn", PAIR), "-n", "200")
    check_equal(header, ["time", "B.mean", "B.sd", "total.mean", "total.sd"], "header")
    check_equal([r[0] for r in rows], ["0", "2.5", "5", "7.5", "10"], "times")
    for row in rows:
        check_equal(row[3:], ["100", "0"], "a conserved total")
    assert 55 < float(rows[-1][1]) < 72, rows[-1]
    # Written so that it reads back to the very number: 17 significant digits.
    for cell in rows[-1]:
        check_equal("%.17g" % float(cell), cell, "cell")


def test_sd_is_of_n_minus_1(program):
    model = program.file("pair.rxn", PAIR)
    _, each = program.table(model, "-n", "7", "--each")
    _, rows = program.table(model, "-n", "7")
    for k, row in enumerate(rows):
        values = [float(r[2]) for r in each if r[1] == row[0]]
        check_equal(len(values), 7)
        mean = sum(values) / 7
        sd = (sum((v - mean) ** 2 for v in values) / 6) ** 0.5
        assert abs(float(row[1]) - mean) < 1e-12 * (1 + mean), (row, mean)
        assert abs(float(row[2]) - sd) < 1e-12 * (1 + sd), (row, sd)


def test_each_csv(program):
    header, rows = program.table(program.file("pair.rxn", PAIR), "-n", "3", "--each")
    check_equal(header, ["trajectory", "time", "B", "total"], "header")
    check_equal([r[0] for r in rows], [str(i) for i in range(3) for _ in range(5)], "trajectories")
    check_equal([r[1] for r in rows], ["0", "2.5", "5", "7.5", "10"] * 3, "times")
    for row in rows:
        assert re.fullmatch(r"\d+", row[2]), row
        check_equal(row[3], "100", "total")


def test_one_is_each(program):
    model = program.file("pair.rxn", PAIR)
    check_equal(program.table(model, "-n", "1"), program.table(model, "-n", "1", "--each"))


def test_arrays_are_quoted_where_needed(program):
    model = program.file("arrays.rxn", ARRAYS)
    run = program.good("run", model, "-n", "2", "-o", "-", "--quiet")
    first = run.out.splitlines()[0]
    check_in('"W[1,2].mean","W[1,2].sd",H[0].mean,H[0].sd', first)
    header, _ = program.table(model, "-n", "1")
    check_equal(header[2:], ["W[%d,%d]" % (r, c) for r in range(2) for c in range(3)] + ["H[%d]" % k for k in range(4)])


def test_everything_is_observed_by_default(program):
    text = "model all\nspecies A = 1, B = 2, C = 3\nA -> B @ 1\n"
    header, _ = program.table(program.file("all.rxn", text), "-n", "2", "--until", "1", "--every", "1")
    check_equal(header, ["time", "A.mean", "A.sd", "B.mean", "B.sd", "C.mean", "C.sd"])


def times(program, *flags, text=PAIR):
    _, rows = program.table(program.file("times.rxn", text), "-n", "2", *flags)
    return [float(r[0]) for r in rows]


def test_sample_times(program):
    check_equal(times(program, "--until", "5"), [0, 2.5, 5], "--until")
    check_equal(times(program, "--every", "4"), [0, 4, 8], "--every that does not meet the end")
    check_equal(times(program, "--at", "3,1,7"), [1, 3, 7], "--at")
    check_equal(times(program, "--at", "3", "--at", "1,3"), [1, 3], "--at twice")
    check_equal(times(program, "--at", "1", "--until", "5"), [1], "--at and --until")
    check_equal(times(program, "--at", "1", "--every", "5"), [0, 1, 5, 10], "--at and --every")
    check_equal(times(program, "--at", "0,1"), [0, 1], "time 0")
    # Multiples, not sums: the thousandth is 100, and the end is met although 0.1 is no binary fraction.
    tenths = times(program, "--until", "100", "--every", "0.1")
    check_equal(len(tenths), 1001)
    check_equal(tenths, [k * 0.1 for k in range(1000)] + [100.0], "tenths")
    bare = "model bare\nspecies A = 1\nA -> 0 @ 1\n"
    check_equal(len(times(program, "--until", "3", text=bare)), 101, "times without --every")


def test_without_times(program):
    model = program.file("bare.rxn", "model bare\nspecies A = 1\nA -> 0 @ 1\n")
    run = program.bad(1, "run", model)
    check_equal(
        run.err,
        "error: nothing says how long to simulate\n"
        "note: give --until T, or write 'simulate until T every DT' in the model\n",
    )


def test_json(program):
    model, path = program.file("pair.rxn", PAIR), program.file("run.json")
    program.good("run", model, "-n", "128", "--seed", "5", "--threads", "1", "--json", path, "--quiet")
    with open(path) as f:
        figures = json.load(f)
    expected = {"model": "pair", "method": "direct", "precision": "f64", "seed": 5, "trajectories": 128, "threads": 1}
    for key, value in expected.items():
        check_equal(figures[key], value, key)
    for key in ("device", "lanes", "isa", "version"):
        assert key in figures, key
    for key in ("seconds_compile", "seconds_run", "events_per_second"):
        assert figures[key] > 0, key
    # Every event moves one A to B.
    _, rows = program.table(model, "-n", "128", "--seed", "5")
    check_equal(figures["events"], round(float(rows[-1][1]) * 128), "events")


def test_json_of_the_master_equation(program):
    """Exact figures: no trajectory and no event is claimed. X is binomial: sd sqrt(10 p (1 - p)), p = exp(-1)."""
    model = program.file("decay.rxn", "model decay\nspecies X = 10\nX -> 0 @ 1\nsimulate until 1 every 1\n")
    run = program.good("run", model, "--method", "cme", "--device", "cpu", "--json", "-", "-o", program.file("x.csv"))
    figures = json.loads(run.out)
    check_equal([figures[key] for key in ("exact", "method", "trajectories", "events", "states")], [True, "cme", 0, 0, 11])
    assert 0 <= figures["lost_mass"] <= 1e-10 and figures["seconds_run"] > 0, figures
    sampled = json.loads(program.good("run", model, "-n", "3", "--json", "-").out)
    assert "exact" not in sampled and set(sampled) < set(figures), (sampled, figures)
    with open(program.file("x.csv")) as f:
        last = f.read().splitlines()[-1].split(",")
    p = math.exp(-1)
    assert abs(float(last[1]) - 10 * p) < 1e-8 and abs(float(last[2]) - math.sqrt(10 * p * (1 - p))) < 1e-8, last
    table = program.good("run", model, "--method", "cme", "--device", "cpu").out
    assert "3.68 ± 1.52" in table and "trajector" not in table, table
    check_in("master equation on 11 states, 10 transitions, in ", table)


def test_json_to_standard_output(program):
    run = program.good("run", program.file("pair.rxn", PAIR), "-n", "4", "--json", "-")
    check_equal(json.loads(run.out)["trajectories"], 4)


def test_table(program):
    run = program.good("run", program.file("pair.rxn", PAIR), "-n", "500", "--threads", "1")
    lines = run.out.splitlines()
    check_equal(lines[0].split(), ["time", "B", "total"], "header")
    check_equal(lines[1].split(), ["0", "0", "±", "0", "100", "±", "0"], "first row")
    check_equal(len(lines), 8, "lines")
    assert re.fullmatch(
        r"500 trajectories, [\d,]+ events in [^(]*s \(.* events/s\); direct, (cpu, f64, \d+ lanes? \(.*\)|interpreter, f64), "
        r"1 thread, seed 1",
        lines[-1],
    ), lines[-1]


def test_long_tables_are_cut(program):
    run = program.good("run", os.path.join(STDLIB, "hopping_line.rxn"), "-n", "3", "--until", "40", "--every", "0.5")
    lines = run.out.splitlines()
    assert len(lines) < 30, len(lines)
    assert max(len(line) for line in lines) < 200, max(lines, key=len)
    check_in("(20 of 81 sample times, 8 of 21 observables; -o FILE.csv writes all)", run.out)


def test_quiet(program):
    run = program.good("run", program.file("pair.rxn", PAIR), "--quiet")
    check_equal((run.out, run.err), ("", ""), "output")


def test_standard_input(program):
    run = program.good("run", "-", "-n", "3", "--each", "-o", "-", "--quiet", text=PAIR)
    from_file = program.good("run", program.file("pair.rxn", PAIR), "-n", "3", "--each", "-o", "-", "--quiet")
    check_equal(run.out, from_file.out)
    wrong = program.bad(1, "check", "-", text="model x\nspecies A = \n")
    check_in("<stdin>:2:", wrong.err)


def test_models_by_name(program):
    direct = program.table(os.path.join(STDLIB, "sir.rxn"), "-n", "2")
    check_equal(program.table("sir", "-n", "2"), direct, "a model that comes with rxn")
    program.file("mine.rxn", PAIR)
    header, _ = program.table("mine", "-n", "1", env={"RXN_PATH": "/nowhere:" + program.folder})
    check_equal(header, ["trajectory", "time", "B", "total"], "a model on RXN_PATH")


def test_used_files_are_found_beside(program):
    os.mkdir(program.file("parts"))
    program.file("parts/part.rxn", "model part\nspecies X = 5\nparam k = 1\nX -> 0 @ k\n")
    main_model = program.file("whole.rxn", 'model whole\nuse "parts/part.rxn" as p (k = 2)\nuse "telegraph.rxn" as gene\n')
    header, _ = program.table(main_model, "-n", "1", "--until", "1", "--every", "1")
    check_equal(header[:3], ["trajectory", "time", "p.X"])
    assert any(name.startswith("gene.") for name in header), header


def test_atomic_output(program):
    """-o replaces a file at once, follows no half-way state, and leaves nothing else."""
    model, out = program.file("pair.rxn", PAIR), program.file("out.csv", "old\n")
    program.good("run", model, "-n", "2", "-o", out, "--quiet")
    with open(out) as f:
        check_equal(f.readline(), "time,B.mean,B.sd,total.mean,total.sd\n")
    check_equal(sorted(os.listdir(program.folder)), ["out.csv", "pair.rxn"], "files")


def test_the_model_is_not_overwritten(program):
    model = program.file("pair.rxn", PAIR)
    for flags in (["-o", model], ["--json", model], ["-o", os.path.join(program.folder, ".", "pair.rxn")]):
        run = program.bad(1, "run", model, "-n", "2", *flags)
        check_in("is the model itself; it is not overwritten", run.err)
    with open(model) as f:
        check_equal(f.read(), PAIR, "the model")


READ = """error: '%s' is one of the files that are read; it is not overwritten
note: give the result a file of its own
"""


def test_what_is_read_is_not_overwritten(program):
    """By whatever name: values, inputs, and a model from standard input."""
    model = program.file("m.rxn", "model m\ninput x\nparam k = 1\nspecies A = 0\n0 -> A @ k * x\nsimulate until 1 every 1\n")
    contents = {"in.csv": "x\n2\n", "fitted.json": '{"parameters": [{"name": "k", "value": 3}]}\n'}
    paths = {name: program.file(name, text) for name, text in contents.items()}
    link, hard = program.file("link.csv"), program.file("hard.csv")
    os.symlink("in.csv", link)
    os.link(paths["in.csv"], hard)
    command = ["run", model, "-n", "2", "--input", paths["in.csv"], "--params", paths["fitted.json"]]
    dotted = os.path.join(program.folder, ".", "in.csv")
    for flags in (["-o", paths["in.csv"]], ["--json", paths["fitted.json"]], ["-o", dotted], ["-o", link], ["--json", hard]):
        check_equal(program.bad(1, *command, *flags).err, READ % flags[1], " ".join(flags))
    picture = program.file("in.svg", contents["in.csv"])
    run = program.bad(1, "run", model, "-n", "2", "--input", picture, "--plot", picture)
    check_equal(run.err, READ % picture, "--plot")
    gradient = ["grad", model, "--of", "A", "--at", "1", "-n", "2", "--input", paths["in.csv"]]
    check_equal(program.bad(1, *gradient, "-o", paths["in.csv"]).err, READ % paths["in.csv"], "grad")
    for name, text in contents.items():
        with open(paths[name]) as f:
            check_equal(f.read(), text, name)
    source = program.file("pair.rxn", PAIR)
    for command in (["run", "-", "-n", "2"], ["grad", "-", "--of", "B", "--at", "1", "-n", "2"], ["fmt", "-"], ["build", "-"]):
        with open(source) as f:
            done = subprocess.run([program.path] + command + ["-o", source], stdin=f, stderr=subprocess.PIPE, text=True)
        check_equal((done.returncode, done.stderr), (1, READ % source), " ".join(command))
    with open(source) as f:
        check_equal(f.read(), PAIR, "the model")
    program.good("run", source, "-n", "2", "-o", program.file("new.csv"), "--json", "/dev/null", "--quiet")


def test_outputs_of_one_name(program):
    """The second would replace the first, so neither is written."""
    model = program.file("pair.rxn", PAIR)
    old, new = program.file("old.csv", "old\n"), program.file("new.csv")
    os.symlink("old.csv", program.file("link.csv"))
    expected = "error: %s and %s cannot both be written to '%s'\nnote: give each a file of its own\n"
    dotted = os.path.join(program.folder, ".", "new.csv")
    for first, second in ((old, old), (new, new), (new, dotted), (old, program.file("link.csv"))):
        run = program.bad(2, "run", model, "-n", "2", "-o", first, "--json", second)
        check_equal(run.err, expected % ("-o", "--json", second), second)
        run = program.bad(2, "grad", model, "--of", "B", "--at", "1", "-o", first, "--json", second)
        check_equal(run.err, expected % ("-o", "--json", second), second)
    picture = program.file("x.svg")
    run = program.bad(2, "run", model, "-n", "2", "--json", picture, "--plot", picture)
    check_equal(run.err, expected % ("--json", "--plot", picture), "--plot")
    with open(old) as f:
        check_equal(f.read(), "old\n", "the old file")
    check_equal(sorted(os.listdir(program.folder)), ["link.csv", "old.csv", "pair.rxn"], "files")
    program.good("run", model, "-n", "2", "-o", "/dev/null", "--json", "/dev/null")
    os.mkdir(program.file("other"))
    program.good("run", model, "-n", "2", "-o", new, "--json", program.file(os.path.join("other", "new.csv")), "--quiet")


def test_links_and_descriptors_as_output(program):
    """A link stays one; what another program has opened is written on where it stands."""
    model, target = program.file("pair.rxn", PAIR), program.file("target.csv", "old\n")
    link = program.file("link.csv")
    os.symlink("target.csv", link)
    command = [program.path, "run", model, "-n", "2", "--quiet", "-o"]
    program.good(*command[1:], link)
    assert os.path.islink(link), "the link was replaced"
    with open(target) as f:
        check_equal(f.readline(), "time,B.mean,B.sd,total.mean,total.sd\n")
    with open(target, "w") as f:
        f.write("before\n")
    with open(target, "a") as f:
        subprocess.run(command + ["/dev/stdout"], stdout=f, check=True)
    with open(target) as f:
        check_equal(f.readline() + f.readline(), "before\ntime,B.mean,B.sd,total.mean,total.sd\n")


def test_unwritable_output(program):
    model = program.file("pair.rxn", PAIR)
    run = program.bad(1, "run", model, "-o", os.path.join(program.folder, "no", "such", "out.csv"))
    check_in("cannot be written: No such file or directory", run.err)
    run = program.bad(1, "run", model, "-o", program.folder)
    check_in("cannot be written: it is a directory", run.err)
    run = program.bad(1, "run", model, "-n", "100", "-o", "/dev/full")
    check_in("'/dev/full' cannot be written: No space left on device", run.err)


def test_unreadable_models(program):
    run = program.bad(1, "run", program.file("nothing.rxn"))
    check_in("nothing.rxn' cannot be read: No such file or directory", run.err)
    run = program.bad(1, "run", program.folder)
    check_in("cannot be read: it is a directory", run.err)
    with open(program.file("huge.rxn"), "wb") as f:
        f.truncate((64 << 20) + 1)
    run = program.bad(1, "check", program.file("huge.rxn"))
    check_in("cannot be read: it is larger than 64 MiB", run.err)


def test_locale(program):
    model = program.file("pair.rxn", PAIR)
    plain = program.table(model, "-n", "10")
    check_equal(program.table(model, "-n", "10", env={"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}), plain)


if __name__ == "__main__":
    sys.exit(main([f for name, f in list(globals().items()) if name.startswith("test_")]))
