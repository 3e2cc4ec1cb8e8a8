#!/usr/bin/env python3
"""Fails if a kernel that nvcc made was never run by the suites, or on one shape alone: check_coverage.py FOLDER REPORT...

FOLDER holds the PTX, and a REPORT is what tests/ptx/runner.h writes: kernel, shape, how far float32 and float64 were from
the emulation; and the lines of the PTX that no thread came to. Prints the kernels that were not the same bit for bit, and
those of which many lines never ran."""
import collections
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "kernels/cuda"))
from kernel_names import demangled, readable

# What no shape of ours asks for, and why.
NEVER = {
    "invconv_backward_kernel<1, false, 1>": "a weight of few channels is in shared memory",
    "invconv_backward_kernel<2, false, 1>": "the same",
}
ENTRY = re.compile(r"^(?:\.visible |\.weak )?\.entry (\w+)\(", re.MULTILINE)


class Run:
    """What the reports say of a kernel."""

    def __init__(self):
        self.shapes, self.apart, self.instructions, self.never = set(), (0.0, 0.0), 0, None

    def add(self, what, *values):
        if what != "never ran":
            self.shapes.add(what)
            self.apart = tuple(map(max, self.apart, map(float, values)))
            return
        self.instructions, lines = int(values[0]), collections.Counter(values[1:])
        self.never = lines if self.never is None else self.never & lines


def main(folder, *reports):
    mangled = [name for file in sorted(pathlib.Path(folder).glob("*.ptx")) for name in ENTRY.findall(file.read_text())]
    kernels = {readable(name) for name in demangled(mangled).values()}
    runs = collections.defaultdict(Run)
    for report in map(pathlib.Path, reports):
        if not report.exists():
            sys.exit(f"{report} is not there: its suites did not end")
        for line in report.read_text().splitlines():
            kernel, *values = line.split("\t")
            runs[readable(kernel)].add(*values)
    failed = not kernels
    for kernel in sorted(kernels):
        shapes = len(runs[kernel].shapes)
        if kernel in NEVER and shapes > 0:
            print(f"{kernel} ran after all")
            failed = True
        elif kernel not in NEVER and shapes < 2:
            print(f"{kernel} ran on {shapes} shapes")
            failed = True
    ran = {kernel: runs[kernel] for kernel in sorted(runs) if runs[kernel].shapes}
    print(f"{len(kernels)} kernels, {len(ran)} of them run")
    for kernel, run in ran.items():
        if any(run.apart):
            print(f"  {kernel}: {run.apart[0]:.3g} units of float32, {run.apart[1]:.3g} of float64 from the emulation")
    print(f"{sum(run.instructions for run in ran.values())} instructions; the lines of those that no thread came to:")
    for kernel, run in ran.items():
        never = sorted(map(int, run.never.elements()))
        if never:
            print(f"  {kernel}: {len(never)} of {run.instructions}: {' '.join(map(str, never))}")
    sys.exit(failed)


main(*sys.argv[1:])
