#!/usr/bin/env python3
"""`rxn fmt`: the layout of small models, what holds for every model of the repository, and what happens to files.

    fmt.py --rxn PATH [--promote]

A case is fmt/NAME.rxn and fmt/NAME.expected, the whole text that it becomes. --promote accepts what it becomes now.
"""

import collections
import os
import pathlib
import random
import re
import resource
import signal
import stat
import subprocess
import sys
import time

from harness import HERE, ROOT, check_equal, check_in, main

FOLDER = os.path.join(HERE, "fmt")
TOKEN = re.compile(r'("[^"\n]*")|(#[^\n]*)|(\n)|([ \t]+)|([^"#\s]+)')


def names():
    return sorted(f[: -len(".rxn")] for f in os.listdir(FOLDER) if f.endswith(".rxn"))


def all_models():
    root = pathlib.Path(ROOT)
    return [p for folder in ("stdlib_models", "examples", "tests") for p in sorted((root / folder).rglob("*.rxn"))]


def comments(text):
    return collections.Counter(m[2].rstrip() for m in TOKEN.finditer(text) if m[2])


def words(text):
    """All that is neither blank nor a comment."""
    return "".join((m[1] or m[5] or "").replace(";", "") for m in TOKEN.finditer(text))


def read(path):
    with open(path, newline="") as f:
        return f.read()


class Formatted:
    """What the program makes of bytes on standard input."""

    def __init__(self, program, data, *arguments, **options):
        done = subprocess.run([program.path, "fmt", *arguments], input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, **options)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr.decode()


# ---- Layout


def layout_test(name):
    def test(program):
        with open(os.path.join(FOLDER, name + ".rxn"), "rb") as f:
            formatted = Formatted(program, f.read())
        check_equal((formatted.status, formatted.err), (0, ""), "status and messages")
        path = os.path.join(FOLDER, name + ".expected")
        if program.arguments.promote:
            with open(path, "wb") as f:
                f.write(formatted.out)
            return
        with open(path, "rb") as f:
            check_equal(formatted.out.decode().splitlines(), f.read().decode().splitlines(), "layout")
        check_equal(Formatted(program, formatted.out).out, formatted.out, "the same, formatted again")

    test.__name__ = "layout_" + name
    return test


def test_house_style(program):
    """The models that come with rxn are as the formatter would write them."""
    models = [p for p in all_models() if "tests" not in p.relative_to(ROOT).parts]
    assert len(models) > 20, models
    check_equal(program.good("fmt", "--check", *models).out, "", "files that would change")


def test_every_model(program):
    """Of every model of the repository, wrong ones as far as they parse: same words, same comments, idempotent."""
    formatted = 0
    for path in all_models():
        before = path.read_bytes()
        first = Formatted(program, before)
        assert first.status in (0, 1), "%s: exit status %d\n%s" % (path, first.status, first.err)
        if first.status == 1:
            check_in("error:", first.err)
            check_equal(first.out, b"", "text of %s, which is no model" % path)
            continue
        formatted += 1
        text, after = before.decode("utf-8-sig"), first.out.decode()
        check_equal(words(after), words(text), "words of %s" % path)
        check_equal(comments(after), comments(text), "comments of %s" % path)
        check_equal(Formatted(program, first.out).out, first.out, "%s, formatted again" % path)
        assert not re.search(r"[ \t]\n|\n\n\n|\A\n|\n\n\Z|\r", after), "%s has blanks too many" % path
    assert formatted > 100, "only %d models" % formatted


