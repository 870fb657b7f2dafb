#!/usr/bin/env python3
"""The command line: what is refused, with the whole message; what sets parameters and inputs."""

import os
import re
import sys

from harness import SMALL, STDLIB, Run, Skipped, check_equal, check_in, main

MODEL = """model small
species A = 50
param k = 0.1 in 1e-3 .. 10
param scale = 2 * k
index g = 3, p = 2
param W[g, p] = 0.5
input x[g], label
A -> 0 @ k * scale
for i in g { 0 => A @ W[i,0] * x[i] + W[i,1] * label }
simulate until 2 every 1
"""


def message(program, *arguments, status=2, **options):
    return program.bad(status, *arguments, **options).err


def test_unknown_options(program):
    check_equal(message(program, "run", "x.rxn", "--thread", "2"), "error: unknown option '--thread'\nnote: did you mean '--threads'?\n")
    check_equal(message(program, "run", "x.rxn", "--seeed=3"), "error: unknown option '--seeed'\nnote: did you mean '--seed'?\n")
    check_equal(message(program, "run", "x.rxn", "--zzzzzz"), "error: unknown option '--zzzzzz'\nnote: 'rxn run --help' lists the options\n")
    check_equal(message(program, "check", "x.rxn", "-n", "3"), "error: unknown option '-n'\nnote: 'rxn check --help' lists the options\nerror: '3' is one MODEL too many\n")


def test_bad_values(program):
    cases = [
        (["-n", "0"], "error: -n is 0; at least one trajectory is needed\n"),
        (["-n", "-3"], "error: -n takes a whole number, not '-3'\n"),
        (["-n", "1.5"], "error: -n takes a whole number, not '1.5'\n"),
        (["-n", "18446744073709551615"], "error: -n takes a whole number below 2^64 - 1, not '18446744073709551615'\n"),
        (["-n"], "error: -n needs a value: -n N\n"),
        (["--seed", "x"], "error: --seed takes a whole number, not 'x'\n"),
        (["--until", "ten"], "error: --until takes a number, not 'ten'\n"),
        (["--at", "1,,2"], "error: --at takes numbers with commas between, not '1,,2'\n"),
        (["--every", "nan"], "error: --every takes a number, not 'nan'\n"),
        (["--quiet=yes"], "error: --quiet takes no value\n"),
        (["--precision", "f16"], "error: there is no precision 'f16'\nnote: precisions: f64, f32\n"),
        (["--lanes", "3"], "error: --lanes takes 1, 2, 4, 8, 16 or 32\n"),
        (["--plot", "x.pdf"], "error: --plot takes a name that ends in .svg or .png, not 'x.pdf'\n"),
        (["-o", "-", "--json", "-"], "error: -o and --json cannot both go to standard output\n"),
        (["--threads", "1e9"], "error: --threads 1000000000 is more than 4096\n"),
        (["second.rxn"], "error: 'second.rxn' is one MODEL too many\n"),
    ]
    model = os.path.join(STDLIB, "sir.rxn")
    for flags, expected in cases:
        check_equal(message(program, "run", model, *flags), expected, " ".join(flags))


def test_times_that_are_none(program):
    model = program.file("small.rxn", SMALL)
    for flags, name in ((["--at", "-1"], "the last time of --at is -1"), (["--until", "0"], "--until is 0")):
        check_equal(message(program, "run", model, *flags, status=1), "error: %s; it has to be a positive time\n" % name)


def test_several_mistakes_in_one_go(program):
    check_equal(
        message(program, "run", os.path.join(STDLIB, "sir.rxn"), "-n", "x", "--sed", "1", "--until"),
        "error: -n takes a whole number, not 'x'\nerror: unknown option '--sed'\nnote: did you mean '--seed'?\n"
        "error: --until needs a value: --until T\n",
    )


def test_methods_and_devices(program):
    model = os.path.join(STDLIB, "sir.rxn")
    err = message(program, "run", model, "--method", "fast")
    assert err.startswith("error: there is no method 'fast'\nnote: methods: auto, cme, direct"), err
    err = message(program, "build", model, "--method", "cme", "--emit", "kir")
    check_in("error: the method 'cme' solves equations: it has no kernel that could be built or shown", err)
    check_equal(message(program, "run", model, "--device", "gpu"), "error: there is no device 'gpu'\nnote: devices: auto, cpu, cuda, cuda:0,1\n")
    check_equal(
        message(program, "run", model, "--device", "cuda:x"),
        "error: --device cuda: takes numbers of GPUs, as in 'cuda:0,1', or 'all', not 'x'\n",
    )
    program.good("run", model, "-n", "2", "--method", "direct")


