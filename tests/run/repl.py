#!/usr/bin/env python3
"""`rxn repl`: conversations, whole, from a script and on a pseudo-terminal; and what no transcript shows.

    repl.py --rxn PATH [--promote]

A case is repl/NAME.script and repl/NAME.expected (what comes out of a pipe, messages where they belong, and the exit status),
or repl/NAME.keys and repl/NAME.screen (what stands on the terminal in the end; see terminal.py for the names of keys). A line
"# width 40" first makes that terminal narrow. --promote accepts what comes out now.

Times differ from run to run, and stand as TIME; how far a run came before Ctrl-C stands as SOME.
"""

import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time

from harness import HERE, STDLIB, Run, Skipped, check_equal, check_in, main
from terminal import Terminal

FOLDER = os.path.join(HERE, "repl")
DOCUMENTED = re.compile(r"(<!-- tests/run/repl/tour\.screen -->\n```text\n)(.*?)```\n", re.S)
DOCS = os.path.join(HERE, "..", "..", "docs", "repl.md")


def names(ending):
    return sorted(f[: -len(ending)] for f in os.listdir(FOLDER) if f.endswith(ending))


def read(path):
    with open(path) as f:
        return f.read()


def settled(text):
    """What is the same in every run."""
    text = re.sub(r"\bin ([0-9.e-]+ m?s|[0-9]+ min [0-9]+ s)\b", "in TIME", text)
    text = re.sub(r"stopped after [0-9,]+ of", "stopped after SOME of", text)
    return re.sub(r"(stopped after SOME .*?\n)[0-9,]+ (trajectories, )[0-9,]+", r"\1SOME \2SOME", text, flags=re.S)


def environment(program, **more):
    env = {k: v for k, v in os.environ.items() if k not in ("RXN_PATH", "DISPLAY", "WAYLAND_DISPLAY", "NO_COLOR")}
    env.update(HOME=program.folder, XDG_STATE_HOME=os.path.join(program.folder, "state"), TERM="xterm", LC_ALL="C.UTF-8",
               LSAN_OPTIONS="print_suppressions=0:suppressions=" + os.path.join(FOLDER, "libedit.supp"))
    env.update(more)
    return env


def command(program, *arguments):
    return [program.path, "repl", *(["--device", program.device] if program.device else []), *arguments]


def folder_of(program, name):
    """A folder of its own, with the files of repl/files in it."""
    folder = program.file(name)
    shutil.copytree(os.path.join(FOLDER, "files"), folder)
    return folder


def compare(program, path, got):
    if program.arguments.promote:
        with open(path, "w") as f:
            f.write(got)
        if os.path.basename(path) == "tour.screen":
            with open(DOCS) as f:
                text = f.read()
            with open(DOCS, "w") as f:
                f.write(DOCUMENTED.sub(lambda found: found[1] + got + "```\n", text))
        return
    check_equal(got.splitlines(), read(path).splitlines(), os.path.basename(path))


def converse(program, text, cwd=None, arguments=()):
    """What comes out of a pipe, and the exit status."""
    done = subprocess.run(command(program, *arguments), input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=120, cwd=cwd, env=environment(program))
    return settled(done.stdout), done.returncode


def script_test(name):
    def test(program):
        out, status = converse(program, read(os.path.join(FOLDER, name + ".script")), folder_of(program, name))
        compare(program, os.path.join(FOLDER, name + ".expected"), out + "[exit status %d]\n" % status)

    test.__name__ = "script_" + name
    return test


def needs_editing(program):
    with open(program.path, "rb") as f:
        if b"libedit.so" not in f.read():
            raise Skipped("built without libedit")


def on_terminal(program, keys, cwd, width=80, **more):
    terminal = Terminal(command(program), width, environment(program, **more), cwd)
    try:
        terminal.prompt()
        for line in keys:
            terminal.step(line)
        if not terminal.ended:
            terminal.prompt()
            terminal.write("\x04")
    finally:
        status = terminal.close()
    check_equal(status, 0, "exit status")
    return terminal


