#!/usr/bin/env python3
"""Holds what ptxas made of each CUDA kernel, as nvdisasm shows it, against kernels/cuda/sass.csv.

Any other figure than the table's is a failure, be it more or fewer, as are a kernel without a line and a line without a
kernel. BUILD is the folder of a build with EVENFLOW_CUDA=ON, whose machine code is read for sm_80 and sm_90. PTX is the
folder of the kernels' texts that the tests make (build/cpu/tests/ptx/texts): ptxas translates them here for sm_100 and
sm_120, as a driver does with the PTX that we ship. No GPU is needed. ./dev sass makes all of this and runs it.

Counted are instructions as they stand in the code, however often they run. local_bytes: a thread's local memory;
local_accesses: loads and stores there, spills among them. The columns loop_... are of the kernel's round loop: the
innermost one that holds all of its tensor instructions. Where no loop does, they are of all its loops together."""
import argparse
import concurrent.futures
import csv
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from check_budget import ptxas_release, sources
from check_code import MACHINE_CODE, containers
from kernel_names import demangled, readable

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "sass.csv"
COLUMNS = ("local_bytes", "local_accesses", "loop_instructions", "loop_branches", "loop_tensor_instructions",
           "loop_shared_loads", "loop_local_accesses")
BUILT, TRANSLATED = ("sm_80", "sm_90"), ("sm_100", "sm_120")
CUDA = pathlib.Path("/usr/local/cuda/bin")

SECTION = re.compile(r"^\s+\.section\s+\.text\.([\w$]+)")
LABEL = re.compile(r"^(\.L_\w+):")
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(@!?U?P\w+ )?\s*([A-Z][A-Z0-9_]*)(\S*)\s*(.*?)\s*;")
TARGET = re.compile(r"`\((\.L_\w+)\)")
ADDRESS = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/")
STACK = re.compile(r"^R1, (?:PT, PT, )?R1, (-?)0x([0-9a-f]+)")
BRANCHES = ("BRA", "BRX", "BRXU", "JMP", "JMX", "JMXU")
ENDS = (*BRANCHES, "EXIT", "RET")
SHARED_LOADS = ("LDS", "LDSM")
LOCAL = ("LDL", "STL")


def is_tensor(opcode):
    return opcode.endswith("MMA")


class Instruction:
    def __init__(self, guard, opcode, modifiers, operands):
        self.opcode, self.operands = opcode, operands
        self.targets = TARGET.findall(operands) if opcode in BRANCHES else []
        asks = guard is not None or ".DIV" in modifiers or re.match(r"!?U?P\d", operands)
        self.goes_on = opcode not in ENDS or asks


class Code:
    """A kernel's instructions in blocks that are entered at their beginning and left at their end alone."""

    def __init__(self):
        self.instructions, self.labels = [], {}

    def divide(self):
        """`blocks` and what may follow each, `after`; without what the beginning does not lead to."""
        code = self.instructions
        begins = {0, *(at for at in self.labels.values() if at < len(code))}
        begins |= {i + 1 for i, one in enumerate(code[:-1]) if one.opcode in ENDS}
        begins = sorted(begins)
        number = {begin: i for i, begin in enumerate(begins)}
        self.blocks = [code[begin:end] for begin, end in zip(begins, [*begins[1:], len(code)])]
        self.after = []
        for i, block in enumerate(self.blocks):
            last = block[-1]
            after = {number[self.labels[label]] for label in last.targets if self.labels.get(label) in number}
            if last.goes_on and i + 1 < len(self.blocks):
                after.add(i + 1)
            self.after.append(after)
        return reached({0}, self.after)


def reached(first, after):
    found, left = set(first), list(first)
    while left:
        for node in after[left.pop()] - found:
            found.add(node)
            left.append(node)
    return found


