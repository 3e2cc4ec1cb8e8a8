#!/usr/bin/env python3
"""Prints the skipped tests of ctest's JUnit reports, each with its reason, and the sum of all: summary.py REPORT..."""
import re
import sys
import xml.etree.ElementTree as ElementTree


def reason(output: str) -> str:
    """The text after GoogleTest's "FILE:LINE: Skipped" line."""
    match = re.search(r": Skipped\n(.*?)\n(?:\n|\[)", output + "\n", re.DOTALL)
    return " ".join(match.group(1).split()) if match and match.group(1).strip() else "no reason given"


def main() -> None:
    passed, failed, skipped = 0, 0, []
    for path in sys.argv[1:]:
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            if case.find("failure") is not None:
                failed += 1
            elif case.get("status") == "run":
                passed += 1
            else:
                skipped.append((case.get("name"), reason(case.findtext("system-out") or "")))
    print("Skipped tests:" if skipped else "Skipped tests: none")
    for name, why in skipped:
        print(f"  {name}: {why}")
    print(f"{passed} passed, {failed} failed, {len(skipped)} skipped")


main()
