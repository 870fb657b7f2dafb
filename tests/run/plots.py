#!/usr/bin/env python3
"""Plots: they are made, they are whole, they say what they leave out; and what happens without gnuplot."""

import os
import re
import shutil
import struct
import sys
import xml.etree.ElementTree as ElementTree

from harness import STDLIB, Skipped, check_equal, check_in, main


def need_gnuplot():
    if not shutil.which("gnuplot"):
        raise Skipped("gnuplot is not installed")


def texts_of_svg(path):
    root = ElementTree.parse(path).getroot()
    check_equal(root.tag, "{http://www.w3.org/2000/svg}svg", "root")
    return ["".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text")]


def draw(program, ending, model, *flags):
    need_gnuplot()
    path = program.file("plot." + ending)
    run = program.good("run", os.path.join(STDLIB, model + ".rxn"), "--plot", path, *flags)
    check_equal(sorted(os.listdir(program.folder)), ["plot." + ending], "files")
    return path, run


def test_svg_of_an_ensemble(program):
    path, _ = draw(program, "svg", "dimerisation", "-n", "200")
    texts = texts_of_svg(path)
    for expected in ("time", "count", "P", "P2", "dimerisation: mean ± sd of 200 trajectories"):
        assert expected in texts, (expected, texts)


def test_svg_of_one_trajectory(program):
    path, _ = draw(program, "svg", "sir", "-n", "1")
    assert "sir: one trajectory" in texts_of_svg(path)


def test_svg_of_some_trajectories(program):
    path, run = draw(program, "svg", "schlogl", "-n", "30", "--each", "--until", "1")
    assert "schlogl: 8 of 30 trajectories" in texts_of_svg(path), texts_of_svg(path)
    check_equal(run.err, "note: the plot shows the first 8 of 30 trajectories\n", "note")


def test_too_many_observables(program):
    path, run = draw(program, "svg", "hopping_line", "-n", "20")
    texts = texts_of_svg(path)
    assert "X[11]" in texts and "X[12]" not in texts, texts
    check_equal(run.err, "note: the plot shows the first 12 of 21 observables\n", "note")


def test_png(program):
    path, _ = draw(program, "png", "telegraph", "-n", "100", "--quiet")
    with open(path, "rb") as f:
        head = f.read(24)
    check_equal(head[:8], b"\x89PNG\r\n\x1a\n", "signature")
    width, height = struct.unpack(">II", head[16:24])
    assert width >= 800 and height >= 500, (width, height)


def test_odd_names(program):
    """A name is text: nothing in it is taken for a command of the plotting program."""
    need_gnuplot()
    model = program.file("it's.rxn", "model odd\nspecies A_b = 3\nA_b -> 0 @ 1\nobserve A_b\nsimulate until 1 every 0.5\n")
    path = program.file("it's; $x.svg")
    program.good("run", model, "-n", "5", "--plot", path)
    assert "A_b" in texts_of_svg(path), "an underscore is not a subscript"


def test_one_sample_time(program):
    """No lines and no bands: bars of one standard deviation on both sides of the mean."""
    path, _ = draw(program, "svg", "dimerisation", "--method", "cme", "--device", "cpu", "--until", "10", "--at", "10")
    bars = []
    for element in ElementTree.parse(path).getroot().iter():
        if "0, 114, 178" in element.get("stroke", ""):  # the first observable
            bars += re.findall(r"M(\S+),(\S+) L\1,(\S+) ", element.get("d"))
    heights = [abs(float(low) - float(high)) for _, low, high in bars]
    check_equal(len([h for h in heights if h > 50]), 1, "bars: %r" % bars)
    draw(program, "svg", "dimerisation", "-n", "5", "--until", "2", "--at", "1")


def test_svg_of_the_master_equation(program):
    path, run = draw(program, "svg", "dimerisation", "--method", "cme", "--device", "cpu", "--quiet")
    texts = texts_of_svg(path)
    for expected in ("time", "count", "P", "P2", "dimerisation: mean ± sd, exact (master equation)"):
        assert expected in texts, (expected, texts)
    check_equal((run.out, run.err), ("", ""), "what is printed")
    run = program.call("run", os.path.join(STDLIB, "dimerisation.rxn"), "--method", "cme", "--device", "cpu", "--plot", "x.svg", env={"PATH": program.folder})
    check_in("note: the solution itself is good; -o FILE.csv keeps its results", run.err)


def test_without_gnuplot(program):
    empty = program.file("bin")
    os.mkdir(empty)
    run = program.call("run", os.path.join(STDLIB, "sir.rxn"), "-n", "5", "--quiet", "--plot", program.file("x.svg"), env={"PATH": empty})
    check_equal(run.status, 1, "exit status")
    check_in("could not be made: gnuplot is not installed (Debian: apt install gnuplot-nox)", run.err)
    check_in("note: the simulation itself is good; -o FILE.csv keeps its results", run.err)
    check_equal(os.listdir(program.folder), ["bin"], "files")


def test_unwritable_plot(program):
    need_gnuplot()
    path = os.path.join(program.folder, "no", "x.svg")
    run = program.call("run", os.path.join(STDLIB, "sir.rxn"), "-n", "5", "--quiet", "--plot", path)
    check_equal(run.status, 1, "exit status")
    check_in("error: the plot '%s' could not be made: " % path, run.err)


if __name__ == "__main__":
    sys.exit(main([f for name, f in list(globals().items()) if name.startswith("test_")]))
