#!/usr/bin/env python3
"""Sum up one `meson test` run in one plain line: `N passed, N failed, N skipped`.

    count_tests.py LOG_DIR          the folder that holds testlog.json, testlog.junit.xml

Meson's own summary spreads over seven lines and changes between versions; scripts and
people want one line. Two logs are read because neither is enough alone: testlog.json has
the verdict on every test program, testlog.junit.xml has the single checks inside a program
that speaks TAP. A program counts as its checks where it reports any, and as one test where
it does not. A program that fails although all of its checks passed (it crashed afterwards,
or stopped before the last one) counts as one more failure, so a failure is never lost.

Exit status: 0 when at least one test ran and none failed, 1 otherwise.
"""

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP"}


def verdict_of_case(case):
    """Verdict on one <testcase> of a JUnit file."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def verdict_of_program(result):
    """Verdict on one record of testlog.json; a result we do not know is a failure."""
    if result in PASSED:
        return "passed"
    return "skipped" if result in SKIPPED else "failed"


def read_checks(junit_path):
    """The single checks of each program that reports them: {program: [verdict, …]}.

    Meson names such a suite `project.program`, and a suite of plain programs `project`.
    """
    checks = {}
    if not junit_path.exists():
        return checks
    for suite in ElementTree.parse(junit_path).getroot().iter("testsuite"):
        _, dot, program = suite.get("name", "").partition(".")
        if dot:
            checks.setdefault(program, []).extend(
                verdict_of_case(case) for case in suite.iter("testcase")
            )
    return checks


def count(log_dir):
    """The totals of a run, and the names of the programs that failed."""
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    failed_programs = []
    json_path = log_dir / "testlog.json"
    if not json_path.exists():
        return totals, failed_programs
    checks = read_checks(log_dir / "testlog.junit.xml")
    for line in json_path.read_text(encoding="utf-8", errors="replace").splitlines():
        record = json.loads(line)
        verdict = verdict_of_program(record["result"])
        if verdict == "failed":
            failed_programs.append(f"{record['name']} ({record['result']})")
        inner = checks.pop(record["name"], [])
        for inner_verdict in inner:
            totals[inner_verdict] += 1
        if not inner or (verdict == "failed" and "failed" not in inner):
            totals[verdict] += 1
    return totals, failed_programs


def main(arguments):
    if len(arguments) != 1:
        print("usage: count_tests.py LOG_DIR", file=sys.stderr)
        return 2
    totals, failed_programs = count(Path(arguments[0]))
    for program in failed_programs:
        print(f"failed: {program}")
    if not any(totals.values()):
        print("no test ran", file=sys.stderr)
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 0 if totals["passed"] + totals["skipped"] > 0 and not totals["failed"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
