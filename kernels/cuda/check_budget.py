#!/usr/bin/env python3
"""Holds what each CUDA kernel takes of a multiprocessor, as ptxas reported it in a build, against kernels/cuda/budget.csv.

More registers, spills, stack or static shared memory than budgeted is a failure, as are a kernel without a line and a
line without a kernel. BUILD is the folder of a build with EVENFLOW_CUDA=ON (build/cuda); no GPU is needed. Dynamic shared
memory is asked for at run time and checked there (fused.cu, logmel.cu)."""
import argparse
import csv
import pathlib
import re
import shutil
import subprocess
import sys

from kernel_names import demangled, readable

HERE = pathlib.Path(__file__).resolve().parent
BUDGET = HERE / "budget.csv"
COLUMNS = ("registers", "stack_bytes", "spill_stores", "spill_loads", "shared_bytes")
ARCHITECTURES = ("sm_80", "sm_90")


def sources():
    text = (HERE / "sources.cmake").read_text()
    library_calls = re.search(r"set\(EVENFLOW_CUDA_LIBRARY_CALLS([^)]*)\)", text).group(1).split()
    return sorted({path.name for path in HERE.glob("*.cu")} - set(library_calls))


def ptxas_release():
    """The toolkit's release, as 13.0; other releases allocate registers differently."""
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if nvcc is None:
        return "none"
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release (\S+),", text).group(1)


def parse(text, source):
    """{(source, kernel, architecture): {column: number}} of ptxas -v."""
    rows = {}
    values = None
    for line in text.splitlines():
        if entry := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
            values = rows.setdefault(entry.groups(), dict.fromkeys(COLUMNS, 0))
        elif values is None:
            continue
        elif spills := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            values.update(zip(COLUMNS[1:4], map(int, spills.groups())))
        elif used := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            values["registers"] = int(used.group(1))
            values["shared_bytes"] = int(shared.group(1)) if shared else 0
            values = None
    names = demangled([kernel for kernel, _ in rows])
    return {(source, readable(names[kernel]), architecture): values for (kernel, architecture), values in rows.items()}


def measure(build):
    measured = {}
    for source in sources():
        report = build / "kernels/cuda/CMakeFiles/evenflow_cuda.dir" / f"{source}.o.ptxas"
        if not report.exists():
            sys.exit(f"check_budget: {report} is not there: build the library first (./dev build cuda evenflow_cuda)")
        measured |= parse(report.read_text(), source)
    return {key: measured[key] for key in sorted(measured) if key[2] in ARCHITECTURES}


def write(measured, release):
    with BUDGET.open("w", newline="") as file:
        file.write(f"# CUDA {release}\n")
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("source", "kernel", "architecture", *COLUMNS))
        for key, values in measured.items():
            out.writerow((*key, *(values[column] for column in COLUMNS)))


def read():
    with BUDGET.open(newline="") as file:
        release = file.readline().removeprefix("# CUDA").strip()
        return release, {(row["source"], row["kernel"], row["architecture"]): {c: int(row[c]) for c in COLUMNS}
                         for row in csv.DictReader(file)}


def compare(measured, budget):
    faults = []
    built = {architecture for _, _, architecture in measured}
    budget = {key: values for key, values in budget.items() if key[2] in built}
    for key in sorted(measured.keys() | budget.keys()):
        name = f"{key[1]} ({key[0]}, {key[2]})"
        if key not in budget:
            faults.append(f"{name} has no line in kernels/cuda/budget.csv")
            continue
        if key not in measured:
            faults.append(f"{name} is budgeted but there is no such kernel")
            continue
        for column in COLUMNS:
            now, most = measured[key][column], budget[key][column]
            said = f"{name} takes {now} {column.replace('_', ' ')}, budgeted are {most}"
            if now > most:
                faults.append(said)
            elif now < most:
                print(f"better: {said}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, metavar="BUILD", help="the build's folder")
    parser.add_argument("--update", action="store_true", help="write kernels/cuda/budget.csv from what was measured")
    parser.add_argument("--force", action="store_true", help="with --update: of another release or fewer architectures")
    arguments = parser.parse_args()
    measured = measure(arguments.build)
    release = ptxas_release()
    of_release, budget = read()
    if arguments.update:
        missing = {key[2] for key in budget} - {key[2] for key in measured}
        if not arguments.force and (release != of_release or missing):
            said = f"the budget is of CUDA {of_release}, this is {release}" if release != of_release else (
                f"this build has no code for {', '.join(sorted(missing))}, which the budget has")
            sys.exit(f"check_budget: not written: {said}; build with that, or write all lines anew with --update --force")
        write(measured, release)
        print(f"check_budget: {len(measured)} lines written")
        return 0
    if release != of_release:
        print(f"check_budget: not checked: the budget is of CUDA {of_release}, this is {release}")
        return 0
    faults = compare(measured, budget)
    for fault in faults:
        print(f"check_budget: {fault}")
    if faults:
        print("check_budget: if that is meant, say why in the commit and run it with --update")
        return 1
    print(f"check_budget: {len(measured)} kernels within their budget")
    return 0


if __name__ == "__main__":
    sys.exit(main())