def loops(nodes, after):
    """Sets of nodes that all lead to one another, after Kosaraju."""
    order, seen = [], set()
    for root in sorted(nodes):
        path = [(root, iter(after[root] & nodes))] if root not in seen else []
        seen.add(root)
        while path:
            node, rest = path[-1]
            step = next((n for n in rest if n not in seen), None)
            if step is None:
                order.append(path.pop()[0])
            else:
                seen.add(step)
                path.append((step, iter(after[step] & nodes)))
    before = {node: set() for node in nodes}
    for node in nodes:
        for next_one in after[node] & nodes:
            before[next_one].add(node)
    found, placed = [], set()
    for node in reversed(order):
        if node not in placed:
            loop = reached({node}, {n: before[n] - placed for n in nodes})
            placed |= loop
            if len(loop) > 1 or node in after[node]:
                found.append(loop)
    return found


def round_loop(nodes, after, tensor):
    """The innermost loop that holds the blocks `tensor`, or all loops."""
    outermost = loops(nodes, after)
    innermost, inner = None, outermost
    while tensor and (holding := [loop for loop in inner if tensor <= loop]):
        innermost, = holding
        heads = {n for n in innermost if n == 0 or any(n in after[other] for other in nodes - innermost)}
        inner = loops(innermost - heads, after)
    return set().union(*outermost) if innermost is None else innermost


def local_bytes(code):
    """What the stack pointer, R1, is moved by at the beginning."""
    for one in code.instructions:
        if moved := STACK.match(one.operands):
            value = int(moved.group(2), 16)
            return value if moved.group(1) else 2**32 - value
    return 0


def figures(code):
    """{column: number}."""
    nodes = code.divide()
    in_loop = round_loop(nodes, code.after,
                         {n for n in nodes if any(is_tensor(one.opcode) for one in code.blocks[n])})
    opcodes = [one.opcode for node in in_loop for one in code.blocks[node]]
    values = dict(zip(COLUMNS, (
        local_bytes(code), sum(one.opcode in LOCAL for one in code.instructions), len(opcodes),
        sum(opcode in BRANCHES for opcode in opcodes), sum(map(is_tensor, opcodes)),
        sum(opcode in SHARED_LOADS for opcode in opcodes), sum(opcode in LOCAL for opcode in opcodes))))
    if values["local_accesses"] > 0 and values["local_bytes"] == 0:
        raise ValueError("local memory is read and written, but the stack pointer seems never to be moved")
    return values


def parse(text):
    """{kernel: its figures} of what nvdisasm -c writes."""
    kernels, code = {}, None
    for line in text.splitlines():
        if section := SECTION.match(line):
            code = kernels.setdefault(section.group(1), Code())
        elif code is None:
            continue
        elif label := LABEL.match(line):
            code.labels[label.group(1)] = len(code.instructions)
        elif instruction := INSTRUCTION.match(line):
            code.instructions.append(Instruction(*instruction.groups()))
        elif ADDRESS.match(line):
            raise ValueError(f"not understood: {line.strip()}")
    names = demangled(kernels)
    return {readable(names[kernel]): figures(code) for kernel, code in kernels.items() if code.instructions}


def nvdisasm():
    """Of the PATH, the toolkit, or what ./dev sass installs; None."""
    wheel = HERE.parents[1].glob("build/nvdisasm/lib/python3*/site-packages/nvidia/*/bin")
    for folder in (None, CUDA, *wheel):
        if found := shutil.which("nvdisasm", path=folder and str(folder)):
            return found
    return None


def machine_code(container, architecture):
    number = int(architecture.removeprefix("sm_"))
    return next((code for kind, of, code in container if kind == MACHINE_CODE and of == number), None)


