#!/usr/bin/env python3
"""Networks of BioNetGen's: what they become, that they mean the same, what is said of wrong ones.

Where RXN_TEST_DATA names a folder with networks/, those are taken too: `multistate` has means and standard
deviations of 50,000 runs of another program beside it.
"""

import csv
import math
import os
import subprocess
import sys

from harness import Skipped, check_equal, check_in, main

SMALL = """# comment
begin parameters
    1 k1   0.5*_pi   # ConstantExpression
    2 exp  0.5       # a word of the language
    3 S5   1e2
    4 many 1
end parameters
begin functions
    1 f() if(Atot>50,k1*0.01,log10(100)*0.001)
    2 g() f()*2 + -1e-3*sin(time())^2+0.01
end functions
begin species
    1 A(b) S5
    2 $B() 10
    3 C() 0
end species
begin reactions
    1 1 3 f #_R1
    2 3 1 exp
    3 1,1 3 0.5*k1*1e-4
    4 2 2,3 k1
    5 2,3 0 g()
    6 1,1,1 3,3,3 many*1e-6
end reactions
begin groups
    1 Atot 1,2*3
    2 none
end groups
"""

MODEL = """# Imported from the BioNetGen network 'small.net'.
model small

param k1 = 0.5*3.141592653589793
param exp_ = 0.5
param S5 = 1e2
param many = 1

let f = (if Atot > 50 then k1*0.01 else (log(100) / log(10))*0.001)
let g = f*2 + -1e-3*sin(t)^2 + 0.01
species species_1 = S5  # A(b)
species species_2 = 10  # $B()
species species_3 = 0  # C()

species_1 -> species_3 @ f  # _R1
species_3 -> species_1 @ exp_
2 species_1 -> species_3 @ 2*(0.5*k1*1e-4)
species_2 -> species_2 + species_3 @ k1
species_2 + species_3 -> species_2 @ g
3 species_1 -> 3 species_3 @ 6*(many*1e-6)

let Atot = species_1 + 2*species_3
observe Atot
observe none = 0
"""

WRONG = """begin parameters
1 k 1
2 2k 3
end parameters
begin compartments
1 cell 3
end compartments
begin reactions
3 1 0
4 x 0 k
end reactions
"""

WRONG_LATER = """begin parameters
1 k 1
end parameters
begin species
1 A() k
end species
begin reactions
1 1 2 k
2 1 0 MM 1 2
3 1 0 foo(3)
4 1 0 (k+1
5 1 0 k)
6 1 0 k ? 2
end reactions
begin groups
1 G 1,3*9
end groups
"""


def data(*path):
    folder = os.environ.get("RXN_TEST_DATA")
    if not folder or not os.path.isdir(os.path.join(folder, "networks")):
        raise Skipped("RXN_TEST_DATA does not name a folder with networks/")
    return os.path.join(folder, "networks", *path)


def test_what_it_becomes(program):
    network = program.file("small.net", SMALL)
    check_equal(program.good("import", network).out, MODEL)
    model = program.file("small.rxn")
    program.good("import", network, "-o", model)
    check_equal(open(model).read(), MODEL)


def test_both_run_alike(program):
    flags = ["--until", "5", "--every", "1", "-n", "50", "--seed", "3"]
    network, model = program.file("small.net", SMALL), program.file("small_copy.rxn", MODEL)
    check_equal(program.table(network, *flags), program.table(model, *flags))


def test_mass_action_of_identical_reactants(program):
    """x (x - 1) k: half of the molecules are gone where the closed form of the mean has an oracle of its own, the master
    equation, with the propensity written out."""
    network = program.file("pairs.net", "begin species\\n1 A 20\\nend species\\nbegin reactions\\n1 1,1 0 0.5*0.02\\nend reactions\\n".replace("\\n", "\n"))
    model = program.file("pairs.rxn", "species A = 20\nremove: 2 A -> 0 @ 0.02\n")
    flags = ["--at", "0.5,1,4", "--method", "cme"]
    got, expected = program.table(network, *flags)[1], program.table(model, *flags)[1]
    check_equal(got, expected)


def test_many_copies(program):
    """The file has divided by the orders of equal reactants, which are n!."""
    network = "begin species\n1 A 1\nend species\nbegin reactions\n1 %s 0 1\nend reactions\n"
    for copies in (2, 9, 10, 13, 18):
        out = program.good("import", program.file("copies.net", network % ",".join(["1"] * copies))).out
        check_in("%d S1 -> 0 @ %d*(1)" % (copies, math.factorial(copies)), out)
    err = program.bad(1, "import", program.file("copies.net", network % ",".join(["1"] * 19))).err
    check_in("copies.net:5:", err)
    check_in("error: this reaction has more copies of its reactants than can be counted", err)


def test_numbers_of_species(program):
    network = "begin species\n2 A() 10\n1 B() 20\nend species\nbegin reactions\n1 1 0 1\n2 4294967297 0 1\nend reactions\n"
    err = program.bad(1, "import", program.file("order.net", network)).err
    check_in("order.net:2:1: error: species 2 stands where number 1 is due", err)
    check_in("order.net:7:3: error: '4294967297' is not the number of a species", err)


