#!/usr/bin/env python3
"""Fails if a kernel that nvcc made was never run by the suites, or on one shape alone: check_coverage.py FOLDER REPORT...

FOLDER holds the PTX, and a REPORT is what tests/ptx/runner.h writes: kernel, shape, how far float32 and float64 were from
the emulation. Prints the kernels that were not the same bit for bit."""
import collections
import pathlib
import re
import subprocess
import sys

# What no shape of ours asks for, and why.
NEVER = {
    "invconv_backward_kernel<1, false, 1>": "a weight of few channels is in shared memory",
    "invconv_backward_kernel<2, false, 1>": "the same",
}
ENTRY = re.compile(r"^(?:\.visible |\.weak )?\.entry (\w+)\(", re.MULTILINE)
EVERYWHERE = ("evenflow::kernels::cuda::", "evenflow::kernels::", "(anonymous namespace)::", "void ")


def readable(name):
    """As tests/ptx/symbols.h: without namespaces and parameters."""
    for part in EVERYWHERE:
        name = name.replace(part, "")
    depth = 0
    for i, c in enumerate(name):
        depth += (c == "<") - (c == ">")
        if c == "(" and depth == 0:
            return name[:i]
    return name


def main(folder, *reports):
    mangled = [name for file in sorted(pathlib.Path(folder).glob("*.ptx")) for name in ENTRY.findall(file.read_text())]
    demangled = subprocess.run(["c++filt"], input="\n".join(mangled), text=True, capture_output=True, check=True).stdout
    kernels = {readable(name) for name in demangled.splitlines()}
    shapes, distances = collections.defaultdict(set), collections.defaultdict(lambda: (0.0, 0.0))
    for report in map(pathlib.Path, reports):
        if not report.exists():
            sys.exit(f"{report} is not there: its suites did not end")
        for line in report.read_text().splitlines():
            kernel, shape, *apart = line.split("\t")
            shapes[kernel].add(shape)
            distances[kernel] = tuple(map(max, distances[kernel], map(float, apart)))
    failed = not kernels
    for kernel in sorted(kernels):
        if kernel in NEVER:
            if shapes[kernel]:
                print(f"{kernel} ran after all")
                failed = True
        elif len(shapes[kernel]) < 2:
            print(f"{kernel} ran on {len(shapes[kernel])} shapes")
            failed = True
    print(f"{len(kernels)} kernels, {sum(map(bool, shapes.values()))} of them run")
    for kernel in sorted(shapes):
        f32, f64 = distances[kernel]
        if f32 or f64:
            print(f"  {kernel}: {f32:.3g} units of float32, {f64:.3g} of float64 from the emulation")
    sys.exit(failed)


main(*sys.argv[1:])
