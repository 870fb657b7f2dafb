#!/usr/bin/env python3
"""Every source file of the compiler and the runtime has its line in compiler/README.md, and no line is stale."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    guide = (ROOT / "compiler" / "README.md").read_text()
    named = set()
    sections = re.split(r"^## ", guide, flags=re.M)
    for section in sections:
        title = section.split(" —")[0].split(" and ")[0]
        # `../grammar/ and ast/`: its lines carry the folder themselves.
        folder = ROOT / "compiler"
        if " and " not in section.split(" —")[0] and section is not sections[0]:
            folder = (folder / title).resolve()
        for row in re.findall(r"^\| (`.*?) \|", section, flags=re.M):
            named |= {(folder / name).resolve() for name in re.findall(r"`([^`]+)`", row)}
    present = {path for folder in ("compiler", "runtime", "grammar")
               for path in (ROOT / folder).rglob("*") if path.suffix in {".c", ".h", ".def", ".l", ".y", ".inc"}}
    for path in sorted(present - named):
        print(f"compiler/README.md has no line for {path.relative_to(ROOT)}")
    for path in sorted(named - present):
        print(f"compiler/README.md names {path.relative_to(ROOT)}, which does not exist")
    print(f"{len(present)} files, {len(named)} named")
    return 0 if present == named else 1


if __name__ == "__main__":
    sys.exit(main())