def test_where_batches_do_not_apply(program):
    """The reason, whole; and what `check` says where they do."""
    reasons = {
        "when A > 3: A = 0": "it draws many reactions together, and a 'when' looks at each",
        "up: A => B @ A * (1 + sin(t))": "the rate of 'up' changes with time",
        "A => B @ A * (1 + sin(B))":
            "it draws reactions together while their rates keep to bounds, and a rate has a sine, cosine or tangent of a count",
    }
    for line, reason in reasons.items():
        model = program.file("no_batch.rxn", "model m\nspecies A = 5, B = 0\nA -> B @ 1\n%s\nsimulate until 1 every 1\n" % line)
        check_equal(
            program.bad(1, "run", model, "--method", "batch").err,
            "error: the method 'batch' cannot simulate this model: %s\nnote: --method auto takes one that can\n" % reason,
        )
    text = "model m\nspecies A = %s\n0 -> A @ 1e8\nA -> 0 @ 1\nsimulate until 1 every 1\n"
    check = program.good("check", program.file("many.rxn", text % "100000000")).out
    check_in("method       batch: at the start some 1.6e+04 reactions can be drawn together", check)
    assert "method       direct" in program.good("check", program.file("few.rxn", text % "100")).out, "few"


def test_networks_that_no_method_takes(program):
    """One reason, of the method that takes the largest; and no hint at a choice that has none."""
    model = program.file("large.rxn", "model large\nindex i = 1000001\nspecies A[i] = 0\nfor k in i { A[k] -> 0 @ 1 }\nsimulate until 1 every 1\n")
    reason = "tables of propensities are for up to 1000000 reactions and 1000000 species; this network has 1000001 and 1000001\n"
    check_equal(message(program, "run", model, "-n", "1", status=1), "error: no method can simulate this model: " + reason)
    check_equal(message(program, "run", model, "--method", "rejection", status=1),
                "error: the method 'rejection' cannot simulate this model: " + reason)
    check_equal(message(program, "run", model, "--method", "batch", status=1),
                "error: the method 'batch' cannot simulate this model: it takes up to 200 reactions and species; "
                "this network has 1000001 and 1000001\n")


def test_commands(program):
    check_equal(message(program, "rnu"), "error: there is no command 'rnu'\nnote: did you mean 'rxn run'?\n")
    check_equal(message(program, "simulate"), "error: there is no command 'simulate'\nnote: 'rxn --help' lists the commands\n")
    run = program.call(text="")
    check_equal((run.status, run.out, run.err), (0, "", ""), "plain rxn, which reads a script")
    check_in("usage: rxn COMMAND", program.good("--help").out)
    check_in("usage: rxn run MODEL", program.good("run", "--help").out)
    assert program.good("--version").out.startswith("rxn "), "version"
    check_equal(message(program, "run"), "error: no MODEL is given\nnote: usage: rxn run MODEL [OPTION…]\n")


def test_closed_streams(program):
    """What is meant for a stream that is closed goes into no file that is opened later."""
    model = os.path.join(STDLIB, "sir.rxn")
    shell = lambda line: Run(["sh", "-c", '"$0" run "$1" -n 2 --quiet ' + line, program.path, model], cwd=program.folder)
    run = shell("-o - >&-")
    check_equal((run.status, run.out), (1, ""), "closed standard output")
    check_in("cannot be written", run.err)
    check_equal(shell("--nonsense -o closed.csv 2>&-").status, 2, "closed standard error")
    check_equal(shell("-o closed.csv 2>&- <&-").status, 0, "closed standard error and input")
    with open(program.file("closed.csv")) as f:
        assert f.readline().startswith("time,"), "something stands before the results"


def test_seeds_at_their_end(program):
    model = program.file("small.rxn", SMALL)
    last = [program.table(model, "-n", "20", "--seed", seed) for seed in ("18446744073709551615", "1")]
    assert last[0] != last[1], "the last seed is the first"


def test_the_first_sample(program):
    """0 is a time of the grid, however soon the end is."""
    model = program.file("small.rxn", SMALL)
    rows = program.table(model, "-n", "2", "--until", "1e-9", "--every", "10")[1]
    check_equal([float(row[0]) for row in rows], [0.0])


def test_forms_of_options(program):
    model = os.path.join(STDLIB, "sir.rxn")
    plain = program.table(model, "-n", "5", "--seed", "3", "--until", "4", "--every", "2")
    check_equal(program.table("-n=5", "--seed=3", model, "--until=4", "--every=2"), plain, "with =")
    check_equal(program.table("-n", "5e0", "--until", "4.0", "--every", "2", "--seed", "3", model), plain, "the model last")
    run = program.good("run", "-n", "5", "--seed", "3", "--until", "4", "--every", "2", "--quiet", "-o", "-", "--", model)
    check_equal(len(run.out.splitlines()), 4, "lines after --")


