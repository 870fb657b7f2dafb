#!/usr/bin/env python3
"""Ctrl-C, closed pipes, full disks: the run ends cleanly and leaves nothing half done."""

import os
import re
import signal
import subprocess
import sys
import time

from harness import STDLIB, check_equal, check_in, main

ENDLESS = """model endless
species A = 0
0 -> A @ 1000
A -> 0 @ 1
simulate until %s every %s
"""


def interrupted(program, text, *flags, signals=(signal.SIGINT,), wait=1.0):
    model = program.file("endless.rxn", text)
    command = [program.path, "run", model, *flags]
    if program.device:
        command += ["--device", program.device]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(wait)
        assert child.poll() is None, "it ended by itself: %s" % (child.communicate(),)
        for number in signals:
            child.send_signal(number)
            time.sleep(0.05)
        started = time.monotonic()
        out, err = child.communicate(timeout=30)
        return child.returncode, out, err, time.monotonic() - started
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def test_many_trajectories(program):
    """It says how many were done, prints no result, leaves no file, and exits as 1."""
    out = program.file("out.csv")
    status, printed, err, took = interrupted(program, ENDLESS % (1, 0.1), "-n", "1000000000", "-o", out, "--quiet")
    check_equal(status, 1, "exit status")
    check_equal(printed, "", "standard output")
    assert re.fullmatch(r"error: interrupted after \d+ of 1000000000 trajectories; nothing was written\n", err), err
    check_equal(os.listdir(program.folder), ["endless.rxn"], "files")
    assert took < 5, "it took %.1f s to stop" % took


def test_one_long_trajectory(program):
    """A single trajectory without end stops in its midst."""
    status, printed, err, took = interrupted(program, ENDLESS % ("1e12", "1e11"), "-n", "1")
    check_equal((status, printed), (1, ""), "status, output")
    check_in("interrupted after 0 of 1 trajectories", err)
    assert took < 5, "it took %.1f s to stop" % took


def test_terminate(program):
    status, printed, err, _ = interrupted(program, ENDLESS % ("1e12", "1e11"), "-n", "10", signals=(signal.SIGTERM,))
    check_equal((status, printed), (1, ""), "status, output")
    check_in("interrupted after 0 of 10 trajectories", err)


def test_closed_pipe(program):
    """`rxn … | head`: the reader goes away, and that is all."""
    model = os.path.join(STDLIB, "dimerisation.rxn")
    command = [program.path, "run", model, "-n", "3000", "--each", "-o", "-", "--quiet"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = child.stdout.readline()
    child.stdout.close()
    err = child.stderr.read()
    child.stderr.close()
    status = child.wait(timeout=60)
    check_equal(first, "trajectory,time,P,P2\n", "first line")
    check_equal((status, err), (1, ""), "status, messages")


def test_full_standard_output(program):
    """A table that cannot be printed is an error, not a success."""
    with open("/dev/full", "w") as full:
        command = [program.path, "run", os.path.join(STDLIB, "sir.rxn"), "-n", "5"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    check_equal((done.returncode, done.stderr), (1, "error: standard output cannot be written: No space left on device\n"))


def on_a_terminal(command):
    """What a run that goes well writes to standard error where that is a terminal."""
    import pty

    parent, terminal = pty.openpty()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    seen = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        seen += part
    os.close(parent)
    check_equal(child.wait(timeout=120), 0, "exit status")
    return seen.decode()


def test_progress_only_on_a_terminal(program):
    """No bar where standard error is no terminal, one where it is."""
    model = program.file("slow.rxn", ENDLESS % (40, 1))
    command = [program.path, "run", model, "-n", "9000", "-o", program.file("x.csv"), "--threads", "1"]
    run = program.good(*command[1:])
    check_equal(run.err, "", "messages")
    text = on_a_terminal(command)
    assert re.search(r"\[[= ]{30}\] +\d+ %  [\d,]+ of 9,000 trajectories, .* left", text), repr(text[:500])
    assert text.endswith("\r\x1b[K"), "the bar is left on the screen: %r" % text[-100:]


def test_progress_without_trajectories(program):
    """The master equation has steps of time, which are nobody's trajectories."""
    model = os.path.join(STDLIB, "schlogl.rxn")
    for command in (["run", model, "--method", "cme", "--device", "cpu", "--until", "12", "--every", "1", "-o", program.file("x.csv")],
                    ["grad", model, "--of", "X", "--at", "8", "--estimator", "exact"]):
        text = on_a_terminal([program.path] + command)
        assert re.search(r"\r\[[= ]{30}\] +\d+ %  [^\[]* left", text), (command, text[:500])
        assert "trajector" not in text, (command, text[:500])
        assert text.endswith("\r\x1b[K"), "the bar is left on the screen: %r" % text[-100:]


if __name__ == "__main__":
    sys.exit(main([f for name, f in list(globals().items()) if name.startswith("test_")]))
