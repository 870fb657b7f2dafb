#!/usr/bin/env python3
"""Keeps the outputs shown in the documentation true.

A document marks an output by a comment in front of its block:

    <!-- shows: rxn check dimerisation.rxn -->
    ```text
    ... what the command prints ...
    ```

The command is run by bash in a fresh folder that holds the example models, with `rxn` being the
program under test; the block must be its output, byte for byte. `--promote` writes the blocks anew.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARK = re.compile(r"(<!-- shows: (?P<command>.*?) -->\n```\w*\n)(?P<shown>.*?)(?P<end>^```$)", re.M | re.S)


def output_of(command, rxn, folder):
    script = f'rxn() {{ "{rxn}" "$@"; }}\n{command}'
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    # A command may be shown because it fails; its text is what counts then.
    return done.stdout if done.stdout.endswith("\n") or not done.stdout else done.stdout + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rxn", required=True, type=pathlib.Path)
    parser.add_argument("--promote", action="store_true")
    parser.add_argument("documents", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    rxn = options.rxn.resolve()
    documents = options.documents or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    wrong = checked = 0
    for document in documents:
        text = document.read_text()
        with tempfile.TemporaryDirectory() as folder:
            for model in [*(ROOT / "stdlib_models").glob("*.rxn"),
                          *(ROOT / "examples").glob("*/*.rxn")]:
                shutil.copy(model, folder)

            def renew(match):
                nonlocal wrong, checked
                checked += 1
                real = output_of(match["command"], rxn, folder)
                if real != match["shown"]:
                    wrong += 1
                    if not options.promote:
                        print(f"{document.relative_to(ROOT)}: `{match['command']}` now prints\n{real}"
                              f"instead of\n{match['shown']}")
                return match[1] + real + match["end"]

            renewed = MARK.sub(renew, text)
        if options.promote and renewed != text:
            document.write_text(renewed)
    print(f"{checked} outputs in {len(documents)} documents, {wrong} "
          f"{'written anew' if options.promote else 'no longer true'}")
    if checked == 0:
        print("no marked output found: the documents have lost their marks")
        return 1
    return 1 if wrong and not options.promote else 0


if __name__ == "__main__":
    sys.exit(main())