def measure_one(source, architecture, origin, disassembler):
    """{(source, kernel, architecture): figures}, of an object or of a PTX text."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = pathlib.Path(folder) / "cubin"
        if architecture in TRANSLATED:
            ptxas = shutil.which("ptxas") or shutil.which("ptxas", path=CUDA)
            subprocess.run([ptxas, f"-arch={architecture}", origin, "-o", cubin], check=True)
        else:
            codes = [code for container in containers(origin.read_bytes())
                     if (code := machine_code(container, architecture)) is not None]
            if not codes:
                return {}
            cubin.write_bytes(codes[0])
        text = subprocess.run([disassembler, "-c", cubin], capture_output=True, text=True, check=True).stdout
    return {(source, kernel, architecture): values for kernel, values in parse(text).items()}


def measure(build, ptx, disassembler, jobs):
    tasks = []
    for source in sources():
        built = build / "kernels/cuda/CMakeFiles/evenflow_cuda.dir" / f"{source}.o"
        text = ptx / f"{pathlib.Path(source).stem}.ptx"
        for origin in (built, text):
            if not origin.exists():
                sys.exit(f"check_sass: {origin} is not there: ./dev sass builds it")
        tasks += [(source, architecture, built, disassembler) for architecture in BUILT]
        tasks += [(source, architecture, text, disassembler) for architecture in TRANSLATED]
    measured = {}
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        for rows in pool.map(measure_one, *zip(*tasks)):
            measured |= rows
    return dict(sorted(measured.items()))


def write(measured, release, path=TABLE):
    with path.open("w", newline="") as file:
        file.write(f"# CUDA {release}\n")
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("source", "kernel", "architecture", *COLUMNS))
        out.writerows((*key, *(values[column] for column in COLUMNS)) for key, values in measured.items())


def read(path=TABLE):
    with path.open(newline="") as file:
        release = file.readline().removeprefix("# CUDA").strip()
        return release, {(row["source"], row["kernel"], row["architecture"]): {c: int(row[c]) for c in COLUMNS}
                         for row in csv.DictReader(file)}


def compare(measured, table):
    faults = []
    for key in sorted(measured.keys() | table.keys()):
        name = f"{key[1]} ({key[0]}, {key[2]})"
        if key not in table:
            faults.append(f"{name} has no line in kernels/cuda/sass.csv")
        elif key not in measured:
            faults.append(f"{name} is in the table but there is no such kernel")
        else:
            faults += [f"{name} has {measured[key][c]} {c.replace('_', ' ')}, the table says {table[key][c]}"
                       for c in COLUMNS if measured[key][c] != table[key][c]]
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, metavar="BUILD", help="the build's folder")
    parser.add_argument("ptx", type=pathlib.Path, metavar="PTX", help="the folder of the kernels' PTX")
    parser.add_argument("--update", action="store_true", help="write kernels/cuda/sass.csv from what was counted")
    parser.add_argument("--force", action="store_true", help="with --update: of another release of the toolkit")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="so many at a time")
    arguments = parser.parse_args()
    release = ptxas_release()
    of_release, table = read()
    other = release != of_release and f"the table is of CUDA {of_release}, this is {release}"
    if other and not (arguments.update and arguments.force):
        print(f"check_sass: {'not written' if arguments.update else 'not checked'}: {other}")
        return int(arguments.update)
    disassembler = nvdisasm()
    if disassembler is None:
        print("check_sass: not checked: this machine has no nvdisasm (a part of the CUDA toolkit, or nvidia-cuda-nvdisasm "
              "from PyPI, which ./dev sass installs)")
        return int(arguments.update)
    measured = measure(arguments.build, arguments.ptx, disassembler, arguments.jobs)
    if missing := {*BUILT, *TRANSLATED} - {architecture for _, _, architecture in measured}:
        sys.exit(f"check_sass: {arguments.build} has no code for {', '.join(sorted(missing))}; build it for them")
    if arguments.update:
        write(measured, release)
        print(f"check_sass: {len(measured)} lines written")
        return 0
    faults = compare(measured, table)
    for fault in faults:
        print(f"check_sass: {fault}")
    if faults:
        print("check_sass: if that is meant, run ./dev sass --update and say in the commit why")
        return 1
    print(f"check_sass: {len(measured)} kernels as in the table")
    return 0


if __name__ == "__main__":
    sys.exit(main())
