#!/usr/bin/env python3
"""Prints the failed and skipped tests of ctest's JUnit reports and their sum; fails if one failed: summary.py REPORT...

Of a part of a test program (cmake/EvenflowTargets.cmake) the cases count, which GoogleTest reports in cases/PART.xml
beside ctest's report. A part that fails though no case did, or that ends before its report, is a failed test itself.
"""
import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

PART = re.compile(r"_test\.part\d+$")


def outcome(test: ElementTree.Element) -> str:
    if test.find("failure") is not None:
        return "failed"
    return "passed" if test.get("status") == "run" and test.find("skipped") is None else "skipped"


def reason(test: ElementTree.Element) -> str:
    """What a skipped test says after "FILE:LINE", in GoogleTest's report or in the output that ctest kept."""
    skipped = test.find("skipped")
    text = "" if skipped is None else skipped.get("message", "").partition("\n")[2]
    match = re.search(r": Skipped\n(.*?)\n(?:\n|\[)", (test.findtext("system-out") or "") + "\n", re.DOTALL)
    return " ".join((text or (match[1] if match else "")).split()) or "no reason given"


def tests(report: pathlib.Path) -> Iterator[tuple[str, str, str]]:
    """Name, outcome and reason of each."""
    for test in ElementTree.parse(report).getroot().iter("testcase"):
        name = test.get("name")
        if not PART.search(name):
            yield name, outcome(test), reason(test)
            continue
        path = report.parent / "cases" / f"{name}.xml"
        cases = list(ElementTree.parse(path).getroot().iter("testcase")) if path.exists() else []
        for case in cases:
            yield f"{case.get('classname')}.{case.get('name')}", outcome(case), reason(case)
        if not path.exists() or (outcome(test) == "failed" and "failed" not in map(outcome, cases)):
            yield name, "failed", ""


def main() -> None:
    count, skipped = collections.Counter(), []
    for report in map(pathlib.Path, sys.argv[1:]):
        for name, what, why in tests(report):
            count[what] += 1
            if what == "failed":
                print(f"Failed: {name} ({report.parent.name})")
            elif what == "skipped":
                skipped.append(f"  {name}: {why}")
    print("\n".join(["Skipped tests:", *skipped]) if skipped else "Skipped tests: none")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    sys.exit(count["failed"] > 0)


main()