def test_same_tree(program):
    """What `rxn trace` shows of the tree, without the places, is the same before and after."""
    for name in ("repressilator", "hopping_line", "gene_readout", "antisense"):
        source = read(os.path.join(ROOT, "stdlib_models", name + ".rxn")).replace("  ", " ").replace("\n ", "\n")
        trees = []
        for text in (source, Formatted(program, source.encode()).out.decode()):
            model = program.file("model.rxn", text)
            program.good("trace", model, "-o", program.file("stages"))
            tree = [p for p in os.listdir(program.file("stages")) if "ast" in p]
            trees.append(re.sub(r" \d+:\d+-\d+:\d+$", "", read(os.path.join(program.file("stages"), tree[0])), flags=re.M))
        assert source != text, "nothing was formatted"
        check_equal(trees[1], trees[0], "tree of %s" % name)


def test_spacing_does_not_matter(program):
    """Models whose blanks, tabs, line ends and comments were put in at random keep words and comments, and settle at once."""
    chance = random.Random(20240)
    parts = re.compile(r'"[^"\n]*"|#[^\n]*|\n|[ \t]+|<->|->|=>|\.\.|[<>=!]=|[\w\'.]+|.')
    done = 0
    for path in all_models():
        if "tests" in path.relative_to(ROOT).parts:
            continue
        for _ in range(4):
            text = ""
            for part in parts.findall(path.read_text()):
                if part.isspace() and part != "\n":
                    part = chance.choice([" ", "  ", "\t", "      "])
                elif part == "\n":
                    part = chance.choice(["\n", "\n\n\n", " ;\n", "\r\n", "  # x\n", "\n   # y\n"])
                elif part in "+*/(),=<>@~" and chance.random() < 0.5:
                    part = chance.choice([" ", "", "\t"]) + part + chance.choice(["", " ", "  ", "\n    ", " #z\n"] if part in "(,@" else ["", " "])
                text += part
            formatted = Formatted(program, text.encode())
            if formatted.status == 1 and "error:" in formatted.err:
                continue  # a ';' where a statement goes on
            check_equal((formatted.status, formatted.err), (0, ""), "status for\n%s" % text)
            done += 1
            after = formatted.out.decode()
            check_equal(words(after), words(text), "words of\n%s" % text)
            check_equal(comments(after), comments(text), "comments of\n%s" % text)
            check_equal(Formatted(program, formatted.out).out, formatted.out, "formatted again:\n%s" % text)
    assert done > 60, "only %d texts were models" % done


def test_hostile_texts(program):
    """Megabytes in one line, columns far away, deep blocks: in bounded time, and with a bounded result."""
    wide = "species " + ",".join("S%d=1" % i for i in range(100000)) + "\n"
    texts = {
        "a megabyte in one line": wide,
        "the same in many statements": "".join("let a%d=%d;" % (i, i) for i in range(80000)),
        "a comment of a megabyte": "species A = 1 #" + "x" * (1 << 20) + "\n" + "A -> 0 @ 1 # y\n" * 1000,
        "a far column": "species A = 1," + " " * (1 << 20) + "B = 2,\n" + " " * (1 << 20) + "C = 2\n",
        "a long cell in a long table": "A -> 0 @ 1\n" * 20000 + "l" * 900 + ": A -> 0 @ 1 # c\n" + "A -> 0 @ 1 # c\n" * 20000,
        "blocks 250 deep": "for i in 0 .. 1 {\n" * 250 + "A->0@1;" * 1000 + "}\n" * 250,
        "brackets 250 deep": "let a = " + "(" * 250 + "1" + ")" * 250 + "\n",
        "continued 100000 times": "species A = 1" + ",\n  B = 1" * 100000 + "\n",
        "empty lines": "\n" * (1 << 20),
    }
    for name, text in texts.items():
        started = time.monotonic()
        formatted = Formatted(program, text.encode())
        assert time.monotonic() - started < 20, "%s: too slow" % name
        check_equal((formatted.status, formatted.err), (0, ""), name)
        assert len(formatted.out) < 80 * len(text) + 1000, "%s: %d bytes" % (name, len(formatted.out))
        check_equal(words(formatted.out.decode()), words(text), "words of " + name)
    for text in ("(" * 100000, "for i in a {" * 1000, "let a = " + "-" * 100000 + "1\n", "\0", "\xff", '"'):
        formatted = Formatted(program, text.encode("latin-1"))
        check_equal((formatted.status, formatted.out), (1, b""), "status and text of %.20r" % text)