def screen_test(name):
    def test(program):
        needs_editing(program)
        keys = read(os.path.join(FOLDER, name + ".keys")).splitlines()
        width = 80
        if keys[0].startswith("# width "):
            width = int(keys.pop(0).split()[2])
        terminal = on_terminal(program, keys, folder_of(program, name), width)
        compare(program, os.path.join(FOLDER, name + ".screen"), settled(terminal.screen.text()))

    test.__name__ = "screen_" + name
    return test


# ---- What no transcript shows


def test_documented(program):
    """The conversation of docs/repl.md is the one that is tested."""
    block = DOCUMENTED.search(read(DOCS))
    assert block, "docs/repl.md has no such block"
    check_equal(block[2].splitlines(), read(os.path.join(FOLDER, "tour.screen")).splitlines(), "docs/repl.md")


def test_same_as_run(program):
    """A session's figures are those of `rxn run` on the file that it saves."""
    path = program.file("saved.rxn")
    out, status = converse(program, "species M = 100, D = 0\nparam k = 0.002\n2 M -> D @ k\nD -> 2 M @ 0.1\n"
                           "simulate until 10 every 5\n:set k = 0.01\n:run 500 seed 3\n:save %s\n" % path)
    check_equal(status, 0, "status of\n" + out)
    header, rows = program.table(path, "-n", "500", "--seed", "3", "--set", "k=0.01")
    check_equal(header, ["time", "M.mean", "M.sd", "D.mean", "D.sd"], "columns")
    table = [line for line in out.splitlines() if "±" in line]
    check_equal(len(table), len(rows), "rows in\n" + out)
    for line, row in zip(table, rows):
        for shown, exact in zip(re.split(r"  +| ± ", line.strip()), row):
            assert abs(float(shown) - float(exact)) <= 0.005 * max(1, abs(float(exact))), (line, row)


def test_nothing_is_compiled(program):
    """New numbers of parameters run the kernel that there is, however they are given."""
    out, _ = converse(program, "species A = 100\nparam k = 1, d = 2\nlet twice = 2*d\nA -> 0 @ k*twice\n:run until 1\n:time\n"
                      ":set k = 2\n:run until 1\n:time\nparam k = 3\n:run until 1\n:time\nparam d = 5, k = 1\n:run until 1\n:time\n"
                      "observe A\n:run until 1\n:time\nA -> 0 @ 7\n:run until 1\n:time\n")
    times = [line for line in out.splitlines() if "compiled" in line]
    check_equal(["nothing" in t for t in times], [False, True, True, True, True, False], "what was compiled\n" + out)


def compiled(program, script):
    """After each ':time' whether something was compiled; and all that was said."""
    out, _ = converse(program, script)
    return ["nothing" not in line for line in out.splitlines() if "compiled" in line], out


def last_figures(out, count):
    """The last lines with figures; but for what the session has of its own, and for times."""
    return [line for line in out.splitlines() if "±" in line][-count:]


def test_derivatives_are_not_compiled(program):
    """So it is with derivatives: neither for parameters nor for numbers of the text, whatever was done in between; and they are those of
    the text as it is."""
    if program.device:
        raise Skipped("of compiled kernels")
    model = "species A = %d, B = 0\nparam k = %s\n2 A -> B @ k\nback: B -> 2 A @ %s\n"
    ask = ":grad mean(B), var(B) at 2%s\n:time\n"
    got, out = compiled(program, model % (60, 0.01, 0.5) + ask % "" + ":set k = 0.02\n" + ask % "" + "param k = 0.03\n" + ask % ""
                        + "back: B -> 2 A @ 0.25\n" + ask % "" + "species A = 70\nback: B -> 2 A @ 1\n" + ":run 5 until 1\n" + ask % ""
                        + ask % " by path" + "back: B -> 2 A @ 2\n" + ask % "" + ask % " by path" + ask % " by score,gk"
                        + "back: B -> 2 A @ 3\n" + ask % " by path" + ask % " by score,gk")
    check_equal(got, [True, False, False, False, False, True, False, False, True, False, False], "what was compiled\n" + out)
    fresh, _ = converse(program, model % (70, 0.03, 3) + ask % " by score,gk")
    check_equal(last_figures(out, 4), last_figures(fresh, 4), "figures")