def each(program, *flags, **options):
    return program.table(program.file("small.rxn", MODEL), "-n", "3", "--each", *flags, **options)


def test_set(program):
    inputs = ["--set", "x=1", "--set", "label=0"]
    plain = each(program, *inputs)
    check_equal(each(program, "--set", "x[0]=1", "--set", "x[1]=1", "--set", "x[ 2 ] = 1", "--set", "label=0"), plain, "by member")
    check_equal(each(program, *inputs, "--set", "k=0.1"), plain, "the default")
    check_equal(each(program, *inputs, "--set", "W[1,0]=0.5"), plain, "a member's default")
    assert each(program, *inputs, "--set", "W[1,0]=5") != plain, "a member"
    assert each(program, *inputs, "--set", "k=0.2") != plain, "a param"
    # `scale` follows k, unless it is set itself.
    check_equal(
        each(program, *inputs, "--set", "k=0.2"), each(program, *inputs, "--set", "k=0.2", "--set", "scale=0.4"), "derived"
    )
    # The last one counts.
    check_equal(each(program, *inputs, "--set", "k=5", "--set", "k=0.1"), plain, "twice")


def test_set_mistakes(program):
    model = program.file("small.rxn", MODEL)
    cases = [
        ("kk=1", "error: the model has no param or input 'kk'\nnote: did you mean 'k'?\n"),
        ("zebra=1", "error: the model has no param or input 'zebra'\nnote: it has k, scale, W, x, label\n"),
        ("A=3", "error: 'A' is a species; only params and inputs can be set\nnote: its initial value can be a param: 'param A0 = …', 'species A = A0'\n"),
        ("k", "error: --set takes name=value, not 'k'\n"),
        ("=3", "error: --set takes name=value, not '=3'\n"),
        ("k=fast", "error: --set k: 'fast' is not a number\n"),
        ("k=", "error: --set k: '' is not a number\n"),
        ("k=inf", "error: --set k: 'inf' is not a number\n"),
        ("k=11", "error: k = 11 is outside of its bounds 0.001 .. 10\n"),
        ("W[3,0]=1", "error: 'W[3,0]': the index 3 is not in 0 .. 2\n"),
        ("W[0]=1", "error: 'W[0]' has 1 index, param 'W' takes 2\n"),
        ("x[0,0]=1", "error: 'x[0,0]' has 2 indices, input 'x' takes 1\n"),
        ("x[a]=1", "error: 'x[a]' is not of the form name[3] or name[3,1]\n"),
        ("x[1=1", "error: 'x[1' is not of the form name[3] or name[3,1]\n"),
    ]
    for text, expected in cases:
        check_equal(message(program, "run", model, "--set", text, status=1), expected, text)


def test_missing_values(program):
    model = program.file("small.rxn", MODEL)
    check_equal(
        message(program, "run", model, "--set", "x[1]=1", status=1),
        "error: inputs are not given: 'x' (2 of 3 values), 'label'\nnote: give them with --input FILE.csv or --set x=…\n",
    )
    bare = program.file("bare.rxn", "model bare\nspecies A = 1\nparam k, h[3]\nA -> 0 @ k + h[0]\nsimulate until 1 every 1\n")
    check_equal(
        message(program, "run", bare, status=1),
        "error: param 'k' has no value\nnote: give it one: --set k=…, or 'param k = …' in the model\n"
        "error: param 'h' lacks 3 of its 3 values\nnote: give it one: --set h=…, or 'param h = …' in the model\n",
    )
    program.good("run", bare, "-n", "2", "--set", "k=1", "--set", "h=2")


def test_input_files(program):
    plain = each(program, "--set", "x[0]=0.25", "--set", "x[1]=1", "--set", "x[2]=3", "--set", "label=2")
    columns = program.file("columns.csv", "x,label\n0.25,2\n1,\n3,\n")
    check_equal(each(program, "--input", columns), plain, "columns")
    members = program.file("members.csv", '\ufeffx[0],"x[1]", x[2] ,label\r\n0.25,1,3,2\r\n')
    check_equal(each(program, "--input", members), plain, "a column for each member")
    pairs = program.file("pairs.csv", 'name,value\nx,3\nx[0],0.25\n"x[1]",1\n\nlabel,2\n')
    check_equal(each(program, "--input", pairs), plain, "pairs")
    # --set counts more than the file.
    check_equal(each(program, "--input", program.file("label.csv", "x,label\n0.25,9\n1,\n3,\n"), "--set", "label=2"), plain)