# ---- Files

UGLY = "species A=1\nA->0@1\n"
NEAT = "species A = 1\nA -> 0  @ 1\n"


def test_in_place(program):
    """A file is replaced as a whole, keeps its mode, and is not touched when it is good already."""
    path = program.file("a.rxn", UGLY)
    os.chmod(path, 0o640)
    before = os.stat(path)
    check_equal(program.good("fmt", path).out, "", "output")
    after = os.stat(path)
    check_equal(read(path), NEAT, "text")
    check_equal(stat.S_IMODE(after.st_mode), 0o640, "mode")
    check_equal((after.st_uid, after.st_gid), (before.st_uid, before.st_gid), "owner")
    assert after.st_ino != before.st_ino, "the old file was written into, not replaced"
    os.utime(path, (1, 1))
    program.good("fmt", path)
    check_equal((os.stat(path).st_ino, os.stat(path).st_mtime), (after.st_ino, 1), "a good file")
    check_equal(os.listdir(program.folder), ["a.rxn"], "files")


def test_links(program):
    """A link goes on being one."""
    path, link = program.file("a.rxn", UGLY), program.file("link.rxn")
    os.symlink("a.rxn", link)
    program.good("fmt", link)
    assert os.path.islink(link), "the link was replaced"
    check_equal(read(path), NEAT, "text")


def test_nul_bytes(program):
    """In a comment they stay, and so does what follows them."""
    path = os.path.join(program.folder, "nul.rxn")
    with open(path, "wb") as f:
        f.write(b"model a # foo\0bar\nspecies A=1\nA->0@1\n")
    done = program.run("fmt", path)
    check_equal(done.returncode, 0, done.stderr)
    with open(path, "rb") as f:
        laid_out = f.read()
    check_equal(laid_out, b"model a  # foo\0bar\nspecies A = 1\nA -> 0  @ 1\n", "the file")
    check_equal(Formatted(program, laid_out, "-").out, laid_out, "what stays as it is")
    check_equal(program.run("fmt", "--check", path).returncode, 0, "status of --check")


def test_broken_input(program):
    """A file that is no model stays as it is, with its error; the others are formatted."""
    good, broken = program.file("a.rxn", UGLY), program.file("b.rxn", "species A=1\nA->\n")
    last = program.file("c.rxn", UGLY)
    os.utime(broken, (1, 1))
    run = program.bad(1, "fmt", good, broken, last)
    check_in("b.rxn:2:4: error: ", run.err)
    check_equal(read(broken), "species A=1\nA->\n", "the broken file")
    check_equal(os.stat(broken).st_mtime, 1, "its time")
    check_equal((read(good), read(last)), (NEAT, NEAT), "the others")
    check_equal(sorted(os.listdir(program.folder)), ["a.rxn", "b.rxn", "c.rxn"], "files")
    # A byte order mark within a text is nothing that one could see.
    run = Formatted(program, "species A = 1\nA\ufeff -> 0 @ 1\n".encode())
    check_equal((run.status, run.out), (1, b""), "status and text")
    check_in("<stdin>:2:2: error: a byte order mark (U+FEFF) in the middle of the text", run.err)


def test_check(program):
    """--check names what would change, and changes nothing."""
    ugly, neat = program.file("a.rxn", UGLY), program.file("b.rxn", NEAT)
    run = program.call("fmt", "--check", neat, ugly)
    check_equal((run.status, run.out, run.err), (1, ugly + "\n", ""), "status, output, messages")
    check_equal(read(ugly), UGLY, "the file")
    run = program.call("fmt", "--check", neat)
    check_equal((run.status, run.out), (0, ""), "status and output")
    run = program.call("fmt", "--check", "-", text=UGLY)
    check_equal((run.status, run.out), (1, "<stdin>\n"), "of standard input")
    run = program.call("fmt", "--check", program.file("c.rxn", "A ->\n"), neat)
    check_equal((run.status, run.out), (1, ""), "of what is no model")
    check_in("c.rxn:1:", run.err)


