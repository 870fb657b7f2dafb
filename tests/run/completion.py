#!/usr/bin/env python3
"""`rxn completion`: what the shells complete, asked of the shells themselves."""

import os
import re
import shutil
import sys

from harness import Run, Skipped, check_equal, check_in, main


def script(rxn, shell):
    if not shutil.which(shell):
        raise Skipped("there is no " + shell)
    path = os.path.join(rxn.folder, "completion." + shell)
    with open(path, "w", encoding="utf-8") as file:
        file.write(rxn.good("completion", shell).out)
    return path


def complete_in_bash(rxn, *words):
    """What bash offers for the last word."""
    path = script(rxn, "bash")
    quoted = " ".join("'%s'" % word for word in ("rxn",) + words)
    done = Run(["bash", "-euc", "source '%s'; complete -p rxn >/dev/null; COMP_WORDS=(%s); COMP_CWORD=%d; "
                "_rxn || true; printf '%%s\\n' \"${COMPREPLY[@]}\"" % (path, quoted, len(words))], cwd=rxn.folder)
    check_equal(done.status, 0, str(done))
    return sorted(done.out.split())


def test_bash_commands(rxn):
    """Commands, as --help lists them."""
    listed = re.findall(r"^  (\w+) ", rxn.good("--help").out, flags=re.M)
    check_equal(complete_in_bash(rxn, ""), sorted(listed + ["--help", "--version"]))
    check_equal(complete_in_bash(rxn, "gr"), ["grad"])


def test_bash_options(rxn):
    """Options of each command, as its --help lists them."""
    for command in re.findall(r"^  (\w+) ", rxn.good("--help").out, flags=re.M):
        listed = set(re.findall(r"^  (--?[a-z-]+)", rxn.good(command, "--help").out, flags=re.M))
        if command == "completion":
            listed = set()  # its examples are set in too
        check_equal(complete_in_bash(rxn, command, "-"), sorted(listed | {"--help"}))


def test_bash_values(rxn):
    """Values of options; files; models."""
    check_equal(complete_in_bash(rxn, "run", "m.rxn", "--precision", ""), ["f32", "f64"])
    check_equal(complete_in_bash(rxn, "run", "--method", "cm"), ["cme"])
    check_in("path-adjoint", complete_in_bash(rxn, "grad", "--estimator", "path"))
    check_equal(complete_in_bash(rxn, "run", "--seed", ""), [])
    open(os.path.join(rxn.folder, "some_model.rxn"), "w", encoding="utf-8").close()
    check_equal(complete_in_bash(rxn, "check", "some_m"), ["some_model.rxn"])
    check_equal(complete_in_bash(rxn, "run", "x", "-o", "some_m"), ["some_model.rxn"])
    check_equal(complete_in_bash(rxn, "completion", "z"), ["zsh"])


def test_zsh(rxn):
    """zsh reads it, and has a function for rxn then."""
    path = script(rxn, "zsh")
    done = Run(["zsh", "-fc", "autoload -Uz compinit; compinit -u -d '%s'; source '%s'; print $_comps[rxn]; "
                "functions _rxn >/dev/null" % (os.path.join(rxn.folder, "dump"), path)])
    check_equal((done.status, done.out, done.err), (0, "_rxn\n", ""), str(done))
    text = open(path, encoding="utf-8").read()
    for option in re.findall(r"^  (--[a-z-]+)", rxn.good("run", "--help").out, flags=re.M):
        check_in("'" + option + "[" if option != "--set" else option + "[", text)


def test_fish(rxn):
    """fish offers commands, options with what they do, and values."""
    path = script(rxn, "fish")

    def offered(line):
        done = Run(["fish", "--no-config", "-c", "source '%s'; complete -C '%s'" % (path, line)])
        check_equal(done.status, 0, str(done))
        return dict((row + "\t").split("\t")[:2] for row in done.out.splitlines())

    check_equal(offered("rxn gr"), {"grad": "differentiate expectations by parameters"})
    check_equal(list(offered("rxn run --prec")), ["--precision"])
    check_equal(sorted(offered("rxn run --precision ")), ["f32", "f64"])


def test_errors(rxn):
    """A shell that there is not."""
    done = rxn.call("completion", "tcsh")
    check_equal((done.status, done.err), (2, "error: there is no completion for the shell 'tcsh'\n"
                                          "note: shells: bash, zsh, fish\n"))


if __name__ == "__main__":
    sys.exit(main([value for name, value in list(globals().items()) if name.startswith("test_")]))