def test_input_file_mistakes(program):
    model = program.file("small.rxn", MODEL)
    cases = [
        ("", "'in.csv' is empty; a CSV file begins with a line of names"),
        ("y,label\n1,2\n", "the model has no param or input 'y'"),
        ("x,label\n1,2\n", "in.csv: the column 'x' has 1 values; it needs 3"),
        ("label\n1\n2\n", "in.csv: line 3: the column 'label' has more than its 1 value"),
        ("label\nred\n", "in.csv: line 2: 'red' is not a number"),
        ("label\n1,2\n", "in.csv: line 2 has more cells than the header"),
        ("name,value\nlabel\n", "in.csv: line 2 is not of the form name,value"),
        ("k\n50\n", "k = 50 is outside of its bounds 0.001 .. 10"),
    ]
    for text, expected in cases:
        program.file("in.csv", text)
        err = message(program, "run", model, "--input", "in.csv", status=1, cwd=program.folder)
        check_in("error: %s\n" % expected, err)
    err = message(program, "run", model, "--input", "none.csv", status=1)
    check_equal(err, "error: 'none.csv' cannot be read: No such file or directory\n")


def test_drawn_params(program):
    """`~` draws from the seed and the member's number alone; --set replaces a draw."""
    observed = ", ".join("W%d = W[%d]" % (k, k) for k in range(40)) + ", " + ", ".join("u%d = u[%d]" % (k, k) for k in range(40))
    text = (
        "model drawn\nindex g = 40\nparam W[g] ~ normal(10, 2)\nparam u[g] ~ uniform(3, 4)\nspecies A = 1\nA -> 0 @ 1\n"
        "observe %s\nsimulate until 1 every 1\n" % observed
    )
    model = program.file("drawn.rxn", text)

    def start(*flags):
        _, rows = program.table(model, "-n", "1", *flags)
        return [float(v) for v in rows[0][2:]]

    first = start("--seed", "7")
    check_equal(start("--seed", "7", "--until", "5"), first, "the same seed")
    assert start("--seed", "8") != first, "another seed"
    normal, uniform = first[:40], first[40:]
    assert len(set(normal)) == 40 and 8 < sum(normal) / 40 < 12, normal
    assert all(3 < v < 4 for v in uniform) and len(set(uniform)) == 40, uniform
    changed = start("--seed", "7", "--set", "W[3]=99")
    check_equal(changed[3], 99.0)
    check_equal(changed[:3] + changed[4:], first[:3] + first[4:], "the others")


def test_the_cache(program):
    """'--cache none' is no folder of that name; '--cache FOLDER' is one; RXN_CACHE is where neither is given."""
    program.file("small.rxn", "model small\nspecies A = 5\nparam k = 1\nA -> 0 @ k\nsimulate until 1 every 1\n")
    folder = os.path.dirname(program.file("small.rxn"))
    for command in (["run"], ["grad", "--of", "A", "--at", "1"]):
        call = [command[0], "small.rxn", *command[1:], "-n", "10", "--quiet", "-o", "-"]
        for cache in ("none", "kept-" + command[0]):
            run = program.call(*call, "--cache", cache, cwd=folder)
            check_equal(run.status, 0, run.err)
        check_equal(os.path.exists(os.path.join(folder, "none")), False, "a folder 'none'")
        if not program.device:
            check_equal(len(os.listdir(os.path.join(folder, "kept-" + command[0]))) > 0, True, "nothing is kept")
        always = os.path.join(folder, "always-" + command[0])
        for cache, there in ((["--cache", "none"], False), (["--cache", "kept-" + command[0]], False), ([], not program.device)):
            run = program.call(*call, *cache, cwd=folder, env={"RXN_CACHE": always})
            check_equal(run.status, 0, run.err)
            check_equal(os.path.exists(always), there, " ".join(["RXN_CACHE and"] + cache))


def test_cache_of_another_build(program):
    """What one build of rxn has compiled is not what another one runs."""
    if program.device:
        raise Skipped("nothing is compiled")
    model, folder, other = program.file("small.rxn", SMALL), program.file("kept"), program.file("rxn")
    notes = Run(["readelf", "-n", program.path]).out
    build = re.search(r"Build ID: ([0-9a-f]+)", notes)
    if not build:
        raise Skipped("this linker does not say what it linked")
    build = bytes.fromhex(build.group(1))
    image = open(program.path, "rb").read()
    assert image.count(build) == 1
    with open(other, "wb") as f:
        f.write(image.replace(build, bytes([build[0] ^ 1]) + build[1:]))
    os.chmod(other, 0o755)
    results = []
    for path, entries in ((program.path, 1), (program.path, 1), (other, 2), (other, 2)):
        results.append(Run([path, "run", model, "-n", "9", "--quiet", "-o", "-", "--cache", folder]))
        check_equal((results[-1].status, results[-1].err), (0, ""))
        check_equal(len(os.listdir(folder)), entries, "entries of the cache")
    check_equal(len({run.out for run in results}), 1, "results")


if __name__ == "__main__":
    sys.exit(main([f for name, f in list(globals().items()) if name.startswith("test_")]))
