#!/usr/bin/env python3
"""Fails if a room, or a chamber of train, includes a header of one that is not below it; and, within kernels, if an
operation includes a backend or the list of operations includes an operation."""
import pathlib
import re
import sys

BELOW = {
    "kernels": set(),
    "io": set(),
    "frontend": {"kernels", "io"},
    "flow": {"kernels", "io"},
    "train/statistics": {"kernels", "io"},
    "train/detect": {"train/statistics", "flow", "frontend", "kernels", "io"},
    "train/loop": {"train/detect", "train/statistics", "flow", "frontend", "kernels", "io"},
    "experiments": {"train/loop", "train/detect", "train/statistics", "flow", "frontend", "kernels", "io"},
}
ROOMS = {room.split("/")[0] for room in BELOW}
ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]((\w+)(?:/\w+)?)/')

faults = 0
for room, allowed in BELOW.items():
    for path in sorted((ROOT / room).rglob("*")):
        if path.suffix not in {".h", ".cpp", ".in", ".cu", ".cuh"}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(1) if match.group(1) in BELOW else match.group(2)
            if target == "tests" or (target in ROOMS | set(BELOW) and target not in allowed | {room}):
                print(f"{path.relative_to(ROOT)}:{number}: {room} may not include {target}/ (arrows point down only)")
                faults += 1
# Within kernels: what operations stand on, the operations, the backends that implement them.
KERNELS = ROOT / "kernels"
FLOOR = {"anywhere", "backend", "buffer", "check", "communicator", "copy", "cost", "device", "device_ranks", "event", "graph",
         "lanes", "launch_listener", "library", "operations", "parallel", "precision", "probe", "random", "runtime", "stream",
         "trace", "view"}
for path in sorted(KERNELS.rglob("*")):
    if path.suffix not in {".h", ".cpp", ".cu"}:
        continue
    backend = path.parent.name if path.parent != KERNELS else None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'^\s*#\s*include\s*"kernels/(?:(\w+)/)?(\w+)\.h"', line)
        if not match:
            continue
        if match.group(1) and match.group(1) != backend:
            what = f"kernels/{match.group(1)}/ is a backend's own"
        elif not match.group(1) and not backend and path.stem in FLOOR and match.group(2) not in FLOOR:
            what = f"kernels/{path.name} lies below the operations"
        else:
            continue
        print(f"{path.relative_to(ROOT)}:{number}: {what} (arrows point down only)")
        faults += 1
sys.exit(1 if faults else 0)
