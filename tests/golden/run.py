#!/usr/bin/env python3
"""Golden tests of messages: `rxn check` of wrong models, `rxn grad` of wrong objectives: the whole text
against what is expected.

    run.py --rxn build/rxn [--promote] [NAME...]

Every errors/NAME.rxn is checked from within errors/, so that paths in messages are short, and every
generated model below from within a temporary folder (those are too large, or too strange, to be
files of the repository). What the program prints to standard error, with its exit status as the last
line, must be NAME.expected. What is given to `rxn grad` is in objectives.py, by name. --promote rewrites the expected files instead of comparing.
"""

import argparse
import difflib
import os
import pathlib
import subprocess
import sys
import tempfile

from objectives import OBJECTIVES

HERE = pathlib.Path(__file__).resolve().parent
MOST_SECONDS = 20  # a clear error in bounded time; the largest of these takes well under one


def reversed_lets(count):
    lines = [f"let a{i} = a{i + 1} + 1" for i in range(count)]
    return "species A = 1\n" + "\n".join(lines) + f"\nlet a{count} = 1\nA -> 0 @ a0\n"


def chained_functions(count):
    lines = ["fn f0(x) = x + 1"]
    lines += [f"fn f{i}(x) = f{i - 1}(x) * f{i - 1}(x + 1)" for i in range(1, count)]
    return "species A = 1\n" + "\n".join(lines) + f"\nA -> 0 @ f{count - 1}(A > 1)\n"


def chain_of_files(count):
    files = {"main.rxn": 'use "m1.rxn" as m\nspecies A = 1\n'}
    for i in range(1, count):
        files[f"m{i}.rxn"] = f'use "m{i + 1}.rxn" as m\nspecies A = 1\n'
    files[f"m{count}.rxn"] = "species A = 1\n"
    return files


def files_twice_each(count):
    files = {"main.rxn": 'use "m1.rxn" as a\nuse "m1.rxn" as b\nspecies A = 1\n'}
    for i in range(1, count):
        files[f"m{i}.rxn"] = f'use "m{i + 1}.rxn" as a\nuse "m{i + 1}.rxn" as b\nspecies A = 1\n'
    files[f"m{count}.rxn"] = "species A = 1\n"
    return files


# Name -> text of main.rxn, or files of the folder by name.
GENERATED = {
    "name_of_a_megabyte": "species A = 1\nA -> 0 @ " + "k" * (1 << 20) + "\n",
    "number_of_a_megabyte": "species A = 1\nparam k = 1" + "0" * (1 << 20) + "\nA -> 0 @ k\n",
    "names_of_1000_bytes": f"species {'a' * 1000} = 1\n{'a' * 999} -> 0 @ {'k' * 1000}\n",
    "nul_bytes": b"species A = 1\nparam k = 1\0 2\nA -> 0 @ k\n\0\0",
    "not_utf8": b"species A = 1\nparam k = \xff\xfe1\nA -> 0 @ k\n",
    "byte_order_and_returns": b"\xef\xbb\xbfspecies A = 1\r\nA -> 0 @ koff\r\n",
    "control_bytes": b"species A = 1\nA -> 0 @ \x1b[31mk\x07\n",
    "parentheses_100000_deep": "species A = 1\nA -> 0 @ " + "(" * 100000 + "1" + ")" * 100000 + "\n",
    "minus_100000_times": "species A = 1\nA -> 0 @ " + "-" * 100000 + "1\n",
    "powers_100000_deep": "species A = 1\nA -> 0 @ 1" + "^1" * 100000 + "\n",
    "if_100000_deep": "species A = 1\nA -> 0 @ " + "if A > 1 then 1 else " * 100000 + "1\n",
    "loops_1000_deep": "species A = 1\n" + "for i in 0 .. 1 {\n" * 1000 + "}\n" * 1000,
    "sum_of_100000_terms": "species A = 1\nA -> 0 @ 1" + " + A" * 100000 + "\n",
    "lets_in_reverse_5000": reversed_lets(5000),
    "functions_of_functions": chained_functions(60),
    "files_40_deep": chain_of_files(40),
    "files_twice_each": files_twice_each(20),
    "many_unknown_names": "species A = 1\n" + "".join(f"A -> 0 @ k{i}x\n" for i in range(50000)),
    "many_syntax_errors": "species A = = 1\n" * 50000,
    "many_duplicates": "species A = 1\n" * 50000,
    "two_thousand_different_reactants": "species "
    + ", ".join(f"S{i} = 1" for i in range(2000))
    + "\n"
    + " + ".join(f"S{i}" for i in range(2000))
    + " -> 0 @ 1\n",
    "long_line": "species A = 1" + " " * 500 + "# " + "x" * 500 + "\nA -> 0 @ "
    + "1 + " * 150 + "koff" + " + 1" * 150 + "\n",
    "one_brace": "{",
    "lone_bytes": b"\x80\n\xc3\n@\n->\n..\n\"\n",
}