def test_standard_streams(program):
    """'-', no FILE, --stdout and -o."""
    check_equal(program.good("fmt", "-", text=UGLY).out, NEAT, "-")
    check_equal(program.good("fmt", text=UGLY).out, NEAT, "no FILE")
    path, other = program.file("a.rxn", UGLY), program.file("b.rxn")
    for flags in (["--stdout"], ["-o", "-"]):
        check_equal(program.good("fmt", path, *flags).out, NEAT, flags)
        check_equal(program.good("fmt", path, path, *flags).out, NEAT + NEAT, flags)
    program.good("fmt", path, "-o", other)
    check_equal((read(path), read(other)), (UGLY, NEAT), "-o FILE")
    check_in("is the model itself; it is not overwritten", program.bad(1, "fmt", path, "-o", path).err)
    check_equal(read(path), UGLY, "the file")


def test_usage(program):
    path = program.file("a.rxn", UGLY)
    for arguments, message in (
        ([path, path, "-o", "x.rxn"], "-o x.rxn takes one FILE, and neither --stdout nor --check"),
        ([path, "-o", "x.rxn", "--check"], "-o x.rxn takes one FILE, and neither --stdout nor --check"),
        ([path, "--check", "--stdout"], "--check prints no text: it goes without --stdout"),
        ([path, "--chekc"], "did you mean '--check'?"),
    ):
        check_in(message, program.bad(2, "fmt", *arguments, cwd=program.folder).err)
    check_equal((read(path), os.listdir(program.folder)), (UGLY, ["a.rxn"]), "files")
    check_in("rxn fmt [FILE…] [OPTION…]", program.good("fmt", "--help").out)
    check_in("  fmt ", program.good("--help").out)
    check_in("cannot be read: No such file", program.bad(1, "fmt", "nowhere.rxn").err)
    # The name of a model that comes with rxn is no file to format.
    check_in("cannot be read: No such file", program.bad(1, "fmt", "dimerisation", cwd=program.folder).err)
    check_in("it is a directory", program.bad(1, "fmt", program.folder).err)
    check_in("it is no file", program.bad(1, "fmt", "/dev/null").err)
    network = program.file("a.net", "begin parameters\nend parameters\nbegin reactions\nend reactions\n")
    check_in("a network of BioNetGen's, not a model", program.bad(1, "fmt", network).err)


def test_full_disk(program):
    """Where the new text cannot be written the old one stays, and nothing is left beside it."""
    path = program.file("a.rxn", UGLY * 1000)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    run = Formatted(program, b"", path, preexec_fn=limit)
    check_equal(run.status, 1, "status")
    check_in("'%s' cannot be written: File too large" % path, run.err)
    check_equal(read(path), UGLY * 1000, "the file")
    check_equal(os.listdir(program.folder), ["a.rxn"], "files")


def test_closed_pipe(program):
    """A reader that went away is an end, not a crash."""
    path = program.file("a.rxn", UGLY * 20000)
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run([program.path, "fmt", "--stdout", path, path], stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    check_equal((run.returncode, run.stderr), (1, b""), "status and messages")


if __name__ == "__main__":
    tests = [layout_test(name) for name in names()]
    tests += [test_house_style, test_every_model, test_same_tree, test_spacing_does_not_matter, test_hostile_texts, test_in_place,
              test_links, test_broken_input, test_check, test_standard_streams, test_usage, test_full_disk, test_closed_pipe]
    sys.exit(main(tests, lambda parser: parser.add_argument("--promote", action="store_true")))