def test_estimators_that_fail(program):
    """Of several, what is shown is what the first that did not fail found, under its name."""
    model = "param k = 0.5\nspecies A = 9, Z, U\nA -> 0 @ k\nZ -> U @ 1.7e308\n"
    ask = ":grad mean(A) at 1 by %s trajectories 50\n"
    out, _ = converse(program, model + ask % "score,gk" + ask % "gk")
    check_equal(re.findall(r"^(\w+), unbiased", out, re.M), ["gk", "gk"], out)
    check_equal(last_figures(out, 4)[:2], last_figures(out, 2), "figures")


def test_fits_are_not_compiled(program):
    if program.device:
        raise Skipped("of compiled kernels")
    block = "fit {\n  steps 3\n  trajectories 64\n  loss (mean(at(A, 1)) - 20)^2\n}\n"
    model = "species A = %d\nparam k = 0.5 in 1e-3 .. 10 fit\nA -> 0 @ k\nmore: 0 -> A @ %s\n"
    ask = ":fit\n:time\n"
    got, out = compiled(program, model % (50, 3) + block + ask + ask + "more: 0 -> A @ 1\n" + ask + "species A = 40\n:run 5 until 1\n"
                        + ":reset values\n" + ask + "A -> 0 @ 0.1\n" + ask)
    check_equal(got, [True, False, False, False, True], "what was compiled\n" + out)
    fresh, _ = converse(program, model % (40, 1) + block + ask)
    shown = [line for line in out.splitlines() if line.startswith("step")]
    check_equal(shown[9:12], [line for line in fresh.splitlines() if line.startswith("step")], "steps")


def test_values_hold(program):
    """What a retyped parameter gives is what the file with it gives, defaults that follow it included."""
    base = "species A = 1000\nparam k = %s\nparam d = 2*k\nA -> 0 @ d\n:run until 1\n"
    retyped, _ = converse(program, base % 0.1 + "param k = 0.2\n:run until 1\n")
    fresh, _ = converse(program, base % 0.2)
    last = [line for line in fresh.splitlines() if "±" in line]
    assert [line for line in retyped.splitlines() if "±" in line][-len(last):] == last, "%s\n%s" % (retyped, fresh)
    by_set, _ = converse(program, base % 0.1 + ":set k = 0.2\n:run until 1\n")
    assert [line for line in by_set.splitlines() if "±" in line][-len(last):] == last, "%s\n%s" % (by_set, fresh)


def test_script_status(program):
    check_equal(converse(program, "species A = 1\n:list\n")[1], 0, "status of a good script")
    check_equal(converse(program, "species A = \n:list\n")[1], 1, "status of a wrong statement")
    check_equal(converse(program, ":lsit\n")[1], 1, "status of a wrong command")
    check_equal(converse(program, "species A = 1\n", arguments=["nowhere.rxn"])[1], 1, "status of no model")
    check_equal(converse(program, ""), ("", 0), "an empty script")


def test_alone(program):
    """`rxn` alone reads a script, as `rxn repl` does."""
    for arguments in ([], ["repl"]):
        run = program.call(*arguments, text="species A = 3\n:list\n")
        check_equal((run.status, run.out, run.err), (0, "  1  species A = 3\n  1  species A = 3\n", ""), "script")


def test_options(program):
    out = program.good("repl", "--help").out
    check_in("usage: rxn repl [MODEL]", out)
    run = program.bad(2, "repl", "a.rxn", "b.rxn")
    check_equal(run.err, "error: 'rxn repl' takes one MODEL\n", "two models")


