#!/usr/bin/env python3
"""header_manual.py rxn.h: the manual page rxn(3), of the header's own text: each comment, then what it is about."""

import re
import sys


def escaped(line):
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + line if line[:1] in ".'" else line


def comment_text(block):
    """The lines of a comment without its stars; of the first paragraph on."""
    lines = block.strip()[2:-2].split("\n")
    return [re.sub(r"^ \* ?", "", line).rstrip() for line in lines]


def print_flow(text):
    """Each sentence begins a line; none is longer than 80 bytes."""
    line = ""
    for word in text.split():
        word = word.replace("\\", "\\e").replace("-", "\\-")
        if line and len((line + " " + word).encode()) > 78:
            print(line)
            line = ""
        line = line + " " + word if line else ("\\&" + word if word[:1] in ".'" else word)
        if re.search(r"[.!?]\)?$", word):
            print(line)
            line = ""
    if line:
        print(line)


def print_comment(lines):
    """Paragraphs and items; lines that are set in by two, but for the rest of an item, are shown as they are."""
    flow, literal, in_item = [], False, False

    def end_flow():
        print_flow(" ".join(flow))
        flow.clear()

    due = False
    for line in lines:
        is_item = line.startswith("- ")
        is_literal = line.startswith("  ") and not in_item
        if not line.strip():
            end_flow()
            due, in_item = True, False
            continue
        in_item = is_item or (in_item and line.startswith("  "))
        if is_literal != literal:
            end_flow()
            print(".Bd -literal" if is_literal else ".Ed")
            literal = is_literal
            due = False
        if is_item or due:
            end_flow()
            if not is_literal:
                print(".Pp")
        due = False
        if is_literal:
            print(escaped(line))
        else:
            flow.append(line.strip())
    end_flow()
    if literal:
        print(".Ed")


def print_code(code):
    code = [line.replace("RXN_PUBLIC ", "") for line in code]
    print(".Bd -literal")
    for line in code:
        print(escaped(line))
    print(".Ed")


def main():
    text = open(sys.argv[1], encoding="utf-8").read()
    head = re.match(r"/\*.*?\*/", text, flags=re.S).group(0)
    body = text[text.index("/* \"0.1.0\" */") if "/* \"0.1.0\" */" in text else len(head):]
    body = body[: body.rindex("#ifdef __cplusplus")]
    print(".Dd $Mdocdate$\n.Dt RXN 3\n.Os\n.Sh NAME\n.Nm rxn\n"
          ".Nd stochastic reaction networks from C\n"
          ".Sh LIBRARY\nlibrxn: cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs rxn)\n"
          ".Sh SYNOPSIS\n.In rxn.h\n.Sh DESCRIPTION")
    print_comment(comment_text(head)[1:])
    code = []

    def flush():
        if any(line.strip() for line in code):
            while not code[-1].strip():
                code.pop()
            while not code[0].strip():
                code.pop(0)
            print_code(code)
        code.clear()

    lines = body.split("\n")
    at, begins = 0, False
    while at < len(lines):
        line = lines[at]
        title = re.match(r"/\* -+ (.*?) -+ \*/$", line)
        if title:
            flush()
            print(f".Ss {title.group(1).capitalize()}")
            begins = True
        elif line.startswith("/*"):
            flush()
            block = line
            while "*/" not in lines[at]:
                at += 1
                block += "\n" + lines[at]
            if not begins:
                print(".Pp")
            begins = False
            print_comment(comment_text(block))
        else:
            code.append(line)
            begins = begins and not line.strip()
        at += 1
    flush()
    print(".Sh SEE ALSO\nrxn(1)")


if __name__ == "__main__":
    main()
