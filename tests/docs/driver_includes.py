#!/usr/bin/env python3
"""The program stands on the library: its files include runtime/, each other, and of the compiler its room of utilities, base."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DRIVER = ROOT / "compiler" / "driver"
MAY = ("runtime/", "compiler/base/", "compiler/driver/")


def included(path):
    """Headers of the project."""
    return re.findall(r'^#include "(.*?)"', path.read_text(), flags=re.M)


def main():
    good = True
    for path in sorted([*DRIVER.glob("*.c"), *DRIVER.glob("*.h")]):
        beyond = [name for name in included(path) if not name.startswith(MAY)]
        if beyond:
            good = False
            print(f"compiler/driver/{path.name} includes {', '.join(beyond)}; what it wants belongs into runtime/rxn.h")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
