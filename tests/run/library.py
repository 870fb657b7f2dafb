#!/usr/bin/env python3
"""librxn as it is installed: a program that pkg-config and the C compiler make of it, shared and static; what can be seen of it;
its manual pages."""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile

from harness import ROOT, Run, Skipped, check_equal, check_in, main

BUILD = os.environ["RXN_BUILD"]
DOCUMENT = os.path.join(ROOT, "docs", "library.md")


class Installed:
    """Installs once into a folder of the test's own."""

    def __init__(self):
        self.prefix = None

    def __call__(self):
        if not self.prefix:
            destination = tempfile.mkdtemp(prefix="rxn-run-")
            atexit.register(shutil.rmtree, destination)
            done = Run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", destination],
                       timeout=300)
            check_equal(done.status, 0, str(done))
            found = subprocess.run(["find", destination, "-name", "rxn.pc"], stdout=subprocess.PIPE, text=True)
            self.pkgconfig = os.path.dirname(found.stdout.strip())
            self.libraries = os.path.dirname(self.pkgconfig)
            header = subprocess.run(["find", destination, "-name", "rxn.h"], stdout=subprocess.PIPE, text=True)
            self.prefix = os.path.dirname(os.path.dirname(header.stdout.strip()))
        return self


installed = Installed()


def flags(place, *options):
    """What pkg-config says, were the folder the prefix that rxn.pc has."""
    command = ["pkg-config", "--define-variable=prefix=" + place.prefix, *options, "rxn"]
    done = Run(command, env={"PKG_CONFIG_PATH": place.pkgconfig})
    check_equal(done.status, 0, str(done))
    return done.out.split()


def first_program(rxn):
    text = open(DOCUMENT, encoding="utf-8").read()
    path = os.path.join(rxn.folder, "first.c")
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.search(r"```c\n(#include.*?)```", text, flags=re.S).group(1))
    shown = re.search(r"```text\n(.*?)```", text, flags=re.S).group(1)
    return path, shown


def compiler():
    return os.environ.get("CC", "cc").split()


def needs_tools():
    if not shutil.which("pkg-config") or not shutil.which(compiler()[0]):
        raise Skipped("there is no C compiler or no pkg-config")


def check_lines(done, shown):
    check_equal(done.status, 0, str(done))
    lines = done.out.splitlines()
    check_equal(len(lines), 9)
    check_equal("\n".join(lines[:2]) + "\n", shown)


def test_shared(rxn):
    """The first program of the documentation, with the shared library."""
    needs_tools()
    place = installed()
    source, shown = first_program(rxn)
    program = os.path.join(rxn.folder, "first")
    done = Run([*compiler(), "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", source,
                *flags(place, "--cflags", "--libs"), "-o", program])
    check_equal(done.status, 0, str(done))
    check_lines(Run([program], env={"LD_LIBRARY_PATH": place.libraries}), shown)
    check_in("librxn.so.0", Run(["ldd", program], env={"LD_LIBRARY_PATH": place.libraries}).out)


def test_static(rxn):
    """The same with the archive: no librxn is needed where it runs."""
    needs_tools()
    place = installed()
    source, shown = first_program(rxn)
    program = os.path.join(rxn.folder, "first-static")
    libraries = ["-l:librxn.a" if flag == "-lrxn" else flag for flag in flags(place, "--static", "--libs")]
    done = Run([*compiler(), "-std=c11", source, *flags(place, "--cflags"), *libraries, "-o", program])
    check_equal(done.status, 0, str(done))
    check_lines(Run([program]), shown)
    check_equal("librxn" in Run(["ldd", program]).out, False)


def test_cplusplus(rxn):
    """The header is one of C++ too."""
    needs_tools()
    place = installed()
    if not shutil.which("g++"):
        raise Skipped("there is no C++ compiler")
    source = os.path.join(rxn.folder, "header.cpp")
    with open(source, "w", encoding="utf-8") as file:
        file.write("#include <rxn.h>\nint main() { return rxn_version()[0] == 0; }\n")
    done = Run(["g++", "-Wall", "-Wextra", "-Werror", source, *flags(place, "--cflags", "--libs"),
                "-o", os.path.join(rxn.folder, "header")])
    check_equal(done.status, 0, str(done))


BUILDER = r"""
#include <stdio.h>
#include <rxn.h>

int
main(int argc, char **argv)
{
    RxnModel *model;
    RxnError *error;
    RxnBuilt built;
    if (rxn_model_parse("species A = 3\nA -> 0 @ 1\nsimulate until 1 every 1\n", NULL, &model, &error) ||
        rxn_model_build(model, NULL, argv[argc - 1], &built, &error)) {
        fprintf(stderr, "%s\n", rxn_error_text(error));
        return 1;
    }
    printf("%zu\n", built.kernels);
    rxn_model_free(model);
    return 0;
}
"""


def test_builds_programs(rxn):
    """What a program is made of is found where the shared library lies."""
    needs_tools()
    place = installed()
    source, program, built = (os.path.join(rxn.folder, name) for name in ("builder.c", "builder", "built"))
    with open(source, "w", encoding="utf-8") as file:
        file.write(BUILDER)
    done = Run([*compiler(), "-std=c11", source, *flags(place, "--cflags", "--libs"), "-o", program])
    check_equal(done.status, 0, str(done))
    done = Run([program, built], env={"LD_LIBRARY_PATH": place.libraries})
    check_equal((done.status, done.out, done.err), (0, "2\n", ""))
    check_equal(Run([built, "run", "-n", "10", "-o", "-"]).out.splitlines()[:2], ["time,A.mean,A.sd", "0,3,0"])


def symbols(path, *options):
    done = Run(["nm", "--defined-only", *options, path])
    check_equal(done.status, 0, str(done))
    return {line.split()[-1] for line in done.out.splitlines() if len(line.split()) == 3}


def test_symbols(_):
    """What can be seen are the functions of the header, all of them and nothing else."""
    place = installed()
    header = open(os.path.join(ROOT, "runtime", "rxn.h"), encoding="utf-8").read()
    declared = set(re.findall(r"^RXN_PUBLIC [^;]*?\b(rxn_\w+)\(", header, flags=re.M))
    check_equal(sorted(symbols(os.path.join(place.libraries, "librxn.so.0"), "-D") ^ declared), [])
    check_equal(sorted(symbols(os.path.join(place.libraries, "librxn.a"), "-g") ^ declared), [])


def test_manuals(rxn):
    """The pages have all that --help and the header say, and mandoc finds nothing wrong with them."""
    place = installed()
    pages = [os.path.join(place.prefix, "share", "man", "man%d" % k, "rxn.%d" % k) for k in (1, 3)]
    text = open(pages[0], encoding="utf-8").read().replace("\\-", "-")
    for command in ("run", "grad", "fit", "build", "check", "completion"):
        check_in(".Ss rxn " + command, text)
        shown = rxn.good(command, "--help").out
        for option in re.findall(r"^  (--?[a-z-]+)", shown, flags=re.M):
            check_in('.It Sy "' + option, text)
    header = open(os.path.join(ROOT, "runtime", "rxn.h"), encoding="utf-8").read()
    text = open(pages[1], encoding="utf-8").read()
    for name in re.findall(r"^RXN_PUBLIC [^;]*?\b(rxn_\w+)\(", header, flags=re.M):
        check_in(name + "(", text)
    if not shutil.which("mandoc"):
        raise Skipped("there is no mandoc")
    check_equal(Run(["mandoc", "-Tlint", *pages]).out, "")


if __name__ == "__main__":
    sys.exit(main([value for name, value in list(globals().items()) if name.startswith("test_")]))
