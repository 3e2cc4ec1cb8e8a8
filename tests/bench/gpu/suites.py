#!/usr/bin/env python3
"""The GPU's cases of GoogleTest programs.

    suites.py run REPORT.xml SECONDS PROGRAM...   a dozen cases of a suite to a process (a fault on the GPU ends a
                                                  process, and one for each case would spend its time on starting)
    suites.py small PROGRAM                       a filter of the two smallest cases of every test, for tools that are
                                                  slow
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree


def gpu_cases(program):
    """{suite: [case, ...]} of those that run on a GPU."""
    listed = subprocess.run([program, "--gtest_list_tests"], capture_output=True, text=True, check=True).stdout
    cases, suite = {}, ""
    for line in listed.splitlines():
        name = line.split("#")[0].strip()
        if not line.startswith(" "):
            suite = name
        elif re.search(r"(^|[/_])cuda(_|$)", name) and "emulated" not in name:
            cases.setdefault(suite, []).append(suite + name)
    return cases


def run_suite(program, suite, cases, until):
    """JUnit test cases, one of them failed in the suite's name if the process did not end well."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        try:
            done = subprocess.run([program, "--gtest_filter=" + ":".join(cases), "--gtest_output=xml:" + report.name],
                                  capture_output=True, text=True, timeout=max(1.0, until - time.monotonic()))
            why, said = f"exit code {done.returncode}", done.stdout + done.stderr
            ended = done.returncode in (0, 1)
        except subprocess.TimeoutExpired:
            why, said, ended = "out of time", "", False
        try:
            found = list(ElementTree.parse(report.name).getroot().iter("testcase"))
        except ElementTree.ParseError:
            found = []
    if not ended or not found:
        broken = ElementTree.Element("testcase", name=suite + "*", status="run", classname=suite)
        ElementTree.SubElement(broken, "failure", message=f"{program}: {why}").text = said[-4000:]
        found.append(broken)
    return found


def run(report, seconds, programs):
    until = time.monotonic() + seconds
    root = ElementTree.Element("testsuite", name="gpu")
    dozen = 12
    with concurrent.futures.ThreadPoolExecutor(max(2, min(8, (os.cpu_count() or 4) // 2))) as pool:
        # The last program's cases train whole models: they begin first.
        waiting = [pool.submit(run_suite, program, suite, cases[first:first + dozen], until)
                   for program in reversed(programs) for suite, cases in gpu_cases(program).items()
                   for first in range(0, len(cases), dozen)]
        for suite in waiting:
            root.extend(suite.result())
    ElementTree.ElementTree(root).write(report, encoding="unicode")
    failed = [case for case in root if case.find("failure") is not None]
    for case in failed:
        print(f"FAILED {case.get('classname')}.{case.get('name')}: {case.find('failure').get('message', '')[:1000]}")
        print((case.find("failure").text or "")[:2000])
    print(f"{len(root) - len(failed)} passed, {len(failed)} failed on the GPU")
    sys.exit(1 if failed or not len(root) else 0)


def size_of(case):
    """Pixels of the maps that a case's name tells of, 0 if it tells of none."""
    map_size = re.search(r"_(\d+)x(\d+)", case)
    return int(map_size[1]) * int(map_size[2]) if map_size else 0


def small(program):
    chosen = []
    for suite, cases in gpu_cases(program).items():
        counts = {}
        for case in sorted(cases, key=size_of):
            test = case.removeprefix(suite).split("/")[0]
            counts[test] = counts.get(test, 0) + 1
            if counts[test] <= 2:
                chosen.append(case)
    print(":".join(chosen))


match sys.argv[1:]:
    case ["run", report, seconds, *programs] if programs:
        run(report, float(seconds), programs)
    case ["small", program]:
        small(program)
    case _:
        sys.exit(__doc__)