def write_files(folder, content):
    files = content if isinstance(content, dict) else {"main.rxn": content}
    for name, text in files.items():
        data = text if isinstance(text, bytes) else text.encode()
        (folder / name).write_bytes(data)


def say(rxn, folder, *arguments):
    """What the program says, with the exit status in the last line."""
    try:
        done = subprocess.run(
            [rxn, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {MOST_SECONDS} s\n".encode()
    return done.stderr + b"exit status %d\n" % done.returncode


def show_difference(name, expected, got):
    print(f"--- {name}: not what is expected")
    lines = difflib.unified_diff(
        expected.decode(errors="backslashreplace").splitlines(),
        got.decode(errors="backslashreplace").splitlines(),
        "expected",
        "printed",
        lineterm="",
    )
    for line in lines:
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rxn", required=True, help="the program to test")
    parser.add_argument("--promote", action="store_true", help="accept what it prints now")
    parser.add_argument("names", nargs="*", help="only these tests")
    arguments = parser.parse_args()
    rxn = os.path.abspath(arguments.rxn)

    files = {path.stem: path for path in sorted((HERE / "errors").glob("*.rxn"))}
    wrong = {f"objective_{name}": arguments for name, arguments in OBJECTIVES.items()}
    known = set(files) | set(GENERATED) | set(wrong)
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error("no such test: " + ", ".join(unknown))
    chosen = arguments.names or sorted(known)

    failed = changed = 0
    for name in chosen:
        if name in files:
            expected_path = files[name].with_suffix(".expected")
            got = say(rxn, HERE / "errors", "check", files[name].name)
        elif name in wrong:
            expected_path = HERE / "objectives" / f"{name}.expected"
            words = wrong[name] if wrong[name][0] != "--of" else ["model.rxn", *wrong[name]]
            got = say(rxn, HERE / "objectives", "grad", *words)
        else:
            expected_path = HERE / "generated" / f"{name}.expected"
            with tempfile.TemporaryDirectory() as folder:
                write_files(pathlib.Path(folder), GENERATED[name])
                got = say(rxn, folder, "check", "main.rxn")
        expected = expected_path.read_bytes() if expected_path.exists() else b""
        if got == expected:
            continue
        if arguments.promote:
            expected_path.parent.mkdir(exist_ok=True)
            expected_path.write_bytes(got)
            changed += 1
        else:
            show_difference(name, expected, got)
            failed += 1

    if not arguments.names:
        for path in HERE.glob("*/*.expected"):
            if path.stem not in known:
                if arguments.promote:
                    path.unlink()
                    changed += 1
                else:
                    print(f"--- {path.name}: there is no such test")
                    failed += 1

    if arguments.promote:
        print(f"{len(chosen)} golden tests, {changed} changed: read what you accept (git diff)")
        return 0
    print(f"{len(chosen)} golden tests, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
