#!/usr/bin/env python3
"""The program stands on the library: which of its files still include headers of the compiler's rooms. The list may get shorter; a
file that is not in it, or one more header in a file of it, fails."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DRIVER = ROOT / "compiler" / "driver"

# What a command is made of: base has texts, lists and messages, and nothing of models.
OWN = {"compiler/base/base.h", "compiler/base/lists.h", "compiler/driver/command.h", "compiler/driver/repl.h", "runtime/rxn.h", "runtime/report.h",
       "compiler/driver/grad_report.h", "compiler/driver/fit_report.h", "compiler/driver/build_emit.h"}

# Those that look into the compiler, and through which headers, directly or by driver.h.
INTO_COMPILER = {
    # The program's frame: it owns a session for its own messages, and opens models for the commands.
    "driver.h": {"compiler/engine/engine.h"},
    "invoke.c": {"driver.h"},
    "output.c": {"driver.h"},
    "model.c": {"driver.h"},
}


def included(path):
    """Headers of the project, those of this folder by name alone."""
    found = re.findall(r'^#include "(.*?)"', path.read_text(), flags=re.M)
    return {name.removeprefix("compiler/driver/") if name.startswith("compiler/driver/") and name not in OWN
            and not name.endswith("paths.h") else name for name in found}


def main():
    good = True
    for path in sorted([*DRIVER.glob("*.c"), *DRIVER.glob("*.h")]):
        beyond = {name for name in included(path) if name not in OWN and not name.startswith("runtime/")}
        more = beyond - INTO_COMPILER.get(path.name, set())
        if more:
            good = False
            print(f"compiler/driver/{path.name} includes {', '.join(sorted(more))}; what it wants belongs into "
                  "runtime/rxn.h")
        less = INTO_COMPILER.get(path.name, set()) - beyond
        if less:
            good = False
            print(f"compiler/driver/{path.name} no longer includes {', '.join(sorted(less))}: shorten the list here")
    for name in sorted(set(INTO_COMPILER) - {path.name for path in DRIVER.iterdir()}):
        good = False
        print(f"there is no compiler/driver/{name} any more: shorten the list here")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
