#!/usr/bin/env python3
"""From kernels_test --gtest_list_tests: a filter of the first two GPU cases of every test, for tools that slow it down."""
import re
import sys

suite, chosen = "", []
counts = {}
for line in sys.stdin:
    if not line.startswith(" "):
        suite = line.split("#")[0].strip()
        continue
    name = line.split("#")[0].strip()
    if not re.search(r"/cuda(_|$)", name) or "emulated" in name:
        continue
    test = suite + name.split("/")[0]
    counts[test] = counts.get(test, 0) + 1
    if counts[test] <= 2:
        chosen.append(suite + name)
print(":".join(chosen))