def test_what_would_be_no_model(program):
    text = "begin parameters\n1 a 3\n2 x 1\nend parameters\nbegin functions\n1 f() if(a>1,5)\n2 g() ln(a,2)\n3 h() (a,2)\n4 m() min(a)\nend functions\n" \
        "begin species\n1 A() 1\nend species\nbegin reactions\n1 1 0 f\nend reactions\nbegin groups\n1 o 1\nend groups\n"
    err = program.bad(1, "import", program.file("few.net", text)).err
    for place, name in (("6:7", "if"), ("7:7", "ln"), ("8:7", "("), ("9:7", "min")):
        check_in("few.net:%s: error: '%s' has too few or too many arguments" % (place, name), err)
    err = program.bad(1, "import", program.file("twice.net", "begin parameters\n1 S1 3\nend parameters\nbegin species\n1 A() 1\nend species\n"
                                                             "begin reactions\n1 1 0 S1\nend reactions\nbegin groups\n1 S1 1\nend groups\n")).err
    check_in("twice.net:11:3: error: 'S1' is the name of a parameter, too", err)


def test_long_groups(program):
    members = ",".join("%s%d" % ("2*" if k % 3 == 0 else "", k) for k in range(1, 2001))
    species = "\n".join("%d A(%d) %d" % (k, k, k % 7) for k in range(1, 2001))
    network = "begin species\n%s\nend species\nbegin reactions\n1 1 2 1\nend reactions\nbegin groups\n1 all %s\nend groups\n" % (species, members)
    rows = program.table(program.file("long.net", network), "--at", "0,1e-9", "-n", "1")[1]
    check_equal(float(rows[0][-1]), float(sum((2 if k % 3 == 0 else 1) * (k % 7) for k in range(1, 2001))))


def test_wrong_networks(program):
    err = program.bad(1, "check", program.file("wrong.net", WRONG), cwd=program.folder).err
    for part in ["wrong.net:3:3: error: '2k' is not a name", "wrong.net:5:7: error: the section 'compartments' is not taken", "wrong.net:9:3: error: this reaction has no rate", "wrong.net:10:3: error: 'x' is not the number of a species"]:
        check_in(part, err)
    err = program.bad(1, "run", program.file("later.net", WRONG_LATER)).err
    for part in [":8:7: error: this reaction has species 2; there are 1", ":9:7: error: rates of the type 'MM' are not taken", ":10:7: error: 'foo' is a function that is not taken", ":11:7: error: '(k+1' has a bracket that is not closed", ":12:8: error: ')' has no bracket that it belongs to", ":13:9: error: '?' is not taken in an expression", ":16:9: error: '9' is not the number of a species"]:
        check_in(part, err)
    cut = SMALL[: SMALL.index("end species")]
    check_in("error: the file ends inside of this section", program.bad(1, "check", program.file("cut.net", cut)).err)
    check_in("is not a network of BioNetGen's", program.bad(1, "import", program.file("m.rxn", "species A = 1\n")).err)


def test_nul_bytes(program):
    """In a comment they end nothing."""
    path = os.path.join(program.folder, "nul.net")
    with open(path, "wb") as f:
        f.write(b"begin parameters\n 1 k 1.0\nend parameters\nbegin species\n 1 A 100\nend species\n"
                b"begin reactions\n 1 1 0 k # x\0y\n 2 0 1 k # z\nend reactions\n")
    done = subprocess.run([program.path, "import", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    check_equal(done.returncode, 0, done.stderr)
    check_equal(done.stdout.count(b"->"), 2, "reactions in\n%r" % done.stdout)


def test_nothing_is_overwritten(program):
    network = program.file("kept.net", SMALL)
    check_in("not overwritten", program.bad(1, "import", network, "-o", network).err)
    check_equal(open(network).read(), SMALL)
    program.bad(1, "import", program.file("bad.net", WRONG), "-o", program.file("none.rxn"))
    assert not os.path.exists(program.file("none.rxn"))


def test_multistate_as_another_program(program):
    rows = [r for r in csv.reader(open(data("multistate_ssa.csv"))) if not r[0].startswith("#")]
    times = ",".join(r[0] for r in rows[1:])
    runs = 4000
    got = program.table(data("multistate.net"), "--at", times, "-n", str(runs), "--seed", "5")[1]
    worst = 0
    for expected, mine in zip(rows[1:], got):
        for k in range(1, len(expected), 2):
            error = math.hypot(float(expected[k + 1]) / math.sqrt(50000), float(mine[k + 1]) / math.sqrt(runs))
            if error > 0:
                worst = max(worst, abs(float(expected[k]) - float(mine[k])) / error)
    assert len(got) == len(rows) - 1 and worst < 4.5, "off by %.2f standard errors" % worst


def test_large_networks_read_back(program):
    for name in ["multisite2", "egfr_net", "BCR"]:
        model = program.file(name + ".rxn")
        program.good("import", data(name + ".net"), "-o", model)
        a, b = (program.good("check", path).out.split("\n", 1)[1] for path in [data(name + ".net"), model])
        check_equal(a, b)


if __name__ == "__main__":
    sys.exit(main([f for name, f in list(globals().items()) if name.startswith("test_")]))