def test_history(program):
    """Lines are there in the next session, in a file that nobody else can read."""
    needs_editing(program)
    folder = folder_of(program, "history")
    on_terminal(program, ["species A = 7", ":list"], folder)
    path = os.path.join(program.folder, "state", "rxn", "history")
    check_equal(read(path), "species A = 7\n:list\n", "history")
    check_equal(os.stat(path).st_mode & 0o777, 0o600, "mode")
    terminal = on_terminal(program, ["<Up><Up>"], folder)
    check_in("rxn> species A = 7\n  1  species A = 7\n", terminal.screen.text())
    # A script leaves it alone.
    before = read(path)
    converse(program, "species B = 1\n")
    check_equal(read(path), before, "history after a script")


def test_plain_terminal(program):
    """A terminal that can do nothing gets lines as they come: no escape sequences."""
    terminal = on_terminal(program, ["species A = 7", ":list"], folder_of(program, "dumb"), TERM="dumb")
    assert b"\x1b" not in terminal.raw, terminal.raw
    terminal = Terminal(command(program), 80, environment(program, TERM="dumb"), program.folder)
    terminal.prompt()
    terminal.write("let x = (1 +\r")
    terminal.wait(lambda: terminal.screen.current() == "...> ")
    terminal.write("half\x03")
    terminal.prompt()
    terminal.step("species A = 7")
    terminal.step(":list")
    terminal.write("\x04")
    check_equal(terminal.close(), 0, "status after Ctrl-C")
    check_in("rxn> ", terminal.screen.text())
    check_in("  1  species A = 7\n", terminal.screen.text())


def test_terminate(program):
    """SIGTERM ends a session, and the terminal is as it was."""
    terminal = Terminal(command(program), 80, environment(program), program.folder)
    terminal.prompt()
    os.kill(terminal.pid, signal.SIGTERM)
    check_equal(terminal.close(), -signal.SIGTERM, "status")


def test_no_trace_in_pipe(program):
    """No prompt and no escape sequence where nobody looks."""
    out, _ = converse(program, "species A = 7\nA -> 0 @ 1\n:run 3 until 1\nnonsense\n:help\n:plot A to text\n")
    assert "\x1b" not in out and "rxn>" not in out, out


def test_text_plot(program):
    if not shutil.which("gnuplot"):
        raise Skipped("no gnuplot")
    out, status = converse(program, "model m\nspecies A = 100, B = 5\nA -> 0 @ 1\n0 -> B @ 3\nsimulate until 5 every 0.1\n"
                           ":plot\n:plot A\n:plot A B to p.svg\n:plot A to p.gif\n:plot C\n", cwd=program.folder)
    check_in("m: mean of 1,000 trajectories", out)
    check_in("|", out)
    assert len(re.findall(r"\*{3}", out)) > 20 and len(re.findall(r"#{3}", out)) > 5, "two curves and one:\n" + out
    check_in("wrote p.svg\n", out)
    assert os.path.getsize(program.file("p.svg")) > 1000
    check_in("<stdin>:9: error: 'p.gif' is no kind of picture\nnote: it ends in .svg or .png, or it is 'text' or 'window'\n", out)
    check_in("<stdin>:10: error: 'C' is not observed\n", out)
    check_equal(status, 1, "status")
    longest = max(len(line) for line in out.splitlines())
    assert longest <= 80, "a line of %d characters" % longest


def test_no_gnuplot(program):
    env = environment(program, PATH=program.folder)
    done = subprocess.run(command(program), input="species A = 5\nA -> 0 @ 1\nsimulate until 5\n:plot\n", env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check_equal((done.returncode, done.stderr), (1, "<stdin>:4: error: no plot: gnuplot is not installed (Debian: apt install gnuplot-nox)\n"), "message")


def test_window(program):
    """Where there is a display gnuplot is asked for a window; one that has none draws in the terminal."""
    folder = folder_of(program, "window")
    fake = os.path.join(folder, "gnuplot")
    with open(fake, "w") as f:
        f.write("#!/bin/sh\ncat > '%s/drawn'\n" % folder)
    os.chmod(fake, 0o755)
    on_terminal(program, ["species A = 5", "A -> 0 @ 1", ":run until 5", ":plot"], folder, DISPLAY=":7",
                PATH=folder + ":" + os.environ["PATH"])
    drawn = read(os.path.join(folder, "drawn"))
    check_in("set terminal qt persist", drawn)
    check_in("with filledcurves", drawn)


def test_interrupted_script(program):
    """Ctrl-C ends a script: the run stops, and nothing follows."""
    child = subprocess.Popen(command(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdin.write("species A = 1\n0 -> A @ 1000\nA -> 0 @ 1\n:list\n:run 1e12 until 10 every 10\n:show model\n")
    child.stdin.flush()
    for _ in range(6):
        child.stdout.readline()
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    check_equal(child.returncode, 1, "status")
    assert re.fullmatch(r"stopped after [0-9,]+ of 1,000,000,000,000 trajectories\n", err), err
    assert "species" not in out, out


def test_saving_over_what_is_no_file(program):
    """A pipe or a device is not replaced."""
    pipe = program.file("pipe")
    os.mkfifo(pipe)
    run = Run(command(program), text="species A = 1\n:save! pipe\n", cwd=program.folder)
    check_in("error: 'pipe' cannot be written: it is no plain file", run.err)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode), "the pipe was replaced"


def test_closed_pipe(program):
    """A reader that went away ends the session."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command(program), input=":help\n" * 10000, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    check_equal((done.returncode, done.stderr), (1, ""), "status and messages")


def test_out_of_memory(program):
    """What does not fit into memory is not done, and the session goes on with the model it had."""
    with open(program.path, "rb") as f:
        if b"__asan_init" in f.read():
            raise Skipped("the sanitizer needs all addresses")
    idle = subprocess.Popen(command(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    idle.stdin.write("species A = 3\n:list\n")
    idle.stdin.flush()
    idle.stdout.readline()
    idle.stdout.readline()
    with open("/proc/%d/status" % idle.pid) as f:
        peak = int(re.search(r"VmPeak:\s+(\d+)", f.read())[1]) * 1024
    idle.communicate("")
    script = ("species A = 3\nindex big = 20000000\nparam W[big] = 1\nlet s = sum(i in big: W[i])\n0 -> A @ s\n"
              "simulate until 1 every 1\n:show values\n:drop 5 s W\nA -> 0 @ 1\n:list\n")
    done = subprocess.run(command(program), input=script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
                          env=environment(program),
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (peak + (64 << 20),) * 2))
    check_equal(done.returncode, 1, "status of\n%s%s" % (done.stdout, done.stderr))
    check_in("out of memory", done.stderr)
    check_in("\n  1  species A = 3\n  2  index big = 20000000\n  3  simulate until 1 every 1\n  4  A -> 0 @ 1\n", done.stdout)


def test_first_result(program):
    """A small model, typed, then run at once. (What that takes is a bar of tests/bench/run.)"""
    if program.device:
        raise Skipped("of compiled kernels")
    terminal = Terminal(command(program), 80, environment(program), program.folder)
    terminal.prompt()
    for line in ("species A = 100", "param k = 0.1", "A -> 0 @ k"):
        terminal.step(line)
    terminal.write(":run 1000 until 50\r")
    terminal.wait(lambda: "trajectories, " in terminal.screen.text())
    terminal.prompt()
    terminal.write("\x04")
    terminal.close()


def arguments(parser):
    parser.add_argument("--promote", action="store_true", help="accept the transcripts as they are now")


if __name__ == "__main__":
    tests = [script_test(name) for name in names(".script")] + [screen_test(name) for name in names(".keys")]
    tests += [test for name, test in sorted(globals().items()) if name.startswith("test_")]
    wanted = [a for a in sys.argv[1:] if a.startswith("--only=")]
    if wanted:
        sys.argv = [a for a in sys.argv if a not in wanted]
        tests = [t for t in tests if t.__name__ in {a[len("--only="):] for a in wanted}]
    sys.exit(main(tests, arguments))
